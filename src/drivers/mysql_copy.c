/* Copying a database into a folder (mysql_copy.h). The index is written after all that it names, and the facts after the index. One thread. */
#include "drivers/mysql_copy.h"

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"

#define FORMAT    1
#define INDEX_MAX (256u << 20)

/* ---- out ---- */

static bool all_transactional(json_t *tables)
{
	const char *name;
	json_t *table;

	json_object_foreach(tables, name, table)
		if (!json_flag(table, "transactional", false))
			return false;
	return true;
}

static char *lock_statement(const void *ctx, json_t *tables)
{
	char *text = mem_strdup(ctx, "LOCK TABLES");
	const char *name, *between = " ";
	json_t *table;

	json_object_foreach(tables, name, table) {
		_cleanup_talloc_ char *quoted = mysqldb_name(NULL, name);

		text = mem_appendf(text, "%s%s READ", between, quoted);
		between = ", ";
	}
	return text;
}

/* One moment for all that is read from now on. The catalogue is read again within it: a table that was changed after it is refused by the server. */
static int begin_reading(struct mysqldb *db, json_t **catalogue, struct err *err)
{
	int r;

	r = mysqldb_run(db, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "the copy", err);
	if (r == 0)
		r = mysql_facts_catalogue(db, db->call->ctx, db->database, catalogue, err);
	if (r < 0 || all_transactional(json_object_get(*catalogue, "tables")))
		return r;
	call_log(db->call, LOG_WARN, "%s holds tables whose engine knows no transactions: writers wait while it is copied", db->database);
	r = mysqldb_run(db, "COMMIT", "the copy", err);
	if (r == 0)
		r = mysqldb_run(db, lock_statement(db->call->ctx, json_object_get(*catalogue, "tables")), "locking tables for the copy",
			err);
	return r < 0 ? r : mysql_facts_catalogue(db, db->call->ctx, db->database, catalogue, err);
}

static int copy_table(struct mysqldb *db, const char *dir, const char *name, json_t *table, json_t *facts, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	const struct mysql_source source = { .schema = db->database,
		.name = name,
		.table = table,
		.columns = json_object_get(table, "columns") };
	char *file = mem_printf(work, "tables/%s.sql", database_file_name(work, name)), *path = fs_join(work, dir, file);
	char checksum[HASH_HEX_SIZE], sum[HASH_HEX_SIZE];
	uint64_t size;
	int64_t rows;
	int r;

	r = mysql_rows_save(db, &source, path, dir, &rows, checksum, err);
	if (r == 0)
		r = hash_blake2b_file(path, sum, &size, err);
	if (r < 0)
		return err_in(err, "table '%s'", name);
	json_put_str(table, "file", file);
	json_put_int(table, "rows", rows);
	json_put_str(table, "checksum", checksum);
	json_put_int(table, "size", (int64_t)size);
	json_put_str(table, "sum", sum);
	database_put_facts(facts, name, rows, checksum);
	return 0;
}

