/* Contents of configuration files as they were captured: in one folder, under names of our own ("files/0"), with an index that is
 * written last. A folder without an index holds nothing.
 * index.json  {"format": 1, "version": "cfg-3f2a9c81d0b4", "files": [{"path", "present", "name": "0", "size", "mode": "0640",
 *     "blake2b"}]} */
#ifndef DRIVERS_FILES_KEPT_H
#define DRIVERS_FILES_KEPT_H

#include <sys/stat.h>

#include "data/hash.h"

#define FILES_SIZE_MAX (16u << 20) /* of one file */

/* A file as it stands, or as it was kept. */
struct config_file {
	const char *path; /* as configured */
	bool present;
	char *text; /* with a 0 byte behind; NULL: absent, or not loaded */
	size_t size;
	mode_t mode;
	char sum[HASH_HEX_SIZE]; /* of the content; "" when absent */
	const char *name;        /* of kept ones: in files/ */
};
struct config_files {
	struct config_file *list;
	size_t count;
	const char *version; /* "cfg-" and 12 hex digits over paths and contents; "" when none is present */
};

/* Reads the files at `paths` (NULL-terminated; relative ones below `root`), links followed. Absent ones are part of the state. */
must_check int files_read(const void *ctx, const char *root, const char *const *paths, struct config_files *ret, struct err *err);
/* Replaces what is kept in `dir`; durable. */
must_check int files_keep(const char *dir, const struct config_files *files, struct err *err);
/* The index: texts are not loaded. ERR_NOT_FOUND: nothing is kept there; ERR_CORRUPT. */
must_check int files_kept(const void *ctx, const char *dir, struct config_files *ret, struct err *err);
/* Loads the text of a kept file and compares it with its sum: ERR_CORRUPT. */
must_check int files_load(const void *ctx, const char *dir, struct config_file *file, struct err *err);
/* By its path; NULL. */
struct config_file *files_find(const struct config_files *files, const char *path);

#endif
