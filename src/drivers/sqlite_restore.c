/* Copying SQLite databases by SQLite's own means (sqlite_restore.h). The online backup API writes page by page inside one transaction
 * of the destination; a process that is killed in it leaves a
 * hot journal or an uncommitted tail of the WAL, which SQLite rolls back when the file is next opened. So there is no moment at which
 * the live file holds a mix.
 *
 * Copies are plain files in rollback-journal mode, opened immutable: reading them makes no files beside them. One thread. */
#include "drivers/sqlite_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "drivers/sqlite_facts.h"

#ifdef UNSHIP_FAILPOINTS
#define PAGES_PER_STEP 2 /* so that a small database is copied in several steps, between which a test can kill */
#else
#define PAGES_PER_STEP 1024
#endif
#define BUSY_PAUSE_MS   20
#define ATTACHED_MAX    10 /* SQLite's own limit */
#define NOTING_ATTEMPTS 5

void sqlite_close(sqlite3 **connection)
{
	sqlite3_close(*connection);
}

static int run_sql(sqlite3 *connection, const char *statement, const char *what, struct err *err)
{
	int code = sqlite3_exec(connection, statement, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : facts_failed(connection, code, what, err);
}

int sqlite_open_live(struct driver_call *call, const struct sqlite_place *place, bool create, sqlite3 **ret, struct err *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI | (create ? SQLITE_OPEN_CREATE : 0);
	int64_t left = MAX(call->deadline_ms - clock_mono_ms() - 500, (int64_t)100);
	char *uri = mem_printf(call->ctx, "file:%s", text_url_encode(call->ctx, place->path));
	int code = sqlite3_open_v2(uri, ret, flags, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(*ret, (int)MIN(MIN(left, place->busy_ms), (int64_t)3600000));
	if (code != SQLITE_OK)
		return facts_failed(*ret, code, place->path, err);
	/* Not FULL: with that a loss of power may bring the rollback journal of a committed transaction back, and the journal the old rows. */
	return run_sql(*ret, "PRAGMA synchronous = EXTRA", place->path, err);
}

static char *copy_uri(const void *ctx, const char *path)
{
	_cleanup_talloc_ char *encoded = text_url_encode(NULL, path);

	return mem_printf(ctx, "file:%s?mode=ro&immutable=1", encoded);
}

int sqlite_open_copy(struct driver_call *call, const char *path, sqlite3 **ret, struct err *err)
{
	int code = sqlite3_open_v2(copy_uri(call->ctx, path), ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);

	return code == SQLITE_OK ? 0 : facts_failed(*ret, code, path, err);
}

int sqlite_check_integrity(struct driver_call *call, sqlite3 *connection, bool thorough, const char *what, struct err *err)
{
	char *said = NULL;
	int r = facts_text(call->ctx, connection, thorough ? "PRAGMA main.integrity_check(1)" : "PRAGMA main.quick_check(1)", &said, err);

	if (r == 0 && strcmp(said, "ok") != 0)
		return err_set(err, ERR_CORRUPT, "%s: %s", what, said);
	return r < 0 ? err_in(err, "%s", what) : 0;
}

/* One transaction of the destination, over several steps. `locked` (may be NULL) is called once, when nobody else can write to the destination and nothing is written yet; its error ends the copy. */
static int copy_pages(struct driver_call *call, sqlite3 *from, sqlite3 *to, int64_t busy_ms, const char *what,
	int (*locked)(void *user, struct err *err), void *user, struct err *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
	int64_t waited_since = clock_mono_ms();
	int code, end;

	if (!backup)
		return facts_failed(to, sqlite3_errcode(to), what, err);
	do {
		code = sqlite3_backup_step(backup, locked ? 0 : PAGES_PER_STEP);
		if (code == SQLITE_OK && locked) {
			int r = locked(user, err);

			locked = NULL;
			if (r < 0) {
				(void)sqlite3_backup_finish(backup);
				return r;
			}
		} else if (code == SQLITE_OK) {
			FAILPOINT("sqlite.copied_some");
			waited_since = clock_mono_ms();
			call_progress(call, 1.0 - (double)sqlite3_backup_remaining(backup) / MAX(sqlite3_backup_pagecount(backup), 1), "%s",
				what);
		} else if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
			if (clock_mono_ms() - waited_since > busy_ms || clock_mono_ms() > call->deadline_ms - 500)
				break;
			sqlite3_sleep(BUSY_PAUSE_MS);
		}
	} while (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED);
	end = sqlite3_backup_finish(backup);
	if (code == SQLITE_DONE)
		code = end;
	if (code == SQLITE_READONLY) /* what SQLite says of a page size that differs from that of a database in WAL mode */
		return err_set(err, ERR_UNSUPPORTED,
			"%s: the copy has another page size than the database, or the database cannot be written", what);
	return code == SQLITE_OK ? 0 : facts_failed(to, code, what, err);
}

/* ---- out ---- */

static int make_durable(const char *partial, const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(partial, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_talloc_ char *folder = mem_strndup(NULL, path, (size_t)(strrchr(path, '/') - path));

	if (fd < 0 || fchmod(fd, 0600) < 0 || fsync(fd) < 0 || rename(partial, path) < 0)
		return err_errno(err, errno, "%s", path);
	return fs_sync_dir(folder, err);
}

static int fill_copy(struct driver_call *call, const struct sqlite_place *live, const char *partial, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *from = NULL, *to = NULL;
	const struct sqlite_place place = { .path = partial, .busy_ms = 1000 };
	int64_t ignored;
	int r;

	r = sqlite_open_live(call, live, false, &from, err);
	/* A transaction held over the whole copy: else every write of somebody else would start the copy anew. */
	if (r == 0)
		r = run_sql(from, "BEGIN", "the database", err);
	if (r == 0)
		r = facts_integer(from, "SELECT count(*) FROM main.sqlite_master", &ignored, err);
	if (r == 0)
		r = sqlite_open_live(call, &place, true, &to, err);
	if (r == 0)
		r = run_sql(to, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF", "the copy",
			err); /* it is flushed once, at the end */
	if (r == 0)
		r = copy_pages(call, from, to, live->busy_ms, "copying", NULL, NULL, err);
	if (r == 0)
		r = run_sql(to, "PRAGMA journal_mode = DELETE", "the copy", err); /* the source's WAL flag was copied along */
	return r < 0 ? r : sqlite_check_integrity(call, to, true, "the copy", err);
}

int sqlite_copy_out(struct driver_call *call, const struct sqlite_place *live, const char *path, struct err *err)
{
	static const char *const suffixes[] = { "", "-journal", "-wal", "-shm" };
	char *partial = mem_printf(call->ctx, "%s.partial", path);
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(suffixes); i++) /* of an interrupted copy */
		r = fs_remove_tree(mem_printf(call->ctx, "%s%s", partial, suffixes[i]), err);
	if (r == 0)
		r = fill_copy(call, live, partial, err);
	return r < 0 ? r : make_durable(partial, path, err);
}

/* ---- back ---- */

/* A ledger that was written down while others could write, and what tells whether they did. */
struct losses {
	sqlite3 *to;
	unsigned version;
	struct ledger *ledger; /* NULL: the database cannot be read */
	json_t **ret_lost;
};

static unsigned data_version(sqlite3 *connection)
{
	unsigned version = 0;

	(void)sqlite3_file_control(connection, "main", SQLITE_FCNTL_DATA_VERSION, &version);
	return version;
}

static int close_losses(void *user, struct err *err)
{
	struct losses *losses = user;

	if (!losses->ledger)
		return 0;
	if (data_version(losses->to) != losses->version)
		return err_set(err, ERR_CHANGED, "others write to the database");
	return ledger_close(&losses->ledger, losses->ret_lost, err);
}

/* The backup API takes its lock by itself, so nothing can be read under it: what is lost is noted before, and again when somebody has written in between. */
static int note_and_copy(struct driver_call *call, const struct sqlite_place *live, sqlite3 *from, sqlite3 *to, const char *dir,
	json_t **ret_lost, struct err *err)
{
	struct losses losses = { .to = to, .ret_lost = ret_lost };
	struct err why = ERR_INIT;
	int r = 0;

	for (int attempt = 0; attempt < NOTING_ATTEMPTS; attempt++) {
		r = run_sql(to, "BEGIN", "the database", &why);
		if (r == 0)
			r = sqlite_note_losses(call, from, to, dir, &losses.ledger, &why);
		if (r == 0)
			r = run_sql(to, "COMMIT", "the database", &why);
		losses.version = data_version(to);
		if (r == -ERR_CORRUPT) { /* a reason to restore */
			call_log(call, LOG_WARN, "what is lost cannot be told: %s", why.text);
			(void)sqlite3_exec(to, "ROLLBACK", NULL, NULL, NULL);
		} else if (r < 0) {
			*err = why;
			break;
		}
		r = copy_pages(call, from, to, live->busy_ms, "restoring", close_losses, &losses, err);
		ledger_abort(&losses.ledger);
		if (r != -ERR_CHANGED)
			break;
	}
	ledger_abort(&losses.ledger);
	return r == -ERR_CHANGED ? err_as(err, ERR_TIMEOUT) : r;
}

int sqlite_restore_whole(struct driver_call *call, const struct sqlite_place *live, const char *copy, json_t **ret_lost, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *from = NULL, *to = NULL;
	char *folder = mem_strdup(call->ctx, live->path);
	int r;

	r = sqlite_open_copy(call, copy, &from, err);
	if (r == 0)
		r = sqlite_check_integrity(call, from, false, "the copy to restore from", err);
	*strrchr(folder, '/') = 0;
	if (r == 0 && *folder)
		r = fs_mkdirs_durable(folder, 0755, err);
	if (r == 0)
		r = sqlite_open_live(call, live, true, &to, err);
	if (r == 0)
		r = note_and_copy(call, live, from, to, mem_strndup(call->ctx, copy, (size_t)(strrchr(copy, '/') - copy)), ret_lost, err);
	FAILPOINT("sqlite.restored");
	return r < 0 ? r : sqlite_check_integrity(call, to, false, "the restored database", err);
}

/* Under an exclusive lock, so that nobody is in the middle of something; a file that is no database any more is removed all the same.
 * What belongs to the database goes first: left alone,
 * a journal would be played into the next database of this name. */
int sqlite_restore_absence(struct driver_call *call, const struct sqlite_place *live, struct err *err)
{
	static const char *const suffixes[] = { "-journal", "-wal", "-shm", "" };
	_cleanup_(sqlite_close) sqlite3 *connection = NULL;
	char *folder = mem_strdup(call->ctx, live->path);
	struct err why = ERR_INIT;
	int r = 0;

	if (fs_exists(live->path)) {
		if (sqlite_open_live(call, live, false, &connection, &why) == 0 &&
			run_sql(connection, "PRAGMA wal_checkpoint(TRUNCATE)", "the database", &why) == 0)
			r = run_sql(connection, "BEGIN EXCLUSIVE", "the database", &why);
		if (r == -ERR_TIMEOUT) {
			*err = why;
			return r;
		}
	}
	r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(suffixes); i++)
		r = fs_remove_tree(mem_printf(call->ctx, "%s%s", live->path, suffixes[i]), err);
	*strrchr(folder, '/') = 0;
	return r == 0 && fs_is_dir(folder) ? fs_sync_dir(folder, err) : r;
}

