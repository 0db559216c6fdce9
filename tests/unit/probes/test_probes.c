/* The probes against what they look at: a server, ports, processes and programs of the test itself, and real monitoring plugins where
 * they are installed. */
#include <errno.h>
#include "checks.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "data/json.h"
#include "http_server.h"
#include "probes/list.h"
#include "worker_call.h"

struct world {
	struct http_server server;
	char folder[32];
};

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-probe-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	http_server_start(&world->server, NULL);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;

	http_server_stop(&world->server);
	assert_int_equal(fs_remove_tree(world->folder, &err), 0);
	talloc_free(world);
	return 0;
}

/* Runs a probe with "%u" of the configuration replaced by `number`. Result's strings live in world. */
static int run(struct world *world, const struct probe *probe, const char *config, unsigned number, int64_t limit_ms,
	struct probe_result *ret, struct err *err)
{
	const char *at = strstr(config, "%u");
	char *text = at ? mem_printf(world, "%.*s%u%s", (int)(at - config), config, number, at + 2) : mem_strdup(world, config);
	struct driver_call *call = worker_call(world, probe->fields, probe->params_size, world->folder, text);

	call->deadline_ms = clock_mono_ms() + limit_ms;
	*ret = (struct probe_result){ .status = PROBE_FAIL };
	return probe->run(call, ret, err);
}

static void expect(struct world *world, const struct probe *probe, const char *config, unsigned number, enum probe_status status,
	const char *part)
{
	struct probe_result result;
	struct err err = ERR_INIT;

	if (run(world, probe, config, number, 5000, &result, &err) < 0)
		fail_msg("%s: %s", config, err.text);
	if (result.status != status || !strstr(result.message, part))
		fail_msg("%s: status %d, '%s'", config, result.status, result.message);
}

static void test_http(void **state)
{
	struct world *world = *state;
	unsigned port = world->server.port;
	struct probe_result result;
	struct err err = ERR_INIT;

	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/ok'}", port, PROBE_PASS, "answered 200");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/ok', 'contains': 'is well'}", port, PROBE_PASS, "200");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/ok', 'contains': 'is ill'}", port, PROBE_FAIL, "without 'is ill'");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/status/500'}", port, PROBE_FAIL, "answered 500");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/status/404'}", port, PROBE_FAIL, "answered 404");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/redirect'}", port, PROBE_PASS, "answered 302");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/status/404', 'expectStatus': 404}", port, PROBE_PASS, "404");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/status/404', 'expectStatus': [200, '400-403', '4xx']}", port, PROBE_PASS,
		"404");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/status/404', 'expectStatus': '200, 410-420'}", port, PROBE_FAIL, "404");
	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/after/150', 'warnAbove': '100ms'}", port, PROBE_WARN, "slower than 100ms");
	assert_int_equal(run(world, &probe_http, "{'url': 'http://127.0.0.1:%u/ok'}", port, 5000, &result, &err), 0);
	assert_int_equal(json_int(result.details, "httpStatus", 0), 200);
	assert_true(json_is_integer(json_object_get(result.details, "latencyMs")));
}

static void test_http_bad(void **state)
{
	struct world *world = *state;
	struct probe_result result;
	struct err err = ERR_INIT;
	_cleanup_close_ int held = -1;
	unsigned closed = closed_port(&held);

	expect(world, &probe_http, "{'url': 'http://127.0.0.1:%u/ok'}", closed, PROBE_FAIL, "connection refused");
	expect(world, &probe_http, "{'url': 'http://169.254.169.254/'}", 0, PROBE_FAIL, "sends no request");
	assert_int_equal(run(world, &probe_http, "{'url': 'http://127.0.0.1:%u/hang'}", world->server.port, 200, &result, &err), 0);
	assert_int_equal(result.status, PROBE_FAIL);
	assert_non_null(strstr(result.message, "no complete answer within"));
	assert_int_equal(run(world, &probe_http, "{'url': 'ftp://a/'}", 0, 1000, &result, &err), -ERR_INVALID);
	assert_int_equal(run(world, &probe_http, "{'url': 'http://a/', 'expectStatus': 'fine'}", 0, 1000, &result, &err), -ERR_INVALID);
	assert_int_equal(run(world, &probe_http, "{'url': 'http://a/', 'expectStatus': '399-200'}", 0, 1000, &result, &err), -ERR_INVALID);
}

