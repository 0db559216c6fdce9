/* One supervised process; see service.h for the idea.
 *
 * Order of a start: intent file (durable) -> fork and exec -> pid file (durable) -> intent file removed. Whoever dies on the way leaves
 * an intent file; the next look, with the lock in hand, searches
 * /proc for its token: found, the process is adopted; not found, the start never happened. Threads: one; several processes meet at the
 * lock. */
#include "drivers/service.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/text.h"
#include "data/json.h"

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2)
#endif

#define TOKEN_VARIABLE "UNSHIP_SERVICE"
#define STATE_MAX      (1u << 20)
#define ENVIRON_MAX    (4u << 20)
#define LOCK_PAUSE_MS  10
#define KILL_WAIT_MS   5000

int service_signal(const char *name)
{
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int number = 1; number < NSIG; number++)
		if (sigabbrev_np(number) && strcasecmp(sigabbrev_np(number), name) == 0)
			return number;
	return 0;
}

static char *beside(const void *ctx, const char *pid_file, const char *suffix)
{
	return mem_printf(ctx, "%s.%s", pid_file, suffix);
}

int service_lock(const char *pid_file, int64_t deadline_ms, int *ret_fd, struct err *err)
{
	_cleanup_talloc_ char *path = beside(NULL, pid_file, "lock");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno(err, errno, "%s", path);
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_TIMEOUT, "%s: somebody else is starting or stopping the service", path);
		(void)poll(NULL, 0, LOCK_PAUSE_MS);
	}
	*ret_fd = take_fd(fd);
	return 0;
}

static const char *boot_id(const void *ctx)
{
	struct err ignored = ERR_INIT;
	size_t size;
	char *text;

	if (fs_read(ctx, "/proc/sys/kernel/random/boot_id", 256, &text, &size, &ignored) < 0)
		return "";
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* A state file as JSON; *ret NULL when it does not exist. One that cannot be read is an error: guessing here could start a second
 * process. */
static int read_state(const void *ctx, const char *path, json_t **ret, struct err *err)
{
	struct err why = ERR_INIT;
	size_t size;
	char *text;
	int r;

	*ret = NULL;
	r = fs_read(ctx, path, STATE_MAX, &text, &size, &why);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = json_parse(ctx, text, size, STATE_MAX, ret, &why);
	if (r < 0) {
		*err = why;
		return err_in(err, "%s", path);
	}
	return 0;
}

static int write_state(const char *path, json_t *state, struct err *err)
{
	_cleanup_talloc_ char *text = mem_append(json_pretty(NULL, state), "\n");

	return fs_write_atomic(path, text, strlen(text), 0600, err);
}

static int remove_file(const char *path, struct err *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(err, errno, "%s", path);
	return 0;
}

static bool has_token(const void *ctx, const char *pid_text, const char *wanted)
{
	_cleanup_talloc_ void *own = mem_context(ctx);
	struct err ignored = ERR_INIT;
	size_t size, length = strlen(wanted);
	char *text;

	/* Processes of others cannot be read, and are not ours. */
	if (fs_read(own, mem_printf(own, "/proc/%s/environ", pid_text), ENVIRON_MAX, &text, &size, &ignored) < 0)
		return false;
	for (char *at = text; at < text + size; at += strlen(at) + 1)
		if (strncmp(at, wanted, length) == 0 && at[length] == 0)
			return true;
	return false;
}

static pid_t parent_of(pid_t pid)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err ignored = ERR_INIT;
	size_t size;
	char *text, *at;

	if (fs_read(ctx, mem_printf(ctx, "/proc/%d/stat", (int)pid), 4096, &text, &size, &ignored) < 0 || !(at = strrchr(text, ')')) ||
		strlen(at) < 5)
		return 0;
	return (pid_t)strtol(at + 4, NULL, 10);
}

/* The service may be what runs unship: its token then stands in our own line of parents, who must not be taken for what it left behind. */
static bool is_ours(pid_t pid)
{
	for (pid_t at = getpid(); at > 1; at = parent_of(at))
		if (at == pid)
			return true;
	return false;
}

