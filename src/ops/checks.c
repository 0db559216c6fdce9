/* Safety checks: see checks.h.
 *
 * Who is asked, and how it is bounded: drivers and probes work in processes with a deadline; the file system is asked in a thread that can be given up (base/aside.h); the rest is known
 * already. Probes of what the environment needs from outside are begun before it is observed, and run on while drivers check.
 *
 * Threads: that of the op. */
#include "ops/checks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/aside.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "core/migrating.h"
#include "core/run.h"
#include "core/steptype.h"
#include "ops/content.h"

#define DISK_FREE_MIN     (64u << 20)
#define MEMORY_FREE_SHARE 20 /* a twentieth of the memory should be free before services start */
#define MEMORY_FREE_MIN   (128u << 20)
#define LOAD_PER_CPU      4.0
#define SNAPSHOTS_SEEN    5
#define LOCAL_LIMIT_MS    5000
#define PROBE_LIMIT_MS    10000
#define STAYS_LIMIT_MS    5000 /* a driver's, about what stays as it is: nobody waits long for a warning */
#define PROC_FILE_MAX     65536

/* A driver's answer that is waited for. */
struct asked {
	struct planning *planning;
	const char *component;
	bool changes;
};

/* A probe that is run before a rollback. */
struct probed {
	const struct probe_config *probe;
	bool of_server;
	size_t call;
};

struct checks {
	struct op *op;
	struct environment *environment;
	int64_t begun_ms;
	struct aside *local; /* NULL: over */
	struct local_job *found;
	bool local_late;
	struct executor *executor; /* of the probes: they run beside what drivers are asked */
	struct executor_calls *calls;
	bool ask_probes;
	struct probed *probes;
	size_t probe_count;
	struct run_row unfinished; /* id NULL: none */
	uint64_t snapshot_bytes;
};

/* ---- the machine --------------------------------------------------------------------------------------------------------- */

/* All strings are its own: it may outlive the request (aside.h). */
struct local_job {
	char *folder;
	uint64_t free_bytes;
	int64_t device;
	struct err disk;
	struct headroom headroom;
	struct err machine;
};

static int look_at_load(struct local_job *job, struct err *err)
{
	char *meminfo, *loadavg;
	int r;

	r = fs_read(job, "/proc/meminfo", PROC_FILE_MAX, &meminfo, NULL, err);
	if (r == 0)
		r = fs_read(job, "/proc/loadavg", PROC_FILE_MAX, &loadavg, NULL, err);
	return r < 0 ? r : headroom_read(job, meminfo, loadavg, &job->headroom, err);
}

static int look_at_disk(struct local_job *job, struct err *err)
{
	struct stat status;
	int r;

	r = fs_free_bytes(job->folder, &job->free_bytes, err);
	if (r == 0 && stat(job->folder, &status) < 0)
		return err_errno(err, errno, "%s", job->folder);
	job->device = r == 0 ? (int64_t)status.st_dev : -1;
	return r;
}

static void look_at_machine(void *user)
{
	struct local_job *job = user;

	/* Whether it went well stands in the error. */
	(void)!look_at_disk(job, &job->disk);
	(void)!look_at_load(job, &job->machine);
}

int headroom_read(const void *ctx, const char *meminfo, const char *loadavg, struct headroom *ret, struct err *err)
{
	struct headroom headroom = { .processors = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L) };
	unsigned long long kib;

	for (char **lines = text_split(ctx, meminfo, '\n'); *lines; lines++) {
		if (sscanf(*lines, "MemTotal: %llu kB", &kib) == 1)
			headroom.memory_bytes = kib * 1024;
		else if (sscanf(*lines, "MemAvailable: %llu kB", &kib) == 1)
			headroom.available_bytes = kib * 1024;
	}
	if (!headroom.memory_bytes || sscanf(loadavg, "%lf", &headroom.load) != 1)
		return err_set(err, ERR_UNSUPPORTED, "the system does not tell how much memory is free, or how busy it is");
	*ret = headroom;
	return 0;
}

