/* The catalogue of a database, from information_schema and SHOW CREATE (mysql_facts.h). Each question is asked once for the whole database and its answer sorted into tables here: a question per table would be slow on servers with
 * many. One thread per connection. */
#include "drivers/mysql_facts.h"

#include "base/clock.h"
#include "base/text.h"

static char *in_schema(struct mysqldb *db, const char *before, const char *schema, const char *after)
{
	_cleanup_talloc_ char *name = mysqldb_quote(NULL, schema);

	return mem_printf(db, "%s%s%s", before, name, after);
}

/* `rows` belong to ctx. The query is made of three parts: the name of the database stands between them. */
static int ask(struct mysqldb *db, const void *ctx, const char *before, const char *schema, const char *after, struct mysqldb_rows *ret,
	struct err *err)
{
	_cleanup_talloc_ char *query = in_schema(db, before, schema, after);

	return mysqldb_select(db, ctx, query, ret, err);
}

static bool says(const char *text, const char *part)
{
	return text && strcasestr(text, part);
}

static json_t *member(json_t *object, const char *key, json_t *(*make)(void))
{
	json_t *found = json_object_get(object, key);

	if (!found) {
		found = make();
		(void)json_object_set_new(object, key, found);
	}
	return found;
}

int mysql_facts_exists(struct mysqldb *db, const char *schema, bool *ret, struct err *err)
{
	_cleanup_talloc_ char *query = in_schema(db, "SELECT count(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ", schema, "");
	int64_t count;
	int r = mysqldb_integer(db, query, &count, err);

	if (r == 0)
		*ret = count > 0;
	return r;
}

/* ---- the catalogue of a copy ---- */

static int show_create(struct mysqldb *db, const void *ctx, const char *kind, const char *name, size_t column, char **ret,
	struct mysqldb_rows *ret_rows, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	int r = mysqldb_select(db, ctx, mem_printf(work, "SHOW CREATE %s %s", kind, mysqldb_name(work, name)), &rows, err);

	if (r == 0 && (rows.count != 1 || rows.columns <= column || !rows.list[0][column]))
		r = err_set(err, ERR_FORBIDDEN, "its definition is not shown to this user");
	if (r < 0)
		return err_in(err, "%s '%s'", kind, name);
	*ret = rows.list[0][column];
	if (ret_rows)
		*ret_rows = rows;
	return 0;
}

static int list_tables(struct mysqldb *db, const void *ctx, const char *schema, json_t *tables, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	int r;

	r = ask(db, work,
		"SELECT t.TABLE_NAME, t.TABLE_TYPE, coalesce(e.TRANSACTIONS, 'NO') FROM information_schema.TABLES t"
		" LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA = ",
		schema, " AND t.TABLE_TYPE NOT LIKE '%VIEW' ORDER BY t.TABLE_NAME", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		bool sequence = strcmp(rows.list[i][1], "SEQUENCE") == 0;
		json_t *table = json_object();
		char *create;

		(void)json_object_set_new(tables, rows.list[i][0], table);
		r = show_create(db, work, sequence ? "SEQUENCE" : "TABLE", rows.list[i][0], 1, &create, NULL, err);
		if (r < 0)
			break;
		json_put_str(table, "create", create);
		(void)json_object_set_new(table, "columns", json_array());
		(void)json_object_set_new(table, "key", json_array());
		if (sequence)
			json_put_flag(table, "sequence", true);
		json_put_flag(table, "transactional", strcmp(rows.list[i][2], "YES") == 0);
	}
	return r;
}

/* A sequence has one column that says where it stands; the others are its definition. */
static bool holds_something(json_t *table, const char *column, const char *extra, const char *expression)
{
	if (json_flag(table, "sequence", false))
		return strcmp(column, "next_not_cached_value") == 0;
	return !(expression && *expression) && !says(extra, "VIRTUAL GENERATED") && !says(extra, "STORED GENERATED");
}

