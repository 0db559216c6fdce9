/* The server: `unship serve`. HTTP and TLS on libmicrohttpd with an epoll thread pool; a pool of workers for what may block; threads that carry runs out; and the services beside them
 * (health of the dependencies, journal follower, sinks), each a row of the table in services.c.
 *
 * Life: server_run binds, opens the store, prints the one-time token at the first start, takes up runs that nobody carries out, serves until SIGTERM or SIGINT, then stops gracefully: no new
 * connections, answers in work are finished (at most 10 s), event streams end with a comment that tells clients to come back, runs are interrupted between two journal entries and their
 * claims released, so that another replica or the next start goes on with them. SIGHUP reads the certificate and key again; a pair that does not fit is refused and the old one stays.
 *
 * Threads: a workspace (store connection, executor) per worker, per run and per service; nothing of them is shared. What is shared is in struct server, and each member says how. */
#ifndef SURFACE_HTTP_SERVER_H
#define SURFACE_HTTP_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "surface/http/exchange.h"

/* How the first administrator is made where no one-time token is: on the project's own store, which needs no credential. */
#define SERVER_FIRST_ADMINISTRATOR \
	"in the project's directory `unship people add NAME --grant '*=admin' --password` makes the first administrator; without " \
	"--password, `unship tokens create TOKEN --principal NAME` then makes a token for it"

struct server_options {
	const char *listen; /* "127.0.0.1:8321", "[::1]:0"; NULL: of the project file, or the default */
	const char *dir;    /* project directory */
	bool terminal;      /* somebody looks on: a one-time token may be made and shown */
	/* Told the address when it is bound, and the one-time token (NULL: none): for the terminal only. */
	void (*bound)(void *user, const char *url, const char *token);
	void *user;
};
/* Returns when it was stopped (0), or could not start. ERR_REFUSED for an address that is not loopback without TLS. */
must_check int server_run(const struct catalogue *catalogue, const struct server_options *options, struct err *err);

struct server {
	const struct catalogue *catalogue;
	const char *dir;                    /* for workspace_open */
	const struct project *project;      /* read-only; as at the start */
	const struct server_config *config; /* of the project file; never NULL */
	const char *url;                    /* "http://127.0.0.1:8321" */
	int64_t started_ms;
	atomic_bool stopping;
	struct follower *follower; /* follow.h */
	struct server_inner *inner;
	void *services[16]; /* state of each service, by its row in services.c */
};
/* A workspace for a thread of one's own; close by talloc_free. */
must_check int server_workspace(struct server *server, const void *ctx, struct workspace **ret, struct err *err);

/* A part of the server that works beside requests. Adding one: its file, a line in services.c. */
struct service {
	const char *name;
	/* Starts its threads; returns at once. *ret_state is kept in server->services. */
	int (*start)(struct server *server, void **ret_state, struct err *err);
	/* Told first that it is to stop (may be NULL), then stopped and waited for. */
	void (*stop)(struct server *server, void *state);
};
extern const struct service *const services[]; /* ends with NULL */
void *service_state(struct server *server, const struct service *service);

/* Hands a run to a runner thread of the server; returns at once. One thread per run, at most 64. */
must_check int server_hand_over(struct server *server, const char *environment, const char *run_id, const char *actor, struct err *err);

/* What was answered since the start, by route; for metrics. From any thread. */
#define ROUTE_BUCKETS 11
extern const double route_bucket_seconds[ROUTE_BUCKETS]; /* upper ends */
struct route_numbers {
	uint64_t answers[6];                 /* by the first digit of the status; [0]: the client left before */
	uint64_t buckets[ROUTE_BUCKETS + 1]; /* by duration, not cumulated; the last: longer */
	uint64_t sum_us;
};
void server_each_route(struct server *server, void (*each)(void *user, const struct route *route, const struct route_numbers *numbers),
	void *user);
size_t server_open_connections(struct server *server);

/* The tables of routes: those of this folder's files beside those made of the operations. Adding routes: a table in a file, a line in routes.c. */
extern const struct route *const route_tables[]; /* ends with NULL; each table ends with a row without method */

#endif
