/* Facts about an SQLite database, by its own catalogue (sqlite_master, the table-valued pragmas). Read only; one thread per connection.
 * */
#include "drivers/sqlite_facts.h"

#include "base/clock.h"
#include "base/text.h"
#include "data/json.h"

#define TABLES_OF_USER "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"

int facts_failed(sqlite3 *connection, int code, const char *what, struct err *err)
{
	enum err_code kind = ERR_DRIVER;

	switch (code & 0xff) {
	case SQLITE_FULL:
		kind = ERR_NO_SPACE;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		kind = ERR_CORRUPT;
		break;
	case SQLITE_CONSTRAINT:
		kind = ERR_REFUSED;
		break;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_IOERR:
		kind = ERR_IO;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, ERR_TIMEOUT, "%s: another process keeps the database locked", what);
	default:
		break;
	}
	return err_set(err, kind, "%s: %s", what, connection ? sqlite3_errmsg(connection) : sqlite3_errstr(code));
}

void facts_finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

int facts_prepare(sqlite3 *connection, const char *query, sqlite3_stmt **ret, struct err *err)
{
	int code = sqlite3_prepare_v2(connection, query, -1, ret, NULL);

	return code == SQLITE_OK ? 0 : facts_failed(connection, code, query, err);
}

/* 1: a row, 0: the end. */
int facts_step(sqlite3 *connection, sqlite3_stmt *statement, struct err *err)
{
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		return 1;
	return code == SQLITE_DONE ? 0 : facts_failed(connection, code, sqlite3_sql(statement), err);
}

const char *facts_column(sqlite3_stmt *statement, int index)
{
	const char *text = (const char *)sqlite3_column_text(statement, index);

	return text ? text : "";
}

int facts_text(const void *ctx, sqlite3 *connection, const char *query, char **ret, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	int r;

	r = facts_prepare(connection, query, &statement, err);
	if (r == 0)
		r = facts_step(connection, statement, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, ERR_DRIVER, "%s: no row", query);
	*ret = mem_strdup(ctx, facts_column(statement, 0));
	return 0;
}

