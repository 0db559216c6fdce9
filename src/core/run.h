/* A run: one execution of a plan, as a fold over its journal entries. Pure: no clock, no files, no processes.
 *
 * What is durable is in the entries; what is only of this moment (which calls are being made) is in the members marked transient, which the runner sets and a fold clears.
 * An intent (step.begun) without an outcome (step.ended) after the fold means: somebody died there. Such a step is settled by observing.
 *
 * Life of a step:   pending -> begun -> done | failed | unknown        (failed with attempts left goes back to pending, not before not_before_ms)
 *                   done, failed, unknown -> undoing -> undone | undo_failed     (when the run is being restored)
 *                   pending -> skipped
 * An undo that failed with attempts left goes back to failed; one whose outcome is not known to unknown, with undo_attempts > 0. Approvals go from pending to done or failed by the answer. */
#ifndef CORE_RUN_H
#define CORE_RUN_H

#include "core/entry.h"
#include "core/plan.h"

enum run_status { RUN_PENDING, RUN_IN_PROGRESS, RUN_WAITING, RUN_COMPLETED, RUN_RESTORED, RUN_FAILED, RUN_REFUSED };
/* "pending", "in_progress", "waiting", "completed", "restored" (failed or cancelled, everything is as before), "failed" (a person is needed), "refused" (nothing was changed). */
const char *run_status_name(enum run_status status);
must_check int run_status_parse(const char *text, enum run_status *ret, struct err *err);
bool run_status_ended(enum run_status status);
int run_status_exit_code(enum run_status status); /* 0 completed, 1 restored, 5 failed, 3 refused, 5 waiting */

enum step_status {
	STEP_PENDING,
	STEP_BEGUN,
	STEP_DONE,
	STEP_FAILED,
	STEP_UNKNOWN,
	STEP_SKIPPED,
	STEP_UNDOING,
	STEP_UNDONE,
	STEP_UNDO_FAILED
};
const char *step_status_name(enum step_status status);

/* What a worker is asked to do for a step. OBSERVE after an apply or undo is the verification; after a crash it is the settling: the same question, "is it there?". */
enum verb { VERB_CAPTURE, VERB_APPLY, VERB_UNDO, VERB_OBSERVE, VERB_NONE };
const char *verb_name(enum verb verb);

enum wait_for { WAIT_NOTHING, WAIT_UNKNOWN, WAIT_APPROVAL };

struct run_step {
	const struct step *step;
	const char *subject; /* steptype.h; NULL: no target, nothing to capture or undo */
	struct run_step *
		previous; /* the step before on the same subject: undoing this one returns to that one's target; NULL: to what was captured */
	bool captures;    /* first step on its subject: it captures */
	bool captured;
	json_t *captured_observation; /* {"version","state"} */
	int capture_failures;
	enum step_status status;
	int attempts, undo_attempts;               /* begun so far */
	bool touched;                              /* an apply was begun: there may be an effect */
	int64_t begun_ms, ended_ms, not_before_ms; /* wall */
	enum wait_for wait_for;                    /* a person's word is waited for */
	bool approved;                             /* as many as it wants have approved */
	const char **approvers;                    /* ids of those who did so far, each once */
	size_t approver_count;
	const char *approved_by; /* their names: "ana, ben" */
	json_t *outputs;         /* object; NULL until done */
	const char *state;       /* of the subject when the step ended: "running", "stopped", ...; NULL */
	enum err_code code;      /* of the last failure */
	const char *message;
	/* transient */
	enum verb calling; /* VERB_NONE: no call is being made. A health step that probes: VERB_APPLY */
	bool stopping;     /* the call was told to end */
	enum verb
		acted; /* VERB_APPLY or VERB_UNDO returned well in this process: observe is the verification. Otherwise a begun step is settled */
	bool lost;   /* its apply or undo ended in this process without an answer: what it did is not known */
	bool absent; /* settled in this process: nothing was done, the same attempt may be made again */
	int observe_failures;
	int64_t observe_not_before_ms; /* monotonic is not known here: wall */
};

struct run {
	const char *id, *environment, *reason, *actor, *undo_of, *from, *to, *plan_hash;
	struct plan *plan;
	json_t *requested; /* data of run.requested, kept */
	json_t *expected;  /* {"component": {"version","state"}}; NULL: nothing is bound */
	json_t *context;   /* {"environment","trigger","triggeredBy","metadata"} for templates */
	enum run_status status;
	json_t *index;          /* id of a step -> its index */
	struct run_step *steps; /* as many as plan->step_count, same order */
	size_t *order;          /* their indices in topological order, lowest index first; `previous` follows it too */
	bool snapshot_taken;
	bool cancelled, restoring; /* restoring: undo what was touched, in reverse */
	const char *failed_step;   /* the first that failed for good, or whose capture did; NULL */
	enum err_code code;        /* the first cause; never overwritten by later ones */
	const char *message;
	bool changed; /* some effect was begun */
	int64_t requested_ms, started_ms, ended_ms;
	int starts;       /* how often a runner took it up */
	const char *boot; /* of the machine, when it was last taken up; NULL: not known */
	json_t *ended;    /* data of run.ended */
};

/* Folds entries of one run, oldest first; the first must be run.requested. ERR_CORRUPT for an entry that cannot follow, with its seq. Everything in ctx. */
must_check int run_fold(const void *ctx, const struct entry *entries, size_t count, struct run **ret, struct err *err);
/* Adds one more entry to a fold; the same rules. The entry's data is kept by the run. Entries of other kinds that name the run (notifications, deployments) are passed over, and so are
 * answers and cancellations that come too late: they are written by others, at any time. */
must_check int run_apply(struct run *run, const struct entry *entry, struct err *err);
struct run_step *run_step(const struct run *run, const char *id); /* NULL */
/* What a restart of the machine may have taken back though its outcome stands in the journal: subjects that run, or were stopped, when the last step on them ended. Ids of these steps, for
 * run.started; new reference. */
json_t *run_steps_lost_with_boot(const struct run *run);
/* How many people an approval step wants. */
int64_t run_step_approvals(const struct run_step *step);
/* For answers and status: P6, with S4's members: {id, planId, environment, status, startTime, endTime, context, steps: [{stepId, name, type, status, startTime, endTime, attempts, error, logs}],
 * currentStep, stepsCompleted, error, waiting}. New reference. `logs` are taken from `entries` when given. */
json_t *run_json(const struct run *run, const struct entry *entries, size_t count);

#endif
