/* command: programs that copy a file, compare it, and copy it back. */
#include "contract.h"

static void setup(struct world *world)
{
	put(world, "zero", "zero");
	put(world, "one", "one");
	world->config = json_make(world->ctx, "{s:[s, s, s], s:[s, s, s, s], s:[s, s, s]}", "argv", "cp", "one", "effect", "check", "cmp",
		"-s", "one", "effect", "undo", "cp", "zero", "effect");
	world->targets[0] = json_make(world->ctx, "{s:[s, s, s], s:[s, s, s, s]}", "argv", "cp", "zero", "effect", "check", "cmp", "-s",
		"zero", "effect");
	world->targets[1] = json_make(world->ctx, "{}");
	put(world, "effect", "");
}

static const char *look(struct world *world)
{
	return get(world, "effect");
}

/* What check cannot read it cannot tell about. */
static void spoil(struct world *world)
{
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(fs_join(world->ctx, world->dir, "effect"), &err), 0);
	assert_int_equal(fs_mkdirs(fs_join(world->ctx, world->dir, "effect/x"), 0755, &err), 0);
}

static const char *const kill_apply[] = { "command.begun", "command.done", NULL };
static const char *const kill_undo[] = { "command.undoing", "command.undone", NULL };

const struct contract contract_command = {
	.driver = "command",
	.expect = { "zero", "one" },
	.kill_apply = kill_apply,
	.kill_undo = kill_undo,
	.setup = setup,
	.look = look,
	.spoil = spoil,
};
