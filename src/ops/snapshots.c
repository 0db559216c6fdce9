/* Snapshots: what was captured before each run. Listed from the journal, looked at, verified, restored (as a run of its own, journalled and recoverable like any other), exported, pruned. */
#include "ops/answers.h"
#include "ops/resources.h"
#include "ops/runs.h"

#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "ops/permit.h"
#include "snapshot/snapshot.h"

struct snapshot_params {
	const char *id, *environment, *component, *reason, *to, *plan_hash;
	int64_t keep;
	bool dry_run;
};

static const struct field list_fields[] = { FIELD_NAME(struct snapshot_params, environment, OPTIONAL, "only this environment"), FIELD_END };

static const struct field id_fields[] = { FIELD_STR(struct snapshot_params, id, OPTIONAL,
						  "snapshot: the id of its run or its beginning; the newest when not given"),
	FIELD_END };

static const struct field restore_fields[] = { FIELD_STR(struct snapshot_params, id, OPTIONAL,
						       "snapshot: the id of its run or its beginning; the newest when not given"),
	FIELD_STR(struct snapshot_params, component, OPTIONAL, "only this component"),
	FIELD_STR(struct snapshot_params, reason, OPTIONAL, "why"),
	FIELD_STR(struct snapshot_params, plan_hash, OPTIONAL, "run only if plan and observed state still have this hash"),
	FIELD_BOOL(struct snapshot_params, dry_run, DEFAULT("false"), "everything up to the first change"), FIELD_END };

static const struct field export_fields[] = { FIELD_STR(struct snapshot_params, id, REQUIRED,
						      "snapshot: the id of its run or its beginning"),
	FIELD_PATH(struct snapshot_params, to, REQUIRED, "directory to write, which must not exist"), FIELD_END };

static const struct field prune_fields[] = { FIELD_INT(struct snapshot_params, keep, DEFAULT("-1"), -1, 100000,
						     "how many of each environment stay; -1: as the project file says"),
	FIELD_BOOL(struct snapshot_params, dry_run, DEFAULT("false"), "only say what would go"), FIELD_END };

static json_t *snapshot_json(const void *ctx, const struct snapshot_row *row)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "id", row->id, "environment", row->environment, "takenAt",
		clock_format(ctx, row->taken_ms), "files", (json_int_t)row->files, "bytes", (json_int_t)row->bytes, "manifest",
		row->manifest);

	if (row->verified_ms) {
		json_put_str(item, "verifiedAt", clock_format(ctx, row->verified_ms));
		json_put_flag(item, "intact", row->ok);
	}
	json_put_flag(item, "pruned", row->pruned);
	return item;
}

static int snapshots_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct snapshot_row *rows;
	json_t *list;
	size_t count;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_snapshots(op->workspace->store, op->ctx, p->environment, &rows, &count, err);
	if (r < 0)
		return r;
	list = json_keep(op->ctx, json_array());
	for (size_t i = 0; i < count; i++)
		if (!rows[i].pruned && op_sees(op, rows[i].environment))
			json_array_append_new(list, snapshot_json(op->ctx, &rows[i]));
	*ret = json_make(op->ctx, "{s:O}", "snapshots", list);
	return 0;
}

/* The snapshot's id is its run's. */
static int find_snapshot(struct op *op, const char *given, struct run_row *ret, struct err *err)
{
	const char *id;
	int r;

	r = workspace_run_id(op, given, &id, err);
	if (r == 0)
		r = store_run(op->workspace->store, op->ctx, id, ret, err);
	return r;
}

static int snapshots_show(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	const char *root;
	json_t *metadata, *files;
	struct run_row run;
	struct doc *doc;
	int r;

	r = find_snapshot(op, p->id, &run, err);
	if (r < 0)
		return r;
	root = op->workspace->places.snapshot_root;
	r = folder_read_metadata(op->ctx, root, run.id, &metadata, err);
	if (r == 0)
		r = doc_load(op->ctx, mem_printf(op->ctx, "%s/%s/manifest.json", root, run.id), &doc, err);
	if (r < 0)
		return r;
	files = json_object_get(doc_root(doc), "files");
	*ret = json_make(op->ctx, "{s:s, s:s, s:O, s:O*}", "id", run.id, "directory", mem_printf(op->ctx, "%s/%s", root, run.id),
		"metadata", metadata, "files", files);
	return 0;
}

static int snapshots_verify(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct entry entry = { .kind = ENTRY_SNAPSHOT_VERIFIED, .actor = op->actor };
	struct err append_err = ERR_INIT;
	struct folder_summary summary = { 0 };
	json_t *problems = NULL;
	struct run_row run;
	int r, appended;

	r = find_snapshot(op, p->id, &run, err);
	if (r < 0)
		return r;
	r = folder_verify(op->ctx, op->workspace->places.snapshot_root, run.id, &summary, &problems, err);
	if (r < 0 && r != -ERR_CORRUPT)
		return r;
	if (!problems)
		problems = json_keep(op->ctx, json_array());
	entry.environment = run.environment;
	entry.run = run.id;
	entry.data = json_make(op->ctx, "{s:s, s:b, s:O}", "snapshot", run.id, "ok", r == 0, "problems", problems);
	appended = store_append(op->workspace->store, op->ctx, &entry, &append_err);
	if (appended < 0) {
		*err = append_err;
		return appended;
	}
	*ret = json_make(op->ctx, "{s:s, s:b, s:I, s:I, s:O}", "id", run.id, "intact", r == 0, "files", (json_int_t)summary.files, "bytes",
		(json_int_t)summary.bytes, "problems", problems);
	return r;
}

