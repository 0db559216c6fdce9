/* Private to vcs/: libgit2, loaded at run time, and what an open repository is made of.
 *
 * Linking libgit2 would cost every start of the program 2 ms, for seventeen more libraries; most commands never read a repository. Its
 * functions are called through a table: git->commit_lookup(...). A new one is a new line in GIT_FUNCTIONS. */
#ifndef VCS_GIT_H
#define VCS_GIT_H

#include <git2.h>

#include "vcs/vcs.h"

/* clang-format off */
#define GIT_FUNCTIONS(X) \
	X(blob_free) X(blob_lookup) X(blob_rawcontent) X(blob_rawsize) \
	X(commit_author) X(commit_committer) X(commit_free) X(commit_lookup) X(commit_summary) X(commit_tree) \
	X(diff_free) X(diff_get_delta) X(diff_num_deltas) X(diff_tree_to_tree) \
	X(error_last) X(libgit2_init) \
	X(object_free) X(object_id) X(object_lookup) X(object_lookup_prefix) X(object_peel) X(object_type) \
	X(odb_free) X(odb_object_data) X(odb_object_free) X(odb_object_size) X(odb_object_type) X(odb_read) \
	X(oid_fromstrn) X(oid_tostr) \
	X(reference_free) X(reference_iterator_free) X(reference_iterator_new) X(reference_lookup) X(reference_name) \
	X(reference_name_to_id) X(reference_next) X(reference_symbolic_target) X(reference_target) X(reference_type) \
	X(repository_commondir) X(repository_free) X(repository_is_bare) X(repository_is_empty) X(repository_is_shallow) X(repository_odb) \
	X(repository_open_ext) X(repository_path) X(repository_workdir) X(revparse_single) \
	X(revwalk_free) X(revwalk_hide) X(revwalk_new) X(revwalk_next) X(revwalk_push) X(revwalk_sorting) \
	X(tag_message) X(tag_tagger) \
	X(tree_entry_byindex) X(tree_entry_bypath) X(tree_entry_filemode) X(tree_entry_free) X(tree_entry_id) X(tree_entry_name) \
	X(tree_entry_type) X(tree_entrycount) X(tree_free) X(tree_id) X(tree_lookup)
/* clang-format on */

struct git {
#define X(name) __typeof__(git_##name) *name;
	GIT_FUNCTIONS(X)
#undef X
};

/* Loads the library once in the life of the process. ERR_UNSUPPORTED when it is not installed. Any thread. */
must_check int git_load(const struct git **ret, struct err *err);

struct vcs {
	const struct git *git;
	git_repository *repository;
	git_odb *odb;
	struct vcs_info info;
	git_oid *cut; /* commits whose parents a shallow clone lacks, sorted */
	size_t cut_count;
};

bool vcs_is_cut(const struct vcs *vcs, const git_oid *oid);
/* From libgit2's last error: ERR_NOT_FOUND, ERR_AMBIGUOUS or ERR_CORRUPT by its `code`, with its words behind ours. */
int vcs_error(const struct vcs *vcs, int code, struct err *err, const char *format, ...) printf_like(4, 5);
/* Like vcs_resolve, without the grammar (names from the repository itself). */
must_check int vcs_commit_of(struct vcs *vcs, const char *ref, git_oid *ret, struct err *err);
/* A commit may claim any time; what lies outside of the years 1 to 9999 is cut to them, so that it can be written as a date. */
int64_t git_time_within(int64_t time_s);
char *vcs_sha(const void *ctx, const struct vcs *vcs, const git_oid *oid);

#endif
