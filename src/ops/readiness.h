/* Readiness: for each retained deployment, could it be rolled back to right now, how long would that take, what would be lost, and if not, why not (docs/readiness.md). Found by the very planning of a
 * rollback, with one look at the environment for all of them. */
#ifndef OPS_READINESS_H
#define OPS_READINESS_H

#include "ops/planning.h"

/* The answer of readiness.show; kept in op->ctx. `targets`: how many deployments, newest first; the last stable one is always among them. */
must_check int readiness_look(struct op *op, struct environment *environment, size_t targets, json_t **ret, struct err *err);

/* What is kept of such an answer: {"ready": how many, "best", "targets": [{"deployment","version","ready","reason"}]}. New reference. */
json_t *readiness_summary(json_t *answer);
/* Is it news, compared with what was kept last (NULL: nothing)? It is when the last ready one vanished or a first one appeared, and when a deployment that was known before became ready or ceased to be; not when a
 * new one joins those that are ready. Pure. */
bool readiness_is_news(json_t *before, json_t *now);
/* Writes down what is news, in one transaction with who is told; sets off an alert when there are deployments and none of them is ready, and ends it when one is. */
must_check int readiness_keep(struct op *op, const struct environment *environment, json_t *answer, bool *ret_news, struct err *err);

/* After a deployment was recorded: can the one before it still be returned to? When it cannot, says so: `unreachable` and a warning in `answer`, an entry, and a word to people. `observed`: what was observed for the
 * record. `allowed`: somebody said that it may be so. */
must_check int readiness_after_record(struct op *op, struct environment *environment, const struct deployment *recorded,
	struct deployment *former, json_t *observed, bool allowed, json_t *answer, struct err *err);

#endif
