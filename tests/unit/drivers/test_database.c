/* What database drivers share: goals, row lists larger than a portion, their comparison, the ledger over several attempts, facts. */
#include "checks.h"

#include "base/fs.h"
#include "data/json.h"
#include "drivers/database.h"
#include "worker_call.h"

struct world {
	char folder[40];
	struct driver_call *call;
};

static const struct field no_fields[] = { FIELD_END };

static char *in(struct world *world, const char *path)
{
	return fs_join(world, world->folder, path);
}

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-database-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	world->call = worker_call(world, no_fields, 1, world->folder, "{}");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;

	assert_ok(fs_remove_tree(world->folder, &error));
	worker_log_clear();
	talloc_free(world);
	return 0;
}

static char *text_of(struct world *world, const char *path)
{
	struct err error = ERR_INIT;
	char *text;

	assert_ok(fs_read(world, in(world, path), 1 << 20, &text, NULL, &error));
	return text;
}

static void write_file(struct world *world, const char *path)
{
	char *whole = in(world, path), *folder = mem_strdup(world, whole);
	struct err error = ERR_INIT;

	*strrchr(folder, '/') = 0;
	assert_ok(fs_mkdirs(folder, 0700, &error));
	assert_ok(fs_write_atomic(whole, "", 0, 0600, &error));
}

/* ---- the goal ---- */

static int goal_of(struct world *world, const char *target, struct database_goal *ret, struct err *err)
{
	world->call->target = worker_json(world, target);
	world->call->sources = worker_json(world,
		mem_printf(world, "{'dep-1': '%s/one', 'empty': '%s/empty'}", world->folder, world->folder));
	return database_read_goal(world->call, "copy", ret, err);
}

static void test_goal(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	struct database_goal goal;

	write_file(world, "one/copy");
	write_file(world, "gone/absent");
	assert_ok(goal_of(world, "{'snapshotId': 'dep-1'}", &goal, &error));
	assert_string_equal(goal.dir, in(world, "one"));
	assert_int_equal(goal.table_count, 0);
	assert_fails(goal_of(world, "{'snapshotId': 'empty'}", &goal, &error), ERR_NOT_FOUND);
	assert_fails(goal_of(world, "{'snapshotId': 'dep-2'}", &goal, &error), ERR_NOT_FOUND);
	assert_fails(goal_of(world, "{}", &goal, &error), ERR_NOT_FOUND);
	world->call->source_dir = in(world, "gone");
	assert_ok(goal_of(world, "{}", &goal, &error));
	assert_true(database_was_absent(world, goal.dir));
	world->call->source_dir = NULL;
	assert_ok(goal_of(world, "{'tables': {'users': 'dep-1'}}", &goal, &error));
	assert_null(goal.dir);
	assert_int_equal(goal.table_count, 1);
	assert_string_equal(goal.tables[0].name, "users");
	assert_string_equal(goal.tables[0].dir, in(world, "one"));
	assert_fails(goal_of(world, "{'tables': {'users': 'empty'}}", &goal, &error), ERR_NOT_FOUND);
	assert_fails(goal_of(world, "{'tables': {'users': 'dep-7'}}", &goal, &error), ERR_NOT_FOUND);
	assert_fails(goal_of(world, "{'tables': {}}", &goal, &error), ERR_INVALID);
	assert_ok(goal_of(world, "{'migration': '20260101'}", &goal, &error));
	assert_string_equal(goal.migration, "20260101");
	assert_null(goal.dir);
}

static void test_is_to_restore(void **state)
{
	struct world *world = *state;
	const struct {
		const char *target;
		bool kept, expected;
	} rows[] = {
		{ "{'snapshotId': 'x'}", false, true },
		{ "{'tables': {'a': 'x'}}", false, true },
		{ "{'preserveData': true}", true, false },
		{ "{'preserveData': false}", true, true },
		{ "{}", true, true },
		{ "{}", false, false },
	};

	world->call->target = NULL;
	assert_false(database_is_to_restore(world->call));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		world->call->target = worker_json(world, rows[i].target);
		world->call->source_dir = rows[i].kept ? "/kept" : NULL;
		assert_int_equal(database_is_to_restore(world->call), rows[i].expected);
	}
}

