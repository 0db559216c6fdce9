/* http probe: one request; the status must be among those expected, and the body must contain a text when one is given. Redirects are
 * not followed: a 302 is an answer like any other.
 * The URL stands in the user's own configuration, so loopback and private addresses are fine. */
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "net/http.h"
#include "probes/limit.h"
#include "probes/list.h"

#define HEADERS_MAX 32

struct http_params {
	const char *url, *method, *contains, *unix_socket;
	const char **expect_status;
	json_t *headers;
	int64_t warn_above_ms;
	bool insecure;
};

/* clang-format off */
static const struct field http_fields[] = {
	FIELD_STR   (struct http_params, url,           REQUIRED,           "address to ask, http:// or https://"),
	FIELD_CHOICE(struct http_params, method,        DEFAULT("GET"),     "GET|HEAD|POST|OPTIONS", "request method"),
	FIELD_LIST  (struct http_params, expect_status, DEFAULT("200-399"), "statuses that are well: numbers and ranges"),
	FIELD_STR   (struct http_params, contains,      OPTIONAL,           "text that the body must contain"),
	FIELD_MAP   (struct http_params, headers,       OPTIONAL,           "request headers; a value may be a reference to a secret"),
	FIELD_MS    (struct http_params, warn_above_ms, OPTIONAL,           "slower than this is a warning"),
	FIELD_PATH  (struct http_params, unix_socket,   OPTIONAL,           "connect to this socket instead of the URL's host"),
	FIELD_BOOL  (struct http_params, insecure,      OPTIONAL,           "accept any certificate"),
	FIELD_END
};
/* clang-format on */

/* "204", "200-399", "2xx", and lists of them separated by commas or blanks. */
static int status_matches(const char *text, int status, bool *ret, struct err *err)
{
	_cleanup_talloc_ char *copy = mem_strdup(NULL, text);
	char *rest = copy, *part;

	while ((part = strsep(&rest, ", "))) {
		char *dash = strchr(part, '-');
		int64_t low, high;

		if (!*part)
			continue;
		if (strlen(part) == 3 && part[0] >= '1' && part[0] <= '5' && (!strcmp(part + 1, "xx") || !strcmp(part + 1, "XX"))) {
			low = (part[0] - '0') * 100;
			high = low + 99;
		} else {
			if (dash)
				*dash = 0;
			if (text_parse_int(part, 100, 599, &low, err) < 0)
				return err_in(err, "expectStatus '%s'", text);
			high = low;
			if (dash && text_parse_int(dash + 1, low, 599, &high, err) < 0)
				return err_in(err, "expectStatus '%s'", text);
		}
		*ret = *ret || (status >= low && status <= high);
	}
	return 0;
}

static int status_is_expected(const struct http_params *params, int status, bool *ret, struct err *err)
{
	const char **text;
	int r = 0;

	*ret = false;
	for (text = params->expect_status; r == 0 && *text; text++)
		r = status_matches(*text, status, ret, err);
	return r;
}

static int make_headers(struct driver_call *call, const struct http_params *params, const char ***ret, struct err *err)
{
	const char **list = mem_array(call->ctx, const char *, json_object_size(params->headers) + 1), *name;
	json_t *value;
	size_t count = 0;
	int r;

	if (json_object_size(params->headers) > HEADERS_MAX)
		return err_set(err, ERR_TOO_LARGE, "headers: more than %d", HEADERS_MAX);
	json_object_foreach(params->headers, name, value) {
		const char *text;

		if (json_is_object(value)) {
			r = call_secret(call, value, &text, err);
			if (r < 0)
				return err_in(err, "header '%s'", name);
		} else {
			text = json_scalar_text(call->ctx, value);
			if (!text)
				return err_set(err, ERR_INVALID, "header '%s': must be a text or a reference to a secret", name);
		}
		list[count++] = mem_printf(call->ctx, "%s: %s", name, text);
	}
	*ret = list;
	return 0;
}

static void judge(struct driver_call *call, const struct http_params *params, const struct http_response *response, bool expected,
	struct probe_result *ret)
{
	bool found = !params->contains || memmem(response->body, response->body_size, params->contains, strlen(params->contains));

	ret->details = json_keep(call->ctx, json_object());
	json_put_int(ret->details, "httpStatus", response->status);
	if (!expected)
		probe_say(call, ret, PROBE_FAIL, "answered %d", response->status);
	else if (!found)
		probe_say(call, ret, PROBE_FAIL, "answered %d, but without '%s'", response->status, params->contains);
	else
		probe_say(call, ret, PROBE_PASS, "answered %d in %lld ms", response->status, (long long)response->duration_ms);
	probe_took(call, ret, response->duration_ms, params->warn_above_ms);
}

static int http_run(struct driver_call *call, struct probe_result *ret, struct err *err)
{
	const struct http_params *params = call->params;
	struct http_request request = { .method = params->method, .url = params->url, .local_ok = true, .insecure = params->insecure };
	struct http_response response;
	const char **headers = NULL;
	bool expected;
	int r;

	r = status_is_expected(params, 200, &expected, err); /* its syntax, before anything is sent */
	if (r == 0)
		r = make_headers(call, params, &headers, err);
	if (r < 0)
		return r;
	request.headers = headers;
	request.timeout_ms = probe_time_left(call);
	request.unix_socket = params->unix_socket ? fs_join(call->ctx, call->project_dir, params->unix_socket) : NULL;
	r = http_request(call->ctx, &request, &response, err);
	if (r == -ERR_INVALID || r == -ERR_UNSUPPORTED)
		return r;
	if (r < 0) {
		probe_say_err(call, ret, err);
		return 0;
	}
	r = status_is_expected(params, response.status, &expected, err);
	if (r == 0)
		judge(call, params, &response, expected, ret);
	return r;
}

const struct probe probe_http = {
	.name = "http",
	.summary = "an HTTP request is answered with an expected status",
	.fields = http_fields,
	.params_size = sizeof(struct http_params),
	.run = http_run,
};
