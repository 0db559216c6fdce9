/* Whatever becomes of a stored file, somebody notices: bits that flip, ends that are cut off or grow, parts and files that change places, also when each of them is whole. Every file of a small store is
 * damaged in every manner, then some at random: UNSHIP_DAMAGE_CASES of them (300). */
#include "world.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"
#include "snapshot/store.h"

#define MESSAGE (((size_t)128 << 10) + 17) /* of a sealed object */
#define HEADER  64
#define SECTOR  ((size_t)512)

struct files {
	char **paths;
	size_t count;
};

struct bytes {
	uint8_t *data;
	size_t size;
};

static void list_files(struct world *world, const char *folder, struct files *files)
{
	char **names;
	struct err error = ERR_INIT;

	assert_ok(fs_list(world, folder, &names, &error));
	for (; *names; names++) {
		char *path = fs_join(world, folder, *names);
		struct stat st;

		assert_int_equal(lstat(path, &st), 0);
		if (S_ISDIR(st.st_mode) && strcmp(*names, "cache") != 0)
			list_files(world, path, files);
		if (!S_ISREG(st.st_mode) || st.st_size == 0 || strcmp(*names, "lock") == 0)
			continue;
		files->paths = mem_resize(world, files->paths, char *, files->count + 1);
		files->paths[files->count++] = path;
	}
}

static void fill_small(struct world *world, const char *id)
{
	assert_int_equal(begin(world, id), 0);
	put_text(at(world, ".deployments/open/%s/config/.env", id), "A=1\n");
	put_text(at(world, ".deployments/open/%s/config/same-size", id), "B=2\n");
	put(at(world, ".deployments/open/%s/state/text", id), content(world, 3000, 2), 3000, 0644);
	put(at(world, ".deployments/open/%s/state/random", id), content(world, 3 * MESSAGE, 3), 3 * MESSAGE, 0600);
	assert_int_equal(symlink("text", at(world, ".deployments/open/%s/state/link", id)), 0);
	take(world, id, NULL);
	assert_int_equal(snapshot_close(world->store, id, &world->error), 0);
}

static struct bytes read_all(struct world *world, const char *path)
{
	struct err error = ERR_INIT;
	struct bytes bytes;

	assert_ok(fs_read(world, path, 64 << 20, (char **)&bytes.data, &bytes.size, &error));
	return bytes;
}

/* In place: other names of the file see it too. */
static void write_all(const char *path, const void *data, size_t size)
{
	struct err error = ERR_INIT;
	struct stat st;
	int fd;

	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(chmod(path, 0600), 0);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
	assert_true(fd >= 0);
	assert_ok(fs_write_all(fd, data, size, &error));
	assert_int_equal(fchmod(fd, st.st_mode & 07777), 0);
	close(fd);
}

/* Does anything notice it? A store that does not open, a snapshot that cannot be verified, or is not there without its commit. */
static bool is_noticed(struct world *world)
{
	const struct snapshot_store_options options = { .state_dir = world->state, .project = "shop", .keys = world->keys, .threads = 1 };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct snapshot_summary summary;
	struct snapshot_store *store;
	struct err error = ERR_INIT;
	json_t *problems;

	if (snapshot_store_open(ctx, &options, &store, &error) == 0 &&
		snapshot_verify(store, ctx, "run-1", 1, &summary, &problems, &error) == 0 &&
		snapshot_verify(store, ctx, "run-2", 1, &summary, &problems, &error) == 0)
		return false;
	return *error.text &&
		(error.code == ERR_CORRUPT || error.code == ERR_NEWER || error.code == ERR_FORBIDDEN || error.code == ERR_NOT_FOUND);
}

static void expect_noticed(struct world *world, const char *path, const char *manner, size_t where)
{
	if (!is_noticed(world))
		fail_msg("%s: %s at %zu was not noticed", path, manner, where);
}

