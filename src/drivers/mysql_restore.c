/* Restoring (mysql_restore.h): what is wanted, whether it is there, loading, proving, and the order of it all. One thread. */
#include "drivers/mysql_restore.h"

#include <errno.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "drivers/mysql_switch.h"

#define LOCK_WAIT_MS 20000
#define COPY_NAME    "unship_copy" /* a table of the copy while its rows go into one of the live shape */
#define STRICT       "NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES"
#define NOT_STRICT   "NO_AUTO_VALUE_ON_ZERO"

/* ---- what is wanted ---- */

static void take_since(struct driver_call *call, const char *dir, struct mysql_wanted *wanted)
{
	struct err ignored = ERR_INIT;
	const char *since = "";
	json_t *facts;

	if (database_read_facts(call->ctx, dir, &facts, &since, &ignored) == 0 && (!*wanted->since || strcmp(since, wanted->since) < 0))
		wanted->since = since;
}

/* The sums of all content, and the run: a restore that is found half done is gone on with when it is the very same. */
static void name_goal(struct mysql_wanted *wanted)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *text = mem_strdup(work, wanted->absent ? "absent" : wanted->whole ? json_canonical(work, wanted->index) : "");

	for (size_t i = 0; !wanted->whole && i < wanted->count; i++)
		text = mem_appendf(text, "%s %s\n", wanted->tables[i].name, json_canonical(work, wanted->tables[i].entry));
	hash_blake2b_hex(text, strlen(text), wanted->goal);
}

static int read_whole(struct driver_call *call, const char *dir, struct mysql_wanted *wanted, struct err *err)
{
	json_t *tables, *entry;
	const char *name;
	int r;

	wanted->whole = true;
	wanted->dir = dir;
	wanted->absent = database_was_absent(call->ctx, dir);
	if (wanted->absent)
		return 0;
	r = mysql_copy_read(call->ctx, dir, &wanted->index, err);
	if (r < 0)
		return r;
	tables = json_object_get(wanted->index, "tables");
	wanted->tables = mem_array(call->ctx, struct mysql_wanted_table, MAX(json_object_size(tables), (size_t)1));
	json_object_foreach(tables, name, entry)
		wanted->tables[wanted->count++] =
			(struct mysql_wanted_table){ .name = name, .dir = dir, .index = wanted->index, .entry = entry };
	take_since(call, dir, wanted);
	return 0;
}

int mysql_wanted_read(struct driver_call *call, const struct database_goal *goal, struct mysql_wanted *ret, struct err *err)
{
	struct mysql_wanted wanted = { .since = "" };
	int r = 0;

	if (goal->dir)
		r = read_whole(call, goal->dir, &wanted, err);
	else
		wanted.tables = mem_array(call->ctx, struct mysql_wanted_table, MAX(goal->table_count, (size_t)1));
	for (size_t i = 0; r == 0 && i < goal->table_count; i++) {
		struct mysql_wanted_table *table = &wanted.tables[wanted.count++];

		*table = (struct mysql_wanted_table){ .name = goal->tables[i].name, .dir = goal->tables[i].dir };
		r = mysql_copy_read(call->ctx, table->dir, &table->index, err);
		table->entry = r == 0 ? json_object_get(json_object_get(table->index, "tables"), table->name) : NULL;
		if (r == 0 && !table->entry)
			r = err_set(err, ERR_NOT_FOUND, "table '%s': it is not in the backup", table->name);
		if (r == 0)
			take_since(call, table->dir, &wanted);
	}
	if (r < 0)
		return r;
	name_goal(&wanted);
	*ret = wanted;
	return 0;
}

/* ---- is it there? ---- */

static int remove_folder(char *path)
{
	struct err ignored = ERR_INIT;

	int r = fs_remove_tree(path, &ignored);

	(void)r; /* the system clears its folder for temporary files */
	return 0;
}

