/* Tokens, passwords, sessions, limits and the first start, on a store of their own. Time passes by moving what the store remembers into
 * the past. */
#include "store_test.h"

#include "ops/identity.h"
#include "ops/people.h"

static const struct grant operator_grant[] = { { "production", ROLE_OPERATOR, 0 } };
static const struct grant admin_grant[] = { { "*", ROLE_ADMIN, 0 } };
#define PASSWORD "correct horse battery"

static struct workspace *open_workspace(void **state)
{
	struct workspace *workspace = mem_zero(*state, struct workspace);

	workspace->store = open_store(*state);
	return workspace;
}

static const char *add_person(struct workspace *workspace, const char *name, const struct grant *grants, const char *password)
{
	struct entry entry = { .kind = ENTRY_PRINCIPAL_ADDED, .actor = "test" };
	struct err error = ERR_INIT;
	struct credential credential = { .kind = CREDENTIAL_PASSWORD };
	const char *id = id_new(workspace, "prn");
	char *hash = NULL;

	entry.data = json_make(workspace, "{s:s, s:s, s:s, s:o, s:b}", "principal", id, "name", name, "kind", "person", "grants",
		grants_json(grants, 1), "password", password != NULL);
	if (password)
		assert_ok(password_hash(workspace, password, &hash, &error));
	credential.id = credential.principal = id;
	credential.hash = hash;
	assert_ok(store_access_write(workspace->store, workspace, &entry, 1, &credential, password ? 1 : 0, &error));
	return id;
}

static char *add_token(struct workspace *workspace, const char *principal, int64_t life_ms, char **ret_id)
{
	struct entry entry = { .kind = ENTRY_TOKEN_CREATED, .actor = "test" };
	struct err error = ERR_INIT;
	char *token = secret_make(workspace, "unship_");
	struct credential credential = { .id = id_new(workspace, "tok"), .kind = CREDENTIAL_TOKEN, .principal = principal };

	credential.hash = secret_hash(workspace, token);
	entry.data = json_make(workspace, "{s:s, s:s, s:s, s:[s], s:s}", "token", credential.id, "principal", principal, "name", "ci",
		"permissions", "view", "expires", clock_format(workspace, clock_wall_ms() + life_ms));
	assert_ok(store_access_write(workspace->store, workspace, &entry, 1, &credential, 1, &error));
	*ret_id = mem_strdup(workspace, credential.id);
	return token;
}

static size_t count_entries(struct workspace *workspace, const char *kind)
{
	struct entry_filter filter = { .kind = kind };
	struct err error = ERR_INIT;
	struct entry *entries;
	size_t count = 0;

	assert_ok(store_read(workspace->store, workspace, &filter, &entries, &count, &error));
	return count;
}

static void make_older(struct workspace *workspace, const char *column, int64_t ms)
{
	struct err error = ERR_INIT;

	assert_ok(run_sql(workspace->store, mem_printf(workspace, "UPDATE credentials SET %s = %s - %lld", column, column, (long long)ms),
		&error));
}

static void a_token_is_known_until_it_is_revoked(void **state)
{
	struct workspace *workspace = open_workspace(state);
	const char *id = add_person(workspace, "ci", operator_grant, NULL);
	struct err error = ERR_INIT;
	struct principal *principal;
	struct entry revoked = { .kind = ENTRY_TOKEN_REVOKED, .actor = "test" };
	struct credential gone;
	char *token_id, *token = add_token(workspace, id, 60000, &token_id);

	assert_int_equal(strlen(token), strlen("unship_") + 43);
	assert_ok(identity_by_token(workspace, *state, token, "10.0.0.1", &principal, &error));
	assert_string_equal(principal->name, "ci");
	assert_string_equal(principal->credential, token_id);
	assert_int_equal(principal->narrowed_to, PERMISSION_BIT(PERMIT_VIEW));
	assert_int_equal(principal->authenticated_ms, 0);
	assert_true(access_permits(principal, PERMIT_VIEW, "production"));
	assert_false(access_permits(principal, PERMIT_EXECUTE, "production"));
	revoked.data = json_make(*state, "{s:s}", "token", token_id);
	assert_ok(store_access_write(workspace->store, *state, &revoked, 1, NULL, 0, &error));
	assert_fails(identity_by_token(workspace, *state, token, "10.0.0.1", &principal, &error), ERR_UNAUTHENTICATED);
	assert_fails(store_credential(workspace->store, *state, CREDENTIAL_TOKEN, NULL, token_id, &gone, &error), ERR_NOT_FOUND);
	assert_consistent(workspace->store);
}

