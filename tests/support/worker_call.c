/* Calls for tests (worker_call.h). */
#include "worker_call.h"

#include "checks.h"

#include "base/clock.h"
#include "data/json.h"

static char *log_text;

void call_log(struct driver_call *call, enum log_level level, const char *format, ...)
{
	_cleanup_talloc_ char *text = NULL;
	va_list arguments;

	(void)call;
	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	log_text = mem_appendf(log_text, "%s: %s\n", log_level_name(level), text);
}

void call_progress(struct driver_call *call, double share, const char *format, ...)
{
	_cleanup_talloc_ char *text = NULL;
	va_list arguments;

	(void)call;
	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	log_text = mem_appendf(log_text, "%.2f: %s\n", share, text);
}

const char *worker_log(void)
{
	return log_text ? log_text : "";
}

void worker_log_clear(void)
{
	talloc_free(log_text);
	log_text = NULL;
}

int call_secret(struct driver_call *call, json_t *reference, const char **ret, struct err *err)
{
	const char *name = json_str(reference, "env", NULL), *value = name ? getenv(name) : NULL;

	if (!value)
		return err_set(err, ERR_NOT_FOUND, "secret: environment variable %s is not set", name ? name : "?");
	*ret = mem_strdup(call->ctx, value);
	return 0;
}

json_t *worker_json(const void *ctx, const char *text)
{
	_cleanup_talloc_ char *copy = mem_strdup(NULL, text);
	struct err err = ERR_INIT;
	json_t *value = NULL;

	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	if (json_parse(ctx, copy, strlen(copy), 1 << 20, &value, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return value;
}

struct driver_call *worker_call(const void *ctx, const struct field *fields, size_t params_size, const char *project_dir,
	const char *config)
{
	struct driver_call *call = mem_zero(ctx, struct driver_call);
	struct problems *problems = problems_new(call, NULL);
	struct err err = ERR_INIT;
	void *params = mem_check(talloc_zero_size(call, MAX(params_size, (size_t)1)));

	call->ctx = call;
	call->component = worker_json(call, config);
	call->params = params;
	call->name = "test";
	call->environment = "production";
	call->project_dir = mem_strdup(call, project_dir);
	call->state_dir = mem_printf(call, "%s/.deployments", project_dir);
	call->deadline_ms = clock_mono_ms() + 10000;
	fields_parse(call, fields, call->component, "", (const char *const[]){ "recipients", "type", NULL }, false, params, problems);
	if (problems_result(problems, &err) < 0)
		fail_msg("%s", err.text);
	return call;
}
