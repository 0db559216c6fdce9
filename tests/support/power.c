/* A preload library that writes down what a program asks of the disk, so that tests/support/power.mjs can say what a disk may hold after
 * a loss of power at any moment of the run.
 *
 * LD_PRELOAD=libpower.so and
 *   UNSHIP_POWER_LOG     a file, made and sized by the test, into which every change of a file or folder below the root goes, in the
 * order in which it happened
 *   UNSHIP_POWER_ROOT    the folder that is watched, as realpath gives it
 *   UNSHIP_POWER_BOOT    a file that is read in place of the kernel's boot id: the program believes that the machine was started anew
 *   UNSHIP_POWER_LATER   by how many seconds the wall clock is later than it is: so long the power was away
 * Each may be missing. The log is a shared mapping: what a process wrote into it stays when that process is killed, and no descriptor is
 * needed, which programs close. One lock, shared by all processes,
 * is held over each change and its record, so the order of the records is the order of the changes. A holder that was killed is found by
 * its missing thread.
 *
 * Changes of the watched folder are made, but never flushed: a flush is only written down (and costs nothing). When the store of unship
 * has committed, the number of its newest entry is written
 * down too, by wrapping sqlite3_step: from there on the program relies on it.
 *
 * Wrapped is what unship and the libraries beneath it call. What could change a file unseen (a writable shared mapping, other than
 * SQLite's -shm, which needs no durability; O_TMPFILE; an exchange of
 * two names) ends the program with a message. Not seen: programs without this library (services), times, owners. Threads: any. */
#undef _FORTIFY_SOURCE /* its inline functions have the names that are defined here */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Also in power.mjs. Numbers in a record are those of inodes. */
enum kind {
	CREATE = 1, /* a folder, b new inode, its mode, name; a link's target as bytes */
	LINK,       /* a folder, b inode, name */
	UNLINK,     /* a folder, name */
	RENAME,     /* a folder, name, b other folder, other name */
	WRITE,      /* a inode, offset, bytes */
	TRUNCATE,   /* a inode, offset: the size */
	MODE,       /* a inode, mode */
	SYNC,       /* a inode: a file or a folder */
	SYNC_ALL,
	COMMITTED, /* offset: the newest entry of the store; mode: how durable the commit was asked to be, SQLite's `synchronous` */
};

struct record {
	uint32_t size; /* with what follows; a multiple of 8 */
	uint32_t kind;
	uint64_t a, b;
	int64_t offset;
	uint32_t mode, name_size, other_size, bytes_size; /* name, other name and bytes follow */
};

struct log {
	_Atomic uint64_t used; /* with this header */
	_Atomic int32_t owner; /* thread that holds the lock; 0: nobody */
	int32_t unused;
};

static struct {
	struct log *log;
	size_t size, root_length;
	char root[PATH_MAX], boot[PATH_MAX];
	long later_s;
} power;

/* Where a name is looked up: the folder, opened; fd -1: not below the root. */
struct place {
	int fd;
	uint64_t folder;
	const char *name;
	char copy[PATH_MAX];
};

__attribute__((noreturn)) static void give_up(const char *why)
{
	(void)dprintf(STDERR_FILENO, "tests/support/power.c: %s\n", why);
	abort();
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("UNSHIP_POWER_LOG"), *root = getenv("UNSHIP_POWER_ROOT"), *boot = getenv("UNSHIP_POWER_BOOT");
	const char *later = getenv("UNSHIP_POWER_LATER");
	struct stat st;
	void *mapped;
	int fd;

	power.later_s = later ? strtol(later, NULL, 10) : 0;
	(void)snprintf(power.boot, sizeof(power.boot), "%s", boot ? boot : "");
	if (!path || !root)
		return;
	power.root_length = (size_t)snprintf(power.root, sizeof(power.root), "%s", root);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(struct log))
		give_up("the log cannot be opened");
	power.size = (size_t)st.st_size;
	mapped = (void *)syscall(SYS_mmap, NULL, power.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
	if (mapped == MAP_FAILED)
		give_up("the log cannot be mapped");
	(void)syscall(SYS_close, fd);
	power.log = mapped;
	uint64_t none = 0;
	(void)atomic_compare_exchange_strong(&power.log->used, &none, sizeof(struct log));
}

