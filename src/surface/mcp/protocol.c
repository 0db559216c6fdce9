/* The protocol: JSON-RPC, the two generations, the list of tools.
 *
 * A message is classified by its form alone (request, notification, response); then the members of params._meta say which generation it
 * belongs to. Each method is a row of the table `methods`,
 * with the generations that know it: a new one is a row and a function. What a client sends in answer to a request is passed over: this
 * server asks nothing.
 * Threads: see mcp.h. */
#include <string.h>

#include "surface/mcp/inner.h"

#define META "io.modelcontextprotocol/"

#define PAGE_DEFAULT 100
#define LIST_TTL_MS  300000 /* the tools change only with the program */

enum { STATELESS = 1, LIFECYCLE = 2, BOTH = 3 };

/* Newest first. */
static const char *const versions[] = { MCP_VERSION_STATELESS, MCP_VERSION_LIFECYCLE, "2025-06-18", NULL };

static const char instructions[] =
	"unship takes a bad release back: code, configuration, feature flags and data as one unit. Look first (list_deployments, health, plan_rollback), then act "
	"(rollback_deployment with a reason). A run goes on when nobody waits for it any more: rollback_status tells how it stands, cancel_rollback stops it and puts everything back. In a "
	"protected environment a rollback becomes a request that a person must approve; tell the user its id and wait. You cannot approve, and there is no way around it.";

struct exchange_in {
	struct mcp_session *session;
	const struct op *op;
	json_t *message, *params; /* params: an object, or NULL */
	bool stateless;
};

bool mcp_knows_version(const char *version)
{
	for (const char *const *known = versions; *known; known++)
		if (!strcmp(*known, version))
			return true;
	return false;
}

static json_t *version_list(void)
{
	json_t *list = json_array();

	for (const char *const *version = versions; *version; version++)
		json_array_append_new(list, json_string(*version));
	return list;
}

static json_t *server_info(void)
{
	return json_pack("{s:s, s:s, s:s}", "name", "unship", "title", "unship: safe rollbacks", "version", UNSHIP_VERSION);
}

const char *mcp_method(json_t *message)
{
	return json_str(message, "method", NULL);
}

const char *mcp_tool_name(json_t *message)
{
	return json_str(json_object_get(message, "params"), "name", NULL);
}

static json_t *meta_of(json_t *message)
{
	json_t *meta = json_object_get(json_object_get(message, "params"), "_meta");

	return json_is_object(meta) ? meta : NULL;
}

bool mcp_is_request(json_t *message)
{
	return mcp_method(message) && json_object_get(message, "id");
}

bool mcp_is_call(json_t *message)
{
	return mcp_is_request(message) && !strcmp(mcp_method(message), "tools/call");
}

/* server/discover exists in this generation only; without the version it is a mistake of this generation. */
bool mcp_is_stateless(json_t *message)
{
	const char *method = mcp_method(message);

	return json_object_get(meta_of(message), META "protocolVersion") || (method && !strcmp(method, "server/discover"));
}

static json_t *error_answer(const void *ctx, json_t *message, enum mcp_error code, const char *text, json_t *data)
{
	json_t *id = message ? json_object_get(message, "id") : NULL;
	json_t *answer = json_make(ctx, "{s:s, s:{s:i}}", "jsonrpc", "2.0", "error", "code", (int)code);

	if (json_is_string(id) || json_is_integer(id))
		json_put(answer, "id", id);
	json_put_str(json_object_get(answer, "error"), "message", text); /* which may quote half a character of what was sent */
	json_put(json_object_get(answer, "error"), "data", data);
	return answer;
}

json_t *mcp_error(const void *ctx, json_t *message, enum mcp_error code, const char *text)
{
	return error_answer(ctx, message, code, text, NULL);
}

char *mcp_text(const void *ctx, json_t *message)
{
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(15));

	return mem_strdup(ctx, mem_check(text));
}

