/* Deployments: names, their JSON, and the choice of the one to return to. Pure; any thread. */
#include "core/deployment.h"

#include "base/clock.h"
#include "base/text.h"
#include "data/json.h"

static const char *const health_names[] = { "unknown", "passing", "failing", NULL };
static const char *const status_names[] = { "succeeded", "failed", "rolled-back" };

const char *health_name(enum health health)
{
	assert_always((size_t)health < ARRAY_SIZE(health_names) - 1);
	return health_names[health];
}

int health_parse(const char *text, enum health *ret, struct err *err)
{
	for (size_t i = 0; health_names[i]; i++)
		if (strcmp(health_names[i], text) == 0) {
			*ret = (enum health)i;
			return 0;
		}
	return err_set(err, ERR_INVALID, "'%s' is not a health: passing, failing or unknown", text);
}

const char *deployment_status_name(enum deployment_status status)
{
	assert_always((size_t)status < ARRAY_SIZE(status_names));
	return status_names[status];
}

/* Members without a value are there as null: an answer lacks none of its fields (property 1). */
static void put_text(json_t *object, const char *key, const char *value)
{
	if (value)
		json_put_str(object, key, value);
	else
		json_object_set_new(object, key, json_null());
}

static void put_time(json_t *object, const char *key, int64_t wall_ms)
{
	_cleanup_talloc_ char *text = wall_ms ? clock_format(NULL, wall_ms) : NULL;

	put_text(object, key, text);
}

json_t *deployment_json(const struct deployment *deployment)
{
	json_t *object = json_object();

	put_text(object, "id", deployment->id);
	put_text(object, "environment", deployment->environment);
	put_text(object, "version", deployment->version);
	put_text(object, "gitSha", deployment->git_sha);
	json_put_int(object, "seq", deployment->seq);
	put_time(object, "recordedAt", deployment->wall_ms);
	put_text(object, "recordedBy", deployment->recorded_by);
	if (deployment->components)
		json_put(object, "components", deployment->components);
	else
		json_object_set_new(object, "components", json_object());
	put_text(object, "migration", deployment->migration);
	put_text(object, "configVersion", deployment->config_version);
	put_text(object, "health", health_name(deployment->health));
	json_put_int(object, "passing", deployment->passing);
	json_put_int(object, "failing", deployment->failing);
	put_time(object, "healthAt", deployment->health_ms);
	json_put_flag(object, "rollbackTarget", deployment->rollback_target);
	put_text(object, "status", deployment_status_name(deployment->status));
	put_text(object, "quarantine", deployment->quarantine);
	put_text(object, "rollbackOf", deployment->rollback_of);
	return object;
}

/* What a deployment consists of, as a text: its version and those of its components. */
static char *content_key(const void *ctx, const struct deployment *deployment)
{
	json_t *content = json_object(), *component;
	const char *name;
	char *key;

	json_put_str(content, "", deployment->version);
	json_object_foreach(deployment->components, name, component)
		json_put_str(content, name, json_str(component, "version", ""));
	key = json_canonical(ctx, content);
	json_decref(content);
	return key;
}

struct ranking {
	const struct deployment *const *deployments;
	size_t count;
	const char *const *blocked;
	const struct deployment *present;
	char **keys;       /* content of each; NULL when no rollback recorded anything */
	json_t *originals; /* content -> index of the newest deployment that no rollback recorded */
};

/* The deployment whose content another one stands for, when a rollback recorded that one; itself otherwise. */
static const struct deployment *original(const struct ranking *ranking, size_t index)
{
	const struct deployment *deployment = ranking->deployments[index], *found;
	json_t *position;

	if (!deployment->rollback_of)
		return deployment;
	position = json_object_get(ranking->originals, ranking->keys[index]);
	found = position ? ranking->deployments[json_integer_value(position)] : NULL;
	return found && found->seq < deployment->seq ? found : deployment;
}

static void find_originals(void *tmp, struct ranking *ranking)
{
	bool any = false;

	ranking->originals = json_keep(tmp, json_object());
	for (size_t i = 0; i < ranking->count && !any; i++)
		any = ranking->deployments[i]->rollback_of != NULL;
	if (!any)
		return;
	ranking->keys = mem_array(tmp, char *, ranking->count);
	for (size_t i = 0; i < ranking->count; i++) {
		const struct deployment *deployment = ranking->deployments[i];
		json_t *other;

		ranking->keys[i] = content_key(tmp, deployment);
		if (deployment->rollback_of)
			continue;
		other = json_object_get(ranking->originals, ranking->keys[i]);
		if (!other || ranking->deployments[json_integer_value(other)]->seq < deployment->seq)
			json_object_set_new(ranking->originals, ranking->keys[i], json_integer((json_int_t)i));
	}
}

