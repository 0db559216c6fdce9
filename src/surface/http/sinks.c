/* Sinks (sinks.h): one thread each, so that one that hangs keeps no other waiting, and nobody else is ever kept waiting by any.
 *
 * A sink is a position in the journal that is kept in the store (store/sinks.h) and moves behind an entry when that has been taken. So an
 * entry is sent at least once, in order, whoever wrote it and however often this process ends; the ids of what is sent tell it when it
 * comes twice. Several servers on one store take turns, by a claim that is held for one batch.
 *
 * What goes wrong: an answer that may be another one later (no connection, 5xx, 408, 425, 429, and those that say that the configuration
 * is wrong: 401, 403, 404) is tried again, after a pause that doubles up to a minute or that the receiver asks for; the entries wait in
 * the journal and cost nothing meanwhile. An answer that says that this very event is not wanted (other 4xx, a redirect) is believed at
 * the third time, and the sink goes on behind it. For OTLP the protocol says which: 429, 502, 503, 504 again, all else not, and a partial
 * success is a success.
 *
 * Threads: the mutex guards what the threads wait for and the numbers; the rest belongs to each sink's own thread. */
#include "surface/http/sinks.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/sink.h"
#include "data/hash.h"
#include "data/json.h"
#include "data/redact.h"
#include "net/http.h"
#include "store/sinks.h"
#include "surface/http/cloudevents.h"
#include "surface/http/follow.h"
#include "surface/http/otlp.h"

#define BATCH            64
#define BATCH_MS         20000
#define LEASE_MS         60000
#define POST_MS          5000
#define PAUSE_MIN_MS     500
#define PAUSE_MAX_MS     60000
#define HELD_MS          1000 /* another server is sending */
#define DEAD_AFTER       5
#define REFUSALS_MAX     3
#define SKIPPED_MAX      1000 /* entries that are not wanted move the position in the store only so often */
#define TRACES_PATH      "/v1/traces"
#define OTLP_HEADERS_MAX 34

enum verdict { TAKEN, AGAIN, NOT_WANTED };

struct sinks;
struct sink {
	struct sinks *sinks;
	const struct sink_config *config;
	const char **headers; /* of OTLP; NULL-terminated */
	struct telling telling;
	struct workspace *workspace;
	pthread_t thread;
	int64_t kept;                /* position in the store */
	unsigned refusals;           /* of the entry that is next */
	unsigned failures;           /* in a row */
	int64_t pause_ms;            /* that the receiver asked for */
	struct sink_numbers numbers; /* under the mutex */
};

struct sinks {
	struct server *server;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int64_t head;
	bool stopping;
	struct sink *list;
	size_t count, started;
};

/* --- one entry ---------------------------------------------------------------------------------------------------- */

static int change_of(struct sink *sink, const void *ctx, const struct entry *entry, struct told_change *ret, struct err *err)
{
	struct store *store = sink->workspace->store;
	struct run_row run;
	int r;

	*ret = (struct told_change){ 0 };
	if (!entry->run) {
		ret->after = json_object_get(json_object_get(entry->data, "deployment"), "components");
		return entry->environment ? store_components_before(store, ctx, entry->environment, entry->seq, &ret->before, err) : 0;
	}
	r = store_run(store, ctx, entry->run, &run, err);
	if (r < 0)
		return r;
	ret->undone = run.undo_of != NULL;
	return store_components_of_run(store, ctx, &run, &ret->before, &ret->after, err);
}

static int make_trace(struct sink *sink, const void *ctx, const struct entry *entry, json_t **ret, struct err *err)
{
	struct entry_filter filter = { .run = entry->run };
	struct entry *entries;
	json_t *trace;
	size_t count;
	int r;

	r = store_read(sink->workspace->store, ctx, &filter, &entries, &count, err);
	if (r < 0)
		return r;
	trace = otlp_trace(ctx, sink->telling.project, entries, count);
	*ret = trace ? json_pack("[o]", trace) : json_array();
	return 0;
}

