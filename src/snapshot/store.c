/* Where things stand, and locks (store.h). A lock is taken on a descriptor of its own (flock), so it ends with the process, and two stores of one process exclude each other as well. */
#include "snapshot/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"

#define LOCK_WAIT_MS  60000
#define LOCK_SLEEP_MS 5

static const char *const content_names[] = { "objects", "sealed" };

int store_folder(const struct snapshot_store *store, const void *ctx, const char *id, char **ret, struct err *err)
{
	if (!text_is_name(id))
		return err_set(err, ERR_INVALID, "'%s' is not the id of a snapshot", id);
	*ret = mem_printf(ctx, "%s/%s/%s", store->state_dir, text_starts_with(id, "dep-") ? "recorded" : "rollback-snapshots", id);
	return 0;
}

char *store_open_folder(const struct snapshot_store *store, const void *ctx, const char *id)
{
	return fs_join(ctx, store->open, id);
}

int store_content(struct snapshot_store *store, bool sealed, int *ret, struct err *err)
{
	_cleanup_talloc_ char *path = fs_join(NULL, store->base, content_names[sealed]);

	if (store->content[sealed] < 0)
		store->content[sealed] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	*ret = store->content[sealed];
	return *ret < 0 ? err_errno(err, errno, "%s", path) : 0;
}

int store_prepare(struct snapshot_store *store, struct err *err)
{
	_cleanup_talloc_ char *cache = fs_join(NULL, store->base, "cache");
	_cleanup_talloc_ char *content = fs_join(NULL, store->base, content_names[seal_has_keys(store->seal)]);
	int r = seal_prepare(store->seal, err);

	if (r == 0)
		r = fs_mkdirs_durable(content, 0700, err);
	return r == 0 ? fs_mkdirs(cache, 0700, err) : r;
}

/* flock has no time limit of its own. */
static int wait_for(int fd, int how, const char *what, struct err *err)
{
	int64_t until = clock_mono_ms() + LOCK_WAIT_MS;

	while (flock(fd, how | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno(err, errno, "%s", what);
		if (clock_mono_ms() >= until)
			return err_set(err, ERR_CONFLICT, "%s: another process has been using it for %d seconds", what,
				LOCK_WAIT_MS / 1000);
		clock_sleep_ms(LOCK_SLEEP_MS);
	}
	return 0;
}

int store_lock(const struct snapshot_store *store, bool alone, int *ret_fd, struct err *err)
{
	_cleanup_talloc_ char *path = fs_join(NULL, store->base, "lock");
	_cleanup_close_ int fd = -1;
	int r = fs_mkdirs_durable(store->base, 0700, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	r = wait_for(fd, alone ? LOCK_EX : LOCK_SH, "the snapshot store", err);
	if (r == 0)
		*ret_fd = take_fd(fd);
	return r;
}

int store_lock_folder(const char *path, int *ret_fd, struct err *err)
{
	struct stat held, there;

	for (;;) {
		_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		int r;

		if (fd < 0 || fstat(fd, &held) < 0)
			return err_errno(err, errno, "%s", path);
		r = wait_for(fd, LOCK_EX, path, err);
		if (r < 0)
			return r;
		if (lstat(path, &there) == 0 && there.st_ino == held.st_ino &&
			there.st_dev == held.st_dev) { /* not one that was removed meanwhile */
			*ret_fd = take_fd(fd);
			return 0;
		}
	}
}
