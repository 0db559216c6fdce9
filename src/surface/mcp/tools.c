/* The tools: which operations an assistant is offered, under which names, and what it is told about them.
 *
 * Everything but the names comes from the table of operations: input schema from the fields, output schema from the shape of the answer,
 * annotations from its members. What people decide
 * (approve, reject, what a person found out about a step) and what guards access (people, tokens, break-glass) is not here, and an
 * operation that is not in this table cannot be called.
 * Adding one: a row; `hidden` for fields that are a person's word or name files of the server.
 * Threads: any; the tables are constant. */
#include <string.h>

#include "base/text.h"
#include "surface/mcp/inner.h"

/* Document S2's parameters; a saved plan, a plan hash and dry runs are not among them. */
struct rollback_input {
	const char *environment, *deployment_id, *target, *reason;
	bool preserve_data, force;
};

static const struct field rollback_fields[] = {
	FIELD_NAME(struct rollback_input, environment, REQUIRED,
		"environment to take back: dev, staging, production, or any other that the project file declares"),
	FIELD_STR(struct rollback_input, deployment_id, OPTIONAL, "deployment to return to; the last stable one when not given"),
	FIELD_STR(struct rollback_input, target, OPTIONAL, "only this service (component); all when not given"),
	FIELD_BOOL(struct rollback_input, preserve_data, DEFAULT("true"), "keep the databases as they are"),
	FIELD_STR(struct rollback_input, reason, REQUIRED, "why; kept in the audit trail"),
	FIELD_BOOL(struct rollback_input, force, DEFAULT("false"), "override safety checks that block; they are kept with the run"),
	FIELD_END,
};

static const struct shape target_shape[] = {
	SHAPE_STR("deploymentId", ALWAYS, "id of the deployment"),
	SHAPE_STR("version", ALWAYS, "its version"),
	SHAPE_TIME("timestamp", SOMETIMES, "when it was recorded"),
	SHAPE_END,
};

static const struct shape summary_shape[] = {
	SHAPE_INT("servicesRolledBack", ALWAYS, "components that were taken back"),
	SHAPE_REAL("duration", ALWAYS, "seconds from the request to the end, or until now"),
	SHAPE_BOOL("dataPreserved", ALWAYS, "whether databases were kept as they were"),
	SHAPE_END,
};

static const struct shape validation_shape[] = {
	SHAPE_BOOL("healthChecks", ALWAYS, "all health checks passed afterwards"),
	SHAPE_BOOL("configValid", ALWAYS, "all configuration steps took effect"),
	SHAPE_INT("servicesRunning", ALWAYS, "services that were seen running afterwards"),
	SHAPE_END,
};

static const struct shape finding_shape[] = {
	SHAPE_STR("name", ALWAYS, "name of the check"),
	SHAPE_BOOL("passed", ALWAYS, "whether it passed"),
	SHAPE_STR("severity", ALWAYS, "error: blocks; warning; info"),
	SHAPE_STR("component", SOMETIMES, "the component that it is about"),
	SHAPE_STR("message", ALWAYS, "what was found"),
	SHAPE_ANY("evidence", SOMETIMES, "what proves it"),
	SHAPE_END,
};

static const struct shape rollback_shape[] = {
	SHAPE_BOOL("success", ALWAYS, "the environment is as the target was recorded"),
	SHAPE_STR("rollbackId", SOMETIMES,
		"id of the run, for rollback_status, cancel_rollback and undo_rollback; absent when none was begun"),
	SHAPE_TIME("timestamp", ALWAYS, "when it was requested"),
	SHAPE_OBJECT("rolledBackTo", SOMETIMES, target_shape, "the deployment that runs now; absent when that is not so"),
	SHAPE_OBJECT("summary", SOMETIMES, summary_shape, "what was done"),
	SHAPE_OBJECT("validation", SOMETIMES, validation_shape, "what was checked afterwards"),
	SHAPE_STRINGS("warnings", ALWAYS, "what speaks against it, but did not stop it"),
	SHAPE_STR("environment", SOMETIMES, "the environment"),
	SHAPE_STR("status", ALWAYS,
		"completed, in_progress, waiting, restored (failed, and put back), failed (a person is needed), refused (nothing was changed), not_begun, unchanged"),
	SHAPE_STR("message", SOMETIMES, "why it ended as it did"),
	SHAPE_STR("code", SOMETIMES, "the same for machines"),
	SHAPE_STR("next", SOMETIMES, "what to do next"),
	SHAPE_LIST("findings", SOMETIMES, finding_shape, "safety checks of a rollback that was not begun"),
	SHAPE_END,
};

