/* Deployments: what ran in an environment from a moment on, and the evidence of its health; and which of them is the present one.
 * The last stable one is found by one index, however many there are. Threads: as the store. */
#include "store/internal.h"

#include "base/clock.h"
#include "base/text.h"

#define DEPLOYMENT_COLUMNS \
	"id, environment, version, git_sha, seq, wall_ms, recorded_by, components, migration, config_version, health, passing, failing, health_ms, " \
	"rollback_target, status, quarantine, rollback_of"

const char last_stable_statement[] = "SELECT " DEPLOYMENT_COLUMNS " FROM deployments WHERE environment = $1 AND status = 'succeeded'"
				     " AND health = 'passing' AND quarantine IS NULL AND id <> $2 ORDER BY seq DESC LIMIT 1";

static int parse_status(const char *text, enum deployment_status *ret, struct err *err)
{
	static const enum deployment_status all[] = { DEPLOYMENT_SUCCEEDED, DEPLOYMENT_FAILED, DEPLOYMENT_ROLLED_BACK };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(text, deployment_status_name(all[i]))) {
			*ret = all[i];
			return 0;
		}
	return err_set(err, ERR_INVALID, "'%s' is not the status of a deployment: succeeded, failed or rolled-back", text);
}

static int read_deployment(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	struct deployment *deployment = ret;
	int r;

	*deployment = (struct deployment){
		.id = mem_strdup(ctx, columns[0].text),
		.environment = mem_strdup(ctx, columns[1].text),
		.version = mem_strdup(ctx, columns[2].text),
		.git_sha = mem_strdup(ctx, columns[3].text),
		.seq = columns[4].integer,
		.wall_ms = columns[5].integer,
		.recorded_by = mem_strdup(ctx, columns[6].text),
		.migration = mem_strdup(ctx, columns[8].text),
		.config_version = mem_strdup(ctx, columns[9].text),
		.passing = columns[11].integer,
		.failing = columns[12].integer,
		.health_ms = columns[13].integer,
		.rollback_target = columns[14].integer != 0,
		.quarantine = mem_strdup(ctx, columns[16].text),
		.rollback_of = mem_strdup(ctx, columns[17].text),
	};
	r = column_json(ctx, &columns[7], &deployment->components, err);
	if (r == 0)
		r = health_parse(columns[10].text, &deployment->health, err);
	if (r == 0)
		r = parse_status(columns[15].text, &deployment->status, err);
	return r < 0 ? err_in(err, "deployment %s", deployment->id) : 0;
}

static int exists_row(void *user, unused_arg const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	*(bool *)user = true;
	return 1;
}

int deployment_exists(struct handle *handle, const char *id, bool *ret, struct err *err)
{
	bool found = false;
	int r;

	r = sql_each(handle->store.sql, err, exists_row, &found, "SELECT 1 FROM deployments WHERE id = $1", SQL_T(id));
	if (r < 0)
		return r;
	*ret = found;
	return 0;
}

/* A member that may be missing or null, and else is a text. */
static int optional_text(const struct entry *entry, const json_t *object, const char *member, const char **ret, struct err *err)
{
	const json_t *value = json_object_get(object, member);

	*ret = NULL;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return err_set(err, ERR_INVALID, "%s: data.deployment.%s is no text", entry->kind, member);
	*ret = json_string_value(value);
	return 0;
}

static int read_names(const struct entry *entry, const json_t *object, struct deployment *ret, struct err *err)
{
	if (!json_is_object(object))
		return err_set(err, ERR_INVALID, "%s: data.deployment is missing", entry->kind);
	ret->id = json_str(object, "id", "");
	ret->version = json_str(object, "version", "");
	ret->environment = entry->environment ? entry->environment : json_str(object, "environment", "");
	/* The id is also the name of a directory. */
	if (!text_is_name(ret->id))
		return err_set(err, ERR_INVALID, "%s: '%s' is no id of a deployment: letters, digits, '.', '_', '-'", entry->kind, ret->id);
	if (!text_is_name(ret->environment))
		return err_set(err, ERR_INVALID, "%s: '%s' is no name of an environment", entry->kind, ret->environment);
	if (!ret->version[0])
		return err_set(err, ERR_INVALID, "%s: data.deployment.version is missing", entry->kind);
	return 0;
}

