/* The executor that works with processes. One poll loop over all children: their output, their ends, their deadlines, and an eventfd
 * that wakes it.
 *
 * A job is one piece of work. A worker that is built in serves one request after the other: its answer ends the job, and the worker goes
 * to the pool (worker_pool.h),
 * unless it broke a rule: then it is ended with its process group, like one whose time is over. An external driver serves one request;
 * its answer is taken when it has ended (it gets a
 * second for that), because only then is it certain that it does nothing more; what it left in its process group is killed by proc_poll.
 * A line that is not the protocol
 * ends the job at once. All that is kept has a limit: a line, all lines, the log entries, the tail of standard error.
 *
 * Threads: an executor belongs to one; only process_executor_wake may be called from others. */
#include "runner/process_executor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/text.h"
#include "data/json.h"
#include "data/redact.h"
#include "runner/worker_pool.h"

#define WORK_DEFAULT_MS   (5 * 60 * 1000) /* for work without a deadline */
#define TERM_TO_KILL_MS   2000
#define ANSWER_TO_END_MS  1000
#define KILL_TO_GIVEUP_MS 5000
#define LOGS_MAX          1000
#define TAIL_MAX          8192 /* kept of standard error and of the last standard output */
#define QUOTE_MAX         200
#define READ_SIZE         65536
#define JOB_WAITS         4 /* descriptors that are polled for one */

static const struct proc no_proc = { .pidfd = -1, .status_fd = -1, .in = -1, .out = -1, .err = -1 };

enum stage { STAGE_RUNS, STAGE_TERMINATED, STAGE_KILLED };

struct tail {
	char bytes[TAIL_MAX];
	size_t used;
	bool cut;
};

struct job {
	struct job *next;
	uint64_t id;
	struct proc proc;
	bool external;
	char *key;     /* of a built-in worker: what else it may be used for; NULL for an external one */
	char *request; /* that is not written whole yet */
	size_t request_size, request_sent;
	int64_t started_ms, started_us;
	int64_t next_ms; /* when the next stage comes */
	enum stage stage;
	bool failed;      /* err holds why; the child is being ended */
	bool answered;    /* result or an error of the worker's own is there */
	bool from_worker; /* err is the worker's own answer */
	bool worker_retryable;
	json_t *result, *logs; /* kept by the job */
	size_t logs_dropped;
	struct err err;
	char *line; /* the incomplete line */
	size_t line_used, line_room;
	uint64_t total;
	struct tail out_tail, err_tail;
};

struct process_executor {
	struct executor executor; /* first */
	const struct catalogue *catalogue;
	int wake;
	struct worker_pool *pool;
	struct job *jobs;
	size_t job_count;
};

static struct process_executor *own(struct executor *executor)
{
	return (struct process_executor *)executor;
}

static void tail_add(struct tail *tail, const char *bytes, size_t size)
{
	size_t drop;

	if (size >= TAIL_MAX) {
		tail->cut = tail->cut || size > TAIL_MAX || tail->used > 0;
		memcpy(tail->bytes, bytes + size - TAIL_MAX, TAIL_MAX);
		tail->used = TAIL_MAX;
		return;
	}
	drop = tail->used + size > TAIL_MAX ? tail->used + size - TAIL_MAX : 0;
	tail->cut = tail->cut || drop > 0;
	memmove(tail->bytes, tail->bytes + drop, tail->used - drop);
	memcpy(tail->bytes + tail->used - drop, bytes, size);
	tail->used += size - drop;
}

static char *tail_text(const void *ctx, const struct tail *tail)
{
	char *text = secret_redact(ctx, text_printable(ctx, tail->bytes, tail->used, true));

	return tail->cut ? mem_printf(ctx, "[...] %s", text) : text;
}

/* Begins to end the child: by SIGTERM, or at once by SIGKILL. */
static void end_child(struct job *job, bool at_once)
{
	if (job->stage == STAGE_KILLED || (job->stage == STAGE_TERMINATED && !at_once))
		return;
	proc_kill(&job->proc, at_once ? SIGKILL : SIGTERM);
	job->stage = at_once ? STAGE_KILLED : STAGE_TERMINATED;
	job->next_ms = clock_mono_ms() + (at_once ? KILL_TO_GIVEUP_MS : TERM_TO_KILL_MS);
}

