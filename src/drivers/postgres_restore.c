/* Restoring a PostgreSQL database in one transaction (postgres_restore.h). All tables are locked, so readers and writers wait; what is lost goes to the ledger; everything that is the database's own is dropped and made again from the
 * dump; the result is compared with what was captured; then it is committed. A kill, a lost connection or a difference ends the transaction, and the server takes all of it back. pg_restore turns the dump into SQL, which runs in our
 * session: its own connection could not share the transaction. One thread. */
#include "drivers/postgres_restore.h"

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"

#define LOCK_NAME 7238116 /* of the advisory lock: one restore of a database at a time */

/* ---- the transaction ---- */

int postgres_lock_tables(struct postgres *p, struct pg *pg, const char *mode, struct err *err)
{
	char *statement = mem_strdup(p->call->ctx, "LOCK TABLE ");
	struct pg_rows rows;
	int r;

	r = pg_select(pg, p->call->ctx,
		mem_printf(p->call->ctx,
			"SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
			" WHERE c.relkind IN ('r', 'p') AND %s AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass"
			" AND x.objid = c.oid AND x.deptype = 'e') ORDER BY 1",
			p->scope),
		NULL, 0, "reading the tables", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++)
		statement = mem_appendf(statement, "%sONLY %s", i ? ", " : "", rows.list[i][0]);
	if (r == 0 && rows.count > 0)
		r = pg_run(pg, mem_appendf(statement, " IN %s MODE", mode), "holding others off the tables", err);
	return r;
}

static int begin(struct postgres *p, struct pg *pg, struct err *err)
{
	int r = pg_run(pg, "BEGIN", "beginning the restore", err);

	if (r == 0)
		r = pg_run(pg, mem_printf(p->call->ctx, "SELECT pg_advisory_xact_lock(%d)", LOCK_NAME), "waiting for another restore", err);
	return r < 0 ? r : postgres_lock_tables(p, pg, "ACCESS EXCLUSIVE", err);
}

static int commit(struct pg *pg, struct err *err)
{
	int r;

	FAILPOINT("postgres.before_commit");
	r = pg_run(pg, "COMMIT", "committing the restore", err);
	FAILPOINT("postgres.committed");
	return r;
}

/* ---- dropping ---- */

/* Objects that are in no schema that is rolled back, and the extensions: what a restore must leave as it is. */
static int count_others(struct postgres *p, struct pg *pg, int64_t *ret, struct err *err)
{
	return pg_integer(pg,
		mem_printf(p->call->ctx,
			"SELECT (SELECT count(*) FROM pg_extension) + (SELECT count(*) FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid"
			" WHERE d.refclassid = 'pg_namespace'::regclass AND n.nspname !~ '^pg_' AND NOT %s)"
			" + (SELECT count(*) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE NOT %s)"
			" + (SELECT count(*) FROM pg_attrdef a JOIN pg_class c ON c.oid = a.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT %s)",
			p->scope, p->scope, p->scope),
		"counting what stays", ret, err);
}

/* What depends on a schema directly and is nobody's part; CASCADE takes the rest. Default privileges stay: a dump sets them anew. */
static int drop_all(struct postgres *p, struct pg *pg, struct err *err)
{
	char *statements = mem_strdup(p->call->ctx, "");
	int64_t before, after;
	struct pg_rows rows;
	int r;

	r = count_others(p, pg, &before, err);
	if (r == 0)
		r = pg_select(pg, p->call->ctx,
			mem_printf(p->call->ctx,
				"SELECT o.type, o.identity FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid,"
				" LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) o WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n'"
				" AND %s AND o.type NOT IN ('default acl', 'extension') AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = d.classid AND x.objid = d.objid"
				" AND x.objsubid = d.objsubid AND x.deptype IN ('e', 'i')) ORDER BY o.type <> 'table', o.type, o.identity",
				p->scope),
			NULL, 0, "reading what there is", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++)
		statements = mem_appendf(statements, "DROP %s IF EXISTS %s CASCADE;\n", rows.list[i][0], rows.list[i][1]);
	if (r == 0 && rows.count > 0)
		r = pg_run(pg, statements, "removing what there is", err);
	if (r == 0)
		r = count_others(p, pg, &after, err);
	if (r == 0 && after != before)
		return err_set(err, ERR_REFUSED,
			"%lld objects of other schemas depend on what is restored and would go with it: nothing was changed",
			(long long)(before - after));
	FAILPOINT("postgres.dropped");
	return r;
}

