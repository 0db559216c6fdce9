/* Routes made from the table of operations: /api/v1 and the operation's path. Path, query and body are merged into one input by the operation's field table; what comes back is its answer.
 *
 * The server never opens a client's paths: operations that work on files of the caller (`local`, or with a path among the fields that they need) are not offered, and an optional path is refused. */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "data/json.h"
#include "ops/permit.h"
#include "ops/runs.h"
#include "surface/http/inner.h"

bool operation_field_is_local(const struct field *field)
{
	return field->type == FIELD_TYPE_PATH;
}

bool operation_is_offered(const struct operation *operation)
{
	if (operation->local)
		return false;
	for (const struct field *field = operation->fields; field->member; field++)
		if (field->required && operation_field_is_local(field))
			return false;
	return true;
}

static const struct field *find_field(const void *ctx, const struct operation *operation, const char *name)
{
	for (const struct field *field = operation->fields; field->member; field++)
		if (!strcmp(field_name(ctx, field), name))
			return field;
	return NULL;
}

/* A text of path or query, typed as the field wants it; what does not fit stays text, and the field table says what is wrong with it. */
static json_t *typed(const struct field *field, const char *text)
{
	struct err ignored = ERR_INIT;
	int64_t number;
	json_t *value;

	switch (field ? field->type : FIELD_TYPE_STR) {
	case FIELD_TYPE_INT:
		if (text_parse_int(text, INT64_MIN, INT64_MAX, &number, &ignored) == 0)
			return json_integer(number);
		break;
	case FIELD_TYPE_BOOL:
		if (!strcmp(text, "true") || !strcmp(text, "false"))
			return json_boolean(text[0] == 't');
		break;
	case FIELD_TYPE_REAL:
	case FIELD_TYPE_MAP:
	case FIELD_TYPE_ANY:
	case FIELD_TYPE_GROUP:
		value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
		if (value)
			return value;
		break;
	default:
		break;
	}
	return json_string(text);
}

struct merging {
	struct exchange *x;
	const struct operation *operation;
	json_t *input;
	struct err *err;
	int r;
};

static void merge(struct merging *merging, const char *name, json_t *value)
{
	json_t *present = json_object_get(merging->input, name);
	const struct field *field = find_field(merging->x->ctx, merging->operation, name);

	if (merging->r < 0)
		return;
	if (field && operation_field_is_local(field))
		merging->r = err_set(merging->err, ERR_INVALID,
			"%s: a server opens no paths of its clients; this is for the command line in the project's directory", name);
	else if (present && !json_equal(present, value))
		merging->r = err_set(merging->err, ERR_USAGE, "'%s' is given twice, with different values", name);
	else
		json_object_set(merging->input, name, value);
}

/* ?target=api&target=web is a list. */
static void merge_query(void *user, const char *name, const char *value)
{
	struct merging *merging = user;
	const struct field *field = find_field(merging->x->ctx, merging->operation, name);
	json_t *present = json_object_get(merging->input, name), *typed_value;

	if (field && field->type == FIELD_TYPE_LIST) {
		if (!json_is_array(present)) {
			present = json_array();
			json_object_set_new(merging->input, name, present);
		}
		json_array_append_new(present, json_string(value));
		return;
	}
	typed_value = typed(field, value);
	merge(merging, name, typed_value);
	json_decref(typed_value);
}

static int make_input(struct exchange *x, json_t **ret, struct err *err)
{
	struct merging merging = { .x = x, .operation = x->route->operation, .input = json_keep(x->ctx, json_object()), .err = err };
	const struct pairs *params = &INNER(x)->params;
	const char *name;
	json_t *body, *value;
	int r;

	exchange_each_query(x, merge_query, &merging);
	for (size_t i = 0; i < params->count; i++) {
		const struct field *field = find_field(x->ctx, x->route->operation, params->list[i].name);
		json_t *text;

		/* "-": none is given; the operation then takes the one that it takes on the command line. */
		if (field && !field->required && !strcmp(params->list[i].value, "-"))
			continue;
		text = typed(field, params->list[i].value);
		merge(&merging, params->list[i].name, text);
		json_decref(text);
	}
	if (merging.r == 0 && x->body_size) {
		r = exchange_body_json(x, &body, err);
		if (r < 0)
			return r;
		json_object_foreach(body, name, value)
			merge(&merging, name, value);
	}
	*ret = merging.input;
	return merging.r;
}

