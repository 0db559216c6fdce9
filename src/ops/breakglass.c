/* Breaking the glass: for at most an hour somebody needs no approval in one environment. They say why, everybody who is told of
 * emergencies there is told at once, and until another person has looked at what was done
 * they cannot do it again. It closes by itself. */
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "ops/answers.h"
#include "ops/gate.h"
#include "ops/notify.h"
#include "ops/permit.h"
#include "ops/resources.h"

#define MINUTES_MAX 60

struct breakglass_params {
	const char *id, *environment, *reason, *note;
	int64_t minutes, limit;
};

static const struct field open_fields[] = { FIELD_NAME(struct breakglass_params, environment, REQUIRED, "environment"),
	FIELD_STR(struct breakglass_params, reason, REQUIRED, "why it cannot wait for somebody's approval"),
	FIELD_INT(struct breakglass_params, minutes, DEFAULT("30"), 1, MINUTES_MAX, "how long"), FIELD_END };

static const struct field list_fields[] = { FIELD_NAME(struct breakglass_params, environment, OPTIONAL, "only this environment"),
	FIELD_INT(struct breakglass_params, limit, DEFAULT("20"), 1, 10000, "how many, newest first"), FIELD_END };

static const struct field id_fields[] = { FIELD_STR(struct breakglass_params, id, REQUIRED, "break-glass, by id or its beginning"),
	FIELD_END };

static const struct field review_fields[] = { FIELD_STR(struct breakglass_params, id, REQUIRED, "break-glass, by id or its beginning"),
	FIELD_STR(struct breakglass_params, note, REQUIRED, "what was found"), FIELD_END };

static bool is_open(const struct breakglass_row *row, int64_t now_ms)
{
	return !row->closed_ms && !row->reviewed_ms && now_ms >= row->opened_ms && now_ms < row->until_ms;
}

static json_t *breakglass_json(const void *ctx, const struct breakglass_row *row)
{
	int64_t now_ms = clock_wall_ms(), closed_ms = row->closed_ms ? row->closed_ms : row->until_ms;
	json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s}", "id", row->id, "environment", row->environment, "openedBy",
		row->name, "reason", row->reason, "open", is_open(row, now_ms), "openedAt", clock_format(ctx, row->opened_ms), "until",
		clock_format(ctx, row->until_ms));

	if (!is_open(row, now_ms))
		json_put_str(object, "closedAt", clock_format(ctx, closed_ms));
	if (row->reviewed_ms) {
		json_put_str(object, "reviewedAt", clock_format(ctx, row->reviewed_ms));
		json_put_str(object, "reviewedBy", row->reviewer);
		json_put_str(object, "note", row->note);
	}
	return object;
}

int breakglass_open(struct op *op, const char *environment, const char **ret, struct err *err)
{
	struct breakglass_row *rows;
	size_t count;
	int r;

	*ret = NULL;
	r = store_breakglasses(op->workspace->store, op->ctx, op_person(op), environment, 1, &rows, &count, err);
	if (r == 0 && count && is_open(&rows[0], clock_wall_ms()) && access_permits(op->principal, PERMIT_EMERGENCY, environment))
		*ret = rows[0].id;
	return r;
}

static int find(struct op *op, const char *given, struct breakglass_row *ret, struct err *err)
{
	int r;

	*ret = (struct breakglass_row){ 0 };
	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_breakglass(op->workspace->store, op->ctx, given, ret, err);
	return op_found(op, r, "break-glass", given, ret->environment, err);
}

static int answer(struct op *op, const char *id, json_t **ret, struct err *err)
{
	struct breakglass_row row;
	int r;

	r = store_breakglass(op->workspace->store, op->ctx, id, &row, err);
	if (r == 0)
		*ret = json_keep(op->ctx, breakglass_json(op->ctx, &row));
	return r;
}

