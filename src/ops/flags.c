/* Feature flags of unship's own store: define, show, set, evaluate, disable a group, restore, history, remove. What a flag is for somebody
 * is decided in core/flag.c; a server answers the same question for applications from memory (surface/http/ofrep.c). */
#include "ops/document.h"
#include "ops/page.h"
#include "ops/resources.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define HISTORY_LOOKED 10000

struct flags_params {
	const char *environment, *group, *key, *state, *id, *reason, *file;
	json_t *definition, *context;
	const char *cursor;
	int64_t limit;
	bool new_variant;
};

static const struct field list_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_STR(struct flags_params, group, OPTIONAL, "only the flags of this group"), FIELD_END };

static const struct field set_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_NAME(struct flags_params, key, REQUIRED, "key of the flag"),
	FIELD_STR(struct flags_params, state, REQUIRED, "true, false (on, off), or the name of a variant"),
	FIELD_STR(struct flags_params, group, OPTIONAL, "group to put the flag into"),
	FIELD_BOOL(struct flags_params, new_variant, DEFAULT("false"), "the state is one that this flag never had, and is meant"),
	FIELD_STR(struct flags_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field group_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_STR(struct flags_params, group, REQUIRED, "group whose flags are all set to false"),
	FIELD_STR(struct flags_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field restore_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_STR(struct flags_params, id, REQUIRED, "id of the change (see flags history) to take back"),
	FIELD_STR(struct flags_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field history_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_INT(struct flags_params, limit, DEFAULT("50"), 1, 10000, "how many, newest first"), FIELD_CURSOR(struct flags_params, cursor),
	FIELD_END };

static const struct field define_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_NAME(struct flags_params, key, REQUIRED, "key of the flag"),
	FIELD_PATH_OR(struct flags_params, file, OPTIONAL, definition, "file with the definition, YAML or JSON"),
	FIELD_MAP(struct flags_params, definition, OPTIONAL,
		"the definition itself: {type, variants, defaultVariant, offVariant, rules, ...}"),
	FIELD_STR(struct flags_params, reason, OPTIONAL, "why"), FIELD_END };

static const struct field show_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_NAME(struct flags_params, key, REQUIRED, "key of the flag"), FIELD_END };

static const struct field remove_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_NAME(struct flags_params, key, REQUIRED, "key of the flag"), FIELD_STR(struct flags_params, reason, OPTIONAL, "why"),
	FIELD_END };

static const struct field evaluate_fields[] = { FIELD_NAME(struct flags_params, environment, REQUIRED, "environment"),
	FIELD_NAME(struct flags_params, key, REQUIRED, "key of the flag"),
	FIELD_JSON(struct flags_params, context, OPTIONAL,
		"who asks: an object, or its text: {\"targetingKey\": \"ana\", \"plan\": \"pro\"}"),
	FIELD_END };

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

static bool is_listed(const char *const *list, const char *word)
{
	for (; *list; list++)
		if (!strcmp(*list, word))
			return true;
	return false;
}

/* A flag that is defined knows its variants, and the store refuses others. One that is not has no list: the states that it had are the
 * known ones. A state that it never had is more often a slip of the fingers than a new variant, and code that asks for the flag would meet
 * a value that it does not know. */
static int check_state(struct op *op, const struct flags_params *p, const char *state, struct err *err)
{
	const char **known, *nearest;
	struct flag_change *rows;
	char *list = mem_strdup(op->ctx, "on, off");
	struct err absent = ERR_INIT;
	size_t count, used = 0;
	struct flag_row row;
	int r;

	if (p->new_variant || !strcmp(state, "true") || !strcmp(state, "false"))
		return 0;
	if (store_flag(op->workspace->store, op->ctx, p->environment, p->key, &row, &absent) == 0 && row.definition)
		return 0;
	r = store_flag_history(op->workspace->store, op->ctx, p->environment, HISTORY_LOOKED, &rows, &count, err);
	if (r < 0)
		return r;
	known = mem_array(op->ctx, const char *, count * 2 + 5);
	known[used++] = "on";
	known[used++] = "off";
	known[used++] = "true";
	known[used++] = "false";
	for (size_t i = 0; i < count * 2; i++) {
		const char *had = i % 2 ? rows[i / 2].previous_state : rows[i / 2].new_state;

		if (strcmp(rows[i / 2].feature_name, p->key) != 0 || !had || !*had || is_listed(known, had))
			continue;
		known[used++] = had;
		list = mem_appendf(list, ", %s", had);
	}
	if (is_listed(known, state))
		return 0;
	nearest = text_nearest(state, known);
	return err_set(err, ERR_INVALID, "flag '%s' never had the state '%s'%s%s%s; it knows %s; a new variant is set with --new-variant",
		p->key, state, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "", list);
}

static int flags_set(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	struct flag_row now;
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = check_state(op, p, state_text(p->state), err);
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
	struct page page;
	size_t count;
	json_t *list;
	bool more;
	int r;

	r = page_read(p->cursor, p->limit, &page, err);
	if (r == 0)
		r = flags_open(op, p, err);
	if (r == 0)
		r = store_flag_history_page(op->workspace->store, op->ctx, p->environment, page, &rows, &count, err);
	if (r < 0)
		return r;
	count = page_cut(&page, count, &more);
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
	page_next(*ret, more, more ? rows[count - 1].seq : 0);
	return 0;
}

