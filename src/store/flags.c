/* Feature flags of unship's own store: one state per environment and key, its definition if it has one, and the history of changes in
 * the column names of feature_rollbacks. A state that a flag's definition does not know cannot be set, whoever sets it.
 * A change reads the present state and appends in one transaction, so `previous` is right whoever else changes flags. Threads: as the
 * store. */
#include "store/internal.h"

#include "base/clock.h"
#include "base/text.h"

#define FLAG_COLUMNS   "flag_key, flag_group, state, changed_ms, changed_by, reason"
#define ROW_COLUMNS    FLAG_COLUMNS ", definition"
#define CHANGE_COLUMNS "id, feature_name, previous_state, new_state, reason, rolled_back_by, rolled_back_at, restored_at, seq"

static int read_flag(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	struct flag_row *row = ret;

	*row = (struct flag_row){
		.key = mem_strdup(ctx, columns[0].text),
		.group = mem_strdup(ctx, columns[1].text),
		.state = mem_strdup(ctx, columns[2].text),
		.changed_ms = columns[3].integer,
		.changed_by = mem_strdup(ctx, columns[4].text),
		.reason = mem_strdup(ctx, columns[5].text),
	};
	return column_json(ctx, &columns[6], &row->definition, err);
}

static int read_change(const void *ctx, const struct sql_value *columns, void *ret, unused_arg struct err *err)
{
	*(struct flag_change *)ret = (struct flag_change){
		.id = mem_strdup(ctx, columns[0].text),
		.feature_name = mem_strdup(ctx, columns[1].text),
		.previous_state = mem_strdup(ctx, columns[2].text),
		.new_state = mem_strdup(ctx, columns[3].text),
		.reason = mem_strdup(ctx, columns[4].text),
		.rolled_back_by = mem_strdup(ctx, columns[5].text),
		.rolled_back_ms = columns[6].integer,
		.restored_ms = columns[7].type == SQL_INT ? columns[7].integer : 0,
		.seq = columns[8].integer,
	};
	return 0;
}

static int find_flag(struct store *store, const void *ctx, const char *environment, const char *key, struct flag_row *ret, bool *found,
	struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_flag };
	int r;

	r = sql_each(store->sql, err, single_row, &single, "SELECT " ROW_COLUMNS " FROM flags WHERE environment = $1 AND flag_key = $2",
		SQL_T(environment), SQL_T(key));
	if (r < 0)
		return r;
	*found = single.found;
	return 0;
}

static int write_flag(struct handle *handle, const struct entry *entry, const char *key, const char *group, const char *state,
	struct err *err)
{
	return sql_do(handle->store.sql, err,
		"INSERT INTO flags (environment, " FLAG_COLUMNS
		") VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (environment, flag_key) DO UPDATE SET"
		" flag_group = $3, state = $4, changed_ms = $5, changed_by = $6, reason = $7",
		SQL_T(entry->environment), SQL_T(key), SQL_T(group), SQL_T(state), SQL_I(entry->wall_ms), SQL_T(entry->actor),
		SQL_T(json_str(entry->data, "reason", NULL)));
}

static int read_flag_entry(struct handle *handle, const void *ctx, const struct entry *entry, const char **key, const char **state,
	struct flag_row *before, bool *found, struct err *err)
{
	int r;

	if (!entry->environment)
		return err_set(err, ERR_INVALID, "%s: the environment is missing", entry->kind);
	r = entry_need(entry, "flag", key, err);
	if (r == 0)
		r = entry_need(entry, "state", state, err);
	if (r == 0)
		r = find_flag(&handle->store, ctx, entry->environment, *key, before, found, err);
	return r;
}

int fold_flag_set(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	const char *key, *state;
	struct flag_row before = { 0 };
	bool found;
	int r;

	r = read_flag_entry(handle, ctx, entry, &key, &state, &before, &found, err);
	if (r == 0)
		r = write_flag(handle, entry, key, json_str(entry->data, "group", before.group), state, err);
	if (r < 0 || (found && !strcmp(before.state, state)))
		return r; /* only the group was changed */
	return sql_do(handle->store.sql, err,
		"INSERT INTO feature_rollbacks (id, environment, feature_name, rolled_back_at, previous_state, new_state, reason, rolled_back_by, seq)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		SQL_T(entry->id), SQL_T(entry->environment), SQL_T(key), SQL_I(entry->wall_ms), SQL_T(found ? before.state : ""),
		SQL_T(state), SQL_T(json_str(entry->data, "reason", NULL)), SQL_T(entry->actor ? entry->actor : ""), SQL_I(entry->seq));
}

