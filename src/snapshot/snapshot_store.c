/* The snapshot store (snapshot_store.h): opening it, taking a snapshot, and asking what is there. docs/snapshots.md describes the whole.
 *
 * Taking one: objects under temporary names, flush, their names; the folder of the snapshot with names, manifest and metadata.json, and its commit under another name; flush; the commit's name; flush. A folder
 * without commit is made anew from nothing. So whatever moment it ends at, there is a whole snapshot or none, and what is left lies about until the next sweep.
 * Threads: one store belongs to one thread. */
#include "snapshot/snapshot_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"
#include "snapshot/ingest.h"
#include "snapshot/names.h"
#include "snapshot/opened.h"

#define METADATA_MAX  ((size_t)1 << 20)
#define PROJECT_MAX   128
#define NAME_ATTEMPTS 3
#define THREADS_MAX   64

static int destroy(struct snapshot_store *store)
{
	for (size_t i = 0; i < ARRAY_SIZE(store->content); i++)
		if (store->content[i] >= 0)
			(void)close(store->content[i]);
	return 0;
}

int snapshot_store_open(const void *ctx, const struct snapshot_store_options *options, struct snapshot_store **ret, struct err *err)
{
	_cleanup_talloc_ struct snapshot_store *store = NULL;
	_cleanup_talloc_ char *keys = NULL;
	int r;

	if (options->state_dir[0] != '/' || strlen(options->project) == 0 || strlen(options->project) > PROJECT_MAX ||
		!text_is_utf8(options->project, strlen(options->project)) || options->threads < 0 || options->threads > THREADS_MAX)
		return err_set(err, ERR_INVALID,
			"the snapshot store needs an absolute folder, and a project with a name of at most %d bytes", PROJECT_MAX);
	store = mem_zero(ctx, struct snapshot_store);
	store->content[0] = store->content[1] = -1;
	talloc_set_destructor(store, destroy);
	store->state_dir = mem_strdup(store, options->state_dir);
	store->project = mem_strdup(store, options->project);
	store->base = fs_join(store, store->state_dir, "snapshot-store");
	store->open = fs_join(store, store->state_dir, "open");
	store->workers = workers_new(store, options->threads);
	keys = fs_join(NULL, store->base, "keys");
	r = seal_open(store, keys, options->keys, &store->seal, err);
	if (r < 0)
		return err_in(err, "snapshots");
	*ret = take_pointer(store);
	return 0;
}

bool snapshot_store_sealed(const struct snapshot_store *store)
{
	return seal_has_keys(store->seal);
}

static char *metadata_text(const void *ctx, const struct snapshot_metadata *metadata)
{
	json_t *content = json_keep(ctx, json_object());

	json_put_str(content, "rollbackId", metadata->id);
	json_put_str(content, "timestamp", clock_format(ctx, metadata->wall_ms));
	json_put_str(content, "environment", metadata->environment);
	json_put_str(content, "fromDeploymentId", metadata->from);
	json_put_str(content, "toDeploymentId", metadata->to);
	json_put_flag(content, "preserveData", metadata->preserve_data);
	return json_pretty(ctx, content);
}

/* A loss of power may have left its notes in part: those that cannot be read are made anew. Trees are added after each beginning. */
static bool is_begun(const char *open_folder, const char *id)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *metadata, *sources;
	struct err ignored = ERR_INIT;

	return opened_read(ctx, open_folder, OPENED_METADATA, &metadata, &ignored) == 0 &&
		strcmp(json_str(metadata, "rollbackId", ""), id) == 0 &&
		opened_read(ctx, open_folder, OPENED_SOURCES, &sources, &ignored) == 0;
}

