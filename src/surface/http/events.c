/* Live events.
 *
 * Every client is a position in the journal, nothing more: no queue belongs to it. What it reads are the frames that all clients share (frames.h); a client that is slow, or resumes far back, finds its next
 * frame away, and the service's thread loads the block that it is in from the store again. So memory is bounded whatever clients do, and nothing is lost or repeated: the position moves by one entry
 * at a time, and an entry that may not be seen, or was not asked for, is passed over when it is its turn.
 *
 * A client is woken when an entry that it wants was added, when its block was loaded, when its heartbeat is due, and when it must end. Heartbeats carry the position as `id`, without data: a client that sees
 * few entries then does not resume from long ago.
 *
 * Who may read is looked at when the stream begins, at every entry for its environment, and again when the journal says that a token, session or principal has changed: such a stream ends, and the client
 * must come back with a credential that holds. What ends by time alone is looked for each second.
 *
 * Threads: `read` and `closed` run on connection threads, `added` on the follower's, and the service has one thread. `mutex` guards the list of clients and is held while they are woken; `frames_mutex`
 * guards the frames. In this order. What several threads touch of a client is atomic. */
#include "surface/http/events.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "data/json.h"
#include "store/access.h"
#include "surface/http/follow.h"
#include "surface/http/frames.h"

#define TICK_MS          1000
#define STOP_PATIENCE_MS 3000
#define KINDS_MAX        16
#define NOTE_MAX         104 /* the longest has two numbers of 20 digits */
#define REVOKED_MAX      64
#define REVOKED_MS       2000
#define RETRY_MIN_MS     500 /* clients that were cut together come back spread over RETRY_MIN_MS to RETRY_MAX_MS */
#define RETRY_MAX_MS     2500

enum ending { ENDING_NOT, ENDING_STOP, ENDING_REVOKED };
static const char *const farewells[] = {
	[ENDING_STOP] = "the server stops; come back",
	[ENDING_REVOKED] = "your permissions have changed or ended; come back",
};

struct events;
struct client {
	struct events *events;
	struct stream *stream;
	const struct principal *principal;
	struct frame_filter filter;
	int64_t next;  /* entry whose turn it is */
	size_t offset; /* bytes of its frame that have gone out */
	char note[NOTE_MAX];
	size_t note_size, note_sent;
	bool by_session;  /* else by a token */
	int64_t check_ms; /* wall: the credential holds until then, and is looked at again; 0: not looked at yet. The service's thread */
	_Atomic int64_t block;   /* first entry of the block that it waits for; 0: none */
	_Atomic int64_t sent_ms; /* monotonic, when something went out */
	atomic_int ending;       /* enum ending */
	bool said_farewell;
	struct client *prev, *next_client;
};

struct events {
	struct server *server;
	struct workspace *workspace; /* of the thread */
	pthread_t thread;
	pthread_mutex_t mutex, frames_mutex;
	pthread_cond_t wanted; /* with mutex: a block is, or stop */
	struct client *clients;
	struct {
		const char *id; /* of a token, session or principal */
		int64_t at_ms;  /* monotonic */
	} revoked[REVOKED_MAX]; /* the last ones: what the server knows of a credential may be a second old */
	size_t revoked_next;
	size_t count;
	uint64_t opened, loads;
	bool stopping;
	bool paused; /* the store could not be read: not before the next tick */
	bool warned; /* said once */
	struct frames *frames;
};

static bool may_see(const struct client *client, const char *environment)
{
	return access_permits(client->principal, PERMIT_VIEW, environment ? environment : "*");
}

static bool wants(const struct client *client, const char *kind, const char *environment)
{
	return frame_filter_matches(&client->filter, kind, environment) && may_see(client, environment);
}

static unsigned retry_ms(void)
{
	unsigned number = 0;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		number = (unsigned)clock_mono_us();
	return RETRY_MIN_MS + number % (RETRY_MAX_MS - RETRY_MIN_MS);
}