/* For row lists that are only compared; goes with its context. */
static int make_scratch(const void *ctx, char **ret, struct err *err)
{
	char *path = mem_printf(ctx, "%s/unship-mysql-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");

	if (!mkdtemp(path))
		return err_errno(err, errno, "%s", path);
	talloc_set_destructor(path, remove_folder);
	*ret = path;
	return 0;
}

static bool same_shape(json_t *one, json_t *other)
{
	_cleanup_talloc_ void *work = mem_context(NULL);

	return strcmp(mysql_facts_shape(work, json_str(one, "create", "")), mysql_facts_shape(work, json_str(other, "create", ""))) == 0;
}

/* Does the table of this database hold what the copy's facts say? */
static int holds_the_same(struct mysqldb *db, const char *schema, const char *name, json_t *table, json_t *entry, bool *ret,
	struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	const struct mysql_source source = { .schema = schema, .name = name, .table = table, .columns = json_object_get(entry, "columns") };
	char *scratch, checksum[HASH_HEX_SIZE];
	int64_t rows;
	int r;

	r = make_scratch(work, &scratch, err);
	if (r == 0)
		r = mysql_rows_list(db, &source, json_object_get(entry, "key"), scratch, &rows, checksum, err);
	if (r == 0)
		*ret = rows == json_int(entry, "rows", -1) && hash_hex_is(checksum, json_str(entry, "checksum", ""));
	return r;
}

struct narrowing {
	struct row_sum *sum;
	struct row_list *list;
	json_t *from, *to;
	struct mysqldb_value *values;
};

static int add_narrowed(void *user, const struct mysqldb_value *values, size_t count, struct err *err)
{
	struct narrowing *narrowing = user;
	const char *key, *hash;
	size_t i, to = 0;
	json_t *name;

	if (count != json_array_size(narrowing->from))
		return err_set(err, ERR_CORRUPT, "a row of the copy has %zu values where %zu were expected", count,
			json_array_size(narrowing->from));
	json_array_foreach(narrowing->from, i, name)
		if (mysql_columns_have(narrowing->to, json_string_value(name)))
			narrowing->values[to++] = values[i];
	row_sum_of(narrowing->sum, narrowing->values, &key, &hash);
	return row_list_add(narrowing->list, key, hash, err);
}

/* The live table lacks columns of the copy: both are compared over those that they share, the copy from its file. */
static int holds_the_common(struct mysqldb *db, const struct mysql_wanted_table *wanted, json_t *table, bool *ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	_cleanup_(row_list_abort) struct row_list *list = NULL;
	json_t *kept = json_object_get(wanted->entry, "columns"),
	       *lacks = mysql_columns_missing(work, kept, json_object_get(table, "columns"));
	struct mysql_source source = { .schema = db->database, .name = wanted->name, .table = table };
	char *scratch, *path, here[HASH_HEX_SIZE], there[HASH_HEX_SIZE];
	struct narrowing narrowing = { .from = kept };
	int64_t rows;
	int r;

	source.columns = mysql_columns_missing(work, kept, lacks);
	narrowing.to = source.columns;
	narrowing.values = mem_array(work, struct mysqldb_value, json_array_size(kept));
	r = make_scratch(work, &scratch, err);
	if (r == 0)
		r = mysql_copy_table(work, wanted->dir, wanted->index, wanted->name, &path, err);
	if (r == 0)
		r = row_sum_new(work, source.columns, json_object_get(wanted->entry, "key"), NULL, &narrowing.sum, err);
	if (r == 0)
		r = row_list_open(work, scratch, "copy", &list, err);
	narrowing.list = list;
	if (r == 0)
		r = mysql_rows_read_file(path, add_narrowed, &narrowing, err);
	if (r == 0)
		r = row_list_close(take_pointer(list), &rows, there, err);
	if (r == 0)
		r = mysql_rows_list(db, &source, json_object_get(wanted->entry, "key"), scratch, &rows, here, err);
	if (r == 0)
		*ret = strcmp(here, there) == 0;
	return r;
}

