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
struct take_back {
	const char *only;      /* just this component; NULL: all */
	const char *reason;    /* NULL: that it is an undo */
	const char *plan_hash; /* ERR_CHANGED unless plan and observed state still have it; NULL: whatever they are */
	bool verify;           /* ask the probes at the end: when they fail, it is taken back */
	bool force;            /* somebody said that they shall not be asked; kept with the run */
	bool dry_run;          /* everything up to the first change */
};
/* Takes a former run back (P12, and the restoring of a snapshot): a run of its own, whose steps each return one step's subject to what the former run captured, in reverse order, and whose last step asks the
 * probes, as that of a rollback does. Shows plan and findings to op->confirm first. ERR_INVALID when the former run touched nothing. */
must_check int run_take_back(struct op *op, const struct environment *environment, const struct run_row *former,
	const struct take_back *wanted, json_t **ret, struct err *err);
struct undo_history {
	const char *undone_by; /* the completed undo of the run that is itself not undone; NULL */
	size_t later;          /* completed runs of the environment after it that changed something and are not undone */
};
must_check int run_undo_history(struct op *op, const struct run_row *run, struct undo_history *ret, struct err *err);
/* For an unfinished run: "carriedOut", does anybody carry it out at this moment, and "holder", who does. */
must_check int run_put_holder(struct op *op, const char *environment, json_t *answer, bool *ret_carried_out, struct err *err);
/* Journals a refusal: who wanted what, and what spoke against it. Returns -ERR_REFUSED with err as it is given, or why it could not be kept. */
must_check int run_refuse(struct op *op, const char *operation, const char *environment, const char *reason, json_t *findings,
	struct err *err);
/* What is known of a run, ended or not: the members of document S2's result, those of S4's status, phases against objectives, steps. Kept in op->ctx. */
must_check int run_answer(struct op *op, const char *run_id, json_t **ret, struct err *err);
/* How the run of such an answer ended, as an error: none (also when it goes on), ERR_RESTORED, ERR_NEEDS_PERSON, ERR_CHANGED or ERR_REFUSED. */
must_check int run_outcome(json_t *answer, struct err *err);

#endif
