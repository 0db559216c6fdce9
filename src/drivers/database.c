/* What database drivers share (database.h): the goal of a data step, the marks in a capture's folder, facts of tables. Row lists stand in database_rows.c, the ledger in
 * database_ledger.c. One thread. */
#include "drivers/database.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"

#define FACTS_FILE    "tables.json"
#define FACTS_MAX     (64u << 20)
#define FILE_NAME_MAX 180

/* ---- the goal ---- */

static const char *source_of(struct driver_call *call, const char *id)
{
	const char *dir = json_str(call->sources, id, NULL);

	return dir ? dir : json_str(json_object_get(call->target, "sources"), id, NULL);
}

bool database_was_absent(const void *ctx, const char *dir)
{
	_cleanup_talloc_ char *path = fs_join(ctx, dir, DATABASE_ABSENT);

	return fs_exists(path);
}

int database_find_copy(const void *ctx, const char *dir, const char *copy_file, char **ret, struct err *err)
{
	char *path = fs_join(ctx, dir, copy_file);

	if (!fs_exists(path))
		return err_set(err, ERR_NOT_FOUND, "there is no copy of the database in %s", dir);
	*ret = path;
	return 0;
}

static int read_tables(struct driver_call *call, const char *copy_file, json_t *tables, struct database_goal *ret, struct err *err)
{
	const char *name;
	json_t *backup;

	if (!json_is_object(tables) || json_object_size(tables) == 0)
		return err_set(err, ERR_INVALID, "tables: must name at least one table with its backup");
	ret->tables = mem_array(call->ctx, struct database_table, json_object_size(tables));
	json_object_foreach(tables, name, backup) {
		const char *id = json_string_value(backup), *dir = id ? source_of(call, id) : NULL;
		struct err ignored = ERR_INIT;
		char *copy;

		if (!dir)
			return err_set(err, ERR_NOT_FOUND, "table '%s': there is no backup '%s'", name, id ? id : "");
		if (database_find_copy(call->ctx, dir, copy_file, &copy, &ignored) < 0)
			return err_set(err, ERR_NOT_FOUND, "table '%s': backup '%s' holds no copy of this database", name, id);
		ret->tables[ret->table_count++] = (struct database_table){ .name = name, .dir = dir };
	}
	return 0;
}

int database_read_goal(struct driver_call *call, const char *copy_file, struct database_goal *ret, struct err *err)
{
	json_t *tables = json_object_get(call->target, "tables");
	const char *whole = json_str(call->target, "snapshotId", NULL), *migration = json_str(call->target, "migration", NULL);
	struct database_goal goal = { .migration = migration };
	char *copy;
	int r;

	if (tables && !json_is_null(tables)) {
		goal.migration = NULL;
		r = read_tables(call, copy_file, tables, &goal, err);
		if (r == 0)
			*ret = goal;
		return r;
	}
	if (!whole && migration) {
		*ret = goal;
		return 0;
	}
	goal.migration = NULL;
	goal.dir = whole ? source_of(call, whole) : NULL;
	if (!goal.dir)
		goal.dir = call->source_dir;
	if (!goal.dir && whole)
		return err_set(err, ERR_NOT_FOUND, "there is no snapshot '%s' of this database", whole);
	if (!goal.dir)
		return err_set(err, ERR_NOT_FOUND, "no copy of this database is kept for that target");
	r = database_was_absent(call->ctx, goal.dir) ? 0 : database_find_copy(call->ctx, goal.dir, copy_file, &copy, err);
	if (r == 0)
		*ret = goal;
	return r;
}

/* A target that leaves the data as it is (preserveData, which a whole rollback says) asks for nothing to be there. */
bool database_is_to_restore(const struct driver_call *call)
{
	return call->target &&
		(json_object_get(call->target, "snapshotId") || json_object_get(call->target, "tables") ||
			!json_flag(call->target, "preserveData", call->source_dir == NULL));
}

/* ---- the folder of a capture ---- */

