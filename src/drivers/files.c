/* files: configuration files as one component. Its version is a sum over paths and contents, so that any change of any file is another
 * version.
 *
 * target {version | configVersion}   the files as they were when that version was recorded (source_dir; without one, it is looked for
 *   among what was recorded for this component)
 * target {items: {KEY: value}}       single items; null removes. KEY is a name of an env file or a path in a JSON or YAML file, with
 *   "FILE:" in front where several files could be meant
 *
 * Every file is replaced as a whole, atomically; mode and owner stay. Several files are not one transaction: a driver that dies between
 * two of them is asked again, sees which differ, and writes those.
 * No value ever appears in a message or in details: they may be secrets. Threads: the process has one. */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/config_edit.h"
#include "drivers/files_kept.h"
#include "drivers/list.h"
#include "drivers/room.h"
#include "drivers/sandbox.h"

#define COMPARED_MAX 500u /* keys whose values are compared: each is read from the text anew */

struct files_params {
	const char **paths;
};

/* clang-format off */
static const struct field files_fields[] = {
	FIELD_FILES(struct files_params, paths, REQUIRED, "configuration files, relative to the project; they need not exist"),
	FIELD_END
};
/* clang-format on */

/* What is to be reached: kept contents, or items. */
struct goal {
	const char *dir; /* where the content is kept; NULL: items, or nothing to go to */
	struct config_files kept;
	json_t *items;
	const char *version; /* as asked for; NULL */
};

static int read_present(struct driver_call *call, struct config_files *ret, struct err *err)
{
	const struct files_params *params = call->params;

	return files_read(call->ctx, call->project_dir, (const char *const *)params->paths, ret, err);
}

static bool same(const struct config_file *a, const struct config_file *b)
{
	return a->present == b->present && strcmp(a->sum, b->sum) == 0;
}

/* True when every configured file that was kept stands as it was kept. */
static bool is_as_kept(const struct config_files *now, const struct config_files *kept)
{
	for (size_t i = 0; i < now->count; i++) {
		const struct config_file *file = files_find(kept, now->list[i].path);

		if (file && !same(&now->list[i], file))
			return false;
	}
	return true;
}

/* ---- the goal ---- */

/* A configuration version without a deployment: the newest record of this component that has it. */
static const char *find_recorded(struct driver_call *call, const char *version)
{
	char *root = fs_join(call->ctx, call->state_dir, "recorded"), **names;
	struct err ignored = ERR_INIT;
	size_t count = 0;

	if (!text_is_name(call->name) || !fs_is_dir(root) || fs_list(call->ctx, root, &names, &ignored) < 0)
		return NULL;
	while (names[count])
		count++;
	while (count-- > 0) { /* names begin with their time, so the last is the newest */
		char *dir = mem_printf(call->ctx, "%s/%s/%s", root, names[count], call->name);
		struct config_files kept;

		if (files_kept(call->ctx, dir, &kept, &ignored) == 0 && strcmp(kept.version, version) == 0)
			return dir;
	}
	return NULL;
}

static int read_goal(struct driver_call *call, const struct config_files *now, struct goal *ret, struct err *err)
{
	const char *version = json_str(call->target, "version", json_str(call->target, "configVersion", NULL));
	json_t *items = json_object_get(call->target, "items");
	int r;

	if (!items)
		items = json_object_get(call->target, "configItems");
	*ret = (struct goal){ .version = version, .items = items };
	if (items) {
		if (!json_is_object(items) || json_object_size(items) == 0)
			return err_set(err, ERR_INVALID, "items: must be an object with at least one item");
		return version ? err_set(err, ERR_INVALID, "a version and single items at once: take two steps") : 0;
	}
	ret->dir = call->source_dir;
	if (!ret->dir && version && strcmp(version, now->version) == 0)
		return 0; /* it stands there already */
	if (!ret->dir && version)
		ret->dir = find_recorded(call, version);
	if (!ret->dir)
		return version ? err_set(err, ERR_NOT_FOUND, "the content of configuration version '%s' is not kept", version)
			       : err_set(err, ERR_INVALID, "the target names neither a version nor items");
	r = files_kept(call->ctx, ret->dir, &ret->kept, err);
	if (r < 0)
		return r;
	if (version && text_starts_with(version, "cfg-") && strcmp(version, ret->kept.version) != 0)
		return err_set(err, ERR_CORRUPT, "version '%s' was asked for, but '%s' is kept there", version, ret->kept.version);
	return 0;
}

