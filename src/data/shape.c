/* Shapes (shape.h): their JSON schemas, and the check of a value. Pure; any thread. */
#include "data/shape.h"

#include <string.h>

#include "base/clock.h"
#include "data/json.h"

/* One row without a name: it is the value itself. */
static bool is_whole(const struct shape *members)
{
	return members->name && !*members->name;
}

/* --- schema -------------------------------------------------------------------------------------------------------- */

static json_t *choices_json(const char *choices)
{
	json_t *list = json_array();

	while (*choices) {
		size_t length = strcspn(choices, "|");

		json_array_append_new(list, json_stringn(choices, length));
		choices += length + (choices[length] == '|');
	}
	return list;
}

static json_t *object_schema(const struct shape *members);

static json_t *member_schema(const struct shape *shape)
{
	switch (shape->type) {
	case SHAPE_TYPE_STR:
		return json_pack("{s:s}", "type", "string");
	case SHAPE_TYPE_TIME:
		return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
	case SHAPE_TYPE_INT:
		return json_pack("{s:s, s:s}", "type", "integer", "format", "int64");
	case SHAPE_TYPE_REAL:
		return json_pack("{s:s}", "type", "number");
	case SHAPE_TYPE_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case SHAPE_TYPE_CHOICE:
		return json_pack("{s:s, s:o}", "type", "string", "enum", choices_json(shape->choices));
	case SHAPE_TYPE_STRINGS:
		return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string");
	case SHAPE_TYPE_OBJECT:
		return object_schema(shape->of);
	case SHAPE_TYPE_LIST:
		return json_pack("{s:s, s:o}", "type", "array", "items", object_schema(shape->of));
	case SHAPE_TYPE_MAP:
		return json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
			shape->of ? object_schema(shape->of) : json_true());
	case SHAPE_TYPE_ANY:
		break;
	}
	return json_object();
}

/* What is sometimes there may also be null. */
static void allow_null(json_t *schema)
{
	json_t *type = json_object_get(schema, "type"), *choices = json_object_get(schema, "enum");

	if (type)
		json_object_set_new(schema, "type", json_pack("[O, s]", type, "null"));
	if (choices)
		json_array_append_new(choices, json_null());
}

static json_t *object_schema(const struct shape *members)
{
	json_t *properties = json_object(), *required = json_array(),
	       *schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);

	for (; members->name; members++) {
		json_t *member = member_schema(members);

		if (!members->always)
			allow_null(member);
		json_put_str(member, "description", members->help);
		json_object_set_new(properties, members->name, member);
		if (members->always)
			json_array_append_new(required, json_string(members->name));
	}
	if (json_array_size(required))
		json_object_set_new(schema, "required", required);
	else
		json_decref(required);
	return schema;
}

json_t *shape_schema(const struct shape *members)
{
	return is_whole(members) ? member_schema(members) : object_schema(members);
}

/* --- check --------------------------------------------------------------------------------------------------------- */

static const char *kind_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

static int wrong(const char *path, const json_t *value, const char *wanted, struct err *err)
{
	return err_set(err, ERR_INTERNAL, "%s: %s, not %s", path, kind_of(value), wanted);
}

static int check_object(const void *ctx, const struct shape *members, json_t *value, const char *path, struct err *err);

static int check_text(const struct shape *shape, const json_t *value, const char *path, struct err *err)
{
	struct err why = ERR_INIT;
	int64_t time_ms;

	if (!json_is_string(value))
		return wrong(path, value, "a string", err);
	if (shape->type == SHAPE_TYPE_TIME && clock_parse(json_string_value(value), &time_ms, &why) < 0)
		return err_set(err, ERR_INTERNAL, "%s: '%s' is no time", path, json_string_value(value));
	if (shape->type == SHAPE_TYPE_CHOICE) {
		const char *text = json_string_value(value), *at = shape->choices;
		size_t length = strlen(text);

		while (at && (strncmp(at, text, length) != 0 || (at[length] && at[length] != '|'))) {
			at = strchr(at, '|');
			at = at ? at + 1 : NULL;
		}
		if (!at)
			return err_set(err, ERR_INTERNAL, "%s: '%s' is none of %s", path, text, shape->choices);
	}
	return 0;
}

