/* Plans: reading, checking and writing them (plan.h, docs/reference/plan-file.md).
 *
 * Reading goes over the steps three times: their members, then what they need (ids are known by then), then the names in their templates
 * (the order is
 * known by then). Every pass is linear: ids are found through a hash, and whether a step comes before another is asked for many pairs at
 * once.
 * Pure; any thread. */
#include "core/plan.h"

#include "base/text.h"
#include "core/graph.h"
#include "core/steptype.h"
#include "data/json.h"
#include "data/template.h"

#define ESTIMATE_MAX_MS (INT64_C(365) * 24 * 3600 * 1000)
#define CYCLE_SHOWN     20
#define BACKOFF_DEFAULT 2.0
#define BACKOFF_MAX     100

struct plan_file {
	const char *id, *name, *description, *phase, *on_failure;
	const char **dependencies;
	json_t *estimated_duration, *steps;
};
/* clang-format off */
static const struct field plan_fields[] = {
	FIELD_NAME(struct plan_file, id, REQUIRED, "name of the plan, for dependencies and records"),
	FIELD_STR(struct plan_file, name, OPTIONAL, "title for people; the id when missing"),
	FIELD_STR(struct plan_file, description, OPTIONAL, "what the plan is for"),
	FIELD_STR(struct plan_file, phase, OPTIONAL, "any label, such as initial-separation"),
	FIELD_LIST(struct plan_file, dependencies, OPTIONAL, "ids of plans that must have been run before"),
	FIELD_JSON(struct plan_file, estimated_duration, OPTIONAL, "a number of minutes, or a duration such as 90s"),
	FIELD_CHOICE(struct plan_file, on_failure, DEFAULT("restore"), "restore|stop|continue", "what follows when a step has failed for good"),
	FIELD_JSON(struct plan_file, steps, REQUIRED, "the steps"),
	FIELD_END
};
/* clang-format on */

struct retry_policy {
	int64_t max_attempts;
	double backoff_multiplier;
};
/* clang-format off */
static const struct field retry_fields[] = {
	FIELD_INT(struct retry_policy, max_attempts, DEFAULT("1"), 1, STEP_ATTEMPTS_MAX, "how often the step is tried in all"),
	FIELD_REAL(struct retry_policy, backoff_multiplier, DEFAULT("2"), 1, BACKOFF_MAX, "how much longer each wait may be than the one before"),
	FIELD_END
};
/* clang-format on */

struct step_file {
	const char *id, *name, *description, *type;
	const char **needs;
	json_t *parameters;
	int64_t timeout_ms;
	struct retry_policy retry_policy;
};
/* clang-format off */
static const struct field step_fields[] = {
	FIELD_NAME(struct step_file, id, REQUIRED, "name of the step, unique in the plan"),
	FIELD_STR(struct step_file, name, OPTIONAL, "title for people; the id when missing"),
	FIELD_STR(struct step_file, description, OPTIONAL, "what the step is for"),
	FIELD_STR(struct step_file, type, REQUIRED, "step type"),
	FIELD_LIST(struct step_file, needs, OPTIONAL, "ids of the steps that must have completed before"),
	FIELD_MAP(struct step_file, parameters, OPTIONAL, "parameters of the step's type"),
	FIELD_ANY_(struct step_file, timeout_ms, MS, NULL, 1, STEP_TIMEOUT_MAX_MS, NULL, "limit of each attempt", DEFAULT("300s")),
	FIELD_GROUP(struct step_file, retry_policy, OPTIONAL, retry_fields, "how to try again"),
	FIELD_END
};
/* clang-format on */

static const char *const on_failure_names[] = { "restore", "stop", "continue" };

const char *on_failure_name(enum on_failure policy)
{
	assert_always((size_t)policy < ARRAY_SIZE(on_failure_names));
	return on_failure_names[policy];
}

