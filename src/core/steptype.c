/* The table of step types. Each type: a struct of its parameters, their fields, what the fields cannot say, and the target that a driver
 * is given.
 * To add one: write these, add a row, and its name to the end of step_types. Pure and constant; any thread. */
#include "core/steptype.h"

#include "base/text.h"
#include "data/json.h"

/* Copies the named members ("from" or "from>to") that are there into a new target. */
static json_t *pick(json_t *parameters, const char *const *members)
{
	json_t *target = json_object();

	for (; *members; members++) {
		const char *to = strchr(*members, '>');
		_cleanup_talloc_ char *from = mem_strndup(NULL, *members, to ? (size_t)(to - *members) : strlen(*members));

		json_put(target, to ? to + 1 : *members, json_object_get(parameters, from));
	}
	return target;
}

/* Everything but the parameter that names the component: for types that leave the rest to the driver. */
static json_t *pick_rest(json_t *parameters, const char *without)
{
	json_t *target = json_copy(parameters);

	(void)json_object_del(target, without);
	return target;
}

static bool is_there(json_t *parameters, const char *name)
{
	json_t *value = json_object_get(parameters, name);

	return value && !json_is_null(value) && !(json_is_string(value) && json_string_length(value) == 0);
}

static void check_either(json_t *parameters, const char *one, const char *other, const char *path, struct problems *problems)
{
	if (!is_there(parameters, one) && !is_there(parameters, other))
		problems_add(problems, ERR_INVALID, path, "missing parameter: either %s or %s must be given", one, other);
}

static bool is_empty_text(json_t *value)
{
	return json_is_string(value) && json_string_length(value) == 0;
}

/* The field table asks for presence; an empty text, an empty item, and an empty collection where it is optional are present and yet say
 * nothing. */
static void check_filled(json_t *parameters, const char *name, bool required, const char *path, struct problems *problems)
{
	_cleanup_talloc_ char *at = doc_path(NULL, path, name);
	json_t *value = json_object_get(parameters, name), *item;
	bool empty = is_empty_text(value) || (json_is_object(value) && json_object_size(value) == 0) ||
		(!required && json_is_array(value) && json_array_size(value) == 0);
	size_t i;

	json_array_foreach(value, i, item)
		empty = empty || is_empty_text(item);
	if (empty)
		problems_add(problems, ERR_INVALID, at, "missing parameter: %s must not be empty", name);
}

/* deployment */
struct deployment_params {
	const char *service, *version, *environment, *deployment_id;
};
/* clang-format off */
static const struct field deployment_fields[] = {
	FIELD_NAME(struct deployment_params, service, REQUIRED, "component whose code goes to another version"),
	FIELD_STR(struct deployment_params, version, REQUIRED, "version to go to"),
	FIELD_STR(struct deployment_params, environment, REQUIRED, "environment; another one than that of the run is refused"),
	FIELD_NAME(struct deployment_params, deployment_id, OPTIONAL, "recorded deployment that holds the content"),
	FIELD_END
};
/* clang-format on */
static void deployment_check(json_t *parameters, const char *path, struct problems *problems)
{
	check_filled(parameters, "version", true, path, problems);
}
static json_t *deployment_target(json_t *parameters)
{
	return pick(parameters, (const char *const[]){ "version", "environment", "deploymentId", NULL });
}

/* feature-flag */
struct flag_params {
	const char *flag_key, *target_state;
};
/* clang-format off */
static const struct field flag_fields[] = {
	FIELD_NAME(struct flag_params, flag_key, REQUIRED, "the flag"),
	FIELD_STR(struct flag_params, target_state, REQUIRED, "true, false, or the name of a variant; read back after the change"),
	FIELD_END
};
/* clang-format on */
static void flag_check(json_t *parameters, const char *path, struct problems *problems)
{
	check_filled(parameters, "targetState", true, path, problems);
}
static json_t *flag_target(json_t *parameters)
{
	return pick(parameters, (const char *const[]){ "flagKey", "targetState", NULL });
}

