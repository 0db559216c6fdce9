/* OpenFeature Remote Evaluation Protocol 0.3.0 (github.com/open-feature/protocol), so that the providers of every OpenFeature SDK work
 * unchanged. Answers come from memory (flag_cache.h), on the threads of connections. Errors have the protocol's form, not that of problem
 * documents.
 *
 * The environment is that of the token: the only one that it may see. Who may see several names one in the header X-Unship-Environment or
 * the query parameter `environment`. */
#include "surface/http/ofrep.h"

#include <string.h>

#include "data/hash.h"
#include "data/json.h"
#include "data/out.h"
#include "surface/http/flag_cache.h"
#include "surface/http/inner.h"

#define BODY_MAX    (64u << 10)
#define ETAG_DIGITS 32

/* --- errors -------------------------------------------------------------------------------------------------------- */

/* -1, for those who ask whether to go on. */
static int answer_error(struct exchange *x, int status, const char *key, const char *code, const char *details)
{
	json_t *answer = json_object();

	json_put_str(answer, "key", key);
	json_put_str(answer, "errorCode", code);
	json_put_str(answer, "errorDetails", details);
	exchange_answer_json(x, status, answer);
	json_decref(answer);
	x->no_etag = true;
	return -1;
}

static int answer_refused(struct exchange *x, const struct err *why)
{
	if (why->code != ERR_UNAUTHENTICATED)
		return answer_error(x, 403, NULL, NULL, why->text);
	exchange_add_header(x, "WWW-Authenticate", "Bearer");
	return answer_error(x, 401, NULL, NULL, why->text);
}

/* --- what is asked ------------------------------------------------------------------------------------------------- */

struct question {
	const char *key; /* NULL: all flags */
	struct flag_set *set;
	const json_t *context; /* NULL: none was given */
};

/* The environments that the caller may see; *ret: the only one, NULL when there are none or several. */
static char *visible_environments(struct exchange *x, const char **ret)
{
	const struct project *project = x->server->project;
	char *names = NULL;
	size_t count = 0;

	*ret = NULL;
	for (size_t i = 0; i < project->environment_count; i++) {
		const char *name = project->environments[i].name;

		if (!access_permits(x->principal, PERMIT_VIEW, name))
			continue;
		names = mem_appendf(names ? names : mem_strdup(x->ctx, ""), "%s%s", count ? ", " : "", name);
		*ret = count++ ? NULL : name;
	}
	return names;
}

/* 0, or negative: the exchange is answered. */
static int find_set(struct exchange *x, struct question *question)
{
	const char *environment = exchange_header(x, "X-Unship-Environment");
	struct err why = ERR_INIT;
	char *names = NULL;

	if (!environment)
		environment = exchange_query(x, "environment");
	if (!environment)
		names = visible_environments(x, &environment);
	if (names && !environment)
		return answer_error(x, 400, question->key, "GENERAL",
			mem_printf(x->ctx,
				"this credential may see several environments (%s): name one in the header X-Unship-Environment, or use "
				"a token that is narrowed to one",
				names));
	if (access_check(x->principal, PERMIT_VIEW, environment, &why) < 0)
		return answer_refused(x, &why);
	question->set = flag_cache_take(x->server, environment);
	if (!question->set)
		return answer_error(x, 400, question->key, "GENERAL",
			mem_printf(x->ctx, "there is no environment '%s'", environment ? environment : ""));
	return 0;
}

static int read_context(struct exchange *x, struct question *question)
{
	struct err why = ERR_INIT;
	json_t *body, *context, *targeting_key;

	if (exchange_body_json(x, &body, &why) < 0)
		return answer_error(x, x->status == 415 ? 415 : 400, question->key, "PARSE_ERROR", why.text);
	context = json_object_get(body, "context");
	if (context && !json_is_object(context) && !json_is_null(context))
		return answer_error(x, 400, question->key, "INVALID_CONTEXT", "context: expected an object");
	targeting_key = json_object_get(context, "targetingKey");
	if (targeting_key && !json_is_string(targeting_key))
		return answer_error(x, 400, question->key, "INVALID_CONTEXT", "context.targetingKey: expected a text");
	question->context = context;
	return 0;
}

