/* engine.c: decisions, as words. */
#include "life.h"

#define expect(life, words) assert_string_equal(life_next(&(life)), (words))

static enum outcome ended(struct life *life, const char *step, enum verb verb, bool ok, bool answered, int at_goal)
{
	struct call_end end = { .verb = verb, .ok = ok, .answered = answered, .code = ok ? ERR_NONE : ERR_DRIVER, .at_goal = at_goal };

	return engine_outcome(life->run, run_step(life->run, step), &end, life->wall_ms);
}

static void captures_first_and_in_parallel(void **state)
{
	struct life life = life_begin("restore", "[" A ", " B ", " C "]");

	expect(life, "call capture a 1; call capture b 1; wait");
	life.run->steps[0].calling = VERB_CAPTURE;
	expect(life, "call capture b 1; wait");
	life.run->steps[0].calling = VERB_NONE;
	life_capture(&life, "a", "v1");
	life_capture(&life, "b", "v1");
	expect(life, "seal");
	life_add(&life, ENTRY_SNAPSHOT_TAKEN, "{}");
	expect(life, "call apply a 1; wait");
	life_end(&life);
}

static void refuses_what_cannot_be_captured(void **state)
{
	struct life life = life_begin("restore", "[" A "]");

	for (int attempt = 1; attempt < ENGINE_CAPTURE_ATTEMPTS; attempt++) {
		life_ended(&life, "a", "capture", attempt, "failed");
		life.wall_ms += ENGINE_BACKOFF_BASE_MS;
		assert_non_null(strstr(life_next(&life), "call capture a"));
	}
	life_ended(&life, "a", "capture", ENGINE_CAPTURE_ATTEMPTS, "failed");
	expect(life, "end refused");
	life_end(&life);
}

static void in_order_then_verified(void **state)
{
	struct life life = life_begin("restore", "[" A ", " B "]");
	struct run_step *a = &life.run->steps[0];

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	a->calling = VERB_APPLY;
	expect(life, "wait");
	assert_int_equal(ended(&life, "a", VERB_APPLY, true, true, 0), OUTCOME_NONE);
	expect(life, "call observe a; wait");
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, 1), OUTCOME_DONE);
	life_ended(&life, "a", "apply", 1, "done");
	expect(life, "call apply b 1; wait");
	life_done(&life, "b");
	expect(life, "end completed");
	life_end(&life);
}

static void graph_in_parallel(void **state)
{
	struct life life = life_begin("restore",
		"["
		"{id: x, type: command, parameters: {argv: ['true']}}, {id: y, type: command, parameters: {argv: ['true']}},"
		"{id: z, type: command, needs: [x, y], parameters: {argv: ['true']}}]");

	life_ready(&life);
	expect(life, "call apply x 1; call apply y 1; wait");
	life_done(&life, "x");
	expect(life, "call apply y 1; wait");
	life_done(&life, "y");
	expect(life, "call apply z 1; wait");
	life_end(&life);
}

/* Two steps on one thing never at once, also where the graph would let them. */
static void one_subject_one_call(void **state)
{
	struct life life = life_begin("restore",
		"["
		"{id: a, type: service, parameters: {service: api, action: stop}}, {id: c, type: service, parameters: {service: api, action: start}},"
		"{id: z, type: command, needs: [a], parameters: {argv: ['true']}}]");

	life_ready(&life);
	expect(life, "call apply a 1; wait");
	life_end(&life);
}

static void at_most_sixteen(void **state)
{
	char *steps = mem_strdup(NULL, "[{id: s0, type: command, parameters: {argv: ['true']}}");
	struct decision decisions[ENGINE_DECISIONS_MAX];
	struct life life;

	for (int i = 1; i < 40; i++)
		steps = mem_appendf(steps, ", {id: s%d, type: command, parameters: {argv: ['true']}}", i);
	steps = mem_append(steps, ", {id: end, type: command, needs: [s0], parameters: {argv: ['true']}}]");
	life = life_begin("restore", steps);
	life_ready(&life);
	assert_int_equal(engine_next(life.run, life.wall_ms, decisions), ENGINE_PARALLEL_MAX + 1);
	talloc_free(steps);
	life_end(&life);
}

static void settles_after_a_crash(void **state)
{
	struct life life = life_begin("restore", "[" A "]");

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	expect(life, "call observe a; wait");
	/* Not there: the same attempt again. */
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, 0), OUTCOME_NONE);
	expect(life, "call apply a 1 again; wait");
	/* There: done. */
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, 1), OUTCOME_DONE);
	/* Cannot tell: a person. */
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, -1), OUTCOME_UNKNOWN);
	life_end(&life);
}

