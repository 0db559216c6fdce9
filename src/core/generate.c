/* Generated plans: the steps, phase by phase, and what orders them. What becomes of each component is decided in parts.c.
 *
 * Within a phase a component's steps wait for those of the components that order them: what it needs, or, when services stop, what needs
 * it. The critical ones
 * of the phase, with all that has to come before them, are early; everything else waits for them. This cannot make a circle: the early set
 * lacks none of
 * its predecessors. From these sets only the direct edges are written (an edge that others imply is left out), and what has no edge in its
 * phase waits for the last steps of the phase before. Pure; any thread. */
#include "core/generate.h"

#include "base/text.h"
#include "core/drain.h"
#include "core/parts.h"
#include "core/steptype.h"
#include "data/hash.h"
#include "data/json.h"

#define ID_MAX           128
#define ID_KEPT          90
#define ENVIRONMENT_KEPT 60

enum phase {
	PHASE_FLAGS,
	PHASE_DRAIN,
	PHASE_STOP,
	PHASE_REQUEUE,
	PHASE_CODE,
	PHASE_CONFIG,
	PHASE_DATA,
	PHASE_CACHE,
	PHASE_START,
	PHASE_RESUME,
	PHASE_TRAFFIC,
	PHASE_VERIFY
};

struct making {
	struct parts *parts;
	void *tmp;
	json_t *steps;     /* in the order of the file */
	const char **last; /* ids of the last steps of the phase before, NULL-terminated */
};

/* "stop-api". What would be longer than an id may be keeps its beginning and gets a hash. */
static char *step_id(const void *ctx, const char *verb, const char *name)
{
	char hash[HASH_HEX_SIZE];

	if (strlen(verb) + 1 + strlen(name) <= ID_MAX)
		return mem_printf(ctx, "%s-%s", verb, name);
	hash_sha256_hex(name, strlen(name), hash);
	return mem_printf(ctx, "%s-%.*s-%.16s", verb, ID_KEPT, name, hash);
}

static json_t *new_step(struct making *making, char *id, const char *name, const char *type)
{
	json_t *step = json_keep(making->tmp, json_object());

	json_put_str(step, "id", id);
	json_put_str(step, "name", name);
	json_put_str(step, "type", type);
	json_object_set_new(step, "parameters", json_object());
	return step;
}

static void put_parameter(json_t *step, const char *name, const char *value)
{
	json_put_str(json_object_get(step, "parameters"), name, value);
}

/* One component's steps of one phase. */

static json_t *code_step(struct making *making, const struct part *part)
{
	const char *name = part->component->name;
	json_t *step = new_step(making, step_id(making->tmp, "release", name), mem_printf(making->tmp, "Release %s %s", name, part->to),
		"deployment");

	put_parameter(step, "service", name);
	put_parameter(step, "version", part->to);
	put_parameter(step, "environment", making->parts->input->environment->name);
	put_parameter(step, "deploymentId", making->parts->input->target->id);
	return step;
}

static json_t *config_step(struct making *making, const struct part *part)
{
	const char *name = part->component->name;
	json_t *step = new_step(making, step_id(making->tmp, "restore", name), mem_printf(making->tmp, "Restore configuration %s", name),
		"configuration");

	put_parameter(step, "service", name);
	put_parameter(step, "configVersion", part->to);
	put_parameter(step, "deploymentId", making->parts->input->target->id);
	return step;
}

static json_t *data_step(struct making *making, const struct part *part)
{
	const char *name = part->component->name;
	json_t *step = new_step(making, step_id(making->tmp, "restore", name), mem_printf(making->tmp, "Restore data of %s", name), "data");

	put_parameter(step, "database", name);
	put_parameter(step, "snapshotId", making->parts->input->target->id);
	return step;
}

