/* The tables of access: what their folds refuse, that they are the same when the journal is folded again, that credentials are kept
 * through that and go with what they belong to, and what a crash or two people at
 * once leave behind. */
#include "store_test.h"

#include "store/access.h"

static struct entry person(struct store *store, const char *id, const char *name, const char *role)
{
	return (struct entry){ .kind = ENTRY_PRINCIPAL_ADDED,
		.actor = "test",
		.data = json_make(store, "{s:s, s:s, s:s, s:[{s:s, s:s}]}", "principal", id, "name", name, "kind", "person", "grants",
			"environment", "*", "role", role) };
}

static void add_person(struct store *store, const char *id, const char *name, const char *role)
{
	struct entry entry = person(store, id, name, role);
	struct err error = ERR_INIT;

	assert_ok(store_access_write(store, store, &entry, 1, NULL, 0, &error));
}

static void add_token(struct store *store, const char *id, const char *principal)
{
	struct entry entry = { .kind = ENTRY_TOKEN_CREATED, .actor = "test" };
	struct credential credential = { .id = id,
		.kind = CREDENTIAL_TOKEN,
		.principal = principal,
		.hash = mem_printf(store, "hash-%s", id) };
	struct err error = ERR_INIT;

	entry.data = json_make(store, "{s:s, s:s, s:s, s:[s], s:s}", "token", id, "principal", principal, "name", "ci", "permissions",
		"administer", "expires", "2999-01-01T00:00:00Z");
	assert_ok(store_access_write(store, store, &entry, 1, &credential, 1, &error));
}

static int credential_found(struct store *store, const char *kind, const char *id)
{
	struct credential credential;
	struct err error = ERR_INIT;

	return store_credential(store, store, kind, NULL, id, &credential, &error);
}

static void tables_are_made_anew_and_credentials_kept(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;

	add_person(store, "prn-1", "ana", "admin");
	add_token(store, "tok-1", "prn-1");
	assert_ok(append(store, ENTRY_SESSION_BEGUN, NULL, NULL,
		json_make(store, "{s:s, s:s, s:s}", "session", "ses-1", "principal", "prn-1", "method", "password"), &error));
	assert_ok(append(store, ENTRY_LOGIN_REFUSED, NULL, NULL,
		json_make(store, "{s:s, s:s, s:s}", "name", "ana", "origin", "10.0.0.1", "reason", "password"), &error));
	assert_ok(append(store, ENTRY_BREAKGLASS_OPENED, "production", NULL,
		json_make(store, "{s:s, s:s, s:s, s:s}", "breakglass", "bgl-1", "principal", "prn-1", "reason", "x", "until",
			"2999-01-01T00:00:00Z"),
		&error));
	assert_consistent(store);
	assert_int_equal(credential_found(store, CREDENTIAL_TOKEN, "tok-1"), 0);
}

static void what_cannot_be_is_refused(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct entry again = person(store, "prn-2", "ana", "viewer"), king = person(store, "prn-3", "ben", "king");

	add_person(store, "prn-1", "ana", "viewer");
	assert_fails(store_access_write(store, store, &again, 1, NULL, 0, &error), ERR_CONFLICT);
	assert_has(error.text, "'ana' already");
	assert_fails(store_access_write(store, store, &king, 1, NULL, 0, &error), ERR_INVALID);
	assert_fails(append(store, ENTRY_PRINCIPAL_REMOVED, NULL, NULL, json_make(store, "{s:s}", "principal", "prn-9"), &error),
		ERR_INVALID);
	assert_fails(append(store, ENTRY_PRINCIPAL_CHANGED, NULL, NULL, json_make(store, "{s:s}", "principal", "prn-9"), &error),
		ERR_INVALID);
	assert_fails(append(store, ENTRY_TOKEN_REVOKED, NULL, NULL, json_make(store, "{s:s}", "token", "tok-9"), &error), ERR_INVALID);
	assert_fails(append(store, ENTRY_TOKEN_CREATED, NULL, NULL,
			     json_make(store, "{s:s, s:s, s:s, s:s}", "token", "tok-9", "principal", "prn-9", "name", "x", "expires",
				     "2999-01-01T00:00:00Z"),
			     &error),
		ERR_INVALID);
	assert_fails(append(store, ENTRY_SESSION_BEGUN, NULL, NULL, json_make(store, "{s:s, s:s}", "session", "s", "principal", "prn-9"),
			     &error),
		ERR_INVALID);
	assert_fails(append(store, ENTRY_SESSION_ENDED, NULL, NULL, json_make(store, "{s:s}", "session", "ses-9"), &error), ERR_INVALID);
	assert_fails(append(store, ENTRY_APPROVAL_GIVEN, "production", NULL,
			     json_make(store, "{s:s, s:s, s:b}", "approval", "apr-9", "principal", "prn-1", "approves", 1), &error),
		ERR_CONFLICT);
	assert_consistent(store);
}

