/* schema_compatibility: can code that ran on the target's schema run on the live one? The code is known only by the schema that it ran on, so everything in that schema counts as used: it reads and writes
 * every table, naming its columns; it may write any value that was valid, leave out what could be left out, and write NULL where that was allowed; it may update a row that it meets by any key that was unique.
 *
 * An error is what makes such a statement fail on data of the older code's own making. What only rows of the newer code can bring about (values that the older code does not know, references that keep
 * it from deleting) is a warning: it depends on the data, and refusing would refuse nearly every rollback. What is new and merely unseen is an info.
 *
 * Here: tables and columns. Keys stand in compat_keys.c, CHECK constraints in compat_checks.c, types in compat_types.c. A new rule: a row in `rules`, and whoever finds it calls schema_say. Pure; any thread. */
#include "core/compat_rules.h"

#include <strings.h>

#include "base/text.h"
#include "data/json.h"

/* clang-format off */
static const struct {
	const char *name;
	enum severity severity;
	bool lossy; /* something that the newer code wrote, or will find, is hidden or changed */
	const char *text;
} rules[] = {
	[RULE_TABLE_MISSING]          = { "table_missing", SEVERITY_ERROR, false, "the table is gone, and the older code uses it" },
	[RULE_TABLE_NEW]              = { "table_new", SEVERITY_INFO, true, "the table is new: the older code does not see what is in it" },
	[RULE_BECAME_VIEW]            = { "became_view", SEVERITY_ERROR, false, "is a view now: the older code can read it, but what it writes is refused" },
	[RULE_BECAME_TABLE]           = { "became_table", SEVERITY_WARNING, true, "is a table now and was a view: what the older code writes to the tables behind the view no longer shows in it" },
	[RULE_STRICT]                 = { "strict", SEVERITY_WARNING, true, "the table is STRICT now: values of other types than declared are refused" },
	[RULE_COLUMN_MISSING]         = { "column_missing", SEVERITY_ERROR, false, "the column is gone, and the older code uses it" },
	[RULE_COLUMN_NEW]             = { "column_new", SEVERITY_INFO, true, "the column is new: the older code does not see what is in it" },
	[RULE_COLUMN_REQUIRED]        = { "column_required", SEVERITY_ERROR, false, "the column is new and must have a value, which the older code does not write: its inserts fail" },
	[RULE_NOT_NULL]               = { "not_null", SEVERITY_ERROR, false, "must have a value now, and the older code may write none" },
	[RULE_NULLABLE]               = { "nullable", SEVERITY_WARNING, true, "may be without a value now, which the older code does not expect to read" },
	[RULE_TYPE_NARROWER]          = { "type_narrower", SEVERITY_ERROR, false, "holds less than it did: what the older code writes or compares with may not fit" },
	[RULE_TYPE_WIDER]             = { "type_wider", SEVERITY_WARNING, true, "holds more than it did: the older code may read values that it cannot hold" },
	[RULE_TYPE_CHANGED]           = { "type_changed", SEVERITY_WARNING, true, "has another type than the older code knew: what it writes is converted, what it reads may look otherwise" },
	[RULE_VALUES_REMOVED]         = { "values_removed", SEVERITY_ERROR, false, "no longer takes values that the older code may write" },
	[RULE_VALUES_ADDED]           = { "values_added", SEVERITY_WARNING, true, "takes values that the older code does not know and may read" },
	[RULE_COMPUTED]               = { "computed", SEVERITY_ERROR, false, "is made by the database now: what the older code writes to it is refused" },
	[RULE_COMPUTED_NO_LONGER]     = { "computed_no_longer", SEVERITY_WARNING, true, "is no longer computed by the database: in rows of the older code it stays empty or at its default" },
	[RULE_DEFAULT_DROPPED]        = { "default_dropped", SEVERITY_ERROR, false, "has no default any more, and the older code may leave it out" },
	[RULE_DEFAULT_CHANGED]        = { "default_changed", SEVERITY_WARNING, true, "has another default: rows in which the older code leaves it out get that one" },
	[RULE_DEFAULT_REFUSED]        = { "default_refused", SEVERITY_ERROR, false, "has another default, which a constraint may refuse in rows in which the older code leaves it out" },
	[RULE_COLLATION_CHANGED]      = { "collation_changed", SEVERITY_WARNING, true, "compares and sorts otherwise than it did" },
	[RULE_PRIMARY_KEY]            = { "primary_key", SEVERITY_WARNING, true, "the primary key is another one: code that finds rows by it may find others" },
	[RULE_UNIQUE_NEW]             = { "unique_new", SEVERITY_ERROR, false, "must be unique now, and the older code may write the same twice" },
	[RULE_UNIQUE_DROPPED]         = { "unique_dropped", SEVERITY_ERROR, false, "need not be unique any more: what the older code inserts with ON CONFLICT on it is refused" },
	[RULE_UNIQUE_DROPPED_UNNAMED] = { "unique_dropped", SEVERITY_WARNING, true, "need not be unique any more: where the older code updates on a duplicate it adds a second row" },
	[RULE_CHECK_NEW]              = { "check_new", SEVERITY_ERROR, false, "a check is new, and it cannot be told that all that the older code writes passes it" },
	[RULE_CHECK_DROPPED]          = { "check_dropped", SEVERITY_WARNING, true, "a check is gone: the older code may read values that it was kept from" },
	[RULE_FOREIGN_KEY_NEW]        = { "foreign_key_new", SEVERITY_ERROR, false, "must refer to a row that is there now, and the older code may write what refers to none" },
	[RULE_FOREIGN_KEY_DROPPED]    = { "foreign_key_dropped", SEVERITY_WARNING, true, "need not refer to a row that is there any more" },
	[RULE_DELETE_REFUSED]         = { "delete_refused", SEVERITY_ERROR, false, "a row that is referred to can no longer be deleted, which the older code may rely upon" },
	[RULE_DELETE_CHANGED]         = { "delete_changed", SEVERITY_WARNING, true, "deleting or changing a row that is referred to does something else to those that refer to it" },
	[RULE_REFERENCED]             = { "referenced", SEVERITY_WARNING, true, "newer rows refer to it: the older code cannot delete what they refer to" },
	[RULE_INDEX_DROPPED]          = { "index_dropped", SEVERITY_WARNING, false, "an index is gone: what the older code looks up by it is slower" },
};
/* clang-format on */
_Static_assert(ARRAY_SIZE(rules) == RULE_COUNT, "each rule has its row");