/* Which scripts lead back is part of the plan: others are not run. */
static json_t *migrate_step(struct making *making, const struct part *part)
{
	const char *name = part->component->name;
	json_t *step = new_step(making, step_id(making->tmp, "migrate", name),
		mem_printf(making->tmp, "Take the schema of %s back to %s", name,
			*part->migrate_to ? part->migrate_to : "before its first migration"),
		"data");

	put_parameter(step, "database", name);
	put_parameter(step, "migrateTo", part->migrate_to);
	json_put(json_object_get(step, "parameters"), "downMigrations", part->scripts);
	if (part->scripts_kept)
		put_parameter(step, "deploymentId", making->parts->input->present_id);
	return step;
}

static json_t *service_step(struct making *making, const struct part *part, const char *action, const char *title)
{
	const char *name = part->component->name;
	json_t *step = new_step(making, step_id(making->tmp, action, name), mem_printf(making->tmp, "%s %s", title, name), "service");

	put_parameter(step, "service", name);
	put_parameter(step, "action", action);
	return step;
}

static json_t *start_step(struct making *making, const struct part *part)
{
	json_t *step = service_step(making, part, "start", "Start");

	if (part->to && *part->to)
		put_parameter(step, "version", part->to);
	return step;
}

/* Its limit holds for the undo too: undoing the resumption of a service drains it. */
static json_t *drain_step(struct making *making, const struct part *part, const char *action, const char *title)
{
	json_t *step = service_step(making, part, action, title);

	json_object_set_new(step, "timeout", json_real((double)(part->component->drain->limit_ms + DRAIN_REST_MS) / 1000.0));
	return step;
}

/* Is its work let end before it is stopped? */
static bool part_drains(const struct making *making, const struct part *part)
{
	return part->stops && part->component->drain && !making->parts->input->immediate;
}

static json_t *cache_step(struct making *making, const struct part *part)
{
	const char *name = part->component->name;
	json_t *step = new_step(making, step_id(making->tmp, "clear", name), mem_printf(making->tmp, "Clear cache %s", name), "cache");

	put_parameter(step, "service", name);
	return step;
}

static json_t *traffic_step(struct making *making, const struct part *part)
{
	const char *name = part->component->name;
	json_t *step = new_step(making, step_id(making->tmp, "shift", name),
		mem_printf(making->tmp, "Send traffic of %s to %s", name, part->to), "traffic");

	put_parameter(step, "service", name);
	put_parameter(step, "to", part->to);
	return step;
}

static void flag_steps(struct making *making, const struct part *part, json_t *list)
{
	const char *flag;
	json_t *state, *step;

	json_object_foreach(part->flags, flag, state) {
		_cleanup_talloc_ char *text = json_scalar_text(NULL, state);

		step = new_step(making, step_id(making->tmp, "flag", flag), mem_printf(making->tmp, "Set flag %s to %s", flag, text),
			"feature-flag");
		put_parameter(step, "flagKey", flag);
		json_put(json_object_get(step, "parameters"), "targetState", state);
		json_array_append(list, step);
	}
}

/* The steps of a component in a phase: a list, empty when it has none there. */
static json_t *part_steps(struct making *making, const struct part *part, enum phase phase)
{
	json_t *list = json_keep(making->tmp, json_array());

	if (phase == PHASE_FLAGS && part->returns && part->kind == DRIVER_FLAGS)
		flag_steps(making, part, list);
	else if (phase == PHASE_DRAIN && part_drains(making, part))
		json_array_append(list, drain_step(making, part, "drain", "Drain"));
	else if (phase == PHASE_STOP && part->stops)
		json_array_append(list, service_step(making, part, "stop", "Stop"));
	else if (phase == PHASE_REQUEUE && part->stops && part->component->drain && drain_requeues(part->component->drain))
		json_array_append(list, service_step(making, part, "requeue", "Requeue work of"));
	else if (phase == PHASE_CODE && part->returns && (part->kind == DRIVER_CODE || part->kind == DRIVER_COMMAND))
		json_array_append(list, code_step(making, part));
	else if (phase == PHASE_CONFIG && part->returns && part->kind == DRIVER_CONFIG)
		json_array_append(list, config_step(making, part));
	else if (phase == PHASE_DATA && part->returns && part->kind == DRIVER_DATA)
		json_array_append(list, part->migrate_to ? migrate_step(making, part) : data_step(making, part));
	else if (phase == PHASE_CACHE && part->clears)
		json_array_append(list, cache_step(making, part));
	else if (phase == PHASE_START && part->starts)
		json_array_append(list, start_step(making, part));
	else if (phase == PHASE_RESUME && part->starts && part_drains(making, part))
		json_array_append(list, drain_step(making, part, "resume", "Resume"));
	else if (phase == PHASE_TRAFFIC && part->returns && part->kind == DRIVER_TRAFFIC)
		json_array_append(list, traffic_step(making, part));
	return list;
}

