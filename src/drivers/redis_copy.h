/* Copies of a Redis database: written by capture, compared with what is there, and restored. */
#ifndef DRIVERS_REDIS_COPY_H
#define DRIVERS_REDIS_COPY_H

#include "drivers/database.h"
#include "drivers/redis_walk.h"

#define REDIS_COPY_FILE "database.redis"
#define REDIS_TABLE     "keys" /* under this name the keys stand in row lists, facts and the ledger */

struct redis_copy {
	const char *dir;
	const char *pattern; /* only keys that match it; NULL: all of the copy */
};
struct redis_copy_facts {
	const char *version; /* of the server */
	int64_t keys, bytes;
	bool moment;
};

/* Writes the copy, the row list and the facts into `dir`. */
must_check int redis_copy_write(const struct redis_keys *keys, const char *dir, struct err *err);
/* ERR_NOT_FOUND, ERR_CORRUPT: not as it was written. */
must_check int redis_copy_verify(const void *ctx, const char *dir, struct redis_copy_facts *ret, struct err *err);
/* Is the database as the copy? Keys that have expired since do not count. */
must_check int redis_copy_equal(const struct redis_keys *keys, const struct redis_copy *copy, int *ret, struct err *err);
/* Makes it so: keys that differ are replaced, those that the copy lacks are removed. Before, what is lost goes to the ledger. *ret_lost:
 * the ledger's counts. */
must_check int redis_copy_restore(const struct redis_keys *keys, const struct redis_copy *copies, size_t count, json_t **ret_lost,
	struct err *err);

#endif