/* data */
struct data_params {
	const char *database, *snapshot_id, *deployment_id, *migrate_to;
	json_t *tables, *down_migrations;
};
/* clang-format off */
static const struct field data_fields[] = {
	FIELD_NAME(struct data_params, database, REQUIRED, "component that holds the data"),
	FIELD_STR(struct data_params, snapshot_id, OPTIONAL, "snapshot or recorded deployment to restore as a whole"),
	FIELD_MAP(struct data_params, tables, OPTIONAL, "tables to restore, each with the backup that it comes from"),
	FIELD_STR(struct data_params, migrate_to, OPTIONAL, "migration that the schema goes back to, with the tool that the component names; empty: before the first"),
	FIELD_MAP(struct data_params, down_migrations, OPTIONAL, "with migrateTo: the sum that the down script of each migration must have"),
	FIELD_NAME(struct data_params, deployment_id, OPTIONAL, "recorded deployment that holds the content"),
	FIELD_END
};
/* clang-format on */
static void data_check(json_t *parameters, const char *path, struct problems *problems)
{
	json_t *tables = json_object_get(parameters, "tables"), *backup;
	bool restores = is_there(parameters, "snapshotId") || is_there(parameters, "tables");
	const char *table;

	if (!restores && !json_is_string(json_object_get(parameters, "migrateTo")))
		problems_add(problems, ERR_INVALID, path, "missing parameter: either snapshotId or tables or migrateTo must be given");
	if (restores && json_object_get(parameters, "migrateTo"))
		problems_add(problems, ERR_INVALID, path,
			"migrateTo stands by itself: what is restored has the schema that it was captured with");
	check_filled(parameters, "tables", false, path, problems);
	if (!json_is_object(tables))
		return;
	json_object_foreach(tables, table, backup) {
		_cleanup_talloc_ char *tables_path = doc_path(NULL, path, "tables");

		if (!json_is_string(backup) || json_string_length(backup) == 0)
			problems_add(problems, ERR_INVALID, doc_path(tables_path, tables_path, table),
				"table '%s' needs the name of a backup", table);
	}
}
static json_t *data_target(json_t *parameters)
{
	return pick(parameters,
		(const char *const[]){ "snapshotId>version", "snapshotId", "tables", "migrateTo>migration", "downMigrations",
			"deploymentId", NULL });
}

/* configuration */
struct configuration_params {
	const char *service, *config_version, *deployment_id;
	json_t *config_items;
};
/* clang-format off */
static const struct field configuration_fields[] = {
	FIELD_NAME(struct configuration_params, service, REQUIRED, "component that holds the configuration"),
	FIELD_STR(struct configuration_params, config_version, OPTIONAL, "version of the whole configuration to go to"),
	FIELD_MAP(struct configuration_params, config_items, OPTIONAL, "single items with the values that they get"),
	FIELD_NAME(struct configuration_params, deployment_id, OPTIONAL, "recorded deployment that holds the content"),
	FIELD_END
};
/* clang-format on */
static void configuration_check(json_t *parameters, const char *path, struct problems *problems)
{
	check_either(parameters, "configVersion", "configItems", path, problems);
	check_filled(parameters, "configItems", false, path, problems);
}
static json_t *configuration_target(json_t *parameters)
{
	return pick(parameters, (const char *const[]){ "configVersion>version", "configItems>items", "deploymentId", NULL });
}

/* notification */
struct notification_params {
	const char **recipients;
	const char *channel, *message;
	json_t *details;
};
/* clang-format off */
static const struct field notification_fields[] = {
	FIELD_LIST(struct notification_params, recipients, REQUIRED, "who is told: addresses in the channel's own form"),
	FIELD_NAME(struct notification_params, channel, REQUIRED, "the way to tell them"),
	FIELD_STR(struct notification_params, message, REQUIRED, "what they are told"),
	FIELD_MAP(struct notification_params, details, OPTIONAL, "facts sent along"),
	FIELD_END
};
/* clang-format on */
static void notification_check(json_t *parameters, const char *path, struct problems *problems)
{
	check_filled(parameters, "recipients", true, path, problems);
	check_filled(parameters, "message", true, path, problems);
}

/* contract */
struct contract_params {
	const char *service, *version;
};
/* clang-format off */
static const struct field contract_fields[] = {
	FIELD_NAME(struct contract_params, service, REQUIRED, "component that is the contract"),
	FIELD_STR(struct contract_params, version, REQUIRED, "implementation to go to"),
	FIELD_END
};
/* clang-format on */
static json_t *contract_target(json_t *parameters)
{
	return pick_rest(parameters, "service");
}

