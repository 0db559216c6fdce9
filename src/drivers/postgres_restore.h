/* Capture and restore of PostgreSQL databases, for the postgres driver. */
#ifndef DRIVERS_POSTGRES_RESTORE_H
#define DRIVERS_POSTGRES_RESTORE_H

#include "core/driver.h"
#include "drivers/database.h"
#include "drivers/migration.h"
#include "drivers/postgres_dump.h"
#include "drivers/postgres_facts.h"

#define POSTGRES_COPY "database.dump"

/* What all of the driver's work is about. */
struct postgres {
	struct driver_call *call;
	struct pg_place place;
	const char *database;
	const char *const *schemas; /* NULL: all */
	char *scope;                /* condition for them: postgres_scope */
};

/* ERR_NOT_FOUND: there is no such database. One that an interrupted switch left closed is opened again. */
must_check int postgres_connect(struct postgres *p, struct pg **ret, struct err *err);
/* To the database "postgres", or "template1", from which others are made and removed. */
must_check int postgres_connect_beside(struct postgres *p, struct pg **ret, struct err *err);
/* Begins a read-only transaction of one moment. */
must_check int postgres_begin_reading(struct pg *pg, struct err *err);

/* Dump, row lists and facts of one moment into call->snapshot_dir. */
must_check int postgres_capture(struct postgres *p, struct err *err);
/* What a capture noted besides the tables: {"fingerprint","serverVersion","roles","notValid","largeObjects"}. */
must_check int postgres_read_note(struct postgres *p, const char *dir, json_t **ret, struct err *err);

/* Is the database as it was captured there? 1, 0. */
must_check int postgres_is_as_captured(struct postgres *p, struct pg *pg, const char *dir, int *ret, struct err *err);
/* Named tables, each against its own capture. `may_write`: `pg` is in a transaction that may make temporary tables, which are needed where columns have changed; else a connection of its own is taken for them. */
must_check int postgres_tables_are_as_captured(struct postgres *p, struct pg *pg, bool may_write, const struct database_goal *goal,
	int *ret, struct err *err);
/* Has the table the rows of its backup, in the columns that both have? `pg` may make temporary tables. */
must_check int postgres_rows_are(struct postgres *p, struct pg *pg, const struct postgres_table *table, const char *dir, int *ret,
	struct err *err);

/* Replaces everything in the database by what was captured, in one transaction that ends by comparing with the captured facts; nothing when it is the same already. A database that is missing is made. */
must_check int postgres_restore_whole(struct postgres *p, const char *dir, json_t **ret_lost, struct err *err);
/* The same by way of a second database that takes the name of the first: postgres_switch.c. */
must_check int postgres_restore_switch(struct postgres *p, const char *dir, json_t **ret_lost, struct err *err);
/* Replaces the rows of tables, each from its backup, in one transaction. */
must_check int postgres_restore_tables(struct postgres *p, const struct database_goal *goal, json_t **ret_lost, struct err *err);
/* There was no database: it goes, with the connections to it. */
must_check int postgres_restore_absence(struct postgres *p, struct err *err);
/* Takes away what an interrupted switch left: the half-made database, or the old one. ERR_CONFLICT: a switch is going on. */
must_check int postgres_clean_up(struct postgres *p, struct err *err);

/* Shared by the ways to restore. Locks all tables; `mode` "ACCESS EXCLUSIVE" holds everybody off, "EXCLUSIVE" only those who write. */
must_check int postgres_lock_tables(struct postgres *p, struct pg *pg, const char *mode, struct err *err);
/* `wanted` NULL: all tables against the capture in `dir`; else the named ones, each against its own (`dir`: the first). */
must_check int postgres_write_ledger(struct postgres *p, struct pg *pg, const char *dir, const struct database_goal *wanted,
	const struct postgres_tables *tables, json_t **ret_lost, struct err *err);
must_check int postgres_verify(struct postgres *p, struct pg *pg, const char *dir, struct err *err);
/* Lines of the dump's table of contents that can be restored beside what is there. */
must_check int postgres_choose_lines(struct postgres *p, struct pg *pg, const struct postgres_toc *toc, char **ret, struct err *err);
/* Makes an empty database, when it is still not there once others have done with it. */
must_check int postgres_make_missing(struct postgres *p, struct err *err);
/* For migration.h; `p` must outlive it. */
must_check int postgres_migration_database(struct postgres *p, struct migration_database *ret, struct err *err);

#endif
