/* Approvals: what waits for people, and their votes. The last vote that is needed carries the operation out as the one who asked, with
 * their permissions as they are now, for the plan that was shown; another state is
 * refused, and the approval stands until its time is over, so that the same request finds it when the state is as it was. */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "ops/answers.h"
#include "ops/gate.h"
#include "ops/people.h"
#include "ops/permit.h"
#include "ops/resources.h"

struct approvals_params {
	const char *id, *environment, *reason;
	int64_t limit;
	bool all;
};

static const struct field list_fields[] = { FIELD_NAME(struct approvals_params, environment, OPTIONAL, "only this environment"),
	FIELD_BOOL(struct approvals_params, all, DEFAULT("false"), "also those that have ended"),
	FIELD_INT(struct approvals_params, limit, DEFAULT("50"), 1, 10000, "how many, newest first"), FIELD_END };

static const struct field show_fields[] = { FIELD_STR(struct approvals_params, id, REQUIRED, "approval, by id or its beginning"),
	FIELD_END };

static const struct field vote_fields[] = { FIELD_STR(struct approvals_params, id, REQUIRED, "approval, by id or its beginning"),
	FIELD_STR(struct approvals_params, reason, OPTIONAL, "why"), FIELD_END };

static int find(struct op *op, const char *given, struct approval **ret, struct err *err)
{
	int r;

	*ret = NULL;
	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_approval(op->workspace->store, op->ctx, given, ret, err);
	return op_found(op, r, "approval", given, *ret ? (*ret)->environment : NULL, err);
}

/* Of what was shown only where it leads: the list is for choosing. */
static json_t *listed(const struct op *op, const struct approval *approval, int64_t now_ms)
{
	json_t *item = approval_json(op->ctx, approval, now_ms), *target = json_object_get(approval->shown, "target");

	json_object_del(item, "shown");
	if (target)
		json_object_set_new(item, "shown", json_pack("{s:O}", "target", target));
	return item;
}

static int approvals_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct approvals_params *p = params;
	json_t *list = json_keep(op->ctx, json_array());
	int64_t now_ms = clock_wall_ms();
	struct approval **approvals;
	size_t count;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_approvals(op->workspace->store, op->ctx, p->environment, !p->all, 0, &approvals, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count && json_array_size(list) < (size_t)p->limit; i++) {
		enum approval_status status = approval_status_at(approvals[i], now_ms);

		if (!op_sees(op, approvals[i]->environment) || (!p->all && status != APPROVAL_PENDING && status != APPROVAL_APPROVED))
			continue;
		json_array_append_new(list, listed(op, approvals[i], now_ms));
	}
	*ret = json_make(op->ctx, "{s:O}", "approvals", list);
	return 0;
}

static int approvals_show(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct approvals_params *p = params;
	struct approval *approval;
	int r;

	r = find(op, p->id, &approval, err);
	if (r == 0)
		*ret = json_keep(op->ctx, approval_json(op->ctx, approval, clock_wall_ms()));
	return r;
}

/* The requester as they are now; NULL: the local command line. */
static int requester_of(struct op *op, const struct approval *approval, struct principal **ret, struct err *err)
{
	*ret = NULL;
	if (text_starts_with(approval->requester_id, LOCAL_PERSON))
		return 0;
	return principal_read(op->workspace->store, op->ctx, approval->requester_id, ret, err);
}

static int carry_out(struct op *op, const struct approval *approval, json_t **ret, struct err *err)
{
	const struct operation *operation = operation_find(approval->operation);
	struct principal *requester;
	struct op theirs = *op;
	json_t *result = NULL;
	int r;

	if (!operation)
		return err_set(err, ERR_UNSUPPORTED, "this unship has no operation '%s'", approval->operation);
	r = requester_of(op, approval, &requester, err);
	if (r < 0)
		return err_in(err, "%s", approval->requester);
	theirs.principal = requester;
	theirs.actor = approval->requester;
	theirs.approval = approval;
	theirs.breakglass = NULL;
	theirs.confirm = NULL; /* what was approved is asked no more: the hash sees to it that it is the same */
	r = operation_call(&theirs, operation, approval->input, &result, err);
	json_put(*ret, "result", result);
	return r;
}

