/* src/surface/mcp/tools.c: which operations are offered, what is said about them, and what an argument becomes. */
#include "base/text.h"
#include "mcp_test.h"

/* What must never be offered: a word of a person, and what guards access. */
static void test_nothing_that_is_for_people(void **state)
{
	static const char *const parts[] = { "approve", "reject", "people", "principals", "tokens", "sessions", "breakglass", "approvals" };

	(void)state;
	for (const struct mcp_tool *tool = mcp_tools; tool->name; tool++) {
		const struct operation *operation = operation_find(tool->operation);

		assert_non_null(operation);
		assert_false(operation->local);
		assert_true(operation->permission != PERMIT_APPROVE && operation->permission != PERMIT_ADMINISTER &&
			operation->permission != PERMIT_EMERGENCY);
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
			assert_null(strstr(operation->name, parts[i]));
	}
}

static void test_names(void **state)
{
	(void)state;
	for (const struct mcp_tool *tool = mcp_tools; tool->name; tool++) {
		assert_true(mcp_tool_find(tool->name) == tool); /* so each is there once */
		assert_int_equal(strspn(tool->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(tool->name));
		assert_true(strlen(tool->name) <= 64);
	}
}

/* A field that names a file would let an assistant read what it may not: none is offered but the project. */
static void test_no_files(void **state)
{
	struct mcp_session session = { .local = true };

	for (const struct mcp_tool *tool = mcp_tools; tool->name; tool++) {
		const struct field *field = tool->fields ? tool->fields : operation_find(tool->operation)->fields;

		for (; field->member; field++)
			if (field->type == FIELD_TYPE_PATH)
				fail_msg("%s takes the path %s", tool->name, field->member);
		assert_non_null(json_object_get(
			json_object_get(json_object_get(json_keep(*state, mcp_tool_json(&session, tool)), "inputSchema"), "properties"),
			"projectPath"));
	}
}

/* An operation that reads is said to read; one that may destroy is never said not to. */
static void test_annotations(void **state)
{
	struct mcp_session session = { 0 };

	for (const struct mcp_tool *tool = mcp_tools; tool->name; tool++) {
		const struct operation *operation = operation_find(tool->operation);
		json_t *annotations = json_object_get(json_keep(*state, mcp_tool_json(&session, tool)), "annotations");
		bool reads = json_flag(annotations, "readOnlyHint", false);

		if (!strcmp(operation->method, "GET"))
			assert_true(reads);
		if (operation->destructive)
			assert_true(!reads && json_flag(annotations, "destructiveHint", false));
		if (operation->permission == PERMIT_EXECUTE || operation->permission == PERMIT_FLAGS)
			assert_true(!reads && json_flag(annotations, "destructiveHint", false));
	}
}

static void test_arguments_become_input(void **state)
{
	struct mcp_session session = { .local = true };
	struct err err = ERR_INIT;
	const char *path;
	json_t *input;

	assert_int_equal(
		mcp_tool_input(*state, &session, mcp_tool_find("rollback_deployment"),
			parse(state,
				"{\"projectPath\": \"/p\", \"environment\": \"staging\", \"deploymentId\": \"dep-1\", \"target\": \"api\", \"reason\": "
				"\"because\", \"preserveData\": false}"),
			&path, &input, &err),
		0);
	assert_string_equal(path, "/p");
	assert_string_equal(json_canonical(*state, input),
		"{\"environment\":\"staging\",\"preserveData\":false,\"reason\":\"because\",\"target\":\"api\",\"to\":\"dep-1\"}");
}

static void test_hidden_and_foreign_arguments_are_refused(void **state)
{
	struct mcp_session session = { .local = true };
	static const char *const cases[][2] = {
		{ "resume_rollback", "{\"step\": \"a\", \"answer\": \"done\"}" },
		{ "rollback_deployment", "{\"projectPath\": \"/p\", \"environment\": \"e\", \"reason\": \"r\", \"to\": \"dep-1\"}" },
		{ "rollback_deployment",
			"{\"projectPath\": \"/p\", \"environment\": \"e\", \"reason\": \"r\", \"plan\": \"/etc/passwd\"}" },
		{ "rollback_deployment", "{\"environment\": \"e\", \"reason\": \"r\"}" },
		{ "rollback_deployment", "{\"projectPath\": \"/p\", \"environment\": \"e\"}" },
		{ "list_flags", "{\"environment\": \"e\", \"projectPath\": []}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;
		const char *path;
		json_t *input;

		if (mcp_tool_input(*state, &session, mcp_tool_find(cases[i][0]), parse(state, cases[i][1]), &path, &input, &err) !=
			-ERR_INVALID)
			fail_msg("%s %s is not refused", cases[i][0], cases[i][1]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_that_is_for_people),
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_no_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_annotations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arguments_become_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden_and_foreign_arguments_are_refused, setup, teardown),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