static void test_http_headers(void **state)
{
	struct world *world = *state;
	struct probe_result result;
	struct err err = ERR_INIT;

	setenv("UNSHIP_TEST_TOKEN", "Bearer s3cret-token", 1);
	expect(world, &probe_http,
		"{'url': 'http://127.0.0.1:%u/ok', 'headers': {'Authorization': {'env': 'UNSHIP_TEST_TOKEN'}, 'X-Count': 3}}",
		world->server.port, PROBE_PASS, "200");
	assert_non_null(strstr(http_server_last(&world->server, world), "\r\nAuthorization: Bearer s3cret-token\r\n"));
	assert_non_null(strstr(http_server_last(&world->server, world), "\r\nX-Count: 3\r\n"));
	assert_int_equal(run(world, &probe_http, "{'url': 'http://127.0.0.1:%u/ok', 'headers': {'A': {'env': 'UNSHIP_NOT_SET'}}}",
				 world->server.port, 1000, &result, &err),
		-ERR_NOT_FOUND);
	assert_int_equal(run(world, &probe_http, "{'url': 'http://127.0.0.1:%u/ok', 'headers': {'A': ['x']}}", world->server.port, 1000,
				 &result, &err),
		-ERR_INVALID);
}

static void test_tcp(void **state)
{
	struct world *world = *state;
	struct probe_result result;
	struct err err = ERR_INIT;
	_cleanup_close_ int held = -1;
	unsigned closed = closed_port(&held);
	static const char *const bad[] = { "{}", "{'host': 'a'}", "{'address': 'a'}", "{'address': ':1'}", "{'address': 'a:'}",
		"{'address': 'a:0'}", "{'address': '::1:80'}", "{'address': 'a:80', 'port': 80}" };

	expect(world, &probe_tcp, "{'port': %u}", world->server.port, PROBE_PASS, "accepts connections");
	expect(world, &probe_tcp, "{'host': 'localhost', 'port': %u}", world->server.port, PROBE_PASS, "accepts");
	expect(world, &probe_tcp, "{'address': '127.0.0.1:%u'}", world->server.port, PROBE_PASS, "accepts");
	expect(world, &probe_tcp, "{'port': %u}", closed, PROBE_FAIL, "connection refused");
	expect(world, &probe_tcp, "{'address': '[::1]:%u'}", closed, PROBE_FAIL, "");
	expect(world, &probe_tcp, "{'host': '169.254.169.254', 'port': 80}", 0, PROBE_FAIL, "sends nothing");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (run(world, &probe_tcp, bad[i], 0, 1000, &result, &err) != -ERR_INVALID)
			fail_msg("%s was taken", bad[i]);
}

static void write_file(struct world *world, const char *name, const char *text, mode_t mode)
{
	_cleanup_talloc_ char *path = fs_join(NULL, world->folder, name);
	struct err err = ERR_INIT;

	assert_int_equal(fs_write_atomic(path, text, strlen(text), mode, &err), 0);
}

static void test_process(void **state)
{
	struct world *world = *state;
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	expect(world, &probe_process, "{'pidFile': 'pid'}", 0, PROBE_FAIL, "was not started");
	write_file(world, "pid", mem_printf(world, "%d\n", (int)pid), 0644);
	expect(world, &probe_process, "{'pidFile': 'pid'}", 0, PROBE_PASS, "runs");
	expect(world, &probe_process, mem_printf(world, "{'pidFile': 'pid', 'name': '%s'}", program_invocation_short_name), 0, PROBE_PASS,
		"runs");
	expect(world, &probe_process, "{'pidFile': 'pid', 'name': 'nginx'}", 0, PROBE_FAIL, "not 'nginx'");
	write_file(world, "pid", mem_printf(world, "{\"pid\":%d,\"startTime\":%llu}", (int)pid, (unsigned long long)proc_start_time(pid)),
		0644);
	expect(world, &probe_process, "{'pidFile': 'pid'}", 0, PROBE_PASS, "runs");
	write_file(world, "pid",
		mem_printf(world, "{\"pid\":%d,\"startTime\":%llu}", (int)pid, (unsigned long long)proc_start_time(pid) - 1), 0644);
	expect(world, &probe_process, "{'pidFile': 'pid'}", 0, PROBE_FAIL, "given to another");
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	write_file(world, "pid", mem_printf(world, "%d", (int)pid), 0644);
	expect(world, &probe_process, "{'pidFile': 'pid'}", 0, PROBE_FAIL, "does not run");
	write_file(world, "pid", "soon", 0644);
	expect(world, &probe_process, "{'pidFile': 'pid'}", 0, PROBE_FAIL, "holds no pid");
	write_file(world, "pid", "{\"startTime\":4}", 0644);
	expect(world, &probe_process, "{'pidFile': 'pid'}", 0, PROBE_FAIL, "holds no pid");
}

