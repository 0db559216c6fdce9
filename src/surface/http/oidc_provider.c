/* What is asked of an OpenID Connect provider (oidc_provider.h).
 *
 * Two of its documents are kept as text, so that each sign-in reads a copy of its own: the one by which it says what it is, and its keys. Whoever needs one that is not there fetches it while others wait;
 * when that fails, those who waited are told the same and do not try again for a moment.
 *
 * Where requests go: the issuer stands in the configuration, so it may be an address of this machine or a private one. What its document names may be so only where it has the issuer's own origin: a document
 * is no reason to send requests into a private network. */
#include "surface/http/oidc_provider.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "data/json.h"
#include "data/redact.h"
#include "net/http.h"
#include "surface/http/inner.h"
#include "surface/http/jws.h"

#define KEEP_MS        ((int64_t)60 * 60 * 1000)
#define FAILED_MS      2000 /* so long a failure is told to those who ask meanwhile */
#define TIMEOUT_MS     10000
#define ANSWER_MAX     ((size_t)256 << 10)
#define AGAIN_MS       60000 /* in so much time ... */
#define AGAIN_MAX      6     /* ... the keys are read again at most so often because a key is not known */
#define ERROR_CODE_MAX 64

struct document {
	pthread_mutex_t mutex; /* held while it is fetched */
	char *text;
	int64_t fetched_ms, failed_ms; /* monotonic; 0: never */
	struct err failure;
};

struct oidc_provider {
	struct server *server;
	const struct oidc_config *config;
	struct document discovery, keys;
	pthread_mutex_t mutex; /* of the numbers below */
	int64_t again_since_ms, again_count;
};

static int provider_free(struct oidc_provider *provider)
{
	talloc_free(provider->discovery.text);
	talloc_free(provider->keys.text);
	return 0;
}

struct oidc_provider *oidc_provider_new(const void *ctx, struct server *server)
{
	struct oidc_provider *provider = mem_zero(ctx, struct oidc_provider);

	provider->server = server;
	provider->config = server->config->oidc;
	(void)pthread_mutex_init(&provider->discovery.mutex, NULL);
	(void)pthread_mutex_init(&provider->keys.mutex, NULL);
	(void)pthread_mutex_init(&provider->mutex, NULL);
	talloc_set_destructor(provider, provider_free);
	return provider;
}

/* --- requests ------------------------------------------------------------------------------------------------------ */

static bool is_hurried(void *user)
{
	return atomic_load(&((struct server *)user)->inner->hurried);
}

static bool has_origin_of(const char *url, const char *issuer)
{
	size_t length = strcspn(strstr(issuer, "://") + 3, "/?#") + (size_t)(strstr(issuer, "://") + 3 - issuer);

	return !strncmp(url, issuer, length) && (url[length] == '\0' || strchr("/?#", url[length]));
}

static int ask(struct oidc_provider *provider, const void *ctx, const char *url, const char *const *headers, const char *body,
	struct http_response *ret, struct err *err)
{
	struct http_request request = {
		.url = url,
		.headers = headers,
		.body = body,
		.body_size = body ? strlen(body) : 0,
		.timeout_ms = TIMEOUT_MS,
		.response_max = ANSWER_MAX,
		.local_ok = has_origin_of(url, provider->config->issuer),
		.interrupted = is_hurried,
		.user = provider->server,
	};

	return http_request(ctx, &request, ret, err);
}

static int ask_document(struct oidc_provider *provider, const void *ctx, const char *url, char **ret, struct err *err)
{
	static const char *const headers[] = { "Accept: application/json", NULL };
	struct http_response response;
	int r;

	r = ask(provider, ctx, url, headers, NULL, &response, err);
	if (r < 0)
		return r;
	if (response.status != 200)
		return err_set(err, ERR_UNREACHABLE, "the provider answered %d", response.status);
	*ret = response.body;
	return 0;
}

/* A copy in ctx. `not_before_ms`: one that was fetched earlier will not do. */
static int document_get(struct oidc_provider *provider, struct document *document, const void *ctx, const char *url, int64_t not_before_ms,
	const char **ret, struct err *err)
{
	int64_t now_ms = clock_mono_ms();
	int r = 0;

	(void)pthread_mutex_lock(&document->mutex);
	if (!document->text || document->fetched_ms < MAX(now_ms - KEEP_MS, not_before_ms)) {
		char *text = NULL;

		now_ms = clock_mono_ms();
		if (document->failed_ms && now_ms - document->failed_ms < FAILED_MS) {
			*err = document->failure;
			r = -(int)err->code;
		} else {
			r = ask_document(provider, NULL, url, &text, err);
			now_ms = clock_mono_ms();
			document->failed_ms = r < 0 ? now_ms : 0;
			if (r < 0)
				document->failure = *err;
		}
		if (r == 0) {
			talloc_free(document->text);
			document->text = text;
			document->fetched_ms = now_ms;
		}
	}
	if (r == 0)
		*ret = mem_strdup(ctx, document->text);
	(void)pthread_mutex_unlock(&document->mutex);
	return r;
}

