/* Rehearsals: a rollback carried out for real in a copy of the environment (sandbox.h), and what it was like: how long it took, what it would have cost, whether there was a way back.
 *
 * The plan is that of rollbacks.create, made twice: for the real environment, to choose the target and to hear what speaks against it, and in the copy, where it is carried out by the ordinary operations with the ordinary
 * runner. So what is rehearsed is what would happen. In the real journal a rehearsal is one entry, written when the copy is gone; of one that was interrupted the next one, or drills.clean, writes it.
 *
 * A rehearsal starts programs and copies databases, so it needs `execute` and not only `plan`; it changes nothing that is shared with others, so nobody has to approve it. It holds the calling thread. */
#include "ops/drill.h"

#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/id.h"
#include "base/text.h"
#include "ops/answers.h"
#include "ops/content.h"
#include "ops/page.h"
#include "ops/permit.h"
#include "ops/planning.h"
#include "ops/resources.h"
#include "ops/runs.h"
#include "ops/sandbox.h"

#define REASON           "rehearsal"
#define START_TIMEOUT_S  300
#define DEPLOYMENTS_SEEN 100 /* newest deployments among which the newest copy of the data is looked for */

struct drill_params {
	const char *environment, *to, *cursor;
	int64_t limit;
	bool preserve_data;
};

static const struct field run_fields[] = { FIELD_NAME(struct drill_params, environment, REQUIRED,
						   "environment whose rollback is rehearsed"),
	FIELD_STR(struct drill_params, to, OPTIONAL, "deployment to return to, by id or version; the last stable one when not given"),
	FIELD_BOOL(struct drill_params, preserve_data, DEFAULT("true"), "keep the databases as they are"), FIELD_END };

static const struct field list_fields[] = { FIELD_NAME(struct drill_params, environment, OPTIONAL, "only this environment"),
	FIELD_INT(struct drill_params, limit, DEFAULT("20"), 1, 10000, "how many, newest first"), FIELD_CURSOR(struct drill_params, cursor),
	FIELD_END };

static const struct field no_fields[] = { FIELD_END };