static void test_exec(void **state)
{
	struct world *world = *state;
	struct probe_result result;
	struct err err = ERR_INIT;
	json_t *item;

	write_file(world, "check", "#!/bin/sh\necho \"$2 | load=0.5;1;2;0\"\necho more\nexit $1\n", 0755);
	expect(world, &probe_exec, "{'argv': ['./check', '0', 'LOAD OK']}", 0, PROBE_PASS, "LOAD OK");
	expect(world, &probe_exec, "{'argv': ['./check', '1', 'LOAD WARNING']}", 0, PROBE_WARN, "LOAD WARNING");
	expect(world, &probe_exec, "{'argv': ['./check', '2', 'LOAD CRITICAL']}", 0, PROBE_FAIL, "LOAD CRITICAL");
	expect(world, &probe_exec, "{'argv': ['./check', '3', 'LOAD UNKNOWN']}", 0, PROBE_FAIL, "LOAD UNKNOWN");
	expect(world, &probe_exec, "{'argv': ['./check', '127', 'x']}", 0, PROBE_FAIL, "exit code 127");
	expect(world, &probe_exec, "{'argv': ['true']}", 0, PROBE_PASS, "well");
	assert_int_equal(run(world, &probe_exec, "{'argv': ['./check', '0', 'OK']}", 0, 5000, &result, &err), 0);
	assert_string_equal(result.message, "OK");
	assert_string_equal(json_str(result.details, "longText", ""), "more");
	item = json_array_get(json_object_get(result.details, "perfdata"), 0);
	assert_string_equal(json_str(item, "label", ""), "load");
	assert_string_equal(json_str(item, "crit", ""), "2");
	assert_int_equal(run(world, &probe_exec, "{'argv': ['no-such-program-here']}", 0, 1000, &result, &err), -ERR_NOT_FOUND);
}

static void test_exec_limits(void **state)
{
	struct world *world = *state;
	struct probe_result result;
	struct err err = ERR_INIT;

	write_file(world, "hang", "#!/bin/sh\ntrap '' TERM\nsleep 60 &\nwait\nsleep 60\n", 0755);
	assert_int_equal(run(world, &probe_exec, "{'argv': ['./hang']}", 0, 300, &result, &err), 0);
	assert_int_equal(result.status, PROBE_FAIL);
	assert_non_null(strstr(result.message, "no result within"));
	write_file(world, "kill", "#!/bin/sh\nkill -9 $$\n", 0755);
	expect(world, &probe_exec, "{'argv': ['./kill']}", 0, PROBE_FAIL, "signal 9");
	write_file(world, "flood", "#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' x\n", 0755);
	expect(world, &probe_exec, "{'argv': ['./flood']}", 0, PROBE_PASS, "xxxx");
}

#define PLUGINS "/usr/lib/nagios/plugins/"

static void test_real_plugins(void **state)
{
	struct world *world = *state;
	struct probe_result result;
	struct err err = ERR_INIT;
	_cleanup_close_ int held = -1;
	unsigned closed = closed_port(&held);
	json_t *item;

	if (!fs_exists(PLUGINS "check_dummy") || !fs_exists(PLUGINS "check_http") || !fs_exists(PLUGINS "check_tcp"))
		skip();
	expect(world, &probe_exec, "{'argv': ['" PLUGINS "check_dummy', '0', 'fine']}", 0, PROBE_PASS, "OK: fine");
	expect(world, &probe_exec, "{'argv': ['" PLUGINS "check_dummy', '1', 'hm']}", 0, PROBE_WARN, "WARNING: hm");
	expect(world, &probe_exec, "{'argv': ['" PLUGINS "check_dummy', '2']}", 0, PROBE_FAIL, "CRITICAL");
	expect(world, &probe_exec, "{'argv': ['" PLUGINS "check_dummy', '3']}", 0, PROBE_FAIL, "UNKNOWN");
	expect(world, &probe_exec, "{'argv': ['" PLUGINS "check_http', '-H', '127.0.0.1', '-p', '%u', '-u', '/status/503']}",
		world->server.port, PROBE_FAIL, "503");
	expect(world, &probe_exec, "{'argv': ['" PLUGINS "check_tcp', '-H', '127.0.0.1', '-p', '%u']}", closed, PROBE_FAIL, "refused");
	assert_int_equal(run(world, &probe_exec, "{'argv': ['" PLUGINS "check_http', '-H', '127.0.0.1', '-p', '%u', '-u', '/ok']}",
				 world->server.port, 5000, &result, &err),
		0);
	assert_int_equal(result.status, PROBE_PASS);
	item = json_array_get(json_object_get(result.details, "perfdata"), 0);
	assert_string_equal(json_str(item, "label", ""), "time");
	assert_string_equal(json_str(item, "unit", ""), "s");
	assert_true(json_is_number(json_object_get(item, "value")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_http, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http_bad, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http_headers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tcp, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_process, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exec, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exec_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_real_plugins, set_up, tear_down),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
