/* The fold of a run: one function per kind of entry. Entries of the runner are held to the rules (an intent before an outcome, a snapshot
 * before an effect); what others write
 * at any time (answers, cancellations) may come too late and is then passed over, because nobody could have prevented it. Pure; any
 * thread, one run per thread. */
#include "core/run.h"

#include "core/engine.h"
#include "core/graph.h"
#include "core/steptype.h"
#include "data/json.h"

const char *run_status_name(enum run_status status)
{
	static const char *const names[] = { "pending", "in_progress", "waiting", "completed", "restored", "failed", "refused" };

	assert_always((size_t)status < ARRAY_SIZE(names));
	return names[status];
}

int run_status_parse(const char *text, enum run_status *ret, struct err *err)
{
	for (enum run_status status = RUN_PENDING; status <= RUN_REFUSED; status++)
		if (text && !strcmp(text, run_status_name(status))) {
			*ret = status;
			return 0;
		}
	return err_set(err, ERR_INVALID, "'%s' is no status of a run", text ? text : "");
}

bool run_status_ended(enum run_status status)
{
	return status >= RUN_COMPLETED;
}

int run_status_exit_code(enum run_status status)
{
	switch (status) {
	case RUN_COMPLETED:
		return 0;
	case RUN_RESTORED:
		return 1;
	case RUN_REFUSED:
		return 3;
	default:
		return 5;
	}
}

const char *step_status_name(enum step_status status)
{
	static const char *const names[] = { "pending", "in_progress", "completed", "failed", "unknown", "skipped", "undoing", "undone",
		"undo_failed" };

	assert_always((size_t)status < ARRAY_SIZE(names));
	return names[status];
}

const char *verb_name(enum verb verb)
{
	static const char *const names[] = { "capture", "apply", "undo", "observe", "none" };

	assert_always((size_t)verb < ARRAY_SIZE(names));
	return names[verb];
}

struct run_step *run_step(const struct run *run, const char *id)
{
	json_t *index = id ? json_object_get(run->index, id) : NULL;

	return index ? &run->steps[json_integer_value(index)] : NULL;
}

static int cannot_follow(const struct entry *entry, struct err *err, const char *why)
{
	return err_set(err, ERR_CORRUPT, "entry %lld (%s) cannot stand here: %s", (long long)entry->seq, entry->kind, why);
}

/* The step that an entry is about, or an error. */
static int entry_step(const struct run *run, const struct entry *entry, struct run_step **ret, struct err *err)
{
	*ret = run_step(run, json_str(entry->data, "step", NULL));
	return *ret ? 0 : cannot_follow(entry, err, "it names no step of the plan");
}

static enum verb entry_verb(const struct entry *entry)
{
	const char *name = json_str(entry->data, "verb", "");

	for (enum verb verb = VERB_CAPTURE; verb < VERB_OBSERVE; verb++)
		if (!strcmp(name, verb_name(verb)))
			return verb;
	return VERB_NONE;
}

static void forget_calls(struct run_step *step)
{
	step->calling = step->acted = VERB_NONE;
	step->stopping = step->lost = step->absent = false;
	step->observe_failures = 0;
	step->observe_not_before_ms = 0;
}

static void update_waiting(struct run *run)
{
	if (run_status_ended(run->status) || run->status == RUN_PENDING)
		return;
	run->status = RUN_IN_PROGRESS;
	for (size_t i = 0; i < run->plan->step_count; i++)
		if (run->steps[i].wait_for != WAIT_NOTHING)
			run->status = RUN_WAITING;
}

/* From now on everything touched is undone. Questions about going forward are settled by that; those about an undo stay. */
static void begin_restoring(struct run *run)
{
	run->restoring = true;
	for (size_t i = 0; i < run->plan->step_count; i++)
		if (!run->steps[i].undo_attempts)
			run->steps[i].wait_for = WAIT_NOTHING;
	update_waiting(run);
}

static void keep_cause(struct run *run, const struct run_step *step, enum err_code code, const char *message)
{
	if (run->code)
		return;
	run->code = code ? code : ERR_FAILED;
	run->message = mem_strdup(run, message);
	run->failed_step = step ? step->step->id : NULL;
}

