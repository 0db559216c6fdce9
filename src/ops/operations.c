/* The table of operations, and the one way to call them. Each file of this folder declares its operations; they are listed here. */
#include "ops/operation.h"

#include <string.h>

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
	&op_flags_set,
	&op_flags_disable_group,
	&op_flags_restore,
	&op_flags_history,
	&op_snapshots_list,
	&op_snapshots_show,
	&op_snapshots_verify,
	&op_snapshots_restore,
	&op_snapshots_export,
	&op_snapshots_prune,
	&op_history_list,
	&op_audit_verify,
	&op_audit_search,
	&op_notifications_list,
	NULL,
};

const struct operation *operation_find(const char *name)
{
	for (const struct operation *const *operation = operations; *operation; operation++)
		if (!strcmp((*operation)->name, name))
			return *operation;
	return NULL;
}

int operation_call(struct op *op, const struct operation *operation, json_t *input, json_t **ret, struct err *err)
{
	json_t *object = input ? input : json_keep(op->ctx, json_object());
	struct problems *problems = problems_new(op->ctx, NULL);
	void *params = mem_check(talloc_zero_size(op->ctx, MAX(operation->params_size, (size_t)1)));
	int r;

	*ret = NULL;
	fields_parse(op->ctx, operation->fields, object, "", NULL, false, params, problems);
	r = problems_result(problems, err);
	if (r < 0)
		return r;
	return operation->handler(op, params, ret, err);
}

json_t *entries_json(const struct entry *entries, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, entry_json(&entries[i]));
	return array;
}
