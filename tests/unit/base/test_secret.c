/* Scrubbing in every form in which a secret may turn up. */
#include "cmocka_base.h"

#include <pthread.h>

#include "base/log.h"
#include "base/text.h"

static int teardown(void **state)
{
	secret_forget_all();
	return 0;
}

static void assert_redacted(const char *text, const char *expected)
{
	_cleanup_talloc_ char *got = secret_redact(NULL, text);

	assert_string_equal(got, expected);
}

static void exact(void **state)
{
	assert_redacted("hunter22", "hunter22");
	secret_add("hunter22");
	secret_add("hunter22"); /* twice is once */
	assert_redacted("password=hunter22;hunter22", "password=[secret];[secret]");
	assert_redacted("hunter2", "hunter2");
	assert_redacted("", "");
	secret_add("abc"); /* too short: would destroy all text */
	assert_redacted("abc abcd", "abc abcd");
	secret_add("abcd");
	assert_redacted("abc abcd", "abc [secret]");
	secret_add("line-end-of-a-file\n");
	assert_redacted("x line-end-of-a-file y", "x [secret] y");
	secret_forget_all();
	assert_redacted("hunter22 abcd", "hunter22 abcd");
}

static void longest_wins(void **state)
{
	secret_add("abcd");
	secret_add("abcdefgh");
	assert_redacted("abcdefgh abcdef", "[secret] [secret]ef");
}

static void url_forms(void **state)
{
	secret_add("p@ss/w\xc3\xb6rd x");
	assert_redacted("a=p%40ss%2Fw%C3%B6rd%20x&b", "a=[secret]&b");
	assert_redacted("a=p%40ss%2fw%c3%b6rd%20x&b", "a=[secret]&b");
	assert_redacted("a=p%40ss%2Fw%C3%B6rd+x&b", "a=[secret]&b");
}

static void json_forms(void **state)
{
	secret_add("q\"b\\s/t\t\xc3\xb6\xf0\x9f\x98\x80\x1b!");
	assert_redacted("{\"k\":\"q\\\"b\\\\s/t\\t\xc3\xb6\xf0\x9f\x98\x80\\u001b!\"}", "{\"k\":\"[secret]\"}");
	assert_redacted("{\"k\":\"q\\\"b\\\\s\\/t\\t\xc3\xb6\xf0\x9f\x98\x80\\u001B!\"}", "{\"k\":\"[secret]\"}");
	assert_redacted("{\"k\":\"q\\\"b\\\\s/t\\t\\u00f6\\ud83d\\ude00\\u001b!\"}", "{\"k\":\"[secret]\"}");
	assert_redacted("{\"k\":\"q\\\"b\\\\s/t\\t\\u00F6\\uD83D\\uDE00\\u001B!\"}", "{\"k\":\"[secret]\"}");
}

/* Whatever stands around the secret in the encoded text, no part of its encoding may be left: of the digits of a whole text, all those that hold
 * a bit of the secret must be gone. */
static void assert_base64_gone(const void *ctx, const char *value, size_t before, size_t after, bool url)
{
	char *text = mem_printf(ctx, "%.*s%s%.*s", (int)before, "user:ab", value, (int)after, "rest");
	char *encoded = text_base64(ctx, text, strlen(text)), *clean;
	size_t first = before * 8 / 6, end = ((before + strlen(value)) * 8 + 5) / 6;

	for (char *at = encoded; url && *at; at++)
		*at = (char)(*at == '+' ? '-' : *at == '/' ? '_' : *at);
	clean = secret_redact(ctx, encoded);
	if (strspn(encoded + end, "=") == strlen(encoded + end))
		end = strlen(encoded); /* padding goes too */
	assert_string_equal(clean, mem_printf(ctx, "%.*s[secret]%s", (int)first, encoded, encoded + end));
}

static void base64_in_all_alignments(void **state)
{
	static const char value[] = "T0p~Secret\xfb\xff\xbeValue>>>\?\?\?";
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	secret_add(value);
	for (size_t before = 0; before < 7; before++)
		for (size_t after = 0; after < 4; after++) {
			assert_base64_gone(ctx, value, before, after, false);
			assert_base64_gone(ctx, value, before, after, true);
		}
}

static void shortest_secret_in_base64(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	secret_add("k3y!");
	for (int before = 0; before < 3; before++) {
		char *text = mem_printf(ctx, "%.*sk3y!zz", before, "ab");

		assert_non_null(strstr(secret_redact(ctx, text_base64(ctx, text, strlen(text))), "[secret]"));
	}
}

static void bytes_that_are_no_text(void **state)
{
	secret_add("\xff\xfe\x80key");
	assert_redacted("a\xff\xfe\x80keyb", "a[secret]b");
	assert_redacted("%FF%FE%80key", "[secret]");
}

static void many_and_big(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *big = mem_array(ctx, char, 20001);

	for (int i = 0; i < 100; i++)
		secret_add(mem_printf(ctx, "secret-number-%03d", i));
	memset(big, 'K', 20000);
	secret_add(big);
	assert_redacted("secret-number-000 secret-number-099 secret-number-100", "[secret] [secret] secret-number-100");
	assert_redacted(big, "[secret]");
}

static void *add_and_redact(void *argument)
{
	for (int i = 0; i < 100; i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		char *value = mem_printf(ctx, "%s-%d!", (const char *)argument, i);

		secret_add(value);
		if (strcmp(secret_redact(ctx, mem_printf(ctx, "<%s>", value)), "<[secret]>") != 0)
			return argument;
	}
	return NULL;
}

static void threads(void **state)
{
	static char names[4][8] = { "alpha", "beta", "gamma", "delta" };
	pthread_t ids[4];
	void *failed;

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, add_and_redact, names[i]), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(ids[i], &failed), 0);
		assert_null(failed);
	}
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(exact), TEST(longest_wins), TEST(url_forms), TEST(json_forms),
		TEST(base64_in_all_alignments), TEST(shortest_secret_in_base64), TEST(bytes_that_are_no_text), TEST(many_and_big),
		TEST(threads) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
