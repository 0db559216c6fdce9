/* The exchange of tables (mysql_switch.h). Foreign keys follow a table that is renamed, in both directions: within the exchanged set they come out right by themselves; those of tables outside of it follow the old
 * table away, and are made anew afterwards from the line that was noted. One thread. */
#include "drivers/mysql_switch.h"

#include "base/failpoint.h"
#include "base/text.h"

#define NAME_LIMIT   64
#define PLAN_MAX     (256u << 20)
#define TAKE_BACK_MS 3000 /* left to take everything back, when somebody else's lock is waited for in vain */
#define DEFAULT_MODE "NO_AUTO_VALUE_ON_ZERO"

static const char *const stage_names[] = { "none", "loading", "ready", "switched", "done" };

static int run(struct mysqldb *db, const char *what, struct err *err, const char *format, ...) printf_like(4, 5);
static int run(struct mysqldb *db, const char *what, struct err *err, const char *format, ...)
{
	_cleanup_talloc_ char *statement = NULL;
	va_list arguments;

	va_start(arguments, format);
	statement = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	return mysqldb_run(db, statement, what, err);
}

static char *companion(struct mysqldb *db, const char *suffix)
{
	char *name = mem_printf(db, "%s_unship_%s", db->database, suffix), hash[HASH_HEX_SIZE];

	if (strlen(name) <= NAME_LIMIT)
		return name;
	hash_blake2b_hex(db->database, strlen(db->database), hash);
	return mem_printf(db, "unship_%.32s_%s", hash, suffix);
}

void mysql_switch_init(struct mysqldb *db, struct mysql_switch *ret)
{
	*ret = (struct mysql_switch){ .db = db, .fresh = companion(db, "new"), .old = companion(db, "old") };
}

/* ---- lines of foreign keys ---- */

/* Is this line of SHOW CREATE TABLE a foreign key? *ret_parent: where its parent's name begins. */
static bool is_key_line(const char *line, size_t size, size_t *ret_parent)
{
	static const char before[] = ") REFERENCES ";
	_cleanup_talloc_ char *text = mem_strndup(NULL, line, size);
	const char *parent = strstr(text, before);

	if (!text_starts_with(text, "  CONSTRAINT `") || !strstr(text, "` FOREIGN KEY (") || !parent)
		return false;
	*ret_parent = (size_t)(parent - text) + sizeof(before) - 1;
	return true;
}

/* `a``b` -> a`b; *ret_size: of the quoted form */
static char *unquote_name(const void *ctx, const char *quoted, size_t *ret_size)
{
	char *name = mem_strdup(ctx, "");
	const char *at = quoted + 1;

	for (; *at && (*at != '`' || at[1] == '`'); at++) {
		if (*at == '`')
			at++;
		name = mem_appendf(name, "%c", *at);
	}
	*ret_size = (size_t)(at - quoted) + 1;
	return name;
}

static char *qualify_line(char *text, const char *line, size_t size, size_t parent, const char *schema, json_t *here)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	size_t name_size;
	char *name = unquote_name(work, line + parent, &name_size);

	if (line[parent + name_size] == '.' || json_object_get(here, name))
		return mem_appendf(text, "%.*s", (int)size, line);
	return mem_appendf(text, "%.*s%s.%.*s", (int)parent, line, mysqldb_name(work, schema), (int)(size - parent), line + parent);
}

char *mysql_qualify_keys(const void *ctx, const char *create, const char *schema, json_t *here)
{
	char *text = mem_strdup(ctx, "");

	while (*create) {
		size_t size = strcspn(create, "\n") + 1, parent;

		size = MIN(size, strlen(create));
		text = is_key_line(create, size, &parent) ? qualify_line(text, create, size, parent, schema, here)
							  : mem_appendf(text, "%.*s", (int)size, create);
		create += size;
	}
	return text;
}

char *mysql_strip_keys(const void *ctx, const char *create)
{
	char *text = mem_strdup(ctx, "");

	while (*create) {
		size_t size = MIN(strcspn(create, "\n") + 1, strlen(create)), parent, end;

		/* The comma before the closing bracket goes with the last of them. */
		if (*create == ')' && (end = strlen(text)) > 1 && text[end - 2] == ',')
			text = mem_printf(ctx, "%.*s\n", (int)(end - 2), text);
		if (!is_key_line(create, size, &parent))
			text = mem_appendf(text, "%.*s", (int)size, create);
		create += size;
	}
	return text;
}

