/* Opening a repository, and from names to commits. Thread: the one that opened it. */
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "vcs/git.h"

#define SHALLOW_FILE_MAX (8u << 20)
#define NAME_BYTES_MAX   200

int vcs_error(const struct vcs *vcs, int code, struct err *err, const char *format, ...)
{
	const git_error *last = vcs->git->error_last();
	enum err_code as = code == GIT_ENOTFOUND ? ERR_NOT_FOUND : code == GIT_EAMBIGUOUS ? ERR_AMBIGUOUS : ERR_CORRUPT;
	char ours[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(ours, sizeof(ours), format, arguments);
	va_end(arguments);
	return err_set(err, as, "%s: %s", ours, last && last->message ? last->message : "Git gave no reason");
}

static int open_error(const struct git *git, int code, const char *dir, bool search, struct err *err)
{
	const git_error *last = git->error_last();
	const char *why = last && last->message ? last->message : "Git gave no reason";

	if (code == GIT_ENOTFOUND)
		return err_set(err, ERR_NOT_FOUND, "there is no Git repository in '%s'%s", dir, search ? " or above it" : "");
	if (code == GIT_EOWNER)
		return err_set(err, ERR_FORBIDDEN,
			"the repository of '%s' belongs to another user: %s; `git config --global --add safe.directory PATH` "
			"says that it is trusted",
			dir, why);
	if (strstr(why, "unsupported"))
		return err_set(err, ERR_UNSUPPORTED, "the repository of '%s' has a form that cannot be read: %s", dir, why);
	return err_set(err, ERR_CORRUPT, "the repository of '%s' cannot be opened: %s", dir, why);
}

static int vcs_destroy(struct vcs *vcs)
{
	vcs->git->odb_free(vcs->odb);
	vcs->git->repository_free(vcs->repository);
	return 0;
}

static char *without_slash(const void *ctx, const char *path)
{
	size_t length = strlen(path);

	return mem_strndup(ctx, path, length > 1 && path[length - 1] == '/' ? length - 1 : length);
}

static int compare_oids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(git_oid));
}

/* The commits at which a shallow clone ends stand in a file of their own; libgit2 1.5 walks past them and fails. */
static int read_cut(struct vcs *vcs, struct err *err)
{
	char *path = fs_join(vcs, vcs->git->repository_commondir(vcs->repository), "shallow"), *text;
	char **lines;
	int r;

	r = fs_read(vcs, path, SHALLOW_FILE_MAX, &text, NULL, err);
	if (r < 0)
		return err_in(err, "the list of commits at which this shallow clone ends");
	lines = text_split(vcs, text, '\n');
	for (size_t i = 0; lines[i]; i++) {
		vcs->cut = mem_resize(vcs, vcs->cut, git_oid, vcs->cut_count + 1);
		if (strlen(lines[i]) != VCS_SHA_SIZE - 1 ||
			vcs->git->oid_fromstrn(&vcs->cut[vcs->cut_count], lines[i], VCS_SHA_SIZE - 1) < 0)
			return err_set(err, ERR_CORRUPT, "%s:%zu: this is no commit", path, i + 1);
		vcs->cut_count++;
	}
	qsort(vcs->cut, vcs->cut_count, sizeof(*vcs->cut), compare_oids);
	return 0;
}

bool vcs_is_cut(const struct vcs *vcs, const git_oid *oid)
{
	return vcs->cut_count && bsearch(oid, vcs->cut, vcs->cut_count, sizeof(*vcs->cut), compare_oids);
}

char *vcs_sha(const void *ctx, const struct vcs *vcs, const git_oid *oid)
{
	char text[VCS_SHA_SIZE];

	return mem_strdup(ctx, vcs->git->oid_tostr(text, sizeof(text), oid));
}

/* Where HEAD points: a branch that has a commit, one that has none yet, or a commit by itself. */
static int read_head(struct vcs *vcs, struct err *err)
{
	git_reference *head = NULL;
	git_oid oid;
	int r = vcs->git->reference_lookup(&head, vcs->repository, "HEAD");

	if (r < 0)
		return vcs_error(vcs, r, err, "HEAD cannot be read");
	if (vcs->git->reference_type(head) == GIT_REFERENCE_SYMBOLIC)
		vcs->info.head_ref = mem_strdup(vcs, vcs->git->reference_symbolic_target(head));
	vcs->git->reference_free(head);
	r = vcs->git->reference_name_to_id(&oid, vcs->repository, "HEAD");
	if (r == 0)
		vcs->info.head_sha = vcs_sha(vcs, vcs, &oid);
	else if (r != GIT_ENOTFOUND)
		return vcs_error(vcs, r, err, "HEAD cannot be read");
	return 0;
}

