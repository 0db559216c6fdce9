/* Who calls: a token in the header Authorization, or the session of a cookie; and the routes to sign in and out.
 *
 * What a credential stands for is kept for at most a second, by the hash of the credential, so that polling does not ask the store each time and what was revoked is out at once, as people count.
 * The cookie has the prefix __Host-: browsers keep it to this host, to HTTPS (and to loopback), and to the path /.
 *
 * Threads: the mutex guards the table; what stands in it is counted by its users and freed by the last. */
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "data/hash.h"
#include "data/json.h"
#include "surface/http/inner.h"

#define COOKIE     "__Host-unship"
#define PLACES     256
#define KEEP_MS    1000
#define SECRET_MAX 512

struct credential {
	char key[HASH_HEX_SIZE];
	int64_t known_ms; /* monotonic */
	struct principal *principal;
	struct session session;
	bool is_session;
	atomic_uint users; /* the table is one */
};

struct auth {
	pthread_mutex_t mutex;
	struct credential *places[PLACES];
};

struct auth *auth_new(const void *ctx)
{
	struct auth *auth = mem_zero(ctx, struct auth);

	(void)pthread_mutex_init(&auth->mutex, NULL);
	return auth;
}

static void let_go(const struct credential *credential)
{
	struct credential *own = (struct credential *)credential;

	if (own && atomic_fetch_sub(&own->users, 1) == 1)
		talloc_free(own);
}

void auth_release(struct inner *inner)
{
	let_go(inner->held);
	inner->held = NULL;
}

static struct credential **place_of(struct auth *auth, const char *key)
{
	unsigned number = 0;

	for (int i = 0; i < 4; i++)
		number = number * 16 + (unsigned)(key[i] <= '9' ? key[i] - '0' : key[i] - 'a' + 10);
	return &auth->places[number % PLACES];
}

static void hold(struct inner *inner, struct credential *credential)
{
	inner->held = credential;
	inner->x.principal = credential->principal;
	inner->x.session = credential->is_session ? &credential->session : NULL;
}

static bool take_known(struct inner *inner, struct auth *auth, const char *key)
{
	struct credential *known;

	(void)pthread_mutex_lock(&auth->mutex);
	known = *place_of(auth, key);
	if (known && (strcmp(known->key, key) != 0 || clock_mono_ms() - known->known_ms >= KEEP_MS))
		known = NULL;
	if (known)
		atomic_fetch_add(&known->users, 1);
	(void)pthread_mutex_unlock(&auth->mutex);
	if (known)
		hold(inner, known);
	return known != NULL;
}

static void put_known(struct auth *auth, struct credential *credential)
{
	struct credential **place, *before;

	(void)pthread_mutex_lock(&auth->mutex);
	place = place_of(auth, credential->key);
	before = *place;
	*place = credential;
	(void)pthread_mutex_unlock(&auth->mutex);
	let_go(before);
}

void auth_forget(struct server *server, const char *credential_id)
{
	struct auth *auth = server->inner->auth;

	for (size_t i = 0; i < PLACES; i++) {
		struct credential *gone = NULL;

		(void)pthread_mutex_lock(&auth->mutex);
		if (auth->places[i] && (!credential_id || !strcmp(auth->places[i]->principal->credential, credential_id))) {
			gone = auth->places[i];
			auth->places[i] = NULL;
		}
		(void)pthread_mutex_unlock(&auth->mutex);
		let_go(gone);
	}
}

/* --- credentials --------------------------------------------------------------------------------------------------- */

struct given {
	const char *secret;
	bool session;
	char key[HASH_HEX_SIZE];
};

/* 1: one was given, 0: none. */
static int find_given(const struct inner *inner, struct given *ret, struct err *err)
{
	const struct exchange *x = &inner->x;
	const char *header = exchange_header(x, "Authorization"), *cookie = NULL;

	/* Who signs in may come with the cookie of a session that is over. */
	if (!header && !x->route->signs_in)
		cookie = exchange_cookie(x, COOKIE);

	if (!header && !cookie)
		return 0;
	if (header && strncasecmp(header, "Bearer ", 7) != 0)
		return err_set(err, ERR_UNAUTHENTICATED, "the header Authorization must be: Bearer TOKEN");
	ret->secret = header ? header + 7 + strspn(header + 7, " ") : cookie;
	ret->session = !header;
	if (!*ret->secret || strlen(ret->secret) > SECRET_MAX)
		return err_set(err, ERR_UNAUTHENTICATED, "the credential is not valid");
	hash_sha256_hex(ret->secret, strlen(ret->secret), ret->key);
	return 1;
}

static int nobody(const struct inner *inner, struct err *err)
{
	if (inner->x.route->access == ACCESS_PUBLIC)
		return 1;
	return err_set(err, ERR_UNAUTHENTICATED, "no credential was given: send the header Authorization: Bearer TOKEN, or sign in");
}