/* One phase */

struct phase_plan {
	json_t **steps;                    /* per component */
	uint64_t *members, *early, *waits; /* waits: per component, words each: what must be done before it in this phase */
	uint64_t *followed;                /* members that another one waits for */
};

static uint64_t *set_of(struct making *making, uint64_t *sets, size_t item)
{
	return sets + item * making->parts->words;
}

/* Services stop, and stop taking work, before those that they need. */
static bool goes_backwards(enum phase phase)
{
	return phase == PHASE_DRAIN || phase == PHASE_STOP;
}

/* What orders components: those that it needs come before it; when services stop, those that need it. */
static uint64_t *before(struct making *making, enum phase phase, size_t item)
{
	return set_of(making, goes_backwards(phase) ? making->parts->needed_by : making->parts->needs, item);
}

static void find_waits(struct making *making, enum phase phase, struct phase_plan *plan)
{
	size_t count = making->parts->count, words = making->parts->words;

	for (size_t i = 0; i < count; i++)
		if (SET_HAS(plan->members, i) && SET_HAS(making->parts->critical, i)) {
			SET_ADD(plan->early, i);
			for (size_t w = 0; w < words; w++)
				plan->early[w] |= before(making, phase, i)[w] & plan->members[w];
		}
	for (size_t i = 0; i < count; i++)
		for (size_t w = 0; SET_HAS(plan->members, i) && w < words; w++) {
			uint64_t early = SET_HAS(plan->early, i) ? 0 : plan->early[w];

			set_of(making, plan->waits, i)[w] = (before(making, phase, i)[w] & plan->members[w]) | early;
		}
}

/* The waits of `item` that no other wait of it implies. */
static uint64_t *direct_waits(struct making *making, struct phase_plan *plan, size_t item)
{
	size_t count = making->parts->count, words = making->parts->words;
	uint64_t *waits = set_of(making, plan->waits, item), *direct = mem_dup(making->tmp, waits, words * sizeof(*waits));

	for (size_t i = 0; i < count; i++)
		for (size_t w = 0; SET_HAS(waits, i) && w < words; w++)
			direct[w] &= ~set_of(making, plan->waits, i)[w];
	return direct;
}

static void add_need_steps(json_t *needs, json_t *steps)
{
	json_t *step;
	size_t i;

	json_array_foreach(steps, i, step)
		json_array_append(needs, json_object_get(step, "id"));
}

static void emit_part(struct making *making, struct phase_plan *plan, size_t item)
{
	size_t count = making->parts->count, words = making->parts->words, i;
	uint64_t *direct = direct_waits(making, plan, item);
	json_t *needs = json_keep(making->tmp, json_array()), *step;

	for (size_t w = 0; w < words; w++)
		plan->followed[w] |= direct[w];
	for (size_t k = 0; k < count; k++)
		if (SET_HAS(direct, k))
			add_need_steps(needs, plan->steps[k]);
	if (json_array_size(needs) == 0)
		for (const char **id = making->last; *id; id++)
			json_array_append_new(needs, json_string(*id));
	json_array_foreach(plan->steps[item], i, step) {
		json_put(step, "needs", needs);
		json_array_append(making->steps, step);
	}
}

