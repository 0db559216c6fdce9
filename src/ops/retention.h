/* Which snapshots stay: the newest of each environment, all that are young enough, and those of unfinished runs. Of deployments the kept content of the newest, of the one that runs,
 * of the last stable one, and of those that somebody marked as targets. */
#ifndef OPS_RETENTION_H
#define OPS_RETENTION_H

#include "ops/content.h"

/* `keep` -1: as the project file says. Ids of what went (or would go) are appended to both arrays. */
must_check int retention_apply(struct op *op, struct snapshot_store *store, int64_t keep, bool dry_run, json_t *ret_snapshots,
	json_t *ret_deployments, struct err *err);

#endif
