/* A finding: the result of one safety check. Errors block a run, warnings are kept with it. */
#ifndef CORE_FINDING_H
#define CORE_FINDING_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ERROR };

struct finding {
	const char *name; /* stable, snake_case: "target_exists", "schema_compatibility" */
	bool passed;
	enum severity severity; /* what it weighs when it has not passed */
	const char *component;  /* NULL: the whole environment */
	const char *message;    /* what was found, in a sentence */
	json_t *evidence;       /* object or NULL */
};

struct findings {
	struct finding *list;
	size_t count, room;
};

/* Adds a finding; strings are copied into the list's tree, evidence gets a new reference (may be NULL). */
struct findings *findings_new(const void *ctx);
void findings_add(struct findings *findings, const char *name, bool passed, enum severity severity, const char *component, json_t *evidence,
	const char *format, ...) printf_like(7, 8);
size_t findings_blocking(const struct findings *findings); /* errors that have not passed */
json_t *findings_json(const struct findings *findings);    /* new reference: [{name, passed, severity, component, message, evidence}] */
/* What blocks first, then warnings, then words, then what has passed; each in the order in which it was found. */
void findings_sort(struct findings *findings);
/* Names of those that block, each once: what `force` overrides. New reference, never NULL. */
json_t *findings_blocking_names(const struct findings *findings);
/* Reads what a driver's check answered; unknown severities count as error; malformed entries are ERR_DRIVER. */
must_check int findings_read(struct findings *findings, const char *component, json_t *array, struct err *err);
const char *severity_name(enum severity severity); /* "info", "warning", "error" */

#endif
