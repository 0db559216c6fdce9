/* postgres: a PostgreSQL database with two recorded contents that differ in everything: rows, columns, types, foreign keys, views of views, functions, triggers, sequences, a second schema, partitions, a table without primary key. Once
 * restored in one transaction, once by way of a second database. And a database that is there or not, and one of which a table is restored. One server serves all worlds, each with a database of its own, for a user who is no superuser. */
#include "contract.h"
#include "postgres.h"

#define KEEPER "keeper"

static struct postgres_server *server;
static int worlds;
static pid_t owner;   /* workers are forked, and end like programs */
static char *kept[2]; /* the captures of the two contents, made by the first world for all; each stands in a template database as well */

static void stop_server(void)
{
	if (getpid() != owner)
		return;
	postgres_server_stop(server);
	(void)talloc_free(server);
}

struct own {
	char *database;
};

static const char *say(struct world *world, const char *format, ...) printf_like(2, 3);
static const char *say(struct world *world, const char *format, ...)
{
	struct own *own = world->own;
	va_list arguments;
	char *said;

	va_start(arguments, format);
	said = postgres_say(server, own->database, mem_vprintf(world->ctx, format, arguments));
	va_end(arguments);
	said[strcspn(said, "\n")] = 0;
	return said;
}

static void fill(struct world *world, int version)
{
	struct own *own = world->own;

	postgres_say(server, "postgres", mem_printf(world->ctx, "CREATE DATABASE %s TEMPLATE template0 OWNER " KEEPER, own->database));
	say(world,
		"CREATE EXTENSION pgcrypto; GRANT ALL ON SCHEMA public TO " KEEPER "; SET ROLE " KEEPER ";\n"
		"CREATE TYPE mood AS ENUM ('good', 'v%d');\n"
		"CREATE DOMAIN short AS text CHECK (length(VALUE) < 3000);\n"
		"CREATE FUNCTION shout(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $f$BEGIN\nRETURN upper(t) || 'v%d';\nEND$f$;\n"
		"CREATE TABLE notes (id serial PRIMARY KEY, text short NOT NULL, feels mood DEFAULT 'good', size int GENERATED ALWAYS AS (length(text)) STORED%s);\n"
		"CREATE TABLE tags (note int NOT NULL REFERENCES notes (id) ON DELETE CASCADE, name varchar(30) CHECK (name IN ('a', 'v%d')), raw bytea, PRIMARY KEY (note, name));\n"
		"CREATE TABLE log (what text, share numeric(30, 20));\n"
		"CREATE TABLE \"only %d\" (\"a b\" int);\n"
		"CREATE TABLE days (day date, n int) PARTITION BY RANGE (day);\n"
		"CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');\n"
		"CREATE SCHEMA more_%d; CREATE TABLE more_%d.people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail text UNIQUE);\n"
		"INSERT INTO notes (text) SELECT 'v%d ' || repeat(E'\\n\\t\\\\x', 190) FROM generate_series(1, 40);\n"
		"INSERT INTO tags SELECT id, 'v%d', digest(id::text, 'sha1') FROM notes;\n"
		"INSERT INTO log SELECT 'v%d', 1 / (1 + id %% 3)::numeric FROM notes;\n"
		"INSERT INTO days SELECT '2026-01-01'::date + n, n + %d FROM generate_series(0, 9) n;\n"
		"INSERT INTO more_%d.people (mail) SELECT n || '@v%d' FROM generate_series(1, 5) n;\n"
		"CREATE INDEX notes_loud ON notes (shout(left(text, 2)));\n"
		"CREATE VIEW b AS SELECT id, left(text, 2) AS v FROM notes;\n"
		"CREATE VIEW a AS SELECT min(v) AS v%d FROM b;\n"
		"CREATE MATERIALIZED VIEW m AS SELECT count(*) + %d AS n FROM notes;\n"
		"CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $f$BEGIN NEW.text := 't%d;' || NEW.text; RETURN NEW; END$f$;\n"
		"CREATE TRIGGER one BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION mark();\n"
		"COMMENT ON TABLE notes IS 'v%d'; GRANT SELECT ON notes TO PUBLIC;\n",
		version, version, version ? ", more int NOT NULL DEFAULT 7" : "", version, version, version, version, version, version,
		version, version, version, version, version, version, version, version);
}

