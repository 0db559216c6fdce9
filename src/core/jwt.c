/* Tokens and key sets (jwt.h). Pure; any thread.
 * To add an algorithm: a row of `algorithms`, its way of checking in surface/http/jws.c. */
#include "core/jwt.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"

#define RSA_BYTES_MIN    256 /* 2048 bits */
#define RSA_BYTES_MAX    1024
#define RSA_EXPONENT_MAX 8
#define P256_BYTES       32
#define SUBJECT_MAX      255            /* OpenID Connect Core 2 */
#define TIME_MAX_S       253402300800.0 /* the year 10000 */

static const struct algorithm {
	const char *name;
	bool elliptic;
} algorithms[] = {
	[JWT_RS256] = { "RS256", false },
	[JWT_PS256] = { "PS256", false },
	[JWT_ES256] = { "ES256", true },
};

const char *jwt_algorithm_name(enum jwt_algorithm algorithm)
{
	return algorithms[algorithm].name;
}

static bool find_algorithm(const char *name, enum jwt_algorithm *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
		if (strcmp(algorithms[i].name, name) != 0)
			continue;
		*ret = (enum jwt_algorithm)i;
		return true;
	}
	return false;
}

/* --- base64url ----------------------------------------------------------------------------------------------------- */

char *base64url_encode(const void *ctx, const void *bytes, size_t size)
{
	char *text = text_base64(ctx, bytes, size);

	for (char *c = text; *c; c++)
		*c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
	text[strcspn(text, "=")] = '\0';
	return text;
}

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int base64url_decode(const void *ctx, const char *text, size_t length, uint8_t **ret, size_t *ret_size, struct err *err)
{
	_cleanup_talloc_ uint8_t *bytes = mem_array(ctx, uint8_t, length / 4 * 3 + 4);
	unsigned bits = 0, value = 0;
	size_t size = 0;

	for (size_t i = 0; i < length; i++) {
		int digit = digit_of(text[i]);

		if (digit < 0)
			return err_set(err, ERR_INVALID, "not base64url: character %zu", i + 1);
		value = (value << 6 | (unsigned)digit) & 0xffff;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		bytes[size++] = (uint8_t)(value >> bits);
	}
	if (bits >= 6 || (value & ((1u << bits) - 1)))
		return err_set(err, ERR_INVALID, "not base64url: its end is not complete");
	*ret = take_pointer(bytes);
	*ret_size = size;
	return 0;
}

/* --- tokens -------------------------------------------------------------------------------------------------------- */

static int not_valid(struct err *err, const char *why)
{
	return err_set(err, ERR_UNAUTHENTICATED, "the token is not valid: %s", why);
}

static int read_object(const void *ctx, const char *part, size_t length, const char *what, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct err why = ERR_INIT;
	uint8_t *bytes;
	json_t *object;
	size_t size;

	if (base64url_decode(tmp, part, length, &bytes, &size, &why) < 0 ||
		json_parse(ctx, (const char *)bytes, size, JWT_MAX, &object, &why) < 0 || !json_is_object(object))
		return err_set(err, ERR_UNAUTHENTICATED, "the token is not valid: its %s is no JSON object in base64url", what);
	*ret = object;
	return 0;
}

static int read_header(const json_t *header, struct jwt *jwt, struct err *err)
{
	const char *algorithm = json_str(header, "alg", NULL);
	json_t *key_id = json_object_get(header, "kid");

	if (!algorithm || !find_algorithm(algorithm, &jwt->algorithm))
		return not_valid(err, "its algorithm is none of RS256, PS256, ES256");
	if (json_object_get(header, "crit"))
		return not_valid(err, "its header asks for what is not known here (crit)");
	if (key_id && !json_is_string(key_id))
		return not_valid(err, "its kid is no text");
	jwt->key_id = json_string_value(key_id);
	return 0;
}

