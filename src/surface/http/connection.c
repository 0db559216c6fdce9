/* Connections, on libmicrohttpd: reading requests, sending answers, streams, limits, TLS. The only file that knows the library.
 *
 * The library calls from its threads (an epoll pool): on_target when a request line is there, on_request when its head is, for each piece of its body, and at its end, on_completed when all is over. A request
 * that is with the pool is suspended: the library forgets it until it is resumed, which also means that it neither times out nor is seen to hang up meanwhile.
 *
 * The library's idle limit starts anew with every byte. So each connection has a firm time until which the head, and then the body, must be complete; the main thread cuts those that are late
 * (connections_tick). Its socket is only touched under the mutex, which the library's closing takes too: a number that was closed is never shut down.
 *
 * Streams: `read` is asked for bytes until it has none, then the stream is suspended; stream_wake resumes it. A wake that comes between the two is remembered. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "surface/http/inner.h"
#include "surface/http/library.h"

#define THREADS          2
#define STACK_BYTES      ((size_t)512 << 10)
#define MEMORY_BYTES     ((size_t)4608)    /* of one connection: its head, and a buffer for what is sent */
#define HEAD_MAX         ((size_t)3 << 10) /* so that there is room left for the answer */
#define FIELD_COST       ((size_t)64)      /* what the library keeps of each field */
#define MEMORY_STEP      ((size_t)1 << 10)
#define IDLE_S           60
#define HEAD_MS          10000 /* the first head, from the connect */
#define NEXT_HEAD_MS     75000 /* any further one, from the end of the answer before */
#define BODY_MS          60000
#define DESCRIPTORS_OURS 256 /* kept for files, stores, workers */
#define CONNECTIONS_MAX  20000
#define STREAM_BLOCK     ((size_t)256) /* only used for clients that know no chunks; each stream has one */
#define PEM_MAX          ((size_t)256 << 10)
#define CERTIFICATES_MAX 16

struct connection {
	int fd;
	atomic_int_fast64_t due_ms; /* monotonic; INT64_MAX: nothing is awaited */
	char peer[INET6_ADDRSTRLEN];
	struct connection *previous, *next;
};

/* Certificate and key as they were loaded; the old ones stay until the end, because handshakes may still use them. */
struct pair_of_keys {
	gnutls_pcert_st certificates[CERTIFICATES_MAX];
	unsigned count;
	gnutls_privkey_t key;
	struct pair_of_keys *before;
};

struct connections {
	struct server *server;
	struct MHD_Daemon *daemon;
	pthread_mutex_t mutex; /* the two lists */
	struct connection *open;
	struct stream *streams;
	size_t open_count, stream_count;
	atomic_size_t busy;
	_Atomic(struct pair_of_keys *) keys;
};

struct stream {
	struct connections *connections;
	struct MHD_Connection *connection;
	const struct stream_ops *ops;
	void *state;
	pthread_mutex_t mutex;
	bool suspended, woken, ended, started;
	struct stream *previous, *next;
};

static _Atomic(struct connections *)
	the_connections; /* for the certificate callback, which the library gives nothing to tell servers apart */

/* --- streams ------------------------------------------------------------------------------------------------------- */

struct stream *exchange_stream(struct exchange *x, const char *type, const struct stream_ops *ops, void *state)
{
	struct inner *inner = INNER(x);
	struct stream *stream = mem_zero(NULL, struct stream);
	struct connections *connections = x->server->inner->connections;

	stream->connections = connections;
	stream->connection = inner->connection;
	stream->ops = ops;
	stream->state = state;
	(void)pthread_mutex_init(&stream->mutex, NULL);
	x->status = 200;
	x->type = mem_strdup(x->ctx, type);
	inner->stream = stream;
	return stream;
}

void stream_wake(struct stream *stream)
{
	(void)pthread_mutex_lock(&stream->mutex);
	if (stream->suspended) {
		stream->suspended = false;
		lib.MHD_resume_connection(stream->connection);
	} else {
		stream->woken = true;
	}
	(void)pthread_mutex_unlock(&stream->mutex);
}

