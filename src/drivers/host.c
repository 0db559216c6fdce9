/* The worker's side of the protocol. One request at a time: a line is read whole (with a limit), parsed strictly, turned into a struct
 * driver_call whose
 * params come from the field table of the driver, probe or channel, and answered with exactly one result or error line.
 * Answers go to a private copy of standard output, so that a library that prints cannot break the protocol. Every value that leaves is
 * scrubbed of
 * the secrets that were resolved by then. Threads: the process has one. */
#include "drivers/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "base/clock.h"
#include "base/fs.h"
#include "data/hash.h"
#include "data/json.h"
#include "data/redact.h"

#define DEADLINE_DEFAULT_MS (10 * 60 * 1000)
#define DEADLINE_MAX_MS     (48 * 3600 * 1000LL)
#define SECRET_SIZE_MAX     65536
#define LOG_TEXT_MAX        16384

struct driver_host {
	const struct catalogue *catalogue;
	const char *kind, *name;
	const struct driver *driver; /* one of these three */
	const struct probe *probe;
	const struct channel *channel;
	int out;
	bool broken; /* nobody reads our answers any more */
};

/* Takes over the reference. */
static void say(struct driver_host *host, json_t *line)
{
	_cleanup_talloc_ char *text = NULL;
	json_t *clean = json_redact(line, 2);
	struct err ignored = ERR_INIT;

	text = mem_append(json_canonical(NULL, clean), "\n");
	json_decref(clean);
	json_decref(line);
	if (strlen(text) > HOST_ANSWER_MAX) {
		(void)talloc_free(text);
		text = mem_printf(NULL,
			"{\"error\":{\"code\":\"too-large\",\"message\":\"the answer is larger than %u bytes\",\"retryable\":false}}\n",
			HOST_ANSWER_MAX);
	}
	if (!host->broken && fs_write_all(host->out, text, strlen(text), &ignored) < 0)
		host->broken = true;
}

static void say_error(struct driver_host *host, const struct err *err)
{
	/* What may go better the next time without anybody's help. */
	bool retryable = err->code == ERR_TIMEOUT || err->code == ERR_UNREACHABLE || err->code == ERR_CONFLICT || err->code == ERR_IO ||
		err->code == ERR_STORE || err->code == ERR_DRIVER || err->code == ERR_FAILED;
	json_t *error = json_object();

	json_put_str(error, "code", err_info(err->code)->name);
	json_put_str(error, "message", err->text);
	json_put_flag(error, "retryable", retryable);
	say(host, json_pack("{s:o}", "error", error));
}

static char *limited(const void *ctx, const char *format, va_list arguments) printf_like(2, 0);
static char *limited(const void *ctx, const char *format, va_list arguments)
{
	char *text = mem_vprintf(ctx, format, arguments);

	if (strlen(text) > LOG_TEXT_MAX)
		text = mem_printf(ctx, "%.*s [...]", LOG_TEXT_MAX, text);
	return text;
}

void call_log(struct driver_call *call, enum log_level level, const char *format, ...)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *log = json_object();
	va_list arguments;

	va_start(arguments, format);
	json_put_str(log, "level", log_level_name(level));
	json_put_str(log, "message", limited(ctx, format, arguments));
	va_end(arguments);
	say(call->host, json_pack("{s:o}", "log", log));
}

void call_progress(struct driver_call *call, double share, const char *format, ...)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *line = json_object();
	va_list arguments;

	va_start(arguments, format);
	(void)json_object_set_new(line, "progress", share < 0 ? json_null() : json_real(MIN(share, 1.0)));
	json_put_str(line, "message", limited(ctx, format, arguments));
	va_end(arguments);
	say(call->host, line);
}

int call_secret(struct driver_call *call, json_t *reference, const char **ret, struct err *err)
{
	return json_read_secret(call->ctx, reference, call->project_dir, ret, err);
}