/* ---- the log ---- */

static void take_lock(void)
{
	int32_t self = (int32_t)syscall(SYS_gettid), owner = 0;

	while (!atomic_compare_exchange_weak(&power.log->owner, &owner, self)) {
		if (owner != 0 && kill(owner, 0) < 0 && errno == ESRCH)
			(void)atomic_compare_exchange_strong(&power.log->owner, &owner, 0);
		(void)sched_yield();
		owner = 0;
	}
}

static void give_lock(void)
{
	int error = errno;

	atomic_store(&power.log->owner, 0);
	errno = error;
}

/* The lock is held. A record counts when it is whole. */
static void note(struct record record, const char *name, const char *other, const void *bytes, size_t bytes_size)
{
	uint64_t used = atomic_load(&power.log->used);
	char *at = (char *)power.log + used;

	record.name_size = name ? (uint32_t)strlen(name) : 0;
	record.other_size = other ? (uint32_t)strlen(other) : 0;
	record.bytes_size = (uint32_t)bytes_size;
	record.size = (uint32_t)((sizeof(record) + record.name_size + record.other_size + bytes_size + 7) & ~(size_t)7);
	if (record.size > power.size - used)
		give_up("the log is full");
	memcpy(at, &record, sizeof(record));
	at += sizeof(record);
	if (record.name_size)
		memcpy(at, name, record.name_size);
	at += record.name_size;
	if (record.other_size)
		memcpy(at, other, record.other_size);
	at += record.other_size;
	if (bytes_size)
		memcpy(at, bytes, bytes_size);
	atomic_store(&power.log->used, used + record.size);
}

/* ---- what is watched ---- */

static bool is_below(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < (ssize_t)power.root_length || memcmp(path, power.root, power.root_length) != 0)
		return false;
	path[n] = 0;
	return path[power.root_length] == '/' || path[power.root_length] == 0;
}

static bool is_watched(int fd, struct stat *st)
{
	int error = errno;
	bool result = power.log && fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) && is_below(fd);

	errno = error;
	return result;
}

static void leave(struct place *place)
{
	int error = errno;

	if (place->fd >= 0)
		(void)syscall(SYS_close, place->fd);
	errno = error;
}

static bool find(int dirfd, const char *path, struct place *ret)
{
	int error = errno;
	struct stat st;
	char *slash;

	ret->fd = -1;
	if (!power.log || !path || strlen(path) >= sizeof(ret->copy))
		return false;
	(void)snprintf(ret->copy, sizeof(ret->copy), "%s", path);
	while ((slash = strrchr(ret->copy, '/')) && !slash[1] && slash > ret->copy)
		*slash = 0;
	ret->name = slash ? slash + 1 : ret->copy;
	if (slash && slash > ret->copy)
		*slash = 0;
	ret->fd = (int)syscall(SYS_openat, dirfd, !slash ? "." : slash == ret->copy ? "/" : ret->copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ret->fd >= 0 && (fstat(ret->fd, &st) < 0 || !is_below(ret->fd))) {
		leave(ret);
		ret->fd = -1;
	}
	errno = error;
	if (ret->fd < 0)
		return false;
	ret->folder = st.st_ino;
	return true;
}

