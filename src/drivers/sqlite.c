/* sqlite: an SQLite database file.
 *
 * What it holds is read with SQLite's own means: capture and whole restores use the online backup API, which copies page by page inside a transaction of the destination, so that readers see the old
 * content or the new, never a mix, and a kill in the middle is rolled back by SQLite itself when the file is next opened. Single tables are replaced in one transaction, columns matched by name, foreign
 * keys and row counts checked before the commit.
 *
 * Version: migration version (PRAGMA user_version, or the newest row of schema_migrations) and the schema's fingerprint, "m2-3fa9c01b"; content is compared by a hash over schema and rows. */
#include <sqlite3.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "core/driver.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/list.h"
#include "drivers/sqlite_facts.h"

#define COPY_FILE "database.sqlite"
#define ABSENT_FILE "absent"
#define PAGES_PER_STEP 2048
#define BUSY_PAUSE_MS 20

struct sqlite_params { const char *path; };

/* clang-format off */
static const struct field sqlite_fields[] = {
	FIELD_PATH(struct sqlite_params, path, REQUIRED, "database file, relative to the project"),
	FIELD_END,
};
/* clang-format on */

static char *live_path(const struct driver_call *call)
{
	const struct sqlite_params *params = call->params;

	return fs_join(call->ctx, call->project_dir, params->path);
}

static int failed(sqlite3 *database, int code, const char *what, struct err *err)
{
	enum err_code kind = ERR_DRIVER;

	if (code == SQLITE_FULL)
		kind = ERR_NO_SPACE;
	else if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		kind = ERR_CORRUPT;
	else if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		kind = ERR_TIMEOUT;
	else if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN || code == SQLITE_PERM)
		kind = ERR_IO;
	return err_set(err, kind, "%s: %s", what, database ? sqlite3_errmsg(database) : sqlite3_errstr(code));
}

static void close_database(sqlite3 **database)
{
	sqlite3_close(*database);
}

/* The file must exist for reading; `create` makes it. Waits for locks until the call's deadline, less a second to say so. */
static int open_database(struct driver_call *call, const char *path, bool create, sqlite3 **ret, struct err *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
	int64_t left = MAX(call->deadline_ms - clock_mono_ms() - 1000, 100);
	int code = sqlite3_open_v2(path, ret, flags, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(*ret, (int)MIN(left, 600000));
	if (code != SQLITE_OK)
		return failed(*ret, code, path, err);
	return 0;
}

static int run_sql(sqlite3 *database, const char *statement, struct err *err)
{
	int code = sqlite3_exec(database, statement, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : failed(database, code, statement, err);
}

static int check_integrity(struct driver_call *call, sqlite3 *database, const char *what, struct err *err)
{
	char *said = NULL;
	int r = facts_text(call->ctx, database, "PRAGMA quick_check(1)", &said, err);

	if (r == 0 && strcmp(said, "ok") != 0)
		return err_set(err, ERR_CORRUPT, "%s: %s", what, said);
	return r < 0 ? err_in(err, "%s", what) : 0;
}

/* Copies one database over another, as one transaction of the destination. */
static int copy_database(struct driver_call *call, sqlite3 *from, sqlite3 *to, const char *what, struct err *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
	int code;

	if (!backup)
		return failed(to, sqlite3_errcode(to), what, err);
	do {
		code = sqlite3_backup_step(backup, PAGES_PER_STEP);
		if (sqlite3_backup_pagecount(backup) > PAGES_PER_STEP)
			call_progress(call, 1.0 - (double)sqlite3_backup_remaining(backup) / sqlite3_backup_pagecount(backup), "%s", what);
		FAILPOINT("sqlite.copied_some");
		if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
			if (clock_mono_ms() > call->deadline_ms - 500)
				break;
			sqlite3_sleep(BUSY_PAUSE_MS);
		}
	} while (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED);
	if (code == SQLITE_DONE)
		code = sqlite3_backup_finish(backup);
	else
		sqlite3_backup_finish(backup);
	return code == SQLITE_OK ? 0 : failed(to, code, what, err);
}

/* Whole restore of the file from a copy; the mode and owner of an existing file stay, because the file itself stays. */
static int restore_whole(struct driver_call *call, const char *copy, struct err *err)
{
	_cleanup_(close_database) sqlite3 *from = NULL, *to = NULL;
	int r;

	r = open_database(call, copy, false, &from, err);
	if (r == 0)
		r = check_integrity(call, from, "the copy to restore from", err);
	if (r == 0)
		r = open_database(call, live_path(call), true, &to, err);
	if (r == 0)
		r = copy_database(call, from, to, "restoring", err);
	if (r == 0)
		r = check_integrity(call, to, "the restored database", err);
	FAILPOINT("sqlite.restored");
	return r;
}

static int restore_absence(struct driver_call *call, struct err *err)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(suffixes); i++)
		r = fs_remove_tree(mem_printf(call->ctx, "%s%s", live_path(call), suffixes[i]), err);
	return r;
}

