/* YAML files: libyaml composes the document into nodes that know where they begin and end; the bytes of one value are replaced.
 *
 * What libyaml does not say is worked out here: it counts characters, not bytes; a block ends for it where the next thing begins, so
 * that the true end is that of its last scalar; and an alias is
 * the node of its anchor, which stands elsewhere in the text. Blocks of several lines are not replaced by single values: such an edit
 * is refused. Pure; any thread. */
#include <ctype.h>
#include <yaml.h>

#include "data/doc.h"
#include "data/json.h"
#include "drivers/config_edit.h"

struct editor {
	const void *ctx;
	const char *text;
	size_t *offsets; /* byte offset of each character */
	yaml_document_t document;
};

/* A value in the text: of a pair (key is its node) or of a list (key is NULL). */
struct place {
	yaml_node_t *container, *key, *value;
	size_t index;      /* of the pair or item */
	size_t start, end; /* of the value */
	bool alias;
};

static size_t offset(const struct editor *editor, yaml_mark_t mark)
{
	return editor->offsets[mark.index];
}

static size_t *make_offsets(const void *ctx, const char *text)
{
	size_t size = strlen(text), count = 0, *offsets = mem_array(ctx, size_t, size + 1);

	for (size_t at = strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; at < size; at++)
		if (((unsigned char)text[at] & 0xc0) != 0x80)
			offsets[count++] = at;
	for (; count <= size; count++)
		offsets[count] = size;
	return offsets;
}

static size_t skip_blanks(const char *text, size_t at)
{
	return at + strspn(text + at, " \t");
}

static bool is_collection(const yaml_node_t *node)
{
	return node->type == YAML_MAPPING_NODE || node->type == YAML_SEQUENCE_NODE;
}

static bool is_block(const yaml_node_t *node)
{
	return (node->type == YAML_MAPPING_NODE && node->data.mapping.style != YAML_FLOW_MAPPING_STYLE) ||
		(node->type == YAML_SEQUENCE_NODE && node->data.sequence.style != YAML_FLOW_SEQUENCE_STYLE);
}

static size_t pair_count(const yaml_node_t *mapping)
{
	return (size_t)(mapping->data.mapping.pairs.top - mapping->data.mapping.pairs.start);
}

static size_t item_count(const yaml_node_t *sequence)
{
	return (size_t)(sequence->data.sequence.items.top - sequence->data.sequence.items.start);
}

static yaml_node_t *pair_key(struct editor *editor, const yaml_node_t *mapping, size_t i)
{
	return yaml_document_get_node(&editor->document, mapping->data.mapping.pairs.start[i].key);
}

static bool locate(struct editor *editor, yaml_node_t *container, size_t index, struct place *ret);

/* Where the content of a node ends: behind its last character that is not blank. */
static size_t content_end(struct editor *editor, yaml_node_t *node)
{
	size_t start = offset(editor, node->start_mark), end = offset(editor, node->end_mark);
	size_t count = node->type == YAML_MAPPING_NODE ? pair_count(node) : node->type == YAML_SEQUENCE_NODE ? item_count(node) : 0;
	struct place last;

	if (is_block(node) && count > 0 && locate(editor, node, count - 1, &last))
		return last.end;
	while (end > start && isspace((unsigned char)editor->text[end - 1]))
		end--;
	return end;
}

/* False where the text does not look as expected. */
static bool locate(struct editor *editor, yaml_node_t *container, size_t index, struct place *ret)
{
	const char *text = editor->text;
	size_t after;

	*ret = (struct place){ .container = container, .index = index };
	if (container->type == YAML_MAPPING_NODE) {
		ret->key = pair_key(editor, container, index);
		ret->value = yaml_document_get_node(&editor->document, container->data.mapping.pairs.start[index].value);
		after = offset(editor, ret->key->end_mark);
	} else {
		ret->value = yaml_document_get_node(&editor->document, container->data.sequence.items.start[index]);
		after = offset(editor, container->start_mark);
	}
	ret->start = offset(editor, ret->value->start_mark);
	if (ret->start >= after) {
		ret->end = content_end(editor, ret->value);
		return true;
	}
	if (!ret->key) /* an alias in a list */
		return false;
	ret->start = skip_blanks(text, after);
	if (text[ret->start] != ':')
		return false;
	ret->start = skip_blanks(text, ret->start + 1);
	ret->end = ret->start + strcspn(text + ret->start, " \t\r\n,]}");
	ret->alias = true;
	return text[ret->start] == '*';
}

static bool find(struct editor *editor, yaml_node_t *container, const struct config_part *part, struct place *ret)
{
	size_t i;

	if (container->type == YAML_SEQUENCE_NODE)
		return !part->key && part->index < item_count(container) && locate(editor, container, part->index, ret);
	if (container->type != YAML_MAPPING_NODE || !part->key)
		return false;
	for (i = 0; i < pair_count(container); i++) {
		yaml_node_t *key = pair_key(editor, container, i);

		if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == strlen(part->key) &&
			memcmp(key->data.scalar.value, part->key, key->data.scalar.length) == 0)
			return locate(editor, container, i, ret);
	}
	return false;
}

