/* Work in flight: what a service's `drain` in the project file says, and what the driver `drain` is given of it. Pure.
 *
 *     drain:
 *       pause: [bin/worker, pause]      takes no new work from now on
 *       idle: {argv: [bin/worker, idle]}   exit code 0 idle, 1 not yet; or {probe: {type: http, url: ...}}: a probe of its own, because
 * the health of a service that works is no worse than that of an idle one
 *       limit: 60s
 *       onLimit: fail                   or continue
 *       requeue: {queues: [jobs]}       components; or {argv: [...]}: what is left in the service's hands goes back
 *       resume: [bin/worker, resume]    takes new work again */
#ifndef CORE_DRAIN_H
#define CORE_DRAIN_H

#include "core/project.h"

struct drain_idle {
	json_t *probe;
	const char **argv;
};
struct drain_requeue {
	const char **queues, **argv;
};
struct drain_config {
	const char **pause, **resume;
	struct drain_idle idle;
	struct drain_requeue requeue;
	int64_t every_ms, limit_ms;
	const char *on_limit; /* "fail", "continue" */
	const char *dir;
	json_t *env;
	const struct probe_config *probe; /* that of `idle`, read; NULL */
};
extern const struct field drain_fields[];

#define DRAIN_DRIVER       "drain"
#define DRAIN_REST_MS      30000    /* of a drain's step beside the wait: for its programs */
#define DRAIN_QUEUES_FIELD "queues" /* parameter that a driver has whose components can be in requeue.queues */

bool drain_requeues(const struct drain_config *drain);
/* Does it fit the component, and are its queues there? Adds problems. */
void drain_check(const struct environment *environment, const struct component *component, const struct catalogue *catalogue,
	struct problems *problems);
/* Configuration of the driver for one service: {"side": "drain"|"requeue", "drain": as written, "service": its component, "probe": {...},
 * "queues": {NAME: component}}. Kept in ctx. */
json_t *drain_driver_config(const void *ctx, const struct environment *environment, const struct component *component, const char *side);

#endif