/* ERR_FORBIDDEN is for a flipped version of the master key: the file's sum finds it first. */
static void flip(struct world *world, const char *path, struct bytes bytes, size_t bit)
{
	bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	write_all(path, bytes.data, bytes.size);
	bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	expect_noticed(world, path, "a flipped bit", bit);
}

static void cut(struct world *world, const char *path, struct bytes bytes, size_t size)
{
	write_all(path, bytes.data, size);
	expect_noticed(world, path, "an end that was cut off", size);
}

static void grow(struct world *world, const char *path, struct bytes bytes, size_t size)
{
	_cleanup_talloc_ uint8_t *longer = mem_array(NULL, uint8_t, bytes.size + size);

	memcpy(longer, bytes.data, bytes.size);
	memcpy(longer + bytes.size, bytes.data, MIN(size, bytes.size));
	write_all(path, longer, bytes.size + size);
	expect_noticed(world, path, "an end that grew", size);
}

/* Two parts of one file change places. */
static void reorder(struct world *world, const char *path, struct bytes bytes, size_t a, size_t b, size_t size)
{
	_cleanup_talloc_ uint8_t *other = mem_dup(NULL, bytes.data, bytes.size);

	if (b + size > bytes.size || memcmp(bytes.data + a, bytes.data + b, size) == 0)
		return;
	memcpy(other + a, bytes.data + b, size);
	memcpy(other + b, bytes.data + a, size);
	write_all(path, other, bytes.size);
	expect_noticed(world, path, "parts that changed places", a);
}

static void lose(struct world *world, const char *path, struct bytes bytes, size_t from, size_t size)
{
	_cleanup_talloc_ uint8_t *other = mem_dup(NULL, bytes.data, bytes.size);

	if (from + size > bytes.size)
		return;
	memmove(other + from, other + from + size, bytes.size - from - size);
	write_all(path, other, bytes.size - size);
	expect_noticed(world, path, "a part that was lost", from);
}

/* A write that was lost, or landed elsewhere: sectors that are empty, or hold what stands elsewhere in the file. */
static void tear(struct world *world, const char *path, struct bytes bytes, size_t sector, size_t from)
{
	_cleanup_talloc_ uint8_t *other = mem_dup(NULL, bytes.data, bytes.size);
	size_t at = sector * SECTOR % bytes.size, size = MIN(SECTOR, bytes.size - at), source = from * SECTOR % bytes.size;

	memset(other + at, 0, size);
	if (memcmp(other + at, bytes.data + at, size) != 0) {
		write_all(path, other, bytes.size);
		expect_noticed(world, path, "a write that was lost", at);
	}
	size = MIN(size, bytes.size - source);
	memcpy(other + at, bytes.data + source, size);
	if (memcmp(other, bytes.data, bytes.size) != 0) {
		write_all(path, other, bytes.size);
		expect_noticed(world, path, "a write that landed elsewhere", at);
	}
}

static void damage_each(struct world *world, const struct files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		const char *path = files->paths[i];
		struct bytes bytes = read_all(world, path);

		flip(world, path, bytes, 0);
		flip(world, path, bytes, bytes.size * 4);
		flip(world, path, bytes, bytes.size * 8 - 1);
		cut(world, path, bytes, 0);
		cut(world, path, bytes, bytes.size / 2);
		cut(world, path, bytes, bytes.size - 1);
		grow(world, path, bytes, 1);
		grow(world, path, bytes, 100);
		tear(world, path, bytes, 0, 1);
		tear(world, path, bytes, bytes.size / SECTOR, 0);
		if (bytes.size > HEADER + 2 * MESSAGE) { /* messages, each whole */
			reorder(world, path, bytes, HEADER, HEADER + MESSAGE, MESSAGE);
			lose(world, path, bytes, HEADER + MESSAGE, MESSAGE);
			cut(world, path, bytes, HEADER + MESSAGE);
			cut(world, path, bytes, HEADER);
			grow(world, path, bytes, MESSAGE);
		}
		write_all(path, bytes.data, bytes.size);
		talloc_free(bytes.data);
	}
	assert_false(is_noticed(world));
}