static void printf_like(2, 3) set_note(struct client *client, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	client->note_size = (size_t)vsnprintf(client->note, sizeof(client->note), format, arguments);
	va_end(arguments);
	client->note_size = MIN(client->note_size, sizeof(client->note) - 1);
	client->note_sent = 0;
}

/* --- reading: on a connection's thread ------------------------------------------------------------------------------------------------------------------- */

static size_t copy_part(char *buffer, size_t room, const char *text, size_t size, size_t *sent)
{
	size_t part = MIN(room, size - *sent);

	memcpy(buffer, text + *sent, part);
	*sent += part;
	return part;
}

/* Frames from the client's position on, as many as fit. */
static size_t copy_frames(struct client *client, char *buffer, size_t max)
{
	struct events *events = client->events;
	const struct frame *frame;
	enum frame_state state = FRAME_HERE;
	size_t used = 0;

	(void)pthread_mutex_lock(&events->frames_mutex);
	while (used < max) {
		state = frames_get(events->frames, client->next, &frame);
		if (state != FRAME_HERE)
			break;
		if (wants(client, frame->kind, frame->environment)) {
			used += copy_part(buffer + used, max - used, frame->text, frame->size, &client->offset);
			if (client->offset < frame->size)
				break;
		}
		client->offset = 0;
		client->next++;
	}
	(void)pthread_mutex_unlock(&events->frames_mutex);
	if (state == FRAME_AWAY && used == 0) {
		atomic_store(&client->block, frames_block_first(client->next));
		(void)pthread_mutex_lock(&events->mutex);
		(void)pthread_cond_signal(&events->wanted);
		(void)pthread_mutex_unlock(&events->mutex);
	}
	return used;
}

static long client_read(void *state, char *buffer, size_t max)
{
	struct client *client = state;
	int64_t now_ms = clock_mono_ms();
	int ending = atomic_load(&client->events->server->stopping) ? ENDING_STOP : atomic_load(&client->ending);
	size_t used;

	if (client->note_sent == client->note_size && ending != ENDING_NOT) {
		/* In the middle of a frame nothing can be said: the blank line would complete it. The client drops what has no blank line, and asks for it again. */
		if (client->said_farewell || client->offset)
			return -1;
		set_note(client, ": %s\nretry: %u\n\n", farewells[ending], retry_ms());
		client->said_farewell = true;
	}
	if (client->note_sent < client->note_size) {
		used = copy_part(buffer, max, client->note, client->note_size, &client->note_sent);
	} else {
		used = copy_frames(client, buffer, max);
		if (used == 0 && client->offset == 0 && now_ms - atomic_load(&client->sent_ms) >= EVENTS_HEARTBEAT_MS) {
			set_note(client, ": %lld\nid: %lld\n\n", (long long)clock_wall_ms(), (long long)client->next - 1);
			used = copy_part(buffer, max, client->note, client->note_size, &client->note_sent);
		}
	}
	if (used > 0)
		atomic_store(&client->sent_ms, now_ms);
	return (long)used;
}

static void client_closed(void *state)
{
	struct client *client = state;
	struct events *events = client->events;

	(void)pthread_mutex_lock(&events->mutex);
	DL_DELETE2(events->clients, client, prev, next_client);
	events->count--;
	(void)pthread_cond_signal(&events->wanted);
	(void)pthread_mutex_unlock(&events->mutex);
	(void)talloc_free(client);
}

static const struct stream_ops client_ops = { .read = client_read, .closed = client_closed };

/* --- new entries: on the follower's thread --------------------------------------------------------------------------------------------------------------- */

static bool wants_any(const struct client *client, const struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (wants(client, entries[i].kind, entries[i].environment))
			return true;
	return false;
}

/* Entries after which a stream must prove again who reads it, and the member that says whose. */
static const struct {
	const char *kind, *member;
} revocations[] = {
	{ ENTRY_TOKEN_REVOKED, "token" },
	{ ENTRY_SESSION_ENDED, "session" },
	{ ENTRY_PRINCIPAL_CHANGED, "principal" },
	{ ENTRY_PRINCIPAL_REMOVED, "principal" },
};

