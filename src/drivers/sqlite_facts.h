/* What can be said of an SQLite database: its schema as facts for compatibility, its migration version, a hash of its content. For the sqlite driver. */
#ifndef DRIVERS_SQLITE_FACTS_H
#define DRIVERS_SQLITE_FACTS_H

#include <jansson.h>
#include <sqlite3.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/hash.h"

/* First column of the first row; ERR_DRIVER when there is none. */
must_check int facts_text(const void *ctx, sqlite3 *database, const char *query, char **ret, struct err *err);
must_check int facts_integer(sqlite3 *database, const char *query, int64_t *ret, struct err *err);
char *facts_quote(const void *ctx, const char *name);      /* "na""me" */
char *facts_quote_text(const void *ctx, const char *text); /* 'te''xt' */
/* {"tables": {name: {"columns": {name: {"type","notNull","default","primaryKey"}}}}}, as core/compat.h wants it. Kept in ctx. */
must_check int facts_schema(const void *ctx, sqlite3 *database, json_t **ret, struct err *err);
/* PRAGMA user_version, or the newest version in a table schema_migrations. */
must_check int facts_migration(const void *ctx, sqlite3 *database, char **ret, struct err *err);
/* BLAKE2b over the definition and all rows of a table, or, without one, of everything. Rows are taken in the order of their content, so that the order in which they were written does not count. */
must_check int facts_content(const void *ctx, sqlite3 *database, const char *table, char ret[HASH_HEX_SIZE], struct err *err);
/* Columns that a table has both in "main" and in the attached "backup", quoted, with commas; "" when it is missing in one. */
must_check int facts_common_columns(const void *ctx, sqlite3 *database, const char *table, char **ret, struct err *err);

#endif
