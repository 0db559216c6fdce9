/* A small HTTP server for tests: one thread, loopback, a port that the kernel chooses. What it does is told by the path:
 *     /ok  /status/NNN  /echo (request comes back as the body)  /hang (never answers)  /drip (a byte now and then, never complete)
 * /huge (endless)  /huge-declared (says 1 TiB)  /redirect (to the metadata address)  /close  /garbage  /after/MS (answers after that
 *     time) */
#ifndef TESTS_HTTP_SERVER_H
#define TESTS_HTTP_SERVER_H

#include <pthread.h>

#include "base/mem.h"

struct http_server {
	int listener, wake[2];
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock;
	unsigned requests; /* complete ones so far */
	char last[65536];  /* the last request, head and body */
};

/* `path` not NULL: a Unix socket there instead of a port. */
void http_server_start(struct http_server *server, const char *path);
void http_server_stop(struct http_server *server);
/* Copy of the last request; "" when there was none. */
char *http_server_last(struct http_server *server, const void *ctx);
char *http_server_url(const struct http_server *server, const void *ctx, const char *path);
/* A loopback port at which nothing listens: bound, never listening, held until closed. */
unsigned closed_port(int *ret_fd);

#endif
