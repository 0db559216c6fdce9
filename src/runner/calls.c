/* The runner and its workers: a decision becomes work, its result becomes an outcome. What a result means is decided by engine_outcome;
 * here it is only written down.
 *
 * Outcomes gather in an outbox and are committed together when no more results are at hand; those of captures wait for the captures that
 * are still in flight, because repeating one after a crash does no
 * harm. Until then the step counts as being called. One thread. */
#include "runner/inner.h"

#include <string.h>

#include "base/failpoint.h"
#include "data/json.h"

bool active_has_flight(const struct active *a, const struct run_step *step)
{
	for (size_t i = 0; i < a->flight_count; i++)
		if (a->flights[i].step == step)
			return true;
	return false;
}

int active_start(struct active *a, struct work *work, const struct flight *flight, struct err *err)
{
	struct executor *executor = a->runner->executor;
	int r;

	if (active_mono(a) >= a->claim.safe_until_ms)
		return err_set(err, ERR_TIMEOUT, "the lease on the environment was not renewed in time");
	assert_always(a->flight_count < ARRAY_SIZE(a->flights));
	work->id = ++a->last_id;
	r = executor->ops->start(executor, work, err);
	if (r < 0)
		return r;
	a->flights[a->flight_count] = *flight;
	a->flights[a->flight_count++].id = work->id;
	return 0;
}

void active_outcome(struct active *a, struct run_step *step, enum verb verb, enum outcome outcome, enum err_code code, const char *message,
	bool retryable, json_t *extra)
{
	int attempt = verb == VERB_CAPTURE ? step->capture_failures + 1 : (verb == VERB_UNDO ? step->undo_attempts : step->attempts);
	struct memory *memory = active_memory(a, step);
	json_t *data = json_make(a->ctx, "{s:s, s:s, s:i, s:s}", "step", step->step->id, "verb", verb_name(verb), "attempt", attempt,
		"outcome", outcome_name(outcome));

	if (outcome != OUTCOME_DONE) {
		json_put_str(data, "code", err_info(code)->name);
		json_put_str(data, "message", message);
	}
	if (outcome == OUTCOME_FAILED)
		json_put_flag(data, "retryable", retryable);
	if (memory->begun_ms)
		json_put_int(data, "durationMs", active_mono(a) - memory->begun_ms);
	if (json_array_size(memory->logs))
		json_put(data, "logs", memory->logs);
	if (extra)
		json_object_update(data, extra);
	a->outbox = mem_resize(a->ctx, a->outbox, struct entry, a->outbox_count + 1);
	a->outbox[a->outbox_count++] = active_entry(a, ENTRY_STEP_ENDED, data);
	*memory = (struct memory){ 0 };
}

static bool captures_in_flight(const struct active *a)
{
	for (size_t i = 0; i < a->flight_count; i++)
		if (a->flights[i].verb == VERB_CAPTURE)
			return true;
	return false;
}

static void pass_failpoints(const struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(entries[i].kind, ENTRY_STEP_CAPTURED))
			FAILPOINT("step.captured_committed");
		else if (!strcmp(json_str(entries[i].data, "verb", ""), "undo"))
			FAILPOINT("undo.outcome_committed");
		else
			FAILPOINT("step.outcome_committed");
	}
}

int active_flush(struct active *a, struct err *err)
{
	struct entry *entries = a->outbox;
	size_t count = a->outbox_count;
	int r;

	if (!count || captures_in_flight(a))
		return 0;
	a->outbox = NULL;
	a->outbox_count = 0;
	r = active_commit_soon(a, entries, count, err);
	if (r == 0)
		pass_failpoints(entries, count);
	return r;
}

/* ---- making a call ---- */

/* It could not be made: nothing was done. */
static void not_made(struct active *a, const struct decision *decision, const struct err *why, bool retryable)
{
	struct run_step *step = decision->step;
	json_t *extra = decision->again ? NULL : json_make(a->ctx, "{s:b}", "notBegun", 1);
	struct call_end end = { .verb = VERB_OBSERVE, .code = why->code };

	if (decision->verb != VERB_OBSERVE) {
		step->calling = decision->verb; /* until it is committed */
		active_outcome(a, step, decision->verb, OUTCOME_FAILED, why->code, why->text, retryable,
			decision->verb == VERB_CAPTURE ? NULL : extra);
	} else if (engine_outcome(a->run, step, &end, active_wall(a)) == OUTCOME_UNKNOWN) {
		step->calling = VERB_OBSERVE;
		active_outcome(a, step, step->status == STEP_UNDOING ? VERB_UNDO : VERB_APPLY, OUTCOME_UNKNOWN, why->code, why->text, false,
			NULL);
	}
}

static bool is_called_off(const struct active *a, const struct decision *decision)
{
	return a->run->restoring && (decision->verb == VERB_APPLY || decision->verb == VERB_CAPTURE);
}

struct layout {
	struct runner *runner;
	json_t *request;
	bool failed; /* the laying out itself, not the claim */
};