static void fail_for_good(struct run *run, struct run_step *step)
{
	step->status = STEP_FAILED;
	keep_cause(run, step, step->code, step->message);
	if (run->plan->on_failure == ON_FAILURE_RESTORE)
		begin_restoring(run);
}

static int requested(struct run *run, const struct entry *entry, struct err *err)
{
	return cannot_follow(entry, err, "the run was requested before");
}

/* A step that has ended is as if nobody had seen its end: it is settled by observing, and made again where it is gone. */
static void look_again(struct run_step *step)
{
	if (step->status == STEP_DONE)
		step->status = STEP_BEGUN;
	else if (step->status == STEP_UNDONE)
		step->status = STEP_UNDOING;
	else
		return;
	step->ended_ms = 0;
	forget_calls(step);
}

json_t *run_steps_lost_with_boot(const struct run *run)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < run->plan->step_count; i++) {
		const struct run_step *step = &run->steps[i], *last = NULL;

		if (!step->subject || !step->state || (strcmp(step->state, "running") != 0 && strcmp(step->state, "stopped") != 0))
			continue;
		/* Going forward the last that is done says how the service is to be, going back the first that is undone. */
		for (size_t j = 0; j < run->plan->step_count; j++) {
			const struct run_step *other = &run->steps[run->order[j]];

			if (!other->subject || strcmp(other->subject, step->subject) != 0)
				continue;
			if (other->status == STEP_UNDONE) {
				last = other;
				break;
			}
			if (other->status == STEP_DONE)
				last = other;
			else if (other->touched)
				last = NULL; /* begun: it is settled in any case */
		}
		if (last == step)
			json_array_append_new(ids, json_string(step->step->id));
	}
	return ids;
}

static int started(struct run *run, const struct entry *entry, struct err *err)
{
	const char *boot = json_str(entry->data, "boot", NULL);
	json_t *id;
	size_t index;

	run->starts++;
	run->boot = boot ? mem_strdup(run, boot) : NULL;
	json_array_foreach(json_object_get(entry->data, "again"), index, id) {
		struct run_step *step = json_is_string(id) ? run_step(run, json_string_value(id)) : NULL;

		if (!step)
			return cannot_follow(entry, err, "it names a step that the plan does not have");
		look_again(step);
	}
	if (!run->started_ms)
		run->started_ms = entry->wall_ms;
	if (run->status == RUN_PENDING)
		run->status = RUN_IN_PROGRESS;
	return 0;
}

static bool differs(json_t *expected, json_t *observed, const char *member)
{
	const char *before = json_str(expected, member, NULL), *now = json_str(observed, member, "");

	return before && strcmp(before, now) != 0;
}

/* A plan is bound to what was seen when it was made: another state now means that it must be made again. */
static void compare_with_expected(struct run *run, struct run_step *step)
{
	const char *component = step_subject_component(step->subject);
	json_t *expected = json_object_get(run->expected, component ? component : step->subject), *observed = step->captured_observation;

	if (!expected || (!differs(expected, observed, "version") && !differs(expected, observed, "state")))
		return;
	keep_cause(run, step, ERR_CHANGED,
		mem_printf(run, "%s is not as it was when the plan was made: version '%s'%s%s then, '%s'%s%s now", step->subject,
			json_str(expected, "version", ""), json_str(expected, "state", NULL) ? ", " : "", json_str(expected, "state", ""),
			json_str(observed, "version", ""), json_str(observed, "state", NULL) ? ", " : "", json_str(observed, "state", "")));
}

static int captured(struct run *run, const struct entry *entry, struct err *err)
{
	struct run_step *step;
	int r;

	r = entry_step(run, entry, &step, err);
	if (r < 0)
		return r;
	if (!step->captures || step->captured || run->snapshot_taken)
		return cannot_follow(entry, err, "the step captures nothing, or has done it");
	step->captured = true;
	step->captured_observation = json_object_get(entry->data, "observed");
	step->not_before_ms = 0;
	forget_calls(step);
	compare_with_expected(run, step);
	return 0;
}

