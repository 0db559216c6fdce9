/* Readiness: see readiness.h. Threads: that of the op. */
#include "ops/readiness.h"

#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"
#include "ops/answers.h"
#include "ops/checks.h"
#include "ops/difference.h"
#include "ops/estimate.h"
#include "ops/notify.h"
#include "ops/resources.h"
#include "store/alerts.h"

#define LEARNED_RUNS  100 /* newest requests, and what came of them */
#define LEARNED_STEPS 2000
#define ALERT_HOOK    "readiness" /* alerts of its own stand beside those of monitoring */

/* One deployment that could be returned to. */
struct prospect {
	struct deployment *deployment;
	struct planning *planning;
	struct err err; /* why no plan could be made */
};

/* ---- how long ------------------------------------------------------------------------------------------------------------------ */

/* `read` gives the newest first; what is learned from is told in its order. */
static int learn(struct op *op, const char *environment, const char *kind, size_t limit, struct estimates *estimates, struct err *err)
{
	struct entry_filter filter = { .environment = environment, .kind = kind, .limit = limit, .newest_first = true };
	struct entry *entries;
	size_t count;
	int r;

	r = store_read(op->workspace->store, op->ctx, &filter, &entries, &count, err);
	if (r < 0)
		return r;
	while (count-- > 0)
		estimates_learn(estimates, &entries[count]);
	return 0;
}

static int read_estimates(struct op *op, const char *environment, struct estimates **ret, struct err *err)
{
	static const struct {
		const char *kind;
		size_t limit;
	} kinds[] = { { ENTRY_RUN_REQUESTED, LEARNED_RUNS }, { ENTRY_SNAPSHOT_TAKEN, LEARNED_RUNS }, { ENTRY_STEP_ENDED, LEARNED_STEPS },
		{ ENTRY_RUN_ENDED, LEARNED_RUNS } };
	int r = 0;

	*ret = estimates_new(op->ctx);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++)
		r = learn(op, environment, kinds[i].kind, kinds[i].limit, *ret, err);
	return r;
}

static json_t *estimate_json(const struct estimates *estimates, const struct plan *plan)
{
	struct estimate estimate = estimate_plan(estimates, plan);
	json_t *told = json_pack("{s:s}", "basis", estimate_basis_name(estimate.basis));

	if (estimate.basis != ESTIMATE_NONE) {
		json_put_int(told, "medianMs", estimate.median_ms);
		json_put_int(told, "worstMs", estimate.worst_ms);
	}
	if (estimate.basis == ESTIMATE_RUNS)
		json_put_int(told, "runs", (int64_t)estimate.runs);
	json_put_str(told, "missing", estimate.missing);
	return told;
}

/* ---- which ---------------------------------------------------------------------------------------------------------------------- */

static bool is_lasting_obstacle(const struct finding *finding)
{
	return !finding->passed && finding->severity == SEVERITY_ERROR && check_is_lasting(finding);
}

/* Plans for the newest deployments that differ from what is there; the last stable one is among them. */
static size_t find_prospects(struct op *op, const struct planning *around, const struct planning_input *input,
	const struct candidate *candidates, size_t targets, struct prospect *ret)
{
	const char *stable = NULL;
	size_t count = 0;

	for (size_t i = 0; i < around->deployment_count && !stable; i++)
		stable = candidates[i].last_stable ? candidates[i].deployment->id : NULL;
	for (size_t i = 0; i < around->deployment_count; i++) {
		struct prospect prospect = { .deployment = around->deployments[i] };
		bool is_stable = stable && !strcmp(prospect.deployment->id, stable);

		if ((count >= targets && !is_stable) || (around->present && !strcmp(around->present->id, prospect.deployment->id)))
			continue;
		if (planning_for(op, around, input, prospect.deployment, &prospect.planning, &prospect.err) == 0 &&
			prospect.planning->generated.plan->step_count == 0)
			continue; /* is there already */
		ret[count++] = prospect;
	}
	return count;
}

static int judge(struct op *op, const struct planning *around, const struct planning_input *input, struct prospect *prospects, size_t count,
	struct err *err)
{
	struct planning **plannings = mem_array(op->ctx, struct planning *, count + 1);
	size_t planned = 0;

	for (size_t i = 0; i < count; i++)
		if (!prospects[i].err.code)
			plannings[planned++] = prospects[i].planning;
	return checks_judge(around->checks, plannings, planned, input, err);
}

