/* YAML: what is accepted is a tree that JSON can say, with a place for each value and a path that leads back to it. */
#include "data/doc.h"
#include "data/json.h"
#include "fuzz.h"

#define VALUES_WALKED 2000 /* a path costs its length; aliases make many values out of few bytes */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

static void walk(const struct doc *doc, json_t *value, const char *path, size_t *count)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	unsigned line, column;

	if (++*count > VALUES_WALKED)
		return;
	assert_always(doc_get(doc, path) == value);
	assert_always(doc_place(doc, path, &line, &column) && line > 0 && column > 0);
	for (size_t i = 0; i < json_array_size(value) && *count < VALUES_WALKED; i++)
		walk(doc, json_array_get(value, i), doc_path_index(ctx, path, i), count);
	for (void *it = json_object_iter(value); it && *count < VALUES_WALKED; it = json_object_iter_next(value, it))
		walk(doc, json_object_iter_value(it), doc_path(ctx, path, json_object_iter_key(it)), count);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	struct doc *doc;
	json_t *again;
	size_t count = 0;
	char *canonical;

	if (doc_parse_yaml(ctx, "f", (const char *)bytes, size, &doc, &err) < 0) {
		assert_always(err.line > 0 && err.column > 0 && *err.text);
		return 0;
	}
	canonical = json_canonical(ctx, doc_root(doc));
	assert_always(json_parse(ctx, canonical, strlen(canonical), DOC_SIZE_MAX, &again, &err) == 0);
	assert_always(strcmp(json_canonical(ctx, again), canonical) == 0);
	walk(doc, doc_root(doc), "", &count);
	return 0;
}
