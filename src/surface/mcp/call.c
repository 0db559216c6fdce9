/* Calling a tool: arguments to the operation's input, the operation, progress while it works, and what came of it.
 *
 * A run that is begun is handed over where the surface can do that (another process, another thread), and followed: so nobody who stops
 * waiting stops the run. Where it cannot, the calling thread
 * carries it out. Who asked is written with origin "mcp": in a protected environment the operation then makes a request of it instead of
 * a change.
 * Threads: everything of a call is in its op. */
#include "base/clock.h"
#include "surface/mcp/inner.h"

struct calling {
	const struct mcp_session *session;
	const struct op *outer; /* the template: what it wants to be asked (hand_over, refusal_due) is called with its own user */
	struct op op;
	json_t *token; /* of progress; NULL: not asked for */
	int64_t told;  /* how many were sent: progress only grows */
};

static void send_progress(struct calling *calling, const char *message)
{
	json_t *notification;

	if (!calling->token || !calling->session->notify)
		return;
	notification = json_pack("{s:s, s:s, s:{s:O, s:I}}", "jsonrpc", "2.0", "method", "notifications/progress", "params",
		"progressToken", calling->token, "progress", (json_int_t)++calling->told);
	json_put_str(json_object_get(notification, "params"), "message", message);
	calling->session->notify(calling->session->user, notification);
	json_decref(notification);
}

static size_t steps_done(const struct run *run)
{
	size_t done = 0;

	for (size_t i = 0; i < run->plan->step_count; i++)
		done += run->steps[i].status == STEP_DONE;
	return done;
}

static void watch(void *user, const struct run *run, const struct entry *entry, const struct run_step *step, double share,
	const char *message)
{
	struct calling *calling = user;
	_cleanup_talloc_ char *text = NULL;

	(void)share;
	(void)message;
	if (!entry)
		return;
	text = step ? mem_printf(NULL, "%s: %s (%zu of %zu steps done)", step->step->id, step_status_name(step->status), steps_done(run),
			      run->plan->step_count)
		    : mem_printf(NULL, "%s: %s", run->id, run_status_name(run->status));
	send_progress(calling, text);
}

static void tell(void *user, const char *message)
{
	send_progress(user, message);
}

static int hand_over(void *user, const char *environment, const char *run_id, struct err *err)
{
	struct calling *calling = user;
	const struct mcp_session *session = calling->session;
	int r;

	r = calling->outer->hand_over(calling->outer->user, environment, run_id, err);
	if (r == 0)
		r = mcp_follow(&calling->op, run_id, session->wait_ms, session->abandoned, session->user, err);
	return r;
}

static bool refusal_due(void *user, const char *environment, const struct err *err, uint64_t *ret_count)
{
	const struct op *outer = ((struct calling *)user)->outer;

	return outer->refusal_due(outer->user, environment, err, ret_count);
}

static int call_operation(struct calling *calling, const struct mcp_tool *tool, json_t *arguments, json_t **ret, struct err *err)
{
	struct op *op = &calling->op;
	const char *path;
	json_t *input;
	int r;

	r = mcp_tool_input(op->ctx, calling->session, tool, arguments, &path, &input, err);
	if (r == 0)
		r = calling->session->project(calling->session->user, op, path, err);
	if (r == 0)
		r = operation_call(op, operation_find(tool->operation), input, ret, err);
	return r;
}

json_t *mcp_call(const struct mcp_session *session, const struct op *op, const struct mcp_tool *tool, json_t *arguments,
	json_t *progress_token)
{
	struct calling calling = { .session = session, .outer = op, .op = *op, .token = progress_token };
	struct err err = ERR_INIT;
	json_t *answer = NULL;
	int r;

	calling.op.origin = "mcp";
	calling.op.watch = watch;
	calling.op.tell = tell;
	calling.op.confirm = NULL;
	calling.op.interrupted = NULL;
	calling.op.hand_over = op->hand_over ? hand_over : NULL;
	calling.op.refusal_due = op->refusal_due ? refusal_due : NULL;
	calling.op.user = &calling;
	r = call_operation(&calling, tool, arguments ? arguments : json_make(op->ctx, "{}"), &answer, &err);
	return mcp_result(op->ctx, tool, answer, &err, r < 0);
}
