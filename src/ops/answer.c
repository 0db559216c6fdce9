/* What is told of a run: one document for the command line, the API and the tool of document S2. Made from the journal alone, so that it is the same whoever asks and whenever. */
#include <string.h>

#include "base/clock.h"
#include "ops/planning.h"
#include "ops/runs.h"
#include "runner/runner.h"

static json_t *rolled_back_to(struct op *op, const struct run *run)
{
	struct deployment to;
	struct err ignored = ERR_INIT;

	if (!run->to || store_deployment(op->workspace->store, op->ctx, run->to, &to, &ignored) < 0)
		return NULL;
	return json_make(op->ctx, "{s:s, s:s, s:s}", "deploymentId", to.id, "version", to.version, "timestamp",
		clock_format(op->ctx, to.wall_ms));
}

struct tally {
	size_t components, running;
	bool probed, healthy, config_valid;
};

static struct tally tally_steps(struct op *op, const struct run *run, const struct entry *entries, size_t count)
{
	struct tally tally = { .healthy = true, .config_valid = true };
	json_t *seen = json_keep(op->ctx, json_object()), *running = json_keep(op->ctx, json_object());

	for (size_t i = 0; i < run->plan->step_count; i++) {
		const struct run_step *step = &run->steps[i];
		bool done = step->status == STEP_DONE;

		if (step->subject && done && !strncmp(step->subject, "component ", 10))
			json_object_set_new(seen, step->subject, json_true());
		if (!strcmp(step->step->type, "health")) {
			tally.probed = true;
			tally.healthy = tally.healthy && done;
		}
		if (!strcmp(step->step->type, "configuration"))
			tally.config_valid = tally.config_valid && done;
	}
	for (size_t i = 0; i < count; i++) {
		const struct run_step *step = run_step(run, json_str(entries[i].data, "step", ""));
		const char *state = json_str(json_object_get(entries[i].data, "observed"), "state", NULL);

		if (strcmp(entries[i].kind, ENTRY_STEP_ENDED) != 0 || !step || !step->subject || !state)
			continue;
		if (!strcmp(state, "running"))
			json_object_set_new(running, step->subject, json_true());
		else
			json_object_del(running, step->subject);
	}
	tally.components = json_object_size(seen);
	tally.running = json_object_size(running);
	return tally;
}

/* What was known against it when it was decided. What the end of the run makes true or not is told of the end (left_behind, quarantined). */
static json_t *warnings_of(const struct run *run)
{
	json_t *list = json_array(), *finding;
	size_t index;

	json_array_foreach(json_object_get(run->requested, "findings"), index, finding)
		if (!json_flag(finding, "passed", true) && strcmp(json_str(finding, "severity", ""), "info") != 0 &&
			strcmp(json_str(finding, "name", ""), FINDING_QUARANTINE_AFTER) != 0 &&
			strcmp(json_str(finding, "name", ""), FINDING_UNDO_POSSIBLE) != 0)
			json_array_append_new(list,
				json_sprintf("%s%s%s", json_str(finding, "component", ""),
					json_object_get(finding, "component") ? ": " : "", json_str(finding, "message", "")));
	return list;
}

/* What the end of the run put into quarantine, and how that is lifted; NULL: nothing. */
static json_t *quarantined(struct op *op, const struct entry *entries, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		const char *id = json_str(entries[i].data, "deployment", NULL);
		struct err ignored = ERR_INIT;
		struct deployment deployment;
		json_t *told;

		if (strcmp(entries[i].kind, ENTRY_DEPLOYMENT_QUARANTINE) != 0 || !id ||
			store_deployment(op->workspace->store, op->ctx, id, &deployment, &ignored) < 0)
			continue;
		told = json_make(op->ctx, "{s:s, s:s, s:s, s:s}", "deploymentId", id, "version", deployment.version, "reason",
			json_str(entries[i].data, "reason", ""), "health", health_name(deployment.health));
		json_put_str(told, "lift", mem_printf(op->ctx, "unship deployments release %s --reason '...'", id));
		json_put_flag(told, "lifted", !deployment.quarantine);
		return told;
	}
	return NULL;
}