static int read_recorded(const struct entry *entry, const json_t *object, struct deployment *ret, struct err *err)
{
	const char *text;
	int r;

	r = read_names(entry, object, ret, err);
	if (r == 0)
		r = optional_text(entry, object, "gitSha", &ret->git_sha, err);
	if (r == 0)
		r = optional_text(entry, object, "migration", &ret->migration, err);
	if (r == 0)
		r = optional_text(entry, object, "configVersion", &ret->config_version, err);
	if (r == 0)
		r = optional_text(entry, object, "rollbackOf", &ret->rollback_of, err);
	if (r == 0)
		r = optional_text(entry, object, "recordedBy", &ret->recorded_by, err);
	if (r == 0)
		r = parse_status(json_str(object, "status", "succeeded"), &ret->status, err);
	if (r == 0)
		r = health_parse(json_str(object, "health", "unknown"), &ret->health, err);
	if (r == 0)
		r = optional_text(entry, object, "timestamp", &text, err);
	if (r == 0 && text)
		r = clock_parse(text, &ret->wall_ms, err);
	if (r < 0)
		return r;
	ret->components = json_object_get(object, "components");
	if (ret->components && !json_is_object(ret->components))
		return err_set(err, ERR_INVALID, "%s: data.deployment.components is no object", entry->kind);
	ret->rollback_target = json_flag(object, "rollbackTarget", false);
	return 0;
}

int deployments_set_present(struct handle *handle, const char *environment, const char *to, struct err *err)
{
	return sql_do(handle->store.sql, err,
		"UPDATE environments SET present_deployment = $2 WHERE name = $1 AND EXISTS (SELECT 1 FROM deployments WHERE id = $2)",
		SQL_T(environment), SQL_T(to));
}

/* One that another tool wrote into the registry file is the present one only when it is not older than what is known to run. */
static int make_present(struct handle *handle, const struct deployment *deployment, bool imported, struct err *err)
{
	if (!imported)
		return deployments_set_present(handle, deployment->environment, deployment->id, err);
	return sql_do(handle->store.sql, err,
		"UPDATE environments SET present_deployment = $2 WHERE name = $1"
		" AND NOT EXISTS (SELECT 1 FROM deployments WHERE deployments.id = environments.present_deployment AND deployments.wall_ms > $3)",
		SQL_T(deployment->environment), SQL_T(deployment->id), SQL_I(deployment->wall_ms));
}

int fold_deployment_recorded(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	const json_t *object = json_object_get(entry->data, "deployment");
	struct deployment new = { .seq = entry->seq, .wall_ms = entry->wall_ms, .recorded_by = entry->actor };
	char *components = NULL;
	bool known;
	int r;

	r = read_recorded(entry, object, &new, err);
	if (r == 0)
		r = deployment_exists(handle, new.id, &known, err);
	if (r == 0 && known)
		return err_set(err, ERR_CONFLICT, "deployment %s was recorded before", new.id);
	if (r < 0)
		return r;
	if (new.components)
		components = json_dumps(new.components, JSON_COMPACT);
	r = sql_do(handle->store.sql, err,
		"INSERT INTO deployments (" DEPLOYMENT_COLUMNS
		") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, NULL, $17)",
		SQL_T(new.id), SQL_T(new.environment), SQL_T(new.version), SQL_T(new.git_sha), SQL_I(new.seq), SQL_I(new.wall_ms),
		SQL_T(new.recorded_by ? new.recorded_by : entry->actor), SQL_T(components ? components : "{}"), SQL_T(new.migration),
		SQL_T(new.config_version), SQL_T(health_name(new.health)), SQL_I(new.health == HEALTH_PASSING),
		SQL_I(new.health == HEALTH_FAILING), SQL_I(new.health == HEALTH_UNKNOWN ? 0 : new.wall_ms), SQL_I(new.rollback_target),
		SQL_T(deployment_status_name(new.status)), SQL_T(new.rollback_of));
	free(components);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "INSERT INTO environments (name) VALUES ($1) ON CONFLICT (name) DO NOTHING",
			SQL_T(new.environment));
	if (r == 0 && new.status == DEPLOYMENT_SUCCEEDED)
		r = make_present(handle, &new, json_flag(object, "imported", false), err);
	return r;
}

/* The id that an entry about a deployment names, and an error when nothing was changed: there is none of that id. */
static int must_have_changed(struct handle *handle, const struct entry *entry, const char *id, struct err *err)
{
	if (handle->store.sql->ops->changes(handle->store.sql) > 0)
		return 0;
	return err_set(err, ERR_INVALID, "%s: there is no deployment '%s'", entry->kind, id);
}

