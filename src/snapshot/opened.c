/* Snapshots in clear: open/{id}/ (opened.h), and copies for people (snapshot_export). Which paths are there is noted with the boot id of the machine; of the notes the one with the longest path that leads to a
 * file counts. After a new start the folder is emptied first: what was not flushed may be there in part.
 * Threads: as the store. Processes: the folder is locked while it is filled. */
#include "snapshot/opened.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "snapshot/restore.h"

#define NOTES_MAX ((size_t)16 << 20)

bool opened_has(const char *folder, const char *name)
{
	_cleanup_talloc_ char *path = fs_join(NULL, folder, name);

	return fs_exists(path);
}

/* Whole or not at all for a process that dies; not for a machine. */
int opened_write(const char *folder, const char *name, const char *text, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *path = fs_join(ctx, folder, name), *beside = mem_printf(ctx, "%s.new", path);
	_cleanup_close_ int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? err_errno(err, errno, "%s", beside) : fs_write_all(fd, text, strlen(text), err);

	if (r == 0 && rename(beside, path) < 0)
		r = err_errno(err, errno, "%s", path);
	return r;
}

int opened_read(const void *ctx, const char *folder, const char *name, json_t **ret, struct err *err)
{
	_cleanup_talloc_ char *path = fs_join(NULL, folder, name), *text = NULL;
	size_t size;
	int r;

	if (!fs_exists(path)) {
		*ret = json_keep(ctx, json_object());
		return 0;
	}
	r = fs_read(NULL, path, NOTES_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(ctx, text, size, NOTES_MAX, ret, err);
	if (r == 0 && !json_is_object(*ret))
		r = err_set(err, ERR_CORRUPT, "not an object");
	return r < 0 ? err_in(err, "%s", path) : 0;
}

static int boot_id(const void *ctx, char **ret, struct err *err)
{
	size_t size;

	return fs_read(ctx, "/proc/sys/kernel/random/boot_id", 256, ret, &size, err);
}

int opened_note_taken(const char *folder, json_t *sources, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *state = json_keep(ctx, json_object()), *paths = json_object(), *from;
	const char *as;
	char *boot;
	int r = boot_id(ctx, &boot, err);

	if (r < 0)
		return r;
	json_put_str(state, "boot", boot);
	json_put_flag(paths, "", true);
	json_object_foreach(sources, as, from)
		json_put_flag(paths, as, false);
	(void)json_object_set_new(state, "paths", paths);
	return opened_write(folder, OPENED_STATE, json_pretty(ctx, state), err);
}

/* Is `path` at or below `folder`? */
static bool is_within(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return length == 0 || (strncmp(path, folder, length) == 0 && (!path[length] || path[length] == '/'));
}

static bool is_there(json_t *paths, const char *path)
{
	size_t longest = 0;
	bool there = false;
	const char *note;
	json_t *value;

	json_object_foreach(paths, note, value) {
		if (strlen(note) >= longest && is_within(path, note)) {
			longest = strlen(note);
			there = json_is_true(value);
		}
	}
	return there;
}

/* What was noted below a path that is there now says no more than that. */
static void note_path(json_t *paths, const char *path)
{
	const char *note;
	json_t *value;
	void *next;

	json_object_foreach_safe(paths, next, note, value) {
		if (is_within(note, path))
			(void)json_object_del(paths, note);
	}
	json_put_flag(paths, path, true);
}

static int empty_folder(const char *folder, struct err *err)
{
	_cleanup_talloc_ char **names = NULL;
	int r = fs_list(NULL, folder, &names, err);

	for (size_t i = 0; r == 0 && names[i]; i++) {
		_cleanup_talloc_ char *path = fs_join(NULL, folder, names[i]);

		r = fs_remove_tree(path, err);
	}
	return r;
}

/* {boot, paths} of this start of the machine; the folder is emptied when it is of another. */
static int read_state(const void *ctx, const char *folder, json_t **ret, struct err *err)
{
	struct err ignored = ERR_INIT;
	json_t *state;
	char *boot;
	int r = boot_id(ctx, &boot, err);

	if (r < 0)
		return r;
	if (opened_read(ctx, folder, OPENED_STATE, &state, &ignored) == 0 && strcmp(json_str(state, "boot", ""), boot) == 0 &&
		json_is_object(json_object_get(state, "paths"))) {
		*ret = state;
		return 0;
	}
	r = empty_folder(folder, err);
	if (r < 0)
		return r;
	state = json_keep(ctx, json_object());
	json_put_str(state, "boot", boot);
	(void)json_object_set_new(state, "paths", json_object());
	*ret = state;
	return 0;
}

static int make_above(const void *ctx, const char *folder, const char *path, struct err *err)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? fs_mkdirs(fs_join(ctx, folder, mem_strndup(ctx, path, (size_t)(slash - path))), 0700, err) : 0;
}

/* With store and folder locked. */
static int fill(struct snapshot_store *store, const void *ctx, const struct manifest *manifest, const char *folder, const char *path,
	struct err *err)
{
	struct restore restore = { .manifest = manifest, .root = "", .replace = true };
	_cleanup_close_ int fd = -1;
	size_t missing = 0;
	json_t *state, *paths;
	bool *skip;
	int r;

