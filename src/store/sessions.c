/* Sessions, the credentials of everybody, and how many tries to sign in failed.
 * The limit: LOGIN_FAILURES_FREE failures within LOGIN_WINDOW_MS are free, each further one costs a wait that doubles, up to
 * LOGIN_WINDOW_MS. A sign-in that succeeds clears the name's count, never an
 * address's: whoever guesses from there may well own an account.
 * Threads: as the store. */
#include "store/access.h"

#include <arpa/inet.h>

#include "store/internal.h"

#define SESSION_COLUMNS "s.id, s.principal, p.name, s.origin, s.agent, s.method, s.begun_ms, s.ended_ms, c.seen_ms, c.authenticated_ms"

/* --- sessions ---------------------------------------------------------------------------------------------------------------- */

int fold_session_begun(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	struct sql *sql = handle->store.sql;
	struct principal_row principal;
	const char *id, *who;
	int r;

	r = entry_need(entry, "session", &id, err);
	if (r == 0)
		r = entry_need(entry, "principal", &who, err);
	if (r == 0)
		r = store_principal(&handle->store, ctx, who, NULL, NULL, &principal, err);
	if (r == -ERR_NOT_FOUND || (r == 0 && principal.removed_ms))
		return err_set(err, ERR_INVALID, "%s: there is no principal '%s'", entry->kind, who);
	if (r < 0)
		return r;
	r = sql_do(sql, err,
		"INSERT INTO sessions (id, principal, origin, agent, method, begun_ms, ended_ms, seq) VALUES ($1, $2, $3, $4, $5, $6, NULL, $7)",
		SQL_T(id), SQL_T(who), SQL_T(json_str(entry->data, "origin", NULL)), SQL_T(json_str(entry->data, "agent", NULL)),
		SQL_T(json_str(entry->data, "method", "")), SQL_I(entry->wall_ms), SQL_I(entry->seq));
	if (r == 0)
		r = sql_do(sql, err, "DELETE FROM logins WHERE id = $1", SQL_T(login_key(ctx, LOGIN_BY_NAME, principal.name, NULL)));
	return r;
}

int fold_session_ended(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	struct sql *sql = handle->store.sql;
	const char *id;
	int r;

	r = entry_need(entry, "session", &id, err);
	if (r == 0)
		r = sql_do(sql, err, "UPDATE sessions SET ended_ms = $2 WHERE id = $1 AND ended_ms IS NULL", SQL_T(id),
			SQL_I(entry->wall_ms));
	if (r == 0 && sql->ops->changes(sql) == 0)
		return err_set(err, ERR_INVALID, "%s: there is no session '%s', or it has ended", entry->kind, id);
	return r;
}

static int read_session(const void *ctx, const struct sql_value *columns, void *ret, unused_arg struct err *err)
{
	*(struct session_row *)ret = (struct session_row){
		.id = mem_strdup(ctx, columns[0].text),
		.principal = mem_strdup(ctx, columns[1].text),
		.principal_name = mem_strdup(ctx, columns[2].text),
		.origin = mem_strdup(ctx, columns[3].text),
		.agent = mem_strdup(ctx, columns[4].text),
		.method = mem_strdup(ctx, columns[5].text),
		.begun_ms = columns[6].integer,
		.ended_ms = columns[7].type == SQL_INT ? columns[7].integer : 0,
		.seen_ms = columns[8].type == SQL_INT ? columns[8].integer : 0,
		.authenticated_ms = columns[9].type == SQL_INT ? columns[9].integer : 0,
	};
	return 0;
}

int store_sessions(struct store *store, const void *ctx, const char *principal, struct session_row **ret, size_t *ret_count,
	struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct session_row), .read = read_session };
	int r;

	r = sql_each(store->sql, err, gather_row, &rows,
		"SELECT " SESSION_COLUMNS " FROM sessions s JOIN principals p ON p.id = s.principal JOIN credentials c ON c.id = s.id"
		" WHERE s.ended_ms IS NULL AND ($1 = '' OR s.principal = $1) ORDER BY s.seq DESC",
		SQL_T(principal ? principal : ""));
	if (r < 0)
		return r;
	*ret = (struct session_row *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}

int store_session(struct store *store, const void *ctx, const char *id, struct session_row *ret, struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_session };
	const char *whole;
	int r;

	r = resolve_id(store, ctx, "SELECT id FROM sessions WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 4", "session", "ses", id, &whole,
		err);
	if (r == 0)
		r = sql_each(store->sql, err, single_row, &single,
			"SELECT " SESSION_COLUMNS
			" FROM sessions s JOIN principals p ON p.id = s.principal LEFT JOIN credentials c ON c.id = s.id WHERE s.id = $1",
			SQL_T(whole));
	if (r < 0)
		return r;
	return single.found ? 0 : err_set(err, ERR_NOT_FOUND, "there is no session '%s'", id);
}

int store_sessions_forget(struct store *store, int64_t seen_before_ms, int64_t begun_before_ms, struct err *err)
{
	return sql_do(store->sql, err,
		"DELETE FROM credentials WHERE kind = 'session' AND (seen_ms < $1 OR id IN (SELECT id FROM sessions WHERE begun_ms < $2))",
		SQL_I(seen_before_ms), SQL_I(begun_before_ms));
}

/* --- credentials ------------------------------------------------------------------------------------------------------------- */

