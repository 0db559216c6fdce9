/* deployment-registry.json: made, kept in step, taken over from, never overwritten when it cannot be read. */
#include <sys/stat.h>

#include "base/log.h"
#include "store_test.h"

static char *file_path(const char *folder)
{
	return fs_join(folder, folder, "deployment-registry.json");
}

static struct store *open_with_file(const char *folder)
{
	struct err error = ERR_INIT;
	struct store *store = NULL;

	assert_ok(store_open(folder, fs_join(folder, folder, "unship.db"), file_path(folder), "/srv/shop", &store, &error));
	return store;
}

static char *file_text(const char *folder)
{
	struct err error = ERR_INIT;
	char *text = NULL;

	assert_ok(fs_read(folder, file_path(folder), 100000000, &text, NULL, &error));
	return text;
}

static json_t *file_json(const char *folder)
{
	struct err error = ERR_INIT;
	char *text = file_text(folder);
	json_t *root = NULL;

	assert_ok(registry_read(folder, text, strlen(text), &root, &error));
	return root;
}

static void write_file(const char *folder, const char *text)
{
	struct err error = ERR_INIT;

	assert_ok(fs_write_atomic(file_path(folder), text, strlen(text), 0600, &error));
}

static json_t *line(const char *folder, const char *list, size_t index)
{
	return json_array_get(json_object_get(file_json(folder), list), index);
}

static void it_is_made_by_itself(void **state)
{
	(void)open_with_file(*state);
	assert_string_equal(json_str(file_json(*state), "version", ""), "1.0.0");
	assert_string_equal(json_str(file_json(*state), "projectPath", ""), "/srv/shop");
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "deployments")), 0);
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "rollbacks")), 0);
}

static void it_follows_deployments_and_rollbacks(void **state)
{
	struct store *store = open_with_file(*state);
	struct err error = ERR_INIT;

	assert_ok(record(store, "production", "dep-1", "1.0.0", "passing", &error));
	assert_ok(record(store, "production", "dep-2", "2.0.0", NULL, &error));
	assert_string_equal(json_str(line(*state, "deployments", 0), "id", ""), "dep-1");
	assert_string_equal(json_str(line(*state, "deployments", 0), "environment", ""), "production");
	assert_string_equal(json_str(line(*state, "deployments", 0), "version", ""), "1.0.0");
	assert_string_equal(json_str(line(*state, "deployments", 0), "health", ""), "passing");
	assert_string_equal(json_str(line(*state, "deployments", 0), "status", ""), "success");
	assert_true(json_is_null(json_object_get(line(*state, "deployments", 0), "gitSha")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(line(*state, "deployments", 0), "services"), 0)), "api");
	assert_has(json_str(line(*state, "deployments", 0), "timestamp", ""), "Z");
	assert_ok(request(store, "production", "run-1", "dep-2", "dep-1", &error));
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "rollbacks")), 0);
	assert_ok(end_run(store, "production", "run-1", "completed", &error));
	assert_ok(append(store, ENTRY_DEPLOYMENT_STATUS, "production", NULL,
		json_make(store, "{s:s, s:s}", "deployment", "dep-2", "status", "rolled-back"), &error));
	assert_string_equal(json_str(line(*state, "deployments", 1), "status", ""), "rolled-back");
	assert_string_equal(json_str(line(*state, "rollbacks", 0), "rollbackId", ""), "run-1");
	assert_string_equal(json_str(line(*state, "rollbacks", 0), "fromDeploymentId", ""), "dep-2");
	assert_string_equal(json_str(line(*state, "rollbacks", 0), "toDeploymentId", ""), "dep-1");
	assert_string_equal(json_str(line(*state, "rollbacks", 0), "reason", ""), "errors");
	assert_true(json_flag(line(*state, "rollbacks", 0), "success", false));
	assert_ok(request(store, "production", "run-2", "dep-1", "dep-2", &error));
	assert_ok(end_run(store, "production", "run-2", "refused", &error));
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "rollbacks")), 1);
}

static ino_t file_inode(const char *folder)
{
	struct stat status;

	assert_int_equal(stat(file_path(folder), &status), 0);
	return status.st_ino;
}

static void nothing_changed_nothing_is_written(void **state)
{
	struct store *store = open_with_file(*state);
	struct err error = ERR_INIT;
	ino_t before;

	assert_ok(record(store, "production", "dep-1", "1", NULL, &error));
	before = file_inode(*state);
	assert_ok(registry_sync(store, &error));
	assert_ok(append(store, "note", NULL, NULL, NULL, &error));
	assert_ok(store_flag_set(store, "production", "a", NULL, "true", "ana", NULL, NULL, &error));
	(void)open_with_file(*state);
	assert_int_equal(file_inode(*state), before);
	assert_ok(record(store, "production", "dep-2", "2", NULL, &error));
	assert_int_not_equal(file_inode(*state), before);
}

