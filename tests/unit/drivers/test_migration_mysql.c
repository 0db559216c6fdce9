/* Migrations backwards by the mysql driver on a real MariaDB server, for a user with a password: dbmate, liquibase, plain SQL. Definitions commit by themselves there, so what was begun is noted. */
#include "base/fs.h"
#include "base/text.h"
#include "drivers/list.h"
#include "mariadb.h"
#include "migration_world.h"

#define PASSWORD "let/me in"

static struct mariadb_server *server;

static const char *const environment[] = { "LIQUIBASE_COMMAND_PASSWORD=" PASSWORD, "LIQUIBASE_ANALYTICS_ENABLED=false", NULL };

static char *sql(struct world *world, const char *statements)
{
	char *said = mariadb_say(server, mem_printf(world, "USE %s;\n%s", world->name, statements));

	for (char *at = said; *at; at++)
		if (*at == '\n')
			*at = ';';
	return said;
}

static const char *tables(struct world *world)
{
	return sql(world,
		"SELECT group_concat(lower(table_name) ORDER BY table_name) FROM information_schema.tables WHERE table_schema = database()");
}

static int start_server(void **state)
{
	server = mariadb_server_start(NULL);
	mariadb_server_listen(server);
	(void)mariadb_say(server, "CREATE USER keeper IDENTIFIED BY '" PASSWORD "'; GRANT ALL ON *.* TO keeper");
	return setenv("DB_PASSWORD", PASSWORD, 1);
}

static int stop_server(void **state)
{
	mariadb_server_stop(server);
	talloc_free(server);
	return 0;
}

static void reach_by(struct world *world, const char *where)
{
	world->place = mem_printf(world, "%s, 'database': '%s', 'user': 'keeper', 'password': {'env': 'DB_PASSWORD'}", where, world->name);
}

static void by_socket(struct world *world)
{
	reach_by(world, mem_printf(world, "'socket': '%s'", server->socket));
}

static int set_up(void **state)
{
	static int number;
	struct world *world = world_make(&driver_mysql, PASSWORD);

	world->name = mem_printf(world, "app%d", ++number);
	(void)mariadb_say(server, mem_printf(world, "CREATE DATABASE %s", world->name));
	reach_by(world, mem_printf(world, "'host': '127.0.0.1', 'port': %d", server->port));
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_remove(*state);
	return 0;
}

/* ---- dbmate ---- */

static const char *const dbmate = "{'tool': 'dbmate', 'dir': 'db', 'program': ['" DBMATE "']}";

static void migrate_up(struct world *world)
{
	must_run(world,
		(const char *const[]){ (DBMATE), "--url",
			mem_printf(world, "mysql://keeper:%s@127.0.0.1:%d/%s", text_url_encode(world, PASSWORD), server->port, world->name),
			"-d", in(world, "db"), "--no-dump-schema", "up", NULL },
		world->folder, NULL);
}

static void test_dbmate(void **state)
{
	struct world *world = *state;

	put(world, "db/1_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n-- migrate:down\nDROP TABLE a;\n");
	put(world, "db/2_b.sql", "-- migrate:up\nCREATE TABLE b (x int);\n-- migrate:down\nDROP TABLE b;\n");
	put(world, "db/3_c.sql", "-- migrate:up\nALTER TABLE a ADD y int;\n-- migrate:down\nALTER TABLE a DROP y;\n");
	migrate_up(world);
	(void)sql(world, "INSERT INTO a VALUES (7, 8)");
	assert_string_equal(fact(world, dbmate, "migrations"), "[\"1\",\"2\",\"3\"]");
	assert_string_equal(fact(world, dbmate, "irreversible"), "");
	assert_string_equal(blocking(world, dbmate, "1"), "");
	capture(world, dbmate);
	assert_int_equal(fs_remove_tree(in(world, "db"), &world->err), 0);
	must_go(world, dbmate, "1");
	assert_string_equal(tables(world), "a,schema_migrations;");
	assert_string_equal(sql(world, "SELECT * FROM a"), "7;");
	undo(world, dbmate);
	assert_string_equal(sql(world, "SELECT * FROM a"), "7\t8;");
	assert_string_equal(fact(world, dbmate, "migration"), "\"3\"");
	by_socket(world);
	must_go(world, dbmate, "");
	assert_string_equal(tables(world), "schema_migrations;");
}

/* It ended between a definition, which no transaction holds, and the tool's note: nobody can tell how far it got, and nothing is repeated. */
static void test_interrupted(void **state)
{
	struct world *world = *state;

	put(world, "db/1_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n-- migrate:down\nDROP TABLE a;\n");
	put(world, "db/2_b.sql", "-- migrate:up\nCREATE TABLE b (x int);\n-- migrate:down\nDROP TABLE b; DROP TABLE nothing;\n");
	migrate_up(world);
	(void)sql(world, "INSERT INTO b VALUES (5)");
	capture(world, dbmate);
	assert_int_equal(go(world, dbmate, "1"), -ERR_FAILED);
	assert_string_equal(tables(world), "a,schema_migrations;");
	assert_string_equal(fact(world, dbmate, "migration"), "\"2\"");
	assert_int_equal(go(world, dbmate, "1"), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "migration 2 was begun by run-1 and its end is not known"));
	assert_non_null(strstr(blocking(world, dbmate, "1"), "migration_state"));
	undo(world, dbmate);
	assert_string_equal(sql(world, "SELECT x FROM b"), "5;");
	assert_string_equal(blocking(world, dbmate, "1"), "");
}

