/* What keeps the store in order (snapshot_store.h): verifying, sweeping, rotating.
 *
 * The sweep removes what no committed snapshot needs. It must know what each of them needs, so it stops at one whose manifest cannot be read, rather than guess; without a key it leaves sealed content alone.
 * Threads: as the store. Processes: the sweep has the store to itself. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "snapshot/names.h"
#include "snapshot/restore.h"

#define PROBLEMS_MAX 1000

struct problem {
	char *path, *what;
};

struct problems {
	void *ctx;
	struct problem *list;
	size_t count, more;
};

static void note_problem(void *user, const char *path, const char *what)
{
	struct problems *problems = user;

	if (problems->count == PROBLEMS_MAX) {
		problems->more++;
		return;
	}
	problems->list[problems->count++] = (struct problem){ mem_strdup(problems->ctx, path), mem_strdup(problems->ctx, what) };
}

static int by_path(const void *a, const void *b)
{
	const struct problem *x = a, *y = b;
	int order = manifest_order(x->path, y->path);

	return order ? order : strcmp(x->what, y->what);
}

static int tell_problems(struct problems *problems, json_t *ret, struct err *err)
{
	size_t count = problems->count + problems->more;

	if (count == 0)
		return 0;
	qsort(problems->list, problems->count, sizeof(*problems->list), by_path);
	for (size_t i = 0; i < problems->count; i++) {
		json_t *problem = json_object();

		json_put_str(problem, "path", problems->list[i].path);
		json_put_str(problem, "problem", problems->list[i].what);
		(void)json_array_append_new(ret, problem);
	}
	if (count > 1)
		return err_set(err, ERR_CORRUPT, "%s: %s (and %zu more)", problems->list[0].path, problems->list[0].what, count - 1);
	return err_set(err, ERR_CORRUPT, "%s: %s", problems->list[0].path, problems->list[0].what);
}

static int verify(struct snapshot_store *store, const void *ctx, const char *id, double share, struct snapshot_summary *ret,
	json_t *ret_problems, struct err *err)
{
	struct problems problems = { .ctx = mem_context(ctx), .list = mem_array(ctx, struct problem, PROBLEMS_MAX) };
	_cleanup_close_ int fd = -1;
	struct manifest *manifest;
	struct commit commit;
	char *folder;
	int r = commit_read_manifest(store, ctx, id, &commit, &manifest, err);

	if (r < 0)
		return r;
	r = store_folder(store, ctx, id, &folder, err);
	if (r < 0)
		return r;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	r = fd < 0 ? err_errno(err, errno, "%s", folder) : names_check(store, manifest, fd, note_problem, &problems, err);
	if (r == 0)
		r = restore_check(store, manifest, share, note_problem, &problems, err);
	if (r == 0)
		r = tell_problems(&problems, ret_problems, err);
	if (r < 0)
		return err_in(err, "snapshot '%s'", id);
	*ret = commit.summary;
	return 0;
}

int snapshot_verify(struct snapshot_store *store, const void *ctx, const char *id, double share, struct snapshot_summary *ret,
	json_t **ret_problems, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	_cleanup_close_ int lock = -1;
	struct commit commit;
	int r = commit_read(store, id, &commit, NULL, err);

	*ret_problems = json_keep(ctx, json_array());
	if (r == 0)
		r = store_lock(store, false, &lock, err);
	return r == 0 ? verify(store, work, id, share, ret, *ret_problems, err) : r;
}

/* The names that are needed: sorted, each once, when it is complete. */
struct needed {
	struct object_id *list;
	size_t count, room;
};

struct sweeping {
	struct snapshot_store *store;
	void *ctx;
	struct needed objects[2]; /* [0] clear, [1] sealed */
	uint8_t *keys;            /* ids of data keys */
	size_t key_count;
	struct snapshot_sweep_result *result;
};

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct object_id));
}

static void sort_needed(struct needed *needed)
{
	size_t kept = 0;

	if (needed->count > 1)
		qsort(needed->list, needed->count, sizeof(*needed->list), by_id);
	for (size_t i = 0; i < needed->count; i++)
		if (kept == 0 || by_id(&needed->list[kept - 1], &needed->list[i]) != 0)
			needed->list[kept++] = needed->list[i];
	needed->count = kept;
}

