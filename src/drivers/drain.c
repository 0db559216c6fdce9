/* drain: work in flight of a service, as the component's `drain` says. It stands for no component of its own: the runner gives it the
 * service, the probe and the queues that `drain` names (core/drain.h).
 *
 *   target {action: drain}     runs `pause`, then waits until the probe passes or the program says idle, at most `limit`
 *   target {action: resume}    runs `resume`
 *   target {action: requeue}   puts back what the service had taken: by the queues' own drivers, and by a program. Only while the service
 * does not run: what it still works on would be done twice
 *
 * A service cannot be asked whether it takes work. So how far each action got is noted in .deployments/run/, before and after, with the
 * run and the step that it belongs to. What was begun is repeated after a kill; `pause`,
 * `resume` and `requeue` must be safe to repeat. Undo: a service that took work before the run takes it again; for requeue there is
 * nothing to take back, but what a service that was ended meanwhile had taken goes back too.
 *
 * The programs see UNSHIP_ACTION, UNSHIP_NAME, UNSHIP_ENVIRONMENT, UNSHIP_RUN, and UNSHIP_PID when the service's driver tells its
 * process. */
#include "drivers/list.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/text.h"
#include "core/drain.h"
#include "data/json.h"
#include "drivers/env.h"
#include "drivers/host.h"

#define CAPTURED    "drain.json"
#define NOTE_MAX    65536
#define LOOK_MAX_MS 30000 /* one look at idleness */
#define OBSERVE_MS  30000
#define MARGIN_MS   1000 /* of the call's deadline: for the answer */

struct drain_params {
	const char *side;
	struct drain_config drain;
	json_t *service, *probe, *queues;
};

/* clang-format off */
static const struct field params_fields[] = {
	FIELD_CHOICE(struct drain_params, side, OPTIONAL, "drain|requeue", "what the step is about; given by the runner, as all of these"),
	FIELD_GROUP(struct drain_params, drain, OPTIONAL, drain_fields, "`drain` of the service"),
	FIELD_MAP(struct drain_params, service, OPTIONAL, "the service's component"),
	FIELD_MAP(struct drain_params, probe, OPTIONAL, "the probe of `idle`"),
	FIELD_MAP(struct drain_params, queues, OPTIONAL, "the components of `requeue.queues`"),
	FIELD_END
};
/* clang-format on */

static bool is_given(const char **argv)
{
	return argv && argv[0];
}

/* ---- notes ---- */

struct note {
	const char *state, *run,
		*step; /* state: "pausing", "drained", "resuming", "accepting", "requeueing", "requeued"; "" when there is none */
};

static char *note_path(struct driver_call *call)
{
	const struct drain_params *p = call->params;

	return mem_printf(call->ctx, "%s/run/%s-%s-%s.json", call->state_dir, p->side, call->environment, call->name);
}

static int read_note(struct driver_call *call, struct note *ret, struct err *err)
{
	const char *path = note_path(call);
	struct err why = ERR_INIT;
	json_t *note;
	size_t size;
	char *text;
	int r;

	*ret = (struct note){ .state = "" };
	r = fs_read(call->ctx, path, NOTE_MAX, &text, &size, &why);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = json_parse(call->ctx, text, size, NOTE_MAX, &note, &why);
	if (r < 0) {
		*err = why;
		return err_in(err, "%s", path);
	}
	*ret = (struct note){ .state = json_str(note, "state", ""),
		.run = json_str(note, "run", NULL),
		.step = json_str(note, "step", NULL) };
	return 0;
}

static int write_note(struct driver_call *call, const char *state, struct err *err)
{
	json_t *note = json_make(call->ctx, "{s:s}", "state", state);
	char *text;
	int r;

	json_put_str(note, "run", call->run_id);
	json_put_str(note, "step", json_str(call->step, "id", NULL));
	text = json_canonical(call->ctx, note);
	r = fs_mkdirs(fs_join(call->ctx, call->state_dir, "run"), 0700, err);
	return r < 0 ? r : fs_write_atomic(note_path(call), text, strlen(text), 0600, err);
}

