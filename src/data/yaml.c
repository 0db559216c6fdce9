/* Reading YAML: libyaml's events into a tree of jansson values.
 *
 * Every cost is bounded while events arrive: depth, values, length of keys, and what aliases copy. An alias is a deep copy, so that no
 * value stands in two places of the tree; each copy is charged with the weight of what it copies before it is made, and its height counts
 * into the depth. The place of a value inside of a copy is that of the alias.
 * Threads: any; no shared state. */
#include <yaml.h>

#include "data/json.h"
#include "data/read.h"
#include "data/yaml_scalar.h"

#define ANCHORS_MAX 10000
#define TAG_PREFIX  "tag:yaml.org,2002:"

/* A value on its way into the tree. */
struct node {
	json_t *value;   /* owned */
	size_t weight;   /* values in it, and one more for each 64 bytes of text */
	unsigned height; /* of nested containers: 0 for a scalar */
	uint64_t hash;   /* of its path */
	yaml_mark_t mark;
};

struct anchor {
	json_t *value; /* owned */
	size_t weight;
	unsigned height;
	uint64_t hash;
	bool open; /* its value is still being read */
};

struct yaml_reader {
	yaml_parser_t parser;
	const char *name, *text;
	size_t size;
	struct places *places;
	json_t *anchors; /* name -> index in list; a later anchor of the same name takes its place */
	struct anchor *list;
	size_t list_count;
	size_t nodes, copied;
	struct err *err;
};

static int fail(struct yaml_reader *reader, enum err_code code, yaml_mark_t mark, const char *format, ...) printf_like(4, 5);
static int read_node(struct yaml_reader *reader, yaml_event_t *event, unsigned depth, struct node *node);

static void event_delete(yaml_event_t *event)
{
	yaml_event_delete(event); /* harmless on a cleared event */
}
#define _cleanup_event_ _cleanup_(event_delete)

static void node_drop(struct node *node)
{
	json_decref(node->value);
	node->value = NULL;
}
#define _cleanup_node_ _cleanup_(node_drop)

static int fail(struct yaml_reader *reader, enum err_code code, yaml_mark_t mark, const char *format, ...)
{
	_cleanup_talloc_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	return read_error(reader->err, code, reader->name, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "%s", text);
}

static int next_event(struct yaml_reader *reader, yaml_event_t *event)
{
	_cleanup_talloc_ char *words = NULL;
	const yaml_parser_t *parser = &reader->parser;
	unsigned line, column;

	if (yaml_parser_parse(&reader->parser, event))
		return 0;
	memset(event, 0, sizeof(*event));
	assert_always(parser->error != YAML_MEMORY_ERROR);
	words = yaml_explain(NULL, parser, reader->text, reader->size);
	if (parser->error != YAML_READER_ERROR)
		return fail(reader, ERR_INVALID, parser->problem_mark, "%s", words);
	read_locate(reader->text, reader->size, parser->problem_offset, &line, &column);
	return read_error(reader->err, ERR_INVALID, reader->name, line, column, "%s", words);
}

static uint64_t child_key(const struct yaml_reader *reader, uint64_t parent, const char *key)
{
	return reader->places ? places_key(reader->places, parent, key, strlen(key)) : 0;
}

static uint64_t child_index(const struct yaml_reader *reader, uint64_t parent, size_t index)
{
	return reader->places ? places_index(reader->places, parent, index) : 0;
}

static void set_place(struct yaml_reader *reader, uint64_t hash, yaml_mark_t mark, const char *written)
{
	if (reader->places)
		places_set(reader->places, hash, (unsigned)mark.line + 1, (unsigned)mark.column + 1, written);
}

/* Returns the anchor's index + 1, or 0 when there is none. */
static int open_anchor(struct yaml_reader *reader, const yaml_char_t *name, const struct node *node, size_t *ret)
{
	*ret = 0;
	if (!name)
		return 0;
	if (reader->list_count >= ANCHORS_MAX)
		return fail(reader, ERR_TOO_LARGE, node->mark, "more than %d anchors", ANCHORS_MAX);
	if (reader->list_count % 64 == 0)
		reader->list = mem_resize(NULL, reader->list, struct anchor, reader->list_count + 64);
	reader->list[reader->list_count++] = (struct anchor){ .hash = node->hash, .open = true };
	*ret = reader->list_count;
	json_put_int(reader->anchors, (const char *)name, (int64_t)reader->list_count - 1);
	return 0;
}

