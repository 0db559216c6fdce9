/* JSON: what is accepted has a canonical form that is accepted again and stays as it is; what is refused has a place. */
#include "data/doc.h"
#include "data/json.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	struct doc *doc;
	json_t *again;
	char *canonical, *pretty;

	if (doc_parse_json(ctx, "f", (const char *)bytes, size, &doc, &err) < 0) {
		assert_always(err.line > 0 && err.column > 0 && *err.text);
		return 0;
	}
	canonical = json_canonical(ctx, doc_root(doc));
	assert_always(json_parse(ctx, canonical, strlen(canonical), DOC_SIZE_MAX, &again, &err) == 0);
	assert_always(strcmp(json_canonical(ctx, again), canonical) == 0);
	pretty = json_pretty(ctx, doc_root(doc));
	assert_always(json_parse(ctx, pretty, strlen(pretty), DOC_SIZE_MAX, &again, &err) == 0);
	assert_always(strcmp(json_canonical(ctx, again), canonical) == 0);
	return 0;
}