static ssize_t on_stream_read(void *user, uint64_t position, char *buffer, size_t max)
{
	struct stream *stream = user;
	long got;

	(void)position;
	for (;;) {
		bool stopping = atomic_load(&stream->connections->server->stopping);

		(void)pthread_mutex_lock(&stream->mutex);
		stream->woken = false;
		(void)pthread_mutex_unlock(&stream->mutex);
		got = stream->ops->read(stream->state, buffer, max);
		if (got > 0)
			return (ssize_t)got;
		if (got < 0 || stopping)
			return MHD_CONTENT_READER_END_OF_STREAM;
		(void)pthread_mutex_lock(&stream->mutex);
		if (!stream->woken) {
			stream->suspended = true;
			lib.MHD_suspend_connection(stream->connection);
			(void)pthread_mutex_unlock(&stream->mutex);
			return 0;
		}
		(void)pthread_mutex_unlock(&stream->mutex);
	}
}

static void stream_begin(struct connections *connections, struct stream *stream)
{
	(void)pthread_mutex_lock(&connections->mutex);
	stream->next = connections->streams;
	if (stream->next)
		stream->next->previous = stream;
	connections->streams = stream;
	connections->stream_count++;
	stream->started = true;
	(void)pthread_mutex_unlock(&connections->mutex);
}

static void stream_end(struct connections *connections, struct stream *stream)
{
	if (stream->started) {
		(void)pthread_mutex_lock(&connections->mutex);
		if (stream->previous)
			stream->previous->next = stream->next;
		else
			connections->streams = stream->next;
		if (stream->next)
			stream->next->previous = stream->previous;
		connections->stream_count--;
		(void)pthread_mutex_unlock(&connections->mutex);
	}
	stream->ops->closed(stream->state);
	(void)pthread_mutex_destroy(&stream->mutex);
	talloc_free(stream);
}

/* --- answers ------------------------------------------------------------------------------------------------------- */

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
	assert_always(lib.MHD_add_response_header(response, name, value) == MHD_YES);
}

/* What every answer says to browsers. A page that a handler sends (a web admin) may say more in a Content-Security-Policy of its own. */
static void add_common_headers(const struct inner *inner, struct MHD_Response *response)
{
	const struct exchange *x = &inner->x;

	if (x->type && x->status != 304 && x->status != 204)
		add_header(response, "Content-Type", x->type);
	add_header(response, "X-Request-Id", x->id);
	add_header(response, "X-Content-Type-Options", "nosniff");
	/* A stream is no page; and what its answer holds stays in memory as long as it lasts. */
	if (!inner->stream)
		add_header(response, "Referrer-Policy", "no-referrer");
	if (!inner->stream && !pairs_find_any_case(&inner->out, "Content-Security-Policy"))
		add_header(response, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
	if (!pairs_find_any_case(&inner->out, "Cache-Control"))
		add_header(response, "Cache-Control", x->no_etag ? "no-store" : "private, no-cache");
	if (x->secure)
		add_header(response, "Strict-Transport-Security", "max-age=31536000");
	if (inner->close)
		add_header(response, "Connection", "close");
}

static enum MHD_Result send_answer(struct connections *connections, struct inner *inner)
{
	struct exchange *x = &inner->x;
	struct MHD_Response *response;
	enum MHD_Result result;

	exchange_finish(inner);
	if (inner->stream && strcmp(x->method, "HEAD") != 0)
		response = lib.MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_stream_read, inner->stream, NULL);
	else
		response = lib.MHD_create_response_from_buffer(x->answer_size, (void *)x->answer, MHD_RESPMEM_PERSISTENT);
	mem_check(response);
	if (atomic_load(&x->server->stopping))
		inner->close = true;
	add_common_headers(inner, response);
	for (size_t i = 0; i < inner->out.count; i++)
		add_header(response, inner->out.list[i].name, inner->out.list[i].value);
	if (inner->stream) {
		stream_begin(connections, inner->stream);
		atomic_fetch_sub(&connections->busy, 1);
	}
	result = lib.MHD_queue_response(inner->connection, (unsigned)x->status, response);
	lib.MHD_destroy_response(response);
	if (inner->stream && strcmp(x->method, "HEAD") != 0)
		exchange_slim(inner);
	return result;
}

