/* Text as people write it: every function with what it takes, what it refuses and its edges. */
#include "cmocka_base.h"

#include "base/text.h"

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = { { "0", 0 }, { "30s", 30000 }, { "5m", 300000 }, { "1h30m", 5400000 }, { "250ms", 250 }, { "2d", 172800000 },
		{ "2.5", 2500 }, { "60", 60000 }, { "1.5h", 5400000 }, { "1m30.5s", 90500 }, { "1s500ms", 1500 }, { "0.001", 1 },
		{ "3650d", 315360000000 }, { "0.5ms", 1 } };
	static const char *const bad[] = { "", "s", "-1", "+1", "5 m", " 5m", "5m ", "1h30", "30m1h", "1m1m", "5x", "1.", ".5", "1e3",
		"inf", "0x10", "3661d", "99999999999999999999", "999999999999d", "5mss" };
	struct err error = ERR_INIT;
	int64_t ms;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(text_parse_duration(cases[i].text, &ms, &error));
		assert_int_equal(ms, cases[i].ms);
	}
	ms = 42;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (text_parse_duration(bad[i], &ms, &error) != -ERR_INVALID)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(ms, 42);
	}
}

static void duration_forms(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = { { 0, "0ms" }, { 250, "250ms" }, { 1200, "1.2s" }, { 30000, "30s" }, { 90000, "1m30s" }, { 5400000, "1h30m" },
		{ 172800000, "2d" }, { 90061001, "1d1h1m1.001s" }, { 59999, "59.999s" }, { 1050, "1.05s" }, { 86400001, "1d0.001s" },
		{ -1500, "-1.5s" } };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	int64_t ms;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(text_format_duration(ctx, cases[i].ms), cases[i].text);
		if (cases[i].ms >= 0) { /* what is written can be read */
			assert_ok(text_parse_duration(cases[i].text, &ms, &error));
			assert_int_equal(ms, cases[i].ms);
		}
	}
}

static void percentages(void **state)
{
	static const char *const bad[] = { "", "%", "5", "1.1", "-1%", "1 %", "1%%", "nan", "1,5%" };
	struct err error = ERR_INIT;
	double value = -1;

	assert_ok(text_parse_percent("1%", &value, &error));
	assert_float_equal(value, 0.01, 1e-12);
	assert_ok(text_parse_percent("0.5", &value, &error));
	assert_float_equal(value, 0.5, 1e-12);
	assert_ok(text_parse_percent("1", &value, &error));
	assert_float_equal(value, 1, 1e-12);
	assert_ok(text_parse_percent("150%", &value, &error));
	assert_float_equal(value, 1.5, 1e-12);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(text_parse_percent(bad[i], &value, &error), ERR_INVALID);
}

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = { { 0, "0 B" }, { 12, "12 B" }, { 1023, "1023 B" }, { 1024, "1 KiB" }, { 1536, "1.5 KiB" }, { 20971520, "20 MiB" },
		{ 1048575, "1 MiB" }, { 157286400, "150 MiB" }, { 1073741824, "1 GiB" }, { 123456789, "118 MiB" },
		{ UINT64_MAX, "16 EiB" } };
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(text_format_size(ctx, cases[i].bytes), cases[i].text);
}

static void integers(void **state)
{
	static const char *const bad[] = { "", "+", "-", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "-9223372036854775809",
		"99999999999999999999999999999999999999999999" };
	struct err error = ERR_INIT;
	int64_t value;

	assert_ok(text_parse_int("-9223372036854775808", INT64_MIN, INT64_MAX, &value, &error));
	assert_true(value == INT64_MIN);
	assert_ok(text_parse_int("+9223372036854775807", INT64_MIN, INT64_MAX, &value, &error));
	assert_true(value == INT64_MAX);
	assert_ok(text_parse_int("007", 0, 7, &value, &error));
	assert_int_equal(value, 7);
	assert_fails(text_parse_int("8", 0, 7, &value, &error), ERR_INVALID);
	assert_string_equal(error.text, "8 is not between 0 and 7");
	assert_fails(text_parse_int("-1", 0, 7, &value, &error), ERR_INVALID);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_fails(text_parse_int(bad[i], INT64_MIN, INT64_MAX, &value, &error), ERR_INVALID);
	assert_int_equal(value, 7);
}

static void encodings(void **state)
{
	static const char *const vectors[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } }; /* RFC 4648, section 10 */
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	uint8_t bytes[2];

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		assert_string_equal(text_base64(ctx, vectors[i][0], strlen(vectors[i][0])), vectors[i][1]);
	assert_string_equal(text_base64(ctx, "\xff\xef\xbe", 3), "/+++");
	assert_string_equal(text_hex(ctx, "\x00\xfe\x10", 3), "00fe10");
	assert_ok(text_unhex("aF01", bytes, 2, &error));
	assert_memory_equal(bytes, "\xaf\x01", 2);
	assert_fails(text_unhex("af0", bytes, 2, &error), ERR_INVALID);
	assert_fails(text_unhex("af0102", bytes, 2, &error), ERR_INVALID);
	assert_fails(text_unhex("af0g", bytes, 2, &error), ERR_INVALID);
	assert_memory_equal(bytes, "\xaf\x01", 2);
	assert_string_equal(text_url_encode(ctx, "a b/c~d-_.\xc3\xa4?&"), "a%20b%2Fc~d-_.%C3%A4%3F%26");
}

