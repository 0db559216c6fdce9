/* Connections to MariaDB and MySQL (mysql_client.h), over the C API of libmariadb. A worker is a process of one thread, so the table of functions is filled at the first connection. */
#include "drivers/mysql_client.h"

#include <mariadb/errmsg.h>
#include <mariadb/mysqld_error.h>

#include "base/clock.h"
#include "base/library.h"
#include "base/text.h"
#include "data/hash.h"

#define LIBRARY       "libmariadb.so.3"
#define ANSWER_MAX    1000000 /* rows of what is read whole: catalogues */
#define LOCK_SPARE_MS 1000
#define SPARE_MS      500 /* an answer of our own comes before the runner's limit */
#define PACKET_MAX    (1ul << 30)
#define BINARY_SET    63 /* charset number of what is no text */

/* Newer than the header, or of MySQL alone. */
#define ER_NO_CHECK_CONSTRAINT   4025
#define ER_STATEMENT_TIME        1969
#define ER_QUERY_TIME            3024
#define ER_RECORD_FILE_FULL_CODE 1114

static struct {
	__typeof__(mysql_init) *init;
	__typeof__(mysql_close) *close;
	__typeof__(mysql_optionsv) *optionsv;
	__typeof__(mysql_real_connect) *real_connect;
	__typeof__(mysql_real_query) *real_query;
	__typeof__(mysql_use_result) *use_result;
	__typeof__(mysql_fetch_row) *fetch_row;
	__typeof__(mysql_fetch_lengths) *fetch_lengths;
	__typeof__(mysql_fetch_fields) *fetch_fields;
	__typeof__(mysql_num_fields) *num_fields;
	__typeof__(mysql_free_result) *free_result;
	__typeof__(mysql_field_count) *field_count;
	__typeof__(mysql_error) *error;
	__typeof__(mysql_errno) *number;
	__typeof__(mysql_get_server_info) *server_info;
	__typeof__(mysql_set_server_option) *server_option;
	__typeof__(mysql_next_result) *next_result;
} lib;

/* clang-format off */
static const struct library_symbol symbols[] = {
	{ "mysql_close", &lib.close },
	{ "mysql_optionsv", &lib.optionsv },
	{ "mysql_real_connect", &lib.real_connect },
	{ "mysql_real_query", &lib.real_query },
	{ "mysql_use_result", &lib.use_result },
	{ "mysql_fetch_row", &lib.fetch_row },
	{ "mysql_fetch_lengths", &lib.fetch_lengths },
	{ "mysql_fetch_fields", &lib.fetch_fields },
	{ "mysql_num_fields", &lib.num_fields },
	{ "mysql_free_result", &lib.free_result },
	{ "mysql_field_count", &lib.field_count },
	{ "mysql_error", &lib.error },
	{ "mysql_errno", &lib.number },
	{ "mysql_get_server_info", &lib.server_info },
	{ "mysql_set_server_option", &lib.server_option },
	{ "mysql_next_result", &lib.next_result },
	{ "mysql_init", &lib.init }, /* last: it says that all are there */
};

static const struct {
	unsigned number;
	enum err_code code;
} kinds[] = {
	{ CR_CONNECTION_ERROR,            ERR_UNREACHABLE },
	{ CR_CONN_HOST_ERROR,             ERR_UNREACHABLE },
	{ CR_UNKNOWN_HOST,                ERR_UNREACHABLE },
	{ CR_SERVER_GONE_ERROR,           ERR_UNREACHABLE },
	{ CR_SERVER_LOST,                 ERR_UNREACHABLE },
	{ CR_SERVER_LOST_EXTENDED,        ERR_UNREACHABLE },
	{ ER_SERVER_SHUTDOWN,             ERR_UNREACHABLE },
	{ ER_CONNECTION_KILLED,           ERR_UNREACHABLE },
	{ ER_CON_COUNT_ERROR,             ERR_UNREACHABLE },
	{ ER_ACCESS_DENIED_ERROR,         ERR_FORBIDDEN },
	{ ER_DBACCESS_DENIED_ERROR,       ERR_FORBIDDEN },
	{ ER_TABLEACCESS_DENIED_ERROR,    ERR_FORBIDDEN },
	{ ER_COLUMNACCESS_DENIED_ERROR,   ERR_FORBIDDEN },
	{ ER_SPECIFIC_ACCESS_DENIED_ERROR, ERR_FORBIDDEN },
	{ ER_PROCACCESS_DENIED_ERROR,     ERR_FORBIDDEN },
	{ ER_LOCK_WAIT_TIMEOUT,           ERR_TIMEOUT },
	{ ER_STATEMENT_TIME,              ERR_TIMEOUT },
	{ ER_QUERY_TIME,                  ERR_TIMEOUT },
	{ ER_DISK_FULL,                   ERR_NO_SPACE },
	{ ER_RECORD_FILE_FULL_CODE,       ERR_NO_SPACE },
	{ ER_BAD_DB_ERROR,                ERR_NOT_FOUND },
	{ ER_NO_SUCH_TABLE,               ERR_NOT_FOUND },
	{ ER_CRASHED_ON_USAGE,            ERR_CORRUPT },
	{ ER_NOT_KEYFILE,                 ERR_CORRUPT },
	{ ER_NO_CHECK_CONSTRAINT,         ERR_REFUSED },
};
/* clang-format on */