/* ---- tables ---- */

/* Name under which a table's copy is attached: "copy0"; the same for the same file. */
static char *attached_name(const void *ctx, const struct sqlite_table *tables, size_t i)
{
	size_t number = 0, k;

	for (k = 0; strcmp(tables[k].copy, tables[i].copy) != 0; k++)
		continue;
	for (size_t j = 0; j < k; j++) {
		size_t first = 0;

		while (strcmp(tables[first].copy, tables[j].copy) != 0)
			first++;
		number += first == j;
	}
	return mem_printf(ctx, "copy%zu", number);
}

static int attach_all(struct driver_call *call, sqlite3 *connection, const struct sqlite_table *tables, size_t count, struct err *err)
{
	size_t attached = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		size_t first = 0;

		while (strcmp(tables[first].copy, tables[i].copy) != 0)
			first++;
		if (first < i)
			continue;
		if (++attached > ATTACHED_MAX)
			return err_set(err, ERR_TOO_LARGE, "the tables come from more than %d backups: take several steps", ATTACHED_MAX);
		r = run_sql(connection,
			mem_printf(call->ctx, "ATTACH %s AS %s", facts_quote_text(call->ctx, copy_uri(call->ctx, tables[i].copy)),
				attached_name(call->ctx, tables, i)),
			tables[i].copy, err);
	}
	return r;
}