/* The first reason stands; a job that had answered loses its answer. */
static void fail(struct job *job, enum err_code code, const char *format, ...) printf_like(3, 4);
static void fail(struct job *job, enum err_code code, const char *format, ...)
{
	_cleanup_talloc_ char *text = NULL;
	va_list arguments;

	if (job->failed)
		return;
	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	(void)err_set(&job->err, code, "%s", text);
	job->failed = true;
	job->from_worker = false;
}

static void add_log(struct process_executor *pe, struct job *job, enum log_level level, const char *message, json_t *details)
{
	json_t *entry;

	if (json_array_size(job->logs) >= LOGS_MAX) {
		job->logs_dropped++;
	} else {
		_cleanup_talloc_ char *at = clock_format(NULL, clock_wall_ms());

		entry = json_object();
		json_put_str(entry, "at", at);
		json_put_str(entry, "level", log_level_name(level));
		json_put_str(entry, "message", message);
		json_put(entry, "details", details);
		(void)json_array_append_new(job->logs, entry);
	}
	if (pe && pe->executor.on_log)
		pe->executor.on_log(pe->executor.user, job->id, level, message);
}

static bool take_log(struct process_executor *pe, struct job *job, json_t *log)
{
	const char *level_text = json_str(log, "level", "info"), *message = json_str(log, "message", NULL);
	struct err ignored = ERR_INIT;
	enum log_level level;

	if (!message || log_level_parse(level_text, &level, &ignored) < 0)
		return false;
	add_log(pe, job, level, message, json_object_get(log, "details"));
	return true;
}

static bool take_error(struct job *job, json_t *error)
{
	const char *code_name = json_str(error, "code", NULL), *message = json_str(error, "message", NULL);
	enum err_code code;

	if (!code_name || !message || job->answered)
		return false;
	code = err_from_name(code_name);
	if (code == ERR_NONE || (code == ERR_INTERNAL && strcmp(code_name, err_info(ERR_INTERNAL)->name) != 0))
		code = ERR_DRIVER;
	(void)err_set(&job->err, code, "%s", message);
	job->from_worker = job->answered = true;
	job->worker_retryable = json_flag(error, "retryable", false);
	return true;
}

static bool take_progress(struct process_executor *pe, struct job *job, json_t *line)
{
	json_t *share = json_object_get(line, "progress");

	if (!json_is_number(share) && !json_is_null(share))
		return false;
	if (pe->executor.on_progress)
		pe->executor.on_progress(pe->executor.user, job->id, json_is_null(share) ? -1 : json_number_value(share),
			json_str(line, "message", ""));
	return true;
}

/* One line of the protocol; false when it is not that. */
static bool take_line(struct process_executor *pe, struct job *job, const char *text, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err ignored = ERR_INIT;
	json_t *line, *value;

	if (json_parse(ctx, text, size, PROCESS_EXECUTOR_LINE_MAX, &line, &ignored) < 0 || !json_is_object(line))
		return false;
	if (job->external)
		line = json_keep(ctx, json_redact(line, 2));
	if ((value = json_object_get(line, "log")))
		return take_log(pe, job, value);
	if (json_object_get(line, "progress"))
		return take_progress(pe, job, line);
	if ((value = json_object_get(line, "error"))) {
		if (!take_error(job, value))
			return false;
	} else {
		value = json_object_get(line, "result");
		if (!json_is_object(value) || job->answered)
			return false;
		job->result = json_keep(job, json_incref(value));
		job->answered = true;
	}
	if (job->stage == STAGE_RUNS)
		job->next_ms = MIN(job->next_ms, clock_mono_ms() + ANSWER_TO_END_MS);
	return true;
}

static void not_the_protocol(struct job *job, const char *line, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	size_t shown = MIN(size, (size_t)QUOTE_MAX);
	char *quote = secret_redact(ctx, text_printable(ctx, line, shown, false));

	if (job->answered && shown == size && line[0] == '{')
		fail(job, ERR_DRIVER, "answered twice: '%s'", quote);
	else
		fail(job, ERR_DRIVER, "printed something that is not the protocol: '%s%s'", quote, shown < size ? "..." : "");
	end_child(job, false);
}

