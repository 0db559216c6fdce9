/* hook.c, hook_config.c and sink.c: pointers, signatures, what bodies mean, and what is told about hooks and sinks that are written
 * wrongly. */
#include "given.h"

#include "core/hook.h"
#include "core/sink.h"
#include "data/hash.h"

static const char *const environments[] = { "production", "staging", NULL };

/* The whole of `server.hooks` from text; `expect_no_problem` is the caller's. */
static struct hook_config *read_hooks(void *ctx, const char *text, struct problems **ret_problems, size_t *ret_count)
{
	struct doc *doc = given_yaml(ctx, text);

	*ret_problems = problems_new(ctx, doc);
	return hooks_read(ctx, json_object_get(json_object_get(doc_root(doc), "server"), "hooks"), environments, *ret_problems, ret_count);
}

/* One hook, {x: ...}. */
static struct hook_config *hook_of(void *ctx, const char *text)
{
	struct problems *problems;
	struct hook_config *hooks;
	size_t count;

	hooks = read_hooks(ctx, mem_printf(ctx, "server: {hooks: {x: %s}}\n", text), &problems, &count);
	expect_no_problem(problems);
	assert_int_equal(count, 1);
	return hooks;
}

/* The examples of RFC 6901, chapter 5, and what is no pointer or names nothing. */
static void pointers(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *doc = given(ctx,
		"{\"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"e^f\": 3, \"g|h\": 4, \"i\\\\j\": 5, \"k\\\"l\": 6, \" \": 7, \"m~n\": 8}");
	static const struct {
		const char *pointer, *text;
	} rows[] = { { "/foo/0", "bar" }, { "/foo/1", "baz" }, { "/", "0" }, { "/a~1b", "1" }, { "/c%d", "2" }, { "/e^f", "3" },
		{ "/g|h", "4" }, { "/i\\j", "5" }, { "/k\"l", "6" }, { "/ ", "7" }, { "/m~0n", "8" } };
	static const char *const nothing[] = { "/foo/2", "/foo/-", "/foo/01", "/foo/+1", "/foo/ 1", "/foo/0/x", "/foo/99999999999999999999",
		"/none", "/foo/", "/m~1n", "foo" };
	struct err err = ERR_INIT;

	(void)state;
	assert_ptr_equal(pointer_get(doc, ""), doc);
	assert_true(json_is_array(pointer_get(doc, "/foo")));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *found = pointer_get(doc, rows[i].pointer);

		assert_int_equal(pointer_check(rows[i].pointer, &err), 0);
		assert_non_null(found);
		assert_string_equal(json_scalar_text(ctx, found), rows[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(nothing); i++)
		assert_null(pointer_get(doc, nothing[i]));
	assert_int_equal(pointer_check("", &err), 0);
	assert_int_equal(pointer_check("foo", &err), -ERR_INVALID);
	assert_int_equal(pointer_check("/a~", &err), -ERR_INVALID);
	assert_int_equal(pointer_check("/a~2b", &err), -ERR_INVALID);
}

/* GitHub's own example (docs: validating webhook deliveries). */
static void signatures(void **state)
{
	static const char body[] = "Hello, World!", secret[] = "It's a Secret to Everybody";
	static const char good[] = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
	char wrong[sizeof(good)];

	(void)state;
	assert_true(hook_signature_fits(secret, NULL, body, strlen(body), good));
	assert_true(hook_signature_fits(secret, NULL, body, strlen(body), good + 7));
	assert_false(hook_signature_fits(secret, NULL, body, strlen(body) - 1, good));
	assert_false(hook_signature_fits("It's a secret to everybody", NULL, body, strlen(body), good));
	assert_false(hook_signature_fits(secret, "1", body, strlen(body), good));
	assert_false(hook_signature_fits(secret, NULL, body, strlen(body), ""));
	assert_false(hook_signature_fits(secret, NULL, body, strlen(body), "sha256="));
	assert_false(hook_signature_fits(secret, NULL, body, strlen(body),
		"sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"));
	for (size_t i = 7; i < sizeof(good) - 1; i++) {
		memcpy(wrong, good, sizeof(good));
		wrong[i] = wrong[i] == '0' ? '1' : '0';
		assert_false(hook_signature_fits(secret, NULL, body, strlen(body), wrong));
	}
	assert_false(hook_signature_fits("", NULL, body, strlen(body),
		"sha256=511f7bdaaeca2a2f8ae3c3a3aabb26dcbac81c2d3d8c7cb1ba0a8d8eb4a1a7ee"));
}

static void signed_time(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct hook_config *hook = hook_of(ctx,
		"{type: generic, secret: {env: A}, timestampHeader: T, tolerance: 10s, mapping: {fingerprint: /id}}");
	static const char body[] = "{}";
	char sum[HASH_HEX_SIZE];
	struct err err = ERR_INIT;

	(void)state;
	hash_hmac_sha256_hex("key", 3, "1700000000.{}", strlen("1700000000.{}"), sum);
	assert_true(hook_signature_fits("key", "1700000000", body, 2, sum));
	assert_false(hook_signature_fits("key", "1700000001", body, 2, sum));
	assert_int_equal(hook_time_check(hook, "1700000000", INT64_C(1700000010000), &err), 0);
	assert_int_equal(hook_time_check(hook, "1700000000", INT64_C(1699999990000), &err), 0);
	assert_int_equal(hook_time_check(hook, "1700000000", INT64_C(1700000010001), &err), -ERR_UNAUTHENTICATED);
	assert_int_equal(hook_time_check(hook, "1700000000", INT64_C(1699999989999), &err), -ERR_UNAUTHENTICATED);
	assert_int_equal(hook_time_check(hook, "now", INT64_C(1700000000000), &err), -ERR_UNAUTHENTICATED);
	assert_int_equal(hook_time_check(hook, "99999999999999999999", INT64_C(1700000000000), &err), -ERR_UNAUTHENTICATED);
}

static struct alert *alerts_of(void *ctx, const struct hook_config *hook, const char *body, size_t *ret_count)
{
	struct err err = ERR_INIT;
	struct alert *alerts = NULL;

	if (hook_alerts(ctx, hook, environments, given(ctx, body), &alerts, ret_count, &err) < 0)
		fail_msg("%s", err.text);
	return alerts;
}

static void prometheus(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct hook_config *hook = hook_of(ctx,
		"{type: alertmanager, principal: monitor, environment: production, environmentLabel: env, environments: {stage: staging}}");
	struct alert *alerts;
	size_t count;

	(void)state;
	alerts = alerts_of(ctx, hook,
		"{version: '4', truncatedAlerts: 2, more: 1, alerts: ["
		"{status: firing, fingerprint: a, labels: {alertname: X, env: stage, deep: {}, n: 1}, startsAt: '2026-11-21T08:00:00.5+01:00', endsAt: '0001-01-01T00:00:00Z'},"
		"{status: resolved, labels: {env: unknown}, startsAt: '2026-11-21T08:00:00Z', endsAt: '2026-11-21T08:00:01Z'},"
		"{status: suppressed, fingerprint: c}]}",
		&count);
	assert_int_equal(count, 2);
	assert_true(alerts[0].firing);
	assert_string_equal(alerts[0].fingerprint, "a");
	assert_string_equal(alerts[0].environment, "staging");
	assert_int_equal(alerts[0].started_ms, INT64_C(1795244400500));
	assert_int_equal(alerts[0].ended_ms, 0);
	assert_int_equal(alerts[0].truncated, 2);
	assert_int_equal(json_object_size(alerts[0].labels), 3);
	assert_string_equal(json_str(alerts[0].labels, "n", ""), "1");
	assert_false(alerts[1].firing);
	assert_int_equal(strlen(alerts[1].fingerprint), 16);
	assert_string_equal(alerts[1].environment, "production");
	assert_int_equal(alerts[1].ended_ms - alerts[1].started_ms, 1000);
}

static void mapped(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct hook_config *hook = hook_of(ctx,
		"{type: generic, secret: {env: A}, mapping: {fingerprint: /id, status: /state, firing: [bad], resolved: [good], severity: /s, environment: /where, startsAt: /t}}");
	struct alert *alerts;
	struct err err = ERR_INIT;
	size_t count;

	(void)state;
	alerts = alerts_of(ctx, hook, "{id: 7, state: BAD, s: high, where: staging, t: 1700000000}", &count);
	assert_int_equal(count, 1);
	assert_string_equal(alerts[0].fingerprint, "7");
	assert_string_equal(json_str(alerts[0].labels, "severity", ""), "high");
	assert_string_equal(alerts[0].environment, "staging");
	assert_int_equal(alerts[0].started_ms, INT64_C(1700000000000));
	alerts = alerts_of(ctx, hook, "{id: 7, state: good, where: moon, t: 1700000000123}", &count);
	assert_int_equal(count, 1);
	assert_false(alerts[0].firing);
	assert_null(alerts[0].environment);
	assert_int_equal(alerts[0].started_ms, INT64_C(1700000000123));
	(void)alerts_of(ctx, hook, "{id: 7, state: open}", &count);
	assert_int_equal(count, 0);
	assert_int_equal(hook_alerts(ctx, hook, environments, given(ctx, "{state: bad}"), &alerts, &count, &err), -ERR_INVALID);
	assert_int_equal(hook_alerts(ctx, hook, environments, given(ctx, "[]"), &alerts, &count, &err), -ERR_INVALID);
}

static void deployments(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct hook_config *hook = hook_of(ctx,
		"{type: generic, principal: ci, action: record, environment: staging, mapping: {version: /v, gitSha: /sha, components: {api: /images/0/tag, web: /images/1/tag}, when: {/ok: true}}}");
	struct hook_record record = { 0 };
	struct err err = ERR_INIT;
	const char *why = "";

	(void)state;
	assert_int_equal(hook_record(ctx, hook, environments, NULL, given(ctx, "{v: 1.2.3, ok: true, sha: abc, images: [{tag: r1}]}"), 0,
				 &record, &why, &err),
		1);
	assert_string_equal(record.environment, "staging");
	assert_string_equal(record.version, "1.2.3");
	assert_string_equal(record.git_sha, "abc");
	assert_string_equal(json_str(record.components, "api", ""), "r1");
	assert_null(json_object_get(record.components, "web"));
	assert_int_equal(hook_record(ctx, hook, environments, NULL, given(ctx, "{v: 1, ok: false}"), 0, &record, &why, &err), 0);
	assert_non_null(strstr(why, "when"));
	assert_int_equal(hook_record(ctx, hook, environments, NULL, given(ctx, "{ok: true}"), 0, &record, &why, &err), -ERR_INVALID);
}

static void expect_hook_problem(void *ctx, const char *hook, const char *path, const char *words)
{
	struct problems *problems;
	size_t count;

	(void)read_hooks(ctx, mem_printf(ctx, "server:\n  hooks:\n    x: %s\n", hook), &problems, &count);
	expect_problem(problems, path, words);
	assert_int_equal(problems->list[0].line, 3);
}

static void wrong_hooks(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const struct {
		const char *hook, *path, *words;
	} rows[] = {
		{ "{type: alertmanagr, principal: m}", "server.hooks.x.type", "alertmanager" },
		{ "{type: alertmanager}", "server.hooks.x", "principal" },
		{ "{type: alertmanager, secret: {env: A}, principal: m}", "server.hooks.x.secret", "means nothing" },
		{ "{type: alertmanager, principal: m, mapping: {}}", "server.hooks.x.mapping", "means nothing" },
		{ "{type: alertmanager, principal: m, environment: prodution}", "server.hooks.x.environment", "did you mean 'production'" },
		{ "{type: alertmanager, principal: m, environments: {a: stagin}}", "server.hooks.x.environments.a",
			"did you mean 'staging'" },
		{ "{type: alertmanager, principal: m, enviroment: production}", "server.hooks.x.enviroment", "did you mean 'environment'" },
		{ "{type: github, principal: m}", "server.hooks.x", "signs" },
		{ "{type: github, secret: plain}", "server.hooks.x.secret", "" },
		{ "{type: generic, secret: {env: A}}", "server.hooks.x", "mapping" },
		{ "{type: generic, secret: {env: A}, principal: m, mapping: {fingerprint: /a}}", "server.hooks.x.principal", "not both" },
		{ "{type: generic, secret: {env: A}, mapping: {}}", "server.hooks.x.mapping.fingerprint", "required" },
		{ "{type: generic, secret: {env: A}, mapping: {fingerprint: id}}", "server.hooks.x.mapping.fingerprint",
			"begins with '/'" },
		{ "{type: generic, secret: {env: A}, mapping: {fingerprint: /id, version: /v}}", "server.hooks.x.mapping.version",
			"unknown" },
		{ "{type: generic, secret: {env: A}, action: record, mapping: {version: /v, components: {api: 7}}}",
			"server.hooks.x.mapping.components.api", "JSON pointer" },
		{ "{type: generic, secret: {env: A}, action: record, mapping: {version: /v, when: {state: done}}}",
			"server.hooks.x.mapping.when.state", "begins with '/'" },
		{ "{type: generic, secret: {env: A}, tolerance: 2d, mapping: {fingerprint: /a}}", "server.hooks.x.tolerance", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect_hook_problem(ctx, rows[i].hook, rows[i].path, rows[i].words);
}

static struct sink_config *read_sinks(void *ctx, const char *text, struct problems **ret_problems, size_t *ret_count)
{
	struct doc *doc = given_yaml(ctx, text);

	*ret_problems = problems_new(ctx, doc);
	return sinks_read(ctx, json_object_get(doc_root(doc), "sinks"), environments, *ret_problems, ret_count);
}

static void sinks(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry flag = { .kind = "flag.set", .environment = "staging" }, token = { .kind = "token.created" };
	struct problems *problems;
	struct sink_config *list, *again;
	size_t count;

	(void)state;
	list = read_sinks(ctx,
		"sinks: [{url: 'https://a.example/'}, {url: 'https://a.example/', format: cdevents, kinds: [flag.*, run.ended], environments: staging}]\n",
		&problems, &count);
	expect_no_problem(problems);
	assert_int_equal(count, 2);
	assert_string_not_equal(list[0].name, list[1].name);
	again = read_sinks(ctx, "sinks: [{url: 'https://a.example/', kinds: [x]}]\n", &problems, &count);
	assert_string_equal(list[0].name, again[0].name);
	assert_true(sink_wants(&list[0], &flag));
	assert_true(sink_wants(&list[0], &token));
	assert_true(sink_wants(&list[1], &flag));
	assert_false(sink_wants(&list[1], &token));
	flag.environment = "production";
	assert_false(sink_wants(&list[1], &flag));
	flag = (struct entry){ .kind = "flagged", .environment = "staging" };
	assert_false(sink_wants(&list[1], &flag));
	(void)read_sinks(ctx, "sinks: {url: 'https://a.example/'}\n", &problems, &count);
	expect_problem(problems, "server.sinks", "list");
	(void)read_sinks(ctx,
		"sinks: [{url: 'ftp://a'}, {url: 'https://user:word@a/'}, {url: 'https:///x'}, {url: 'http://a b'}, {}, {url: 'http://a', environments: [moon]}, {url: 'http://a', format: soap}, {name: n, url: 'http://a'}, {name: n, url: 'http://b'}]\n",
		&problems, &count);
	expect_problem(problems, "server.sinks[0].url", "http://");
	expect_problem(problems, "server.sinks[1].url", "token");
	expect_problem(problems, "server.sinks[2].url", "host");
	expect_problem(problems, "server.sinks[3].url", "blank");
	expect_problem(problems, "server.sinks[4].url", "required");
	expect_problem(problems, "server.sinks[5].environments[0]", "moon");
	expect_problem(problems, "server.sinks[6].format", "cdevents");
	expect_problem(problems, "server.sinks[8]", "'n' already");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pointers),
		cmocka_unit_test(signatures),
		cmocka_unit_test(signed_time),
		cmocka_unit_test(prometheus),
		cmocka_unit_test(mapped),
		cmocka_unit_test(deployments),
		cmocka_unit_test(wrong_hooks),
		cmocka_unit_test(sinks),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
