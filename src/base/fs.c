/* Files. Durable means: the data is flushed before its name appears, and the folder after it, so that a power failure leaves
 * the old or the new. Everything is done relative to descriptors where a link could be swapped in meanwhile.
 * No state; any thread. */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/random.h>
#include <sys/statvfs.h>

#define TREE_DEPTH_MAX 512 /* one open folder per level: well below the usual limit of 1024 descriptors */

int fs_read(const void *ctx, const char *path, size_t max, char **ret, size_t *ret_size, struct err *err)
{
	/* Non-blocking: opening a FIFO must not wait for a writer. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_talloc_ char *text = NULL;
	size_t size = 0, room;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: not a regular file", path);
	if (st.st_size > 0 && (uint64_t)st.st_size > max)
		return err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", path, max);

	/* The size is only a hint: files in /proc have none, and others grow while they are read. One byte more tells the end. */
	room = (size_t)st.st_size + 1;
	text = mem_array(ctx, char, room + 1);
	for (;;) {
		ssize_t n = read(fd, text + size, room - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "%s", path);
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max)
			return err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", path, max);
		if (size == room) {
			room = MIN(MAX(room * 2, (size_t)4096), max + 1);
			text = mem_resize(ctx, text, char, room + 1);
		}
	}
	text[size] = 0;
	*ret = take_pointer(text);
	if (ret_size)
		*ret_size = size;
	return 0;
}

int fs_write_all(int fd, const void *bytes, size_t size, struct err *err)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "cannot write");
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static char *parent_dir(const void *ctx, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_strdup(ctx, ".");
	return slash == path ? mem_strdup(ctx, "/") : mem_strndup(ctx, path, (size_t)(slash - path));
}

int fs_sync_dir(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_errno(err, errno, "%s", path);
	return 0;
}

/* The path that a chain of links ends at, also when nothing stands there yet. */
static int follow_links(const void *ctx, const char *path, char **ret, struct err *err)
{
	char *at = mem_strdup(ctx, path), target[PATH_MAX];

	for (int hops = 0; hops < 40; hops++) {
		ssize_t n = readlink(at, target, sizeof(target) - 1);

		if (n < 0) { /* not a link, or nothing there: opening it will tell */
			*ret = at;
			return 0;
		}
		target[n] = 0;
		at = fs_join(ctx, parent_dir(ctx, at), target);
	}
	return err_errno(err, ELOOP, "%s", path);
}

/* A name beside the file, hidden, that nobody else has. */
static char *temporary_name(const void *ctx, const char *dir)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	uint8_t random[16];
	char name[sizeof(random) + 1] = "";

	assert_always(getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random)); /* up to 256 bytes are never cut short */
	for (size_t i = 0; i < sizeof(random); i++)
		name[i] = digits[random[i] & 31];
	return mem_printf(ctx, "%s/.unship-%s", dir, name);
}

/* Fills the temporary file; the caller removes it when this fails. */
static int write_temporary(int fd, const struct stat *old, const void *bytes, size_t size, mode_t mode, struct err *err)
{
	struct stat made;
	int r;

	if (fstat(fd, &made) < 0)
		return err_errno(err, errno, "cannot look at the new file");
	if (old && (made.st_uid != old->st_uid || made.st_gid != old->st_gid) && fchown(fd, old->st_uid, old->st_gid) < 0)
		return err_errno(err, errno, "cannot keep the owner");
	if (fchmod(fd, old ? old->st_mode & 07777 : mode) < 0) /* after fchown, which clears the set-id bits */
		return err_errno(err, errno, "cannot set the mode");
	r = fs_write_all(fd, bytes, size, err);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return err_errno(err, errno, "cannot flush");
	return 0;
}

int fs_write_atomic(const char *path, const void *bytes, size_t size, mode_t mode, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	_cleanup_close_ int fd = -1;
	char *final, *dir, *temporary;
	struct stat old;
	bool exists;
	int r;

	r = follow_links(ctx, path, &final, err);
	if (r < 0)
		return r;
	exists = lstat(final, &old) == 0;
	if (!exists && errno != ENOENT)
		return err_errno(err, errno, "%s", path);
	if (exists && !S_ISREG(old.st_mode))
		return err_set(err, ERR_INVALID, "%s: not a regular file", path);

	dir = parent_dir(ctx, final);
	temporary = temporary_name(ctx, dir);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	r = write_temporary(fd, exists ? &old : NULL, bytes, size, mode, err);
	if (r == 0 && rename(temporary, final) < 0)
		r = err_errno(err, errno, "cannot rename");
	if (r < 0) {
		(void)unlink(temporary);
		return err_in(err, "%s", path);
	}
	return fs_sync_dir(dir, err);
}

static int sync_parent(const char *path, struct err *err)
{
	_cleanup_talloc_ char *dir = parent_dir(NULL, path);

	return fs_sync_dir(dir, err);
}

static int make_dirs(const char *path, mode_t mode, bool durable, struct err *err)
{
	_cleanup_talloc_ char *copy = mem_strdup(NULL, path);

	for (char *slash = copy + (*copy == '/'); slash; slash = *slash ? slash + 1 : NULL) {
		bool made;
		char kept;
		int r;

		slash += strcspn(slash, "/");
		kept = *slash;
		*slash = 0;
		made = *copy && mkdir(copy, mode) == 0;
		if (*copy && !made && errno != EEXIST && !(kept && fs_is_dir(copy))) /* EROFS, EACCES for what is there */
			return err_errno(err, errno, "%s", path);
		r = made && durable ? sync_parent(copy, err) : 0;
		if (r < 0)
			return r;
		*slash = kept;
		if (!kept)
			break;
	}
	if (!fs_is_dir(path))
		return err_errno(err, ENOTDIR, "%s", path);
	return 0;
}

