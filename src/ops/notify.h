/* Telling people. What is to be said is queued in the journal in the same transaction as what it is about (notify_entries); a notifier thread delivers what is queued, at least once, with its own
 * store connection and workers, so that a slow mail server never holds up a rollback. What could not be delivered stays queued for the next unship that runs. */
#ifndef OPS_NOTIFY_H
#define OPS_NOTIFY_H

#include "ops/workspace.h"

/* Entries "notification.queued" for an event of a run, by the environment's rules; appended to *list (array in ctx, grown). The id of a notification is made from run, event and rule, so that one event is
 * told once however often it is looked at. */
void notify_entries(const void *ctx, const struct environment *environment, const char *event, const char *run_id, const char *actor,
	const char *message, json_t *details, struct entry **list, size_t *count);

/* The same about something that is no run: `about` is its id, `run_id` may be NULL. */
void notify_about(const void *ctx, const struct environment *environment, const char *event, const char *about, const char *run_id,
	const char *actor, const char *message, json_t *details, struct entry **list, size_t *count);
/* Delivers what was queued just now, as far as that goes in a moment; the rest waits in the outbox. In a server its own notifier does, and nothing is done here. */
void notify_now(struct op *op, const struct environment *environment);

struct notifier;
/* Starts the thread. Settings of channels come from the notify rules of the project in `dir`. */
must_check int notifier_start(const void *ctx, const char *dir, const struct catalogue *catalogue, struct notifier **ret, struct err *err);
/* Delivers what is queued by now, at most until `patience_ms` have passed, and ends the thread. Returns how many recipients are still waiting. */
size_t notifier_stop(struct notifier *notifier, int64_t patience_ms);

#endif
