/* Planning: observe everything, choose the target by evidence, generate the difference as a plan, and gather every finding that speaks against it. Nothing here changes anything.
 *
 * Which candidate: the ranking (core/deployment.h) is pure; what only reality can say (is the artefact still there, can the code run on the live schema) is asked for the best
 * candidate, and when that speaks against it, for the next, up to CANDIDATES_ASKED of them. */
#include "ops/planning.h"

#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "core/run.h"
#include "core/steptype.h"
#include "ops/document.h"
#include "ops/permit.h"

#define CHECK_TIMEOUT_MS 30000
#define RANKED_MAX       500 /* newest deployments that are ranked */
#define CANDIDATES_ASKED 8
#define LISTED_MAX       10
#define DISK_FREE_MIN    (64u << 20)

static enum driver_kind kind_of(void *user, const char *driver)
{
	struct err ignored = ERR_INIT;
	enum driver_kind kind;

	/* A driver that cannot be asked is found out by observe, which says so as a finding; until then it counts as code. */
	if (workspace_driver_kind(user, driver, &kind, NULL, &ignored) < 0)
		return DRIVER_CODE;
	return kind;
}

/* What the driver of a component is asked to check: that it can go back to what was recorded. */
static json_t *check_target(const void *ctx, const struct planning *planning, const char *component, bool preserve_data)
{
	json_t *recorded = json_object_get(planning->target->components, component);

	if (!recorded)
		return NULL;
	return json_make(ctx, "{s:s, s:s*, s:s, s:b}", "version", json_str(recorded, "version", ""), "state",
		json_str(recorded, "state", NULL), "deploymentId", planning->target->id, "preserveData", preserve_data);
}

static bool changes(const struct planning *planning, const char *component)
{
	for (size_t i = 0; i < planning->generated.difference_count; i++)
		if (!strcmp(planning->generated.differences[i].component, component))
			return planning->generated.differences[i].changes;
	return false;
}

/* The driver knows only its own content; the user thinks in deployments, and wants to know what to do. */
static void explain_missing(struct planning *planning, const char *component, size_t first)
{
	const struct deployment *target = planning->target;
	const char *version = json_str(json_object_get(target->components, component), "version", "");

	for (size_t i = first; i < planning->findings->count; i++) {
		struct finding *finding = &planning->findings->list[i];

		if (!finding->passed && !strcmp(finding->name, "artefact_available"))
			finding->message = mem_printf(planning->findings,
				"%s (%s) cannot be returned to: its '%s' is gone: %s. Bring that back (fetch the commit, restore the file), or choose "
				"another target with --to; `unship deployments %s` lists them",
				target->id, target->version, *version ? version : component, finding->message, target->environment);
	}
}

static int check_components(struct op *op, struct planning *planning, const struct planning_input *input, struct err *err)
{
	const struct environment *environment = planning->environment;
	struct work *works = mem_array(op->ctx, struct work, environment->component_count + 1);
	const char **names = mem_array(op->ctx, const char *, environment->component_count + 1);
	struct work_result *results = mem_array(op->ctx, struct work_result, environment->component_count + 1);
	size_t count = 0;
	int r;

	for (size_t i = 0; i < environment->component_count; i++) {
		const struct component *component = &environment->components[i];
		json_t *target = check_target(op->ctx, planning, component->name, input->preserve_data);
		const char *source;

		if (!target || !changes(planning, component->name))
			continue;
		source = mem_printf(op->ctx, "%s/%s/%s", op->workspace->places.record_root, planning->target->id, component->name);
		r = call_component(op->ctx, environment, component, "check", target, source, NULL, &op->workspace->places, clock_mono_ms(),
			CHECK_TIMEOUT_MS, &works[count], err);
		if (r < 0)
			return err_in(err, "component '%s'", component->name);
		works[count].id = count;
		names[count++] = component->name;
	}
	r = executor_call_all(op->workspace->executor, op->ctx, works, count, results, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		size_t first = planning->findings->count;
		struct err why = results[i].err;

		if (!results[i].result ||
			findings_read(planning->findings, names[i], json_object_get(results[i].result, "findings"), &why) < 0)
			findings_add(planning->findings, "check_possible", false, SEVERITY_ERROR, names[i], NULL,
				"the driver could not check: %s", why.text);
		explain_missing(planning, names[i], first);
	}
	return 0;
}

