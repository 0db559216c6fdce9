/* Templates. One scanner finds the names in a string; expanding and visiting are walks over the value that use it.
 *
 * What a name stands for is put in as it is and never looked at again, so a value that came from outside cannot name others. All text that
 * expansion makes is counted against TEMPLATE_RESULT_MAX before it is made.
 * Threads: any; no state. */
#include "data/template.h"

#include "base/text.h"
#include "data/doc.h"
#include "data/json.h"
#include "data/out.h"

#define NAME_SHOWN 80
#define NODE_COST  8 /* what a number or a bracket counts as */

/* The way from the value to the string at hand; made into a path only when it is wanted. */
struct way {
	const struct way *up;
	const char *key; /* NULL: index */
	size_t index;
	unsigned depth;
};

static char *way_path(const void *ctx, const struct way *way)
{
	_cleanup_talloc_ char *base = NULL;

	if (!way->up)
		return mem_strdup(ctx, "");
	base = way_path(NULL, way->up);
	return way->key ? doc_path(ctx, base, way->key) : doc_path_index(ctx, base, way->index);
}

static int way_error(const struct way *way, struct err *err, enum err_code code, const char *format, ...) printf_like(4, 5);

static int way_error(const struct way *way, struct err *err, enum err_code code, const char *format, ...)
{
	_cleanup_talloc_ char *path = way_path(NULL, way);
	_cleanup_talloc_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	return err_set(err, code, "%s%s%s", path, *path ? ": " : "", text);
}

static bool starts_part(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool continues_part(char c)
{
	return starts_part(c) || (c >= '0' && c <= '9') || c == '-';
}

/* Length of the name that begins at `text`; 0: none. */
static size_t name_length(const char *text)
{
	size_t at = 0;

	for (;;) {
		if (!starts_part(text[at]))
			return 0;
		while (continues_part(text[at]))
			at++;
		if (text[at] != '.')
			return at;
		at++;
	}
}

enum piece_kind { PIECE_END, PIECE_TEXT, PIECE_NAME };

struct piece {
	enum piece_kind kind;
	const char *text; /* not ended by a 0 byte */
	size_t length;
};

/* The next piece of a string, from *at on, which moves behind it. */
static int next_piece(const char *string, const char **at, struct piece *piece, const struct way *way, struct err *err)
{
	const char *p = *at, *dollar = strchr(p, '$');
	size_t length;

	if (strncmp(p, "$${", 3) == 0) {
		*piece = (struct piece){ PIECE_TEXT, "${", 2 };
		*at = p + 3;
		return 0;
	}
	if (strncmp(p, "${", 2) != 0) {
		if (dollar == p)
			dollar = strchr(p + 1, '$');
		length = dollar ? (size_t)(dollar - p) : strlen(p);
		*piece = (struct piece){ length > 0 ? PIECE_TEXT : PIECE_END, p, length };
		*at = p + length;
		return 0;
	}
	length = name_length(p + 2);
	if (length > 0 && p[2 + length] == '}') {
		*piece = (struct piece){ PIECE_NAME, p + 2, length };
		*at = p + 2 + length + 1;
		return 0;
	}
	if (p[2] == '}')
		return way_error(way, err, ERR_INVALID, "empty ${} at offset %zu", (size_t)(p - string));
	if (!strchr(p, '}'))
		return way_error(way, err, ERR_INVALID, "the ${ at offset %zu is not closed; a literal ${ is written $${",
			(size_t)(p - string));
	return way_error(way, err, ERR_INVALID,
		"between ${ and } at offset %zu stands no name (letters, digits, '_' and '-', joined by dots); a literal ${ is written $${",
		(size_t)(p - string));
}

bool template_has(const char *text)
{
	return strstr(text, "${") != NULL;
}

struct expansion {
	template_lookup lookup;
	void *user;
	const char *const *known;
	size_t made; /* bytes so far */
	struct err *err;
};

static int expand(struct expansion *x, json_t *value, const struct way *way, json_t **ret);

static int charge(struct expansion *x, size_t size, const struct way *way)
{
	if (size > TEMPLATE_RESULT_MAX - x->made)
		return way_error(way, x->err, ERR_TOO_LARGE, "the expanded templates are larger than %u bytes", TEMPLATE_RESULT_MAX);
	x->made += size;
	return 0;
}

/* What a value that stands for a whole string costs. */
static int charge_value(struct expansion *x, const json_t *value, const struct way *way)
{
	int r;

	if (way->depth > DOC_DEPTH_MAX)
		return way_error(way, x->err, ERR_TOO_LARGE, "nested more than %d levels deep", DOC_DEPTH_MAX);
	r = charge(x, NODE_COST + json_string_length(value), way);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(value); i++) {
		r = charge_value(x, json_array_get(value, i), &(struct way){ .up = way, .index = i, .depth = way->depth + 1 });
		if (r < 0)
			return r;
	}
	for (void *it = json_object_iter((json_t *)value); it; it = json_object_iter_next((json_t *)value, it)) {
		const char *key = json_object_iter_key(it);

		r = charge(x, json_object_iter_key_len(it), way);
		if (r >= 0)
			r = charge_value(x, json_object_iter_value(it), &(struct way){ .up = way, .key = key, .depth = way->depth + 1 });
		if (r < 0)
			return r;
	}
	return 0;
}

