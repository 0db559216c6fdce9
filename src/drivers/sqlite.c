/* sqlite: an SQLite database file.
 *
 *   target {snapshotId}, or a deployment's kept copy (source_dir)   the whole content
 *   target {tables: {NAME: BACKUP}}                                 the rows of these tables; BACKUP names one of `sources`
 *
 * A capture is a folder with database.sqlite, or with a file "absent" when there was no database. All copying is sqlite_restore.c's; it
 * is atomic by SQLite's own means, so apply and undo may be killed
 * anywhere and repeated.
 *
 * Version: the migration version (newest row of schema_migrations, or PRAGMA user_version) and the schema's fingerprint, "m2-3fa9c01b".
 * The version says nothing about rows; whether a target
 * is reached is found by comparing hashes over schema and rows. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/list.h"
#include "drivers/sqlite_facts.h"
#include "drivers/sqlite_restore.h"

#define COPY_FILE      "database.sqlite"
#define ABSENT_FILE    "absent"
#define COUNT_LIMIT_MS 500 /* rows are counted for people; large databases need not wait for it */

struct sqlite_params {
	const char *path;
	bool keep_at_record;
	int64_t busy_timeout_ms;
	const char **irreversible;
};

/* clang-format off */
static const struct field sqlite_fields[] = {
	FIELD_FILE(struct sqlite_params, path,            REQUIRED,        "database file, relative to the project"),
	FIELD_BOOL(struct sqlite_params, keep_at_record,  DEFAULT("true"), "keep a copy of the whole database with every recorded deployment"),
	FIELD_MS  (struct sqlite_params, busy_timeout_ms, DEFAULT("10s"),  "how long to wait while another process locks the database"),
	FIELD_LIST(struct sqlite_params, irreversible,    OPTIONAL,        "migration versions that cannot go backwards"),
	FIELD_END
};
/* clang-format on */

static struct sqlite_place live_place(const struct driver_call *call)
{
	const struct sqlite_params *params = call->params;

	return (struct sqlite_place){ .path = fs_join(call->ctx, call->project_dir, params->path), .busy_ms = params->busy_timeout_ms };
}

/* ---- what is to be reached ---- */

struct goal {
	const char *dir; /* the whole, captured there; NULL: tables, or nothing */
	struct sqlite_table *tables;
	size_t table_count;
};

static const char *source_of(struct driver_call *call, const char *id)
{
	const char *dir = json_str(call->sources, id, NULL);

	return dir ? dir : json_str(json_object_get(call->target, "sources"), id, NULL);
}

static int read_tables(struct driver_call *call, json_t *tables, struct goal *ret, struct err *err)
{
	const char *name;
	json_t *backup;

	if (!json_is_object(tables) || json_object_size(tables) == 0)
		return err_set(err, ERR_INVALID, "tables: must name at least one table with its backup");
	ret->tables = mem_array(call->ctx, struct sqlite_table, json_object_size(tables));
	json_object_foreach(tables, name, backup) {
		const char *id = json_string_value(backup), *dir = id ? source_of(call, id) : NULL;
		char *copy;

		if (!dir)
			return err_set(err, ERR_NOT_FOUND, "table '%s': there is no backup '%s'", name, id ? id : "");
		copy = fs_join(call->ctx, dir, COPY_FILE);
		if (!fs_exists(copy))
			return err_set(err, ERR_NOT_FOUND, "table '%s': backup '%s' holds no copy of this database", name, id);
		ret->tables[ret->table_count++] = (struct sqlite_table){ .name = name, .copy = copy };
	}
	return 0;
}

static int read_goal(struct driver_call *call, struct goal *ret, struct err *err)
{
	json_t *tables = json_object_get(call->target, "tables");
	const char *whole = json_str(call->target, "snapshotId", NULL);

	*ret = (struct goal){ 0 };
	if (tables && !json_is_null(tables))
		return read_tables(call, tables, ret, err);
	ret->dir = whole ? source_of(call, whole) : NULL;
	if (!ret->dir)
		ret->dir = call->source_dir;
	if (!ret->dir && whole)
		return err_set(err, ERR_NOT_FOUND, "there is no snapshot '%s' of this database", whole);
	if (!ret->dir)
		return err_set(err, ERR_NOT_FOUND, "no copy of this database is kept for that target");
	return 0;
}

