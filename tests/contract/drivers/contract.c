/* One suite for every driver against its real system: what it describes, that it observes without touching, that repeating changes
 * nothing, that undo returns, that garbage is not taken for success,
 * and that a driver killed anywhere gets to its goal when it is asked again.
 *
 * Requests go through the real process executor to real child processes. The drivers in this program are compiled with crash points;
 * external ones are killed by time. Give the name
 * of a driver as an argument to run that one only, and a number for one of its worlds. */
#include "contract.h"

#include "data/hash.h"
#include "drivers/host.h"
#include "drivers/list.h"
#include "runner/process_executor.h"

#define KILL_MOMENTS 8 /* unless the world says otherwise */

static const struct catalogue catalogue = { .drivers = driver_list };
static const struct contract *current;
static const char *crash_point; /* armed in the next worker; the workers are forked from this process */
static struct executor *executor;
static char temporary[] = "/tmp/unship-contract-tmp-XXXXXX"; /* for the workers: what a killed one leaves there goes with it */

static int worker_main(int argc, char **argv)
{
	(void)setenv("TMPDIR", temporary, 1);
	if (crash_point)
		(void)setenv("UNSHIP_FAILPOINT", crash_point, 1);
	return host_main(&catalogue, argc, argv);
}

/* ---- helpers for worlds ---- */

void put(struct world *world, const char *name, const char *text)
{
	char *path = fs_join(world->ctx, world->dir, name), *parent = mem_strdup(world->ctx, path);
	struct err err = ERR_INIT;

	*strrchr(parent, '/') = 0;
	assert_int_equal(fs_mkdirs(parent, 0755, &err), 0);
	assert_int_equal(fs_write_atomic(path, text, strlen(text), 0644, &err), 0);
}

const char *get(struct world *world, const char *name)
{
	struct err err = ERR_INIT;
	char *text;

	return fs_read(world->ctx, fs_join(world->ctx, world->dir, name), 1 << 20, &text, NULL, &err) < 0 ? "" : text;
}

