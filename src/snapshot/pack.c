/* Compression (pack.h). Level 1: on the two processors that were measured, sealing then takes as long as the disk does; higher levels cost more than they save. What is compressed already (pictures,
 * archives) is found by a sample from the middle, and stored as it is.
 * Threads: one per struct pack; the library is loaded once. */
#include "snapshot/pack.h"

#include <pthread.h>
#include <zstd.h>

#include "base/library.h"
#include "base/mem.h"

#define LEVEL       1
#define SAMPLE      (32u << 10)
#define WORTH(size) ((size) - (size) / 16) /* at least a sixteenth less */

struct pack {
	ZSTD_CCtx *shrink;
	ZSTD_DCtx *expand;
};

static struct {
	ZSTD_CCtx *(*ZSTD_createCCtx)(void);
	size_t (*ZSTD_freeCCtx)(ZSTD_CCtx *context);
	ZSTD_DCtx *(*ZSTD_createDCtx)(void);
	size_t (*ZSTD_freeDCtx)(ZSTD_DCtx *context);
	size_t (*ZSTD_compressCCtx)(ZSTD_CCtx *context, void *to, size_t room, const void *from, size_t size, int level);
	size_t (*ZSTD_decompressDCtx)(ZSTD_DCtx *context, void *to, size_t room, const void *from, size_t size);
	unsigned (*ZSTD_isError)(size_t code);
	bool loaded;
	struct err problem;
} api;

static void load(void)
{
	static const struct library_symbol symbols[] = {
		{ "ZSTD_createCCtx", &api.ZSTD_createCCtx },
		{ "ZSTD_freeCCtx", &api.ZSTD_freeCCtx },
		{ "ZSTD_createDCtx", &api.ZSTD_createDCtx },
		{ "ZSTD_freeDCtx", &api.ZSTD_freeDCtx },
		{ "ZSTD_compressCCtx", &api.ZSTD_compressCCtx },
		{ "ZSTD_decompressDCtx", &api.ZSTD_decompressDCtx },
		{ "ZSTD_isError", &api.ZSTD_isError },
	};

	api.loaded = library_load("libzstd.so.1", symbols, ARRAY_SIZE(symbols), &api.problem) == 0;
}

static int destroy(struct pack *pack)
{
	(void)api.ZSTD_freeCCtx(pack->shrink);
	(void)api.ZSTD_freeDCtx(pack->expand);
	return 0;
}

int pack_new(const void *ctx, struct pack **ret, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct pack *pack;

	(void)pthread_once(&once, load);
	if (!api.loaded) {
		*err = api.problem;
		return -(int)err->code;
	}
	pack = mem_zero(ctx, struct pack);
	pack->shrink = mem_check(api.ZSTD_createCCtx());
	pack->expand = mem_check(api.ZSTD_createDCtx());
	talloc_set_destructor(pack, destroy);
	*ret = pack;
	return 0;
}

size_t pack_shrink(struct pack *pack, const void *from, size_t size, void *to, size_t room)
{
	size_t n;

	if (size > 4 * SAMPLE) {
		n = api.ZSTD_compressCCtx(pack->shrink, to, room, (const char *)from + size / 2, SAMPLE, LEVEL);
		if (api.ZSTD_isError(n) || n > WORTH(SAMPLE))
			return 0;
	}
	n = api.ZSTD_compressCCtx(pack->shrink, to, MIN(room, size), from, size, LEVEL);
	return api.ZSTD_isError(n) || n > WORTH(size) ? 0 : n;
}

int pack_expand(struct pack *pack, const void *from, size_t packed, void *to, size_t size, struct err *err)
{
	size_t n = api.ZSTD_decompressDCtx(pack->expand, to, size, from, packed);

	if (api.ZSTD_isError(n) || n != size)
		return err_set(err, ERR_CORRUPT, "the compressed content is damaged");
	return 0;
}