static void a_name_is_free_again_when_its_owner_is_gone(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct principal_row row;

	add_person(store, "prn-1", "ana", "admin");
	add_token(store, "tok-1", "prn-1");
	assert_ok(append(store, ENTRY_PRINCIPAL_REMOVED, NULL, NULL, json_make(store, "{s:s}", "principal", "prn-1"), &error));
	add_person(store, "prn-2", "ana", "viewer");
	assert_int_equal(credential_found(store, CREDENTIAL_TOKEN, "tok-1"), -ERR_NOT_FOUND);
	assert_ok(store_principal(store, store, NULL, "ana", NULL, &row, &error));
	assert_string_equal(row.id, "prn-2");
	assert_consistent(store);
}

static void a_refused_entry_leaves_no_credential(void **state)
{
	struct store *store = open_store(*state);
	struct entry wrong = person(store, "prn-1", "ana", "king");
	struct credential credential = { .id = "prn-1", .kind = CREDENTIAL_PASSWORD, .principal = "prn-1", .hash = "h" };
	struct err error = ERR_INIT;

	assert_fails(store_access_write(store, store, &wrong, 1, &credential, 1, &error), ERR_INVALID);
	assert_int_equal(credential_found(store, CREDENTIAL_PASSWORD, "prn-1"), -ERR_NOT_FOUND);
}

/* At every call to the database that can fail: either all of it is there, or nothing. */
static void entry_and_credential_are_one(void **state)
{
	bool named = false;

	for (unsigned nth = 1; nth < 100 && !named; nth++) {
		char *path = mem_printf(*state, "%s/f%u.db", (char *)*state, nth);
		struct err error = ERR_INIT;
		struct store *store = NULL;
		struct sql *sql, *faulty;
		struct principal_row row;
		struct entry entry;
		struct credential credential = { .id = "prn-1", .kind = CREDENTIAL_PASSWORD, .principal = "prn-1", .hash = "h" };

		assert_ok(store_open(*state, path, NULL, *state, &store, &error));
		talloc_free(store);
		assert_ok(sqlite_open(*state, path, &sql, &error));
		faulty = faulty_wrap(*state, sql, nth, ERR_STORE, false);
		error = ERR_INIT;
		if (store_open_sql(*state, faulty, NULL, *state, &store, &error) < 0)
			continue;
		entry = person(store, "prn-1", "ana", "admin");
		(void)!store_access_write(store, store, &entry, 1, &credential, 1, &error);
		named = nth > faulty_calls(faulty);
		talloc_free(store);
		error = ERR_INIT;
		assert_ok(store_open(*state, path, NULL, *state, &store, &error));
		assert_int_equal(store_principal(store, store, NULL, "ana", NULL, &row, &error) == 0,
			credential_found(store, CREDENTIAL_PASSWORD, "prn-1") == 0);
		talloc_free(store);
	}
	assert_true(named); /* every call has failed once */
}

static json_t *asked(struct store *store, const char *id, int required)
{
	return json_make(store, "{s:s, s:s, s:s, s:s, s:[s], s:i, s:i}", "approval", id, "operation", "rollbacks.create", "principal",
		"prn-1", "planHash", "0", "needs", "execute", "required", required, "ttlMs", 3600000);
}

static json_t *voted(struct store *store, const char *id, const char *principal)
{
	return json_make(store, "{s:s, s:s, s:b}", "approval", id, "principal", principal, "approves", 1);
}

/* Two connections, as two processes have them: the second vote of one person is refused by the store, whatever the other had read before.
 * */
static void two_votes_at_once_are_counted_one_after_the_other(void **state)
{
	struct store *one = open_store(*state), *two = open_store(*state);
	struct err error = ERR_INIT;
	struct approval *approval, **list;
	size_t count;

	assert_ok(append(one, ENTRY_APPROVAL_REQUESTED, "production", NULL, asked(one, "apr-1", 2), &error));
	assert_ok(store_approval(two, two, "apr-1", &approval, &error));
	assert_ok(append(one, ENTRY_APPROVAL_GIVEN, "production", NULL, voted(one, "apr-1", "prn-2"), &error));
	assert_fails(append(two, ENTRY_APPROVAL_GIVEN, "production", NULL, voted(two, "apr-1", "prn-2"), &error), ERR_CONFLICT);
	assert_ok(append(two, ENTRY_APPROVAL_GIVEN, "production", NULL, voted(two, "apr-1", "prn-3"), &error));
	assert_ok(append(one, ENTRY_APPROVAL_USED, "production", NULL, json_make(one, "{s:s, s:s}", "approval", "apr-1", "run", "run-1"),
		&error));
	assert_fails(append(two, ENTRY_APPROVAL_USED, "production", NULL, json_make(two, "{s:s, s:s}", "approval", "apr-1", "run", "run-2"),
			     &error),
		ERR_CONFLICT);
	assert_ok(store_approval(two, two, "apr-1", &approval, &error));
	assert_int_equal(approval->status, APPROVAL_USED);
	assert_string_equal(approval->run, "run-1");
	assert_ok(store_approvals(two, two, "production", true, 0, &list, &count, &error));
	assert_int_equal(count, 0);
	assert_ok(store_approvals(two, two, "production", false, 0, &list, &count, &error));
	assert_int_equal(count, 1);
	assert_consistent(one);
}