void check_capacity(const struct headroom *headroom, size_t starts, struct findings *findings)
{
	uint64_t wanted = MAX(headroom->memory_bytes / MEMORY_FREE_SHARE, (uint64_t)MEMORY_FREE_MIN);
	bool memory = headroom->available_bytes >= wanted, load = headroom->load <= LOAD_PER_CPU * headroom->processors;
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *evidence = json_make(tmp, "{s:I, s:I, s:f, s:i}", "availableBytes", (json_int_t)headroom->available_bytes, "wantedBytes",
		(json_int_t)wanted, "load", headroom->load, "processors", (int)headroom->processors);

	findings_add(findings, "capacity", memory && load, SEVERITY_WARNING, NULL, evidence,
		"%s to start on this machine, with %s of %s of memory free and a load of %.1f on %s%s", text_count(tmp, starts, "service"),
		text_format_size(tmp, headroom->available_bytes), text_format_size(tmp, headroom->memory_bytes), headroom->load,
		text_count(tmp, headroom->processors, "processor"),
		memory && load   ? ""
			: memory ? ": it is so busy that they may start late"
				 : ": that is little, they may be ended for lack of memory");
}

/* ---- what is asked before a target is known ------------------------------------------------------------------------------- */

static int checks_free(struct checks *checks)
{
	if (checks->local)
		(void)talloc_free(aside_end(checks->local, 0)); /* given up: it frees itself when it comes back */
	(void)talloc_free(checks->calls);                       /* before the executor, which they belong to */
	return 0;
}

static int begin_probe(struct checks *checks, const struct probe_config *probe, bool of_server, struct err *err)
{
	/* A dependency of the server belongs to no environment. */
	static const struct environment server = { .name = "server" };
	struct op *op = checks->op;
	int64_t now_ms = clock_mono_ms();
	struct work work;
	int r;

	r = call_probe(op->ctx, of_server ? &server : checks->environment, probe, NULL, &op->workspace->places, now_ms,
		now_ms + MIN(probe->timeout_ms, (int64_t)PROBE_LIMIT_MS), &work, err);
	if (r < 0)
		return err_in(err, "probe '%s'", probe->name);
	checks->probes = mem_resize(checks, checks->probes, struct probed, checks->probe_count + 1);
	checks->probes[checks->probe_count++] = (struct probed){ .probe = probe,
		.of_server = of_server,
		.call = executor_calls_add(checks->calls, &work) };
	return 0;
}

static int begin_outside(struct checks *checks, struct err *err)
{
	const struct server_config *server = &checks->op->workspace->project->server;
	int r;

	r = process_executor_new(checks, checks->op->workspace->catalogue, &checks->executor, err);
	if (r < 0)
		return r;
	checks->executor->interrupted = checks->op->workspace->executor->interrupted;
	checks->executor->interrupted_user = checks->op->workspace->executor->interrupted_user;
	checks->calls = executor_calls_new(checks, checks->executor);
	for (size_t i = 0; r == 0 && checks->ask_probes && i < checks->environment->probe_count; i++)
		if (checks->environment->probes[i].external)
			r = begin_probe(checks, &checks->environment->probes[i], false, err);
	for (size_t i = 0; r == 0 && checks->ask_probes && i < server->dependency_count; i++)
		r = begin_probe(checks, &server->dependencies[i], true, err);
	return r;
}

/* How large the next snapshot will be: the largest of the newest that were taken here. */
static int last_snapshot(struct checks *checks, struct err *err)
{
	struct snapshot_row *rows;
	size_t count;
	int r;

	r = store_snapshots(checks->op->workspace->store, checks->op->ctx, checks->environment->name, &rows, &count, err);
	for (size_t i = 0; r == 0 && i < MIN(count, (size_t)SNAPSHOTS_SEEN); i++)
		checks->snapshot_bytes = MAX(checks->snapshot_bytes, (uint64_t)MAX(rows[i].bytes, (int64_t)0));
	return r;
}

