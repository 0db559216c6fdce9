/* The worker pool: threads for what may block, each with a workspace of its own, and a bounded queue before them.
 *
 * A workspace is opened at the first exchange of its thread, so an idle server has none; it is opened anew when the project file has changed or when its store has failed. Threads: the mutex guards the queue. */
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "surface/http/inner.h"

#define STACK_BYTES ((size_t)1 << 20)

struct worker {
	struct pool *pool;
	pthread_t thread;
	struct workspace *workspace;
	struct timespec changed; /* of the project file, when it was opened */
};

struct pool {
	struct server *server;
	pthread_mutex_t mutex;
	pthread_cond_t more, idle;
	struct inner *first, *last;
	size_t count, max, busy;
	bool stopping;
	struct worker *workers;
	size_t worker_count;
};

static void look_at_project(struct worker *worker)
{
	struct stat now;

	if (!worker->workspace)
		return;
	if (stat(worker->workspace->file, &now) == 0 && !memcmp(&now.st_mtim, &worker->changed, sizeof(now.st_mtim)))
		return;
	talloc_free(worker->workspace);
	worker->workspace = NULL;
}

static int open_workspace(struct worker *worker, struct err *err)
{
	struct stat now;
	int r;

	look_at_project(worker);
	if (worker->workspace)
		return 0;
	r = server_workspace(worker->pool->server, NULL, &worker->workspace, err);
	if (r == 0 && stat(worker->workspace->file, &now) == 0)
		worker->changed = now.st_mtim;
	return r;
}

static void work(struct worker *worker, struct inner *inner)
{
	struct err err = ERR_INIT;

	if (open_workspace(worker, &err) < 0) {
		exchange_fail(inner, &err);
		inner->progress = PROGRESS_ANSWERED;
	} else {
		exchange_work(inner, worker->workspace);
		if (inner->progress == PROGRESS_PARKED) {
			if (runs_wait(worker->pool->server->inner->runs, inner))
				return; /* it is no longer ours */
			exchange_work(inner, worker->workspace);
		}
	}
	/* A connection to a store that has failed is not used again. */
	if (worker->workspace && inner->x.status >= 500) {
		talloc_free(worker->workspace);
		worker->workspace = NULL;
	}
	connections_resume(inner);
}

static struct inner *next(struct pool *pool)
{
	struct inner *inner = NULL;

	(void)pthread_mutex_lock(&pool->mutex);
	while (!pool->first && !pool->stopping)
		(void)pthread_cond_wait(&pool->more, &pool->mutex);
	inner = pool->first;
	if (inner) {
		pool->first = inner->next;
		pool->last = pool->first ? pool->last : NULL;
		pool->count--;
		pool->busy++;
	}
	(void)pthread_mutex_unlock(&pool->mutex);
	return inner;
}

static void *worker_main(void *user)
{
	struct worker *worker = user;
	struct pool *pool = worker->pool;
	struct inner *inner;

	while ((inner = next(pool))) {
		work(worker, inner);
		(void)pthread_mutex_lock(&pool->mutex);
		if (!--pool->busy && !pool->count)
			(void)pthread_cond_broadcast(&pool->idle);
		(void)pthread_mutex_unlock(&pool->mutex);
	}
	talloc_free(worker->workspace);
	return NULL;
}

bool pool_add(struct pool *pool, struct inner *inner)
{
	bool added;

	(void)pthread_mutex_lock(&pool->mutex);
	/* Streams and quick routes only ask who calls, which is over at once: thousands of streams that come back together are not turned away (browsers would not try again). There are never more than
	 * connections. */
	added = !pool->stopping && (pool->count < pool->max || (inner->x.route && inner->x.route->kind != ROUTE_WORK));
	if (added) {
		inner->next = NULL;
		if (pool->last)
			pool->last->next = inner;
		else
			pool->first = inner;
		pool->last = inner;
		pool->count++;
		(void)pthread_cond_signal(&pool->more);
	}
	(void)pthread_mutex_unlock(&pool->mutex);
	return added;
}

bool pool_drain(struct pool *pool, int64_t until_ms)
{
	struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };
	bool idle;

	(void)pthread_mutex_lock(&pool->mutex);
	while ((pool->count || pool->busy) && pthread_cond_timedwait(&pool->idle, &pool->mutex, &until) == 0)
		;
	idle = !pool->count && !pool->busy;
	(void)pthread_mutex_unlock(&pool->mutex);
	return idle;
}

int pool_start(struct server *server, size_t threads, size_t queue_max, struct pool **ret, struct err *err)
{
	struct pool *pool = mem_zero(NULL, struct pool);
	pthread_condattr_t monotonic;
	pthread_attr_t attributes;

	pool->server = server;
	pool->max = queue_max;
	pool->workers = mem_array(pool, struct worker, threads);
	(void)pthread_mutex_init(&pool->mutex, NULL);
	(void)pthread_cond_init(&pool->more, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&pool->idle, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (size_t i = 0; i < threads; i++) {
		int error;

		pool->workers[i].pool = pool;
		error = pthread_create(&pool->workers[i].thread, &attributes, worker_main, &pool->workers[i]);
		if (error) {
			(void)pthread_attr_destroy(&attributes);
			pool_stop(pool);
			return err_errno(err, error, "starting a worker thread");
		}
		pool->worker_count++;
	}
	(void)pthread_attr_destroy(&attributes);
	*ret = pool;
	return 0;
}

void pool_stop(struct pool *pool)
{
	(void)pthread_mutex_lock(&pool->mutex);
	pool->stopping = true;
	(void)pthread_cond_broadcast(&pool->more);
	(void)pthread_mutex_unlock(&pool->mutex);
	for (size_t i = 0; i < pool->worker_count; i++)
		(void)pthread_join(pool->workers[i].thread, NULL);
	(void)pthread_cond_destroy(&pool->more);
	(void)pthread_cond_destroy(&pool->idle);
	(void)pthread_mutex_destroy(&pool->mutex);
	talloc_free(pool);
}