/* Whole files change places, or one takes the place of another. */
static void swap_each(struct world *world, const struct files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		size_t other = (i + 1) % files->count;
		struct bytes a = read_all(world, files->paths[i]), b = read_all(world, files->paths[other]);

		if (a.size == b.size && memcmp(a.data, b.data, a.size) == 0)
			continue; /* two names of one */
		assert_int_equal(renameat2(AT_FDCWD, files->paths[i], AT_FDCWD, files->paths[other], RENAME_EXCHANGE), 0);
		expect_noticed(world, files->paths[i], "another file in its place", other);
		assert_int_equal(renameat2(AT_FDCWD, files->paths[i], AT_FDCWD, files->paths[other], RENAME_EXCHANGE), 0);
		write_all(files->paths[i], b.data, b.size);
		expect_noticed(world, files->paths[i], "the content of another", other);
		write_all(files->paths[i], a.data, a.size);
		assert_int_equal(rename(files->paths[i], at(world, "aside")), 0);
		expect_noticed(world, files->paths[i], "nothing in its place", 0);
		assert_int_equal(rename(at(world, "aside"), files->paths[i]), 0);
	}
	assert_false(is_noticed(world));
}

static void damage(struct world *world, const char *path, struct bytes bytes, uint32_t manner, size_t a, size_t b)
{
	size_t half = MAX(bytes.size / 2, (size_t)1), part = 1 + b % half;

	switch (manner) {
	case 0:
		flip(world, path, bytes, a % (bytes.size * 8));
		break;
	case 1:
		cut(world, path, bytes, a % bytes.size);
		break;
	case 2:
		reorder(world, path, bytes, a % half, MAX(a % half + part, half), part);
		break;
	case 3:
		lose(world, path, bytes, a % bytes.size, 1 + b % 64);
		break;
	case 4:
		tear(world, path, bytes, a, b);
		break;
	default:
		grow(world, path, bytes, 1 + a % 1000);
	}
}

static void damage_some(struct world *world, const struct files *files)
{
	const char *setting = getenv("UNSHIP_DAMAGE_CASES");
	long cases = setting ? strtol(setting, NULL, 10) : 300;
	uint32_t seed = 20261121;

	for (long i = 0; i < cases; i++) {
		uint32_t random[4];
		struct bytes bytes;
		const char *path;

		for (size_t j = 0; j < ARRAY_SIZE(random); j++)
			random[j] = (seed = seed * 1664525u + 1013904223u) >> 8;
		path = files->paths[random[0] % files->count];
		bytes = read_all(world, path);
		damage(world, path, bytes, random[1] % 6, random[2], random[3]);
		write_all(path, bytes.data, bytes.size);
		talloc_free(bytes.data);
	}
	assert_false(is_noticed(world));
}

static void test_damage(void **state)
{
	struct world *world = *state;
	struct files files = { NULL, 0 };

	fill_small(world, "run-1");
	fill_small(world, "run-2"); /* the same content under another id: its files are of the same kinds */
	list_files(world, world->state, &files);
	assert_true(files.count >= 15);
	assert_false(is_noticed(world));
	damage_each(world, &files);
	swap_each(world, &files);
	damage_some(world, &files);
}

