/* Tokens and key sets of an OpenID Connect provider. A token that is read has an algorithm of ours and three parts that are written back as
 * they were; a key that is taken has the size of a key; nothing that the fuzzer makes passes as a token for us, which knows no nonce. */
#include <string.h>

#include "core/jwt.h"
#include "data/hash.h"
#include "data/json.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	json_setup();
	hash_setup();
	return 0;
}

static void check_token(void *ctx, const char *text)
{
	const struct jwt_expected expected = { "https://idp", "unship", "kvuXlzGVcw8Zk0ZbhWgqYF7sHhUyeUQr5xjT0w3mCnA", 1800000000000,
		60000 };
	struct err err = ERR_INIT;
	struct jwt token;

	if (jwt_parse(ctx, text, &token, &err) < 0) {
		assert_always(err.code == ERR_UNAUTHENTICATED);
		return;
	}
	assert_always(jwt_algorithm_name(token.algorithm) && json_is_object(token.claims) && token.signature_size > 0);
	assert_always(token.signed_text == text && text[token.signed_size] == '.');
	assert_always(!strcmp(base64url_encode(ctx, token.signature, token.signature_size), text + token.signed_size + 1));
	assert_always(jwt_check(token.claims, &expected, &err) == -ERR_UNAUTHENTICATED);
}

static void check_keys(void *ctx, const char *text, size_t size)
{
	struct jwt token = { .algorithm = JWT_ES256 };
	struct err err = ERR_INIT;
	struct jwk *keys;
	size_t count;

	if (jwks_parse(ctx, text, size, &keys, &count, &err) < 0)
		return;
	assert_always(count <= JWKS_KEYS_MAX);
	for (size_t i = 0; i < count; i++) {
		assert_always(keys[i].first_size >= (keys[i].elliptic ? 32 : 256) && keys[i].first_size <= 1024);
		assert_always(keys[i].second_size >= 1 && keys[i].second_size <= 32);
	}
	(void)jwks_find(keys, count, &token);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	check_token(ctx, mem_strndup(ctx, (const char *)bytes, size));
	check_keys(ctx, (const char *)bytes, size);
	return 0;
}
