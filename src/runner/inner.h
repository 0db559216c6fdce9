/* What the files of the runner share: the state of one run while it is carried out. Private to src/runner. */
#ifndef RUNNER_INNER_H
#define RUNNER_INNER_H

#include "runner/runner.h"

/* A piece of work that the executor has. */
struct flight {
	uint64_t id;
	struct run_step *step;
	enum verb verb; /* VERB_NONE: a probe of the step */
	bool looking;   /* CAPTURE: the observation that follows a capture which did not say what it saw */
	size_t probe;   /* index in the step's health */
	json_t *target; /* of the request; NULL: none */
	bool halted;    /* told to end */
};

/* What is remembered of the attempt that a step is at, between its calls. Lost with the process; then the step is settled. */
struct memory {
	int64_t begun_ms;   /* monotonic; 0: nothing yet */
	enum err_code code; /* why apply or undo failed */
	const char *message;
	bool retryable;
	json_t *outputs, *logs;
	struct health *health; /* of a step that probes */
};

struct active {
	struct runner *runner;
	void *ctx;
	struct run *run;
	struct claim claim;
	int64_t renewed_ms;       /* monotonic: last successful renewal */
	int64_t renew_after_ms;   /* monotonic: not before, after one that failed */
	int64_t polled_ms;        /* monotonic: last look for entries of others */
	int64_t failing_since_ms; /* monotonic: since when the store fails; 0: it does not */
	int64_t seen_seq;         /* the newest entry that is folded */
	bool unsettled;           /* what was appended last may still be lost with the power */
	unsigned foreign;         /* how many entries of others were folded */
	struct flight flights[2 * ENGINE_PARALLEL_MAX];
	size_t flight_count;
	uint64_t last_id;
	struct memory *memories; /* one per step */
	struct entry *outbox;    /* outcomes to be committed together */
	size_t outbox_count;
	struct work_result *late; /* results that came while a store that fails was waited for */
	size_t late_count;
	int64_t spent_ms[4]; /* in calls, by verb */
};

static inline int64_t active_mono(const struct active *a)
{
	return a->runner->executor->ops->mono_ms(a->runner->executor);
}

static inline int64_t active_wall(const struct active *a)
{
	return a->runner->executor->ops->wall_ms(a->runner->executor);
}

static inline struct memory *active_memory(struct active *a, const struct run_step *step)
{
	return &a->memories[step - a->run->steps];
}

/* journal.c: everything that goes to the journal and comes from it. */
must_check int active_claim(struct active *a, const char *run_id, struct err *err);
/* Renews when it is time. ERR_CONFLICT: lost. With `now`, asks the store in any case: the fence before an act that has no intent of its
 * own. */
must_check int active_keep_claim(struct active *a, bool now, struct err *err);
/* Appends under the claim and folds, with all that others wrote before. Goes through failures of the store; the entries are there exactly
 * once when it returns 0. */
must_check int active_commit(struct active *a, struct entry *entries, size_t count, struct err *err);
/* active_commit for outcomes, on which the next decision follows at once: its commit, or active_settle, makes them durable. Nothing is
 * begun, and nothing waited for, before. */
must_check int active_commit_soon(struct active *a, struct entry *entries, size_t count, struct err *err);
must_check int active_settle(struct active *a, struct err *err);
/* Folds what others wrote; when `due` only if it is time. */
must_check int active_poll(struct active *a, bool due, struct err *err);
/* Waits in the executor; results that come are kept for later. */
must_check int active_pause(struct active *a, int64_t ms, struct err *err);
/* Ends every call in flight, without waiting. */
void active_halt(struct active *a);
struct entry active_entry(struct active *a, const char *kind, json_t *data);

/* calls.c: making calls and what comes of them. */
/* Makes the call; the intent stands already. Never fails for the call's sake: that becomes an outcome. */
must_check int active_call(struct active *a, const struct decision *decision, struct err *err);
must_check int active_result(struct active *a, struct work_result *result, struct err *err);
/* Commits the outcomes that are ready. */
must_check int active_flush(struct active *a, struct err *err);
must_check int active_start(struct active *a, struct work *work, const struct flight *flight, struct err *err);
/* Puts an outcome into the outbox. `observed`, `outputs`, `logs` may be NULL. `code` and `message` only when not done. */
void active_outcome(struct active *a, struct run_step *step, enum verb verb, enum outcome outcome, enum err_code code, const char *message,
	bool retryable, json_t *extra);
bool active_has_flight(const struct active *a, const struct run_step *step);

/* background.c: does the work in a thread and keeps the claim meanwhile. Returns what the work returned, or why the claim was lost. */
must_check int active_in_background(struct active *a, int (*work)(void *user, struct err *err), void *user, struct err *err);

/* health.c: health steps. */
void health_begin(struct active *a, struct run_step *step);
must_check int health_tick(struct active *a, struct err *err);
void health_result(struct active *a, const struct flight *flight, const struct work_result *result);
/* Monotonic time of the next thing to do, or INT64_MAX. */
int64_t health_next_ms(const struct active *a);

#endif
