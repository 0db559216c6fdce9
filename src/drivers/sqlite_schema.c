/* The schema of an SQLite database as facts for compatibility (core/compat.h): by the table-valued pragmas, and by the text of the definitions where those say nothing (CHECK). Read only; one thread per
 * connection.
 *
 * Triggers are not among the facts: what they do cannot be told from outside. */
#include <ctype.h>
#include <strings.h>

#include "base/text.h"
#include "data/json.h"
#include "drivers/sqlite_facts.h"

/* Read a row of a query that has one argument, the name of a table or an index. */
typedef int (*row_reader)(void *user, sqlite3 *connection, sqlite3_stmt *row, struct err *err);

static int each_row(sqlite3 *connection, const char *query, const char *argument, row_reader reader, void *user, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	int r;

	r = facts_prepare(connection, query, &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, argument, -1, SQLITE_STATIC);
	while ((r = facts_step(connection, statement, err)) > 0) {
		r = reader(user, connection, statement, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* A table while its facts are gathered. */
struct table {
	const char *name;
	json_t *facts;
	size_t key_columns;
	bool key_has_index; /* so that the key is not the row's own number */
};

/* "collation": how a column compares, when not byte by byte. Its name knows no cases. */
static void add_collation(sqlite3 *connection, const char *table, const char *name, json_t *facts)
{
	const char *collation = NULL;
	char upper[64];

	if (sqlite3_table_column_metadata(connection, "main", table, name, NULL, &collation, NULL, NULL, NULL) != SQLITE_OK || !collation ||
		strcasecmp(collation, "BINARY") == 0)
		return;
	(void)snprintf(upper, sizeof(upper), "%s", collation);
	for (char *c = upper; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	json_put_str(facts, "collation", upper);
}

/* name, type, notnull, dflt_value, pk, hidden: 1 belongs to a module, 2 and 3 are computed */
static int read_column(void *user, sqlite3 *connection, sqlite3_stmt *row, struct err *err)
{
	struct table *table = user;
	json_t *facts = json_object();

	json_put_str(facts, "type", facts_column(row, 1));
	json_put_flag(facts, "notNull", sqlite3_column_int(row, 2) != 0);
	json_put_flag(facts, "primaryKey", sqlite3_column_int(row, 4) > 0);
	if (sqlite3_column_type(row, 3) == SQLITE_NULL)
		(void)json_object_set_new(facts, "default", json_null());
	else
		json_put_str(facts, "default", facts_column(row, 3));
	if (sqlite3_column_int(row, 5) >= 2)
		json_put_flag(facts, "generated", true);
	add_collation(connection, table->name, facts_column(row, 0), facts);
	table->key_columns += sqlite3_column_int(row, 4) > 0;
	(void)json_object_set_new(json_object_get(table->facts, "columns"), facts_column(row, 0), facts);
	return 0;
}

struct index {
	const char *table;
	json_t *columns;
};

/* name, coll. An expression has no name; a column that is compared otherwise than it is declared counts as one. */
static int read_index_column(void *user, sqlite3 *connection, sqlite3_stmt *row, struct err *err)
{
	struct index *index = user;
	const char *name = facts_column(row, 0), *own = NULL;
	bool plain = sqlite3_column_type(row, 0) != SQLITE_NULL &&
		sqlite3_table_column_metadata(connection, "main", index->table, name, NULL, &own, NULL, NULL, NULL) == SQLITE_OK && own &&
		strcasecmp(own, facts_column(row, 1)) == 0;

	(void)json_array_append_new(index->columns,
		plain ? json_string(name) : json_sprintf("(%s COLLATE %s)", *name ? name : "expression", facts_column(row, 1)));
	return 0;
}

/* The definition of an index, from its ON: what expressions and a partial one are about. */
static int definition(const void *ctx, sqlite3 *connection, const char *name, char **ret, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	int r;

	r = facts_prepare(connection, "SELECT sql FROM main.sqlite_master WHERE type = 'index' AND name = ?1", &statement, err);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	r = facts_step(connection, statement, err);
	*ret = mem_strdup(ctx, r > 0 ? facts_column(statement, 0) : "");
	return r < 0 ? r : 0;
}

static bool has_expression(json_t *columns)
{
	json_t *name;
	size_t i;

	json_array_foreach(columns, i, name)
		if (text_starts_with(json_string_value(name), "(expression"))
			return true;
	return false;
}

/* name, unique, origin ("c" by CREATE INDEX, "u" by UNIQUE, "pk"), partial */
static int read_index(void *user, sqlite3 *connection, sqlite3_stmt *row, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct table *table = user;
	struct index index = { .table = table->name, .columns = json_keep(work, json_array()) };
	const char *name = facts_column(row, 0), *origin = facts_column(row, 2);
	bool partial = sqlite3_column_int(row, 3) != 0;
	json_t *facts, *all;
	char *text;
	int r;

	if (!strcmp(origin, "pk")) {
		table->key_has_index = true;
		return 0;
	}
	r = each_row(connection, "SELECT name, coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno", name, read_index_column,
		&index, err);
	if (r == 0)
		r = definition(work, connection, name, &text, err);
	if (r < 0)
		return r;
	all = json_object_get(table->facts, !strcmp(origin, "u") ? "unique" : "indexes");
	if (!strcmp(origin, "u")) {
		(void)json_array_append(all, index.columns);
		return 0;
	}
	facts = json_pack("{s:O, s:b}", "columns", index.columns, "unique", sqlite3_column_int(row, 1) != 0);
	/* Expressions and conditions are told apart by the whole definition that they stand in. */
	if (partial || has_expression(index.columns))
		json_put_str(facts, "where", strcasestr(text, " ON ") ? strcasestr(text, " ON ") + 1 : text);
	(void)json_object_set_new(all, name, facts);
	return 0;
}

static void append(json_t *object, const char *key, json_t *text)
{
	(void)json_array_append(json_object_get(object, key), text);
}

/* id, seq, table, from, to, on_update, on_delete. Several columns are several rows. */
static int read_foreign_key(void *user, sqlite3 *connection, sqlite3_stmt *row, struct err *err)
{
	struct table *table = user;
	json_t *list = json_object_get(table->facts, "foreignKeys"), *key, *name;

	if (sqlite3_column_int(row, 1) == 0) {
		key = json_pack("{s:[], s:[]}", "columns", "references");
		json_put_str(key, "table", facts_column(row, 2));
		json_put_str(key, "onUpdate", facts_column(row, 5));
		json_put_str(key, "onDelete", facts_column(row, 6));
		(void)json_array_append_new(list, key);
	}
	key = json_array_get(list, json_array_size(list) - 1);
	name = json_string(facts_column(row, 3));
	append(key, "columns", name);
	json_decref(name);
	if (sqlite3_column_type(row, 4) != SQLITE_NULL) { /* else the primary key */
		name = json_string(facts_column(row, 4));
		append(key, "references", name);
		json_decref(name);
	}
	return 0;
}

/* The words of SQL, one after the other, without comments; what is quoted is one word. 0: the end. */
static size_t next_word(const char *text, size_t *skipped)
{
	const char *start = text;

	while (true) {
		const char *end;

		text += strspn(text, " \t\r\n\f");
		if (!strncmp(text, "--", 2)) {
			text += strcspn(text, "\n");
			continue;
		}
		end = !strncmp(text, "/*", 2) ? strstr(text, "*/") : NULL;
		if (!end)
			break;
		text = end + 2;
	}
	*skipped = (size_t)(text - start);
	if (*text == '\'' || *text == '"' || *text == '`' || *text == '[') {
		char close = *text == '[' ? ']' : *text;
		const char *end = strchr(text + 1, close);

		while (end && close != ']' && end[1] == close)
			end = strchr(end + 2, close);
		return end ? (size_t)(end - text) + 1 : strlen(text);
	}
	if (isalnum((unsigned char)*text) || *text == '_')
		return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$");
	return *text ? 1 : 0;
}

static bool is_word(const char *text, size_t length, const char *word)
{
	return length == strlen(word) && strncasecmp(text, word, length) == 0;
}

/* The bracketed expression that starts at `text`, without its brackets; NULL: it does not end. */
static char *in_brackets(const void *ctx, const char *text, const char **ret_end)
{
	const char *start = NULL;
	size_t length, skipped, depth = 0;

	while ((length = next_word(text, &skipped)) > 0) {
		text += skipped;
		if (*text == '(' && depth++ == 0)
			start = text + 1;
		if (*text == ')' && --depth == 0) {
			*ret_end = text + 1;
			return mem_strndup(ctx, start, (size_t)(text - start));
		}
		text += length;
		if (depth == 0)
			break;
	}
	return NULL;
}

/* CHECK constraints stand nowhere but in the definition. CHECK is a reserved word, so unless quoted it begins one wherever it occurs. */
static void read_checks(const void *ctx, const char *text, json_t *checks)
{
	const char *name = NULL, *last = NULL;
	size_t length, skipped, name_length = 0, last_length = 0;

	for (; (length = next_word(text, &skipped)) > 0; text += length) {
		text += skipped;
		if (is_word(text, length, "CHECK")) {
			const char *end = NULL;
			char *expression = in_brackets(ctx, text + length, &end);
			char *key = name ? mem_strndup(ctx, name, name_length) : mem_printf(ctx, "check_%zu", json_object_size(checks) + 1);

			if (!expression)
				return;
			json_put_str(checks, key, expression);
			text = end;
			length = 0;
		}
		/* CONSTRAINT name CHECK (...) */
		name = last && is_word(last, last_length, "CONSTRAINT") ? text : NULL;
		name_length = length;
		last = text;
		last_length = length;
	}
}

/* Leaves out what is empty. */
static void drop_empty(json_t *facts)
{
	static const char *const members[] = { "unique", "checks", "foreignKeys", "indexes" };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		json_t *member = json_object_get(facts, members[i]);

		if (json_array_size(member) == 0 && json_object_size(member) == 0)
			(void)json_object_del(facts, members[i]);
	}
}

/* The only column of the key, when that is the number of the row: it gets one when it is left out. */
static void mark_row_number(const struct table *table)
{
	const char *name;
	json_t *facts;

	if (table->key_columns != 1 || table->key_has_index)
		return;
	json_object_foreach(json_object_get(table->facts, "columns"), name, facts)
		if (json_flag(facts, "primaryKey", false))
			json_put_flag(facts, "identity", true);
}

static int table_facts(sqlite3 *connection, struct table *table, const char *text, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	int r;

	r = each_row(connection,
		"SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1", table->name,
		read_column, table, err);
	if (r == 0)
		r = each_row(connection, "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1, 'main') ORDER BY name",
			table->name, read_index, table, err);
	if (r == 0)
		r = each_row(connection,
			"SELECT id, seq, \"table\", \"from\", \"to\", on_update, on_delete FROM pragma_foreign_key_list(?1, 'main') ORDER BY id, seq",
			table->name, read_foreign_key, table, err);
	if (r < 0)
		return r;
	read_checks(work, text, json_object_get(table->facts, "checks"));
	mark_row_number(table);
	drop_empty(table->facts);
	return 0;
}

/* A view whose tables are gone has no columns any more; that is what there is to say about it. */
static void view_facts(sqlite3 *connection, struct table *view)
{
	struct err ignored = ERR_INIT;

	(void)each_row(connection, "SELECT name, type, 0, NULL, 0, 0 FROM pragma_table_xinfo(?1, 'main')", view->name, read_column, view,
		&ignored);
	drop_empty(view->facts);
	json_put_flag(view->facts, "view", true);
}

#define TABLES_AND_VIEWS \
	"SELECT m.name, m.type = 'view', coalesce(m.sql, ''), l.wr, l.strict FROM main.sqlite_master m JOIN pragma_table_list l ON l.name = m.name AND l.schema = 'main'" \
	" WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name"

int facts_schema(const void *ctx, sqlite3 *connection, json_t **ret, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	json_t *tables = json_object();
	int r;

	*ret = json_make(ctx, "{s:o}", "tables", tables);
	r = facts_prepare(connection, TABLES_AND_VIEWS, &statement, err);
	if (r < 0)
		return r;
	while ((r = facts_step(connection, statement, err)) > 0) {
		struct table table = { .name = facts_column(statement, 0) };

		table.facts = json_pack("{s:{}, s:[], s:{}, s:[], s:{}}", "columns", "unique", "checks", "foreignKeys", "indexes");
		(void)json_object_set_new(tables, table.name, table.facts);
		if (sqlite3_column_int(statement, 3))
			json_put_flag(table.facts, "withoutRowid", true);
		if (sqlite3_column_int(statement, 4))
			json_put_flag(table.facts, "strict", true);
		if (sqlite3_column_int(statement, 1)) {
			view_facts(connection, &table);
			continue;
		}
		r = table_facts(connection, &table, facts_column(statement, 2), err);
		if (r < 0)
			return r;
	}
	return r;
}