int checks_begin(struct op *op, struct environment *environment, bool probes, struct checks **ret, struct err *err)
{
	struct checks *checks = mem_zero(op->ctx, struct checks);
	struct local_job *job = mem_zero(NULL, struct local_job);
	struct err none = ERR_INIT;
	int r;

	checks->op = op;
	checks->environment = environment;
	checks->begun_ms = clock_mono_ms();
	checks->ask_probes = probes;
	talloc_set_destructor(checks, checks_free);
	job->folder = mem_strdup(job, op->workspace->places.state_dir);
	checks->local = aside_begin(look_at_machine, job);
	r = begin_outside(checks, err);
	if (r == 0)
		r = last_snapshot(checks, err);
	if (r < 0)
		return r;
	r = store_unfinished_run(op->workspace->store, op->ctx, environment->name, &checks->unfinished, &none);
	if (r < 0 && r != -ERR_NOT_FOUND) {
		*err = none;
		return r;
	}
	if (r < 0)
		checks->unfinished.id = NULL;
	*ret = checks;
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------ */

static const struct check *find_check(const char *name)
{
	for (const struct check *check = checks_table; check->name; check++)
		if (!strcmp(check->name, name))
			return check;
	return NULL;
}

static int64_t limit_of(const struct checks *checks, const struct check *check)
{
	return check->limit_ms < 0 ? checks->environment->check_timeout_ms : check->limit_ms;
}

/* A check that has no answer in its time: never a hang, and never silence. */
static void add_timeout(struct checks *checks, struct findings *findings, const char *name, const char *component, const char *more)
{
	const struct check *check = find_check(name);
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *evidence = json_make(tmp, "{s:s, s:I}", "check", name, "limitMs", (json_int_t)limit_of(checks, check));

	findings_add(findings, "check_timeout", false, check->severity, component, evidence, "'%s' had no answer in its time%s%s: %s", name,
		more ? " " : "", more ? more : "", check->asks);
}

static void judge_free(struct checks *checks, struct planning *planning)
{
	const struct run_row *run = &checks->unfinished;
	_cleanup_talloc_ void *tmp = mem_context(NULL);

	findings_add(planning->findings, "environment_free", !run->id, SEVERITY_ERROR, NULL,
		run->id ? json_make(tmp, "{s:s, s:s, s:s*}", "run", run->id, "status", run->status, "actor", run->actor) : NULL,
		run->id ? "run %s of %s is %s: it holds '%s'; `unship status %s` tells more" : "no run is unfinished here", run->id,
		run->actor ? run->actor : "somebody", run->status, checks->environment->name, run->id);
}

/* Drift: what runs is not what was recorded. A warning, because that is the state in which people need a rollback. */
static void judge_observed(unused_arg struct checks *checks, struct planning *planning)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	const char *name;
	json_t *observed;

	json_object_foreach(planning->observed, name, observed) {
		json_t *error = json_object_get(observed, "error");
		const char *recorded, *now = json_str(observed, "version", "");

		if (error) {
			findings_add(planning->findings, "component_observable", false, SEVERITY_ERROR, name, error,
				"cannot be observed: %s", json_str(error, "message", ""));
			continue;
		}
		if (!planning->present)
			continue;
		recorded = json_str(json_object_get(planning->present->components, name), "version", NULL);
		if (!recorded)
			continue;
		findings_add(planning->findings, "system_state", !strcmp(recorded, now), SEVERITY_WARNING, name,
			json_make(tmp, "{s:s, s:s}", "recorded", recorded, "observed", now),
			strcmp(recorded, now) ? "drift: '%s' was recorded, %s%s%s is there now" : "is as recorded: '%s'", recorded,
			*now ? "'" : "", *now ? now : "nothing", *now ? "'" : "");
	}
}

