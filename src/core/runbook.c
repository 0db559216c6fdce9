/* A runbook: a plan in sentences, for the person who carries it out or watches it (C6). Markdown. Pure; any thread. */
#include "core/plan.h"

#include "base/text.h"
#include "core/graph.h"
#include "core/steptype.h"
#include "data/json.h"

/* Text inside a line of Markdown: what has a meaning there is escaped, so that a plan cannot draw headings or links. */
static char *escape(const void *ctx, const char *text)
{
	_cleanup_talloc_ char *clean = text_printable(NULL, text, strlen(text), false);
	char *escaped = mem_strdup(ctx, "");
	const char *at = clean;

	while (*at) {
		size_t plain = strcspn(at, "\\`*_[]<>#|");

		escaped = mem_append(escaped, mem_strndup(escaped, at, plain));
		at += plain;
		if (*at)
			escaped = mem_appendf(escaped, "\\%c", *at++);
	}
	return escaped;
}

/* A value in back-ticks; more of them where the value has some. */
static char *code(const void *ctx, const char *text)
{
	char *clean = text_printable(ctx, text, strlen(text), false);
	size_t run = 0, longest = 0;
	char fence[8] = "````";

	for (const char *at = clean; *at; at++) {
		run = *at == '`' ? run + 1 : 0;
		longest = MAX(longest, run);
	}
	fence[MIN(longest + 1, (size_t)4)] = 0;
	return longest ? mem_printf(ctx, "%s %s %s", fence, clean, fence) : mem_printf(ctx, "`%s`", clean);
}

static char *parameter(const void *ctx, const struct step *step, const char *name)
{
	char *text = json_scalar_text(ctx, json_object_get(step->parameters, name));

	return code(ctx, text ? text : "?");
}

static char *keys_text(const void *ctx, json_t *object)
{
	char *text = mem_strdup(ctx, "");
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
		text = mem_appendf(text, "%s%s", *text ? ", " : "", code(text, key));
	return text;
}

static char *list_text(const void *ctx, json_t *list)
{
	char *text = mem_strdup(ctx, "");
	json_t *item;
	size_t i;

	if (json_is_string(list))
		return code(ctx, json_string_value(list));
	json_array_foreach(list, i, item) {
		char *scalar = json_scalar_text(text, item);

		text = mem_appendf(text, "%s%s", i ? ", " : "", code(text, scalar ? scalar : "?"));
	}
	return text;
}

