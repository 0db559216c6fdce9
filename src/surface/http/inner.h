/* What the files of the server share; nothing here is for handlers (exchange.h) or services (server.h).
 *
 * The way of an exchange: connection.c reads its head (exchange_begin: everything that can be said without body or store) and its body, then gives it to exchange_dispatch. That answers it at once, or hands
 * it to the pool (exchange_work: identify, permit, handle), which gives it back by connection_resume. Whatever the way, exchange_finish makes the answer ready to be sent. */
#ifndef SURFACE_HTTP_INNER_H
#define SURFACE_HTTP_INNER_H

#include <pthread.h>

#include "surface/http/server.h"

struct pair {
	const char *name, *value;
};
struct pairs {
	struct pair *list;
	size_t count;
};
void pairs_add(const void *ctx, struct pairs *pairs, const char *name, const char *value);
const char *pairs_find(const struct pairs *pairs, const char *name);          /* exactly */
const char *pairs_find_any_case(const struct pairs *pairs, const char *name); /* header names */

#define HEADERS_MAX       64
#define QUERY_MAX         128
#define PATH_SEGMENTS_MAX 32
#define BODY_MAX_DEFAULT  ((size_t)1 << 20)

/* How far an exchange is. */
enum progress {
	PROGRESS_READING,    /* its body comes in */
	PROGRESS_AWAY,       /* with the pool */
	PROGRESS_PARKED,     /* waits for a run (runs.c); then it comes to the pool once more */
	PROGRESS_IDENTIFIED, /* back from the pool, which has found out who calls: the handler of a QUICK or STREAM route comes next */
	PROGRESS_ANSWERED,   /* the answer stands in it */
};

struct inner {
	struct exchange x; /* first */
	struct pairs headers, query, params, cookies, out;
	bool cookies_read;
	const char *target; /* as sent */
	char *body;
	size_t body_room;
	bool body_overflow;
	enum progress progress;
	bool close; /* the connection ends with this answer */
	struct stream *stream;
	json_t *json;                  /* the body, once read */
	const struct credential *held; /* auth.c: keeps principal and session alive */
	bool from_session;
	int64_t begun_us;
	struct idempotent *idempotent;
	const char *waited_run; /* Prefer: wait: its run has ended, or the time is over; the answer is made anew */
	json_t *waited_within;  /* the answer whose `result` that run is (an approval that let it begin); NULL: the run is the answer */
	int64_t wait_until_ms;
	const char *error_code; /* of a problem answer: "not-found" */
	void *connection;       /* of the library */
	void *peer_state;       /* connection.c */
	struct head *head;      /* the same */
	struct inner *next;     /* in the pool's queue */
};
#define INNER(x_) ((struct inner *)(x_))

/* --- exchange.c ---------------------------------------------------------------------------------------------------- */
struct inner *exchange_new(struct server *server, const char *target);
/* The head is complete: method, headers, secure and peer are set. 0: read the body; else the exchange is answered. */
int exchange_begin(struct inner *inner);
/* A piece of the body. False: far more than may be; cut the connection. */
bool exchange_more(struct inner *inner, const char *bytes, size_t size);
/* True: it is answered. False: it was suspended, and comes back (exchange_returned). */
bool exchange_dispatch(struct inner *inner);
/* Back from the pool, on the connection's thread. */
void exchange_returned(struct inner *inner);
/* On a worker. */
void exchange_work(struct inner *inner, struct workspace *workspace);
void exchange_finish(struct inner *inner);
/* A stream has begun, and may last for days: what only its beginning needed is given back. Who calls, and what the log line tells, stays. */
void exchange_slim(struct inner *inner);
/* An error becomes the answer. */
void exchange_fail(struct inner *inner, const struct err *err);
void exchange_over(struct inner *inner); /* log line, statistics; then freed */

/* --- text.c: parsers of what comes from outside; pure -------------------------------------------------------------- */
/* Splits "/a/b%20c?x=1" into a decoded path and query parameters. ERR_USAGE says what is wrong. */
must_check int target_parse(const void *ctx, const char *target, const char **ret_path, const char **ret_authority, struct pairs *ret_query,
	struct err *err);
must_check int cookies_parse(const void *ctx, const char *header, struct pairs *ret, struct err *err);
/* Names, values, duplicates, Content-Length beside Transfer-Encoding. */
must_check int headers_check(const struct pairs *headers, struct err *err);
struct listen_address {
	char host[64]; /* numeric, without brackets */
	uint16_t port;
	bool v6, loopback;
};
must_check int listen_parse(const char *text, struct listen_address *ret, struct err *err);
/* "gzip;q=0.5, *" and "gzip" -> true. */
bool accepts_coding(const char *header, const char *coding);
/* `"a", W/"b"` or `*` against an entity tag, weakly. */
bool etag_matches(const char *header, const char *etag);
/* Is `host` (with or without port) one that this server goes by? */
bool host_is_ours(const char *host, const char *const *names);
/* "wait=30" of a Prefer header; 0: none. */
int64_t prefer_wait_ms(const char *header);
/* The key inside quotes, or the bare one; NULL: not one. */
const char *idempotency_key_parse(const void *ctx, const char *header);

/* --- routes.c ------------------------------------------------------------------------------------------------------ */
struct router;
struct router *router_new(const void *ctx, const struct route *const *tables);
/* The route, or ERR_NOT_FOUND, or ERR_USAGE with *ret_allow set ("GET, POST"). Fills params. */
must_check int router_match(const struct router *router, const void *ctx, const char *method, const char *path, const struct route **ret,
	struct pairs *ret_params, const char **ret_allow, struct err *err);
