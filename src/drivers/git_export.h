/* Reading a Git repository for the driver git-release: names to commits, and the tree of a commit into a directory, straight from the
 * object database. */
#ifndef DRIVERS_GIT_EXPORT_H
#define DRIVERS_GIT_EXPORT_H

#include "base/err.h"
#include "base/mem.h"

#define GIT_COMMIT_SIZE 41 /* 40 hex digits and a 0 */

struct git_source; /* talloc */

/* ERR_NOT_FOUND when there is no repository at `path` (its parents are not searched); bare ones are as good. */
must_check int git_source_open(const void *ctx, const char *path, struct git_source **ret, struct err *err);
/* Plain names only: tags, branches, remote branches, commit ids (7 digits at least); no expressions such as HEAD~1, nothing that begins
 * with a dash. ERR_INVALID. */
must_check int git_check_ref(const char *ref, struct err *err);
/* A tag, branch, branch of origin or commit id, in this order; `prefix` is tried in front of it first (may be NULL). ERR_NOT_FOUND,
 * ERR_AMBIGUOUS. */
must_check int git_resolve(struct git_source *source, const char *prefix, const char *ref, char ret_commit[GIT_COMMIT_SIZE],
	struct err *err);
/* Writes the tree of a commit, or its subdirectory, into `dir`, which must not exist. Durable at return. Refuses submodules, Git LFS
 * pointers, names that are none, links that lead
 * outside. *ret_files: how many were written. `tick` is called now and then with that number; may be NULL. */
must_check int git_export(struct git_source *source, const char *commit, const char *subdir, const char *dir, size_t *ret_files,
	void (*tick)(void *user, size_t files), void *user, struct err *err);

#endif
