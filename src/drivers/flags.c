/* flags: feature flags of unship's own store. A flag that does not exist counts as "false". A state that a defined flag does not
 * know fails the call.
 *
 * What is wanted comes from the target: {flagKey, targetState}; {group, targetState}; {flags: {key: state}}; or a version whose states
 * capture kept when it was recorded (sourceDir).
 * Setting a flag is one journal entry that carries the run; setting it to what it is writes nothing, so repetition leaves no second
 * entry. After the change all are read back, and one
 * that does not report its new state fails the step.
 * The version of a group is a sum over its flags and their states. The store is opened here, in the driver's own process, for the length
 * of one call. */
#include "drivers/list.h"
#include "drivers/sandbox.h"

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"
#include "store/store.h"

#define CAPTURED     "flags.json"
#define CAPTURED_MAX (4u << 20)
#define ABSENT       "false"

struct flags_params {
	const char *group;
};

static const struct field flags_fields[] = {
	FIELD_STR(struct flags_params, group, OPTIONAL,
		"group of flags that this component stands for; all flags of the environment when missing"),
	FIELD_END,
};

static int open_store(struct driver_call *call, struct store **ret, struct err *err)
{
	if (!call->store)
		return err_set(err, ERR_INVALID, "request: 'store' is missing");
	return store_open(call->ctx, call->store, NULL, call->project_dir, ret, err);
}

/* The one flag that the call is about, or NULL when it is about many. */
static const char *one_flag(const struct driver_call *call)
{
	const char *key = json_str(call->target, "flagKey", NULL);

	if (key || json_object_get(call->target, "group") || json_object_get(call->target, "flags"))
		return key;
	return text_starts_with(call->name, "flag ") ? call->name + strlen("flag ")
						     : json_str(json_object_get(call->step, "parameters"), "flagKey", NULL);
}

static const char *group_of(const struct driver_call *call)
{
	const struct flags_params *p = call->params;

	return json_str(call->target, "group", p->group);
}

/* The states of the flags that `wanted` names; a flag that does not exist is null. Kept in the call's context. */
static int read_these(struct driver_call *call, struct store *store, json_t *wanted, json_t **ret, struct err *err)
{
	struct flag_row row;
	const char *key;
	json_t *member;

	*ret = json_keep(call->ctx, json_object());
	json_object_foreach(wanted, key, member) {
		struct err why = ERR_INIT;
		int r = store_flag(store, call->ctx, call->environment, key, &row, &why);

		if (r < 0 && r != -ERR_NOT_FOUND) {
			*err = why;
			return r;
		}
		(void)json_object_set_new(*ret, key, r < 0 ? json_null() : json_string(row.state));
	}
	return 0;
}