/* Opening is as careful as verifying: nothing wrong is ever laid out. */
static void test_damage_is_not_laid_out(void **state)
{
	struct world *world = *state;
	struct files files = { NULL, 0 };
	struct err error = ERR_INIT;

	fill_small(world, "run-1");
	list_files(world, fs_join(world, world->state, world->keys ? "snapshot-store/sealed" : "snapshot-store/objects"), &files);
	assert_int_equal(files.count, 4);
	for (size_t i = 0; i < files.count; i++) {
		struct bytes bytes = read_all(world, files.paths[i]);

		bytes.data[bytes.size - 1] ^= 1;
		write_all(files.paths[i], bytes.data, bytes.size);
		assert_fails(snapshot_export(world->store, "run-1", NULL, at(world, "out"), &error), ERR_CORRUPT);
		assert_false(fs_exists(at(world, "out")));
		assert_false(fs_exists(at(world, "out.partial")));
		assert_fails(snapshot_open(world->store, world, "run-1", NULL, NULL, &error), ERR_CORRUPT);
		bytes.data[bytes.size - 1] ^= 1;
		write_all(files.paths[i], bytes.data, bytes.size);
	}
	assert_ok(snapshot_open(world->store, world, "run-1", NULL, NULL, &error));
	assert_ok(snapshot_export(world->store, "run-1", NULL, at(world, "out"), &error));
	assert_string_equal(differences(world, at(world, "out"), at(world, ".deployments/open/run-1")), "");
}

/* Names that are not as they were are told, and nothing is restored from them. */
static void test_names_are_compared(void **state)
{
	struct world *world = *state;
	char *names = at(world, ".deployments/rollback-snapshots/run-1");
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	json_t *problems;

	fill_small(world, "run-1");
	assert_int_equal(rename(fs_join(world, names, "config/.env"), fs_join(world, names, "config/moved")), 0);
	assert_int_equal(unlink(fs_join(world, names, "state/link")), 0);
	assert_int_equal(symlink("/etc/passwd", fs_join(world, names, "state/link")), 0);
	assert_fails(snapshot_verify(world->store, world, "run-1", 1, &summary, &problems, &error), ERR_CORRUPT);
	assert_int_equal(json_array_size(problems), 3);
	assert_string_equal(json_str(json_array_get(problems, 0), "path", ""), "config/.env");
	assert_string_equal(json_str(json_array_get(problems, 1), "problem", ""), "was added");
	assert_string_equal(json_str(json_array_get(problems, 2), "path", ""), "state/link");
	assert_ok(snapshot_export(world->store, "run-1", NULL, at(world, "out"), &error));
	assert_true(fs_exists(at(world, "out/config/.env")));
}

