/* Field tables: reading an object into a struct. One function per type turns a JSON value into the member and says what is wrong with it;
 * defaults take the same way, as the values that a user would have written. What is told about the tables is in fields_tell.c.
 *
 * Messages show at most VALUE_SHOWN bytes of a value, and nothing at all of what stands in the place of a secret.
 * To add a type: a line in enum field_type, a setter here, a line in types[], and its schema in fields_tell.c.
 * Threads: any; the tables are constant. */
#include "data/fields.h"

#include <math.h>

#include "base/text.h"
#include "data/json.h"
#include "data/template.h"

#define VALUE_SHOWN  40
#define NAME_SHOWN   60
#define DURATION_MAX (10ll * 365 * 24 * 3600 * 1000 + 3ll * 24 * 3600 * 1000) /* 10 years with their leap days */

/* One value on its way into one member. */
struct setting {
	const void *ctx;
	const struct field *field;
	const char *name; /* as users write it */
	const char *path;
	json_t *value;
	void *member;
	bool templates;
	struct problems *problems;
};

typedef void (*setter)(const struct setting *set);

static void wrong(const struct setting *set, const char *format, ...) printf_like(2, 3);

static void wrong(const struct setting *set, const char *format, ...)
{
	_cleanup_talloc_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	problems_add(set->problems, ERR_INVALID, set->path, "'%s' %s", set->name, text);
}

static const char *kind_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "a mapping";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a whole number";
	case JSON_REAL:
		return "a number";
	case JSON_NULL:
		return "nothing";
	default:
		return "true or false";
	}
}

/* The value in quotes when it is short, else what kind of value it is: long values may be anything, keys and tokens too. */
static char *shown(const void *ctx, const json_t *value)
{
	char *text = json_scalar_text(ctx, value);

	if (!text || strlen(text) > VALUE_SHOWN)
		return mem_strdup(ctx, kind_of(value));
	return mem_printf(ctx, "'%s'", text);
}

/* Text of a scalar, or NULL after saying what is wrong. A number that was written otherwise than it reads (1.10) is refused: the text that
 * was meant is lost as soon as the value is copied, and a version 1.1 in the place of 1.10 is a release that nobody asked for. */
static char *scalar_text(const struct setting *set, const json_t *value, const char *path)
{
	const char *written;
	char *text = json_scalar_text(set->ctx, value);

	if (!text) {
		wrong(set, "must be %s, not %s", field_type_name(set->field->type), kind_of(value));
		return NULL;
	}
	written = json_is_string(value) || !set->problems->doc ? NULL : doc_written(set->problems->doc, path);
	if (written && strlen(written) <= VALUE_SHOWN) {
		wrong(set, "is text, but %s without quotes reads as %s; write \"%s\"", written, text, written);
		return NULL;
	}
	return text;
}

static void set_str(const struct setting *set)
{
	*(const char **)set->member = scalar_text(set, set->value, set->path);
}

static void set_name(const struct setting *set)
{
	char *text = scalar_text(set, set->value, set->path);

	if (text && !text_is_name(text))
		wrong(set, "must be a name (letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 128), not %s",
			shown(set->ctx, set->value));
	else
		*(const char **)set->member = text;
}

static void set_path(const struct setting *set)
{
	char *text;

	if (json_is_string(set->value) && strlen(json_string_value(set->value)) != json_string_length(set->value)) {
		wrong(set, "must be a path; it contains a 0 byte");
		return;
	}
	text = scalar_text(set, set->value, set->path);
	if (text && !*text)
		wrong(set, "must be a path; it is empty");
	else
		*(const char **)set->member = text;
}

static bool has_range(const struct field *field)
{
	return field->min != 0 || field->max != 0;
}

static void set_int(const struct setting *set)
{
	const struct field *field = set->field;
	int64_t whole;
	double real;

	if (json_is_integer(set->value)) {
		whole = json_integer_value(set->value);
	} else if (json_is_real(set->value) && fabs(json_real_value(set->value)) <= 9007199254740992.0 &&
		trunc(json_real_value(set->value)) == json_real_value(set->value)) {
		whole = (int64_t)json_real_value(set->value);
	} else {
		wrong(set, "must be a whole number, not %s", shown(set->ctx, set->value));
		return;
	}
	real = (double)whole;
	if (has_range(field) && (real < field->min || real > field->max))
		wrong(set, "must be between %.15g and %.15g, not %lld", field->min, field->max, (long long)whole);
	else
		*(int64_t *)set->member = whole;
}

