/* Opening (plain, sub-folder, bare, worktree, shallow, unborn, none) and the way from names to commits. */
#include "repository.h"

#include <string.h>

static void opens_from_a_folder_inside(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *sha = commit_file(world, "src/a.txt", "1", "first");
	struct vcs *vcs;

	assert_ok(vcs_open(world, fs_join(world, world->dir, "src"), &vcs, &error));
	assert_string_equal(vcs_info(vcs)->path, world->dir);
	assert_string_equal(vcs_info(vcs)->head_ref, "refs/heads/main");
	assert_string_equal(vcs_info(vcs)->head_sha, sha);
	assert_false(vcs_info(vcs)->bare);
	assert_false(vcs_info(vcs)->shallow);
}

static void says_when_there_is_none(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	struct vcs *vcs = NULL;

	assert_fails(vcs_open(world, world->root, &vcs, &error), ERR_NOT_FOUND);
	assert_non_null(strstr(error.text, "no Git repository"));
	assert_null(vcs);
}

static void says_when_it_is_damaged(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *sha = commit_file(world, "a", "1", "first"), *second = commit_file(world, "a", "2", "second"), *path;
	char found[VCS_SHA_SIZE];
	struct vcs_versions versions;
	struct vcs *vcs;

	path = mem_printf(world, "%s/.git/objects/%.2s/%s", world->dir, sha, sha + 2);
	assert_int_equal(unlink(path), 0);
	assert_ok(vcs_open(world, world->dir, &vcs, &error));
	assert_ok(vcs_resolve(vcs, "HEAD", found, &error));
	assert_string_equal(found, second);
	assert_fails(vcs_versions(world, vcs, &(struct vcs_query){ 0 }, &versions, &error), ERR_CORRUPT);
	assert_non_null(strstr(error.text, sha));
	put_file(world, ".git/HEAD", "nonsense\n");
	assert_fails(vcs_open(world, world->dir, &vcs, &error), ERR_CORRUPT);
}

static void opens_a_repository_without_commits(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char sha[VCS_SHA_SIZE] = "untouched";
	struct vcs_versions versions;
	struct vcs *vcs;

	assert_ok(vcs_open(world, world->dir, &vcs, &error));
	assert_null(vcs_info(vcs)->head_sha);
	assert_string_equal(vcs_info(vcs)->head_ref, "refs/heads/main");
	assert_fails(vcs_resolve(vcs, "HEAD", sha, &error), ERR_NOT_FOUND);
	assert_string_equal(sha, "untouched");
	assert_ok(vcs_versions(world, vcs, &(struct vcs_query){ 0 }, &versions, &error));
	assert_int_equal(versions.count, 0);
	assert_null(versions.from_sha);
}

static void opens_bare_worktree_and_detached(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *sha = commit_file(world, "a", "1", "first"), *bare = fs_join(world, world->root, "bare"),
	     *tree = fs_join(world, world->root, "tree");
	char found[VCS_SHA_SIZE];
	struct vcs *vcs;

	git(world, "tag", "v1.0.0");
	git(world, "clone", "-q", "--bare", ".", bare);
	assert_ok(vcs_open(world, bare, &vcs, &error));
	assert_true(vcs_info(vcs)->bare);
	assert_string_equal(vcs_info(vcs)->path, bare);
	assert_ok(vcs_resolve(vcs, "v1.0.0", found, &error));
	assert_string_equal(found, sha);
	git(world, "worktree", "add", "-q", "--detach", tree);
	assert_ok(vcs_open(world, tree, &vcs, &error));
	assert_string_equal(vcs_info(vcs)->path, tree);
	assert_null(vcs_info(vcs)->head_ref);
	assert_string_equal(vcs_info(vcs)->head_sha, sha);
	assert_ok(vcs_resolve(vcs, "v1.0.0", found, &error));
}

