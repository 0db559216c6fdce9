/* What can be said of an SQLite database: its schema as facts for compatibility, its migration version, hashes of its content. For the
 * sqlite driver. Read only.
 * `database` is "main" or the name of an attached one. */
#ifndef DRIVERS_SQLITE_FACTS_H
#define DRIVERS_SQLITE_FACTS_H

#include <jansson.h>
#include <sqlite3.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/hash.h"

/* SQLite's code as one of ours, with its own words behind `what`. BUSY is ERR_TIMEOUT. */
int facts_failed(sqlite3 *connection, int code, const char *what, struct err *err);
/* First column of the first row; ERR_DRIVER when there is none. */
must_check int facts_text(const void *ctx, sqlite3 *connection, const char *query, char **ret, struct err *err);
must_check int facts_integer(sqlite3 *connection, const char *query, int64_t *ret, struct err *err); /* 0 when there is no row */
char *facts_quote(const void *ctx, const char *name);                                                /* "na""me" */
char *facts_quote_text(const void *ctx, const char *text);                                           /* 'te''xt' */
/* Statements: `facts_step` is 1 with a row and 0 at the end; `facts_column` is "" for NULL; `facts_finalize` is for _cleanup_. */
must_check int facts_prepare(sqlite3 *connection, const char *query, sqlite3_stmt **ret, struct err *err);
must_check int facts_step(sqlite3 *connection, sqlite3_stmt *statement, struct err *err);
const char *facts_column(sqlite3_stmt *statement, int index);
void facts_finalize(sqlite3_stmt **statement);
/* Tables, views, keys and checks, as core/compat.h wants them. Kept in ctx. In sqlite_schema.c. */
must_check int facts_schema(const void *ctx, sqlite3 *connection, json_t **ret, struct err *err);
/* The newest version in a table schema_migrations, else PRAGMA user_version. */
must_check int facts_migration(const void *ctx, sqlite3 *connection, char **ret, struct err *err);
/* {"users": 12}; kept in ctx. Tables that cannot be counted until `until_ms` (monotonic) are left out. */
must_check int facts_row_counts(const void *ctx, sqlite3 *connection, int64_t until_ms, json_t **ret, struct err *err);
/* Tables with rows of their own: not those that a module makes up (virtual ones; what they keep stands in ordinary tables). */
#define FACTS_TABLES \
	"SELECT name FROM main.sqlite_master WHERE type = 'table' AND (name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR name = 'sqlite_sequence')" \
	" AND coalesce(sql, '') NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
/* BLAKE2b over the columns of the present row, from `first` on. */
void facts_row_hash(sqlite3_stmt *statement, int first, char ret[HASH_HEX_SIZE]);
/* BLAKE2b over all definitions, user_version, application_id and all rows. The order in which rows were written does not count, nor do
 * row ids that no column shows. */
must_check int facts_content(const void *ctx, sqlite3 *connection, char ret[HASH_HEX_SIZE], struct err *err);
/* The same over some columns (quoted, with commas) of one table. */
must_check int facts_rows(const void *ctx, sqlite3 *connection, const char *database, const char *table, const char *columns,
	char ret[HASH_HEX_SIZE], struct err *err);
/* Columns that a table has both in "main" and in `database`, quoted, with commas, without generated ones; "" when it is missing in one.
 * */
must_check int facts_common_columns(const void *ctx, sqlite3 *connection, const char *database, const char *table, char **ret,
	struct err *err);

#endif