/* clang-format off */
static const struct shape deployment_named_shape[] = {
	SHAPE_STR("deploymentId", ALWAYS, "its id"),
	SHAPE_STR("version", ALWAYS, "its version"),
	SHAPE_END
};
static const struct shape step_timed_shape[] = {
	SHAPE_STR("id", ALWAYS, "of the step"),
	SHAPE_STR("type", ALWAYS, "its type"),
	SHAPE_STR("status", ALWAYS, "how it ended"),
	SHAPE_INT("durationMs", SOMETIMES, "how long it took"),
	SHAPE_STR("message", SOMETIMES, "why it failed"),
	SHAPE_END
};
static const struct shape measured_shape[] = {
	SHAPE_STR ("status", ALWAYS, "how it ended: completed, restored, failed, ..."),
	SHAPE_INT ("durationMs", ALWAYS, "from the request to its end"),
	SHAPE_INT ("objectiveMs", SOMETIMES, "how long it may take, by the objectives of the environment"),
	SHAPE_BOOL("met", SOMETIMES, "was that kept?"),
	SHAPE_ANY ("phases", ALWAYS, "how long each phase took"),
	SHAPE_LIST("steps", ALWAYS, step_timed_shape, "each step"),
	SHAPE_END
};
static const struct shape data_shape[] = {
	SHAPE_TIME("newestCopyAt", SOMETIMES, "when the newest copy of the data was taken that is kept; missing: there is none"),
	SHAPE_INT ("ageMs", SOMETIMES, "how old it was: so much would be lost if the data had to be restored now"),
	SHAPE_TIME("backTo", SOMETIMES, "the moment that this rollback took the data back to; missing when it preserved them"),
	SHAPE_ANY ("lost", SOMETIMES, "rows that the restore took away in the copy: added, changed, removed, by component"),
	SHAPE_END
};
static const struct shape left_out_shape[] = {
	SHAPE_STR("component", SOMETIMES, "name of the component"),
	SHAPE_STR("probe", SOMETIMES, "or of the probe"),
	SHAPE_STR("why", ALWAYS, "why it could not be rehearsed"),
	SHAPE_END
};
#define DRILL_MEMBERS \
	SHAPE_STR    ("id", ALWAYS, "of the rehearsal"), \
	SHAPE_STR    ("environment", ALWAYS, "whose rollback was rehearsed"), \
	SHAPE_TIME   ("startedAt", SOMETIMES, "when it began"), \
	SHAPE_BOOL   ("success", ALWAYS, "it went back, it worked, and it came forth again"), \
	SHAPE_STR    ("message", SOMETIMES, "why not"), \
	SHAPE_OBJECT ("from", SOMETIMES, deployment_named_shape, "what ran"), \
	SHAPE_OBJECT ("to", SOMETIMES, deployment_named_shape, "what was returned to"), \
	SHAPE_BOOL   ("preserveData", SOMETIMES, "databases were left as they are"), \
	SHAPE_INT    ("durationMs", SOMETIMES, "of the whole rehearsal, with making and removing the copy"), \
	SHAPE_INT    ("copyMs", SOMETIMES, "making the copy and starting its services"), \
	SHAPE_OBJECT ("rollback", SOMETIMES, measured_shape, "going back: its duration is the recovery time"), \
	SHAPE_OBJECT ("undo", SOMETIMES, measured_shape, "coming forth again"), \
	SHAPE_OBJECT ("data", SOMETIMES, data_shape, "how much of the data would be lost: the recovery point"), \
	SHAPE_STRINGS("rehearsed", SOMETIMES, "components that took part"), \
	SHAPE_LIST   ("leftOut", SOMETIMES, left_out_shape, "what did not, and why"), \
	SHAPE_BOOL   ("probed", SOMETIMES, "probes looked at the copy after the rollback, and passed"), \
	SHAPE_STR    ("leftBehind", SOMETIMES, "what of the copy could not be removed; `unship drill clean` tries again")
static const struct shape drill_shape[] = { DRILL_MEMBERS, SHAPE_END };
static const struct shape drill_row_shape[] = {
	DRILL_MEMBERS,
	SHAPE_TIME("at", ALWAYS, "when it ended"),
	SHAPE_INT ("ageMs", ALWAYS, "how long ago that is"),
	SHAPE_STR ("actor", SOMETIMES, "who wanted it"),
	SHAPE_END
};
static const struct shape drill_list_shape[] = {
	SHAPE_LIST("drills", ALWAYS, drill_row_shape, "newest first"),
	SHAPE_NEXT,
	SHAPE_END
};
static const struct shape cleaned_shape[] = {
	SHAPE_STRINGS("cleaned", ALWAYS, "ids of interrupted rehearsals whose copies were removed"),
	SHAPE_END
};
/* clang-format on */

/* ---- the record ---- */

static json_t *which(const struct deployment *deployment)
{
	return deployment ? json_pack("{s:s, s:s}", "deploymentId", deployment->id, "version", deployment->version) : NULL;
}

static int append_result(struct op *op, const char *environment, json_t *result, struct err *err)
{
	struct entry entry = { .kind = ENTRY_DRILL_COMPLETED, .environment = environment, .actor = op->actor, .data = result };

	return store_append(op->workspace->store, op->ctx, &entry, err);
}

static int is_recorded(struct op *op, const char *environment, const char *id, bool *ret, struct err *err)
{
	struct entry_filter filter = { .environment = environment, .kind = ENTRY_DRILL_COMPLETED, .newest_first = true, .limit = 100 };
	struct entry *entries;
	size_t count;
	int r;

	*ret = false;
	r = store_read(op->workspace->store, op->ctx, &filter, &entries, &count, err);
	for (size_t i = 0; r == 0 && i < count && !*ret; i++)
		*ret = !strcmp(json_str(entries[i].data, "id", ""), id);
	return r;
}

