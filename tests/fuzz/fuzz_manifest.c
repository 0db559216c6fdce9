/* Manifests and the heads of sealed objects: what is accepted is written back as the same bytes and leads nowhere; what is refused says why. */
#include "data/json.h"
#include "fuzz.h"
#include "snapshot/manifest.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

static void read_header(const uint8_t *bytes, size_t size)
{
	struct object_header header;
	struct err err = ERR_INIT;

	if (object_parse_header(bytes, size, &header, &err) < 0) {
		assert_always(*err.text && (err.code == ERR_CORRUPT || err.code == ERR_NEWER));
		return;
	}
	assert_always(size >= OBJECT_HEADER_SIZE && memcmp(header.bytes, bytes, OBJECT_HEADER_SIZE) == 0);
	assert_always(header.kind == OBJECT_CONTENT || header.kind == OBJECT_MANIFEST);
}

static void read_manifest(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text = mem_array(ctx, char, size + 1), *again;
	struct manifest *manifest;
	struct err err = ERR_INIT;
	size_t length;

	if (size)
		memcpy(text, bytes, size);
	if (manifest_parse(ctx, text, size, &manifest, &err) < 0) {
		assert_always(*err.text && (err.code == ERR_CORRUPT || err.code == ERR_NEWER || err.code == ERR_TOO_LARGE));
		return;
	}
	for (size_t i = 0; i < manifest->count; i++) {
		size_t first;

		assert_always(manifest_is_path(manifest->items[i].path) && manifest->items[i].path[0] != '/');
		assert_always(manifest_below(manifest, manifest->items[i].path, &first) >= 1 && first == i);
	}
	again = manifest_write(ctx, manifest, &length);
	assert_always(length == size && memcmp(again, bytes, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	read_header(bytes, size);
	read_manifest(bytes, size);
	return 0;
}