static int list_columns(struct mysqldb *db, const char *schema, json_t *tables, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	int r;

	r = ask(db, work,
		"SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, EXTRA, GENERATION_EXPRESSION FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ",
		schema, " ORDER BY TABLE_NAME, ORDINAL_POSITION", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		json_t *table = json_object_get(tables, rows.list[i][0]);
		char *column = rows.list[i][1];

		if (!table || !holds_something(table, column, rows.list[i][3], rows.list[i][4]))
			continue;
		(void)json_array_append_new(json_object_get(table, "columns"), json_string(column));
		if (strcmp(rows.list[i][2], "float") == 0)
			(void)json_array_append_new(member(table, "float", json_array), json_string(column));
	}
	if (r == 0)
		r = ask(db, work,
			"SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE INDEX_NAME = 'PRIMARY' AND TABLE_SCHEMA = ",
			schema, " ORDER BY TABLE_NAME, SEQ_IN_INDEX", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		json_t *table = json_object_get(tables, rows.list[i][0]);

		if (table && rows.list[i][1])
			(void)json_array_append_new(json_object_get(table, "key"), json_string(rows.list[i][1]));
	}
	return r;
}

int mysql_facts_catalogue(struct mysqldb *db, const void *ctx, const char *schema, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	json_t *tables = json_object();
	json_t *catalogue = json_make(ctx, "{s:o}", "tables", tables);
	int r;

	r = ask(db, work,
		"SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ", schema,
		"", &rows, err);
	if (r == 0 && rows.count == 0)
		r = err_set(err, ERR_NOT_FOUND, "there is no database '%s'", schema);
	if (r == 0)
		r = mysqldb_run(db, mem_printf(work, "USE %s", mysqldb_name(work, schema)), schema, err);
	if (r < 0)
		return r;
	json_put_str(catalogue, "charset", rows.list[0][0]);
	json_put_str(catalogue, "collation", rows.list[0][1]);
	r = list_tables(db, work, schema, tables, err);
	if (r == 0)
		r = list_columns(db, schema, tables, err);
	if (r == 0)
		*ret = catalogue;
	return r;
}

char *mysql_facts_shape(const void *ctx, const char *create)
{
	const char *end = strrchr(create, '\n'), *counter = end ? strstr(end, " AUTO_INCREMENT=") : NULL, *after;

	if (!counter)
		return mem_strdup(ctx, create);
	after = counter + strlen(" AUTO_INCREMENT=");
	after += strspn(after, "0123456789");
	return mem_printf(ctx, "%.*s%s", (int)(counter - create), create, after);
}

/* ---- programs ---- */

/* How each kind is listed and shown. The list: name, table, sql_mode, collation, time zone. */
/* clang-format off */
static const struct program_kind {
	const char *kind, *show, *list, *order;
	size_t column; /* of SHOW CREATE */
} program_kinds[] = {
	{ "function",     "FUNCTION",     "SELECT ROUTINE_NAME, NULL, SQL_MODE, COLLATION_CONNECTION, NULL FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA = ",         " ORDER BY 1", 2 },
	{ "procedure",    "PROCEDURE",    "SELECT ROUTINE_NAME, NULL, SQL_MODE, COLLATION_CONNECTION, NULL FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_SCHEMA = ",        " ORDER BY 1", 2 },
	{ "package",      "PACKAGE",      "SELECT ROUTINE_NAME, NULL, SQL_MODE, COLLATION_CONNECTION, NULL FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'PACKAGE' AND ROUTINE_SCHEMA = ",          " ORDER BY 1", 2 },
	{ "package body", "PACKAGE BODY", "SELECT ROUTINE_NAME, NULL, SQL_MODE, COLLATION_CONNECTION, NULL FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'PACKAGE BODY' AND ROUTINE_SCHEMA = ",     " ORDER BY 1", 2 },
	{ "view",         "VIEW",         "SELECT TABLE_NAME, NULL, NULL, COLLATION_CONNECTION, NULL FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ",                                                   " ORDER BY 1", 1 },
	{ "trigger",      "TRIGGER",      "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, SQL_MODE, COLLATION_CONNECTION, NULL FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ",
	  " ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER",                                                                                                                                                2 },
	{ "event",        "EVENT",        "SELECT EVENT_NAME, NULL, SQL_MODE, COLLATION_CONNECTION, TIME_ZONE FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ",                                         " ORDER BY 1", 3 },
};
/* clang-format on */

static int list_programs(struct mysqldb *db, const struct program_kind *kind, const char *schema, json_t *programs, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	int r = ask(db, work, kind->list, schema, kind->order, &rows, err);

	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		char **row = rows.list[i], *create;
		json_t *program = json_object();

		(void)json_array_append_new(programs, program);
		r = show_create(db, work, kind->show, row[0], kind->column, &create, NULL, err);
		if (r < 0)
			return r;
		json_put_str(program, "kind", kind->kind);
		json_put_str(program, "name", row[0]);
		json_put_str(program, "create", create);
		json_put_str(program, "table", row[1]);
		json_put_str(program, "sqlMode", row[2]);
		json_put_str(program, "collation", row[3]);
		json_put_str(program, "timeZone", row[4]);
	}
	return r;
}

