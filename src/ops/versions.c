/* Versions: what Git has, beside what ran where. The repository is that of the project's folder (without a project: of the present one). A
 * version and a deployment belong together when the deployment was made from the version's commit, or when the version of the deployment
 * or of one of its components is the tag's name, with or without its leading v.
 *
 * Distances are counted from what runs in the environment, when its commit is known; else from HEAD. */
#include "ops/answers.h"
#include "ops/resources.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "vcs/vcs.h"

#define SHA_MATCH_MIN 7

struct versions_params {
	const char *environment, *branch, *kind;
	int64_t limit;
	bool metadata;
};

static const struct field list_fields[] = { FIELD_NAME(struct versions_params, environment, OPTIONAL,
						    "show beside each version its deployments in this environment"),
	FIELD_STR(struct versions_params, branch, OPTIONAL,
		"only tags that this branch contains, and its commits; HEAD's commits when not given"),
	FIELD_CHOICE(struct versions_params, kind, DEFAULT("all"), "all|tag|branch|commit", "which names of versions"),
	FIELD_INT(struct versions_params, limit, DEFAULT("50"), 1, VCS_LISTED_MAX, "how many of each kind"),
	FIELD_BOOL(struct versions_params, metadata, DEFAULT("false"),
		"also what each commit holds (manifests, lock files, migrations, configuration, contracts) "
		"and how that differs from the present one"),
	FIELD_END };

/* The deployments of the environment that was asked for. */
struct ran {
	struct deployment **deployments;
	size_t count;
	bool *found;                       /* which of them some version was matched with */
	struct deployment present, stable; /* id NULL: none */
};

static const char *without_v(const char *text)
{
	return *text == 'v' && text[1] >= '0' && text[1] <= '9' ? text + 1 : text;
}

static bool sha_matches(const char *sha, const char *given)
{
	size_t length = given ? strlen(given) : 0;

	return length >= SHA_MATCH_MIN && length <= strlen(sha) && !strncasecmp(sha, given, length);
}

static bool name_matches(const struct vcs_version *version, const char *given)
{
	if (!given || !*given)
		return false;
	if (sha_matches(version->sha, given))
		return true;
	return version->kind == VCS_TAG && !strcmp(without_v(version->name), without_v(given));
}

static bool deployment_matches(const struct vcs_version *version, const struct deployment *deployment)
{
	const char *name;
	json_t *component;

	if (deployment->git_sha ? sha_matches(version->sha, deployment->git_sha) : name_matches(version, deployment->version))
		return true;
	json_object_foreach(deployment->components, name, component)
		if (name_matches(version, json_str(component, "version", NULL)) ||
			sha_matches(version->sha, json_str(json_object_get(component, "details"), "commit", NULL)))
			return true;
	return false;
}

static bool same_deployment(const struct deployment *a, const struct deployment *b)
{
	return a->id && b->id && !strcmp(a->id, b->id);
}

static json_t *ran_json(const struct ran *ran, const struct deployment *deployment)
{
	json_t *item = json_object();
	char *time = clock_format(NULL, deployment->wall_ms);

	json_put_str(item, "id", deployment->id);
	json_put_str(item, "version", deployment->version);
	json_put_str(item, "recordedAt", time);
	json_put_str(item, "status", deployment_status_name(deployment->status));
	json_put_str(item, "health", health_name(deployment->health));
	json_put_flag(item, "present", same_deployment(deployment, &ran->present));
	json_put_flag(item, "lastStable", same_deployment(deployment, &ran->stable));
	talloc_free(time);
	return item;
}

static void put_deployments(json_t *object, const struct vcs_version *version, const struct ran *ran)
{
	json_t *list = json_array();
	bool present = false, stable = false;

	for (size_t i = 0; i < ran->count; i++) {
		if (!deployment_matches(version, ran->deployments[i]))
			continue;
		ran->found[i] = true;
		present = present || same_deployment(ran->deployments[i], &ran->present);
		stable = stable || same_deployment(ran->deployments[i], &ran->stable);
		json_array_append_new(list, ran_json(ran, ran->deployments[i]));
	}
	json_put_flag(object, "present", present);
	json_put_flag(object, "lastStable", stable);
	json_object_set_new(object, "deployments", list);
}

static int read_ran(struct op *op, const char *name, struct ran *ret, struct err *err)
{
	struct environment *environment;
	struct store *store;
	int r;

	r = workspace_environment(op->workspace, name, &environment, err);
	if (r < 0)
		return r;
	store = op->workspace->store;
	r = store_deployments(store, op->ctx, name, 0, &ret->deployments, &ret->count, err);
	if (r < 0)
		return r;
	ret->found = mem_array(op->ctx, bool, ret->count + 1);
	r = store_present(store, op->ctx, name, &ret->present, err);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	if (r < 0)
		ret->present.id = NULL;
	r = store_last_stable(store, op->ctx, name, ret->present.id, &ret->stable, err);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	if (r < 0)
		ret->stable.id = NULL;
	*err = ERR_INIT;
	return 0;
}