static int read_definition(struct op *op, const struct flags_params *p, struct flag **ret, struct err *err)
{
	struct problems *problems;
	struct doc *doc;
	int r;

	r = document_read(op->ctx, p->file, p->definition, "definition", &doc, err);
	if (r < 0)
		return r;
	problems = problems_new(op->ctx, doc);
	*ret = flag_read(op->ctx, p->key, doc, problems);
	return problems_result(problems, err);
}

static int flags_define(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	struct flag_row now;
	struct flag *flag;
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = read_definition(op, p, &flag, err);
	if (r == 0)
		r = store_flag_define(op->workspace->store, p->environment, flag, op->actor, p->reason, err);
	if (r == 0)
		r = store_flag(op->workspace->store, op->ctx, p->environment, p->key, &now, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s, s:s, s:s*}", "environment", p->environment, "key", now.key, "state", now.state, "group",
		now.group);
	return 0;
}

/* The flag, its row, and how it stands. */
static int read_one(struct op *op, const struct flags_params *p, struct flag_row *ret_row, struct flag **ret, struct flag_state *ret_state,
	struct err *err)
{
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = store_flag(op->workspace->store, op->ctx, p->environment, p->key, ret_row, err);
	return r < 0 ? r : store_flag_read(op->ctx, ret_row, ret, ret_state, err);
}

static int flags_show(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	struct flag_state state;
	struct flag_row row;
	struct flag *flag;
	int r;

	r = read_one(op, p, &row, &flag, &state, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s, s:s, s:s*, s:b, s:o}", "environment", p->environment, "key", row.key, "state", row.state,
		"group", row.group, "defined", row.definition != NULL, "definition", flag_json(flag));
	json_put_str(*ret, "changedAt", clock_format(op->ctx, row.changed_ms));
	json_put_str(*ret, "changedBy", row.changed_by);
	json_put_str(*ret, "reason", row.reason);
	return 0;
}

static int flags_remove(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	int r;

	r = flags_open(op, p, err);
	if (r == 0)
		r = store_flag_remove(op->workspace->store, p->environment, p->key, op->actor, p->reason, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s}", "environment", p->environment, "removed", p->key);
	return 0;
}

/* The command line has no objects: there the context is the text of one. */
static int read_context(struct op *op, json_t *given, json_t **ret, struct err *err)
{
	int r = 0;

	*ret = given;
	if (json_is_string(given))
		r = json_parse(op->ctx, json_string_value(given), json_string_length(given), FLAG_SIZE_MAX, ret, err);
	if (r < 0)
		return err_in(err, "context");
	if (*ret && !json_is_null(*ret) && !json_is_object(*ret))
		return err_set(err, ERR_INVALID, "context: expected an object: {\"targetingKey\": \"ana\", \"plan\": \"pro\"}");
	return 0;
}

static int flags_evaluate(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct flags_params *p = params;
	struct flag_result result;
	struct flag_state state;
	struct flag_row row;
	struct flag *flag;
	json_t *context;
	int r;

	r = read_context(op, p->context, &context, err);
	if (r == 0)
		r = read_one(op, p, &row, &flag, &state, err);
	if (r < 0)
		return r;
	result = flag_evaluate(flag, state, context);
	if (result.reason == FLAG_ERROR)
		return err_set(err, ERR_INVALID, "flag '%s' is shared out by targetingKey, and the context has none", p->key);
	*ret = json_make(op->ctx, "{s:s, s:s, s:O, s:s, s:s, s:s}", "environment", p->environment, "key", row.key, "value",
		result.variant->value, "variant", result.variant->name, "reason", flag_reason_name(result.reason), "type",
		flag_type_names[flag->type]);
	return 0;
}

static const struct shape row_shape[] = { SHAPE_STR("key", ALWAYS, "key of the flag"),
	SHAPE_STR("state", ALWAYS, "true, false, or the name of a variant"), SHAPE_STR("group", SOMETIMES, "group that it belongs to"),
	SHAPE_TIME("changedAt", ALWAYS, "when its state was last changed"), SHAPE_STR("changedBy", SOMETIMES, "by whom"),
	SHAPE_STR("reason", SOMETIMES, "why"), SHAPE_END };

static const struct shape list_shape[] = { SHAPE_STR("environment", ALWAYS, "environment"),
	SHAPE_LIST("flags", ALWAYS, row_shape, "its flags, by key"), SHAPE_END };

static const struct shape set_shape[] = { SHAPE_STR("environment", ALWAYS, "environment"), SHAPE_STR("key", ALWAYS, "key of the flag"),
	SHAPE_STR("state", ALWAYS, "how it stands, as read back"), SHAPE_STR("group", SOMETIMES, "group that it belongs to"), SHAPE_END };

