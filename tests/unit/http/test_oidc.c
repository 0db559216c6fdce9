/* oidc_flows.c, oidc.c: what is remembered of a sign-in that has begun, and where a browser may be sent. */
#include "checks.h"

#include <string.h>

#include "data/hash.h"
#include "surface/http/oidc.h"
#include "surface/http/oidc_flows.h"

static int take(struct oidc_flows *flows, void *ctx, const struct oidc_flow *flow, int64_t now_ms, struct oidc_flow *ret)
{
	struct err error = ERR_INIT;

	return oidc_flows_take(flows, ctx, flow->state, flow->browser, now_ms, ret, &error);
}

static void each_comes_back_once(void **state)
{
	struct oidc_flows *flows = oidc_flows_new(*state);
	struct oidc_flow flow, other, back;
	struct err error = ERR_INIT;

	oidc_flows_add(flows, *state, "::1", "/a", true, 1000, &flow);
	oidc_flows_add(flows, *state, "::1", "/b", false, 1000, &other);
	assert_int_equal(strlen(flow.state), 43);
	assert_string_not_equal(flow.state, other.state);
	assert_string_not_equal(flow.nonce, flow.verifier);
	assert_int_equal(take(flows, *state, &flow, 1000, &back), 0);
	assert_string_equal(back.nonce, flow.nonce);
	assert_string_equal(back.verifier, flow.verifier);
	assert_string_equal(back.next, "/a");
	assert_true(back.again);
	assert_int_equal(take(flows, *state, &flow, 1000, &back), -ERR_UNAUTHENTICATED);
	/* another browser: refused, and used up */
	assert_fails(oidc_flows_take(flows, *state, other.state, flow.browser, 1000, &back, &error), ERR_UNAUTHENTICATED);
	assert_int_equal(take(flows, *state, &other, 1000, &back), -ERR_UNAUTHENTICATED);
	assert_fails(oidc_flows_take(flows, *state, NULL, NULL, 1000, &back, &error), ERR_UNAUTHENTICATED);
	oidc_flows_add(flows, *state, "::1", "/b", false, 1000, &other);
	assert_fails(oidc_flows_take(flows, *state, other.state, NULL, 1000, &back, &error), ERR_UNAUTHENTICATED);
}

static void ten_minutes_is_too_late(void **state)
{
	struct oidc_flows *flows = oidc_flows_new(*state);
	struct oidc_flow flow, late, back;

	oidc_flows_add(flows, *state, "::1", "/", false, 1000, &flow);
	oidc_flows_add(flows, *state, "::1", "/", false, 1000, &late);
	assert_int_equal(take(flows, *state, &flow, 1000 + FLOW_LIFE_MS - 1, &back), 0);
	assert_int_equal(take(flows, *state, &late, 1000 + FLOW_LIFE_MS, &back), -ERR_UNAUTHENTICATED);
}

static void there_is_a_most(void **state)
{
	struct oidc_flows *flows = oidc_flows_new(*state);
	struct oidc_flow first, of_other, flow, back;

	oidc_flows_add(flows, *state, "::2", "/", false, 1, &of_other);
	oidc_flows_add(flows, *state, "::1", "/", false, 2, &first);
	for (int i = 0; i < FLOWS_OF_ADDRESS; i++)
		oidc_flows_add(flows, *state, "::1", "/", false, 3 + i, &flow);
	/* an address pushes out its own, not those of others */
	assert_int_equal(take(flows, *state, &first, 1000, &back), -ERR_UNAUTHENTICATED);
	assert_int_equal(take(flows, *state, &flow, 1000, &back), 0);
	assert_int_equal(take(flows, *state, &of_other, 1000, &back), 0);
	/* all together: the oldest goes */
	oidc_flows_add(flows, *state, "::3", "/", false, 0, &first);
	for (int i = 0; i < FLOWS_MAX; i++)
		oidc_flows_add(flows, *state, mem_printf(*state, "10.0.0.%d", i % 64), "/", false, 1000 + i, &flow);
	assert_int_equal(take(flows, *state, &first, 4000, &back), -ERR_UNAUTHENTICATED);
	assert_int_equal(take(flows, *state, &flow, 4000, &back), 0);
}

static void browsers_are_sent_to_this_server_only(void **state)
{
	static const char *const refused[] = { "", "a", "//evil.example", "/\\evil.example", "\\/evil.example", "/a\\b", "/\t/evil",
		"/a\nb", "/\x7f", "http://evil", "/api/v1/login/oidc", "/api/v1/login" };
	static const struct {
		const char *given, *wanted;
	} taken[] = { { "/", "/" }, { "/a/b?x=1&y=%20#z", "/a/b?x=1&y=%20#z" }, { "/a b", "/a%20b" }, { "/\xc3\xa4", "/%C3%A4" },
		{ "/<\"'>", "/%3C%22'%3E" }, { "/.//evil.example", "/.//evil.example" }, { "/@evil.example", "/@evil.example" } };
	char *longest = mem_array(*state, char, 1026);

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (oidc_next(*state, refused[i]))
			fail_msg("'%s' was taken", refused[i]);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		assert_string_equal(oidc_next(*state, taken[i].given), taken[i].wanted);
	memset(longest, 'a', 1025);
	longest[0] = '/';
	assert_null(oidc_next(*state, longest));
	longest[1024] = '\0';
	assert_non_null(oidc_next(*state, longest));
}

static int set_up(void **state)
{
	hash_setup();
	*state = mem_context(NULL);
	return 0;
}

static int tear_down(void **state)
{
	return talloc_free(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_comes_back_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ten_minutes_is_too_late, set_up, tear_down),
		cmocka_unit_test_setup_teardown(there_is_a_most, set_up, tear_down),
		cmocka_unit_test_setup_teardown(browsers_are_sent_to_this_server_only, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
