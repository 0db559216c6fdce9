/* What a client sends beside the body. The first byte chooses the parser. Whatever comes: no fault, and what is taken is as promised: a path without "..", control characters or empty parts, in valid UTF-8. */
#include <string.h>

#include "base/text.h"
#include "fuzz.h"
#include "surface/http/inner.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

static void check_text(const char *text)
{
	assert_always(text_is_utf8(text, strlen(text)));
	for (; *text; text++)
		assert_always((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void try_target(const void *ctx, const char *text)
{
	struct pairs query = { 0 };
	const char *path, *authority;
	struct err err = ERR_INIT;

	if (target_parse(ctx, text, &path, &authority, &query, &err) < 0) {
		assert_always(err.code == ERR_USAGE && *err.text);
		return;
	}
	check_text(path);
	assert_always(
		path[0] == '/' && !strstr(path, "//") && !strstr(path, "/../") && !strstr(path, "/./") && !text_ends_with(path, "/.."));
	assert_always(query.count <= QUERY_MAX);
	for (size_t i = 0; i < query.count; i++) {
		assert_always(*query.list[i].name);
		check_text(query.list[i].name);
		check_text(query.list[i].value);
	}
}

static void try_headers(const void *ctx, char *text)
{
	struct pairs headers = { 0 };
	struct err err = ERR_INIT;

	while (text && headers.count < HEADERS_MAX) {
		char *line = strsep(&text, "\n"), *value = strchr(line, ':');

		if (value)
			*value++ = '\0';
		pairs_add(ctx, &headers, line, value ? value : "");
	}
	if (headers_check(&headers, &err) < 0)
		return;
	assert_always(!pairs_find_any_case(&headers, "content-length") || !pairs_find_any_case(&headers, "transfer-encoding"));
}

static void try_cookies(const void *ctx, const char *text)
{
	struct pairs cookies = { 0 };
	struct err err = ERR_INIT;

	if (cookies_parse(ctx, text, &cookies, &err) == 0)
		assert_always(cookies.count <= HEADERS_MAX);
}

static void try_addresses(const char *text)
{
	static const char *const names[] = { "unship.example", NULL };
	struct listen_address address;
	struct err err = ERR_INIT;

	if (listen_parse(text, &address, &err) == 0)
		assert_always(*address.host);
	(void)host_is_ours(text, names);
}

static void try_words(const void *ctx, const char *text)
{
	const char *key = idempotency_key_parse(ctx, text);
	int64_t wait_ms = prefer_wait_ms(text);

	assert_always(!key || (*key && strlen(key) <= 255));
	assert_always(wait_ms >= 0 && wait_ms <= 300000);
	(void)accepts_coding(text, "gzip");
	(void)etag_matches(text, "\"a\"");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text;

	if (!size)
		return 0;
	text = mem_strndup(ctx, (const char *)bytes + 1, size - 1);
	switch (bytes[0] % 5) {
	case 0:
		try_target(ctx, text);
		break;
	case 1:
		try_headers(ctx, text);
		break;
	case 2:
		try_cookies(ctx, text);
		break;
	case 3:
		try_addresses(text);
		break;
	default:
		try_words(ctx, text);
	}
	return 0;
}