static int open_repository(const void *ctx, const char *dir, bool search, struct vcs **ret, struct err *err)
{
	git_repository *repository = NULL;
	const struct git *git;
	const char *work;
	struct vcs *vcs;
	git_odb *odb = NULL;
	int r;

	r = git_load(&git, err);
	if (r < 0)
		return r;
	r = git->repository_open_ext(&repository, dir, search ? 0 : GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
	if (r < 0)
		return open_error(git, r, dir, search, err);
	r = git->repository_odb(&odb, repository);
	if (r < 0) {
		r = open_error(git, r == GIT_ENOTFOUND ? GIT_ERROR : r, dir, search, err);
		git->repository_free(repository);
		return r;
	}
	vcs = mem_zero(ctx, struct vcs);
	*vcs = (struct vcs){ .git = git, .repository = repository, .odb = odb };
	talloc_set_destructor(vcs, vcs_destroy);
	work = git->repository_workdir(repository);
	vcs->info.bare = git->repository_is_bare(repository);
	vcs->info.path = without_slash(vcs, work ? work : git->repository_path(repository));
	vcs->info.shallow = git->repository_is_shallow(repository) == 1;
	if (vcs->info.shallow)
		r = read_cut(vcs, err);
	if (r == 0)
		r = read_head(vcs, err);
	if (r < 0) {
		talloc_free(vcs);
		return err_in(err, "repository of '%s'", dir);
	}
	*ret = vcs;
	return 0;
}

int vcs_open(const void *ctx, const char *dir, struct vcs **ret, struct err *err)
{
	return open_repository(ctx, dir, true, ret, err);
}

int vcs_open_at(const void *ctx, const char *dir, struct vcs **ret, struct err *err)
{
	return open_repository(ctx, dir, false, ret, err);
}

const struct vcs_info *vcs_info(const struct vcs *vcs)
{
	return &vcs->info;
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int vcs_ref_check(const char *ref, struct err *err)
{
	size_t length = strnlen(ref, VCS_REF_MAX + 1);

	if (length == 0)
		return err_set(err, ERR_INVALID, "the name of a commit must not be empty");
	if (length > VCS_REF_MAX)
		return err_set(err, ERR_INVALID, "the name of a commit has at most %d bytes", VCS_REF_MAX);
	if (!is_alphanumeric(*ref) && *ref != '_' && *ref != '@')
		return err_set(err, ERR_INVALID, "'%s' cannot name a commit: it must begin with a letter, a digit, '_' or '@'", ref);
	for (size_t i = 0; i < length; i++)
		if (!is_alphanumeric(ref[i]) && !strchr("._/+-@~^", ref[i]))
			return err_set(err, ERR_INVALID,
				"'%s' cannot name a commit: only letters, digits and . _ / + - @ ~ ^ may stand in it", ref);
	if (strstr(ref, "..") || strstr(ref, "//"))
		return err_set(err, ERR_INVALID, "'%s' cannot name a commit: '..' and '//' may not stand in it", ref);
	return 0;
}

int vcs_commit_of(struct vcs *vcs, const char *ref, git_oid *ret, struct err *err)
{
	const struct git *git = vcs->git;
	git_object *object = NULL, *commit = NULL;
	int r = git->revparse_single(&object, vcs->repository, ref);

	if (r == GIT_EINVALIDSPEC)
		return err_set(err, ERR_INVALID, "'%s' cannot name a commit", ref);
	if (r < 0)
		return vcs_error(vcs, r, err, "'%s' leads to no commit", ref);
	r = git->object_peel(&commit, object, GIT_OBJECT_COMMIT);
	git->object_free(object);
	if (r == GIT_EPEEL || r == GIT_EINVALIDSPEC)
		return err_set(err, ERR_INVALID, "'%s' leads to something that is not a commit", ref);
	if (r < 0)
		return vcs_error(vcs, r, err, "'%s' leads to no commit", ref);
	*ret = *git->object_id(commit);
	git->object_free(commit);
	return 0;
}

int vcs_resolve(struct vcs *vcs, const char *ref, char ret_sha[VCS_SHA_SIZE], struct err *err)
{
	git_oid oid;
	int r;

	r = vcs_ref_check(ref, err);
	if (r == 0)
		r = vcs_commit_of(vcs, ref, &oid, err);
	if (r < 0)
		return r;
	vcs->git->oid_tostr(ret_sha, VCS_SHA_SIZE, &oid);
	return 0;
}

/* ---- plain names ---- */

int vcs_name_check(const char *name, struct err *err)
{
	size_t length = strnlen(name, NAME_BYTES_MAX + 1);

	/* What git-check-ref-format(1) forbids, and what would be an option or an expression. */
	if (length == 0 || length > NAME_BYTES_MAX || *name == '-' || *name == '/' || *name == '.' || strstr(name, "..") ||
		strstr(name, "//") || strstr(name, "@{") || strstr(name, "/.") || strcmp(name, "@") == 0 || name[length - 1] == '/' ||
		name[length - 1] == '.' || text_ends_with(name, ".lock"))
		return err_set(err, ERR_INVALID, "'%s' cannot be the name of a tag, a branch or a commit", name);
	for (const char *at = name; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f || strchr("~^:?*[\\", *at))
			return err_set(err, ERR_INVALID, "'%s' cannot be the name of a tag, a branch or a commit", name);
	return text_is_utf8(name, length) ? 0 : err_set(err, ERR_INVALID, "the name of a version is not UTF-8");
}

/* The commit behind an object, which is freed. 1 found, 0 when `code` says that there is none. */
static int commit_behind(const struct vcs *vcs, int code, git_object *object, const char *name, char ret_sha[VCS_SHA_SIZE], struct err *err)
{
	git_object *commit = NULL;

	if (code == GIT_ENOTFOUND || code == GIT_EINVALIDSPEC)
		return 0;
	if (code == 0)
		code = vcs->git->object_peel(&commit, object, GIT_OBJECT_COMMIT);
	vcs->git->object_free(object);
	if (code < 0)
		return vcs_error(vcs, code, err, "%s", name);
	vcs->git->oid_tostr(ret_sha, VCS_SHA_SIZE, vcs->git->object_id(commit));
	vcs->git->object_free(commit);
	return 1;
}

/* 1 found, 0 not. */
static int try_reference(const struct vcs *vcs, const char *name, char ret_sha[VCS_SHA_SIZE], struct err *err)
{
	git_object *object = NULL;
	git_oid oid;
	int code = vcs->git->reference_name_to_id(&oid, vcs->repository, name);

	if (code == 0)
		code = vcs->git->object_lookup(&object, vcs->repository, &oid, GIT_OBJECT_ANY);
	else if (code != GIT_ENOTFOUND && code != GIT_EINVALIDSPEC)
		return vcs_error(vcs, code, err, "%s", name);
	else
		return 0;
	if (code == GIT_ENOTFOUND) /* it names an object that is gone: that is damage, not absence */
		return vcs_error(vcs, code, err, "%s", name);
	return commit_behind(vcs, code, object, name, ret_sha, err);
}

static int try_commit(const struct vcs *vcs, const char *name, char ret_sha[VCS_SHA_SIZE], struct err *err)
{
	size_t length = strlen(name);
	git_object *object = NULL;
	git_oid oid;
	int code;

	if (length < 7 || length > 40 || strspn(name, "0123456789abcdefABCDEF") != length || vcs->git->oid_fromstrn(&oid, name, length) < 0)
		return 0;
	code = vcs->git->object_lookup_prefix(&object, vcs->repository, &oid, length, GIT_OBJECT_ANY);
	return commit_behind(vcs, code, object, name, ret_sha, err);
}

int vcs_resolve_name(struct vcs *vcs, const char *prefix, const char *name, char ret_sha[VCS_SHA_SIZE], struct err *err)
{
	static const char *const spaces[] = { "refs/tags/", "refs/heads/", "refs/remotes/origin/" };
	bool prefixed = prefix && *prefix;
	int r;

	r = vcs_name_check(name, err);
	if (r < 0)
		return r;
	for (int pass = prefixed ? 0 : 1; pass < 2; pass++)
		for (size_t i = 0; i < ARRAY_SIZE(spaces); i++) {
			_cleanup_talloc_ char *full = mem_printf(NULL, "%s%s%s", spaces[i], pass == 0 ? prefix : "", name);

			r = try_reference(vcs, full, ret_sha, err);
			if (r != 0)
				return MIN(r, 0);
		}
	r = try_commit(vcs, name, ret_sha, err);
	if (r != 0)
		return MIN(r, 0);
	if (vcs->git->repository_is_empty(vcs->repository) == 1)
		return err_set(err, ERR_NOT_FOUND, "'%s': the repository has no commits", name);
	return err_set(err, ERR_NOT_FOUND, "'%s' is no tag, branch or commit of the repository", name);
}