/* What the entry becomes: a list, often empty. New reference. */
static int make_events(struct sink *sink, const void *ctx, const struct entry *entry, json_t **ret, struct err *err)
{
	struct told_change change = { 0 };
	int r;

	switch (sink->config->format) {
	case SINK_CLOUDEVENTS:
		*ret = cloudevents_of(ctx, &sink->telling, entry);
		return 0;
	case SINK_CDEVENTS:
		if (cdevents_needs_change(entry)) {
			r = change_of(sink, ctx, entry, &change, err);
			if (r < 0)
				return r;
		}
		*ret = cdevents_of(ctx, &sink->telling, entry, &change);
		return 0;
	default:
		return make_trace(sink, ctx, entry, ret, err);
	}
}

static enum verdict judge(const struct sink *sink, int status)
{
	static const int again[] = { 401, 403, 404, 407, 408, 425, 429 }, again_otlp[] = { 429, 502, 503, 504 };
	bool otlp = sink->config->format == SINK_OTLP;
	const int *list = otlp ? again_otlp : again;

	if (status >= 200 && status < 300)
		return TAKEN;
	for (size_t i = 0; i < (otlp ? ARRAY_SIZE(again_otlp) : ARRAY_SIZE(again)); i++)
		if (list[i] == status)
			return AGAIN;
	return !otlp && status >= 500 ? AGAIN : NOT_WANTED;
}

static int make_headers(struct sink *sink, const void *ctx, const char **headers, struct err *err)
{
	size_t count = 0;
	const char *token;
	int r;

	headers[count++] = sink->config->format == SINK_OTLP ? "Content-Type: application/json"
							     : "Content-Type: application/cloudevents+json; charset=utf-8";
	for (size_t i = 0; sink->headers && sink->headers[i]; i++)
		headers[count++] = sink->headers[i];
	if (sink->config->token) {
		r = json_read_secret(ctx, sink->config->token, sink->sinks->server->dir, &token, err);
		if (r < 0)
			return r;
		headers[count++] = mem_printf(ctx, "Authorization: Bearer %s", token);
	}
	headers[count] = NULL;
	return 0;
}

/* `err` says what went wrong unless it was taken. */
static enum verdict post(struct sink *sink, const void *ctx, json_t *event, struct err *err)
{
	const char *headers[OTLP_HEADERS_MAX + 2];
	struct http_request request = { .url = sink->config->url, .headers = headers, .timeout_ms = POST_MS, .local_ok = true };
	struct http_response response;
	json_t *clean = json_redact(event, 8);
	char *text = json_dumps(clean, JSON_COMPACT);
	enum verdict verdict = AGAIN;

	request.body = text;
	request.body_size = strlen(text);
	if (make_headers(sink, ctx, headers, err) == 0 && http_request(ctx, &request, &response, err) == 0) {
		verdict = judge(sink, response.status);
		sink->pause_ms = response.retry_after_ms;
		if (verdict != TAKEN)
			err_set(err, ERR_UNREACHABLE, "it answered %d", response.status);
	}
	free(text);
	json_decref(clean);
	return verdict;
}

static enum verdict deliver(struct sink *sink, const void *ctx, const struct entry *entry, struct err *err)
{
	enum verdict verdict = TAKEN;
	json_t *events, *event;
	size_t index;

	if (make_events(sink, ctx, entry, &events, err) < 0)
		return AGAIN;
	json_array_foreach(events, index, event) {
		verdict = post(sink, ctx, event, err);
		if (verdict != TAKEN)
			break;
	}
	json_decref(events);
	return verdict;
}

/* --- the thread's work -------------------------------------------------------------------------------------------- */

static bool is_stopping(struct sinks *sinks)
{
	bool stopping;

	(void)pthread_mutex_lock(&sinks->mutex);
	stopping = sinks->stopping;
	(void)pthread_mutex_unlock(&sinks->mutex);
	return stopping;
}

static void note(struct sink *sink, int64_t position, uint64_t *number)
{
	(void)pthread_mutex_lock(&sink->sinks->mutex);
	sink->numbers.position = position;
	if (number)
		(*number)++;
	if (number == &sink->numbers.delivered)
		sink->numbers.healthy = true;
	if (number == &sink->numbers.failed)
		sink->numbers.healthy = false;
	(void)pthread_mutex_unlock(&sink->sinks->mutex);
}

