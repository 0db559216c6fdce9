/* The operations of all resources, one file each; listed in operations.c. */
#ifndef OPS_RESOURCES_H
#define OPS_RESOURCES_H

#include "ops/operation.h"

/* config.c */
extern const struct operation op_config_check, op_drivers_list, op_probes_list, op_channels_list;
/* versions.c */
extern const struct operation op_versions_list;
/* deployments.c */
extern const struct operation op_deployments_record, op_deployments_list, op_deployments_show, op_deployments_quarantine,
	op_deployments_release;
/* readiness.c */
extern const struct operation op_readiness_show;
/* plans.c */
extern const struct operation op_plans_create, op_plans_check, op_plans_runbook;
/* rollbacks.c */
extern const struct operation op_rollbacks_create, op_rollbacks_list, op_rollbacks_show, op_rollbacks_resume, op_rollbacks_cancel,
	op_rollbacks_undo, op_rollbacks_approve, op_rollbacks_reject;
/* health.c */
extern const struct operation op_health_check;
/* flags.c */
extern const struct operation op_flags_list, op_flags_set, op_flags_disable_group, op_flags_restore, op_flags_history, op_flags_define,
	op_flags_show, op_flags_remove, op_flags_evaluate;
/* copy.c */
extern const struct operation op_snapshots_copy, op_snapshots_fetch;
/* snapshots.c */
extern const struct operation op_snapshots_list, op_snapshots_create, op_snapshots_rotate, op_snapshots_show, op_snapshots_verify,
	op_snapshots_restore, op_snapshots_export, op_snapshots_prune;
/* drill.c */
extern const struct operation op_drills_run, op_drills_list, op_drills_clean;
/* history.c */
extern const struct operation op_history_list, op_audit_verify, op_audit_search, op_notifications_list;
/* people.c */
extern const struct operation op_people_list, op_people_show, op_people_add, op_people_change, op_people_remove;
/* tokens.c */
extern const struct operation op_tokens_create, op_tokens_list, op_tokens_revoke, op_sessions_list, op_sessions_revoke;
/* approvals.c */
extern const struct operation op_approvals_list, op_approvals_show, op_approvals_approve, op_approvals_reject, op_approvals_withdraw;
/* alerts.c */
extern const struct operation op_alerts_list;
/* breakglass.c */
extern const struct operation op_breakglass_open, op_breakglass_list, op_breakglass_close, op_breakglass_review;

#endif