/* What reading needs besides the plan. */
struct reading {
	struct plan *plan;
	struct problems *problems;
	void *tmp;     /* ends with the reading */
	json_t *steps; /* the list in the document; NULL when it is none */
	json_t *index; /* step id -> its position */
	struct graph *graph;
	struct reference *references;
	size_t reference_count;
	size_t step; /* whose templates are being visited */
};

/* ${steps.ID.outputs.NAME} in a step: ID must come before it. */
struct reference {
	size_t step, target;
	const char *path;
};

static void read_estimate(struct reading *reading, json_t *value)
{
	double minutes = 0;
	struct err err = ERR_INIT;
	const char *text = json_string_value(value);

	if (!value || json_is_null(value))
		return;
	if (json_is_number(value)) {
		minutes = json_number_value(value);
		if (!(minutes >= 0 && minutes * 60000 <= (double)ESTIMATE_MAX_MS))
			problems_add(reading->problems, ERR_INVALID, "estimatedDuration", "an estimate is 0 minutes to a year");
		else
			reading->plan->estimated_ms = (int64_t)(minutes * 60000 + 0.5);
	} else if (!text) {
		problems_add(reading->problems, ERR_INVALID, "estimatedDuration",
			"expected a number of minutes, or a duration such as 90s");
	} else if (text_parse_duration(text, &reading->plan->estimated_ms, &err) < 0) {
		problems_add(reading->problems, err.code, "estimatedDuration", "%s", err.text);
	} else if (strspn(text, "0123456789.") == strlen(text)) {
		/* A number in quotes is still a number: minutes, not the seconds that durations default to. */
		reading->plan->estimated_ms = MIN(reading->plan->estimated_ms * 60, ESTIMATE_MAX_MS);
	}
}

static void read_dependencies(struct reading *reading, const char **dependencies)
{
	struct plan *plan = reading->plan;

	for (size_t i = 0; dependencies[i]; i++) {
		char *path = doc_path_index(reading->tmp, "dependencies", i);

		if (!text_is_name(dependencies[i]))
			problems_add(reading->problems, ERR_INVALID, path, "'%s' is not the id of a plan", dependencies[i]);
		else if (strcmp(dependencies[i], plan->id) == 0)
			problems_add(reading->problems, ERR_INVALID, path, "a plan cannot depend on itself");
	}
}

static void read_head(struct reading *reading, json_t *root)
{
	static const char *const no_dependencies[] = { NULL };
	struct plan *plan = reading->plan;
	struct plan_file file;

	fields_parse(plan, plan_fields, root, "", NULL, false, &file, reading->problems);
	plan->id = file.id ? file.id : "";
	plan->name = file.name ? file.name : plan->id;
	plan->description = file.description;
	plan->phase = file.phase;
	plan->dependencies = file.dependencies ? file.dependencies : mem_dup(plan, no_dependencies, sizeof(no_dependencies));
	for (size_t i = 0; i < ARRAY_SIZE(on_failure_names); i++)
		if (file.on_failure && strcmp(file.on_failure, on_failure_names[i]) == 0)
			plan->on_failure = (enum on_failure)i;
	read_dependencies(reading, plan->dependencies);
	read_estimate(reading, file.estimated_duration);
	if (json_is_array(file.steps))
		reading->steps = file.steps;
	else if (file.steps)
		problems_add(reading->problems, ERR_INVALID, "steps", "expected a list of steps");
}

static const struct step_type *find_type(struct reading *reading, const char *name, const char *path)
{
	const struct step_type *type = step_type(name);
	const char **names, *nearest;
	size_t count = 0;

	if (type)
		return type;
	while (step_types[count])
		count++;
	names = mem_array(reading->tmp, const char *, count + 1);
	for (size_t i = 0; i < count; i++)
		names[i] = step_types[i]->name;
	nearest = text_nearest(name, names);
	problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, path, "type"), "unknown step type '%s'%s%s%s", name,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	return NULL;
}

