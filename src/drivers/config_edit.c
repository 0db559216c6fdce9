/* Items of configuration files: what is the same for all formats (config_edit.h): reading into a tree, paths, and the proof that an
 * edit changed one value and nothing else. Pure. */
#include "drivers/config_edit.h"

#include <ctype.h>

#include "base/text.h"
#include "data/doc.h"
#include "data/json.h"

#define PARTS_MAX 64u

enum config_format config_format(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	if (text_ends_with(name, ".json"))
		return CONFIG_JSON;
	if (text_ends_with(name, ".yaml") || text_ends_with(name, ".yml"))
		return CONFIG_YAML;
	if (strcmp(name, ".env") == 0 || text_starts_with(name, ".env.") || text_ends_with(name, ".env"))
		return CONFIG_ENV;
	return CONFIG_OPAQUE;
}

char *config_splice(const void *ctx, const char *text, size_t start, size_t end, const char *replacement)
{
	assert_always(start <= end && end <= strlen(text));
	return mem_printf(ctx, "%.*s%s%s", (int)start, text, replacement, text + end);
}

size_t config_line_start(const char *text, size_t at)
{
	while (at > 0 && text[at - 1] != '\n')
		at--;
	return at;
}

size_t config_line_end(const char *text, size_t at)
{
	size_t end = at + strcspn(text + at, "\n");

	return end > at && text[end - 1] == '\r' ? end - 1 : end;
}

/* True for a text of blanks and, in YAML, comments only: a file without items, which the strict readers call an error. */
static bool is_empty(enum config_format format, const char *text)
{
	for (;;) {
		text += strspn(text, " \t\r\n");
		if (format != CONFIG_YAML || *text != '#')
			return !*text;
		text += strcspn(text, "\n");
	}
}

/* The message of a reader may show some of the text; only its place is passed on. */
static int not_readable(struct err *err, const char *what)
{
	unsigned line = err->line, column = err->column;

	if (err->code == ERR_TOO_LARGE)
		return -ERR_TOO_LARGE;
	if (line > 0)
		(void)err_set(err, ERR_INVALID, "line %u, column %u: it is not valid %s", line, column, what);
	else
		(void)err_set(err, ERR_INVALID, "it is not valid %s", what);
	err->line = line;
	err->column = column;
	return -ERR_INVALID;
}

static int read_tree(enum config_format format, const char *text, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct doc *doc;
	int r;

	if (format == CONFIG_OPAQUE)
		return err_set(err, ERR_UNSUPPORTED, "only env, JSON and YAML files have single items");
	if (format == CONFIG_ENV)
		return config_env_read(text, ret, err);
	if (is_empty(format, text)) {
		*ret = json_object();
		return 0;
	}
	*err = ERR_INIT;
	r = format == CONFIG_JSON ? doc_parse_json(ctx, "file", text, strlen(text), &doc, err)
				  : doc_parse_yaml(ctx, "file", text, strlen(text), &doc, err);
	if (r < 0)
		return not_readable(err, format == CONFIG_JSON ? "JSON" : "YAML");
	*ret = json_incref(doc_root(doc));
	return 0;
}

static void add_part(const void *ctx, struct config_path *path, char *key, size_t index)
{
	path->parts = mem_resize(ctx, path->parts, struct config_part, path->count + 1);
	path->parts[path->count++] = (struct config_part){ .key = key, .index = index };
}

/* The inside of ["..."]; *at stands behind the opening quote and is moved behind the closing one. NULL when it is not closed. */
static char *quoted_part(const void *ctx, const char **at)
{
	char *key = mem_strdup(ctx, "");

	for (; **at && **at != '"'; (*at)++) {
		if (**at == '\\' && (*at)[1])
			(*at)++;
		key = mem_appendf(key, "%c", **at);
	}
	if (**at != '"')
		return NULL;
	(*at)++;
	return key;
}

