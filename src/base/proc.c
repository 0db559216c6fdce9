/* Handles on child processes: making the pipes, starting (by the spawner where there is one), signals, the end.
 *
 * All that can be decided before the fork is decided here: which program, in which folder (an open descriptor, since the
 * spawner may stand elsewhere), with which environment. What only the child can find out (exec fails) comes back by the report pipe, which
 * closes by itself when the program runs. Input that is known beforehand is in the pipe, or in a memory file if it is too big
 * for one, before the child starts: nobody has to feed it, and a child that does not read cannot block or signal us.
 * Threads: any; a handle belongs to one thread at a time. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"

#define START_LIMIT_MS 30000
#define KILL_LIMIT_MS  5000 /* how long a killed process may take to vanish: one in an uninterruptible call can hold out */

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2)
#endif

/* Descriptors while a child is started; what is still here at the end is closed. */
struct plumbing {
	int child_in, child_out, child_err, dir, report[2], status[2];
	int in, out, err;
};

static void close_fd(int *fd)
{
	cleanup_close(fd);
}

static void cleanup_plumbing(struct plumbing *p)
{
	int *all[] = { &p->child_in, &p->dir, &p->report[0], &p->report[1], &p->status[0], &p->status[1], &p->in, &p->out, &p->err };

	if (p->child_err != p->child_out)
		close_fd(&p->child_err);
	close_fd(&p->child_out);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		close_fd(all[i]);
}

/* ends[0] reads, ends[1] writes; ours does not block. */
static int make_pipe(int *ret_read, int *ret_write, bool read_is_ours, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	(void)fcntl(ends[!read_is_ours], F_SETFL, O_NONBLOCK);
	*ret_read = ends[0];
	*ret_write = ends[1];
	return 0;
}

static void ignore_broken_pipes(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN);
}

static int fill_input(struct plumbing *p, const char *input, size_t size, struct err *err)
{
	_cleanup_close_ int writer = -1;
	int r;

	r = make_pipe(&p->child_in, &writer, false, err);
	if (r < 0)
		return r;
	/* A pipe takes all or, non-blocking, a part: then a memory file takes its place. */
	if (size == 0 || write(writer, input, size) == (ssize_t)size)
		return 0;
	close_fd(&p->child_in);
	p->child_in = memfd_create("unship-input", MFD_CLOEXEC);
	if (p->child_in < 0)
		return err_errno(err, errno, "cannot make a memory file");
	r = fs_write_all(p->child_in, input, size, err);
	if (r < 0)
		return r;
	(void)lseek(p->child_in, 0, SEEK_SET);
	return 0;
}

static int open_input(const struct proc_spec *spec, struct plumbing *p, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (spec->input)
		return fill_input(p, spec->input, spec->input_size, err);
	if (spec->want_input && !spec->detach) {
		(void)pthread_once(&once, ignore_broken_pipes);
		return make_pipe(&p->child_in, &p->in, false, err);
	}
	p->child_in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return p->child_in < 0 ? err_errno(err, errno, "/dev/null") : 0;
}

static int open_output(const struct proc_spec *spec, struct plumbing *p, struct err *err)
{
	const char *path = spec->output_path ? spec->output_path : "/dev/null";
	int r;

	if (!spec->output_path && !spec->detach) {
		r = make_pipe(&p->out, &p->child_out, true, err);
		return r < 0 ? r : make_pipe(&p->err, &p->child_err, true, err);
	}
	p->child_out = p->child_err = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	return p->child_out < 0 ? err_errno(err, errno, "%s", path) : 0;
}

