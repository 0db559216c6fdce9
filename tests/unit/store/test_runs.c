/* Runs as a list, and the rule that an environment has at most one that has not ended. */
#include <sys/wait.h>

#include "store_test.h"

static void a_run_goes_through_its_states(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct run_row row;

	assert_fails(store_unfinished_run(store, *state, "production", &row, &error), ERR_NOT_FOUND);
	assert_ok(request(store, "production", "run-01a", "dep-2", "dep-1", &error));
	assert_ok(store_run(store, *state, "01a", &row, &error));
	assert_string_equal(row.status, "pending");
	assert_string_equal(row.plan_id, "plan-1");
	assert_string_equal(row.from, "dep-2");
	assert_string_equal(row.to, "dep-1");
	assert_string_equal(row.reason, "errors");
	assert_string_equal(row.actor, "ana");
	assert_false(row.changed);
	assert_int_equal(row.started_ms, 0);
	assert_ok(append(store, ENTRY_RUN_STARTED, "production", "run-01a", NULL, &error));
	assert_ok(append(store, ENTRY_STEP_BEGUN, "production", "run-01a", json_make(store, "{s:s}", "step", "one"), &error));
	assert_ok(store_unfinished_run(store, *state, "production", &row, &error));
	assert_string_equal(row.status, "in_progress");
	assert_true(row.changed);
	assert_true(row.started_ms >= row.requested_ms);
	assert_ok(append(store, ENTRY_RUN_WAITING, "production", "run-01a", json_make(store, "{s:s}", "message", "is it there?"), &error));
	assert_ok(store_run(store, *state, "run-01a", &row, &error));
	assert_string_equal(row.status, "waiting");
	assert_string_equal(row.message, "is it there?");
	assert_ok(append(store, ENTRY_RUN_ANSWERED, "production", "run-01a", NULL, &error));
	assert_ok(append(store, ENTRY_RUN_CANCEL, "production", "run-01a", NULL, &error));
	assert_ok(append(store, ENTRY_RUN_ENDED, "production", "run-01a",
		json_make(store, "{s:s, s:b, s:s}", "status", "failed", "changed", 1, "message", "broke"), &error));
	assert_ok(store_run(store, *state, "run-01a", &row, &error));
	assert_string_equal(row.status, "failed");
	assert_string_equal(row.message, "broke");
	assert_true(row.ended_ms > 0);
	assert_string_equal(json_str(row.ended, "message", ""), "broke");
	assert_fails(store_unfinished_run(store, *state, "production", &row, &error), ERR_NOT_FOUND);
	assert_consistent(store);
}

static void a_second_run_of_an_environment_is_refused(void **state)
{
	struct store *store = open_store(*state), *other = open_store(*state);
	struct err error = ERR_INIT;

	assert_ok(request(store, "production", "run-1", NULL, NULL, &error));
	assert_ok(append(store, ENTRY_RUN_STARTED, "production", "run-1", NULL, &error));
	assert_fails(request(other, "production", "run-2", NULL, NULL, &error), ERR_CONFLICT);
	assert_has(error.text, "environment 'production' is held by run run-1 (in_progress, requested by ana ");
	assert_has(error.text, " ago)");
	assert_ok(request(other, "staging", "run-3", NULL, NULL, &error));
	assert_ok(end_run(store, "production", "run-1", "refused", &error));
	assert_ok(request(other, "production", "run-2", NULL, NULL, &error));
	assert_fails(request(other, "production", "run-2", NULL, NULL, &error), ERR_CONFLICT);
	assert_consistent(store);
}

/* Also where the check was passed by: the index is the guard of a database whose writers do not wait for each other. */
static void the_index_guards_the_environment_too(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;

	assert_ok(request(store, "production", "run-1", NULL, NULL, &error));
	assert_fails(
		run_sql(store,
			"INSERT INTO runs (id, environment, status, seq, requested_ms, changed) VALUES ('run-2', 'production', 'pending', 2, 1, 0)",
			&error),
		ERR_CONFLICT);
}

static void an_ended_run_stays_ended(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;

	assert_ok(request(store, "production", "run-1", NULL, NULL, &error));
	assert_fails(end_run(store, "production", "run-1", "in_progress", &error), ERR_INVALID);
	assert_ok(end_run(store, "production", "run-1", "completed", &error));
	assert_fails(end_run(store, "production", "run-1", "failed", &error), ERR_CONFLICT);
	assert_fails(append(store, ENTRY_RUN_STARTED, "production", "run-1", NULL, &error), ERR_CONFLICT);
	assert_fails(append(store, ENTRY_STEP_BEGUN, "production", "run-1", NULL, &error), ERR_CONFLICT);
	assert_fails(append(store, ENTRY_RUN_CANCEL, "production", "run-1", NULL, &error), ERR_CONFLICT);
	assert_fails(append(store, ENTRY_RUN_STARTED, "production", "run-none", NULL, &error), ERR_INVALID);
	assert_fails(request(store, NULL, "run-4", NULL, NULL, &error), ERR_INVALID);
}

static void runs_are_listed(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct run_row *rows;
	size_t count;

	for (int i = 1; i <= 3; i++) {
		const char *id = mem_printf(*state, "run-%d", i);

		assert_ok(request(store, i == 2 ? "staging" : "production", id, NULL, NULL, &error));
		assert_ok(end_run(store, i == 2 ? "staging" : "production", id, i == 3 ? "failed" : "completed", &error));
	}
	assert_ok(store_runs(store, *state, NULL, NULL, 0, &rows, &count, &error));
	assert_int_equal(count, 3);
	assert_string_equal(rows[0].id, "run-3");
	assert_ok(store_runs(store, *state, "production", NULL, 1, &rows, &count, &error));
	assert_int_equal(count, 1);
	assert_ok(store_runs(store, *state, "production", "completed", 0, &rows, &count, &error));
	assert_int_equal(count, 1);
	assert_string_equal(rows[0].id, "run-1");
	assert_ok(store_runs(store, *state, NULL, "completed", 0, &rows, &count, &error));
	assert_int_equal(count, 2);
}

/* Processes that ask for the same environment at once: one gets it. */
static void one_of_many_processes_gets_the_environment(void **state)
{
	struct store *store = open_store(*state);
	pid_t children[6];
	int winners = 0;

	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0) {
			struct err error = ERR_INIT;
			struct store *own;
			int r;

			if (store_open(NULL, fs_join(*state, *state, "unship.db"), NULL, NULL, &own, &error) < 0)
				_exit(9);
			r = request(own, "production", mem_printf(*state, "run-%zu", i), NULL, NULL, &error);
			_exit(r == 0 ? 0 : r == -ERR_CONFLICT ? 1 : 9);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		int status;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		winners += WEXITSTATUS(status) == 0;
	}
	assert_int_equal(winners, 1);
	assert_int_equal(assert_consistent(store), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_run_goes_through_its_states),
		TEST(a_second_run_of_an_environment_is_refused),
		TEST(the_index_guards_the_environment_too),
		TEST(an_ended_run_stays_ended),
		TEST(runs_are_listed),
		TEST(one_of_many_processes_gets_the_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