int snapshot_begin(struct snapshot_store *store, const struct snapshot_metadata *metadata, struct err *err)
{
	static const char *const parts[] = { "config", "state", "database" };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *folder, *open_folder;
	int r = store_folder(store, ctx, metadata->id, &folder, err);

	if (r < 0 || commit_exists(folder))
		return r;
	open_folder = store_open_folder(store, ctx, metadata->id);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = fs_mkdirs(fs_join(ctx, open_folder, parts[i]), 0700, err);
	if (r == 0 && !is_begun(open_folder, metadata->id)) {
		r = fs_remove_tree(fs_join(ctx, open_folder, OPENED_SOURCES), err);
		if (r == 0)
			r = opened_write(open_folder, OPENED_METADATA, metadata_text(ctx, metadata), err);
	}
	return r < 0 ? err_in(err, "snapshot '%s'", metadata->id) : 0;
}

static int begun_folder(const struct snapshot_store *store, const void *ctx, const char *id, char **ret, struct err *err)
{
	*ret = store_open_folder(store, ctx, id);
	return opened_has(*ret, OPENED_METADATA) ? 0 : err_set(err, ERR_INVALID, "snapshot '%s' was never begun", id);
}

int snapshot_add_tree(struct snapshot_store *store, const char *id, const char *as, const char *from, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *sources;
	char *folder;
	int r = store_folder(store, ctx, id, &folder, err);

	if (r < 0 || commit_exists(folder))
		return r;
	if (!manifest_is_path(as) || from[0] != '/' || !text_is_utf8(as, strlen(as)) || !text_is_utf8(from, strlen(from)))
		return err_set(err, ERR_INVALID, "snapshot '%s': '%s' cannot be added as '%s'", id, from, as);
	r = begun_folder(store, ctx, id, &folder, err);
	if (r == 0)
		r = opened_read(ctx, folder, OPENED_SOURCES, &sources, err);
	if (r < 0)
		return r;
	json_put_str(sources, as, from);
	return opened_write(folder, OPENED_SOURCES, json_pretty(ctx, sources), err);
}

/* What one taking needs. */
struct taking {
	void *ctx;
	struct snapshot_store *store;
	const char *id;
	char *open_folder, *folder;
	char *metadata;
	struct seal_key key;
	struct ingest *ingest;
	json_t *sources;
};

static int list_sources(struct taking *taking, struct err *err)
{
	const char *as;
	json_t *from;
	int r = opened_read(taking->ctx, taking->open_folder, OPENED_SOURCES, &taking->sources, err);

	if (r == 0)
		r = ingest_add(taking->ingest, taking->open_folder, "", err);
	json_object_foreach(taking->sources, as, from) {
		if (r == 0)
			r = ingest_add(taking->ingest, json_string_value(from), as, err);
	}
	return r;
}

static int refuse_own_names(const struct manifest *manifest, struct err *err)
{
	for (size_t i = 0; i < manifest->count; i++)
		if (names_is_own(manifest->items[i].path))
			return err_set(err, ERR_INVALID, "'%s' is a name of the store's own", manifest->items[i].path);
	return 0;
}

