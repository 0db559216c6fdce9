/* drain: a gate that the programs close and open, and work that ends two looks after it was closed. What is at work is told by a file, so
 * the world sees at every moment whether it was waited for. */
#include "contract.h"

static void setup(struct world *world)
{
	world->config = json_make(world->ctx, "{s:s, s:{s:s, s:s}, s:{s:[s, s, s], s:{s:[s, s, s]}, s:s, s:[s, s, s]}}", "side", "drain",
		"service", "name", "app", "driver", "elsewhere", "drain", "pause", "sh", "-c",
		"[ \"$(cat gate)\" = closed ] || echo 2 > work; echo closed > gate", "idle", "argv", "sh", "-c",
		"n=$(cat work); [ \"${n:-0}\" -le 0 ] && { echo 0 > work; exit 0; }; echo $((n - 1)) > work; echo $n left; exit 1", "every",
		"10ms", "resume", "sh", "-c", "echo open > gate");
	put(world, "gate", "open\n");
	put(world, "work", "0\n");
	world->targets[0] = json_make(world->ctx, "{s:s}", "action", "resume");
	world->targets[1] = json_make(world->ctx, "{s:s}", "action", "drain");
}

static const char *look(struct world *world)
{
	return mem_printf(world->ctx, "%.*s, %.*s in work", (int)strcspn(get(world, "gate"), "\n"), get(world, "gate"),
		(int)strcspn(get(world, "work"), "\n"), get(world, "work"));
}

/* A note of which only the beginning is there. */
static void spoil(struct world *world)
{
	put(world, ".deployments/run/drain-test-app.json", "{\"state\":");
}

static const char *const kill_apply[] = { "drain.begun", "drain.paused", "drain.idle", NULL };
static const char *const kill_undo[] = { "drain.resumed", NULL };

const struct contract contract_drain = {
	.driver = "drain",
	.expect = { "open, 0 in work", "closed, 0 in work" },
	.kill_apply = kill_apply,
	.kill_undo = kill_undo,
	.setup = setup,
	.look = look,
	.spoil = spoil,
};
