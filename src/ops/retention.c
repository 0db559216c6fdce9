/* Retention (retention.h). The entry comes before the removal: a crash in between leaves content that nothing refers to, which the next pruning removes, never an entry of a snapshot that is gone. */
#include "ops/retention.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"

static int remove_content(struct op *op, struct snapshot_store *store, const char *id, const char *environment, const char *run,
	struct err *err)
{
	struct entry entry = { .kind = ENTRY_SNAPSHOT_PRUNED, .environment = environment, .run = run, .actor = op->actor };
	int r;

	entry.data = json_make(op->ctx, "{s:s}", "snapshot", id);
	r = store_append(op->workspace->store, op->ctx, &entry, err);
	if (r == 0)
		r = snapshot_remove(store, id, err);
	return r < 0 && r != -ERR_NOT_FOUND ? err_in(err, "%s", id) : 0;
}

/* What an unfinished run captured stays; so does its ledger, which is the newest then anyway. */
static int is_unfinished(struct op *op, const struct snapshot_row *row, bool *ret, struct err *err)
{
	struct run_row run;
	int r;

	*ret = false;
	if (!text_starts_with(row->id, "run-") || text_ends_with(row->id, LEDGER_SUFFIX))
		return 0;
	r = store_run(op->workspace->store, op->ctx, row->id, &run, err);
	*ret = r == 0 && !run.ended_ms;
	return r;
}

static int prune_snapshots(struct op *op, struct snapshot_store *store, int64_t keep, bool dry_run, json_t *pruned, struct err *err)
{
	int64_t young_ms = clock_wall_ms() - op->workspace->project->snapshots.keep_within_ms;
	json_t *kept = json_keep(op->ctx, json_object());
	struct snapshot_row *rows;
	size_t count;
	int r;

	r = store_snapshots(op->workspace->store, op->ctx, NULL, &rows, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) { /* newest first */
		/* Each kind is counted by itself: what is taken in advance every hour does not push out what runs captured. */
		const char *kind = text_ends_with(rows[i].id, LEDGER_SUFFIX) ? "ledger"
			: text_starts_with(rows[i].id, "snap-")              ? "snap"
									     : "run";
		const char *bucket = mem_printf(op->ctx, "%s/%s", rows[i].environment ? rows[i].environment : "", kind);
		int64_t number = json_int(kept, bucket, 0);
		bool unfinished;

		if (rows[i].pruned)
			continue;
		json_put_int(kept, bucket, number + 1);
		r = is_unfinished(op, &rows[i], &unfinished, err);
		if (r < 0 || number < keep || unfinished || rows[i].taken_ms > young_ms)
			continue;
		json_array_append_new(pruned, json_string(rows[i].id));
		if (!dry_run)
			r = remove_content(op, store, rows[i].id, rows[i].environment, rows[i].run, err);
	}
	return r;
}

/* The kept content of the deployments of one environment that are needed: {id: true}. */
static int needed_deployments(struct op *op, const char *environment, json_t *needed, struct err *err)
{
	const struct snapshots_config *config = &op->workspace->project->snapshots;
	struct store *store = op->workspace->store;
	struct deployment **list, one;
	struct err none = ERR_INIT;
	size_t count;
	int r;

	r = store_deployments(store, op->ctx, environment, (size_t)config->deployments, &list, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		json_object_set_new(needed, list[i]->id, json_true());
	r = store_present(store, op->ctx, environment, &one, &none);
	if (r == 0) {
		json_object_set_new(needed, one.id, json_true());
		r = store_last_stable(store, op->ctx, environment, one.id, &one, &none);
	}
	if (r == 0)
		json_object_set_new(needed, one.id, json_true());
	return 0;
}

static int prune_deployments(struct op *op, struct snapshot_store *store, bool dry_run, json_t *pruned, struct err *err)
{
	const struct project *project = op->workspace->project;
	json_t *needed = json_keep(op->ctx, json_object());
	char **ids;
	int r = 0;

	for (size_t i = 0; r == 0 && i < project->environment_count; i++)
		r = needed_deployments(op, project->environments[i].name, needed, err);
	if (r == 0)
		r = snapshot_list(store, op->ctx, true, &ids, err);
	for (; r == 0 && *ids; ids++) {
		struct err why = ERR_INIT;
		struct deployment deployment;
		int found;

		if (json_object_get(needed, *ids))
			continue;
		found = store_deployment(op->workspace->store, op->ctx, *ids, &deployment, &why);
		/* What was kept for a recording that never came to its entry may be on its way to it, when it is young. */
		if ((found < 0 && found != -ERR_NOT_FOUND) || (found == 0 && deployment.rollback_target) ||
			(found < 0 && content_is_held(op->workspace, *ids)))
			continue;
		/* An environment that is no longer in the project file keeps what it has. */
		if (found == 0 && !project_environment(project, deployment.environment))
			continue;
		json_array_append_new(pruned, json_string(*ids));
		if (!dry_run)
			r = remove_content(op, store, *ids, found == 0 ? deployment.environment : NULL, NULL, err);
	}
	return r;
}

int retention_apply(struct op *op, struct snapshot_store *store, int64_t keep, bool dry_run, json_t *ret_snapshots, json_t *ret_deployments,
	struct err *err)
{
	int r;

	r = prune_snapshots(op, store, keep >= 0 ? keep : op->workspace->project->snapshots.keep, dry_run, ret_snapshots, err);
	return r < 0 ? r : prune_deployments(op, store, dry_run, ret_deployments, err);
}
