/* The HTTP client against a server of the test itself. */
#include "checks.h"

#include "base/fs.h"
#include "http_server.h"
#include "net/http.h"

struct world {
	struct http_server server;
	void *ctx;
};

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	world->ctx = mem_context(world);
	http_server_start(&world->server, NULL);
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

static int get(struct world *world, const char *path, int64_t timeout_ms, struct http_response *ret, struct err *err)
{
	struct http_request request = { .url = http_server_url(&world->server, world->ctx, path),
		.timeout_ms = timeout_ms,
		.local_ok = true };

	return http_request(world->ctx, &request, ret, err);
}

static void test_get(void **state)
{
	struct world *world = *state;
	struct http_response response;
	struct err err = ERR_INIT;

	assert_int_equal(get(world, "/ok", 5000, &response, &err), 0);
	assert_int_equal(response.status, 200);
	assert_string_equal(response.body, "all is well");
	assert_int_equal(response.body_size, 11);
	assert_string_equal(response.content_type, "text/plain");
	assert_int_equal(get(world, "/status/503", 5000, &response, &err), 0);
	assert_int_equal(response.status, 503);
	assert_int_equal(get(world, "/status/204", 5000, &response, &err), 0);
	assert_int_equal(response.status, 204);
}

static void test_post(void **state)
{
	struct world *world = *state;
	const char *headers[] = { "X-One: 1", "Content-Type: application/json", NULL };
	struct http_request request = { .headers = headers, .body = "{\"a\":1}", .body_size = 7, .timeout_ms = 5000, .local_ok = true };
	struct http_response response;
	struct err err = ERR_INIT;

	request.url = http_server_url(&world->server, world->ctx, "/echo?q=1");
	assert_int_equal(http_request(world->ctx, &request, &response, &err), 0);
	assert_true(strncmp(response.body, "POST /echo?q=1 HTTP/1.1\r\n", 25) == 0);
	assert_non_null(strstr(response.body, "\r\nX-One: 1\r\n"));
	assert_non_null(strstr(response.body, "\r\nUser-Agent: unship/"));
	assert_null(strstr(response.body, "Expect:"));
	assert_non_null(strstr(response.body, "\r\n\r\n{\"a\":1}"));

	request = (struct http_request){ .method = "PUT", .url = request.url, .timeout_ms = 5000, .local_ok = true };
	assert_int_equal(http_request(world->ctx, &request, &response, &err), 0);
	assert_true(strncmp(response.body, "PUT ", 4) == 0);
	request.method = "HEAD";
	assert_int_equal(http_request(world->ctx, &request, &response, &err), 0);
	assert_int_equal(response.body_size, 0);
}

static void test_time_limit(void **state)
{
	struct world *world = *state;
	struct http_response response;
	struct err err = ERR_INIT;

	assert_int_equal(get(world, "/hang", 200, &response, &err), -ERR_TIMEOUT);
	assert_non_null(strstr(err.text, "200ms"));
	assert_non_null(strstr(err.text, "connected"));
	assert_int_equal(get(world, "/drip", 200, &response, &err), -ERR_TIMEOUT);
}

static void test_size_limit(void **state)
{
	struct world *world = *state;
	struct http_response response;
	struct err err = ERR_INIT;
	struct http_request request = { .timeout_ms = 5000, .local_ok = true, .response_max = 11 };

	assert_int_equal(get(world, "/huge", 5000, &response, &err), -ERR_TOO_LARGE);
	assert_non_null(strstr(err.text, "1 MiB"));
	assert_int_equal(get(world, "/huge-declared", 5000, &response, &err), -ERR_TOO_LARGE);
	request.url = http_server_url(&world->server, world->ctx, "/ok");
	assert_int_equal(http_request(world->ctx, &request, &response, &err), 0);
	request.response_max = 10;
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_TOO_LARGE);
}

static void test_redirect_is_not_followed(void **state)
{
	struct world *world = *state;
	struct http_response response;
	struct err err = ERR_INIT;

	assert_int_equal(get(world, "/redirect", 5000, &response, &err), 0);
	assert_int_equal(response.status, 302);
	assert_int_equal(world->server.requests, 1);
}

static void test_address_policy(void **state)
{
	struct world *world = *state;
	struct http_request request = { .timeout_ms = 5000, .local_ok = true };
	struct http_response response;
	struct err err = ERR_INIT;

	request.url = "http://169.254.169.254/latest/meta-data/";
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_REFUSED);
	request.url = "http://[::ffff:169.254.169.254]/";
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_REFUSED);
	request.url = "http://2852039166/"; /* 169.254.169.254 as one number */
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_REFUSED);
	request.local_ok = false;
	request.url = http_server_url(&world->server, world->ctx, "/ok");
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_REFUSED);
	assert_non_null(strstr(err.text, "127.0.0.1"));
	assert_int_equal(world->server.requests, 0);
}

static void test_failures_in_words(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int held = -1;
	struct http_request request = { .timeout_ms = 5000, .local_ok = true };
	struct http_response response;
	struct err err = ERR_INIT;

	request.url = mem_printf(world->ctx, "http://user:hidden@127.0.0.1:%u/private?key=hidden", closed_port(&held));
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_UNREACHABLE);
	assert_non_null(strstr(err.text, "connection refused"));
	assert_non_null(strstr(err.text, "http://127.0.0.1:"));
	assert_null(strstr(err.text, "hidden"));
	assert_null(strstr(err.text, "private"));
	assert_int_equal(get(world, "/close", 5000, &response, &err), -ERR_UNREACHABLE);
	assert_non_null(strstr(err.text, "without an answer"));
	assert_int_equal(get(world, "/garbage", 5000, &response, &err), -ERR_UNREACHABLE);
	assert_non_null(strstr(err.text, "does not speak HTTP"));
	request.url = mem_printf(world->ctx, "https://127.0.0.1:%u/", world->server.port);
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_UNREACHABLE);
}

