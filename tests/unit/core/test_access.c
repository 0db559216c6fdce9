/* Every role against every permission in every kind of place; what tokens narrow; grants as JSON and as people write them. */
#include "given.h"

#include "core/access.h"

struct row {
	enum role role;
	const char *may; /* one letter per permission, in the order of the enum: + or - */
};
/* view plan execute approve force emergency flags administer */
static const struct row table[] = {
	{ ROLE_VIEWER, "+-------" },
	{ ROLE_OPERATOR, "+++---+-" },
	{ ROLE_APPROVER, "++-+----" },
	{ ROLE_ADMIN, "++++++++" },
};

static struct principal someone(struct grant *grants, size_t count)
{
	return (struct principal){ .id = "prn-1", .name = "ana", .grants = grants, .grant_count = count, .narrowed_to = PERMISSIONS_ALL };
}

static void check(const struct principal *principal, enum permission permission, const char *environment, bool expected)
{
	struct err error = ERR_INIT;
	int r = access_check(principal, permission, environment, &error);

	if (access_permits(principal, permission, environment) != expected)
		fail_msg("%s in %s: expected %d", permission_name(permission), environment ? environment : "any", expected);
	assert_int_equal(r, expected ? 0 : -ERR_FORBIDDEN);
	if (!expected) {
		assert_non_null(strstr(error.text, permission_name(permission)));
		assert_non_null(strstr(error.text, "ana"));
	}
}

static void every_role_permission_and_place(unused_arg void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct grant one = { .environment = "staging", .role = table[i].role };
		struct grant all = { .environment = "*", .role = table[i].role };
		struct principal here = someone(&one, 1), everywhere = someone(&all, 1);

		assert_int_equal(strlen(table[i].may), PERMISSION_COUNT);
		for (size_t p = 0; p < PERMISSION_COUNT; p++) {
			bool may = table[i].may[p] == '+';
			enum permission permission = (enum permission)p;

			check(&here, permission, "staging", may);
			check(&here, permission, "production", false);
			check(&here, permission, NULL, may);
			check(&here, permission, "*", false);
			check(&everywhere, permission, "staging", may);
			check(&everywhere, permission, "production", may);
			check(&everywhere, permission, NULL, may);
			check(&everywhere, permission, "*", may);
		}
	}
}

static void the_local_command_line_may_everything(unused_arg void **state)
{
	for (size_t p = 0; p < PERMISSION_COUNT; p++) {
		check(NULL, (enum permission)p, "staging", true);
		check(NULL, (enum permission)p, NULL, true);
		check(NULL, (enum permission)p, "*", true);
	}
}

static void nobody_may_anything_without_a_grant(unused_arg void **state)
{
	struct principal nobody = someone(NULL, 0);

	for (size_t p = 0; p < PERMISSION_COUNT; p++) {
		check(&nobody, (enum permission)p, "staging", false);
		check(&nobody, (enum permission)p, NULL, false);
	}
}

static void grants_add_up(unused_arg void **state)
{
	struct grant grants[] = { { "*", ROLE_VIEWER, 0 }, { "production", ROLE_OPERATOR, PERMISSION_BIT(PERMIT_FORCE) } };
	struct principal principal = someone(grants, 2);

	check(&principal, PERMIT_VIEW, "staging", true);
	check(&principal, PERMIT_EXECUTE, "staging", false);
	check(&principal, PERMIT_FORCE, "staging", false);
	check(&principal, PERMIT_EXECUTE, "production", true);
	check(&principal, PERMIT_FORCE, "production", true);
	check(&principal, PERMIT_EMERGENCY, "production", false);
	check(&principal, PERMIT_EXECUTE, "*", false);
}

static void a_token_narrows_and_never_widens(unused_arg void **state)
{
	const char *only[] = { "staging", NULL };
	const char *other[] = { "production", "dev", NULL };
	struct grant grants[] = { { "*", ROLE_VIEWER, 0 }, { "staging", ROLE_OPERATOR, 0 } };
	struct principal principal = someone(grants, 2);

	principal.narrowed_to = PERMISSION_BIT(PERMIT_VIEW) | PERMISSION_BIT(PERMIT_EXECUTE) | PERMISSION_BIT(PERMIT_ADMINISTER);
	check(&principal, PERMIT_EXECUTE, "staging", true);
	check(&principal, PERMIT_FLAGS, "staging", false);
	check(&principal, PERMIT_ADMINISTER, "staging", false);
	principal.only_environments = only;
	check(&principal, PERMIT_VIEW, "staging", true);
	check(&principal, PERMIT_VIEW, "production", false);
	check(&principal, PERMIT_VIEW, "*", false);
	check(&principal, PERMIT_VIEW, NULL, true);
	principal.only_environments = other;
	check(&principal, PERMIT_EXECUTE, "staging", false);
	check(&principal, PERMIT_EXECUTE, NULL, false);
	check(&principal, PERMIT_VIEW, "dev", true);
}

