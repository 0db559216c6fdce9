/* The history as numbers, compared with what git itself counts, on a history with merges; and a history of many commits. */
#include "repository.h"

#include <string.h>

#include "vcs/history.h"

#define MANY 50000

static uint32_t node_of(struct history *history, struct vcs *vcs, const char *ref)
{
	struct err error = ERR_INIT;
	uint32_t node;
	git_oid oid;

	assert_ok(vcs_commit_of(vcs, ref, &oid, &error));
	assert_ok(history_add(history, &oid, &node, &error));
	return node;
}

/* Two branches that part, merge and go on. */
static void make_history(struct world *world)
{
	commit_file(world, "a", "1", "one");
	git(world, "tag", "t1");
	git(world, "checkout", "-q", "-b", "side");
	commit_file(world, "b", "1", "side one");
	commit_file(world, "b", "2", "side two");
	git(world, "tag", "t2");
	git(world, "checkout", "-q", "main");
	commit_file(world, "a", "2", "two");
	git(world, "tag", "t3");
	world->clock++;
	git(world, "merge", "-q", "--no-ff", "-m", "merge", "side");
	git(world, "tag", "t4");
	commit_file(world, "a", "3", "three");
	git(world, "checkout", "-q", "-b", "lost", "t2");
	commit_file(world, "c", "1", "not merged");
	git(world, "tag", "t5");
	git(world, "checkout", "-q", "--orphan", "other");
	commit_file(world, "d", "1", "no common commit");
	git(world, "tag", "t6");
	git(world, "checkout", "-q", "main");
}

static void counts_as_git_does(void **state)
{
	static const char *const tags[] = { "t1", "t2", "t3", "t4", "t5", "t6" };
	struct world *world = *state;
	struct err error = ERR_INIT;
	struct history_distance distances[ARRAY_SIZE(tags)];
	uint32_t targets[ARRAY_SIZE(tags)], from;
	struct history *history;
	struct vcs *vcs;

	make_history(world);
	assert_ok(vcs_open(world, world->dir, &vcs, &error));
	history = history_new(world, vcs);
	from = node_of(history, vcs, "main");
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		targets[i] = node_of(history, vcs, tags[i]);
	history_distances(history, from, targets, ARRAY_SIZE(tags), distances);
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		char *counted = git(world, "rev-list", "--left-right", "--count", mem_printf(world, "main...%s", tags[i]));

		assert_string_equal(mem_printf(world, "%zu\t%zu", distances[i].behind, distances[i].ahead), counted);
	}
}

static void lists_the_newest_first(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *expected, *found = mem_strdup(world, "");
	uint32_t newest[4];
	struct history *history;
	struct vcs *vcs;
	size_t count;

	make_history(world);
	assert_ok(vcs_open(world, world->dir, &vcs, &error));
	history = history_new(world, vcs);
	count = history_newest(history, node_of(history, vcs, "main"), ARRAY_SIZE(newest), newest);
	for (size_t i = 0; i < count; i++)
		found = mem_appendf(found, "%s%s", i ? "\n" : "", vcs_sha(world, vcs, &history->nodes[newest[i]].oid));
	expected = git(world, "rev-list", "--date-order", "-4", "main");
	assert_string_equal(found, expected);
}

/* More targets than bits in one pass, in a history larger than any first room; the answers are known: it is a line. */
static void walks_a_long_history(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *input = mem_array(world, char, MANY * 160), *at = input;
	struct history_distance *distances = mem_array(world, struct history_distance, 200);
	uint32_t *targets = mem_array(world, uint32_t, 200), from;
	struct history *history;
	struct vcs *vcs;
	git_oid oid;

	for (int i = 1; i <= MANY; i++)
		at += snprintf(at, 160, "commit refs/heads/main\nmark :%d\ncommitter B <b@example.com> %d +0000\ndata 1\nx\n\n", i,
			1700000000 + i);
	git_in(world, world->dir, input, (const char *const[]){ "git", "fast-import", "--quiet", NULL });
	assert_ok(vcs_open(world, world->dir, &vcs, &error));
	history = history_new(world, vcs);
	from = node_of(history, vcs, "main");
	assert_int_equal(history->node_count, MANY);
	for (uint32_t i = 0; i < 200; i++) {
		oid = history->nodes[i * 97].oid; /* read from the head on: node i is i commits behind */
		targets[i] = history_find(history, &oid);
		assert_int_equal(targets[i], i * 97);
	}
	history_distances(history, from, targets, 200, distances);
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(distances[i].behind, i * 97);
		assert_int_equal(distances[i].ahead, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counts_as_git_does, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(lists_the_newest_first, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(walks_a_long_history, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
