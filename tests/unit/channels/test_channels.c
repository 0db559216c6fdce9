/* The channels: what a receiver gets, and which failures may go better later. */
#include "checks.h"

#include "base/clock.h"
#include "channels/list.h"
#include "data/hash.h"
#include "data/json.h"
#include "http_server.h"
#include "worker_call.h"

struct world {
	struct http_server server;
	struct message message;
};

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	http_server_start(&world->server, NULL);
	world->message = (struct message){ .id = "ntf-1",
		.event = "failed",
		.text = "It \"failed\"\n",
		.environment = "production",
		.run_id = "run-1",
		.wall_ms = 1795236813120,
		.details = worker_json(world, "{'step': 'api'}") };
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	http_server_stop(&world->server);
	talloc_free(world);
	return 0;
}

/* `config` with "%s" for the URL of `path`. */
static int deliver(struct world *world, const char *config, const char *path, struct err *err)
{
	char *url = http_server_url(&world->server, world, path);
	const char *at = strstr(config, "%s");
	char *text = at ? mem_printf(world, "%.*s%s%s", (int)(at - config), config, url, at + 2) : mem_strdup(world, config);
	struct driver_call *call = worker_call(world, channel_webhook.fields, channel_webhook.params_size, "/tmp", text);

	*err = ERR_INIT;
	return channel_webhook.deliver(call, &world->message, url, err);
}

static void test_webhook_content(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;
	char *request, *body;
	json_t *content;

	if (deliver(world, "{'recipients': ['%s']}", "/ok", &err) < 0)
		fail_msg("%s", err.text);
	request = http_server_last(&world->server, world);
	assert_true(strncmp(request, "POST /ok ", 9) == 0);
	assert_non_null(strstr(request, "\r\nIdempotency-Key: \"ntf-1\"\r\n"));
	assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(request, "X-Unship-Signature"));
	body = strstr(request, "\r\n\r\n") + 4;
	assert_int_equal(json_parse(world, body, strlen(body), 65536, &content, &err), 0);
	assert_string_equal(json_str(content, "id", ""), "ntf-1");
	assert_string_equal(json_str(content, "event", ""), "failed");
	assert_string_equal(json_str(content, "text", ""), "It \"failed\"\n");
	assert_string_equal(json_str(content, "environment", ""), "production");
	assert_string_equal(json_str(content, "runId", ""), "run-1");
	assert_string_equal(json_str(content, "timestamp", ""), "2026-11-21T04:53:33.120Z");
	assert_string_equal(json_str(json_object_get(content, "details"), "step", ""), "api");
}

static void test_webhook_signature(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;
	char *request, sum[HASH_HEX_SIZE];

	setenv("UNSHIP_TEST_SECRET", "quite secret", 1);
	assert_int_equal(deliver(world, "{'recipients': '%s', 'secret': {'env': 'UNSHIP_TEST_SECRET'}}", "/ok", &err), 0);
	request = http_server_last(&world->server, world);
	hash_hmac_sha256_hex("quite secret", 12, strstr(request, "\r\n\r\n") + 4, strlen(strstr(request, "\r\n\r\n") + 4), sum);
	assert_non_null(strstr(request, mem_printf(world, "\r\nX-Unship-Signature: sha256=%s\r\n", sum)));
	assert_null(strstr(request, "quite secret"));
	assert_int_equal(deliver(world, "{'recipients': '%s', 'secret': {'env': 'UNSHIP_NOT_SET'}}", "/ok", &err), -ERR_NOT_FOUND);
	assert_int_equal(world->server.requests, 1);
	/* RFC 4231, test case 2 */
	hash_hmac_sha256_hex("Jefe", 4, "what do ya want for nothing?", 28, sum);
	assert_string_equal(sum, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void test_webhook_answers(void **state)
{
	static const struct {
		const char *path;
		int code;
	} rows[] = { { "/status/200", 0 }, { "/status/202", 0 }, { "/status/204", 0 }, { "/status/429", -ERR_UNREACHABLE },
		{ "/status/408", -ERR_UNREACHABLE }, { "/status/500", -ERR_UNREACHABLE }, { "/status/503", -ERR_UNREACHABLE },
		{ "/status/400", -ERR_INVALID }, { "/status/404", -ERR_INVALID }, { "/status/410", -ERR_INVALID },
		{ "/redirect", -ERR_INVALID }, { "/close", -ERR_UNREACHABLE } };
	struct world *world = *state;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (deliver(world, "{'recipients': ['%s']}", rows[i].path, &err) != rows[i].code)
			fail_msg("%s: %s", rows[i].path, err.text);
	assert_int_equal(deliver(world, "{'recipients': ['%s']}", "/status/404?key=hidden", &err), -ERR_INVALID);
	assert_null(strstr(err.text, "hidden"));
}

static void test_webhook_time_limit(void **state)
{
	struct world *world = *state;
	char *url = http_server_url(&world->server, world, "/hang");
	struct driver_call *call = worker_call(world, channel_webhook.fields, channel_webhook.params_size, "/tmp", "{'local': true}");
	struct err err = ERR_INIT;

	call->deadline_ms = clock_mono_ms() + 200;
	assert_int_equal(channel_webhook.deliver(call, &world->message, url, &err), -ERR_TIMEOUT);
}

static void test_webhook_addresses(void **state)
{
	struct world *world = *state;
	struct driver_call *call = worker_call(world, channel_webhook.fields, channel_webhook.params_size, "/tmp", "{'local': true}");
	struct err err;

	assert_int_equal(deliver(world, "{}", "/ok", &err), -ERR_REFUSED);
	assert_int_equal(deliver(world, "{'recipients': ['%s/other']}", "/ok", &err), -ERR_REFUSED);
	assert_int_equal(world->server.requests, 0);
	assert_int_equal(deliver(world, "{'local': true}", "/ok", &err), 0);
	assert_int_equal(channel_webhook.deliver(call, &world->message, "http://169.254.169.254/", &err), -ERR_REFUSED);
}

static void test_recipients(void **state)
{
	static const char *const bad[] = { "", "ops", "mailto:a@b", "ftp://a", "http://", "https:///x", "https://a b", "https://a\n",
		"file:///etc/passwd" };
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(channel_webhook.check_recipient(bad[i], &err), -ERR_INVALID);
	assert_int_equal(channel_webhook.check_recipient("https://example.com/hook", &err), 0);
	assert_int_equal(channel_webhook.check_recipient("http://127.0.0.1:80", &err), 0);
	assert_int_equal(channel_in_app.check_recipient("ops team", &err), 0);
	assert_int_equal(channel_in_app.check_recipient("", &err), -ERR_INVALID);
	assert_int_equal(channel_in_app.check_recipient("\xff", &err), -ERR_INVALID);
}

static void test_in_app(void **state)
{
	struct world *world = *state;
	struct driver_call *call = worker_call(world, channel_in_app.fields, channel_in_app.params_size, "/tmp", "{}");
	struct err err = ERR_INIT;

	assert_int_equal(channel_in_app.deliver(call, &world->message, "ops", &err), 0);
	assert_int_equal(channel_in_app.deliver(call, &world->message, "", &err), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_webhook_content, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_webhook_signature, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_webhook_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_webhook_time_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_webhook_addresses, set_up, tear_down),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test_setup_teardown(test_in_app, set_up, tear_down),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