/* Whose stream must end for this entry: the id of a token, session or principal; NULL: nobody's. */
static const char *revoked_id(const struct entry *entry)
{
	for (size_t i = 0; i < ARRAY_SIZE(revocations); i++)
		if (!strcmp(revocations[i].kind, entry->kind))
			return json_str(entry->data, revocations[i].member, NULL);
	return NULL;
}

static bool is_of(const struct principal *principal, const char *id)
{
	return principal && id && (!strcmp(principal->id, id) || (principal->credential && !strcmp(principal->credential, id)));
}

static void end_client(struct client *client, enum ending ending)
{
	int not_yet = ENDING_NOT;

	(void)atomic_compare_exchange_strong(&client->ending, &not_yet, (int)ending);
	stream_wake(client->stream);
}

/* Mutex held. */
static void note_revocation(struct events *events, const char *id)
{
	size_t place = events->revoked_next++ % REVOKED_MAX;
	struct client *client;

	(void)talloc_free((void *)events->revoked[place].id);
	events->revoked[place].id = mem_strdup(NULL, id);
	events->revoked[place].at_ms = clock_mono_ms();
	DL_FOREACH2(events->clients, client, next_client)
	if (is_of(client->principal, id))
		end_client(client, ENDING_REVOKED);
}

/* A stream that begins with what the server knew a second ago. Mutex held. */
static bool is_revoked(const struct events *events, const struct principal *principal)
{
	for (size_t i = 0; i < REVOKED_MAX; i++)
		if (events->revoked[i].id && clock_mono_ms() - events->revoked[i].at_ms < REVOKED_MS &&
			is_of(principal, events->revoked[i].id))
			return true;
	return false;
}

static void added(void *user, const struct entry *entries, size_t count)
{
	struct events *events = user;
	struct frame **made = mem_array(NULL, struct frame *, count);
	struct client *client;

	for (size_t i = 0; i < count; i++)
		made[i] = frame_make(NULL, &entries[i]);
	(void)pthread_mutex_lock(&events->frames_mutex);
	for (size_t i = 0; i < count; i++)
		frames_add(events->frames, made[i]);
	(void)pthread_mutex_unlock(&events->frames_mutex);
	(void)talloc_free(made);
	(void)pthread_mutex_lock(&events->mutex);
	for (size_t i = 0; i < count; i++)
		if (revoked_id(&entries[i]))
			note_revocation(events, revoked_id(&entries[i]));
	DL_FOREACH2(events->clients, client, next_client)
	if (wants_any(client, entries, count))
		stream_wake(client->stream);
	(void)pthread_mutex_unlock(&events->mutex);
}

/* --- the service's thread -------------------------------------------------------------------------------------------------------------------------------- */

/* The block that the client waits for which has waited longest of those not served in this round. Mutex held. */
static int64_t wanted_block(const struct events *events)
{
	const struct client *client;

	DL_FOREACH2(events->clients, client, next_client)
	{
		int64_t first = atomic_load(&client->block);

		if (first)
			return first;
	}
	return 0;
}

static int load_block(struct events *events, int64_t first, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry_filter filter = { .after_seq = first - 1, .limit = FRAMES_BLOCK };
	struct entry *entries;
	struct frame **made;
	size_t count;
	int r;

	r = store_read(events->workspace->store, ctx, &filter, &entries, &count, err);
	if (r < 0)
		return r;
	made = mem_array(ctx, struct frame *, count);
	for (size_t i = 0; i < count; i++)
		made[i] = frame_make(NULL, &entries[i]);
	(void)pthread_mutex_lock(&events->frames_mutex);
	/* What is newer than the follower's newest is handed over by it. */
	for (size_t i = 0; i < count; i++) {
		if (entries[i].seq <= frames_head(events->frames))
			frames_add(events->frames, made[i]);
		else
			(void)talloc_free(made[i]);
	}
	(void)pthread_mutex_unlock(&events->frames_mutex);
	return 0;
}

