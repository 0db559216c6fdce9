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
#include "data/hash.h"
#include "ops/checks.h"
#include "ops/difference.h"
#include "ops/document.h"
#include "ops/permit.h"

#define RANKED_MAX       500 /* newest deployments that are ranked */
#define CANDIDATES_ASKED 8
#define CANDIDATES_TOLD  2 /* in an error; the answer has all of them */
#define LISTED_MAX       10

enum driver_kind planning_kind_of(void *user, const char *driver)
{
	struct err ignored = ERR_INIT;
	enum driver_kind kind;

	/* A driver that cannot be asked is found out by observe, which says so as a finding; until then it counts as code. */
	if (workspace_driver_kind(user, driver, &kind, NULL, &ignored) < 0)
		return DRIVER_CODE;
	return kind;
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

/* The candidate's findings; what git tells of the code is read meanwhile. */
static int gather_findings(struct planning *planning, const struct planning_input *input, struct err *err)
{
	return checks_judge(planning->checks, &planning, 1, input, err);
}

static int generate_for(struct op *op, struct planning *planning, const struct planning_input *input, struct deployment *target,
	struct err *err)
{
	struct generate_input generate = {
		.environment = planning->environment,
		.target = target,
		.present_id = planning->present ? planning->present->id : NULL,
		.present = planning->present ? planning->present->components : NULL,
		.observed = planning->observed,
		.kind_of = planning_kind_of,
		.user = op->workspace,
		.only = input->targets,
		.preserve_data = input->preserve_data,
		.immediate = input->immediate,
	};
	int r;

	planning->target = target;
	r = plan_generate(op->ctx, &generate, &planning->generated, err);
	return r < 0 ? err_in(err, "target %s", target->id) : 0;
}

static int generate_and_check(struct op *op, struct planning *planning, const struct planning_input *input, struct deployment *target,
	struct err *err)
{
	int r;

	r = generate_for(op, planning, input, target, err);
	if (r < 0)
		return r;
	difference_begin(op, planning);
	return gather_findings(planning, input, err);
}

char *planning_first_blocking(const void *ctx, const struct findings *findings)
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
	size_t others = 0;

	for (size_t i = 0; i < planning->deployment_count; i++) {
		const struct candidate *candidate = &planning->candidates[i];
		bool present = planning->present && !strcmp(candidate->deployment->id, planning->present->id);

		/* What runs now is no way back, which is worth a word only where there is nothing else. */
		if ((!present || planning->deployment_count == 1) && others++ < CANDIDATES_TOLD)
			text = mem_appendf(text, "%s%s (%s): %s", others > 1 ? " " : "", candidate->deployment->version,
				candidate->deployment->id, candidate->reason);
	}
	return others > CANDIDATES_TOLD ? mem_appendf(text, " And %zu more.", others - CANDIDATES_TOLD) : text;
}

static int no_candidate(struct op *op, const struct planning *planning, struct err *err)
{
	const char *environment = planning->environment->name;

	if (planning->deployment_count)
		err_set(err, ERR_NOT_FOUND,
			"no deployment of '%s' can be returned to: %s `unship plan %s --to VERSION` shows all that speaks against one; --no-preserve-data takes the data back as well",
			environment, candidates_text(op->ctx, planning), environment);
	else
		err_set(err, ERR_NOT_FOUND,
			"no deployment of '%s' can be returned to: none is recorded; `unship record %s` records what runs now, so that it can be returned to later",
			environment, environment);
	return err_advised(err);
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
			return no_candidate(op, planning, err);
		best = deployment_by_id(planning, planning->candidates[0].deployment->id);
		r = generate_and_check(op, planning, input, best, err);
		if (r < 0)
			return r;
		for (size_t i = 0; i < planning->findings->count && stands; i++)
			stands = !check_blocks_target(&planning->findings->list[i]);
		if (stands)
			return 0;
		for (size_t i = 0; i < planning->deployment_count; i++)
			if (planning->deployments[i] == best)
				blocked[i] = planning_first_blocking(op->ctx, planning->findings);
	}
	return no_candidate(op, planning, err);
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
	return generate_and_check(op, planning, input, target, err);
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
	if (r < 0) {
		planning->problems = json_keep(op->ctx, problems_errors(problems));
		return r;
	}
	planning->saved_plan = doc_root(doc);
	planning->generated.document = json_keep(op->ctx, plan_json(planning->generated.plan));
	planning->generated.not_reverted = mem_array(op->ctx, const char *, 1);
	rank(op, planning, NULL);
	r = gather_findings(planning, input, err);
	if (r == 0)
		r = check_plan_dependencies(op, planning, err);
	findings_sort(planning->findings);
	return r;
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

