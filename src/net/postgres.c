/* PostgreSQL connections (postgres.h). Blocking calls of libpq; what bounds them is the server's statement_timeout, set before each statement to the time that is left, and TCP's own limits for a server that is gone.
 * One thread per connection; the library is opened by the first one. */
#include "net/postgres.h"

#include <libpq-fe.h>

#include "base/clock.h"
#include "base/library.h"
#include "base/text.h"

#define KEYWORDS_MAX 64
#define COLUMNS_MAX  1700

static struct {
	__typeof__(PQconnectdbParams) *connect;
	__typeof__(PQconninfoParse) *parse;
	__typeof__(PQconndefaults) *defaults;
	__typeof__(PQconninfoFree) *free_options;
	__typeof__(PQfreemem) *free_memory;
	__typeof__(PQstatus) *status;
	__typeof__(PQerrorMessage) *message;
	__typeof__(PQserverVersion) *version;
	__typeof__(PQfinish) *finish;
	__typeof__(PQexec) *exec;
	__typeof__(PQexecParams) *exec_params;
	__typeof__(PQresultStatus) *result_status;
	__typeof__(PQresultErrorField) *field;
	__typeof__(PQclear) *clear;
	__typeof__(PQntuples) *rows;
	__typeof__(PQnfields) *columns;
	__typeof__(PQgetvalue) *value;
	__typeof__(PQgetisnull) *is_null;
	__typeof__(PQgetCopyData) *get_copy;
	__typeof__(PQputCopyData) *put_copy;
	__typeof__(PQputCopyEnd) *end_copy;
	__typeof__(PQgetResult) *get_result;
	__typeof__(PQsetNoticeProcessor) *notices;
} lib;

static const struct library_symbol symbols[] = {
	{ "PQconnectdbParams", &lib.connect },
	{ "PQconninfoParse", &lib.parse },
	{ "PQconndefaults", &lib.defaults },
	{ "PQconninfoFree", &lib.free_options },
	{ "PQfreemem", &lib.free_memory },
	{ "PQstatus", &lib.status },
	{ "PQerrorMessage", &lib.message },
	{ "PQserverVersion", &lib.version },
	{ "PQfinish", &lib.finish },
	{ "PQexec", &lib.exec },
	{ "PQexecParams", &lib.exec_params },
	{ "PQresultStatus", &lib.result_status },
	{ "PQresultErrorField", &lib.field },
	{ "PQclear", &lib.clear },
	{ "PQntuples", &lib.rows },
	{ "PQnfields", &lib.columns },
	{ "PQgetvalue", &lib.value },
	{ "PQgetisnull", &lib.is_null },
	{ "PQgetCopyData", &lib.get_copy },
	{ "PQputCopyData", &lib.put_copy },
	{ "PQputCopyEnd", &lib.end_copy },
	{ "PQgetResult", &lib.get_result },
	{ "PQsetNoticeProcessor", &lib.notices },
};

struct pg {
	PGconn *connection;
	int64_t deadline_ms, statement_ms, lock_ms;
	bool broken; /* a statement has failed with the connection */
};

static int load(struct err *err)
{
	return lib.notices ? 0 : library_load("libpq.so.5", symbols, ARRAY_SIZE(symbols), err);
}

static void clear(PGresult **result)
{
	lib.clear(*result);
}

static int finish(struct pg *pg)
{
	lib.finish(pg->connection);
	return 0;
}

void pg_close(struct pg **pg)
{
	(void)talloc_free(*pg);
	*pg = NULL;
}

int pg_server_version(const struct pg *pg)
{
	return lib.version(pg->connection);
}

/* ---- places ---- */

struct keywords {
	const char *names[KEYWORDS_MAX], *values[KEYWORDS_MAX];
	size_t count;
};

