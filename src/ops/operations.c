/* The table of operations, and the one way to call them. Each file of this folder declares its operations; they are listed here. */
#include "ops/operation.h"

#include <string.h>

#include "base/log.h"
#include "ops/permit.h"
#include "ops/content.h"
#include "ops/resources.h"

const struct operation *const operations[] = {
	&op_config_check,
	&op_drivers_list,
	&op_probes_list,
	&op_channels_list,
	&op_versions_list,
	&op_deployments_record,
	&op_deployments_list,
	&op_deployments_show,
	&op_deployments_quarantine,
	&op_deployments_release,
	&op_readiness_show,
	&op_plans_create,
	&op_plans_check,
	&op_plans_runbook,
	&op_rollbacks_create,
	&op_rollbacks_list,
	&op_rollbacks_show,
	&op_rollbacks_resume,
	&op_rollbacks_cancel,
	&op_rollbacks_undo,
	&op_rollbacks_approve,
	&op_rollbacks_reject,
	&op_health_check,
	&op_flags_list,
	&op_flags_show,
	&op_flags_define,
	&op_flags_set,
	&op_flags_disable_group,
	&op_flags_restore,
	&op_flags_history,
	&op_flags_evaluate,
	&op_flags_remove,
	&op_snapshots_list,
	&op_snapshots_create,
	&op_snapshots_rotate,
	&op_snapshots_copy,
	&op_snapshots_fetch,
	&op_snapshots_show,
	&op_snapshots_verify,
	&op_snapshots_restore,
	&op_snapshots_export,
	&op_snapshots_prune,
	&op_drills_run,
	&op_drills_list,
	&op_drills_clean,
	&op_history_list,
	&op_audit_verify,
	&op_audit_search,
	&op_notifications_list,
	&op_alerts_list,
	&op_approvals_list,
	&op_approvals_show,
	&op_approvals_approve,
	&op_approvals_reject,
	&op_approvals_withdraw,
	&op_breakglass_open,
	&op_breakglass_list,
	&op_breakglass_close,
	&op_breakglass_review,
	&op_people_list,
	&op_people_show,
	&op_people_add,
	&op_people_change,
	&op_people_remove,
	&op_tokens_create,
	&op_tokens_list,
	&op_tokens_revoke,
	&op_sessions_list,
	&op_sessions_revoke,
	NULL,
};

const struct operation *operation_find(const char *name)
{
	for (const struct operation *const *operation = operations; *operation; operation++)
		if (!strcmp((*operation)->name, name))
			return *operation;
	return NULL;
}

/* The registry file is for others to read: that it could not be kept in step fails nothing, but somebody has to know. */
static void tell_of_registry(struct op *op, json_t *answer)
{
	const char *why = op->workspace && op->workspace->store ? op->workspace->store->registry_trouble : NULL;
	json_t *warnings;

	if (!why)
		return;
	if (!json_is_object(answer)) {
		log_event(LOG_WARN, "the registry file is not in step; the journal is", "why", why, NULL);
		return;
	}
	warnings = json_object_get(answer, "warnings");
	if (!json_is_array(warnings)) {
		warnings = json_array();
		json_object_set_new(answer, "warnings", warnings);
	}
	json_array_append_new(warnings, json_sprintf("the registry file is not in step; the journal is: %s", why));
}

int operation_call(struct op *op, const struct operation *operation, json_t *input, json_t **ret, struct err *err)
{
	json_t *object = input ? input : json_keep(op->ctx, json_object());
	struct problems *problems = problems_new(op->ctx, NULL);
	void *params = mem_check(talloc_zero_size(op->ctx, MAX(operation->params_size, (size_t)1)));
	const struct approval *approval = op->approval; /* one that the gate finds is for this call */
	int r;

	*ret = NULL;
	fields_parse(op->ctx, operation->fields, object, "", NULL, false, params, problems);
	r = problems_result(problems, err);
	if (r < 0) /* all of them, so that they are mended in one go */
		*ret = json_make(op->ctx, "{s:o}", "errors", problems_errors(problems));
	if (r == 0)
		r = op_permit_call(op, operation, object, err);
	if (r < 0)
		return r;
	r = operation->handler(op, params, ret, err);
	if (op->workspace)
		content_release(op->workspace);
#ifdef UNSHIP_FAILPOINTS
	/* Test builds: what is described is what is answered. */
	if (r == 0 && operation->answer && shape_check(operation->answer, *ret, err) < 0)
		return err_in(err, "%s: the answer", operation->name);
#endif
	op->approval = approval;
	op->breakglass = NULL;
	tell_of_registry(op, *ret);
	return r;
}

json_t *entries_json(const struct entry *entries, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, entry_json(&entries[i]));
	return array;
}
