/* command: runs a program with its arguments. What it does cannot be known, so three programs of the user say all: argv does the work,
 * check tells whether it is
 * done, undo takes it back. There is no shell.
 *
 * check: exit code 0 means done, 1 not done, anything else that it cannot tell. Without check the driver answers "unsupported" to
 * observe, and after a crash a person is asked; the
 * work is never repeated blindly. With check, apply does nothing when the work is done already, and undo does nothing when it was done
 * before the run began.
 * "Not done" is not yet "as before": work or undo may have been interrupted half-way. So how far each got is noted in .deployments/run/,
 * in a file named after the snapshot, before and after the
 * program runs; what was begun is taken back, and an undo that did not end is repeated. Undo programs must be safe to repeat.
 *
 * The programs see UNSHIP_VERB, UNSHIP_NAME, UNSHIP_ENVIRONMENT, UNSHIP_RUN, UNSHIP_KEY (the same for every repetition of an attempt),
 * UNSHIP_VERSION and UNSHIP_ACTION (of the target, when it has them). */
#include "drivers/list.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/env.h"
#include "drivers/program.h"

#define CAPTURED       "command.json"
#define CHECK_LIMIT_MS 30000

struct command_params {
	const char **argv, **check, **undo;
	const char *dir;
	json_t *env;
	int64_t timeout_ms;
};

static const struct field command_fields[] = {
	FIELD_PROGRAM(struct command_params, argv, REQUIRED, "program and its arguments; there is no shell"),
	FIELD_PROGRAM(struct command_params, check, OPTIONAL,
		"program that tells whether the work is done: exit code 0 done, 1 not done, else it cannot tell"),
	FIELD_PROGRAM(struct command_params, undo, OPTIONAL, "program that takes the work back"),
	FIELD_DIR(struct command_params, dir, OPTIONAL, "working directory, relative to the project"),
	FIELD_MAP(struct command_params, env, OPTIONAL, "environment variables: text, or secret references"),
	FIELD_MS(struct command_params, timeout_ms, OPTIONAL, "time limit of each program; the step's own limit holds as well"),
	FIELD_END,
};

/* The target's own list, where it has one, else the configuration's. */
static int choose(struct driver_call *call, const char *member, const char **configured, const char *const **ret, struct err *err)
{
	json_t *list = json_object_get(call->target, member), *item;
	const char **argv;
	size_t i;

	*ret = configured && configured[0] ? configured : NULL;
	if (!json_is_array(list) || json_array_size(list) == 0)
		return 0;
	argv = mem_array(call->ctx, const char *, json_array_size(list) + 1);
	json_array_foreach(list, i, item) {
		argv[i] = json_scalar_text(call->ctx, item);
		if (!argv[i])
			return err_set(err, ERR_INVALID, "target: %s[%zu] is not a text", member, i);
	}
	*ret = argv;
	return 0;
}

static int make_env(struct driver_call *call, const char *verb, const char *const **ret, struct err *err)
{
	const struct command_params *p = call->params;
	struct env *env = env_new(call->ctx);
	const char *version = json_str(call->target, "version", NULL), *action = json_str(call->target, "action", NULL);
	int r;

	r = env_put_map(env, call, p->env, err);
	if (r < 0)
		return r;
	env_put(env, "UNSHIP_VERB", verb);
	env_put(env, "UNSHIP_NAME", call->name);
	env_put(env, "UNSHIP_ENVIRONMENT", call->environment);
	if (call->run_id)
		env_put(env, "UNSHIP_RUN", call->run_id);
	if (call->idempotency_key)
		env_put(env, "UNSHIP_KEY", call->idempotency_key);
	if (version)
		env_put(env, "UNSHIP_VERSION", version);
	if (action)
		env_put(env, "UNSHIP_ACTION", action);
	*ret = env->list;
	return 0;
}

static int make_spec(struct driver_call *call, const char *verb, const char *const *argv, int64_t limit_ms, struct proc_spec *ret,
	struct err *err)
{
	const struct command_params *p = call->params;
	struct proc_spec spec = { .argv = argv, .dir = p->dir ? fs_join(call->ctx, call->project_dir, p->dir) : call->project_dir };
	int r;

	r = make_env(call, verb, &spec.env, err);
	if (r < 0)
		return r;
	spec.deadline_ms = call->deadline_ms;
	if (p->timeout_ms > 0)
		spec.deadline_ms = MIN(spec.deadline_ms, clock_mono_ms() + p->timeout_ms);
	if (limit_ms > 0)
		spec.deadline_ms = MIN(spec.deadline_ms, clock_mono_ms() + limit_ms);
	*ret = spec;
	return 0;
}

