/* The executor that works with processes: each piece of work is one child that speaks the driver protocol (docs/driver-protocol.md).
 * Built-in drivers, probes and channels are
 * the proc_entry "worker"; a driver that the catalogue does not have is the program unship-driver-NAME. */
#ifndef RUNNER_PROCESS_EXECUTOR_H
#define RUNNER_PROCESS_EXECUTOR_H

#include "core/executor.h"

#define PROCESS_EXECUTOR_LINE_MAX   (1u << 20)  /* bytes of one line */
#define PROCESS_EXECUTOR_OUTPUT_MAX (16u << 20) /* bytes of all lines of one piece of work */
#define PROCESS_EXECUTOR_PARALLEL   16          /* children at once in executor_call_all */

/* Belongs to `ctx`; freeing it kills what still runs. A proc_entry "worker" must have been registered when the catalogue is not empty. */
must_check int process_executor_new(const void *ctx, const struct catalogue *catalogue, struct executor **ret, struct err *err);
/* Makes a wait that is going on, or the next one, return 0. From any thread, also from a signal handler. */
void process_executor_wake(struct executor *executor);
/* True when unship-driver-NAME is in PATH. */
bool process_executor_external(struct executor *executor, const char *driver);

/* One piece of work, from start to end. 0: *ret has a result; negative: it failed, and why is in `err` (and in ret->err, with
 * ret->logs). Nothing else may be in flight on this executor. */
must_check int executor_call(struct executor *executor, const void *ctx, const struct work *work, struct work_result *ret, struct err *err);
/* Work that is begun bit by bit, so that the caller can do something else meanwhile. Nothing else may be in flight on the executor until
 * the end. At most PROCESS_EXECUTOR_PARALLEL are at work at once; the others are begun at the end. */
struct executor_calls;
struct executor_calls *executor_calls_new(const void *ctx,
	struct executor *executor); /* freed before its end: what is at work is stopped */
/* Which result will be its own: 0, 1, 2... Never waits. The request is kept, the rest of `work` copied. */
size_t executor_calls_add(struct executor_calls *calls, const struct work *work);
/* Waits for all that were added; more may be added afterwards. Negative only when the executor is broken. */
must_check int executor_calls_end(struct executor_calls *calls, struct err *err);
/* What came of it; after the end. A failed one has no result and its error in `err`. Never NULL. */
const struct work_result *executor_calls_result(const struct executor_calls *calls, size_t index);

/* Many at once, each within its own deadline. ret[i] is what came of works[i] (id is i); a failed one has no result and its error in
 * ret[i].err. Negative only when the executor is broken. */
must_check int executor_call_all(struct executor *executor, const void *ctx, const struct work *works, size_t count,
	struct work_result *ret, struct err *err);

#endif