static int copy_tables(struct mysqldb *db, const char *dir, json_t *tables, json_t *facts, struct err *err)
{
	size_t done = 0, count = json_object_size(tables);
	const char *name;
	json_t *table;
	int r;

	json_object_foreach(tables, name, table) {
		call_progress(db->call, (double)done++ / (double)count, "copying %s", name);
		r = copy_table(db, dir, name, table, facts, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_programs(struct mysqldb *db, const char *dir, json_t *programs, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *text = mem_strdup(work, "SET NAMES utf8mb4;\nDELIMITER ;;\n");
	json_t *program;
	size_t i;

	json_array_foreach(programs, i, program)
		text = mem_appendf(text, "SET SESSION sql_mode = '%s' ;;\n%s ;;\n", json_str(program, "sqlMode", ""),
			json_str(program, "create", ""));
	text = mem_append(text, "DELIMITER ;\n");
	return fs_write_atomic(fs_join(db->call->ctx, dir, "programs.sql"), text, strlen(text), 0600, err);
}

static int write_index(struct mysqldb *db, const char *dir, json_t *index, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *text;
	int r;

	json_put_int(index, "format", FORMAT);
	json_put_str(index, "server", mysqldb_flavor(db));
	json_put_str(index, "version", db->version);
	json_put_str(index, "database", db->database);
	text = json_pretty(work, index);
	r = fs_sync_dir(fs_join(work, dir, "tables"), err);
	return r < 0 ? r : fs_write_atomic(fs_join(work, dir, MYSQL_COPY_FILE), text, strlen(text), 0600, err);
}

int mysql_copy_out(struct mysqldb *db, struct err *err)
{
	const char *dir = db->call->snapshot_dir, *tables = fs_join(db->call->ctx, dir, "tables");
	json_t *index, *programs, *facts = json_keep(db->call->ctx, json_object());
	bool there;
	int r;

	r = mysql_facts_exists(db, db->database, &there, err);
	if (r == 0)
		r = database_capture_begin(db->call, MYSQL_COPY_FILE, !there, err);
	if (r == 0)
		r = fs_remove_tree(tables, err);
	if (r < 0 || !there)
		return r;
	r = fs_mkdirs(tables, 0700, err);
	if (r == 0)
		r = mysql_facts_programs(db, db->call->ctx, db->database, &programs, err);
	if (r == 0)
		r = begin_reading(db, &index, err);
	if (r == 0)
		r = copy_tables(db, dir, json_object_get(index, "tables"), facts, err);
	FAILPOINT("mysql.tables_saved");
	if (r == 0)
		r = mysqldb_run(db, "UNLOCK TABLES", "the copy", err);
	if (r == 0)
		r = mysqldb_run(db, "COMMIT", "the copy", err);
	if (r < 0)
		return err_in(err, "copying");
	json_put(index, "programs", programs);
	r = write_programs(db, dir, programs, err);
	if (r == 0)
		r = write_index(db, dir, index, err);
	return r < 0 ? r : database_write_facts(dir, facts, err);
}

/* ---- what is kept ---- */

int mysql_copy_read(const void *ctx, const char *dir, json_t **ret, struct err *err)
{
	char *path, *text;
	json_t *index;
	size_t size;
	int r;

	r = database_find_copy(ctx, dir, MYSQL_COPY_FILE, &path, err);
	if (r == 0)
		r = fs_read(ctx, path, INDEX_MAX, &text, &size, err);
	if (r < 0)
		return r;
	r = json_parse(ctx, text, size, INDEX_MAX, &index, err);
	(void)talloc_free(text);
	if (r == 0 && json_int(index, "format", 0) > FORMAT)
		return err_set(err, ERR_NEWER, "%s: written by a newer unship", path);
	if (r == 0 && (!json_is_object(json_object_get(index, "tables")) || !json_is_array(json_object_get(index, "programs"))))
		r = err_set(err, ERR_CORRUPT, "it names no tables");
	if (r < 0) {
		(void)err_as(err, ERR_CORRUPT);
		return err_in(err, "%s", path);
	}
	*ret = index;
	return 0;
}

int mysql_copy_fits(const struct mysqldb *db, json_t *index, struct err *err)
{
	const char *server = json_str(index, "server", ""), *version = json_str(index, "version", "");

	if (strcmp(server, mysqldb_flavor(db)) != 0)
		return err_set(err, ERR_REFUSED, "the copy is of %s %s and the server is %s %s: one does not take what the other writes",
			server, version, mysqldb_flavor(db), db->version);
	if (mysqldb_version_number(version) / 100 > db->number / 100)
		return err_set(err, ERR_REFUSED, "the copy is of %s %s and the server is older: %s", server, version, db->version);
	return 0;
}

int mysql_copy_table(const void *ctx, const char *dir, json_t *index, const char *table, char **ret, struct err *err)
{
	json_t *entry = json_object_get(json_object_get(index, "tables"), table);
	const char *file = json_str(entry, "file", "");
	char *path = fs_join(ctx, dir, file), sum[HASH_HEX_SIZE];
	int r;

	if (!entry)
		return err_set(err, ERR_NOT_FOUND, "table '%s': it is not in the backup", table);
	if (!text_starts_with(file, "tables/") || strchr(file + 7, '/') || !text_ends_with(file, ".sql"))
		return err_set(err, ERR_CORRUPT, "table '%s': the backup names no file of it", table);
	r = hash_blake2b_file(path, sum, NULL, err);
	if (r < 0)
		return err_in(err, "table '%s'", table);
	if (!hash_hex_is(sum, json_str(entry, "sum", "")))
		return err_set(err, ERR_CORRUPT, "table '%s': its file is not as it was written", table);
	*ret = path;
	return 0;
}

int64_t mysql_copy_size(json_t *index)
{
	int64_t size = 0;
	const char *name;
	json_t *table;

	json_object_foreach(json_object_get(index, "tables"), name, table)
		size += json_int(table, "size", 0);
	return size;
}
