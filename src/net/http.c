/* HTTP client (http.h): one libcurl easy handle per request, made and freed within the call.
 *
 * libcurl brings most of the program's shared libraries, so it is opened at the first request. Its functions stand in one table that is
 * filled once under pthread_once and
 * only read after that; this handle of a loaded library is the one static of this file. Any thread.
 *
 * Messages name scheme, host and port and nothing more of a URL: user names, paths and queries of webhooks are often secrets. */
#include "net/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <strings.h>

#include "base/library.h"
#include "base/clock.h"
#include "base/text.h"
#include "net/address.h"

#define URL_MAX              8192
#define HEADERS_MAX          64
#define RESPONSE_MAX_DEFAULT ((size_t)1 << 20)
#define ANSWER_HEADERS_MAX   128

/* setopt of a handle whose result matters: a libcurl that lacks an option that protects must not be used. */
#define SET(handle, option, value, err) \
	do { \
		if (api.setopt(handle, option, value) != CURLE_OK) \
			return err_set(err, ERR_UNSUPPORTED, "this libcurl does not know %s", #option); \
	} while (0)

static struct {
	CURLcode (*global_init)(long flags);
	CURL *(*init)(void);
	CURLcode (*setopt)(CURL *handle, CURLoption option, ...);
	CURLcode (*perform)(CURL *handle);
	CURLcode (*getinfo)(CURL *handle, CURLINFO info, ...);
	void (*cleanup)(CURL *handle);
	const char *(*strerror)(CURLcode code);
	struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
	void (*slist_free)(struct curl_slist *list);
	void (*reset)(CURL *handle);
	struct err problem; /* why it could not be loaded; code 0 when it is */
} api;

static pthread_once_t api_once = PTHREAD_ONCE_INIT;

static void load(void)
{
	static const struct library_symbol symbols[] = {
		{ "curl_global_init", &api.global_init },
		{ "curl_easy_init", &api.init },
		{ "curl_easy_setopt", &api.setopt },
		{ "curl_easy_perform", &api.perform },
		{ "curl_easy_getinfo", &api.getinfo },
		{ "curl_easy_cleanup", &api.cleanup },
		{ "curl_easy_strerror", &api.strerror },
		{ "curl_slist_append", &api.slist_append },
		{ "curl_slist_free_all", &api.slist_free },
		{ "curl_easy_reset", &api.reset },
	};

	if (library_load("libcurl.so.4", symbols, ARRAY_SIZE(symbols), &api.problem) == 0 &&
		api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		(void)err_set(&api.problem, ERR_UNSUPPORTED, "libcurl cannot be initialised");
}

void http_preload(void)
{
	(void)pthread_once(&api_once, load);
}

/* What the callbacks of one request share. */
struct transfer {
	const struct http_request *request;
	size_t response_max;
	char *body; /* talloc, grown by doubling */
	size_t size, room;
	const char **answer_headers; /* NULL-terminated */
	size_t answer_header_count;
	int64_t heard_ms; /* when something came last, monotonic */
	bool too_large, enough, quiet, interrupted;
	unsigned opened, denied;
	char denied_text[64];
	char *origin; /* scheme://host:port, for messages */
	struct curl_slist *headers;
	CURL *handle;
	char detail[CURL_ERROR_SIZE];
};

struct http_session {
	CURL *handle; /* NULL: not used yet */
};

static int session_free(struct http_session *session)
{
	if (session->handle)
		api.cleanup(session->handle);
	return 0;
}

struct http_session *http_session_new(const void *ctx)
{
	struct http_session *session = mem_zero(ctx, struct http_session);

	talloc_set_destructor(session, session_free);
	return session;
}

static CURL *take_handle(const struct http_request *request)
{
	if (!request->session)
		return mem_check(api.init());
	if (request->session->handle)
		api.reset(request->session->handle); /* the connection stays */
	else
		request->session->handle = mem_check(api.init());
	return request->session->handle;
}

static int transfer_free(struct transfer *transfer)
{
	if (transfer->handle && !transfer->request->session)
		api.cleanup(transfer->handle);
	if (transfer->headers)
		api.slist_free(transfer->headers);
	return 0;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *transfer = user;
	bool unix_socket = transfer->request->unix_socket && address->family == AF_UNIX;
	enum address_class class;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	class = unix_socket ? ADDRESS_PUBLIC : address_classify(&address->addr, address->addrlen);
	if (class == ADDRESS_NEVER || (class == ADDRESS_LOCAL && !transfer->request->local_ok)) {
		_cleanup_talloc_ char *text = address_text(NULL, &address->addr, address->addrlen);

		transfer->denied++;
		snprintf(transfer->denied_text, sizeof(transfer->denied_text), "%s", text);
		return CURL_SOCKET_BAD;
	}
	transfer->opened++;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool is_taken(const struct transfer *transfer)
{
	long status = 0;

	if (!transfer->request->take)
		return false;
	(void)api.getinfo(transfer->handle, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status < 300;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *user)
{
	struct transfer *transfer = user;
	size_t more = one * count;

	transfer->heard_ms = clock_mono_ms();
	if (is_taken(transfer)) {
		transfer->enough = transfer->request->take(transfer->request->user, bytes, more) != 0;
		return transfer->enough ? 0 : more;
	}
	if (more > transfer->response_max - transfer->size) {
		transfer->too_large = true;
		return 0;
	}
	if (transfer->size + more + 1 > transfer->room) {
		transfer->room = MAX((transfer->size + more + 1) * 2, (size_t)4096);
		transfer->body = mem_resize(transfer, transfer->body, char, transfer->room);
	}
	memcpy(transfer->body + transfer->size, bytes, more);
	transfer->size += more;
	return more;
}

/* Lines of the answer's head; a new status line (after 1xx) begins it anew. */
static size_t on_header(char *bytes, size_t one, size_t count, void *user)
{
	struct transfer *transfer = user;
	size_t length = one * count, size = length;

	transfer->heard_ms = clock_mono_ms();
	while (length && (bytes[length - 1] == '\r' || bytes[length - 1] == '\n'))
		length--;
	if (length > 5 && !strncmp(bytes, "HTTP/", 5))
		transfer->answer_header_count = 0;
	else if (length && transfer->answer_header_count < ANSWER_HEADERS_MAX)
		transfer->answer_headers[transfer->answer_header_count++] = mem_strndup(transfer->answer_headers, bytes, length);
	return size;
}

static int on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct transfer *transfer = user;
	const struct http_request *request = transfer->request;

	transfer->interrupted = request->interrupted && request->interrupted(request->user);
	transfer->quiet = request->quiet_ms && clock_mono_ms() - transfer->heard_ms > request->quiet_ms;
	return transfer->interrupted || transfer->quiet;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* "https://host:port" of a URL: what may be shown. */
static char *url_origin(const void *ctx, const char *url)
{
	const char *host = strstr(url, "://"), *end, *at;

	if (!host)
		return mem_strdup(ctx, "URL");
	host += 3;
	end = host + strcspn(host, "/?#");
	for (at = end; at > host; at--)
		if (at[-1] == '@')
			return mem_printf(ctx, "%.*s%.*s", (int)(host - url), url, (int)(end - at), at);
	return mem_strndup(ctx, url, (size_t)(end - url));
}

static int check_request(const struct http_request *request, struct err *err)
{
	const char *const *header;
	const char *c;
	size_t count = 0;

	assert_always(request->timeout_ms > 0 || (request->take && request->timeout_ms == 0));
	if (strncasecmp(request->url, "http://", 7) != 0 && strncasecmp(request->url, "https://", 8) != 0)
		return err_set(err, ERR_INVALID, "the URL must begin with http:// or https://");
	if (strlen(request->url) > URL_MAX)
		return err_set(err, ERR_TOO_LARGE, "the URL is longer than %d bytes", URL_MAX);
	if (has_control(request->url) || strchr(request->url, ' '))
		return err_set(err, ERR_INVALID, "the URL contains a blank or a control character");
	for (c = request->method ? request->method : "GET"; *c; c++)
		if (!isupper((unsigned char)*c))
			return err_set(err, ERR_INVALID, "the method must be capital letters, as GET");
	for (header = request->headers; header && *header; header++) {
		const char *colon = strchr(*header, ':');

		if (!colon || colon == *header || has_control(*header) || memchr(*header, ' ', (size_t)(colon - *header)))
			return err_set(err, ERR_INVALID, "header %zu is not of the form 'Name: value'", count + 1);
		if (++count > HEADERS_MAX)
			return err_set(err, ERR_TOO_LARGE, "more than %d headers", HEADERS_MAX);
	}
	return 0;
}

static void add_header(struct transfer *transfer, const char *text)
{
	transfer->headers = mem_check(api.slist_append(transfer->headers, text));
}

static int set_method(struct transfer *transfer, struct err *err)
{
	const struct http_request *request = transfer->request;
	const char *method = request->method ? request->method : request->body ? "POST" : "GET";
	bool sends = request->body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;

	if (strcmp(method, "HEAD") == 0) {
		SET(transfer->handle, CURLOPT_NOBODY, 1L, err);
	} else if (sends) {
		SET(transfer->handle, CURLOPT_POST, 1L, err);
		SET(transfer->handle, CURLOPT_POSTFIELDS, request->body ? request->body : "", err);
		SET(transfer->handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(request->body ? request->body_size : 0), err);
	}
	SET(transfer->handle, CURLOPT_CUSTOMREQUEST, method, err);
	return 0;
}

/* What never depends on the request: limits, callbacks, and what curl must not do by itself. */
static int set_rules(struct transfer *transfer, struct err *err)
{
	CURL *handle = transfer->handle;

	SET(handle, CURLOPT_PROTOCOLS_STR, "http,https", err);
	SET(handle, CURLOPT_FOLLOWLOCATION, 0L, err);
	SET(handle, CURLOPT_PROXY, "", err); /* a proxy would connect for us, past the address policy */
	SET(handle, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED, err);
	SET(handle, CURLOPT_OPENSOCKETFUNCTION, on_open_socket, err);
	SET(handle, CURLOPT_OPENSOCKETDATA, transfer, err);
	SET(handle, CURLOPT_WRITEFUNCTION, on_body, err);
	SET(handle, CURLOPT_WRITEDATA, transfer, err);
	SET(handle, CURLOPT_NOSIGNAL, 1L, err);
	SET(handle, CURLOPT_HEADERFUNCTION, on_header, err);
	SET(handle, CURLOPT_HEADERDATA, transfer, err);
	SET(handle, CURLOPT_XFERINFOFUNCTION, on_progress, err);
	SET(handle, CURLOPT_XFERINFODATA, transfer, err);
	SET(handle, CURLOPT_NOPROGRESS, transfer->request->interrupted || transfer->request->quiet_ms ? 0L : 1L, err);
	SET(handle, CURLOPT_ERRORBUFFER, transfer->detail, err);
	SET(handle, CURLOPT_USERAGENT, "unship/" UNSHIP_VERSION, err);
	return 0;
}

static int set_insecure(struct transfer *transfer, struct err *err)
{
	SET(transfer->handle, CURLOPT_SSL_VERIFYPEER, 0L, err);
	SET(transfer->handle, CURLOPT_SSL_VERIFYHOST, 0L, err);
	return 0;
}

static int set_up(struct transfer *transfer, struct err *err)
{
	const struct http_request *request = transfer->request;
	const char *const *header;
	CURL *handle = transfer->handle;
	int r;

	r = set_rules(transfer, err);
	if (r == 0 && request->insecure)
		r = set_insecure(transfer, err);
	if (r < 0)
		return r;
	SET(handle, CURLOPT_URL, request->url, err);
	if (!request->take)
		SET(handle, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfer->response_max, err);
	SET(handle, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms, err);
	SET(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)(request->connect_ms ? request->connect_ms : request->timeout_ms), err);
	SET(handle, CURLOPT_PATH_AS_IS, request->path_as_is ? 1L : 0L, err);
	if (request->ca_file)
		SET(handle, CURLOPT_CAINFO, request->ca_file, err);
	if (request->unix_socket)
		SET(handle, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket, err);
	if (request->sign) {
		SET(handle, CURLOPT_AWS_SIGV4, request->sign, err);
		SET(handle, CURLOPT_USERNAME, request->sign_user, err);
		SET(handle, CURLOPT_PASSWORD, request->sign_secret, err);
	}
	/* No waiting for 100-continue. Where the headers are signed, libcurl would sign this one, too, which is not sent. */
	if (request->sign)
		SET(handle, CURLOPT_EXPECT_100_TIMEOUT_MS, 1L, err);
	else
		add_header(transfer, "Expect:");
	for (header = request->headers; header && *header; header++)
		add_header(transfer, *header);
	SET(handle, CURLOPT_HTTPHEADER, transfer->headers, err);
	return set_method(transfer, err);
}

static int connect_failed(struct transfer *transfer, struct err *err)
{
	long number = 0;

	if (transfer->denied > 0 && transfer->opened == 0)
		return err_set(err, ERR_REFUSED, "the address is %s, where unship sends no request", transfer->denied_text);
	(void)api.getinfo(transfer->handle, CURLINFO_OS_ERRNO, &number);
	switch (number) {
	case ECONNREFUSED:
		return err_set(err, ERR_UNREACHABLE, "connection refused: nothing listens there");
	case EHOSTUNREACH:
	case ENETUNREACH:
		return err_set(err, ERR_UNREACHABLE, "there is no route to it");
	case ENOENT:
		return err_set(err, ERR_UNREACHABLE, "the socket does not exist");
	default:
		return err_set(err, ERR_UNREACHABLE, "connecting failed: %s", transfer->detail[0] ? transfer->detail : "no reason given");
	}
}

static int too_large(struct transfer *transfer, struct err *err)
{
	_cleanup_talloc_ char *limit = text_format_size(NULL, transfer->response_max);

	return err_set(err, ERR_TOO_LARGE, "the answer is larger than %s", limit);
}

static bool was_sent(const struct transfer *transfer)
{
	curl_off_t connected_us = 0;

	(void)api.getinfo(transfer->handle, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	return connected_us > 0;
}

static int aborted(struct transfer *transfer, struct err *err)
{
	_cleanup_talloc_ char *limit = text_format_duration(NULL, transfer->request->quiet_ms);

	if (transfer->interrupted)
		return err_set(err, ERR_CANCELLED, "interrupted");
	return err_set(err, ERR_TIMEOUT, "nothing came for %s", limit);
}

static int timed_out(struct transfer *transfer, struct err *err)
{
	const struct http_request *request = transfer->request;
	bool connected = was_sent(transfer);
	_cleanup_talloc_ char *limit = text_format_duration(NULL,
		connected || !request->connect_ms ? request->timeout_ms : request->connect_ms);

	return err_set(err, ERR_TIMEOUT, connected ? "connected, but no complete answer within %s" : "no connection within %s", limit);
}

static int failed(struct transfer *transfer, CURLcode code, struct err *err)
{
	const char *detail = transfer->detail[0] ? transfer->detail : api.strerror(code);

	if (code == CURLE_UNSUPPORTED_PROTOCOL && transfer->opened > 0) /* HTTP/0.9: bytes without a status line */
		code = CURLE_WEIRD_SERVER_REPLY;
	switch (code) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return err_set(err, ERR_INVALID, "the URL is not valid: %s", detail);
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_set(err, ERR_UNREACHABLE, "the name cannot be resolved");
	case CURLE_COULDNT_CONNECT:
		return connect_failed(transfer, err);
	case CURLE_ABORTED_BY_CALLBACK:
		return aborted(transfer, err);
	case CURLE_SSL_CACERT_BADFILE:
		return err_set(err, ERR_INVALID, "the authorities cannot be read: %s", transfer->request->ca_file);
	case CURLE_OPERATION_TIMEDOUT:
		return timed_out(transfer, err);
	case CURLE_WRITE_ERROR:
	case CURLE_FILESIZE_EXCEEDED:
		return too_large(transfer, err);
	case CURLE_PEER_FAILED_VERIFICATION:
		return err_set(err, ERR_UNREACHABLE, "its certificate is not accepted: %s", detail);
	case CURLE_SSL_CONNECT_ERROR:
		return err_set(err, ERR_UNREACHABLE, "TLS failed: %s", detail);
	case CURLE_GOT_NOTHING:
		return err_set(err, ERR_UNREACHABLE, "it closed the connection without an answer");
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return err_set(err, ERR_UNREACHABLE, "the connection broke off: %s", detail);
	case CURLE_WEIRD_SERVER_REPLY:
		return err_set(err, ERR_UNREACHABLE, "what answers does not speak HTTP: %s", detail);
	default:
		return err_set(err, ERR_UNREACHABLE, "the request failed: %s", detail);
	}
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	size_t length = strlen(name);

	for (const char *const *header = response->headers; header && *header; header++)
		if (!strncasecmp(*header, name, length) && (*header)[length] == ':')
			return *header + length + 1 + strspn(*header + length + 1, " \t");
	return NULL;
}

static void read_response(const void *ctx, struct transfer *transfer, int64_t started_us, struct http_response *ret)
{
	char *type = NULL;
	curl_off_t retry_after_s = 0;
	long status = 0;

	(void)api.getinfo(transfer->handle, CURLINFO_RESPONSE_CODE, &status);
	(void)api.getinfo(transfer->handle, CURLINFO_RETRY_AFTER, &retry_after_s);
	(void)api.getinfo(transfer->handle, CURLINFO_CONTENT_TYPE, &type);
	transfer->answer_headers[transfer->answer_header_count] = NULL;
	*ret = (struct http_response){
		.status = (int)status,
		.body = mem_strndup(ctx, "", 0),
		.body_size = transfer->size,
		.content_type = mem_strdup(ctx, type),
		.headers = talloc_steal(ctx, transfer->answer_headers),
		.duration_ms = (clock_mono_us() - started_us + 500) / 1000,
		.retry_after_ms = MIN(MAX((int64_t)retry_after_s, 0), 24 * 3600) * 1000,
	};
	if (transfer->size > 0) {
		transfer->body[transfer->size] = 0;
		talloc_free(ret->body);
		ret->body = mem_dup(ctx, transfer->body, transfer->size + 1);
	}
}

int http_request(const void *ctx, const struct http_request *request, struct http_response *ret, struct err *err)
{
	_cleanup_talloc_ struct transfer *transfer = NULL;
	int64_t started_us = clock_mono_us();
	CURLcode code;
	int r;

	r = check_request(request, err);
	if (r < 0)
		return r;
	pthread_once(&api_once, load);
	if (api.problem.code)
		return err_set(err, api.problem.code, "%s", api.problem.text);

	transfer = mem_zero(NULL, struct transfer);
	talloc_set_destructor(transfer, transfer_free);
	transfer->request = request;
	transfer->response_max = request->response_max ? request->response_max : RESPONSE_MAX_DEFAULT;
	transfer->origin = url_origin(transfer, request->url);
	transfer->answer_headers = mem_array(transfer, const char *, ANSWER_HEADERS_MAX + 1);
	transfer->handle = take_handle(request);
	r = set_up(transfer, err);
	if (r < 0)
		return r;
	transfer->heard_ms = clock_mono_ms();
	code = api.perform(transfer->handle);
	if (request->ret_sent && was_sent(transfer))
		*request->ret_sent = true;
	if (code != CURLE_OK && !transfer->enough) {
		(void)failed(transfer, code, err);
		return err_in(err, "%s", transfer->origin);
	}
	read_response(ctx, transfer, started_us, ret);
	return 0;
}
