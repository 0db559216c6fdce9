/* The cache (cache.h): one file, read and written as a whole, in the machine's own byte order, with a keyed sum over all of it. It may be lost at any time, so it is not flushed; and what is damaged is not
 * believed. Its key is the one that names content, so whoever lacks that key can neither read names out of it that mean anything nor write one that is believed.
 *
 * Two things a stamp cannot show: a change within the tick of the clock in which the file was read, so what was changed in the last 2 seconds is not noted; and a change through a mapping whose page was dirty
 * already, or below the file system. So no entry is believed for longer than 7 to 14 days (spread by inode, that not all of them are read again at once).
 * Threads: one. */
#include "snapshot/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>

#include "base/fs.h"

#define MAGIC       0x31656863616e7331ull
#define RACY_NS     (2 * (int64_t)1000000000)
#define DAY_MIN     (24 * 60)
#define AGE_MIN     (7 * DAY_MIN)
#define TAKES_KEPT  32
#define ENTRIES_MAX 2000000u
#define FILE_MAX    ((size_t)1 << 30)

struct entry {
	struct cache_stamp stamp;
	uint32_t read_min;     /* when it was read: minutes since 1970 */
	uint32_t take;         /* in which it was last found */
	uint32_t first, count; /* its objects, in the list of all */
};

struct head {
	uint64_t magic;
	uint32_t take, entries, objects, unused;
	uint8_t sum[32]; /* keyed, over the rest; 0 while it is made */
};

struct cache {
	uint8_t key[SEAL_KEY_SIZE];
	int64_t now_ms;
	uint32_t take;
	struct entry *entries;
	struct object_id *objects;
	uint32_t count, room, object_count, object_room;
	uint32_t *index; /* open addressing by device and inode; the entry's number and 1, 0: free */
	uint32_t mask;
};

void cache_stamp_of(const struct stat *st, struct cache_stamp *ret)
{
	*ret = (struct cache_stamp){ .device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
		.ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec };
}

bool cache_stamp_same(const struct cache_stamp *a, const struct cache_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
		a->ctime_ns == b->ctime_ns;
}

static uint32_t *slot_of(const struct cache *cache, const struct cache_stamp *stamp)
{
	uint64_t hash = (stamp->inode ^ stamp->device << 40) * 0x9e3779b97f4a7c15ull;
	uint32_t at = (uint32_t)(hash >> 32) & cache->mask;

	for (;; at = (at + 1) & cache->mask) {
		uint32_t number = cache->index[at];

		if (number == 0 ||
			(cache->entries[number - 1].stamp.inode == stamp->inode &&
				cache->entries[number - 1].stamp.device == stamp->device))
			return &cache->index[at];
	}
}

/* Room for the entries that are there and as many again. */
static void make_index(struct cache *cache)
{
	uint32_t size = 1024;

	while (size < (cache->count + 1) * 3)
		size *= 2;
	talloc_free(cache->index);
	cache->index = mem_array(cache, uint32_t, size);
	cache->mask = size - 1;
	for (uint32_t i = 0; i < cache->count; i++)
		*slot_of(cache, &cache->entries[i].stamp) = i + 1;
}

static void sum_of(const uint8_t key[SEAL_KEY_SIZE], const struct head *head, const struct entry *entries, const struct object_id *objects,
	uint8_t ret[32])
{
	struct head without = *head;
	crypto_generichash_state state;

	memset(without.sum, 0, sizeof(without.sum));
	crypto_generichash_init(&state, key, SEAL_KEY_SIZE, 32);
	crypto_generichash_update(&state, (const uint8_t *)&without, sizeof(without));
	crypto_generichash_update(&state, (const uint8_t *)entries, (unsigned long long)head->entries * sizeof(*entries));
	crypto_generichash_update(&state, (const uint8_t *)objects, (unsigned long long)head->objects * sizeof(*objects));
	crypto_generichash_final(&state, ret, 32);
}

static bool take_over(struct cache *cache, const char *bytes, size_t size)
{
	const struct entry *entries;
	struct head head;
	uint8_t sum[32];

	if (size < sizeof(head))
		return false;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != MAGIC || head.entries > ENTRIES_MAX ||
		size != sizeof(head) + (size_t)head.entries * sizeof(struct entry) + (size_t)head.objects * sizeof(struct object_id))
		return false;
	cache->count = cache->room = head.entries;
	cache->object_count = cache->object_room = head.objects;
	cache->entries = mem_dup(cache, bytes + sizeof(head), (size_t)head.entries * sizeof(struct entry));
	cache->objects = mem_dup(cache, bytes + size - (size_t)head.objects * sizeof(struct object_id),
		(size_t)head.objects * sizeof(struct object_id));
	cache->take = head.take + 1;
	sum_of(cache->key, &head, cache->entries, cache->objects, sum);
	if (sodium_memcmp(sum, head.sum, sizeof(sum)) != 0)
		return false;
	for (entries = cache->entries; entries < cache->entries + cache->count; entries++)
		if (entries->first > head.objects || entries->count > head.objects - entries->first)
			return false;
	return true;
}

