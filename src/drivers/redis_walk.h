/* Reading keys: each with its type, when it expires, its content, and, where it is wanted, the form in which the server takes it back
 * (DUMP). */
#ifndef DRIVERS_REDIS_WALK_H
#define DRIVERS_REDIS_WALK_H

#include "data/hash.h"
#include "drivers/redis_client.h"

struct redis_keys {
	struct driver_call *call;
	struct redis *redis;
	const char *const *patterns; /* NULL-terminated, as in SCAN; empty: all keys of the database */
};

struct redis_key {
	const char *name, *type;
	size_t name_size;
	int64_t expires_ms; /* wall; 0: never */
	const char *dump;   /* NULL unless wanted */
	size_t dump_size;
	const redisReply *elements; /* the content, in an order that is the same for the same content */
	char hash[HASH_HEX_SIZE];   /* BLAKE2b-256 over type, expiry and elements: equal for equal keys on any server */
};
/* 0 goes on, 1 ends the walk well, negative ends it. */
typedef int (*redis_key_handler)(void *user, const struct redis_key *key, struct err *err);

/* All keys that match, each at least once. *ret_moment (may be NULL): they were read as of one moment. 1 when the handler ended it. */
must_check int redis_walk(const struct redis_keys *keys, bool want_dump, bool *ret_moment, redis_key_handler handler, void *user,
	struct err *err);

/* How many keys there are in the database. */
must_check int redis_count_keys(struct redis *redis, int64_t *ret, struct err *err);
/* The names of the keys that match: `handler` is given batches (an array reply of strings). */
typedef int (*redis_names_handler)(void *user, const redisReply *names, struct err *err);
must_check int redis_scan(const struct redis_keys *keys, redis_names_handler handler, void *user, struct err *err);

#endif
