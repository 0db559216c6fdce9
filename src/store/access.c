/* Principals and tokens: their folds and queries, and the one way to write access entries together with the credentials that belong to
 * them.
 * Threads: as the store. */
#include "store/access.h"

#include "base/clock.h"
#include "store/internal.h"

#define PRINCIPAL_COLUMNS "id, name, kind, subject, grants, password, admin, added_ms, removed_ms"
#define TOKEN_COLUMNS \
	"t.id, t.principal, p.name, t.name, t.permissions, t.environments, t.created_ms, t.created_by, t.expires_ms, t.revoked_ms, c.seen_ms"
#define TOKEN_TABLES "tokens t JOIN principals p ON p.id = t.principal LEFT JOIN credentials c ON c.id = t.id"

static int64_t column_int(const struct sql_value *column)
{
	return column->type == SQL_INT ? column->integer : 0;
}

/* The JSON text of a member; NULL when it is absent. To be freed with free. */
static char *member_text(const struct entry *entry, const char *member)
{
	json_t *value = json_object_get(entry->data, member);

	return value && !json_is_null(value) ? json_dumps(value, JSON_COMPACT) : NULL;
}

/* An entry about a row that must be there. */
static int must_change(struct handle *handle, const struct entry *entry, const char *id, int r, struct err *err)
{
	struct sql *sql = handle->store.sql;

	if (r == 0 && sql->ops->changes(sql) == 0)
		return err_set(err, ERR_INVALID, "%s: there is no '%s'", entry->kind, id);
	return r;
}

/* --- principals -------------------------------------------------------------------------------------------------------------- */

static int read_grants(const void *ctx, const struct entry *entry, bool *ret_admin, struct err *err)
{
	struct grant *grants;
	size_t count;
	int r;

	r = grants_read(ctx, json_object_get(entry->data, "grants"), &grants, &count, err);
	if (r < 0)
		return err_in(err, "%s", entry->kind);
	*ret_admin = false;
	for (size_t i = 0; i < count; i++)
		*ret_admin |= grants[i].role == ROLE_ADMIN && !strcmp(grants[i].environment, "*");
	return 0;
}

int fold_principal_added(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id, *name;
	bool admin = false;
	char *grants;
	int r;

	r = entry_need(entry, "principal", &id, err);
	if (r == 0)
		r = entry_need(entry, "name", &name, err);
	if (r == 0)
		r = read_grants(ctx, entry, &admin, err);
	if (r < 0)
		return r;
	grants = member_text(entry, "grants");
	r = sql_do(handle->store.sql, err, "INSERT INTO principals (" PRINCIPAL_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)",
		SQL_T(id), SQL_T(name), SQL_T(json_str(entry->data, "kind", "person")), SQL_T(json_str(entry->data, "subject", NULL)),
		SQL_T(grants), SQL_I(json_flag(entry->data, "password", false)), SQL_I(admin), SQL_I(entry->wall_ms));
	free(grants);
	if (r == -ERR_CONFLICT)
		return err_set(err, ERR_CONFLICT, "there is a principal '%s' already, or one with this subject", name);
	return r;
}

int fold_principal_changed(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	struct sql *sql = handle->store.sql;
	char *grants = NULL;
	bool admin = false;
	const char *id;
	int r;

	r = entry_need(entry, "principal", &id, err);
	if (r == 0 && json_object_get(entry->data, "grants")) {
		r = read_grants(ctx, entry, &admin, err);
		grants = r == 0 ? member_text(entry, "grants") : NULL;
	}
	if (r == 0)
		r = must_change(handle, entry, id,
			sql_do(sql, err,
				"UPDATE principals SET grants = COALESCE($2, grants), admin = CASE WHEN $2 IS NULL THEN admin ELSE $3 END,"
				" password = CASE WHEN $4 = 1 THEN 1 ELSE password END WHERE id = $1 AND removed_ms IS NULL",
				SQL_T(id), SQL_T(grants), SQL_I(admin), SQL_I(json_flag(entry->data, "password", false))),
			err);
	free(grants);
	return r;
}

