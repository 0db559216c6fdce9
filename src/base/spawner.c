/* The spawner: a small process with one thread, forked before the program grows, that forks on request.
 *
 * Program and spawner hold the two ends of a SOCK_SEQPACKET pair. A request is one message: a header, then the path or entry name, the
 * arguments and the environment as 0-terminated strings; with it go the descriptors that the child is to have, and
 * the writing end of a status pipe. The answer is the pid, with a pidfd. When a child ends, the spawner kills the rest of its group, reaps it
 * and writes a struct child_status on its status pipe; if the spawner dies the pipe just closes, which the program sees.
 * When the program dies the socket closes (a parent-death signal says the same, should somebody else hold the other end):
 * then all groups are killed and the spawner ends. It sits in a process group of its own and blocks all signals, so that nothing
 * aimed at the program's group (an interrupt at the terminal, kill -9 of the group) takes it away before it has cleaned up.
 *
 * Threads: the program's side takes a mutex for each request; the spawner's side has one thread. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/text.h"

#define MESSAGE_MAX     (256 * 1024)
#define ANSWER_LIMIT_S  30
#define FDS_MAX         6
#define LAST_WAIT_MS    1000
#define FLAG_ENTRY      1u
#define FLAG_DETACH     2u
#define FLAG_HAS_STATUS 4u
#define FLAG_WARM       8u

struct request {
	uint32_t sequence, flags, argc, envc;
};

struct answer {
	uint32_t sequence;
	int32_t pid; /* or -errno */
};

union fd_space { /* aligned as the kernel wants it */
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

static ssize_t send_with_fds(int to, const void *bytes, size_t size, const int *fds, size_t count)
{
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	union fd_space space;
	ssize_t n;

	if (count > 0) {
		memset(&space, 0, sizeof(space));
		message.msg_control = &space;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		space.header.cmsg_level = SOL_SOCKET;
		space.header.cmsg_type = SCM_RIGHTS;
		space.header.cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(&space.header), fds, sizeof(int) * count);
	}
	do
		n = sendmsg(to, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

/* *count: room, then how many came. A message or descriptors cut short are an error. */
static ssize_t receive_with_fds(int from, void *bytes, size_t size, int *fds, size_t *count)
{
	struct iovec part = { .iov_base = bytes, .iov_len = size };
	union fd_space space;
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space) };
	size_t room = *count;
	ssize_t n;

	*count = 0;
	do
		n = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return n;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
		size_t got = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < got; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
			if (*count < room)
				fds[(*count)++] = fd;
			else
				(void)close(fd);
		}
	}
	return n;
}

/* ---- the spawner's side ---- */

struct running {
	pid_t pid;
	int status;
};

static struct running *children;
static size_t child_count;
static _Alignas(struct request) char message_buffer[MESSAGE_MAX];

static void remember_child(pid_t pid, int status)
{
	children = mem_check(realloc(children, (child_count + 1) * sizeof(*children)));
	children[child_count++] = (struct running){ .pid = pid, .status = status };
}

static void report_end(size_t i, const struct child_status *status)
{
	(void)!write(children[i].status, status, sizeof(*status)); /* fits a pipe; EPIPE (signal blocked) when nobody wants it */
	(void)close(children[i].status);
	children[i] = children[--child_count];
}

static void reap_children(void)
{
	for (;;) {
		struct child_status status;
		siginfo_t info = { 0 };
		size_t i = 0;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		if (child_reap(info.si_pid, &status) != 1)
			return;
		while (i < child_count && children[i].pid != info.si_pid)
			i++;
		if (i < child_count)
			report_end(i, &status);
	}
}

/* The strings of a request as pointer arrays: path or entry name, argv, env. */
static bool parse_request(const char *message, size_t size, struct child_spec *ret)
{
	const struct request *request = (const struct request *)message;
	const char *at = message + sizeof(*request), *end = message + size;
	size_t count;
	char **pointers;

	if (size <= sizeof(*request) || end[-1] != 0 || request->argc > size || request->envc > size)
		return false;
	count = (size_t)request->argc + request->envc;
	pointers = mem_check(calloc(count + 2, sizeof(*pointers)));
	ret->path = at;
	for (size_t i = 0; i < count; i++) {
		at += strlen(at) + 1;
		if (at >= end) {
			free(pointers);
			return false;
		}
		pointers[i + (i >= request->argc)] = (char *)at;
	}
	ret->argv = pointers;
	ret->env = pointers + request->argc + 1;
	ret->detach = request->flags & FLAG_DETACH;
	return true;
}

/* Once for each entry: there are few, and a program that starts no child which needs it never pays. */
static void warm_up(const struct proc_entry *entry)
{
	static const struct proc_entry *warmed;

	if (!entry->warm || entry == warmed)
		return;
	warmed = entry;
	entry->warm();
}