/* {key: state} of what the call is about. */
static int read_states(struct driver_call *call, struct store *store, json_t **ret, struct err *err)
{
	const char *key = one_flag(call);
	struct flag_row *rows;
	size_t count;
	int r;

	if (key)
		return read_these(call, store, json_make(call->ctx, "{s:n}", key), ret, err);
	*ret = json_keep(call->ctx, json_object());
	r = store_flags(store, call->ctx, call->environment, group_of(call), &rows, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		json_put_str(*ret, rows[i].key, rows[i].state);
	return r;
}

static int read_kept(struct driver_call *call, const char *dir, json_t **ret, struct err *err)
{
	json_t *kept;
	size_t size;
	char *text;
	int r;

	r = fs_read(call->ctx, fs_join(call->ctx, dir, CAPTURED), CAPTURED_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(call->ctx, text, size, CAPTURED_MAX, &kept, err);
	if (r < 0)
		return err_in(err, "kept flags");
	*ret = json_object_get(kept, "flags");
	return json_is_object(*ret) ? 0 : err_set(err, ERR_CORRUPT, "%s/" CAPTURED " holds no flags", dir);
}

/* {key: wanted state}, from the target. */
static int wanted_states(struct driver_call *call, struct store *store, json_t **ret, struct err *err)
{
	json_t *flags = json_object_get(call->target, "flags"), *target_state = json_object_get(call->target, "targetState"), *member;
	const char *state = target_state ? json_scalar_text(call->ctx, target_state) : NULL, *key;
	int r;

	if (json_is_object(flags)) {
		*ret = flags;
		return 0;
	}
	if (!state && call->source_dir)
		return read_kept(call, call->source_dir, ret, err);
	if (!state)
		return err_set(err, ERR_INVALID, "target: 'targetState' is missing, and no states were kept for this version");
	if (!one_flag(call) && !group_of(call))
		return err_set(err, ERR_INVALID, "target: 'flagKey' or 'group' is missing");
	r = read_states(call, store, &flags, err);
	if (r < 0)
		return r;
	*ret = json_keep(call->ctx, json_object());
	json_object_foreach(flags, key, member)
		json_put_str(*ret, key, state);
	return 0;
}

/* NULL when it is neither text nor number nor boolean. */
static const char *state_of(const void *ctx, json_t *states, const char *key)
{
	json_t *state = json_object_get(states, key);

	return state && !json_is_null(state) ? json_scalar_text(ctx, state) : ABSENT;
}

/* The first flag of `wanted` that is in another state, or NULL. */
static const char *first_difference(struct driver_call *call, json_t *wanted, json_t *states)
{
	const char *key, *a, *b;
	json_t *member;

	json_object_foreach(wanted, key, member) {
		a = state_of(call->ctx, wanted, key);
		b = state_of(call->ctx, states, key);
		if (!a || !b || strcmp(a, b) != 0)
			return key;
	}
	return NULL;
}

/* As compatibility rules read them: true and false as such, variants as text, what does not exist left out. */
static json_t *facts(const void *ctx, json_t *states)
{
	json_t *flags = json_keep(ctx, json_object()), *member;
	const char *key;

	json_object_foreach(states, key, member) {
		const char *state = json_string_value(member);

		if (state && (strcmp(state, "true") == 0 || strcmp(state, "false") == 0))
			json_put_flag(flags, key, strcmp(state, "true") == 0);
		else
			json_put_str(flags, key, state);
	}
	return json_make(ctx, "{s:O}", "flags", flags);
}

static int compare(struct driver_call *call, struct store *store, int *ret, struct err *err)
{
	struct err why = ERR_INIT;
	json_t *wanted, *states;
	int r = -ERR_NOT_FOUND;

	*ret = -1;
	if (call->target)
		r = wanted_states(call, store, &wanted, &why);
	else if (call->snapshot_dir)
		r = read_kept(call, call->snapshot_dir, &wanted, &why);
	if (r == -ERR_NOT_FOUND || r == -ERR_INVALID)
		return 0; /* only the versions can be compared */
	if (r < 0) {
		*err = why;
		return r;
	}
	r = read_these(call, store, wanted, &states, err);
	if (r == 0)
		*ret = first_difference(call, wanted, states) == NULL;
	return r;
}

static int flags_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	const char *key = one_flag(call), *canonical;
	char sum[HASH_HEX_SIZE];
	struct store *store;
	json_t *states;
	int r, there = -1;

	r = open_store(call, &store, err);
	if (r == 0)
		r = read_states(call, store, &states, err);
	if (r == 0)
		r = compare(call, store, &there, err);
	if (r < 0)
		return r;
	*ret = (struct observation){ .state = "present", .healthy = -1, .at_target = there, .details = facts(call->ctx, states) };
	if (key) {
		ret->state = json_is_null(json_object_get(states, key)) ? "absent" : "present";
		ret->version = state_of(call->ctx, states, key);
		return 0;
	}
	canonical = json_canonical(call->ctx, states);
	hash_blake2b_hex(canonical, strlen(canonical), sum);
	ret->version = mem_printf(call->ctx, "flags-%.12s", sum);
	return 0;
}

static int flags_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	struct err why = ERR_INIT;
	json_t *wanted, *states, *member;
	struct store *store;
	const char *key;
	int r;

	r = open_store(call, &store, err);
	if (r < 0 || !call->target)
		return r;
	r = wanted_states(call, store, &wanted, &why);
	findings_add(ret, "artefact_available", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
		r < 0 ? why.text : "the states of the flags are known");
	if (r < 0)
		return 0;
	r = read_these(call, store, wanted, &states, err);
	if (r < 0)
		return r;
	json_object_foreach(states, key, member)
		if (json_is_null(member))
			findings_add(ret, "flag_known", false, SEVERITY_INFO, call->name, NULL,
				"flag '%s' does not exist yet and will be made", key);
	return 0;
}

static int flags_capture(struct driver_call *call, struct err *err)
{
	char *path = fs_join(call->ctx, call->snapshot_dir, CAPTURED), *text;
	struct store *store;
	json_t *states;
	int r;

	if (fs_exists(path))
		return 0;
	r = open_store(call, &store, err);
	if (r == 0)
		r = read_states(call, store, &states, err);
	if (r < 0)
		return r;
	text = json_pretty(call->ctx, json_make(call->ctx, "{s:s, s:O}", "environment", call->environment, "flags", states));
	return fs_write_atomic(path, text, strlen(text), 0600, err);
}

