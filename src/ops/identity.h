/* Proving who somebody is: tokens, passwords, sessions. Surfaces call these before an operation; the operations on principals and tokens (people.c, tokens.c) stand on the same tables (store/access.h).
 *
 * Secrets: a token is "unship_" and 256 random bits as base64url text, shown once; its SHA-256 is stored, in a table of its own, not in the journal. Passwords: Argon2id (libsodium, interactive
 * limits at least), likewise. A session's secret is 256 random bits, stored hashed. Comparisons take constant time. A wrong credential costs the same time whether the name exists or not.
 *
 * Limits: per name and per address, failures are counted in the store (login.refused); after 5 failures in 15 min further tries are refused for a time that doubles, whatever the password is;
 * ERR_LIMITED says when to come back. Every refusal is an entry; but while a name or an address waits, one entry stands for all its tries, and so for tokens of one address, or anybody could fill the journal.
 *
 * Threads: like a workspace. Callers may keep a principal for at most a second: a revoked token or a removed person is out after that. */
#ifndef OPS_IDENTITY_H
#define OPS_IDENTITY_H

#include "core/access.h"
#include "ops/workspace.h"

#define SESSION_IDLE_MS     (30 * 60 * 1000)
#define SESSION_ABSOLUTE_MS (12 * 60 * 60 * 1000)

/* ERR_UNAUTHENTICATED for a token that is unknown, expired or revoked (one message for all three). `origin`: the peer's address, for the audit trail. */
must_check int identity_by_token(struct workspace *workspace, const void *ctx, const char *token, const char *origin,
	struct principal **ret, struct err *err);

struct session {
	const char *id;     /* "ses-...", not secret */
	const char *secret; /* only from identity_login and identity_begin: what the cookie holds */
	const char *csrf;   /* to be sent back in the header X-CSRF-Token */
	int64_t begun_ms, seen_ms, expires_ms;
	const char *origin, *agent;
};
/* Name and password -> a new session. ERR_UNAUTHENTICATED, ERR_LIMITED. The principal of the first start has its token for a password. */
must_check int identity_login(struct workspace *workspace, const void *ctx, const char *name, const char *password, const char *origin,
	const char *agent, struct session *ret, struct principal **ret_principal, struct err *err);
/* A session for somebody whom another party vouched for (OpenID Connect). `subject`: "issuer|sub", the lasting identity; the principal is made at the first time, with `grants`, which
 * replace the former ones at every login. `proved_ms`: when they proved to that party who they are (wall); 0: it does not say, and the session counts as one whose proof is long ago. */
must_check int identity_begin(struct workspace *workspace, const void *ctx, const char *subject, const char *name,
	const struct grant *grants, size_t grant_count, int64_t proved_ms, const char *origin, const char *agent, struct session *ret,
	struct principal **ret_principal, struct err *err);
/* A sign-in by another party that came to nothing is written down, with `count`: how many like it since the last that was (0: like ones were just written, so this one is not). `subject` and `name`: who was vouched for, but may do nothing here: what they
 * were granted formerly is taken from them; NULL: nobody was. It is not counted among failed tries: the other party has limits of its own, and a link is enough to make somebody's browser fail. */
must_check int identity_not_begun(struct workspace *workspace, const char *subject, const char *name, const char *reason,
	const char *origin, uint64_t count, struct err *err);
/* The session of a cookie; moves its idle limit. ERR_UNAUTHENTICATED. */
must_check int identity_by_session(struct workspace *workspace, const void *ctx, const char *secret, struct session *ret,
	struct principal **ret_principal, struct err *err);
must_check int identity_end(struct workspace *workspace, const char *session_id, const char *actor, struct err *err);
/* Proves again, in a session that is there: moves authenticated_ms. */
must_check int identity_again(struct workspace *workspace, const struct session *session, const struct principal *principal,
	const char *password, const char *origin, struct err *err);

/* The first start: when no administrator exists, makes a one-time token (valid 1 h, or until the first administrator with a credential of their own exists). *ret NULL: there is one already. */
must_check int identity_bootstrap(struct workspace *workspace, const void *ctx, const char **ret_token, struct err *err);

#endif
