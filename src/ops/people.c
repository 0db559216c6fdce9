/* Principals: who they are, what they may, and their passwords. Administrators' work, about the whole project. What is written down is
 * who was granted what by whom; a password's hash goes to the store's credentials
 * in the same transaction. A new password ends the sessions of the old one. */
#include "ops/answers.h"
#include "ops/people.h"

#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"
#include "ops/permit.h"
#include "ops/resources.h"

#define NAME_MAX_BYTES 128
#define GRANTS_HELP    "ENVIRONMENT=ROLE, with * for all environments and +force or +emergency behind it; may be repeated"

struct people_params {
	const char *name, *kind, *subject, *password;
	const char **grant;
};

static const struct field no_fields[] = { FIELD_END };

static const struct field name_fields[] = { FIELD_STR(struct people_params, name, REQUIRED, "name of the principal"), FIELD_END };

static const struct field add_fields[] = { FIELD_STR(struct people_params, name, REQUIRED, "name; it stands in the audit trail"),
	FIELD_CHOICE(struct people_params, kind, DEFAULT("person"), "person|service", "a person, or a program"),
	FIELD_LIST(struct people_params, grant, OPTIONAL, GRANTS_HELP),
	FIELD_STR(struct people_params, subject, OPTIONAL, "ISSUER|SUBJECT by which another party vouches for them"),
	FIELD_PASSWORD(struct people_params, password, OPTIONAL, "password for signing in; asked for"), FIELD_END };

static const struct field change_fields[] = { FIELD_STR(struct people_params, name, REQUIRED, "name of the principal"),
	FIELD_LIST(struct people_params, grant, OPTIONAL, "instead of all that was granted before: " GRANTS_HELP),
	FIELD_PASSWORD(struct people_params, password, OPTIONAL, "a new password; asked for. Ends their sessions"), FIELD_END };

static json_t *principal_json(const void *ctx, const struct principal_row *row)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:o, s:b, s:s}", "id", row->id, "name", row->name, "kind",
		row->kind == PRINCIPAL_SERVICE ? "service" : "person", "grants", grants_json(row->grants, row->grant_count), "password",
		row->password, "addedAt", clock_format(ctx, row->added_ms));

	json_put_str(object, "subject", row->subject);
	return object;
}

static int find(struct op *op, const char *name, struct principal_row *ret, struct err *err)
{
	int r;

	r = workspace_store(op->workspace, err);
	return r < 0 ? r : store_principal(op->workspace->store, op->ctx, NULL, name, NULL, ret, err);
}

static int people_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	json_t *list = json_keep(op->ctx, json_array());
	struct principal_row *rows;
	size_t count;
	int r;

	(void)params;
	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_principals(op->workspace->store, op->ctx, &rows, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, principal_json(op->ctx, &rows[i]));
	*ret = json_make(op->ctx, "{s:O}", "people", list);
	return 0;
}

static int people_show(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct people_params *p = params;
	struct principal_row row;
	int r;

	r = find(op, p->name, &row, err);
	if (r == 0)
		*ret = json_keep(op->ctx, principal_json(op->ctx, &row));
	return r;
}

static int read_grants(struct op *op, const char **words, json_t **ret, struct err *err)
{
	struct environment *none;
	struct grant *grants;
	size_t count = 0;
	int r;

	while (words && words[count])
		count++;
	grants = mem_array(op->ctx, struct grant, count + 1);
	for (size_t i = 0; i < count; i++) {
		r = grant_parse(op->ctx, words[i], &grants[i], err);
		if (r < 0)
			return r;
		if (strcmp(grants[i].environment, "*") != 0 &&
			project_find_environment(op->workspace->project, grants[i].environment, &none, err) < 0)
			return err_in(err, "grant '%s'", words[i]);
	}
	*ret = json_keep(op->ctx, grants_json(grants, count));
	return 0;
}

static int check_name(const char *name, struct err *err)
{
	_cleanup_talloc_ char *printable = text_printable(NULL, name, strlen(name), false);

	if (!*name || strlen(name) > NAME_MAX_BYTES || strcmp(printable, name) != 0 || name[0] == ' ' || name[strlen(name) - 1] == ' ')
		return err_set(err, ERR_INVALID, "a name has 1 to %d printable characters, none of them a blank at its ends",
			NAME_MAX_BYTES);
	if (!strcmp(name, BOOTSTRAP_NAME) || text_starts_with(name, LOCAL_PERSON))
		return err_set(err, ERR_INVALID, "'%s' is kept for unship itself", name);
	return 0;
}

static int set_password(struct op *op, const char *password, const char *id, struct credential *ret, struct err *err)
{
	char *hash;
	int r;

	r = password_hash(op->ctx, password, &hash, err);
	if (r == 0)
		*ret = (struct credential){ .id = id, .kind = CREDENTIAL_PASSWORD, .principal = id, .hash = hash };
	return r;
}

static int people_add(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct people_params *p = params;
	struct entry entry = { .kind = ENTRY_PRINCIPAL_ADDED, .actor = op->actor };
	const char *id = id_new(op->ctx, "prn");
	struct credential credential;
	json_t *grants;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = check_name(p->name, err);
	if (r == 0)
		r = read_grants(op, p->grant, &grants, err);
	if (r == 0 && p->password)
		r = set_password(op, p->password, id, &credential, err);
	if (r < 0)
		return r;
	entry.data = json_make(op->ctx, "{s:s, s:s, s:s, s:O, s:b}", "principal", id, "name", p->name, "kind", p->kind, "grants", grants,
		"password", p->password != NULL);
	json_put_str(entry.data, "subject", p->subject);
	r = store_access_write(op->workspace->store, op->ctx, &entry, 1, &credential, p->password ? 1 : 0, err);
	return r < 0 ? r : people_show(op, params, ret, err);
}