static void judge_target(unused_arg struct checks *checks, struct planning *planning)
{
	const struct deployment *target = planning->target;
	struct findings *findings = planning->findings;
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *evidence = json_make(tmp, "{s:s, s:s, s:s, s:I, s:I, s:s*}", "deploymentId", target->id, "status",
		deployment_status_name(target->status), "health", health_name(target->health), "passing", (json_int_t)target->passing,
		"failing", (json_int_t)target->failing, "quarantine", target->quarantine);

	findings_add(findings, "target_exists", true, SEVERITY_ERROR, NULL, evidence, "%s is in the registry", target->id);
	findings_add(findings, "target_status", target->status == DEPLOYMENT_SUCCEEDED || target->status == DEPLOYMENT_ROLLED_BACK,
		SEVERITY_ERROR, NULL, evidence, "the target deployment %s", deployment_status_name(target->status));
	findings_add(findings, "target_health", target->health != HEALTH_FAILING, SEVERITY_ERROR, NULL, evidence,
		"the target's latest health evidence is %s (%lld passing, %lld failing results)", health_name(target->health),
		(long long)target->passing, (long long)target->failing);
	findings_add(findings, "target_quarantine", !target->quarantine, SEVERITY_ERROR, NULL, evidence, "%s%s",
		target->quarantine ? "the target is quarantined: " : "the target is not quarantined",
		target->quarantine ? target->quarantine : "");
}

/* A deployment in which a critical component was not there or did not run is no proven state, whatever the probes said of something else. */
static void judge_complete(struct checks *checks, struct planning *planning)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);

	for (size_t i = 0; i < checks->environment->component_count; i++) {
		const struct component *component = &checks->environment->components[i];
		const char *state = json_str(json_object_get(planning->target->components, component->name), "state", "");
		bool missing = !strcmp(state, "stopped") || !strcmp(state, "absent");

		if (component->critical)
			findings_add(planning->findings, "target_complete", !missing, SEVERITY_ERROR, component->name,
				json_make(tmp, "{s:s, s:s}", "deploymentId", planning->target->id, "state", state),
				missing ? "it is critical, and was %s when the target was recorded" : "was %s when the target was recorded",
				*state ? state : "there");
	}
}

static json_t *touched_by(const void *ctx, const struct planning *planning)
{
	json_t *touched = json_keep(ctx, json_object());

	for (const char **name = plan_components(ctx, planning->generated.plan); *name; name++)
		json_object_set_new(touched, *name, json_true());
	for (size_t i = 0; i < planning->generated.difference_count; i++)
		if (planning->generated.differences[i].changes)
			json_object_set_new(touched, planning->generated.differences[i].component, json_true());
	return touched;
}

static void judge_compatibility(struct checks *checks, struct planning *planning)
{
	struct compat_input facts = {
		.from_version = planning->present ? planning->present->version : NULL,
		.to_version = planning->target->version,
		.live = planning->observed,
		.target = planning->target->components,
		.returning = json_keep(checks->op->ctx, json_object()),
		.migrating = json_keep(checks->op->ctx,
			plan_migrating(checks->environment, planning->generated.plan, planning->observed, planning_kind_of,
				checks->op->workspace)),
		.preserve_data = planning->preserve_data,
	};

	for (size_t i = 0; i < planning->generated.difference_count; i++)
		if (planning->generated.differences[i].changes)
			json_object_set_new(facts.returning, planning->generated.differences[i].component, json_true());
	compat_check(&facts, planning->findings);
}

/* Whoever leaves a deployment by a rollback does not want to be brought back to it: it goes into quarantine. With passing evidence that is
 * worth a word: it may be that only the way back began there. */
static void judge_quarantine_after(unused_arg struct checks *checks, struct planning *planning)
{
	const struct deployment *present = planning->present;
	bool proven = present && present->health == HEALTH_PASSING;
	_cleanup_talloc_ void *tmp = mem_context(NULL);

	if (!present || !strcmp(present->id, planning->target->id) || planning->generated.plan->step_count == 0 || present->quarantine)
		return;
	findings_add(planning->findings, FINDING_QUARANTINE_AFTER, false, proven ? SEVERITY_WARNING : SEVERITY_INFO, NULL,
		json_make(tmp, "{s:s, s:s}", "deploymentId", present->id, "health", health_name(present->health)),
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
	_cleanup_talloc_ void *tmp = mem_context(NULL);

	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];

		if (!step_undoes(op, environment, step))
			findings_add(findings, FINDING_UNDO_POSSIBLE, false, SEVERITY_WARNING, step_component(step),
				json_make(tmp, "{s:s, s:s}", "step", step->id, "type", step->type),
				"step '%s' has no undo: when it or a later step fails, what it did stays, and the run ends as failed",
				step->id);
	}
}

