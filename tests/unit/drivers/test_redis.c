/* The redis driver against a real server: what a copy holds and brings back, the ledger, what is refused, passwords, a server that is
 * slow or goes away, addresses, and work queues. */
#include "checks.h"

#include <signal.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/list.h"
#include "drivers/redis_client.h"
#include "redis.h"
#include "worker_call.h"

struct world {
	char folder[40];
	struct redis_server *server;
	struct err err;
	struct observation seen;
};

static int begin_with(void **state, const char *const *options)
{
	struct world *world = mem_zero(NULL, struct world);
	struct err error = ERR_INIT;

	(void)snprintf(world->folder, sizeof(world->folder), "/tmp/unship-test-XXXXXX");
	if (!mkdtemp(world->folder))
		return -1;
	*state = world;
	world->server = redis_server_start(world, options);
	worker_log_clear();
	return fs_mkdirs(fs_join(world, world->folder, "copy"), 0700, &error);
}

static int begin(void **state)
{
	return begin_with(state, NULL);
}

static int begin_with_password(void **state)
{
	return begin_with(state,
		(const char *const[]){ "--user", "shop", "on", ">s3cret", "~*", "+@all", "--user", "default", "off", NULL });
}

static int begin_with_rights(void **state)
{
	return begin_with(state,
		(const char *const[]){ "--user", "shop", "on", ">s3cret", "~app:*", "+@read", "+restore", "+unlink", "+eval", "+multi",
			"+exec", "+info", "+select", "+time", "+lmove", "+xadd", "+xack", "+xdel", NULL });
}

static int begin_small(void **state)
{
	return begin_with(state, (const char *const[]){ "--maxmemory", "1500000", NULL });
}

static int end(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	int r;

	redis_server_stop(world->server);
	r = fs_remove_tree(world->folder, &error);
	(void)talloc_free(world);
	return r;
}

static void say(struct world *world, const char *lines)
{
	(void)redis_say(world->server, lines);
}

static void expect(struct world *world, const char *line, const char *answer)
{
	char *said = redis_say(world->server, mem_printf(world, "%s\n", line));

	if (strcmp(said, mem_printf(world, "%s\n", answer)) != 0)
		fail_msg("%s: '%s', expected '%s'", line, said, answer);
}

/* `more`: members of the configuration, with single quotes, beginning with a comma. */
static struct driver_call *call_of(struct world *world, const char *more)
{
	struct driver_call *call = worker_call(world, driver_redis.fields, driver_redis.params_size, world->folder,
		mem_printf(world, "{'socket': '%s'%s}", world->server->socket, more));

	call->name = "cache";
	call->run_id = "run-1";
	world->err = (struct err)ERR_INIT;
	return call;
}