static int vote(struct op *op, const struct approval *approval, bool approves, const char *reason, struct err *err)
{
	struct entry entry = { .kind = ENTRY_APPROVAL_GIVEN, .environment = approval->environment, .actor = op->actor };
	int r;

	r = approval_may_vote(approval, op_person(op), op->principal, clock_wall_ms(), err);
	if (r == -ERR_FORBIDDEN)
		return op_refused(op, approval->environment, err);
	if (r < 0)
		return r;
	entry.data = json_make(op->ctx, "{s:s, s:s, s:b}", "approval", approval->id, "principal", op_person(op), "approves", approves);
	json_put_str(entry.data, "reason", reason);
	return store_append(op->workspace->store, op->ctx, &entry, err);
}

int approval_vote(struct op *op, const char *id, bool approves, const char *reason, json_t **ret, struct err *err)
{
	struct approval *approval;
	int r;

	r = find(op, id, &approval, err);
	if (r == 0)
		r = vote(op, approval, approves, reason, err);
	if (r == 0)
		r = store_approval(op->workspace->store, op->ctx, approval->id, &approval, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:o}", "approval", approval_json(op->ctx, approval, clock_wall_ms()));
	if (approval->status != APPROVAL_APPROVED)
		return 0;
	r = carry_out(op, approval, ret, err);
	if (r == 0) {
		r = store_approval(op->workspace->store, op->ctx, approval->id, &approval, err);
		if (r == 0)
			json_object_set_new(*ret, "approval", approval_json(op->ctx, approval, clock_wall_ms()));
	}
	return r;
}

static int approvals_approve(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct approvals_params *p = params;

	return approval_vote(op, p->id, true, p->reason, ret, err);
}

static int approvals_reject(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct approvals_params *p = params;

	return approval_vote(op, p->id, false, p->reason, ret, err);
}

static int approvals_withdraw(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct approvals_params *p = params;
	struct entry entry = { .kind = ENTRY_APPROVAL_WITHDRAWN, .actor = op->actor };
	struct approval *approval;
	int r;

	r = find(op, p->id, &approval, err);
	if (r == 0 && strcmp(approval->requester_id, op_person(op)) != 0 && !access_permits(op->principal, PERMIT_ADMINISTER, "*")) {
		err_set(err, ERR_FORBIDDEN, "%s asked for it: only they or an administrator can withdraw it", approval->requester);
		r = op_refused(op, approval->environment, err);
	}
	if (r < 0)
		return r;
	entry.environment = approval->environment;
	entry.data = json_make(op->ctx, "{s:s}", "approval", approval->id);
	json_put_str(entry.data, "reason", p->reason);
	r = store_append(op->workspace->store, op->ctx, &entry, err);
	return r < 0 ? r : approvals_show(op, params, ret, err);
}

OPERATION(op_approvals_list, "approvals.list", "GET", "/approvals", PERMIT_VIEW, "what waits for people, newest first", list_fields,
	struct approvals_params, approvals_list, .answer = approval_list_shape);
OPERATION(op_approvals_show, "approvals.show", "GET", "/approvals/{id}", PERMIT_VIEW,
	"one approval: what was asked for, what would change, who voted", show_fields, struct approvals_params, approvals_show,
	.answer = approval_shape);
OPERATION(op_approvals_approve, "approvals.approve", "POST", "/approvals/{id}/approve", PERMIT_APPROVE,
	"approve what somebody else asked for; the last vote that is needed carries it out", vote_fields, struct approvals_params,
	approvals_approve, .destructive = true, .answer = approval_decided_shape);
OPERATION(op_approvals_reject, "approvals.reject", "POST", "/approvals/{id}/reject", PERMIT_APPROVE, "reject what somebody else asked for",
	vote_fields, struct approvals_params, approvals_reject, .answer = approval_decided_shape);
OPERATION(op_approvals_withdraw, "approvals.withdraw", "POST", "/approvals/{id}/withdraw", PERMIT_EXECUTE,
	"take a request for approval back", vote_fields, struct approvals_params, approvals_withdraw, .answer = approval_shape);