void run_program(struct world *world, ...)
{
	const char *argv[32],
		*env[] = { mem_printf(world->ctx, "PATH=%s", getenv("PATH")), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", NULL };
	struct proc_spec spec = { .argv = argv, .env = env, .dir = world->dir, .deadline_ms = clock_mono_ms() + 60000 };
	struct proc_result result;
	struct err err = ERR_INIT;
	va_list arguments;
	size_t count = 0;

	va_start(arguments, world);
	do
		argv[count] = va_arg(arguments, const char *);
	while (argv[count++]);
	va_end(arguments);
	if (proc_run_ok(world->ctx, &spec, &result, &err) < 0)
		fail_msg("%s", err.text);
}

/* ---- requests ---- */

static json_t *request(struct world *world, const char *verb, int target, const char *snapshot)
{
	json_t *component = json_make(world->ctx, "{s:s, s:s}", "name", world->name, "driver", world->contract->driver), *made;

	(void)json_object_update(component, world->config);
	made = json_make(world->ctx, "{s:s, s:i, s:O, s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "verb", verb, "protocol", 1, "component",
		component, "name", world->name, "environment", "test", "projectDir", world->dir, "stateDir",
		fs_join(world->ctx, world->dir, ".deployments"), "runId", "run-1", "actor", "ana", "deadlineMs", 30000);
	json_put_str(made, "store", world->store);
	if (target >= 0) {
		json_put(made, "target", world->targets[target]);
		if (world->extra[target])
			(void)json_object_update(made, world->extra[target]);
	}
	if (snapshot)
		json_put_str(made, "snapshotDir", fs_join(world->ctx, world->dir, snapshot));
	return made;
}

static struct work_result send_request(struct world *world, json_t *made)
{
	struct work work = { .kind = WORKER_DRIVER,
		.name = world->contract->driver,
		.request = made,
		.deadline_ms = clock_mono_ms() + 30000 };
	struct work_result result;
	struct err err = ERR_INIT;

	assert_int_equal(executor_call_all(executor, world->ctx, &work, 1, &result, &err), 0);
	return result;
}

static struct work_result ask(struct world *world, const char *verb, int target, const char *snapshot)
{
	return send_request(world, request(world, verb, target, snapshot));
}

static json_t *must(struct world *world, const char *verb, int target, const char *snapshot)
{
	struct work_result result = ask(world, verb, target, snapshot);

	if (!result.result)
		fail_msg("%s: %s: %s", world->contract->driver, verb, result.err.text);
	return result.result;
}

void capture(struct world *world, const char *dir)
{
	must(world, "capture", -1, dir);
}

/* 1, 0, or -1. With a target: is it there? Without: is it as it was captured? */
static int at_goal(struct world *world, int target, const char *snapshot)
{
	json_t *seen = must(world, "observe", target, snapshot), *at = json_object_get(seen, "atTarget");
	const char *version = target >= 0 ? json_str(world->targets[target], "version", NULL) : NULL;

	assert_non_null(json_str(seen, "version", NULL));
	if (json_is_boolean(at))
		return json_boolean_value(at);
	return version ? strcmp(version, json_str(seen, "version", "")) == 0 : -1;
}

static void go(struct world *world, int target)
{
	if (world->contract->before)
		world->contract->before(world, target);
	must(world, "apply", target, NULL);
	assert_string_equal(world->contract->look(world), world->contract->expect[target]);
}

static void always(struct world *world)
{
	if (world->contract->always)
		world->contract->always(world);
}

/* ---- worlds ---- */

static int begin(void **state)
{
	struct world *world = mem_zero(NULL, struct world);
	const char *top = getenv("TMPDIR");

	world->ctx = world;
	world->contract = current;
	world->dir = mem_printf(world, "%s/unship-contract-XXXXXX", top ? top : "/tmp");
	world->name = mem_strdup(world, "app");
	if (!mkdtemp(world->dir))
		return -1;
	*state = world;
	current->setup(world);
	return 0;
}

static int end(void **state);

/* A world inside of a test; a failing test leaves it here for the end. */
static void *inner_world;

static int end_inner(void)
{
	void *inner = inner_world;

	inner_world = NULL;
	return inner ? end(&inner) : 0;
}

static int end(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;
	int r;

	crash_point = NULL;
	(void)end_inner();
	if (world->contract->teardown)
		world->contract->teardown(world);
	r = fs_remove_tree(world->dir, &err);
	(void)talloc_free(world);
	return r;
}

/* ---- the suite ---- */

static bool has(json_t *verbs, const char *verb)
{
	json_t *item;
	size_t i;

	json_array_foreach(verbs, i, item)
		if (json_string_value(item) && strcmp(json_string_value(item), verb) == 0)
			return true;
	return false;
}

static void test_describe(void **state)
{
	struct world *world = *state;
	struct work_result result = send_request(world, json_make(world->ctx, "{s:s, s:i}", "verb", "describe", "protocol", 1));
	json_t *fields = json_object_get(result.result, "fields"), *field, *verbs = json_object_get(result.result, "verbs");
	enum driver_kind kind;
	struct err err = ERR_INIT;
	size_t i;

	assert_non_null(result.result);
	assert_string_equal(json_str(result.result, "name", ""), world->contract->driver);
	assert_true(*json_str(result.result, "summary", ""));
	assert_int_equal(json_int(result.result, "protocol", 0), 1);
	assert_int_equal(driver_kind_parse(json_str(result.result, "kind", ""), &kind, &err), 0);
	assert_true(json_is_boolean(json_object_get(result.result, "keeps")));
	assert_true(has(verbs, "describe") && has(verbs, "observe") && has(verbs, "apply"));
	assert_true(json_is_array(fields));
	json_array_foreach(fields, i, field)
		assert_true(*json_str(field, "name", "") && *json_str(field, "type", "") && *json_str(field, "help", ""));
}

static void test_apply(void **state)
{
	struct world *world = *state;

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 2; i++) {
			go(world, i);
			assert_int_equal(at_goal(world, i, NULL), 1);
			if (!world->contract->before)
				assert_int_equal(at_goal(world, 1 - i, NULL), 0);
			must(world, "apply", i, NULL); /* again */
			assert_string_equal(world->contract->look(world), world->contract->expect[i]);
			assert_int_equal(at_goal(world, i, NULL), 1);
			always(world);
		}
}

static void test_observe_touches_nothing(void **state)
{
	struct world *world = *state;

	go(world, 1);
	for (int i = 0; i < 2; i++) {
		(void)at_goal(world, 0, NULL);
		must(world, "observe", -1, NULL);
		must(world, "check", 0, NULL);
		assert_string_equal(world->contract->look(world), world->contract->expect[1]);
	}
	assert_int_equal(at_goal(world, 1, NULL), 1);
}

static size_t blocking(struct world *world, json_t *result)
{
	struct findings *findings = findings_new(world->ctx);
	struct err err = ERR_INIT;

	if (findings_read(findings, world->name, json_object_get(result, "findings"), &err) < 0)
		fail_msg("%s", err.text);
	return findings_blocking(findings);
}

