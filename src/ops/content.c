/* The snapshot store and its laid-out content (content.h). What is laid out stays for the run that reads it, and is removed when the run has ended; what an interrupted one left is removed by the next.
 * content_lay_out may be called on another thread than the rest, while that waits; everything else is the workspace's own thread's. */
#include "ops/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/redact.h"

#define CHECK_BYTES_MAX  ((int64_t)64 << 20) /* more than that is not laid out for a check */
#define HOLD_PATIENCE_MS 2000
#define VERSIONS_MAX     500 /* newest deployments that a version is looked for in */

static int read_keys(struct workspace *workspace, const void *ctx, struct snapshot_keys *ret, struct err *err)
{
	const struct snapshots_config *config = &workspace->project->snapshots;
	struct snapshot_key *list = mem_array(ctx, struct snapshot_key, config->key_count + 1);

	for (size_t i = 0; i < config->key_count; i++) {
		int r;

		list[i].version = (int)config->keys[i].version;
		r = json_read_secret(ctx, config->keys[i].key, workspace->dir, &list[i].secret, err);
		if (r < 0)
			return err_in(err, "snapshots.seal: key %d", list[i].version);
	}
	*ret = (struct snapshot_keys){ .current = list[0].version, .list = list, .count = config->key_count };
	return 0;
}

int content_store(struct workspace *workspace, struct snapshot_store **ret, struct err *err)
{
	struct snapshot_store_options options = { .state_dir = workspace->places.state_dir };
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct snapshot_keys keys;
	int r;

	if (!workspace->snapshots) {
		r = workspace_project(workspace, err);
		if (r < 0)
			return r;
		options.project = workspace->project->name;
		if (workspace->project->snapshots.key_count) {
			r = read_keys(workspace, tmp, &keys, err);
			if (r < 0)
				return r;
			options.keys = &keys;
		}
		r = snapshot_store_open(workspace, &options, &workspace->snapshots, err);
		if (r < 0)
			return err_in(err, "snapshot store");
	}
	*ret = workspace->snapshots;
	return 0;
}

int content_reopen(struct workspace *workspace, struct snapshot_store **ret, struct err *err)
{
	talloc_free(workspace->snapshots);
	workspace->snapshots = NULL;
	return content_store(workspace, ret, err);
}

int content_for_check(struct op *op, const char *id, const char *component, const char **ret_dir, bool *ret_kept, const char **ret_trouble,
	struct err *err)
{
	struct snapshot_store *store;
	char *path = call_content_path(op->ctx, id, component), *dir = NULL;
	struct snapshot_summary size = { 0 };
	struct err why = ERR_INIT;
	int r;

	*ret_dir = NULL;
	*ret_kept = false;
	*ret_trouble = NULL;
	r = content_store(op->workspace, &store, err);
	if (r < 0)
		return r;
	r = snapshot_measure(store, id, path, &size, &why);
	if (r == 0 && size.bytes > CHECK_BYTES_MAX)
		*ret_kept = true;
	else if (r == 0 && content_hold(op->workspace, id, err) < 0)
		return -(int)err->code;
	else if (r == 0)
		r = snapshot_open(store, op->ctx, id, path, &dir, &why);
	if (r < 0 && r != -ERR_NOT_FOUND)
		*ret_trouble = mem_strdup(op->ctx, why.text);
	*ret_dir = dir;
	return 0;
}

void content_put(json_t *request, const char *dir, bool kept)
{
	json_put_str(request, "sourceDir", dir);
	if (kept)
		json_put_flag(request, "sourceKept", true);
}

int content_begin(struct op *op, const struct snapshot_metadata *metadata, struct err *err)
{
	struct snapshot_store *store;
	int r;

	r = content_hold(op->workspace, metadata->id, err);
	if (r == 0)
		r = content_store(op->workspace, &store, err);
	return r < 0 ? r : snapshot_begin(store, metadata, err);
}

int content_adopt(struct op *op, const char *id, const char *from, const char *component, struct err *err)
{
	struct snapshot_store *store;
	struct err why = ERR_INIT;
	char *dir, *path = call_content_path(op->ctx, from, component);
	int r;

	r = content_store(op->workspace, &store, err);
	if (r == 0)
		r = content_hold(op->workspace, from, err);
	if (r < 0)
		return r;
	r = snapshot_open(store, op->ctx, from, path, &dir, &why);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		return snapshot_add_tree(store, id, path, dir, err);
	*err = why;
	return r;
}

int content_keep(struct op *op, const char *id, struct err *err)
{
	struct snapshot_summary summary;
	struct snapshot_store *store;
	int r;

	r = content_store(op->workspace, &store, err);
	return r < 0 ? r : snapshot_seal(store, id, &summary, err);
}