int mysql_facts_programs(struct mysqldb *db, const void *ctx, const char *schema, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *programs = json_keep(ctx, json_array());
	int r = mysqldb_run(db, mem_printf(work, "USE %s", mysqldb_name(work, schema)), schema, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(program_kinds); i++)
		r = list_programs(db, &program_kinds[i], schema, programs, err);
	if (r == 0)
		*ret = programs;
	return r;
}

bool mysql_programs_have(json_t *programs, json_t *program)
{
	json_t *other;
	size_t i;

	json_array_foreach(programs, i, other)
		if (json_equal(other, program))
			return true;
	return false;
}

/* ---- facts for the compatibility rules ---- */

/* 'a','b''c' between the brackets of enum(...) */
static json_t *enum_values(const char *type)
{
	json_t *values = json_array();
	const char *at = strchr(type, '(');

	while (at && (at = strchr(at, '\''))) {
		_cleanup_talloc_ char *value = mem_strdup(NULL, "");

		for (at++; *at && (*at != '\'' || at[1] == '\''); at++) {
			if (*at == '\'')
				at++;
			value = mem_appendf(value, "%c", *at);
		}
		(void)json_array_append_new(values, json_string(value));
		at = *at ? at + 1 : NULL;
	}
	return values;
}

/* MariaDB gives the text of an expression, 'NULL' for none; MySQL the bare value, and says in `extra` when it is an expression. */
static json_t *default_of(const struct mysqldb *db, const char *value, const char *extra, const char *data_type)
{
	static const char *const plain[] = { "int", "decimal", "float", "double", "bit", "year" };
	_cleanup_talloc_ char *quoted = NULL;

	if (!value || (db->mariadb && strcmp(value, "NULL") == 0))
		return json_null();
	if (db->mariadb || says(extra, "DEFAULT_GENERATED") || strncasecmp(value, "CURRENT_TIMESTAMP", 17) == 0)
		return json_string(value);
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (strstr(data_type, plain[i]))
			return json_string(value);
	quoted = mysqldb_quote(NULL, value);
	return json_string(quoted);
}

enum { C_TABLE, C_NAME, C_TYPE, C_NULLABLE, C_DEFAULT, C_KEY, C_EXTRA, C_EXPRESSION, C_DATA_TYPE, C_COLLATION };

static json_t *column_facts(const struct mysqldb *db, char **row)
{
	json_t *facts = json_object();

	json_put_str(facts, "type", row[C_TYPE]);
	json_put_str(facts, "collation", row[C_COLLATION]);
	json_put_flag(facts, "notNull", strcmp(row[C_NULLABLE], "NO") == 0);
	json_put_flag(facts, "primaryKey", strcmp(row[C_KEY], "PRI") == 0);
	(void)json_object_set_new(facts, "default", default_of(db, row[C_DEFAULT], row[C_EXTRA], row[C_DATA_TYPE]));
	if ((row[C_EXPRESSION] && *row[C_EXPRESSION]) || says(row[C_EXTRA], "VIRTUAL GENERATED") || says(row[C_EXTRA], "STORED GENERATED"))
		json_put_flag(facts, "generated", true);
	if (says(row[C_EXTRA], "auto_increment"))
		json_put_flag(facts, "identity", true);
	if (strcmp(row[C_DATA_TYPE], "enum") == 0 || strcmp(row[C_DATA_TYPE], "set") == 0)
		(void)json_object_set_new(facts, "values", enum_values(row[C_TYPE]));
	return facts;
}

static int schema_columns(struct mysqldb *db, const char *schema, json_t *tables, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	int r;

	r = ask(db, work, "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ", schema,
		" AND TABLE_TYPE <> 'SEQUENCE' ORDER BY TABLE_NAME", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		json_t *table = member(tables, rows.list[i][0], json_object);

		(void)json_object_set_new(table, "columns", json_object());
		if (says(rows.list[i][1], "VIEW"))
			json_put_flag(table, "view", true);
	}
	if (r == 0)
		r = ask(db, work,
			"SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COLUMN_KEY, EXTRA, GENERATION_EXPRESSION, DATA_TYPE, COLLATION_NAME"
			" FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ",
			schema, " ORDER BY TABLE_NAME, ORDINAL_POSITION", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		json_t *table = json_object_get(tables, rows.list[i][C_TABLE]);

		if (table)
			(void)json_object_set_new(json_object_get(table, "columns"), rows.list[i][C_NAME], column_facts(db, rows.list[i]));
	}
	return r;
}

