/* The engine: which decisions follow from a run's state. Pure and deterministic; the runner carries them out, the simulator runs the same code.
 *
 * Order of a run: capture every subject (in parallel) -> snapshot sealed -> steps in the order of the graph, several at once where it allows -> ended. Nothing is applied before the snapshot is taken.
 * A capture that finds another version or state than run->expected ends the run as refused (ERR_CHANGED): nothing was changed.
 * A step: intent committed, apply, observe (is it there?), outcome committed. Not there: the attempt failed.
 * After a crash (intent, no outcome, nothing acted in this process): observe. There: done. Not there: the same attempt is applied again, with the same key. Cannot be observed
 * (3 times, 1 s apart, or the driver cannot observe): unknown, and a person is asked; never redone blindly.
 * A step that failed for good: policy stop ends the run when the calls in flight are over; continue goes on with what does not need it; restore undoes every touched step in reverse order of the
 * graph, each up to 3 times with back-off; if an undo fails for good the others are still undone, and the run ends as failed. Cancel always restores.
 * A run whose every touched step is undone ends as restored; whose touched steps are all done as completed. */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include "core/run.h"

#define ENGINE_UNDO_ATTEMPTS    3
#define ENGINE_CAPTURE_ATTEMPTS 3
#define ENGINE_OBSERVE_ATTEMPTS 3
#define ENGINE_OBSERVE_PAUSE_MS 1000 /* between them */
#define ENGINE_BACKOFF_BASE_MS  1000
#define ENGINE_BACKOFF_MAX_MS   60000
#define ENGINE_PARALLEL_MAX     16 /* calls in flight per run */

enum decision_kind {
	DECIDE_CALL,   /* make the call `verb` of `step`; for APPLY and UNDO commit the intent first, unless `again` (it stands already) */
	DECIDE_SEAL,   /* write the snapshot's manifest, then append snapshot.taken */
	DECIDE_NOTIFY, /* append notification.queued and step.ended for `step` together */
	DECIDE_PROBE,  /* run the probes of a health step; commit the intent first, unless `again` */
	DECIDE_ASK,    /* append run.waiting for `step` with `question` */
	DECIDE_STOP_CALL, /* cancel: end the call in flight of `step` */
	DECIDE_WAIT,      /* nothing can be done before `until_ms` (wall) or a call ends; 0: only calls and people */
	DECIDE_END        /* append run.ended with `status` */
};

struct decision {
	enum decision_kind kind;
	struct run_step *step;
	enum verb verb;
	int attempt; /* for APPLY and UNDO */
	bool again;
	int64_t until_ms;
	enum wait_for question;
	enum run_status status;
};

#define ENGINE_DECISIONS_MAX (ENGINE_PARALLEL_MAX + 2)

/* All that may be begun now; at least one. `now_ms`: wall time. The decisions are independent of each other. */
size_t engine_next(const struct run *run, int64_t now_ms, struct decision ret[ENGINE_DECISIONS_MAX]);

/* How a call of apply, undo or observe ended. */
struct call_end {
	enum verb verb;
	bool ok;            /* it answered with a result */
	bool answered;      /* ok, or it answered with an error of its own: what it did is known. False: killed, died, stopped */
	enum err_code code; /* when not ok */
	int at_goal;        /* OBSERVE that is ok: 1 there, 0 not there, -1 cannot tell */
};
enum outcome { OUTCOME_NONE, OUTCOME_DONE, OUTCOME_FAILED, OUTCOME_UNKNOWN };
const char *outcome_name(enum outcome outcome); /* "done", "failed", "unknown"; NULL for none */
/* What it means for its step: an outcome to be committed, or OUTCOME_NONE: the step's transient members were set and engine_next says what comes next. An error that a driver reports itself is believed; silence
 * is not: then the target is asked. A verification that cannot tell believes the driver. */
enum outcome engine_outcome(const struct run *run, struct run_step *step, const struct call_end *end, int64_t now_ms);

/* Delay before attempt n (n >= 2): uniform in [0, min(60 s, 1 s * multiplier^(n-2))], drawn from a hash of run id, step id and n, so that a replay draws the same. Full jitter:
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
int64_t engine_backoff_ms(const char *run_id, const char *step_id, int attempt, double multiplier);

#endif
