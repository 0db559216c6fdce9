/* The event stream of OFREP: tells applications that flags have changed, so that they ask again (the protocol's `eventStreams`, messages
 * of the type refetchEvaluation). It says that something changed and never what.
 *
 * A browser's EventSource can send no header, so its address carries a ticket: environment and end, signed with a key that only this
 * process has. Bulk answers hand tickets out to whoever may see the environment. The end lies on a grid of hours, so that answers, and
 * with them their ETags, stay the same for long. When somebody's token is revoked or their permissions change, the key is thrown away: all
 * streams end, and their clients ask for their flags again, with a credential that is looked at then, and get a new ticket.
 *
 * A new stream begins with one message: what changed between the answer and the stream is not missed. After that a client is told the
 * newest version only, however many there were.
 *
 * Threads: `read` and `closed` on those of connections, the rest on the service's and the follower's. `mutex` guards the list and the key
 * and is held while streams are woken; members of a stream that several threads touch are atomic. */
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/text.h"
#include "data/hash.h"
#include "surface/http/flag_cache.h"

#define PATH        "/ofrep/v1/events"
#define HOUR_MS     (INT64_C(3600) * 1000)
#define GRID_MS     (12 * HOUR_MS)
#define BEAT_MS     15000
#define RETRY       "retry: 1000\n"
#define NOTE_MAX    160
#define STREAMS_MAX 20000
#define KEY_SIZE    32

struct flag_stream {
	struct flag_streams *streams;
	struct stream *stream;
	const char *environment;
	int64_t until_ms;  /* wall: of the ticket */
	int64_t beaten_ms; /* monotonic; the service's thread */
	_Atomic int64_t version;
	atomic_bool beat, ended;
	int64_t told; /* version that was told; -1: none yet */
	bool greeted;
	char note[NOTE_MAX];
	size_t note_size, note_sent;
	struct flag_stream *prev, *next;
};

struct flag_streams {
	pthread_mutex_t mutex;
	pthread_cond_t emptied;
	struct flag_stream *list;
	size_t count;
	unsigned char key[KEY_SIZE];
};

static void new_key(struct flag_streams *streams)
{
	assert_always(getrandom(streams->key, KEY_SIZE, 0) == KEY_SIZE);
}

static int streams_free(struct flag_streams *streams)
{
	(void)pthread_cond_destroy(&streams->emptied);
	(void)pthread_mutex_destroy(&streams->mutex);
	return 0;
}

struct flag_streams *flag_streams_new(const void *ctx)
{
	struct flag_streams *streams = mem_zero(ctx, struct flag_streams);
	pthread_condattr_t attributes;

