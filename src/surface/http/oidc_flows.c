/* Sign-ins that have begun (oidc_flows.h): a table of places; a mutex guards it. What the browser must bring is kept as a hash, and compared in constant time. */
#include "surface/http/oidc_flows.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "data/credential.h"
#include "data/hash.h"

struct place {
	void *owner; /* talloc: the texts hang on it; NULL: the place is free */
	struct oidc_flow flow;
	char state_hash[HASH_HEX_SIZE], browser_hash[HASH_HEX_SIZE];
	const char *peer;
	int64_t begun_ms; /* monotonic */
};

struct oidc_flows {
	pthread_mutex_t mutex;
	struct place places[FLOWS_MAX];
};

static void forget(struct place *place)
{
	talloc_free(place->owner);
	*place = (struct place){ 0 };
}

static int forget_all(struct oidc_flows *flows)
{
	for (size_t i = 0; i < FLOWS_MAX; i++)
		forget(&flows->places[i]);
	return 0;
}

struct oidc_flows *oidc_flows_new(const void *ctx)
{
	struct oidc_flows *flows = mem_zero(ctx, struct oidc_flows);

	talloc_set_destructor(flows, forget_all);

	(void)pthread_mutex_init(&flows->mutex, NULL);
	return flows;
}

static struct place *older(struct place *a, struct place *b)
{
	return !a || b->begun_ms < a->begun_ms ? b : a;
}

static struct place *room_for(struct oidc_flows *flows, const char *peer, int64_t now_ms)
{
	struct place *free_place = NULL, *oldest = NULL, *oldest_of_peer = NULL;
	size_t of_peer = 0;

	for (size_t i = 0; i < FLOWS_MAX; i++) {
		struct place *place = &flows->places[i];

		if (place->owner && now_ms - place->begun_ms >= FLOW_LIFE_MS)
			forget(place);
		if (!place->owner) {
			free_place = place;
			continue;
		}
		oldest = older(oldest, place);
		if (strcmp(place->peer, peer) != 0)
			continue;
		oldest_of_peer = older(oldest_of_peer, place);
		of_peer++;
	}
	if (of_peer >= FLOWS_OF_ADDRESS)
		return oldest_of_peer;
	return free_place ? free_place : oldest;
}

static struct oidc_flow copy_of(const void *ctx, const struct oidc_flow *flow)
{
	struct oidc_flow copy = *flow;

	copy.state = mem_strdup(ctx, flow->state);
	copy.browser = mem_strdup(ctx, flow->browser);
	copy.nonce = mem_strdup(ctx, flow->nonce);
	copy.verifier = mem_strdup(ctx, flow->verifier);
	copy.next = mem_strdup(ctx, flow->next);
	return copy;
}

void oidc_flows_add(struct oidc_flows *flows, const void *ctx, const char *peer, const char *next, bool again, int64_t now_ms,
	struct oidc_flow *ret)
{
	struct oidc_flow flow = {
		.state = secret_make(ctx, ""),
		.browser = secret_make(ctx, ""),
		.nonce = secret_make(ctx, ""),
		.verifier = secret_make(ctx, ""),
		.next = mem_strdup(ctx, next),
		.again = again,
		.begun_ms = clock_wall_ms(),
	};
	struct place *place;

	(void)pthread_mutex_lock(&flows->mutex);
	place = room_for(flows, peer, now_ms);
	forget(place);
	place->owner = mem_context(NULL);
	place->flow = copy_of(place->owner, &flow);
	/* Only their hashes are needed. */
	place->flow.state = place->flow.browser = NULL;
	place->peer = mem_strdup(place->owner, peer);
	place->begun_ms = now_ms;
	hash_sha256_hex(flow.state, strlen(flow.state), place->state_hash);
	hash_sha256_hex(flow.browser, strlen(flow.browser), place->browser_hash);
	(void)pthread_mutex_unlock(&flows->mutex);
	*ret = flow;
}

static void hash_text(const char *text, char ret[HASH_HEX_SIZE])
{
	hash_sha256_hex(text ? text : "", text ? strlen(text) : 0, ret);
}

int oidc_flows_take(struct oidc_flows *flows, const void *ctx, const char *state, const char *browser, int64_t now_ms,
	struct oidc_flow *ret, struct err *err)
{
	char state_hash[HASH_HEX_SIZE], browser_hash[HASH_HEX_SIZE];
	bool found = false;

	hash_text(state, state_hash);
	hash_text(browser, browser_hash);
	(void)pthread_mutex_lock(&flows->mutex);
	for (size_t i = 0; i < FLOWS_MAX; i++) {
		struct place *place = &flows->places[i];

		if (!place->owner || !hash_hex_is(place->state_hash, state_hash))
			continue;
		found = now_ms - place->begun_ms < FLOW_LIFE_MS && hash_hex_is(place->browser_hash, browser_hash);
		if (found)
			*ret = copy_of(ctx, &place->flow);
		forget(place);
		break;
	}
	(void)pthread_mutex_unlock(&flows->mutex);
	if (found)
		return 0;
	return err_set(err, ERR_UNAUTHENTICATED,
		"this sign-in was not begun in this browser, has come back already, or took more than %d minutes",
		(int)(FLOW_LIFE_MS / 60000));
}