static void judge_undo(struct checks *checks, struct planning *planning)
{
	planning_check_undo(checks->op, checks->environment, planning->generated.plan, planning->findings);
}

/* Probes of what is outside, and of components that are neither touched nor use what is: those are expected to pass now. */
static void judge_probes(struct checks *checks, struct planning *planning)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *affected = json_keep(tmp, plan_affected(checks->environment, touched_by(tmp, planning)));

	for (size_t i = 0; i < checks->probe_count; i++) {
		const struct probed *probed = &checks->probes[i];
		const struct probe_config *probe = probed->probe;
		const struct work_result *result = executor_calls_result(checks->calls, probed->call);
		bool outside = probe->external || probed->of_server,
		     failed = strcmp(json_str(result->result, "status", "fail"), "fail") == 0;
		const char *name = outside ? "dependency_reachable" : "component_health",
			   *message = result->result ? json_str(result->result, "message", "") : result->err.text;

		if (!outside && json_object_get(affected, probe->component))
			continue;
		if (!result->result && result->err.code == ERR_TIMEOUT && !outside)
			add_timeout(checks, planning->findings, name, probe->component, mem_printf(tmp, "(probe '%s')", probe->name));
		else
			findings_add(planning->findings, name, !failed, probe->external ? SEVERITY_ERROR : SEVERITY_WARNING,
				probe->component,
				json_make(tmp, "{s:s, s:s, s:b, s:b}", "probe", probe->name, "type", probe->type, "ofServer",
					probed->of_server, "answered", result->result != NULL),
				"probe '%s'%s %s%s%s", probe->name, probed->of_server ? " of the server" : "", failed ? "fails" : "passes",
				*message ? ": " : "", message);
	}
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

/* What a component that stays as it is has against itself does not keep others from going back. */
static void soften(struct planning *planning, size_t first)
{
	for (size_t i = first; i < planning->findings->count; i++) {
		struct finding *finding = &planning->findings->list[i];

		if (finding->severity == SEVERITY_ERROR)
			finding->severity = SEVERITY_WARNING;
	}
}

static void judge_driver(struct checks *checks, const struct asked *asked, const struct work_result *result)
{
	struct planning *planning = asked->planning;
	size_t first = planning->findings->count;
	struct err why = result->err;

	if (!result->result && why.code == ERR_TIMEOUT)
		add_timeout(checks, planning->findings, "check_possible", asked->component, NULL);
	else if (!result->result ||
		findings_read(planning->findings, asked->component, json_object_get(result->result, "findings"), &why) < 0)
		findings_add(planning->findings, "check_possible", false, SEVERITY_ERROR, asked->component,
			json_make(checks->op->ctx, "{s:s}", "code", err_info(why.code)->name), "the driver could not check: %s", why.text);
	if (planning->target)
		explain_missing(planning, asked->component, first);
	if (!asked->changes)
		soften(planning, first);
}

/* ---- room ------------------------------------------------------------------------------------------------------------------ */

void check_room(const struct room *room, struct findings *findings)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	uint64_t release_bytes = 0, needed;
	json_t *evidence;

	/* What drivers say that they will write on the same file system. */
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];

		if (!strcmp(finding->name, "disk_space") && finding->component && json_int(finding->evidence, "device", -1) == room->device)
			release_bytes += (uint64_t)MAX(json_int(finding->evidence, "neededBytes", 0), (int64_t)0);
	}
	needed = MAX(room->snapshot_bytes, (uint64_t)0) + release_bytes + DISK_FREE_MIN;
	evidence = json_make(tmp, "{s:s, s:I, s:I, s:I, s:I}", "folder", room->folder, "freeBytes", (json_int_t)room->free_bytes,
		"neededBytes", (json_int_t)needed, "snapshotBytes", (json_int_t)room->snapshot_bytes, "releaseBytes",
		(json_int_t)release_bytes);
	findings_add(findings, "disk_space", room->free_bytes >= needed, SEVERITY_ERROR, NULL, evidence,
		"%s free in %s; %s are needed for the snapshot (the last one had %s) and what is written beside it (%s)",
		text_format_size(tmp, room->free_bytes), room->folder, text_format_size(tmp, needed),
		text_format_size(tmp, room->snapshot_bytes), text_format_size(tmp, release_bytes));
}

