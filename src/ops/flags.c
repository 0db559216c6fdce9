/* Feature flags of unship's own store: list, set, disable a group, restore, history. */
#include "ops/resources.h"

#include <string.h>

#include "base/clock.h"

struct flags_params {
	const char *environment, *group, *key, *state, *id, *reason;
	int64_t limit;
};

static const struct field list_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_STR(struct flags_params, group, OPTIONAL, "only the flags of this group"), FIELD_END };

static const struct field set_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_NAME(struct flags_params, key, REQUIRED, "key of the flag"),
	FIELD_STR(struct flags_params, state, REQUIRED, "true, false (on, off), or the name of a variant"),
	FIELD_STR(struct flags_params, group, OPTIONAL, "group to put the flag into"),
	FIELD_STR(struct flags_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field group_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_STR(struct flags_params, group, REQUIRED, "group whose flags are all set to false"),
	FIELD_STR(struct flags_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field restore_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_STR(struct flags_params, id, REQUIRED, "id of the change (see flags history) to take back"),
	FIELD_STR(struct flags_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field history_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_INT(struct flags_params, limit, DEFAULT("50"), 1, 10000, "how many, newest first"), FIELD_END };

static int flags_open(struct op *op, const struct flags_params *p, struct err *err)
{
	struct environment *environment;

	return workspace_environment(op->workspace, p->environment, &environment, err);
}

static int flags_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	struct flag_row *rows;
	size_t count;
	json_t *list;
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = store_flags(op->workspace->store, op->ctx, p->environment, p->group, &rows, &count, err);
	if (r < 0)
		return r;
	list = json_keep(op->ctx, json_array());
	for (size_t i = 0; i < count; i++) {
		json_t *flag = json_pack("{s:s, s:s}", "key", rows[i].key, "state", rows[i].state);

		json_put_str(flag, "group", rows[i].group);
		json_put_str(flag, "changedAt", clock_format(op->ctx, rows[i].changed_ms));
		json_put_str(flag, "changedBy", rows[i].changed_by);
		json_put_str(flag, "reason", rows[i].reason);
		json_array_append_new(list, flag);
	}
	*ret = json_make(op->ctx, "{s:s, s:O}", "environment", p->environment, "flags", list);
	return 0;
}

/* People write on and off as well. */
static const char *state_text(const char *state)
{
	if (!strcmp(state, "on"))
		return "true";
	if (!strcmp(state, "off"))
		return "false";
	return state;
}

static int flags_set(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	struct flag_row now;
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = store_flag_set(op->workspace->store, p->environment, p->key, p->group, state_text(p->state), op->actor, p->reason, NULL,
			err);
	if (r == 0)
		r = store_flag(op->workspace->store, op->ctx, p->environment, p->key, &now, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s, s:s, s:s*}", "environment", p->environment, "key", now.key, "state", now.state, "group",
		now.group);
	return 0;
}

static int flags_disable_group(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	int64_t begun = clock_mono_us();
	size_t count;
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = store_flags_disable_group(op->workspace->store, p->environment, p->group, op->actor, p->reason, &count, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s, s:I, s:I}", "environment", p->environment, "group", p->group, "disabled", (json_int_t)count,
		"durationMs", (json_int_t)((clock_mono_us() - begun) / 1000));
	return 0;
}

static int flags_restore(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = store_flag_restore(op->workspace->store, p->environment, p->id, op->actor, p->reason, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s}", "environment", p->environment, "restored", p->id);
	return 0;
}

static int flags_history(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	struct flag_change *rows;
	size_t count;
	json_t *list;
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = store_flag_history(op->workspace->store, op->ctx, p->environment, (size_t)p->limit, &rows, &count, err);
	if (r < 0)
		return r;
	list = json_keep(op->ctx, json_array());
	for (size_t i = 0; i < count; i++) {
		json_t *change = json_pack("{s:s, s:s, s:s, s:s*}", "id", rows[i].id, "feature_name", rows[i].feature_name,
			"previous_state", rows[i].previous_state, "new_state", rows[i].new_state);

		json_put_str(change, "rolled_back_at", clock_format(op->ctx, rows[i].rolled_back_ms));
		json_put_str(change, "rolled_back_by", rows[i].rolled_back_by);
		json_put_str(change, "reason", rows[i].reason);
		if (rows[i].restored_ms)
			json_put_str(change, "restored_at", clock_format(op->ctx, rows[i].restored_ms));
		json_array_append_new(list, change);
	}
	*ret = json_make(op->ctx, "{s:s, s:O}", "environment", p->environment, "changes", list);
	return 0;
}

OPERATION(op_flags_list, "flags.list", "GET", "/environments/{environment}/flags", PERMIT_VIEW, "flags and their states", list_fields,
	struct flags_params, flags_list);
OPERATION(op_flags_set, "flags.set", "PUT", "/environments/{environment}/flags/{key}", PERMIT_FLAGS, "set one flag, and read it back",
	set_fields, struct flags_params, flags_set);
OPERATION(op_flags_disable_group, "flags.disable-group", "POST", "/environments/{environment}/flags/disable-group", PERMIT_FLAGS,
	"set all flags of a group to false at once", group_fields, struct flags_params, flags_disable_group);
OPERATION(op_flags_restore, "flags.restore", "POST", "/environments/{environment}/flags/restore", PERMIT_FLAGS,
	"take one change of a flag back", restore_fields, struct flags_params, flags_restore);
OPERATION(op_flags_history, "flags.history", "GET", "/environments/{environment}/flags/history", PERMIT_VIEW,
	"changes of flags, newest first", history_fields, struct flags_params, flags_history);