static void set_real(const struct setting *set)
{
	double real = json_number_value(set->value);

	if (!json_is_number(set->value))
		wrong(set, "must be a number, not %s", shown(set->ctx, set->value));
	else if (has_range(set->field) && (real < set->field->min || real > set->field->max))
		wrong(set, "must be between %.15g and %.15g, not %s", set->field->min, set->field->max, shown(set->ctx, set->value));
	else
		*(double *)set->member = real;
}

static void set_bool(const struct setting *set)
{
	if (!json_is_boolean(set->value))
		wrong(set, "must be true or false, not %s", shown(set->ctx, set->value));
	else
		*(bool *)set->member = json_is_true(set->value);
}

static void set_ms(const struct setting *set)
{
	double min = has_range(set->field) ? set->field->min : 0, max = has_range(set->field) ? set->field->max : (double)DURATION_MAX;
	_cleanup_talloc_ char *text = NULL;
	struct err err = ERR_INIT;
	int64_t ms = 0;

	if (json_is_string(set->value) || json_is_number(set->value))
		text = json_scalar_text(NULL, set->value);
	if (!text || text_parse_duration(text, &ms, &err) < 0)
		wrong(set, "must be a duration like 30s, 5m or 1h30m (a bare number means seconds; at most 10 years), not %s",
			shown(set->ctx, set->value));
	else if ((double)ms < min || (double)ms > max)
		wrong(set, "must be between %s and %s, not %s", text_format_duration(set->ctx, (int64_t)min),
			text_format_duration(set->ctx, (int64_t)max), text_format_duration(set->ctx, ms));
	else
		*(int64_t *)set->member = ms;
}

static void set_share(const struct setting *set)
{
	double min = has_range(set->field) ? set->field->min : 0, max = has_range(set->field) ? set->field->max : 1;
	_cleanup_talloc_ char *text = NULL;
	struct err err = ERR_INIT;
	double share = 0;

	if (json_is_string(set->value))
		text = json_scalar_text(NULL, set->value);
	if (json_is_number(set->value))
		share = json_number_value(set->value);
	if (!json_is_number(set->value) && (!text || text_parse_percent(text, &share, &err) < 0))
		wrong(set, "must be a share like 1%% or 0.01, not %s", shown(set->ctx, set->value));
	else if (!(share >= min && share <= max))
		wrong(set, "must be between %.15g%% and %.15g%%, not %s", min * 100, max * 100, shown(set->ctx, set->value));
	else
		*(double *)set->member = share;
}

static void set_choice(const struct setting *set)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	char **choices = text_split(scratch, set->field->choices, '|');
	char *text = scalar_text(set, set->value, set->path), *list = mem_strdup(scratch, "");
	const char *near = NULL;

	if (!text)
		return;
	for (size_t i = 0; choices[i]; i++) {
		if (strcmp(choices[i], text) == 0) {
			*(const char **)set->member = text;
			return;
		}
		list = mem_appendf(list, "%s%s", i > 0 ? ", " : "", choices[i]);
	}
	if (strlen(text) <= VALUE_SHOWN)
		near = text_nearest(text, (const char *const *)choices);
	wrong(set, "must be one of %s, not %s%s%s%s", list, shown(scratch, set->value), near ? " (did you mean '" : "", near ? near : "",
		near ? "'?)" : "");
}

static void set_list(const struct setting *set)
{
	bool single = !json_is_array(set->value);
	size_t count = single ? 1 : json_array_size(set->value);
	const char **list;

	if (count == 0 && set->field->required) {
		wrong(set, "must have at least one item");
		return;
	}
	list = mem_array(set->ctx, const char *, count + 1);
	for (size_t i = 0; i < count; i++) {
		_cleanup_talloc_ char *path = single ? mem_strdup(NULL, set->path) : doc_path_index(NULL, set->path, i);
		_cleanup_talloc_ char *name = single ? mem_strdup(NULL, set->name) : doc_path_index(NULL, set->name, i);
		struct setting item = *set;

		item.path = path;
		item.name = name;
		item.value = single ? set->value : json_array_get(set->value, i);
		list[i] = scalar_text(&item, item.value, path);
		if (!list[i])
			return;
	}
	*(const char ***)set->member = list;
}

