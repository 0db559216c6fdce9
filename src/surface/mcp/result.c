/* Results of tools: structured content, and text for those who read only that. Text of the outside world (messages of drivers, reasons
 * that people gave) is made printable, and secrets are scrubbed from all of it.
 * Threads: any. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "core/run.h"
#include "data/redact.h"
#include "surface/mcp/inner.h"

#define PLAIN_KEYS 8

static void copy_members(json_t *to, json_t *from, const char *const *names)
{
	for (; *names; names++)
		json_put(to, *names, json_object_get(from, *names));
}

/* Findings that did not pass, as the sentences that document S2 calls warnings. */
static json_t *warnings_of(json_t *findings, json_t *ret_failed)
{
	json_t *list = json_array(), *finding;
	size_t index;

	json_array_foreach(findings, index, finding) {
		if (json_flag(finding, "passed", true))
			continue;
		json_array_append(ret_failed, finding);
		if (strcmp(json_str(finding, "severity", ""), "info") != 0)
			json_array_append_new(list, json_string(json_str(finding, "message", "")));
	}
	return list;
}

json_t *mcp_rollback_result(const void *ctx, json_t *answer)
{
	static const char *const of_run[] = { "success", "rollbackId", "timestamp", "rolledBackTo", "summary", "validation", "warnings",
		"environment", "status", "message", "code", "next", NULL };
	json_t *result = json_keep(ctx, json_object()), *failed, *blocking = json_object_get(answer, "blocking");

	if (json_object_get(answer, "rollbackId")) {
		copy_members(result, answer, of_run);
		return result;
	}
	/* No run was begun: there was nothing to do, or something speaks against it. */
	failed = json_keep(ctx, json_array());
	json_put_flag(result, "success", false);
	json_put_str(result, "timestamp", clock_format(ctx, clock_wall_ms()));
	json_put_str(result, "environment", json_str(answer, "environment", NULL));
	json_put_str(result, "status", "not_begun");
	json_object_set_new(result, "warnings", warnings_of(json_object_get(answer, "findings"), failed));
	json_put(result, "findings", failed);
	if (blocking && json_object_get(answer, "probes")) {
		json_put_str(result, "status", "unchanged");
		json_put_flag(result, "success", true);
		json_put(result, "rolledBackTo", json_object_get(answer, "target"));
	}
	return result;
}

char *mcp_say_run(const void *ctx, json_t *result)
{
	const char *message = json_str(result, "message", NULL), *next = json_str(result, "next", NULL);

	return mem_printf(ctx, "Run %s of %s is %s%s%s.%s%s", json_str(result, "rollbackId", "?"), json_str(result, "environment", "?"),
		json_str(result, "status", "?"), message ? ": " : "", message ? message : "", next ? " Next: " : "", next ? next : "");
}

char *mcp_say_rollback(const void *ctx, json_t *result)
{
	json_t *to = json_object_get(result, "rolledBackTo");

	if (!strcmp(json_str(result, "status", ""), "unchanged"))
		return mem_printf(ctx, "Nothing to do: %s is as %s was recorded already, and its probes pass.",
			json_str(result, "environment", "?"), json_str(to, "version", "the target"));
	if (!json_flag(result, "success", false))
		return mcp_say_run(ctx, result);
	return mem_printf(ctx, "Rolled %s back to %s (%s) in %.1f s, run %s. Health checks: %s.", json_str(result, "environment", "?"),
		json_str(to, "version", "?"), json_str(to, "deploymentId", "?"),
		json_number_value(json_object_get(json_object_get(result, "summary"), "duration")), json_str(result, "rollbackId", "?"),
		json_flag(json_object_get(result, "validation"), "healthChecks", false) ? "passed"
											: "there are none, or they were not asked");
}

char *mcp_say_plan(const void *ctx, json_t *result)
{
	json_t *target = json_object_get(result, "target");
	size_t steps = json_array_size(json_object_get(json_object_get(result, "plan"), "steps"));

	return mem_printf(ctx, "%s from %s to %s: %s; %lld findings block. Nothing was changed.", json_str(result, "environment", "?"),
		json_str(json_object_get(result, "present"), "version", "what runs now"), json_str(target, "version", "the plan's target"),
		text_count(ctx, steps, "step"), (long long)json_int(result, "blocking", 0));
}

char *mcp_say_health(const void *ctx, json_t *result)
{
	return mem_printf(ctx, "Health of %s: %s (%s).", json_str(result, "environment", "?"), json_str(result, "health", "unknown"),
		text_count(ctx, json_array_size(json_object_get(result, "probes")), "probe"));
}

/* "deployments: 3" for whatever lists a result has. */
static char *say_counts(const void *ctx, const struct mcp_tool *tool, json_t *result)
{
	char *text = mem_strdup(ctx, tool->title);
	const char *name;
	json_t *value;

	json_object_foreach(result, name, value)
		if (json_is_array(value))
			text = mem_appendf(text, "; %s: %zu", name, json_array_size(value));
	return mem_append(text, ".");
}

static char *say_error(const void *ctx, const struct err *err)
{
	const struct err_info *info = err_info(err->code);

	return mem_printf(ctx, "%s (%s). What can be done: %s.", err->text, info->name, info->hint);
}

static char *say_approval(const void *ctx, json_t *approval)
{
	return mem_printf(ctx,
		"Nothing was changed yet: this environment is protected, so the request %s waits for a person. Somebody who may approve there, and did not ask for it, has to look at it and run `unship approve %s` (or "
		"`unship reject %s`); an assistant cannot. Tell the user.",
		json_str(approval, "id", "?"), json_str(approval, "id", "?"), json_str(approval, "id", "?"));
}

static void add_text(json_t *content, const char *text)
{
	_cleanup_talloc_ char *clean = secret_redact(NULL, text);
	_cleanup_talloc_ char *printable = text_printable(NULL, clean, strlen(clean), true);

	json_array_append_new(content, json_pack("{s:s, s:s}", "type", "text", "text", printable));
}

/* A message may quote half a character of what was sent, or what a program printed. */
static void put_error(json_t *result, const struct err *err)
{
	json_t *error = json_object();

	json_put_str(error, "code", err_info(err->code)->name);
	json_put_str(error, "message", err->text);
	json_put_str(error, "hint", err_info(err->code)->hint);
	json_object_set_new(result, "error", error);
}

json_t *mcp_result(const void *ctx, const struct mcp_tool *tool, json_t *answer, const struct err *err, bool failed)
{
	json_t *approval = json_object_get(answer, "approval"), *content = json_array(), *result, *clean;

	if (json_is_object(approval)) {
		result = json_make(ctx, "{s:O}", "approval", approval);
		failed = false;
		add_text(content, say_approval(ctx, approval));
	} else {
		result = tool->result ? tool->result(ctx, answer) : json_keep(ctx, answer ? json_copy(answer) : json_object());
		add_text(content, failed ? say_error(ctx, err) : tool->say ? tool->say(ctx, result) : say_counts(ctx, tool, result));
	}
	if (failed)
		put_error(result, err);
	clean = json_keep(ctx, json_redact(result, PLAIN_KEYS));
	add_text(content, mcp_text(ctx, clean));
	return json_make(ctx, "{s:o, s:O, s:b}", "content", content, "structuredContent", clean, "isError", failed);
}