static int put_lost(struct op *op, struct planning *planning, json_t *target, struct err *err)
{
	json_t *difference;
	int r;

	r = difference_make(op, planning, &difference, err);
	if (r == 0)
		json_put(target, "lost", json_object_get(difference, "willBeLost"));
	return r;
}

static int prospect_json(struct op *op, const struct prospect *prospect, const struct estimates *estimates, json_t **ret, struct err *err)
{
	const struct deployment *deployment = prospect->deployment;
	struct planning *planning = prospect->planning;
	json_t *target = json_make(op->ctx, "{s:s, s:s, s:s, s:s}", "deploymentId", deployment->id, "version", deployment->version,
		"recordedAt", clock_format(op->ctx, deployment->wall_ms), "health", health_name(deployment->health));
	const char *reason = prospect->err.code ? mem_strdup(op->ctx, prospect->err.text) : NULL;
	size_t blocking = prospect->err.code != 0, warnings = 0;
	struct findings *lasting = findings_new(op->ctx);
	int r = 0;

	for (size_t i = 0; !prospect->err.code && i < planning->findings->count; i++) {
		const struct finding *finding = &planning->findings->list[i];

		if (!check_is_lasting(finding))
			continue;
		findings_add(lasting, finding->name, finding->passed, finding->severity, finding->component, finding->evidence, "%s",
			finding->message);
		blocking += is_lasting_obstacle(finding);
		warnings += !finding->passed && finding->severity == SEVERITY_WARNING;
	}
	if (!reason)
		reason = planning_first_blocking(op->ctx, lasting);
	json_put_flag(target, "ready", blocking == 0);
	json_put_str(target, "reason", reason);
	json_put_int(target, "blocking", (int64_t)blocking);
	json_put_int(target, "warnings", (int64_t)warnings);
	json_object_set_new(target, "findings", findings_json(lasting));
	if (!prospect->err.code) {
		json_put_int(target, "steps", (int64_t)planning->generated.plan->step_count);
		json_object_set_new(target, "estimate", estimate_json(estimates, planning->generated.plan));
		r = put_lost(op, planning, target, err);
	}
	*ret = target;
	return r;
}

static json_t *which_json(const struct deployment *deployment)
{
	return json_pack("{s:s, s:s}", "deploymentId", deployment->id, "version", deployment->version);
}

/* The best of those that are ready, as a rollback without --to would choose it. */
static void put_best(json_t *answer, json_t *targets, const struct candidate *candidates, size_t count)
{
	json_t *target;
	size_t index;

	for (size_t i = 0; i < count; i++) {
		if (!candidates[i].eligible)
			continue;
		json_array_foreach(targets, index, target)
			if (json_flag(target, "ready", false) &&
				!strcmp(json_str(target, "deploymentId", ""), candidates[i].deployment->id)) {
				json_object_set_new(answer, "best", which_json(candidates[i].deployment));
				return;
			}
	}
}

int readiness_look(struct op *op, struct environment *environment, size_t targets, json_t **ret, struct err *err)
{
	struct planning_input input = { .environment = environment->name, .preserve_data = true };
	json_t *answer = json_make(op->ctx, "{s:s, s:s}", "environment", environment->name, "at", clock_format(op->ctx, clock_wall_ms())),
	       *list = json_keep(op->ctx, json_array());
	struct candidate *candidates;
	struct prospect *prospects;
	struct estimates *estimates;
	struct planning *around;
	size_t count, ready = 0;
	int r;

	r = planning_look_around(op, &input, NULL, &around, err);
	if (r == 0)
		r = read_estimates(op, environment->name, &estimates, err);
	if (r < 0)
		return r;
	candidates = candidates_rank(op->ctx, (const struct deployment *const *)around->deployments, around->deployment_count,
		around->present ? around->present->id : NULL, NULL);
	prospects = mem_array(op->ctx, struct prospect, targets + 2);
	count = find_prospects(op, around, &input, candidates, targets, prospects);
	r = judge(op, around, &input, prospects, count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		json_t *target;

		r = prospect_json(op, &prospects[i], estimates, &target, err);
		if (r < 0)
			break;
		ready += json_flag(target, "ready", false);
		json_array_append(list, target);
	}
	if (r < 0)
		return r;
	if (around->present)
		json_object_set_new(answer, "present", which_json(around->present));
	json_put_int(answer, "ready", (int64_t)ready);
	put_best(answer, list, candidates, around->deployment_count);
	json_put_int(answer, "objectiveMs", environment->objectives.rollback_ms);
	json_put(answer, "targets", list);
	*ret = answer;
	return 0;
}

