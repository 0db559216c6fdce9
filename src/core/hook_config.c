/* `server.hooks` of the project file (hook.h). The tables here are the reference; what a type cannot have is told with its place, as
 * everything that is wrong. Pure; any thread. To add a member: a line in its table; to add a type: a row of `types`. */
#include "core/hook.h"

#include <string.h>

#include "base/text.h"
#include "data/fields.h"
#include "data/json.h"

#define TOLERANCE_MAX_MS (24.0 * 3600 * 1000)

struct hook_file {
	const char *type, *action, *principal, *environment, *environment_label, *repository;
	const char *signature_header, *timestamp_header, *delivery_header;
	json_t *secret, *environments, *mapping;
	int64_t tolerance_ms;
};

/* clang-format off */
static const struct field hook_fields[] = {
	FIELD_CHOICE(struct hook_file, type, REQUIRED, "alertmanager|generic|github", "who sends"),
	FIELD_SECRET(struct hook_file, secret, OPTIONAL, "what bodies are signed with: HMAC-SHA256; generic and github"),
	FIELD_STR(struct hook_file, principal, OPTIONAL, "whose token is sent instead of a signature; alertmanager and generic"),
	FIELD_NAME(struct hook_file, environment, OPTIONAL, "environment that it is about, unless the body says another"),
	FIELD_STR(struct hook_file, environment_label, OPTIONAL, "label of an alert that names its environment"),
	FIELD_MAP(struct hook_file, environments, OPTIONAL, "what environments are called by the sender: their name: our name"),
	FIELD_CHOICE(struct hook_file, action, DEFAULT("alert"), "alert|record", "generic: what a body becomes"),
	FIELD_MAP(struct hook_file, mapping, OPTIONAL, "generic: where things stand in the body, as JSON pointers"),
	FIELD_STR(struct hook_file, repository, OPTIONAL, "github: OWNER/NAME, the only one that is heard"),
	FIELD_STR(struct hook_file, signature_header, OPTIONAL, "header of the signature, instead of X-Hub-Signature-256 or X-Signature-256"),
	FIELD_STR(struct hook_file, timestamp_header, OPTIONAL, "generic: header with the seconds since 1970 that are signed too: TIME.BODY"),
	FIELD_ANY_(struct hook_file, tolerance_ms, MS, NULL, 1000, TOLERANCE_MAX_MS, NULL, "how far a signed time may be from now", DEFAULT("5m")),
	FIELD_STR(struct hook_file, delivery_header, DEFAULT("X-Delivery-Id"), "generic: header with the id of the delivery"),
	FIELD_END
};

static const struct field alert_fields[] = {
	FIELD_STR(struct hook_mapping, fingerprint, REQUIRED, "what tells one alert from another"),
	FIELD_STR(struct hook_mapping, each, OPTIONAL, "list of alerts; the other pointers are relative to its elements"),
	FIELD_STR(struct hook_mapping, name, OPTIONAL, "label alertname"),
	FIELD_STR(struct hook_mapping, status, OPTIONAL, "firing or resolved; always firing when missing"),
	FIELD_LIST(struct hook_mapping, firing, OPTIONAL, "what status says of one that fires; firing, open, alerting, triggered when missing"),
	FIELD_LIST(struct hook_mapping, resolved, OPTIONAL, "what it says of one that is over; resolved, closed and ok when missing"),
	FIELD_STR(struct hook_mapping, severity, OPTIONAL, "label severity"),
	FIELD_STR(struct hook_mapping, summary, OPTIONAL, "annotation summary"),
	FIELD_STR(struct hook_mapping, description, OPTIONAL, "annotation description"),
	FIELD_STR(struct hook_mapping, labels, OPTIONAL, "an object whose members become labels"),
	FIELD_STR(struct hook_mapping, annotations, OPTIONAL, "an object whose members become annotations"),
	FIELD_STR(struct hook_mapping, url, OPTIONAL, "where people find more"),
	FIELD_STR(struct hook_mapping, starts_at, OPTIONAL, "since when: RFC 3339, or seconds or milliseconds since 1970"),
	FIELD_STR(struct hook_mapping, ends_at, OPTIONAL, "until when"),
	FIELD_STR(struct hook_mapping, environment, OPTIONAL, "name of the environment"),
	FIELD_END
};

