/* Snapshots (snapshot.h): a folder that is filled, then sealed by a manifest. The manifest is written beside the snapshot and renamed
 * into it, so a folder has a whole manifest or none; it
 * goes first when a snapshot is removed. So "has a manifest" means "is a snapshot" at every instant.
 *
 * Nothing here follows a link. Threads: any; one snapshot is filled by one run at a time, which the run's claim sees to. */
#include "snapshot/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "snapshot/tree.h"

#define MANIFEST        "manifest.json"
#define METADATA        "metadata.json"
#define MANIFEST_MAX    ((size_t)512 << 20)
#define METADATA_MAX    ((size_t)1 << 20)
#define DIFFERENCES_MAX 1000

static int folder_of(const void *ctx, const char *root, const char *run_id, char **ret, struct err *err)
{
	if (!text_is_name(run_id))
		return err_set(err, ERR_INVALID, "'%s' is not the id of a snapshot", run_id);
	*ret = fs_join(ctx, root, run_id);
	return 0;
}

static int existing_folder(const void *ctx, const char *root, const char *run_id, char **ret, struct err *err)
{
	struct stat st;
	int r = folder_of(ctx, root, run_id, ret, err);

	if (r == 0 && (lstat(*ret, &st) < 0 || !S_ISDIR(st.st_mode)))
		return err_set(err, ERR_NOT_FOUND, "there is no snapshot '%s'", run_id);
	return r;
}

/* A file of the snapshot, whole or not at all, without leaving a temporary file inside. */
static int write_into(const char *root, const char *folder, const char *run_id, const char *name, const char *text, bool durable,
	struct err *err)
{
	_cleanup_talloc_ char *beside = mem_printf(NULL, "%s/.%s.%s", root, run_id, name), *path = fs_join(NULL, folder, name);
	_cleanup_close_ int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return err_errno(err, errno, "%s", beside);
	r = fs_write_all(fd, text, strlen(text), err);
	if (r < 0)
		return err_in(err, "%s", beside);
	if ((durable && fsync(fd) < 0) || rename(beside, path) < 0)
		return err_errno(err, errno, "%s", path);
	return durable ? fs_sync_dir(folder, err) : 0;
}

