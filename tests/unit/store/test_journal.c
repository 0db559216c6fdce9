/* The journal: linked entries, filters, what verification notices, what is refused. */
#include <sys/syscall.h>
#include <unistd.h>

#include "store_test.h"

static unsigned flushes;

/* Instead of the C library's, also for libsqlite3. */
int fdatasync(int fd)
{
	flushes++;
	return (int)syscall(SYS_fdatasync, fd);
}

static void what_is_appended_soon_reaches_the_disk_when_settled(void **state)
{
	struct store *store = open_store(*state);
	struct entry soon = { .kind = "note.soon" }, now = { .kind = "note.now" };
	struct journal *journal = &store->journal;
	struct err error = ERR_INIT;
	unsigned before;

	assert_ok(store_append(store, *state, &now, &error));
	before = flushes;
	assert_ok(journal->ops->append_soon(journal, *state, NULL, &soon, 1, &error));
	assert_int_equal(flushes, before);
	assert_ok(journal->ops->settle(journal, &error));
	assert_true(flushes > before);
	before = flushes;
	now = (struct entry){ .kind = "note.now" };
	assert_ok(store_append(store, *state, &now, &error));
	assert_true(flushes > before);
}

static void entries_are_linked_and_read_back(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct entry entries[3] = {
		{ .kind = "note.one",
			.environment = "production",
			.actor = "ana",
			.data = json_make(store, "{s:i, s:f, s:s, s:[i,i], s:n}", "whole", 7, "real", 1.0, "text", "\xc3\xa4 \"q\" \n",
				"list", 2, 1, "none") },
		{ .kind = "note.two", .run = "run-1", .wall_ms = 1234567890123 },
		{ .kind = "other", .environment = "staging", .run = "run-1" },
	};
	struct entry_filter all = { 0 };
	struct entry *read;
	size_t count;
	int64_t head;

	assert_ok(store_append_all(store, *state, NULL, entries, 3, &error));
	assert_int_equal(entries[0].seq, 1);
	assert_string_equal(entries[0].previous, ENTRY_FIRST_PREVIOUS);
	assert_string_equal(entries[1].previous, entries[0].hash);
	assert_string_equal(entries[2].previous, entries[1].hash);
	assert_int_equal(entries[1].wall_ms, 1234567890123);
	assert_true(entries[0].wall_ms > 1700000000000);
	assert_non_null(entries[2].data);
	assert_ok(store_read(store, *state, &all, &read, &count, &error));
	assert_int_equal(count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(read[i].seq, i + 1);
		assert_string_equal(read[i].id, entries[i].id);
		assert_string_equal(read[i].hash, entries[i].hash);
		assert_true(json_equal(read[i].data, entries[i].data));
	}
	assert_null(read[1].environment);
	assert_ok(store_head(store, &head, &error));
	assert_int_equal(head, 3);
	assert_int_equal(assert_consistent(store), 3);
}

static size_t count_of(struct store *store, struct entry_filter filter, int64_t *first)
{
	struct err error = ERR_INIT;
	struct entry *read;
	size_t count;

	assert_ok(store_read(store, store, &filter, &read, &count, &error));
	*first = count ? read[0].seq : 0;
	return count;
}

static void filters_select(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	int64_t first;

	for (int i = 0; i < 4; i++) {
		assert_ok(append(store, "a.x", "production", "run-1", NULL, &error));
		assert_ok(append(store, "a.y", "staging", "run-2", NULL, &error));
		assert_ok(append(store, "ab.x", NULL, NULL, NULL, &error));
	}
	assert_int_equal(count_of(store, (struct entry_filter){ .run = "run-1" }, &first), 4);
	assert_int_equal(count_of(store, (struct entry_filter){ .environment = "staging", .after_seq = 2 }, &first), 3);
	assert_int_equal(first, 5);
	assert_int_equal(count_of(store, (struct entry_filter){ .kind = "a.*" }, &first), 8);
	assert_int_equal(count_of(store, (struct entry_filter){ .kind = "a.x" }, &first), 4);
	assert_int_equal(count_of(store, (struct entry_filter){ .kind = "a" }, &first), 0);
	assert_int_equal(count_of(store, (struct entry_filter){ .newest_first = true, .limit = 2 }, &first), 2);
	assert_int_equal(first, 12);
	assert_int_equal(count_of(store,
				 (struct entry_filter){ .run = "run-2",
					 .environment = "staging",
					 .kind = "a.y",
					 .after_seq = 3,
					 .limit = 9,
					 .newest_first = true },
				 &first),
		3);
	assert_int_equal(first, 11);
}

static void all_or_none(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct entry entries[2] = { { .kind = "note" }, { .kind = ENTRY_DEPLOYMENT_HEALTH } };
	int64_t head;

	entries[1].data = json_make(*state, "{s:s, s:s}", "deployment", "dep-unknown", "health", "passing");
	assert_fails(store_append_all(store, *state, NULL, entries, 2, &error), ERR_INVALID);
	assert_has(error.text, "dep-unknown");
	assert_int_equal(entries[0].seq, 0);
	assert_null(entries[0].hash);
	assert_ok(store_head(store, &head, &error));
	assert_int_equal(head, 0);
	assert_ok(append(store, "note", NULL, NULL, NULL, &error));
	assert_int_equal(assert_consistent(store), 1);
}

