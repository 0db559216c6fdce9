/* A connection to a MariaDB or MySQL server, through libmariadb, which is opened when it is first needed (base/library.h). Secrets go through its C API only: no program, no file, no argv.
 *
 * Every session speaks utf8mb4, UTC and one sql_mode, so that what is read does not depend on the server's settings; it waits for locks no longer than the call has time. One thread per connection; one statement at a time. */
#ifndef DRIVERS_MYSQL_CLIENT_H
#define DRIVERS_MYSQL_CLIENT_H

#include <mariadb/mysql.h>

#include "core/driver.h"

struct mysqldb_place {
	const char *host, *socket, *user, *password, *database;
	const char *tls; /* off, on, verified */
	const char *tls_ca;
	int64_t port, connect_ms;
};
struct mysqldb {
	MYSQL *handle;
	struct driver_call *call;
	const char *database; /* the one that is rolled back; need not exist */
	const char *version;  /* "10.11.6" */
	bool mariadb;
	unsigned number; /* 101106: the version as major * 10000 + minor * 100 + patch */
};

must_check int mysqldb_open(struct driver_call *call, const struct mysqldb_place *place, struct mysqldb **ret, struct err *err);
void mysqldb_close(struct mysqldb **db);              /* for _cleanup_ */
const char *mysqldb_flavor(const struct mysqldb *db); /* "MariaDB", "MySQL" */
unsigned mysqldb_version_number(const char *version);

/* From now on a lock of somebody else's is waited for until spare_ms before the call's end, at least a second; then it is ERR_TIMEOUT. */
must_check int mysqldb_limit_locks(struct mysqldb *db, int64_t spare_ms, struct err *err);

/* A statement without rows. `what` says in an error what was tried; statements themselves, which may hold content, are never shown. */
must_check int mysqldb_run(struct mysqldb *db, const char *statement, const char *what, struct err *err);
must_check int mysqldb_run_bytes(struct mysqldb *db, const char *statement, size_t size, const char *what, struct err *err);

/* Several statements, with ; between them; the first that fails ends it. For a connection that is closed afterwards. */
must_check int mysqldb_script(struct mysqldb *db, const char *script, const char *what, struct err *err);

/* All rows of a small answer: values as text, NULL where the server says NULL. */
struct mysqldb_rows {
	char ***list; /* [row][column] */
	size_t count, columns;
};
must_check int mysqldb_select(struct mysqldb *db, const void *ctx, const char *query, struct mysqldb_rows *ret, struct err *err);
/* The first value of the first row. ERR_NOT_FOUND without rows; "" for NULL. */
must_check int mysqldb_text(struct mysqldb *db, const void *ctx, const char *query, char **ret, struct err *err);
must_check int mysqldb_integer(struct mysqldb *db, const char *query, int64_t *ret, struct err *err);

/* A value of a row that streams by. */
struct mysqldb_value {
	const char *bytes; /* NULL: NULL */
	size_t size;
	enum { MYSQLDB_NUMBER, MYSQLDB_TEXT, MYSQLDB_BINARY } kind;
};
typedef int (*mysqldb_row_handler)(void *user, const struct mysqldb_value *values, size_t count, struct err *err);
/* Row by row, as they come from the server; the handler may not use the connection. An error of the handler ends it. */
must_check int mysqldb_stream(struct mysqldb *db, const char *query, const char *what, mysqldb_row_handler handler, void *user,
	struct err *err);

char *mysqldb_name(const void *ctx, const char *name);                         /* `name` */
char *mysqldb_table(const void *ctx, const char *database, const char *table); /* `database`.`table` */
char *mysqldb_quote(const void *ctx, const char *text);                        /* 'text' */
/* Appends a value as SQL to a buffer that grows (talloc); *size and *room are kept by the caller. */
char *mysqldb_append_value(char *buffer, size_t *size, size_t *room, const struct mysqldb_value *value);
char *mysqldb_append(char *buffer, size_t *size, size_t *room, const char *bytes, size_t count);

/* One restore at a time, also when the client of another has died and the server still works for it: waits up to wait_ms. ERR_CONFLICT. Ends with the connection. */
must_check int mysqldb_lock(struct mysqldb *db, int64_t wait_ms, struct err *err);
void mysqldb_unlock(struct mysqldb *db);

#endif
