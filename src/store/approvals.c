/* Approvals and break-glass. Of an approval the tables keep which entries it is made of; what they mean is core/approval.c's to say, also
 * when one is about to be appended: an entry that cannot
 * follow is refused with ERR_CONFLICT in the transaction that would append it.
 * Threads: as the store. */
#include "store/access.h"

#include "base/clock.h"
#include "store/internal.h"

#define BREAKGLASS_COLUMNS "id, principal, name, environment, reason, opened_ms, until_ms, closed_ms, reviewer, reviewed_ms, note"

static int approval_entries(struct store *store, const void *ctx, const char *id, struct gather *ret, struct err *err)
{
	*ret = (struct gather){ .ctx = ctx, .size = sizeof(struct entry), .read = read_entry };
	return sql_each(store->sql, err, gather_row, ret,
		"SELECT " ENTRY_COLUMNS " FROM entries WHERE seq IN (SELECT seq FROM approval_entries WHERE approval = $1) ORDER BY seq",
		SQL_T(id));
}

static int read_approval(struct store *store, const void *ctx, const char *id, struct approval **ret, struct err *err)
{
	struct gather rows;
	int r;

	r = approval_entries(store, ctx, id, &rows, err);
	if (r == 0)
		r = approval_fold(ctx, (const struct entry *)(const void *)rows.rows, rows.count, ret, err);
	return r < 0 ? err_in(err, "approval %s", id) : 0;
}

/* The entry itself is in `entries` by now: it is folded with those before it. */
int fold_approval(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	struct sql *sql = handle->store.sql;
	struct approval *approval;
	const char *id;
	bool is_open;
	int r;

	r = entry_need(entry, "approval", &id, err);
	if (r == 0)
		r = sql_do(sql, err, "INSERT INTO approval_entries (seq, approval) VALUES ($1, $2)", SQL_I(entry->seq), SQL_T(id));
	if (r < 0)
		return r;
	r = read_approval(&handle->store, ctx, id, &approval, err);
	if (r == -ERR_CORRUPT)
		return err_as(err, ERR_CONFLICT);
	if (r < 0)
		return r;
	is_open = approval->status == APPROVAL_PENDING || approval->status == APPROVAL_APPROVED;
	return sql_do(sql, err,
		"INSERT INTO approvals (id, environment, is_open, seq) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET is_open = $3",
		SQL_T(id), SQL_T(approval->environment), SQL_I(is_open), SQL_I(entry->seq));
}

int store_approval(struct store *store, const void *ctx, const char *id, struct approval **ret, struct err *err)
{
	const char *whole;
	int r;

	r = resolve_id(store, ctx, "SELECT id FROM approvals WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 4", "approval", "apr", id, &whole,
		err);
	return r < 0 ? r : read_approval(store, ctx, whole, ret, err);
}

static int read_id(const void *ctx, const struct sql_value *columns, void *ret, unused_arg struct err *err)
{
	*(const char **)ret = mem_strdup(ctx, columns[0].text);
	return 0;
}

int store_approvals(struct store *store, const void *ctx, const char *environment, bool open, size_t limit, struct approval ***ret,
	size_t *ret_count, struct err *err)
{
	struct gather ids = { .ctx = ctx, .size = sizeof(const char *), .read = read_id };
	struct approval **list;
	int r;

	r = sql_each(store->sql, err, gather_row, &ids,
		"SELECT id FROM approvals WHERE ($1 = '' OR environment = $1) AND ($2 = 0 OR is_open = 1) ORDER BY seq DESC LIMIT $3",
		SQL_T(environment ? environment : ""), SQL_I(open), SQL_I(limit ? (int64_t)limit : INT64_MAX));
	if (r < 0)
		return r;
	list = mem_array(ctx, struct approval *, ids.count + 1);
	for (size_t i = 0; r == 0 && i < ids.count; i++)
		r = read_approval(store, ctx, ((const char **)(void *)ids.rows)[i], &list[i], err);
	if (r < 0)
		return r;
	*ret = list;
	*ret_count = ids.count;
	return 0;
}

/* --- break-glass ------------------------------------------------------------------------------------------------------------- */