int database_capture_begin(struct driver_call *call, const char *copy_file, bool absent, struct err *err)
{
	const char *const names[] = { FACTS_FILE, DATABASE_ABSENT, copy_file, "rows" };
	int r = fs_mkdirs(call->snapshot_dir, 0700, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
		r = fs_remove_tree(fs_join(call->ctx, call->snapshot_dir, names[i]), err);
	if (r == 0 && absent)
		r = fs_write_atomic(fs_join(call->ctx, call->snapshot_dir, DATABASE_ABSENT), "", 0, 0600, err);
	return r;
}

char *database_file_name(const void *ctx, const char *table)
{
	char *name = text_url_encode(ctx, table), hash[HASH_HEX_SIZE];

	if (*name == '.' || !*name)
		name = mem_printf(ctx, "%%2E%s", *name ? name + 1 : "");
	if (strlen(name) <= FILE_NAME_MAX)
		return name;
	hash_blake2b_hex(table, strlen(table), hash);
	return mem_strdup(ctx, hash);
}

/* ---- facts ---- */

static bool is_explained(json_t *explained, const char *table)
{
	json_t *name;
	size_t i;

	json_array_foreach(explained, i, name)
		if (json_string_value(name) && strcmp(json_string_value(name), table) == 0)
			return true;
	return false;
}

static void add_difference(json_t *then, json_t *now, const char *table, const char *component, struct findings *findings)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *before = json_object_get(then, table), *after = json_object_get(now, table),
	       *evidence = json_make(ctx, "{s:s}", "table", table);

	json_put(evidence, "then", before);
	json_put(evidence, "now", after);
	if (!after)
		findings_add(findings, "data_integrity", false, SEVERITY_ERROR, component, evidence, "table %s is missing", table);
	else if (!before)
		findings_add(findings, "data_integrity", false, SEVERITY_ERROR, component, evidence, "table %s was not there", table);
	else
		findings_add(findings, "data_integrity", false, SEVERITY_ERROR, component, evidence,
			"table %s has %lld rows, %lld were expected%s", table, (long long)json_int(after, "rows", 0),
			(long long)json_int(before, "rows", 0),
			json_int(after, "rows", 0) == json_int(before, "rows", 0) ? ", and their content is another" : "");
}

size_t database_compare_facts(json_t *then, json_t *now, json_t *explained, const char *component, struct findings *findings)
{
	size_t differences = 0;
	const char *table;
	json_t *facts;

	json_object_foreach(then, table, facts)
		if (!json_equal(facts, json_object_get(now, table)) && !is_explained(explained, table)) {
			add_difference(then, now, table, component, findings);
			differences++;
		}
	json_object_foreach(now, table, facts)
		if (!json_object_get(then, table) && !is_explained(explained, table)) {
			add_difference(then, now, table, component, findings);
			differences++;
		}
	return differences;
}

void database_put_facts(json_t *tables, const char *name, int64_t rows, const char *checksum)
{
	json_t *facts = json_object();

	json_put_int(facts, "rows", rows);
	json_put_str(facts, "checksum", checksum);
	(void)json_object_set_new(tables, name, facts);
}

int database_write_facts(const char *dir, json_t *tables, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *rows = fs_join(ctx, dir, "rows"), *text;
	int r = 0;

	if (fs_is_dir(rows))
		r = fs_sync_dir(rows, err);
	text = json_pretty(ctx, json_make(ctx, "{s:s, s:O}", "capturedAt", clock_format(ctx, clock_wall_ms()), "tables", tables));
	return r < 0 ? r : fs_write_atomic(fs_join(ctx, dir, FACTS_FILE), text, strlen(text), 0600, err);
}

int database_read_facts(const void *ctx, const char *dir, json_t **ret, const char **ret_captured_at, struct err *err)
{
	char *path = fs_join(ctx, dir, FACTS_FILE), *text;
	json_t *facts, *tables;
	size_t size;
	int r;

	r = fs_read(ctx, path, FACTS_MAX, &text, &size, err);
	if (r < 0)
		return r;
	r = json_parse(ctx, text, size, FACTS_MAX, &facts, err);
	tables = r == 0 ? json_object_get(facts, "tables") : NULL;
	if (r == 0 && !json_is_object(tables))
		r = err_set(err, ERR_CORRUPT, "it names no tables");
	if (r < 0) {
		(void)err_as(err, ERR_CORRUPT);
		return err_in(err, "%s", path);
	}
	*ret = tables;
	if (ret_captured_at)
		*ret_captured_at = mem_strdup(ctx, json_str(facts, "capturedAt", ""));
	return 0;
}