static void check_compatibility(struct op *op, struct planning *planning, const struct planning_input *input)
{
	struct compat_input facts = {
		.from_version = planning->present ? planning->present->version : NULL,
		.to_version = planning->target->version,
		.live = planning->observed,
		.target = planning->target->components,
		.returning = json_keep(op->ctx, json_object()),
		.preserve_data = input->preserve_data,
	};

	for (size_t i = 0; i < planning->generated.difference_count; i++)
		if (planning->generated.differences[i].changes)
			json_object_set_new(facts.returning, planning->generated.differences[i].component, json_true());
	compat_check(&facts, planning->findings);
}

/* A deployment in which a critical component was not there or did not run is no proven state, whatever the probes said of something else. */
static void check_complete(struct planning *planning)
{
	for (size_t i = 0; i < planning->environment->component_count; i++) {
		const struct component *component = &planning->environment->components[i];
		const char *state = json_str(json_object_get(planning->target->components, component->name), "state", "");
		bool missing = !strcmp(state, "stopped") || !strcmp(state, "absent");

		if (component->critical)
			findings_add(planning->findings, "target_complete", !missing, SEVERITY_ERROR, component->name, NULL,
				missing ? "it is critical, and was %s when the target was recorded" : "was %s when the target was recorded",
				*state ? state : "there");
	}
}

static void check_target_itself(struct planning *planning)
{
	const struct deployment *target = planning->target;

	findings_add(planning->findings, "target_exists", true, SEVERITY_ERROR, NULL, NULL, "%s is in the registry", target->id);
	findings_add(planning->findings, "target_status",
		target->status == DEPLOYMENT_SUCCEEDED || target->status == DEPLOYMENT_ROLLED_BACK, SEVERITY_ERROR, NULL, NULL,
		"the target deployment %s", deployment_status_name(target->status));
	findings_add(planning->findings, "target_health", target->health != HEALTH_FAILING, SEVERITY_ERROR, NULL, NULL,
		"the target's latest health evidence is %s (%lld passing, %lld failing results)", health_name(target->health),
		(long long)target->passing, (long long)target->failing);
	findings_add(planning->findings, "target_quarantine", !target->quarantine, SEVERITY_ERROR, NULL, NULL, "%s%s",
		target->quarantine ? "the target is quarantined: " : "the target is not quarantined",
		target->quarantine ? target->quarantine : "");
}

void planning_warn_of_deployment(const struct deployment *deployment, struct findings *findings)
{
	findings_add(findings, "target_quarantine", !deployment->quarantine, SEVERITY_WARNING, NULL, NULL,
		deployment->quarantine ? "%s (%s) is in quarantine: %s" : "%s (%s) is not in quarantine", deployment->id,
		deployment->version, deployment->quarantine);
	findings_add(findings, "target_health", deployment->health != HEALTH_FAILING, SEVERITY_WARNING, NULL, NULL,
		"the latest health evidence of %s (%s) is %s (%lld passing, %lld failing)", deployment->id, deployment->version,
		health_name(deployment->health), (long long)deployment->passing, (long long)deployment->failing);
}

/* Whoever leaves a deployment by a rollback does not want to be brought back to it: it goes into quarantine. With passing evidence that is
 * worth a word: it may be that only the way back began there. */
static void tell_of_quarantine(struct planning *planning)
{
	const struct deployment *present = planning->present;
	bool proven = present && present->health == HEALTH_PASSING;

	if (!present || !planning->target || !strcmp(present->id, planning->target->id) || planning->generated.plan->step_count == 0)
		return;
	if (present->quarantine)
		return;
	findings_add(planning->findings, FINDING_QUARANTINE_AFTER, false, proven ? SEVERITY_WARNING : SEVERITY_INFO, NULL, NULL,
		"%s (%s)%s goes into quarantine when this completes, because it is left by a rollback; `unship deployments release %s --reason ...` "
		"lifts it",
		present->id, present->version, proven ? " has passing evidence, and" : "", present->id);
}