int fold_flag_restored(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	const char *key, *state, *change;
	struct flag_row before = { 0 };
	bool found;
	int r;

	r = read_flag_entry(handle, ctx, entry, &key, &state, &before, &found, err);
	if (r == 0)
		r = entry_need(entry, "change", &change, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "UPDATE feature_rollbacks SET restored_at = $2 WHERE id = $1", SQL_T(change),
			SQL_I(entry->wall_ms));
	if (r == 0 && handle->store.sql->ops->changes(handle->store.sql) == 0)
		return err_set(err, ERR_INVALID, "%s: there is no change '%s'", entry->kind, change);
	return r < 0 ? r : write_flag(handle, entry, key, before.group, state, err);
}

int fold_flag_defined(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	json_t *definition = json_object_get(entry->data, "definition");
	const char *key;
	int r;

	if (!entry->environment || !json_is_object(definition))
		return err_set(err, ERR_INVALID, "%s: the environment or the definition is missing", entry->kind);
	r = entry_need(entry, "flag", &key, err);
	if (r < 0)
		return r;
	return sql_do(handle->store.sql, err,
		"INSERT INTO flags (environment, " ROW_COLUMNS ") VALUES ($1, $2, $3, 'false', $4, $5, $6, $7)"
		" ON CONFLICT (environment, flag_key) DO UPDATE SET flag_group = COALESCE($3, flags.flag_group), definition = $7",
		SQL_T(entry->environment), SQL_T(key), SQL_T(json_str(entry->data, "group", NULL)), SQL_I(entry->wall_ms),
		SQL_T(entry->actor), SQL_T(json_str(entry->data, "reason", NULL)), SQL_T(json_canonical(ctx, definition)));
}

int fold_flag_removed(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	struct sql *sql = handle->store.sql;
	const char *key;
	int r;

	r = entry_need(entry, "flag", &key, err);
	if (r == 0)
		r = sql_do(sql, err, "DELETE FROM flags WHERE environment = $1 AND flag_key = $2", SQL_T(entry->environment), SQL_T(key));
	if (r == 0 && sql->ops->changes(sql) == 0)
		return err_set(err, ERR_INVALID, "%s: there is no flag '%s'", entry->kind, key);
	return r;
}

int store_flag_read(const void *ctx, const struct flag_row *row, struct flag **ret, struct flag_state *ret_state, struct err *err)
{
	struct problems *problems;

	if (!row->definition) {
		*ret = flag_plain(ctx, row->key, row->group, row->state);
		return flag_state_parse(*ret, row->state, ret_state, err);
	}
	problems = problems_new(ctx, NULL);
	*ret = flag_read(ctx, row->key, doc_wrap(ctx, row->key, row->definition), problems);
	if (problems_result(problems, err) < 0) {
		(void)err_as(err, ERR_CORRUPT);
		return err_in(err, "definition of flag '%s' in the store", row->key);
	}
	(*ret)->group = mem_strdup(*ret, row->group); /* `flags set --group` may have moved it since */
	return flag_state_parse(*ret, row->state, ret_state, err);
}

int store_flags(struct store *store, const void *ctx, const char *environment, const char *group, struct flag_row **ret, size_t *ret_count,
	struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct flag_row), .read = read_flag };
	int r;

	if (group)
		r = sql_each(store->sql, err, gather_row, &rows,
			"SELECT " ROW_COLUMNS " FROM flags WHERE environment = $1 AND flag_group = $2 ORDER BY flag_key",
			SQL_T(environment), SQL_T(group));
	else
		r = sql_each(store->sql, err, gather_row, &rows,
			"SELECT " ROW_COLUMNS " FROM flags WHERE environment = $1 ORDER BY flag_key", SQL_T(environment));
	if (r < 0)
		return r;
	*ret = (struct flag_row *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}

int store_flag(struct store *store, const void *ctx, const char *environment, const char *key, struct flag_row *ret, struct err *err)
{
	bool found = false;
	int r;

	r = find_flag(store, ctx, environment, key, ret, &found, err);
	if (r < 0)
		return r;
	return found ? 0 : err_set(err, ERR_NOT_FOUND, "environment '%s' has no flag '%s'", environment, key);
}

static int check_flag(const char *environment, const char *key, const char *state, struct err *err)
{
	if (!text_is_name(environment))
		return err_set(err, ERR_INVALID, "'%s' is no name of an environment", environment);
	if (!text_is_name(key))
		return err_set(err, ERR_INVALID, "'%s' is no key of a flag: letters, digits, '.', '_', '-'", key);
	if (!text_is_name(state))
		return err_set(err, ERR_INVALID, "'%s' is no state of a flag: true, false, or the name of a variant", state);
	return 0;
}