int jwt_parse(const void *ctx, const char *token, struct jwt *ret, struct err *err)
{
	const char *claims = strchr(token, '.'), *signature = claims ? strchr(claims + 1, '.') : NULL;
	struct jwt jwt = { 0 };
	struct err why = ERR_INIT;
	json_t *header;
	uint8_t *bytes;
	int r;

	if (strnlen(token, JWT_MAX + 1) > JWT_MAX)
		return not_valid(err, "it is too long");
	if (!signature || strchr(signature + 1, '.'))
		return not_valid(err, "it has not three parts");
	r = read_object(ctx, token, (size_t)(claims - token), "header", &header, err);
	if (r == 0)
		r = read_header(header, &jwt, err);
	if (r == 0)
		r = read_object(ctx, claims + 1, (size_t)(signature - claims - 1), "content", &jwt.claims, err);
	if (r < 0)
		return r;
	if (base64url_decode(ctx, signature + 1, strlen(signature + 1), &bytes, &jwt.signature_size, &why) < 0 || !jwt.signature_size)
		return not_valid(err, "its signature is not base64url");
	jwt.signature = bytes;
	jwt.signed_text = token;
	jwt.signed_size = (size_t)(signature - token);
	*ret = jwt;
	return 0;
}

/* --- claims -------------------------------------------------------------------------------------------------------- */

bool jwt_time(const json_t *claims, const char *name, int64_t *ret_ms)
{
	const json_t *value = json_object_get(claims, name);
	double seconds = json_number_value(value);

	if (!json_is_number(value) || !isfinite(seconds) || seconds < 0 || seconds > TIME_MAX_S)
		return false;
	*ret_ms = json_is_integer(value) ? json_integer_value(value) * 1000 : (int64_t)(seconds * 1000);
	return true;
}

static bool is_text(const json_t *value, const char *wanted)
{
	return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value) &&
		!strcmp(json_string_value(value), wanted);
}

static int check_audience(const json_t *claims, const char *audience, struct err *err)
{
	const json_t *given = json_object_get(claims, "aud"), *party = json_object_get(claims, "azp"), *item;
	bool found = is_text(given, audience);
	size_t i;

	json_array_foreach(given, i, item)
		found |= is_text(item, audience);
	if (!found)
		return not_valid(err, "it is for somebody else (aud)");
	if ((party || json_array_size(given) > 1) && !is_text(party, audience))
		return not_valid(err, "it was issued to somebody else (azp)");
	return 0;
}

static int check_times(const json_t *claims, const struct jwt_expected *expected, struct err *err)
{
	int64_t expires_ms, issued_ms, begins_ms = 0;

	if (!jwt_time(claims, "exp", &expires_ms) || !jwt_time(claims, "iat", &issued_ms))
		return not_valid(err, "it does not say when it was issued and when it ends (iat, exp)");
	if (json_object_get(claims, "nbf") && !jwt_time(claims, "nbf", &begins_ms))
		return not_valid(err, "its nbf is no time");
	if (expires_ms + expected->leeway_ms <= expected->now_ms)
		return not_valid(err, "its time is over (exp)");
	if (MAX(issued_ms, begins_ms) - expected->leeway_ms > expected->now_ms)
		return not_valid(err, "it comes from the future (iat, nbf): are the clocks right?");
	return 0;
}

/* Hashes are compared, so the time says nothing about the text. */
static bool is_same_secret(const json_t *value, const char *wanted)
{
	unsigned char a[HASH_SIZE], b[HASH_SIZE];

	if (!json_is_string(value))
		return false;
	hash_sha256(json_string_value(value), json_string_length(value), a);
	hash_sha256(wanted, strlen(wanted), b);
	return !memcmp(a, b, sizeof(a));
}

static bool is_subject(const json_t *value)
{
	size_t length = json_string_length(value);

	if (!json_is_string(value) || !length || length > SUBJECT_MAX)
		return false;
	for (const char *c = json_string_value(value); length; c++, length--)
		if (*c < 0x20 || *c > 0x7e)
			return false;
	return true;
}

int jwt_check(const json_t *claims, const struct jwt_expected *expected, struct err *err)
{
	int r;

	if (!is_text(json_object_get(claims, "iss"), expected->issuer))
		return not_valid(err, "it comes from somebody else (iss)");
	r = check_audience(claims, expected->audience, err);
	if (r == 0)
		r = check_times(claims, expected, err);
	if (r < 0)
		return r;
	if (!is_same_secret(json_object_get(claims, "nonce"), expected->nonce))
		return not_valid(err, "it does not belong to this sign-in (nonce)");
	if (!is_subject(json_object_get(claims, "sub")))
		return not_valid(err, "it does not say who it is about (sub)");
	return 0;
}

