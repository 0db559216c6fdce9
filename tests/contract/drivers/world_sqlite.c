/* sqlite: a database in WAL mode with two recorded contents, looked at through connections of its own. */
#include "contract.h"

#include <sqlite3.h>

static sqlite3 *open_db(struct world *world, const char *path)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(fs_join(world->ctx, world->dir, path), &db), SQLITE_OK);
	return db;
}

static void run_sql(struct world *world, const char *path, const char *text)
{
	sqlite3 *db = open_db(world, path);
	char *problem = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &problem) != SQLITE_OK)
		fail_msg("%s: %s", text, problem);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static const char *query(struct world *world, const char *text)
{
	sqlite3 *db = open_db(world, "app.db");
	const char *result = "";
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(db, text, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
		result = mem_strdup(world->ctx, (const char *)sqlite3_column_text(statement, 0));
	(void)sqlite3_finalize(statement);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return result ? result : "";
}

static void setup(struct world *world)
{
	world->config = json_make(world->ctx, "{s:s}", "path", "app.db");
	run_sql(world, "app.db", "PRAGMA journal_mode = WAL; CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)");
	for (int i = 0; i < 2; i++) {
		char *dir = mem_printf(world->ctx, ".deployments/recorded/dep-%d/app", i);
		struct err err = ERR_INIT;

		/* Some pages, so that a copy takes several steps. */
		run_sql(world, "app.db",
			mem_printf(world->ctx,
				"DELETE FROM notes; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)"
				" INSERT INTO notes SELECT i, 'v%d ' || hex(zeroblob(500)) FROM n",
				i));
		assert_int_equal(fs_mkdirs(fs_join(world->ctx, world->dir, dir), 0700, &err), 0);
		run_sql(world, "app.db", mem_printf(world->ctx, "VACUUM INTO '%s/%s/database.sqlite'", world->dir, dir));
		world->targets[i] = json_make(world->ctx, "{s:s, s:s}", "deploymentId", mem_printf(world->ctx, "dep-%d", i), "version",
			"unused");
		world->extra[i] = json_make(world->ctx, "{s:s}", "sourceDir", fs_join(world->ctx, world->dir, dir));
	}
	world->impossible = json_make(world->ctx, "{s:s}", "snapshotId", "dep-9");
}

static const char *look(struct world *world)
{
	return query(world, "SELECT group_concat(DISTINCT substr(text, 1, 2)) || ' ' || count(*) FROM notes");
}

/* SQLite rolls back what was interrupted: it is one content or the other. */
static void always(struct world *world)
{
	const char *content = look(world);

	assert_string_equal(query(world, "PRAGMA integrity_check"), "ok");
	if (strcmp(content, "v0 40") != 0 && strcmp(content, "v1 40") != 0)
		fail_msg("a mix: %s", content);
}

static void spoil(struct world *world)
{
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(fs_join(world->ctx, world->dir, "app.db-wal"), &err), 0);
	assert_int_equal(fs_remove_tree(fs_join(world->ctx, world->dir, "app.db-shm"), &err), 0);
	put(world, "app.db",
		"this is not a database, it only says so, at some length, so that it has bytes enough for a header, which are a hundred");
}

static const char *const kill[] = { "sqlite.copied_some", "sqlite.restored", NULL };

const struct contract contract_sqlite = {
	.driver = "sqlite",
	.expect = { "v0 40", "v1 40" },
	.kill_apply = kill,
	.kill_undo = kill,
	.setup = setup,
	.look = look,
	.spoil = spoil,
	.always = always,
};