static void close_anchor(struct yaml_reader *reader, size_t index, const struct node *node)
{
	struct anchor *anchor;

	if (index == 0)
		return;
	anchor = &reader->list[index - 1];
	anchor->value = json_incref(node->value);
	anchor->weight = node->weight;
	anchor->height = node->height;
	anchor->open = false;
}

/* What was written in the original was written in its copy: numbers that may be text are found there too. */
static void copy_written(struct yaml_reader *reader, const json_t *value, uint64_t from, uint64_t to, yaml_mark_t mark)
{
	const struct place *place = places_get(reader->places, from);
	_cleanup_talloc_ char *written = NULL;

	if (place && place->written) {
		written = mem_strdup(NULL, place->written); /* the table may move while it grows */
		set_place(reader, to, mark, written);
	}
	for (void *it = json_object_iter((json_t *)value); it; it = json_object_iter_next((json_t *)value, it))
		copy_written(reader, json_object_iter_value(it), child_key(reader, from, json_object_iter_key(it)),
			child_key(reader, to, json_object_iter_key(it)), mark);
	for (size_t i = 0; i < json_array_size(value); i++)
		copy_written(reader, json_array_get(value, i), child_index(reader, from, i), child_index(reader, to, i), mark);
}

static int read_alias(struct yaml_reader *reader, const yaml_event_t *event, unsigned depth, struct node *node)
{
	const char *name = (const char *)event->data.alias.anchor;
	int64_t index = json_int(reader->anchors, name, -1);
	const struct anchor *anchor;

	if (index < 0)
		return fail(reader, ERR_INVALID, event->start_mark,
			"unknown alias '*%.40s'; if it is text, put it in quotes; else the anchor '&%.40s' must stand before it", name,
			name);
	anchor = &reader->list[index];
	if (anchor->open)
		return fail(reader, ERR_INVALID, event->start_mark, "alias '*%.40s' stands inside of the value that it names", name);
	if (depth + anchor->height > DOC_DEPTH_MAX)
		return fail(reader, ERR_TOO_LARGE, event->start_mark, "nested more than %d levels deep, with what '*%.40s' stands for",
			DOC_DEPTH_MAX, name);
	if (anchor->weight > DOC_ALIAS_MAX - reader->copied)
		return fail(reader, ERR_TOO_LARGE, event->start_mark, "the aliases stand for more than %u values", DOC_ALIAS_MAX);
	reader->copied += anchor->weight;
	reader->nodes += anchor->weight;
	node->value = json_deep_copy(anchor->value);
	assert_always(node->value != NULL);
	node->weight = anchor->weight;
	node->height = anchor->height;
	if (reader->places && places_any_written(reader->places))
		copy_written(reader, node->value, anchor->hash, node->hash, event->start_mark);
	return 0;
}

/* The name of a core tag ("str"), NULL when there is no tag or it says nothing, or an error. */
static int core_tag(struct yaml_reader *reader, const yaml_char_t *tag, yaml_mark_t mark, const char **ret)
{
	static const char *const core[] = { "null", "bool", "int", "float", "str", "seq", "map", NULL };
	const char *text = (const char *)tag;

	*ret = NULL;
	if (!text)
		return 0;
	if (strcmp(text, "!") == 0) {
		*ret = "str";
		return 0;
	}
	if (strncmp(text, TAG_PREFIX, strlen(TAG_PREFIX)) == 0)
		for (size_t i = 0; core[i]; i++)
			if (strcmp(text + strlen(TAG_PREFIX), core[i]) == 0)
				*ret = core[i];
	if (!*ret)
		return fail(reader, ERR_INVALID, mark, "the tag '%.60s' is not supported; if the text begins with '!', put it in quotes",
			text);
	return 0;
}

static bool fits_tag(const json_t *value, const char *tag)
{
	switch (json_typeof(value)) {
	case JSON_NULL:
		return strcmp(tag, "null") == 0;
	case JSON_TRUE:
	case JSON_FALSE:
		return strcmp(tag, "bool") == 0;
	case JSON_INTEGER:
		return strcmp(tag, "int") == 0 || strcmp(tag, "float") == 0;
	case JSON_REAL:
		return strcmp(tag, "float") == 0;
	default:
		return false;
	}
}