/* What interrupted rehearsals left. The lock is held, so nobody works on any of it. Each counts as one that failed. */
static int sweep(struct op *op, json_t *cleaned, struct err *err)
{
	char **ids;
	int r;

	r = sandbox_list(op, op->ctx, &ids, err);
	for (; r == 0 && *ids; ids++) {
		const char *environment;
		bool recorded = false;
		json_t *note, *result;

		r = sandbox_note(op, *ids, &note, err);
		if (r == 0)
			r = sandbox_end(op, *ids, err);
		if (r < 0)
			return err_in(err, "rehearsal %s, which was interrupted", *ids);
		environment = json_str(note, "environment", NULL);
		if (environment)
			r = is_recorded(op, environment, *ids, &recorded, err);
		if (r == 0 && environment && !recorded) {
			result = json_keep(op->ctx, json_copy(json_object_get(note, "result")));
			json_put_str(result, "message", "it was interrupted");
			r = append_result(op, environment, result, err);
		}
		if (r == 0)
			r = sandbox_forget(op, *ids, err);
		json_array_append_new(cleaned, json_string(*ids));
	}
	return r;
}

static json_t *entry_as_drill(struct op *op, const struct entry *entry)
{
	json_t *item = json_copy(entry->data);

	json_put_str(item, "at", clock_format(op->ctx, entry->wall_ms));
	json_put_int(item, "ageMs", MAX(clock_wall_ms() - entry->wall_ms, (int64_t)0));
	json_put_str(item, "actor", entry->actor);
	return item;
}

int drill_newest(struct op *op, const char *environment, json_t **ret, struct err *err)
{
	struct entry_filter filter = { .environment = environment, .kind = ENTRY_DRILL_COMPLETED, .newest_first = true, .limit = 1 };
	struct entry *entries;
	size_t count;
	int r;

	*ret = NULL;
	r = store_read(op->workspace->store, op->ctx, &filter, &entries, &count, err);
	if (r == 0 && count)
		*ret = json_keep(op->ctx, entry_as_drill(op, &entries[0]));
	return r;
}

/* ---- measuring ---- */

static int64_t between_ms(const json_t *step)
{
	struct err ignored = ERR_INIT;
	int64_t from, to;

	if (clock_parse(json_str(step, "startTime", ""), &from, &ignored) < 0 ||
		clock_parse(json_str(step, "endTime", ""), &to, &ignored) < 0)
		return -1;
	return to - from;
}

/* What came of a run of the copy, from its answer (run_answer). */
static json_t *measured(json_t *answer)
{
	json_t *run = json_object_get(answer, "run"), *phases = json_object_get(answer, "phases"), *steps = json_array(), *item;
	json_t *result = json_pack("{s:s, s:O, s:o}", "status", json_str(answer, "status", ""), "phases", phases, "steps", steps);
	size_t index;

	json_array_foreach(phases, index, item) {
		if (strcmp(json_str(item, "name", ""), "rollback") != 0)
			continue;
		json_put_int(result, "durationMs", json_int(item, "ms", 0));
		json_put(result, "objectiveMs", json_object_get(item, "objectiveMs"));
		json_put(result, "met", json_object_get(item, "met"));
	}
	json_array_foreach(json_object_get(run, "steps"), index, item) {
		json_t *step = json_pack("{s:s, s:s, s:s, s:s*}", "id", json_str(item, "stepId", ""), "type", json_str(item, "type", ""),
			"status", json_str(item, "status", ""), "message", json_str(item, "error", NULL));

		if (between_ms(item) >= 0)
			json_put_int(step, "durationMs", between_ms(item));
		(void)json_array_append_new(steps, step);
	}
	return result;
}

/* Rows that restores took away, as their steps told: {step: {added, changed, removed, tables}}. */
static json_t *lost_rows(const void *ctx, json_t *answer)
{
	json_t *lost = json_keep(ctx, json_object()), *step;
	size_t index;

	json_array_foreach(json_object_get(json_object_get(answer, "run"), "steps"), index, step)
		json_put(lost, json_str(step, "stepId", ""), json_object_get(json_object_get(step, "outputs"), "lost"));
	return json_object_size(lost) ? lost : NULL;
}

