/* run.c: what follows from entries, and which entries cannot follow. */
#include "life.h"

static void subjects_and_chains(void **state)
{
	struct life life = life_begin("restore", "[" A ", " B ", " C ", {id: h, type: health}]");
	struct run *run = life.run;

	assert_string_equal(run->steps[0].subject, "component api");
	assert_true(run->steps[0].captures && run->steps[1].captures);
	assert_false(run->steps[2].captures);
	assert_ptr_equal(run->steps[2].previous, &run->steps[0]);
	assert_null(run->steps[3].subject);
	assert_int_equal(run->status, RUN_PENDING);
	life_end(&life);
}

/* `previous` follows the graph, not the order of the file. */
static void chain_follows_the_graph(void **state)
{
	struct life life = life_begin("restore",
		"["
		"{id: late, type: service, needs: [early], parameters: {service: api, action: start}},"
		"{id: early, type: service, parameters: {service: api, action: stop}}]");

	assert_true(run_step(life.run, "early")->captures);
	assert_ptr_equal(run_step(life.run, "late")->previous, run_step(life.run, "early"));
	life_end(&life);
}

static void a_whole_life(void **state)
{
	struct life life = life_begin("restore", "[" A "]");
	struct run_step *step = &life.run->steps[0];

	life_ready(&life);
	assert_int_equal(life.run->status, RUN_IN_PROGRESS);
	assert_false(life.run->changed);
	life_begun(&life, "a", "apply", 1);
	assert_int_equal(step->status, STEP_BEGUN);
	assert_true(step->touched && life.run->changed);
	life_ended(&life, "a", "apply", 1, "done");
	assert_int_equal(step->status, STEP_DONE);
	life_add(&life, ENTRY_RUN_ENDED, "{status: completed}");
	assert_int_equal(life.run->status, RUN_COMPLETED);
	assert_int_equal(run_status_exit_code(life.run->status), 0);
	/* Too late, and nobody's fault. */
	life_add(&life, ENTRY_RUN_CANCEL, "{}");
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: a, answer: done}");
	life_add(&life, ENTRY_NOTIFICATION_QUEUED, "{notification: n}");
	assert_int_equal(life.run->status, RUN_COMPLETED);
	assert_false(life.run->cancelled);
	life_refuse(&life, ENTRY_RUN_STARTED, "{}");
	life_end(&life);
}

static void what_cannot_follow(void **state)
{
	struct life life = life_begin("restore", "[" A "]");

	life_refuse(&life, ENTRY_RUN_REQUESTED, "{}");
	life_refuse(&life, ENTRY_STEP_BEGUN, "{step: a, verb: apply, attempt: 1}"); /* before the snapshot */
	life_refuse(&life, ENTRY_SNAPSHOT_TAKEN, "{}");                             /* before the capture */
	life_refuse(&life, ENTRY_STEP_CAPTURED, "{step: z}");
	life_ready(&life);
	life_refuse(&life, ENTRY_SNAPSHOT_TAKEN, "{}");
	life_refuse(&life, ENTRY_STEP_CAPTURED, "{step: a}");
	life_refuse(&life, ENTRY_STEP_ENDED, "{step: a, verb: apply, attempt: 1, outcome: done}"); /* outcome without intent */
	life_refuse(&life, ENTRY_STEP_BEGUN, "{step: a, verb: apply, attempt: 2}");
	life_refuse(&life, ENTRY_STEP_BEGUN, "{step: a, verb: undo, attempt: 1}"); /* nothing to undo */
	life_begun(&life, "a", "apply", 1);
	life_refuse(&life, ENTRY_STEP_BEGUN, "{step: a, verb: apply, attempt: 2}");
	life_refuse(&life, ENTRY_STEP_ENDED, "{step: a, verb: apply, attempt: 2, outcome: done}");
	life_refuse(&life, ENTRY_STEP_ENDED, "{step: a, verb: apply, attempt: 1, outcome: perhaps}");
	life_refuse(&life, ENTRY_RUN_WAITING, "{step: a, question: unknown}");
	life_refuse(&life, ENTRY_RUN_ENDED, "{status: pending}");
	life_end(&life);
}

static void begins_with_its_request(void **state)
{
	struct life life = { .ctx = mem_context(NULL) };
	struct err err = ERR_INIT;
	struct run *run;

	assert_int_equal(run_fold(life.ctx, NULL, 0, &run, &err), -ERR_NOT_FOUND);
	life_refuse(&life, ENTRY_RUN_STARTED, "{}");
	life_refuse(&life, ENTRY_RUN_REQUESTED, "{reason: no plan}");
	assert_int_equal(life_try(&life, ENTRY_RUN_REQUESTED, "{plan: {id: p, name: P, steps: [{id: a, type: nonsense}]}}", &err),
		-ERR_CORRUPT);
	life_end(&life);
}