/* A step of a driver: can that driver take back what it did, configured as it is here? */
static bool step_undoes(struct op *op, const struct environment *environment, const struct step *step)
{
	const struct step_type *type = step_type(step->type);
	const char *name = step_component(step);
	const struct component *component = name ? environment_component(environment, name) : NULL;
	const struct driver *driver;
	struct err ignored = ERR_INIT;
	json_t *described, *verb;
	size_t index;

	if (!type || type->doer == STEP_UNDOES || (!component && type->doer != STEP_BY_DRIVER))
		return true;
	driver = catalogue_driver(op->workspace->catalogue, component ? component->driver : type->driver);
	if (driver)
		return driver_undoes(driver, component ? component->config : step->parameters);
	/* One that cannot be asked is found out by observe. */
	if (!component || workspace_describe(op->workspace, component->driver, &described, &ignored) < 0)
		return true;
	json_array_foreach(json_object_get(described, "verbs"), index, verb)
		if (json_is_string(verb) && !strcmp(json_string_value(verb), "undo"))
			return true;
	return !json_is_array(json_object_get(described, "verbs"));
}

void planning_check_undo(struct op *op, const struct environment *environment, const struct plan *plan, struct findings *findings)
{
	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];

		if (!step_undoes(op, environment, step))
			findings_add(findings, FINDING_UNDO_POSSIBLE, false, SEVERITY_WARNING, step_component(step), NULL,
				"step '%s' has no undo: when it or a later step fails, what it did stays, and the run ends as failed",
				step->id);
	}
}

/* Drift: what runs is not what was recorded. A warning, because that is the state in which people need a rollback. */
static void check_drift(struct planning *planning)
{
	const char *name;
	json_t *observed;

	json_object_foreach(planning->observed, name, observed) {
		json_t *error = json_object_get(observed, "error");
		const char *recorded, *now = json_str(observed, "version", "");

		if (error) {
			findings_add(planning->findings, "component_observable", false, SEVERITY_ERROR, name, NULL,
				"cannot be observed: %s", json_str(error, "message", ""));
			continue;
		}
		if (!planning->present)
			continue;
		recorded = json_str(json_object_get(planning->present->components, name), "version", NULL);
		if (!recorded)
			continue;
		findings_add(planning->findings, "system_state", !strcmp(recorded, now), SEVERITY_WARNING, name, NULL,
			strcmp(recorded, now) ? "drift: '%s' was recorded, %s%s%s is there now" : "is as recorded: '%s'", recorded,
			*now ? "'" : "", *now ? now : "nothing", *now ? "'" : "");
	}
}

static int check_disk(struct op *op, struct planning *planning, struct err *err)
{
	uint64_t available;
	int r;

	r = fs_free_bytes(op->workspace->places.state_dir, &available, err);
	if (r < 0)
		return r;
	findings_add(planning->findings, "disk_space", available >= DISK_FREE_MIN, SEVERITY_ERROR, NULL, NULL,
		"%s free for the snapshot in %s", text_format_size(op->ctx, available), op->workspace->places.state_dir);
	return 0;
}

static int gather_findings(struct op *op, struct planning *planning, const struct planning_input *input, struct err *err)
{
	int r;

	planning->findings = findings_new(op->ctx);
	check_drift(planning);
	r = check_disk(op, planning, err);
	if (r < 0)
		return r;
	planning_check_undo(op, planning->environment, planning->generated.plan, planning->findings);
	if (!planning->target)
		return 0;
	check_target_itself(planning);
	check_complete(planning);
	check_compatibility(op, planning, input);
	tell_of_quarantine(planning);
	return check_components(op, planning, input, err);
}

static int generate_for(struct op *op, struct planning *planning, const struct planning_input *input, struct deployment *target,
	struct err *err)
{
	struct generate_input generate = {
		.environment = planning->environment,
		.target = target,
		.present_id = planning->present ? planning->present->id : NULL,
		.observed = planning->observed,
		.kind_of = kind_of,
		.user = op->workspace,
		.only = input->targets,
		.preserve_data = input->preserve_data,
	};
	int r;

	planning->target = target;
	r = plan_generate(op->ctx, &generate, &planning->generated, err);
	if (r < 0)
		return r;
	return gather_findings(op, planning, input, err);
}

static char *first_blocking(const void *ctx, const struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];

		if (!finding->passed && finding->severity == SEVERITY_ERROR)
			return mem_printf(ctx, "%s%s%s", finding->component ? finding->component : "", finding->component ? ": " : "",
				finding->message);
	}
	return NULL;
}