void content_describe(const struct snapshot_summary *summary, json_t *object)
{
	json_put_int(object, "files", summary->files);
	json_put_int(object, "bytes", summary->bytes);
	json_put_str(object, "manifest", summary->manifest);
	json_put_flag(object, "sealed", summary->sealed);
}

/* A configuration version without a deployment: the newest deployment that had it, and whose content is kept. */
static int find_version(struct op *op, const struct environment *environment, const char *component, const char *version, json_t *request,
	struct err *err)
{
	struct deployment **list;
	struct snapshot_store *store;
	size_t count;
	int r;

	r = content_store(op->workspace, &store, err);
	if (r == 0)
		r = store_deployments(op->workspace->store, op->ctx, environment->name, VERSIONS_MAX, &list, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct snapshot_summary size = { 0 };
		struct err ignored = ERR_INIT;

		if (strcmp(json_str(json_object_get(list[i]->components, component), "version", ""), version) != 0 ||
			snapshot_measure(store, list[i]->id, call_content_path(op->ctx, list[i]->id, component), &size, &ignored) < 0 ||
			size.files == 0)
			continue;
		json_put_str(request, "sourceDir", call_content_dir(op->ctx, &op->workspace->places, list[i]->id, component));
		return 0;
	}
	return r;
}

static bool is_verb(const json_t *request, const char *verb)
{
	return !strcmp(json_str(request, "verb", ""), verb);
}

/* What is read is laid out: sources of a target; what was captured, where an undo returns to it or an observation compares with it. */
static bool reads_snapshot(const json_t *request)
{
	return is_verb(request, "undo") || (is_verb(request, "observe") && !json_object_get(request, "target"));
}

/* 1: something is read that must be laid out. */
static int hold_all(struct workspace *workspace, const json_t *request, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *dirs = json_keep(tmp, json_array()), *dir;
	struct snapshot_store *store;
	const char *id, *path;
	int count = 0, r = 0;
	size_t i;

	(void)json_array_append(dirs, json_object_get(request, "sourceDir"));
	json_object_foreach(json_object_get(request, "sources"), id, dir)
		(void)json_array_append(dirs, dir);
	if (reads_snapshot(request))
		(void)json_array_append(dirs, json_object_get(request, "snapshotDir"));
	json_array_foreach(dirs, i, dir)
		if (r == 0 && json_is_string(dir) && call_inside_open(tmp, &workspace->places, json_string_value(dir), &id, &path)) {
			r = content_hold(workspace, id, err);
			count++;
		}
	if (r == 0 && count > 0)
		r = content_store(workspace, &store, err); /* here, not on the other thread */
	return r < 0 ? r : count > 0;
}

int content_resolve(struct op *op, const struct environment *environment, json_t *request, struct err *err)
{
	json_t *target = json_object_get(request, "target");
	const char *version = json_str(target, "version", NULL), *name = json_str(request, "name", NULL);
	const char *type = json_str(json_object_get(request, "step"), "type", "");

	if (is_verb(request, "capture"))
		return 0;
	if (!strcmp(type, "configuration") && version && name && !json_object_get(request, "sourceDir")) {
		int r = find_version(op, environment, name, version, request, err);

		if (r < 0)
			return r;
	}
	return hold_all(op->workspace, request, err);
}

/* `needed`: without it the call is not made. Content that is not in the store may be there all the same: captured by this very run, and not taken into the store yet. */
static int lay_out(struct workspace *workspace, struct snapshot_store *store, const char *dir, bool needed, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct err why = ERR_INIT;
	const char *id, *path;
	int r;

	if (!call_inside_open(tmp, &workspace->places, dir, &id, &path))
		return 0;
	r = snapshot_open(store, tmp, id, path, NULL, &why);
	if (r == 0 || r == -ERR_NOT_FOUND || !needed)
		return 0; /* the driver says what it misses, in its own words */
	*err = why;
	return err_in(err, "the content of %s", id);
}

int content_lay_out(struct workspace *workspace, json_t *request, struct err *err)
{
	bool needed = !is_verb(request, "observe");
	const char *source = json_str(request, "sourceDir", NULL), *id;
	struct snapshot_store *store;
	json_t *dir;
	int r;

	r = content_store(workspace, &store, err);
	if (r == 0 && source)
		r = lay_out(workspace, store, source, needed, err);
	json_object_foreach(json_object_get(request, "sources"), id, dir)
		if (r == 0)
			r = lay_out(workspace, store, json_string_value(dir), needed, err);
	if (r == 0 && reads_snapshot(request))
		r = lay_out(workspace, store, json_str(request, "snapshotDir", ""), needed, err);
	return r;
}

