/* Exchanging the tables of a database for others, all at once, and never losing the way back.
 *
 * Two databases stand beside database D while a restore is at work: D_unship_new, in which the tables to come are made, and D_unship_old, into which those that go are put. What is to be done is noted in a table of the first,
 * `unship_restore` (the note). One RENAME TABLE moves the old tables out, the new ones in, and the note last from "new" to "old". So:
 *
 *     note in "new", stage "loading"    nothing of D was touched: thrown away
 *     note in "new", stage "ready"      triggers of D may be gone: they are made again, and what a torn RENAME moved is moved back
 *     note in "old", stage "switched"   D is new; what is left (triggers, views, foreign keys of others, the ledger) is done, or all is taken back
 *     note in "old", stage "done"       only rubbish is left
 *
 * A database of such a name that holds tables and no note is somebody else's: it is left alone, and nothing is restored. */
#ifndef DRIVERS_MYSQL_SWITCH_H
#define DRIVERS_MYSQL_SWITCH_H

#include "drivers/mysql_rows.h"

#define MYSQL_NOTE "unship_restore"

enum mysql_stage { MYSQL_STAGE_NONE, MYSQL_STAGE_LOADING, MYSQL_STAGE_READY, MYSQL_STAGE_SWITCHED, MYSQL_STAGE_DONE };

/* The plan, as it stands in the note:
 *     {"goal": hash, "run": id, "whole": true, "absent": false (the database goes), "made": false (there was none before), "charset", "collation",
 *      "new": [tables], "old": [tables], "before": [programs], "after": [programs], "keys": [{"schema", "table", "name", "line"}]} */
struct mysql_switch {
	struct mysqldb *db;
	const char *fresh, *old; /* names of the two databases */
	json_t *plan;
};
void mysql_switch_init(struct mysqldb *db, struct mysql_switch *ret);
/* What an earlier restore left; the plan is read. */
must_check int mysql_switch_find(struct mysql_switch *change, enum mysql_stage *ret, struct err *err);
/* Makes an empty D_unship_new with a note; selects it. */
must_check int mysql_switch_begin(struct mysql_switch *change, struct err *err);
/* Notes the plan, and exchanges. */
must_check int mysql_switch_go(struct mysql_switch *change, struct err *err);
/* After the exchange: what RENAME TABLE does not do. Safe to repeat. */
must_check int mysql_switch_settle(struct mysql_switch *change, struct err *err);
/* The old tables go, for good. */
must_check int mysql_switch_end(struct mysql_switch *change, struct err *err);
/* Back to what stood there before, from any stage but done. */
must_check int mysql_switch_take_back(struct mysql_switch *change, struct err *err);
/* Removes what is left of a restore that touched nothing or is done. */
must_check int mysql_switch_clear(struct mysql_switch *change, struct err *err);

/* A foreign key's line in SHOW CREATE TABLE names its parent without a database when both stand in the same. `create` with every parent that is not in `here` (object of names; NULL: none) named with `schema`. */
char *mysql_qualify_keys(const void *ctx, const char *create, const char *schema, json_t *here);
/* `create` without its foreign keys. */
char *mysql_strip_keys(const void *ctx, const char *create);
/* The line of one foreign key, from CONSTRAINT on; NULL when it is not there. */
char *mysql_key_line(const void *ctx, const char *create, const char *name);

#endif
