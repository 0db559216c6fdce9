/* What lies between two commits: those that the one has and the other lacks, and the files that differ. Only commits between them are
 * walked, and only trees compared: no content is read. Threads: that of the repository. */
#include <string.h>

#include "base/clock.h"
#include "vcs/git.h"

static json_t *commit_json(const void *ctx, struct vcs *vcs, const git_oid *oid)
{
	const struct git *git = vcs->git;
	const git_signature *author;
	git_commit *commit = NULL;
	const char *subject;
	json_t *item;

	item = json_object();
	json_put_str(item, "sha", vcs_sha(ctx, vcs, oid));
	if (git->commit_lookup(&commit, vcs->repository, oid) < 0)
		return item;
	subject = git->commit_summary(commit);
	author = git->commit_author(commit);
	json_put_str(item, "subject", subject ? subject : "");
	if (author) {
		json_put_str(item, "author", author->name);
		json_put_str(item, "date", clock_format(ctx, 1000 * git_time_within(author->when.time)));
	}
	git->commit_free(commit);
	return item;
}

/* Commits of `of` that are not in `without`. */
static int lacking(const void *ctx, struct vcs *vcs, const git_oid *of, const git_oid *without, size_t listed, json_t **ret,
	struct err *err)
{
	const struct git *git = vcs->git;
	json_t *commits = json_keep(ctx, json_array());
	git_revwalk *walk = NULL;
	size_t count = 0;
	git_oid oid;
	int r;

	r = git->revwalk_new(&walk, vcs->repository);
	if (r == 0)
		r = git->revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME);
	if (r == 0)
		r = git->revwalk_push(walk, of);
	if (r == 0)
		r = git->revwalk_hide(walk, without);
	while (r == 0 && count < VCS_BETWEEN_MAX && (r = git->revwalk_next(&oid, walk)) == 0)
		if (count++ < listed)
			json_array_append_new(commits, commit_json(ctx, vcs, &oid));
	git->revwalk_free(walk);
	if (r < 0 && r != GIT_ITEROVER)
		return vcs_error(vcs, r, err, "the commits between the two cannot be told");
	*ret = json_make(ctx, "{s:I, s:O, s:I}", "count", (json_int_t)count, "commits", commits, "more",
		(json_int_t)(count - json_array_size(commits)));
	return 0;
}

static int tree_of(struct vcs *vcs, const git_oid *oid, git_tree **ret)
{
	git_commit *commit = NULL;
	int r = vcs->git->commit_lookup(&commit, vcs->repository, oid);

	if (r == 0)
		r = vcs->git->commit_tree(ret, commit);
	vcs->git->commit_free(commit);
	return r;
}

static int files_between(const void *ctx, struct vcs *vcs, const git_oid *from, const git_oid *to, size_t listed, json_t **ret,
	struct err *err)
{
	const struct git *git = vcs->git;
	git_diff_options options = GIT_DIFF_OPTIONS_INIT;
	json_t *names = json_keep(ctx, json_array());
	git_tree *old = NULL, *new = NULL;
	git_diff *diff = NULL;
	size_t count = 0;
	int r;

	options.flags = GIT_DIFF_SKIP_BINARY_CHECK | GIT_DIFF_INCLUDE_TYPECHANGE;
	r = tree_of(vcs, from, &old);
	if (r == 0)
		r = tree_of(vcs, to, &new);
	if (r == 0)
		r = git->diff_tree_to_tree(&diff, vcs->repository, old, new, &options);
	if (r == 0)
		count = git->diff_num_deltas(diff);
	for (size_t i = 0; r == 0 && i < MIN(count, listed); i++) {
		const git_diff_delta *delta = git->diff_get_delta(diff, i);
		json_t *one = json_object();

		/* By json_put_str: a path may hold any byte. */
		json_put_str(one, "path", delta->new_file.path ? delta->new_file.path : delta->old_file.path);
		json_array_append(names, json_object_get(one, "path"));
		json_decref(one);
	}
	git->diff_free(diff);
	git->tree_free(old);
	git->tree_free(new);
	if (r < 0)
		return vcs_error(vcs, r, err, "the files that differ cannot be told");
	*ret = json_make(ctx, "{s:I, s:O, s:I}", "count", (json_int_t)count, "names", names, "more",
		(json_int_t)(count - json_array_size(names)));
	return 0;
}

int vcs_between(const void *ctx, struct vcs *vcs, const char *from, const char *to, size_t commits, size_t names, json_t **ret,
	struct err *err)
{
	json_t *removed, *added, *files;
	git_oid old, new;
	int r;

	r = vcs_ref_check(from, err);
	if (r == 0)
		r = vcs_ref_check(to, err);
	if (r == 0)
		r = vcs_commit_of(vcs, from, &old, err);
	if (r == 0)
		r = vcs_commit_of(vcs, to, &new, err);
	if (r == 0)
		r = lacking(ctx, vcs, &old, &new, commits, &removed, err);
	if (r == 0)
		r = lacking(ctx, vcs, &new, &old, commits, &added, err);
	if (r == 0)
		r = files_between(ctx, vcs, &old, &new, names, &files, err);
	if (r < 0)
		return r;
	*ret = json_make(ctx, "{s:s, s:s, s:O, s:O, s:O}", "from", vcs_sha(ctx, vcs, &old), "to", vcs_sha(ctx, vcs, &new), "removed",
		removed, "added", added, "files", files);
	return 0;
}