static int64_t left_ms(const struct driver_call *call)
{
	return MAX(call->deadline_ms - clock_mono_ms() - SPARE_MS, (int64_t)0);
}

static int failed(struct mysqldb *db, const char *what, struct err *err)
{
	unsigned number = lib.number(db->handle);
	enum err_code code = ERR_DRIVER;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].number == number)
			code = kinds[i].code;
	if (code == ERR_UNREACHABLE && left_ms(db->call) == 0)
		return err_set(err, ERR_TIMEOUT, "%s: the database did not answer in time", what);
	return err_set(err, code, "%s: %s", what, lib.error(db->handle));
}

unsigned mysqldb_version_number(const char *version)
{
	unsigned parts[3] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		char *end;

		parts[i] = (unsigned)MIN(strtoul(version, &end, 10), 99ul);
		if (*end != '.')
			break;
		version = end + 1;
	}
	return parts[0] * 10000 + parts[1] * 100 + parts[2];
}

const char *mysqldb_flavor(const struct mysqldb *db)
{
	return db->mariadb ? "MariaDB" : "MySQL";
}

/* "10.11.6-MariaDB-0+deb12u1"; servers before 11 say "5.5.5-" in front, for old replicas. */
static void read_version(struct mysqldb *db)
{
	const char *said = lib.server_info(db->handle);

	db->mariadb = strcasestr(said, "mariadb") != NULL;
	if (db->mariadb && text_starts_with(said, "5.5.5-"))
		said += 6;
	db->version = mem_strndup(db, said, strspn(said, "0123456789."));
	db->number = mysqldb_version_number(db->version);
}

int mysqldb_limit_locks(struct mysqldb *db, int64_t spare_ms, struct err *err)
{
	long long seconds = (long long)MAX((left_ms(db->call) - spare_ms) / 1000, (int64_t)1);
	_cleanup_talloc_ char *settings = mem_printf(NULL, "SET SESSION lock_wait_timeout = %lld, SESSION innodb_lock_wait_timeout = %lld",
		seconds, seconds);

	return mysqldb_run(db, settings, "the session", err);
}

static int prepare_session(struct mysqldb *db, struct err *err)
{
	static const char settings[] =
		"SET NAMES utf8mb4, SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', SESSION time_zone = '+00:00', SESSION sql_quote_show_create = 1,"
		" SESSION net_write_timeout = 3600, SESSION wait_timeout = 86400, SESSION autocommit = 1";
	int r;

	r = mysqldb_run(db, settings, "the session", err);
	if (r == 0)
		r = mysqldb_limit_locks(db, LOCK_SPARE_MS, err);
	return r < 0 ? r : mysqldb_run(db, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "the session", err);
}

static int set_options(struct mysqldb *db, const struct mysqldb_place *place, struct err *err)
{
	unsigned wait = (unsigned)MAX(MIN(left_ms(db->call), place->connect_ms) / 1000, (int64_t)1);
	unsigned answer = (unsigned)(left_ms(db->call) / 1000) + 1; /* not before no time is left */
	unsigned protocol = place->host ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
	unsigned long packet = PACKET_MAX;
	my_bool on = 1, verified = strcmp(place->tls, "verified") == 0;
	bool fine = lib.optionsv(db->handle, MYSQL_OPT_CONNECT_TIMEOUT, &wait) == 0 &&
		lib.optionsv(db->handle, MYSQL_OPT_READ_TIMEOUT, &answer) == 0 &&
		lib.optionsv(db->handle, MYSQL_OPT_WRITE_TIMEOUT, &answer) == 0 &&
		lib.optionsv(db->handle, MYSQL_OPT_PROTOCOL, &protocol) == 0 &&
		lib.optionsv(db->handle, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet) == 0 &&
		lib.optionsv(db->handle, MYSQL_SET_CHARSET_NAME, "utf8mb4") == 0;

	if (fine && strcmp(place->tls, "off") != 0) {
		fine = lib.optionsv(db->handle, MYSQL_OPT_SSL_ENFORCE, &on) == 0 &&
			lib.optionsv(db->handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verified) == 0;
		if (fine && place->tls_ca)
			fine = lib.optionsv(db->handle, MYSQL_OPT_SSL_CA, place->tls_ca) == 0;
	}
	return fine ? 0 : err_set(err, ERR_UNSUPPORTED, "%s does not know an option that is needed", LIBRARY);
}

