/* Workers between two requests: processes of built-in drivers, probes and channels that have answered, and wait for more. The next
 * request for the very same thing
 * (same kind, component, configuration, folder: the key) goes to one of them, which spares a fork and the end of a process each time.
 *
 * Only a worker that has kept to the protocol comes here, and only one that has kept silent since is handed out again: one that has
 * ended, or has said a word that nobody
 * asked for, is ended and forgotten. Secrets stay with whom they were given to, because they are part of what the key names.
 * Threads: as the executor that it belongs to. */
#ifndef RUNNER_WORKER_POOL_H
#define RUNNER_WORKER_POOL_H

#include "base/proc.h"
#include "core/call.h"

struct worker_pool;

/* Freeing it ends its workers. */
struct worker_pool *worker_pool_new(const void *ctx);
/* What a worker may be used for. */
char *worker_pool_key(const void *ctx, const struct work *work);
/* True: *ret is the caller's now. */
bool worker_pool_take(struct worker_pool *pool, const char *key, struct proc *ret);
/* Takes *proc over; `proc->in` must be open. */
void worker_pool_put(struct worker_pool *pool, const char *key, const struct proc *proc);
/* Ends those that have been idle for long, and forgets those that have ended. Does not wait for a worker that keeps to its part. */
void worker_pool_tidy(struct worker_pool *pool);
/* Lets all of them end, without waiting for it. */
void worker_pool_rest(struct worker_pool *pool);

#endif
