/* Requests for workers. One member at a time, in one place, so that the wire form (docs/driver-protocol.md) has one author. Pure: paths
 * are joined, never looked at. */
#include "core/call.h"

#include "base/path.h"
#include "core/drain.h"
#include "core/steptype.h"
#include "data/json.h"
#include "data/template.h"

#define OBSERVE_LIMIT_MS 60000

/* ---- templates ---- */

static const char *const known_names[] = { "context.environment", "context.trigger", "context.triggeredBy", "context.metadata", NULL };

/* Walks "a.b.c" from an object. */
static json_t *walk(json_t *from, const char *path)
{
	_cleanup_talloc_ char *copy = mem_strdup(NULL, path);
	char *rest = copy, *part;

	while (from && (part = strsep(&rest, ".")))
		from = json_object_get(from, part);
	return from;
}

static json_t *look_up(void *user, const char *name)
{
	const struct run *run = user;
	const char *outputs;
	struct run_step *step;

	if (!strncmp(name, "context.", 8))
		return walk(run->context, name + 8);
	outputs = strstr(name, ".outputs.");
	if (strncmp(name, "steps.", 6) != 0 || !outputs)
		return NULL;
	_cleanup_talloc_ char *id = mem_strndup(NULL, name + 6, (size_t)(outputs - name) - 6);
	step = run_step(run, id);
	return step ? walk(step->outputs, outputs + 9) : NULL;
}

/* The step's parameters with names replaced. Before anything runs (`partly`) those that name outputs cannot be known and are left out. */
static int expand(const void *ctx, const struct run *run, const struct run_step *step, bool partly, json_t **ret, struct err *err)
{
	json_t *expanded, *value, *one;
	const char *key;
	int r;

	if (!partly)
		return template_expand(ctx, step->step->parameters, look_up, (void *)run, known_names, ret, err);
	expanded = json_keep(ctx, json_object());
	json_object_foreach(step->step->parameters, key, value) {
		struct err ignored = ERR_INIT;

		r = template_expand(ctx, value, look_up, (void *)run, known_names, &one, &ignored);
		if (r == 0)
			json_object_set(expanded, key, one);
	}
	*ret = expanded;
	return 0;
}

int call_parameters(const void *ctx, const struct run *run, const struct run_step *step, json_t **ret, struct err *err)
{
	return expand(ctx, run, step, false, ret, err);
}

/* ---- places ---- */

char *call_subject_dir(const void *ctx, const char *subject)
{
	char *dir = mem_strdup(ctx, subject);

	for (char *at = dir; *at; at++)
		if (*at == ' ' || *at == '/')
			*at = '-';
	return dir;
}

static char *snapshot_dir(const void *ctx, const struct call_places *places, const char *run_id, bool data, const char *subject)
{
	_cleanup_talloc_ char *dir = call_subject_dir(NULL, subject);

	return mem_printf(ctx, "%s/%s/%s/%s", places->open_root, run_id, data ? "database" : "state", dir);
}

char *call_content_path(const void *ctx, const char *id, const char *component)
{
	_cleanup_talloc_ char *subject = mem_printf(NULL, "component %s", component), *dir = call_subject_dir(NULL, subject);

	return mem_printf(ctx, "%s/%s", strncmp(id, "dep-", 4) ? "database" : "state", dir);
}

char *call_content_dir(const void *ctx, const struct call_places *places, const char *id, const char *component)
{
	_cleanup_talloc_ char *path = call_content_path(NULL, id, component);

	return mem_printf(ctx, "%s/%s/%s", places->open_root, id, path);
}

bool call_inside_open(const void *ctx, const struct call_places *places, const char *dir, const char **ret_id, const char **ret_path)
{
	size_t length = strlen(places->open_root);
	const char *slash;

	if (strncmp(dir, places->open_root, length) != 0 || dir[length] != '/')
		return false;
	slash = strchr(dir + length + 1, '/');
	if (!slash || !slash[1])
		return false;
	*ret_id = mem_strndup(ctx, dir + length + 1, (size_t)(slash - dir) - length - 1);
	*ret_path = mem_strdup(ctx, slash + 1);
	return true;
}