static void looks_three_times(void **state)
{
	struct life life = life_begin("restore", "[" A "]");

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, false, false, 0), OUTCOME_NONE);
	expect(life, "wait until");
	life.wall_ms += ENGINE_OBSERVE_PAUSE_MS;
	expect(life, "call observe a; wait");
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, false, false, 0), OUTCOME_NONE);
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, false, false, 0), OUTCOME_UNKNOWN);
	life_end(&life);
}

static void silence_is_not_failure(void **state)
{
	struct life life = life_begin("restore", "[" A "]");

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	/* It says that it failed: believed. */
	assert_int_equal(ended(&life, "a", VERB_APPLY, false, true, 0), OUTCOME_FAILED);
	/* It was killed: the target is asked. There after all: done. Not there: the attempt failed and is not made again. */
	assert_int_equal(ended(&life, "a", VERB_APPLY, false, false, 0), OUTCOME_NONE);
	expect(life, "call observe a; wait");
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, 1), OUTCOME_DONE);
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, 0), OUTCOME_FAILED);
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, -1), OUTCOME_UNKNOWN);
	life_end(&life);
}

static void verification(void **state)
{
	struct call_end cannot = { .verb = VERB_OBSERVE, .answered = true, .code = ERR_UNSUPPORTED };
	struct life life = life_begin("restore", "[" A "]");

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	ended(&life, "a", VERB_APPLY, true, true, 0);
	/* It said done and is not there. */
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, 0), OUTCOME_FAILED);
	/* Where nobody can look, the driver's word counts. */
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, -1), OUTCOME_DONE);
	assert_int_equal(engine_outcome(life.run, &life.run->steps[0], &cannot, life.wall_ms), OUTCOME_DONE);
	life_end(&life);
}

static void asks_and_rests(void **state)
{
	struct life life = life_begin("restore", "[" A ", " B "]");

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	life_ended(&life, "a", "apply", 1, "unknown");
	expect(life, "ask a unknown");
	life_add(&life, ENTRY_RUN_WAITING, "{step: a, question: unknown}");
	expect(life, "wait");
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: a, answer: retry}");
	expect(life, "call apply a 2; wait");
	life_end(&life);
	life = life_begin("restore",
		"[{id: ok, type: approval}, {id: n, type: notification, parameters: {recipients: [o], channel: c, message: m}},"
		"{id: h, type: health}]");
	life_ready(&life);
	expect(life, "ask ok approval");
	life_add(&life, ENTRY_RUN_WAITING, "{step: ok, question: approval}");
	life_add(&life, ENTRY_RUN_ANSWERED, "{step: ok, answer: approve}");
	expect(life, "notify n");
	life_ended(&life, "n", "apply", 1, "done");
	expect(life, "probe h; wait");
	life_end(&life);
}

static void three_done_one_failed(struct life *life, const char *policy)
{
	_cleanup_talloc_ char *steps = mem_strdup(NULL, "[" A ", " B ", " C ", {id: x, type: command, parameters: {argv: ['true']}}]");

	*life = life_begin(policy, steps);
	life_ready(life);
	life_done(life, "a");
	life_done(life, "b");
	life_done(life, "c");
	life_begun(life, "x", "apply", 1);
	life_ended(life, "x", "apply", 1, "failed");
}

static void undone(struct life *life, const char *step)
{
	life_begun(life, step, "undo", 1);
	life_ended(life, step, "undo", 1, "done");
}

static void restores_in_reverse(void **state)
{
	struct life life;

	three_done_one_failed(&life, "restore");
	expect(life, "call undo x 1; wait");
	undone(&life, "x");
	expect(life, "call undo c 1; wait");
	life_begun(&life, "c", "undo", 1);
	expect(life, "call observe c; wait"); /* settling an undo */
	life_ended(&life, "c", "undo", 1, "done");
	undone(&life, "b");
	expect(life, "call undo a 1; wait");
	undone(&life, "a");
	expect(life, "end restored");
	life_end(&life);
}

/* What was never touched does not stand in the way, but what came after it does. */
static void order_reaches_through_untouched_steps(void **state)
{
	struct life life = life_begin("restore", "[" A ", {id: h, type: health}, " B "]");

	life_ready(&life);
	life_done(&life, "a");
	life_done(&life, "h");
	life_begun(&life, "b", "apply", 1);
	life_ended(&life, "b", "apply", 1, "failed");
	expect(life, "call undo b 1; wait");
	life_end(&life);
}

static void an_undo_that_fails(void **state)
{
	struct life life;

	three_done_one_failed(&life, "restore");
	for (int attempt = 1; attempt <= ENGINE_UNDO_ATTEMPTS; attempt++) {
		life_begun(&life, "x", "undo", attempt);
		life_ended(&life, "x", "undo", attempt, "failed");
		life.wall_ms += 2 * ENGINE_BACKOFF_BASE_MS;
	}
	/* The others are undone all the same. */
	expect(life, "call undo c 1; wait");
	undone(&life, "c");
	undone(&life, "b");
	undone(&life, "a");
	expect(life, "end failed");
	life_end(&life);
}