/* 1 done, 0 not done; negative when it cannot tell. */
static int ask_check(struct driver_call *call, struct err *err)
{
	const struct command_params *p = call->params;
	const char *const *argv;
	struct proc_result result;
	struct proc_spec spec;
	int r;

	r = choose(call, "check", p->check, &argv, err);
	if (r < 0)
		return r;
	if (!argv)
		return err_set(err, ERR_UNSUPPORTED, "a command without `check` cannot be observed");
	r = make_spec(call, "observe", argv, CHECK_LIMIT_MS, &spec, err);
	if (r == 0)
		r = proc_run(call->ctx, &spec, &result, err);
	if (r < 0)
		return err_in(err, "check");
	if (result.timed_out)
		return err_set(err, ERR_TIMEOUT, "check '%s' was not done in time", argv[0]);
	if (result.exit_code == 0 || result.exit_code == 1)
		return result.exit_code == 0;
	if (result.signal)
		return err_set(err, ERR_DRIVER, "check '%s' cannot tell: ended by signal %d", argv[0], result.signal);
	return err_set(err, ERR_DRIVER, "check '%s' cannot tell: exit code %d", argv[0], result.exit_code);
}

/* Was it done before the run? 1, 0, -1 when that is not known. */
static int read_captured(struct driver_call *call)
{
	struct err ignored = ERR_INIT;
	json_t *captured;
	size_t size;
	char *text;

	if (!call->snapshot_dir ||
		fs_read(call->ctx, fs_join(call->ctx, call->snapshot_dir, CAPTURED), 65536, &text, &size, &ignored) < 0 ||
		json_parse(call->ctx, text, size, 65536, &captured, &ignored) < 0)
		return -1;
	captured = json_object_get(captured, "done");
	return json_is_boolean(captured) ? json_boolean_value(captured) : -1;
}

/* ---- how far it got ---- */

enum progress { NOT_BEGUN, APPLYING, APPLIED, UNDOING, UNDONE };
static const char *const progress_names[] = { "not-begun", "applying", "applied", "undoing", "undone" };

/* NULL outside of a run. */
static char *note_path(struct driver_call *call)
{
	char sum[HASH_HEX_SIZE];

	if (!call->snapshot_dir)
		return NULL;
	hash_blake2b_hex(call->snapshot_dir, strlen(call->snapshot_dir), sum);
	return mem_printf(call->ctx, "%s/run/command-%.16s.json", call->state_dir, sum);
}

static int read_note(struct driver_call *call, enum progress *ret, struct err *err)
{
	const char *path = note_path(call), *name;
	struct err why = ERR_INIT;
	json_t *note;
	size_t size;
	char *text;
	int r;

	*ret = NOT_BEGUN;
	if (!path)
		return 0;
	r = fs_read(call->ctx, path, 65536, &text, &size, &why);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = json_parse(call->ctx, text, size, 65536, &note, &why);
	if (r < 0) {
		*err = why;
		return err_in(err, "%s", path);
	}
	name = json_str(note, "progress", "");
	for (size_t i = 0; i < ARRAY_SIZE(progress_names); i++)
		if (strcmp(progress_names[i], name) == 0)
			*ret = (enum progress)i;
	return 0;
}

/* Notes of snapshots that were removed are of no use to anybody. */
static void remove_old_notes(struct driver_call *call)
{
	char *dir = fs_join(call->ctx, call->state_dir, "run"), **names, *text;
	struct err ignored = ERR_INIT;
	json_t *note;
	size_t size;

	if (fs_list(call->ctx, dir, &names, &ignored) < 0)
		return;
	for (; *names; names++) {
		char *path = fs_join(call->ctx, dir, *names);

		if (text_starts_with(*names, "command-") && fs_read(call->ctx, path, 65536, &text, &size, &ignored) == 0 &&
			json_parse(call->ctx, text, size, 65536, &note, &ignored) == 0 && !fs_exists(json_str(note, "snapshotDir", "")))
			(void)unlink(path);
	}
}

static int write_note(struct driver_call *call, enum progress progress, struct err *err)
{
	const char *path = note_path(call), *text;
	int r;

	if (!path)
		return 0;
	if (progress == APPLYING)
		remove_old_notes(call);
	text = json_canonical(call->ctx,
		json_make(call->ctx, "{s:s, s:s}", "progress", progress_names[progress], "snapshotDir", call->snapshot_dir));
	r = fs_mkdirs(fs_join(call->ctx, call->state_dir, "run"), 0700, err);
	return r < 0 ? r : fs_write_atomic(path, text, strlen(text), 0600, err);
}

/* Is it as it was before the run? 1, 0, -1. */
static int is_as_before(int done, int before, enum progress progress)
{
	if (before < 0)
		return -1;
	if (before == 1 || progress == NOT_BEGUN || progress == UNDONE)
		return done == before;
	return 0;
}

