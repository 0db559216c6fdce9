/* Capturing a PostgreSQL database, and telling whether it is as it was captured (postgres_restore.h). pg_dump, the row lists and the facts look at one snapshot, which our transaction exports. One thread. */
#include "drivers/postgres_restore.h"

#include "base/clock.h"
#include "base/fs.h"
#include "data/json.h"

#define NOTE_FILE "postgres.json"
#define NOTE_MAX  (16u << 20)

int postgres_connect(struct postgres *p, struct pg **ret, struct err *err)
{
	_cleanup_(pg_close) struct pg *pg = NULL;
	struct err why = ERR_INIT;
	int r = pg_open(p->call->ctx, &p->place, &pg, err);

	if (r == -ERR_CONFLICT && postgres_clean_up(p, &why) == 0)
		r = pg_open(p->call->ctx, &p->place, &pg, err);
	if (r < 0)
		return err_in(err, "database '%s'", p->database);
	if (pg_server_version(pg) < POSTGRES_OLDEST)
		return err_set(err, ERR_UNSUPPORTED, "the server is PostgreSQL %d, older than %d", pg_server_version(pg) / 10000,
			POSTGRES_OLDEST / 10000);
	*ret = take_pointer(pg);
	return 0;
}

int postgres_connect_beside(struct postgres *p, struct pg **ret, struct err *err)
{
	struct pg_place place = p->place;
	int r;

	place.database = "postgres";
	r = pg_open(p->call->ctx, &place, ret, err);
	if (r == -ERR_NOT_FOUND) {
		place.database = "template1";
		r = pg_open(p->call->ctx, &place, ret, err);
	}
	return r;
}

int postgres_begin_reading(struct pg *pg, struct err *err)
{
	return pg_run(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "beginning to read", err);
}

/* ---- capture ---- */

#define ROLES \
	"(SELECT coalesce(jsonb_agg(DISTINCT r.rolname), '[]') FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid" \
	" WHERE s.refclassid = 'pg_authid'::regclass AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()))"
#define NOT_VALID \
	"(SELECT coalesce(jsonb_agg(n.nspname || '.' || k.conrelid::regclass::text || '.' || k.conname ORDER BY 1), '[]') FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace" \
	" WHERE NOT k.convalidated AND %s)"

static int read_state(struct postgres *p, struct pg *pg, json_t **ret, struct err *err)
{
	char fingerprint[HASH_HEX_SIZE], *text, *migration;
	json_t *schema, *note;
	int r;

	r = postgres_schema(p->call->ctx, pg, p->scope, &schema, err);
	if (r == 0)
		r = postgres_fingerprint(p->call->ctx, pg, p->scope, schema, fingerprint, err);
	if (r == 0)
		r = postgres_migration(p->call->ctx, pg, p->scope, &migration, err);
	if (r == 0)
		r = pg_text(pg, p->call->ctx,
			mem_printf(p->call->ctx,
				"SELECT jsonb_build_object('roles', " ROLES ", 'notValid', " NOT_VALID
				", 'largeObjects', (SELECT count(*) FROM pg_largeobject_metadata), 'size', pg_database_size(current_database()))",
				p->scope),
			"reading what belongs to the database", &text, err);
	if (r == 0)
		r = json_parse(p->call->ctx, text, strlen(text), NOTE_MAX, &note, err);
	if (r < 0)
		return r;
	json_put_str(note, "fingerprint", fingerprint);
	json_put_str(note, "migration", migration);
	json_put_int(note, "serverVersion", pg_server_version(pg));
	json_put(note, "schema", schema);
	*ret = note;
	return 0;
}

int postgres_capture(struct postgres *p, struct err *err)
{
	_cleanup_(pg_close) struct pg *pg = NULL;
	const char *dir = p->call->snapshot_dir;
	char *snapshot, *text;
	struct postgres_tables tables;
	json_t *facts, *note;
	int r;

	r = postgres_connect(p, &pg, err);
	if (r == -ERR_NOT_FOUND)
		return database_capture_begin(p->call, POSTGRES_COPY, true, err);
	if (r == 0)
		r = database_capture_begin(p->call, POSTGRES_COPY, false, err);
	if (r == 0)
		r = postgres_begin_reading(pg, err);
	if (r == 0)
		r = pg_text(pg, p->call->ctx, "SELECT pg_export_snapshot()", "sharing the moment", &snapshot, err);
	if (r == 0)
		r = postgres_dump(p->call, &p->place, snapshot, p->schemas, fs_join(p->call->ctx, dir, POSTGRES_COPY), err);
	if (r == 0)
		r = postgres_tables(p->call->ctx, pg, p->scope, &tables, err);
	if (r == 0)
		r = postgres_list_all(p->call, pg, &tables, dir, &facts, err);
	if (r == 0)
		r = read_state(p, pg, &note, err);
	if (r < 0)
		return r;
	text = json_pretty(p->call->ctx, note);
	r = fs_write_atomic(fs_join(p->call->ctx, dir, NOTE_FILE), text, strlen(text), 0600, err);
	return r < 0 ? r : database_write_facts(dir, facts, err);
}

