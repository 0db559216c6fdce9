/* Reading JSON with the place of every value.
 *
 * Three passes: a quick one counts depth and values, so that jansson never recurses deep or builds too much; jansson validates and builds
 * the tree (strict: no duplicate keys, no \u0000, UTF-8, 64-bit integers); then a small scanner walks the text, now known to be valid, in
 * step with the tree (jansson keeps the order of members) and notes each value's line and column.
 * Threads: any; no shared state. */
#include "data/read.h"

#include "data/json.h"

struct scan {
	const char *at, *end;
	unsigned line, column; /* of `at` */
	const char *name;
	struct places *places;
	struct err *err;
};

/* Not for use inside a value: it knows no strings. */
static void scan_advance(struct scan *scan)
{
	unsigned char c = (unsigned char)*scan->at++;

	if (c == '\n') {
		scan->line++;
		scan->column = 1;
	} else if ((c & 0xc0) != 0x80) {
		scan->column++; /* the other bytes of a character have 10 on top */
	}
}

static void scan_blanks(struct scan *scan)
{
	while (scan->at < scan->end && strchr(" \t\r\n", *scan->at) && *scan->at)
		scan_advance(scan);
}

static void scan_string(struct scan *scan)
{
	scan_advance(scan);
	while (scan->at < scan->end && *scan->at != '"') {
		if (*scan->at == '\\' && scan->at + 1 < scan->end)
			scan_advance(scan);
		scan_advance(scan);
	}
	if (scan->at < scan->end)
		scan_advance(scan);
}

/* First pass. Text that is not JSON may count wrongly; jansson refuses it afterwards. */
static int check_limits(const char *name, const char *text, size_t size, struct err *err)
{
	struct scan scan = { .at = text, .end = text + size, .line = 1, .column = 1 };
	unsigned depth = 0;
	size_t nodes = 1;

	while (scan.at < scan.end) {
		char c = *scan.at;

		if (c == '"') {
			scan_string(&scan);
			continue;
		}
		if (c == '[' || c == '{') {
			nodes++;
			if (++depth > DOC_DEPTH_MAX)
				return read_error(err, ERR_TOO_LARGE, name, scan.line, scan.column, "nested more than %d levels deep",
					DOC_DEPTH_MAX);
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		} else if (c == ',') {
			nodes++;
		}
		if (nodes > DOC_NODES_MAX)
			return read_error(err, ERR_TOO_LARGE, name, scan.line, scan.column, "more than %u values", DOC_NODES_MAX);
		scan_advance(&scan);
	}
	return 0;
}

/* jansson counts to the end of the token that it did not like; people look for its start. */
static int syntax_error(const char *name, const json_error_t *error, struct err *err)
{
	unsigned line = error->line > 0 ? (unsigned)error->line : 1, column = error->column > 0 ? (unsigned)error->column : 1;
	const char *near = strstr(error->text, " near '");
	size_t length = 0;

	if (near) {
		for (const char *p = near + strlen(" near '"); *p; p++)
			length += ((unsigned char)*p & 0xc0) != 0x80;
		length = length > 0 ? length - 1 : 0; /* the closing quote */
	}
	if (length > 0 && length <= column)
		column = column - (unsigned)length + 1;
	return read_error(err, ERR_INVALID, name, line, column, "not valid JSON: %s", error->text);
}

static int scan_value(struct scan *scan, const json_t *value, uint64_t hash, unsigned line, unsigned column);

static int scan_object(struct scan *scan, const json_t *object, uint64_t hash)
{
	scan_advance(scan);
	for (void *it = json_object_iter((json_t *)object); it; it = json_object_iter_next((json_t *)object, it)) {
		unsigned line, column;
		uint64_t child;
		int r;

		scan_blanks(scan);
		line = scan->line;
		column = scan->column;
		if (json_object_iter_key_len(it) > DOC_KEY_MAX)
			return read_error(scan->err, ERR_TOO_LARGE, scan->name, line, column, "a key of more than %d bytes", DOC_KEY_MAX);
		scan_string(scan);
		scan_blanks(scan);
		scan_advance(scan); /* : */
		scan_blanks(scan);
		child = scan->places ? places_key(scan->places, hash, json_object_iter_key(it), json_object_iter_key_len(it)) : 0;
		r = scan_value(scan, json_object_iter_value(it), child, line, column);
		if (r < 0)
			return r;
		scan_blanks(scan);
		scan_advance(scan); /* , or } */
	}
	if (json_object_size(object) == 0) {
		scan_blanks(scan);
		scan_advance(scan);
	}
	return 0;
}

static int scan_array(struct scan *scan, const json_t *array, uint64_t hash)
{
	size_t count = json_array_size(array);

	scan_advance(scan);
	for (size_t i = 0; i < count; i++) {
		uint64_t child = scan->places ? places_index(scan->places, hash, i) : 0;
		int r;

		scan_blanks(scan);
		r = scan_value(scan, json_array_get(array, i), child, scan->line, scan->column);
		if (r < 0)
			return r;
		scan_blanks(scan);
		scan_advance(scan); /* , or ] */
	}
	if (count == 0) {
		scan_blanks(scan);
		scan_advance(scan);
	}
	return 0;
}

/* `line` and `column`: what counts as this value's place (its key's, for a member). */
static int scan_value(struct scan *scan, const json_t *value, uint64_t hash, unsigned line, unsigned column)
{
	_cleanup_talloc_ char *source = NULL, *text = NULL;
	const char *from = scan->at;

	assert_always(scan->at < scan->end); /* the text is valid */
	if (scan->places)
		places_set(scan->places, hash, line, column, NULL);
	if (json_is_object(value))
		return scan_object(scan, value, hash);
	if (json_is_array(value))
		return scan_array(scan, value, hash);
	if (json_is_string(value)) {
		scan_string(scan);
		return 0;
	}
	while (scan->at < scan->end && *scan->at && !strchr(" \t\r\n,]}", *scan->at))
		scan_advance(scan);
	if (scan->places && json_is_number(value)) {
		source = mem_strndup(NULL, from, (size_t)(scan->at - from));
		text = json_scalar_text(NULL, value);
		if (strcmp(source, text) != 0)
			places_set(scan->places, hash, line, column, source);
	}
	return 0;
}

int read_json(const char *name, const char *text, size_t size, struct places *places, json_t **ret, struct err *err)
{
	struct scan scan = { .at = text, .end = text + size, .line = 1, .column = 1, .name = name, .places = places, .err = err };
	json_error_t error;
	json_t *root;
	int r;

	r = check_limits(name, text, size, err);
	if (r < 0)
		return r;
	root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!root)
		return syntax_error(name, &error, err);
	scan_blanks(&scan);
	r = scan_value(&scan, root, places ? places_root(places) : 0, scan.line, scan.column);
	if (r < 0) {
		json_decref(root);
		return r;
	}
	*ret = root;
	return 0;
}
