/* Parsers of what clients send beside the body: target, headers, cookies, and of the address to listen on. Pure; each has a fuzz target (tests/fuzz).
 *
 * They are strict: what two programs could read differently (a proxy before us and we) is refused, not repaired. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "surface/http/inner.h"

#define PREFER_WAIT_MAX_S 300

void pairs_add(const void *ctx, struct pairs *pairs, const char *name, const char *value)
{
	pairs->list = mem_resize(ctx, pairs->list, struct pair, pairs->count + 1);
	pairs->list[pairs->count++] = (struct pair){ name, value };
}

const char *pairs_find(const struct pairs *pairs, const char *name)
{
	for (size_t i = 0; i < pairs->count; i++)
		if (!strcmp(pairs->list[i].name, name))
			return pairs->list[i].value;
	return NULL;
}

const char *pairs_find_any_case(const struct pairs *pairs, const char *name)
{
	for (size_t i = 0; i < pairs->count; i++)
		if (!strcasecmp(pairs->list[i].name, name))
			return pairs->list[i].value;
	return NULL;
}

/* --- the target ---------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Decodes %XX into a text without control characters and with valid UTF-8. */
static int decode(const void *ctx, const char *text, size_t size, bool plus_is_blank, const char *what, const char **ret, struct err *err)
{
	char *out = mem_array(ctx, char, size + 1);
	size_t length = 0;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c == '%') {
			int high = size - i > 2 ? hex_digit(text[i + 1]) : -1, low = size - i > 2 ? hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return err_set(err, ERR_USAGE, "%s: '%%' is not followed by two hexadecimal digits", what);
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_blank) {
			c = ' ';
		}
		if (is_control(c))
			return err_set(err, ERR_USAGE, "%s: a control character", what);
		out[length++] = c;
	}
	out[length] = '\0';
	if (!text_is_utf8(out, length))
		return err_set(err, ERR_USAGE, "%s: not valid UTF-8", what);
	*ret = out;
	return 0;
}

static int check_segments(const char *raw, size_t size, struct err *err)
{
	for (size_t i = 0; i + 2 < size; i++)
		if (raw[i] == '%' &&
			((raw[i + 1] == '2' && (raw[i + 2] | 0x20) == 'f') || (raw[i + 1] == '5' && (raw[i + 2] | 0x20) == 'c')))
			return err_set(err, ERR_USAGE, "path: an encoded slash");
	if (memchr(raw, '\\', size))
		return err_set(err, ERR_USAGE, "path: a backslash");
	return 0;
}

/* After decoding: dots may have been written as %2e. */
static int check_path(const char *path, struct err *err)
{
	for (const char *at = path; *at; at++) {
		const char *segment = at + 1;
		size_t length;

		if (*at != '/')
			continue;
		length = strcspn(segment, "/");
		if ((length == 1 && segment[0] == '.') || (length == 2 && segment[0] == '.' && segment[1] == '.'))
			return err_set(err, ERR_USAGE, "path: '.' or '..'");
		if (length == 0 && segment[0])
			return err_set(err, ERR_USAGE, "path: an empty part");
	}
	return 0;
}

static int parse_query(const void *ctx, const char *query, struct pairs *ret, struct err *err)
{
	while (*query) {
		size_t length = strcspn(query, "&"), name_length = MIN(strcspn(query, "="), length);
		const char *name, *value = "";
		int r;

		if (length) {
			if (ret->count >= QUERY_MAX)
				return err_set(err, ERR_USAGE, "query: more than %d parameters", QUERY_MAX);
			r = decode(ctx, query, name_length, true, "query", &name, err);
			if (r == 0 && name_length < length)
				r = decode(ctx, query + name_length + 1, length - name_length - 1, true, "query", &value, err);
			if (r < 0)
				return r;
			if (!*name)
				return err_set(err, ERR_USAGE, "query: a parameter without a name");
			pairs_add(ctx, ret, name, value);
		}
		query += length;
		query += *query == '&';
	}
	return 0;
}

/* "http://host/path": what proxies are sent; servers take it too (RFC 9112, 3.2.2). */
static const char *skip_authority(const void *ctx, const char *target, const char **ret_authority)
{
	size_t scheme = !strncasecmp(target, "http://", 7) ? 7 : !strncasecmp(target, "https://", 8) ? 8 : 0, length;

	*ret_authority = NULL;
	if (!scheme)
		return target;
	length = strcspn(target + scheme, "/?#");
	*ret_authority = mem_strndup(ctx, target + scheme, length);
	return target[scheme + length] ? target + scheme + length : "/";
}

