/* Proving who somebody is. Everything that is decided here is decided from the store, so several processes on one project agree: what was
 * revoked in one is out in all.
 * Threads: a workspace belongs to one thread. */
#include "ops/identity.h"

#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"
#include "data/hash.h"
#include "ops/people.h"

#define CREDENTIAL_MAX    1024 /* bytes of a password, token or cookie that are looked at at all */
#define NAME_MAX_BYTES    128
#define AGENT_MAX_BYTES   200
#define SEEN_EVERY_MS     (60 * 1000) /* so often at most is it written down that a credential was used */
#define BOOTSTRAP_LIFE_MS (60 * 60 * 1000)

/* A session's second secret, which the page sends and a foreign page cannot know. It is made from the first, so nothing more is kept. */
static char *csrf_of(const void *ctx, const char *secret)
{
	char sum[HASH_HEX_SIZE];

	hash_hmac_sha256_hex(secret, strlen(secret), "csrf", strlen("csrf"), sum);
	return mem_strdup(ctx, sum);
}

/* What was given, cut to what may stand in an entry: printable, short. */
static char *shown(const void *ctx, const char *text, size_t max)
{
	size_t length = text ? strnlen(text, max) : 0;

	return text ? text_printable(ctx, text, length, false) : NULL;
}

/* --- limits ------------------------------------------------------------------------------------------------------------------ */

static int append_refusal(struct store *store, const void *ctx, const char *name, const char *origin, const char *reason, struct err *err)
{
	struct entry entry = { .kind = ENTRY_LOGIN_REFUSED, .actor = name ? name : "unknown" };

	entry.data = json_make(ctx, "{s:s}", "reason", reason);
	json_put_str(entry.data, "name", name);
	json_put_str(entry.data, "origin", origin);
	return store_append(store, ctx, &entry, err);
}

/* Both what is counted by name and by address. ERR_LIMITED says when to come back; that somebody was refused for this is written once per
 * wait, so that nobody can fill the journal. */
static int check_limits(struct store *store, const void *ctx, const char *name, const char *origin, struct err *err)
{
	const char *keys[] = { login_key(ctx, LOGIN_BY_NAME, name, NULL), login_key(ctx, LOGIN_BY_ADDRESS, NULL, origin) };
	int64_t now_ms = clock_wall_ms(), until_ms = 0;
	bool noted = true;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct login_limit limit;

		r = store_login_limit(store, keys[i], &limit, err);
		if (r < 0)
			return r;
		/* More is left than any wait lasts: the clock was set back. */
		if (limit.until_ms <= now_ms || limit.until_ms > now_ms + LOGIN_WINDOW_MS)
			continue;
		until_ms = MAX(until_ms, limit.until_ms);
		noted &= limit.noted;
	}
	if (!until_ms)
		return 0;
	if (!noted) {
		r = append_refusal(store, ctx, name, origin, "limited", err);
		if (r < 0)
			return r;
	}
	return err_set(err, ERR_LIMITED, "too many tries to sign in failed: try again in %lld s",
		(long long)(until_ms - now_ms + 999) / 1000);
}

/* --- principals -------------------------------------------------------------------------------------------------------------- */

static struct principal *principal_of(const void *ctx, const struct principal_row *row, const char *credential)
{
	struct principal *principal = mem_zero(ctx, struct principal);

	*principal = (struct principal){
		.id = row->id,
		.name = row->name,
		.kind = row->kind,
		.grants = row->grants,
		.grant_count = row->grant_count,
		.narrowed_to = PERMISSIONS_ALL,
		.credential = mem_strdup(ctx, credential),
	};
	return principal;
}

int principal_read(struct store *store, const void *ctx, const char *id, struct principal **ret, struct err *err)
{
	struct principal_row row;
	int r;

	r = store_principal(store, ctx, id, NULL, NULL, &row, err);
	if (r < 0)
		return r;
	if (row.removed_ms)
		return err_set(err, ERR_FORBIDDEN, "%s was removed", row.name);
	*ret = principal_of(ctx, &row, NULL);
	return 0;
}

static int unknown_token(struct store *store, const void *ctx, const char *origin, struct err *err)
{
	struct login_limit limit;
	int64_t now_ms = clock_wall_ms();
	int r;

	r = store_login_limit(store, login_key(ctx, LOGIN_BY_TOKEN, NULL, origin), &limit, err);
	if (r == 0 && (limit.until_ms <= now_ms || limit.until_ms > now_ms + LOGIN_WINDOW_MS))
		r = append_refusal(store, ctx, NULL, origin, "token", err);
	if (r < 0)
		return r;
	return err_set(err, ERR_UNAUTHENTICATED, "this token is not valid: unknown, expired or revoked");
}

