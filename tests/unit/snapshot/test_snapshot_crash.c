/* Ends at every point, full disks, and several at once: the store is whole, what was committed stays, and the work can be done again. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "data/hash.h"

/* Calls that ask the disk for room: the one with this number, and all after it, find none. 0: there is room. */
static atomic_long calls, calls_until_full;

static bool is_full(void)
{
	long limit = atomic_load(&calls_until_full), call = atomic_fetch_add(&calls, 1) + 1;

	if (limit == 0 || call < limit)
		return false;
	errno = ENOSPC;
	return true;
}

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	return fd > 2 && is_full() ? -1 : __real_write(fd, bytes, size);
}

ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	return is_full() ? -1 : __real_pwrite(fd, bytes, size, offset);
}

int __real_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags)
{
	return is_full() ? -1 : __real_linkat(a, from, b, to, flags);
}

int __real_mkdirat(int fd, const char *path, mode_t mode);
int __wrap_mkdirat(int fd, const char *path, mode_t mode);
int __wrap_mkdirat(int fd, const char *path, mode_t mode)
{
	return is_full() ? -1 : __real_mkdirat(fd, path, mode);
}

int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	return is_full() ? -1 : __real_renameat2(a, from, b, to, flags);
}

/* Nothing is flushed: who is killed leaves what was written, and some hundred stores are made here. */
int __wrap_syncfs(int fd);
int __wrap_syncfs(int fd)
{
	return is_full() ? -1 : 0;
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return is_full() ? -1 : 0;
}

#define LARGE ((size_t)300000)

static void fill_one(struct world *world, const char *id)
{
	assert_int_equal(begin(world, id), 0);
	put_text(at(world, ".deployments/open/%s/config/.env", id), "A=1\n");
	put_text(at(world, ".deployments/open/%s/config/%s", id, id), id);
	put(at(world, ".deployments/open/%s/state/large", id), content(world, LARGE, 2), LARGE, 0644);
	put(at(world, ".deployments/open/%s/state/%s", id, id), content(world, 20000, (unsigned)id[4]), 20000, 0644);
	put_text(at(world, "source/tree/a"), "added");
	assert_int_equal(snapshot_add_tree(world->store, id, "state/tree", at(world, "source/tree"), &world->error), 0);
}

static void remember_content(struct world *world, const char *id)
{
	struct err error = ERR_INIT;
	char *to = at(world, "was-%s", id), **names;

	assert_ok(fs_list(world, at(world, ".deployments/open/%s", id), &names, &error));
	for (; *names; names++) {
		char *sub = at(world, ".deployments/open/%s/%s", id, *names), **inner;

		if (**names == '.')
			continue;
		assert_ok(fs_mkdirs(fs_join(world, to, *names), 0700, &error));
		assert_ok(fs_list(world, sub, &inner, &error));
		for (; *inner; inner++)
			assert_ok(fs_copy(fs_join(world, sub, *inner), mem_printf(world, "%s/%s/%s", to, *names, *inner), false, &error));
	}
	assert_ok(fs_mkdirs(mem_printf(world, "%s/state/tree", to), 0755, &error));
	assert_ok(fs_copy(at(world, "source/tree/a"), mem_printf(world, "%s/state/tree/a", to), false, &error));
}

static bool is_listed(struct world *world, const char *id)
{
	struct err error = ERR_INIT;
	char **names;

	assert_ok(snapshot_list(world->store, world, false, &names, &error));
	for (; *names; names++)
		if (strcmp(*names, id) == 0)
			return true;
	return false;
}

static void expect_whole(struct world *world, const char *id)
{
	char *out = at(world, "out-%s", id), *opened;
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	json_t *problems;

	assert_ok(snapshot_verify(world->store, world, id, 1, &summary, &problems, &error));
	assert_ok(snapshot_export(world->store, id, NULL, out, &error));
	assert_string_equal(differences(world, at(world, "was-%s", id), out), "");
	assert_ok(fs_remove_tree(out, &error));
	assert_ok(snapshot_open(world->store, world, id, NULL, &opened, &error));
	assert_string_equal(differences(world, at(world, "was-%s", id), opened), "");
}

