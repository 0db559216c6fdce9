/* Work on many things by several threads. */
#ifndef SNAPSHOT_WORKERS_H
#define SNAPSHOT_WORKERS_H

#include "snapshot/object.h"

#define WORKERS_MAX 4

/* One piece of work, by any of the threads; `work` belongs to that thread. */
typedef int (*workers_job)(void *user, struct object_work *work, size_t index, struct err *err);

struct workers;
struct workers *workers_new(const void *ctx, int threads); /* 0: one per processor, at most 4 */
/* Calls job for 0 to count - 1; threads take `block` of them at a time, in order. The first failure stops all and is returned. */
must_check int workers_run(struct workers *workers, size_t count, size_t block, workers_job job, void *user, struct err *err);
/* The working memory of the caller's thread. */
must_check int workers_own(struct workers *workers, struct object_work **ret, struct err *err);

#endif