/* traffic */
struct traffic_params {
	const char *service, *to;
};
/* clang-format off */
static const struct field traffic_fields[] = {
	FIELD_NAME(struct traffic_params, service, REQUIRED, "component that routes the traffic"),
	FIELD_STR(struct traffic_params, to, REQUIRED, "side or version that gets the traffic"),
	FIELD_END
};
/* clang-format on */
static json_t *traffic_target(json_t *parameters)
{
	json_t *target = pick_rest(parameters, "service");

	json_put(target, "version", json_object_get(parameters, "to"));
	return target;
}

/* cache */
struct cache_params {
	const char *service, *pattern;
};
/* clang-format off */
static const struct field cache_fields[] = {
	FIELD_NAME(struct cache_params, service, REQUIRED, "component that is the cache"),
	FIELD_STR(struct cache_params, pattern, OPTIONAL, "which entries to clear; all of them when it is missing"),
	FIELD_END
};
/* clang-format on */
static json_t *cache_target(json_t *parameters)
{
	return pick_rest(parameters, "service");
}

/* service */
struct service_params {
	const char *service, *action, *version;
};
/* clang-format off */
static const struct field service_fields[] = {
	FIELD_NAME(struct service_params, service, REQUIRED, "component that is the service"),
	FIELD_CHOICE(struct service_params, action, REQUIRED, "start|stop|restart|drain|requeue|resume",
		"what to do with it; the last three by what its `drain` in the project file says"),
	FIELD_STR(struct service_params, version, OPTIONAL, "version that must run after start and restart"),
	FIELD_END
};
/* clang-format on */
/* Work in flight is not the service: what was done about it is taken back by itself. */
static const char *service_side(const json_t *parameters)
{
	const char *action = json_str(parameters, "action", "");

	if (strcmp(action, "drain") == 0 || strcmp(action, "resume") == 0)
		return "drain";
	return strcmp(action, "requeue") == 0 ? "requeue" : NULL;
}
static json_t *service_target(json_t *parameters)
{
	return pick(parameters, (const char *const[]){ "action", "version", NULL });
}

/* health */
struct health_params {
	const char **components, **probes;
};
/* clang-format off */
static const struct field health_fields[] = {
	FIELD_LIST(struct health_params, components, OPTIONAL,
		"run the probes of these components and those of no component; all probes when missing"),
	FIELD_LIST(struct health_params, probes, OPTIONAL, "run these probes, by name, instead"),
	FIELD_END
};
/* clang-format on */

/* approval */
struct approval_params {
	const char *message;
	int64_t approvals;
};
/* clang-format off */
static const struct field approval_fields[] = {
	FIELD_STR(struct approval_params, message, OPTIONAL, "the question that a person answers with approve or reject"),
	FIELD_INT(struct approval_params, approvals, DEFAULT("1"), 1, 20, "how many people must approve; whoever asked for the run is none of them"),
	FIELD_END
};
/* clang-format on */

/* command */
struct command_params {
	const char **argv, **check, **undo, *dir;
	json_t *env;
};
/* clang-format off */
static const struct field command_fields[] = {
	FIELD_LIST(struct command_params, argv, REQUIRED, "program and its arguments; there is no shell"),
	FIELD_LIST(struct command_params, check, OPTIONAL,
		"program that tells whether the work is done: exit code 0 done, 1 not done, else it cannot tell"),
	FIELD_LIST(struct command_params, undo, OPTIONAL, "program that takes the work back"),
	FIELD_PATH(struct command_params, dir, OPTIONAL, "working directory, relative to the project"),
	FIELD_MAP(struct command_params, env, OPTIONAL, "environment variables: text, or secret references"),
	FIELD_END
};
/* clang-format on */
static void command_check(json_t *parameters, const char *path, struct problems *problems)
{
	check_filled(parameters, "argv", true, path, problems);
	check_filled(parameters, "check", false, path, problems);
	check_filled(parameters, "undo", false, path, problems);
}
static json_t *command_target(json_t *parameters)
{
	return pick(parameters, (const char *const[]){ "argv", "check", "undo", "dir", "env", NULL });
}