enum work { TAKE, OPEN, EXPORT, REMOVE, SWEEP, ROTATE };

static int do_work(struct world *world, enum work work, struct err *err)
{
	struct snapshot_sweep_result swept;
	struct snapshot_summary summary;
	int64_t wrapped;

	switch (work) {
	case TAKE:
		return snapshot_seal(world->store, "run-1", &summary, err);
	case OPEN:
		return snapshot_open(world->store, world, "run-0", NULL, NULL, err);
	case EXPORT:
		return snapshot_export(world->store, "run-0", NULL, at(world, "exported"), err);
	case REMOVE:
		return snapshot_remove(world->store, "run-2", err);
	case SWEEP:
		return snapshot_sweep(world->store, NULL, NULL, &swept, err);
	case ROTATE:
		return snapshot_rotate(world->store, &wrapped, err);
	}
	return -1;
}

/* run-0 is committed and closed, run-1 begun, run-2 committed; `work` has something to do. */
static void prepare(struct world *world, enum work work)
{
	struct err error = ERR_INIT;

	fill_one(world, "run-0");
	remember_content(world, "run-0");
	take(world, "run-0", NULL);
	fill_one(world, "run-2");
	remember_content(world, "run-2");
	take(world, "run-2", NULL);
	fill_one(world, "run-1");
	remember_content(world, "run-1");
	assert_ok(snapshot_close(world->store, "run-0", &error));
	if (work == SWEEP)
		assert_ok(snapshot_remove(world->store, "run-2", &error));
	if (work == ROTATE)
		world_reopen(world, &keys_both);
}

/* The work is done again, and all is as it should be; in the end the store can be emptied, and nothing is left in it. */
static void expect_recovered(struct world *world, enum work work)
{
	struct snapshot_sweep_result swept;
	struct err error = ERR_INIT;
	char **names;

	world_reopen(world, world->keys);
	expect_whole(world, "run-0");
	if (is_listed(world, "run-1"))
		expect_whole(world, "run-1");
	if (is_listed(world, "run-2"))
		expect_whole(world, "run-2");
	if (work == EXPORT && fs_exists(at(world, "exported")))
		assert_ok(fs_remove_tree(at(world, "exported"), &error));
	assert_ok(do_work(world, work, &error));
	if (work == EXPORT)
		assert_string_equal(differences(world, at(world, "was-run-0"), at(world, "exported")), "");
	take(world, "run-1", NULL);
	expect_whole(world, "run-1");
	assert_ok(snapshot_sweep(world->store, NULL, NULL, &swept, &error));
	expect_whole(world, "run-0");
	expect_whole(world, "run-1");
	for (int i = 0; i < 3; i++)
		assert_ok(snapshot_remove(world->store, mem_printf(world, "run-%d", i), &error));
	assert_ok(snapshot_sweep(world->store, NULL, NULL, &swept, &error));
	for (int i = 0; i < 256; i++) {
		char *folder = at(world, ".deployments/snapshot-store/%s/%02x", world->keys ? "sealed" : "objects", (unsigned)i);

		if (!fs_exists(folder))
			continue;
		assert_ok(fs_list(world, folder, &names, &error));
		assert_null(names[0]);
	}
	assert_ok(fs_list(world, at(world, ".deployments/snapshot-store/keys"), &names, &error));
	for (size_t i = 0; names[i]; i++)
		if (strcmp(names[i], "salt") != 0 && strncmp(names[i], "names-", 6) != 0)
			fail_msg("the key %s is left", names[i]);
}

