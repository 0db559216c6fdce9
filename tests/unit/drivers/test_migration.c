/* Migrations backwards: the real dbmate on a real SQLite database, plain SQL files, a stand-in for golang-migrate that does what its documentation says, and the readers of folders. With servers:
 * test_migration_postgres.c, test_migration_mysql.c. */
#include "checks.h"
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "data/json.h"
#include "drivers/list.h"
#include "drivers/migration_tools.h"
#include "drivers/sqlite_restore.h"
#include "worker_call.h"

#define DBMATE SOURCE_ROOT "/node_modules/.bin/dbmate"

struct world {
	char folder[48];
	struct err err;
	struct observation seen;
};

static char *in(struct world *world, const char *path)
{
	return fs_join(world, world->folder, path);
}

static void put(struct world *world, const char *path, const char *text)
{
	char *whole = in(world, path), *folder = mem_strdup(world, whole);

	*strrchr(folder, '/') = 0;
	assert_int_equal(fs_mkdirs(folder, 0755, &world->err), 0);
	assert_int_equal(fs_write_atomic(whole, text, strlen(text), 0644, &world->err), 0);
}

static void sql(struct world *world, const char *text)
{
	char *problem = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(in(world, "app.db"), &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &problem) != SQLITE_OK)
		fail_msg("%s: %s", text, problem);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static const char *ask(struct world *world, const char *query)
{
	sqlite3_stmt *statement;
	const char *text = "";
	sqlite3 *db;

	assert_int_equal(sqlite3_open(in(world, "app.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
	if (sqlite3_step(statement) == SQLITE_ROW)
		text = mem_strdup(world, (const char *)sqlite3_column_text(statement, 0));
	(void)sqlite3_finalize(statement);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return text ? text : "";
}

#define TABLES \
	"SELECT group_concat(name) FROM (SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%migrations' ORDER BY name)"

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-migration-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
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

static struct driver_call *make(struct world *world, const char *migrations, const char *target)
{
	char *config = mem_printf(world, "{'path': 'app.db', 'migrations': %s}", migrations);
	struct driver_call *call = worker_call(world, driver_sqlite.fields, driver_sqlite.params_size, world->folder, config);

	call->target = target ? worker_json(call, target) : NULL;
	call->snapshot_dir = in(world, "snapshot");
	call->run_id = "run-1";
	call->deadline_ms = clock_mono_ms() + 60000;
	world->err = ERR_INIT;
	return call;
}

static json_t *details(struct world *world, const char *migrations)
{
	struct driver_call *call = make(world, migrations, NULL);

	call->snapshot_dir = NULL;
	if (driver_sqlite.observe(call, &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return world->seen.details;
}

static char *text_of(struct world *world, json_t *facts, const char *member)
{
	json_t *value = json_object_get(facts, member);

	return value ? json_canonical(world, value) : mem_strdup(world, "");
}

static int is_there(struct world *world, const char *migrations, const char *target)
{
	if (driver_sqlite.observe(make(world, migrations, target), &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return world->seen.at_target;
}

static void capture(struct world *world, const char *migrations)
{
	if (driver_sqlite.capture(make(world, migrations, NULL), &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static int apply(struct world *world, const char *migrations, const char *target)
{
	return driver_sqlite.apply(make(world, migrations, target), json_keep(world, json_object()), &world->err);
}

static void must_apply(struct world *world, const char *migrations, const char *target)
{
	if (apply(world, migrations, target) < 0)
		fail_msg("%s\n%s", world->err.text, worker_log());
}

/* The first finding that blocks; "" when none does. */
static const char *blocking(struct world *world, const char *migrations, const char *target)
{
	struct findings *findings = findings_new(world);

	if (driver_sqlite.check(make(world, migrations, target), findings, &world->err) < 0)
		fail_msg("%s", world->err.text);
	for (size_t i = 0; i < findings->count; i++)
		if (!findings->list[i].passed)
			return mem_printf(world, "%s: %s", findings->list[i].name, findings->list[i].message);
	return "";
}

/* ---- dbmate ---- */

static const char *const dbmate = "{'tool': 'dbmate', 'dir': 'db', 'program': ['" DBMATE "']}";

static void migrate_up(struct world *world)
{
	const char *const argv[] = { (DBMATE), "--url", mem_printf(world, "sqlite:%s", in(world, "app.db")), "-d", in(world, "db"),
		"--no-dump-schema", "up", NULL };
	struct proc_result result;

	if (proc_run_ok(world, &(struct proc_spec){ .argv = argv, .deadline_ms = clock_mono_ms() + 60000 }, &result, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static void three_migrations(struct world *world)
{
	put(world, "db/20260101_users.sql",
		"-- migrate:up\nCREATE TABLE users (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE users;\n");
	put(world, "db/20260102_orders.sql",
		"-- migrate:up\nCREATE TABLE orders (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE orders;\n");
	put(world, "db/20260103_bills.sql",
		"-- migrate:up\nCREATE TABLE bills (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE bills;\n");
	migrate_up(world);
	sql(world, "INSERT INTO users VALUES (1), (2)");
}

static void test_dbmate_goes_back(void **state)
{
	struct world *world = *state;
	json_t *facts, *outputs;

	three_migrations(world);
	facts = details(world, dbmate);
	assert_string_equal(text_of(world, facts, "migration"), "\"20260103\"");
	assert_string_equal(text_of(world, facts, "migrations"), "[\"20260101\",\"20260102\",\"20260103\"]");
	assert_string_equal(text_of(world, facts, "irreversible"), "");
	assert_int_equal(json_object_size(json_object_get(facts, "downMigrations")), 3);
	assert_true(strncmp(world->seen.version, "m20260103-", 10) == 0);
	assert_string_equal(blocking(world, dbmate, "{'migration': '20260101'}"), "");
	assert_int_equal(is_there(world, dbmate, "{'migration': '20260101'}"), 0);

	capture(world, dbmate);
	/* The code that is taken back takes the scripts with it. */
	assert_int_equal(fs_remove_tree(in(world, "db"), &world->err), 0);
	outputs = json_keep(world, json_object());
	assert_int_equal(driver_sqlite.apply(make(world, dbmate, "{'migration': '20260101'}"), outputs, &world->err), 0);
	assert_string_equal(text_of(world, outputs, "takenBack"), "[\"20260103\",\"20260102\"]");
	assert_non_null(strstr(worker_log(), "Rolled back: 20260102_orders.sql"));
	assert_string_equal(ask(world, TABLES), "users");
	assert_string_equal(ask(world, "SELECT count(*) FROM users"), "2");
	assert_int_equal(is_there(world, dbmate, "{'migration': '20260101'}"), 1);
	must_apply(world, dbmate, "{'migration': '20260101'}");

	/* Undo is what was captured, and nothing runs forward. */
	assert_int_equal(driver_sqlite.undo(make(world, dbmate, NULL), &world->err), 0);
	assert_string_equal(ask(world, TABLES), "bills,orders,users");
	assert_string_equal(ask(world, "SELECT max(version) FROM schema_migrations"), "20260103");
	must_apply(world, dbmate, "{'migration': ''}");
	assert_string_equal(ask(world, TABLES), "");
	assert_int_equal(apply(world, dbmate, "{'migration': '20260103'}"), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "only goes backwards"));
}

static void test_irreversible_is_found(void **state)
{
	static const struct {
		const char *down, *reason;
	} cases[] = {
		{ "", "there is no down script" }, /* which dbmate itself refuses to apply */
		{ "-- migrate:down\n", "does nothing" },
		{ "-- migrate:down\n-- nothing to do\n;\n", "does nothing" },
		{ "-- migrate:down\n-- IRREVERSIBLE: the old names are gone\nSELECT 1;\n", "irreversible" },
		{ "-- migrate:down\nSELECT raise(ABORT, 'no');\n", "only raises an error" },
		{ "-- migrate:down\nDO $$ BEGIN RAISE EXCEPTION 'no way'; END $$;\n", "only raises an error" },
		{ "-- migrate:down\nDROP TABLE a; -- 'irreversible' is no word of this one: it is\n", "irreversible" },
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (i == 0) {
			put(world, "db/1_a.sql", "-- migrate:up\nCREATE TABLE a (x);\n-- migrate:down\n");
			put(world, "db/2_b.sql", "-- migrate:up\nCREATE TABLE b (x);\n-- migrate:down\n");
			migrate_up(world);
		}
		put(world, "db/1_a.sql", mem_printf(world, "-- migrate:up\nCREATE TABLE a (x);\n%s", cases[i].down));
		put(world, "db/2_b.sql", "-- migrate:up\nCREATE TABLE b (x);\n-- migrate:down\nDROP TABLE b;\n");
		assert_string_equal(text_of(world, details(world, dbmate), "irreversible"), "[\"1\"]");
		assert_string_equal(blocking(world, dbmate, "{'migration': '1'}"), "");
		assert_non_null(strstr(blocking(world, dbmate, "{'migration': ''}"), "migration_reversible: migration 1 cannot go back"));
		assert_non_null(strstr(blocking(world, dbmate, "{'migration': ''}"), cases[i].reason));
		/* Nor does anything begin: 2 could go back, and 1 behind it could not. */
		capture(world, dbmate);
		assert_int_equal(apply(world, dbmate, "{'migration': ''}"), -ERR_REFUSED);
		assert_string_equal(ask(world, TABLES), "a,b");
	}
}

static void test_scripts_are_those_of_the_plan(void **state)
{
	struct world *world = *state;
	const char *target;

	three_migrations(world);
	target = mem_printf(world, "{'migration': '20260102', 'downMigrations': {'20260103': '%s'}}",
		json_str(json_object_get(details(world, dbmate), "downMigrations"), "20260103", ""));
	assert_string_equal(blocking(world, dbmate, target), "");
	put(world, "db/20260103_bills.sql", "-- migrate:up\n-- migrate:down\nDROP TABLE users; DROP TABLE bills;\n");
	assert_non_null(strstr(blocking(world, dbmate, target), "not the one that the plan was made with"));
	capture(world, dbmate);
	assert_int_equal(apply(world, dbmate, target), -ERR_REFUSED);
	assert_string_equal(ask(world, TABLES), "bills,orders,users");

	/* What was kept with the deployment is as it was. */
	put(world, "kept/migrations/20260103_bills.sql", "-- migrate:up\n-- migrate:down\nDROP TABLE bills;\n");
	struct driver_call *call = make(world, dbmate, target);
	call->source_dir = in(world, "kept");
	if (driver_sqlite.apply(call, json_keep(world, json_object()), &world->err) < 0)
		fail_msg("%s", world->err.text);
	assert_string_equal(ask(world, TABLES), "orders,users");
}

static void test_failing_script(void **state)
{
	struct world *world = *state;

	three_migrations(world);
	put(world, "db/20260102_orders.sql", "-- migrate:up\n-- migrate:down\nDROP TABLE orders; DROP TABLE not_there;\n");
	capture(world, dbmate);
	assert_int_equal(apply(world, dbmate, "{'migration': '20260101'}"), -ERR_FAILED);
	assert_non_null(strstr(world->err.text, "migration 20260102"));
	assert_non_null(strstr(world->err.text, "not_there"));
	assert_non_null(strstr(worker_log(), "Rolled back: 20260103"));
	/* dbmate's transaction held: the one that failed is wholly there, and may be tried again. */
	assert_string_equal(ask(world, TABLES), "orders,users");
	assert_string_equal(text_of(world, details(world, dbmate), "migrationState"), "");
}

static void test_script_without_transaction_is_not_repeated(void **state)
{
	struct world *world = *state;

	put(world, "db/1_a.sql",
		"-- migrate:up\nCREATE TABLE a (x); CREATE TABLE b (x);\n-- migrate:down transaction:false\nDROP TABLE a;\nDROP TABLE gone;\n");
	migrate_up(world);
	capture(world, dbmate);
	assert_int_equal(apply(world, dbmate, "{'migration': ''}"), -ERR_FAILED);
	assert_non_null(strstr(text_of(world, details(world, dbmate), "migrationState"), "its end is not known"));
	assert_int_equal(apply(world, dbmate, "{'migration': ''}"), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "taking back migration 1 was begun by run-1"));
	assert_non_null(strstr(blocking(world, dbmate, "{'migration': ''}"), "migration_state"));
	/* The restored database knows nothing of it. */
	assert_int_equal(driver_sqlite.undo(make(world, dbmate, NULL), &world->err), 0);
	assert_string_equal(text_of(world, details(world, dbmate), "migrationState"), "");
	assert_string_equal(ask(world, TABLES), "a,b");
}

static void test_program_missing(void **state)
{
	struct world *world = *state;
	const char *none = "{'tool': 'dbmate', 'dir': 'db', 'program': ['unship-no-such-tool']}";

	three_migrations(world);
	assert_non_null(
		strstr(blocking(world, none, "{'migration': '20260102'}"), "migration_tool: there is no program 'unship-no-such-tool'"));
	capture(world, none);
	assert_int_equal(apply(world, none, "{'migration': '20260102'}"), -ERR_NOT_FOUND);
}

/* ---- plain SQL ---- */

static const char *const plain = "{'tool': 'sql', 'dir': 'm'}";

static void plain_migrations(struct world *world, bool folders)
{
	put(world, folders ? "m/up/001_a.sql" : "m/001_a.up.sql", "CREATE TABLE a (x)");
	put(world, folders ? "m/down/001_a.sql" : "m/001_a.down.sql", "DROP TABLE a -- without a semicolon");
	put(world, folders ? "m/up/010_b.sql" : "m/010_b.up.sql", "CREATE TABLE b (x)");
	put(world, folders ? "m/down/010_b.sql" : "m/010_b.down.sql", "DROP TABLE b;\nINSERT INTO log VALUES ('b');\n");
	sql(world,
		"CREATE TABLE unship_migrations (version TEXT PRIMARY KEY); CREATE TABLE log (what); CREATE TABLE a (x); CREATE TABLE b (x);"
		"INSERT INTO unship_migrations VALUES ('10'), ('001')");
}

static void test_plain_sql(void **state)
{
	struct world *world = *state;

	for (int folders = 0; folders < 2; folders++) {
		plain_migrations(world, folders);
		assert_string_equal(text_of(world, details(world, plain), "migrations"), "[\"001\",\"10\"]");
		assert_string_equal(blocking(world, plain, "{'migration': '001'}"), "");
		capture(world, plain);
		must_apply(world, plain, "{'migration': '001'}");
		assert_string_equal(ask(world, TABLES), "a,log");
		must_apply(world, plain, "{'migration': ''}");
		assert_string_equal(ask(world, TABLES), "log");
		assert_string_equal(ask(world, "SELECT count(*) FROM unship_migrations"), "0");
		assert_int_equal(fs_remove_tree(in(world, "app.db"), &world->err), 0);
		assert_int_equal(fs_remove_tree(in(world, "m"), &world->err), 0);
	}
}

static void test_plain_sql_is_one_transaction(void **state)
{
	struct world *world = *state;

	plain_migrations(world, false);
	put(world, "m/010_b.down.sql", "DROP TABLE b; INSERT INTO log VALUES ('b'); DROP TABLE nothing;");
	capture(world, plain);
	assert_int_equal(apply(world, plain, "{'migration': '001'}"), -ERR_DRIVER);
	assert_string_equal(ask(world, TABLES), "a,b,log");
	assert_string_equal(ask(world, "SELECT count(*) FROM log"), "0");
	put(world, "m/010_b.down.sql", "BEGIN; DROP TABLE b; COMMIT;");
	assert_non_null(strstr(blocking(world, plain, "{'migration': '001'}"), "transactions by itself"));
}

/* Killed at every place, and once more: it ends where it was to go. */
static void test_killed(void **state)
{
#ifdef UNSHIP_FAILPOINTS
	static const struct {
		const char *tool, *point;
	} cases[] = { { NULL, "migration.begun" }, { NULL, "migration.went_back" }, { NULL, "migration.begun:2" },
		{ "sql", "migration.begun" }, { "sql", "sqlite.script_run" }, { "sql", "migration.went_back" } };
	struct world *world = *state;
	int status;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *migrations = cases[i].tool ? plain : dbmate,
			   *target = cases[i].tool ? "{'migration': ''}" : "{'migration': '20260101'}";
		pid_t pid;

		if (cases[i].tool)
			plain_migrations(world, false);
		else
			three_migrations(world);
		capture(world, migrations);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)setenv("UNSHIP_FAILPOINT", cases[i].point, 1);
			_exit(apply(world, migrations, target) < 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(is_there(world, migrations, target), 0);
		must_apply(world, migrations, target);
		assert_int_equal(is_there(world, migrations, target), 1);
		assert_string_equal(ask(world, TABLES), cases[i].tool ? "log" : "users");
		for (const char *const *name = (const char *const[]){ "app.db", "m", "db", "snapshot", NULL }; *name; name++)
			assert_int_equal(fs_remove_tree(in(world, *name), &world->err), 0);
	}
#else
	skip();
#endif
}

/* ---- golang-migrate, by its published description ---- */

/* `migrate -path DIR -database URL down N`: notes the version that it goes to as dirty, runs the script, notes it as clean. */
static const char *const stand_in = "#!/usr/bin/env python3\n"
				    "import glob, re, sqlite3, sys, os\n"
				    "assert sys.argv[1] == '-path' and sys.argv[3] == '-database' and sys.argv[5] == 'down', sys.argv\n"
				    "db = sqlite3.connect(re.match('sqlite3://(.*)', sys.argv[4]).group(1), isolation_level=None)\n"
				    "files = {int(os.path.basename(f).split('_')[0]): f for f in glob.glob(sys.argv[2] + '/*.down.sql')}\n"
				    "for _ in range(int(sys.argv[6])):\n"
				    "    now = db.execute('SELECT version FROM schema_migrations').fetchone()[0]\n"
				    "    before = max([v for v in files if v < now], default=-1)\n"
				    "    db.execute('DELETE FROM schema_migrations')\n"
				    "    db.execute('INSERT INTO schema_migrations VALUES (?, 1)', (before,))\n"
				    "    db.executescript(open(files[now]).read())\n"
				    "    db.execute('DELETE FROM schema_migrations')\n"
				    "    if before >= 0: db.execute('INSERT INTO schema_migrations VALUES (?, 0)', (before,))\n"
				    "    print(f'{now}/d done')\n";

static void test_golang_migrate(void **state)
{
	struct world *world = *state;
	const char *migrations = "{'tool': 'golang-migrate', 'dir': 'm', 'program': ['./migrate']}";

	put(world, "migrate", stand_in);
	assert_int_equal(chmod(in(world, "migrate"), 0755), 0);
	put(world, "m/000001_a.up.sql", "CREATE TABLE a (x);");
	put(world, "m/000001_a.down.sql", "DROP TABLE a;");
	put(world, "m/000002_b.up.sql", "CREATE TABLE b (x);");
	put(world, "m/000002_b.down.sql", "DROP TABLE b;");
	put(world, "m/000010_c.up.sql", "CREATE TABLE c (x);");
	put(world, "m/000010_c.down.sql", "DROP TABLE c;");
	sql(world,
		"CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE c (x);"
		"CREATE TABLE schema_migrations (version uint64, dirty bool); INSERT INTO schema_migrations VALUES (10, false)");
	assert_string_equal(text_of(world, details(world, migrations), "migrations"), "[\"1\",\"2\",\"10\"]");
	assert_string_equal(blocking(world, migrations, "{'migration': '1'}"), "");
	capture(world, migrations);
	must_apply(world, migrations, "{'migration': '2'}");
	assert_string_equal(ask(world, TABLES), "a,b");

	/* One that breaks leaves what it noted, and nothing is repeated. */
	put(world, "snapshot/migrations/000002_b.down.sql", "DROP TABLE b; DROP TABLE nothing;");
	assert_int_equal(apply(world, migrations, "{'migration': '1'}"), -ERR_FAILED);
	assert_non_null(strstr(text_of(world, details(world, migrations), "migrationState"), "dirty"));
	assert_int_equal(apply(world, migrations, "{'migration': ''}"), -ERR_REFUSED);
	assert_non_null(strstr(blocking(world, migrations, "{'migration': ''}"), "migrate force"));
	sql(world, "UPDATE schema_migrations SET version = 1, dirty = false");
	must_apply(world, migrations, "{'migration': ''}");
	assert_string_equal(ask(world, TABLES), "");
}

/* ---- configuration ---- */

static void test_refused_configuration(void **state)
{
	static const struct {
		const char *migrations, *message;
	} cases[] = {
		{ "{'tool': 'sqitch'}", "sqitch notes what is applied outside" },
		{ "{'tool': 'liquibase', 'dir': 'm'}", "needs `changelog`" },
		{ "{'tool': 'dbmate', 'table': 'a; DROP TABLE b'}", "is not a name" },
	};
	struct world *world = *state;

	sql(world, "CREATE TABLE a (x)");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(driver_sqlite.observe(make(world, cases[i].migrations, NULL), &world->seen, &world->err), -ERR_INVALID);
		assert_non_null(strstr(world->err.text, cases[i].message));
	}
	assert_int_equal(apply(world, "null", "{'migration': '1'}"), -ERR_INVALID);
	assert_non_null(strstr(world->err.text, "no tool for migrations"));
}

/* Only what a tool reads is kept, and no folder that is none of migrations. */
static void test_capture_keeps_scripts(void **state)
{
	struct world *world = *state;

	put(world, "db/1_a.sql", "-- migrate:up\n-- migrate:down\nDROP TABLE a;\n");
	put(world, "db/deep/2_b.sql", "x");
	put(world, "db/.env", "DATABASE_URL=secret");
	put(world, "db/liquibase.properties", "password=secret");
	put(world, "db/node_modules/x.sql", "x");
	capture(world, dbmate);
	assert_true(fs_exists(in(world, "snapshot/migrations/1_a.sql")));
	assert_true(fs_exists(in(world, "snapshot/migrations/deep/2_b.sql")));
	assert_false(fs_exists(in(world, "snapshot/migrations/.env")));
	assert_false(fs_exists(in(world, "snapshot/migrations/liquibase.properties")));
	assert_false(fs_exists(in(world, "snapshot/migrations/node_modules")));
	assert_int_equal(fs_remove_tree(in(world, "db/1_a.sql"), &world->err), 0);
	capture(world, dbmate);
	assert_false(fs_exists(in(world, "snapshot/migrations/1_a.sql")));
}

/* ---- addresses and commands ---- */

static const char *command(struct world *world, const char *tool, const struct migration_database *database, struct env **ret_env)
{
	struct migration_params params = { .tool = tool, .changelog = "changelog.xml" };
	const char *argv[MIGRATION_ARGV_MAX + 1] = { NULL };
	struct migration_applied previous = { .version = "a", .key = "abc" };
	struct migration_site site;
	char *text = mem_strdup(world, "");

	world->err = ERR_INIT;
	*ret_env = env_new(world);
	if (migration_site(make(world, "null", NULL), &params, database, &site, &world->err) < 0 ||
		site.tool->back(&site, "/m", &previous, 2, argv, *ret_env, &world->err) < 0)
		return world->err.text;
	for (const char **word = argv; *word; word++)
		text = mem_appendf(text, "%s%s", word == argv ? "" : " ", *word);
	return text;
}

static const char *variable(const struct env *env, const char *name)
{
	for (const char **one = env->list; *one; one++)
		if (strncmp(*one, name, strlen(name)) == 0 && (*one)[strlen(name)] == '=')
			return *one + strlen(name) + 1;
	return "";
}

static void test_addresses(void **state)
{
	struct migration_database tcp = { .engine = "postgres",
		.host = "db.example",
		.port = 5433,
		.user = "me",
		.password = "p@ss/word",
		.name = "app",
		.ssl_mode = "verify-full",
		.ssl_ca = "/etc/ca.pem" };
	struct migration_database socket = { .engine = "postgres", .host = "/run/pg", .port = 5433, .user = "me", .name = "app" };
	struct migration_database mysql = { .engine = "mysql", .host = "::1", .port = 3307, .user = "me", .password = "pw", .name = "app" };
	struct world *world = *state;
	struct env *env;

	assert_string_equal(command(world, "dbmate", &tcp, &env), "rollback");
	assert_string_equal(variable(env, "DATABASE_URL"), "postgres://me:p%40ss%2Fword@db.example:5433/app?sslmode=verify-full");
	assert_string_equal(variable(env, "PGSSLROOTCERT"), "/etc/ca.pem");
	assert_string_equal(command(world, "dbmate", &socket, &env), "rollback");
	assert_string_equal(variable(env, "DATABASE_URL"), "postgres://me@/app?host=%2Frun%2Fpg&port=5433&sslmode=disable");
	assert_string_equal(command(world, "dbmate", &mysql, &env), "rollback");
	assert_string_equal(variable(env, "DATABASE_URL"), "mysql://me:pw@[::1]:3307/app");
	mysql.ssl_mode = "on";
	assert_string_equal(command(world, "dbmate", &mysql, &env), "rollback");
	assert_string_equal(variable(env, "DATABASE_URL"), "mysql://me:pw@[::1]:3307/app?tls=skip-verify");
	assert_string_equal(command(world, "liquibase", &mysql, &env), "rollback-count --count=2");
	assert_string_equal(variable(env, "LIQUIBASE_COMMAND_URL"), "jdbc:mariadb://[::1]:3307/app?sslMode=trust");
	mysql.ssl_mode = "verified";
	mysql.ssl_ca = "/etc/ca.pem";
	assert_string_equal(command(world, "dbmate", &mysql, &env), "rollback");
	assert_string_equal(variable(env, "DATABASE_URL"), "mysql://me:pw@[::1]:3307/app?tls=true");
	assert_string_equal(variable(env, "SSL_CERT_FILE"), "/etc/ca.pem");
	assert_string_equal(command(world, "liquibase", &mysql, &env), "rollback-count --count=2");
	assert_string_equal(variable(env, "LIQUIBASE_COMMAND_URL"),
		"jdbc:mariadb://[::1]:3307/app?sslMode=verify-full&serverSslCert=%2Fetc%2Fca.pem");
	assert_string_equal(command(world, "sqitch", &tcp, &env), "revert --target db:pg:app --to abc -y");
	assert_string_equal(variable(env, "PGPASSWORD"), "p@ss/word");
	assert_string_equal(variable(env, "PGSSLMODE"), "verify-full");
	assert_string_equal(command(world, "liquibase", &tcp, &env), "rollback-count --count=2");
	assert_string_equal(variable(env, "LIQUIBASE_COMMAND_URL"),
		"jdbc:postgresql://db.example:5433/app?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem");
	assert_string_equal(variable(env, "LIQUIBASE_COMMAND_PASSWORD"), "p@ss/word");
	assert_non_null(strstr(command(world, "liquibase", &socket, &env), "by TCP only"));
	/* What is an argument holds no secret. */
	assert_string_equal(command(world, "golang-migrate", &tcp, &env),
		"-path /m -database postgres://me@db.example:5433/app?sslmode=verify-full down 2");
	assert_string_equal(variable(env, "PGPASSWORD"), "p@ss/word");
	assert_non_null(strstr(command(world, "golang-migrate", &mysql, &env), "everybody could read it"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(dbmate_goes_back),
		TEST(irreversible_is_found),
		TEST(scripts_are_those_of_the_plan),
		TEST(failing_script),
		TEST(script_without_transaction_is_not_repeated),
		TEST(program_missing),
		TEST(plain_sql),
		TEST(plain_sql_is_one_transaction),
		TEST(killed),
		TEST(golang_migrate),
		TEST(refused_configuration),
		TEST(capture_keeps_scripts),
		TEST(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