char *mysql_key_line(const void *ctx, const char *create, const char *name)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *begin = mem_printf(work, "  CONSTRAINT %s FOREIGN KEY (", mysqldb_name(work, name));

	while (*create) {
		size_t size = MIN(strcspn(create, "\n") + 1, strlen(create));

		if (text_starts_with(create, begin)) {
			while (size > 0 && strchr(",\n", create[size - 1]))
				size--;
			return mem_strndup(ctx, create + 2, size - 2);
		}
		create += size;
	}
	return NULL;
}

/* ---- the note ---- */

static int has_table(struct mysqldb *db, const char *schema, const char *table, bool *ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	int64_t count;
	int r = mysqldb_integer(db,
		mem_printf(work, "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s%s%s", mysqldb_quote(work, schema),
			table ? " AND TABLE_NAME = " : "", table ? mysqldb_quote(work, table) : ""),
		&count, err);

	if (r == 0)
		*ret = count > 0;
	return r;
}

static int read_note(struct mysql_switch *change, const char *schema, enum mysql_stage *ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	bool there, others;
	json_t *plan;
	int r;

	*ret = MYSQL_STAGE_NONE;
	r = has_table(change->db, schema, MYSQL_NOTE, &there, err);
	if (r == 0 && !there)
		r = has_table(change->db, schema, NULL, &others, err);
	if (r == 0 && !there && others)
		return err_set(err, ERR_CONFLICT,
			"the database '%s' holds tables that no restore put there: its name is needed for restores of '%s'", schema,
			change->db->database);
	if (r < 0 || !there)
		return r;
	r = mysqldb_select(change->db, work, mem_printf(work, "SELECT stage, plan FROM %s", mysqldb_table(work, schema, MYSQL_NOTE)), &rows,
		err);
	if (r < 0)
		return r;
	*ret = MYSQL_STAGE_LOADING;
	if (rows.count == 0)
		return 0;
	r = json_parse(change->db, rows.list[0][1], strlen(rows.list[0][1]), PLAN_MAX, &plan, err);
	if (r < 0)
		return err_in(err, "the note of a restore in '%s'", schema);
	change->plan = plan;
	for (size_t i = 0; i < ARRAY_SIZE(stage_names); i++)
		if (strcmp(rows.list[0][0], stage_names[i]) == 0)
			*ret = (enum mysql_stage)i;
	return 0;
}

int mysql_switch_find(struct mysql_switch *change, enum mysql_stage *ret, struct err *err)
{
	enum mysql_stage stage;
	int r;

	r = read_note(change, change->old, &stage, err);
	if (r == 0 && stage == MYSQL_STAGE_READY) /* the exchange moved it there */
		stage = MYSQL_STAGE_SWITCHED;
	if (r == 0 && stage == MYSQL_STAGE_NONE)
		r = read_note(change, change->fresh, &stage, err);
	if (r == 0)
		*ret = stage;
	return r;
}

static int write_note(struct mysql_switch *change, const char *schema, enum mysql_stage stage, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);

	return run(change->db, "the note of the restore", err, "REPLACE INTO %s (id, stage, plan) VALUES (1, '%s', %s)",
		mysqldb_table(work, schema, MYSQL_NOTE), stage_names[stage],
		mysqldb_quote(work, change->plan ? json_canonical(work, change->plan) : "{}"));
}

/* ---- making and clearing databases ---- */

/* The note goes last: a database that is half cleared is known as ours. */
static int clear_database(struct mysqldb *db, const char *schema, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct mysqldb_rows rows;
	int r;

	r = mysqldb_select(db, work,
		mem_printf(work, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME <> '%s'",
			mysqldb_quote(work, schema), MYSQL_NOTE),
		&rows, err);
	if (r == 0)
		r = mysqldb_run(db, "SET SESSION foreign_key_checks = 0", "the session", err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		r = run(db, "clearing up", err, "DROP TABLE IF EXISTS %s", mysqldb_table(work, schema, rows.list[i][0]));
		FAILPOINT("mysql.cleared_some");
	}
	if (r == 0)
		r = run(db, "clearing up", err, "DROP DATABASE IF EXISTS %s", mysqldb_name(work, schema));
	return r < 0 ? err_in(err, "database '%s'", schema) : 0;
}

