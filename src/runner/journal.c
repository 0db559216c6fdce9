/* The runner and the journal: the claim, appends that survive a failing store, and what others write into the run.
 *
 * An append that failed may have happened. Entries therefore get their ids here, before the first try: reading the journal again tells
 * which case it was, and only entries that are not there are appended again.
 * Entries are always folded in the order of the journal: when the sequence numbers show a gap, somebody wrote in between, and the gap is
 * read first. One thread. */
#include "runner/inner.h"

#include <string.h>

#include "base/id.h"
#include "data/json.h"

#define POLL_MS        500
#define STORE_RETRY_MS 100

char *runner_claim_name(const void *ctx, const char *environment)
{
	return mem_printf(ctx, "environment:%s", environment);
}

struct entry active_entry(struct active *a, const char *kind, json_t *data)
{
	return (struct entry){ .kind = kind,
		.environment = a->run->environment,
		.run = a->run->id,
		.actor = a->runner->actor,
		.data = data };
}

static bool is_interrupted(const struct active *a)
{
	return a->runner->interrupted && a->runner->interrupted(a->runner->user);
}

void active_halt(struct active *a)
{
	struct executor *executor = a->runner->executor;

	/* Also those that were told before: one that was given time to end must not use it any more. */
	for (size_t i = 0; i < a->flight_count; i++) {
		a->flights[i].halted = true;
		executor->ops->stop(executor, a->flights[i].id);
	}
}

/* Called wherever time may have passed: when the lease is over, somebody else may hold it, and nothing of ours may act on. */
static void mind_the_lease(struct active *a)
{
	if (active_mono(a) >= a->claim.safe_until_ms)
		active_halt(a);
}

int active_pause(struct active *a, int64_t ms, struct err *err)
{
	struct executor *executor = a->runner->executor;
	int64_t until_ms = active_mono(a) + ms;
	struct work_result result;
	int r;

	do {
		r = executor->ops->wait(executor, a->ctx, until_ms, &result, err);
		if (r < 0)
			return r;
		mind_the_lease(a);
		if (r > 0) {
			a->late = mem_resize(a->ctx, a->late, struct work_result, a->late_count + 1);
			a->late[a->late_count++] = result;
		}
		if (is_interrupted(a))
			return err_set(err, ERR_CANCELLED, "interrupted");
	} while (active_mono(a) < until_ms);
	return 0;
}

/* ---- the claim ---- */

/* The store failed: is there patience left? *err is the failure. */
static int be_patient(struct active *a, struct err *err)
{
	int64_t now_ms = active_mono(a);

	if (!a->failing_since_ms)
		a->failing_since_ms = now_ms;
	if (is_interrupted(a))
		return err_set(err, ERR_CANCELLED, "interrupted");
	if (now_ms - a->failing_since_ms < a->runner->store_patience_ms)
		return 0;
	return err_in(err, "the store has failed for %lld s; `unship resume %s` goes on with the run",
		(long long)((now_ms - a->failing_since_ms) / 1000), a->run ? a->run->id : "");
}

static int renew(struct active *a, bool *ret_renewed, struct err *err)
{
	struct journal *journal = a->runner->journal;
	int64_t now_ms = active_mono(a);
	struct err cause = ERR_INIT;
	int r;

	r = journal->ops->renew(journal, &a->claim, &cause);
	mind_the_lease(a);
	*ret_renewed = r == 0;
	if (r == 0) {
		a->renewed_ms = now_ms;
		a->failing_since_ms = 0;
		return 0;
	}
	if (r != -ERR_CONFLICT) {
		a->renew_after_ms = now_ms + STORE_RETRY_MS;
		r = be_patient(a, &cause);
	}
	if (r < 0)
		*err = cause;
	return r;
}

int active_keep_claim(struct active *a, bool now, struct err *err)
{
	int64_t now_ms = active_mono(a);
	bool renewed = false;
	int r;

	mind_the_lease(a);
	if (!now && now_ms < a->claim.safe_until_ms && (now_ms - a->renewed_ms < a->claim.lease_ms / 3 || now_ms < a->renew_after_ms))
		return 0;
	r = renew(a, &renewed, err);
	while (r == 0 && now && !renewed) {
		r = active_pause(a, STORE_RETRY_MS, err);
		if (r == 0)
			r = renew(a, &renewed, err);
	}
	return r;
}

