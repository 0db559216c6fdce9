/* Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): bytes as they come, in pieces of any size, into events. */
#ifndef NET_SSE_H
#define NET_SSE_H

#include "base/err.h"
#include "base/mem.h"

#define SSE_EVENT_MAX ((size_t)16 << 20) /* bytes of one event */

struct sse_event {
	const char *id;   /* the last id that was told: what Last-Event-ID is to be when coming back; NULL: none yet */
	const char *kind; /* "message" when the stream says nothing */
	const char *data; /* lines joined by line ends; NULL: a block without data, which moves the id and is no event */
};
struct sse;

/* `take` is called for each block, in order; what it is given lives until it returns. It returns 0: go on, or 1: enough. */
struct sse *sse_new(const void *ctx, int (*take)(void *user, const struct sse_event *event), void *user);
/* 0; 1: `take` had enough, the rest was passed over; ERR_TOO_LARGE. */
must_check int sse_feed(struct sse *sse, const char *bytes, size_t size, struct err *err);
/* A new connection: what was not complete is forgotten; the id stays. */
void sse_restart(struct sse *sse);
int64_t sse_retry_ms(const struct sse *sse, int64_t fallback_ms); /* how long to wait before coming back */

#endif