/* The one with the note goes last: as long as it is there, somebody will come and go on. */
int mysql_switch_clear(struct mysql_switch *change, struct err *err)
{
	bool noted;
	int r = has_table(change->db, change->old, MYSQL_NOTE, &noted, err);

	if (r == 0)
		r = clear_database(change->db, noted ? change->fresh : change->old, err);
	return r < 0 ? r : clear_database(change->db, noted ? change->old : change->fresh, err);
}

int mysql_switch_begin(struct mysql_switch *change, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	const char *name = mysqldb_name(work, change->fresh);
	int r;

	r = run(change->db, change->fresh, err, "CREATE DATABASE IF NOT EXISTS %s", name);
	if (r == 0)
		r = run(change->db, change->fresh, err, "USE %s", name);
	if (r == 0)
		r = run(change->db, "the note of the restore", err,
			"CREATE TABLE %s (id INT NOT NULL PRIMARY KEY, stage VARCHAR(16) NOT NULL, plan LONGTEXT NOT NULL) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4",
			mysqldb_table(work, change->fresh, MYSQL_NOTE));
	return r;
}

/* ---- the exchange ---- */

static int drop_program(struct mysqldb *db, json_t *program, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);

	return run(db, json_str(program, "name", ""), err, "DROP %s IF EXISTS %s", json_str(program, "kind", ""),
		mysqldb_table(work, db->database, json_str(program, "name", "")));
}

static bool is_kind(json_t *program, const char *kind)
{
	return strcmp(json_str(program, "kind", ""), kind) == 0;
}

/* A table with triggers cannot go to another database, and a view cannot share the name of a table that comes. */
static int clear_the_way(struct mysql_switch *change, struct err *err)
{
	json_t *program;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(change->plan, "before"), i, program)
		if (r == 0 &&
			(is_kind(program, "trigger") ||
				(is_kind(program, "view") &&
					mysql_columns_have(json_object_get(change->plan, "new"), json_str(program, "name", "")))))
			r = drop_program(change->db, program, err);
	return r;
}

static char *add_move(char *text, const char *from, const char *to, const char *table)
{
	_cleanup_talloc_ void *work = mem_context(NULL);

	return mem_appendf(text, "%s%s TO %s", *text ? ", " : "", mysqldb_table(work, from, table), mysqldb_table(work, to, table));
}

static int rename_all(struct mysqldb *db, char *moves, struct err *err)
{
	return *moves ? run(db, "exchanging the tables", err, "RENAME TABLE %s", moves) : 0;
}

int mysql_switch_go(struct mysql_switch *change, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	const char *live = mysqldb_name(work, change->db->database);
	char *moves = mem_strdup(work, "");
	json_t *table;
	size_t i;
	int r;

	r = mysqldb_limit_locks(change->db, TAKE_BACK_MS, err);
	if (r == 0)
		r = write_note(change, change->fresh, MYSQL_STAGE_READY, err);
	if (r == 0)
		r = run(change->db, change->old, err, "CREATE DATABASE IF NOT EXISTS %s", mysqldb_name(work, change->old));
	if (r == 0 && json_flag(change->plan, "made", false))
		r = run(change->db, change->db->database, err, "CREATE DATABASE IF NOT EXISTS %s CHARACTER SET %s COLLATE %s", live,
			json_str(change->plan, "charset", ""), json_str(change->plan, "collation", ""));
	FAILPOINT("mysql.ready");
	if (r == 0)
		r = clear_the_way(change, err);
	FAILPOINT("mysql.triggers_dropped");
	json_array_foreach(json_object_get(change->plan, "old"), i, table)
		moves = add_move(moves, change->db->database, change->old, json_string_value(table));
	json_array_foreach(json_object_get(change->plan, "new"), i, table)
		moves = add_move(moves, change->fresh, change->db->database, json_string_value(table));
	moves = add_move(moves, change->fresh, change->old, MYSQL_NOTE);
	if (r == 0)
		r = rename_all(change->db, moves, err);
	FAILPOINT("mysql.switched");
	return r;
}

/* ---- after it ---- */

