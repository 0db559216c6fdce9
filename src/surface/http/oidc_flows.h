/* Sign-ins that have begun: what the server must remember between sending a browser to the provider and its coming back. In memory: a restart in between means to begin anew. Any thread. */
#ifndef SURFACE_HTTP_OIDC_FLOWS_H
#define SURFACE_HTTP_OIDC_FLOWS_H

#include "base/err.h"
#include "base/mem.h"

#define FLOW_LIFE_MS     ((int64_t)10 * 60 * 1000)
#define FLOWS_MAX        2048
#define FLOWS_OF_ADDRESS 128 /* many people may come through one address; but one address cannot push out all others */

struct oidc_flow {
	const char *state;    /* goes with the browser to the provider and back */
	const char *browser;  /* what its cookie holds */
	const char *nonce;    /* comes back in the ID token */
	const char *verifier; /* of PKCE: proves to the provider that who changes the code is who asked for it */
	const char *next;     /* where the browser goes then */
	bool again;           /* the provider was told to ask for a new proof */
	int64_t begun_ms;     /* wall */
};

struct oidc_flows;
struct oidc_flows *oidc_flows_new(const void *ctx);
/* Makes the secrets of a new one: 256 random bits each, in ctx. The oldest (of that address, or of all) is forgotten when there are too many. `now_ms`: monotonic. */
void oidc_flows_add(struct oidc_flows *flows, const void *ctx, const char *peer, const char *next, bool again, int64_t now_ms,
	struct oidc_flow *ret);
/* The one that the browser brings back, once: afterwards it is forgotten, also when the cookie is another browser's. ERR_UNAUTHENTICATED. Any of `state` and `browser` may be NULL. */
must_check int oidc_flows_take(struct oidc_flows *flows, const void *ctx, const char *state, const char *browser, int64_t now_ms,
	struct oidc_flow *ret, struct err *err);

#endif
