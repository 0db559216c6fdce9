/* What can be said of a PostgreSQL database: its schema as facts for compatibility, its migration version, the rows of its tables. For the postgres driver. Read only; whoever calls begins the transaction that
 * makes several answers speak of one moment. */
#ifndef DRIVERS_POSTGRES_FACTS_H
#define DRIVERS_POSTGRES_FACTS_H

#include "core/driver.h"
#include "data/hash.h"
#include "net/postgres.h"

#define POSTGRES_OLDEST 130000

/* Condition on an alias "n" of pg_namespace: the schemas that are rolled back. `schemas` NULL or empty: all but those of the system. */
char *postgres_scope(const void *ctx, const char *const *schemas);

/* {"tables": {...}} as core/compat.h wants it. Tables of schema public have their bare name, others "schema.name". Kept in ctx. */
must_check int postgres_schema(const void *ctx, struct pg *pg, const char *scope, json_t **ret, struct err *err);
/* BLAKE2b over the schema, functions, triggers, types, sequences and policies; expressions that the server may write in another way after a restore are left out. */
must_check int postgres_fingerprint(const void *ctx, struct pg *pg, const char *scope, json_t *schema, char ret[HASH_HEX_SIZE],
	struct err *err);
/* The newest migration that a known tool has noted; "0": none. */
must_check int postgres_migration(const void *ctx, struct pg *pg, const char *scope, char **ret, struct err *err);
/* {"users": 12}: counted until `until_ms` (monotonic), large tables as the server estimates them. */
must_check int postgres_row_counts(const void *ctx, struct pg *pg, const char *scope, int64_t until_ms, json_t **ret, struct err *err);

struct postgres_table {
	const char *name; /* as in the facts */
	const char *schema, *bare;
	const char *sql;   /* "schema"."table" */
	const char *key;   /* expression of its row's key (alias unship_row); NULL: no primary key */
	const char *match; /* condition that finds a row by its key (alias e.v); NULL likewise */
	const char *row;   /* expression of the row as jsonb, exact */
};
struct postgres_tables {
	struct postgres_table *list;
	size_t count;
};
/* Ordinary tables and partitions, in the order of their names. */
must_check int postgres_tables(const void *ctx, struct pg *pg, const char *scope, struct postgres_tables *ret, struct err *err);
const struct postgres_table *postgres_find_table(const struct postgres_tables *tables, const char *name);
/* The row list of a table into `dir` (NULL: only rows and checksum). */
must_check int postgres_list_rows(const void *ctx, struct pg *pg, const struct postgres_table *table, const char *dir, int64_t *ret_rows,
	char ret_checksum[HASH_HEX_SIZE], struct err *err);
/* Facts of all tables, with row lists in `dir` (NULL: without). Kept in ctx. */
must_check int postgres_list_all(struct driver_call *call, struct pg *pg, const struct postgres_tables *tables, const char *dir,
	json_t **ret, struct err *err);
/* Rows by their keys, as they are now: for each that is there, handler(user, key, row). */
typedef int (*postgres_row_handler)(void *user, const char *key, json_t *row, struct err *err);
must_check int postgres_find_rows(const void *ctx, struct pg *pg, const struct postgres_table *table, const char *const *keys, size_t count,
	postgres_row_handler handler, void *user, struct err *err);

#endif
