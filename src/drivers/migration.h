/* Schema migrations with the tool that the user has: which version is applied, which scripts lead back, going back. For the database drivers, which hold `migrations:` as a group of their fields:
 *
 *     db: {driver: postgres, dsn: {env: DATABASE_URL}, migrations: {tool: dbmate, dir: db/migrations}}
 *
 * Tools are rows of a table (migration_tools.h). It only ever goes backwards: what leads forward again is a restore of the capture that the driver made before (its undo), or the user.
 *
 * The scripts that are used to go back are kept ones: capture copies the folder into "migrations/" of its own, at record time and at the beginning of a run, before the code is switched; the code that is taken back
 * no longer has the scripts that lead back. Of the kept folders the first is used whose down scripts are, by their hashes, those that the plan was made with.
 *
 * What was begun and may have been interrupted is noted in .deployments/run/migration-*.json, where neither the database's transactions nor the tool say how far it got. It is told, and never repeated blindly.
 *
 * Threads: the driver's only one. */
#ifndef DRIVERS_MIGRATION_H
#define DRIVERS_MIGRATION_H

#include "core/driver.h"

struct migration_params {
	const char *tool;      /* dbmate, sqitch, liquibase, golang-migrate, sql; NULL: none, and every function here does nothing */
	const char *dir;       /* where the scripts are, relative to the project */
	const char *changelog; /* liquibase: the changelog as its FILENAME column has it, relative to dir */
	const char **program;  /* argv that the tool is started with; NULL: its usual name */
	const char *table;     /* where it notes what is applied; NULL: the tool's own */
	const char *back;      /* needed (default): when the schema does not serve the older code; always; never. Read by core/migrate.c */
	int64_t timeout_ms;    /* of each start of the program */
};
extern const struct field migration_fields[];

/* How the tool reaches the database; filled by the driver. Secrets go to the tool by its environment, never by argv. */
struct migration_database {
	const char *engine;      /* "postgres", "mysql", "sqlite" */
	const char *path;        /* sqlite: the file, absolute. The others: */
	const char *host;        /* name or address, or the absolute folder (postgres) or file (mysql) of a unix socket; NULL: localhost */
	int port;                /* 0: the engine's usual one */
	const char *user, *name; /* name: of the database */
	const char *password;    /* NULL: none */
	const char *ssl_mode;    /* postgres: sslmode as libpq has it; mysql: off, on, verified; NULL: the tool's default */
	const char *ssl_ca;      /* file of the certificates that the server's is checked with; NULL: the system's */
	/* The first column of every row, in order; NULL-terminated. */
	int (*query)(void *user, const void *ctx, const char *sql, char ***ret_rows, struct err *err);
	/* Runs a script, several statements that may end in a comment, and the one statement `note`, in one transaction where the engine can, with names found as in a session of the user's (postgres: search path
	 * "$user", public). For tool `sql`. */
	int (*execute)(void *user, const char *script, const char *note, struct err *err);
	void *data; /* handed to both */
};

/* Facts for `details`: "migration" (newest applied; "" for none), "migrations" (applied, in order), "irreversible" (applied ones that no script takes back), "downMigrations" {version: BLAKE2b of its down script},
 * "migrationState" (a sentence: why it cannot be told how far the last migration got; absent when all is well). */
must_check int migration_observe(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	json_t *details, struct err *err);
/* 1: it is at the version and nothing is half done; 0: not. */
must_check int migration_is_at(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	const char *version, struct err *err);
/* Copies what is needed to go back into snapshot_dir/migrations. Repeated, it is made anew. */
must_check int migration_capture(struct driver_call *call, const struct migration_params *params, struct err *err);
/* Findings: migration_tool (program there), migration_state (nothing half done, the version is applied), migration_reversible (every one between here and `version` has a script, as it was when the plan was made). */
must_check int migration_check(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	const char *version, struct findings *findings, struct err *err);
/* Goes back to the version ("": before the first) with kept scripts; repeated after a kill it goes on from where the tool is. Nothing is done when a script is missing, or is not the one of the plan
 * (target "downMigrations"), or when something is half done: ERR_REFUSED. Output of the step: "takenBack" [versions, in the order in which they were]. What the tool says goes to the log. */
must_check int migration_go(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	const char *version, json_t *ret_outputs, struct err *err);
/* To be called when the database as a whole was restored: what was half done is gone. */
must_check int migration_forget(struct driver_call *call, struct err *err);

#endif
