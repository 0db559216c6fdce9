/* src/surface/mcp/result.c: what becomes of an operation's answer. */
#include "base/log.h"
#include "mcp_test.h"

static const char *text_of(json_t *result)
{
	return json_str(json_array_get(json_object_get(result, "content"), 0), "text", "");
}

static void test_a_finished_run_has_the_members_laid_down(void **state)
{
	struct err none = ERR_INIT;
	json_t *answer = parse(state,
		"{\"success\": true, \"rollbackId\": \"run-1\", \"timestamp\": \"t\", \"environment\": \"production\", \"status\": \"completed\", "
		"\"rolledBackTo\": {\"deploymentId\": \"dep-1\", \"version\": \"1.0\", \"timestamp\": \"t\"}, \"summary\": {\"servicesRolledBack\": 2, "
		"\"duration\": 1.5, \"dataPreserved\": true}, \"validation\": {\"healthChecks\": true, \"configValid\": true, \"servicesRunning\": 1}, "
		"\"warnings\": [], \"phases\": [], \"run\": {\"steps\": []}}");
	json_t *result = mcp_result(*state, mcp_tool_find("rollback_deployment"), answer, &none, false);
	json_t *content = json_object_get(result, "structuredContent");

	assert_false(json_flag(result, "isError", true));
	assert_null(json_object_get(content, "run"));
	assert_null(json_object_get(content, "phases"));
	assert_true(json_equal(json_object_get(content, "summary"), json_object_get(answer, "summary")));
	assert_string_equal(text_of(result), "Rolled production back to 1.0 (dep-1) in 1.5 s, run run-1. Health checks: passed.");
}

static void test_a_refusal_tells_its_findings(void **state)
{
	struct err err = ERR_INIT;
	json_t *answer = parse(state,
		"{\"environment\": \"production\", \"blocking\": 1, \"findings\": [{\"name\": \"a\", \"passed\": true, \"severity\": \"error\", \"message\": "
		"\"fine\"}, {\"name\": \"b\", \"passed\": false, \"severity\": \"error\", \"message\": \"the column is gone\"}], \"plan\": {}}");
	json_t *result, *content;

	err_set(&err, ERR_REFUSED, "the column is gone");
	result = mcp_result(*state, mcp_tool_find("rollback_deployment"), answer, &err, true);
	content = json_object_get(result, "structuredContent");
	assert_true(json_flag(result, "isError", false));
	assert_false(json_flag(content, "success", true));
	assert_int_equal(json_array_size(json_object_get(content, "findings")), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(content, "warnings"), 0)), "the column is gone");
	assert_string_equal(json_str(json_object_get(content, "error"), "code", ""), "refused");
}

static void test_an_error_without_answer(void **state)
{
	struct err err = ERR_INIT;
	json_t *result;

	err_set(&err, ERR_NOT_FOUND, "there is no environment 'x'");
	result = mcp_result(*state, mcp_tool_find("list_flags"), NULL, &err, true);
	assert_int_equal(json_object_size(json_object_get(result, "structuredContent")), 1);
	assert_non_null(strstr(text_of(result), "there is no environment 'x' (not-found). What can be done: "));
}

/* A request that waits for a person is no failure of the call, and says who must do what. */
static void test_an_approval_is_no_error(void **state)
{
	struct err err = ERR_INIT;
	json_t *result;

	err_set(&err, ERR_FORBIDDEN, "needs approval");
	result = mcp_result(*state, mcp_tool_find("rollback_deployment"), parse(state, "{\"approval\": {\"id\": \"apr-7\"}}"), &err, true);
	assert_false(json_flag(result, "isError", true));
	assert_non_null(strstr(text_of(result), "`unship approve apr-7`"));
	assert_string_equal(json_str(json_object_get(json_object_get(result, "structuredContent"), "approval"), "id", ""), "apr-7");
}

static void test_no_secret_leaves(void **state)
{
	struct err err = ERR_INIT;
	_cleanup_talloc_ char *text = NULL;

	secret_add("canary-4711-secret");
	err_set(&err, ERR_DRIVER, "login with canary-4711-secret failed");
	text = mcp_text(NULL,
		mcp_result(*state, mcp_tool_find("list_flags"), parse(state, "{\"a\": {\"b\": [\"canary-4711-secret\"]}}"), &err, true));
	assert_null(strstr(text, "canary-4711-secret"));
	secret_forget_all();
}

/* A message that is cut in the middle of a character, or quotes a program that knows no UTF-8, is an answer all the same. */
static void test_text_that_is_no_utf8(void **state)
{
	struct err err = { .code = ERR_DRIVER, .text = "it said '\xc3'" };
	json_t *result = mcp_result(*state, mcp_tool_find("list_flags"), NULL, &err, true);

	assert_non_null(strstr(json_str(json_object_get(json_object_get(result, "structuredContent"), "error"), "message", ""), "\\xc3"));
}

/* What drivers and people wrote reaches a terminal by way of the assistant: control characters are made visible. */
static void test_text_is_printable(void **state)
{
	struct err none = ERR_INIT;
	json_t *answer = json_make(*state, "{s:s, s:s, s:s, s:s}", "rollbackId", "run-1", "environment", "e", "status", "failed", "message",
		"\033[2Jgone");
	json_t *result = mcp_result(*state, mcp_tool_find("rollback_status"), answer, &none, false);

	assert_null(strchr(text_of(result), '\033'));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_finished_run_has_the_members_laid_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_refusal_tells_its_findings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_error_without_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_approval_is_no_error, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_secret_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_that_is_no_utf8, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_is_printable, setup, teardown),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
