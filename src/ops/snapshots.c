/* Snapshots: what was captured before each run or in advance, and what restores took away. Listed from the journal, looked at, verified, restored (as a run of its own, journalled and recoverable like any other), exported, pruned. */
#include "ops/answers.h"
#include "ops/content.h"
#include "ops/resources.h"
#include "ops/runs.h"

#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/text.h"
#include "ops/permit.h"
#include "ops/retention.h"
#include "snapshot/project_files.h"

#define CAPTURE_TIMEOUT_MS 300000

struct snapshot_params {
	const char *id, *environment, *component, *reason, *path, *to, *plan_hash;
	int64_t keep;
	double share;
	bool dry_run;
};

#define FIELD_ID FIELD_STR(struct snapshot_params, id, OPTIONAL, "snapshot: its id or the beginning of it; the newest when not given")
static const struct field list_fields[] = { FIELD_NAME(struct snapshot_params, environment, OPTIONAL, "only this environment"), FIELD_END };

static const struct field create_fields[] = { FIELD_NAME(struct snapshot_params, environment, REQUIRED,
						      "environment whose components are captured"),
	FIELD_STR(struct snapshot_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field show_fields[] = { FIELD_ID,
	FIELD_STR(struct snapshot_params, path, OPTIONAL, "only what is below this path of the snapshot"), FIELD_END };

static const struct field verify_fields[] = { FIELD_ID,
	FIELD_SHARE(struct snapshot_params, share, DEFAULT("100%"), "how much of it is read: another part each time"), FIELD_END };

static const struct field restore_fields[] = { FIELD_ID, FIELD_STR(struct snapshot_params, component, OPTIONAL, "only this component"),
	FIELD_STR(struct snapshot_params, reason, OPTIONAL, "why"),
	FIELD_STR(struct snapshot_params, plan_hash, OPTIONAL, "run only if plan and observed state still have this hash"),
	FIELD_BOOL(struct snapshot_params, dry_run, DEFAULT("false"), "everything up to the first change"), FIELD_END };

static const struct field export_fields[] = { FIELD_STR(struct snapshot_params, id, REQUIRED, "snapshot: its id or the beginning of it"),
	FIELD_PATH(struct snapshot_params, to, REQUIRED, "directory to write, which must not exist"),
	FIELD_STR(struct snapshot_params, path, OPTIONAL, "only what is below this path of the snapshot"), FIELD_END };

static const struct field prune_fields[] = { FIELD_INT(struct snapshot_params, keep, DEFAULT("-1"), -1, 100000,
						     "how many of each environment stay; -1: as the project file says"),
	FIELD_BOOL(struct snapshot_params, dry_run, DEFAULT("false"), "only say what would go"), FIELD_END };

static const struct field no_fields[] = { FIELD_END };

static const char *kind_of(const char *id)
{
	return text_ends_with(id, LEDGER_SUFFIX) ? "ledger" : text_starts_with(id, "snap-") ? "advance" : "run";
}

static json_t *snapshot_json(const void *ctx, const struct snapshot_row *row)
{
	json_t *item = json_pack("{s:s, s:s, s:s*, s:s, s:I, s:I, s:s*}", "id", row->id, "kind", kind_of(row->id), "environment",
		row->environment, "takenAt", clock_format(ctx, row->taken_ms), "files", (json_int_t)row->files, "bytes",
		(json_int_t)row->bytes, "manifest", row->manifest);

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
	struct environment *environment;
	struct snapshot_store *store;
	struct snapshot_row *rows;
	json_t *list;
	size_t count;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = content_store(op->workspace, &store, err);
	if (r == 0)
		r = store_snapshots(op->workspace->store, op->ctx, p->environment, &rows, &count, err);
	/* One that is no more may still have some; a name that was never one is a mistake. */
	if (r == 0 && p->environment && count == 0)
		r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r < 0)
		return r;
	list = json_keep(op->ctx, json_array());
	for (size_t i = 0; i < count; i++)
		if (!rows[i].pruned && op_sees(op, rows[i].environment))
			json_array_append_new(list, snapshot_json(op->ctx, &rows[i]));
	*ret = json_make(op->ctx, "{s:O, s:b}", "snapshots", list, "sealed", snapshot_store_sealed(store));
	return 0;
}

static struct snapshot_row *match(struct op *op, struct snapshot_row *rows, size_t count, const char *given, bool unseen,
	size_t *ret_matches)
{
	struct snapshot_row *found = NULL;

	*ret_matches = 0;
	for (size_t i = 0; i < count; i++) {
		if (op_sees(op, rows[i].environment) == unseen || !text_starts_with(rows[i].id, given) ||
			(!*given && (rows[i].pruned || unseen)))
			continue;
		found = &rows[i];
		if (!*given || !strcmp(rows[i].id, given)) {
			*ret_matches = 1;
			return found;
		}
		++*ret_matches;
	}
	return found;
}

/* By its id or the beginning of it; without one the newest. What was pruned is found, so that it can be said. */
static int find_snapshot(struct op *op, const char *given, struct snapshot_row *ret, struct err *err)
{
	struct snapshot_row *rows, *found = NULL;
	size_t count, matches = 0;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_snapshots(op->workspace->store, op->ctx, NULL, &rows, &count, err);
	if (r < 0)
		return r;
	given = given ? given : "";
	/* What may be seen first; what may not is found only to be refused. */
	for (int unseen = 0; unseen < 2 && !found; unseen++)
		found = match(op, rows, count, given, unseen, &matches);
	if (!*given && !found)
		return err_set(err, ERR_NOT_FOUND, "there is no snapshot yet");
	if (matches > 1 && op_sees(op, found->environment))
		return err_set(err, ERR_AMBIGUOUS, "%zu snapshots begin with '%s'", matches, given);
	r = op_found(op, found ? 0 : err_set(err, ERR_NOT_FOUND, "there is no snapshot '%s'", given), "snapshot", given,
		found ? found->environment : NULL, err);
	if (r < 0)
		return r;
	*ret = *found;
	return 0;
}

/* The same, and the store; what is to be read must be there. */
static int find_content(struct op *op, const char *given, struct snapshot_row *ret, struct snapshot_store **ret_store, struct err *err)
{
	int r;

	r = find_snapshot(op, given, ret, err);
	if (r == 0 && ret->pruned)
		return err_set(err, ERR_NOT_FOUND, "snapshot %s was pruned", ret->id);
	return r < 0 ? r : content_store(op->workspace, ret_store, err);
}

static int snapshots_show(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct snapshot_store *store;
	struct snapshot_row row;
	json_t *metadata, *files;
	int r;

	r = find_content(op, p->id, &row, &store, err);
	if (r == 0)
		r = snapshot_read_metadata(store, op->ctx, row.id, &metadata, err);
	if (r == 0)
		r = snapshot_files(store, op->ctx, row.id, p->path, &files, err);
	if (r < 0)
		return r;
	*ret = json_keep(op->ctx, snapshot_json(op->ctx, &row));
	json_put(*ret, "metadata", metadata);
	json_put(*ret, "content", files);
	return 0;
}

static int verify_one(struct op *op, struct snapshot_store *store, const struct snapshot_row *row, double share, json_t **ret,
	struct err *err)
{
	struct entry entry = { .kind = ENTRY_SNAPSHOT_VERIFIED, .environment = row->environment, .run = row->run, .actor = op->actor };
	struct snapshot_summary summary = { 0 };
	struct err append_err = ERR_INIT;
	json_t *problems = NULL;
	int r, appended;

	r = snapshot_verify(store, op->ctx, row->id, share, &summary, &problems, err);
	if (r < 0 && r != -ERR_CORRUPT)
		return r;
	if (!problems)
		problems = json_keep(op->ctx, json_array());
	entry.data = json_make(op->ctx, "{s:s, s:b, s:O, s:f}", "snapshot", row->id, "ok", r == 0, "problems", problems, "share", share);
	appended = store_append(op->workspace->store, op->ctx, &entry, &append_err);
	if (appended < 0) {
		*err = append_err;
		return appended;
	}
	*ret = json_make(op->ctx, "{s:s, s:b, s:I, s:I, s:O}", "id", row->id, "intact", r == 0, "files", (json_int_t)summary.files, "bytes",
		(json_int_t)summary.bytes, "problems", problems);
	return r;
}

static int snapshots_verify(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct snapshot_store *store;
	struct snapshot_row row;
	int r;

	r = find_content(op, p->id, &row, &store, err);
	return r < 0 ? r : verify_one(op, store, &row, p->share, ret, err);
}

static int snapshots_restore(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct take_back wanted = { .only = p->component, .reason = p->reason, .plan_hash = p->plan_hash, .dry_run = p->dry_run };
	struct snapshot_summary summary;
	struct environment *environment;
	struct snapshot_store *store;
	struct snapshot_row row;
	json_t *problems = NULL;
	struct run_row run;
	int r;

	r = find_content(op, p->id, &row, &store, err);
	if (r < 0)
		return r;
	if (strcmp(kind_of(row.id), "run") != 0)
		return err_set(err, ERR_INVALID,
			"%s is not of a run: `unship snapshots export %s DIR` gives what it holds, and a plan's data step takes it as snapshotId",
			row.id, row.id);
	r = store_run(op->workspace->store, op->ctx, row.id, &run, err);
	if (r == 0)
		r = project_find_environment(op->workspace->project, run.environment, &environment, err);
	if (r == 0)
		r = snapshot_verify(store, op->ctx, row.id, 1, &summary, &problems, err);
	if (r < 0)
		return err_in(err, "snapshot");
	if (!wanted.reason)
		wanted.reason = mem_printf(op->ctx, "restore of snapshot %s", row.id);
	return run_take_back(op, environment, &run, &wanted, ret, err);
}

static int snapshots_export(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct snapshot_store *store;
	struct snapshot_row row;
	int r;

	r = find_content(op, p->id, &row, &store, err);
	if (r == 0)
		r = snapshot_export(store, row.id, p->path, p->to, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s}", "id", row.id, "directory", p->to);
	return 0;
}

/* ---- in advance ---- */

static int capture_all(struct op *op, const struct environment *environment, const char *id, struct err *err)
{
	struct work *works = mem_array(op->ctx, struct work, environment->component_count + 1);
	struct work_result *results = mem_array(op->ctx, struct work_result, environment->component_count + 1);
	size_t count = environment->component_count;
	int r;

	for (size_t i = 0; i < count; i++) {
		const struct component *component = &environment->components[i];

		r = call_component(op->ctx, environment, component, "capture", NULL, NULL,
			call_content_dir(op->ctx, &op->workspace->places, id, component->name), &op->workspace->places, clock_mono_ms(),
			CAPTURE_TIMEOUT_MS, &works[i], err);
		if (r < 0)
			return err_in(err, "component '%s'", component->name);
		works[i].id = i;
	}
	r = executor_call_all(op->workspace->executor, op->ctx, works, count, results, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (results[i].result || (results[i].answered && results[i].err.code == ERR_UNSUPPORTED))
			continue;
		*err = results[i].err;
		r = err_in(err, "component '%s'", environment->components[i].name);
	}
	return r;
}

static int snapshots_create(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	struct snapshot_metadata metadata = { .id = id_new(op->ctx, "snap"), .wall_ms = clock_wall_ms() };
	struct entry entry = { .kind = ENTRY_SNAPSHOT_TAKEN, .actor = op->actor };
	struct environment *environment;
	struct snapshot_summary summary;
	struct snapshot_store *store;
	struct deployment present;
	struct err none = ERR_INIT;
	json_t *observed;
	int r;

	r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r == 0)
		r = content_store(op->workspace, &store, err);
	if (r < 0)
		return r;
	metadata.environment = entry.environment = environment->name;
	if (store_present(op->workspace->store, op->ctx, environment->name, &present, &none) == 0)
		metadata.from = present.id;
	r = content_begin(op, &metadata, err);
	if (r == 0)
		r = workspace_observe(op, environment, NULL, &observed, err);
	if (r == 0)
		r = capture_all(op, environment, metadata.id, err);
	if (r == 0)
		r = snapshot_add_project(mem_printf(op->ctx, "%s/%s", op->workspace->places.open_root, metadata.id), environment->name,
			op->workspace->dir, observed, err);
	if (r == 0)
		r = snapshot_seal(store, metadata.id, &summary, err);
	if (r < 0)
		return r;
	entry.data = json_make(op->ctx, "{s:s, s:s*}", "snapshot", metadata.id, "reason", p->reason);
	content_describe(&summary, entry.data);
	r = store_append(op->workspace->store, op->ctx, &entry, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s, s:s, s:s}", "id", metadata.id, "kind", "advance", "environment", environment->name, "takenAt",
		clock_format(op->ctx, metadata.wall_ms));
	content_describe(&summary, *ret);
	json_put_int(*ret, "newFiles", summary.new_files);
	json_put_int(*ret, "newBytes", summary.new_bytes);
	return 0;
}