/* What has been read; complete lines are taken one by one. */
static void take_bytes(struct process_executor *pe, struct job *job, const char *bytes, size_t size)
{
	tail_add(&job->out_tail, bytes, size);
	job->total += size;
	if (job->failed)
		return; /* only drained, so that the child can end */
	if (job->total > PROCESS_EXECUTOR_OUTPUT_MAX) {
		fail(job, ERR_DRIVER, "printed more than %u bytes", PROCESS_EXECUTOR_OUTPUT_MAX);
		end_child(job, false);
		return;
	}
	while (size > 0 && !job->failed) {
		const char *end = memchr(bytes, '\n', size);
		size_t n = end ? (size_t)(end - bytes) : size;

		if (job->line_used + n > job->line_room) {
			job->line_room = MAX(job->line_room * 2, job->line_used + n);
			job->line = mem_resize(job, job->line, char, job->line_room);
		}
		if (n > 0)
			memcpy(job->line + job->line_used, bytes, n);
		job->line_used += n;
		if (job->line_used > PROCESS_EXECUTOR_LINE_MAX || (end && !take_line(pe, job, job->line ? job->line : "", job->line_used)))
			not_the_protocol(job, job->line ? job->line : "", job->line_used);
		if (end)
			job->line_used = 0;
		bytes += n + (end != NULL);
		size -= n + (end != NULL);
	}
}

static void read_stream(struct process_executor *pe, struct job *job, bool is_out)
{
	int *fd = is_out ? &job->proc.out : &job->proc.err;
	char buffer[READ_SIZE];
	ssize_t n = read(*fd, buffer, sizeof(buffer));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		cleanup_close(fd);
	else if (is_out)
		take_bytes(pe, job, buffer, (size_t)n);
	else
		tail_add(&job->err_tail, buffer, (size_t)n);
}

/* What stands in the pipes when the child has ended, and no more: somebody who escaped may still hold the other end. */
static void drain(struct process_executor *pe, struct job *job)
{
	for (int i = 0; i < 2; i++) {
		int *fd = i == 0 ? &job->proc.out : &job->proc.err, left = 0;

		if (*fd < 0 || ioctl(*fd, FIONREAD, &left) < 0)
			continue;
		for (; left > 0 && *fd >= 0; left -= READ_SIZE)
			read_stream(pe, job, i == 0);
	}
}

struct env_list {
	void *ctx;
	const char **list;
	size_t count;
};

static void add_variable(struct env_list *env, const char *name)
{
	const char *value = getenv(name);
	size_t length = strlen(name);

	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->list[i], name, length) == 0 && env->list[i][length] == '=')
			return;
	if (!value || !*name || strchr(name, '='))
		return;
	env->list = mem_resize(env->ctx, env->list, const char *, env->count + 2);
	env->list[env->count++] = mem_printf(env->ctx, "%s=%s", name, value);
	env->list[env->count] = NULL;
}

static void add_secret_variable(void *user, const char *kind, const char *name)
{
	if (strcmp(kind, "env") == 0)
		add_variable(user, name);
	else if (strcmp(kind, "credential") == 0)
		add_variable(user, "CREDENTIALS_DIRECTORY");
}

/* The few variables that every program may know, and those that the configuration names: a worker gets its own secrets and no others. */
static const char *const *make_env(const void *ctx, json_t *request)
{
	static const char *const kept[] = { "PATH", "HOME", "LANG", "TZ", "TMPDIR" };
	struct env_list env = { .ctx = mem_context(ctx), .list = mem_array(ctx, const char *, 1) };

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		add_variable(&env, kept[i]);
	json_visit_secrets(json_object_get(request, "component"), add_secret_variable, &env);
	json_visit_secrets(json_object_get(request, "config"), add_secret_variable, &env);
	return env.list;
}

static const char *const kind_names[] = { [WORKER_DRIVER] = "driver", [WORKER_PROBE] = "probe", [WORKER_CHANNEL] = "channel" };

static bool is_built_in(const struct process_executor *pe, const struct work *work)
{
	return work->kind == WORKER_DRIVER   ? catalogue_driver(pe->catalogue, work->name) != NULL
		: work->kind == WORKER_PROBE ? catalogue_probe(pe->catalogue, work->name) != NULL
					     : catalogue_channel(pe->catalogue, work->name) != NULL;
}

static const char *work_dir(const struct work *work)
{
	const char *dir = json_str(work->request, "projectDir", NULL);

	return dir && fs_is_dir(dir) ? dir : NULL;
}

