/* The OpenAPI 3.1 document at /api/openapi.json: made from the tables that the server works by (routes, fields, shapes), so it cannot say something else than what is true.
 *
 * Made at the first request, once, and kept as text. A shape that an operation answers with becomes a schema of its own, named after the operation that has it first. */
#include <string.h>

#include "data/fields.h"
#include "data/json.h"
#include "surface/http/inner.h"

struct openapi {
	pthread_mutex_t mutex;
	char *text; /* NULL until asked for */
};

struct making {
	void *ctx;
	json_t *paths, *schemas;
	struct named {
		const struct shape *shape;
		const char *name;
	} names[256];
	size_t name_count;
};

struct openapi *openapi_new(const void *ctx)
{
	struct openapi *openapi = mem_zero(ctx, struct openapi);

	(void)pthread_mutex_init(&openapi->mutex, NULL);
	return openapi;
}

/* --- names --------------------------------------------------------------------------------------------------------- */

static char *lower(const void *ctx, const char *text)
{
	char *made = mem_strdup(ctx, text);

	for (char *at = made; *at; at++)
		*at = (char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at);
	return made;
}

/* "rollbacks.create"; of a route that is no operation: "get.api.v1.session". */
static char *operation_id(const void *ctx, const struct route *route)
{
	char *id;

	if (route->operation)
		return mem_strdup(ctx, route->operation->name);
	id = mem_printf(ctx, "%s%s", lower(ctx, route->method), route->pattern);
	for (char *at = id; *at; at++)
		*at = *at == '/' || *at == '{' || *at == '}' || *at == '*' ? '.' : *at;
	return id;
}

/* The first word of what a path is about: "rollbacks" of rollbacks.create. */
static char *tag_of(const void *ctx, const struct route *route)
{
	if (route->operation)
		return mem_strndup(ctx, route->operation->name, strcspn(route->operation->name, "."));
	if (!strncmp(route->pattern, "/api/v1/session", 15))
		return mem_strdup(ctx, "session");
	return mem_strdup(ctx, "server");
}

/* "/api/{rest*}" is "/api/{rest}" here. */
static char *path_of(const void *ctx, const struct route *route)
{
	char *path = mem_strdup(ctx, route->pattern), *star = strstr(path, "*}");

	if (star)
		memcpy(star, "}", 2);
	return path;
}

static bool is_in_path(const struct route *route, const char *name)
{
	_cleanup_talloc_ char *part = mem_printf(NULL, "{%s}", name), *rest = mem_printf(NULL, "{%s*}", name);

	return strstr(route->pattern, part) || strstr(route->pattern, rest);
}

/* --- what goes in -------------------------------------------------------------------------------------------------- */

static bool has_body(const struct route *route)
{
	return strcmp(route->method, "GET") != 0 && strcmp(route->method, "DELETE") != 0;
}

static json_t *parameter(const char *name, const char *in, bool required, json_t *schema)
{
	json_t *made = json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", in, "required", required, "schema", schema);
	json_t *description = json_object_get(schema, "description");

	if (description) {
		json_object_set(made, "description", description);
		(void)json_object_del(schema, "description");
	}
	return made;
}

static void add_path_parameters(struct making *making, const struct route *route, json_t *properties, json_t *list)
{
	for (const char *at = strchr(route->pattern, '{'); at; at = strchr(at + 1, '{')) {
		char *name = mem_strndup(making->ctx, at + 1, strcspn(at + 1, "*}"));
		json_t *schema = json_object_get(properties, name);

		schema = schema ? json_deep_copy(schema) : json_pack("{s:s}", "type", "string");
		(void)json_object_del(schema, "default");
		json_array_append_new(list, parameter(name, "path", true, schema));
	}
}

static void add_query_parameters(json_t *properties, json_t *required, const struct route *route, json_t *list)
{
	const char *name;
	json_t *schema, *one;
	size_t i;

	json_object_foreach(properties, name, schema) {
		bool needed = false;

		if (is_in_path(route, name))
			continue;
		json_array_foreach(required, i, one)
			needed |= !strcmp(json_string_value(one), name);
		json_array_append_new(list, parameter(name, "query", needed, json_deep_copy(schema)));
	}
}

/* The schema of the body: the fields that are not in the path. NULL: there are none. */
static json_t *body_schema(const struct route *route, json_t *schema)
{
	json_t *body = json_deep_copy(schema), *properties = json_object_get(body, "properties"),
	       *required = json_object_get(body, "required"), *value;
	const char *name;
	void *next;
	size_t i;

	json_object_foreach_safe(properties, next, name, value)
		if (is_in_path(route, name))
			(void)json_object_del(properties, name);
	for (i = json_array_size(required); i-- > 0;)
		if (is_in_path(route, json_string_value(json_array_get(required, i))))
			(void)json_array_remove(required, i);
	if (required && !json_array_size(required))
		(void)json_object_del(body, "required");
	if (json_object_size(properties))
		return body;
	json_decref(body);
	return NULL;
}