/* In the file: early ones first, and each after what it waits for, so that reading from top to bottom is one right order. */
static void emit_phase(struct making *making, enum phase phase, struct phase_plan *plan)
{
	size_t count = making->parts->count;

	for (int late = 0; late < 2; late++)
		for (size_t i = 0; i < count; i++) {
			size_t item = making->parts->order[goes_backwards(phase) ? count - 1 - i : i];

			if (SET_HAS(plan->members, item) && SET_HAS(plan->early, item) == !late)
				emit_part(making, plan, item);
		}
}

static void take_last(struct making *making, struct phase_plan *plan)
{
	const char **last;
	size_t count = 0, k;
	json_t *step;

	for (size_t i = 0; i < making->parts->count; i++)
		if (SET_HAS(plan->members, i) && !SET_HAS(plan->followed, i))
			count += json_array_size(plan->steps[i]);
	last = mem_array(making->tmp, const char *, count + 1);
	count = 0;
	for (size_t i = 0; i < making->parts->count; i++)
		if (SET_HAS(plan->members, i) && !SET_HAS(plan->followed, i))
			json_array_foreach(plan->steps[i], k, step)
				last[count++] = json_str(step, "id", "");
	making->last = last;
}

static void make_phase(struct making *making, enum phase phase)
{
	size_t count = making->parts->count, words = making->parts->words;
	struct phase_plan plan = {
		.steps = mem_array(making->tmp, json_t *, count),
		.members = mem_array(making->tmp, uint64_t, words),
		.early = mem_array(making->tmp, uint64_t, words),
		.waits = mem_array(making->tmp, uint64_t, count * words),
		.followed = mem_array(making->tmp, uint64_t, words),
	};
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		plan.steps[i] = part_steps(making, &making->parts->list[i], phase);
		if (json_array_size(plan.steps[i]) == 0)
			continue;
		SET_ADD(plan.members, i);
		any = true;
	}
	if (!any)
		return;
	find_waits(making, phase, &plan);
	emit_phase(making, phase, &plan);
	take_last(making, &plan);
}

static bool part_touched(const struct part *part)
{
	return part->returns || part->stops || part->starts || part->clears;
}

/* A probe of no component is about the environment as a whole and runs with any of them. */
static bool has_probe(const struct environment *environment, json_t *verified)
{
	for (size_t i = 0; i < environment->probe_count; i++)
		if (!environment->probes[i].external &&
			(!environment->probes[i].component || json_object_get(verified, environment->probes[i].component)))
			return true;
	return false;
}

json_t *plan_affected(const struct environment *environment, json_t *touched)
{
	json_t *affected = json_copy(touched);
	bool grown = true;

	while (grown) {
		grown = false;
		for (size_t i = 0; i < environment->component_count; i++) {
			const struct component *component = &environment->components[i];

			if (json_object_get(affected, component->name))
				continue;
			for (const char **need = component->needs; *need && !json_object_get(affected, component->name); need++)
				if (json_object_get(affected, *need)) {
					json_object_set_new(affected, component->name, json_true());
					grown = true;
				}
		}
	}
	return affected;
}

json_t *plan_verified(const struct environment *environment, json_t *touched)
{
	json_t *verified = plan_affected(environment, touched), *names = json_array();

	for (size_t i = 0; i < environment->component_count; i++)
		if (json_object_get(verified, environment->components[i].name))
			json_array_append_new(names, json_string(environment->components[i].name));
	if (!has_probe(environment, verified)) {
		json_decref(names);
		names = NULL;
	}
	json_decref(verified);
	return names;
}

