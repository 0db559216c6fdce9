/* Content back out of the store, in clear. */
#ifndef SNAPSHOT_RESTORE_H
#define SNAPSHOT_RESTORE_H

#include "snapshot/store.h"

struct restore {
	const struct manifest *manifest;
	size_t first, count; /* which items */
	const bool *skip;    /* by item, from 0 on; NULL: none */
	int fd;              /* where */
	const char *root;    /* stands before all paths; "" or a name in fd */
	size_t strip;        /* bytes of the paths that are left away */
	bool replace;        /* files and links that are there are made anew; folders may be there */
};

/* Lays it out; every file is compared with its name. Not flushed. What was begun when it fails is left to the caller. */
must_check int restore_items(struct snapshot_store *store, const struct restore *restore, struct err *err);

/* Reads every object of the manifest (or a share of them); each that is not as it was is told once per file. */
typedef void (*restore_problem)(void *user, const char *path, const char *problem);
must_check int restore_check(struct snapshot_store *store, const struct manifest *manifest, double share, restore_problem problem,
	void *user, struct err *err);

#endif
