/* The MCP server: any line. What is answered is one JSON-RPC answer, on one line, that reads back as the same; what is no request is
 * answered with an error or not at all; no tool reaches a project. */
#include "fuzz.h"
#include "surface/mcp/mcp.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	json_setup();
	return 0;
}

static int no_project(unused_arg void *user, unused_arg struct op *op, unused_arg const char *path, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no project here");
}

static void check_answer(void *ctx, json_t *answer)
{
	char *text = mcp_text(ctx, answer);
	struct err err = ERR_INIT;
	json_t *again;

	assert_always(!strpbrk(text, "\r\n"));
	assert_always(!strcmp(json_str(answer, "jsonrpc", ""), "2.0"));
	assert_always(!json_object_get(answer, "result") != !json_object_get(answer, "error"));
	assert_always(json_parse(ctx, text, strlen(text), 64u << 20, &again, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct mcp_session session = { .local = size % 2, .page = 3, .project = no_project };
	struct op op = { .ctx = ctx, .actor = "fuzz" };
	json_t *message, *answer = NULL;

	if (mcp_read(ctx, (const char *)bytes, size, &message, &answer) < 0) {
		check_answer(ctx, answer);
		return 0;
	}
	answer = mcp_handle(&session, &op, message);
	if (answer)
		check_answer(ctx, answer);
	assert_always(answer || !mcp_is_request(message));
	return 0;
}
