/* Chores (chores.h): when each is due, the threads that do them, and their end. What they do is in the files of their subjects.
 *
 * Each chore has a place in the schedule per environment, on the monotonic clock. A lane is a thread with a workspace of its own that does what is due first, or waits for it. A chore that failed is tried again after a while; the
 * first failure is logged, not each. A stop interrupts what is at work.
 *
 * Threads: one per lane, and the follower's, which says what is due soon; the schedule is under the mutex. */
#include "surface/http/chores.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "ops/content.h"
#include "surface/http/follow.h"
#include "surface/http/readiness.h"

#define SOON_MS 1000 /* after something happened: more may follow at once */
#define WAIT_MS (60 * 60 * 1000LL)
#define RUN_MS  60000
#define ACTOR   "unship serve"

static const struct chore *const chores_table[] = { &chore_readiness, &chore_advance, &chore_verify, &chore_copy };

struct place {
	const struct chore *chore;
	const char *environment;
	int64_t due_ms; /* monotonic; CHORE_NEVER */
	bool failed;
};

struct lane {
	struct chores *chores;
	enum chore_lane which;
	struct workspace *workspace;
	pthread_t thread;
	bool started;
};

struct chores {
	struct server *server;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	atomic_bool stopping;
	struct place *places;
	size_t count;
	struct lane lanes[CHORE_LANES];
};

static bool is_stopping(void *user)
{
	const struct lane *lane = user;

	return atomic_load(&lane->chores->stopping) || atomic_load(&lane->chores->server->stopping);
}

/* Monotonic; CHORE_NEVER stays never. */
static int64_t in(int64_t ms)
{
	return ms == CHORE_NEVER ? CHORE_NEVER : clock_mono_ms() + MAX(ms, (int64_t)0);
}

/* The one of a lane that is due first. */
static struct place *first_due(const struct lane *lane)
{
	struct place *first = NULL;

	for (size_t i = 0; i < lane->chores->count; i++) {
		struct place *place = &lane->chores->places[i];

		if (place->chore->lane == lane->which && place->due_ms != CHORE_NEVER && (!first || place->due_ms < first->due_ms))
			first = place;
	}
	return first;
}

/* Does it, and says in how long it is to be asked again. */
static int64_t do_one(struct lane *lane, struct place *place)
{
	struct server *server = lane->chores->server;
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct op op = { .ctx = ctx,
		.workspace = lane->workspace,
		.catalogue = server->catalogue,
		.actor = ACTOR,
		.interrupted = is_stopping,
		.user = lane };
	struct err err = ERR_INIT, none = ERR_INIT;
	struct environment *environment;
	int64_t again_ms = CHORE_NEVER;
	bool before = place->failed;
	struct run_row row;
	int r;

	if (place->chore->between_runs && store_unfinished_run(lane->workspace->store, ctx, place->environment, &row, &none) == 0)
		return RUN_MS;
	r = workspace_environment(lane->workspace, place->environment, &environment, &err);
	if (r == 0)
		r = place->chore->work(&op, server, environment, &again_ms, &err);
	lane->workspace->executor->ops->rest(lane->workspace->executor);
	content_release(lane->workspace);
	place->failed = r < 0;
	if (r < 0 && !before && !is_stopping(lane))
		log_event(LOG_ERROR, place->chore->name, "environment", place->environment, "error", err.text, NULL);
	return r < 0 ? MIN(again_ms, place->chore->retry_ms) : again_ms;
}

static void *lane_main(void *user)
{
	struct lane *lane = user;
	struct chores *chores = lane->chores;

	(void)pthread_mutex_lock(&chores->mutex);
	while (!is_stopping(lane)) {
		struct place *place = first_due(lane);
		int64_t until_ms = place ? place->due_ms : in(WAIT_MS);
		struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000 };

		if (!place || place->due_ms > clock_mono_ms()) {
			(void)pthread_cond_timedwait(&chores->changed, &chores->mutex, &until);
			continue;
		}
		place->due_ms = CHORE_NEVER;
		(void)pthread_mutex_unlock(&chores->mutex);
		until_ms = in(do_one(lane, place));
		(void)pthread_mutex_lock(&chores->mutex);
		/* What woke it meanwhile, it has perhaps not seen. */
		place->due_ms = MIN(place->due_ms, until_ms);
	}
	(void)pthread_mutex_unlock(&chores->mutex);
	return NULL;
}

