/* The loop of a run: keep the claim, look for what others wrote, ask the engine, carry out, wait. What goes to the journal is in
 * journal.c, what goes to workers in calls.c, health steps are
 * in health.c; docs/engine.md tells how a run lives and recovers.
 *
 * Whatever fails on the way, the answer is the same: stop the calls in flight, say why, and leave the run as the journal has it; whoever
 * takes it up next settles what was begun. One thread per run. */
#include "runner/inner.h"

#include <string.h>

#include "base/failpoint.h"
#include "base/id.h"
#include "data/json.h"

#define LEASE_DEFAULT_MS    15000
#define PATIENCE_DEFAULT_MS 30000
#define DRAIN_MS            10000
#define HALTED_PAUSE_MS     100
#define LOOK_MS             500

static bool is_interrupted(const struct active *a)
{
	return a->runner->interrupted && a->runner->interrupted(a->runner->user);
}

static int commit_one(struct active *a, const char *kind, json_t *data, struct err *err)
{
	struct entry entry = active_entry(a, kind, data);

	return active_commit(a, &entry, 1, err);
}

/* ---- decisions ---- */

/* Apply, undo and probe have an intent; those of one round of decisions are committed together. */
static bool needs_intent(const struct decision *decision)
{
	return (decision->kind == DECIDE_PROBE ||
		       (decision->kind == DECIDE_CALL && (decision->verb == VERB_APPLY || decision->verb == VERB_UNDO))) &&
		!decision->again;
}

static int commit_intents(struct active *a, const struct decision *decisions, size_t count, struct err *err)
{
	struct entry entries[ENGINE_DECISIONS_MAX];
	size_t intents = 0;
	int r;

	for (size_t i = 0; i < count; i++) {
		const struct decision *d = &decisions[i];

		if (!needs_intent(d))
			continue;
		entries[intents++] = active_entry(a, ENTRY_STEP_BEGUN,
			json_make(a->ctx, "{s:s, s:s, s:i, s:s}", "step", d->step->step->id, "verb", verb_name(d->verb), "attempt",
				d->attempt, "key", call_key(a->ctx, a->run, d->step, d->verb, d->attempt)));
	}
	if (!intents)
		return 0;
	r = active_commit(a, entries, intents, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!needs_intent(&decisions[i]))
			continue;
		if (decisions[i].verb == VERB_UNDO)
			FAILPOINT("undo.intent_committed");
		else
			FAILPOINT("step.intent_committed");
	}
	return r;
}

static int end_run(struct active *a, enum run_status status, enum err_code code, const char *message, struct err *err)
{
	struct runner *runner = a->runner;
	struct entry ended, *more = NULL, *all;
	struct run *run = a->run;
	size_t count = 0;
	json_t *data;
	int r;

	if (runner->executor->ops->rest)
		runner->executor->ops->rest(runner->executor);
	data = json_make(a->ctx, "{s:s, s:b, s:{s:I, s:I, s:I, s:I}}", "status", run_status_name(status), "changed", run->changed, "phases",
		"capture", (json_int_t)a->spent_ms[VERB_CAPTURE], "apply", (json_int_t)a->spent_ms[VERB_APPLY], "verify",
		(json_int_t)a->spent_ms[VERB_OBSERVE], "undo", (json_int_t)a->spent_ms[VERB_UNDO]);
	if (status != RUN_COMPLETED) {
		json_put_str(data, "code", err_info(code)->name);
		json_put_str(data, "step", run->failed_step);
		json_put_str(data, "message", message);
	}
	ended = active_entry(a, ENTRY_RUN_ENDED, data);
	ended.wall_ms = active_wall(a);
	if (runner->accompany) {
		r = runner->accompany(runner->user, a->ctx, run, &ended, &more, &count, err);
		if (r < 0)
			return err_in(err, "what belongs to the end of run %s", run->id);
	}
	all = mem_array(a->ctx, struct entry, count + 1);
	all[0] = ended;
	for (size_t i = 0; i < count; i++)
		all[i + 1] = more[i];
	FAILPOINT("run.before_end");
	r = active_commit(a, all, count + 1, err);
	if (r == 0)
		FAILPOINT("run.ended_committed");
	return r;
}

/* A last look: a cancellation that came before the end is still heard. */
static int end_if_nobody_objects(struct active *a, enum run_status status, struct err *err)
{
	unsigned foreign = a->foreign;
	int r;

	r = active_poll(a, false, err);
	if (r < 0 || a->foreign != foreign)
		return r;
	return end_run(a, status, a->run->code, a->run->message, err);
}

