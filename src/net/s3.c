/* S3 (s3.h). Of the XML that a listing answers with only the text of Key, NextContinuationToken and IsTruncated is read, where it is plain; this is no XML parser, and needs none: what it does not take for a key is none of ours. */
#include "net/s3.h"

#include <string.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/text.h"
#include "data/hash.h"

#define TRIES       3
#define PAUSE_MS    200
#define LIST_MAX    ((size_t)8 << 20)
#define KEY_MAX     1024
#define KEYS_MAX    10000 /* of one page; servers send at most 1000 */
#define PAGES_MAX   100000
#define KEY_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/"

struct s3 {
	struct s3_options options;
	const char *sign;
	struct http_session *session;
};

struct s3 *s3_new(const void *ctx, const struct s3_options *options)
{
	struct s3 *s3 = mem_zero(ctx, struct s3);
	size_t length = strlen(options->url);

	s3->options = *options;
	while (length > 0 && options->url[length - 1] == '/')
		length--;
	s3->options.url = mem_strndup(s3, options->url, length);
	s3->sign = mem_printf(s3, "aws:amz:%s:s3", options->region);
	s3->session = http_session_new(s3);
	return s3;
}

/* What the store says of a request that it did not carry out: the text of Code and Message, where they are plain. */
static char *words_of(const void *ctx, const struct http_response *response, const char *name)
{
	char *open = mem_printf(ctx, "<%s>", name), *at = strstr(response->body, open);

	return at ? mem_strndup(ctx, at + strlen(open), MIN(strcspn(at + strlen(open), "<"), (size_t)200)) : NULL;
}

static int refused(const void *ctx, const struct http_response *response, struct err *err)
{
	const char *code = words_of(ctx, response, "Code"), *message = words_of(ctx, response, "Message");
	enum err_code kind = response->status == 404                 ? ERR_NOT_FOUND
		: response->status == 401 || response->status == 403 ? ERR_FORBIDDEN
								     : ERR_UNREACHABLE;

	return err_set(err, kind, "the store answered %d%s%s%s%s", response->status, code ? ": " : "", code ? code : "",
		message ? ": " : "", message ? message : "");
}

static bool may_pass(int r, const struct http_response *response)
{
	return r == -ERR_UNREACHABLE || r == -ERR_TIMEOUT || (r == 0 && (response->status >= 500 || response->status == 429));
}

static int ask(struct s3 *s3, const void *ctx, struct http_request *request, struct http_response *ret, struct err *err)
{
	const char *headers[3] = { NULL };
	char sum[HASH_HEX_SIZE];
	int r = 0;

	/* libcurl signs what this header says of the body, and does not write it by itself. */
	hash_sha256_hex(request->body ? request->body : "", request->body_size, sum);
	headers[0] = mem_printf(ctx, "x-amz-content-sha256: %s", sum);
	if (request->body)
		headers[1] = "Content-Type: application/octet-stream";
	request->headers = headers;
	request->timeout_ms = s3->options.timeout_ms;
	request->local_ok = true;
	request->ca_file = s3->options.ca_file;
	request->sign = s3->sign;
	request->sign_user = s3->options.access_key;
	request->sign_secret = s3->options.secret_key;
	request->session = s3->session;
	for (int tries = 1;; tries++) {
		*ret = (struct http_response){ 0 };
		r = http_request(ctx, request, ret, err);
		if (tries == TRIES || !may_pass(r, ret))
			break;
		clock_sleep_ms(MAX(PAUSE_MS * tries, MIN(ret->retry_after_ms, (int64_t)5000)));
	}
	if (r == 0 && (ret->status < 200 || ret->status > 299))
		r = refused(ctx, ret, err);
	return r;
}

/* "." and ".." between slashes would be resolved on the way, and another key be meant than was signed. */
static bool is_key(const char *key)
{
	return fs_is_inside(key) && strncmp(key, "./", 2) != 0 && !strstr(key, "/./") && !text_ends_with(key, "/.") &&
		strcmp(key, ".") != 0 && strlen(key) <= KEY_MAX && key[strspn(key, KEY_LETTERS)] == '\0';
}

static int check_key(const char *key, struct err *err)
{
	return is_key(key) ? 0 : err_set(err, ERR_INVALID, "'%s' cannot be a key", key);
}

static char *address(struct s3 *s3, const void *ctx, const char *key)
{
	return mem_printf(ctx, "%s/%s/%s", s3->options.url, s3->options.bucket, key);
}