static void every_wrong_token_gets_the_same_answer(void **state)
{
	struct workspace *workspace = open_workspace(state);
	const char *id = add_person(workspace, "ci", operator_grant, NULL);
	struct err unknown = ERR_INIT, expired = ERR_INIT, odd = ERR_INIT;
	struct principal *principal;
	char *token_id, *token = add_token(workspace, id, -1, &token_id), *huge = mem_printf(*state, "unship_%*s", 100000, "x");

	assert_int_equal(identity_by_token(workspace, *state, "unship_nobody", NULL, &principal, &unknown), -ERR_UNAUTHENTICATED);
	assert_int_equal(identity_by_token(workspace, *state, token, NULL, &principal, &expired), -ERR_UNAUTHENTICATED);
	assert_int_equal(identity_by_token(workspace, *state, huge, NULL, &principal, &odd), -ERR_UNAUTHENTICATED);
	assert_string_equal(unknown.text, expired.text);
	assert_string_equal(unknown.text, odd.text);
}

static void wrong_tokens_cannot_fill_the_journal(void **state)
{
	struct workspace *workspace = open_workspace(state);
	const char *id = add_person(workspace, "ci", operator_grant, NULL);
	struct err error = ERR_INIT;
	struct principal *principal;
	char *token_id, *token = add_token(workspace, id, 60000, &token_id);

	for (int i = 0; i < 100; i++)
		assert_fails(identity_by_token(workspace, *state, "unship_x", "10.0.0.9", &principal, &error), ERR_UNAUTHENTICATED);
	assert_int_equal(count_entries(workspace, ENTRY_LOGIN_REFUSED), LOGIN_FAILURES_FREE);
	/* and a right one from the same address is let in */
	assert_ok(identity_by_token(workspace, *state, token, "10.0.0.9", &principal, &error));
}

static void a_session_begins_with_the_password(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct session first, second, seen;
	struct principal *principal;
	struct err error = ERR_INIT;

	add_person(workspace, "ana", operator_grant, PASSWORD);
	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, "10.0.0.1", "browser", &first, &principal, &error));
	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, "10.0.0.1", "browser", &second, &principal, &error));
	assert_string_not_equal(first.secret, second.secret);
	assert_string_not_equal(first.csrf, second.csrf);
	assert_string_not_equal(first.id, second.id);
	assert_ok(identity_by_session(workspace, *state, first.secret, &seen, &principal, &error));
	assert_string_equal(seen.id, first.id);
	assert_string_equal(seen.csrf, first.csrf);
	assert_null(seen.secret);
	assert_string_equal(principal->name, "ana");
	assert_true(principal->authenticated_ms > 0);
	assert_int_equal(principal->narrowed_to, PERMISSIONS_ALL);
	assert_ok(identity_end(workspace, first.id, "ana", &error));
	assert_fails(identity_by_session(workspace, *state, first.secret, &seen, &principal, &error), ERR_UNAUTHENTICATED);
	assert_ok(identity_by_session(workspace, *state, second.secret, &seen, &principal, &error));
	assert_consistent(workspace->store);
}

static void a_session_ends_when_nobody_uses_it_and_after_its_time(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct session session, seen;
	struct principal *principal;
	struct err error = ERR_INIT;

	add_person(workspace, "ana", operator_grant, PASSWORD);
	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error));
	make_older(workspace, "seen_ms", SESSION_IDLE_MS - 5000);
	assert_ok(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error)); /* and moves the limit */
	make_older(workspace, "seen_ms", SESSION_IDLE_MS - 5000);
	assert_ok(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error));
	make_older(workspace, "seen_ms", SESSION_IDLE_MS);
	assert_fails(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error), ERR_UNAUTHENTICATED);

	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error));
	assert_ok(
		run_sql(workspace->store, mem_printf(*state, "UPDATE sessions SET begun_ms = begun_ms - %d", SESSION_ABSOLUTE_MS), &error));
	assert_fails(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error), ERR_UNAUTHENTICATED);
}

static void who_is_removed_is_out_at_once(void **state)
{
	struct workspace *workspace = open_workspace(state);
	const char *id = add_person(workspace, "ana", operator_grant, PASSWORD);
	struct session session, seen;
	struct principal *principal;
	struct err error = ERR_INIT;
	struct entry removed = { .kind = ENTRY_PRINCIPAL_REMOVED, .actor = "test" };
	char *token_id, *token = add_token(workspace, id, 60000, &token_id);

	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error));
	removed.data = json_make(*state, "{s:s, s:s}", "principal", id, "name", "ana");
	assert_ok(store_access_write(workspace->store, *state, &removed, 1, NULL, 0, &error));
	assert_fails(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error), ERR_UNAUTHENTICATED);
	assert_fails(identity_by_token(workspace, *state, token, NULL, &principal, &error), ERR_UNAUTHENTICATED);
	assert_fails(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error), ERR_UNAUTHENTICATED);
	assert_consistent(workspace->store);
}