int fold_principal_removed(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	struct sql *sql = handle->store.sql;
	const char *id;
	int r;

	r = entry_need(entry, "principal", &id, err);
	if (r == 0)
		r = must_change(handle, entry, id,
			sql_do(sql, err, "UPDATE principals SET removed_ms = $2 WHERE id = $1 AND removed_ms IS NULL", SQL_T(id),
				SQL_I(entry->wall_ms)),
			err);
	if (r == 0)
		r = sql_do(sql, err, "UPDATE tokens SET revoked_ms = $2 WHERE principal = $1 AND revoked_ms IS NULL", SQL_T(id),
			SQL_I(entry->wall_ms));
	if (r == 0)
		r = sql_do(sql, err, "UPDATE sessions SET ended_ms = $2 WHERE principal = $1 AND ended_ms IS NULL", SQL_T(id),
			SQL_I(entry->wall_ms));
	return r;
}

static int read_principal(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	struct principal_row *row = ret;
	json_t *grants = NULL;
	int r;

	*row = (struct principal_row){
		.id = mem_strdup(ctx, columns[0].text),
		.name = mem_strdup(ctx, columns[1].text),
		.kind = !strcmp(columns[2].text, "service") ? PRINCIPAL_SERVICE : PRINCIPAL_PERSON,
		.subject = mem_strdup(ctx, columns[3].text),
		.password = columns[5].integer != 0,
		.admin = columns[6].integer != 0,
		.added_ms = columns[7].integer,
		.removed_ms = column_int(&columns[8]),
	};
	r = column_json(ctx, &columns[4], &grants, err);
	if (r == 0)
		r = grants_read(ctx, grants, &row->grants, &row->grant_count, err);
	return r < 0 ? err_in(err, "principal %s", row->id) : 0;
}

int store_principal(struct store *store, const void *ctx, const char *id, const char *name, const char *subject, struct principal_row *ret,
	struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_principal };
	int r;

	if (id)
		r = sql_each(store->sql, err, single_row, &single, "SELECT " PRINCIPAL_COLUMNS " FROM principals WHERE id = $1", SQL_T(id));
	else if (name)
		r = sql_each(store->sql, err, single_row, &single,
			"SELECT " PRINCIPAL_COLUMNS " FROM principals WHERE name = $1 AND removed_ms IS NULL", SQL_T(name));
	else
		r = sql_each(store->sql, err, single_row, &single,
			"SELECT " PRINCIPAL_COLUMNS " FROM principals WHERE subject = $1 AND removed_ms IS NULL", SQL_T(subject));
	if (r < 0)
		return r;
	if (!single.found)
		return err_set(err, ERR_NOT_FOUND, "there is no principal '%s'", id ? id : name ? name : subject);
	return 0;
}

int store_principals(struct store *store, const void *ctx, struct principal_row **ret, size_t *ret_count, struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct principal_row), .read = read_principal };
	int r;

	r = store->sql->ops->run(store->sql, "SELECT " PRINCIPAL_COLUMNS " FROM principals WHERE removed_ms IS NULL ORDER BY name", NULL, 0,
		gather_row, &rows, err);
	if (r < 0)
		return r;
	*ret = (struct principal_row *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}

static int count_row(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	*(int64_t *)user = columns[0].integer;
	return 0;
}

int store_subject_removed(struct store *store, const char *subject, bool *ret, struct err *err)
{
	int64_t count = 0;
	int r;

	r = sql_each(store->sql, err, count_row, &count, "SELECT COUNT(*) FROM principals WHERE subject = $1 AND removed_ms IS NOT NULL",
		SQL_T(subject));
	if (r == 0)
		*ret = count > 0;
	return r;
}