struct cache *cache_read(const void *ctx, const char *path, const uint8_t names_key[SEAL_KEY_SIZE], int64_t now_ms)
{
	struct cache *cache = mem_zero(ctx, struct cache);
	_cleanup_talloc_ char *bytes = NULL;
	struct err ignored = ERR_INIT;
	size_t size;

	memcpy(cache->key, names_key, SEAL_KEY_SIZE);
	cache->now_ms = now_ms;
	if (fs_read(cache, path, FILE_MAX, &bytes, &size, &ignored) < 0 || !take_over(cache, bytes, size)) {
		cache->count = cache->room = cache->object_count = cache->object_room = 0;
		cache->entries = NULL;
		cache->objects = NULL;
		cache->take = 1;
	}
	make_index(cache);
	return cache;
}

static uint32_t minutes(const struct cache *cache)
{
	return (uint32_t)(cache->now_ms / 60000);
}

const struct object_id *cache_find(struct cache *cache, const struct cache_stamp *stamp, size_t *ret_count)
{
	uint32_t number = *slot_of(cache, stamp), believed = AGE_MIN + (uint32_t)(stamp->inode * 2654435761u % AGE_MIN);
	struct entry *entry = number ? &cache->entries[number - 1] : NULL;

	if (!entry || !cache_stamp_same(&entry->stamp, stamp) || entry->read_min > minutes(cache) ||
		minutes(cache) - entry->read_min > believed)
		return NULL;
	entry->take = cache->take;
	*ret_count = entry->count;
	return cache->objects + entry->first;
}

void cache_note(struct cache *cache, const struct cache_stamp *stamp, const struct object_id *objects, size_t count)
{
	int64_t changed = MAX(stamp->mtime_ns, stamp->ctime_ns);
	uint32_t *slot = slot_of(cache, stamp);

	if (changed + RACY_NS > cache->now_ms * 1000000 || cache->count >= ENTRIES_MAX || cache->object_count + count > UINT32_MAX / 2)
		return;
	if (cache->object_count + count > cache->object_room) {
		cache->object_room = MAX(cache->object_room * 2, cache->object_count + (uint32_t)count + 1024);
		cache->objects = mem_resize(cache, cache->objects, struct object_id, cache->object_room);
	}
	if (*slot == 0) {
		if (cache->count == cache->room) {
			cache->room = MAX(cache->room * 2, 1024u);
			cache->entries = mem_resize(cache, cache->entries, struct entry, cache->room);
		}
		*slot = ++cache->count;
	}
	cache->entries[*slot - 1] = (struct entry){ .stamp = *stamp,
		.read_min = minutes(cache),
		.take = cache->take,
		.first = cache->object_count,
		.count = (uint32_t)count };
	memcpy(cache->objects + cache->object_count, objects, count * sizeof(*objects));
	cache->object_count += (uint32_t)count;
	if (cache->count * 3 > cache->mask * 2)
		make_index(cache);
}

int cache_write(struct cache *cache, const char *path, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry *entries = mem_array(ctx, struct entry, cache->count + 1);
	struct object_id *objects = mem_array(ctx, struct object_id, cache->object_count + 1);
	struct head head = { .magic = MAGIC, .take = cache->take };
	char *beside = mem_printf(ctx, "%s.%08x%08x", path, randombytes_random(), randombytes_random());
	_cleanup_close_ int fd = -1;
	int r;

	for (uint32_t i = 0; i < cache->count; i++) {
		const struct entry *entry = &cache->entries[i];

		if (cache->take - entry->take > TAKES_KEPT)
			continue;
		entries[head.entries] = *entry;
		entries[head.entries++].first = head.objects;
		memcpy(objects + head.objects, cache->objects + entry->first, entry->count * sizeof(*objects));
		head.objects += entry->count;
	}
	sum_of(cache->key, &head, entries, objects, head.sum);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "%s", beside);
	r = fs_write_all(fd, &head, sizeof(head), err);
	if (r == 0)
		r = fs_write_all(fd, entries, head.entries * sizeof(*entries), err);
	if (r == 0)
		r = fs_write_all(fd, objects, head.objects * sizeof(*objects), err);
	if (r == 0 && rename(beside, path) < 0)
		r = err_errno(err, errno, "%s", path);
	if (r < 0)
		(void)unlink(beside);
	return r;
}
