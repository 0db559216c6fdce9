/* Health of the server and of what it depends on: /api/health (document S4), /livez, /readyz; docs/monitoring.md. Everything is answered from memory. */
#ifndef SURFACE_HTTP_HEALTH_H
#define SURFACE_HTTP_HEALTH_H

#include "surface/http/server.h"

extern const struct service health_service;
extern const struct route health_routes[];

enum condition { CONDITION_UNKNOWN, CONDITION_HEALTHY, CONDITION_UNHEALTHY };
const char *condition_name(enum condition word); /* "unknown", "healthy", "unhealthy": the words of S4 */

/* Calls `each` with the server itself ("api"), its store ("database") and every dependency of the configuration; `age_ms`: since it was looked at, -1: never. From any thread. */
void health_each(struct server *server, void (*each)(void *user, const char *name, enum condition word, int64_t age_ms), void *user);

#endif
