/* The postgres driver on a real server: named tables, the ledger, a database that is not there, what is refused, what goes wrong with the connection. Whole restores and kills are the contract suite's. */
#include "checks.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/list.h"
#include "net/postgres.h"
#include "postgres.h"
#include "worker_call.h"

static struct postgres_server *server;
static int databases;

struct world {
	char folder[40];
	char *database;
	const char *more; /* further settings */
	struct err err;
	struct observation seen;
};

static char *in(struct world *world, const char *path)
{
	return fs_join(world, world->folder, path);
}

/* First line of what it prints. */
static char *sql(struct world *world, const char *statements)
{
	char *said = postgres_say(server, world->database, statements);

	said[strcspn(said, "\n")] = 0;
	return said;
}

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	if (!server)
		server = postgres_server_start(NULL);
	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-pg-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	world->database = mem_printf(world, "unit_%d", ++databases);
	world->more = "";
	postgres_say(server, "postgres", mem_printf(world, "CREATE DATABASE %s", world->database));
	sql(world,
		"CREATE TABLE teams (id int PRIMARY KEY, name text);\n"
		"CREATE TABLE users (id serial PRIMARY KEY, team int REFERENCES teams (id), name text NOT NULL, paid numeric(30, 18), seen timestamptz DEFAULT now());\n"
		"CREATE TABLE log (what text);\n"
		"INSERT INTO teams VALUES (1, 'red'), (2, 'blue');\n"
		"INSERT INTO users (team, name, paid) VALUES (1, 'ana', 1.000000000000000001), (2, 'bo', NULL), (NULL, E'tab\\t\\\\ \"quote\"', 3);\n"
		"INSERT INTO log VALUES ('a'), ('a'), ('b');\n");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;

	postgres_say(server, "postgres", mem_printf(world, "DROP DATABASE IF EXISTS %s WITH (FORCE)", world->database));
	assert_ok(fs_remove_tree(world->folder, &error));
	worker_log_clear();
	talloc_free(world);
	return 0;
}

static struct driver_call *make(struct world *world, const char *target)
{
	struct driver_call *call = worker_call(world, driver_postgres.fields, driver_postgres.params_size, world->folder,
		mem_printf(world, "{'dsn': {'env': 'TEST_DSN'}, 'lockTimeout': '10s'%s}", world->more));

	(void)setenv("TEST_DSN",
		mem_printf(call, "host='%s' user=postgres password='" POSTGRES_PASSWORD "' dbname=%s", server->dir, world->database), 1);
	call->deadline_ms = clock_mono_ms() + 60000;
	call->target = target ? worker_json(call, target) : NULL;
	call->snapshot_dir = in(world, "snapshot");
	call->run_id = "run-1";
	call->sources = worker_json(call, mem_printf(call, "{'dep-1': '%s/kept', 'dep-2': '%s/kept2'}", world->folder, world->folder));
	world->err = ERR_INIT;
	return call;
}