/* Schemas that the copy does not have. */
static int drop_schemas(struct postgres *p, struct pg *pg, const struct postgres_toc *toc, struct err *err)
{
	struct pg_rows rows;
	int r;

	r = pg_select(pg, p->call->ctx,
		mem_printf(p->call->ctx,
			"SELECT n.nspname, quote_ident(n.nspname) FROM pg_namespace n WHERE %s AND n.nspname <> 'public' AND NOT EXISTS (SELECT FROM pg_depend x"
			" WHERE x.classid = 'pg_namespace'::regclass AND x.objid = n.oid AND x.deptype = 'e')",
			p->scope),
		NULL, 0, "reading the schemas", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		bool kept = false;

		for (size_t k = 0; !kept && k < toc->count; k++)
			kept = postgres_entry_is(&toc->list[k], "SCHEMA", "-", rows.list[i][0]);
		if (!kept)
			r = pg_run(pg, mem_printf(p->call->ctx, "DROP SCHEMA %s", rows.list[i][1]), "removing a schema", err);
	}
	return r;
}

/* ---- making again ---- */

/* What stands outside of schemas is not dropped, so it cannot be made again. */
#define THERE \
	"SELECT 'SCHEMA', nspname FROM pg_namespace UNION ALL SELECT 'PUBLICATION', pubname FROM pg_publication" \
	" UNION ALL SELECT 'EVENT TRIGGER', evtname FROM pg_event_trigger UNION ALL SELECT 'FOREIGN DATA WRAPPER', fdwname FROM pg_foreign_data_wrapper" \
	" UNION ALL SELECT 'SERVER', srvname FROM pg_foreign_server UNION ALL SELECT 'PROCEDURAL LANGUAGE', lanname FROM pg_language" \
	" UNION ALL SELECT 'ACCESS METHOD', amname FROM pg_am"

static bool is_there(const struct postgres_entry *entry, const struct pg_rows *there)
{
	for (size_t i = 0; i < there->count; i++)
		if (postgres_entry_is(entry, there->list[i][0], "-", there->list[i][1]))
			return true;
	return false;
}

int postgres_choose_lines(struct postgres *p, struct pg *pg, const struct postgres_toc *toc, char **ret, struct err *err)
{
	char *lines = mem_strdup(p->call->ctx, "");
	struct pg_rows there;
	int r;

	r = pg_select(pg, p->call->ctx, THERE, NULL, 0, "reading what there is", &there, err);
	for (size_t i = 0; r == 0 && i < toc->count; i++) {
		const struct postgres_entry *entry = &toc->list[i];

		/* The words about an extension are its own; only a superuser may say them again. */
		if (!is_there(entry, &there) && !(strcmp(entry->type, "COMMENT") == 0 && text_starts_with(entry->rest, "- EXTENSION ")))
			lines = mem_appendf(lines, "%s\n", entry->line);
	}
	*ret = lines;
	return r;
}

static char *lines_of_type(const void *ctx, const struct postgres_toc *toc, const char *type)
{
	char *lines = mem_strdup(ctx, "");

	for (size_t i = 0; i < toc->count; i++)
		if (strcmp(toc->list[i].type, type) == 0)
			lines = mem_appendf(lines, "%s\n", toc->list[i].line);
	return lines;
}

static int run_section(struct postgres *p, struct pg *pg, const char *copy, const char *section, const char *lines, struct err *err)
{
	char *script;
	int r = postgres_script(p->call, copy, section, lines, &script, err);

	return r < 0 ? r : pg_run(pg, script, mem_printf(p->call->ctx, "restoring (%s)", section), err);
}

static int make_all(struct postgres *p, struct pg *pg, const char *copy, const struct postgres_toc *toc, struct err *err)
{
	char *lines;
	int r;

	r = postgres_choose_lines(p, pg, toc, &lines, err);
	if (r == 0)
		r = run_section(p, pg, copy, "pre-data", lines, err);
	if (r == 0)
		r = postgres_feed(p->call, pg, copy, lines_of_type(p->call->ctx, toc, "TABLE DATA"), NULL, NULL, err);
	FAILPOINT("postgres.rows_written");
	if (r == 0)
		r = run_section(p, pg, copy, "data", lines_of_type(p->call->ctx, toc, "SEQUENCE SET"), err);
	return r < 0 ? r : run_section(p, pg, copy, "post-data", lines, err);
}