static struct deployment *deployment_by_id(const struct planning *planning, const char *id)
{
	for (size_t i = 0; i < planning->deployment_count; i++)
		if (!strcmp(planning->deployments[i]->id, id))
			return planning->deployments[i];
	return NULL;
}

static void rank(struct op *op, struct planning *planning, const char *const *blocked)
{
	planning->candidates = candidates_rank(op->ctx, (const struct deployment *const *)planning->deployments, planning->deployment_count,
		planning->present ? planning->present->id : NULL, blocked);
}

static char *candidates_text(const void *ctx, const struct planning *planning)
{
	char *text = mem_strdup(ctx, "");

	for (size_t i = 0; i < planning->deployment_count && i < CANDIDATES_ASKED; i++)
		text = mem_appendf(text, "%s%s (%s): %s", i ? "; " : "", planning->candidates[i].deployment->version,
			planning->candidates[i].deployment->id, planning->candidates[i].reason);
	return text;
}

/* Only findings that are about the candidate, not about the environment, send the choice on to the next one. */
static bool blocks_candidate(const struct finding *finding)
{
	static const char *const about_target[] = { "artefact_available", "schema_compatibility", "config_compatibility",
		"migration_reversible", "target_content", "service_dependencies", "target_complete" };

	if (finding->passed || finding->severity != SEVERITY_ERROR)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(about_target); i++)
		if (!strcmp(finding->name, about_target[i]))
			return true;
	return false;
}

static int choose_target(struct op *op, struct planning *planning, const struct planning_input *input, struct err *err)
{
	const char **blocked = mem_array(op->ctx, const char *, planning->deployment_count + 1);
	int r;

	for (int asked = 0; asked < CANDIDATES_ASKED; asked++) {
		struct deployment *best;
		bool stands = true;

		rank(op, planning, blocked);
		if (!planning->deployment_count || !planning->candidates[0].eligible)
			return err_set(err, ERR_NOT_FOUND, "no deployment of '%s' can be returned to%s%s", planning->environment->name,
				planning->deployment_count ? ": " : ": none is recorded", candidates_text(op->ctx, planning));
		best = deployment_by_id(planning, planning->candidates[0].deployment->id);
		r = generate_for(op, planning, input, best, err);
		if (r < 0)
			return err_in(err, "target %s", best->id);
		for (size_t i = 0; i < planning->findings->count && stands; i++)
			stands = !blocks_candidate(&planning->findings->list[i]);
		if (stands)
			return 0;
		for (size_t i = 0; i < planning->deployment_count; i++)
			if (planning->deployments[i] == best)
				blocked[i] = first_blocking(op->ctx, planning->findings);
	}
	return err_set(err, ERR_NOT_FOUND, "none of the best %d candidates can be returned to: %s", CANDIDATES_ASKED,
		candidates_text(op->ctx, planning));
}

static const char *standing(const struct planning *planning, const struct deployment *deployment)
{
	if (planning->present && !strcmp(planning->present->id, deployment->id))
		return ", runs now";
	return deployment->quarantine ? ", in quarantine" : "";
}

/* People remember versions, not ids: the only deployment of that version. With several, nothing is guessed. */
static int target_by_version(struct op *op, const struct planning *planning, const char *given, struct deployment *ret, struct err *err)
{
	const char *wanted = given + (*given == 'v');
	char *ids = mem_strdup(op->ctx, "");
	size_t count = 0;

	for (size_t i = 0; i < planning->deployment_count; i++) {
		const struct deployment *deployment = planning->deployments[i];

		if (strcmp(deployment->version, given) != 0 && strcmp(deployment->version, wanted) != 0)
			continue;
		if (count++ < LISTED_MAX)
			ids = mem_appendf(ids, "%s%s (%s, health %s%s)", *ids ? "; " : "", deployment->id,
				clock_format(op->ctx, deployment->wall_ms), health_name(deployment->health),
				standing(planning, deployment));
		*ret = *deployment;
	}
	if (count == 1)
		return 0;
	if (count > 1)
		return err_set(err, ERR_AMBIGUOUS, "version %s was deployed %zu times; say which by its id, newest first: %s%s", given,
			count, ids, count > LISTED_MAX ? "; and older ones" : "");
	return err_set(err, ERR_NOT_FOUND, "no deployment of '%s' has the id or version '%s'; `unship deployments %s` lists them",
		planning->environment->name, given, planning->environment->name);
}