static void begin(struct world *world)
{
	struct own *own = world->own = mem_zero(world->ctx, struct own);

	if (!server) {
		server = postgres_server_start(NULL);
		owner = getpid();
		assert_int_equal(atexit(stop_server), 0);
		postgres_say(server, "postgres",
			"CREATE ROLE " KEEPER " LOGIN CREATEDB PASSWORD 'the secret'; GRANT pg_signal_backend TO " KEEPER);
		/* The programs themselves: a distribution's wrappers take longer than they. */
		assert_int_equal(setenv("PATH", mem_printf(server, "%s:%s", server->bin, getenv("PATH")), 1), 0);
	}
	own->database = mem_printf(world->ctx, "shop_%d", ++worlds);
	put(world, "password", "the secret\n");
	world->config = json_make(world->ctx, "{s:s, s:s, s:s, s:{s:s}, s:s}", "host", server->dir, "database", own->database, "user",
		KEEPER, "password", "file", "password", "lockTimeout", "20s");
	world->impossible = json_make(world->ctx, "{s:s}", "snapshotId", "dep-9");
}

static void aim(struct world *world, int i, const char *dir)
{
	world->targets[i] = json_make(world->ctx, "{s:s, s:s}", "deploymentId", mem_printf(world->ctx, "dep-%d", i), "version", "unused");
	world->extra[i] = json_make(world->ctx, "{s:s, s:s}", "sourceDir", dir, "ledgerDir", fs_join(world->ctx, world->dir, "ledger"));
}

/* What is there now as target i. */
static void keep(struct world *world, int i)
{
	char *dir = mem_printf(world->ctx, ".deployments/recorded/dep-%d/app", i);

	capture(world, dir);
	aim(world, i, fs_join(world->ctx, world->dir, dir));
}

/* Filling and capturing takes longer than all that is tested: done once. */
static void make_contents(struct world *world)
{
	struct own *own = world->own;
	char *name = own->database;

	for (int i = 0; i < 2; i++) {
		char *dir = mem_printf(server, "%s/kept-%d", server->dir, i);

		own->database = mem_printf(world->ctx, "content_%d", i);
		json_put_str(world->config, "database", own->database);
		fill(world, i);
		capture(world, dir);
		kept[i] = dir;
	}
	own->database = name;
	json_put_str(world->config, "database", name);
}

static void setup(struct world *world)
{
	struct own *own;

	begin(world);
	own = world->own;
	if (!kept[1])
		make_contents(world);
	postgres_say(server, "postgres", mem_printf(world->ctx, "CREATE DATABASE %s TEMPLATE content_1 OWNER " KEEPER, own->database));
	for (int i = 0; i < 2; i++)
		aim(world, i, kept[i]);
}

static void setup_switch(struct world *world)
{
	setup(world);
	json_put_str(world->config, "restore", "switch");
}

static void teardown(struct world *world)
{
	struct own *own = world->own;

	postgres_say(server, "postgres",
		mem_printf(world->ctx,
			"DROP DATABASE IF EXISTS %s WITH (FORCE); DROP DATABASE IF EXISTS %s_unship_new WITH (FORCE); DROP DATABASE IF EXISTS %s_unship_old WITH (FORCE)",
			own->database, own->database, own->database));
}

#define VERSIONS "(SELECT string_agg(DISTINCT left(text, 2), '') FROM notes), (SELECT string_agg(DISTINCT name, '') FROM tags)"

/* Everything that differs. */
static const char *look(struct world *world)
{
	return say(world,
		"SELECT concat_ws(' ', " VERSIONS
		", (SELECT string_agg(DISTINCT what, '') FROM log), (SELECT count(*) FROM notes), (SELECT sum(n) FROM days),"
		" (SELECT n FROM m), shout(''), (SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')),"
		" (SELECT attname FROM pg_attribute WHERE attrelid = 'a'::regclass AND attnum = 1), (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum),"
		" (SELECT string_agg(nspname, ',') FROM pg_namespace WHERE nspname LIKE 'more%%'), obj_description('notes'::regclass), (SELECT relacl IS NULL FROM pg_class WHERE relname = 'notes'),"
		" nextval('notes_id_seq') > 40, (SELECT count(*) FROM pg_trigger WHERE tgname = 'one'), (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated),"
		" (SELECT count(*) FROM pg_extension))");
}

/* It is one or the other, whole. */
static void always(struct world *world)
{
	struct own *own = world->own;
	const char *seen;

	if (*postgres_say(server, "postgres",
		    mem_printf(world->ctx, "SELECT datallowconn FROM pg_database WHERE datname = '%s'", own->database)) != 't')
		return; /* closed in the middle of a switch: the next call opens it */
	seen = say(world, "SELECT concat_ws(' ', " VERSIONS ")");
	if (strcmp(seen, "v0 v0") != 0 && strcmp(seen, "v1 v1") != 0)
		fail_msg("a mix: %s", seen);
}

/* Another takes its place: tables of the same names with other columns, and what depends on them. */
static void spoil(struct world *world)
{
	say(world,
		"SET ROLE " KEEPER
		"; DROP TABLE tags; ALTER TABLE notes DROP COLUMN text CASCADE; CREATE TABLE tags (x int); CREATE VIEW extra AS SELECT * FROM tags");
}

