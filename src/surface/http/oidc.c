/* Sign-in by OpenID Connect: the two routes that a browser goes through, and the one that says how somebody can sign in.
 *
 * The way: /api/v1/login/oidc remembers state, nonce and verifier (oidc_flows.c), gives the browser a cookie and sends it to the provider; the provider sends it to .../callback with a code; the code is changed
 * for tokens (oidc_provider.c), the ID token checked (core/jwt.c, jws.c), its groups become grants (core/oidc.c), and a session begins (ops/identity.c), always a new one.
 *
 * A browser shows what went wrong as a small page; programs, which do not ask for HTML, get a problem document. Every sign-in that was refused is an entry `login.refused`; like ones at most once a minute.
 *
 * Threads: WORK routes, on workers. They wait for the provider, so only half of the workers may be here at a time: the others stay for those who need no provider. */
#include "surface/http/oidc.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"
#include "surface/http/inner.h"
#include "surface/http/oidc_flows.h"
#include "surface/http/oidc_provider.h"

#define COOKIE    "__Host-unship-login"
#define CALLBACK  "/api/v1/login/oidc/callback"
#define NEXT_MAX  1024
#define CODE_MAX  4096
#define LEEWAY_MS 60000

struct oidc {
	struct oidc_flows *flows;
	struct oidc_provider *provider;
	atomic_int busy;
	int busy_max;
};

static int start(struct server *server, void **ret_state, struct err *err)
{
	struct oidc *oidc = mem_zero(NULL, struct oidc);

	(void)err;
	oidc->busy_max = MAX((int)server->config->workers / 2, 1);
	if (server->config->oidc) {
		oidc->flows = oidc_flows_new(oidc);
		oidc->provider = oidc_provider_new(oidc, server);
	}
	*ret_state = oidc;
	return 0;
}

static void stop(struct server *server, void *state)
{
	(void)server;
	talloc_free(state);
}

const struct service oidc_service = { "sign-in by OpenID Connect", start, stop };

/* --- where to go then ---------------------------------------------------------------------------------------------- */