static int restore_from(struct driver_call *call, const char *dir, struct err *err)
{
	char *copy = fs_join(call->ctx, dir, COPY_FILE);

	if (fs_exists(fs_join(call->ctx, dir, ABSENT_FILE)))
		return restore_absence(call, err);
	if (!fs_exists(copy))
		return err_set(err, ERR_NOT_FOUND, "there is no copy of the database in %s", dir);
	return restore_whole(call, copy, err);
}

/* One table out of an attached copy, within the caller's transaction. */
static int restore_table(struct driver_call *call, sqlite3 *database, const char *table, struct err *err)
{
	char *columns, *quoted = facts_quote(call->ctx, table);
	int64_t rows, wanted;
	int r;

	r = facts_common_columns(call->ctx, database, table, &columns, err);
	if (r < 0)
		return err_in(err, "table '%s'", table);
	if (!*columns)
		return err_set(err, ERR_NOT_FOUND, "table '%s' is not in both the copy and the database", table);
	r = run_sql(database, mem_printf(call->ctx, "DELETE FROM main.%s", quoted), err);
	if (r == 0)
		r = run_sql(database, mem_printf(call->ctx, "INSERT INTO main.%s (%s) SELECT %s FROM backup.%s", quoted, columns, columns, quoted), err);
	if (r == 0)
		r = facts_integer(database, mem_printf(call->ctx, "SELECT count(*) FROM main.%s", quoted), &rows, err);
	if (r == 0)
		r = facts_integer(database, mem_printf(call->ctx, "SELECT count(*) FROM backup.%s", quoted), &wanted, err);
	if (r == 0 && rows != wanted)
		return err_set(err, ERR_FAILED, "table '%s' has %lld rows after the restore, the copy has %lld", table, (long long)rows, (long long)wanted);
	return r < 0 ? err_in(err, "table '%s'", table) : 0;
}

static const char *source_of(struct driver_call *call, const char *id)
{
	const char *dir = json_str(call->sources, id, NULL);

	return dir ? dir : call->source_dir;
}

/* Each table may come from a copy of its own; ATTACH is not possible inside a transaction, so each copy is its own transaction and the foreign keys are checked at the end of each. */
static int restore_tables(struct driver_call *call, json_t *tables, struct err *err)
{
	_cleanup_(close_database) sqlite3 *database = NULL;
	const char *table, *dir;
	json_t *backup;
	int64_t violations;
	int r;

	r = open_database(call, live_path(call), false, &database, err);
	json_object_foreach(tables, table, backup) {
		if (r < 0)
			break;
		dir = source_of(call, json_is_string(backup) ? json_string_value(backup) : "");
		if (!dir)
			return err_set(err, ERR_NOT_FOUND, "table '%s': there is no backup '%s'", table, json_is_string(backup) ? json_string_value(backup) : "");
		r = run_sql(database, mem_printf(call->ctx, "ATTACH %s AS backup", facts_quote_text(call->ctx, fs_join(call->ctx, dir, COPY_FILE))), err);
		if (r == 0)
			r = run_sql(database, "PRAGMA foreign_keys = OFF", err);
		if (r == 0)
			r = run_sql(database, "BEGIN IMMEDIATE", err);
		if (r == 0)
			r = restore_table(call, database, table, err);
		if (r == 0)
			r = facts_integer(database, "SELECT count(*) FROM pragma_foreign_key_check", &violations, err);
		if (r == 0 && violations)
			r = err_set(err, ERR_FAILED, "table '%s' from backup would break %lld foreign keys", table, (long long)violations);
		if (r < 0)
			return r; /* closing rolls the transaction back */
		r = run_sql(database, "COMMIT", err);
		FAILPOINT("sqlite.table_restored");
		if (r == 0)
			r = run_sql(database, "DETACH backup", err);
	}
	return r;
}

static int open_if_there(struct driver_call *call, const char *path, sqlite3 **ret, struct err *err)
{
	*ret = NULL;
	return fs_exists(path) ? open_database(call, path, false, ret, err) : 0;
}

/* Is the content (of the named tables, or all) that of the copy in `dir`? */
static int same_content(struct driver_call *call, sqlite3 *live, const char *dir, const char *table, int *ret, struct err *err)
{
	_cleanup_(close_database) sqlite3 *copy = NULL;
	char here[HASH_HEX_SIZE], there[HASH_HEX_SIZE];
	int r;

	*ret = 0;
	if (fs_exists(fs_join(call->ctx, dir, ABSENT_FILE))) {
		*ret = !live;
		return 0;
	}
	if (!live || !fs_exists(fs_join(call->ctx, dir, COPY_FILE)))
		return 0;
	r = open_database(call, fs_join(call->ctx, dir, COPY_FILE), false, &copy, err);
	if (r == 0)
		r = facts_content(call->ctx, live, table, here, err);
	if (r == 0)
		r = facts_content(call->ctx, copy, table, there, err);
	if (r == 0)
		*ret = !strcmp(here, there);
	return r;
}