static bool holds_absence(struct driver_call *call, const char *dir)
{
	return fs_exists(fs_join(call->ctx, dir, ABSENT_FILE));
}

static int restore_from(struct driver_call *call, const char *dir, struct err *err)
{
	struct sqlite_place live = live_place(call);
	char *copy = fs_join(call->ctx, dir, COPY_FILE);

	if (holds_absence(call, dir))
		return sqlite_restore_absence(call, &live, err);
	if (!fs_exists(copy))
		return err_set(err, ERR_NOT_FOUND, "there is no copy of the database in %s", dir);
	return sqlite_restore_whole(call, &live, copy, err);
}

/* ---- observe ---- */

/* `live` NULL: there is no database. */
static int is_as_captured(struct driver_call *call, sqlite3 *live, const char *dir, int *ret, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *copy = NULL;
	char *path = fs_join(call->ctx, dir, COPY_FILE), here[HASH_HEX_SIZE], there[HASH_HEX_SIZE];
	int r;

	*ret = 0;
	if (holds_absence(call, dir)) {
		*ret = !live;
		return 0;
	}
	if (!live || !fs_exists(path))
		return 0;
	r = sqlite_open_copy(call, path, &copy, err);
	if (r == 0)
		r = facts_content(call->ctx, copy, there, err);
	if (r == 0)
		r = facts_content(call->ctx, live, here, err);
	if (r == 0)
		*ret = strcmp(here, there) == 0;
	return r;
}

static int at_target(struct driver_call *call, sqlite3 *live, int *ret, struct err *err)
{
	struct sqlite_place place = live_place(call);
	struct err why = ERR_INIT;
	struct goal goal;
	int r;

	*ret = -1;
	if (!call->target)
		return call->snapshot_dir && fs_exists(call->snapshot_dir) ? is_as_captured(call, live, call->snapshot_dir, ret, err) : 0;
	r = read_goal(call, &goal, &why);
	if (r == -ERR_NOT_FOUND) {
		*ret = 0;
		return 0;
	}
	if (r < 0) {
		*err = why;
		return r;
	}
	if (goal.dir)
		return is_as_captured(call, live, goal.dir, ret, err);
	*ret = 0;
	return live ? sqlite_tables_equal(call, &place, goal.tables, goal.table_count, ret, err) : 0;
}

static int describe_live(struct driver_call *call, sqlite3 *live, struct observation *ret, struct err *err)
{
	const struct sqlite_params *params = call->params;
	json_t *schema, *counts, *irreversible = json_keep(call->ctx, json_array());
	char *migration, *text, fingerprint[HASH_HEX_SIZE];
	int r;

	r = facts_schema(call->ctx, live, &schema, err);
	if (r == 0)
		r = facts_migration(call->ctx, live, &migration, err);
	if (r == 0)
		r = facts_row_counts(call->ctx, live, clock_mono_ms() + COUNT_LIMIT_MS, &counts, err);
	if (r < 0)
		return r;
	text = json_canonical(call->ctx, schema);
	hash_blake2b_hex(text, strlen(text), fingerprint);
	for (const char **version = params->irreversible; version && *version; version++)
		(void)json_array_append_new(irreversible, json_string(*version));
	ret->version = mem_printf(call->ctx, "m%s-%.8s", migration, fingerprint);
	ret->state = "present";
	ret->details = json_make(call->ctx, "{s:O}", "schema", schema);
	json_put_str(ret->details, "migration", migration);
	json_put(ret->details, "rowCounts", counts);
	if (json_array_size(irreversible) > 0)
		json_put(ret->details, "irreversible", irreversible);
	return 0;
}

static int sqlite_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *live = NULL;
	struct sqlite_place place = live_place(call);
	int r = 0, there;

	if (fs_exists(place.path))
		r = sqlite_open_live(call, &place, false, &live, err);
	if (r == 0)
		r = at_target(call, live, &there, err);
	if (r < 0)
		return err_in(err, "%s", place.path);
	*ret = (struct observation){ .version = "", .state = "absent", .healthy = -1, .at_target = there };
	r = live ? describe_live(call, live, ret, err) : 0;
	return r < 0 ? err_in(err, "%s", place.path) : 0;
}

/* ---- check ---- */

