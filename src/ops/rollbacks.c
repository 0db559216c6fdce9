/* Rollbacks: the main job, and what people do with a run: look, resume, cancel, undo, approve, reject. */
#include "ops/answers.h"
#include "ops/resources.h"
#include "ops/runs.h"

#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"
#include "ops/checks.h"
#include "ops/gate.h"
#include "ops/page.h"
#include "ops/permit.h"

struct rollback_params {
	const char *environment, *reason, *to, *plan, *plan_hash;
	const char **target;
	json_t *plan_document;
	bool preserve_data, immediate, force, dry_run;
};

static const struct field create_fields[] = { FIELD_NAME(struct rollback_params, environment, REQUIRED, "environment to take back"),
	FIELD_STR(struct rollback_params, reason, OPTIONAL, "why; required but for a dry run"),
	FIELD_STR(struct rollback_params, to, OPTIONAL, "deployment to return to, by id or version; the last stable one when not given"),
	FIELD_LIST(struct rollback_params, target, OPTIONAL, "only these components"),
	FIELD_PATH_OR(struct rollback_params, plan, OPTIONAL, plan_document, "a saved plan instead of a generated one"),
	FIELD_MAP(struct rollback_params, plan_document, OPTIONAL, PLAN_DOCUMENT_HELP),
	FIELD_STR(struct rollback_params, plan_hash, OPTIONAL, "run only if plan and observed state still have this hash"),
	FIELD_BOOL(struct rollback_params, preserve_data, DEFAULT("true"), "keep the databases as they are"),
	FIELD_BOOL(struct rollback_params, immediate, DEFAULT("false"),
		"stop services at once, without letting them end what they work on"),
	FIELD_BOOL(struct rollback_params, force, DEFAULT("false"), "override findings that block; they are kept with the run"),
	FIELD_BOOL(struct rollback_params, dry_run, DEFAULT("false"), "everything up to the first change"), FIELD_END };

struct run_params {
	const char *id, *environment, *step, *answer, *reason, *plan_hash;
	const char *cursor;
	int64_t limit;
	bool force, dry_run;
};

static const struct field show_fields[] = {
	FIELD_STR(struct run_params, id, OPTIONAL, "run, by id or its beginning; the newest when not given"), FIELD_END
};

static const struct field list_fields[] = { FIELD_NAME(struct run_params, environment, OPTIONAL, "only this environment"),
	FIELD_INT(struct run_params, limit, DEFAULT("20"), 1, 10000, "how many, newest first"), FIELD_CURSOR(struct run_params, cursor),
	FIELD_END };

static const struct field resume_fields[] = { FIELD_STR(struct run_params, id, OPTIONAL,
						      "run, by id or its beginning; the unfinished one when not given"),
	FIELD_STR(struct run_params, step, OPTIONAL, "the step that could not be observed"),
	FIELD_CHOICE(struct run_params, answer, OPTIONAL, "done|retry|restore",
		"what a person found: it took effect, it did not, or take all back"),
	FIELD_END };

