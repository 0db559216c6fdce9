/* The manifest of a snapshot: what is in it, and which objects hold it. Text, a line for each:
 *
 *     unship manifest 1
 *     project shop
 *     snapshot run-01jd7v1yq3k8e5w2c9h4m6n0ab
 *     content sealed 4194304                     or: content clear 0. How large the segments are that files are cut into; 0: they are not
 *     items 3 1 12                               items, files, bytes
 *     d 0755 config
 *     f 0644 12 config/app.json 5f0c...          mode, size, path, the names of its objects with commas between; - when it is empty
 *     l config/current releases/7                path, target
 *     end
 *
 * A blank, a backslash and control characters in names are written as \xNN. Folders stand before what is in them, and what is in a folder is sorted by its bytes. There is one text for a content: what
 * can be read is written back as the same bytes. Pure; any thread. */
#ifndef SNAPSHOT_MANIFEST_H
#define SNAPSHOT_MANIFEST_H

#include "snapshot/object.h"

#define MANIFEST_SIZE_MAX  ((size_t)512 << 20)
#define MANIFEST_ITEMS_MAX 1000000u
#define MANIFEST_DEPTH_MAX 64
#define MANIFEST_PATH_MAX  4095
#define MANIFEST_FILE_MAX  ((uint64_t)1 << 40)

enum manifest_type { MANIFEST_FOLDER, MANIFEST_FILE, MANIFEST_LINK };

struct manifest_item {
	enum manifest_type type;
	unsigned mode;      /* permission bits; of files and folders */
	const char *path;   /* relative; any bytes but 0 */
	const char *target; /* of links, as it stands in them */
	uint64_t size;      /* of files */
	struct object_id *objects;
	size_t object_count;
};

struct manifest {
	const char *project, *snapshot;
	bool sealed;
	struct manifest_item *items;
	size_t count;
	int64_t files, bytes;
};

/* How many objects a file of this size has. */
size_t manifest_object_count(bool sealed, uint64_t size);
/* How many bytes of the file the object holds. */
size_t manifest_segment_size(const struct manifest_item *item, size_t segment);
/* A path that is safe below any folder: relative, no part of it empty, "." or "..", within the limits. */
bool manifest_is_path(const char *path);
/* The order of paths: '/' comes before all other bytes, so that a folder is followed by what is in it. */
int manifest_order(const char *a, const char *b);
/* The items at and below `path` (NULL: all) are those from *ret_first on. How many. */
size_t manifest_below(const struct manifest *manifest, const char *path, size_t *ret_first);

char *manifest_write(const void *ctx, const struct manifest *manifest, size_t *ret_size);
/* `text` belongs to the caller, is changed, and must live as long as the result. ERR_CORRUPT, ERR_NEWER, ERR_TOO_LARGE. */
must_check int manifest_parse(const void *ctx, char *text, size_t size, struct manifest **ret, struct err *err);

#endif