static void set_map(const struct setting *set)
{
	if (!json_is_object(set->value))
		wrong(set, "must be a mapping, not %s", kind_of(set->value));
	else
		*(json_t **)set->member = set->value;
}

static void set_any(const struct setting *set)
{
	*(json_t **)set->member = set->value;
}

static bool is_variable(const char *text)
{
	if (!*text || (*text >= '0' && *text <= '9'))
		return false;
	return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == strlen(text);
}

/* Nothing of the value is ever shown: it may be the secret itself, written in the wrong place. */
static bool is_argv(const json_t *list)
{
	json_t *word;
	size_t i;

	json_array_foreach((json_t *)list, i, word)
		if (!json_is_string(word) || strlen(json_string_value(word)) != json_string_length(word))
			return false;
	return json_array_size(list) > 0 && json_string_length(json_array_get(list, 0)) > 0;
}

static void set_secret(const struct setting *set)
{
	const char *kind, *target;
	json_t *inner;
	void *only;

	if (!json_is_object(set->value)) {
		wrong(set, "is a secret, and a secret is written as a reference, {file: ...} or {env: ...}, never as a value");
		return;
	}
	only = json_object_iter(set->value);
	kind = only ? json_object_iter_key(only) : "";
	if (json_object_size(set->value) != 1 ||
		(strcmp(kind, "file") != 0 && strcmp(kind, "env") != 0 && strcmp(kind, "credential") != 0 &&
			strcmp(kind, "command") != 0)) {
		wrong(set, "is a secret: write exactly one of {file: PATH}, {env: NAME}, {credential: NAME} or {command: [PROGRAM, ...]}");
		return;
	}
	inner = json_object_iter_value(only);
	if (strcmp(kind, "command") == 0) {
		if (is_argv(inner))
			*(json_t **)set->member = set->value;
		else
			wrong(set, "is a secret: 'command' wants a program and its arguments, as a list");
		return;
	}
	target = json_string_value(inner);
	if (!target || !*target || strlen(target) != json_string_length(inner))
		wrong(set, "is a secret: '%s' wants %s", kind, strcmp(kind, "file") == 0 ? "a path" : "a name");
	else if (strcmp(kind, "env") == 0 && !is_variable(target))
		wrong(set, "is a secret: 'env' wants the name of an environment variable (letters, digits and '_')");
	else if (strcmp(kind, "credential") == 0 && !text_is_name(target))
		wrong(set, "is a secret: 'credential' wants a name (letters, digits, '.', '_' and '-')");
	else
		*(json_t **)set->member = set->value;
}

static void set_password(const struct setting *set)
{
	if (!json_is_string(set->value) || strlen(json_string_value(set->value)) != json_string_length(set->value))
		wrong(set, "must be a text without 0 bytes");
	else
		*(const char **)set->member = mem_strdup(set->ctx, json_string_value(set->value));
}

struct type {
	const char *name;
	size_t size; /* of the member; 0: a struct with fields of its own */
	setter set;
};

static const struct type types[] = {
	[FIELD_TYPE_STR] = { "a string", sizeof(const char *), set_str },
	[FIELD_TYPE_NAME] = { "a name", sizeof(const char *), set_name },
	[FIELD_TYPE_PATH] = { "a path", sizeof(const char *), set_path },
	[FIELD_TYPE_INT] = { "a whole number", sizeof(int64_t), set_int },
	[FIELD_TYPE_REAL] = { "a number", sizeof(double), set_real },
	[FIELD_TYPE_BOOL] = { "true or false", sizeof(bool), set_bool },
	[FIELD_TYPE_MS] = { "a duration", sizeof(int64_t), set_ms },
	[FIELD_TYPE_SHARE] = { "a share", sizeof(double), set_share },
	[FIELD_TYPE_CHOICE] = { "a choice", sizeof(const char *), set_choice },
	[FIELD_TYPE_LIST] = { "a list of strings", sizeof(const char **), set_list },
	[FIELD_TYPE_MAP] = { "a mapping", sizeof(json_t *), set_map },
	[FIELD_TYPE_ANY] = { "any value", sizeof(json_t *), set_any },
	[FIELD_TYPE_SECRET] = { "a reference to a secret", sizeof(json_t *), set_secret },
	[FIELD_TYPE_PASSWORD] = { "a password", sizeof(const char *), set_password },
	[FIELD_TYPE_GROUP] = { "a mapping with members of its own", 0, NULL },
};