static void put_sources(const void *ctx, json_t *request, const struct call_places *places, json_t *parameters, const char *component)
{
	const char *deployment = json_str(parameters, "deploymentId", NULL), *whole = json_str(parameters, "snapshotId", NULL), *table;
	json_t *sources, *backup;

	if (deployment && fs_is_inside(deployment))
		json_put_str(request, "sourceDir", call_content_dir(ctx, places, deployment, component));
	sources = json_object();
	if (whole && fs_is_inside(whole))
		json_put_str(sources, whole, call_content_dir(ctx, places, whole, component));
	json_object_foreach(json_object_get(parameters, "tables"), table, backup) {
		const char *id = json_string_value(backup);

		if (id && fs_is_inside(id))
			json_put_str(sources, id, call_content_dir(ctx, places, id, component));
	}
	if (json_object_size(sources))
		json_put(request, "sources", sources);
	json_decref(sources);
}

/* ---- who does it ---- */

/* What a step acts on, as a worker sees it. */
struct doer {
	const char *driver, *name;
	json_t *component; /* kept in the call's context */
	bool data;         /* captured under database/ */
};

static int doer_component(const void *ctx, const struct environment *environment, const char *name, struct doer *ret, struct err *err)
{
	const struct component *component = environment_component(environment, name);

	if (!component)
		return err_set(err, ERR_NOT_FOUND, "environment '%s' has no component '%s'", environment->name, name);
	ret->driver = component->driver;
	ret->name = component->name;
	ret->component = json_keep(ctx, component->config ? json_copy(component->config) : json_object());
	json_put_str(ret->component, "name", component->name);
	json_put_str(ret->component, "driver", component->driver);
	return 0;
}

static void doer_driver(const void *ctx, const char *driver, const char *subject, json_t *parameters, struct doer *ret)
{
	ret->driver = driver;
	ret->name = subject;
	ret->component = json_keep(ctx, parameters ? json_copy(parameters) : json_object());
	json_put_str(ret->component, "name", subject);
	json_put_str(ret->component, "driver", driver);
}

/* A side of a component: its driver is given what it needs of the environment. */
static int doer_side(const void *ctx, const struct environment *environment, const struct subject_side *side, struct doer *ret,
	struct err *err)
{
	const struct component *component = environment_component(environment, side->component);

	if (!component)
		return err_set(err, ERR_NOT_FOUND, "environment '%s' has no component '%s'", environment->name, side->component);
	doer_driver(ctx, side->driver, component->name, drain_driver_config(ctx, environment, component, side->side), ret);
	return 0;
}

/* A step of type "undo" is done by whoever did the step that it undoes: its subject says who. */
static int doer_of_undo(const void *ctx, const struct environment *environment, const char *subject, json_t *parameters, struct doer *ret,
	struct err *err)
{
	json_t *of = json_object_get(parameters, "parameters");
	struct subject_side side;

	ret->data = json_object_get(of, "database") != NULL;
	if (!strncmp(subject, "component ", 10))
		return doer_component(ctx, environment, subject + 10, ret, err);
	if (step_subject_side(ctx, subject, &side))
		return doer_side(ctx, environment, &side, ret, err);
	if (!strncmp(subject, "flag ", 5))
		doer_driver(ctx, step_type("feature-flag")->driver, subject, NULL, ret);
	else
		doer_driver(ctx, step_type("command")->driver, subject, of, ret);
	return 0;
}

static int find_doer(const void *ctx, const struct run_step *step, const struct environment *environment, json_t *parameters,
	struct doer *ret, struct err *err)
{
	const struct step_type *type = step_type(step->step->type);
	const struct run_step *first = step;
	struct subject_side side;

	*ret = (struct doer){ 0 };
	if (!step->subject)
		return err_set(err, ERR_INTERNAL, "a %s step is done by the runner itself", type->name);
	if (type->doer == STEP_UNDOES)
		return doer_of_undo(ctx, environment, step->subject, parameters, ret, err);
	while (first->previous)
		first = first->previous;
	ret->data = !strcmp(first->step->type, "data");
	if (step_subject_side(ctx, step->subject, &side))
		return doer_side(ctx, environment, &side, ret, err);
	if (type->doer == STEP_BY_COMPONENT)
		return doer_component(ctx, environment, step_component(step->step), ret, err);
	doer_driver(ctx, type->driver, step->subject, type->subject_param ? NULL : parameters, ret);
	return 0;
}

/* ---- requests ---- */

