/* Deployments: recorded, judged, found; last stable by evidence and by index; the present one. */
#include "store/internal.h"
#include "store_test.h"

static void all_fields_are_kept(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct deployment read;

	assert_ok(append(store, ENTRY_DEPLOYMENT_RECORDED, "production", NULL,
		json_make(store, "{s:{s:s, s:s, s:s, s:{s:{s:s, s:s}}, s:s, s:n, s:s, s:s, s:s}}", "deployment", "id", "dep-01a", "version",
			"1.2.3", "gitSha", "abc1234", "components", "api", "version", "1.2.3", "state", "x", "migration", "0007",
			"configVersion", "recordedBy", "ci", "status", "failed", "rollbackOf", "run-9"),
		&error));
	assert_ok(store_deployment(store, *state, "dep-01a", &read, &error));
	assert_string_equal(read.environment, "production");
	assert_string_equal(read.version, "1.2.3");
	assert_string_equal(read.git_sha, "abc1234");
	assert_string_equal(read.migration, "0007");
	assert_null(read.config_version);
	assert_string_equal(read.recorded_by, "ci");
	assert_string_equal(read.rollback_of, "run-9");
	assert_int_equal(read.status, DEPLOYMENT_FAILED);
	assert_int_equal(read.seq, 1);
	assert_true(read.wall_ms > 0);
	assert_string_equal(json_str(json_object_get(read.components, "api"), "state", ""), "x");
	assert_consistent(store);
}

static void ids_may_be_shortened(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct deployment read;

	assert_ok(record(store, "production", "dep-01ab", "1", NULL, &error));
	assert_ok(record(store, "production", "dep-01ac", "2", NULL, &error));
	assert_ok(record(store, "production", "dep-01ac-more", "3", NULL, &error));
	assert_ok(record(store, "production", "deploy-20241030-abc123", "4", NULL, &error));
	assert_ok(store_deployment(store, *state, "dep-01ab", &read, &error));
	assert_string_equal(read.version, "1");
	assert_ok(store_deployment(store, *state, "01ab", &read, &error));
	assert_string_equal(read.version, "1");
	assert_ok(store_deployment(store, *state, "dep-01ac", &read, &error));
	assert_string_equal(read.version, "2");
	assert_ok(store_deployment(store, *state, "01ac", &read, &error));
	assert_string_equal(read.version, "2");
	assert_ok(store_deployment(store, *state, "deploy-2024", &read, &error));
	assert_string_equal(read.version, "4");
	assert_fails(store_deployment(store, *state, "dep-01", &read, &error), ERR_AMBIGUOUS);
	assert_has(error.text, "dep-01ab");
	assert_fails(store_deployment(store, *state, "dep-02", &read, &error), ERR_NOT_FOUND);
	assert_fails(store_deployment(store, *state, "", &read, &error), ERR_INVALID);
	assert_fails(store_deployment(store, *state, "%", &read, &error), ERR_NOT_FOUND);
}

static void last_stable_is_found_by_evidence(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct deployment read;

	assert_fails(store_last_stable(store, *state, "production", NULL, &read, &error), ERR_NOT_FOUND);
	assert_ok(record(store, "production", "dep-1", "1", "passing", &error));
	assert_ok(record(store, "production", "dep-2", "2", "passing", &error));
	assert_ok(record(store, "production", "dep-3", "3", NULL, &error));
	assert_ok(record(store, "production", "dep-4", "4", "failing", &error));
	assert_ok(record(store, "staging", "dep-5", "5", "passing", &error));
	assert_ok(store_last_stable(store, *state, "production", NULL, &read, &error));
	assert_string_equal(read.id, "dep-2");
	assert_ok(store_last_stable(store, *state, "production", "dep-2", &read, &error));
	assert_string_equal(read.id, "dep-1");
	assert_ok(append(store, ENTRY_DEPLOYMENT_HEALTH, "production", NULL,
		json_make(store, "{s:s, s:s}", "deployment", "dep-4", "health", "passing"), &error));
	assert_ok(store_last_stable(store, *state, "production", NULL, &read, &error));
	assert_string_equal(read.id, "dep-4");
	assert_int_equal(read.passing, 1);
	assert_int_equal(read.failing, 1);
	assert_ok(append(store, ENTRY_DEPLOYMENT_QUARANTINE, "production", NULL,
		json_make(store, "{s:s, s:s}", "deployment", "dep-4", "reason", "bad"), &error));
	assert_ok(store_last_stable(store, *state, "production", NULL, &read, &error));
	assert_string_equal(read.id, "dep-2");
	assert_ok(append(store, ENTRY_DEPLOYMENT_STATUS, "production", NULL,
		json_make(store, "{s:s, s:s}", "deployment", "dep-2", "status", "rolled-back"), &error));
	assert_ok(store_last_stable(store, *state, "production", NULL, &read, &error));
	assert_string_equal(read.id, "dep-1");
	assert_ok(append(store, ENTRY_DEPLOYMENT_RELEASE, "production", NULL, json_make(store, "{s:s}", "deployment", "dep-4"), &error));
	assert_ok(store_last_stable(store, *state, "production", NULL, &read, &error));
	assert_string_equal(read.id, "dep-4");
	assert_null(read.quarantine);
	assert_consistent(store);
}

static int plan_row(void *user, const struct sql_value *columns, size_t count, struct err *err)
{
	char **text = user;

	*text = mem_appendf(*text, "%s\n", columns[3].text);
	return 0;
}

