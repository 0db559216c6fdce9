/* Child processes: argv only (never a shell), own process group, parent-death signal, pidfd, deadline, limits on output.
 *
 * Two ways lead to the same handle. A single-threaded program (a driver) forks by itself. A program that will have threads calls
 * spawner_start first, before any thread and any large library: the spawner is a small single-threaded child that forks
 * on request, because forking a large threaded process is slow and unsafe. When the program dies, the spawner sees it, and every child with its
 * group is killed. The spawner reports how a child ended, and before it reaps a leader it kills what is left of the group: a child
 * that forks and lingers leaves nothing behind.
 *
 * A child that is to outlive the program (a supervised service) is started with `detach`: own session, no parent-death signal,
 * not killed with the group, adopted by init.
 *
 * Threads: spawner_start from the first thread only; everything else from any thread. */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

/* What a forked child runs instead of a program: gets its standard streams already in place, returns the exit code.
 * Entries are registered before spawner_start, so that the forked child has them loaded. */
struct proc_entry {
	const char *name;
	int (*main)(int argc, char **argv);
	/* Loads what some of its children need (a large library), so that they are forked with it; NULL: nothing. The spawner calls it
	 * once, before the first child that was
	 * asked for with `warm`: programs that start none never pay. It must start no thread and leave no descriptor open. */
	void (*warm)(void);
};

struct proc_spec {
	const char *const *argv; /* NULL-terminated; argv[0] searched in PATH, or the name of a proc_entry when `entry` */
	bool entry;              /* run a registered entry in a forked child, no exec */
	bool warm; /* of an entry: this child will need what its hook `warm` loads. A hint; without a spawner it says nothing */
	const char *const *env; /* NULL-terminated "NAME=value"; NULL: a clean environment (PATH, HOME, LANG, TZ, TMPDIR of ours) */
	const char *dir;        /* working directory, NULL: ours */
	const char *input;      /* written to its standard input, then closed; NULL: /dev/null, unless want_input */
	size_t input_size;
	bool want_input;         /* give the writing end of its standard input in proc->in instead (SIGPIPE is ignored from then on) */
	const char *output_path; /* standard output and error appended to this file instead of pipes (services) */
	bool detach;             /* outlives us; see above. The handle has only the pid */
	int64_t deadline_ms;     /* monotonic; 0: none. Then SIGTERM to the group, after grace_ms SIGKILL */
	int64_t grace_ms;        /* default 2000 */
	size_t output_max;       /* bytes kept of each stream (the first half and the last half); default 1 MiB */
	bool kill_on_overflow;   /* more than output_max: kill instead of dropping the middle */
};

struct proc {
	pid_t pid;        /* also the process group; 0 once proc_poll has seen its end */
	int pidfd;        /* -1 when detached */
	int status_fd;    /* spawner's report; -1 when forked directly */
	int in, out, err; /* pipes, -1 when not wanted; non-blocking */
};

struct proc_result {
	int exit_code;  /* 0..255; -1 when ended by a signal */
	int signal;     /* 0, or the signal that ended it */
	bool timed_out; /* the deadline passed */
	bool overflowed;
	bool lost;             /* the spawner died: how it ended is not known */
	char *output, *errors; /* owned by ctx, 0-terminated, may contain 0 bytes before */
	size_t output_size, errors_size;
	int64_t duration_ms;
};

/* Registers what `entry` children may run. Call before spawner_start. The list is copied. */
void proc_entries(const struct proc_entry *entries, size_t count);
/* Forks the spawner. Call once, first thing in main. Without it, children are forked directly by the calling process. */
must_check int spawner_start(struct err *err);
void spawner_stop(void); /* ends it and every child that it still has; waits */
/* In a forked entry: forget the spawner of the parent, so that this process forks directly. Called for entries by proc itself. */
void spawner_forget(void);

/* Starts a child. ERR_NOT_FOUND "program 'x' is not in PATH" before anything runs. Close the handle with proc_close. */
must_check int proc_start(const struct proc_spec *spec, struct proc *ret, struct err *err);
/* Signals the whole group. */
void proc_kill(const struct proc *proc, int signal);
/* Non-blocking: 1 ended (fills the result's exit_code, signal, lost), 0 still runs. Kills what is left of its group. */
int proc_poll(struct proc *proc, struct proc_result *ret);
/* Closes the descriptors; kills and waits if it still runs. */
void proc_close(struct proc *proc);
/* Start, feed, read, wait, within the deadline. A non-zero exit is no error here: look at the result. */
must_check int proc_run(const void *ctx, const struct proc_spec *spec, struct proc_result *ret, struct err *err);
/* proc_run, and a non-zero exit, a signal or a timeout is ERR_DRIVER/ERR_TIMEOUT with the last lines of its error output. */
must_check int proc_run_ok(const void *ctx, const struct proc_spec *spec, struct proc_result *ret, struct err *err);

/* Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat): with the pid, its identity. 0 when it does not exist or
 * is a zombie. */
uint64_t proc_start_time(pid_t pid);
/* True when that very process still runs. */
bool proc_alive(pid_t pid, uint64_t start_time);
/* Waits until it is gone; false at the deadline (monotonic ms). */
bool proc_wait_gone(pid_t pid, uint64_t start_time, int64_t deadline_ms);

#endif
