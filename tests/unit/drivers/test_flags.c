/* flags on a real store: single flags, groups, what was kept, what the journal says, reading back. */
#include "worker.h"

#include "drivers/list.h"
#include "data/hash.h"
#include "store/store.h"

static const struct driver *const drivers[] = { &driver_flags, NULL };
static const struct catalogue catalogue = { .drivers = drivers };

static struct store *open_store(struct worker *w)
{
	struct err err = ERR_INIT;
	struct store *store;

	if (store_open(w->ctx, fs_join(w->ctx, w->dir, "unship.db"), NULL, w->dir, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

/* The store is opened for each look, as other processes write to it in between. */
static const char *state_of(struct worker *w, const char *key)
{
	struct store *store = open_store(w);
	struct err err = ERR_INIT;
	struct flag_row row;
	int r = store_flag(store, w->ctx, "test", key, &row, &err);

	(void)talloc_free(store);
	return r < 0 ? "absent" : row.state;
}

static void set(struct worker *w, const char *key, const char *group, const char *state)
{
	struct store *store = open_store(w);
	struct err err = ERR_INIT;

	assert_int_equal(store_flag_set(store, "test", key, group, state, "ana", "setup", NULL, &err), 0);
	(void)talloc_free(store);
}

static size_t entries(struct worker *w, const char *run)
{
	struct entry_filter filter = { .kind = ENTRY_FLAG_SET, .run = run };
	struct store *store = open_store(w);
	struct err err = ERR_INIT;
	struct entry *list;
	size_t count;

	assert_int_equal(store_read(store, w->ctx, &filter, &list, &count, &err), 0);
	(void)talloc_free(store);
	return count;
}

static json_t *more(struct worker *w, json_t *target, const char *dir)
{
	json_t *made = json_make(w->ctx, "{s:s, s:s, s:s, s:s}", "store", fs_join(w->ctx, w->dir, "unship.db"), "actor", "ana", "reason",
		"because", "runId", "run-7");

	json_put(made, "target", target);
	if (dir)
		json_put_str(made, "snapshotDir", fs_join(w->ctx, w->dir, dir));
	return made;
}

static json_t *flag(struct worker *w, const char *key, json_t *state)
{
	return json_make(w->ctx, "{s:s, s:o}", "flagKey", key, "targetState", state);
}

static void test_one_flag(void **state)
{
	struct worker w;
	json_t *none, *seen, *outputs, *off;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "flags");
	none = json_make(w.ctx, "{}");
	set(&w, "new-api", "phase-4", "true");
	off = more(&w, flag(&w, "new-api", json_false()), "snap");
	seen = worker_result(&w, "observe", none, off);
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	assert_true(json_is_true(json_object_get(json_object_get(json_object_get(seen, "details"), "flags"), "new-api")));
	worker_result(&w, "capture", none, off);
	outputs = json_object_get(worker_result(&w, "apply", none, off), "outputs");
	assert_string_equal(json_str(outputs, "previousState", ""), "true");
	assert_string_equal(json_str(outputs, "state", ""), "false");
	assert_string_equal(state_of(&w, "new-api"), "false");
	assert_int_equal(entries(&w, "run-7"), 1);
	worker_result(&w, "apply", none, off); /* repeated: nothing is written */
	assert_int_equal(entries(&w, "run-7"), 1);
	seen = worker_result(&w, "observe", none, off);
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_result(&w, "undo", none, off);
	assert_string_equal(state_of(&w, "new-api"), "true");
	worker_result(&w, "undo", none, off);
	assert_int_equal(entries(&w, "run-7"), 2);
	worker_end(&w);
}

static void test_variants_and_new_flags(void **state)
{
	struct worker w;
	json_t *none, *seen, *dir, *findings;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "flags");
	none = json_make(w.ctx, "{}");
	worker_result(&w, "capture", none, more(&w, flag(&w, "colour", json_string("blue")), "snap"));
	findings = json_object_get(worker_result(&w, "check", none, more(&w, flag(&w, "colour", json_string("blue")), NULL)), "findings");
	assert_true(json_flag(json_array_get(findings, 0), "passed", false));
	assert_string_equal(json_str(json_array_get(findings, 1), "name", ""), "flag_known");
	worker_result(&w, "apply", none, more(&w, flag(&w, "colour", json_string("blue")), NULL));
	assert_string_equal(state_of(&w, "colour"), "blue");
	/* It did not exist before: undone it is off, which counts as the same. */
	dir = more(&w, NULL, "snap");
	(void)json_object_set_new(dir, "name", json_string("flag colour"));
	worker_result(&w, "undo", none, dir);
	assert_string_equal(state_of(&w, "colour"), "false");
	seen = worker_result(&w, "observe", none, dir);
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_error(&w, "apply", none, more(&w, json_make(w.ctx, "{s:s}", "flagKey", "colour"), NULL), "invalid");
	worker_error(&w, "apply", none, more(&w, json_make(w.ctx, "{s:b}", "targetState", 1), NULL), "invalid");
	worker_end(&w);
}

/* A whole group off, and back; and the content that was kept when a deployment was recorded. */
static void test_group(void **state)
{
	struct worker w;
	json_t *group, *seen, *kept;
	const char *before;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "flags");
	group = json_make(w.ctx, "{s:s}", "group", "phase-4");
	set(&w, "a", "phase-4", "true");
	set(&w, "b", "phase-4", "green");
	set(&w, "other", "phase-5", "true");
	seen = worker_result(&w, "observe", group, more(&w, NULL, NULL));
	before = mem_strdup(w.ctx, json_str(seen, "version", ""));
	assert_int_equal(json_object_size(json_object_get(json_object_get(seen, "details"), "flags")), 2);
	worker_result(&w, "capture", group, more(&w, NULL, "kept"));
	worker_result(&w, "apply", group, more(&w, json_make(w.ctx, "{s:b}", "targetState", 0), NULL));
	assert_string_equal(state_of(&w, "a"), "false");
	assert_string_equal(state_of(&w, "b"), "false");
	assert_string_equal(state_of(&w, "other"), "true");
	seen = worker_result(&w, "observe", group, more(&w, NULL, NULL));
	assert_string_not_equal(json_str(seen, "version", ""), before);
	kept = more(&w, json_make(w.ctx, "{s:s}", "version", before), NULL);
	worker_error(&w, "apply", group, kept, "invalid"); /* a sum says nothing about the states */
	json_put_str(kept, "sourceDir", fs_join(w.ctx, w.dir, "kept"));
	worker_result(&w, "apply", group, kept);
	assert_string_equal(state_of(&w, "a"), "true");
	assert_string_equal(state_of(&w, "b"), "green");
	seen = worker_result(&w, "observe", group, kept);
	assert_string_equal(json_str(seen, "version", ""), before);
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_flag), cmocka_unit_test(test_variants_and_new_flags),
		cmocka_unit_test(test_group) };

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