static void test_bad_input(void **state)
{
	struct world *world = *state;
	static const char *const urls[] = { "", "example.com", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "http://",
		"http://a b/", "http://127.0.0.1/\r\nX: 1" };
	const char *split[] = { "X: 1\r\nY: 2", NULL }, *nameless[] = { ": 1", NULL }, *no_colon[] = { "X", NULL };
	struct http_request request = { .timeout_ms = 1000, .local_ok = true };
	struct http_response response;
	struct err err = ERR_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(urls); i++) {
		request.url = urls[i];
		if (http_request(world->ctx, &request, &response, &err) != -ERR_INVALID)
			fail_msg("'%s': %s", urls[i], err.text);
	}
	request.url = http_server_url(&world->server, world->ctx, "/ok");
	request.headers = split;
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_INVALID);
	request.headers = nameless;
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_INVALID);
	request.headers = no_colon;
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_INVALID);
	request.headers = NULL;
	request.method = "GET / HTTP/1.1\r\nX:";
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_INVALID);
	assert_int_equal(world->server.requests, 0);
}

static void test_unix_socket(void **state)
{
	struct world *world = *state;
	char folder[] = "/tmp/unship-http-XXXXXX";
	struct http_server server;
	struct http_request request = { .url = "http://localhost/ok", .timeout_ms = 5000 };
	struct http_response response;
	struct err err = ERR_INIT;

	assert_non_null(mkdtemp(folder));
	request.unix_socket = mem_printf(world->ctx, "%s/socket", folder);
	http_server_start(&server, request.unix_socket);
	assert_int_equal(http_request(world->ctx, &request, &response, &err), 0);
	assert_int_equal(response.status, 200);
	http_server_stop(&server);
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_UNREACHABLE);
	assert_int_equal(fs_remove_tree(folder, &err), 0);
}

/* What `take` was given, and what stops it. */
struct taking {
	size_t bytes, enough;
	bool interrupted;
};

static int take(void *user, const char *bytes, size_t size)
{
	struct taking *taking = user;

	taking->bytes += size;
	return taking->bytes >= taking->enough;
}

static bool is_interrupted(void *user)
{
	return ((struct taking *)user)->interrupted;
}

static void test_answer_without_an_end(void **state)
{
	struct world *world = *state;
	struct taking taking = { .enough = 3 };
	struct http_request request = { .take = take, .interrupted = is_interrupted, .user = &taking, .local_ok = true };
	struct http_response response;
	struct err err = ERR_INIT;

	request.url = http_server_url(&world->server, world->ctx, "/drip");
	assert_int_equal(http_request(world->ctx, &request, &response, &err), 0);
	assert_true(taking.bytes >= 3);
	assert_int_equal(response.status, 200);
	assert_int_equal(response.body_size, 0);

	/* More than the limit of an answer that is kept, and ended by a word. */
	taking = (struct taking){ .enough = (size_t)3 << 20 };
	request.url = http_server_url(&world->server, world->ctx, "/huge");
	assert_int_equal(http_request(world->ctx, &request, &response, &err), 0);
	assert_true(taking.bytes >= (size_t)3 << 20);

	/* What is no 2xx is an answer as any other. */
	request.url = http_server_url(&world->server, world->ctx, "/status/503");
	taking.bytes = 0;
	assert_int_equal(http_request(world->ctx, &request, &response, &err), 0);
	assert_int_equal(response.status, 503);
	assert_string_equal(response.body, "status");
	assert_int_equal(taking.bytes, 0);
}

static void test_silence_and_interruption(void **state)
{
	struct world *world = *state;
	struct taking taking = { .enough = 100 };
	struct http_request request = { .take = take, .interrupted = is_interrupted, .user = &taking, .local_ok = true, .quiet_ms = 100 };
	struct http_response response;
	struct err err = ERR_INIT;

	request.url = http_server_url(&world->server, world->ctx, "/hang");
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_TIMEOUT);
	assert_non_null(strstr(err.text, "nothing came for 100ms"));
	taking.interrupted = true;
	request.quiet_ms = 0;
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_CANCELLED);
}

static void test_headers_of_the_answer(void **state)
{
	struct world *world = *state;
	struct http_response response, nothing = { 0 };
	struct err err = ERR_INIT;

	assert_int_equal(get(world, "/ok", 5000, &response, &err), 0);
	assert_string_equal(http_response_header(&response, "content-type"), "text/plain");
	assert_null(http_response_header(&response, "content"));
	assert_null(http_response_header(&response, "Retry-After"));
	assert_null(http_response_header(&nothing, "Content-Type"));
}

/* Whoever repeats a request must know whether the former one may have arrived. */
static void test_whether_it_was_sent(void **state)
{
	struct world *world = *state;
	bool sent = false;
	struct http_request request = { .timeout_ms = 5000, .local_ok = true, .ret_sent = &sent };
	struct http_response response;
	struct err err = ERR_INIT;
	int fd;

	request.url = mem_printf(world->ctx, "http://127.0.0.1:%u/", closed_port(&fd));
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_UNREACHABLE);
	assert_false(sent);
	(void)close(fd);
	request.url = http_server_url(&world->server, world->ctx, "/close");
	assert_int_equal(http_request(world->ctx, &request, &response, &err), -ERR_UNREACHABLE);
	assert_true(sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_post, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_time_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_size_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_redirect_is_not_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_address_policy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failures_in_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_input, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unix_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_answer_without_an_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silence_and_interruption, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_headers_of_the_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_whether_it_was_sent, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