/* Strings, objects and numbers of the request: missing is NULL or 0, of another type is an error. */
static int take_string(json_t *request, const char *key, const char **ret, struct err *err)
{
	json_t *value = json_object_get(request, key);

	if (value && !json_is_null(value) && !json_is_string(value))
		return err_set(err, ERR_INVALID, "request: '%s' is not a string", key);
	*ret = json_is_string(value) ? json_string_value(value) : NULL;
	return 0;
}

static int take_dir(json_t *request, const char *key, const char **ret, struct err *err)
{
	int r = take_string(request, key, ret, err);

	if (r == 0 && *ret && **ret != '/')
		return err_set(err, ERR_INVALID, "request: '%s' is not an absolute path", key);
	return r;
}

static int take_object(json_t *request, const char *key, json_t **ret, struct err *err)
{
	json_t *value = json_object_get(request, key);

	if (value && !json_is_null(value) && !json_is_object(value))
		return err_set(err, ERR_INVALID, "request: '%s' is not an object", key);
	*ret = json_is_object(value) ? value : NULL;
	return 0;
}

static int take_call(json_t *request, struct driver_call *call, struct err *err)
{
	json_t *left = json_object_get(request, "deadlineMs"), *protocol = json_object_get(request, "protocol");
	const struct {
		const char *key, **value;
		bool dir;
	} texts[] = {
		{ "name", &call->name, false },
		{ "environment", &call->environment, false },
		{ "projectDir", &call->project_dir, true },
		{ "stateDir", &call->state_dir, true },
		{ "store", &call->store, false },
		{ "sourceDir", &call->source_dir, true },
		{ "snapshotDir", &call->snapshot_dir, true },
		{ "ledgerDir", &call->ledger_dir, true },
		{ "sandboxDir", &call->sandbox_dir, true },
		{ "idempotencyKey", &call->idempotency_key, false },
		{ "actor", &call->actor, false },
		{ "reason", &call->reason, false },
		{ "runId", &call->run_id, false },
	};
	int r = 0;

	if (protocol && (!json_is_integer(protocol) || json_integer_value(protocol) != DRIVER_PROTOCOL_VERSION))
		return err_set(err, ERR_UNSUPPORTED, "request: this program speaks version %d of the protocol only",
			DRIVER_PROTOCOL_VERSION);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
		r = texts[i].dir ? take_dir(request, texts[i].key, texts[i].value, err)
				 : take_string(request, texts[i].key, texts[i].value, err);
	if (r == 0)
		r = take_object(request, "target", &call->target, err);
	if (r == 0)
		r = take_object(request, "observed", &call->observed, err);
	if (r == 0)
		r = take_object(request, "step", &call->step, err);
	if (r == 0)
		r = take_object(request, "sources", &call->sources, err);
	if (r == 0)
		r = take_object(request, "overrides", &call->overrides, err);
	if (r < 0)
		return r;
	if (left && !json_is_null(left) &&
		(!json_is_integer(left) || json_integer_value(left) < 0 || json_integer_value(left) > DEADLINE_MAX_MS))
		return err_set(err, ERR_INVALID, "request: 'deadlineMs' is not a number of milliseconds");
	call->deadline_ms = clock_mono_ms() + (json_is_integer(left) ? json_integer_value(left) : DEADLINE_DEFAULT_MS);
	if (!call->project_dir)
		return err_set(err, ERR_INVALID, "request: 'projectDir' is missing");
	call->source_kept = json_flag(request, "sourceKept", false);
	if (!call->state_dir)
		call->state_dir = fs_join(call->ctx, call->project_dir, ".deployments");
	if (!call->name)
		call->name = json_str(call->component, "name", "");
	if (!call->environment)
		call->environment = "";
	return 0;
}