static int make_program(struct mysqldb *db, json_t *program, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	const char *mode = json_str(program, "sqlMode", NULL), *collation = json_str(program, "collation", NULL),
		   *zone = json_str(program, "timeZone", NULL);
	struct err ignored = ERR_INIT;
	int r = 0;

	if (mode)
		r = run(db, "the session", err, "SET SESSION sql_mode = %s", mysqldb_quote(work, mode));
	if (r == 0 && collation)
		r = run(db, "the session", err, "SET SESSION collation_connection = %s", mysqldb_quote(work, collation));
	if (r == 0 && zone)
		r = run(db, "the session", err, "SET SESSION time_zone = %s", mysqldb_quote(work, zone));
	if (r == 0)
		r = mysqldb_run(db, json_str(program, "create", ""), "making it", err);
	if (mysqldb_run(db, "SET NAMES utf8mb4, SESSION sql_mode = '" DEFAULT_MODE "', SESSION time_zone = '+00:00'", "the session",
		    &ignored) < 0 &&
		r == 0) {
		*err = ignored;
		r = -(int)ignored.code;
	}
	return r < 0 ? err_in(err, "%s '%s'", json_str(program, "kind", ""), json_str(program, "name", "")) : 0;
}

/* One may need another (a view a view, a view a function): those that fail are tried again as long as any succeeds. */
static int make_missing(struct mysqldb *db, json_t *wanted, json_t *there, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *left = json_keep(work, json_array()), *program;
	size_t i, before;
	int r = 0;

	json_array_foreach(wanted, i, program)
		if (!mysql_programs_have(there, program))
			(void)json_array_append(left, program);
	do {
		before = json_array_size(left);
		r = 0;
		for (i = 0; i < json_array_size(left);) {
			struct err why = ERR_INIT;

			if (make_program(db, json_array_get(left, i), &why) == 0) {
				(void)json_array_remove(left, i);
				FAILPOINT("mysql.program_made");
				continue;
			}
			*err = why;
			r = -(int)why.code;
			i++;
		}
	} while (r < 0 && json_array_size(left) < before);
	return r;
}

static int make_programs(struct mysqldb *db, json_t *wanted, bool whole, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *there, *program;
	size_t i;
	int r = mysql_facts_programs(db, work, db->database, &there, err);

	if (r < 0)
		return r;
	json_array_foreach(there, i, program)
		if (r == 0 && whole && !mysql_programs_have(wanted, program))
			r = drop_program(db, program, err);
	return r < 0 ? r : make_missing(db, wanted, there, err);
}

/* Where does the key lead now? */
static json_t *find_key(json_t *all, json_t *key)
{
	static const char *const members[] = { "schema", "table", "name" };
	json_t *other;
	size_t i;

	json_array_foreach(all, i, other) {
		size_t same = 0;

		for (size_t k = 0; k < ARRAY_SIZE(members); k++)
			same += strcmp(json_str(other, members[k], ""), json_str(key, members[k], "")) == 0;
		if (same == ARRAY_SIZE(members))
			return other;
	}
	return NULL;
}

/* Within one ALTER TABLE a key cannot be dropped and added under the same name: two statements, and the line stands in the note. */
static int lead_keys_back(struct mysql_switch *change, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *keys = json_object_get(change->plan, "keys"), *key, *all;
	size_t i;
	int r;

	if (json_array_size(keys) == 0)
		return 0;
	r = mysqldb_run(change->db, "SET SESSION foreign_key_checks = 0", "the session", err);
	json_array_foreach(keys, i, key) {
		const char *child = mysqldb_table(work, json_str(key, "schema", ""), json_str(key, "table", ""));
		json_t *now;

		if (r == 0)
			r = mysql_facts_foreign_keys(change->db, work, json_str(key, "schema", ""), NULL, &all, err);
		if (r < 0)
			return r;
		now = find_key(all, key);
		if (now && strcmp(json_str(now, "toSchema", ""), change->db->database) == 0)
			continue;
		if (now)
			r = run(change->db, "a foreign key", err, "ALTER TABLE %s DROP FOREIGN KEY %s", child,
				mysqldb_name(work, json_str(key, "name", "")));
		FAILPOINT("mysql.key_dropped");
		if (r == 0)
			r = run(change->db, "a foreign key", err, "ALTER TABLE %s ADD %s", child, json_str(key, "line", ""));
		if (r < 0)
			return err_in(err, "table '%s'", json_str(key, "table", ""));
	}
	return r;
}

