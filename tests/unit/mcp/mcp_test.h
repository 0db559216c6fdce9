/* What the tests of this room share: a session without a transport, and messages as text. */
#ifndef TESTS_UNIT_MCP_MCP_TEST_H
#define TESTS_UNIT_MCP_MCP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "surface/mcp/inner.h"

#define META "\"_meta\": {\"io.modelcontextprotocol/protocolVersion\": \"2026-07-28\", \"io.modelcontextprotocol/clientCapabilities\": {}}"

static inline int setup(void **state)
{
	*state = mem_context(NULL);
	return 0;
}

static inline int teardown(void **state)
{
	talloc_free(*state);
	return 0;
}

static inline int no_project(unused_arg void *user, unused_arg struct op *op, unused_arg const char *path, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no project in this test");
}

static inline json_t *parse(void **state, const char *text)
{
	struct err err = ERR_INIT;
	json_t *json;

	if (json_parse(*state, text, strlen(text), 1 << 20, &json, &err) < 0)
		fail_msg("%s", err.text);
	return json;
}

static inline json_t *ask(void **state, struct mcp_session *session, const char *text)
{
	struct op op = { .ctx = *state, .actor = "test" };
	json_t *message = NULL, *answer = NULL;

	session->project = no_project;
	if (mcp_read(*state, text, strlen(text), &message, &answer) < 0)
		return answer;
	return mcp_handle(session, &op, message);
}

static inline int64_t error_code(json_t *answer)
{
	return json_int(json_object_get(answer, "error"), "code", 0);
}

#endif