static int compare_with_goal(struct driver_call *call, sqlite3 *live, int *ret, struct err *err)
{
	json_t *tables = json_object_get(call->target, "tables"), *backup;
	const char *whole = json_str(call->target, "snapshotId", NULL), *table, *dir;
	int r = 0;

	if (tables) {
		*ret = 1;
		json_object_foreach(tables, table, backup) {
			dir = source_of(call, json_is_string(backup) ? json_string_value(backup) : "");
			if (!dir)
				return 0;
			if (*ret == 1 && r == 0)
				r = same_content(call, live, dir, table, ret, err);
		}
		return r;
	}
	dir = whole ? source_of(call, whole) : call->target ? call->source_dir : call->snapshot_dir;
	return dir ? same_content(call, live, dir, NULL, ret, err) : 0;
}

static int sqlite_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	_cleanup_(close_database) sqlite3 *live = NULL;
	char fingerprint[HASH_HEX_SIZE];
	json_t *schema;
	char *migration, *text;
	int r;

	r = open_if_there(call, live_path(call), &live, err);
	if (r == 0)
		r = compare_with_goal(call, live, &ret->at_target, err);
	if (r < 0)
		return r;
	if (!live) {
		ret->version = "";
		ret->state = "absent";
		return 0;
	}
	r = facts_schema(call->ctx, live, &schema, err);
	if (r == 0)
		r = facts_migration(call->ctx, live, &migration, err);
	if (r < 0)
		return err_in(err, "%s", live_path(call));
	text = json_canonical(call->ctx, schema);
	hash_blake2b_hex(text, strlen(text), fingerprint);
	ret->version = mem_printf(call->ctx, "m%s-%.8s", migration, fingerprint);
	ret->state = "present";
	ret->healthy = 1;
	ret->details = json_make(call->ctx, "{s:O, s:s}", "schema", schema, "migration", migration);
	return 0;
}

static int sqlite_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	_cleanup_(close_database) sqlite3 *live = NULL, *copy = NULL;
	bool restores = call->target && !json_flag(call->target, "preserveData", true);
	struct err why = ERR_INIT;
	int r;

	r = open_if_there(call, live_path(call), &live, err);
	if (r < 0)
		return r;
	if (live) {
		r = check_integrity(call, live, "the database", &why);
		findings_add(ret, "data_integrity", r == 0, SEVERITY_ERROR, call->name, NULL, "%s", r == 0 ? "the database is sound" : why.text);
	}
	if (!restores)
		return 0;
	if (!call->source_dir || !fs_exists(fs_join(call->ctx, call->source_dir, COPY_FILE))) {
		findings_add(ret, "target_content", false, SEVERITY_ERROR, call->name, NULL, "no copy of the database was kept with the target deployment");
		return 0;
	}
	r = open_database(call, fs_join(call->ctx, call->source_dir, COPY_FILE), false, &copy, &why);
	if (r == 0)
		r = check_integrity(call, copy, "the copy", &why);
	findings_add(ret, "target_content", r == 0, SEVERITY_ERROR, call->name, NULL, "%s", r == 0 ? "the copy kept with the target is sound" : why.text);
	return 0;
}

static int sqlite_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	json_t *tables = json_object_get(call->target, "tables");
	const char *whole = json_str(call->target, "snapshotId", NULL), *dir;

	(void)ret_outputs;
	if (tables)
		return restore_tables(call, tables, err);
	dir = whole ? source_of(call, whole) : call->source_dir;
	if (!dir)
		return err_set(err, ERR_NOT_FOUND, "there is no snapshot '%s' of this database", whole ? whole : "");
	return restore_from(call, dir, err);
}

static int sqlite_capture(struct driver_call *call, struct err *err)
{
	_cleanup_(close_database) sqlite3 *live = NULL, *copy = NULL;
	char *path = fs_join(call->ctx, call->snapshot_dir, COPY_FILE);
	int r;

	r = open_if_there(call, live_path(call), &live, err);
	if (r == 0)
		r = fs_remove_tree(path, err); /* of an interrupted capture */
	if (r < 0)
		return r;
	if (!live)
		return fs_write_atomic(fs_join(call->ctx, call->snapshot_dir, ABSENT_FILE), "", 0, 0600, err);
	r = open_database(call, path, true, &copy, err);
	/* The snapshot's own fsync makes the copy durable; until then it may be lost, and is then captured again. */
	if (r == 0)
		r = run_sql(copy, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF", err);
	if (r == 0)
		r = copy_database(call, live, copy, "copying", err);
	/* The copy keeps the source's WAL flag; a file of its own is simpler to keep and to read. */
	if (r == 0)
		r = run_sql(copy, "PRAGMA journal_mode = DELETE", err);
	if (r == 0)
		r = check_integrity(call, copy, "the copy", err);
	return r;
}

static int sqlite_undo(struct driver_call *call, struct err *err)
{
	return restore_from(call, call->snapshot_dir, err);
}

const struct driver driver_sqlite = {
	.name = "sqlite",
	.summary = "an SQLite database file: whole or named tables",
	.kind = DRIVER_DATA,
	.fields = sqlite_fields,
	.params_size = sizeof(struct sqlite_params),
	.keeps = true,
	.observe = sqlite_observe,
	.check = sqlite_check,
	.apply = sqlite_apply,
	.capture = sqlite_capture,
	.undo = sqlite_undo,
};
