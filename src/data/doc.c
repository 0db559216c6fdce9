/* Documents: a tree (jansson), its name and the places of its values. The readers are json_read.c and yaml.c; here is what they share, the
 * paths, and the lookups. A path is read part by part; places are found by a hash that is chained over the same parts (places.h).
 * Threads: a document is read-only once made; any thread may read it, one at a time may own it. */
#include "data/doc.h"

#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "data/read.h"

struct doc {
	char *name;
	json_t *root;
	struct places *places; /* NULL: made by the program */
};

int read_error(struct err *err, enum err_code code, const char *name, unsigned line, unsigned column, const char *format, ...)
{
	_cleanup_talloc_ char *text = NULL;
	va_list arguments;
	int r;

	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	if (name)
		r = err_set(err, code, "%s:%u:%u: %s", name, line, column, text);
	else
		r = err_set(err, code, "%u:%u: %s", line, column, text);
	err->line = line;
	err->column = column;
	return r;
}

void read_locate(const char *text, size_t size, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
	unsigned line = 1, column = 1;

	for (size_t i = 0; i < size && i < offset; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	*ret_line = line;
	*ret_column = column;
}

/* Offset of the first byte that is no UTF-8. Only called for text that is known to have one. */
static size_t first_invalid(const char *text, size_t size)
{
	size_t at = 0;

	while (at < size) {
		unsigned char c = (unsigned char)text[at];
		size_t length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

		if (length > size - at || !text_is_utf8(text + at, length))
			break;
		at += length;
	}
	return at;
}

int read_check_text(const char *name, const char **text, size_t *size, struct err *err)
{
	const unsigned char *bytes = (const unsigned char *)*text;
	unsigned line, column;
	size_t at = 0;

	if (*size > DOC_SIZE_MAX)
		return read_error(err, ERR_TOO_LARGE, name, 1, 1, "%zu bytes; at most %u are read", *size, DOC_SIZE_MAX);
	if (*size >= 2 && ((bytes[0] == 0xff && bytes[1] == 0xfe) || (bytes[0] == 0xfe && bytes[1] == 0xff)))
		return read_error(err, ERR_INVALID, name, 1, 1, "written in UTF-16; save it as UTF-8");
	if (*size >= 2 && (bytes[0] == 0) != (bytes[1] == 0))
		return read_error(err, ERR_INVALID, name, 1, 1, "written in UTF-16 or UTF-32, or not a text at all; save it as UTF-8");
	if (*size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
		*text += 3;
		*size -= 3;
	}
	if (!text_is_utf8(*text, *size)) {
		at = first_invalid(*text, *size);
		read_locate(*text, *size, at, &line, &column);
		return read_error(err, ERR_INVALID, name, line, column, "byte 0x%02x is not UTF-8; save the file as UTF-8",
			(unsigned char)(*text)[at]);
	}
	while (at < *size && strchr(" \t\r\n", (*text)[at]) && (*text)[at])
		at++;
	if (at == *size)
		return read_error(err, ERR_INVALID, name, 1, 1, "empty: there is no document in it");
	return 0;
}

static int doc_free(struct doc *doc)
{
	json_decref(doc->root);
	return 0;
}

static struct doc *doc_new(const void *ctx, const char *name, struct places *places, json_t *root)
{
	struct doc *doc = mem_zero(ctx, struct doc);

	doc->name = mem_strdup(doc, name);
	doc->places = talloc_steal(doc, places);
	doc->root = root;
	talloc_set_destructor(doc, doc_free);
	return doc;
}

typedef int (*reader)(const char *name, const char *text, size_t size, struct places *places, json_t **ret, struct err *err);

static int doc_parse(const void *ctx, reader read, const char *name, const char *text, size_t size, struct doc **ret, struct err *err)
{
	_cleanup_talloc_ struct places *places = NULL;
	json_t *root = NULL;
	int r;

	r = read_check_text(name, &text, &size, err);
	if (r < 0)
		return r;
	places = places_new(NULL);
	r = read(name, text, size, places, &root, err);
	if (r < 0)
		return r;
	*ret = doc_new(ctx, name, take_pointer(places), root);
	return 0;
}

int doc_parse_json(const void *ctx, const char *name, const char *text, size_t size, struct doc **ret, struct err *err)
{
	return doc_parse(ctx, read_json, name, text, size, ret, err);
}

int doc_parse_yaml(const void *ctx, const char *name, const char *text, size_t size, struct doc **ret, struct err *err)
{
	return doc_parse(ctx, read_yaml, name, text, size, ret, err);
}

int doc_load(const void *ctx, const char *path, struct doc **ret, struct err *err)
{
	_cleanup_talloc_ char *text = NULL;
	size_t size;
	int r;

	r = fs_read(NULL, path, DOC_SIZE_MAX, &text, &size, err);
	if (r < 0)
		return r;
	return doc_parse(ctx, text_ends_with(path, ".json") ? read_json : read_yaml, path, text, size, ret, err);
}

struct doc *doc_wrap(const void *ctx, const char *name, json_t *root)
{
	return doc_new(ctx, name, NULL, json_incref(root));
}

json_t *doc_root(const struct doc *doc)
{
	return doc->root;
}

const char *doc_name(const struct doc *doc)
{
	return doc->name;
}

/* One part of a path. */
struct part {
	bool is_index;
	size_t index;
	char *key; /* in the walk's buffer */
	size_t length;
};

struct walk {
	const char *at;
	char *buffer; /* as long as the path: room for any decoded key */
	bool first;
};

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool walk_quoted(struct walk *walk, struct part *part)
{
	for (walk->at++; *walk->at != '"'; walk->at++) {
		if (*walk->at == '\\')
			walk->at++;
		if (!*walk->at)
			return false;
		part->key[part->length++] = *walk->at;
	}
	walk->at++;
	return *walk->at++ == ']';
}

static bool walk_index(struct walk *walk, struct part *part)
{
	const char *from = walk->at;

	part->is_index = true;
	for (; *walk->at >= '0' && *walk->at <= '9' && walk->at - from < 10; walk->at++)
		part->index = part->index * 10 + (size_t)(*walk->at - '0');
	return walk->at > from && *walk->at++ == ']';
}

/* 1: a part, 0: the end, -1: not a path. */
static int walk_next(struct walk *walk, struct part *part)
{
	bool first = walk->first;

	*part = (struct part){ .key = walk->buffer };
	walk->first = false;
	if (!*walk->at)
		return 0;
	if (*walk->at == '[') {
		walk->at++;
		if (*walk->at == '"' ? walk_quoted(walk, part) : walk_index(walk, part))
			return 1;
		return -1;
	}
	if (!first && *walk->at++ != '.')
		return -1;
	while (is_bare(*walk->at))
		part->key[part->length++] = *walk->at++;
	return part->length > 0 ? 1 : -1;
}

static const struct place *find_place(const struct doc *doc, const char *path, bool nearest)
{
	_cleanup_talloc_ char *buffer = mem_array(NULL, char, strlen(path) + 1);
	struct walk walk = { .at = path, .buffer = buffer, .first = true };
	const struct place *found, *last;
	struct part part;
	uint64_t hash;
	int r;

	if (!doc->places)
		return NULL;
	hash = places_root(doc->places);
	found = last = places_get(doc->places, hash);
	while ((r = walk_next(&walk, &part)) > 0) {
		hash = part.is_index ? places_index(doc->places, hash, part.index) : places_key(doc->places, hash, part.key, part.length);
		found = places_get(doc->places, hash);
		if (found)
			last = found;
	}
	return nearest ? last : r == 0 ? found : NULL;
}

bool doc_place(const struct doc *doc, const char *path, unsigned *ret_line, unsigned *ret_column)
{
	const struct place *place = find_place(doc, path, true);

	if (!place)
		return false;
	*ret_line = place->line;
	*ret_column = place->column;
	return true;
}

const char *doc_written(const struct doc *doc, const char *path)
{
	const struct place *place = find_place(doc, path, false);

	return place ? place->written : NULL;
}

json_t *doc_get(const struct doc *doc, const char *path)
{
	_cleanup_talloc_ char *buffer = mem_array(NULL, char, strlen(path) + 1);
	struct walk walk = { .at = path, .buffer = buffer, .first = true };
	json_t *value = doc->root;
	struct part part;
	int r = 0;

	while (value && (r = walk_next(&walk, &part)) > 0)
		value = part.is_index ? json_array_get(value, part.index) : json_object_getn(value, part.key, part.length);
	return r == 0 ? value : NULL;
}

char *doc_path(const void *ctx, const char *base, const char *key)
{
	_cleanup_talloc_ char *quoted = NULL;
	const char *p = key;
	size_t length = 0;

	while (is_bare(*p))
		p++;
	if (!*p && p > key)
		return mem_printf(ctx, "%s%s%s", base, *base ? "." : "", key);
	quoted = mem_array(NULL, char, strlen(key) * 2 + 1);
	for (p = key; *p; p++) {
		if (*p == '"' || *p == '\\')
			quoted[length++] = '\\';
		quoted[length++] = *p;
	}
	return mem_printf(ctx, "%s[\"%s\"]", base, quoted);
}

char *doc_path_index(const void *ctx, const char *base, size_t index)
{
	return mem_printf(ctx, "%s[%zu]", base, index);
}
