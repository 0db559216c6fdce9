/* The files driver: whole versions, single items, undo, and being killed between two files. */
#include <fcntl.h>
#include "checks.h"

#include "base/fs.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/list.h"
#include "worker_call.h"

struct world {
	char folder[40];
	struct err err;
	struct observation seen;
};

static const char *const two = "{'paths': ['.env.production', 'config/app.json']}";

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-files-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	worker_log_clear();
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(world->folder, &err), 0);
	worker_log_clear();
	talloc_free(world);
	return 0;
}

static char *in(struct world *world, const char *path)
{
	return fs_join(world, world->folder, path);
}

static void put(struct world *world, const char *path, const char *text)
{
	char *whole = in(world, path);
	char *folder = mem_strndup(world, whole, (size_t)(strrchr(whole, '/') - whole));
	struct err err = ERR_INIT;

	assert_int_equal(fs_mkdirs(folder, 0755, &err), 0);
	assert_int_equal(fs_write_atomic(whole, text, strlen(text), 0644, &err), 0);
}

/* NULL: there is no file. */
static char *get(struct world *world, const char *path)
{
	struct err err = ERR_INIT;
	char *text;

	return fs_read(world, in(world, path), 1 << 20, &text, NULL, &err) < 0 ? NULL : text;
}

static struct driver_call *make(struct world *world, const char *config, const char *target)
{
	struct driver_call *call = worker_call(world, driver_files.fields, driver_files.params_size, world->folder, config);

	call->target = target ? worker_json(call, target) : NULL;
	call->snapshot_dir = in(world, "snapshot");
	call->name = "config";
	world->err = ERR_INIT;
	return call;
}