void connections_suspend(struct inner *inner)
{
	lib.MHD_suspend_connection(inner->connection);
}

void connections_resume(struct inner *inner)
{
	lib.MHD_resume_connection(inner->connection);
}

/* --- requests ------------------------------------------------------------------------------------------------------ */

/* Where the texts of a head stand in the library's buffer. */
struct head {
	const char *target_end, *expected;
	bool odd;
};

static struct connection *connection_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* The parameters are cut off in the library's own buffer: it would parse them a second time, into the little memory that a connection has, and give up on many. */
static void *on_target(void *user, const char *target, struct MHD_Connection *connection)
{
	struct connections *connections = user;
	struct inner *inner = exchange_new(connections->server, target);
	struct head *head = mem_zero(inner->x.ctx, struct head);
	char *query;
	struct connection *own = connection_of(connection);

	head->target_end = target + strlen(target);
	inner->head = head;
	query = (char *)strchr(target, '?');
	if (query)
		memset(query, 0, query[1] ? 2 : 1); /* it may have found the mark already, or look for it yet */
	inner->connection = connection;
	inner->peer_state = own;
	inner->x.peer = own ? own->peer : "";
	inner->x.secure = connections->server->config->certificate != NULL;
	atomic_fetch_add(&connections->busy, 1);
	return inner;
}

/* The library reads lines that end with a bare CR or LF, and texts that a 0 byte ends early: others would read them otherwise. Its texts still stand where they came in, one behind the other, so the places
 * between them tell: exactly the two bytes of a line's end. */
static enum MHD_Result take_header(void *user, enum MHD_ValueKind kind, const char *name, size_t name_size, const char *value,
	size_t value_size)
{
	struct inner *inner = user;

	(void)kind;
	if (inner->headers.count > HEADERS_MAX)
		return MHD_NO;
	if (name != inner->head->expected || !value || strlen(name) != name_size || strlen(value) != value_size)
		inner->head->odd = true;
	inner->head->expected = value ? value + value_size + 2 : NULL;
	pairs_add(inner->x.ctx, &inner->headers, name, value ? value : "");
	return MHD_YES;
}

