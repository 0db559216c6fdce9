/* Runs as a list: one row each, for finding them. What happened inside a run is folded by core/run.h from its entries.
 * An environment has at most one run that has not ended: checked in the transaction of run.requested, which holds the write lock, and
 * guarded by a unique index. Threads: as the store. */
#include "store/internal.h"

#include "base/clock.h"
#include "core/run.h"

#define RUN_COLUMNS \
	"id, environment, status, plan_id, from_deployment, to_deployment, reason, actor, message, undo_of, requested_ms, " \
	"started_ms, ended_ms, changed, ended, seq"

static int read_run(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	struct run_row *row = ret;
	int r;

	*row = (struct run_row){
		.id = mem_strdup(ctx, columns[0].text),
		.environment = mem_strdup(ctx, columns[1].text),
		.status = mem_strdup(ctx, columns[2].text),
		.plan_id = mem_strdup(ctx, columns[3].text),
		.from = mem_strdup(ctx, columns[4].text),
		.to = mem_strdup(ctx, columns[5].text),
		.reason = mem_strdup(ctx, columns[6].text),
		.actor = mem_strdup(ctx, columns[7].text),
		.message = mem_strdup(ctx, columns[8].text),
		.undo_of = mem_strdup(ctx, columns[9].text),
		.requested_ms = columns[10].integer,
		.started_ms = columns[11].type == SQL_INT ? columns[11].integer : 0,
		.ended_ms = columns[12].type == SQL_INT ? columns[12].integer : 0,
		.changed = columns[13].integer != 0,
		.seq = columns[15].integer,
	};
	r = column_json(ctx, &columns[14], &row->ended, err);
	return r < 0 ? err_in(err, "run %s", row->id) : 0;
}

static int find_run(struct handle *handle, const void *ctx, const char *id, struct run_row *ret, bool *found, struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_run };
	int r;

	r = sql_each(handle->store.sql, err, single_row, &single, "SELECT " RUN_COLUMNS " FROM runs WHERE id = $1", SQL_T(id));
	if (r < 0)
		return r;
	*found = single.found;
	return 0;
}

/* The run of an entry that only an unfinished run can have. */
static int need_unfinished(struct handle *handle, const void *ctx, const struct entry *entry, struct run_row *ret, struct err *err)
{
	bool found = false;
	int r;

	if (!entry->run)
		return err_set(err, ERR_INVALID, "%s: the run is missing", entry->kind);
	r = find_run(handle, ctx, entry->run, ret, &found, err);
	if (r < 0)
		return r;
	if (!found)
		return err_set(err, ERR_INVALID, "%s: there is no run '%s'", entry->kind, entry->run);
	if (ret->ended_ms)
		return err_set(err, ERR_CONFLICT, "run %s has ended (%s)", ret->id, ret->status);
	return 0;
}

static int refuse_second(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	struct err none = ERR_INIT;
	struct run_row held;
	int r;

	r = store_unfinished_run(&handle->store, ctx, entry->environment, &held, &none);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0) {
		*err = none;
		return r;
	}
	return err_set(err, ERR_CONFLICT, "environment '%s' is held by run %s (%s, requested by %s %s)", entry->environment, held.id,
		held.status, held.actor ? held.actor : "nobody named", clock_format_age(ctx, held.requested_ms, entry->wall_ms));
}

int fold_run_requested(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	const json_t *data = entry->data, *plan = json_object_get(data, "plan");
	struct run_row other;
	bool known = false;
	int r;

	if (!entry->run || !entry->environment)
		return err_set(err, ERR_INVALID, "%s: run and environment are needed", entry->kind);
	r = find_run(handle, ctx, entry->run, &other, &known, err);
	if (r == 0 && known)
		return err_set(err, ERR_CONFLICT, "run %s was requested before", entry->run);
	if (r == 0)
		r = refuse_second(handle, ctx, entry, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "INSERT INTO environments (name) VALUES ($1) ON CONFLICT (name) DO NOTHING",
			SQL_T(entry->environment));
	if (r < 0)
		return r;
	return sql_do(handle->store.sql, err,
		"INSERT INTO runs (id, environment, status, plan_id, from_deployment, to_deployment, reason, actor, undo_of, seq, requested_ms, changed)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)",
		SQL_T(entry->run), SQL_T(entry->environment), SQL_T(run_status_name(RUN_PENDING)),
		SQL_T(json_is_string(plan) ? json_string_value(plan) : json_str(plan, "id", NULL)), SQL_T(json_str(data, "from", NULL)),
		SQL_T(json_str(data, "to", NULL)), SQL_T(json_str(data, "reason", NULL)), SQL_T(entry->actor),
		SQL_T(json_str(data, "undoOf", NULL)), SQL_I(entry->seq), SQL_I(entry->wall_ms));
}