static void capture(struct world *world, const char *dir)
{
	struct driver_call *call = make(world, NULL);

	call->snapshot_dir = in(world, dir);
	if (driver_postgres.capture(call, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static int apply(struct world *world, struct driver_call *call, json_t **ret_outputs)
{
	*ret_outputs = json_keep(call, json_object());
	return driver_postgres.apply(call, *ret_outputs, &world->err);
}

static json_t *must_apply(struct world *world, const char *target, const char *ledger)
{
	struct driver_call *call = make(world, target);
	json_t *outputs;

	call->ledger_dir = ledger ? in(world, ledger) : NULL;
	if (apply(world, call, &outputs) < 0)
		fail_msg("%s", world->err.text);
	return json_object_get(outputs, "lost");
}

static void must_fail(struct world *world, const char *target, enum err_code code, const char *words)
{
	json_t *outputs;
	int r = apply(world, make(world, target), &outputs);

	if (r != -(int)code || !strstr(world->err.text, words))
		fail_msg("%d, expected %d: %s", r, -(int)code, world->err.text);
}

static void observe(struct world *world, const char *target)
{
	if (driver_postgres.observe(make(world, target), &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static const char *finding(struct world *world, const char *target, const char *name, bool passed)
{
	struct driver_call *call = make(world, target);
	struct findings *findings = findings_new(call);
	const char *message = NULL;

	if (driver_postgres.check(call, findings, &world->err) < 0)
		fail_msg("%s", world->err.text);
	for (size_t i = 0; i < findings->count; i++)
		if (strcmp(findings->list[i].name, name) == 0 && findings->list[i].passed == passed)
			message = findings->list[i].message;
	if (!message)
		fail_msg("no finding %s (%d): %s", name, passed, json_pretty(call, json_keep(call, findings_json(findings))));
	return message;
}

static char *text_of(struct world *world, const char *path)
{
	struct err error = ERR_INIT;
	char *text;

	assert_ok(fs_read(world, in(world, path), 1 << 24, &text, NULL, &error));
	return text;
}

/* ---- facts ---- */

static void test_observe(void **state)
{
	struct world *world = *state;
	json_t *schema, *users;

	observe(world, NULL);
	assert_true(text_starts_with(world->seen.version, "m0-"));
	assert_string_equal(world->seen.state, "present");
	assert_string_equal(json_str(world->seen.details, "engine", ""), "postgres");
	assert_true(
		json_equal(json_object_get(world->seen.details, "rowCounts"), worker_json(world, "{'log': 3, 'teams': 2, 'users': 3}")));
	schema = json_object_get(json_object_get(world->seen.details, "schema"), "tables");
	users = json_object_get(schema, "users");
	assert_true(json_equal(json_object_get(json_object_get(users, "columns"), "paid"),
		worker_json(world, "{'type': 'numeric(30,18)', 'notNull': false, 'primaryKey': false, 'default': null}")));
	assert_true(json_flag(json_object_get(json_object_get(users, "columns"), "id"), "primaryKey", false));
	assert_true(json_equal(json_object_get(users, "foreignKeys"),
		worker_json(world,
			"[{'columns': ['team'], 'table': 'teams', 'references': ['id'], 'onDelete': 'NO ACTION', 'onUpdate': 'NO ACTION'}]")));
	sql(world,
		"CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY); INSERT INTO schema_migrations VALUES ('20260101'), ('20260202');"
		"CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE SCHEMA more; CREATE TABLE more.x (m mood, g int GENERATED ALWAYS AS (1 + 1) STORED, i int GENERATED ALWAYS AS IDENTITY UNIQUE,"
		" CONSTRAINT small CHECK (i < 10)); CREATE VIEW v AS SELECT m FROM more.x");
	observe(world, NULL);
	assert_true(text_starts_with(world->seen.version, "m20260202-"));
	schema = json_object_get(json_object_get(world->seen.details, "schema"), "tables");
	assert_true(json_flag(json_object_get(schema, "v"), "view", false));
	users = json_object_get(schema, "more.x");
	assert_true(json_equal(json_object_get(json_object_get(users, "columns"), "m"),
		worker_json(world,
			"{'type': 'public.mood', 'notNull': false, 'primaryKey': false, 'default': null, 'values': ['good', 'bad']}")));
	assert_true(json_flag(json_object_get(json_object_get(users, "columns"), "g"), "generated", false));
	assert_non_null(json_object_get(json_object_get(json_object_get(users, "columns"), "i"), "identity"));
	assert_true(json_equal(json_object_get(users, "unique"), worker_json(world, "[['i']]")));
	assert_true(json_equal(json_object_get(users, "checks"), worker_json(world, "{'small': '(i < 10)'}")));
	assert_true(json_equal(json_object_get(users, "indexes"), worker_json(world, "{'x_i_key': {'unique': true, 'columns': ['i']}}")));
}

/* ---- whole, with its ledger ---- */

static void test_ledger_of_whole(void **state)
{
	struct world *world = *state;
	char *users;
	json_t *lost;

	capture(world, "kept");
	observe(world, "{'snapshotId': 'dep-1'}");
	assert_int_equal(world->seen.at_target, 1);
	sql(world,
		"UPDATE users SET paid = 12345678901.123456789012345678 WHERE name = 'ana'; DELETE FROM users WHERE name = 'bo';"
		"INSERT INTO users (name) VALUES ('new'); INSERT INTO log VALUES ('a'), ('c'), ('c'); DELETE FROM log WHERE what = 'b';"
		"CREATE TABLE fresh (x int); INSERT INTO fresh VALUES (7)");
	observe(world, "{'snapshotId': 'dep-1'}");
	assert_int_equal(world->seen.at_target, 0);
	lost = must_apply(world, "{'snapshotId': 'dep-1'}", "ledger");
	assert_true(json_equal(lost, worker_json(world, "{'added': 5, 'changed': 1, 'removed': 2, 'tables': 3}")));
	assert_string_equal(sql(world, "SELECT string_agg(name, ',' ORDER BY id) FROM users"), "ana,bo,tab\t\\ \"quote\"");
	assert_string_equal(sql(world, "SELECT string_agg(what, '' ORDER BY what) || to_regclass('fresh') IS NULL FROM log"), "t");
	users = text_of(world, "ledger/users.jsonl");
	assert_non_null(strstr(users, "\"paid\":\"12345678901.123456789012345678\""));
	assert_non_null(strstr(users, "{\"change\":\"removed\",\"key\":[2]}"));
	assert_non_null(strstr(users, "\"change\":\"added\",\"row\":{\"id\":4,\"name\":\"new\""));
	assert_non_null(strstr(text_of(world, "ledger/log.jsonl"), "{\"change\":\"added\",\"row\":{\"what\":\"c\"},\"times\":2}"));
	assert_non_null(strstr(text_of(world, "ledger/fresh.jsonl"), "{\"x\":7}"));
	/* Again: nothing to do, and the ledger stands. */
	assert_null(must_apply(world, "{'snapshotId': 'dep-1'}", "ledger"));
	assert_string_equal(text_of(world, "ledger/users.jsonl"), users);
	assert_false(fs_exists(in(world, "ledger/scratch")));
}

/* ---- tables ---- */

static void test_tables(void **state)
{
	struct world *world = *state;
	json_t *lost;

	capture(world, "kept");
	sql(world,
		"ALTER TABLE users ADD COLUMN more int DEFAULT 5; ALTER TABLE users DROP COLUMN seen; CREATE TABLE heard (n int);"
		"CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO heard VALUES (1); RETURN NULL; END$$;"
		"CREATE TRIGGER loud AFTER INSERT OR DELETE ON users EXECUTE FUNCTION hear(); DELETE FROM users WHERE id = 1;"
		"INSERT INTO users (id, name) VALUES (50, 'late'); SELECT setval('users_id_seq', 1); INSERT INTO log VALUES ('kept'); DELETE FROM heard");
	lost = must_apply(world, "{'tables': {'users': 'dep-1'}}", "ledger");
	assert_int_equal(json_int(lost, "tables", 0), 1);
	assert_int_equal(json_int(lost, "added", 0), 1);
	observe(world, "{'tables': {'users': 'dep-1'}}");
	assert_int_equal(world->seen.at_target, 1);
	assert_string_equal(sql(world, "SELECT string_agg(id || name || more, ',' ORDER BY id) FROM users WHERE id < 3"), "1ana5,2bo5");
	assert_string_equal(
		sql(world, "SELECT count(*) || ' ' || (SELECT count(*) FROM heard) || ' ' || (SELECT count(*) FROM log) FROM users"),
		"3 0 4");
	assert_string_equal(sql(world, "SELECT nextval('users_id_seq')"), "4");
	sql(world, "UPDATE users SET name = 'eva' WHERE id = 1");
	observe(world, "{'tables': {'users': 'dep-1'}}");
	assert_int_equal(world->seen.at_target, 0);
	assert_string_equal(sql(world, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"), "1");
	assert_string_equal(sql(world, "INSERT INTO users (name) VALUES ('x'); SELECT count(*) FROM heard"), "1");
}

static void test_tables_from_two_backups(void **state)
{
	struct world *world = *state;

	capture(world, "kept");
	sql(world, "UPDATE teams SET name = 'green' WHERE id = 1");
	capture(world, "kept2");
	sql(world, "DELETE FROM users; DELETE FROM teams");
	must_apply(world, "{'tables': {'users': 'dep-1', 'teams': 'dep-2'}}", NULL);
	assert_string_equal(sql(world, "SELECT string_agg(name, ',' ORDER BY id) || (SELECT count(*) FROM users) FROM teams"),
		"green,blue3");
	observe(world, "{'tables': {'users': 'dep-1', 'teams': 'dep-2'}}");
	assert_int_equal(world->seen.at_target, 1);
	observe(world, "{'tables': {'users': 'dep-1', 'teams': 'dep-1'}}");
	assert_int_equal(world->seen.at_target, 0);
}

static void test_tables_refused(void **state)
{
	struct world *world = *state;

	sql(world, "DELETE FROM users WHERE team = 2; DELETE FROM teams WHERE id = 2");
	capture(world, "kept");
	sql(world, "INSERT INTO teams VALUES (2, 'blue'); INSERT INTO users (team, name) VALUES (2, 'cy')");
	must_fail(world, "{'tables': {'teams': 'dep-1'}}", ERR_REFUSED, "violates foreign key constraint");
	assert_string_equal(sql(world, "SELECT count(*) FROM teams"), "2");
	must_fail(world, "{'tables': {'nowhere': 'dep-1'}}", ERR_NOT_FOUND, "table 'nowhere' is not in the database");
	sql(world, "CREATE TABLE later (x int)");
	must_fail(world, "{'tables': {'later': 'dep-1'}}", ERR_NOT_FOUND, "not in the backup");
	sql(world, "ALTER TABLE users ADD COLUMN must int NOT NULL DEFAULT 1; ALTER TABLE users ALTER COLUMN must DROP DEFAULT");
	must_fail(world, "{'tables': {'users': 'dep-1'}}", ERR_REFUSED, "null value in column");
	assert_string_equal(sql(world, "SELECT count(*) FROM users WHERE name = 'cy'"), "1");
}

/* ---- schemas ---- */

static void test_schemas(void **state)
{
	struct world *world = *state;

	sql(world, "CREATE SCHEMA app; CREATE TABLE app.t (x int); INSERT INTO app.t VALUES (1)");
	world->more = ", 'schemas': ['app']";
	capture(world, "kept");
	sql(world, "UPDATE app.t SET x = 2; DELETE FROM log; CREATE TABLE app.more (y int)");
	observe(world, NULL);
	assert_null(json_object_get(json_object_get(json_object_get(world->seen.details, "schema"), "tables"), "users"));
	must_apply(world, "{'snapshotId': 'dep-1'}", NULL);
	assert_string_equal(sql(world, "SELECT x::text || (SELECT count(*) FROM log) || (to_regclass('app.more') IS NULL) FROM app.t"),
		"10true");
	sql(world, "UPDATE app.t SET x = 2; CREATE VIEW public.on_app AS SELECT * FROM app.t");
	must_fail(world, "{'snapshotId': 'dep-1'}", ERR_REFUSED, "other schemas");
	assert_string_equal(sql(world, "SELECT x FROM on_app"), "2");
}

/* ---- absent ---- */

static void test_absent(void **state)
{
	struct world *world = *state;

	capture(world, "kept");
	postgres_say(server, "postgres", mem_printf(world, "DROP DATABASE %s", world->database));
	capture(world, "snapshot");
	assert_true(fs_exists(in(world, "snapshot/absent")));
	observe(world, NULL);
	assert_string_equal(world->seen.state, "absent");
	assert_string_equal(world->seen.version, "");
	assert_int_equal(world->seen.at_target, 1);
	assert_non_null(strstr(finding(world, "{'snapshotId': 'dep-1'}", "database_reachable", true), "not there"));
	must_apply(world, "{'snapshotId': 'dep-1'}", NULL);
	assert_string_equal(sql(world, "SELECT count(*) FROM users"), "3");
	if (driver_postgres.undo(make(world, NULL), &world->err) < 0)
		fail_msg("%s", world->err.text);
	observe(world, NULL);
	assert_int_equal(world->seen.at_target, 1);
	assert_string_equal(world->seen.state, "absent");
}

/* ---- copies that do not fit ---- */

static void replace_in_file(struct world *world, const char *path, const char *from, const char *to)
{
	struct err error = ERR_INIT;
	char *bytes, *found;
	size_t size;

	assert_ok(fs_read(world, in(world, path), 1 << 24, &bytes, &size, &error));
	found = memmem(bytes, size, from, strlen(from));
	assert_non_null(found);
	memcpy(found, to, strlen(to));
	assert_ok(fs_write_atomic(in(world, path), bytes, size, 0600, &error));
}

static void test_newer_server(void **state)
{
	struct world *world = *state;
	char *version = sql(world, "SHOW server_version"), *newer = mem_strdup(world, version);

	newer[0] = '9';
	capture(world, "kept");
	replace_in_file(world, "kept/database.dump", version, newer);
	assert_non_null(strstr(finding(world, "{'snapshotId': 'dep-1'}", "target_content", false), "made from PostgreSQL 9"));
	sql(world, "DELETE FROM log");
	must_fail(world, "{'snapshotId': 'dep-1'}", ERR_REFUSED, "made from PostgreSQL 9");
}

static void test_damaged_copy(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *bytes;
	size_t size;

	sql(world, "INSERT INTO log SELECT repeat('x', 1000) FROM generate_series(1, 500)");
	capture(world, "kept");
	sql(world, "DELETE FROM log WHERE what = 'a'");
	assert_ok(fs_read(world, in(world, "kept/database.dump"), 1 << 24, &bytes, &size, &error));
	assert_ok(fs_write_atomic(in(world, "kept/database.dump"), bytes, size / 2, 0600, &error));
	must_fail(world, "{'snapshotId': 'dep-1'}", ERR_CORRUPT, "");
	assert_string_equal(sql(world, "SELECT count(*) || ' ' || (SELECT count(*) FROM users) FROM log"), "501 3");
	assert_ok(fs_write_atomic(in(world, "kept/database.dump"), "nonsense", 8, 0600, &error));
	assert_non_null(strstr(finding(world, "{'snapshotId': 'dep-1'}", "target_content", false), "cannot be read"));
	assert_non_null(strstr(finding(world, "{'snapshotId': 'dep-9'}", "target_content", false), "dep-9"));
}

/* The facts say what must be there: another content is not taken for it, and nothing is changed. */
static void test_other_facts(void **state)
{
	struct world *world = *state;

	capture(world, "kept");
	replace_in_file(world, "kept/tables.json", "\"rows\": 2", "\"rows\": 9");
	sql(world, "DELETE FROM log");
	must_fail(world, "{'snapshotId': 'dep-1'}", ERR_FAILED, "table teams has 2 rows, 9 were expected");
	assert_string_equal(sql(world, "SELECT count(*) FROM log"), "0");
}

static void test_large_objects(void **state)
{
	struct world *world = *state;

	sql(world, "SELECT lo_from_bytea(4711, 'some bytes')");
	capture(world, "kept");
	sql(world, "DELETE FROM log; SELECT lo_unlink(4711)");
	assert_non_null(strstr(finding(world, "{'snapshotId': 'dep-1'}", "target_content", false), "large objects"));
	must_fail(world, "{'snapshotId': 'dep-1'}", ERR_UNSUPPORTED, "restore: switch");
	world->more = ", 'restore': 'switch'";
	must_apply(world, "{'snapshotId': 'dep-1'}", NULL);
	assert_string_equal(sql(world, "SELECT convert_from(lo_get(4711), 'UTF8')"), "some bytes");
	sql(world, "SELECT 1");
}

/* ---- what goes wrong with the connection ---- */

static void test_wrong_password(void **state)
{
	struct world *world = *state;
	struct driver_call *call = make(world, NULL);

	(void)setenv("TEST_DSN", mem_printf(call, "host='%s' user=postgres password='wrong words' dbname=%s", server->dir, world->database),
		1);
	assert_int_equal(driver_postgres.observe(call, &world->seen, &world->err), -ERR_FORBIDDEN);
	assert_null(strstr(world->err.text, "wrong words"));
	(void)setenv("TEST_DSN", "postgres://ana:wrong words@[", 1);
	assert_int_equal(driver_postgres.observe(call, &world->seen, &world->err), -ERR_INVALID);
	assert_null(strstr(world->err.text, "wrong words"));
	(void)setenv("TEST_DSN", mem_printf(call, "host='%s/nowhere' user=postgres dbname=x", server->dir), 1);
	assert_int_equal(driver_postgres.observe(call, &world->seen, &world->err), -ERR_UNREACHABLE);
}

static struct pg *another(struct world *world, const char *statements)
{
	struct pg_place place = { .host = server->dir,
		.user = "postgres",
		.password = POSTGRES_PASSWORD,
		.database = world->database,
		.deadline_ms = clock_mono_ms() + 60000 };
	struct err error = ERR_INIT;
	struct pg *pg;

	assert_ok(pg_open(world, &place, &pg, &error));
	assert_ok(pg_run(pg, statements, "test", &error));
	return pg;
}

static void test_locked(void **state)
{
	struct world *world = *state;
	struct pg *other;

	capture(world, "kept");
	sql(world, "DELETE FROM log");
	other = another(world, "BEGIN; SELECT * FROM public.users");
	world->more = "";
	{
		struct driver_call *call = make(world, "{'snapshotId': 'dep-1'}");
		json_t *outputs;

		call->deadline_ms = clock_mono_ms() + 2500;
		assert_int_equal(apply(world, call, &outputs), -ERR_TIMEOUT);
	}
	pg_close(&other);
	assert_string_equal(sql(world, "SELECT count(*) FROM log"), "0");
	must_apply(world, "{'snapshotId': 'dep-1'}", NULL);
	assert_string_equal(sql(world, "SELECT count(*) FROM log"), "3");
}

/* The server dies while the restore waits for a lock: the error says so, and nothing is changed. */
static void test_server_goes_away(void **state)
{
	struct world *world = *state;
	struct pg *other;
	int64_t until_ms = clock_mono_ms() + 30000;
	int status;
	pid_t pid;

	capture(world, "kept");
	sql(world, "DELETE FROM log; CHECKPOINT");
	other = another(world, "BEGIN; SELECT * FROM public.users");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		json_t *outputs;
		int r = apply(world, make(world, "{'snapshotId': 'dep-1'}"), &outputs);

		_exit(r == -ERR_UNREACHABLE ? 0 : 1);
	}
	while (strcmp(postgres_say(server, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"), "1\n") !=
		0) {
		assert_true(clock_mono_ms() < until_ms);
		clock_sleep_ms(20);
	}
	postgres_server_kill(server);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	pg_close(&other);
	postgres_server_again(server);
	assert_string_equal(sql(world, "SELECT count(*) || ' ' || (SELECT count(*) FROM users) FROM log"), "0 3");
	must_apply(world, "{'snapshotId': 'dep-1'}", NULL);
	assert_string_equal(sql(world, "SELECT count(*) FROM log"), "3");
}

/* A user who owns nothing may look and not restore. */
static void test_rights(void **state)
{
	struct world *world = *state;
	struct driver_call *call;
	struct findings *findings;
	bool found = false;

	capture(world, "kept");
	postgres_say(server, "postgres", "DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'g'");
	sql(world, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest");
	call = make(world, "{'snapshotId': 'dep-1'}");
	(void)setenv("TEST_DSN", mem_printf(call, "host='%s' user=guest password=g dbname=%s", server->dir, world->database), 1);
	findings = findings_new(call);
	assert_int_equal(driver_postgres.check(call, findings, &world->err), 0);
	for (size_t i = 0; i < findings->count; i++)
		found = found || (strcmp(findings->list[i].name, "database_rights") == 0 && !findings->list[i].passed);
	assert_true(found);
	sql(world, "DROP OWNED BY guest; DROP ROLE guest");
}

static void test_missing_role(void **state)
{
	struct world *world = *state;

	postgres_say(server, "postgres", "DROP ROLE IF EXISTS gone; CREATE ROLE gone");
	sql(world, "ALTER TABLE log OWNER TO gone");
	capture(world, "kept");
	sql(world, "ALTER TABLE log OWNER TO postgres; DROP ROLE gone; DELETE FROM log");
	assert_non_null(strstr(finding(world, "{'snapshotId': 'dep-1'}", "database_roles", false), "gone"));
	must_fail(world, "{'snapshotId': 'dep-1'}", ERR_DRIVER, "role \"gone\" does not exist");
	assert_string_equal(sql(world, "SELECT count(*) FROM log"), "0");
}

static void test_keep_at_record(void **state)
{
	struct world *world = *state;
	struct driver_call *call;

	world->more = ", 'keepAtRecord': false";
	call = make(world, NULL);
	call->run_id = NULL;
	assert_int_equal(driver_postgres.capture(call, &world->err), 0);
	assert_false(fs_exists(in(world, "snapshot/database.dump")));
	capture(world, "snapshot");
	assert_true(fs_exists(in(world, "snapshot/database.dump")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_observe, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ledger_of_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tables_from_two_backups, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tables_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_schemas, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_absent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_newer_server, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_copy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_facts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large_objects, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_password, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_locked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_server_goes_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing_role, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keep_at_record, set_up, tear_down),
	};
	int failed;

	json_setup();
	hash_setup();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (server)
		postgres_server_stop(server);
	return failed;
}
