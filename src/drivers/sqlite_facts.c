/* Facts about an SQLite database, by its own catalogue (sqlite_master, the table-valued pragmas). Read only. */
#include "drivers/sqlite_facts.h"

#include <sodium.h>
#include <string.h>

#include "base/text.h"
#include "data/json.h"

static int failed(sqlite3 *database, const char *query, struct err *err)
{
	int code = sqlite3_errcode(database);
	enum err_code kind = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ERR_CORRUPT : code == SQLITE_BUSY ? ERR_TIMEOUT : ERR_DRIVER;

	return err_set(err, kind, "%s: %s", query, sqlite3_errmsg(database));
}

static void finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

static int prepare(sqlite3 *database, const char *query, sqlite3_stmt **ret, struct err *err)
{
	return sqlite3_prepare_v2(database, query, -1, ret, NULL) == SQLITE_OK ? 0 : failed(database, query, err);
}

/* 1: a row, 0: the end. */
static int step(sqlite3 *database, sqlite3_stmt *statement, struct err *err)
{
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		return 1;
	return code == SQLITE_DONE ? 0 : failed(database, sqlite3_sql(statement), err);
}

static const char *column(sqlite3_stmt *statement, int index)
{
	return (const char *)sqlite3_column_text(statement, index);
}

int facts_text(const void *ctx, sqlite3 *database, const char *query, char **ret, struct err *err)
{
	_cleanup_(finalize) sqlite3_stmt *statement = NULL;
	int r;

	r = prepare(database, query, &statement, err);
	if (r == 0)
		r = step(database, statement, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, ERR_DRIVER, "%s: no row", query);
	*ret = mem_strdup(ctx, column(statement, 0) ? column(statement, 0) : "");
	return 0;
}

int facts_integer(sqlite3 *database, const char *query, int64_t *ret, struct err *err)
{
	_cleanup_(finalize) sqlite3_stmt *statement = NULL;
	int r;

	r = prepare(database, query, &statement, err);
	if (r == 0)
		r = step(database, statement, err);
	if (r < 0)
		return r;
	*ret = r ? sqlite3_column_int64(statement, 0) : 0;
	return 0;
}

static char *quoted(const void *ctx, const char *text, char mark)
{
	char *result = mem_printf(ctx, "%c", mark);

	for (; *text; text++)
		result = *text == mark ? mem_appendf(result, "%c%c", mark, mark) : mem_appendf(result, "%c", *text);
	return mem_appendf(result, "%c", mark);
}

char *facts_quote(const void *ctx, const char *name)
{
	return quoted(ctx, name, '"');
}

char *facts_quote_text(const void *ctx, const char *text)
{
	return quoted(ctx, text, '\'');
}

static json_t *column_facts(sqlite3_stmt *statement)
{
	json_t *facts = json_pack("{s:s, s:b, s:b}", "type", column(statement, 2) ? column(statement, 2) : "", "notNull", sqlite3_column_int(statement, 3),
		"primaryKey", sqlite3_column_int(statement, 5) > 0);

	if (column(statement, 4))
		json_put_str(facts, "default", column(statement, 4));
	else
		json_object_set_new(facts, "default", json_null());
	return facts;
}

/* cid, name, type, notnull, dflt_value, pk */
static int table_columns(const void *ctx, sqlite3 *database, const char *table, json_t *columns, struct err *err)
{
	_cleanup_(finalize) sqlite3_stmt *statement = NULL;
	int r;

	r = prepare(database, mem_printf(ctx, "PRAGMA main.table_info(%s)", facts_quote(ctx, table)), &statement, err);
	if (r < 0)
		return r;
	while ((r = step(database, statement, err)) > 0)
		json_object_set_new(columns, column(statement, 1), column_facts(statement));
	return r;
}

#define TABLES "SELECT name, sql FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"

int facts_schema(const void *ctx, sqlite3 *database, json_t **ret, struct err *err)
{
	_cleanup_(finalize) sqlite3_stmt *statement = NULL;
	json_t *tables = json_object();
	int r;

	*ret = json_make(ctx, "{s:o}", "tables", tables);
	r = prepare(database, TABLES, &statement, err);
	if (r < 0)
		return r;
	while ((r = step(database, statement, err)) > 0) {
		json_t *columns = json_object();

		json_object_set_new(tables, column(statement, 0), json_pack("{s:o}", "columns", columns));
		r = table_columns(ctx, database, column(statement, 0), columns, err);
		if (r < 0)
			return r;
	}
	return r;
}