static void test_check(void **state)
{
	struct world *world = *state;
	struct work_result result;
	json_t *made;

	for (int i = 0; i < 2; i++)
		assert_int_equal(blocking(world, must(world, "check", i, NULL)), 0);
	if (!world->impossible)
		return;
	go(world, 0);
	made = request(world, "check", -1, NULL);
	json_put(made, "target", world->impossible);
	result = send_request(world, made);
	assert_true(!result.result || blocking(world, result.result) > 0);
	json_put_str(made, "verb", "apply");
	result = send_request(world, made);
	assert_null(result.result);
	assert_true(result.answered); /* an error in words, no crash */
	assert_string_equal(world->contract->look(world), world->contract->expect[0]);
}

static void test_undo(void **state)
{
	struct world *world = *state;

	go(world, 0);
	must(world, "capture", 1, "snapshot");
	must(world, "capture", 1, "snapshot"); /* again */
	assert_string_equal(world->contract->look(world), world->contract->expect[0]);
	assert_int_equal(at_goal(world, -1, "snapshot"), 1);
	go(world, 1);
	assert_int_equal(at_goal(world, -1, "snapshot"), 0);
	for (int i = 0; i < 2; i++) {
		if (world->contract->before)
			world->contract->before(world, 0);
		must(world, "undo", 1, "snapshot");
		assert_string_equal(world->contract->look(world), world->contract->expect[0]);
		assert_int_equal(at_goal(world, -1, "snapshot"), 1);
		always(world);
	}
}

/* Undo before anything was done leaves all as it is; undo of what was never captured is an error. */
static void test_undo_of_nothing(void **state)
{
	struct world *world = *state;
	struct work_result result;

	go(world, 0);
	must(world, "capture", 1, "snapshot");
	must(world, "undo", 1, "snapshot");
	assert_string_equal(world->contract->look(world), world->contract->expect[0]);
	if (strcmp(world->contract->driver, "command") == 0)
		return; /* its undo is the user's program, which needs no snapshot */
	result = ask(world, "undo", 1, "empty");
	assert_null(result.result);
	assert_true(result.answered);
	assert_string_equal(world->contract->look(world), world->contract->expect[0]);
}

/* Garbage is not taken for success: an error in words, or "not there". */
static void test_garbage(void **state)
{
	struct world *world = *state;
	struct work_result result;

	if (!world->contract->spoil)
		skip();
	go(world, 0);
	world->contract->spoil(world);
	result = ask(world, "observe", 0, NULL);
	assert_true(result.answered);
	if (result.result)
		assert_false(json_is_true(json_object_get(result.result, "atTarget")));
	else
		assert_true(*result.err.text && result.err.code != ERR_INTERNAL);
	result = ask(world, "apply", 1, NULL);
	assert_true(result.answered);
	if (result.result)
		assert_string_equal(world->contract->look(world), world->contract->expect[1]);
}

/* Sends apply or undo and ends the worker at a moment, or at the armed crash point. True when it was ended in the middle. */
static bool kill_in_the_middle(struct world *world, const char *verb, int target, const char *snapshot, int64_t after_ms)
{
	struct work work = { .id = 1,
		.kind = WORKER_DRIVER,
		.name = world->contract->driver,
		.request = request(world, verb, target, snapshot),
		.deadline_ms = clock_mono_ms() + 30000 };
	int64_t until_ms = clock_mono_ms() + after_ms;
	struct work_result result;
	struct err err = ERR_INIT;
	int r;

	executor->ops->rest(executor); /* a crash point is armed in a worker that begins */
	assert_int_equal(executor->ops->start(executor, &work, &err), 0);
	r = executor->ops->wait(executor, world->ctx, until_ms, &result, &err);
	if (r == 0) {
		executor->ops->stop(executor, 1);
		r = executor->ops->wait(executor, world->ctx, clock_mono_ms() + 20000, &result, &err);
	}
	assert_int_equal(r, 1);
	executor->ops->rest(executor); /* and no other than this one meets it */
	return result.result == NULL;
}

/* After a kill: look at it as a recovery does, then ask again. With `point`: killed once more, there, in the recovery. */
static void recover(struct world *world, const char *verb, int goal, const char *snapshot, const char *point)
{
	bool undo = strcmp(verb, "undo") == 0;

	always(world);
	crash_point = point;
	if (point && at_goal(world, undo ? -1 : goal, snapshot) != 1)
		(void)kill_in_the_middle(world, verb, 1, snapshot, 30000);
	crash_point = NULL;
	always(world);
	if (at_goal(world, undo ? -1 : goal, snapshot) != 1)
		must(world, verb, 1, snapshot);
	assert_string_equal(world->contract->look(world), world->contract->expect[goal]);
	assert_int_equal(at_goal(world, undo ? -1 : goal, snapshot), 1);
	always(world);
}

