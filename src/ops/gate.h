/* Four eyes: an operation that changes an environment asks here, once it knows exactly what it is about to do and before its first
 * change. Where the environment wants other people's approval the operation does
 * not act: a request is written down and told of, and the answer says who must do what. When enough have approved (approvals.c), the
 * operation is called again as the one who asked, and only for the very
 * state that was approved. Whoever broke the glass (breakglass.c) needs no approval while it is open. */
#ifndef OPS_GATE_H
#define OPS_GATE_H

#include "ops/operation.h"

/* 0: go on. 1: it waits, *ret is the answer and the handler returns 0. ERR_CHANGED: what was approved is not what would be done now.
 * `hash`: of plan and observed state; `shown`: what the one who asks has seen. */
must_check int op_gate(struct op *op, const struct environment *environment, const char *hash, json_t *shown, const char *reason,
	json_t **ret, struct err *err);
/* What belongs to the request of a run that passed the gate: that its approval is used, in the same transaction, so that it is used once
 * and never for nothing; and, in `data`, by what it went. Adds at most one
 * entry to `entries`. */
void gate_use(struct op *op, const struct environment *environment, const char *run_id, json_t *data, struct entry *entries, size_t *count);

/* How many other people must approve what needs these permissions there; 0: none. */
int64_t approvals_required(const struct environment *environment, permissions needs, bool by_machine);

/* approvals.c: a vote on a request, and when it was the last that was needed, the operation itself. Answers {approval, result}. */
must_check int approval_vote(struct op *op, const char *id, bool approves, const char *reason, json_t **ret, struct err *err);

/* breakglass.c: the open one of the caller in that environment; *ret NULL: none. */
must_check int breakglass_open(struct op *op, const char *environment, const char **ret, struct err *err);

#endif
