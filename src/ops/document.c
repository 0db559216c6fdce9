/* Documents by path or by content. See document.h. Threads: any. */
#include "ops/document.h"

#include <string.h>

#include "base/fs.h"
#include "base/text.h"

/* The same choice by name as of a file on disk (data/doc.h). */
static int parse(const void *ctx, const char *name, const char *text, size_t size, struct doc **ret, struct err *err)
{
	return text_ends_with(name, ".json") ? doc_parse_json(ctx, name, text, size, ret, err)
					     : doc_parse_yaml(ctx, name, text, size, ret, err);
}

int document_read(const void *ctx, const char *path, json_t *content, const char *what, struct doc **ret, struct err *err)
{
	const char *file = json_str(content, "file", NULL);
	json_t *text = json_object_get(content, "text");

	if (!path == !content)
		return err_set(err, ERR_USAGE, "give either the file with the %s or the %s itself", what, what);
	if (path)
		return doc_load(ctx, path, ret, err);
	if (file && json_is_string(text) && json_object_size(content) == 2)
		return parse(ctx, file, json_string_value(text), json_string_length(text), ret, err);
	if (!json_is_object(content))
		return err_set(err, ERR_INVALID, "%s: expected an object", what);
	*ret = doc_wrap(ctx, what, content);
	return 0;
}

int document_pack(const void *ctx, const char *path, json_t **ret, struct err *err)
{
	struct doc *doc;
	char *text;
	size_t size;
	int r;

	r = fs_read(ctx, path, DOC_SIZE_MAX, &text, &size, err);
	if (r == 0)
		r = parse(ctx, path, text, size, &doc, err);
	if (r < 0)
		return r;
	*ret = json_make(ctx, "{s:s, s:o}", "file", path, "text", json_stringn(text, size));
	return 0;
}