int auth_quickly(struct inner *inner, struct err *err)
{
	struct given given;
	int r;

	r = find_given(inner, &given, err);
	if (r == 0)
		return nobody(inner, err);
	if (r < 0)
		return r;
	return take_known(inner, inner->x.server->inner->auth, given.key) ? 1 : 0;
}

int auth_identify(struct inner *inner, struct workspace *workspace, struct err *err)
{
	struct exchange *x = &inner->x;
	struct credential *credential;
	struct given given;
	int r;

	r = find_given(inner, &given, err);
	if (r == 0)
		r = nobody(inner, err) < 0 ? -(int)err->code : 0;
	if (r <= 0 || take_known(inner, x->server->inner->auth, given.key))
		return MIN(r, 0);
	credential = mem_zero(NULL, struct credential);
	credential->is_session = given.session;
	if (given.session)
		r = identity_by_session(workspace, credential, given.secret, &credential->session, &credential->principal, err);
	else
		r = identity_by_token(workspace, credential, given.secret, x->peer, &credential->principal, err);
	if (r < 0) {
		talloc_free(credential);
		return r;
	}
	memcpy(credential->key, given.key, sizeof(credential->key));
	credential->known_ms = clock_mono_ms();
	atomic_store(&credential->users, 2);
	hold(inner, credential);
	put_known(x->server->inner->auth, credential);
	return 0;
}

static bool is_safe(const char *method)
{
	return !strcmp(method, "GET") || !strcmp(method, "HEAD");
}

/* Hashes are compared, so the time says nothing about the text. */
static bool is_same(const char *a, const char *b)
{
	char hash_a[HASH_HEX_SIZE], hash_b[HASH_HEX_SIZE];

	hash_sha256_hex(a, strlen(a), hash_a);
	hash_sha256_hex(b, strlen(b), hash_b);
	return !strcmp(hash_a, hash_b);
}

int auth_permit(struct inner *inner, struct err *err)
{
	const struct exchange *x = &inner->x;
	const char *token = exchange_header(x, "X-CSRF-Token");

	/* A page elsewhere can have a browser send the cookie, but not this header, which it cannot read. */
	if (x->session && !is_safe(x->method) && (!token || !is_same(token, x->session->csrf)))
		return err_set(err, ERR_FORBIDDEN, "the header X-CSRF-Token is missing or wrong; GET /api/v1/session tells it");
	if (x->route->access != ACCESS_PERMITTED || (!x->principal && x->route->access == ACCESS_PUBLIC))
		return 0;
	return access_check(x->principal, x->route->permission, exchange_param(x, "environment"), err);
}

/* --- routes -------------------------------------------------------------------------------------------------------- */

struct sign_in {
	const char *name, *password;
};
static const struct field sign_in_fields[] = {
	FIELD_STR(struct sign_in, name, REQUIRED, "of the principal"),
	FIELD_STR(struct sign_in, password, REQUIRED, "of the principal"),
	FIELD_END,
};
static const struct field again_fields[] = {
	FIELD_STR(struct sign_in, password, REQUIRED, "of the principal"),
	FIELD_END,
};
static const struct shape grant_shape[] = {
	SHAPE_STR("environment", ALWAYS, "name, or * for all"),
	SHAPE_STR("role", ALWAYS, "viewer, operator, approver or admin"),
	SHAPE_STRINGS("permissions", SOMETIMES, "beside those of the role"),
	SHAPE_END,
};
static const struct shape principal_shape[] = {
	SHAPE_STR("id", ALWAYS, "of the principal"),
	SHAPE_STR("name", ALWAYS, "of the principal"),
	SHAPE_CHOICE("kind", ALWAYS, "person|service", "what they are"),
	SHAPE_LIST("grants", ALWAYS, grant_shape, "roles by environment"),
	SHAPE_END,
};
static const struct shape session_shape[] = {
	SHAPE_OBJECT("principal", ALWAYS, principal_shape, "who is signed in"),
	SHAPE_STRINGS("permissions", ALWAYS, "in any environment"),
	SHAPE_ANY("environments", ALWAYS, "permissions by environment"),
	SHAPE_CHOICE("by", ALWAYS, "session|token", "how they proved who they are"),
	SHAPE_STR("csrf", SOMETIMES, "to be sent back in the header X-CSRF-Token; sessions only"),
	SHAPE_TIME("expiresAt", SOMETIMES, "when the session ends at the latest"),
	SHAPE_TIME("authenticatedAt", SOMETIMES, "when they last proved who they are"),
	SHAPE_END,
};