/* When the newest copy was taken that holds some of the data: with a deployment, by a run, or in advance. 0: none. */
static int newest_copy(struct op *op, const struct environment *environment, const char *component, int64_t *ret_ms, struct err *err)
{
	struct snapshot_store *store;
	struct deployment **deployments;
	struct snapshot_row *rows;
	size_t deployment_count, row_count;
	int r;

	r = content_store(op->workspace, &store, err);
	if (r == 0)
		r = store_deployments(op->workspace->store, op->ctx, environment->name, DEPLOYMENTS_SEEN, &deployments, &deployment_count,
			err);
	if (r == 0)
		r = store_snapshots(op->workspace->store, op->ctx, environment->name, &rows, &row_count, err);
	for (size_t i = 0; r == 0 && i < deployment_count + row_count; i++) {
		bool recorded = i < deployment_count;
		const struct snapshot_row *row = recorded ? NULL : &rows[i - deployment_count];
		int64_t taken_ms = recorded ? deployments[i]->wall_ms : row->taken_ms;
		const char *id = recorded ? deployments[i]->id : row->id;
		struct snapshot_summary size = { 0 };
		struct err none = ERR_INIT;

		if (taken_ms > *ret_ms && !(row && row->pruned) &&
			snapshot_measure(store, id, call_content_path(op->ctx, id, component), &size, &none) == 0 && size.files)
			*ret_ms = taken_ms;
	}
	return r;
}

struct drill {
	struct op *op;
	const char *id;
	const struct environment *environment;
	const struct planning *planning;
	struct sandbox *sandbox;
	json_t *result;
	int64_t begun_ms; /* monotonic */
	bool preserve_data;
};

/* The recovery point: the oldest of the newest copies of each database. */
static int measure_data(struct drill *drill, struct err *err)
{
	int64_t oldest_ms = INT64_MAX;
	json_t *data;
	size_t stores = 0;

	for (size_t i = 0; i < drill->environment->component_count; i++) {
		const struct component *component = &drill->environment->components[i];
		int64_t newest_ms = 0;
		enum driver_kind kind;
		int r;

		r = workspace_driver_kind(drill->op->workspace, component->driver, &kind, NULL, err);
		if (r == 0 && kind == DRIVER_DATA) {
			r = newest_copy(drill->op, drill->environment, component->name, &newest_ms, err);
			oldest_ms = MIN(oldest_ms, newest_ms);
			stores++;
		}
		if (r < 0)
			return err_in(err, "component '%s'", component->name);
	}
	if (!stores)
		return 0;
	data = json_keep(drill->op->ctx, json_object());
	if (oldest_ms) {
		json_put_str(data, "newestCopyAt", clock_format(drill->op->ctx, oldest_ms));
		json_put_int(data, "ageMs", MAX(clock_wall_ms() - oldest_ms, (int64_t)0));
	}
	if (!drill->preserve_data)
		json_put_str(data, "backTo", clock_format(drill->op->ctx, drill->planning->target->wall_ms));
	json_put(drill->result, "data", data);
	return 0;
}

/* ---- carrying it out ---- */

/* An operation in the copy. */
static int call_there(struct drill *drill, const struct operation *operation, json_t *input, json_t **ret, struct err *err)
{
	return operation_call(&drill->sandbox->op, operation, input, ret, err);
}

/* The services among `running` that a component needs, directly or through something that is no service. Needs have no circles (project.c). */
static void needed_services(const struct environment *copy, const struct component *component, json_t *running, json_t *ret)
{
	for (const char **need = component->needs; *need; need++) {
		const struct component *needed = environment_component(copy, *need);

		if (json_object_get(running, *need))
			(void)json_object_set_new(ret, *need, json_true());
		else if (needed)
			needed_services(copy, needed, running, ret);
	}
}