int folder_begin(const char *root, const struct folder_metadata *metadata, struct err *err)
{
	static const char *const parts[] = { "config", "state", "database" };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *content = json_keep(ctx, json_object());
	char *folder = NULL;
	size_t i;
	int r;

	r = folder_of(ctx, root, metadata->run_id, &folder, err);
	if (r < 0)
		return r;
	if (fs_exists(fs_join(ctx, folder, METADATA)))
		return 0;
	r = fs_mkdirs(folder, 0700, err);
	for (i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = fs_mkdirs(fs_join(ctx, folder, parts[i]), 0700, err);
	if (r < 0)
		return r;
	json_put_str(content, "rollbackId", metadata->run_id);
	json_put_str(content, "timestamp", clock_format(ctx, metadata->wall_ms));
	json_put_str(content, "environment", metadata->environment);
	json_put_str(content, "fromDeploymentId", metadata->from);
	json_put_str(content, "toDeploymentId", metadata->to);
	json_put_flag(content, "preserveData", metadata->preserve_data);
	return write_into(root, folder, metadata->run_id, METADATA, json_pretty(ctx, content), false, err); /* sealing makes it durable */
}

/* Copies a file, or a link as a link. Files that are not there and what leads out of the project are left alone. */
static int copy_one(const void *ctx, const char *project_dir, const char *name, const char *to, struct err *err)
{
	char *from = fs_join(ctx, project_dir, name), *slash = strrchr(name, '/'), *inside, *real, *real_project;
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;
	int r;

	if (slash) { /* a folder of the project that is a link to somewhere else is not the project's */
		inside = realpath(fs_join(ctx, project_dir, mem_strndup(ctx, name, (size_t)(slash - name))), NULL);
		real = mem_strdup(ctx, inside);
		free(inside);
		inside = realpath(project_dir, NULL);
		real_project = mem_strdup(ctx, inside);
		free(inside);
		if (!real || !real_project || !text_starts_with(real, mem_printf(ctx, "%s/", real_project)))
			return 0;
	}
	if (lstat(from, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(err, errno, "%s", from);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return 0;
	r = fs_remove_tree(to, err);
	if (r == 0 && S_ISREG(st.st_mode))
		return fs_copy(from, to, false, err);
	if (r < 0)
		return r;
	n = readlink(from, target, sizeof(target) - 1);
	if (n < 0)
		return err_errno(err, errno, "%s", from);
	target[n] = 0;
	return symlink(target, to) < 0 ? err_errno(err, errno, "%s", to) : 0;
}

int folder_add_project(const char *root, const char *run_id, const char *environment, const char *project_dir, json_t *observed,
	struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *names[] = { ".env", mem_printf(ctx, ".env.%s", environment), mem_printf(ctx, "config/%s.json", environment),
		mem_printf(ctx, "config/%s.yaml", environment), "docker-compose.yml", "compose.yaml", "unship.yaml" };
	char *folder, *state, *text;
	size_t i;
	int r;

	if (!text_is_name(environment))
		return err_set(err, ERR_INVALID, "'%s' is not the name of an environment", environment);
	r = existing_folder(ctx, root, run_id, &folder, err);
	if (r == 0)
		r = fs_mkdirs(mem_printf(ctx, "%s/config/config", folder), 0700, err);
	for (i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
		r = copy_one(ctx, project_dir, names[i], mem_printf(ctx, "%s/config/%s", folder, names[i]), err);
	if (r < 0)
		return r;
	state = mem_printf(ctx, "%s/state/%s-state.json", folder, environment);
	text = json_pretty(ctx, observed);
	r = fs_remove_tree(state, err);
	if (r == 0) {
		_cleanup_close_ int fd = open(state, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

		r = fd < 0 ? err_errno(err, errno, "%s", state) : fs_write_all(fd, text, strlen(text), err);
	}
	return r;
}

static void summarise(const struct tree *tree, const char *manifest, size_t size, struct folder_summary *ret)
{
	*ret = (struct folder_summary){ .files = (int64_t)tree->files, .bytes = (int64_t)tree->bytes };
	hash_blake2b_hex(manifest, size, ret->manifest);
}

int folder_seal(const char *root, const char *run_id, struct folder_summary *ret, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct tree *tree;
	json_t *problems;
	char *folder, *text;
	int r;

	r = existing_folder(ctx, root, run_id, &folder, err);
	if (r < 0)
		return r;
	if (fs_exists(fs_join(ctx, folder, MANIFEST)))
		return folder_verify(ctx, root, run_id, ret, &problems, err);
	if (!fs_exists(fs_join(ctx, folder, METADATA)))
		return err_set(err, ERR_INVALID, "snapshot '%s' has no %s: it was never begun", run_id, METADATA);
	r = tree_read(ctx, folder, NULL, true, &tree, err);
	if (r < 0)
		return err_in(err, "snapshot '%s'", run_id);
	FAILPOINT("snapshot.content_written");
	text = tree_manifest(ctx, tree);
	r = write_into(root, folder, run_id, MANIFEST, text, true, err);
	if (r < 0)
		return r;
	FAILPOINT("snapshot.manifest_written");
	summarise(tree, text, strlen(text), ret);
	return 0;
}

struct difference_list {
	json_t *problems;
	size_t count;
	char *first;
	const void *ctx;
};

static void note_difference(void *user, const char *path, const char *what)
{
	struct difference_list *list = user;
	json_t *problem;

	if (list->count++ == 0)
		list->first = mem_printf(list->ctx, "%s %s", path, what);
	if (list->count > DIFFERENCES_MAX)
		return;
	problem = json_object();
	json_put_str(problem, "path", path);
	json_put_str(problem, "problem", what);
	(void)json_array_append_new(list->problems, problem);
}

/* *ret_expected: the manifest's tree. */
static int read_manifest(const void *ctx, const char *folder, struct tree **ret_expected, char **ret_text, size_t *ret_size,
	struct err *err)
{
	char *path = fs_join(ctx, folder, MANIFEST);
	struct stat st;
	int r;

	if (lstat(path, &st) < 0 && errno == ENOENT)
		return err_set(err, ERR_CORRUPT, "it has no manifest: it was interrupted while it was made, and is not to be used");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_CORRUPT, "its manifest is not a file");
	r = fs_read(ctx, path, MANIFEST_MAX, ret_text, ret_size, err);
	if (r == 0)
		r = tree_parse(ctx, *ret_text, *ret_size, ret_expected, err);
	return r < 0 ? err_in(err, MANIFEST) : 0;
}

static int verify_folder(const void *ctx, const char *folder, struct folder_summary *ret, json_t **ret_problems, struct err *err)
{
	struct difference_list list = { .problems = json_keep(ctx, json_array()), .ctx = ctx };
	struct tree *expected, *now;
	char *text;
	size_t size;
	int r;

	*ret_problems = list.problems;
	r = read_manifest(ctx, folder, &expected, &text, &size, err);
	if (r == 0)
		r = tree_read(ctx, folder, MANIFEST, false, &now, err);
	if (r < 0)
		return r;
	tree_compare(expected, now, note_difference, &list);
	if (list.count > 1)
		return err_set(err, ERR_CORRUPT, "%s (and %zu more)", list.first, list.count - 1);
	if (list.count == 1)
		return err_set(err, ERR_CORRUPT, "%s", list.first);
	summarise(now, text, size, ret);
	return 0;
}

int folder_verify(const void *ctx, const char *root, const char *run_id, struct folder_summary *ret, json_t **ret_problems,
	struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *problems = NULL;
	char *folder;
	int r;

	*ret_problems = json_keep(ctx, json_array());
	r = existing_folder(work, root, run_id, &folder, err);
	if (r < 0)
		return r;
	r = verify_folder(work, folder, ret, &problems, err);
	if (problems)
		*ret_problems = json_keep(ctx, json_incref(problems));
	return r < 0 ? err_in(err, "snapshot '%s'", run_id) : 0;
}

int folder_read_metadata(const void *ctx, const char *root, const char *run_id, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *folder, *text;
	size_t size;
	int r;

	r = existing_folder(work, root, run_id, &folder, err);
	if (r == 0)
		r = fs_read(work, fs_join(work, folder, METADATA), METADATA_MAX, &text, &size, err);
	if (r == 0) {
		r = json_parse(ctx, text, size, METADATA_MAX, ret, err);
		if (r == 0 && !json_is_object(*ret))
			r = err_set(err, ERR_CORRUPT, "not an object");
		if (r < 0)
			(void)err_in(err, METADATA);
	}
	return r < 0 ? err_in(err, "snapshot '%s'", run_id) : 0;
}

int folder_remove(const char *root, const char *run_id, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *folder = NULL, *manifest;
	int r;

	r = folder_of(ctx, root, run_id, &folder, err);
	if (r < 0)
		return r;
	manifest = fs_join(ctx, folder, MANIFEST);
	if (unlink(manifest) == 0)
		r = fs_sync_dir(folder, err);
	else if (errno != ENOENT && errno != ENOTDIR)
		r = err_errno(err, errno, "%s", manifest);
	return r < 0 ? r : fs_remove_tree(folder, err);
}

int folder_list(const void *ctx, const char *root, char ***ret, struct err *err)
{
	_cleanup_talloc_ char **names = NULL;
	size_t count = 0, kept = 0;
	char **list;

	if (fs_exists(root)) {
		int r = fs_list(NULL, root, &names, err);

		if (r < 0)
			return r;
	}
	while (names && names[count])
		count++;
	list = mem_array(ctx, char *, count + 1);
	for (size_t i = 0; i < count; i++) {
		_cleanup_talloc_ char *path = fs_join(NULL, root, names[i]);
		struct stat st;

		if (text_is_name(names[i]) && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
			list[kept++] = mem_strdup(list, names[i]);
	}
	*ret = list;
	return 0;
}

/* Copies what the tree lists; folders come before what is in them because the list is sorted. */
static int copy_tree(const char *from, const struct tree *tree, const char *to, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->count; i++) {
		const struct tree_item *item = &tree->items[i];
		_cleanup_talloc_ char *source = fs_join(NULL, from, item->path), *target = fs_join(NULL, to, item->path);

		if (item->type == TREE_FILE)
			r = fs_copy(source, target, false, err);
		else if (item->type == TREE_LINK && symlink(item->target, target) < 0)
			r = err_errno(err, errno, "%s", target);
		else if (item->type == TREE_FOLDER && mkdir(target, 0700) < 0)
			r = err_errno(err, errno, "%s", target);
	}
	for (size_t i = tree->count; r == 0 && i-- > 0;) { /* modes last: a folder may be closed to writing */
		_cleanup_talloc_ char *target = fs_join(NULL, to, tree->items[i].path);

		if (tree->items[i].type == TREE_FOLDER && chmod(target, tree->items[i].mode) < 0)
			r = err_errno(err, errno, "%s", target);
	}
	return r;
}

/* Durable: the content before the name, and the name. */
static int give_name(const char *partial, const char *to, struct err *err)
{
	_cleanup_close_ int fd = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0 || renameat2(AT_FDCWD, partial, AT_FDCWD, to, RENAME_NOREPLACE) < 0 || syncfs(fd) < 0)
		return err_errno(err, errno, "%s", to);
	return 0;
}

int folder_export(const char *root, const char *run_id, const char *to, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *folder, *partial = mem_printf(ctx, "%s.partial", to);
	struct folder_summary summary;
	json_t *problems;
	struct tree *tree;
	int r;

	r = existing_folder(ctx, root, run_id, &folder, err);
	if (r < 0)
		return r;
	if (fs_exists(to))
		return err_set(err, ERR_INVALID, "%s exists already", to);
	r = fs_remove_tree(partial, err);
	if (r == 0)
		r = fs_mkdirs(partial, 0700, err);
	if (r == 0)
		r = tree_read(ctx, folder, NULL, false, &tree, err);
	if (r == 0)
		r = copy_tree(folder, tree, partial, err);
	if (r == 0) /* what is compared is the copy, with the manifest that was copied along */
		r = verify_folder(ctx, partial, &summary, &problems, err);
	if (r < 0) {
		struct err ignored = ERR_INIT;

		if (fs_remove_tree(partial, &ignored) < 0)
			return err_in(err, "snapshot '%s': %s is left behind", run_id, partial);
		return err_in(err, "snapshot '%s'", run_id);
	}
	return give_name(partial, to, err);
}
