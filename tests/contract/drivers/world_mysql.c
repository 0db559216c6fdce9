/* mysql: a MariaDB database with two recorded contents: tables with foreign keys, one without primary key, a sequence, views of views, triggers, a routine, an event. The contents differ in all of them. One server serves all worlds,
 * each with a database and a user of its own. */
#include "contract.h"
#include "mariadb.h"

static struct mariadb_server *server;
static int worlds;
static pid_t owner; /* workers are forked, and end like programs */

static void stop_server(void)
{
	if (getpid() != owner)
		return;
	mariadb_server_stop(server);
	(void)talloc_free(server);
}

struct own {
	char *database, *user, *other; /* other: a database whose table refers to one of ours */
};

static const char *say(struct world *world, const char *format, ...) printf_like(2, 3);
static const char *say(struct world *world, const char *format, ...)
{
	struct own *own = world->own;
	va_list arguments;
	char *statements, *said;

	va_start(arguments, format);
	statements = mem_vprintf(world->ctx, format, arguments);
	va_end(arguments);
	said = mariadb_say(server, mem_printf(world->ctx, "USE %s;\n%s", own->database, statements));
	said[strcspn(said, "\n")] = 0;
	return said;
}

static void fill(struct world *world, int version)
{
	struct own *own = world->own;

	mariadb_say(server,
		mem_printf(world->ctx,
			"SET foreign_key_checks = 0; DROP DATABASE IF EXISTS %s; DROP DATABASE IF EXISTS %s; CREATE DATABASE %s CHARACTER SET %s; CREATE DATABASE %s",
			own->database, own->other, own->database, version ? "utf8mb4" : "latin1", own->other));
	say(world,
		"CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(600) NOT NULL, size INT AS (length(text)) STORED%s) ENGINE = InnoDB;\n"
		"CREATE TABLE tags (note INT NOT NULL, name VARCHAR(30), raw BLOB, PRIMARY KEY (note, name), CONSTRAINT of_note FOREIGN KEY (note) REFERENCES notes (id)) ENGINE = InnoDB;\n"
		"CREATE TABLE log (what VARCHAR(30), share FLOAT) ENGINE = InnoDB;\n"
		"CREATE TABLE only_%d (a INT) ENGINE = InnoDB;\n"
		"CREATE SEQUENCE numbers START WITH %d;\n"
		"INSERT INTO notes (text) SELECT concat('v%d ', repeat('\\n''x', 190)) FROM seq_1_to_40;\n"
		"INSERT INTO tags SELECT id, 'v%d', unhex(sha1(id)) FROM notes;\n"
		"INSERT INTO log SELECT 'v%d', 1 / (1 + id %% 3) FROM notes;\n"
		"CREATE VIEW b AS SELECT id, left(text, 2) AS v FROM notes;\n"
		"CREATE VIEW a AS SELECT min(v) AS v%d FROM b;\n"
		"DELIMITER ;;\n"
		"CREATE TRIGGER one BEFORE INSERT ON notes FOR EACH ROW BEGIN SET NEW.text = concat('t%d;', NEW.text); END ;;\n"
		"CREATE TRIGGER two BEFORE INSERT ON notes FOR EACH ROW SET NEW.text = concat(NEW.text, ';') ;;\n"
		"CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN %d ;;\n"
		"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM log WHERE share > %d00 ;;\n"
		"DELIMITER ;\n"
		"CREATE TABLE %s.guests (id INT PRIMARY KEY, note INT, CONSTRAINT guest_note FOREIGN KEY (note) REFERENCES %s.notes (id)) ENGINE = InnoDB;\n"
		"INSERT INTO %s.guests VALUES (1, 3);\n",
		version ? ", more INT NOT NULL DEFAULT 7" : "", version, 100 + version, version, version, version, version, version,
		version, version, own->other, own->database, own->other);
}

static void setup(struct world *world)
{
	struct own *own = world->own = mem_zero(world->ctx, struct own);

	if (!server) {
		server = mariadb_server_start(NULL);
		owner = getpid();
		assert_int_equal(atexit(stop_server), 0);
	}
	own->database = mem_printf(world->ctx, "shop_%d", ++worlds);
	own->other = mem_printf(world->ctx, "other_%d", worlds);
	own->user = mem_printf(world->ctx, "keeper_%d", worlds);
	put(world, "password", "the secret\n");
	mariadb_say(server,
		mem_printf(world->ctx, "CREATE USER %s@localhost IDENTIFIED BY 'the secret'; GRANT ALL PRIVILEGES ON *.* TO %s@localhost",
			own->user, own->user));
	world->config = json_make(world->ctx, "{s:s, s:s, s:s, s:{s:s}}", "socket", server->socket, "database", own->database, "user",
		own->user, "password", "file", "password");
	for (int i = 0; i < 2; i++) {
		char *dir = mem_printf(world->ctx, ".deployments/recorded/dep-%d/app", i);

		fill(world, i);
		capture(world, dir);
		world->targets[i] = json_make(world->ctx, "{s:s, s:s}", "deploymentId", mem_printf(world->ctx, "dep-%d", i), "version",
			"unused");
		world->extra[i] = json_make(world->ctx, "{s:s}", "sourceDir", fs_join(world->ctx, world->dir, dir));
	}
	world->impossible = json_make(world->ctx, "{s:s}", "snapshotId", "dep-9");
}

