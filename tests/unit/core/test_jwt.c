/* jwt.c: tokens and key sets as they come from outside, and what a token must claim. Signatures: tests/unit/http/test_jws.c. */
#include "given.h"

#include "core/jwt.h"
#include "data/hash.h"

#define NOW_MS 1800000000000

static char *part(const void *ctx, const char *text)
{
	return base64url_encode(ctx, text, strlen(text));
}

static int parse(const void *ctx, const char *header, const char *claims, const char *signature, struct jwt *ret, struct err *err)
{
	return jwt_parse(ctx, mem_printf(ctx, "%s.%s.%s", part(ctx, header), part(ctx, claims), signature), ret, err);
}

static void base64url_is_read_strictly(void **state)
{
	static const struct {
		const char *text, *wanted;
	} cases[] = { { "", "" }, { "Zg", "f" }, { "Zm8", "fo" }, { "Zm9v", "foo" }, { "-_-_", "\xfb\xff\xbf" }, { "Zh", NULL },
		{ "Zm9", NULL }, { "Z", NULL }, { "Zm9vY", NULL }, { "Zg==", NULL }, { "Z g", NULL }, { "+/+/", NULL }, { "Zm9v\n", NULL },
		{ "\xc3\xa4", NULL } };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t *bytes = NULL;
		size_t size = 0;

		if (!cases[i].wanted) {
			assert_fails(base64url_decode(ctx, cases[i].text, strlen(cases[i].text), &bytes, &size, &error), ERR_INVALID);
			continue;
		}
		assert_ok(base64url_decode(ctx, cases[i].text, strlen(cases[i].text), &bytes, &size, &error));
		assert_int_equal(size, strlen(cases[i].wanted));
		assert_memory_equal(bytes, cases[i].wanted, size);
		assert_int_equal(bytes[size], 0);
		assert_string_equal(base64url_encode(ctx, bytes, size), cases[i].text);
	}
}

static void a_token_is_read(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	struct jwt jwt;

	(void)state;
	assert_ok(parse(ctx, "{\"alg\":\"ES256\",\"kid\":\"a\",\"typ\":\"JWT\"}", "{\"sub\":\"1\"}", "Zm9v", &jwt, &error));
	assert_int_equal(jwt.algorithm, JWT_ES256);
	assert_string_equal(jwt.key_id, "a");
	assert_string_equal(json_str(jwt.claims, "sub", ""), "1");
	assert_int_equal(jwt.signature_size, 3);
	assert_memory_equal(jwt.signature, "foo", 3);
	assert_int_equal(jwt.signed_text[jwt.signed_size], '.');
	assert_ok(parse(ctx, "{\"alg\":\"RS256\"}", "{}", "Zm9v", &jwt, &error));
	assert_null(jwt.key_id);
}

static void what_is_no_token_of_ours_is_refused(void **state)
{
	static const char *const headers[] = { "{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"HS256\"}", "{\"alg\":\"RS512\"}",
		"{\"alg\":\"\"}", "{}", "[]", "1", "", "{\"alg\":[\"RS256\"]}", "{\"alg\":\"RS256\",\"alg\":\"none\"}",
		"{\"alg\":\"RS256\",\"crit\":[\"exp\"]}", "{\"alg\":\"RS256\",\"kid\":1}", "{\"alg\":\"RS256\"} x" };
	static const char *const tokens[] = { "", ".", "..", "...", "a", "e30.e30", "e30.e30.e30", "e30.e30.e30.e30.e30", ".e30.e30" };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	struct jwt jwt;
	char *huge;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		assert_fails(parse(ctx, headers[i], "{}", "Zm9v", &jwt, &error), ERR_UNAUTHENTICATED);
	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++)
		assert_fails(jwt_parse(ctx, tokens[i], &jwt, &error), ERR_UNAUTHENTICATED);
	assert_fails(parse(ctx, "{\"alg\":\"RS256\"}", "[]", "Zm9v", &jwt, &error), ERR_UNAUTHENTICATED);
	assert_fails(parse(ctx, "{\"alg\":\"RS256\"}", "{}", "", &jwt, &error), ERR_UNAUTHENTICATED);
	assert_fails(parse(ctx, "{\"alg\":\"RS256\"}", "{}", "Zg==", &jwt, &error), ERR_UNAUTHENTICATED);
	huge = mem_array(ctx, char, JWT_MAX + 2);
	memset(huge, 'A', JWT_MAX + 1);
	assert_fails(jwt_parse(ctx, huge, &jwt, &error), ERR_UNAUTHENTICATED);
}

