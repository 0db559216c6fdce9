/* Names for a snapshot whose files came from elsewhere (snapshot_store.h): they are hard links, which no copy carries. Threads: as the store. */
#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "snapshot/names.h"

/* What an interruption left of them. */
static int remove_names(const char *folder, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char **names;
	int r = fs_list(work, folder, &names, err);

	for (; r == 0 && *names; names++)
		if (!names_is_own(*names))
			r = fs_remove_tree(fs_join(work, folder, *names), err);
	return r;
}

int snapshot_name(struct snapshot_store *store, const char *id, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	_cleanup_close_ int lock = -1, fd = -1;
	struct manifest *manifest;
	struct commit commit;
	size_t missing = 0;
	char *folder;
	int r;

	r = store_lock(store, false, &lock, err);
	if (r == 0)
		r = commit_read_manifest(store, work, id, &commit, &manifest, err);
	if (r == 0)
		r = store_folder(store, work, id, &folder, err);
	if (r == 0)
		r = remove_names(folder, err);
	if (r < 0)
		return r;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, errno, "%s", folder);
	r = names_make(store, manifest, fd, mem_array(work, bool, manifest->count + 1), &missing, err);
	if (r == 0 && missing > 0)
		r = err_set(err, ERR_CORRUPT, "%zu files of snapshot %s have no object", missing, id);
	return r;
}