/* The run that an answer tells of: itself, or the result of an approval. */
static json_t *run_within(json_t *answer)
{
	json_t *result = json_object_get(answer, "result");

	return json_object_get(result, "rollbackId") ? result : answer;
}

/* A run that goes on: its id; NULL when the answer tells none. */
static const char *unfinished_run(json_t *told)
{
	json_t *answer = run_within(told);
	const char *id = json_str(answer, "rollbackId", NULL), *text = json_str(answer, "status", NULL);
	struct err ignored = ERR_INIT;
	enum run_status status;

	if (!id || !text || run_status_parse(text, &status, &ignored) < 0 || run_status_ended(status))
		return NULL;
	return id;
}

bool run_is_over(json_t *answer)
{
	return unfinished_run(answer) == NULL;
}

static int status_of(const struct exchange *x, json_t *answer)
{
	const char *run = unfinished_run(answer);

	if (!strcmp(x->route->method, "GET"))
		return 200;
	if (run || json_object_get(answer, "waitsFor"))
		return 202;
	return x->route->operation->creates && !json_flag(answer, "dryRun", false) ? 201 : 200;
}

/* 202, unless the caller prefers to wait and there is something to wait for: then the exchange is put aside, and no worker is held up meanwhile. */
static void answer_run(struct exchange *x, json_t *answer)
{
	struct inner *inner = INNER(x);
	const char *run = unfinished_run(answer);
	int64_t wait_ms = prefer_wait_ms(exchange_header(x, "Prefer"));
	int status = status_of(x, answer);

	if (run && status == 202 && wait_ms && !inner->waited_run) {
		inner->waited_run = mem_strdup(x->ctx, run);
		inner->waited_within = run_within(answer) == answer ? NULL : answer;
		inner->wait_until_ms = clock_mono_ms() + wait_ms;
		inner->progress = PROGRESS_PARKED;
		return;
	}
	if (inner->waited_run)
		exchange_add_header(x, "Preference-Applied", "wait");
	if (run && status == 202)
		exchange_add_header(x, "Location", mem_printf(x->ctx, "/api/v1/rollbacks/%s", run));
	else if (status == 202) /* people have to approve first */
		exchange_add_header(x, "Location",
			mem_printf(x->ctx, "/api/v1/approvals/%s", json_str(json_object_get(answer, "approval"), "id", "")));
	exchange_answer_json(x, status, answer);
	inner->progress = PROGRESS_ANSWERED;
}

void operation_refresh(struct inner *inner)
{
	struct exchange *x = &inner->x;
	struct op op = exchange_op(x);
	struct err err = ERR_INIT;
	json_t *answer;

	inner->progress = PROGRESS_ANSWERED;
	if (workspace_store(x->workspace, &err) < 0 || run_answer(&op, inner->waited_run, &answer, &err) < 0) {
		exchange_fail(inner, &err);
		return;
	}
	if (inner->waited_within) {
		json_t *whole = json_keep(x->ctx, json_copy(inner->waited_within));

		json_put(whole, "result", answer);
		answer = whole;
	}
	answer_run(x, answer);
}

static int handle_operation(struct exchange *x, struct err *err)
{
	struct op op = exchange_op(x);
	json_t *input, *answer = NULL;
	int r;

	r = make_input(x, &input, err);
	if (r < 0)
		return r;
	r = operation_call(&op, x->route->operation, input, &answer, err);
	if (r < 0) {
		if (!answer)
			return r;
		exchange_answer_problem(x, err_info(err->code)->http_status, err, answer);
		return 0;
	}
	answer_run(x, answer ? answer : json_keep(x->ctx, json_object()));
	return 0;
}

const struct route *operation_routes(const void *ctx)
{
	struct route *routes = mem_array(ctx, struct route, 1);
	size_t count = 0;

	for (const struct operation *const *at = operations; *at; at++) {
		const struct operation *operation = *at;

		if (!operation_is_offered(operation))
			continue;
		routes = mem_resize(ctx, routes, struct route, count + 2);
		routes[count++] = (struct route){
			.method = operation->method,
			.pattern = mem_printf(ctx, "/api/v1%s", operation->path),
			.kind = ROUTE_WORK,
			.access = ACCESS_PERMITTED,
			.permission = operation_least_permission(operation), /* operation_call asks for the rest */
			.handle = handle_operation,
			.summary = operation->summary,
			.fields = operation->fields,
			.answer = operation->answer,
			.operation = operation,
		};
		routes[count] = (struct route){ .method = NULL };
	}
	return routes;
}
