/* sqlite: an SQLite database file.
 *
 *   target {snapshotId}, or a deployment's kept copy (source_dir)   the whole content
 *   target {tables: {NAME: BACKUP}}                                 the rows of these tables; BACKUP names one of `sources`
 *   target {migration: VERSION}                                     the schema goes back with the user's tool (migration.h); rows stay
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
#include "drivers/database.h"
#include "drivers/list.h"
#include "drivers/room.h"
#include "drivers/sandbox.h"
#include "drivers/sqlite_facts.h"
#include "drivers/sqlite_restore.h"

#define COPY_FILE      "database.sqlite"
#define COUNT_LIMIT_MS 500 /* rows are counted for people; large databases need not wait for it */

struct sqlite_params {
	const char *path;
	bool keep_at_record;
	int64_t busy_timeout_ms;
	const char **irreversible;
	struct migration_params migrations;
};

/* clang-format off */
static const struct field sqlite_fields[] = {
	FIELD_FILE(struct sqlite_params, path,            REQUIRED,        "database file, relative to the project"),
	FIELD_BOOL(struct sqlite_params, keep_at_record,  DEFAULT("true"), "keep a copy of the whole database with every recorded deployment"),
	FIELD_MS  (struct sqlite_params, busy_timeout_ms, DEFAULT("10s"),  "how long to wait while another process locks the database"),
	FIELD_LIST(struct sqlite_params, irreversible,    OPTIONAL,        "migration versions that cannot go backwards"),
	FIELD_GROUP(struct sqlite_params, migrations,     OPTIONAL, migration_fields, "how its schema is migrated, so that it can go backwards"),
	FIELD_END
};
/* clang-format on */

static struct sqlite_place live_place(const struct driver_call *call)
{
	const struct sqlite_params *params = call->params;

	return (struct sqlite_place){ .path = fs_join(call->ctx, call->project_dir, params->path), .busy_ms = params->busy_timeout_ms };
}

/* Tables by the path of the copy that they come from. */
static struct sqlite_table *tables_of(struct driver_call *call, const struct database_goal *goal)
{
	struct sqlite_table *tables = mem_array(call->ctx, struct sqlite_table, goal->table_count);

	for (size_t i = 0; i < goal->table_count; i++)
		tables[i] = (struct sqlite_table){ .name = goal->tables[i].name,
			.copy = fs_join(call->ctx, goal->tables[i].dir, COPY_FILE) };
	return tables;
}

static int restore_from(struct driver_call *call, const char *dir, json_t **ret_lost, struct err *err)
{
	struct sqlite_place live = live_place(call);
	char *copy;
	int r;

	if (database_was_absent(call->ctx, dir))
		return sqlite_restore_absence(call, &live, err);
	r = database_find_copy(call->ctx, dir, COPY_FILE, &copy, err);
	return r < 0 ? r : sqlite_restore_whole(call, &live, copy, ret_lost, err);
}

/* ---- observe ---- */

