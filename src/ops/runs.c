/* Carrying runs out from an operation.
 *
 * What the end of a run means beyond the run itself is written in the same transaction as its end (accompany): a completed rollback is evidence for its target, marks the deployment that it left as rolled back
 * and puts it into quarantine; a rollback of some components records what stands there afterwards as a deployment of its own; and people are told. So none of it can be lost between two commits. */
#include "ops/runs.h"

#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/text.h"
#include "core/steptype.h"
#include "ops/gate.h"
#include "ops/notify.h"
#include "ops/content.h"
#include "snapshot/project_files.h"

#define NOTIFY_PATIENCE_MS 5000
#define HAND_OVER_MS       1000
#define HAND_OVER_LOOK_MS  2

struct carrier {
	struct op *op;
	const struct environment *environment;
};

static json_t *options_of(const struct run *run)
{
	return json_object_get(run->requested, "options");
}

int run_ensure_free(struct op *op, const char *environment, struct err *err)
{
	struct err none = ERR_INIT;
	struct run_row held;
	int r;

	r = store_unfinished_run(op->workspace->store, op->ctx, environment, &held, &none);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0) {
		*err = none;
		return r;
	}
	return err_set(err, ERR_CONFLICT, "environment '%s' is held by run %s (%s, requested by %s, %s); `unship status %s` shows it",
		environment, held.id, held.status, held.actor, clock_format_age(op->ctx, held.requested_ms, clock_wall_ms()), held.id);
}

int run_refuse(struct op *op, const char *operation, const char *environment, const char *reason, json_t *findings, struct err *err)
{
	struct entry entry = { .kind = ENTRY_REFUSED, .environment = environment, .actor = op->actor };
	struct err append_err = ERR_INIT;

	entry.data = json_make(op->ctx, "{s:s, s:s, s:s, s:s*, s:O*}", "operation", operation, "code", err_info(err->code)->name, "message",
		err->text, "reason", reason, "findings", findings);
	if (store_append(op->workspace->store, op->ctx, &entry, &append_err) < 0) {
		*err = append_err;
		return err_in(err, "the refusal could not be recorded");
	}
	return -(int)err->code;
}

int run_request(struct op *op, const struct environment *environment, json_t *data, const char **ret_id, struct err *err)
{
	const char *id = id_new(op->ctx, "run");
	struct entry *entries = mem_array(op->ctx, struct entry, 2);
	size_t count = 0;
	int r;

	gate_use(op, environment, id, data, entries, &count);
	entries[count++] = (struct entry){ .kind = ENTRY_RUN_REQUESTED,
		.environment = environment->name,
		.run = id,
		.actor = op->actor,
		.data = data };
	notify_entries(op->ctx, environment, "start", id, op->actor,
		mem_printf(op->ctx, "Rollback of %s started by %s: %s", environment->name, op->actor, json_str(data, "reason", "")), NULL,
		&entries, &count);
	r = store_append_all(op->workspace->store, op->ctx, NULL, entries, count, err);
	if (r < 0)
		return r;
	FAILPOINT("run.requested_committed");
	*ret_id = id;
	return 0;
}

/* What was observed before the run, for the snapshot's state file. */
static int seal_snapshot(void *user, const struct run *run, json_t *details, struct err *err)
{
	const struct carrier *carrier = user;
	struct workspace *workspace = carrier->op->workspace;
	struct snapshot_summary summary;
	struct snapshot_store *store;
	int r;

	r = content_store(workspace, &store, err);
	if (r == 0)
		r = snapshot_add_project(mem_printf(store, "%s/%s", workspace->places.open_root, run->id), run->environment,
			workspace->places.project_dir, json_object_get(run->requested, "observed"), err);
	if (r == 0)
		r = snapshot_seal(store, run->id, &summary, err);
	if (r == 0)
		content_describe(&summary, details);
	return r;
}

struct gathered {
	struct entry *list;
	size_t count;
};