static int lay_out_in_background(void *user, struct err *err)
{
	struct layout *layout = user;
	int r = layout->runner->lay_out(layout->runner->user, layout->request, err);

	layout->failed = r < 0;
	return r;
}

/* What the call reads is laid out. *why: that cannot be done, and the call is not made; an error: the claim is lost. */
static int make_ready(struct active *a, struct work *work, struct err *why, struct err *err)
{
	struct layout layout = { .runner = a->runner, .request = work->request };
	int64_t before_ms = active_mono(a);
	struct err trouble = ERR_INIT;
	int r;

	if (!a->runner->resolve)
		return 0;
	r = a->runner->resolve(a->runner->user, a->run, work->request, why);
	if (r <= 0)
		return 0;
	r = active_in_background(a, lay_out_in_background, &layout, &trouble);
	if (r < 0 && !layout.failed) {
		*err = trouble;
		return r;
	}
	*why = trouble;
	work->deadline_ms += active_mono(a) - before_ms;
	return 0;
}

int active_call(struct active *a, const struct decision *decision, struct err *err)
{
	struct run_step *step = decision->step;
	struct memory *memory = active_memory(a, step);
	struct flight flight = { .step = step, .verb = decision->verb };
	struct err why = ERR_INIT;
	struct work work;
	int r;

	if (decision->verb == VERB_CAPTURE && is_called_off(a, decision))
		return 0;
	if (is_called_off(a, decision)) {
		err_set(&why, ERR_CANCELLED, "not begun: the run is being taken back");
		not_made(a, decision, &why, false);
		return 0;
	}
	if (decision->again) {
		r = active_keep_claim(a, true, err);
		if (r < 0)
			return r;
	}
	r = call_build(a->ctx, a->run, step, decision->verb, a->runner->environment, &a->runner->places, active_mono(a), &work, &why);
	if (r < 0) {
		not_made(a, decision, &why, false);
		return 0;
	}
	flight.target = json_object_get(work.request, "target");
	r = make_ready(a, &work, &why, err);
	if (r < 0)
		return r;
	if (why.code != ERR_NONE || active_start(a, &work, &flight, &why) < 0) {
		not_made(a, decision, &why, true);
		return 0;
	}
	step->calling = decision->verb;
	step->stopping = false;
	if (!memory->begun_ms)
		memory->begun_ms = active_mono(a);
	return 0;
}

/* ---- results ---- */

static void keep_logs(struct active *a, struct memory *memory, json_t *logs)
{
	if (!json_array_size(logs))
		return;
	if (!memory->logs)
		memory->logs = json_keep(a->ctx, json_array());
	json_array_extend(memory->logs, logs);
}

/* A capture that did not say what it saw: look. */
static void look_after_capture(struct active *a, struct run_step *step)
{
	struct flight flight = { .step = step, .verb = VERB_CAPTURE, .looking = true };
	struct err why = ERR_INIT;
	struct work work;
	int r;

	r = call_build(a->ctx, a->run, step, VERB_OBSERVE, a->runner->environment, &a->runner->places, active_mono(a), &work, &why);
	if (r == 0) {
		/* The question is what is there, not whether the goal is reached. */
		(void)json_object_del(work.request, "target");
		(void)json_object_del(work.request, "sourceDir");
		r = active_start(a, &work, &flight, &why);
	}
	if (r < 0)
		active_outcome(a, step, VERB_CAPTURE, OUTCOME_FAILED, why.code, why.text, true, NULL);
}

static void captured(struct active *a, struct run_step *step, const struct observed *observed)
{
	json_t *seen = json_make(a->ctx, "{}");
	struct memory *memory = active_memory(a, step);

	json_put_str(seen, "version", observed->version);
	json_put_str(seen, "state", observed->state);
	a->outbox = mem_resize(a->ctx, a->outbox, struct entry, a->outbox_count + 1);
	a->outbox[a->outbox_count++] = active_entry(a, ENTRY_STEP_CAPTURED,
		json_make(a->ctx, "{s:s, s:s, s:O, s:i}", "step", step->step->id, "subject", step->subject, "observed", seen, "attempt",
			step->capture_failures + 1));
	*memory = (struct memory){ 0 };
}

static void capture_result(struct active *a, const struct flight *flight, const struct work_result *result)
{
	bool unsupported = !result->result && result->answered && result->err.code == ERR_UNSUPPORTED;
	struct observed observed = { 0 };
	struct run_step *step = flight->step;
	struct err why = ERR_INIT;

	if (step->stopping && !result->result) { /* cancelled: nobody needs it any more */
		step->calling = VERB_NONE;
		step->stopping = false;
		return;
	}
	if (!result->result && !unsupported) {
		active_outcome(a, step, VERB_CAPTURE, OUTCOME_FAILED, result->err.code, result->err.text, result->retryable, NULL);
		return;
	}
	if (result->result && call_read_observation(a->ctx, result->result, &observed, &why) < 0) {
		active_outcome(a, step, VERB_CAPTURE, OUTCOME_FAILED, why.code, why.text, true, NULL);
		return;
	}
	if (!flight->looking && !observed.version && !observed.state)
		look_after_capture(a, step);
	else
		captured(a, step, &observed);
}