void schema_say(struct schema_pair *pair, enum schema_rule rule, json_t *live, json_t *target, const char *more)
{
	json_t *evidence;

	pair->said++;
	pair->refused |= rules[rule].severity == SEVERITY_ERROR;
	pair->lossy |= rules[rule].lossy;
	if (!pair->findings)
		return;
	evidence = json_pack("{s:s, s:s*, s:o, s:o, s:s}", "table", pair->table, "column", pair->column, "live",
		live ? json_incref(live) : json_null(), "target", target ? json_incref(target) : json_null(), "rule", rules[rule].name);
	findings_add(pair->findings, "schema_compatibility", false, rules[rule].severity, pair->component, evidence, "%s%s%s: %s%s",
		pair->table, pair->column ? "." : "", pair->column ? pair->column : "", rules[rule].text, more ? more : "");
	json_decref(evidence);
}

/* ---- names ---- */

static json_t *member(json_t *object, const char *name, bool any_case, const char **ret_name)
{
	json_t *exact = json_object_get(object, name), *value;
	const char *key;

	if (ret_name)
		*ret_name = name;
	if (exact || !any_case)
		return exact;
	json_object_foreach(object, key, value)
		if (strcasecmp(key, name) == 0) {
			if (ret_name)
				*ret_name = key;
			return value;
		}
	return NULL;
}

json_t *schema_column(const struct schema_pair *pair, json_t *table, const char *name, const char **ret_name)
{
	return member(json_object_get(table, "columns"), name, pair->engine == ENGINE_SQLITE || pair->engine == ENGINE_MYSQL, ret_name);
}