/* The configuration by the field table; `member` names it in the request. */
static int take_params(struct driver_call *call, json_t *request, const char *member, const struct field *fields, size_t size,
	struct err *err)
{
	/* Read by the project file's own tables: they belong to every component, probe and notify rule. */
	static const char *const others[] = { "name", "driver", "critical", "needs", "drain", "sandbox", "type", "every", "timeout",
		"external", "component", "channel", "recipients", "on", NULL };
	const char *ignore[ARRAY_SIZE(others)];
	struct problems *problems = problems_new(call->ctx, NULL);
	size_t count = 0;
	void *params;
	int r;

	r = take_object(request, member, &call->component, err);
	if (r < 0)
		return r;
	if (!call->component)
		call->component = json_keep(call->ctx, json_object());
	for (size_t i = 0; others[i]; i++) {
		bool own = false;

		for (const struct field *field = fields; field && field->member; field++) {
			_cleanup_talloc_ char *written = field_name(NULL, field);

			own = own || strcmp(written, others[i]) == 0;
		}
		if (!own)
			ignore[count++] = others[i];
	}
	ignore[count] = NULL;
	params = mem_check(talloc_zero_size(call->ctx, MAX(size, (size_t)1)));
	if (fields)
		fields_parse(call->ctx, fields, call->component, "", ignore, false, params, problems);
	call->params = params;
	return problems_result(problems, err);
}

static json_t *verbs_json(const struct driver_host *host)
{
	const struct driver *driver = host->driver;

	if (host->probe)
		return json_pack("[ss]", "describe", "probe");
	if (host->channel)
		return json_pack("[ss]", "describe", "deliver");
	return json_pack("[sss*s*s*ss*s*]", "describe", "observe", driver->check ? "check" : NULL, driver->capture ? "capture" : NULL,
		driver->undo ? "undo" : NULL, "apply", driver->sandbox ? "sandbox" : NULL, driver->unsandbox ? "unsandbox" : NULL);
}

static json_t *describe(const struct driver_host *host)
{
	const struct field *fields = host->driver ? host->driver->fields : host->probe ? host->probe->fields : host->channel->fields;
	json_t *result = json_object();

	json_put_str(result, "name", host->name);
	json_put_str(result, "summary", host->driver ? host->driver->summary : host->probe ? host->probe->summary : host->channel->summary);
	json_put_int(result, "protocol", DRIVER_PROTOCOL_VERSION);
	if (host->driver) {
		json_put_str(result, "kind", driver_kind_name(host->driver->kind));
		json_put_flag(result, "keeps", host->driver->keeps);
	}
	(void)json_object_set_new(result, "verbs", verbs_json(host));
	(void)json_object_set_new(result, "fields", fields ? fields_json(fields) : json_array());
	return result;
}

static json_t *three_way(int value)
{
	return value < 0 ? json_null() : json_boolean(value);
}

static int do_observe(struct driver_call *call, const struct driver *driver, json_t **ret, struct err *err)
{
	struct observation seen = { .healthy = -1, .at_target = -1 };
	int r;

	r = driver->observe(call, &seen, err);
	if (r < 0)
		return r;
	*ret = json_object();
	json_put_str(*ret, "version", seen.version ? seen.version : "");
	json_put_str(*ret, "state", seen.state);
	(void)json_object_set_new(*ret, "healthy", three_way(seen.healthy));
	(void)json_object_set_new(*ret, "atTarget", three_way(seen.at_target));
	json_put(*ret, "details", seen.details);
	return 0;
}

static int do_check(struct driver_call *call, const struct driver *driver, json_t **ret, struct err *err)
{
	struct findings *findings = findings_new(call->ctx);
	int r = driver->check ? driver->check(call, findings, err) : 0;

	if (r < 0)
		return r;
	*ret = json_pack("{s:o}", "findings", findings_json(findings));
	return 0;
}

static int do_apply(struct driver_call *call, const struct driver *driver, json_t **ret, struct err *err)
{
	json_t *outputs = json_keep(call->ctx, json_object());
	int r;

	if (!call->target)
		return err_set(err, ERR_INVALID, "request: 'target' is missing");
	r = driver->apply(call, outputs, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:O}", "outputs", outputs);
	return 0;
}

