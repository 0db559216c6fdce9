/* One small interface over SQL databases, so that everything above is written once: $1 placeholders, standard SQL, no dialect above the drivers (sqlite.c; postgres.c beside it later).
 *
 * A connection belongs to one thread. Types in schema text: BIGINT, TEXT, DOUBLE PRECISION, BOOLEAN as BIGINT 0/1. JSON is TEXT.
 * A driver may give "BIGINT PRIMARY KEY" in CREATE TABLE its own best integer key. */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "base/err.h"
#include "base/mem.h"

struct sql;

enum sql_value_type { SQL_NULL, SQL_INT, SQL_REAL, SQL_TEXT };
struct sql_value {
	enum sql_value_type type;
	int64_t integer;
	double real;
	const char *text; /* borrowed for parameters; in the rows' context for results */
};
#define SQL_I(value) ((struct sql_value){ .type = SQL_INT, .integer = (value) })
#define SQL_R(value) ((struct sql_value){ .type = SQL_REAL, .real = (value) })
#define SQL_T(value) sql_text(value) /* NULL gives SQL_NULL */
#define SQL_N        ((struct sql_value){ .type = SQL_NULL })
struct sql_value sql_text(const char *text);

/* Called per row; non-zero stops and is returned. Values are valid during the call only. */
typedef int (*sql_row)(void *user, const struct sql_value *columns, size_t count, struct err *err);

struct sql_ops {
	const char *name;
	/* Starts a transaction that may write (BEGIN IMMEDIATE); waits for the writer before it, at most 10 s: then ERR_STORE "busy". */
	int (*begin)(struct sql *sql, struct err *err);
	int (*commit)(struct sql *sql, struct err *err);
	void (*rollback)(struct sql *sql);
	/* One statement. `row` may be NULL. ERR_CONFLICT for a violated unique constraint, ERR_NO_SPACE for a full disk, ERR_CORRUPT for a damaged file, else ERR_STORE. */
	int (*run)(struct sql *sql, const char *statement, const struct sql_value *parameters, size_t count, sql_row row, void *user,
		struct err *err);
	/* Rows changed by the last statement. */
	int64_t (*changes)(struct sql *sql);
	/* While on, a transaction that is begun may be lost with the power (never with the process), until a later one that is begun with it off
	 * is committed, or settle has returned. NULL, both: each is durable by itself. */
	void (*defer)(struct sql *sql, bool on);
	int (*settle)(struct sql *sql, struct err *err);
	void (*close)(struct sql *sql);
};
struct sql {
	const struct sql_ops *ops;
};

/* SQLite: WAL, synchronous FULL, foreign keys, statements cached; `path` ":memory:" for tests. Files get mode 0600. Read-only directories, a damaged file, a newer schema: clear errors. */
must_check int sqlite_open(const void *ctx, const char *path, struct sql **ret, struct err *err);
/* A wrapper that fails the `nth` call (begin, run, commit counted together, from 1) with `code`, once. At a commit, `after` says whether the commit happened before the error came back. Owns `inner`. */
struct sql *faulty_wrap(const void *ctx, struct sql *inner, unsigned nth, enum err_code code, bool after);
unsigned faulty_calls(const struct sql *faulty); /* how many calls there were */

#endif