static int snapshot_taken(struct run *run, const struct entry *entry, struct err *err)
{
	if (run->snapshot_taken)
		return cannot_follow(entry, err, "a snapshot was taken before");
	for (size_t i = 0; i < run->plan->step_count; i++)
		if (run->steps[i].captures && !run->steps[i].captured)
			return cannot_follow(entry, err, "not everything was captured");
	run->snapshot_taken = true;
	return 0;
}

static int begun(struct run *run, const struct entry *entry, struct err *err)
{
	int attempt = (int)json_int(entry->data, "attempt", 0);
	enum verb verb = entry_verb(entry);
	struct run_step *step;
	int r;

	r = entry_step(run, entry, &step, err);
	if (r < 0)
		return r;
	if (!run->snapshot_taken)
		return cannot_follow(entry, err, "no snapshot was taken");
	if (verb == VERB_APPLY && step->status == STEP_PENDING && attempt == step->attempts + 1) {
		step->status = STEP_BEGUN;
		step->attempts = attempt;
		if (step->subject)
			step->touched = run->changed = true;
	} else if (verb == VERB_UNDO && step->touched && attempt == step->undo_attempts + 1 &&
		(step->status == STEP_PENDING || step->status == STEP_DONE || step->status == STEP_FAILED ||
			step->status == STEP_UNKNOWN)) {
		step->status = STEP_UNDOING;
		step->undo_attempts = attempt;
	} else {
		return cannot_follow(entry, err, "the step is not where this could begin");
	}
	step->begun_ms = entry->wall_ms;
	step->ended_ms = step->not_before_ms = 0;
	step->wait_for = WAIT_NOTHING;
	forget_calls(step);
	return 0;
}

static void capture_failed(struct run *run, struct run_step *step, const struct entry *entry, bool retryable)
{
	step->capture_failures++;
	step->not_before_ms = entry->wall_ms + engine_backoff_ms(run->id, step->step->id, step->capture_failures + 1, 1.0);
	if (!retryable || step->capture_failures >= ENGINE_CAPTURE_ATTEMPTS)
		keep_cause(run, step, step->code, step->message);
}

static void apply_failed(struct run *run, struct run_step *step, const struct entry *entry, bool retryable)
{
	if (!retryable || step->attempts >= step->step->max_attempts || run->restoring) {
		fail_for_good(run, step);
		return;
	}
	step->status = STEP_PENDING;
	step->not_before_ms = entry->wall_ms +
		engine_backoff_ms(run->id, step->step->id, step->attempts + 1, step->step->backoff_multiplier);
}

static void undo_failed(struct run *run, struct run_step *step, const struct entry *entry, bool retryable)
{
	if (!retryable || step->undo_attempts >= ENGINE_UNDO_ATTEMPTS) {
		step->status = STEP_UNDO_FAILED;
		keep_cause(run, step, step->code, step->message);
		return;
	}
	step->status = STEP_FAILED;
	step->not_before_ms = entry->wall_ms + engine_backoff_ms(run->id, step->step->id, step->undo_attempts + 1, 2.0);
}

/* The intent was committed, and then the call was not made after all: the step is as untouched as before. */
static void take_back_intent(struct run *run, struct run_step *step)
{
	if (step->attempts > 1)
		return;
	step->touched = run->changed = false;
	for (size_t i = 0; i < run->plan->step_count; i++)
		run->changed |= run->steps[i].touched;
}

static int outcome_of(struct run *run, struct run_step *step, const struct entry *entry, enum verb verb, struct err *err)
{
	const char *outcome = json_str(entry->data, "outcome", "");
	bool retryable = json_flag(entry->data, "retryable", true);

	step->code = ERR_NONE;
	step->message = NULL;
	if (strcmp(outcome, "done") != 0) {
		step->code = err_from_name(json_str(entry->data, "code", "failed"));
		step->message = json_str(entry->data, "message", outcome);
	}
	if (verb == VERB_APPLY && json_flag(entry->data, "notBegun", false))
		take_back_intent(run, step);
	if (!strcmp(outcome, "done")) {
		step->status = verb == VERB_UNDO ? STEP_UNDONE : STEP_DONE;
		if (verb == VERB_APPLY)
			step->outputs = json_object_get(entry->data, "outputs");
	} else if (!strcmp(outcome, "unknown")) {
		step->status = STEP_UNKNOWN;
	} else if (strcmp(outcome, "failed") != 0) {
		return cannot_follow(entry, err, "there is no such outcome");
	} else if (verb == VERB_CAPTURE) {
		capture_failed(run, step, entry, retryable);
	} else if (verb == VERB_APPLY) {
		apply_failed(run, step, entry, retryable);
	} else {
		undo_failed(run, step, entry, retryable);
	}
	return 0;
}