/* Objects, then names. What the cache knew and a sweep has removed is read after all. */
static int store_content_and_names(struct taking *taking, struct err *err)
{
	size_t missing = 1;
	int r = 0;

	for (int attempt = 0; r == 0 && missing > 0; attempt++) {
		_cleanup_close_ int fd = -1;
		_cleanup_talloc_ bool *gone = NULL;
		struct manifest *manifest;

		if (attempt == NAME_ATTEMPTS)
			return err_set(err, ERR_CONFLICT, "objects of the store go while they are used");
		r = ingest_store(taking->ingest, err);
		if (r < 0)
			return r;
		manifest = ingest_manifest(taking->ingest);
		r = refuse_own_names(manifest, err);
		if (r == 0)
			r = fs_remove_tree(taking->folder, err);
		if (r == 0)
			r = fs_mkdirs(taking->folder, 0700, err); /* flushed with the rest */
		if (r < 0)
			return r;
		fd = open(taking->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return err_errno(err, errno, "%s", taking->folder);
		gone = mem_array(NULL, bool, manifest->count + 1);
		r = names_make(taking->store, manifest, fd, gone, &missing, err);
		for (size_t i = 0; r == 0 && missing && i < manifest->count; i++)
			if (gone[i])
				ingest_forget(taking->ingest, i);
	}
	return r;
}

static int write_file(int folder, const char *name, const void *bytes, size_t size, struct err *err)
{
	_cleanup_close_ int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? err_errno(err, errno, "%s", name) : fs_write_all(fd, bytes, size, err);

	return r < 0 ? err_in(err, "%s", name) : 0;
}

static int write_manifest(struct taking *taking, int folder, const char *text, size_t size, struct err *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_talloc_ uint8_t *packed = NULL;
	struct object_work *work;
	struct object_id bind;
	int64_t stored;
	int r;

	if (!snapshot_store_sealed(taking->store))
		return write_file(folder, "manifest", text, size, err);
	fd = openat(folder, "manifest", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
	if (fd < 0)
		return err_errno(err, errno, "manifest");
	r = workers_own(taking->store->workers, &work, err);
	if (r < 0)
		return r;
	packed = mem_resize(NULL, NULL, uint8_t, size);
	commit_bind(taking->id, taking->store->project, &bind);
	r = object_write(work, &taking->key, OBJECT_MANIFEST, &bind, (const uint8_t *)text, size, packed, fd, &stored, err);
	return r < 0 ? err_in(err, "manifest") : 0;
}

static int write_commit(struct taking *taking, int folder, const char *manifest, size_t size, struct snapshot_summary *ret, struct err *err)
{
	struct snapshot_store *store = taking->store;
	bool sealed = snapshot_store_sealed(store);
	struct commit commit = { .sealed = sealed };
	char *text;
	int r;

	(void)snprintf(commit.id, sizeof(commit.id), "%s", taking->id);
	(void)snprintf(commit.project, sizeof(commit.project), "%s", store->project);
	hash_blake2b_hex(taking->metadata, strlen(taking->metadata), commit.metadata);
	hash_blake2b_hex(manifest, size, commit.manifest);
	memcpy(commit.key, taking->key.id, SEAL_ID_SIZE);
	ingest_summarise(taking->ingest, &commit.summary);
	memcpy(commit.summary.manifest, commit.manifest, sizeof(commit.summary.manifest));
	r = commit_write(store, taking->ctx, &commit, sealed ? &taking->key : NULL, &text, err);
	if (r == 0)
		r = write_file(folder, ".commit", text, strlen(text), err);
	*ret = commit.summary;
	return r;
}

/* The store may stand on another file system than the folders of its snapshots. */
static int flush(struct taking *taking, int folder, struct err *err)
{
	struct stat here, there;
	int content, r = store_content(taking->store, snapshot_store_sealed(taking->store), &content, err);

	if (r < 0)
		return r;
	if (fstat(folder, &here) < 0 || fstat(content, &there) < 0 || (here.st_dev != there.st_dev && syncfs(content) < 0) ||
		syncfs(folder) < 0)
		return err_errno(err, errno, "cannot flush");
	return 0;
}

/* Manifest, metadata and commit beside what is in the folder; flushed before the commit has its name, and after. */
static int commit(struct taking *taking, struct snapshot_summary *ret, struct err *err)
{
	_cleanup_close_ int folder = open(taking->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct manifest *manifest = ingest_manifest(taking->ingest);
	char *text;
	size_t size;
	int r;

	if (folder < 0)
		return err_errno(err, errno, "%s", taking->folder);
	manifest->project = taking->store->project;
	manifest->snapshot = taking->id;
	text = manifest_write(taking->ctx, manifest, &size);
	if (size > MANIFEST_SIZE_MAX)
		return err_set(err, ERR_TOO_LARGE, "its manifest would be larger than %zu bytes", MANIFEST_SIZE_MAX);
	r = write_manifest(taking, folder, text, size, err);
	if (r == 0)
		r = write_file(folder, "metadata.json", taking->metadata, strlen(taking->metadata), err);
	if (r == 0)
		r = write_commit(taking, folder, text, size, ret, err);
	if (r == 0)
		r = flush(taking, folder, err);
	if (r < 0)
		return r;
	FAILPOINT("snapshot.manifest_written");
	if (renameat(folder, ".commit", folder, "commit") < 0)
		return err_errno(err, errno, "commit");
	FAILPOINT("snapshot.commit_named");
	if (fsync(folder) < 0) {
		r = err_errno(err, errno, "cannot flush");
		(void)unlinkat(folder, "commit", 0);
		return r;
	}
	FAILPOINT("snapshot.committed");
	return 0;
}

/* The folder goes when this fails, so that nothing half is left of it. */
static int take(struct taking *taking, struct snapshot_summary *ret, struct err *err)
{
	struct snapshot_store *store = taking->store;
	bool sealed = snapshot_store_sealed(store);
	struct err ignored = ERR_INIT;
	int r = store_prepare(store, err);

	if (r == 0 && sealed)
		r = seal_new_key(store->seal, &taking->key, err);
	FAILPOINT("snapshot.key_written");
	if (r == 0)
		r = ingest_new(taking->ctx, store, sealed ? &taking->key : NULL, &taking->ingest, err);
	if (r == 0)
		r = list_sources(taking, err);
	if (r == 0)
		r = store_content_and_names(taking, err);
	if (r == 0)
		r = commit(taking, ret, err);
	if (r < 0 && fs_remove_tree(taking->folder, &ignored) < 0)
		return err_in(err, "%s is left behind", taking->folder);
	return r;
}

/* What comes after the commit makes the next use faster; a failure there is no failure of the snapshot. */
static void finish(struct taking *taking)
{
	struct err ignored = ERR_INIT;

	if (ingest_remember(taking->ingest, &ignored) < 0 || opened_note_taken(taking->open_folder, taking->sources, &ignored) < 0)
		return;
	FAILPOINT("snapshot.remembered");
}

static int take_locked(struct taking *taking, struct snapshot_summary *ret, struct err *err)
{
	_cleanup_close_ int lock = -1, folder = -1;
	size_t size;
	int r = store_lock(taking->store, false, &lock, err);

	if (r == 0)
		r = begun_folder(taking->store, taking->ctx, taking->id, &taking->open_folder, err);
	if (r == 0)
		r = store_lock_folder(taking->open_folder, &folder, err);
	if (r < 0)
		return r;
	if (commit_exists(taking->folder)) /* while this one waited */
		return snapshot_seal(taking->store, taking->id, ret, err);
	r = fs_read(taking->ctx, fs_join(taking->ctx, taking->open_folder, OPENED_METADATA), METADATA_MAX, &taking->metadata, &size, err);
	if (r == 0)
		r = take(taking, ret, err);
	if (r < 0)
		return err_in(err, "snapshot '%s'", taking->id);
	finish(taking);
	return 0;
}

int snapshot_seal(struct snapshot_store *store, const char *id, struct snapshot_summary *ret, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct taking taking = { .ctx = ctx, .store = store, .id = id };
	struct manifest *manifest;
	struct commit done;
	int r = store_folder(store, ctx, id, &taking.folder, err);

	if (r == 0 && commit_exists(taking.folder)) {
		r = commit_read_manifest(store, ctx, id, &done, &manifest, err);
		if (r == 0)
			*ret = done.summary;
	} else if (r == 0) {
		r = take_locked(&taking, ret, err);
	}
	sodium_memzero(&taking.key, sizeof(taking.key));
	return r;
}

int snapshot_read_metadata(struct snapshot_store *store, const void *ctx, const char *id, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct commit done;
	char *folder, *text;
	bool checked;
	size_t size;
	int r = commit_read(store, id, &done, &checked, err);

	if (r == 0)
		r = store_folder(store, work, id, &folder, err);
	if (r == 0)
		r = fs_read(work, fs_join(work, folder, "metadata.json"), METADATA_MAX, &text, &size, err);
	if (r < 0)
		return r;
	r = json_parse(ctx, text, size, METADATA_MAX, ret, err);
	if (r < 0) {
		(void)err_as(err, ERR_CORRUPT);
		return err_in(err, "snapshot '%s': metadata.json", id);
	}
	return 0;
}

int snapshot_files(struct snapshot_store *store, const void *ctx, const char *id, const char *path, json_t **ret, struct err *err)
{
	static const char *const types[] = { [MANIFEST_FOLDER] = "folder", [MANIFEST_FILE] = "file", [MANIFEST_LINK] = "link" };
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct manifest *manifest;
	struct commit done;
	size_t first, count;
	int r = commit_read_manifest(store, work, id, &done, &manifest, err);

	if (r < 0)
		return r;
	*ret = json_keep(ctx, json_array());
	count = manifest_below(manifest, path, &first);
	for (size_t i = first; i < first + count; i++) {
		const struct manifest_item *item = &manifest->items[i];
		json_t *object = json_object();
		char mode[8];

		json_put_str(object, "path", item->path);
		json_put_str(object, "type", types[item->type]);
		(void)snprintf(mode, sizeof(mode), "%04o", item->mode & 07777);
		if (item->type != MANIFEST_LINK)
			json_put_str(object, "mode", mode);
		if (item->type == MANIFEST_FILE)
			json_put_int(object, "size", (int64_t)item->size);
		json_put_str(object, "target", item->target);
		(void)json_array_append_new(*ret, object);
	}
	return 0;
}

int snapshot_measure(struct snapshot_store *store, const char *id, const char *path, struct snapshot_summary *ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct manifest *manifest;
	struct commit done;
	size_t first, count;
	int r = commit_read_manifest(store, work, id, &done, &manifest, err);

	if (r < 0)
		return r;
	*ret = (struct snapshot_summary){ .sealed = done.sealed };
	memcpy(ret->manifest, done.manifest, sizeof(ret->manifest));
	count = manifest_below(manifest, path, &first);
	for (size_t i = first; i < first + count; i++) {
		ret->files += manifest->items[i].type == MANIFEST_FILE;
		ret->bytes += (int64_t)manifest->items[i].size;
	}
	return 0;
}

int snapshot_list(struct snapshot_store *store, const void *ctx, bool deployments, char ***ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *root = fs_join(work, store->state_dir, deployments ? "recorded" : "rollback-snapshots"), **names = NULL, **list;
	size_t count = 0, kept = 0;
	int r = fs_exists(root) ? fs_list(work, root, &names, err) : 0;

	if (r < 0)
		return r;
	while (names && names[count])
		count++;
	list = mem_array(ctx, char *, count + 1);
	for (size_t i = 0; i < count; i++)
		if (text_is_name(names[i]) && commit_exists(fs_join(work, root, names[i])))
			list[kept++] = mem_strdup(list, names[i]);
	*ret = list;
	return 0;
}

int snapshot_remove(struct snapshot_store *store, const char *id, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	_cleanup_close_ int lock = -1;
	char *folder;
	int r = store_folder(store, ctx, id, &folder, err);

	if (r == 0 && fs_exists(store->base)) /* a sweep would remove the same */
		r = store_lock(store, false, &lock, err);
	if (r < 0)
		return r;
	if (unlink(fs_join(ctx, folder, "commit")) == 0)
		r = fs_sync_dir(folder, err);
	else if (errno != ENOENT && errno != ENOTDIR)
		r = err_errno(err, errno, "snapshot '%s': commit", id);
	FAILPOINT("snapshot.removed");
	if (r == 0)
		r = fs_remove_tree(folder, err);
	return r == 0 ? snapshot_close(store, id, err) : r;
}