static int look_up(struct expansion *x, const struct piece *piece, const struct way *way, json_t **ret)
{
	_cleanup_talloc_ char *name = mem_strndup(NULL, piece->text, piece->length);
	const char *near = NULL;

	*ret = x->lookup(x->user, name);
	if (*ret)
		return 0;
	if (x->known && piece->length <= NAME_SHOWN)
		near = text_nearest(name, x->known);
	return way_error(way, x->err, ERR_INVALID, "unknown name '%.*s'%s%s%s", NAME_SHOWN, name, near ? " (did you mean '" : "",
		near ? near : "", near ? "'?)" : "");
}

/* One name among other text. */
static int append_name(struct expansion *x, struct out *out, const struct piece *piece, const struct way *way)
{
	_cleanup_talloc_ char *text = NULL;
	json_t *value;
	int r;

	r = look_up(x, piece, way, &value);
	if (r < 0)
		return r;
	text = json_scalar_text(NULL, value);
	if (!text)
		return way_error(way, x->err, ERR_INVALID, "'%.*s' is %s, which cannot stand inside of other text",
			(int)MIN(piece->length, 80u), piece->text,
			json_is_null(value)            ? "null"
				: json_is_array(value) ? "a list"
						       : "a mapping");
	r = charge(x, strlen(text), way);
	if (r < 0)
		return r;
	out_text(out, text);
	return 0;
}

static int expand_text(struct expansion *x, const char *string, const struct way *way, json_t **ret)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	const char *at = string;
	struct piece piece;
	struct out out;
	int r;

	out_start(&out, scratch);
	for (;;) {
		r = next_piece(string, &at, &piece, way, x->err);
		if (r < 0)
			return r;
		if (piece.kind == PIECE_END)
			break;
		if (piece.kind == PIECE_NAME) {
			r = append_name(x, &out, &piece, way);
			if (r < 0)
				return r;
			continue;
		}
		r = charge(x, piece.length, way);
		if (r < 0)
			return r;
		out_bytes(&out, piece.text, piece.length);
	}
	*ret = json_stringn(out.text, out.length);
	assert_always(*ret != NULL); /* pieces of UTF-8 text are UTF-8: they are cut at ASCII characters */
	return 0;
}

static int expand_string(struct expansion *x, json_t *value, const struct way *way, json_t **ret)
{
	const char *string = json_string_value(value), *at = string;
	struct piece piece;
	json_t *found;
	int r;

	if (!template_has(string)) {
		*ret = json_incref(value);
		return 0;
	}
	r = next_piece(string, &at, &piece, way, x->err);
	if (r < 0)
		return r;
	if (piece.kind != PIECE_NAME || *at)
		return expand_text(x, string, way, ret);
	r = look_up(x, &piece, way, &found);
	if (r < 0)
		return r;
	r = charge_value(x, found, way);
	if (r < 0)
		return r;
	*ret = json_deep_copy(found);
	assert_always(*ret != NULL);
	return 0;
}

