/* Tokens and sessions: what principals come in with. Everybody looks after their own; administrators of all environments after
 * everybody's. A token never may more than its principal, nor more than the credential that
 * it was made with. */
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"
#include "ops/answers.h"
#include "ops/people.h"
#include "ops/permit.h"
#include "ops/resources.h"

#define DAY_MS        (24 * 3600 * 1000LL)
#define NAME_MAX_SIZE 128

struct tokens_params {
	const char *id, *principal, *name, *reason;
	const char **permission, **environment;
	int64_t expires_ms;
};

static const struct field create_fields[] = { FIELD_STR(struct tokens_params, name, REQUIRED,
						      "what it is for: ci, laptop; it stands in the audit trail"),
	FIELD_STR(struct tokens_params, principal, OPTIONAL, "whose token; your own when not given"),
	FIELD_LIST(struct tokens_params, permission, OPTIONAL, "only these permissions of the principal's; may be repeated"),
	FIELD_LIST(struct tokens_params, environment, OPTIONAL, "only these environments; may be repeated"),
	FIELD_ANY_(struct tokens_params, expires_ms, MS, NULL, 60000, 366 * DAY_MS, NULL, "how long it holds, at most a year",
		DEFAULT("90d")),
	FIELD_END };

static const struct field list_fields[] = { FIELD_STR(struct tokens_params, principal, OPTIONAL,
						    "whose; with the permission to administer, everybody's when not given"),
	FIELD_END };

static const struct field revoke_fields[] = { FIELD_STR(struct tokens_params, id, REQUIRED, "its id or the beginning of it"),
	FIELD_STR(struct tokens_params, reason, OPTIONAL, "why"), FIELD_END };

static bool administers(const struct op *op)
{
	return access_permits(op->principal, PERMIT_ADMINISTER, "*");
}

/* Whose things are asked for: *ret NULL is everybody's. Others' are for administrators. */
static int whose(struct op *op, const char *name, const char **ret, struct err *err)
{
	struct principal_row row;
	int r;

	r = workspace_store(op->workspace, err);
	if (r < 0)
		return r;
	*ret = op->principal && (!name || !strcmp(name, op->principal->name)) ? op->principal->id : NULL;
	if (*ret && (name || !administers(op)))
		return 0;
	*ret = NULL;
	r = access_check(op->principal, PERMIT_ADMINISTER, "*", err);
	if (r < 0)
		return op_refused(op, NULL, err);
	if (!name)
		return 0;
	r = store_principal(op->workspace->store, op->ctx, NULL, name, NULL, &row, err);
	if (r == 0)
		*ret = row.id;
	return r;
}

/* Somebody else's token or session is not there for those who do not administer. */
static int check_owner(struct op *op, int r, const char *what, const char *given, const char *principal, struct err *err)
{
	bool own = r == 0 && op->principal && !strcmp(op->principal->id, principal);

	if (own || (administers(op) && r == 0))
		return 0;
	if (r < 0 && (administers(op) || (r != -ERR_NOT_FOUND && r != -ERR_AMBIGUOUS)))
		return r;
	err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", what, given);
	return r == 0 ? op_refused(op, NULL, err) : -ERR_NOT_FOUND;
}

static void put_time(const void *ctx, json_t *object, const char *key, int64_t wall_ms)
{
	json_put_str(object, key, wall_ms ? clock_format(ctx, wall_ms) : NULL);
}

static json_t *strings(const char *const *list)
{
	json_t *array = json_array();

	for (; list && *list; list++)
		json_array_append_new(array, json_string(*list));
	return array;
}

static json_t *token_json(const void *ctx, const struct token_row *row)
{
	bool narrowed = row->permissions != PERMISSIONS_ALL;
	json_t *object = json_pack("{s:s, s:s, s:s, s:b, s:b}", "id", row->id, "name", row->name, "principal", row->principal_name,
		"narrowed", narrowed, "expired", row->expires_ms <= clock_wall_ms());

	if (narrowed)
		json_object_set_new(object, "permissions", permissions_json(row->permissions));
	if (row->environments)
		json_object_set_new(object, "environments", strings(row->environments));
	put_time(ctx, object, "createdAt", row->created_ms);
	json_put_str(object, "createdBy", row->created_by);
	put_time(ctx, object, "expiresAt", row->expires_ms);
	put_time(ctx, object, "revokedAt", row->revoked_ms);
	put_time(ctx, object, "usedAt", row->seen_ms);
	return object;
}