/* A capture that is repeated as something else leaves nothing of the first. */
static void test_capture_begin(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *copy;

	world->call->snapshot_dir = in(world, "snapshot");
	write_file(world, "snapshot/copy");
	write_file(world, "snapshot/rows/users");
	write_file(world, "snapshot/tables.json");
	assert_ok(database_capture_begin(world->call, "copy", true, &error));
	assert_true(database_was_absent(world, in(world, "snapshot")));
	assert_fails(database_find_copy(world, in(world, "snapshot"), "copy", &copy, &error), ERR_NOT_FOUND);
	assert_false(fs_exists(in(world, "snapshot/rows")));
	assert_false(fs_exists(in(world, "snapshot/tables.json")));
	assert_ok(database_capture_begin(world->call, "copy", false, &error));
	assert_false(database_was_absent(world, in(world, "snapshot")));
}

static void test_file_names(void **state)
{
	struct world *world = *state;
	char *long_name = mem_strdup(world, "");

	for (int i = 0; i < 100; i++)
		long_name = mem_append(long_name, "ä");
	assert_string_equal(database_file_name(world, "billing.users"), "billing.users");
	assert_string_equal(database_file_name(world, "a/b c"), "a%2Fb%20c");
	assert_string_equal(database_file_name(world, ".."), "%2E.");
	assert_string_equal(database_file_name(world, ""), "%2E");
	assert_int_equal(strlen(database_file_name(world, long_name)), 64);
}

/* ---- row lists ---- */

static void begin_list(struct world *world, const char *dir, struct row_list **ret)
{
	struct err error = ERR_INIT;

	assert_ok(row_list_open(world, in(world, dir), "users", ret, &error));
}

static void add(struct row_list *list, const char *key, const char *hash)
{
	struct err error = ERR_INIT;

	assert_ok(row_list_add(list, key, hash, &error));
}

static int64_t end_list(struct row_list *list, char checksum[HASH_HEX_SIZE])
{
	struct err error = ERR_INIT;
	int64_t rows = -1;

	assert_ok(row_list_close(list, &rows, checksum, &error));
	return rows;
}

static int append_change(void *user, enum row_change change, const char *key, int64_t times, struct err *err)
{
	char **text = user;

	(void)err;
	*text = mem_appendf(*text, "%c%s*%lld ", "+~-"[change], key, (long long)times);
	return 0;
}

static const char *changes(struct world *world, const char *then, const char *now)
{
	char *text = mem_strdup(world, "");
	struct err error = ERR_INIT;

	assert_ok(row_lists_compare(in(world, then), in(world, now), "users", append_change, &text, &error));
	return text;
}

/* Many portions, merged more than once; given in two orders the list is the same. */
static void test_large_lists(void **state)
{
	struct world *world = *state;
	char first[HASH_HEX_SIZE], second[HASH_HEX_SIZE], *text, *line, *before = NULL;
	struct row_list *list;
	struct err error = ERR_INIT;
	int count = 5000, seen = 0;

	begin_list(world, "a", &list);
	for (int i = 0; i < count; i++)
		add(list, mem_printf(world, "[%d]", i * 7919 % count), "00112233445566778899aabbccddeeff");
	assert_int_equal(end_list(list, first), count);
	begin_list(world, "b", &list);
	for (int i = count - 1; i >= 0; i--)
		add(list, mem_printf(world, "[%d]", i), "00112233445566778899aabbccddeeff");
	assert_int_equal(end_list(list, second), count);
	assert_string_equal(first, second);
	text = text_of(world, "a/rows/users");
	while ((line = strsep(&text, "\n")) && *line) {
		assert_true(!before || strcmp(before, line) < 0);
		before = line;
		seen++;
	}
	assert_int_equal(seen, count);
	assert_string_equal(changes(world, "a", "b"), "");
	assert_ok(row_list_open(world, NULL, "users", &list, &error));
	for (int i = 0; i < count; i++)
		add(list, mem_printf(world, "[%d]", i), "00112233445566778899aabbccddeeff");
	assert_int_equal(end_list(list, second), count);
	assert_string_equal(first, second);
	hash_blake2b_hex(text_of(world, "a/rows/users"), strlen(text_of(world, "a/rows/users")), second);
	assert_string_equal(first, second);
}

static void test_compare(void **state)
{
	struct world *world = *state;
	char checksum[HASH_HEX_SIZE];
	struct row_list *list;

	begin_list(world, "then", &list);
	add(list, "[1]", "aa");
	add(list, "[10]", "bb");
	add(list, "[2]", "cc");
	add(list, "[\"x y\"]", "ee");
	assert_int_equal(end_list(list, checksum), 4);
	begin_list(world, "now", &list);
	add(list, "[\"x y\"]", "ee");
	add(list, "[2]", "changed");
	add(list, "[3]", "new");
	add(list, "[1]", "aa");
	assert_int_equal(end_list(list, checksum), 4);
	assert_string_equal(changes(world, "then", "now"), "-[10]*1 ~[2]*1 +[3]*1 ");
	assert_string_equal(changes(world, "none", "now"), "+[\"x y\"]*1 +[1]*1 +[2]*1 +[3]*1 ");
	assert_string_equal(changes(world, "then", "none"), "-[\"x y\"]*1 -[10]*1 -[1]*1 -[2]*1 ");
	assert_string_equal(changes(world, "none", "none"), "");
}