int store_administrators(struct store *store, const char *except, int64_t now_ms, int64_t *ret, struct err *err)
{
	return sql_each(store->sql, err, count_row, ret,
		"SELECT COUNT(*) FROM principals p WHERE p.admin = 1 AND p.removed_ms IS NULL AND p.name <> $1 AND p.id <> $2 AND (p.password = 1"
		" OR p.subject IS NOT NULL OR EXISTS (SELECT 1 FROM tokens t WHERE t.principal = p.id AND t.revoked_ms IS NULL"
		" AND t.expires_ms > $3 AND t.permissions LIKE '%\"administer\"%' AND t.environments IS NULL))",
		SQL_T(BOOTSTRAP_NAME), SQL_T(except ? except : ""), SQL_I(now_ms));
}

/* --- tokens ------------------------------------------------------------------------------------------------------------------ */

int fold_token_created(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	char *allowed = NULL, *environments = NULL;
	const char *id, *principal, *name, *expires;
	int64_t expires_ms = 0;
	int r;

	r = entry_need(entry, "token", &id, err);
	if (r == 0)
		r = entry_need(entry, "principal", &principal, err);
	if (r == 0)
		r = entry_need(entry, "name", &name, err);
	if (r == 0)
		r = entry_need(entry, "expires", &expires, err);
	if (r == 0)
		r = clock_parse(expires, &expires_ms, err);
	if (r < 0)
		return r;
	allowed = member_text(entry, "permissions");
	environments = member_text(entry, "environments");
	r = sql_do(handle->store.sql, err,
		"INSERT INTO tokens (id, principal, name, permissions, environments, created_ms, created_by, expires_ms, revoked_ms, seq)"
		" SELECT $1, p.id, $3, $4, $5, $6, $7, $8, NULL, $9 FROM principals p WHERE p.id = $2 AND p.removed_ms IS NULL",
		SQL_T(id), SQL_T(principal), SQL_T(name), SQL_T(allowed ? allowed : "[]"), SQL_T(environments), SQL_I(entry->wall_ms),
		SQL_T(entry->actor), SQL_I(expires_ms), SQL_I(entry->seq));
	free(allowed);
	free(environments);
	return must_change(handle, entry, principal, r, err);
}

int fold_token_revoked(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id;
	int r;

	r = entry_need(entry, "token", &id, err);
	if (r < 0)
		return r;
	return must_change(handle, entry, id,
		sql_do(handle->store.sql, err, "UPDATE tokens SET revoked_ms = $2 WHERE id = $1 AND revoked_ms IS NULL", SQL_T(id),
			SQL_I(entry->wall_ms)),
		err);
}

static int read_token(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	struct token_row *row = ret;
	json_t *allowed = NULL, *environments = NULL, *name;
	size_t i;
	int r;

	*row = (struct token_row){
		.id = mem_strdup(ctx, columns[0].text),
		.principal = mem_strdup(ctx, columns[1].text),
		.principal_name = mem_strdup(ctx, columns[2].text),
		.name = mem_strdup(ctx, columns[3].text),
		.created_ms = columns[6].integer,
		.created_by = mem_strdup(ctx, columns[7].text),
		.expires_ms = columns[8].integer,
		.revoked_ms = column_int(&columns[9]),
		.seen_ms = column_int(&columns[10]),
	};
	r = column_json(ctx, &columns[4], &allowed, err);
	if (r == 0)
		r = permissions_read(allowed, &row->permissions, err);
	if (r == 0)
		r = column_json(ctx, &columns[5], &environments, err);
	if (r < 0)
		return err_in(err, "token %s", row->id);
	if (!environments)
		return 0;
	row->environments = mem_array(ctx, const char *, json_array_size(environments) + 1);
	json_array_foreach(environments, i, name)
		row->environments[i] = mem_strdup(row->environments, json_is_string(name) ? json_string_value(name) : "");
	return 0;
}

