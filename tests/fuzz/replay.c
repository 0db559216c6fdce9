/* Runs every file of a corpus through a target, without a fuzzer: the test that what once broke stays mended.
 * Fails when there is no file, so that a misspelt folder does not pass. */
#include "base/fs.h"
#include "fuzz.h"

#define INPUT_MAX (32u << 20)

int main(int argc, char **argv)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	char **names = NULL;
	size_t count = 0;

	if (argc != 2 || fs_list(ctx, argv[1], &names, &err) < 0) {
		(void)fprintf(stderr, "usage: replay_TARGET CORPUS: %s\n", err.text);
		return 2;
	}
	LLVMFuzzerInitialize(&argc, &argv);
	for (; names[count]; count++) {
		_cleanup_talloc_ char *path = fs_join(NULL, argv[1], names[count]);
		_cleanup_talloc_ char *bytes = NULL;
		_cleanup_free_ uint8_t *exact = NULL;
		size_t size;

		if (fs_read(NULL, path, INPUT_MAX, &bytes, &size, &err) < 0) {
			(void)fprintf(stderr, "%s\n", err.text);
			return 2;
		}
		(void)fprintf(stderr, "%s\n", names[count]); /* the last one named is the one that broke it */
		/* exactly as large as the input, so that reading beyond it is seen by the address sanitizer */
		exact = mem_check(malloc(size > 0 ? size : 1));
		memcpy(exact, bytes, size);
		(void)LLVMFuzzerTestOneInput(exact, size);
	}
	return count > 0 ? 0 : 2;
}