int planning_look_around(struct op *op, const struct planning_input *input, json_t *observed, struct planning **ret, struct err *err)
{
	struct planning *planning = mem_zero(op->ctx, struct planning);
	int r;

	*ret = planning;
	r = workspace_environment(op->workspace, input->environment, &planning->environment, err);
	if (r < 0)
		return r;
	for (const char **target = input->targets; target && *target; target++)
		if (!environment_component(planning->environment, *target))
			return err_set(err, ERR_NOT_FOUND, "environment '%s' has no component '%s'", input->environment, *target);
	r = find_deployments(op, planning, err);
	if (r == 0)
		r = checks_begin(op, planning->environment, !input->target_only, &planning->checks, err);
	if (r < 0)
		return r;
	planning->observed = observed;
	if (observed)
		return 0;
	if (op->tell)
		op->tell(op->user,
			mem_printf(op->ctx, "observing %s", text_count(op->ctx, planning->environment->component_count, "component")));
	return workspace_observe(op, planning->environment, NULL, &planning->observed, err);
}

int planning_for(struct op *op, const struct planning *around, const struct planning_input *input, struct deployment *target,
	struct planning **ret, struct err *err)
{
	struct planning *planning = mem_zero(op->ctx, struct planning);

	*planning = *around;
	planning->findings = NULL;
	*ret = planning;
	return generate_for(op, planning, input, target, err);
}

/* What is agreed to: the plan with the state that it was made for, and the difference as it was shown. Of the difference, what goes on changing (rows, ages) is not in it; commits and files follow from the
 * versions. */
static void bind(struct op *op, struct planning *planning)
{
	json_t *bound = json_keep(op->ctx, json_object()), *left = json_array();
	char hex[HASH_HEX_SIZE], *text;

	for (const char **sentence = planning->generated.not_reverted; sentence && *sentence; sentence++)
		json_array_append_new(left, json_string(*sentence));
	json_put_str(bound, "plan", plan_hash(op->ctx, planning->generated.plan, planning->environment->name, planning->observed));
	json_object_set_new(bound, "differences", differences_json(&planning->generated));
	json_object_set_new(bound, "notReverted", left);
	text = json_canonical(op->ctx, bound);
	hash_sha256_hex(text, strlen(text), hex);
	planning->hash = mem_strdup(op->ctx, hex);
}

int planning_make(struct op *op, const struct planning_input *input, struct planning **ret, struct err *err)
{
	struct planning *planning;
	int r;

	r = planning_look_around(op, input, NULL, &planning, err);
	*ret = planning;
	if (r < 0)
		return r;
	if (input->plan_file || input->plan_document)
		r = read_saved_plan(op, planning, input, err);
	else if (input->to)
		r = named_target(op, planning, input, err);
	else
		r = choose_target(op, planning, input, err);
	if (r == 0)
		r = difference_make(op, planning, &planning->difference, err);
	if (r < 0)
		return r;
	bind(op, planning);
	planning->expected = json_keep(op->ctx, plan_expected(planning->generated.plan, planning->observed));
	return 0;
}

static json_t *candidates_json(const struct planning *planning)
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

json_t *planning_without_target(struct op *op, const struct planning *planning)
{
	json_t *answer = json_make(op->ctx, "{s:s}", "environment", planning->environment->name);

	if (planning->present)
		json_object_set_new(answer, "present",
			json_pack("{s:s, s:s}", "deploymentId", planning->present->id, "version", planning->present->version));
	json_object_set_new(answer, "candidates", candidates_json(planning));
	return answer;
}

json_t *planning_json(struct op *op, const struct planning *planning)
{
	json_t *answer = planning_without_target(op, planning), *sentences = json_array();

	if (planning->target)
		json_object_set_new(answer, "target",
			json_pack("{s:s, s:s}", "deploymentId", planning->target->id, "version", planning->target->version));
	json_object_set_new(answer, "differences", differences_json(&planning->generated));
	json_put(answer, "difference", planning->difference);
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
