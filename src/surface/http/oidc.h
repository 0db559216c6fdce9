/* Sign-in by OpenID Connect (docs/oidc.md): authorization code flow with PKCE, in a browser. */
#ifndef SURFACE_HTTP_OIDC_H
#define SURFACE_HTTP_OIDC_H

#include "surface/http/server.h"

extern const struct route oidc_routes[];
extern const struct service oidc_service;

/* Where a browser may be sent afterwards: a path of this server, percent-encoded, in ctx; NULL: it is something else (another host, by whatever spelling). */
char *oidc_next(const void *ctx, const char *next);

#endif