/* Equal rows of a table without primary key are counted, over portions too. */
static void test_without_key(void **state)
{
	struct world *world = *state;
	char checksum[HASH_HEX_SIZE];
	struct row_list *list;

	begin_list(world, "then", &list);
	for (int i = 0; i < 3000; i++)
		add(list, i % 2 ? "aaaa" : "bbbb", NULL);
	assert_int_equal(end_list(list, checksum), 3000);
	assert_string_equal(text_of(world, "then/rows/users"), "aaaa\t1500\nbbbb\t1500\n");
	begin_list(world, "now", &list);
	for (int i = 0; i < 3000; i++)
		add(list, i < 1502 ? "aaaa" : i < 2900 ? "bbbb" : "cccc", NULL);
	assert_int_equal(end_list(list, checksum), 3000);
	assert_string_equal(changes(world, "then", "now"), "+aaaa*2 -bbbb*102 +cccc*100 ");
}

static void test_bad_rows(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char checksum[HASH_HEX_SIZE];
	struct row_list *list;
	int64_t rows;

	begin_list(world, "a", &list);
	assert_fails(row_list_add(list, "[\"a\tb\"]", "x", &error), ERR_INVALID);
	add(list, "[1]", "aa");
	add(list, "[1]", "bb");
	assert_fails(row_list_close(list, &rows, checksum, &error), ERR_DRIVER);
	assert_non_null(strstr(error.text, "same key"));
	assert_false(fs_exists(in(world, "a/rows/users")));
	assert_false(fs_exists(in(world, "a/rows/.partial")));
	begin_list(world, "a", &list);
	add(list, "[1]", "aa");
	row_list_abort(&list);
	assert_null(list);
	assert_false(fs_exists(in(world, "a/rows/users")));
	write_file(world, "a/rows/users");
	assert_ok(fs_write_atomic(in(world, "a/rows/users"), "no tab\n", 7, 0600, &error));
	assert_fails(row_lists_compare(in(world, "a"), in(world, "b"), "users", append_change, NULL, &error), ERR_CORRUPT);
}

/* ---- ledger ---- */

static json_t *write_ledger(struct world *world, int added, int changed)
{
	struct ledger *ledger;
	struct err error = ERR_INIT;
	json_t *total = NULL;

	assert_ok(ledger_open(world->call, "2026-01-01T00:00:00.000Z", &ledger, &error));
	for (int i = 0; i < added; i++) {
		char *key = mem_printf(world, "[%d]", i);

		assert_true(!world->call->ledger_dir || ledger_keeps(ledger, "users"));
		assert_ok(ledger_add(ledger, "users", ROW_ADDED, key, 1, worker_json(world, mem_printf(world, "{'id': %d}", i)), &error));
	}
	for (int i = 0; i < changed; i++)
		assert_ok(ledger_add(ledger, "orders", ROW_CHANGED, "[7]", 1, worker_json(world, "{'id': 7}"), &error));
	if (changed > 0) {
		assert_ok(ledger_add(ledger, "orders", ROW_REMOVED, "[8,\"x\"]", 1, NULL, &error));
		assert_ok(ledger_add(ledger, "orders", ROW_REMOVED, "0badcafe", 3, NULL, &error));
	}
	assert_ok(ledger_close(&ledger, &total, &error));
	return total;
}

static json_t *ledger_file(struct world *world, const char *path)
{
	return worker_json(world, text_of(world, path));
}

