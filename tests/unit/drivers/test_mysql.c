/* The mysql driver on a MariaDB server of its own: facts, copies proven by mariadb-dump, whole restores and named tables, the ledger, what is refused, locks. */
#include "checks.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/list.h"
#include "drivers/mysql_restore.h"
#include "drivers/mysql_switch.h"
#include "mariadb.h"
#include "worker_call.h"

static struct mariadb_server *server;

struct world {
	char folder[40];
	struct err err;
	struct observation seen;
	const char *settings;
};

static const char *const tables =
	"CREATE TABLE teams (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL) ENGINE = InnoDB;"
	"CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, team INT, name VARCHAR(30) NOT NULL DEFAULT 'x', KEY (team), CONSTRAINT fk_team FOREIGN KEY (team) REFERENCES teams (id) ON DELETE SET NULL) ENGINE = InnoDB;"
	"CREATE TABLE orders (id INT PRIMARY KEY, user INT NOT NULL, total DECIMAL(8,2), CONSTRAINT fk_user FOREIGN KEY (user) REFERENCES users (id)) ENGINE = InnoDB;"
	"CREATE TABLE log (what VARCHAR(30)) ENGINE = InnoDB;"
	"INSERT INTO teams VALUES (1, 'red'), (2, 'blue'); INSERT INTO users VALUES (1, 1, 'ana'), (2, 2, 'bo'), (3, NULL, 'cy');"
	"INSERT INTO orders VALUES (1, 1, 9.5), (2, 2, 1); INSERT INTO log VALUES ('a'), ('a'), ('b');";

static char *in(struct world *world, const char *path)
{
	return fs_join(world, world->folder, path);
}

static char *sql(const char *statements)
{
	char *text = mem_printf(server, "USE shop;\n%s", statements), *said = mariadb_say(server, text);

	for (char *c = said; *c; c++)
		if (*c == '\n')
			*c = ';';
	return said;
}

static void check_sql(const char *query, const char *expected)
{
	assert_string_equal(sql(query), expected);
}

static int start_server(void **state)
{
	(void)state;
	server = mariadb_server_start(NULL);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	mariadb_server_stop(server);
	return talloc_free(server);
}

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-mysql-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	world->settings = mem_printf(world, "{'socket': '%s', 'database': 'shop', 'user': 'root'}", server->socket);
	mariadb_say(server,
		"SET foreign_key_checks = 0; DROP DATABASE IF EXISTS shop; DROP DATABASE IF EXISTS shop_unship_new; DROP DATABASE IF EXISTS shop_unship_old; DROP DATABASE IF EXISTS other; CREATE DATABASE shop");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(world->folder, &err), 0);
	worker_log_clear();
	return talloc_free(world);
}

static struct driver_call *make(struct world *world, const char *target, const char *source)
{
	struct driver_call *call = worker_call(world, driver_mysql.fields, driver_mysql.params_size, world->folder, world->settings);

	call->target = target ? worker_json(call, target) : NULL;
	call->source_dir = source ? in(world, source) : NULL;
	call->snapshot_dir = in(world, "snapshot");
	call->ledger_dir = in(world, "ledger");
	call->run_id = "run-1";
	call->sources = worker_json(call,
		mem_printf(call, "{'dep-1': '%s/kept', 'dep-2': '%s/kept2', 'none': '%s/none'}", world->folder, world->folder,
			world->folder));
	world->err = ERR_INIT;
	return call;
}