/* A process of its own that does the work with `setting`; how it ended. */
static int in_child(struct world *world, enum work work, const char *setting)
{
	struct err error = ERR_INIT;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("UNSHIP_FAILPOINT", setting, 1);
		_exit(do_work(world, work, &error) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* "name" and how often it is passed, for each; the file is what UNSHIP_FAILPOINT=list: wrote. */
static size_t read_points(struct world *world, const char *path, char *(*ret)[64], int counts[64])
{
	struct err error = ERR_INIT;
	size_t count = 0;
	char *text, *line;

	if (!fs_exists(path))
		return 0;
	assert_ok(fs_read(world, path, 1 << 20, &text, NULL, &error));
	while ((line = strsep(&text, "\n")) && *line) {
		size_t i = 0;

		while (i < count && strcmp((*ret)[i], line) != 0)
			i++;
		if (i == count) {
			assert_true(count < 64);
			(*ret)[count] = line;
			counts[count++] = 0;
		}
		counts[i]++;
	}
	return count;
}

static size_t expect_survives(enum work work, bool sealed, const char *const *expected)
{
	char *points[64] = { NULL };
	int counts[64];
	size_t count, total = 0;
	void *state;

	assert_int_equal(sealed ? world_set_up_sealed(&state) : world_set_up(&state), 0);
	struct world *listing = state;

	prepare(listing, work);
	assert_int_equal(in_child(listing, work, mem_printf(listing, "list:%s", at(listing, "points"))), 0);
	count = read_points(listing, at(listing, "points"), &points, counts);
	for (; count && *expected; expected++) {
		size_t i = 0;

		while (i < count && strcmp(points[i], *expected) != 0)
			i++;
		if (i == count)
			fail_msg("%s is not passed", *expected);
	}
	for (size_t i = 0; i < count; i++) {
		int passes[] = { 1, counts[i] };

		for (size_t j = 0; j < ARRAY_SIZE(passes); j++) {
			struct world *world;
			int status;

			if (j > 0 && passes[j] == passes[j - 1])
				continue;
			assert_int_equal(sealed ? world_set_up_sealed(&state) : world_set_up(&state), 0);
			world = state;
			prepare(world, work);
			status = in_child(world, work, mem_printf(world, "%s:%d", points[i], passes[j]));
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
				fail_msg("%s:%d did not end it: %d", points[i], passes[j], status);
			expect_recovered(world, work);
			assert_int_equal(world_tear_down(&state), 0);
			total++;
		}
	}
	state = listing;
	assert_int_equal(world_tear_down(&state), 0);
	return total;
}

static void test_ends_at_every_point(unused_arg void **state)
{
	static const char *const take[] = { "snapshot.key_written", "snapshot.object_written", "snapshot.objects_written",
		"snapshot.object_named", "snapshot.manifest_written", "snapshot.commit_named", "snapshot.committed", "snapshot.remembered",
		NULL };
	static const char *const open[] = { "snapshot.file_laid_out", "snapshot.opened", NULL },
				 *const export[] = { "snapshot.exported", NULL }, *const remove[] = { "snapshot.removed", NULL },
				 *const sweep[] = { "snapshot.swept_object", "snapshot.swept_names", "snapshot.swept_key", NULL },
				 *const rotate[] = { "snapshot.key_wrapped", NULL }, *const clear[] = { NULL };
	size_t total = 0;

	total += expect_survives(TAKE, true, take);
	if (total == 0)
		skip(); /* a build without these points */
	total += expect_survives(TAKE, false, clear);
	total += expect_survives(OPEN, true, open);
	total += expect_survives(EXPORT, true, export);
	total += expect_survives(REMOVE, true, remove);
	total += expect_survives(SWEEP, true, sweep);
	total += expect_survives(ROTATE, true, rotate);
	assert_true(total >= 20);
}

/* The disk is full from the Nth call on, for every N: an error that says so, or success; and afterwards nothing half. */
static void expect_full(enum work work, bool sealed)
{
	void *state;
	bool failed = true;
	int tried = 0;

	for (long n = 1; failed; n += n < 4 ? 1 : n * 2 / 3, tried++) {
		struct err error = ERR_INIT;
		struct world *world;
		int r;

		assert_int_equal(sealed ? world_set_up_sealed(&state) : world_set_up(&state), 0);
		world = state;
		prepare(world, work);
		atomic_store(&calls, 0);
		atomic_store(&calls_until_full, n);
		r = do_work(world, work, &error);
		atomic_store(&calls_until_full, 0);
		failed = r < 0;
		if (failed)
			assert_int_equal(error.code, ERR_NO_SPACE);
		if (failed && work == TAKE) {
			assert_false(is_listed(world, "run-1"));
			assert_false(fs_exists(at(world, ".deployments/rollback-snapshots/run-1")));
		}
		if (failed && work == EXPORT) {
			assert_false(fs_exists(at(world, "exported")));
			assert_false(fs_exists(at(world, "exported.partial")));
		}
		expect_recovered(world, work);
		assert_int_equal(world_tear_down(&state), 0);
	}
	assert_true(tried > 5);
}

static void test_full_disk(unused_arg void **state)
{
	expect_full(TAKE, true);
	expect_full(TAKE, false);
	expect_full(EXPORT, true);
	expect_full(OPEN, true);
}

#define TAKERS 4
#define TAKES  6

struct taker {
	struct world *world;
	int number;
	pthread_t thread;
	struct err error;
};

static void *take_many(void *user)
{
	struct taker *taker = user;
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const struct snapshot_store_options options = { .state_dir = taker->world->state,
		.project = "shop",
		.keys = taker->world->keys,
		.threads = 2 };

	for (int i = 0; i < TAKES; i++) {
		struct snapshot_metadata metadata = { .id = mem_printf(ctx, "run-%d-%d", taker->number, i), .environment = "production" };
		struct snapshot_sweep_result swept;
		struct snapshot_summary summary;
		struct snapshot_store *store;

		if (snapshot_store_open(ctx, &options, &store, &taker->error) < 0 || snapshot_begin(store, &metadata, &taker->error) < 0 ||
			snapshot_add_tree(store, metadata.id, "state/tree", taker->world->source, &taker->error) < 0 ||
			snapshot_seal(store, metadata.id, &summary, &taker->error) < 0 ||
			snapshot_sweep(store, NULL, NULL, &swept, &taker->error) < 0)
			return NULL;
		if (i % 2 && snapshot_remove(store, metadata.id, &taker->error) < 0)
			return NULL;
	}
	return NULL;
}

static void test_several_at_once(void **state)
{
	struct world *world = *state;
	struct taker takers[TAKERS];
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	json_t *problems;
	char **names;
	size_t count = 0;

	for (int i = 0; i < 50; i++)
		put(at(world, "source/%d", i), content(world, 3000, (unsigned)(i % 20)), 3000, 0644);
	for (int i = 0; i < TAKERS; i++) {
		takers[i] = (struct taker){ .world = world, .number = i };
		assert_int_equal(pthread_create(&takers[i].thread, NULL, take_many, &takers[i]), 0);
	}
	for (int i = 0; i < TAKERS; i++) {
		assert_int_equal(pthread_join(takers[i].thread, NULL), 0);
		assert_string_equal(takers[i].error.text, "");
	}
	world_reopen(world, world->keys);
	assert_ok(snapshot_list(world->store, world, false, &names, &error));
	for (; names[count]; count++) {
		assert_ok(snapshot_verify(world->store, world, names[count], 1, &summary, &problems, &error));
		assert_int_equal(summary.files, 50);
	}
	assert_int_equal(count, TAKERS * TAKES / 2);
}

/* The same one by two at once: one takes it, the other finds it taken. */
static void *take_same(void *user)
{
	struct taker *taker = user;
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const struct snapshot_store_options options = { .state_dir = taker->world->state, .project = "shop", .keys = taker->world->keys };
	struct snapshot_summary summary;
	struct snapshot_store *store;

	if (snapshot_store_open(ctx, &options, &store, &taker->error) == 0)
		(void)(snapshot_seal(store, "run-1", &summary, &taker->error) < 0);
	return NULL;
}

static void test_same_twice(void **state)
{
	struct world *world = *state;
	struct taker takers[2];

	fill_one(world, "run-1");
	remember_content(world, "run-1");
	for (int i = 0; i < 2; i++) {
		takers[i] = (struct taker){ .world = world };
		assert_int_equal(pthread_create(&takers[i].thread, NULL, take_same, &takers[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(takers[i].thread, NULL), 0);
		assert_string_equal(takers[i].error.text, "");
	}
	world_reopen(world, world->keys);
	expect_whole(world, "run-1");
}

#define BOTH(test) \
	cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down), \
		cmocka_unit_test_setup_teardown(test, world_set_up_sealed, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_at_every_point),
		cmocka_unit_test(test_full_disk),
		BOTH(test_several_at_once),
		BOTH(test_same_twice),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
