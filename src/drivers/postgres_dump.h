/* Copies of PostgreSQL databases by PostgreSQL's own programs: pg_dump writes them, pg_restore says what is in them and turns them into SQL again. For the postgres driver.
 * The programs get their address and password by environment. */
#ifndef DRIVERS_POSTGRES_DUMP_H
#define DRIVERS_POSTGRES_DUMP_H

#include "base/proc.h"
#include "core/driver.h"
#include "net/postgres.h"

/* A line of a dump's table of contents: "217; 1259 16390 TABLE public users ana". */
struct postgres_entry {
	const char *line;
	const char *type; /* "TABLE", "TABLE DATA", "FK CONSTRAINT", ... */
	const char *rest; /* "public users ana": schema (or "-"), name, owner */
};
struct postgres_toc {
	struct postgres_entry *list;
	size_t count;
	int server_version; /* of the database that was dumped: 150000, its major version */
};

/* The dump of what `snapshot` (pg_export_snapshot) sees; at `path` when it is whole. `schemas` NULL or empty: everything. */
must_check int postgres_dump(struct driver_call *call, const struct pg_place *place, const char *snapshot, const char *const *schemas,
	const char *path, struct err *err);
/* ERR_CORRUPT when it is no dump, or damaged in its table of contents. */
must_check int postgres_read_toc(struct driver_call *call, const char *path, struct postgres_toc *ret, struct err *err);
/* "schema name " begins the rest of an entry. */
bool postgres_entry_is(const struct postgres_entry *entry, const char *type, const char *schema, const char *name);

/* SQL of the entries in `lines` (as in the table of contents) that belong to a section ("pre-data", "post-data", or "data" for what is neither rows nor structure). Without settings that outlive it and without psql's own commands. */
must_check int postgres_script(struct driver_call *call, const char *path, const char *section, const char *lines, char **ret,
	struct err *err);
/* The rows of the TABLE DATA entries in `lines`, fed into a COPY per table. `to` NULL: into the tables that the dump names; else into that table, whose columns are text. *ret_columns (may be NULL): quoted columns of the last table, with
 * commas. */
must_check int postgres_feed(struct driver_call *call, struct pg *pg, const char *path, const char *lines, const char *to,
	char **ret_columns, struct err *err);
/* pg_restore into another database, whole, in one transaction. */
must_check int postgres_restore_into(struct driver_call *call, const struct pg_place *place, const char *path, const char *lines,
	struct err *err);
/* Major version of a program ("pg_dump", "pg_restore"): 15. */
must_check int postgres_program_version(struct driver_call *call, const char *program, int *ret, struct err *err);

#endif