/* undo */
struct undo_params {
	const char *run, *step, *subject;
	json_t *parameters;
};
/* clang-format off */
static const struct field undo_fields[] = {
	FIELD_NAME(struct undo_params, run, REQUIRED, "run that did the step"),
	FIELD_NAME(struct undo_params, step, REQUIRED, "the step to undo"),
	FIELD_STR(struct undo_params, subject, OPTIONAL, "what that step acted on: \"component api\", \"flag use-new-api\", \"step clear-cache\""),
	FIELD_MAP(struct undo_params, parameters, OPTIONAL, "that step's parameters, for drivers that need them to undo"),
	FIELD_END
};
/* clang-format on */
static json_t *undo_target(json_t *parameters)
{
	return pick(parameters, (const char *const[]){ "run", "step", "subject", "parameters", NULL });
}

#define KIND(name) (1u << DRIVER_##name)
#define OUTPUTS(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}

static const char *const no_outputs[] = { NULL };

/* clang-format off */
static const struct step_type type_deployment = {
	.name = "deployment", .summary = "takes a component's code to a version",
	.doer = STEP_BY_COMPONENT, .component_param = "service", .kinds = KIND(CODE) | KIND(SERVICE) | KIND(COMMAND),
	.fields = deployment_fields, .params_size = sizeof(struct deployment_params), .check = deployment_check, .target = deployment_target,
	.outputs = OUTPUTS("version", "previousVersion", "path"),
};
static const struct step_type type_feature_flag = {
	.name = "feature-flag", .summary = "sets a flag to a state and reads it back",
	.doer = STEP_BY_DRIVER, .driver = "flags", .subject_param = "flagKey", .kinds = KIND(FLAGS),
	.fields = flag_fields, .params_size = sizeof(struct flag_params), .check = flag_check, .target = flag_target,
	.outputs = OUTPUTS("previous"),
};
static const struct step_type type_data = {
	.name = "data", .summary = "restores a database as a whole, or named tables from named backups",
	.doer = STEP_BY_COMPONENT, .component_param = "database", .kinds = KIND(DATA),
	.fields = data_fields, .params_size = sizeof(struct data_params), .check = data_check, .target = data_target,
	.outputs = no_outputs,
};
static const struct step_type type_configuration = {
	.name = "configuration", .summary = "takes a configuration to a version, or sets single items of it",
	.doer = STEP_BY_COMPONENT, .component_param = "service", .kinds = KIND(CONFIG),
	.fields = configuration_fields, .params_size = sizeof(struct configuration_params), .check = configuration_check,
	.target = configuration_target, .outputs = OUTPUTS("version", "previousVersion"),
};
static const struct step_type type_notification = {
	.name = "notification", .summary = "tells people; delivered in the background, never holds the run up",
	.doer = STEP_NOTIFIES,
	.fields = notification_fields, .params_size = sizeof(struct notification_params), .check = notification_check,
	.outputs = no_outputs,
};
static const struct step_type type_contract = {
	.name = "contract", .summary = "takes a contract back to an implementation",
	.doer = STEP_BY_COMPONENT, .component_param = "service", .open = true, .kinds = KIND(CODE) | KIND(COMMAND),
	.fields = contract_fields, .params_size = sizeof(struct contract_params), .target = contract_target,
	.outputs = OUTPUTS("version", "previousVersion", "transaction"),
};
static const struct step_type type_traffic = {
	.name = "traffic", .summary = "sends traffic to another side or version",
	.doer = STEP_BY_COMPONENT, .component_param = "service", .open = true, .kinds = KIND(TRAFFIC) | KIND(COMMAND),
	.fields = traffic_fields, .params_size = sizeof(struct traffic_params), .target = traffic_target,
	.outputs = OUTPUTS("version", "previousVersion"),
};
static const struct step_type type_cache = {
	.name = "cache", .summary = "clears a cache",
	.doer = STEP_BY_COMPONENT, .component_param = "service", .open = true, .kinds = KIND(CACHE) | KIND(COMMAND),
	.fields = cache_fields, .params_size = sizeof(struct cache_params), .target = cache_target,
	.outputs = OUTPUTS("cleared"),
};
static const struct step_type type_service = {
	.name = "service", .summary = "starts, stops, restarts or drains a service",
	.doer = STEP_BY_COMPONENT, .component_param = "service", .side = service_side, .side_driver = "drain", .kinds = KIND(SERVICE) | KIND(COMMAND),
	.fields = service_fields, .params_size = sizeof(struct service_params), .target = service_target,
	.outputs = OUTPUTS("pid", "version"),
};
static const struct step_type type_health = {
	.name = "health", .summary = "runs health probes; fails when one of them fails",
	.doer = STEP_PROBES,
	.fields = health_fields, .params_size = sizeof(struct health_params), .outputs = OUTPUTS("probes"),
};
static const struct step_type type_approval = {
	.name = "approval", .summary = "waits until people approve, or one rejects",
	.doer = STEP_WAITS,
	.fields = approval_fields, .params_size = sizeof(struct approval_params), .outputs = no_outputs,
};
static const struct step_type type_command = {
	.name = "command", .summary = "runs a program with its arguments",
	.doer = STEP_BY_DRIVER, .driver = "command", .kinds = KIND(COMMAND),
	.fields = command_fields, .params_size = sizeof(struct command_params), .check = command_check, .target = command_target,
	.outputs = OUTPUTS("stdout", "exitStatus"),
};
static const struct step_type type_undo = {
	.name = "undo", .summary = "undoes a step of a former run; plans of `unship undo` are made of these",
	.doer = STEP_UNDOES,
	.fields = undo_fields, .params_size = sizeof(struct undo_params), .target = undo_target, .outputs = no_outputs,
};