static int set_status(struct handle *handle, const void *ctx, const struct entry *entry, enum run_status status, const char *message,
	struct err *err)
{
	struct run_row row;
	int r;

	r = need_unfinished(handle, ctx, entry, &row, err);
	if (r < 0)
		return r;
	return sql_do(handle->store.sql, err, "UPDATE runs SET status = $2, message = $3 WHERE id = $1", SQL_T(entry->run),
		SQL_T(run_status_name(status)), SQL_T(message));
}

int fold_run_started(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	int r;

	r = set_status(handle, ctx, entry, RUN_IN_PROGRESS, NULL, err);
	if (r < 0)
		return r;
	return sql_do(handle->store.sql, err, "UPDATE runs SET started_ms = $2 WHERE id = $1 AND started_ms IS NULL", SQL_T(entry->run),
		SQL_I(entry->wall_ms));
}

int fold_run_waiting(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	return set_status(handle, ctx, entry, RUN_WAITING, json_str(entry->data, "message", NULL), err);
}

int fold_run_answered(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	return set_status(handle, ctx, entry, RUN_IN_PROGRESS, NULL, err);
}

int fold_run_cancel(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	struct run_row row;

	return need_unfinished(handle, ctx, entry, &row, err);
}

int fold_step_begun(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	struct run_row row;
	int r;

	r = need_unfinished(handle, ctx, entry, &row, err);
	if (r < 0 || row.changed)
		return r;
	return sql_do(handle->store.sql, err, "UPDATE runs SET changed = 1 WHERE id = $1", SQL_T(entry->run));
}

int fold_run_ended(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	enum run_status status;
	const char *text;
	struct run_row row;
	char *ended;
	int r;

	r = need_unfinished(handle, ctx, entry, &row, err);
	if (r == 0)
		r = entry_need(entry, "status", &text, err);
	if (r == 0)
		r = run_status_parse(text, &status, err);
	if (r == 0 && !run_status_ended(status))
		return err_set(err, ERR_INVALID, "%s: '%s' is no end", entry->kind, text);
	if (r < 0)
		return r;
	ended = json_dumps(entry->data, JSON_COMPACT);
	r = sql_do(handle->store.sql, err,
		"UPDATE runs SET status = $2, message = $3, ended_ms = $4, changed = $5, ended = $6 WHERE id = $1", SQL_T(entry->run),
		SQL_T(run_status_name(status)), SQL_T(json_str(entry->data, "message", NULL)), SQL_I(entry->wall_ms),
		SQL_I(json_flag(entry->data, "changed", row.changed)), SQL_T(ended));
	free(ended);
	if (r < 0 || status != RUN_COMPLETED || !row.to)
		return r;
	return deployments_set_present(handle, row.environment, row.to, err);
}

int store_runs_page(struct store *store, const void *ctx, const char *environment, const char *status, struct page page,
	struct run_row **ret, size_t *ret_count, struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct run_row), .read = read_run };
	int64_t most = page.limit ? (int64_t)page.limit : INT64_MAX, before = page.before_seq ? page.before_seq : INT64_MAX;
	int r;

	if (environment)
		r = sql_each(store->sql, err, gather_row, &rows,
			"SELECT " RUN_COLUMNS
			" FROM runs WHERE environment = $1 AND seq < $2 AND ($3 = '' OR status = $3) ORDER BY seq DESC LIMIT $4",
			SQL_T(environment), SQL_I(before), SQL_T(status ? status : ""), SQL_I(most));
	else
		r = sql_each(store->sql, err, gather_row, &rows,
			"SELECT " RUN_COLUMNS " FROM runs WHERE seq < $1 AND ($2 = '' OR status = $2) ORDER BY seq DESC LIMIT $3",
			SQL_I(before), SQL_T(status ? status : ""), SQL_I(most));
	if (r < 0)
		return r;
	*ret = (struct run_row *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}

int store_run(struct store *store, const void *ctx, const char *id, struct run_row *ret, struct err *err)
{
	const char *whole;
	bool found = false;
	int r;

	r = resolve_id(store, ctx, "SELECT id FROM runs WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 4", "run", "run", id, &whole, err);
	if (r == 0)
		r = find_run(handle_of(store), ctx, whole, ret, &found, err);
	if (r < 0)
		return r;
	return found ? 0 : err_set(err, ERR_NOT_FOUND, "there is no run '%s'", id);
}

int store_unfinished_run(struct store *store, const void *ctx, const char *environment, struct run_row *ret, struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_run };
	int r;

	r = sql_each(store->sql, err, single_row, &single, "SELECT " RUN_COLUMNS " FROM runs WHERE environment = $1 AND ended_ms IS NULL",
		SQL_T(environment));
	if (r < 0)
		return r;
	return single.found ? 0 : err_set(err, ERR_NOT_FOUND, "no run is unfinished in environment '%s'", environment);
}
