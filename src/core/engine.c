/* The engine: decisions from a run's state. See engine.h for the rules and docs/engine.md for the story.
 *
 * engine_next goes through the phases (capture, forward, restoring) and collects what may begin now in a small board. All orders come
 * from the run's topological order; a step on the same subject as another one also
 * waits for that one (`previous`), so a target never gets two calls at once. Pure: no clock, no memory of its own; any thread. */
#include "core/engine.h"

#include "core/steptype.h"
#include "data/hash.h"

/* The decisions so far, and what is waited for meanwhile. */
struct board {
	const struct run *run;
	struct decision *list;
	size_t count;
	size_t in_flight;
	int64_t now_ms, until_ms; /* until_ms 0: nothing has a time */
};

static struct decision *add(struct board *board, enum decision_kind kind, struct run_step *step)
{
	struct decision *decision;

	if (board->count >= ENGINE_DECISIONS_MAX - 1)
		return NULL;
	decision = &board->list[board->count++];
	*decision = (struct decision){ .kind = kind, .step = step, .verb = VERB_NONE };
	return decision;
}

/* Room for one more call. */
static bool has_room(const struct board *board)
{
	return board->in_flight < ENGINE_PARALLEL_MAX;
}

static void add_call(struct board *board, struct run_step *step, enum verb verb, int attempt, bool again)
{
	struct decision *decision = has_room(board) ? add(board, DECIDE_CALL, step) : NULL;

	if (!decision)
		return;
	board->in_flight++;
	decision->verb = verb;
	decision->attempt = attempt;
	decision->again = again;
}

/* Is it time? When not, the board remembers until when to wait. A time further away than any pause can be means that the clock was set
 * back: then it is time. */
static bool is_due(struct board *board, int64_t not_before_ms)
{
	if (not_before_ms <= board->now_ms || not_before_ms - board->now_ms > ENGINE_BACKOFF_MAX_MS)
		return true;
	if (!board->until_ms || not_before_ms < board->until_ms)
		board->until_ms = not_before_ms;
	return false;
}

static void add_wait(struct board *board)
{
	struct decision *decision = &board->list[board->count++];

	*decision = (struct decision){ .kind = DECIDE_WAIT, .verb = VERB_NONE, .until_ms = board->until_ms };
}

static void add_end(struct board *board, enum run_status status)
{
	struct decision *decision = add(board, DECIDE_END, NULL);

	if (decision)
		decision->status = status;
}

static bool is_health(const struct run_step *step)
{
	return step_type(step->step->type)->doer == STEP_PROBES;
}

/* A step whose intent stands and that nobody works on: ask what is there, or make the same attempt again when it is known that nothing
 * was done. */
static void settle(struct board *board, struct run_step *step, enum verb verb, bool may_repeat)
{
	if (step->calling != VERB_NONE)
		return;
	if (step->absent && may_repeat && step->acted == VERB_NONE)
		add_call(board, step, verb, verb == VERB_UNDO ? step->undo_attempts : step->attempts, true);
	else if (is_due(board, step->observe_not_before_ms))
		add_call(board, step, VERB_OBSERVE, verb == VERB_UNDO ? step->undo_attempts : step->attempts, false);
}

/* A cancelled run ends what it is doing in the forward direction; questions about the state (observe) may finish. */
static void stop_calls(struct board *board)
{
	for (size_t i = 0; i < board->run->plan->step_count; i++) {
		struct run_step *step = &board->run->steps[i];

		if ((step->calling == VERB_APPLY || step->calling == VERB_CAPTURE) && !step->stopping &&
			!add(board, DECIDE_STOP_CALL, step))
			return;
	}
}

/* Nothing is applied yet. */
static void next_capture(struct board *board)
{
	const struct run *run = board->run;
	bool complete = true;

	if (run->code) {
		if (!board->in_flight)
			add_end(board, run->cancelled ? RUN_RESTORED : RUN_REFUSED);
		return;
	}
	for (size_t i = 0; i < run->plan->step_count; i++) {
		struct run_step *step = &run->steps[run->order[i]];

		if (!step->captures || step->captured)
			continue;
		complete = false;
		if (step->calling == VERB_NONE && is_due(board, step->not_before_ms))
			add_call(board, step, VERB_CAPTURE, step->capture_failures + 1, false);
	}
	if (complete)
		add(board, DECIDE_SEAL, NULL);
}

static bool is_ready(const struct run *run, const struct run_step *step)
{
	if (step->status != STEP_PENDING || (step->previous && step->previous->status != STEP_DONE))
		return false;
	for (size_t i = 0; i < step->step->need_count; i++)
		if (run->steps[step->step->needs[i]].status != STEP_DONE)
			return false;
	return true;
}

