/* Taking folders in (ingest.h). First everything is listed with its stamps, which one thread does (10,000 files: 10 ms); the cache says which files need not be read; the others, cut into segments, are read,
 * named, sealed and stored by several threads, each with a fixed amount of memory. A file that changes while it is read is read again, up to 5 times; what is removed meanwhile was not there.
 *
 * Nothing here follows a link below the folder that was named: paths are resolved beneath it without links.
 * Threads: jobs write only into their own item, and each segment into its own place. */
#include "snapshot/ingest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "snapshot/cache.h"
#include "snapshot/deposit.h"

#define ATTEMPTS    5
#define BLOCK       4
#define ARENA_BLOCK (64u << 10)

enum state { KNOWN, TO_READ, CHANGED, GONE };

struct source {
	char *from;  /* as it was named */
	int fd;      /* the folder; -1: it is a file */
	size_t skip; /* bytes of the item's path that are not part of the path below it */
};

struct taken {
	struct manifest_item item;
	struct cache_stamp stamp;
	uint32_t source;
	bool implied; /* a folder above what was added */
	_Atomic enum state state;
	atomic_bool fresh;
};

struct job {
	uint32_t item, segment;
};

struct ingest {
	struct snapshot_store *store;
	struct deposit *deposit;
	struct cache *cache;
	char *cache_path;
	bool sealed;
	struct source *sources;
	size_t source_count;
	struct taken *items;
	size_t count, room;
	struct job *jobs;
	char *arena;
	size_t arena_left;
	struct manifest manifest;
	atomic_llong read_files, read_bytes;
};

static int destroy(struct ingest *ingest)
{
	for (size_t i = 0; i < ingest->source_count; i++)
		if (ingest->sources[i].fd >= 0)
			(void)close(ingest->sources[i].fd);
	return 0;
}

int ingest_new(const void *ctx, struct snapshot_store *store, const struct seal_key *key, struct ingest **ret, struct err *err)
{
	struct ingest *ingest = mem_zero(ctx, struct ingest);
	const uint8_t *names;
	int r;

	talloc_set_destructor(ingest, destroy);
	ingest->store = store;
	ingest->sealed = key != NULL;
	ingest->cache_path = mem_printf(ingest, "%s/cache/files-%s", store->base, key ? "sealed" : "clear");
	r = deposit_new(ingest, store, key, &ingest->deposit, err);
	if (r == 0)
		r = seal_names_key(store->seal, ingest->sealed, &names, err);
	if (r < 0) {
		talloc_free(ingest);
		return r;
	}
	ingest->cache = cache_read(ingest, ingest->cache_path, names, clock_wall_ms());
	*ret = ingest;
	return 0;
}

/* "above/name", or the name alone. */
static char *put_path(struct ingest *ingest, const char *above, const char *name)
{
	size_t a = strlen(above), n = strlen(name), size = a + n + 2;
	char *path;

	if (size > ingest->arena_left) {
		ingest->arena_left = MAX(size, (size_t)ARENA_BLOCK);
		ingest->arena = mem_resize(ingest, NULL, char, ingest->arena_left);
	}
	path = ingest->arena;
	memcpy(path, above, a);
	if (a)
		path[a++] = '/';
	memcpy(path + a, name, n + 1);
	ingest->arena += size;
	ingest->arena_left -= size;
	return path;
}

