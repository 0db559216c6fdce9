/* What is known of rehearsals, for others (readiness): the operations themselves are drills.run and its like (drill.c, docs/drill.md). */
#ifndef OPS_DRILL_H
#define OPS_DRILL_H

#include "ops/operation.h"

/* The newest rehearsal of an environment as drills.list tells it, with "ageMs"; *ret NULL: there has been none. Kept in op->ctx. One look-up in the journal. */
must_check int drill_newest(struct op *op, const char *environment, json_t **ret, struct err *err);

#endif