/* ---- keys and room ---- */

static int snapshots_rotate(struct op *op, const void *params, json_t **ret, struct err *err)
{
	struct entry entry = { .kind = ENTRY_SNAPSHOT_ROTATED, .actor = op->actor };
	struct snapshot_store *store;
	int64_t wrapped;
	int r;

	(void)params;
	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = content_store(op->workspace, &store, err);
	if (r < 0)
		return r;
	if (!snapshot_store_sealed(store))
		return err_set(err, ERR_INVALID, "snapshots are not sealed: there is no key in snapshots.seal");
	r = snapshot_rotate(store, &wrapped, err);
	if (r < 0)
		return r;
	entry.data = json_make(op->ctx, "{s:I, s:I}", "version", (json_int_t)op->workspace->project->snapshots.keys[0].version, "keys",
		(json_int_t)wrapped);
	r = store_append(op->workspace->store, op->ctx, &entry, err);
	if (r < 0)
		return r;
	*ret = json_keep(op->ctx, json_copy(entry.data));
	return 0;
}

static bool is_held(unused_arg void *user, unused_arg const char *id)
{
	return true; /* what is laid out is content_release's to remove */
}

static int snapshots_prune(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct snapshot_params *p = params;
	json_t *pruned = json_keep(op->ctx, json_array()), *deployments = json_keep(op->ctx, json_array());
	struct snapshot_sweep_result swept = { 0 };
	struct snapshot_store *store;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = content_store(op->workspace, &store, err);
	if (r == 0)
		r = retention_apply(op, store, p->keep, p->dry_run, pruned, deployments, err);
	if (r == 0 && !p->dry_run)
		r = snapshot_sweep(store, is_held, NULL, &swept, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:O, s:O, s:b, s:I, s:I}", "pruned", pruned, "deployments", deployments, "dryRun", p->dry_run,
		"objects", (json_int_t)swept.objects, "bytes", (json_int_t)swept.bytes);
	return 0;
}