int fs_mkdirs(const char *path, mode_t mode, struct err *err)
{
	return make_dirs(path, mode, false, err);
}

int fs_mkdirs_durable(const char *path, mode_t mode, struct err *err)
{
	return make_dirs(path, mode, true, err);
}

static int remove_entry(int parent, const char *name, int depth, struct err *err);

static int remove_children(DIR *dir, int depth, struct err *err)
{
	struct dirent *entry;
	int r;

	rewinddir(dir);
	while (errno = 0, (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = remove_entry(dirfd(dir), entry->d_name, depth + 1, err);
		if (r < 0)
			return r;
	}
	return errno ? err_errno(err, errno, "cannot list") : 0;
}

static int remove_entry(int parent, const char *name, int depth, struct err *err)
{
	int fd, r = 0;
	DIR *dir;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_errno(err, errno, "%s", name);
	if (depth > TREE_DEPTH_MAX)
		return err_set(err, ERR_TOO_LARGE, "folders nested deeper than %d", TREE_DEPTH_MAX);

	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) /* not a folder: then it was unlinkat that was not permitted */
		return err_errno(err, errno == ENOTDIR || errno == ELOOP ? EPERM : errno, "%s", name);
	dir = fdopendir(fd);
	if (!dir) {
		(void)close(fd);
		return err_errno(err, errno, "%s", name);
	}
	/* A listing may skip entries while others are removed: look again, but not for ever, for somebody may be adding some. */
	for (int round = 0; round < 8 && r == 0; round++) {
		r = remove_children(dir, depth, err);
		if (r == 0 && (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT))
			break;
		if (r == 0 && (round == 7 || errno != ENOTEMPTY))
			r = err_errno(err, errno, "cannot remove");
	}
	(void)closedir(dir);
	return r < 0 ? err_in(err, "%s", name) : 0;
}

int fs_remove_tree(const char *path, struct err *err)
{
	return remove_entry(AT_FDCWD, path, 0, err);
}

static int copy_bytes(int from, int to, struct err *err)
{
	char buffer[65536];
	bool in_kernel = true;

	for (;;) {
		ssize_t n = in_kernel ? copy_file_range(from, NULL, to, NULL, 1 << 30, 0) : read(from, buffer, sizeof(buffer));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && in_kernel && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM)) {
			in_kernel = false; /* these file systems cannot; what was copied stays, the offsets moved with it */
			continue;
		}
		if (n < 0)
			return err_errno(err, errno, "cannot copy");
		if (n == 0 && in_kernel) { /* the end, or a file without a size, as in /proc */
			in_kernel = false;
			continue;
		}
		if (n == 0)
			return 0;
		r = in_kernel ? 0 : fs_write_all(to, buffer, (size_t)n, err);
		if (r < 0)
			return r;
	}
}

static int copy_into(int in, int out, const struct stat *st, bool sync, struct err *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	int r;

	r = copy_bytes(in, out, err);
	if (r < 0)
		return r;
	if (fchown(out, st->st_uid, st->st_gid) < 0 && errno != EPERM)
		return err_errno(err, errno, "cannot set the owner");
	if (fchmod(out, st->st_mode & 07777) < 0 || futimens(out, times) < 0)
		return err_errno(err, errno, "cannot set mode and time");
	if (sync && fsync(out) < 0)
		return err_errno(err, errno, "cannot flush");
	return 0;
}

int fs_copy(const char *from, const char *to, bool sync, struct err *err)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY), out = -1;
	_cleanup_talloc_ char *dir = NULL;
	struct stat st;
	int r;

	if (in < 0 || fstat(in, &st) < 0)
		return err_errno(err, errno, "%s", from);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_IO, "%s: not a regular file", from);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return err_errno(err, errno, "%s", to);
	r = copy_into(in, out, &st, sync, err);
	if (r < 0) {
		(void)unlink(to);
		return err_in(err, "%s", to);
	}
	if (!sync)
		return 0;
	dir = parent_dir(NULL, to);
	return fs_sync_dir(dir, err);
}

int fs_symlink_atomic(const char *target, const char *path, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *dir = parent_dir(ctx, path), *temporary = temporary_name(ctx, dir);

	if (symlink(target, temporary) < 0)
		return err_errno(err, errno, "%s", path);
	if (rename(temporary, path) < 0) {
		int error = errno;

		(void)unlink(temporary);
		return err_errno(err, error, "%s", path);
	}
	return fs_sync_dir(dir, err);
}

bool fs_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

bool fs_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

int fs_list(const void *ctx, const char *path, char ***ret, struct err *err)
{
	_cleanup_(cleanup_closedir) DIR *dir = opendir(path);
	_cleanup_talloc_ char **names = NULL;
	size_t count = 0, room = 16;
	struct dirent *entry;

	if (!dir)
		return err_errno(err, errno, "%s", path);
	names = mem_array(ctx, char *, room);
	while (errno = 0, (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (count + 1 == room) {
			room *= 2;
			names = mem_resize(ctx, names, char *, room);
		}
		names[count++] = mem_strdup(names, entry->d_name);
	}
	if (errno)
		return err_errno(err, errno, "%s", path);
	qsort(names, count, sizeof(*names), compare_names);
	names[count] = NULL;
	*ret = take_pointer(names);
	return 0;
}

int fs_free_bytes(const char *path, uint64_t *ret, struct err *err)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return err_errno(err, errno, "%s", path);
	*ret = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}
