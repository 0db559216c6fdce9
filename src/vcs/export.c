/* The tree of a commit to files. Nothing is checked out: no index, no filters, no hooks, no work tree; so nothing in the repository's
 * configuration can run a
 * program. libgit2 verifies the sum of every object that it reads.
 *
 * Files are made relative to open directories and never through a link. Durable: the first files are flushed one by one; when there are
 * many, the file system is flushed once instead.
 * Threads: one per repository. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "vcs/git.h"

#define BLOB_MAX       (1LL << 30)
#define DEPTH_MAX      128
#define FILES_MAX      1000000u
#define FLUSH_EACH_MAX 32 /* files flushed one by one; beyond, the whole file system once */

struct writer {
	const struct vcs *vcs;
	const struct git *git;
	size_t files;
	int root; /* the directory of the release */
	bool flush_all;
	char **links; /* their paths, for the look at where they lead */
	size_t link_count;
	void *ctx;
	void (*tick)(void *user, size_t files);
	void *user;
};

static bool is_name(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/') && strcasecmp(name, ".git") != 0;
}

static bool is_lfs_pointer(const struct writer *w, const git_blob *blob)
{
	static const char start[] = "version https://git-lfs.github.com/spec/";
	git_object_size_t size = w->git->blob_rawsize(blob);

	return size > sizeof(start) && size < 1024 && memcmp(w->git->blob_rawcontent(blob), start, sizeof(start) - 1) == 0;
}

static int write_file(struct writer *w, int dir, const char *name, const git_blob *blob, mode_t mode, struct err *err)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int r;

	if (fd < 0)
		return err_errno(err, errno, "cannot make the file");
	r = fs_write_all(fd, w->git->blob_rawcontent(blob), (size_t)w->git->blob_rawsize(blob), err);
	if (r < 0)
		return r;
	if (w->files >= FLUSH_EACH_MAX)
		w->flush_all = true;
	else if (fsync(fd) < 0)
		return err_errno(err, errno, "cannot flush");
	return 0;
}

/* Does the target, taken from the directory of `path`, stay inside by its text? */
static bool leads_inside(const char *path, const char *target)
{
	int depth = 0;

	for (const char *at = path; *at; at++)
		depth += *at == '/';
	if (*target == '/')
		return false;
	while (*target) {
		size_t length = strcspn(target, "/");

		if (length == 2 && target[0] == '.' && target[1] == '.')
			depth--;
		else if (length > 0 && !(length == 1 && target[0] == '.'))
			depth++;
		if (depth < 0)
			return false;
		target += length;
		target += *target == '/';
	}
	return true;
}

static int write_link(struct writer *w, int dir, const char *path, const char *name, const git_blob *blob, struct err *err)
{
	_cleanup_talloc_ char *target = NULL;
	size_t size = (size_t)w->git->blob_rawsize(blob);

	if (size == 0 || size > 4095 || memchr(w->git->blob_rawcontent(blob), 0, size))
		return err_set(err, ERR_REFUSED, "the symbolic link has no usable target");
	target = mem_strndup(NULL, w->git->blob_rawcontent(blob), size);
	if (!leads_inside(path, target))
		return err_set(err, ERR_REFUSED, "the symbolic link leads outside of the release: '%s'", target);
	if (symlinkat(target, dir, name) < 0)
		return err_errno(err, errno, "cannot make the link");
	w->links = mem_resize(w->ctx, w->links, char *, w->link_count + 1);
	w->links[w->link_count++] = mem_strdup(w->links, path);
	return 0;
}

