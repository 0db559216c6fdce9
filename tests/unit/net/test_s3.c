/* Objects in an S3-compatible store, as far as no store is needed: listings, keys, what a request looks like, what failures say. tests/scenario/snapshot-copy.test.mjs has a store that checks signatures. */
#include "checks.h"

#include "data/hash.h"
#include "data/json.h"
#include "http_server.h"
#include "net/s3.h"

#define SECRET "a secret that nobody may see"
#define LIST(content) \
	"<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" content "</ListBucketResult>"
#define KEY(name) "<Contents><Key>" name "</Key><Size>1</Size></Contents>"

static void expect_list(const char *xml, const char *expected, const char *expected_token)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *joined = mem_strdup(ctx, "");
	struct err error = ERR_INIT;
	const char **keys, *token;

	assert_ok(s3_read_list(ctx, xml, strlen(xml), &keys, &token, &error));
	for (; *keys; keys++)
		joined = mem_appendf(joined, "%s;", *keys);
	assert_string_equal(joined, expected);
	assert_string_equal(token, expected_token);
}

static void test_listings(unused_arg void **state)
{
	expect_list(LIST(""), "", "");
	expect_list("<ListBucketResult/>", "", "");
	expect_list(LIST("<Name>b</Name><IsTruncated>false</IsTruncated>" KEY("a/b-1.c") KEY("d_2")), "a/b-1.c;d_2;", "");
	expect_list(LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>1/x+y==</NextContinuationToken>" KEY("a")), "a;",
		"1/x+y==");
	expect_list(LIST("<NextContinuationToken>left over</NextContinuationToken>" KEY("a")), "a;", "");
	/* a key of others is none of ours, and does not end the list */
	expect_list(
		LIST(KEY("a") KEY("b c") KEY("&lt;d&gt;") KEY("") KEY("e%2Ff") KEY("../f") KEY("/f") KEY("g\nh") KEY("\xc3\xa4") KEY("z")),
		"a;z;", "");
	expect_list(LIST(KEY("a") "<Contents><Key>never closed"), "a;", "");
}

static void test_refused_listings(unused_arg void **state)
{
	static const char *const bad[] = { "", "<html>200 OK</html>", "<Error><Code>NoSuchBucket</Code></Error>",
		LIST("<IsTruncated>true</IsTruncated>" KEY("a")),
		LIST("<IsTruncated>true</IsTruncated><NextContinuationToken></NextContinuationToken>") };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		const char **keys = NULL, *token = NULL;
		struct err error = ERR_INIT;

		assert_fails(s3_read_list(ctx, bad[i], strlen(bad[i]), &keys, &token, &error), ERR_INVALID);
		assert_null(keys);
		assert_null(token);
	}
}

static void test_listing_without_end(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *xml = mem_strdup(ctx, "<ListBucketResult>");
	const char **keys, *token;
	struct err error = ERR_INIT;

	for (int i = 0; i < 10000; i++)
		xml = mem_append(xml, "<Key>k</Key>");
	assert_ok(s3_read_list(ctx, xml, strlen(xml), &keys, &token, &error));
	xml = mem_append(xml, "<Key>k</Key>");
	assert_fails(s3_read_list(ctx, xml, strlen(xml), &keys, &token, &error), ERR_TOO_LARGE);
	/* what follows the given size is not looked at */
	assert_ok(s3_read_list(ctx, "<ListBucketResult><Key>k</Key>", strlen("<ListBucketResult><Key>k</Key") - 1, &keys, &token, &error));
	assert_null(keys[0]);
}

struct world {
	struct http_server server;
	struct s3_options options;
	void *ctx;
};

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	world->ctx = mem_context(world);
	http_server_start(&world->server, NULL);
	world->options = (struct s3_options){ .url = http_server_url(&world->server, world->ctx, "//"),
		.bucket = "echo",
		.region = "eu-central-1",
		.access_key = "AKIDTEST",
		.secret_key = SECRET,
		.timeout_ms = 5000 };
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

static int keep(void *user, const char *key, unused_arg struct err *err)
{
	*(const char **)user = key;
	return 0;
}