/* Indexes, and those of them that are unique. An index over an expression (MySQL 8) has no column name there. */
static int schema_indexes(struct mysqldb *db, const char *schema, json_t *tables, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	const char *name;
	json_t *table;
	int r;

	r = ask(db, work,
		"SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, if(SUB_PART IS NULL, COLUMN_NAME, concat(COLUMN_NAME, '(', SUB_PART, ')')) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ",
		schema, " AND INDEX_NAME <> 'PRIMARY' ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		json_t *index;

		table = json_object_get(tables, rows.list[i][0]);
		if (!table)
			continue;
		index = member(member(table, "indexes", json_object), rows.list[i][1], json_object);
		(void)json_array_append_new(member(index, "columns", json_array),
			json_string(rows.list[i][3] ? rows.list[i][3] : "(expression)"));
		json_put_flag(index, "unique", strcmp(rows.list[i][2], "0") == 0);
	}
	json_object_foreach(tables, name, table) {
		const char *index_name;
		json_t *index;

		json_object_foreach(json_object_get(table, "indexes"), index_name, index)
			if (json_flag(index, "unique", false))
				(void)json_array_append(member(table, "unique", json_array), json_object_get(index, "columns"));
	}
	return r;
}

int mysql_facts_foreign_keys(struct mysqldb *db, const void *ctx, const char *schema, const char *other, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	const char *one = mysqldb_quote(work, schema), *two = mysqldb_quote(work, other ? other : schema);
	json_t *keys = json_keep(ctx, json_array()), *key = NULL;
	struct mysqldb_rows rows;
	int r;

	r = mysqldb_select(db, work,
		mem_printf(work,
			"SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME,"
			" k.REFERENCED_COLUMN_NAME, k.ORDINAL_POSITION, r.DELETE_RULE FROM information_schema.KEY_COLUMN_USAGE k"
			" JOIN information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME"
			" AND r.TABLE_NAME = k.TABLE_NAME WHERE k.REFERENCED_TABLE_NAME IS NOT NULL AND (k.TABLE_SCHEMA IN (%s, %s)"
			" OR k.REFERENCED_TABLE_SCHEMA IN (%s, %s)) ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION",
			one, two, one, two),
		&rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		char **row = rows.list[i];

		if (strcmp(row[7], "1") == 0) {
			key = json_pack("{s:s, s:s, s:s, s:[], s:s, s:s, s:[], s:s}", "schema", row[0], "table", row[1], "name", row[2],
				"columns", "toSchema", row[4], "toTable", row[5], "toColumns", "onDelete", row[8]);
			(void)json_array_append_new(keys, key);
		}
		(void)json_array_append_new(json_object_get(key, "columns"), json_string(row[3]));
		(void)json_array_append_new(json_object_get(key, "toColumns"), json_string(row[6]));
	}
	if (r == 0)
		*ret = keys;
	return r;
}

static int schema_foreign_keys(struct mysqldb *db, const char *schema, json_t *tables, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *keys = NULL, *key;
	size_t i;
	int r = mysql_facts_foreign_keys(db, work, schema, NULL, &keys, err);

	json_array_foreach(keys, i, key) {
		const char *to = json_str(key, "toSchema", "");
		json_t *table = strcmp(json_str(key, "schema", ""), schema) == 0 ? json_object_get(tables, json_str(key, "table", ""))
										 : NULL;
		json_t *facts;

		if (!table)
			continue;
		facts = json_pack("{s:O, s:O}", "columns", json_object_get(key, "columns"), "references",
			json_object_get(key, "toColumns"));
		json_put_str(facts, "table",
			strcmp(to, schema) == 0 ? json_str(key, "toTable", "")
						: mem_printf(work, "%s.%s", to, json_str(key, "toTable", "")));
		json_put(facts, "onDelete", json_object_get(key, "onDelete"));
		(void)json_array_append_new(member(table, "foreignKeys", json_array), facts);
	}
	return r;
}

