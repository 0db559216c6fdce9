/* Threads for one piece of work at a time (workers.h). They live as long as the work: starting one takes some 50 us, and an idle thread in every process costs more. There is no queue that could grow: what is
 * to be done is known, and each thread takes the next block by a counter. The caller works too, so one thread means none is started, and when none can be started the work is done all the same. */
#include "snapshot/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct workers {
	int threads;
	struct object_work *work[WORKERS_MAX];
};

struct round {
	size_t count, block;
	workers_job job;
	void *user;
	atomic_size_t next;
	atomic_bool stop;
	pthread_mutex_t mutex;
	struct err *err; /* of the caller; the first failure */
	int result;
};

struct helper {
	struct round *round;
	struct object_work *work;
	pthread_t thread;
};

struct workers *workers_new(const void *ctx, int threads)
{
	struct workers *workers = mem_zero(ctx, struct workers);
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	workers->threads = threads > 0 ? MIN(threads, WORKERS_MAX) : (int)MIN(MAX(processors, 1), WORKERS_MAX);
	return workers;
}

int workers_own(struct workers *workers, struct object_work **ret, struct err *err)
{
	int r = workers->work[0] ? 0 : object_work_new(workers, &workers->work[0], err);

	*ret = workers->work[0];
	return r;
}

static void work_on(struct round *round, struct object_work *work)
{
	struct err err = ERR_INIT;

	while (!atomic_load(&round->stop)) {
		size_t at = atomic_fetch_add(&round->next, round->block), end = MIN(at + round->block, round->count);

		if (at >= round->count)
			return;
		for (; at < end && !atomic_load(&round->stop); at++) {
			int r = round->job(round->user, work, at, &err);

			if (r >= 0)
				continue;
			(void)pthread_mutex_lock(&round->mutex);
			if (round->result == 0) {
				round->result = r;
				*round->err = err;
			}
			(void)pthread_mutex_unlock(&round->mutex);
			atomic_store(&round->stop, true);
		}
	}
}

static void *help(void *user)
{
	struct helper *helper = user;

	work_on(helper->round, helper->work);
	return NULL;
}

int workers_run(struct workers *workers, size_t count, size_t block, workers_job job, void *user, struct err *err)
{
	struct round round = { .count = count, .block = block, .job = job, .user = user, .err = err, .mutex = PTHREAD_MUTEX_INITIALIZER };
	int threads = (int)MIN((size_t)workers->threads, (count + block - 1) / block), started = 1, r = 0;
	struct helper helpers[WORKERS_MAX];
	sigset_t all, old;

	for (int i = 0; r == 0 && i < threads; i++)
		if (!workers->work[i])
			r = object_work_new(workers, &workers->work[i], err);
	if (r < 0 || count == 0)
		return r;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are for the threads that expect them */
	while (started < threads) {
		struct helper *helper = &helpers[started];

		*helper = (struct helper){ .round = &round, .work = workers->work[started] };
		if (pthread_create(&helper->thread, NULL, help, helper) != 0)
			break;
		started++;
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	work_on(&round, workers->work[0]);
	for (int i = 1; i < started; i++)
		(void)pthread_join(helpers[i].thread, NULL);
	return round.result;
}
