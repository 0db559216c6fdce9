/* Who may come in, and what waits for people: principals, tokens, sessions, failed logins, approvals and break-glass, folded from their
 * entries.
 *
 * What proves who somebody is - hashes of tokens, of passwords and of sessions' secrets - never stands in the journal, which is shown,
 * exported and kept for ever. It lies in the table `credentials`, which
 * is kept and not made from the journal. Its rows are written in the transaction of the entries that they belong to, and those whose
 * token was revoked, whose session ended or whose principal was removed
 * are deleted in the transaction of that entry (store_access_write).
 *
 * Threads: as the store. */
#ifndef STORE_ACCESS_H
#define STORE_ACCESS_H

#include "core/access.h"
#include "core/approval.h"
#include "store/store.h"

/* The principal of the first start (ops/identity.h). It is removed in the transaction that gives another administrator a way in. */
#define BOOTSTRAP_NAME "bootstrap"

#define CREDENTIAL_PASSWORD "password" /* id: the principal's; hash: as crypto_pwhash_str makes it */
#define CREDENTIAL_TOKEN    "token"    /* id: the token's; hash: SHA-256 in hex */
#define CREDENTIAL_SESSION  "session"  /* id: the session's; hash likewise */
struct credential {
	const char *id, *kind, *principal, *hash;
	int64_t seen_ms, authenticated_ms;
};
/* Entries and credentials in one transaction. A credential that is there (same id) is replaced. */
must_check int store_access_write(struct store *store, const void *ctx, struct entry *entries, size_t count,
	const struct credential *credentials, size_t credential_count, struct err *err);
/* By kind and hash, or by kind and id (the other NULL). ERR_NOT_FOUND. */
must_check int store_credential(struct store *store, const void *ctx, const char *kind, const char *hash, const char *id,
	struct credential *ret, struct err *err);
/* Moves when it was seen last and, unless 0, when its owner last proved who they are. No entry: this is no change of anything. */
must_check int store_credential_seen(struct store *store, const char *id, int64_t seen_ms, int64_t authenticated_ms, struct err *err);
/* Forgets what sessions proved that were not seen since, or begun before. */
must_check int store_sessions_forget(struct store *store, int64_t seen_before_ms, int64_t begun_before_ms, struct err *err);

struct principal_row {
	const char *id, *name, *subject; /* subject NULL: not vouched for by another party */
	enum principal_kind kind;
	struct grant *grants;
	size_t grant_count;
	bool password, admin; /* has one; administers all environments */
	int64_t added_ms, removed_ms;
};
/* By one of id, name or subject (the others NULL); removed ones only by id. ERR_NOT_FOUND. */
must_check int store_principal(struct store *store, const void *ctx, const char *id, const char *name, const char *subject,
	struct principal_row *ret, struct err *err);
/* Those that were not removed, by name. */
must_check int store_principals(struct store *store, const void *ctx, struct principal_row **ret, size_t *ret_count, struct err *err);
/* Was a principal with this subject removed? Then it stays out until somebody adds it again. */
must_check int store_subject_removed(struct store *store, const char *subject, bool *ret, struct err *err);
/* Administrators of everything with a way in (password, token that holds, subject), the bootstrap principal not counted; `except`: an id
 * that is not counted either, or NULL. */
must_check int store_administrators(struct store *store, const char *except, int64_t now_ms, int64_t *ret, struct err *err);

struct token_row {
	const char *id, *principal, *principal_name, *name, *created_by;
	permissions permissions;
	const char **environments; /* NULL: all */
	int64_t created_ms, expires_ms, revoked_ms, seen_ms;
};
/* Newest first; of one principal, or of all when NULL. Revoked ones are not listed. */
must_check int store_tokens(struct store *store, const void *ctx, const char *principal, struct token_row **ret, size_t *ret_count,
	struct err *err);
/* By id or its unique beginning; revoked ones too. */
must_check int store_token(struct store *store, const void *ctx, const char *id, struct token_row *ret, struct err *err);

struct session_row {
	const char *id, *principal, *principal_name, *origin, *agent, *method;
	int64_t begun_ms, ended_ms, seen_ms, authenticated_ms;
};
/* Newest first; of one principal, or of all when NULL. Only those that have neither ended nor been forgotten. */
must_check int store_sessions(struct store *store, const void *ctx, const char *principal, struct session_row **ret, size_t *ret_count,
	struct err *err);
must_check int store_session(struct store *store, const void *ctx, const char *id, struct session_row *ret, struct err *err);

/* How many tries failed lately, folded from login.refused. `key`: login_key. */
struct login_limit {
	int64_t failures, until_ms; /* refused until then; 0: not */
	bool noted;                 /* that it was refused while limited stands in the journal already */
};
#define LOGIN_FAILURES_FREE 5
#define LOGIN_WINDOW_MS     (15 * 60 * 1000)
#define LOGIN_FIRST_WAIT_MS (30 * 1000)
/* What is counted together: a name; an address (of IPv6 the first 64 bits, which is what one subscriber has); an address with tokens.
 * Empty when there is nothing to count by. */
enum login_counter { LOGIN_BY_NAME, LOGIN_BY_ADDRESS, LOGIN_BY_TOKEN };
char *login_key(const void *ctx, enum login_counter counter, const char *name, const char *origin);
must_check int store_login_limit(struct store *store, const char *key, struct login_limit *ret, struct err *err);

/* By id or its unique beginning. ERR_NOT_FOUND. */
must_check int store_approval(struct store *store, const void *ctx, const char *id, struct approval **ret, struct err *err);
/* Newest first; environment NULL: all. `open`: only those that were neither used, rejected nor withdrawn (their time may be over). */
must_check int store_approvals(struct store *store, const void *ctx, const char *environment, bool open, size_t limit,
	struct approval ***ret, size_t *ret_count, struct err *err);

struct breakglass_row {
	const char *id, *principal, *name, *environment, *reason, *reviewer, *note;
	int64_t opened_ms, until_ms, closed_ms, reviewed_ms;
};
/* Newest first; principal and environment NULL: all. */
must_check int store_breakglasses(struct store *store, const void *ctx, const char *principal, const char *environment, size_t limit,
	struct breakglass_row **ret, size_t *ret_count, struct err *err);
must_check int store_breakglass(struct store *store, const void *ctx, const char *id, struct breakglass_row *ret, struct err *err);

#endif