static int scalar_value(struct yaml_reader *reader, const yaml_event_t *event, json_t **ret)
{
	const char *text = (const char *)event->data.scalar.value, *tag, *problem;
	size_t length = event->data.scalar.length;
	_cleanup_node_ struct node value = { 0 };
	int r;

	r = core_tag(reader, event->data.scalar.tag, event->start_mark, &tag);
	if (r < 0)
		return r;
	if (memchr(text, 0, length))
		return fail(reader, ERR_INVALID, event->start_mark, "a string cannot contain a 0 byte");
	if (tag ? strcmp(tag, "str") == 0 : event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
		*ret = json_stringn(text, length);
		assert_always(*ret != NULL); /* UTF-8 was checked, and libyaml refuses escapes of surrogates */
		return 0;
	}
	value.value = yaml_plain(text, length, &problem);
	if (!value.value)
		return fail(reader, ERR_INVALID, event->start_mark, "%s", problem ? problem : "not a value");
	if (tag && !fits_tag(value.value, tag))
		return fail(reader, ERR_INVALID, event->start_mark, "the value is not of the type that its tag '!!%s' names", tag);
	if (tag && strcmp(tag, "float") == 0 && json_is_integer(value.value)) {
		*ret = json_real((double)json_integer_value(value.value));
		return 0;
	}
	*ret = take_pointer(value.value);
	return 0;
}

static int read_scalar(struct yaml_reader *reader, const yaml_event_t *event, struct node *node)
{
	_cleanup_talloc_ char *plain = NULL;
	const char *text = (const char *)event->data.scalar.value;
	size_t anchor;
	int r;

	r = open_anchor(reader, event->data.scalar.anchor, node, &anchor);
	if (r < 0)
		return r;
	r = scalar_value(reader, event, &node->value);
	if (r < 0)
		return r;
	node->weight = 1 + event->data.scalar.length / 64;
	if (json_is_number(node->value) || json_is_boolean(node->value)) {
		plain = json_scalar_text(NULL, node->value);
		if (strcmp(plain, text) != 0)
			set_place(reader, node->hash, node->mark, text);
	}
	close_anchor(reader, anchor, node);
	return 0;
}

static void add_child(struct node *parent, const struct node *child, size_t key_length)
{
	parent->weight += child->weight + key_length / 64;
	parent->height = MAX(parent->height, child->height + 1);
}

static int check_tag_is(struct yaml_reader *reader, const yaml_char_t *tag, yaml_mark_t mark, const char *wanted)
{
	const char *name;
	int r;

	r = core_tag(reader, tag, mark, &name);
	if (r < 0)
		return r;
	if (name && strcmp(name, wanted) != 0 && strcmp((const char *)tag, "!") != 0)
		return fail(reader, ERR_INVALID, mark, "the value is not of the type that its tag '!!%s' names", name);
	return 0;
}

static int read_sequence(struct yaml_reader *reader, const yaml_event_t *start, unsigned depth, struct node *node)
{
	size_t anchor;
	int r;

	r = check_tag_is(reader, start->data.sequence_start.tag, start->start_mark, "seq");
	if (r < 0)
		return r;
	r = open_anchor(reader, start->data.sequence_start.anchor, node, &anchor);
	if (r < 0)
		return r;
	node->value = json_array();
	node->weight = 1;
	node->height = 1;
	for (;;) {
		_cleanup_event_ yaml_event_t event = { 0 };
		_cleanup_node_ struct node child = { 0 };

		r = next_event(reader, &event);
		if (r < 0)
			return r;
		if (event.type == YAML_SEQUENCE_END_EVENT)
			break;
		child.hash = child_index(reader, node->hash, json_array_size(node->value));
		child.mark = event.start_mark;
		r = read_node(reader, &event, depth, &child);
		if (r < 0)
			return r;
		add_child(node, &child, 0);
		assert_always(json_array_append_new(node->value, take_pointer(child.value)) == 0);
	}
	close_anchor(reader, anchor, node);
	return 0;
}