static void observe(struct world *world, struct driver_call *call)
{
	if (driver_files.observe(call, &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static int apply(struct world *world, struct driver_call *call)
{
	return driver_files.apply(call, json_keep(call, json_object()), &world->err);
}

static void capture(struct world *world, const char *config, const char *dir)
{
	struct driver_call *call = make(world, config, NULL);

	call->snapshot_dir = in(world, dir);
	assert_int_equal(fs_mkdirs(call->snapshot_dir, 0700, &world->err), 0);
	if (driver_files.capture(call, &world->err) < 0)
		fail_msg("%s", world->err.text);
}

static void test_version(void **state)
{
	struct world *world = *state;
	const char *first;

	observe(world, make(world, two, NULL));
	assert_string_equal(world->seen.version, "");
	assert_string_equal(world->seen.state, "absent");
	put(world, ".env.production", "A=1\n");
	observe(world, make(world, two, NULL));
	assert_string_equal(world->seen.state, "partial");
	put(world, "config/app.json", "{\"port\": 1}\n");
	observe(world, make(world, two, NULL));
	assert_string_equal(world->seen.state, "present");
	first = world->seen.version;
	assert_int_equal(strlen(first), 16);
	observe(world, make(world, "{'paths': ['config/app.json', '.env.production']}", NULL));
	assert_string_equal(world->seen.version, first);
	put(world, "config/app.json", "{\"port\": 2}\n");
	observe(world, make(world, two, NULL));
	assert_string_not_equal(world->seen.version, first);
	put(world, "config/app.json", "{\"port\": 1}\n");
	observe(world, make(world, two, NULL));
	assert_string_equal(world->seen.version, first);
}

static void test_details_hold_no_values(void **state)
{
	struct world *world = *state;
	char *text;

	put(world, ".env.production", "TOKEN=s3cret\n");
	put(world, "config/app.json", "{\"db\": {\"password\": \"s3cret\", \"port\": 1}}");
	observe(world, make(world, two, NULL));
	text = json_canonical(world, json_object_get(world->seen.details, "configKeys"));
	assert_string_equal(text,
		"{\".env.production:TOKEN\":\"string\",\"config/app.json:db.password\":\"string\",\"config/app.json:db.port\":\"integer\"}");
	assert_null(strstr(json_canonical(world, world->seen.details), "s3cret"));
	observe(world, make(world, "{'paths': '.env.production'}", NULL));
	assert_string_equal(json_canonical(world, json_object_get(world->seen.details, "configKeys")), "{\"TOKEN\":\"string\"}");
	put(world, "config/app.json", "{\"password\": s3cret}");
	observe(world, make(world, two, NULL));
	assert_string_equal(json_canonical(world, json_object_get(world->seen.details, "unreadable")), "[\"config/app.json\"]");
}

static void test_whole_version(void **state)
{
	struct world *world = *state;
	struct driver_call *call;
	struct stat before, after;
	const char *version;

	put(world, ".env.production", "A=1\n");
	assert_int_equal(chmod(in(world, ".env.production"), 0640), 0);
	observe(world, make(world, two, NULL));
	version = world->seen.version;
	capture(world, two, "kept");

	put(world, ".env.production", "A=2\n");
	put(world, "config/app.json", "{}");
	assert_int_equal(stat(in(world, ".env.production"), &before), 0);
	call = make(world, two, "{'version': '1.5.2'}");
	call->source_dir = in(world, "kept");
	observe(world, call);
	assert_int_equal(world->seen.at_target, 0);
	assert_int_equal(apply(world, call), 0);
	assert_string_equal(get(world, ".env.production"), "A=1\n");
	assert_null(get(world, "config/app.json"));
	assert_int_equal(stat(in(world, ".env.production"), &after), 0);
	assert_int_equal(after.st_mode, before.st_mode);
	assert_int_equal(after.st_uid, before.st_uid);
	observe(world, call);
	assert_int_equal(world->seen.at_target, 1);
	assert_string_equal(world->seen.version, version);

	/* again: nothing is written */
	worker_log_clear();
	assert_int_equal(apply(world, call), 0);
	assert_string_equal(worker_log(), "");
}

static void test_absent_file_comes_back(void **state)
{
	struct world *world = *state;
	struct driver_call *call;
	struct stat st;

	put(world, "config/app.json", "{\"a\": 1}");
	assert_int_equal(chmod(in(world, "config/app.json"), 0600), 0);
	capture(world, two, "kept");
	assert_int_equal(fs_remove_tree(in(world, "config"), &world->err), 0);
	call = make(world, two, "{'version': 'x'}");
	call->source_dir = in(world, "kept");
	assert_int_equal(apply(world, call), 0);
	assert_string_equal(get(world, "config/app.json"), "{\"a\": 1}");
	assert_int_equal(stat(in(world, "config/app.json"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_config_version(void **state)
{
	struct world *world = *state;
	struct driver_call *call;
	char *target;

	put(world, ".env.production", "A=1\n");
	observe(world, make(world, two, NULL));
	target = mem_printf(world, "{'configVersion': '%s'}", world->seen.version);
	observe(world, make(world, two, target));
	assert_int_equal(world->seen.at_target, 1);
	assert_int_equal(apply(world, make(world, two, target)), 0);

	put(world, ".env.production", "A=2\n");
	target = mem_printf(world, "{'version': '%s'}", json_str(make(world, two, target)->target, "configVersion", ""));
	observe(world, make(world, two, target));
	assert_int_equal(world->seen.at_target, 0);
	assert_int_equal(apply(world, make(world, two, target)), -ERR_NOT_FOUND);
	assert_string_equal(get(world, ".env.production"), "A=2\n");

	/* it is found among the records of this component */
	put(world, ".env.production", "A=1\n");
	capture(world, two, ".deployments/recorded/dep-1/config");
	put(world, ".env.production", "A=2\n");
	capture(world, two, ".deployments/recorded/dep-2/config");
	assert_int_equal(apply(world, make(world, two, target)), 0);
	assert_string_equal(get(world, ".env.production"), "A=1\n");
	observe(world, make(world, two, "{'version': '1.5.2'}"));
	assert_int_equal(world->seen.at_target, -1);
	assert_int_equal(apply(world, make(world, two, "{'version': '1.5.2'}")), -ERR_NOT_FOUND);
	assert_int_equal(apply(world, make(world, two, "{}")), -ERR_INVALID);

	/* another version than the one that was asked for is kept there */
	call = make(world, two, "{'version': 'cfg-000000000000'}");
	call->source_dir = in(world, ".deployments/recorded/dep-1/config");
	assert_int_equal(apply(world, call), -ERR_CORRUPT);
}

static void test_items(void **state)
{
	struct world *world = *state;
	const char *target = "{'items': {'A': 'new value', 'config/app.json:db.port': 5433, 'GONE': null, 'log.level': 'debug'}}";

	put(world, ".env.production", "# head\nA=old # note\nGONE=1\nB='x'\n");
	put(world, "config/app.json", "{\n\t\"db\": {\"port\": 5432},\n\t\"log\": {\"level\": \"info\"}\n}\n");
	observe(world, make(world, two, target));
	assert_int_equal(world->seen.at_target, 0);
	if (apply(world, make(world, two, target)) < 0)
		fail_msg("%s", world->err.text);
	assert_string_equal(get(world, ".env.production"), "# head\nA='new value' # note\nB='x'\n");
	assert_string_equal(get(world, "config/app.json"), "{\n\t\"db\": {\"port\": 5433},\n\t\"log\": {\"level\": \"debug\"}\n}\n");
	observe(world, make(world, two, target));
	assert_int_equal(world->seen.at_target, 1);
	assert_null(strstr(worker_log(), "new value"));
	worker_log_clear();
	assert_int_equal(apply(world, make(world, two, target)), 0);
	assert_string_equal(worker_log(), "");
}

static void test_items_of_several_files(void **state)
{
	struct world *world = *state;
	const char *paths = "{'paths': ['a.env', 'b.env', 'c.conf']}";

	put(world, "a.env", "A=1\nS=1\n");
	put(world, "b.env", "B=1\nS=2\n");
	put(world, "c.conf", "S 1\n");
	assert_int_equal(apply(world, make(world, paths, "{'items': {'S': 'x'}}")), -ERR_AMBIGUOUS);
	assert_int_equal(apply(world, make(world, paths, "{'items': {'N': 'x'}}")), -ERR_AMBIGUOUS);
	assert_int_equal(apply(world, make(world, paths, "{'items': {'c.conf:S': 'x'}}")), -ERR_UNSUPPORTED);
	assert_int_equal(apply(world, make(world, paths, "{'items': {'B': 'x', 'S': 'y'}}")), -ERR_AMBIGUOUS);
	assert_string_equal(get(world, "b.env"), "B=1\nS=2\n"); /* all or nothing */
	assert_int_equal(apply(world, make(world, paths, "{'items': {'b.env:S': 'x', 'A': '2', 'a.env:N': '3', 'M': null}}")), 0);
	assert_string_equal(get(world, "a.env"), "A=2\nS=1\nN=3\n");
	assert_string_equal(get(world, "b.env"), "B=1\nS=x\n");
	assert_int_equal(apply(world, make(world, paths, "{'items': {'b.env:S': null}, 'version': 'x'}")), -ERR_INVALID);
	assert_int_equal(apply(world, make(world, paths, "{'items': {}}")), -ERR_INVALID);
	/* a file that is not there yet */
	assert_int_equal(apply(world, make(world, "{'paths': 'new/app.yaml'}", "{'items': {'a.b': 1}}")), 0);
	assert_string_equal(get(world, "new/app.yaml"), "a:\n  b: 1\n");
	assert_int_equal(apply(world, make(world, "{'paths': 'none.env'}", "{'items': {'a': null}}")), 0);
	assert_null(get(world, "none.env"));
}

static void test_undo(void **state)
{
	struct world *world = *state;

	put(world, ".env.production", "A=1\n");
	capture(world, two, "snapshot");
	observe(world, make(world, two, NULL));
	assert_int_equal(world->seen.at_target, 1);
	assert_int_equal(apply(world, make(world, two, "{'items': {'.env.production:A': '2', 'config/app.json:x': 1}}")), 0);
	assert_non_null(get(world, "config/app.json"));
	observe(world, make(world, two, NULL));
	assert_int_equal(world->seen.at_target, 0);
	assert_int_equal(driver_files.undo(make(world, two, NULL), &world->err), 0);
	assert_string_equal(get(world, ".env.production"), "A=1\n");
	assert_null(get(world, "config/app.json"));
	observe(world, make(world, two, NULL));
	assert_int_equal(world->seen.at_target, 1);
	assert_int_equal(driver_files.undo(make(world, two, NULL), &world->err), 0);
}

static void test_interrupted_between_files(void **state)
{
	struct world *world = *state;
	struct driver_call *call;

	put(world, ".env.production", "A=1\n");
	put(world, "config/app.json", "{}");
	capture(world, two, "kept");
	put(world, ".env.production", "A=2\n");
	put(world, "config/app.json", "{\"x\": 1}");
	capture(world, two, "snapshot");
	put(world, ".env.production", "A=1\n"); /* as if it had died after the first file */
	call = make(world, two, "{'version': 'x'}");
	call->source_dir = in(world, "kept");
	observe(world, call);
	assert_int_equal(world->seen.at_target, 0);
	assert_int_equal(apply(world, call), 0);
	observe(world, call);
	assert_int_equal(world->seen.at_target, 1);
	put(world, "config/app.json", "{\"x\": 1}");
	assert_int_equal(driver_files.undo(make(world, two, NULL), &world->err), 0);
	observe(world, make(world, two, NULL));
	assert_int_equal(world->seen.at_target, 1);
	/* an interrupted capture has no index: it is no capture */
	assert_int_equal(unlink(in(world, "snapshot/index.json")), 0);
	assert_int_equal(driver_files.undo(make(world, two, NULL), &world->err), -ERR_NOT_FOUND);
	capture(world, two, "snapshot");
	assert_int_equal(driver_files.undo(make(world, two, NULL), &world->err), 0);
}

static void test_damaged_content_is_refused(void **state)
{
	struct world *world = *state;
	struct driver_call *call;
	struct findings *findings = findings_new(world);

	put(world, ".env.production", "A=1\n");
	put(world, "config/app.json", "{}");
	capture(world, two, "kept");
	put(world, ".env.production", "A=2\n");
	put(world, "config/app.json", "{\"x\": 1}");
	put(world, "kept/files/1", "{!");
	call = make(world, two, "{'version': 'x'}");
	call->source_dir = in(world, "kept");
	assert_int_equal(driver_files.check(call, findings, &world->err), 0);
	assert_int_equal(findings_blocking(findings), 1);
	assert_string_equal(findings->list[0].name, "target_content");
	assert_int_equal(apply(world, call), -ERR_CORRUPT);
	assert_string_equal(get(world, ".env.production"), "A=2\n"); /* nothing was written */
	put(world, "kept/index.json",
		"{\"format\": 1, \"files\": [{\"path\": \"config/app.json\", \"present\": true, \"name\": \"../../x\", \"blake2b\": \"00\"}]}");
	assert_int_equal(apply(world, call), -ERR_CORRUPT);
	put(world, "kept/index.json", "{\"format\": 2}");
	assert_int_equal(apply(world, call), -ERR_NEWER);
}

static size_t blocking(struct world *world, const char *config, const char *target, const char *source)
{
	struct findings *findings = findings_new(world);
	struct driver_call *call = make(world, config, target);

	call->source_dir = source ? in(world, source) : NULL;
	assert_int_equal(driver_files.check(call, findings, &world->err), 0);
	assert_true(findings->count > 0);
	return findings_blocking(findings);
}

static void test_check(void **state)
{
	struct world *world = *state;

	put(world, ".env.production", "A=1\n");
	capture(world, two, "kept");
	assert_int_equal(blocking(world, two, "{'version': 'x'}", "kept"), 0);
	assert_int_equal(blocking(world, two, "{'version': 'x'}", "nowhere"), 1);
	assert_int_equal(blocking(world, two, "{'version': 'x'}", NULL), 1);
	assert_int_equal(blocking(world, two, "{'items': {'.env.production:A': 2}}", NULL), 0);
	assert_int_equal(blocking(world, two, "{'items': {'.env.production:A': [1]}}", NULL), 1);
	assert_int_equal(blocking(world, "{'paths': ['.env.production', 'more.env']}", "{'version': 'x'}", "kept"), 0); /* a warning */
	assert_string_equal(get(world, ".env.production"), "A=1\n");
}

static void test_links_and_folders(void **state)
{
	struct world *world = *state;
	struct driver_call *call;
	struct stat st;

	put(world, "shared/env", "A=1\n");
	assert_int_equal(symlink("shared/env", in(world, ".env")), 0);
	capture(world, "{'paths': '.env'}", "kept");
	assert_int_equal(apply(world, make(world, "{'paths': '.env'}", "{'items': {'A': '2'}}")), 0);
	assert_int_equal(lstat(in(world, ".env"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_string_equal(get(world, "shared/env"), "A=2\n");
	call = make(world, "{'paths': '.env'}", "{'version': 'x'}");
	call->source_dir = in(world, "kept");
	assert_int_equal(apply(world, call), 0);
	assert_string_equal(get(world, "shared/env"), "A=1\n");
	assert_int_equal(driver_files.observe(make(world, "{'paths': 'shared'}", NULL), &world->seen, &world->err), -ERR_INVALID);
	assert_int_equal(driver_files.observe(make(world, "{'paths': ['.env', '.env']}", NULL), &world->seen, &world->err), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_details_hold_no_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_whole_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_absent_file_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_config_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_items, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_items_of_several_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_undo, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_interrupted_between_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_content_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_check, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_and_folders, set_up, tear_down),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