static int snapshots_restore(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct folder_summary summary;
	struct environment *environment;
	json_t *problems = NULL;
	struct take_back wanted = { .only = p->component, .reason = p->reason, .plan_hash = p->plan_hash, .dry_run = p->dry_run };
	struct run_row run;
	int r;

	r = find_snapshot(op, p->id, &run, err);
	if (r == 0)
		r = project_find_environment(op->workspace->project, run.environment, &environment, err);
	if (r == 0)
		r = folder_verify(op->ctx, op->workspace->places.snapshot_root, run.id, &summary, &problems, err);
	if (r < 0)
		return err_in(err, "snapshot");
	if (!wanted.reason)
		wanted.reason = mem_printf(op->ctx, "restore of snapshot %s", run.id);
	return run_take_back(op, environment, &run, &wanted, ret, err);
}

static int snapshots_export(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct run_row run;
	int r;

	r = find_snapshot(op, p->id, &run, err);
	if (r == 0)
		r = folder_export(op->workspace->places.snapshot_root, run.id, p->to, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s}", "id", run.id, "directory", p->to);
	return 0;
}

/* A snapshot of an unfinished run is never pruned, and of the others the newest `keep` of each environment stay. */
static int snapshots_prune(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	json_t *pruned = json_keep(op->ctx, json_array()), *kept = json_keep(op->ctx, json_object());
	struct snapshot_row *rows;
	size_t count;
	int64_t keep;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_snapshots(op->workspace->store, op->ctx, NULL, &rows, &count, err);
	if (r < 0)
		return r;
	keep = p->keep >= 0 ? p->keep : op->workspace->project->snapshots_keep;
	for (size_t i = 0; i < count; i++) { /* newest first */
		struct entry entry = { .kind = ENTRY_SNAPSHOT_PRUNED,
			.environment = rows[i].environment,
			.run = rows[i].run,
			.actor = op->actor };
		int64_t number = json_int(kept, rows[i].environment, 0);
		struct run_row run;

		if (rows[i].pruned)
			continue;
		r = store_run(op->workspace->store, op->ctx, rows[i].id, &run, err);
		if (r < 0)
			return r;
		json_put_int(kept, rows[i].environment, number + 1);
		if (number < keep || !run.ended_ms)
			continue;
		json_array_append_new(pruned, json_string(rows[i].id));
		if (p->dry_run)
			continue;
		/* The entry first: a crash in between leaves a directory that nothing refers to, never an entry of a snapshot that is gone. */
		entry.data = json_make(op->ctx, "{s:s}", "snapshot", rows[i].id);
		r = store_append(op->workspace->store, op->ctx, &entry, err);
		if (r == 0)
			r = folder_remove(op->workspace->places.snapshot_root, rows[i].id, err);
		if (r < 0)
			return err_in(err, "snapshot %s", rows[i].id);
	}
	*ret = json_make(op->ctx, "{s:O, s:b}", "pruned", pruned, "dryRun", p->dry_run);
	return 0;
}

OPERATION(op_snapshots_list, "snapshots.list", "GET", "/snapshots", PERMIT_VIEW, "what was captured before each run", list_fields,
	struct snapshot_params, snapshots_list, .answer = snapshot_list_shape);
OPERATION(op_snapshots_show, "snapshots.show", "GET", "/snapshots/{id}", PERMIT_VIEW, "one snapshot with its files", id_fields,
	struct snapshot_params, snapshots_show, .answer = snapshot_shape);
OPERATION(op_snapshots_verify, "snapshots.verify", "POST", "/snapshots/{id}/verify", PERMIT_VIEW, "compare every file with the manifest",
	id_fields, struct snapshot_params, snapshots_verify, .idempotent = true, .answer = snapshot_check_shape);
OPERATION(op_snapshots_restore, "snapshots.restore", "POST", "/snapshots/{id}/restore", PERMIT_EXECUTE,
	"put back what was captured before a run", restore_fields, struct snapshot_params, snapshots_restore, .destructive = true,
	.answer = run_shape);
OPERATION(op_snapshots_export, "snapshots.export", "POST", "/snapshots/{id}/export", PERMIT_EXECUTE, "copy a snapshot to a directory",
	export_fields, struct snapshot_params, snapshots_export, .answer = exported_shape);
OPERATION(op_snapshots_prune, "snapshots.prune", "POST", "/snapshots/prune", PERMIT_ADMINISTER, "remove old snapshots", prune_fields,
	struct snapshot_params, snapshots_prune, .everywhere = true, .destructive = true, .idempotent = true, .answer = pruned_shape);
