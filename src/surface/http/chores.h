/* What a server does by itself from time to time: looking at readiness, snapshots in advance, reading again what is kept, copying it elsewhere. To add a chore: a `struct chore` in a file of its subject, a line in chores.c. */
#ifndef SURFACE_HTTP_CHORES_H
#define SURFACE_HTTP_CHORES_H

#include "core/entry.h"
#include "ops/operation.h"
#include "surface/http/server.h"

#define CHORE_NEVER INT64_MAX

/* Those of one lane are done one after the other; the lanes go side by side, so that what is quick does not wait for what may take hours. */
enum chore_lane { CHORES_QUICK, CHORES_LONG, CHORE_LANES };

/* A chore is done for one environment at a time. */
struct chore {
	const char *name; /* as the log names it when it fails */
	enum chore_lane lane;
	int64_t retry_ms;  /* after a failure */
	bool between_runs; /* not while a run is unfinished: what is there then is on its way. The end of the run wakes it */
	/* In how long after the start of the server it is asked for the first time; NULL: at once. */
	int64_t (*first_ms)(const struct environment *environment);
	/* Is it to be asked soon after this entry of the environment, too? NULL: after none. On the follower's thread. */
	bool (*wakes)(const struct entry *entry);
	/* Does what is due, and says in how many milliseconds it wants to be asked again (CHORE_NEVER: until it is woken). What is due must be told from the journal or from being asked, so that a restart neither repeats nor
	 * forgets it. A failure that sets *ret_ms is tried again then, if that is sooner than retry_ms. */
	int (*work)(struct op *op, struct server *server, struct environment *environment, int64_t *ret_ms, struct err *err);
};

extern const struct service chores_service;
/* snapshot_chores.c */
extern const struct chore chore_advance, chore_verify, chore_copy;

#endif