/* A key, as a string. *ret_merge: it is a plain <<. */
static int read_key(struct yaml_reader *reader, const yaml_event_t *event, const json_t *object, const char **ret, bool *ret_merge)
{
	const char *text = (const char *)event->data.scalar.value, *tag;
	size_t length = event->data.scalar.length;
	bool plain;
	int r;

	if (event->type == YAML_ALIAS_EVENT)
		return fail(reader, ERR_INVALID, event->start_mark, "an alias cannot be a key");
	if (event->type != YAML_SCALAR_EVENT)
		return fail(reader, ERR_INVALID, event->start_mark, "a list or a mapping cannot be a key; a value like {{x}} needs quotes");
	if (event->data.scalar.anchor)
		return fail(reader, ERR_INVALID, event->start_mark, "a key cannot have an anchor");
	r = core_tag(reader, event->data.scalar.tag, event->start_mark, &tag);
	if (r < 0)
		return r;
	if (tag && strcmp(tag, "str") != 0)
		return fail(reader, ERR_INVALID, event->start_mark, "a key is always a string; leave its tag '!!%s' out", tag);
	plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !tag;
	if (length == 0 && plain)
		return fail(reader, ERR_INVALID, event->start_mark, "a key is missing before the ':'");
	if (length > DOC_KEY_MAX)
		return fail(reader, ERR_TOO_LARGE, event->start_mark, "a key of more than %d bytes", DOC_KEY_MAX);
	if (memchr(text, 0, length))
		return fail(reader, ERR_INVALID, event->start_mark, "a key cannot contain a 0 byte");
	*ret_merge = plain && strcmp(text, "<<") == 0;
	if (!*ret_merge && json_object_get(object, text))
		return fail(reader, ERR_INVALID, event->start_mark, "the key '%.60s' stands here a second time", text);
	*ret = text;
	return 0;
}

/* Adds the members of one merged mapping that are not there yet. */
static int merge_one(struct yaml_reader *reader, struct node *into, const json_t *from, uint64_t from_hash, yaml_mark_t mark)
{
	if (!json_is_object(from))
		return fail(reader, ERR_INVALID, mark, "'<<' merges mappings: write <<: *name or <<: [*one, *two]");
	for (void *it = json_object_iter((json_t *)from); it; it = json_object_iter_next((json_t *)from, it)) {
		const char *key = json_object_iter_key(it);
		uint64_t child = child_key(reader, into->hash, key);

		if (json_object_get(into->value, key))
			continue;
		set_place(reader, child, mark, NULL);
		if (reader->places && places_any_written(reader->places))
			copy_written(reader, json_object_iter_value(it), child_key(reader, from_hash, key), child, mark);
		assert_always(json_object_set(into->value, key, json_object_iter_value(it)) == 0);
	}
	return 0;
}

