/* Templates: visiting and expanding agree on what is well formed; text without ${ stays as it is; what comes in is not read again. */
#include "base/text.h"
#include "data/json.h"
#include "data/template.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

static json_t *always(void *user, const char *name)
{
	return user;
}

static int count_name(void *user, const char *path, const char *name)
{
	assert_always(*name != 0 && *path == 0);
	(*(size_t *)user)++;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	json_t *value, *filling, *ret = NULL;
	size_t count = 0;
	int visited, expanded;

	if (size > 65536 || memchr(bytes, 0, size) || !text_is_utf8((const char *)bytes, size))
		return 0;
	value = json_keep(ctx, json_stringn((const char *)bytes, size));
	filling = json_keep(ctx, json_string("${again}"));
	visited = template_names(value, count_name, &count, &err);
	expanded = template_expand(ctx, value, always, filling, NULL, &ret, &err);
	assert_always(visited == expanded || expanded == -ERR_TOO_LARGE);
	if (expanded < 0)
		return 0;
	assert_always(json_is_string(ret));
	if (!template_has(json_string_value(value)))
		assert_always(json_equal(value, ret));
	/* every name has at least one letter, and its place is taken by eight bytes */
	assert_always(count == 0 || template_has(json_string_value(ret)));
	return 0;
}