/* A program in PATH: one request, and the end of its input. */
static int start_external(struct job *job, const struct work *work, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *argv[2] = { mem_printf(ctx, "unship-driver-%s", work->name), NULL };
	struct proc_spec spec = { .argv = argv,
		.env = make_env(ctx, work->request),
		.dir = work_dir(work),
		.input = job->request,
		.input_size = job->request_size };
	int r;

	if (work->kind != WORKER_DRIVER || !text_is_name(work->name))
		return err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", kind_names[work->kind], work->name);
	json_register_secrets(json_object_get(work->request, "component"), json_str(work->request, "projectDir", NULL));
	r = proc_start(&spec, &job->proc, err);
	if (r == -ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "there is no built-in driver '%s', and no program %s in PATH", work->name, argv[0]);
	job->request_sent = job->request_size;
	return r;
}

/* What the pipe takes of the request; the rest when it has room. A worker that is gone is seen by its end. */
static void send_request(struct job *job)
{
	ssize_t n = write(job->proc.in, job->request + job->request_sent, job->request_size - job->request_sent);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		job->request_sent = job->request_size;
	else if (n > 0)
		job->request_sent += (size_t)n;
}

/* Will it speak HTTP? An address in its configuration says so. A hint, for speed only. */
static bool names_address(const json_t *value)
{
	const char *text = json_string_value(value), *key;
	json_t *member;
	size_t index;

	if (text)
		return text_starts_with(text, "http://") || text_starts_with(text, "https://");
	json_array_foreach(value, index, member)
		if (names_address(member))
			return true;
	json_object_foreach((json_t *)value, key, member) /* the macro takes no const object */
		if (names_address(member))
			return true;
	return false;
}

/* One that has answered before, or a new one. */
static int start_built_in(struct process_executor *pe, struct job *job, const struct work *work, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *argv[] = { "worker", kind_names[work->kind], work->name, NULL };
	struct proc_spec spec = { .argv = argv,
		.entry = true,
		.env = make_env(ctx, work->request),
		.dir = work_dir(work),
		.want_input = true };
	int r = 0;

	spec.warm = names_address(json_object_get(work->request, "component")) || names_address(json_object_get(work->request, "config"));
	job->key = worker_pool_key(job, work);
	if (!worker_pool_take(pe->pool, job->key, &job->proc))
		r = proc_start(&spec, &job->proc, err);
	if (r == 0)
		send_request(job);
	return r;
}

static int job_destroy(struct job *job)
{
	proc_close(&job->proc);
	return 0;
}

static int op_start(struct executor *executor, const struct work *work, struct err *err)
{
	struct process_executor *pe = own(executor);
	struct job *job = mem_zero(pe, struct job);
	int r;

	assert_always(json_is_object(work->request));
	job->id = work->id;
	job->proc = no_proc;
	job->logs = json_keep(job, json_array());
	job->started_us = clock_mono_us();
	job->next_ms = job->started_ms = clock_mono_ms();
	job->next_ms = work->deadline_ms > 0 ? work->deadline_ms : job->started_ms + WORK_DEFAULT_MS;
	job->request = mem_append(json_canonical(job, work->request), "\n");
	job->request_size = strlen(job->request);
	job->external = !is_built_in(pe, work);
	r = job->external ? start_external(job, work, err) : start_built_in(pe, job, work, err);
	if (r < 0) {
		(void)talloc_free(job);
		return r;
	}
	talloc_set_destructor(job, job_destroy);
	job->next = pe->jobs;
	pe->jobs = job;
	pe->job_count++;
	return 0;
}

/* A time has come: the deadline, the end of a child's grace, or giving up on one that cannot be killed. True: the job is over. */
static bool escalate(struct process_executor *pe, struct job *job, int64_t now_ms)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	if (now_ms < job->next_ms)
		return false;
	switch (job->stage) {
	case STAGE_RUNS:
		if (job->answered) {
			add_log(pe, job, LOG_WARN, "did not end after its answer and was killed", NULL);
			end_child(job, true);
			return false;
		}
		fail(job, ERR_TIMEOUT, "no answer after %s", text_format_duration(ctx, now_ms - job->started_ms));
		end_child(job, false);
		return false;
	case STAGE_TERMINATED:
		end_child(job, true);
		return false;
	case STAGE_KILLED:
		fail(job, ERR_TIMEOUT, "process %d could not be killed", (int)job->proc.pid);
		return true;
	}
	return false;
}

