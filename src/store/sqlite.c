/* The SQL driver for SQLite: the only file of this folder that knows it.
 *
 * Durability: WAL with synchronous FULL, so a committed transaction survives the loss of power. One writer at a time: BEGIN IMMEDIATE
 * takes the
 * write lock at once, and waits for the writer before it in short, growing, jittered naps.
 * Statements are prepared once per connection and found again by their text. "$2" is the second parameter wherever it stands (SQLite
 * by itself
 * numbers named parameters in the order of their appearance), and "BIGINT PRIMARY KEY" in schema text becomes the row id.
 * Pages of 1024 bytes: an append changes three pages and writes each whole into the log (measured in bench/store).
 * No memory mapping: a damaged disk then gives an error and not a signal.
 *
 * Threads: a connection belongs to one thread; SQLite's own locks are left out. */
#include "store/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"

#define BUSY_PATIENCE_MS 10000
#define STATEMENTS_MAX   128
#define COLUMNS_MAX      32
#define PARAMETERS_MAX   32
#define APPLICATION_ID   0x756e7368 /* "unsh" */

struct statement {
	uint64_t hash;
	char *text;
	sqlite3_stmt *prepared;
	bool busy;                 /* being stepped: a nested use prepares its own */
	int place[PARAMETERS_MAX]; /* of the parameter that SQLite calls i + 1 in the caller's array */
	int parameters;
};

struct sqlite {
	struct sql sql; /* first */
	sqlite3 *db;
	char *path;
	int64_t waiting_since_ms;
	bool defer, deferred; /* wanted; as the connection is set */
	size_t count;
	struct statement statements[STATEMENTS_MAX];
};

struct sql_value sql_text(const char *text)
{
	return text ? (struct sql_value){ .type = SQL_TEXT, .text = text } : SQL_N;
}

static struct sqlite *sqlite_of(struct sql *sql)
{
	return (struct sqlite *)sql;
}

static bool space_ended(int error_number)
{
	return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

static int sqlite_fail(struct sqlite *sqlite, int code, struct err *err)
{
	int system = errno; /* SQLite keeps it for statements that fail at once, not for a commit */
	const char *text = sqlite3_errmsg(sqlite->db);

	if (sqlite3_system_errno(sqlite->db))
		system = sqlite3_system_errno(sqlite->db);

	switch (code & 0xff) {
	case SQLITE_NOMEM:
		(void)mem_check(NULL);
		break;
	case SQLITE_CONSTRAINT:
		if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID)
			return err_set(err, ERR_CONFLICT, "%s", text);
		return err_set(err, ERR_STORE, "store '%s': %s", sqlite->path, text);
	case SQLITE_FULL:
		return err_set(err, ERR_NO_SPACE, "store '%s': %s", sqlite->path, text);
	case SQLITE_IOERR:
		if (space_ended(system))
			return err_set(err, ERR_NO_SPACE, "store '%s': %s", sqlite->path, strerror(system));
		return err_set(err, ERR_STORE, "store '%s': %s%s%s", sqlite->path, text, system ? ": " : "",
			system ? strerror(system) : "");
	case SQLITE_CORRUPT:
		return err_set(err, ERR_CORRUPT, "store '%s': %s", sqlite->path, text);
	case SQLITE_NOTADB:
		return err_set(err, ERR_CORRUPT, "store '%s' is no SQLite database", sqlite->path);
	case SQLITE_BUSY:
		return err_set(err, ERR_STORE, "store '%s': busy: another process has been writing for more than %d s", sqlite->path,
			BUSY_PATIENCE_MS / 1000);
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return err_set(err, ERR_STORE,
			"store '%s' cannot be written (%s); SQLite also writes beside it, so its directory must be writable too",
			sqlite->path, text);
	default:
		break;
	}
	return err_set(err, ERR_STORE, "store '%s': %s", sqlite->path, text);
}

static void nap_us(int64_t us)
{
	struct timespec time = { .tv_sec = us / 1000000, .tv_nsec = (us % 1000000) * 1000 };

	(void)nanosleep(&time, NULL);
}

/* SQLite's own handler naps up to 100 ms; a commit here takes a fraction of one. */
static int sqlite_busy(void *user, int naps)
{
	struct sqlite *sqlite = user;
	int64_t now_ms = clock_mono_ms(), nap = 200LL << MIN(naps / 4, 6);

	if (naps == 0)
		sqlite->waiting_since_ms = now_ms;
	if (now_ms - sqlite->waiting_since_ms >= BUSY_PATIENCE_MS)
		return 0;
	nap_us(nap + (clock_mono_us() * 7919) % nap);
	return 1;
}