static void need(struct sweeping *sweeping, struct needed *needed, const struct object_id *ids, size_t count)
{
	if (count == 0)
		return;
	if (needed->count + count > needed->room) {
		needed->room = MAX(needed->room * 2, needed->count + count + 1024);
		needed->list = mem_resize(sweeping->ctx, needed->list, struct object_id, needed->room);
	}
	memcpy(needed->list + needed->count, ids, count * sizeof(*ids));
	needed->count += count;
}

static void need_key(struct sweeping *sweeping, const uint8_t id[SEAL_ID_SIZE])
{
	for (size_t i = 0; i < sweeping->key_count; i++)
		if (memcmp(sweeping->keys + i * SEAL_ID_SIZE, id, SEAL_ID_SIZE) == 0)
			return;
	sweeping->keys = mem_resize(sweeping->ctx, sweeping->keys, uint8_t, (sweeping->key_count + 1) * SEAL_ID_SIZE);
	memcpy(sweeping->keys + sweeping->key_count++ * SEAL_ID_SIZE, id, SEAL_ID_SIZE);
}

static int need_snapshot(struct sweeping *sweeping, const char *id, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct manifest *manifest;
	struct commit commit;
	struct needed *needed;
	bool checked;
	int r = commit_read(sweeping->store, id, &commit, &checked, err);

	if (r == 0 && !checked) /* sealed, and there is no key: sealed content is left alone */
		return 0;
	if (r == 0)
		r = commit_read_manifest(sweeping->store, ctx, id, &commit, &manifest, err);
	if (r < 0)
		return err_in(err, "nothing was removed, for what is needed cannot be told");
	needed = &sweeping->objects[commit.sealed];
	for (size_t i = 0; i < manifest->count; i++)
		need(sweeping, needed, manifest->items[i].objects, manifest->items[i].object_count);
	sort_needed(needed); /* after each, so that memory is bounded by what there is */
	if (commit.sealed)
		need_key(sweeping, commit.key);
	return 0;
}

static int need_committed(struct sweeping *sweeping, bool deployments, struct err *err)
{
	char **ids;
	int r = snapshot_list(sweeping->store, sweeping->ctx, deployments, &ids, err);

	for (size_t i = 0; r == 0 && ids[i]; i++)
		r = need_snapshot(sweeping, ids[i], err);
	return r;
}

static bool is_needed(const struct needed *needed, const char *folder, const char *name)
{
	_cleanup_talloc_ char *hex = mem_printf(NULL, "%s%s", folder, name);
	struct err ignored = ERR_INIT;
	struct object_id id;

	return strlen(hex) == OBJECT_ID_SIZE * 2 && text_unhex(hex, id.bytes, sizeof(id.bytes), &ignored) == 0 && needed->count > 0 &&
		bsearch(&id, needed->list, needed->count, sizeof(id), by_id) != NULL;
}

static int sweep_object(struct sweeping *sweeping, int folder, const char *name, struct err *err)
{
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(folder, name, 0) < 0)
		return errno == ENOENT ? 0 : err_errno(err, errno, "object %s", name);
	sweeping->result->objects++;
	sweeping->result->bytes += st.st_size;
	FAILPOINT("snapshot.swept_object");
	return 0;
}

/* A kept object needs its data key, whichever snapshot that was made for. */
static int keep_key(struct sweeping *sweeping, int folder, const char *name, struct err *err)
{
	_cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct err ignored = ERR_INIT;
	struct object_header header;

	if (fd < 0)
		return err_errno(err, errno, "object %s", name);
	if (object_read_header(fd, &header, &ignored) == 0) /* what is damaged is found by verifying it */
		need_key(sweeping, header.key);
	return 0;
}