/* The child has ended: what does that mean? */
static void judge(struct process_executor *pe, struct job *job, const struct proc_result *end)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	bool clean = !end->lost && end->exit_code == 0;
	char *how;

	if (job->line_used > 0 && !job->failed)
		not_the_protocol(job, job->line, job->line_used);
	if (job->failed)
		return;
	how = end->lost       ? mem_strdup(ctx, "in an unknown way")
		: end->signal ? mem_printf(ctx, "by signal %s", sigabbrev_np(end->signal) ? sigabbrev_np(end->signal) : "?")
			      : mem_printf(ctx, "with exit code %d", end->exit_code);
	if (!job->answered)
		fail(job, ERR_DRIVER, "ended %s without an answer", how);
	else if (!clean && job->stage == STAGE_RUNS)
		add_log(pe, job, LOG_WARN, mem_printf(ctx, "ended %s after its answer", how), NULL);
}

static void add_tails(struct process_executor *pe, struct job *job)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	bool bad = job->failed;
	json_t *details = json_keep(ctx, json_object());

	if (job->logs_dropped > 0) {
		json_t *entry = json_keep(ctx, json_object());

		json_put_str(entry, "level", "warn");
		json_put_str(entry, "message", mem_printf(ctx, "%zu more log entries were dropped", job->logs_dropped));
		(void)json_array_append(job->logs, entry);
	}
	if (job->err_tail.used == 0 && (!bad || job->out_tail.used == 0))
		return;
	if (job->err_tail.used > 0)
		json_put_str(details, "stderr", tail_text(ctx, &job->err_tail));
	if (bad && job->out_tail.used > 0)
		json_put_str(details, "stdout", tail_text(ctx, &job->out_tail));
	if (json_array_size(job->logs) >= LOGS_MAX)
		(void)json_array_remove(job->logs, LOGS_MAX - 1);
	add_log(bad ? pe : NULL, job, bad ? LOG_ERROR : LOG_DEBUG, bad ? "last output of the failed attempt" : "output on standard error",
		details);
}

static void finish(struct process_executor *pe, struct job *job, const void *ctx, struct work_result *ret)
{
	struct job **at = &pe->jobs;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	pe->job_count--;
	add_tails(pe, job);
	*ret = (struct work_result){ .id = job->id, .duration_ms = (clock_mono_us() - job->started_us) / 1000 };
	ret->logs = json_keep(ctx, json_incref(job->logs));
	ret->answered = job->answered && !job->failed;
	if (job->failed || job->from_worker) {
		ret->err = job->err;
		ret->retryable = job->from_worker ? job->worker_retryable : job->err.code == ERR_TIMEOUT || job->err.code == ERR_DRIVER;
	} else {
		ret->result = json_keep(ctx, json_incref(job->result));
	}
	(void)talloc_free(job);
}

/* A built-in worker answers as its last act, when all that it started has ended: with the answer the work is over, and the worker is
 * there for more. */
static bool is_answered(struct process_executor *pe, struct job *job)
{
	int left = 0;

	if (!job->key || !job->answered || job->failed || job->line_used > 0 || job->request_sent < job->request_size ||
		job->stage != STAGE_RUNS || job->proc.out < 0 || job->proc.err < 0)
		return false;
	if (ioctl(job->proc.err, FIONREAD, &left) == 0 && left > 0)
		read_stream(pe, job, false);
	worker_pool_put(pe->pool, job->key, &job->proc);
	job->proc = no_proc;
	return true;
}

/* Looks at one job; true when it is over. */
static bool attend(struct process_executor *pe, struct job *job, const struct pollfd *waits)
{
	struct proc_result end = { .exit_code = 0 };

	if (waits[3].revents)
		send_request(job);
	if (waits[0].revents && job->proc.out >= 0)
		read_stream(pe, job, true);
	if (waits[1].revents && job->proc.err >= 0)
		read_stream(pe, job, false);
	if (waits[2].revents && proc_poll(&job->proc, &end)) {
		drain(pe, job);
		judge(pe, job, &end);
		return true;
	}
	return is_answered(pe, job) || escalate(pe, job, clock_mono_ms());
}

static struct pollfd *make_waits(const void *ctx, struct process_executor *pe, int64_t *until_ms)
{
	struct pollfd *waits = mem_array(ctx, struct pollfd, pe->job_count * JOB_WAITS + 1);
	size_t i = 0;