/* Sets what differs, then reads all back. */
static int set_states(struct driver_call *call, struct store *store, json_t *wanted, struct err *err)
{
	const char *key, *state, *now, *different;
	json_t *states, *member;
	int r;

	r = read_these(call, store, wanted, &states, err);
	if (r < 0)
		return r;
	json_object_foreach(wanted, key, member) {
		bool is_new = json_is_null(json_object_get(states, key));

		state = state_of(call->ctx, wanted, key);
		now = state_of(call->ctx, states, key);
		if (!state)
			return err_set(err, ERR_INVALID, "flag '%s': a state is true, false, or the name of a variant", key);
		/* A new one is made even when it is to be off; one that was captured as absent is not. */
		if (strcmp(state, now) == 0 && (!is_new || json_is_null(member)))
			continue;
		r = store_flag_set(store, call->environment, key, is_new ? group_of(call) : NULL, state,
			call->actor ? call->actor : "unship", call->reason ? call->reason : "rollback", call->run_id, err);
		if (r < 0)
			return err_in(err, "flag '%s'", key);
		FAILPOINT("flags.set");
		call_log(call, LOG_INFO, "flag '%s': %s -> %s", key, now, state);
	}
	r = read_these(call, store, wanted, &states, err);
	if (r < 0)
		return err_in(err, "reading back");
	different = first_difference(call, wanted, states);
	if (different)
		return err_set(err, ERR_FAILED, "flag '%s' was set to '%s' but reports '%s'", different,
			state_of(call->ctx, wanted, different), state_of(call->ctx, states, different));
	return 0;
}

static int flags_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	const char *key = one_flag(call);
	json_t *wanted, *before;
	struct store *store;
	int r;

	r = open_store(call, &store, err);
	if (r == 0)
		r = wanted_states(call, store, &wanted, err);
	if (r == 0)
		r = read_these(call, store, wanted, &before, err);
	if (r == 0)
		r = set_states(call, store, wanted, err);
	if (r < 0)
		return r;
	if (key) {
		json_put_str(ret_outputs, "previousState", state_of(call->ctx, before, key));
		json_put_str(ret_outputs, "state", state_of(call->ctx, wanted, key));
	}
	return 0;
}

static int flags_undo(struct driver_call *call, struct err *err)
{
	struct store *store;
	json_t *wanted;
	int r;

	r = read_kept(call, call->snapshot_dir, &wanted, err);
	if (r == 0)
		r = open_store(call, &store, err);
	return r < 0 ? r : set_states(call, store, wanted, err);
}

/* Definitions and states go into the store of the copy. */
static int flags_sandbox(struct driver_call *call, json_t **ret_config, struct err *err)
{
	struct driver_call there = sandbox_call(call, call->params);
	const char *actor = call->actor ? call->actor : "unship", *reason = "copied for a rehearsal";
	struct store *real, *copy;
	struct flag_row *rows;
	size_t count;
	int r;

	r = fs_mkdirs(there.state_dir, 0700, err);
	if (r == 0)
		r = open_store(call, &real, err);
	if (r == 0)
		r = open_store(&there, &copy, err);
	if (r == 0)
		r = store_flags(real, call->ctx, call->environment, group_of(call), &rows, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct flag_state state;
		struct flag *flag;

		if (rows[i].definition) {
			r = store_flag_read(call->ctx, &rows[i], &flag, &state, err);
			if (r == 0)
				r = store_flag_define(copy, call->environment, flag, actor, reason, err);
		}
		if (r == 0)
			r = store_flag_set(copy, call->environment, rows[i].key, rows[i].group, rows[i].state, actor, reason, NULL, err);
		if (r < 0)
			return err_in(err, "flag '%s'", rows[i].key);
	}
	*ret_config = sandbox_config(call, NULL, NULL);
	sandbox_override(call, *ret_config);
	return r;
}

const struct driver driver_flags = {
	.name = "flags",
	.summary = "feature flags of unship's own store",
	.kind = DRIVER_FLAGS,
	.fields = flags_fields,
	.params_size = sizeof(struct flags_params),
	.keeps = true,
	.observe = flags_observe,
	.apply = flags_apply,
	.check = flags_check,
	.capture = flags_capture,
	.undo = flags_undo,
	.sandbox = flags_sandbox,
};
