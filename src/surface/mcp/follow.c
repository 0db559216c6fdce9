/* Following a run that another process or thread carries out: its new entries are read from the journal a few times a second, as the
 * journal is all that the two have in common.
 * Threads: that of the op. */
#include <time.h>

#include "base/clock.h"
#include "runner/runner.h"
#include "surface/mcp/inner.h"

#define LOOK_EVERY_MS      200
#define NOBODY_PATIENCE_MS 20000 /* from the request to the first claim: a process has to start */

struct following {
	struct op *op;
	struct entry_filter filter;
	struct run *run;
	int64_t moved_ms; /* monotonic: when something was seen last, or somebody held it */
};

static int read_new(struct following *f, struct err *err)
{
	struct op *op = f->op;
	struct entry *entries;
	size_t count;
	int r;

	r = store_read(op->workspace->store, op->ctx, &f->filter, &entries, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = f->run ? run_apply(f->run, &entries[i], err) : run_fold(op->ctx, entries, 1, &f->run, err);
		if (r == 0 && op->watch)
			op->watch(op->user, f->run, &entries[i], run_step(f->run, json_str(entries[i].data, "step", "")), -1, NULL);
		f->filter.after_seq = entries[i].seq;
		f->moved_ms = clock_mono_ms();
	}
	return r;
}

/* Does anybody still work on it? Somebody who died is told by the claim; somebody who has not begun yet is given time. */
static int is_left(struct following *f, bool *ret, struct err *err)
{
	struct op *op = f->op;
	const char *holder;
	int r;

	*ret = false;
	if (!f->run)
		return 0;
	r = store_holder(op->workspace->store, op->ctx, runner_claim_name(op->ctx, f->run->environment), &holder, err);
	if (r < 0)
		return r;
	if (holder)
		f->moved_ms = clock_mono_ms();
	*ret = clock_mono_ms() - f->moved_ms > NOBODY_PATIENCE_MS;
	return 0;
}

int mcp_follow(struct op *op, const char *run_id, int64_t wait_ms, bool (*abandoned)(void *user), void *user, struct err *err)
{
	struct following f = { .op = op, .filter = { .run = run_id }, .moved_ms = clock_mono_ms() };
	int64_t until = clock_mono_ms() + wait_ms;
	void *ctx = op->ctx;
	int r;

	for (;;) {
		void *look = mem_context(ctx);
		bool left;

		r = read_new(&f, err);
		op->ctx = look; /* who holds it is asked often, and answered in memory that is given back */
		if (r == 0)
			r = is_left(&f, &left, err);
		op->ctx = ctx;
		talloc_free(look);
		if (r < 0 || left || (f.run && (run_status_ended(f.run->status) || f.run->status == RUN_WAITING)))
			return r;
		if ((abandoned && abandoned(user)) || (wait_ms > 0 && clock_mono_ms() >= until))
			return 0;
		clock_sleep_ms(LOOK_EVERY_MS);
	}
}
