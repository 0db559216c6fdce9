/* Taking a former run back (P12). The plan is made of the former run's steps in reverse: the first step on a subject is answered by a step of type "undo", which returns it to what was captured; a later step on the
 * same subject by the target of the step before it, which is where the subject stood then. So "stop, release, start" is taken back as "stop, release the former, start the former". */
#include <string.h>

#include "base/text.h"
#include "core/steptype.h"
#include "data/hash.h"
#include "ops/gate.h"
#include "ops/runs.h"

#define UNDO_PLAN "undo-" /* how the ids of plans begin that take a whole run back */

struct taking {
	struct op *op;
	const struct environment *environment;
	const struct run_row *row;
	const struct take_back *wanted;
	struct run *former;
	struct deployment target; /* where the former run started; id NULL: not known, or not as a whole */
	struct findings *findings;
	json_t *plan;
};

/* A step object of the plan file's form; subject and parameters are carried along, so that the undo knows its driver without the former run. */
static json_t *undo_step(const struct run *former, const struct run_step *step)
{
	const struct step *original = step->step;
	json_t *timeout = json_real((double)original->timeout_ms / 1000.0);

	if (step->previous)
		return json_pack("{s:o, s:s, s:O, s:o}", "id", json_sprintf("undo-%s", original->id), "type", step->previous->step->type,
			"parameters", step->previous->step->parameters, "timeout", timeout);
	return json_pack("{s:o, s:s, s:{s:s, s:s, s:s, s:O}, s:o}", "id", json_sprintf("undo-%s", original->id), "type", "undo",
		"parameters", "run", former->id, "step", original->id, "subject", step->subject, "parameters", original->parameters,
		"timeout", timeout);
}

static bool is_about(const struct run_step *step, const char *only)
{
	const char *component = step_component(step->step);

	return !only || (component && !strcmp(component, only));
}

/* The components that taking back touches: {name: true}. Flags are touched through the components that observe them. */
static json_t *touched_components(struct op *op, const struct environment *environment, const struct run *former, const char *only)
{
	json_t *touched = json_keep(op->ctx, json_object());

	for (size_t i = 0; i < former->plan->step_count; i++) {
		const struct run_step *step = &former->steps[i];
		const char *name = step_component(step->step);

		if (!step->subject || !step->touched || !is_about(step, only))
			continue;
		for (size_t k = 0; k < environment->component_count; k++)
			if (name ? !strcmp(environment->components[k].name, name)
				 : text_starts_with(step->subject, "flag ") && !strcmp(environment->components[k].driver, "flags"))
				json_object_set_new(touched, environment->components[k].name, json_true());
	}
	return touched;
}

/* A component that goes back to not being there, or not running: then nothing can be asked whether it works. NULL: none. */
static const char *goes_down(const struct run *former, const char *only)
{
	for (size_t i = 0; i < former->plan->step_count; i++) {
		const struct run_step *step = &former->steps[i];
		const char *state = json_str(step->captured_observation, "state", "");

		if (step->touched && step->captures && step_component(step->step) && is_about(step, only) &&
			(!strcmp(state, "stopped") || !strcmp(state, "absent")))
			return step_component(step->step);
	}
	return NULL;
}

/* The last step: the probes, as after a rollback. */
static void add_verification(struct taking *t)
{
	json_t *components = plan_verified(t->environment, touched_components(t->op, t->environment, t->former, t->wanted->only));
	const char *down = goes_down(t->former, t->wanted->only);

	if (!components)
		return;
	if (down || !t->wanted->verify) {
		json_decref(components);
		findings_add(t->findings, "health_verified", false, t->wanted->force ? SEVERITY_WARNING : SEVERITY_INFO, down, NULL,
			"%sthe probes are not asked afterwards; `unship health %s` asks them", down ? "it was not running then: " : "",
			t->environment->name);
		return;
	}
	json_array_append_new(json_object_get(t->plan, "steps"),
		json_pack("{s:s, s:s, s:s, s:{s:o}, s:f}", "id", "verify", "name", "Verify health", "type", "health", "parameters",
			"components", components, "timeout", (double)t->environment->objectives.health_ms / 1000.0));
}

