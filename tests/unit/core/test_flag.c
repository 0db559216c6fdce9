/* flag.c: definitions with places, the evaluation table, shares and their stability. */
#include "given.h"

#include "core/flag.h"
#include "data/hash.h"

static struct flag *read_flag(void *ctx, const char *key, const char *text, struct problems **ret_problems)
{
	struct doc *doc = given_yaml(ctx, text);

	*ret_problems = problems_new(ctx, doc);
	return flag_read(ctx, key, doc, *ret_problems);
}

static struct flag *good_flag(void *ctx, const char *key, const char *text)
{
	struct problems *problems;
	struct flag *flag = read_flag(ctx, key, text, &problems);

	expect_no_problem(problems);
	return flag;
}

static struct flag_state state_of(const struct flag *flag, const char *text)
{
	struct err err = ERR_INIT;
	struct flag_state state = { 0 };

	if (flag_state_parse(flag, text, &state, &err) < 0)
		fail_msg("%s", err.text);
	return state;
}

static void expect(void *ctx, const struct flag *flag, const char *state, const char *context, const char *reason, const char *variant)
{
	struct flag_result result = flag_evaluate(flag, state_of(flag, state), context ? given(ctx, context) : NULL);

	if (strcmp(flag_reason_name(result.reason), reason) != 0 || strcmp(result.variant->name, variant) != 0)
		fail_msg("%s in %s: %s %s, not %s %s", flag->key, context, flag_reason_name(result.reason), result.variant->name, reason,
			variant);
}

#define SEARCH "type: string\ngroup: phase-4\nvariants: {classic: v1, fast: v2, beta: v3}\ndefaultVariant: fast\noffVariant: classic\n"

static void states(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag *flag = good_flag(ctx, "search", SEARCH);
	struct flag_state parsed;
	struct err err = ERR_INIT;

	(void)state;
	expect(ctx, flag, "true", NULL, "STATIC", "fast");
	expect(ctx, flag, "false", NULL, "DISABLED", "classic");
	expect(ctx, flag, "beta", NULL, "STATIC", "beta");
	assert_string_equal(flag->group, "phase-4");
	assert_int_equal(flag_state_parse(flag, "blue", &parsed, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "true, false, beta, classic, fast"));
}

static void without_a_definition(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag *flag = flag_plain(ctx, "checkout", "g", "true");

	(void)state;
	expect(ctx, flag, "true", NULL, "STATIC", "on");
	expect(ctx, flag, "false", NULL, "DISABLED", "off");
	expect(ctx, flag, "on", NULL, "STATIC", "on");
	assert_true(json_is_true(flag->variants[flag->on].value));
	assert_true(json_is_false(flag->variants[flag->off].value));
	flag = flag_plain(ctx, "checkout", NULL, "blue");
	expect(ctx, flag, "blue", NULL, "STATIC", "blue");
	assert_string_equal(json_string_value(flag->variants[0].value), "blue");
}

static void a_boolean_flag_needs_no_word(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag *flag = good_flag(ctx, "checkout", "description: new checkout");

	(void)state;
	expect(ctx, flag, "true", NULL, "STATIC", "on");
	expect(ctx, flag, "false", NULL, "DISABLED", "off");
}

static void operators(void **state)
{
	/* operator, value, what holds, what does not */
	/* clang-format off */
	static const char *const table[][4] = {
		{ "equals", "pro", "a: pro", "a: Pro" },
		{ "equals", "1", "a: 1.0", "a: '1'" },
		{ "equals", "true", "a: true", "a: false" },
		{ "not_equals", "pro", "a: free", "a: pro" },
		{ "not_equals", "pro", "a: 1", "b: free" }, /* an attribute that is not there holds nothing */
		{ "in", "[pro, 7]", "a: 7", "a: free" },
		{ "not_in", "[pro, 7]", "a: free", "a: pro" },
		{ "starts_with", "ab", "a: abc", "a: cab" },
		{ "ends_with", "ab", "a: cab", "a: abc" },
		{ "contains", "b", "a: abc", "a: ac" },
		{ "contains", "b", "a: [a, b]", "a: [ab]" },
		{ "greater", "3", "a: 3.5", "a: 3" },
		{ "less", "3", "a: -1", "a: '2'" },
		{ "semver_at_least", "2.1.0", "a: 2.1.0", "a: 2.1.0-rc.1" },
		{ "semver_at_least", "2.1.0", "a: v10.0.0", "a: not a version" },
		{ "semver_below", "2.1.0", "a: 2.0.9", "a: 2.1.0" },
	};
	/* clang-format on */
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct flag *flag = good_flag(ctx, "f",
			mem_printf(ctx, "rules:\n- if: [{attribute: a, op: %s, value: %s}]\n  then: off\n", table[i][0], table[i][1]));

		expect(ctx, flag, "true", table[i][2], "TARGETING_MATCH", "off");
		expect(ctx, flag, "true", table[i][3], "DEFAULT", "on");
		expect(ctx, flag, "false", table[i][2], "DISABLED", "off");
		assert_false(flag_is_static(flag, state_of(flag, "true")));
		assert_true(flag_is_static(flag, state_of(flag, "false")));
	}
}

