/* The SQLite driver: what it opens and refuses, parameters, a full disk, a read-only directory. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/internal.h"
#include "store_test.h"

static void write_text(const char *path, const char *text)
{
	struct err error = ERR_INIT;

	assert_ok(fs_write_atomic(path, text, strlen(text), 0644, &error));
}

static void a_new_store_is_private_and_ours(void **state)
{
	struct store *store = open_store(*state);
	struct stat status;

	assert_int_equal(stat(fs_join(*state, *state, "unship.db"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(stat(fs_join(*state, *state, "unship.db-wal"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_string_equal(store->sql->ops->name, "sqlite");
	assert_has(store->address, "sqlite:/");
}

static void another_file_is_left_alone(void **state)
{
	char *path = fs_join(*state, *state, "unship.db"), *after;
	const char text[] =
		"This is no database, but a text that somebody needs. It is longer than the head of a database file would be: one hundred bytes.";
	struct err error = ERR_INIT;
	struct store *store;

	write_text(path, text);
	assert_fails(store_open(*state, path, NULL, NULL, &store, &error), ERR_CORRUPT);
	assert_has(error.text, "no SQLite database");
	assert_ok(fs_read(*state, path, 1000, &after, NULL, &error));
	assert_string_equal(after, text);
}

static void a_database_of_others_is_left_alone(void **state)
{
	char *path = fs_join(*state, *state, "unship.db"), *before, *after;
	size_t size_before, size_after;
	struct err error = ERR_INIT;
	struct store *store;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs (a)", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
	assert_ok(fs_read(*state, path, 100000, &before, &size_before, &error));
	assert_fails(store_open(*state, path, NULL, NULL, &store, &error), ERR_CORRUPT);
	assert_has(error.text, "not one of unship");
	assert_ok(fs_read(*state, path, 100000, &after, &size_after, &error));
	assert_int_equal(size_before, size_after);
	assert_memory_equal(before, after, size_before);
}

static void a_newer_store_is_left_alone(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	char *path = fs_join(*state, *state, "unship.db"), *before, *after;
	size_t size_before, size_after;

	assert_ok(append(store, "note", NULL, NULL, NULL, &error));
	assert_ok(run_sql(store, "INSERT INTO schema_version (version, applied_ms) VALUES (9999, 0)", &error));
	(void)talloc_free(store);
	assert_ok(fs_read(*state, path, 1000000, &before, &size_before, &error));
	assert_fails(store_open(*state, path, NULL, NULL, &store, &error), ERR_NEWER);
	assert_has(error.text, "9999");
	assert_ok(fs_read(*state, path, 1000000, &after, &size_after, &error));
	assert_int_equal(size_before, size_after);
	assert_memory_equal(before, after, size_before);
}

static void a_damaged_store_says_so(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	char *path = fs_join(*state, *state, "unship.db"), *bytes;
	size_t size;
	int64_t count;
	char head[65];
	int r;

	for (int i = 0; i < 200; i++)
		assert_ok(
			append(store, "note", "production", NULL, json_make(store, "{s:s}", "text", "some text that fills pages"), &error));
	(void)talloc_free(store);
	assert_ok(fs_read(*state, path, 10000000, &bytes, &size, &error));
	for (size_t at = 4096; at < size; at++)
		bytes[at] = (char)(at * 31);
	assert_ok(fs_write_atomic(path, bytes, size, 0600, &error));
	r = store_open(*state, path, NULL, NULL, &store, &error);
	if (r == 0)
		r = store_verify(store, &count, head, &error);
	assert_int_equal(r, -ERR_CORRUPT);
}

static void addresses_are_checked(void **state)
{
	struct err error = ERR_INIT;
	struct store *store;

	assert_fails(store_open(*state, "postgres://host/db", NULL, NULL, &store, &error), ERR_UNSUPPORTED);
	assert_fails(store_open(*state, "sqlite:", NULL, NULL, &store, &error), ERR_INVALID);
	assert_ok(store_open(*state, ":memory:", NULL, NULL, &store, &error));
	assert_ok(append(store, "note", NULL, NULL, NULL, &error));
	assert_int_equal(assert_consistent(store), 1);
	assert_ok(store_open(*state, mem_printf(*state, "sqlite:%s/a/b/unship.db", (char *)*state), NULL, NULL, &store, &error));
	assert_true(fs_is_dir(mem_printf(*state, "%s/a/b", (char *)*state)));
	/* No directory can be made there, not even by root. */
	assert_true(store_open(*state, "/proc/nothing/unship.db", NULL, NULL, &store, &error) < 0);
	assert_has(error.text, "/proc/nothing");
}

static void a_migration_that_fails_leaves_nothing(void **state)
{
	char *path = fs_join(*state, *state, "unship.db");
	struct err error = ERR_INIT;
	struct store *store;
	struct sql *sql;

	assert_ok(sqlite_open(*state, path, &sql, &error));
	/* The tenth call is in the middle of the first migration. */
	assert_fails(store_open_sql(*state, faulty_wrap(*state, sql, 10, ERR_STORE, false), NULL, NULL, &store, &error), ERR_STORE);
	store = open_store(*state);
	assert_ok(append(store, "note", NULL, NULL, NULL, &error));
	assert_consistent(store);
}

static int count_of(struct store *store, struct err *err)
{
	int64_t seq = -1;
	int r = store_head(store, &seq, err);

	return r < 0 ? r : (int)seq;
}