int facts_integer(sqlite3 *connection, const char *query, int64_t *ret, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	int r;

	r = facts_prepare(connection, query, &statement, err);
	if (r == 0)
		r = facts_step(connection, statement, err);
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

int facts_migration(const void *ctx, sqlite3 *connection, char **ret, struct err *err)
{
	int64_t tables;
	int r;

	r = facts_integer(connection, "SELECT count(*) FROM pragma_table_info('schema_migrations', 'main') WHERE name = 'version'", &tables,
		err);
	if (r < 0)
		return r;
	if (tables)
		return facts_text(ctx, connection, "SELECT coalesce(max(version), '0') FROM main.schema_migrations", ret, err);
	return facts_text(ctx, connection, "PRAGMA main.user_version", ret, err);
}

static int out_of_time(void *user)
{
	return clock_mono_ms() >= *(const int64_t *)user;
}

int facts_row_counts(const void *ctx, sqlite3 *connection, int64_t until_ms, json_t **ret, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	_cleanup_talloc_ void *work = mem_context(NULL);
	int r;

	*ret = json_make(ctx, "{}");
	r = facts_prepare(connection, TABLES_OF_USER, &statement, err);
	while (r >= 0 && (r = facts_step(connection, statement, err)) > 0 && clock_mono_ms() < until_ms) {
		struct err ignored = ERR_INIT;
		int64_t count;

		sqlite3_progress_handler(connection, 10000, out_of_time, &until_ms);
		if (facts_integer(connection,
			    mem_printf(work, "SELECT count(*) FROM main.%s", facts_quote(work, facts_column(statement, 0))), &count,
			    &ignored) == 0)
			json_put_int(*ret, facts_column(statement, 0), count);
		sqlite3_progress_handler(connection, 0, NULL, NULL);
	}
	return r < 0 ? r : 0;
}

/* ---- content ---- */

/* Bytes to be hashed, each value with its type and length in front. */
struct bytes {
	char *list;
	size_t size, room;
};

static void add(struct bytes *bytes, char type, const void *value, size_t size)
{
	uint64_t length = size;

	if (bytes->size + size + sizeof(length) + 1 > bytes->room) {
		bytes->room = (bytes->size + size + sizeof(length) + 1) * 2;
		bytes->list = mem_resize(NULL, bytes->list, char, bytes->room);
	}
	bytes->list[bytes->size++] = type;
	memcpy(bytes->list + bytes->size, &length, sizeof(length));
	bytes->size += sizeof(length);
	if (size > 0)
		memcpy(bytes->list + bytes->size, value, size);
	bytes->size += size;
}

static void hash_row(sqlite3_stmt *statement, int first, struct bytes *row, char ret[HASH_HEX_SIZE])
{
	row->size = 0;
	for (int i = first; i < sqlite3_column_count(statement); i++) {
		const void *value = sqlite3_column_blob(statement, i);

		add(row, (char)sqlite3_column_type(statement, i), value, (size_t)sqlite3_column_bytes(statement, i));
	}
	hash_blake2b_hex(row->list, row->size, ret);
}

void facts_row_hash(sqlite3_stmt *statement, int first, char ret[HASH_HEX_SIZE])
{
	struct bytes row = { 0 };

	hash_row(statement, first, &row, ret);
	talloc_free(row.list);
}

/* Rows summed up by addition of their hashes, so that their order does not count. (Addition is no protection against somebody who makes
 * up rows; the manifest of the snapshot is.) */
static int add_rows(sqlite3 *connection, const char *query, struct bytes *all, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	uint64_t sum[HASH_SIZE / sizeof(uint64_t)] = { 0 }, hash[HASH_SIZE / sizeof(uint64_t)], count = 0;
	struct bytes row = { 0 };
	int r;

	r = facts_prepare(connection, query, &statement, err);
	while (r >= 0 && (r = facts_step(connection, statement, err)) > 0) {
		char hex[HASH_HEX_SIZE];

		hash_row(statement, 0, &row, hex);
		r = text_unhex(hex, hash, sizeof(hash), err);
		for (size_t i = 0; i < ARRAY_SIZE(sum); i++)
			sum[i] += hash[i];
		count++;
	}
	talloc_free(row.list);
	add(all, 's', sum, sizeof(sum));
	add(all, 'c', &count, sizeof(count));
	return r;
}

static void finish(struct bytes *all, char ret[HASH_HEX_SIZE])
{
	hash_blake2b_hex(all->list, all->size, ret);
	talloc_free(all->list);
}

/* user_version, application_id, and every definition. */
static int add_catalogue(sqlite3 *connection, struct bytes *all, struct err *err)
{
	int r = add_rows(connection, "SELECT type, name, tbl_name, sql FROM main.sqlite_master", all, err);

	if (r == 0)
		r = add_rows(connection, "PRAGMA main.user_version", all, err);
	return r < 0 ? r : add_rows(connection, "PRAGMA main.application_id", all, err);
}

int facts_content(const void *ctx, sqlite3 *connection, char ret[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	_cleanup_talloc_ void *work = mem_context(ctx);
	struct bytes all = { 0 };
	int r;

	r = add_catalogue(connection, &all, err);
	if (r == 0)
		r = facts_prepare(connection, FACTS_TABLES, &statement, err);
	while (r >= 0 && (r = facts_step(connection, statement, err)) > 0) {
		const char *name = facts_column(statement, 0);

		add(&all, 'n', name, strlen(name));
		r = add_rows(connection, mem_printf(work, "SELECT * FROM main.%s", facts_quote(work, name)), &all, err);
	}
	finish(&all, ret);
	return r;
}

int facts_rows(const void *ctx, sqlite3 *connection, const char *database, const char *table, const char *columns, char ret[HASH_HEX_SIZE],
	struct err *err)
{
	struct bytes all = { 0 };
	int r = add_rows(connection, mem_printf(ctx, "SELECT %s FROM %s.%s", columns, database, facts_quote(ctx, table)), &all, err);

	finish(&all, ret);
	return r;
}

int facts_common_columns(const void *ctx, sqlite3 *connection, const char *database, const char *table, char **ret, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	char *name = facts_quote_text(ctx, table);
	int r;

	*ret = mem_strdup(ctx, "");
	r = facts_prepare(connection,
		mem_printf(ctx,
			"SELECT m.name FROM pragma_table_info(%s, 'main') m JOIN pragma_table_info(%s, '%s') b ON m.name = b.name ORDER BY m.cid",
			name, name, database),
		&statement, err);
	while (r >= 0 && (r = facts_step(connection, statement, err)) > 0)
		*ret = mem_appendf(*ret, "%s%s", **ret ? ", " : "", facts_quote(ctx, facts_column(statement, 0)));
	return r;
}
