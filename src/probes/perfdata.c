/* Output of monitoring plugins (perfdata.h). A line is cut at its first '|'. From the '|' of the long output on, all further lines are
 * performance data. Pure; any thread. */
#include "probes/perfdata.h"

#include <ctype.h>

#include "base/text.h"
#include "data/json.h"

/* Reads a label; quoted ones may hold blanks and '=', and '' for a quote. NULL when it is malformed. Moves *at behind the '='. */
static char *read_label(const void *ctx, const char **at)
{
	const char *p = *at;
	char *label = mem_strdup(ctx, "");

	if (*p == '\'') {
		for (p++; *p; p++) {
			if (*p == '\'' && p[1] != '\'')
				break;
			if (*p == '\'')
				p++;
			label = mem_appendf(label, "%c", *p);
		}
		if (*p++ != '\'')
			return NULL;
	} else {
		size_t length = strcspn(p, "= \t'");

		label = mem_strndup(ctx, p, length);
		p += length;
	}
	if (*p != '=' || !*label)
		return NULL;
	*at = p + 1;
	return label;
}

/* The number at the start of a text, as the guidelines write it (and with an exponent, which some plugins print). Length, or 0. */
static size_t number_length(const char *text)
{
	const char *p = text;
	size_t digits = 0;

	if (*p == '-' || *p == '+')
		p++;
	for (; isdigit((unsigned char)*p) || *p == '.'; p++)
		digits += *p != '.';
	if (digits == 0)
		return 0;
	if (*p == 'e' || *p == 'E') {
		const char *e = p + 1;

		if (*e == '-' || *e == '+')
			e++;
		if (isdigit((unsigned char)*e)) {
			while (isdigit((unsigned char)*e))
				e++;
			p = e;
		}
	}
	return (size_t)(p - text);
}

/* A whole number stays one. */
static json_t *number(const char *text, size_t length)
{
	_cleanup_talloc_ char *copy = mem_strndup(NULL, text, length);
	struct err ignored = ERR_INIT;
	int64_t whole;
	double real;
	char *end;

	if (text_parse_int(copy, INT64_MIN, INT64_MAX, &whole, &ignored) == 0)
		return json_integer(whole);
	real = strtod(copy, &end);
	return *end ? NULL : json_real(real); /* NULL too for what JSON cannot hold */
}

/* min and max are numbers; a text that is none is left out. */
static void put_number(json_t *item, const char *key, const char *text)
{
	size_t length = number_length(text);
	json_t *value = length > 0 && !text[length] ? number(text, length) : NULL;

	if (value)
		(void)json_object_set_new(item, key, value);
}

static bool read_item(const char *label, char *value, json_t *items)
{
	char *rest = value, *part;
	json_t *item, *first = NULL;
	size_t length;

	part = strsep(&rest, ";");
	length = number_length(part);
	if (length > 0)
		first = number(part, length);
	else if (!strcmp(part, "U"))
		first = json_null();
	if (!first)
		return false;
	item = json_object();
	json_put_str(item, "label", label);
	(void)json_object_set_new(item, "value", first);
	if (length > 0 && part[length])
		json_put_str(item, "unit", part + length);
	for (size_t i = 0; rest && i < 4; i++) {
		static const char *const keys[] = { "warn", "crit", "min", "max" };

		part = strsep(&rest, ";");
		if (*part && i < 2) /* ranges such as "10:20", "@5", "~:3": kept as text */
			json_put_str(item, keys[i], part);
		else if (*part)
			put_number(item, keys[i], part);
	}
	(void)json_array_append_new(items, item);
	return true;
}

static void read_perfdata(const char *text, struct plugin_output *ret)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *at = text;

	/* Some plugins put a comma between items: it belongs to none. */
	while (json_array_size(ret->perfdata) < PERFDATA_ITEMS_MAX) {
		size_t length;
		char *label;

		at += strspn(at, " \t\n");
		if (!*at)
			return;
		label = read_label(ctx, &at);
		length = strcspn(at, " \t\n");
		if (!label || !read_item(label, mem_strndup(ctx, at, length - (length > 0 && at[length - 1] == ',')), ret->perfdata))
			ret->malformed++;
		at += length;
	}
}

void plugin_output_read(const void *ctx, const char *text, size_t size, struct plugin_output *ret)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *rest = text_printable(work, text, size, true), *line;
	char *perfdata = mem_strdup(work, ""), *long_text = mem_strdup(work, "");
	bool first = true, in_perfdata = false;

	*ret = (struct plugin_output){ .message = "", .perfdata = json_keep(ctx, json_array()) };
	while ((line = strsep(&rest, "\n"))) {
		char *bar = in_perfdata ? NULL : strchr(line, '|');

		if (in_perfdata) {
			perfdata = mem_appendf(perfdata, "%s\n", line);
			continue;
		}
		if (bar) {
			*bar = 0;
			perfdata = mem_appendf(perfdata, "%s\n", bar + 1);
			in_perfdata = !first;
		}
		for (size_t length = strlen(line); length > 0 && isspace((unsigned char)line[length - 1]); length--)
			line[length - 1] = 0;
		if (first)
			ret->message = mem_strdup(ctx, line);
		else if (*line || *long_text)
			long_text = mem_appendf(long_text, "%s%s", *long_text ? "\n" : "", line);
		first = false;
	}
	while (*long_text && long_text[strlen(long_text) - 1] == '\n')
		long_text[strlen(long_text) - 1] = 0;
	if (*long_text)
		ret->long_text = mem_strdup(ctx, long_text);
	read_perfdata(perfdata, ret);
}