static int find_token(struct store *store, const void *ctx, const char *token, struct token_row *ret, struct principal_row *ret_principal,
	struct credential *ret_credential, struct err *err)
{
	int r;

	if (strlen(token) > CREDENTIAL_MAX)
		return err_set(err, ERR_NOT_FOUND, "too long");
	r = store_credential(store, ctx, CREDENTIAL_TOKEN, secret_hash(ctx, token), NULL, ret_credential, err);
	if (r == 0)
		r = store_token(store, ctx, ret_credential->id, ret, err);
	if (r == 0)
		r = store_principal(store, ctx, ret->principal, NULL, NULL, ret_principal, err);
	if (r < 0)
		return r;
	if (ret->revoked_ms || ret_principal->removed_ms || ret->expires_ms <= clock_wall_ms())
		return err_set(err, ERR_NOT_FOUND, "over");
	return 0;
}

int identity_by_token(struct workspace *workspace, const void *ctx, const char *token, const char *origin, struct principal **ret,
	struct err *err)
{
	struct credential credential;
	struct principal_row row;
	struct token_row found;
	struct err why = ERR_INIT;
	int64_t now_ms = clock_wall_ms();
	int r;

	r = workspace_store(workspace, err);
	if (r < 0)
		return r;
	r = find_token(workspace->store, ctx, token, &found, &row, &credential, &why);
	if (r == -ERR_NOT_FOUND)
		return unknown_token(workspace->store, ctx, shown(ctx, origin, NAME_MAX_BYTES), err);
	if (r < 0) {
		*err = why;
		return r;
	}
	if (now_ms - credential.seen_ms >= SEEN_EVERY_MS) {
		r = store_credential_seen(workspace->store, credential.id, now_ms, 0, err);
		if (r < 0)
			return r;
	}
	*ret = principal_of(ctx, &row, found.id);
	(*ret)->narrowed_to = found.permissions;
	(*ret)->only_environments = found.environments;
	return 0;
}

/* --- sessions ---------------------------------------------------------------------------------------------------------------- */

static void session_times(struct session *session, int64_t begun_ms, int64_t seen_ms)
{
	session->begun_ms = begun_ms;
	session->seen_ms = seen_ms;
	session->expires_ms = MIN(seen_ms + SESSION_IDLE_MS, begun_ms + SESSION_ABSOLUTE_MS);
}

/* `before`: an entry that goes with it (room for one more is behind it in the array). */
static int begin_session(struct workspace *workspace, const void *ctx, struct entry *entries, size_t count, const struct principal_row *row,
	const char *method, int64_t proved_ms, const char *origin, const char *agent, struct session *ret, struct principal **ret_principal,
	struct err *err)
{
	int64_t now_ms = clock_wall_ms();
	char *secret = secret_make(ctx, ""), *id = id_new(ctx, "ses");
	struct credential credential = {
		.id = id,
		.kind = CREDENTIAL_SESSION,
		.principal = row->id,
		.hash = secret_hash(ctx, secret),
		.seen_ms = now_ms,
		.authenticated_ms = proved_ms,
	};
	struct session session = { .id = id, .secret = secret, .csrf = csrf_of(ctx, secret) };
	int r;

	session.origin = shown(ctx, origin, NAME_MAX_BYTES);
	session.agent = shown(ctx, agent, AGENT_MAX_BYTES);
	entries[count] = (struct entry){ .kind = ENTRY_SESSION_BEGUN, .actor = row->name };
	entries[count].data = json_make(ctx, "{s:s, s:s, s:s}", "session", id, "principal", row->id, "method", method);
	json_put_str(entries[count].data, "origin", session.origin);
	json_put_str(entries[count].data, "agent", session.agent);
	r = store_sessions_forget(workspace->store, now_ms - SESSION_IDLE_MS, now_ms - SESSION_ABSOLUTE_MS, err);
	if (r == 0)
		r = store_access_write(workspace->store, ctx, entries, count + 1, &credential, 1, err);
	if (r < 0)
		return r;
	session_times(&session, now_ms, now_ms);
	*ret = session;
	*ret_principal = principal_of(ctx, row, id);
	(*ret_principal)->authenticated_ms = proved_ms;
	return 0;
}

/* Does the password fit the name? *ret_known: is there such a principal. Takes as long when there is none. The principal of the first
 * start has its token for a password. */