static size_t index_of(const struct ranking *ranking, const struct deployment *deployment)
{
	for (size_t i = 0; i < ranking->count; i++)
		if (ranking->deployments[i] == deployment)
			return i;
	return ranking->count;
}

static char *evidence_text(const void *ctx, const struct deployment *deployment)
{
	return mem_printf(ctx, "%lld health check%s passed, %lld failed", (long long)deployment->passing,
		deployment->passing == 1 ? "" : "s", (long long)deployment->failing);
}

/* Why a deployment cannot be the target; NULL when it can. */
static char *objection(const void *ctx, const struct ranking *ranking, size_t index, const struct deployment *present_content)
{
	const struct deployment *deployment = ranking->deployments[index], *content = original(ranking, index);

	if (deployment == ranking->present)
		return mem_strdup(ctx, "This is what runs now.");
	/* A rollback recorded one of the two, so they are the same content: to go from one to the other changes nothing. */
	if (ranking->present && content == present_content)
		return mem_printf(ctx, "This is the content that runs now, as %s.", ranking->present->id);
	if (deployment->status == DEPLOYMENT_FAILED)
		return mem_strdup(ctx, "Its own deployment failed, so it never ran as it should.");
	if (deployment->quarantine)
		return mem_printf(ctx, "In quarantine: %s.", deployment->quarantine);
	if (content->quarantine)
		return mem_printf(ctx, "It has the content of %s, which is in quarantine: %s.", content->id, content->quarantine);
	if (deployment->health == HEALTH_FAILING)
		return mem_printf(ctx, "Its latest health evidence is failing (%s in all).", evidence_text(ctx, deployment));
	if (ranking->blocked && ranking->blocked[index])
		return mem_printf(ctx, "Out of reach: %s.", ranking->blocked[index]);
	return NULL;
}

static char *recommendation(const void *ctx, const struct candidate *candidate)
{
	const struct deployment *deployment = candidate->deployment;
	const char *marked = deployment->rollback_target ? "; somebody marked it as a rollback target" : "";
	const char *returned = deployment->rollback_of ? "; a rollback returned to it before" : "";

	if (candidate->last_stable)
		return mem_printf(ctx, "Last stable: the newest one that was healthy when it ran (%s) and can be returned to%s%s.",
			evidence_text(ctx, deployment), returned, marked);
	if (deployment->health == HEALTH_PASSING)
		return mem_printf(ctx, "It was healthy when it ran (%s), but it is older than the last stable one%s%s.",
			evidence_text(ctx, deployment), returned, marked);
	return mem_printf(ctx, "Nobody recorded whether it was healthy: take it only if you know that it worked%s%s.", returned, marked);
}

static int health_rank(enum health health)
{
	return health == HEALTH_PASSING ? 0 : health == HEALTH_UNKNOWN ? 1 : 2;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *one = a, *other = b;
	int order = other->eligible - one->eligible;

	if (!order)
		order = health_rank(one->deployment->health) - health_rank(other->deployment->health);
	if (!order)
		order = (one->deployment->seq < other->deployment->seq) - (one->deployment->seq > other->deployment->seq);
	return order;
}

struct candidate *candidates_rank(const void *ctx, const struct deployment *const *deployments, size_t count, const char *present_id,
	const char *const *blocked)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct ranking ranking = { .deployments = deployments, .count = count, .blocked = blocked };
	struct candidate *candidates = mem_array(ctx, struct candidate, count);
	const struct deployment *present_content = NULL;

	find_originals(tmp, &ranking);
	for (size_t i = 0; i < count && present_id && !ranking.present; i++)
		if (strcmp(deployments[i]->id, present_id) == 0)
			ranking.present = deployments[i];
	if (ranking.present)
		present_content = original(&ranking, index_of(&ranking, ranking.present));
	for (size_t i = 0; i < count; i++) {
		candidates[i].deployment = deployments[i];
		candidates[i].reason = objection(candidates, &ranking, i, present_content);
		candidates[i].eligible = !candidates[i].reason;
	}
	if (count > 0)
		qsort(candidates, count, sizeof(*candidates), compare_candidates);
	if (count > 0 && candidates[0].eligible && candidates[0].deployment->health == HEALTH_PASSING)
		candidates[0].last_stable = true;
	for (size_t i = 0; i < count; i++)
		if (candidates[i].eligible)
			candidates[i].reason = recommendation(candidates, &candidates[i]);
	return candidates;
}