static const struct field reason_fields[] = { FIELD_STR(struct run_params, id, OPTIONAL,
						      "run, by id or its beginning; the newest when not given"),
	FIELD_STR(struct run_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field undo_fields[] = { FIELD_STR(struct run_params, id, OPTIONAL,
						    "run, by id or its beginning; the newest when not given"),
	FIELD_STR(struct run_params, reason, OPTIONAL, "why"),
	FIELD_BOOL(struct run_params, force, DEFAULT("false"), "let it stand without asking the probes afterwards"),
	FIELD_STR(struct run_params, plan_hash, OPTIONAL, "run only if plan and observed state still have this hash"),
	FIELD_BOOL(struct run_params, dry_run, DEFAULT("false"), "everything up to the first change"), FIELD_END };

static json_t *string_list(const char *const *strings)
{
	json_t *list = json_array();

	for (; strings && *strings; strings++)
		json_array_append_new(list, json_string(*strings));
	return list;
}

/* The data of run.requested: all that a later fold needs, and what was known when it was decided. */
static json_t *request_data(struct op *op, const struct rollback_params *p, const struct planning *planning)
{
	json_t *data = json_keep(op->ctx, json_object());

	json_put(data, "plan", planning->generated.document);
	json_put_str(data, "planHash", planning->hash);
	if (!planning->saved_plan)
		json_put(data, "expected", planning->expected);
	json_put_str(data, "from", planning->present ? planning->present->id : NULL);
	json_put_str(data, "to", planning->target ? planning->target->id : NULL);
	json_put_str(data, "reason", p->reason);
	json_object_set_new(data, "options",
		json_pack("{s:b, s:b, s:b, s:o}", "preserveData", p->preserve_data, "immediate", p->immediate, "force", p->force, "targets",
			string_list(p->target)));
	json_object_set_new(data, "context",
		json_pack("{s:s, s:s, s:s, s:{}}", "environment", p->environment, "trigger", "manual", "triggeredBy", op->actor,
			"metadata"));
	json_object_set_new(data, "findings", findings_json(planning->findings));
	if (p->force)
		json_object_set_new(data, "overrides", findings_blocking_names(planning->findings));
	json_put(data, "observed", planning->observed);
	return data;
}

static int refuse(struct op *op, const struct rollback_params *p, const struct planning *planning, struct err *err)
{
	size_t blocking = findings_blocking(planning->findings);
	const char *first = planning_first_blocking(op->ctx, planning->findings);
	bool schema = false;

	for (size_t i = 0; i < planning->findings->count; i++)
		schema |= check_blocks_target(&planning->findings->list[i]) &&
			!strcmp(planning->findings->list[i].name, "schema_compatibility");
	err_set(err, ERR_REFUSED, "%s%s%s", first ? first : "refused",
		blocking > 1 ? mem_printf(op->ctx, " (and %s)", text_count(op->ctx, blocking - 1, "other finding")) : "",
		schema && planning->preserve_data ? "; --no-preserve-data takes the data back as well" : "");
	return run_refuse(op, "rollbacks.create", p->environment, p->reason, json_keep(op->ctx, findings_json(planning->findings)), err);
}

/* Everything is there already. Whether it works is another question, and the one that people have: the probes answer it. */
static int nothing_to_do(struct op *op, const struct environment *environment, json_t *answer, struct err *err)
{
	json_t *probes;
	size_t failed;
	int r;

	r = workspace_probe(op, environment, &probes, &failed, err);
	if (r < 0)
		return r;
	json_put(answer, "probes", probes);
	if (failed)
		return err_set(err, ERR_FAILED,
			"'%s' is as the target was recorded, so there is nothing to take back, but %zu of %s failed; "
			"choose another target with --to, or start what is down",
			environment->name, failed, text_count(op->ctx, environment->probe_count, "probe"));
	return 0;
}

/* Is it the plan that was looked at, and does nothing speak against it? */
static int judge_plan(struct op *op, const struct rollback_params *p, const struct planning *planning, struct err *err)
{
	if (p->plan_hash && strcmp(p->plan_hash, planning->hash) != 0)
		return err_set(err, ERR_CHANGED, "the plan now has hash %s, not %s: state or target changed since it was looked at",
			planning->hash, p->plan_hash);
	if (planning->generated.plan->step_count > 0 && findings_blocking(planning->findings) && !p->force)
		return refuse(op, p, planning, err);
	return 0;
}

static int rollbacks_create(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct rollback_params *p = params;
	struct planning_input input = {
		.environment = p->environment,
		.to = p->to,
		.targets = p->target,
		.plan_file = p->plan,
		.plan_document = p->plan_document,
		.preserve_data = p->preserve_data,
		.immediate = p->immediate,
	};
	struct planning *planning = NULL;
	struct environment *environment;
	const char *run_id;
	int r;

	if (!p->dry_run && (!p->reason || !*p->reason))
		return err_set(err, ERR_INVALID, "a rollback needs a reason (--reason): it is kept in the audit trail");
	r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r == 0 && !p->dry_run)
		r = run_ensure_free(op, p->environment, err);
	if (r < 0)
		return r;
	r = planning_make(op, &input, &planning, err);
	if (r < 0) {
		if (planning && planning->problems)
			*ret = json_make(op->ctx, "{s:O}", "errors", planning->problems);
		else if (planning && planning->candidates)
			*ret = planning_without_target(op, planning);
		return r;
	}
	*ret = planning_json(op, planning);
	json_put_flag(*ret, "dryRun", p->dry_run);
	if (p->force) /* said before it is agreed to: what is overridden, by name */
		json_object_set_new(*ret, "overrides", findings_blocking_names(planning->findings));
	r = judge_plan(op, p, planning, err);
	if (r < 0 || p->dry_run)
		return r;
	if (planning->generated.plan->step_count == 0)
		return nothing_to_do(op, environment, *ret, err);
	if (op->confirm) {
		r = op->confirm(op->user, *ret, err);
		if (r < 0)
			return r;
	}
	r = op_gate(op, environment, planning->hash, *ret, p->reason, ret, err);
	if (r != 0)
		return MIN(r, 0);
	r = run_request(op, environment, request_data(op, p, planning), &run_id, err);
	if (r < 0)
		return r;
	return run_carry_out(op, environment, run_id, ret, err);
}

static json_t *row_json(const void *ctx, const struct run_row *row)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "id", row->id, "environment", row->environment, "status", row->status,
		"requestedAt", clock_format(ctx, row->requested_ms));

	json_put_str(item, "planId", row->plan_id);
	json_put_str(item, "from", row->from);
	json_put_str(item, "to", row->to);
	json_put_str(item, "reason", row->reason);
	json_put_str(item, "actor", row->actor);
	json_put_str(item, "message", row->message);
	json_put_str(item, "undoOf", row->undo_of);
	json_put_flag(item, "changed", row->changed);
	if (row->ended_ms) {
		json_put_str(item, "endedAt", clock_format(ctx, row->ended_ms));
		json_put_int(item, "durationMs", row->ended_ms - row->requested_ms);
	}
	return item;
}

