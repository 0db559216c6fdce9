/* Deployments: recording what runs (from CI, in one command), the registry, quarantine.
 *
 * Recording observes every component, so that in the common case it needs no arguments, and keeps what a later rollback will need (the configuration's content, a copy of the database): it is too late to
 * look for that when it is needed. The content is kept before the entry is written: a recorded deployment is complete, an interrupted one leaves only an unused directory. */
#include "ops/answers.h"
#include "ops/content.h"
#include "ops/resources.h"

#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "core/version.h"
#include "ops/page.h"
#include "ops/permit.h"
#include "ops/readiness.h"

#define KEEP_TIMEOUT_MS 300000

struct record_params {
	const char *environment, *version, *git_sha, *status, *outcome;
	json_t *component;
	bool allow_unreachable;
};

static const struct field record_fields[] = { FIELD_NAME(struct record_params, environment, REQUIRED, "environment that was deployed to"),
	FIELD_STR(struct record_params, version, REQUIRED, "version of the whole, for people: 1.4.2"),
	FIELD_STR(struct record_params, git_sha, OPTIONAL, "commit that it was made from"),
	FIELD_MAP(struct record_params, component, OPTIONAL, "NAME=REF: version of one component, instead of the observed one"),
	FIELD_CHOICE(struct record_params, status, OPTIONAL, "passing|failing|unknown", "health evidence that is there already"),
	FIELD_CHOICE(struct record_params, outcome, DEFAULT("succeeded"), "succeeded|failed", "whether the deployment itself succeeded"),
	FIELD_BOOL(struct record_params, allow_unreachable, DEFAULT("false"),
		"it may be that the deployment before it can no longer be returned to: that is noted, and no failure"),
	FIELD_END };

struct deployment_params {
	const char *environment, *id, *reason, *cursor;
	int64_t limit;
};

static const struct field list_fields[] = { FIELD_NAME(struct deployment_params, environment, REQUIRED, "environment"),
	FIELD_INT(struct deployment_params, limit, DEFAULT("20"), 1, 100000, "how many, newest first"),
	FIELD_CURSOR(struct deployment_params, cursor), FIELD_END };

static const struct field show_fields[] = { FIELD_STR(struct deployment_params, id, REQUIRED, "deployment, by id or its beginning"),
	FIELD_END };

static const struct field reason_fields[] = { FIELD_STR(struct deployment_params, id, REQUIRED, "deployment, by id or its beginning"),
	FIELD_STR(struct deployment_params, reason, REQUIRED, "why"), FIELD_END };

/* Versions given by hand go over the observed ones. A component that can neither be observed nor was given is an error: a registry with holes is worse than none. */
static int merge_given(const struct environment *environment, json_t *observed, json_t *given, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(given, name, value) {
		json_t *component = json_object_get(observed, name);

		if (!environment_component(environment, name))
			return err_set(err, ERR_NOT_FOUND, "environment '%s' has no component '%s'", environment->name, name);
		if (!json_is_string(value))
			return err_set(err, ERR_INVALID, "component '%s': a version is a text", name);
		json_object_del(component, "error");
		json_object_set(component, "version", value);
	}
	json_object_foreach(observed, name, value) {
		json_t *error = json_object_get(value, "error");

		if (error)
			return err_set(err, ERR_DRIVER, "component '%s' cannot be observed: %s; give its version with --component %s=REF",
				name, json_str(error, "message", ""), name);
	}
	return 0;
}

/* Lets every driver that keeps content capture it for this deployment. */
static int keep_content(struct op *op, const struct environment *environment, const char *id, struct err *err)
{
	struct work *works = mem_array(op->ctx, struct work, environment->component_count + 1);
	const char **names = mem_array(op->ctx, const char *, environment->component_count + 1);
	struct work_result *results = mem_array(op->ctx, struct work_result, environment->component_count + 1);
	struct snapshot_metadata metadata = { .id = id, .environment = environment->name, .wall_ms = clock_wall_ms() };
	size_t count = 0;
	int r;

	r = content_begin(op, &metadata, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < environment->component_count; i++) {
		const struct component *component = &environment->components[i];
		enum driver_kind kind;
		const char *dir;
		bool keeps;

		r = workspace_driver_kind(op->workspace, component->driver, &kind, &keeps, err);
		if (r < 0)
			return r;
		if (!keeps)
			continue;
		dir = call_content_dir(op->ctx, &op->workspace->places, id, component->name);
		r = call_component(op->ctx, environment, component, "capture", NULL, NULL, dir, &op->workspace->places, clock_mono_ms(),
			KEEP_TIMEOUT_MS, &works[count], err);
		if (r < 0)
			return err_in(err, "component '%s'", component->name);
		works[count].id = count;
		names[count++] = component->name;
	}
	r = executor_call_all(op->workspace->executor, op->ctx, works, count, results, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (results[i].result)
			continue;
		*err = results[i].err;
		r = err_in(err, "keeping the content of component '%s'", names[i]);
	}
	return r < 0 ? r : content_keep(op, id, err);
}