/* The answer says what stood there, so that the runner need not ask again. Where it cannot be said the runner will meet the reason
 * itself. */
static int do_capture(struct driver_call *call, const struct driver *driver, json_t **ret, struct err *err)
{
	struct err ignored = ERR_INIT;
	int r = 0;

	if (driver->capture) {
		r = fs_mkdirs(call->snapshot_dir, 0700, err);
		if (r == 0)
			r = driver->capture(call, err);
	}
	if (r < 0)
		return r;
	/* The question is what is there, not whether the goal is reached: that may take a look at where the goal comes from. */
	call->target = NULL;
	if (do_observe(call, driver, ret, &ignored) < 0)
		*ret = json_object();
	(void)json_object_del(*ret, "atTarget");
	return 0;
}

static int do_sandbox(struct driver_call *call, const char *verb, json_t **ret, struct err *err)
{
	const struct driver *driver = call->host->driver;
	json_t *config = NULL;
	int r;

	if (!call->sandbox_dir)
		return err_set(err, ERR_INVALID, "request: 'sandboxDir' is missing");
	if (strcmp(verb, "sandbox") != 0) {
		r = driver->unsandbox ? driver->unsandbox(call, err) : 0;
		if (r == 0)
			*ret = json_object();
		return r;
	}
	if (!driver->sandbox)
		return err_set(err, ERR_UNSUPPORTED, "driver '%s' makes no copy for rehearsals", driver->name);
	r = driver->sandbox(call, &config, err);
	if (r == 0)
		*ret = json_pack("{s:O}", "config", config);
	return r;
}

static int do_driver(struct driver_call *call, const char *verb, json_t *request, json_t **ret, struct err *err)
{
	const struct driver *driver = call->host->driver;
	bool capture = strcmp(verb, "capture") == 0, undo = strcmp(verb, "undo") == 0;
	int r;

	r = take_params(call, request, "component", driver->fields, driver->params_size, err);
	if (r == 0)
		r = take_call(request, call, err);
	if (r < 0)
		return r;
	if (strcmp(verb, "observe") == 0)
		return do_observe(call, driver, ret, err);
	if (strcmp(verb, "check") == 0)
		return do_check(call, driver, ret, err);
	if (strcmp(verb, "apply") == 0)
		return do_apply(call, driver, ret, err);
	if (strcmp(verb, "sandbox") == 0 || strcmp(verb, "unsandbox") == 0)
		return do_sandbox(call, verb, ret, err);
	if (!capture && !undo)
		return err_set(err, ERR_UNSUPPORTED, "request: a driver has no verb '%s'", verb);
	if (!call->snapshot_dir)
		return err_set(err, ERR_INVALID, "request: 'snapshotDir' is missing");
	if (undo && !driver->undo)
		return err_set(err, ERR_UNSUPPORTED, "driver '%s' cannot undo", driver->name);
	if (capture)
		return do_capture(call, driver, ret, err);
	r = driver->undo(call, err);
	if (r == 0)
		*ret = json_object();
	return r;
}

static int do_probe(struct driver_call *call, const char *verb, json_t *request, json_t **ret, struct err *err)
{
	static const char *const names[] = { [PROBE_PASS] = "pass", [PROBE_WARN] = "warn", [PROBE_FAIL] = "fail" };
	const struct probe *probe = call->host->probe;
	struct probe_result result = { .status = PROBE_FAIL };
	int r;

	if (strcmp(verb, "probe") != 0)
		return err_set(err, ERR_UNSUPPORTED, "request: a probe has no verb '%s'", verb);
	r = take_params(call, request, "config", probe->fields, probe->params_size, err);
	if (r == 0)
		r = take_call(request, call, err);
	if (r == 0)
		r = probe->run(call, &result, err);
	if (r < 0)
		return r;
	*ret = json_object();
	json_put_str(*ret, "status", names[result.status]);
	json_put_str(*ret, "message", result.message ? result.message : "");
	json_put(*ret, "details", result.details);
	return 0;
}