/* Begins what is ready. *ret_question: the first approval that is ready; it is asked when there is nothing else to do, because a run that
 * asks rests. */
static void begin_ready(struct board *board, struct run_step **ret_question)
{
	const struct run *run = board->run;

	for (size_t i = 0; i < run->plan->step_count; i++) {
		struct run_step *step = &run->steps[run->order[i]];
		enum step_doer doer;
		struct decision *decision;

		if (!is_ready(run, step) || !is_due(board, step->not_before_ms))
			continue;
		doer = step_type(step->step->type)->doer;
		if (doer == STEP_WAITS) {
			if (!*ret_question)
				*ret_question = step;
		} else if (doer == STEP_NOTIFIES) {
			decision = add(board, DECIDE_NOTIFY, step);
			if (decision)
				decision->attempt = step->attempts + 1;
		} else if (doer == STEP_PROBES) {
			decision = has_room(board) ? add(board, DECIDE_PROBE, step) : NULL;
			if (decision) {
				board->in_flight++;
				decision->verb = VERB_APPLY;
				decision->attempt = step->attempts + 1;
			}
		} else {
			add_call(board, step, VERB_APPLY, step->attempts + 1, false);
		}
	}
}

static void ask(struct board *board, struct run_step *step, enum wait_for question)
{
	struct decision *decision;

	if (step->wait_for != WAIT_NOTHING)
		return;
	decision = add(board, DECIDE_ASK, step);
	if (decision)
		decision->question = question;
}

static void settle_begun(struct board *board)
{
	const struct run *run = board->run;

	for (size_t i = 0; i < run->plan->step_count; i++) {
		struct run_step *step = &run->steps[run->order[i]];

		if (step->status == STEP_UNDOING) {
			settle(board, step, VERB_UNDO, true);
		} else if (step->status == STEP_BEGUN && step->subject) {
			settle(board, step, VERB_APPLY, !run->restoring);
		} else if (step->status == STEP_BEGUN && is_health(step) && step->calling == VERB_NONE && !run->restoring &&
			has_room(board)) {
			struct decision *decision = add(board, DECIDE_PROBE, step);

			if (!decision)
				return;
			board->in_flight++;
			decision->verb = VERB_APPLY;
			decision->attempt = step->attempts;
			decision->again = true;
		}
	}
}

static bool any_touched(const struct run *run)
{
	for (size_t i = 0; i < run->plan->step_count; i++)
		if (run->steps[i].touched)
			return true;
	return false;
}

static void next_forward(struct board *board)
{
	struct run_step *unknown = NULL, *question = NULL;
	const struct run *run = board->run;
	bool failed = false;

	settle_begun(board);
	for (size_t i = 0; i < run->plan->step_count; i++) {
		struct run_step *step = &run->steps[run->order[i]];

		failed |= step->status == STEP_FAILED;
		if (step->status == STEP_UNKNOWN && !unknown)
			unknown = step;
	}
	/* While it is not known what a step did, nothing new is built on it. */
	if (!unknown && !(failed && run->plan->on_failure == ON_FAILURE_STOP))
		begin_ready(board, &question);
	if (board->count || board->in_flight || board->until_ms)
		return;
	if (failed && run->plan->on_failure == ON_FAILURE_STOP)
		add_end(board, any_touched(run) ? RUN_FAILED : RUN_RESTORED);
	else if (unknown)
		ask(board, unknown, WAIT_UNKNOWN);
	else if (question)
		ask(board, question, WAIT_APPROVAL);
	else if (failed)
		add_end(board, any_touched(run) ? RUN_FAILED : RUN_RESTORED);
	else
		add_end(board, RUN_COMPLETED);
}

/* Something of it may still stand: it must be undone before what it was built on. */
static bool is_in_the_way(const struct run_step *step)
{
	return step->touched && step->status != STEP_UNDONE && step->status != STEP_UNDO_FAILED;
}

