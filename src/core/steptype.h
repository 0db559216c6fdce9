/* Step types: one row each. A row says what parameters the step takes and who does it: a component's driver (named by a parameter), a fixed driver, or the runner
 * itself (notification, health, approval). A new type is a new row. */
#ifndef CORE_STEPTYPE_H
#define CORE_STEPTYPE_H

#include "core/plan.h"

enum step_doer { STEP_BY_COMPONENT, STEP_BY_DRIVER, STEP_NOTIFIES, STEP_PROBES, STEP_WAITS };

struct step_type {
	const char *name, *summary;
	enum step_doer doer;
	const char *component_param; /* "service", "database": the parameter that names the component; for STEP_BY_COMPONENT */
	const char *driver;          /* "flags", "command": for STEP_BY_DRIVER */
	const char *subject_param;   /* STEP_BY_DRIVER: what is captured and undone is one of these ("flagKey"); NULL: the step itself */
	unsigned kinds;              /* bit set (1u << enum driver_kind) of drivers that can do it; 0: any */
	const struct field *fields;
	size_t params_size;
	/* Parameters that the table cannot say ("either snapshotId or tables"); adds problems. May be NULL. */
	void (*check)(const json_t *parameters, const char *path, struct problems *problems);
	/* What the step is to reach, for the driver: members of "target". `parameters` are expanded. New reference. */
	json_t *(*target)(const json_t *parameters);
	const char *const *outputs;  /* names that later steps may use as ${steps.ID.outputs.NAME}, NULL-terminated */
};

extern const struct step_type *const step_types[]; /* ends with NULL */
const struct step_type *step_type(const char *name); /* NULL: unknown */

/* What a step acts on: the unit that is captured before and undone after. "component api", "flag use-new-api", "step clear-cache"; NULL for steps without effect on a
 * target (notification, health, approval). Two steps with one subject act on the same thing. Parameters must not hold a template where the subject is named. */
char *step_subject(const void *ctx, const struct step *step);
/* The component that it acts on, or NULL. */
const char *step_component(const struct step *step);

#endif