static int rollbacks_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct run_params *p = params;
	struct run_row *rows;
	bool carried_out, more;
	struct page page;
	json_t *list;
	size_t count;
	int r;

	r = page_read(p->cursor, p->limit, &page, err);
	if (r == 0)
		r = op_runs(op, p->environment, page, &rows, &count, err);
	if (r < 0)
		return r;
	count = page_cut(&page, count, &more);
	list = json_keep(op->ctx, json_array());
	for (size_t i = 0; i < count; i++) {
		json_t *item = row_json(op->ctx, &rows[i]);

		json_array_append_new(list, item);
		if (rows[i].ended_ms)
			continue;
		r = run_put_holder(op, rows[i].environment, item, &carried_out, err);
		if (r < 0)
			return r;
	}
	*ret = json_make(op->ctx, "{s:O}", "runs", list);
	page_next(*ret, more, more ? rows[count - 1].seq : 0);
	return 0;
}

static int rollbacks_show(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct run_params *p = params;
	const char *id;
	int r;

	r = workspace_run_id(op, p->id, &id, err);
	if (r < 0)
		return r;
	return run_answer(op, id, ret, err);
}

/* The run that an operation is about, and its environment. */
static int find_run(struct op *op, const char *given, struct run_row *ret, struct environment **ret_environment, struct err *err)
{
	const char *id;
	int r;

	r = workspace_run_id(op, given, &id, err);
	if (r == 0)
		r = store_run(op->workspace->store, op->ctx, id, ret, err);
	if (r == 0)
		r = project_find_environment(op->workspace->project, ret->environment, ret_environment, err);
	return r;
}

/* A run that has not ended. Without an id: the only one that there is; with several, nothing is guessed. */
static int find_unfinished(struct op *op, const char *given, struct run_row *ret, struct environment **ret_environment, struct err *err)
{
	const struct project *project;
	char *found = NULL;
	enum run_status status;
	size_t count = 0;
	int r;

	r = workspace_store(op->workspace, err);
	if (r < 0)
		return r;
	project = op->workspace->project;
	for (size_t i = 0; (!given || !*given) && i < project->environment_count; i++) {
		struct err none = ERR_INIT;
		struct run_row row;

		if (!op_sees(op, project->environments[i].name))
			continue;
		r = store_unfinished_run(op->workspace->store, op->ctx, project->environments[i].name, &row, &none);
		if (r == 0) {
			found = found ? mem_appendf(found, ", %s (%s)", row.id, row.environment)
				      : mem_printf(op->ctx, "%s (%s)", row.id, row.environment);
			*ret = row;
			*ret_environment = &project->environments[i];
			count++;
		} else if (r != -ERR_NOT_FOUND) {
			*err = none;
			return r;
		}
	}
	if (count == 1)
		return op_permit(op, op->permission, ret->environment, err);
	if (count > 1)
		return err_set(err, ERR_AMBIGUOUS, "%zu runs have not ended: %s; say which", count, found);
	r = find_run(op, given, ret, ret_environment, err);
	if (r == 0)
		r = run_status_parse(ret->status, &status, err);
	if (r < 0)
		return r;
	if (run_status_ended(status))
		return err_set(err, ERR_INVALID, "%s %s has ended already: %s",
			given && *given ? "run" : "no run is unfinished; the newest,", ret->id, ret->status);
	return 0;
}