static void make_plan(struct taking *t)
{
	const struct run *former = t->former;
	const char *only = t->wanted->only;
	json_t *steps = json_array();

	for (size_t i = former->plan->step_count; i-- > 0;)
		if (former->steps[i].subject && former->steps[i].touched && is_about(&former->steps[i], only))
			json_array_append_new(steps, undo_step(former, &former->steps[i]));
	t->plan = json_keep(t->op->ctx,
		json_pack("{s:o, s:o, s:s, s:s, s:o}", "id", json_sprintf("%s%s", only ? "restore-" : UNDO_PLAN, former->id), "name",
			json_sprintf("Undo of %s", former->id), "phase", "undo", "onFailure", "restore", "steps", steps));
}

/* What the one who asks should know of the place that is returned to. */
static int gather_findings(struct taking *t, struct err *err)
{
	struct undo_history history;
	int r;

	if (t->former->from && !t->wanted->only) {
		r = store_deployment(t->op->workspace->store, t->op->ctx, t->former->from, &t->target, err);
		if (r < 0)
			return r;
		planning_warn_of_deployment(&t->target, t->findings);
	}
	r = run_undo_history(t->op, t->row, &history, err);
	if (r < 0)
		return r;
	findings_add(t->findings, "later_runs", history.later == 0, SEVERITY_WARNING, NULL, NULL,
		history.later ? "%s changed this environment after it: what they did to the same components is taken back with it"
			      : "%s changed this environment after it",
		text_count(t->op->ctx, history.later, "later run"));
	planning_check_undo(t->op, t->environment, t->former->plan, t->findings);
	return 0;
}

/* What is shown before the question, in the form of a rollback's plan. */
static json_t *shown(struct taking *t)
{
	json_t *answer = json_make(t->op->ctx, "{s:s, s:s, s:O, s:o, s:i, s:[]}", "environment", t->environment->name, "undoOf",
		t->former->id, "plan", t->plan, "findings", findings_json(t->findings), "blocking", 0, "notReverted");
	struct deployment present;
	struct err ignored = ERR_INIT;

	if (store_present(t->op->workspace->store, t->op->ctx, t->environment->name, &present, &ignored) == 0)
		json_object_set_new(answer, "present", json_pack("{s:s, s:s}", "deploymentId", present.id, "version", present.version));
	if (t->target.id)
		json_object_set_new(answer, "target", json_pack("{s:s, s:s}", "deploymentId", t->target.id, "version", t->target.version));
	return answer;
}

static json_t *request_data(struct taking *t, json_t *observed)
{
	const struct run *former = t->former;
	json_t *data = json_make(t->op->ctx, "{s:O, s:s, s:O, s:{s:b, s:b, s:[]}, s:{s:s, s:s, s:s, s:{}}, s:o}", "plan", t->plan, "undoOf",
		former->id, "observed", observed, "options", "preserveData", 0, "force", t->wanted->force, "targets", "context",
		"environment", t->environment->name, "trigger", "manual", "triggeredBy", t->op->actor, "metadata", "findings",
		findings_json(t->findings));

	json_put_str(data, "reason", t->wanted->reason ? t->wanted->reason : mem_printf(t->op->ctx, "undo of %s", former->id));
	json_put_str(data, "from", former->to);
	json_put_str(data, "to", t->wanted->only ? NULL : former->from);
	return data;
}

