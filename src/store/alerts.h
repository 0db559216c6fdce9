/* Alerts: what monitoring said, folded from signal.alert. An alert is known by its hook, its fingerprint and when it began; it fires, and
 * then it is resolved, once each, however often it is told.
 *
 * Threads: as the store. */
#ifndef STORE_ALERTS_H
#define STORE_ALERTS_H

#include "core/hook.h"
#include "store/store.h"

struct alert_row {
	struct alert alert;
	int64_t changed_ms;
	int64_t seq; /* of the newest entry about it */
};

/* Appends an entry for each alert that says something new, all in one transaction; *ret_new tells how many. What is told again is passed
 * over: one that fires already, one that was resolved. An alert that does not say when it began is the one that fires under its
 * fingerprint, or begins now. */
must_check int store_alerts_take(struct store *store, const void *ctx, struct alert *alerts, size_t count, const char *actor,
	size_t *ret_new, struct err *err);
/* By their newest entries, newest first. environment NULL: all, those of none among them. */
must_check int store_alerts(struct store *store, const void *ctx, const char *environment, bool firing_only, struct page page,
	struct alert_row **ret, size_t *ret_count, struct err *err);

#endif
