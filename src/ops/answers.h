/* The shapes of answers that several operations share, or that are long; the others stand beside their operation. */
#ifndef OPS_ANSWERS_H
#define OPS_ANSWERS_H

#include "data/shape.h"

extern const struct shape
	run_shape[]; /* what is told of a run; before it, of a plan; and instead of it, of a request that waits for people */
extern const struct shape run_list_shape[], history_shape[];
extern const struct shape readiness_shape[];
extern const struct shape planning_shape[], plan_check_shape[], runbook_shape[];
extern const struct shape deployment_shape[], deployment_list_shape[], recorded_shape[];
extern const struct shape health_shape[];
extern const struct shape entries_shape[], notifications_shape[], audit_proof_shape[];
extern const struct shape snapshot_list_shape[], snapshot_shape[], snapshot_taken_shape[], rotated_shape[], copied_shape[],
	snapshot_check_shape[], pruned_shape[], exported_shape[];
extern const struct shape versions_shape[], config_check_shape[], catalogue_shape[];
extern const struct shape approval_shape[], approval_list_shape[], approval_decided_shape[];
extern const struct shape breakglass_shape[], breakglass_list_shape[];
extern const struct shape principal_shape[], principal_list_shape[], principal_removed_shape[];
extern const struct shape token_shape[], token_list_shape[], token_revoked_shape[];
extern const struct shape session_list_shape[], session_revoked_shape[];

#endif
