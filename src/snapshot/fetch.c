/* Reading objects (fetch.h). A sealed object proves itself by its tags; its name is compared all the same, for that also finds what was damaged in memory before it was sealed. Threads: any. */
#include "snapshot/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "base/fs.h"

static int open_object(int content, const struct object_id *id, struct err *err)
{
	char name[OBJECT_NAME_SIZE];
	int fd;

	object_name(id, name);
	fd = openat(content, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? err_set(err, ERR_CORRUPT, "its object %s is missing", name)
				       : err_errno(err, errno, "object %s", name);
	return fd;
}

static int named(const struct object_id *id, int r, struct err *err)
{
	char name[OBJECT_NAME_SIZE];

	object_name(id, name);
	return r < 0 ? err_in(err, "object %s", name) : r;
}

int fetch_segment(struct snapshot_store *store, struct object_work *work, int content, const struct object_id *id, size_t size,
	struct err *err)
{
	struct object_header header;
	struct object_id found;
	const uint8_t *names;
	int r = seal_names_key(store->seal, true, &names, err);
	_cleanup_close_ int fd = r < 0 ? -1 : open_object(content, id, err);

	if (r < 0 || fd < 0)
		return r < 0 ? r : fd;
	r = object_read_header(fd, &header, err);
	if (r == 0 && header.size != size)
		r = err_set(err, ERR_CORRUPT, "it has another size");
	if (r == 0)
		r = object_read(work, store->seal, &header, OBJECT_CONTENT, id, fd, work->packed, work->plain, err);
	if (r < 0)
		return named(id, r, err);
	object_id_of(names, work->plain, size, &found);
	if (memcmp(&found, id, sizeof(found)) != 0)
		return named(id, err_set(err, ERR_CORRUPT, "it has another content"), err);
	return 0;
}

int fetch_clear(struct snapshot_store *store, struct object_work *work, int content, const struct object_id *id, uint64_t size, int to,
	struct err *err)
{
	crypto_generichash_state state;
	struct object_id found;
	const uint8_t *names;
	uint64_t done = 0;
	size_t n = 0;
	int r = seal_names_key(store->seal, false, &names, err);
	_cleanup_close_ int fd = r < 0 ? -1 : open_object(content, id, err);

	if (r < 0 || fd < 0)
		return r < 0 ? r : fd;
	crypto_generichash_init(&state, names, SEAL_KEY_SIZE, sizeof(found.bytes));
	do {
		r = object_read_up_to(fd, work->plain, OBJECT_SEGMENT, &n, err);
		done += n;
		if (r == 0 && done > size)
			r = err_set(err, ERR_CORRUPT, "it has another size");
		if (r == 0)
			crypto_generichash_update(&state, work->plain, n);
		if (r == 0 && to >= 0)
			r = fs_write_all(to, work->plain, n, err);
	} while (r == 0 && n == OBJECT_SEGMENT);
	crypto_generichash_final(&state, found.bytes, sizeof(found.bytes));
	if (r == 0 && (done != size || memcmp(&found, id, sizeof(found)) != 0))
		r = err_set(err, ERR_CORRUPT, "it has another content");
	return named(id, r, err);
}
