/* What is known of files that were read before: found by device, inode, size and times; not believed for longer than 7 to 14 days, when it is young, or when the cache itself is damaged. Time is given, not waited for. */
#include "checks.h"

#include "base/fs.h"
#include "data/hash.h"
#include "data/json.h"
#include "snapshot/cache.h"

#define NOW_MS 1795236813120
#define DAY_MS (24 * 3600 * (int64_t)1000)

static const uint8_t key[SEAL_KEY_SIZE] = { 1 }, other_key[SEAL_KEY_SIZE] = { 2 };
static const struct object_id objects[] = { { { 1 } }, { { 2 } } };

struct world {
	char folder[48];
	char *path;
	struct cache_stamp stamp;
};

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	(void)snprintf(world->folder, sizeof(world->folder), "/tmp/unship-cache-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	world->path = fs_join(world, world->folder, "files");
	world->stamp = (struct cache_stamp){ .device = 1,
		.inode = 7,
		.size = 5000,
		.mtime_ns = (NOW_MS - 10000) * 1000000,
		.ctime_ns = (NOW_MS - 10000) * 1000000 };
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;

	assert_ok(fs_remove_tree(world->folder, &error));
	talloc_free(world);
	return 0;
}

static struct cache *open_cache(struct world *world, const uint8_t *with, int64_t now_ms)
{
	return cache_read(world, world->path, with, now_ms);
}

static void remember(struct world *world)
{
	struct cache *cache = open_cache(world, key, NOW_MS);
	struct err error = ERR_INIT;

	cache_note(cache, &world->stamp, objects, ARRAY_SIZE(objects));
	assert_ok(cache_write(cache, world->path, &error));
}

static bool is_known(struct world *world, const struct cache_stamp *stamp, int64_t now_ms)
{
	size_t count = 0;
	const struct object_id *found = cache_find(open_cache(world, key, now_ms), stamp, &count);

	return found && count == ARRAY_SIZE(objects) && memcmp(found, objects, sizeof(objects)) == 0;
}

static void test_found(void **state)
{
	struct world *world = *state;
	struct cache_stamp other[5];
	size_t count;

	assert_false(is_known(world, &world->stamp, NOW_MS));
	remember(world);
	assert_true(is_known(world, &world->stamp, NOW_MS));
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		other[i] = world->stamp;
	other[0].device++;
	other[1].inode++;
	other[2].size++;
	other[3].mtime_ns++;
	other[4].ctime_ns++;
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		assert_false(is_known(world, &other[i], NOW_MS));
	assert_null(cache_find(open_cache(world, other_key, NOW_MS), &world->stamp, &count));
}

/* Every file is read again in the second week at the latest, and not all of them on one day. */
static void test_not_believed_for_ever(void **state)
{
	struct world *world = *state;
	bool days[15] = { false };
	size_t different = 0;

	for (uint64_t inode = 1; inode <= 40; inode++) {
		int day = 1;

		world->stamp.inode = inode;
		remember(world);
		while (is_known(world, &world->stamp, NOW_MS + day * DAY_MS))
			day++;
		assert_in_range(day, 8, 14);
		days[day] = true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(days); i++)
		different += days[i];
	assert_true(different >= 4);
	assert_false(is_known(world, &world->stamp, NOW_MS - DAY_MS)); /* read in the future: the clock was set back */
}

static void test_young_files(void **state)
{
	struct world *world = *state;

	world->stamp.ctime_ns = (NOW_MS - 1900) * 1000000;
	remember(world);
	assert_false(is_known(world, &world->stamp, NOW_MS));
	world->stamp.ctime_ns = (NOW_MS - 2100) * 1000000;
	remember(world);
	assert_true(is_known(world, &world->stamp, NOW_MS));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_found),
		TEST(test_not_believed_for_ever),
		TEST(test_young_files),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