/* ---- items ---- */

/* Which file an item is of. *ret_file NULL: it is to be removed and stands nowhere. */
static int find_item_file(struct driver_call *call, const struct config_files *files, const char *name, bool removes,
	struct config_file **ret_file, const char **ret_key, struct err *err)
{
	struct config_file *found = NULL, *only = NULL;
	size_t matches = 0, candidates = 0;

	for (size_t i = 0; i < files->count; i++) { /* "FILE:KEY" */
		size_t length = strlen(files->list[i].path);

		if (strncmp(name, files->list[i].path, length) == 0 && name[length] == ':' && name[length + 1]) {
			*ret_file = &files->list[i];
			*ret_key = name + length + 1;
			return 0;
		}
	}
	*ret_key = name;
	for (size_t i = 0; i < files->count; i++) {
		struct config_file *file = &files->list[i];
		json_t *value = NULL;

		if (config_format(file->path) == CONFIG_OPAQUE)
			continue;
		candidates++;
		only = file;
		if (file->present && config_get(call->ctx, config_format(file->path), file->text, name, &value, err) < 0)
			return err_in(err, "%s", file->path);
		if (value && ++matches)
			found = file;
	}
	if (matches > 1)
		return err_set(err, ERR_AMBIGUOUS, "item '%s' stands in several files: write FILE:%s", name, name);
	if (matches == 0 && !removes && candidates != 1)
		return candidates ? err_set(err, ERR_AMBIGUOUS,
					    "item '%s' stands in none of the files: write FILE:%s to say where it belongs", name, name)
				  : err_set(err, ERR_UNSUPPORTED, "none of the files has single items: only env, JSON and YAML files do");
	*ret_file = matches ? found : removes ? NULL : only;
	return 0;
}

/* Changes the texts in memory. */
static int edit_items(struct driver_call *call, struct config_files *files, json_t *items, struct err *err)
{
	const char *name, *key;
	json_t *value;
	int r;

	json_object_foreach(items, name, value) {
		struct config_file *file = NULL;
		char *text;

		r = find_item_file(call, files, name, json_is_null(value), &file, &key, err);
		if (r < 0)
			return r;
		if (!file)
			continue;
		if (file->present && strlen(file->text) != file->size)
			return err_set(err, ERR_INVALID, "%s: it holds a 0 byte", file->path);
		r = config_set(call->ctx, config_format(file->path), file->present ? file->text : "", key, value, &text, err);
		if (r < 0)
			return err_in(err, "%s", file->path);
		if (!file->present && !*text)
			continue;
		if (!file->present)
			file->mode = config_format(file->path) == CONFIG_ENV ? 0600 : 0644;
		file->present = true;
		file->text = text;
		file->size = strlen(text);
		hash_blake2b_hex(text, file->size, file->sum);
	}
	return 0;
}

/* ---- writing ---- */

/* Where a path really leads: a link is written through, so what is removed is what it points to. */
static char *real_path(struct driver_call *call, const char *path)
{
	char *whole = fs_join(call->ctx, call->project_dir, path), *resolved = realpath(whole, NULL), *copy;

	if (!resolved)
		return whole;
	copy = mem_strdup(call->ctx, resolved);
	free(resolved);
	return copy;
}

static int write_file(struct driver_call *call, const struct config_file *file, struct err *err)
{
	char *path = fs_join(call->ctx, call->project_dir, file->path), *folder, *slash;
	int r;

	if (!file->present) {
		path = real_path(call, file->path);
		if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
			return err_errno(err, errno, "%s", file->path);
		call_log(call, LOG_INFO, "%s removed: it was not there then", file->path);
		folder = mem_strdup(call->ctx, path);
		*strrchr(folder, '/') = 0;
		return fs_is_dir(folder) ? fs_sync_dir(folder, err) : 0;
	}
	slash = strrchr(path, '/');
	r = fs_mkdirs_durable(slash > path ? mem_strndup(call->ctx, path, (size_t)(slash - path)) : "/", 0755, err);
	if (r == 0)
		r = fs_write_atomic(path, file->text, file->size, file->mode, err);
	if (r < 0)
		return err_in(err, "%s", file->path);
	call_log(call, LOG_INFO, "%s written (%zu bytes)", file->path, file->size);
	return 0;
}