/* Returns the pid or -errno. `fds`: in, out, err, dir, report, and status unless detached. */
static pid_t serve(size_t size, const int *fds, size_t fd_count, int *ret_pidfd)
{
	const struct request *request = (const struct request *)message_buffer;
	struct child_spec spec = { 0 };
	pid_t pid;

	if (fd_count != (request->flags & FLAG_HAS_STATUS ? 6 : 5))
		return -EMFILE; /* our table is full: the kernel dropped them */
	if (!parse_request(message_buffer, size, &spec))
		return -EINVAL;
	spec.in = fds[0];
	spec.out = fds[1];
	spec.err = fds[2];
	spec.dir = fds[3];
	spec.report = fds[4];
	if (request->flags & FLAG_ENTRY) {
		spec.entry = child_find_entry(spec.path);
		spec.path = NULL;
		if (spec.entry && request->flags & FLAG_WARM)
			warm_up(spec.entry);
	}
	pid = request->flags & FLAG_ENTRY && !spec.entry ? -ENOENT : child_start(&spec, ret_pidfd);
	free((void *)spec.argv);
	return pid;
}

/* False when the program is gone. */
static bool handle_request(int sock)
{
	const struct request *request = (const struct request *)message_buffer;
	int fds[FDS_MAX], pidfd = -1;
	size_t count = FDS_MAX;
	ssize_t n = receive_with_fds(sock, message_buffer, sizeof(message_buffer), fds, &count);
	struct answer answer;

	if (n < (ssize_t)sizeof(*request))
		return n < 0 && errno == EAGAIN;
	answer.sequence = request->sequence;
	answer.pid = serve((size_t)n, fds, count, &pidfd);
	if (answer.pid > 0 && count == 6) {
		remember_child(answer.pid, fds[5]);
		count = 5;
	}
	(void)send_with_fds(sock, &answer, sizeof(answer), &pidfd, pidfd >= 0);
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
	if (pidfd >= 0)
		(void)close(pidfd);
	return true;
}

/* Kills all, and waits a moment so that the ends are still reported to threads that wait for them. */
static void end_children(int signals)
{
	int64_t limit = clock_mono_ms() + LAST_WAIT_MS;

	for (size_t i = 0; i < child_count; i++)
		(void)kill(-children[i].pid, SIGKILL);
	for (;;) {
		struct pollfd wait = { .fd = signals, .events = POLLIN };
		struct signalfd_siginfo info;
		int64_t left = limit - clock_mono_ms();

		reap_children();
		if (child_count == 0 || left <= 0)
			return;
		if (poll(&wait, 1, (int)left) > 0)
			(void)!read(signals, &info, sizeof(info));
	}
}

__attribute__((noreturn)) static void spawner_main(int sock, pid_t program)
{
	struct pollfd waits[2] = { { .fd = sock, .events = POLLIN }, { .events = POLLIN } };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t wanted;

	/* SIGUSR2 tells of the program's death; with every signal blocked nothing interrupts, and SIGKILL would leave the groups behind. */
	(void)prctl(PR_SET_PDEATHSIG, SIGUSR2);
	(void)prctl(PR_SET_NAME, "unship-spawner");
	(void)setpgid(0, 0);
	if (null >= 0) { /* the program's pipes must end when it does */
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
	}
	(void)sigemptyset(&wanted);
	(void)sigaddset(&wanted, SIGCHLD);
	(void)sigaddset(&wanted, SIGUSR2);
	(void)signal(SIGCHLD, SIG_DFL); /* inherited SIG_IGN would make the kernel reap for us */
	waits[1].fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	assert_always(waits[1].fd >= 0);

	while (getppid() == program) {
		struct signalfd_siginfo info;

		if (poll(waits, 2, -1) <= 0)
			continue;
		if (waits[1].revents) {
			while (read(waits[1].fd, &info, sizeof(info)) > 0)
				;
			reap_children();
		}
		if (waits[0].revents && !handle_request(sock))
			break;
	}
	end_children(waits[1].fd);
	_exit(0);
}

/* ---- the program's side ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int socket_fd = -1;
static pid_t spawner_pid, owner_pid;
static uint32_t sequence;

bool spawner_is_running(void)
{
	return atomic_load(&socket_fd) >= 0 && owner_pid == getpid();
}

int spawner_start(struct err *err)
{
	struct timeval limit = { .tv_sec = ANSWER_LIMIT_S };
	int ends[2], size = 2 * MESSAGE_MAX;
	pid_t program = getpid();
	sigset_t all, before;

	assert_always(!spawner_is_running());
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_errno(err, errno, "cannot start the spawner");
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	(void)fflush(NULL);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	spawner_pid = fork();
	if (spawner_pid == 0) {
		(void)dup2(ends[1], 3); /* no other descriptor of the program may live on in here */
		(void)syscall(SYS_close_range, 4u, ~0u, 0u);
		(void)fcntl(3, F_SETFD, FD_CLOEXEC);
		spawner_main(3, program);
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)close(ends[1]);
	if (spawner_pid < 0) {
		int error = errno;

		(void)close(ends[0]);
		return err_errno(err, error, "cannot start the spawner");
	}
	(void)setpgid(spawner_pid, spawner_pid);
	owner_pid = program;
	atomic_store(&socket_fd, ends[0]);
	return 0;
}

