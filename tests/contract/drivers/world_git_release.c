/* git-release: a repository with two tags, made with the git program. */
#include "contract.h"

static void setup(struct world *world)
{
	put(world, "repo/app.txt", "one");
	put(world, "repo/lib/a/b/c.txt", "deep");
	run_program(world, "git", "init", "-q", "-b", "main", "repo", NULL);
	for (int i = 0; i < 2; i++) {
		put(world, "repo/app.txt", i == 0 ? "one" : "two");
		for (int k = 0; k < 40; k++) /* so many that a kill can hit the export */
			put(world, mem_printf(world->ctx, "repo/data/%d.txt", k), i == 0 ? "1" : "2");
		run_program(world, "git", "-C", "repo", "add", "-A", NULL);
		run_program(world, "git", "-C", "repo", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "x",
			NULL);
		run_program(world, "git", "-C", "repo", "tag", i == 0 ? "v1" : "v2", NULL);
	}
	world->config = json_make(world->ctx, "{s:s, s:s, s:s, s:i, s:[s]}", "repo", "repo", "root", "site", "refPrefix", "v", "keep", 1,
		"shared", "log");
	world->targets[0] = json_make(world->ctx, "{s:s}", "version", "1");
	world->targets[1] = json_make(world->ctx, "{s:s}", "version", "2");
	world->impossible = json_make(world->ctx, "{s:s}", "version", "99");
}

static const char *look(struct world *world)
{
	return get(world, "site/current/app.txt");
}

static void spoil(struct world *world)
{
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(fs_join(world->ctx, world->dir, "site/current"), &err), 0);
	put(world, "site/current/app.txt", "somebody else's");
}

/* The link leads to a whole release, or is not there. */
static void always(struct world *world)
{
	const char *app = look(world);

	if (!fs_exists(fs_join(world->ctx, world->dir, "site/current")))
		return;
	assert_true(strcmp(app, "one") == 0 || strcmp(app, "two") == 0);
	for (int k = 0; k < 40; k++)
		assert_string_equal(get(world, mem_printf(world->ctx, "site/current/data/%d.txt", k)), strcmp(app, "one") == 0 ? "1" : "2");
	assert_string_equal(get(world, "site/current/lib/a/b/c.txt"), "deep");
}

static const char *const kill_apply[] = { "git_release.exported", "git_release.described", "git_release.renamed", "git_release.switched",
	NULL };
static const char *const kill_undo[] = { "git_release.undone", NULL };

const struct contract contract_git_release = {
	.driver = "git-release",
	.expect = { "one", "two" },
	.kill_apply = kill_apply,
	.kill_undo = kill_undo,
	.setup = setup,
	.look = look,
	.spoil = spoil,
	.always = always,
};