static uint64_t text_hash(const char *text)
{
	uint64_t hash = 1469598103934665603ULL; /* FNV-1a, 64 bits */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211ULL;
	return hash;
}

/* The schema is written once for all databases; only here an integer key is worth another word. */
static char *translate(const void *ctx, const char *text)
{
	static const char theirs[] = "BIGINT PRIMARY KEY", ours[] = "INTEGER PRIMARY KEY";
	const char *found;
	char *result = NULL;

	if (strncmp(text, "CREATE TABLE", strlen("CREATE TABLE")) != 0)
		return mem_strdup(ctx, text);
	result = mem_strdup(ctx, "");
	while ((found = strstr(text, theirs))) {
		result = mem_appendf(result, "%.*s%s", (int)(found - text), text, ours);
		text = found + strlen(theirs);
	}
	return mem_append(result, text);
}

static int statement_prepare(struct sqlite *sqlite, const char *text, struct statement *ret, struct err *err)
{
	char *translated = translate(sqlite, text);
	struct statement made = { .text = mem_strdup(sqlite, text) };
	int r;

	r = sqlite3_prepare_v3(sqlite->db, translated, -1, SQLITE_PREPARE_PERSISTENT, &made.prepared, NULL);
	(void)talloc_free(translated);
	if (r != SQLITE_OK) {
		(void)talloc_free(made.text);
		return sqlite_fail(sqlite, r, err);
	}
	made.parameters = sqlite3_bind_parameter_count(made.prepared);
	assert_always(made.parameters <= PARAMETERS_MAX);
	for (int i = 0; i < made.parameters; i++) {
		const char *name = sqlite3_bind_parameter_name(made.prepared, i + 1);

		assert_always(name && name[0] == '$');
		made.place[i] = atoi(name + 1) - 1;
	}
	*ret = made;
	return 0;
}

static void statement_free(struct statement *statement)
{
	(void)sqlite3_finalize(statement->prepared);
	(void)talloc_free(statement->text);
}

/* The cached statement of this text, or `spare` when the cache is full or the cached one is in use further up. */
static int statement_get(struct sqlite *sqlite, const char *text, struct statement *spare, struct statement **ret, struct err *err)
{
	uint64_t hash = text_hash(text);
	bool in_use = false;
	int r;

	for (size_t i = 0; i < sqlite->count; i++) {
		struct statement *at = &sqlite->statements[i];

		if (at->hash != hash || strcmp(at->text, text) != 0)
			continue;
		if (!at->busy) {
			*ret = at;
			return 0;
		}
		in_use = true;
	}
	if (in_use || sqlite->count == STATEMENTS_MAX) {
		*ret = spare;
		return statement_prepare(sqlite, text, spare, err);
	}
	*ret = &sqlite->statements[sqlite->count];
	r = statement_prepare(sqlite, text, *ret, err);
	if (r < 0)
		return r;
	(*ret)->hash = hash;
	sqlite->count++;
	return 0;
}

static int statement_bind(const struct statement *statement, const struct sql_value *values, size_t count)
{
	for (int i = 0; i < statement->parameters; i++) {
		const struct sql_value *value;
		int r = SQLITE_OK;

		assert_always(statement->place[i] >= 0 && (size_t)statement->place[i] < count);
		value = &values[statement->place[i]];
		switch (value->type) {
		case SQL_NULL:
			r = sqlite3_bind_null(statement->prepared, i + 1);
			break;
		case SQL_INT:
			r = sqlite3_bind_int64(statement->prepared, i + 1, value->integer);
			break;
		case SQL_REAL:
			r = sqlite3_bind_double(statement->prepared, i + 1, value->real);
			break;
		case SQL_TEXT:
			r = sqlite3_bind_text64(statement->prepared, i + 1, value->text, strlen(value->text), SQLITE_STATIC, SQLITE_UTF8);
			break;
		}
		if (r != SQLITE_OK)
			return r;
	}
	return SQLITE_OK;
}

static void statement_columns(sqlite3_stmt *prepared, struct sql_value *columns, int count)
{
	for (int i = 0; i < count; i++) {
		switch (sqlite3_column_type(prepared, i)) {
		case SQLITE_INTEGER:
			columns[i] = SQL_I(sqlite3_column_int64(prepared, i));
			break;
		case SQLITE_FLOAT:
			columns[i] = SQL_R(sqlite3_column_double(prepared, i));
			break;
		case SQLITE_NULL:
			columns[i] = SQL_N;
			break;
		default:
			columns[i] = SQL_T((const char *)sqlite3_column_text(prepared, i));
			break;
		}
	}
}

