/* The two endpoints of document S4 for rolling back, key for key: POST /api/rollback/trigger and GET /api/rollback/status/{id}. Both are other words for the operations rollbacks.create and
 * rollbacks.show; nothing is decided here. What a run can be that S4 has no word for is told as the nearest that it has:
 *
 *     pending                          pending
 *     in_progress, waiting             in_progress     (waiting for a person: it has not ended)
 *     completed                        completed
 *     restored, failed, refused        failed          (`error` says which, and how the environment stands)
 *
 * Errors are problem documents (RFC 9457) that carry S4's members too: success false, rollback_id empty, message. */
#include "surface/http/rollback_endpoints.h"

#include <string.h>

#include "core/run.h"
#include "data/json.h"

static const struct {
	const char *name;
	const char *means; /* "deployment_id: ..." in messages */
} request_members[] = {
	{ "deployment_id", "the deployment to return to, by its id or version" },
	{ "reason", "why; it is kept in the audit trail" },
	{ "environment", "the environment to take back" },
};

static bool is_known(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(request_members); i++)
		if (!strcmp(key, request_members[i].name))
			return true;
	return false;
}

static int check_request(json_t *body, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value)
		if (!is_known(key))
			return err_set(err, ERR_INVALID, "'%s' is not known here: deployment_id, reason and environment are", key);
	for (size_t i = 0; i < ARRAY_SIZE(request_members); i++)
		if (!*json_str(body, request_members[i].name, ""))
			return err_set(err, ERR_INVALID, "%s: a text is required: %s", request_members[i].name, request_members[i].means);
	return 0;
}

static int answer_error(struct exchange *x, const struct err *err)
{
	/* Reading the body may have set a status of its own. */
	exchange_answer_problem(x, x->status != 200 ? x->status : err_info(err->code)->http_status, err,
		json_make(x->ctx, "{s:b, s:s, s:s}", "success", false, "rollback_id", "", "message", err->text));
	return 0;
}

/* Nothing has begun: other people have to agree first. Who asks again after that, for the same, starts nothing twice. */
static int answer_waiting(struct exchange *x, json_t *approval)
{
	const char *id = json_str(approval, "id", "");

	exchange_add_header(x, "Location", mem_printf(x->ctx, "/api/v1/approvals/%s", id));
	exchange_answer_json(x, 202,
		json_make(x->ctx, "{s:b, s:s, s:s}", "success", false, "rollback_id", "", "message",
			mem_printf(x->ctx, "nothing has begun: %s waits for the approval of other people (`unship approve %s`)", id, id)));
	return 0;
}

static int trigger_rollback(struct exchange *x, unused_arg struct err *err)
{
	struct op op;
	struct err why = ERR_INIT;
	json_t *body, *input, *answer = NULL;
	const char *id, *message;
	int r;

	if (x->refused)
		return answer_error(x, x->refused);
	op = exchange_op(x);
	r = exchange_body_json(x, &body, &why);
	if (r == 0)
		r = check_request(body, &why);
	if (r == 0) {
		input = json_make(x->ctx, "{s:O, s:O, s:O}", "to", json_object_get(body, "deployment_id"), "reason",
			json_object_get(body, "reason"), "environment", json_object_get(body, "environment"));
		r = operation_call(&op, operation_find("rollbacks.create"), input, &answer, &why);
	}
	if (r < 0)
		return answer_error(x, &why);
	if (json_object_get(answer, "waitsFor"))
		return answer_waiting(x, json_object_get(answer, "approval"));
	id = json_str(answer, "rollbackId", "");
	message = mem_printf(x->ctx, *id ? "rollback of %s to %s has begun" : "%s is at %s already, there is nothing to take back",
		json_str(body, "environment", ""), json_str(body, "deployment_id", ""));
	if (*id)
		exchange_add_header(x, "Location", mem_printf(x->ctx, "/api/rollback/status/%s", id));
	exchange_answer_json(x, *id ? 202 : 200,
		json_make(x->ctx, "{s:b, s:s, s:s}", "success", true, "rollback_id", id, "message", message));
	return 0;
}