static int prove(struct store *store, const void *ctx, const char *name, const char *password, struct principal_row *ret, bool *ret_fits,
	struct err *err)
{
	const char *hash = NULL;
	struct credential credential;
	struct err why = ERR_INIT;
	bool known = false, fits;
	int r;

	*ret_fits = false;
	r = store_principal(store, ctx, NULL, name, NULL, ret, &why);
	if (r == 0)
		r = store_credential(store, ctx, CREDENTIAL_PASSWORD, NULL, ret->id, &credential, &why);
	if (r == 0) {
		known = true;
		hash = credential.hash;
	} else if (r != -ERR_NOT_FOUND) {
		*err = why;
		return r;
	}
	fits = password_fits(hash, password);
	if (!known && !strcmp(name, BOOTSTRAP_NAME)) {
		struct token_row token;

		r = find_token(store, ctx, password, &token, ret, &credential, &why);
		fits = known = r == 0 && !strcmp(ret->name, BOOTSTRAP_NAME);
	}
	*ret_fits = known && fits;
	return 0;
}

/* With limits and entries. ERR_UNAUTHENTICATED, ERR_LIMITED. */
static int prove_limited(struct store *store, const void *ctx, const char *name, const char *password, const char *origin,
	struct principal_row *ret, struct err *err)
{
	const char *name_shown = shown(ctx, name, NAME_MAX_BYTES);
	bool fits = false;
	int r;

	origin = shown(ctx, origin, NAME_MAX_BYTES);
	r = check_limits(store, ctx, name_shown, origin, err);
	if (r == 0)
		r = prove(store, ctx, name_shown, password, ret, &fits, err);
	if (r < 0 || fits)
		return r;
	r = append_refusal(store, ctx, name_shown, origin, "password", err);
	return r < 0 ? r : err_set(err, ERR_UNAUTHENTICATED, "the name or the password is wrong");
}

int identity_login(struct workspace *workspace, const void *ctx, const char *name, const char *password, const char *origin,
	const char *agent, struct session *ret, struct principal **ret_principal, struct err *err)
{
	struct principal_row row;
	struct entry entries[1];
	int r;

	r = workspace_store(workspace, err);
	if (r == 0)
		r = prove_limited(workspace->store, ctx, name, password, origin, &row, err);
	if (r < 0)
		return r;
	return begin_session(workspace, ctx, entries, 0, &row, row.password ? "password" : "bootstrap", clock_wall_ms(), origin, agent, ret,
		ret_principal, err);
}

/* A name that nobody has: the other party's names are not ours, and the lasting identity is the subject. */
static int free_name(struct store *store, const void *ctx, const char *wanted, const char **ret, struct err *err)
{
	const char *base = shown(ctx, wanted, NAME_MAX_BYTES - 8), *name = base;

	for (int i = 2; i < 1000; i++) {
		struct principal_row taken;
		struct err why = ERR_INIT;
		int r;

		r = store_principal(store, ctx, NULL, name, NULL, &taken, &why);
		if (r == -ERR_NOT_FOUND && strcmp(name, BOOTSTRAP_NAME) != 0) {
			*ret = name;
			return 0;
		}
		if (r < 0 && r != -ERR_NOT_FOUND) {
			*err = why;
			return r;
		}
		name = mem_printf(ctx, "%s-%d", base, i);
	}
	return err_set(err, ERR_CONFLICT, "there are too many principals called '%s'", base);
}

static int add_vouched(struct store *store, const void *ctx, const char *subject, const char *name, const struct grant *grants,
	size_t grant_count, struct principal_row *ret, struct entry *entry, struct err *err)
{
	bool removed = false;
	int r;

	r = store_subject_removed(store, subject, &removed, err);
	if (r < 0)
		return r;
	if (removed)
		return err_set(err, ERR_UNAUTHENTICATED, "%s was removed here; an administrator adds them again", name);
	r = free_name(store, ctx, name, &ret->name, err);
	if (r < 0)
		return r;
	ret->id = id_new(ctx, "prn");
	ret->kind = PRINCIPAL_PERSON;
	*entry = (struct entry){ .kind = ENTRY_PRINCIPAL_ADDED, .actor = ret->name };
	entry->data = json_make(ctx, "{s:s, s:s, s:s, s:s, s:o}", "principal", ret->id, "name", ret->name, "kind", "person", "subject",
		subject, "grants", grants_json(grants, grant_count));
	return 0;
}