/* A flag that was never defined may stand at any word; a defined one knows its states. */
static int check_defined(const void *ctx, const struct flag_row *row, const char *state, struct err *err)
{
	struct flag_row wanted = *row;
	struct flag_state parsed;
	struct flag *flag;

	wanted.state = state;
	return row->definition ? store_flag_read(ctx, &wanted, &flag, &parsed, err) : 0;
}

static json_t *flag_data(const void *ctx, const char *key, const char *group, const char *state, const char *previous, const char *reason)
{
	json_t *data = json_make(ctx, "{s:s}", "flag", key);

	json_put_str(data, "group", group);
	json_put_str(data, "state", state);
	json_put_str(data, "previous", previous);
	json_put_str(data, "reason", reason);
	return data;
}

static int set_locked(struct store *store, const void *ctx, struct entry *entry, const char *key, const char *group, const char *state,
	const char *reason, bool *changed, struct err *err)
{
	struct flag_row before = { 0 };
	bool found = false;
	int r;

	r = find_flag(store, ctx, entry->environment, key, &before, &found, err);
	if (r < 0)
		return r;
	r = check_defined(ctx, &before, state, err);
	if (r < 0)
		return r;
	*changed = !found || strcmp(before.state, state) != 0 || (group && (!before.group || strcmp(before.group, group) != 0));
	if (!*changed)
		return 0;
	entry->kind = ENTRY_FLAG_SET;
	entry->data = flag_data(ctx, key, group, state, before.state, reason);
	return store_add(store, ctx, NULL, entry, 1, err);
}

/* The transaction of a change ends here; nothing was appended: nothing is committed. */
static int finish(struct store *store, int r, bool changed, struct err *err)
{
	if (r == 0 && changed)
		r = store_commit(store, err);
	if (r < 0 || !changed)
		store_undo(store);
	return r;
}

int store_flag_set(struct store *store, const char *environment, const char *key, const char *group, const char *state, const char *actor,
	const char *reason, const char *run, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = { .environment = environment, .run = run, .actor = actor };
	struct flag_row after;
	bool changed = false;
	int r;

	r = check_flag(environment, key, state, err);
	if (r == 0)
		r = store_begin(store, err);
	if (r < 0)
		return r;
	r = set_locked(store, ctx, &entry, key, group, state, reason, &changed, err);
	r = finish(store, r, changed, err);
	if (r == 0 && changed)
		r = store_flag(store, ctx, environment, key, &after, err);
	if (r == 0 && changed && strcmp(after.state, state) != 0)
		return err_set(err, ERR_CHANGED, "flag '%s' was set to %s, but reads %s: somebody else has changed it since", key, state,
			after.state);
	return r;
}

int store_flags_disable_group(struct store *store, const char *environment, const char *group, const char *actor, const char *reason,
	size_t *ret_count, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct flag_row *flags;
	struct entry *entries;
	size_t count, changing = 0;
	int r;

	r = store_begin(store, err);
	if (r == 0)
		r = store_flags(store, ctx, environment, group, &flags, &count, err);
	if (r == 0 && count == 0)
		r = err_set(err, ERR_NOT_FOUND, "environment '%s' has no flags in group '%s'", environment, group);
	if (r == 0) {
		entries = mem_array(ctx, struct entry, count);
		for (size_t i = 0; i < count; i++)
			if (strcmp(flags[i].state, "false") != 0)
				entries[changing++] = (struct entry){
					.kind = ENTRY_FLAG_SET,
					.environment = environment,
					.actor = actor,
					.data = flag_data(ctx, flags[i].key, NULL, "false", flags[i].state, reason),
				};
		if (changing > 0)
			r = store_add(store, ctx, NULL, entries, changing, err);
	}
	r = finish(store, r, changing > 0, err);
	if (r == 0)
		*ret_count = changing;
	return r;
}

int store_flag_history_page(struct store *store, const void *ctx, const char *environment, struct page page, struct flag_change **ret,
	size_t *ret_count, struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct flag_change), .read = read_change };
	int r;

	r = sql_each(store->sql, err, gather_row, &rows,
		"SELECT " CHANGE_COLUMNS " FROM feature_rollbacks WHERE environment = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3",
		SQL_T(environment), SQL_I(page.before_seq ? page.before_seq : INT64_MAX),
		SQL_I(page.limit ? (int64_t)page.limit : INT64_MAX));
	if (r < 0)
		return r;
	*ret = (struct flag_change *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}