/* As in data/doc.h, but that any character other than . [ ] may stand in a plain key. */
static int parse_path(const void *ctx, const char *text, struct config_path *ret, struct err *err)
{
	const char *at = text;

	*ret = (struct config_path){ 0 };
	while (*at && ret->count < PARTS_MAX) {
		size_t length;

		if (*at == '[' && at[1] == '"') {
			char *key;

			at += 2;
			key = quoted_part(ctx, &at);
			if (!key || *at++ != ']')
				break;
			add_part(ctx, ret, key, 0);
		} else if (*at == '[') {
			length = strspn(at + 1, "0123456789");
			if (length == 0 || length > 9 || at[1 + length] != ']')
				break;
			add_part(ctx, ret, NULL, (size_t)strtoul(at + 1, NULL, 10));
			at += length + 2;
		} else {
			length = strcspn(at, ".[]");
			if (length == 0)
				break;
			add_part(ctx, ret, mem_strndup(ctx, at, length), 0);
			at += length;
		}
		if (!*at)
			return 0;
		if (*at == '.' && at[1])
			at++;
		else if (*at != '[')
			break;
	}
	return err_set(err, ERR_INVALID, "'%s' is not a path such as server.ports[0]", text);
}

static json_t *step_into(json_t *value, const struct config_part *part)
{
	return part->key ? json_object_get(value, part->key) : json_array_get(value, part->index);
}

static json_t *look_up(json_t *root, const struct config_path *path)
{
	for (size_t i = 0; root && i < path->count; i++)
		root = step_into(root, &path->parts[i]);
	return root;
}

/* "a.b" is b within a; when there is no such thing but a key "a.b" it is that. An env file has plain names. */
static int find_path(const void *ctx, enum config_format format, json_t *root, const char *key, struct config_path *ret, struct err *err)
{
	struct config_path whole = { 0 };
	int r;

	add_part(ctx, &whole, mem_strdup(ctx, key), 0);
	if (format == CONFIG_ENV) {
		*ret = whole;
		return 0;
	}
	r = parse_path(ctx, key, ret, err);
	if ((r < 0 || !look_up(root, ret)) && json_object_get(root, key)) {
		*ret = whole;
		return 0;
	}
	return r;
}

json_t *config_nest(const struct config_path *path, size_t from, json_t *value)
{
	json_t *nested = json_incref(value);

	for (size_t i = path->count; i-- > from;) {
		json_t *object;

		if (!path->parts[i].key) {
			json_decref(nested);
			return NULL;
		}
		object = json_object();
		(void)json_object_set_new(object, path->parts[i].key, nested);
		nested = object;
	}
	return nested;
}

/* The tree as it must be afterwards. Takes no reference; changes `root`. False when the path cannot be there. */
static bool put_at(json_t *root, const struct config_path *path, json_t *value)
{
	const struct config_part *last = &path->parts[path->count - 1];
	json_t *into = root, *next, *nested;

	for (size_t i = 0; i + 1 < path->count; i++, into = next) {
		next = step_into(into, &path->parts[i]);
		if (next && !(json_is_null(next) && path->parts[i + 1].key))
			continue;
		nested = value ? config_nest(path, i + 1, value) : NULL;
		if (!nested)
			return false;
		return path->parts[i].key ? json_object_set_new(into, path->parts[i].key, nested) == 0
					  : json_array_set_new(into, path->parts[i].index, nested) == 0;
	}
	if (last->key)
		return value ? json_object_set(into, last->key, value) == 0 : json_object_del(into, last->key) == 0;
	return value && json_array_set(into, last->index, value) == 0;
}

int config_get(const void *ctx, enum config_format format, const char *text, const char *key, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct config_path path;
	json_t *root, *value;
	int r;

	r = read_tree(format, text, &root, err);
	if (r < 0)
		return r;
	json_keep(work, root);
	r = find_path(work, format, root, key, &path, err);
	if (r < 0)
		return r;
	value = look_up(root, &path);
	*ret = value ? json_keep(ctx, json_incref(value)) : NULL;
	return 0;
}