void spawner_stop(void)
{
	if (!spawner_is_running())
		return;
	(void)pthread_mutex_lock(&mutex);
	(void)close(atomic_exchange(&socket_fd, -1));
	while (waitpid(spawner_pid, NULL, 0) < 0 && errno == EINTR)
		;
	(void)pthread_mutex_unlock(&mutex);
}

void spawner_forget(void)
{
	/* The descriptor itself was closed with all others; closing the number again could hit somebody else's. */
	atomic_store(&socket_fd, -1);
	owner_pid = 0;
}

static size_t strings_size(char *const *strings, uint32_t *ret_count)
{
	size_t size = 0;

	for (*ret_count = 0; strings[*ret_count]; (*ret_count)++)
		size += strlen(strings[*ret_count]) + 1;
	return size;
}

static char *put_string(char *to, const char *text)
{
	size_t size = strlen(text) + 1;

	memcpy(to, text, size);
	return to + size;
}

static int make_message(const struct child_spec *spec, bool has_status, char **ret, size_t *ret_size, struct err *err)
{
	const char *name = spec->entry ? spec->entry->name : spec->path;
	struct request request = { 0 };
	size_t size = sizeof(request) + strlen(name) + 1 + strings_size(spec->argv, &request.argc) + strings_size(spec->env, &request.envc);
	char *at;

	if (size > MESSAGE_MAX)
		return err_set(err, ERR_TOO_LARGE, "arguments and environment of '%.64s' take %zu bytes; %d are allowed", name, size,
			MESSAGE_MAX);
	request.flags = (spec->entry ? FLAG_ENTRY : 0) | (spec->detach ? FLAG_DETACH : 0) | (has_status ? FLAG_HAS_STATUS : 0) |
		(spec->warm ? FLAG_WARM : 0);
	*ret = mem_check(malloc(size));
	*ret_size = size;
	memcpy(*ret, &request, sizeof(request));
	at = put_string(*ret + sizeof(request), name);
	for (size_t i = 0; spec->argv[i]; i++)
		at = put_string(at, spec->argv[i]);
	for (size_t i = 0; spec->env[i]; i++)
		at = put_string(at, spec->env[i]);
	return 0;
}

/* The answer to the current sequence number. An older one belongs to a request that was given up: its child goes. */
static int receive_answer(int sock, struct answer *ret, int *ret_pidfd, struct err *err)
{
	for (;;) {
		int pidfd = -1;
		size_t count = 1;
		ssize_t n = receive_with_fds(sock, ret, sizeof(*ret), &pidfd, &count);

		if (n < 0 && errno == EAGAIN)
			return err_set(err, ERR_TIMEOUT, "the spawner does not answer");
		if (n != (ssize_t)sizeof(*ret))
			return err_set(err, ERR_FAILED, "the spawner has died; start unship again");
		if (ret->sequence == sequence) {
			*ret_pidfd = pidfd;
			return 0;
		}
		if (ret->pid > 1)
			(void)kill(-ret->pid, SIGKILL);
		if (pidfd >= 0)
			(void)close(pidfd);
	}
}

static int exchange_locked(char *message, size_t size, const int *fds, size_t count, struct answer *ret, int *ret_pidfd, struct err *err)
{
	int sock = atomic_load(&socket_fd);

	if (sock < 0)
		return err_set(err, ERR_CANCELLED, "the spawner was stopped");
	sequence++;
	memcpy(message + offsetof(struct request, sequence), &sequence, sizeof(sequence));
	if (send_with_fds(sock, message, size, fds, count) < 0) {
		if (errno == EMSGSIZE)
			return err_set(err, ERR_TOO_LARGE, "arguments and environment take %zu bytes: too many for a message here", size);
		if (errno == EPIPE || errno == ECONNRESET)
			return err_set(err, ERR_FAILED, "the spawner has died; start unship again");
		return err_errno(err, errno, "cannot ask the spawner");
	}
	return receive_answer(sock, ret, ret_pidfd, err);
}

int spawner_request(const struct child_spec *spec, int status, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	int fds[FDS_MAX] = { spec->in, spec->out, spec->err, spec->dir, spec->report, status };
	_cleanup_free_ char *message = NULL;
	struct answer answer;
	int pidfd = -1, r;
	size_t size = 0;

	r = make_message(spec, status >= 0, &message, &size, err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&mutex);
	r = exchange_locked(message, size, fds, status >= 0 ? 6 : 5, &answer, &pidfd, err);
	(void)pthread_mutex_unlock(&mutex);
	if (r < 0)
		return r;
	if (answer.pid < 0)
		return err_errno(err, -answer.pid, "cannot fork");
	*ret_pid = answer.pid;
	*ret_pidfd = pidfd;
	return 0;
}
