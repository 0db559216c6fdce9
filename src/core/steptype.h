/* Step types: one row each. A row says what parameters the step takes and who does it: a component's driver (named by a parameter), a
 * fixed driver, or the runner
 * itself (notification, health, approval). A new type is a new row in steptype.c (docs/reference/step-types.md lists them for users).
 *
 * Members of "target" that a driver is given, by step type (optional ones in brackets):
 *   deployment     {version, environment, [deploymentId]}
 *   configuration  {[version], [items], [deploymentId]}     version is the step's configVersion, items its configItems
 *   data           {[version], [snapshotId], [tables], [migration], [downMigrations], [deploymentId]}   migration is the step's migrateTo; version is the snapshotId where there is one
 *   service        {action, [version]}      action drain, requeue, resume: done by the driver drain
 *   contract       {version, ...}   traffic {version, to, ...}   cache {[pattern], ...}: whatever else the step says is passed on
 *   feature-flag   {flagKey, targetState}     targetState as written: true, false or the name of a variant
 *   command        {argv, [check], [undo], [dir], [env]}
 *   undo           {run, step, [subject], [parameters]}: what is to be undone, of a former run */
#ifndef CORE_STEPTYPE_H
#define CORE_STEPTYPE_H

#include "core/plan.h"

/* UNDOES: the driver that did the step of a former run. */
enum step_doer { STEP_BY_COMPONENT, STEP_BY_DRIVER, STEP_NOTIFIES, STEP_PROBES, STEP_WAITS, STEP_UNDOES };

struct step_type {
	const char *name, *summary;
	enum step_doer doer;
	const char *component_param; /* "service", "database": the parameter that names the component; for STEP_BY_COMPONENT */
	const char *driver;          /* "flags", "command": for STEP_BY_DRIVER */
	/* STEP_BY_COMPONENT: which side of the component the step acts on, where it is not the component itself: "drain", "requeue". What is captured and
	 * undone is then "drain api", and driver `side_driver` does it on the component's behalf. NULL: always the component itself. */
	const char *(*side)(const json_t *parameters);
	const char *side_driver;
	const char *subject_param; /* STEP_BY_DRIVER: what is captured and undone is one of these ("flagKey"); NULL: the step itself */
	bool open;                 /* takes parameters beyond its fields; they are passed on to the driver */
	unsigned kinds;            /* bit set (1u << enum driver_kind) of drivers that can do it; 0: any */
	const struct field *fields;
	size_t params_size;
	/* Parameters that the table cannot say ("either snapshotId or tables"); adds problems. May be NULL. */
	void (*check)(json_t *parameters, const char *path, struct problems *problems);
	/* What the step is to reach, for the driver: members of "target". `parameters` are expanded. New reference. */
	json_t *(*target)(json_t *parameters);
	const char *const *outputs; /* names for ${steps.ID.outputs.NAME}, NULL-terminated; every driver of the type sets them on apply */
};

extern const struct step_type *const step_types[];   /* ends with NULL */
const struct step_type *step_type(const char *name); /* NULL: unknown */

/* What a step acts on: the unit that is captured before and undone after. "component api", "flag use-new-api", "step clear-cache"; NULL
 * for steps without effect on a
 * target (notification, health, approval). Two steps with one subject act on the same thing. Parameters must not hold a template where the
 * subject is named (plan_read sees to it).
 * An undo step has the subject of the step that it undoes, when its parameters say so, else "step ID" of itself. */
char *step_subject(const void *ctx, const struct step *step);
/* The component that it acts on, or NULL. */
const char *step_component(const struct step *step);
/* Of "drain api": the side, who does it, and the component. False for every other subject. */
struct subject_side {
	char *side;
	const char *driver, *component;
};
bool step_subject_side(const void *ctx, const char *subject, struct subject_side *ret);
/* The component of "component api"; NULL for every other subject. */
const char *step_subject_component(const char *subject);

#endif
