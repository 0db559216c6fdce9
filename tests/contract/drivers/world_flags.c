/* flags: unship's own store, looked at through its own connection. */
#include "contract.h"

#include "data/hash.h"
#include "store/store.h"

static struct store *open_store(struct world *world)
{
	struct err err = ERR_INIT;
	struct store *store;

	if (store_open(world->ctx, world->store, NULL, world->dir, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

static void setup(struct world *world)
{
	struct err err = ERR_INIT;
	struct store *store;

	hash_setup();
	world->store = fs_join(world->ctx, world->dir, "unship.db");
	world->name = mem_strdup(world->ctx, "flag new-api");
	store = open_store(world);
	assert_int_equal(store_flag_set(store, "test", "new-api", "phase-4", "blue", "ana", "setup", NULL, &err), 0);
	(void)talloc_free(store);
	world->config = json_make(world->ctx, "{}");
	world->targets[0] = json_make(world->ctx, "{s:s, s:b}", "flagKey", "new-api", "targetState", 1);
	world->targets[1] = json_make(world->ctx, "{s:s, s:s}", "flagKey", "new-api", "targetState", "green");
	world->impossible = json_make(world->ctx, "{s:s}", "flagKey", "new-api");
}

static const char *look(struct world *world)
{
	struct store *store = open_store(world);
	struct err err = ERR_INIT;
	struct flag_row row;

	assert_int_equal(store_flag(store, world->ctx, "test", "new-api", &row, &err), 0);
	(void)talloc_free(store);
	return row.state;
}

/* The journal stays whole. */
static void always(struct world *world)
{
	struct store *store = open_store(world);
	struct err err = ERR_INIT;
	int64_t count;
	char head[65];

	if (store_verify(store, &count, head, &err) < 0)
		fail_msg("%s", err.text);
	(void)talloc_free(store);
}

static void spoil(struct world *world)
{
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(mem_printf(world->ctx, "%s-wal", world->store), &err), 0);
	assert_int_equal(fs_remove_tree(mem_printf(world->ctx, "%s-shm", world->store), &err), 0);
	put(world, "unship.db", "this is not a database, it only says so");
}

static const char *const kill[] = { "flags.set", NULL };

const struct contract contract_flags = {
	.driver = "flags",
	.expect = { "true", "green" },
	.kill_apply = kill,
	.kill_undo = kill,
	.setup = setup,
	.look = look,
	.spoil = spoil,
	.always = always,
};