static int check_list(const void *ctx, const struct shape *shape, json_t *value, const char *path, struct err *err)
{
	json_t *element;
	size_t i;
	int r = 0;

	if (!json_is_array(value))
		return wrong(path, value, "a list", err);
	json_array_foreach(value, i, element) {
		const char *place = mem_printf(ctx, "%s[%zu]", path, i);

		if (shape->type == SHAPE_TYPE_STRINGS)
			r = json_is_string(element) ? 0 : wrong(place, element, "a string", err);
		else
			r = check_object(ctx, shape->of, element, place, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_map(const void *ctx, const struct shape *shape, json_t *value, const char *path, struct err *err)
{
	const char *key;
	json_t *member;
	int r;

	if (!json_is_object(value))
		return wrong(path, value, "an object", err);
	json_object_foreach(value, key, member) {
		r = shape->of ? check_object(ctx, shape->of, member, mem_printf(ctx, "%s.%s", path, key), err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_member(const void *ctx, const struct shape *shape, json_t *value, const char *path, struct err *err)
{
	switch (shape->type) {
	case SHAPE_TYPE_STR:
	case SHAPE_TYPE_TIME:
	case SHAPE_TYPE_CHOICE:
		return check_text(shape, value, path, err);
	case SHAPE_TYPE_INT:
		return json_is_integer(value) ? 0 : wrong(path, value, "an integer", err);
	case SHAPE_TYPE_REAL:
		return json_is_number(value) ? 0 : wrong(path, value, "a number", err);
	case SHAPE_TYPE_BOOL:
		return json_is_boolean(value) ? 0 : wrong(path, value, "a boolean", err);
	case SHAPE_TYPE_STRINGS:
	case SHAPE_TYPE_LIST:
		return check_list(ctx, shape, value, path, err);
	case SHAPE_TYPE_OBJECT:
		return check_object(ctx, shape->of, value, path, err);
	case SHAPE_TYPE_MAP:
		return check_map(ctx, shape, value, path, err);
	case SHAPE_TYPE_ANY:
		break;
	}
	return 0;
}

static const struct shape *find_member(const struct shape *members, const char *name)
{
	for (; members->name; members++)
		if (!strcmp(members->name, name))
			return members;
	return NULL;
}

static int check_object(const void *ctx, const struct shape *members, json_t *value, const char *path, struct err *err)
{
	const char *key, *dot = *path ? "." : "";
	json_t *member;
	int r;

	if (value && !json_is_object(value))
		return wrong(*path ? path : "the answer", value, "an object", err);
	json_object_foreach(value, key, member) {
		const struct shape *shape = find_member(members, key);
		const char *place = mem_printf(ctx, "%s%s%s", path, dot, key);

		if (!shape)
			return err_set(err, ERR_INTERNAL, "%s: the shape does not name it", place);
		r = json_is_null(member) ? 0 : check_member(ctx, shape, member, place, err);
		if (r < 0)
			return r;
	}
	for (const struct shape *shape = members; shape->name; shape++) {
		member = json_object_get(value, shape->name);
		if (shape->always && (!member || json_is_null(member)) && shape->type != SHAPE_TYPE_ANY)
			return err_set(err, ERR_INTERNAL, "%s%s%s: missing", path, dot, shape->name);
	}
	return 0;
}

int shape_check(const struct shape *members, json_t *value, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);

	if (is_whole(members))
		return value ? check_member(tmp, members, value, "the answer", err) : err_set(err, ERR_INTERNAL, "the answer: missing");
	return check_object(tmp, members, value, "", err);
}