static const struct field record_fields[] = {
	FIELD_STR(struct hook_mapping, version, REQUIRED, "version that was deployed"),
	FIELD_STR(struct hook_mapping, environment, OPTIONAL, "name of the environment"),
	FIELD_STR(struct hook_mapping, git_sha, OPTIONAL, "commit that it was made from"),
	FIELD_MAP(struct hook_mapping, components, OPTIONAL, "component: pointer to its version, instead of the observed one"),
	FIELD_MAP(struct hook_mapping, when, OPTIONAL, "pointer: value; bodies where it is another are ignored"),
	FIELD_END
};
/* clang-format on */

static const struct type {
	const char *name, *signature_header;
	bool token, signature; /* how the sender can say who it is */
	bool mapping;
} types[] = {
	[HOOK_ALERTMANAGER] = { "alertmanager", NULL, true, false, false },
	[HOOK_GENERIC] = { "generic", "X-Signature-256", true, true, true },
	[HOOK_GITHUB] = { "github", "X-Hub-Signature-256", false, true, false },
};

static const char *const usual_firing[] = { "firing", "open", "alerting", "triggered", NULL };
static const char *const usual_resolved[] = { "resolved", "closed", "ok", NULL };

const char *hook_type_name(enum hook_type type)
{
	return types[type].name;
}

struct reading {
	const void *ctx;
	void *tmp;
	const char *const *environments;
	struct problems *problems;
};

static void unknown_environment(struct reading *reading, const char *path, const char *name)
{
	const char *nearest;

	for (const char *const *at = reading->environments; *at; at++)
		if (strcmp(*at, name) == 0)
			return;
	nearest = text_nearest(name, reading->environments);
	problems_add(reading->problems, ERR_NOT_FOUND, path, "there is no environment '%s'%s%s%s", name, nearest ? "; did you mean '" : "",
		nearest ? nearest : "", nearest ? "'?" : "");
}

static void check_pointer(struct reading *reading, const char *path, const char *pointer)
{
	struct err err = ERR_INIT;

	if (pointer && pointer_check(pointer, &err) < 0)
		problems_add(reading->problems, ERR_INVALID, path, "%s", err.text);
}

/* Every text of a mapping is a pointer, and so is every text of its `components` and every key of its `when`. */
static void check_pointers(struct reading *reading, const struct hook_mapping *mapping, json_t *object, const struct field *fields,
	const char *path)
{
	const char *key;
	json_t *value;

	for (const struct field *field = fields; field->member; field++) {
		char *name = field_name(reading->tmp, field);

		if (field->type == FIELD_TYPE_STR)
			check_pointer(reading, doc_path(reading->tmp, path, name), json_str(object, name, NULL));
	}
	json_object_foreach(mapping->components, key, value) {
		char *at = doc_path(reading->tmp, doc_path(reading->tmp, path, "components"), key);

		if (json_is_string(value))
			check_pointer(reading, at, json_string_value(value));
		else
			problems_add(reading->problems, ERR_INVALID, at, "expected a JSON pointer such as /images/api");
	}
	json_object_foreach(mapping->when, key, value) {
		char *at = doc_path(reading->tmp, doc_path(reading->tmp, path, "when"), key);

		check_pointer(reading, at, key);
		if (json_is_object(value) || json_is_array(value) || json_is_null(value))
			problems_add(reading->problems, ERR_INVALID, at, "expected a text, a number or a boolean");
	}
}

static void read_mapping(struct reading *reading, struct hook_config *hook, const struct hook_file *file, const char *base)
{
	const struct field *fields = hook->action == HOOK_RECORD ? record_fields : alert_fields;
	char *path = doc_path(reading->tmp, base, "mapping");

	if (!file->mapping) {
		problems_add(reading->problems, ERR_INVALID, base, "a generic hook needs a mapping: where things stand in the body");
		return;
	}
	fields_parse(reading->ctx, fields, file->mapping, path, NULL, false, &hook->mapping, reading->problems);
	check_pointers(reading, &hook->mapping, file->mapping, fields, path);
	if (!hook->mapping.firing)
		hook->mapping.firing = (const char **)(void *)usual_firing;
	if (!hook->mapping.resolved)
		hook->mapping.resolved = (const char **)(void *)usual_resolved;
}

