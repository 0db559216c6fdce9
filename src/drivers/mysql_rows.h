/* Rows of tables: read from the server or from a copy's file, summed up, written down, loaded.
 *
 * A table's file is SQL that any client plays: its definition, then INSERT statements, one per line. Text is escaped so that a line is a line; what is no text is written in hex; generated columns are left out. The same rows give the same
 * bytes (in the order of the primary key), so an unchanged table is stored once. */
#ifndef DRIVERS_MYSQL_ROWS_H
#define DRIVERS_MYSQL_ROWS_H

#include "drivers/database.h"
#include "drivers/mysql_facts.h"

/* Which rows are read: `columns` (names, of the result) out of a table that is as `table` (of a catalogue) says; columns that it does not have come as NULL. */
struct mysql_source {
	const char *schema, *name;
	json_t *table;
	json_t *columns;
};
must_check int mysql_rows_read(struct mysqldb *db, const struct mysql_source *source, mysqldb_row_handler handler, void *user,
	struct err *err);
/* The same from a file; `columns` are those that stand in it. Opens nothing else. */
must_check int mysql_rows_read_file(const char *path, mysqldb_row_handler handler, void *user, struct err *err);

/* Key and hash of rows. `key`: names of the primary key; when one is missing in `columns`, or there is none, a row is its own key. `absent`: names (or NULL) of those columns that the table does not have, which is
 * something else than NULL. */
struct row_sum;
must_check int row_sum_new(const void *ctx, json_t *columns, json_t *key, json_t *absent, struct row_sum **ret, struct err *err);
/* *ret_key is valid until the next call; *ret_hash "" when the row is its own key. */
void row_sum_of(struct row_sum *sum, const struct mysqldb_value *values, const char **ret_key, const char **ret_hash);
/* Both ways of reading at once: makes the row list of the table in `dir`. */
must_check int mysql_rows_list(struct mysqldb *db, const struct mysql_source *source, json_t *key, const char *dir, int64_t *ret_rows,
	char ret_checksum[HASH_HEX_SIZE], struct err *err);

/* An integer as a number, everything else as the server writes it; what is no text as "0x..."; new reference. */
json_t *mysql_value_json(const struct mysqldb_value *value);

/* Names in `columns` that are not in `of`; new reference kept in ctx. */
json_t *mysql_columns_missing(const void *ctx, json_t *columns, json_t *of);
bool mysql_columns_have(json_t *columns, const char *name);
/* `a`, `b` */
char *mysql_columns_text(const void *ctx, json_t *columns);

/* Writes the table's file and its row list, in one reading. */
must_check int mysql_rows_save(struct mysqldb *db, const struct mysql_source *source, const char *path, const char *dir, int64_t *ret_rows,
	char ret_checksum[HASH_HEX_SIZE], struct err *err);
/* Plays the rows of a file into the table of the same name in the database that is selected. */
must_check int mysql_rows_load(struct mysqldb *db, const char *path, struct err *err);

#endif