/* What the step does, in a sentence. A type without one of its own gets its summary and its parameters. */
static char *does(const void *ctx, const struct step *step)
{
	const char *type = step->type;
	json_t *p = step->parameters;

	if (strcmp(type, "deployment") == 0)
		return mem_printf(ctx, "Takes component %s to version %s in environment %s.", parameter(ctx, step, "service"),
			parameter(ctx, step, "version"), parameter(ctx, step, "environment"));
	if (strcmp(type, "feature-flag") == 0)
		return mem_printf(ctx, "Sets flag %s to %s and reads it back.", parameter(ctx, step, "flagKey"),
			parameter(ctx, step, "targetState"));
	if (strcmp(type, "data") == 0 && json_object_get(p, "snapshotId"))
		return mem_printf(ctx,
			"Restores %s as a whole from %s. Rows that are newer are lost; they stay in the snapshot of this run.",
			parameter(ctx, step, "database"), parameter(ctx, step, "snapshotId"));
	if (strcmp(type, "data") == 0 && json_object_get(p, "migrateTo"))
		return mem_printf(ctx,
			"Takes the schema of %s back to migration %s with its tool. Rows stay; what stands in columns and tables that this removes is in the snapshot of this run.",
			parameter(ctx, step, "database"), parameter(ctx, step, "migrateTo"));
	if (strcmp(type, "data") == 0)
		return mem_printf(ctx, "Restores these tables of %s from their backups: %s.", parameter(ctx, step, "database"),
			keys_text(ctx, json_object_get(p, "tables")));
	if (strcmp(type, "configuration") == 0 && json_object_get(p, "configVersion"))
		return mem_printf(ctx, "Takes the configuration %s to version %s.", parameter(ctx, step, "service"),
			parameter(ctx, step, "configVersion"));
	if (strcmp(type, "configuration") == 0)
		return mem_printf(ctx, "Sets these items of the configuration %s: %s.", parameter(ctx, step, "service"),
			keys_text(ctx, json_object_get(p, "configItems")));
	if (strcmp(type, "notification") == 0)
		return mem_printf(ctx, "Tells %s by %s: \"%s\".", list_text(ctx, json_object_get(p, "recipients")),
			parameter(ctx, step, "channel"), escape(ctx, json_str(p, "message", "")));
	if (strcmp(type, "service") == 0 && strcmp(json_str(p, "action", ""), "drain") == 0)
		return mem_printf(ctx, "Lets service %s take no new work, and waits until it has ended what it works on.",
			parameter(ctx, step, "service"));
	if (strcmp(type, "service") == 0 && strcmp(json_str(p, "action", ""), "requeue") == 0)
		return mem_printf(ctx, "Puts back what service %s had taken and not ended, so that it is done again.",
			parameter(ctx, step, "service"));
	if (strcmp(type, "service") == 0 && strcmp(json_str(p, "action", ""), "resume") == 0)
		return mem_printf(ctx, "Lets service %s take work again.", parameter(ctx, step, "service"));
	if (strcmp(type, "service") == 0)
		return mem_printf(ctx, "Service %s: %s.", parameter(ctx, step, "service"), parameter(ctx, step, "action"));
	if (strcmp(type, "command") == 0)
		return mem_printf(ctx, "Runs %s.", list_text(ctx, json_object_get(p, "argv")));
	if (strcmp(type, "health") == 0 && json_object_get(p, "components"))
		return mem_printf(ctx, "Runs the health probes of %s.", list_text(ctx, json_object_get(p, "components")));
	if (strcmp(type, "health") == 0)
		return mem_strdup(ctx, "Runs the health probes.");
	if (strcmp(type, "approval") == 0)
		return mem_printf(ctx, "Waits for a person's word: \"%s\". Answer with `unship approve ID` or `unship reject ID`.",
			escape(ctx, json_str(p, "message", "go on?")));
	return mem_printf(ctx, "%s: %s.", step_type(type) ? step_type(type)->summary : type, code(ctx, json_canonical(ctx, p)));
}

static const char *undone_by(const void *ctx, const struct step *step)
{
	const struct step_type *type = step_type(step->type);
	char *subject = step_subject(ctx, step);

	if (!subject)
		return "nothing to undo: this step changes nothing in the environment";
	if (strcmp(step->type, "command") == 0) {
		json_t *undo = json_object_get(step->parameters, "undo");

		return undo ? mem_printf(ctx, "runs %s", list_text(ctx, undo))
			    : "**nothing undoes it**: the command names no `undo`; if the run is restored, a person has to see to it";
	}
	if (type && type->doer == STEP_UNDOES)
		return "what was captured before this run is put back";
	return mem_printf(ctx, "%s is put back as it was captured before the run", escape(ctx, subject));
}

static char *look_at(const void *ctx, const struct step *step, const struct environment *environment)
{
	const char *component = step_component(step);
	char *text;

	if (strcmp(step->type, "health") == 0)
		return mem_printf(ctx, "`unship health %s` runs the probes again and shows what each one says", environment->name);
	if (strcmp(step->type, "notification") == 0)
		return mem_strdup(ctx, "the notification is delivered in the background and tried again; the run does not wait for it");
	if (strcmp(step->type, "approval") == 0)
		return mem_strdup(ctx, "a rejection ends the run by the policy above");
	text = mem_strdup(ctx, "`unship status ID` shows the driver's words and its kept output");
	if (!component)
		return text;
	for (size_t i = 0; i < environment->probe_count; i++)
		if (environment->probes[i].component && strcmp(environment->probes[i].component, component) == 0)
			text = mem_appendf(text, "; probe %s", code(text, environment->probes[i].name));
	for (size_t i = 0; i < environment->component_count; i++) {
		const struct component *other = &environment->components[i];

		if (strcmp(other->name, component) == 0)
			for (const char **need = other->needs; *need; need++)
				text = mem_appendf(text, "; %s, which it needs", code(text, *need));
	}
	return text;
}

