/* How long a rollback takes: nothing is said without history; runs of the same steps count before steps of the same types; the longest chain, not the sum. */
#include "checks.h"

#include <string.h>

#include "data/json.h"
#include "ops/estimate.h"

static void learn(struct estimates *estimates, void *ctx, const char *kind, const char *run, int64_t wall_ms, json_t *data)
{
	struct entry entry = { .kind = kind, .run = run, .environment = "production", .wall_ms = wall_ms, .data = data };

	(void)ctx;
	estimates_learn(estimates, &entry);
}

/* A run of two steps, which took so long as a whole and each; requested at 1000. */
static void past(struct estimates *estimates, void *ctx, const char *run, const char *first, const char *status, int64_t whole,
	int64_t each)
{
	learn(estimates, ctx, ENTRY_RUN_REQUESTED, run, 1000,
		json_make(ctx, "{s:{s:[{s:s, s:s}, {s:s, s:s}]}}", "plan", "steps", "id", first, "type", "service", "id", "release-code",
			"type", "deployment"));
	learn(estimates, ctx, ENTRY_SNAPSHOT_TAKEN, run, 1100, json_make(ctx, "{}"));
	for (int i = 0; i < 2; i++)
		learn(estimates, ctx, ENTRY_STEP_ENDED, run, 2000,
			json_make(ctx, "{s:s, s:s, s:s, s:I}", "step", i ? "release-code" : first, "verb", "apply", "outcome", "done",
				"durationMs", (json_int_t)each));
	learn(estimates, ctx, ENTRY_RUN_ENDED, run, 1000 + whole, json_make(ctx, "{s:s}", "status", status));
}

static struct plan *plan_of(void *ctx, const char *first)
{
	struct plan *plan = mem_zero(ctx, struct plan);

	plan->steps = mem_array(plan, struct step, 2);
	plan->step_count = 2;
	plan->steps[0] = (struct step){ .id = "release-code", .type = "deployment", .needs = mem_array(plan, size_t, 1), .need_count = 1 };
	plan->steps[0].needs[0] = 1; /* waits for one that stands behind it */
	plan->steps[1] = (struct step){ .id = first, .type = "service" };
	return plan;
}

static void nothing_is_guessed(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct estimates *estimates = estimates_new(ctx);
	struct plan none = { 0 };

	assert_int_equal(estimate_plan(estimates, plan_of(ctx, "stop-api")).basis, ESTIMATE_NONE);
	assert_string_equal(estimate_plan(estimates, plan_of(ctx, "stop-api")).missing, "deployment");
	assert_int_equal(estimate_plan(estimates, &none).basis, ESTIMATE_NONE);
	assert_null(estimate_plan(estimates, &none).missing);
}

static void runs_of_the_same_steps(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct estimates *estimates = estimates_new(ctx);
	struct estimate estimate;

	past(estimates, ctx, "run-1", "stop-api", "completed", 4000, 100);
	past(estimates, ctx, "run-2", "stop-api", "completed", 9000, 100);
	past(estimates, ctx, "run-3", "stop-api", "completed", 5000, 100);
	past(estimates, ctx, "run-4", "stop-api", "restored", 99000, 100); /* failed: says nothing of one that works */
	past(estimates, ctx, "run-5", "stop-web", "completed", 77000, 100);
	estimate = estimate_plan(estimates, plan_of(ctx, "stop-api"));
	assert_int_equal(estimate.basis, ESTIMATE_RUNS);
	assert_int_equal(estimate.runs, 3);
	assert_int_equal(estimate.median_ms, 5000);
	assert_int_equal(estimate.worst_ms, 9000);
}

static void steps_of_the_same_types(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct estimates *estimates = estimates_new(ctx);
	struct estimate estimate;

	past(estimates, ctx, "run-1", "stop-web", "completed", 4000, 100);
	past(estimates, ctx, "run-2", "stop-web", "failed", 9000, 300);
	estimate = estimate_plan(estimates, plan_of(ctx, "stop-api"));
	assert_int_equal(estimate.basis, ESTIMATE_STEPS);
	assert_int_equal(estimate.median_ms, 100 + 200 + 200); /* the snapshot, then one after the other */
	assert_int_equal(estimate.worst_ms, 100 + 300 + 300);
}

static void an_undo_teaches_nothing(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct estimates *estimates = estimates_new(ctx);

	learn(estimates, ctx, ENTRY_RUN_REQUESTED, "run-1", 1,
		json_make(ctx, "{s:s, s:{s:[{s:s, s:s}]}}", "undoOf", "run-0", "plan", "steps", "id", "release-code", "type",
			"deployment"));
	learn(estimates, ctx, ENTRY_STEP_ENDED, "run-1", 2,
		json_make(ctx, "{s:s, s:s, s:s, s:i}", "step", "release-code", "verb", "apply", "outcome", "done", "durationMs", 5));
	assert_string_equal(estimate_plan(estimates, plan_of(ctx, "stop-api")).missing, "deployment");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_guessed),
		cmocka_unit_test(runs_of_the_same_steps),
		cmocka_unit_test(steps_of_the_same_types),
		cmocka_unit_test(an_undo_teaches_nothing),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