static void test_irreversible(void **state)
{
	struct world *world = *state;

	put(world, "db/1_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n-- migrate:down\nDROP TABLE a;\n");
	put(world, "db/2_b.sql", "-- migrate:up\nCREATE TABLE b (x int);\n-- migrate:down\n");
	put(world, "db/3_c.sql",
		"-- migrate:up\nCREATE TABLE c (x int);\n-- migrate:down\nSIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'there is no way back';\n");
	migrate_up(world);
	assert_string_equal(fact(world, dbmate, "irreversible"), "[\"2\",\"3\"]");
	assert_non_null(strstr(blocking(world, dbmate, "2"), "only raises an error"));
	capture(world, dbmate);
	assert_int_equal(go(world, dbmate, "1"), -ERR_REFUSED);
	assert_string_equal(tables(world), "a,b,c,schema_migrations;");
}

/* ---- liquibase ---- */

static const char *const liquibase = "{'tool': 'liquibase', 'dir': 'db', 'changelog': 'changelog.sql', 'program': ['" LIQUIBASE "']}";

static void test_liquibase(void **state)
{
	struct world *world = *state;

	put(world, "db/changelog.sql",
		"--liquibase formatted sql\n\n--changeset ann:1\nCREATE TABLE users (id int);\n--rollback DROP TABLE users;\n\n"
		"--changeset ann:2\nCREATE TABLE orders (id int);\n--rollback DROP TABLE orders;\n");
	must_run(world,
		(const char *const[]){ (LIQUIBASE), "--show-banner=false",
			mem_printf(world, "--url=jdbc:mariadb://127.0.0.1:%d/%s", server->port, world->name), "--username=keeper",
			"--changelog-file=changelog.sql", "--search-path=db", "update", NULL },
		world->folder, environment);
	assert_string_equal(fact(world, liquibase, "migrations"), "[\"ann:1\",\"ann:2\"]");
	assert_string_equal(blocking(world, liquibase, "ann:1"), "");
	capture(world, liquibase);
	must_go(world, liquibase, "ann:1");
	assert_string_equal(tables(world), "databasechangelog,databasechangeloglock,users;");
	(void)sql(world, "UPDATE DATABASECHANGELOGLOCK SET locked = 1, lockedby = 'a host'");
	assert_int_equal(go(world, liquibase, ""), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "lock is held by a host"));
}

/* ---- plain SQL ---- */

static void plain_migrations(struct world *world, const char *down)
{
	put(world, "migrations/1_a.up.sql", "CREATE TABLE a (x int)");
	put(world, "migrations/1_a.down.sql", "DROP TABLE a");
	put(world, "migrations/2_b.up.sql", "CREATE TABLE b (x int)");
	put(world, "migrations/2_b.down.sql", down);
	(void)sql(world,
		"CREATE TABLE unship_migrations (version VARCHAR(40) PRIMARY KEY); INSERT INTO unship_migrations VALUES ('1'), ('2');"
		"CREATE TABLE a (x int); CREATE TABLE b (x int); INSERT INTO a VALUES (1)");
}

static void test_plain_sql(void **state)
{
	struct world *world = *state;
	const char *plain = "{'tool': 'sql'}";

	plain_migrations(world, "DROP TABLE b;\nDELETE FROM a; -- done");
	capture(world, plain);
	by_socket(world);
	must_go(world, plain, "1");
	assert_string_equal(tables(world), "a,unship_migrations;");
	assert_string_equal(sql(world, "SELECT count(*) FROM a; SELECT version FROM unship_migrations"), "0;1;");
	must_go(world, plain, "");
	assert_string_equal(tables(world), "unship_migrations;");
}

/* What only changes rows is taken back when the script fails; what was defined before is not, so it is not repeated. */
static void test_plain_sql_fails(void **state)
{
	struct world *world = *state;
	const char *plain = "{'tool': 'sql'}";

	plain_migrations(world, "DELETE FROM a; DROP TABLE b; INSERT INTO a VALUES (2); DELETE FROM nothing");
	capture(world, plain);
	assert_true(go(world, plain, "1") < 0);
	assert_non_null(strstr(world->err.text, "migration 2: the script: "));
	assert_string_equal(tables(world), "a,unship_migrations;");
	assert_string_equal(sql(world, "SELECT count(*) FROM a"), "0;");
	assert_int_equal(go(world, plain, "1"), -ERR_REFUSED);
	assert_non_null(strstr(world->err.text, "its end is not known"));
	undo(world, plain);
	assert_string_equal(sql(world, "SELECT count(*) FROM a"), "1;");
	assert_string_equal(tables(world), "a,b,unship_migrations;");
	assert_string_equal(fact(world, plain, "migrationState"), "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(dbmate),
		TEST(interrupted),
		TEST(irreversible),
		TEST(liquibase),
		TEST(plain_sql),
		TEST(plain_sql_fails),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
