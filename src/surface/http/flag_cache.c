/* The flags in memory: see flag_cache.h.
 *
 * Threads: the follower's marks environments, the service's reads them from the store and puts new sets in place, those of connections
 * take and give back. `mutex` guards the marks and the pointers to the sets; nobody holds it while the store is read. A set is freed by
 * whoever gives it back last. */
#include "surface/http/flag_cache.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "data/json.h"
#include "surface/http/follow.h"

#define TICK_MS          1000
#define STOP_PATIENCE_MS 3000

struct flag_cache {
	struct server *server;
	struct workspace *workspace; /* the thread's, once it runs */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t marked; /* with mutex: an environment is, or stop */
	size_t count;          /* environments of the project */
	struct flag_set **sets;
	bool *stale; /* by environment: to be read */
	bool stopping, failing;
	struct flag_streams *streams;
};

/* --- sets ---------------------------------------------------------------------------------------------------------- */

static char *quoted(const void *ctx, const char *text)
{
	json_t *string = json_string(text);
	char *result = json_canonical(ctx, string);

	json_decref(string);
	return result;
}

static void write_texts(const void *ctx, struct cached_flag *cached)
{
	const struct flag *flag = cached->flag;

	cached->head = mem_printf(ctx, "{\"key\":%s", quoted(ctx, flag->key));
	cached->tail = flag->group ? mem_printf(ctx, ",\"metadata\":{\"group\":%s}}", quoted(ctx, flag->group)) : "}";
	cached->variants = mem_array(ctx, const char *, flag->variant_count);
	for (size_t i = 0; i < flag->variant_count; i++)
		cached->variants[i] = mem_printf(ctx, ",\"variant\":%s,\"value\":%s", quoted(ctx, flag->variants[i].name),
			json_canonical(ctx, flag->variants[i].value));
}

static void cache_flag(struct flag_set *set, const struct flag_row *row)
{
	struct cached_flag *cached = &set->flags[set->count++];
	struct err why = ERR_INIT;
	struct flag *flag;

	if (store_flag_read(set, row, &flag, &cached->state, &why) < 0)
		cached->trouble = mem_strdup(set, why.text);
	cached->flag = flag;
	write_texts(set, cached);
}

/* Rows come by key. */
static int set_read(struct store *store, const char *environment, struct flag_set **ret, struct err *err)
{
	struct flag_set *set = mem_zero(NULL, struct flag_set);
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct flag_row *rows;
	size_t count;
	int r;

	set->environment = mem_strdup(set, environment);
	atomic_store(&set->references, 1);
	r = store_head(store, &set->version, err); /* first: the flags are then at least as new */
	if (r == 0)
		r = store_flags(store, tmp, environment, NULL, &rows, &count, err);
	if (r < 0) {
		(void)talloc_free(set);
		return r;
	}
	set->flags = mem_array(set, struct cached_flag, count);
	for (size_t i = 0; i < count; i++)
		cache_flag(set, &rows[i]);
	*ret = set;
	return 0;
}

void flag_cache_give(struct flag_set *set)
{
	if (set && atomic_fetch_sub(&set->references, 1) == 1)
		(void)talloc_free(set);
}

static int find_environment(const struct server *server, const char *environment)
{
	for (size_t i = 0; environment && i < server->project->environment_count; i++)
		if (strcmp(server->project->environments[i].name, environment) == 0)
			return (int)i;
	return -1;
}

struct flag_set *flag_cache_take(struct server *server, const char *environment)
{
	struct flag_cache *cache = service_state(server, &flag_service);
	int at = find_environment(server, environment);
	struct flag_set *set;

	if (at < 0)
		return NULL;
	(void)pthread_mutex_lock(&cache->mutex);
	set = cache->sets[at];
	atomic_fetch_add(&set->references, 1);
	(void)pthread_mutex_unlock(&cache->mutex);
	return set;
}

