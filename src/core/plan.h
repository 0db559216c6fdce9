/* Plans: steps, saved or generated. The form of the file is fixed (docs/reference/plan-file.md); the steps' parameters are declared per step type in
 * steptype.h. Pure. */
#ifndef CORE_PLAN_H
#define CORE_PLAN_H

#include "core/driver.h"
#include "core/project.h"
#include "data/problems.h"

#define PLAN_STEPS_MAX          10000
#define STEP_TIMEOUT_DEFAULT_MS 300000
#define STEP_TIMEOUT_MAX_MS     (24 * 3600 * 1000)
#define STEP_ATTEMPTS_MAX       100

enum on_failure { ON_FAILURE_RESTORE, ON_FAILURE_STOP, ON_FAILURE_CONTINUE };
const char *on_failure_name(enum on_failure policy);

struct step {
	const char *id, *name, *description, *type;
	json_t *parameters;        /* object, with templates unexpanded */
	int64_t timeout_ms;        /* per attempt */
	int64_t max_attempts;      /* 1: no retry */
	double backoff_multiplier; /* delay before attempt n: full jitter over [0, base * multiplier^(n-2)], base 1 s, at most 60 s */
	size_t *needs;             /* indices of the steps that must have completed first */
	size_t need_count;
	const char *path; /* place in the document: steps[3] */
};

struct plan {
	const char *id, *name, *description, *phase;
	const char **dependencies; /* ids of plans that must have been run before, NULL-terminated */
	int64_t estimated_ms;
	enum on_failure on_failure;
	struct step *steps;
	size_t step_count;
	bool graph; /* some step has `needs`; otherwise strictly in order (needs are then filled in: each needs the one before) */
};

/* Reads a plan; every problem with its place: missing or duplicate ids, unknown types with the nearest, parameters by the type's table (missing, unknown, wrong type), needs of
 * unknown steps, cycles (named: "a -> b -> a"), timeouts of 0 or above the maximum, bad template syntax, unknown template names (context.*, and steps.ID.outputs.* where ID does not come before),
 * more than PLAN_STEPS_MAX steps. Never NULL. Linear in the number of steps and needs. */
struct plan *plan_read(const void *ctx, const struct doc *doc, struct problems *problems);
/* Against an environment: components, drivers that can do the step, probes, channels, recipients; `environment` parameters that name another environment are problems. */
void plan_bind(const struct plan *plan, const struct environment *environment, const struct catalogue *catalogue,
	struct problems *problems);
/* As in the file format; plan_read(plan_json) gives the same plan. New reference. */
json_t *plan_json(const struct plan *plan);
struct step *plan_step(const struct plan *plan, const char *id); /* NULL */
/* A readable runbook in Markdown (C6): what each step does, its limit, what undoes it, what to look at when it fails. */
char *plan_runbook(const void *ctx, const struct plan *plan, const struct environment *environment);

#endif
