/* A connection to Redis (redis_client.h). Blocking calls of hiredis; its time limit for one read is set before every answer to what is
 * left of the two limits, so a server that is stopped, paused or gone ends the call in
 * time. Only what is used is taken from the library, by name, from the very version whose header was compiled against: its structures
 * differ between versions.
 *
 * The server's errors begin with a word (NOAUTH, LOADING, READONLY) that says what kind of failure it is: the table `meanings`. */
#include "drivers/redis_client.h"

#include <errno.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/library.h"
#include "base/text.h"
#include "data/json.h"

#define TEXT_OF_(text) #text
#define TEXT_OF(text)  TEXT_OF_(text)
#define LIBRARY        "libhiredis.so." TEXT_OF(HIREDIS_SONAME)
#define CONNECT_MAX_MS 10000
#define MARGIN_MS      300 /* of the call's deadline: for the answer in words */
#define MAJOR_MIN      7

struct redis {
	struct driver_call *call;
	redisContext *context;
	const char *where;
	char *info, *version;
	int64_t timeout_ms;
};

static struct {
	redisContext *(*connect)(const char *host, int port, const struct timeval limit);
	redisContext *(*connect_unix)(const char *path, const struct timeval limit);
	int (*set_timeout)(redisContext *context, const struct timeval limit);
	int (*append)(redisContext *context, int count, const char **words, const size_t *sizes);
	int (*get_reply)(redisContext *context, void **reply);
	void (*free_reply)(void *reply);
	void (*close)(redisContext *context);
} hiredis;

static int load(struct err *err)
{
	static const struct library_symbol symbols[] = {
		{ "redisConnectWithTimeout", &hiredis.connect },
		{ "redisConnectUnixWithTimeout", &hiredis.connect_unix },
		{ "redisSetTimeout", &hiredis.set_timeout },
		{ "redisAppendCommandArgv", &hiredis.append },
		{ "redisGetReply", &hiredis.get_reply },
		{ "freeReplyObject", &hiredis.free_reply },
		{ "redisFree", &hiredis.close },
	};

	return hiredis.close ? 0 : library_load(LIBRARY, symbols, ARRAY_SIZE(symbols), err);
}

/* ---- words ---- */

void redis_words_add(struct redis_words *words, const void *bytes, size_t size)
{
	if (words->count == words->room) {
		words->room = words->room ? 2 * words->room : 8;
		words->words = mem_resize(words, words->words, const char *, words->room);
		words->sizes = mem_resize(words, words->sizes, size_t, words->room);
	}
	words->words[words->count] = bytes;
	words->sizes[words->count++] = size;
}

void redis_words_add_int(struct redis_words *words, int64_t value)
{
	char *text = mem_printf(words, "%lld", (long long)value);

	redis_words_add(words, text, strlen(text));
}

struct redis_words *redis_words(const void *ctx, const char *first, ...)
{
	struct redis_words *words = mem_zero(ctx, struct redis_words);
	va_list arguments;

	va_start(arguments, first);
	for (const char *word = first; word; word = va_arg(arguments, const char *))
		redis_words_add(words, word, strlen(word));
	va_end(arguments);
	return words;
}

/* ---- errors ---- */

static const struct {
	const char *word;
	enum err_code code;
	const char *hint;
} meanings[] = {
	{ "NOAUTH", ERR_FORBIDDEN, "the server wants a password" },
	{ "WRONGPASS", ERR_FORBIDDEN, "the server does not accept the user or the password" },
	{ "NOPERM", ERR_FORBIDDEN, NULL },
	{ "ERR Client sent AUTH", ERR_FORBIDDEN, "a password is given, and the server has none" },
	{ "ERR AUTH", ERR_FORBIDDEN, "a password is given, and the server has none" },
	{ "READONLY", ERR_REFUSED, "the server is a replica and takes no writes" },
	{ "OOM", ERR_NO_SPACE, "the server has reached its maxmemory" },
	{ "MISCONF", ERR_REFUSED, NULL },
	{ "LOADING", ERR_UNREACHABLE, "the server is still loading its data" },
	{ "MASTERDOWN", ERR_UNREACHABLE, NULL },
	{ "BUSY ", ERR_UNREACHABLE, "the server is busy with a script" },
	{ "ERR DB index", ERR_INVALID, "the server has no such database" },
	{ "ERR DUMP payload", ERR_NEWER, "the copy was made by a newer server, or is damaged" },
	{ "ERR Bad data format", ERR_CORRUPT, NULL },
};

static int server_said(const struct redis *redis, const redisReply *reply, struct err *err)
{
	_cleanup_talloc_ char *said = text_printable(NULL, reply->str, reply->len, false);

	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
		if (text_starts_with(said, meanings[i].word))
			return err_set(err, meanings[i].code, "redis at %s: %s%s%s%s", redis->where,
				meanings[i].hint ? meanings[i].hint : said, meanings[i].hint ? " (" : "", meanings[i].hint ? said : "",
				meanings[i].hint ? ")" : "");
	return err_set(err, ERR_FAILED, "redis at %s: %s", redis->where, said);
}

