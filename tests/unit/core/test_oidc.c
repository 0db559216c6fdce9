/* oidc.c: `server.oidc` of the project file, and what groups become. */
#include "given.h"

#include "core/oidc.h"

static const char *const environments[] = { "production", "staging", NULL };

static struct oidc_config *read_text(const void *ctx, const char *text, struct problems **ret)
{
	struct doc *doc = given_yaml(ctx, text);
	json_t *server = json_object_get(doc_root(doc), "server");

	*ret = problems_new(ctx, doc);
	return oidc_read(ctx, json_object_get(server, "oidc"), environments, *ret);
}

static const char whole[] =
	"server:\n"
	"  oidc:\n"
	"    issuer: https://idp.example/realms/team\n"
	"    clientId: unship\n"
	"    clientSecret: {env: SECRET}\n"
	"    grants:\n"
	"      ops: [{environment: '*', role: viewer}, {environment: production, role: operator, permissions: [force, emergency]}]\n"
	"      all: [{environment: '*', role: viewer}]\n"
	"      admins: [{environment: '*', role: admin}]\n";

static void a_configuration_is_read(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct oidc_config *config = read_text(ctx, whole, &problems);

	(void)state;
	expect_no_problem(problems);
	assert_string_equal(config->issuer, "https://idp.example/realms/team");
	assert_string_equal(config->groups_claim, "groups");
	assert_null(config->name_claim);
	assert_string_equal(config->scopes[0], "openid");
	assert_string_equal(config->scopes[3], "groups");
	assert_null(config->scopes[4]);
	assert_int_equal(config->rule_count, 3);
	assert_int_equal(config->rules[0].grant_count, 2);
	assert_int_equal(config->rules[0].grants[1].role, ROLE_OPERATOR);
	assert_int_equal(config->rules[0].grants[1].extra, PERMISSION_BIT(PERMIT_FORCE) | PERMISSION_BIT(PERMIT_EMERGENCY));
	assert_null(read_text(ctx, "server: {}\n", &problems));
	expect_no_problem(problems);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;

	(void)state;
	(void)read_text(ctx,
		"server:\n"
		"  oidc:\n"
		"    issuer: http://idp.example\n"
		"    client: unship\n"
		"    clientSecret: canary-plain\n"
		"    scopes: [profile, 'a b']\n"
		"    groupsClaim: /a~2\n"
		"    grants:\n"
		"      a: [{environment: prodction, role: operator}, {environment: production, role: king}, 7, {role: admin}]\n"
		"      b: {environment: production}\n"
		"      c: [{environment: production, role: viewer, permissions: [approve]}]\n"
		"      d: []\n",
		&problems);
	expect_problem(problems, "server.oidc.issuer", "this machine alone");
	expect_problem(problems, "server.oidc.client", "clientId");
	expect_problem(problems, "server.oidc.clientId", "");
	expect_problem(problems, "server.oidc.clientSecret", "");
	expect_problem(problems, "server.oidc.scopes", "'openid'");
	expect_problem(problems, "server.oidc.scopes[1]", "no scope");
	expect_problem(problems, "server.oidc.groupsClaim", "");
	expect_problem(problems, "server.oidc.grants.a[0].environment", "did you mean 'production'?");
	expect_problem(problems, "server.oidc.grants.a[1].role", "");
	expect_problem(problems, "server.oidc.grants.a[2]", "object");
	expect_problem(problems, "server.oidc.grants.a[3].environment", "");
	expect_problem(problems, "server.oidc.grants.b", "list");
	expect_problem(problems, "server.oidc.grants.c[0]", "force");
	expect_problem(problems, "server.oidc.grants.d", "list");
	for (size_t i = 0; i < problems->count; i++) {
		assert_int_not_equal(problems->list[i].line, 0);
		assert_null(strstr(problems->list[i].text, "canary"));
	}
	(void)read_text(ctx, "server: {oidc: {issuer: https://idp, clientId: a, clientSecret: {env: A}, grants: {}}}\n", &problems);
	expect_problem(problems, "server.oidc.grants", "nobody can sign in");
}

static void secrets_go_over_tls_or_stay_here(void **state)
{
	static const char *const right[] = { "https://idp", "https://idp.example:8443/a?b=c", "http://127.0.0.1:80/a", "http://localhost",
		"http://[::1]:1/" };
	static const char *const wrong[] = { "", "idp.example", "ftp://idp", "http://idp.example", "http://localhost.evil.example",
		"http://127.0.0.1.evil", "https://", "https:///a", "https://user@idp", "http://127.0.0.1@evil.example/",
		"https://idp example", "https://idp\\evil", "https://idp\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		if (oidc_address_trouble(right[i]))
			fail_msg("%s: %s", right[i], oidc_address_trouble(right[i]));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (!oidc_address_trouble(wrong[i]))
			fail_msg("'%s' was taken", wrong[i]);
}

static size_t count_grants(const void *ctx, const struct oidc_config *config, const char *groups, struct grant **ret)
{
	size_t count = 0;

	oidc_grants(ctx, config, json_object_get(given(ctx, groups), "groups"), ret, &count);
	return count;
}

static void groups_become_grants(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct oidc_config *config = read_text(ctx, whole, &problems);
	struct grant *grants;

	(void)state;
	assert_int_equal(count_grants(ctx, config, "{groups: [all, ops]}", &grants), 2); /* each once */
	assert_string_equal(grants[0].environment, "*");
	assert_string_equal(grants[1].environment, "production");
	assert_int_equal(count_grants(ctx, config, "{groups: admins}", &grants), 1);
	assert_int_equal(grants[0].role, ROLE_ADMIN);
	assert_int_equal(count_grants(ctx, config, "{groups: [Admins, op, opss, 1, [ops], {ops: 1}]}", &grants), 0);
	assert_int_equal(count_grants(ctx, config, "{groups: {ops: true}}", &grants), 0);
	assert_int_equal(count_grants(ctx, config, "{groups: true}", &grants), 0);
	assert_int_equal(count_grants(ctx, config, "{none: [ops]}", &grants), 0);
}

static void claims_may_stand_deeper(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *claims = given(ctx, "{realm_access: {roles: [ops]}, 'https://idp/groups': [all], sub: s1, email: a@b}");
	struct oidc_config config = { 0 };

	(void)state;
	assert_int_equal(json_array_size(oidc_claim(claims, "/realm_access/roles")), 1);
	assert_int_equal(json_array_size(oidc_claim(claims, "https://idp/groups")), 1);
	assert_null(oidc_claim(claims, "groups"));
	assert_string_equal(oidc_name(&config, claims), "a@b");
	config.name_claim = "/realm_access/name";
	assert_string_equal(oidc_name(&config, claims), "s1");
	config.name_claim = "email";
	assert_string_equal(oidc_name(&config, claims), "a@b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_configuration_is_read),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(secrets_go_over_tls_or_stay_here),
		cmocka_unit_test(groups_become_grants),
		cmocka_unit_test(claims_may_stand_deeper),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
