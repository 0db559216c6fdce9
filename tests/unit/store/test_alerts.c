/* alerts.c and sinks.c: what is new, what was told before; positions that only move forward. */
#include "store_test.h"

#include "store/alerts.h"
#include "store/sinks.h"

static struct alert alert(void *ctx, const char *fingerprint, bool firing, int64_t started_ms)
{
	return (struct alert){ .hook = "h",
		.fingerprint = fingerprint,
		.environment = "production",
		.firing = firing,
		.labels = json_make(ctx, "{s:s}", "alertname", "Broken"),
		.annotations = json_make(ctx, "{}"),
		.started_ms = started_ms,
		.ended_ms = firing || !started_ms ? 0 : started_ms + 1000 };
}

static size_t take(struct store *store, struct alert one)
{
	struct err error = ERR_INIT;
	size_t new = 99;

	assert_ok(store_alerts_take(store, store, &one, 1, "monitor", &new, &error));
	return new;
}

static size_t count(struct store *store, const char *environment, bool firing)
{
	struct err error = ERR_INIT;
	struct alert_row *rows;
	size_t found;

	assert_ok(store_alerts(store, store, environment, firing, (struct page){ 0 }, &rows, &found, &error));
	return found;
}

static void each_is_told_once(void **state)
{
	struct store *store = open_store(*state);
	int64_t begin = INT64_C(1700000000000);
	struct err error = ERR_INIT;
	struct alert_row *rows;
	size_t found;

	assert_int_equal(take(store, alert(store, "a", true, begin)), 1);
	assert_int_equal(take(store, alert(store, "a", true, begin)), 0);
	assert_int_equal(take(store, alert(store, "a", true, begin + 1)), 1);
	assert_int_equal(take(store, alert(store, "a", false, begin)), 1);
	assert_int_equal(take(store, alert(store, "a", false, begin)), 0);
	assert_int_equal(take(store, alert(store, "a", true, begin)), 0);
	assert_int_equal(take(store, alert(store, "never-heard-of", false, begin)), 1);
	assert_int_equal(count(store, NULL, false), 3);
	assert_int_equal(count(store, "production", true), 1);
	assert_ok(store_alerts(store, store, NULL, false, (struct page){ .limit = 1, .before_seq = 4 }, &rows, &found, &error));
	assert_int_equal(found, 1);
	assert_int_equal(rows[0].seq, 3);
	assert_int_equal(count(store, "staging", false), 0);
	assert_int_equal(assert_consistent(store), 4);
}

static void without_a_beginning(void **state)
{
	struct store *store = open_store(*state);

	assert_int_equal(take(store, alert(store, "a", false, 0)), 0);
	assert_int_equal(take(store, alert(store, "a", true, 0)), 1);
	assert_int_equal(take(store, alert(store, "a", true, 0)), 0);
	assert_int_equal(take(store, alert(store, "a", false, 0)), 1);
	assert_int_equal(take(store, alert(store, "a", false, 0)), 0);
	assert_int_equal(count(store, NULL, true), 0);
	assert_int_equal(assert_consistent(store), 2);
}

static void all_or_none(void **state)
{
	struct store *store = open_store(*state);
	struct alert two[2] = { alert(store, "a", true, 1000), alert(store, "", true, 1000) };
	struct err error = ERR_INIT;
	size_t new = 99;

	assert_fails(store_alerts_take(store, store, two, 2, "monitor", &new, &error), ERR_INVALID);
	assert_int_equal(count(store, NULL, false), 0);
	assert_fails(append(store, ENTRY_SIGNAL_ALERT, NULL, NULL,
			     json_make(store, "{s:s, s:s, s:s}", "hook", "h", "fingerprint", "f", "status", "odd"), &error),
		ERR_INVALID);
}

static void a_sink_moves_forward(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	int64_t seq;

	assert_ok(record(store, "production", "dep-1", "1.0.0", NULL, &error));
	assert_ok(store_sink_position(store, "s", &seq, &error));
	assert_int_equal(seq, 1);
	assert_ok(record(store, "production", "dep-2", "2.0.0", NULL, &error));
	assert_ok(store_sink_position(store, "s", &seq, &error));
	assert_int_equal(seq, 1);
	assert_ok(store_sink_move(store, "s", 2, &error));
	assert_ok(store_sink_move(store, "s", 1, &error));
	assert_ok(store_sink_position(store, "s", &seq, &error));
	assert_int_equal(seq, 2);
	assert_ok(store_rebuild(store, &error));
	assert_ok(store_sink_position(store, "s", &seq, &error));
	assert_int_equal(seq, 2);
}

static void what_changed(void **state)
{
	struct store *store = open_store(*state);
	struct run_row run = { .id = "run-1", .from = "dep-2", .to = "dep-1" };
	struct err error = ERR_INIT;
	json_t *before, *after;

	assert_ok(record(store, "production", "dep-1", "1.0.0", NULL, &error));
	assert_ok(record(store, "production", "dep-2", "2.0.0", NULL, &error));
	assert_ok(store_components_before(store, store, "production", 1, &before, &error));
	assert_null(before);
	assert_ok(store_components_before(store, store, "production", 2, &before, &error));
	assert_string_equal(json_str(json_object_get(before, "api"), "version", ""), "1.0.0");
	assert_ok(store_components_of_run(store, store, &run, &before, &after, &error));
	assert_string_equal(json_str(json_object_get(before, "api"), "version", ""), "2.0.0");
	assert_string_equal(json_str(json_object_get(after, "api"), "version", ""), "1.0.0");
	run = (struct run_row){ .id = "run-2" };
	assert_ok(store_components_of_run(store, store, &run, &before, &after, &error));
	assert_null(before);
	assert_null(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_is_told_once),
		TEST(without_a_beginning),
		TEST(all_or_none),
		TEST(a_sink_moves_forward),
		TEST(what_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
