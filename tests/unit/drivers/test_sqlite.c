/* The sqlite driver: facts, capture, whole restores beside readers, single tables, damage, locks. */
#include "checks.h"
#include <sqlite3.h>

#include "base/clock.h"
#include "base/fs.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/list.h"
#include "worker_call.h"

struct world {
	char folder[40];
	struct err err;
	struct observation seen;
};

static const char *const config = "{'path': 'data/app.db', 'busyTimeout': '200ms'}";
static const char *const schema =
	"CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT DEFAULT 'x');"
	"CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL REFERENCES users(id), total REAL);"
	"CREATE INDEX orders_by_user ON orders(user_id);"
	"INSERT INTO users VALUES (1, 'ana', 'x'), (2, 'bo', NULL); INSERT INTO orders VALUES (1, 1, 9.5), (2, 2, 1);"
	"PRAGMA user_version = 3;";

static char *in(struct world *world, const char *path)
{
	return fs_join(world, world->folder, path);
}

static sqlite3 *open_db(struct world *world, const char *path)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(in(world, path), &db), SQLITE_OK);
	return db;
}

static void sql_on(sqlite3 *db, const char *text)
{
	char *problem = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &problem) != SQLITE_OK)
		fail_msg("%s: %s", text, problem);
}

static void sql(struct world *world, const char *text)
{
	sqlite3 *db = open_db(world, "data/app.db");

	sql_on(db, text);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int append_row(void *user, int count, char **values, char **names)
{
	char **text = user;

	(void)names;
	for (int i = 0; i < count; i++)
		*text = mem_appendf(*text, "%s%s", i ? "," : "", values[i] ? values[i] : "NULL");
	*text = mem_append(*text, ";");
	return 0;
}

static char *rows_on(struct world *world, sqlite3 *db, const char *query)
{
	char *text = mem_strdup(world, "");

	assert_int_equal(sqlite3_exec(db, query, append_row, &text, NULL), SQLITE_OK);
	return text;
}

static char *rows(struct world *world, const char *query)
{
	sqlite3 *db = open_db(world, "data/app.db");
	char *text = rows_on(world, db, query);

	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return text;
}

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-sqlite-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	assert_int_equal(fs_mkdirs(in(world, "data"), 0755, &world->err), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(world->folder, &err), 0);
	worker_log_clear();
	talloc_free(world);
	return 0;
}

static struct driver_call *make_with(struct world *world, const char *settings, const char *target, const char *source)
{
	struct driver_call *call = worker_call(world, driver_sqlite.fields, driver_sqlite.params_size, world->folder, settings);

	call->target = target ? worker_json(call, target) : NULL;
	call->source_dir = source ? in(world, source) : NULL;
	call->snapshot_dir = in(world, "snapshot");
	call->run_id = "run-1";
	call->sources = worker_json(call,
		mem_printf(call, "{'dep-1': '%s/kept', 'dep-2': '%s/kept2', 'none': '%s/none'}", world->folder, world->folder,
			world->folder));
	world->err = ERR_INIT;
	return call;
}

static struct driver_call *make(struct world *world, const char *target, const char *source)
{
	return make_with(world, config, target, source);
}