const struct mcp_tool mcp_tools[] = {
	{
		.name = "rollback_deployment",
		.title = "Roll back an environment",
		.operation = "rollbacks.create",
		.about =
			"Checks first, takes a snapshot, acts step by step, observes after each step, probes the result. A failed rollback is put back by itself. "
			"In a protected environment it becomes a request that a person must approve.",
		.fields = rollback_fields,
		.params_size = sizeof(struct rollback_input),
		.renamed = "deploymentId=to",
		.shape = rollback_shape,
		.outside = true,
		.result = mcp_rollback_result,
		.say = mcp_say_rollback,
	},
	{ .name = "plan_rollback",
		.title = "Plan a rollback",
		.operation = "plans.create",
		.about = "Changes nothing. Shows the ranked candidates too.",
		.reads = true,
		.outside = true,
		.say = mcp_say_plan },
	{ .name = "rollback_status", .title = "Status of a rollback", .operation = "rollbacks.show", .say = mcp_say_run },
	{ .name = "list_rollbacks", .title = "Rollbacks", .operation = "rollbacks.list" },
	{ .name = "resume_rollback",
		.title = "Go on with a rollback",
		.operation = "rollbacks.resume",
		.about = "A run that waits for a person's word cannot be resumed by an assistant.",
		.hidden = "step answer",
		.outside = true,
		.say = mcp_say_run },
	{ .name = "cancel_rollback", .title = "Cancel a rollback", .operation = "rollbacks.cancel", .outside = true, .say = mcp_say_run },
	{ .name = "undo_rollback",
		.title = "Undo a rollback",
		.operation = "rollbacks.undo",
		.hidden = "planHash dryRun",
		.outside = true,
		.say = mcp_say_run },
	{ .name = "health",
		.title = "Health of an environment",
		.operation = "health.check",
		.about = "Runs its probes now.",
		.outside = true,
		.say = mcp_say_health },
	{ .name = "list_deployments", .title = "Deployments", .operation = "deployments.list" },
	{ .name = "show_deployment", .title = "One deployment", .operation = "deployments.show" },
	{ .name = "list_versions", .title = "Versions in Git", .operation = "versions.list" },
	{ .name = "history", .title = "History of rollbacks", .operation = "history.list" },
	{ .name = "list_flags", .title = "Feature flags", .operation = "flags.list" },
	{ .name = "set_flag", .title = "Set a feature flag", .operation = "flags.set", .replaces = true, .outside = true },
	{ .name = "disable_flag_group",
		.title = "Switch a group of flags off",
		.operation = "flags.disable-group",
		.replaces = true,
		.outside = true },
	{ .name = "restore_flag",
		.title = "Take back a change of a flag",
		.operation = "flags.restore",
		.replaces = true,
		.outside = true },
	{ .name = "flag_history", .title = "Changes of flags", .operation = "flags.history" },
	{ .name = "list_snapshots", .title = "Snapshots", .operation = "snapshots.list" },
	{ .name = "show_snapshot", .title = "One snapshot", .operation = "snapshots.show" },
	{ .name = "search_audit", .title = "Search the audit trail", .operation = "audit.search" },
	{ .name = "verify_audit", .title = "Verify the audit trail", .operation = "audit.verify", .reads = true },
	{ .name = "list_notifications", .title = "Who was told what", .operation = "notifications.list" },
	{ .name = "check_project", .title = "Check the project file", .operation = "config.check", .reads = true },
	{ .name = NULL },
};

const struct mcp_tool *mcp_tool_find(const char *name)
{
	for (const struct mcp_tool *tool = mcp_tools; tool->name; tool++)
		if (!strcmp(tool->name, name))
			return tool;
	return NULL;
}

static const struct operation *operation_of(const struct mcp_tool *tool)
{
	const struct operation *operation = operation_find(tool->operation);

	assert_always(operation);
	return operation;
}

static bool is_word(const void *ctx, const char *words, const char *wanted)
{
	char **list = text_split(ctx, words ? words : "", ' ');

	for (; *list; list++)
		if (!strcmp(*list, wanted))
			return true;
	return false;
}

/* The fields that an assistant may give, and projectPath, whose value is put behind the parameters. The first letters of a description
 * are all that many assistants see, so that help is kept as it is. */