static void last_stable_uses_its_index_and_sorts_nothing(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	char *plan = mem_strdup(*state, ""), *statement = mem_printf(*state, "EXPLAIN QUERY PLAN %s", last_stable_statement);
	struct sql_value values[] = { SQL_T("production"), SQL_T("") };

	assert_ok(store->sql->ops->run(store->sql, statement, values, 2, plan_row, &plan, &error));
	assert_has(plan, "USING INDEX deployments_stable (environment=? AND status=? AND health=? AND quarantine=?)");
	assert_null(strstr(plan, "TEMP B-TREE"));
}

static void lists_are_newest_lineage_first(void **state)
{
	struct store *store = open_store(*state);
	struct deployment **list;
	struct err error = ERR_INIT;
	size_t count;

	assert_ok(record(store, "production", "dep-b", "1", NULL, &error));
	assert_ok(record(store, "production", "dep-a", "2", NULL, &error));
	assert_ok(record(store, "staging", "dep-c", "3", NULL, &error));
	assert_ok(store_deployments(store, *state, "production", 0, &list, &count, &error));
	assert_int_equal(count, 2);
	assert_string_equal(list[0]->id, "dep-a");
	assert_string_equal(list[1]->id, "dep-b");
	assert_ok(store_deployments(store, *state, "production", 1, &list, &count, &error));
	assert_int_equal(count, 1);
	assert_ok(store_deployments(store, *state, "nowhere", 0, &list, &count, &error));
	assert_int_equal(count, 0);
}

static void assert_present(struct store *store, const char *environment, const char *id)
{
	struct err error = ERR_INIT;
	struct deployment read;

	assert_ok(store_present(store, store, environment, &read, &error));
	assert_string_equal(read.id, id);
}

static void present_follows_records_and_rollbacks(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct deployment read;

	assert_fails(store_present(store, *state, "production", &read, &error), ERR_NOT_FOUND);
	assert_ok(record(store, "production", "dep-1", "1", NULL, &error));
	assert_ok(record(store, "production", "dep-2", "2", NULL, &error));
	assert_present(store, "production", "dep-2");
	assert_ok(append(store, ENTRY_DEPLOYMENT_RECORDED, "production", NULL,
		json_make(store, "{s:{s:s, s:s, s:s}}", "deployment", "id", "dep-3", "version", "3", "status", "failed"), &error));
	assert_present(store, "production", "dep-2");
	/* A rollback that did not complete changes nothing. */
	assert_ok(request(store, "production", "run-1", "dep-2", "dep-1", &error));
	assert_ok(end_run(store, "production", "run-1", "restored", &error));
	assert_present(store, "production", "dep-2");
	assert_ok(request(store, "production", "run-2", "dep-2", "dep-1", &error));
	assert_ok(end_run(store, "production", "run-2", "completed", &error));
	assert_present(store, "production", "dep-1");
	/* Its undo returns to where it came from. */
	assert_ok(append(store, ENTRY_RUN_REQUESTED, "production", "run-3",
		json_make(store, "{s:s, s:s, s:s}", "from", "dep-1", "to", "dep-2", "undoOf", "run-2"), &error));
	assert_ok(end_run(store, "production", "run-3", "completed", &error));
	assert_present(store, "production", "dep-2");
	/* No target: some components only. What stands there is recorded by an entry of its own. */
	assert_ok(request(store, "production", "run-4", "dep-2", NULL, &error));
	assert_ok(end_run(store, "production", "run-4", "completed", &error));
	assert_present(store, "production", "dep-2");
	assert_consistent(store);
}

static void bad_records_are_refused(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	static const char *const bad[] = {
		"{}",
		"{\"deployment\": {\"version\": \"1\"}}",
		"{\"deployment\": {\"id\": \"../x\", \"version\": \"1\"}}",
		"{\"deployment\": {\"id\": \"dep-1\"}}",
		"{\"deployment\": {\"id\": \"dep-1\", \"version\": \"1\", \"status\": \"great\"}}",
		"{\"deployment\": {\"id\": \"dep-1\", \"version\": \"1\", \"gitSha\": 5}}",
		"{\"deployment\": {\"id\": \"dep-1\", \"version\": \"1\", \"components\": []}}",
		"{\"deployment\": {\"id\": \"dep-1\", \"version\": \"1\", \"timestamp\": \"yesterday\"}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *data;

		assert_ok(json_parse(*state, bad[i], strlen(bad[i]), 1000, &data, &error));
		assert_fails(append(store, ENTRY_DEPLOYMENT_RECORDED, "production", NULL, data, &error), ERR_INVALID);
	}
	assert_ok(record(store, "production", "dep-1", "1", NULL, &error));
	assert_fails(record(store, "production", "dep-1", "1", NULL, &error), ERR_CONFLICT);
	assert_fails(append(store, ENTRY_DEPLOYMENT_HEALTH, "production", NULL,
			     json_make(store, "{s:s, s:s}", "deployment", "dep-1", "health", "fine"), &error),
		ERR_INVALID);
	assert_int_equal(assert_consistent(store), 1);
}

static void targets_are_marked(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct deployment read;

	assert_ok(record(store, "production", "dep-1", "1", NULL, &error));
	assert_ok(append(store, ENTRY_DEPLOYMENT_MARK, "production", NULL,
		json_make(store, "{s:s, s:b}", "deployment", "dep-1", "rollbackTarget", 1), &error));
	assert_ok(store_deployment(store, *state, "dep-1", &read, &error));
	assert_true(read.rollback_target);
	assert_consistent(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_fields_are_kept),
		TEST(ids_may_be_shortened),
		TEST(last_stable_is_found_by_evidence),
		TEST(last_stable_uses_its_index_and_sorts_nothing),
		TEST(lists_are_newest_lineage_first),
		TEST(present_follows_records_and_rollbacks),
		TEST(bad_records_are_refused),
		TEST(targets_are_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