static int read_head(struct inner *inner, const char *method, const char *version)
{
	struct err err = ERR_INIT;
	const union MHD_ConnectionInfo *size;
	struct head *head = inner->head;

	inner->x.method = method;
	head->odd = version != head->target_end + 1;
	head->expected = version + strlen(version) + 2;
	(void)lib.MHD_get_connection_values_n(inner->connection, MHD_HEADER_KIND, take_header, inner);
	size = lib.MHD_get_connection_info(inner->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (inner->headers.count > HEADERS_MAX || (size && size->header_size + inner->headers.count * FIELD_COST > HEAD_MAX)) {
		inner->close = true;
		inner->x.path = "";
		err_set(&err, ERR_USAGE, "more than %d header fields, or %zu bytes of them", HEADERS_MAX, HEAD_MAX);
		exchange_answer_problem(&inner->x, 431, &err, NULL);
		inner->progress = PROGRESS_ANSWERED;
		return -1;
	}
	if (head->odd || !size || head->expected + 2 != method + size->header_size)
		pairs_add(inner->x.ctx, &inner->headers, "", ""); /* refused with what else is wrong with the head */
	return exchange_begin(inner);
}

static void set_due(struct inner *inner, int64_t in_ms)
{
	struct connection *own = inner->peer_state;

	if (own)
		atomic_store(&own->due_ms, in_ms ? clock_mono_ms() + in_ms : INT64_MAX);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
	const char *upload, size_t *upload_size, void **request)
{
	struct connections *connections = user;
	struct inner *inner = *request;

	(void)connection;
	(void)url;
	if (!inner->x.method) {
		set_due(inner, BODY_MS);
		if (read_head(inner, method, version) < 0)
			return send_answer(connections, inner);
		return MHD_YES;
	}
	if (*upload_size) {
		size_t size = *upload_size;

		*upload_size = 0;
		return exchange_more(inner, upload, size) ? MHD_YES : MHD_NO;
	}
	switch (inner->progress) {
	case PROGRESS_READING:
		set_due(inner, 0);
		return exchange_dispatch(inner) ? send_answer(connections, inner) : MHD_YES;
	default:
		exchange_returned(inner);
		return send_answer(connections, inner);
	}
}

static void on_completed(void *user, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code)
{
	struct connections *connections = user;
	struct inner *inner = *request;

	(void)connection;
	(void)code;
	if (!inner)
		return;
	*request = NULL;
	set_due(inner, NEXT_HEAD_MS);
	if (inner->stream)
		stream_end(connections, inner->stream);
	else
		atomic_fetch_sub(&connections->busy, 1);
	exchange_over(inner);
}

/* --- connections --------------------------------------------------------------------------------------------------- */

static void name_peer(struct connection *own, const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, own->peer, sizeof(own->peer));
	} else if (address->sa_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(six))
			(void)inet_ntop(AF_INET, six->s6_addr + 12, own->peer, sizeof(own->peer));
		else
			(void)inet_ntop(AF_INET6, six, own->peer, sizeof(own->peer));
	}
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct connections *connections = user;
	struct connection *own = *context;
	bool first;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		own = mem_zero(NULL, struct connection);
		own->fd = lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		name_peer(own, lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
		atomic_store(&own->due_ms, clock_mono_ms() + HEAD_MS);
		*context = own;
	}
	(void)pthread_mutex_lock(&connections->mutex);
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		own->next = connections->open;
		if (own->next)
			own->next->previous = own;
		connections->open = own;
	} else {
		if (own->previous)
			own->previous->next = own->next;
		else
			connections->open = own->next;
		if (own->next)
			own->next->previous = own->previous;
	}
	first = code == MHD_CONNECTION_NOTIFY_STARTED && connections->open_count == 0;
	connections->open_count += code == MHD_CONNECTION_NOTIFY_STARTED ? 1 : SIZE_MAX;
	(void)pthread_mutex_unlock(&connections->mutex);
	if (code != MHD_CONNECTION_NOTIFY_STARTED)
		talloc_free(own);
	if (first)
		server_wake(connections->server);
}

bool connections_tick(struct connections *connections, int64_t now_ms)
{
	bool any;

	(void)pthread_mutex_lock(&connections->mutex);
	for (struct connection *own = connections->open; own; own = own->next) {
		if (atomic_load(&own->due_ms) > now_ms)
			continue;
		(void)shutdown(own->fd, SHUT_RDWR);
		atomic_store(&own->due_ms, INT64_MAX);
	}
	any = connections->open_count > 0;
	(void)pthread_mutex_unlock(&connections->mutex);
	return any;
}

size_t connections_open(struct connections *connections)
{
	size_t count;

	(void)pthread_mutex_lock(&connections->mutex);
	count = connections->open_count;
	(void)pthread_mutex_unlock(&connections->mutex);
	return count;
}

size_t connections_busy(struct connections *connections)
{
	return atomic_load(&connections->busy);
}

size_t connections_streams(struct connections *connections)
{
	size_t count;

	(void)pthread_mutex_lock(&connections->mutex);
	count = connections->stream_count;
	(void)pthread_mutex_unlock(&connections->mutex);
	return count;
}

/* --- TLS ----------------------------------------------------------------------------------------------------------- */

static void keys_free(struct pair_of_keys *keys)
{
	while (keys) {
		struct pair_of_keys *before = keys->before;

		for (unsigned i = 0; i < keys->count; i++)
			lib.gnutls_pcert_deinit(&keys->certificates[i]);
		if (keys->key)
			lib.gnutls_privkey_deinit(keys->key);
		talloc_free(keys);
		keys = before;
	}
}

static int read_pem(const void *ctx, const struct server *server, const char *path, gnutls_datum_t *ret, struct err *err)
{
	char *text;
	size_t size;
	int r;

	r = fs_read(ctx, fs_join(ctx, server->dir, path), PEM_MAX, &text, &size, err);
	if (r < 0)
		return r;
	ret->data = (unsigned char *)text;
	ret->size = (unsigned)size;
	return 0;
}