static void put(struct keywords *keywords, const char *name, const char *value)
{
	size_t at = 0;

	if (!value)
		return;
	while (at < keywords->count && strcmp(keywords->names[at], name) != 0)
		at++;
	assert_always(at < KEYWORDS_MAX - 1);
	keywords->names[at] = name;
	keywords->values[at] = value;
	keywords->count = MAX(keywords->count, at + 1);
}

/* What libpq says of an address may quote it, password and all. */
static int parse_dsn(const void *ctx, const char *dsn, struct keywords *keywords, struct err *err)
{
	char *problem = NULL;
	PQconninfoOption *options = lib.parse(dsn, &problem);

	if (!options) {
		if (problem)
			lib.free_memory(problem);
		return err_set(err, ERR_INVALID,
			"dsn: it is not of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE or host=... dbname=...");
	}
	for (PQconninfoOption *option = options; option->keyword; option++)
		if (option->val)
			put(keywords, mem_strdup(ctx, option->keyword), mem_strdup(ctx, option->val));
	lib.free_options(options);
	return 0;
}

static int read_place(const void *ctx, const struct pg_place *place, struct keywords *ret, struct err *err)
{
	int r = load(err);

	*ret = (struct keywords){ 0 };
	if (r == 0 && place->dsn)
		r = parse_dsn(ctx, place->dsn, ret, err);
	if (r < 0)
		return r;
	put(ret, "host", place->host);
	put(ret, "port", place->port ? mem_printf(ctx, "%lld", (long long)place->port) : NULL);
	put(ret, "dbname", place->database);
	put(ret, "user", place->user);
	put(ret, "password", place->password);
	return 0;
}

int pg_environment(const struct pg_place *place, pg_variable_handler put_variable, void *user, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct keywords keywords;
	PQconninfoOption *options;
	int r;

	r = read_place(ctx, place, &keywords, err);
	if (r < 0)
		return r;
	options = lib.defaults();
	for (PQconninfoOption *option = options; option && option->keyword; option++)
		for (size_t i = 0; option->envvar && i < keywords.count; i++)
			if (strcmp(option->keyword, keywords.names[i]) == 0)
				put_variable(user, option->envvar, keywords.values[i]);
	lib.free_options(options);
	return 0;
}

int pg_database_name(const void *ctx, const struct pg_place *place, char **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct keywords keywords;
	const char *name = NULL, *user = NULL;
	int r;

	r = read_place(work, place, &keywords, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < keywords.count; i++) {
		if (strcmp(keywords.names[i], "dbname") == 0)
			name = keywords.values[i];
		if (strcmp(keywords.names[i], "user") == 0)
			user = keywords.values[i];
	}
	if (!name)
		name = user;
	if (!name)
		return err_set(err, ERR_INVALID, "the address names no database");
	*ret = mem_strdup(ctx, name);
	return 0;
}

/* ---- errors ---- */

static enum err_code code_of(const char *state)
{
	static const struct {
		const char *prefix;
		enum err_code code;
	} codes[] = {
		{ "57014", ERR_TIMEOUT },                                /* statement_timeout */
		{ "55P03", ERR_TIMEOUT },                                /* lock_timeout */
		{ "40P01", ERR_TIMEOUT },                                /* deadlock: may go better the next time */
		{ "40001", ERR_TIMEOUT }, { "23", ERR_REFUSED },         /* constraints */
		{ "42501", ERR_FORBIDDEN }, { "28", ERR_FORBIDDEN },     /* user or password */
		{ "42P01", ERR_NOT_FOUND },                              /* table */
		{ "3D000", ERR_NOT_FOUND },                              /* database */
		{ "53100", ERR_NO_SPACE }, { "57P", ERR_UNREACHABLE },   /* the server is shut down or starts */
		{ "08", ERR_UNREACHABLE }, { "53300", ERR_UNREACHABLE }, /* too many connections */
	};

	for (size_t i = 0; state && i < ARRAY_SIZE(codes); i++)
		if (text_starts_with(state, codes[i].prefix))
			return codes[i].code;
	return ERR_DRIVER;
}