static int ended(struct run *run, const struct entry *entry, struct err *err)
{
	int attempt = (int)json_int(entry->data, "attempt", 0);
	enum verb verb = entry_verb(entry);
	struct run_step *step;
	bool fits;
	int r;

	r = entry_step(run, entry, &step, err);
	if (r < 0)
		return r;
	if (verb == VERB_CAPTURE)
		fits = step->captures && !step->captured && !strcmp(json_str(entry->data, "outcome", ""), "failed");
	else if (verb == VERB_UNDO)
		fits = step->status == STEP_UNDOING && attempt == step->undo_attempts;
	else if (verb == VERB_APPLY && step->status == STEP_PENDING && !step->subject && run->snapshot_taken)
		fits = attempt == ++step->attempts; /* a notification: intent and outcome are one */
	else
		fits = verb == VERB_APPLY && step->status == STEP_BEGUN && attempt == step->attempts;
	if (!fits)
		return cannot_follow(entry, err, "nothing was begun that could end");
	if (!step->begun_ms)
		step->begun_ms = entry->wall_ms;
	step->ended_ms = entry->wall_ms;
	step->not_before_ms = 0;
	step->state = json_str(json_object_get(entry->data, "observed"), "state", NULL);
	forget_calls(step);
	return outcome_of(run, step, entry, verb, err);
}

static int waiting(struct run *run, const struct entry *entry, struct err *err)
{
	const char *question = json_str(entry->data, "question", "");
	struct run_step *step;
	int r;

	r = entry_step(run, entry, &step, err);
	if (r < 0)
		return r;
	if (run->restoring && !step->undo_attempts)
		return 0; /* cancelled while the question was being written */
	if (!strcmp(question, "unknown") && step->status == STEP_UNKNOWN)
		step->wait_for = WAIT_UNKNOWN;
	else if (!strcmp(question, "approval") && step->status == STEP_PENDING)
		step->wait_for = WAIT_APPROVAL;
	else
		return cannot_follow(entry, err, "there is nothing to ask");
	update_waiting(run);
	return 0;
}

static void answer_unknown(struct run *run, struct run_step *step, const struct entry *entry, const char *answer)
{
	bool undoing = step->undo_attempts > 0;

	if (!strcmp(answer, "done")) {
		step->status = undoing ? STEP_UNDONE : STEP_DONE;
	} else if (undoing && !strcmp(answer, "reject")) {
		step->status = STEP_UNDO_FAILED;
		keep_cause(run, step, step->code, step->message);
	} else if (undoing && (!strcmp(answer, "retry") || !strcmp(answer, "restore"))) {
		step->status = STEP_FAILED;
	} else if (!undoing && !strcmp(answer, "retry")) {
		step->status = STEP_PENDING;
	} else if (!undoing && !strcmp(answer, "restore")) {
		keep_cause(run, step, step->code, step->message);
		begin_restoring(run);
	} else {
		return;
	}
	step->wait_for = WAIT_NOTHING;
	step->not_before_ms = 0;
}

int64_t run_step_approvals(const struct run_step *step)
{
	return json_int(step->step->parameters, "approvals", 1);
}

/* Each person once. True when there are enough. */
static bool count_approver(struct run *run, struct run_step *step, const struct entry *entry)
{
	const char *name = entry->actor ? entry->actor : "", *person = json_str(entry->data, "principal", name);

	for (size_t i = 0; i < step->approver_count; i++)
		if (!strcmp(step->approvers[i], person))
			return false;
	step->approvers = mem_resize(run, step->approvers, const char *, step->approver_count + 1);
	step->approvers[step->approver_count++] = person;
	step->approved_by = step->approved_by ? mem_printf(run, "%s, %s", step->approved_by, name) : name;
	return (int64_t)step->approver_count >= run_step_approvals(step);
}