/* ---- whole ---- */

static int refuse_unfit(struct postgres *p, struct pg *pg, const struct postgres_toc *toc, struct err *err)
{
	if (toc->server_version / 10000 > pg_server_version(pg) / 10000)
		return err_set(err, ERR_REFUSED, "the copy was made from PostgreSQL %d, the server is %d", toc->server_version / 10000,
			pg_server_version(pg) / 10000);
	for (size_t i = 0; i < toc->count; i++)
		if (text_starts_with(toc->list[i].type, "BLOB"))
			return err_set(err, ERR_UNSUPPORTED, "the copy holds large objects, which only `restore: switch` brings back");
	(void)p;
	return 0;
}

static int restore_all(struct postgres *p, struct pg *pg, const char *dir, const char *copy, const struct postgres_toc *toc,
	json_t **ret_lost, struct err *err)
{
	struct postgres_tables tables;
	int r, same;

	r = begin(p, pg, err);
	if (r == 0)
		r = postgres_is_as_captured(p, pg, dir, &same, err);
	if (r < 0 || same)
		return r;
	r = postgres_tables(p->call->ctx, pg, p->scope, &tables, err);
	if (r == 0)
		r = postgres_write_ledger(p, pg, dir, NULL, &tables, ret_lost, err);
	if (r == 0)
		r = drop_all(p, pg, err);
	if (r == 0)
		r = drop_schemas(p, pg, toc, err);
	if (r == 0)
		r = make_all(p, pg, copy, toc, err);
	if (r == 0)
		r = postgres_verify(p, pg, dir, err);
	return r < 0 ? r : commit(pg, err);
}

/* The server's statistics went with the tables; without them it plans badly. It makes them by itself in time. */
static void analyze(struct postgres *p, struct pg *pg)
{
	struct err why = ERR_INIT;

	if (pg_run(pg, "ANALYZE", "collecting statistics", &why) < 0)
		call_log(p->call, LOG_WARN, "%s", why.text);
}

static int connect_or_make(struct postgres *p, struct pg **ret, struct err *err)
{
	struct err why = ERR_INIT;
	int r = postgres_connect(p, ret, &why);

	if (r == -ERR_NOT_FOUND) {
		r = postgres_make_missing(p, err);
		return r < 0 ? r : postgres_connect(p, ret, err);
	}
	if (r < 0)
		*err = why;
	return r;
}

int postgres_restore_whole(struct postgres *p, const char *dir, json_t **ret_lost, struct err *err)
{
	_cleanup_(pg_close) struct pg *pg = NULL;
	struct postgres_toc toc;
	char *copy;
	int r;

	r = database_find_copy(p->call->ctx, dir, POSTGRES_COPY, &copy, err);
	if (r == 0)
		r = postgres_read_toc(p->call, copy, &toc, err);
	if (r == 0)
		r = connect_or_make(p, &pg, err);
	if (r == 0)
		r = refuse_unfit(p, pg, &toc, err);
	if (r == 0)
		r = restore_all(p, pg, dir, copy, &toc, ret_lost, err);
	if (r == 0)
		analyze(p, pg);
	return r;
}

/* ---- tables ---- */

/* Statements that take triggers and foreign keys away for the time of the restore, and those that bring them back: foreign keys are checked whole when they are made again, also those of other tables that point here. */
static int guard_statements(struct postgres *p, struct pg *pg, const struct database_goal *goal, const struct postgres_tables *tables,
	char **ret_off, char **ret_on, struct err *err)
{
	char *names = mem_strdup(p->call->ctx, "");
	struct pg_rows rows;
	int r;

	*ret_off = mem_strdup(p->call->ctx, "");
	*ret_on = mem_strdup(p->call->ctx, "");
	for (size_t i = 0; i < goal->table_count; i++)
		names = mem_appendf(names, "%s%s::regclass", i ? ", " : "",
			pg_quote_text(p->call->ctx, postgres_find_table(tables, goal->tables[i].name)->sql));
	r = pg_select(pg, p->call->ctx,
		mem_printf(p->call->ctx,
			"SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', k.conrelid::regclass, k.conname), format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s',"
			" k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0"
			" AND (k.conrelid IN (%s) OR k.confrelid IN (%s))"
			" UNION ALL SELECT format('ALTER TABLE %%s DISABLE TRIGGER %%I', t.tgrelid::regclass, t.tgname), format('ALTER TABLE %%s ENABLE %%s TRIGGER %%I',"
			" t.tgrelid::regclass, CASE t.tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END, t.tgname)"
			" FROM pg_trigger t WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgrelid IN (%s)",
			names, names, names),
		NULL, 0, "reading foreign keys and triggers", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		*ret_off = mem_appendf(*ret_off, "%s;\n", rows.list[i][0]);
		*ret_on = mem_appendf(*ret_on, "%s;\n", rows.list[i][1]);
	}
	return r;
}

