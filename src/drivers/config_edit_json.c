/* JSON files: the bytes of one value are found by walking over the text, which the strict reader has already accepted, so the walk
 * checks nothing. New members come after the last one, with the
 * line breaks, indentation and blanks of their neighbours. Pure; any thread. */
#include "data/json.h"
#include "drivers/config_edit.h"

struct member {
	size_t start; /* of the key, or of the value in a list */
	size_t value_start, value_end;
};

/* What was seen of one object or list. */
struct container {
	size_t open, close; /* its brackets */
	size_t count;
	struct member first, last;
	bool found;
	struct member member;            /* the one that was looked for */
	size_t previous_end, next_start; /* of its neighbours; 0: it has none */
};

static size_t blanks(const char *text, size_t at)
{
	return at + strspn(text + at, " \t\r\n");
}

static size_t string_end(const char *text, size_t at)
{
	for (at++; text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at + 1;
}

static size_t value_end(const char *text, size_t at)
{
	size_t depth = 0;

	if (text[at] == '"')
		return string_end(text, at);
	if (text[at] != '{' && text[at] != '[')
		return at + strcspn(text + at, ",]} \t\r\n");
	do {
		if (text[at] == '"') {
			at = string_end(text, at);
			continue;
		}
		depth += text[at] == '{' || text[at] == '[';
		depth -= text[at] == '}' || text[at] == ']';
		at++;
	} while (depth > 0);
	return at;
}

/* Keys may be written with escapes. */
static bool key_is(const char *text, size_t start, const char *key)
{
	json_t *written = json_loadb(text + start, string_end(text, start) - start, JSON_DECODE_ANY, NULL);
	bool same = json_is_string(written) && strcmp(json_string_value(written), key) == 0;

	json_decref(written);
	return same;
}

static void scan(const char *text, size_t open, const struct config_part *part, struct container *ret)
{
	bool object = text[open] == '{';
	size_t at = blanks(text, open + 1);

	*ret = (struct container){ .open = open };
	while (text[at] != '}' && text[at] != ']') {
		struct member member = { .start = at, .value_start = at };
		bool wanted = object ? part->key && key_is(text, at, part->key) : !part->key && part->index == ret->count;

		if (object)
			member.value_start = blanks(text, blanks(text, string_end(text, at)) + 1);
		member.value_end = value_end(text, member.value_start);
		if (ret->found && ret->next_start == 0)
			ret->next_start = member.start;
		if (wanted) {
			ret->found = true;
			ret->member = member;
			ret->previous_end = ret->last.value_end;
		}
		if (ret->count++ == 0)
			ret->first = member;
		ret->last = member;
		at = blanks(text, member.value_end);
		if (text[at] == ',')
			at = blanks(text, at + 1);
	}
	ret->close = at;
}

/* The blanks at the start of the line in which `at` stands. */
static char *indentation(const void *ctx, const char *text, size_t at)
{
	size_t start = config_line_start(text, at);

	return mem_strndup(ctx, text + start, strspn(text + start, " \t"));
}

/* One step of indentation, from the first indented line of the file; two blanks when there is none. */
static char *indent_unit(const void *ctx, const char *text)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		size_t length;

		line += *line == '\n';
		length = strspn(line, " \t");
		if (length > 0 && line[length] && line[length] != '\r' && line[length] != '\n')
			return mem_strndup(ctx, line, length);
		if (!*line)
			break;
	}
	return mem_strdup(ctx, "  ");
}

/* The value as text. With `indent` (the blanks of its line) objects and lists go over several lines; without, everything stands in one.
 * */
static char *render(const void *ctx, const char *text, json_t *value, const char *indent)
{
	char *pretty, *out, *line, *rest;

	if (!indent || (!json_object_size(value) && !json_array_size(value)))
		return json_canonical(ctx, value);
	pretty = json_pretty(ctx, value);
	out = mem_strdup(ctx, "");
	rest = pretty;
	while ((line = strsep(&rest, "\n"))) {
		size_t blank = strspn(line, " ");

		if (!*line)
			continue;
		if (*out)
			out = mem_appendf(out, "%s%s", strstr(text, "\r\n") ? "\r\n" : "\n", indent);
		for (size_t i = 0; i < blank / 2; i++)
			out = mem_append(out, indent_unit(ctx, text));
		out = mem_append(out, line + blank);
	}
	return out;
}