static void answer_approval(struct run *run, struct run_step *step, const struct entry *entry, const char *answer)
{
	if (strcmp(answer, "approve") != 0 && strcmp(answer, "reject") != 0)
		return;
	if (!strcmp(answer, "approve") && !count_approver(run, step, entry))
		return;
	step->wait_for = WAIT_NOTHING;
	step->attempts = 1;
	step->begun_ms = step->begun_ms ? step->begun_ms : entry->wall_ms;
	step->ended_ms = entry->wall_ms;
	if (!strcmp(answer, "approve")) {
		step->approved = true;
		step->status = STEP_DONE;
		step->outputs = json_keep(run, json_pack("{s:s}", "approvedBy", step->approved_by));
		return;
	}
	step->code = ERR_REFUSED;
	step->message = mem_printf(run, "not approved by %s%s%s", entry->actor ? entry->actor : "somebody",
		json_str(entry->data, "reason", NULL) ? ": " : "", json_str(entry->data, "reason", ""));
	fail_for_good(run, step);
}

static int answered(struct run *run, const struct entry *entry, struct err *err)
{
	const char *answer = json_str(entry->data, "answer", "");
	struct run_step *step = run_step(run, json_str(entry->data, "step", NULL));

	if (!step || run_status_ended(run->status))
		return 0;
	if (step->wait_for == WAIT_UNKNOWN)
		answer_unknown(run, step, entry, answer);
	else if (step->wait_for == WAIT_APPROVAL)
		answer_approval(run, step, entry, answer);
	update_waiting(run);
	return 0;
}

static int cancel(struct run *run, const struct entry *entry, struct err *err)
{
	const char *reason = json_str(entry->data, "reason", NULL);

	if (run_status_ended(run->status) || run->cancelled)
		return 0;
	run->cancelled = true;
	keep_cause(run, NULL, ERR_CANCELLED,
		mem_printf(run, "cancelled by %s%s%s", entry->actor ? entry->actor : "somebody", reason ? ": " : "", reason ? reason : ""));
	begin_restoring(run);
	return 0;
}

static int run_ended(struct run *run, const struct entry *entry, struct err *err)
{
	enum run_status status;
	int r;

	r = run_status_parse(json_str(entry->data, "status", NULL), &status, err);
	if (r < 0 || !run_status_ended(status))
		return cannot_follow(entry, err, "it has no status that ends a run");
	if (status != RUN_COMPLETED &&
		json_str(entry->data, "message",
			NULL)) /* the end may have a cause that no step had, such as a snapshot that could not be written */
		keep_cause(run, NULL, err_from_name(json_str(entry->data, "code", "failed")), json_str(entry->data, "message", NULL));
	run->status = status;
	run->ended = entry->data;
	run->ended_ms = entry->wall_ms;
	for (size_t i = 0; i < run->plan->step_count; i++) {
		run->steps[i].wait_for = WAIT_NOTHING;
		if (run->steps[i].status == STEP_PENDING) /* a retry that was still to come never will */
			run->steps[i].status = run->steps[i].touched ? STEP_FAILED : STEP_SKIPPED;
	}
	return 0;
}

static const struct {
	const char *kind;
	bool late; /* may come after the end */
	int (*fold)(struct run *run, const struct entry *entry, struct err *err);
} folds[] = {
	{ ENTRY_RUN_REQUESTED, false, requested },
	{ ENTRY_RUN_STARTED, false, started },
	{ ENTRY_STEP_CAPTURED, false, captured },
	{ ENTRY_SNAPSHOT_TAKEN, false, snapshot_taken },
	{ ENTRY_STEP_BEGUN, false, begun },
	{ ENTRY_STEP_ENDED, false, ended },
	{ ENTRY_RUN_WAITING, false, waiting },
	{ ENTRY_RUN_ANSWERED, true, answered },
	{ ENTRY_RUN_CANCEL, true, cancel },
	{ ENTRY_RUN_ENDED, false, run_ended },
};