int postgres_read_note(struct postgres *p, const char *dir, json_t **ret, struct err *err)
{
	char *path = fs_join(p->call->ctx, dir, NOTE_FILE), *text;
	size_t size;
	int r;

	r = fs_read(p->call->ctx, path, NOTE_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(p->call->ctx, text, size, NOTE_MAX, ret, err);
	return r < 0 ? err_in(err, "%s", path) : 0;
}

/* ---- comparing ---- */

static int schema_is(struct postgres *p, struct pg *pg, const char *dir, bool *ret, struct err *err)
{
	char fingerprint[HASH_HEX_SIZE];
	json_t *note, *schema;
	int r;

	r = postgres_read_note(p, dir, &note, err);
	if (r == 0)
		r = postgres_schema(p->call->ctx, pg, p->scope, &schema, err);
	if (r == 0)
		r = postgres_fingerprint(p->call->ctx, pg, p->scope, schema, fingerprint, err);
	if (r == 0)
		*ret = strcmp(fingerprint, json_str(note, "fingerprint", "")) == 0;
	return r;
}

/* Ends at the first table that differs. */
static int rows_are(struct postgres *p, struct pg *pg, const struct postgres_tables *tables, json_t *then, int *ret, struct err *err)
{
	int r = 0;

	*ret = json_object_size(then) == tables->count;
	for (size_t i = 0; r == 0 && *ret && i < tables->count; i++) {
		json_t *facts = json_object_get(then, tables->list[i].name);
		char checksum[HASH_HEX_SIZE];
		int64_t rows;

		r = facts ? postgres_list_rows(p->call->ctx, pg, &tables->list[i], NULL, &rows, checksum, err) : 0;
		*ret = r == 0 && facts && rows == json_int(facts, "rows", -1) && strcmp(checksum, json_str(facts, "checksum", "")) == 0;
	}
	return r;
}

int postgres_is_as_captured(struct postgres *p, struct pg *pg, const char *dir, int *ret, struct err *err)
{
	struct postgres_tables tables;
	bool same = false;
	json_t *then;
	int r;

	*ret = 0;
	r = database_read_facts(p->call->ctx, dir, &then, NULL, err);
	if (r == 0)
		r = schema_is(p, pg, dir, &same, err);
	if (r < 0 || !same)
		return r;
	r = postgres_tables(p->call->ctx, pg, p->scope, &tables, err);
	return r < 0 ? r : rows_are(p, pg, &tables, then, ret, err);
}

static json_t *columns_of(json_t *schema, const char *table)
{
	return json_object_get(json_object_get(json_object_get(schema, "tables"), table), "columns");
}

/* In the columns that both have; a table whose columns are as they were is known by its checksum. */
static int compare_columns(struct postgres *p, struct pg *pg, bool may_write, const struct postgres_table *table, const char *dir, int *ret,
	struct err *err)
{
	_cleanup_(pg_close) struct pg *own = NULL;
	int r;

	if (may_write)
		return postgres_rows_are(p, pg, table, dir, ret, err);
	r = postgres_connect(p, &own, err);
	if (r == 0)
		r = pg_run(own, "BEGIN", "comparing rows", err);
	return r < 0 ? r : postgres_rows_are(p, own, table, dir, ret, err);
}

static int table_is(struct postgres *p, struct pg *pg, bool may_write, const struct postgres_table *table, const char *dir, json_t *schema,
	int *ret, struct err *err)
{
	json_t *facts, *note, *then;
	char checksum[HASH_HEX_SIZE];
	int64_t rows;
	int r;

	r = database_read_facts(p->call->ctx, dir, &facts, NULL, err);
	if (r == 0)
		r = postgres_read_note(p, dir, &note, err);
	facts = r == 0 ? json_object_get(facts, table->name) : NULL;
	if (!facts)
		return r;
	then = columns_of(json_object_get(note, "schema"), table->name);
	if (!then || !json_equal(then, columns_of(schema, table->name)))
		return compare_columns(p, pg, may_write, table, dir, ret, err);
	r = postgres_list_rows(p->call->ctx, pg, table, NULL, &rows, checksum, err);
	*ret = r == 0 && rows == json_int(facts, "rows", -1) && strcmp(checksum, json_str(facts, "checksum", "")) == 0;
	return r;
}

int postgres_tables_are_as_captured(struct postgres *p, struct pg *pg, bool may_write, const struct database_goal *goal, int *ret,
	struct err *err)
{
	struct postgres_tables tables;
	json_t *schema;
	int r;

	*ret = 0;
	r = postgres_tables(p->call->ctx, pg, p->scope, &tables, err);
	if (r == 0)
		r = postgres_schema(p->call->ctx, pg, p->scope, &schema, err);
	for (size_t i = 0; r == 0 && i < goal->table_count; i++) {
		const struct postgres_table *table = postgres_find_table(&tables, goal->tables[i].name);

		*ret = 0;
		if (table)
			r = table_is(p, pg, may_write, table, goal->tables[i].dir, schema, ret, err);
		if (!*ret)
			return r;
	}
	return r;
}
