/* Runs of the server: each is carried out on a thread of its own, in a workspace of its own, so requests never wait for one. Exchanges that prefer to wait for a run's end are put aside here.
 *
 * At the start, runs that have not ended and that nobody carries out are taken up. At the stop, runs are interrupted between two journal entries and their claims released (runner.h).
 * Threads: the mutex guards the list. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ops/runs.h"
#include "runner/runner.h"
#include "surface/http/inner.h"

#define CARRIED_MAX 64
#define STACK_BYTES ((size_t)1 << 20)

struct carried {
	struct runs *runs;
	char *id, *environment, *actor;
	pthread_t thread;
	bool again; /* something was added to the run since the thread began: look once more when it is done */
	bool over;  /* to be joined */
	struct carried *next;
};

struct runs {
	struct server *server;
	pthread_mutex_t mutex;
	struct carried *list;
	size_t count;
	struct inner *waiting;
	atomic_bool interrupted;
};

struct runs *runs_new(struct server *server)
{
	struct runs *runs = mem_zero(NULL, struct runs);

	runs->server = server;
	(void)pthread_mutex_init(&runs->mutex, NULL);
	return runs;
}

static bool is_interrupted(void *user)
{
	return atomic_load(&((struct carried *)user)->runs->interrupted);
}

/* One time through; what it comes to stands in the journal, where everybody looks. */
static void carry_out(struct carried *carried)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct server *server = carried->runs->server;
	struct err err = ERR_INIT;
	struct environment *environment;
	enum run_status status;
	struct run_row row;
	json_t *answer = NULL;
	struct op op = { .ctx = ctx,
		.catalogue = server->catalogue,
		.actor = carried->actor,
		.interrupted = is_interrupted,
		.user = carried };
	int r;

	r = server_workspace(server, ctx, &op.workspace, &err);
	if (r == 0)
		r = workspace_environment(op.workspace, carried->environment, &environment, &err);
	if (r == 0)
		r = store_run(op.workspace->store, ctx, carried->id, &row, &err);
	if (r == 0)
		r = run_status_parse(row.status, &status, &err);
	if (r == 0 && run_status_ended(status))
		return;
	if (r == 0)
		r = run_carry_out(&op, environment, carried->id, &answer, &err);
	if (answer)
		log_event(LOG_INFO, "a run has come to rest", "run", carried->id, "environment", carried->environment, "status",
			json_str(answer, "status", NULL), "message", json_str(answer, "message", NULL), NULL);
	/* How a run ended is no error of the server; that it could not be carried out is. */
	if (r < 0 && err.code != ERR_RESTORED && err.code != ERR_REFUSED && err.code != ERR_CHANGED && err.code != ERR_NEEDS_PERSON &&
		err.code != ERR_CANCELLED) {
		err_in(&err, "run %s", carried->id);
		log_err(err.code == ERR_CONFLICT ? LOG_INFO : LOG_ERROR, &err);
	}
}

/* Gives the exchanges that wait for this run (NULL: for any) or whose time is over back to the pool. */
static void give_back(struct runs *runs, const char *run_id, int64_t now_ms)
{
	struct inner *due = NULL, **at;

	(void)pthread_mutex_lock(&runs->mutex);
	at = &runs->waiting;
	while (*at) {
		struct inner *inner = *at;

		if (inner->wait_until_ms <= now_ms || (run_id && !strcmp(inner->waited_run, run_id))) {
			*at = inner->next;
			inner->next = due;
			due = inner;
		} else {
			at = &inner->next;
		}
	}
	(void)pthread_mutex_unlock(&runs->mutex);
	while (due) {
		struct inner *inner = due;

		due = due->next;
		inner->progress = PROGRESS_AWAY;
		if (!pool_add(runs->server->inner->pool, inner)) {
			struct err err = ERR_INIT;

			err_set(&err, ERR_UNREACHABLE, "run %s goes on; too much work is waiting to tell about it", inner->waited_run);
			exchange_fail(inner, &err);
			inner->progress = PROGRESS_ANSWERED;
			connections_resume(inner);
		}
	}
}

static void *carrier_main(void *user)
{
	struct carried *carried = user;
	struct runs *runs = carried->runs;
	bool again = true;

	while (again) {
		carry_out(carried);
		(void)pthread_mutex_lock(&runs->mutex);
		again = carried->again && !atomic_load(&runs->interrupted);
		carried->again = false;
		carried->over = !again;
		(void)pthread_mutex_unlock(&runs->mutex);
	}
	give_back(runs, carried->id, INT64_MIN);
	server_wake(runs->server);
	return NULL;
}