static void gather(const void *ctx, struct gathered *gathered, const struct run *run, const char *kind, json_t *data)
{
	gathered->list = mem_resize(ctx, gathered->list, struct entry, gathered->count + 1);
	gathered->list[gathered->count++] =
		(struct entry){ .kind = kind, .environment = run->environment, .run = run->id, .actor = run->actor, .data = data };
}

/* The probes that the run's health step saw: evidence for the target. */
static json_t *health_evidence(const struct run *run)
{
	for (size_t i = run->plan->step_count; i-- > 0;)
		if (!strcmp(run->steps[i].step->type, "health") && run->steps[i].status == STEP_DONE && run->steps[i].outputs)
			return json_object_get(run->steps[i].outputs, "probes");
	return NULL;
}

static bool is_partial(const struct run *run)
{
	return json_array_size(json_object_get(options_of(run), "targets")) > 0;
}

/* After a rollback of some components a mixture stands there that was never recorded: it becomes a deployment of its own, whose kept content is that of the two that it is mixed from. */
static int record_mixture(struct carrier *carrier, const void *ctx, const struct run *run, struct gathered *gathered, struct err *err)
{
	struct store *store = carrier->op->workspace->store;
	const char *id = id_new(ctx, "dep"), *name;
	struct deployment from, to;
	json_t *components, *value;
	void *iterator;
	int r;

	r = store_deployment(store, ctx, run->from, &from, err);
	if (r == 0)
		r = store_deployment(store, ctx, run->to, &to, err);
	if (r == 0)
		r = content_begin(carrier->op,
			&(struct snapshot_metadata){ .id = id, .environment = run->environment, .wall_ms = clock_wall_ms() }, err);
	if (r < 0)
		return r;
	components = json_keep(ctx, json_deep_copy(from.components));
	json_object_foreach_safe(components, iterator, name, value) {
		const char **touched = plan_components(ctx, run->plan);
		bool taken_back = false;

		for (; *touched && !taken_back; touched++)
			taken_back = !strcmp(*touched, name);
		if (taken_back && json_object_get(to.components, name))
			json_object_set(components, name, json_object_get(to.components, name));
		r = content_adopt(carrier->op, id, taken_back ? to.id : from.id, name, err);
		if (r < 0)
			return r;
	}
	r = content_keep(carrier->op, id, err);
	if (r < 0)
		return r;
	gather(ctx, gathered, run, ENTRY_DEPLOYMENT_RECORDED,
		json_make(ctx, "{s:{s:s, s:s, s:s*, s:O, s:s, s:s, s:s}}", "deployment", "id", id, "version",
			mem_printf(ctx, "%s+partial-%s", from.version, to.version), "gitSha", from.git_sha, "components", components,
			"rollbackOf", run->id, "recordedBy", run->actor, "status", "succeeded"));
	return 0;
}

static const char *outcome_sentence(const void *ctx, const struct run *run, enum run_status status)
{
	switch (status) {
	case RUN_COMPLETED:
		return mem_printf(ctx, "Rollback of %s completed", run->environment);
	case RUN_RESTORED:
		return mem_printf(ctx, "Rollback of %s %s; the environment is as it was before: %s", run->environment,
			run->cancelled ? "was cancelled" : "failed", run->message ? run->message : "");
	case RUN_REFUSED:
		return mem_printf(ctx, "Rollback of %s was refused, nothing was changed: %s", run->environment,
			run->message ? run->message : "");
	default:
		return mem_printf(ctx, "Rollback of %s FAILED and is not restored, a person is needed: %s", run->environment,
			run->message ? run->message : "");
	}
}

