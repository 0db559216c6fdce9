/* Deposits (deposit.h). Temporary names ("ab/+...") stand in the folders of the names to come, so a rename stays in its folder. Content that is in the store, or that another thread of this take is storing, is
 * not stored again; when two processes store the same, the first to give the name wins, and both are content with it. An object that is shorter than it can be is damaged and is replaced.
 * Threads: a mutex guards the list of what is new and the set of names that were met. */
#include "snapshot/deposit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/fs.h"

#define TEMPORARY_SIZE 48
#define RENAME_BLOCK   64
#define AHEAD          ((long long)128 << 20)

struct fresh {
	struct object_id id;
	char temporary[TEMPORARY_SIZE];
	bool replace; /* a damaged one */
	bool named;
};

struct deposit {
	struct snapshot_store *store;
	const struct seal_key *key;
	const uint8_t *names_key;
	int content;
	uint32_t token[2];
	atomic_uint serial;
	atomic_llong stored;
	pthread_t flusher;
	bool flushing;       /* the thread was started */
	atomic_bool flushed; /* it is done */
	long long ahead;     /* `stored` when it was started last */
	pthread_mutex_t mutex;
	struct fresh *list;
	size_t count, room, settled;
	struct object_id *met; /* open addressing; all 0: free. No content has that name but with a chance of 2^-256. */
	size_t met_count, met_room;
};

/* ---- flushing ahead: while some threads seal, one waits for the disk, so that little is left to wait for at the end. Nothing depends on it. ---- */

static void *flush_ahead(void *user)
{
	struct deposit *deposit = user;

	(void)syncfs(deposit->content); /* the flush that counts tells of errors: deposit_settle */
	atomic_store(&deposit->flushed, true);
	return NULL;
}

static void end_flusher(struct deposit *deposit)
{
	if (deposit->flushing)
		(void)pthread_join(deposit->flusher, NULL);
	deposit->flushing = false;
}