/* Reverse order of the graph: a step may be undone when nothing that came after it, directly or through others, is in the way. */
static void begin_undo(struct board *board, struct run_step **ret_unknown)
{
	const struct run *run = board->run;
	bool *blocked = mem_array(run, bool, run->plan->step_count);

	for (size_t i = run->plan->step_count; i-- > 0;) {
		size_t index = run->order[i];
		struct run_step *step = &run->steps[index];
		bool blocks = blocked[index] || is_in_the_way(step);
		bool asks = step->status == STEP_UNKNOWN && step->undo_attempts > 0;

		for (size_t n = 0; n < step->step->need_count; n++)
			blocked[step->step->needs[n]] |= blocks;
		if (step->previous)
			blocked[step->previous - run->steps] |= blocks;
		if (asks && !*ret_unknown)
			*ret_unknown = step;
		if (!asks && !blocked[index] && is_in_the_way(step) && step->status != STEP_BEGUN && step->status != STEP_UNDOING &&
			is_due(board, step->not_before_ms))
			add_call(board, step, VERB_UNDO, step->undo_attempts + 1, false);
	}
	talloc_free(blocked);
}

static void next_restoring(struct board *board)
{
	struct run_step *unknown = NULL;
	const struct run *run = board->run;
	bool failed = false;

	settle_begun(board);
	begin_undo(board, &unknown);
	if (board->count || board->in_flight || board->until_ms)
		return;
	if (unknown) {
		ask(board, unknown, WAIT_UNKNOWN);
		return;
	}
	for (size_t i = 0; i < run->plan->step_count; i++)
		failed |= run->steps[i].status == STEP_UNDO_FAILED;
	add_end(board, failed ? RUN_FAILED : RUN_RESTORED);
}

size_t engine_next(const struct run *run, int64_t now_ms, struct decision ret[ENGINE_DECISIONS_MAX])
{
	struct board board = { .run = run, .list = ret, .now_ms = now_ms };

	for (size_t i = 0; i < run->plan->step_count; i++)
		board.in_flight += run->steps[i].calling != VERB_NONE;
	if (!run_status_ended(run->status)) {
		if (run->cancelled)
			stop_calls(&board);
		if (!run->snapshot_taken)
			next_capture(&board);
		else if (run->restoring)
			next_restoring(&board);
		else
			next_forward(&board);
	}
	if (!board.count || board.in_flight || board.until_ms)
		add_wait(&board);
	return board.count;
}

const char *outcome_name(enum outcome outcome)
{
	static const char *const names[] = { NULL, "done", "failed", "unknown" };

	assert_always((size_t)outcome < ARRAY_SIZE(names));
	return names[outcome];
}

static enum outcome after_act(struct run_step *step, const struct call_end *end)
{
	step->absent = false;
	step->observe_failures = 0;
	step->observe_not_before_ms = 0;
	if (end->ok)
		step->acted = end->verb;
	else if (end->answered)
		return OUTCOME_FAILED;
	else
		step->lost = true;
	return OUTCOME_NONE;
}

static enum outcome after_observe(const struct run *run, struct run_step *step, const struct call_end *end, int64_t now_ms)
{
	bool acted = step->acted != VERB_NONE;

	if (!end->ok && !(end->answered && end->code == ERR_UNSUPPORTED)) {
		step->observe_not_before_ms = now_ms + ENGINE_OBSERVE_PAUSE_MS;
		return ++step->observe_failures >= ENGINE_OBSERVE_ATTEMPTS ? OUTCOME_UNKNOWN : OUTCOME_NONE;
	}
	if (!end->ok || end->at_goal < 0)
		return acted ? OUTCOME_DONE : OUTCOME_UNKNOWN;
	if (end->at_goal)
		return OUTCOME_DONE;
	if (acted || step->lost || (run->restoring && step->status == STEP_BEGUN))
		return OUTCOME_FAILED;
	step->absent = true;
	return OUTCOME_NONE;
}

enum outcome engine_outcome(const struct run *run, struct run_step *step, const struct call_end *end, int64_t now_ms)
{
	step->calling = VERB_NONE;
	step->stopping = false;
	return end->verb == VERB_OBSERVE ? after_observe(run, step, end, now_ms) : after_act(step, end);
}

int64_t engine_backoff_ms(const char *run_id, const char *step_id, int attempt, double multiplier)
{
	_cleanup_talloc_ char *seed = mem_printf(NULL, "%s/%s/%d", run_id, step_id, attempt);
	double ceiling = ENGINE_BACKOFF_BASE_MS;
	char hash[HASH_HEX_SIZE];
	uint64_t draw;

	for (int n = 2; n < attempt && ceiling < ENGINE_BACKOFF_MAX_MS; n++)
		ceiling *= multiplier;
	ceiling = MIN(ceiling, (double)ENGINE_BACKOFF_MAX_MS);
	hash_sha256_hex(seed, strlen(seed), hash);
	hash[12] = '\0'; /* 48 bits are drawn */
	draw = strtoull(hash, NULL, 16);
	return (int64_t)(ceiling * ((double)draw / (double)(1ull << 48)));
}