static bool has_line_break(const char *text, size_t start, size_t end)
{
	return memchr(text + start, '\n', end - start) != NULL;
}

static char *key_text(const void *ctx, const char *key)
{
	json_t *string = json_string(key);
	char *text = json_canonical(ctx, string);

	json_decref(string);
	return text;
}

static char *insert(const void *ctx, const char *text, const struct container *in, const char *key, json_t *value)
{
	const char *line_break = strstr(text, "\r\n") ? "\r\n" : "\n";
	char *indent, *inner, *name = key_text(ctx, key);
	size_t colon;

	if (in->count == 0 && !has_line_break(text, 0, strlen(text)))
		return config_splice(ctx, text, in->open + 1, in->close, mem_printf(ctx, "%s:%s", name, render(ctx, text, value, NULL)));
	if (in->count == 0) {
		indent = indentation(ctx, text, in->open);
		inner = mem_printf(ctx, "%s%s", indent, indent_unit(ctx, text));
		return config_splice(ctx, text, in->open + 1, in->close,
			mem_printf(ctx, "%s%s%s: %s%s%s", line_break, inner, name, render(ctx, text, value, inner), line_break, indent));
	}
	/* Between key and value stands what stands there in the last member; before the key what stands before the first one. */
	colon = string_end(text, in->last.start);
	inner = mem_strndup(ctx, text + in->open + 1, in->first.start - in->open - 1);
	indent = has_line_break(text, in->open, in->first.start) ? indentation(ctx, text, in->first.start) : NULL;
	if (in->count > 1 && !indent) { /* "{ "a": 1, "b": 2 }": between members, not after the bracket */
		size_t comma = in->last.start;

		while (text[comma - 1] != ',')
			comma--;
		inner = mem_strndup(ctx, text + comma, in->last.start - comma);
	} else if (!indent && memchr(text + colon, ' ', in->last.value_start - colon)) {
		inner = mem_strdup(ctx, " ");
	}
	return config_splice(ctx, text, in->last.value_end, in->last.value_end,
		mem_printf(ctx, ",%s%s%.*s%s", inner, name, (int)(in->last.value_start - colon), text + colon,
			render(ctx, text, value, indent)));
}

static char *take_out(const void *ctx, const char *text, const struct container *in)
{
	if (in->next_start)
		return config_splice(ctx, text, in->member.start, in->next_start, "");
	if (in->previous_end)
		return config_splice(ctx, text, in->previous_end, in->member.value_end, "");
	return config_splice(ctx, text, in->open + 1, in->close, "");
}

int config_json_edit(const void *ctx, const char *text, const struct config_path *path, json_t *value, char **ret, struct err *err)
{
	size_t at = blanks(text, strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0), i;
	struct container in = { 0 };
	json_t *nested;

	for (i = 0; i < path->count; i++) {
		if (text[at] != '{' && text[at] != '[')
			return err_set(err, ERR_INVALID, "what stands above it is neither an object nor a list");
		scan(text, at, &path->parts[i], &in);
		if (!in.found)
			break;
		at = in.member.value_start;
	}
	if (i == path->count && !value) {
		*ret = take_out(ctx, text, &in);
	} else if (i == path->count) {
		char *indent = has_line_break(text, in.open, in.close) ? indentation(ctx, text, in.member.start) : NULL;

		*ret = config_splice(ctx, text, in.member.value_start, in.member.value_end, render(ctx, text, value, indent));
	} else if (!value) {
		return err_set(err, ERR_INVALID, "it is not there");
	} else {
		nested = text[in.open] == '{' && path->parts[i].key ? config_nest(path, i + 1, value) : NULL;
		if (!nested)
			return err_set(err, ERR_INVALID, "a list has no such place");
		*ret = insert(ctx, text, &in, path->parts[i].key, nested);
		json_decref(nested);
	}
	return 0;
}
