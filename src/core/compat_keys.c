/* Compatibility of what ties rows: primary keys, unique constraints and indexes, foreign keys.
 *
 * A unique key of the live schema is harmless when the older code was already bound by one on some of the same columns, or when a column of it stays NULL in its rows (NULLs are not the same as each
 * other). A key that is gone matters to code that updates on conflict: PostgreSQL and SQLite refuse ON CONFLICT on columns without one, MySQL adds a second row. Pure; any thread. */
#include <strings.h>

#include "base/mem.h"
#include "core/compat_rules.h"
#include "data/json.h"

/* ---- lists of columns ---- */

static bool same_name(const struct schema_pair *pair, const char *a, const char *b)
{
	return pair->engine == ENGINE_SQLITE || pair->engine == ENGINE_MYSQL ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0;
}

static bool holds(const struct schema_pair *pair, json_t *columns, const char *name)
{
	json_t *column;
	size_t i;

	json_array_foreach(columns, i, column)
		if (json_is_string(column) && same_name(pair, json_string_value(column), name))
			return true;
	return false;
}

/* Is each of `few` in `many`? Expressions have no name and are in nothing. */
static bool all_in(const struct schema_pair *pair, json_t *few, json_t *many)
{
	json_t *column;
	size_t i;

	json_array_foreach(few, i, column)
		if (!json_is_string(column) || !holds(pair, many, json_string_value(column)))
			return false;
	return json_array_size(few) > 0;
}

static bool same_columns(const struct schema_pair *pair, json_t *a, json_t *b)
{
	return json_equal(a, b) || (all_in(pair, a, b) && all_in(pair, b, a));
}

/* Are all of them columns of the table, and none an expression? */
static bool are_columns(const struct schema_pair *pair, json_t *table, json_t *columns)
{
	json_t *column;
	size_t i;

	json_array_foreach(columns, i, column)
		if (!json_is_string(column) || !schema_column(pair, table, json_string_value(column), NULL))
			return false;
	return true;
}

/* ---- unique keys ---- */

static json_t *primary_key(json_t *table)
{
	json_t *columns = json_array(), *column;
	const char *name;

	json_object_foreach(json_object_get(table, "columns"), name, column)
		if (json_flag(column, "primaryKey", false))
			json_array_append_new(columns, json_string(name));
	return columns;
}

static bool same_key(const struct schema_pair *pair, json_t *a, json_t *b)
{
	json_t *where = json_object_get(a, "where"), *other = json_object_get(b, "where");

	return same_columns(pair, json_object_get(a, "columns"), json_object_get(b, "columns")) &&
		(where == other || json_equal(where, other)) &&
		json_flag(a, "nullsNotDistinct", false) == json_flag(b, "nullsNotDistinct", false);
}

/* Drivers may list a unique index among the constraints as well: once is enough. */
static void add_key(const struct schema_pair *pair, json_t *keys, json_t *columns, json_t *index)
{
	json_t *key, *other;
	size_t i;

	if (json_array_size(columns) == 0)
		return;
	key = json_keep(pair->ctx, json_pack("{s:O}", "columns", columns));
	json_put(key, "where", json_object_get(index, "where"));
	json_put(key, "nullsNotDistinct", json_object_get(index, "nullsNotDistinct"));
	json_array_foreach(keys, i, other)
		if (same_key(pair, key, other))
			return;
	json_array_append(keys, key);
}

/* Everything that makes rows unique, in whatever form it was declared: [{"columns", "where", "nullsNotDistinct"}]. */
static json_t *keys_of(const struct schema_pair *pair, json_t *table)
{
	json_t *keys = json_keep(pair->ctx, json_array()), *primary = primary_key(table), *columns, *index;
	const char *name;
	size_t i;

	add_key(pair, keys, primary, NULL);
	json_decref(primary);
	json_array_foreach(json_object_get(table, "unique"), i, columns)
		add_key(pair, keys, columns, NULL);
	json_object_foreach(json_object_get(table, "indexes"), name, index)
		if (json_flag(index, "unique", false))
			add_key(pair, keys, json_object_get(index, "columns"), index);
	return keys;
}

