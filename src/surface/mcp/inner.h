/* What the files of this folder share. */
#ifndef SURFACE_MCP_INNER_H
#define SURFACE_MCP_INNER_H

#include "surface/mcp/mcp.h"

struct mcp_tool {
	const char *name, *title, *operation;
	const char *about;          /* said to the assistant beside the operation's summary; may be NULL */
	const char *hidden;         /* fields of the operation that an assistant may not give: "step answer" */
	const struct field *fields; /* instead of the operation's; NULL */
	size_t params_size;
	const char *renamed;       /* arguments that the operation calls otherwise: "deploymentId=to" */
	const struct shape *shape; /* of the result, instead of the operation's; NULL */
	bool reads;                /* changes nothing, though it is not a GET */
	bool replaces;             /* what users see becomes another, though it can be had back */
	bool outside;              /* reaches beyond the journal: components, probes, people */
	/* Makes the result from the operation's answer; NULL: it is that answer. Kept in ctx. */
	json_t *(*result)(const void *ctx, json_t *answer);
	/* One sentence about a result that is no error; NULL: a count of what is in it. */
	char *(*say)(const void *ctx, json_t *result);
};
extern const struct mcp_tool mcp_tools[]; /* ends with NULL; the order in which they are listed */
const struct mcp_tool *mcp_tool_find(const char *name);

/* tools.c */
json_t *mcp_tool_json(const struct mcp_session *session, const struct mcp_tool *tool); /* as tools/list shows it; new reference */
/* Arguments as the client gave them -> project path (NULL) and the operation's input. ERR_INVALID names all that is wrong. */
must_check int mcp_tool_input(const void *ctx, const struct mcp_session *session, const struct mcp_tool *tool, json_t *arguments,
	const char **ret_path, json_t **ret_input, struct err *err);

/* call.c: the result of tools/call. Kept in op->ctx. */
json_t *mcp_call(const struct mcp_session *session, const struct op *op, const struct mcp_tool *tool, json_t *arguments,
	json_t *progress_token);

/* result.c */
json_t *mcp_result(const void *ctx, const struct mcp_tool *tool, json_t *answer, const struct err *err, bool failed);
json_t *mcp_rollback_result(const void *ctx, json_t *answer); /* S2's members */
char *mcp_say_rollback(const void *ctx, json_t *result);
char *mcp_say_run(const void *ctx, json_t *result);
char *mcp_say_plan(const void *ctx, json_t *result);
char *mcp_say_health(const void *ctx, json_t *result);

/* follow.c: a run that another process or thread carries out. Returns when it has ended, waits for a person, is carried out by nobody,
 * when `wait_ms` are over (0: never), or the call was abandoned.
 * Each new entry goes to op->watch. */
must_check int mcp_follow(struct op *op, const char *run_id, int64_t wait_ms, bool (*abandoned)(void *user), void *user, struct err *err);

#endif
