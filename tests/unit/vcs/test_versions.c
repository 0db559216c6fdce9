/* Listing versions: order, filters, and that no field is ever missing (property 1). */
#include "repository.h"

#include <string.h>

#include "base/text.h"

static struct vcs_versions list(struct world *world, struct vcs_query query)
{
	struct err error = ERR_INIT;
	struct vcs_versions versions;
	struct vcs *vcs;

	assert_ok(vcs_open(world, world->dir, &vcs, &error));
	assert_ok(vcs_versions(world, vcs, &query, &versions, &error));
	return versions;
}

static char *names(struct world *world, const struct vcs_versions *versions)
{
	char *text = mem_strdup(world, "");

	for (size_t i = 0; i < versions->count; i++)
		text = mem_appendf(text, "%s%s", i ? " " : "", versions->list[i].name);
	return text;
}

static void orders_tags_by_precedence(void **state)
{
	static const char *const tags[] = { "v1.10.0", "v1.9.0", "v1.10.0-rc.2", "v1.10.0-rc.10", "1.10.1", "v2.0.0-alpha", "nightly",
		"stable" };
	struct world *world = *state;
	struct vcs_versions versions;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		commit_file(world, "a", tags[i], tags[i]);
		git(world, "tag", tags[i]);
	}
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_TAG });
	/* What is no version stands by itself, by date: its newest commit is the newest, so it comes first. */
	assert_string_equal(names(world, &versions), "stable nightly v2.0.0-alpha 1.10.1 v1.10.0 v1.10.0-rc.10 v1.10.0-rc.2 v1.9.0");
	assert_int_equal(versions.list[0].version.kind, VERSION_OTHER);
	assert_int_equal(versions.list[2].version.kind, VERSION_SEMVER);
	assert_string_equal(versions.list[4].predecessor, "v1.10.0-rc.10");
	assert_null(versions.list[1].predecessor); /* not a version: nothing lower, and no older one of its kind */
	assert_null(versions.list[7].predecessor);
}

static void puts_the_newer_kind_of_version_first(void **state)
{
	struct world *world = *state;
	struct vcs_versions versions;

	commit_file(world, "a", "1", "one");
	git(world, "tag", "v9.0.0");
	commit_file(world, "a", "2", "two");
	git(world, "tag", "2026.11");
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_TAG });
	assert_string_equal(names(world, &versions), "2026.11 v9.0.0");
	commit_file(world, "a", "3", "three");
	git(world, "tag", "v9.0.1");
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_TAG });
	assert_string_equal(names(world, &versions), "v9.0.1 v9.0.0 2026.11");
}

static void tells_what_changed(void **state)
{
	struct world *world = *state;
	struct vcs_versions versions;

	commit_file(world, "a", "1", "one");
	git(world, "tag", "v1.0.0");
	commit_file(world, "b", "1", "two");
	commit_file(world, "c/d", "1", "three");
	git(world, "tag", "v1.1.0");
	git(world, "rm", "-q", "a");
	commit_file(world, "c/d", "2", "four");
	versions = list(world, (struct vcs_query){ .names = 2 });
	assert_string_equal(versions.list[0].name, "v1.1.0");
	assert_int_equal(versions.list[0].changed_count, 2);
	assert_string_equal(versions.list[0].changed[0], "b");
	assert_string_equal(versions.list[0].changed[1], "c/d");
	assert_string_equal(versions.list[0].predecessor, "v1.0.0");
	assert_int_equal(versions.list[0].behind, 1);
	assert_int_equal(versions.list[0].ahead, 0);
	/* The first version has no predecessor: all that is in it came with it. */
	assert_int_equal(versions.list[1].changed_count, 1);
	assert_null(versions.list[1].predecessor);
	assert_int_equal(versions.list[2].kind, VCS_BRANCH);
	assert_int_equal(versions.list[3].kind, VCS_COMMIT);
	assert_int_equal(versions.list[3].changed_count, 2);
	assert_string_equal(versions.list[3].changed[0], "a");
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_COMMIT, .names = 1 });
	assert_int_equal(versions.list[0].changed_count, 2);
	assert_null(versions.list[0].changed[1]);
}

