/* Chores about snapshots (chores.h), each through the operation that does it for people, too, so that what is done here is permitted, journalled and answered like everything else. When one is due is told from the journal's tables:
 * when was the last snapshot taken, when was one verified, when was the last copy made. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "surface/http/chores.h"

#define LOOK_MS  (60 * 1000LL) /* others take snapshots as well, and verify them */
#define RETRY_MS (5 * 60 * 1000LL)

static int call(struct op *op, const char *operation, json_t *input, struct err *err)
{
	json_t *answer = NULL;

	return operation_call(op, operation_find(operation), input, &answer, err);
}

/* Something that is done every `every_ms` (0: never), and was done last at `last_ms` (wall): does it when it is due, and says when to look again. */
static int in_turn(int64_t last_ms, int64_t every_ms, struct op *op, const struct environment *environment,
	int (*work)(struct op *op, const struct environment *environment, struct err *err), int64_t *ret_ms, struct err *err)
{
	int64_t left_ms = last_ms + every_ms - clock_wall_ms();
	int r = 0;

	if (left_ms <= 0) {
		r = work(op, environment, err);
		left_ms = every_ms;
	}
	if (r == 0)
		*ret_ms = MIN(left_ms, MIN(every_ms, (int64_t)LOOK_MS)); /* never longer, wherever the clock has been set to */
	return r;
}

/* ---- in advance ------------------------------------------------------------------------------------------------------------------ */

static int take(struct op *op, const struct environment *environment, struct err *err)
{
	return call(op, "snapshots.create", json_make(op->ctx, "{s:s, s:s}", "environment", environment->name, "reason", "in advance"),
		err);
}

static int advance(struct op *op, unused_arg struct server *server, struct environment *environment, int64_t *ret_ms, struct err *err)
{
	int64_t every_ms = op->workspace->project->snapshots.every_ms, taken_ms = 0;
	struct snapshot_row *rows;
	size_t count;
	int r;

	if (every_ms == 0)
		return 0;
	r = store_snapshots(op->workspace->store, op->ctx, environment->name, &rows, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (text_starts_with(rows[i].id, "snap-"))
			taken_ms = MAX(taken_ms, rows[i].taken_ms);
	return r < 0 ? r : in_turn(taken_ms, every_ms, op, environment, take, ret_ms, err);
}

/* ---- reading again --------------------------------------------------------------------------------------------------------------- */

/* A share of every snapshot, then what is old goes. One that is damaged is an entry and a word in the log, and does not keep the others from being looked at. */
static int read_again(struct op *op, const struct environment *environment, struct err *err)
{
	struct snapshot_row *rows;
	size_t count;
	int r;

	r = store_snapshots(op->workspace->store, op->ctx, environment->name, &rows, &count, err);
	for (size_t i = 0; r == 0 && i < count && !op->interrupted(op->user); i++) {
		if (rows[i].pruned)
			continue;
		r = call(op, "snapshots.verify",
			json_make(op->ctx, "{s:s, s:f}", "id", rows[i].id, "share", op->workspace->project->snapshots.verify_share), err);
		if (r == -ERR_CORRUPT) {
			log_event(LOG_ERROR, "a snapshot is damaged: it is not restored from", "snapshot", rows[i].id, "error", err->text,
				NULL);
			*err = (struct err)ERR_INIT;
			r = 0;
		}
	}
	return r < 0 ? r : call(op, "snapshots.prune", json_make(op->ctx, "{}"), err);
}

static int verify(struct op *op, unused_arg struct server *server, struct environment *environment, int64_t *ret_ms, struct err *err)
{
	int64_t every_ms = op->workspace->project->snapshots.verify_ms, oldest_ms = clock_wall_ms(), verified_ms = 0;
	struct snapshot_row *rows;
	size_t count;
	int r;

	if (every_ms == 0)
		return 0;
	r = store_snapshots(op->workspace->store, op->ctx, environment->name, &rows, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (rows[i].pruned)
			continue;
		oldest_ms = MIN(oldest_ms, rows[i].taken_ms);
		verified_ms = MAX(verified_ms, rows[i].verified_ms);
	}
	/* What was just written was read back then, so the time begins with the oldest; without any, it has not begun. */
	return r < 0 ? r : in_turn(verified_ms ? verified_ms : oldest_ms, every_ms, op, environment, read_again, ret_ms, err);
}

/* ---- elsewhere ------------------------------------------------------------------------------------------------------------------- */

static int send(struct op *op, unused_arg const struct environment *environment, struct err *err)
{
	return call(op, "snapshots.copy", json_make(op->ctx, "{}"), err);
}

/* One copy is of all environments; the first of them stands for it. */
static int copy(struct op *op, unused_arg struct server *server, struct environment *environment, int64_t *ret_ms, struct err *err)
{
	int64_t every_ms = op->workspace->project->snapshots.copy.every_ms;
	struct entry_filter filter = { .kind = ENTRY_SNAPSHOTS_COPIED, .limit = 1, .newest_first = true };
	struct entry *last;
	size_t count;
	int r;

	if (every_ms == 0 || strcmp(environment->name, op->workspace->project->environments[0].name) != 0)
		return 0;
	r = store_read(op->workspace->store, op->ctx, &filter, &last, &count, err);
	return r < 0 ? r : in_turn(count ? last[0].wall_ms : 0, every_ms, op, environment, send, ret_ms, err);
}

const struct chore chore_advance = {
	.name = "a snapshot in advance",
	.lane = CHORES_LONG,
	.retry_ms = RETRY_MS,
	.between_runs = true,
	.work = advance,
};
const struct chore chore_verify = { .name = "verification of snapshots", .lane = CHORES_LONG, .retry_ms = RETRY_MS, .work = verify };
const struct chore chore_copy = { .name = "copy of snapshots", .lane = CHORES_LONG, .retry_ms = RETRY_MS, .work = copy };