static void what_was_granted_is_read_anew_each_time(void **state)
{
	struct workspace *workspace = open_workspace(state);
	const char *id = add_person(workspace, "ana", admin_grant, PASSWORD);
	struct session session, seen;
	struct principal *principal;
	struct err error = ERR_INIT;
	struct entry changed = { .kind = ENTRY_PRINCIPAL_CHANGED, .actor = "test" };

	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error));
	assert_true(access_permits(principal, PERMIT_ADMINISTER, "*"));
	changed.data = json_make(*state, "{s:s, s:o}", "principal", id, "grants", grants_json(operator_grant, 1));
	assert_ok(store_access_write(workspace->store, *state, &changed, 1, NULL, 0, &error));
	assert_ok(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error));
	assert_false(access_permits(principal, PERMIT_ADMINISTER, NULL));
	assert_true(access_permits(principal, PERMIT_EXECUTE, "production"));
}

static void guessing_is_slowed_down_by_name(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct session session;
	struct principal *principal;
	struct err error = ERR_INIT;

	add_person(workspace, "ana", operator_grant, PASSWORD);
	for (int i = 0; i < LOGIN_FAILURES_FREE; i++)
		assert_fails(identity_login(workspace, *state, "ana", "wrong wrong wrong", mem_printf(*state, "10.0.0.%d", i), NULL,
				     &session, &principal, &error),
			ERR_UNAUTHENTICATED);
	for (int i = 0; i < 3; i++)
		assert_fails(identity_login(workspace, *state, "ana", PASSWORD, "10.0.1.1", NULL, &session, &principal, &error),
			ERR_LIMITED);
	assert_has(error.text, "try again in ");
	/* who was limited is told of once, not for each try */
	assert_int_equal(count_entries(workspace, ENTRY_LOGIN_REFUSED), LOGIN_FAILURES_FREE + 1);
	/* the wait passes, the next failure doubles it */
	assert_ok(run_sql(workspace->store, "UPDATE logins SET until_ms = until_ms - 31000, last_ms = last_ms - 31000", &error));
	assert_fails(identity_login(workspace, *state, "ana", "wrong wrong wrong", NULL, NULL, &session, &principal, &error),
		ERR_UNAUTHENTICATED);
	assert_ok(run_sql(workspace->store, "UPDATE logins SET until_ms = until_ms - 31000", &error));
	assert_fails(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error), ERR_LIMITED);
	assert_ok(run_sql(workspace->store, "UPDATE logins SET until_ms = until_ms - 31000", &error));
	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error));
	/* which clears the count */
	assert_fails(identity_login(workspace, *state, "ana", "wrong wrong wrong", NULL, NULL, &session, &principal, &error),
		ERR_UNAUTHENTICATED);
	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error));
}

static void guessing_is_slowed_down_by_address(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct session session;
	struct principal *principal;
	struct err error = ERR_INIT;

	add_person(workspace, "ana", operator_grant, PASSWORD);
	for (int i = 0; i < LOGIN_FAILURES_FREE; i++)
		assert_fails(identity_login(workspace, *state, mem_printf(*state, "nobody-%d", i), PASSWORD,
				     mem_printf(*state, "2001:db8:1:2::%d", i + 1), NULL, &session, &principal, &error),
			ERR_UNAUTHENTICATED);
	/* the same network, though another address */
	assert_fails(identity_login(workspace, *state, "ana", PASSWORD, "2001:db8:1:2:ffff::1", NULL, &session, &principal, &error),
		ERR_LIMITED);
	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, "2001:db8:1:3::1", NULL, &session, &principal, &error));
	assert_consistent(workspace->store);
}

static void names_from_outside_are_harmless(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct session session;
	struct principal *principal;
	struct err error = ERR_INIT;
	char *huge = mem_printf(*state, "%*s", 100000, "x");

	assert_fails(identity_login(workspace, *state, huge, huge, huge, huge, &session, &principal, &error), ERR_UNAUTHENTICATED);
	assert_fails(identity_login(workspace, *state, "a\nb\xff", "p", NULL, NULL, &session, &principal, &error), ERR_UNAUTHENTICATED);
	assert_fails(identity_login(workspace, *state, "", "", "", "", &session, &principal, &error), ERR_UNAUTHENTICATED);
	assert_consistent(workspace->store);
}