const char *field_type_name(enum field_type type)
{
	return types[type].name;
}

const struct field *field_content(const struct field *fields, const struct field *path)
{
	for (; path->content && fields->member; fields++)
		if (!strcmp(fields->member, path->content))
			return fields;
	return NULL;
}

bool field_is_content(const struct field *fields, const struct field *field)
{
	for (; fields->member; fields++)
		if (fields->content && !strcmp(fields->content, field->member))
			return true;
	return false;
}

char *field_name(const void *ctx, const struct field *field)
{
	static const char *const units[] = { "_ms", "_bytes", NULL };
	size_t length = strlen(field->member), at = 0;
	char *name = mem_strdup(ctx, field->member);

	for (size_t i = 0; units[i]; i++) {
		if (text_ends_with(field->member, units[i]) && length > strlen(units[i])) {
			length -= strlen(units[i]);
			break;
		}
	}
	for (size_t i = 0; i < length; i++) {
		char c = field->member[i];

		if (c == '_' && i > 0 && i + 1 < length && field->member[i + 1] >= 'a' && field->member[i + 1] <= 'z')
			name[at++] = (char)(field->member[++i] - 'a' + 'A');
		else
			name[at++] = c;
	}
	name[at] = 0;
	return name;
}

json_t *field_default(const struct field *field)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	struct err err = ERR_INIT;
	json_t *value;

	if (!field->fallback)
		return NULL;
	switch (field->type) {
	case FIELD_TYPE_INT:
	case FIELD_TYPE_REAL:
	case FIELD_TYPE_BOOL:
	case FIELD_TYPE_MAP:
	case FIELD_TYPE_ANY:
	case FIELD_TYPE_SECRET:
		if (json_parse(scratch, field->fallback, strlen(field->fallback), 65536, &value, &err) < 0)
			assert_failed(err.text, field->member, 0);
		return json_incref(value);
	default:
		value = json_string(field->fallback);
		assert_always(value != NULL);
		return value;
	}
}

/* True when a string anywhere in the value has a template. */
static bool has_template(const json_t *value)
{
	if (json_is_string(value))
		return template_has(json_string_value(value));
	for (size_t i = 0; i < json_array_size(value); i++)
		if (has_template(json_array_get(value, i)))
			return true;
	for (void *it = json_object_iter((json_t *)value); it; it = json_object_iter_next((json_t *)value, it))
		if (has_template(json_object_iter_value(it)))
			return true;
	return false;
}

static void parse(const void *ctx, const struct field *fields, json_t *object, const char *path, const char *const *ignore, bool templates,
	bool given, void *ret, struct problems *problems);

/* A default is the program's own: a problem with it is a fault in the table. */
static void set_default(const struct setting *set)
{
	struct setting mine = *set;
	json_t *value = field_default(set->field);

	if (!value)
		return;
	mine.value = json_keep(set->ctx, value);
	mine.path = set->name;
	mine.problems = problems_new(NULL, NULL);
	types[set->field->type].set(&mine);
	if (mine.problems->count > 0)
		assert_failed(mine.problems->list[0].text, set->field->member, 0);
	talloc_free(mine.problems);
}

/* An absent group gets its members' defaults; its required members are missed only when the group is there. */
static void set_group(const struct setting *set, bool given)
{
	json_t *object = set->value;

	if (object && !json_is_object(object)) {
		wrong(set, "must be a mapping, not %s", shown(set->ctx, object));
		object = NULL;
	}
	parse(set->ctx, set->field->sub, object, set->path, NULL, set->templates, given && object, set->member, set->problems);
}

