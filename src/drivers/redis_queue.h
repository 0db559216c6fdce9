/* Work queues in Redis: what consumers took and did not finish goes back to where it is taken from. */
#ifndef DRIVERS_REDIS_QUEUE_H
#define DRIVERS_REDIS_QUEUE_H

#include "drivers/redis_walk.h"

struct redis_queue {
	const char *name;
	/* A list with lists of what is being worked on. */
	const char *pending;
	const char **processing; /* names or patterns, NULL-terminated */
	const char *takes;       /* "left", "right": the end that consumers take from */
	/* Or a stream with a group. */
	const char *stream, *group;
};

/* `queues` of the configuration: {NAME: {pending, processing, takes} | {stream, group}}. `only`: an array of names; NULL: all.
 * ERR_INVALID, ERR_NOT_FOUND with the known names. */
must_check int redis_read_queues(const void *ctx, json_t *queues, json_t *only, struct redis_queue **ret, size_t *ret_count,
	struct err *err);
/* *ret_taken: what consumers have taken and not finished; *ret_waiting: what nobody has taken, -1 when the server does not say. */
must_check int redis_queue_count(const struct redis_keys *keys, const struct redis_queue *queue, int64_t *ret_taken, int64_t *ret_waiting,
	struct err *err);
/* Puts back what is taken, so that it is taken first again (of a stream: last). Each item is moved in one step of the server: killed in
 * the middle, none is lost and none is there twice. Consumers must be at rest. */
must_check int redis_queue_requeue(const struct redis_keys *keys, const struct redis_queue *queue, int64_t *ret_moved, struct err *err);

#endif