struct sealing {
	struct active *active;
	json_t *details;
	bool refused; /* by the hook, not by a lost claim */
};

static int seal_in_background(void *user, struct err *err)
{
	struct sealing *sealing = user;
	struct runner *runner = sealing->active->runner;
	int r = runner->seal(runner->user, sealing->active->run, sealing->details, err);

	sealing->refused = r < 0;
	return r;
}

static int seal(struct active *a, struct err *err)
{
	struct runner *runner = a->runner;
	json_t *details = json_make(a->ctx, "{s:s}", "snapshot", a->run->id);
	struct sealing sealing = { .active = a, .details = details };
	struct err why = ERR_INIT;
	int r = runner->seal ? active_in_background(a, seal_in_background, &sealing, &why) : 0;

	if (r < 0 && !sealing.refused) {
		*err = why;
		return r;
	}
	if (r < 0) {
		/* Without a snapshot there is no way back, so there is no way forward either. */
		err_in(&why, "the snapshot could not be written");
		return end_run(a, RUN_REFUSED, why.code, mem_strdup(a->ctx, why.text), err);
	}
	FAILPOINT("snapshot.sealed");
	r = commit_one(a, ENTRY_SNAPSHOT_TAKEN, details, err);
	if (r == 0)
		FAILPOINT("snapshot.taken_committed");
	return r;
}

/* What a notification step says goes to the outbox together with the step's end: it is delivered in the background. */
static int notify(struct active *a, const struct decision *decision, struct err *err)
{
	struct run_step *step = decision->step;
	struct err why = ERR_INIT;
	struct entry entries[2];
	json_t *parameters, *queued;
	size_t count = 0;

	if (call_parameters(a->ctx, a->run, step, &parameters, &why) < 0) {
		entries[count++] = active_entry(a, ENTRY_STEP_ENDED,
			json_make(a->ctx, "{s:s, s:s, s:i, s:s, s:s, s:s, s:b}", "step", step->step->id, "verb", "apply", "attempt",
				decision->attempt, "outcome", "failed", "code", err_info(why.code)->name, "message", why.text, "retryable",
				0));
		return active_commit(a, entries, count, err);
	}
	queued = json_make(a->ctx, "{s:s, s:s}", "notification", id_new(a->ctx, "ntf"), "event", "step");
	json_put(queued, "channel", json_object_get(parameters, "channel"));
	json_put(queued, "recipients", json_object_get(parameters, "recipients"));
	json_put(queued, "message", json_object_get(parameters, "message"));
	json_put(queued, "details", json_object_get(parameters, "details"));
	entries[count++] = active_entry(a, ENTRY_NOTIFICATION_QUEUED, queued);
	entries[count++] = active_entry(a, ENTRY_STEP_ENDED,
		json_make(a->ctx, "{s:s, s:s, s:i, s:s, s:{}}", "step", step->step->id, "verb", "apply", "attempt", decision->attempt,
			"outcome", "done", "outputs"));
	return active_commit(a, entries, count, err);
}

static int ask(struct active *a, const struct decision *decision, struct err *err)
{
	const char *message = decision->step->message, *question = "unknown";
	json_t *data, *parameters;
	struct err ignored = ERR_INIT;

	if (decision->question == WAIT_APPROVAL) {
		question = "approval";
		message = decision->step->step->name;
		if (call_parameters(a->ctx, a->run, decision->step, &parameters, &ignored) == 0)
			message = json_str(parameters, "message", message);
	}
	data = json_make(a->ctx, "{s:s, s:s}", "step", decision->step->step->id, "question", question);
	json_put_str(data, "message", message);
	return commit_one(a, ENTRY_RUN_WAITING, data, err);
}

static void stop_call(struct active *a, struct run_step *step)
{
	struct executor *executor = a->runner->executor;

	step->stopping = true;
	for (size_t i = 0; i < a->flight_count; i++) {
		if (a->flights[i].step != step || a->flights[i].halted)
			continue;
		a->flights[i].halted = true;
		executor->ops->stop(executor, a->flights[i].id);
	}
}

static int carry_out(struct active *a, const struct decision *decision, struct err *err)
{
	switch (decision->kind) {
	case DECIDE_CALL:
		return active_call(a, decision, err);
	case DECIDE_SEAL:
		return seal(a, err);
	case DECIDE_NOTIFY:
		return notify(a, decision, err);
	case DECIDE_PROBE:
		health_begin(a, decision->step);
		return 0;
	case DECIDE_ASK:
		return ask(a, decision, err);
	case DECIDE_STOP_CALL:
		stop_call(a, decision->step);
		return 0;
	case DECIDE_END:
		return end_if_nobody_objects(a, decision->status, err);
	case DECIDE_WAIT:
		return 0;
	}
	return 0;
}