static void refuses_what_is_no_name(void **state)
{
	static const char *const bad[] = { "", "-x", "--upload-pack=evil", ".hidden", "/etc", "a b", "a;b", "a\nb", "a..b", "a//b", "@{-1}",
		"HEAD@{1}", ":/fix", "a:b", "$(id)", "é" };
	static const char *const good[] = { "v1.4.2", "HEAD", "HEAD~2", "main^", "feature/x-y", "release+1", "@", "_a", "@scope/pkg@1.0.0",
		"deadbeef" };
	struct err error = ERR_INIT;
	char longest[VCS_REF_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (vcs_ref_check(bad[i], &error) != -ERR_INVALID)
			fail_msg("'%s' was taken", bad[i]);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_ok(vcs_ref_check(good[i], &error));
	memset(longest, 'a', sizeof(longest));
	longest[VCS_REF_MAX] = '\0';
	assert_ok(vcs_ref_check(longest, &error));
	longest[VCS_REF_MAX] = 'a';
	longest[VCS_REF_MAX + 1] = '\0';
	assert_fails(vcs_ref_check(longest, &error), ERR_INVALID);
}

static void resolves_names(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *first = commit_file(world, "a", "1", "first"), *second = commit_file(world, "a", "2", "second"), *blob;
	char sha[VCS_SHA_SIZE];
	struct vcs *vcs;

	git(world, "tag", "-a", "-m", "one", "v1.0.0", first);
	git(world, "tag", "-a", "-m", "a tag of a tag", "nested", "v1.0.0");
	blob = git(world, "rev-parse", "HEAD:a");
	git(world, "tag", "a-file", blob);
	assert_ok(vcs_open(world, world->dir, &vcs, &error));
	assert_ok(vcs_resolve(vcs, "v1.0.0", sha, &error));
	assert_string_equal(sha, first);
	assert_ok(vcs_resolve(vcs, "nested", sha, &error));
	assert_string_equal(sha, first);
	assert_ok(vcs_resolve(vcs, "HEAD~1", sha, &error));
	assert_string_equal(sha, first);
	assert_ok(vcs_resolve(vcs, mem_strndup(world, second, 10), sha, &error));
	assert_string_equal(sha, second);
	assert_fails(vcs_resolve(vcs, "a-file", sha, &error), ERR_INVALID);
	assert_fails(vcs_resolve(vcs, "v9.9.9", sha, &error), ERR_NOT_FOUND);
	assert_fails(vcs_resolve(vcs, "-x", sha, &error), ERR_INVALID);
}

static void reads_a_shallow_clone(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	char *clone = fs_join(world, world->root, "shallow"), *last;
	struct vcs_versions versions;
	struct vcs *vcs;

	commit_file(world, "a", "1", "first");
	commit_file(world, "a", "2", "second");
	last = commit_file(world, "a", "3", "third");
	git(world, "clone", "-q", "--depth", "2", mem_printf(world, "file://%s", world->dir), clone);
	assert_ok(vcs_open(world, clone, &vcs, &error));
	assert_true(vcs_info(vcs)->shallow);
	assert_ok(vcs_versions(world, vcs, &(struct vcs_query){ .kinds = 1u << VCS_COMMIT }, &versions, &error));
	assert_int_equal(versions.count, 2);
	assert_string_equal(versions.list[0].sha, last);
	assert_false(versions.list[0].cut);
	assert_int_equal(versions.list[0].changed_count, 1);
	/* Where the history is cut off, what changed is not known: that is not the same as nothing, nor as everything. */
	assert_true(versions.list[1].cut);
	assert_null(versions.list[1].predecessor);
	assert_true(versions.list[1].has_distance);
	assert_int_equal(versions.list[1].behind, 1);
}

/* At this very place, and not above it. */
static void opens_at_a_place(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	struct vcs *vcs = NULL;

	(void)commit_file(world, "src/a.txt", "1", "first");
	assert_ok(vcs_open_at(world, world->dir, &vcs, &error));
	vcs = NULL;
	assert_fails(vcs_open_at(world, fs_join(world, world->dir, "src"), &vcs, &error), ERR_NOT_FOUND);
	assert_null(vcs);
}

/* The names of releases: with a prefix first, tags before branches, and no expressions. */
static void resolves_plain_names(void **state)
{
	static const char *const refused[] = { "", "-x", "HEAD~1", "a..b", "x@{1}", "a b", "a^", "refs:x", "x.lock", "/x", "x/", "@" };
	struct world *world = *state;
	char *first = commit_file(world, "a", "1", "first"), *second, sha[VCS_SHA_SIZE] = "", *shorter;
	struct err error = ERR_INIT;
	struct vcs *vcs;

	(void)git(world, "tag", "-a", "v1.0", "-m", "annotated");
	(void)git(world, "tag", "both");
	second = commit_file(world, "a", "2", "second");
	(void)git(world, "tag", "1.0");
	(void)git(world, "branch", "both");
	assert_ok(vcs_open_at(world, world->dir, &vcs, &error));
	assert_ok(vcs_resolve_name(vcs, NULL, "1.0", sha, &error));
	assert_string_equal(sha, second);
	assert_ok(vcs_resolve_name(vcs, "v", "1.0", sha, &error));
	assert_string_equal(sha, first);
	assert_ok(vcs_resolve_name(vcs, "v", "v1.0", sha, &error));
	assert_string_equal(sha, first);
	assert_ok(vcs_resolve_name(vcs, "", "both", sha, &error));
	assert_string_equal(sha, first);
	assert_ok(vcs_resolve_name(vcs, NULL, "main", sha, &error));
	assert_string_equal(sha, second);
	shorter = mem_strndup(world, first, 7);
	assert_ok(vcs_resolve_name(vcs, "v", shorter, sha, &error));
	assert_string_equal(sha, first);
	assert_fails(vcs_resolve_name(vcs, NULL, mem_strndup(world, first, 6), sha, &error), ERR_NOT_FOUND);
	assert_fails(vcs_resolve_name(vcs, NULL, "nothing", sha, &error), ERR_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_fails(vcs_resolve_name(vcs, NULL, refused[i], sha, &error), ERR_INVALID);
}

static void exports_a_commit(void **state)
{
	struct world *world = *state;
	char *first = commit_file(world, "src/a.txt", "1", "first"), *text;
	char *to = fs_join(world, world->root, "out"), *part = fs_join(world, world->root, "part");
	struct err error = ERR_INIT;
	size_t files = 0;
	struct vcs *vcs;

	(void)commit_file(world, "src/a.txt", "2", "second");
	assert_ok(vcs_open_at(world, world->dir, &vcs, &error));
	assert_ok(vcs_export(vcs, first, NULL, to, &files, NULL, NULL, &error));
	assert_int_equal(files, 1);
	assert_ok(fs_read(world, fs_join(world, to, "src/a.txt"), 100, &text, NULL, &error));
	assert_string_equal(text, "1");
	assert_ok(vcs_export(vcs, first, "src", part, &files, NULL, NULL, &error));
	assert_true(fs_exists(fs_join(world, part, "a.txt")));
	assert_fails(vcs_export(vcs, first, NULL, to, &files, NULL, NULL, &error), ERR_IO); /* it is there already */
	assert_fails(vcs_export(vcs, first, "nowhere", fs_join(world, world->root, "x"), &files, NULL, NULL, &error), ERR_NOT_FOUND);
	assert_fails(vcs_export(vcs, "main", NULL, fs_join(world, world->root, "x"), &files, NULL, NULL, &error), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opens_from_a_folder_inside, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(says_when_there_is_none, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(says_when_it_is_damaged, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(opens_a_repository_without_commits, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(opens_bare_worktree_and_detached, world_setup, world_teardown),
		cmocka_unit_test(refuses_what_is_no_name),
		cmocka_unit_test_setup_teardown(resolves_names, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(reads_a_shallow_clone, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(opens_at_a_place, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(resolves_plain_names, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(exports_a_commit, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