static int compare_table(struct mysqldb *db, const struct mysql_wanted *wanted, const struct mysql_wanted_table *one, json_t *table,
	bool *ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *columns = json_object_get(table, "columns");

	*ret = false;
	if (!table || (wanted->whole && !same_shape(table, one->entry)))
		return 0;
	if (json_array_size(mysql_columns_missing(work, json_object_get(one->entry, "columns"), columns)) > 0)
		return holds_the_common(db, one, table, ret, err);
	return holds_the_same(db, db->database, one->name, table, one->entry, ret, err);
}

static int compare_whole(struct mysqldb *db, const struct mysql_wanted *wanted, json_t *live, bool *ret, struct err *err)
{
	static const char *const members[] = { "charset", "collation" };
	json_t *programs;
	int r;

	*ret = false;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!json_equal(json_object_get(live, members[i]), json_object_get(wanted->index, members[i])))
			return 0;
	if (json_object_size(json_object_get(live, "tables")) != wanted->count)
		return 0;
	r = mysql_facts_programs(db, db->call->ctx, db->database, &programs, err);
	if (r == 0)
		*ret = json_equal(programs, json_object_get(wanted->index, "programs"));
	return r;
}

/* Without a look at what an interrupted restore left. */
static int compare_all(struct mysqldb *db, const struct mysql_wanted *wanted, bool *ret, struct err *err)
{
	json_t *live, *tables;
	bool there;
	int r = mysql_facts_exists(db, db->database, &there, err);

	*ret = false;
	if (r < 0 || !there || wanted->absent) {
		*ret = r == 0 && !there && wanted->absent;
		return r;
	}
	r = mysql_facts_catalogue(db, db->call->ctx, db->database, &live, err);
	*ret = true;
	if (r == 0 && wanted->whole)
		r = compare_whole(db, wanted, live, ret, err);
	tables = r == 0 ? json_object_get(live, "tables") : NULL;
	for (size_t i = 0; r == 0 && *ret && i < wanted->count; i++)
		r = compare_table(db, wanted, &wanted->tables[i], json_object_get(tables, wanted->tables[i].name), ret, err);
	return r;
}

int mysql_is_as_wanted(struct mysqldb *db, const struct mysql_wanted *wanted, int *ret, struct err *err)
{
	struct mysql_switch change;
	enum mysql_stage stage;
	bool same = false;
	int r;

	mysql_switch_init(db, &change);
	/* A connection whose client died may still be at work: what is seen now would not last. */
	r = mysqldb_lock(db, LOCK_WAIT_MS, err);
	if (r == 0)
		r = mysql_switch_find(&change, &stage, err);
	if (r == 0 && stage == MYSQL_STAGE_NONE)
		r = compare_all(db, wanted, &same, err);
	mysqldb_unlock(db);
	if (r == 0)
		*ret = same;
	return r;
}

/* ---- loading ---- */

struct restore {
	struct mysqldb *db;
	const struct mysql_wanted *wanted;
	struct mysql_switch change;
	json_t *live;  /* catalogue; tables may be empty */
	json_t *names; /* of the wanted tables: {name: true} */
};

static int create_table(struct restore *restore, const char *create, const char *name, struct err *err)
{
	int r = mysqldb_run(restore->db, create, "making it", err);

	return r < 0 ? err_in(err, "table '%s'", name) : 0;
}

static int load_rows(struct restore *restore, const struct mysql_wanted_table *table, struct err *err)
{
	struct mysqldb *db = restore->db;
	bool same = false;
	json_t *loaded;
	char *path;
	int r;

	r = mysql_copy_table(db->call->ctx, table->dir, table->index, table->name, &path, err);
	if (r == 0)
		r = mysql_rows_load(db, path, err);
	if (r == 0)
		r = holds_the_same(db, restore->change.fresh, table->name, table->entry, table->entry, &same, err);
	if (r == 0 && !same) {
		loaded = table->entry;
		r = err_set(err, ERR_CORRUPT, "its rows are not those that were copied (%lld): nothing was changed",
			(long long)json_int(loaded, "rows", 0));
	}
	return r < 0 ? err_in(err, "table '%s'", table->name) : 0;
}