static int check(const void *ctx, const char *claims, struct err *err)
{
	const struct jwt_expected expected = { .issuer = "https://idp",
		.audience = "unship",
		.nonce = "n",
		.now_ms = NOW_MS,
		.leeway_ms = 60000 };
	json_t *value;

	if (json_parse(ctx, claims, strlen(claims), 4096, &value, err) < 0)
		fail_msg("%s: %s", claims, err->text);
	return jwt_check(value, &expected, err);
}

#define RIGHT "\"iss\":\"https://idp\",\"sub\":\"1\",\"nonce\":\"n\""
#define TIMES "\"exp\":1800000600,\"iat\":1800000000"

static void claims_must_be_right(void **state)
{
	static const char *const right[] = {
		"{" RIGHT "," TIMES ",\"aud\":\"unship\"}",
		"{" RIGHT "," TIMES ",\"aud\":[\"unship\"]}",
		"{" RIGHT "," TIMES ",\"aud\":[\"x\",\"unship\"],\"azp\":\"unship\"}",
		"{" RIGHT ",\"aud\":\"unship\",\"exp\":1799999941,\"iat\":1799999000}",
		"{" RIGHT ",\"aud\":\"unship\",\"exp\":1800000600.5,\"iat\":1800000060,\"nbf\":1800000060}",
	};
	static const struct {
		const char *claims, *says;
	} wrong[] = {
		{ "{}", "(iss)" },
		{ "{\"iss\":\"https://idp/\",\"sub\":\"1\",\"nonce\":\"n\"," TIMES ",\"aud\":\"unship\"}", "(iss)" },
		{ "{\"iss\":[\"https://idp\"],\"sub\":\"1\",\"nonce\":\"n\"," TIMES ",\"aud\":\"unship\"}", "(iss)" },
		{ "{" RIGHT "," TIMES "}", "(aud)" },
		{ "{" RIGHT "," TIMES ",\"aud\":\"Unship\"}", "(aud)" },
		{ "{" RIGHT "," TIMES ",\"aud\":[]}", "(aud)" },
		{ "{" RIGHT "," TIMES ",\"aud\":{\"unship\":1}}", "(aud)" },
		{ "{" RIGHT "," TIMES ",\"aud\":[\"x\",\"unship\"]}", "(azp)" },
		{ "{" RIGHT "," TIMES ",\"aud\":\"unship\",\"azp\":\"x\"}", "(azp)" },
		{ "{" RIGHT "," TIMES ",\"aud\":\"unship\",\"azp\":null}", "(azp)" },
		{ "{" RIGHT ",\"aud\":\"unship\",\"exp\":1799999940,\"iat\":1799999000}", "(exp)" },
		{ "{" RIGHT ",\"aud\":\"unship\",\"exp\":1800000600,\"iat\":1800000061}", "(iat, nbf)" },
		{ "{" RIGHT "," TIMES ",\"aud\":\"unship\",\"nbf\":1800000061}", "(iat, nbf)" },
		{ "{" RIGHT "," TIMES ",\"aud\":\"unship\",\"nbf\":\"now\"}", "nbf" },
		{ "{" RIGHT ",\"aud\":\"unship\",\"iat\":1800000000}", "(iat, exp)" },
		{ "{" RIGHT ",\"aud\":\"unship\",\"exp\":1800000600}", "(iat, exp)" },
		{ "{" RIGHT ",\"aud\":\"unship\",\"exp\":\"1800000600\",\"iat\":1800000000}", "(iat, exp)" },
		{ "{" RIGHT ",\"aud\":\"unship\",\"exp\":9223372036854775807,\"iat\":1800000000}", "(iat, exp)" },
		{ "{" RIGHT ",\"aud\":\"unship\",\"exp\":-1,\"iat\":1800000000}", "(iat, exp)" },
		{ "{\"iss\":\"https://idp\",\"sub\":\"1\"," TIMES ",\"aud\":\"unship\"}", "(nonce)" },
		{ "{\"iss\":\"https://idp\",\"sub\":\"1\",\"nonce\":\"m\"," TIMES ",\"aud\":\"unship\"}", "(nonce)" },
		{ "{\"iss\":\"https://idp\",\"nonce\":\"n\"," TIMES ",\"aud\":\"unship\"}", "(sub)" },
		{ "{\"iss\":\"https://idp\",\"sub\":\"\",\"nonce\":\"n\"," TIMES ",\"aud\":\"unship\"}", "(sub)" },
		{ "{\"iss\":\"https://idp\",\"sub\":7,\"nonce\":\"n\"," TIMES ",\"aud\":\"unship\"}", "(sub)" },
		{ "{\"iss\":\"https://idp\",\"sub\":\"a\\nb\",\"nonce\":\"n\"," TIMES ",\"aud\":\"unship\"}", "(sub)" },
	};
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		assert_ok(check(ctx, right[i], &error));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (check(ctx, wrong[i].claims, &error) != -ERR_UNAUTHENTICATED || !strstr(error.text, wrong[i].says))
			fail_msg("%s: %s", wrong[i].claims, error.text);
	}
}