static void the_first_rule_that_holds_counts(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag *flag = good_flag(ctx, "search",
		SEARCH
		"rules:\n- if: [{attribute: plan, op: equals, value: pro}, {attribute: country, op: in, value: [de, fr]}]\n  then: beta\n"
		"- if: [{attribute: plan, op: equals, value: pro}]\n  then: classic\n- share: {classic: 100}\n");

	(void)state;
	expect(ctx, flag, "true", "{plan: pro, country: fr}", "TARGETING_MATCH", "beta");
	expect(ctx, flag, "true", "{plan: pro, country: it}", "TARGETING_MATCH", "classic");
	expect(ctx, flag, "true", "{plan: free, targetingKey: ana}", "SPLIT", "classic");
	expect(ctx, flag, "true", "{plan: free}", "ERROR", "classic");
	expect(ctx, flag, "true", "{plan: free, targetingKey: ''}", "ERROR", "classic");
	expect(ctx, flag, "beta", "{plan: pro}", "STATIC", "beta");
}

/* Known answers, so that a change of the formula cannot pass: SHA-256 by another program. */
static void shares_are_stable(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag *flag = good_flag(ctx, "search", SEARCH "rules: [{share: {beta: 10, classic: 40, fast: 50}}]");

	(void)state;
	expect(ctx, flag, "true", "targetingKey: user-1", "SPLIT", "fast");
	expect(ctx, flag, "true", "targetingKey: user-2", "SPLIT", "classic");
	expect(ctx, flag, "true", "targetingKey: user-11", "SPLIT", "beta");
	expect(ctx, flag, "true", "targetingKey: user-4", "SPLIT", "classic");
}

static size_t variant_of(const struct flag *flag, unsigned who)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag_result result = flag_evaluate(flag, (struct flag_state){ .standing = FLAG_ON },
		json_make(ctx, "{s:s}", "targetingKey", mem_printf(ctx, "user-%u", who)));

	return (size_t)(result.variant - flag->variants);
}