/* Writes those of `wanted` that stand otherwise now. Texts of kept files (dir not NULL) are all loaded and compared with their sums
 * before the first is written. */
static int write_files(struct driver_call *call, const struct config_files *now, const struct config_files *wanted, const char *dir,
	struct err *err)
{
	int r = 0;

	for (size_t i = 0; dir && r == 0 && i < wanted->count; i++)
		if (wanted->list[i].present && files_find(now, wanted->list[i].path))
			r = files_load(call->ctx, dir, &wanted->list[i], err);
	for (size_t i = 0; r == 0 && i < wanted->count; i++) {
		const struct config_file *file = files_find(now, wanted->list[i].path);

		if (!file || same(file, &wanted->list[i]))
			continue;
		FAILPOINT("files.before_write");
		r = write_file(call, &wanted->list[i], err);
		FAILPOINT("files.written");
	}
	return r;
}

/* ---- verbs ---- */

static json_t *details_of(struct driver_call *call, const struct config_files *files)
{
	json_t *keys = json_object(), *list = json_array(), *unreadable = json_array(), *details = json_keep(call->ctx, json_object());

	for (size_t i = 0; i < files->count; i++) {
		const struct config_file *file = &files->list[i];
		_cleanup_talloc_ char *prefix = files->count > 1 ? mem_printf(NULL, "%s:", file->path) : mem_strdup(NULL, "");
		struct err ignored = ERR_INIT;
		json_t *item = json_object();

		json_put_str(item, "path", file->path);
		json_put_flag(item, "present", file->present);
		if (file->present)
			json_put_int(item, "size", (int64_t)file->size);
		(void)json_array_append_new(list, item);
		if (file->present && config_format(file->path) != CONFIG_OPAQUE &&
			config_keys(config_format(file->path), file->text, prefix, keys, &ignored) < 0)
			(void)json_array_append_new(unreadable, json_string(file->path));
	}
	(void)json_object_set_new(details, "files", list);
	(void)json_object_set_new(details, "configKeys", keys);
	if (json_array_size(unreadable) > 0)
		json_put(details, "unreadable", unreadable);
	json_decref(unreadable);
	return details;
}

static int items_are_set(struct driver_call *call, const struct config_files *now, json_t *items, int *ret, struct err *err)
{
	struct config_files edited = *now;
	int r;

	edited.list = mem_dup(call->ctx, now->list, (now->count + 1) * sizeof(*now->list));
	r = edit_items(call, &edited, items, err);
	if (r < 0)
		return r;
	*ret = is_as_kept(now, &edited);
	return 0;
}

/* Is it there? Cannot be said (-1) of a version that is not kept and is no fingerprint. */
static int at_target(struct driver_call *call, const struct config_files *now, int *ret, struct err *err)
{
	const char *version = json_str(call->target, "version", "");
	struct err why = ERR_INIT;
	struct goal goal;
	int r;

	*ret = -1;
	if (!call->target) {
		if (!call->snapshot_dir || !fs_exists(fs_join(call->ctx, call->snapshot_dir, "index.json")))
			return 0;
		r = files_kept(call->ctx, call->snapshot_dir, &goal.kept, err);
		if (r == 0)
			*ret = is_as_kept(now, &goal.kept);
		return r;
	}
	r = read_goal(call, now, &goal, &why);
	if (r == -ERR_NOT_FOUND || r == -ERR_INVALID) {
		*ret = text_starts_with(version, "cfg-") ? 0 : -1;
		return 0;
	}
	if (r == 0 && goal.items)
		r = items_are_set(call, now, goal.items, ret, &why);
	else if (r == 0)
		*ret = goal.dir ? is_as_kept(now, &goal.kept) : 1;
	if (r < 0)
		*err = why;
	return r;
}

