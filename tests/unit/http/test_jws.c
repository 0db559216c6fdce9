/* jws.c: signatures of tokens. The tokens and keys were made by another program (OpenSSL). */
#include "checks.h"

#include <string.h>

#include "data/hash.h"
#include "data/json.h"
#include "surface/http/jws.h"
#include "surface/http/library.h"

/* clang-format off */
#define RS256_TOKEN \
	"eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJzdWIiOiI0MiJ9.mbd8CkRxXGeKuqqs_tTHR53qppoqk0TfJLSlvxGLY2rlFBTmVFzS0WBG" \
	"IzuUIRy8kqTPKa269uZy6dKYfNv_loqbyHkIWoqLNPYfBAMoNiuXaJsObiBpPJ_KUvOek8Mcy18pj_tMGC-8E6ETphuGN8KTmskGmtEKu9VVyK" \
	"vHe2DQZI8OveIw6nuz_lyHdXNnBUdQmNRi_4HNcuUrZv_AKSC-mdGEMFkZkuXkJ3fA94iU2J8eauIXFvLLIeHMsQCBnz0_b9QdcQfnXXrpyUdz" \
	"wCKOE16CZ9ODqCGiftpCh6DIncd5VCK52xGZFGBCb1v0ser-n4EV_Up6DjU_33luBw"

#define PS256_TOKEN \
	"eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSJ9.eyJzdWIiOiI0MiJ9.XCSpJqVf564IuIP__KPeEI_SfodHHR-A3I9PiSgAZNwqmFegebFJbfiU" \
	"p1jqZ7F7BoeIBZWukCMrqDS8vKVuYls8c_9qgv63i0dVw8quwpa5BxqwRb6IbhQ2uAVQbhSLLE7E1s5U-qaM1ZNa4d5UKzjr1QimHJfFb_Ziu1" \
	"jqZJUxD9CJ8Ghcr1GkvGUV5klV3XAOYuH-q_edR2s5SNfbE8XPwEcjGNKWGZIVAovVeO4zayF8dbQW8H8rwyVcqBxZroTfyR9YbgwEBl__a5Be" \
	"gMIF50Jm_w_FS4NXCKW9ZlbOcKXcTl4t8yNnPvcYBCpzUVCJ95jlPXHDz2chdNjUCw"

#define ES256_TOKEN \
	"eyJhbGciOiJFUzI1NiIsImtpZCI6ImVjIn0.eyJzdWIiOiI0MiJ9.T0iLXK5SU0vd1hRf3krLsSuwQ_sDS-wJYRvnTRgYglveeKHWJVCqM2Y6e" \
	"WtIGRpYpSptjxbVLRsm2X4sBkebjA"

#define KEYS \
	"{\"keys\":[{\"kid\":\"rsa\",\"kty\":\"RSA\",\"n\":\"qXhCk7tI3sSKjBXqyJFgsiffgqvfv2eH8N3Kyli5peEH9W-MOAP7Ygz_mXXsk" \
	"zWn9vmY_3kWDy5vy5y-6u5dRvqC9WWu4NPUrel2KFJQdU2B8jAVaaGqJ34X8IA4bgmdwxc7TC6TlMB70dv6wVkmI9qwAX7nspMBS" \
	"Nr2uKWPxLzjxZs0brjCL9jzvL4eQnHPvv_H0mU8b9GnIaSkPEKCheqkJPNGGkWnweeXOP16guMW7XQ_2YaBsCfR4qLk7WLT173f4" \
	"--GS27R2oH-XDLO202z8SWWigucdlNpxuc7mBPpoAky4KWATGhZ50IxGyaFNOVccNCJgVEqZPSvv201qQ\",\"e\":\"AQAB\"},{\"kid" \
	"\":\"ec\",\"kty\":\"EC\",\"x\":\"5ZcnTcI5HSdrC9Jtwi4gPEWE9i9yMLgfyLx1EoLN0rY\",\"y\":\"qUKgFpCuHaJI16LqFGAD1S14dvT" \
	"uRKvTRT9rY9lD-2U\",\"crv\":\"P-256\"}]}"

/* clang-format on */

static int verify(const void *ctx, const char *token, struct err *err)
{
	const struct jwk *key;
	struct jwk *keys;
	struct jwt jwt;
	size_t count = 0;
	int r;

	if (jwks_parse(ctx, KEYS, strlen(KEYS), &keys, &count, err) < 0)
		fail_msg("%s", err->text);
	assert_int_equal(count, 2);
	r = jwt_parse(ctx, token, &jwt, err);
	if (r < 0)
		return r;
	key = jwks_find(keys, count, &jwt);
	assert_non_null(key);
	return jws_verify(&jwt, key, err);
}

static void signatures_of_each_algorithm_fit(void **state)
{
	static const char *const tokens[] = { RS256_TOKEN, PS256_TOKEN, ES256_TOKEN };
	struct err error = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++)
		if (verify(*state, tokens[i], &error) < 0)
			fail_msg("%zu: %s", i, error.text);
}

static void nothing_else_fits(void **state)
{
	static const char *const tokens[] = { RS256_TOKEN, PS256_TOKEN, ES256_TOKEN };
	struct err error = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
		const char *dot = strrchr(tokens[i], '.');

		/* each character of the signature but the last, whose lower bits may not be used */
		for (size_t at = (size_t)(dot + 1 - tokens[i]); at + 1 < strlen(tokens[i]); at += 7) {
			char *other = mem_strdup(*state, tokens[i]);

			other[at] = other[at] == 'A' ? 'B' : 'A';
			assert_fails(verify(*state, other, &error), ERR_UNAUTHENTICATED);
		}
		/* the signature of another token */
		assert_fails(verify(*state,
				     mem_printf(*state, "%.*s%s", (int)(dot - tokens[i]), tokens[i], strrchr(tokens[(i + 1) % 3], '.')),
				     &error),
			ERR_UNAUTHENTICATED);
		/* cut, and longer */
		assert_fails(verify(*state, mem_strndup(*state, tokens[i], strlen(tokens[i]) - 4), &error), ERR_UNAUTHENTICATED);
		assert_fails(verify(*state, mem_printf(*state, "%sAAAA", tokens[i]), &error), ERR_UNAUTHENTICATED);
	}
}

static void numbers_that_are_no_signature_do_not_fit(void **state)
{
	struct err error = ERR_INIT;
	uint8_t pair[64] = { 0 };
	const char *dot = strrchr(ES256_TOKEN, '.');

	for (int i = 0; i < 3; i++) {
		memset(pair, i == 0 ? 0 : i == 1 ? 0xff : 0x7f, sizeof(pair));
		assert_fails(verify(*state,
				     mem_printf(*state, "%.*s.%s", (int)(dot - ES256_TOKEN), ES256_TOKEN,
					     base64url_encode(*state, pair, sizeof(pair))),
				     &error),
			ERR_UNAUTHENTICATED);
	}
}

static int set_up(void **state)
{
	struct err error = ERR_INIT;

	json_setup();
	hash_setup();
	*state = mem_context(NULL);
	return http_library_load(&error);
}

static int tear_down(void **state)
{
	return talloc_free(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(signatures_of_each_algorithm_fit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_else_fits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(numbers_that_are_no_signature_do_not_fit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
