/* The snapshot store: what goes in comes out, sealed or not; what is unchanged is not read; who may read what; sweeping. */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"

#define FILES    12 /* of fill() */
#define SEGMENTS 3  /* of its large file */

/* The sources, as the snapshot shows them. */
static char *expected(struct world *world, const char *id)
{
	char *copy = at(world, "expected"), *tree = at(world, "expected/state/component-uploads/tree/deep/er");
	struct err error = ERR_INIT;

	assert_int_equal(rename(at(world, ".deployments/open/%s", id), copy), 0);
	assert_ok(fs_remove_tree(at(world, "expected/state/component-uploads"), &error));
	assert_ok(fs_mkdirs(tree, 0755, &error));
	assert_int_equal(chmod(at(world, "expected/state/component-uploads"), 0700), 0);
	assert_ok(fs_copy(at(world, "source/uploads/a"), at(world, "expected/state/component-uploads/tree/a"), false, &error));
	assert_ok(fs_copy(at(world, "source/uploads/deep/er/b"), at(world, "expected/state/component-uploads/tree/deep/er/b"), false,
		&error));
	return copy;
}

static void test_round_trip(void **state)
{
	struct world *world = *state;
	struct snapshot_summary taken, again, verified;
	struct err error = ERR_INIT;
	char *opened, *copy, **names;
	json_t *problems, *metadata;

	fill(world, "run-1");
	assert_ok(snapshot_list(world->store, world, false, &names, &error));
	assert_null(names[0]);
	take(world, "run-1", &taken);
	assert_int_equal(taken.files, FILES);
	assert_int_equal(taken.read_files, FILES - 1);
	assert_int_equal(taken.sealed, world->keys != NULL);
	assert_int_equal(strlen(taken.manifest), 64);
	assert_true(taken.new_bytes > 300000);
	take(world, "run-1", &again);
	assert_string_equal(again.manifest, taken.manifest);
	assert_int_equal(again.files, taken.files);

	copy = expected(world, "run-1");
	assert_ok(snapshot_verify(world->store, world, "run-1", 1, &verified, &problems, &error));
	assert_int_equal(json_array_size(problems), 0);
	assert_ok(snapshot_verify(world->store, world, "run-1", 0.2, &verified, &problems, &error));
	assert_ok(snapshot_open(world->store, world, "run-1", NULL, &opened, &error));
	assert_string_equal(opened, at(world, ".deployments/open/run-1"));
	assert_string_equal(differences(world, copy, opened), "");
	assert_ok(snapshot_export(world->store, "run-1", NULL, at(world, "out"), &error));
	assert_string_equal(differences(world, copy, at(world, "out")), "");
	assert_fails(snapshot_export(world->store, "run-1", NULL, at(world, "out"), &error), ERR_INVALID);
	assert_ok(snapshot_export(world->store, "run-1", "database/component-db/dump", at(world, "dump"), &error));
	assert_ok(snapshot_export(world->store, "run-1", "state", at(world, "only-state"), &error));
	assert_string_equal(differences(world, at(world, "expected/state"), at(world, "only-state")), "");

	assert_ok(snapshot_read_metadata(world->store, world, "run-1", &metadata, &error));
	assert_string_equal(json_str(metadata, "rollbackId", ""), "run-1");
	assert_string_equal(json_str(metadata, "timestamp", ""), "2026-11-21T04:53:33.120Z");
	assert_string_equal(json_str(metadata, "toDeploymentId", ""), "dep-1");
	assert_true(json_flag(metadata, "preserveData", false));
	assert_ok(snapshot_list(world->store, world, false, &names, &error));
	assert_string_equal(names[0], "run-1");
	assert_null(names[1]);
}