/* What came was no good: it is asked for again, after a moment. */
static void document_drop(struct document *document, const struct err *err)
{
	(void)pthread_mutex_lock(&document->mutex);
	talloc_free(document->text);
	document->text = NULL;
	document->failed_ms = clock_mono_ms();
	document->failure = *err;
	(void)pthread_mutex_unlock(&document->mutex);
}

/* --- what it says of itself ---------------------------------------------------------------------------------------- */

static bool lists(const json_t *list, const char *wanted, bool when_missing)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list))
		return when_missing;
	json_array_foreach(list, i, item)
		if (json_is_string(item) && !strcmp(json_string_value(item), wanted))
			return true;
	return false;
}

static int read_endpoint(const json_t *document, const char *name, bool needed, const char **ret, struct err *err)
{
	const char *url = json_str(document, name, NULL), *trouble = url ? oidc_address_trouble(url) : NULL;

	if (!url && needed)
		return err_set(err, ERR_INVALID, "the provider does not say its %s", name);
	if (trouble)
		return err_set(err, ERR_INVALID, "the provider's %s cannot be used: %s", name, trouble);
	*ret = url;
	return 0;
}

static int read_discovery(const struct oidc_config *config, const void *ctx, const char *text, struct oidc_endpoints *ret, struct err *err)
{
	json_t *document;
	int r;

	r = json_parse(ctx, text, strlen(text), ANSWER_MAX, &document, err);
	if (r < 0)
		return err_in(err, "what the provider says of itself");
	if (strcmp(json_str(document, "issuer", ""), config->issuer) != 0)
		return err_set(err, ERR_INVALID, "the provider does not call itself as server.oidc.issuer does");
	if (!lists(json_object_get(document, "token_endpoint_auth_methods_supported"), "client_secret_basic", true))
		return err_set(err, ERR_INVALID, "the provider does not take client_secret_basic");
	ret->tells_issuer = json_flag(document, "authorization_response_iss_parameter_supported", false);
	r = read_endpoint(document, "authorization_endpoint", true, &ret->authorization, err);
	if (r == 0)
		r = read_endpoint(document, "token_endpoint", true, &ret->token, err);
	if (r == 0)
		r = read_endpoint(document, "jwks_uri", true, &ret->keys, err);
	if (r == 0)
		r = read_endpoint(document, "userinfo_endpoint", false, &ret->userinfo, err);
	return r;
}

int oidc_provider_endpoints(struct oidc_provider *provider, const void *ctx, struct oidc_endpoints *ret, struct err *err)
{
	const char *issuer = provider->config->issuer, *text;
	size_t length = strlen(issuer);
	struct oidc_endpoints endpoints = { 0 };
	int r;

	while (length && issuer[length - 1] == '/')
		length--;
	r = document_get(provider, &provider->discovery, ctx, mem_printf(ctx, "%.*s/.well-known/openid-configuration", (int)length, issuer),
		0, &text, err);
	if (r == 0) {
		r = read_discovery(provider->config, ctx, text, &endpoints, err);
		if (r < 0)
			document_drop(&provider->discovery, err);
	}
	if (r < 0)
		return err_in(err, "OpenID Connect");
	*ret = endpoints;
	return 0;
}

/* --- tokens -------------------------------------------------------------------------------------------------------- */

/* RFC 6749, 2.3.1: both are encoded as in a form first. */
static int basic(struct oidc_provider *provider, const void *ctx, char **ret, struct err *err)
{
	const struct oidc_config *config = provider->config;
	const char *secret;
	char *pair;

	if (json_read_secret(ctx, config->client_secret, provider->server->dir, &secret, err) < 0) {
		/* Which file or variable it is, is not for whoever asks. */
		err_in(err, "server.oidc.clientSecret");
		log_err(LOG_ERROR, err);
		return err_set(err, ERR_FAILED, "the secret for the provider cannot be read; the server's log says why");
	}
	pair = mem_printf(ctx, "%s:%s", text_url_encode(ctx, config->client_id), text_url_encode(ctx, secret));
	*ret = mem_printf(ctx, "Authorization: Basic %s", text_base64(ctx, pair, strlen(pair)));
	return 0;
}

/* "invalid_grant" of {error: ...}: what may be shown of it. */
static const char *error_code(const void *ctx, const struct http_response *response)
{
	struct err why = ERR_INIT;
	const char *code;
	json_t *answer;

	if (json_parse(ctx, response->body, response->body_size, ANSWER_MAX, &answer, &why) < 0)
		return "no reason";
	code = json_str(answer, "error", "no reason");
	return strlen(code) <= ERROR_CODE_MAX && strspn(code, "abcdefghijklmnopqrstuvwxyz_ ") == strlen(code) ? code : "no reason";
}