static void stop_and_continue(void **state)
{
	struct life life;

	three_done_one_failed(&life, "stop");
	expect(life, "end failed");
	life_end(&life);
	three_done_one_failed(&life, "continue");
	expect(life, "end failed");
	life_end(&life);
	life = life_begin("continue",
		"[{id: x, type: command, parameters: {argv: ['true']}},"
		"{id: y, type: command, needs: [x], parameters: {argv: ['true']}}, {id: z, type: command, parameters: {argv: ['true']}}]");
	life_ready(&life);
	life_begun(&life, "x", "apply", 1);
	life_ended(&life, "x", "apply", 1, "failed");
	expect(life, "call apply z 1; wait"); /* does not need x; y does */
	life_end(&life);
}

static void cancelling(void **state)
{
	struct life life = life_begin("stop", "[" A ", " B "]");

	life_add(&life, ENTRY_RUN_CANCEL, "{}");
	expect(life, "end restored"); /* before anything was changed */
	life_end(&life);
	life = life_begin("stop", "[" A ", " B "]");
	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	life.run->steps[0].calling = VERB_APPLY;
	life_add(&life, ENTRY_RUN_CANCEL, "{}");
	expect(life, "stop a; wait");
	life.run->steps[0].stopping = true;
	expect(life, "wait");
	ended(&life, "a", VERB_APPLY, false, false, 0);
	expect(life, "call observe a; wait");
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, 0), OUTCOME_FAILED);
	life_ended(&life, "a", "apply", 1, "failed");
	expect(life, "call undo a 1; wait");
	life_end(&life);
}

/* A crash, then a cancellation: what is known not to have happened is not made to happen. */
static void cancelled_while_settling(void **state)
{
	struct life life = life_begin("stop", "[" A "]");

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	ended(&life, "a", VERB_OBSERVE, true, true, 0);
	life_add(&life, ENTRY_RUN_CANCEL, "{}");
	expect(life, "call observe a; wait");
	assert_int_equal(ended(&life, "a", VERB_OBSERVE, true, true, 0), OUTCOME_FAILED);
	life_end(&life);
}

static void clock_set_back(void **state)
{
	struct life life = life_begin("restore",
		"[{id: b, type: deployment, parameters: {service: api, version: v2, environment: production},"
		"retryPolicy: {maxAttempts: 5, backoffMultiplier: 4}}]");

	life_ready(&life);
	life_begun(&life, "b", "apply", 1);
	life_ended(&life, "b", "apply", 1, "failed");
	expect(life, "wait until");
	life.wall_ms -= 3600 * 1000; /* an hour back: nobody waits for an hour */
	expect(life, "call apply b 2; wait");
	life_end(&life);
}

static void backoff(void **state)
{
	int64_t sum = 0;

	for (int attempt = 2; attempt < 40; attempt++) {
		int64_t ms = engine_backoff_ms("run-1", "a", attempt, 2.0);
		int64_t ceiling = attempt - 2 < 10 ? ENGINE_BACKOFF_BASE_MS << (attempt - 2) : ENGINE_BACKOFF_MAX_MS;

		assert_in_range(ms, 0, MIN(ceiling, ENGINE_BACKOFF_MAX_MS));
		assert_int_equal(ms, engine_backoff_ms("run-1", "a", attempt, 2.0));
	}
	for (int i = 0; i < 1000; i++) {
		_cleanup_talloc_ char *id = mem_printf(NULL, "run-%d", i);

		sum += engine_backoff_ms(id, "a", 2, 2.0);
	}
	assert_in_range(sum / 1000, 450, 550); /* full jitter: half of the ceiling on average */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(captures_first_and_in_parallel),
		cmocka_unit_test(refuses_what_cannot_be_captured),
		cmocka_unit_test(in_order_then_verified),
		cmocka_unit_test(graph_in_parallel),
		cmocka_unit_test(one_subject_one_call),
		cmocka_unit_test(at_most_sixteen),
		cmocka_unit_test(settles_after_a_crash),
		cmocka_unit_test(looks_three_times),
		cmocka_unit_test(silence_is_not_failure),
		cmocka_unit_test(verification),
		cmocka_unit_test(asks_and_rests),
		cmocka_unit_test(restores_in_reverse),
		cmocka_unit_test(order_reaches_through_untouched_steps),
		cmocka_unit_test(an_undo_that_fails),
		cmocka_unit_test(stop_and_continue),
		cmocka_unit_test(cancelling),
		cmocka_unit_test(cancelled_while_settling),
		cmocka_unit_test(clock_set_back),
		cmocka_unit_test(backoff),
	};

	return cmocka_run_group_tests(tests, life_setup, NULL);
}