static int take_message(json_t *request, const char *recipient, const void *ctx, struct message *ret, struct err *err)
{
	const char **recipients = mem_array(ctx, const char *, 2);
	json_t *message = NULL;
	int r;

	r = take_object(request, "message", &message, err);
	if (r == 0)
		r = take_string(message, "id", &ret->id, err);
	if (r == 0)
		r = take_string(message, "event", &ret->event, err);
	if (r == 0)
		r = take_string(message, "text", &ret->text, err);
	if (r == 0)
		r = take_string(message, "environment", &ret->environment, err);
	if (r == 0)
		r = take_string(message, "runId", &ret->run_id, err);
	if (r == 0)
		r = take_object(message, "details", &ret->details, err);
	if (r < 0)
		return r;
	if (!message || !recipient || !ret->id || !ret->event || !ret->text)
		return err_set(err, ERR_INVALID, "request: 'recipient' or 'message' with id, event and text is missing");
	ret->wall_ms = json_int(message, "timestampMs", 0);
	recipients[0] = recipient;
	ret->recipients = recipients;
	return 0;
}

static int do_channel(struct driver_call *call, const char *verb, json_t *request, json_t **ret, struct err *err)
{
	const struct channel *channel = call->host->channel;
	const char *recipient = json_str(request, "recipient", NULL);
	struct message message = { .wall_ms = 0 };
	int r;

	if (strcmp(verb, "deliver") != 0)
		return err_set(err, ERR_UNSUPPORTED, "request: a channel has no verb '%s'", verb);
	r = take_params(call, request, "config", channel->fields, channel->params_size, err);
	if (r == 0)
		r = take_call(request, call, err);
	if (r == 0)
		r = take_message(request, recipient, call->ctx, &message, err);
	if (r == 0 && channel->check_recipient)
		r = channel->check_recipient(recipient, err);
	if (r == 0)
		r = channel->deliver(call, &message, recipient, err);
	if (r < 0)
		return r;
	*ret = json_object();
	return 0;
}

static int serve(struct driver_host *host, struct driver_call *call, const char *line, size_t size, json_t **ret, struct err *err)
{
	json_t *request;
	const char *verb;
	int r;

	r = json_parse(call->ctx, line, size, HOST_REQUEST_MAX, &request, err);
	if (r < 0)
		return err_in(err, "request");
	verb = json_str(request, "verb", NULL);
	if (!verb)
		return err_set(err, ERR_INVALID, "request: 'verb' is missing");
	if (strcmp(verb, "describe") == 0) {
		*ret = describe(host);
		return 0;
	}
	return host->driver   ? do_driver(call, verb, request, ret, err)
		: host->probe ? do_probe(call, verb, request, ret, err)
			      : do_channel(call, verb, request, ret, err);
}

static void serve_line(struct driver_host *host, const char *line, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct driver_call call = { .ctx = ctx, .host = host };
	struct err err = ERR_INIT;
	json_t *result = NULL;

	if (serve(host, &call, line, size, &result, &err) == 0) {
		say(host, json_pack("{s:o}", "result", result));
		return;
	}
	json_decref(result);
	say_error(host, &err);
}

static int find_worker(struct driver_host *host)
{
	if (strcmp(host->kind, "driver") == 0)
		host->driver = catalogue_driver(host->catalogue, host->name);
	else if (strcmp(host->kind, "probe") == 0)
		host->probe = catalogue_probe(host->catalogue, host->name);
	else if (strcmp(host->kind, "channel") == 0)
		host->channel = catalogue_channel(host->catalogue, host->name);
	if (host->driver) /* what every driver must have: better found at once than in the middle of a rollback */
		assert_always(host->driver->fields && host->driver->observe && host->driver->apply && host->driver->summary);
	return host->driver || host->probe || host->channel ? 0 : -1;
}

