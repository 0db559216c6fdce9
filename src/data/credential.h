/* What somebody proves themselves with: secrets that are made here and kept as a hash, and passwords.
 * Threads: any, after hash_setup. */
#ifndef DATA_CREDENTIAL_H
#define DATA_CREDENTIAL_H

#include "base/err.h"
#include "base/mem.h"

#define PASSWORD_MIN 12
#define PASSWORD_MAX 1000

/* 256 random bits as base64url text (43 characters) behind the prefix. */
char *secret_make(const void *ctx, const char *prefix);
/* What is kept of it: SHA-256 in hex. Enough for what cannot be guessed. */
char *secret_hash(const void *ctx, const char *secret);
/* What is kept of a password: Argon2id with its salt and limits (libsodium, interactive: 64 MiB). ERR_INVALID for one that is too short
 * or too long. */
must_check int password_hash(const void *ctx, const char *password, char **ret, struct err *err);
/* `hash` NULL: no; but it takes as long. */
bool password_fits(const char *hash, const char *password);

#endif