static int restore_locked(struct store *store, const void *ctx, struct entry *entry, const char *given, const char *reason, struct err *err)
{
	struct flag_change change = { 0 };
	struct single single = { .ctx = ctx, .ret = &change, .read = read_change };
	struct flag_row now = { 0 };
	const char *id;
	bool found;
	int r;

	r = resolve_id(store, ctx, "SELECT id FROM feature_rollbacks WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 4", "flag change", "ent",
		given, &id, err);
	if (r == 0)
		r = sql_each(store->sql, err, single_row, &single,
			"SELECT " CHANGE_COLUMNS " FROM feature_rollbacks WHERE id = $1 AND environment = $2", SQL_T(id),
			SQL_T(entry->environment));
	if (r < 0)
		return r;
	if (!single.found)
		return err_set(err, ERR_NOT_FOUND, "environment '%s' has no flag change '%s'", entry->environment, given);
	if (change.restored_ms)
		return err_set(err, ERR_CONFLICT, "that change of flag '%s' was taken back %s", change.feature_name,
			clock_format_age(ctx, change.restored_ms, clock_wall_ms()));
	if (!change.previous_state[0])
		return err_set(err, ERR_INVALID, "flag '%s' had no state before that change; set it instead", change.feature_name);
	r = find_flag(store, ctx, entry->environment, change.feature_name, &now, &found, err);
	if (r == 0 && !found)
		r = err_set(err, ERR_CONFLICT, "flag '%s' was removed since; define or set it anew", change.feature_name);
	if (r == 0)
		r = check_defined(ctx, &now, change.previous_state, err);
	if (r < 0)
		return r;
	entry->kind = ENTRY_FLAG_RESTORED;
	entry->data = flag_data(ctx, change.feature_name, NULL, change.previous_state, now.state, reason);
	json_put_str(entry->data, "change", id);
	return store_add(store, ctx, NULL, entry, 1, err);
}

int store_flag_restore(struct store *store, const char *environment, const char *id, const char *actor, const char *reason, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = { .environment = environment, .actor = actor };
	int r;

	r = store_begin(store, err);
	if (r < 0)
		return r;
	r = restore_locked(store, ctx, &entry, id, reason, err);
	return finish(store, r, true, err);
}

static int define_locked(struct store *store, const void *ctx, struct entry *entry, const struct flag *flag, const char *reason,
	bool *changed, struct err *err)
{
	json_t *definition = json_keep(ctx, flag_json(flag));
	struct flag_row before = { 0 };
	struct flag_state state;
	bool found = false;
	int r;

	r = find_flag(store, ctx, entry->environment, flag->key, &before, &found, err);
	if (r < 0)
		return r;
	*changed = !before.definition || strcmp(json_canonical(ctx, before.definition), json_canonical(ctx, definition)) != 0;
	if (!*changed)
		return 0;
	if (found && flag_state_parse(flag, before.state, &state, err) < 0)
		return err_set(err, ERR_CONFLICT,
			"flag '%s' stands at '%s', which the new definition does not have; set it to another state first", flag->key,
			before.state);
	entry->kind = ENTRY_FLAG_DEFINED;
	entry->data = json_make(ctx, "{s:s, s:O}", "flag", flag->key, "definition", definition);
	json_put_str(entry->data, "group", flag->group);
	json_put_str(entry->data, "reason", reason);
	return store_add(store, ctx, NULL, entry, 1, err);
}

int store_flag_define(struct store *store, const char *environment, const struct flag *flag, const char *actor, const char *reason,
	struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = { .environment = environment, .actor = actor };
	bool changed = false;
	int r;

	r = check_flag(environment, flag->key, "false", err);
	if (r == 0)
		r = store_begin(store, err);
	if (r < 0)
		return r;
	r = define_locked(store, ctx, &entry, flag, reason, &changed, err);
	return finish(store, r, changed, err);
}

static int remove_locked(struct store *store, const void *ctx, struct entry *entry, const char *key, const char *reason, struct err *err)
{
	struct flag_row before = { 0 };
	bool found = false;
	int r;

	r = find_flag(store, ctx, entry->environment, key, &before, &found, err);
	if (r < 0)
		return r;
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "environment '%s' has no flag '%s'", entry->environment, key);
	entry->kind = ENTRY_FLAG_REMOVED;
	entry->data = json_make(ctx, "{s:s, s:s}", "flag", key, "state", before.state);
	json_put_str(entry->data, "reason", reason);
	return store_add(store, ctx, NULL, entry, 1, err);
}

int store_flag_remove(struct store *store, const char *environment, const char *key, const char *actor, const char *reason, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = { .environment = environment, .actor = actor };
	int r;

	r = store_begin(store, err);
	if (r < 0)
		return r;
	r = remove_locked(store, ctx, &entry, key, reason, err);
	return finish(store, r, true, err);
}