static void what_could_not_be_read_back_is_refused(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	json_t *deep = json_object();

	for (int i = 0; i < 70; i++)
		deep = json_pack("{s:o}", "d", deep);
	json_keep(*state, deep);
	assert_fails(append(store, "note", NULL, NULL, deep, &error), ERR_INVALID);
	assert_fails(append(store, "note", NULL, NULL, json_keep(*state, json_array()), &error), ERR_INVALID);
	assert_fails(append(store, "note", NULL, NULL, json_keep(*state, json_pack("{s:s#}", "a", "b\0c", 3)), &error), ERR_INVALID);
	assert_fails(append(store, "note", "\xff", NULL, NULL, &error), ERR_INVALID);
	assert_fails(append(store, "", NULL, NULL, NULL, &error), ERR_INVALID);
	assert_int_equal(assert_consistent(store), 0);
}

static struct store *with_ten(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;

	for (int i = 0; i < 10; i++)
		assert_ok(append(store, "note", "production", NULL, json_make(store, "{s:i}", "n", i), &error));
	return store;
}

static void assert_damage(void **state, const char *statement, const char *says)
{
	struct store *store = with_ten(state);
	struct err error = ERR_INIT;
	int64_t count;
	char head[65];

	assert_ok(run_sql(store, statement, &error));
	assert_fails(store_verify(store, &count, head, &error), ERR_CORRUPT);
	assert_has(error.text, says);
}

static void verification_notices_alteration(void **state)
{
	assert_damage(state, "UPDATE entries SET data = '{\"n\":99}' WHERE seq = 4", "entry 4");
}

static void verification_notices_another_time(void **state)
{
	assert_damage(state, "UPDATE entries SET wall_ms = wall_ms + 1 WHERE seq = 7", "entry 7");
}

static void verification_notices_deletion(void **state)
{
	assert_damage(state, "DELETE FROM entries WHERE seq = 5", "entry 5");
}

static void verification_notices_the_first_gone(void **state)
{
	assert_damage(state, "DELETE FROM entries WHERE seq = 1", "entry 1");
}

static void verification_notices_a_cut_end(void **state)
{
	assert_damage(state, "DELETE FROM entries WHERE seq > 8", "entry 9");
}

static void verification_notices_an_added_end(void **state)
{
	assert_damage(state,
		"INSERT INTO entries SELECT 11, id, wall_ms, kind, environment, run, actor, data, previous, hash FROM entries WHERE seq = 10",
		"entry 11");
}

static void verification_notices_unreadable_data(void **state)
{
	assert_damage(state, "UPDATE entries SET data = '{\"n\":' WHERE seq = 2", "entry 2");
}

static void verification_notices_reordering(void **state)
{
	struct store *store = with_ten(state);
	struct err error = ERR_INIT;
	int64_t count;
	char head[65];

	assert_ok(run_sql(store, "UPDATE entries SET seq = 100 WHERE seq = 3", &error));
	assert_ok(run_sql(store, "UPDATE entries SET seq = 3 WHERE seq = 4", &error));
	assert_ok(run_sql(store, "UPDATE entries SET seq = 4 WHERE seq = 100", &error));
	assert_fails(store_verify(store, &count, head, &error), ERR_CORRUPT);
	assert_has(error.text, "entry 3");
}

/* Sealed again after a change: the entry fits itself, and the next one does not follow on it. */
static void verification_notices_a_resealed_entry(void **state)
{
	struct store *store = with_ten(state);
	struct entry_filter filter = { .after_seq = 5, .limit = 1 };
	struct err error = ERR_INIT;
	struct entry *read;
	size_t count;
	int64_t verified;
	char head[65];

	assert_ok(store_read(store, *state, &filter, &read, &count, &error));
	read->data = json_make(*state, "{s:i}", "n", 55);
	entry_seal(*state, read);
	assert_ok(run_sql(store, mem_printf(*state, "UPDATE entries SET data = '{\"n\":55}', hash = '%s' WHERE seq = 6", read->hash),
		&error));
	assert_fails(store_verify(store, &verified, head, &error), ERR_CORRUPT);
	assert_has(error.text, "entry 7");
}

static void rebuilding_mends_the_tables(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct deployment deployment;

	assert_ok(record(store, "production", "dep-1", "1.0.0", "passing", &error));
	assert_ok(run_sql(store, "UPDATE deployments SET health = 'failing'", &error));
	assert_ok(store_rebuild(store, &error));
	assert_ok(store_deployment(store, *state, "dep-1", &deployment, &error));
	assert_int_equal(deployment.health, HEALTH_PASSING);
	assert_int_equal(deployment.passing, 1);
}

static void long_journals_are_read_in_batches(void **state)
{
	struct store *store = open_store(*state);
	struct entry *entries = mem_array(*state, struct entry, 1000);
	struct err error = ERR_INIT;

	for (int i = 0; i < 1000; i++)
		entries[i] = entry_make(*state, ENTRY_FLAG_SET, "production", NULL, "{s:s, s:s}", "flag",
			mem_printf(*state, "flag-%d", i % 50), "state", i % 3 ? "true" : "false");
	assert_ok(store_append_all(store, *state, NULL, entries, 1000, &error));
	assert_int_equal(assert_consistent(store), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_appended_soon_reaches_the_disk_when_settled),
		TEST(entries_are_linked_and_read_back),
		TEST(filters_select),
		TEST(all_or_none),
		TEST(what_could_not_be_read_back_is_refused),
		TEST(verification_notices_alteration),
		TEST(verification_notices_another_time),
		TEST(verification_notices_deletion),
		TEST(verification_notices_the_first_gone),
		TEST(verification_notices_a_cut_end),
		TEST(verification_notices_an_added_end),
		TEST(verification_notices_unreadable_data),
		TEST(verification_notices_reordering),
		TEST(verification_notices_a_resealed_entry),
		TEST(rebuilding_mends_the_tables),
		TEST(long_journals_are_read_in_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
