/* process: a service on a host without a supervisor: started, stopped and restarted by unship itself. How it is found, started
 * once and ended wholly is in service.c.
 *
 * The version of a service is that of the release which it was started from: `release` names a path (often the link `current`) whose
 * resolved directory says the version. A new
 * version is a restart after the code was switched. Ready means that the `ready` check passes; without one, that it did not end within a
 * moment.
 *
 * At target: stop: nothing runs. start: it runs, from the wanted version, and is ready. restart: the same, and this very step of the run
 * started it. A version alone (no action) means: runs from that version. */
#include "drivers/list.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/env.h"
#include "drivers/release.h"
#include "drivers/sandbox.h"
#include "drivers/service.h"
#include "net/http.h"

#define CAPTURED       "service.json"
#define CAPTURED_MAX   (1u << 20)
#define SETTLE_MS      250 /* without a ready check: one that cannot start usually ends within this */
#define READY_PAUSE_MS 20
#define LOG_TAIL       2048
#define LOG_LINES      3

struct ready_params {
	const char *type, *url, *host;
	int64_t port, timeout_ms;
	const char **argv;
};

struct process_params {
	const char **argv;
	const char *dir, *env_file, *pid_file, *log_file, *stop_signal, *release;
	json_t *env;
	int64_t grace_ms, ready_timeout_ms;
	struct ready_params ready;
};

static const struct field ready_fields[] = {
	FIELD_CHOICE(struct ready_params, type, OPTIONAL, "http|tcp|exec", "kind of check"),
	FIELD_STR(struct ready_params, url, OPTIONAL, "http: address that answers with a status below 400 when the service is ready"),
	FIELD_STR(struct ready_params, host, DEFAULT("127.0.0.1"), "tcp: host"),
	FIELD_INT(struct ready_params, port, OPTIONAL, 1, 65535, "tcp: port that accepts connections"),
	FIELD_PROGRAM(struct ready_params, argv, OPTIONAL, "exec: program that exits with 0 when the service is ready"),
	FIELD_MS(struct ready_params, timeout_ms, DEFAULT("2s"), "time limit of one attempt"),
	FIELD_END,
};

static const struct field process_fields[] = {
	FIELD_PROGRAM(struct process_params, argv, REQUIRED, "program and its arguments; there is no shell"),
	FIELD_DIR(struct process_params, dir, DEFAULT("."),
		"working directory, relative to the project; links are resolved when it starts"),
	FIELD_MAP(struct process_params, env, OPTIONAL, "environment variables: text, or secret references"),
	FIELD_FILE(struct process_params, env_file, OPTIONAL, "file of NAME=value lines, relative to the project"),
	FIELD_PATH(struct process_params, pid_file, OPTIONAL, "where its identity is kept; in .deployments/run/ when missing"),
	FIELD_PATH(struct process_params, log_file, OPTIONAL, "its output is appended here; in .deployments/run/ when missing"),
	FIELD_STR(struct process_params, stop_signal, DEFAULT("TERM"), "signal that asks it to end"),
	FIELD_MS(struct process_params, grace_ms, DEFAULT("10s"), "time between that signal and SIGKILL"),
	FIELD_GROUP(struct process_params, ready, OPTIONAL, ready_fields, "how to tell that it is ready"),
	FIELD_MS(struct process_params, ready_timeout_ms, DEFAULT("30s"), "how long it may take to become ready"),
	FIELD_PATH(struct process_params, release, OPTIONAL, "path whose release is its version; `dir` when missing"),
	FIELD_END,
};

static const char *place(struct driver_call *call, const char *path)
{
	return fs_join(call->ctx, call->project_dir, path);
}

static char *default_file(struct driver_call *call, const char *suffix)
{
	return mem_printf(call->ctx, "%s/run/%s-%s.%s", call->state_dir, call->environment, call->name, suffix);
}

static const char *pid_file(struct driver_call *call)
{
	const struct process_params *p = call->params;

	return p->pid_file ? place(call, p->pid_file) : default_file(call, "json");
}

static const char *log_file(struct driver_call *call)
{
	const struct process_params *p = call->params;

	return p->log_file ? place(call, p->log_file) : default_file(call, "log");
}

static int make_parent(struct driver_call *call, const char *path, struct err *err)
{
	char *dir = mem_strdup(call->ctx, path);

	*strrchr(dir, '/') = 0;
	return *dir ? fs_mkdirs(dir, 0700, err) : 0;
}

