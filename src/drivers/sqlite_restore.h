/* Copying SQLite databases: capture of a live one, whole restore, restore of single tables. For the sqlite driver. */
#ifndef DRIVERS_SQLITE_RESTORE_H
#define DRIVERS_SQLITE_RESTORE_H

#include <sqlite3.h>

#include "core/driver.h"
#include "drivers/database.h"
#include "drivers/migration.h"

/* Where something stands and how long another process's lock is waited for. */
struct sqlite_place {
	const char *path;
	int64_t busy_ms;
};

void sqlite_close(sqlite3 **connection); /* for _cleanup_ */
/* Opens a database that exists, for reading and writing: an interrupted transaction is rolled back by SQLite then. `create` makes it. */
must_check int sqlite_open_live(struct driver_call *call, const struct sqlite_place *place, bool create, sqlite3 **ret, struct err *err);
/* Opens a kept copy read only; nothing is written beside it. */
must_check int sqlite_open_copy(struct driver_call *call, const char *path, sqlite3 **ret, struct err *err);
/* ERR_CORRUPT with the first fault. `thorough`: indexes too. */
must_check int sqlite_check_integrity(struct driver_call *call, sqlite3 *connection, bool thorough, const char *what, struct err *err);

/* Copies the live database into a new file at `path`: one moment's content, checked, durable; the file has its name only when it is
 * whole. */
must_check int sqlite_copy_out(struct driver_call *call, const struct sqlite_place *live, const char *path, struct err *err);
/* Replaces the live database's whole content by that of a copy (a file in a capture's folder), in one transaction: readers see the old or the new. What is lost goes to the ledger first. */
must_check int sqlite_restore_whole(struct driver_call *call, const struct sqlite_place *live, const char *copy, json_t **ret_lost,
	struct err *err);
/* Removes the database and what belongs to it. */
must_check int sqlite_restore_absence(struct driver_call *call, const struct sqlite_place *live, struct err *err);

struct sqlite_table {
	const char *name;
	const char *copy; /* path of the copy that it comes from */
};
/* Replaces the rows of tables by those of copies, all in one transaction. Columns are matched by name; a table that is missing is made.
 * Triggers do not fire; foreign keys and row counts are
 * checked before the commit. */
must_check int sqlite_restore_tables(struct driver_call *call, const struct sqlite_place *live, const struct sqlite_table *tables,
	size_t count, json_t **ret_lost, struct err *err);
/* Do the tables have the rows of their copies (in the columns that both have)? */
must_check int sqlite_tables_equal(struct driver_call *call, const struct sqlite_place *live, const struct sqlite_table *tables,
	size_t count, int *ret, struct err *err);

/* Facts of the tables of a copy into the capture's folder. sqlite_ledger.c, like the next two. */
must_check int sqlite_write_facts(struct driver_call *call, const char *copy, const char *dir, struct err *err);
/* What the live database has that the copy in `dir` (open as `from`) has not. The caller closes the ledger when nobody can write any more. */
must_check int sqlite_note_losses(struct driver_call *call, sqlite3 *from, sqlite3 *live, const char *dir, struct ledger **ret,
	struct err *err);
/* Named tables, each against the database that it comes from, which is attached by the name beside it; within the restoring transaction. */
must_check int sqlite_note_tables(struct driver_call *call, sqlite3 *live, const struct sqlite_table *tables, const char *const *attached,
	size_t count, json_t **ret_lost, struct err *err);

/* For migration.h: reads what is applied, runs scripts (sqlite_migration.c). */
struct migration_database sqlite_migration_database(struct driver_call *call, const struct sqlite_place *place);

#endif