static void one_proves_again_in_a_session(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct session session, seen;
	struct principal *principal;
	struct err error = ERR_INIT;
	int64_t before;

	add_person(workspace, "ana", operator_grant, PASSWORD);
	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error));
	make_older(workspace, "authenticated_ms", 3600000);
	assert_ok(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error));
	before = principal->authenticated_ms;
	assert_true(before < clock_wall_ms() - 3590000);
	assert_fails(identity_again(workspace, &seen, principal, "wrong wrong wrong", NULL, &error), ERR_UNAUTHENTICATED);
	assert_ok(identity_again(workspace, &seen, principal, PASSWORD, NULL, &error));
	assert_ok(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error));
	assert_true(principal->authenticated_ms > before);
}

static void another_party_vouches(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct session session;
	struct principal *principal, *again;
	struct err error = ERR_INIT;
	struct entry removed = { .kind = ENTRY_PRINCIPAL_REMOVED, .actor = "test" };

	add_person(workspace, "ana", operator_grant, PASSWORD);
	assert_ok(identity_begin(workspace, *state, "https://idp|42", "ana", operator_grant, 1, 1000, NULL, NULL, &session, &principal,
		&error));
	assert_string_equal(principal->name, "ana-2"); /* never somebody else's */
	assert_ok(identity_begin(workspace, *state, "https://idp|42", "anna", admin_grant, 1, 0, NULL, NULL, &session, &again, &error));
	assert_string_equal(again->id, principal->id);
	assert_true(access_permits(again, PERMIT_ADMINISTER, "*"));
	assert_int_equal(count_entries(workspace, ENTRY_PRINCIPAL_CHANGED), 1);
	assert_ok(identity_begin(workspace, *state, "https://idp|42", "anna", admin_grant, 1, 0, NULL, NULL, &session, &again, &error));
	assert_int_equal(count_entries(workspace, ENTRY_PRINCIPAL_CHANGED), 1);
	/* has no password, so cannot sign in with one */
	assert_fails(identity_login(workspace, *state, "ana-2", "", NULL, NULL, &session, &principal, &error), ERR_UNAUTHENTICATED);
	removed.data = json_make(*state, "{s:s, s:s}", "principal", again->id, "name", "ana-2");
	assert_ok(store_access_write(workspace->store, *state, &removed, 1, NULL, 0, &error));
	assert_fails(identity_begin(workspace, *state, "https://idp|42", "anna", admin_grant, 1, 0, NULL, NULL, &session, &again, &error),
		ERR_UNAUTHENTICATED);
	assert_consistent(workspace->store);
}

static void who_may_nothing_any_more_loses_what_they_had(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct login_limit limit;
	struct session session, again;
	struct principal *principal, *now;
	struct err error = ERR_INIT;

	assert_ok(identity_begin(workspace, *state, "https://idp|42", "ana", admin_grant, 1, 0, NULL, NULL, &session, &principal, &error));
	assert_int_equal(principal->authenticated_ms, 1); /* long ago; 0 would be a token */
	/* nobody was vouched for: nobody loses anything */
	assert_ok(identity_not_begun(workspace, NULL, NULL, "state", "10.0.0.1", 3, &error));
	assert_int_equal(count_entries(workspace, ENTRY_LOGIN_REFUSED), 1);
	assert_int_equal(count_entries(workspace, ENTRY_PRINCIPAL_CHANGED), 0);
	assert_ok(identity_not_begun(workspace, "https://idp|42", "ana", "group", "10.0.0.1", 1, &error));
	assert_ok(identity_by_session(workspace, *state, session.secret, &again, &now, &error));
	assert_int_equal(now->grant_count, 0);
	assert_int_equal(count_entries(workspace, ENTRY_LOGIN_REFUSED), 2);
	assert_int_equal(count_entries(workspace, ENTRY_PRINCIPAL_CHANGED), 1);
	/* like ones were written just now, and nothing is left to take; somebody who was never here */
	assert_ok(identity_not_begun(workspace, "https://idp|42", "ana", "group", "10.0.0.1", 0, &error));
	assert_ok(identity_not_begun(workspace, "https://idp|43", "ben", "group", "10.0.0.1", 0, &error));
	assert_int_equal(count_entries(workspace, ENTRY_LOGIN_REFUSED), 2);
	/* no failed tries of a password, nor of a token */
	assert_ok(store_login_limit(workspace->store, login_key(*state, LOGIN_BY_ADDRESS, NULL, "10.0.0.1"), &limit, &error));
	assert_int_equal(limit.failures, 0);
	assert_ok(store_login_limit(workspace->store, login_key(*state, LOGIN_BY_TOKEN, NULL, "10.0.0.1"), &limit, &error));
	assert_int_equal(limit.failures, 0);
	assert_consistent(workspace->store);
}