/* Fields that are for the command line only are not there. */
static json_t *input_schema(const void *ctx, const struct route *route)
{
	json_t *schema = fields_schema(route->fields), *properties = json_object_get(schema, "properties");

	(void)json_object_del(schema, "$schema");
	for (const struct field *field = route->fields; field->member && route->operation; field++)
		if (operation_field_is_local(field))
			(void)json_object_del(properties, field_name(ctx, field));
	return schema;
}

static void add_input(struct making *making, const struct route *route, json_t *operation)
{
	json_t *parameters = json_array(), *schema = route->fields ? input_schema(making->ctx, route) : json_object(), *body,
	       *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");

	add_path_parameters(making, route, properties, parameters);
	if (!has_body(route)) {
		add_query_parameters(properties, required, route, parameters);
	} else if (route->fields) {
		body = body_schema(route, schema);
		if (body) {
			bool needed = json_array_size(json_object_get(body, "required")) > 0;

			json_object_set_new(operation, "requestBody",
				json_pack("{s:b, s:{s:{s:o}}}", "required", needed, "content", "application/json", "schema", body));
		}
	} else if (!route->operation) {
		json_object_set_new(operation, "requestBody",
			json_pack("{s:{s:{s:{s:s}}}}", "content", "application/json", "schema", "type", "object"));
	}
	if (!strcmp(route->method, "POST") && route->kind == ROUTE_WORK && route->access != ACCESS_PUBLIC)
		json_array_append_new(parameters, json_pack("{s:s}", "$ref", "#/components/parameters/IdempotencyKey"));
	if (json_array_size(parameters))
		json_object_set(operation, "parameters", parameters);
	json_decref(parameters);
	json_decref(schema);
}

/* --- what comes out ------------------------------------------------------------------------------------------------ */

static json_t *answer_schema(struct making *making, const struct route *route)
{
	json_t *schema;
	char *name;

	if (!route->answer)
		return json_pack("{s:s}", "type", "object");
	for (size_t i = 0; i < making->name_count; i++)
		if (making->names[i].shape == route->answer)
			return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", making->names[i].name));
	assert_always(making->name_count < ARRAY_SIZE(making->names));
	name = mem_printf(making->ctx, "%s.answer", operation_id(making->ctx, route));
	making->names[making->name_count++] = (struct named){ route->answer, name };
	schema = shape_schema(route->answer);
	/* operation_call tells with every answer when the registry file is not in step. */
	if (route->operation && json_object_get(schema, "properties") &&
		!json_object_get(json_object_get(schema, "properties"), "warnings"))
		json_object_set_new(json_object_get(schema, "properties"), "warnings",
			json_pack("{s:s, s:{s:s}, s:s}", "type", "array", "items", "type", "string", "description",
				"what else should be known"));
	json_object_set_new(making->schemas, name, schema);
	return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name));
}

static void add_answer(json_t *responses, const char *status, const char *description, json_t *schema)
{
	json_t *response = json_pack("{s:s}", "description", description);

	if (schema)
		json_object_set_new(response, "content", json_pack("{s:{s:O}}", "application/json", "schema", schema));
	json_object_set_new(responses, status, response);
}

static bool tells_run(const struct route *route)
{
	return route->operation && !strncmp(route->operation->name, "rollbacks.", 10) && strcmp(route->method, "GET") != 0;
}