/* The rows go from the copy's shape into the live one, by the names of columns. Strictly: what does not fit is an error, not a zero. */
static int reshape(struct restore *restore, const struct mysql_wanted_table *table, json_t *live, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb *db = restore->db;
	json_t *kept = json_object_get(table->entry, "columns"), *has = json_object_get(live, "columns");
	const char *columns = mysql_columns_text(work, mysql_columns_missing(work, kept, mysql_columns_missing(work, kept, has)));
	const char *name = mysqldb_name(work, table->name);
	int r;

	if (!*columns)
		return err_set(err, ERR_REFUSED, "table '%s': the database has none of the columns that the backup has", table->name);
	r = mysqldb_run(db, mem_printf(work, "RENAME TABLE %s TO " COPY_NAME, name), "loading", err);
	if (r == 0)
		r = create_table(restore, mysql_qualify_keys(work, json_str(live, "create", ""), db->database, restore->names), table->name,
			err);
	if (r == 0)
		r = mysqldb_run(db, "SET SESSION sql_mode = '" STRICT "'", "the session", err);
	if (r == 0)
		r = mysqldb_run(db, mem_printf(work, "INSERT INTO %s (%s) SELECT %s FROM " COPY_NAME, name, columns, columns),
			"copying its rows into the table as it is now", err);
	if (r == 0)
		r = mysqldb_run(db, "SET SESSION sql_mode = '" NOT_STRICT "'", "the session", err);
	if (r == 0)
		r = mysqldb_run(db, "DROP TABLE " COPY_NAME, "loading", err);
	return r < 0 ? err_in(err, "table '%s'", table->name) : 0;
}

static int load_table(struct restore *restore, const struct mysql_wanted_table *table, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *live = json_object_get(json_object_get(restore->live, "tables"), table->name);
	bool reshaped = !restore->wanted->whole && live && !same_shape(live, table->entry);
	const char *create = json_str(table->entry, "create", "");
	int r;

	if (reshaped)
		create = mysql_strip_keys(work, create);
	else if (!restore->wanted->whole)
		create = mysql_qualify_keys(work, create, restore->db->database, restore->names);
	r = create_table(restore, create, table->name, err);
	if (r == 0)
		r = load_rows(restore, table, err);
	return r == 0 && reshaped ? reshape(restore, table, live, err) : r;
}

static int load_all(struct restore *restore, struct err *err)
{
	int r = mysqldb_run(restore->db, "SET SESSION foreign_key_checks = 0, SESSION unique_checks = 0", "the session", err);

	for (size_t i = 0; r == 0 && i < restore->wanted->count; i++) {
		call_progress(restore->db->call, (double)i / (double)restore->wanted->count, "loading %s", restore->wanted->tables[i].name);
		r = load_table(restore, &restore->wanted->tables[i], err);
	}
	FAILPOINT("mysql.loaded");
	return r < 0 ? r : mysqldb_run(restore->db, "SET SESSION unique_checks = 1", "the session", err);
}

/* ---- foreign keys ---- */

/* Children without a parent, when the key's tables stand where the two names say. */
static int count_orphans(struct mysqldb *db, json_t *key, const char *child, const char *parent, int64_t *ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *columns = json_object_get(key, "columns"), *to = json_object_get(key, "toColumns"), *column;
	char *given = mem_strdup(work, ""), *same = mem_strdup(work, "");
	size_t i;

	json_array_foreach(columns, i, column) {
		const char *mine = mysqldb_name(work, json_string_value(column)),
			   *theirs = mysqldb_name(work, json_string_value(json_array_get(to, i)));

		given = mem_appendf(given, "%sc.%s IS NOT NULL", i ? " AND " : "", mine);
		same = mem_appendf(same, "%sp.%s = c.%s", i ? " AND " : "", theirs, mine);
	}
	return mysqldb_integer(db,
		mem_printf(work, "SELECT count(*) FROM %s c WHERE %s AND NOT EXISTS (SELECT 1 FROM %s p WHERE %s)", child, given, parent,
			same),
		ret, err);
}