/* Names of tables are files in MySQL, so there it depends on the server. */
static json_t *table_of(const struct schema_pair *pair, json_t *tables, const char *name)
{
	return member(tables, name, pair->engine == ENGINE_SQLITE, NULL);
}

/* ---- columns ---- */

static bool has_default(json_t *column)
{
	json_t *value = json_object_get(column, "default");

	return value && !json_is_null(value);
}

static bool is_set(json_t *column, const char *key)
{
	json_t *value = json_object_get(column, key);

	return json_is_true(value) || json_is_string(value);
}

/* A computed column, or an identity that takes no other value: nobody writes to it. */
static bool is_computed(json_t *column)
{
	return is_set(column, "generated") || strcasecmp(json_str(column, "identity", ""), "always") == 0;
}

bool schema_may_be_left_out(enum compat_engine engine, json_t *column)
{
	if (!json_flag(column, "notNull", false) || has_default(column) || is_set(column, "generated") || is_set(column, "identity"))
		return true;
	/* MySQL takes the first value of an enumeration, in strict mode too. */
	return engine == ENGINE_MYSQL && strncasecmp(json_str(column, "type", ""), "enum", 4) == 0;
}

bool schema_stays_null(const struct schema_pair *pair, const char *name)
{
	json_t *column = schema_column(pair, pair->live, name, NULL);

	return json_is_object(column) && !schema_column(pair, pair->target, name, NULL) && !has_default(column) &&
		!json_flag(column, "notNull", false) && !is_set(column, "generated") && !is_set(column, "identity");
}

static void check_values(struct schema_pair *pair, json_t *live, json_t *target)
{
	json_t *now = json_object_get(live, "values"), *then = json_object_get(target, "values"), *value, *other;
	size_t i, j, known = 0;

	if (!json_is_array(now) || !json_is_array(then) || json_equal(now, then))
		return;
	json_array_foreach(then, i, value)
		json_array_foreach(now, j, other)
			if (json_equal(value, other)) {
				known++;
				break;
			}
	if (known < json_array_size(then))
		schema_say(pair, RULE_VALUES_REMOVED, now, then, NULL);
	else if (known < json_array_size(now))
		schema_say(pair, RULE_VALUES_ADDED, now, then, NULL);
	else
		schema_say(pair, RULE_TYPE_CHANGED, now, then, " (they are sorted otherwise)");
}

/* Is the column part of a key or of a check? */
static bool is_bound(const struct schema_pair *pair)
{
	return schema_in_unique(pair, pair->column) || schema_in_foreign_key(pair, pair->column) || schema_in_check(pair, pair->column);
}

static void check_type(struct schema_pair *pair, json_t *live, json_t *target)
{
	static const enum schema_rule
		of_fit[] = { [FIT_WIDER] = RULE_TYPE_WIDER, [FIT_CONVERTS] = RULE_TYPE_CHANGED, [FIT_NARROWER] = RULE_TYPE_NARROWER };
	enum compat_fit fit = compat_type_fit(pair->engine, live, target, json_flag(pair->live, "strict", false));

	/* A key of SQLite that is the row's number takes numbers only, whatever the affinity says. */
	if (pair->engine == ENGINE_SQLITE && is_set(live, "identity") && !is_set(target, "identity") && fit != FIT_SAME)
		fit = FIT_NARROWER;
	if (fit == FIT_CONVERTS && is_bound(pair))
		schema_say(pair, RULE_TYPE_NARROWER, json_object_get(live, "type"), json_object_get(target, "type"),
			"; a constraint compares the values after they were converted");
	else if (fit != FIT_SAME)
		schema_say(pair, of_fit[fit], json_object_get(live, "type"), json_object_get(target, "type"), NULL);
	check_values(pair, live, target);
}