int s3_put(struct s3 *s3, const char *key, const char *bytes, size_t size, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct http_request request = { .method = "PUT", .body = bytes, .body_size = size };
	struct http_response response;
	int r;

	r = check_key(key, err);
	if (r < 0)
		return r;
	request.url = address(s3, tmp, key);
	r = ask(s3, tmp, &request, &response, err);
	return r < 0 ? err_in(err, "writing %s", key) : 0;
}

int s3_get(struct s3 *s3, const void *ctx, const char *key, size_t max, char **ret, size_t *ret_size, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct http_request request = { .response_max = max };
	struct http_response response;
	int r;

	r = check_key(key, err);
	if (r < 0)
		return r;
	request.url = address(s3, tmp, key);
	r = ask(s3, tmp, &request, &response, err);
	if (r < 0)
		return err_in(err, "reading %s", key);
	*ret = talloc_steal(ctx, response.body);
	*ret_size = response.body_size;
	return 0;
}

/* The text of the next element of that name at or after *at, without markup in it; NULL: there is none. */
static const char *next_text(const void *ctx, const char *name, const char **at, const char *end)
{
	_cleanup_talloc_ char *open = mem_printf(NULL, "<%s>", name), *close = mem_printf(NULL, "</%s>", name);
	const char *begin = memmem(*at, (size_t)(end - *at), open, strlen(open)), *stop;

	if (!begin)
		return NULL;
	begin += strlen(open);
	stop = memmem(begin, (size_t)(end - begin), close, strlen(close));
	if (!stop)
		return NULL;
	*at = stop + strlen(close);
	return mem_strndup(ctx, begin, (size_t)(stop - begin));
}

int s3_read_list(const void *ctx, const char *xml, size_t size, const char ***ret_keys, const char **ret_token, struct err *err)
{
	const char *end = xml + size, *at = xml, *text, *truncated;
	const char **keys = mem_array(ctx, const char *, 1);
	size_t count = 0;

	if (!memmem(xml, size, "<ListBucketResult", strlen("<ListBucketResult")))
		return err_set(err, ERR_INVALID, "what the store answered is no list of a bucket");
	while ((text = next_text(ctx, "Key", &at, end))) {
		if (!is_key(text))
			continue;
		if (count == KEYS_MAX)
			return err_set(err, ERR_TOO_LARGE, "the store lists more than %d keys at once", KEYS_MAX);
		keys = mem_resize(ctx, keys, const char *, count + 2);
		keys[count++] = text;
	}
	keys[count] = NULL;
	at = xml;
	truncated = next_text(ctx, "IsTruncated", &at, end);
	at = xml;
	text = next_text(ctx, "NextContinuationToken", &at, end);
	if (truncated && !strcmp(truncated, "true") && (!text || !*text))
		return err_set(err, ERR_INVALID, "the store lists not all, and does not say how to go on");
	*ret_keys = keys;
	*ret_token = truncated && !strcmp(truncated, "true") ? text : "";
	return 0;
}

/* A token may hold anything; the signature wants it escaped. */
static char *escaped(const void *ctx, const char *text)
{
	char *result = mem_strdup(ctx, "");

	for (; *text; text++)
		result = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-~", *text)
			? mem_appendf(result, "%c", *text)
			: mem_appendf(result, "%%%02X", (unsigned char)*text);
	return result;
}

int s3_list(struct s3 *s3, const char *prefix, int (*each)(void *user, const char *key, struct err *err), void *user, struct err *err)
{
	_cleanup_talloc_ char *token = mem_strdup(NULL, "");

	for (int page = 0; page < PAGES_MAX; page++) {
		_cleanup_talloc_ void *tmp = mem_context(NULL);
		struct http_request request = { .response_max = LIST_MAX };
		struct http_response response;
		const char **keys, *next;
		int r;

		/* In the order that the signature wants: continuation-token, list-type, prefix. */
		request.url = mem_printf(tmp, "%s/%s?%s%s%slist-type=2&prefix=%s", s3->options.url, s3->options.bucket,
			*token ? "continuation-token=" : "", escaped(tmp, token), *token ? "&" : "", escaped(tmp, prefix));
		r = ask(s3, tmp, &request, &response, err);
		if (r == 0)
			r = s3_read_list(tmp, response.body, response.body_size, &keys, &next, err);
		if (r < 0)
			return err_in(err, "listing the bucket '%s'", s3->options.bucket);
		for (; r == 0 && *keys; keys++)
			if (text_starts_with(*keys, prefix))
				r = each(user, *keys, err);
		if (r < 0 || !*next)
			return r;
		talloc_free(token);
		token = mem_strdup(NULL, next);
	}
	return err_set(err, ERR_TOO_LARGE, "the bucket '%s' has no end", s3->options.bucket);
}
