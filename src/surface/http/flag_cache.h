/* The flags of every environment in memory, ready to be answered from on the threads of connections (ofrep.c); and the streams that tell
 * applications to ask again (ofrep_events.c).
 *
 * A set is the flags of one environment as of one journal entry. It is built anew when the follower has seen an entry about flags there,
 * and never changed: whoever took one can use it without a lock until it is given back. A store that cannot be read leaves the present
 * sets in place and is tried again. */
#ifndef SURFACE_HTTP_FLAG_CACHE_H
#define SURFACE_HTTP_FLAG_CACHE_H

#include "core/flag.h"
#include "surface/http/server.h"

struct cached_flag {
	const struct flag *flag;
	struct flag_state state;
	const char *trouble; /* why it cannot be evaluated; NULL: it can */
	/* Text that answers are put together from: {"key":"search"   ,"variant":"fast","value":"v2" by variant
	 * ,"metadata":{"group":"phase-4"}} */
	const char *head, **variants, *tail;
};

struct flag_set {
	const char *environment;
	struct cached_flag *flags; /* by key */
	size_t count;
	int64_t version; /* newest journal entry when it was read */
	atomic_uint references;
};

extern const struct service flag_service;

/* NULL: there is no such environment. Give it back. */
struct flag_set *flag_cache_take(struct server *server, const char *environment);
void flag_cache_give(struct flag_set *set);
/* A stream was opened: somebody must look after it. */
void flag_cache_wake(struct server *server);
const struct cached_flag *flag_set_find(const struct flag_set *set, const char *key); /* NULL */

/* --- ofrep_events.c ------------------------------------------------------------------------------------------------ */
struct flag_streams;
struct flag_streams *flag_streams_new(const void *ctx);
struct flag_streams *flag_streams_of(struct server *server);
/* Flags of the environment have changed. */
void flag_streams_changed(struct flag_streams *streams, const char *environment, int64_t version);
/* Somebody's access has changed: every ticket is void from now on, every stream ends. */
void flag_streams_void(struct flag_streams *streams);
/* Heartbeats, streams whose ticket has ended. */
void flag_streams_tick(struct flag_streams *streams, int64_t now_ms);
bool flag_streams_any(struct flag_streams *streams);
/* Ends all and waits for them, at most `patience_ms`. False: some are left, and the memory must stay. */
bool flag_streams_stop(struct flag_streams *streams, int64_t patience_ms);
/* Where to listen, for a while: a path with a query, signed. */
char *flag_streams_ticket(struct flag_streams *streams, const void *ctx, const char *environment);
int flag_stream_open(struct exchange *x, struct err *err); /* the route's handler */

#endif
