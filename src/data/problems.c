/* Problems: a list with a limit. The rest is only counted, so that a file full of mistakes costs no more than a file with a hundred.
 * Threads: none; the caller owns the list. */
#include "data/problems.h"

#include "base/text.h"
#include "data/json.h"

#define PATH_SHOWN 200

struct problems *problems_new(const void *ctx, const struct doc *doc)
{
	struct problems *problems = mem_zero(ctx, struct problems);

	problems->doc = doc;
	return problems;
}

void problems_add(struct problems *problems, enum err_code code, const char *path, const char *format, ...)
{
	_cleanup_talloc_ char *text = NULL;
	struct problem *problem;
	va_list arguments;

	if (problems->count >= PROBLEMS_MAX) {
		problems->more++;
		return;
	}
	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	if (!problems->list)
		problems->list = mem_array(problems, struct problem, PROBLEMS_MAX);
	problem = &problems->list[problems->count++];
	*problem = (struct problem){ .code = code };
	problem->path = mem_strdup(problems->list, path);
	problem->text = text_printable(problems->list, text, strlen(text), false);
	if (problems->doc)
		(void)doc_place(problems->doc, path, &problem->line, &problem->column);
}

/* "name:line:column", "name" or nothing. */
static char *place_text(const void *ctx, const struct problems *problems, const struct problem *problem)
{
	const char *name = problems->doc ? doc_name(problems->doc) : NULL;

	if (problem->line > 0)
		return mem_printf(ctx, "%s:%u:%u: ", name ? name : "", problem->line, problem->column);
	return name ? mem_printf(ctx, "%s: ", name) : mem_strdup(ctx, "");
}

/* "path: ", shortened, safe for a terminal; nothing for the root. */
static char *path_text(const void *ctx, const struct problem *problem)
{
	_cleanup_talloc_ char *shown = NULL;
	size_t length = strlen(problem->path);

	if (length == 0)
		return mem_strdup(ctx, "");
	shown = text_printable(NULL, problem->path, MIN(length, (size_t)PATH_SHOWN), false);
	return mem_printf(ctx, "%s%s: ", shown, length > PATH_SHOWN ? "..." : "");
}

int problems_result(const struct problems *problems, struct err *err)
{
	_cleanup_talloc_ void *ctx = NULL;
	const struct problem *first;
	size_t others;
	const char *more = "";
	int r;

	if (problems->count == 0)
		return 0;
	ctx = mem_context(NULL);
	first = &problems->list[0];
	others = problems->count - 1 + problems->more;
	if (others > 0)
		more = mem_printf(ctx, " (and %zu more problem%s)", others, others == 1 ? "" : "s");
	r = err_set(err, first->code, "%s%s%s%s", place_text(ctx, problems, first), first->line > 0 ? "" : path_text(ctx, first),
		first->text, more);
	err->line = first->line;
	err->column = first->column;
	return r;
}

char *problems_text(const void *ctx, const struct problems *problems)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	char *text = mem_strdup(ctx, "");

	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *problem = &problems->list[i];

		text = mem_appendf(text, "%s%s%s\n", place_text(scratch, problems, problem), path_text(scratch, problem), problem->text);
	}
	if (problems->more > 0)
		text = mem_appendf(text, "and %zu more\n", problems->more);
	return text;
}

json_t *problems_json(const struct problems *problems)
{
	json_t *list = json_array();

	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *problem = &problems->list[i];
		json_t *item = json_object();

		json_put_str(item, "code", err_info(problem->code)->name);
		json_put_str(item, "path", problem->path);
		json_put_int(item, "line", problem->line);
		json_put_int(item, "column", problem->column);
		json_put_str(item, "message", problem->text);
		assert_always(json_array_append_new(list, item) == 0);
	}
	return list;
}

/* "steps[3].timeout" as a JSON pointer in a fragment (RFC 6901). */
static char *pointer_text(const void *ctx, const char *path)
{
	char *pointer = mem_strdup(ctx, *path && *path != '[' ? "#/" : "#"), one[2] = { 0 };

	for (; *path; path++) {
		one[0] = *path == '.' || *path == '[' ? '/' : *path;
		if (*path == ']')
			continue;
		pointer = mem_append(pointer, *path == '~' ? "~0" : *path == '/' ? "~1" : one);
	}
	return pointer;
}

json_t *problems_errors(const struct problems *problems)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *list = json_array();

	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *problem = &problems->list[i];
		json_t *item = json_object();

		json_put_str(item, "detail", problem->text);
		json_put_str(item, "pointer", pointer_text(tmp, problem->path));
		if (problem->line) {
			json_put_int(item, "line", problem->line);
			json_put_int(item, "column", problem->column);
		}
		json_array_append_new(list, item);
	}
	return list;
}
