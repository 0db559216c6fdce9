/* How migrations (migration.h) reach a PostgreSQL database: by a connection for each question, so that none is open while a tool is at work. The driver's thread. */
#include <stdlib.h>

#include "drivers/postgres_restore.h"

static void take_variable(void *user, const char *name, const char *value)
{
	struct migration_database *database = user;
	const struct postgres *p = database->data;
	char *copy = mem_strdup(p->call->ctx, value);

	if (strcmp(name, "PGHOST") == 0)
		database->host = copy;
	else if (strcmp(name, "PGPORT") == 0)
		database->port = atoi(copy);
	else if (strcmp(name, "PGUSER") == 0)
		database->user = copy;
	else if (strcmp(name, "PGDATABASE") == 0)
		database->name = copy;
	else if (strcmp(name, "PGPASSWORD") == 0)
		database->password = copy;
	else if (strcmp(name, "PGSSLMODE") == 0)
		database->ssl_mode = copy;
	else if (strcmp(name, "PGSSLROOTCERT") == 0)
		database->ssl_ca = copy;
}

/* A database that is not there has no rows. */
static int query(void *data, const void *ctx, const char *sql, char ***ret, struct err *err)
{
	_cleanup_(pg_close) struct pg *pg = NULL;
	struct postgres *p = data;
	struct pg_rows rows = { .count = 0 };
	struct err why = ERR_INIT;
	char **list;
	int r = postgres_connect(p, &pg, &why);

	if (r < 0 && r != -ERR_NOT_FOUND) {
		*err = why;
		return r;
	}
	/* Tools name their tables without a schema. */
	if (pg)
		r = pg_run(pg, "SET search_path = \"$user\", public", "reading migrations", err);
	if (pg && r == 0)
		r = pg_select(pg, ctx, sql, NULL, 0, "reading migrations", &rows, err);
	if (pg && r < 0)
		return r;
	list = mem_array(ctx, char *, rows.count + 1);
	for (size_t i = 0; i < rows.count; i++)
		list[i] = rows.list[i][0] ? rows.list[i][0] : mem_strdup(ctx, "");
	*ret = list;
	return 0;
}

static int execute(void *data, const char *script, const char *note, struct err *err)
{
	_cleanup_(pg_close) struct pg *pg = NULL;
	struct postgres *p = data;
	int r = postgres_connect(p, &pg, err);

	if (r == 0)
		r = pg_run(pg, "SET search_path = \"$user\", public", "running the script", err);
	if (r == 0)
		r = pg_run(pg, "BEGIN", "running the script", err);
	if (r == 0)
		r = pg_run(pg, script, "running the script", err);
	if (r == 0)
		r = pg_run(pg, note, "noting that it ran", err);
	return r < 0 ? r : pg_run(pg, "COMMIT", "running the script", err); /* closing rolls back */
}

int postgres_migration_database(struct postgres *p, struct migration_database *ret, struct err *err)
{
	*ret = (struct migration_database){ .engine = "postgres", .query = query, .execute = execute, .data = p };
	return pg_environment(&p->place, take_variable, ret, err);
}