static int accompany_end(void *user, const void *ctx, const struct run *run, const struct entry *ended, struct entry **ret,
	size_t *ret_count, struct err *err)
{
	struct carrier *carrier = user;
	struct gathered gathered = { 0 };
	json_t *probes = health_evidence(run), *ledger;
	enum run_status status;
	int r;

	r = run_status_parse(json_str(ended->data, "status", ""), &status, err);
	if (r < 0)
		return r;
	if (status == RUN_COMPLETED && run->to) {
		if (is_partial(run) && !run->undo_of)
			r = record_mixture(carrier, ctx, run, &gathered, err);
		else if (probes)
			gather(ctx, &gathered, run, ENTRY_DEPLOYMENT_HEALTH,
				json_make(ctx, "{s:s, s:s, s:s, s:O}", "deployment", run->to, "health", "passing", "source",
					run->undo_of ? "undo" : "rollback", "probes", probes));
		if (r < 0)
			return err_in(err, "recording what stands there now");
		if (run->from && !run->undo_of && strcmp(run->from, run->to) != 0) {
			gather(ctx, &gathered, run, ENTRY_DEPLOYMENT_STATUS,
				json_make(ctx, "{s:s, s:s, s:s}", "deployment", run->from, "status", "rolled-back", "run", run->id));
			gather(ctx, &gathered, run, ENTRY_DEPLOYMENT_QUARANTINE,
				json_make(ctx, "{s:s, s:s}", "deployment", run->from, "reason",
					mem_printf(ctx, "rolled back from: %s", run->reason)));
		}
	}
	r = content_keep_ledger(carrier->op, ctx, run, &ledger, err);
	if (r < 0)
		return r;
	if (ledger)
		gather(ctx, &gathered, run, ENTRY_SNAPSHOT_TAKEN, ledger);
	notify_entries(ctx, carrier->environment, status == RUN_COMPLETED ? "completed" : "failed", run->id, run->actor,
		outcome_sentence(ctx, run, status), NULL, &gathered.list, &gathered.count);
	*ret = gathered.list;
	*ret_count = gathered.count;
	return 0;
}

static int resolve_call(void *user, const struct run *run, json_t *request, struct err *err)
{
	struct carrier *carrier = user;

	return content_resolve(carrier->op, carrier->environment, request, err);
}

static int lay_out_call(void *user, json_t *request, struct err *err)
{
	return content_lay_out(((struct carrier *)user)->op->workspace, request, err);
}

static void forward_watch(void *user, const struct run *run, const struct entry *entry, const struct run_step *step, double share,
	const char *message)
{
	struct op *op = ((struct carrier *)user)->op;

	if (op->watch)
		op->watch(op->user, run, entry, step, share, message);
}

static bool forward_interrupted(void *user)
{
	struct op *op = ((struct carrier *)user)->op;

	return op->interrupted && op->interrupted(op->user);
}

int run_outcome(json_t *answer, struct err *err)
{
	const char *id = json_str(answer, "rollbackId", ""), *message = json_str(answer, "message", NULL);
	enum run_status status;
	int r;

	r = run_status_parse(json_str(answer, "status", ""), &status, err);
	if (r < 0)
		return err_in(err, "run %s", id);
	switch (status) {
	case RUN_PENDING:
	case RUN_IN_PROGRESS:
	case RUN_COMPLETED:
		return 0;
	case RUN_REFUSED:
		return err_set(err, !strcmp(json_str(answer, "code", ""), err_info(ERR_CHANGED)->name) ? ERR_CHANGED : ERR_REFUSED, "%s",
			message ? message : "refused");
	case RUN_RESTORED:
		return err_set(err, ERR_RESTORED, "%s",
			message                                                                 ? message
				: json_flag(json_object_get(answer, "run"), "cancelled", false) ? "cancelled"
												: "failed");
	case RUN_WAITING:
		return err_set(err, ERR_NEEDS_PERSON, "the run waits for a person: `unship status %s` says for what", id);
	default:
		return err_set(err, ERR_NEEDS_PERSON, "%s", message ? message : "failed, and not everything could be restored");
	}
}

