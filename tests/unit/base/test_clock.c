/* Written forms of time, against known values. */
#include "cmocka_base.h"

#include "base/clock.h"

static void formats(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_string_equal(clock_format(ctx, 0), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_format(ctx, 1795236813120), "2026-11-21T04:53:33.120Z");
	assert_string_equal(clock_format(ctx, 951782400000), "2000-02-29T00:00:00.000Z");
	assert_string_equal(clock_format(ctx, -1), "1969-12-31T23:59:59.999Z");
}

static void parses(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{ "2026-11-21T04:53:33.120Z", 1795236813120 },
		{ "2026-11-21T04:53:33Z", 1795236813000 },
		{ "2026-11-21 05:53:33.1209999+01:00", 1795236813120 },
		{ "2026-11-20t20:53:33.12-08:00", 1795236813120 },
		{ "2000-02-29T00:00:00Z", 951782400000 },
		{ "1969-12-31T23:59:59.999Z", -1 },
		{ "2016-12-31T23:59:60Z", 1483228800000 },
	};
	struct err error = ERR_INIT;
	int64_t ms;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(clock_parse(cases[i].text, &ms, &error));
		assert_int_equal(ms, cases[i].ms);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = { "", "yesterday", "2026-11-21", "2026-11-21T04:53:33", "2026-13-01T00:00:00Z",
		"2026-02-29T00:00:00Z", "2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
		"2026-01-01T00:00:61Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Z ", "2026-01-01T00:00:00+1:00",
		"2026-01-01T00:00:00+24:00", "1900-02-29T00:00:00Z", "26-01-01T00:00:00Z", "2026-1-01T00:00:00Z" };
	struct err error = ERR_INIT;
	int64_t ms = 42;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_fails(clock_parse(bad[i], &ms, &error), ERR_INVALID);
		assert_int_equal(ms, 42);
	}
}

static void ages(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	int64_t now = 1795236813120;

	assert_string_equal(clock_format_age(ctx, now - 12999, now), "12 s ago");
	assert_string_equal(clock_format_age(ctx, now - 60000, now), "1 min ago");
	assert_string_equal(clock_format_age(ctx, now - 2 * 3600000 - 1, now), "2 h ago");
	assert_string_equal(clock_format_age(ctx, now - 5 * 86400000LL, now), "5 d ago");
	assert_string_equal(clock_format_age(ctx, now + 4 * 60000, now), "in 4 min");
	assert_string_equal(clock_format_age(ctx, now, now), "0 s ago");
}

static void clocks_run(void **state)
{
	int64_t us = clock_mono_us(), ms = clock_mono_ms();

	assert_true(clock_wall_ms() > 1700000000000);
	assert_true(ms >= us / 1000 && ms < us / 1000 + 60000);
	assert_true(clock_mono_us() >= us);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(formats), cmocka_unit_test(parses), cmocka_unit_test(refuses),
		cmocka_unit_test(ages), cmocka_unit_test(clocks_run) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
