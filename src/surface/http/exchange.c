/* The way of one exchange, from its head to its answer (inner.h); and what handlers may ask of it (exchange.h). Knows nothing of the HTTP library.
 *
 * Threads: an exchange belongs to one thread at a time: that of its connection, or a worker while it is with the pool. */
#include "surface/http/exchange.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "data/json.h"
#include "data/redact.h"
#include "surface/http/inner.h"

const struct shape nothing_shape[] = { SHAPE_END };

/* --- what handlers ask --------------------------------------------------------------------------------------------- */

const char *exchange_header(const struct exchange *x, const char *name)
{
	return pairs_find_any_case(&INNER(x)->headers, name);
}

const char *exchange_query(const struct exchange *x, const char *name)
{
	return pairs_find(&INNER(x)->query, name);
}

const char *exchange_param(const struct exchange *x, const char *name)
{
	return pairs_find(&INNER(x)->params, name);
}

const char *exchange_cookie(const struct exchange *x, const char *name)
{
	struct inner *inner = INNER(x);
	const char *header = exchange_header(x, "Cookie");
	struct err ignored = ERR_INIT;

	if (header && !inner->cookies_read && cookies_parse(x->ctx, header, &inner->cookies, &ignored) < 0)
		inner->cookies = (struct pairs){ 0 };
	inner->cookies_read = true;
	return pairs_find(&inner->cookies, name);
}

void exchange_each_query(const struct exchange *x, void (*each)(void *user, const char *name, const char *value), void *user)
{
	const struct pairs *query = &INNER(x)->query;

	for (size_t i = 0; i < query->count; i++)
		each(user, query->list[i].name, query->list[i].value);
}

static bool is_json(const char *type)
{
	size_t length = type ? strcspn(type, " ;") : 0;

	return (length == 16 && !strncasecmp(type, "application/json", 16)) ||
		(length > 17 && !strncasecmp(type, "application/", 12) && !strncasecmp(type + length - 5, "+json", 5));
}

int exchange_body_json(struct exchange *x, json_t **ret, struct err *err)
{
	struct inner *inner = INNER(x);
	const char *type = exchange_header(x, "Content-Type");
	int r;

	if (!inner->json && !x->body_size)
		inner->json = json_keep(x->ctx, json_object());
	if (!inner->json) {
		if (!is_json(type)) {
			x->status = 415;
			return err_set(err, ERR_USAGE, "the body must be application/json%s%s", type ? ", not " : "", type ? type : "");
		}
		r = json_parse(x->ctx, x->body, x->body_size, x->body_size, &inner->json, err);
		if (r < 0) {
			inner->json = NULL;
			return err_in(err, "body");
		}
		if (!json_is_object(inner->json)) {
			inner->json = NULL;
			return err_set(err, ERR_INVALID, "body: an object is wanted");
		}
	}
	*ret = inner->json;
	return 0;
}

void exchange_answer_json(struct exchange *x, int status, json_t *answer)
{
	json_t *clean = json_redact(answer, 8);
	char *text = json_dumps(clean, JSON_COMPACT | JSON_REAL_PRECISION(15));

	assert_always(text);
	x->answer_size = strlen(text);
	x->answer = mem_dup(x->ctx, text, x->answer_size + 1);
	x->status = status;
	x->type = "application/json";
	free(text);
	json_decref(clean);
}

void exchange_answer_text(struct exchange *x, int status, const char *type, const char *text)
{
	x->answer_size = strlen(text);
	x->answer = mem_dup(x->ctx, text, x->answer_size + 1);
	x->status = status;
	x->type = mem_strdup(x->ctx, type);
}

void exchange_add_header(struct exchange *x, const char *name, const char *value)
{
	for (const char *at = value; *at; at++)
		assert_always((unsigned char)*at >= 0x20 && *at != 0x7f);
	pairs_add(x->ctx, &INNER(x)->out, mem_strdup(x->ctx, name), mem_strdup(x->ctx, value));
}

static int hand_over(void *user, const char *environment, const char *run_id, struct err *err)
{
	struct exchange *x = user;

	return server_hand_over(x->server, environment, run_id, x->principal ? x->principal->name : "unship", err);
}

static bool is_refusal_due(void *user, const char *environment, const struct err *err, uint64_t *ret_count)
{
	return refusal_due(INNER((struct exchange *)user), environment, err, ret_count);
}

static bool is_hurried(void *user)
{
	struct exchange *x = user;

	return atomic_load(&x->server->inner->hurried);
}