/* --- what is answered ---------------------------------------------------------------------------------------------- */

struct failure {
	const char *code, *details;
};

/* False: `ret` says why not. */
static bool evaluate(const struct cached_flag *cached, const json_t *context, struct flag_result *ret_result, struct failure *ret)
{
	if (cached->trouble) {
		*ret = (struct failure){ "GENERAL", cached->trouble };
		return false;
	}
	*ret_result = flag_evaluate(cached->flag, cached->state, context);
	if (ret_result->reason != FLAG_ERROR)
		return true;
	*ret = (struct failure){ "TARGETING_KEY_MISSING", "the flag is shared out by targetingKey, and the context has none" };
	return false;
}

static void write_result(struct out *out, const struct cached_flag *cached, const struct flag_result *result)
{
	out_text(out, cached->head);
	out_text(out, ",\"reason\":\"");
	out_text(out, flag_reason_name(result->reason));
	out_text(out, "\"");
	out_text(out, cached->variants[result->variant - cached->flag->variants]);
	out_text(out, cached->tail);
}

static void write_failure(struct out *out, const struct cached_flag *cached, const struct failure *failure)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);

	out_text(out, cached->head);
	out_printf(out, ",\"errorCode\":\"%s\",\"errorDetails\":%s}", failure->code,
		json_canonical(tmp, json_keep(tmp, json_string(failure->details))));
}

static void answer_out(struct exchange *x, int status, struct out *out)
{
	x->status = status;
	x->type = "application/json";
	x->answer_size = out->length;
	x->answer = out->text;
}

static void answer_one(struct exchange *x, const struct question *question)
{
	const struct cached_flag *cached = flag_set_find(question->set, question->key);
	struct flag_result result;
	struct failure failure;
	struct out out;

	if (!cached) {
		(void)answer_error(x, 404, question->key, "FLAG_NOT_FOUND",
			mem_printf(x->ctx, "environment '%s' has no flag '%s'", question->set->environment, question->key));
	} else if (!evaluate(cached, question->context, &result, &failure)) {
		(void)answer_error(x, 400, question->key, failure.code, failure.details);
	} else {
		out_start(&out, x->ctx);
		write_result(&out, cached, &result);
		answer_out(x, 200, &out);
	}
}

static void write_all(struct exchange *x, const struct question *question, struct out *out)
{
	const struct flag_set *set = question->set;

	out_text(out, "{\"flags\":[");
	for (size_t i = 0; i < set->count; i++) {
		struct flag_result result;
		struct failure failure;

		if (i)
			out_char(out, ',');
		if (evaluate(&set->flags[i], question->context, &result, &failure))
			write_result(out, &set->flags[i], &result);
		else
			write_failure(out, &set->flags[i], &failure);
	}
	out_printf(out, "],\"metadata\":{\"environment\":\"%s\"}", set->environment);
	/* A session's pages have the journal's own stream. */
	if (!x->session)
		out_printf(out, ",\"eventStreams\":[{\"type\":\"sse\",\"endpoint\":{\"requestUri\":\"%s\"}}]",
			flag_streams_ticket(flag_streams_of(x->server), x->ctx, set->environment));
	out_char(out, '}');
}

/* The ETag is that of the answer, so it is another for every context that gets other values. Weak: the same answer may go out
 * compressed. */
