/* zstd, opened when it is first needed. */
#ifndef SNAPSHOT_PACK_H
#define SNAPSHOT_PACK_H

#include "base/err.h"

struct pack; /* working memory of one thread */

must_check int pack_new(const void *ctx, struct pack **ret, struct err *err);
/* Compresses into `to` (room for `room` bytes). 0: it does not pay, or does not fit; else the size. */
size_t pack_shrink(struct pack *pack, const void *from, size_t size, void *to, size_t room);
/* Exactly `size` bytes must come out. ERR_CORRUPT. */
must_check int pack_expand(struct pack *pack, const void *from, size_t packed, void *to, size_t size, struct err *err);

#endif
