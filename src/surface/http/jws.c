/* Signatures of tokens (jws.h): RFC 7518 on GnuTLS. No state; any thread, after http_library_load.
 * To add an algorithm: a row in core/jwt.c and one in `signatures`. */
#include "surface/http/jws.h"

#include <string.h>

#include "surface/http/library.h"

#define P256_BYTES 32

static const gnutls_sign_algorithm_t signatures[] = {
	[JWT_RS256] = GNUTLS_SIGN_RSA_SHA256,
	[JWT_PS256] = GNUTLS_SIGN_RSA_PSS_RSAE_SHA256,
	[JWT_ES256] = GNUTLS_SIGN_ECDSA_SHA256,
};

static gnutls_datum_t datum(const void *bytes, size_t size)
{
	return (gnutls_datum_t){ (unsigned char *)bytes, (unsigned)size }; /* GnuTLS only reads it */
}

static int import_key(gnutls_pubkey_t pubkey, const struct jwk *key, struct err *err)
{
	gnutls_datum_t first = datum(key->first, key->first_size), second = datum(key->second, key->second_size);
	int code = key->elliptic ? lib.gnutls_pubkey_import_ecc_raw(pubkey, GNUTLS_ECC_CURVE_SECP256R1, &first, &second)
				 : lib.gnutls_pubkey_import_rsa_raw(pubkey, &first, &second);

	return code < 0 ? err_set(err, ERR_INVALID, "the key is none: %s", lib.gnutls_strerror(code)) : 0;
}

/* A DER INTEGER of an unsigned number: no zeros in front, but one where the first bit is set. */
static size_t put_integer(unsigned char *out, const uint8_t *bytes)
{
	size_t skip = 0, size, pad;

	while (skip < P256_BYTES - 1 && !bytes[skip])
		skip++;
	size = P256_BYTES - skip;
	pad = bytes[skip] >> 7;
	out[0] = 0x02;
	out[1] = (unsigned char)(size + pad);
	out[2] = 0;
	memcpy(out + 2 + pad, bytes + skip, size);
	return 2 + pad + size;
}

/* JOSE writes r and s one after the other (RFC 7518, 3.4); GnuTLS wants SEQUENCE { INTEGER, INTEGER }. */
static size_t signature_der(unsigned char *out, const uint8_t *pair)
{
	size_t size = put_integer(out + 2, pair);

	size += put_integer(out + 2 + size, pair + P256_BYTES);
	out[0] = 0x30;
	out[1] = (unsigned char)size;
	return 2 + size;
}

int jws_verify(const struct jwt *token, const struct jwk *key, struct err *err)
{
	gnutls_datum_t data = datum(token->signed_text, token->signed_size), signature = datum(token->signature, token->signature_size);
	unsigned char der[2 + 2 * (3 + P256_BYTES)];
	gnutls_pubkey_t pubkey;
	int code, r;

	if (key->elliptic) {
		if (token->signature_size != (size_t)2 * P256_BYTES)
			return err_set(err, ERR_UNAUTHENTICATED,
				"the token is not valid: its signature has not the size that it must have");
		signature = datum(der, signature_der(der, token->signature));
	}
	code = lib.gnutls_pubkey_init(&pubkey);
	if (code < 0)
		return err_set(err, ERR_INTERNAL, "GnuTLS: %s", lib.gnutls_strerror(code));
	r = import_key(pubkey, key, err);
	if (r == 0 && lib.gnutls_pubkey_verify_data2(pubkey, signatures[token->algorithm], 0, &data, &signature) < 0)
		r = err_set(err, ERR_UNAUTHENTICATED, "the token is not valid: its signature does not fit");
	lib.gnutls_pubkey_deinit(pubkey);
	return r;
}