static json_t *request_begin(const void *ctx, const char *verb, const struct environment *environment, const struct call_places *places)
{
	json_t *request = json_make(ctx, "{s:s, s:i}", "verb", verb, "protocol", DRIVER_PROTOCOL_VERSION);

	json_put_str(request, "environment", environment->name);
	json_put_str(request, "projectDir", places->project_dir);
	json_put_str(request, "stateDir", places->state_dir);
	json_put_str(request, "store", places->store);
	return request;
}

static void finish(struct work *work, json_t *request, enum worker_kind kind, const char *name, int64_t mono_now_ms, int64_t limit_ms)
{
	json_put_int(request, "deadlineMs", limit_ms);
	*work = (struct work){ .kind = kind, .name = name, .request = request, .deadline_ms = mono_now_ms + limit_ms };
}

char *call_key(const void *ctx, const struct run *run, const struct run_step *step, enum verb verb, int attempt)
{
	return mem_printf(ctx, "%s/%s/%s/%d", run->id, step->step->id, verb_name(verb), attempt);
}

static void put_target(json_t *request, const struct run_step *step, json_t *parameters)
{
	const struct step_type *type = step_type(step->step->type);
	json_t *target = type->target ? type->target(parameters) : NULL;

	json_put(request, "target", target);
	json_decref(target);
}

/* Which way the call goes, and so which target and snapshot it gets. */
struct direction {
	const char *verb;
	const struct run_step *target; /* whose target is to be reached or looked for; NULL: what was captured */
	const struct run_step *taken;  /* UNDO: whose target is told as what is taken back */
	const char *snapshot_run;      /* whose snapshot is read or written */
};

static struct direction direction_of(const struct run *run, const struct run_step *step, enum verb verb)
{
	bool undoing = verb == VERB_UNDO || (verb == VERB_OBSERVE && step->status == STEP_UNDOING);
	const struct run_step *towards = undoing ? step->previous : step;
	struct direction d = { .verb = verb_name(verb), .target = towards, .snapshot_run = run->id };

	if (undoing && towards && verb == VERB_UNDO)
		d.verb = verb_name(VERB_APPLY);
	if (undoing && !towards)
		d.taken = verb == VERB_UNDO ? step : NULL;
	/* The goal of an undo step is what the former run captured. */
	if (towards && step_type(towards->step->type)->doer == STEP_UNDOES && verb != VERB_CAPTURE) {
		d.snapshot_run = json_str(towards->step->parameters, "run", run->undo_of);
		d.taken = verb == VERB_OBSERVE ? NULL : towards;
		d.target = NULL;
		if (verb != VERB_OBSERVE)
			d.verb = verb_name(VERB_UNDO);
	}
	return d;
}

static void put_step(json_t *request, const struct run_step *step, json_t *parameters)
{
	json_t *object = json_pack("{s:s, s:s, s:O}", "id", step->step->id, "type", step->step->type, "parameters", parameters);

	json_put(request, "step", object);
	json_decref(object);
}

int call_build(const void *ctx, const struct run *run, const struct run_step *step, enum verb verb, const struct environment *environment,
	const struct call_places *places, int64_t mono_now_ms, struct work *ret, struct err *err)
{
	bool undoing = step->status == STEP_UNDOING;
	struct direction d = direction_of(run, step, verb);
	const struct run_step *shown = d.target ? d.target : (d.taken ? d.taken : step);
	int attempt = verb == VERB_CAPTURE ? step->capture_failures + 1 : (undoing ? step->undo_attempts : step->attempts);
	json_t *parameters, *request;
	struct doer doer;
	int r;

	r = expand(ctx, run, shown, verb == VERB_CAPTURE, &parameters, err);
	if (r == 0)
		r = find_doer(ctx, shown, environment, parameters, &doer, err);
	if (r < 0)
		return err_in(err, "step '%s'", step->step->id);
	request = request_begin(ctx, d.verb, environment, places);
	json_put(request, "component", doer.component);
	json_put_str(request, "name", doer.name);
	put_step(request, shown, parameters);
	if (d.target || d.taken)
		put_target(request, shown, parameters);
	if (d.target && verb != VERB_CAPTURE)
		put_sources(ctx, request, places, parameters, doer.name);
	json_put(request, "observed", step->captured_observation);
	json_put_str(request, "snapshotDir", snapshot_dir(ctx, places, d.snapshot_run, doer.data, step->subject));
	if (doer.data && (verb == VERB_APPLY || verb == VERB_UNDO))
		json_put_str(request, "ledgerDir", mem_printf(ctx, "%s/%s/" CALL_LEDGER "/%s", places->open_root, run->id, doer.name));
	if (verb != VERB_OBSERVE)
		json_put_str(request, "idempotencyKey", call_key(ctx, run, step, verb, attempt));
	json_put_str(request, "actor", run->actor);
	json_put_str(request, "reason", run->reason);
	json_put_str(request, "runId", run->id);
	finish(ret, request, WORKER_DRIVER, doer.driver, mono_now_ms,
		verb == VERB_OBSERVE ? MIN(step->step->timeout_ms, OBSERVE_LIMIT_MS) : step->step->timeout_ms);
	return 0;
}