static int close_handle(struct mysqldb *db)
{
	if (db->handle)
		lib.close(db->handle);
	return 0;
}

void mysqldb_close(struct mysqldb **db)
{
	(void)talloc_free(*db);
	*db = NULL;
}

int mysqldb_open(struct driver_call *call, const struct mysqldb_place *place, struct mysqldb **ret, struct err *err)
{
	struct mysqldb *db;
	int r = 0;

	if (!lib.init)
		r = library_load(LIBRARY, symbols, ARRAY_SIZE(symbols), err);
	if (r < 0)
		return r;
	db = mem_zero(call->ctx, struct mysqldb);
	db->call = call;
	db->database = place->database;
	db->handle = mem_check(lib.init(NULL));
	talloc_set_destructor(db, close_handle);
	r = set_options(db, place, err);
	if (r == 0 &&
		!lib.real_connect(db->handle, place->host, place->user, place->password, NULL, (unsigned)place->port, place->socket,
			CLIENT_FOUND_ROWS))
		r = failed(db, place->host ? place->host : place->socket, err);
	if (r == 0) {
		read_version(db);
		r = prepare_session(db, err);
	}
	if (r < 0) {
		mysqldb_close(&db);
		return r;
	}
	*ret = db;
	return 0;
}

/* ---- statements ---- */

/* The rows of the statement that was just run, unread. */
static int skip_rows(struct mysqldb *db, const char *what, struct err *err)
{
	MYSQL_RES *result;

	if (lib.field_count(db->handle) == 0)
		return 0;
	result = lib.use_result(db->handle);
	if (!result)
		return failed(db, what, err);
	while (lib.fetch_row(result))
		continue;
	lib.free_result(result);
	return lib.number(db->handle) ? failed(db, what, err) : 0;
}

int mysqldb_run_bytes(struct mysqldb *db, const char *statement, size_t size, const char *what, struct err *err)
{
	if (left_ms(db->call) == 0)
		return err_set(err, ERR_TIMEOUT, "%s: no time is left", what);
	if (lib.real_query(db->handle, statement, size) != 0)
		return failed(db, what, err);
	return skip_rows(db, what, err);
}

int mysqldb_script(struct mysqldb *db, const char *script, const char *what, struct err *err)
{
	int r, more = 0;

	if (lib.server_option(db->handle, MYSQL_OPTION_MULTI_STATEMENTS_ON) != 0)
		return failed(db, what, err);
	r = mysqldb_run(db, script, what, err);
	while (r == 0 && (more = lib.next_result(db->handle)) == 0)
		r = skip_rows(db, what, err);
	/* What stands after the last semicolon may be a comment. */
	if (r == 0 && more > 0 && lib.number(db->handle) != ER_EMPTY_QUERY)
		r = failed(db, what, err);
	return r;
}

int mysqldb_run(struct mysqldb *db, const char *statement, const char *what, struct err *err)
{
	return mysqldb_run_bytes(db, statement, strlen(statement), what, err);
}

static int kind_of(const MYSQL_FIELD *field)
{
	switch (field->type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG:
	case MYSQL_TYPE_FLOAT:
	case MYSQL_TYPE_DOUBLE:
	case MYSQL_TYPE_DECIMAL:
	case MYSQL_TYPE_NEWDECIMAL:
	case MYSQL_TYPE_YEAR:
		return MYSQLDB_NUMBER;
	case MYSQL_TYPE_BIT:
	case MYSQL_TYPE_GEOMETRY:
		return MYSQLDB_BINARY;
	case MYSQL_TYPE_TINY_BLOB:
	case MYSQL_TYPE_MEDIUM_BLOB:
	case MYSQL_TYPE_LONG_BLOB:
	case MYSQL_TYPE_BLOB:
	case MYSQL_TYPE_VARCHAR:
	case MYSQL_TYPE_VAR_STRING:
	case MYSQL_TYPE_STRING:
		return field->charsetnr == BINARY_SET ? MYSQLDB_BINARY : MYSQLDB_TEXT;
	default:
		return MYSQLDB_TEXT;
	}
}