	(void)pthread_mutex_init(&streams->mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&streams->emptied, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	talloc_set_destructor(streams, streams_free);
	new_key(streams);
	return streams;
}

/* --- streams ------------------------------------------------------------------------------------------------------- */

static void note(struct flag_stream *stream)
{
	int64_t version = atomic_load(&stream->version);
	int size = 0;

	if (stream->told != version) {
		size = snprintf(stream->note, NOTE_MAX, "%sid: %lld\ndata: {\"type\":\"refetchEvaluation\",\"etag\":\"%lld\"}\n\n",
			stream->greeted ? "" : RETRY, (long long)version, (long long)version);
		stream->told = version;
		stream->greeted = true;
		atomic_store(&stream->beat, false);
	} else if (atomic_exchange(&stream->beat, false)) {
		size = snprintf(stream->note, NOTE_MAX, ":\n\n");
	}
	assert_always(size >= 0 && size < NOTE_MAX);
	stream->note_size = (size_t)size;
	stream->note_sent = 0;
}

static long stream_read(void *state, char *buffer, size_t max)
{
	struct flag_stream *stream = state;
	size_t size;

	if (stream->note_sent == stream->note_size) {
		if (atomic_load(&stream->ended))
			return -1;
		note(stream);
	}
	size = MIN(max, stream->note_size - stream->note_sent);
	memcpy(buffer, stream->note + stream->note_sent, size);
	stream->note_sent += size;
	return (long)size;
}

static void stream_closed(void *state)
{
	struct flag_stream *stream = state;
	struct flag_streams *streams = stream->streams;

	(void)pthread_mutex_lock(&streams->mutex);
	DL_DELETE(streams->list, stream);
	streams->count--;
	if (!streams->list)
		(void)pthread_cond_signal(&streams->emptied);
	(void)pthread_mutex_unlock(&streams->mutex);
	(void)talloc_free(stream);
}

static const struct stream_ops stream_ops = { .read = stream_read, .closed = stream_closed };

void flag_streams_changed(struct flag_streams *streams, const char *environment, int64_t version)
{
	struct flag_stream *stream;

	(void)pthread_mutex_lock(&streams->mutex);
	DL_FOREACH(streams->list, stream)
	{
		if (strcmp(stream->environment, environment) != 0)
			continue;
		atomic_store(&stream->version, version);
		stream_wake(stream->stream);
	}
	(void)pthread_mutex_unlock(&streams->mutex);
}

static void end_stream(struct flag_stream *stream)
{
	atomic_store(&stream->ended, true);
	stream_wake(stream->stream);
}

void flag_streams_void(struct flag_streams *streams)
{
	struct flag_stream *stream;

	(void)pthread_mutex_lock(&streams->mutex);
	new_key(streams);
	DL_FOREACH(streams->list, stream)
	end_stream(stream);
	(void)pthread_mutex_unlock(&streams->mutex);
}

void flag_streams_tick(struct flag_streams *streams, int64_t now_ms)
{
	int64_t wall_ms = clock_wall_ms();
	struct flag_stream *stream;

	(void)pthread_mutex_lock(&streams->mutex);
	DL_FOREACH(streams->list, stream)
	{
		if (wall_ms >= stream->until_ms) {
			end_stream(stream);
		} else if (now_ms - stream->beaten_ms >= BEAT_MS) {
			stream->beaten_ms = now_ms;
			atomic_store(&stream->beat, true);
			stream_wake(stream->stream);
		}
	}
	(void)pthread_mutex_unlock(&streams->mutex);
}

bool flag_streams_any(struct flag_streams *streams)
{
	bool any;

	(void)pthread_mutex_lock(&streams->mutex);
	any = streams->list != NULL;
	(void)pthread_mutex_unlock(&streams->mutex);
	return any;
}

bool flag_streams_stop(struct flag_streams *streams, int64_t patience_ms)
{
	int64_t until_ms = clock_mono_ms() + patience_ms;
	struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000 };
	struct flag_stream *stream;
	bool empty;

	(void)pthread_mutex_lock(&streams->mutex);
	DL_FOREACH(streams->list, stream)
	end_stream(stream);
	while (streams->list && pthread_cond_timedwait(&streams->emptied, &streams->mutex, &until) == 0)
		;
	empty = !streams->list;
	(void)pthread_mutex_unlock(&streams->mutex);
	return empty;
}

/* --- tickets ------------------------------------------------------------------------------------------------------- */

static void sign(struct flag_streams *streams, const char *environment, int64_t until_ms, char ret[HASH_HEX_SIZE])
{
	_cleanup_talloc_ char *text = mem_printf(NULL, "%s\n%lld", environment, (long long)until_ms);
	unsigned char key[KEY_SIZE];

	(void)pthread_mutex_lock(&streams->mutex);
	memcpy(key, streams->key, KEY_SIZE);
	(void)pthread_mutex_unlock(&streams->mutex);
	hash_hmac_sha256_hex(key, KEY_SIZE, text, strlen(text), ret);
}