static void add_phase(json_t *list, const char *name, int64_t ms, int64_t objective_ms)
{
	json_t *phase = json_pack("{s:s, s:I}", "name", name, "ms", (json_int_t)ms);

	if (objective_ms > 0) {
		json_put_int(phase, "objectiveMs", objective_ms);
		json_put_flag(phase, "met", ms <= objective_ms);
	}
	json_array_append_new(list, phase);
}

/* How long each phase took, from the entries' times: the request to the snapshot, the steps, the verification, the whole. */
static json_t *phases_of(struct op *op, const struct run *run, const struct entry *entries, size_t count)
{
	struct environment *environment = project_environment(op->workspace->project, run->environment);
	struct objectives none = { 0 }, *objectives = environment ? &environment->objectives : &none;
	int64_t snapshot = 0, flags_from = 0, flags_to = 0, probe_from = 0, probe_to = 0, undo_from = 0, last = 0;
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		const struct run_step *step = run_step(run, json_str(entries[i].data, "step", ""));
		const char *type = step ? step->step->type : "";
		bool begun = !strcmp(entries[i].kind, ENTRY_STEP_BEGUN), ended = !strcmp(entries[i].kind, ENTRY_STEP_ENDED);
		bool undo = !strcmp(json_str(entries[i].data, "verb", ""), "undo");

		last = entries[i].wall_ms;
		if (!strcmp(entries[i].kind, ENTRY_SNAPSHOT_TAKEN))
			snapshot = entries[i].wall_ms;
		if (begun && undo && !undo_from)
			undo_from = entries[i].wall_ms;
		if (!strcmp(type, "feature-flag") && begun && !flags_from)
			flags_from = entries[i].wall_ms;
		if (!strcmp(type, "feature-flag") && ended && !undo)
			flags_to = entries[i].wall_ms;
		if (!strcmp(type, "health") && ended) {
			probe_to = entries[i].wall_ms;
			probe_from = probe_to - json_int(entries[i].data, "durationMs", 0);
		}
	}
	if (snapshot)
		add_phase(list, "capture", snapshot - run->requested_ms, 0);
	if (flags_from && flags_to)
		add_phase(list, "flags", flags_to - flags_from, objectives->flags_off_ms);
	if (probe_to)
		add_phase(list, "health", probe_to - probe_from, objectives->health_ms);
	if (undo_from)
		add_phase(list, "undo", last - undo_from, 0);
	add_phase(list, "rollback", (run->ended_ms ? run->ended_ms : last) - run->requested_ms, objectives->rollback_ms);
	return list;
}

/* A run that failed: what was touched and is not as before. */
static json_t *left_behind(const struct run *run)
{
	json_t *list = json_array();

	for (size_t i = 0; run->status == RUN_FAILED && i < run->plan->step_count; i++) {
		const struct run_step *step = &run->steps[i];

		if (!step->touched || step->status == STEP_UNDONE)
			continue;
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s*}", "step", step->step->id, "status", step_status_name(step->status), "why",
				step->status == STEP_UNDO_FAILED ? step->message : NULL));
	}
	return list;
}

int run_put_holder(struct op *op, const char *environment, json_t *answer, bool *ret_carried_out, struct err *err)
{
	const char *holder;
	int r;

	r = store_holder(op->workspace->store, op->ctx, runner_claim_name(op->ctx, environment), &holder, err);
	if (r < 0)
		return r;
	*ret_carried_out = holder != NULL;
	json_put_flag(answer, "carriedOut", holder != NULL);
	json_put_str(answer, "holder", holder);
	return 0;
}