/* Own members win over merged ones, and earlier mappings over later ones: hence at the end. */
static int merge_all(struct yaml_reader *reader, struct node *into, const struct node *merge)
{
	int r;

	if (!merge->value)
		return 0;
	if (!json_is_array(merge->value))
		return merge_one(reader, into, merge->value, merge->hash, merge->mark);
	for (size_t i = 0; i < json_array_size(merge->value); i++) {
		r = merge_one(reader, into, json_array_get(merge->value, i), child_index(reader, merge->hash, i), merge->mark);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One member; `end` is set at the end of the mapping. */
static int read_member(struct yaml_reader *reader, unsigned depth, struct node *node, struct node *merge, bool *end)
{
	_cleanup_event_ yaml_event_t key_event = { 0 };
	_cleanup_event_ yaml_event_t event = { 0 };
	_cleanup_node_ struct node child = { 0 };
	const char *key = NULL;
	bool is_merge = false;
	int r;

	r = next_event(reader, &key_event);
	if (r < 0)
		return r;
	*end = key_event.type == YAML_MAPPING_END_EVENT;
	if (*end)
		return 0;
	r = read_key(reader, &key_event, node->value, &key, &is_merge);
	if (r < 0)
		return r;
	if (is_merge && merge->value)
		return fail(reader, ERR_INVALID, key_event.start_mark, "the key '<<' stands here a second time; write <<: [*one, *two]");
	r = next_event(reader, &event);
	if (r < 0)
		return r;
	child.hash = child_key(reader, node->hash, key);
	child.mark = key_event.start_mark;
	r = read_node(reader, &event, depth, &child);
	if (r < 0)
		return r;
	add_child(node, &child, key_event.data.scalar.length);
	if (is_merge) {
		*merge = child;
		child.value = NULL;
	} else {
		assert_always(json_object_set_new(node->value, key, take_pointer(child.value)) == 0);
	}
	return 0;
}

static int read_mapping(struct yaml_reader *reader, const yaml_event_t *start, unsigned depth, struct node *node)
{
	_cleanup_node_ struct node merge = { 0 };
	bool end = false;
	size_t anchor;
	int r;

	r = check_tag_is(reader, start->data.mapping_start.tag, start->start_mark, "map");
	if (r < 0)
		return r;
	r = open_anchor(reader, start->data.mapping_start.anchor, node, &anchor);
	if (r < 0)
		return r;
	node->value = json_object();
	node->weight = 1;
	node->height = 1;
	while (!end) {
		r = read_member(reader, depth, node, &merge, &end);
		if (r < 0)
			return r;
	}
	r = merge_all(reader, node, &merge);
	if (r < 0)
		return r;
	close_anchor(reader, anchor, node);
	return 0;
}

/* The value that begins with `event`, inside `depth` containers. The caller has set node->hash and node->mark. */
static int read_node(struct yaml_reader *reader, yaml_event_t *event, unsigned depth, struct node *node)
{
	if (++reader->nodes > DOC_NODES_MAX)
		return fail(reader, ERR_TOO_LARGE, event->start_mark, "more than %u values", DOC_NODES_MAX);
	set_place(reader, node->hash, node->mark, NULL);
	if (event->type == YAML_ALIAS_EVENT)
		return read_alias(reader, event, depth, node);
	if (event->type == YAML_SCALAR_EVENT)
		return read_scalar(reader, event, node);
	if (depth >= DOC_DEPTH_MAX)
		return fail(reader, ERR_TOO_LARGE, event->start_mark, "nested more than %d levels deep", DOC_DEPTH_MAX);
	if (event->type == YAML_SEQUENCE_START_EVENT)
		return read_sequence(reader, event, depth + 1, node);
	assert_always(event->type == YAML_MAPPING_START_EVENT);
	return read_mapping(reader, event, depth + 1, node);
}

/* Reads one event and wants nothing of it but its type. */
static int skip_event(struct yaml_reader *reader, yaml_event_type_t *ret, yaml_mark_t *ret_mark)
{
	_cleanup_event_ yaml_event_t event = { 0 };
	int r;

	r = next_event(reader, &event);
	if (r < 0)
		return r;
	*ret = event.type;
	*ret_mark = event.start_mark;
	return 0;
}

static int read_document(struct yaml_reader *reader, struct node *root)
{
	_cleanup_event_ yaml_event_t event = { 0 };
	yaml_event_type_t type;
	yaml_mark_t mark;
	int r;

	r = skip_event(reader, &type, &mark); /* start of the stream */
	if (r < 0)
		return r;
	r = skip_event(reader, &type, &mark);
	if (r < 0)
		return r;
	if (type == YAML_STREAM_END_EVENT)
		return fail(reader, ERR_INVALID, (yaml_mark_t){ 0 }, "empty: there is no document in it");
	r = next_event(reader, &event);
	if (r < 0)
		return r;
	if (event.type == YAML_SCALAR_EVENT && event.data.scalar.length == 0 && event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return fail(reader, ERR_INVALID, event.start_mark, "empty: there is no document in it");
	root->mark = event.start_mark;
	root->hash = reader->places ? places_root(reader->places) : 0;
	r = read_node(reader, &event, 0, root);
	if (r < 0)
		return r;
	r = skip_event(reader, &type, &mark); /* end of the document */
	if (r < 0)
		return r;
	r = skip_event(reader, &type, &mark);
	if (r < 0)
		return r;
	if (type != YAML_STREAM_END_EVENT)
		return fail(reader, ERR_INVALID, mark, "a second document begins here; one file holds one document");
	return 0;
}

int read_yaml(const char *name, const char *text, size_t size, struct places *places, json_t **ret, struct err *err)
{
	struct yaml_reader reader = { .name = name, .text = text, .size = size, .places = places, .err = err };
	_cleanup_node_ struct node root = { 0 };
	int r;

	assert_always(yaml_parser_initialize(&reader.parser));
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
	reader.anchors = json_object();
	r = read_document(&reader, &root);
	if (r >= 0)
		*ret = take_pointer(root.value);
	yaml_parser_delete(&reader.parser);
	for (size_t i = 0; i < reader.list_count; i++)
		json_decref(reader.list[i].value);
	talloc_free(reader.list);
	json_decref(reader.anchors);
	return r < 0 ? r : 0;
}