/* Starts the thread when enough was written since the last time, unless it still waits. */
static void maybe_flush_ahead(struct deposit *deposit)
{
	long long stored = atomic_load(&deposit->stored);
	sigset_t all, old;

	if (pthread_mutex_trylock(&deposit->mutex) != 0)
		return;
	if (stored - deposit->ahead >= AHEAD && (!deposit->flushing || atomic_load(&deposit->flushed))) {
		end_flusher(deposit);
		deposit->ahead = stored;
		atomic_store(&deposit->flushed, false);
		(void)sigfillset(&all);
		(void)pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are for the threads that expect them */
		deposit->flushing = pthread_create(&deposit->flusher, NULL, flush_ahead, deposit) == 0;
		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	(void)pthread_mutex_unlock(&deposit->mutex);
}

static int destroy(struct deposit *deposit)
{
	end_flusher(deposit);
	for (size_t i = 0; i < deposit->count; i++)
		if (!deposit->list[i].named)
			(void)unlinkat(deposit->content, deposit->list[i].temporary, 0);
	(void)pthread_mutex_destroy(&deposit->mutex);
	return 0;
}

int deposit_new(const void *ctx, struct snapshot_store *store, const struct seal_key *key, struct deposit **ret, struct err *err)
{
	struct deposit *deposit = mem_zero(ctx, struct deposit);
	int r;

	deposit->store = store;
	deposit->key = key;
	r = seal_names_key(store->seal, key != NULL, &deposit->names_key, err);
	if (r == 0)
		r = store_content(store, key != NULL, &deposit->content, err);
	if (r < 0) {
		talloc_free(deposit);
		return r;
	}
	randombytes_buf(deposit->token, sizeof(deposit->token));
	deposit->met_room = 1024;
	deposit->met = mem_array(deposit, struct object_id, deposit->met_room);
	assert_always(pthread_mutex_init(&deposit->mutex, NULL) == 0);
	talloc_set_destructor(deposit, destroy);
	*ret = deposit;
	return 0;
}

/* The slot of the id, or the free one where it belongs. */
static struct object_id *slot_of(struct object_id *met, size_t room, const struct object_id *id)
{
	static const struct object_id none;
	size_t at;

	memcpy(&at, id->bytes, sizeof(at));
	for (;; at++) {
		struct object_id *slot = &met[at & (room - 1)];

		if (memcmp(slot, id, sizeof(*id)) == 0 || memcmp(slot, &none, sizeof(none)) == 0)
			return slot;
	}
}

/* False when a thread of this take has it already. */
static bool is_first(struct deposit *deposit, const struct object_id *id)
{
	struct object_id *slot;
	bool first;

	(void)pthread_mutex_lock(&deposit->mutex);
	if (deposit->met_count * 2 >= deposit->met_room) {
		size_t room = deposit->met_room * 2;
		struct object_id *met = mem_array(deposit, struct object_id, room);

		for (size_t i = 0; i < deposit->met_room; i++)
			*slot_of(met, room, &deposit->met[i]) = deposit->met[i];
		talloc_free(deposit->met);
		deposit->met = met;
		deposit->met_room = room;
	}
	slot = slot_of(deposit->met, deposit->met_room, id);
	first = memcmp(slot, id, sizeof(*id)) != 0;
	if (first) {
		*slot = *id;
		deposit->met_count++;
	}
	(void)pthread_mutex_unlock(&deposit->mutex);
	return first;
}

static void note(struct deposit *deposit, const struct fresh *fresh)
{
	(void)pthread_mutex_lock(&deposit->mutex);
	if (deposit->count == deposit->room) {
		deposit->room = MAX(deposit->room * 2, (size_t)64);
		deposit->list = mem_resize(deposit, deposit->list, struct fresh, deposit->room);
	}
	deposit->list[deposit->count++] = *fresh;
	(void)pthread_mutex_unlock(&deposit->mutex);
}

/* Is it there, and as long as it must be at least? */
static bool is_there(const struct deposit *deposit, const struct object_id *id, uint64_t size, bool *ret_damaged)
{
	char name[OBJECT_NAME_SIZE];
	struct stat st;

	object_name(id, name);
	*ret_damaged = false;
	if (fstatat(deposit->content, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	*ret_damaged = !S_ISREG(st.st_mode) || (deposit->key ? st.st_size <= OBJECT_HEADER_SIZE : (uint64_t)st.st_size != size);
	return !*ret_damaged;
}

bool deposit_has(struct deposit *deposit, const struct object_id *id)
{
	char name[OBJECT_NAME_SIZE];

	object_name(id, name);
	return faccessat(deposit->content, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int make_temporary(struct deposit *deposit, uint8_t folder, struct fresh *ret, struct err *err)
{
	unsigned serial = atomic_fetch_add(&deposit->serial, 1);
	int fd;

	(void)snprintf(ret->temporary, sizeof(ret->temporary), "%02x/+%08x%08x-%u", (unsigned)folder, deposit->token[0], deposit->token[1],
		serial);
	fd = openat(deposit->content, ret->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
	if (fd < 0 && errno == ENOENT) { /* the first in its folder */
		const char name[3] = { ret->temporary[0], ret->temporary[1], 0 };

		if (mkdirat(deposit->content, name, 0700) == 0 || errno == EEXIST)
			fd = openat(deposit->content, ret->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
	}
	return fd < 0 ? err_errno(err, errno, "cannot write into the snapshot store") : fd;
}

/* With the bytes in it, in the list. */
static int store_bytes(struct deposit *deposit, struct object_work *work, const uint8_t *bytes, size_t size, struct fresh *fresh,
	struct err *err)
{
	int64_t stored = (int64_t)size;
	int r;
	_cleanup_close_ int fd = make_temporary(deposit, fresh->id.bytes[0], fresh, err);

	if (fd < 0)
		return fd;
	note(deposit, fresh); /* before it is whole: what fails is removed with the rest */
	if (deposit->key)
		r = object_write(work, deposit->key, OBJECT_CONTENT, &fresh->id, bytes, size, work->packed, fd, &stored, err);
	else
		r = fs_write_all(fd, bytes, size, err);
	atomic_fetch_add(&deposit->stored, stored);
	maybe_flush_ahead(deposit);
	FAILPOINT("snapshot.object_written");
	return r;
}

int deposit_bytes(struct deposit *deposit, struct object_work *work, const uint8_t *bytes, size_t size, struct object_id *ret_id,
	bool *ret_new, struct err *err)
{
	struct fresh fresh = { .replace = false };

	object_id_of(deposit->names_key, bytes, size, &fresh.id);
	*ret_id = fresh.id;
	if (!is_first(deposit, &fresh.id) || is_there(deposit, &fresh.id, size, &fresh.replace))
		return 0;
	*ret_new = true;
	return store_bytes(deposit, work, bytes, size, &fresh, err);
}

/* Its name is known at its end only: until then it stands in the first folder, and it is in no list. */
static int stream_file(struct deposit *deposit, struct object_work *work, int fd, int to, struct fresh *fresh, uint64_t *ret_size,
	struct err *err)
{
	crypto_generichash_state state;
	uint64_t size = 0;
	size_t n;
	int r;

	crypto_generichash_init(&state, deposit->names_key, SEAL_KEY_SIZE, sizeof(fresh->id.bytes));
	do {
		r = object_read_up_to(fd, work->plain, OBJECT_SEGMENT, &n, err);
		if (r == 0)
			r = fs_write_all(to, work->plain, n, err);
		if (r < 0)
			return r;
		crypto_generichash_update(&state, work->plain, n);
		size += n;
	} while (n == OBJECT_SEGMENT);
	crypto_generichash_final(&state, fresh->id.bytes, sizeof(fresh->id.bytes));
	*ret_size = size;
	return 0;
}

int deposit_file(struct deposit *deposit, struct object_work *work, int fd, struct object_id *ret_id, uint64_t *ret_size, bool *ret_new,
	struct err *err)
{
	struct fresh fresh = { .replace = false };
	_cleanup_close_ int to = make_temporary(deposit, 0, &fresh, err);
	int r = to < 0 ? to : stream_file(deposit, work, fd, to, &fresh, ret_size, err);

	if (to < 0)
		return r;
	*ret_id = fresh.id;
	if (r == 0 && is_first(deposit, &fresh.id) && !is_there(deposit, &fresh.id, *ret_size, &fresh.replace)) {
		char name[OBJECT_NAME_SIZE];

		object_name(&fresh.id, name);
		name[2] = 0;
		if (mkdirat(deposit->content, name, 0700) < 0 && errno != EEXIST)
			r = err_errno(err, errno, "cannot write into the snapshot store");
		note(deposit, &fresh);
		atomic_fetch_add(&deposit->stored, (long long)*ret_size);
		*ret_new = true;
		FAILPOINT("snapshot.object_written");
		return r;
	}
	(void)unlinkat(deposit->content, fresh.temporary, 0);
	return r;
}

static int name_one(void *user, unused_arg struct object_work *work, size_t index, struct err *err)
{
	struct deposit *deposit = user;
	struct fresh *fresh = &deposit->list[deposit->settled + index];
	char name[OBJECT_NAME_SIZE];

	object_name(&fresh->id, name);
	if (renameat2(deposit->content, fresh->temporary, deposit->content, name, fresh->replace ? 0 : RENAME_NOREPLACE) < 0) {
		if (errno != EEXIST)
			return err_errno(err, errno, "cannot name an object of the snapshot store");
		if (unlinkat(deposit->content, fresh->temporary, 0) < 0) /* another process stored the same meanwhile */
			return err_errno(err, errno, "cannot remove a temporary object of the snapshot store");
	}
	fresh->named = true;
	FAILPOINT("snapshot.object_named");
	return 0;
}

int deposit_settle(struct deposit *deposit, struct err *err)
{
	size_t count = deposit->count - deposit->settled;
	int r;

	if (count == 0)
		return 0;
	end_flusher(deposit);
	if (syncfs(deposit->content) < 0)
		return err_errno(err, errno, "cannot flush the objects of the snapshot store");
	FAILPOINT("snapshot.objects_written");
	r = workers_run(deposit->store->workers, count, RENAME_BLOCK, name_one, deposit, err);
	if (r == 0)
		deposit->settled = deposit->count;
	return r;
}

int64_t deposit_stored(const struct deposit *deposit)
{
	return atomic_load(&deposit->stored);
}