static int append_to_run(struct op *op, const struct run_row *row, const char *kind, json_t *data, struct err *err)
{
	struct entry entry = { .kind = kind, .environment = row->environment, .run = row->id, .actor = op->actor, .data = data };

	return store_append(op->workspace->store, op->ctx, &entry, err);
}

static int rollbacks_resume(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct run_params *p = params;
	struct environment *environment;
	struct run_row row;
	int r;

	r = find_unfinished(op, p->id, &row, &environment, err);
	if (r < 0)
		return r;
	if (!p->answer != !p->step)
		return err_set(err, ERR_INVALID, "--step and --answer go together");
	if (p->answer) {
		r = append_to_run(op, &row, ENTRY_RUN_ANSWERED, json_make(op->ctx, "{s:s, s:s}", "step", p->step, "answer", p->answer),
			err);
		if (r < 0)
			return r;
	}
	return run_carry_out(op, environment, row.id, ret, err);
}

/* A run that nobody carries out at the moment is taken up here, so that it is really taken back. */
static int carry_on_if_free(struct op *op, const struct environment *environment, const char *id, json_t **ret, struct err *err)
{
	struct err held = ERR_INIT;
	int r;

	r = run_carry_out(op, environment, id, ret, &held);
	if (r == -ERR_CONFLICT)
		return run_answer(op, id, ret, err);
	*err = held;
	return r;
}

static int rollbacks_cancel(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct run_params *p = params;
	struct environment *environment;
	struct run_row row;
	int r;

	r = find_unfinished(op, p->id, &row, &environment, err);
	if (r == 0)
		r = append_to_run(op, &row, ENTRY_RUN_CANCEL, json_make(op->ctx, "{s:s*}", "reason", p->reason), err);
	if (r < 0)
		return r;
	r = carry_on_if_free(op, environment, row.id, ret, err);
	return r == -ERR_RESTORED ? 0 : r; /* that is what was asked for */
}

static int fold_run(struct op *op, const struct run_row *row, struct run **ret, struct err *err)
{
	struct entry_filter filter = { .run = row->id };
	struct entry *entries;
	size_t count;
	int r;

	r = store_read(op->workspace->store, op->ctx, &filter, &entries, &count, err);
	return r < 0 ? r : run_fold(op->ctx, entries, count, ret, err);
}

/* Four eyes in a run as before one: who asked for it does not approve it, and each person is counted once. Who asked for it may say no. */
static int check_decision(struct op *op, const struct run *run, const struct run_step *step, const char *answer, struct err *err)
{
	const char *requester = json_str(run->requested, "requester", NULL);

	if (strcmp(answer, "approve") != 0)
		return 0;
	if (!strcmp(op_person(op), requester ? requester : mem_printf(op->ctx, LOCAL_PERSON "%s", run->actor))) {
		err_set(err, ERR_FORBIDDEN, "%s asked for run %s: somebody else must approve", run->actor, run->id);
		return op_refused(op, run->environment, err);
	}
	for (size_t i = 0; i < step->approver_count; i++)
		if (!strcmp(step->approvers[i], op_person(op)))
			return err_set(err, ERR_CONFLICT, "%s has approved already: %lld of %lld", op->actor,
				(long long)step->approver_count, (long long)run_step_approvals(step));
	return 0;
}

static int decide_approval(struct op *op, const struct run_params *p, const char *answer, json_t **ret, struct err *err)
{
	struct environment *environment;
	const struct run_step *step = NULL;
	struct run_row row;
	struct run *run;
	int r;

	if (p->id && text_starts_with(p->id, "apr-"))
		return approval_vote(op, p->id, !strcmp(answer, "approve"), p->reason, ret, err);
	r = find_unfinished(op, p->id, &row, &environment, err);
	if (r < 0)
		return r;
	r = fold_run(op, &row, &run, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < run->plan->step_count && !step; i++)
		if (run->steps[i].wait_for == WAIT_APPROVAL)
			step = &run->steps[i];
	if (!step)
		return err_set(err, ERR_INVALID, "run %s does not wait for an approval", row.id);
	r = check_decision(op, run, step, answer, err);
	if (r == 0)
		r = append_to_run(op, &row, ENTRY_RUN_ANSWERED,
			json_make(op->ctx, "{s:s, s:s, s:s, s:s*}", "step", step->step->id, "answer", answer, "principal", op_person(op),
				"reason", p->reason),
			err);
	if (r == 0)
		r = fold_run(op, &row, &run, err);
	if (r < 0)
		return r;
	if (run->status == RUN_WAITING)
		return run_answer(op, row.id, ret, err); /* others have to approve, too */
	return carry_on_if_free(op, environment, row.id, ret, err);
}