static int expand_array(struct expansion *x, json_t *array, const struct way *way, json_t *into)
{
	json_t *item;
	int r;

	for (size_t i = 0; i < json_array_size(array); i++) {
		r = expand(x, json_array_get(array, i), &(struct way){ .up = way, .index = i, .depth = way->depth + 1 }, &item);
		if (r < 0)
			return r;
		assert_always(json_array_append_new(into, item) == 0);
	}
	return 0;
}

static int expand_object(struct expansion *x, json_t *object, const struct way *way, json_t *into)
{
	json_t *item;
	int r;

	for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
		const char *key = json_object_iter_key(it);

		r = expand(x, json_object_iter_value(it), &(struct way){ .up = way, .key = key, .depth = way->depth + 1 }, &item);
		if (r < 0)
			return r;
		assert_always(json_object_setn_new(into, key, json_object_iter_key_len(it), item) == 0);
	}
	return 0;
}

static int expand(struct expansion *x, json_t *value, const struct way *way, json_t **ret)
{
	json_t *made;
	int r;

	if (way->depth > DOC_DEPTH_MAX)
		return way_error(way, x->err, ERR_TOO_LARGE, "nested more than %d levels deep", DOC_DEPTH_MAX);
	if (json_is_string(value))
		return expand_string(x, value, way, ret);
	if (!json_is_array(value) && !json_is_object(value)) {
		*ret = json_incref(value);
		return 0;
	}
	made = json_is_array(value) ? json_array() : json_object();
	r = json_is_array(value) ? expand_array(x, value, way, made) : expand_object(x, value, way, made);
	if (r < 0) {
		json_decref(made);
		return r;
	}
	*ret = made;
	return 0;
}

int template_expand(const void *ctx, json_t *value, template_lookup lookup, void *user, const char *const *known, json_t **ret,
	struct err *err)
{
	struct expansion x = { .lookup = lookup, .user = user, .known = known, .err = err };
	json_t *made;
	int r;

	r = expand(&x, value, &(struct way){ .up = NULL }, &made);
	if (r < 0)
		return r;
	*ret = json_keep(ctx, made);
	return 0;
}

static int visit_string(const char *string, const struct way *way, template_visit visit, void *user, struct err *err)
{
	_cleanup_talloc_ char *path = NULL;
	const char *at = string;
	struct piece piece;
	int r;

	if (!template_has(string))
		return 0;
	path = way_path(NULL, way);
	for (;;) {
		_cleanup_talloc_ char *name = NULL;

		r = next_piece(string, &at, &piece, way, err);
		if (r < 0 || piece.kind == PIECE_END)
			return r;
		if (piece.kind != PIECE_NAME)
			continue;
		name = mem_strndup(NULL, piece.text, piece.length);
		r = visit(user, path, name);
		if (r != 0)
			return r;
	}
}

static int visit_value(json_t *value, const struct way *way, template_visit visit, void *user, struct err *err)
{
	int r;

	if (way->depth > DOC_DEPTH_MAX)
		return way_error(way, err, ERR_TOO_LARGE, "nested more than %d levels deep", DOC_DEPTH_MAX);
	if (json_is_string(value))
		return visit_string(json_string_value(value), way, visit, user, err);
	for (size_t i = 0; i < json_array_size(value); i++) {
		r = visit_value(json_array_get(value, i), &(struct way){ .up = way, .index = i, .depth = way->depth + 1 }, visit, user,
			err);
		if (r != 0)
			return r;
	}
	for (void *it = json_object_iter(value); it; it = json_object_iter_next(value, it)) {
		const struct way inner = { .up = way, .key = json_object_iter_key(it), .depth = way->depth + 1 };

		r = visit_value(json_object_iter_value(it), &inner, visit, user, err);
		if (r != 0)
			return r;
	}
	return 0;
}

int template_names(json_t *value, template_visit visit, void *user, struct err *err)
{
	return visit_value(value, &(struct way){ .up = NULL }, visit, user, err);
}