static json_t *who_am_i(const struct exchange *x, const struct principal *principal, const struct session *session)
{
	const struct project *project = x->server->project;
	json_t *environments = json_object(), *answer;

	for (size_t i = 0; i < project->environment_count; i++) {
		const char *name = project->environments[i].name;

		if (!access_permits(principal, PERMIT_VIEW, name))
			continue;
		json_object_set_new(environments, name, permissions_json(access_permissions(principal, name)));
	}
	answer = json_make(x->ctx, "{s:{s:s, s:s, s:s, s:o}, s:o, s:o, s:s}", "principal", "id", principal->id, "name", principal->name,
		"kind", principal->kind == PRINCIPAL_PERSON ? "person" : "service", "grants",
		grants_json(principal->grants, principal->grant_count), "permissions",
		permissions_json(access_permissions(principal, NULL)), "environments", environments, "by", session ? "session" : "token");
	if (session) {
		json_put_str(answer, "csrf", session->csrf);
		json_put_str(answer, "expiresAt", clock_format(x->ctx, session->expires_ms));
	}
	if (principal->authenticated_ms)
		json_put_str(answer, "authenticatedAt", clock_format(x->ctx, principal->authenticated_ms));
	return answer;
}

static int read_fields(struct exchange *x, const struct field *fields, struct sign_in *ret, struct err *err)
{
	struct problems *problems = problems_new(x->ctx, NULL);
	json_t *body;
	int r;

	r = exchange_body_json(x, &body, err);
	if (r < 0)
		return r;
	fields_parse(x->ctx, fields, body, "", NULL, false, ret, problems);
	return problems_result(problems, err);
}

void auth_set_cookie(struct exchange *x, const struct session *session)
{
	exchange_add_header(x, "Set-Cookie", mem_printf(x->ctx, COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Strict", session->secret));
}

static void clear_cookie(struct exchange *x)
{
	exchange_add_header(x, "Set-Cookie", COOKIE "=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
}

static int sign_in(struct exchange *x, struct err *err)
{
	const char *agent = exchange_header(x, "User-Agent");
	struct principal *principal;
	struct session session;
	struct sign_in given;
	int r;

	x->no_etag = true;
	r = read_fields(x, sign_in_fields, &given, err);
	if (r == 0)
		r = identity_login(x->workspace, x->ctx, given.name, given.password, x->peer, agent ? agent : "", &session, &principal,
			err);
	if (r < 0)
		return r;
	auth_set_cookie(x, &session);
	exchange_answer_json(x, 201, who_am_i(x, principal, &session));
	return 0;
}

static int show_session(struct exchange *x, struct err *err)
{
	(void)err;
	x->no_etag = true;
	exchange_answer_json(x, 200, who_am_i(x, x->principal, x->session));
	return 0;
}

static int sign_out(struct exchange *x, struct err *err)
{
	int r;

	x->no_etag = true;
	if (!x->session)
		return err_set(err, ERR_INVALID, "there is no session: a token was given");
	r = identity_end(x->workspace, x->session->id, x->principal->name, err);
	if (r < 0)
		return r;
	auth_forget(x->server, x->principal->credential);
	clear_cookie(x);
	exchange_answer_text(x, 204, "text/plain", "");
	return 0;
}

static int prove_again(struct exchange *x, struct err *err)
{
	struct sign_in given;
	int r;

	x->no_etag = true;
	if (!x->session)
		return err_set(err, ERR_INVALID, "there is no session: a token was given");
	r = read_fields(x, again_fields, &given, err);
	if (r == 0)
		r = identity_again(x->workspace, x->session, x->principal, given.password, x->peer, err);
	if (r < 0)
		return r;
	auth_forget(x->server, x->principal->credential);
	exchange_answer_text(x, 204, "text/plain", "");
	return 0;
}

/* clang-format off */
const struct route auth_routes[] = {
	{ "POST", "/api/v1/session", ROUTE_WORK, ACCESS_PUBLIC, PERMIT_VIEW, sign_in,
		.summary = "sign in; the answer sets the cookie of the session", .fields = sign_in_fields, .answer = session_shape,
		.signs_in = true },
	{ "GET", "/api/v1/session", ROUTE_WORK, ACCESS_PRINCIPAL, PERMIT_VIEW, show_session,
		.summary = "who is signed in, by session or token", .answer = session_shape },
	{ "DELETE", "/api/v1/session", ROUTE_WORK, ACCESS_PRINCIPAL, PERMIT_VIEW, sign_out, .summary = "sign out",
		.answer = nothing_shape },
	{ "POST", "/api/v1/session/again", ROUTE_WORK, ACCESS_PRINCIPAL, PERMIT_VIEW, prove_again,
		.summary = "prove again who you are, before what needs a fresh proof", .fields = again_fields,
		.answer = nothing_shape },
	{ NULL },
};
/* clang-format on */