static int rollbacks_approve(struct op *op, const void *params, json_t **ret, struct err *err)
{
	return decide_approval(op, params, "approve", ret, err);
}

static int rollbacks_reject(struct op *op, const void *params, json_t **ret, struct err *err)
{
	return decide_approval(op, params, "reject", ret, err);
}

/* Undoing twice would be going forward again, without a word: that is said, and left to whoever asks for it by its own id. */
static int refuse_undone(struct op *op, const struct run_params *p, const struct run_row *row, struct err *err)
{
	struct undo_history history;
	int r;

	r = run_undo_history(op, row, &history, err);
	if (r < 0)
		return r;
	if (history.undone_by)
		err_set(err, ERR_REFUSED, "run %s was undone by run %s; to go forward again: `unship undo %s`", row->id, history.undone_by,
			history.undone_by);
	else if ((!p->id || !*p->id) && row->undo_of)
		err_set(err, ERR_REFUSED, "the newest run, %s, is the undo of run %s; to go forward again: `unship undo %s`", row->id,
			row->undo_of, row->id);
	else
		return 0;
	return run_refuse(op, "rollbacks.undo", row->environment, p->reason, NULL, err);
}

static int rollbacks_undo(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct run_params *p = params;
	struct environment *environment;
	struct take_back wanted = { .reason = p->reason,
		.plan_hash = p->plan_hash,
		.verify = !p->force,
		.force = p->force,
		.dry_run = p->dry_run };
	struct run_row row;
	int r;

	r = find_run(op, p->id, &row, &environment, err);
	if (r < 0)
		return r;
	if (strcmp(row.status, run_status_name(RUN_COMPLETED)) != 0)
		return err_set(err, ERR_INVALID, "run %s is %s: only a completed one can be undone", row.id, row.status);
	r = refuse_undone(op, p, &row, err);
	if (r < 0)
		return r;
	return run_take_back(op, environment, &row, &wanted, ret, err);
}

OPERATION(op_rollbacks_create, "rollbacks.create", "POST", "/environments/{environment}/rollbacks", PERMIT_EXECUTE,
	"take an environment back to a deployment that works", create_fields, struct rollback_params, rollbacks_create, .destructive = true,
	.answer = run_shape);
OPERATION(op_rollbacks_list, "rollbacks.list", "GET", "/rollbacks", PERMIT_VIEW, "runs, newest first", list_fields, struct run_params,
	rollbacks_list, .answer = run_list_shape);
OPERATION(op_rollbacks_show, "rollbacks.show", "GET", "/rollbacks/{id}", PERMIT_VIEW, "one run: its steps, phases, and what to do next",
	show_fields, struct run_params, rollbacks_show, .answer = run_shape);
OPERATION(op_rollbacks_resume, "rollbacks.resume", "POST", "/rollbacks/{id}/resume", PERMIT_EXECUTE,
	"go on with a run that was interrupted or waits", resume_fields, struct run_params, rollbacks_resume, .destructive = true,
	.idempotent = true, .answer = run_shape);
OPERATION(op_rollbacks_cancel, "rollbacks.cancel", "POST", "/rollbacks/{id}/cancel", PERMIT_EXECUTE, "stop a run and put everything back",
	reason_fields, struct run_params, rollbacks_cancel, .destructive = true, .idempotent = true, .answer = run_shape);
OPERATION(op_rollbacks_undo, "rollbacks.undo", "POST", "/rollbacks/{id}/undo", PERMIT_EXECUTE, "return to where a completed run started",
	undo_fields, struct run_params, rollbacks_undo, .destructive = true, .answer = run_shape);
OPERATION(op_rollbacks_approve, "rollbacks.approve", "POST", "/rollbacks/{id}/approve", PERMIT_APPROVE,
	"let a run that waits for approval go on", reason_fields, struct run_params, rollbacks_approve, .destructive = true,
	.idempotent = true, .answer = run_shape);
OPERATION(op_rollbacks_reject, "rollbacks.reject", "POST", "/rollbacks/{id}/reject", PERMIT_APPROVE, "refuse a run that waits for approval",
	reason_fields, struct run_params, rollbacks_reject, .destructive = true, .idempotent = true, .answer = run_shape);
