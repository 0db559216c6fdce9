/* The follower: one thread that reads new journal entries as soon as they are committed, whoever committed them (this process, the command line beside it, another replica), and hands each batch to
 * its subscribers, in order, without gap and without repetition. Event streams, sinks, metrics and caches stand on it.
 *
 * How it learns: appends of this process wake it; those of others are seen by a cheap look at the head every 200 ms, and on SQLite at once, by inotify on the write-ahead log.
 * A store that cannot be read is tried again; nothing is skipped. */
#ifndef SURFACE_HTTP_FOLLOW_H
#define SURFACE_HTTP_FOLLOW_H

#include "core/entry.h"
#include "surface/http/server.h"

struct follower;
/* `entries` live only during the call. Called on the follower's thread; must not block for long (hand over to a thread of one's own when it would). */
typedef void (*follow_each)(void *user, const struct entry *entries, size_t count);

/* Started before all that subscribe: the first of the services. Sets server->follower. */
extern const struct service follower_service;
/* From now on; *ret_head: the newest entry that will not be handed over. Before serving starts, or from any thread. */
void follower_subscribe(struct follower *follower, follow_each each, void *user, int64_t *ret_head);
void follower_unsubscribe(struct follower *follower, follow_each each, void *user);
/* This process appended something: look at once. From any thread; cheap. */
void follower_wake(struct follower *follower);

#endif
