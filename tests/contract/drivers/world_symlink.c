/* The example of an external driver, docs/examples/unship-driver-symlink, found in PATH. */
#include "contract.h"

static void setup(struct world *world)
{
	const char *path = getenv("PATH");

	if (!strstr(path, EXAMPLES_DIR))
		assert_int_equal(setenv("PATH", mem_printf(world->ctx, "%s:%s", EXAMPLES_DIR, path), 1), 0);
	put(world, "releases/1/app.txt", "one");
	put(world, "releases/2/app.txt", "two");
	world->config = json_make(world->ctx, "{s:s, s:s}", "link", "current", "releases", "releases");
	world->targets[0] = json_make(world->ctx, "{s:s}", "version", "1");
	world->targets[1] = json_make(world->ctx, "{s:s}", "version", "2");
	world->impossible = json_make(world->ctx, "{s:s}", "version", "3");
}

static const char *look(struct world *world)
{
	return get(world, "current/app.txt");
}

static void spoil(struct world *world)
{
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(fs_join(world->ctx, world->dir, "current"), &err), 0);
	put(world, "current/app.txt", "somebody else's");
}

const struct contract contract_symlink = {
	.driver = "symlink",
	.external = true,
	.expect = { "one", "two" },
	.setup = setup,
	.look = look,
	.spoil = spoil,
};