static void answer_all(struct exchange *x, const struct question *question)
{
	const char *known = exchange_header(x, "If-None-Match");
	char sum[HASH_HEX_SIZE], etag[ETAG_DIGITS + 5];
	struct out out;

	out_start(&out, x->ctx);
	write_all(x, question, &out);
	hash_blake2b_hex(out.text, out.length, sum);
	(void)snprintf(etag, sizeof(etag), "W/\"%.*s\"", ETAG_DIGITS, sum);
	exchange_add_header(x, "ETag", etag);
	if (known && etag_matches(known, etag + strlen("W/"))) {
		exchange_answer_text(x, 304, "application/json", "");
	} else {
		answer_out(x, 200, &out);
	}
}

static int evaluate_flags(struct exchange *x, unused_arg struct err *err)
{
	struct question question = { .key = exchange_param(x, "key") };

	if (!x->principal) {
		(void)answer_refused(x, x->refused);
		return 0;
	}
	if (read_context(x, &question) < 0 || find_set(x, &question) < 0)
		return 0;
	if (question.key)
		answer_one(x, &question);
	else
		answer_all(x, &question);
	flag_cache_give(question.set);
	return 0;
}

static const struct shape evaluation_shape[] = { SHAPE_STR("key", ALWAYS, "key of the flag"), SHAPE_ANY("value", SOMETIMES, "what it is"),
	SHAPE_CHOICE("reason", SOMETIMES, "STATIC|TARGETING_MATCH|SPLIT|DEFAULT|DISABLED", "why"),
	SHAPE_STR("variant", SOMETIMES, "name of the value"), SHAPE_ANY("metadata", SOMETIMES, "the group of the flag"),
	SHAPE_STR("errorCode", SOMETIMES, "instead of a value: why there is none"),
	SHAPE_STR("errorDetails", SOMETIMES, "the same in words"), SHAPE_END };

static const struct shape stream_shape[] = { SHAPE_STR("type", ALWAYS, "sse"), SHAPE_ANY("endpoint", ALWAYS, "{requestUri}"), SHAPE_END };

static const struct shape bulk_shape[] = { SHAPE_LIST("flags", ALWAYS, evaluation_shape, "all flags of the environment, by key"),
	SHAPE_ANY("metadata", ALWAYS, "{environment}"), SHAPE_LIST("eventStreams", SOMETIMES, stream_shape, "where changes are told"),
	SHAPE_END };

struct bulk_body {
	json_t *context;
};
struct one_body {
	const char *key;
	json_t *context;
};
static const struct field bulk_fields[] = {
	FIELD_MAP(struct bulk_body, context, OPTIONAL, "who asks: {targetingKey, ATTRIBUTE: value}"),
	FIELD_END,
};
static const struct field one_fields[] = {
	FIELD_STR(struct one_body, key, REQUIRED, "key of the flag"),
	FIELD_MAP(struct one_body, context, OPTIONAL, "who asks: {targetingKey, ATTRIBUTE: value}"),
	FIELD_END,
};

const struct route ofrep_routes[] = {
	{ .method = "POST",
		.pattern = "/ofrep/v1/evaluate/flags",
		.kind = ROUTE_QUICK,
		.access = ACCESS_PERMITTED,
		.permission = PERMIT_VIEW,
		.handle = evaluate_flags,
		.body_max = BODY_MAX,
		.summary = "all flags of an environment for somebody (OpenFeature remote evaluation)",
		.fields = bulk_fields,
		.answer = bulk_shape,
		.own_errors = true,
		.web = true },
	{ .method = "POST",
		.pattern = "/ofrep/v1/evaluate/flags/{key}",
		.kind = ROUTE_QUICK,
		.access = ACCESS_PERMITTED,
		.permission = PERMIT_VIEW,
		.handle = evaluate_flags,
		.body_max = BODY_MAX,
		.summary = "one flag for somebody (OpenFeature remote evaluation)",
		.fields = one_fields,
		.answer = evaluation_shape,
		.own_errors = true,
		.web = true },
	{ .method = "GET",
		.pattern = "/ofrep/v1/events",
		.kind = ROUTE_STREAM,
		.access = ACCESS_PUBLIC,
		.handle = flag_stream_open,
		.web = true },
	{ .method = NULL },
};