static bool is_woken(const struct place *place, const struct entry *entry)
{
	const struct chore *chore = place->chore;

	if (!entry->environment || strcmp(place->environment, entry->environment) != 0)
		return false;
	return (chore->between_runs && !strcmp(entry->kind, ENTRY_RUN_ENDED)) || (chore->wakes && chore->wakes(entry));
}

/* On the follower's thread. */
static void entries_added(void *user, const struct entry *entries, size_t count)
{
	struct chores *chores = user;
	int64_t soon_ms = in(SOON_MS);

	(void)pthread_mutex_lock(&chores->mutex);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < chores->count; k++)
			if (is_woken(&chores->places[k], &entries[i]))
				chores->places[k].due_ms = MIN(chores->places[k].due_ms, soon_ms);
	(void)pthread_cond_broadcast(&chores->changed);
	(void)pthread_mutex_unlock(&chores->mutex);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------ */

static int chores_free(struct chores *chores)
{
	(void)pthread_cond_destroy(&chores->changed);
	(void)pthread_mutex_destroy(&chores->mutex);
	return 0;
}

static struct chores *chores_new(struct server *server)
{
	const struct project *project = server->project;
	struct chores *chores = mem_zero(NULL, struct chores);
	pthread_condattr_t on_monotonic;

	chores->server = server;
	(void)pthread_mutex_init(&chores->mutex, NULL);
	(void)pthread_condattr_init(&on_monotonic);
	(void)pthread_condattr_setclock(&on_monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&chores->changed, &on_monotonic);
	(void)pthread_condattr_destroy(&on_monotonic);
	talloc_set_destructor(chores, chores_free);
	chores->places = mem_array(chores, struct place, ARRAY_SIZE(chores_table) * project->environment_count + 1);
	for (size_t i = 0; i < ARRAY_SIZE(chores_table); i++)
		for (size_t k = 0; k < project->environment_count; k++) {
			const struct chore *chore = chores_table[i];
			const struct environment *environment = &project->environments[k];

			chores->places[chores->count++] = (struct place){ .chore = chore,
				.environment = mem_strdup(chores, environment->name),
				.due_ms = in(chore->first_ms ? chore->first_ms(environment) : 0) };
		}
	return chores;
}

static int lane_start(struct chores *chores, struct lane *lane, struct err *err)
{
	int r;

	r = server_workspace(chores->server, chores, &lane->workspace, err);
	if (r == 0)
		r = workspace_store(lane->workspace, err);
	if (r < 0)
		return r;
	lane->workspace->executor->interrupted = is_stopping;
	lane->workspace->executor->interrupted_user = lane;
	r = pthread_create(&lane->thread, NULL, lane_main, lane);
	if (r != 0)
		return err_errno(err, r, "a thread");
	lane->started = true;
	return 0;
}

static void lanes_stop(struct chores *chores)
{
	(void)pthread_mutex_lock(&chores->mutex);
	atomic_store(&chores->stopping, true);
	(void)pthread_cond_broadcast(&chores->changed);
	(void)pthread_mutex_unlock(&chores->mutex);
	for (size_t i = 0; i < CHORE_LANES; i++)
		if (chores->lanes[i].started)
			(void)pthread_join(chores->lanes[i].thread, NULL);
	(void)talloc_free(chores);
}

static int chores_start(struct server *server, void **ret_state, struct err *err)
{
	struct chores *chores = chores_new(server);
	int64_t head;
	int r = 0;

	for (size_t i = 0; r == 0 && i < CHORE_LANES; i++) {
		chores->lanes[i].chores = chores;
		chores->lanes[i].which = (enum chore_lane)i;
		r = lane_start(chores, &chores->lanes[i], err);
	}
	if (r < 0) {
		lanes_stop(chores);
		return err_in(err, "chores");
	}
	follower_subscribe(server->follower, entries_added, chores, &head);
	*ret_state = chores;
	return 0;
}

static void chores_stop(struct server *server, void *state)
{
	follower_unsubscribe(server->follower, entries_added, state);
	lanes_stop(state);
}

const struct service chores_service = { .name = "chores", .start = chores_start, .stop = chores_stop };
