/* One connection to a Redis server, on hiredis, which is opened when it is needed. Every call ends by the place's own limit and by the
 * deadline of the driver's call; after an error of the connection
 * nothing more is sent on it. Redis 7.0 or newer; no TLS, no cluster. Thread: the driver's only one. */
#ifndef DRIVERS_REDIS_CLIENT_H
#define DRIVERS_REDIS_CLIENT_H

#include <hiredis/hiredis.h>

#include "core/driver.h"

struct redis_place {
	const char *host, *socket;   /* `socket`, where it is given, is used instead of host and port */
	const char *user, *password; /* NULL: none */
	int64_t port, database, timeout_ms;
};

/* "redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]" or "unix://[USER[:PASSWORD]@]PATH[?db=N]", with %XX. Errors never show the text. */
must_check int redis_read_url(const void *ctx, const char *url, struct redis_place *place, struct err *err);

struct redis;
/* Connects, signs in, selects the database, and sees to it that it is a server that this driver can work with. */
must_check int redis_open(struct driver_call *call, const struct redis_place *place, struct redis **ret, struct err *err);
void redis_close(struct redis **redis);               /* for _cleanup_ */
const char *redis_version(const struct redis *redis); /* "7.0.15" */
/* Of INFO's answer at the time of opening; NULL when it does not say. */
const char *redis_info(const struct redis *redis, const char *name);

/* The words of a command; bytes are borrowed. */
struct redis_words {
	const char **words;
	size_t *sizes;
	size_t count, room;
};
struct redis_words *redis_words(const void *ctx, const char *first, ...) __attribute__((sentinel)); /* texts, then NULL */
void redis_words_add(struct redis_words *words, const void *bytes, size_t size);
void redis_words_add_int(struct redis_words *words, int64_t value);

/* Sends it with those that follow; redis_receive gives the answers, in order. */
must_check int redis_send(struct redis *redis, const struct redis_words *words, struct err *err);
/* An error that the server answers is an error here (ERR_FORBIDDEN, ERR_REFUSED, ...); the connection can be used on. */
must_check int redis_receive(struct redis *redis, redisReply **ret, struct err *err);
/* Both. */
must_check int redis_call(struct redis *redis, const struct redis_words *words, redisReply **ret, struct err *err);
/* The same for a command whose answer says nothing but that it was done. */
must_check int redis_do(struct redis *redis, const struct redis_words *words, struct err *err);
void redis_free_reply(redisReply **reply); /* for _cleanup_ */

#endif