static bool same(const char *a, const char *b)
{
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

/* Did this very step of this run get there? */
static bool reached(struct driver_call *call, const struct note *note, const char *state)
{
	return strcmp(note->state, state) == 0 && same(note->run, call->run_id) && same(note->step, json_str(call->step, "id", NULL));
}

static bool is_paused(const struct note *note)
{
	return strcmp(note->state, "pausing") == 0 || strcmp(note->state, "drained") == 0 || strcmp(note->state, "resuming") == 0;
}

/* ---- the service, programs ---- */

/* What the service's own driver says of it; NULL when that cannot be asked from here. */
static int observe_service(struct driver_call *call, json_t **ret, struct err *err)
{
	const struct drain_params *p = call->params;
	const char *driver = json_str(p->service, "driver", "");
	json_t *request = json_make(call->ctx, "{s:s, s:O, s:s}", "verb", "observe", "component", p->service ? p->service : json_null(),
		"name", call->name);
	struct err why = ERR_INIT;
	int r;

	*ret = NULL;
	json_put_int(request, "deadlineMs", MIN((int64_t)OBSERVE_MS, MAX(call->deadline_ms - clock_mono_ms(), (int64_t)1)));
	r = host_ask(call, "driver", driver, request, ret, &why);
	if (r == 0 || r == -ERR_UNSUPPORTED)
		return 0;
	*err = why;
	return err_in(err, "the service");
}

/* Is it known to be in this state ("running", "stopped")? */
static int service_is(struct driver_call *call, const char *state, bool *ret, struct err *err)
{
	json_t *seen;
	int r = observe_service(call, &seen, err);

	*ret = r == 0 && strcmp(json_str(seen, "state", ""), state) == 0;
	return r;
}

static int run_program(struct driver_call *call, const char *action, const char **argv, int64_t deadline_ms, struct proc_result *ret,
	struct err *err)
{
	const struct drain_params *p = call->params;
	struct env *env = env_new(call->ctx);
	struct err ignored = ERR_INIT;
	json_t *seen = NULL;
	int64_t pid;
	int r;

	r = env_put_map(env, call, p->drain.env, err);
	if (r < 0)
		return r;
	env_put(env, "UNSHIP_ACTION", action);
	env_put(env, "UNSHIP_NAME", call->name);
	env_put(env, "UNSHIP_ENVIRONMENT", call->environment);
	if (call->run_id)
		env_put(env, "UNSHIP_RUN", call->run_id);
	if (observe_service(call, &seen, &ignored) == 0) {
		pid = json_int(json_object_get(seen, "details"), "pid", 0);
		if (pid > 0)
			env_put(env, "UNSHIP_PID", mem_printf(call->ctx, "%lld", (long long)pid));
	}
	return proc_run(call->ctx,
		&(struct proc_spec){ .argv = argv,
			.dir = fs_join(call->ctx, call->project_dir, p->drain.dir),
			.env = env->list,
			.deadline_ms = MIN(deadline_ms, call->deadline_ms - MARGIN_MS) },
		ret, err);
}

static const char *last_line(const void *ctx, const char *text, size_t size)
{
	char **lines = text_split(ctx, text_printable(ctx, text, size, true), '\n');
	const char *last = "";

	for (; *lines; lines++)
		last = *lines;
	return last;
}

/* Runs what has to succeed. */
static int do_program(struct driver_call *call, const char *action, const char **argv, struct err *err)
{
	struct proc_result result;
	const char *said;
	int r;

	if (!is_given(argv))
		return 0;
	call_log(call, LOG_INFO, "%s: running %s", action, argv[0]);
	r = run_program(call, action, argv, INT64_MAX, &result, err);
	if (r < 0)
		return err_in(err, "%s", action);
	if (result.timed_out)
		return err_set(err, ERR_TIMEOUT, "%s: '%s' was not done in time and was ended", action, argv[0]);
	if (result.exit_code == 0)
		return 0;
	said = last_line(call->ctx, result.errors, result.errors_size);
	if (!*said)
		said = last_line(call->ctx, result.output, result.output_size);
	return err_set(err, ERR_FAILED, "%s: '%s': %s %d%s%s", action, argv[0], result.signal ? "ended by signal" : "exit code",
		result.signal ? result.signal : result.exit_code, *said ? ": " : "", said);
}

/* ---- idle ---- */

struct look {
	bool idle;
	int64_t left;     /* how much is in work; -1: not said */
	const char *said; /* one line; "" */
};

/* The first number in a line; -1: there is none. */
static int64_t number_in(const char *line)
{
	const char *digit = line + strcspn(line, "0123456789");

	return *digit ? strtoll(digit, NULL, 10) : -1;
}

static int look_by_probe(struct driver_call *call, struct look *ret, struct err *err)
{
	const struct drain_params *p = call->params;
	int64_t limit = MIN(json_int(p->probe, "timeoutMs", LOOK_MAX_MS), MAX(call->deadline_ms - clock_mono_ms(), (int64_t)1));
	json_t *request = json_make(call->ctx, "{s:s, s:s, s:O, s:I}", "verb", "probe", "name", json_str(p->probe, "name", ""), "config",
		       json_object_get(p->probe, "config"), "deadlineMs", (json_int_t)limit),
	       *result;
	int r;

	json_put(request, "component", json_object_get(p->probe, "component"));
	r = host_ask(call, "probe", json_str(p->probe, "type", ""), request, &result, err);
	if (r < 0)
		return err_in(err, "idle");
	ret->idle = strcmp(json_str(result, "status", ""), "pass") == 0;
	ret->said = mem_strdup(call->ctx, json_str(result, "message", ""));
	return 0;
}

static int look_by_program(struct driver_call *call, struct look *ret, struct err *err)
{
	const struct drain_params *p = call->params;
	const char **argv = p->drain.idle.argv;
	struct proc_result result;
	int r = run_program(call, "idle", argv, clock_mono_ms() + LOOK_MAX_MS, &result, err);

	if (r < 0)
		return err_in(err, "idle");
	if (result.timed_out)
		return err_set(err, ERR_TIMEOUT, "idle: '%s' was not done in time", argv[0]);
	if (result.exit_code != 0 && result.exit_code != 1)
		return err_set(err, ERR_DRIVER, "idle: '%s' cannot tell: %s %d", argv[0], result.signal ? "ended by signal" : "exit code",
			result.signal ? result.signal : result.exit_code);
	ret->idle = result.exit_code == 0;
	ret->said = last_line(call->ctx, result.output, result.output_size);
	return 0;
}

static int look_once(struct driver_call *call, struct look *ret, struct err *err)
{
	const struct drain_params *p = call->params;
	int r = 0;

	*ret = (struct look){ .idle = true, .left = -1, .said = "" };
	if (p->probe)
		r = look_by_probe(call, ret, err);
	else if (is_given(p->drain.idle.argv))
		r = look_by_program(call, ret, err);
	ret->left = ret->idle ? 0 : number_in(ret->said);
	return r;
}

static void tell_progress(struct driver_call *call, const struct look *look, int64_t most, int64_t from_ms, int64_t until_ms)
{
	double share = (double)(clock_mono_ms() - from_ms) / (double)MAX(until_ms - from_ms, (int64_t)1);

	if (look->left >= 0 && most > 0)
		call_progress(call, 1.0 - (double)look->left / (double)most, "%lld left", (long long)look->left);
	else
		call_progress(call, share, "waiting until it is idle%s%s", *look->said ? ": " : "", look->said);
}

/* A look that fails does not end the wait: the limit does, and then says why nothing could be seen. */
static int wait_until_idle(struct driver_call *call, struct look *ret, struct err *why)
{
	const struct drain_params *p = call->params;
	int64_t from_ms = clock_mono_ms(), until_ms = MIN(from_ms + p->drain.limit_ms, call->deadline_ms - 2 * MARGIN_MS), most = 0;

	for (;;) {
		int r = look_once(call, ret, why);

		if (r == 0 && ret->idle)
			return 0;
		most = MAX(most, ret->left);
		if (r == 0)
			tell_progress(call, ret, most, from_ms, until_ms);
		if (clock_mono_ms() >= until_ms)
			return r < 0 ? r : -ERR_TIMEOUT;
		clock_sleep_ms(MIN(p->drain.every_ms, until_ms - clock_mono_ms()));
	}
}

/* ---- the three actions ---- */

static int drain(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	const struct drain_params *p = call->params;
	struct err why = ERR_INIT;
	struct look look;
	bool idle, stopped;
	int r;

	r = service_is(call, "stopped", &stopped, err);
	if (r == 0 && stopped) {
		call_log(call, LOG_INFO, "the service does not run: nothing is in work");
		return write_note(call, "drained", err);
	}
	if (r == 0)
		r = write_note(call, "pausing", err);
	if (r < 0)
		return r;
	FAILPOINT("drain.begun");
	r = do_program(call, "pause", p->drain.pause, err);
	if (r < 0)
		return r;
	FAILPOINT("drain.paused");
	r = wait_until_idle(call, &look, &why);
	idle = r == 0;
	if (r < 0 && strcmp(p->drain.on_limit, "continue") != 0)
		return err_set(err, ERR_TIMEOUT, "it is not idle after %s%s%s%s%s", text_format_duration(call->ctx, p->drain.limit_ms),
			r != -ERR_TIMEOUT || !look.said || !*look.said ? "" : ": ", r != -ERR_TIMEOUT || !look.said ? "" : look.said,
			*why.text ? ": " : "", why.text);
	if (!idle)
		call_log(call, LOG_WARN, "it is not idle after %s%s%s: what it works on will be cut off",
			text_format_duration(call->ctx, p->drain.limit_ms), *look.said ? ": " : "", *why.text ? why.text : look.said);
	json_put_flag(ret_outputs, "idle", idle);
	if (look.left >= 0)
		json_put_int(ret_outputs, "left", look.left);
	FAILPOINT("drain.idle");
	return write_note(call, "drained", err);
}

static int resume(struct driver_call *call, struct err *err)
{
	const struct drain_params *p = call->params;
	int r;

	r = write_note(call, "resuming", err);
	if (r == 0)
		r = do_program(call, "resume", p->drain.resume, err);
	if (r < 0)
		return r;
	FAILPOINT("drain.resumed");
	return write_note(call, "accepting", err);
}

/* A request to the driver of a queue. */
static int ask_queue(struct driver_call *call, json_t *component, const char *name, const char *verb, json_t **ret, struct err *err)
{
	json_t *request = json_make(call->ctx, "{s:s, s:O, s:s, s:{s:s}}", "verb", verb, "component", component, "name", name, "target",
		"action", "requeue");
	int r = host_ask(call, "driver", json_str(component, "driver", ""), request, ret, err);

	return r < 0 ? err_in(err, "component '%s'", name) : 0;
}

static int requeue(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	const struct drain_params *p = call->params;
	int64_t moved = 0;
	json_t *component, *result;
	const char *name;
	int r = write_note(call, "requeueing", err);

	json_object_foreach(p->queues, name, component) {
		if (r == 0)
			r = ask_queue(call, component, name, "apply", &result, err);
		if (r < 0)
			return r;
		moved += json_int(json_object_get(result, "outputs"), "requeued", 0);
	}
	if (r == 0)
		r = do_program(call, "requeue", p->drain.requeue.argv, err);
	if (r < 0)
		return r;
	json_put_int(ret_outputs, "requeued", moved);
	FAILPOINT("drain.requeued");
	return write_note(call, "requeued", err);
}

/* ---- verbs ---- */

static int check_call(struct driver_call *call, struct err *err)
{
	const struct drain_params *p = call->params;

	if (!p->side || !p->service || !json_object_get(call->component, "drain"))
		return err_set(err, ERR_INVALID,
			"driver 'drain' works for the `drain` of a service; it is no component's driver by itself");
	return 0;
}

static int read_action(struct driver_call *call, const char **ret, struct err *err)
{
	const struct drain_params *p = call->params;
	const char *action = json_str(call->target, "action", "");
	bool requeues = strcmp(p->side, "requeue") == 0;

	if (requeues ? strcmp(action, "requeue") != 0 : strcmp(action, "drain") != 0 && strcmp(action, "resume") != 0)
		return err_set(err, ERR_INVALID, "target: action '%s' is none of %s", action, requeues ? "requeue" : "drain, resume");
	*ret = action;
	return 0;
}

static int queues_are_clear(struct driver_call *call, int *ret, struct err *err)
{
	const struct drain_params *p = call->params;
	json_t *component, *result;
	const char *name;

	*ret = 1;
	json_object_foreach(p->queues, name, component) {
		int r = ask_queue(call, component, name, "observe", &result, err);

		if (r < 0)
			return r;
		if (!json_is_true(json_object_get(result, "atTarget")))
			*ret = 0;
	}
	return 0;
}

/* Nothing of what it had taken is left; the program's part is known from the note alone. A service that runs again has taken new work
 * since. */
static int requeue_is_done(struct driver_call *call, const struct note *note, int *ret, struct err *err)
{
	const struct drain_params *p = call->params;
	bool runs;
	int r = service_is(call, "running", &runs, err);

	*ret = 0;
	if (r < 0)
		return r;
	if (runs) {
		*ret = call->target ? reached(call, note, "requeued") : 1;
		return 0;
	}
	if (call->target && is_given(p->drain.requeue.argv) && !reached(call, note, "requeued"))
		return 0;
	return queues_are_clear(call, ret, err);
}

static int read_captured(struct driver_call *call, bool *ret, struct err *err)
{
	char *path = fs_join(call->ctx, call->snapshot_dir, CAPTURED), *text;
	json_t *captured;
	size_t size;
	int r;

	r = fs_read(call->ctx, path, NOTE_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(call->ctx, text, size, NOTE_MAX, &captured, err);
	if (r < 0)
		return err_in(err, "captured state");
	*ret = json_flag(captured, "paused", false);
	return 0;
}

static int drain_is_there(struct driver_call *call, const struct note *note, int *ret, struct err *err)
{
	const char *action;
	bool paused;
	int r;

	*ret = -1;
	if (call->target) {
		r = read_action(call, &action, err);
		if (r == 0)
			*ret = reached(call, note, strcmp(action, "drain") == 0 ? "drained" : "accepting");
		return r;
	}
	if (!call->snapshot_dir || !fs_exists(fs_join(call->ctx, call->snapshot_dir, CAPTURED)))
		return 0;
	r = read_captured(call, &paused, err);
	if (r == 0)
		*ret = paused == is_paused(note) && strcmp(note->state, "pausing") != 0 && strcmp(note->state, "resuming") != 0;
	return r;
}

static int drain_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	const struct drain_params *p = call->params;
	struct note note;
	const char *action;
	int there = -1, r;

	r = check_call(call, err);
	if (r == 0)
		r = read_note(call, &note, err);
	if (r < 0)
		return r;
	if (strcmp(p->side, "requeue") == 0) {
		r = call->target ? read_action(call, &action, err) : 0;
		if (r == 0)
			r = requeue_is_done(call, &note, &there, err);
	} else {
		r = drain_is_there(call, &note, &there, err);
	}
	if (r < 0)
		return r;
	*ret = (struct observation){ .version = "", .state = is_paused(&note) ? "paused" : "accepting", .healthy = -1, .at_target = there };
	return 0;
}

static int drain_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	const char *action;
	bool runs;
	int r;

	r = check_call(call, err);
	if (r == 0)
		r = read_action(call, &action, err);
	if (r < 0)
		return r;
	if (strcmp(action, "drain") == 0)
		return drain(call, ret_outputs, err);
	if (strcmp(action, "resume") == 0)
		return resume(call, err);
	r = service_is(call, "running", &runs, err);
	if (r == 0 && runs)
		r = err_set(err, ERR_REFUSED, "the service runs: what it works on would be done twice; stop it first");
	return r < 0 ? r : requeue(call, ret_outputs, err);
}

