/* Schema migrations with the tool that the user has: which version is applied, which scripts lead back, going there. For the database drivers, which hold `migrations:` as a group of their fields:
 *
 *     db: {driver: postgres, dsn: {env: DATABASE_URL}, migrations: {tool: dbmate, dir: db/migrations}}
 *
 * Tools are rows of a table (migration_tools.c): how the program is asked for its state, how it is told to go to a version, how its folder is read. The folder that is used to go back is the one that was kept with the
 * deployment that runs now (capture copies it into "migrations/" of its folder): the code that is taken back no longer has the scripts that lead back. */
#ifndef DRIVERS_MIGRATION_H
#define DRIVERS_MIGRATION_H

#include "core/driver.h"

struct migration_params {
	const char *tool; /* dbmate, sqitch, liquibase, golang-migrate, sql; NULL: none */
	const char *dir;
	const char **program; /* argv that the tool is started with; NULL: its usual name */
	const char *table;    /* where it notes what is applied; NULL: the tool's own */
	const char *back;     /* needed (default): when the schema does not serve the older code; always; never */
	int64_t timeout_ms;
};
extern const struct field migration_fields[];

/* How the tool reaches the database; filled by the driver. Secrets go to the tool by environment or file, never by argv. */
struct migration_database {
	const char *engine; /* "postgres", "mysql", "sqlite" */
	const char *url;    /* as libpq or the tool's own form wants it; may hold a password */
	/* What is applied, read from the tool's own table by the driver's connection: one text per row, in the order of application. */
	int (*query)(void *user, const void *ctx, const char *sql, char ***ret_rows, struct err *err);
	/* Runs a script in one transaction where the engine can (tool `sql`). */
	int (*execute)(void *user, const char *script, struct err *err);
	void *user;
};

/* Facts for `details`: "migration" (newest applied), "migrations" (applied, in order), "irreversible" (applied ones that no script takes back), "downMigrations" {version: BLAKE2b of its down script}. Without a tool nothing. */
must_check int migration_observe(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	json_t *details, struct err *err);
/* Copies what is needed to go back into DIR/migrations. */
must_check int migration_capture(struct driver_call *call, const struct migration_params *params, struct err *err);
/* Findings: program there, scripts as they were when they were applied (hashes), every one between here and `version` reversible. */
must_check int migration_check(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	const char *version, struct findings *findings, struct err *err);
/* Goes to the version, back or forth, with the scripts in `scripts_dir`; repeated after a kill it goes on from where the tool is. */
must_check int migration_go(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	const char *scripts_dir, const char *version, struct err *err);

#endif