static char *rsa(const void *ctx, size_t bytes, const char *exponent, const char *more)
{
	uint8_t *modulus = mem_array(ctx, uint8_t, bytes);

	memset(modulus, 0xab, bytes);
	return mem_printf(ctx, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}", base64url_encode(ctx, modulus, bytes), exponent, more);
}

static size_t count_keys(const void *ctx, const char *key, struct jwk **ret)
{
	char *set = mem_printf(ctx, "{\"keys\":[%s]}", key);
	struct err error = ERR_INIT;
	size_t count = 0;

	assert_ok(jwks_parse(ctx, set, strlen(set), ret, &count, &error));
	return count;
}

static void keys_that_cannot_be_used_are_left_out(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	struct jwk *keys;
	size_t count;

	(void)state;
	assert_int_equal(count_keys(ctx, rsa(ctx, 256, "AQAB", ""), &keys), 1);
	assert_int_equal(keys[0].first_size, 256);
	assert_int_equal(keys[0].second_size, 3);
	assert_int_equal(count_keys(ctx, rsa(ctx, 255, "AQAB", ""), &keys), 0); /* less than 2048 bits */
	assert_int_equal(count_keys(ctx, rsa(ctx, 1025, "AQAB", ""), &keys), 0);
	assert_int_equal(count_keys(ctx, rsa(ctx, 256, "AQ", ""), &keys), 0); /* 1 */
	assert_int_equal(count_keys(ctx, rsa(ctx, 256, "Ag", ""), &keys), 0); /* 2 */
	assert_int_equal(count_keys(ctx, rsa(ctx, 256, "", ""), &keys), 0);
	assert_int_equal(count_keys(ctx, rsa(ctx, 256, "AQAB", ",\"use\":\"enc\""), &keys), 0);
	assert_int_equal(count_keys(ctx, rsa(ctx, 256, "AQAB", ",\"alg\":\"HS256\""), &keys), 0);
	assert_int_equal(count_keys(ctx, rsa(ctx, 256, "AQAB", ",\"alg\":\"ES256\""), &keys), 0);
	assert_int_equal(count_keys(ctx, "{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}", &keys), 0);
	assert_int_equal(count_keys(ctx, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"Zg\",\"y\":\"Zg\"}", &keys), 0);
	assert_int_equal(count_keys(ctx, "{\"kty\":\"EC\",\"crv\":\"P-384\"}", &keys), 0);
	assert_int_equal(count_keys(ctx, "1, null, {}, [], {\"kty\":1}", &keys), 0);
	assert_fails(jwks_parse(ctx, "{}", 2, &keys, &count, &error), ERR_INVALID);
	assert_fails(jwks_parse(ctx, "[]", 2, &keys, &count, &error), ERR_INVALID);
}

static void a_token_finds_its_key(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *a = rsa(ctx, 256, "AQAB", ",\"kid\":\"a\",\"alg\":\"RS256\""), *b = rsa(ctx, 256, "AQAB", ",\"kid\":\"b\"");
	struct jwt token = { .algorithm = JWT_RS256, .key_id = "a" };
	struct jwk *keys;
	size_t count = count_keys(ctx, mem_printf(ctx, "%s,%s", a, b), &keys);

	(void)state;
	assert_ptr_equal(jwks_find(keys, count, &token), &keys[0]);
	token.key_id = "b";
	assert_ptr_equal(jwks_find(keys, count, &token), &keys[1]);
	token.key_id = "c";
	assert_null(jwks_find(keys, count, &token));
	token.key_id = NULL; /* which of the two? */
	assert_null(jwks_find(keys, count, &token));
	token.algorithm = JWT_PS256; /* the first is for RS256 only */
	assert_ptr_equal(jwks_find(keys, count, &token), &keys[1]);
	token.algorithm = JWT_ES256;
	assert_null(jwks_find(keys, count, &token));
	token = (struct jwt){ .algorithm = JWT_PS256, .key_id = "a" };
	assert_null(jwks_find(keys, count, &token));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64url_is_read_strictly),
		cmocka_unit_test(a_token_is_read),
		cmocka_unit_test(what_is_no_token_of_ours_is_refused),
		cmocka_unit_test(claims_must_be_right),
		cmocka_unit_test(keys_that_cannot_be_used_are_left_out),
		cmocka_unit_test(a_token_finds_its_key),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