static int files_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	struct config_files now;
	size_t present = 0;
	int r, there;

	r = read_present(call, &now, err);
	if (r == 0)
		r = at_target(call, &now, &there, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < now.count; i++)
		present += now.list[i].present;
	*ret = (struct observation){
		.version = now.version,
		.state = present == 0         ? "absent"
			: present < now.count ? "partial"
					      : "present",
		.healthy = -1,
		.at_target = there,
		.details = details_of(call, &now),
	};
	return 0;
}

static int files_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	struct config_files now, edited;
	struct goal goal;
	int r;

	r = read_present(call, &now, err);
	if (r == 0)
		r = read_goal(call, &now, &goal, err);
	if (r == 0 && goal.items) {
		edited = now;
		edited.list = mem_dup(call->ctx, now.list, (now.count + 1) * sizeof(*now.list));
		r = edit_items(call, &edited, goal.items, err);
		if (r == 0)
			r = write_files(call, &now, &edited, NULL, err);
	} else if (r == 0 && goal.dir) {
		r = write_files(call, &now, &goal.kept, goal.dir, err);
	}
	if (r == 0)
		r = read_present(call, &now, err);
	if (r == 0)
		json_put_str(ret_outputs, "version", now.version);
	return r;
}

static int files_capture(struct driver_call *call, struct err *err)
{
	struct config_files now;
	int r = read_present(call, &now, err);

	return r < 0 ? r : files_keep(call->snapshot_dir, &now, err);
}

static int files_undo(struct driver_call *call, struct err *err)
{
	struct config_files now, kept;
	int r;

	r = files_kept(call->ctx, call->snapshot_dir, &kept, err);
	if (r == 0)
		r = read_present(call, &now, err);
	return r < 0 ? r : write_files(call, &now, &kept, call->snapshot_dir, err);
}

/* What was kept knows files by their paths, so only those that have the same path in the copy can be taken back there. */
static int files_sandbox(struct driver_call *call, json_t **ret_config, struct err *err)
{
	const struct files_params *params = call->params;
	int r = 0;

	for (const char **path = params->paths; *path; path++)
		if (!sandbox_keeps_path(call, *path))
			return err_set(err, ERR_UNSUPPORTED, "%s is outside of the project, or named by its absolute path", *path);
	for (const char **path = params->paths; r == 0 && *path; path++)
		r = sandbox_copy(call, *path, err);
	*ret_config = sandbox_config(call, NULL, NULL);
	sandbox_override(call, *ret_config);
	return r;
}

/* ---- check ---- */

/* The folder in which a file would be replaced: the nearest one that exists. */
static char *folder_of(struct driver_call *call, const char *path)
{
	char *folder = real_path(call, path), *slash;

	while ((slash = strrchr(folder, '/')) && slash > folder) {
		*slash = 0;
		if (fs_is_dir(folder))
			return folder;
	}
	return mem_strdup(call->ctx, "/");
}

static void check_folders(struct driver_call *call, const struct config_files *wanted, struct findings *ret)
{
	uint64_t need = 1 << 20;
	size_t before = ret->count;

	for (size_t i = 0; i < wanted->count; i++)
		need += wanted->list[i].size;
	for (size_t i = 0; i < wanted->count; i++) {
		const char *path = wanted->list[i].path, *folder = folder_of(call, path);

		if (access(folder, W_OK | X_OK) < 0)
			findings_add(ret, "config_writable", false, SEVERITY_ERROR, call->name, NULL,
				"%s cannot be replaced: no right to write in %s", path, folder);
	}
	if (ret->count == before)
		findings_add(ret, "config_writable", true, SEVERITY_ERROR, call->name, NULL, "every configuration file can be replaced");
	if (wanted->count)
		room_check(call, folder_of(call, wanted->list[0].path), need, ret);
}