/* --- key sets ------------------------------------------------------------------------------------------------------ */

static bool read_number(const void *ctx, const json_t *key, const char *member, const uint8_t **ret, size_t *ret_size)
{
	const char *text = json_str(key, member, NULL);
	struct err why = ERR_INIT;
	uint8_t *bytes;

	if (!text || base64url_decode(ctx, text, strlen(text), &bytes, ret_size, &why) < 0)
		return false;
	*ret = bytes;
	return true;
}

static bool read_rsa(const void *ctx, const json_t *key, struct jwk *jwk)
{
	if (!read_number(ctx, key, "n", &jwk->first, &jwk->first_size) || !read_number(ctx, key, "e", &jwk->second, &jwk->second_size))
		return false;
	while (jwk->first_size && !*jwk->first) {
		jwk->first++;
		jwk->first_size--;
	}
	if (jwk->first_size < RSA_BYTES_MIN || jwk->first_size > RSA_BYTES_MAX || !jwk->second_size || jwk->second_size > RSA_EXPONENT_MAX)
		return false;
	/* An even exponent, or 1, is no key. */
	return (jwk->second[jwk->second_size - 1] & 1) && (jwk->second_size > 1 || jwk->second[0] > 1);
}

static bool read_elliptic(const void *ctx, const json_t *key, struct jwk *jwk)
{
	jwk->elliptic = true;
	return !strcmp(json_str(key, "crv", ""), "P-256") && read_number(ctx, key, "x", &jwk->first, &jwk->first_size) &&
		read_number(ctx, key, "y", &jwk->second, &jwk->second_size) && jwk->first_size == P256_BYTES &&
		jwk->second_size == P256_BYTES;
}

/* False: it is for something else. */
static bool read_key(const void *ctx, const json_t *key, struct jwk *ret)
{
	const char *type = json_str(key, "kty", ""), *algorithm = json_str(key, "alg", NULL);
	struct jwk jwk = { .key_id = json_str(key, "kid", NULL), .any = !algorithm };
	bool read = !strcmp(type, "RSA") ? read_rsa(ctx, key, &jwk) : !strcmp(type, "EC") && read_elliptic(ctx, key, &jwk);

	if (!read || strcmp(json_str(key, "use", "sig"), "sig") != 0)
		return false;
	if (algorithm && (!find_algorithm(algorithm, &jwk.algorithm) || algorithms[jwk.algorithm].elliptic != jwk.elliptic))
		return false;
	*ret = jwk;
	return true;
}

int jwks_parse(const void *ctx, const char *text, size_t size, struct jwk **ret, size_t *ret_count, struct err *err)
{
	json_t *set, *list, *item;
	struct jwk *keys;
	size_t i, count = 0;
	int r;

	r = json_parse(ctx, text, size, JWKS_MAX, &set, err);
	if (r < 0)
		return err_in(err, "key set");
	list = json_object_get(set, "keys");
	if (!json_is_array(list) || json_array_size(list) > JWKS_KEYS_MAX)
		return err_set(err, ERR_INVALID, "key set: a list `keys` of at most %d is expected", JWKS_KEYS_MAX);
	keys = mem_array(ctx, struct jwk, json_array_size(list) + 1);
	json_array_foreach(list, i, item)
		if (read_key(keys, item, &keys[count]))
			count++;
	*ret = keys;
	*ret_count = count;
	return 0;
}

const struct jwk *jwks_find(const struct jwk *keys, size_t count, const struct jwt *token)
{
	const struct jwk *found = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct jwk *key = &keys[i];

		if (key->elliptic != algorithms[token->algorithm].elliptic || (!key->any && key->algorithm != token->algorithm))
			continue;
		if (token->key_id && (!key->key_id || strcmp(key->key_id, token->key_id) != 0))
			continue;
		if (found)
			return NULL; /* which one is meant cannot be told */
		found = key;
	}
	return found;
}
