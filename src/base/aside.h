/* Work that may hang where nothing can end it: a file system that does not answer. It goes on in a thread of its own while the caller does
 * something else, and is given up when its time is over: the thread then frees what it worked on, whenever it comes back.
 * What can be done in a process is done there (runner/), which can be ended. */
#ifndef BASE_ASIDE_H
#define BASE_ASIDE_H

#include "base/err.h"
#include "base/mem.h"

struct aside;

/* `job` is the top of a talloc tree of its own and belongs to the work from here on: what it reads, and where it leaves what it found. It
 * may point to nothing that is not its own. When no thread can be started, the work is done at once. */
struct aside *aside_begin(void (*work)(void *job), void *job);
/* Waits until then (monotonic) at most. The job, which is the caller's again (to be freed or kept), or NULL: its time is over. The aside
 * itself is gone in both cases. */
void *aside_end(struct aside *aside, int64_t until_ms);

#endif