static json_t *first_detail(json_t *components, const char *member)
{
	const char *name;
	json_t *component;

	json_object_foreach(components, name, component) {
		json_t *value = json_object_get(json_object_get(component, "details"), member);

		if (json_is_string(value))
			return value;
	}
	return NULL;
}

static json_t *deployment_data(struct op *op, const struct record_params *p, const char *id, json_t *components)
{
	json_t *deployment = json_keep(op->ctx, json_object());

	json_put_str(deployment, "id", id);
	json_put_str(deployment, "version", p->version);
	if (p->git_sha)
		json_put_str(deployment, "gitSha", p->git_sha);
	else
		json_put(deployment, "gitSha", first_detail(components, "commit"));
	json_put(deployment, "components", components);
	json_put(deployment, "migration", first_detail(components, "migration"));
	json_put(deployment, "configVersion", first_detail(components, "configVersion"));
	json_put_str(deployment, "recordedBy", op->actor);
	json_put_str(deployment, "status", p->outcome);
	return deployment;
}

/* The code that runs has another version than the one that is recorded: perhaps it was never deployed. Silent where several versions run, as long as one of them is it. */
static void warn_of_other_code(struct op *op, const struct environment *environment, json_t *observed, const char *recorded,
	json_t *warnings)
{
	const struct component *other = NULL;
	struct version version, runs;
	struct err ignored = ERR_INIT;

	if (version_parse(op->ctx, recorded, &version, &ignored) < 0)
		return;
	for (size_t i = 0; i < environment->component_count; i++) {
		const struct component *component = &environment->components[i];
		const struct driver *driver = catalogue_driver(op->workspace->catalogue, component->driver);
		const char *text = json_str(json_object_get(observed, component->name), "version", "");
		int order;

		if (!driver || driver->kind != DRIVER_CODE || version_parse(op->ctx, text, &runs, &ignored) < 0 ||
			!version_compare(&version, &runs, &order))
			continue;
		if (order == 0)
			return;
		other = component;
	}
	if (other)
		json_array_append_new(warnings,
			json_sprintf("%s: version %s runs there, not %s: was it deployed?", other->name,
				json_str(json_object_get(observed, other->name), "version", ""), recorded));
}

/* What the recorder should know now, not at the rollback: a component with nothing to return to. */
static void add_warnings(struct op *op, const struct environment *environment, json_t *answer, json_t *observed, const char *recorded)
{
	json_t *warnings = json_array(), *component;
	const char *name;

	warn_of_other_code(op, environment, observed, recorded, warnings);
	json_object_foreach(observed, name, component)
		if (!*json_str(component, "version", ""))
			json_array_append_new(warnings,
				json_sprintf("%s: nothing is there (%s): a rollback to this deployment would leave it so", name,
					json_str(component, "state", "no version")));
	json_object_set_new(answer, "warnings", warnings);
}

/* What ran before, by the registry: can it still be returned to when this one is recorded? */
static int find_former(struct op *op, const struct environment *environment, struct deployment *ret, bool *ret_there, struct err *err)
{
	struct err none = ERR_INIT;
	int r;

	r = store_present(op->workspace->store, op->ctx, environment->name, ret, &none);
	*ret_there = r == 0;
	if (r == 0 || r == -ERR_NOT_FOUND)
		return 0;
	*err = none;
	return r;
}

static int deployments_record(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct record_params *p = params;
	const char *id = id_new(op->ctx, "dep");
	struct entry entries[2] = { 0 };
	struct environment *environment;
	struct deployment recorded, former;
	json_t *observed;
	bool has_former = false;
	size_t count = 1;
	int r;

	r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r == 0)
		r = find_former(op, environment, &former, &has_former, err);
	if (r == 0)
		r = workspace_observe(op, environment, NULL, &observed, err);
	if (r == 0)
		r = merge_given(environment, observed, p->component, err);
	if (r == 0)
		r = keep_content(op, environment, id, err);
	if (r < 0)
		return r;
	entries[0] = (struct entry){ .kind = ENTRY_DEPLOYMENT_RECORDED, .environment = environment->name, .actor = op->actor };
	entries[0].data = json_make(op->ctx, "{s:O}", "deployment", deployment_data(op, p, id, observed));
	if (p->status && strcmp(p->status, "unknown") != 0) {
		entries[count] = (struct entry){ .kind = ENTRY_DEPLOYMENT_HEALTH, .environment = environment->name, .actor = op->actor };
		entries[count++].data = json_make(op->ctx, "{s:s, s:s, s:s}", "deployment", id, "health", p->status, "source", "recorded");
	}
	r = store_append_all(op->workspace->store, op->ctx, NULL, entries, count, err);
	if (r == 0)
		r = store_deployment(op->workspace->store, op->ctx, id, &recorded, err);
	if (r < 0)
		return r;
	*ret = json_keep(op->ctx, deployment_json(&recorded));
	add_warnings(op, environment, *ret, observed, p->version);
	if (has_former)
		r = readiness_after_record(op, environment, &recorded, &former, observed, p->allow_unreachable, *ret, err);
	return r;
}