static char *one_line(const void *ctx, const char *text)
{
	char *line = mem_strdup(ctx, text ? text : "");
	size_t length = strlen(line);

	while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == ' '))
		line[--length] = 0;
	for (char *c = line; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	return line;
}

static int failed(struct pg *pg, const PGresult *result, const char *what, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *state = result ? lib.field(result, PG_DIAG_SQLSTATE) : NULL;
	const char *said = result ? lib.field(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *detail = result ? lib.field(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
	bool gone = lib.status(pg->connection) != CONNECTION_OK;

	pg->broken = pg->broken || gone;
	if (gone && !state)
		return err_set(err, ERR_UNREACHABLE, "%s: the connection to the database server was lost: %s", what,
			one_line(ctx, lib.message(pg->connection)));
	if (!said)
		said = one_line(ctx, lib.message(pg->connection));
	return err_set(err, gone ? ERR_UNREACHABLE : code_of(state), "%s: %s%s%s", what, said, detail ? ": " : "",
		detail ? one_line(ctx, detail) : "");
}

/* Before there is a connection there is no code, only words. */
static int not_connected(struct pg *pg, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *said = one_line(ctx, lib.message(pg->connection));
	enum err_code code = ERR_UNREACHABLE;

	if (strstr(said, "authentication failed") || strstr(said, "no password supplied") || strstr(said, "no pg_hba.conf entry") ||
		strstr(said, "is not permitted to log in") || (strstr(said, "role \"") && strstr(said, "does not exist")))
		code = ERR_FORBIDDEN;
	else if (strstr(said, "database \"") && strstr(said, "does not exist"))
		code = ERR_NOT_FOUND;
	else if (strstr(said, "is not currently accepting connections"))
		code = ERR_CONFLICT;
	return err_set(err, code, "%s", said);
}

/* ---- connecting ---- */

static void no_notice(void *user, const char *message)
{
	(void)user;
	(void)message;
}

static int set_session(struct pg *pg, struct err *err)
{
	int r = pg_run(pg,
		"SET search_path = ''; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET bytea_output = 'hex';"
		"SET extra_float_digits = 1; SET row_security = off; SET standard_conforming_strings = on; SET xmloption = content;"
		"SET idle_in_transaction_session_timeout = 0; SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'",
		"setting up the session", err);

	if (r == 0 && pg_server_version(pg) >= 140000)
		r = pg_run(pg, "SET client_connection_check_interval = '500ms'", "setting up the session", err);
	return r;
}

int pg_open(const void *ctx, const struct pg_place *place, struct pg **ret, struct err *err)
{
	_cleanup_talloc_ struct pg *pg = NULL;
	int64_t left_s = (place->deadline_ms - clock_mono_ms()) / 1000;
	struct keywords keywords;
	int r;

	pg = mem_zero(ctx, struct pg);
	r = read_place(pg, place, &keywords, err);
	if (r < 0)
		return r;
	*pg = (struct pg){ .deadline_ms = place->deadline_ms, .statement_ms = place->statement_ms, .lock_ms = place->lock_ms };
	put(&keywords, "connect_timeout", mem_printf(pg, "%lld", (long long)MIN(MAX(left_s, (int64_t)2), (int64_t)15)));
	put(&keywords, "application_name", "unship");
	put(&keywords, "client_encoding", "UTF8");
	put(&keywords, "keepalives_idle", "10");
	put(&keywords, "keepalives_interval", "5");
	put(&keywords, "keepalives_count", "3");
	put(&keywords, "tcp_user_timeout", "30000");
	pg->connection = lib.connect(keywords.names, keywords.values, 0);
	assert_always(pg->connection);
	talloc_set_destructor(pg, finish);
	if (lib.status(pg->connection) != CONNECTION_OK)
		return not_connected(pg, err);
	(void)lib.notices(pg->connection, no_notice, NULL);
	r = set_session(pg, err);
	if (r == 0)
		*ret = take_pointer(pg);
	return r;
}

/* ---- statements ---- */

/* The time that is left, as the server's own limit: it ends the statement there, and says so. */
static int limit(struct pg *pg, const char *what, struct err *err)
{
	_cleanup_talloc_ char *statement = NULL;
	_cleanup_(clear) PGresult *result = NULL;
	int64_t left = pg->deadline_ms - clock_mono_ms() - 250, locks;

	if (pg->broken)
		return err_set(err, ERR_UNREACHABLE, "%s: the connection to the database server was lost", what);
	if (left <= 0)
		return err_set(err, ERR_TIMEOUT, "%s: there is no time left", what);
	left = MIN(left, (int64_t)INT32_MAX);
	if (pg->statement_ms > 0)
		left = MIN(left, pg->statement_ms);
	locks = pg->lock_ms > 0 ? MIN(left, pg->lock_ms) : left;
	statement = mem_printf(NULL, "SET statement_timeout = %lld; SET lock_timeout = %lld", (long long)left, (long long)locks);
	result = lib.exec(pg->connection, statement);
	return lib.result_status(result) == PGRES_COMMAND_OK ? 0 : failed(pg, result, what, err);
}

static bool is_done(const PGresult *result)
{
	ExecStatusType status = lib.result_status(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

/* In a transaction that has failed nothing can be set, and ROLLBACK needs no limit. */
int pg_run(struct pg *pg, const char *statements, const char *what, struct err *err)
{
	_cleanup_(clear) PGresult *result = NULL;
	int r = strcmp(statements, "ROLLBACK") == 0 ? 0 : limit(pg, what, err);

	if (r < 0)
		return r;
	result = lib.exec(pg->connection, statements);
	return is_done(result) ? 0 : failed(pg, result, what, err);
}

int pg_select(struct pg *pg, const void *ctx, const char *query, const char *const *parameters, size_t parameter_count, const char *what,
	struct pg_rows *ret, struct err *err)
{
	_cleanup_(clear) PGresult *result = NULL;
	int r = limit(pg, what, err);

	if (r < 0)
		return r;
	result = lib.exec_params(pg->connection, query, (int)parameter_count, NULL, parameters, NULL, NULL, 0);
	if (!is_done(result))
		return failed(pg, result, what, err);
	*ret = (struct pg_rows){ .count = (size_t)lib.rows(result), .columns = (size_t)lib.columns(result) };
	ret->list = mem_array(ctx, char **, MAX(ret->count, (size_t)1));
	for (size_t i = 0; i < ret->count; i++) {
		ret->list[i] = mem_array(ret->list, char *, MAX(ret->columns, (size_t)1));
		for (size_t k = 0; k < ret->columns; k++)
			if (!lib.is_null(result, (int)i, (int)k))
				ret->list[i][k] = mem_strdup(ret->list, lib.value(result, (int)i, (int)k));
	}
	return 0;
}

int pg_text(struct pg *pg, const void *ctx, const char *query, const char *what, char **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct pg_rows rows;
	int r = pg_select(pg, work, query, NULL, 0, what, &rows, err);

	if (r == 0)
		*ret = mem_strdup(ctx, rows.count > 0 && rows.columns > 0 && rows.list[0][0] ? rows.list[0][0] : "");
	return r;
}

int pg_integer(struct pg *pg, const char *query, const char *what, int64_t *ret, struct err *err)
{
	_cleanup_talloc_ char *text = NULL;
	int r = pg_text(pg, NULL, query, what, &text, err);

	if (r == 0 && !*text)
		return err_set(err, ERR_DRIVER, "%s: no answer", what);
	return r < 0 ? r : text_parse_int(text, INT64_MIN, INT64_MAX, ret, err);
}

/* ---- copies ---- */

/* Text format of COPY: cells between tabs, \N for NULL, backslash escapes; a line break ends the row. Done in place. */
static size_t split_row(char *line, char **cells, size_t room)
{
	size_t count = 0;
	char *in = line, *out = line;

	for (bool more = true; more && count < room;) {
		bool null = in[0] == '\\' && in[1] == 'N';

		cells[count++] = null ? NULL : out;
		for (; *in && *in != '\t' && *in != '\n'; in++) {
			static const char from[] = "bfnrtv", to[] = "\b\f\n\r\t\v";
			const char *special;

			if (*in != '\\' || !in[1]) {
				*out++ = *in;
				continue;
			}
			in++;
			special = strchr(from, *in);
			*out++ = special ? to[special - from] : *in;
		}
		more = *in == '\t';
		if (more)
			in++;
		*out++ = 0;
	}
	return count;
}

static int take_rows(struct pg *pg, const char *what, pg_row_handler handler, void *user, struct err *err)
{
	_cleanup_talloc_ char **cells = mem_array(NULL, char *, COLUMNS_MAX);
	char *line = NULL;
	int size, r = 0;

	while ((size = lib.get_copy(pg->connection, &line, 0)) > 0) {
		if (r == 0)
			r = handler(user, cells, split_row(line, cells, COLUMNS_MAX), err);
		lib.free_memory(line);
		if (r < 0) { /* what still comes is of no use: the connection is given up */
			pg->broken = true;
			return r;
		}
	}
	return size == -2 ? failed(pg, NULL, what, err) : r;
}

/* Takes the last results of a statement. */
static int finish_statement(struct pg *pg, const char *what, struct err *err)
{
	PGresult *result;
	int r = 0;

	while ((result = lib.get_result(pg->connection))) {
		if (r == 0 && !is_done(result))
			r = failed(pg, result, what, err);
		lib.clear(result);
		if (pg->broken)
			break;
	}
	return r;
}

int pg_copy_out(struct pg *pg, const char *statement, const char *what, pg_row_handler handler, void *user, struct err *err)
{
	_cleanup_(clear) PGresult *result = NULL;
	int r = limit(pg, what, err);

	if (r < 0)
		return r;
	result = lib.exec(pg->connection, statement);
	if (lib.result_status(result) != PGRES_COPY_OUT)
		return failed(pg, result, what, err);
	r = take_rows(pg, what, handler, user, err);
	return r < 0 ? r : finish_statement(pg, what, err);
}

int pg_copy_begin(struct pg *pg, const char *statement, const char *what, struct err *err)
{
	_cleanup_(clear) PGresult *result = NULL;
	int r = limit(pg, what, err);

	if (r < 0)
		return r;
	result = lib.exec(pg->connection, statement);
	return lib.result_status(result) == PGRES_COPY_IN ? 0 : failed(pg, result, what, err);
}

int pg_copy_bytes(struct pg *pg, const char *bytes, size_t size, const char *what, struct err *err)
{
	if (lib.put_copy(pg->connection, bytes, (int)size) == 1)
		return 0;
	return failed(pg, NULL, what, err);
}

int pg_copy_end(struct pg *pg, const char *what, struct err *err)
{
	if (lib.end_copy(pg->connection, NULL) != 1)
		return failed(pg, NULL, what, err);
	return finish_statement(pg, what, err);
}

/* ---- quoting ---- */

static char *quoted(const void *ctx, const char *open, const char *text, char mark)
{
	char *result = mem_array(ctx, char, strlen(open) + 2 * strlen(text) + 2), *to = result;

	memcpy(to, open, strlen(open));
	to += strlen(open);
	for (; *text; text++) {
		if (*text == mark || (*text == '\\' && *open == 'E'))
			*to++ = *text;
		*to++ = *text;
	}
	*to++ = mark;
	*to = 0;
	return result;
}

char *pg_quote(const void *ctx, const char *name)
{
	return quoted(ctx, "\"", name, '"');
}

char *pg_quote_text(const void *ctx, const char *text)
{
	return quoted(ctx, strchr(text, '\\') ? "E'" : "'", text, '\'');
}