/* A column that differs in every row that the older code adds, or that is NULL in all of them. */
static bool tells_rows_apart(const struct schema_pair *pair, json_t *key)
{
	json_t *name;
	size_t i;

	json_array_foreach(json_object_get(key, "columns"), i, name) {
		const char *text = json_string_value(name);
		json_t *column = text ? schema_column(pair, pair->live, text, NULL) : NULL;

		if (!column || schema_column(pair, pair->target, text, NULL))
			continue;
		if (json_object_get(column, "identity") || strncmp(json_str(column, "default", ""), "nextval(", 8) == 0)
			return true;
		if (schema_stays_null(pair, text) && !json_flag(key, "nullsNotDistinct", false))
			return true;
	}
	return false;
}

static bool was_unique(const struct schema_pair *pair, json_t *key, json_t *target_keys)
{
	json_t *former;
	size_t i;

	json_array_foreach(target_keys, i, former) {
		if (same_key(pair, key, former))
			return true;
		if (!json_object_get(former, "where") && !json_flag(key, "nullsNotDistinct", false) &&
			all_in(pair, json_object_get(former, "columns"), json_object_get(key, "columns")))
			return true;
	}
	return tells_rows_apart(pair, key);
}

/* Is there something that ON CONFLICT on these columns finds? */
static bool is_found(const struct schema_pair *pair, json_t *key, json_t *live_keys)
{
	json_t *now;
	size_t i;

	json_array_foreach(live_keys, i, now) {
		json_t *where = json_object_get(now, "where");

		if (same_columns(pair, json_object_get(now, "columns"), json_object_get(key, "columns")) &&
			(!where || json_equal(where, json_object_get(key, "where"))))
			return true;
	}
	return false;
}

static void check_unique(struct schema_pair *pair)
{
	json_t *now = keys_of(pair, pair->live), *then = keys_of(pair, pair->target), *key;
	json_t *primary = json_keep(pair->ctx, primary_key(pair->target)), *other = json_keep(pair->ctx, primary_key(pair->live));
	size_t i;

	json_array_foreach(now, i, key)
		if (!was_unique(pair, key, then))
			schema_say(pair, RULE_UNIQUE_NEW, key, NULL, NULL);
	json_array_foreach(then, i, key)
		if (!is_found(pair, key, now) && are_columns(pair, pair->live, json_object_get(key, "columns")))
			schema_say(pair, pair->engine == ENGINE_MYSQL ? RULE_UNIQUE_DROPPED_UNNAMED : RULE_UNIQUE_DROPPED, NULL, key, NULL);
	if (json_array_size(primary) > 0 && !same_columns(pair, primary, other))
		schema_say(pair, RULE_PRIMARY_KEY, other, primary, NULL);
}

bool schema_in_unique(const struct schema_pair *pair, const char *column)
{
	json_t *key;
	size_t i;

	json_array_foreach(keys_of(pair, pair->live), i, key)
		if (holds(pair, json_object_get(key, "columns"), column))
			return true;
	return false;
}

/* ---- indexes ---- */

/* Does the list begin with these columns? */
static bool begins_with(const struct schema_pair *pair, json_t *list, json_t *columns)
{
	json_t *column;
	size_t i;

	json_array_foreach(columns, i, column) {
		json_t *there = json_array_get(list, i);

		if (json_equal(there, column))
			continue;
		if (!json_is_string(there) || !json_is_string(column) ||
			!same_name(pair, json_string_value(there), json_string_value(column)))
			return false;
	}
	return true;
}

static bool is_indexed(const struct schema_pair *pair, json_t *columns, json_t *where)
{
	json_t *keys = keys_of(pair, pair->live), *index;
	const char *name;
	size_t i;

	json_array_foreach(keys, i, index)
		if (!json_object_get(index, "where") && begins_with(pair, json_object_get(index, "columns"), columns))
			return true;
	json_object_foreach(json_object_get(pair->live, "indexes"), name, index) {
		json_t *now = json_object_get(index, "where");

		if ((!now || json_equal(now, where)) && begins_with(pair, json_object_get(index, "columns"), columns))
			return true;
	}
	return false;
}

static void check_indexes(struct schema_pair *pair)
{
	json_t *index;
	const char *name;

	json_object_foreach(json_object_get(pair->target, "indexes"), name, index) {
		json_t *columns = json_object_get(index, "columns");

		if (!json_flag(index, "unique", false) && are_columns(pair, pair->live, columns) &&
			!is_indexed(pair, columns, json_object_get(index, "where")))
			schema_say(pair, RULE_INDEX_DROPPED, NULL, index, NULL);
	}
}

