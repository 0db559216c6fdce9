/* redis: a database with two recorded contents, of strings, sets, hashes, lists, a sorted set and a stream, looked at with redis-cli. The
 * contents differ in values and in which keys there are; one key belongs to nobody and
 * must stay. */
#include "contract.h"
#include "redis.h"

static const char *fill(struct world *world, int version)
{
	char *lines = mem_strdup(world->ctx, "");

	for (int i = 0; i < 40 - 10 * version; i++)
		lines = mem_appendf(lines, "SET app:%d v%d\n", i, version);
	for (int i = 0; i < 30; i++)
		lines = mem_appendf(lines, "SADD app:set v%d-%d\nHSET app:hash f%d v%d-%d\nRPUSH app:list v%d-%d\n", version, i, i, version,
			i, version, i);
	lines = mem_appendf(lines, "ZADD app:zset %d a 1.5 b\nXADD app:stream 1-%d f v%d\n", version, version + 1, version);
	return mem_appendf(lines, "PEXPIREAT app:1 4102444800%d00\nSET only:%d x\n", version, version);
}

static void setup(struct world *world)
{
	struct redis_server *server = redis_server_start(world->ctx, NULL);

	world->own = server;
	world->config = json_make(world->ctx, "{s:s, s:[s, s]}", "socket", server->socket, "keys", "app:*", "only:*");
	redis_say(server, "SET theirs 1\n");
	for (int i = 0; i < 2; i++) {
		char *dir = mem_printf(world->ctx, ".deployments/recorded/dep-%d/app", i);

		redis_say(server,
			"EVAL \"for _, k in ipairs(redis.call('KEYS', '*')) do if k ~= 'theirs' then redis.call('DEL', k) end end\" 0\n");
		redis_say(server, fill(world, i));
		capture(world, dir);
		world->targets[i] = json_make(world->ctx, "{s:s, s:s}", "deploymentId", mem_printf(world->ctx, "dep-%d", i), "version",
			"unused");
		world->extra[i] = json_make(world->ctx, "{s:s}", "sourceDir", fs_join(world->ctx, world->dir, dir));
	}
	world->impossible = json_make(world->ctx, "{s:s}", "snapshotId", "dep-9");
}

static void teardown(struct world *world)
{
	if (world->own)
		redis_server_stop(world->own);
}

/* The versions that are met anywhere, each once, and how many keys there are. */
static const char look_script[] =
	"EVAL \"local seen, out = {}, {}\\n"
	"local function add(text) local v = text:match('^v%d') if v and not seen[v] then seen[v] = true out[#out + 1] = v end end\\n"
	"local keys = redis.call('KEYS', 'app:*')\\n"
	"for _, k in ipairs(keys) do\\n"
	"  local t = redis.call('TYPE', k).ok\\n"
	"  if t == 'string' then add(redis.call('GET', k)) end\\n"
	"  if t == 'set' then for _, m in ipairs(redis.call('SMEMBERS', k)) do add(m) end end\\n"
	"  if t == 'hash' then for _, m in ipairs(redis.call('HVALS', k)) do add(m) end end\\n"
	"  if t == 'list' then for _, m in ipairs(redis.call('LRANGE', k, 0, -1)) do add(m) end end\\n"
	"  if t == 'stream' then for _, e in ipairs(redis.call('XRANGE', k, '-', '+')) do add(e[2][2]) end end\\n"
	"end\\n"
	"table.sort(out)\\n"
	"return table.concat(out, '+') .. ' ' .. #keys .. ' ' .. redis.call('EXISTS', 'only:0') .. redis.call('EXISTS', 'only:1') .. ' ' .. redis.call('ZSCORE', 'app:zset', 'a') .. ' ' .. "
	"redis.call('PEXPIRETIME', 'app:1')\" 0\n";

static const char *look(struct world *world)
{
	char *said = redis_say(world->own, look_script);

	said[strcspn(said, "\n")] = 0;
	return said;
}

/* What does not belong to the component stays. */
static void always(struct world *world)
{
	assert_string_equal(redis_say(world->own, "GET theirs\n"), "1\n");
}

/* The server is there, and lets us in no more. */
static void spoil(struct world *world)
{
	redis_say(world->own, "CONFIG SET requirepass other\n");
}

static const char *const kill_apply[] = { "redis.ledger_written", "redis.portion_written", "redis.restored", NULL };

const struct contract contract_redis = {
	.driver = "redis",
	.expect = { "v0 45 10 0 4102444800000", "v1 35 01 1 4102444800100" },
	.kill_apply = kill_apply,
	.kill_undo = kill_apply,
	.setup = setup,
	.teardown = teardown,
	.look = look,
	.spoil = spoil,
	.always = always,
};

/* A work queue in it: target 0 is a copy in which workers had taken nine of twelve jobs, target 1 that these are put back. At every
 * moment each job is there once. */

static void setup_queue(struct world *world)
{
	struct redis_server *server = redis_server_start(world->ctx, NULL);

	world->own = server;
	world->config = json_make(world->ctx, "{s:s, s:{s:{s:s, s:s}}}", "socket", server->socket, "queues", "jobs", "pending", "jobs",
		"processing", "taken:*");
	redis_say(server, "RPUSH jobs 12 11 10\nRPUSH taken:a 6 5 4 3 2 1\nRPUSH taken:b 9 8 7\n");
	capture(world, ".deployments/recorded/dep-0/app");
	world->targets[0] = json_make(world->ctx, "{s:s}", "deploymentId", "dep-0");
	world->extra[0] = json_make(world->ctx, "{s:s}", "sourceDir", fs_join(world->ctx, world->dir, ".deployments/recorded/dep-0/app"));
	world->targets[1] = json_make(world->ctx, "{s:s}", "action", "requeue");
	world->impossible = json_make(world->ctx, "{s:s, s:[s]}", "action", "requeue", "queues", "mail");
}

static const char *look_at_queue(struct world *world)
{
	char *said = redis_say(world->own,
		"EVAL \"return redis.call('LLEN', 'jobs') .. ' ' .. redis.call('LLEN', 'taken:a') .. ' ' .. redis.call('LLEN', 'taken:b')\" 0\n");

	said[strcspn(said, "\n")] = 0;
	return said;
}

static void every_job_is_there_once(struct world *world)
{
	assert_string_equal(
		redis_say(world->own,
			"EVAL \"local all = {} for _, k in ipairs({'jobs', 'taken:a', 'taken:b'}) do for _, v in ipairs(redis.call('LRANGE', k, 0, -1)) do all[#all + 1] = tonumber(v) end end "
			"table.sort(all) return table.concat(all, ' ')\" 0\n"),
		"1 2 3 4 5 6 7 8 9 10 11 12\n");
}

static const char *const kill_requeue[] = { "redis.requeued_some", NULL };
static const char *const kill_undo[] = { "redis.ledger_written", "redis.restored", NULL };

const struct contract contract_redis_queue = {
	.driver = "redis",
	.expect = { "3 6 3", "12 0 0" },
	.kill_apply = kill_requeue,
	.kill_undo = kill_undo,
	.setup = setup_queue,
	.teardown = teardown,
	.look = look_at_queue,
	.always = every_job_is_there_once,
};
