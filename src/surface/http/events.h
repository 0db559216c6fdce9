/* Live events: the journal as server-sent events, `GET /api/v1/events` (docs/reference/events.md). */
#ifndef SURFACE_HTTP_EVENTS_H
#define SURFACE_HTTP_EVENTS_H

#include "surface/http/server.h"

#define EVENTS_HEARTBEAT_MS 15000
#define EVENTS_MEMORY_MAX   (8u << 20) /* bytes of frames that are kept for all clients together */

extern const struct service events_service;
extern const struct route events_routes[];

/* For metrics; from any thread. */
struct events_numbers {
	size_t clients;  /* that are connected */
	size_t bytes;    /* of frames in memory */
	uint64_t opened; /* streams since the start */
	uint64_t loads;  /* blocks that were read from the store again */
	int64_t head;    /* newest entry that was handed to clients */
};
struct events_numbers events_numbers(struct server *server);

#endif
