/* Listings of a bucket (net/s3.h). Whatever a store answers: no fault; keys are of letters that need no escaping and can lead nowhere by themselves; a list that goes on says where. */
#include <string.h>

#include "base/path.h"
#include "fuzz.h"
#include "net/s3.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *xml = mem_array(ctx, char, size + 1); /* not a byte behind it may be looked at */
	const char **keys = NULL, *token = NULL;
	struct err err = ERR_INIT;

	if (size)
		memcpy(xml, bytes, size);
	if (s3_read_list(ctx, xml, size, &keys, &token, &err) < 0) {
		assert_always(*err.text && (err.code == ERR_INVALID || err.code == ERR_TOO_LARGE) && !keys && !token);
		return 0;
	}
	for (; *keys; keys++) {
		assert_always(fs_is_inside(*keys) && strlen(*keys) <= 1024);
		for (const char *at = *keys; *at; at++)
			assert_always((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
				strchr("._-/", *at));
	}
	assert_always(token);
	return 0;
}
