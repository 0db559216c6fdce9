/* json.c: canonical form against the number vectors of RFC 8785 and its own promises; building and reading. */
#include <math.h>
#include "checks.h"

#include "data/json.h"

static char *canonical_of(const void *ctx, const char *text)
{
	struct err err = ERR_INIT;
	json_t *value;

	if (json_parse(ctx, text, strlen(text), 1 << 20, &value, &err) < 0)
		fail_msg("%s", err.text);
	return json_canonical(ctx, value);
}

static void canonical_form(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_string_equal(canonical_of(ctx, " { \"b\" : [ 1 , true , null ] , \"a\" : { } } "), "{\"a\":{},\"b\":[1,true,null]}");
	assert_string_equal(canonical_of(ctx, "{\"aa\":1,\"a\":2,\"\":3,\"B\":4,\"\\u00e9\":5}"),
		"{\"\":3,\"B\":4,\"a\":2,\"aa\":1,\"\xc3\xa9\":5}");
	/* By code point: U+FB33 before U+1F600, which UTF-16 units would turn round. */
	assert_string_equal(canonical_of(ctx, "{\"\\ud83d\\ude00\":1,\"\\ufb33\":2}"), "{\"\xef\xac\xb3\":2,\"\xf0\x9f\x98\x80\":1}");
	assert_string_equal(canonical_of(ctx, "\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\\u007f\""),
		"\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\x7f\"");
	assert_string_equal(canonical_of(ctx, "[9223372036854775807,-9223372036854775808]"), "[9223372036854775807,-9223372036854775808]");
}

static void canonical_reals(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0.0, "0" },
		{ -0.0, "0" },
		{ 5e-324, "5e-324" },
		{ -5e-324, "-5e-324" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" },
		{ 9007199254740991.0, "9007199254740991" },
		{ 9007199254740992.0, "9.007199254740992e+15" },
		{ 1e21, "1e+21" },
		{ 9.999999999999997e22, "9.999999999999997e+22" },
		{ 333333333.3333332, "333333333.3333332" },
		{ 1.0, "1" },
		{ 0.1, "0.1" },
		{ 4.5, "4.5" },
		{ 0.002, "0.002" },
		{ 0.000001, "0.000001" },
		{ 1e-7, "1e-7" },
		{ 123456.0, "123456" },
		{ 100.0, "100" },
		{ 1e15, "1000000000000000" },
		{ -1.5e-9, "-1.5e-9" },
		{ 0.30000000000000004, "0.30000000000000004" },
		{ 0.000012345, "0.000012345" },
		{ -333333333.33333325, "-333333333.33333325" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		json_t *value = json_keep(ctx, json_real(cases[i].value));

		assert_string_equal(json_canonical(ctx, value), cases[i].text);
	}
}

/* Whatever is written reads back as the same number, and is written the same again. */
static void canonical_round_trip(void **state)
{
	uint64_t seed = 88172645463325252ull;

	for (size_t i = 0; i < 20000; i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct err err = ERR_INIT;
		json_t *again;
		double real;
		char *text;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		memcpy(&real, &seed, sizeof(real));
		if (!isfinite(real))
			continue;
		text = json_canonical(ctx, json_keep(ctx, json_real(real)));
		assert_int_equal(json_parse(ctx, text, strlen(text), 100, &again, &err), 0);
		assert_true(json_number_value(again) == real);
		assert_string_equal(json_canonical(ctx, again), text);
	}
}

static void pretty_keeps_order(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	const char *text = "{\"b\":1.0,\"a\":[0.1,\"x\"],\"c\":[],\"d\":{}}";
	json_t *value;

	assert_int_equal(json_parse(ctx, text, strlen(text), 100, &value, &err), 0);
	assert_string_equal(json_pretty(ctx, value),
		"{\n  \"b\": 1.0,\n  \"a\": [\n    0.1,\n    \"x\"\n  ],\n  \"c\": [],\n  \"d\": {}\n}");
}

static void parse_is_strict(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
		const char *words;
	} cases[] = {
		{ "{\"a\":1,\"a\":2}", ERR_INVALID, "duplicate" },
		{ "[1] x", ERR_INVALID, "1:5" },
		{ "", ERR_INVALID, "empty" },
		{ "[1,]", ERR_INVALID, "not valid JSON" },
		{ "[01]", ERR_INVALID, "not valid JSON" },
		{ "\"\\u0000\"", ERR_INVALID, "not valid JSON" },
		{ "\"\xff\"", ERR_INVALID, "0xff" },
		{ "9223372036854775808", ERR_INVALID, "not valid JSON" },
		{ "1e999", ERR_INVALID, "not valid JSON" },
		{ "NaN", ERR_INVALID, "not valid JSON" },
		{ "[\"this text is longer than thirty bytes\"]", ERR_TOO_LARGE, "at most 30" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct err err = ERR_INIT;
		json_t *value = NULL;

		assert_int_equal(json_parse(ctx, cases[i].text, strlen(cases[i].text), 30, &value, &err), -(int)cases[i].code);
		assert_null(value);
		if (!strstr(err.text, cases[i].words))
			fail_msg("'%s' has no '%s'", err.text, cases[i].words);
	}
}

static void depth_is_limited(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	char text[200] = "";
	json_t *value;

	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	assert_int_equal(json_parse(ctx, text, 128, 1000, &value, &err), 0);
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	assert_int_equal(json_parse(ctx, text, 130, 1000, &value, &err), -ERR_TOO_LARGE);
	/* brackets inside of strings are text */
	assert_int_equal(
		json_parse(ctx, "[\"[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]", 72, 1000, &value, &err), 0);
}

static void build_and_read(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *object = json_make(ctx, "{s:s, s:i, s:b}", "name", "api", "count", 3, "on", 1);

	assert_string_equal(json_str(object, "name", "?"), "api");
	assert_string_equal(json_str(object, "count", "?"), "?");
	assert_int_equal(json_int(object, "count", -1), 3);
	assert_int_equal(json_int(object, "none", -1), -1);
	assert_true(json_flag(object, "on", false));
	assert_false(json_flag(object, "name", false));
	json_put_str(object, "absent", NULL);
	json_put(object, "absent", NULL);
	assert_null(json_object_get(object, "absent"));
	json_put_str(object, "bytes",
		"a\xff"
		"b");
	assert_string_equal(json_str(object, "bytes", ""), "a\\xffb");
	json_put_int(object, "big", INT64_MAX);
	json_put_flag(object, "off", false);
	json_put(object, "self", json_object_get(object, "name"));
	assert_string_equal(json_canonical(ctx, object),
		"{\"big\":9223372036854775807,\"bytes\":\"a\\\\xffb\",\"count\":3,\"name\":\"api\",\"off\":false,\"on\":true,\"self\":\"api\"}");
}

static void kept_until_the_context_goes(void **state)
{
	void *ctx = mem_context(NULL);
	json_t *value = json_array();

	json_incref(value);
	json_keep(ctx, value);
	assert_int_equal(value->refcount, 2);
	talloc_free(ctx);
	assert_int_equal(value->refcount, 1);
	json_decref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_form),
		cmocka_unit_test(canonical_reals),
		cmocka_unit_test(canonical_round_trip),
		cmocka_unit_test(pretty_keeps_order),
		cmocka_unit_test(parse_is_strict),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(build_and_read),
		cmocka_unit_test(kept_until_the_context_goes),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