	waits[i++] = (struct pollfd){ .fd = pe->wake, .events = POLLIN };
	for (struct job *job = pe->jobs; job; job = job->next) {
		waits[i++] = (struct pollfd){ .fd = job->proc.out, .events = POLLIN };
		waits[i++] = (struct pollfd){ .fd = job->proc.err, .events = POLLIN };
		waits[i++] = (struct pollfd){ .fd = job->proc.status_fd >= 0 ? job->proc.status_fd : job->proc.pidfd, .events = POLLIN };
		waits[i++] = (struct pollfd){ .fd = job->request_sent < job->request_size ? job->proc.in : -1, .events = POLLOUT };
		*until_ms = MIN(*until_ms, job->next_ms);
	}
	return waits;
}

static int op_wait(struct executor *executor, const void *ctx, int64_t until_ms, struct work_result *ret, struct err *err)
{
	struct process_executor *pe = own(executor);

	worker_pool_tidy(pe->pool);
	for (;;) {
		_cleanup_talloc_ void *round = mem_context(NULL);
		int64_t next_ms = until_ms, now_ms = clock_mono_ms();
		struct pollfd *waits = make_waits(round, pe, &next_ms);
		size_t i = 1;
		int n;

		n = poll(waits, pe->job_count * JOB_WAITS + 1, (int)MIN(MAX(next_ms - now_ms, (int64_t)0), (int64_t)3600 * 1000));
		if (n < 0 && errno == EINTR)
			return 0; /* a signal may be what the caller waits for */
		if (n < 0)
			return err_errno(err, errno, "cannot wait for workers");
		for (struct job *job = pe->jobs; job; job = job->next, i += JOB_WAITS) {
			if (!attend(pe, job, waits + i))
				continue;
			finish(pe, job, ctx, ret);
			return 1;
		}
		if (waits[0].revents) {
			uint64_t count;

			(void)!read(pe->wake, &count, sizeof(count));
			return 0;
		}
		if (clock_mono_ms() >= until_ms)
			return 0;
	}
}

static void op_stop(struct executor *executor, uint64_t id)
{
	for (struct job *job = own(executor)->jobs; job; job = job->next)
		if (job->id == id && !job->failed) {
			fail(job, ERR_CANCELLED, "stopped");
			end_child(job, false);
		}
}

static void op_rest(struct executor *executor)
{
	worker_pool_rest(own(executor)->pool);
}

static int64_t op_wall_ms(struct executor *executor unused_arg)
{
	return clock_wall_ms();
}

static int64_t op_mono_ms(struct executor *executor unused_arg)
{
	return clock_mono_ms();
}

static int executor_destroy(struct process_executor *pe)
{
	for (struct job *job = pe->jobs; job; job = job->next) /* all at once, then waited for one by one */
		proc_kill(&job->proc, SIGKILL);
	cleanup_close(&pe->wake);
	return 0;
}

int process_executor_new(const void *ctx, const struct catalogue *catalogue, struct executor **ret, struct err *err)
{
	static const struct executor_ops ops = {
		.start = op_start,
		.wait = op_wait,
		.stop = op_stop,
		.rest = op_rest,
		.wall_ms = op_wall_ms,
		.mono_ms = op_mono_ms,
	};
	struct process_executor *pe = mem_zero(ctx, struct process_executor);

	pe->executor.ops = &ops;
	pe->catalogue = catalogue;
	pe->pool = worker_pool_new(pe);
	pe->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pe->wake < 0) {
		int error = errno;

		(void)talloc_free(pe);
		return err_errno(err, error, "cannot make an eventfd");
	}
	talloc_set_destructor(pe, executor_destroy);
	*ret = &pe->executor;
	return 0;
}

void process_executor_wake(struct executor *executor)
{
	const uint64_t one = 1;

	(void)!write(own(executor)->wake, &one, sizeof(one));
}

bool process_executor_external(struct executor *executor unused_arg, const char *driver)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *path = getenv("PATH");
	char **dirs;

	if (!path || !text_is_name(driver))
		return false;
	dirs = text_split(ctx, path, ':');
	for (; *dirs; dirs++) {
		char *program = mem_printf(ctx, "%s/unship-driver-%s", *dirs, driver);

		if ((*dirs)[0] == '/' && !fs_is_dir(program) && access(program, X_OK) == 0)
			return true;
	}
	return false;
}