static void a_refusal_names_the_role_that_would_do(unused_arg void **state)
{
	struct grant grant = { "production", ROLE_VIEWER, 0 };
	struct principal principal = someone(&grant, 1);
	struct err error = ERR_INIT;

	assert_int_equal(access_check(&principal, PERMIT_EXECUTE, "production", &error), -ERR_FORBIDDEN);
	assert_string_equal(error.text, "ana may not execute anything in 'production': it needs the permission 'execute' (role operator)");
	assert_int_equal(access_check(&principal, PERMIT_FORCE, "production", &error), -ERR_FORBIDDEN);
	assert_non_null(strstr(error.text, "(role admin)"));
	assert_int_equal(access_check(&principal, PERMIT_FLAGS, "production", &error), -ERR_FORBIDDEN);
	assert_string_equal(error.text, "ana may not change flags in 'production': it needs the permission 'flags' (role operator)");
	assert_int_equal(access_check(&principal, PERMIT_EMERGENCY, "*", &error), -ERR_FORBIDDEN);
	assert_non_null(strstr(error.text, "ana may not begin an emergency in all environments"));
}

static void grants_are_read_as_they_are_written(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct grant grants[] = { { "*", ROLE_VIEWER, 0 },
		{ "production", ROLE_OPERATOR, PERMISSION_BIT(PERMIT_FORCE) | PERMISSION_BIT(PERMIT_EMERGENCY) } };
	json_t *json = json_keep(ctx, grants_json(grants, 2));
	struct err error = ERR_INIT;
	struct grant *read;
	size_t count;

	assert_int_equal(grants_read(ctx, json, &read, &count, &error), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(read[i].environment, grants[i].environment);
		assert_int_equal(read[i].role, grants[i].role);
		assert_int_equal(read[i].extra, grants[i].extra);
	}
}

static void wrong_grants_are_refused(unused_arg void **state)
{
	static const char *const wrong[] = { "{}", "[{}]", "[{environment: a}]", "[{environment: a, role: king}]",
		"[{environment: '../a', role: viewer}]", "[{environment: a, role: viewer, permissions: [administer]}]",
		"[{environment: a, role: viewer, permissions: [fly]}]", "[{environment: a, role: viewer, permissions: [1]}]", "[1]" };
	static const char *const wrong_words[] = { "production", "=viewer", "a=", "a=king", "a=viewer+administer", "a=viewer+fly",
		"a b=viewer" };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	struct grant *read, one;
	size_t count;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (grants_read(ctx, given(ctx, wrong[i]), &read, &count, &error) != -ERR_INVALID)
			fail_msg("%s was taken", wrong[i]);
	for (size_t i = 0; i < ARRAY_SIZE(wrong_words); i++)
		if (grant_parse(ctx, wrong_words[i], &one, &error) != -ERR_INVALID)
			fail_msg("%s was taken", wrong_words[i]);
}

static void grants_are_read_as_people_write_them(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	struct grant grant;

	assert_int_equal(grant_parse(ctx, "production=operator+force+emergency", &grant, &error), 0);
	assert_string_equal(grant.environment, "production");
	assert_int_equal(grant.role, ROLE_OPERATOR);
	assert_int_equal(grant.extra, PERMISSION_BIT(PERMIT_FORCE) | PERMISSION_BIT(PERMIT_EMERGENCY));
	assert_int_equal(grant_parse(ctx, "*=admin", &grant, &error), 0);
	assert_string_equal(grant.environment, "*");
	assert_int_equal(grant.extra, 0);
}

static void names_are_read_back(unused_arg void **state)
{
	struct err error = ERR_INIT;

	for (size_t i = 0; i < PERMISSION_COUNT; i++) {
		enum permission read = PERMISSION_COUNT;

		assert_int_equal(permission_parse(permission_name((enum permission)i), &read, &error), 0);
		assert_int_equal(read, i);
	}
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		enum role read = ROLE_COUNT;

		assert_int_equal(role_parse(role_name((enum role)i), &read, &error), 0);
		assert_int_equal(read, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_role_permission_and_place),
		cmocka_unit_test(the_local_command_line_may_everything),
		cmocka_unit_test(nobody_may_anything_without_a_grant),
		cmocka_unit_test(grants_add_up),
		cmocka_unit_test(a_token_narrows_and_never_widens),
		cmocka_unit_test(a_refusal_names_the_role_that_would_do),
		cmocka_unit_test(grants_are_read_as_they_are_written),
		cmocka_unit_test(wrong_grants_are_refused),
		cmocka_unit_test(grants_are_read_as_people_write_them),
		cmocka_unit_test(names_are_read_back),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