static int open_all(const struct proc_spec *spec, struct plumbing *p, struct err *err)
{
	int r;

	r = open_input(spec, p, err);
	if (r == 0)
		r = open_output(spec, p, err);
	if (r == 0 && pipe2(p->report, O_CLOEXEC) < 0)
		r = err_errno(err, errno, "cannot make a pipe");
	if (r == 0 && spawner_is_running() && !spec->detach)
		r = make_pipe(&p->status[0], &p->status[1], true, err);
	if (r < 0)
		return r;
	p->dir = open(spec->dir ? spec->dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return p->dir < 0 ? err_errno(err, errno, "folder '%s'", spec->dir ? spec->dir : ".") : 0;
}

/* PATH of the child's environment, else ours. */
static const char *search_path(const struct proc_spec *spec)
{
	for (size_t i = 0; spec->env && spec->env[i]; i++)
		if (text_starts_with(spec->env[i], "PATH="))
			return spec->env[i] + strlen("PATH=");
	return getenv("PATH");
}

/* A name with a slash is taken as it is (relative to the child's folder). Relative folders in PATH are skipped: what runs must
 * not depend on where unship stands. */
static int find_program(const void *ctx, const struct proc_spec *spec, const char **ret, struct err *err)
{
	const char *name = spec->argv[0], *path = search_path(spec);
	char **dirs;

	if (strchr(name, '/')) {
		*ret = name;
		return 0;
	}
	dirs = text_split(ctx, path ? path : "/usr/local/bin:/usr/bin:/bin", ':');
	for (size_t i = 0; *name && dirs[i]; i++) {
		char *candidate = fs_join(ctx, dirs[i], name);
		struct stat st;

		if (dirs[i][0] == '/' && access(candidate, X_OK) == 0 && stat(candidate, &st) == 0 && S_ISREG(st.st_mode)) {
			*ret = candidate;
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "program '%s' is not in PATH", name);
}

/* The environment: as given, or a clean one of the few variables that every program may know. */
static char **make_env(const void *ctx, const struct proc_spec *spec)
{
	static const char *const kept[] = { "PATH", "HOME", "LANG", "TZ", "TMPDIR" };
#ifdef UNSHIP_FAILPOINTS
	static const char *const test_only[] = { "UNSHIP_FAILPOINT", "UNSHIP_FAILPOINT_PID" };
#else
	static const char *const test_only[] = { NULL };
#endif
	size_t given = 0, count = 0;
	char **env;

	while (spec->env && spec->env[given])
		given++;
	env = mem_array(ctx, char *, given + ARRAY_SIZE(kept) + ARRAY_SIZE(test_only) + 1);
	for (size_t i = 0; i < given; i++)
		env[count++] = (char *)spec->env[i];
	for (size_t i = 0; !spec->env && i < ARRAY_SIZE(kept); i++)
		if (getenv(kept[i]))
			env[count++] = mem_printf(env, "%s=%s", kept[i], getenv(kept[i]));
	/* A crash point has to reach the forked drivers whatever environment they are given. */
	for (size_t i = 0; spec->entry && i < ARRAY_SIZE(test_only); i++)
		if (test_only[i] && getenv(test_only[i]))
			env[count++] = mem_printf(env, "%s=%s", test_only[i], getenv(test_only[i]));
	return env;
}

/* Waits until the program runs or has failed to; 0 or the child's errno. */
static int wait_for_report(int report, int64_t deadline_ms)
{
	int64_t limit = clock_mono_ms() + START_LIMIT_MS;
	int error = 0;

	if (deadline_ms > 0)
		limit = MIN(limit, MAX(deadline_ms, clock_mono_ms() + 100)); /* a deadline that has passed is proc_run's business */
	for (;;) {
		struct pollfd wait = { .fd = report, .events = POLLIN };
		int64_t left = limit - clock_mono_ms();
		ssize_t n;

		if (left <= 0)
			return ETIMEDOUT;
		if (poll(&wait, 1, (int)left) <= 0)
			continue;
		n = read(report, &error, sizeof(error));
		if (n < 0 && errno == EINTR)
			continue;
		return n == (ssize_t)sizeof(error) ? error : 0;
	}
}

static int explain_failure(const char *name, int error, struct err *err)
{
	if (error == ENOENT && strchr(name, '/'))
		return err_set(err, ERR_NOT_FOUND, "program '%s' (or the interpreter that it names) does not exist", name);
	if (error == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "program '%s' names an interpreter that does not exist", name);
	if (error == E2BIG)
		return err_set(err, ERR_TOO_LARGE, "program '%s': arguments and environment are too long", name);
	if (error == ENOEXEC)
		return err_set(err, ERR_INVALID, "program '%s' is neither an executable nor a script with a #! line", name);
	if (error == ETIMEDOUT)
		return err_set(err, ERR_TIMEOUT, "program '%s' could not be loaded in time", name);
	return err_errno(err, error, "program '%s' cannot be started", name);
}

static int start_child(const struct proc_spec *spec, struct plumbing *p, struct proc *ret, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct child_spec child = { .argv = (char *const *)spec->argv,
		.env = make_env(ctx, spec),
		.detach = spec->detach,
		.warm = spec->warm };
	int r = 0;

	if (spec->entry) {
		child.entry = child_find_entry(spec->argv[0]);
		if (!child.entry)
			return err_set(err, ERR_NOT_FOUND, "'%s' is not built in", spec->argv[0]);
	} else {
		r = find_program(ctx, spec, &child.path, err);
	}
	if (r == 0)
		r = open_all(spec, p, err);
	if (r < 0)
		return r;
	child.in = p->child_in;
	child.out = p->child_out;
	child.err = p->child_err;
	child.dir = p->dir;
	child.report = p->report[1];
	if (spawner_is_running()) {
		r = spawner_request(&child, p->status[1], &ret->pid, &ret->pidfd, err);
	} else {
		ret->pid = child_start(&child, &ret->pidfd);
		if (ret->pid < 0)
			r = err_errno(err, -ret->pid, "cannot fork");
	}
	return r < 0 ? err_in(err, "program '%s'", spec->argv[0]) : 0;
}

int proc_start(const struct proc_spec *spec, struct proc *ret, struct err *err)
{
	_cleanup_(cleanup_plumbing) struct plumbing p = { -1, -1, -1, -1, { -1, -1 }, { -1, -1 }, -1, -1, -1 };
	struct proc proc = { .pidfd = -1, .status_fd = -1, .in = -1, .out = -1, .err = -1 };
	int r, error;

	assert_always(spec->argv && spec->argv[0]);
	r = start_child(spec, &p, &proc, err);
	if (r < 0)
		return r;
	proc.status_fd = take_fd(p.status[0]);
	close_fd(&p.report[1]);
	close_fd(&p.status[1]); /* now only the spawner holds it: its end is the spawner's */
	error = wait_for_report(p.report[0], spec->deadline_ms);
	if (error) {
		if (spec->detach && error == ETIMEDOUT)
			proc_kill(&proc, SIGKILL);
		proc_close(&proc);
		return explain_failure(spec->argv[0], error, err);
	}
	proc.in = take_fd(p.in);
	proc.out = take_fd(p.out);
	proc.err = take_fd(p.err);
	*ret = proc;
	return 0;
}

void proc_kill(const struct proc *proc, int signal)
{
	if (proc->pid <= 1)
		return;
	if (proc->pidfd >= 0) {
		/* By the pidfd nobody else can be hit, even if the spawner has just reaped the leader and its number was given away. */
		if (syscall(SYS_pidfd_send_signal, proc->pidfd, signal, NULL, PIDFD_SIGNAL_PROCESS_GROUP) == 0 || errno != EINVAL)
			return;
		if (syscall(SYS_pidfd_send_signal, proc->pidfd, 0, NULL, 0) < 0) /* before Linux 6.9: at least ask if it is still there */
			return;
	}
	(void)kill(-proc->pid, signal);
}

/* 1: ended. In a spawner's child the report is a pipe that closes empty when the spawner died. */
static int poll_status(struct proc *proc, struct child_status *ret, bool *ret_lost)
{
	ssize_t n;
	int r;

	if (proc->status_fd >= 0) {
		n = read(proc->status_fd, ret, sizeof(*ret));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n != (ssize_t)sizeof(*ret)) {
			*ret_lost = true;
			proc_kill(proc, SIGKILL); /* the leader went with the spawner, what it started may be left */
		}
		return 1;
	}
	if (proc->pidfd < 0) { /* detached */
		*ret_lost = true;
		return proc_start_time(proc->pid) == 0;
	}
	r = child_reap(proc->pid, ret);
	if (r < 0)
		*ret_lost = true; /* somebody else reaped it */
	return r != 0;
}

int proc_poll(struct proc *proc, struct proc_result *ret)
{
	struct child_status status = { 0 };
	bool lost = false;

	if (proc->pid <= 0)
		return 1;
	if (!poll_status(proc, &status, &lost))
		return 0;
	ret->lost = lost;
	ret->exit_code = lost ? -1 : status.exit_code;
	ret->signal = lost ? 0 : status.signal;
	proc->pid = 0; /* the number may belong to somebody else from now on */
	return 1;
}

void proc_close(struct proc *proc)
{
	int *fds[] = { &proc->pidfd, &proc->status_fd, &proc->in, &proc->out, &proc->err };

	if (proc->pid > 0 && proc->pidfd >= 0) {
		struct pollfd wait = { .fd = proc->status_fd >= 0 ? proc->status_fd : proc->pidfd, .events = POLLIN };
		int64_t limit = clock_mono_ms() + KILL_LIMIT_MS;
		struct proc_result unused_result;

		proc_kill(proc, SIGKILL);
		while (!proc_poll(proc, &unused_result) && clock_mono_ms() < limit)
			(void)poll(&wait, 1, (int)MAX(limit - clock_mono_ms(), (int64_t)0));
	}
	proc->pid = 0;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (*fds[i] > STDERR_FILENO) /* a handle that is all zeros must not close our standard streams */
			close_fd(fds[i]);
}

uint64_t proc_start_time(pid_t pid)
{
	_cleanup_close_ int fd = -1;
	char path[64], stat[1024], *at;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pid <= 0 || fd < 0 || (n = read(fd, stat, sizeof(stat) - 1)) <= 0)
		return 0;
	stat[n] = 0;
	at = strrchr(stat, ')'); /* the name before it may contain anything */
	if (!at || strlen(at) < 3 || strchr("ZXx", at[2]))
		return 0;
	at++;
	for (int field = 3; field < 22 && at; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

bool proc_alive(pid_t pid, uint64_t start_time)
{
	return start_time != 0 && proc_start_time(pid) == start_time;
}

bool proc_wait_gone(pid_t pid, uint64_t start_time, int64_t deadline_ms)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	/* The pidfd is opened first and the identity looked at afterwards: so it is that very process. */
	while (proc_alive(pid, start_time)) {
		struct pollfd wait = { .fd = pidfd, .events = POLLIN };
		int64_t left = deadline_ms - clock_mono_ms();

		if (left <= 0)
			return false;
		/* Without a pidfd (no descriptors left): look every 5 ms. */
		(void)poll(&wait, pidfd >= 0, (int)MIN(left, pidfd >= 0 ? 60000 : 5));
		if (wait.revents && proc_alive(pid, start_time))
			(void)poll(NULL, 0, 1); /* ended, but not shown as a zombie yet */
	}
	return true;
}