void router_each(const struct router *router, void (*each)(void *user, const struct route *route), void *user);
/* operations.c: a table made of `operations`, in ctx. */
const struct route *operation_routes(const void *ctx);
/* Why a field cannot be given over HTTP; false: it can. */
bool operation_field_is_local(const struct field *field);
bool operation_is_offered(const struct operation *operation);
bool run_is_over(json_t *answer); /* an answer that tells of a run which has ended, or of none */
/* The answer of an exchange that has waited for its run. */
void operation_refresh(struct inner *inner);
/* Counts an answer; read by router_each_count. */
void router_count(struct router *router, const struct route *route, int status, int64_t duration_us);

/* --- auth.c, refusals.c -------------------------------------------------------------------------------------------- */
struct auth;
struct auth *auth_new(const void *ctx);
/* Tries without the store. 1: known (or nobody, on a PUBLIC route), 0: the store must be asked, negative: refused. */
int auth_quickly(struct inner *inner, struct err *err);
must_check int auth_identify(struct inner *inner, struct workspace *workspace, struct err *err);
/* Permission of the route, CSRF. */
must_check int auth_permit(struct inner *inner, struct err *err);
void auth_release(struct inner *inner);
void auth_forget(struct server *server, const char *credential_id); /* NULL: all */
/* The cookie of a session that has just begun. */
void auth_set_cookie(struct exchange *x, const struct session *session);
extern const struct route auth_routes[];

struct refusals;
struct refusals *refusals_new(const void *ctx);
/* Is this one to be written now? `take`: it will be; otherwise it is only counted when it will not. *ret_count: how many like it, with this one, since the last that was written. */
bool refusals_count(struct refusals *refusals, const char *key, int64_t now_ms, bool take, uint64_t *ret_count);
/* Counts a refusal of this exchange; false: one like it was written within the minute. */
bool refusal_due(struct inner *inner, const char *environment, const struct err *err, uint64_t *ret_count);
/* Appends ENTRY_REFUSED unless one like it was written within the minute. */
void refusal_write(struct inner *inner, struct workspace *workspace, const struct err *err);
bool refusal_is_due(struct inner *inner, const struct err *err);

/* --- idempotency.c ------------------------------------------------------------------------------------------------- */
/* 0: carry it out (inner->idempotent is set when there is a key); 1: it is answered already. */
must_check int idempotency_begin(struct inner *inner, struct workspace *workspace, struct err *err);
void idempotency_end(struct inner *inner, struct workspace *workspace);

/* --- problem.c, encoding.c ----------------------------------------------------------------------------------------- */
json_t *problem_json(const struct inner *inner, int status, const struct err *err, json_t *more); /* new reference */
void encoding_apply(struct inner *inner);                                                         /* ETag and 304, gzip */

/* --- openapi.c ----------------------------------------------------------------------------------------------------- */
struct openapi;
struct openapi *openapi_new(const void *ctx);
extern const struct route openapi_routes[];

/* --- connection.c -------------------------------------------------------------------------------------------------- */
struct connections;
must_check int connections_start(struct server *server, const struct listen_address *address, struct connections **ret, uint16_t *ret_port,
	struct err *err);
void connections_suspend(struct inner *inner); /* on its thread: before it is given to another */
void connections_resume(struct inner *inner);  /* from any thread: the exchange is answered or identified */
must_check int connections_reload(struct connections *connections, struct err *err);
/* No new connections; streams are told to end. */
void connections_quiesce(struct connections *connections);
size_t connections_busy(struct connections *connections); /* exchanges that have begun and are not over, without streams */
size_t connections_streams(struct connections *connections);
size_t connections_open(struct connections *connections);
/* Cuts those whose head or body is overdue. True: there are some to look after. */
bool connections_tick(struct connections *connections, int64_t now_ms);
void connections_stop(struct connections *connections);

/* --- pool.c -------------------------------------------------------------------------------------------------------- */
struct pool;
must_check int pool_start(struct server *server, size_t threads, size_t queue_max, struct pool **ret, struct err *err);
bool pool_add(struct pool *pool, struct inner *inner); /* false: full */
/* Waits until all are idle, at most until then (monotonic); false: some are not. */
bool pool_drain(struct pool *pool, int64_t until_ms);
void pool_stop(struct pool *pool);

/* --- runs.c -------------------------------------------------------------------------------------------------------- */
struct runs;
struct runs *runs_new(struct server *server);
/* Takes up what nobody carries out. */
must_check int runs_take_up(struct runs *runs, struct err *err);
/* Keeps the exchange until the run has ended or waits for a person, at most until its time; it then goes back to the pool and belongs to it. False: nobody here carries the run out. */
bool runs_wait(struct runs *runs, struct inner *inner);
/* Gives exchanges back whose time is over. Next time to look; INT64_MAX: none. */
int64_t runs_tick(struct runs *runs, int64_t now_ms);
void runs_interrupt(struct runs *runs);
void runs_stop(struct runs *runs); /* waits for the threads */

struct server_inner {
	struct connections *connections;
	struct pool *pool;
	struct router *router;
	struct auth *auth;
	struct refusals *refusals;
	struct runs *runs;
	struct openapi *openapi;
	const char **hosts;  /* names that a Host header may hold */
	int wake_fd;         /* the main thread looks again */
	atomic_bool hurried; /* the time for finishing answers is over */
};
void server_wake(struct server *server); /* the main thread has something to look after */

#endif
