/* schema_compatibility: can code that ran on the target's schema run on the live one? The code is known only by the schema that it ran on,
 * so everything in that
 * schema counts as used: a table is read and written, a column may get any value of its type.
 *
 * Types are compared by what they hold: a family and a size. What the live type cannot hold of the target's type makes it narrower: an
 * error. Pure; any thread. */
#include "core/compat_rules.h"

#include "base/text.h"
#include "data/json.h"

enum family { FAMILY_BOOLEAN, FAMILY_INTEGER, FAMILY_REAL, FAMILY_DECIMAL, FAMILY_TIME, FAMILY_TEXT, FAMILY_BYTES, FAMILY_OTHER };

struct type {
	enum family family;
	long size,
		scale; /* bytes of an integer or real, characters of a text, digits of a decimal; 0: no limit. Scale: digits after the point */
	char name[64]; /* in upper case, without what stands in brackets */
};

/* clang-format off */
static const struct {
	const char *name;
	enum family family;
	long size;
} known_types[] = {
	{ "BOOL", FAMILY_BOOLEAN, 1 }, { "BOOLEAN", FAMILY_BOOLEAN, 1 },
	{ "TINYINT", FAMILY_INTEGER, 1 }, { "SMALLINT", FAMILY_INTEGER, 2 }, { "INT2", FAMILY_INTEGER, 2 }, { "SMALLSERIAL", FAMILY_INTEGER, 2 },
	{ "MEDIUMINT", FAMILY_INTEGER, 3 }, { "INT", FAMILY_INTEGER, 4 }, { "INTEGER", FAMILY_INTEGER, 4 }, { "INT4", FAMILY_INTEGER, 4 },
	{ "SERIAL", FAMILY_INTEGER, 4 }, { "BIGINT", FAMILY_INTEGER, 8 }, { "INT8", FAMILY_INTEGER, 8 }, { "BIGSERIAL", FAMILY_INTEGER, 8 },
	{ "REAL", FAMILY_REAL, 4 }, { "FLOAT4", FAMILY_REAL, 4 }, { "FLOAT", FAMILY_REAL, 8 }, { "FLOAT8", FAMILY_REAL, 8 },
	{ "DOUBLE", FAMILY_REAL, 8 }, { "DOUBLE PRECISION", FAMILY_REAL, 8 },
	{ "NUMERIC", FAMILY_DECIMAL, 0 }, { "DECIMAL", FAMILY_DECIMAL, 0 },
	{ "DATE", FAMILY_TIME, 0 }, { "TIME", FAMILY_TIME, 0 }, { "DATETIME", FAMILY_TIME, 0 }, { "TIMESTAMP", FAMILY_TIME, 0 },
	{ "TIMESTAMPTZ", FAMILY_TIME, 0 }, { "TIMESTAMP WITH TIME ZONE", FAMILY_TIME, 0 }, { "TIMESTAMP WITHOUT TIME ZONE", FAMILY_TIME, 0 },
	{ "TEXT", FAMILY_TEXT, 0 }, { "CLOB", FAMILY_TEXT, 0 }, { "VARCHAR", FAMILY_TEXT, 0 }, { "CHARACTER VARYING", FAMILY_TEXT, 0 },
	{ "NVARCHAR", FAMILY_TEXT, 0 }, { "CITEXT", FAMILY_TEXT, 0 }, { "STRING", FAMILY_TEXT, 0 }, { "TINYTEXT", FAMILY_TEXT, 255 },
	{ "MEDIUMTEXT", FAMILY_TEXT, 0 }, { "LONGTEXT", FAMILY_TEXT, 0 }, { "CHAR", FAMILY_TEXT, 1 }, { "CHARACTER", FAMILY_TEXT, 1 },
	{ "NCHAR", FAMILY_TEXT, 1 }, { "BPCHAR", FAMILY_TEXT, 1 },
	{ "BLOB", FAMILY_BYTES, 0 }, { "BYTEA", FAMILY_BYTES, 0 }, { "BINARY", FAMILY_BYTES, 1 }, { "VARBINARY", FAMILY_BYTES, 0 },
	{ "LONGBLOB", FAMILY_BYTES, 0 }, { "MEDIUMBLOB", FAMILY_BYTES, 0 },
};
/* clang-format on */