static void capture(struct world *world, const char *more)
{
	struct driver_call *call = call_of(world, more);

	call->snapshot_dir = fs_join(world, world->folder, "copy");
	if (driver_redis.capture(call, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static struct driver_call *restore_call(struct world *world, const char *more)
{
	struct driver_call *call = call_of(world, more);

	call->target = json_make(world, "{s:s}", "snapshotId", "run-0");
	call->sources = json_make(world, "{s:s}", "run-0", fs_join(world, world->folder, "copy"));
	return call;
}

static struct driver_call *requeue_call(struct world *world, const char *more)
{
	struct driver_call *call = call_of(world, more);

	call->target = json_make(world, "{s:s}", "action", "requeue");
	return call;
}

static int observe(struct world *world, struct driver_call *call)
{
	if (driver_redis.observe(call, &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return world->seen.at_target;
}

static json_t *apply(struct world *world, struct driver_call *call)
{
	json_t *outputs = json_make(world, "{}");

	if (driver_redis.apply(call, outputs, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return outputs;
}

static int blocking(struct world *world, struct driver_call *call, const char *finding)
{
	struct findings *findings = findings_new(world);

	if (driver_redis.check(call, findings, &world->err) < 0)
		fail_msg("%s", world->err.text);
	for (size_t i = 0; i < findings->count; i++)
		if (strcmp(findings->list[i].name, finding) == 0)
			return !findings->list[i].passed;
	return -1;
}

/* ---- copies ---- */

static void test_every_type_comes_back(void **state)
{
	struct world *world = *state;
	json_t *outputs;

	say(world,
		"SET text hello\nSET \"bin\\x00\\xff\" \"\\x00\\x01\"\nRPUSH list a b a\nSADD set 1 2 3 x\nSADD ints 3 1 2\nZADD zset 1.25 a -inf b\nHSET hash f v g w\n"
		"XADD stream 5-1 k v\nXADD stream 5-2 k w\nXGROUP CREATE stream workers 0\nXREADGROUP GROUP workers ann COUNT 1 STREAMS stream >\n"
		"SET lasting x PXAT 4102444800000\nSET gone x\nPFADD log a b\nSETBIT bits 7 1\n");
	capture(world, "");
	assert_int_equal(observe(world, restore_call(world, "")), 1);
	say(world,
		"DEL text list zset\nSADD set y\nHSET hash f other\nXACK stream workers 5-1\nPERSIST lasting\nDEL gone\nSET newer x\nSET \"bin\\x00\\xff\" 1\n");
	assert_int_equal(observe(world, restore_call(world, "")), 0);
	outputs = apply(world, restore_call(world, ""));
	assert_int_equal(json_int(json_object_get(outputs, "lost"), "added", -1), 1);
	assert_int_equal(json_int(json_object_get(outputs, "lost"), "changed", -1), 5);
	assert_int_equal(json_int(json_object_get(outputs, "lost"), "removed", -1), 4);
	assert_int_equal(observe(world, restore_call(world, "")), 1);
	expect(world, "GET text", "hello");
	expect(world, "LRANGE list 0 -1", "a\nb\na");
	expect(world, "EXISTS newer", "0");
	expect(world, "PEXPIRETIME lasting", "4102444800000");
}

/* Each difference by itself is one: nothing is compared by half. */
static void test_every_difference_is_seen(void **state)
{
	struct world *world = *state;
	static const char *const changes[][2] = {
		{ "SET text b", "SET text a" },
		{ "RPUSH list c", "RPOP list" },
		{ "LSET list 0 b", "LSET list 0 a" },
		{ "SADD set y", "SREM set y" },
		{ "ZADD zset 2 a", "ZADD zset 1 a" },
		{ "HSET hash f w", "HSET hash f v" },
		{ "HDEL hash f", "HSET hash f v" },
		{ "PEXPIREAT text 4102444800001", "PERSIST text" },
		{ "XACK stream workers 5-1", NULL },
	};

	say(world,
		"SET text a\nRPUSH list a b\nSADD set x\nZADD zset 1 a\nHSET hash f v\nXADD stream 5-1 k v\nXGROUP CREATE stream workers 0\nXREADGROUP GROUP workers ann STREAMS stream >\n");
	capture(world, "");
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		assert_int_equal(observe(world, restore_call(world, "")), 1);
		say(world, mem_printf(world, "%s\n", changes[i][0]));
		if (observe(world, restore_call(world, "")) != 0)
			fail_msg("not seen: %s", changes[i][0]);
		if (changes[i][1])
			say(world, mem_printf(world, "%s\n", changes[i][1]));
	}
}

static void test_only_its_keys(void **state)
{
	struct world *world = *state;
	const char *more = ", 'keys': ['session:*', 'jobs']";

	say(world, "SET session:1 a\nRPUSH jobs 1\nSET other a\nSELECT 1\nSET session:1 there\n");
	capture(world, more);
	say(world, "SET session:1 b\nSET session:2 b\nDEL jobs\nSET other b\n");
	(void)apply(world, restore_call(world, more));
	expect(world, "GET session:1", "a");
	expect(world, "EXISTS session:2", "0");
	expect(world, "LRANGE jobs 0 -1", "1");
	expect(world, "GET other", "b");
	assert_int_equal(observe(world, restore_call(world, more)), 1);
	assert_string_equal(redis_say(world->server, "SELECT 1\nGET session:1\n"), "OK\nthere\n");
}

static void test_by_pattern(void **state)
{
	struct world *world = *state;
	struct driver_call *call = call_of(world, "");

	say(world, "SET cart:1 a\nSET user:1 a\n");
	capture(world, "");
	say(world, "SET cart:1 b\nSET cart:2 b\nSET user:1 b\n");
	call->target = worker_json(world, "{'tables': {'cart:*': 'run-0'}}");
	call->sources = json_make(world, "{s:s}", "run-0", fs_join(world, world->folder, "copy"));
	assert_int_equal(observe(world, call), 0);
	(void)apply(world, call);
	assert_int_equal(observe(world, call), 1);
	expect(world, "MGET cart:1 cart:2 user:1", "a\n\nb");
}

static void test_expired_keys_stay_away(void **state)
{
	struct world *world = *state;

	say(world, mem_printf(world, "SET short x PXAT %lld\nSET long x\n", (long long)clock_wall_ms() + 300));
	capture(world, "");
	while (strcmp(redis_say(world->server, "EXISTS short\n"), "0\n") != 0)
		clock_sleep_ms(10);
	assert_int_equal(observe(world, restore_call(world, "")), 1);
	say(world, "SET short again\nDEL long\n");
	assert_int_equal(observe(world, restore_call(world, "")), 0);
	(void)apply(world, restore_call(world, ""));
	expect(world, "EXISTS short long", "1");
	assert_int_equal(observe(world, restore_call(world, "")), 1);
}

static char *file(struct world *world, const char *path)
{
	size_t size;
	char *text;

	if (fs_read(world, fs_join(world, world->folder, path), 1 << 20, &text, &size, &world->err) < 0)
		fail_msg("%s", world->err.text);
	return text;
}

static void test_the_ledger(void **state)
{
	struct world *world = *state;
	struct driver_call *call;
	char *rows;

	say(world, "SET kept a\nSET changed a\nSET removed a\n");
	capture(world, "");
	say(world, "SET changed b\nSADD added 1 2\nDEL removed\n");
	call = restore_call(world, "");
	call->ledger_dir = fs_join(world, world->folder, "ledger");
	(void)apply(world, call);
	rows = file(world, "ledger/keys.jsonl");
	assert_non_null(strstr(rows, "\"change\":\"changed\""));
	assert_non_null(strstr(rows, "\"value\":\"b\""));
	assert_non_null(strstr(rows, "\"value\":[\"1\",\"2\"]"));
	assert_non_null(strstr(rows, "{\"change\":\"removed\",\"key\":[\"removed\"]}"));
	assert_null(strstr(rows, "kept"));
	rows = file(world, "copy/rows/keys");
	assert_non_null(strstr(rows, "[\"kept\"]\t"));
}

static void flip_byte(struct world *world, const char *name, long at)
{
	FILE *copy = fopen(fs_join(world, world->folder, name), "r+e");
	int byte;

	assert_non_null(copy);
	assert_int_equal(fseek(copy, at, SEEK_SET), 0);
	byte = fgetc(copy);
	assert_int_equal(fseek(copy, at, SEEK_SET), 0);
	assert_int_not_equal(fputc(byte ^ 1, copy), EOF);
	assert_int_equal(fclose(copy), 0);
}

static void test_a_damaged_copy_is_refused(void **state)
{
	struct world *world = *state;
	json_t *outputs = json_make(world, "{}");

	say(world, "SET a 1\n");
	capture(world, "");
	say(world, "SET a 2\n");
	for (long at = 0; at < 60; at += 7) {
		flip_byte(world, "copy/database.redis", at);
		assert_int_equal(blocking(world, restore_call(world, ""), "target_content"), 1);
		assert_int_equal(driver_redis.apply(restore_call(world, ""), outputs, &world->err), -ERR_CORRUPT);
		expect(world, "GET a", "2");
		flip_byte(world, "copy/database.redis", at);
	}
	assert_int_equal(blocking(world, restore_call(world, ""), "target_content"), 0);
	(void)apply(world, restore_call(world, ""));
	expect(world, "GET a", "1");
}

/* A dump that this server does not understand is found before anything is changed: here the version in it is raised and its checksum made
 * anew by nobody. */
static void test_a_newer_copy_is_refused(void **state)
{
	struct world *world = *state;
	json_t *outputs = json_make(world, "{}");
	char *about, *bytes, checksum[HASH_HEX_SIZE];
	size_t size;

	say(world, "SET a 1\n");
	capture(world, "");
	say(world, "SET a 2\nSET b 2\n");
	assert_int_equal(fs_read(world, fs_join(world, world->folder, "copy/database.redis"), 1 << 20, &bytes, &size, &world->err), 0);
	bytes[size - 10] = (char)0xff; /* the version stands before the 8 bytes of the dump's own checksum */
	assert_int_equal(fs_write_atomic(fs_join(world, world->folder, "copy/database.redis"), bytes, size, 0600, &world->err), 0);
	hash_blake2b_hex(bytes, size, checksum);
	about = mem_printf(world, "{\"redis\": \"99.0.0\", \"moment\": true, \"keys\": 1, \"bytes\": %zu, \"checksum\": \"%s\"}", size,
		checksum);
	assert_int_equal(fs_write_atomic(fs_join(world, world->folder, "copy/redis.json"), about, strlen(about), 0600, &world->err), 0);
	assert_int_equal(blocking(world, restore_call(world, ""), "server_version"), 1);
	assert_true(driver_redis.apply(restore_call(world, ""), outputs, &world->err) < 0);
	assert_non_null(strstr(world->err.text, "99.0.0"));
	assert_non_null(strstr(world->err.text, "nothing was changed"));
	expect(world, "MGET a b", "2\n2");
	expect(world, "DBSIZE", "2");
}

/* ---- what goes wrong ---- */

static void fails(struct world *world, struct driver_call *call, enum err_code code, const char *words)
{
	if (driver_redis.observe(call, &world->seen, &world->err) != -(int)code || !strstr(world->err.text, words))
		fail_msg("%d: %s; expected %d: %s", (int)world->err.code, world->err.text, (int)code, words);
	assert_null(strstr(world->err.text, "s3cret"));
	assert_null(strstr(world->err.text, "wr0ng"));
}

static void test_passwords(void **state)
{
	struct world *world = *state;
	const char *socket = world->server->socket;

	assert_int_equal(setenv("TEST_REDIS_PASSWORD", "s3cret", 1), 0);
	assert_int_equal(setenv("TEST_REDIS_WRONG", "wr0ng", 1), 0);
	assert_int_equal(setenv("TEST_REDIS_URL", mem_printf(world, "unix://shop:s3cret@%s?db=3", socket), 1), 0);
	fails(world, call_of(world, ""), ERR_FORBIDDEN, "wants a password");
	fails(world, call_of(world, ", 'user': 'shop', 'password': {'env': 'TEST_REDIS_WRONG'}"), ERR_FORBIDDEN, "does not accept");
	fails(world, call_of(world, ", 'user': 'shop'"), ERR_INVALID, "no password");
	assert_int_equal(observe(world, call_of(world, ", 'user': 'shop', 'password': {'env': 'TEST_REDIS_PASSWORD'}")), -1);
	assert_int_equal(observe(world, call_of(world, ", 'url': {'env': 'TEST_REDIS_URL'}")), -1);
}

/* With the rights that docs/reference/drivers/redis.md names, and no others. */
static void test_least_rights(void **state)
{
	static const char more[] =
		", 'keys': ['app:*'], 'user': 'shop', 'password': {'env': 'TEST_REDIS_PASSWORD'}, 'queues': {'jobs': {'pending': 'app:jobs', 'processing': 'app:taken:*'}, 'events': {'stream': 'app:events', 'group': 'workers'}}";
	struct world *world = *state;

	assert_int_equal(setenv("TEST_REDIS_PASSWORD", "s3cret", 1), 0);
	say(world,
		"SET app:a 1\nSADD app:set 1\nHSET app:hash a b\nRPUSH app:taken:1 x\nXADD app:events 1-1 a b\nXGROUP CREATE app:events workers 0\nXREADGROUP GROUP workers ann STREAMS app:events >\n");
	capture(world, more);
	say(world, "SET app:a 2\nSET app:b 2\n");
	(void)apply(world, restore_call(world, more));
	expect(world, "GET app:a", "1");
	assert_int_equal(json_int(apply(world, requeue_call(world, more)), "requeued", -1), 2);
	assert_int_equal(observe(world, requeue_call(world, more)), 1);
}

static void test_a_server_that_does_not_answer(void **state)
{
	struct world *world = *state;
	int64_t before_ms = clock_mono_ms();

	assert_int_equal(kill(world->server->proc.pid, SIGSTOP), 0);
	fails(world, call_of(world, ", 'timeout': '100ms'"), ERR_TIMEOUT, "in time");
	assert_true(clock_mono_ms() - before_ms >= 90);
	assert_int_equal(kill(world->server->proc.pid, SIGCONT), 0);
	assert_int_equal(observe(world, call_of(world, "")), -1);
}

static void test_a_server_that_is_gone(void **state)
{
	struct world *world = *state;
	struct proc_result ended;

	assert_int_equal(kill(world->server->proc.pid, SIGKILL), 0);
	while (!proc_poll(&world->server->proc, &ended))
		clock_sleep_ms(5);
	fails(world, call_of(world, ""), ERR_UNREACHABLE, world->server->socket);
}

static void test_a_server_that_goes_away_in_the_middle(void **state)
{
	struct world *world = *state;
	struct redis *redis;
	redisReply *reply = NULL;
	struct redis_place place = { .socket = world->server->socket, .timeout_ms = 5000 };
	struct driver_call *call = call_of(world, "");

	assert_int_equal(redis_open(call, &place, &redis, &world->err), 0);
	assert_int_equal(kill(world->server->proc.pid, SIGKILL), 0);
	assert_int_equal(redis_call(redis, redis_words(world, "BLPOP", "nothing", "0", NULL), &reply, &world->err), -ERR_UNREACHABLE);
	assert_int_equal(redis_call(redis, redis_words(world, "PING", NULL), &reply, &world->err), -ERR_UNREACHABLE);
	redis_close(&redis);
}

static void test_a_full_server(void **state)
{
	struct world *world = *state;
	json_t *outputs = json_make(world, "{}");

	say(world, mem_printf(world, "EVAL \"redis.call('SET', 'big', string.rep('x', 200000)) redis.call('SET', 'a', '1')\" 0\n"));
	capture(world, "");
	say(world, "DEL big\nSET a 2\nCONFIG SET maxmemory 900000\n");
	assert_true(driver_redis.apply(restore_call(world, ""), outputs, &world->err) < 0);
	assert_int_equal(world->err.code, ERR_NO_SPACE);
	expect(world, "GET a", "2");
	say(world, "CONFIG SET maxmemory 0\n");
	(void)apply(world, restore_call(world, ""));
	expect(world, "GET a", "1");
	expect(world, "STRLEN big", "200000");
}

static void test_addresses(void **state)
{
	static const struct {
		const char *url, *host, *socket, *user, *password;
		int port, database, code;
	} cases[] = {
		{ "redis://localhost", "localhost", NULL, NULL, NULL, 6379, 0, 0 },
		{ "redis://cache:7000/4", "cache", NULL, NULL, NULL, 7000, 4, 0 },
		{ "redis://:p%40ss@cache", "cache", NULL, NULL, "p@ss", 6379, 0, 0 },
		{ "redis://me:a@b:c@cache:1/", "cache", NULL, "me", "a@b:c", 1, 0, 0 },
		{ "redis://[::1]:7000/1", "::1", NULL, NULL, NULL, 7000, 1, 0 },
		{ "redis://[::1]", "::1", NULL, NULL, NULL, 6379, 0, 0 },
		{ "unix:///run/redis.sock", NULL, "/run/redis.sock", NULL, NULL, 6379, 0, 0 },
		{ "unix://me:pw@/run/redis.sock?db=2", NULL, "/run/redis.sock", "me", "pw", 6379, 2, 0 },
		{ "rediss://cache", .code = ERR_UNSUPPORTED },
		{ "http://cache", .code = ERR_INVALID },
		{ "redis://", .code = ERR_INVALID },
		{ "redis://:7000", .code = ERR_INVALID },
		{ "redis://cache:port", .code = ERR_INVALID },
		{ "redis://cache:70000", .code = ERR_INVALID },
		{ "redis://cache/x", .code = ERR_INVALID },
		{ "redis://:%zz@cache", .code = ERR_INVALID },
		{ "redis://:%0@cache", .code = ERR_INVALID },
		{ "redis://[::1", .code = ERR_INVALID },
		{ "redis://[::1]x", .code = ERR_INVALID },
		{ "unix://run", .code = ERR_INVALID },
		{ "unix:///run?x=1", .code = ERR_INVALID },
	};
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct redis_place place = { .port = 6379 };
		struct err error = ERR_INIT;
		int r = redis_read_url(ctx, cases[i].url, &place, &error);

		if (r != -cases[i].code)
			fail_msg("%s: %d, expected %d", cases[i].url, r, -cases[i].code);
		if (r < 0)
			continue;
		assert_int_equal(place.port, cases[i].port);
		assert_int_equal(place.database, cases[i].database);
		assert_string_equal(place.host ? place.host : "", cases[i].host ? cases[i].host : "");
		assert_string_equal(place.socket ? place.socket : "", cases[i].socket ? cases[i].socket : "");
		assert_string_equal(place.user ? place.user : "", cases[i].user ? cases[i].user : "");
		assert_string_equal(place.password ? place.password : "", cases[i].password ? cases[i].password : "");
	}
}

/* ---- queues ---- */

static const char *const lists = ", 'queues': {'jobs': {'pending': 'jobs', 'processing': ['jobs:taken:*', 'jobs*']}}";
static const char *const stream = ", 'queues': {'events': {'stream': 'events', 'group': 'workers'}}";

static void test_requeue_of_lists(void **state)
{
	struct world *world = *state;
	json_t *outputs;

	/* 1 and 2 were taken by one worker, 3 by another; 4 and 5 wait. The right end is next. */
	say(world, "RPUSH jobs 5 4\nRPUSH jobs:taken:a 2 1\nRPUSH jobs:taken:b 3\n");
	assert_int_equal(observe(world, requeue_call(world, lists)), 0);
	assert_int_equal(json_int(json_object_get(json_object_get(world->seen.details, "queues"), "jobs"), "taken", -1), 3);
	outputs = apply(world, requeue_call(world, lists));
	assert_int_equal(json_int(outputs, "requeued", -1), 3);
	assert_int_equal(observe(world, requeue_call(world, lists)), 1);
	expect(world, "EXISTS jobs:taken:a jobs:taken:b", "0");
	expect(world, "LLEN jobs", "5");
	expect(world, "LRANGE jobs 0 1", "5\n4");
	outputs = apply(world, requeue_call(world, lists)); /* again */
	assert_int_equal(json_int(outputs, "requeued", -1), 0);
	expect(world, "LLEN jobs", "5");
}

static void test_order_of_requeued(void **state)
{
	struct world *world = *state;

	say(world, "RPUSH jobs 5 4 3 2 1\nLMOVE jobs jobs:taken:a RIGHT LEFT\nLMOVE jobs jobs:taken:a RIGHT LEFT\n");
	(void)apply(world, requeue_call(world, lists));
	expect(world, "LRANGE jobs 0 -1", "5\n4\n3\n2\n1");
	say(world, "DEL jobs\nRPUSH jobs 1 2 3\nLMOVE jobs jobs:taken:a LEFT RIGHT\nLMOVE jobs jobs:taken:a LEFT RIGHT\n");
	(void)apply(world, requeue_call(world, ", 'queues': {'jobs': {'pending': 'jobs', 'processing': 'jobs:taken:*', 'takes': 'left'}}"));
	expect(world, "LRANGE jobs 0 -1", "1\n2\n3");
}

static void test_requeue_of_a_stream(void **state)
{
	struct world *world = *state;
	json_t *outputs;

	say(world,
		"XADD events 1-1 job a\nXADD events 1-2 job b\nXADD events 1-3 job c\nXGROUP CREATE events workers 0\nXREADGROUP GROUP workers ann COUNT 2 STREAMS events >\nXACK events workers 1-1\n");
	assert_int_equal(observe(world, requeue_call(world, stream)), 0);
	outputs = apply(world, requeue_call(world, stream));
	assert_int_equal(json_int(outputs, "requeued", -1), 1);
	assert_int_equal(observe(world, requeue_call(world, stream)), 1);
	expect(world,
		"EVAL \"local out = {} for _, e in ipairs(redis.call('XREADGROUP', 'GROUP', 'workers', 'bob', 'STREAMS', 'events', '>')[1][2]) do out[#out + 1] = e[2][2] end return table.concat(out, ' ')\" 0",
		"c b");
	say(world, "XGROUP CREATE events others 0\n");
	assert_true(driver_redis.apply(requeue_call(world, stream), json_make(world, "{}"), &world->err) < 0);
	assert_non_null(strstr(world->err.text, "several groups"));
}

static void test_queues_that_cannot_be(void **state)
{
	static const char *const wrong[] = {
		", 'queues': {'jobs': {}}",
		", 'queues': {'jobs': {'pending': 'a'}}",
		", 'queues': {'jobs': {'pending': 'a', 'processing': 'a'}}",
		", 'queues': {'jobs': {'pending': 'a', 'processing': 'b', 'stream': 'c', 'group': 'd'}}",
		", 'queues': {'jobs': {'pending': 'a', 'prosessing': 'b'}}",
	};
	struct world *world = *state;
	struct driver_call *call;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		fails(world, requeue_call(world, wrong[i]), ERR_INVALID, "jobs");
	call = requeue_call(world, lists);
	call->target = worker_json(world, "{'action': 'requeue', 'queues': ['mail']}");
	assert_int_equal(driver_redis.apply(call, json_make(world, "{}"), &world->err), -ERR_NOT_FOUND);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_type_comes_back),
		TEST(test_every_difference_is_seen),
		TEST(test_only_its_keys),
		TEST(test_by_pattern),
		TEST(test_expired_keys_stay_away),
		TEST(test_the_ledger),
		TEST(test_a_damaged_copy_is_refused),
		TEST(test_a_newer_copy_is_refused),
		cmocka_unit_test_setup_teardown(test_passwords, begin_with_password, end),
		cmocka_unit_test_setup_teardown(test_least_rights, begin_with_rights, end),
		TEST(test_a_server_that_does_not_answer),
		TEST(test_a_server_that_is_gone),
		TEST(test_a_server_that_goes_away_in_the_middle),
		cmocka_unit_test_setup_teardown(test_a_full_server, begin_small, end),
		cmocka_unit_test(test_addresses),
		TEST(test_requeue_of_lists),
		TEST(test_order_of_requeued),
		TEST(test_requeue_of_a_stream),
		TEST(test_queues_that_cannot_be),
	};

	json_setup();
	hash_setup();
	(void)signal(SIGPIPE, SIG_IGN); /* as host_main does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
