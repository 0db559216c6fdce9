/* Does the signature of a token fit a key? With GnuTLS, which the server has loaded (library.h). Any thread. */
#ifndef SURFACE_HTTP_JWS_H
#define SURFACE_HTTP_JWS_H

#include "core/jwt.h"

/* ERR_UNAUTHENTICATED when it does not; ERR_INVALID for a key that is none. */
must_check int jws_verify(const struct jwt *token, const struct jwk *key, struct err *err);

#endif
