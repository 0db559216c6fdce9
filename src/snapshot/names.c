/* Names (names.h). 10,000 hard links take 20 ms, less with two threads. Where the file system gives no link (too many of one file, or none at all), a sealed file is shown empty, and an unsealed one is copied.
 * Threads: each makes the names of its own items. */
#include "snapshot/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "base/fs.h"
#include "snapshot/fetch.h"

#define BLOCK 128

struct naming {
	struct snapshot_store *store;
	const struct manifest *manifest;
	int fd, content;
	bool *missing;
	atomic_size_t missing_count;
};

/* The folder that the last name was made in: the next one mostly goes there too, and the kernel need not walk the whole path again. */
struct place {
	const char *path;
	size_t length;
	int fd; /* -1: none yet; closed by leave() unless it is naming->fd */
};

static void leave(const struct naming *naming, struct place *place)
{
	if (place->fd >= 0 && place->fd != naming->fd)
		(void)close(place->fd);
	place->fd = -1;
}

/* *ret_name: the last part of the path. */
static int enter(const struct naming *naming, const char *path, struct place *place, const char **ret_name, struct err *err)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;
	_cleanup_talloc_ char *folder = NULL;

	*ret_name = slash ? slash + 1 : path;
	if (place->fd >= 0 && length == place->length && memcmp(path, place->path, length) == 0)
		return 0;
	leave(naming, place);
	folder = mem_strndup(NULL, path, length);
	place->fd = slash ? openat(naming->fd, folder, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : naming->fd;
	place->path = path;
	place->length = length;
	return place->fd < 0 ? err_errno(err, errno, "%s", folder) : 0;
}

static int make_file(const struct naming *naming, struct object_work *work, int folder, const char *name, const struct manifest_item *item,
	struct err *err)
{
	_cleanup_close_ int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);

	if (fd < 0)
		return err_errno(err, errno, "%s", item->path);
	if (item->object_count == 0 || naming->manifest->sealed)
		return 0;
	return fetch_clear(naming->store, work, naming->content, &item->objects[0], item->size, fd, err);
}

static int make_name(struct naming *naming, struct object_work *work, size_t index, struct place *place, struct err *err)
{
	const struct manifest_item *item = &naming->manifest->items[index];
	char object[OBJECT_NAME_SIZE];
	const char *name;
	int r = item->type == MANIFEST_FOLDER ? 0 : enter(naming, item->path, place, &name, err);

	if (r < 0 || item->type == MANIFEST_FOLDER)
		return r;
	if (item->type == MANIFEST_LINK)
		return symlinkat(item->target, place->fd, name) < 0 ? err_errno(err, errno, "%s", item->path) : 0;
	if (item->object_count == 0)
		return make_file(naming, work, place->fd, name, item, err);
	object_name(&item->objects[0], object);
	if (linkat(naming->content, object, place->fd, name, 0) == 0)
		return 0;
	if (errno == ENOENT) {
		naming->missing[index] = true;
		atomic_fetch_add(&naming->missing_count, 1);
		return 0;
	}
	if (errno != EMLINK && errno != EPERM && errno != EXDEV && errno != EOPNOTSUPP)
		return err_errno(err, errno, "%s", item->path);
	return make_file(naming, work, place->fd, name, item, err);
}

static int make_block(void *user, struct object_work *work, size_t index, struct err *err)
{
	struct naming *naming = user;
	struct place place = { .fd = -1 };
	size_t end = MIN((index + 1) * BLOCK, naming->manifest->count);
	int r = 0;

	for (size_t i = index * BLOCK; r == 0 && i < end; i++)
		r = make_name(naming, work, i, &place, err);
	leave(naming, &place);
	return r;
}

int names_make(struct snapshot_store *store, const struct manifest *manifest, int fd, bool *missing, size_t *ret_missing, struct err *err)
{
	struct naming naming = { .store = store, .manifest = manifest, .fd = fd, .missing = missing };
	int r = store_content(store, manifest->sealed, &naming.content, err);

	for (size_t i = 0; r == 0 && i < manifest->count; i++)
		if (manifest->items[i].type == MANIFEST_FOLDER && mkdirat(fd, manifest->items[i].path, 0700) < 0)
			r = err_errno(err, errno, "%s", manifest->items[i].path);
	if (r == 0)
		r = workers_run(store->workers, (manifest->count + BLOCK - 1) / BLOCK, 1, make_block, &naming, err);
	*ret_missing = atomic_load(&naming.missing_count);
	return r;
}

