/* Which entries change which tables: a list of kind and fold. Entries of other kinds stand in the journal only.
 * A fold depends on the entry and on the tables alone, never on a clock: folding the journal again gives the same tables
 * (store_rebuild). */
#include "store/internal.h"

struct projection {
	const char *kind;
	fold fold;
	bool registry; /* what the registry file shows may change */
};

static const struct projection projections[] = {
	{ ENTRY_STEP_BEGUN, fold_step_begun, false },
	{ ENTRY_DEPLOYMENT_RECORDED, fold_deployment_recorded, true },
	{ ENTRY_DEPLOYMENT_HEALTH, fold_deployment_health, true },
	{ ENTRY_DEPLOYMENT_STATUS, fold_deployment_status, true },
	{ ENTRY_DEPLOYMENT_QUARANTINE, fold_deployment_quarantine, false },
	{ ENTRY_DEPLOYMENT_RELEASE, fold_deployment_release, false },
	{ ENTRY_DEPLOYMENT_MARK, fold_deployment_mark, false },
	{ ENTRY_RUN_REQUESTED, fold_run_requested, false },
	{ ENTRY_RUN_STARTED, fold_run_started, false },
	{ ENTRY_RUN_WAITING, fold_run_waiting, false },
	{ ENTRY_RUN_ANSWERED, fold_run_answered, false },
	{ ENTRY_RUN_CANCEL, fold_run_cancel, false },
	{ ENTRY_RUN_ENDED, fold_run_ended, true },
	{ ENTRY_FLAG_SET, fold_flag_set, false },
	{ ENTRY_FLAG_RESTORED, fold_flag_restored, false },
	{ ENTRY_FLAG_DEFINED, fold_flag_defined, false },
	{ ENTRY_FLAG_REMOVED, fold_flag_removed, false },
	{ ENTRY_SNAPSHOT_TAKEN, fold_snapshot_taken, false },
	{ ENTRY_SNAPSHOT_VERIFIED, fold_snapshot_verified, false },
	{ ENTRY_SNAPSHOT_PRUNED, fold_snapshot_pruned, false },
	{ ENTRY_NOTIFICATION_QUEUED, fold_notification_queued, false },
	{ ENTRY_NOTIFICATION_DELIVERED, fold_notification_delivered, false },
	{ ENTRY_NOTIFICATION_FAILED, fold_notification_failed, false },
	{ ENTRY_PRINCIPAL_ADDED, fold_principal_added, false },
	{ ENTRY_PRINCIPAL_CHANGED, fold_principal_changed, false },
	{ ENTRY_PRINCIPAL_REMOVED, fold_principal_removed, false },
	{ ENTRY_TOKEN_CREATED, fold_token_created, false },
	{ ENTRY_TOKEN_REVOKED, fold_token_revoked, false },
	{ ENTRY_SESSION_BEGUN, fold_session_begun, false },
	{ ENTRY_SESSION_ENDED, fold_session_ended, false },
	{ ENTRY_LOGIN_REFUSED, fold_login_refused, false },
	{ ENTRY_APPROVAL_REQUESTED, fold_approval, false },
	{ ENTRY_APPROVAL_GIVEN, fold_approval, false },
	{ ENTRY_APPROVAL_USED, fold_approval, false },
	{ ENTRY_APPROVAL_WITHDRAWN, fold_approval, false },
	{ ENTRY_BREAKGLASS_OPENED, fold_breakglass_opened, false },
	{ ENTRY_BREAKGLASS_CLOSED, fold_breakglass_closed, false },
	{ ENTRY_BREAKGLASS_REVIEWED, fold_breakglass_reviewed, false },
	{ ENTRY_SIGNAL_ALERT, fold_signal_alert, false },
};

/* Everything that the folds fill. */
static const char *const emptying[] = {
	"DELETE FROM environments",
	"DELETE FROM deployments",
	"DELETE FROM runs",
	"DELETE FROM flags",
	"DELETE FROM feature_rollbacks",
	"DELETE FROM notifications",
	"DELETE FROM snapshots",
	"DELETE FROM principals",
	"DELETE FROM tokens",
	"DELETE FROM sessions",
	"DELETE FROM logins",
	"DELETE FROM approvals",
	"DELETE FROM approval_entries",
	"DELETE FROM breakglasses",
	"DELETE FROM alerts",
};

int projections_fold(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(projections); i++) {
		if (strcmp(projections[i].kind, entry->kind) != 0)
			continue;
		handle->registry_changed |= projections[i].registry;
		return projections[i].fold(handle, ctx, entry, err);
	}
	return 0;
}

int projections_empty(struct handle *handle, struct err *err)
{
	struct sql *sql = handle->store.sql;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(emptying); i++)
		r = sql->ops->run(sql, emptying[i], NULL, 0, NULL, NULL, err);
	return r;
}

int entry_need(const struct entry *entry, const char *member, const char **ret, struct err *err)
{
	const char *text = json_str(entry->data, member, NULL);

	if (!text || !text[0])
		return err_set(err, ERR_INVALID, "%s: data.%s is missing", entry->kind, member);
	*ret = text;
	return 0;
}