static void went_well(struct sink *sink)
{
	if (sink->failures >= DEAD_AFTER)
		log_event(LOG_INFO, "a sink takes events again", "sink", sink->config->name, NULL);
	sink->failures = sink->refusals = 0;
}

/* Said once, and then only counted. */
static void went_wrong(struct sink *sink, int64_t position, const struct err *err)
{
	if (++sink->failures == DEAD_AFTER)
		log_event(LOG_WARN, "a sink does not take events; they wait in the journal, and it is tried again", "sink",
			sink->config->name, "error", err->text, NULL);
	note(sink, position, &sink->numbers.failed);
}

/* True: the next one. */
static bool settle(struct sink *sink, const struct entry *entry, enum verdict verdict, const struct err *err)
{
	unsigned most = sink->config->format == SINK_OTLP ? 1 : REFUSALS_MAX;

	if (verdict == TAKEN) {
		went_well(sink);
		note(sink, entry->seq, &sink->numbers.delivered);
		return true;
	}
	if (verdict == NOT_WANTED && ++sink->refusals >= most) {
		log_event(LOG_WARN, "a sink does not want an event; it goes on behind it", "sink", sink->config->name, "entry", entry->id,
			"kind", entry->kind, "error", err->text, NULL);
		went_well(sink);
		note(sink, entry->seq, &sink->numbers.refused);
		return true;
	}
	went_wrong(sink, entry->seq - 1, err);
	return false;
}

/* Sends what is there behind `position`. 0: all of it; 1: there is more; negative: pause. */
static int send_batch(struct sink *sink, int64_t *position, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry_filter filter = { .after_seq = *position, .limit = BATCH };
	int64_t until_ms = clock_mono_ms() + BATCH_MS;
	struct entry *entries;
	size_t count, i;
	int r;

	r = store_read(sink->workspace->store, ctx, &filter, &entries, &count, err);
	if (r < 0) {
		went_wrong(sink, *position, err);
		return r;
	}
	for (i = 0; i < count && !is_stopping(sink->sinks) && clock_mono_ms() < until_ms; i++) {
		_cleanup_talloc_ void *tmp = mem_context(NULL);

		if (sink_wants(sink->config, &entries[i]) && !settle(sink, &entries[i], deliver(sink, tmp, &entries[i], err), err))
			return -(int)ERR_UNREACHABLE;
		*position = entries[i].seq;
	}
	note(sink, *position, NULL);
	return i < count || count == BATCH;
}

/* Keeps the position, unless only unwanted entries were passed. */
static int keep(struct sink *sink, int64_t position, bool sent, struct err *err)
{
	int r;

	if (position <= sink->kept || (!sent && position - sink->kept < SKIPPED_MAX))
		return 0;
	r = store_sink_move(sink->workspace->store, sink->config->name, position, err);
	if (r == 0)
		sink->kept = position;
	return r;
}

/* Whatever is sent and not kept is sent again. */
static int send_claimed(struct sink *sink, struct err *err)
{
	uint64_t before = sink->numbers.delivered + sink->numbers.refused;
	struct err unkept = ERR_INIT;
	int64_t position;
	int r;

	r = store_sink_position(sink->workspace->store, sink->config->name, &position, err);
	if (r < 0) {
		went_wrong(sink, sink->numbers.position, err);
		return r;
	}
	sink->kept = position;
	position = MAX(position, sink->numbers.position);
	r = send_batch(sink, &position, err);
	if (keep(sink, position, sink->numbers.delivered + sink->numbers.refused > before, &unkept) < 0) {
		went_wrong(sink, sink->kept, &unkept);
		return -(int)unkept.code;
	}
	return r;
}

/* Is one of the entries wanted? Passes over those that are not, without a claim. */
static int look_ahead(struct sink *sink, bool *ret_wanted, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry_filter filter = { .after_seq = sink->numbers.position, .limit = BATCH };
	struct entry *entries;
	size_t count = 0;
	int r;

	*ret_wanted = false;
	r = store_read(sink->workspace->store, ctx, &filter, &entries, &count, err);
	if (r < 0) {
		went_wrong(sink, sink->numbers.position, err);
		return r;
	}
	for (size_t i = 0; i < count && !*ret_wanted; i++) {
		*ret_wanted = sink_wants(sink->config, &entries[i]);
		if (!*ret_wanted)
			note(sink, entries[i].seq, NULL);
	}
	return *ret_wanted ? 0 : keep(sink, sink->numbers.position, false, err);
}

