/* The request that a worker is sent, built from a run's state: one place for the wire form (docs/driver-protocol.md). Pure. */
#ifndef CORE_CALL_H
#define CORE_CALL_H

#include "core/project.h"
#include "core/run.h"

/* Where things stand; made by the caller. */
struct call_places {
	const char *project_dir, *state_dir, *store;
	const char *
		open_root; /* .deployments/open: where captures are written, and the content of snapshots is laid out, in clear: {id}/ of a run, or of a deployment for what was kept with it */
};

/* The folder of open_root/{run} for what restores take away (drivers/database.h), per component. */
#define CALL_LEDGER "ledger"

enum worker_kind { WORKER_DRIVER, WORKER_PROBE, WORKER_CHANNEL };

struct work {
	uint64_t id; /* chosen by the caller, unique among those in flight */
	enum worker_kind kind;
	const char *name;    /* of the driver, probe or channel */
	json_t *request;     /* one line of the protocol */
	int64_t deadline_ms; /* monotonic */
};

/* For drivers: {"verb","protocol":1,"component","name","environment","projectDir","stateDir","store","target","sourceDir","observed","snapshotDir","idempotencyKey","actor","reason","runId","deadlineMs"}.
 * `verb` CAPTURE, APPLY, UNDO or OBSERVE of a step. UNDO of a step with `previous` is an apply of that step's target; without, an undo of what was captured. OBSERVE asks for the goal of the present direction.
 * Templates in the parameters are expanded here, from run->context and outputs. A deployment, configuration or data step with parameter deploymentId gets sourceDir call_content_dir(ID, COMPONENT); a data step's snapshotId
 * and tables' backup ids are resolved to such directories as well ("sources": {id: dir}). A data step gets ledgerDir.
 * "step" is {"id","type","parameters"} of the step, expanded: for drivers that have no component's configuration (command). UNDO without `previous` carries the step's own target: what is taken back.
 * A step that has a driver but no component of its own kind (feature-flag, command) gets {"name","driver"} as component; when the step itself is what is acted on (command), with its parameters as configuration.
 * CAPTURE carries what can be known before anything runs: parameters that name outputs of earlier steps are left out.
 * A step of a run with undo_of whose type is "undo" calls the driver's undo with the snapshot of that run. deadlineMs in the request is the time that is left, in ms. */
must_check int call_build(const void *ctx, const struct run *run, const struct run_step *step, enum verb verb,
	const struct environment *environment, const struct call_places *places, int64_t mono_now_ms, struct work *ret, struct err *err);
/* The step's parameters with their templates expanded. */
must_check int call_parameters(const void *ctx, const struct run *run, const struct run_step *step, json_t **ret, struct err *err);
/* "run-01jd.../stop-api/apply/2": names an attempt, the same for all its repetitions. */
char *call_key(const void *ctx, const struct run *run, const struct run_step *step, enum verb verb, int attempt);
/* For observe, check and capture outside of a run (plan, record): target and dirs may be NULL. */
must_check int call_component(const void *ctx, const struct environment *environment, const struct component *component, const char *verb,
	json_t *target, const char *source_dir, const char *snapshot_dir, const struct call_places *places, int64_t mono_now_ms,
	int64_t timeout_ms, struct work *ret, struct err *err);
/* Directory of a subject inside a snapshot: "component-api", "flag-use-new-api"; it stands in database/ for data steps, in state/ otherwise. */
char *call_subject_dir(const void *ctx, const char *subject);
/* The path of a component's content inside of what a deployment holds ("state/component-api"), or a run's snapshot or one taken in advance ("database/component-db": a data step names only those). */
char *call_content_path(const void *ctx, const char *id, const char *component);
/* Where the content of a component that a deployment, a run's snapshot or one taken in advance holds is laid out: below open_root. What stands there is laid out by whoever makes the call (runner.h, lay_out). */
char *call_content_dir(const void *ctx, const struct call_places *places, const char *id, const char *component);
/* The path of such a directory inside of its snapshot: *ret_id "run-..", *ret_path "state/component-api", both in ctx. False: it is none. */
bool call_inside_open(const void *ctx, const struct call_places *places, const char *dir, const char **ret_id, const char **ret_path);
/* For probes: {"verb":"probe","protocol":1,"name","type","config","component","environment","projectDir","stateDir","store","runId","deadlineMs"}; `config` is the probe as written in the project
 * file, `component` its component's configuration with its name (absent without one). The answer: {"status":"pass"|"warn"|"fail","message","details"}. `limit_ms` (monotonic) caps the probe's own timeout. */
must_check int call_probe(const void *ctx, const struct environment *environment, const struct probe_config *probe, const char *run_id,
	const struct call_places *places, int64_t mono_now_ms, int64_t limit_ms, struct work *ret, struct err *err);
/* What came back from observe: {"version","state","healthy","atTarget","details"}, where healthy and atTarget are true, false, or absent (cannot say). The answer of a capture has the same form: what
 * stood there when it was captured; without "version" and "state" the runner observes by itself. */
struct observed {
	const char *version, *state;
	int healthy, at_target;
	json_t *details;
	json_t *whole;
};
must_check int call_read_observation(const void *ctx, json_t *result, struct observed *ret, struct err *err);
/* Is it there? The driver's word, else version equality with `target`, which is that of the request (NULL: with what was captured). 1, 0, -1: cannot tell. */
int call_at_goal(const struct run_step *step, const json_t *target, const struct observed *observed);

#endif
