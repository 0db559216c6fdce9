/* Migrations backwards by the postgres driver on a real server that asks for a password: sqitch, liquibase, dbmate, plain SQL. */
#include "base/fs.h"
#include "base/text.h"
#include "drivers/list.h"
#include "migration_world.h"
#include "postgres.h"

static struct postgres_server *server;

static const char *const environment[] = { "PGPASSWORD=" POSTGRES_PASSWORD, "SQITCH_FULLNAME=Tester", "SQITCH_EMAIL=tester@localhost",
	"LIQUIBASE_COMMAND_PASSWORD=" POSTGRES_PASSWORD, "LIQUIBASE_ANALYTICS_ENABLED=false", NULL };

static const char *sql(struct world *world, const char *text)
{
	return postgres_say(server, world->name, text);
}

static int start_server(void **state)
{
	server = postgres_server_start(NULL);
	postgres_server_listen(server);
	return setenv("DB_PASSWORD", POSTGRES_PASSWORD, 1);
}

static int stop_server(void **state)
{
	postgres_server_stop(server);
	talloc_free(server);
	return 0;
}

static void reach_by(struct world *world, const char *host)
{
	world->place = mem_printf(world,
		"'host': '%s', 'port': %d, 'database': '%s', 'user': 'postgres', 'password': {'env': 'DB_PASSWORD'}", host, server->port,
		world->name);
}

static int set_up(void **state)
{
	static int number;
	struct world *world = world_make(&driver_postgres, POSTGRES_PASSWORD);

	world->name = mem_printf(world, "app%d", ++number);
	(void)postgres_say(server, "postgres", mem_printf(world, "CREATE DATABASE %s", world->name));
	reach_by(world, "127.0.0.1");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_remove(*state);
	return 0;
}

#define TABLES "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'"

static const char *tables(struct world *world)
{
	char *text = mem_strdup(world, sql(world, TABLES));

	text[strcspn(text, "\n")] = 0;
	return text;
}

/* ---- sqitch ---- */

static const char *const sqitch_config = "{'tool': 'sqitch', 'dir': 'db'}";

static void sqitch(struct world *world, const char *word)
{
	const char *target = mem_printf(world, "db:pg://postgres@127.0.0.1:%d/%s", server->port, world->name);

	must_run(world, (const char *const[]){ "sqitch", word, "--target", target, NULL }, in(world, "db"), environment);
}

static void sqitch_project(struct world *world)
{
	put(world, "db/sqitch.conf", "[core]\n\tengine = pg\n\ttop_dir = changes\n");
	put(world, "db/changes/sqitch.plan",
		"%syntax-version=1.0.0\n%project=shop\n\nusers 2026-01-01T00:00:00Z Tester <t@localhost> # a\n"
		"orders [users] 2026-01-02T00:00:00Z Tester <t@localhost> # b\n@v1 2026-01-02T01:00:00Z Tester <t@localhost> # tag\n"
		"users [users@v1] 2026-01-03T00:00:00Z Tester <t@localhost> # reworked\n"
		"bills 2026-01-04T00:00:00Z Tester <t@localhost> # c\n");
	put(world, "db/changes/deploy/users@v1.sql", "BEGIN;\nCREATE TABLE users (id int);\nCOMMIT;\n");
	put(world, "db/changes/revert/users@v1.sql", "BEGIN;\nDROP TABLE users;\nCOMMIT;\n");
	put(world, "db/changes/deploy/users.sql", "BEGIN;\nALTER TABLE users ADD COLUMN name text;\nCOMMIT;\n");
	put(world, "db/changes/revert/users.sql", "BEGIN;\nALTER TABLE users DROP COLUMN name;\nCOMMIT;\n");
	put(world, "db/changes/deploy/orders.sql", "BEGIN;\nCREATE TABLE orders (id int);\nCOMMIT;\n");
	put(world, "db/changes/revert/orders.sql", "BEGIN;\nDROP TABLE orders;\nCOMMIT;\n");
	put(world, "db/changes/deploy/bills.sql", "BEGIN;\nCREATE TABLE bills (id int);\nCOMMIT;\n");
	put(world, "db/changes/revert/bills.sql", "BEGIN;\nDROP TABLE bills;\nCOMMIT;\n");
	sqitch(world, "deploy");
}