/* Not only is nothing written: neither is anything read but the one row that says so. */
static void in_step_costs_one_query(void **state)
{
	struct err error = ERR_INIT;
	struct store *store = open_with_file(*state);
	struct sql *sql = NULL, *counted;
	unsigned before;

	assert_ok(record(store, "production", "dep-1", "1", NULL, &error));
	(void)talloc_free(store);
	assert_ok(sqlite_open(*state, fs_join(*state, *state, "unship.db"), &sql, &error));
	counted = faulty_wrap(*state, sql, 0, ERR_STORE, false);
	assert_ok(store_open_sql(*state, counted, file_path(*state), "/srv/shop", &store, &error));
	before = faulty_calls(counted);
	assert_ok(registry_sync(store, &error));
	assert_int_equal(faulty_calls(counted), before + 1);
	write_file(*state, "{\"deployments\": []}");
	assert_ok(registry_sync(store, &error));
	assert_true(faulty_calls(counted) > before + 2);
}

static void a_broken_file_is_never_overwritten(void **state)
{
	static const char *const broken[] = {
		"{\n \"version\": \"1.0.0\",\n \"deployments\": [\n  {\"id\": \"dep-9\", \"envir",
		"",
		"[]",
		"{\"deployments\": 5}",
		"{\"deployments\": [{\"id\": \"x\"}]}",
		"{\"deployments\": [{\"id\": \"../../x\", \"environment\": \"production\", \"version\": \"1\"}]}",
		"{\"deployments\": [{\"id\": \"x\", \"environment\": \"p\", \"version\": \"1\"}, {\"id\": \"x\", \"environment\": \"p\", \"version\": \"2\"}]}",
	};
	struct store *store = open_with_file(*state);
	struct err error = ERR_INIT;
	struct deployment read;

	log_setup(LOG_NONE, LOG_TEXT, STDERR_FILENO);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		const char *id = mem_printf(*state, "dep-%zu", i);

		write_file(*state, broken[i]);
		assert_ok(record(store, "production", id, "1", NULL, &error)); /* the journal does not depend on it */
		assert_ok(store_deployment(store, *state, id, &read, &error));
		assert_string_equal(file_text(*state), broken[i]);
		assert_fails(registry_sync(store, &error), ERR_CORRUPT);
		assert_has(error.text, "deployment-registry.json");
		assert_has(error.text, "move it aside");
		assert_string_equal(file_text(*state), broken[i]);
	}
	write_file(*state, broken[0]);
	assert_fails(registry_sync(store, &error), ERR_CORRUPT);
	assert_has(error.text, ":4:");
	/* Moved aside: it is made anew, and lacks nothing. */
	assert_int_equal(unlink(file_path(*state)), 0);
	assert_ok(registry_sync(store, &error));
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "deployments")), ARRAY_SIZE(broken));
	assert_consistent(store);
}

static void trouble_stands_until_it_is_gone(void **state)
{
	struct store *store = open_with_file(*state);
	struct err error = ERR_INIT;

	assert_null(store->registry_trouble);
	write_file(*state, "{");
	assert_ok(record(store, "production", "dep-1", "1", NULL, &error));
	assert_has(store->registry_trouble, "deployment-registry.json");
	assert_ok(record(store, "production", "dep-2", "2", NULL, &error));
	assert_non_null(store->registry_trouble);
	assert_int_equal(unlink(file_path(*state)), 0);
	assert_ok(record(store, "production", "dep-3", "3", NULL, &error));
	assert_null(store->registry_trouble);
}