/* Names of keys that both texts have, with another value: {"changed"} of docs/driver-protocol.md. Values never leave this function. */
static void compare_values(struct driver_call *call, const struct config_file *now, const struct config_file *then, const char *prefix,
	json_t *changed)
{
	enum config_format format = config_format(now->path);
	json_t *keys = json_keep(call->ctx, json_object()), *type;
	struct err ignored = ERR_INIT;
	size_t compared = 0;
	const char *key;

	if (format == CONFIG_OPAQUE || !now->text || !then->text || config_keys(format, then->text, "", keys, &ignored) < 0)
		return;
	json_object_foreach(keys, key, type) {
		json_t *a, *b;

		if (compared++ >= COMPARED_MAX)
			return;
		if (config_get(call->ctx, format, now->text, key, &a, &ignored) == 0 && a &&
			config_get(call->ctx, format, then->text, key, &b, &ignored) == 0 && b && !json_equal(a, b))
			json_array_append_new(changed, json_sprintf("%s%s", prefix, key));
	}
}

/* Which keys have other values than those that are kept: only their names are told. */
static void tell_difference(struct driver_call *call, const struct config_files *now, const struct config_files *kept, struct findings *ret)
{
	json_t *changed = json_keep(call->ctx, json_array());

	for (size_t i = 0; i < now->count; i++) {
		const struct config_file *file = &now->list[i], *then = files_find(kept, file->path);
		_cleanup_talloc_ char *prefix = now->count > 1 ? mem_printf(NULL, "%s:", file->path) : mem_strdup(NULL, "");

		if (then && file->present && then->present && !same(file, then))
			compare_values(call, file, then, prefix, changed);
	}
	findings_add(ret, "config_difference", true, SEVERITY_INFO, call->name, json_make(call->ctx, "{s:O}", "changed", changed),
		"other values than those that are kept: %s", text_count(call->ctx, json_array_size(changed), "key"));
}

/* Kept contents whole? Are all configured files among them? */
static void check_kept(struct driver_call *call, const struct config_files *now, struct goal *goal, struct findings *ret)
{
	for (size_t i = 0; i < goal->kept.count; i++) {
		struct config_file *file = &goal->kept.list[i];
		struct err why = ERR_INIT;

		if (file->present && files_load(call->ctx, goal->dir, file, &why) < 0) {
			findings_add(ret, "target_content", false, SEVERITY_ERROR, call->name, NULL, "%s", why.text);
			return;
		}
		if (!files_find(now, file->path))
			findings_add(ret, "config_paths", false, SEVERITY_INFO, call->name, NULL,
				"%s was part of that version and is not configured any more: it stays as it is", file->path);
	}
	for (size_t i = 0; i < now->count; i++)
		if (!files_find(&goal->kept, now->list[i].path))
			findings_add(ret, "config_paths", false, SEVERITY_WARNING, call->name, NULL,
				"%s was not configured when that version was recorded: it stays as it is", now->list[i].path);
	findings_add(ret, "target_content", true, SEVERITY_ERROR, call->name, NULL, "configuration %s is kept", goal->kept.version);
}

static int files_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	struct err why = ERR_INIT;
	struct config_files now;
	struct goal goal;
	int r, there;

	r = read_present(call, &now, err);
	if (r < 0)
		return r;
	r = read_goal(call, &now, &goal, &why);
	if (r < 0) {
		findings_add(ret, "target_content", false, SEVERITY_ERROR, call->name, NULL, "%s", why.text);
		return 0;
	}
	if (goal.items) {
		r = items_are_set(call, &now, goal.items, &there, &why);
		findings_add(ret, "config_items", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
			r < 0 ? why.text : "every item can be set");
		check_folders(call, &now, ret);
	} else if (goal.dir) {
		check_kept(call, &now, &goal, ret);
		check_folders(call, &goal.kept, ret);
		tell_difference(call, &now, &goal.kept, ret);
	}
	return 0;
}

const struct driver driver_files = {
	.name = "files",
	.summary = "configuration files: whole versions, or single items of env, JSON and YAML files",
	.kind = DRIVER_CONFIG,
	.fields = files_fields,
	.params_size = sizeof(struct files_params),
	.keeps = true,
	.observe = files_observe,
	.apply = files_apply,
	.check = files_check,
	.capture = files_capture,
	.undo = files_undo,
	.sandbox = files_sandbox,
};
