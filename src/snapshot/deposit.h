/* Content on its way into the store: written under temporary names, flushed together, then given its own name, so that what has the name of its content is whole. */
#ifndef SNAPSHOT_DEPOSIT_H
#define SNAPSHOT_DEPOSIT_H

#include "snapshot/store.h"

struct deposit;

/* Of one take. `key` is the data key; NULL: unsealed. Freeing it removes what was not named. */
must_check int deposit_new(const void *ctx, struct snapshot_store *store, const struct seal_key *key, struct deposit **ret,
	struct err *err);
/* Content of at most a segment, in memory; *ret_id is its name. *ret_new is set when it was not there. Any thread. */
must_check int deposit_bytes(struct deposit *deposit, struct object_work *work, const uint8_t *bytes, size_t size, struct object_id *ret_id,
	bool *ret_new, struct err *err);
/* A file of any size, unsealed, from where fd stands. *ret_size: how much there was. Any thread. */
must_check int deposit_file(struct deposit *deposit, struct object_work *work, int fd, struct object_id *ret_id, uint64_t *ret_size,
	bool *ret_new, struct err *err);
/* Flushes what is new and names it. */
must_check int deposit_settle(struct deposit *deposit, struct err *err);
bool deposit_has(struct deposit *deposit, const struct object_id *id); /* is it in the store? */
int64_t deposit_stored(const struct deposit *deposit);                 /* new bytes, as stored */

#endif