/* All living processes with the token, but ourselves and our parents. */
static int find_token(const void *ctx, const char *token, pid_t **ret, size_t *ret_count, struct err *err)
{
	_cleanup_talloc_ void *own = mem_context(NULL);
	char *wanted = mem_printf(own, TOKEN_VARIABLE "=%s", token), **names;
	pid_t *list = mem_array(ctx, pid_t, 1);
	size_t count = 0;
	int r;

	r = fs_list(own, "/proc", &names, err);
	if (r < 0)
		return r;
	for (; *names; names++) {
		pid_t pid = (pid_t)strtol(*names, NULL, 10);

		if (!isdigit((unsigned char)**names) || !has_token(own, *names, wanted) || proc_start_time(pid) == 0 || is_ours(pid))
			continue;
		list = mem_resize(ctx, list, pid_t, count + 1);
		list[count++] = pid;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

/* Of those with the token, the one that was started: it leads its session. Else the oldest that is left. */
static pid_t choose_leader(const pid_t *pids, size_t count)
{
	pid_t oldest = 0;

	for (size_t i = 0; i < count; i++) {
		if (getsid(pids[i]) == pids[i])
			return pids[i];
		if (!oldest || proc_start_time(pids[i]) < proc_start_time(oldest))
			oldest = pids[i];
	}
	return oldest;
}

static void take_state(json_t *state, struct service *ret)
{
	ret->token = json_str(state, "token", NULL);
	ret->version = json_str(state, "version", "");
	ret->run = json_str(state, "run", NULL);
	ret->step = json_str(state, "step", NULL);
	ret->key = json_str(state, "key", NULL);
	ret->argv = json_object_get(state, "argv");
}

static int look_for_intent(const void *ctx, json_t *intent, struct service *ret, struct err *err)
{
	const char *token = json_str(intent, "token", NULL);
	size_t count;
	pid_t *pids;
	int r;

	if (!token || strcmp(json_str(intent, "bootId", ""), boot_id(ctx)) != 0)
		return 0; /* started before the machine was: nothing of it is left */
	r = find_token(ctx, token, &pids, &count, err);
	if (r < 0 || count == 0)
		return r;
	take_state(intent, ret);
	ret->pid = choose_leader(pids, count);
	ret->start_time = proc_start_time(ret->pid);
	ret->running = ret->adopted = ret->start_time != 0;
	return 0;
}

int service_look(const void *ctx, const char *pid_file, bool locked, int64_t deadline_ms, struct service *ret, struct err *err)
{
	_cleanup_close_ int lock = -1;
	json_t *state, *intent = NULL;
	int r;

	*ret = (struct service){ .pid_file = mem_strdup(ctx, pid_file), .version = "" };
	if (!locked && fs_exists(beside(ctx, pid_file, "intent"))) {
		r = service_lock(pid_file, deadline_ms, &lock, err);
		if (r < 0)
			return r;
	}
	r = read_state(ctx, pid_file, &state, err);
	if (r == 0)
		r = read_state(ctx, beside(ctx, pid_file, "intent"), &intent, err);
	if (r < 0)
		return r;
	if (state && strcmp(json_str(state, "bootId", ""), boot_id(ctx)) == 0 &&
		proc_alive((pid_t)json_int(state, "pid", 0), (uint64_t)json_int(state, "startTime", 0))) {
		take_state(state, ret);
		ret->pid = (pid_t)json_int(state, "pid", 0);
		ret->start_time = (uint64_t)json_int(state, "startTime", 0);
		ret->running = true;
		return 0;
	}
	if (state && strcmp(json_str(state, "bootId", ""), boot_id(ctx)) == 0)
		ret->token = json_str(state, "token", NULL); /* its leader is gone; what it left behind may not be */
	return intent ? look_for_intent(ctx, intent, ret, err) : 0;
}

static json_t *state_json(const void *ctx, const char *token, const char *version, const char *run, const char *step, const char *key,
	json_t *argv)
{
	json_t *state = json_keep(ctx, json_object());

	json_put_str(state, "token", token);
	json_put_str(state, "bootId", boot_id(ctx));
	json_put_str(state, "version", version);
	json_put_str(state, "run", run);
	json_put_str(state, "step", step);
	json_put_str(state, "key", key);
	json_put(state, "argv", argv);
	return state;
}

int service_record(const struct service *service, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *state = state_json(ctx, service->token, service->version, service->run, service->step, service->key, service->argv);
	int r;

	json_put_int(state, "pid", service->pid);
	json_put_int(state, "startTime", (int64_t)service->start_time);
	json_put_str(state, "startedAt", clock_format(ctx, clock_wall_ms()));
	r = write_state(service->pid_file, state, err);
	if (r < 0)
		return r;
	FAILPOINT("process.recorded");
	return remove_file(beside(ctx, service->pid_file, "intent"), err);
}

static const char *new_token(const void *ctx)
{
	uint8_t random[16];

	assert_always(getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random));
	return text_hex(ctx, random, sizeof(random));
}

static int spawn(const void *ctx, const struct service_spec *spec, struct service *service, struct err *err)
{
	struct proc_spec child = { .argv = spec->argv, .dir = spec->dir, .output_path = spec->log_file, .detach = true };
	const char **env;
	size_t count = 0;
	struct proc proc;
	int r;

	while (spec->env[count])
		count++;
	env = mem_array(ctx, const char *, count + 2);
	for (size_t i = 0; i < count; i++)
		env[i] = spec->env[i];
	env[count] = mem_printf(ctx, TOKEN_VARIABLE "=%s", service->token);
	child.env = env;
	r = proc_start(&child, &proc, err);
	if (r < 0)
		return r;
	service->pid = proc.pid;
	service->start_time = proc_start_time(proc.pid); /* 0 when it ended at once: then it does not run */
	service->running = service->start_time != 0;
	proc_close(&proc);
	return 0;
}

int service_start(const void *ctx, const char *pid_file, const struct service_spec *spec, struct service *ret, struct err *err)
{
	char *intent = beside(ctx, pid_file, "intent");
	json_t *argv = json_keep(ctx, json_array());
	struct err why = ERR_INIT;
	bool killed;
	int r;

	for (size_t i = 0; spec->argv[i]; i++)
		(void)json_array_append_new(argv, json_string(spec->argv[i]));
	*ret = (struct service){ .pid_file = mem_strdup(ctx, pid_file),
		.token = new_token(ctx),
		.version = spec->version,
		.run = spec->run,
		.step = spec->step,
		.key = spec->key,
		.argv = argv };
	r = write_state(intent, state_json(ctx, ret->token, spec->version, spec->run, spec->step, spec->key, argv), err);
	if (r < 0)
		return r;
	FAILPOINT("process.intent");
	r = spawn(ctx, spec, ret, err);
	if (r < 0) {
		(void)unlink(intent);
		return r;
	}
	FAILPOINT("process.spawned");
	r = service_record(ret, err);
	if (r < 0) { /* a process that nobody could find again must not stay */
		if (service_stop(ret, SIGKILL, 0, clock_mono_ms() + KILL_WAIT_MS, &killed, &why) < 0)
			return err_in(err, "%s", why.text);
	}
	return r;
}

static void signal_one(pid_t pid, uint64_t start_time, int number)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd >= 0 && proc_alive(pid, start_time))
		(void)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