/* Wakes those who waited for this block, and puts them behind the others, so that one who asks for block after block does not keep the rest waiting. Mutex held. */
static void block_is_here(struct events *events, int64_t first)
{
	struct client *client, *next, *last = events->clients ? events->clients->prev : NULL;

	DL_FOREACH_SAFE2(events->clients, client, next, next_client)
	{
		bool at_end = client == last;

		if (atomic_load(&client->block) == first) {
			atomic_store(&client->block, 0);
			DL_DELETE2(events->clients, client, prev, next_client);
			DL_APPEND2(events->clients, client, prev, next_client);
			stream_wake(client->stream);
		}
		if (at_end)
			break;
	}
}

static void serve_blocks(struct events *events)
{
	int64_t first;

	while (!events->stopping && !events->paused && (first = wanted_block(events)) != 0) {
		struct err err = ERR_INIT;
		int r;

		events->loads++;
		(void)pthread_mutex_unlock(&events->mutex);
		r = load_block(events, first, &err);
		(void)pthread_mutex_lock(&events->mutex);
		if (r < 0) {
			if (!events->warned)
				log_event(LOG_WARN, "events cannot be read from the store, trying again", "error", err.text, NULL);
			events->warned = events->paused = true;
			return;
		}
		events->warned = false;
		block_is_here(events, first);
	}
}

/* What a stream was begun with, looked at once for all clients that have it. */
struct credential_check {
	const char *id;
	bool by_session;
	int64_t until_ms; /* wall: it holds until then; 0: it does not hold; -1: that could not be found out now */
	UT_hash_handle hh;
};

static int64_t token_until(struct store *store, const void *ctx, const char *id, int *ret, struct err *err)
{
	struct token_row row;

	*ret = store_token(store, ctx, id, &row, err);
	if (*ret < 0 || row.revoked_ms)
		return 0;
	return row.expires_ms ? row.expires_ms : INT64_MAX;
}

static int64_t session_until(struct store *store, const void *ctx, const char *id, int *ret, struct err *err)
{
	struct session_row row;

	*ret = store_session(store, ctx, id, &row, err);
	if (*ret < 0 || row.ended_ms)
		return 0;
	return MIN(row.begun_ms + SESSION_ABSOLUTE_MS, row.seen_ms + SESSION_IDLE_MS);
}

static void check_credential(struct store *store, const void *ctx, struct credential_check *check, int64_t now_ms)
{
	struct err err = ERR_INIT;
	int r;

	check->until_ms = check->by_session ? session_until(store, ctx, check->id, &r, &err) : token_until(store, ctx, check->id, &r, &err);
	if (r < 0 && r != -ERR_NOT_FOUND)
		check->until_ms = -1;
	else if (check->until_ms <= now_ms)
		check->until_ms = 0;
}

/* Ends the streams whose credential has expired. What is revoked is seen in the journal, at once (added). The mutex is held, but not while the store is read. */
/* NOLINTNEXTLINE(readability-function-size): the macros of uthash nest deeply */
static void check_credentials(struct events *events)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct credential_check *checks = NULL, *check;
	int64_t now_ms = clock_wall_ms();
	struct client *client;

	DL_FOREACH2(events->clients, client, next_client)
	{
		if (client->check_ms > now_ms || !client->principal || !client->principal->credential)
			continue;
		HASH_FIND_STR(checks, client->principal->credential, check);
		if (check)
			continue;
		check = mem_zero(ctx, struct credential_check);
		check->id = mem_strdup(ctx, client->principal->credential);
		check->by_session = client->by_session;
		HASH_ADD_KEYPTR(hh, checks, check->id, strlen(check->id), check);
	}
	if (!checks)
		return;
	(void)pthread_mutex_unlock(&events->mutex);
	for (check = checks; check; check = check->hh.next)
		check_credential(events->workspace->store, ctx, check, now_ms);
	(void)pthread_mutex_lock(&events->mutex);
	DL_FOREACH2(events->clients, client, next_client)
	{
		if (client->check_ms > now_ms || !client->principal || !client->principal->credential)
			continue;
		HASH_FIND_STR(checks, client->principal->credential, check);
		if (check && check->until_ms > 0)
			client->check_ms = check->until_ms;
		else if (check && check->until_ms == 0)
			end_client(client, ENDING_REVOKED);
	}
	HASH_CLEAR(hh, checks);
}