int target_parse(const void *ctx, const char *target, const char **ret_path, const char **ret_authority, struct pairs *ret_query,
	struct err *err)
{
	struct pairs query = { 0 };
	const char *path, *authority;
	size_t length;
	int r;

	target = skip_authority(ctx, target, &authority);
	length = strcspn(target, "?");
	if (target[0] != '/' || memchr(target, '#', length))
		return err_set(err, ERR_USAGE, "the target of a request is a path that starts with '/'");
	r = check_segments(target, length, err);
	if (r == 0)
		r = decode(ctx, target, length, false, "path", &path, err);
	if (r == 0)
		r = check_path(path, err);
	if (r == 0 && target[length])
		r = parse_query(ctx, target + length + 1, &query, err);
	if (r < 0)
		return r;
	*ret_path = path;
	*ret_authority = authority;
	*ret_query = query;
	return 0;
}

/* --- headers ------------------------------------------------------------------------------------------------------- */

static bool is_token(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text))
			return false;
	return true;
}

static bool is_value(const char *text)
{
	for (const char *at = text; *at; at++)
		if (is_control(*at) && *at != '\t')
			return false;
	return text_is_utf8(text, strlen(text));
}

static int check_length(const struct pairs *headers, struct err *err)
{
	const char *length = pairs_find_any_case(headers, "Content-Length"), *coding = pairs_find_any_case(headers, "Transfer-Encoding");

	if (length && coding)
		return err_set(err, ERR_USAGE, "Content-Length and Transfer-Encoding together");
	if (length && (!*length || strspn(length, "0123456789") != strlen(length) || strlen(length) > 18))
		return err_set(err, ERR_USAGE, "Content-Length is not a number");
	if (coding && strcasecmp(coding, "chunked") != 0)
		return err_set(err, ERR_USAGE, "Transfer-Encoding other than chunked");
	return 0;
}