/* Appends until it fails; how many went in. */
static int fill(struct store *store, struct err *err)
{
	json_t *data = json_make(store, "{s:s}", "text", "a text of some length, so that the space ends soon");
	int count = 0;

	while (count < 100000 && append(store, "note", "production", NULL, data, err) == 0)
		count++;
	return count;
}

static void a_full_database_loses_nothing(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	int count;

	assert_ok(run_sql(store, "PRAGMA max_page_count = 128", &error));
	count = fill(store, &error);
	assert_true(count > 10 && count < 100000);
	assert_int_equal(error.code, ERR_NO_SPACE);
	assert_int_equal(count_of(store, &error), count);
	assert_ok(run_sql(store, "PRAGMA max_page_count = 1000000", &error));
	assert_ok(append(store, "note", NULL, NULL, NULL, &error));
	assert_int_equal(assert_consistent(store), count + 1);
}

/* Runs `body` in a child, because it changes what holds for the whole process. Exit code 77: not possible here. */
static int in_child(int (*body)(const char *folder), const char *folder)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0)
		_exit(body(folder));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define CHILD_NEEDS(condition) \
	do { \
		if (!(condition)) { \
			(void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			return 1; \
		} \
	} while (0)

static int body_file_limit(const char *folder)
{
	struct rlimit limit = { .rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY };
	struct err err = ERR_INIT;
	struct store *store;
	int count;

	(void)signal(SIGXFSZ, SIG_IGN);
	CHILD_NEEDS(store_open(NULL, fs_join(folder, folder, "unship.db"), NULL, NULL, &store, &err) == 0);
	CHILD_NEEDS(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	count = fill(store, &err);
	CHILD_NEEDS(count > 10 && count < 100000);
	CHILD_NEEDS(err.code == ERR_NO_SPACE);
	limit.rlim_cur = RLIM_INFINITY;
	CHILD_NEEDS(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHILD_NEEDS(count_of(store, &err) == count);
	CHILD_NEEDS(append(store, "note", NULL, NULL, NULL, &err) == 0);
	(void)talloc_free(store);
	return 0;
}

static void a_file_size_limit_loses_nothing(void **state)
{
	assert_int_equal(in_child(body_file_limit, *state), 0);
	assert_true(assert_consistent(open_store(*state)) > 10);
}

/* A small disk of its own, seen by this process only. */
static bool mount_small(const char *folder)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount("tmpfs", folder, "tmpfs", 0, "size=512k") == 0;
}

static int body_full_disk(const char *folder)
{
	struct err err = ERR_INIT;
	struct store *store;
	int64_t verified;
	char head[65];
	int count;

	if (!mount_small(folder))
		return 77;
	CHILD_NEEDS(store_open(NULL, fs_join(folder, folder, "unship.db"), NULL, NULL, &store, &err) == 0);
	count = fill(store, &err);
	CHILD_NEEDS(count > 10 && count < 100000);
	CHILD_NEEDS(err.code == ERR_NO_SPACE);
	CHILD_NEEDS(count_of(store, &err) == count);
	CHILD_NEEDS(store_verify(store, &verified, head, &err) == 0 && verified == count);
	CHILD_NEEDS(mount("tmpfs", folder, "tmpfs", MS_REMOUNT, "size=8m") == 0);
	CHILD_NEEDS(append(store, "note", NULL, NULL, NULL, &err) == 0);
	CHILD_NEEDS(store_verify(store, &verified, head, &err) == 0 && verified == count + 1);
	return 0;
}

static void a_full_disk_loses_nothing(void **state)
{
	int code = in_child(body_full_disk, *state);

	if (code == 77) {
		(void)fprintf(stderr, "no mount is permitted here\n");
		skip();
	}
	assert_int_equal(code, 0);
}

static int body_read_only(const char *folder)
{
	struct err err = ERR_INIT;
	struct store *store;
	char *fresh = fs_join(folder, folder, "fresh.db"), *old = fs_join(folder, folder, "unship.db");

	if (!mount_small(folder))
		return 77;
	CHILD_NEEDS(store_open(NULL, old, NULL, NULL, &store, &err) == 0);
	(void)talloc_free(store);
	CHILD_NEEDS(mount("tmpfs", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=512k") == 0);
	CHILD_NEEDS(store_open(NULL, fresh, NULL, NULL, &store, &err) == -ERR_STORE);
	CHILD_NEEDS(strstr(err.text, "not writable"));
	CHILD_NEEDS(store_open(NULL, old, NULL, NULL, &store, &err) == -ERR_STORE);
	CHILD_NEEDS(strstr(err.text, "cannot be opened for writing"));
	return 0;
}

static void a_read_only_directory_says_so(void **state)
{
	int code = in_child(body_read_only, *state);

	if (code == 77) {
		(void)fprintf(stderr, "no mount is permitted here\n");
		skip();
	}
	assert_int_equal(code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_store_is_private_and_ours),
		TEST(another_file_is_left_alone),
		TEST(a_database_of_others_is_left_alone),
		TEST(a_newer_store_is_left_alone),
		TEST(a_damaged_store_says_so),
		TEST(addresses_are_checked),
		TEST(a_migration_that_fails_leaves_nothing),
		TEST(a_full_database_loses_nothing),
		TEST(a_file_size_limit_loses_nothing),
		TEST(a_full_disk_loses_nothing),
		TEST(a_read_only_directory_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