static int deployments_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct deployment_params *p = params;
	struct environment *environment;
	struct deployment **rows, stable, present;
	struct err none = ERR_INIT;
	struct page page;
	json_t *list;
	size_t count;
	bool more;
	int r;

	r = page_read(p->cursor, p->limit, &page, err);
	if (r == 0)
		r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r == 0)
		r = store_deployments_page(op->workspace->store, op->ctx, p->environment, page, &rows, &count, err);
	if (r < 0)
		return r;
	count = page_cut(&page, count, &more);
	if (store_present(op->workspace->store, op->ctx, p->environment, &present, &none) < 0)
		present.id = NULL;
	if (store_last_stable(op->workspace->store, op->ctx, p->environment, present.id, &stable, &none) < 0)
		stable.id = NULL;
	list = json_keep(op->ctx, json_array());
	for (size_t i = 0; i < count; i++) {
		json_t *item = deployment_json(rows[i]);

		json_object_del(item, "components");
		json_put_flag(item, "present", present.id && !strcmp(present.id, rows[i]->id));
		json_put_flag(item, "lastStable", stable.id && !strcmp(stable.id, rows[i]->id));
		json_array_append_new(list, item);
	}
	*ret = json_make(op->ctx, "{s:s, s:O}", "environment", p->environment, "deployments", list);
	page_next(*ret, more, more ? rows[count - 1]->seq : 0);
	return 0;
}

/* One that the caller may see, and do with what the operation does. */
static int op_deployment(struct op *op, const char *given, struct deployment *ret, struct err *err)
{
	int r;

	*ret = (struct deployment){ 0 };
	r = store_deployment(op->workspace->store, op->ctx, given, ret, err);
	return op_found(op, r, "deployment", given, ret->environment, err);
}

static int deployments_show(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct deployment_params *p = params;
	struct deployment deployment;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = op_deployment(op, p->id, &deployment, err);
	if (r < 0)
		return r;
	*ret = json_keep(op->ctx, deployment_json(&deployment));
	return 0;
}

static int note_deployment(struct op *op, const struct deployment_params *p, const char *kind, json_t **ret, struct err *err)
{
	struct deployment deployment;
	struct entry entry;
	int r;

	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = op_deployment(op, p->id, &deployment, err);
	if (r < 0)
		return r;
	entry = (struct entry){ .kind = kind, .environment = deployment.environment, .actor = op->actor };
	entry.data = json_make(op->ctx, "{s:s, s:s}", "deployment", deployment.id, "reason", p->reason);
	r = store_append(op->workspace->store, op->ctx, &entry, err);
	if (r < 0)
		return r;
	return deployments_show(op, p, ret, err);
}

static int deployments_quarantine(struct op *op, const void *params, json_t **ret, struct err *err)
{
	return note_deployment(op, params, ENTRY_DEPLOYMENT_QUARANTINE, ret, err);
}

static int deployments_release(struct op *op, const void *params, json_t **ret, struct err *err)
{
	return note_deployment(op, params, ENTRY_DEPLOYMENT_RELEASE, ret, err);
}

OPERATION(op_deployments_record, "deployments.record", "POST", "/environments/{environment}/deployments", PERMIT_EXECUTE,
	"record what runs in an environment now", record_fields, struct record_params, deployments_record, .answer = recorded_shape,
	.creates = true);
OPERATION(op_deployments_list, "deployments.list", "GET", "/environments/{environment}/deployments", PERMIT_VIEW,
	"deployments, newest first", list_fields, struct deployment_params, deployments_list, .answer = deployment_list_shape);
OPERATION(op_deployments_show, "deployments.show", "GET", "/deployments/{id}", PERMIT_VIEW, "one deployment with its components",
	show_fields, struct deployment_params, deployments_show, .answer = deployment_shape);
OPERATION(op_deployments_quarantine, "deployments.quarantine", "POST", "/deployments/{id}/quarantine", PERMIT_EXECUTE,
	"keep a deployment from being chosen as a target", reason_fields, struct deployment_params, deployments_quarantine,
	.idempotent = true, .answer = deployment_shape);
OPERATION(op_deployments_release, "deployments.release", "POST", "/deployments/{id}/release", PERMIT_EXECUTE, "lift a quarantine",
	reason_fields, struct deployment_params, deployments_release, .idempotent = true, .answer = deployment_shape);