/* Decisions that write something else than an intent; after one of them the engine is asked again, because what others wrote in the
 * meantime may have changed its mind. */
static bool is_final(const struct decision *decision)
{
	return decision->kind == DECIDE_SEAL || decision->kind == DECIDE_NOTIFY || decision->kind == DECIDE_ASK ||
		decision->kind == DECIDE_END;
}

static bool any_acts(const struct decision *decisions, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!is_final(&decisions[i]) && decisions[i].kind != DECIDE_WAIT)
			return true;
	return false;
}

/* Calls first: their intents stand already, and nothing may come between. *ret_wait_ms: monotonic time until which nothing is to be
 * decided; 0: ask again at once. */
static int decide(struct active *a, int64_t *ret_wait_ms, struct err *err)
{
	struct decision decisions[ENGINE_DECISIONS_MAX];
	int64_t wall_ms = active_wall(a);
	size_t count;
	int r;

	*ret_wait_ms = 0;
	count = engine_next(a->run, wall_ms, decisions);
	r = commit_intents(a, decisions, count, err);
	if (r == 0 && any_acts(decisions, count)) /* intents have settled what was before them, and what is final brings its own entry */
		r = active_settle(a, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (!is_final(&decisions[i]))
			r = carry_out(a, &decisions[i], err);
	if (r == 0)
		r = active_flush(a, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (is_final(&decisions[i]))
			return carry_out(a, &decisions[i], err);
		if (decisions[i].kind == DECIDE_WAIT)
			*ret_wait_ms = decisions[i].until_ms ? active_mono(a) + MAX(decisions[i].until_ms - wall_ms, 1) : INT64_MAX;
	}
	return r;
}

/* ---- waiting ---- */

static int take_late_results(struct active *a, struct err *err)
{
	struct work_result *late = a->late;
	size_t count = a->late_count;
	int r = 0;

	a->late = NULL;
	a->late_count = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = active_result(a, &late[i], err);
	return r;
}

/* Waits for a call to end, at most until `until_ms`, then takes all that have ended. */
static int wait_for_calls(struct active *a, int64_t until_ms, struct err *err)
{
	struct executor *executor = a->runner->executor;
	struct work_result result;
	int r;

	if (a->late_count)
		until_ms = 0;
	r = take_late_results(a, err);
	while (r == 0) {
		r = executor->ops->wait(executor, a->ctx, until_ms, &result, err);
		if (r <= 0)
			break;
		/* After a long silence (a machine that was suspended) the lease may be over: see to it before anything else. */
		if (active_mono(a) >= a->claim.safe_until_ms)
			active_halt(a);
		r = active_result(a, &result, err);
		until_ms = 0;
	}
	if (r == 0 && active_mono(a) < a->claim.safe_until_ms)
		r = active_flush(a, err);
	return r;
}

/* Calls that were told to end may take a moment. What they say is not written down any more. */
static void drain(struct active *a)
{
	struct executor *executor = a->runner->executor;
	int64_t until_ms = active_mono(a) + DRAIN_MS;
	struct err ignored = ERR_INIT;
	struct work_result result;
	int r;

	active_halt(a);
	for (size_t i = 0; i < a->late_count; i++)
		for (size_t n = 0; n < a->flight_count; n++)
			if (a->flights[n].id == a->late[i].id)
				a->flights[n] = a->flights[--a->flight_count];
	while (a->flight_count) {
		r = executor->ops->wait(executor, a->ctx, until_ms, &result, &ignored);
		if (r < 0 || (r == 0 && active_mono(a) >= until_ms))
			return;
		for (size_t n = 0; r > 0 && n < a->flight_count; n++)
			if (a->flights[n].id == result.id)
				a->flights[n] = a->flights[--a->flight_count];
	}
}

static bool is_at_rest(const struct active *a)
{
	return run_status_ended(a->run->status) || (a->run->status == RUN_WAITING && !a->flight_count && !a->outbox_count);
}

static int64_t next_look(const struct active *a, int64_t wait_ms)
{
	int64_t next_ms = MIN(a->polled_ms + LOOK_MS, a->renewed_ms + a->claim.lease_ms / 3);

	next_ms = MIN(next_ms, a->claim.safe_until_ms);
	next_ms = MAX(next_ms, a->renew_after_ms);
	return MIN(MIN(next_ms, wait_ms), health_next_ms(a));
}

/* What is due before the next decision: outcomes, what others wrote, probes. */
static int catch_up_with_all(struct active *a, struct err *err)
{
	int r;

	r = take_late_results(a, err);
	if (r == 0)
		r = active_flush(a, err);
	if (r == 0)
		r = active_poll(a, true, err);
	if (r == 0 && !is_at_rest(a))
		r = health_tick(a, err);
	return r;
}

static int go_on(struct active *a, struct err *err)
{
	int64_t wait_ms;
	int r = 0;

	while (r == 0 && !is_at_rest(a)) {
		if (is_interrupted(a))
			return err_set(err, ERR_CANCELLED, "interrupted; `unship resume %s` goes on", a->run->id);
		r = active_keep_claim(a, false, err);
		if (r == 0 && active_mono(a) >= a->claim.safe_until_ms) {
			/* The lease is over and the store does not answer: act on nothing until it does. */
			r = active_pause(a, HALTED_PAUSE_MS, err);
			continue;
		}
		if (r == 0)
			r = catch_up_with_all(a, err);
		if (r == 0 && is_at_rest(a))
			break;
		if (r == 0)
			r = decide(a, &wait_ms, err);
		if (r == 0 && wait_ms)
			r = active_settle(a, err);
		if (r == 0 && wait_ms)
			r = wait_for_calls(a, next_look(a, wait_ms), err);
	}
	return r;
}

/* ---- live display ---- */

static struct flight *flight_of(struct active *a, uint64_t id)
{
	for (size_t i = 0; i < a->flight_count; i++)
		if (a->flights[i].id == id)
			return &a->flights[i];
	return NULL;
}

static void on_progress(void *user, uint64_t id, double share, const char *message)
{
	struct active *a = user;
	struct flight *flight = flight_of(a, id);

	if (flight && a->run)
		a->runner->watch(a->runner->user, a->run, NULL, flight->step, share, message);
}

static void on_log(void *user, uint64_t id, enum log_level level, const char *message)
{
	if (level >= LOG_INFO)
		on_progress(user, id, -1, message);
}

/* ---- the way in ---- */

static json_t *start_data(const struct active *a)
{
	const char *boot = a->runner->boot;
	json_t *data = json_make(a->ctx, "{s:s, s:b}", "holder", a->claim.holder ? a->claim.holder : "", "resumed", a->run->starts > 0);

	json_put_str(data, "boot", boot);
	if (boot && a->run->boot && strcmp(boot, a->run->boot) != 0)
		json_object_set_new(data, "again", run_steps_lost_with_boot(a->run));
	return data;
}

static int carry_run_out(struct active *a, const char *run_id, struct err *err)
{
	struct journal *journal = a->runner->journal;
	struct err ignored = ERR_INIT;
	int r;

	r = active_claim(a, run_id, err);
	if (r < 0)
		return r;
	FAILPOINT("runner.claimed");
	a->memories = mem_array(a->ctx, struct memory, a->run->plan->step_count);
	if (!is_at_rest(a)) {
		r = commit_one(a, ENTRY_RUN_STARTED, start_data(a), err);
		if (r == 0)
			FAILPOINT("run.started_committed");
		if (r == 0)
			r = go_on(a, err);
	}
	drain(a);
	if (a->unsettled)
		(void)!active_settle(a, &ignored); /* what it says was written; if it is lost with the power, the targets are asked again */
	(void)journal->ops->release(journal, &a->claim, &ignored); /* when it cannot be released, the lease ends by itself */
	return r;
}

int runner_run(struct runner *runner, const void *ctx, const char *run_id, struct run **ret, struct err *err)
{
	struct runner set = *runner;
	struct executor *executor = runner->executor;
	void (*old_progress)(void *, uint64_t, double, const char *) = executor->on_progress;
	void (*old_log)(void *, uint64_t, enum log_level, const char *) = executor->on_log;
	void *old_user = executor->user, *tree = mem_context(ctx);
	struct active *a = mem_zero(tree, struct active);
	int r;

	set.lease_ms = set.lease_ms ? set.lease_ms : LEASE_DEFAULT_MS;
	set.store_patience_ms = set.store_patience_ms ? set.store_patience_ms : PATIENCE_DEFAULT_MS;
	a->runner = &set;
	a->ctx = tree;
	executor->user = a;
	executor->on_progress = set.watch ? on_progress : NULL;
	executor->on_log = set.watch ? on_log : NULL;
	r = carry_run_out(a, run_id, err);
	executor->user = old_user;
	executor->on_progress = old_progress;
	executor->on_log = old_log;
	if (r < 0)
		talloc_free(tree);
	else
		*ret = a->run; /* with what it grew from: both belong to ctx */
	return r;
}