struct op exchange_op(struct exchange *x)
{
	assert_always(x->workspace);
	return (struct op){
		.ctx = x->ctx,
		.workspace = x->workspace,
		.catalogue = x->server->catalogue,
		.actor = x->principal ? x->principal->name : "anonymous",
		.principal = x->principal,
		.origin = x->peer,
		.hand_over = hand_over,
		.refusal_due = is_refusal_due,
		.interrupted = is_hurried,
		.user = x,
	};
}

/* --- the head ------------------------------------------------------------------------------------------------------ */

struct inner *exchange_new(struct server *server, const char *target)
{
	void *ctx = mem_context(NULL);
	struct inner *inner = mem_zero(ctx, struct inner);

	inner->x.ctx = ctx;
	inner->x.server = server;
	inner->x.body = "";
	inner->x.inner = inner;
	inner->target = mem_strdup(ctx, target);
	inner->begun_us = clock_mono_us();
	inner->x.id = id_new(ctx, "req");
	return inner;
}

static void answer_status(struct inner *inner, int status, const struct err *err)
{
	exchange_answer_problem(&inner->x, status, err, NULL);
	inner->progress = PROGRESS_ANSWERED;
}

static int refuse_head(struct inner *inner, int status, const struct err *err)
{
	/* What could not be understood may not end where we think it does; and a body that nobody reads would have to be. */
	inner->close = status == 400 || status == 413 || exchange_header(&inner->x, "Content-Length") ||
		exchange_header(&inner->x, "Transfer-Encoding");
	answer_status(inner, status, err);
	return -(int)err->code;
}

static bool is_unsafe(const char *method)
{
	return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "OPTIONS") != 0;
}

static bool is_listed(const char *const *list, const char *text)
{
	for (; list && *list; list++)
		if (!strcasecmp(*list, text))
			return true;
	return false;
}

/* A browser names the page that asks. For what changes something, and for whoever comes with a cookie, that page must be ours. */
static int check_origin(struct inner *inner, const char *host, struct err *err)
{
	struct exchange *x = &inner->x;
	const char *origin = exchange_header(x, "Origin"), *own = mem_printf(x->ctx, "%s://%s", x->secure ? "https" : "http", host);
	bool web = x->route->web && origin && is_listed(x->server->config->origins, origin);

	if (web) {
		exchange_add_header(x, "Access-Control-Allow-Origin", origin);
		exchange_add_header(x, "Access-Control-Expose-Headers", "ETag, Retry-After, X-Request-Id");
		exchange_add_header(x, "Vary", "Origin");
	}
	if (!origin || !strcasecmp(origin, own) || web)
		return 0;
	if (is_unsafe(x->method) || exchange_header(x, "Cookie"))
		return err_set(err, ERR_FORBIDDEN, "a page of %s may not ask this; web origins are allowed by server.origins", origin);
	return 0;
}