static int statement_step(struct sqlite *sqlite, struct statement *statement, sql_row row, void *user, struct err *err)
{
	struct sql_value columns[COLUMNS_MAX];
	int count = sqlite3_column_count(statement->prepared), r, code;

	assert_always(count <= COLUMNS_MAX);
	while ((code = sqlite3_step(statement->prepared)) == SQLITE_ROW) {
		if (!row)
			continue;
		statement_columns(statement->prepared, columns, count);
		r = row(user, columns, (size_t)count, err);
		if (r != 0)
			return r;
	}
	return code == SQLITE_DONE ? 0 : sqlite_fail(sqlite, code, err);
}

static int sqlite_run(struct sql *sql, const char *text, const struct sql_value *parameters, size_t count, sql_row row, void *user,
	struct err *err)
{
	struct sqlite *sqlite = sqlite_of(sql);
	struct statement spare = { 0 }, *statement;
	int r, code;

	errno = 0;
	r = statement_get(sqlite, text, &spare, &statement, err);
	if (r < 0)
		return r;
	statement->busy = true;
	code = statement_bind(statement, parameters, count);
	r = code == SQLITE_OK ? statement_step(sqlite, statement, row, user, err) : sqlite_fail(sqlite, code, err);
	(void)sqlite3_reset(statement->prepared);
	(void)sqlite3_clear_bindings(statement->prepared);
	statement->busy = false;
	if (statement == &spare)
		statement_free(&spare);
	return r;
}

/* The level can be changed between transactions only. With NORMAL a commit stands in the log but does not wait for the disk; the next
 * commit with FULL flushes the log, and so all before it. */
static int set_level(struct sqlite *sqlite, struct err *err)
{
	int code = sqlite3_exec(sqlite->db, sqlite->defer ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", NULL, NULL, NULL);

	if (code != SQLITE_OK)
		return sqlite_fail(sqlite, code, err);
	sqlite->deferred = sqlite->defer;
	return 0;
}

static void sqlite_defer(struct sql *sql, bool on)
{
	sqlite_of(sql)->defer = on;
}

/* A transaction that changes nothing writes nothing, and so flushes nothing: the log itself is asked to reach the disk. What a checkpoint has
 * moved out of it since was flushed by the checkpoint. */
static int sqlite_settle(struct sql *sql, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(sql);
	sqlite3_file *log = NULL;
	int code = sqlite3_file_control(sqlite->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);

	if (code == SQLITE_OK && log && log->pMethods)
		code = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
	return code == SQLITE_OK ? 0 : sqlite_fail(sqlite, code, err);
}

static int sqlite_begin(struct sql *sql, struct err *err)
{
	struct sqlite *sqlite = sqlite_of(sql);

	if (sqlite->defer != sqlite->deferred && set_level(sqlite, err) < 0)
		return -(int)err->code;
	return sqlite_run(sql, "BEGIN IMMEDIATE", NULL, 0, NULL, NULL, err);
}

static int sqlite_commit(struct sql *sql, struct err *err)
{
	return sqlite_run(sql, "COMMIT", NULL, 0, NULL, NULL, err);
}

static void sqlite_rollback(struct sql *sql)
{
	struct err ignored = ERR_INIT;

	/* Some failures have rolled back already. One of the rollback itself leaves nothing to do: the transaction ends with the connection. */
	if (!sqlite3_get_autocommit(sqlite_of(sql)->db))
		(void)!sqlite_run(sql, "ROLLBACK", NULL, 0, NULL, NULL, &ignored);
}

static int64_t sqlite_changes(struct sql *sql)
{
	return sqlite3_changes64(sqlite_of(sql)->db);
}

static int sqlite_free(struct sqlite *sqlite)
{
	for (size_t i = 0; i < sqlite->count; i++)
		statement_free(&sqlite->statements[i]);
	sqlite->count = 0;
	(void)sqlite3_close_v2(sqlite->db);
	return 0;
}

static void sqlite_close(struct sql *sql)
{
	(void)talloc_free(sqlite_of(sql));
}

static const struct sql_ops sqlite_ops = {
	.name = "sqlite",
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.run = sqlite_run,
	.changes = sqlite_changes,
	.defer = sqlite_defer,
	.settle = sqlite_settle,
	.close = sqlite_close,
};

/* An empty file with mode 0600, if there is none. It gets its name only after it is closed: closing any descriptor of a database file
 * drops the
 * locks that other connections of this process hold on it. */
static int create_private(const void *ctx, const char *path, struct err *err)
{
	char *temporary, *directory;
	int fd, r = 0;

	if (access(path, F_OK) == 0) {
		if (access(path, R_OK | W_OK) < 0)
			return err_set(err, ERR_STORE, "store '%s' cannot be opened for writing: %s", path, strerror(errno));
		return 0;
	}
	temporary = mem_printf(ctx, "%s.%s", path, id_new(ctx, "new"));
	directory = mem_strdup(ctx, path);
	fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		bool space = space_ended(errno);

		return err_set(err, space ? ERR_NO_SPACE : ERR_STORE, "store '%s' cannot be created: directory '%s' is not writable: %s",
			path, dirname(directory), strerror(errno));
	}
	(void)close(fd);
	if (link(temporary, path) < 0 && errno != EEXIST)
		r = err_errno(err, errno, "store '%s' cannot be created", path);
	(void)unlink(temporary);
	return r;
}