/* The key id is a hash of the public part: that of the key and that of the first certificate must be the same. */
static bool keys_fit(const struct pair_of_keys *keys)
{
	unsigned char of_key[64], of_certificate[64];
	size_t key_size = sizeof(of_key), certificate_size = sizeof(of_certificate);
	gnutls_pubkey_t public;
	bool fits;

	if (lib.gnutls_pubkey_init(&public) < 0)
		return false;
	fits = lib.gnutls_pubkey_import_privkey(public, keys->key, 0, 0) >= 0 &&
		lib.gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, of_key, &key_size) >= 0 &&
		lib.gnutls_pubkey_get_key_id(keys->certificates[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_certificate, &certificate_size) >=
			0 &&
		key_size == certificate_size && !memcmp(of_key, of_certificate, key_size);
	lib.gnutls_pubkey_deinit(public);
	return fits;
}

static int load_keys(const struct server *server, struct pair_of_keys *keys, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	const struct server_config *config = server->config;
	gnutls_datum_t certificate, key;
	unsigned count = CERTIFICATES_MAX;
	int r;

	r = read_pem(tmp, server, config->certificate, &certificate, err);
	if (r == 0)
		r = read_pem(tmp, server, config->key, &key, err);
	if (r < 0)
		return err_in(err, "server.certificate");
	r = lib.gnutls_pcert_list_import_x509_raw(keys->certificates, &count, &certificate, GNUTLS_X509_FMT_PEM,
		GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
	if (r < 0)
		return err_set(err, ERR_INVALID, "server.certificate %s: %s", config->certificate, lib.gnutls_strerror(r));
	keys->count = count;
	r = lib.gnutls_privkey_init(&keys->key);
	if (r >= 0)
		r = lib.gnutls_privkey_import_x509_raw(keys->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
	explicit_bzero(key.data, key.size);
	if (r < 0)
		return err_set(err, ERR_INVALID, "server.key %s: %s", config->key, lib.gnutls_strerror(r));
	if (!count || !keys_fit(keys))
		return err_set(err, ERR_INVALID, "server.key %s does not belong to the certificate %s", config->key, config->certificate);
	return 0;
}

int connections_reload(struct connections *connections, struct err *err)
{
	struct pair_of_keys *keys;
	int r;

	if (!connections->server->config->certificate)
		return 0;
	keys = mem_zero(NULL, struct pair_of_keys);
	r = load_keys(connections->server, keys, err);
	if (r < 0) {
		keys_free(keys);
		return r;
	}
	keys->before = atomic_load(&connections->keys);
	atomic_store(&connections->keys, keys);
	return 0;
}

static int on_certificate(gnutls_session_t session, const gnutls_datum_t *issuers, int issuer_count,
	const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **ret, unsigned *ret_count, gnutls_privkey_t *ret_key)
{
	struct connections *connections = atomic_load(&the_connections);
	struct pair_of_keys *keys = connections ? atomic_load(&connections->keys) : NULL;

	(void)session;
	(void)issuers;
	(void)issuer_count;
	(void)algorithms;
	(void)algorithm_count;
	if (!keys)
		return -1;
	*ret = keys->certificates;
	*ret_count = keys->count;
	*ret_key = keys->key;
	return 0;
}

/* --- start and stop ------------------------------------------------------------------------------------------------ */

static int listen_failed(const struct listen_address *address, int error_number, struct err *err)
{
	err_errno(err, error_number, "listening on %s port %u", address->host, address->port);
	err_set(err, err->code, "%s; name another address with --listen HOST:PORT, or as server.listen in the project file", err->text);
	return err_advised(err);
}

static int bind_socket(const struct listen_address *address, int *ret, uint16_t *ret_port, struct err *err)
{
	_cleanup_close_ int fd = socket(address->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(address->port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(address->port) };
	struct sockaddr *name = address->v6 ? (struct sockaddr *)(void *)&six : (struct sockaddr *)(void *)&four;
	socklen_t size = address->v6 ? sizeof(six) : sizeof(four);
	int on = 1;

	if (fd < 0)
		return err_errno(err, errno, "a socket");
	(void)inet_pton(address->v6 ? AF_INET6 : AF_INET, address->host, address->v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, name, size) < 0 || listen(fd, 1024) < 0)
		return listen_failed(address, errno, err);
	if (getsockname(fd, name, &size) < 0)
		return err_errno(err, errno, "the address of a socket");
	*ret_port = ntohs(address->v6 ? six.sin6_port : four.sin_port);
	*ret = take_fd(fd);
	return 0;
}

/* As many as the system lets us have open, less what we need ourselves. */
static unsigned connection_limit(const struct server_config *config)
{
	struct rlimit limit;
	rlim_t room = 1024;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
		room = limit.rlim_cur == RLIM_INFINITY ? CONNECTIONS_MAX + DESCRIPTORS_OURS : limit.rlim_cur;
	}
	room = room > 2 * DESCRIPTORS_OURS ? room - DESCRIPTORS_OURS : room / 2;
	return (unsigned)MIN(room, (rlim_t)(config->connections ? config->connections : CONNECTIONS_MAX));
}

static printf_like(2, 0) void on_library_message(void *user, const char *format, va_list arguments)
{
	_cleanup_talloc_ char *text = mem_vprintf(NULL, format, arguments);

	(void)user;
	log_event(LOG_DEBUG, "HTTP library", "said", text, NULL);
}

int connections_start(struct server *server, const struct listen_address *address, struct connections **ret, uint16_t *ret_port,
	struct err *err)
{
	struct connections *connections = mem_zero(NULL, struct connections);
	const struct server_config *config = server->config;
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (address->v6 ? MHD_USE_IPv6 : 0) |
		(config->certificate ? MHD_USE_TLS : 0),
		 limit = connection_limit(config);
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(intptr_t)on_certificate },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
		{ MHD_OPTION_END, 0, NULL },
	};
	int fd = -1, r;

	connections->server = server;
	(void)pthread_mutex_init(&connections->mutex, NULL);
	server->inner->connections = connections;
	r = connections_reload(connections, err);
	if (r == 0)
		r = bind_socket(address, &fd, ret_port, err);
	if (r < 0) {
		server->inner->connections = NULL;
		connections_stop(connections);
		return r;
	}
	atomic_store(&the_connections, connections);
	connections->daemon = lib.MHD_start_daemon(flags, 0, NULL, NULL, on_request, connections, MHD_OPTION_EXTERNAL_LOGGER,
		on_library_message, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, THREADS, MHD_OPTION_THREAD_STACK_SIZE,
		STACK_BYTES, MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY_BYTES, MHD_OPTION_CONNECTION_MEMORY_INCREMENT, MEMORY_STEP,
		MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		config->connections_per_address ? (unsigned)config->connections_per_address
			: address->loopback     ? 0u
						: 256u,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, connections, MHD_OPTION_NOTIFY_COMPLETED, on_completed, connections,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, connections, MHD_OPTION_ARRAY, config->certificate ? tls : tls + 2,
		MHD_OPTION_END);
	if (!connections->daemon) { /* it has closed the socket */
		server->inner->connections = NULL;
		connections_stop(connections);
		return err_set(err, ERR_IO, "the HTTP library could not be started: %s", strerror(errno));
	}
	*ret = connections;
	return 0;
}

void connections_quiesce(struct connections *connections)
{
	int fd = lib.MHD_quiesce_daemon(connections->daemon);

	if (fd >= 0)
		(void)close(fd);
	(void)pthread_mutex_lock(&connections->mutex);
	for (struct stream *stream = connections->streams; stream; stream = stream->next)
		stream_wake(stream);
	(void)pthread_mutex_unlock(&connections->mutex);
}

void connections_stop(struct connections *connections)
{
	if (connections->daemon)
		lib.MHD_stop_daemon(connections->daemon);
	atomic_store(&the_connections, NULL);
	keys_free(atomic_load(&connections->keys));
	(void)pthread_mutex_destroy(&connections->mutex);
	talloc_free(connections);
}