/* `live` NULL: there is no database. */
static int is_as_captured(struct driver_call *call, sqlite3 *live, const char *dir, int *ret, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *copy = NULL;
	char *path = fs_join(call->ctx, dir, COPY_FILE), here[HASH_HEX_SIZE], there[HASH_HEX_SIZE];
	int r;

	*ret = 0;
	if (database_was_absent(call->ctx, dir)) {
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

static int at_migration(struct driver_call *call, const char *version, int *ret, struct err *err)
{
	const struct sqlite_params *params = call->params;
	struct sqlite_place place = live_place(call);
	struct migration_database database = sqlite_migration_database(call, &place);
	int r = migration_is_at(call, &params->migrations, &database, version, err);

	*ret = r > 0;
	return MIN(r, 0);
}

static int at_target(struct driver_call *call, sqlite3 *live, int *ret, struct err *err)
{
	struct sqlite_place place = live_place(call);
	struct err why = ERR_INIT;
	struct database_goal goal;
	int r;

	*ret = -1;
	if (!call->target)
		return call->snapshot_dir && fs_exists(call->snapshot_dir) ? is_as_captured(call, live, call->snapshot_dir, ret, err) : 0;
	r = database_read_goal(call, COPY_FILE, &goal, &why);
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
	if (goal.migration)
		return at_migration(call, goal.migration, ret, err);
	return live ? sqlite_tables_equal(call, &place, tables_of(call, &goal), goal.table_count, ret, err) : 0;
}

static int describe_live(struct driver_call *call, sqlite3 *live, struct observation *ret, struct err *err)
{
	const struct sqlite_params *params = call->params;
	json_t *schema, *counts, *irreversible = json_keep(call->ctx, json_array());
	struct sqlite_place place = live_place(call);
	struct migration_database database = sqlite_migration_database(call, &place);
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
	ret->state = "present";
	ret->details = json_make(call->ctx, "{s:s, s:O}", "engine", "sqlite", "schema", schema);
	json_put_str(ret->details, "migration", migration);
	json_put(ret->details, "rowCounts", counts);
	r = migration_observe(call, &params->migrations, &database, ret->details, err);
	if (r < 0)
		return r;
	ret->version = mem_printf(call->ctx, "m%s-%.8s", json_str(ret->details, "migration", ""), fingerprint);
	/* Those that the configuration names and those that have no way back. */
	(void)json_array_extend(irreversible, json_object_get(ret->details, "irreversible"));
	if (json_array_size(irreversible) > 0)
		json_put(ret->details, "irreversible", irreversible);
	return 0;
}

/* What is not there is, for code that opens it, an empty database. */
static int describe_absent(struct driver_call *call, struct observation *ret, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *empty = NULL;
	const struct sqlite_params *params = call->params;
	struct sqlite_place place = live_place(call);
	struct migration_database database = sqlite_migration_database(call, &place);
	json_t *schema;
	int r = sqlite3_open(":memory:", &empty) == SQLITE_OK ? 0 : err_set(err, ERR_DRIVER, "an empty database cannot be opened");

	if (r == 0)
		r = facts_schema(call->ctx, empty, &schema, err);
	if (r < 0)
		return r;
	ret->details = json_make(call->ctx, "{s:s, s:O}", "engine", "sqlite", "schema", schema);
	return migration_observe(call, &params->migrations, &database, ret->details, err);
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
	r = live ? describe_live(call, live, ret, err) : describe_absent(call, ret, err);
	return r < 0 ? err_in(err, "%s", place.path) : 0;
}

/* ---- check ---- */

static void check_space(struct driver_call *call, const char *copy, struct findings *ret)
{
	struct sqlite_place live = live_place(call);
	char *folder = mem_strdup(call->ctx, live.path), *slash = strrchr(folder, '/');
	struct stat st;

	*(slash > folder ? slash : slash + 1) = 0;
	/* Old and new content stand beside each other for a moment, as journal or WAL. */
	if (stat(copy, &st) == 0)
		room_check(call, folder, 2 * (uint64_t)st.st_size, ret);
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
	struct database_goal goal;
	int r;

	r = database_read_goal(call, COPY_FILE, &goal, &why);
	if (r == 0 && goal.dir && !database_was_absent(call->ctx, goal.dir)) {
		r = check_copy(call, fs_join(call->ctx, goal.dir, COPY_FILE), &why);
		check_space(call, fs_join(call->ctx, goal.dir, COPY_FILE), ret);
	}
	for (size_t i = 0; r == 0 && i < goal.table_count; i++)
		r = check_copy(call, fs_join(call->ctx, goal.tables[i].dir, COPY_FILE), &why);
	findings_add(ret, "target_content", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
		r == 0 ? "the copy to restore from is sound" : why.text);
}

static int sqlite_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	const struct sqlite_params *params = call->params;
	const char *migration = json_str(call->target, "migration", NULL);
	_cleanup_(sqlite_close) sqlite3 *live = NULL;
	struct sqlite_place place = live_place(call);
	struct migration_database database = sqlite_migration_database(call, &place);
	struct err why = ERR_INIT;
	int r = 0;

	if (fs_exists(place.path)) {
		r = sqlite_open_live(call, &place, false, &live, &why);
		if (r == 0)
			r = sqlite_check_integrity(call, live, false, "the database", &why);
		/* A damaged database is a reason to restore, not against it. */
		findings_add(ret, "data_integrity", r == 0,
			database_is_to_restore(call) && r == -ERR_CORRUPT ? SEVERITY_WARNING : SEVERITY_ERROR, call->name, NULL, "%s",
			r == 0 ? "the database is sound" : why.text);
	}
	if (migration)
		return migration_check(call, &params->migrations, &database, migration, ret, err);
	if (database_is_to_restore(call))
		check_goal(call, ret);
	return 0;
}

/* ---- apply, capture, undo ---- */

static int sqlite_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	const struct sqlite_params *params = call->params;
	struct sqlite_place live = live_place(call);
	struct migration_database database = sqlite_migration_database(call, &live);
	struct database_goal goal;
	json_t *lost = NULL;
	int r;

	r = database_read_goal(call, COPY_FILE, &goal, err);
	if (r < 0)
		return r;
	if (goal.migration)
		return migration_go(call, &params->migrations, &database, goal.migration, ret_outputs, err);
	r = goal.dir ? restore_from(call, goal.dir, &lost, err)
		     : sqlite_restore_tables(call, &live, tables_of(call, &goal), goal.table_count, &lost, err);
	if (r == 0)
		json_put(ret_outputs, "lost", lost);
	return r;
}

static int sqlite_capture(struct driver_call *call, struct err *err)
{
	const struct sqlite_params *params = call->params;
	struct sqlite_place live = live_place(call);
	char *copy = fs_join(call->ctx, call->snapshot_dir, COPY_FILE);
	bool there = fs_exists(live.path);
	int r;

	r = migration_capture(call, &params->migrations, err);
	if (r < 0)
		return r;
	if (!call->run_id && !params->keep_at_record) /* outside of a run: a deployment is being recorded */
		return 0;
	r = database_capture_begin(call, COPY_FILE, !there, err);
	if (r == 0 && there)
		r = sqlite_copy_out(call, &live, copy, err);
	return r < 0 || !there ? r : sqlite_write_facts(call, copy, call->snapshot_dir, err);
}

static int sqlite_undo(struct driver_call *call, struct err *err)
{
	json_t *lost = NULL;
	int r = restore_from(call, call->snapshot_dir, &lost, err);

	return r < 0 ? r : migration_forget(call, err);
}

/* An online copy; the application goes on meanwhile. */
static int sqlite_sandbox(struct driver_call *call, json_t **ret_config, struct err *err)
{
	static const char *const paths[] = { "path", NULL };
	const struct sqlite_params *params = call->params;
	struct sqlite_place live = live_place(call);
	char *path = fs_join(call->ctx, call->sandbox_dir, sandbox_path(call, params->path)), *folder = mem_strdup(call->ctx, path);
	int r;

	*strrchr(folder, '/') = '\0';
	r = fs_mkdirs(folder, 0700, err);
	if (r == 0 && fs_exists(live.path))
		r = sqlite_copy_out(call, &live, path, err);
	*ret_config = sandbox_config(call, paths, NULL);
	if (r == 0)
		r = sandbox_migrations(call, params->migrations.dir, *ret_config, err);
	sandbox_override(call, *ret_config);
	return r;
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
	.sandbox = sqlite_sandbox,
};
