/* Which snapshots there are; their content is files (snapshot/). Threads: as the store. */
#include "store/internal.h"

/* The id; runs have one snapshot each, which goes by the run's id. */
static int snapshot_id(const struct entry *entry, const char **ret, struct err *err)
{
	const char *id = json_str(entry->data, "snapshot", entry->run);

	if (!id || !id[0])
		return err_set(err, ERR_INVALID, "%s: data.snapshot is missing", entry->kind);
	*ret = id;
	return 0;
}

static int must_be_known(struct handle *handle, const struct entry *entry, const char *id, struct err *err)
{
	if (handle->store.sql->ops->changes(handle->store.sql) > 0)
		return 0;
	return err_set(err, ERR_INVALID, "%s: there is no snapshot '%s'", entry->kind, id);
}

int fold_snapshot_taken(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id = NULL;
	int r;

	r = snapshot_id(entry, &id, err);
	if (r < 0)
		return r;
	return sql_do(handle->store.sql, err,
		"INSERT INTO snapshots (id, environment, run, manifest, taken_ms, files, bytes, verified_ms, ok, pruned, seq)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 1, 0, $8) ON CONFLICT (id) DO UPDATE SET"
		" manifest = $4, taken_ms = $5, files = $6, bytes = $7, verified_ms = 0, ok = 1, pruned = 0, seq = $8",
		SQL_T(id), SQL_T(entry->environment), SQL_T(entry->run), SQL_T(json_str(entry->data, "manifest", NULL)),
		SQL_I(entry->wall_ms), SQL_I(json_int(entry->data, "files", 0)), SQL_I(json_int(entry->data, "bytes", 0)),
		SQL_I(entry->seq));
}

int fold_snapshot_verified(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id = NULL;
	int r;

	r = snapshot_id(entry, &id, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "UPDATE snapshots SET verified_ms = $2, ok = $3 WHERE id = $1", SQL_T(id),
			SQL_I(entry->wall_ms), SQL_I(json_flag(entry->data, "ok", false)));
	return r < 0 ? r : must_be_known(handle, entry, id, err);
}

int fold_snapshot_pruned(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id = NULL;
	int r;

	r = snapshot_id(entry, &id, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "UPDATE snapshots SET pruned = 1 WHERE id = $1", SQL_T(id));
	/* What was interrupted before its manifest was never taken, and is pruned all the same. */
	return r;
}

static int read_snapshot(const void *ctx, const struct sql_value *columns, void *ret, unused_arg struct err *err)
{
	*(struct snapshot_row *)ret = (struct snapshot_row){
		.id = mem_strdup(ctx, columns[0].text),
		.environment = mem_strdup(ctx, columns[1].text),
		.run = mem_strdup(ctx, columns[2].text),
		.manifest = mem_strdup(ctx, columns[3].text),
		.taken_ms = columns[4].integer,
		.files = columns[5].integer,
		.bytes = columns[6].integer,
		.verified_ms = columns[7].integer,
		.ok = columns[8].integer != 0,
		.pruned = columns[9].integer != 0,
	};
	return 0;
}

int store_snapshots(struct store *store, const void *ctx, const char *environment, struct snapshot_row **ret, size_t *ret_count,
	struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct snapshot_row), .read = read_snapshot };
	int r;

	r = sql_each(store->sql, err, gather_row, &rows,
		"SELECT id, environment, run, manifest, taken_ms, files, bytes, verified_ms, ok, pruned FROM snapshots"
		" WHERE $1 = '' OR environment = $1 ORDER BY seq DESC",
		SQL_T(environment ? environment : ""));
	if (r < 0)
		return r;
	*ret = (struct snapshot_row *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}
