/* A connection to a PostgreSQL server, through libpq, which is opened when it is first needed (base/library.h). One thread per connection, one statement at a time.
 *
 * Where it goes is an address (URL or keywords, as libpq reads it) and parts, which win over it. Secrets reach libpq through its API and programs through their environment (pg_environment); no error shows them. Every session speaks
 * UTF-8 and UTC, has fixed forms of values and an empty search path, so that what is read does not depend on settings of the server, and ends its statement soon after the client is gone (from PostgreSQL 14 on). */
#ifndef NET_POSTGRES_H
#define NET_POSTGRES_H

#include "base/err.h"
#include "base/mem.h"

struct pg_place {
	const char *dsn; /* "postgres://..." or "host=... dbname=..."; NULL: only the parts */
	const char *host, *database, *user, *password;
	int64_t port;         /* 0: as in dsn */
	int64_t deadline_ms;  /* monotonic: connecting and every statement end by then */
	int64_t statement_ms; /* at most so long per statement; 0: only the deadline */
	int64_t lock_ms;      /* at most so long for a lock; 0: only the deadline */
};

struct pg;

/* ERR_UNREACHABLE, ERR_FORBIDDEN (user or password refused), ERR_NOT_FOUND (no such database), ERR_CONFLICT (the database is closed). */
must_check int pg_open(const void *ctx, const struct pg_place *place, struct pg **ret, struct err *err);
void pg_close(struct pg **pg);              /* for _cleanup_ */
int pg_server_version(const struct pg *pg); /* 150018 */
/* {"PGHOST=...", ...} of a place, for programs: pg_put(user, NAME, VALUE) per variable. */
typedef void (*pg_variable_handler)(void *user, const char *name, const char *value);
must_check int pg_environment(const struct pg_place *place, pg_variable_handler put, void *user, struct err *err);
/* The database that a place names, by libpq's own rules. */
must_check int pg_database_name(const void *ctx, const struct pg_place *place, char **ret, struct err *err);

/* Errors name `what` was tried, never the statement, and carry the server's message: ERR_TIMEOUT for a lock or time that ran out, ERR_REFUSED for a constraint, ERR_FORBIDDEN for a right that is missing, ERR_UNREACHABLE when the
 * server went away, ERR_NO_SPACE, ERR_NOT_FOUND for a table or database that is not there, else ERR_DRIVER. */
must_check int pg_run(struct pg *pg, const char *statements, const char *what, struct err *err);

/* All rows of a small answer. Cells are text, NULL where the server says NULL. */
struct pg_rows {
	char ***list; /* [row][column] */
	size_t count, columns;
};
/* `parameters` of $1, $2...: texts, NULL for NULL; ends at `parameter_count`. */
must_check int pg_select(struct pg *pg, const void *ctx, const char *query, const char *const *parameters, size_t parameter_count,
	const char *what, struct pg_rows *ret, struct err *err);
/* First cell of the first row: "" when it is NULL or there is no row. */
must_check int pg_text(struct pg *pg, const void *ctx, const char *query, const char *what, char **ret, struct err *err);
must_check int pg_integer(struct pg *pg, const char *query, const char *what, int64_t *ret, struct err *err);

/* Rows of COPY ... TO STDOUT as they come: cells are unescaped, NULL where the server says NULL. An error of the handler ends it. */
typedef int (*pg_row_handler)(void *user, char **cells, size_t count, struct err *err);
must_check int pg_copy_out(struct pg *pg, const char *statement, const char *what, pg_row_handler handler, void *user, struct err *err);
/* COPY ... FROM STDIN in three parts. Bytes as the statement's format says. After an error of pg_copy_bytes the copy is over. */
must_check int pg_copy_begin(struct pg *pg, const char *statement, const char *what, struct err *err);
must_check int pg_copy_bytes(struct pg *pg, const char *bytes, size_t size, const char *what, struct err *err);
must_check int pg_copy_end(struct pg *pg, const char *what, struct err *err);

char *pg_quote(const void *ctx, const char *name);      /* "na""me" */
char *pg_quote_text(const void *ctx, const char *text); /* 'te''xt', or E'...' when it holds a backslash */

#endif
