/* A run as a trace, in OTLP/HTTP JSON (https://opentelemetry.io/docs/specs/otlp/): the run is the root span, each attempt of a step a span
 * below it. Attributes are those of the CI/CD conventions. Pure.
 *
 * Ids are made from the run's id, so a trace that is sent twice is the same trace. */
#ifndef SURFACE_HTTP_OTLP_H
#define SURFACE_HTTP_OTLP_H

#include "core/entry.h"

/* `entries`: those of one run, oldest first, the first run.requested. New reference: an ExportTraceServiceRequest; NULL when the run has
 * not ended. */
json_t *otlp_trace(const void *ctx, const char *project, const struct entry *entries, size_t count);

/* "a=b,c=d%20e" of OTEL_EXPORTER_OTLP_HEADERS as lines "a: b", NULL-terminated; what is no header is left out. */
const char **otlp_headers(const void *ctx, const char *text);

#endif