int run_undo_history(struct op *op, const struct run_row *run, struct undo_history *ret, struct err *err)
{
	json_t *undone = json_keep(op->ctx, json_object()); /* run: the undo that stands */
	struct run_row *rows;
	size_t count;
	int r;

	r = store_runs(op->workspace->store, op->ctx, run->environment, run_status_name(RUN_COMPLETED), 0, &rows, &count, err);
	if (r < 0)
		return r;
	*ret = (struct undo_history){ 0 };
	/* Newest first: an undo is seen after its own undo. Partial restores (UNDO_PLAN) leave the run standing. */
	for (size_t i = 0; i < count && strcmp(rows[i].id, run->id) != 0; i++) {
		bool stands = rows[i].changed && !json_object_get(undone, rows[i].id);

		if (stands && rows[i].undo_of && rows[i].plan_id && text_starts_with(rows[i].plan_id, UNDO_PLAN))
			json_put_str(undone, rows[i].undo_of, rows[i].id);
		else
			ret->later += stands;
	}
	ret->undone_by = json_str(undone, run->id, NULL);
	return 0;
}

static int fold_former(struct taking *t, struct err *err)
{
	struct entry_filter filter = { .run = t->row->id };
	struct entry *entries;
	size_t count;
	int r;

	r = store_read(t->op->workspace->store, t->op->ctx, &filter, &entries, &count, err);
	return r < 0 ? r : run_fold(t->op->ctx, entries, count, &t->former, err);
}

/* What an approval of it is bound to: the plan, and where everything stands now. */
static const char *state_hash(const struct taking *t, const json_t *observed)
{
	json_t *state = json_keep(t->op->ctx, json_object());
	char *text, hash[HASH_HEX_SIZE];
	const char *name;
	json_t *component;

	json_object_foreach((json_t *)observed, name, component)
		json_object_set_new(state, name,
			json_pack("{s:s*, s:s*}", "version", json_str(component, "version", NULL), "state",
				json_str(component, "state", NULL)));
	text = json_canonical(t->op->ctx,
		json_make(t->op->ctx, "{s:O, s:O, s:s}", "plan", t->plan, "state", state, "environment", t->environment->name));
	hash_sha256_hex(text, strlen(text), hash);
	return mem_strdup(t->op->ctx, hash);
}

int run_take_back(struct op *op, const struct environment *environment, const struct run_row *row, const struct take_back *wanted,
	json_t **ret, struct err *err)
{
	struct taking taking = { .op = op, .environment = environment, .row = row, .wanted = wanted, .findings = findings_new(op->ctx) };
	const char *run_id, *hash;
	json_t *observed;
	int r;

	r = run_ensure_free(op, environment->name, err);
	if (r == 0)
		r = fold_former(&taking, err);
	if (r < 0)
		return r;
	make_plan(&taking);
	if (json_array_size(json_object_get(taking.plan, "steps")) == 0)
		return err_set(err, ERR_INVALID, "run %s touched nothing%s%s: there is nothing to take back", row->id,
			wanted->only ? " of " : "", wanted->only ? wanted->only : "");
	r = gather_findings(&taking, err);
	if (r < 0)
		return r;
	add_verification(&taking);
	*ret = shown(&taking);
	json_put_flag(*ret, "dryRun", wanted->dry_run);
	if (op->confirm && !wanted->dry_run) {
		r = op->confirm(op->user, *ret, err);
		if (r < 0)
			return r;
	}
	r = workspace_observe(op, environment, NULL, &observed, err);
	if (r < 0)
		return r;
	hash = state_hash(&taking, observed);
	json_put_str(*ret, "planHash", hash);
	if (wanted->plan_hash && strcmp(wanted->plan_hash, hash) != 0)
		return err_set(err, ERR_CHANGED, "the plan now has hash %s, not %s: what is there changed since it was looked at", hash,
			wanted->plan_hash);
	if (wanted->dry_run)
		return 0;
	r = op_gate(op, environment, hash, *ret, wanted->reason, ret, err);
	if (r != 0)
		return MIN(r, 0);
	r = run_request(op, environment, request_data(&taking, observed), &run_id, err);
	if (r < 0)
		return r;
	return run_carry_out(op, environment, run_id, ret, err);
}