static void filters_by_branch_and_limit(void **state)
{
	struct world *world = *state;
	struct vcs_versions versions;

	commit_file(world, "a", "1", "one");
	git(world, "tag", "v1.0.0");
	git(world, "checkout", "-q", "-b", "next");
	commit_file(world, "a", "2", "two");
	git(world, "tag", "v2.0.0");
	git(world, "checkout", "-q", "main");
	commit_file(world, "a", "3", "three");
	git(world, "tag", "v1.1.0");
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_TAG, .branch = "main" });
	assert_string_equal(names(world, &versions), "v1.1.0 v1.0.0");
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_TAG, .limit = 1 });
	assert_string_equal(names(world, &versions), "v2.0.0");
	assert_string_equal(versions.list[0].predecessor, "v1.1.0"); /* also when that one is not listed */
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_BRANCH });
	assert_string_equal(names(world, &versions), "main next");
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_TAG, .from = "v2.0.0" });
	assert_string_equal(versions.list[0].name, "v2.0.0");
	assert_int_equal(versions.list[0].behind, 0);
	assert_int_equal(versions.list[1].ahead, 1);
	assert_int_equal(versions.list[1].behind, 1);
}

/* All members in every version, whatever it is made of: odd names, no message, bytes that are not UTF-8, times that no calendar has. */
static void misses_no_field(void **state)
{
	static const char *const members[] = { "name", "kind", "ref", "versionKind", "version", "sha", "author", "date", "committedAt",
		"subject", "tagMessage", "tagger", "predecessor", "filesChanged", "distance" };
	struct world *world = *state;
	struct vcs_versions versions;
	char *head;

	commit_file(world, "a\n\xff", "1", "");
	git(world, "tag", "not-a-version");
	commit_file(world, "b", "1", "sub\x1b[31mject \xe9\n\nbody");
	git(world, "tag", "-a", "-m", "What is new:\n\n- b", "v1.0.0-rc.1+build.5");
	git(world, "branch", "feature/x");
	head = git(world, "rev-parse", "HEAD");
	git_in(world, world->dir,
		mem_printf(world,
			"commit refs/heads/odd\nauthor  <> 99999999999999 +0000\ncommitter  <> 99999999999999 +0000\n"
			"data 4\nodd\n\nfrom %s\n\n",
			head),
		(const char *const[]){ "git", "fast-import", "--quiet", "--date-format=raw-permissive", NULL });
	git(world, "tag", "v0.0.1", "odd");
	git(world, "tag", "a-tree", git(world, "rev-parse", "HEAD^{tree}"));
	versions = list(world, (struct vcs_query){ 0 });
	assert_int_equal(versions.count, 3 + 3 + 2);
	assert_int_equal(versions.skipped_count, 1);
	assert_string_equal(versions.skipped[0].name, "a-tree");
	for (size_t i = 0; i < versions.count; i++) {
		json_t *json = json_keep(world, vcs_version_json(&versions.list[i]));
		bool annotated = text_starts_with(versions.list[i].name, "v1.0.0");

		assert_int_equal(json_object_size(json), ARRAY_SIZE(members));
		for (size_t j = 0; j < ARRAY_SIZE(members); j++)
			assert_non_null(json_object_get(json, members[j]));
		assert_true(json_is_object(json_object_get(json, "filesChanged")));
		assert_true(json_is_object(json_object_get(json, "distance")));
		assert_true(json_is_string(json_object_get(json, "date")));
		assert_true(json_is_null(json_object_get(json, "tagMessage")) == !annotated);
		assert_true(json_is_null(json_object_get(json, "tagger")) == !annotated);
		assert_true(json_is_null(json_object_get(json, "ref")) == (versions.list[i].kind == VCS_COMMIT));
	}
}

static void tells_who_and_when(void **state)
{
	struct world *world = *state;
	struct vcs_versions versions;
	json_t *json;

	commit_file(world, "a", "1", "Mend the\nlogin\n\nIt was broken.");
	git(world, "tag", "-a", "-m", "Release 1", "v1.0.0");
	versions = list(world, (struct vcs_query){ .kinds = 1u << VCS_TAG });
	json = json_keep(world, vcs_version_json(&versions.list[0]));
	assert_string_equal(json_str(json_object_get(json, "author"), "name", ""), "Ana Ćosić");
	assert_string_equal(json_str(json_object_get(json, "author"), "email", ""), "ana@example.com");
	assert_string_equal(json_str(json, "date", ""), "2025-06-15T15:07:40.000Z");
	assert_string_equal(json_str(json, "subject", ""), "Mend the login");
	assert_string_equal(json_str(json, "tagMessage", ""), "Release 1\n");
	assert_string_equal(json_str(json_object_get(json, "tagger"), "name", ""), "Bot");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(orders_tags_by_precedence, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(puts_the_newer_kind_of_version_first, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(tells_what_changed, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(filters_by_branch_and_limit, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(misses_no_field, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(tells_who_and_when, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
