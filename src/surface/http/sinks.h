/* Sinks: the journal as it grows, sent to other programs: CloudEvents and CDEvents to those of server.sinks, traces of runs to an
 * OpenTelemetry collector (docs/hooks.md). */
#ifndef SURFACE_HTTP_SINKS_H
#define SURFACE_HTTP_SINKS_H

#include "surface/http/server.h"

extern const struct service sinks_service;

struct sink_numbers {
	bool healthy;                        /* the last try went well, or there was none yet */
	int64_t position;                    /* entry that it needs no more */
	uint64_t delivered, refused, failed; /* entries that arrived and that it will not take; tries that failed */
};
/* For metrics. From any thread. */
void sinks_each(struct server *server, void (*each)(void *user, const char *name, const struct sink_numbers *numbers), void *user);

#endif