static const char *next_step(const void *ctx, const struct run *run, bool carried_out)
{
	switch (run->status) {
	case RUN_COMPLETED:
		return mem_printf(ctx, "`unship undo %s` returns to where it started", run->id);
	case RUN_RESTORED:
		return mem_printf(ctx,
			"the environment is as it was; mend the cause and run the rollback again, or choose another target with --to");
	case RUN_REFUSED:
		return mem_printf(ctx, "nothing was changed; plan again with `unship plan %s`", run->environment);
	case RUN_WAITING:
		for (size_t i = 0; i < run->plan->step_count; i++) {
			const char *step = run->steps[i].step->id;

			if (run->steps[i].wait_for == WAIT_UNKNOWN)
				return mem_printf(ctx,
					"look whether step '%s' took effect, then `unship resume %s --step %s --answer done|retry|restore`",
					step, run->id, step);
			if (run->steps[i].wait_for == WAIT_APPROVAL)
				return mem_printf(ctx, "`unship approve %s` or `unship reject %s`", run->id, run->id);
		}
		return NULL;
	case RUN_FAILED:
		return mem_printf(ctx,
			"look at the steps; `unship snapshots show %s` has what was captured before the run, `unship snapshots restore %s` puts it back",
			run->id, run->id);
	default:
		return carried_out
			? mem_printf(ctx, "`unship status %s --watch` follows it, `unship cancel %s` stops it and takes it back", run->id,
				  run->id)
			: mem_printf(ctx, "`unship resume %s` goes on with it, `unship cancel %s` takes it back", run->id, run->id);
	}
}

int run_answer(struct op *op, const char *run_id, json_t **ret, struct err *err)
{
	struct entry_filter filter = { .run = run_id };
	json_t *answer, *folded;
	struct entry *entries;
	struct tally tally;
	struct run *run;
	bool carried_out = false;
	size_t count;
	int r;

	r = store_read(op->workspace->store, op->ctx, &filter, &entries, &count, err);
	if (r == 0)
		r = run_fold(op->ctx, entries, count, &run, err);
	if (r < 0)
		return err_in(err, "run %s", run_id);
	tally = tally_steps(op, run, entries, count);
	folded = json_keep(op->ctx, run_json(run, entries, count));
	answer = json_make(op->ctx, "{s:b, s:s, s:s, s:s, s:s}", "success", run->status == RUN_COMPLETED, "rollbackId", run->id,
		"timestamp", clock_format(op->ctx, run->requested_ms), "environment", run->environment, "status",
		run_status_name(run->status));
	json_put(answer, "rolledBackTo", run->status == RUN_COMPLETED ? rolled_back_to(op, run) : NULL);
	json_object_set_new(answer, "summary",
		json_pack("{s:I, s:f, s:b}", "servicesRolledBack", (json_int_t)(run->status == RUN_COMPLETED ? tally.components : 0),
			"duration", (double)((run->ended_ms ? run->ended_ms : clock_wall_ms()) - run->requested_ms) / 1000.0,
			"dataPreserved", json_flag(json_object_get(run->requested, "options"), "preserveData", true)));
	json_object_set_new(answer, "validation",
		json_pack("{s:b, s:b, s:I}", "healthChecks", tally.probed && tally.healthy, "configValid", tally.config_valid,
			"servicesRunning", (json_int_t)tally.running));
	if (!run_status_ended(run->status)) {
		r = run_put_holder(op, run->environment, answer, &carried_out, err);
		if (r < 0)
			return r;
	}
	json_object_set_new(answer, "warnings", warnings_of(run));
	json_put(answer, "overrides", json_object_get(run->requested, "overrides"));
	json_put(answer, "quarantined", quarantined(op, entries, count));
	json_object_set_new(answer, "leftBehind", left_behind(run));
	json_put_str(answer, "reason", run->reason);
	json_put_str(answer, "message", run->message);
	if (run->code)
		json_put_str(answer, "code", err_info(run->code)->name);
	json_object_set_new(answer, "phases", phases_of(op, run, entries, count));
	json_put_str(answer, "next", next_step(op->ctx, run, carried_out));
	json_put(answer, "run", folded);
	*ret = answer;
	return 0;
}