/* The entry that gives somebody other grants than they have; false: they have these. */
static bool change_grants(const void *ctx, const struct principal_row *row, const struct grant *grants, size_t grant_count,
	struct entry *entry)
{
	json_t *before = json_keep(ctx, grants_json(row->grants, row->grant_count));
	json_t *now = json_keep(ctx, grants_json(grants, grant_count));

	if (json_equal(before, now))
		return false;
	*entry = (struct entry){ .kind = ENTRY_PRINCIPAL_CHANGED, .actor = row->name };
	entry->data = json_make(ctx, "{s:s, s:O}", "principal", row->id, "grants", now);
	return true;
}

int identity_begin(struct workspace *workspace, const void *ctx, const char *subject, const char *name, const struct grant *grants,
	size_t grant_count, int64_t proved_ms, const char *origin, const char *agent, struct session *ret, struct principal **ret_principal,
	struct err *err)
{
	struct principal_row row = { 0 };
	struct err why = ERR_INIT;
	struct entry entries[2];
	size_t count = 0;
	int r;

	r = workspace_store(workspace, err);
	if (r < 0)
		return r;
	r = store_principal(workspace->store, ctx, NULL, NULL, subject, &row, &why);
	if (r < 0 && r != -ERR_NOT_FOUND) {
		*err = why;
		return r;
	}
	if (r == -ERR_NOT_FOUND) {
		r = add_vouched(workspace->store, ctx, subject, name, grants, grant_count, &row, &entries[count++], err);
		if (r < 0)
			return r;
	} else if (change_grants(ctx, &row, grants, grant_count, &entries[count])) {
		count++;
	}
	r = grants_read(ctx, json_keep(ctx, grants_json(grants, grant_count)), &row.grants, &row.grant_count, err);
	if (r < 0)
		return r;
	/* 0 would say that there is nothing to prove again, as for a token. */
	return begin_session(workspace, ctx, entries, count, &row, "oidc", MAX(proved_ms, 1), origin, agent, ret, ret_principal, err);
}

int identity_not_begun(struct workspace *workspace, const char *subject, const char *name, const char *reason, const char *origin,
	uint64_t count, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct principal_row row = { 0 };
	struct err why = ERR_INIT;
	struct entry entries[2];
	size_t written = 0;
	int r;

	r = workspace_store(workspace, err);
	if (r < 0)
		return r;
	if (subject) {
		r = store_principal(workspace->store, ctx, NULL, NULL, subject, &row, &why);
		if (r < 0 && r != -ERR_NOT_FOUND) {
			*err = why;
			return r;
		}
		if (r == 0 && change_grants(ctx, &row, NULL, 0, &entries[written]))
			written++;
	}
	if (!written && !count)
		return 0;
	if (count) {
		struct entry *entry = &entries[written++];

		*entry = (struct entry){ .kind = ENTRY_LOGIN_REFUSED, .actor = "unknown" };
		entry->data = json_make(ctx, "{s:s, s:s}", "reason", reason, "method", "oidc");
		json_put_str(entry->data, "who", shown(ctx, name, NAME_MAX_BYTES));
		json_put_str(entry->data, "origin", shown(ctx, origin, NAME_MAX_BYTES));
		if (count > 1)
			json_put_int(entry->data, "count", (int64_t)count);
	}
	return store_access_write(workspace->store, ctx, entries, written, NULL, 0, err);
}

static int no_session(struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED, "the session is over: sign in again");
}

int identity_by_session(struct workspace *workspace, const void *ctx, const char *secret, struct session *ret,
	struct principal **ret_principal, struct err *err)
{
	struct credential credential;
	struct principal_row principal;
	struct session_row row;
	struct session session = { 0 };
	struct err why = ERR_INIT;
	int64_t now_ms = clock_wall_ms();
	int r;

	r = workspace_store(workspace, err);
	if (r < 0)
		return r;
	if (strlen(secret) > CREDENTIAL_MAX)
		return no_session(err);
	r = store_credential(workspace->store, ctx, CREDENTIAL_SESSION, secret_hash(ctx, secret), NULL, &credential, &why);
	if (r == 0)
		r = store_session(workspace->store, ctx, credential.id, &row, &why);
	if (r == 0)
		r = store_principal(workspace->store, ctx, row.principal, NULL, NULL, &principal, &why);
	if (r == -ERR_NOT_FOUND)
		return no_session(err);
	if (r < 0) {
		*err = why;
		return r;
	}
	session_times(&session, row.begun_ms, credential.seen_ms);
	if (row.ended_ms || principal.removed_ms || session.expires_ms <= now_ms)
		return no_session(err);
	if (now_ms - credential.seen_ms >= SEEN_EVERY_MS) {
		r = store_credential_seen(workspace->store, row.id, now_ms, 0, err);
		if (r < 0)
			return r;
		session_times(&session, row.begun_ms, now_ms);
	}
	session.id = row.id;
	session.csrf = csrf_of(ctx, secret);
	session.origin = row.origin;
	session.agent = row.agent;
	*ret = session;
	*ret_principal = principal_of(ctx, &principal, row.id);
	(*ret_principal)->authenticated_ms = credential.authenticated_ms;
	return 0;
}