static bool is_wanted(struct restore *restore, const char *schema, const char *table)
{
	return (strcmp(schema, restore->db->database) == 0 || strcmp(schema, restore->change.fresh) == 0) &&
		json_object_get(restore->names, table);
}

/* Where a table will come from once all is exchanged. */
static char *place_after(struct restore *restore, const void *ctx, const char *schema, const char *table)
{
	return mysqldb_table(ctx, is_wanted(restore, schema, table) ? restore->change.fresh : schema, table);
}

/* Keys whose child or parent is restored must hold afterwards, or be broken no worse than before. A whole copy is restored as it was. */
static int check_key(struct restore *restore, json_t *key, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	const char *schema = json_str(key, "schema", ""), *table = json_str(key, "table", ""), *to_schema = json_str(key, "toSchema", ""),
		   *to = json_str(key, "toTable", "");
	bool child = is_wanted(restore, schema, table), fresh = strcmp(schema, restore->change.fresh) == 0;
	int64_t after, before = 0;
	int r;

	/* A live child that is restored is looked at as its successor, which has keys of its own. */
	if ((child && !fresh) || (!child && !is_wanted(restore, to_schema, to)) || (restore->wanted->whole && !fresh))
		return 0;
	r = count_orphans(restore->db, key, place_after(restore, work, schema, table), place_after(restore, work, to_schema, to), &after,
		err);
	if (r == 0 && after > 0 && !child)
		r = count_orphans(restore->db, key, mysqldb_table(work, schema, table), mysqldb_table(work, to_schema, to), &before, err);
	if (r < 0)
		return err_in(err, "foreign key '%s' of table '%s'", json_str(key, "name", ""), table);
	if (after <= before)
		return 0;
	if (restore->wanted->whole) {
		call_log(restore->db->call, LOG_WARN, "the copy holds %lld rows of %s that refer to none of %s, as the database did",
			(long long)after, table, to);
		return 0;
	}
	return err_set(err, ERR_REFUSED,
		"the restore would break the foreign key '%s': %lld rows of %s would refer to none of %s; nothing was changed",
		json_str(key, "name", ""), (long long)after, table, to);
}

static int check_keys(struct restore *restore, json_t *keys, struct err *err)
{
	json_t *key;
	size_t i;
	int r = 0;

	json_array_foreach(keys, i, key)
		if (r == 0)
			r = check_key(restore, key, err);
	return r;
}

/* ---- the plan ---- */

/* Foreign keys of tables that stay: they would follow the old table away. */
static int outer_keys(struct restore *restore, json_t *keys, json_t *old, json_t *lines, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb *db = restore->db;
	json_t *key;
	size_t i;

	json_array_foreach(keys, i, key) {
		const char *schema = json_str(key, "schema", ""), *table = json_str(key, "table", ""), *name = json_str(key, "name", "");
		bool goes = strcmp(schema, db->database) == 0 && mysql_columns_have(old, table);
		struct mysqldb_rows rows;
		const char *line;
		int r;

		if (strcmp(json_str(key, "toSchema", ""), db->database) != 0 ||
			!json_object_get(restore->names, json_str(key, "toTable", "")) || goes ||
			strcmp(schema, restore->change.fresh) == 0 || !mysql_columns_have(old, json_str(key, "toTable", "")))
			continue;
		r = mysqldb_select(db, work, mem_printf(work, "SHOW CREATE TABLE %s", mysqldb_table(work, schema, table)), &rows, err);
		if (r < 0)
			return err_in(err, "table '%s'", table);
		line = mysql_key_line(work, mysql_qualify_keys(work, rows.list[0][1], schema, NULL), name);
		if (!line)
			return err_set(err, ERR_UNSUPPORTED, "table '%s': its foreign key '%s' is not shown", table, name);
		(void)json_array_append_new(lines,
			json_pack("{s:s, s:s, s:s, s:s}", "schema", schema, "table", table, "name", name, "line", line));
	}
	return 0;
}

