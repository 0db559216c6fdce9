/* Restoring a MariaDB or MySQL database from copies: the whole, or named tables.
 *
 * The copy is loaded into a database of its own and proven there: definitions, number of rows and checksum of every table, foreign keys. Only then are tables exchanged, all at once (mysql_switch.h). The old ones stay until what is
 * lost with them is in the ledger: since they are compared after the exchange, when nobody can write to them any more, the ledger misses nothing, and nobody has to wait for it. */
#ifndef DRIVERS_MYSQL_RESTORE_H
#define DRIVERS_MYSQL_RESTORE_H

#include "drivers/mysql_copy.h"

/* What is to be reached, with the indexes of the copies that it comes from. */
struct mysql_wanted_table {
	const char *name, *dir;
	json_t *index, *entry; /* of the copy; of the table in it */
};
struct mysql_wanted {
	bool whole, absent;
	const char *dir;
	json_t *index; /* of a whole that is not absent */
	struct mysql_wanted_table *tables;
	size_t count;
	const char *since;        /* when the (oldest) copy was made */
	char goal[HASH_HEX_SIZE]; /* the same for the same content */
};
must_check int mysql_wanted_read(struct driver_call *call, const struct database_goal *goal, struct mysql_wanted *ret, struct err *err);
/* 1: the database is as wanted, 0: not, or something is left of a restore that was interrupted. */
must_check int mysql_is_as_wanted(struct mysqldb *db, const struct mysql_wanted *wanted, int *ret, struct err *err);
/* Goes there; goes on with, or takes back, what an interrupted one left. *ret_lost: the ledger's total; untouched when nothing was to be done. */
must_check int mysql_restore(struct mysqldb *db, const struct mysql_wanted *wanted, json_t **ret_lost, struct err *err);

/* The ledger, from the tables in the database `old` (their catalogue `there`). */
must_check int mysql_write_ledger(struct mysqldb *db, const struct mysql_wanted *wanted, const char *old, json_t *there, json_t **ret_total,
	struct err *err);

#endif