/* MariaDB names the table, and columns have checks of their own; MySQL has them since 8.0.16 and the table stands beside. */
static int schema_checks(struct mysqldb *db, const char *schema, json_t *tables, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows = { 0 };
	int r = 0;

	if (db->mariadb)
		r = ask(db, work,
			"SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = ",
			schema, " ORDER BY 1, 2", &rows, err);
	else if (db->number >= 80016)
		r = ask(db, work,
			"SELECT t.TABLE_NAME, c.CONSTRAINT_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c"
			" JOIN information_schema.TABLE_CONSTRAINTS t ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME"
			" AND t.CONSTRAINT_TYPE = 'CHECK' WHERE c.CONSTRAINT_SCHEMA = ",
			schema, " ORDER BY 1, 2", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		json_t *table = json_object_get(tables, rows.list[i][0]);

		if (table)
			json_put_str(member(table, "checks", json_object), rows.list[i][1], rows.list[i][2]);
	}
	return r;
}

int mysql_facts_schema(struct mysqldb *db, const void *ctx, const char *schema, json_t **ret, struct err *err)
{
	json_t *tables = json_object(), *facts = json_make(ctx, "{s:o}", "tables", tables);
	int r;

	r = schema_columns(db, schema, tables, err);
	if (r == 0)
		r = schema_indexes(db, schema, tables, err);
	if (r == 0)
		r = schema_foreign_keys(db, schema, tables, err);
	if (r == 0)
		r = schema_checks(db, schema, tables, err);
	if (r == 0)
		*ret = facts;
	return r;
}

/* Where tools note what they applied, and how the newest is found. The first table that is there counts. */
/* clang-format off */
static const struct {
	const char *table, *column, *order;
} ledgers[] = {
	{ "schema_migrations",       "version",        "version" },
	{ "flyway_schema_history",   "version",        "installed_rank" },
	{ "DATABASECHANGELOG",       "ID",             "ORDEREXECUTED" },
	{ "knex_migrations",         "name",           "id" },
	{ "_prisma_migrations",      "migration_name", "finished_at" },
	{ "SequelizeMeta",           "name",           "name" },
	{ "alembic_version",         "version_num",    "version_num" },
	{ "doctrine_migration_versions", "version",    "executed_at" },
	{ "phinxlog",                "version",        "version" },
	{ "django_migrations",       "name",           "id" },
	{ "migrations",              "migration",      "id" },
};
/* clang-format on */

int mysql_facts_migration(struct mysqldb *db, const void *ctx, json_t *schema_facts, char **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *tables = json_object_get(schema_facts, "tables");

	for (size_t i = 0; i < ARRAY_SIZE(ledgers); i++) {
		json_t *columns = json_object_get(json_object_get(tables, ledgers[i].table), "columns");
		int r;

		if (!json_object_get(columns, ledgers[i].column) || !json_object_get(columns, ledgers[i].order))
			continue;
		r = mysqldb_text(db, ctx,
			mem_printf(work, "SELECT %s FROM %s WHERE %s IS NOT NULL ORDER BY %s DESC LIMIT 1",
				mysqldb_name(work, ledgers[i].column), mysqldb_table(work, db->database, ledgers[i].table),
				mysqldb_name(work, ledgers[i].column), mysqldb_name(work, ledgers[i].order)),
			ret, err);
		if (r != -ERR_NOT_FOUND)
			return r;
		break;
	}
	*ret = mem_strdup(ctx, "0");
	return 0;
}

int mysql_facts_row_counts(struct mysqldb *db, const void *ctx, json_t *schema_facts, int64_t until_ms, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *table, *counts = json_make(ctx, "{}");
	const char *name;

	json_object_foreach(json_object_get(schema_facts, "tables"), name, table) {
		struct err why = ERR_INIT;
		int64_t count, left = until_ms - clock_mono_ms();
		char *from = mysqldb_table(work, db->database, name), *query;

		if (left <= 0)
			break;
		if (json_flag(table, "view", false))
			continue;
		query = db->mariadb
			? mem_printf(work, "SET STATEMENT max_statement_time = %.3f FOR SELECT count(*) FROM %s", (double)left / 1000, from)
			: mem_printf(work, "SELECT /*+ MAX_EXECUTION_TIME(%lld) */ count(*) FROM %s", (long long)left, from);
		if (mysqldb_integer(db, query, &count, &why) == 0)
			json_put_int(counts, name, count);
		else if (why.code == ERR_UNREACHABLE) {
			*err = why;
			return -(int)why.code;
		}
	}
	*ret = counts;
	return 0;
}