bool names_is_own(const char *path)
{
	return strcmp(path, "manifest") == 0 || strcmp(path, "commit") == 0 || strcmp(path, "metadata.json") == 0;
}

/* A name that is no link to its object: one that could not be linked when it was made. */
static bool is_stand_in(const struct naming *naming, struct object_work *work, const struct manifest_item *item, const struct stat *st)
{
	_cleanup_close_ int fd = -1;
	struct err ignored = ERR_INIT;
	struct object_id found;
	const uint8_t *names;
	size_t size = 0;

	if (naming->manifest->sealed)
		return st->st_size == 0;
	if (st->st_nlink != 1 || (uint64_t)st->st_size != item->size || item->size > OBJECT_SEGMENT)
		return false;
	fd = openat(naming->fd, item->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || object_read_up_to(fd, work->plain, OBJECT_SEGMENT, &size, &ignored) < 0 ||
		seal_names_key(naming->store->seal, false, &names, &ignored) < 0)
		return false;
	object_id_of(names, work->plain, size, &found);
	return memcmp(&found, &item->objects[0], sizeof(found)) == 0;
}

static const char *problem_of(const struct naming *naming, struct object_work *work, const struct manifest_item *item)
{
	char target[MANIFEST_PATH_MAX + 2], name[OBJECT_NAME_SIZE];
	struct stat st, object;
	ssize_t n;

	if (fstatat(naming->fd, item->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return "its name is missing";
	if (item->type == MANIFEST_FOLDER)
		return S_ISDIR(st.st_mode) ? NULL : "its name is of another type";
	if (item->type == MANIFEST_LINK) {
		n = S_ISLNK(st.st_mode) ? readlinkat(naming->fd, item->path, target, sizeof(target)) : -1;
		return n == (ssize_t)strlen(item->target) && memcmp(target, item->target, (size_t)n) == 0 ? NULL
													  : "its name points elsewhere";
	}
	if (!S_ISREG(st.st_mode))
		return "its name is of another type";
	if (item->object_count == 0)
		return st.st_size == 0 ? NULL : "its name has another content";
	object_name(&item->objects[0], name);
	if (fstatat(naming->content, name, &object, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL; /* told by whoever reads the object */
	if (object.st_ino == st.st_ino && object.st_dev == st.st_dev)
		return NULL;
	return is_stand_in(naming, work, item, &st) ? NULL : "its name has another content";
}

struct addition {
	const struct manifest *manifest;
	names_problem problem;
	void *user;
};

static int find_additions(const struct addition *addition, int folder, const char *above, struct err *err)
{
	DIR *dir = fdopendir(folder); /* takes the descriptor */
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		r = err_errno(err, errno, "%s", above);
		(void)close(folder);
		return r;
	}
	while (r == 0 && (errno = 0, (entry = readdir(dir)))) {
		_cleanup_talloc_ char *path = *above ? mem_printf(NULL, "%s/%s", above, entry->d_name) : mem_strdup(NULL, entry->d_name);
		const struct manifest_item *item;
		size_t first, count;
		int fd;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || names_is_own(path))
			continue;
		count = manifest_below(addition->manifest, path, &first);
		item = &addition->manifest->items[first];
		if (count == 0 || strcmp(item->path, path) != 0) {
			addition->problem(addition->user, path, "was added");
			continue;
		}
		fd = item->type == MANIFEST_FOLDER ? openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
						   : -1;
		if (fd >= 0)
			r = find_additions(addition, fd, path, err);
	}
	if (r == 0 && errno)
		r = err_errno(err, errno, "%s", above);
	(void)closedir(dir);
	return r;
}

int names_check(struct snapshot_store *store, const struct manifest *manifest, int fd, names_problem problem, void *user, struct err *err)
{
	struct naming naming = { .store = store, .manifest = manifest, .fd = fd };
	const struct addition addition = { manifest, problem, user };
	struct object_work *work;
	int r = store_content(store, manifest->sealed, &naming.content, err), copy;

	if (r == 0)
		r = workers_own(store->workers, &work, err);
	for (size_t i = 0; r == 0 && i < manifest->count; i++) {
		const char *what = problem_of(&naming, work, &manifest->items[i]);

		if (what)
			problem(user, manifest->items[i].path, what);
	}
	if (r < 0)
		return r;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return copy < 0 ? err_errno(err, errno, "cannot list the names") : find_additions(&addition, copy, "", err);
}
