/* Laying out (restore.h): folders first, then the files by several threads (each segment of a large one by itself), then links, so that nothing is ever written through one, and the modes of folders last, for
 * one may be closed to writing. Checking is the same reading without the writing, each object once.
 * Threads: a job writes into its own file, or its own part of one. */
#include "snapshot/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "snapshot/fetch.h"

#define BLOCK     4
#define PATH_ROOM (2 * MANIFEST_PATH_MAX)

struct job {
	uint32_t item, segment;
};

struct laying {
	struct snapshot_store *store;
	const struct restore *restore;
	int content;
	struct job *jobs;
};

/* Where the item goes. */
static const char *target_of(const struct restore *restore, const struct manifest_item *item, char path[PATH_ROOM])
{
	const char *rest = item->path + MIN(restore->strip, strlen(item->path));

	(void)snprintf(path, PATH_ROOM, "%s%s%s", restore->root, *restore->root && *rest && *rest != '/' ? "/" : "", rest);
	return path;
}

static bool is_wanted(const struct restore *restore, size_t index)
{
	return !restore->skip || !restore->skip[index];
}

static int make_folders(const struct restore *restore, struct err *err)
{
	char path[PATH_ROOM];

	for (size_t i = restore->first; i < restore->first + restore->count; i++) {
		const struct manifest_item *item = &restore->manifest->items[i];
		struct stat st;

		if (item->type != MANIFEST_FOLDER || mkdirat(restore->fd, target_of(restore, item, path), 0700) == 0)
			continue;
		if (errno == EEXIST &&
			!is_wanted(restore, i)) /* one that is noted as there may have been implied alone, so it is made too */
			continue;
		if (errno != EEXIST || !restore->replace || fstatat(restore->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISDIR(st.st_mode) || fchmodat(restore->fd, path, 0700, 0) < 0)
			return err_errno(err, errno, "%s", path);
	}
	return 0;
}

static int finish_folders(const struct restore *restore, struct err *err)
{
	char path[PATH_ROOM];

	for (size_t i = restore->first + restore->count; i-- > restore->first;) {
		const struct manifest_item *item = &restore->manifest->items[i];

		if (item->type == MANIFEST_FOLDER && is_wanted(restore, i) &&
			fchmodat(restore->fd, target_of(restore, item, path), item->mode, 0) < 0)
			return err_errno(err, errno, "%s", path);
	}
	return 0;
}

static int make_links(const struct restore *restore, struct err *err)
{
	char path[PATH_ROOM];

	for (size_t i = restore->first; i < restore->first + restore->count; i++) {
		const struct manifest_item *item = &restore->manifest->items[i];

		if (item->type != MANIFEST_LINK || !is_wanted(restore, i))
			continue;
		(void)target_of(restore, item, path);
		if (restore->replace && unlinkat(restore->fd, path, 0) < 0 && errno != ENOENT)
			return err_errno(err, errno, "%s", path);
		if (symlinkat(item->target, restore->fd, path) < 0)
			return err_errno(err, errno, "%s", path);
	}
	return 0;
}

static int create(const struct restore *restore, const char *path, struct err *err)
{
	int fd;

	if (restore->replace && unlinkat(restore->fd, path, 0) < 0 && errno != ENOENT)
		return err_errno(err, errno, "%s", path);
	fd = openat(restore->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? err_errno(err, errno, "%s", path) : fd;
}

/* A file that several jobs write is there, with its size, before they begin. */
static int make_large(const struct restore *restore, const struct manifest_item *item, struct err *err)
{
	char path[PATH_ROOM];
	_cleanup_close_ int fd = create(restore, target_of(restore, item, path), err);

	if (fd < 0)
		return fd;
	return ftruncate(fd, (off_t)item->size) < 0 ? err_errno(err, errno, "%s", path) : 0;
}

/* Their modes come when they are written, for a mode may forbid to open them for that. */
static int finish_large(const struct restore *restore, struct err *err)
{
	char path[PATH_ROOM];

	for (size_t i = restore->first; i < restore->first + restore->count; i++) {
		const struct manifest_item *item = &restore->manifest->items[i];

		if (item->object_count > 1 && is_wanted(restore, i) &&
			fchmodat(restore->fd, target_of(restore, item, path), item->mode, 0) < 0)
			return err_errno(err, errno, "%s", path);
	}
	return 0;
}

static int write_at(int fd, const uint8_t *bytes, size_t size, uint64_t offset, struct err *err)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "cannot write");
		bytes += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int lay_out(void *user, struct object_work *work, size_t index, struct err *err)
{
	const struct laying *laying = user;
	const struct restore *restore = laying->restore;
	const struct job *job = &laying->jobs[index];
	const struct manifest_item *item = &restore->manifest->items[job->item];
	char path[PATH_ROOM];
	_cleanup_close_ int fd = -1;
	size_t size = item->object_count ? manifest_segment_size(item, job->segment) : 0;
	int r = 0;

	(void)target_of(restore, item, path);
	if (item->object_count > 1) {
		fd = openat(restore->fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
		r = fd < 0 ? err_errno(err, errno, "%s", path) : 0;
	} else {
		fd = create(restore, path, err);
		r = MIN(fd, 0);
	}
	if (r == 0 && item->object_count && restore->manifest->sealed) {
		r = fetch_segment(laying->store, work, laying->content, &item->objects[job->segment], size, err);
		if (r == 0)
			r = write_at(fd, work->plain, size, (uint64_t)job->segment * OBJECT_SEGMENT, err);
	} else if (r == 0 && item->object_count) {
		r = fetch_clear(laying->store, work, laying->content, &item->objects[0], item->size, fd, err);
	}
	if (r == 0 && item->object_count <= 1 && fchmod(fd, item->mode) < 0)
		r = err_errno(err, errno, "cannot set the mode");
	FAILPOINT("snapshot.file_laid_out");
	return r < 0 ? err_in(err, "%s", item->path) : 0;
}

static int make_jobs(const void *ctx, struct laying *laying, size_t *ret_count, struct err *err)
{
	const struct restore *restore = laying->restore;
	size_t count = 0, room = 0;
	int r = 0;

	for (size_t i = restore->first; i < restore->first + restore->count; i++)
		room += MAX(restore->manifest->items[i].object_count, 1u);
	laying->jobs = mem_resize(ctx, NULL, struct job, room + 1);
	for (size_t i = restore->first; r == 0 && i < restore->first + restore->count; i++) {
		const struct manifest_item *item = &restore->manifest->items[i];

		if (item->type != MANIFEST_FILE || !is_wanted(restore, i))
			continue;
		for (size_t j = 0; j < MAX(item->object_count, 1u); j++)
			laying->jobs[count++] = (struct job){ (uint32_t)i, (uint32_t)j };
		if (item->object_count > 1)
			r = make_large(restore, item, err);
	}
	*ret_count = count;
	return r;
}

int restore_items(struct snapshot_store *store, const struct restore *restore, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct laying laying = { .store = store, .restore = restore };
	size_t count = 0;
	int r = store_content(store, restore->manifest->sealed, &laying.content, err);

	if (r == 0)
		r = make_folders(restore, err);
	if (r == 0)
		r = make_jobs(ctx, &laying, &count, err);
	if (r == 0)
		r = workers_run(store->workers, count, BLOCK, lay_out, &laying, err);
	if (r == 0)
		r = finish_large(restore, err);
	if (r == 0)
		r = make_links(restore, err);
	return r == 0 ? finish_folders(restore, err) : r;
}

struct check {
	struct object_id id;
	uint32_t item, segment;
};

struct checking {
	struct snapshot_store *store;
	const struct manifest *manifest;
	int content;
	const struct check *checks;
	pthread_mutex_t mutex;
	restore_problem problem;
	void *user;
};

static int check_one(void *user, struct object_work *work, size_t index, struct err *err)
{
	struct checking *checking = user;
	const struct check *check = &checking->checks[index];
	const struct manifest_item *item = &checking->manifest->items[check->item];
	int r;

	if (checking->manifest->sealed)
		r = fetch_segment(checking->store, work, checking->content, &check->id, manifest_segment_size(item, check->segment), err);
	else
		r = fetch_clear(checking->store, work, checking->content, &check->id, item->size, -1, err);
	if (r != -ERR_CORRUPT && r != -ERR_IO && r != -ERR_NEWER)
		return r; /* a key that is missing is no damage */
	(void)pthread_mutex_lock(&checking->mutex);
	checking->problem(checking->user, item->path, err->text);
	(void)pthread_mutex_unlock(&checking->mutex);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct check *x = a, *y = b;
	int order = memcmp(&x->id, &y->id, sizeof(x->id));

	return order ? order : x->item < y->item ? -1 : x->item > y->item;
}

/* Sorted by name, which is as good as shuffled. */
static struct check *list_objects(const void *ctx, const struct manifest *manifest, size_t *ret_count)
{
	size_t count = 0, kept = 0;
	struct check *list;

	for (size_t i = 0; i < manifest->count; i++)
		count += manifest->items[i].object_count;
	list = mem_resize(ctx, NULL, struct check, count + 1);
	count = 0;
	for (size_t i = 0; i < manifest->count; i++)
		for (size_t j = 0; j < manifest->items[i].object_count; j++)
			list[count++] = (struct check){ manifest->items[i].objects[j], (uint32_t)i, (uint32_t)j };
	if (count > 1)
		qsort(list, count, sizeof(*list), by_id);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || memcmp(&list[kept - 1].id, &list[i].id, sizeof(list[i].id)) != 0)
			list[kept++] = list[i];
	*ret_count = kept;
	return list;
}

int restore_check(struct snapshot_store *store, const struct manifest *manifest, double share, restore_problem problem, void *user,
	struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct checking checking = { .store = store,
		.manifest = manifest,
		.problem = problem,
		.user = user,
		.mutex = PTHREAD_MUTEX_INITIALIZER };
	size_t count, wanted, start;
	struct check *list = list_objects(ctx, manifest, &count), *turned;
	int r = store_content(store, manifest->sealed, &checking.content, err);

	if (r < 0 || count == 0)
		return r;
	wanted = share >= 1 ? count : MIN(count, (size_t)((double)count * MAX(share, 0)) + 1);
	start = wanted == count ? 0 : randombytes_uniform((uint32_t)count);
	turned = mem_resize(ctx, NULL, struct check, count);
	for (size_t i = 0; i < count; i++)
		turned[i] = list[(start + i) % count];
	checking.checks = turned;
	return workers_run(store->workers, wanted, BLOCK, check_one, &checking, err);
}