/* From target 0 with what was captured there. */
static void prepare(struct world *world, const char *snapshot)
{
	go(world, 0);
	must(world, "capture", 1, snapshot);
	if (world->contract->before)
		world->contract->before(world, 1);
}

static void test_killed_by_time(void **state)
{
	struct world *world = *state;
	const int moments = world->contract->moments ? world->contract->moments : KILL_MOMENTS;
	int64_t from, apply_ms, undo_ms;

	prepare(world, "snapshot-t");
	from = clock_mono_ms();
	go(world, 1);
	apply_ms = clock_mono_ms() - from;
	if (world->contract->before)
		world->contract->before(world, 0);
	from = clock_mono_ms();
	must(world, "undo", 1, "snapshot-t");
	undo_ms = clock_mono_ms() - from;
	for (int i = 0; i < moments; i++) {
		const char *snapshot = mem_printf(world->ctx, "snapshot-%d", i);

		prepare(world, snapshot);
		(void)kill_in_the_middle(world, "apply", 1, snapshot, apply_ms * i / moments);
		recover(world, "apply", 1, snapshot, NULL);
		if (world->contract->before)
			world->contract->before(world, 0);
		(void)kill_in_the_middle(world, "undo", 1, snapshot, undo_ms * i / moments);
		recover(world, "undo", 0, snapshot, NULL);
	}
}

static void kill_at(struct world *world, const char *point, bool undo, int number)
{
	const char *snapshot = mem_printf(world->ctx, "snapshot-%d-%d", undo, number);

	prepare(world, snapshot);
	if (undo) {
		go(world, 1);
		if (world->contract->before)
			world->contract->before(world, 0);
	}
	crash_point = point;
	if (!kill_in_the_middle(world, undo ? "undo" : "apply", 1, snapshot, 30000))
		fail_msg("%s never passed crash point '%s'", undo ? "undo" : "apply", point);
	crash_point = NULL;
	recover(world, undo ? "undo" : "apply", undo ? 0 : 1, snapshot, point);
}

/* A capture that was ended in the middle and made again is whole. */
static void kill_capture_at(struct world *world, const char *point, int number)
{
	const char *snapshot = mem_printf(world->ctx, "snapshot-capture-%d", number);

	go(world, 0);
	crash_point = point;
	if (!kill_in_the_middle(world, "capture", 1, snapshot, 30000))
		fail_msg("capture never passed crash point '%s'", point);
	crash_point = NULL;
	always(world);
	must(world, "capture", 1, snapshot);
	go(world, 1);
	must(world, "undo", 1, snapshot);
	assert_string_equal(world->contract->look(world), world->contract->expect[0]);
}

/* Each point in a world of its own: what one kill left must not be what the next one finds. */
static void test_killed_at_points(void **state)
{
	struct world *world = *state;
	const struct contract *contract = world->contract;
	int number = 0;

	if (!contract->kill_apply && !contract->kill_undo && !contract->kill_capture)
		skip();
	for (const char *const *point = contract->kill_capture; point && *point; point++) {
		assert_int_equal(begin(&inner_world), 0);
		kill_capture_at(inner_world, *point, number++);
		assert_int_equal(end_inner(), 0);
	}
	for (int undo = 0; undo < 2; undo++) {
		const char *const *points = undo ? contract->kill_undo : contract->kill_apply;

		for (; points && *points; points++) {
			assert_int_equal(begin(&inner_world), 0);
			kill_at(inner_world, *points, undo, number++);
			assert_int_equal(end_inner(), 0);
		}
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(int argc, char **argv)
{
	static const struct proc_entry entry = { "worker", worker_main };
	const struct CMUnitTest tests[] = {
		TEST(test_describe),
		TEST(test_apply),
		TEST(test_observe_touches_nothing),
		TEST(test_check),
		TEST(test_undo),
		TEST(test_undo_of_nothing),
		TEST(test_garbage),
		TEST(test_killed_by_time),
		TEST(test_killed_at_points),
	};
	struct err err = ERR_INIT;
	int failed = 0, number = 0;

	json_setup();
	hash_setup();
	proc_entries(&entry, 1);
	if (!mkdtemp(temporary) || process_executor_new(NULL, &catalogue, &executor, &err) < 0)
		return 1;
	for (const struct contract *const *at = contracts; *at; at++) {
		if (argc > 1 && strcmp(argv[1], (*at)->driver) != 0)
			continue;
		if (argc > 2 && ++number != atoi(argv[2]))
			continue;
		current = *at;
		failed += cmocka_run_group_tests_name(current->driver, tests, NULL, NULL);
	}
	(void)talloc_free(executor);
	return failed + (fs_remove_tree(temporary, &err) < 0);
}
