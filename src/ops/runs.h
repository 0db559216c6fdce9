/* Carrying runs out from an operation: requesting one, handing it to the runner with the hooks that an operation adds (snapshot, notifications, what a finished run means for the registry), and telling the outcome. */
#ifndef OPS_RUNS_H
#define OPS_RUNS_H

#include "ops/planning.h"
#include "runner/runner.h"

/* ERR_CONFLICT naming the unfinished run that holds the environment; 0 when there is none. */
must_check int run_ensure_free(struct op *op, const char *environment, struct err *err);
/* Appends run.requested (with the notifications of the start) for `data`; ERR_CONFLICT names the run that holds the environment. */
must_check int run_request(struct op *op, const struct environment *environment, json_t *data, const char **ret_id, struct err *err);
/* Runs or resumes it until it ended or waits. The answer is run_answer's. The error says how it ended: none, ERR_RESTORED, ERR_NEEDS_PERSON, ERR_CHANGED or ERR_REFUSED. */
must_check int run_carry_out(struct op *op, const struct environment *environment, const char *run_id, json_t **ret, struct err *err);
/* Takes a former run back (P12, and the restoring of a snapshot): a run of its own, whose steps each return one step's subject to what the former run captured, in reverse order. `only`: just this
 * component; NULL: all. ERR_INVALID when the former run touched nothing. */
must_check int run_take_back(struct op *op, const struct environment *environment, const struct run_row *former, const char *only,
	const char *reason, json_t **ret, struct err *err);
/* What is known of a run, ended or not: the members of document S2's result, those of S4's status, phases against objectives, steps. Kept in op->ctx. */
must_check int run_answer(struct op *op, const char *run_id, json_t **ret, struct err *err);

#endif