int store_tokens(struct store *store, const void *ctx, const char *principal, struct token_row **ret, size_t *ret_count, struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct token_row), .read = read_token };
	int r;

	r = sql_each(store->sql, err, gather_row, &rows,
		"SELECT " TOKEN_COLUMNS " FROM " TOKEN_TABLES
		" WHERE t.revoked_ms IS NULL AND ($1 = '' OR t.principal = $1) ORDER BY t.seq DESC",
		SQL_T(principal ? principal : ""));
	if (r < 0)
		return r;
	*ret = (struct token_row *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}

int store_token(struct store *store, const void *ctx, const char *id, struct token_row *ret, struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_token };
	const char *whole;
	int r;

	r = resolve_id(store, ctx, "SELECT id FROM tokens WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 4", "token", "tok", id, &whole, err);
	if (r == 0)
		r = sql_each(store->sql, err, single_row, &single, "SELECT " TOKEN_COLUMNS " FROM " TOKEN_TABLES " WHERE t.id = $1",
			SQL_T(whole));
	if (r < 0)
		return r;
	return single.found ? 0 : err_set(err, ERR_NOT_FOUND, "there is no token '%s'", id);
}

/* --- writing ----------------------------------------------------------------------------------------------------------------- */

static int write_credential(struct store *store, const struct credential *credential, struct err *err)
{
	return sql_do(store->sql, err,
		"INSERT INTO credentials (id, kind, principal, hash, seen_ms, authenticated_ms) VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT (id) DO UPDATE SET hash = $4, seen_ms = $5, authenticated_ms = $6",
		SQL_T(credential->id), SQL_T(credential->kind), SQL_T(credential->principal), SQL_T(credential->hash),
		SQL_I(credential->seen_ms), SQL_I(credential->authenticated_ms));
}

/* Once somebody else can administer, the way in of the first start is closed. */
static int retire_bootstrap(struct store *store, const void *ctx, struct err *err)
{
	struct entry entry = { .kind = ENTRY_PRINCIPAL_REMOVED, .actor = "unship" };
	struct principal_row bootstrap;
	struct err none = ERR_INIT;
	int64_t administrators = 0;
	int r;

	r = store_principal(store, ctx, NULL, BOOTSTRAP_NAME, NULL, &bootstrap, &none);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0) {
		*err = none;
		return r;
	}
	r = store_administrators(store, NULL, clock_wall_ms(), &administrators, err);
	if (r < 0 || administrators == 0)
		return r;
	entry.data = json_make(ctx, "{s:s, s:s}", "principal", bootstrap.id, "name", bootstrap.name);
	return store_add(store, ctx, NULL, &entry, 1, err);
}

/* What proves nothing any more is not kept. */
static int sweep_credentials(struct store *store, struct err *err)
{
	static const char *const statements[] = {
		"DELETE FROM credentials WHERE principal NOT IN (SELECT id FROM principals WHERE removed_ms IS NULL)",
		"DELETE FROM credentials WHERE kind = 'token' AND id NOT IN (SELECT id FROM tokens WHERE revoked_ms IS NULL)",
		"DELETE FROM credentials WHERE kind = 'session' AND id NOT IN (SELECT id FROM sessions WHERE ended_ms IS NULL)",
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(statements); i++)
		r = store->sql->ops->run(store->sql, statements[i], NULL, 0, NULL, NULL, err);
	return r;
}

int store_access_write(struct store *store, const void *ctx, struct entry *entries, size_t count, const struct credential *credentials,
	size_t credential_count, struct err *err)
{
	int r;

	r = store_begin(store, err);
	if (r == 0)
		r = store_add(store, ctx, NULL, entries, count, err);
	for (size_t i = 0; r == 0 && i < credential_count; i++)
		r = write_credential(store, &credentials[i], err);
	if (r == 0)
		r = retire_bootstrap(store, ctx, err);
	if (r == 0)
		r = sweep_credentials(store, err);
	if (r == 0)
		r = store_commit(store, err);
	if (r < 0)
		store_undo(store);
	return r;
}
