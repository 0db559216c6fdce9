/* A supervised process: which one it is, starting it exactly once, ending it wholly. For the driver process; knows nothing of verbs or
 * plans.
 *
 * Identity is pid, start time and boot id, in the pid file, so that a pid that was given to somebody else is never signalled. Beside it
 * a random token stands in the process's environment
 * (UNSHIP_SERVICE): a start that was interrupted between the fork and the writing of the pid file left an intent file with the token,
 * and the process is found again by it. Whatever
 * else carries the token (workers that outlived their master) belongs to the service and ends with it.
 *
 * The lock file is held while a service is started or stopped. A forked child holds it too, until it runs its own program: who gets the
 * lock knows that nobody is half started. */
#ifndef DRIVERS_SERVICE_H
#define DRIVERS_SERVICE_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

struct service_spec {
	const char *const *argv, *const *env; /* env without the token */
	const char *dir, *log_file;
	const char *version;          /* that it is started from */
	const char *run, *step, *key; /* of the call that starts it; may be NULL */
};

struct service {
	const char *pid_file;
	/* Filled by service_look: */
	bool running;
	bool adopted; /* found by its token: the pid file is not written yet */
	pid_t pid;
	uint64_t start_time;
	const char *token, *version;
	const char *run, *step, *key; /* of the call that started it; NULL: not known */
	json_t *argv;                 /* array; NULL: not known */
};

/* "INT", "SIGINT", "term" -> number; 0: none. */
int service_signal(const char *name);
/* Takes the lock; *ret_fd is to be closed. ERR_TIMEOUT at the deadline, naming the file. */
must_check int service_lock(const char *pid_file, int64_t deadline_ms, int *ret_fd, struct err *err);
/* Looks which process runs. Takes the lock for a moment when somebody was interrupted while starting; `locked`: the caller holds it.
 * Everything in ctx. */
must_check int service_look(const void *ctx, const char *pid_file, bool locked, int64_t deadline_ms, struct service *ret, struct err *err);
/* Starts it; the caller holds the lock and has seen that nothing runs. On failure nothing runs. */
must_check int service_start(const void *ctx, const char *pid_file, const struct service_spec *spec, struct service *ret, struct err *err);
/* The signal, then SIGKILL after grace_ms (or earlier at the deadline); then everything that carries its token. The caller holds the
 * lock. Nothing runs: success. *ret_killed: it had to be. */
must_check int service_stop(const struct service *service, int signal, int64_t grace_ms, int64_t deadline_ms, bool *ret_killed,
	struct err *err);
/* Writes the pid file of a running service and removes the intent; for an adopted one. */
must_check int service_record(const struct service *service, struct err *err);

#endif