/* >= 0: done for now; negative: pause. *ret_pause_ms: for how long. */
static int work(struct sink *sink, int64_t *ret_pause_ms)
{
	struct journal *journal = &sink->workspace->store->journal;
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct claim claim = { 0 };
	struct err err = ERR_INIT;
	bool wanted;
	int r;

	sink->pause_ms = 0;
	r = look_ahead(sink, &wanted, &err);
	if (r == 0 && !wanted)
		return 0;
	if (r == 0) {
		r = journal->ops->claim(journal, ctx, mem_printf(ctx, "sink:%s", sink->config->name), LEASE_MS, &claim, &err);
		if (r < 0) {
			*ret_pause_ms = HELD_MS;
			return r;
		}
		r = send_claimed(sink, &err);
		if (journal->ops->release(journal, &claim, &err) < 0)
			log_event(LOG_DEBUG, "a sink's claim was not released", "sink", sink->config->name, "error", err.text, NULL);
	}
	*ret_pause_ms = MAX(sink->pause_ms,
		MIN((int64_t)PAUSE_MIN_MS << MIN(sink->failures ? sink->failures - 1 : 0, 10u), (int64_t)PAUSE_MAX_MS));
	return r;
}

static void wait_until(struct sinks *sinks, int64_t until_ms)
{
	struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000 };

	while (!sinks->stopping && pthread_cond_timedwait(&sinks->changed, &sinks->mutex, &until) == 0)
		;
}

static void *sink_main(void *user)
{
	struct sink *sink = user;
	struct sinks *sinks = sink->sinks;

	(void)pthread_mutex_lock(&sinks->mutex);
	while (!sinks->stopping) {
		int64_t pause_ms = 0;
		int r;

		if (sinks->head <= sink->numbers.position) {
			(void)pthread_cond_wait(&sinks->changed, &sinks->mutex);
			continue;
		}
		(void)pthread_mutex_unlock(&sinks->mutex);
		r = work(sink, &pause_ms);
		(void)pthread_mutex_lock(&sinks->mutex);
		if (r < 0)
			wait_until(sinks, clock_mono_ms() + pause_ms);
	}
	(void)pthread_mutex_unlock(&sinks->mutex);
	return NULL;
}

/* On the follower's thread. */
static void entries_added(void *user, const struct entry *entries, size_t count)
{
	struct sinks *sinks = user;

	(void)pthread_mutex_lock(&sinks->mutex);
	sinks->head = entries[count - 1].seq;
	(void)pthread_cond_broadcast(&sinks->changed);
	(void)pthread_mutex_unlock(&sinks->mutex);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* As OpenTelemetry's own exporters are configured. NULL: no collector. */
static const char *otlp_url(const void *ctx)
{
	const char *whole = getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), *base = getenv("OTEL_EXPORTER_OTLP_ENDPOINT");
	const char *disabled = getenv("OTEL_SDK_DISABLED"), *url = NULL;
	size_t length;

	if (disabled && !strcasecmp(disabled, "true"))
		return NULL;
	if (whole && *whole) {
		url = mem_strdup(ctx, whole);
	} else if (base && *base) {
		length = strlen(base);
		while (length > 0 && base[length - 1] == '/')
			length--;
		url = mem_printf(ctx, "%.*s" TRACES_PATH, (int)length, base);
	}
	if (url && strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) {
		log_event(LOG_WARN, "OTEL_EXPORTER_OTLP_ENDPOINT begins neither with http:// nor with https://; no traces are sent", NULL);
		return NULL;
	}
	return url;
}

static const char **otlp_own_headers(const void *ctx)
{
	const char *text = getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS");
	const char **lines;

	if (!text)
		text = getenv("OTEL_EXPORTER_OTLP_HEADERS");
	lines = otlp_headers(ctx, text ? text : "");
	for (size_t i = 0; lines[i]; i++)
		secret_add(strstr(lines[i], ": ") + 2);
	return lines;
}