static void check_null(struct schema_pair *pair, json_t *live, json_t *target)
{
	bool must = json_flag(live, "notNull", false), had_to = json_flag(target, "notNull", false);
	bool in_key = json_flag(target, "primaryKey", false);

	if (must && !had_to && !in_key && !is_computed(target))
		schema_say(pair, RULE_NOT_NULL, live, target,
			has_default(live) ? "; the default helps only where it leaves the column out" : NULL);
	else if (schema_may_be_left_out(pair->engine, target) && !schema_may_be_left_out(pair->engine, live))
		schema_say(pair, RULE_DEFAULT_DROPPED, live, target, NULL);
	else if (!must && had_to && !json_flag(live, "primaryKey", false))
		schema_say(pair, RULE_NULLABLE, live, target, NULL);
}

/* PostgreSQL writes the type behind a default: 'x'::character varying. It is no other default when the type is another. */
static size_t bare_length(const char *text)
{
	const char *cast = NULL;

	for (const char *at = strstr(text, "::"); at; at = strstr(at + 2, "::"))
		cast = at;
	return cast && !strchr(cast, ')') && !strchr(cast, '\'') ? (size_t)(cast - text) : strlen(text);
}

static bool same_default(json_t *live, json_t *target)
{
	const char *now = json_str(live, "default", NULL), *then = json_str(target, "default", NULL);

	if (!now || !then)
		return !has_default(live) && !has_default(target);
	return bare_length(now) == bare_length(then) && strncmp(now, then, bare_length(now)) == 0;
}

/* A default that must be the only one of its kind, refer to a row that is there, or pass a check. */
static bool may_be_refused(const struct schema_pair *pair, json_t *live)
{
	if (has_default(live) && (schema_in_unique(pair, pair->column) || schema_in_foreign_key(pair, pair->column)))
		return true;
	return schema_default_fails(pair, pair->column);
}

static void check_default(struct schema_pair *pair, json_t *live, json_t *target)
{
	if (is_set(live, "generated") || is_set(target, "generated"))
		return;
	/* The next number of a sequence, however it is come by. */
	if (is_set(live, "identity") || (is_set(target, "identity") && has_default(live)))
		return;
	if (is_set(target, "identity") && !json_flag(live, "notNull", false))
		schema_say(pair, RULE_DEFAULT_DROPPED, live, target, ": it gets no number of its own");
	else if (schema_may_be_left_out(pair->engine, target) && schema_may_be_left_out(pair->engine, live) && !same_default(live, target))
		schema_say(pair, may_be_refused(pair, live) ? RULE_DEFAULT_REFUSED : RULE_DEFAULT_CHANGED, live, target, NULL);
}

/* MySQL names a collation of every text, and it begins with the characters that there are: utf8mb4_general_ci. */
static bool has_fewer_characters(const char *live, const char *target)
{
	size_t length = strcspn(live, "_");

	return (strcspn(target, "_") != length || strncmp(live, target, length) != 0) && strncmp(live, "utf8mb4", length) != 0;
}

static void check_collation(struct schema_pair *pair, json_t *live, json_t *target)
{
	json_t *now = json_object_get(live, "collation"), *then = json_object_get(target, "collation");
	bool text = json_is_string(now) && json_is_string(then);

	/* Without one a column compares as its type does, and in MySQL it is no text. */
	if (now == then || json_equal(now, then) || (pair->engine == ENGINE_MYSQL && !text))
		return;
	if (pair->engine == ENGINE_MYSQL && has_fewer_characters(json_string_value(now), json_string_value(then)))
		schema_say(pair, RULE_TYPE_NARROWER, now, then, "; it has other characters");
	else if (schema_in_unique(pair, pair->column))
		schema_say(pair, RULE_UNIQUE_NEW, now, then, ": by its collation other values than before are the same");
	else
		schema_say(pair, RULE_COLLATION_CHANGED, now, then, NULL);
}

static void check_known_column(struct schema_pair *pair, json_t *live, json_t *target)
{
	check_type(pair, live, target);
	/* A view has nothing but types. */
	if (json_flag(pair->live, "view", false) || json_flag(pair->target, "view", false))
		return;
	if (is_computed(live) && !is_computed(target))
		schema_say(pair, RULE_COMPUTED, live, target, NULL);
	else if (is_set(target, "generated") && !is_set(live, "generated"))
		schema_say(pair, RULE_COMPUTED_NO_LONGER, live, target, NULL);
	check_null(pair, live, target);
	check_default(pair, live, target);
	check_collation(pair, live, target);
}