static void judge_disk(struct checks *checks, struct planning *planning)
{
	const struct local_job *found = checks->found;
	struct room room;

	if (!found) {
		add_timeout(checks, planning->findings, "disk_space", NULL, checks->op->workspace->places.state_dir);
	} else if (found->disk.code) {
		findings_add(planning->findings, "disk_space", false, SEVERITY_ERROR, NULL,
			json_make(checks->op->ctx, "{s:s, s:s}", "folder", found->folder, "code", err_info(found->disk.code)->name), "%s",
			found->disk.text);
	} else {
		room = (struct room){ found->folder, found->free_bytes, checks->snapshot_bytes, found->device };
		check_room(&room, planning->findings);
	}
}

static void judge_capacity(struct checks *checks, struct planning *planning)
{
	const struct plan *plan = planning->generated.plan;
	size_t starts = 0;

	for (size_t i = 0; i < plan->step_count; i++) {
		const char *action = json_str(plan->steps[i].parameters, "action", "");

		starts += !strcmp(plan->steps[i].type, "service") && (!strcmp(action, "start") || !strcmp(action, "restart"));
	}
	if (!starts)
		return;
	if (!checks->found)
		add_timeout(checks, planning->findings, "capacity", NULL, NULL);
	else if (checks->found->machine.code)
		findings_add(planning->findings, "capacity", false, SEVERITY_INFO, NULL, NULL, "%s", checks->found->machine.text);
	else
		check_capacity(&checks->found->headroom, starts, planning->findings);
}

/* clang-format off */
const struct check checks_table[] = {
	{ "environment_free",     "is no run unfinished here?", SEVERITY_ERROR, 0, false, false, judge_free },
	{ "system_state",         "is what is there what was recorded, and can it be observed?", SEVERITY_ERROR, 0, false, true, judge_observed },
	{ "target_status",        "was the target a success, is its evidence good, is it out of quarantine?", SEVERITY_ERROR, 0, true, true, judge_target },
	{ "target_complete",      "did every critical component run with the target?", SEVERITY_ERROR, 0, true, true, judge_complete },
	{ "schema_compatibility", "can the target's code work on what stays as it is: schema, configuration, flags, other services?", SEVERITY_ERROR, 0, true, true, judge_compatibility },
	{ "undo_possible",        "can every step be taken back?", SEVERITY_WARNING, 0, false, true, judge_undo },
	{ "quarantine_after",     "what becomes of the deployment that is left?", SEVERITY_INFO, 0, true, false, judge_quarantine_after },
	{ "check_possible",       "can its driver go to the target?", SEVERITY_ERROR, -1, true, true, NULL }, /* drivers: judge_driver, before the next rows */
	{ "dependency_reachable", "does what the environment needs from outside answer?", SEVERITY_ERROR, PROBE_LIMIT_MS, false, true, judge_probes },
	{ "component_health",     "do the components work that stay as they are?", SEVERITY_WARNING, PROBE_LIMIT_MS, false, true, NULL }, /* with the row before */
	{ "disk_space",           "is there room for the snapshot and the release?", SEVERITY_ERROR, LOCAL_LIMIT_MS, false, true, judge_disk },
	{ "capacity",             "can this machine take the services that start?", SEVERITY_WARNING, LOCAL_LIMIT_MS, false, true, judge_capacity },
	{ NULL, NULL, SEVERITY_INFO, 0, false, false, NULL },
};
/* clang-format on */

bool check_blocks_target(const struct finding *finding)
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

bool check_is_lasting(const struct finding *finding)
{
	const struct check *check = find_check(finding->name);

	return !check || check->of_readiness;
}

/* ---- together ---------------------------------------------------------------------------------------------------------------- */

