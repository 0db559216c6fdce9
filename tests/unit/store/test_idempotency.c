/* idempotency.c: rows of requests, what is noted in them, and who may begin anew. */
#include "store_test.h"

#include "store/idempotency.h"

static struct store *store;

static int setup(void **state)
{
	int r = folder_setup(state);

	store = open_store(*state);
	return r;
}

static bool begin(void *ctx, const char *id, const char *hash, struct request_row *ret)
{
	struct err error = ERR_INIT;
	bool mine = false;

	assert_ok(store_request_begin(store, ctx, id, hash, clock_wall_ms() + 60000, ret, &mine, &error));
	return mine;
}

static void note_deployment(void *ctx, const char *version)
{
	struct err error = ERR_INIT;
	struct entry entry = entry_make(ctx, ENTRY_DEPLOYMENT_RECORDED, "production", NULL, "{s:{s:s, s:s, s:{}, s:s}}", "deployment", "id",
		id_new(ctx, "dep"), "version", version, "components", "status", "succeeded");

	assert_ok(store_append(store, ctx, &entry, &error));
}

static void answered_once(void **state)
{
	struct err error = ERR_INIT;
	struct request_row row;

	assert_true(begin(*state, "a", "hash", &row));
	assert_false(begin(*state, "a", "hash", &row));
	assert_true(row.running);
	assert_ok(store_request_end(store, "a", 201, "application/json", "{}", "/x", &error));
	assert_false(begin(*state, "a", "hash", &row));
	assert_false(row.running);
	assert_int_equal(row.status, 201);
	assert_string_equal(row.answer, "{}");
	assert_string_equal(row.location, "/x");
	assert_false(begin(*state, "a", "other", &row));
	assert_string_equal(row.hash, "hash");
}

static void tried_again_when_nothing_was_done(void **state)
{
	struct err error = ERR_INIT;
	struct request_row row;

	assert_true(begin(*state, "b", "hash", &row));
	assert_ok(store_request_end(store, "b", 0, NULL, NULL, NULL, &error));
	assert_false(begin(*state, "b", "other", &row)); /* another request never takes it over */
	assert_true(begin(*state, "b", "hash", &row));
}

static void not_again_when_something_was(void **state)
{
	struct err error = ERR_INIT;
	struct request_row row;
	int64_t head;

	assert_true(begin(*state, "c", "hash", &row));
	store->request = "c";
	note_deployment(*state, "1.0.0");
	note_deployment(*state, "1.1.0");
	store->request = NULL;
	note_deployment(*state, "1.2.0");
	assert_ok(store_head(store, &head, &error));
	assert_ok(store_request_end(store, "c", 0, NULL, NULL, NULL, &error));
	assert_false(begin(*state, "c", "hash", &row));
	assert_false(row.running);
	assert_int_equal(row.status, 0);
	assert_int_equal(row.first_seq, head - 2);
	assert_int_equal(row.last_seq, head - 1);
}

/* What is taken back with its transaction leaves no note. */
static void a_refused_entry_is_not_noted(void **state)
{
	struct err error = ERR_INIT;
	struct entry entry = entry_make(*state, ENTRY_DEPLOYMENT_HEALTH, "production", NULL, "{s:s, s:s}", "deployment", "dep-none",
		"health", "passing");
	struct request_row row;

	assert_true(begin(*state, "d", "hash", &row));
	store->request = "d";
	assert_true(store_append(store, *state, &entry, &error) < 0);
	store->request = NULL;
	assert_ok(store_request_end(store, "d", 0, NULL, NULL, NULL, &error));
	assert_true(begin(*state, "d", "hash", &row));
}

static void kept_for_its_time(void **state)
{
	struct err error = ERR_INIT;
	struct request_row row;
	bool mine;

	assert_ok(store_request_begin(store, *state, "e", "hash", clock_wall_ms() - 1, &row, &mine, &error));
	assert_true(mine);
	assert_true(begin(*state, "e", "other", &row));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answered_once, setup, folder_teardown),
		cmocka_unit_test_setup_teardown(tried_again_when_nothing_was_done, setup, folder_teardown),
		cmocka_unit_test_setup_teardown(not_again_when_something_was, setup, folder_teardown),
		cmocka_unit_test_setup_teardown(a_refused_entry_is_not_noted, setup, folder_teardown),
		cmocka_unit_test_setup_teardown(kept_for_its_time, setup, folder_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
