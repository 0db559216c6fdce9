/* How migrations (migration.h) reach an SQLite database: by a connection for each question, so that none is open while a tool is at work. The driver's thread. */
#include "base/failpoint.h"
#include "base/fs.h"
#include "drivers/sqlite_facts.h"
#include "drivers/sqlite_restore.h"

struct reach {
	struct driver_call *call;
	struct sqlite_place place;
};

struct rows {
	const void *ctx;
	char **list;
	size_t count;
};

static int add_row(void *user, int columns, char **values, char **names)
{
	struct rows *rows = user;

	(void)names;
	rows->list = mem_resize(rows->ctx, rows->list, char *, rows->count + 2);
	rows->list[rows->count++] = mem_strdup(rows->ctx, columns && values[0] ? values[0] : "");
	rows->list[rows->count] = NULL;
	return 0;
}

/* A database that is not there has no rows. */
static int query(void *data, const void *ctx, const char *sql, char ***ret, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *connection = NULL;
	struct rows rows = { .ctx = ctx, .list = mem_array(ctx, char *, 1) };
	struct reach *reach = data;
	int r = 0, code;

	if (fs_exists(reach->place.path))
		r = sqlite_open_live(reach->call, &reach->place, false, &connection, err);
	code = r == 0 && connection ? sqlite3_exec(connection, sql, add_row, &rows, NULL) : SQLITE_OK;
	if (code != SQLITE_OK)
		r = facts_failed(connection, code, reach->place.path, err);
	*ret = rows.list;
	return r;
}

static int execute(void *data, const char *script, const char *note, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *connection = NULL;
	struct reach *reach = data;
	int r = sqlite_open_live(reach->call, &reach->place, false, &connection, err), code;

	if (r < 0)
		return r;
	code = sqlite3_exec(connection, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(connection, script, NULL, NULL, NULL);
	FAILPOINT("sqlite.script_run");
	if (code == SQLITE_OK)
		code = sqlite3_exec(connection, note, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(connection, "COMMIT", NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : facts_failed(connection, code, reach->place.path, err); /* closing rolls back */
}

struct migration_database sqlite_migration_database(struct driver_call *call, const struct sqlite_place *place)
{
	struct reach *reach = mem_zero(call->ctx, struct reach);

	*reach = (struct reach){ .call = call, .place = *place };
	return (struct migration_database){ .engine = "sqlite", .path = place->path, .query = query, .execute = execute, .data = reach };
}