/* The step that takes the schema of a component back; NULL: none does. */
static const struct step *migrating_step(const struct planning *planning, const char *component)
{
	const struct plan *plan = planning->generated.plan;

	for (size_t i = 0; i < plan->step_count; i++)
		if (json_object_get(plan->steps[i].parameters, "migrateTo") &&
			!strcmp(json_str(plan->steps[i].parameters, "database", ""), component))
			return &plan->steps[i];
	return NULL;
}

/* What the driver of a component is asked to check: that it can go back to what was recorded. */
static json_t *check_target(const void *ctx, const struct planning *planning, const char *component)
{
	json_t *recorded = json_object_get(planning->target->components, component);
	const struct step *migrates = migrating_step(planning, component);
	const struct step_type *type = migrates ? step_type(migrates->type) : NULL;

	if (!recorded)
		return NULL;
	if (type)
		return json_keep(ctx, type->target(migrates->parameters));
	return json_make(ctx, "{s:s, s:s*, s:s, s:b}", "version", json_str(recorded, "version", ""), "state",
		json_str(recorded, "state", NULL), "deploymentId", planning->target->id, "preserveData", planning->preserve_data);
}

/* Data that stays is looked at as well: what goes back has to work on it. */
static bool is_asked(struct checks *checks, const struct planning *planning, const struct component *component, bool *ret_changes)
{
	enum driver_kind kind = DRIVER_CODE;
	struct err ignored = ERR_INIT;

	*ret_changes = false;
	for (size_t i = 0; i < planning->generated.difference_count; i++)
		if (!strcmp(planning->generated.differences[i].component, component->name))
			*ret_changes = planning->generated.differences[i].changes;
	if (*ret_changes)
		return true;
	return planning->generated.plan->step_count > 0 &&
		workspace_driver_kind(checks->op->workspace, component->driver, &kind, NULL, &ignored) == 0 && kind == DRIVER_DATA;
}

static int ask_one(struct checks *checks, struct planning *planning, const struct component *component, json_t *target, bool changes,
	struct executor_calls *calls, struct asked **asked, struct err *err)
{
	struct op *op = checks->op;
	const char *id = json_str(target, "deploymentId", json_str(target, "snapshotId", planning->target ? planning->target->id : NULL)),
		   *source = NULL, *trouble = NULL;
	bool kept = false;
	struct work work;
	size_t index;
	int r = 0;

	if (id)
		r = content_for_check(op, id, component->name, &source, &kept, &trouble, err);
	if (r == 0)
		r = call_component(op->ctx, checks->environment, component, "check", target, NULL, NULL, &op->workspace->places,
			clock_mono_ms(), changes ? checks->environment->check_timeout_ms : STAYS_LIMIT_MS, &work, err);
	if (r < 0)
		return err_in(err, "component '%s'", component->name);
	content_put(work.request, source, kept);
	if (trouble)
		findings_add(planning->findings, "target_content", false, changes ? SEVERITY_ERROR : SEVERITY_WARNING, component->name,
			NULL, "what was kept of it is damaged: %s", trouble);
	index = executor_calls_add(calls, &work);
	*asked = mem_resize(op->ctx, *asked, struct asked, index + 1);
	(*asked)[index] = (struct asked){ .planning = planning, .component = component->name, .changes = changes };
	return 0;
}

/* What a step of a saved plan is to reach, where that can be told before the plan begins: a version, or a whole copy. NULL: not; what depends on earlier steps is found out by them. */
static json_t *step_goal(struct checks *checks, const struct step *step)
{
	const struct step_type *type = step_type(step->type);
	const char *name = step_component(step), *parameters = json_canonical(checks->op->ctx, step->parameters);
	const struct component *component = name ? environment_component(checks->environment, name) : NULL;
	enum driver_kind kind;
	json_t *target;

	if (!component || !type || type->doer != STEP_BY_COMPONENT || !type->target || (type->side && type->side(step->parameters)) ||
		strstr(parameters, "${"))
		return NULL;
	kind = planning_kind_of(checks->op->workspace, component->driver);
	target = json_keep(checks->op->ctx, type->target(step->parameters));
	if (kind == DRIVER_CODE)
		return json_object_get(target, "version") ? target : NULL;
	return kind == DRIVER_DATA && json_object_get(target, "snapshotId") ? target : NULL;
}