/* Columns of the backup (quoted, with commas) that the table has and that can be written, with the type that each has now. */
static int common_columns(struct postgres *p, struct pg *pg, const struct postgres_table *table, char **ret_names, char **ret_values,
	struct err *err)
{
	struct pg_rows rows;
	int r;

	r = pg_select(pg, p->call->ctx,
		mem_printf(p->call->ctx,
			"SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), string_agg(format('%%I::%%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', '"
			" ORDER BY a.attnum) FROM pg_attribute a JOIN pg_attribute b ON b.attrelid = 'pg_temp.unship_rows'::regclass AND b.attname = a.attname AND b.attnum > 0"
			" WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''",
			pg_quote_text(p->call->ctx, table->sql)),
		NULL, 0, "comparing columns", &rows, err);
	if (r < 0)
		return r;
	if (!rows.list[0][0])
		return err_set(err, ERR_NOT_FOUND, "the backup has none of its columns");
	*ret_names = rows.list[0][0];
	*ret_values = rows.list[0][1];
	return 0;
}

/* Sequences of its columns never go back: numbers that were given out stay given out; they go forward when the restored rows are ahead. */
static int raise_sequences(struct postgres *p, struct pg *pg, const struct postgres_table *table, struct err *err)
{
	struct pg_rows rows;
	int r;

	r = pg_select(pg, p->call->ctx,
		mem_printf(p->call->ctx,
			"SELECT format('SELECT setval(%%L, max(%%I)) FROM ONLY %%s HAVING max(%%I) > (SELECT last_value FROM %%s)', s.objid::regclass, a.attname, %s, a.attname,"
			" s.objid::regclass) FROM pg_depend s JOIN pg_attribute a ON a.attrelid = s.refobjid AND a.attnum = s.refobjsubid JOIN pg_class c ON c.oid = s.objid"
			" WHERE s.classid = 'pg_class'::regclass AND c.relkind = 'S' AND s.deptype IN ('a', 'i') AND s.refobjid = %s::regclass",
			pg_quote_text(p->call->ctx, table->sql), pg_quote_text(p->call->ctx, table->sql)),
		NULL, 0, "reading sequences", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++)
		r = pg_run(pg, rows.list[i][0], "setting a sequence", err);
	return r;
}

static const char *data_line(const struct postgres_toc *toc, const struct postgres_table *table)
{
	const struct postgres_entry *found = NULL;

	for (size_t i = 0; i < toc->count; i++) {
		const struct postgres_entry *entry = &toc->list[i];

		/* A name may begin like another and go on with a blank: the shortest is meant. */
		if (postgres_entry_is(entry, "TABLE DATA", table->schema, table->bare) &&
			(!found || strlen(entry->rest) < strlen(found->rest)))
			found = entry;
	}
	return found ? found->line : NULL;
}

/* The rows of the backup as text into pg_temp.unship_rows. */
static int load_rows(struct postgres *p, struct pg *pg, const struct postgres_table *table, const char *dir, char **ret_names,
	char **ret_values, struct err *err)
{
	char *copy, *columns = NULL;
	struct postgres_toc toc;
	const char *line;
	int r;

	r = database_find_copy(p->call->ctx, dir, POSTGRES_COPY, &copy, err);
	if (r == 0)
		r = postgres_read_toc(p->call, copy, &toc, err);
	if (r < 0)
		return r;
	line = data_line(&toc, table);
	if (!line)
		return err_set(err, ERR_NOT_FOUND, "it is not in the backup");
	r = pg_run(pg, "DROP TABLE IF EXISTS pg_temp.unship_rows", "making room for the rows", err);
	if (r == 0)
		r = postgres_feed(p->call, pg, copy, mem_printf(p->call->ctx, "%s\n", line), "pg_temp.unship_rows", &columns, err);
	if (r == 0 && !columns)
		r = err_set(err, ERR_NOT_FOUND, "its rows are not in the backup");
	return r < 0 ? r : common_columns(p, pg, table, ret_names, ret_values, err);
}