/* A computed column of the older code's values may be NULL wherever one of them may be; how it is computed is not looked at. */
static bool may_compute_null(const struct schema_pair *pair, json_t *column)
{
	json_t *other;
	const char *name;

	if (!is_set(column, "generated") || !json_flag(column, "notNull", false))
		return false;
	json_object_foreach(json_object_get(pair->live, "columns"), name, other)
		if (!json_flag(other, "notNull", false) && !json_flag(other, "primaryKey", false))
			return true;
	return false;
}

static void check_new_column(struct schema_pair *pair, json_t *column)
{
	if (!schema_may_be_left_out(pair->engine, column))
		schema_say(pair, RULE_COLUMN_REQUIRED, column, NULL, NULL);
	else if (may_compute_null(pair, column))
		schema_say(pair, RULE_COLUMN_REQUIRED, column, NULL, " where it is computed from what has no value");
	else
		schema_say(pair, RULE_COLUMN_NEW, column, NULL, NULL);
}

/* The one new column that has the type of the one that is gone. */
static const char *column_renamed_to(const struct schema_pair *pair, json_t *gone)
{
	const char *name, *found = NULL;
	json_t *column;

	json_object_foreach(json_object_get(pair->live, "columns"), name, column) {
		if (schema_column(pair, pair->target, name, NULL) || compat_type_fit(pair->engine, column, gone, false) != FIT_SAME)
			continue;
		if (found)
			return NULL;
		found = name;
	}
	return found;
}

static char *looks_renamed(const struct schema_pair *pair, const char *name)
{
	return name ? mem_printf(pair->ctx, "; it looks renamed to '%s'", name) : NULL;
}

static void check_columns(struct schema_pair *pair)
{
	json_t *column;
	const char *name;

	json_object_foreach(json_object_get(pair->target, "columns"), name, column) {
		json_t *there = schema_column(pair, pair->live, name, NULL);

		pair->column = name;
		if (there)
			check_known_column(pair, there, column);
		else
			schema_say(pair, RULE_COLUMN_MISSING, NULL, column, looks_renamed(pair, column_renamed_to(pair, column)));
	}
	json_object_foreach(json_object_get(pair->live, "columns"), name, column) {
		pair->column = name;
		if (!schema_column(pair, pair->target, name, NULL) && !json_flag(pair->live, "view", false))
			check_new_column(pair, column);
	}
	pair->column = NULL;
}

/* ---- tables ---- */

static void check_table(struct schema_pair *pair)
{
	bool view = json_flag(pair->live, "view", false), was_view = json_flag(pair->target, "view", false);

	if (view && !was_view)
		schema_say(pair, RULE_BECAME_VIEW, NULL, NULL, NULL);
	else if (!view && was_view)
		schema_say(pair, RULE_BECAME_TABLE, NULL, NULL, NULL);
	if (json_flag(pair->live, "strict", false) && !json_flag(pair->target, "strict", false))
		schema_say(pair, RULE_STRICT, NULL, NULL, NULL);
	check_columns(pair);
	if (view || was_view)
		return;
	schema_check_keys(pair);
	schema_check_checks(pair);
}

/* A new table with all the columns of one that is gone. */
static const char *table_renamed_to(const struct schema_pair *pair, json_t *gone)
{
	json_t *table, *column;
	const char *name, *key;

	json_object_foreach(pair->live_tables, name, table) {
		bool same = json_object_size(json_object_get(gone, "columns")) > 0 && !table_of(pair, pair->target_tables, name);

		json_object_foreach(json_object_get(gone, "columns"), key, column)
			same &= schema_column(pair, table, key, NULL) != NULL;
		if (same)
			return name;
	}
	return NULL;
}

