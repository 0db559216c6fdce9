/* How long a rollback will take, from what former ones took. What was never measured is not estimated. Pure; one thread per history. */
#ifndef OPS_ESTIMATE_H
#define OPS_ESTIMATE_H

#include "core/entry.h"
#include "core/plan.h"

/* What is learned from the journal of one environment. */
struct estimates;
struct estimates *estimates_new(const void *ctx);
/* Entries of runs in any order, but the request of a run before what follows it: run.requested, step.ended, snapshot.taken, run.ended. Others, and those of undos, teach nothing. */
void estimates_learn(struct estimates *estimates, const struct entry *entry);

enum estimate_basis {
	ESTIMATE_NONE,  /* no history: nothing can be said */
	ESTIMATE_STEPS, /* steps of these types were measured: their longest chain, and the time before the first */
	ESTIMATE_RUNS,  /* runs of the same steps completed */
};
const char *estimate_basis_name(enum estimate_basis basis); /* "none", "steps", "runs" */

struct estimate {
	enum estimate_basis basis;
	size_t runs;                 /* of RUNS: how many */
	int64_t median_ms, worst_ms; /* request to end */
	const char *missing;         /* of NONE: the type of a step that was never measured; NULL: the plan has no steps */
};
struct estimate estimate_plan(const struct estimates *estimates, const struct plan *plan);

#endif