/* Somebody who can make a commit (without a key everybody who may write, with one who knows it) cannot make the store write elsewhere. */
static void forge(struct world *world, const char *id, const char *path, bool through_link)
{
	struct manifest_item items[] = { { .type = MANIFEST_LINK, .path = "link", .target = "/tmp" },
		{ .type = MANIFEST_FILE, .path = path, .mode = 0644 } };
	struct manifest manifest = { .project = "shop",
		.snapshot = id,
		.sealed = world->keys != NULL,
		.items = items + !through_link,
		.count = 1 + through_link,
		.files = 1 };
	char *folder = at(world, ".deployments/rollback-snapshots/%s", id), *text, *commit_text;
	struct commit commit = { .sealed = manifest.sealed };
	struct err error = ERR_INIT;
	struct seal_key key;
	size_t size;

	assert_ok(commit_read(world->store, "run-1", &commit, NULL, &error));
	(void)snprintf(commit.id, sizeof(commit.id), "%s", id);
	text = manifest_write(world, &manifest, &size);
	hash_blake2b_hex(text, size, commit.manifest);
	hash_blake2b_hex("{}", 2, commit.metadata);
	put_text(fs_join(world, folder, "metadata.json"), "{}");
	if (!manifest.sealed) {
		put(fs_join(world, folder, "manifest"), text, size, 0600);
	} else {
		char *name = fs_join(world, folder, "manifest");
		struct object_work *work;
		struct object_id bind;
		int64_t stored;
		int fd;

		assert_ok(object_work_new(world, &work, &error));
		assert_ok(seal_new_key(world->store->seal, &key, &error));
		memcpy(commit.key, key.id, sizeof(commit.key));
		commit_bind(id, "shop", &bind);
		put(name, "", 0, 0600);
		fd = open(name, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_ok(object_write(work, &key, OBJECT_MANIFEST, &bind, (uint8_t *)text, size, mem_array(world, uint8_t, size), fd,
			&stored, &error));
		close(fd);
	}
	assert_ok(commit_write(world->store, world, &commit, manifest.sealed ? &key : NULL, &commit_text, &error));
	put_text(fs_join(world, folder, "commit"), commit_text);
}

static void test_forged_paths(void **state)
{
	static const struct {
		const char *id, *path;
		bool through_link;
	} cases[] = { { "run-2", "../escaped", false }, { "run-3", "/tmp/escaped", false }, { "run-4", "state/../../escaped", false },
		{ "run-5", "link/escaped", true } };
	struct world *world = *state;
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	json_t *problems;

	fill_small(world, "run-1");
	forge(world, "run-9", "harmless", false);
	assert_ok(snapshot_export(world->store, "run-9", NULL, at(world, "harmless"), &error));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		forge(world, cases[i].id, cases[i].path, cases[i].through_link);
		assert_fails(snapshot_export(world->store, cases[i].id, NULL, at(world, "out"), &error), ERR_CORRUPT);
		assert_fails(snapshot_open(world->store, world, cases[i].id, NULL, NULL, &error), ERR_CORRUPT);
		assert_fails(snapshot_verify(world->store, world, cases[i].id, 1, &summary, &problems, &error), ERR_CORRUPT);
		assert_fails(snapshot_name(world->store, cases[i].id, &error), ERR_CORRUPT);
	}
	assert_false(fs_exists(at(world, "escaped")));
	assert_false(fs_exists(at(world, ".deployments/escaped")));
	assert_false(fs_exists("/tmp/escaped"));
}

/* Whatever becomes of the cache, the next snapshot is whole. */
static void test_damaged_cache(void **state)
{
	struct world *world = *state;
	char *cache = at(world, ".deployments/snapshot-store/cache/files-%s", world->keys ? "sealed" : "clear");
	struct snapshot_summary summary;
	struct err error = ERR_INIT;
	struct bytes bytes;

	for (int i = 0; i < 8; i++) {
		char *path = at(world, "source/%d", i);
		struct timespec times[2] = { { .tv_sec = 1700000000 }, { .tv_sec = 1700000000 } };

		put(path, content(world, 1000, (unsigned)i), 1000, 0644);
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	clock_sleep_ms(3100); /* the cache believes no file that is younger */
	for (size_t i = 0; i < 60; i++) {
		char *id = mem_printf(world, "run-%zu", i);

		assert_int_equal(begin(world, id), 0);
		assert_ok(snapshot_add_tree(world->store, id, "state/tree", world->source, &error));
		if (i > 0) {
			size_t where = (i - 1) * bytes.size / 59;

			bytes.data[where] ^= (uint8_t)(1 << i % 8);
			write_all(cache, bytes.data, i % 5 == 4 ? where : bytes.size);
			bytes.data[where] ^= (uint8_t)(1 << i % 8);
		}
		assert_ok(snapshot_seal(world->store, id, &summary, &error));
		assert_int_equal(summary.read_files, 8);
		assert_int_equal(summary.new_files, i == 0 ? 8 : 0);
		if (i == 0)
			bytes = read_all(world, cache);
	}
	assert_ok(snapshot_export(world->store, "run-59", "state/tree", at(world, "out"), &error));
	assert_string_equal(differences(world, world->source, at(world, "out")), "");
}

#define BOTH(test) \
	cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down), \
		cmocka_unit_test_setup_teardown(test, world_set_up_sealed, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_damage),
		BOTH(test_damage_is_not_laid_out),
		BOTH(test_names_are_compared),
		BOTH(test_forged_paths),
		BOTH(test_damaged_cache),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