static const struct shape show_shape[] = { SHAPE_STR("environment", ALWAYS, "environment"), SHAPE_STR("key", ALWAYS, "key of the flag"),
	SHAPE_STR("state", ALWAYS, "true, false, or the name of a variant"), SHAPE_STR("group", SOMETIMES, "group that it belongs to"),
	SHAPE_BOOL("defined", ALWAYS, "false: it was set and never defined; the definition is what that means"),
	SHAPE_ANY("definition", ALWAYS, "type, variants, defaultVariant, offVariant, rules"),
	SHAPE_TIME("changedAt", ALWAYS, "when its state was last changed"), SHAPE_STR("changedBy", SOMETIMES, "by whom"),
	SHAPE_STR("reason", SOMETIMES, "why"), SHAPE_END };

static const struct shape evaluate_shape[] = { SHAPE_STR("environment", ALWAYS, "environment"), SHAPE_STR("key", ALWAYS, "key of the flag"),
	SHAPE_ANY("value", ALWAYS, "what the application gets"), SHAPE_STR("variant", ALWAYS, "name of that value"),
	SHAPE_CHOICE("reason", ALWAYS, "STATIC|TARGETING_MATCH|SPLIT|DEFAULT|DISABLED", "why this one"),
	SHAPE_CHOICE("type", ALWAYS, "boolean|string|number|object", "type of the flag"), SHAPE_END };

static const struct shape group_shape[] = { SHAPE_STR("environment", ALWAYS, "environment"), SHAPE_STR("group", ALWAYS, "the group"),
	SHAPE_INT("disabled", ALWAYS, "flags that were not off before"), SHAPE_INT("durationMs", ALWAYS, "how long it took"), SHAPE_END };

static const struct shape restore_shape[] = { SHAPE_STR("environment", ALWAYS, "environment"),
	SHAPE_STR("restored", ALWAYS, "the change that was taken back"), SHAPE_END };

static const struct shape remove_shape[] = { SHAPE_STR("environment", ALWAYS, "environment"),
	SHAPE_STR("removed", ALWAYS, "key of the flag"), SHAPE_END };

static const struct shape change_shape[] = { SHAPE_STR("id", ALWAYS, "id of the change"),
	SHAPE_STR("feature_name", ALWAYS, "key of the flag"), SHAPE_STR("previous_state", ALWAYS, "empty: it did not exist"),
	SHAPE_STR("new_state", ALWAYS, "state after the change"), SHAPE_TIME("rolled_back_at", ALWAYS, "when"),
	SHAPE_STR("rolled_back_by", ALWAYS, "by whom"), SHAPE_STR("reason", SOMETIMES, "why"),
	SHAPE_TIME("restored_at", SOMETIMES, "when it was taken back"), SHAPE_END };

static const struct shape history_shape[] = { SHAPE_STR("environment", ALWAYS, "environment"),
	SHAPE_LIST("changes", ALWAYS, change_shape, "newest first"), SHAPE_NEXT, SHAPE_END };

OPERATION(op_flags_list, "flags.list", "GET", "/environments/{environment}/flags", PERMIT_VIEW, "flags and their states", list_fields,
	struct flags_params, flags_list, .answer = list_shape);
OPERATION(op_flags_set, "flags.set", "PUT", "/environments/{environment}/flags/{key}", PERMIT_FLAGS, "set one flag, and read it back",
	set_fields, struct flags_params, flags_set, .answer = set_shape, .idempotent = true);
OPERATION(op_flags_disable_group, "flags.disable-group", "POST", "/environments/{environment}/flags/disable-group", PERMIT_FLAGS,
	"set all flags of a group to false at once", group_fields, struct flags_params, flags_disable_group, .answer = group_shape,
	.idempotent = true);
OPERATION(op_flags_restore, "flags.restore", "POST", "/environments/{environment}/flags/restore", PERMIT_FLAGS,
	"take one change of a flag back", restore_fields, struct flags_params, flags_restore, .answer = restore_shape, .idempotent = true);
OPERATION(op_flags_history, "flags.history", "GET", "/environments/{environment}/flags/history", PERMIT_VIEW,
	"changes of flags, newest first", history_fields, struct flags_params, flags_history, .answer = history_shape);
OPERATION(op_flags_define, "flags.define", "PUT", "/environments/{environment}/flags/{key}/definition", PERMIT_FLAGS,
	"define a flag: type, variants, rules; a new one is off", define_fields, struct flags_params, flags_define, .answer = set_shape,
	.idempotent = true);
OPERATION(op_flags_show, "flags.show", "GET", "/environments/{environment}/flags/{key}", PERMIT_VIEW, "one flag and its definition",
	show_fields, struct flags_params, flags_show, .answer = show_shape);
OPERATION(op_flags_remove, "flags.remove", "DELETE", "/environments/{environment}/flags/{key}", PERMIT_FLAGS,
	"remove a flag and its definition; its history stays", remove_fields, struct flags_params, flags_remove, .answer = remove_shape,
	.destructive = true);
OPERATION(op_flags_evaluate, "flags.evaluate", "POST", "/environments/{environment}/flags/{key}/evaluate", PERMIT_VIEW,
	"what a flag is for somebody, and why", evaluate_fields, struct flags_params, flags_evaluate, .answer = evaluate_shape,
	.idempotent = true);