/* Takes threads that are done out of the list; joins them without the lock. */
static void reap(struct runs *runs)
{
	struct carried *done = NULL, **at;

	(void)pthread_mutex_lock(&runs->mutex);
	at = &runs->list;
	while (*at) {
		struct carried *carried = *at;

		if (carried->over) {
			*at = carried->next;
			carried->next = done;
			done = carried;
			runs->count--;
		} else {
			at = &carried->next;
		}
	}
	(void)pthread_mutex_unlock(&runs->mutex);
	while (done) {
		struct carried *carried = done;

		done = done->next;
		(void)pthread_join(carried->thread, NULL);
		talloc_free(carried);
	}
}

static int start(struct runs *runs, const char *environment, const char *run_id, const char *actor, struct err *err)
{
	struct carried *carried = mem_zero(NULL, struct carried);
	pthread_attr_t attributes;
	int error;

	carried->runs = runs;
	carried->id = mem_strdup(carried, run_id);
	carried->environment = mem_strdup(carried, environment);
	carried->actor = mem_strdup(carried, actor);
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	error = pthread_create(&carried->thread, &attributes, carrier_main, carried);
	(void)pthread_attr_destroy(&attributes);
	if (error) {
		talloc_free(carried);
		return err_errno(err, error, "starting a thread for run %s", run_id);
	}
	carried->next = runs->list;
	runs->list = carried;
	runs->count++;
	return 0;
}

int server_hand_over(struct server *server, const char *environment, const char *run_id, const char *actor, struct err *err)
{
	struct runs *runs = server->inner->runs;
	struct carried *carried;
	int r = 0;

	reap(runs);
	(void)pthread_mutex_lock(&runs->mutex);
	for (carried = runs->list; carried; carried = carried->next)
		if (!strcmp(carried->id, run_id) && !carried->over)
			break;
	if (carried)
		carried->again = true;
	else if (atomic_load(&runs->interrupted))
		r = 0; /* it stands in the journal; whoever starts next takes it up */
	else if (runs->count >= CARRIED_MAX)
		r = err_set(err, ERR_LIMITED, "%d runs are carried out already; `unship resume %s` goes on with this one later",
			CARRIED_MAX, run_id);
	else
		r = start(runs, environment, run_id, actor, err);
	(void)pthread_mutex_unlock(&runs->mutex);
	return r;
}

int runs_take_up(struct runs *runs, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct workspace *workspace;
	int r;

	r = server_workspace(runs->server, ctx, &workspace, err);
	if (r == 0)
		r = workspace_store(workspace, err);
	for (size_t i = 0; r == 0 && i < workspace->project->environment_count; i++) {
		const char *name = workspace->project->environments[i].name, *holder = NULL;
		struct err none = ERR_INIT;
		struct run_row row;

		r = store_unfinished_run(workspace->store, ctx, name, &row, &none);
		if (r == -ERR_NOT_FOUND) {
			r = 0;
			continue;
		}
		if (r < 0) {
			*err = none;
			return r;
		}
		r = store_holder(workspace->store, ctx, runner_claim_name(ctx, name), &holder, err);
		if (r == 0 && !holder && strcmp(row.status, run_status_name(RUN_WAITING)) != 0) {
			log_event(LOG_INFO, "takes up a run that nobody carries out", "run", row.id, "environment", name, NULL);
			r = server_hand_over(runs->server, name, row.id, row.actor ? row.actor : "unship", err);
		}
	}
	return r;
}

bool runs_wait(struct runs *runs, struct inner *inner)
{
	struct carried *carried;

	(void)pthread_mutex_lock(&runs->mutex);
	for (carried = runs->list; carried; carried = carried->next)
		if (!carried->over && !strcmp(carried->id, inner->waited_run))
			break;
	if (atomic_load(&runs->interrupted))
		carried = NULL;
	if (carried) {
		inner->next = runs->waiting;
		runs->waiting = inner;
	}
	(void)pthread_mutex_unlock(&runs->mutex);
	if (carried)
		server_wake(runs->server);
	return carried != NULL;
}

int64_t runs_tick(struct runs *runs, int64_t now_ms)
{
	int64_t next_ms = INT64_MAX;

	reap(runs);
	give_back(runs, NULL, now_ms);
	(void)pthread_mutex_lock(&runs->mutex);
	for (const struct inner *inner = runs->waiting; inner; inner = inner->next)
		next_ms = MIN(next_ms, inner->wait_until_ms);
	(void)pthread_mutex_unlock(&runs->mutex);
	return next_ms;
}

void runs_interrupt(struct runs *runs)
{
	(void)pthread_mutex_lock(&runs->mutex);
	atomic_store(&runs->interrupted, true);
	(void)pthread_mutex_unlock(&runs->mutex);
	give_back(runs, NULL, INT64_MAX);
}

void runs_stop(struct runs *runs)
{
	struct carried *carried;

	for (carried = runs->list; carried; carried = runs->list) {
		(void)pthread_join(carried->thread, NULL);
		runs->list = carried->next;
		talloc_free(carried);
	}
	(void)pthread_mutex_destroy(&runs->mutex);
	talloc_free(runs);
}
