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

#define ENGINE_UNDO_ATTEMPTS 3
#define ENGINE_CAPTURE_ATTEMPTS 3
#define ENGINE_OBSERVE_ATTEMPTS 3
#define ENGINE_PARALLEL_MAX 16      /* calls in flight per run */

enum decision_kind {
	DECIDE_CALL,   /* make the call `verb` of `step`; for APPLY and UNDO commit the intent first, unless `again` (it stands already) */
	DECIDE_SEAL,   /* write the snapshot's manifest, then append snapshot.taken */
	DECIDE_NOTIFY, /* append notification.queued and step.ended for `step` together */
	DECIDE_PROBE,  /* run the probes of a health step */
	DECIDE_ASK,    /* append run.waiting for `step` with `question` */
	DECIDE_STOP_CALL, /* cancel: end the call in flight of `step` */
	DECIDE_WAIT,   /* nothing can be done before `until_ms` (wall) or a call ends; 0: only calls and people */
	DECIDE_END     /* append run.ended with `status` */
};

struct decision {
	enum decision_kind kind;
	struct run_step *step;
	enum verb verb;
	int attempt;             /* for APPLY and UNDO */
	bool again;
	int64_t until_ms;
	enum wait_for question;
	enum run_status status;
};

#define ENGINE_DECISIONS_MAX (ENGINE_PARALLEL_MAX + 2)

/* All that may be begun now; at least one. `now_ms`: wall time. The decisions are independent of each other. */
size_t engine_next(const struct run *run, int64_t now_ms, struct decision ret[ENGINE_DECISIONS_MAX]);

/* Delay before attempt n (n >= 2): uniform in [0, min(60 s, 1 s * multiplier^(n-2))], drawn from a hash of run id, step id and n, so that a replay draws the same. Full jitter:
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
int64_t engine_backoff_ms(const char *run_id, const char *step_id, int attempt, double multiplier);

#endif