/* The service's process group: by a pidfd that was opened before the identity was looked at, so that nobody else can be hit. */
static void signal_group(const struct service *service, int number)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, service->pid, 0);
	bool leads = getpgid(service->pid) == service->pid;

	if (pidfd < 0 || !proc_alive(service->pid, service->start_time))
		return;
	if (syscall(SYS_pidfd_send_signal, pidfd, number, NULL, leads ? PIDFD_SIGNAL_PROCESS_GROUP : 0u) == 0 || errno != EINVAL)
		return;
	(void)kill(leads ? -service->pid : service->pid, number); /* before Linux 6.9 */
}

/* What carries the token and outlived the leader. Again until nothing is left: one may start another while we look. */
static int end_leftovers(const char *token, int64_t deadline_ms, struct err *err)
{
	for (;;) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		size_t count;
		pid_t *pids;
		int r;

		r = find_token(ctx, token, &pids, &count, err);
		if (r < 0 || count == 0)
			return r;
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_TIMEOUT, "process %d of the service cannot be killed", (int)pids[0]);
		for (size_t i = 0; i < count; i++) {
			uint64_t start_time = proc_start_time(pids[i]);

			signal_one(pids[i], start_time, SIGKILL);
			(void)proc_wait_gone(pids[i], start_time, deadline_ms);
		}
	}
}

int service_stop(const struct service *service, int signal, int64_t grace_ms, int64_t deadline_ms, bool *ret_killed, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	/* Time is kept for killing, so that a deadline does not leave a half-stopped service behind. */
	int64_t now_ms = clock_mono_ms(), soft_ms = MIN(now_ms + grace_ms, deadline_ms - MIN((int64_t)1000, (deadline_ms - now_ms) / 4));
	int r;

	*ret_killed = false;
	if (service->running && proc_alive(service->pid, service->start_time)) {
		signal_group(service, signal);
		signal_group(service, SIGCONT); /* a stopped process would never see it */
		FAILPOINT("process.signalled");
		if (!proc_wait_gone(service->pid, service->start_time, soft_ms)) {
			*ret_killed = true;
			signal_group(service, SIGKILL);
			if (!proc_wait_gone(service->pid, service->start_time, clock_mono_ms() + KILL_WAIT_MS))
				return err_set(err, ERR_TIMEOUT, "process %d cannot be killed", (int)service->pid);
		}
	}
	r = service->token ? end_leftovers(service->token, clock_mono_ms() + KILL_WAIT_MS, err) : 0;
	if (r < 0)
		return r;
	FAILPOINT("process.stopped");
	r = remove_file(service->pid_file, err);
	if (r == 0)
		r = remove_file(beside(ctx, service->pid_file, "intent"), err);
	return r;
}
