/* What was captured and kept, as operations and runs need it: the snapshot store opened with the project's keys, content laid out for workers, what restores took away kept at the end of a run.
 *
 * In the store, by the beginning of their ids: "run-..." what a run captured; "run-...-ledger" what its restores took away; "snap-..." taken in advance; "dep-..." kept with a deployment. */
#ifndef OPS_CONTENT_H
#define OPS_CONTENT_H

#include "ops/operation.h"
#include "snapshot/snapshot_store.h"

#define LEDGER_SUFFIX "-ledger"

/* Opened once per workspace, keys resolved then. */
must_check int content_store(struct workspace *workspace, struct snapshot_store **ret, struct err *err);

/* The same anew, after files of it were written by others. */
must_check int content_reopen(struct workspace *workspace, struct snapshot_store **ret, struct err *err);

/* For a check outside of a run: where the content is that `component` has in deployment `id`. Small content is laid out in *ret_dir; larger is only found to be there: *ret_dir NULL, *ret_kept true. Neither: nothing is kept, or it is damaged (*ret_trouble says so; NULL). */
must_check int content_for_check(struct op *op, const char *id, const char *component, const char **ret_dir, bool *ret_kept,
	const char **ret_trouble, struct err *err);
/* Adds sourceDir or sourceKept of content_for_check to a request. */
void content_put(json_t *request, const char *dir, bool kept);

/* Begins one: holds it, and makes the folder where captures are written. */
must_check int content_begin(struct op *op, const struct snapshot_metadata *metadata, struct err *err);
/* What `from` holds of a component belongs to `id`, too (deployments). Nothing when it holds nothing of it. */
must_check int content_adopt(struct op *op, const char *id, const char *from, const char *component, struct err *err);
/* Takes what was captured into the store. */
must_check int content_keep(struct op *op, const char *id, struct err *err);
/* Members files, bytes, manifest, sealed of an entry or answer. */
void content_describe(const struct snapshot_summary *summary, json_t *object);

/* Hooks of a runner (runner.h). */
must_check int content_resolve(struct op *op, const struct environment *environment, json_t *request, struct err *err);
must_check int content_lay_out(struct workspace *workspace, json_t *request, struct err *err);
/* Takes the ledgers of a run, if there are any, into the store; *ret_entry is a snapshot.taken, NULL when there is none. */
must_check int content_keep_ledger(struct op *op, const void *ctx, const struct run *run, json_t **ret_entry, struct err *err);
/* What is laid out of `id` stays until content_release: called before anything is laid out or captured. */
must_check int content_hold(struct workspace *workspace, const char *id, struct err *err);
/* Does somebody else use it? */
bool content_is_held(struct workspace *workspace, const char *id);
/* At the end of an operation: removes what is laid out in clear, of its own and of those that were interrupted, unless somebody else holds it, or an unfinished run captured it. What cannot be removed is logged, and removed
 * next time. */
void content_release(struct workspace *workspace);

#endif