static int begin_snapshot(struct op *op, const char *run_id, const struct environment *environment, struct err *err)
{
	struct entry_filter filter = { .run = run_id, .kind = ENTRY_RUN_REQUESTED, .limit = 1 };
	struct snapshot_metadata metadata = { .id = run_id, .environment = environment->name };
	struct entry *requested;
	size_t count;
	int r;

	r = store_read(op->workspace->store, op->ctx, &filter, &requested, &count, err);
	if (r < 0)
		return r;
	if (!count)
		return err_set(err, ERR_NOT_FOUND, "there is no run %s", run_id);
	metadata.wall_ms = requested[0].wall_ms;
	metadata.from = json_str(requested[0].data, "from", NULL);
	metadata.to = json_str(requested[0].data, "to", NULL);
	metadata.preserve_data = json_flag(json_object_get(requested[0].data, "options"), "preserveData", true);
	return content_begin(op, &metadata, err);
}

/* Whoever it was handed to holds it in a moment; until then an answer would say that nobody carries it out. */
static int await_holder(struct op *op, const struct environment *environment, const char *run_id, struct err *err)
{
	const char *claim = runner_claim_name(op->ctx, environment->name), *holder = NULL;
	int64_t until_ms = clock_mono_ms() + HAND_OVER_MS;
	struct run_row row;
	int r;

	for (;;) {
		r = store_run(op->workspace->store, op->ctx, run_id, &row, err);
		if (r == 0)
			r = store_holder(op->workspace->store, op->ctx, claim, &holder, err);
		if (r < 0 || holder || row.ended_ms || !strcmp(row.status, run_status_name(RUN_WAITING)) || clock_mono_ms() >= until_ms)
			return r;
		clock_sleep_ms(HAND_OVER_LOOK_MS);
	}
}

/* Somebody else carries it out. The answer tells how it stands when the hand-over returns: a surface may wait for the end there, or not. */
static int hand_over(struct op *op, const struct environment *environment, const char *run_id, json_t **ret, struct err *err)
{
	int r;

	r = op->hand_over(op->user, environment->name, run_id, err);
	if (r == 0)
		r = await_holder(op, environment, run_id, err);
	if (r == 0)
		r = run_answer(op, run_id, ret, err);
	return r < 0 ? err_in(err, "run %s", run_id) : run_outcome(*ret, err);
}

/* Which start of the machine this is; NULL where it cannot be told. */
static const char *boot_id(const void *ctx)
{
	struct err ignored = ERR_INIT;
	char *text;
	size_t size;

	if (fs_read(ctx, "/proc/sys/kernel/random/boot_id", 256, &text, &size, &ignored) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return *text ? text : NULL;
}

int run_carry_out(struct op *op, const struct environment *environment, const char *run_id, json_t **ret, struct err *err)
{
	struct carrier carrier = { .op = op, .environment = environment };
	struct runner runner = {
		.journal = &op->workspace->store->journal,
		.executor = op->workspace->executor,
		.environment = environment,
		.places = op->workspace->places,
		.actor = op->actor,
		.boot = boot_id(op->ctx),
		.seal = seal_snapshot,
		.resolve = resolve_call,
		.lay_out = lay_out_call,
		.accompany = accompany_end,
		.watch = forward_watch,
		.interrupted = forward_interrupted,
		.user = &carrier,
	};
	struct notifier *notifier = NULL;
	struct err answer_err = ERR_INIT;
	struct run *run = NULL;
	int r;

	if (op->hand_over)
		return hand_over(op, environment, run_id, ret, err);
	r = begin_snapshot(op, run_id, environment, err);
	if (r < 0)
		return r;
	if (environment->notify_count) {
		r = notifier_start(NULL, op->workspace->dir, op->catalogue, &notifier, err);
		if (r < 0)
			return r;
	}
	r = runner_run(&runner, op->ctx, run_id, &run, err);
	content_release(op->workspace);
	if (notifier)
		notifier_stop(notifier, NOTIFY_PATIENCE_MS);
	if (r < 0)
		return r;
	r = run_answer(op, run_id, ret, &answer_err);
	if (r < 0) {
		*err = answer_err;
		return err_in(err, "the run is %s, but its record cannot be read", run_status_name(run->status));
	}
	return run_outcome(*ret, err);
}
