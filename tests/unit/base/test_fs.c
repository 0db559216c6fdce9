/* Files: limits, atomic writes that keep mode and links, trees, copies. */
#include "cmocka_base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#define IN(name) fs_join(*state, *state, name)

static void put(const char *path, const char *text)
{
	struct err error = ERR_INIT;

	assert_ok(fs_write_atomic(path, text, strlen(text), 0644, &error));
}

static void assert_content(const char *path, const char *text)
{
	_cleanup_talloc_ char *got = NULL;
	struct err error = ERR_INIT;
	size_t size;

	assert_ok(fs_read(NULL, path, 1 << 20, &got, &size, &error));
	assert_int_equal(size, strlen(text));
	assert_string_equal(got, text);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static size_t count_files(const char *path)
{
	_cleanup_talloc_ char **names = NULL;
	struct err error = ERR_INIT;
	size_t count = 0;

	assert_ok(fs_list(NULL, path, &names, &error));
	while (names[count])
		count++;
	return count;
}

static void reading(void **state)
{
	struct err error = ERR_INIT;
	char *text = NULL;

	put(IN("file"), "hello");
	assert_ok(fs_read(*state, IN("file"), 5, &text, NULL, &error));
	assert_string_equal(text, "hello");
	text = NULL;
	assert_fails(fs_read(*state, IN("file"), 4, &text, NULL, &error), ERR_TOO_LARGE);
	assert_fails(fs_read(*state, IN("none"), 4, &text, NULL, &error), ERR_NOT_FOUND);
	assert_fails(fs_read(*state, *state, 4, &text, NULL, &error), ERR_INVALID);
	assert_int_equal(mkfifo(IN("fifo"), 0600), 0);
	assert_fails(fs_read(*state, IN("fifo"), 4, &text, NULL, &error), ERR_INVALID); /* and does not wait for a writer */
	assert_null(text);
	put(IN("empty"), "");
	assert_ok(fs_read(*state, IN("empty"), 0, &text, NULL, &error));
	assert_string_equal(text, "");
}

static void reading_without_a_size(void **state)
{
	struct err error = ERR_INIT;
	char *text = NULL;
	size_t size;

	assert_ok(fs_read(*state, "/proc/self/status", 1 << 20, &text, &size, &error));
	assert_int_equal(size, strlen(text));
	assert_memory_equal(text, "Name:", 5);
	assert_fails(fs_read(*state, "/proc/self/status", 10, &text, &size, &error), ERR_TOO_LARGE);
}

static void atomic_new_and_replaced(void **state)
{
	struct err error = ERR_INIT;

	assert_ok(fs_write_atomic(IN("file"), "one", 3, 0640, &error));
	assert_int_equal(mode_of(IN("file")), 0640);
	assert_int_equal(chmod(IN("file"), 0604), 0);
	assert_ok(fs_write_atomic(IN("file"), "second", 6, 0640, &error));
	assert_int_equal(mode_of(IN("file")), 0604);
	assert_content(IN("file"), "second");
	assert_int_equal(count_files(*state), 1);
}

/* A reader that has the old file open keeps reading the old content: it was replaced, not rewritten. */
static void atomic_leaves_the_old_file_alone(void **state)
{
	struct err error = ERR_INIT;
	char buffer[8] = "";
	int fd;

	put(IN("file"), "old");
	fd = open(IN("file"), O_RDONLY);
	assert_ok(fs_write_atomic(IN("file"), "new", 3, 0644, &error));
	assert_int_equal(read(fd, buffer, sizeof(buffer)), 3);
	assert_string_equal(buffer, "old");
	(void)close(fd);
}

static void atomic_through_links(void **state)
{
	struct err error = ERR_INIT;

	assert_ok(fs_mkdirs(IN("real"), 0755, &error));
	put(IN("real/file"), "old");
	assert_int_equal(symlink("real/file", IN("link")), 0);
	assert_int_equal(symlink("link", IN("link2")), 0);
	put(IN("link2"), "new");
	assert_content(IN("real/file"), "new");
	assert_int_equal(count_files(IN("real")), 1);
	assert_int_equal(symlink("real/later", IN("dangling")), 0);
	put(IN("dangling"), "made");
	assert_content(IN("real/later"), "made");
	assert_int_equal(symlink("loop", IN("loop")), 0);
	assert_fails(fs_write_atomic(IN("loop"), "x", 1, 0644, &error), ERR_IO);
}

static void atomic_keeps_the_owner(void **state)
{
	struct err error = ERR_INIT;
	struct stat st;

	if (geteuid() != 0)
		skip(); /* only root can give files away */
	put(IN("file"), "old");
	assert_int_equal(chown(IN("file"), 1234, 5678), 0);
	assert_int_equal(chmod(IN("file"), 02750), 0);
	put(IN("file"), "new");
	assert_int_equal(stat(IN("file"), &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 5678);
	assert_int_equal(st.st_mode & 07777, 02750);
	assert_ok(fs_copy(IN("file"), IN("copy"), false, &error));
	assert_int_equal(stat(IN("copy"), &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_mode & 07777, 02750);
}

static void atomic_failures_leave_nothing(void **state)
{
	struct err error = ERR_INIT;

	assert_ok(fs_mkdirs(IN("dir"), 0755, &error));
	assert_fails(fs_write_atomic(IN("dir"), "x", 1, 0644, &error), ERR_INVALID);
	assert_fails(fs_write_atomic(IN("none/file"), "x", 1, 0644, &error), ERR_NOT_FOUND);
	assert_fails(fs_write_atomic("/dev/null", "x", 1, 0644, &error), ERR_INVALID);
	assert_int_equal(count_files(*state), 1);
	assert_int_equal(count_files(IN("dir")), 0);
}

static void folders(void **state)
{
	struct err error = ERR_INIT;

	assert_ok(fs_mkdirs(IN("a/b//c/"), 0755, &error));
	assert_true(fs_is_dir(IN("a/b/c")));
	assert_ok(fs_mkdirs(IN("a/b/c"), 0755, &error));
	assert_ok(fs_mkdirs("/", 0755, &error));
	put(IN("a/file"), "x");
	assert_fails(fs_mkdirs(IN("a/file"), 0755, &error), ERR_IO);
	assert_fails(fs_mkdirs(IN("a/file/below"), 0755, &error), ERR_IO);
}

static void removing(void **state)
{
	struct err error = ERR_INIT;

	assert_ok(fs_mkdirs(IN("tree/a/b"), 0755, &error));
	assert_ok(fs_mkdirs(IN("kept"), 0755, &error));
	put(IN("kept/file"), "x");
	assert_int_equal(symlink("../../kept", IN("tree/a/link")), 0);
	for (int i = 0; i < 500; i++)
		put(fs_join(*state, IN("tree/a/b"), mem_printf(*state, "%d", i)), "");
	assert_ok(fs_remove_tree(IN("tree"), &error));
	assert_false(fs_exists(IN("tree")));
	assert_content(IN("kept/file"), "x");
	assert_ok(fs_remove_tree(IN("tree"), &error));
	assert_int_equal(symlink("kept", IN("link")), 0);
	assert_ok(fs_remove_tree(IN("link"), &error));
	assert_true(fs_exists(IN("kept/file")) && !fs_exists(IN("link")));
	assert_fails(fs_remove_tree(IN("kept/file/x"), &error), ERR_IO);
}

static void copying(void **state)
{
	struct timespec times[2] = { { 1000000000, 0 }, { 1234567890, 123456789 } };
	struct err error = ERR_INIT;
	struct stat st;
	char *big = mem_array(*state, char, 300000);

	memset(big, 'b', 299999);
	put(IN("from"), big);
	assert_int_equal(chmod(IN("from"), 0751), 0);
	assert_int_equal(utimensat(AT_FDCWD, IN("from"), times, 0), 0);
	assert_ok(fs_copy(IN("from"), IN("to"), true, &error));
	assert_content(IN("to"), big);
	assert_int_equal(stat(IN("to"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0751);
	assert_int_equal(st.st_mtim.tv_sec, 1234567890);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_fails(fs_copy(IN("from"), IN("to"), false, &error), ERR_IO); /* exists */
	assert_int_equal(symlink("from", IN("link")), 0);
	assert_fails(fs_copy(IN("link"), IN("other"), false, &error), ERR_IO);
	assert_fails(fs_copy(IN("none"), IN("other"), false, &error), ERR_NOT_FOUND);
	assert_false(fs_exists(IN("other")));
	assert_ok(fs_copy("/proc/self/status", IN("proc"), false, &error)); /* has no size, and the kernel cannot copy it */
	assert_int_equal(stat(IN("proc"), &st), 0);
	assert_true(st.st_size > 100);
}

static void links(void **state)
{
	struct err error = ERR_INIT;
	char target[64] = "";

	assert_ok(fs_symlink_atomic("releases/1", IN("current"), &error));
	assert_ok(fs_symlink_atomic("releases/2", IN("current"), &error));
	assert_true(readlink(IN("current"), target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "releases/2");
	assert_true(fs_exists(IN("current"))); /* dangling, but there */
	assert_false(fs_is_dir(IN("current")));
	assert_ok(fs_mkdirs(IN("dir"), 0755, &error));
	assert_fails(fs_symlink_atomic("x", IN("dir"), &error), ERR_IO);
	assert_int_equal(count_files(*state), 2);
}

static void listing(void **state)
{
	struct err error = ERR_INIT;
	char **names;

	put(IN("b"), "");
	put(IN("a"), "");
	put(IN(".c"), "");
	put(IN("B"), "");
	assert_ok(fs_list(*state, *state, &names, &error));
	assert_string_equal(names[0], ".c");
	assert_string_equal(names[1], "B");
	assert_string_equal(names[2], "a");
	assert_string_equal(names[3], "b");
	assert_null(names[4]);
	assert_fails(fs_list(*state, IN("none"), &names, &error), ERR_NOT_FOUND);
}

static void paths(void **state)
{
	assert_string_equal(fs_join(*state, "a", "b"), "a/b");
	assert_string_equal(fs_join(*state, "a//", "b"), "a/b");
	assert_string_equal(fs_join(*state, "/", "b"), "/b");
	assert_string_equal(fs_join(*state, "a", "/b"), "/b");
	assert_string_equal(fs_join(*state, "", "b"), "b");
	assert_true(fs_is_inside("a") && fs_is_inside("a/b.c") && fs_is_inside("..a/b..") && fs_is_inside("..."));
	assert_false(fs_is_inside("") || fs_is_inside("/a") || fs_is_inside("..") || fs_is_inside("a/../b") || fs_is_inside("a//b") ||
		fs_is_inside("a/") || fs_is_inside("a/.."));
}

static void space_and_sync(void **state)
{
	struct err error = ERR_INIT;
	uint64_t bytes = 0;

	assert_ok(fs_free_bytes(*state, &bytes, &error));
	assert_true(bytes > 0);
	assert_fails(fs_free_bytes(IN("none"), &bytes, &error), ERR_NOT_FOUND);
	assert_ok(fs_sync_dir(*state, &error));
	assert_fails(fs_sync_dir(IN("none"), &error), ERR_NOT_FOUND);
}

static void writing_to_a_full_device(void **state)
{
	struct err error = ERR_INIT;
	int fd = open("/dev/full", O_WRONLY);

	assert_fails(fs_write_all(fd, "x", 1, &error), ERR_NO_SPACE);
	(void)close(fd);
	assert_fails(fs_write_all(-1, "x", 1, &error), ERR_IO);
	assert_ok(fs_write_all(-1, "x", 0, &error));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reading),
		TEST(reading_without_a_size),
		TEST(atomic_new_and_replaced),
		TEST(atomic_leaves_the_old_file_alone),
		TEST(atomic_through_links),
		TEST(atomic_keeps_the_owner),
		TEST(atomic_failures_leave_nothing),
		TEST(folders),
		TEST(removing),
		TEST(copying),
		TEST(links),
		TEST(listing),
		TEST(paths),
		TEST(space_and_sync),
		TEST(writing_to_a_full_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