/* "varchar ( 100 )" -> VARCHAR, 100. Blanks in the name are made one, the numbers in brackets taken out. */
static void read_type(const char *text, struct type *ret)
{
	const char *bracket = strchr(text, '('), *comma;
	size_t length = 0;

	*ret = (struct type){ .family = FAMILY_OTHER };
	for (const char *at = text; *at && length + 1 < sizeof(ret->name); at++) {
		if (*at == '(') {
			at += strcspn(at, ")");
			if (!*at)
				break;
			continue;
		}
		if (*at == ' ' && (length == 0 || ret->name[length - 1] == ' '))
			continue;
		ret->name[length++] = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
	}
	while (length > 0 && ret->name[length - 1] == ' ')
		length--;
	ret->name[length] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(known_types); i++)
		if (strcmp(known_types[i].name, ret->name) == 0) {
			ret->family = known_types[i].family;
			ret->size = known_types[i].size;
		}
	/* In brackets: the length of a text, the digits of a decimal. An integer's INT(11) is only about display. */
	if (!bracket || (ret->family != FAMILY_TEXT && ret->family != FAMILY_DECIMAL && ret->family != FAMILY_BYTES))
		return;
	ret->size = MAX(strtol(bracket + 1, NULL, 10), 0L);
	comma = strchr(bracket, ',');
	ret->scale = comma ? MAX(strtol(comma + 1, NULL, 10), 0L) : 0;
}

static bool limit_is_lower(long live, long target)
{
	return live > 0 && (target == 0 || live < target);
}

static bool same_type(const struct type *a, const struct type *b)
{
	if (a->family == FAMILY_OTHER || b->family == FAMILY_OTHER || a->family == FAMILY_TIME)
		return strcmp(a->name, b->name) == 0;
	return a->family == b->family && a->size == b->size && a->scale == b->scale;
}

/* Is there a value of the target's type that the live one does not hold? */
static bool is_narrower(const struct type *live, const struct type *target)
{
	if (live->family == FAMILY_OTHER || target->family == FAMILY_OTHER)
		return false;
	if (live->family != target->family) {
		switch (live->family) {
		case FAMILY_TEXT:
		case FAMILY_BYTES:
			return false; /* holds whatever can be written down */
		case FAMILY_BOOLEAN:
		case FAMILY_TIME:
			return true;
		case FAMILY_INTEGER:
			return target->family != FAMILY_BOOLEAN;
		case FAMILY_REAL:
		case FAMILY_DECIMAL:
			return target->family == FAMILY_TEXT || target->family == FAMILY_BYTES || target->family == FAMILY_TIME;
		case FAMILY_OTHER:
			break;
		}
		return false;
	}
	if (live->family == FAMILY_DECIMAL && live->size > 0)
		return target->size == 0 || live->size - live->scale < target->size - target->scale || live->scale < target->scale;
	return limit_is_lower(live->size, target->size);
}

struct place {
	const char *component, *table, *column;
	struct findings *findings;
	size_t witnesses;
};

static void witness(struct place *place, enum severity severity, json_t *live, json_t *target, const char *text)
{
	json_t *evidence = json_pack("{s:s, s:s*, s:o, s:o}", "table", place->table, "column", place->column, "live",
		live ? json_incref(live) : json_null(), "target", target ? json_incref(target) : json_null());

	place->witnesses++;
	findings_add(place->findings, "schema_compatibility", false, severity, place->component, evidence, "%s%s%s: %s", place->table,
		place->column ? "." : "", place->column ? place->column : "", text);
	json_decref(evidence);
}

static bool has_default(json_t *column)
{
	json_t *value = json_object_get(column, "default");

	return value && !json_is_null(value);
}