int identity_end(struct workspace *workspace, const char *session_id, const char *actor, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = { .kind = ENTRY_SESSION_ENDED, .actor = actor };
	int r;

	r = workspace_store(workspace, err);
	if (r < 0)
		return r;
	entry.data = json_make(ctx, "{s:s, s:s}", "session", session_id, "reason", "signed out");
	return store_access_write(workspace->store, ctx, &entry, 1, NULL, 0, err);
}

int identity_again(struct workspace *workspace, const struct session *session, const struct principal *principal, const char *password,
	const char *origin, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct principal_row row;
	int64_t now_ms;
	int r;

	r = workspace_store(workspace, err);
	if (r == 0)
		r = store_principal(workspace->store, ctx, principal->id, NULL, NULL, &row, err);
	if (r == 0 && row.subject && !row.password)
		return err_set(err, ERR_UNAUTHENTICATED, "%s has no password here: sign in again where you signed in", principal->name);
	if (r == 0)
		r = prove_limited(workspace->store, ctx, principal->name, password, origin, &row, err);
	if (r < 0)
		return r;
	if (strcmp(row.id, principal->id) != 0)
		return no_session(err);
	now_ms = clock_wall_ms();
	return store_credential_seen(workspace->store, session->id, now_ms, now_ms, err);
}

/* --- the first start --------------------------------------------------------------------------------------------------------- */

int identity_bootstrap(struct workspace *workspace, const void *ctx, const char **ret_token, struct err *err)
{
	struct grant grant = { .environment = "*", .role = ROLE_ADMIN };
	int64_t now_ms = clock_wall_ms(), administrators = 0;
	struct principal_row row = { 0 };
	struct entry entries[3];
	struct credential credential;
	struct err why = ERR_INIT;
	const char *token;
	size_t count = 0;
	int r;

	r = workspace_store(workspace, err);
	if (r == 0)
		r = store_administrators(workspace->store, NULL, now_ms, &administrators, err);
	if (r < 0)
		return r;
	*ret_token = NULL;
	if (administrators > 0)
		return 0;
	/* A token of a former start goes with the principal that had it. */
	r = store_principal(workspace->store, ctx, NULL, BOOTSTRAP_NAME, NULL, &row, &why);
	if (r < 0 && r != -ERR_NOT_FOUND) {
		*err = why;
		return r;
	}
	if (r == 0) {
		entries[count] = (struct entry){ .kind = ENTRY_PRINCIPAL_REMOVED, .actor = "unship" };
		entries[count++].data = json_make(ctx, "{s:s, s:s}", "principal", row.id, "name", row.name);
	}
	row.id = id_new(ctx, "prn");
	token = secret_make(ctx, TOKEN_PREFIX);
	credential = (struct credential){ .id = id_new(ctx, "tok"), .kind = CREDENTIAL_TOKEN, .principal = row.id };
	credential.hash = secret_hash(ctx, token);
	entries[count] = (struct entry){ .kind = ENTRY_PRINCIPAL_ADDED, .actor = "unship" };
	entries[count++].data = json_make(ctx, "{s:s, s:s, s:s, s:o}", "principal", row.id, "name", BOOTSTRAP_NAME, "kind", "service",
		"grants", grants_json(&grant, 1));
	entries[count] = (struct entry){ .kind = ENTRY_TOKEN_CREATED, .actor = "unship" };
	entries[count++].data = json_make(ctx, "{s:s, s:s, s:s, s:o, s:s}", "token", credential.id, "principal", row.id, "name",
		BOOTSTRAP_NAME, "permissions", permissions_json(PERMISSIONS_ALL), "expires", clock_format(ctx, now_ms + BOOTSTRAP_LIFE_MS));
	r = store_access_write(workspace->store, ctx, entries, count, &credential, 1, err);
	if (r == 0)
		*ret_token = token;
	return r;
}