static void observe(struct world *world, struct driver_call *call)
{
	if (driver_sqlite.observe(call, &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static int apply(struct world *world, struct driver_call *call)
{
	return driver_sqlite.apply(call, json_keep(call, json_object()), &world->err);
}

static void must_apply(struct world *world, struct driver_call *call)
{
	if (apply(world, call) < 0)
		fail_msg("%s", world->err.text);
}

static void capture(struct world *world, const char *dir)
{
	struct driver_call *call = make(world, NULL, NULL);

	call->snapshot_dir = in(world, dir);
	assert_int_equal(fs_mkdirs(call->snapshot_dir, 0700, &world->err), 0);
	if (driver_sqlite.capture(call, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static void test_observe(void **state)
{
	struct world *world = *state;
	const char *version;

	observe(world, make(world, NULL, NULL));
	assert_string_equal(world->seen.version, "");
	assert_string_equal(world->seen.state, "absent");
	assert_false(fs_exists(in(world, "data/app.db")));
	sql(world, schema);
	observe(world, make(world, NULL, NULL));
	version = world->seen.version;
	assert_true(strncmp(version, "m3-", 3) == 0);
	assert_string_equal(json_canonical(world, json_object_get(world->seen.details, "rowCounts")), "{\"orders\":2,\"users\":2}");
	assert_string_equal(
		json_canonical(world, json_object_get(json_object_get(json_object_get(world->seen.details, "schema"), "tables"), "users")),
		"{\"columns\":{\"id\":{\"default\":null,\"identity\":true,\"notNull\":false,\"primaryKey\":true,\"type\":\"INTEGER\"},"
		"\"name\":{\"default\":null,\"notNull\":true,\"primaryKey\":false,\"type\":\"TEXT\"},"
		"\"note\":{\"default\":\"'x'\",\"notNull\":false,\"primaryKey\":false,\"type\":\"TEXT\"}}}");
	assert_string_equal(json_str(world->seen.details, "migration", ""), "3");
	sql(world, "INSERT INTO users VALUES (3, 'cy', '')");
	observe(world, make(world, NULL, NULL));
	assert_string_equal(world->seen.version, version); /* rows are not the version */
	sql(world, "ALTER TABLE users ADD COLUMN mail TEXT");
	observe(world, make(world, NULL, NULL));
	assert_string_not_equal(world->seen.version, version);
	sql(world,
		"CREATE TABLE schema_migrations (version TEXT); INSERT INTO schema_migrations VALUES ('20260101'), ('20260102_add_mail')");
	observe(world, make_with(world, "{'path': 'data/app.db', 'irreversible': ['20260102_add_mail']}", NULL, NULL));
	assert_string_equal(json_str(world->seen.details, "migration", ""), "20260102_add_mail");
	assert_string_equal(json_canonical(world, json_object_get(world->seen.details, "irreversible")), "[\"20260102_add_mail\"]");
}

static void test_whole_restore(void **state)
{
	struct world *world = *state;
	struct stat before, after;
	char **names;

	sql(world, schema);
	assert_int_equal(chmod(in(world, "data/app.db"), 0640), 0);
	capture(world, "kept");
	assert_int_equal(fs_list(world, in(world, "kept"), &names, &world->err), 0);
	assert_string_equal(names[0], "database.sqlite");
	assert_string_equal(names[1], "tables.json");
	assert_null(names[2]);
	assert_int_equal(stat(in(world, "data/app.db"), &before), 0);
	observe(world, make(world, "{'version': 'x'}", "kept"));
	assert_int_equal(world->seen.at_target, 1);

	sql(world, "UPDATE users SET name = 'changed' WHERE id = 1");
	observe(world, make(world, "{'version': 'x'}", "kept"));
	assert_int_equal(world->seen.at_target, 0);
	sql(world, "DROP TABLE orders; CREATE TABLE more (x); INSERT INTO more VALUES (zeroblob(200000)); PRAGMA user_version = 4");
	must_apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	assert_string_equal(rows(world, "SELECT * FROM users ORDER BY id"), "1,ana,x;2,bo,NULL;");
	assert_string_equal(rows(world, "SELECT name FROM sqlite_master ORDER BY name"), "orders;orders_by_user;sqlite_sequence;users;");
	assert_string_equal(rows(world, "PRAGMA user_version"), "3;");
	observe(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	assert_int_equal(world->seen.at_target, 1);
	must_apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL)); /* again */
	assert_int_equal(stat(in(world, "data/app.db"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mode, after.st_mode);
	/* what differs in the catalogue only is seen too */
	sql(world, "PRAGMA user_version = 5");
	observe(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	assert_int_equal(world->seen.at_target, 0);
	must_apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	sql(world, "DROP INDEX orders_by_user");
	observe(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	assert_int_equal(world->seen.at_target, 0);
}

/* In WAL mode, with a reader in the middle of a transaction: it goes on to see the old content, the next one sees the new. */
static void test_whole_restore_beside_a_reader(void **state)
{
	struct world *world = *state;
	sqlite3 *reader;

	sql(world, "PRAGMA journal_mode = WAL");
	sql(world, schema);
	capture(world, "kept");
	reader = open_db(world, "data/app.db");
	sql_on(reader, "INSERT INTO users VALUES (9, 'new', NULL)"); /* stands in the WAL */
	sql_on(reader, "BEGIN");
	assert_string_equal(rows_on(world, reader, "SELECT count(*) FROM users"), "3;");
	must_apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	assert_string_equal(rows_on(world, reader, "SELECT count(*) FROM users"), "3;");
	sql_on(reader, "COMMIT");
	assert_string_equal(rows_on(world, reader, "SELECT count(*) FROM users"), "2;");
	assert_string_equal(rows_on(world, reader, "PRAGMA journal_mode"), "wal;");
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	observe(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	assert_int_equal(world->seen.at_target, 1);
}

static void test_capture_of_what_stands_in_the_wal(void **state)
{
	struct world *world = *state;
	sqlite3 *writer;

	sql(world, "PRAGMA journal_mode = WAL");
	writer = open_db(world, "data/app.db");
	sql_on(writer, schema);
	sql_on(writer, "BEGIN; INSERT INTO users VALUES (7, 'not committed', NULL)");
	capture(world, "kept");
	assert_false(fs_exists(in(world, "kept/database.sqlite-wal")));
	sql_on(writer, "COMMIT");
	assert_int_equal(sqlite3_close(writer), SQLITE_OK);
	must_apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	assert_string_equal(rows(world, "SELECT name FROM users ORDER BY id"), "ana;bo;");
}

static void test_tables(void **state)
{
	struct world *world = *state;
	const char *target = "{'tables': {'users': 'dep-1', 'orders': 'dep-2'}}";

	sql(world, schema);
	capture(world, "kept");
	sql(world, "INSERT INTO orders VALUES (3, 1, 7)");
	capture(world, "kept2");
	sql(world,
		"UPDATE users SET name = 'gone'; DELETE FROM orders; CREATE TABLE other (x); INSERT INTO other VALUES (1);"
		"ALTER TABLE users ADD COLUMN mail TEXT DEFAULT 'none';"
		"CREATE TABLE log (what); CREATE TRIGGER noted AFTER DELETE ON users BEGIN INSERT INTO log VALUES ('deleted'); END");
	observe(world, make(world, target, NULL));
	assert_int_equal(world->seen.at_target, 0);
	must_apply(world, make(world, target, NULL));
	assert_string_equal(rows(world, "SELECT * FROM users ORDER BY id"), "1,ana,x,none;2,bo,NULL,none;");
	assert_string_equal(rows(world, "SELECT id FROM orders ORDER BY id"), "1;2;3;");
	assert_string_equal(rows(world, "SELECT * FROM other"), "1;");
	assert_string_equal(rows(world, "SELECT * FROM log"), ""); /* triggers did not fire */
	observe(world, make(world, target, NULL));
	assert_int_equal(world->seen.at_target, 1);
	must_apply(world, make(world, target, NULL));
	/* a table that is gone is made again */
	sql(world, "DROP TABLE orders");
	observe(world, make(world, target, NULL));
	assert_int_equal(world->seen.at_target, 0);
	must_apply(world, make(world, target, NULL));
	assert_string_equal(rows(world, "SELECT name FROM sqlite_master WHERE tbl_name = 'orders' ORDER BY name"),
		"orders;orders_by_user;");
	observe(world, make(world, target, NULL));
	assert_int_equal(world->seen.at_target, 1);
}

static void test_tables_are_one_transaction(void **state)
{
	struct world *world = *state;

	sql(world, schema);
	capture(world, "kept");
	sql(world, "INSERT INTO users VALUES (3, 'cy', NULL); INSERT INTO orders VALUES (5, 3, 1)");
	/* users without cy would leave cy's order without a user */
	assert_int_equal(apply(world, make(world, "{'tables': {'users': 'dep-1'}}", NULL)), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "orders to users"));
	assert_string_equal(rows(world, "SELECT count(*) FROM users"), "3;");
	/* the second table fails: the first one stays as it was */
	assert_int_equal(apply(world, make(world, "{'tables': {'orders': 'dep-1', 'missing': 'dep-1'}}", NULL)), -ERR_NOT_FOUND);
	assert_string_equal(rows(world, "SELECT count(*) FROM orders"), "3;");
	assert_int_equal(apply(world, make(world, "{'tables': {'orders': 'dep-9'}}", NULL)), -ERR_NOT_FOUND);
	assert_int_equal(apply(world, make(world, "{'tables': {'orders': 'none'}}", NULL)), -ERR_NOT_FOUND);
	assert_int_equal(apply(world, make(world, "{'tables': {}}", NULL)), -ERR_INVALID);
	must_apply(world, make(world, "{'tables': {'users': 'dep-1', 'orders': 'dep-1'}}", NULL));
	assert_string_equal(rows(world, "SELECT count(*) FROM users"), "2;");
	/* a column that must not be empty and that the copy does not know */
	sql(world,
		"DROP TABLE orders; CREATE TABLE orders (id INTEGER PRIMARY KEY, place TEXT NOT NULL); INSERT INTO orders VALUES (1, 'here')");
	assert_int_equal(apply(world, make(world, "{'tables': {'orders': 'dep-1'}}", NULL)), -ERR_REFUSED);
	assert_string_equal(rows(world, "SELECT * FROM orders"), "1,here;");
}

static void test_names_with_quotes(void **state)
{
	struct world *world = *state;

	sql(world,
		"CREATE TABLE \"a\"\"b'; DROP\" (\"c\"\"d\" TEXT, g AS (upper(\"c\"\"d\"))); INSERT INTO \"a\"\"b'; DROP\" VALUES ('x')");
	capture(world, "kept");
	sql(world, "DELETE FROM \"a\"\"b'; DROP\"");
	{
		struct driver_call *call = make(world, "{}", NULL);
		json_t *tables = json_object();

		(void)json_object_set_new(tables, "a\"b'; DROP", json_string("dep-1"));
		(void)json_object_set_new(call->target, "tables", tables);
		must_apply(world, call);
		observe(world, call);
		assert_int_equal(world->seen.at_target, 1);
	}
	assert_string_equal(rows(world, "SELECT * FROM \"a\"\"b'; DROP\""), "x,X;");
}

static void test_undo(void **state)
{
	struct world *world = *state;

	sql(world, schema);
	capture(world, "kept");
	sql(world, "INSERT INTO users VALUES (3, 'cy', NULL)");
	capture(world, "snapshot");
	must_apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
	observe(world, make(world, NULL, NULL));
	assert_int_equal(world->seen.at_target, 0);
	assert_int_equal(driver_sqlite.undo(make(world, NULL, NULL), &world->err), 0);
	assert_string_equal(rows(world, "SELECT count(*) FROM users"), "3;");
	observe(world, make(world, NULL, NULL));
	assert_int_equal(world->seen.at_target, 1);
	assert_int_equal(driver_sqlite.undo(make(world, NULL, NULL), &world->err), 0);
}

static void test_absent(void **state)
{
	struct world *world = *state;
	sqlite3 *user;

	capture(world, "snapshot");
	observe(world, make(world, NULL, NULL));
	assert_int_equal(world->seen.at_target, 1);
	sql(world, "PRAGMA journal_mode = WAL");
	sql(world, schema);
	observe(world, make(world, NULL, NULL));
	assert_int_equal(world->seen.at_target, 0);
	user = open_db(world, "data/app.db");
	sql_on(user, "BEGIN IMMEDIATE; INSERT INTO users VALUES (8, 'busy', NULL)");
	assert_int_equal(driver_sqlite.undo(make(world, NULL, NULL), &world->err),
		-ERR_TIMEOUT); /* somebody is in the middle of something */
	sql_on(user, "COMMIT");
	assert_int_equal(sqlite3_close(user), SQLITE_OK);
	if (driver_sqlite.undo(make(world, NULL, NULL), &world->err) < 0)
		fail_msg("%s", world->err.text);
	assert_false(fs_exists(in(world, "data/app.db")));
	assert_false(fs_exists(in(world, "data/app.db-wal")));
	observe(world, make(world, NULL, NULL));
	assert_int_equal(world->seen.at_target, 1);
	/* and the other way: a database that is gone comes back; a later capture replaces an earlier one of nothing */
	sql(world, schema);
	capture(world, "snapshot");
	assert_false(fs_exists(in(world, "snapshot/absent")));
	assert_int_equal(fs_remove_tree(in(world, "data"), &world->err), 0);
	assert_int_equal(driver_sqlite.undo(make(world, NULL, NULL), &world->err), 0);
	assert_string_equal(rows(world, "SELECT count(*) FROM users"), "2;");
}

static void test_busy(void **state)
{
	struct world *world = *state;
	int64_t started_ms;
	sqlite3 *writer;

	sql(world, schema);
	capture(world, "kept");
	writer = open_db(world, "data/app.db");
	sql_on(writer, "BEGIN EXCLUSIVE; DELETE FROM orders");
	started_ms = clock_mono_ms();
	assert_int_equal(apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL)), -ERR_TIMEOUT);
	assert_true(clock_mono_ms() - started_ms >= 200); /* it did wait */
	assert_non_null(strstr(world->err.text, "locked"));
	assert_int_equal(apply(world, make(world, "{'tables': {'users': 'dep-1'}}", NULL)), -ERR_TIMEOUT);
	assert_int_equal(driver_sqlite.capture(make(world, NULL, NULL), &world->err), -ERR_TIMEOUT);
	sql_on(writer, "ROLLBACK");
	assert_int_equal(sqlite3_close(writer), SQLITE_OK);
	must_apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL));
}

static void put(struct world *world, const char *path, const char *text)
{
	assert_int_equal(fs_write_atomic(in(world, path), text, strlen(text), 0644, &world->err), 0);
}

static size_t blocking(struct world *world, const char *target, const char *source)
{
	struct findings *findings = findings_new(world);

	assert_int_equal(driver_sqlite.check(make(world, target, source), findings, &world->err), 0);
	return findings_blocking(findings);
}

static void test_damage(void **state)
{
	struct world *world = *state;

	sql(world, schema);
	capture(world, "kept");
	assert_int_equal(blocking(world, "{'snapshotId': 'dep-1'}", NULL), 0);
	assert_int_equal(blocking(world, "{'tables': {'users': 'dep-1'}}", NULL), 0);
	assert_int_equal(blocking(world, "{'version': 'x', 'preserveData': false}", "kept"), 0);
	assert_int_equal(blocking(world, "{'version': 'x', 'preserveData': true}", "nothing"), 0);
	assert_int_equal(blocking(world, "{'version': 'x', 'preserveData': false}", "nothing"), 1);
	assert_int_equal(blocking(world, "{'snapshotId': 'dep-9'}", NULL), 1);
	put(world, "kept/database.sqlite",
		"this is not a database, it only says so; long enough to have a header of a hundred bytes or a little more");
	assert_int_equal(blocking(world, "{'snapshotId': 'dep-1'}", NULL), 1);
	assert_int_equal(apply(world, make(world, "{'snapshotId': 'dep-1'}", NULL)), -ERR_CORRUPT);
	assert_string_equal(rows(world, "SELECT count(*) FROM users"), "2;");
	/* a damaged live file: observe says so, and a restore is still possible to refuse or to do */
	capture(world, "kept");
	put(world, "data/app.db",
		"this is not a database, it only says so; long enough to have a header of a hundred bytes or a little more");
	assert_int_equal(driver_sqlite.observe(make(world, NULL, NULL), &world->seen, &world->err), -ERR_CORRUPT);
	assert_int_equal(blocking(world, NULL, NULL), 1);
}

static void test_keep_at_record(void **state)
{
	struct world *world = *state;
	struct driver_call *call = make_with(world, "{'path': 'data/app.db', 'keepAtRecord': false}", NULL, NULL);

	sql(world, schema);
	assert_int_equal(fs_mkdirs(call->snapshot_dir, 0700, &world->err), 0);
	call->run_id = NULL;
	assert_int_equal(driver_sqlite.capture(call, &world->err), 0);
	assert_false(fs_exists(in(world, "snapshot/database.sqlite")));
	call->run_id = "run-1"; /* before a rollback it is captured all the same */
	assert_int_equal(driver_sqlite.capture(call, &world->err), 0);
	assert_true(fs_exists(in(world, "snapshot/database.sqlite")));
}

static char *text_of(struct world *world, const char *path)
{
	char *text;

	assert_int_equal(fs_read(world, in(world, path), 1 << 20, &text, NULL, &world->err), 0);
	return text;
}

static json_t *lost(struct world *world, const char *target, const char *source)
{
	struct driver_call *call = make(world, target, source);
	json_t *outputs = json_keep(call, json_object());

	call->ledger_dir = in(world, "ledger");
	if (driver_sqlite.apply(call, outputs, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return json_object_get(outputs, "lost");
}

/* Keys of all kinds, a table without key, one that came and one that went. */
static void test_ledger(void **state)
{
	struct world *world = *state;
	char *text;

	sql(world, schema);
	sql(world,
		"CREATE TABLE pairs (a TEXT NOT NULL, b BLOB NOT NULL, c, PRIMARY KEY (a, b)); INSERT INTO pairs VALUES ('x', x'00ff', 1), ('y', 'text', 2);"
		"CREATE TABLE loose (what PRIMARY KEY); INSERT INTO loose VALUES (NULL), (NULL), (1); CREATE TABLE gone (x); INSERT INTO gone VALUES (1)");
	capture(world, "kept");
	assert_int_equal(
		json_int(json_object_get(json_object_get(worker_json(world, text_of(world, "kept/tables.json")), "tables"), "users"),
			"rows", 0),
		2);
	sql(world,
		"UPDATE users SET note = 'new' WHERE id = 1; INSERT INTO users VALUES (3, 'cy', NULL); DELETE FROM orders WHERE id = 2; UPDATE pairs SET c = x'0a' WHERE a = 'x';"
		"INSERT INTO loose VALUES (NULL), (NULL); DROP TABLE gone; CREATE TABLE came (r REAL); INSERT INTO came VALUES (0.5)");
	assert_true(json_equal(lost(world, "{'version': 'x'}", "kept"),
		worker_json(world, "{'added': 4, 'changed': 2, 'removed': 2, 'tables': 6}")));
	text = text_of(world, "ledger/users.jsonl");
	assert_non_null(strstr(text, "{\"change\":\"changed\",\"row\":{\"id\":1,\"name\":\"ana\",\"note\":\"new\"}}"));
	assert_non_null(strstr(text, "{\"change\":\"added\",\"row\":{\"id\":3,\"name\":\"cy\",\"note\":null}}"));
	assert_string_equal(text_of(world, "ledger/orders.jsonl"), "{\"change\":\"removed\",\"key\":[2]}\n");
	assert_string_equal(text_of(world, "ledger/pairs.jsonl"),
		"{\"change\":\"changed\",\"row\":{\"a\":\"x\",\"b\":\"x00ff\",\"c\":\"x0a\"}}\n");
	assert_string_equal(text_of(world, "ledger/loose.jsonl"), "{\"change\":\"added\",\"row\":{\"what\":null},\"times\":2}\n");
	assert_string_equal(text_of(world, "ledger/came.jsonl"), "{\"change\":\"added\",\"row\":{\"r\":0.5}}\n");
	assert_non_null(strstr(text_of(world, "ledger/gone.jsonl"), "removed"));
	/* Again: the ledger stands. */
	assert_int_equal(json_int(lost(world, "{'version': 'x'}", "kept"), "tables", 0), 6);
	assert_string_equal(text_of(world, "ledger/users.jsonl"), text);
}

static void test_ledger_of_tables(void **state)
{
	struct world *world = *state;

	sql(world, schema);
	capture(world, "kept");
	sql(world, "UPDATE users SET note = 'new' WHERE id = 1; UPDATE orders SET total = 5");
	assert_true(json_equal(lost(world, "{'tables': {'users': 'dep-1'}}", NULL),
		worker_json(world, "{'added': 0, 'changed': 1, 'removed': 0, 'tables': 1}")));
	assert_false(fs_exists(in(world, "ledger/orders.jsonl")));
	assert_string_equal(rows(world, "SELECT total FROM orders ORDER BY id"), "5.0;5.0;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_observe, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_whole_restore, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_whole_restore_beside_a_reader, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_capture_of_what_stands_in_the_wal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tables_are_one_transaction, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_with_quotes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_undo, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_absent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_busy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keep_at_record, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ledger, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ledger_of_tables, set_up, tear_down),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