int executor_call(struct executor *executor, const void *ctx, const struct work *work, struct work_result *ret, struct err *err)
{
	int r;

	r = executor_call_all(executor, ctx, work, 1, ret, err);
	if (r < 0 || ret->result)
		return r;
	*err = ret->err;
	return -(int)err->code;
}

#define INTERRUPT_LOOK_MS 200

struct executor_calls {
	struct executor *executor;
	struct work *works;
	struct work_result *results;
	bool *flying;
	size_t count, next, room, flights; /* next: the first that is not begun */
};

/* Ends and forgets what is in flight. */
static void abandon(struct executor_calls *calls)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct executor *executor = calls->executor;
	struct work_result unused;
	struct err ignored = ERR_INIT;
	int64_t limit = executor->ops->mono_ms(executor) + TERM_TO_KILL_MS + KILL_TO_GIVEUP_MS;

	for (uint64_t id = 0; id < calls->next; id++)
		if (calls->flying[id])
			executor->ops->stop(executor, id);
	while (calls->flights > 0 && executor->ops->mono_ms(executor) < limit &&
		executor->ops->wait(executor, ctx, limit, &unused, &ignored) > 0)
		calls->flights--;
	calls->flights = 0;
}

static int calls_free(struct executor_calls *calls)
{
	if (calls->flights > 0)
		abandon(calls);
	return 0;
}

struct executor_calls *executor_calls_new(const void *ctx, struct executor *executor)
{
	struct executor_calls *calls = mem_zero(ctx, struct executor_calls);

	calls->executor = executor;
	talloc_set_destructor(calls, calls_free);
	return calls;
}

static void begin_next(struct executor_calls *calls)
{
	struct executor *executor = calls->executor;

	while (calls->next < calls->count && calls->flights < PROCESS_EXECUTOR_PARALLEL) {
		struct work_result *result = &calls->results[calls->next];

		calls->flying[calls->next] = executor->ops->start(executor, &calls->works[calls->next], &result->err) == 0;
		if (calls->flying[calls->next])
			calls->flights++;
		else
			result->logs = json_keep(calls, json_array());
		calls->next++;
	}
}

size_t executor_calls_add(struct executor_calls *calls, const struct work *work)
{
	size_t index = calls->count;

	if (index == calls->room) {
		calls->room = MAX(calls->room * 2, (size_t)16);
		calls->works = mem_resize(calls, calls->works, struct work, calls->room);
		calls->results = mem_resize(calls, calls->results, struct work_result, calls->room);
		calls->flying = mem_resize(calls, calls->flying, bool, calls->room);
	}
	calls->works[index] = *work;
	calls->works[index].id = index;
	json_keep(calls, json_incref(work->request));
	calls->results[index] = (struct work_result){ .id = index };
	calls->flying[index] = false;
	calls->count++;
	begin_next(calls);
	return index;
}

int executor_calls_end(struct executor_calls *calls, struct err *err)
{
	struct executor *executor = calls->executor;
	int r;

	while (calls->next < calls->count || calls->flights > 0) {
		struct work_result result;

		begin_next(calls);
		if (!calls->flights)
			continue;
		/* Every work has its own deadline, after which it ends by itself: this is only how often to look. */
		r = executor->ops->wait(executor, calls,
			executor->ops->mono_ms(executor) + (executor->interrupted ? INTERRUPT_LOOK_MS : 60000), &result, err);
		if (executor->interrupted && executor->interrupted(executor->interrupted_user))
			r = err_set(err, ERR_CANCELLED, "interrupted");
		if (r < 0) {
			abandon(calls);
			return r;
		}
		if (r == 0)
			continue;
		assert_always(result.id < calls->count && calls->flying[result.id]);
		calls->results[result.id] = result;
		calls->flying[result.id] = false;
		calls->flights--;
	}
	return 0;
}

const struct work_result *executor_calls_result(const struct executor_calls *calls, size_t index)
{
	assert_always(index < calls->next && !calls->flying[index]);
	return &calls->results[index];
}

int executor_call_all(struct executor *executor, const void *ctx, const struct work *works, size_t count, struct work_result *ret,
	struct err *err)
{
	struct executor_calls *calls = executor_calls_new(ctx, executor);
	int r;

	for (size_t i = 0; i < count; i++)
		executor_calls_add(calls, &works[i]);
	r = executor_calls_end(calls, err);
	for (size_t i = 0; i < count; i++)
		ret[i] = calls->results[i];
	return r;
}