/* ---- what is kept of it ----------------------------------------------------------------------------------------------------------- */

json_t *readiness_summary(json_t *answer)
{
	json_t *summary = json_object(), *targets = json_array(), *target, *one;
	size_t index;

	json_put(summary, "ready", json_object_get(answer, "ready"));
	json_put_str(summary, "best", json_str(json_object_get(answer, "best"), "deploymentId", NULL));
	json_array_foreach(json_object_get(answer, "targets"), index, target) {
		one = json_object();
		json_put_str(one, "deployment", json_str(target, "deploymentId", ""));
		json_put_str(one, "version", json_str(target, "version", ""));
		json_put(one, "ready", json_object_get(target, "ready"));
		json_put_str(one, "reason", json_str(target, "reason", NULL));
		json_array_append_new(targets, one);
	}
	json_object_set_new(summary, "targets", targets);
	return summary;
}

bool readiness_is_news(json_t *before, json_t *now)
{
	json_t *old, *new;
	size_t i, k;

	if ((json_int(before, "ready", 0) > 0) != (json_int(now, "ready", 0) > 0))
		return true;
	json_array_foreach(json_object_get(now, "targets"), i, new)
		json_array_foreach(json_object_get(before, "targets"), k, old)
			if (!strcmp(json_str(old, "deployment", ""), json_str(new, "deployment", "")) &&
				json_flag(old, "ready", false) != json_flag(new, "ready", false))
				return true;
	return false;
}

static int last_kept(struct op *op, const char *environment, json_t **ret, struct err *err)
{
	struct entry_filter filter = { .environment = environment, .kind = ENTRY_READINESS_CHANGED, .limit = 1, .newest_first = true };
	struct entry *entries;
	size_t count;
	int r;

	r = store_read(op->workspace->store, op->ctx, &filter, &entries, &count, err);
	*ret = r == 0 && count ? entries[0].data : NULL;
	return r;
}

static int tell_alert(struct op *op, const struct environment *environment, bool firing, const char *summary, struct err *err)
{
	struct alert alert = { .hook = ALERT_HOOK,
		.fingerprint = environment->name,
		.environment = environment->name,
		.firing = firing,
		.labels = json_make(op->ctx, "{s:s, s:s}", "alertname", "NoReadyRollbackTarget", "environment", environment->name),
		.annotations = json_make(op->ctx, "{s:s}", "summary", summary) };
	size_t news;

	return store_alerts_take(op->workspace->store, op->ctx, &alert, 1, op->actor, &news, err);
}

static const char *news_text(struct op *op, const struct environment *environment, json_t *now)
{
	json_t *first = json_array_get(json_object_get(now, "targets"), 0);
	int64_t ready = json_int(now, "ready", 0);

	if (ready)
		return mem_printf(op->ctx, "%s can be rolled back to %s", environment->name,
			text_count(op->ctx, (uint64_t)ready, "deployment"));
	return mem_printf(op->ctx, "%s cannot be rolled back now: %s%s%s", environment->name, json_str(first, "version", ""),
		first ? ": " : "no deployment to return to", json_str(first, "reason", ""));
}

int readiness_keep(struct op *op, const struct environment *environment, json_t *answer, bool *ret_news, struct err *err)
{
	struct entry *entries = mem_array(op->ctx, struct entry, 1);
	json_t *before, *now = json_keep(op->ctx, readiness_summary(answer));
	bool ready = json_int(now, "ready", 0) > 0, stranded = !ready && json_array_size(json_object_get(now, "targets")) > 0;
	const char *text = news_text(op, environment, now);
	size_t count = 1;
	int r;

	r = last_kept(op, environment->name, &before, err);
	if (r < 0)
		return r;
	*ret_news = readiness_is_news(before, now) || (stranded && !before);
	if (!*ret_news)
		return 0;
	json_put(now, "before", json_object_get(before, "ready"));
	entries[0] = (struct entry){ .kind = ENTRY_READINESS_CHANGED, .environment = environment->name, .actor = op->actor, .data = now };
	if (stranded)
		notify_about(op->ctx, environment, "readiness", id_new(op->ctx, "rdy"), NULL, op->actor, text, NULL, &entries, &count);
	r = store_append_all(op->workspace->store, op->ctx, NULL, entries, count, err);
	if (r == 0 && (stranded || ready))
		r = tell_alert(op, environment, stranded, text, err);
	if (r == 0)
		notify_now(op, environment);
	return r;
}

