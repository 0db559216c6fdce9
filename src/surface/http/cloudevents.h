/* Entries of the journal as CloudEvents 1.0 (https://cloudevents.io), and as CDEvents 0.5 (https://cdevents.dev) inside of CloudEvents.
 * Pure.
 *
 * What an entry becomes has always the same source and ids, so that whoever gets it twice can tell. */
#ifndef SURFACE_HTTP_CLOUDEVENTS_H
#define SURFACE_HTTP_CLOUDEVENTS_H

#include "core/entry.h"

struct telling {
	const char *project, *source; /* source: a URI reference */
};

/* What must be known beside the entry to tell it in CDEvents: the components, {NAME: {version}}, of what was there before and after. For
 * deployment.recorded and a completed run.ended; NULL: not known. */
struct told_change {
	json_t *before, *after;
	bool undone; /* the run took a rollback back */
};

/* New reference: a list of one. */
json_t *cloudevents_of(const void *ctx, const struct telling *telling, const struct entry *entry);
/* New reference: a list of as many as the entry means, often none. */
json_t *cdevents_of(const void *ctx, const struct telling *telling, const struct entry *entry, const struct told_change *change);
/* Does cdevents_of need the change? */
bool cdevents_needs_change(const struct entry *entry);

#endif
