/* How far each sink has got: the newest entry that it needs no more. A kept table, not made from entries: what was sent is not what
 * happened. Written after the sending, so that an entry is sent again rather than lost. And what those who tell of an entry must know
 * beside it.
 *
 * Threads: as the store. */
#ifndef STORE_SINKS_H
#define STORE_SINKS_H

#include "store/store.h"

/* The position of a sink; one that is new begins behind the newest entry that is there now, and that is kept. */
must_check int store_sink_position(struct store *store, const char *name, int64_t *ret_seq, struct err *err);
/* Moves it forward; never back. */
must_check int store_sink_move(struct store *store, const char *name, int64_t seq, struct err *err);

/* Components of the deployment before the one that entry `seq` recorded in the environment; NULL: there was none. */
must_check int store_components_before(struct store *store, const void *ctx, const char *environment, int64_t seq, json_t **ret,
	struct err *err);
/* Components before and after a completed run, as the registry has them. NULL: not known. */
must_check int store_components_of_run(struct store *store, const void *ctx, const struct run_row *run, json_t **ret_before,
	json_t **ret_after, struct err *err);

#endif