static json_t *start_step(const struct environment *copy, const struct component *component, json_t *running)
{
	json_t *needed = json_object(), *needs = json_array(), *value;
	const char *name;

	needed_services(copy, component, running, needed);
	json_object_foreach(needed, name, value)
		(void)json_array_append_new(needs, json_string(name));
	json_decref(needed);
	return json_pack("{s:s, s:s, s:s, s:{s:s, s:s}, s:i, s:o}", "id", component->name, "name", component->name, "type", "service",
		"parameters", "service", component->name, "action", "start", "timeout", START_TIMEOUT_S, "needs", needs);
}

/* Services that run at present are started in the copy, by a plan of their own: first those that others need. */
static int start_services(struct drill *drill, const struct environment *copy, struct err *err)
{
	json_t *running = json_keep(drill->op->ctx, json_object()), *steps = json_keep(drill->op->ctx, json_array()), *answer, *input;
	int r;

	for (size_t i = 0; i < copy->component_count; i++) {
		const struct component *component = &copy->components[i];
		json_t *observed = json_object_get(drill->planning->observed, component->name);
		enum driver_kind kind;

		r = workspace_driver_kind(drill->op->workspace, component->driver, &kind, NULL, err);
		if (r < 0)
			return r;
		if (kind == DRIVER_SERVICE && !strcmp(json_str(observed, "state", ""), "running"))
			(void)json_object_set_new(running, component->name, json_true());
	}
	for (size_t i = 0; i < copy->component_count; i++)
		if (json_object_get(running, copy->components[i].name))
			(void)json_array_append_new(steps, start_step(copy, &copy->components[i], running));
	if (!json_array_size(steps))
		return 0;
	input = json_make(drill->op->ctx, "{s:s, s:s, s:{s:s, s:s, s:O}}", "environment", copy->name, "reason", REASON, "planDocument",
		"id", "start-services", "name", "Start the services of the copy", "steps", steps);
	r = call_there(drill, &op_rollbacks_create, input, &answer, err);
	return r < 0 ? err_in(err, "the services of the copy could not be started") : 0;
}

/* Version and state of everything in the copy. */
static int look_there(struct drill *drill, const struct environment *copy, json_t **ret, struct err *err)
{
	json_t *observed, *item;
	const char *name;
	int r;

	r = workspace_observe(&drill->sandbox->op, copy, NULL, &observed, err);
	if (r < 0)
		return r;
	*ret = json_keep(drill->op->ctx, json_object());
	json_object_foreach(observed, name, item)
		(void)json_object_set_new(*ret, name,
			json_pack("{s:s, s:s}", "version", json_str(item, "version", ""), "state", json_str(item, "state", "")));
	return 0;
}

static int go_back(struct drill *drill, json_t **ret_answer, struct err *err)
{
	json_t *input = json_make(drill->op->ctx, "{s:s, s:s, s:s, s:b}", "environment", drill->environment->name, "to",
		       drill->planning->target->id, "reason", REASON, "preserveData", drill->preserve_data),
	       *run;
	int r;

	r = call_there(drill, &op_rollbacks_create, input, ret_answer, err);
	if (json_object_get(*ret_answer, "rollbackId")) {
		run = json_keep(drill->op->ctx, measured(*ret_answer));
		json_put(drill->result, "rollback", run);
		json_put(json_object_get(drill->result, "data"), "lost", lost_rows(drill->op->ctx, *ret_answer));
		json_put_flag(drill->result, "probed", json_flag(json_object_get(*ret_answer, "validation"), "healthChecks", false));
	} else if (r == 0) {
		return err_set(err, ERR_FAILED, "nothing of what would change could be rehearsed");
	}
	return r < 0 ? err_in(err, "rollback") : 0;
}