static void beat(struct events *events)
{
	int64_t now_ms = clock_mono_ms();
	struct client *client;

	DL_FOREACH2(events->clients, client, next_client)
	if (now_ms - atomic_load(&client->sent_ms) >= EVENTS_HEARTBEAT_MS)
		stream_wake(client->stream);
}

static void *events_main(void *user)
{
	struct events *events = user;
	int64_t tick_ms = clock_mono_ms() + TICK_MS;

	(void)pthread_mutex_lock(&events->mutex);
	while (!events->stopping) {
		struct timespec until = { .tv_sec = tick_ms / 1000, .tv_nsec = (tick_ms % 1000) * 1000000 };

		if (events->paused || !wanted_block(events))
			(void)pthread_cond_timedwait(&events->wanted, &events->mutex, &until);
		if (clock_mono_ms() >= tick_ms) {
			tick_ms = clock_mono_ms() + TICK_MS;
			events->paused = false;
			beat(events);
			check_credentials(events);
		}
		serve_blocks(events);
	}
	(void)pthread_mutex_unlock(&events->mutex);
	return NULL;
}

static int events_free(struct events *events)
{
	for (size_t i = 0; i < REVOKED_MAX; i++)
		(void)talloc_free((void *)events->revoked[i].id);
	(void)pthread_cond_destroy(&events->wanted);
	(void)pthread_mutex_destroy(&events->frames_mutex);
	(void)pthread_mutex_destroy(&events->mutex);
	return 0;
}

static int events_start(struct server *server, void **ret_state, struct err *err)
{
	struct events *events = mem_zero(NULL, struct events);
	pthread_condattr_t attributes;
	int64_t head;
	int r;

	events->server = server;
	(void)pthread_mutex_init(&events->mutex, NULL);
	(void)pthread_mutex_init(&events->frames_mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&events->wanted, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	talloc_set_destructor(events, events_free);
	r = server_workspace(server, events, &events->workspace, err);
	if (r == 0)
		r = workspace_store(events->workspace, err);
	if (r < 0) {
		(void)talloc_free(events);
		return err_in(err, "events");
	}
	/* The lock keeps `added` waiting until there are frames to add to. */
	(void)pthread_mutex_lock(&events->frames_mutex);
	follower_subscribe(server->follower, added, events, &head);
	events->frames = frames_new(events, EVENTS_MEMORY_MAX, head);
	(void)pthread_mutex_unlock(&events->frames_mutex);
	r = pthread_create(&events->thread, NULL, events_main, events);
	if (r != 0) {
		r = err_errno(err, r, "events: a thread");
		follower_unsubscribe(server->follower, added, events);
		(void)talloc_free(events);
		return r;
	}
	*ret_state = events;
	return 0;
}

/* Tells every client, and waits until they are gone. One whose socket takes nothing may stay until the server closes it: then the memory stays too. */
static void events_stop(struct server *server, void *state)
{
	struct events *events = state;
	int64_t until_ms = clock_mono_ms() + STOP_PATIENCE_MS;
	struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000 };
	struct client *client;
	bool empty;

	follower_unsubscribe(server->follower, added, events);
	(void)pthread_mutex_lock(&events->mutex);
	events->stopping = true;
	(void)pthread_cond_broadcast(&events->wanted);
	(void)pthread_mutex_unlock(&events->mutex);
	(void)pthread_join(events->thread, NULL);
	(void)pthread_mutex_lock(&events->mutex);
	DL_FOREACH2(events->clients, client, next_client)
	end_client(client, ENDING_STOP);
	while (events->clients && pthread_cond_timedwait(&events->wanted, &events->mutex, &until) == 0)
		;
	empty = !events->clients;
	(void)pthread_mutex_unlock(&events->mutex);
	if (empty)
		(void)talloc_free(events);
}

