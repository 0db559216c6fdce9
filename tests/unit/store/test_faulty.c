/* Every call of a scenario fails once, before and after a commit: the store stays consistent, what was acknowledged is there, and the
 * same handle works on. */
#include "store_test.h"

struct outcome {
	unsigned done; /* operations that were acknowledged */
	unsigned tried;
};

static void note(struct outcome *outcome, int r)
{
	outcome->tried++;
	outcome->done += r == 0;
}

/* A day in the life of an environment. Each operation is one transaction of at least one entry. */
static void scenario(struct store *store, struct outcome *outcome)
{
	struct err error = ERR_INIT;
	struct claim claim = { 0 };
	struct entry begun = { .kind = ENTRY_STEP_BEGUN, .environment = "production", .run = "run-1" };
	size_t count;
	int claimed;

	note(outcome, record(store, "production", "dep-1", "1", "passing", &error));
	note(outcome, record(store, "production", "dep-2", "2", "failing", &error));
	note(outcome, store_flag_set(store, "production", "checkout", "g", "true", "ana", NULL, NULL, &error));
	note(outcome, request(store, "production", "run-1", "dep-2", "dep-1", &error));
	claimed = store->journal.ops->claim(&store->journal, store, "run:run-1", 60000, &claim, &error);
	note(outcome, append(store, ENTRY_RUN_STARTED, "production", "run-1", NULL, &error));
	note(outcome, store_append_all(store, store, claimed == 0 ? &claim : NULL, &begun, 1, &error));
	note(outcome, store_flags_disable_group(store, "production", "g", "ana", "off", &count, &error));
	note(outcome, append(store, ENTRY_SNAPSHOT_TAKEN, "production", "run-1", NULL, &error));
	note(outcome, end_run(store, "production", "run-1", "completed", &error));
	if (claimed == 0)
		(void)!store->journal.ops->release(&store->journal, &claim, &error);
}

static unsigned calls_without_failure(const char *folder)
{
	struct err error = ERR_INIT;
	struct outcome outcome = { 0 };
	struct store *store = NULL;
	struct sql *sql = NULL, *faulty;
	unsigned calls;

	assert_ok(sqlite_open(folder, fs_join(folder, folder, "whole.db"), &sql, &error));
	faulty = faulty_wrap(folder, sql, 0, ERR_STORE, false);
	assert_ok(store_open_sql(folder, faulty, NULL, NULL, &store, &error));
	scenario(store, &outcome);
	assert_int_equal(outcome.done, outcome.tried);
	calls = faulty_calls(faulty);
	(void)talloc_free(store);
	return calls;
}

static void fail_call(const char *folder, unsigned nth, bool after)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *path = mem_printf(ctx, "%s/%u-%d.db", folder, nth, after);
	struct err error = ERR_INIT;
	struct outcome outcome = { 0 };
	struct store *store = NULL;
	struct sql *sql = NULL;
	int64_t entries;

	assert_ok(sqlite_open(ctx, path, &sql, &error));
	if (store_open_sql(ctx, faulty_wrap(ctx, sql, nth, ERR_STORE, after), NULL, NULL, &store, &error) == 0) {
		scenario(store, &outcome);
		assert_ok(append(store, "note", NULL, NULL, NULL, &error));
		outcome.done++;
		assert_true(store_flag(store, ctx, "production", "none", &(struct flag_row){ 0 }, &error) == -ERR_NOT_FOUND);
		(void)talloc_free(store);
	}
	assert_ok(store_open(ctx, path, NULL, NULL, &store, &error));
	entries = assert_consistent(store);
	assert_true(entries >= outcome.done);
	(void)talloc_free(store);
}

static void every_call_may_fail(void **state)
{
	unsigned calls = calls_without_failure(*state);

	assert_true(calls > 80);
	for (unsigned nth = 1; nth <= calls; nth++) {
		fail_call(*state, nth, false);
		fail_call(*state, nth, true);
	}
}

/* The commit happened, but its caller was told otherwise: reading tells. */
static void after_a_doubtful_commit_reading_tells(void **state)
{
	struct err error = ERR_INIT;
	struct store *store = NULL;
	struct sql *sql = NULL, *faulty;
	struct entry_filter filter = { .kind = "note" };
	struct entry *entries;
	unsigned opening;
	size_t count;

	for (int after = 0; after < 2; after++) {
		char *path = mem_printf(*state, "%s/%d.db", (char *)*state, after);

		assert_ok(store_open(*state, path, NULL, NULL, &store, &error));
		(void)talloc_free(store);
		assert_ok(sqlite_open(*state, path, &sql, &error));
		faulty = faulty_wrap(*state, sql, 0, ERR_STORE, false);
		assert_ok(store_open_sql(*state, faulty, NULL, NULL, &store, &error));
		opening = faulty_calls(faulty);
		(void)talloc_free(store);
		assert_ok(sqlite_open(*state, path, &sql, &error));
		/* begin, head, insert, head, commit */
		faulty = faulty_wrap(*state, sql, opening + 5, ERR_STORE, after != 0);
		assert_ok(store_open_sql(*state, faulty, NULL, NULL, &store, &error));
		assert_fails(append(store, "note", NULL, NULL, NULL, &error), ERR_STORE);
		assert_has(error.text, "commit");
		assert_ok(store_read(store, *state, &filter, &entries, &count, &error));
		assert_int_equal(count, after);
		assert_int_equal(assert_consistent(store), after);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_call_may_fail),
		TEST(after_a_doubtful_commit_reading_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