int headers_check(const struct pairs *headers, struct err *err)
{
	static const char *const once[] = { "Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Authorization", "Cookie",
		"Origin", "Idempotency-Key", "X-CSRF-Token", "Last-Event-ID", "Content-Encoding", "Upgrade" };

	for (size_t i = 0; i < headers->count; i++) {
		if (!is_token(headers->list[i].name))
			return err_set(err, ERR_USAGE,
				"a header's name is not a token, or a line of the head ends otherwise than with CR LF");
		if (!is_value(headers->list[i].value))
			return err_set(err, ERR_USAGE, "header %s: a control character, or not valid UTF-8", headers->list[i].name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(once); i++) {
		size_t count = 0;

		for (size_t k = 0; k < headers->count; k++)
			count += !strcasecmp(headers->list[k].name, once[i]);
		if (count > 1)
			return err_set(err, ERR_USAGE, "header %s stands there %zu times", once[i], count);
	}
	return check_length(headers, err);
}

/* RFC 6265, 4.2.1: name=value, separated by "; ". Values in quotes are taken without them. */
int cookies_parse(const void *ctx, const char *header, struct pairs *ret, struct err *err)
{
	struct pairs cookies = { 0 };

	while (*header) {
		size_t length, equals;
		const char *value;

		header += strspn(header, " \t;");
		length = strcspn(header, ";");
		equals = strcspn(header, "=");
		if (!length)
			break;
		if (cookies.count >= HEADERS_MAX)
			return err_set(err, ERR_USAGE, "more than %d cookies", HEADERS_MAX);
		if (equals < length) {
			const char *name = mem_strndup(ctx, header, equals);
			size_t size = length - equals - 1;

			value = header + equals + 1;
			while (size && (value[size - 1] == ' ' || value[size - 1] == '\t'))
				size--;
			if (size >= 2 && value[0] == '"' && value[size - 1] == '"') {
				value++;
				size -= 2;
			}
			if (pairs_find(&cookies, name))
				return err_set(err, ERR_USAGE, "a cookie stands there twice");
			pairs_add(ctx, &cookies, name, mem_strndup(ctx, value, size));
		}
		header += length;
	}
	*ret = cookies;
	return 0;
}

bool accepts_coding(const char *header, const char *coding)
{
	bool any = false;

	while (header && *header) {
		size_t length, name;
		const char *quality;
		bool wanted = true;

		header += strspn(header, " \t,");
		length = strcspn(header, ",");
		name = strcspn(header, " \t,;");
		quality = memmem(header, length, "q=", 2);
		if (quality) {
			const char *digits = quality + 2;

			wanted = strspn(digits, "0.") < strcspn(digits, " \t,;");
		}
		if (name == strlen(coding) && !strncasecmp(header, coding, name))
			return wanted;
		if (name == 1 && *header == '*')
			any = wanted;
		header += length;
	}
	return any;
}

bool etag_matches(const char *header, const char *etag)
{
	size_t size = strlen(etag);

	while (header && *header) {
		const char *end;

		header += strspn(header, " \t,");
		if (*header == '*')
			return true;
		if (!strncmp(header, "W/", 2))
			header += 2;
		if (*header != '"')
			return false;
		end = strchr(header + 1, '"');
		if (!end)
			return false;
		if ((size_t)(end - header + 1) == size && !memcmp(header, etag, size))
			return true;
		header = end + 1;
	}
	return false;
}

int64_t prefer_wait_ms(const char *header)
{
	while (header && *header) {
		size_t length;

		header += strspn(header, " \t,;");
		length = strcspn(header, ",;");
		if (!strncasecmp(header, "wait=", 5) && length > 5) {
			int64_t seconds = 0;

			for (const char *at = header + 5;
				at < header + length && isdigit((unsigned char)*at) && seconds <= PREFER_WAIT_MAX_S; at++)
				seconds = seconds * 10 + (*at - '0');
			return MIN(seconds, PREFER_WAIT_MAX_S) * 1000;
		}
		header += length;
	}
	return 0;
}

const char *idempotency_key_parse(const void *ctx, const char *header)
{
	size_t length = strlen(header);

	if (length >= 2 && header[0] == '"' && header[length - 1] == '"') {
		header++;
		length -= 2;
	}
	if (!length || length > 255)
		return NULL;
	for (size_t i = 0; i < length; i++)
		if (header[i] <= ' ' || header[i] > '~' || header[i] == '"' || header[i] == '\\')
			return NULL;
	return mem_strndup(ctx, header, length);
}

/* --- addresses ----------------------------------------------------------------------------------------------------- */

int listen_parse(const char *text, struct listen_address *ret, struct err *err)
{
	struct listen_address address = { 0 };
	unsigned char bytes[16];
	const char *colon, *host = text;
	struct err why = ERR_INIT;
	size_t length;
	int64_t port;

	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		address.v6 = true;
		host = text + 1;
		length = end ? (size_t)(end - host) : 0;
		colon = end ? end + 1 : "";
	} else {
		colon = strrchr(text, ':');
		length = colon ? (size_t)(colon - text) : 0;
		colon = colon ? colon : "";
	}
	if (*colon != ':' || !length || length >= sizeof(address.host) || text_parse_int(colon + 1, 0, 65535, &port, &why) < 0)
		return err_set(err, ERR_USAGE, "'%s' is no address to listen on: write 127.0.0.1:8321 or [::1]:8321", text);
	memcpy(address.host, host, length);
	if (!strcmp(address.host, "localhost"))
		memcpy(address.host, "127.0.0.1", sizeof("127.0.0.1"));
	if (inet_pton(address.v6 ? AF_INET6 : AF_INET, address.host, bytes) != 1)
		return err_set(err, ERR_USAGE,
			"'%s' is no address to listen on: a numeric address and a port, as in 127.0.0.1:8321 or [::1]:8321", text);
	address.port = (uint16_t)port;
	address.loopback = address.v6 ? !memcmp(bytes, &in6addr_loopback, 16) : bytes[0] == 127;
	*ret = address;
	return 0;
}

/* A name that somebody else's name server may give out must not lead here: so only names that were configured. Numeric addresses cannot be rebound. */
bool host_is_ours(const char *host, const char *const *names)
{
	unsigned char bytes[16];
	char name[256];
	const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
	size_t length = end ? (size_t)(end + 1 - host) : strcspn(host, ":");
	const char *port = host + length;

	if (!length || length >= sizeof(name) || (*port && (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1))))
		return false;
	memcpy(name, host, length);
	name[length] = '\0';
	if (end) {
		name[length - 1] = '\0';
		return inet_pton(AF_INET6, name + 1, bytes) == 1;
	}
	if (!strcasecmp(name, "localhost") || inet_pton(AF_INET, name, bytes) == 1)
		return true;
	for (; names && *names; names++)
		if (!strcasecmp(*names, name) || !strcasecmp(*names, host))
			return true;
	return false;
}