int call_component(const void *ctx, const struct environment *environment, const struct component *component, const char *verb,
	json_t *target, const char *source_dir, const char *snapshot, const struct call_places *places, int64_t mono_now_ms,
	int64_t timeout_ms, struct work *ret, struct err *err)
{
	json_t *request = request_begin(ctx, verb, environment, places);
	struct doer doer = { 0 };
	int r;

	r = doer_component(ctx, environment, component->name, &doer, err);
	if (r < 0)
		return r;
	json_put(request, "component", doer.component);
	json_put_str(request, "name", doer.name);
	json_put(request, "target", target);
	json_put_str(request, "sourceDir", source_dir);
	json_put_str(request, "snapshotDir", snapshot);
	finish(ret, request, WORKER_DRIVER, doer.driver, mono_now_ms, timeout_ms);
	return 0;
}

int call_probe(const void *ctx, const struct environment *environment, const struct probe_config *probe, const char *run_id,
	const struct call_places *places, int64_t mono_now_ms, int64_t limit_ms, struct work *ret, struct err *err)
{
	json_t *request = request_begin(ctx, "probe", environment, places);
	int64_t left = MAX(limit_ms - mono_now_ms, 1);
	struct doer doer = { 0 };
	int r;

	json_put_str(request, "name", probe->name);
	json_put_str(request, "type", probe->type);
	json_put(request, "config", probe->config);
	json_put_str(request, "runId", run_id);
	if (probe->component) {
		r = doer_component(ctx, environment, probe->component, &doer, err);
		if (r < 0)
			return err_in(err, "probe '%s'", probe->name);
		json_put(request, "component", doer.component);
	}
	finish(ret, request, WORKER_PROBE, probe->type, mono_now_ms, MIN(left, probe->timeout_ms));
	return 0;
}

/* ---- answers ---- */

/* true, false, 1, 0; anything else: cannot say. */
static int read_tristate(json_t *value)
{
	if (json_is_boolean(value))
		return json_boolean_value(value);
	if (json_is_integer(value) && (json_integer_value(value) == 0 || json_integer_value(value) == 1))
		return (int)json_integer_value(value);
	return -1;
}

int call_read_observation(const void *ctx, json_t *result, struct observed *ret, struct err *err)
{
	json_t *version = json_object_get(result, "version"), *state = json_object_get(result, "state");

	if (!json_is_object(result))
		return err_set(err, ERR_DRIVER, "the driver observed something that is no object");
	if ((version && !json_is_string(version) && !json_is_null(version)) || (state && !json_is_string(state) && !json_is_null(state)))
		return err_set(err, ERR_DRIVER, "the driver observed a version or state that is no string");
	*ret = (struct observed){
		.version = json_string_value(version),
		.state = json_string_value(state),
		.healthy = read_tristate(json_object_get(result, "healthy")),
		.at_target = read_tristate(json_object_get(result, "atTarget")),
		.details = json_object_get(result, "details"),
		.whole = json_keep(ctx, json_incref(result)),
	};
	return 0;
}

int call_at_goal(const struct run_step *step, const json_t *target, const struct observed *observed)
{
	json_t *goal = target ? (json_t *)target : step->captured_observation;
	const char *version = json_str(goal, "version", NULL), *state = target ? NULL : json_str(goal, "state", NULL);

	if (observed->at_target >= 0)
		return observed->at_target;
	if (!target && step_type(step->step->type)->doer == STEP_UNDOES && step->status == STEP_BEGUN)
		return -1; /* its goal is what a former run captured: what this one did says nothing about it */
	if ((!version && !state) || (version && !observed->version) || (state && !observed->state))
		return -1;
	return (!version || !strcmp(version, observed->version)) && (!state || !strcmp(state, observed->state));
}