static void attempts_and_policies(void **state)
{
	struct life life = life_begin("restore",
		"[{id: a, type: deployment, parameters: {service: api, version: v2, environment: production},"
		"retryPolicy: {maxAttempts: 2, backoffMultiplier: 2}}]");
	struct run_step *step = &life.run->steps[0];

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	life_ended(&life, "a", "apply", 1, "failed");
	assert_int_equal(step->status, STEP_PENDING);
	assert_int_equal(step->not_before_ms, life.wall_ms + engine_backoff_ms("run-1", "a", 2, 2));
	assert_false(life.run->restoring);
	life_begun(&life, "a", "apply", 2);
	life_ended(&life, "a", "apply", 2, "failed");
	assert_int_equal(step->status, STEP_FAILED);
	assert_true(life.run->restoring);
	assert_string_equal(life.run->failed_step, "a");
	assert_string_equal(life.run->message, "it broke");
	assert_int_equal(life.run->code, ERR_DRIVER);
	life_end(&life);

	life = life_begin("stop", "[" A "]");
	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	life_ended(&life, "a", "apply", 1, "failed");
	assert_false(life.run->restoring);
	life_end(&life);
}

static void first_cause_stands(void **state)
{
	struct life life = life_begin("restore", "[" A "]");

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	life_ended(&life, "a", "apply", 1, "failed");
	for (int attempt = 1; attempt <= ENGINE_UNDO_ATTEMPTS; attempt++) {
		life_begun(&life, "a", "undo", attempt);
		life_step(&life, ENTRY_STEP_ENDED, "a", "undo", attempt, ", outcome: failed, code: timeout, message: later");
	}
	assert_int_equal(life.run->steps[0].status, STEP_UNDO_FAILED);
	assert_string_equal(life.run->message, "it broke");
	life_end(&life);
}

static void an_intent_that_was_never_carried_out(void **state)
{
	struct life life = life_begin("restore", "[" A "]");

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	life_step(&life, ENTRY_STEP_ENDED, "a", "apply", 1, ", outcome: failed, code: io, message: m, retryable: false, notBegun: true");
	assert_false(life.run->steps[0].touched);
	assert_false(life.run->changed);
	life_end(&life);
}

static void another_state_than_expected(void **state)
{
	struct life life = { .ctx = mem_context(NULL) };

	life_add(&life, ENTRY_RUN_REQUESTED, "{plan: {id: p, name: P, steps: [" A "]}, expected: {api: {version: v1, state: running}}}");
	life_capture(&life, "a", "v1");
	assert_int_equal(life.run->code, ERR_NONE);
	life_end(&life);
	life = (struct life){ .ctx = mem_context(NULL) };
	life_add(&life, ENTRY_RUN_REQUESTED, "{plan: {id: p, name: P, steps: [" A "]}, expected: {api: {version: v0, state: running}}}");
	life_capture(&life, "a", "v1");
	assert_int_equal(life.run->code, ERR_CHANGED);
	assert_non_null(strstr(life.run->message, "component api"));
	life_end(&life);
}

static void unknown(struct life *life)
{
	*life = life_begin("restore", "[" A "]");
	life_ready(life);
	life_begun(life, "a", "apply", 1);
	life_ended(life, "a", "apply", 1, "unknown");
	life_add(life, ENTRY_RUN_WAITING, "{step: a, question: unknown}");
	assert_int_equal(life->run->status, RUN_WAITING);
}

static void answers_to_unknown(void **state)
{
	struct life life;

	unknown(&life);
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: a, answer: approve}"); /* not an answer to this question */
	assert_int_equal(life.run->status, RUN_WAITING);
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: a, answer: done}");
	assert_int_equal(life.run->status, RUN_IN_PROGRESS);
	assert_int_equal(life.run->steps[0].status, STEP_DONE);
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: a, answer: restore}"); /* a second one changes nothing */
	assert_false(life.run->restoring);
	life_end(&life);
	unknown(&life);
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: a, answer: retry}");
	assert_int_equal(life.run->steps[0].status, STEP_PENDING);
	life_begun(&life, "a", "apply", 2); /* beyond maxAttempts, because a person said so */
	life_end(&life);
	unknown(&life);
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: a, answer: restore}");
	assert_true(life.run->restoring);
	life_end(&life);
	unknown(&life);
	life_add(&life, ENTRY_RUN_CANCEL, "{reason: enough}");
	assert_int_equal(life.run->status, RUN_IN_PROGRESS);
	assert_true(life.run->restoring && life.run->cancelled);
	assert_string_equal(life.run->message, "cancelled by ana: enough");
	life_end(&life);
}

static void approvals(void **state)
{
	struct life life = life_begin("restore", "[{id: ok, type: approval}, " A "]");

	life_ready(&life);
	life_add(&life, ENTRY_RUN_WAITING, "{step: ok, question: approval}");
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: ok, answer: approve}");
	assert_int_equal(life.run->steps[0].status, STEP_DONE);
	assert_int_equal(life.run->status, RUN_IN_PROGRESS);
	life_end(&life);
	life = life_begin("restore", "[{id: ok, type: approval}, " A "]");
	life_ready(&life);
	life_add(&life, ENTRY_RUN_WAITING, "{step: ok, question: approval}");
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: ok, answer: reject, reason: not today}");
	assert_int_equal(life.run->steps[0].status, STEP_FAILED);
	assert_string_equal(life.run->message, "not approved by ana: not today");
	assert_int_equal(life.run->code, ERR_REFUSED);
	life_end(&life);
}