static void add_otlp(struct sinks *sinks)
{
	static const char *ended[] = { ENTRY_RUN_ENDED, NULL };
	struct sink_config *config = mem_zero(sinks, struct sink_config);
	char sum[HASH_HEX_SIZE];
	const char *url = otlp_url(sinks);

	if (!url)
		return;
	hash_sha256_hex(url, strlen(url), sum);
	*config = (struct sink_config){ .name = mem_printf(sinks, "otlp-%.12s", sum), .url = url, .format = SINK_OTLP, .kinds = ended };
	sinks->list[sinks->count++] = (struct sink){ .config = config, .headers = otlp_own_headers(sinks) };
}

static int start_sink(struct sink *sink, struct sinks *sinks, struct err *err)
{
	int64_t position;
	int r;

	sink->sinks = sinks;
	sink->numbers.healthy = true;
	sink->telling.project = sinks->server->project->name;
	sink->telling.source = sink->config->source ? sink->config->source : mem_printf(sinks, "/unship/%s", sink->telling.project);
	r = server_workspace(sinks->server, sinks, &sink->workspace, err);
	if (r == 0)
		r = workspace_store(sink->workspace, err);
	if (r == 0)
		r = store_sink_position(sink->workspace->store, sink->config->name, &position, err);
	if (r < 0)
		return err_in(err, "sink '%s'", sink->config->name);
	sink->numbers.position = sink->kept = position;
	r = pthread_create(&sink->thread, NULL, sink_main, sink);
	return r != 0 ? err_errno(err, r, "sink '%s': a thread", sink->config->name) : 0;
}

static void sinks_stop(struct server *server, void *state)
{
	struct sinks *sinks = state;

	follower_unsubscribe(server->follower, entries_added, sinks);
	(void)pthread_mutex_lock(&sinks->mutex);
	sinks->stopping = true;
	(void)pthread_cond_broadcast(&sinks->changed);
	(void)pthread_mutex_unlock(&sinks->mutex);
	for (size_t i = 0; i < sinks->started; i++)
		(void)pthread_join(sinks->list[i].thread, NULL);
	(void)talloc_free(sinks);
}

static int sinks_free(struct sinks *sinks)
{
	(void)pthread_cond_destroy(&sinks->changed);
	(void)pthread_mutex_destroy(&sinks->mutex);
	return 0;
}

static int sinks_start(struct server *server, void **ret_state, struct err *err)
{
	struct sinks *sinks = mem_zero(NULL, struct sinks);
	pthread_condattr_t attributes;
	int64_t head;
	int r = 0;

	sinks->server = server;
	(void)pthread_mutex_init(&sinks->mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&sinks->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	talloc_set_destructor(sinks, sinks_free);
	sinks->list = mem_array(sinks, struct sink, server->config->sink_count + 1);
	for (size_t i = 0; i < server->config->sink_count; i++)
		sinks->list[sinks->count++].config = &server->config->sinks[i];
	add_otlp(sinks);
	follower_subscribe(server->follower, entries_added, sinks, &head);
	(void)pthread_mutex_lock(&sinks->mutex);
	sinks->head = MAX(sinks->head, head);
	(void)pthread_mutex_unlock(&sinks->mutex);
	for (; r == 0 && sinks->started < sinks->count; sinks->started += r == 0)
		r = start_sink(&sinks->list[sinks->started], sinks, err);
	if (r < 0) {
		sinks_stop(server, sinks);
		return r;
	}
	*ret_state = sinks;
	return 0;
}

const struct service sinks_service = { .name = "sinks", .start = sinks_start, .stop = sinks_stop };

void sinks_each(struct server *server, void (*each)(void *user, const char *name, const struct sink_numbers *numbers), void *user)
{
	struct sinks *sinks = service_state(server, &sinks_service);

	(void)pthread_mutex_lock(&sinks->mutex);
	for (size_t i = 0; i < sinks->count; i++)
		each(user, sinks->list[i].config->name, &sinks->list[i].numbers);
	(void)pthread_mutex_unlock(&sinks->mutex);
}