static void check_space(struct driver_call *call, const char *copy, struct findings *ret)
{
	struct sqlite_place live = live_place(call);
	char *folder = mem_strdup(call->ctx, live.path), *slash = strrchr(folder, '/');
	struct err ignored = ERR_INIT;
	uint64_t available;
	struct stat st;

	*(slash > folder ? slash : slash + 1) = 0;
	/* Old and new content stand beside each other for a moment, as journal or WAL. */
	if (stat(copy, &st) == 0 && fs_is_dir(folder) && fs_free_bytes(folder, &available, &ignored) == 0 &&
		available < 2 * (uint64_t)st.st_size)
		findings_add(ret, "disk_space", false, SEVERITY_ERROR, call->name, NULL, "%s: %s are needed, %s are free", folder,
			text_format_size(call->ctx, 2 * (uint64_t)st.st_size), text_format_size(call->ctx, available));
}

static int check_copy(struct driver_call *call, const char *path, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *copy = NULL;
	int r;

	if (!fs_exists(path))
		return err_set(err, ERR_NOT_FOUND, "no copy of the database is kept there");
	r = sqlite_open_copy(call, path, &copy, err);
	return r < 0 ? r : sqlite_check_integrity(call, copy, false, "the kept copy", err);
}

static void check_goal(struct driver_call *call, struct findings *ret)
{
	struct err why = ERR_INIT;
	struct goal goal;
	int r;

	r = read_goal(call, &goal, &why);
	if (r == 0 && goal.dir && !holds_absence(call, goal.dir)) {
		r = check_copy(call, fs_join(call->ctx, goal.dir, COPY_FILE), &why);
		check_space(call, fs_join(call->ctx, goal.dir, COPY_FILE), ret);
	}
	for (size_t i = 0; r == 0 && i < goal.table_count; i++)
		r = check_copy(call, goal.tables[i].copy, &why);
	findings_add(ret, "target_content", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
		r == 0 ? "the copy to restore from is sound" : why.text);
}

/* A target that leaves the data as it is (preserveData, which a whole rollback says) asks for nothing to be there. */
static bool is_to_restore(const struct driver_call *call)
{
	return call->target &&
		(json_object_get(call->target, "snapshotId") || json_object_get(call->target, "tables") ||
			!json_flag(call->target, "preserveData", call->source_dir == NULL));
}

static int sqlite_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *live = NULL;
	struct sqlite_place place = live_place(call);
	struct err why = ERR_INIT;
	int r = 0;

	if (fs_exists(place.path)) {
		r = sqlite_open_live(call, &place, false, &live, &why);
		if (r == 0)
			r = sqlite_check_integrity(call, live, false, "the database", &why);
		/* A damaged database is a reason to restore, not against it. */
		findings_add(ret, "data_integrity", r == 0, is_to_restore(call) && r == -ERR_CORRUPT ? SEVERITY_WARNING : SEVERITY_ERROR,
			call->name, NULL, "%s", r == 0 ? "the database is sound" : why.text);
	}
	if (is_to_restore(call))
		check_goal(call, ret);
	return 0;
}

/* ---- apply, capture, undo ---- */

static int sqlite_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	struct sqlite_place live = live_place(call);
	struct goal goal;
	int r;

	r = read_goal(call, &goal, err);
	if (r < 0)
		return r;
	return goal.dir ? restore_from(call, goal.dir, err) : sqlite_restore_tables(call, &live, goal.tables, goal.table_count, err);
}

static int sqlite_capture(struct driver_call *call, struct err *err)
{
	const struct sqlite_params *params = call->params;
	struct sqlite_place live = live_place(call);
	char *copy = fs_join(call->ctx, call->snapshot_dir, COPY_FILE), *absent = fs_join(call->ctx, call->snapshot_dir, ABSENT_FILE);
	int r;

	if (!call->run_id && !params->keep_at_record) /* outside of a run: a deployment is being recorded */
		return 0;
	r = fs_remove_tree(absent, err);
	if (r == 0)
		r = fs_remove_tree(copy, err);
	if (r < 0)
		return r;
	return fs_exists(live.path) ? sqlite_copy_out(call, &live, copy, err) : fs_write_atomic(absent, "", 0, 0600, err);
}

static int sqlite_undo(struct driver_call *call, struct err *err)
{
	return restore_from(call, call->snapshot_dir, err);
}

const struct driver driver_sqlite = {
	.name = "sqlite",
	.summary = "an SQLite database file: the whole, or named tables",
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