const struct cached_flag *flag_set_find(const struct flag_set *set, const char *key)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(key, set->flags[middle].flag->key);

		if (order == 0)
			return &set->flags[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

void flag_cache_wake(struct server *server)
{
	struct flag_cache *cache = service_state(server, &flag_service);

	(void)pthread_mutex_lock(&cache->mutex);
	(void)pthread_cond_signal(&cache->marked);
	(void)pthread_mutex_unlock(&cache->mutex);
}

struct flag_streams *flag_streams_of(struct server *server)
{
	return ((struct flag_cache *)service_state(server, &flag_service))->streams;
}

/* --- keeping them fresh -------------------------------------------------------------------------------------------- */

static bool changes_access(const char *kind)
{
	static const char *const kinds[] = { ENTRY_TOKEN_REVOKED, ENTRY_PRINCIPAL_CHANGED, ENTRY_PRINCIPAL_REMOVED };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

/* On the follower's thread. */
static void saw(void *user, const struct entry *entries, size_t count)
{
	struct flag_cache *cache = user;
	bool access_changed = false;

	(void)pthread_mutex_lock(&cache->mutex);
	for (size_t i = 0; i < count; i++) {
		int at = text_starts_with(entries[i].kind, "flag.") ? find_environment(cache->server, entries[i].environment) : -1;

		if (at >= 0) {
			cache->stale[at] = true;
			(void)pthread_cond_signal(&cache->marked);
		}
		access_changed |= changes_access(entries[i].kind);
	}
	(void)pthread_mutex_unlock(&cache->mutex);
	if (access_changed)
		flag_streams_void(cache->streams);
}

static int refresh(struct flag_cache *cache, size_t at, struct err *err)
{
	const char *environment = cache->server->project->environments[at].name;
	struct flag_set *fresh, *old;
	int r;

	r = set_read(cache->workspace->store, environment, &fresh, err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&cache->mutex);
	old = cache->sets[at];
	cache->sets[at] = fresh;
	(void)pthread_mutex_unlock(&cache->mutex);
	flag_cache_give(old);
	flag_streams_changed(cache->streams, environment, fresh->version);
	return 0;
}

/* Takes the mark of one environment away. -1: none has one. */
static int next_stale(struct flag_cache *cache)
{
	for (size_t i = 0; i < cache->count; i++)
		if (cache->stale[i]) {
			cache->stale[i] = false;
			return (int)i;
		}
	return -1;
}

static void wait_a_tick(struct flag_cache *cache)
{
	int64_t until_ms = clock_mono_ms() + TICK_MS;
	struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000 };

	(void)pthread_cond_timedwait(&cache->marked, &cache->mutex, &until);
}

static void *cache_main(void *user)
{
	struct flag_cache *cache = user;

	(void)pthread_mutex_lock(&cache->mutex);
	while (!cache->stopping) {
		int at = next_stale(cache);
		struct err err = ERR_INIT;

		(void)pthread_mutex_unlock(&cache->mutex);
		if (at >= 0 && refresh(cache, (size_t)at, &err) < 0) {
			if (!cache->failing)
				log_event(LOG_WARN, "flags cannot be read, trying again; the answers stay as they were", "error", err.text,
					NULL);
			cache->failing = true;
		} else if (at >= 0) {
			cache->failing = false;
		}
		flag_streams_tick(cache->streams, clock_mono_ms());
		(void)pthread_mutex_lock(&cache->mutex);
		if (err.code)
			cache->stale[at] = true;
		if (cache->stopping || (at >= 0 && !err.code))
			continue;
		/* Nobody listens and nothing is to be tried again: sleep until something is marked. */
		if (err.code || flag_streams_any(cache->streams))
			wait_a_tick(cache);
		else
			(void)pthread_cond_wait(&cache->marked, &cache->mutex);
	}
	(void)pthread_mutex_unlock(&cache->mutex);
	return NULL;
}

static int cache_free(struct flag_cache *cache)
{
	for (size_t i = 0; i < cache->count; i++)
		flag_cache_give(cache->sets[i]);
	(void)pthread_cond_destroy(&cache->marked);
	(void)pthread_mutex_destroy(&cache->mutex);
	return 0;
}

static int cache_fill(struct flag_cache *cache, struct err *err)
{
	int r;

	r = server_workspace(cache->server, cache, &cache->workspace, err);
	if (r == 0)
		r = workspace_store(cache->workspace, err);
	for (size_t i = 0; r == 0 && i < cache->count; i++)
		r = set_read(cache->workspace->store, cache->server->project->environments[i].name, &cache->sets[i], err);
	return r;
}

static int flag_start(struct server *server, void **ret_state, struct err *err)
{
	struct flag_cache *cache = mem_zero(NULL, struct flag_cache);
	pthread_condattr_t attributes;
	int64_t head;
	int r;

	cache->server = server;
	cache->count = server->project->environment_count;
	cache->sets = mem_array(cache, struct flag_set *, cache->count);
	cache->stale = mem_array(cache, bool, cache->count);
	cache->streams = flag_streams_new(cache);
	(void)pthread_mutex_init(&cache->mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&cache->marked, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	talloc_set_destructor(cache, cache_free);
	/* Subscribed before the first reading: what is written between the two is marked, and read again. */
	follower_subscribe(server->follower, saw, cache, &head);
	r = cache_fill(cache, err);
	if (r == 0) {
		r = pthread_create(&cache->thread, NULL, cache_main, cache);
		if (r != 0)
			r = err_errno(err, r, "a thread");
	}
	if (r < 0) {
		follower_unsubscribe(server->follower, saw, cache);
		(void)talloc_free(cache);
		return r;
	}
	*ret_state = cache;
	return 0;
}

static void flag_stop(struct server *server, void *state)
{
	struct flag_cache *cache = state;

	follower_unsubscribe(server->follower, saw, cache);
	(void)pthread_mutex_lock(&cache->mutex);
	cache->stopping = true;
	(void)pthread_cond_signal(&cache->marked);
	(void)pthread_mutex_unlock(&cache->mutex);
	(void)pthread_join(cache->thread, NULL);
	if (flag_streams_stop(cache->streams, STOP_PATIENCE_MS))
		(void)talloc_free(cache);
}

const struct service flag_service = { .name = "flags", .start = flag_start, .stop = flag_stop };