static int drain_capture(struct driver_call *call, struct err *err)
{
	char *path = fs_join(call->ctx, call->snapshot_dir, CAPTURED), *text;
	struct note note;
	int r;

	r = check_call(call, err);
	if (r < 0 || fs_exists(path))
		return r;
	r = read_note(call, &note, err);
	if (r < 0)
		return r;
	text = json_canonical(call->ctx, json_make(call->ctx, "{s:b}", "paused", is_paused(&note)));
	return fs_write_atomic(path, text, strlen(text), 0600, err);
}

static int drain_undo(struct driver_call *call, struct err *err)
{
	const struct drain_params *p = call->params;
	json_t *ignored = json_keep(call->ctx, json_object());
	bool paused, runs;
	struct note note;
	int r;

	r = check_call(call, err);
	if (r == 0)
		r = read_captured(call, &paused, err);
	if (r < 0)
		return r;
	if (strcmp(p->side, "requeue") != 0) {
		r = read_note(call, &note, err);
		if (r == 0 && !paused && strcmp(note.state, "resuming") != 0 && !is_paused(&note))
			return 0; /* nothing was done */
		return r < 0 ? r : paused ? drain(call, ignored, err) : resume(call, err);
	}
	r = service_is(call, "running", &runs, err);
	if (r == 0 && runs)
		call_log(call, LOG_INFO, "the service runs: nothing is put back");
	return r < 0 || runs ? r : requeue(call, ignored, err);
}

const struct driver driver_drain = {
	.name = DRAIN_DRIVER,
	.summary = "work in flight of a service, as its `drain` says; no component's driver by itself",
	.kind = DRIVER_COMMAND,
	.fields = params_fields,
	.params_size = sizeof(struct drain_params),
	.observe = drain_observe,
	.apply = drain_apply,
	.capture = drain_capture,
	.undo = drain_undo,
};
