/* Versions: any text. The order is antisymmetric, reflexive, and build metadata plays no part in it; what is parsed keeps its text. */
#include "core/version.h"
#include "data/json.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

static void check_order(const struct version *a, const struct version *b)
{
	int forward = 0, backward = 0;
	bool one = version_compare(a, b, &forward), other = version_compare(b, a, &backward);

	assert_always(one == other);
	assert_always(!one || forward == -backward);
	assert_always(!one || (forward >= -1 && forward <= 1));
}

/* Two versions, apart by a line end. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text = mem_strndup(ctx, (const char *)bytes, size), *second = strchr(text, '\n');
	struct err err = ERR_INIT;
	struct version a, b;
	int same = 1;

	if (second)
		*second++ = '\0';
	if (version_parse(ctx, text, &a, &err) < 0) {
		assert_always(*err.text);
		return 0;
	}
	assert_always(strcmp(a.text, text) == 0);
	if (version_compare(&a, &a, &same))
		assert_always(same == 0);
	if (second && version_parse(ctx, second, &b, &err) == 0)
		check_order(&a, &b);
	return 0;
}