static int add_item(struct ingest *ingest, const char *path, struct taken **ret, struct err *err)
{
	if (ingest->count >= MANIFEST_ITEMS_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %u files and folders", MANIFEST_ITEMS_MAX);
	if (ingest->count == ingest->room) {
		ingest->room = MAX(ingest->room * 2, (size_t)256);
		ingest->items = mem_resize(ingest, ingest->items, struct taken, ingest->room);
	}
	*ret = &ingest->items[ingest->count++];
	memset(*ret, 0, sizeof(**ret));
	(*ret)->item.path = path;
	(*ret)->source = (uint32_t)ingest->source_count - 1;
	return 0;
}

/* Size and objects as the stamp says; the cache may know them. */
static int set_file(struct ingest *ingest, struct taken *taken, const struct stat *st, bool ask_cache, struct err *err)
{
	const struct object_id *known = NULL;
	size_t count = 0;

	if ((uint64_t)st->st_size > MANIFEST_FILE_MAX)
		return err_set(err, ERR_TOO_LARGE, "%s: larger than %llu bytes", taken->item.path, (unsigned long long)MANIFEST_FILE_MAX);
	taken->item.type = MANIFEST_FILE;
	taken->item.mode = st->st_mode & 07777;
	taken->item.size = (uint64_t)st->st_size;
	cache_stamp_of(st, &taken->stamp);
	taken->item.object_count = manifest_object_count(ingest->sealed, taken->item.size);
	taken->item.objects = taken->item.object_count ? mem_array(ingest, struct object_id, taken->item.object_count) : NULL;
	atomic_store(&taken->state, taken->item.object_count ? TO_READ : KNOWN);
	if (ask_cache && taken->item.object_count)
		known = cache_find(ingest->cache, &taken->stamp, &count);
	if (!known || count != taken->item.object_count)
		return 0;
	for (size_t i = 1; i < count; i++) /* the first is looked at when its name is made */
		if (!deposit_has(ingest->deposit, &known[i]))
			return 0;
	memcpy(taken->item.objects, known, count * sizeof(*known));
	atomic_store(&taken->state, KNOWN);
	return 0;
}

static int read_link(struct ingest *ingest, int folder, const char *name, struct taken *taken, struct err *err)
{
	char target[MANIFEST_PATH_MAX + 2];
	ssize_t n = readlinkat(folder, name, target, sizeof(target));

	taken->item.type = MANIFEST_LINK;
	if (n < 0 && errno == ENOENT) {
		ingest->count--;
		return 0;
	}
	if (n <= 0)
		return err_errno(err, n < 0 ? errno : EINVAL, "%s", taken->item.path);
	if (n > MANIFEST_PATH_MAX)
		return err_set(err, ERR_TOO_LARGE, "%s: its target is too long", taken->item.path);
	target[n] = 0;
	taken->item.target = put_path(ingest, "", target);
	return 0;
}

static int list_folder(struct ingest *ingest, int fd, const char *path, unsigned depth, struct err *err);

static int list_item(struct ingest *ingest, int folder, const char *above, const char *name, unsigned depth, struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct taken *taken;
	struct stat st;
	const char *path;
	int r;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(err, errno, "%s/%s", above, name);
	path = put_path(ingest, above, name);
	if (depth > MANIFEST_DEPTH_MAX || strlen(path) > MANIFEST_PATH_MAX)
		return err_set(err, ERR_TOO_LARGE, "%s: deeper than %d folders, or its path is longer than %d bytes", path,
			MANIFEST_DEPTH_MAX, MANIFEST_PATH_MAX);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: neither a file nor a folder nor a symbolic link", path);
	r = add_item(ingest, path, &taken, err);
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode))
		return read_link(ingest, folder, name, taken, err);
	if (S_ISREG(st.st_mode))
		return set_file(ingest, taken, &st, true, err);
	taken->item.type = MANIFEST_FOLDER;
	taken->item.mode = st.st_mode & 07777;
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		ingest->count--;
		return 0;
	}
	return fd < 0 ? err_errno(err, errno, "%s", path) : list_folder(ingest, fd, path, depth, err);
}

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_wanted(const char *name, bool top)
{
	if (name[0] != '.')
		return true;
	return !top && name[1] && (name[1] != '.' || name[2]);
}