static uint64_t inode_of(const struct place *place, mode_t *ret_mode)
{
	struct stat st;

	if (fstatat(place->fd, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		give_up("what was made just now is gone");
	*ret_mode = st.st_mode;
	return st.st_ino;
}

/* ---- names ---- */

static int open_watched(int dirfd, const char *path, int flags, mode_t mode)
{
	struct place place;
	struct stat st;
	bool existed;
	int fd;

	if (power.boot[0] && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		path = power.boot;
	if (!(flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE)
		return (int)syscall(SYS_openat, dirfd, path, flags, mode);
	if (!find(dirfd, path, &place))
		return (int)syscall(SYS_openat, dirfd, path, flags, mode);
	if ((flags & O_TMPFILE) == O_TMPFILE)
		give_up("O_TMPFILE is not understood");
	take_lock();
	existed = fstatat(place.fd, place.name, &st, 0) == 0;
	fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
	if (fd >= 0 && !existed) {
		struct record record = { .kind = CREATE, .a = place.folder };

		record.b = inode_of(&place, &record.mode);
		if (!S_ISREG(record.mode))
			give_up("a file was made through a link, which is not understood");
		note(record, place.name, NULL, NULL, 0);
	} else if (fd >= 0 && (flags & O_TRUNC) && S_ISREG(st.st_mode)) {
		note((struct record){ .kind = TRUNCATE, .a = st.st_ino }, NULL, NULL, NULL, 0);
	}
	give_lock();
	leave(&place);
	return fd;
}

#define OPEN_MODE(flags, last) \
	({ \
		mode_t mode_ = 0; \
		if (((flags)&O_CREAT) || ((flags)&O_TMPFILE) == O_TMPFILE) { \
			va_list arguments_; \
\
			va_start(arguments_, last); \
			mode_ = (mode_t)va_arg(arguments_, int); \
			va_end(arguments_); \
		} \
		mode_; \
	})

int open(const char *path, int flags, ...)
{
	return open_watched(AT_FDCWD, path, flags, OPEN_MODE(flags, flags));
}

int open64(const char *path, int flags, ...)
{
	return open_watched(AT_FDCWD, path, flags, OPEN_MODE(flags, flags));
}

int openat(int dirfd, const char *path, int flags, ...)
{
	return open_watched(dirfd, path, flags, OPEN_MODE(flags, flags));
}

int openat64(int dirfd, const char *path, int flags, ...)
{
	return open_watched(dirfd, path, flags, OPEN_MODE(flags, flags));
}

/* After mkdir, symlink and link: 0 when `result` says that it was made. */
static int made(long result, struct place *place, enum kind kind, const char *target)
{
	struct record record = { .kind = kind, .a = place->folder };

	if (result == 0) {
		record.b = inode_of(place, &record.mode);
		note(record, place->name, NULL, target, target ? strlen(target) : 0);
	}
	give_lock();
	leave(place);
	return (int)result;
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
	struct place place;

	if (!find(dirfd, path, &place))
		return (int)syscall(SYS_mkdirat, dirfd, path, mode);
	take_lock();
	return made(syscall(SYS_mkdirat, dirfd, path, mode), &place, CREATE, NULL);
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int symlinkat(const char *target, int dirfd, const char *path)
{
	struct place place;

	if (!find(dirfd, path, &place))
		return (int)syscall(SYS_symlinkat, target, dirfd, path);
	take_lock();
	return made(syscall(SYS_symlinkat, target, dirfd, path), &place, CREATE, target);
}

int symlink(const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	struct place place;

	if (!find(to_dir, to, &place))
		return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
	take_lock();
	return made(syscall(SYS_linkat, from_dir, from, to_dir, to, flags), &place, LINK, NULL);
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	struct place place;
	int r;

	if (!find(dirfd, path, &place))
		return (int)syscall(SYS_unlinkat, dirfd, path, flags);
	take_lock();
	r = (int)syscall(SYS_unlinkat, dirfd, path, flags);
	if (r == 0)
		note((struct record){ .kind = UNLINK, .a = place.folder }, place.name, NULL, NULL, 0);
	give_lock();
	leave(&place);
	return r;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	struct place source, target;
	bool leaves = find(from_dir, from, &source), enters = find(to_dir, to, &target);
	int r;

	if (!leaves && !enters)
		return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	if (!leaves || !enters || (flags & ~RENAME_NOREPLACE))
		give_up("a rename into the folder, out of it, or of an unusual kind is not understood");
	take_lock();
	r = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	if (r == 0)
		note((struct record){ .kind = RENAME, .a = source.folder, .b = target.folder }, source.name, target.name, NULL, 0);
	give_lock();
	leave(&source);
	leave(&target);
	return r;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- contents ---- */

/* `at` -1: where the descriptor stands. */
static ssize_t write_watched(int fd, const void *bytes, size_t size, off_t at)
{
	struct stat st;
	ssize_t n;

	if (!is_watched(fd, &st))
		return at < 0 ? syscall(SYS_write, fd, bytes, size) : syscall(SYS_pwrite64, fd, bytes, size, at);
	take_lock();
	n = at < 0 ? syscall(SYS_write, fd, bytes, size) : syscall(SYS_pwrite64, fd, bytes, size, at);
	if (n > 0) {
		struct record record = { .kind = WRITE, .a = st.st_ino, .offset = at < 0 ? lseek(fd, 0, SEEK_CUR) - n : at };

		note(record, NULL, NULL, bytes, (size_t)n); /* after an append too the descriptor stands behind what was written */
	}
	give_lock();
	return n;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	return write_watched(fd, bytes, size, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
	return write_watched(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
	return write_watched(fd, bytes, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	struct stat st;
	ssize_t total = 0;

	if (!is_watched(fd, &st))
		return syscall(SYS_writev, fd, parts, count);
	for (int i = 0; i < count; i++) {
		ssize_t n = write_watched(fd, parts[i].iov_base, parts[i].iov_len, -1);

		if (n < 0)
			return total ? total : n;
		total += n;
		if ((size_t)n < parts[i].iov_len)
			break;
	}
	return total;
}

/* Callers must be prepared for file systems that cannot; then they write, which is seen. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags)
{
	struct stat st;

	if (!is_watched(out, &st))
		return syscall(SYS_copy_file_range, in, in_at, out, out_at, size, flags);
	errno = EOPNOTSUPP;
	return -1;
}

int ftruncate(int fd, off_t size)
{
	struct stat st;
	int r;

	if (!is_watched(fd, &st))
		return (int)syscall(SYS_ftruncate, fd, size);
	take_lock();
	r = (int)syscall(SYS_ftruncate, fd, size);
	if (r == 0)
		note((struct record){ .kind = TRUNCATE, .a = st.st_ino, .offset = size }, NULL, NULL, NULL, 0);
	give_lock();
	return r;
}

int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}

int fchmod(int fd, mode_t mode)
{
	struct stat st;
	int r;

	if (!is_watched(fd, &st))
		return (int)syscall(SYS_fchmod, fd, mode);
	take_lock();
	r = (int)syscall(SYS_fchmod, fd, mode);
	if (r == 0)
		note((struct record){ .kind = MODE, .a = st.st_ino, .mode = (st.st_mode & S_IFMT) | mode }, NULL, NULL, NULL, 0);
	give_lock();
	return r;
}

int chmod(const char *path, mode_t mode)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), r;

	if (fd < 0)
		return (int)syscall(SYS_fchmodat, AT_FDCWD, path, mode);
	r = fchmod(fd, mode);
	(void)syscall(SYS_close, fd);
	return r;
}

static void *map_watched(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	char link[64], path[PATH_MAX];
	struct stat st;

	if (fd >= 0 && (flags & MAP_TYPE) != MAP_PRIVATE && (protection & PROT_WRITE) && is_watched(fd, &st)) {
		ssize_t n;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof(path) - 1);
		if (n < 4 || memcmp(path + n - 4, "-shm", 4) != 0)
			give_up("a file is mapped for writing: what is written so is not seen");
	}
	return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return map_watched(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
	return map_watched(at, size, protection, flags, fd, offset);
}

/* ---- streams ---- */

/* What stdio writes is not seen while it does, so all that is in the file is written down whenever the program flushes or closes the stream:
 * before that, none of it can be relied on anyway. */
static void note_content(int fd)
{
	char link[64], *bytes;
	struct stat st;
	size_t done = 0;
	int in;

	if (!is_watched(fd, &st) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	in = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
	take_lock();
	if (in < 0 || fstat(in, &st) < 0 || !(bytes = malloc((size_t)st.st_size + 1)))
		give_up("what a stream wrote cannot be read");
	while (done < (size_t)st.st_size) {
		long n = syscall(SYS_pread64, in, bytes + done, (size_t)st.st_size - done, (off_t)done);

		if (n <= 0)
			give_up("what a stream wrote cannot be read");
		done += (size_t)n;
	}
	note((struct record){ .kind = TRUNCATE, .a = st.st_ino, .offset = st.st_size }, NULL, NULL, NULL, 0);
	note((struct record){ .kind = WRITE, .a = st.st_ino }, NULL, NULL, bytes, done);
	give_lock();
	free(bytes);
	(void)syscall(SYS_close, in);
}

FILE *fopen(const char *path, const char *mode)
{
	int kind = mode[0] == 'r' ? 0 : O_CREAT | (mode[0] == 'w' ? O_TRUNC : O_APPEND), fd;
	FILE *file;

	kind |= strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
	kind |= (strchr(mode, 'e') ? O_CLOEXEC : 0) | (strchr(mode, 'x') ? O_EXCL : 0);
	fd = open_watched(AT_FDCWD, path, kind, 0666);
	file = fd < 0 ? NULL : fdopen(fd, mode);
	if (fd >= 0 && !file)
		(void)syscall(SYS_close, fd);
	return file;
}

FILE *fopen64(const char *path, const char *mode)
{
	return fopen(path, mode);
}

static int call_next(const char *name, FILE *file)
{
	int (*next)(FILE *);

	*(void **)&next = dlsym(RTLD_NEXT, name);
	if (!next)
		give_up("a function of stdio is missing");
	return next(file);
}

int fflush(FILE *file)
{
	int r = call_next("fflush", file);

	if (r == 0 && file)
		note_content(fileno(file));
	return r;
}

int fclose(FILE *file)
{
	struct stat st;
	int kept = is_watched(fileno(file), &st) ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 3) : -1, r = call_next("fclose", file),
	    error = errno;

	if (kept >= 0) {
		note_content(kept);
		(void)syscall(SYS_close, kept);
	}
	errno = error;
	return r;
}

/* ---- flushing ---- */

static int note_sync(enum kind kind, uint64_t inode)
{
	take_lock();
	note((struct record){ .kind = kind, .a = inode }, NULL, NULL, NULL, 0);
	give_lock();
	return 0;
}

int fsync(int fd)
{
	struct stat st;

	return is_watched(fd, &st) ? note_sync(SYNC, st.st_ino) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	struct stat st;

	return is_watched(fd, &st) ? note_sync(SYNC, st.st_ino) : (int)syscall(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	struct stat st;

	return is_watched(fd, &st) ? note_sync(SYNC_ALL, 0) : (int)syscall(SYS_syncfs, fd);
}

void sync(void)
{
	if (power.log)
		(void)note_sync(SYNC_ALL, 0);
	else
		(void)syscall(SYS_sync);
}

/* ---- what the program relies on ---- */

typedef int step_function(sqlite3_stmt *statement);

/* A transaction that does not wait for the disk (an outcome before the intent that follows, a claim) is relied on from the next one on
 * that does. */
static int64_t ask(sqlite3 *connection, step_function *step, const char *question)
{
	sqlite3_stmt *statement = NULL;
	int64_t answer = -1;

	if (sqlite3_prepare_v2(connection, question, -1, &statement, NULL) == SQLITE_OK && step(statement) == SQLITE_ROW)
		answer = sqlite3_column_int64(statement, 0);
	(void)sqlite3_finalize(statement);
	return answer;
}

static void note_committed(sqlite3 *connection, step_function *step)
{
	int64_t newest = ask(connection, step, "SELECT seq FROM head WHERE id = 1"), level = ask(connection, step, "PRAGMA synchronous");

	if (newest < 0 || level < 0)
		return; /* the transaction that makes the tables */
	take_lock();
	note((struct record){ .kind = COMMITTED, .offset = newest, .mode = (uint32_t)level }, NULL, NULL, NULL, 0);
	give_lock();
}

int sqlite3_step(sqlite3_stmt *statement)
{
	static _Atomic(step_function *) next;
	step_function *step = atomic_load(&next);
	const char *text, *file;
	int r;

	if (!step) {
		*(void **)&step = dlsym(RTLD_NEXT, "sqlite3_step");
		if (!step)
			give_up("there is no sqlite3_step");
		atomic_store(&next, step);
	}
	r = step(statement);
	text = sqlite3_sql(statement);
	if (!power.log || r != SQLITE_DONE || !text || strcmp(text, "COMMIT") != 0)
		return r;
	file = sqlite3_db_filename(sqlite3_db_handle(statement), "main");
	if (file && strlen(file) > 10 && strcmp(file + strlen(file) - 10, "/unship.db") == 0)
		note_committed(sqlite3_db_handle(statement), step);
	return r;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (r == 0 && clock == CLOCK_REALTIME)
		ret->tv_sec += power.later_s;
	return r;
}
