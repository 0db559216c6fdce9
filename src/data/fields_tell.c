/* What is told about field tables: JSON schema, the list for machines, rows for the reference.
 * Threads: any; the tables are constant. */
#include "data/fields.h"

#include "base/text.h"
#include "data/json.h"
#include "data/out.h"

static json_t *schema_of(const struct field *fields);

static json_t *pack(json_t *value)
{
	assert_always(value != NULL);
	return value;
}

static json_t *choices_of(const struct field *field)
{
	_cleanup_talloc_ char **choices = text_split(NULL, field->choices, '|');
	json_t *list = json_array();

	for (size_t i = 0; choices[i]; i++)
		assert_always(json_array_append_new(list, json_string(choices[i])) == 0);
	return list;
}

static void put_owned(json_t *object, const char *key, json_t *value)
{
	assert_always(json_object_set_new(object, key, pack(value)) == 0);
}

static json_t *secret_schema(void)
{
	static const char *const kinds[] = { "file", "env", "credential" };
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		assert_always(json_array_append_new(list,
				      pack(json_pack("{s:s, s:{s:{s:s, s:i}}, s:[s], s:b}", "type", "object", "properties", kinds[i],
					      "type", "string", "minLength", 1, "required", kinds[i], "additionalProperties", 0))) == 0);
	assert_always(json_array_append_new(list,
			      pack(json_pack("{s:s, s:{s:{s:s, s:{s:s}, s:i}}, s:[s], s:b}", "type", "object", "properties", "command",
				      "type", "array", "items", "type", "string", "minItems", 1, "required", "command",
				      "additionalProperties", 0))) == 0);
	return pack(json_pack("{s:o}", "oneOf", list));
}

/* The type alone; range, default and description are added by the caller. */
static json_t *type_schema(const struct field *field)
{
	switch (field->type) {
	case FIELD_TYPE_STR:
		return pack(json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean"));
	case FIELD_TYPE_NAME:
		return pack(json_pack("{s:s, s:s, s:i}", "type", "string", "pattern", "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength", 128));
	case FIELD_TYPE_PATH:
		return pack(json_pack("{s:s, s:i}", "type", "string", "minLength", 1));
	case FIELD_TYPE_INT:
		return pack(json_pack("{s:s}", "type", "integer"));
	case FIELD_TYPE_REAL:
		return pack(json_pack("{s:s}", "type", "number"));
	case FIELD_TYPE_BOOL:
		return pack(json_pack("{s:s}", "type", "boolean"));
	case FIELD_TYPE_MS:
	case FIELD_TYPE_SHARE:
		return pack(json_pack("{s:[s,s]}", "type", "string", "number"));
	case FIELD_TYPE_CHOICE:
		return pack(json_pack("{s:o}", "enum", choices_of(field)));
	case FIELD_TYPE_LIST:
		return pack(json_pack("{s:[{s:s, s:{s:[s,s,s]}}, {s:[s,s,s]}]}", "anyOf", "type", "array", "items", "type", "string",
			"number", "boolean", "type", "string", "number", "boolean"));
	case FIELD_TYPE_MAP:
		return pack(json_pack("{s:s}", "type", "object"));
	case FIELD_TYPE_ANY:
		return json_object();
	case FIELD_TYPE_SECRET:
		return secret_schema();
	case FIELD_TYPE_PASSWORD:
		return pack(json_pack("{s:s, s:s, s:b}", "type", "string", "format", "password", "writeOnly", 1));
	case FIELD_TYPE_GROUP:
		return schema_of(field->sub);
	}
	return json_object();
}

static json_t *range_end(const struct field *field, double end)
{
	return field->type == FIELD_TYPE_INT ? json_integer((json_int_t)end) : json_real(end);
}

static json_t *field_schema(const struct field *field)
{
	json_t *schema = type_schema(field), *fallback = field_default(field);

	if ((field->min != 0 || field->max != 0) && (field->type == FIELD_TYPE_INT || field->type == FIELD_TYPE_REAL)) {
		put_owned(schema, "minimum", range_end(field, field->min));
		put_owned(schema, "maximum", range_end(field, field->max));
	}
	if (fallback)
		put_owned(schema, "default", fallback);
	json_put_str(schema, "description", field->help);
	return schema;
}

static json_t *schema_of(const struct field *fields)
{
	json_t *properties = json_object(), *required = json_array();

	for (const struct field *field = fields; field->member; field++) {
		_cleanup_talloc_ char *name = field_name(NULL, field);

		put_owned(properties, name, field_schema(field));
		if (field->required)
			assert_always(json_array_append_new(required, json_string(name)) == 0);
	}
	return pack(json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required", required,
		"additionalProperties", 0));
}

json_t *fields_schema(const struct field *fields)
{
	json_t *schema = pack(json_pack("{s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema"));
	json_t *object = schema_of(fields);

	assert_always(json_object_update(schema, object) == 0);
	json_decref(object);
	return schema;
}

json_t *fields_json(const struct field *fields)
{
	json_t *list = json_array();

	for (const struct field *field = fields; field->member; field++) {
		_cleanup_talloc_ char *name = field_name(NULL, field);
		json_t *item = json_object();

		json_put_str(item, "name", name);
		json_put_str(item, "type", field_type_name(field->type));
		json_put_flag(item, "required", field->required);
		put_owned(item, "default", field->fallback ? json_string(field->fallback) : json_null());
		put_owned(item, "choices", field->choices ? choices_of(field) : json_null());
		json_put_str(item, "help", field->help);
		if (field->min != 0 || field->max != 0) {
			put_owned(item, "min", range_end(field, field->min));
			put_owned(item, "max", range_end(field, field->max));
		}
		if (field->type == FIELD_TYPE_GROUP)
			put_owned(item, "fields", fields_json(field->sub));
		assert_always(json_array_append_new(list, item) == 0);
	}
	return list;
}

/* A cell of a Markdown table: '|' would end it. */
static void cell(struct out *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			out_char(out, '\\');
		out_char(out, *text == '\n' ? ' ' : *text);
	}
}

static void markdown(struct out *out, const struct field *fields, const char *prefix)
{
	for (const struct field *field = fields; field->member; field++) {
		_cleanup_talloc_ char *name = field_name(NULL, field);

		out_printf(out, "| `%s%s` | ", prefix, name);
		cell(out, field->choices ? field->choices : field_type_name(field->type));
		out_text(out, " | ");
		if (field->required)
			out_text(out, "required");
		else if (field->fallback)
			cell(out, field->fallback);
		out_text(out, " | ");
		cell(out, field->help);
		out_text(out, " |\n");
		if (field->type == FIELD_TYPE_GROUP) {
			_cleanup_talloc_ char *inner = mem_printf(NULL, "%s%s.", prefix, name);

			markdown(out, field->sub, inner);
		}
	}
}

char *fields_markdown(const void *ctx, const struct field *fields)
{
	struct out out;

	out_start(&out, ctx);
	markdown(&out, fields, "");
	return out_take(&out);
}
