/* What all database drivers share: what a data step asks for, row lists, the loss ledger, and the comparison before and after.
 *
 * A capture of a database is a folder: the dump in the driver's own form (COPY_FILE of each driver), or a file "absent"; "tables.json" with the facts of every table at that moment
 * ({"capturedAt", "tables": {NAME: {"rows", "checksum"}}}); and one row list per table in "rows/". All of one moment: the same transaction that the dump was made in.
 *
 * A row list says which rows a table had, without their content: one line per row, KEY TAB HASH, sorted by the bytes of KEY. KEY is the row's primary key as a JSON array; a table without
 * primary key has the hash of the whole row as KEY, and HASH is how many such rows there are. Two lists of one table are compared by walking both once.
 *
 * The loss ledger (call->ledger_dir) says what a restore takes away that was written since the copy was made: "ledger.json" ({"since", "tables": {NAME: {"added", "changed", "removed"}}}) and per table
 * "NAME.jsonl", one line per row that is lost as it is now ({"change": "added"|"changed", "row": {...}} or {"change": "removed", "key": [...]}). It is written and flushed before the first row is changed, while the driver
 * holds off other writers. Lists longer than LEDGER_ROWS_MAX are cut, which ledger.json says ("cut": true of the table); the counts are always whole, and the run's snapshot holds the whole database.
 * A restore that is repeated after a kill cannot know whether the ledger of the first attempt came true: when it finds nothing more to lose, that ledger stands; else it goes to "attempt-1" and so on, which ledger.json lists
 * ("earlier"), and the new one takes its place.
 *
 * Names of tables become names of files by database_file_name. */
#ifndef DRIVERS_DATABASE_H
#define DRIVERS_DATABASE_H

#include "core/driver.h"
#include "data/hash.h"

#define DATABASE_ABSENT "absent"
#define LEDGER_ROWS_MAX 1000000

struct database_table {
	const char *name;
	const char *dir; /* of the capture that it comes from */
};
/* What is to be reached: one of whole, tables, migration. */
struct database_goal {
	const char *dir; /* the whole, captured there; NULL */
	struct database_table *tables;
	size_t table_count;
	const char *
		migration; /* go backwards (or, as undo, forwards) to this version with the user's tool: drivers/migration.h; NULL. "" is before the first */
};

/* From call->target, sources and source_dir. ERR_NOT_FOUND when a backup is not there. `copy_file`: what a capture folder must hold beside "absent". */
must_check int database_read_goal(struct driver_call *call, const char *copy_file, struct database_goal *ret, struct err *err);
bool database_was_absent(const void *ctx, const char *dir);
/* DIR/copy_file when it is there. ERR_NOT_FOUND when it is not. */
must_check int database_find_copy(const void *ctx, const char *dir, const char *copy_file, char **ret, struct err *err);
/* Does the target ask for anything to be restored (a whole rollback that preserves the data does not)? */
bool database_is_to_restore(const struct driver_call *call);
/* Marks a capture as "there was no database" and takes away what an earlier attempt left; the other way round the mark. */
must_check int database_capture_begin(struct driver_call *call, const char *copy_file, bool absent, struct err *err);
/* "users", "billing.users"; what cannot stand in a file name is written as %XX, and a name that gets too long as its hash. */
char *database_file_name(const void *ctx, const char *table);

/* Writing a row list. Rows may come in any order; lists larger than memory allows are sorted on disk in `dir`. `dir` NULL: only the checksum is wanted, and what does not fit is sorted in unnamed files in TMPDIR. */
struct row_list;
must_check int row_list_open(const void *ctx, const char *dir, const char *table, struct row_list **ret, struct err *err);
/* `key`: no control characters (JSON text has none). `hash` NULL: the table has no primary key, `key` is the hash of the row, and equal ones are counted. */
must_check int row_list_add(struct row_list *list, const char *key, const char *hash, struct err *err);
/* Sorts, writes rows/TABLE durably (unless only the checksum is wanted) and frees the list (also when it fails). *ret_rows and ret_checksum (BLAKE2b-256 over the sorted lines). */
must_check int row_list_close(struct row_list *list, int64_t *ret_rows, char ret_checksum[HASH_HEX_SIZE], struct err *err);
void row_list_abort(struct row_list **list); /* for _cleanup_ */

enum row_change { ROW_ADDED, ROW_CHANGED, ROW_REMOVED };
/* What happened between two lists of one table: called for each row in the order of keys, and for a table without primary key `times` > 1 where several equal rows came or went. `dir_then` without a list of that table: all rows
 * were added; `dir_now` without one: all were removed. */
typedef int (*row_change_handler)(void *user, enum row_change change, const char *key, int64_t times, struct err *err);
must_check int row_lists_compare(const char *dir_then, const char *dir_now, const char *table, row_change_handler handler, void *user,
	struct err *err);

/* The ledger. Open, then table by table: changes (counted always, kept up to the limit), then close, which flushes. Without call->ledger_dir only counts, which is logged. */
struct ledger;
must_check int ledger_open(struct driver_call *call, const char *since, struct ledger **ret, struct err *err);
/* Would a row of this table still be kept? Spares the driver from reading rows that are only counted. */
bool ledger_keeps(struct ledger *ledger, const char *table);
/* A folder for row lists of what is there now; it goes with the ledger. */
const char *ledger_scratch(const struct ledger *ledger);
void ledger_abort(struct ledger **ledger); /* for _cleanup_: nothing of it stays */
/* `row`: the row as it is now, as an object; NULL for REMOVED, and where only `key` is known. `times`: for equal rows without a primary key, else 1. */
must_check int ledger_add(struct ledger *ledger, const char *table, enum row_change change, const char *key, int64_t times, json_t *row,
	struct err *err);
/* *ret_total: {"added","changed","removed","tables"} for the step's outputs; kept in call->ctx. A line of the call's log says what is lost. */
must_check int ledger_close(struct ledger **ledger, json_t **ret_total, struct err *err);

/* Facts of tables before and after: {NAME: {"rows","checksum"}}. Adds a failed finding "data_integrity" with both values for every table that differs and is not in `explained` (an array of names; NULL). The number of differences. */
size_t database_compare_facts(json_t *then, json_t *now, json_t *explained, const char *component, struct findings *findings);
/* Adds a table to facts. */
void database_put_facts(json_t *tables, const char *name, int64_t rows, const char *checksum);
/* DIR/tables.json, durable together with the row lists. Written last: a capture with it is whole. */
must_check int database_write_facts(const char *dir, json_t *tables, struct err *err);
/* *ret: the tables; ret_captured_at (may be NULL): when, as clock_format writes it, "" when that is not known. ERR_NOT_FOUND when there are none. */
must_check int database_read_facts(const void *ctx, const char *dir, json_t **ret, const char **ret_captured_at, struct err *err);

#endif