/* What the release path holds now. */
static int release_version(struct driver_call *call, const char **ret, struct err *err)
{
	const struct process_params *p = call->params;
	struct release release;
	int r;

	r = release_read(call->ctx, place(call, p->release ? p->release : p->dir), &release, err);
	if (r < 0)
		return err_in(err, "release");
	*ret = release.version;
	return 0;
}

static int look(struct driver_call *call, bool locked, struct service *ret, struct err *err)
{
	const char *path = pid_file(call);
	int r;

	r = locked ? make_parent(call, path, err) : 0;
	return r < 0 ? r : service_look(call->ctx, path, locked, call->deadline_ms, ret, err);
}

/* ---- ready ---- */

static int try_connect(const struct addrinfo *address, int64_t deadline_ms)
{
	_cleanup_close_ int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (poll(&wait, 1, (int)MAX(deadline_ms - clock_mono_ms(), (int64_t)0)) <= 0)
		return ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

static int ready_tcp(const struct ready_params *ready, int64_t deadline_ms, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL;
	char port[16];
	int error;

	(void)snprintf(port, sizeof(port), "%d", (int)ready->port);
	error = getaddrinfo(ready->host, port, &hints, &list);
	if (error)
		return err_set(err, ERR_UNREACHABLE, "%s: %s", ready->host, gai_strerror(error));
	error = ECONNREFUSED;
	for (struct addrinfo *at = list; at && error; at = at->ai_next)
		error = try_connect(at, deadline_ms);
	freeaddrinfo(list);
	return error ? err_set(err, ERR_UNREACHABLE, "%s:%s: %s", ready->host, port, strerror(error)) : 0;
}

static int ready_http(struct driver_call *call, const struct ready_params *ready, int64_t limit_ms, struct err *err)
{
	struct http_request request = { .url = ready->url, .timeout_ms = limit_ms, .local_ok = true };
	struct http_response response;
	int r;

	r = http_request(call->ctx, &request, &response, err);
	if (r < 0)
		return r;
	return response.status < 400 ? 0 : err_set(err, ERR_FAILED, "answered with status %d", response.status);
}

/* One attempt. */
static int ready_once(struct driver_call *call, int64_t deadline_ms, struct err *err)
{
	const struct process_params *p = call->params;
	int64_t now_ms = clock_mono_ms(), until_ms = MIN(now_ms + p->ready.timeout_ms, deadline_ms);
	struct proc_result result;

	if (until_ms <= now_ms)
		return err_set(err, ERR_TIMEOUT, "no time left for the ready check");
	if (strcmp(p->ready.type, "http") == 0)
		return ready_http(call, &p->ready, until_ms - now_ms, err);
	if (strcmp(p->ready.type, "tcp") == 0)
		return ready_tcp(&p->ready, until_ms, err);
	return proc_run_ok(call->ctx,
		&(struct proc_spec){ .argv = p->ready.argv,
			.dir = place(call, p->dir),
			.deadline_ms = until_ms,
			.env = env_new(call->ctx)->list },
		&result, err);
}

static int check_params(struct driver_call *call, struct err *err)
{
	const struct process_params *p = call->params;
	const struct ready_params *ready = &p->ready;

	if (!service_signal(p->stop_signal))
		return err_set(err, ERR_INVALID, "stopSignal: there is no signal '%s'", p->stop_signal);
	if (!ready->type)
		return ready->url || ready->port || ready->argv ? err_set(err, ERR_INVALID, "ready: 'type' is missing") : 0;
	if (strcmp(ready->type, "http") == 0 && !ready->url)
		return err_set(err, ERR_INVALID, "ready: 'url' is missing");
	if (strcmp(ready->type, "tcp") == 0 && !ready->port)
		return err_set(err, ERR_INVALID, "ready: 'port' is missing");
	if (strcmp(ready->type, "exec") == 0 && (!ready->argv || !ready->argv[0]))
		return err_set(err, ERR_INVALID, "ready: 'argv' is missing");
	return 0;
}

/* The end of what the service wrote since `from`: why it did not start is usually there. */
static const char *log_tail(struct driver_call *call, off_t from)
{
	_cleanup_close_ int fd = open(log_file(call), O_RDONLY | O_CLOEXEC);
	char bytes[LOG_TAIL];
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	char *said = mem_strdup(call->ctx, "");
	ssize_t n;

	if (end <= from)
		return "";
	n = pread(fd, bytes, sizeof(bytes), MAX(from, end - (off_t)sizeof(bytes)));
	/* Programs say why at the end; the last lines fit into an error, which is one line. */
	for (int lines = 0; lines < LOG_LINES && n > 0;) {
		const char *newline = memrchr(bytes, '\n', (size_t)n), *line = newline ? newline + 1 : bytes;
		size_t size = (size_t)(bytes + n - line), blank = strspn(mem_strndup(call->ctx, line, size), " \t\r");

		n = newline ? newline - bytes : 0;
		if (blank == size)
			continue;
		said = mem_printf(call->ctx, "%s%s%s", text_printable(call->ctx, line + blank, size - blank, false), *said ? " | " : "",
			said);
		lines++;
	}
	return *said ? mem_printf(call->ctx, ": %s", said) : "";
}

static off_t log_size(struct driver_call *call)
{
	struct stat st;

	return stat(log_file(call), &st) == 0 ? st.st_size : 0;
}

/* Until it is ready, or has ended, or the time is over. */
static int await_ready(struct driver_call *call, const struct service *service, off_t log_from, struct err *err)
{
	const struct process_params *p = call->params;
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	int64_t limit_ms = MIN(clock_mono_ms() + p->ready_timeout_ms, call->deadline_ms - 200);

	if (!p->ready.type) {
		if (!proc_wait_gone(service->pid, service->start_time, clock_mono_ms() + SETTLE_MS))
			return 0;
		return err_set(err, ERR_FAILED, "the service ended right after its start%s", log_tail(call, log_from));
	}
	for (;;) {
		struct err why = ERR_INIT;
		int r = ready_once(call, limit_ms, &why);

		/* Somebody else may answer at its address: it counts only while our process lives. */
		if (!proc_alive(service->pid, service->start_time))
			return err_set(err, ERR_FAILED, "the service ended before it was ready%s", log_tail(call, log_from));
		if (r == 0)
			return 0;
		if (clock_mono_ms() + READY_PAUSE_MS >= limit_ms)
			return err_set(err, ERR_TIMEOUT, "the service was not ready after %s: %s%s",
				text_format_duration(ctx, p->ready_timeout_ms), why.text, log_tail(call, log_from));
		(void)proc_wait_gone(service->pid, service->start_time, clock_mono_ms() + READY_PAUSE_MS);
	}
}

/* ---- goals ---- */

struct goal {
	bool run;            /* it is to run */
	bool restart;        /* started by this very step */
	const char *version; /* that it is to run from; NULL: whatever the release is */
	json_t *argv;        /* to start it with; NULL: the configuration's */
};

static int goal_of_target(struct driver_call *call, struct goal *ret, struct err *err)
{
	const char *action = json_str(call->target, "action", NULL);

	*ret = (struct goal){ .run = true, .version = json_str(call->target, "version", NULL) };
	if (ret->version && !*ret->version)
		ret->version = NULL;
	if (!action && !ret->version)
		return err_set(err, ERR_INVALID, "target: 'action' or 'version' is missing");
	if (!action || strcmp(action, "start") == 0)
		return 0;
	if (strcmp(action, "stop") == 0) {
		ret->run = false;
		return 0;
	}
	ret->restart = strcmp(action, "restart") == 0;
	if (!ret->restart)
		return err_set(err, ERR_INVALID, "target: action '%s' is none of stop, start, restart", action);
	return 0;
}

static int goal_of_capture(struct driver_call *call, struct goal *ret, struct err *err)
{
	json_t *captured;
	size_t size;
	char *text;
	int r;

	r = fs_read(call->ctx, fs_join(call->ctx, call->snapshot_dir, CAPTURED), CAPTURED_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(call->ctx, text, size, CAPTURED_MAX, &captured, err);
	if (r < 0)
		return err_in(err, "captured service");
	*ret = (struct goal){ .run = json_flag(captured, "running", false),
		.version = json_str(captured, "version", NULL),
		.argv = json_object_get(captured, "argv") };
	if (!ret->run || (ret->version && !*ret->version))
		ret->version = NULL;
	return 0;
}

/* Which step of which run asks; what a restart is recognised by. */
static const char *step_of(const struct driver_call *call)
{
	return json_str(call->step, "id", NULL);
}

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static bool started_by_this_step(const struct driver_call *call, const struct service *service)
{
	if (call->idempotency_key)
		return same(service->key, call->idempotency_key);
	return same(service->run, call->run_id) && same(service->step, step_of(call));
}

/* All but readiness. */
static bool stands(struct driver_call *call, const struct goal *goal, const struct service *service)
{
	if (!goal->run || !service->running)
		return goal->run == service->running;
	if (goal->restart && !started_by_this_step(call, service))
		return false;
	return !goal->version || strcmp(goal->version, service->version) == 0;
}

static int process_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	const struct process_params *p = call->params;
	struct err why = ERR_INIT;
	struct service service;
	struct goal goal;
	int r;

	r = check_params(call, err);
	if (r == 0)
		r = look(call, false, &service, err);
	if (r < 0)
		return r;
	*ret = (struct observation){ .version = service.running ? service.version : "",
		.state = service.running ? "running" : "stopped",
		.healthy = service.running ? -1 : 0,
		.at_target = -1,
		.details = json_keep(call->ctx, json_object()) };
	if (service.running) {
		json_put_int(ret->details, "pid", service.pid);
		if (p->ready.type)
			ret->healthy = ready_once(call, call->deadline_ms, &why) == 0;
	}
	if (call->target)
		r = goal_of_target(call, &goal, &why);
	else
		r = call->snapshot_dir ? goal_of_capture(call, &goal, &why) : -ERR_NOT_FOUND;
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0) {
		*err = why;
		return r;
	}
	ret->at_target = stands(call, &goal, &service);
	if (ret->at_target == 1 && call->target && goal.run && ret->healthy == 0)
		ret->at_target = 0;
	return 0;
}