int mcp_read(const void *ctx, const char *text, size_t size, json_t **ret_message, json_t **ret_answer)
{
	struct err err = ERR_INIT;
	json_t *message;

	if (json_parse(ctx, text, size, MCP_MESSAGE_MAX, &message, &err) < 0) {
		*ret_answer = mcp_error(ctx, NULL, MCP_PARSE_ERROR, mem_printf(ctx, "Parse error: %s", err.text));
		return -ERR_INVALID;
	}
	if (!json_is_object(message)) {
		*ret_answer = mcp_error(ctx, NULL, MCP_INVALID_REQUEST,
			json_is_array(message) ? "Batches are not part of this protocol: send one message at a time"
					       : "A message is a JSON object");
		return -ERR_INVALID;
	}
	*ret_message = message;
	return 0;
}

/* NULL: well formed. */
static const char *what_is_wrong(json_t *message)
{
	json_t *id = json_object_get(message, "id"), *params = json_object_get(message, "params");

	if (strcmp(json_str(message, "jsonrpc", ""), "2.0") != 0)
		return "Invalid request: jsonrpc must be \"2.0\"";
	if (id && !json_is_string(id) && !json_is_integer(id))
		return "Invalid request: id must be a string or an integer";
	if (params && !json_is_object(params))
		return "Invalid request: params must be an object";
	if (!mcp_method(message) && !(json_object_get(message, "result") || json_object_get(message, "error")))
		return "Invalid request: there is no method";
	return NULL;
}

static json_t *result_answer(struct exchange_in *in, json_t *result)
{
	if (in->stateless) {
		json_t *meta = json_pack("{s:o}", META "serverInfo", server_info());

		json_object_set_new(result, "resultType", json_string("complete"));
		json_object_set_new(result, "_meta", meta);
	}
	return json_make(in->op->ctx, "{s:s, s:O, s:O}", "jsonrpc", "2.0", "id", json_object_get(in->message, "id"), "result", result);
}

static json_t *invalid_params(struct exchange_in *in, const char *text)
{
	return mcp_error(in->op->ctx, in->message, MCP_INVALID_PARAMS, text);
}

static json_t *initialize(struct exchange_in *in)
{
	const char *wanted = json_str(in->params, "protocolVersion", NULL);
	const char *version = MCP_VERSION_LIFECYCLE;

	if (!wanted || !json_is_object(json_object_get(in->params, "capabilities")) ||
		!json_is_object(json_object_get(in->params, "clientInfo")))
		return invalid_params(in, "Invalid params: initialize needs protocolVersion, capabilities and clientInfo");
	/* The stateless revision knows no initialize: who sends one gets the newest that does. */
	if (mcp_knows_version(wanted) && strcmp(wanted, MCP_VERSION_STATELESS) != 0)
		version = wanted;
	in->session->initialized = true;
	return result_answer(in,
		json_make(in->op->ctx, "{s:s, s:{s:{}}, s:o, s:s}", "protocolVersion", version, "capabilities", "tools", "serverInfo",
			server_info(), "instructions", instructions));
}

static json_t *ping(struct exchange_in *in)
{
	return result_answer(in, json_make(in->op->ctx, "{}"));
}

static json_t *discover(struct exchange_in *in)
{
	return result_answer(in,
		json_make(in->op->ctx, "{s:o, s:{s:{}}, s:s, s:i, s:s}", "supportedVersions", version_list(), "capabilities", "tools",
			"instructions", instructions, "ttlMs", LIST_TTL_MS, "cacheScope", "public"));
}

/* A cursor is the name of the first tool of its page. */
static json_t *tools_list(struct exchange_in *in)
{
	json_t *given = json_object_get(in->params, "cursor"), *tools = json_array(), *result;
	const struct mcp_tool *tool = mcp_tools;
	size_t page = in->session->page ? in->session->page : PAGE_DEFAULT;

	if (given && !json_is_null(given))
		tool = json_is_string(given) ? mcp_tool_find(json_string_value(given)) : NULL;
	result = json_make(in->op->ctx, "{s:o}", "tools", tools);
	if (!tool)
		return invalid_params(in, "Invalid params: this cursor was not given by tools/list");
	for (; tool->name && page; tool++, page--)
		json_array_append_new(tools, mcp_tool_json(in->session, tool));
	if (tool->name)
		json_put_str(result, "nextCursor", tool->name);
	if (in->stateless) {
		json_put_int(result, "ttlMs", LIST_TTL_MS);
		json_put_str(result, "cacheScope", "public");
	}
	return result_answer(in, result);
}