/* Its definition and its indexes, as they are in the copy. */
static int make_table(struct driver_call *call, sqlite3 *connection, const char *database, const char *table, struct err *err)
{
	char *name = facts_quote_text(call->ctx, table), *definition, *indexes;
	int64_t there;
	int r;

	r = facts_integer(connection,
		mem_printf(call->ctx, "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = %s COLLATE NOCASE", name),
		&there, err);
	if (r < 0 || there)
		return r;
	r = facts_text(call->ctx, connection,
		mem_printf(call->ctx, "SELECT coalesce(max(sql), '') FROM %s.sqlite_master WHERE type = 'table' AND name = %s", database,
			name),
		&definition, err);
	if (r == 0 && !*definition)
		return err_set(err, ERR_NOT_FOUND, "it is not in the backup");
	if (r == 0)
		r = run_sql(connection, definition, "making it", err);
	if (r == 0)
		r = facts_text(call->ctx, connection,
			mem_printf(call->ctx,
				"SELECT coalesce(group_concat(sql, ';'), '') FROM %s.sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = %s",
				database, name),
			&indexes, err);
	return r < 0 ? r : run_sql(connection, indexes, "making its indexes", err);
}

static int restore_table(struct driver_call *call, sqlite3 *connection, const char *database, const char *table, struct err *err)
{
	char *columns, *quoted = facts_quote(call->ctx, table);
	int64_t rows, wanted;
	int r;

	r = make_table(call, connection, database, table, err);
	if (r == 0)
		r = facts_common_columns(call->ctx, connection, database, table, &columns, err);
	if (r == 0 && !*columns)
		r = err_set(err, ERR_NOT_FOUND, "the backup has no such table, or none of its columns");
	if (r == 0)
		r = run_sql(connection, mem_printf(call->ctx, "DELETE FROM main.%s", quoted), "removing its rows", err);
	if (r == 0)
		r = run_sql(connection,
			mem_printf(call->ctx, "INSERT INTO main.%s (%s) SELECT %s FROM %s.%s", quoted, columns, columns, database, quoted),
			"copying its rows", err);
	if (r == 0)
		r = facts_integer(connection, mem_printf(call->ctx, "SELECT count(*) FROM main.%s", quoted), &rows, err);
	if (r == 0)
		r = facts_integer(connection, mem_printf(call->ctx, "SELECT count(*) FROM %s.%s", database, quoted), &wanted, err);
	if (r == 0 && rows != wanted)
		r = err_set(err, ERR_FAILED, "it has %lld rows after the restore, the backup has %lld", (long long)rows, (long long)wanted);
	if (r < 0)
		return err_in(err, "table '%s'", table);
	call_log(call, LOG_INFO, "table %s: %lld rows", table, (long long)rows);
	return 0;
}