int fold_deployment_health(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id, *text;
	enum health health;
	int r;

	r = entry_need(entry, "deployment", &id, err);
	if (r == 0)
		r = entry_need(entry, "health", &text, err);
	if (r == 0)
		r = health_parse(text, &health, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err,
			"UPDATE deployments SET health = $2, passing = passing + $3, failing = failing + $4, health_ms = $5 WHERE id = $1",
			SQL_T(id), SQL_T(health_name(health)), SQL_I(health == HEALTH_PASSING), SQL_I(health == HEALTH_FAILING),
			SQL_I(entry->wall_ms));
	return r < 0 ? r : must_have_changed(handle, entry, id, err);
}

int fold_deployment_status(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	enum deployment_status status;
	const char *id, *text;
	int r;

	r = entry_need(entry, "deployment", &id, err);
	if (r == 0)
		r = entry_need(entry, "status", &text, err);
	if (r == 0)
		r = parse_status(text, &status, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "UPDATE deployments SET status = $2 WHERE id = $1", SQL_T(id), SQL_T(text));
	return r < 0 ? r : must_have_changed(handle, entry, id, err);
}

int fold_deployment_quarantine(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id, *reason;
	int r;

	r = entry_need(entry, "deployment", &id, err);
	if (r == 0)
		r = entry_need(entry, "reason", &reason, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "UPDATE deployments SET quarantine = $2 WHERE id = $1", SQL_T(id), SQL_T(reason));
	return r < 0 ? r : must_have_changed(handle, entry, id, err);
}

int fold_deployment_release(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id;
	int r;

	r = entry_need(entry, "deployment", &id, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "UPDATE deployments SET quarantine = NULL WHERE id = $1", SQL_T(id));
	return r < 0 ? r : must_have_changed(handle, entry, id, err);
}

int fold_deployment_mark(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	const char *id;
	int r;

	r = entry_need(entry, "deployment", &id, err);
	if (r == 0)
		r = sql_do(handle->store.sql, err, "UPDATE deployments SET rollback_target = $2 WHERE id = $1", SQL_T(id),
			SQL_I(json_flag(entry->data, "rollbackTarget", true)));
	return r < 0 ? r : must_have_changed(handle, entry, id, err);
}

int store_deployment(struct store *store, const void *ctx, const char *id, struct deployment *ret, struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_deployment };
	const char *whole;
	int r;

	r = resolve_id(store, ctx, "SELECT id FROM deployments WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 4", "deployment", "dep", id,
		&whole, err);
	if (r == 0)
		r = sql_each(store->sql, err, single_row, &single, "SELECT " DEPLOYMENT_COLUMNS " FROM deployments WHERE id = $1",
			SQL_T(whole));
	if (r < 0)
		return r;
	return single.found ? 0 : err_set(err, ERR_NOT_FOUND, "there is no deployment '%s'", id);
}

int store_deployments_page(struct store *store, const void *ctx, const char *environment, struct page page, struct deployment ***ret,
	size_t *ret_count, struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct deployment), .read = read_deployment };
	struct deployment **list;
	int r;

	r = sql_each(store->sql, err, gather_row, &rows,
		"SELECT " DEPLOYMENT_COLUMNS " FROM deployments WHERE environment = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3",
		SQL_T(environment), SQL_I(page.before_seq ? page.before_seq : INT64_MAX),
		SQL_I(page.limit ? (int64_t)page.limit : INT64_MAX));
	if (r < 0)
		return r;
	list = mem_array(ctx, struct deployment *, rows.count + 1);
	for (size_t i = 0; i < rows.count; i++)
		list[i] = (struct deployment *)(void *)rows.rows + i;
	*ret = list;
	*ret_count = rows.count;
	return 0;
}

int store_last_stable(struct store *store, const void *ctx, const char *environment, const char *except, struct deployment *ret,
	struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_deployment };
	int r;

	r = sql_each(store->sql, err, single_row, &single, last_stable_statement, SQL_T(environment), SQL_T(except ? except : ""));
	if (r < 0)
		return r;
	return single.found
		? 0
		: err_set(err, ERR_NOT_FOUND, "environment '%s' has no other deployment that succeeded with passing evidence", environment);
}

int store_present(struct store *store, const void *ctx, const char *environment, struct deployment *ret, struct err *err)
{
	struct single single = { .ctx = ctx, .ret = ret, .read = read_deployment };
	int r;

	r = sql_each(store->sql, err, single_row, &single,
		"SELECT " DEPLOYMENT_COLUMNS " FROM deployments WHERE id = (SELECT present_deployment FROM environments WHERE name = $1)",
		SQL_T(environment));
	if (r < 0)
		return r;
	return single.found ? 0 : err_set(err, ERR_NOT_FOUND, "no deployment is recorded in environment '%s'", environment);
}