char *oidc_next(const void *ctx, const char *next)
{
	char *encoded;

	/* "//host" and "/\host" name another host. */
	if (next[0] != '/' || next[1] == '/' || strlen(next) > NEXT_MAX || text_starts_with(next, "/api/v1/login"))
		return NULL;
	for (const char *c = next; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
			return NULL;
	encoded = mem_strdup(ctx, "");
	for (const char *c = next; *c; c++) {
		bool plain = (unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f && !strchr("\"<>^`{|}", *c);

		encoded = plain ? mem_appendf(encoded, "%c", *c) : mem_appendf(encoded, "%%%02X", (unsigned char)*c);
	}
	return encoded;
}

/* --- pages --------------------------------------------------------------------------------------------------------- */

static char *html(const void *ctx, const char *text)
{
	char *out = mem_strdup(ctx, "");

	for (; *text; text++)
		out = strchr("<>&\"'", *text) ? mem_appendf(out, "&#%d;", *text) : mem_appendf(out, "%c", *text);
	return out;
}

/* A browser that was sent here shows what is answered; a program reads a problem document. */
static int answer_failure(struct exchange *x, const char *next, const struct err *why, struct err *err)
{
	const char *accept = exchange_header(x, "Accept");
	const struct err_info *info = err_info(why->code);

	if (!accept || !strstr(accept, "text/html")) {
		*err = *why;
		return -(int)why->code;
	}
	exchange_add_header(x, "Content-Security-Policy",
		"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
	exchange_answer_text(x, info->http_status, "text/html; charset=utf-8",
		mem_printf(x->ctx,
			"<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
			"<title>Sign-in failed</title></head>\n<body>\n<main>\n<h1>You are not signed in</h1>\n<p>%s</p>\n<p><a href=\"/api/v1/login/oidc?next=%s\">"
			"Try again</a></p>\n</main>\n</body>\n</html>\n",
			html(x->ctx, why->text), html(x->ctx, text_url_encode(x->ctx, next ? next : "/"))));
	return 0;
}

/* Everything that a sign-in in progress knows. */
struct coming {
	struct exchange *x;
	struct oidc *oidc;
	const struct oidc_config *config;
	struct oidc_flow flow;
	struct oidc_endpoints endpoints;
	const char *redirect;
	const char *reason;         /* what was being done: of an entry, when it fails */
	const char *subject, *name; /* who was vouched for; NULL: nobody yet */
	struct grant *grants;
	size_t grant_count;
	int64_t proved_ms;
};

/* Written once a minute, address and reason. */
static int write_down(struct coming *coming, struct err *err)
{
	struct exchange *x = coming->x;
	const char *key = mem_printf(x->ctx, "oidc %s %s", coming->reason, x->peer);
	uint64_t count;

	if (!refusals_count(x->server->inner->refusals, key, clock_mono_ms(), true, &count))
		count = 0;
	return identity_not_begun(x->workspace, coming->grant_count ? NULL : coming->subject, coming->name, coming->reason, x->peer, count,
		err);
}

static int fail(struct coming *coming, const struct err *why, struct err *err)
{
	struct err wrote = ERR_INIT;

	/* Where it cannot be written down, that is the error. */
	if (write_down(coming, &wrote) < 0)
		return answer_failure(coming->x, coming->flow.next, &wrote, err);
	return answer_failure(coming->x, coming->flow.next, why, err);
}

/* --- routes -------------------------------------------------------------------------------------------------------- */

static int enter(struct exchange *x, struct coming *ret, struct err *err)
{
	struct oidc *oidc = service_state(x->server, &oidc_service);
	const char *url = x->server->config->public_url ? x->server->config->public_url : x->server->url;

	x->no_etag = true;
	if (!x->server->config->oidc || !url)
		return err_set(err, ERR_NOT_FOUND, "nobody signs in by OpenID Connect here: server.oidc is missing in the project file");
	*ret = (struct coming){ .x = x, .oidc = oidc, .config = x->server->config->oidc };
	ret->redirect = mem_printf(x->ctx, "%s" CALLBACK, url);
	if (atomic_fetch_add(&oidc->busy, 1) < oidc->busy_max)
		return 0;
	atomic_fetch_sub(&oidc->busy, 1);
	exchange_add_header(x, "Retry-After", "1");
	return err_set(err, ERR_LIMITED, "too many people are signing in at this moment: try again");
}

static void leave(struct coming *coming)
{
	atomic_fetch_sub(&coming->oidc->busy, 1);
}

static void redirect_to(struct exchange *x, const char *url)
{
	exchange_add_header(x, "Location", url);
	exchange_answer_text(x, 303, "text/plain", "");
}

static char *authorization_url(const struct coming *coming)
{
	const struct oidc_flow *flow = &coming->flow;
	void *ctx = coming->x->ctx;
	unsigned char sum[HASH_SIZE];
	char *scopes = mem_strdup(ctx, ""), *url;

	for (const char **scope = coming->config->scopes; *scope; scope++)
		scopes = mem_appendf(scopes, "%s%s", *scopes ? " " : "", *scope);
	hash_sha256(flow->verifier, strlen(flow->verifier), sum);
	url = mem_printf(ctx,
		"%s%cresponse_type=code&client_id=%s&redirect_uri=%s&scope=%s&state=%s&nonce=%s&code_challenge=%s&code_challenge_method=S256",
		coming->endpoints.authorization, strchr(coming->endpoints.authorization, '?') ? '&' : '?',
		text_url_encode(ctx, coming->config->client_id), text_url_encode(ctx, coming->redirect), text_url_encode(ctx, scopes),
		flow->state, flow->nonce, base64url_encode(ctx, sum, sizeof(sum)));
	/* With a limit the provider says when they proved who they are (auth_time). */
	return flow->again ? mem_append(url, "&prompt=login&max_age=0") : mem_appendf(url, "&max_age=%d", SESSION_ABSOLUTE_MS / 1000);
}

/* ?next=PATH, where the browser goes then; again=true: the provider is to ask for a new proof, also of somebody who is signed in there. */
static int begin(struct exchange *x, struct err *err)
{
	const char *next = exchange_query(x, "next"), *again = exchange_query(x, "again");
	struct coming coming;
	struct err why = ERR_INIT;
	int r;

	x->no_etag = true;
	next = oidc_next(x->ctx, next && *next ? next : "/");
	if (!next)
		return err_set(err, ERR_INVALID, "next: expected a path of this server, as /environments");
	r = enter(x, &coming, &why);
	if (r < 0)
		return answer_failure(x, next, &why, err);
	r = oidc_provider_endpoints(coming.oidc->provider, x->ctx, &coming.endpoints, &why);
	leave(&coming);
	if (r < 0) {
		log_err(LOG_WARN, &why);
		return answer_failure(x, next, &why, err);
	}
	oidc_flows_add(coming.oidc->flows, x->ctx, x->peer, next, again && !strcmp(again, "true"), clock_mono_ms(), &coming.flow);
	exchange_add_header(x, "Set-Cookie",
		mem_printf(x->ctx, COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d", coming.flow.browser,
			(int)(FLOW_LIFE_MS / 1000)));
	redirect_to(x, authorization_url(&coming));
	return 0;
}

/* What stands in the address to which the provider sent the browser. */
static int check_answer(struct coming *coming, const char **ret_code, struct err *err)
{
	struct exchange *x = coming->x;
	const char *issuer = exchange_query(x, "iss"), *error = exchange_query(x, "error"), *code = exchange_query(x, "code");
	int r;

	coming->reason = "state";
	r = oidc_flows_take(coming->oidc->flows, x->ctx, exchange_query(x, "state"), exchange_cookie(x, COOKIE), clock_mono_ms(),
		&coming->flow, err);
	if (r < 0)
		return r;
	coming->reason = "unreachable";
	r = oidc_provider_endpoints(coming->oidc->provider, x->ctx, &coming->endpoints, err);
	if (r < 0)
		return r;
	coming->reason = "issuer";
	if (issuer ? strcmp(issuer, coming->config->issuer) != 0 : coming->endpoints.tells_issuer)
		return err_set(err, ERR_UNAUTHENTICATED, "the answer does not come from the provider that was asked (iss)");
	coming->reason = "provider";
	if (error)
		return err_set(err, ERR_UNAUTHENTICATED, "the provider did not sign you in%s",
			!strcmp(error, "access_denied") ? ": it was declined there" : "");
	if (!code || !*code || strlen(code) > CODE_MAX)
		return err_set(err, ERR_UNAUTHENTICATED, "the provider's answer has no code");
	*ret_code = code;
	return 0;
}

static int check_proof(struct coming *coming, const json_t *claims, struct err *err)
{
	bool told = jwt_time(claims, "auth_time", &coming->proved_ms);

	/* It cannot have been later than now, and the provider's clock is not ours. */
	coming->proved_ms = told ? MIN(coming->proved_ms, clock_wall_ms()) : 0;
	if (!coming->flow.again || (told && coming->proved_ms + LEEWAY_MS >= coming->flow.begun_ms))
		return 0;
	return err_set(err, ERR_UNAUTHENTICATED, "the provider was to ask for a new proof, but %s (auth_time)",
		told ? "did not" : "does not say when it asked");
}

static int read_tokens(struct coming *coming, const char *code, json_t **ret_claims, const char **ret_access_token, struct err *err)
{
	void *ctx = coming->x->ctx;
	struct jwt_expected expected = {
		.issuer = coming->config->issuer,
		.audience = coming->config->client_id,
		.nonce = coming->flow.nonce,
		.leeway_ms = LEEWAY_MS,
	};
	const char *id_token;
	json_t *claims;
	int r;

	coming->reason = "code";
	r = oidc_provider_tokens(coming->oidc->provider, ctx, &coming->endpoints, code, coming->flow.verifier, coming->redirect, &id_token,
		ret_access_token, err);
	if (r < 0)
		return r;
	coming->reason = "id-token";
	r = oidc_provider_claims(coming->oidc->provider, ctx, &coming->endpoints, id_token, &claims, err);
	expected.now_ms = clock_wall_ms();
	if (r == 0)
		r = jwt_check(claims, &expected, err);
	if (r == 0)
		r = check_proof(coming, claims, err);
	if (r == 0)
		*ret_claims = claims;
	return r;
}

/* Who they are and what they may. A provider that keeps its tokens short tells the groups only when it is asked for them. */
static int read_person(struct coming *coming, json_t *claims, const char *access_token, struct err *err)
{
	const struct oidc_config *config = coming->config;
	const char *sub = json_str(claims, "sub", "");
	void *ctx = coming->x->ctx;
	json_t *more;
	int r;

	if (!oidc_claim(claims, config->groups_claim) && access_token && coming->endpoints.userinfo) {
		coming->reason = "userinfo";
		r = oidc_provider_userinfo(coming->oidc->provider, ctx, &coming->endpoints, access_token, sub, &more, err);
		if (r < 0)
			return r;
		json_object_update_missing(claims, more);
	}
	coming->subject = mem_printf(ctx, "%s|%s", config->issuer, sub);
	coming->name = oidc_name(config, claims);
	coming->reason = "group";
	oidc_grants(ctx, config, oidc_claim(claims, config->groups_claim), &coming->grants, &coming->grant_count);
	if (coming->grant_count)
		return 0;
	return err_set(err, ERR_FORBIDDEN, "you are in no group that may do anything here; the claim '%s' was looked at",
		config->groups_claim);
}

static int begin_session(struct coming *coming, struct err *err)
{
	struct exchange *x = coming->x;
	const char *agent = exchange_header(x, "User-Agent");
	struct principal *principal;
	struct session session;
	int r;

	coming->reason = "principal";
	r = identity_begin(x->workspace, x->ctx, coming->subject, coming->name, coming->grants, coming->grant_count, coming->proved_ms,
		x->peer, agent ? agent : "", &session, &principal, err);
	if (r == 0)
		auth_set_cookie(x, &session);
	return r;
}

static int come_back(struct coming *coming, struct err *err)
{
	const char *code, *access_token = NULL;
	json_t *claims;
	int r;

	r = check_answer(coming, &code, err);
	if (r == 0)
		r = read_tokens(coming, code, &claims, &access_token, err);
	if (r == 0)
		r = read_person(coming, claims, access_token, err);
	return r < 0 ? r : begin_session(coming, err);
}

static int callback(struct exchange *x, struct err *err)
{
	struct coming coming;
	struct err why = ERR_INIT;
	int r;

	r = enter(x, &coming, &why);
	if (r < 0)
		return answer_failure(x, NULL, &why, err);
	r = come_back(&coming, &why);
	leave(&coming);
	exchange_add_header(x, "Set-Cookie", COOKIE "=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
	if (r < 0)
		return fail(&coming, &why, err);
	redirect_to(x, coming.flow.next);
	return 0;
}

static const struct shape ways_shape[] = {
	SHAPE_STRINGS("methods", ALWAYS, "password: POST /api/v1/session; oidc: a browser goes to /api/v1/login/oidc"),
	SHAPE_END,
};

static int ways(struct exchange *x, struct err *err)
{
	json_t *methods = json_pack("[s]", "password");

	(void)err;
	if (x->server->config->oidc)
		json_array_append_new(methods, json_string("oidc"));
	exchange_answer_json(x, 200, json_make(x->ctx, "{s:o}", "methods", methods));
	return 0;
}

/* clang-format off */
const struct route oidc_routes[] = {
	{ "GET", "/api/v1/login", ROUTE_QUICK, ACCESS_PUBLIC, PERMIT_VIEW, ways,
		.summary = "the ways to sign in", .answer = ways_shape, .signs_in = true },
	/* For browsers, not for programs: they are not in the document of the API. */
	{ "GET", "/api/v1/login/oidc", ROUTE_WORK, ACCESS_PUBLIC, PERMIT_VIEW, begin, .signs_in = true },
	{ "GET", CALLBACK, ROUTE_WORK, ACCESS_PUBLIC, PERMIT_VIEW, callback, .signs_in = true },
	{ NULL },
};
/* clang-format on */