static int come_forth(struct drill *drill, const char *run_id, json_t *before, const struct environment *copy, struct err *err)
{
	json_t *answer, *after, *was;
	const char *name;
	int r;

	r = call_there(drill, &op_rollbacks_undo, json_make(drill->op->ctx, "{s:s, s:s}", "id", run_id, "reason", REASON), &answer, err);
	if (json_object_get(answer, "rollbackId"))
		json_put(drill->result, "undo", json_keep(drill->op->ctx, measured(answer)));
	if (r < 0)
		return err_in(err, "undo");
	FAILPOINT("drill.undone");
	r = look_there(drill, copy, &after, err);
	if (r < 0)
		return r;
	json_object_foreach(before, name, was)
		if (!json_equal(was, json_object_get(after, name)))
			return err_set(err, ERR_FAILED, "after the undo '%s' is not as it was: %s %s, before %s %s", name,
				json_str(json_object_get(after, name), "version", ""), json_str(json_object_get(after, name), "state", ""),
				json_str(was, "version", ""), json_str(was, "state", ""));
	return 0;
}

static int rehearse(struct drill *drill, struct err *err)
{
	const struct planning *planning = drill->planning;
	json_t *note = json_make(drill->op->ctx, "{s:s, s:O}", "id", drill->id, "result", drill->result), *before, *answer = NULL;
	struct environment *copy;
	int r;

	r = sandbox_make(drill->op, drill->environment, drill->id, note, &drill->sandbox, err);
	json_put(drill->result, "rehearsed", drill->sandbox->rehearsed);
	json_put(drill->result, "leftOut", drill->sandbox->left_out);
	if (r < 0)
		return r;
	r = workspace_environment(drill->sandbox->op.workspace, drill->environment->name, &copy, err);
	if (r == 0)
		r = sandbox_adopt(drill->op, drill->sandbox, planning->target, err);
	if (r == 0 && planning->present && planning->present != planning->target)
		r = sandbox_adopt(drill->op, drill->sandbox, planning->present, err);
	if (r == 0)
		r = start_services(drill, copy, err);
	if (r < 0)
		return r;
	FAILPOINT("drill.started");
	json_put_int(drill->result, "copyMs", clock_mono_ms() - drill->begun_ms);
	r = look_there(drill, copy, &before, err);
	if (r == 0)
		r = go_back(drill, &answer, err);
	if (r < 0)
		return r;
	FAILPOINT("drill.rolled_back");
	return come_forth(drill, json_str(answer, "rollbackId", ""), before, copy, err);
}

/* A rollback that would be refused needs no rehearsal to be known as one that fails. */
static int judge(struct drill *drill, struct err *err)
{
	const struct findings *findings = drill->planning->findings;

	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];

		if (!finding->passed && finding->severity == SEVERITY_ERROR)
			return err_set(err, ERR_REFUSED, "the rollback would be refused: %s%s%s",
				finding->component ? finding->component : "", finding->component ? ": " : "", finding->message);
	}
	return 0;
}

/* Removes the copy, then writes down what was found: only then is the rehearsal over. */
static int finish(struct drill *drill, const struct err *outcome, struct err *err)
{
	struct err trouble = ERR_INIT;
	int r, ended;

	json_put_flag(drill->result, "success", !outcome->code);
	if (outcome->code)
		json_put_str(drill->result, "message", outcome->text);
	if (drill->op->tell)
		drill->op->tell(drill->op->user, "removing the copy");
	sandbox_close(drill->sandbox);
	ended = sandbox_end(drill->op, drill->id, &trouble);
	if (ended < 0)
		json_put_str(drill->result, "leftBehind", trouble.text);
	json_put_int(drill->result, "durationMs", clock_mono_ms() - drill->begun_ms);
	r = append_result(drill->op, drill->environment->name, drill->result, err);
	FAILPOINT("drill.recorded");
	return r < 0 || ended < 0 ? r : sandbox_forget(drill->op, drill->id, err);
}