/* ---- values as text ---- */

/* Text without quotes, when it is sure to be read back as this value everywhere. */
static bool plain_is(const char *text, const json_t *value)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *line = mem_printf(ctx, "k: %s\n", text);
	struct err ignored = ERR_INIT;
	struct doc *doc;

	if (!*text || text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./@%+ -")] ||
		!(isalnum((unsigned char)*text) || strchr("_/.-", *text)))
		return false;
	if (text[strlen(text) - 1] == ' ' || strcmp(text, "-") == 0 || strncmp(text, "- ", 2) == 0)
		return false;
	/* Words that older readers take for booleans stay in quotes. */
	for (const char *const *word = (const char *const[]){ "yes", "no", "on", "off", "y", "n", NULL }; *word; word++)
		if (strcasecmp(text, *word) == 0)
			return false;
	return doc_parse_yaml(ctx, "value", line, strlen(line), &doc, &ignored) == 0 &&
		json_equal(json_object_get(doc_root(doc), "k"), value);
}

/* `style` of the value that was there. */
static char *render(const void *ctx, json_t *value, yaml_scalar_style_t style)
{
	const char *text = json_string_value(value), *c;
	char *quoted;

	if (!text)
		return json_canonical(ctx, value); /* JSON is YAML, in flow style */
	if (style != YAML_SINGLE_QUOTED_SCALAR_STYLE && style != YAML_DOUBLE_QUOTED_SCALAR_STYLE && plain_is(text, value))
		return mem_strdup(ctx, text);
	for (c = text; (unsigned char)*c >= 0x20 && *c != 0x7f; c++)
		continue;
	if (style != YAML_SINGLE_QUOTED_SCALAR_STYLE || *c)
		return json_canonical(ctx, value);
	quoted = mem_strdup(ctx, "'");
	for (c = text; *c; c++)
		quoted = mem_appendf(quoted, *c == '\'' ? "''" : "%c", *c);
	return mem_append(quoted, "'");
}

static char *render_key(const void *ctx, const char *key)
{
	json_t *value = json_string(key);
	char *text = render(ctx, value, YAML_PLAIN_SCALAR_STYLE);

	json_decref(value);
	return text;
}

/* ---- edits ---- */

static int unsupported(struct err *err, const char *why)
{
	return err_set(err, ERR_UNSUPPORTED, "%s: edit the file by hand, or restore it as a whole", why);
}

static int replace(struct editor *editor, const struct place *place, json_t *value, char **ret, struct err *err)
{
	yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;
	char *text;

	if (!place->alias && is_collection(place->value) && is_block(place->value))
		return unsupported(err, "it is a block of several lines");
	if (!place->alias && place->value->type == YAML_SCALAR_NODE)
		style = place->value->data.scalar.style;
	text = render(editor->ctx, value, style);
	if (place->start > 0 && editor->text[place->start - 1] == ':') /* "key:" without a value */
		text = mem_printf(editor->ctx, " %s", text);
	*ret = config_splice(editor->ctx, editor->text, place->start, place->end, text);
	return 0;
}

/* Out of { }, with one of the commas beside it. */
static int remove_from_flow(struct editor *editor, const struct place *place, char **ret)
{
	size_t start = offset(editor, place->key->start_mark), end = place->end;
	struct place other;

	if (place->index + 1 < pair_count(place->container) && locate(editor, place->container, place->index + 1, &other))
		end = offset(editor, other.key->start_mark);
	else if (place->index > 0 && locate(editor, place->container, place->index - 1, &other))
		start = other.end;
	*ret = config_splice(editor->ctx, editor->text, start, end, "");
	return 0;
}

/* Of a mapping: items of lists are not removed. */
static int remove_at(struct editor *editor, const struct place *place, char **ret, struct err *err)
{
	const char *text = editor->text;
	size_t start, key, end;

	if (!is_block(place->container))
		return remove_from_flow(editor, place, ret);
	key = offset(editor, place->key->start_mark);
	start = config_line_start(text, key);
	if (skip_blanks(text, start) != key)
		return unsupported(err, "it does not begin its line");
	end = config_line_end(text, place->end);
	if (pair_count(place->container) == 1) {
		*ret = config_splice(editor->ctx, text, key, end, "{}");
		return 0;
	}
	end += text[end] == '\r';
	end += text[end] == '\n';
	*ret = config_splice(editor->ctx, text, start, end, "");
	return 0;
}

static size_t indent_step(const char *text)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		size_t length;

		line += *line == '\n';
		length = strspn(line, " ");
		if (length > 0 && length <= 8 && line[length] && !strchr("#-\r\n", line[length]))
			return length;
		if (!*line)
			break;
	}
	return 2;
}

