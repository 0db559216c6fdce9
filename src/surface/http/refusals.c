/* Refusals are written into the journal (ENTRY_REFUSED), but not as often as somebody likes to be refused: like ones (same address, caller, route, code) are counted, and written at most once a minute with their number.
 *
 * The table has a fixed number of places; a new kind of refusal takes the place of the one that was seen longest ago. Any thread. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "data/json.h"
#include "surface/http/inner.h"

#define PLACES   512
#define EVERY_MS 60000

struct place {
	char key[160];
	int64_t written_ms, seen_ms;
	uint64_t count; /* since it was written */
};

struct refusals {
	pthread_mutex_t mutex;
	struct place places[PLACES];
};

struct refusals *refusals_new(const void *ctx)
{
	struct refusals *refusals = mem_zero(ctx, struct refusals);

	(void)pthread_mutex_init(&refusals->mutex, NULL);
	return refusals;
}

/* The place of this key, or the one to give up for it. */
static struct place *find(struct refusals *refusals, const char *key)
{
	struct place *oldest = &refusals->places[0];

	for (size_t i = 0; i < PLACES; i++) {
		struct place *place = &refusals->places[i];

		if (!strcmp(place->key, key))
			return place;
		if (place->seen_ms < oldest->seen_ms)
			oldest = place;
	}
	*oldest = (struct place){ 0 };
	snprintf(oldest->key, sizeof(oldest->key), "%s", key);
	return oldest;
}

bool refusals_count(struct refusals *refusals, const char *key, int64_t now_ms, bool take, uint64_t *ret_count)
{
	char cut[sizeof(refusals->places[0].key)];
	struct place *place;
	bool due;

	snprintf(cut, sizeof(cut), "%s", key);
	(void)pthread_mutex_lock(&refusals->mutex);
	place = find(refusals, cut);
	place->seen_ms = now_ms;
	due = !place->written_ms || now_ms - place->written_ms >= EVERY_MS;
	if (take || !due)
		place->count++;
	*ret_count = place->count;
	if (take && due) {
		place->written_ms = now_ms;
		place->count = 0;
	}
	(void)pthread_mutex_unlock(&refusals->mutex);
	return due;
}

static char *key_of(const struct inner *inner, const void *ctx, const char *environment, const struct err *err)
{
	const struct exchange *x = &inner->x;

	return mem_printf(ctx, "%d %s %s %s %s %s", err->code, x->peer, x->principal ? x->principal->name : "",
		environment ? environment : "", x->route->method, x->route->pattern);
}

bool refusal_due(struct inner *inner, const char *environment, const struct err *err, uint64_t *ret_count)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);

	return refusals_count(inner->x.server->inner->refusals, key_of(inner, tmp, environment, err), clock_mono_ms(), true, ret_count);
}

bool refusal_is_due(struct inner *inner, const struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	uint64_t count;

	return refusals_count(inner->x.server->inner->refusals, key_of(inner, tmp, exchange_param(&inner->x, "environment"), err),
		clock_mono_ms(), false, &count);
}

void refusal_write(struct inner *inner, struct workspace *workspace, const struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct exchange *x = &inner->x;
	struct entry entry = { .kind = ENTRY_REFUSED,
		.environment = exchange_param(x, "environment"),
		.actor = x->principal ? x->principal->name : "anonymous" };
	struct err why = ERR_INIT;
	uint64_t count;

	if (err->code != ERR_UNAUTHENTICATED && err->code != ERR_FORBIDDEN)
		return;
	if (!refusal_due(inner, exchange_param(x, "environment"), err, &count))
		return;
	entry.data = json_make(tmp, "{s:s, s:s, s:s, s:s}", "operation",
		x->route->operation ? x->route->operation->name : mem_printf(tmp, "%s %s", x->route->method, x->route->pattern), "code",
		err_info(err->code)->name, "message", err->text, "origin", x->peer);
	if (count > 1)
		json_put_int(entry.data, "count", (int64_t)count);
	if (workspace_store(workspace, &why) < 0 || store_append(workspace->store, tmp, &entry, &why) < 0) {
		err_in(&why, "a refusal could not be recorded");
		log_err(LOG_ERROR, &why);
	}
}
