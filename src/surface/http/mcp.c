/* POST /mcp: the Model Context Protocol over Streamable HTTP. One message per request, one JSON document as answer; no sessions in either
 * generation of the protocol (2025-11-25 leaves them
 * to the server), so any replica answers any request, and GET and DELETE are 405. Events are not streamed here: a run goes on by itself,
 * and rollback_status tells of it.
 *
 * What intermediaries read in headers must be what the body says, or a request could be let through as one thing and carried out as
 * another: version, method and name are compared (2026-07-28).
 * Who calls, from which web page, and how much, is checked by the server as for every route.
 * Threads: those of the pool. */
#include "surface/http/mcp.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "surface/mcp/mcp.h"

#define WAIT_FOR_RUN_MS 10000 /* a call holds a thread of the pool so long for the run that it began; then it tells how that stands */

static bool accepts_json(const struct exchange *x)
{
	const char *accept = exchange_header(x, "Accept");

	return !accept || strcasestr(accept, "application/json") || strstr(accept, "*/*") || strcasestr(accept, "application/*");
}

/* A value that does not fit a header is sent as =?base64?...?=. */
static bool header_is(const void *ctx, const char *header, const char *value)
{
	if (!header || !value)
		return false;
	if (text_starts_with(header, "=?base64?") && text_ends_with(header, "?="))
		return !strcmp(header, mem_printf(ctx, "=?base64?%s?=", text_base64(ctx, value, strlen(value))));
	return !strcmp(header, value);
}

/* NULL: headers and body say the same. */
static const char *mismatch(const struct exchange *x, json_t *message)
{
	json_t *meta = json_object_get(json_object_get(message, "params"), "_meta");
	const char *version = json_str(meta, "io.modelcontextprotocol/protocolVersion", NULL);
	const char *header = exchange_header(x, "MCP-Protocol-Version");

	if (!header || !version || strcmp(header, version) != 0)
		return "Header mismatch: MCP-Protocol-Version must be the protocolVersion of _meta";
	if (!header_is(x->ctx, exchange_header(x, "Mcp-Method"), mcp_method(message)))
		return "Header mismatch: Mcp-Method must be the method of the body";
	if (mcp_is_call(message) && mcp_tool_name(message) && !header_is(x->ctx, exchange_header(x, "Mcp-Name"), mcp_tool_name(message)))
		return "Header mismatch: Mcp-Name must be the name in the body";
	return NULL;
}

/* The generation that the request belongs to, by either of its two witnesses. */
static bool is_stateless(const struct exchange *x, json_t *message)
{
	const char *header = exchange_header(x, "MCP-Protocol-Version");

	return mcp_is_stateless(message) || (header && !strcmp(header, MCP_VERSION_STATELESS));
}

static int status_of(json_t *answer, bool stateless)
{
	int64_t code = json_int(json_object_get(answer, "error"), "code", 0);

	if (code == 0)
		return 200;
	if (stateless && code == MCP_METHOD_NOT_FOUND)
		return 404;
	return stateless || code == MCP_PARSE_ERROR || code == MCP_INVALID_REQUEST ? 400 : 200;
}

/* The server has one project; a path is taken only as a word for it, and never opened. */
static int check_project(unused_arg void *user, struct op *op, const char *path, struct err *err)
{
	if (path && strcmp(path, op->workspace->dir) != 0)
		return err_set(err, ERR_FORBIDDEN, "projectPath '%s' is not the project of this server: leave it out", path);
	return 0;
}

static bool is_stopping(void *user)
{
	const struct op *op = user;

	return op->interrupted && op->interrupted(op->user);
}

static json_t *answer_message(struct exchange *x, json_t *message, bool stateless)
{
	const char *header = exchange_header(x, "MCP-Protocol-Version");
	const char *wrong = stateless && mcp_is_request(message) ? mismatch(x, message) : NULL;
	struct op op = exchange_op(x);
	struct mcp_session session = { .project = check_project, .abandoned = is_stopping, .wait_ms = WAIT_FOR_RUN_MS, .user = &op };

	if (wrong)
		return mcp_error(x->ctx, message, MCP_HEADER_MISMATCH, wrong);
	if (!stateless && header && !mcp_knows_version(header))
		return mcp_error(x->ctx, message, MCP_INVALID_REQUEST,
			"Invalid request: MCP-Protocol-Version names no version that is spoken here");
	return mcp_handle(&session, &op, message);
}

static int post_message(struct exchange *x, struct err *err)
{
	json_t *body, *message = NULL, *answer = NULL;
	bool stateless = false;

	x->no_etag = true;
	if (!accepts_json(x)) {
		x->status = 406;
		return err_set(err, ERR_USAGE, "answers are application/json, which the header Accept does not allow");
	}
	/* Only the type of the body is judged here; what is wrong with its text is told as JSON-RPC tells it. */
	if (exchange_body_json(x, &body, err) == -ERR_USAGE)
		return -ERR_USAGE;
	if (mcp_read(x->ctx, x->body, x->body_size, &message, &answer) == 0) {
		stateless = is_stateless(x, message);
		answer = answer_message(x, message, stateless);
	}
	if (answer)
		exchange_answer_json(x, status_of(answer, stateless), answer);
	else
		exchange_answer_text(x, 202, "application/json", "");
	return 0;
}

const struct route mcp_routes[] = {
	{
		.method = "POST",
		.pattern = "/mcp",
		.kind = ROUTE_WORK,
		.access = ACCESS_PRINCIPAL,
		.handle = post_message,
		.body_max = MCP_MESSAGE_MAX,
	},
	{ .method = NULL },
};