static int read_integer(void *user, const struct sql_value *columns, size_t count, unused_arg struct err *err)
{
	if (count == 1 && columns[0].type == SQL_INT)
		*(int64_t *)user = columns[0].integer;
	return 0;
}

static int read_pragma(struct sqlite *sqlite, const char *text, int64_t *ret, struct err *err)
{
	*ret = 0;
	return sqlite_run(&sqlite->sql, text, NULL, 0, read_integer, ret, err);
}

/* Two processes that make the same new store meet in places where SQLite does not ask the busy handler. */
static int exec_patiently(struct sqlite *sqlite, const char *text, struct err *err)
{
	int64_t until_ms = clock_mono_ms() + BUSY_PATIENCE_MS;
	int code;

	while ((code = sqlite3_exec(sqlite->db, text, NULL, NULL, NULL)) != SQLITE_OK) {
		if ((code & 0xff) != SQLITE_BUSY || clock_mono_ms() >= until_ms)
			return sqlite_fail(sqlite, code, err);
		nap_us(1000);
	}
	return 0;
}

/* Nothing is written before the file is known to be ours or empty. */
static int configure(struct sqlite *sqlite, struct err *err)
{
	int64_t application = 0, pages = 0;
	int r;

	(void)sqlite3_busy_handler(sqlite->db, sqlite_busy, sqlite);
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	r = read_pragma(sqlite, "PRAGMA application_id", &application, err);
	if (r == 0 && application != APPLICATION_ID) {
		r = read_pragma(sqlite, "PRAGMA page_count", &pages, err);
		/* Another process may have made it ours in between: the number is read again. */
		if (r == 0 && pages > 0)
			r = read_pragma(sqlite, "PRAGMA application_id", &application, err);
		if (r == 0 && pages > 0 && application != APPLICATION_ID)
			return err_set(err, ERR_CORRUPT, "'%s' is an SQLite database, but not one of unship", sqlite->path);
		if (r == 0 && pages == 0)
			r = exec_patiently(sqlite, "PRAGMA page_size = 1024; PRAGMA application_id = 1970172776", err);
	}
	if (r == 0)
		r = exec_patiently(sqlite, "PRAGMA journal_mode = WAL", err);
	if (r == 0)
		r = exec_patiently(sqlite,
			"PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;"
			"PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 16777216; PRAGMA cell_size_check = ON;",
			err);
	return r;
}

int sqlite_open(const void *ctx, const char *path, struct sql **ret, struct err *err)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	struct sqlite *sqlite;
	int r = 0;

	if (strcmp(path, ":memory:") != 0)
		r = create_private(scratch, path, err);
	if (r < 0)
		return r;
	sqlite = mem_zero(ctx, struct sqlite);
	sqlite->sql.ops = &sqlite_ops;
	sqlite->path = mem_strdup(sqlite, path);
	talloc_set_destructor(sqlite, sqlite_free);
	r = sqlite3_open_v2(path, &sqlite->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
		NULL);
	r = r == SQLITE_OK ? configure(sqlite, err) : sqlite_fail(sqlite, r, err);
	if (r < 0) {
		(void)talloc_free(sqlite);
		return r;
	}
	*ret = &sqlite->sql;
	return 0;
}