static void check_type(struct place *place, json_t *live, json_t *target)
{
	json_t *now = json_object_get(live, "type"), *then = json_object_get(target, "type");
	struct type live_type, target_type;

	if (!json_is_string(now) || !json_is_string(then))
		return;
	read_type(json_string_value(now), &live_type);
	read_type(json_string_value(then), &target_type);
	if (same_type(&live_type, &target_type))
		return;
	if (is_narrower(&live_type, &target_type))
		witness(place, SEVERITY_ERROR, now, then, "holds less than it did: what the older code writes may not fit");
	else
		witness(place, SEVERITY_WARNING, now, then, "has another type than the older code knew");
}

static void check_known_column(struct place *place, json_t *live, json_t *target)
{
	check_type(place, live, target);
	if (!json_flag(live, "notNull", false) || json_flag(target, "notNull", false) || json_flag(target, "primaryKey", false))
		return;
	if (has_default(live))
		witness(place, SEVERITY_WARNING, live, target,
			"must have a value now; the older code may write none, which works only where it leaves the column out");
	else
		witness(place, SEVERITY_ERROR, live, target, "must have a value now, and the older code may write none");
}

static void check_table(struct place *place, json_t *live, json_t *target)
{
	json_t *now = json_object_get(live, "columns"), *then = json_object_get(target, "columns"), *column;
	const char *name;

	json_object_foreach(then, name, column) {
		json_t *there = json_object_get(now, name);

		place->column = name;
		if (there)
			check_known_column(place, there, column);
		else
			witness(place, SEVERITY_ERROR, NULL, column, "the column is gone, and the older code uses it");
	}
	json_object_foreach(now, name, column) {
		place->column = name;
		if (!json_object_get(then, name) && json_flag(column, "notNull", false) && !has_default(column))
			witness(place, SEVERITY_ERROR, column, NULL,
				"the column is new and must have a value, which the older code does not write: its inserts fail");
	}
	place->column = NULL;
}

static void check_schema(const char *component, json_t *live, json_t *target, struct findings *findings)
{
	struct place place = { .component = component, .findings = findings };
	json_t *now = json_object_get(live, "tables"), *then = json_object_get(target, "tables"), *table;
	const char *name;

	json_object_foreach(then, name, table) {
		place.table = name;
		if (json_object_get(now, name))
			check_table(&place, json_object_get(now, name), table);
		else
			witness(&place, SEVERITY_ERROR, NULL, NULL, "the table is gone, and the older code uses it");
	}
	if (!place.witnesses)
		findings_add(findings, "schema_compatibility", true, SEVERITY_INFO, component, NULL, "%s",
			json_equal(live, target) ? "the schema is as it was with the target"
						 : "the code of the target can work on the schema as it is now");
}

void compat_check_schemas(const struct compat_input *input, json_t *components, struct findings *findings)
{
	const char *name;
	json_t *value;
	bool any = false;

	json_object_foreach(components, name, value) {
		json_t *live = json_object_get(compat_details(input->live, name), "schema");
		json_t *target = json_object_get(compat_details(input->target, name), "schema");

		if (!json_is_object(live) && !json_is_object(target))
			continue;
		any = true;
		if (!input->preserve_data && compat_returns(input, name))
			findings_add(findings, "schema_compatibility", false, SEVERITY_WARNING, name, NULL,
				"the data goes back with the code: rows that are newer than the target are lost (they stay in the snapshot of the run)");
		else if (!json_is_object(live) || !json_is_object(target))
			findings_add(findings, "schema_known", false, SEVERITY_INFO, name, NULL,
				"its schema %s, so it cannot be told whether the older code can work on it",
				json_is_object(live) ? "was not recorded with the target" : "could not be observed now");
		else
			check_schema(name, live, target, findings);
	}
	if (!any)
		findings_add(findings, "schema_known", false, SEVERITY_INFO, NULL, NULL,
			"no database schema is known, so it cannot be told whether the older code can work on the data as it is now");
}