static void capture(struct world *world, const char *to)
{
	struct driver_call *call = make(world, NULL, NULL);

	call->snapshot_dir = in(world, to);
	assert_int_equal(fs_mkdirs(call->snapshot_dir, 0700, &world->err), 0);
	if (driver_mysql.capture(call, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static int apply(struct world *world, const char *target, const char *source, json_t **ret_lost)
{
	struct driver_call *call = make(world, target, source);
	json_t *outputs = json_keep(call, json_object());
	int r = driver_mysql.apply(call, outputs, &world->err);

	if (ret_lost)
		*ret_lost = json_object_get(outputs, "lost");
	return r;
}

static void must_apply(struct world *world, const char *target, const char *source)
{
	if (apply(world, target, source, NULL) < 0)
		fail_msg("%s", world->err.text);
}

static int at_target(struct world *world, const char *target, const char *source)
{
	if (driver_mysql.observe(make(world, target, source), &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return world->seen.at_target;
}

static void check_nothing_left(void)
{
	check_sql("SELECT count(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'shop\\_unship%'", "0;");
}

/* By somebody else's means: what mariadb-dump says of the database, byte for byte. */
static const char *dump(struct world *world, const char *database)
{
	const char *const argv[] = { "mariadb-dump", "--no-defaults", "--socket", server->socket, "--user", "root", "--hex-blob",
		"--routines", "--events", "--triggers", "--skip-comments", "--skip-dump-date", "--order-by-primary", database, NULL };
	struct proc_spec spec = { .argv = argv, .deadline_ms = clock_mono_ms() + 20000, .output_max = 4 << 20 };
	struct proc_result result;

	if (proc_run_ok(world, &spec, &result, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return result.output;
}

static const char *file(struct world *world, const char *path)
{
	struct err err = ERR_INIT;
	char *text;

	return fs_read(world, in(world, path), 1 << 20, &text, NULL, &err) < 0 ? "" : text;
}

/* ---- facts ---- */

static void check_json(struct world *world, json_t *value, const char *expected)
{
	assert_string_equal(json_canonical(world, value), json_canonical(world, worker_json(world, expected)));
}

static void test_facts(void **state)
{
	struct world *world = *state;
	json_t *facts, *columns;

	sql(tables);
	sql("CREATE TABLE things (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, kind ENUM('a','b''c') DEFAULT 'a', doubled INT AS (id * 2), code VARCHAR(9) NOT NULL, extra TEXT,"
	    " at DATETIME DEFAULT current_timestamp(), UNIQUE by_code (code, kind), KEY plain (extra(5)), CONSTRAINT positive CHECK (code > ''));"
	    "CREATE VIEW seen AS SELECT code FROM things; CREATE TABLE schema_migrations (version VARCHAR(30) PRIMARY KEY); INSERT INTO schema_migrations VALUES ('20260101'), ('20260102')");
	assert_int_equal(at_target(world, "{'snapshotId': 'none'}", NULL), 0);
	assert_string_equal(json_str(world->seen.details, "engine", ""), "mysql");
	assert_string_equal(json_str(world->seen.details, "server", ""), "MariaDB");
	assert_true(text_starts_with(json_str(world->seen.details, "engineVersion", ""), "10."));
	assert_string_equal(json_str(world->seen.details, "migration", ""), "20260102");
	assert_true(text_starts_with(world->seen.version, "m20260102-"));
	check_json(world, json_object_get(world->seen.details, "rowCounts"),
		"{'teams': 2, 'users': 3, 'orders': 2, 'log': 3, 'things': 0, 'schema_migrations': 2}");
	facts = json_object_get(json_object_get(json_object_get(world->seen.details, "schema"), "tables"), "things");
	columns = json_object_get(facts, "columns");
	check_json(world, json_object_get(columns, "id"),
		"{'type': 'bigint(20) unsigned', 'notNull': true, 'primaryKey': true, 'default': null, 'identity': true}");
	check_json(world, json_object_get(columns, "doubled"),
		"{'type': 'int(11)', 'notNull': false, 'primaryKey': false, 'default': null, 'generated': true}");
	assert_string_equal(json_canonical(world, json_object_get(columns, "kind")),
		"{\"collation\":\"utf8mb4_general_ci\",\"default\":\"'a'\",\"notNull\":false,\"primaryKey\":false,\"type\":\"enum('a','b''c')\",\"values\":[\"a\",\"b'c\"]}");
	check_json(world, json_object_get(columns, "extra"),
		"{'type': 'text', 'collation': 'utf8mb4_general_ci', 'notNull': false, 'primaryKey': false, 'default': null}");
	assert_string_equal(json_str(json_object_get(columns, "at"), "default", ""), "current_timestamp()");
	check_json(world, json_object_get(facts, "unique"), "[['code', 'kind']]");
	check_json(world, json_object_get(facts, "indexes"),
		"{'by_code': {'columns': ['code', 'kind'], 'unique': true}, 'plain': {'columns': ['extra(5)'], 'unique': false}}");
	assert_string_equal(json_str(json_object_get(facts, "checks"), "positive", ""), "`code` > ''");
	facts = json_object_get(json_object_get(json_object_get(world->seen.details, "schema"), "tables"), "users");
	check_json(world, json_object_get(facts, "foreignKeys"),
		"[{'columns': ['team'], 'table': 'teams', 'references': ['id'], 'onDelete': 'SET NULL'}]");
	facts = json_object_get(json_object_get(json_object_get(world->seen.details, "schema"), "tables"), "seen");
	assert_true(json_flag(facts, "view", false));
	assert_non_null(json_object_get(json_object_get(facts, "columns"), "code"));
}

/* ---- copies ---- */

static const char *const every_type =
	"CREATE TABLE types (id INT AUTO_INCREMENT PRIMARY KEY, a TINYINT UNSIGNED, b BIGINT UNSIGNED, c DECIMAL(30,10), d FLOAT, e DOUBLE, f BIT(11), g DATE, h DATETIME(6), i TIMESTAMP(3) NULL, j TIME(2), k YEAR,"
	" l CHAR(5), m VARCHAR(300) CHARACTER SET latin1, n VARBINARY(300), o BLOB, p LONGTEXT, q ENUM('x','y'), r SET('x','y','z'), s JSON, t GEOMETRY, u UUID, v INET6, w INT INVISIBLE DEFAULT 4, x BINARY(4),"
	" y TEXT CHARACTER SET utf8mb4, z INT ZEROFILL, `odd ``name, ) VALUES (` INT, total INT AS (a + 1) STORED, lazy INT AS (a + 2) VIRTUAL) ENGINE = InnoDB COMMENT 'a ''comment''\\nof lines';"
	"SET sql_mode = '', time_zone = '+05:30';"
	"INSERT INTO types (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, `odd ``name, ) VALUES (`) VALUES"
	" (255, 18446744073709551615, -12345678901234567890.0123456789, 0.1, 0.1 + 0.2, b'10101010101', '0000-00-00', '2026-11-21 12:34:56.789012', '2026-11-21 12:34:56.789', '-800:59:59.99', 2026,"
	" ' a ', 'gr\xc3\xbc\xc3\x9f', x'00ff0a0d275c22', x'', concat('\\\\ '' \" \\n \\r \\t \\0 ', char(26)), 'y', 'x,z', '{\"a\": [1, \"\xe2\x82\xac\"]}', ST_GeomFromText('POINT(1 2)', 4326), uuid(), '::1', 5, 'ab', '\xf0\x9f\x9a\xa2',"
	" 7, -1), (NULL, NULL, NULL, 123456789, 1e308, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),"
	" (0, 0, 0, -0.0, -1e-300, 0, '2026-02-28', '0000-00-00 00:00:00', '1970-01-01 10:00:00', '0', 1901, '', '', x'41', 'blob', 'NULL', 'x', '', '[]', NULL, NULL, NULL, 0, '', '0x41', 0, 0);"
	"INSERT INTO types (a, id) VALUES (1, 0);";

static void test_every_type_comes_back(void **state)
{
	struct world *world = *state;
	const char *before, *floats = "SELECT d + 0e0 FROM types ORDER BY id", *exact;

	sql(every_type);
	sql("CREATE TABLE bare (a INT, b VARCHAR(5)); INSERT INTO bare VALUES (1, 'x'), (1, 'x'), (NULL, NULL); CREATE TABLE `we ird/%%.` (`a b` INT PRIMARY KEY); CREATE TABLE nothing (a INT)");
	before = dump(world, "shop");
	exact = sql(floats);
	capture(world, "kept");
	capture(world, "again");
	assert_string_equal(file(world, "kept/tables/types.sql"), file(world, "again/tables/types.sql"));
	assert_int_equal(at_target(world, "{'snapshotId': 'dep-1'}", NULL), 1);
	sql("UPDATE types SET n = x'00'; DELETE FROM bare LIMIT 1; DROP TABLE nothing; DROP TABLE `we ird/%%.`; ALTER TABLE types DROP COLUMN t");
	assert_int_equal(at_target(world, "{'snapshotId': 'dep-1'}", NULL), 0);
	must_apply(world, "{'snapshotId': 'dep-1'}", NULL);
	assert_string_equal(dump(world, "shop"), before);
	assert_string_equal(sql(floats), exact);
	assert_int_equal(at_target(world, "{'snapshotId': 'dep-1'}", NULL), 1);
	check_nothing_left();
	/* Over the columns that both have, the copy is read from its file: every kind of value as it was written. */
	sql("ALTER TABLE types DROP COLUMN z");
	assert_int_equal(at_target(world, "{'tables': {'types': 'dep-1'}}", NULL), 1);
	sql("UPDATE types SET n = x'00ff0a0d275c23' WHERE m IS NOT NULL");
	assert_int_equal(at_target(world, "{'tables': {'types': 'dep-1'}}", NULL), 0);
}

/* Without unship: the files are SQL. */
static void test_people_can_play_the_files(void **state)
{
	struct world *world = *state;
	char **names, *script = mem_strdup(world, "CREATE DATABASE other; USE other;\n");

	sql(tables);
	sql(every_type);
	sql("DELIMITER ;;\nCREATE TRIGGER t BEFORE INSERT ON log FOR EACH ROW BEGIN SET NEW.what = concat(NEW.what, ';'); END ;;\nCREATE VIEW v AS SELECT id FROM users ;;\n");
	capture(world, "kept");
	assert_int_equal(fs_list(world, in(world, "kept/tables"), &names, &world->err), 0);
	for (; *names; names++)
		script = mem_append(script, file(world, mem_printf(world, "kept/tables/%s", *names)));
	mariadb_say(server, mem_append(script, file(world, "kept/programs.sql")));
	assert_string_equal(dump(world, "other"), dump(world, "shop"));
}

/* MyISAM knows no snapshots: the copy is made under locks, and comes back as well. */
static void test_tables_without_transactions(void **state)
{
	struct world *world = *state;
	const char *before;

	sql("CREATE TABLE old (id INT PRIMARY KEY, t TEXT) ENGINE = MyISAM; INSERT INTO old VALUES (1, 'a'), (2, 'b'); CREATE TABLE new (id INT PRIMARY KEY) ENGINE = InnoDB; INSERT INTO new VALUES (1);"
	    "CREATE VIEW v AS SELECT * FROM old");
	before = dump(world, "shop");
	capture(world, "kept");
	assert_non_null(strstr(worker_log(), "writers wait"));
	sql("DELETE FROM old; DELETE FROM new; DROP VIEW v");
	must_apply(world, NULL, "kept");
	assert_string_equal(dump(world, "shop"), before);
}

/* ---- whole restores ---- */

static void test_the_ledger_of_a_whole_restore(void **state)
{
	struct world *world = *state;
	json_t *lost;

	sql(tables);
	capture(world, "kept");
	sql("INSERT INTO users VALUES (9, 1, 'new'); UPDATE users SET name = 'changed' WHERE id = 3; DELETE FROM orders WHERE id = 2; INSERT INTO log VALUES ('a'), ('c');"
	    "CREATE TABLE later (id INT PRIMARY KEY, v VARBINARY(3)); INSERT INTO later VALUES (7, x'00ff'); ALTER TABLE teams ADD COLUMN more INT");
	if (apply(world, NULL, "kept", &lost) < 0)
		fail_msg("%s", world->err.text);
	check_json(world, lost, "{'added': 4, 'changed': 1, 'removed': 1, 'tables': 4}");
	assert_string_equal(file(world, "ledger/users.jsonl"),
		"{\"change\":\"changed\",\"row\":{\"id\":3,\"name\":\"changed\",\"team\":null}}\n{\"change\":\"added\",\"row\":{\"id\":9,\"name\":\"new\",\"team\":1}}\n");
	assert_string_equal(file(world, "ledger/orders.jsonl"), "{\"change\":\"removed\",\"key\":[2]}\n");
	assert_non_null(strstr(file(world, "ledger/later.jsonl"), "\"v\":\"0x00ff\""));
	assert_non_null(strstr(file(world, "ledger/log.jsonl"), "\"what\":\"c\""));
	check_sql("SELECT group_concat(id ORDER BY id) FROM users; SELECT count(*) FROM log; SHOW TABLES LIKE 'later'", "1,2,3;3;");
	check_nothing_left();
	/* There already: nothing is done, nothing is lost, and that ledger stands. */
	if (apply(world, NULL, "kept", &lost) < 0)
		fail_msg("%s", world->err.text);
	assert_null(lost);
	assert_string_equal(file(world, "ledger/orders.jsonl"), "{\"change\":\"removed\",\"key\":[2]}\n");
}

static void test_no_database(void **state)
{
	struct world *world = *state;
	const char *before;

	sql(tables);
	before = dump(world, "shop");
	capture(world, "kept");
	mariadb_say(server, "DROP DATABASE shop");
	capture(world, "snapshot");
	assert_int_equal(at_target(world, NULL, NULL), 1);
	assert_string_equal(world->seen.state, "absent");
	must_apply(world, NULL, "kept");
	assert_string_equal(dump(world, "shop"), before);
	assert_int_equal(at_target(world, NULL, NULL), 0);
	if (driver_mysql.undo(make(world, NULL, NULL), &world->err) < 0)
		fail_msg("%s", world->err.text);
	assert_string_equal(mariadb_say(server, "SHOW DATABASES LIKE 'shop%'"), "");
	assert_int_equal(at_target(world, NULL, NULL), 1);
}

/* Keys of other databases, which follow a table that is put aside, lead to the new one. */
static void test_keys_from_elsewhere(void **state)
{
	struct world *world = *state;

	sql(tables);
	sql("CREATE DATABASE other; CREATE TABLE other.guests (id INT PRIMARY KEY, user INT, CONSTRAINT is_user FOREIGN KEY (user) REFERENCES shop.users (id)); INSERT INTO other.guests VALUES (1, 3)");
	capture(world, "kept");
	sql("UPDATE users SET name = 'changed'");
	must_apply(world, NULL, "kept");
	check_sql(
		"SELECT concat_ws('.', UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'other'",
		"shop.users;");
	check_nothing_left();
}

/* ---- named tables ---- */

static void test_named_tables(void **state)
{
	struct world *world = *state;
	const char *const target = "{'tables': {'users': 'dep-1'}}";
	json_t *lost;

	sql(tables);
	sql("CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW SET NEW.name = concat(NEW.name, '!')");
	capture(world, "kept");
	sql("UPDATE users SET name = 'changed' WHERE id = 1; DELETE FROM orders WHERE id = 1; UPDATE teams SET name = 'green'");
	assert_int_equal(at_target(world, target, NULL), 0);
	if (apply(world, target, NULL, &lost) < 0)
		fail_msg("%s", world->err.text);
	check_json(world, lost, "{'added': 0, 'changed': 1, 'removed': 0, 'tables': 1}");
	/* The others stay as they are; keys of both sides, and triggers, lead where they led. */
	check_sql(
		"SELECT group_concat(name ORDER BY id) FROM users; SELECT group_concat(id ORDER BY id) FROM orders; SELECT group_concat(name) FROM teams;"
		" SELECT group_concat(concat(UNIQUE_CONSTRAINT_SCHEMA, '.', REFERENCED_TABLE_NAME) ORDER BY 1) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'shop';"
		" SELECT group_concat(TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'",
		"ana,bo,cy;2;green,green;shop.teams,shop.users;t;");
	assert_int_equal(at_target(world, target, NULL), 1);
	check_nothing_left();
}

static void test_named_tables_of_another_shape(void **state)
{
	struct world *world = *state;

	sql(tables);
	capture(world, "kept");
	sql("ALTER TABLE users ADD COLUMN mail VARCHAR(30) DEFAULT 'none', MODIFY name VARCHAR(60); UPDATE users SET name = 'changed', mail = 'x'; ALTER TABLE orders DROP COLUMN total; DELETE FROM orders; DROP TABLE log");
	must_apply(world, "{'tables': {'users': 'dep-1', 'orders': 'dep-1', 'log': 'dep-1'}}", NULL);
	check_sql(
		"SELECT group_concat(id, name, mail ORDER BY id) FROM users; SELECT * FROM orders; SELECT group_concat(what ORDER BY what) FROM log",
		"1ananone,2bonone,3cynone;1\t1;2\t2;a,a,b;");
	check_sql(
		"SELECT group_concat(concat(TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME) ORDER BY 1) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'shop'",
		"ordersshopusers,usersshopteams;");
	assert_int_equal(at_target(world, "{'tables': {'users': 'dep-1', 'orders': 'dep-1', 'log': 'dep-1'}}", NULL), 1);
	sql("UPDATE orders SET user = 1");
	assert_int_equal(at_target(world, "{'tables': {'orders': 'dep-1'}}", NULL), 0);
	check_nothing_left();
}

/* A table whose newer column must be given, or whose rows no longer fit: refused, in words, and nothing changes. */
static void test_rows_that_do_not_fit(void **state)
{
	struct world *world = *state;

	sql(tables);
	capture(world, "kept");
	sql("SET sql_mode = ''; ALTER TABLE users MODIFY name VARCHAR(2) NOT NULL, ADD COLUMN mail VARCHAR(30) NOT NULL; UPDATE users SET mail = 'x'");
	assert_true(apply(world, "{'tables': {'users': 'dep-1'}}", NULL, NULL) < 0);
	assert_non_null(strstr(world->err.text, "users"));
	check_sql("SELECT group_concat(mail) FROM users", "x,x,x;");
	check_nothing_left();
}

static void test_broken_keys_are_refused(void **state)
{
	struct world *world = *state;

	sql(tables);
	capture(world, "kept");
	sql("INSERT INTO users VALUES (9, 1, 'new'); INSERT INTO orders VALUES (9, 9, 1); UPDATE users SET team = NULL WHERE id = 2; DELETE FROM teams WHERE id = 2");
	assert_int_equal(apply(world, "{'tables': {'users': 'dep-1'}}", NULL, NULL), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "nothing was changed"));
	check_sql("SELECT group_concat(id ORDER BY id) FROM users", "1,2,3,9;");
	check_nothing_left();
	/* Together they fit. */
	must_apply(world, "{'tables': {'users': 'dep-1', 'orders': 'dep-1', 'teams': 'dep-1'}}", NULL);
	check_sql("SELECT group_concat(id ORDER BY id) FROM users; SELECT group_concat(id ORDER BY id) FROM orders", "1,2,3;1,2;");
}

/* ---- what is refused ---- */

static size_t failed_findings(struct world *world, const char *source, const char *name)
{
	struct driver_call *call = make(world, "{'snapshotId': 'dep-1'}", source);
	struct findings *findings = findings_new(call);
	size_t count = 0;

	assert_int_equal(driver_mysql.check(call, findings, &world->err), 0);
	for (size_t i = 0; i < findings->count; i++)
		count += !findings->list[i].passed && strcmp(findings->list[i].name, name) == 0;
	return count;
}

static void rewrite(struct world *world, const char *path, const char *from, const char *to)
{
	const char *text = file(world, path), *at = strstr(text, from);
	char *changed;

	assert_non_null(at);
	changed = mem_printf(world, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	assert_int_equal(fs_write_atomic(in(world, path), changed, strlen(changed), 0600, &world->err), 0);
}

static void test_copies_that_are_refused(void **state)
{
	static const struct {
		const char *path, *from, *to, *says;
	} cases[] = {
		{ "kept/mysql.json", "\"server\": \"MariaDB\"", "\"server\": \"MySQL\"", "one does not take what the other writes" },
		{ "kept/mysql.json", "\"version\": \"10.", "\"version\": \"99.", "the server is older" },
		{ "kept/tables/users.sql", "'ana'", "'eva'", "not as it was written" },
		{ "kept/mysql.json", "tables/users.sql", "../users.sql", "names no file" },
		{ "kept/mysql.json", "{", "", "mysql.json" },
	};
	struct world *world = *state;

	sql(tables);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		capture(world, "kept");
		assert_int_equal(failed_findings(world, NULL, "target_content"), 0);
		sql("UPDATE users SET name = 'now'");
		rewrite(world, cases[i].path, cases[i].from, cases[i].to);
		assert_int_equal(failed_findings(world, NULL, "target_content"), 1);
		assert_true(apply(world, "{'snapshotId': 'dep-1'}", NULL, NULL) < 0);
		assert_non_null(strstr(world->err.text, cases[i].says));
		check_sql("SELECT group_concat(DISTINCT name) FROM users", "now;");
		check_nothing_left();
		sql("UPDATE users SET name = 'ana'");
	}
	assert_int_equal(apply(world, "{'tables': {'missing': 'dep-1'}}", NULL, NULL), -ERR_CORRUPT);
	capture(world, "kept");
	assert_int_equal(apply(world, "{'tables': {'missing': 'dep-1'}}", NULL, NULL), -ERR_NOT_FOUND);
	assert_int_equal(apply(world, "{'tables': {'users': 'none'}}", NULL, NULL), -ERR_NOT_FOUND);
}

static void test_databases_of_others(void **state)
{
	struct world *world = *state;

	sql(tables);
	capture(world, "kept");
	sql("UPDATE users SET name = 'now'; CREATE DATABASE shop_unship_old; CREATE TABLE shop_unship_old.theirs (a INT)");
	assert_int_equal(apply(world, NULL, "kept", NULL), -ERR_CONFLICT);
	check_sql("SELECT count(*) FROM shop_unship_old.theirs; SELECT group_concat(DISTINCT name) FROM users", "0;now;");
}

static void test_who_may_not_come_in(void **state)
{
	struct world *world = *state;

	assert_int_equal(setenv("MYSQL_TEST_SECRET", "the secret", 1), 0);
	assert_int_equal(
		setenv("MYSQL_TEST_URL", mem_printf(world, "mysql://keep%%65r:the%%20secret@localhost/shop?socket=%s", server->socket), 1),
		0);
	sql("CREATE OR REPLACE USER keeper@localhost IDENTIFIED BY 'the secret'; GRANT ALL ON shop.* TO keeper@localhost");
	world->settings = "{'url': {'env': 'MYSQL_TEST_URL'}}";
	assert_int_equal(at_target(world, "{'snapshotId': 'none'}", NULL), 0);
	assert_int_equal(failed_findings(world, NULL, "database_reachable"), 0);
	sql("CREATE TABLE a (b INT)");
	capture(world, "kept");
	assert_int_equal(failed_findings(world, NULL, "database_rights"), 1);
	sql("GRANT ALL ON `shop\\_unship\\_%`.* TO keeper@localhost");
	assert_int_equal(failed_findings(world, NULL, "database_rights"), 0);
	sql("CREATE TABLE c (b INT)");
	must_apply(world, NULL, "kept");
	check_sql("SHOW TABLES", "a;");
	/* A view of somebody else's is found before, and when it is met all is taken back. */
	sql("CREATE VIEW v AS SELECT b FROM a");
	capture(world, "kept");
	assert_int_equal(failed_findings(world, NULL, "database_rights"), 0);
	sql("DROP VIEW v; CREATE TABLE c (b INT)");
	assert_int_equal(failed_findings(world, NULL, "database_rights"), 1);
	assert_int_equal(apply(world, NULL, "kept", NULL), -ERR_FORBIDDEN);
	sql("GRANT SET USER ON *.* TO keeper@localhost");
	assert_int_equal(failed_findings(world, NULL, "database_rights"), 0);
	must_apply(world, NULL, "kept");
	check_sql("SHOW TABLES", "a;v;");
	sql("ALTER USER keeper@localhost IDENTIFIED BY 'another'");
	assert_int_equal(driver_mysql.observe(make(world, NULL, NULL), &world->seen, &world->err), -ERR_FORBIDDEN);
	assert_null(strstr(world->err.text, "secret"));
	assert_int_equal(failed_findings(world, NULL, "database_reachable"), 1);
	world->settings = "{'socket': '/nonexistent/s', 'database': 'shop'}";
	assert_int_equal(apply(world, NULL, "kept", NULL), -ERR_UNREACHABLE);
	world->settings = "{'host': '127.0.0.1', 'port': 1, 'database': 'shop', 'connectTimeout': '1s'}";
	assert_int_equal(apply(world, NULL, "kept", NULL), -ERR_UNREACHABLE);
	world->settings = "{'host': '127.0.0.1'}";
	assert_int_equal(apply(world, NULL, "kept", NULL), -ERR_INVALID);
}

/* Somebody holds a table: the exchange waits as long as the call has time, then all is as it was. */
static void test_somebody_holds_a_table(void **state)
{
	_cleanup_(mysqldb_close) struct mysqldb *other = NULL;
	struct world *world = *state;
	const struct mysqldb_place place = { .socket = server->socket,
		.user = "root",
		.database = "shop",
		.tls = "off",
		.connect_ms = 5000 };
	struct driver_call *call;

	sql(tables);
	sql("CREATE TRIGGER t BEFORE INSERT ON log FOR EACH ROW SET NEW.what = 'x'");
	capture(world, "kept");
	sql("UPDATE users SET name = 'now'");
	assert_int_equal(mysqldb_open(make(world, NULL, NULL), &place, &other, &world->err), 0);
	assert_int_equal(mysqldb_run(other, "START TRANSACTION", "x", &world->err), 0);
	assert_int_equal(mysqldb_run(other, "UPDATE shop.users SET name = 'held' WHERE id = 1", "x", &world->err), 0);
	call = make(world, NULL, "kept");
	call->deadline_ms = clock_mono_ms() + 4000;
	assert_int_equal(driver_mysql.apply(call, json_keep(call, json_object()), &world->err), -ERR_TIMEOUT);
	check_sql("SELECT count(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'", "1;");
	assert_int_equal(mysqldb_run(other, "ROLLBACK", "x", &world->err), 0);
	/* What was noted is found by the next one, for the same goal or another. */
	must_apply(world, "{'tables': {'log': 'dep-1'}}", NULL);
	check_sql(
		"SELECT group_concat(DISTINCT name) FROM users; SELECT count(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'",
		"now;1;");
	check_nothing_left();
}

/* ---- what an interrupted restore of another run left ---- */

static void begin_and_stop(struct world *world, const char *run)
{
	struct driver_call *call = make(world, NULL, "kept");
	const struct database_goal goal = { .dir = in(world, "kept") };
	const struct mysqldb_place place = { .socket = server->socket,
		.user = "root",
		.database = "shop",
		.tls = "off",
		.connect_ms = 5000 };
	_cleanup_(mysqldb_close) struct mysqldb *db = NULL;
	struct mysql_wanted wanted;
	struct mysql_switch change;

	assert_int_equal(mysql_wanted_read(call, &goal, &wanted, &world->err), 0);
	assert_int_equal(mysqldb_open(call, &place, &db, &world->err), 0);
	mysql_switch_init(db, &change);
	assert_int_equal(mysql_switch_begin(&change, &world->err), 0);
	change.plan = json_make(call, "{s:s, s:s, s:b, s:b, s:b, s:[s], s:[s], s:[], s:[], s:[], s:s, s:s}", "goal", wanted.goal, "run",
		run, "whole", 0, "absent", 0, "made", 0, "new", "log", "old", "log", "before", "after", "keys", "charset", "utf8mb4",
		"collation", "utf8mb4_general_ci");
	assert_int_equal(mysqldb_run(db, "CREATE TABLE log (what VARCHAR(30))", "x", &world->err), 0);
	assert_int_equal(mysqldb_run(db, "INSERT INTO log VALUES ('of the restore')", "x", &world->err), 0);
	assert_int_equal(mysql_switch_go(&change, &world->err), 0);
	check_sql("SELECT * FROM log", "of the restore;");
}

static void test_an_interrupted_restore(void **state)
{
	struct world *world = *state;

	sql(tables);
	capture(world, "kept");
	capture(world, "kept2");
	sql("INSERT INTO log VALUES ('since')");
	begin_and_stop(world, "run-1");
	assert_int_equal(at_target(world, "{'tables': {'users': 'dep-1'}}", NULL), 0);
	assert_string_equal(world->seen.state, "restoring");
	/* The same run goes elsewhere: what stood there stands there again. */
	must_apply(world, "{'tables': {'users': 'dep-2'}}", NULL);
	check_sql("SELECT group_concat(what ORDER BY what) FROM log", "a,a,b,since;");
	check_nothing_left();
	/* Another run: people have worked on the new table since. */
	begin_and_stop(world, "run-0");
	sql("INSERT INTO log VALUES ('worked')");
	must_apply(world, "{'tables': {'users': 'dep-2'}}", NULL);
	check_sql("SELECT group_concat(what ORDER BY what) FROM log", "of the restore,worked;");
	check_nothing_left();
}

/* ---- lines of definitions ---- */

static void test_lines_of_keys(void **state)
{
	static const char create[] =
		"CREATE TABLE `a` (\n  `id` int(11) NOT NULL DEFAULT 'x',\n  CONSTRAINT `one` FOREIGN KEY (`id`) REFERENCES `b` (`id`) ON DELETE CASCADE,\n"
		"  CONSTRAINT `two` FOREIGN KEY (`id`) REFERENCES `d`.`c``c` (`id`)\n) ENGINE=InnoDB AUTO_INCREMENT=17 DEFAULT CHARSET=utf8mb4";
	struct world *world = *state;
	json_t *here = worker_json(world, "{'b': true}");

	assert_string_equal(mysql_strip_keys(world, create),
		"CREATE TABLE `a` (\n  `id` int(11) NOT NULL DEFAULT 'x'\n) ENGINE=InnoDB AUTO_INCREMENT=17 DEFAULT CHARSET=utf8mb4");
	assert_string_equal(mysql_qualify_keys(world, create, "shop", here), create);
	assert_non_null(strstr(mysql_qualify_keys(world, create, "shop", NULL), "REFERENCES `shop`.`b` (`id`) ON DELETE CASCADE,\n"));
	assert_non_null(strstr(mysql_qualify_keys(world, create, "shop", NULL), "REFERENCES `d`.`c``c` (`id`)\n)"));
	assert_string_equal(mysql_key_line(world, create, "one"),
		"CONSTRAINT `one` FOREIGN KEY (`id`) REFERENCES `b` (`id`) ON DELETE CASCADE");
	assert_string_equal(mysql_key_line(world, create, "two"), "CONSTRAINT `two` FOREIGN KEY (`id`) REFERENCES `d`.`c``c` (`id`)");
	assert_null(mysql_key_line(world, create, "three"));
	assert_null(strstr(mysql_facts_shape(world, create), "AUTO_INCREMENT"));
	assert_int_equal(mysqldb_version_number("10.11.6"), 101106);
	assert_int_equal(mysqldb_version_number("8.4"), 80400);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_facts),
		TEST(test_every_type_comes_back),
		TEST(test_people_can_play_the_files),
		TEST(test_tables_without_transactions),
		TEST(test_the_ledger_of_a_whole_restore),
		TEST(test_no_database),
		TEST(test_keys_from_elsewhere),
		TEST(test_named_tables),
		TEST(test_named_tables_of_another_shape),
		TEST(test_rows_that_do_not_fit),
		TEST(test_broken_keys_are_refused),
		TEST(test_copies_that_are_refused),
		TEST(test_databases_of_others),
		TEST(test_who_may_not_come_in),
		TEST(test_somebody_holds_a_table),
		TEST(test_an_interrupted_restore),
		TEST(test_lines_of_keys),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
