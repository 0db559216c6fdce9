/* An exchange: one HTTP request, read whole and checked, and the answer to it. What route handlers work with; nothing of the HTTP library shows here.
 *
 * Where handlers run: a WORK route on a thread of the server's worker pool, where it may block and has a workspace of its own; a QUICK route on the thread that serves connections, where it must
 * answer from memory, at once; a STREAM route like a QUICK one, and then as long as its stream lasts.
 *
 * What the server has done before a handler runs: limits; Host and Origin checked; the path matched; the caller identified and, for routes with a permission, permitted; for a session's unsafe
 * methods the CSRF header checked; for POST the Idempotency-Key honoured (WORK routes). What it does after: problem+json from an error, gzip, ETag and 304, security headers, metrics, log line. */
#ifndef SURFACE_HTTP_EXCHANGE_H
#define SURFACE_HTTP_EXCHANGE_H

#include "core/access.h"
#include "ops/identity.h"
#include "ops/operation.h"

struct server;

struct exchange {
	void *ctx; /* talloc: everything of this exchange */
	struct server *server;
	const char *id; /* "req-...": in the log line, in the header X-Request-Id, in problems as instance */
	const char *method, *path;
	const char *peer; /* address of the client, without port */
	bool secure;      /* came over TLS */
	const struct route *route;
	const char *body; /* 0-terminated; never NULL */
	size_t body_size;
	const struct principal *principal; /* NULL on PUBLIC routes when nobody said who they are */
	const struct session *session;     /* NULL: a token */
	const struct err *refused;         /* routes with own_errors: why there is no principal, when a credential was given or is needed */
	struct workspace *workspace;       /* of this worker thread; NULL but on WORK routes */

	/* The answer. */
	int status; /* 200 unless set */
	const char *type;
	const void *answer; /* in ctx, or static */
	size_t answer_size;
	bool no_etag; /* answers that are never asked for twice */
	void *inner;  /* the server's own */
};

/* NULL when absent. Header names in any case. Values are checked text: no control characters, valid UTF-8. */
const char *exchange_header(const struct exchange *x, const char *name);
const char *exchange_query(const struct exchange *x, const char *name);
const char *exchange_param(const struct exchange *x, const char *name); /* of the route's pattern; decoded */
const char *exchange_cookie(const struct exchange *x, const char *name);
/* All query parameters, for operations: calls `each` in order. */
void exchange_each_query(const struct exchange *x, void (*each)(void *user, const char *name, const char *value), void *user);

/* The body as JSON (an object). ERR_INVALID with line:column, ERR_USAGE (415) for another content type. Kept in ctx. An empty body is an empty object. */
must_check int exchange_body_json(struct exchange *x, json_t **ret, struct err *err);
void exchange_answer_json(struct exchange *x, int status, json_t *answer); /* takes no reference */
void exchange_answer_text(struct exchange *x, int status, const char *type, const char *text);
void exchange_add_header(struct exchange *x, const char *name,
	const char *value); /* copied; control characters are refused by an assertion */
/* RFC 9457; what a handler's error becomes by itself. For those who need another status or more members (`more` may be NULL; no reference is taken). */
void exchange_answer_problem(struct exchange *x, int status, const struct err *err, json_t *more);

/* An op for calling operations in this exchange: workspace, principal as actor, origin, runs handed over to the server's runner threads. WORK routes only. */
struct op exchange_op(struct exchange *x);

/* For `answer` of a route that answers 204 without a body. */
extern const struct shape nothing_shape[];

enum route_kind { ROUTE_WORK, ROUTE_QUICK, ROUTE_STREAM };
enum route_access {
	ACCESS_PUBLIC,    /* anybody; a credential that is given must still be right */
	ACCESS_PRINCIPAL, /* anybody who is known */
	ACCESS_PERMITTED, /* who has `permission` somewhere; the handler (or the operation) checks the environment */
};
struct route {
	const char *method, *pattern; /* "GET", "/api/rollback/status/{id}"; a last segment "{rest*}" takes the rest. NULL ends a table */
	enum route_kind kind;
	enum route_access access;
	enum permission permission;
	int (*handle)(struct exchange *x, struct err *err);
	size_t body_max;                   /* 0: 1 MiB */
	const char *summary;               /* for the OpenAPI document; NULL: not shown there */
	const struct field *fields;        /* its parameters (path, query, body); NULL: none */
	const struct shape *answer;        /* NULL: not described */
	const struct operation *operation; /* set for routes made from the table of operations */
	bool own_errors; /* the handler writes errors in another protocol's form (OFREP, MCP): authentication problems are given to it as x->principal == NULL with x->refused */
	bool signs_in;   /* who comes may bring the cookie of a session that is over: it is not looked at */
	bool web;        /* pages of server.origins may ask it: the headers of cross-origin requests, and their preflight, are answered */
};

/* --- streams ---------------------------------------------------------------------------------------------------------------------------------------------- */
/* An answer without an end. `read` copies what there is, up to `max` bytes, and returns how many; 0: nothing now, wait until stream_wake; -1: end. It is called on the connection's thread and must not
 * block. `closed` is called once, when the client is gone, the server stops, or after -1. */
struct stream_ops {
	long (*read)(void *state, char *buffer, size_t max);
	void (*closed)(void *state);
};
struct stream;
/* When the handler has returned, what is in x->ctx goes: a state that outlives it has a context of its own. The principal stays as long as the stream. */
struct stream *exchange_stream(struct exchange *x, const char *type, const struct stream_ops *ops, void *state);
/* From any thread, until `closed` was called. Cheap when it is awake already. */
void stream_wake(struct stream *stream);

#endif