int mysql_switch_settle(struct mysql_switch *change, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	bool whole = json_flag(change->plan, "whole", false);
	int r;

	r = lead_keys_back(change, err);
	if (r == 0 && whole)
		r = run(change->db, change->db->database, err, "ALTER DATABASE %s CHARACTER SET %s COLLATE %s",
			mysqldb_name(work, change->db->database), json_str(change->plan, "charset", ""),
			json_str(change->plan, "collation", ""));
	return r < 0 ? r : make_programs(change->db, json_object_get(change->plan, "after"), whole, err);
}

int mysql_switch_end(struct mysql_switch *change, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	int r = write_note(change, change->old, MYSQL_STAGE_DONE, err);

	FAILPOINT("mysql.settled");
	if (r == 0 && json_flag(change->plan, "absent", false))
		r = run(change->db, change->db->database, err, "DROP DATABASE IF EXISTS %s", mysqldb_name(work, change->db->database));
	return r < 0 ? r : mysql_switch_clear(change, err);
}

/* ---- back ---- */

/* Did the table that was to come take its place? It did when it is in "new" no more; then the one that it replaced must be in "old". */
static int came(struct mysql_switch *change, const char *table, bool *ret, struct err *err)
{
	bool waiting, aside = true;
	int r = has_table(change->db, change->fresh, table, &waiting, err);

	if (r == 0 && !waiting && mysql_columns_have(json_object_get(change->plan, "old"), table))
		r = has_table(change->db, change->old, table, &aside, err);
	if (r == 0 && !aside)
		r = err_set(err, ERR_CORRUPT, "table '%s' is in neither '%s' nor '%s': nothing is moved", table, change->fresh,
			change->old);
	if (r == 0)
		*ret = !waiting;
	return r;
}

/* Whatever of the exchange came true: a table that stands in "old" goes back, and the one that took its name, or came without there being one, goes to "new" again. */
static int move_back(struct mysql_switch *change, bool switched, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *table;
	char *moves = mem_strdup(work, "");
	bool there = false;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(change->plan, "new"), i, table) {
		if (r == 0)
			r = came(change, json_string_value(table), &there, err);
		if (r == 0 && there)
			moves = add_move(moves, change->db->database, change->fresh, json_string_value(table));
	}
	json_array_foreach(json_object_get(change->plan, "old"), i, table) {
		if (r == 0)
			r = has_table(change->db, change->old, json_string_value(table), &there, err);
		if (r == 0 && there)
			moves = add_move(moves, change->old, change->db->database, json_string_value(table));
	}
	if (switched)
		moves = add_move(moves, change->old, change->fresh, MYSQL_NOTE);
	return r < 0 ? r : rename_all(change->db, moves, err);
}

int mysql_switch_take_back(struct mysql_switch *change, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	bool switched, whole = json_flag(change->plan, "whole", false), made = json_flag(change->plan, "made", false), others = false;
	json_t *program;
	size_t i;
	int r;

	r = has_table(change->db, change->old, MYSQL_NOTE, &switched, err);
	json_array_foreach(json_object_get(change->plan, "after"), i, program)
		if (r == 0 && switched && is_kind(program, "trigger"))
			r = drop_program(change->db, program, err);
	if (r == 0)
		r = mysqldb_run(change->db, "SET SESSION foreign_key_checks = 0", "the session", err);
	if (r == 0)
		r = move_back(change, switched, err);
	if (r == 0)
		r = lead_keys_back(change, err);
	if (r == 0 && made) /* tables that others made in it since are theirs */
		r = has_table(change->db, change->db->database, NULL, &others, err);
	if (r == 0 && made && !others)
		r = run(change->db, change->db->database, err, "DROP DATABASE IF EXISTS %s", mysqldb_name(work, change->db->database));
	else if (r == 0 && !made)
		r = make_programs(change->db, json_object_get(change->plan, "before"), whole, err);
	/* From here on the tables of "new" are rubbish: that one of them is missing says nothing any more. */
	if (r == 0)
		r = write_note(change, change->fresh, MYSQL_STAGE_LOADING, err);
	return r < 0 ? err_in(err, "taking back an interrupted restore") : mysql_switch_clear(change, err);
}