static const char *what_stands_there(struct active *a, const struct observed *observed)
{
	if (!observed->version && !observed->state)
		return "";
	return mem_printf(a->ctx, " (it has version '%s'%s%s)", observed->version ? observed->version : "", observed->state ? ", " : "",
		observed->state ? observed->state : "");
}

/* Words for what engine_outcome decided. */
static void write_outcome(struct active *a, struct run_step *step, enum verb verb, enum outcome outcome, const struct work_result *result,
	const struct observed *observed)
{
	struct memory *memory = active_memory(a, step);
	json_t *extra = json_make(a->ctx, "{}"), *seen = json_make(a->ctx, "{}");
	enum err_code code = memory->code;
	const char *message = memory->message;
	bool retryable = memory->message ? memory->retryable : true;

	json_put_str(seen, "version", observed->version);
	json_put_str(seen, "state", observed->state);
	if (json_object_size(seen))
		json_put(extra, "observed", seen);
	if (step->acted == VERB_NONE && result->result)
		json_put_flag(extra, "settled", true);
	if (outcome == OUTCOME_DONE && verb == VERB_APPLY)
		json_put(extra, "outputs", memory->outputs ? memory->outputs : json_make(a->ctx, "{}"));
	if (outcome == OUTCOME_FAILED && !message) {
		code = step->acted != VERB_NONE ? ERR_DRIVER : ERR_CANCELLED;
		message = step->acted != VERB_NONE
			? mem_printf(a->ctx, "the driver said that it was done, but %s is not where it should be%s", step->subject,
				  what_stands_there(a, observed))
			: "it had no effect, and the run is being taken back";
	}
	if (outcome == OUTCOME_UNKNOWN) {
		code = result->result || !result->err.code ? ERR_UNSUPPORTED : result->err.code;
		message = mem_printf(a->ctx, "nobody can tell whether %s of step '%s' took effect%s%s%s%s", verb_name(verb), step->step->id,
			message ? ": " : "", message ? message : "",
			result->result ? "" : "; looking failed: ", result->result ? "" : result->err.text);
	}
	active_outcome(a, step, verb, outcome, code, message, retryable, extra);
}

static void remember(struct active *a, struct run_step *step, const struct work_result *result)
{
	struct memory *memory = active_memory(a, step);
	json_t *outputs;

	memory->code = ERR_NONE;
	memory->message = NULL;
	if (!result->result) {
		memory->code = result->err.code;
		memory->message = mem_strdup(a->ctx, result->err.text);
		memory->retryable = result->retryable;
		return;
	}
	outputs = json_object_get(result->result, "outputs");
	memory->outputs = json_is_object(outputs) ? outputs : result->result;
}

static void act_or_look_result(struct active *a, const struct flight *flight, struct work_result *result)
{
	struct run_step *step = flight->step;
	enum verb verb = step->status == STEP_UNDOING ? VERB_UNDO : VERB_APPLY;
	struct call_end end = { .verb = flight->verb,
		.ok = result->result != NULL,
		.answered = result->answered,
		.code = result->err.code };
	struct observed observed = { .healthy = -1, .at_target = -1 };
	enum verb was = step->calling;
	enum outcome outcome;

	if (flight->verb != VERB_OBSERVE) {
		remember(a, step, result);
		if (flight->verb == VERB_UNDO)
			FAILPOINT("undo.acted");
		else
			FAILPOINT("step.applied");
	} else if (end.ok) {
		if (call_read_observation(a->ctx, result->result, &observed, &result->err) < 0) {
			end.ok = false;
			result->result = NULL;
		} else {
			end.at_goal = call_at_goal(step, flight->target, &observed);
		}
		FAILPOINT("step.observed");
	}
	outcome = engine_outcome(a->run, step, &end, active_wall(a));
	if (outcome == OUTCOME_NONE)
		return;
	step->calling = was; /* until it is committed */
	write_outcome(a, step, verb, outcome, result, &observed);
}

int active_result(struct active *a, struct work_result *result, struct err *err)
{
	struct flight flight;
	size_t i = 0;

	while (i < a->flight_count && a->flights[i].id != result->id)
		i++;
	if (i == a->flight_count)
		return 0; /* said twice */
	flight = a->flights[i];
	a->flights[i] = a->flights[--a->flight_count];
	if (flight.verb == VERB_NONE) {
		health_result(a, &flight, result);
		return 0;
	}
	a->spent_ms[flight.looking ? VERB_OBSERVE : flight.verb] += result->duration_ms;
	keep_logs(a, active_memory(a, flight.step), result->logs);
	if (flight.verb == VERB_CAPTURE)
		capture_result(a, &flight, result);
	else
		act_or_look_result(a, &flight, result);
	return 0;
}