/* The parameters that the type's table knows; the rest of an open type is the driver's business. */
static json_t *known_parameters(void *tmp, const struct step_type *type, json_t *parameters)
{
	json_t *known;

	if (!type->open)
		return parameters;
	known = json_keep(tmp, json_object());
	for (const struct field *field = type->fields; field->member; field++) {
		char *name = field_name(tmp, field);

		json_put(known, name, json_object_get(parameters, name));
	}
	return known;
}

static void check_parameters(struct reading *reading, const struct step *step, const struct step_type *type)
{
	/* Of this step only, so that 10,000 steps do not keep 10,000 of it. */
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	char *path = doc_path(tmp, step->path, "parameters"), *params = mem_array(tmp, char, type->params_size);
	const char *const subjects[] = { type->component_param, type->subject_param, type->doer == STEP_UNDOES ? "subject" : NULL };

	fields_parse(tmp, type->fields, known_parameters(tmp, type, step->parameters), path, NULL, true, params, reading->problems);
	if (type->check)
		type->check(step->parameters, path, reading->problems);
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		const char *value = subjects[i] ? json_str(step->parameters, subjects[i], NULL) : NULL;

		if (value && template_has(value))
			problems_add(reading->problems, ERR_INVALID, doc_path(tmp, path, subjects[i]),
				"%s names what the step acts on, so it must be written out: no ${...}", subjects[i]);
	}
}

static void remember_id(struct reading *reading, size_t position)
{
	struct step *step = &reading->plan->steps[position];
	json_t *before = json_object_get(reading->index, step->id);

	if (!*step->id)
		return;
	if (before)
		problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, step->path, "id"),
			"duplicate step id '%s': %s has it already", step->id, reading->plan->steps[json_integer_value(before)].path);
	else
		json_object_set_new(reading->index, step->id, json_integer((json_int_t)position));
}

static void read_step(struct reading *reading, size_t position, json_t *object)
{
	struct plan *plan = reading->plan;
	struct step *step = &plan->steps[position];
	const struct step_type *type;
	struct step_file file;

	*step = (struct step){ .path = doc_path_index(plan, "steps", position), .id = "", .name = "", .type = "" };
	fields_parse(plan, step_fields, object, step->path, NULL, false, &file, reading->problems);
	step->id = file.id ? file.id : "";
	step->name = file.name ? file.name : step->id;
	step->description = file.description;
	step->type = file.type ? file.type : "";
	step->timeout_ms = file.timeout_ms > 0 ? file.timeout_ms : STEP_TIMEOUT_DEFAULT_MS;
	step->max_attempts = MAX(file.retry_policy.max_attempts, 1);
	step->backoff_multiplier = file.retry_policy.backoff_multiplier >= 1 ? file.retry_policy.backoff_multiplier : BACKOFF_DEFAULT;
	step->parameters = json_keep(plan, json_is_object(file.parameters) ? json_incref(file.parameters) : json_object());
	remember_id(reading, position);
	type = file.type ? find_type(reading, file.type, step->path) : NULL;
	if (type)
		check_parameters(reading, step, type);
	if (json_object_get(object, "needs"))
		plan->graph = true;
}

static void read_steps(struct reading *reading)
{
	struct plan *plan = reading->plan;
	json_t *object;
	size_t i;

	plan->step_count = json_array_size(reading->steps);
	if (reading->steps && plan->step_count == 0)
		problems_add(reading->problems, ERR_INVALID, "steps", "a plan needs at least one step");
	if (plan->step_count > PLAN_STEPS_MAX) {
		problems_add(reading->problems, ERR_TOO_LARGE, "steps", "%zu steps; a plan has at most %d", plan->step_count,
			PLAN_STEPS_MAX);
		plan->step_count = PLAN_STEPS_MAX;
	}
	plan->steps = mem_array(plan, struct step, plan->step_count);
	for (i = 0; i < plan->step_count; i++) {
		object = json_array_get(reading->steps, i);
		read_step(reading, i, object);
	}
}

