/* A Redis server of a test's own: on a unix socket in a folder of its own, without any file of its data, ended with the test. It must be
 * installed: without it the test fails. */
#ifndef TESTS_REDIS_H
#define TESTS_REDIS_H

#include "base/mem.h"
#include "base/proc.h"

struct redis_server {
	char *dir, *socket;
	struct proc proc;
};

/* `options`: further arguments ("--requirepass", "x"), NULL-terminated; NULL: none. Ready when it returns. */
struct redis_server *redis_server_start(const void *ctx, const char *const *options);
void redis_server_stop(struct redis_server *server); /* and its folder; twice is allowed */
/* What redis-cli answers to these lines, one command each (EVAL included). An answer that begins with "(error)" fails the test. */
char *redis_say(struct redis_server *server, const char *lines);

#endif