static int process_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	const struct process_params *p = call->params;
	struct err why = ERR_INIT;
	struct goal goal = { .run = true };
	int r;

	r = check_params(call, err);
	if (r == 0 && call->target)
		r = goal_of_target(call, &goal, err);
	if (r < 0)
		return r;
	if (p->env_file) {
		r = env_put_file(env_new(call->ctx), place(call, p->env_file), &why);
		findings_add(ret, "config_readable", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
			r < 0 ? why.text : "the env file can be read");
	}
	return 0;
}

static int process_capture(struct driver_call *call, struct err *err)
{
	char *path = fs_join(call->ctx, call->snapshot_dir, CAPTURED), *text;
	json_t *captured = json_keep(call->ctx, json_object());
	struct service service;
	int r;

	if (fs_exists(path))
		return 0;
	r = look(call, false, &service, err);
	if (r < 0)
		return r;
	json_put_flag(captured, "running", service.running);
	if (service.running) {
		json_put_str(captured, "version", service.version);
		json_put(captured, "argv", service.argv);
		json_put_int(captured, "pid", service.pid);
	}
	text = json_pretty(call->ctx, captured);
	return fs_write_atomic(path, text, strlen(text), 0600, err);
}

/* ---- changes; all with the lock held ---- */

static int stop(struct driver_call *call, const struct service *service, struct err *err)
{
	const struct process_params *p = call->params;
	bool killed;
	int r;

	if (service->running)
		call_log(call, LOG_INFO, "stopping process %d (%s)", (int)service->pid, service->version);
	r = service_stop(service, service_signal(p->stop_signal), p->grace_ms, call->deadline_ms, &killed, err);
	if (r < 0)
		return r;
	if (killed)
		call_log(call, LOG_WARN, "it did not end after %s and was killed", p->stop_signal);
	return 0;
}