int content_keep_ledger(struct op *op, const void *ctx, const struct run *run, json_t **ret_entry, struct err *err)
{
	char *dir = mem_printf(ctx, "%s/%s/" CALL_LEDGER, op->workspace->places.open_root, run->id), *id;
	struct snapshot_metadata metadata = { .environment = run->environment,
		.from = run->from,
		.to = run->to,
		.wall_ms = clock_wall_ms() };
	struct snapshot_store *store;
	struct snapshot_summary summary;
	int r;

	*ret_entry = NULL;
	if (!fs_is_dir(dir))
		return 0;
	metadata.id = id = mem_printf(ctx, "%s" LEDGER_SUFFIX, run->id);
	r = content_store(op->workspace, &store, err);
	if (r == 0)
		r = snapshot_begin(store, &metadata, err);
	if (r == 0)
		r = snapshot_add_tree(store, id, CALL_LEDGER, dir, err);
	if (r == 0)
		r = snapshot_seal(store, id, &summary, err);
	if (r < 0)
		return err_in(err, "keeping what the restore took away");
	*ret_entry = json_make(ctx, "{s:s}", "snapshot", id);
	content_describe(&summary, *ret_entry);
	return 0;
}

/* ---- what is laid out, and until when ---- */

/* One byte of the lock file stands for an id: shared while somebody uses what is laid out of it. The locks belong to the open file, so they end with the process, and two threads do not share them. Two ids on one byte
 * only keep each other a little longer. */
static int lock_byte(struct workspace *workspace, const char *id, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };
	char hash[HASH_HEX_SIZE];

	hash_blake2b_hex(id, strlen(id), hash);
	hash[8] = '\0';
	lock.l_start = (off_t)strtoll(hash, NULL, 16);
	return fcntl(workspace->open_lock, F_OFD_SETLK, &lock);
}

static int close_lock(struct workspace *workspace)
{
	(void)close(workspace->open_lock);
	return 0;
}

int content_hold(struct workspace *workspace, const char *id, struct err *err)
{
	char *path = fs_join(workspace, workspace->places.open_root, "lock");
	int r;

	for (size_t i = 0; i < workspace->held_count; i++)
		if (!strcmp(workspace->held[i], id))
			return 0;
	if (!workspace->held) {
		r = fs_mkdirs(workspace->places.open_root, 0700, err);
		if (r < 0)
			return r;
		workspace->open_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (workspace->open_lock < 0)
			return err_errno(err, errno, "%s", path);
		workspace->held = mem_array(workspace, char *, 1);
		talloc_set_destructor(workspace, close_lock);
	}
	/* Whoever removes it holds the byte for a moment. */
	for (int64_t until_ms = clock_mono_ms() + HOLD_PATIENCE_MS; lock_byte(workspace, id, F_RDLCK) < 0; clock_sleep_ms(1))
		if ((errno != EAGAIN && errno != EACCES) || clock_mono_ms() >= until_ms)
			return err_errno(err, errno, "%s", path);
	workspace->held = mem_resize(workspace, workspace->held, char *, workspace->held_count + 1);
	workspace->held[workspace->held_count++] = mem_strdup(workspace->held, id);
	return 0;
}

/* What an unfinished run captured stays. */
static bool is_done_with(struct workspace *workspace, const char *id)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct err why = ERR_INIT;
	struct run_row run;
	int r;

	if (!text_starts_with(id, "run-") || text_ends_with(id, LEDGER_SUFFIX))
		return true;
	r = store_run(workspace->store, tmp, id, &run, &why);
	return r == 0 ? run.ended_ms != 0 : r == -ERR_NOT_FOUND;
}

bool content_is_held(struct workspace *workspace, const char *id)
{
	struct err ignored = ERR_INIT;
	bool held;

	if (content_hold(workspace, id, &ignored) < 0)
		return true;
	held = lock_byte(workspace, id, F_WRLCK) < 0;
	if (!held)
		(void)lock_byte(workspace, id, F_RDLCK);
	return held;
}

void content_release(struct workspace *workspace)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct snapshot_store *store;
	struct err why = ERR_INIT;
	char **names;

	if (!workspace->held_count)
		return;
	for (size_t i = 0; i < workspace->held_count; i++)
		(void)lock_byte(workspace, workspace->held[i], F_UNLCK);
	workspace->held_count = 0;
	if (!workspace->store || content_store(workspace, &store, &why) < 0 || fs_list(tmp, workspace->places.open_root, &names, &why) < 0)
		return;
	for (; *names; names++) {
		if (!text_is_name(*names) || !strcmp(*names, "lock") || !is_done_with(workspace, *names) ||
			lock_byte(workspace, *names, F_WRLCK) < 0)
			continue;
		if (snapshot_close(store, *names, &why) < 0)
			log_err(LOG_WARN, &why);
		(void)lock_byte(workspace, *names, F_UNLCK);
	}
}