const struct service events_service = { .name = "events", .start = events_start, .stop = events_stop };

struct events_numbers events_numbers(struct server *server)
{
	struct events *events = service_state(server, &events_service);
	struct events_numbers numbers = { 0 };

	(void)pthread_mutex_lock(&events->mutex);
	numbers.clients = events->count;
	numbers.opened = events->opened;
	numbers.loads = events->loads;
	(void)pthread_mutex_unlock(&events->mutex);
	(void)pthread_mutex_lock(&events->frames_mutex);
	numbers.bytes = frames_bytes(events->frames);
	numbers.head = frames_head(events->frames);
	(void)pthread_mutex_unlock(&events->frames_mutex);
	return numbers;
}

/* --- the route ------------------------------------------------------------------------------------------------------------------------------------------- */

static int read_filter(const void *ctx, const struct exchange *x, struct frame_filter *ret, struct err *err)
{
	const char *environment = exchange_query(x, "environment"), *kind = exchange_query(x, "kind");
	struct environment *found;
	size_t count = 0;
	int r;

	if (environment) {
		r = access_check(x->principal, PERMIT_VIEW, environment, err);
		if (r == 0)
			r = project_find_environment(x->server->project, environment, &found, err);
		if (r < 0)
			return r;
		ret->environment = mem_strdup(ctx, environment);
	}
	if (kind && *kind) {
		ret->kinds = (const char *const *)text_split(ctx, kind, ',');
		while (ret->kinds[count])
			count++;
		if (count == 0 || count > KINDS_MAX)
			return err_set(err, ERR_USAGE, "kind: one to %d kinds of entries, as 'run.*,flag.set'", KINDS_MAX);
	}
	return 0;
}

static int events_open(struct exchange *x, struct err *err)
{
	struct events *events = service_state(x->server, &events_service);
	struct client *client = mem_zero(NULL, struct client);
	const char *last = exchange_header(x, "Last-Event-ID");
	int64_t position = -1;
	int r;

	r = read_filter(client, x, &client->filter, err);
	if (r == 0 && last && *last) {
		r = text_parse_int(last, 0, INT64_MAX - 1, &position, err);
		if (r < 0) {
			(void)err_as(err, ERR_USAGE);
			r = err_in(err, "Last-Event-ID");
		}
	}
	if (r < 0) {
		(void)talloc_free(client);
		return r;
	}
	client->events = events;
	client->principal = x->principal;
	client->by_session = x->session != NULL;
	atomic_store(&client->sent_ms, clock_mono_ms());
	(void)pthread_mutex_lock(&events->frames_mutex);
	client->next = (position >= 0 ? position : frames_head(events->frames)) + 1;
	(void)pthread_mutex_unlock(&events->frames_mutex);
	set_note(client, ": from entry %lld on\nretry: %u\nid: %lld\n\n", (long long)client->next, retry_ms(), (long long)client->next - 1);
	exchange_add_header(x, "Cache-Control", "no-store");
	exchange_add_header(x, "X-Accel-Buffering", "no"); /* asks proxies to pass events on as they come */
	client->stream = exchange_stream(x, "text/event-stream", &client_ops, client);
	(void)pthread_mutex_lock(&events->mutex);
	DL_APPEND2(events->clients, client, prev, next_client);
	events->count++;
	events->opened++;
	if (is_revoked(events, client->principal))
		end_client(client, ENDING_REVOKED);
	(void)pthread_mutex_unlock(&events->mutex);
	return 0;
}

const struct route events_routes[] = {
	{ .method = "GET",
		.pattern = "/api/v1/events",
		.kind = ROUTE_STREAM,
		.access = ACCESS_PERMITTED,
		.permission = PERMIT_VIEW,
		.handle = events_open,
		.web = true,
		.summary = "the journal as server-sent events, as it grows" },
	{ 0 },
};