static const char *s4_status(enum run_status status)
{
	switch (status) {
	case RUN_PENDING:
		return "pending";
	case RUN_IN_PROGRESS:
	case RUN_WAITING:
		return "in_progress";
	case RUN_COMPLETED:
		return "completed";
	default:
		return "failed";
	}
}

static const char *s4_error(const void *ctx, enum run_status status, const char *message)
{
	switch (status) {
	case RUN_RESTORED:
		return mem_printf(ctx, "the environment is as it was before: %s", message);
	case RUN_REFUSED:
		return mem_printf(ctx, "refused, nothing was changed: %s", message);
	case RUN_FAILED:
		return mem_printf(ctx, "a person is needed, not everything could be restored: %s", message);
	default:
		return NULL;
	}
}

static json_t *steps_completed(const void *ctx, json_t *run)
{
	json_t *list = json_keep(ctx, json_array()), *step;
	size_t index;

	json_array_foreach(json_object_get(run, "steps"), index, step)
		if (!strcmp(json_str(step, "status", ""), step_status_name(STEP_DONE)))
			json_array_append_new(list, json_string(json_str(step, "stepId", "")));
	return list;
}

static int rollback_status(struct exchange *x, unused_arg struct err *err)
{
	struct op op;
	struct err why = ERR_INIT;
	enum run_status status = RUN_PENDING;
	json_t *answer, *run, *told;
	int r;

	if (x->refused)
		return answer_error(x, x->refused);
	op = exchange_op(x);
	r = operation_call(&op, operation_find("rollbacks.show"), json_make(x->ctx, "{s:s}", "id", exchange_param(x, "id")), &answer, &why);
	if (r == 0)
		r = run_status_parse(json_str(answer, "status", ""), &status, &why);
	if (r < 0)
		return answer_error(x, &why);
	run = json_object_get(answer, "run");
	told = json_make(x->ctx, "{s:s, s:O, s:s}", "status", s4_status(status), "steps_completed", steps_completed(x->ctx, run),
		"current_step", json_str(run, "currentStep", ""));
	json_put_str(told, "error", s4_error(x->ctx, status, json_str(answer, "message", "no cause was recorded")));
	exchange_answer_json(x, 200, told);
	return 0;
}

static const struct shape trigger_shape[] = {
	SHAPE_BOOL("success", ALWAYS, "was it begun, or was nothing to do? false with 202: it waits for the approval of other people"),
	SHAPE_STR("rollback_id", ALWAYS, "for /api/rollback/status/{id}; empty when there was nothing to take back, or it waits"),
	SHAPE_STR("message", ALWAYS, "a sentence for people"), SHAPE_END
};

static const struct shape status_shape[] = { SHAPE_CHOICE("status", ALWAYS, "pending|in_progress|completed|failed", "how far it is"),
	SHAPE_STRINGS("steps_completed", ALWAYS, "ids of the steps that are done, in the order of the plan"),
	SHAPE_STR("current_step", ALWAYS, "id of the step that is worked on or waited for; empty when there is none"),
	SHAPE_STR("error", SOMETIMES, "why it failed, and how the environment stands"), SHAPE_END };

const struct route rollback_endpoint_routes[] = {
	{ .method = "POST",
		.pattern = "/api/rollback/trigger",
		.kind = ROUTE_WORK,
		.access = ACCESS_PERMITTED,
		.permission = PERMIT_EXECUTE,
		.handle = trigger_rollback,
		.summary = "take an environment back to a deployment",
		.answer = trigger_shape,
		.own_errors = true },
	{ .method = "GET",
		.pattern = "/api/rollback/status/{id}",
		.kind = ROUTE_WORK,
		.access = ACCESS_PERMITTED,
		.permission = PERMIT_VIEW,
		.handle = rollback_status,
		.summary = "how far a rollback is",
		.answer = status_shape,
		.own_errors = true },
	{ 0 },
};