static void teardown(struct world *world)
{
	struct own *own = world->own;

	mariadb_say(server,
		mem_printf(world->ctx,
			"DROP DATABASE IF EXISTS %s; DROP DATABASE IF EXISTS %s; DROP DATABASE IF EXISTS %s_unship_new; DROP DATABASE IF EXISTS %s_unship_old; DROP USER IF EXISTS %s@localhost",
			own->other, own->database, own->database, own->database, own->user));
}

#define VERSIONS "(SELECT group_concat(DISTINCT left(text, 2)) FROM notes), (SELECT group_concat(DISTINCT name) FROM tags)"

/* Everything that differs, and that nothing of the restore is left. */
static const char *look(struct world *world)
{
	struct own *own = world->own;

	return say(world,
		"SELECT concat_ws(' ', " VERSIONS
		", (SELECT group_concat(DISTINCT what) FROM log), (SELECT count(*) FROM notes), (SELECT round(sum(share), 3) FROM log),"
		" (SELECT group_concat(TABLE_NAME ORDER BY 1) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '%s'),"
		" (SELECT group_concat(COLUMN_NAME) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '%s' AND TABLE_NAME = 'a'),"
		" (SELECT group_concat(ACTION_STATEMENT ORDER BY ACTION_ORDER) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '%s'), f(),"
		" (SELECT EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '%s'), (SELECT next_not_cached_value FROM numbers),"
		" (SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '%s'),"
		" (SELECT concat(UNIQUE_CONSTRAINT_SCHEMA = '%s', REFERENCED_TABLE_NAME) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '%s'),"
		" (SELECT concat(UNIQUE_CONSTRAINT_SCHEMA = '%s', REFERENCED_TABLE_NAME) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '%s'),"
		" (SELECT count(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%s\\_unship%%'))",
		own->database, own->database, own->database, own->database, own->database, own->database, own->database, own->database,
		own->other, own->database);
}

/* Tables are exchanged all at once. */
static void always(struct world *world)
{
	const char *seen = say(world, "SELECT concat_ws(' ', " VERSIONS ")");

	if (strcmp(seen, "v0 v0") != 0 && strcmp(seen, "v1 v1") != 0)
		fail_msg("a mix: %s", seen);
}

/* The server is there, and lets us in no more. */
static void spoil(struct world *world)
{
	struct own *own = world->own;

	mariadb_say(server, mem_printf(world->ctx, "ALTER USER %s@localhost IDENTIFIED BY 'another one'", own->user));
}

static const char *const kill[] = { "mysql.loaded_some", "mysql.loaded", "mysql.ready", "mysql.triggers_dropped", "mysql.switched",
	"mysql.key_dropped", "mysql.program_made", "mysql.ledger_gathered", "mysql.ledger_written", "mysql.settled", "mysql.cleared_some",
	NULL };

static const char *const kill_capture[] = { "mysql.saved_some", "mysql.tables_saved", NULL };

const struct contract contract_mysql = {
	.driver = "mysql",
	.expect = { "v0 v0 v0 40 24.333 a,b,log,notes,numbers,only_0,tags v0 BEGIN SET NEW.text = concat('t0;', NEW.text); END,SET NEW.text = concat(NEW.text, ';') 0"
		    " DELETE FROM log WHERE share > 000 100 latin1 1notes 1notes 0",
		"v1 v1 v1 40 24.333 a,b,log,notes,numbers,only_1,tags v1 BEGIN SET NEW.text = concat('t1;', NEW.text); END,SET NEW.text = concat(NEW.text, ';') 1"
		" DELETE FROM log WHERE share > 100 101 utf8mb4 1notes 1notes 0" },
	.kill_apply = kill,
	.kill_undo = kill,
	.kill_capture = kill_capture,
	.setup = setup,
	.teardown = teardown,
	.look = look,
	.spoil = spoil,
	.always = always,
};