static int list_of(struct driver_call *call, json_t *array, const char *const **ret)
{
	const char **list = mem_array(call->ctx, const char *, json_array_size(array) + 1);
	json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
		list[i] = json_string_value(item) ? json_string_value(item) : "";
	*ret = list;
	return 0;
}

static int start(struct driver_call *call, const struct goal *goal, const char *version, struct service *ret, struct err *err)
{
	const struct process_params *p = call->params;
	struct service_spec spec = { .argv = p->argv,
		.dir = place(call, p->dir),
		.log_file = log_file(call),
		.version = version,
		.run = call->run_id,
		.step = step_of(call),
		.key = call->idempotency_key };
	struct env *env = env_new(call->ctx);
	int r = 0;

	if (p->env_file)
		r = env_put_file(env, place(call, p->env_file), err);
	if (r == 0)
		r = env_put_map(env, call, p->env, err);
	if (r == 0)
		r = make_parent(call, spec.log_file, err);
	if (r == 0 && json_array_size(goal->argv) > 0)
		r = list_of(call, goal->argv, &spec.argv);
	if (r < 0)
		return r;
	spec.env = env->list;
	r = service_start(call->ctx, pid_file(call), &spec, ret, err);
	if (r < 0)
		return err_in(err, "start");
	call_log(call, LOG_INFO, "started process %d (%s)", (int)ret->pid, version);
	return 0;
}