const struct step_type *const step_types[] = {
	&type_deployment, &type_feature_flag, &type_data, &type_configuration, &type_notification, &type_contract, &type_traffic, &type_cache,
	&type_service, &type_health, &type_approval, &type_command, &type_undo, NULL,
};
/* clang-format on */

const struct step_type *step_type(const char *name)
{
	for (const struct step_type *const *at = step_types; *at; at++)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	return NULL;
}

char *step_subject(const void *ctx, const struct step *step)
{
	const struct step_type *type = step_type(step->type);
	const char *name, *side;

	if (!type)
		return NULL;
	switch (type->doer) {
	case STEP_BY_COMPONENT:
		name = json_str(step->parameters, type->component_param, NULL);
		side = type->side ? type->side(step->parameters) : NULL;
		return name ? mem_printf(ctx, "%s %s", side ? side : "component", name) : NULL;
	case STEP_BY_DRIVER:
		name = type->subject_param ? json_str(step->parameters, type->subject_param, NULL) : NULL;
		/* The one parameter of this sort today is a flag's key. */
		return name ? mem_printf(ctx, "flag %s", name) : mem_printf(ctx, "step %s", step->id);
	case STEP_UNDOES:
		name = json_str(step->parameters, "subject", NULL);
		return name ? mem_strdup(ctx, name) : mem_printf(ctx, "step %s", step->id);
	case STEP_NOTIFIES:
	case STEP_PROBES:
	case STEP_WAITS:
		break;
	}
	return NULL;
}

const char *step_component(const struct step *step)
{
	const struct step_type *type = step_type(step->type);
	const char *subject;

	if (!type)
		return NULL;
	if (type->doer == STEP_BY_COMPONENT)
		return json_str(step->parameters, type->component_param, NULL);
	if (type->doer != STEP_UNDOES)
		return NULL;
	subject = json_str(step->parameters, "subject", NULL);
	return subject ? step_subject_component(subject) : NULL;
}

const char *step_subject_component(const char *subject)
{
	return text_starts_with(subject, "component ") ? subject + strlen("component ") : NULL;
}

bool step_subject_side(const void *ctx, const char *subject, struct subject_side *ret)
{
	static const char *const others[] = { "component ", "flag ", "step " };
	const char *blank = strchr(subject, ' ');

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (text_starts_with(subject, others[i]))
			return false;
	if (!blank)
		return false;
	*ret = (struct subject_side){ .side = mem_strndup(ctx, subject, (size_t)(blank - subject)),
		.driver = type_service.side_driver,
		.component = blank + 1 };
	return true;
}
