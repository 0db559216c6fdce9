/* What the files of the migrations share; drivers use migration.h.
 *
 * To add a tool: a reader of its folder (migration_scripts.c), its query and its command (migration_tools.c), a row in migration_tools[], its name in migration_fields, docs/migrations.md. */
#ifndef DRIVERS_MIGRATION_TOOLS_H
#define DRIVERS_MIGRATION_TOOLS_H

#include "data/hash.h"
#include "drivers/env.h"
#include "drivers/migration.h"

#define MIGRATION_SCRIPT_MAX (4u << 20)
#define MIGRATION_KEPT       "migrations" /* in the folder of a capture */

struct migration_script {
	const char *key;          /* how an applied one finds it */
	const char *down;         /* what leads back; NULL: there is none, or only the tool can tell */
	const char *irreversible; /* why nothing leads back; NULL: something does */
	bool atomic;              /* the script and the note that it ran are one transaction */
	char hash[HASH_HEX_SIZE]; /* of what leads back; "" without */
};
struct migration_scripts {
	const char *dir;
	struct migration_script *list; /* in the order in which they are applied */
	size_t count;
};
struct migration_applied {
	const char *version; /* for people, plans and records */
	const char *key;     /* the tool's own reference */
	const char *script;  /* key of its script */
	const char *file;    /* that holds it, relative to the folder; NULL: the script says all */
};

struct migration_tool;
/* What everything about one database works on. */
struct migration_site {
	struct driver_call *call;
	const struct migration_params *params;
	const struct migration_database *database;
	const struct migration_tool *tool;
	const struct migration_engine *engine;
};

/* What engines say differently. */
struct migration_engine {
	const char *name;
	char quote;         /* around names as they are written */
	const char *schema; /* of tables without one; NULL: the database's own */
	bool transactional; /* definitions belong to transactions */
	/* A query with a row when the table is there. The names hold nothing but letters, digits and _; `stated`: as it stands in statements; `schema` "" for the usual one. */
	char *(*exists)(const void *ctx, const char *schema, const char *table, const char *stated);
	/* An expression: a, the text, b. */
	char *(*joined)(const void *ctx, const char *a, const char *text, const char *b);
};

struct migration_tool {
	const char *name, *program; /* program NULL: the driver's own connection does it */
	const char *table, *dir;    /* unless they are configured */
	const char *engines;        /* the one whose capture holds what it notes; NULL: any */
	bool needs_changelog;
	bool whole;      /* the program is started once for all, not once for each */
	bool tells_half; /* the tool notes by itself what is half done */
	/* The scripts of a folder. A folder that is not there holds none. */
	int (*read)(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err);
	/* What is applied, in order; the table is there. */
	int (*applied)(const struct migration_site *site, const struct migration_scripts *scripts, const char *table,
		struct migration_applied **ret, size_t *ret_count, struct err *err);
	/* argv after the program, and environment, that take back the newest `count`; `previous`: the one that is newest then, NULL for none. */
	int (*back)(const struct migration_site *site, const char *dir, const struct migration_applied *previous, size_t count,
		const char **argv, struct env *env, struct err *err);
	/* A sentence why the tool cannot go on by itself; *ret NULL: it can. NULL: nothing to ask. */
	int (*half)(const struct migration_site *site, const char *table, const char **ret, struct err *err);
	/* In place of the first word of back's: says what it would do, or why it cannot. NULL: the folder says all. */
	const char *dry_run;
};
#define MIGRATION_ARGV_MAX 16

const struct migration_tool *migration_tool(const char *name);
/* Site of a call; ERR_INVALID when tool and engine do not go together, or the configuration lacks something. */
must_check int migration_site(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	struct migration_site *ret, struct err *err);
/* The folder of the scripts as it is now. */
const char *migration_live_dir(const struct migration_site *site);
/* The name of the table as it stands in statements. */
must_check int migration_table(const struct migration_site *site, const char *name, const char **ret, bool *ret_there, struct err *err);
/* *ret NULL: not there. */
struct migration_script *migration_script(const struct migration_scripts *scripts, const char *key);

/* Readers of folders (migration_scripts.c). */
int migration_read_dbmate(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err);
int migration_read_numbered(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err);
int migration_read_sqitch(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err);
int migration_read_liquibase(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err);
/* Without the zeros in front: "007" and 7 are one version for tools that count. */
const char *migration_number(const char *version);
/* "1" before "2" before "10", then by bytes. */
int migration_compare_numbers(const char *a, const char *b);
/* The project that a sqitch folder is about; "" when its plan does not say. */
must_check int migration_sqitch_project(const void *ctx, const char *dir, const char **ret, struct err *err);

#endif
