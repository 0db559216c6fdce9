/* Notifications that wait, and the list of snapshots. */
#include "store_test.h"

static void queue(struct store *store, const char *id)
{
	struct err error = ERR_INIT;

	assert_ok(append(store, ENTRY_NOTIFICATION_QUEUED, "production", "run-1",
		json_make(store, "{s:s, s:s, s:s, s:[s,s], s:s, s:{s:i}}", "notification", id, "event", "failed", "channel", "email",
			"recipients", "ana", "bo", "message", "it failed", "details", "n", 1),
		&error));
}

static void settle(struct store *store, const char *kind, const char *recipient, int attempt, bool final)
{
	struct err error = ERR_INIT;

	assert_ok(append(store, kind, "production", "run-1",
		json_make(store, "{s:s, s:s, s:i, s:b}", "notification", "ntf-1", "recipient", recipient, "attempt", attempt, "final",
			final),
		&error));
}

static size_t pending(struct store *store, int64_t now_ms, struct notification **ret)
{
	struct err error = ERR_INIT;
	size_t count;

	assert_ok(store_notifications_pending(store, store, now_ms, 10, ret, &count, &error));
	return count;
}

static void recipients_leave_when_reached_or_given_up(void **state)
{
	struct store *store = open_store(*state);
	int64_t later = clock_wall_ms() + 86400000;
	struct notification *list;

	queue(store, "ntf-1");
	queue(store, "ntf-1"); /* the same message: told once */
	assert_int_equal(pending(store, clock_wall_ms(), &list), 1);
	assert_string_equal(list[0].message, "it failed");
	assert_string_equal(list[0].channel, "email");
	assert_int_equal(json_array_size(list[0].pending), 2);
	assert_int_equal(json_int(list[0].details, "n", 0), 1);
	settle(store, ENTRY_NOTIFICATION_DELIVERED, "ana", 1, false);
	assert_int_equal(pending(store, later, &list), 1);
	assert_int_equal(json_array_size(list[0].pending), 1);
	assert_string_equal(json_string_value(json_array_get(list[0].pending, 0)), "bo");
	assert_int_equal(json_array_size(list[0].recipients), 2);
	settle(store, ENTRY_NOTIFICATION_FAILED, "bo", 2, false);
	assert_int_equal(pending(store, clock_wall_ms() - 1000, &list), 0); /* backs off */
	assert_int_equal(pending(store, later, &list), 1);
	assert_int_equal(list[0].attempts, 2);
	settle(store, ENTRY_NOTIFICATION_FAILED, "bo", 3, true);
	assert_int_equal(pending(store, later, &list), 0);
	assert_consistent(store);
}

static void bad_notifications_are_refused(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;

	assert_fails(append(store, ENTRY_NOTIFICATION_QUEUED, NULL, NULL,
			     json_make(store, "{s:s, s:s, s:s}", "notification", "n", "event", "e", "channel", "c"), &error),
		ERR_INVALID);
	assert_fails(append(store, ENTRY_NOTIFICATION_QUEUED, NULL, NULL,
			     json_make(store, "{s:s, s:s, s:s, s:[i]}", "notification", "n", "event", "e", "channel", "c", "recipients", 5),
			     &error),
		ERR_INVALID);
	assert_fails(append(store, ENTRY_NOTIFICATION_DELIVERED, NULL, NULL,
			     json_make(store, "{s:s, s:s}", "notification", "n", "recipient", "ana"), &error),
		ERR_INVALID);
}

static void snapshots_are_listed(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct snapshot_row *rows;
	size_t count;

	assert_ok(append(store, ENTRY_SNAPSHOT_TAKEN, "production", "run-1",
		json_make(store, "{s:s, s:i, s:i, s:s}", "snapshot", "run-1", "files", 3, "bytes", 4096, "manifest", "abc"), &error));
	assert_ok(append(store, ENTRY_SNAPSHOT_TAKEN, "staging", "run-2", NULL, &error));
	assert_ok(append(store, ENTRY_SNAPSHOT_VERIFIED, "production", NULL, json_make(store, "{s:s, s:b}", "snapshot", "run-1", "ok", 0),
		&error));
	assert_ok(append(store, ENTRY_SNAPSHOT_PRUNED, "staging", NULL, json_make(store, "{s:s}", "snapshot", "run-2"), &error));
	assert_ok(store_snapshots(store, *state, "production", &rows, &count, &error));
	assert_int_equal(count, 1);
	assert_int_equal(rows[0].files, 3);
	assert_int_equal(rows[0].bytes, 4096);
	assert_string_equal(rows[0].manifest, "abc");
	assert_false(rows[0].ok);
	assert_true(rows[0].verified_ms > 0);
	assert_ok(store_snapshots(store, *state, NULL, &rows, &count, &error));
	assert_int_equal(count, 2);
	assert_true(rows[0].pruned);
	assert_fails(append(store, ENTRY_SNAPSHOT_VERIFIED, "production", NULL, json_make(store, "{s:s}", "snapshot", "run-9"), &error),
		ERR_INVALID);
	assert_consistent(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(recipients_leave_when_reached_or_given_up),
		TEST(bad_notifications_are_refused),
		TEST(snapshots_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