/* ---- reading ---- */

static int fold_one(struct active *a, const struct entry *entry, struct err *err)
{
	struct runner *runner = a->runner;
	int r;

	r = run_apply(a->run, entry, err);
	if (r < 0)
		return err_in(err, "run %s", a->run->id);
	a->seen_seq = entry->seq;
	if (runner->watch)
		runner->watch(runner->user, a->run, entry, run_step(a->run, json_str(entry->data, "step", NULL)), -1, NULL);
	return 0;
}

static bool is_among(const struct entry *entry, const struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (entries[i].id && entry->id && !strcmp(entry->id, entries[i].id))
			return true;
	return false;
}

/* Reads and folds what came after the last entry seen. *ret_found (may be NULL): `own` entries are among them. */
static int catch_up(struct active *a, const struct entry *own, size_t count, bool *ret_found, struct err *err)
{
	struct entry_filter filter = { .run = a->run->id, .after_seq = a->seen_seq };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct journal *journal = a->runner->journal;
	struct entry *entries;
	size_t read;
	int r;

	r = journal->ops->read(journal, ctx, &filter, &entries, &read, err);
	mind_the_lease(a);
	if (r < 0)
		return r;
	a->failing_since_ms = 0;
	a->polled_ms = active_mono(a);
	for (size_t i = 0; i < read; i++) {
		bool is_own = is_among(&entries[i], own, count);

		if (is_own && ret_found)
			*ret_found = true;
		a->foreign += !is_own;
		r = fold_one(a, &entries[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int active_poll(struct active *a, bool due, struct err *err)
{
	struct err cause = ERR_INIT;
	int r;

	if (due && active_mono(a) - a->polled_ms < POLL_MS)
		return 0;
	r = catch_up(a, NULL, 0, NULL, &cause);
	if (r < 0 && r != -ERR_CORRUPT) {
		a->polled_ms = active_mono(a);
		r = be_patient(a, &cause);
	}
	if (r < 0)
		*err = cause;
	return r;
}

/* ---- appending ---- */

/* Appended: fold, in the order of the journal. The store may fail between the two; what is committed stays so. */
static int fold_appended(struct active *a, const struct entry *entries, size_t count, struct err *err)
{
	struct err cause = ERR_INIT;
	int r;

	while (entries[0].seq != a->seen_seq + 1) {
		r = catch_up(a, entries, count, NULL, &cause);
		if (r == 0)
			return 0;
		if (r != -ERR_CORRUPT) {
			r = be_patient(a, &cause);
			if (r == 0)
				r = active_pause(a, STORE_RETRY_MS, &cause);
			if (r == 0)
				r = active_keep_claim(a, false, &cause);
		}
		if (r < 0) {
			*err = cause;
			return r;
		}
		cause = ERR_INIT;
	}
	for (size_t i = 0; i < count; i++) {
		r = fold_one(a, &entries[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* True for failures after which it is certain that nothing was written. */
static bool is_certain(int r)
{
	return r == -ERR_CONFLICT || r == -ERR_INVALID || r == -ERR_REFUSED;
}

/* Waits until the store answers again, and looks whether the entries are there after all. */
static int go_through_failure(struct active *a, struct entry *entries, size_t count, int r, bool *found, struct err *cause)
{
	while (r < 0) {
		if (is_certain(r) || r == -ERR_CORRUPT)
			return r;
		r = be_patient(a, cause);
		if (r == 0)
			r = active_pause(a, STORE_RETRY_MS, cause);
		if (r == 0)
			r = active_keep_claim(a, false, cause);
		if (r < 0)
			return r;
		*cause = (struct err)ERR_INIT;
		r = catch_up(a, entries, count, found, cause);
	}
	return 0;
}

static int commit(struct active *a, struct entry *entries, size_t count, bool soon, struct err *err)
{
	struct journal *journal = a->runner->journal;
	int (*append)(struct journal * journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
		struct err *err) = soon && journal->ops->append_soon ? journal->ops->append_soon : journal->ops->append;
	struct err cause = ERR_INIT;
	bool found = false;
	int r;

	for (size_t i = 0; i < count; i++)
		entries[i].id = entries[i].id ? entries[i].id : id_new(a->ctx, "ent");
	for (;;) {
		r = append(journal, a->ctx, &a->claim, entries, count, &cause);
		mind_the_lease(a);
		if (r == 0) {
			a->unsettled = append == journal->ops->append_soon;
			a->failing_since_ms = 0;
			return fold_appended(a, entries, count, err);
		}
		r = go_through_failure(a, entries, count, r, &found, &cause);
		if (r < 0) {
			*err = cause;
			return r;
		}
		if (found) {
			a->unsettled = append == journal->ops->append_soon;
			return 0;
		}
		for (size_t i = 0; i < count; i++) { /* append fills them anew */
			entries[i].seq = 0;
			entries[i].wall_ms = 0;
			entries[i].previous = entries[i].hash = NULL;
		}
	}
}

int active_commit(struct active *a, struct entry *entries, size_t count, struct err *err)
{
	return commit(a, entries, count, false, err);
}

int active_commit_soon(struct active *a, struct entry *entries, size_t count, struct err *err)
{
	return commit(a, entries, count, true, err);
}

int active_settle(struct active *a, struct err *err)
{
	struct journal *journal = a->runner->journal;
	struct err cause = ERR_INIT;
	int r = 0;

	while (a->unsettled) {
		r = journal->ops->settle(journal, &cause);
		mind_the_lease(a);
		a->unsettled = r < 0;
		if (r == 0) {
			a->failing_since_ms = 0;
			break;
		}
		r = be_patient(a, &cause);
		if (r == 0)
			r = active_pause(a, STORE_RETRY_MS, &cause);
		if (r == 0)
			r = active_keep_claim(a, false, &cause);
		if (r < 0) {
			*err = cause;
			return r;
		}
		cause = ERR_INIT;
	}
	return 0;
}

/* ---- taking a run up ---- */

static int take_claim(struct active *a, struct err *err)
{
	_cleanup_talloc_ char *name = runner_claim_name(NULL, a->runner->environment->name);
	struct journal *journal = a->runner->journal;
	struct err cause = ERR_INIT;
	int r;

	for (;;) {
		a->renewed_ms = active_mono(a);
		r = journal->ops->claim(journal, a->ctx, name, a->runner->lease_ms, &a->claim, &cause);
		if (r == 0) {
			a->failing_since_ms = 0;
			return 0;
		}
		if (!is_certain(r)) {
			r = be_patient(a, &cause);
			if (r == 0)
				r = active_pause(a, STORE_RETRY_MS, &cause);
		}
		if (r < 0) {
			*err = cause;
			return r;
		}
		cause = ERR_INIT;
	}
}

static int read_run(struct active *a, const char *run_id, struct err *err)
{
	struct entry_filter filter = { .run = run_id };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct journal *journal = a->runner->journal;
	struct err cause = ERR_INIT;
	struct entry *entries;
	size_t count;
	int r;

	for (;;) {
		r = journal->ops->read(journal, ctx, &filter, &entries, &count, &cause);
		if (r == 0)
			break;
		if (r != -ERR_CORRUPT) {
			r = be_patient(a, &cause);
			if (r == 0)
				r = active_pause(a, STORE_RETRY_MS, &cause);
			if (r == 0)
				r = active_keep_claim(a, false, &cause);
		}
		if (r < 0) {
			*err = cause;
			return r;
		}
		cause = ERR_INIT;
	}
	a->failing_since_ms = 0;
	a->polled_ms = active_mono(a);
	r = run_fold(a->ctx, entries, count, &a->run, err);
	if (r < 0)
		return err_in(err, "run %s", run_id);
	a->seen_seq = entries[count - 1].seq;
	if (strcmp(a->run->environment, a->runner->environment->name) != 0)
		return err_set(err, ERR_INVALID, "run %s is of environment '%s', not of '%s'", run_id, a->run->environment,
			a->runner->environment->name);
	return 0;
}

int active_claim(struct active *a, const char *run_id, struct err *err)
{
	struct journal *journal = a->runner->journal;
	struct err ignored = ERR_INIT;
	int r;

	r = take_claim(a, err);
	if (r < 0)
		return r;
	r = read_run(a, run_id, err);
	if (r < 0)
		(void)journal->ops->release(journal, &a->claim, &ignored); /* the lease ends by itself */
	return r;
}