/* Goes to the goal. Whether it can be reached is found out before anything is stopped. */
static int go(struct driver_call *call, const struct goal *goal, struct service *ret, struct err *err)
{
	_cleanup_close_ int lock = -1;
	off_t log_from = log_size(call);
	const char *version = NULL;
	int r;

	r = make_parent(call, pid_file(call), err);
	if (r == 0)
		r = service_lock(pid_file(call), call->deadline_ms, &lock, err);
	if (r == 0)
		r = look(call, true, ret, err);
	if (r == 0 && ret->adopted) {
		call_log(call, LOG_INFO, "found process %d of an interrupted start", (int)ret->pid);
		r = service_record(ret, err);
	}
	if (r < 0)
		return r;
	if (!goal->run)
		return stop(call, ret, err);
	if (!stands(call, goal, ret)) {
		r = release_version(call, &version, err);
		if (r < 0)
			return r;
		if (goal->version && strcmp(goal->version, version) != 0)
			return err_set(err, ERR_FAILED, "the release is '%s', not '%s': nothing was stopped", version, goal->version);
		r = stop(call, ret, err);
		if (r == 0)
			r = start(call, goal, version, ret, err);
		if (r < 0)
			return r;
	}
	return await_ready(call, ret, log_from, err);
}

static int process_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	struct service service;
	struct goal goal;
	int r;

	r = check_params(call, err);
	if (r == 0)
		r = goal_of_target(call, &goal, err);
	if (r == 0)
		r = go(call, &goal, &service, err);
	if (r < 0)
		return r;
	if (goal.run && service.running) {
		json_put_int(ret_outputs, "pid", service.pid);
		json_put_str(ret_outputs, "version", service.version);
	}
	return 0;
}

static int process_undo(struct driver_call *call, struct err *err)
{
	struct service service;
	struct goal goal;
	int r;

	r = check_params(call, err);
	if (r == 0)
		r = goal_of_capture(call, &goal, err);
	return r < 0 ? r : go(call, &goal, &service, err);
}

/* What may lead to the real thing (addresses in the environment, checks, the drain program, the pid file) is not taken over: the user says what stands there in the copy. */
static int process_sandbox(struct driver_call *call, json_t **ret_config, struct err *err)
{
	static const char *const paths[] = { "dir", "release", NULL };
	static const char *const without[] = { "env", "envFile", "pidFile", "logFile", "ready", "drain", NULL };
	const char *env_file = json_str(call->overrides, "envFile", NULL);

	if (!call->overrides)
		return err_set(err, ERR_UNSUPPORTED,
			"it would run beside the real one: `sandbox:` of the component says with which ports and environment");
	*ret_config = sandbox_config(call, paths, without);
	sandbox_override(call, *ret_config);
	return env_file && sandbox_keeps_path(call, env_file) ? sandbox_copy(call, env_file, err) : 0;
}

static int process_unsandbox(struct driver_call *call, struct err *err)
{
	struct process_params copy = *(const struct process_params *)call->params;
	struct driver_call there = sandbox_call(call, &copy);
	_cleanup_close_ int lock = -1;
	struct service service;
	int r;

	copy.pid_file = json_str(call->overrides, "pidFile", NULL);
	r = make_parent(&there, pid_file(&there), err);
	if (r == 0)
		r = service_lock(pid_file(&there), call->deadline_ms, &lock, err);
	if (r == 0)
		r = look(&there, true, &service, err);
	return r < 0 ? r : stop(&there, &service, err);
}

const struct driver driver_process = {
	.name = "process",
	.summary = "a service on this host, started and stopped by unship itself",
	.kind = DRIVER_SERVICE,
	.fields = process_fields,
	.params_size = sizeof(struct process_params),
	.observe = process_observe,
	.apply = process_apply,
	.check = process_check,
	.capture = process_capture,
	.undo = process_undo,
	.sandbox = process_sandbox,
	.unsandbox = process_unsandbox,
};
