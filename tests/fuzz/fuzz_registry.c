/* The registry file: what is accepted is accepted again as it is written; what is refused says why, and is damaged or too large. */
#include "data/json.h"
#include "fuzz.h"
#include "store/store.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	json_t *root, *again;
	char *text;

	if (registry_read(ctx, (const char *)bytes, size, &root, &err) < 0) {
		assert_always(*err.text && (err.code == ERR_CORRUPT || err.code == ERR_TOO_LARGE));
		return 0;
	}
	text = json_pretty(ctx, root);
	assert_always(registry_read(ctx, text, strlen(text), &again, &err) == 0);
	assert_always(json_equal(root, again));
	return 0;
}