char *flag_streams_ticket(struct flag_streams *streams, const void *ctx, const char *environment)
{
	int64_t until_ms = (clock_wall_ms() / GRID_MS + 2) * GRID_MS;
	char sum[HASH_HEX_SIZE];

	sign(streams, environment, until_ms, sum);
	return mem_printf(ctx, PATH "?environment=%s&until=%lld&sign=%s", environment, (long long)until_ms, sum);
}

/* In constant time. */
static bool is_signed(struct flag_streams *streams, const char *environment, int64_t until_ms, const char *given)
{
	unsigned char difference = 0;
	char right[HASH_HEX_SIZE];

	sign(streams, environment, until_ms, right);
	if (strlen(given) != HASH_HEX_SIZE - 1)
		return false;
	for (size_t i = 0; i < HASH_HEX_SIZE - 1; i++)
		difference |= (unsigned char)(given[i] ^ right[i]);
	return difference == 0;
}

static int check_ticket(struct exchange *x, struct flag_streams *streams, int64_t *ret_until_ms, struct err *err)
{
	const char *environment = exchange_query(x, "environment"), *until = exchange_query(x, "until"), *given = exchange_query(x, "sign");
	struct err ignored = ERR_INIT;
	int64_t until_ms = 0;

	if (environment && given && until && text_parse_int(until, 0, INT64_MAX, &until_ms, &ignored) == 0 && until_ms > clock_wall_ms() &&
		is_signed(streams, environment, until_ms, given)) {
		*ret_until_ms = until_ms;
		return 0;
	}
	return err_set(err, ERR_UNAUTHENTICATED,
		"this address of an event stream holds no longer: evaluate the flags again, the answer names a new one");
}

/* Only once the stream is in the list, where it is told of what comes: so no change falls between. */
static void know_version(struct server *server, struct flag_stream *stream)
{
	struct flag_set *set = flag_cache_take(server, stream->environment);

	(void)pthread_mutex_lock(&stream->streams->mutex);
	if (set && set->version > atomic_load(&stream->version))
		atomic_store(&stream->version, set->version);
	(void)pthread_mutex_unlock(&stream->streams->mutex);
	flag_cache_give(set);
}

int flag_stream_open(struct exchange *x, struct err *err)
{
	struct flag_streams *streams = flag_streams_of(x->server);
	const char *last = exchange_header(x, "Last-Event-ID");
	struct flag_stream *stream;
	struct flag_set *set;
	int64_t until_ms;
	size_t count;
	int r;

	r = check_ticket(x, streams, &until_ms, err);
	if (r < 0)
		return r;
	set = flag_cache_take(x->server, exchange_query(x, "environment"));
	if (!set)
		return err_set(err, ERR_NOT_FOUND, "there is no such environment any more");
	flag_cache_give(set);
	stream = mem_zero(NULL, struct flag_stream);
	stream->streams = streams;
	stream->environment = mem_strdup(stream, exchange_query(x, "environment"));
	stream->until_ms = until_ms;
	stream->beaten_ms = clock_mono_ms();
	stream->told = -1;
	if (last && text_parse_int(last, 0, INT64_MAX, &stream->told, &(struct err){ 0 }) < 0)
		stream->told = -1;
	(void)pthread_mutex_lock(&streams->mutex);
	count = streams->count;
	(void)pthread_mutex_unlock(&streams->mutex);
	if (count >= STREAMS_MAX) {
		(void)talloc_free(stream);
		return err_set(err, ERR_LIMITED, "%d applications listen already", STREAMS_MAX);
	}
	exchange_add_header(x, "Cache-Control", "no-store");
	exchange_add_header(x, "X-Accel-Buffering", "no"); /* asks proxies to pass events on as they come */
	stream->stream = exchange_stream(x, "text/event-stream", &stream_ops, stream);
	(void)pthread_mutex_lock(&streams->mutex);
	DL_APPEND(streams->list, stream);
	streams->count++;
	(void)pthread_mutex_unlock(&streams->mutex);
	know_version(x->server, stream);
	flag_cache_wake(x->server);
	return 0;
}