/* What the inner call has in common with the outer one. */
static void put_common(const struct driver_call *call, json_t *request)
{
	json_put_int(request, "protocol", DRIVER_PROTOCOL_VERSION);
	json_put_str(request, "environment", call->environment);
	json_put_str(request, "projectDir", call->project_dir);
	json_put_str(request, "stateDir", call->state_dir);
	json_put_str(request, "store", call->store);
	json_put_str(request, "runId", call->run_id);
	json_put_str(request, "actor", call->actor);
	json_put_str(request, "reason", call->reason);
	if (!json_object_get(request, "deadlineMs"))
		json_put_int(request, "deadlineMs", MAX(call->deadline_ms - clock_mono_ms(), (int64_t)1));
}

int host_ask(struct driver_call *call, const char *kind, const char *name, json_t *request, json_t **ret, struct err *err)
{
	struct driver_host host = { .catalogue = call->host->catalogue, .kind = kind, .name = name, .out = call->host->out };
	struct driver_call inner = { .ctx = call->ctx, .host = &host };
	const char *verb = json_str(request, "verb", "");
	json_t *result = NULL;
	int r;

	if (find_worker(&host) < 0)
		return err_set(err, ERR_UNSUPPORTED, "%s '%s' is not built in", kind, name);
	put_common(call, request);
	r = host.driver ? do_driver(&inner, verb, request, &result, err) : do_probe(&inner, verb, request, &result, err);
	call->host->broken = call->host->broken || host.broken;
	if (r == 0)
		*ret = json_keep(call->ctx, result);
	return r;
}

/* Lines from standard input until its end. A last line without a line break is not a request: its writer died in the middle of it. */
static int serve_all(struct driver_host *host)
{
	_cleanup_talloc_ char *buffer = mem_array(NULL, char, 65536);
	size_t used = 0, room = 65536;
	struct err err = ERR_INIT;

	for (;;) {
		char *end = memchr(buffer, '\n', used);
		ssize_t n;

		if (end) {
			size_t length = (size_t)(end - buffer);

			serve_line(host, buffer, length);
			if (host->broken)
				return 1;
			used -= length + 1;
			memmove(buffer, end + 1, used);
			continue;
		}
		if (used > HOST_REQUEST_MAX) {
			(void)err_set(&err, ERR_TOO_LARGE, "request: longer than %u bytes", HOST_REQUEST_MAX);
			say_error(host, &err);
			return 1;
		}
		if (used == room) {
			room *= 2;
			buffer = mem_resize(NULL, buffer, char, room);
		}
		n = read(STDIN_FILENO, buffer + used, room - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return 1;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	if (used > 0) {
		(void)err_set(&err, ERR_INVALID, "request: the line is not complete");
		say_error(host, &err);
	}
	return used > 0;
}

int host_main(const struct catalogue *catalogue, int argc, char **argv)
{
	struct driver_host host = { .catalogue = catalogue };
	_cleanup_close_ int out = -1;
	int r;

	json_setup();
	hash_setup();
	/* A server that goes away is an error of the call, not the end of the worker. Programs that it starts are given the usual handling again (base/child.c). */
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc != 3) {
		log_event(LOG_ERROR, "a worker is started by unship itself, with the kind and the name of what it does", NULL);
		return 2;
	}
	host.kind = argv[1];
	host.name = argv[2];
	if (find_worker(&host) < 0) {
		log_event(LOG_ERROR, "not built in", "kind", host.kind, "name", host.name, NULL);
		return 2;
	}
	out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (out < 0)
		return 1;
	host.out = out;
	(void)fflush(stdout);
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
	r = serve_all(&host);
	(void)fflush(stdout);
	(void)dup2(out, STDOUT_FILENO);
	return r;
}
