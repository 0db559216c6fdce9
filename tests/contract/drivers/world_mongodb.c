/* mongodb: programs that stand in for those of MongoDB (tests/support/mongo-stand-in) and keep a database as files; two recorded contents that differ in documents and in which collections there are. It shows what the driver asks of the
 * programs, not what the real ones do. */
#include "contract.h"

static void fill(struct world *world, int version)
{
	char *text = mem_strdup(world->ctx, "");
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(fs_join(world->ctx, world->dir, "data/shop"), &err), 0);
	for (int i = 0; i < 20; i++)
		text = mem_appendf(text, "{\"_id\": %d, \"v\": \"v%d\"}\n", i, version);
	put(world, "data/shop/notes", text);
	put(world, "data/shop/tags", text);
	put(world, mem_printf(world->ctx, "data/shop/only_%d", version), text);
}

static void setup(struct world *world)
{
	const char *stand_in = STAND_IN;

	put(world, "data/.password", "geheim");
	put(world, "data/theirs/notes", "{}\n");
	put(world, "uri", mem_printf(world->ctx, "mongodb://ana:geheim@localhost/?data=%s/data\n", world->dir));
	world->config = json_make(world->ctx, "{s:{s:s}, s:s, s:[s, s], s:[s, s], s:[s, s]}", "uri", "file", "uri", "database", "shop",
		"dump", stand_in, "mongodump", "restore", stand_in, "mongorestore", "shell", stand_in, "mongosh");
	for (int i = 0; i < 2; i++) {
		char *dir = mem_printf(world->ctx, ".deployments/recorded/dep-%d/app", i);

		fill(world, i);
		capture(world, dir);
		world->targets[i] = json_make(world->ctx, "{s:s, s:s}", "deploymentId", mem_printf(world->ctx, "dep-%d", i), "version",
			"unused");
		world->extra[i] = json_make(world->ctx, "{s:s}", "sourceDir", fs_join(world->ctx, world->dir, dir));
	}
	world->impossible = json_make(world->ctx, "{s:s}", "snapshotId", "dep-9");
}

static const char *version_in(struct world *world, const char *name)
{
	const char *at = strstr(get(world, mem_printf(world->ctx, "data/shop/%s", name)), "\"v\": \"");

	return at ? mem_strndup(world->ctx, at + 6, 2) : "-";
}

static const char *look(struct world *world)
{
	return mem_printf(world->ctx, "%s %s %s %s", version_in(world, "notes"), version_in(world, "tags"), version_in(world, "only_0"),
		version_in(world, "only_1"));
}

/* What does not belong to the database stays. */
static void always(struct world *world)
{
	assert_string_equal(get(world, "data/theirs/notes"), "{}\n");
}

/* The server is there, and lets us in no more. */
static void spoil(struct world *world)
{
	put(world, "data/.password", "another");
}

static const char *const kill[] = { "mongodb.restored", NULL };
static const char *const kill_capture[] = { "mongodb.dumped", NULL };

const struct contract contract_mongodb = {
	.driver = "mongodb",
	.expect = { "v0 v0 v0 -", "v1 v1 - v1" },
	.kill_apply = kill,
	.kill_undo = kill,
	.kill_capture = kill_capture,
	.setup = setup,
	.look = look,
	.spoil = spoil,
	.always = always,
};