static int breakglass_begin(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct breakglass_params *p = params;
	const char *id = id_new(op->ctx, "bgl"), *until = clock_format(op->ctx, clock_wall_ms() + p->minutes * 60000);
	struct entry *entries = mem_array(op->ctx, struct entry, 1);
	struct environment *environment;
	size_t count = 1;
	int r;

	r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r < 0)
		return r;
	if (!*p->reason)
		return err_set(err, ERR_INVALID, "breaking the glass needs a reason: it is told to everybody");
	entries[0] = (struct entry){ .kind = ENTRY_BREAKGLASS_OPENED, .environment = environment->name, .actor = op->actor };
	entries[0].data = json_make(op->ctx, "{s:s, s:s, s:s, s:s}", "breakglass", id, "principal", op_person(op), "reason", p->reason,
		"until", until);
	json_put_str(entries[0].data, "origin", op->origin);
	notify_about(op->ctx, environment, "emergency", id, NULL, op->actor,
		mem_printf(op->ctx, "%s broke the glass in %s until %s and needs no approval there: %s", op->actor, environment->name,
			until, p->reason),
		NULL, &entries, &count);
	r = store_append_all(op->workspace->store, op->ctx, NULL, entries, count, err);
	if (r < 0)
		return r;
	notify_now(op, environment);
	return answer(op, id, ret, err);
}

static int breakglass_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct breakglass_params *p = params;
	json_t *list = json_keep(op->ctx, json_array());
	struct breakglass_row *rows;
	size_t count;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_breakglasses(op->workspace->store, op->ctx, NULL, p->environment, 0, &rows, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count && json_array_size(list) < (size_t)p->limit; i++)
		if (op_sees(op, rows[i].environment))
			json_array_append_new(list, breakglass_json(op->ctx, &rows[i]));
	*ret = json_make(op->ctx, "{s:O}", "breakglasses", list);
	return 0;
}

static int breakglass_close(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct breakglass_params *p = params;
	struct entry entry = { .kind = ENTRY_BREAKGLASS_CLOSED, .actor = op->actor };
	struct breakglass_row row;
	int r;

	r = find(op, p->id, &row, err);
	if (r < 0)
		return r;
	if (!is_open(&row, clock_wall_ms()))
		return err_set(err, ERR_INVALID, "%s is closed already", row.id);
	entry.environment = row.environment;
	entry.data = json_make(op->ctx, "{s:s}", "breakglass", row.id);
	r = store_append(op->workspace->store, op->ctx, &entry, err);
	return r < 0 ? r : answer(op, row.id, ret, err);
}

static int breakglass_review(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct breakglass_params *p = params;
	struct entry entry = { .kind = ENTRY_BREAKGLASS_REVIEWED, .actor = op->actor };
	struct breakglass_row row;
	int r;

	r = find(op, p->id, &row, err);
	if (r < 0)
		return r;
	if (!strcmp(row.principal, op_person(op))) {
		err_set(err, ERR_FORBIDDEN, "%s broke the glass: somebody else must look at what was done", row.name);
		return op_refused(op, row.environment, err);
	}
	if (row.reviewed_ms)
		return err_set(err, ERR_CONFLICT, "%s was reviewed already, by %s", row.id, row.reviewer);
	entry.environment = row.environment;
	entry.data = json_make(op->ctx, "{s:s, s:s, s:s}", "breakglass", row.id, "reviewer", op_person(op), "note", p->note);
	r = store_append(op->workspace->store, op->ctx, &entry, err);
	return r < 0 ? r : answer(op, row.id, ret, err);
}

OPERATION(op_breakglass_open, "breakglass.open", "POST", "/environments/{environment}/breakglass", PERMIT_EMERGENCY,
	"need no approval in an environment for a while; everybody is told", open_fields, struct breakglass_params, breakglass_begin,
	.answer = breakglass_shape, .creates = true);
OPERATION(op_breakglass_list, "breakglass.list", "GET", "/breakglass", PERMIT_VIEW, "who broke the glass, why, and who looked at it",
	list_fields, struct breakglass_params, breakglass_list, .answer = breakglass_list_shape);
OPERATION(op_breakglass_close, "breakglass.close", "POST", "/breakglass/{id}/close", PERMIT_EMERGENCY, "close one before its time",
	id_fields, struct breakglass_params, breakglass_close, .answer = breakglass_shape);
OPERATION(op_breakglass_review, "breakglass.review", "POST", "/breakglass/{id}/review", PERMIT_APPROVE,
	"say what was found when another person's break-glass was looked at", review_fields, struct breakglass_params, breakglass_review,
	.answer = breakglass_shape);