#define VIOLATIONS "SELECT count(*) FROM pragma_foreign_key_check"

/* Within the caller's transaction. Violations that were there before are not ours. */
static int replace_rows(struct driver_call *call, sqlite3 *connection, const struct sqlite_table *tables, size_t count, struct err *err)
{
	int64_t before, after;
	char *violator;
	int r;

	r = facts_integer(connection, VIOLATIONS, &before, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = restore_table(call, connection, attached_name(call->ctx, tables, i), tables[i].name, err);
		FAILPOINT("sqlite.table_written");
	}
	if (r == 0)
		r = facts_integer(connection, VIOLATIONS, &after, err);
	if (r < 0 || after <= before)
		return r;
	r = facts_text(call->ctx, connection, "SELECT \"table\" || ' to ' || parent FROM pragma_foreign_key_check", &violator, err);
	return r < 0 ? r
		     : err_set(err, ERR_REFUSED, "the restore would break %lld foreign keys, such as one from %s: nothing was changed",
			       (long long)(after - before), violator);
}

int sqlite_restore_tables(struct driver_call *call, const struct sqlite_place *live, const struct sqlite_table *tables, size_t count,
	json_t **ret_lost, struct err *err)
{
	const char **attached = mem_array(call->ctx, const char *, MAX(count, (size_t)1));
	_cleanup_(sqlite_close) sqlite3 *connection = NULL;
	int r;

	for (size_t i = 0; i < count; i++)
		attached[i] = attached_name(call->ctx, tables, i);

	r = sqlite_open_live(call, live, false, &connection, err);
	if (r == 0 && sqlite3_db_config(connection, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) != SQLITE_OK)
		r = err_set(err, ERR_UNSUPPORTED, "this SQLite cannot switch triggers off");
	if (r == 0)
		r = run_sql(connection, "PRAGMA foreign_keys = OFF", "the database", err);
	if (r == 0)
		r = attach_all(call, connection, tables, count, err);
	if (r == 0)
		r = run_sql(connection, "BEGIN IMMEDIATE", "the database", err);
	if (r == 0)
		r = sqlite_note_tables(call, connection, tables, attached, count, ret_lost, err);
	if (r == 0)
		r = replace_rows(call, connection, tables, count, err);
	if (r == 0)
		r = run_sql(connection, "COMMIT", "the database", err);
	FAILPOINT("sqlite.tables_restored");
	return r; /* closing rolls back what was not committed */
}

int sqlite_tables_equal(struct driver_call *call, const struct sqlite_place *live, const struct sqlite_table *tables, size_t count,
	int *ret, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *connection = NULL;
	char *columns, here[HASH_HEX_SIZE], there[HASH_HEX_SIZE];
	int r;

	*ret = 0;
	r = sqlite_open_live(call, live, false, &connection, err);
	if (r == 0)
		r = attach_all(call, connection, tables, count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		char *database = attached_name(call->ctx, tables, i);

		r = facts_common_columns(call->ctx, connection, database, tables[i].name, &columns, err);
		if (r == 0 && !*columns)
			return 0;
		if (r == 0)
			r = facts_rows(call->ctx, connection, "main", tables[i].name, columns, here, err);
		if (r == 0)
			r = facts_rows(call->ctx, connection, database, tables[i].name, columns, there, err);
		if (r == 0 && strcmp(here, there) != 0)
			return 0;
	}
	*ret = r == 0;
	return r;
}