static struct field *tool_fields(const void *ctx, const struct mcp_session *session, const struct mcp_tool *tool, size_t *ret_path_at)
{
	const struct operation *operation = operation_of(tool);
	const struct field *from = tool->fields ? tool->fields : operation->fields;
	size_t count = 0, size = tool->fields ? tool->params_size : operation->params_size;
	struct field *fields;

	while (from[count].member)
		count++;
	fields = mem_array(ctx, struct field, count + 2);
	*ret_path_at = (size + sizeof(char *) - 1) / sizeof(char *) * sizeof(char *);
	fields[0] = (struct field){ .member = "project_path",
		.type = FIELD_TYPE_PATH,
		.offset = *ret_path_at,
		.required = session->local && tool->fields,
		.help = session->local
			? "directory of the project, as an absolute path; must be the one that this server was started for, or below it"
			: "may be left out; else the directory of the server's project" };
	count = 1;
	for (; from->member; from++)
		if (!is_word(ctx, tool->hidden, field_name(ctx, from)))
			fields[count++] = *from;
	return fields;
}

/* Who can see only the name and the annotations must not be misled by them. */
static json_t *annotations_of(const struct mcp_tool *tool)
{
	const struct operation *operation = operation_of(tool);
	bool reads = tool->reads || !strcmp(operation->method, "GET");

	return json_pack("{s:s, s:b, s:b, s:b, s:b}", "title", tool->title, "readOnlyHint", reads, "destructiveHint",
		!reads && (operation->destructive || tool->replaces), "idempotentHint", reads || operation->idempotent, "openWorldHint",
		tool->outside);
}

/* A result is what the operation answers; or an error, beside as much of the answer as there is; or a request that waits for a person. */
static json_t *output_schema(const struct shape *shape)
{
	json_t *schema = shape_schema(shape), *properties = json_object_get(schema, "properties");
	json_t *required = json_incref(json_object_get(schema, "required"));

	json_object_del(schema, "additionalProperties");
	json_object_del(schema, "required");
	json_object_set_new(properties, "error",
		json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}}, s:[s, s]}", "type", "object", "properties", "code", "type", "string",
			"message", "type", "string", "hint", "type", "string", "required", "code", "message"));
	json_object_set_new(properties, "approval",
		json_pack("{s:s, s:s}", "type", "object", "description", "the request that a person must approve; nothing was changed"));
	json_object_set_new(schema, "anyOf",
		json_pack("[{s:o}, {s:[s]}, {s:[s]}]", "required", required ? required : json_array(), "required", "error", "required",
			"approval"));
	return schema;
}

json_t *mcp_tool_json(const struct mcp_session *session, const struct mcp_tool *tool)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const struct operation *operation = operation_of(tool);
	const struct shape *shape = tool->shape ? tool->shape : operation->answer;
	size_t path_at;
	json_t *json = json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", tool->name, "title", tool->title, "description",
		tool->about ? mem_printf(ctx, "%s. %s", operation->summary, tool->about) : operation->summary, "inputSchema",
		fields_schema(tool_fields(ctx, session, tool, &path_at)), "annotations", annotations_of(tool));

	if (shape)
		json_object_set_new(json, "outputSchema", output_schema(shape));
	return json;
}

/* The name by which the operation knows an argument. */
static const char *operation_name(const void *ctx, const struct mcp_tool *tool, const char *argument)
{
	char **pairs = text_split(ctx, tool->renamed ? tool->renamed : "", ' ');

	for (; *pairs; pairs++) {
		size_t length = strlen(argument);

		if (!strncmp(*pairs, argument, length) && (*pairs)[length] == '=')
			return *pairs + length + 1;
	}
	return argument;
}

int mcp_tool_input(const void *ctx, const struct mcp_session *session, const struct mcp_tool *tool, json_t *arguments,
	const char **ret_path, json_t **ret_input, struct err *err)
{
	struct problems *problems = problems_new(ctx, NULL);
	json_t *input = json_keep(ctx, json_object()), *value;
	const char *name, *path;
	struct field *fields;
	size_t path_at;
	char *params;
	int r;

	fields = tool_fields(ctx, session, tool, &path_at);
	params = mem_check(talloc_zero_size(ctx, path_at + sizeof(char *)));
	fields_parse(ctx, fields, arguments, "", NULL, false, params, problems);
	r = problems_result(problems, err);
	if (r < 0)
		return r;
	memcpy(&path, params + path_at, sizeof(path));
	json_object_foreach(arguments, name, value)
		if (strcmp(name, "projectPath") != 0)
			json_object_set(input, operation_name(ctx, tool, name), value);
	*ret_path = path;
	*ret_input = input;
	return 0;
}