static json_t *tools_call(struct exchange_in *in)
{
	json_t *arguments = json_object_get(in->params, "arguments"), *token = json_object_get(meta_of(in->message), "progressToken");
	const char *name = mcp_tool_name(in->message);
	const struct mcp_tool *tool = name ? mcp_tool_find(name) : NULL;

	if (!name)
		return invalid_params(in, "Invalid params: tools/call needs the name of a tool");
	if (!tool)
		return invalid_params(in, mem_printf(in->op->ctx, "Unknown tool: %.128s", name));
	if (arguments && !json_is_object(arguments))
		return invalid_params(in, "Invalid params: arguments must be an object");
	if (token && !json_is_string(token) && !json_is_integer(token))
		return invalid_params(in, "Invalid params: progressToken must be a string or an integer");
	return result_answer(in, mcp_call(in->session, in->op, tool, arguments, token));
}

static const struct method {
	const char *name;
	int generations;
	bool early; /* before initialize, too */
	json_t *(*handle)(struct exchange_in *in);
} methods[] = {
	{ "initialize", LIFECYCLE, true, initialize },
	{ "ping", LIFECYCLE, true, ping },
	{ "server/discover", STATELESS, true, discover },
	{ "tools/list", BOTH, false, tools_list },
	{ "tools/call", BOTH, false, tools_call },
};

/* What every request of the stateless revision must carry. NULL: it does. */
static json_t *check_meta(struct exchange_in *in)
{
	json_t *meta = meta_of(in->message), *version = json_object_get(meta, META "protocolVersion");
	json_t *client = json_object_get(meta, META "clientInfo");

	if (!json_is_string(version))
		return invalid_params(in, "Invalid params: _meta needs " META "protocolVersion, a string");
	if (strcmp(json_string_value(version), MCP_VERSION_STATELESS) != 0) {
		json_t *data = json_make(in->op->ctx, "{s:o, s:O}", "supported", version_list(), "requested", version);

		return error_answer(in->op->ctx, in->message, MCP_UNSUPPORTED_VERSION, "Unsupported protocol version", data);
	}
	if (!json_is_object(json_object_get(meta, META "clientCapabilities")))
		return invalid_params(in, "Invalid params: _meta needs " META "clientCapabilities, an object");
	if (client && !json_is_object(client))
		return invalid_params(in, "Invalid params: " META "clientInfo must be an object");
	return NULL;
}

static json_t *handle_request(struct exchange_in *in)
{
	const char *name = mcp_method(in->message);
	int generation = in->stateless ? STATELESS : LIFECYCLE;
	json_t *wrong = in->stateless ? check_meta(in) : NULL;

	if (wrong)
		return wrong;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i].name, name) != 0 || !(methods[i].generations & generation))
			continue;
		if (!in->stateless && in->session->local && !in->session->initialized && !methods[i].early)
			return mcp_error(in->op->ctx, in->message, MCP_INVALID_REQUEST,
				"Send initialize first, or name the protocol version in _meta (" MCP_VERSION_STATELESS ")");
		return methods[i].handle(in);
	}
	return mcp_error(in->op->ctx, in->message, MCP_METHOD_NOT_FOUND, mem_printf(in->op->ctx, "Method not found: %.128s", name));
}

json_t *mcp_handle(struct mcp_session *session, const struct op *op, json_t *message)
{
	struct exchange_in in = { .session = session, .op = op, .message = message, .stateless = mcp_is_stateless(message) };
	const char *wrong = what_is_wrong(message);

	if (wrong)
		return mcp_error(op->ctx, message, MCP_INVALID_REQUEST, wrong);
	if (!mcp_is_request(message))
		return NULL;
	in.params = json_object_get(message, "params");
	return handle_request(&in);
}
