/* Taking a former run back (P12). The plan is made of the former run's steps in reverse: the first step on a subject is answered by a step of type "undo", which returns it to what was captured; a later step on the
 * same subject by the target of the step before it, which is where the subject stood then. So "stop, release, start" is taken back as "stop, release the former, start the former". */
#include <string.h>

#include "core/steptype.h"
#include "ops/runs.h"

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

static json_t *undo_document(struct op *op, const struct run *former, const char *only)
{
	json_t *steps = json_array();

	for (size_t i = former->plan->step_count; i-- > 0;)
		if (former->steps[i].subject && former->steps[i].touched && is_about(&former->steps[i], only))
			json_array_append_new(steps, undo_step(former, &former->steps[i]));
	return json_keep(op->ctx,
		json_pack("{s:o, s:o, s:s, s:s, s:o}", "id", json_sprintf("undo-%s", former->id), "name",
			json_sprintf("Undo of %s", former->id), "phase", "undo", "onFailure", "restore", "steps", steps));
}

int run_take_back(struct op *op, const struct environment *environment, const struct run_row *former_row, const char *only,
	const char *reason, json_t **ret, struct err *err)
{
	struct entry_filter filter = { .run = former_row->id };
	struct entry *entries;
	json_t *plan, *data, *observed;
	struct run *former;
	const char *run_id;
	size_t count;
	int r;

	r = run_ensure_free(op, environment->name, err);
	if (r == 0)
		r = store_read(op->workspace->store, op->ctx, &filter, &entries, &count, err);
	if (r == 0)
		r = run_fold(op->ctx, entries, count, &former, err);
	if (r == 0)
		r = workspace_observe(op, environment, NULL, &observed, err);
	if (r < 0)
		return r;
	plan = undo_document(op, former, only);
	if (json_array_size(json_object_get(plan, "steps")) == 0)
		return err_set(err, ERR_INVALID, "run %s touched nothing%s%s: there is nothing to take back", former->id,
			only ? " of " : "", only ? only : "");
	data = json_make(op->ctx, "{s:O, s:s, s:O, s:{s:b, s:b, s:[]}, s:{s:s, s:s, s:s, s:{}}, s:[]}", "plan", plan, "undoOf", former->id,
		"observed", observed, "options", "preserveData", 0, "force", 0, "targets", "context", "environment", environment->name,
		"trigger", "manual", "triggeredBy", op->actor, "metadata", "findings");
	json_put_str(data, "reason", reason ? reason : mem_printf(op->ctx, "undo of %s", former->id));
	json_put_str(data, "from", former->to);
	json_put_str(data, "to", only ? NULL : former->from);
	r = run_request(op, environment, data, &run_id, err);
	if (r < 0)
		return r;
	return run_carry_out(op, environment, run_id, ret, err);
}