#define STOP  "{id: stop, type: service, parameters: {service: api, action: stop}}"
#define START "{id: start, type: service, parameters: {service: api, action: start}}"

static void assert_lost(const struct run *run, const char *expected)
{
	json_t *lost = run_steps_lost_with_boot(run);

	assert_int_equal(json_array_size(lost), expected ? 1 : 0);
	if (expected)
		assert_string_equal(json_string_value(json_array_get(lost, 0)), expected);
	json_decref(lost);
}

/* After a restart of the machine a service is as the last finished step on it left it, or nobody knows. */
static void services_are_looked_at_again(void **state)
{
	struct life life = life_begin("restore", "[" STOP ", {id: h, type: health}, " START "]");

	life_ready(&life);
	assert_lost(life.run, NULL);
	life_begun(&life, "stop", "apply", 1);
	assert_lost(life.run, NULL); /* it is settled in any case */
	life_add(&life, ENTRY_STEP_ENDED, "{step: stop, verb: apply, attempt: 1, outcome: done, observed: {state: stopped}}");
	assert_lost(life.run, "stop");
	life_begun(&life, "h", "apply", 1);
	life_ended(&life, "h", "apply", 1, "done");
	life_begun(&life, "start", "apply", 1);
	assert_lost(life.run, NULL);
	life_add(&life, ENTRY_STEP_ENDED, "{step: start, verb: apply, attempt: 1, outcome: done, observed: {state: running}}");
	assert_lost(life.run, "start");
	life_add(&life, ENTRY_RUN_STARTED, "{boot: b, again: [start]}");
	assert_string_equal(life.run->boot, "b");
	assert_int_equal(run_step(life.run, "start")->status, STEP_BEGUN);
	assert_int_equal(run_step(life.run, "stop")->status, STEP_DONE);
	life_add(&life, ENTRY_STEP_ENDED, "{step: start, verb: apply, attempt: 1, outcome: done, observed: {state: running}}");
	assert_int_equal(run_step(life.run, "start")->status, STEP_DONE);
	life_refuse(&life, ENTRY_RUN_STARTED, "{again: [nothing]}");
	/* Going back, it is the other way round. */
	life_add(&life, ENTRY_RUN_CANCEL, "{}");
	life_begun(&life, "start", "undo", 1);
	assert_lost(life.run, NULL);
	life_add(&life, ENTRY_STEP_ENDED, "{step: start, verb: undo, attempt: 1, outcome: done, observed: {state: stopped}}");
	assert_lost(life.run, "start");
	life_begun(&life, "stop", "undo", 1);
	life_add(&life, ENTRY_STEP_ENDED, "{step: stop, verb: undo, attempt: 1, outcome: done, observed: {state: running}}");
	assert_lost(life.run, "stop");
	life_add(&life, ENTRY_RUN_STARTED, "{boot: c, again: [stop]}");
	assert_int_equal(run_step(life.run, "stop")->status, STEP_UNDOING);
	life_end(&life);
}

static void as_json(void **state)
{
	struct life life = life_begin("restore", "[" A ", " B "]");
	struct entry said = { .kind = ENTRY_STEP_ENDED, .data = given(life.ctx, "{step: a, logs: [{level: info, message: one}]}") };
	json_t *json, *step;

	life_ready(&life);
	life_done(&life, "a");
	json = json_keep(life.ctx, run_json(life.run, &said, 1));
	assert_string_equal(json_str(json, "status", ""), "in_progress");
	assert_string_equal(json_str(json, "currentStep", ""), "b");
	assert_int_equal(json_int(json, "stepsCompleted", -1), 1);
	assert_true(json_is_null(json_object_get(json, "error")));
	step = json_array_get(json_object_get(json, "steps"), 0);
	assert_string_equal(json_str(step, "stepId", ""), "a");
	assert_string_equal(json_str(step, "status", ""), "completed");
	assert_int_equal(json_array_size(json_object_get(step, "logs")), 1);
	assert_non_null(json_str(step, "startTime", NULL));
	assert_string_equal(json_str(json_object_get(json, "context"), "triggeredBy", ""), "ana");
	life_end(&life);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(subjects_and_chains),
		cmocka_unit_test(chain_follows_the_graph),
		cmocka_unit_test(a_whole_life),
		cmocka_unit_test(what_cannot_follow),
		cmocka_unit_test(begins_with_its_request),
		cmocka_unit_test(attempts_and_policies),
		cmocka_unit_test(first_cause_stands),
		cmocka_unit_test(an_intent_that_was_never_carried_out),
		cmocka_unit_test(another_state_than_expected),
		cmocka_unit_test(answers_to_unknown),
		cmocka_unit_test(approvals),
		cmocka_unit_test(services_are_looked_at_again),
		cmocka_unit_test(as_json),
	};

	return cmocka_run_group_tests(tests, life_setup, NULL);
}