static int command_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	int done = ask_check(call, err), r;
	enum progress progress;

	if (done < 0)
		return done;
	r = read_note(call, &progress, err);
	if (r < 0)
		return r;
	*ret = (struct observation){ .version = "", .state = done ? "done" : "not-done", .healthy = -1, .at_target = -1 };
	ret->at_target = call->target ? done : is_as_before(done, read_captured(call), progress);
	return 0;
}

static int command_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	const struct command_params *p = call->params;
	const char *const *argv;
	int r;

	r = choose(call, "check", p->check, &argv, err);
	if (r < 0)
		return r;
	findings_add(ret, "observable", argv != NULL, SEVERITY_INFO, call->name, NULL,
		argv ? "the command has a check" : "the command has no check: after a crash a person is asked whether it was done");
	return 0;
}

static int command_capture(struct driver_call *call, struct err *err)
{
	char *path = fs_join(call->ctx, call->snapshot_dir, CAPTURED), *text;
	json_t *captured = json_keep(call->ctx, json_object());
	struct err why = ERR_INIT;
	int done;

	if (fs_exists(path))
		return 0;
	done = ask_check(call, &why);
	if (done < 0 && done != -ERR_UNSUPPORTED) {
		*err = why;
		return done;
	}
	if (done >= 0)
		json_put_flag(captured, "done", done);
	text = json_pretty(call->ctx, captured);
	return fs_write_atomic(path, text, strlen(text), 0600, err);
}

/* Runs the work or the undo; anything but exit code 0 fails. */
static int work(struct driver_call *call, const char *verb, const char *const *argv, struct proc_result *ret, struct err *err)
{
	struct proc_spec spec;
	int r = make_spec(call, verb, argv, 0, &spec, err);

	return r < 0 ? r : program_run_ok(call, &spec, ret, err);
}

static int command_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	const struct command_params *p = call->params;
	struct proc_result result = { .exit_code = 0 };
	struct err why = ERR_INIT;
	const char *const *argv;
	int r, done;

	r = choose(call, "argv", p->argv, &argv, err);
	if (r < 0)
		return r;
	done = ask_check(call, &why);
	if (done < 0 && done != -ERR_UNSUPPORTED) {
		*err = why;
		return done;
	}
	if (done == 1) {
		call_log(call, LOG_INFO, "done already");
		json_put_str(ret_outputs, "stdout", "");
		json_put_int(ret_outputs, "exitStatus", 0);
		return 0;
	}
	r = write_note(call, APPLYING, err);
	if (r < 0)
		return r;
	FAILPOINT("command.begun");
	r = work(call, "apply", argv, &result, err);
	if (r < 0)
		return r;
	FAILPOINT("command.done");
	r = write_note(call, APPLIED, err);
	if (r < 0)
		return r;
	json_put_str(ret_outputs, "stdout", program_last_line(call->ctx, result.output, result.output_size));
	json_put_int(ret_outputs, "exitStatus", result.exit_code);
	return 0;
}

static int command_undo(struct driver_call *call, struct err *err)
{
	const struct command_params *p = call->params;
	struct proc_result result;
	struct err why = ERR_INIT;
	const char *const *argv;
	enum progress progress;
	int r, done, before = read_captured(call);

	r = choose(call, "undo", p->undo, &argv, err);
	if (r < 0)
		return r;
	done = ask_check(call, &why);
	if (done < 0 && done != -ERR_UNSUPPORTED) {
		*err = why;
		return done;
	}
	r = read_note(call, &progress, err);
	if (r < 0)
		return r;
	if (before == 1 || (done != 1 && progress == UNDONE) || (done == 0 && progress == NOT_BEGUN)) {
		call_log(call, LOG_INFO, before == 1 ? "was done before the run began: nothing to take back" : "nothing to take back");
		return 0;
	}
	if (!argv)
		return err_set(err, ERR_UNSUPPORTED, "the command has no `undo`");
	r = write_note(call, UNDOING, err);
	if (r < 0)
		return r;
	FAILPOINT("command.undoing");
	r = work(call, "undo", argv, &result, err);
	if (r < 0)
		return err_in(err, "undo");
	FAILPOINT("command.undone");
	return write_note(call, UNDONE, err);
}

const struct driver driver_command = {
	.name = "command",
	.summary = "a program with its arguments, with programs that check and undo it",
	.kind = DRIVER_COMMAND,
	.fields = command_fields,
	.params_size = sizeof(struct command_params),
	.observe = command_observe,
	.apply = command_apply,
	.check = command_check,
	.capture = command_capture,
	.undo = command_undo,
};