static json_t *responses_of(struct making *making, const struct route *route)
{
	json_t *responses = json_object();

	if (route->kind == ROUTE_STREAM) {
		json_object_set_new(responses, "200",
			json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", "a stream without an end", "content", "text/event-stream",
				"schema", "type", "string"));
	} else if (route->answer == nothing_shape) {
		add_answer(responses, "204", "done", NULL);
	} else {
		json_t *schema = answer_schema(making, route);

		add_answer(responses, "200", "done", schema);
		if (route->operation && route->operation->creates)
			add_answer(responses, "201", "made", schema);
		if (tells_run(route))
			add_answer(responses, "202",
				"a run goes on, or people have to agree first; the header Location says where its progress is told",
				schema);
		json_decref(schema);
	}
	if (!strcmp(route->method, "GET") && route->kind == ROUTE_WORK)
		add_answer(responses, "304", "what the header If-None-Match names is still so", NULL);
	json_object_set_new(responses, "4XX", json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
	json_object_set_new(responses, "5XX", json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
	return responses;
}

static void add_route(void *user, const struct route *route)
{
	struct making *making = user;
	char *path = path_of(making->ctx, route);
	json_t *item = json_object_get(making->paths, path), *operation;

	if (!route->summary)
		return;
	if (!item) {
		item = json_object();
		json_object_set_new(making->paths, path, item);
	}
	operation = json_pack("{s:s, s:s, s:[s]}", "operationId", operation_id(making->ctx, route), "summary", route->summary, "tags",
		tag_of(making->ctx, route));
	if (route->access == ACCESS_PERMITTED)
		json_object_set_new(operation, "x-permission", json_string(permission_name(route->permission)));
	else if (route->access == ACCESS_PUBLIC)
		json_object_set_new(operation, "security", json_array());
	if (route->operation)
		json_object_set_new(operation, "x-destructive", json_boolean(route->operation->destructive));
	add_input(making, route, operation);
	json_object_set_new(operation, "responses", responses_of(making, route));
	json_object_set_new(item, lower(making->ctx, route->method), operation);
}

/* --- the whole ----------------------------------------------------------------------------------------------------- */

static const struct shape error_shape[] = { SHAPE_STR("detail", ALWAYS, "in words"),
	SHAPE_STR("pointer", ALWAYS, "place in the input: #/steps/3/timeout"), SHAPE_INT("line", SOMETIMES, "place in the document"),
	SHAPE_INT("column", SOMETIMES, "place in the document"), SHAPE_END };
static const struct shape problem_shape[] = {
	SHAPE_STR("type", ALWAYS, "about:blank, or /problems/CODE"),
	SHAPE_STR("title", ALWAYS, "the kind of problem, in words"),
	SHAPE_INT("status", ALWAYS, "the status of the answer"),
	SHAPE_STR("detail", ALWAYS, "what happened"),
	SHAPE_STR("instance", ALWAYS, "/requests/ID; the same id as in the header X-Request-Id"),
	SHAPE_STR("code", ALWAYS, "the kind of problem, for machines"),
	SHAPE_LIST("errors", SOMETIMES, error_shape, "every mistake of the input, where it has several parts"),
	SHAPE_STR("hint", SOMETIMES, "what can be done"),
	SHAPE_INT("line", SOMETIMES, "place in the body"),
	SHAPE_INT("column", SOMETIMES, "place in the body"),
	SHAPE_END,
};

static json_t *components(json_t *schemas)
{
	json_t *problem = shape_schema(problem_shape);

	/* What an operation can tell beside its error stands there too. */
	json_object_set_new(problem, "additionalProperties", json_true());
	json_object_set_new(schemas, "Problem", problem);
	return json_pack(
		"{s:O, s:{s:{s:s, s:{s:{s:{s:s}}}}}, s:{s:{s:s, s:s, s:b, s:s, s:{s:s, s:i, s:i}}}, s:{s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:s}}}",
		"schemas", schemas, "responses", "Problem", "description", "an error (RFC 9457)", "content", "application/problem+json",
		"schema", "$ref", "#/components/schemas/Problem", "parameters", "IdempotencyKey", "name", "Idempotency-Key", "in", "header",
		"required", 0, "description",
		"the same key and the same request get the same answer for 24 hours, and nothing is done twice", "schema", "type", "string",
		"minLength", 1, "maxLength", 257, "securitySchemes", "token", "type", "http", "scheme", "bearer", "description",
		"a token of `unship tokens create`", "session", "type", "apiKey", "in", "cookie", "name", "__Host-unship", "description",
		"the session of POST /api/v1/session; what changes something also wants its CSRF token in the header X-CSRF-Token");
}

static json_t *make_document(struct server *server)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct making *making = mem_zero(ctx, struct making);
	json_t *document;

	making->ctx = ctx;
	making->paths = json_keep(ctx, json_object());
	making->schemas = json_keep(ctx, json_object());
	router_each(server->inner->router, add_route, making);
	document = json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:[{s:[]}, {s:[]}], s:O, s:o}", "openapi", "3.1.0", "info",
		"title", "unship", "version", UNSHIP_VERSION, "description",
		"Takes bad releases back: deployments, plans, rollbacks, flags, snapshots, and the journal of all that happened.",
		"license", "name", "Apache-2.0", "identifier", "Apache-2.0", "servers", "url", "/", "security", "token", "session", "paths",
		making->paths, "components", components(making->schemas));
	assert_always(document);
	return document;
}

static int answer_document(struct exchange *x, struct err *err)
{
	struct openapi *openapi = x->server->inner->openapi;

	(void)err;
	(void)pthread_mutex_lock(&openapi->mutex);
	if (!openapi->text) {
		json_t *document = make_document(x->server);
		char *text = json_dumps(document, JSON_COMPACT);

		openapi->text = mem_strdup(openapi, text);
		free(text);
		json_decref(document);
	}
	(void)pthread_mutex_unlock(&openapi->mutex);
	x->status = 200;
	x->type = "application/json";
	x->answer = openapi->text;
	x->answer_size = strlen(openapi->text);
	return 0;
}

/* clang-format off */
const struct route openapi_routes[] = {
	{ "GET", "/api/openapi.json", ROUTE_WORK, ACCESS_PUBLIC, PERMIT_VIEW, answer_document, .summary = "this document" },
	{ NULL },
};
/* clang-format on */
