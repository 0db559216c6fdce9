/* Files: whole reads with a limit, atomic durable writes, trees. No function follows a symbolic link in the last component unless it says so. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"

/* Reads a regular file (links followed) of at most `max` bytes; the result ends with an extra 0 byte. ERR_TOO_LARGE above. ret_size may be NULL. */
must_check int fs_read(const void *ctx, const char *path, size_t max, char **ret, size_t *ret_size, struct err *err);
/* Replaces `path` as a whole: temporary file beside it, fsync, rename, fsync of the directory. Keeps mode and owner of an existing file;
 * a new one gets `mode`. A symbolic link is written through to the file that it points to. After a crash the old or the new content stands there, never a mix. */
must_check int fs_write_atomic(const char *path, const void *bytes, size_t size, mode_t mode, struct err *err);
/* Like mkdir -p. A loss of power may undo it. */
must_check int fs_mkdirs(const char *path, mode_t mode, struct err *err);
/* The same, and each folder that was missing stays: also what is flushed inside of a folder is lost with it when nothing leads there. */
must_check int fs_mkdirs_durable(const char *path, mode_t mode, struct err *err);
/* Removes a file or a whole tree, never following links; a missing path is success. */
must_check int fs_remove_tree(const char *path, struct err *err);
/* Copies a regular file, its mode and mtime (and owner when permitted); durable when `sync`. The destination must not exist. */
must_check int fs_copy(const char *from, const char *to, bool sync, struct err *err);
/* Atomically makes `path` a symbolic link to `target` (temporary link, rename, fsync of the directory). */
must_check int fs_symlink_atomic(const char *target, const char *path, struct err *err);
must_check int fs_sync_dir(const char *path, struct err *err);
bool fs_exists(const char *path); /* lstat */
bool fs_is_dir(const char *path); /* stat */
/* Names in a directory (without . and ..), sorted by bytes; array ends with NULL. */
must_check int fs_list(const void *ctx, const char *path, char ***ret, struct err *err);
/* Bytes free to this user on the file system of `path`. */
must_check int fs_free_bytes(const char *path, uint64_t *ret, struct err *err);
/* Writes all bytes to a descriptor, through EINTR and short writes. */
must_check int fs_write_all(int fd, const void *bytes, size_t size, struct err *err);

#endif