int oidc_provider_tokens(struct oidc_provider *provider, const void *ctx, const struct oidc_endpoints *endpoints, const char *code,
	const char *verifier, const char *redirect, const char **ret_id_token, const char **ret_access_token, struct err *err)
{
	const char *headers[] = { "Content-Type: application/x-www-form-urlencoded", "Accept: application/json", NULL, NULL };
	struct http_response response;
	char *authorization, *body;
	json_t *answer;
	int r;

	r = basic(provider, ctx, &authorization, err);
	if (r < 0)
		return r;
	headers[2] = authorization;
	body = mem_printf(ctx, "grant_type=authorization_code&code=%s&redirect_uri=%s&code_verifier=%s", text_url_encode(ctx, code),
		text_url_encode(ctx, redirect), verifier);
	r = ask(provider, ctx, endpoints->token, headers, body, &response, err);
	if (r < 0)
		return err_in(err, "OpenID Connect");
	if (response.status != 200)
		return err_set(err, ERR_UNAUTHENTICATED, "the provider gives no token for this sign-in: %d, %s", response.status,
			error_code(ctx, &response));
	if (json_parse(ctx, response.body, response.body_size, ANSWER_MAX, &answer, err) < 0)
		return err_set(err, ERR_UNAUTHENTICATED, "the provider's answer is no JSON");
	*ret_id_token = json_str(answer, "id_token", NULL);
	*ret_access_token = json_str(answer, "access_token", NULL);
	return *ret_id_token ? 0 : err_set(err, ERR_UNAUTHENTICATED, "the provider gave no ID token");
}

/* May the keys be read again because one is not known? */
static bool may_ask_again(struct oidc_provider *provider)
{
	int64_t now_ms = clock_mono_ms();
	bool may;

	(void)pthread_mutex_lock(&provider->mutex);
	if (!provider->again_since_ms || now_ms - provider->again_since_ms >= AGAIN_MS) {
		provider->again_since_ms = now_ms;
		provider->again_count = 0;
	}
	may = provider->again_count++ < AGAIN_MAX;
	(void)pthread_mutex_unlock(&provider->mutex);
	return may;
}

static int find_key(struct oidc_provider *provider, const void *ctx, const struct oidc_endpoints *endpoints, const struct jwt *token,
	const struct jwk **ret, struct err *err)
{
	int64_t not_before_ms = 0;

	for (int i = 0; i < 2; i++) {
		const char *text;
		struct jwk *keys;
		size_t count;
		int r;

		r = document_get(provider, &provider->keys, ctx, endpoints->keys, not_before_ms, &text, err);
		if (r == 0)
			r = jwks_parse(ctx, text, strlen(text), &keys, &count, err);
		if (r < 0)
			return err_in(err, "OpenID Connect: keys");
		*ret = jwks_find(keys, count, token);
		if (*ret)
			return 0;
		not_before_ms = clock_mono_ms();
		if (i == 0 && !may_ask_again(provider))
			break;
	}
	return err_set(err, ERR_UNAUTHENTICATED, "the token is not valid: it was signed with a key that the provider does not show");
}

int oidc_provider_claims(struct oidc_provider *provider, const void *ctx, const struct oidc_endpoints *endpoints, const char *id_token,
	json_t **ret, struct err *err)
{
	const struct jwk *key;
	struct jwt token;
	int r;

	r = jwt_parse(ctx, id_token, &token, err);
	if (r == 0)
		r = find_key(provider, ctx, endpoints, &token, &key, err);
	if (r == 0)
		r = jws_verify(&token, key, err);
	if (r == 0)
		*ret = token.claims;
	return r;
}

int oidc_provider_userinfo(struct oidc_provider *provider, const void *ctx, const struct oidc_endpoints *endpoints,
	const char *access_token, const char *sub, json_t **ret, struct err *err)
{
	const char *headers[] = { "Accept: application/json", NULL, NULL };
	struct http_response response;
	json_t *claims;
	int r;

	for (const char *c = access_token; *c; c++)
		if (*c <= ' ' || *c > 0x7e)
			return err_set(err, ERR_UNAUTHENTICATED, "the provider's access token is none");
	headers[1] = mem_printf(ctx, "Authorization: Bearer %s", access_token);
	r = ask(provider, ctx, endpoints->userinfo, headers, NULL, &response, err);
	if (r < 0)
		return err_in(err, "OpenID Connect");
	if (response.status != 200 || json_parse(ctx, response.body, response.body_size, ANSWER_MAX, &claims, err) < 0)
		return err_set(err, ERR_UNAUTHENTICATED, "the provider tells nothing of this person: %d", response.status);
	if (strcmp(json_str(claims, "sub", ""), sub) != 0)
		return err_set(err, ERR_UNAUTHENTICATED, "the provider tells of another person");
	*ret = claims;
	return 0;
}