static json_t *triggers_of(const void *ctx, json_t *programs, json_t *names)
{
	json_t *found = json_keep(ctx, json_array()), *program;
	size_t i;

	json_array_foreach(programs, i, program)
		if (strcmp(json_str(program, "kind", ""), "trigger") == 0 && json_object_get(names, json_str(program, "table", "")))
			(void)json_array_append(found, program);
	return found;
}

static int make_plan(struct restore *restore, bool there, json_t *keys, struct err *err)
{
	struct mysqldb *db = restore->db;
	const struct mysql_wanted *wanted = restore->wanted;
	void *ctx = db->call->ctx;
	json_t *fresh = json_array(), *old = json_array(), *lines = json_array(), *programs = json_keep(ctx, json_array()), *table;
	const char *name;
	int r = 0;

	restore->change.plan = json_make(ctx, "{s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:o}", "goal", wanted->goal, "run",
		db->call->run_id ? db->call->run_id : "", "whole", wanted->whole, "absent", wanted->absent, "made", !there, "new", fresh,
		"old", old, "keys", lines);
	for (size_t i = 0; i < wanted->count; i++)
		(void)json_array_append_new(fresh, json_string(wanted->tables[i].name));
	json_object_foreach(json_object_get(restore->live, "tables"), name, table)
		if (wanted->whole || json_object_get(restore->names, name))
			(void)json_array_append_new(old, json_string(name));
	if (there)
		r = mysql_facts_programs(db, ctx, db->database, &programs, err);
	if (r == 0)
		r = outer_keys(restore, keys, old, lines, err);
	if (!wanted->whole)
		programs = triggers_of(ctx, programs, restore->names);
	json_put(restore->change.plan, "before", programs);
	json_put(restore->change.plan, "after",
		wanted->index            ? json_object_get(wanted->index, "programs")
			: wanted->absent ? json_keep(ctx, json_array())
					 : programs);
	json_put_str(restore->change.plan, "charset", json_str(wanted->index ? wanted->index : restore->live, "charset", "utf8mb4"));
	json_put_str(restore->change.plan, "collation",
		json_str(wanted->index ? wanted->index : restore->live, "collation", "utf8mb4_general_ci"));
	return r;
}

/* ---- the order of it all ---- */

/* The tables are those that were proven before the exchange; here it is their names and shapes, and where their foreign keys lead. */
static int prove_exchange(struct restore *restore, struct err *err)
{
	json_t *live, *tables;
	int r = mysql_facts_catalogue(restore->db, restore->db->call->ctx, restore->db->database, &live, err);

	if (r < 0)
		return r;
	tables = json_object_get(live, "tables");
	for (size_t i = 0; i < restore->wanted->count; i++) {
		const struct mysql_wanted_table *one = &restore->wanted->tables[i];
		json_t *table = json_object_get(tables, one->name);

		if (!table)
			return err_set(err, ERR_FAILED, "table '%s' is missing after the exchange", one->name);
		if (restore->wanted->whole && !same_shape(table, one->entry))
			return err_set(err, ERR_FAILED, "table '%s' has another definition after the exchange than the copy", one->name);
	}
	return 0;
}

/* From the exchange on; also where a restore that was interrupted after it is gone on with. */
static int finish(struct restore *restore, bool with_ledger, json_t **ret_lost, struct err *err)
{
	json_t *aside;
	int r = mysql_switch_settle(&restore->change, err);

	if (r == 0 && with_ledger && !restore->wanted->absent)
		r = prove_exchange(restore, err);
	if (r == 0 && with_ledger)
		r = mysql_facts_catalogue(restore->db, restore->db->call->ctx, restore->change.old, &aside, err);
	if (r == 0 && with_ledger)
		r = mysql_write_ledger(restore->db, restore->wanted, restore->change.old, aside, ret_lost, err);
	FAILPOINT("mysql.ledger_written");
	return r < 0 ? r : mysql_switch_end(&restore->change, err);
}