/* 20,000 people: each share within 4 standard deviations; of two variants, nobody leaves the one that grows. */
static void shares_are_as_large_as_they_say(void **state)
{
	enum { PEOPLE = 20000 };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag *three = good_flag(ctx, "search", SEARCH "rules: [{share: {beta: 10, classic: 40, fast: 50}}]");
	struct flag *small = good_flag(ctx, "search", "rules: [{share: {on: 10, off: 90}}]");
	struct flag *large = good_flag(ctx, "search", "rules: [{share: {on: 30, off: 70}}]");
	struct flag *other = good_flag(ctx, "other", "rules: [{share: {on: 10, off: 90}}]");
	static const double parts[] = { 0.1, 0.4, 0.5 };
	size_t counts[3] = { 0 }, on = 0, in_both = 0;

	(void)state;
	for (unsigned i = 0; i < PEOPLE; i++) {
		counts[variant_of(three, i)]++;
		if (variant_of(small, i) == small->on) {
			on++;
			assert_int_equal(variant_of(large, i), large->on);
			in_both += variant_of(other, i) == other->on;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		double deviation = ((double)counts[i] - parts[i] * PEOPLE) / PEOPLE;

		/* variance of a share: p (1 - p) / n */
		if (deviation * deviation > 16 * parts[i] * (1 - parts[i]) / PEOPLE)
			fail_msg("variant %s has %zu of %d", three->variants[i].name, counts[i], PEOPLE);
	}
	/* Two flags do not choose the same people: some 1 % are in both. */
	assert_true(in_both > on / 20 && in_both < on / 5);
}

static void problems_have_places(void **state)
{
	/* clang-format off */
	static const char *const table[][3] = {
		{ "type: text", "type", "boolean" },
		{ "typ: boolean", "typ", "did you mean" },
		{ "type: string", "variants", "needs its variants" },
		{ "variants: {on: 1, off: false}", "variants.on", "must be a boolean" },
		{ "variants: {yes: true, off: false}", "defaultVariant", "one of: off, yes" },
		{ "variants: {'true': true, off: false}", "variants.true", "state of the flag" },
		{ "variants: {'a b': true}", "variants[\"a b\"]", "no name" },
		{ "defaultVariant: blue", "defaultVariant", "no variant 'blue'" },
		{ "offVariant: blue", "offVariant", "no variant 'blue'" },
		{ "rules: {if: []}", "rules", "list" },
		{ "rules: [{then: blue}]", "rules[0].then", "no variant 'blue'" },
		{ "rules: [{if: []}]", "rules[0]", "either then" },
		{ "rules: [{then: on, share: {on: 100}}]", "rules[0]", "either then" },
		{ "rules: [{then: on}, {then: off}]", "rules[0]", "never reached" },
		{ "rules: [{share: {on: 60, off: 60}}]", "rules[0].share", "120 percent" },
		{ "rules: [{share: {on: 60, blue: 40}}]", "rules[0].share.blue", "no variant" },
		{ "rules: [{share: {on: -1, off: 101}}]", "rules[0].share.on", "0 to 100" },
		{ "rules: [{if: [{attribute: a, op: like, value: b}], then: on}]", "rules[0].if[0].op", "equals" },
		{ "rules: [{if: [{attribute: a, op: in, value: b}], then: on}]", "rules[0].if[0].value", "a list" },
		{ "rules: [{if: [{attribute: a, op: greater, value: b}], then: on}]", "rules[0].if[0].value", "a number" },
		{ "rules: [{if: [{attribute: a, op: equals, value: null}], then: on}]", "rules[0].if[0].value", "a text" },
		{ "rules: [{if: [{attribute: a, op: semver_at_least, value: latest}], then: on}]", "rules[0].if[0].value", "version" },
		{ "rules: [{if: [{op: equals, value: b}], then: on}]", "rules[0].if[0].attribute", "required" },
	};
	/* clang-format on */
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		(void)read_flag(ctx, "f", table[i][0], &problems);
		expect_problem(problems, table[i][1], table[i][2]);
	}
	(void)read_flag(ctx, "f", "type: string\nvariants:\n  a: 1\n", &problems);
	assert_int_equal(problems->list[0].line, 3);
}

static void too_much_is_refused(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text = mem_strdup(ctx, "type: string\ndefaultVariant: v0\noffVariant: v0\nvariants:\n");
	struct problems *problems;

	(void)state;
	for (int i = 0; i <= FLAG_VARIANTS_MAX; i++)
		text = mem_appendf(text, "  v%d: x\n", i);
	(void)read_flag(ctx, "f", text, &problems);
	expect_problem(problems, "variants", "at most 64");
	text = mem_strdup(ctx, "type: string\ndefaultVariant: v\noffVariant: v\nvariants: {v: ");
	for (unsigned i = 0; i < FLAG_SIZE_MAX / 64 + 1; i++)
		text = mem_append(text, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	(void)read_flag(ctx, "f", mem_append(text, "}"), &problems);
	expect_problem(problems, "", "at most 65536");
}

static void a_definition_reads_back(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag *flag = good_flag(ctx, "search",
		SEARCH
		"description: d\nrules:\n- if: [{attribute: v, op: semver_below, value: 3.0.0}]\n  share: {beta: 0.1, fast: 99.7, classic: 0.2}\n"
		"- then: beta\n");
	json_t *written = json_keep(ctx, flag_json(flag)), *again;
	struct problems *problems = problems_new(ctx, NULL);
	struct flag *second = flag_read(ctx, "search", doc_wrap(ctx, "again", written), problems);

	(void)state;
	expect_no_problem(problems);
	again = json_keep(ctx, flag_json(second));
	assert_string_equal(json_canonical(ctx, again), json_canonical(ctx, written));
	assert_non_null(strstr(json_canonical(ctx, written), "\"share\":{\"beta\":0.1,\"classic\":0.2,\"fast\":99.7}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states),
		cmocka_unit_test(without_a_definition),
		cmocka_unit_test(a_boolean_flag_needs_no_word),
		cmocka_unit_test(operators),
		cmocka_unit_test(the_first_rule_that_holds_counts),
		cmocka_unit_test(shares_are_stable),
		cmocka_unit_test(shares_are_as_large_as_they_say),
		cmocka_unit_test(problems_have_places),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(a_definition_reads_back),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