/* Nothing of the content can be found in what lies on the disk. */
static void expect_nowhere(const char *folder, const char *text)
{
	struct err error = ERR_INIT;
	char **names;
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_ok(fs_list(ctx, folder, &names, &error));
	for (; *names; names++) {
		char *path = fs_join(ctx, folder, *names), *bytes;
		struct stat st;
		size_t size;

		assert_int_equal(lstat(path, &st), 0);
		if (S_ISDIR(st.st_mode))
			expect_nowhere(path, text);
		if (!S_ISREG(st.st_mode))
			continue;
		assert_ok(fs_read(ctx, path, 64 << 20, &bytes, &size, &error));
		assert_null(memmem(bytes, size, text, strlen(text)));
	}
}

static void test_names(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	struct stat name, st;
	char *bytes;

	fill(world, "run-1");
	take(world, "run-1", NULL);
	assert_ok(snapshot_close(world->store, "run-1", &error));
	assert_int_equal(stat(at(world, ".deployments/rollback-snapshots/run-1/config/.env.production"), &name), 0);
	assert_int_equal(name.st_nlink, 2);
	assert_int_equal(lstat(at(world, ".deployments/rollback-snapshots/run-1/state/link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(at(world, ".deployments/rollback-snapshots/run-1/state/empty"), &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_ok(fs_read(world, at(world, ".deployments/rollback-snapshots/run-1/config/.env.production"), 1000, &bytes, NULL, &error));
	if (world->keys) {
		expect_nowhere(world->state, "sorts between"); /* as long as this, no chance puts it into what is sealed */
		expect_nowhere(world->state, SECRET_1);
	} else {
		assert_string_equal(bytes, "A=1\n");
		assert_int_equal(name.st_mode & 07777, 0400);
	}
}

static void wait_until_trusted(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	while (clock_wall_ms() < (int64_t)st.st_ctim.tv_sec * 1000 + 3100) /* the cache believes no file that is younger */
		clock_sleep_ms(50);
}

/* A later take of the same tree reads nothing; a change is read, also one that keeps size and mtime. */
static void test_unchanged(void **state)
{
	struct world *world = *state;
	char *file = at(world, "source/uploads/a"),
	     *cache = at(world, ".deployments/snapshot-store/cache/files-%s", world->keys ? "sealed" : "clear");
	struct timespec times[2] = { { 0 } };
	struct snapshot_summary taken;
	struct err error = ERR_INIT;
	struct stat st;
	size_t large = (size_t)5 << 20;

	put(file, content(world, 5000, 5), 5000, 0644);
	put(at(world, "source/uploads/large"), content(world, large, 2), large, 0644);
	wait_until_trusted(at(world, "source/uploads/large"));
	for (int i = 0; i < 6; i++) {
		char *id = mem_printf(world, "run-%d", i);
		bool first = i == 0, changed = i == 2, without_cache = i == 3, damaged = i == 4;

		assert_int_equal(begin(world, id), 0);
		assert_ok(snapshot_add_tree(world->store, id, "state/tree", at(world, "source/uploads"), &error));
		if (changed) {
			assert_int_equal(stat(file, &st), 0);
			put(file, content(world, 5000, 7), 5000, 0644);
			times[0] = st.st_atim;
			times[1] = st.st_mtim;
			assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
			wait_until_trusted(file);
		}
		if (without_cache)
			assert_int_equal(unlink(cache), 0);
		if (damaged) {
			int fd = open(cache, O_WRONLY | O_CLOEXEC);

			assert_int_equal(pwrite(fd, "\x5a\xa5\x5a", 3, 90), 3);
			close(fd);
		}
		take(world, id, &taken);
		assert_int_equal(taken.files, 2);
		assert_int_equal(taken.read_files, first || without_cache || damaged ? (world->keys ? 2 : 2) : changed ? 1 : 0);
		assert_int_equal(taken.new_files, first ? 2 : changed ? 1 : 0);
		assert_ok(snapshot_export(world->store, id, "state/tree", at(world, "out-%d", i), &error));
		assert_string_equal(differences(world, at(world, "source/uploads"), at(world, "out-%d", i)), "");
	}
}

/* What the cache knows and the store has no more is read again. */
static void test_cache_is_not_believed(void **state)
{
	struct world *world = *state;
	struct snapshot_sweep_result swept;
	struct snapshot_summary taken;
	struct err error = ERR_INIT;
	json_t *problems;

	put_text(at(world, "source/a"), "text");
	wait_until_trusted(at(world, "source/a"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(begin(world, "run-1"), 0);
		assert_ok(snapshot_add_tree(world->store, "run-1", "state/tree", world->source, &error));
		take(world, "run-1", &taken);
		assert_int_equal(taken.read_files, 1);
		assert_int_equal(taken.new_files, 1);
		assert_ok(snapshot_verify(world->store, world, "run-1", 1, &taken, &problems, &error));
		assert_ok(snapshot_remove(world->store, "run-1", &error));
		assert_ok(snapshot_sweep(world->store, NULL, NULL, &swept, &error));
		assert_int_equal(swept.objects, 1);
	}
}

static void test_young_files_are_read(void **state)
{
	struct world *world = *state;
	struct snapshot_summary taken;
	struct err error = ERR_INIT;

	for (int i = 0; i < 2; i++) {
		char *id = mem_printf(world, "run-%d", i);

		put_text(at(world, "source/a"), i ? "one" : "two");
		assert_int_equal(begin(world, id), 0);
		assert_ok(snapshot_add_tree(world->store, id, "state/tree", world->source, &error));
		take(world, id, &taken);
		assert_int_equal(taken.read_files, 1);
		assert_int_equal(taken.new_files, 1);
	}
}

/* The program's reads of files, half of what is asked for first; then somebody changes the file, as often as it is said here. */
static struct {
	const char *path;
	size_t size;
	int times;
	uint8_t value;
} meddler;

ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset)
{
	ssize_t n = __real_pread64(fd, bytes, size > 1 ? size / 2 : size, offset);
	struct stat st, busy;

	if (meddler.times > 0 && n > 0 && fstat(fd, &st) == 0 && stat(meddler.path, &busy) == 0 && st.st_ino == busy.st_ino) {
		uint8_t *fresh = mem_array(NULL, uint8_t, meddler.size);
		int to = open(meddler.path, O_WRONLY | O_CLOEXEC);

		meddler.times--;
		memset(fresh, ++meddler.value, meddler.size);
		assert_int_equal(pwrite(to, fresh, meddler.size, 0), meddler.size);
		(void)close(to);
		(void)talloc_free(fresh);
	}
	return n;
}

static void test_a_file_that_changes(void **state)
{
	struct world *world = *state;
	const char *path = at(world, "source/busy");
	uint8_t *bytes = mem_array(world, uint8_t, 300000);
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	char *text;
	size_t size;

	/* Young and old, so that a change within a tick of the clock, which no time tells of, is among them. */
	for (int times = 0; times <= 3; times++) {
		char *id = mem_printf(world, "run-%d", times);

		memset(bytes, 100, 300000);
		put(path, bytes, 300000, 0600);
		if (times == 3)
			clock_sleep_ms(50);
		meddler.path = path;
		meddler.size = 300000;
		meddler.times = times;
		meddler.value = 0;
		assert_int_equal(begin(world, id), 0);
		assert_ok(snapshot_add_tree(world->store, id, "state/tree", world->source, &error));
		take(world, id, &summary);
		assert_int_equal(meddler.times, 0);
		assert_ok(snapshot_export(world->store, id, "state/tree/busy", at(world, "out-%d", times), &error));
		assert_ok(fs_read(world, at(world, "out-%d", times), 300000, &text, &size, &error));
		assert_int_equal(size, 300000);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(text[i], times ? times : 100);
	}
	meddler.times = 1000;
	assert_int_equal(begin(world, "run-9"), 0);
	assert_ok(snapshot_add_tree(world->store, "run-9", "state/tree", world->source, &error));
	assert_int_equal(snapshot_seal(world->store, "run-9", &summary, &error), -ERR_CHANGED);
	assert_non_null(strstr(error.text, "state/tree/busy changes while it is read"));
	meddler.times = 0;
}

static void test_equal_content_is_stored_once(void **state)
{
	struct world *world = *state;
	struct snapshot_summary taken;
	struct err error = ERR_INIT;
	json_t *problems;

	assert_int_equal(begin(world, "run-1"), 0);
	for (int i = 0; i < 200; i++)
		put(at(world, ".deployments/open/run-1/state/%d", i), content(world, 10000, 1), 10000, 0644);
	take(world, "run-1", &taken);
	assert_int_equal(taken.files, 200);
	assert_int_equal(taken.new_files, 1);
	assert_true(taken.new_bytes < 11000);
	assert_int_equal(begin(world, "dep-1"), 0);
	put(at(world, ".deployments/open/dep-1/config/x"), content(world, 10000, 1), 10000, 0644);
	take(world, "dep-1", &taken);
	assert_int_equal(taken.new_files, 0);
	assert_int_equal(taken.new_bytes, 0);
	assert_true(fs_exists(at(world, ".deployments/recorded/dep-1/commit")));
	assert_ok(snapshot_verify(world->store, world, "dep-1", 1, &taken, &problems, &error));
}

static void test_open_parts(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *path, *marker = at(world, ".deployments/open/run-1/.opened"), *copy;

	fill(world, "run-1");
	take(world, "run-1", NULL);
	/* what was taken from open/ is there, what came from elsewhere is not */
	assert_ok(snapshot_open(world->store, world, "run-1", "database", &path, &error));
	assert_false(fs_exists(at(world, ".deployments/open/run-1/state/component-uploads")));
	assert_ok(snapshot_open(world->store, world, "run-1", "state/component-uploads", &path, &error));
	assert_true(fs_exists(at(world, ".deployments/open/run-1/state/component-uploads/tree/deep/er/b")));

	copy = expected(world, "run-1");
	assert_ok(snapshot_open(world->store, world, "run-1", "state/read-only", &path, &error));
	assert_string_equal(path, at(world, ".deployments/open/run-1/state/read-only"));
	assert_true(fs_exists(at(world, ".deployments/open/run-1/state/read-only/inside")));
	assert_false(fs_exists(at(world, ".deployments/open/run-1/state/run")));
	assert_ok(snapshot_open(world->store, world, "run-1", "state/read-only", &path, &error));
	/* a driver's mark shows that it was not made again, until the machine was started anew */
	put_text(at(world, ".deployments/open/run-1/state/read-only/mark"), "");
	assert_ok(snapshot_open(world->store, world, "run-1", NULL, NULL, &error));
	assert_true(fs_exists(at(world, ".deployments/open/run-1/state/read-only/mark")));
	put_text(marker, "{\"boot\": \"another\", \"paths\": {\"\": true}}");
	assert_ok(snapshot_open(world->store, world, "run-1", NULL, NULL, &error));
	assert_string_equal(differences(world, copy, at(world, ".deployments/open/run-1")), "");
	assert_fails(snapshot_open(world->store, world, "run-1", "state/none", NULL, &error), ERR_NOT_FOUND);
	assert_fails(snapshot_open(world->store, world, "run-2", NULL, NULL, &error), ERR_NOT_FOUND);
	assert_ok(snapshot_close(world->store, "run-1", &error));
	assert_false(fs_exists(at(world, ".deployments/open/run-1")));
}

static void test_files_and_measure(void **state)
{
	struct world *world = *state;
	struct snapshot_summary part;
	struct err error = ERR_INIT;
	json_t *files;

	fill(world, "run-1");
	take(world, "run-1", NULL);
	assert_ok(snapshot_files(world->store, world, "run-1", "config", &files, &error));
	assert_int_equal(json_array_size(files), 5);
	assert_string_equal(json_str(json_array_get(files, 0), "path", ""), "config");
	assert_string_equal(json_str(json_array_get(files, 2), "path", ""), "config/config");
	assert_string_equal(json_str(json_array_get(files, 3), "path", ""), "config/config/production.json");
	assert_string_equal(json_str(json_array_get(files, 4), "path", ""), "config/config-more");
	assert_ok(snapshot_measure(world->store, "run-1", "state/component-uploads", &part, &error));
	assert_int_equal(part.files, 2);
	assert_int_equal(part.bytes, 5001);
	assert_ok(snapshot_measure(world->store, "run-1", "state/comp", &part, &error));
	assert_int_equal(part.files, 0);
	assert_ok(snapshot_measure(world->store, "run-1", NULL, &part, &error));
	assert_int_equal(part.files, FILES);
}

static bool is_run_2(unused_arg void *user, const char *id)
{
	return strcmp(id, "run-2") == 0;
}

static void test_sweep(void **state)
{
	struct world *world = *state;
	struct snapshot_sweep_result swept;
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	json_t *problems;

	assert_ok(snapshot_sweep(world->store, NULL, NULL, &swept, &error));
	assert_false(fs_exists(world->state));
	fill(world, "run-1");
	take(world, "run-1", NULL);
	assert_int_equal(begin(world, "run-2"), 0);
	put_text(at(world, ".deployments/open/run-2/config/.env"), "A=1\n"); /* sealed with the data key of run-1 */
	put_text(at(world, ".deployments/open/run-2/config/new"), "new\n");
	take(world, "run-2", NULL);
	put_text(at(world, ".deployments/rollback-snapshots/run-3/config/unfinished"), "x");
	assert_ok(snapshot_sweep(world->store, NULL, NULL, &swept, &error));
	assert_int_equal(swept.objects, 0);
	assert_false(fs_exists(at(world, ".deployments/rollback-snapshots/run-3")));
	assert_true(fs_exists(at(world, ".deployments/open/run-1")));
	assert_ok(snapshot_verify(world->store, world, "run-1", 1, &summary, &problems, &error));
	assert_ok(snapshot_remove(world->store, "run-1", &error));
	assert_ok(snapshot_remove(world->store, "run-1", &error));
	assert_false(fs_exists(at(world, ".deployments/open/run-1")));
	assert_fails(snapshot_verify(world->store, world, "run-1", 1, &summary, &problems, &error), ERR_NOT_FOUND);
	assert_ok(snapshot_sweep(world->store, is_run_2, NULL, &swept, &error));
	assert_true(fs_exists(at(world, ".deployments/open/run-2")));
	/* "x" is three times one content, and its small companions are still needed by nobody */
	assert_int_equal(swept.objects, 8 + (world->keys ? SEGMENTS : 1));
	assert_true(swept.bytes > 300000);
	world_reopen(world, world->keys);
	assert_ok(snapshot_verify(world->store, world, "run-2", 1, &summary, &problems, &error));
	assert_ok(snapshot_export(world->store, "run-2", NULL, at(world, "out"), &error));
}

/* Rather nothing than what a damaged snapshot may need. */
static void test_sweep_does_not_guess(void **state)
{
	struct world *world = *state;
	struct snapshot_sweep_result swept;
	struct err error = ERR_INIT;

	fill(world, "run-1");
	take(world, "run-1", NULL);
	assert_int_equal(truncate(at(world, ".deployments/rollback-snapshots/run-1/manifest"), 100), 0);
	assert_fails(snapshot_sweep(world->store, NULL, NULL, &swept, &error), ERR_CORRUPT);
	assert_int_equal(swept.objects, 0);
	assert_ok(snapshot_remove(world->store, "run-1", &error));
	assert_ok(snapshot_sweep(world->store, NULL, NULL, &swept, &error));
	assert_true(swept.objects > 0);
}

static void expect_open_fails(struct world *world, const struct snapshot_keys *keys, const char *project, enum err_code code,
	const char *says)
{
	const struct snapshot_store_options options = { .state_dir = world->state, .project = project, .keys = keys };
	struct snapshot_store *store;
	struct err error = ERR_INIT;

	assert_fails(snapshot_store_open(world, &options, &store, &error), code);
	if (!strstr(error.text, says))
		fail_msg("'%s' does not say '%s'", error.text, says);
	if (strstr(error.text, SECRET_1) || strstr(error.text, SECRET_2))
		fail_msg("a secret is told: %s", error.text);
}

static void test_keys(void **state)
{
	static const struct snapshot_key wrong[] = { { 1, SECRET_2 } }, short_one[] = { { 1, "only 31 characters are in here." } },
					 twice[] = { { 1, SECRET_1 }, { 1, SECRET_2 } };
	const struct snapshot_keys wrong_keys = { 1, wrong, 1 }, short_keys = { 1, short_one, 1 }, no_current = { 3, wrong, 1 },
				   twice_keys = { 1, twice, 2 };
	struct world *world = *state;
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	int64_t wrapped;
	json_t *value;
	char **names;

	expect_open_fails(world, &short_keys, "shop", ERR_INVALID, "/dev/urandom");
	expect_open_fails(world, &no_current, "shop", ERR_INVALID, "version 3");
	expect_open_fails(world, &twice_keys, "shop", ERR_INVALID, "twice");
	fill(world, "run-1");
	take(world, "run-1", NULL);
	expect_open_fails(world, &wrong_keys, "shop", ERR_FORBIDDEN, "version 1");
	expect_open_fails(world, &keys_2, "shop", ERR_FORBIDDEN, "version 1");
	assert_true(error.text[0] == 0);
	/* without a key: what is there can be said, and no more */
	world_reopen(world, NULL);
	assert_ok(snapshot_list(world->store, world, false, &names, &error));
	assert_string_equal(names[0], "run-1");
	assert_ok(snapshot_read_metadata(world->store, world, "run-1", &value, &error));
	assert_fails(snapshot_verify(world->store, world, "run-1", 1, &summary, &value, &error), ERR_FORBIDDEN);
	assert_non_null(strstr(error.text, "snapshots.seal"));
	assert_fails(snapshot_open(world->store, world, "run-1", NULL, NULL, &error), ERR_FORBIDDEN);
	/* rotation */
	world_reopen(world, &keys_both);
	assert_ok(snapshot_verify(world->store, world, "run-1", 1, &summary, &value, &error));
	assert_ok(snapshot_rotate(world->store, &wrapped, &error));
	assert_int_equal(wrapped, 2);
	assert_ok(snapshot_rotate(world->store, &wrapped, &error));
	assert_int_equal(wrapped, 0);
	world_reopen(world, &keys_2);
	assert_ok(snapshot_verify(world->store, world, "run-1", 1, &summary, &value, &error));
	expect_open_fails(world, &keys_1, "shop", ERR_FORBIDDEN, "version 2");
}

/* Unsealed first, then with a key, then without: each snapshot stays what it is. */
static void test_key_later(void **state)
{
	struct world *world = *state;
	struct snapshot_sweep_result swept;
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	json_t *problems;

	fill(world, "run-1");
	take(world, "run-1", &summary);
	assert_false(summary.sealed);
	world_reopen(world, &keys_1);
	assert_ok(snapshot_verify(world->store, world, "run-1", 1, &summary, &problems, &error));
	fill(world, "run-2");
	take(world, "run-2", &summary);
	assert_true(summary.sealed);
	assert_int_equal(summary.new_files, 10);
	assert_ok(snapshot_sweep(world->store, NULL, NULL, &swept, &error));
	assert_int_equal(swept.objects, 0);
	world_reopen(world, NULL);
	assert_ok(snapshot_verify(world->store, world, "run-1", 1, &summary, &problems, &error));
	assert_ok(snapshot_remove(world->store, "run-1", &error));
	assert_ok(snapshot_sweep(world->store, NULL, NULL, &swept, &error)); /* what is sealed is not its to judge */
	assert_int_equal(swept.objects, 10);
	world_reopen(world, &keys_1);
	assert_ok(snapshot_verify(world->store, world, "run-2", 1, &summary, &problems, &error));
}

static void test_another_project(void **state)
{
	struct world *world = *state;
	const struct snapshot_store_options options = { .state_dir = world->state, .project = "bakery", .keys = world->keys };
	struct err error = ERR_INIT;
	struct snapshot_store *other;
	struct snapshot_summary summary;
	json_t *problems;

	fill(world, "run-1");
	take(world, "run-1", NULL);
	assert_ok(snapshot_store_open(world, &options, &other, &error));
	assert_fails(snapshot_verify(other, world, "run-1", 1, &summary, &problems, &error), ERR_REFUSED);
	assert_non_null(strstr(error.text, "'shop'"));
	assert_non_null(strstr(error.text, "'bakery'"));
	assert_fails(snapshot_open(other, world, "run-1", NULL, NULL, &error), ERR_REFUSED);
	/* nor under another id */
	assert_int_equal(rename(at(world, ".deployments/rollback-snapshots/run-1"), at(world, ".deployments/rollback-snapshots/run-2")), 0);
	assert_fails(snapshot_open(world->store, world, "run-2", NULL, NULL, &error), ERR_CORRUPT);
}

static void test_refused(void **state)
{
	static const char *const bad[] = { "", "..", "../run-1", "a/b", ".hidden" };
	struct world *world = *state;
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	json_t *value;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(begin(world, bad[i]), -ERR_INVALID);
		assert_fails(snapshot_seal(world->store, bad[i], &summary, &error), ERR_INVALID);
		assert_fails(snapshot_verify(world->store, world, bad[i], 1, &summary, &value, &error), ERR_INVALID);
		assert_fails(snapshot_read_metadata(world->store, world, bad[i], &value, &error), ERR_INVALID);
		assert_fails(snapshot_remove(world->store, bad[i], &error), ERR_INVALID);
		assert_fails(snapshot_close(world->store, bad[i], &error), ERR_INVALID);
		assert_fails(snapshot_export(world->store, bad[i], NULL, at(world, "out"), &error), ERR_INVALID);
	}
	assert_false(fs_exists(world->state));
	assert_fails(snapshot_seal(world->store, "run-1", &summary, &error), ERR_INVALID);
	assert_int_equal(begin(world, "run-1"), 0);
	assert_fails(snapshot_add_tree(world->store, "run-1", "../x", "/tmp", &error), ERR_INVALID);
	assert_fails(snapshot_add_tree(world->store, "run-1", "x", "relative", &error), ERR_INVALID);
	assert_int_equal(mkfifo(at(world, ".deployments/open/run-1/state/pipe"), 0600), 0);
	assert_fails(snapshot_seal(world->store, "run-1", &summary, &error), ERR_INVALID);
	assert_non_null(strstr(error.text, "state/pipe"));
	assert_false(fs_exists(at(world, ".deployments/rollback-snapshots/run-1")));
	assert_int_equal(unlink(at(world, ".deployments/open/run-1/state/pipe")), 0);
	put_text(at(world, ".deployments/open/run-1/commit"), "{}");
	assert_fails(snapshot_seal(world->store, "run-1", &summary, &error), ERR_INVALID);
	assert_int_equal(unlink(at(world, ".deployments/open/run-1/commit")), 0);
	assert_ok(snapshot_add_tree(world->store, "run-1", "state/tree", at(world, "nowhere"), &error));
	assert_fails(snapshot_seal(world->store, "run-1", &summary, &error), ERR_NOT_FOUND);
	put_text(at(world, "source/file"), "x");
	assert_ok(snapshot_add_tree(world->store, "run-1", "state/tree", at(world, "source/file"), &error));
	assert_ok(snapshot_seal(world->store, "run-1", &summary, &error));
	assert_int_equal(summary.files, 1);
}

/* What a loss of power left of a snapshot that was begun. */
static void test_torn_notes(void **state)
{
	static const char *const notes[] = { ".metadata", ".sources" };
	struct world *world = *state;
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	json_t *metadata;

	put_text(at(world, "source/file"), "x");
	for (size_t i = 0; i < ARRAY_SIZE(notes); i++) {
		char *id = mem_printf(world, "run-%zu", i);

		assert_int_equal(begin(world, id), 0);
		assert_ok(snapshot_add_tree(world->store, id, "state/tree", world->source, &error));
		assert_int_equal(truncate(at(world, ".deployments/open/%s/%s", id, notes[i]), 5), 0);
		assert_int_equal(begin(world, id), 0);
		assert_ok(snapshot_add_tree(world->store, id, "state/tree", world->source, &error));
		assert_ok(snapshot_seal(world->store, id, &summary, &error));
		assert_int_equal(summary.files, 1);
		assert_ok(snapshot_read_metadata(world->store, world, id, &metadata, &error));
		assert_string_equal(json_str(metadata, "rollbackId", ""), id);
	}
}

static void test_limits(void **state)
{
	struct world *world = *state;
	char *path = mem_strdup(world, "");
	struct snapshot_summary summary;
	struct err error = ERR_INIT;

	assert_int_equal(begin(world, "run-1"), 0);
	for (int i = 0; i < 63; i++) /* state/, and so many below it */
		path = mem_append(path, "/d");
	assert_ok(fs_mkdirs(at(world, ".deployments/open/run-1/state%s", path), 0700, &error));
	assert_ok(snapshot_seal(world->store, "run-1", &summary, &error));
	assert_int_equal(begin(world, "run-2"), 0);
	assert_ok(fs_mkdirs(at(world, ".deployments/open/run-2/state%s/d", path), 0700, &error));
	assert_fails(snapshot_seal(world->store, "run-2", &summary, &error), ERR_TOO_LARGE);
	assert_ok(fs_remove_tree(at(world, ".deployments/open/run-2/state/d"), &error));
	put_text(at(world, ".deployments/open/run-2/state/huge"), "");
	assert_int_equal(truncate(at(world, ".deployments/open/run-2/state/huge"), ((off_t)1 << 40) + 1),
		0); /* it has no room on the disk */
	assert_fails(snapshot_seal(world->store, "run-2", &summary, &error), ERR_TOO_LARGE);
	assert_false(fs_exists(at(world, ".deployments/rollback-snapshots/run-2")));
}

#define BOTH(test) \
	cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down), \
		cmocka_unit_test_setup_teardown(test, world_set_up_sealed, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_round_trip),
		BOTH(test_names),
		BOTH(test_unchanged),
		BOTH(test_cache_is_not_believed),
		BOTH(test_young_files_are_read),
		BOTH(test_a_file_that_changes),
		BOTH(test_equal_content_is_stored_once),
		BOTH(test_open_parts),
		BOTH(test_files_and_measure),
		BOTH(test_sweep),
		BOTH(test_sweep_does_not_guess),
		cmocka_unit_test_setup_teardown(test_keys, world_set_up_sealed, world_tear_down),
		cmocka_unit_test_setup_teardown(test_key_later, world_set_up, world_tear_down),
		BOTH(test_another_project),
		BOTH(test_refused),
		BOTH(test_torn_notes),
		BOTH(test_limits),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