static void unknown_need(struct reading *reading, const struct step *step, size_t position, const char *name)
{
	const char **ids, *nearest;
	char *path;

	/* Looking for the nearest among 10,000 is worth it only for what will be shown. */
	if (reading->problems->count >= PROBLEMS_MAX) {
		reading->problems->more++;
		return;
	}
	ids = mem_array(reading->tmp, const char *, reading->plan->step_count + 1);
	for (size_t i = 0; i < reading->plan->step_count; i++)
		ids[i] = reading->plan->steps[i].id;
	nearest = text_nearest(name, ids);
	path = doc_path_index(reading->tmp, doc_path(reading->tmp, step->path, "needs"), position);
	problems_add(reading->problems, ERR_INVALID, path, "step '%s' needs '%s', which is no step of this plan%s%s%s", step->id, name,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	talloc_free(ids);
}

/* `stamps`: the last step that named a step, plus 1: naming it twice makes one edge. */
static void read_need(struct reading *reading, size_t step, size_t position, json_t *name, size_t *stamps)
{
	/* An id may look like a number. What is no text at all was told by the field table. */
	_cleanup_talloc_ char *id = json_scalar_text(NULL, name);
	json_t *target;

	if (!id)
		return;
	target = json_object_get(reading->index, id);
	if (!target) {
		unknown_need(reading, &reading->plan->steps[step], position, id);
		return;
	}
	if (stamps[json_integer_value(target)] == step + 1)
		return;
	stamps[json_integer_value(target)] = step + 1;
	graph_need(reading->graph, step, (size_t)json_integer_value(target));
}

static void read_needs(struct reading *reading)
{
	struct plan *plan = reading->plan;
	size_t *stamps = mem_array(reading->tmp, size_t, plan->step_count);

	reading->graph = graph_new(plan, plan->step_count);
	for (size_t i = 0; i < plan->step_count; i++) {
		json_t *needs = json_object_get(json_array_get(reading->steps, i), "needs"), *name;
		size_t position;

		if (!plan->graph && i > 0)
			graph_need(reading->graph, i, i - 1);
		if (needs && !json_is_array(needs))
			read_need(reading, i, 0, needs, stamps);
		json_array_foreach(needs, position, name)
			read_need(reading, i, position, name, stamps);
		plan->steps[i].needs = reading->graph->needs[i];
		plan->steps[i].need_count = reading->graph->need_count[i];
	}
}

static void report_cycle(struct reading *reading, const size_t *cycle, size_t count)
{
	const struct step *steps = reading->plan->steps;
	char *text = mem_strdup(reading->tmp, steps[cycle[0]].id);

	for (size_t i = 1; i < MIN(count, (size_t)CYCLE_SHOWN); i++)
		text = mem_appendf(text, " -> %s", steps[cycle[i]].id);
	if (count > CYCLE_SHOWN)
		text = mem_appendf(text, " -> ... (%zu steps) -> %s", count - 1, steps[cycle[0]].id);
	problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, steps[cycle[0]].path, "needs"),
		"steps need each other in a circle: %s", text);
}

/* steps.ID.outputs.NAME: false when the text has another form. An id may have dots, a name of an output has none. */
static bool split_output(void *tmp, const char *name, char **ret_id, const char **ret_output)
{
	static const char middle[] = ".outputs.";
	const char *found = NULL, *id = name + strlen("steps.");

	if (!text_starts_with(name, "steps."))
		return false;
	for (const char *at = strstr(id, middle); at; at = strstr(at + 1, middle))
		found = at;
	if (!found || found == id)
		return false;
	*ret_id = mem_strndup(tmp, id, (size_t)(found - id));
	*ret_output = found + strlen(middle);
	return true;
}