static int ask_saved(struct checks *checks, struct planning *planning, struct executor_calls *calls, struct asked **asked, struct err *err)
{
	const struct plan *plan = planning->generated.plan;
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *seen = json_make(tmp, "{}");
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->step_count; i++) {
		const char *name = step_component(&plan->steps[i]);
		json_t *target = step_goal(checks, &plan->steps[i]);

		if (!name || json_object_get(seen, name))
			continue;
		json_object_set_new(seen, name, json_true()); /* what a later step of it finds is what this one leaves */
		if (target)
			r = ask_one(checks, planning, environment_component(checks->environment, name), target, true, calls, asked, err);
	}
	return r;
}

static int ask_drivers(struct checks *checks, struct planning *planning, struct executor_calls *calls, struct asked **asked,
	struct err *err)
{
	int r = 0;

	if (!planning->target)
		return ask_saved(checks, planning, calls, asked, err);
	for (size_t i = 0; r == 0 && i < checks->environment->component_count; i++) {
		const struct component *component = &checks->environment->components[i];
		json_t *target = check_target(checks->op->ctx, planning, component->name);
		bool changes;

		if (target && is_asked(checks, planning, component, &changes))
			r = ask_one(checks, planning, component, target, changes, calls, asked, err);
	}
	return r;
}

/* Those of components that some of the plans leave as they are: whether they work now says something. */
static int begin_inside(struct checks *checks, struct planning *const *plannings, size_t count, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	int r = 0;

	for (size_t i = 0; r == 0 && checks->ask_probes && i < checks->environment->probe_count; i++) {
		const struct probe_config *probe = &checks->environment->probes[i];
		bool stays = false;

		for (size_t k = 0; k < count && !stays && probe->component && !probe->external; k++)
			stays = plannings[k]->generated.plan->step_count > 0 &&
				!json_object_get(json_keep(tmp, plan_affected(checks->environment, touched_by(tmp, plannings[k]))),
					probe->component);
		for (size_t k = 0; k < checks->probe_count && stays; k++)
			stays = checks->probes[k].probe != probe; /* asked for a former candidate */
		if (stays)
			r = begin_probe(checks, probe, false, err);
	}
	return r;
}

static void await_machine(struct checks *checks)
{
	if (!checks->local)
		return;
	checks->found = aside_end(checks->local, checks->begun_ms + LOCAL_LIMIT_MS);
	checks->local = NULL;
	if (checks->found)
		(void)talloc_steal(checks, checks->found);
}

int checks_judge(struct checks *checks, struct planning *const *plannings, size_t count, const struct planning_input *input,
	struct err *err)
{
	struct op *op = checks->op;
	struct executor_calls *calls = executor_calls_new(op->ctx, op->workspace->executor);
	struct asked *asked = NULL;
	size_t asked_count = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		size_t before = talloc_array_length(asked);

		plannings[i]->findings = findings_new(op->ctx);
		plannings[i]->preserve_data = input->preserve_data;
		r = ask_drivers(checks, plannings[i], calls, &asked, err);
		asked_count = MAX(talloc_array_length(asked), before);
	}
	if (r == 0)
		r = begin_inside(checks, plannings, count, err);
	if (r == 0)
		r = executor_calls_end(calls, err);
	if (r == 0)
		r = executor_calls_end(checks->calls, err);
	if (r < 0) {
		(void)talloc_free(calls);
		return r;
	}
	await_machine(checks);
	for (size_t i = 0; i < asked_count; i++)
		judge_driver(checks, &asked[i], executor_calls_result(calls, i));
	for (size_t i = 0; i < count; i++) {
		for (const struct check *check = checks_table; check->name; check++)
			if (check->judge && (plannings[i]->target || !check->of_target))
				check->judge(checks, plannings[i]);
		findings_sort(plannings[i]->findings);
	}
	return 0;
}