/* A token in an address ends up in histories and logs: refused, also where it would not be needed. */
static int check_query(const struct inner *inner, struct err *err)
{
	static const char *const names[] = { "token", "access_token", "api_key", "apikey", "authorization" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (pairs_find_any_case(&inner->query, names[i]))
			return err_set(err, ERR_USAGE,
				"a token does not belong into an address, where histories and logs keep it: send the header Authorization: Bearer TOKEN; "
				"this one should be revoked");
	for (size_t i = 0; i < inner->query.count; i++)
		if (strstr(inner->query.list[i].value, "unship_") && strlen(inner->query.list[i].value) > 40)
			return err_set(err, ERR_USAGE,
				"a token does not belong into an address, where histories and logs keep it: send the header Authorization: Bearer TOKEN; "
				"this one should be revoked");
	return 0;
}

static int check_size(struct inner *inner, struct err *err)
{
	const char *length = exchange_header(&inner->x, "Content-Length");
	size_t max = inner->x.route->body_max ? inner->x.route->body_max : BODY_MAX_DEFAULT;

	if (length && strtoull(length, NULL, 10) > max)
		return err_set(err, ERR_TOO_LARGE, "a body of %s bytes; at most %zu are read here", length, max);
	return 0;
}

/* What a browser asks before it lets a page of another origin ask (Fetch standard, CORS preflight). */
static bool answer_preflight(struct inner *inner, const char *allow)
{
	struct exchange *x = &inner->x;
	const char *wanted = exchange_header(x, "Access-Control-Request-Method");

	if (strcmp(x->method, "OPTIONS") != 0)
		return false;
	if (wanted && x->route && x->route->web) {
		exchange_add_header(x, "Access-Control-Allow-Methods", allow);
		exchange_add_header(x, "Access-Control-Allow-Headers",
			"Authorization, Content-Type, If-None-Match, Last-Event-ID, X-Unship-Environment");
		exchange_add_header(x, "Access-Control-Max-Age", "600");
	}
	exchange_add_header(x, "Allow", allow);
	exchange_answer_text(x, 204, "text/plain", "");
	inner->progress = PROGRESS_ANSWERED;
	return true;
}

static int find_route(struct inner *inner, const char *host, struct err *err)
{
	struct exchange *x = &inner->x;
	const char *allow = NULL, *method = x->method, *wanted = exchange_header(x, "Access-Control-Request-Method");
	int r;

	if (!strcmp(method, "HEAD"))
		method = "GET";
	if (!strcmp(method, "OPTIONS") && wanted)
		method = wanted;
	r = router_match(x->server->inner->router, x->ctx, method, x->path, &x->route, &inner->params, &allow, err);
	if (allow && !strcmp(x->method, "OPTIONS")) {
		if (x->route && check_origin(inner, host, err) < 0)
			return refuse_head(inner, 403, err);
		(void)answer_preflight(inner, allow);
		return -ERR_USAGE;
	}
	if (r == 0)
		return 0;
	if (allow)
		exchange_add_header(x, "Allow", allow);
	return refuse_head(inner, allow ? 405 : 404, err);
}

int exchange_begin(struct inner *inner)
{
	struct exchange *x = &inner->x;
	const char *host, *authority = NULL;
	struct err err = ERR_INIT;
	int r;

	x->path = "";
	r = headers_check(&inner->headers, &err);
	if (r == 0)
		r = target_parse(x->ctx, inner->target, &x->path, &authority, &inner->query, &err);
	if (r < 0)
		return refuse_head(inner, 400, &err);
	host = authority ? authority : exchange_header(x, "Host");
	if (!host || !host_is_ours(host, x->server->inner->hosts)) {
		err_set(&err, ERR_USAGE, "this server does not go by the name '%s'; names are allowed by server.hosts", host ? host : "");
		return refuse_head(inner, host ? 421 : 400, &err);
	}
	r = find_route(inner, host, &err);
	if (r < 0)
		return r;
	r = check_query(inner, &err);
	if (r < 0)
		return refuse_head(inner, 400, &err);
	r = check_origin(inner, host, &err);
	if (r < 0)
		return refuse_head(inner, 403, &err);
	r = check_size(inner, &err);
	if (r < 0)
		return refuse_head(inner, 413, &err);
	return 0;
}

bool exchange_more(struct inner *inner, const char *bytes, size_t size)
{
	struct exchange *x = &inner->x;
	size_t max = x->route->body_max ? x->route->body_max : BODY_MAX_DEFAULT, wanted = x->body_size + size;

	if (wanted > max) {
		inner->body_overflow = true;
		x->body_size = wanted;
		return wanted < max * 4;
	}
	if (wanted + 1 > inner->body_room) {
		const char *length = exchange_header(x, "Content-Length");

		inner->body_room = MAX(wanted + 1, inner->body_room * 2);
		if (length && x->body_size == 0)
			inner->body_room = MAX(inner->body_room, MIN((size_t)strtoull(length, NULL, 10), (size_t)65536) + 1);
		inner->body = mem_resize(x->ctx, inner->body, char, inner->body_room);
	}
	memcpy(inner->body + x->body_size, bytes, size);
	x->body_size = wanted;
	inner->body[wanted] = '\0';
	x->body = inner->body;
	return true;
}

/* --- to the handler ------------------------------------------------------------------------------------------------ */

/* A handler may say another status than the table of errors does, by x->status, when it has not answered. */
static void fail_handler(struct inner *inner, const struct err *err)
{
	struct exchange *x = &inner->x;

	if (x->status && x->status != 200 && !x->answer)
		exchange_answer_problem(x, x->status, err, NULL);
	else
		exchange_fail(inner, err);
}

static void handle(struct inner *inner)
{
	struct exchange *x = &inner->x;
	struct err err = ERR_INIT;

	x->status = 200;
	inner->progress = PROGRESS_ANSWERED;
	if (x->route->handle(x, &err) < 0)
		fail_handler(inner, &err);
}

static bool is_about_access(const struct err *err)
{
	return err->code == ERR_UNAUTHENTICATED || err->code == ERR_FORBIDDEN;
}

/* Not known or not permitted. Refusals are written down; on a connection's thread that is for the pool to do: false: it must go there. */
static bool refuse_access(struct inner *inner, const struct err *err)
{
	struct exchange *x = &inner->x;

	if (x->workspace)
		refusal_write(inner, x->workspace, err);
	else if (is_about_access(err) && refusal_is_due(inner, err))
		return false;
	if (x->route->own_errors && is_about_access(err)) {
		x->refused = mem_dup(x->ctx, err, sizeof(*err));
		x->principal = NULL;
		handle(inner);
		return true;
	}
	exchange_fail(inner, err);
	inner->progress = PROGRESS_ANSWERED;
	return true;
}

/* Suspended first: the pool may be done with it before this function returns, and then it is the connection's again. */
static bool to_pool(struct inner *inner)
{
	struct err err = ERR_INIT;

	inner->progress = PROGRESS_AWAY;
	connections_suspend(inner);
	if (pool_add(inner->x.server->inner->pool, inner))
		return false;
	err_set(&err, ERR_UNREACHABLE, "too much work is waiting");
	exchange_add_header(&inner->x, "Retry-After", "1");
	answer_status(inner, 503, &err);
	connections_resume(inner);
	return false;
}

bool exchange_dispatch(struct inner *inner)
{
	struct exchange *x = &inner->x;
	struct err err = ERR_INIT;
	int r;

	if (inner->body_overflow) {
		err_set(&err, ERR_TOO_LARGE, "a body of more than %zu bytes", x->route->body_max ? x->route->body_max : BODY_MAX_DEFAULT);
		answer_status(inner, 413, &err);
		return true;
	}
	if (x->route->kind == ROUTE_WORK)
		return to_pool(inner);
	r = auth_quickly(inner, &err);
	if (r > 0)
		r = auth_permit(inner, &err) < 0 ? -1 : 1;
	if (r == 0 || (r < 0 && !refuse_access(inner, &err)))
		return to_pool(inner);
	if (r > 0)
		handle(inner);
	return true;
}

void exchange_returned(struct inner *inner)
{
	if (inner->progress == PROGRESS_IDENTIFIED)
		handle(inner);
}

void exchange_work(struct inner *inner, struct workspace *workspace)
{
	struct exchange *x = &inner->x;
	struct err err = ERR_INIT;
	int r;

	x->workspace = workspace;
	if (inner->waited_run) {
		operation_refresh(inner);
		idempotency_end(inner, workspace);
		x->workspace = NULL;
		return;
	}
	r = auth_identify(inner, workspace, &err);
	if (r == 0)
		r = auth_permit(inner, &err);
	if (r < 0) {
		(void)refuse_access(inner, &err);
	} else if (x->route->kind != ROUTE_WORK) {
		inner->progress = PROGRESS_IDENTIFIED;
	} else {
		r = idempotency_begin(inner, workspace, &err);
		if (r == 0)
			handle(inner);
		else if (r < 0)
			fail_handler(inner, &err);
		inner->progress = inner->progress == PROGRESS_AWAY ? PROGRESS_ANSWERED : inner->progress;
		idempotency_end(inner, workspace);
	}
	x->workspace = NULL;
}

/* --- the answer ---------------------------------------------------------------------------------------------------- */

void exchange_finish(struct inner *inner)
{
	struct exchange *x = &inner->x;

	if (!x->status)
		x->status = 200;
	if (!inner->stream)
		encoding_apply(inner);
}

void exchange_slim(struct inner *inner)
{
	struct exchange *x = &inner->x;
	void *former = x->ctx;

	(void)talloc_steal(NULL, inner);
	x->ctx = inner;
	x->id = mem_strdup(inner, x->id);
	x->path = mem_strdup(inner, x->path);
	x->type = NULL;
	x->answer = NULL;
	x->body = "";
	inner->target = "";
	inner->body = NULL;
	inner->json = NULL;
	inner->headers = inner->query = inner->params = inner->cookies = inner->out = (struct pairs){ 0 };
	talloc_free(former);
}

void exchange_over(struct inner *inner)
{
	struct exchange *x = &inner->x;
	enum log_level level = x->status >= 400 ? LOG_INFO
						: LOG_DEBUG; /* what went wrong can be found by the id that the client was told */

	if (x->route)
		router_count(x->server->inner->router, x->route, x->status, clock_mono_us() - inner->begun_us);
	if (log_level() <= level) {
		_cleanup_talloc_ void *tmp = mem_context(NULL);

		log_event(level, "request", "id", x->id, "method", x->method ? x->method : "-", "path", x->path, "status",
			mem_printf(tmp, "%d", x->status), "peer", x->peer, "principal", x->principal ? x->principal->name : NULL, "ms",
			mem_printf(tmp, "%.1f", (double)(clock_mono_us() - inner->begun_us) / 1000.0), "code", inner->error_code, NULL);
	}
	auth_release(inner);
	talloc_free(x->ctx);
}