/* ---- when one is recorded -------------------------------------------------------------------------------------------------------- */

/* What speaks against the former one itself, because of what was deployed over it: its quarantine and its health were so before. */
static json_t *obstacles(struct op *op, const struct planning *planning, const char **ret_reason)
{
	struct findings *against = findings_new(op->ctx);

	for (size_t i = 0; i < planning->findings->count; i++) {
		const struct finding *finding = &planning->findings->list[i];

		if (check_blocks_target(finding))
			findings_add(against, finding->name, false, finding->severity, finding->component, finding->evidence, "%s",
				finding->message);
	}
	*ret_reason = planning_first_blocking(op->ctx, against);
	return json_keep(op->ctx, findings_json(against));
}

static int say_unreachable(struct op *op, const struct environment *environment, const struct deployment *recorded,
	const struct deployment *former, const char *reason, json_t *findings, bool allowed, json_t *answer, struct err *err)
{
	struct entry *entries = mem_array(op->ctx, struct entry, 1);
	const char *text = mem_printf(op->ctx, "%s (%s) can no longer be returned to, since %s was recorded: %s", former->version,
		former->id, recorded->version, reason);
	json_t *warnings = json_object_get(answer, "warnings");
	size_t count = 1;
	int r;

	json_object_set_new(answer, "unreachable",
		json_pack("{s:s, s:s, s:s, s:O, s:b}", "deploymentId", former->id, "version", former->version, "reason", reason, "findings",
			findings, "allowed", allowed));
	json_array_append_new(warnings, json_string(text));
	entries[0] = (struct entry){ .kind = ENTRY_READINESS_LOST, .environment = environment->name, .actor = op->actor };
	entries[0].data = json_make(op->ctx, "{s:s, s:s, s:s, s:s, s:O, s:b}", "deployment", recorded->id, "unreachable", former->id,
		"version", former->version, "reason", reason, "findings", findings, "allowed", allowed);
	if (!allowed)
		notify_about(op->ctx, environment, "readiness", recorded->id, NULL, op->actor, text, NULL, &entries, &count);
	r = store_append_all(op->workspace->store, op->ctx, NULL, entries, count, err);
	if (r == 0 && !allowed)
		notify_now(op, environment);
	return r;
}

int readiness_after_record(struct op *op, struct environment *environment, const struct deployment *recorded, struct deployment *former,
	json_t *observed, bool allowed, json_t *answer, struct err *err)
{
	struct planning_input input = { .environment = environment->name, .preserve_data = true, .target_only = true };
	struct planning *around, *planning = NULL;
	struct err why = ERR_INIT;
	const char *reason;
	json_t *findings;
	int r;

	if (recorded->status == DEPLOYMENT_FAILED) /* the one before it is still the one that counts */
		return 0;
	r = planning_look_around(op, &input, observed, &around, &why);
	if (r == 0)
		r = planning_for(op, around, &input, former, &planning, &why);
	if (r == 0)
		r = checks_judge(around->checks, &planning, 1, &input, &why);
	if (r < 0) { /* it is recorded all the same */
		json_array_append_new(json_object_get(answer, "warnings"),
			json_sprintf("it could not be told whether %s (%s) can still be returned to: %s", former->version, former->id,
				why.text));
		return 0;
	}
	findings = obstacles(op, planning, &reason);
	if (planning->generated.plan->step_count == 0 || !reason)
		return 0;
	return say_unreachable(op, environment, recorded, former, reason, findings, allowed, answer, err);
}

/* ---- the operation ------------------------------------------------------------------------------------------------------------------ */

struct readiness_params {
	const char *environment;
	int64_t targets;
};

static const struct field show_fields[] = { FIELD_NAME(struct readiness_params, environment, REQUIRED, "environment"),
	FIELD_INT(struct readiness_params, targets, OPTIONAL, 1, 50,
		"how many deployments, newest first; as the environment's `readiness` says when missing"),
	FIELD_END };

static int readiness_show(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct readiness_params *p = params;
	struct environment *environment;
	int r;

	r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r < 0)
		return r;
	return readiness_look(op, environment, (size_t)(p->targets ? p->targets : environment->readiness.targets), ret, err);
}

OPERATION(op_readiness_show, "readiness.show", "GET", "/environments/{environment}/readiness", PERMIT_VIEW,
	"could it be rolled back right now: to which deployments, how long would it take, what would be lost", show_fields,
	struct readiness_params, readiness_show, .answer = readiness_shape);