static int connection_failed(struct redis *redis, struct err *err)
{
	const redisContext *context = redis->context;
	bool late = context->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT);

	if (late || strstr(context->errstr, "timed out"))
		return err_set(err, ERR_TIMEOUT, "redis at %s does not answer in time", redis->where);
	return err_set(err, ERR_UNREACHABLE, "redis at %s: %s", redis->where, context->errstr);
}

/* ---- calls ---- */

static struct timeval limit_of(int64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}

static int set_limit(struct redis *redis, struct err *err)
{
	int64_t left = MIN(redis->timeout_ms, redis->call->deadline_ms - MARGIN_MS - clock_mono_ms());

	if (left <= 0)
		return err_set(err, ERR_TIMEOUT, "redis at %s: the step's time is over", redis->where);
	if (redis->context->err)
		return err_set(err, ERR_UNREACHABLE, "redis at %s: the connection was lost", redis->where);
	if (hiredis.set_timeout(redis->context, limit_of(left)) != REDIS_OK)
		return connection_failed(redis, err);
	return 0;
}

int redis_send(struct redis *redis, const struct redis_words *words, struct err *err)
{
	if (hiredis.append(redis->context, (int)words->count, words->words, words->sizes) != REDIS_OK)
		return connection_failed(redis, err);
	return 0;
}

int redis_receive(struct redis *redis, redisReply **ret, struct err *err)
{
	void *reply = NULL;
	int r = set_limit(redis, err);

	if (r < 0)
		return r;
	errno = 0;
	if (hiredis.get_reply(redis->context, &reply) != REDIS_OK || !reply)
		return connection_failed(redis, err);
	if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) {
		r = server_said(redis, reply, err);
		hiredis.free_reply(reply);
		return r;
	}
	*ret = reply;
	return 0;
}

int redis_call(struct redis *redis, const struct redis_words *words, redisReply **ret, struct err *err)
{
	int r = redis_send(redis, words, err);

	return r < 0 ? r : redis_receive(redis, ret, err);
}

int redis_do(struct redis *redis, const struct redis_words *words, struct err *err)
{
	_cleanup_(redis_free_reply) redisReply *reply = NULL;

	return redis_call(redis, words, &reply, err);
}

void redis_free_reply(redisReply **reply)
{
	if (*reply)
		hiredis.free_reply(*reply);
	*reply = NULL;
}

/* ---- opening ---- */

static int sign_in(struct redis *redis, const struct redis_place *place, struct err *err)
{
	struct redis_words *words = redis_words(redis, "AUTH", NULL);

	if (!place->password)
		return 0;
	if (place->user)
		redis_words_add(words, place->user, strlen(place->user));
	redis_words_add(words, place->password, strlen(place->password));
	return redis_do(redis, words, err);
}

const char *redis_info(const struct redis *redis, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = redis->info; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			return mem_strndup(redis->call->ctx, line + length + 1, strcspn(line + length + 1, "\r\n"));
	}
	return NULL;
}

static int look_at_server(struct redis *redis, struct err *err)
{
	_cleanup_(redis_free_reply) redisReply *reply = NULL;
	const char *version, *cluster;
	int r;

	r = redis_call(redis, redis_words(redis, "INFO", NULL), &reply, err);
	if (r < 0)
		return r;
	if (reply->type != REDIS_REPLY_STRING)
		return err_set(err, ERR_DRIVER, "redis at %s: INFO gave no text", redis->where);
	redis->info = mem_strndup(redis, reply->str, reply->len);
	version = redis_info(redis, "redis_version");
	cluster = redis_info(redis, "cluster_enabled");
	if (!version || strtol(version, NULL, 10) < MAJOR_MIN)
		return err_set(err, ERR_UNSUPPORTED, "redis at %s: version %s; %d.0 or newer is needed", redis->where,
			version ? version : "unknown", MAJOR_MIN);
	if (cluster && strcmp(cluster, "1") == 0)
		return err_set(err, ERR_UNSUPPORTED, "redis at %s is a node of a cluster: its data is on several servers", redis->where);
	redis->version = mem_strdup(redis, version);
	return 0;
}

static int redis_destroy(struct redis *redis)
{
	if (redis->context)
		hiredis.close(redis->context);
	return 0;
}