/* *ret_done: what is wanted was reached by going on. */
static int settle_earlier(struct restore *restore, bool *ret_done, json_t **ret_lost, struct err *err)
{
	struct driver_call *call = restore->db->call;
	enum mysql_stage stage;
	bool same, same_run;
	int r = mysql_switch_find(&restore->change, &stage, err);

	*ret_done = false;
	if (r < 0 || stage == MYSQL_STAGE_NONE)
		return r;
	if (stage == MYSQL_STAGE_LOADING || stage == MYSQL_STAGE_DONE)
		return mysql_switch_clear(&restore->change, err);
	same = strcmp(json_str(restore->change.plan, "goal", ""), restore->wanted->goal) == 0;
	same_run = strcmp(json_str(restore->change.plan, "run", ""), call->run_id ? call->run_id : "") == 0;
	if (stage == MYSQL_STAGE_READY || (!same && same_run)) {
		call_log(call, LOG_WARN, "a restore was interrupted: the tables that stood there before stand there again");
		return mysql_switch_take_back(&restore->change, err);
	}
	/* Another run's: the application may have worked on the new tables for long, so they stay. */
	call_log(call, LOG_WARN, "a restore was interrupted after the tables were exchanged: it is brought to its end%s",
		same ? "" : "; what was written between its snapshot and the exchange is in no ledger");
	r = finish(restore, same, ret_lost, err);
	*ret_done = r == 0 && same && same_run;
	return r;
}

static int restore_fresh(struct restore *restore, json_t **ret_lost, struct err *err)
{
	struct mysqldb *db = restore->db;
	json_t *keys;
	bool there;
	int r;

	r = mysql_facts_exists(db, db->database, &there, err);
	restore->live = json_make(db->call->ctx, "{s:{}}", "tables");
	if (r == 0 && there)
		r = mysql_facts_catalogue(db, db->call->ctx, db->database, &restore->live, err);
	if (r == 0)
		r = mysql_switch_begin(&restore->change, err);
	if (r == 0)
		r = load_all(restore, err);
	if (r == 0)
		r = mysql_facts_foreign_keys(db, db->call->ctx, db->database, restore->change.fresh, &keys, err);
	if (r == 0)
		r = check_keys(restore, keys, err);
	if (r == 0)
		r = make_plan(restore, there, keys, err);
	if (r < 0) { /* nothing was touched yet */
		struct err why = ERR_INIT;

		if (mysql_switch_clear(&restore->change, &why) < 0)
			call_log(db->call, LOG_WARN, "%s", why.text);
		return r;
	}
	r = mysql_switch_go(&restore->change, err);
	if (r < 0 && r != -ERR_UNREACHABLE) { /* else a later call looks at what became of it */
		struct err why = ERR_INIT;

		if (mysql_switch_take_back(&restore->change, &why) < 0)
			call_log(db->call, LOG_WARN, "%s", why.text);
	}
	return r < 0 ? r : finish(restore, true, ret_lost, err);
}

int mysql_restore(struct mysqldb *db, const struct mysql_wanted *wanted, json_t **ret_lost, struct err *err)
{
	struct restore restore = { .db = db, .wanted = wanted, .names = json_make(db->call->ctx, "{}") };
	bool done = false;
	int r = 0;

	for (size_t i = 0; i < wanted->count; i++) {
		(void)json_object_set_new(restore.names, wanted->tables[i].name, json_true());
		if (r == 0)
			r = mysql_copy_fits(db, wanted->tables[i].index, err);
	}
	mysql_switch_init(db, &restore.change);
	if (r == 0)
		r = mysqldb_lock(db, LOCK_WAIT_MS, err);
	if (r < 0)
		return r;
	r = settle_earlier(&restore, &done, ret_lost, err);
	if (r == 0 && !done)
		r = compare_all(db, wanted, &done, err);
	if (r == 0 && !done)
		r = restore_fresh(&restore, ret_lost, err);
	mysqldb_unlock(db);
	return r;
}