static int named_target(struct op *op, struct planning *planning, const struct planning_input *input, struct err *err)
{
	struct deployment *target = mem_zero(op->ctx, struct deployment);
	struct err by_id = ERR_INIT;
	int r;

	r = store_deployment(op->workspace->store, op->ctx, input->to, target, &by_id);
	/* What the caller may not see is not there. */
	if ((r == 0 && !op_sees(op, target->environment)) || (r == -ERR_AMBIGUOUS && !op_sees_all(op)))
		r = -ERR_NOT_FOUND;
	if (r == -ERR_NOT_FOUND)
		r = target_by_version(op, planning, input->to, target, err);
	else if (r < 0)
		*err = by_id;
	if (r < 0)
		return r;
	if (strcmp(target->environment, planning->environment->name) != 0)
		return err_set(err, ERR_INVALID, "deployment %s belongs to environment '%s', not to '%s'", target->id, target->environment,
			planning->environment->name);
	rank(op, planning, NULL);
	return generate_for(op, planning, input, target, err);
}

/* A plan may depend on others: each must have completed in this environment before. */
static int check_plan_dependencies(struct op *op, struct planning *planning, struct err *err)
{
	const struct plan *plan = planning->generated.plan;
	struct run_row *runs;
	size_t count;
	int r;

	if (!plan->dependencies || !*plan->dependencies)
		return 0;
	r = store_runs(op->workspace->store, op->ctx, planning->environment->name, run_status_name(RUN_COMPLETED), 0, &runs, &count, err);
	if (r < 0)
		return r;
	for (const char **needed = plan->dependencies; *needed; needed++) {
		bool found = false;

		for (size_t i = 0; i < count && !found; i++)
			found = runs[i].plan_id && !strcmp(runs[i].plan_id, *needed);
		findings_add(planning->findings, "plan_dependencies", found, SEVERITY_ERROR, NULL, NULL,
			found ? "plan '%s', on which this one depends, has completed here"
			      : "plan '%s', on which this one depends, has not completed here yet",
			*needed);
	}
	return 0;
}

static int read_saved_plan(struct op *op, struct planning *planning, const struct planning_input *input, struct err *err)
{
	const char *path = input->plan_file;
	struct problems *problems;
	struct doc *doc;
	int r;

	if (path && !fs_exists(path))
		path = fs_join(op->ctx, op->workspace->dir, path);
	r = document_read(op->ctx, path, input->plan_document, "plan", &doc, err);
	if (r < 0)
		return r;
	problems = problems_new(op->ctx, doc);
	planning->generated.plan = plan_read(op->ctx, doc, problems);
	plan_bind(planning->generated.plan, planning->environment, op->workspace->catalogue, problems);
	r = problems_result(problems, err);
	if (r < 0)
		return r;
	planning->saved_plan = doc_root(doc);
	planning->generated.document = json_keep(op->ctx, plan_json(planning->generated.plan));
	planning->generated.not_reverted = mem_array(op->ctx, const char *, 1);
	rank(op, planning, NULL);
	r = gather_findings(op, planning, input, err);
	return r < 0 ? r : check_plan_dependencies(op, planning, err);
}

/* The deployment of that name among those that are ranked; it joins them when it is older than they. */
static struct deployment *ranked(struct op *op, struct planning *planning, const struct deployment *deployment)
{
	struct deployment *there = deployment_by_id(planning, deployment->id);

	if (there)
		return there;
	there = mem_dup(op->ctx, deployment, sizeof(*deployment));
	planning->deployments = mem_resize(op->ctx, planning->deployments, struct deployment *, planning->deployment_count + 1);
	planning->deployments[planning->deployment_count++] = there;
	return there;
}