static int tell_rows(struct mysqldb *db, MYSQL_RES *result, mysqldb_row_handler handler, void *user, const char *what, struct err *err)
{
	_cleanup_talloc_ struct mysqldb_value *values = NULL;
	size_t count = lib.num_fields(result);
	MYSQL_FIELD *fields = lib.fetch_fields(result);
	MYSQL_ROW row;
	int r = 0;

	values = mem_array(NULL, struct mysqldb_value, count);
	while (r == 0 && (row = lib.fetch_row(result))) {
		unsigned long *sizes = lib.fetch_lengths(result);

		for (size_t i = 0; i < count; i++) {
			values[i].bytes = row[i];
			values[i].size = row[i] ? sizes[i] : 0;
			values[i].kind = kind_of(&fields[i]);
		}
		r = handler(user, values, count, err);
		if (r == 0 && left_ms(db->call) == 0)
			r = err_set(err, ERR_TIMEOUT, "%s: no time is left", what);
	}
	return r == 0 && lib.number(db->handle) ? failed(db, what, err) : r;
}

int mysqldb_stream(struct mysqldb *db, const char *query, const char *what, mysqldb_row_handler handler, void *user, struct err *err)
{
	MYSQL_RES *result;
	int r;

	if (left_ms(db->call) == 0)
		return err_set(err, ERR_TIMEOUT, "%s: no time is left", what);
	if (lib.real_query(db->handle, query, strlen(query)) != 0)
		return failed(db, what, err);
	result = lib.use_result(db->handle);
	if (!result)
		return lib.number(db->handle) ? failed(db, what, err) : err_set(err, ERR_DRIVER, "%s: no rows", what);
	r = tell_rows(db, result, handler, user, what, err);
	lib.free_result(result);
	return r;
}

struct gathered {
	const void *ctx;
	struct mysqldb_rows *rows;
};

static int gather(void *user, const struct mysqldb_value *values, size_t count, struct err *err)
{
	struct gathered *to = user;
	char **row;

	if (to->rows->count == ANSWER_MAX)
		return err_set(err, ERR_TOO_LARGE, "the catalogue of the database has more than %d entries", ANSWER_MAX);
	if ((to->rows->count & (to->rows->count + 1)) == 0) /* doubles */
		to->rows->list = mem_resize(to->ctx, to->rows->list, char **, 2 * (to->rows->count + 1));
	row = mem_array(to->rows->list, char *, count);
	for (size_t i = 0; i < count; i++)
		row[i] = values[i].bytes ? mem_strndup(row, values[i].bytes, values[i].size) : NULL;
	to->rows->columns = count;
	to->rows->list[to->rows->count++] = row;
	return 0;
}

int mysqldb_select(struct mysqldb *db, const void *ctx, const char *query, struct mysqldb_rows *ret, struct err *err)
{
	struct mysqldb_rows rows = { 0 };
	struct gathered to = { .ctx = ctx, .rows = &rows };
	int r = mysqldb_stream(db, query, "the catalogue", gather, &to, err);

	if (r == 0)
		*ret = rows;
	return r;
}

int mysqldb_text(struct mysqldb *db, const void *ctx, const char *query, char **ret, struct err *err)
{
	struct mysqldb_rows rows;
	int r = mysqldb_select(db, ctx, query, &rows, err);

	if (r < 0)
		return r;
	if (rows.count == 0)
		return err_set(err, ERR_NOT_FOUND, "the database has no answer to that");
	*ret = rows.list[0][0] ? rows.list[0][0] : mem_strdup(ctx, "");
	return 0;
}

int mysqldb_integer(struct mysqldb *db, const char *query, int64_t *ret, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text;
	int r = mysqldb_text(db, ctx, query, &text, err);

	return r < 0 ? r : text_parse_int(*text ? text : "0", INT64_MIN, INT64_MAX, ret, err);
}

/* ---- text ---- */

