/* What is known of files that were read before: a file with the same device, inode, size, mtime and ctime has the same content. */
#ifndef SNAPSHOT_CACHE_H
#define SNAPSHOT_CACHE_H

#include <sys/stat.h>

#include "snapshot/object.h"

struct cache_stamp {
	uint64_t device, inode, size;
	int64_t mtime_ns, ctime_ns;
};

struct cache;

void cache_stamp_of(const struct stat *st, struct cache_stamp *ret);
bool cache_stamp_same(const struct cache_stamp *a, const struct cache_stamp *b);
/* Never fails: what is missing, damaged or made with another key is an empty cache. now_ms: wall time. */
struct cache *cache_read(const void *ctx, const char *path, const uint8_t names_key[SEAL_KEY_SIZE], int64_t now_ms);
/* Its objects, as many as *ret_count; NULL: not known, or known for so long that it should be read again. */
const struct object_id *cache_find(struct cache *cache, const struct cache_stamp *stamp, size_t *ret_count);
/* Notes what was read; not when it was changed so shortly before that it may change again within the same tick of the clock. */
void cache_note(struct cache *cache, const struct cache_stamp *stamp, const struct object_id *objects, size_t count);
/* Without what was not looked for in the last takes. */
must_check int cache_write(struct cache *cache, const char *path, struct err *err);

#endif