/* What the token is narrowed to: what was asked for, and never more than the credential in hand (a token's own child is as narrow as it).
 * */
static int narrow(struct op *op, const struct tokens_params *p, permissions *ret, json_t **ret_environments, struct err *err)
{
	const struct principal *caller = op->principal;
	permissions set = p->permission ? 0 : PERMISSIONS_ALL;
	int r;

	for (const char **name = p->permission; name && *name; name++) {
		enum permission permission = PERMIT_VIEW;

		r = permission_parse(*name, &permission, err);
		if (r < 0)
			return r;
		set |= PERMISSION_BIT(permission);
	}
	for (const char **name = p->environment; name && *name; name++) {
		struct environment *found;

		if (caller && !op_sees(op, *name))
			return err_set(err, ERR_NOT_FOUND, "there is no environment '%s'", *name);
		r = project_find_environment(op->workspace->project, *name, &found, err);
		if (r < 0)
			return r;
	}
	*ret = caller ? set & caller->narrowed_to : set;
	if (!*ret)
		return err_set(err, ERR_FORBIDDEN, "%s has none of these permissions to give", caller->name);
	if (p->environment)
		*ret_environments = json_keep(op->ctx, strings(p->environment));
	else
		*ret_environments = caller && caller->only_environments ? json_keep(op->ctx, strings(caller->only_environments)) : NULL;
	return 0;
}

static int tokens_create(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct tokens_params *p = params;
	struct entry entry = { .kind = ENTRY_TOKEN_CREATED, .actor = op->actor };
	struct credential credential = { .id = id_new(op->ctx, "tok"), .kind = CREDENTIAL_TOKEN };
	const char *token = secret_make(op->ctx, TOKEN_PREFIX);
	struct token_row row;
	json_t *environments;
	permissions set;
	int r;

	if (!*p->name || strlen(p->name) > NAME_MAX_SIZE)
		return err_set(err, ERR_INVALID, "the name of a token has 1 to %d bytes", NAME_MAX_SIZE);
	if (!p->principal && !op->principal)
		return err_set(err, ERR_USAGE, "whose token? --principal NAME; `unship people list` shows them");
	if (op->principal && !op->principal->authenticated_ms && !administers(op)) {
		err_set(err, ERR_FORBIDDEN, "a token makes no tokens, or it would outlive its own end: sign in, or ask an administrator");
		return op_refused(op, NULL, err);
	}
	r = whose(op, p->principal ? p->principal : op->principal->name, &credential.principal, err);
	if (r == 0)
		r = narrow(op, p, &set, &environments, err);
	if (r < 0)
		return r;
	credential.hash = secret_hash(op->ctx, token);
	entry.data = json_make(op->ctx, "{s:s, s:s, s:s, s:o, s:O*, s:s}", "token", credential.id, "principal", credential.principal,
		"name", p->name, "permissions", permissions_json(set), "environments", environments, "expires",
		clock_format(op->ctx, clock_wall_ms() + p->expires_ms));
	r = store_access_write(op->workspace->store, op->ctx, &entry, 1, &credential, 1, err);
	if (r == 0)
		r = store_token(op->workspace->store, op->ctx, credential.id, &row, err);
	if (r < 0)
		return r;
	*ret = json_keep(op->ctx, token_json(op->ctx, &row));
	json_put_str(*ret, "token", token);
	return 0;
}

static int tokens_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct tokens_params *p = params;
	json_t *list = json_keep(op->ctx, json_array());
	struct token_row *rows;
	const char *principal;
	size_t count;
	int r;

	r = whose(op, p->principal, &principal, err);
	if (r == 0)
		r = store_tokens(op->workspace->store, op->ctx, principal, &rows, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, token_json(op->ctx, &rows[i]));
	*ret = json_make(op->ctx, "{s:O}", "tokens", list);
	return 0;
}

