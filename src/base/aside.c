/* Asides: see aside.h. Two hold one, the thread and whoever waits; the last that lets go frees it. Any thread. */
#include "base/aside.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"

struct aside {
	pthread_mutex_t mutex;
	pthread_cond_t done;
	void (*work)(void *job);
	void *job;
	bool over, given_up;
};

static void aside_free(struct aside *aside)
{
	(void)pthread_cond_destroy(&aside->done);
	(void)pthread_mutex_destroy(&aside->mutex);
	(void)talloc_free(aside);
}

static void *aside_main(void *user)
{
	struct aside *aside = user;
	bool given_up;

	aside->work(aside->job);
	(void)pthread_mutex_lock(&aside->mutex);
	aside->over = true;
	given_up = aside->given_up;
	(void)pthread_cond_signal(&aside->done);
	(void)pthread_mutex_unlock(&aside->mutex);
	if (given_up) {
		(void)talloc_free(aside->job);
		aside_free(aside);
	}
	return NULL;
}

struct aside *aside_begin(void (*work)(void *job), void *job)
{
	struct aside *aside = mem_zero(NULL, struct aside);
	pthread_condattr_t on_monotonic;
	pthread_attr_t detached;
	pthread_t thread;

	*aside = (struct aside){ .work = work, .job = job };
	(void)pthread_mutex_init(&aside->mutex, NULL);
	(void)pthread_condattr_init(&on_monotonic);
	(void)pthread_condattr_setclock(&on_monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&aside->done, &on_monotonic);
	(void)pthread_condattr_destroy(&on_monotonic);
	(void)pthread_attr_init(&detached);
	(void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &detached, aside_main, aside) != 0) {
		work(job);
		aside->over = true;
	}
	(void)pthread_attr_destroy(&detached);
	return aside;
}

void *aside_end(struct aside *aside, int64_t until_ms)
{
	struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000 };
	void *job = aside->job;
	bool over;

	(void)pthread_mutex_lock(&aside->mutex);
	while (!aside->over && pthread_cond_timedwait(&aside->done, &aside->mutex, &until) == 0)
		;
	over = aside->over;
	aside->given_up = !over;
	(void)pthread_mutex_unlock(&aside->mutex);
	if (!over)
		return NULL;
	aside_free(aside);
	return job;
}