/* The names in it, sorted. */
static int read_names(const void *ctx, int fd, bool top, char ***ret, size_t *ret_count, struct err *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	_cleanup_(cleanup_dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	size_t room = 32, count = 0;
	struct dirent *entry;
	char **names;

	if (!dir) {
		int error = errno;

		if (copy >= 0)
			(void)close(copy);
		return err_errno(err, error, "cannot list");
	}
	names = mem_array(ctx, char *, room);
	while (errno = 0, (entry = readdir(dir))) {
		if (!is_wanted(entry->d_name, top))
			continue;
		if (count == room) {
			room *= 2;
			names = mem_resize(ctx, names, char *, room);
		}
		names[count++] = mem_strdup(ctx, entry->d_name);
	}
	if (errno)
		return err_errno(err, errno, "cannot list");
	if (count > 1)
		qsort(names, count, sizeof(*names), by_name);
	*ret = names;
	*ret_count = count;
	return 0;
}

static int list_folder(struct ingest *ingest, int fd, const char *path, unsigned depth, struct err *err)
{
	_cleanup_talloc_ void *ctx = talloc_pool(NULL, 4096);
	size_t count = 0;
	char **names;
	int r = read_names(mem_check(ctx), fd, !*path, &names, &count, err);

	if (r < 0)
		return err_in(err, "%s", path);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = list_item(ingest, fd, path, names[i], depth + 1, err);
	return r;
}

static unsigned depth_of(const char *path)
{
	unsigned depth = *path != 0;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

/* The folders above `as`, and itself. */
static int add_above(struct ingest *ingest, const char *as, mode_t mode, struct err *err)
{
	for (const char *slash = as;; slash++) {
		struct taken *taken;
		int r;

		slash += strcspn(slash, "/");
		if (!*slash && mode == 0)
			return 0;
		r = add_item(ingest, mem_strndup(ingest, as, (size_t)(slash - as)), &taken, err);
		if (r < 0)
			return r;
		taken->item.type = MANIFEST_FOLDER;
		taken->item.mode = *slash ? 0700 : mode & 07777;
		taken->implied = *slash != 0;
		if (!*slash)
			return 0;
	}
}

int ingest_add(struct ingest *ingest, const char *from, const char *as, struct err *err)
{
	struct source *source;
	struct taken *taken;
	struct stat st;
	int r;

	ingest->sources = mem_resize(ingest, ingest->sources, struct source, ingest->source_count + 1);
	source = &ingest->sources[ingest->source_count];
	*source = (struct source){ .from = mem_strdup(ingest, from), .fd = -1, .skip = *as ? strlen(as) + 1 : 0 };
	if (*as && !manifest_is_path(as))
		return err_set(err, ERR_INVALID, "'%s' is not a path inside of a snapshot", as);
	if (stat(from, &st) < 0)
		return err_errno(err, errno, "%s", from);
	if (!S_ISDIR(st.st_mode) && !(S_ISREG(st.st_mode) && *as))
		return err_set(err, ERR_INVALID, "%s: neither a file nor a folder", from);
	source->fd = S_ISDIR(st.st_mode) ? open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (S_ISDIR(st.st_mode) && source->fd < 0)
		return err_errno(err, errno, "%s", from);
	ingest->source_count++;
	r = *as ? add_above(ingest, as, S_ISDIR(st.st_mode) ? st.st_mode : 0, err) : 0;
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode)) {
		r = list_folder(ingest, source->fd, as, depth_of(as), err);
		return r < 0 ? err_in(err, "%s", from) : 0;
	}
	r = add_item(ingest, mem_strdup(ingest, as), &taken, err);
	return r < 0 ? r : set_file(ingest, taken, &st, true, err);
}

static int by_path(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;
	int order = manifest_order(x->item.path, y->item.path);

	return order ? order : x->implied - y->implied;
}

/* Several sources: in one order, each path once; folders that were only implied give way. */
static int sort_items(struct ingest *ingest, struct err *err)
{
	size_t kept = 0, i;

	for (i = 1; i < ingest->count; i++)
		if (manifest_order(ingest->items[i - 1].item.path, ingest->items[i].item.path) >= 0)
			break;
	if (i >= ingest->count)
		return 0;
	qsort(ingest->items, ingest->count, sizeof(*ingest->items), by_path);
	for (i = 0; i < ingest->count; i++) {
		struct taken *taken = &ingest->items[i], *last = kept ? &ingest->items[kept - 1] : NULL;

		if (!last || strcmp(last->item.path, taken->item.path) != 0)
			ingest->items[kept++] = *taken;
		else if (!taken->implied || last->item.type != MANIFEST_FOLDER)
			return err_set(err, ERR_INVALID, "'%s' is there twice", taken->item.path);
	}
	ingest->count = kept;
	return 0;
}