static int write_blob(struct writer *w, int dir, const char *path, const git_tree_entry *entry, struct err *err)
{
	git_filemode_t mode = w->git->tree_entry_filemode(entry);
	const char *name = w->git->tree_entry_name(entry);
	git_blob *blob = NULL;
	int r;

	r = w->git->blob_lookup(&blob, w->vcs->repository, w->git->tree_entry_id(entry));
	if (r < 0)
		return vcs_error(w->vcs, r, err, "cannot read the content");
	if ((int64_t)w->git->blob_rawsize(blob) > BLOB_MAX)
		r = err_set(err, ERR_TOO_LARGE, "larger than %lld bytes", (long long)BLOB_MAX);
	else if (mode == GIT_FILEMODE_LINK)
		r = write_link(w, dir, path, name, blob, err);
	else if (is_lfs_pointer(w, blob))
		r = err_set(err, ERR_UNSUPPORTED, "the file is kept by Git LFS, which this driver cannot fetch");
	else
		r = write_file(w, dir, name, blob, mode == GIT_FILEMODE_BLOB_EXECUTABLE ? 0755 : 0644, err);
	w->git->blob_free(blob);
	if (r < 0)
		return r;
	if (++w->files > FILES_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %u files", FILES_MAX);
	if (w->tick && w->files % 256 == 0)
		w->tick(w->user, w->files);
	return 0;
}

static int write_tree(struct writer *w, int dir, const char *path, const git_oid *oid, int depth, struct err *err);

static int write_entry(struct writer *w, int dir, const char *parent, const git_tree_entry *entry, int depth, struct err *err)
{
	const char *name = w->git->tree_entry_name(entry);
	_cleanup_talloc_ char *path = *parent ? mem_printf(NULL, "%s/%s", parent, name) : mem_strdup(NULL, name);
	_cleanup_close_ int sub = -1;
	int r = 0;

	if (!is_name(name))
		return err_set(err, ERR_REFUSED, "'%s' is not the name of a file", path);
	switch (w->git->tree_entry_type(entry)) {
	case GIT_OBJECT_BLOB:
		r = write_blob(w, dir, path, entry, err);
		break;
	case GIT_OBJECT_TREE:
		if (mkdirat(dir, name, 0755) < 0)
			return err_errno(err, errno, "%s", path);
		sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			return err_errno(err, errno, "%s", path);
		return write_tree(w, sub, path, w->git->tree_entry_id(entry), depth + 1, err);
	case GIT_OBJECT_COMMIT:
		r = err_set(err, ERR_UNSUPPORTED, "a submodule, which this driver cannot fetch");
		break;
	default:
		r = err_set(err, ERR_DRIVER, "an object of unknown type");
	}
	return r < 0 ? err_in(err, "%s", path) : 0;
}

static int write_tree(struct writer *w, int dir, const char *path, const git_oid *oid, int depth, struct err *err)
{
	git_tree *tree = NULL;
	int r;

	if (depth > DEPTH_MAX)
		return err_set(err, ERR_TOO_LARGE, "%s: directories nested deeper than %d", path, DEPTH_MAX);
	r = w->git->tree_lookup(&tree, w->vcs->repository, oid);
	if (r < 0)
		return vcs_error(w->vcs, r, err, "%s", *path ? path : "cannot read the tree");
	for (size_t i = 0; r == 0 && i < w->git->tree_entrycount(tree); i++)
		r = write_entry(w, dir, path, w->git->tree_entry_byindex(tree, i), depth, err);
	w->git->tree_free(tree);
	if (r == 0 && !w->flush_all && fsync(dir) < 0)
		r = err_errno(err, errno, "cannot flush");
	return r;
}

/* By their text the links stay inside; but one link may pass through another. So the kernel is asked, now that all stand. */
static int check_links(const struct writer *w, struct err *err)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH };

	for (size_t i = 0; i < w->link_count; i++) {
		int fd = (int)syscall(SYS_openat2, w->root, w->links[i], &how, sizeof(how));

		if (fd >= 0)
			(void)close(fd);
		else if (errno == EXDEV)
			return err_set(err, ERR_REFUSED, "%s: the symbolic link leads outside of the release through another link",
				w->links[i]);
	}
	return 0;
}

static int find_tree(const struct vcs *vcs, const char *commit_text, const char *subdir, git_oid *ret, struct err *err)
{
	const struct git *git = vcs->git;
	git_commit *commit = NULL;
	git_tree *tree = NULL;
	git_tree_entry *entry = NULL;
	git_oid oid;
	int error;

	if (strlen(commit_text) != VCS_SHA_SIZE - 1 || git->oid_fromstrn(&oid, commit_text, VCS_SHA_SIZE - 1) < 0)
		return err_set(err, ERR_INVALID, "'%s' is not a commit id", commit_text);
	error = git->commit_lookup(&commit, vcs->repository, &oid);
	if (error == 0)
		error = git->commit_tree(&tree, commit);
	if (error == 0 && subdir)
		error = git->tree_entry_bypath(&entry, tree, subdir);
	if (error == 0)
		*ret = entry ? *git->tree_entry_id(entry) : *git->tree_id(tree);
	if (error == 0 && entry && git->tree_entry_type(entry) != GIT_OBJECT_TREE)
		error = err_set(err, ERR_INVALID, "subdir '%s' is not a directory in commit %.12s", subdir, commit_text);
	else if (error == GIT_ENOTFOUND && tree && subdir)
		error = err_set(err, ERR_NOT_FOUND, "subdir '%s' does not exist in commit %.12s", subdir, commit_text);
	else if (error < 0)
		error = vcs_error(vcs, error, err, "%s", commit_text);
	git->tree_entry_free(entry);
	git->tree_free(tree);
	git->commit_free(commit);
	return error;
}

int vcs_export(struct vcs *vcs, const char *sha, const char *subdir, const char *dir, size_t *ret_files,
	void (*tick)(void *user, size_t files), void *user, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	_cleanup_close_ int root = -1;
	struct writer w = { .vcs = vcs, .git = vcs->git, .ctx = ctx, .tick = tick, .user = user };
	git_oid tree;
	int r;

	r = find_tree(vcs, sha, subdir, &tree, err);
	if (r < 0)
		return r;
	if (mkdir(dir, 0755) < 0)
		return err_errno(err, errno, "%s", dir);
	root = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return err_errno(err, errno, "%s", dir);
	w.root = root;
	r = write_tree(&w, root, "", &tree, 0, err);
	if (r == 0)
		r = check_links(&w, err);
	if (r < 0)
		return err_in(err, "commit %.12s", sha);
	if (w.flush_all && syncfs(root) < 0)
		return err_errno(err, errno, "%s", dir);
	*ret_files = w.files;
	return 0;
}