/* What runs now, as a commit of this repository; NULL: not known, then HEAD counts. */
static const char *present_commit(struct op *op, struct vcs *vcs, const struct ran *ran)
{
	struct err ignored = ERR_INIT;
	char sha[VCS_SHA_SIZE];

	if (!ran->present.id || !ran->present.git_sha || vcs_resolve(vcs, ran->present.git_sha, sha, &ignored) < 0)
		return NULL;
	return mem_strdup(op->ctx, sha);
}

static int put_metadata(struct op *op, struct vcs *vcs, const struct vcs_version *version, json_t *present, json_t *object, struct err *err)
{
	json_t *metadata;
	int r;

	r = vcs_metadata(op->ctx, vcs, version->sha, &metadata, err);
	if (r < 0)
		return err_in(err, "%s '%s'", vcs_kind_name(version->kind), version->name);
	json_object_set(object, "metadata", metadata);
	json_object_set_new(object, "metadataDifference", present ? vcs_metadata_difference(present, metadata) : json_null());
	return 0;
}

static int versions_json(struct op *op, struct vcs *vcs, const struct vcs_versions *versions, const struct ran *ran,
	const struct versions_params *p, json_t *list, struct err *err)
{
	json_t *present = NULL;
	int r = 0;

	if (p->metadata && versions->from_sha)
		r = vcs_metadata(op->ctx, vcs, versions->from_sha, &present, err);
	for (size_t i = 0; i < versions->count && r == 0; i++) {
		json_t *object = vcs_version_json(&versions->list[i]);

		json_array_append_new(list, object);
		if (p->environment)
			put_deployments(object, &versions->list[i], ran);
		if (p->metadata)
			r = put_metadata(op, vcs, &versions->list[i], present, object, err);
	}
	return r;
}

static void put_or_null(json_t *object, const char *key, const char *text)
{
	if (text)
		json_put_str(object, key, text);
	else
		json_object_set_new(object, key, json_null());
}

static json_t *answer_json(struct op *op, struct vcs *vcs, const struct vcs_versions *versions, const struct ran *ran,
	const struct versions_params *p, json_t *list)
{
	const struct vcs_info *info = vcs_info(vcs);
	json_t *answer = json_keep(op->ctx, json_object()), *skipped = json_array(), *unmatched;

	json_put_str(answer, "repository", info->path);
	json_put_flag(answer, "bare", info->bare);
	json_put_flag(answer, "shallow", info->shallow);
	put_or_null(answer, "head", info->head_sha);
	put_or_null(answer, "headRef", info->head_ref);
	put_or_null(answer, "distanceFrom", versions->from_sha);
	json_put_str(answer, "environment", p->environment);
	json_put(answer, "versions", list);
	for (size_t i = 0; i < versions->skipped_count; i++) {
		json_t *item = json_object();

		json_put_str(item, "name", versions->skipped[i].name);
		json_put_str(item, "reason", versions->skipped[i].reason);
		json_array_append_new(skipped, item);
	}
	json_object_set_new(answer, "skipped", skipped);
	if (!p->environment)
		return answer;
	unmatched = json_array();
	for (size_t i = 0; i < ran->count; i++)
		if (!ran->found[i])
			json_array_append_new(unmatched, ran_json(ran, ran->deployments[i]));
	json_object_set_new(answer, "unmatched", unmatched);
	return answer;
}

static unsigned kinds_of(const char *kind)
{
	for (unsigned i = VCS_TAG; i <= VCS_COMMIT; i++)
		if (!strcmp(kind, vcs_kind_name(i)))
			return 1u << i;
	return VCS_KINDS_ALL;
}

static int versions_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct versions_params *p = params;
	struct vcs_query query = { .kinds = kinds_of(p->kind), .branch = p->branch, .limit = (size_t)p->limit };
	json_t *list = json_keep(op->ctx, json_array());
	struct vcs_versions versions;
	struct ran ran = { 0 };
	struct vcs *vcs;
	int r;

	if (p->environment && !op->workspace)
		return err_set(err, ERR_NOT_FOUND,
			"there is no " PROJECT_FILE " here that could have an environment '%s'; `unship init` writes one", p->environment);
	r = vcs_open(op->ctx, op->workspace ? op->workspace->dir : ".", &vcs, err);
	if (r == 0 && p->environment)
		r = read_ran(op, p->environment, &ran, err);
	if (r < 0)
		return r;
	query.from = present_commit(op, vcs, &ran);
	r = vcs_versions(op->ctx, vcs, &query, &versions, err);
	if (r == 0)
		r = versions_json(op, vcs, &versions, &ran, p, list, err);
	if (r < 0)
		return r;
	*ret = answer_json(op, vcs, &versions, &ran, p, list);
	return 0;
}

OPERATION(op_versions_list, "versions.list", "GET", "/versions", PERMIT_VIEW, "versions found in Git, beside what ran where", list_fields,
	struct versions_params, versions_list, .anywhere = true, .answer = versions_shape);