static int open_source(const struct ingest *ingest, const struct taken *taken)
{
	const struct source *source = &ingest->sources[taken->source];
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	const char *below = taken->item.path + source->skip;
	long fd;

	if (source->fd < 0)
		return open(source->from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	fd = syscall(SYS_openat2, source->fd, below, &how, sizeof(how));
	if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* before Linux 5.6, or a filter that does not know it */
		fd = openat(source->fd, below, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	return (int)fd;
}

static bool is_as_listed(const struct taken *taken, int fd)
{
	struct cache_stamp stamp;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	cache_stamp_of(&st, &stamp);
	return cache_stamp_same(&stamp, &taken->stamp);
}

/* Times of files go by the coarse clock of the kernel, some milliseconds at a time: of two changes within a tick only the first is seen. A file that was changed in this one is read when the next has begun. */
static void await_tick(const struct cache_stamp *stamp)
{
	struct timespec now, tick;

	if (clock_getres(CLOCK_REALTIME_COARSE, &tick) == 0 && clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 &&
		stamp->ctime_ns >= (int64_t)now.tv_sec * 1000000000 + now.tv_nsec)
		clock_sleep_ms(tick.tv_nsec / 1000000 + 1);
}

/* Gone, or another one than was listed: listed anew by the next round. */
static int read_segment(struct ingest *ingest, struct taken *taken, int fd, struct object_work *work, uint32_t segment, bool *ret_new,
	struct err *err)
{
	size_t size = manifest_segment_size(&taken->item, segment), done = 0;

	while (done < size) {
		ssize_t n = pread(fd, work->plain + done, size - done, (off_t)((uint64_t)segment * OBJECT_SEGMENT + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "%s", taken->item.path);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	if (done < size || !is_as_listed(taken, fd)) {
		atomic_store(&taken->state, CHANGED);
		return 0;
	}
	atomic_fetch_add(&ingest->read_bytes, (long long)size);
	return deposit_bytes(ingest->deposit, work, work->plain, size, &taken->item.objects[segment], ret_new, err);
}

static int read_whole(struct ingest *ingest, struct taken *taken, int fd, struct object_work *work, bool *ret_new, struct err *err)
{
	uint64_t size = 0;
	int r = deposit_file(ingest->deposit, work, fd, &taken->item.objects[0], &size, ret_new, err);

	atomic_fetch_add(&ingest->read_bytes, (long long)size);
	if (r == 0 && (size != taken->item.size || !is_as_listed(taken, fd)))
		atomic_store(&taken->state, CHANGED);
	return r;
}

static int do_job(void *user, struct object_work *work, size_t index, struct err *err)
{
	struct ingest *ingest = user;
	struct job job = ingest->jobs[index];
	struct taken *taken = &ingest->items[job.item];
	_cleanup_close_ int fd = -1;
	bool is_new = false;
	int r;

	if (atomic_load(&taken->state) == CHANGED)
		return 0;
	fd = open_source(ingest, taken);
	if (fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENOTDIR && errno != ENXIO)
		return err_errno(err, errno, "%s", taken->item.path);
	await_tick(&taken->stamp);
	if (fd < 0 || !is_as_listed(taken, fd)) {
		atomic_store(&taken->state, CHANGED);
		return 0;
	}
	if (job.segment == 0)
		atomic_fetch_add(&ingest->read_files, 1);
	if (taken->item.size <= OBJECT_SEGMENT || ingest->sealed)
		r = read_segment(ingest, taken, fd, work, job.segment, &is_new, err);
	else
		r = read_whole(ingest, taken, fd, work, &is_new, err);
	if (is_new)
		atomic_store(&taken->fresh, true);
	return r;
}

static size_t make_jobs(struct ingest *ingest)
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < ingest->count; i++)
		if (atomic_load(&ingest->items[i].state) == TO_READ)
			count += ingest->items[i].item.object_count;
	talloc_free(ingest->jobs);
	ingest->jobs = mem_resize(ingest, NULL, struct job, count + 1);
	for (size_t i = 0; i < ingest->count; i++)
		for (size_t j = 0; atomic_load(&ingest->items[i].state) == TO_READ && j < ingest->items[i].item.object_count; j++)
			ingest->jobs[at++] = (struct job){ (uint32_t)i, (uint32_t)j };
	return count;
}

static int list_again(struct ingest *ingest, struct taken *taken, struct err *err)
{
	_cleanup_close_ int fd = open_source(ingest, taken);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		atomic_store(&taken->state, GONE);
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "%s", taken->item.path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_CHANGED, "%s: it was a file, and is something else now", taken->item.path);
	return set_file(ingest, taken, &st, false, err);
}

static void drop_gone(struct ingest *ingest)
{
	size_t kept = 0;

	for (size_t i = 0; i < ingest->count; i++)
		if (atomic_load(&ingest->items[i].state) != GONE)
			ingest->items[kept++] = ingest->items[i];
	ingest->count = kept;
}

/* Those that were read are known now; *ret_changed: how many must be read again. */
static int look_back(struct ingest *ingest, size_t *ret_changed, const char **ret_path, struct err *err)
{
	*ret_changed = 0;
	for (size_t i = 0; i < ingest->count; i++) {
		struct taken *taken = &ingest->items[i];
		enum state state = atomic_load(&taken->state);
		int r;

		if (state == TO_READ) {
			atomic_store(&taken->state, KNOWN);
			cache_note(ingest->cache, &taken->stamp, taken->item.objects, taken->item.object_count);
		}
		if (state != CHANGED)
			continue;
		r = list_again(ingest, taken, err);
		if (r < 0)
			return r;
		++*ret_changed;
		*ret_path = taken->item.path;
	}
	drop_gone(ingest);
	return 0;
}

int ingest_store(struct ingest *ingest, struct err *err)
{
	const char *path = NULL;
	size_t changed = 1;
	int r = sort_items(ingest, err);

	for (int attempt = 0; r == 0 && changed > 0; attempt++) {
		size_t count = make_jobs(ingest);

		if (attempt == ATTEMPTS)
			return err_set(err, ERR_CHANGED, "%s changes while it is read, %d times", path, ATTEMPTS);
		r = workers_run(ingest->store->workers, count, BLOCK, do_job, ingest, err);
		if (r == 0)
			r = look_back(ingest, &changed, &path, err);
	}
	return r < 0 ? r : deposit_settle(ingest->deposit, err);
}

struct manifest *ingest_manifest(struct ingest *ingest)
{
	struct manifest *manifest = &ingest->manifest;

	talloc_free(manifest->items);
	*manifest = (struct manifest){ .sealed = ingest->sealed, .count = ingest->count };
	manifest->items = mem_resize(ingest, NULL, struct manifest_item, ingest->count + 1);
	for (size_t i = 0; i < ingest->count; i++) {
		manifest->items[i] = ingest->items[i].item;
		manifest->files += ingest->items[i].item.type == MANIFEST_FILE;
		manifest->bytes += (int64_t)ingest->items[i].item.size;
	}
	return manifest;
}

void ingest_forget(struct ingest *ingest, size_t item)
{
	atomic_store(&ingest->items[item].state, TO_READ);
}

void ingest_summarise(struct ingest *ingest, struct snapshot_summary *ret)
{
	for (size_t i = 0; i < ingest->count; i++) {
		ret->files += ingest->items[i].item.type == MANIFEST_FILE;
		ret->bytes += (int64_t)ingest->items[i].item.size;
		ret->new_files += atomic_load(&ingest->items[i].fresh);
	}
	ret->new_bytes = deposit_stored(ingest->deposit);
	ret->read_files = atomic_load(&ingest->read_files);
	ret->read_bytes = atomic_load(&ingest->read_bytes);
	ret->sealed = ingest->sealed;
}

int ingest_remember(struct ingest *ingest, struct err *err)
{
	return cache_write(ingest->cache, ingest->cache_path, err);
}
