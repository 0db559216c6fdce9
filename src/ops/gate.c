/* The gate before the first change. See gate.h.
 * The same request twice is one request: a pipeline that tries again waits for the same people, and when they have approved meanwhile,
 * goes on.
 * Threads: as the op. */
#include "ops/gate.h"

#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "ops/notify.h"
#include "ops/permit.h"

int64_t approvals_required(const struct environment *environment, permissions needs, bool by_machine)
{
	const struct approval_rule *rule = &environment->approvals;

	if (rule->required > 0 && (rule->permissions & needs))
		return rule->required;
	/* A protected environment: what overrides findings is looked at by another person, and so is what a machine asks for on
	 * somebody's behalf. */
	if (environment->protected && (by_machine || (needs & PERMISSION_BIT(PERMIT_FORCE))))
		return 1;
	return 0;
}

static permissions needs_of(const struct op *op)
{
	permissions needs = PERMISSION_BIT(op->operation->permission);

	return op->forced ? needs | PERMISSION_BIT(PERMIT_FORCE) : needs;
}

static bool is_machine(const struct op *op)
{
	return op->origin && !strcmp(op->origin, "mcp") && op->operation->destructive;
}

/* What the approvers will see of it: the answer so far without what only helps to choose. */
static json_t *shown_of(struct op *op, json_t *shown)
{
	json_t *copy = json_keep(op->ctx, shown ? json_copy(shown) : json_object());

	json_object_del(copy, "candidates");
	json_object_del(copy, "observed");
	json_object_del(copy, "dryRun");
	return copy;
}

/* An open request of the same person for the same thing in the same state. */
static int find_same(struct op *op, const struct environment *environment, const char *hash, struct approval **ret, struct err *err)
{
	struct approval **list;
	int64_t now_ms = clock_wall_ms();
	size_t count;
	int r;

	*ret = NULL;
	r = store_approvals(op->workspace->store, op->ctx, environment->name, true, 0, &list, &count, err);
	for (size_t i = 0; r == 0 && i < count && !*ret; i++) {
		enum approval_status status = approval_status_at(list[i], now_ms);

		if ((status == APPROVAL_PENDING || status == APPROVAL_APPROVED) && !strcmp(list[i]->operation, op->operation->name) &&
			!strcmp(list[i]->requester_id, op_person(op)) && list[i]->plan_hash && !strcmp(list[i]->plan_hash, hash) &&
			list[i]->needs == needs_of(op) && json_equal(list[i]->input, op->input))
			*ret = list[i];
	}
	return r;
}

static int request(struct op *op, const struct environment *environment, const char *hash, json_t *shown, const char *reason,
	int64_t required, struct approval **ret, struct err *err)
{
	const char *id = id_new(op->ctx, "apr"),
		   *people = required == 1 ? "another person" : mem_printf(op->ctx, "%lld other people", (long long)required);
	struct entry *entries = mem_array(op->ctx, struct entry, 1);
	size_t count = 1;
	int r;

	entries[0] = (struct entry){ .kind = ENTRY_APPROVAL_REQUESTED, .environment = environment->name, .actor = op->actor };
	entries[0].data = json_make(op->ctx, "{s:s, s:s, s:s, s:O, s:s, s:O, s:o, s:I, s:I}", "approval", id, "operation",
		op->operation->name, "principal", op_person(op), "input", op->input, "planHash", hash, "shown", shown_of(op, shown),
		"needs", permissions_json(needs_of(op)), "required", (json_int_t)required, "ttlMs",
		(json_int_t)environment->approvals.expires_ms);
	json_put_str(entries[0].data, "reason", reason);
	json_put_str(entries[0].data, "byWayOf", is_machine(op) ? op->origin : NULL);
	notify_about(op->ctx, environment, "approval", id, NULL, op->actor,
		mem_printf(op->ctx, "%s asks for %s in %s and waits for %s: %s (unship approve %s)", op->actor, op->operation->name,
			environment->name, people, reason ? reason : "", id),
		NULL, &entries, &count);
	r = store_append_all(op->workspace->store, op->ctx, NULL, entries, count, err);
	if (r == 0)
		r = store_approval(op->workspace->store, op->ctx, id, ret, err);
	if (r == 0)
		notify_now(op, environment);
	return r;
}

int op_gate(struct op *op, const struct environment *environment, const char *hash, json_t *shown, const char *reason, json_t **ret,
	struct err *err)
{
	int64_t required = approvals_required(environment, needs_of(op), is_machine(op));
	struct approval *approval = NULL;
	int r;

	if (op->approval && (!op->approval->plan_hash || strcmp(op->approval->plan_hash, hash) != 0))
		return err_set(err, ERR_CHANGED,
			"state or target changed since %s was asked for: what was approved is not what would be done now",
			op->approval->id);
	if (op->approval || required == 0)
		return 0;
	/* A person broke the glass, and answers for what they do; not for what a machine does in their name. */
	if (!is_machine(op)) {
		r = breakglass_open(op, environment->name, &op->breakglass, err);
		if (r < 0 || op->breakglass)
			return r;
	}
	r = find_same(op, environment, hash, &approval, err);
	if (r == 0 && !approval)
		r = request(op, environment, hash, shown, reason, required, &approval, err);
	if (r < 0)
		return err_in(err, "asking for an approval");
	if (approval_status_at(approval, clock_wall_ms()) == APPROVAL_APPROVED) {
		op->approval = approval;
		return 0;
	}
	*ret = json_make(op->ctx, "{s:s, s:s, s:o}", "environment", environment->name, "waitsFor", "approval", "approval",
		approval_json(op->ctx, approval, clock_wall_ms()));
	return 1;
}

void gate_use(struct op *op, const struct environment *environment, const char *run_id, json_t *data, struct entry *entries, size_t *count)
{
	json_put_str(data, "requester", op_person(op));
	json_put_str(data, "breakglass", op->breakglass);
	if (!op->approval)
		return;
	json_put_str(data, "approval", op->approval->id);
	entries[(*count)++] = (struct entry){ .kind = ENTRY_APPROVAL_USED,
		.environment = environment->name,
		.actor = op->actor,
		.data = json_make(op->ctx, "{s:s, s:s}", "approval", op->approval->id, "run", run_id) };
}