static void check_output_name(struct reading *reading, const char *path, const char *id, const char *output)
{
	json_t *position = json_object_get(reading->index, id);
	const struct step_type *type;
	const char *nearest;
	struct reference *reference;
	size_t count = reading->reference_count;

	if (!position) {
		problems_add(reading->problems, ERR_INVALID, path, "${steps.%s.outputs.%s}: there is no step '%s'", id, output, id);
		return;
	}
	type = step_type(reading->plan->steps[json_integer_value(position)].type);
	if (!type)
		return;
	for (const char *const *known = type->outputs; *known; known++)
		if (strcmp(*known, output) == 0) {
			if ((count & (count - 1)) == 0)
				reading->references = mem_resize(reading->tmp, reading->references, struct reference,
					count ? count * 2 : 1);
			reference = &reading->references[reading->reference_count++];
			*reference = (struct reference){ reading->step, (size_t)json_integer_value(position), path };
			return;
		}
	nearest = text_nearest(output, type->outputs);
	problems_add(reading->problems, ERR_INVALID, path, "a %s step has no output '%s'%s%s%s", type->name, output,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static int visit_name(void *user, const char *relative, const char *name)
{
	static const char *const known[] = { "context.environment", "context.trigger", "context.triggeredBy", NULL };
	struct reading *reading = user;
	const char *base = doc_path(reading->tmp, reading->plan->steps[reading->step].path, "parameters"), *output, *nearest;
	char *path = mem_printf(reading->tmp, "%s%s%s", base, *relative && *relative != '[' ? "." : "", relative), *id;

	for (const char *const *at = known; *at; at++)
		if (strcmp(*at, name) == 0)
			return 0;
	if (text_starts_with(name, "context.metadata."))
		return 0;
	if (split_output(reading->tmp, name, &id, &output)) {
		check_output_name(reading, path, id, output);
		return 0;
	}
	nearest = text_nearest(name, known);
	if (nearest)
		problems_add(reading->problems, ERR_INVALID, path, "unknown name '%s'; did you mean '%s'?", name, nearest);
	else
		problems_add(reading->problems, ERR_INVALID, path,
			"unknown name '%s' (there are context.environment, context.trigger, context.triggeredBy, context.metadata.NAME, steps.ID.outputs.NAME)",
			name);
	return 0;
}

#define BATCH 64

/* Gives bits to the targets of the references from `from` on, as many as fit; returns where the next batch begins. */
static size_t take_batch(const struct reading *reading, size_t from, unsigned char *bits)
{
	unsigned targets = 0;

	memset(bits, 0, reading->plan->step_count);
	for (; from < reading->reference_count; from++) {
		unsigned char *bit = &bits[reading->references[from].target];

		if (!*bit && targets == BATCH)
			break;
		if (!*bit)
			*bit = (unsigned char)++targets;
	}
	return from;
}

/* Hands the bits on along the order: before[s] has those of the targets that come before step s. */
static void spread_bits(const struct plan *plan, const size_t *order, const unsigned char *bits, uint64_t *before)
{
	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[order[i]];
		uint64_t all = 0;

		for (size_t k = 0; k < step->need_count; k++) {
			size_t need = step->needs[k];

			all |= before[need] | (bits[need] ? UINT64_C(1) << (bits[need] - 1) : 0);
		}
		before[order[i]] = all;
	}
}

/* For each reference: does its target come before its step? 64 targets at a time, so that many references cost little more than one. */
static void check_references(struct reading *reading, const size_t *order)
{
	const struct plan *plan = reading->plan;
	uint64_t *before = mem_array(reading->tmp, uint64_t, plan->step_count);
	unsigned char *bits = mem_array(reading->tmp, unsigned char, plan->step_count); /* of the targets in the batch, plus 1 */
	size_t done = 0, end;

	while (done < reading->reference_count) {
		end = take_batch(reading, done, bits);
		spread_bits(plan, order, bits, before);
		for (; done < end; done++) {
			const struct reference *reference = &reading->references[done];

			if (!(before[reference->step] >> (bits[reference->target] - 1) & 1))
				problems_add(reading->problems, ERR_INVALID, reference->path,
					"step '%s' does not come before step '%s', whose output this names%s",
					plan->steps[reference->target].id, plan->steps[reference->step].id,
					plan->graph ? ": add it to needs" : "");
		}
	}
}

static void check_templates(struct reading *reading)
{
	struct plan *plan = reading->plan;

	for (reading->step = 0; reading->step < plan->step_count; reading->step++) {
		const struct step *step = &plan->steps[reading->step];
		struct err err = ERR_INIT;

		if (template_names(step->parameters, visit_name, reading, &err) < 0)
			problems_add(reading->problems, err.code, doc_path(reading->tmp, step->path, "parameters"), "%s", err.text);
	}
}

struct plan *plan_read(const void *ctx, const struct doc *doc, struct problems *problems)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct reading reading = { .plan = mem_zero(ctx, struct plan), .problems = problems, .tmp = tmp };
	size_t *order, *cycle, cycle_count;

	reading.index = json_keep(tmp, json_object());
	read_head(&reading, doc_root(doc));
	read_steps(&reading);
	read_needs(&reading);
	check_templates(&reading);
	if (graph_order(tmp, reading.graph, &order, &cycle, &cycle_count))
		check_references(&reading, order);
	else
		report_cycle(&reading, cycle, cycle_count);
	return reading.plan;
}

