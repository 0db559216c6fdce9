/* version.c: kinds, precedence to the letter of SemVer 2.0.0 (11.1 to 11.4), calendar versions, jumps. */
#include "given.h"

#include <stdlib.h>
#include <time.h>

#include "core/version.h"

static struct version parse(const void *ctx, const char *text)
{
	struct version version;
	struct err err = ERR_INIT;

	if (version_parse(ctx, text, &version, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return version;
}

static void kinds(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text;
		enum version_kind kind;
	} cases[] = {
		{ "1.2.3", VERSION_SEMVER }, { "v1.2.3", VERSION_SEMVER }, { "0.0.0", VERSION_SEMVER }, { "1.0.0-alpha.1", VERSION_SEMVER },
		{ "1.0.0-0.3.7", VERSION_SEMVER }, { "1.0.0+20130313144700", VERSION_SEMVER }, { "1.0.0-beta+exp.sha.5114f85", VERSION_SEMVER },
		{ "1.0.0+21AF26D3----117B344092BD", VERSION_SEMVER }, { "1.0.0-x-y-z.--", VERSION_SEMVER }, { "1.0.0+001", VERSION_SEMVER },
		{ "99999999999999999999999.999999999999999999.99999999999999999", VERSION_SEMVER }, { "26.4.1-rc1", VERSION_SEMVER },
		{ "1.0.0-0A.is.legal", VERSION_SEMVER }, { "2100.1.1", VERSION_SEMVER }, { "99.13.1", VERSION_SEMVER },
		{ "2026.11", VERSION_CALENDAR }, { "2026.11.21", VERSION_CALENDAR }, { "v2026.11.21", VERSION_CALENDAR }, { "26.04", VERSION_CALENDAR },
		{ "26.04.1-rc1", VERSION_CALENDAR }, { "2026.01.02.3", VERSION_CALENDAR }, { "15.12", VERSION_CALENDAR }, { "2026.11.21-01", VERSION_CALENDAR },
		{ "deadbee", VERSION_SHA }, { "0123456789abcdef0123456789abcdef01234567", VERSION_SHA }, { "1111111111111111111111111111111111111111", VERSION_SHA },
		{ "DEADBEEF", VERSION_SHA },
		{ "1", VERSION_OTHER }, { "1.2", VERSION_OTHER }, { "01.2.3", VERSION_OTHER }, { "1.02.3", VERSION_OTHER }, { "1.2.3-01", VERSION_OTHER },
		{ "1.2.3-", VERSION_OTHER }, { "1.2.3+", VERSION_OTHER }, { "1.2.3-a..b", VERSION_OTHER }, { "1.2.3-a_b", VERSION_OTHER },
		{ "1.2.3.4.5", VERSION_OTHER }, { "1.2.3.4", VERSION_OTHER }, { "vv1.2.3", VERSION_OTHER }, { "V1.2.3", VERSION_OTHER }, { "1.2.3+a+b", VERSION_OTHER },
		{ "26.13", VERSION_OTHER }, { "14.10", VERSION_OTHER }, { "1234567", VERSION_OTHER }, { "abcdef", VERSION_OTHER }, { "latest", VERSION_OTHER },
		{ "mono-v3", VERSION_OTHER }, { ".", VERSION_OTHER }, { "v", VERSION_OTHER }, { "1.2.3 ", VERSION_OTHER },
		{ "0123456789abcdef0123456789abcdef012345678", VERSION_OTHER },
	};
	/* clang-format on */
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct version version = parse(ctx, cases[i].text);

		if (version.kind != cases[i].kind)
			fail_msg("%s is %s", cases[i].text, version_kind_name(version.kind));
		assert_string_equal(version.text, cases[i].text);
	}
}

static void parts(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct version version = parse(ctx, "v1.20.3-rc.1+exp.sha.5114f85");

	assert_int_equal(version.part_count, 3);
	assert_int_equal(version.parts[0], 1);
	assert_int_equal(version.parts[1], 20);
	assert_int_equal(version.parts[2], 3);
	assert_string_equal(version.pre, "rc.1");
	assert_string_equal(version.build, "exp.sha.5114f85");
	version = parse(ctx, "1.2.3");
	assert_null(version.pre);
	assert_null(version.build);
	version = parse(ctx, "18446744073709551616.0.0");
	assert_true(version.parts[0] == UINT64_MAX);
}

static void refused(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct version version;
	struct err err = ERR_INIT;
	char text[300];

	assert_int_equal(version_parse(ctx, "", &version, &err), -ERR_INVALID);
	assert_int_equal(version_parse(ctx, "1.0\n", &version, &err), -ERR_INVALID);
	assert_int_equal(version_parse(ctx, "\x7f", &version, &err), -ERR_INVALID);
	assert_int_equal(version_parse(ctx, "\xff\xfe", &version, &err), -ERR_INVALID);
	memset(text, 'x', sizeof(text));
	text[257] = 0;
	assert_int_equal(version_parse(ctx, text, &version, &err), -ERR_INVALID);
	text[256] = 0;
	assert_int_equal(version_parse(ctx, text, &version, &err), 0);
}