static int prepare(struct drill *drill, const struct drill_params *p, struct err *err)
{
	struct planning_input input = { .environment = p->environment, .to = p->to, .preserve_data = p->preserve_data };
	struct planning *planning = NULL;
	json_t *from, *to;
	int r;

	r = planning_make(drill->op, &input, &planning, err);
	if (r < 0)
		return r;
	if (!planning->generated.plan->step_count)
		return err_set(err, ERR_INVALID, "'%s' is as %s was recorded: there is nothing to take back, and nothing to rehearse",
			p->environment, planning->target->id);
	drill->planning = planning;
	from = which(planning->present);
	to = which(planning->target);
	drill->result = json_make(drill->op->ctx, "{s:s, s:s, s:s, s:b, s:b, s:o*, s:o}", "id", drill->id, "environment", p->environment,
		"startedAt", clock_format(drill->op->ctx, clock_wall_ms()), "success", false, "preserveData", p->preserve_data, "from",
		from, "to", to);
	return measure_data(drill, err);
}

static int drills_run(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct drill_params *p = params;
	struct drill drill = { .op = op, .id = id_new(op->ctx, "drl"), .begun_ms = clock_mono_ms(), .preserve_data = p->preserve_data };
	json_t *cleaned = json_keep(op->ctx, json_array());
	struct err outcome = ERR_INIT;
	struct environment *environment;
	_cleanup_close_ int lock = -1;
	int r;

	r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r == 0)
		r = run_ensure_free(op, p->environment, err);
	if (r == 0)
		r = sandbox_lock(op, &lock, err);
	if (r == 0)
		r = sweep(op, cleaned, err);
	drill.environment = environment;
	if (r == 0)
		r = prepare(&drill, p, err);
	if (r < 0)
		return r;
	if (op->tell)
		op->tell(op->user, mem_printf(op->ctx, "rehearsing the rollback to %s in a copy", drill.planning->target->version));
	r = judge(&drill, &outcome);
	if (r == 0)
		r = rehearse(&drill, &outcome);
	if (r == 0)
		outcome = ERR_INIT; /* what was of no consequence may have left its words */
	r = finish(&drill, &outcome, err);
	*ret = drill.result;
	if (r < 0)
		return err_in(err, "recording the rehearsal");
	return outcome.code ? err_set(err, outcome.code == ERR_CANCELLED ? ERR_CANCELLED : ERR_FAILED, "%s", outcome.text) : 0;
}

static int drills_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct drill_params *p = params;
	struct entry_filter filter = { .environment = p->environment, .kind = ENTRY_DRILL_COMPLETED, .newest_first = true };
	struct environment *environment;
	struct entry *entries;
	struct page page;
	json_t *list;
	size_t count;
	bool more;
	int r;

	r = page_read(p->cursor, p->limit, &page, err);
	if (r == 0 && p->environment)
		r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r < 0)
		return r;
	filter.limit = page.limit;
	filter.before_seq = page.before_seq;
	r = op_entries(op, &filter, &entries, &count, err);
	if (r < 0)
		return r;
	count = page_cut(&page, count, &more);
	list = json_keep(op->ctx, json_array());
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, entry_as_drill(op, &entries[i]));
	*ret = json_make(op->ctx, "{s:O}", "drills", list);
	page_next(*ret, more, more ? entries[count - 1].seq : 0);
	return 0;
}

static int drills_clean(struct op *op, const void *params, json_t **ret, struct err *err)
{
	json_t *cleaned = json_keep(op->ctx, json_array());
	_cleanup_close_ int lock = -1;
	int r;

	(void)params;
	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = sandbox_lock(op, &lock, err);
	if (r == 0)
		r = sweep(op, cleaned, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:O}", "cleaned", cleaned);
	return 0;
}

OPERATION(op_drills_run, "drills.run", "POST", "/environments/{environment}/drills", PERMIT_EXECUTE,
	"rehearse a rollback in a copy of the environment", run_fields, struct drill_params, drills_run, .answer = drill_shape,
	.creates = true);
OPERATION(op_drills_list, "drills.list", "GET", "/drills", PERMIT_VIEW, "rehearsals and what they found, newest first", list_fields,
	struct drill_params, drills_list, .answer = drill_list_shape);
OPERATION(op_drills_clean, "drills.clean", "POST", "/drills/clean", PERMIT_EXECUTE, "remove what interrupted rehearsals left", no_fields,
	struct drill_params, drills_clean, .everywhere = true, .idempotent = true, .answer = cleaned_shape);