static char *append_step(char *book, const struct plan *plan, const struct step *step, size_t number, const struct environment *environment)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);

	book = mem_appendf(book, "## %zu. %s\n\n", number, escape(tmp, step->name));
	if (step->description)
		book = mem_appendf(book, "%s\n\n", escape(tmp, step->description));
	book = mem_appendf(book, "%s\n\n- Step: %s (%s)\n", does(tmp, step), code(tmp, step->id), step->type);
	if (plan->graph) {
		char *needs = mem_strdup(tmp, "");

		for (size_t i = 0; i < step->need_count; i++)
			needs = mem_appendf(needs, "%s%s", i ? ", " : "", code(tmp, plan->steps[step->needs[i]].id));
		book = mem_appendf(book, "- After: %s\n", step->need_count ? needs : "nothing; it starts at once");
	}
	book = mem_appendf(book, "- Limit: %s per attempt", text_format_duration(tmp, step->timeout_ms));
	if (step->max_attempts > 1)
		book = mem_appendf(book, ", %lld attempts", (long long)step->max_attempts);
	return mem_appendf(book, "\n- Undo: %s\n- When it fails: %s\n\n", undone_by(tmp, step), look_at(tmp, step, environment));
}

static const char *policy_text(enum on_failure policy)
{
	switch (policy) {
	case ON_FAILURE_RESTORE:
		return "everything that was touched is put back, last step first";
	case ON_FAILURE_STOP:
		return "the run stops and leaves things as they stand then; `unship status ID` says how";
	case ON_FAILURE_CONTINUE:
		return "the run goes on with every step that does not need the failed one";
	}
	return "";
}

char *plan_runbook(const void *ctx, const struct plan *plan, const struct environment *environment)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct graph graph = { .count = plan->step_count };
	size_t *order, *cycle, cycle_count;
	char *book;

	graph.needs = mem_array(tmp, size_t *, plan->step_count);
	graph.need_count = mem_array(tmp, size_t, plan->step_count);
	for (size_t i = 0; i < plan->step_count; i++) {
		graph.needs[i] = plan->steps[i].needs;
		graph.need_count[i] = plan->steps[i].need_count;
	}
	book = mem_printf(ctx, "# %s\n\n", escape(tmp, plan->name));
	if (plan->description)
		book = mem_appendf(book, "%s\n\n", escape(tmp, plan->description));
	book = mem_appendf(book, "- Plan: %s\n- Environment: %s%s\n", code(tmp, plan->id), code(tmp, environment->name),
		environment->protected ? " (protected)" : "");
	if (plan->phase && *plan->phase)
		book = mem_appendf(book, "- Phase: %s\n", escape(tmp, plan->phase));
	if (plan->estimated_ms > 0)
		book = mem_appendf(book, "- Estimated duration: %s\n", text_format_duration(tmp, plan->estimated_ms));
	for (const char **id = plan->dependencies; *id; id++)
		book = mem_appendf(book, "- Must have been run before: %s\n", code(tmp, *id));
	book = mem_appendf(book, "- Steps: %zu, %s\n- If a step fails for good: %s.\n\n", plan->step_count,
		plan->graph ? "in parallel where nothing orders them" : "strictly in order", policy_text(plan->on_failure));
	if (!graph_order(tmp, &graph, &order, &cycle, &cycle_count))
		return mem_append(book, "The steps need each other in a circle: this plan cannot be run.\n");
	for (size_t i = 0; i < plan->step_count; i++)
		book = append_step(book, plan, &plan->steps[order[i]], i + 1, environment);
	return mem_append(book,
		"## Afterwards\n\nThe last lines of the run say what happened and how long each phase took. "
		"`unship undo ID` takes the whole run back.\n");
}
