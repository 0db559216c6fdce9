/* The provider of an OpenID Connect sign-in, as it says of itself, and what is asked of it: discovery document, keys, tokens, facts about a person. Every request has a time limit and a maximum. Any thread. */
#ifndef SURFACE_HTTP_OIDC_PROVIDER_H
#define SURFACE_HTTP_OIDC_PROVIDER_H

#include "core/jwt.h"
#include "core/oidc.h"
#include "surface/http/server.h"

struct oidc_provider;
struct oidc_provider *oidc_provider_new(const void *ctx, struct server *server);

/* Its discovery document (OpenID Connect Discovery 1.0), checked; in ctx. */
struct oidc_endpoints {
	const char *authorization, *token, *keys;
	const char *userinfo; /* NULL: it has none */
	bool tells_issuer;    /* says its own name when it sends a browser back (RFC 9207) */
};
/* Read again when older than an hour. ERR_UNREACHABLE and its like; ERR_INVALID when what it says of itself is wrong. */
must_check int oidc_provider_endpoints(struct oidc_provider *provider, const void *ctx, struct oidc_endpoints *ret, struct err *err);

/* Changes the code for tokens. ERR_UNAUTHENTICATED when the provider refuses. */
must_check int oidc_provider_tokens(struct oidc_provider *provider, const void *ctx, const struct oidc_endpoints *endpoints,
	const char *code, const char *verifier, const char *redirect, const char **ret_id_token, const char **ret_access_token,
	struct err *err);
/* The claims of an ID token whose signature fits a key of the provider's. For a key that is not known its keys are read again, but not at will. */
must_check int oidc_provider_claims(struct oidc_provider *provider, const void *ctx, const struct oidc_endpoints *endpoints,
	const char *id_token, json_t **ret, struct err *err);
/* What else the provider tells of the person with this `sub`. */
must_check int oidc_provider_userinfo(struct oidc_provider *provider, const void *ctx, const struct oidc_endpoints *endpoints,
	const char *access_token, const char *sub, json_t **ret, struct err *err);

#endif