/* Nobody may be left who can administer over the server; the local command line always can. */
static int keep_an_administrator(struct op *op, const struct principal_row *row, struct err *err)
{
	int64_t others = 0;
	int r;

	if (!row->admin || !op->principal || !strcmp(row->name, BOOTSTRAP_NAME))
		return 0;
	r = store_administrators(op->workspace->store, row->id, clock_wall_ms(), &others, err);
	if (r < 0)
		return r;
	return others > 0 ? 0
			  : err_set(err, ERR_REFUSED, "%s is the last administrator who can sign in: make another one first", row->name);
}

static bool is_admin(json_t *grants)
{
	json_t *grant;
	size_t i;

	json_array_foreach(grants, i, grant)
		if (!strcmp(json_str(grant, "role", ""), role_name(ROLE_ADMIN)) && !strcmp(json_str(grant, "environment", ""), "*"))
			return true;
	return false;
}

/* `first` and the ends of all their sessions; in one array. */
static int with_sessions(struct op *op, struct entry first, const char *principal, const char *reason, struct entry **ret,
	size_t *ret_count, struct err *err)
{
	struct session_row *sessions;
	size_t count;
	int r;

	r = store_sessions(op->workspace->store, op->ctx, principal, &sessions, &count, err);
	if (r < 0)
		return r;
	*ret = mem_array(op->ctx, struct entry, count + 1);
	for (size_t i = 0; i < count; i++)
		(*ret)[i] = (struct entry){ .kind = ENTRY_SESSION_ENDED,
			.actor = op->actor,
			.data = json_make(op->ctx, "{s:s, s:s}", "session", sessions[i].id, "reason", reason) };
	(*ret)[count] = first;
	*ret_count = count + 1;
	return 0;
}

static int people_change(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct people_params *p = params;
	struct entry entry = { .kind = ENTRY_PRINCIPAL_CHANGED, .actor = op->actor }, *entries = &entry;
	struct credential credential;
	struct principal_row row;
	json_t *grants = NULL;
	size_t count = 1;
	int r;

	if (!p->grant && !p->password)
		return err_set(err, ERR_USAGE, "what is to be changed? --grant or --password");
	r = find(op, p->name, &row, err);
	if (r == 0 && p->grant)
		r = read_grants(op, p->grant, &grants, err);
	if (r == 0 && grants && !is_admin(grants))
		r = keep_an_administrator(op, &row, err);
	if (r == 0 && p->password)
		r = set_password(op, p->password, row.id, &credential, err);
	if (r < 0)
		return r;
	entry.data = json_make(op->ctx, "{s:s, s:O*}", "principal", row.id, "grants", grants);
	if (p->password) {
		json_put_flag(entry.data, "password", true);
		r = with_sessions(op, entry, row.id, "revoked", &entries, &count, err);
		if (r < 0)
			return r;
	}
	r = store_access_write(op->workspace->store, op->ctx, entries, count, &credential, p->password ? 1 : 0, err);
	return r < 0 ? r : people_show(op, params, ret, err);
}

static int people_remove(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct people_params *p = params;
	struct entry entry = { .kind = ENTRY_PRINCIPAL_REMOVED, .actor = op->actor }, *entries;
	struct principal_row row;
	size_t count;
	int r;

	r = find(op, p->name, &row, err);
	if (r == 0)
		r = keep_an_administrator(op, &row, err);
	if (r < 0)
		return r;
	entry.data = json_make(op->ctx, "{s:s, s:s}", "principal", row.id, "name", row.name);
	r = with_sessions(op, entry, row.id, "removed", &entries, &count, err);
	if (r == 0)
		r = store_access_write(op->workspace->store, op->ctx, entries, count, NULL, 0, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s}", "id", row.id, "removed", row.name);
	return 0;
}

OPERATION(op_people_list, "people.list", "GET", "/people", PERMIT_ADMINISTER, "who may sign in, and what they were granted", no_fields,
	struct people_params, people_list, .everywhere = true, .answer = principal_list_shape);
OPERATION(op_people_show, "people.show", "GET", "/people/{name}", PERMIT_ADMINISTER, "one principal and what they were granted",
	name_fields, struct people_params, people_show, .everywhere = true, .answer = principal_shape);
OPERATION(op_people_add, "people.add", "POST", "/people", PERMIT_ADMINISTER, "add a person or a service", add_fields, struct people_params,
	people_add, .everywhere = true, .answer = principal_shape, .creates = true);
OPERATION(op_people_change, "people.change", "POST", "/people/{name}/change", PERMIT_ADMINISTER, "grant otherwise, or set a new password",
	change_fields, struct people_params, people_change, .everywhere = true, .answer = principal_shape);
OPERATION(op_people_remove, "people.remove", "DELETE", "/people/{name}", PERMIT_ADMINISTER,
	"remove a principal: their tokens and sessions end at once", name_fields, struct people_params, people_remove, .everywhere = true,
	.destructive = true, .answer = principal_removed_shape);
