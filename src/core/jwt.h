/* JSON Web Tokens (RFC 7519) and key sets (RFC 7517), as far as OpenID Connect needs them: reading, and checking what a token claims. Pure: the time is handed in, and whether a signature fits is found out
 * by whoever has the cryptography (surface/http/jws.h). Nothing of a token is trusted, or told in a message, before that.
 *
 * Only signed tokens in the compact form, with an algorithm of the table in jwt.c: `none` and those with a shared secret (HS256, ...) are not there, so that they cannot be chosen by who sends a token. */
#ifndef CORE_JWT_H
#define CORE_JWT_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

#define JWT_MAX       ((size_t)64 << 10) /* bytes of a token */
#define JWKS_MAX      ((size_t)256 << 10)
#define JWKS_KEYS_MAX 64

/* Without padding, as RFC 7515 writes it. */
char *base64url_encode(const void *ctx, const void *bytes, size_t size);
/* Strictly: no padding, no other characters, no bits left over. The result has a 0 byte behind it that is not counted. */
must_check int base64url_decode(const void *ctx, const char *text, size_t length, uint8_t **ret, size_t *ret_size, struct err *err);

enum jwt_algorithm { JWT_RS256, JWT_PS256, JWT_ES256 };
const char *jwt_algorithm_name(enum jwt_algorithm algorithm);

struct jwt {
	enum jwt_algorithm algorithm;
	const char *key_id;      /* NULL: not told */
	json_t *claims;          /* object */
	const char *signed_text; /* what the signature is over; borrowed from the token */
	size_t signed_size;
	const uint8_t *signature;
	size_t signature_size;
};
/* Everything in ctx but what is borrowed. ERR_UNAUTHENTICATED. */
must_check int jwt_parse(const void *ctx, const char *token, struct jwt *ret, struct err *err);

struct jwt_expected {
	const char *issuer, *audience; /* exactly; audience: who we are */
	const char *nonce;
	int64_t now_ms, leeway_ms;
};
/* The claims of an ID token (OpenID Connect Core 3.1.3.7): iss, aud and azp, exp, nbf, iat, nonce, sub. ERR_UNAUTHENTICATED says which one is wrong, not what stands in it. */
must_check int jwt_check(const json_t *claims, const struct jwt_expected *expected, struct err *err);
/* A number of seconds since 1970, with or without fraction. False: there is none, or it is out of all range. */
bool jwt_time(const json_t *claims, const char *name, int64_t *ret_ms);

struct jwk {
	const char *key_id; /* NULL: none */
	bool elliptic;      /* EC on P-256: x, y; else RSA: modulus, exponent */
	bool any;           /* the set does not say for which algorithm it is */
	enum jwt_algorithm algorithm;
	const uint8_t *first, *second; /* modulus and exponent, or x and y; big endian */
	size_t first_size, second_size;
};
/* The keys of a set with which signatures of ours can be checked; others are left out. ERR_INVALID for what is no set. */
must_check int jwks_parse(const void *ctx, const char *text, size_t size, struct jwk **ret, size_t *ret_count, struct err *err);
/* The key that a token names; when it names none, the only one that fits. NULL. */
const struct jwk *jwks_find(const struct jwk *keys, size_t count, const struct jwt *token);

#endif