/* "a:\n  b: value", each line with its line break in front. */
static char *block_lines(struct editor *editor, const struct config_path *path, size_t from, size_t column, json_t *value)
{
	const char *line_break = strstr(editor->text, "\r\n") ? "\r\n" : "\n";
	char *lines = mem_strdup(editor->ctx, "");

	for (size_t i = from; i < path->count; i++) {
		lines = mem_appendf(lines, "%s%*s%s:", line_break, (int)column, "", render_key(editor->ctx, path->parts[i].key));
		column += indent_step(editor->text);
	}
	return mem_appendf(lines, " %s", render(editor->ctx, value, YAML_ANY_SCALAR_STYLE));
}

static int insert_into_block(struct editor *editor, yaml_node_t *container, const struct config_path *path, size_t from, json_t *value,
	char **ret, struct err *err)
{
	yaml_node_t *first = pair_key(editor, container, 0);
	struct place last;
	size_t at;

	if (!locate(editor, container, pair_count(container) - 1, &last))
		return unsupported(err, "the end of its block cannot be found");
	at = config_line_end(editor->text, last.end);
	*ret = config_splice(editor->ctx, editor->text, at, at, block_lines(editor, path, from, first->start_mark.column, value));
	return 0;
}

static int insert_into_flow(struct editor *editor, yaml_node_t *container, const struct config_path *path, size_t from, json_t *value,
	char **ret, struct err *err)
{
	json_t *nested = config_nest(path, from + 1, value);
	char *text = mem_printf(editor->ctx, "%s: %s", render_key(editor->ctx, path->parts[from].key),
		render(editor->ctx, nested, YAML_ANY_SCALAR_STYLE));
	size_t at = offset(editor, container->start_mark) + 1;
	struct place last;

	json_decref(nested);
	if (pair_count(container) > 0) {
		if (!locate(editor, container, pair_count(container) - 1, &last))
			return unsupported(err, "the end of its mapping cannot be found");
		at = last.end;
		text = mem_printf(editor->ctx, ", %s", text);
	}
	*ret = config_splice(editor->ctx, editor->text, at, at, text);
	return 0;
}

/* Parts [from, count) are not there; `place` is what stands above them, its value NULL for the root. */
static int insert(struct editor *editor, yaml_node_t *container, const struct place *place, const struct config_path *path, size_t from,
	json_t *value, char **ret, struct err *err)
{
	json_t *nested = config_nest(path, from, value);
	int r;

	if (!nested)
		return err_set(err, ERR_INVALID, "a list has no such place");
	if (place->value && (place->alias || (container->type == YAML_SCALAR_NODE && container->data.scalar.length == 0))) /* "key:" */
		r = place->alias ? unsupported(err, "what stands above it is an alias") : replace(editor, place, nested, ret, err);
	else if (container->type != YAML_MAPPING_NODE)
		r = err_set(err, ERR_INVALID, "what stands above it is not a mapping");
	else if (is_block(container) && pair_count(container) > 0)
		r = insert_into_block(editor, container, path, from, value, ret, err);
	else
		r = insert_into_flow(editor, container, path, from, value, ret, err);
	json_decref(nested);
	return r;
}

static int edit(struct editor *editor, const struct config_path *path, json_t *value, char **ret, struct err *err)
{
	yaml_node_t *container = yaml_document_get_root_node(&editor->document);
	struct place place = { 0 }, next;
	size_t i;

	for (i = 0; i < path->count && find(editor, container, &path->parts[i], &next); i++) {
		place = next;
		container = place.value;
		if (place.alias && i + 1 < path->count)
			return unsupported(err, "what stands above it is an alias");
	}
	if (i == path->count)
		return value ? replace(editor, &place, value, ret, err) : remove_at(editor, &place, ret, err);
	if (!value)
		return unsupported(err, "it comes from somewhere else (a merge)");
	return insert(editor, container, &place, path, i, value, ret, err);
}

static int edit_empty(const void *ctx, const char *text, const struct config_path *path, json_t *value, char **ret, struct err *err)
{
	struct editor editor = { .ctx = ctx, .text = text };
	size_t size = strlen(text);
	char *lines;

	for (size_t i = 0; i < path->count; i++)
		if (!path->parts[i].key)
			return err_set(err, ERR_INVALID, "an index into an empty file");
	lines = block_lines(&editor, path, 0, 0, value);
	lines += strspn(lines, "\r\n");
	*ret = mem_printf(ctx, "%s%s%s\n", text, size > 0 && text[size - 1] != '\n' ? "\n" : "", lines);
	return 0;
}

int config_yaml_edit(const void *ctx, const char *text, const struct config_path *path, json_t *value, char **ret, struct err *err)
{
	struct editor editor = { .ctx = ctx, .text = text };
	yaml_parser_t parser;
	int r;

	assert_always(yaml_parser_initialize(&parser));
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
	if (!yaml_parser_load(&parser, &editor.document)) {
		yaml_parser_delete(&parser);
		return err_set(err, ERR_INVALID, "it is not valid YAML");
	}
	editor.offsets = make_offsets(ctx, text);
	if (yaml_document_get_root_node(&editor.document))
		r = edit(&editor, path, value, ret, err);
	else
		r = edit_empty(ctx, text, path, value, ret, err);
	yaml_document_delete(&editor.document);
	yaml_parser_delete(&parser);
	return r;
}
