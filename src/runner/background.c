/* Work of the run's own that may take longer than a lease: it goes on in a thread while the run's thread keeps the claim alive. The thread touches neither the journal nor the run's context. */
#include "runner/inner.h"

#include <pthread.h>
#include <time.h>

#define LOOK_MS 1000

struct background {
	int (*work)(void *user, struct err *err);
	void *user;
	struct err err;
	int result;
};

static void *carry(void *argument)
{
	struct background *background = argument;

	background->result = background->work(background->user, &background->err);
	return NULL;
}

static bool has_ended(pthread_t thread, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

int active_in_background(struct active *a, int (*work)(void *user, struct err *err), void *user, struct err *err)
{
	struct background background = { .work = work, .user = user };
	struct err lost = ERR_INIT;
	pthread_t thread;
	int r = 0;

	if (pthread_create(&thread, NULL, carry, &background) != 0)
		return err_set(err, ERR_INTERNAL, "no thread could be started");
	while (!has_ended(thread, LOOK_MS))
		if (r == 0)
			r = active_keep_claim(a, false, &lost);
	if (r < 0) { /* whatever it did, somebody else has taken over, or nobody can write it down */
		*err = lost;
		return r;
	}
	if (background.result < 0)
		*err = background.err;
	return background.result;
}
