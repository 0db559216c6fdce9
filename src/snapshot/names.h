/* What can be seen of a snapshot below rollback-snapshots/{id}/: every folder, file and link under its name. Files are hard links to their objects: unsealed they can be read, sealed they show what is there. A
 * file of several objects is linked to its first. For people alone: nothing is ever restored from here. */
#ifndef SNAPSHOT_NAMES_H
#define SNAPSHOT_NAMES_H

#include "snapshot/store.h"

/* In the folder `fd`, which is empty. `missing` (as many as items) is set for files whose object is not there; *ret_missing: how many. */
must_check int names_make(struct snapshot_store *store, const struct manifest *manifest, int fd, bool *missing, size_t *ret_missing,
	struct err *err);
/* Called with a path and what is wrong with it. */
typedef void (*names_problem)(void *user, const char *path, const char *problem);
must_check int names_check(struct snapshot_store *store, const struct manifest *manifest, int fd, names_problem problem, void *user,
	struct err *err);
/* Does `path` stand for a file of the store itself? */
bool names_is_own(const char *path);

#endif