static void what_others_wrote_is_taken_over(void **state)
{
	struct store *store = open_with_file(*state);
	struct err error = ERR_INIT;
	struct deployment read;
	int64_t wall_ms = 0;

	assert_ok(record(store, "staging", "dep-1", "1", NULL, &error));
	write_file(*state,
		"{\"version\": \"2.5\", \"theirs\": {\"a\": 1}, \"deployments\": ["
		"{\"id\": \"dep-1\", \"environment\": \"staging\", \"version\": \"1\", \"status\": \"success\", \"note\": \"kept\"},"
		"{\"id\": \"deploy-20241030-abc123\", \"environment\": \"production\", \"version\": \"1.4.0\", \"timestamp\": \"2024-10-30T10:00:00Z\","
		" \"gitSha\": \"abc123\", \"status\": \"success\", \"services\": [\"api\", \"web\"]},"
		"{\"id\": \"deploy-20241031-def456\", \"environment\": \"production\", \"version\": \"1.5.0\", \"timestamp\": \"2024-10-31T10:00:00Z\","
		" \"status\": \"failed\", \"health\": \"failing\", \"components\": {\"api\": \"1.5.0\"}},"
		"{\"id\": \"deploy-old\", \"environment\": \"staging\", \"version\": \"0.9\", \"timestamp\": \"2020-01-01T00:00:00Z\"}],"
		"\"rollbacks\": [{\"rollbackId\": \"theirs-1\", \"fromDeploymentId\": \"a\", \"toDeploymentId\": \"b\", \"reason\": \"r\", \"success\": true}]}");
	assert_ok(registry_sync(store, &error));
	assert_ok(store_deployment(store, *state, "deploy-20241030", &read, &error));
	assert_string_equal(read.version, "1.4.0");
	assert_string_equal(read.git_sha, "abc123");
	assert_ok(clock_parse("2024-10-30T10:00:00Z", &wall_ms, &error));
	assert_int_equal(read.wall_ms, wall_ms);
	assert_string_equal(json_str(json_object_get(read.components, "web"), "version", ""), "1.4.0");
	assert_ok(store_deployment(store, *state, "deploy-20241031", &read, &error));
	assert_int_equal(read.status, DEPLOYMENT_FAILED);
	assert_int_equal(read.health, HEALTH_FAILING);
	assert_string_equal(json_str(json_object_get(read.components, "api"), "version", ""), "1.5.0");
	assert_ok(store_present(store, *state, "production", &read, &error));
	assert_string_equal(read.id, "deploy-20241030-abc123");
	assert_ok(store_present(store, *state, "staging", &read, &error)); /* an older one is not what runs there */
	assert_string_equal(read.id, "dep-1");
	assert_ok(record(store, "production", "dep-2", "2", NULL, &error));
	assert_string_equal(json_str(file_json(*state), "version", ""), "2.5");
	assert_int_equal(json_int(json_object_get(file_json(*state), "theirs"), "a", 0), 1);
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "deployments")), 5);
	assert_string_equal(json_str(line(*state, "rollbacks", 0), "rollbackId", ""), "theirs-1");
	assert_has(file_text(*state), "\"note\": \"kept\"");
	assert_consistent(store);
}

static void opening_catches_up(void **state)
{
	struct store *store = open_with_file(*state);
	struct err error = ERR_INIT;
	struct deployment read;

	(void)talloc_free(store);
	/* As if it had died between the commit and the file. */
	store = open_store(*state);
	assert_ok(record(store, "production", "dep-1", "1", NULL, &error));
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "deployments")), 0);
	(void)talloc_free(store);
	store = open_with_file(*state);
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "deployments")), 1);
	write_file(*state, "{\"deployments\": [{\"id\": \"dep-x\", \"environment\": \"production\", \"version\": \"9\"}]}");
	(void)open_with_file(*state);
	assert_ok(store_deployment(store, *state, "dep-x", &read, &error));
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "deployments")), 2);
}

static void only_the_newest_of_many_are_shown(void **state)
{
	struct store *store = open_with_file(*state);
	struct entry *entries = mem_array(*state, struct entry, 1010);
	struct err error = ERR_INIT;

	for (int i = 0; i < 1010; i++)
		entries[i] = entry_make(*state, ENTRY_DEPLOYMENT_RECORDED, "production", NULL, "{s:{s:s, s:s}}", "deployment", "id",
			mem_printf(*state, "dep-%d", i), "version", "1");
	assert_ok(store_append_all(store, *state, NULL, entries, 1010, &error));
	assert_ok(record(store, "staging", "dep-s", "1", NULL, &error));
	assert_int_equal(json_array_size(json_object_get(file_json(*state), "deployments")), 1001);
	assert_string_equal(json_str(line(*state, "deployments", 0), "id", ""), "dep-10");
	/* Those that are left out of the file are not taken for foreign ones. */
	assert_ok(registry_sync(store, &error));
	assert_consistent(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_made_by_itself),
		TEST(it_follows_deployments_and_rollbacks),
		TEST(nothing_changed_nothing_is_written),
		TEST(in_step_costs_one_query),
		TEST(a_broken_file_is_never_overwritten),
		TEST(trouble_stands_until_it_is_gone),
		TEST(what_others_wrote_is_taken_over),
		TEST(opening_catches_up),
		TEST(only_the_newest_of_many_are_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
