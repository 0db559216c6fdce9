/* The table `sinks`: see sinks.h. */
#include "store/sinks.h"

#include "base/clock.h"
#include "store/internal.h"

static int read_seq(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	*(int64_t *)user = columns[0].integer;
	return 0;
}

static int begin_sink(struct store *store, const char *name, int64_t *ret_seq, struct err *err)
{
	int r;

	r = sql_do(store->sql, err,
		"INSERT INTO sinks (name, seq, moved_ms) SELECT $1, seq, $2 FROM head WHERE id = 1 ON CONFLICT (name) DO NOTHING",
		SQL_T(name), SQL_I(clock_wall_ms()));
	return r < 0 ? r : sql_each(store->sql, err, read_seq, ret_seq, "SELECT seq FROM sinks WHERE name = $1", SQL_T(name));
}

static int in_transaction(struct store *store, int (*work)(struct store *store, const char *name, int64_t *seq, struct err *err),
	const char *name, int64_t *seq, struct err *err)
{
	int r;

	r = store->sql->ops->begin(store->sql, err);
	if (r == 0)
		r = work(store, name, seq, err);
	if (r == 0)
		r = store->sql->ops->commit(store->sql, err);
	if (r < 0)
		store->sql->ops->rollback(store->sql);
	return r < 0 ? err_in(err, "sink '%s'", name) : 0;
}

int store_sink_position(struct store *store, const char *name, int64_t *ret_seq, struct err *err)
{
	int64_t seq = -1;
	int r;

	r = sql_each(store->sql, err, read_seq, &seq, "SELECT seq FROM sinks WHERE name = $1", SQL_T(name));
	if (r == 0 && seq < 0)
		r = in_transaction(store, begin_sink, name, &seq, err);
	if (r == 0)
		*ret_seq = seq;
	return r;
}

static int move_sink(struct store *store, const char *name, int64_t *seq, struct err *err)
{
	return sql_do(store->sql, err, "UPDATE sinks SET seq = $2, moved_ms = $3 WHERE name = $1 AND seq < $2", SQL_T(name), SQL_I(*seq),
		SQL_I(clock_wall_ms()));
}

int store_sink_move(struct store *store, const char *name, int64_t seq, struct err *err)
{
	return in_transaction(store, move_sink, name, &seq, err);
}

static int read_components(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	return column_json(ctx, &columns[0], ret, err);
}

int store_components_before(struct store *store, const void *ctx, const char *environment, int64_t seq, json_t **ret, struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_components };

	*ret = NULL;
	return MIN(sql_each(store->sql, err, single_row, &single,
			   "SELECT components FROM deployments WHERE environment = $1 AND seq < $2 ORDER BY seq DESC LIMIT 1",
			   SQL_T(environment), SQL_I(seq)),
		0);
}

int store_components_of_run(struct store *store, const void *ctx, const struct run_row *run, json_t **ret_before, json_t **ret_after,
	struct err *err)
{
	struct single before = { .ctx = ctx, .ret = ret_before, .read = read_components };
	struct single after = { .ctx = ctx, .ret = ret_after, .read = read_components };
	int r;

	*ret_before = *ret_after = NULL;
	r = sql_each(store->sql, err, single_row, &before, "SELECT components FROM deployments WHERE id = $1", SQL_T(run->from));
	/* A run that took back a part only has recorded the mixture that it left. */
	if (r >= 0)
		r = sql_each(store->sql, err, single_row, &after,
			"SELECT components FROM deployments WHERE rollback_of = $1 OR id = $2 ORDER BY rollback_of IS NULL LIMIT 1",
			SQL_T(run->id), SQL_T(run->to));
	return MIN(r, 0);
}
