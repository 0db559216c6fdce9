/* The Model Context Protocol: operations as tools for assistants. Pure dispatch: a message comes in, an answer goes out; who carries them
 * (standard streams, HTTP) is the business of cli/mcp.c and http/mcp.c.
 *
 * Two generations of the protocol are spoken side by side, and each message says by itself to which it belongs:
 *   - 2026-07-28, without state: every request carries its version and the client's capabilities in params._meta; server/discover;
 *     results name their type, lists how long they hold;
 *   - 2025-11-25 and 2025-06-18: initialize, notifications/initialized, ping. Batches exist in neither.
 * Offered are tools only. Errors of an operation are results that say so (isError), so that the assistant can read them; JSON-RPC errors
 * are for messages that cannot be understood.
 *
 * Threads: a session belongs to one thread. A message for which mcp_is_call is true may take long: a copy of the session may handle it on
 * another thread, with a workspace of that thread. */
#ifndef SURFACE_MCP_MCP_H
#define SURFACE_MCP_MCP_H

#include "ops/operation.h"

#define MCP_MESSAGE_MAX       (4u << 20)
#define MCP_VERSION_STATELESS "2026-07-28"
#define MCP_VERSION_LIFECYCLE "2025-11-25"

/* Error codes of JSON-RPC and of the protocol. */
enum mcp_error {
	MCP_PARSE_ERROR = -32700,
	MCP_INVALID_REQUEST = -32600,
	MCP_METHOD_NOT_FOUND = -32601,
	MCP_INVALID_PARAMS = -32602,
	MCP_HEADER_MISMATCH = -32020,
	MCP_UNSUPPORTED_VERSION = -32022,
};

struct mcp_session {
	bool local; /* one client on standard streams: it must initialize first (2025-11-25), and says which project it means (projectPath) */
	bool initialized; /* set by initialize */
	size_t page;      /* tools on one page of tools/list; 0: 100 */
	int64_t wait_ms;  /* how long a call waits for a run that others carry out; 0: to its end */
	/* Gives the op its workspace. `path`: the argument projectPath, NULL when absent. */
	int (*project)(void *user, struct op *op, const char *path, struct err *err);
	/* Sends a notification (borrowed); NULL: the transport has no way to. */
	void (*notify)(void *user, json_t *notification);
	/* True: nobody waits for the answer of this call any more. NULL: never. */
	bool (*abandoned)(void *user);
	void *user;
};

/* Text to message. On failure *ret_answer is the error answer to send. Everything is kept in ctx. */
must_check int mcp_read(const void *ctx, const char *text, size_t size, json_t **ret_message, json_t **ret_answer);
/* The answer to a message, kept in op->ctx; NULL when there is none to give (a notification, a response). `op` is the template of the op
 * that a tool is called with: what its members
 * watch, tell, confirm and interrupted are makes no difference. */
json_t *mcp_handle(struct mcp_session *session, const struct op *op, json_t *message);
bool mcp_is_call(json_t *message);
/* Of the 2026-07-28 revision? */
bool mcp_is_stateless(json_t *message);
bool mcp_is_request(json_t *message);
/* "tools/call" of a message, its params.name; NULL. */
const char *mcp_method(json_t *message);
const char *mcp_tool_name(json_t *message);
/* An error answer to `message` (NULL: to one that could not be read); kept in ctx. */
json_t *mcp_error(const void *ctx, json_t *message, enum mcp_error code, const char *text);
/* One line, as it is sent: members in their order. */
char *mcp_text(const void *ctx, json_t *message);
/* Versions that initialize and the header MCP-Protocol-Version may name. */
bool mcp_knows_version(const char *version);

#endif