static void test_sqitch(void **state)
{
	struct world *world = *state;
	const char *names;

	sqitch_project(world);
	names = fact(world, sqitch_config, "migrations");
	assert_int_equal(strncmp(names, "[\"users\",\"orders\",\"users:", 25), 0);
	assert_string_equal(fact(world, sqitch_config, "migration"), "\"bills\"");
	assert_string_equal(fact(world, sqitch_config, "irreversible"), "");
	assert_string_equal(blocking(world, sqitch_config, "orders"), "");
	capture(world, sqitch_config);
	assert_int_equal(fs_remove_tree(in(world, "db"), &world->err), 0);
	must_go(world, sqitch_config, "orders");
	assert_string_equal(tables(world), "orders,users");
	assert_string_equal(sql(world, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"), "1\n");
	/* Undo is the copy, sqitch's own notes included. */
	undo(world, sqitch_config);
	assert_string_equal(tables(world), "bills,orders,users");
	assert_string_equal(fact(world, sqitch_config, "migration"), "\"bills\"");
	must_go(world, sqitch_config, "");
	assert_string_equal(tables(world), "");
}

static void test_sqitch_irreversible(void **state)
{
	struct world *world = *state;

	sqitch_project(world);
	/* What `sqitch add` makes, not filled in. */
	put(world, "db/changes/revert/users.sql", "-- Revert shop:users from pg\n\nBEGIN;\n\n-- Add DDLs here.\n\nCOMMIT;\n");
	assert_non_null(strstr(blocking(world, sqitch_config, "orders"), "migration users:"));
	assert_non_null(strstr(blocking(world, sqitch_config, "orders"), "does nothing"));
	assert_int_equal(fs_remove_tree(in(world, "db/changes/revert/orders.sql"), &world->err), 0);
	assert_non_null(strstr(blocking(world, sqitch_config, "users"), "cannot go back"));
	capture(world, sqitch_config);
	assert_int_equal(go(world, sqitch_config, "users"), -ERR_REFUSED);
	assert_string_equal(tables(world), "bills,orders,users");
}

/* Between psql and sqitch's own note nobody can tell how far it got. */
static void test_sqitch_interrupted(void **state)
{
	struct world *world = *state;

	sqitch_project(world);
	put(world, "db/changes/revert/bills.sql", "DROP TABLE bills;\nSELECT 1 / 0;\n");
	capture(world, sqitch_config);
	assert_int_equal(go(world, sqitch_config, "orders"), -ERR_FAILED);
	assert_string_equal(tables(world), "orders,users");
	assert_string_equal(fact(world, sqitch_config, "migration"), "\"bills\"");
	assert_int_equal(go(world, sqitch_config, "orders"), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "migration bills was begun by run-1 and its end is not known"));
	assert_non_null(strstr(blocking(world, sqitch_config, "orders"), "migration_state"));
	undo(world, sqitch_config);
	assert_string_equal(tables(world), "bills,orders,users");
	assert_string_equal(blocking(world, sqitch_config, "orders"), "");
}

/* ---- liquibase ---- */

static const char *const liquibase_config = "{'tool': 'liquibase', 'dir': 'db', 'changelog': '%s', 'program': ['" LIQUIBASE "']}";

static void liquibase(struct world *world, const char *changelog, const char *word)
{
	must_run(world,
		(const char *const[]){ (LIQUIBASE), "--show-banner=false",
			mem_printf(world, "--url=jdbc:postgresql://127.0.0.1:%d/%s?sslmode=disable", server->port, world->name),
			"--username=postgres", mem_printf(world, "--changelog-file=%s", changelog), "--search-path=db", word, NULL },
		world->folder, environment);
}

static char *configured(struct world *world, const char *changelog)
{
	char *text = mem_strdup(world, liquibase_config), *place = strstr(text, "%s");

	*place = 0;
	return mem_printf(world, "%s%s%s", text, changelog, place + 2);
}

static void test_liquibase_sql(void **state)
{
	struct world *world = *state;
	char *config = configured(world, "changelog.sql");

	put(world, "db/changelog.sql",
		"--liquibase formatted sql\n\n--changeset ann:1\nCREATE TABLE users (id int);\n--rollback DROP TABLE users;\n\n"
		"--changeset ann:2\nCREATE TABLE orders (id int);\n--rollback DROP TABLE orders;\n\n"
		"--changeset bob:3\nCREATE TABLE bills (id int);\nINSERT INTO bills VALUES (1);\n/* liquibase rollback\nDROP TABLE bills;\n*/\n\n"
		"--changeset bob:4\nINSERT INTO users VALUES (7);\n--rollback empty\n");
	liquibase(world, "changelog.sql", "update");
	assert_string_equal(fact(world, config, "migrations"), "[\"ann:1\",\"ann:2\",\"bob:3\",\"bob:4\"]");
	assert_string_equal(fact(world, config, "irreversible"), "");
	assert_string_equal(blocking(world, config, "ann:1"), "");
	assert_string_equal(tables(world), "bills,databasechangelog,databasechangeloglock,orders,users");
	capture(world, config);
	assert_int_equal(fs_remove_tree(in(world, "db"), &world->err), 0);
	must_go(world, config, "ann:1");
	assert_string_equal(tables(world), "databasechangelog,databasechangeloglock,users");
	assert_string_equal(fact(world, config, "migration"), "\"ann:1\"");
}

/* Other forms are read by liquibase alone: it knows what takes createTable back, and that nothing takes an insert by SQL back. */
static void test_liquibase_xml(void **state)
{
	struct world *world = *state;
	char *config = configured(world, "changelog.xml");

	put(world, "db/changelog.xml",
		"<?xml version=\"1.0\"?><databaseChangeLog xmlns=\"http://www.liquibase.org/xml/ns/dbchangelog\" "
		"xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://www.liquibase.org/xml/ns/dbchangelog "
		"http://www.liquibase.org/xml/ns/dbchangelog/dbchangelog-4.1.xsd\">"
		"<changeSet id=\"1\" author=\"ann\"><sql>CREATE TABLE users (id int)</sql></changeSet>"
		"<changeSet id=\"2\" author=\"ann\"><createTable tableName=\"orders\"><column name=\"id\" type=\"int\"/></createTable></changeSet>"
		"</databaseChangeLog>");
	liquibase(world, "changelog.xml", "update");
	assert_string_equal(fact(world, config, "migration"), "\"ann:2\"");
	assert_string_equal(blocking(world, config, "ann:1"), "");
	assert_non_null(strstr(blocking(world, config, ""), "migration_reversible"));
	capture(world, config);
	must_go(world, config, "ann:1");
	assert_string_equal(tables(world), "databasechangelog,databasechangeloglock,users");
	/* Its lock, left by one that was ended in the middle. */
	sql(world, "UPDATE databasechangeloglock SET locked = true, lockedby = 'a host'");
	assert_int_equal(go(world, config, ""), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "lock is held by a host"));
}

