/* Requests with an idempotency key: what was answered, so that asking again gives the same answer and does nothing twice.
 *
 * A kept table, not made from entries: it says what was answered, not what happened. But what happened is tied to it: the entries that a request appends are noted in its row in their own transaction
 * (store->request). So when a process dies between its effect and its answer, the row tells that the effect is there. */
#ifndef STORE_IDEMPOTENCY_H
#define STORE_IDEMPOTENCY_H

#include "store/store.h"

struct request_row {
	const char *hash;                     /* of the request */
	int status;                           /* 0: not answered */
	const char *type, *answer, *location; /* answer NULL: not kept */
	int64_t first_seq, last_seq;          /* entries that it appended, 0: none yet */
	bool running;                         /* its process is alive */
};

/* Begins, unless the request is known: *ret_mine tells. One that is not answered, whose process is gone and that has appended nothing is begun anew. Rows that are over are removed. */
must_check int store_request_begin(struct store *store, const void *ctx, const char *id, const char *hash, int64_t expires_ms,
	struct request_row *ret, bool *ret_mine, struct err *err);
/* status 0: it was not answered for good, and may be tried again. */
must_check int store_request_end(struct store *store, const char *id, int status, const char *type, const char *answer,
	const char *location, struct err *err);

#endif
