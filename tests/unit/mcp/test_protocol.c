/* src/surface/mcp/protocol.c: JSON-RPC, the two generations, pages. */
#include "mcp_test.h"

static void test_errors_keep_the_id(void **state)
{
	struct mcp_session session = { 0 };
	json_t *answer = ask(state, &session, "{\"jsonrpc\": \"2.0\", \"id\": 7, \"method\": \"nothing\"}");

	assert_int_equal(error_code(answer), MCP_METHOD_NOT_FOUND);
	assert_int_equal(json_int(answer, "id", 0), 7);
	answer = ask(state, &session, "{\"jsonrpc\": \"2.0\", \"id\": [], \"method\": \"ping\"}");
	assert_int_equal(error_code(answer), MCP_INVALID_REQUEST);
	assert_null(json_object_get(answer, "id"));
}

static void test_nothing_is_said_to_notifications_and_responses(void **state)
{
	struct mcp_session session = { 0 };

	assert_null(ask(state, &session, "{\"jsonrpc\": \"2.0\", \"method\": \"notifications/initialized\"}"));
	assert_null(ask(state, &session, "{\"jsonrpc\": \"2.0\", \"method\": \"anything/at/all\"}"));
	assert_null(ask(state, &session, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": {}}"));
}

static void test_lifecycle_only_where_there_is_one_client(void **state)
{
	struct mcp_session local = { .local = true }, shared = { 0 };
	static const char *const list = "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/list\"}";

	assert_int_equal(error_code(ask(state, &local, list)), MCP_INVALID_REQUEST);
	assert_int_equal(error_code(ask(state, &shared, list)), 0);
	assert_int_equal(error_code(ask(state, &local,
				 "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"initialize\", \"params\": {\"protocolVersion\": "
				 "\"2026-07-28\", \"capabilities\": {}, \"clientInfo\": {}}}")),
		0);
	assert_int_equal(error_code(ask(state, &local, list)), 0);
}

/* The revision without state has no initialize: who sends one is answered with a revision that has it. */
static void test_initialize_never_agrees_on_the_stateless_revision(void **state)
{
	struct mcp_session session = { 0 };
	json_t *answer = ask(state, &session,
		"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"initialize\", \"params\": {\"protocolVersion\": \"2026-07-28\", \"capabilities\": {}, "
		"\"clientInfo\": {}}}");

	assert_string_equal(json_str(json_object_get(answer, "result"), "protocolVersion", ""), MCP_VERSION_LIFECYCLE);
}

static void test_a_request_without_state_is_judged_by_itself(void **state)
{
	struct mcp_session session = { .local = true };
	json_t *answer = ask(state, &session, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/list\", \"params\": {" META "}}");

	assert_int_equal(error_code(answer), 0);
	assert_string_equal(json_str(json_object_get(answer, "result"), "resultType", ""), "complete");
	assert_false(session.initialized);
	answer = ask(state, &session,
		"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/list\", \"params\": {\"_meta\": {\"io.modelcontextprotocol/protocolVersion\": 3}}}");
	assert_int_equal(error_code(answer), MCP_INVALID_PARAMS);
}

/* Nothing of the newer generation is told to the older. */
static void test_results_of_the_older_generation_have_no_new_members(void **state)
{
	struct mcp_session session = { 0 };
	json_t *result = json_object_get(ask(state, &session, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/list\"}"), "result");

	assert_int_equal(json_object_size(result), 1);
}

static void test_pages_hold_every_tool_once(void **state)
{
	struct mcp_session session = { .page = 4 };
	const char *cursor = NULL;
	size_t seen = 0;

	do {
		json_t *result = json_object_get(
			ask(state, &session,
				mem_printf(*state, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/list\", \"params\": {%s%s%s}}",
					cursor ? "\"cursor\": \"" : "", cursor ? cursor : "", cursor ? "\"" : "")),
			"result");
		json_t *tools = json_object_get(result, "tools"), *tool;
		size_t index;

		json_array_foreach(tools, index, tool)
			assert_string_equal(json_str(tool, "name", ""), mcp_tools[seen + index].name);
		assert_in_range(json_array_size(tools), 1, 4);
		seen += json_array_size(tools);
		cursor = json_str(result, "nextCursor", NULL);
	} while (cursor);
	assert_null(mcp_tools[seen].name);
}

static void test_arguments_that_are_no_object(void **state)
{
	struct mcp_session session = { 0 };

	assert_int_equal(
		error_code(ask(state, &session,
			"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\", \"params\": {\"name\": \"history\", \"arguments\": []}}")),
		MCP_INVALID_PARAMS);
	assert_int_equal(
		error_code(ask(state, &session,
			"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\", \"params\": {\"name\": \"history\", \"_meta\": "
			"{\"progressToken\": {}}}}")),
		MCP_INVALID_PARAMS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_errors_keep_the_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_said_to_notifications_and_responses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lifecycle_only_where_there_is_one_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_initialize_never_agrees_on_the_stateless_revision, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_request_without_state_is_judged_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_results_of_the_older_generation_have_no_new_members, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_hold_every_tool_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arguments_that_are_no_object, setup, teardown),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