static int sweep_folder(struct sweeping *sweeping, bool sealed, int content, const char *name, struct err *err)
{
	_cleanup_close_ int fd = openat(content, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_talloc_ char *path = mem_printf(NULL, "/proc/self/fd/%d", fd), **names = NULL;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, errno, "%s", name);
	r = fs_list(NULL, path, &names, err);
	for (size_t i = 0; r == 0 && names[i]; i++) {
		if (!is_needed(&sweeping->objects[sealed], name, names[i]))
			r = sweep_object(sweeping, fd, names[i], err);
		else if (sealed)
			r = keep_key(sweeping, fd, names[i], err);
	}
	return r;
}

static int sweep_content(struct sweeping *sweeping, bool sealed, struct err *err)
{
	struct err missing = ERR_INIT;
	int content, r = store_content(sweeping->store, sealed, &content, &missing);

	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0)
		*err = missing;
	for (int i = 0; r == 0 && i < 256; i++) {
		char name[3];

		(void)snprintf(name, sizeof(name), "%02x", (unsigned)i);
		r = sweep_folder(sweeping, sealed, content, name, err);
	}
	return r;
}

static bool key_is_needed(void *user, const uint8_t id[SEAL_ID_SIZE])
{
	const struct sweeping *sweeping = user;

	for (size_t i = 0; i < sweeping->key_count; i++)
		if (memcmp(sweeping->keys + i * SEAL_ID_SIZE, id, SEAL_ID_SIZE) == 0)
			return true;
	return false;
}

/* Folders of snapshots that were never finished, or were being removed. */
static int sweep_unfinished(struct sweeping *sweeping, const char *name, struct err *err)
{
	char *root = fs_join(sweeping->ctx, sweeping->store->state_dir, name), **names = NULL;
	int r = fs_exists(root) ? fs_list(sweeping->ctx, root, &names, err) : 0;

	for (size_t i = 0; r == 0 && names && names[i]; i++) {
		char *folder = fs_join(sweeping->ctx, root, names[i]);

		if (text_is_name(names[i]) && !commit_exists(folder))
			r = fs_remove_tree(folder, err);
	}
	FAILPOINT("snapshot.swept_names");
	return r;
}

static int sweep_open(struct sweeping *sweeping, bool (*in_use)(void *user, const char *id), void *user, struct err *err)
{
	char **names = NULL;
	int r = in_use && fs_exists(sweeping->store->open) ? fs_list(sweeping->ctx, sweeping->store->open, &names, err) : 0;

	for (size_t i = 0; r == 0 && names && names[i]; i++)
		if (text_is_name(names[i]) && !in_use(user, names[i]))
			r = fs_remove_tree(fs_join(sweeping->ctx, sweeping->store->open, names[i]), err);
	return r;
}

int snapshot_sweep(struct snapshot_store *store, bool (*in_use)(void *user, const char *id), void *user, struct snapshot_sweep_result *ret,
	struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct sweeping sweeping = { .store = store, .ctx = ctx, .result = ret };
	_cleanup_close_ int lock = -1;
	int r;

	*ret = (struct snapshot_sweep_result){ 0 };
	r = sweep_open(&sweeping, in_use, user, err);
	if (r < 0 || !fs_exists(store->base))
		return r;
	r = store_lock(store, true, &lock, err);
	if (r == 0)
		r = need_committed(&sweeping, false, err);
	if (r == 0)
		r = need_committed(&sweeping, true, err);
	if (r == 0)
		r = sweep_unfinished(&sweeping, "rollback-snapshots", err);
	if (r == 0)
		r = sweep_unfinished(&sweeping, "recorded", err);
	if (r == 0)
		r = sweep_content(&sweeping, false, err);
	if (r < 0 || !seal_has_keys(store->seal))
		return r;
	r = sweep_content(&sweeping, true, err);
	return r == 0 ? seal_sweep(store->seal, key_is_needed, &sweeping, err) : r;
}

int snapshot_rotate(struct snapshot_store *store, int64_t *ret, struct err *err)
{
	_cleanup_close_ int lock = -1;
	int r = 0;

	*ret = 0;
	if (fs_exists(store->base))
		r = store_lock(store, false, &lock, err);
	return r == 0 ? seal_rotate(store->seal, ret, err) : r;
}