static void the_first_start_has_a_way_in_until_there_is_another(void **state)
{
	struct workspace *workspace = open_workspace(state);
	struct session session, seen;
	struct principal *principal;
	struct err error = ERR_INIT;
	const char *token, *second;

	assert_ok(identity_bootstrap(workspace, *state, &token, &error));
	assert_non_null(token);
	assert_ok(identity_by_token(workspace, *state, token, NULL, &principal, &error));
	assert_true(access_permits(principal, PERMIT_ADMINISTER, "*"));
	/* a second start: the former token is over */
	assert_ok(identity_bootstrap(workspace, *state, &second, &error));
	assert_fails(identity_by_token(workspace, *state, token, NULL, &principal, &error), ERR_UNAUTHENTICATED);
	assert_ok(identity_login(workspace, *state, BOOTSTRAP_NAME, second, NULL, NULL, &session, &principal, &error));
	assert_fails(identity_login(workspace, *state, BOOTSTRAP_NAME, token, NULL, NULL, &seen, &principal, &error), ERR_UNAUTHENTICATED);
	/* an operator, and an administrator without a way in, change nothing */
	add_person(workspace, "ben", operator_grant, PASSWORD);
	add_person(workspace, "cho", admin_grant, NULL);
	assert_ok(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error));
	add_person(workspace, "ana", admin_grant, PASSWORD);
	assert_fails(identity_by_session(workspace, *state, session.secret, &seen, &principal, &error), ERR_UNAUTHENTICATED);
	assert_fails(identity_by_token(workspace, *state, second, NULL, &principal, &error), ERR_UNAUTHENTICATED);
	assert_ok(identity_bootstrap(workspace, *state, &token, &error));
	assert_null(token);
	assert_consistent(workspace->store);
}

static void secrets_never_stand_in_the_journal(void **state)
{
	struct workspace *workspace = open_workspace(state);
	const char *id = add_person(workspace, "ana", admin_grant, PASSWORD);
	struct entry_filter all = { 0 };
	struct session session;
	struct principal *principal;
	struct err error = ERR_INIT;
	struct entry *entries;
	size_t count;
	char *token_id, *token = add_token(workspace, id, 60000, &token_id);

	assert_ok(identity_login(workspace, *state, "ana", PASSWORD, NULL, NULL, &session, &principal, &error));
	assert_fails(identity_login(workspace, *state, "ana", "canary-wrong-password", NULL, NULL, &session, &principal, &error),
		ERR_UNAUTHENTICATED);
	assert_ok(store_read(workspace->store, *state, &all, &entries, &count, &error));
	assert_true(count > 3);
	for (size_t i = 0; i < count; i++) {
		char *text = json_dumps(entries[i].data, 0);

		assert_null(strstr(text, PASSWORD));
		assert_null(strstr(text, "canary"));
		assert_null(strstr(text, token));
		assert_null(strstr(text, secret_hash(*state, token)));
		assert_null(strstr(text, session.secret));
		assert_null(strstr(text, "argon2"));
		free(text);
	}
}

static void passwords_have_limits(void **state)
{
	struct err error = ERR_INIT;
	char *hash;

	assert_fails(password_hash(*state, "short", &hash, &error), ERR_INVALID);
	assert_fails(password_hash(*state, mem_printf(*state, "%*s", PASSWORD_MAX + 1, "x"), &hash, &error), ERR_INVALID);
	assert_ok(password_hash(*state, "twelve bytes", &hash, &error));
	assert_memory_equal(hash, "$argon2id$", 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_is_known_until_it_is_revoked),
		TEST(every_wrong_token_gets_the_same_answer),
		TEST(wrong_tokens_cannot_fill_the_journal),
		TEST(a_session_begins_with_the_password),
		TEST(a_session_ends_when_nobody_uses_it_and_after_its_time),
		TEST(who_is_removed_is_out_at_once),
		TEST(what_was_granted_is_read_anew_each_time),
		TEST(guessing_is_slowed_down_by_name),
		TEST(guessing_is_slowed_down_by_address),
		TEST(names_from_outside_are_harmless),
		TEST(one_proves_again_in_a_session),
		TEST(another_party_vouches),
		TEST(who_may_nothing_any_more_loses_what_they_had),
		TEST(the_first_start_has_a_way_in_until_there_is_another),
		TEST(secrets_never_stand_in_the_journal),
		TEST(passwords_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