/* `given`: the object that this field belongs to is there, so that what is required can be missed. */
static void set_field(struct setting *set, bool given)
{
	const struct field *field = set->field;
	bool group = field->type == FIELD_TYPE_GROUP, waits;
	struct setting absent = *set;

	if (json_is_null(set->value) && field->type != FIELD_TYPE_ANY)
		set->value = NULL; /* "token:" with nothing behind it */
	if (!set->value && field->required && given)
		wrong(set, "is required: %s", field->help);
	/* A value with a template is read after expansion; until then it is as if a group were absent, and anything else zero. */
	absent.value = NULL;
	waits = set->templates && set->value && (!group || json_is_string(set->value)) && has_template(set->value);
	if (group && waits)
		set_group(&absent, false);
	else if (group)
		set_group(set, given && set->value);
	else if (!set->value)
		set_default(set);
	else if (!waits)
		types[field->type].set(set);
}

static void clear(const struct field *fields, void *ret)
{
	for (const struct field *field = fields; field->member; field++)
		if (field->type == FIELD_TYPE_GROUP)
			clear(field->sub, (char *)ret + field->offset);
		else
			memset((char *)ret + field->offset, 0, types[field->type].size);
}

/* All names that are known here, as one array that ends with NULL. */
static const char **known_names(const void *ctx, const struct field *fields, const char *const *ignore)
{
	size_t count = 0, at = 0;
	const char **names;

	for (const struct field *field = fields; field->member; field++)
		count++;
	for (size_t i = 0; ignore && ignore[i]; i++)
		count++;
	names = mem_array(ctx, const char *, count + 1);
	for (const struct field *field = fields; field->member; field++)
		names[at++] = field_name(ctx, field);
	for (size_t i = 0; ignore && ignore[i]; i++)
		names[at++] = ignore[i];
	return names;
}

static void unknown_key(const char *key, const char *path, const char *const *names, struct problems *problems)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	const char *near = NULL;
	char *list;

	if (problems->count >= PROBLEMS_MAX) {
		problems->more++;
		return;
	}
	if (strlen(key) <= NAME_SHOWN)
		near = text_nearest(key, names);
	path = doc_path(scratch, path, key);
	if (strlen(key) > NAME_SHOWN)
		key = mem_printf(scratch, "%.*s...", NAME_SHOWN, key);
	if (near) {
		problems_add(problems, ERR_INVALID, path, "unknown key '%s' (did you mean '%s'?)", key, near);
		return;
	}
	list = mem_strdup(scratch, "");
	for (size_t i = 0; names[i]; i++)
		list = mem_appendf(list, "%s%s", i > 0 ? ", " : "", names[i]);
	problems_add(problems, ERR_INVALID, path, "unknown key '%s'; known here: %s", key, *list ? list : "none");
}

static void parse(const void *ctx, const struct field *fields, json_t *object, const char *path, const char *const *ignore, bool templates,
	bool given, void *ret, struct problems *problems)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	const char **names = known_names(scratch, fields, ignore);
	size_t i = 0;

	for (void *it = object ? json_object_iter(object) : NULL; it; it = json_object_iter_next(object, it)) {
		const char *key = json_object_iter_key(it);
		size_t at = 0;

		while (names[at] && strcmp(names[at], key) != 0)
			at++;
		if (!names[at])
			unknown_key(key, path, names, problems);
	}
	for (const struct field *field = fields; field->member; field++, i++) {
		struct setting set = { .ctx = ctx,
			.field = field,
			.name = names[i],
			.path = doc_path(scratch, path, names[i]),
			.value = object ? json_object_get(object, names[i]) : NULL,
			.member = (char *)ret + field->offset,
			.templates = templates,
			.problems = problems };

		set_field(&set, given);
	}
}

void fields_parse(const void *ctx, const struct field *fields, json_t *object, const char *path, const char *const *ignore, bool templates,
	void *ret, struct problems *problems)
{
	clear(fields, ret);
	if (object && !json_is_object(object)) {
		problems_add(problems, ERR_INVALID, path, "must be a mapping, not %s", kind_of(object));
		return;
	}
	parse(ctx, fields, object, path, ignore, templates, true, ret, problems);
}