/* The newest deployments, and, however old, the one that runs and the last stable one. */
static int find_deployments(struct op *op, struct planning *planning, struct err *err)
{
	const char *environment = planning->environment->name;
	struct store *store = op->workspace->store;
	struct deployment found;
	int r;

	r = store_deployments(store, op->ctx, environment, RANKED_MAX, &planning->deployments, &planning->deployment_count, err);
	if (r < 0)
		return r;
	r = store_present(store, op->ctx, environment, &found, err);
	if (r == 0)
		planning->present = ranked(op, planning, &found);
	else if (r != -ERR_NOT_FOUND)
		return r;
	r = store_last_stable(store, op->ctx, environment, planning->present ? planning->present->id : NULL, &found, err);
	if (r == 0)
		(void)ranked(op, planning, &found);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int look_around(struct op *op, const struct planning_input *input, struct planning *planning, struct err *err)
{
	int r;

	r = workspace_environment(op->workspace, input->environment, &planning->environment, err);
	if (r < 0)
		return r;
	for (const char **target = input->targets; target && *target; target++)
		if (!environment_component(planning->environment, *target))
			return err_set(err, ERR_NOT_FOUND, "environment '%s' has no component '%s'", input->environment, *target);
	r = find_deployments(op, planning, err);
	if (r < 0)
		return r;
	if (op->tell)
		op->tell(op->user,
			mem_printf(op->ctx, "observing %s", text_count(op->ctx, planning->environment->component_count, "component")));
	return workspace_observe(op, planning->environment, NULL, &planning->observed, err);
}

int planning_make(struct op *op, const struct planning_input *input, struct planning **ret, struct err *err)
{
	struct planning *planning = mem_zero(op->ctx, struct planning);
	int r;

	r = look_around(op, input, planning, err);
	if (r < 0)
		return r;
	if (input->plan_file || input->plan_document)
		r = read_saved_plan(op, planning, input, err);
	else if (input->to)
		r = named_target(op, planning, input, err);
	else
		r = choose_target(op, planning, input, err);
	*ret = planning;
	if (r < 0)
		return r;
	planning->hash = plan_hash(op->ctx, planning->generated.plan, input->environment, planning->observed);
	planning->expected = json_keep(op->ctx, plan_expected(planning->generated.plan, planning->observed));
	return 0;
}

json_t *planning_candidates_json(const struct planning *planning)
{
	json_t *list = json_array();

	for (size_t i = 0; planning->candidates && i < planning->deployment_count; i++) {
		const struct candidate *candidate = &planning->candidates[i];
		json_t *item = deployment_json(candidate->deployment);

		json_object_del(item, "components");
		json_put_flag(item, "eligible", candidate->eligible);
		json_put_flag(item, "lastStable", candidate->last_stable);
		json_put_str(item, "why", candidate->reason);
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *differences_json(const struct generated *generated)
{
	json_t *list = json_array();

	for (size_t i = 0; i < generated->difference_count; i++) {
		const struct difference *difference = &generated->differences[i];
		json_t *item = json_pack("{s:s, s:s, s:b}", "component", difference->component, "kind", difference->kind, "changes",
			difference->changes);

		json_put_str(item, "from", difference->from);
		json_put_str(item, "to", difference->to);
		json_put_str(item, "note", difference->note);
		json_put(item, "items", difference->items);
		json_array_append_new(list, item);
	}
	return list;
}

json_t *planning_json(struct op *op, const struct planning *planning)
{
	json_t *answer = json_keep(op->ctx, json_object()), *sentences = json_array();

	json_put_str(answer, "environment", planning->environment->name);
	if (planning->present)
		json_object_set_new(answer, "present",
			json_pack("{s:s, s:s}", "deploymentId", planning->present->id, "version", planning->present->version));
	if (planning->target)
		json_object_set_new(answer, "target",
			json_pack("{s:s, s:s}", "deploymentId", planning->target->id, "version", planning->target->version));
	json_object_set_new(answer, "candidates", planning_candidates_json(planning));
	json_object_set_new(answer, "differences", differences_json(&planning->generated));
	json_put(answer, "plan", planning->generated.document);
	json_put_str(answer, "planHash", planning->hash);
	if (planning->findings) {
		json_object_set_new(answer, "findings", findings_json(planning->findings));
		json_put_int(answer, "blocking", (int64_t)findings_blocking(planning->findings));
	}
	for (const char **sentence = planning->generated.not_reverted; sentence && *sentence; sentence++)
		json_array_append_new(sentences, json_string(*sentence));
	json_object_set_new(answer, "notReverted", sentences);
	return answer;
}