OPERATION(op_snapshots_list, "snapshots.list", "GET", "/snapshots", PERMIT_VIEW, "what was captured before each run, and in advance",
	list_fields, struct snapshot_params, snapshots_list, .answer = snapshot_list_shape);
OPERATION(op_snapshots_create, "snapshots.create", "POST", "/environments/{environment}/snapshots", PERMIT_EXECUTE,
	"capture an environment in advance", create_fields, struct snapshot_params, snapshots_create, .answer = snapshot_taken_shape,
	.creates = true);
OPERATION(op_snapshots_show, "snapshots.show", "GET", "/snapshots/{id}", PERMIT_VIEW, "one snapshot with its files", show_fields,
	struct snapshot_params, snapshots_show, .answer = snapshot_shape);
OPERATION(op_snapshots_verify, "snapshots.verify", "POST", "/snapshots/{id}/verify", PERMIT_VIEW,
	"read what is kept and compare every file", verify_fields, struct snapshot_params, snapshots_verify, .idempotent = true,
	.answer = snapshot_check_shape);
OPERATION(op_snapshots_restore, "snapshots.restore", "POST", "/snapshots/{id}/restore", PERMIT_EXECUTE,
	"put back what was captured before a run", restore_fields, struct snapshot_params, snapshots_restore, .destructive = true,
	.answer = run_shape);
OPERATION(op_snapshots_export, "snapshots.export", "POST", "/snapshots/{id}/export", PERMIT_EXECUTE,
	"lay a snapshot out in clear in a directory", export_fields, struct snapshot_params, snapshots_export, .answer = exported_shape);
OPERATION(op_snapshots_prune, "snapshots.prune", "POST", "/snapshots/prune", PERMIT_ADMINISTER,
	"remove old snapshots, and what nothing needs any more", prune_fields, struct snapshot_params, snapshots_prune, .everywhere = true,
	.destructive = true, .idempotent = true, .answer = pruned_shape);
OPERATION(op_snapshots_rotate, "snapshots.rotate", "POST", "/snapshots/rotate", PERMIT_ADMINISTER,
	"wrap all data keys by the present key, so that former ones can go", no_fields, struct snapshot_params, snapshots_rotate,
	.everywhere = true, .idempotent = true, .answer = rotated_shape);
