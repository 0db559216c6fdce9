/* The child's side of process spawning: from fork to exec or to an entry's main. Used by the spawner, and by proc.c in programs
 * that have none. Between fork and exec only async-signal-safe functions run, so that a threaded program without a spawner
 * may still start programs (not entries). All signals are blocked around the fork: a handler of the parent must not run in the child. */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

static struct proc_entry *entries;
static size_t entry_count;

void proc_entries(const struct proc_entry *list, size_t count)
{
	free(entries);
	entries = mem_check(calloc(MAX(count, (size_t)1), sizeof(*entries)));
	for (size_t i = 0; i < count; i++)
		entries[i] = list[i];
	entry_count = count;
}

const struct proc_entry *child_find_entry(const char *name)
{
	for (size_t i = 0; i < entry_count; i++)
		if (strcmp(entries[i].name, name) == 0)
			return &entries[i];
	return NULL;
}

__attribute__((noreturn)) static void fail(int report)
{
	int error = errno;

	(void)!write(report, &error, sizeof(error));
	_exit(127);
}

/* Descriptors from 3 on: closed at exec, or now. Kernels before 5.11 lack the flag: then one by one. */
static void close_others(bool at_exec)
{
	struct rlimit limit;

	if (syscall(SYS_close_range, 3u, ~0u, at_exec ? CLOSE_RANGE_CLOEXEC : 0u) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 65536)
		limit.rlim_cur = 65536;
	for (int fd = 3; fd < (int)limit.rlim_cur; fd++) {
		if (!at_exec)
			(void)close(fd);
		else
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
}

static void reset_signals(void)
{
	struct sigaction standard = { .sa_handler = SIG_DFL };

	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &standard, NULL); /* KILL, STOP and those of libc itself refuse */
}

/* Out of the way of 0 to 2: a parent that had one of them closed may have got it for something else. */
static int move_up(int fd, int report)
{
	if (fd > STDERR_FILENO)
		return fd;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (fd < 0)
		fail(report);
	return fd;
}

__attribute__((noreturn)) static void run_entry(const struct child_spec *spec)
{
	int argc = 0;

	while (spec->argv[argc])
		argc++;
	__fpurge(stdin); /* what the parent had read ahead is not ours */
	environ = (char **)spec->env;
	(void)prctl(PR_SET_NAME, spec->entry->name);
	spawner_forget();
	log_to_stderr();
	exit(spec->entry->main(argc, (char **)spec->argv));
}

__attribute__((noreturn)) static void child_run(const struct child_spec *spec, pid_t parent)
{
	int report = move_up(spec->report, spec->report), dir, fds[3];
	sigset_t none;

	if (spec->detach) {
		if (setsid() < 0)
			fail(report);
	} else {
		/* Set before the look at the parent: if it died in between, either the signal comes or the look sees it. */
		if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			fail(report);
		if (getppid() != parent)
			_exit(127);
	}
	reset_signals();
	dir = move_up(spec->dir, report);
	fds[0] = move_up(spec->in, report);
	fds[1] = move_up(spec->out, report);
	fds[2] = move_up(spec->err, report);
	if (fchdir(dir) < 0)
		fail(report);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			fail(report);
	close_others(spec->entry == NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (spec->entry)
		run_entry(spec);
	(void)execve(spec->path, (char *const *)spec->argv, (char *const *)spec->env);
	fail(report);
}

/* A grandchild, whose parent ends at once, so that init adopts it. Its pid comes back by a pipe. */
static pid_t start_detached(const struct child_spec *spec)
{
	pid_t middle, pid = -EIO;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	middle = fork();
	if (middle == 0) {
		pid = fork();
		if (pid == 0)
			child_run(spec, 0);
		if (pid < 0)
			pid = -errno;
		(void)!write(ends[1], &pid, sizeof(pid));
		_exit(0);
	}
	if (middle < 0)
		pid = -errno;
	(void)close(ends[1]);
	if (middle > 0) {
		while (read(ends[0], &pid, sizeof(pid)) < 0 && errno == EINTR)
			;
		while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
			;
	}
	(void)close(ends[0]);
	return pid;
}

static pid_t start_attached(const struct child_spec *spec, int *ret_pidfd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		child_run(spec, parent);
	if (pid < 0)
		return -errno;
	(void)setpgid(pid, pid); /* both sides do it: whoever comes first */
	*ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (*ret_pidfd < 0) {
		int error = errno;

		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return -error;
	}
	return pid;
}

pid_t child_start(const struct child_spec *spec, int *ret_pidfd)
{
	sigset_t all, before;
	pid_t pid;

	*ret_pidfd = -1;
	if (spec->entry)
		(void)fflush(NULL); /* the child ends by exit(): it must not write out our buffers a second time */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = spec->detach ? start_detached(spec) : start_attached(spec, ret_pidfd);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid;
}

int child_reap(pid_t pid, struct child_status *ret)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return -errno;
	if (info.si_pid == 0)
		return 0;
	/* As long as the leader is not reaped its number, which is the group's, cannot belong to anybody else. */
	(void)kill(-pid, SIGKILL);
	if (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
		return -errno;
	ret->exit_code = info.si_code == CLD_EXITED ? info.si_status : -1;
	ret->signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
	return 1;
}
