/* Env files: NAME=value lines, as Docker Compose, dotenv libraries and shells read them. One reader serves the values and their places.
 *
 *     # comment           blank lines and lines without a '=' are left alone
 *     export NAME=value   "export" is optional
 *     NAME=value # note   a comment needs a blank before the '#'
 *     NAME='as it is'     may go over several lines
 *     NAME="with \n"      \n \r \t \" \\ \$; may go over several lines
 * A name that stands twice has the value of its last line. Pure; any thread. */
#include <ctype.h>

#include "data/json.h"
#include "drivers/config_edit.h"

struct env_item {
	char *key, *value;
	size_t start, end;             /* of the whole, from the line's start to behind its line break */
	size_t value_start, value_end; /* with quotes */
	char quote;                    /* ' or ", or 0 */
	bool exported;
};

static size_t blanks(const char *text, size_t at)
{
	return at + strspn(text + at, " \t");
}

/* The inside of "..." with its escapes undone. */
static char *unescape(const void *ctx, const char *text, size_t length)
{
	char *value = mem_array(ctx, char, length + 1), *to = value;

	for (size_t i = 0; i < length; i++) {
		static const char from[] = "nrt\"\\$", become[] = "\n\r\t\"\\$";
		const char *known = text[i] == '\\' && i + 1 < length ? strchr(from, text[i + 1]) : NULL;

		if (known)
			i++;
		*to++ = known ? become[known - from] : text[i];
	}
	*to = 0;
	return value;
}

/* Finds the closing quote; 0 when there is none. */
static size_t closing(const char *text, size_t at, char quote)
{
	for (at++; text[at] && text[at] != quote; at++)
		if (quote == '"' && text[at] == '\\' && text[at + 1])
			at++;
	return text[at] ? at : 0;
}

static void read_value(const void *ctx, const char *text, size_t at, struct env_item *item)
{
	char quote = text[at] == '\'' || text[at] == '"' ? text[at] : 0;
	size_t close = quote ? closing(text, at, quote) : 0, end, i;

	item->value_start = at;
	if (close) {
		item->quote = quote;
		item->value_end = close + 1;
		item->value = quote == '"' ? unescape(ctx, text + at + 1, close - at - 1) : mem_strndup(ctx, text + at + 1, close - at - 1);
	} else {
		end = config_line_end(text, at);
		for (i = at; i < end; i++)
			if (text[i] == '#' && i > 0 && (text[i - 1] == ' ' || text[i - 1] == '\t'))
				break;
		while (i > at && isspace((unsigned char)text[i - 1]))
			i--;
		item->value_end = i;
		item->value = mem_strndup(ctx, text + at, i - at);
	}
	end = item->value_end + strcspn(text + item->value_end, "\n");
	item->end = text[end] ? end + 1 : end;
}

/* The next item from *at on; false at the end of the text. */
static bool next_item(const void *ctx, const char *text, size_t *at, struct env_item *ret)
{
	while (text[*at]) {
		size_t start = *at, p = blanks(text, start), name, line = start + strcspn(text + start, "\n");

		*ret = (struct env_item){ .start = start };
		if (strncmp(text + p, "export", 6) == 0 && (text[p + 6] == ' ' || text[p + 6] == '\t')) {
			ret->exported = true;
			p = blanks(text, p + 6);
		}
		name = p;
		while (isalnum((unsigned char)text[p]) || text[p] == '_' || text[p] == '.' || text[p] == '-')
			p++;
		if (p > name && text[blanks(text, p)] == '=') {
			ret->key = mem_strndup(ctx, text + name, p - name);
			read_value(ctx, text, blanks(text, blanks(text, p) + 1), ret);
			*at = ret->end;
			return true;
		}
		*at = text[line] ? line + 1 : line;
	}
	return false;
}

int config_env_read(const char *text, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *root = json_object();
	struct env_item item;
	size_t at = 0;

	while (next_item(ctx, text, &at, &item)) {
		if (json_object_set_new(root, item.key, json_string(item.value)) != 0) {
			json_decref(root);
			return err_set(err, ERR_INVALID, "the value of '%s' is not UTF-8", item.key);
		}
	}
	*ret = root;
	return 0;
}

/* Characters that need no quotes anywhere: no shell, no dotenv reader gives them a meaning. */
static bool is_plain(const char *value)
{
	return value[strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+,=-")] == 0;
}

static char *render(const void *ctx, const char *value, char quote)
{
	char *text;

	if (quote == 0 && is_plain(value))
		return mem_strdup(ctx, value);
	if (quote != '"' && !strpbrk(value, "'\n\r"))
		return mem_printf(ctx, "'%s'", value);
	text = mem_strdup(ctx, "\"");
	for (; *value; value++) {
		static const char from[] = "\n\r\"\\$", become[] = "nr\"\\$";
		const char *known = strchr(from, *value);

		text = known ? mem_appendf(text, "\\%c", become[known - from]) : mem_appendf(text, "%c", *value);
	}
	return mem_append(text, "\"");
}

static char *append_line(const void *ctx, const char *text, const char *key, const char *value, bool exported)
{
	size_t size = strlen(text);
	const char *line_break = strstr(text, "\r\n") ? "\r\n" : "\n";

	return mem_printf(ctx, "%s%s%s%s=%s%s", text, size > 0 && text[size - 1] != '\n' ? line_break : "", exported ? "export " : "", key,
		render(ctx, value, 0), line_break);
}

static bool is_env_name(const char *key)
{
	if (!isalpha((unsigned char)*key) && *key != '_')
		return false;
	for (; *key; key++)
		if (!isalnum((unsigned char)*key) && !strchr("_.-", *key))
			return false;
	return true;
}

int config_env_edit(const void *ctx, const char *text, const char *key, const char *value, char **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *result = mem_strdup(work, text);
	struct env_item item, found = { 0 };
	bool exported = false;
	size_t at = 0;

	if (!is_env_name(key))
		return err_set(err, ERR_INVALID, "not the name of a variable");
	while (next_item(work, result, &at, &item)) {
		exported = item.exported;
		if (strcmp(item.key, key) != 0)
			continue;
		found = item;
		if (!value) {
			at = item.start;
			result = config_splice(work, result, item.start, item.end, "");
		}
	}
	if (value && found.key)
		result = config_splice(work, result, found.value_start, found.value_end, render(work, value, found.quote));
	else if (value)
		result = append_line(work, result, key, value, exported);
	*ret = mem_strdup(ctx, result);
	return 0;
}