static void printable(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_string_equal(text_printable(ctx, "a\tb\nc", 5, true), "a\tb\nc");
	assert_string_equal(text_printable(ctx, "a\tb\nc\r", 6, false), "a\\x09b\\x0ac\\x0d");
	assert_string_equal(text_printable(ctx, "\x1b[31m\0x", 7, true), "\\x1b[31m\\x00x");
	assert_string_equal(text_printable(ctx, "\xc3\xa4 \xff \xc3", 6, false), "\xc3\xa4 \\xff \\xc3");
	assert_string_equal(text_printable(ctx,
				    "\xc2\x9b"
				    "1m",
				    4, false),
		"\\xc2\\x9b1m"); /* a C1 control: terminals obey */
	assert_string_equal(text_printable(ctx,
				    "\xe2\x80\xae"
				    "txt",
				    6, false),
		"\\xe2\\x80\\xaetxt"); /* turns the line around */
	assert_string_equal(text_printable(ctx, "\xe2\x82\xac", 3, false), "\xe2\x82\xac");
}

static void utf8(void **state)
{
	static const char *const good[] = { "", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf" };
	static const char *const bad[] = { "\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\xf0\x80\x80\x80", "\xc3(" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(text_is_utf8(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(text_is_utf8(bad[i], strlen(bad[i])));
}

static void nearest(void **state)
{
	static const char *const names[] = { "driver", "service", "project", "needs", "image", "file", "x", NULL };

	assert_string_equal(text_nearest("drvier", names), "driver"); /* two letters swapped: one edit */
	assert_string_equal(text_nearest("Driver", names), "driver");
	assert_string_equal(text_nearest("servce", names), "service");
	assert_string_equal(text_nearest("need", names), "needs");
	assert_string_equal(text_nearest("fi1e", names), "file");
	assert_null(text_nearest("environment", names));
	assert_null(text_nearest("q", names)); /* one edit from "x", but nothing in common */
	assert_null(text_nearest("", names));
	assert_null(text_nearest("zz", names));
	assert_null(text_nearest("driver", (const char *const[]){ NULL }));
}

static void matching(void **state)
{
	assert_true(text_starts_with("abc", "ab") && text_starts_with("abc", "") && !text_starts_with("ab", "abc"));
	assert_true(text_ends_with("abc", "bc") && text_ends_with("abc", "") && !text_ends_with("bc", "abc"));
	assert_true(
		text_glob("*", "") && text_glob("*", "abc") && text_glob("a*c", "abbbc") && text_glob("a?c", "abc") && text_glob("", ""));
	assert_true(text_glob("*.env*", "prod.env.local") && text_glob("a*b*c", "a-b-b-c") && text_glob("?", "\xe2\x82\xac"));
	assert_false(text_glob("a*c", "abcd") || text_glob("?", "") || text_glob("", "a") || text_glob("a", "b") || text_glob("a**b", "a"));
	/* Would take for ever if every star were retried. */
	assert_false(text_glob("*a*a*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void names(void **state)
{
	char long_name[130];

	assert_true(text_is_name("production") && text_is_name("v1.2.3") && text_is_name("a_b-c") && text_is_name("0"));
	assert_false(text_is_name("") || text_is_name("-a") || text_is_name(".a") || text_is_name("a..b") || text_is_name("a/b") ||
		text_is_name("a b") || text_is_name("\xc3\xa4"));
	memset(long_name, 'a', sizeof(long_name));
	long_name[128] = 0;
	assert_true(text_is_name(long_name));
	long_name[128] = 'a';
	long_name[129] = 0;
	assert_false(text_is_name(long_name));
}

static void split(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char **parts = text_split(ctx, " a, b c ,,\t, d", ',');

	assert_string_equal(parts[0], "a");
	assert_string_equal(parts[1], "b c");
	assert_string_equal(parts[2], "d");
	assert_null(parts[3]);
	assert_null(text_split(ctx, "", ',')[0]);
	assert_null(text_split(ctx, " , ", ',')[0]);
	assert_string_equal(text_split(ctx, "one", ',')[0], "one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(duration_forms),
		cmocka_unit_test(percentages),
		cmocka_unit_test(sizes),
		cmocka_unit_test(integers),
		cmocka_unit_test(encodings),
		cmocka_unit_test(printable),
		cmocka_unit_test(utf8),
		cmocka_unit_test(nearest),
		cmocka_unit_test(matching),
		cmocka_unit_test(names),
		cmocka_unit_test(split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