static void make_verify(struct making *making)
{
	const struct parts *parts = making->parts;
	json_t *step, *components, *needs, *touched = json_keep(making->tmp, json_object());

	for (size_t i = 0; i < parts->count; i++)
		if (part_touched(&parts->list[i]))
			json_object_set_new(touched, parts->list[i].component->name, json_true());
	components = json_array_size(making->steps) ? plan_verified(parts->input->environment, touched) : NULL;
	if (!components)
		return;
	step = new_step(making, mem_strdup(making->tmp, "verify"), "Verify health", "health");
	json_object_set_new(json_object_get(step, "parameters"), "components", components);
	needs = json_array();
	for (const char **id = making->last; *id; id++)
		json_array_append_new(needs, json_string(*id));
	json_object_set_new(step, "needs", needs);
	json_array_append(making->steps, step);
}

/* Without draining, what is in work ends with the service. */
static void tell_cut_off(struct parts *parts)
{
	for (size_t i = 0; parts->input->immediate && i < parts->count; i++) {
		const struct part *part = &parts->list[i];

		if (part->stops && part->component->drain)
			parts_leave(parts, "Warning: %s is stopped at once: what it works on is cut off%s.", part->component->name,
				drain_requeues(part->component->drain) ? ", and put back to be done again" : "");
	}
}

/* The whole */

static json_t *make_document(const void *ctx, struct making *making)
{
	const struct generate_input *input = making->parts->input;
	const struct deployment *target = input->target;
	json_t *document = json_keep(ctx, json_object());
	char *id = mem_printf(making->tmp, "rollback-%.*s-to-%s", ENVIRONMENT_KEPT, input->environment->name, target->id);

	json_put_str(document, "id", strlen(id) <= ID_MAX && text_is_name(id) ? id : "rollback");
	json_put_str(document, "name", mem_printf(making->tmp, "Roll %s back to %s", input->environment->name, target->version));
	json_put_str(document, "description",
		mem_printf(making->tmp, "Generated from the difference between what was observed%s%s and deployment %s.",
			input->present_id ? " on " : "", input->present_id ? input->present_id : "", target->id));
	json_put_str(document, "phase", "rollback");
	json_put_str(document, "onFailure", "restore");
	json_put(document, "steps", making->steps);
	return document;
}

/* The state at the end of the rollback, not the one that was recorded: a service that is stopped and started again runs. */
static const char *final_state(const struct part *part)
{
	return part->starts ? "running" : part->stops ? "stopped" : part->from_state;
}

static const char *shown_note(const struct part *part)
{
	return part->kind == DRIVER_SERVICE && part->returns && part->stops && part->starts && !part->note ? "restart" : part->note;
}

static char *shown_version(const void *ctx, const struct part *part, const char *version, const char *state)
{
	if (!version && !state)
		return NULL;
	if (part->kind == DRIVER_SERVICE && state)
		return mem_printf(ctx, "%s (%s)", version && *version ? version : "nothing", state);
	return mem_strdup(ctx, version && *version ? version : "nothing");
}

static void make_differences(const void *ctx, const struct parts *parts, struct generated *ret)
{
	struct difference *differences = mem_array(ctx, struct difference, parts->count);

	for (size_t i = 0; i < parts->count; i++) {
		const struct part *part = &parts->list[i];

		differences[i] = (struct difference){
			.component = mem_strdup(differences, part->component->name),
			.kind = driver_kind_name(part->kind),
			.from = shown_version(differences, part, part->from, part->from_state),
			.to = part->recorded ? shown_version(differences, part, part->to, final_state(part)) : NULL,
			.note = mem_strdup(differences, shown_note(part)),
			.changes = part_touched(part),
			.items = part->items ? json_keep(differences, json_incref(part->items)) : NULL,
		};
	}
	ret->differences = differences;
	ret->difference_count = parts->count;
}

static void make_left(const void *ctx, const struct parts *parts, struct generated *ret)
{
	const char **left = mem_array(ctx, const char *, parts->left_count + 1);

	for (size_t i = 0; i < parts->left_count; i++)
		left[i] = mem_strdup(left, parts->left[i]);
	ret->not_reverted = left;
}