static void check_tables(struct schema_pair *pair)
{
	json_t *table;
	const char *name;

	json_object_foreach(pair->target_tables, name, table) {
		pair->table = name;
		pair->target = table;
		pair->live = table_of(pair, pair->live_tables, name);
		if (pair->live)
			check_table(pair);
		else
			schema_say(pair, RULE_TABLE_MISSING, NULL, NULL, looks_renamed(pair, table_renamed_to(pair, table)));
	}
	json_object_foreach(pair->live_tables, name, table) {
		if (table_of(pair, pair->target_tables, name))
			continue;
		pair->table = name;
		pair->live = table;
		pair->target = NULL;
		schema_say(pair, RULE_TABLE_NEW, NULL, NULL, NULL);
		schema_check_new_table(pair);
	}
}

/* ---- verdicts ---- */

static enum compat_engine engine_of(json_t *details)
{
	static const struct {
		const char *name;
		enum compat_engine engine;
	} engines[] = {
		{ "postgres", ENGINE_POSTGRES },
		{ "mysql", ENGINE_MYSQL },
		{ "mariadb", ENGINE_MYSQL },
		{ "sqlite", ENGINE_SQLITE },
	};
	const char *name = json_str(details, "engine", "");

	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		if (!strcmp(engines[i].name, name))
			return engines[i].engine;
	return ENGINE_ANY;
}

/* The pair of two components' details; false: one has no schema. A database that became one of another make is read by the stricter rules. */
static bool open_pair(struct schema_pair *pair, json_t *live, json_t *target)
{
	json_t *now = json_object_get(live, "schema"), *then = json_object_get(target, "schema");
	enum compat_engine engine = engine_of(live);

	pair->engine = engine == engine_of(target) ? engine : ENGINE_ANY;
	pair->live_tables = json_object_get(now, "tables");
	pair->target_tables = json_object_get(then, "tables");
	return json_is_object(now) && json_is_object(then);
}

enum compat_verdict compat_schema_verdict(json_t *live, json_t *target)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct schema_pair pair = { .ctx = ctx };

	if (!open_pair(&pair, live, target))
		return COMPAT_UNKNOWN;
	check_tables(&pair);
	return pair.refused ? COMPAT_REFUSED : pair.lossy ? COMPAT_LOSSY : COMPAT_FITS;
}

static void check_schema(const char *component, json_t *live, json_t *target, struct findings *findings)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct schema_pair pair = { .ctx = ctx, .component = component, .findings = findings };

	if (!open_pair(&pair, live, target)) {
		findings_add(findings, "schema_known", false, SEVERITY_INFO, component, NULL,
			"its schema %s, so it cannot be told whether the older code can work on it",
			json_is_object(json_object_get(live, "schema")) ? "was not recorded with the target" : "could not be observed now");
		return;
	}
	check_tables(&pair);
	if (!pair.said)
		findings_add(findings, "schema_compatibility", true, SEVERITY_INFO, component, NULL, "%s",
			json_equal(json_object_get(live, "schema"), json_object_get(target, "schema"))
				? "the schema is as it was with the target"
				: "the code of the target can work on the schema as it is now");
}

void compat_check_schemas(const struct compat_input *input, json_t *components, struct findings *findings)
{
	const char *name;
	json_t *value;
	bool any = false;

	json_object_foreach(components, name, value) {
		json_t *live = compat_details(input->live, name), *target = compat_details(input->target, name);

		if (!json_is_object(json_object_get(live, "schema")) && !json_is_object(json_object_get(target, "schema")))
			continue;
		any = true;
		/* It will be as the code knew it: check_migration (compat.c) says what that means. */
		if (json_object_get(input->migrating, name))
			continue;
		if (!input->preserve_data && compat_returns(input, name))
			findings_add(findings, "schema_compatibility", false, SEVERITY_WARNING, name, NULL,
				"the data goes back with the code: rows that are newer than the target are lost (they stay in the snapshot of the run)");
		else
			check_schema(name, live, target, findings);
	}
	if (!any)
		findings_add(findings, "schema_known", false, SEVERITY_INFO, NULL, NULL,
			"no database schema is known, so it cannot be told whether the older code can work on the data as it is now");
}
