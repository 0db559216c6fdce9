/* The copy of a database in a capture's folder (drivers/database.h):
 *
 *     mysql.json      its catalogue (mysql_facts.h), and of every table "file", "rows", "checksum", "size", "sum"; server, version, name of the database
 *     tables/         a file of SQL per table (mysql_rows.h)
 *     programs.sql    views, routines, triggers and events, for people: `mysql DATABASE < programs.sql`
 *     tables.json, rows/   as for every database
 *
 * All of one moment: one connection reads everything in one snapshot. Where a table's engine knows no transactions (MyISAM, Aria, MEMORY), all tables are locked for reading instead, and writers wait until the copy is made. */
#ifndef DRIVERS_MYSQL_COPY_H
#define DRIVERS_MYSQL_COPY_H

#include "drivers/mysql_rows.h"

#define MYSQL_COPY_FILE "mysql.json"

/* Copies db->database into call->snapshot_dir, or notes its absence. Safe to repeat. */
must_check int mysql_copy_out(struct mysqldb *db, struct err *err);
/* The index of a copy. ERR_NOT_FOUND, ERR_CORRUPT, ERR_NEWER. */
must_check int mysql_copy_read(const void *ctx, const char *dir, json_t **ret, struct err *err);
/* Is this server one that the copy can be loaded into? ERR_REFUSED says why not. */
must_check int mysql_copy_fits(const struct mysqldb *db, json_t *index, struct err *err);
/* The table's file, its content proven to be what was written. ERR_NOT_FOUND, ERR_CORRUPT. */
must_check int mysql_copy_table(const void *ctx, const char *dir, json_t *index, const char *table, char **ret, struct err *err);
int64_t mysql_copy_size(json_t *index);

#endif