int redis_open(struct driver_call *call, const struct redis_place *place, struct redis **ret, struct err *err)
{
	int64_t left = MIN(MIN(place->timeout_ms, (int64_t)CONNECT_MAX_MS), call->deadline_ms - MARGIN_MS - clock_mono_ms());
	struct redis_words *select;
	struct redis *redis;
	int r = load(err);

	if (r < 0)
		return r;
	redis = mem_zero(call->ctx, struct redis);
	talloc_set_destructor(redis, redis_destroy);
	redis->call = call;
	redis->timeout_ms = place->timeout_ms;
	redis->where = place->socket ? mem_strdup(redis, place->socket) : mem_printf(redis, "%s:%lld", place->host, (long long)place->port);
	errno = 0;
	redis->context = place->socket ? hiredis.connect_unix(place->socket, limit_of(MAX(left, (int64_t)1)))
				       : hiredis.connect(place->host, (int)place->port, limit_of(MAX(left, (int64_t)1)));
	assert_always(redis->context);
	if (redis->context->err) {
		r = connection_failed(redis, err);
	} else {
		r = sign_in(redis, place, err);
		if (r == 0)
			r = look_at_server(redis, err);
		select = redis_words(redis, "SELECT", NULL);
		redis_words_add_int(select, place->database);
		if (r == 0)
			r = redis_do(redis, select, err);
	}
	if (r < 0) {
		talloc_free(redis);
		return r;
	}
	*ret = redis;
	return 0;
}

void redis_close(struct redis **redis)
{
	talloc_free(*redis);
	*redis = NULL;
}

const char *redis_version(const struct redis *redis)
{
	return redis->version;
}

/* ---- addresses ---- */

/* NULL when a %XX is none, or is the end of a text. */
static char *unescape(const void *ctx, const char *text, size_t size)
{
	char *plain = mem_strndup(ctx, text, size), *to = plain;
	unsigned char byte;
	struct err ignored = ERR_INIT;

	for (const char *from = plain; *from; to++) {
		if (*from != '%') {
			*to = *from++;
			continue;
		}
		_cleanup_talloc_ char *digits = mem_strndup(NULL, from + 1, 2);

		if (strlen(digits) != 2 || text_unhex(digits, &byte, 1, &ignored) < 0 || !byte)
			return NULL;
		*to = (char)byte;
		from += 3;
	}
	*to = 0;
	return plain;
}

static bool read_number(const char *text, size_t size, int64_t max, int64_t *ret)
{
	_cleanup_talloc_ char *digits = mem_strndup(NULL, text, size);
	struct err ignored = ERR_INIT;

	return text_parse_int(digits, 0, max, ret, &ignored) == 0;
}

/* "USER:PASSWORD@" or "USER@"; an empty user with a password is the server's default one. Behind it, or NULL. */
static const char *read_person(const void *ctx, const char *text, struct redis_place *place)
{
	const char *at = strrchr(text, '@'), *colon;

	if (!at)
		return text;
	colon = memchr(text, ':', (size_t)(at - text));
	if (!colon)
		colon = at;
	place->user = colon > text ? unescape(ctx, text, (size_t)(colon - text)) : NULL;
	place->password = colon < at ? unescape(ctx, colon + 1, (size_t)(at - colon - 1)) : NULL;
	if ((colon > text && !place->user) || (colon < at && !place->password))
		return NULL;
	return at + 1;
}

static bool read_host(const void *ctx, const char *text, struct redis_place *place)
{
	const char *slash = strchrnul(text, '/'), *name = text, *end;

	if (*text == '[') { /* an IPv6 address */
		name = text + 1;
		end = strchrnul(text, ']');
		if (!*end)
			return false;
		text = end + 1;
		if (*text != ':' && text != slash)
			return false;
	} else {
		end = memchr(text, ':', (size_t)(slash - text));
		end = end ? end : slash;
		text = end;
	}
	if (end == name)
		return false;
	place->host = unescape(ctx, name, (size_t)(end - name));
	if (*text == ':' && !read_number(text + 1, (size_t)(slash - text - 1), 65535, &place->port))
		return false;
	return place->host && (!*slash || !slash[1] || read_number(slash + 1, strlen(slash + 1), 1 << 20, &place->database));
}

static bool read_socket(const void *ctx, const char *text, struct redis_place *place)
{
	const char *query = strchrnul(text, '?');

	place->socket = unescape(ctx, text, (size_t)(query - text));
	if (!place->socket || *place->socket != '/')
		return false;
	return !*query || (text_starts_with(query, "?db=") && read_number(query + 4, strlen(query + 4), 1 << 20, &place->database));
}

int redis_read_url(const void *ctx, const char *url, struct redis_place *place, struct err *err)
{
	bool socket = text_starts_with(url, "unix://"), good;
	const char *rest;

	if (text_starts_with(url, "rediss://"))
		return err_set(err, ERR_UNSUPPORTED, "url: TLS (rediss://) is not supported; use a tunnel or a unix socket");
	if (!socket && !text_starts_with(url, "redis://"))
		return err_set(err, ERR_INVALID, "url: an address begins with redis:// or unix://");
	rest = read_person(ctx, strstr(url, "://") + 3, place);
	good = rest && (socket ? read_socket(ctx, rest, place) : read_host(ctx, rest, place));
	return good ? 0 : err_set(err, ERR_INVALID, "url: not an address like redis://USER:PASSWORD@HOST:PORT/DATABASE");
}