struct step *plan_step(const struct plan *plan, const char *id)
{
	for (size_t i = 0; i < plan->step_count; i++)
		if (strcmp(plan->steps[i].id, id) == 0)
			return &plan->steps[i];
	return NULL;
}

/* A number in the unit of the file where it is a whole one, else the text of a duration. */
static void put_duration(json_t *object, const char *key, int64_t ms, int64_t unit_ms)
{
	_cleanup_talloc_ char *text = text_format_duration(NULL, ms);

	if (ms % unit_ms == 0)
		json_put_int(object, key, ms / unit_ms);
	else
		json_put_str(object, key, text);
}

static json_t *step_json(const struct plan *plan, const struct step *step)
{
	json_t *object = json_object(), *needs;

	json_put_str(object, "id", step->id);
	json_put_str(object, "name", step->name);
	json_put_str(object, "description", step->description);
	json_put_str(object, "type", step->type);
	if (plan->graph) {
		/* Also when empty: the key is what makes a plan a graph. */
		needs = json_array();
		for (size_t i = 0; i < step->need_count; i++)
			json_array_append_new(needs, json_string(plan->steps[step->needs[i]].id));
		json_object_set_new(object, "needs", needs);
	}
	json_put(object, "parameters", step->parameters);
	put_duration(object, "timeout", step->timeout_ms, 1000);
	if (step->max_attempts != 1 || step->backoff_multiplier < BACKOFF_DEFAULT || step->backoff_multiplier > BACKOFF_DEFAULT) {
		json_t *retry = json_object();

		json_put_int(retry, "maxAttempts", step->max_attempts);
		json_object_set_new(retry, "backoffMultiplier", json_real(step->backoff_multiplier));
		json_object_set_new(object, "retryPolicy", retry);
	}
	return object;
}

json_t *plan_json(const struct plan *plan)
{
	json_t *object = json_object(), *list = json_array();

	json_put_str(object, "id", plan->id);
	json_put_str(object, "name", plan->name);
	json_put_str(object, "description", plan->description);
	json_put_str(object, "phase", plan->phase);
	for (const char **id = plan->dependencies; *id; id++)
		json_array_append_new(list, json_string(*id));
	json_object_set_new(object, "dependencies", list);
	if (plan->estimated_ms > 0)
		put_duration(object, "estimatedDuration", plan->estimated_ms, 60000);
	json_put_str(object, "onFailure", on_failure_name(plan->on_failure));
	list = json_array();
	for (size_t i = 0; i < plan->step_count; i++)
		json_array_append_new(list, step_json(plan, &plan->steps[i]));
	json_object_set_new(object, "steps", list);
	return object;
}
