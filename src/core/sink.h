/* Sinks: where entries of the journal are sent to. What the project file says of them (`server.sinks`). Pure. How they are sent:
 * surface/http/sinks.h. */
#ifndef CORE_SINK_H
#define CORE_SINK_H

#include "core/entry.h"
#include "data/problems.h"

#define SINKS_MAX 16

enum sink_format { SINK_CLOUDEVENTS, SINK_CDEVENTS, SINK_OTLP };

struct sink_config {
	const char *name; /* its position in the journal is kept by it */
	const char *url;
	enum sink_format format;
	json_t *token;             /* reference, sent as Authorization: Bearer; NULL */
	const char **environments; /* only entries of these; NULL: all, and those of none */
	const char **kinds;        /* only these, "run.*" too; NULL: all */
	const char *source;        /* who speaks, as a URI; NULL: "/unship/PROJECT" */
};

/* Reads `server.sinks`, a list. `environments`: names, NULL-terminated. Never NULL. */
struct sink_config *sinks_read(const void *ctx, json_t *sinks, const char *const *environments, struct problems *problems,
	size_t *ret_count);
const char *sink_format_name(enum sink_format format);
bool sink_wants(const struct sink_config *sink, const struct entry *entry);

#endif