char *mysqldb_name(const void *ctx, const char *name)
{
	size_t size = strlen(name), to = 0;
	char *quoted = mem_array(ctx, char, 2 * size + 3);

	quoted[to++] = '`';
	for (; *name; name++) {
		if (*name == '`')
			quoted[to++] = '`';
		quoted[to++] = *name;
	}
	quoted[to] = '`';
	return quoted;
}

char *mysqldb_table(const void *ctx, const char *database, const char *table)
{
	_cleanup_talloc_ void *work = mem_context(NULL);

	return mem_printf(ctx, "%s.%s", mysqldb_name(work, database), mysqldb_name(work, table));
}

char *mysqldb_append(char *buffer, size_t *size, size_t *room, const char *bytes, size_t count)
{
	if (*size + count + 1 > *room) {
		*room = MAX(2 * *room, *size + count + 1);
		buffer = mem_resize(NULL, buffer, char, *room);
	}
	memcpy(buffer + *size, bytes, count);
	*size += count;
	buffer[*size] = 0;
	return buffer;
}

static char escape_of(char c)
{
	switch (c) {
	case 0:
		return '0';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\\':
	case '\'':
	case '"':
		return c;
	case 26:
		return 'Z';
	default:
		return 0;
	}
}

/* With the characters that a line or a terminal would stumble over written as \n and so on: a statement stays one line. */
static char *append_text(char *buffer, size_t *size, size_t *room, const char *bytes, size_t count)
{
	size_t from = 0;

	buffer = mysqldb_append(buffer, size, room, "'", 1);
	for (size_t i = 0; i < count; i++) {
		const char pair[] = { '\\', escape_of(bytes[i]) };

		if (!pair[1])
			continue;
		buffer = mysqldb_append(buffer, size, room, bytes + from, i - from);
		buffer = mysqldb_append(buffer, size, room, pair, 2);
		from = i + 1;
	}
	buffer = mysqldb_append(buffer, size, room, bytes + from, count - from);
	return mysqldb_append(buffer, size, room, "'", 1);
}

static char *append_binary(char *buffer, size_t *size, size_t *room, const char *bytes, size_t count)
{
	static const char digits[] = "0123456789ABCDEF";

	if (count == 0)
		return mysqldb_append(buffer, size, room, "''", 2);
	buffer = mysqldb_append(buffer, size, room, "0x", 2);
	for (size_t i = 0; i < count; i++) {
		const char pair[] = { digits[(unsigned char)bytes[i] >> 4], digits[bytes[i] & 15] };

		buffer = mysqldb_append(buffer, size, room, pair, 2);
	}
	return buffer;
}

char *mysqldb_append_value(char *buffer, size_t *size, size_t *room, const struct mysqldb_value *value)
{
	if (!value->bytes)
		return mysqldb_append(buffer, size, room, "NULL", 4);
	switch (value->kind) {
	case MYSQLDB_NUMBER:
		return mysqldb_append(buffer, size, room, value->bytes, value->size);
	case MYSQLDB_BINARY:
		return append_binary(buffer, size, room, value->bytes, value->size);
	default:
		return append_text(buffer, size, room, value->bytes, value->size);
	}
}

char *mysqldb_quote(const void *ctx, const char *text)
{
	size_t size = 0, room = 0;
	char *quoted = append_text(NULL, &size, &room, text, strlen(text));

	return talloc_steal(ctx, quoted);
}

/* ---- the lock ---- */

static char *lock_name(const void *ctx, const struct mysqldb *db)
{
	char hash[HASH_HEX_SIZE];

	hash_blake2b_hex(db->database, strlen(db->database), hash);
	return mem_printf(ctx, "'unship:%.32s'", hash);
}

int mysqldb_lock(struct mysqldb *db, int64_t wait_ms, struct err *err)
{
	char *query = mem_printf(db, "SELECT GET_LOCK(%s, %lld)", lock_name(db, db),
		(long long)MAX(MIN(wait_ms, left_ms(db->call) - 1000) / 1000, (int64_t)1));
	int64_t got;
	int r = mysqldb_integer(db, query, &got, err);

	if (r < 0)
		return r;
	return got == 1
		? 0
		: err_set(err, ERR_CONFLICT, "another connection is restoring this database, or the server still works for one that died");
}

void mysqldb_unlock(struct mysqldb *db)
{
	struct err why = ERR_INIT;

	if (mysqldb_run(db, mem_printf(db, "DO RELEASE_LOCK(%s)", lock_name(db, db)), "the lock", &why) < 0)
		call_log(db->call, LOG_DEBUG, "%s: it ends with the connection", why.text);
}