static void test_requests(void **state)
{
	struct world *world = *state;
	struct s3 *s3 = s3_new(world->ctx, &world->options);
	struct err error = ERR_INIT;
	const char *found = NULL;
	char *bytes, *last;
	size_t size;

	assert_ok(s3_put(s3, "snapshots/a-1_b.c", "content", 7, &error));
	last = http_server_last(&world->server, world->ctx);
	assert_int_equal(strncmp(last, "PUT /echo/snapshots/a-1_b.c HTTP/1.1\r\n", 38), 0);
	assert_non_null(strcasestr(last, "\r\nx-amz-content-sha256: ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73\r\n"));
	assert_non_null(strcasestr(last, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDTEST/"));
	assert_non_null(strstr(last, "/eu-central-1/s3/aws4_request"));
	assert_null(strstr(last, SECRET));
	assert_ok(s3_get(s3, world->ctx, "x", 65536, &bytes, &size, &error));
	assert_int_equal(strncmp(bytes, "GET /echo/x HTTP/1.1\r\n", 22), 0);
	assert_int_equal(size, strlen(bytes));
	assert_fails(s3_get(s3, world->ctx, "x", 10, &bytes, &size, &error), ERR_TOO_LARGE);
	/* The answer is no list, but what was asked can be seen: the query is escaped, in the order that is signed. */
	assert_fails(s3_list(s3, "a b/", keep, &found, &error), ERR_INVALID);
	last = http_server_last(&world->server, world->ctx);
	assert_int_equal(strncmp(last, "GET /echo?list-type=2&prefix=a%20b%2F HTTP/1.1\r\n", 48), 0);
	assert_null(found);
}

/* Nothing is sent for a key that would need escaping, or would lead elsewhere once it was. */
static void test_keys(void **state)
{
	static const char *const bad[] = { "", "a b", "a?b", "a#b", "a%41", "a\nb", "\xc3\xa4", "a&b", "a+b", "../a", "a/../b", "a/./b",
		"/a" };
	struct world *world = *state;
	struct s3 *s3 = s3_new(world->ctx, &world->options);
	char *bytes, *longest = mem_array(world->ctx, char, 1026);
	struct err error = ERR_INIT;
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_fails(s3_put(s3, bad[i], "", 0, &error), ERR_INVALID);
		assert_fails(s3_get(s3, world->ctx, bad[i], 10, &bytes, &size, &error), ERR_INVALID);
	}
	memset(longest, 'a', 1025);
	assert_fails(s3_put(s3, longest, "", 0, &error), ERR_INVALID);
	assert_int_equal(world->server.requests, 0);
}

static void test_failures(void **state)
{
	static const struct {
		const char *status;
		enum err_code code;
		unsigned tries;
	} cases[] = { { "404", ERR_NOT_FOUND, 1 }, { "403", ERR_FORBIDDEN, 1 }, { "401", ERR_FORBIDDEN, 1 }, { "400", ERR_UNREACHABLE, 1 },
		{ "503", ERR_UNREACHABLE, 3 }, { "429", ERR_UNREACHABLE, 3 } };
	struct world *world = *state;
	struct s3 *s3;
	char *bytes;
	size_t size;

	world->options.bucket = "status";
	s3 = s3_new(world->ctx, &world->options);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned before = world->server.requests;
		struct err error = ERR_INIT;

		assert_fails(s3_get(s3, world->ctx, cases[i].status, 1000, &bytes, &size, &error), cases[i].code);
		assert_int_equal(world->server.requests - before, cases[i].tries);
		assert_non_null(strstr(error.text, cases[i].status));
		assert_null(strstr(error.text, SECRET));
	}
}

static void test_nobody_there(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	int fd;

	world->options.url = mem_printf(world->ctx, "http://127.0.0.1:%u", closed_port(&fd));
	assert_fails(s3_put(s3_new(world->ctx, &world->options), "a", "", 0, &error), ERR_UNREACHABLE);
	assert_non_null(strstr(error.text, "refused"));
	close(fd);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listings),
		cmocka_unit_test(test_refused_listings),
		cmocka_unit_test(test_listing_without_end),
		WITH_SERVER(test_requests),
		WITH_SERVER(test_keys),
		WITH_SERVER(test_failures),
		WITH_SERVER(test_nobody_there),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
