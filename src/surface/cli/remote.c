/* Requests to a server (remote.h): the address, one request with its repetitions, answers and problems, operations by their method and path.
 *
 * A request is repeated when the connection was lost after it may have arrived, and when the server says that it is busy (503) or still at it (409 with Retry-After). Every POST carries an Idempotency-Key that stays the
 * same through all of that, so that what was done already is answered and not done again. A server that could not be reached in the first place is reported at once. Main thread only. */
#include "surface/cli/remote.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"

#define API             "/api/v1"
#define CONNECT_MS      10000
#define REQUEST_MS      (30 * 60 * 1000LL) /* verifying the snapshots of years takes its time; Ctrl-C ends it earlier */
#define ANSWER_MAX      ((size_t)64 << 20)
#define LOST_TRIES      6     /* 0.25 + 0.5 + 1 + 2 + 4 s: a server that is started anew */
#define BUSY_FOR_MS     60000 /* how long one that says that it is busy is asked again */
#define LOOK_MS         50    /* for Ctrl-C, while resting */
#define FIRST_PAUSE_MS  250
#define BUSY_PAUSE_MS   1000
#define HEADERS_AT_MOST 16

static bool is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (!strcasecmp(host, "localhost"))
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static char *host_of(const void *ctx, const char *after_scheme)
{
	size_t length = strcspn(after_scheme, "/:");

	if (*after_scheme == '[')
		return mem_strndup(ctx, after_scheme + 1, strcspn(after_scheme + 1, "]"));
	return mem_strndup(ctx, after_scheme, length);
}

