/* A run as answers and status show it. Pure. */
#include "base/clock.h"
#include "core/run.h"
#include "data/json.h"

static void put_time(json_t *object, const char *key, int64_t wall_ms)
{
	_cleanup_talloc_ char *text = wall_ms ? clock_format(NULL, wall_ms) : NULL;

	json_put_str(object, key, text);
}

/* What each step said: the logs of all its attempts, in order. */
static json_t *collect_logs(const struct entry *entries, size_t count)
{
	json_t *by_step = json_object();

	for (size_t i = 0; i < count; i++) {
		const char *id = json_str(entries[i].data, "step", NULL);
		json_t *logs = json_object_get(entries[i].data, "logs"), *list;

		if (!id || !json_is_array(logs) || strcmp(entries[i].kind, ENTRY_STEP_ENDED) != 0)
			continue;
		list = json_object_get(by_step, id);
		if (!list) {
			list = json_array();
			json_object_set_new(by_step, id, list);
		}
		json_array_extend(list, logs);
	}
	return by_step;
}

static json_t *step_json(const struct run_step *step, json_t *logs)
{
	json_t *object = json_object();

	json_put_str(object, "stepId", step->step->id);
	json_put_str(object, "name", step->step->name);
	json_put_str(object, "type", step->step->type);
	json_put_str(object, "subject", step->subject);
	json_put_str(object, "status", step_status_name(step->status));
	put_time(object, "startTime", step->begun_ms);
	put_time(object, "endTime", step->ended_ms);
	json_put_int(object, "attempts", step->attempts);
	if (step->undo_attempts)
		json_put_int(object, "undoAttempts", step->undo_attempts);
	json_put_str(object, "error", step->message);
	if (step->message)
		json_put_str(object, "code", err_info(step->code)->name);
	json_put(object, "outputs", step->outputs);
	json_object_set_new(object, "logs", logs ? json_incref(logs) : json_array());
	return object;
}

/* The step that people look at: one that is being worked on, else one that is waited for, else the next one. */
static const struct run_step *current_step(const struct run *run)
{
	const struct run_step *asked = NULL, *next = NULL;

	if (run_status_ended(run->status))
		return NULL;
	for (size_t i = 0; i < run->plan->step_count; i++) {
		const struct run_step *step = &run->steps[run->order[i]];

		if (step->status == STEP_BEGUN || step->status == STEP_UNDOING)
			return step;
		if (!asked && step->wait_for != WAIT_NOTHING)
			asked = step;
		if (!next && step->status == STEP_PENDING && !run->restoring)
			next = step;
	}
	return asked ? asked : next;
}

static json_t *waiting_json(const struct run *run)
{
	for (size_t i = 0; i < run->plan->step_count; i++)
		if (run->steps[i].wait_for != WAIT_NOTHING)
			return json_pack("{s:s, s:s}", "step", run->steps[i].step->id, "question",
				run->steps[i].wait_for == WAIT_UNKNOWN ? "unknown" : "approval");
	return json_null();
}

json_t *run_json(const struct run *run, const struct entry *entries, size_t count)
{
	json_t *object = json_object(), *steps = json_array(), *logs = collect_logs(entries, entries ? count : 0);
	const struct run_step *current = current_step(run);
	json_int_t completed = 0;

	for (size_t i = 0; i < run->plan->step_count; i++) {
		completed += run->steps[i].status == STEP_DONE;
		json_array_append_new(steps, step_json(&run->steps[i], json_object_get(logs, run->plan->steps[i].id)));
	}
	json_decref(logs);
	json_put_str(object, "id", run->id);
	json_put_str(object, "planId", run->plan->id);
	json_put_str(object, "environment", run->environment);
	json_put_str(object, "status", run_status_name(run->status));
	put_time(object, "requestedTime", run->requested_ms);
	put_time(object, "startTime", run->started_ms);
	put_time(object, "endTime", run->ended_ms);
	json_put_str(object, "from", run->from);
	json_put_str(object, "to", run->to);
	json_put_str(object, "undoOf", run->undo_of);
	json_put_str(object, "actor", run->actor);
	json_put_str(object, "reason", run->reason);
	json_put(object, "context", run->context);
	json_object_set_new(object, "steps", steps);
	json_object_set_new(object, "currentStep", current ? json_string(current->step->id) : json_null());
	json_object_set_new(object, "stepsCompleted", json_integer(completed));
	json_object_set_new(object, "stepsTotal", json_integer((json_int_t)run->plan->step_count));
	json_put_flag(object, "cancelled", run->cancelled);
	json_put_flag(object, "restoring", run->restoring);
	json_put_flag(object, "changed", run->changed);
	json_object_set_new(object, "error", run->message ? json_string(run->message) : json_null());
	if (run->code)
		json_put_str(object, "code", err_info(run->code)->name);
	json_put_str(object, "failedStep", run->failed_step);
	json_object_set_new(object, "waiting", waiting_json(run));
	return object;
}