static const char *const kill_whole[] = { "ledger.rows_written", "postgres.ledger_written", "postgres.dropped", "postgres.rows_written",
	"postgres.before_commit", "postgres.committed", NULL };
static const char *const kill_switch[] = { "postgres.copy_made", "postgres.ledger_written", "postgres.closed", "postgres.switched", NULL };

/* ---- there or not ---- */

static void setup_absent(struct world *world)
{
	struct own *own;

	begin(world);
	own = world->own;
	keep(world, 0);
	postgres_say(server, "postgres", mem_printf(world->ctx, "CREATE DATABASE %s OWNER " KEEPER, own->database));
	say(world,
		"GRANT ALL ON SCHEMA public TO " KEEPER "; SET ROLE " KEEPER
		"; CREATE TABLE pairs (id int PRIMARY KEY, v text); INSERT INTO pairs VALUES (1, 'v1')");
	keep(world, 1);
}

static const char *look_absent(struct world *world)
{
	struct own *own = world->own;

	if (*postgres_say(server, "postgres",
		    mem_printf(world->ctx, "SELECT count(*) FROM pg_database WHERE datname = '%s'", own->database)) == '0')
		return "absent";
	return *say(world, "SELECT to_regclass('pairs') IS NULL") == 't' ? "empty" : say(world, "SELECT v FROM pairs");
}

/* ---- one table ---- */

static void setup_tables(struct world *world)
{
	struct own *own;

	begin(world);
	own = world->own;
	postgres_say(server, "postgres", mem_printf(world->ctx, "CREATE DATABASE %s OWNER " KEEPER, own->database));
	say(world,
		"GRANT ALL ON SCHEMA public TO " KEEPER "; SET ROLE " KEEPER
		"; CREATE TABLE kinds (v text PRIMARY KEY); INSERT INTO kinds VALUES ('v0'), ('v1');"
		"CREATE TABLE pairs (id int PRIMARY KEY, v text REFERENCES kinds (v)); INSERT INTO pairs SELECT n, 'v0' FROM generate_series(1, 30) n");
	for (int i = 0; i < 2; i++) {
		char *id = mem_printf(world->ctx, "dep-%d", i);

		say(world, "UPDATE pairs SET v = 'v%d'", i);
		keep(world, i);
		world->targets[i] = json_make(world->ctx, "{s:{s:s}}", "tables", "pairs", id);
		(void)json_object_set_new(world->extra[i], "sources",
			json_pack("{s:O}", id, json_object_get(world->extra[i], "sourceDir")));
		(void)json_object_del(world->extra[i], "sourceDir");
	}
}

static const char *look_tables(struct world *world)
{
	return say(world, "SELECT string_agg(DISTINCT v, '') || ' ' || count(*) FROM pairs");
}

static const char *const kill_made[] = { "postgres.database_made", NULL };
static const char *const kill_removed[] = { "postgres.removed", NULL };
static const char *const kill_table[] = { "postgres.table_written", "postgres.committed", NULL };

#define V0 "v0 v0 v0 40 45 40 v0 days,days_1,log,notes,only 0,tags v0 good,v0 more_0 v0 f t 1 1 2"
#define V1 "v1 v1 v1 40 55 41 v1 days,days_1,log,notes,only 1,tags v1 good,v1 more_1 v1 f t 1 1 2"

const struct contract contract_postgres = {
	.driver = "postgres",
	.moments = 4, /* its points are listed, and every kill costs a second */
	.expect = { V0, V1 },
	.kill_apply = kill_whole,
	.kill_undo = kill_whole,
	.setup = setup,
	.teardown = teardown,
	.look = look,
	.spoil = spoil,
	.always = always,
};

const struct contract contract_postgres_switch = {
	.driver = "postgres",
	.moments = 4, /* its points are listed, and every kill costs a second */
	.expect = { V0, V1 },
	.kill_apply = kill_switch,
	.kill_undo = kill_switch,
	.setup = setup_switch,
	.teardown = teardown,
	.look = look,
	.spoil = spoil,
	.always = always,
};

const struct contract contract_postgres_absent = {
	.driver = "postgres",
	.moments = 4, /* its points are listed, and every kill costs a second */
	.expect = { "absent", "v1" },
	.kill_apply = kill_made,
	.kill_undo = kill_removed,
	.setup = setup_absent,
	.teardown = teardown,
	.look = look_absent,
};

const struct contract contract_postgres_tables = {
	.driver = "postgres",
	.moments = 4, /* its points are listed, and every kill costs a second */
	.expect = { "v0 30", "v1 30" },
	.kill_apply = kill_table,
	.setup = setup_tables,
	.teardown = teardown,
	.look = look_tables,
};
