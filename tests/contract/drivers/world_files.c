/* files: two configuration files, going between two recorded versions. */
#include "contract.h"

#include "drivers/files_kept.h"

static void keep(struct world *world, const char *dir, struct config_files *files)
{
	static const char *const paths[] = { "app.env", "conf/app.json", NULL };
	struct err err = ERR_INIT;

	assert_int_equal(files_read(world->ctx, world->dir, paths, files, &err), 0);
	assert_int_equal(fs_mkdirs(fs_join(world->ctx, world->dir, dir), 0700, &err), 0);
	assert_int_equal(files_keep(fs_join(world->ctx, world->dir, dir), files, &err), 0);
}

static void setup(struct world *world)
{
	struct config_files files;

	world->config = json_make(world->ctx, "{s:[s,s]}", "paths", "app.env", "conf/app.json");
	for (int i = 0; i < 2; i++) {
		char *dir = mem_printf(world->ctx, ".deployments/recorded/dep-%d/app", i);

		put(world, "app.env", mem_printf(world->ctx, "# port\nPORT=800%d\n", i));
		put(world, "conf/app.json", mem_printf(world->ctx, "{\"level\": %d}\n", i));
		keep(world, dir, &files);
		world->targets[i] = json_make(world->ctx, "{s:s}", "version", files.version);
		world->extra[i] = json_make(world->ctx, "{s:s}", "sourceDir", fs_join(world->ctx, world->dir, dir));
	}
	world->impossible = json_make(world->ctx, "{s:s}", "version", "cfg-000000000000");
}

static const char *look(struct world *world)
{
	return mem_printf(world->ctx, "%s%s", get(world, "app.env"), get(world, "conf/app.json"));
}

/* Each file holds one version or the other, never a mix; no temporary file counts as one. */
static void always(struct world *world)
{
	const char *env = get(world, "app.env"), *json = get(world, "conf/app.json");

	assert_true(strcmp(env, "# port\nPORT=8000\n") == 0 || strcmp(env, "# port\nPORT=8001\n") == 0);
	assert_true(strcmp(json, "{\"level\": 0}\n") == 0 || strcmp(json, "{\"level\": 1}\n") == 0);
}

/* A folder where a file should be. */
static void spoil(struct world *world)
{
	struct err err = ERR_INIT;

	assert_int_equal(unlink(fs_join(world->ctx, world->dir, "app.env")), 0);
	assert_int_equal(fs_mkdirs(fs_join(world->ctx, world->dir, "app.env"), 0755, &err), 0);
}

static const char *const kill[] = { "files.before_write", "files.written", NULL };

const struct contract contract_files = {
	.driver = "files",
	.expect = { "# port\nPORT=8000\n{\"level\": 0}\n", "# port\nPORT=8001\n{\"level\": 1}\n" },
	.kill_apply = kill,
	.kill_undo = kill,
	.setup = setup,
	.look = look,
	.spoil = spoil,
	.always = always,
};