static int check_url(const void *ctx, const char *given, const char **ret, struct err *err)
{
	const char *scheme_end = strstr(given, "://");
	char *url = mem_strdup(ctx, given), *host;
	bool https = !strncasecmp(given, "https://", 8);

	if (!https && strncasecmp(given, "http://", 7) != 0)
		return err_set(err, ERR_USAGE, "'%s' is no address of a server: https://HOST, or http://127.0.0.1:PORT", given);
	if (strpbrk(given, "?#@\\ "))
		return err_set(err, ERR_USAGE, "a server's address has a host, a port and a path: no user, no query, no blank");
	while (text_ends_with(url, "/"))
		url[strlen(url) - 1] = '\0';
	host = host_of(ctx, scheme_end + 3);
	if (!*host)
		return err_set(err, ERR_USAGE, "'%s' names no host", given);
	if (!https && !is_loopback(host))
		return err_set(err, ERR_USAGE, "'%s' would send the token for everybody on the way to read: use https", given);
	/* Scheme and host in small letters: the same server, the same token. */
	for (char *c = url; *c && (c < url + (scheme_end - given) + 3 || *c != '/'); c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	*ret = url;
	return 0;
}

int remote_server(const struct cli *cli, const char **ret, struct err *err)
{
	const char *environment = getenv("UNSHIP_SERVER"), *word = cli->command->operation ? NULL : json_str(cli->input, "url", NULL);

	*ret = cli->server ? cli->server : word;
	if (cli->server && word && strcmp(cli->server, word) != 0)
		return err_set(err, ERR_USAGE, "two servers are named: %s and %s", cli->server, word);
	if (*ret && cli->dir)
		return err_set(err, ERR_USAGE, "either --server, or the project in a directory (-C): not both");
	if (!*ret && !cli->dir && environment && *environment)
		*ret = environment;
	if (!*ret && cli->ca)
		return err_set(err, ERR_USAGE, "--ca is about a server: give --server too");
	return 0;
}

int remote_open(struct cli *cli, const char *server, struct remote **ret, struct err *err)
{
	struct remote *remote = mem_zero(cli->ctx, struct remote);
	int r;

	remote->cli = cli;
	if (!cli->ca && getenv("UNSHIP_CA") && *getenv("UNSHIP_CA"))
		cli->ca = getenv("UNSHIP_CA");
	r = check_url(cli->ctx, server, &remote->url, err);
	if (r == 0)
		r = login_token(cli, remote->url, &remote->token, err);
	if (r == 0)
		*ret = remote;
	return r;
}

char *remote_option(const struct remote *remote)
{
	return remote->cli->server ? mem_printf(remote->cli->ctx, " --server %s", remote->cli->server) : mem_strdup(remote->cli->ctx, "");
}

/* --- one request ---------------------------------------------------------------------------------------------------------- */

static bool is_interrupted(void *user)
{
	const struct remote *remote = user;

	return !remote->heedless && remote->cli->op.interrupted(remote->cli->op.user);
}

void remote_pause(const struct remote *remote, int64_t ms)
{
	for (int64_t until_ms = clock_mono_ms() + ms; clock_mono_ms() < until_ms && !is_interrupted((void *)remote);)
		clock_sleep_ms(MIN(ms, (int64_t)LOOK_MS));
}

static bool is_json(const struct http_response *response)
{
	const char *type = response->content_type;

	return type && (text_starts_with(type, "application/json") || text_starts_with(type, "application/problem+json"));
}

/* What answers is not unship: a proxy before it, or something else at this address. */
static int not_ours(struct remote *remote, const struct http_response *response, struct err *err)
{
	const char *type = response->content_type ? response->content_type : "no content type";
	int status = response->status;

	if (status >= 300 && status < 400)
		return err_set(err, ERR_UNREACHABLE,
			"%s answers with a redirect (%d), which is not followed: give the address that it leads to", remote->url, status);
	if (status == 502 || status == 503 || status == 504)
		return err_set(err, ERR_UNREACHABLE, "%s: a proxy answers in place of the server (%d, %s): it does not reach it",
			remote->url, status, type);
	return err_set(err, ERR_UNREACHABLE, "%s: what answers is no unship server, or something stands before it (%d, %s)", remote->url,
		status, type);
}

/* A code that this program does not know yet: what its status says. */
static enum err_code code_of(const struct http_response *response, json_t *problem)
{
	const char *name = json_str(problem, "code", "");
	enum err_code code = err_from_name(name);

	if (code != ERR_INTERNAL || !strcmp(name, err_info(ERR_INTERNAL)->name))
		return code;
	for (int known = ERR_NONE + 1; known < ERR_COUNT; known++)
		if (err_info((enum err_code)known)->http_status == response->status)
			return (enum err_code)known;
	return response->status < 500 ? ERR_INVALID : ERR_FAILED;
}

static json_t *other_members(const void *ctx, json_t *problem)
{
	static const char *const own[] = { "type", "title", "status", "detail", "instance", "code", "hint", "line", "column" };
	json_t *rest = json_keep(ctx, json_copy(problem));

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		json_object_del(rest, own[i]);
	return json_object_size(rest) ? rest : NULL;
}

int remote_problem(struct remote *remote, const struct http_response *response, const char *path, json_t **ret, struct err *err)
{
	const void *ctx = remote->cli->ctx;
	struct err ignored = ERR_INIT;
	json_t *problem;
	const char *detail;

	*ret = NULL;
	if (!is_json(response) || json_parse(ctx, response->body, response->body_size, ANSWER_MAX, &problem, &ignored) < 0 ||
		!json_str(problem, "code", NULL))
		return not_ours(remote, response, err);
	detail = json_str(problem, "detail", json_str(problem, "title", ""));
	if (response->status == 405 || (response->status == 404 && strstr(detail, mem_strndup(ctx, path, strcspn(path, "?")))))
		return err_set(err, ERR_UNSUPPORTED,
			"%s does not know this command: it is of another version than this unship (" UNSHIP_VERSION ")", remote->url);
	if (response->status == 401 && !remote->token && !remote->signing_in)
		return err_set(err, ERR_UNAUTHENTICATED,
			"you are not signed in to %s: `unship login --server %s`, or set UNSHIP_TOKEN_FILE", remote->url, remote->url);
	*ret = other_members(ctx, problem);
	err_set(err, code_of(response, problem), "%s", detail);
	err->line = (unsigned)json_int(problem, "line", 0);
	err->column = (unsigned)json_int(problem, "column", 0);
	return -(int)err->code;
}

/* How long to wait before the same request is sent again; 0: it is not. */
static int64_t pause_before_next(const struct remote_request *request, const struct http_response *response, const struct err *err,
	bool lost, int tries, int64_t begun_ms)
{
	if (request->once || err->code == ERR_CANCELLED || err->code == ERR_TIMEOUT)
		return 0;
	if (!err->code) {
		bool busy = (response->status == 503 || response->status == 409) && http_response_header(response, "Retry-After");

		return busy && clock_mono_ms() - begun_ms < BUSY_FOR_MS ? BUSY_PAUSE_MS : 0;
	}
	return lost && tries < LOST_TRIES ? (int64_t)FIRST_PAUSE_MS << (tries - 1) : 0;
}

static int unreachable(struct remote *remote, const struct remote_request *request, bool lost, struct err *err)
{
	if (err->code == ERR_CANCELLED)
		return err_set(err, ERR_CANCELLED,
			lost && strcmp(request->method, "GET") != 0 ? "interrupted; whether the server did it is not known"
								    : "interrupted");
	if (err->code == ERR_TIMEOUT)
		err_as(err, ERR_UNREACHABLE);
	if (lost && strcmp(request->method, "GET") != 0)
		return err_set(err, err->code, "%s; whether the server did it is not known", mem_strdup(remote->cli->ctx, err->text));
	return -(int)err->code;
}

static int send_request(struct remote *remote, const struct http_request *http, const struct remote_request *request,
	struct http_response *ret, struct err *err)
{
	int64_t begun_ms = clock_mono_ms(), wait_ms;
	bool lost, told = false;

	for (int tries = 1;; tries++) {
		*err = ERR_INIT;
		lost = http_request(remote->cli->ctx, http, ret, err) < 0 && *http->ret_sent; /* of this or of a former try */
		wait_ms = pause_before_next(request, ret, err, lost, tries, begun_ms);
		if (!wait_ms || is_interrupted(remote))
			return err->code ? unreachable(remote, request, lost, err) : 0;
		if (!told)
			say(remote->cli, "%s: %s; trying again", remote->url, err->code ? "the connection was lost" : "the server is busy");
		told = true;
		remote_pause(remote, wait_ms);
	}
}

int remote_ask(struct remote *remote, const struct remote_request *request, json_t **ret, struct http_response *ret_response,
	struct err *err)
{
	const void *ctx = remote->cli->ctx;
	const char *headers[HEADERS_AT_MOST + 1] = { "Accept: application/json" };
	struct http_response response = { 0 };
	bool sent = false;
	size_t count = 1;
	struct http_request http = {
		.method = request->method,
		.url = mem_printf(ctx, "%s%s", remote->url, request->path),
		.headers = headers,
		.timeout_ms = REQUEST_MS,
		.connect_ms = CONNECT_MS,
		.response_max = ANSWER_MAX,
		.local_ok = true,
		.ca_file = remote->cli->ca,
		.path_as_is = true,
		.interrupted = is_interrupted,
		.user = remote,
		.ret_sent = &sent,
	};
	int r;

	*ret = NULL;
	if (request->body) {
		http.body = json_canonical(ctx, request->body);
		http.body_size = strlen(http.body);
		headers[count++] = "Content-Type: application/json";
	}
	if (!strcmp(request->method, "POST") && !request->once)
		headers[count++] = mem_printf(ctx, "Idempotency-Key: %s", id_new(ctx, "key"));
	if (remote->token)
		headers[count++] = mem_printf(ctx, "Authorization: Bearer %s", remote->token);
	for (const char *const *header = request->headers; header && *header && count < HEADERS_AT_MOST; header++)
		headers[count++] = *header;
	r = send_request(remote, &http, request, &response, err);
	if (r < 0)
		return r;
	if (ret_response)
		*ret_response = response;
	if (response.status < 200 || response.status >= 300)
		return remote_problem(remote, &response, request->path, ret, err);
	if (!response.body_size)
		return 0;
	if (!is_json(&response))
		return not_ours(remote, &response, err);
	r = json_parse(ctx, response.body, response.body_size, ANSWER_MAX, ret, err);
	if (r == 0)
		return 0;
	(void)err_as(err, ERR_UNREACHABLE);
	return err_in(err, "%s", remote->url);
}

/* --- operations ----------------------------------------------------------------------------------------------------------- */

/* One "{name}" of a path. What would mean another path than was asked for cannot be the name of anything. */
static int path_value(const void *ctx, const struct operation *operation, const char *name, json_t *value, char **ret, struct err *err)
{
	const char *text = value ? json_scalar_text(ctx, value) : NULL;

	for (const struct field *field = operation->fields; field->member; field++)
		if (!strcmp(field_name(ctx, field), name) && !field->required && (!text || !*text)) {
			*ret = mem_strdup(ctx, "-"); /* none is given */
			return 0;
		}
	if (!text || !*text || !strcmp(text, ".") || !strcmp(text, "..") || !strcmp(text, "-"))
		return err_set(err, ERR_NOT_FOUND, "%s: there is none that is called '%s'", name, text ? text : "");
	*ret = text_url_encode(ctx, text);
	return 0;
}

/* The operation's path with its names filled in; they are taken out of `rest`. */
static int fill_path(const void *ctx, const struct operation *operation, json_t *rest, char **ret, struct err *err)
{
	char *path = mem_strdup(ctx, API);

	for (const char *at = operation->path; *at;) {
		size_t plain = strcspn(at, "{");
		char *name, *value;
		int r;

		path = mem_append(path, mem_strndup(ctx, at, plain));
		at += plain;
		if (!*at)
			break;
		name = mem_strndup(ctx, at + 1, strcspn(at + 1, "}"));
		at += strlen(name) + 2;
		r = path_value(ctx, operation, name, json_object_get(rest, name), &value, err);
		if (r < 0)
			return r;
		path = mem_append(path, value);
		json_object_del(rest, name);
	}
	*ret = path;
	return 0;
}

static char *add_query(const void *ctx, char *path, const char *name, json_t *value)
{
	char *text = json_scalar_text(ctx, value);
	json_t *item;
	size_t index;

	if (json_is_array(value)) {
		json_array_foreach(value, index, item)
			path = add_query(ctx, path, name, item);
		return path;
	}
	if (!text)
		text = json_canonical(ctx, value);
	return mem_appendf(path, "%c%s=%s", strchr(path, '?') ? '&' : '?', name, text_url_encode(ctx, text));
}

int remote_call(struct remote *remote, const struct operation *operation, json_t *input, json_t **ret, struct err *err)
{
	const void *ctx = remote->cli->ctx;
	json_t *rest = json_keep(ctx, json_copy(input)), *value;
	bool in_query = !strcmp(operation->method, "GET") || !strcmp(operation->method, "DELETE");
	struct remote_request request = { .method = operation->method };
	const char *name;
	char *path;
	int r;

	*ret = NULL;
	r = fill_path(ctx, operation, rest, &path, err);
	if (r < 0)
		return r;
	if (in_query)
		json_object_foreach(rest, name, value)
			path = add_query(ctx, path, name, value);
	else
		request.body = rest;
	request.path = path;
	request.once = strcmp(operation->method, "GET") != 0 && strcmp(operation->method, "POST") != 0 && !operation->idempotent;
	return remote_ask(remote, &request, ret, NULL, err);
}