int run_apply(struct run *run, const struct entry *entry, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(folds); i++) {
		if (strcmp(folds[i].kind, entry->kind) != 0)
			continue;
		/* What its restores took away is kept with its end, as a snapshot of its own. */
		if (run_status_ended(run->status) && folds[i].fold == snapshot_taken &&
			strcmp(json_str(entry->data, "snapshot", run->id), run->id) != 0)
			return 0;
		if (!folds[i].late && run_status_ended(run->status))
			return cannot_follow(entry, err, "the run has ended");
		json_keep(run, json_incref(entry->data));
		return folds[i].fold(run, entry, err);
	}
	return 0;
}

/* Subjects, who captures them, and the chain of steps on each, along the topological order. */
static int lay_out_steps(struct run *run, const struct entry *entry, struct err *err)
{
	const struct plan *plan = run->plan;
	struct graph *graph = graph_new(run, plan->step_count);
	json_t *last = json_keep(graph, json_object());
	size_t *cycle, cycle_count;

	for (size_t i = 0; i < plan->step_count; i++)
		for (size_t n = 0; n < plan->steps[i].need_count; n++)
			graph_need(graph, i, plan->steps[i].needs[n]);
	if (!graph_order(run, graph, &run->order, &cycle, &cycle_count))
		return cannot_follow(entry, err, "the plan has a cycle");
	run->steps = mem_array(run, struct run_step, plan->step_count);
	run->index = json_keep(run, json_object());
	for (size_t i = 0; i < plan->step_count; i++) {
		size_t index = run->order[i];
		struct run_step *step = &run->steps[index];
		json_t *before;

		step->step = &plan->steps[index];
		step->calling = step->acted = VERB_NONE;
		step->subject = step_subject(run, step->step);
		json_object_set_new(run->index, step->step->id, json_integer((json_int_t)index));
		if (!step->subject)
			continue;
		before = json_object_get(last, step->subject);
		step->previous = before ? &run->steps[json_integer_value(before)] : NULL;
		step->captures = !before;
		json_object_set_new(last, step->subject, json_integer((json_int_t)index));
	}
	talloc_free(graph);
	return 0;
}

static int run_begin(const void *ctx, const struct entry *entry, struct run **ret, struct err *err)
{
	struct run *run;
	struct problems *problems;
	json_t *data = entry->data;
	struct doc *doc;
	int r;

	if (strcmp(entry->kind, ENTRY_RUN_REQUESTED) != 0 || !entry->run || !entry->environment)
		return cannot_follow(entry, err, "a run begins with its request");
	if (!json_is_object(json_object_get(data, "plan")))
		return cannot_follow(entry, err, "it has no plan");
	run = mem_zero(ctx, struct run);
	run->requested = json_keep(run, json_incref(data));
	run->id = mem_strdup(run, entry->run);
	run->environment = mem_strdup(run, entry->environment);
	run->actor = mem_strdup(run, entry->actor);
	run->reason = json_str(data, "reason", "");
	run->undo_of = json_str(data, "undoOf", NULL);
	run->from = json_str(data, "from", NULL);
	run->to = json_str(data, "to", NULL);
	run->plan_hash = json_str(data, "planHash", NULL);
	run->expected = json_object_get(data, "expected");
	run->context = json_object_get(data, "context");
	run->requested_ms = entry->wall_ms;
	doc = doc_wrap(run, "plan", json_object_get(data, "plan"));
	problems = problems_new(run, doc);
	run->plan = plan_read(run, doc, problems);
	r = problems_result(problems, err);
	if (r < 0) {
		err_in(err, "entry %lld: the plan of %s", (long long)entry->seq, run->id);
		r = err_as(err, ERR_CORRUPT);
	} else {
		r = lay_out_steps(run, entry, err);
	}
	if (r < 0) {
		talloc_free(run);
		return r;
	}
	*ret = run;
	return 0;
}

int run_fold(const void *ctx, const struct entry *entries, size_t count, struct run **ret, struct err *err)
{
	struct run *run = NULL;
	int r;

	if (!count)
		return err_set(err, ERR_NOT_FOUND, "there is no such run");
	r = run_begin(ctx, &entries[0], &run, err);
	if (r < 0)
		return r;
	for (size_t i = 1; i < count; i++) {
		r = run_apply(run, &entries[i], err);
		if (r < 0) {
			talloc_free(run);
			return r;
		}
	}
	*ret = run;
	return 0;
}