static void test_ledger(void **state)
{
	struct world *world = *state;
	json_t *total, *whole;

	world->call->ledger_dir = in(world, "ledger");
	total = write_ledger(world, 2, 1);
	assert_true(json_equal(total, worker_json(world, "{'added': 2, 'changed': 1, 'removed': 4, 'tables': 2}")));
	whole = ledger_file(world, "ledger/ledger.json");
	assert_true(json_equal(whole,
		worker_json(world,
			"{'since': '2026-01-01T00:00:00.000Z', 'tables': {'users': {'added': 2, 'changed': 0, 'removed': 0},"
			" 'orders': {'added': 0, 'changed': 1, 'removed': 4}}}")));
	assert_string_equal(text_of(world, "ledger/users.jsonl"),
		"{\"change\":\"added\",\"row\":{\"id\":0}}\n{\"change\":\"added\",\"row\":{\"id\":1}}\n");
	assert_string_equal(text_of(world, "ledger/orders.jsonl"),
		"{\"change\":\"changed\",\"row\":{\"id\":7}}\n{\"change\":\"removed\",\"key\":[8,\"x\"]}\n"
		"{\"change\":\"removed\",\"key\":\"0badcafe\",\"times\":3}\n");
	assert_false(fs_exists(in(world, "ledger/new")));
	assert_non_null(strstr(worker_log(), "since 2026-01-01T00:00:00.000Z 2 rows were added, 1 changed and 4 removed, in 2 tables"));
}

/* The first attempt may have come true: a repetition that finds nothing leaves its ledger, one that finds more puts it aside. */
static void test_ledger_again(void **state)
{
	struct world *world = *state;
	json_t *total;

	world->call->ledger_dir = in(world, "ledger");
	(void)write_ledger(world, 2, 0);
	write_file(world, "ledger/new/half.jsonl");
	total = write_ledger(world, 0, 0);
	assert_int_equal(json_int(total, "added", 0), 2);
	assert_int_equal(
		json_int(json_object_get(json_object_get(ledger_file(world, "ledger/ledger.json"), "tables"), "users"), "added", 0), 2);
	assert_false(fs_exists(in(world, "ledger/new")));
	total = write_ledger(world, 1, 0);
	assert_int_equal(json_int(total, "added", 0), 1);
	total = write_ledger(world, 0, 1);
	assert_true(json_equal(json_object_get(ledger_file(world, "ledger/ledger.json"), "earlier"),
		worker_json(world, "['attempt-1', 'attempt-2']")));
	assert_false(fs_exists(in(world, "ledger/users.jsonl")));
	assert_non_null(strstr(text_of(world, "ledger/attempt-1/users.jsonl"), "{\"id\":1}"));
	assert_int_equal(json_int(json_object_get(json_object_get(ledger_file(world, "ledger/attempt-2/ledger.json"), "tables"), "users"),
				 "added", 0),
		1);
}

static void test_no_ledger(void **state)
{
	struct world *world = *state;
	json_t *total = write_ledger(world, 3, 0);

	assert_int_equal(json_int(total, "added", 0), 3);
	assert_non_null(strstr(worker_log(), "this run has no ledger"));
}

/* ---- facts ---- */

static void test_facts(void **state)
{
	struct world *world = *state;
	struct findings *findings = findings_new(world);
	json_t *then = json_make(world, "{}"), *now, *read;
	struct err error = ERR_INIT;
	const char *at;

	database_put_facts(then, "users", 2, "aa");
	database_put_facts(then, "orders", 3, "bb");
	database_put_facts(then, "old", 1, "cc");
	write_file(world, "capture/rows/users");
	assert_ok(database_write_facts(in(world, "capture"), then, &error));
	assert_ok(database_read_facts(world, in(world, "capture"), &read, &at, &error));
	assert_true(json_equal(then, read));
	assert_true(strlen(at) > 20);
	assert_int_equal(database_compare_facts(then, read, NULL, "db", findings), 0);
	now = json_make(world, "{}");
	database_put_facts(now, "users", 2, "other");
	database_put_facts(now, "orders", 4, "bb");
	database_put_facts(now, "fresh", 0, "dd");
	assert_int_equal(database_compare_facts(then, now, NULL, "db", findings), 4);
	assert_int_equal(findings_blocking(findings), 4);
	assert_non_null(strstr(findings->list[0].message, "their content is another"));
	assert_non_null(strstr(findings->list[1].message, "4 rows, 3 were expected"));
	assert_non_null(strstr(findings->list[2].message, "table old is missing"));
	assert_non_null(strstr(findings->list[3].message, "table fresh was not there"));
	findings = findings_new(world);
	assert_int_equal(database_compare_facts(then, now, worker_json(world, "['fresh', 'old', 'orders']"), "db", findings), 1);
	assert_fails(database_read_facts(world, in(world, "none"), &read, NULL, &error), ERR_NOT_FOUND);
	assert_ok(fs_write_atomic(in(world, "capture/tables.json"), "{}", 2, 0600, &error));
	assert_fails(database_read_facts(world, in(world, "capture"), &read, NULL, &error), ERR_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_is_to_restore, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_capture_begin, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_file_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large_lists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_compare, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_rows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ledger, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ledger_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_ledger, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_facts, set_up, tear_down),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