static int tokens_revoke(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct tokens_params *p = params;
	struct entry entry = { .kind = ENTRY_TOKEN_REVOKED, .actor = op->actor };
	struct token_row row = { 0 };
	int r;

	r = workspace_store(op->workspace, err);
	if (r < 0)
		return r;
	r = store_token(op->workspace->store, op->ctx, p->id, &row, err);
	r = check_owner(op, r, "token", p->id, row.principal, err);
	if (r < 0)
		return r;
	if (row.revoked_ms)
		return err_set(err, ERR_CONFLICT, "token %s was revoked already", row.id);
	entry.data = json_make(op->ctx, "{s:s}", "token", row.id);
	json_put_str(entry.data, "reason", p->reason);
	r = store_access_write(op->workspace->store, op->ctx, &entry, 1, NULL, 0, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s, s:s}", "id", row.id, "name", row.name, "principal", row.principal_name);
	return 0;
}

static json_t *session_json(const void *ctx, const struct session_row *row, const char *own)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:b}", "id", row->id, "principal", row->principal_name, "method", row->method, "this",
		own && !strcmp(own, row->id));

	json_put_str(object, "origin", row->origin);
	json_put_str(object, "agent", row->agent);
	put_time(ctx, object, "begunAt", row->begun_ms);
	put_time(ctx, object, "seenAt", row->seen_ms);
	return object;
}

static int sessions_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct tokens_params *p = params;
	json_t *list = json_keep(op->ctx, json_array());
	int64_t now_ms = clock_wall_ms();
	struct session_row *rows;
	const char *principal;
	size_t count;
	int r;

	r = whose(op, p->principal, &principal, err);
	if (r == 0)
		r = store_sessions(op->workspace->store, op->ctx, principal, &rows, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		if (now_ms < rows[i].seen_ms + SESSION_IDLE_MS && now_ms < rows[i].begun_ms + SESSION_ABSOLUTE_MS)
			json_array_append_new(list, session_json(op->ctx, &rows[i], op->principal ? op->principal->credential : NULL));
	*ret = json_make(op->ctx, "{s:O}", "sessions", list);
	return 0;
}

static int sessions_revoke(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct tokens_params *p = params;
	struct entry entry = { .kind = ENTRY_SESSION_ENDED, .actor = op->actor };
	struct session_row row = { 0 };
	int r;

	r = workspace_store(op->workspace, err);
	if (r < 0)
		return r;
	r = store_session(op->workspace->store, op->ctx, p->id, &row, err);
	r = check_owner(op, r, "session", p->id, row.principal, err);
	if (r < 0)
		return r;
	if (row.ended_ms)
		return err_set(err, ERR_CONFLICT, "session %s has ended already", row.id);
	entry.data = json_make(op->ctx, "{s:s, s:s}", "session", row.id, "reason", "revoked");
	json_put_str(entry.data, "note", p->reason);
	r = store_access_write(op->workspace->store, op->ctx, &entry, 1, NULL, 0, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s}", "id", row.id, "principal", row.principal_name);
	return 0;
}

OPERATION(op_tokens_create, "tokens.create", "POST", "/tokens", PERMIT_VIEW, "make a token; it is shown this once", create_fields,
	struct tokens_params, tokens_create, .fresh = true, .answer = token_shape, .creates = true);
OPERATION(op_tokens_list, "tokens.list", "GET", "/tokens", PERMIT_VIEW, "tokens, their permissions, when they were used last", list_fields,
	struct tokens_params, tokens_list, .answer = token_list_shape);
OPERATION(op_tokens_revoke, "tokens.revoke", "POST", "/tokens/{id}/revoke", PERMIT_VIEW, "end a token at once", revoke_fields,
	struct tokens_params, tokens_revoke, .destructive = true, .answer = token_revoked_shape);
OPERATION(op_sessions_list, "sessions.list", "GET", "/sessions", PERMIT_VIEW, "who is signed in, and where", list_fields,
	struct tokens_params, sessions_list, .answer = session_list_shape);
OPERATION(op_sessions_revoke, "sessions.revoke", "POST", "/sessions/{id}/revoke", PERMIT_VIEW, "sign somebody out at once", revoke_fields,
	struct tokens_params, sessions_revoke, .destructive = true, .answer = session_revoked_shape);