static void the_glass_is_broken_once_until_it_is_reviewed(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;

#define OPEN(id_, principal_) \
	append(store, ENTRY_BREAKGLASS_OPENED, "production", NULL, \
		json_make(store, "{s:s, s:s, s:s, s:s}", "breakglass", id_, "principal", principal_, "reason", "x", "until", \
			"2999-01-01T00:00:00Z"), \
		&error)
#define REVIEW(id_, principal_) \
	append(store, ENTRY_BREAKGLASS_REVIEWED, "production", NULL, \
		json_make(store, "{s:s, s:s, s:s}", "breakglass", id_, "reviewer", principal_, "note", "fine"), &error)
	assert_ok(OPEN("bgl-1", "prn-1"));
	assert_fails(OPEN("bgl-2", "prn-1"), ERR_CONFLICT);
	assert_ok(OPEN("bgl-3", "prn-2"));
	assert_ok(append(store, ENTRY_BREAKGLASS_CLOSED, "production", NULL, json_make(store, "{s:s}", "breakglass", "bgl-1"), &error));
	assert_fails(OPEN("bgl-2", "prn-1"), ERR_CONFLICT);
	assert_fails(REVIEW("bgl-1", "prn-1"), ERR_CONFLICT);
	assert_ok(REVIEW("bgl-1", "prn-2"));
	assert_fails(REVIEW("bgl-1", "prn-3"), ERR_CONFLICT);
	assert_ok(OPEN("bgl-2", "prn-1"));
	assert_consistent(store);
}

static void failures_are_counted_and_the_wait_doubles(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct login_limit limit;
	int64_t at_ms = 1000000, expected = LOGIN_FIRST_WAIT_MS;

	for (int i = 1; i <= 12; i++) {
		struct entry entry = { .kind = ENTRY_LOGIN_REFUSED, .actor = "ana", .wall_ms = at_ms };

		entry.data = json_make(store, "{s:s, s:s}", "name", "ana", "reason", "password");
		assert_ok(store_append(store, store, &entry, &error));
		assert_ok(store_login_limit(store, "name:ana", &limit, &error));
		assert_int_equal(limit.failures, i);
		if (i < LOGIN_FAILURES_FREE) {
			assert_int_equal(limit.until_ms, 0);
			continue;
		}
		assert_int_equal(limit.until_ms, at_ms + expected);
		at_ms = limit.until_ms;
		expected = MIN(expected * 2, LOGIN_WINDOW_MS);
	}
	for (int i = 0; i < 2; i++) { /* long after, it begins anew */
		struct entry entry = { .kind = ENTRY_LOGIN_REFUSED, .actor = "ana", .wall_ms = at_ms + 2 * LOGIN_WINDOW_MS };

		entry.data = json_make(store, "{s:s, s:s}", "name", "ana", "reason", "password");
		assert_ok(store_append(store, store, &entry, &error));
	}
	assert_ok(store_login_limit(store, "name:ana", &limit, &error));
	assert_int_equal(limit.failures, 2);
	assert_int_equal(limit.until_ms, 0);
	assert_consistent(store);
}

static void addresses_of_one_network_are_one(void **state)
{
	assert_string_equal(login_key(*state, LOGIN_BY_ADDRESS, NULL, "2001:db8:1:2:3:4:5:6"), "address:2001:0db8:0001:0002::/64");
	assert_string_equal(login_key(*state, LOGIN_BY_ADDRESS, NULL, "2001:db8:1:2::9"), "address:2001:0db8:0001:0002::/64");
	assert_string_equal(login_key(*state, LOGIN_BY_TOKEN, NULL, "10.0.0.1"), "token:10.0.0.1");
	assert_string_equal(login_key(*state, LOGIN_BY_NAME, "ana", "10.0.0.1"), "name:ana");
	assert_string_equal(login_key(*state, LOGIN_BY_ADDRESS, NULL, NULL), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables_are_made_anew_and_credentials_kept),
		TEST(what_cannot_be_is_refused),
		TEST(a_name_is_free_again_when_its_owner_is_gone),
		TEST(a_refused_entry_leaves_no_credential),
		TEST(entry_and_credential_are_one),
		TEST(two_votes_at_once_are_counted_one_after_the_other),
		TEST(the_glass_is_broken_once_until_it_is_reviewed),
		TEST(failures_are_counted_and_the_wait_doubles),
		TEST(addresses_of_one_network_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
