/* The difference: one view over code, configuration, flags, schema, data and contracts between what is there and a target; what will change, what will not be reverted, what will be lost
 * (docs/difference.md has the form). Names, types and counts only: values of a configuration are not recorded, and never shown. */
#ifndef OPS_DIFFERENCE_H
#define OPS_DIFFERENCE_H

#include "ops/planning.h"

/* Begins to read what Git tells of the code between the two: in a thread, while drivers check. For a planning with a target; a former beginning is given up. */
void difference_begin(struct op *op, struct planning *planning);
/* The whole; kept in op->ctx. Waits for what was begun, a moment at most. NULL: a saved plan, whose steps say what it does. */
must_check int difference_make(struct op *op, struct planning *planning, json_t **ret, struct err *err);

#endif