/* ---- dbmate and plain SQL ---- */

static void test_dbmate(void **state)
{
	struct world *world = *state;
	const char *config = "{'tool': 'dbmate', 'dir': 'db', 'program': ['" DBMATE "']}";

	put(world, "db/1_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n-- migrate:down\nDROP TABLE a;\n");
	put(world, "db/2_b.sql", "-- migrate:up\nCREATE TABLE b (x int);\n-- migrate:down\nDROP TABLE b;\n");
	must_run(world,
		(const char *const[]){ (DBMATE), "--url",
			mem_printf(world, "postgres://postgres:%s@127.0.0.1:%d/%s?sslmode=disable",
				text_url_encode(world, POSTGRES_PASSWORD), server->port, world->name),
			"-d", in(world, "db"), "--no-dump-schema", "up", NULL },
		"/tmp", environment);
	assert_string_equal(fact(world, config, "migrations"), "[\"1\",\"2\"]");
	capture(world, config);
	must_go(world, config, "1");
	assert_string_equal(tables(world), "a,schema_migrations");
	/* By the socket as well. */
	reach_by(world, server->dir);
	must_go(world, config, "");
	assert_string_equal(tables(world), "schema_migrations");
}

static void test_plain_sql(void **state)
{
	struct world *world = *state;
	const char *config = "{'tool': 'sql', 'dir': 'm', 'table': 'notes.Steps'}";

	put(world, "m/1_a.up.sql", "CREATE TABLE a (x int)");
	put(world, "m/1_a.down.sql", "DROP TABLE a");
	put(world, "m/2_b.up.sql", "CREATE TABLE b (x int)");
	put(world, "m/2_b.down.sql", "DROP TABLE b; SELECT 1 / 0");
	sql(world,
		"CREATE SCHEMA notes; CREATE TABLE notes.\"Steps\" (version text); INSERT INTO notes.\"Steps\" VALUES ('1'), ('2');"
		"CREATE TABLE a (x int); CREATE TABLE b (x int)");
	assert_string_equal(fact(world, config, "migrations"), "[\"1\",\"2\"]");
	capture(world, config);
	assert_int_equal(go(world, config, "1"), -ERR_DRIVER);
	assert_non_null(strstr(world->err.text, "division by zero"));
	assert_string_equal(tables(world), "a,b");
	put(world, "snapshot/migrations/2_b.down.sql", "DROP TABLE b;\n-- done");
	must_go(world, config, "");
	assert_string_equal(tables(world), "");
	assert_string_equal(sql(world, "SELECT count(*) FROM notes.\"Steps\""), "0\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(sqitch),
		TEST(sqitch_irreversible),
		TEST(sqitch_interrupted),
		TEST(liquibase_sql),
		TEST(liquibase_xml),
		TEST(dbmate),
		TEST(plain_sql),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