static int edit(const void *ctx, enum config_format format, const char *text, const struct config_path *path, json_t *value, char **ret,
	struct err *err)
{
	if (format == CONFIG_ENV)
		return config_env_edit(ctx, text, path->parts[0].key, json_string_value(value), ret, err);
	if (is_empty(format, text) && format == CONFIG_JSON) {
		json_t *root = config_nest(path, 0, value);

		if (!root)
			return err_set(err, ERR_INVALID, "an index into an empty file");
		*ret = mem_appendf(json_pretty(ctx, root), "\n");
		json_decref(root);
		return 0;
	}
	return format == CONFIG_JSON ? config_json_edit(ctx, text, path, value, ret, err)
				     : config_yaml_edit(ctx, text, path, value, ret, err);
}

/* Only this value may have changed. */
static int prove(enum config_format format, json_t *before, const char *after, const struct config_path *path, json_t *value,
	struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *expected = json_keep(ctx, json_deep_copy(before)), *now;
	struct err why = ERR_INIT;

	if (!put_at(expected, path, value))
		return err_set(err, ERR_INVALID, "what stands above it is neither an object nor a list that has it");
	if (read_tree(format, after, &now, &why) == 0) {
		json_keep(ctx, now);
		if (json_equal(expected, now))
			return 0;
	}
	return err_set(err, ERR_UNSUPPORTED,
		"it cannot be changed without touching something else of the file (an anchor, a merge, a block): edit the file by hand, or restore it as a whole");
}

int config_set(const void *ctx, enum config_format format, const char *text, const char *key, json_t *value, char **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct config_path path;
	json_t *root, *present;
	char *after;
	int r;

	r = read_tree(format, text, &root, err);
	if (r < 0)
		return r;
	json_keep(work, root);
	r = find_path(work, format, root, key, &path, err);
	if (r < 0)
		return r;
	if (json_is_null(value))
		value = NULL;
	if (format == CONFIG_ENV && value) {
		_cleanup_talloc_ char *scalar = json_scalar_text(NULL, value);

		if (!scalar)
			return err_set(err, ERR_INVALID, "item '%s': a value in an env file is a text, a number or a boolean", key);
		value = json_keep(work, json_string(scalar));
	}
	present = look_up(root, &path);
	if (value ? present && json_equal(present, value) : !present) {
		*ret = mem_strdup(ctx, text);
		return 0;
	}
	if (!value && !path.parts[path.count - 1].key) /* the next one would take its place: not safe to repeat */
		return err_set(err, ERR_UNSUPPORTED, "item '%s': an item of a list cannot be removed: set the list as a whole", key);
	r = edit(work, format, text, &path, value, &after, err);
	if (r == 0)
		r = prove(format, root, after, &path, value, err);
	if (r < 0)
		return err_in(err, "item '%s'", key);
	*ret = talloc_steal(ctx, after);
	return 0;
}

static const char *type_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
		return "integer";
	case JSON_REAL:
		return "number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "boolean";
	case JSON_ARRAY:
		return "list";
	case JSON_OBJECT:
		return "object";
	default:
		return "null";
	}
}

static void collect(json_t *value, const char *path, json_t *keys)
{
	const char *key;
	json_t *item;

	if (json_object_size(keys) >= CONFIG_KEYS_MAX)
		return;
	if (!json_is_object(value) || json_object_size(value) == 0) {
		(void)json_object_set_new(keys, path, json_string(type_of(value)));
		return;
	}
	json_object_foreach(value, key, item) {
		_cleanup_talloc_ char *inner = doc_path(NULL, path, key);

		collect(item, inner, keys);
	}
}

int config_keys(enum config_format format, const char *text, const char *prefix, json_t *keys, struct err *err)
{
	json_t *root, *item;
	const char *key;
	int r;

	r = read_tree(format, text, &root, err);
	if (r < 0)
		return r;
	json_object_foreach(root, key, item) {
		_cleanup_talloc_ char *path = format == CONFIG_ENV ? mem_strdup(NULL, key) : doc_path(NULL, "", key);
		_cleanup_talloc_ char *named = mem_printf(NULL, "%s%s", prefix, path);

		collect(item, named, keys);
	}
	json_decref(root);
	return 0;
}