int fold_breakglass_opened(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id, *principal, *reason, *until;
	int64_t until_ms = 0;
	int r;

	r = entry_need(entry, "breakglass", &id, err);
	if (r == 0)
		r = entry_need(entry, "principal", &principal, err);
	if (r == 0)
		r = entry_need(entry, "reason", &reason, err);
	if (r == 0)
		r = entry_need(entry, "until", &until, err);
	if (r == 0 && !entry->environment)
		r = err_set(err, ERR_INVALID, "%s without an environment", entry->kind);
	if (r == 0)
		r = clock_parse(until, &until_ms, err);
	if (r < 0)
		return r;
	/* One at a time, and the next only after somebody has looked at the last: in one statement, so that two at once cannot both pass.
	 * */
	r = sql_do(handle->store.sql, err,
		"INSERT INTO breakglasses (" BREAKGLASS_COLUMNS ", seq) SELECT $1, $2, $3, $4, $5, $6, $7, NULL, NULL, NULL, NULL, $8"
		" WHERE NOT EXISTS (SELECT 1 FROM breakglasses WHERE principal = $2 AND reviewed_ms IS NULL)",
		SQL_T(id), SQL_T(principal), SQL_T(entry->actor), SQL_T(entry->environment), SQL_T(reason), SQL_I(entry->wall_ms),
		SQL_I(until_ms), SQL_I(entry->seq));
	if (r == 0 && handle->store.sql->ops->changes(handle->store.sql) == 0)
		return err_set(err, ERR_CONFLICT,
			"%s has broken the glass before, and nobody has reviewed it yet: another person does that first (`unship breakglass review`)",
			entry->actor ? entry->actor : principal);
	return r;
}

static int change_breakglass(struct handle *handle, const struct entry *entry, const char *id, int r, struct err *err)
{
	if (r == 0 && handle->store.sql->ops->changes(handle->store.sql) == 0)
		return err_set(err, ERR_CONFLICT, "%s: '%s' is not there, or this was done already", entry->kind, id);
	return r;
}

int fold_breakglass_closed(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id;
	int r;

	r = entry_need(entry, "breakglass", &id, err);
	if (r < 0)
		return r;
	return change_breakglass(handle, entry, id,
		sql_do(handle->store.sql, err, "UPDATE breakglasses SET closed_ms = $2 WHERE id = $1 AND closed_ms IS NULL", SQL_T(id),
			SQL_I(entry->wall_ms)),
		err);
}

int fold_breakglass_reviewed(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id, *reviewer;
	int r;

	r = entry_need(entry, "breakglass", &id, err);
	if (r == 0)
		r = entry_need(entry, "reviewer", &reviewer, err);
	if (r < 0)
		return r;
	return change_breakglass(handle, entry, id,
		sql_do(handle->store.sql, err,
			"UPDATE breakglasses SET reviewer = $2, reviewed_ms = $3, note = $4, closed_ms = COALESCE(closed_ms, CASE WHEN until_ms < $3"
			" THEN until_ms ELSE $3 END) WHERE id = $1 AND reviewed_ms IS NULL AND principal <> $5",
			SQL_T(id), SQL_T(entry->actor), SQL_I(entry->wall_ms), SQL_T(json_str(entry->data, "note", NULL)), SQL_T(reviewer)),
		err);
}

static int read_breakglass(const void *ctx, const struct sql_value *columns, void *ret, unused_arg struct err *err)
{
	*(struct breakglass_row *)ret = (struct breakglass_row){
		.id = mem_strdup(ctx, columns[0].text),
		.principal = mem_strdup(ctx, columns[1].text),
		.name = mem_strdup(ctx, columns[2].text),
		.environment = mem_strdup(ctx, columns[3].text),
		.reason = mem_strdup(ctx, columns[4].text),
		.opened_ms = columns[5].integer,
		.until_ms = columns[6].integer,
		.closed_ms = columns[7].type == SQL_INT ? columns[7].integer : 0,
		.reviewer = mem_strdup(ctx, columns[8].text),
		.reviewed_ms = columns[9].type == SQL_INT ? columns[9].integer : 0,
		.note = mem_strdup(ctx, columns[10].text),
	};
	return 0;
}

int store_breakglasses(struct store *store, const void *ctx, const char *principal, const char *environment, size_t limit,
	struct breakglass_row **ret, size_t *ret_count, struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct breakglass_row), .read = read_breakglass };
	int r;

	r = sql_each(store->sql, err, gather_row, &rows,
		"SELECT " BREAKGLASS_COLUMNS " FROM breakglasses WHERE ($1 = '' OR principal = $1) AND ($2 = '' OR environment = $2)"
		" ORDER BY seq DESC LIMIT $3",
		SQL_T(principal ? principal : ""), SQL_T(environment ? environment : ""), SQL_I(limit ? (int64_t)limit : INT64_MAX));
	if (r < 0)
		return r;
	*ret = (struct breakglass_row *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}

int store_breakglass(struct store *store, const void *ctx, const char *id, struct breakglass_row *ret, struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_breakglass };
	const char *whole;
	int r;

	r = resolve_id(store, ctx, "SELECT id FROM breakglasses WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 4", "break-glass", "bgl", id,
		&whole, err);
	if (r == 0)
		r = sql_each(store->sql, err, single_row, &single, "SELECT " BREAKGLASS_COLUMNS " FROM breakglasses WHERE id = $1",
			SQL_T(whole));
	if (r < 0)
		return r;
	return single.found ? 0 : err_set(err, ERR_NOT_FOUND, "there is no break-glass '%s'", id);
}
