/* command: real programs, with and without check and undo. Their effect is a file. */
#include "worker.h"

#include "drivers/list.h"

static const struct driver *const drivers[] = { &driver_command, NULL };
static const struct catalogue catalogue = { .drivers = drivers };

static json_t *config(struct worker *w, bool check, bool undo)
{
	json_t *made = json_make(w->ctx, "{s:[s, s]}", "argv", "touch", "effect");

	if (check)
		(void)json_object_set_new(made, "check", json_pack("[s, s, s]", "test", "-e", "effect"));
	if (undo)
		(void)json_object_set_new(made, "undo", json_pack("[s, s, s]", "rm", "-f", "effect"));
	return made;
}

static bool effect(struct worker *w)
{
	return fs_exists(fs_join(w->ctx, w->dir, "effect"));
}

static json_t *target(struct worker *w)
{
	return json_make(w->ctx, "{s:{}}", "target");
}

static void test_with_check(void **state)
{
	struct worker w;
	json_t *seen, *dir;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "command");
	dir = json_make(w.ctx, "{s:s}", "snapshotDir", fs_join(w.ctx, w.dir, "snap"));
	seen = worker_result(&w, "observe", config(&w, true, true), target(&w));
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	worker_result(&w, "capture", config(&w, true, true), dir);
	worker_result(&w, "apply", config(&w, true, true),
		json_make(w.ctx, "{s:{}, s:o}", "target", "snapshotDir", json_incref(json_object_get(dir, "snapshotDir"))));
	assert_true(effect(&w));
	seen = worker_result(&w, "observe", config(&w, true, true), target(&w));
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_result(&w, "apply", config(&w, true, true), target(&w));
	assert_true(worker_logged(&w, "done already"));
	seen = worker_result(&w, "observe", config(&w, true, true), dir);
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	worker_result(&w, "undo", config(&w, true, true), dir);
	assert_false(effect(&w));
	seen = worker_result(&w, "observe", config(&w, true, true), dir);
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_result(&w, "undo", config(&w, true, true), dir);
	worker_end(&w);
}

/* What was done before the run began is not taken back by undoing the run. */
static void test_done_before(void **state)
{
	struct err err = ERR_INIT;
	struct worker w;
	json_t *dir;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "command");
	assert_int_equal(fs_write_atomic(fs_join(w.ctx, w.dir, "effect"), "", 0, 0644, &err), 0);
	dir = json_make(w.ctx, "{s:s}", "snapshotDir", fs_join(w.ctx, w.dir, "snap"));
	worker_result(&w, "capture", config(&w, true, true), dir);
	worker_result(&w, "apply", config(&w, true, true), target(&w));
	worker_result(&w, "undo", config(&w, true, true), dir);
	assert_true(effect(&w));
	worker_end(&w);
}

static void test_without_check(void **state)
{
	struct worker w;
	json_t *dir;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "command");
	dir = json_make(w.ctx, "{s:s}", "snapshotDir", fs_join(w.ctx, w.dir, "snap"));
	worker_error(&w, "observe", config(&w, false, false), target(&w), "unsupported");
	worker_result(&w, "capture", config(&w, false, false), dir);
	worker_result(&w, "apply", config(&w, false, false), target(&w));
	assert_true(effect(&w));
	worker_error(&w, "undo", config(&w, false, false), dir, "unsupported");
	worker_result(&w, "undo", config(&w, false, true), dir);
	assert_false(effect(&w));
	worker_end(&w);
}

/* The work died half-way: it is not done, and yet something is there that must be taken back. */
static void test_half_done(void **state)
{
	struct worker w;
	json_t *c, *dir, *both, *seen;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "command");
	c = json_make(w.ctx, "{s:[s, s, s], s:[s, s, s], s:[s, s, s]}", "argv", "sh", "-c", "touch half; exit 1", "check", "test", "-e",
		"whole", "undo", "rm", "-f", "half");
	dir = json_make(w.ctx, "{s:s}", "snapshotDir", fs_join(w.ctx, w.dir, "snap"));
	both = json_make(w.ctx, "{s:s, s:{}}", "snapshotDir", fs_join(w.ctx, w.dir, "snap"), "target");
	worker_result(&w, "capture", c, both);
	worker_error(&w, "apply", c, both, "failed");
	seen = worker_result(&w, "observe", c, dir);
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	worker_result(&w, "undo", c, both);
	assert_false(fs_exists(fs_join(w.ctx, w.dir, "half")));
	seen = worker_result(&w, "observe", c, dir);
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_end(&w);
}

static void test_failures(void **state)
{
	struct worker w;
	json_t *c;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "command");
	c = json_make(w.ctx, "{s:[s, s, s]}", "argv", "sh", "-c", "echo working; echo no such luck >&2; exit 3");
	assert_string_equal(worker_error(&w, "apply", c, target(&w), "failed"), "'sh': exit code 3: no such luck");
	assert_true(worker_logged(&w, "working"));
	c = json_make(w.ctx, "{s:[s], s:[s, s, s]}", "argv", "true", "check", "sh", "-c", "exit 2");
	assert_non_null(strstr(worker_error(&w, "observe", c, target(&w), "driver"), "cannot tell"));
	worker_error(&w, "apply", c, target(&w), "driver"); /* where it cannot tell nothing is done */
	worker_error(&w, "apply", json_make(w.ctx, "{s:[s]}", "argv", "no-such-program-here"), target(&w), "not-found");
	c = json_make(w.ctx, "{s:[s, s], s:s}", "argv", "sleep", "60", "timeout", "200ms");
	worker_error(&w, "apply", c, target(&w), "timeout");
	worker_error(&w, "observe", json_make(w.ctx, "{}"), NULL, "invalid");
	worker_end(&w);
}

static void test_output_and_environment(void **state)
{
	struct worker w;
	json_t *c, *outputs;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "command");
	assert_int_equal(setenv("UNSHIP_TEST_SECRET", "hidden-word", 1), 0);
	assert_int_equal(setenv("UNSHIP_TEST_OTHER", "not for children", 1), 0);
	c = json_make(w.ctx, "{s:[s, s, s], s:{s:i, s:{s:s}}}", "argv", "sh", "-c",
		"echo first; echo \"$UNSHIP_VERB $UNSHIP_NAME $UNSHIP_VERSION $N $S [$UNSHIP_TEST_OTHER]\"", "env", "N", 5, "S", "env",
		"UNSHIP_TEST_SECRET");
	outputs = json_object_get(worker_result(&w, "apply", c, json_make(w.ctx, "{s:{s:s}}", "target", "version", "1.2")), "outputs");
	assert_string_equal(json_str(outputs, "stdout", ""), "apply app 1.2 5 [secret] []");
	assert_int_equal(json_int(outputs, "exitStatus", -1), 0);
	assert_true(worker_logged(&w, "first"));
	/* No shell: what looks like one is an argument. */
	c = json_make(w.ctx, "{s:[s, s]}", "argv", "echo", "$(id); `id` | cat");
	outputs = json_object_get(worker_result(&w, "apply", c, target(&w)), "outputs");
	assert_string_equal(json_str(outputs, "stdout", ""), "$(id); `id` | cat");
	worker_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_with_check),
		cmocka_unit_test(test_done_before),
		cmocka_unit_test(test_without_check),
		cmocka_unit_test(test_half_done),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_output_and_environment),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