static int read_credential(const void *ctx, const struct sql_value *columns, void *ret, unused_arg struct err *err)
{
	*(struct credential *)ret = (struct credential){
		.id = mem_strdup(ctx, columns[0].text),
		.kind = mem_strdup(ctx, columns[1].text),
		.principal = mem_strdup(ctx, columns[2].text),
		.hash = mem_strdup(ctx, columns[3].text),
		.seen_ms = columns[4].integer,
		.authenticated_ms = columns[5].integer,
	};
	return 0;
}

int store_credential(struct store *store, const void *ctx, const char *kind, const char *hash, const char *id, struct credential *ret,
	struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_credential };
	int r;

	r = sql_each(store->sql, err, single_row, &single,
		hash ? "SELECT id, kind, principal, hash, seen_ms, authenticated_ms FROM credentials WHERE kind = $1 AND hash = $2"
		     : "SELECT id, kind, principal, hash, seen_ms, authenticated_ms FROM credentials WHERE kind = $1 AND id = $2",
		SQL_T(kind), SQL_T(hash ? hash : id));
	if (r < 0)
		return r;
	return single.found ? 0 : err_set(err, ERR_NOT_FOUND, "there is no such %s", kind);
}

int store_credential_seen(struct store *store, const char *id, int64_t seen_ms, int64_t authenticated_ms, struct err *err)
{
	return sql_do(store->sql, err,
		"UPDATE credentials SET seen_ms = $2, authenticated_ms = CASE WHEN $3 > 0 THEN $3 ELSE authenticated_ms END WHERE id = $1",
		SQL_T(id), SQL_I(seen_ms), SQL_I(authenticated_ms));
}

/* --- limits ------------------------------------------------------------------------------------------------------------------ */

char *login_key(const void *ctx, enum login_counter counter, const char *name, const char *origin)
{
	struct in6_addr address;
	const char *prefix = counter == LOGIN_BY_TOKEN ? "token" : "address";

	if (counter == LOGIN_BY_NAME)
		return name ? mem_printf(ctx, "name:%s", name) : mem_strdup(ctx, "");
	if (!origin)
		return mem_strdup(ctx, "");
	if (inet_pton(AF_INET6, origin, &address) == 1 && !IN6_IS_ADDR_V4MAPPED(&address))
		return mem_printf(ctx, "%s:%02x%02x:%02x%02x:%02x%02x:%02x%02x::/64", prefix, address.s6_addr[0], address.s6_addr[1],
			address.s6_addr[2], address.s6_addr[3], address.s6_addr[4], address.s6_addr[5], address.s6_addr[6],
			address.s6_addr[7]);
	return mem_printf(ctx, "%s:%s", prefix, origin);
}

struct login_row {
	int64_t failures, last_ms, until_ms, noted;
};

static int read_login(unused_arg const void *ctx, const struct sql_value *columns, void *ret, unused_arg struct err *err)
{
	*(struct login_row *)ret = (struct login_row){ columns[0].integer, columns[1].integer, columns[2].integer, columns[3].integer };
	return 0;
}

static int find_login(struct sql *sql, const char *key, struct login_row *ret, struct err *err)
{
	struct single single = { .ret = ret, .read = read_login };
	int r;

	r = sql_each(sql, err, single_row, &single, "SELECT failures, last_ms, until_ms, noted FROM logins WHERE id = $1", SQL_T(key));
	return r < 0 ? r : 0;
}

int store_login_limit(struct store *store, const char *key, struct login_limit *ret, struct err *err)
{
	struct login_row row = { 0 };
	int r;

	r = find_login(store->sql, key, &row, err);
	if (r == 0)
		*ret = (struct login_limit){ .failures = row.failures, .until_ms = row.until_ms, .noted = row.noted != 0 };
	return r;
}

static int count_failure(struct handle *handle, const char *key, int64_t at_ms, bool limited, struct err *err)
{
	struct login_row row = { 0 };
	int r;

	if (!key[0])
		return 0;
	r = find_login(handle->store.sql, key, &row, err);
	if (r < 0)
		return r;
	if (limited) {
		if (row.until_ms <= at_ms)
			return 0;
		row.noted = 1;
	} else {
		int64_t over;

		if (at_ms > MAX(row.last_ms, row.until_ms) + LOGIN_WINDOW_MS)
			row = (struct login_row){ 0 };
		row.failures++;
		row.last_ms = at_ms;
		row.noted = 0;
		over = row.failures - LOGIN_FAILURES_FREE;
		if (over >= 0)
			row.until_ms = at_ms + MIN((int64_t)LOGIN_FIRST_WAIT_MS << MIN(over, 20), (int64_t)LOGIN_WINDOW_MS);
	}
	return sql_do(handle->store.sql, err,
		"INSERT INTO logins (id, failures, last_ms, until_ms, noted) VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (id) DO UPDATE SET failures = $2, last_ms = $3, until_ms = $4, noted = $5",
		SQL_T(key), SQL_I(row.failures), SQL_I(row.last_ms), SQL_I(row.until_ms), SQL_I(row.noted));
}

int fold_login_refused(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	const char *name = json_str(entry->data, "name", NULL), *origin = json_str(entry->data, "origin", NULL);
	bool limited = !strcmp(json_str(entry->data, "reason", ""), "limited");
	int r;

	/* Another party did not vouch for somebody: no secret of ours was guessed at. */
	if (!strcmp(json_str(entry->data, "method", ""), "oidc"))
		return 0;
	r = count_failure(handle, login_key(ctx, LOGIN_BY_NAME, name, NULL), entry->wall_ms, limited, err);
	if (r == 0)
		r = count_failure(handle, login_key(ctx, name ? LOGIN_BY_ADDRESS : LOGIN_BY_TOKEN, NULL, origin), entry->wall_ms, limited,
			err);
	return r;
}