int plan_generate(const void *ctx, const struct generate_input *input, struct generated *ret, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct making making = { .tmp = tmp, .steps = json_keep(tmp, json_array()), .last = mem_array(tmp, const char *, 1) };
	struct generated generated = { 0 };
	struct problems *problems;
	struct doc *doc;
	int r;

	r = parts_make(tmp, input, &making.parts, err);
	if (r < 0)
		return err_in(err, "making a plan for '%s'", input->environment->name);
	tell_cut_off(making.parts);
	for (enum phase phase = PHASE_FLAGS; phase < PHASE_VERIFY; phase++)
		make_phase(&making, phase);
	make_verify(&making);
	/* Read back as a saved plan would be: what is generated keeps the same rules. */
	doc = doc_wrap(tmp, "generated plan", make_document(tmp, &making));
	problems = problems_new(tmp, doc);
	generated.plan = plan_read(ctx, doc, problems);
	r = json_array_size(making.steps) ? problems_result(problems, err) : 0;
	if (r < 0) {
		talloc_free(generated.plan);
		return r;
	}
	generated.plan->graph = true;
	generated.document = json_keep(ctx, plan_json(generated.plan));
	make_differences(ctx, making.parts, &generated);
	make_left(ctx, making.parts, &generated);
	*ret = generated;
	return 0;
}

/* Binding */

const char **plan_components(const void *ctx, const struct plan *plan)
{
	json_t *seen = json_object();
	const char **names = mem_array(ctx, const char *, plan->step_count + 1);
	size_t count = 0;

	for (size_t i = 0; i < plan->step_count; i++) {
		const char *name = step_component(&plan->steps[i]);

		if (!name || json_object_get(seen, name))
			continue;
		json_object_set_new(seen, name, json_true());
		names[count++] = mem_strdup(names, name);
	}
	json_decref(seen);
	return names;
}

/* The state of a flag as whichever component observed it; NULL when none did. */
static json_t *observed_flag(json_t *observed, const char *key)
{
	const char *name;
	json_t *component;

	json_object_foreach(observed, name, component) {
		json_t *state = json_object_get(json_object_get(json_object_get(component, "details"), "flags"), key);

		if (state)
			return state;
	}
	return NULL;
}

/* Flags are not components: each is bound by its subject ("flag KEY"), with its state as version, as the flags driver observes one flag. */
static void expect_flags(const struct plan *plan, json_t *observed, json_t *expected)
{
	for (size_t i = 0; i < plan->step_count; i++) {
		_cleanup_talloc_ char *subject = step_subject(NULL, &plan->steps[i]), *state = NULL;
		json_t *now;

		if (strcmp(plan->steps[i].type, "feature-flag") != 0 || !subject)
			continue;
		now = observed_flag(observed, json_str(plan->steps[i].parameters, "flagKey", ""));
		state = now ? json_scalar_text(NULL, now) : NULL;
		if (state)
			json_object_set_new(expected, subject, json_pack("{s:s}", "version", state));
	}
}

json_t *plan_expected(const struct plan *plan, json_t *observed)
{
	_cleanup_talloc_ const char **names = plan_components(NULL, plan);
	json_t *expected = json_object();

	for (const char **name = names; *name; name++) {
		json_t *now = json_object_get(observed, *name), *one;

		/* What could not be observed cannot be bound. */
		if (!json_str(now, "version", NULL))
			continue;
		one = json_object();
		json_put_str(one, "version", json_str(now, "version", NULL));
		json_put_str(one, "state", json_str(now, "state", NULL));
		json_object_set_new(expected, *name, one);
	}
	expect_flags(plan, observed, expected);
	return expected;
}

char *plan_hash(const void *ctx, const struct plan *plan, const char *environment, json_t *observed)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *bound = json_keep(tmp, json_object());
	char hex[HASH_HEX_SIZE], *text;

	json_object_set_new(bound, "plan", plan_json(plan));
	json_put_str(bound, "environment", environment);
	json_object_set_new(bound, "observed", plan_expected(plan, observed));
	text = json_canonical(tmp, bound);
	hash_sha256_hex(text, strlen(text), hex);
	return mem_strdup(ctx, hex);
}
