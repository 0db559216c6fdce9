/* The table `requests`: see idempotency.h. Threads: one store per thread, as everywhere. */
#include "store/idempotency.h"

#include "base/clock.h"
#include "store/internal.h"

#define COLUMNS "hash, status, type, answer, location, first_seq, last_seq, holder"

struct found {
	struct request_row row;
	const char *holder;
};

static int read_request(const void *ctx, const struct sql_value *columns, void *ret, unused_arg struct err *err)
{
	*(struct found *)ret = (struct found){
		.row = { .hash = mem_strdup(ctx, columns[0].text),
			.status = (int)columns[1].integer,
			.type = mem_strdup(ctx, columns[2].text),
			.answer = mem_strdup(ctx, columns[3].text),
			.location = mem_strdup(ctx, columns[4].text),
			.first_seq = columns[5].type == SQL_INT ? columns[5].integer : 0,
			.last_seq = columns[6].type == SQL_INT ? columns[6].integer : 0 },
		.holder = mem_strdup(ctx, columns[7].text),
	};
	return 0;
}

static int begin_locked(struct store *store, const void *ctx, const char *id, const char *hash, int64_t expires_ms, struct found *found,
	bool *ret_mine, struct err *err)
{
	struct handle *handle = handle_of(store);
	struct single single = { .ctx = ctx, .ret = found, .read = read_request };
	int r;

	r = sql_do(store->sql, err, "DELETE FROM requests WHERE expires_ms < $1", SQL_I(clock_wall_ms()));
	if (r == 0)
		r = sql_each(store->sql, err, single_row, &single, "SELECT " COLUMNS " FROM requests WHERE id = $1", SQL_T(id));
	if (r < 0)
		return r;
	found->row.running = single.found && !found->row.status && found->holder && !claim_holder_dead(ctx, handle->holder, found->holder);
	*ret_mine = !single.found || (!found->row.status && !found->row.running && !found->row.first_seq && !strcmp(found->row.hash, hash));
	if (!*ret_mine)
		return 0;
	return sql_do(store->sql, err,
		"INSERT INTO requests (id, hash, status, holder, expires_ms) VALUES ($1, $2, 0, $3, $4)"
		" ON CONFLICT (id) DO UPDATE SET holder = $3, expires_ms = $4",
		SQL_T(id), SQL_T(hash), SQL_T(handle->holder), SQL_I(expires_ms));
}

int store_request_begin(struct store *store, const void *ctx, const char *id, const char *hash, int64_t expires_ms, struct request_row *ret,
	bool *ret_mine, struct err *err)
{
	struct found found = { 0 };
	int r;

	r = store->sql->ops->begin(store->sql, err);
	if (r == 0)
		r = begin_locked(store, ctx, id, hash, expires_ms, &found, ret_mine, err);
	if (r == 0 && *ret_mine)
		r = store->sql->ops->commit(store->sql, err);
	if (r < 0 || !*ret_mine)
		store->sql->ops->rollback(store->sql);
	*ret = found.row;
	return r;
}

int store_request_end(struct store *store, const char *id, int status, const char *type, const char *answer, const char *location,
	struct err *err)
{
	int r;

	r = store->sql->ops->begin(store->sql, err);
	if (r == 0)
		r = sql_do(store->sql, err,
			"UPDATE requests SET status = $2, type = $3, answer = $4, location = $5, holder = NULL WHERE id = $1", SQL_T(id),
			SQL_I(status), SQL_T(type), SQL_T(answer), SQL_T(location));
	if (r == 0)
		r = store->sql->ops->commit(store->sql, err);
	if (r < 0)
		store->sql->ops->rollback(store->sql);
	return r;
}

int request_note(struct store *store, const struct entry *entries, size_t count, struct err *err)
{
	if (!store->request || !count)
		return 0;
	return sql_do(store->sql, err, "UPDATE requests SET first_seq = COALESCE(first_seq, $2), last_seq = $3 WHERE id = $1",
		SQL_T(store->request), SQL_I(entries[0].seq), SQL_I(entries[count - 1].seq));
}