	restore.count = manifest_below(manifest, path, &restore.first);
	if (path && restore.count == 0)
		return err_set(err, ERR_NOT_FOUND, "'%s' is not in it", path);
	r = read_state(ctx, folder, &state, err);
	if (r < 0)
		return r;
	paths = json_object_get(state, "paths");
	skip = mem_array(ctx, bool, manifest->count + 1);
	for (size_t i = restore.first; i < restore.first + restore.count; i++) {
		skip[i] = is_there(paths, manifest->items[i].path);
		missing += !skip[i];
	}
	if (missing == 0)
		return 0;
	restore.skip = skip;
	restore.fd = fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, errno, "%s", folder);
	/* from here on something is there in part: this boot, and no path */
	r = opened_write(folder, OPENED_STATE, json_pretty(ctx, state), err);
	if (r == 0)
		r = make_above(ctx, folder, path, err);
	if (r == 0)
		r = restore_items(store, &restore, err);
	FAILPOINT("snapshot.opened");
	if (r < 0)
		return r;
	note_path(paths, path ? path : "");
	return opened_write(folder, OPENED_STATE, json_pretty(ctx, state), err);
}

int snapshot_open(struct snapshot_store *store, const void *ctx, const char *id, const char *path, char **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	_cleanup_close_ int lock = -1, folder_lock = -1;
	struct manifest *manifest;
	struct commit commit;
	char *folder;
	int r = commit_read(store, id, &commit, NULL, err);

	if (r == 0)
		r = store_lock(store, false, &lock, err);
	if (r == 0)
		r = commit_read_manifest(store, work, id, &commit, &manifest, err);
	if (r < 0)
		return r;
	folder = store_open_folder(store, work, id);
	r = fs_mkdirs(folder, 0700, err);
	if (r == 0)
		r = store_lock_folder(folder, &folder_lock, err);
	if (r == 0)
		r = fill(store, work, manifest, folder, path, err);
	if (r < 0)
		return err_in(err, "snapshot '%s'", id);
	if (ret)
		*ret = path ? fs_join(ctx, folder, path) : mem_strdup(ctx, folder);
	return 0;
}

int snapshot_close(struct snapshot_store *store, const char *id, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *folder;
	int r = store_folder(store, ctx, id, &folder, err);

	return r < 0 ? r : fs_remove_tree(store_open_folder(store, ctx, id), err);
}

static int add_metadata(const struct snapshot_store *store, const void *ctx, const char *id, const char *to, struct err *err)
{
	char *folder;
	int r = store_folder(store, ctx, id, &folder, err);

	return r < 0 ? r : fs_copy(fs_join(ctx, folder, "metadata.json"), fs_join(ctx, to, "metadata.json"), false, err);
}

/* Into `partial`, beside where it is to be. */
static int export_to(struct snapshot_store *store, const void *ctx, const char *id, const char *path, char *partial, struct err *err)
{
	char *slash = strrchr(partial, '/');
	struct restore restore = { .root = slash + 1, .strip = path ? strlen(path) : 0 };
	_cleanup_close_ int fd = -1;
	struct manifest *manifest;
	struct commit commit;
	int r = commit_read_manifest(store, ctx, id, &commit, &manifest, err);

	if (r < 0)
		return r;
	restore.manifest = manifest;
	restore.count = manifest_below(manifest, path, &restore.first);
	if (path && restore.count == 0)
		return err_set(err, ERR_NOT_FOUND, "snapshot '%s': '%s' is not in it", id, path);
	if (!path)
		r = fs_mkdirs(partial, 0700, err);
	if (r == 0 && !path)
		r = add_metadata(store, ctx, id, partial, err);
	if (r < 0)
		return r;
	*slash = 0;
	restore.fd = fd = open(*partial ? partial : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	if (fd < 0)
		return err_errno(err, errno, "%s", partial);
	r = restore_items(store, &restore, err);
	FAILPOINT("snapshot.exported");
	return r < 0 ? err_in(err, "snapshot '%s'", id) : 0;
}

/* Durable: the content before the name, and the name. */
static int give_name(const char *partial, const char *to, struct err *err)
{
	_cleanup_talloc_ char *parent = mem_strndup(NULL, to, (size_t)(strrchr(to, '/') - to));
	_cleanup_close_ int fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0 || renameat2(AT_FDCWD, partial, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
		return err_errno(err, errno, "%s", to);
	if (fsync(fd) < 0) {
		int r = err_errno(err, errno, "%s", to);

		(void)rename(to, partial); /* the caller removes it */
		return r;
	}
	return 0;
}

int snapshot_export(struct snapshot_store *store, const char *id, const char *path, const char *to, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	_cleanup_close_ int lock = -1;
	struct err ignored = ERR_INIT;
	struct commit commit;
	char *partial, here[PATH_MAX] = "/";
	int r = commit_read(store, id, &commit, NULL, err);

	if (r < 0)
		return r;
	if (to[0] != '/' && !getcwd(here, sizeof(here)))
		return err_errno(err, errno, "%s", to);
	to = fs_join(ctx, here, to);
	if (text_ends_with(to, "/"))
		return err_set(err, ERR_INVALID, "'%s' is not the name of a folder to be made", to);
	if (fs_exists(to))
		return err_set(err, ERR_INVALID, "%s exists already", to);
	partial = mem_printf(ctx, "%s.partial", to);
	r = store_lock(store, false, &lock, err);
	if (r == 0)
		r = fs_remove_tree(partial, err);
	if (r == 0)
		r = export_to(store, ctx, id, path, partial, err);
	if (r == 0)
		r = give_name(partial, to, err);
	if (r < 0 && fs_remove_tree(partial, &ignored) < 0)
		return err_in(err, "%s is left behind", partial);
	return r;
}