/* ---- foreign keys ---- */

static json_t *same_foreign_key(const struct schema_pair *pair, json_t *list, json_t *wanted)
{
	json_t *key;
	size_t i;

	json_array_foreach(list, i, key)
		if (same_columns(pair, json_object_get(key, "columns"), json_object_get(wanted, "columns")) &&
			same_name(pair, json_str(key, "table", ""), json_str(wanted, "table", "")) &&
			same_columns(pair, json_object_get(key, "references"), json_object_get(wanted, "references")))
			return key;
	return NULL;
}

/* Does the key keep a row that is referred to from being deleted or changed? NO ACTION and RESTRICT differ only in when they refuse; nothing said is NO ACTION. What is set to NULL must be able to be, and
 * what is set to its default must refer to something, which cannot be seen. */
static bool refuses(const struct schema_pair *pair, json_t *table, json_t *key, const char *event)
{
	const char *action = json_str(key, event, "");
	json_t *name;
	size_t i;

	if (!strcasecmp(action, "CASCADE"))
		return false;
	if (strcasecmp(action, "SET NULL") != 0)
		return true;
	json_array_foreach(json_object_get(key, "columns"), i, name)
		if (json_is_string(name) && json_flag(schema_column(pair, table, json_string_value(name), NULL), "notNull", false))
			return true;
	return false;
}

static void check_action(struct schema_pair *pair, json_t *now, json_t *then, const char *event)
{
	bool refused = refuses(pair, pair->target, then, event);

	if (refuses(pair, pair->live, now, event)) {
		if (!refused)
			schema_say(pair, RULE_DELETE_REFUSED, now, then, NULL);
	} else if (refused || strcasecmp(json_str(now, event, ""), json_str(then, event, "")) != 0) {
		schema_say(pair, RULE_DELETE_CHANGED, now, then, NULL);
	}
}

/* Newer rows refer to a table that the older code deletes from. Said of that table. */
static void check_referenced(struct schema_pair *pair, json_t *key)
{
	const char *here = pair->table, *parent = json_str(key, "table", NULL);

	if (!parent || !json_object_get(pair->target_tables, parent) || !refuses(pair, pair->live, key, "onDelete"))
		return;
	pair->table = parent;
	schema_say(pair, RULE_REFERENCED, key, NULL, mem_printf(pair->ctx, " (by a foreign key of '%s')", here));
	pair->table = here;
}

static void check_new_foreign_key(struct schema_pair *pair, json_t *key)
{
	json_t *column;
	size_t i;

	json_array_foreach(json_object_get(key, "columns"), i, column)
		if (json_is_string(column) && schema_stays_null(pair, json_string_value(column))) {
			check_referenced(pair, key);
			return;
		}
	schema_say(pair, RULE_FOREIGN_KEY_NEW, key, NULL, NULL);
}

static void check_foreign_keys(struct schema_pair *pair)
{
	json_t *live = json_object_get(pair->live, "foreignKeys"), *target = json_object_get(pair->target, "foreignKeys"), *key;
	size_t i;

	json_array_foreach(live, i, key) {
		json_t *former = same_foreign_key(pair, target, key);

		if (!former) {
			check_new_foreign_key(pair, key);
			continue;
		}
		check_action(pair, key, former, "onDelete");
		check_action(pair, key, former, "onUpdate");
	}
	json_array_foreach(target, i, key)
		if (!same_foreign_key(pair, live, key))
			schema_say(pair, RULE_FOREIGN_KEY_DROPPED, NULL, key,
				refuses(pair, pair->target, key, "onDelete")
					? NULL
					: ": what referred to a deleted row now stays as it is, and refers to nothing");
}

bool schema_in_foreign_key(const struct schema_pair *pair, const char *column)
{
	json_t *key;
	size_t i;

	json_array_foreach(json_object_get(pair->live, "foreignKeys"), i, key)
		if (holds(pair, json_object_get(key, "columns"), column))
			return true;
	return false;
}

void schema_check_new_table(struct schema_pair *pair)
{
	json_t *key;
	size_t i;

	json_array_foreach(json_object_get(pair->live, "foreignKeys"), i, key)
		check_referenced(pair, key);
}

void schema_check_keys(struct schema_pair *pair)
{
	check_unique(pair);
	check_indexes(pair);
	check_foreign_keys(pair);
}