int postgres_rows_are(struct postgres *p, struct pg *pg, const struct postgres_table *table, const char *dir, int *ret, struct err *err)
{
	char *names, *values, *there, *here;
	int64_t differing;
	int r;

	r = load_rows(p, pg, table, dir, &names, &values, err);
	if (r < 0)
		return r;
	/* As text: not every type can be compared. */
	there = mem_printf(p->call->ctx, "SELECT ROW(%s)::text FROM pg_temp.unship_rows", values);
	here = mem_printf(p->call->ctx, "SELECT ROW(%s)::text FROM ONLY %s", names, table->sql);
	r = pg_integer(pg,
		mem_printf(p->call->ctx, "SELECT (EXISTS (%s EXCEPT ALL %s) OR EXISTS (%s EXCEPT ALL %s))::int", there, here, here, there),
		"comparing rows", &differing, err);
	if (r == 0)
		*ret = !differing;
	return r;
}

static int replace_rows(struct postgres *p, struct pg *pg, const struct postgres_table *table, const char *dir, struct err *err)
{
	char *names, *values;
	int r;

	r = load_rows(p, pg, table, dir, &names, &values, err);
	if (r == 0)
		r = pg_run(pg, mem_printf(p->call->ctx, "DELETE FROM ONLY %s", table->sql), "removing its rows", err);
	if (r == 0)
		r = pg_run(pg,
			mem_printf(p->call->ctx, "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM pg_temp.unship_rows",
				table->sql, names, values),
			"writing its rows", err);
	FAILPOINT("postgres.table_written");
	return r < 0 ? r : raise_sequences(p, pg, table, err);
}

static int replace_tables(struct postgres *p, struct pg *pg, const struct database_goal *goal, const struct postgres_tables *tables,
	struct err *err)
{
	char *off, *on;
	int r;

	r = guard_statements(p, pg, goal, tables, &off, &on, err);
	if (r == 0)
		r = pg_run(pg, off, "putting foreign keys and triggers aside", err);
	for (size_t i = 0; r == 0 && i < goal->table_count; i++) {
		r = replace_rows(p, pg, postgres_find_table(tables, goal->tables[i].name), goal->tables[i].dir, err);
		if (r < 0)
			return err_in(err, "table '%s'", goal->tables[i].name);
	}
	return r < 0 ? r : pg_run(pg, on, "bringing foreign keys and triggers back", err);
}

static int find_all(const struct database_goal *goal, const struct postgres_tables *tables, struct err *err)
{
	for (size_t i = 0; i < goal->table_count; i++)
		if (!postgres_find_table(tables, goal->tables[i].name))
			return err_set(err, ERR_NOT_FOUND, "table '%s' is not in the database: restore the whole", goal->tables[i].name);
	return 0;
}

int postgres_restore_tables(struct postgres *p, const struct database_goal *goal, json_t **ret_lost, struct err *err)
{
	_cleanup_(pg_close) struct pg *pg = NULL;
	struct postgres_tables tables;
	int r, same;

	r = postgres_connect(p, &pg, err);
	if (r == 0)
		r = begin(p, pg, err);
	if (r == 0)
		r = postgres_tables(p->call->ctx, pg, p->scope, &tables, err);
	if (r == 0)
		r = find_all(goal, &tables, err);
	if (r == 0)
		r = postgres_tables_are_as_captured(p, pg, true, goal, &same, err);
	if (r < 0 || same)
		return r;
	r = postgres_write_ledger(p, pg, goal->tables[0].dir, goal, &tables, ret_lost, err);
	if (r == 0)
		r = replace_tables(p, pg, goal, &tables, err);
	if (r == 0)
		r = postgres_tables_are_as_captured(p, pg, true, goal, &same, err);
	if (r == 0 && !same)
		r = err_set(err, ERR_FAILED, "after the restore a table is not as it was captured: nothing was changed");
	return r < 0 ? r : commit(pg, err);
}
