/* Metrics for Prometheus: GET /metrics, the text form 0.0.4 (docs/monitoring.md lists them).
 *
 * Names: unship_ and base units; those of the process are called as every client library calls them. Counters count since this process began. */
#ifndef SURFACE_HTTP_METRICS_H
#define SURFACE_HTTP_METRICS_H

#include "surface/http/server.h"

extern const struct service metrics_service;
extern const struct route metrics_routes[];

/* A transaction of this process was committed. From any thread; nothing happens before the service has started. */
void metrics_commit(struct server *server, int64_t took_us);
/* An answer of readiness.show that was looked at by the server itself. From any thread. */
void metrics_readiness(struct server *server, const char *environment, json_t *answer);

#endif
