/* A folder as a sorted list of what is in it, with sums: what went into a store is compared with what came out. Independent of what the store itself reads folders with. */
#ifndef TESTS_SNAPSHOT_TREE_H
#define TESTS_SNAPSHOT_TREE_H

#include <sys/stat.h>

#include "data/hash.h"

#define TREE_FILES_MAX 1000000u
#define TREE_DEPTH_MAX 64

enum tree_type { TREE_FILE, TREE_LINK, TREE_FOLDER };

struct tree_item {
	enum tree_type type;
	char *path;              /* relative, '/' between parts; any bytes */
	mode_t mode;             /* permission bits; of files and folders */
	uint64_t size;           /* of files */
	char sum[HASH_HEX_SIZE]; /* BLAKE2b-256 of files */
	char *target;            /* of links, as it stands in them */
};

struct tree {
	struct tree_item *items; /* sorted by the bytes of their paths */
	size_t count;
	uint64_t files, bytes;
};

/* Reads everything below `root` but `skip` (a name at the top; may be NULL). Links are noted and never followed; anything but files,
 * links and folders is ERR_INVALID.
 * With `sync` all of it is flushed to the disk as well. */
must_check int tree_read(const void *ctx, const char *root, const char *skip, bool sync, struct tree **ret, struct err *err);

/* What is different in `now`: called for each item in the order of paths, with words such as "is missing". */
typedef void (*tree_difference)(void *user, const char *path, const char *what);
void tree_compare(const struct tree *expected, const struct tree *now, tree_difference difference, void *user);

#endif