/* Each list from the lowest to the highest: every pair of it is compared both ways. */
static void precedence(void **state)
{
	static const char *const semver[] = { "0.0.0", "0.0.1", "0.1.0", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-99999999999999999999998",
		"1.0.0-99999999999999999999999", "1.0.0-100000000000000000000000", "1.0.0--", "1.0.0-A", "1.0.0-a", "1.0.0-alpha",
		"1.0.0-alpha.1", "1.0.0-alpha.1.0", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
		"1.0.0", "1.0.1", "1.9.0", "1.10.0", "1.11.0", "2.0.0", "2.1.0", "2.1.1", "10.0.0", "99999999999999999999998.0.0",
		"99999999999999999999999.0.0", "100000000000000000000000.0.0" };
	static const char *const calendar[] = { "15.01", "2025.12.31", "26.04", "2026.10", "2026.11-rc1", "2026.11", "2026.11.1",
		"2026.11.1.1", "2026.11.21", "2027.01" };
	static const struct {
		const char *const *list;
		size_t count;
	} lists[] = { { semver, ARRAY_SIZE(semver) }, { calendar, ARRAY_SIZE(calendar) } };
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		for (size_t i = 0; i < lists[l].count; i++)
			for (size_t k = 0; k < lists[l].count; k++) {
				struct version a = parse(ctx, lists[l].list[i]), b = parse(ctx, lists[l].list[k]);
				int order = 9;

				assert_true(version_compare(&a, &b, &order));
				if (order != (i > k) - (i < k))
					fail_msg("%s against %s gives %d", a.text, b.text, order);
			}
}

static int compare(const void *ctx, const char *a, const char *b)
{
	struct version one = parse(ctx, a), other = parse(ctx, b);
	int order;

	return version_compare(&one, &other, &order) ? order : 9;
}

static void equal_and_unordered(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_int_equal(compare(ctx, "1.0.0+a", "v1.0.0+b"), 0);
	assert_int_equal(compare(ctx, "1.0.0-rc.1+a", "1.0.0-rc.1"), 0);
	assert_int_equal(compare(ctx, "2026.11", "2026.11.0"), 0);
	assert_int_equal(compare(ctx, "26.04", "2026.4"), 0);
	assert_int_equal(compare(ctx, "1.0.0", "2026.11.21"), 9);
	assert_int_equal(compare(ctx, "deadbee", "deadbef"), 9);
	assert_int_equal(compare(ctx, "deadbee", "1.0.0"), 9);
	assert_int_equal(compare(ctx, "latest", "latest"), 9);
}

static void jumps(void **state)
{
	/* clang-format off */
	static const struct {
		const char *from, *to;
		bool jump;
	} cases[] = {
		{ "2.0.0", "1.9.9", false }, { "3.0.0", "1.9.9", true }, { "1.0.0", "3.0.0-rc.1", true }, { "1.9.0", "1.0.0", false }, { "0.2.0", "0.1.9", false },
		{ "0.3.0", "0.1.9", true }, { "1.5.0", "0.1.0", false }, { "2.0.0", "0.9.0", true }, { "2026.11", "2023.11", false }, { "deadbee", "1.0.0", false },
	};
	/* clang-format on */
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct version from = parse(ctx, cases[i].from), to = parse(ctx, cases[i].to);

		if (version_skips_major(&from, &to) != cases[i].jump)
			fail_msg("%s to %s", cases[i].from, cases[i].to);
	}
}

static char *random_version(const void *ctx, uint64_t *random)
{
	static const char *const identifiers[] = { "0", "1", "2", "10", "9", "a", "b", "A", "-", "a1", "1a", "alpha", "rc", "4294967296" };
	char *text = mem_printf(ctx, "%u.%u.%u", random_next(random) % 3, random_next(random) % 3, random_next(random) % 12);
	unsigned count = random_next(random) % 4;

	for (unsigned i = 0; i < count; i++)
		text = mem_appendf(text, "%c%s", i ? '.' : '-', identifiers[random_next(random) % ARRAY_SIZE(identifiers)]);
	return random_next(random) % 4 ? text : mem_append(text, "+build.01");
}

/* A total order: antisymmetric, transitive; a text always equals itself. */
static void order_is_total(void **state)
{
	const char *given = getenv("UNSHIP_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL), random = seed;

	print_message("seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 3000; round++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		char *a = random_version(ctx, &random), *b = random_version(ctx, &random), *c = random_version(ctx, &random);
		int ab = compare(ctx, a, b), bc = compare(ctx, b, c), ac = compare(ctx, a, c);

		if (compare(ctx, a, a) != 0 || ab != -compare(ctx, b, a) || (ab <= 0 && bc <= 0 && ac > 0) ||
			(ab >= 0 && bc >= 0 && ac < 0) || (ab == 0 && ac != bc))
			fail_msg("seed %llu: %s, %s, %s", (unsigned long long)seed, a, b, c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(parts),
		cmocka_unit_test(refused),
		cmocka_unit_test(precedence),
		cmocka_unit_test(equal_and_unordered),
		cmocka_unit_test(jumps),
		cmocka_unit_test(order_is_total),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
