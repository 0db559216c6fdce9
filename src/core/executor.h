/* How the runner gets work done: implemented with processes by runner/process_executor.c, by the simulated world in tests/sim. One executor belongs to one thread. */
#ifndef CORE_EXECUTOR_H
#define CORE_EXECUTOR_H

#include "core/call.h"

struct work_result {
	uint64_t id;
	json_t *result; /* the worker's "result", kept in the context given to wait; NULL when it failed */
	struct err err; /* why it failed: the worker's own error, ERR_TIMEOUT, ERR_DRIVER (garbage, no answer, killed) */
	bool retryable; /* the worker said that trying again may help; true for timeouts and crashes */
	bool answered; /* the worker itself said how it ended (result or error). False: it was killed, died or talked garbage, so what it did is not known */
	json_t *logs; /* array of {"at","level","message","details"}; kept output of a failed worker is in it */
	int64_t duration_ms;
};

struct executor;
struct executor_ops {
	/* Never waits. An error means that nothing was started. */
	int (*start)(struct executor *executor, const struct work *work, struct err *err);
	/* Waits for any work to end. 1: *ret filled (in ctx); 0: `until_ms` (monotonic) passed or somebody woke it. Negative: the executor is broken. */
	int (*wait)(struct executor *executor, const void *ctx, int64_t until_ms, struct work_result *ret, struct err *err);
	/* Ends the work: SIGTERM, then SIGKILL. Its result still comes through wait (ERR_CANCELLED). */
	void (*stop)(struct executor *executor, uint64_t id);
	/* No more work is expected for now: what is kept ready for it may go. Never waits. May be NULL. */
	void (*rest)(struct executor *executor);
	int64_t (*wall_ms)(struct executor *executor);
	int64_t (*mono_ms)(struct executor *executor);
};
struct executor {
	const struct executor_ops *ops;
	/* Told of words and progress while work runs; may be NULL. */
	void (*on_log)(void *user, uint64_t id, enum log_level level, const char *message);
	void (*on_progress)(void *user, uint64_t id, double share, const char *message);
	void *user;
	/* Asked while many calls are waited for (executor_calls_end): true ends them with ERR_CANCELLED. May be NULL. */
	bool (*interrupted)(void *user);
	void *interrupted_user;
};

#endif