/* What stands in the file but means nothing for this type of hook. */
static void check_unused(struct reading *reading, const struct type *type, json_t *object, const char *path)
{
	const struct {
		const char *name;
		bool used;
	} members[] = {
		{ "secret", type->signature },
		{ "signatureHeader", type->signature },
		{ "timestampHeader", type->signature && type->mapping },
		{ "tolerance", type->signature && type->mapping },
		{ "deliveryHeader", type->mapping },
		{ "principal", type->token },
		{ "mapping", type->mapping },
		{ "action", type->mapping },
		{ "repository", type == &types[HOOK_GITHUB] },
		{ "environmentLabel", type != &types[HOOK_GITHUB] },
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!members[i].used && json_object_get(object, members[i].name))
			problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, path, members[i].name),
				"means nothing for a hook of the type %s", type->name);
}

/* Who may send: exactly one way, and one that the type has. */
static void check_sender(struct reading *reading, const struct type *type, const struct hook_file *file, const char *path)
{
	if (file->secret && file->principal)
		problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, path, "principal"),
			"a hook has a secret or a principal, not both");
	else if (!(file->secret && type->signature) && !(file->principal && type->token))
		problems_add(reading->problems, ERR_INVALID, path, "who may send? name %s",
			!type->signature      ? "the principal whose token it sends"
				: type->token ? "the secret that it signs with, or the principal whose token it sends"
					      : "the secret that it signs with");
}

static void check_environments(struct reading *reading, const struct hook_config *hook, const char *path)
{
	char *base = doc_path(reading->tmp, path, "environments");
	const char *key;
	json_t *value;

	if (hook->environment)
		unknown_environment(reading, doc_path(reading->tmp, path, "environment"), hook->environment);
	json_object_foreach(hook->environments, key, value) {
		if (json_is_string(value))
			unknown_environment(reading, doc_path(reading->tmp, base, key), json_string_value(value));
		else
			problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, base, key),
				"expected the name of an environment");
	}
}

static void read_hook(struct reading *reading, struct hook_config *hook, const char *name, json_t *object)
{
	char *path = doc_path(reading->tmp, "server.hooks", name);
	const struct type *type = NULL;
	struct hook_file file;

	fields_parse(reading->ctx, hook_fields, object, path, NULL, false, &file, reading->problems);
	for (size_t i = 0; i < ARRAY_SIZE(types) && file.type; i++)
		if (strcmp(types[i].name, file.type) == 0)
			type = &types[i];
	*hook = (struct hook_config){ .name = mem_strdup(reading->ctx, name),
		.type = type ? (enum hook_type)(type - types) : HOOK_GENERIC,
		.action = (type == &types[HOOK_GITHUB] || (file.action && strcmp(file.action, "record") == 0)) ? HOOK_RECORD : HOOK_ALERT,
		.secret = file.secret,
		.principal = file.principal,
		.environment = file.environment,
		.environment_label = file.environment_label,
		.environments = file.environments,
		.repository = file.repository,
		.signature_header = file.signature_header ? file.signature_header
			: type                            ? type->signature_header
							  : NULL,
		.timestamp_header = file.timestamp_header,
		.delivery_header = type == &types[HOOK_GENERIC] ? file.delivery_header : NULL,
		.tolerance_ms = file.tolerance_ms };
	if (!text_is_name(name))
		problems_add(reading->problems, ERR_INVALID, path,
			"'%s' is not a name for a hook: letters, digits, '.', '_' and '-', at most 128", name);
	if (!type)
		return;
	check_unused(reading, type, object, path);
	check_sender(reading, type, &file, path);
	check_environments(reading, hook, path);
	if (type->mapping)
		read_mapping(reading, hook, &file, path);
}

struct hook_config *hooks_read(const void *ctx, json_t *hooks, const char *const *environments, struct problems *problems,
	size_t *ret_count)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct reading reading = { ctx, tmp, environments, problems };
	struct hook_config *made = mem_array(ctx, struct hook_config, json_object_size(hooks) + 1);
	const char *name;
	json_t *object;

	*ret_count = 0;
	json_object_foreach(hooks, name, object)
		read_hook(&reading, &made[(*ret_count)++], name, object);
	return made;
}

const struct hook_config *hook_find(const struct hook_config *hooks, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(hooks[i].name, name) == 0)
			return &hooks[i];
	return NULL;
}
