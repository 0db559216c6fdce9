/* text.c: what clients send beside the body, read strictly. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "surface/http/inner.h"

static void target(const char *text, const char *wanted_path, const char *wanted_query)
{
	void *ctx = mem_context(NULL);
	struct pairs query = { 0 };
	const char *path = NULL, *authority = NULL;
	struct err err = ERR_INIT;
	char *joined = mem_strdup(ctx, "");
	int r = target_parse(ctx, text, &path, &authority, &query, &err);

	if (!wanted_path) {
		if (r != -ERR_USAGE)
			fail_msg("%s was taken as %s", text, path);
		talloc_free(ctx);
		return;
	}
	if (r < 0)
		fail_msg("%s: %s", text, err.text);
	for (size_t i = 0; i < query.count; i++)
		joined = mem_appendf(joined, "%s%s=%s", i ? "|" : "", query.list[i].name, query.list[i].value);
	assert_string_equal(path, wanted_path);
	assert_string_equal(joined, wanted_query);
	talloc_free(ctx);
}

static void targets(void **state)
{
	(void)state;
	target("/", "/", "");
	target("/a/b", "/a/b", "");
	target("/a/b/", "/a/b/", "");
	target("/a%20b/c", "/a b/c", "");
	target("/%C3%A4", "/\xc3\xa4", "");
	target("/a?x=1&y=2", "/a", "x=1|y=2");
	target("/a?x", "/a", "x=");
	target("/a?x=a+b%26c", "/a", "x=a b&c");
	target("/a+b", "/a+b", "");
	target("/a?&&x=1&", "/a", "x=1");
	target("/a?x=1?2", "/a", "x=1?2");
	target("http://host:80/a?x=1", "/a", "x=1");
	target("https://host", "/", "");
	target("/...", "/...", "");
	target("/a/.b", "/a/.b", "");
}

static void bad_targets(void **state)
{
	static const char *const bad[] = { "", "a", "*", "/..", "/a/../b", "/a/.", "/./a", "/%2e%2e/a", "/%2E/a", "/a//b", "//a", "/a%2fb",
		"/a%2Fb", "/a%5cb", "/a\\b", "/%", "/%4", "/%4g", "/%00", "/%0a", "/%7f", "/%ff", "/%c0%af", "/%ed%a0%80", "/a#b", "/a?x=%",
		"/a?x=%0d", "/a?=1", "/a?%00=1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		target(bad[i], NULL, NULL);
}

static void too_many_parameters(void **state)
{
	void *ctx = mem_context(NULL);
	char *text = mem_strdup(ctx, "/a?"), *wanted = mem_strdup(ctx, "");

	(void)state;
	for (int i = 0; i < QUERY_MAX; i++) {
		text = mem_append(text, "a=1&");
		wanted = mem_append(wanted, i ? "|a=1" : "a=1");
	}
	target(text, "/a", wanted);
	target(mem_append(text, "a=1"), NULL, NULL);
	talloc_free(ctx);
}

static int headers(const char *const *list)
{
	void *ctx = mem_context(NULL);
	struct pairs pairs = { 0 };
	struct err err = ERR_INIT;
	int r;

	for (; *list; list += 2)
		pairs_add(ctx, &pairs, list[0], list[1]);
	r = headers_check(&pairs, &err);
	talloc_free(ctx);
	return r;
}

#define HEADERS(...) headers((const char *const[]){ __VA_ARGS__, NULL })

static void header_rules(void **state)
{
	(void)state;
	assert_int_equal(HEADERS("Host", "a", "Accept", "b", "accept", "c", "Content-Length", "12"), 0);
	assert_int_equal(HEADERS("Transfer-Encoding", "Chunked", "X", "a\tb \xc3\xa4"), 0);
	assert_true(HEADERS("Host", "a", "host", "a") < 0);
	assert_true(HEADERS("Content-Length", "1", "content-length", "1") < 0);
	assert_true(HEADERS("Content-Length", "1", "Transfer-Encoding", "chunked") < 0);
	assert_true(HEADERS("Transfer-Encoding", "gzip, chunked") < 0);
	assert_true(HEADERS("Content-Length", "+1") < 0);
	assert_true(HEADERS("Content-Length", "") < 0);
	assert_true(HEADERS("Content-Length", "0x10") < 0);
	assert_true(HEADERS("Content-Length", "1234567890123456789") < 0);
	assert_true(HEADERS("Authorization", "a", "authorization", "b") < 0);
	assert_true(HEADERS("", "a") < 0);
	assert_true(HEADERS("a b", "a") < 0);
	assert_true(HEADERS("X", "a\x01") < 0);
	assert_true(HEADERS("X", "a\nb") < 0);
	assert_true(HEADERS("X", "\xff") < 0);
}

static void cookies(void **state)
{
	void *ctx = mem_context(NULL);
	struct pairs pairs = { 0 };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(cookies_parse(ctx, "a=1; b=\"2\";c=3=4 ; d; e=", &pairs, &err), 0);
	assert_int_equal(pairs.count, 4);
	assert_string_equal(pairs_find(&pairs, "a"), "1");
	assert_string_equal(pairs_find(&pairs, "b"), "2");
	assert_string_equal(pairs_find(&pairs, "c"), "3=4");
	assert_string_equal(pairs_find(&pairs, "e"), "");
	assert_null(pairs_find(&pairs, "d"));
	assert_true(cookies_parse(ctx, "a=1; a=2", &pairs, &err) < 0);
	assert_int_equal(cookies_parse(ctx, "", &pairs, &err), 0);
	assert_int_equal(cookies_parse(ctx, " ; ;", &pairs, &err), 0);
	talloc_free(ctx);
}

static void addresses(void **state)
{
	static const char *const bad[] = { "", ":", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
		"[::1]", "[::1", "::1:80", "[127.0.0.1]:80", "example.com:80", "1.2.3:80", "[::1]80", "[]:80" };
	struct listen_address address;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(listen_parse("127.0.0.1:8321", &address, &err), 0);
	assert_true(address.loopback && !address.v6);
	assert_int_equal(address.port, 8321);
	assert_int_equal(listen_parse("127.1.2.3:0", &address, &err), 0);
	assert_true(address.loopback);
	assert_int_equal(listen_parse("localhost:1", &address, &err), 0);
	assert_string_equal(address.host, "127.0.0.1");
	assert_int_equal(listen_parse("[::1]:1", &address, &err), 0);
	assert_true(address.loopback && address.v6);
	assert_int_equal(listen_parse("0.0.0.0:1", &address, &err), 0);
	assert_false(address.loopback);
	assert_int_equal(listen_parse("[::]:1", &address, &err), 0);
	assert_false(address.loopback);
	assert_int_equal(listen_parse("[::ffff:127.0.0.1]:1", &address, &err), 0);
	assert_false(address.loopback);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (listen_parse(bad[i], &address, &err) != -ERR_USAGE)
			fail_msg("'%s' was taken", bad[i]);
}

static void hosts(void **state)
{
	static const char *const names[] = { "unship.example", "other.example:8443", NULL };

	(void)state;
	assert_true(host_is_ours("127.0.0.1", NULL));
	assert_true(host_is_ours("127.0.0.1:80", NULL));
	assert_true(host_is_ours("[::1]:80", NULL));
	assert_true(host_is_ours("LOCALHOST:1", NULL));
	assert_true(host_is_ours("10.0.0.1", NULL));
	assert_true(host_is_ours("Unship.Example", names));
	assert_true(host_is_ours("unship.example:443", names));
	assert_true(host_is_ours("other.example:8443", names));
	assert_false(host_is_ours("other.example:1", names));
	assert_false(host_is_ours("unship.example", NULL));
	assert_false(host_is_ours("unship.example.evil.example", names));
	assert_false(host_is_ours("127.0.0.1.evil.example", NULL));
	assert_false(host_is_ours("localhost.evil.example", NULL));
	assert_false(host_is_ours("localhost:1@evil.example", NULL));
	assert_false(host_is_ours("", NULL));
	assert_false(host_is_ours("[::1", NULL));
	assert_false(host_is_ours("[evil.example]", NULL));
}

static void negotiation(void **state)
{
	(void)state;
	assert_true(accepts_coding("gzip", "gzip"));
	assert_true(accepts_coding("br, GZIP;q=0.5", "gzip"));
	assert_true(accepts_coding("*", "gzip"));
	assert_true(accepts_coding("identity;q=1, *;q=0.1", "gzip"));
	assert_false(accepts_coding("gzip;q=0", "gzip"));
	assert_false(accepts_coding("gzip;q=0.000, *", "gzip"));
	assert_false(accepts_coding("br", "gzip"));
	assert_false(accepts_coding("gzipped", "gzip"));
	assert_false(accepts_coding("", "gzip"));
	assert_false(accepts_coding(NULL, "gzip"));
	assert_true(etag_matches("\"a\"", "\"a\""));
	assert_true(etag_matches("\"b\", W/\"a\"", "\"a\""));
	assert_true(etag_matches("*", "\"a\""));
	assert_false(etag_matches("\"ab\"", "\"a\""));
	assert_false(etag_matches("a", "\"a\""));
	assert_false(etag_matches("\"a", "\"a\""));
	assert_int_equal(prefer_wait_ms("wait=30"), 30000);
	assert_int_equal(prefer_wait_ms("respond-async, wait=5"), 5000);
	assert_int_equal(prefer_wait_ms("wait=99999999999999999999"), 300000);
	assert_int_equal(prefer_wait_ms("wait=x"), 0);
	assert_int_equal(prefer_wait_ms("waiting=3"), 0);
	assert_int_equal(prefer_wait_ms(NULL), 0);
}

static void keys(void **state)
{
	void *ctx = mem_context(NULL);
	char *large = mem_strdup(ctx, "");

	(void)state;
	assert_string_equal(idempotency_key_parse(ctx, "\"a-1\""), "a-1");
	assert_string_equal(idempotency_key_parse(ctx, "a-1"), "a-1");
	assert_null(idempotency_key_parse(ctx, ""));
	assert_null(idempotency_key_parse(ctx, "\"\""));
	assert_null(idempotency_key_parse(ctx, "a b"));
	assert_null(idempotency_key_parse(ctx, "\"a"));
	assert_null(idempotency_key_parse(ctx, "\xc3\xa4"));
	for (int i = 0; i < 255; i++)
		large = mem_append(large, "k");
	assert_non_null(idempotency_key_parse(ctx, large));
	assert_null(idempotency_key_parse(ctx, mem_append(large, "k")));
	talloc_free(ctx);
}

static void refusals(void **state)
{
	void *ctx = mem_context(NULL);
	struct refusals *table = refusals_new(ctx);
	uint64_t count;

	(void)state;
	assert_true(refusals_count(table, "a", 1000, true, &count));
	assert_int_equal(count, 1);
	for (int i = 0; i < 5; i++)
		assert_false(refusals_count(table, "a", 2000 + i, true, &count));
	assert_true(refusals_count(table, "b", 2010, true, &count));
	assert_true(refusals_count(table, "a", 61000, false, &count));
	assert_true(refusals_count(table, "a", 61000, true, &count));
	assert_int_equal(count, 6);
	/* Far more kinds than there are places: the oldest give way, none is lost of those that come. */
	for (int i = 0; i < 2000; i++)
		assert_true(refusals_count(table, mem_printf(ctx, "k%d", i), 62000 + i, true, &count));
	talloc_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets),
		cmocka_unit_test(bad_targets),
		cmocka_unit_test(too_many_parameters),
		cmocka_unit_test(header_rules),
		cmocka_unit_test(cookies),
		cmocka_unit_test(addresses),
		cmocka_unit_test(hosts),
		cmocka_unit_test(negotiation),
		cmocka_unit_test(keys),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