int facts_migration(const void *ctx, sqlite3 *database, char **ret, struct err *err)
{
	int64_t tables;
	int r;

	r = facts_integer(database, "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = 'schema_migrations'", &tables, err);
	if (r < 0)
		return r;
	if (tables)
		return facts_text(ctx, database, "SELECT coalesce(max(version), '0') FROM main.schema_migrations", ret, err);
	return facts_text(ctx, database, "PRAGMA main.user_version", ret, err);
}

static void add(crypto_generichash_state *state, const void *bytes, size_t size)
{
	uint64_t length = size;

	crypto_generichash_update(state, (const unsigned char *)&length, sizeof(length));
	crypto_generichash_update(state, bytes, size);
}

/* Every value with its type; rows summed up by addition of their hashes, so that their order does not count. */
static int add_rows(const void *ctx, sqlite3 *database, const char *table, crypto_generichash_state *all, struct err *err)
{
	_cleanup_(finalize) sqlite3_stmt *statement = NULL;
	uint64_t sum[HASH_SIZE / sizeof(uint64_t)] = { 0 }, row[HASH_SIZE / sizeof(uint64_t)], count = 0;
	int r;

	r = prepare(database, mem_printf(ctx, "SELECT * FROM main.%s", facts_quote(ctx, table)), &statement, err);
	if (r < 0)
		return r;
	while ((r = step(database, statement, err)) > 0) {
		crypto_generichash_state state;

		crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
		for (int i = 0; i < sqlite3_column_count(statement); i++) {
			int type = sqlite3_column_type(statement, i);
			const void *bytes = sqlite3_column_blob(statement, i);

			add(&state, &type, sizeof(type));
			add(&state, bytes ? bytes : "", (size_t)sqlite3_column_bytes(statement, i));
		}
		crypto_generichash_final(&state, (unsigned char *)row, HASH_SIZE);
		for (size_t i = 0; i < ARRAY_SIZE(sum); i++)
			sum[i] += row[i];
		count++;
	}
	add(all, sum, sizeof(sum));
	add(all, &count, sizeof(count));
	return r;
}

int facts_content(const void *ctx, sqlite3 *database, const char *table, char ret[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_(finalize) sqlite3_stmt *statement = NULL;
	unsigned char hash[HASH_SIZE];
	crypto_generichash_state all;
	int r;

	crypto_generichash_init(&all, NULL, 0, HASH_SIZE);
	r = prepare(database, TABLES, &statement, err);
	if (r < 0)
		return r;
	while ((r = step(database, statement, err)) > 0) {
		const char *name = column(statement, 0), *definition = column(statement, 1);

		if (table && strcmp(table, name) != 0)
			continue;
		add(&all, name, strlen(name));
		/* A single table is compared by its rows: its definition may have changed and stays. */
		if (!table)
			add(&all, definition ? definition : "", definition ? strlen(definition) : 0);
		r = add_rows(ctx, database, name, &all, err);
		if (r < 0)
			return r;
	}
	crypto_generichash_final(&all, hash, sizeof(hash));
	snprintf(ret, HASH_HEX_SIZE, "%s", text_hex(ctx, hash, sizeof(hash)));
	return r;
}

int facts_common_columns(const void *ctx, sqlite3 *database, const char *table, char **ret, struct err *err)
{
	_cleanup_(finalize) sqlite3_stmt *statement = NULL;
	char *name = facts_quote_text(ctx, table);
	int r;

	*ret = mem_strdup(ctx, "");
	r = prepare(database, mem_printf(ctx, "SELECT m.name FROM pragma_table_info(%s, 'main') m JOIN pragma_table_info(%s, 'backup') b ON m.name = b.name ORDER BY m.cid", name, name),
		&statement, err);
	if (r < 0)
		return r;
	while ((r = step(database, statement, err)) > 0)
		*ret = mem_appendf(*ret, "%s%s", **ret ? ", " : "", facts_quote(ctx, column(statement, 0)));
	return r;
}
