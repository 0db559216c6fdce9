/* Secrets and passwords on libsodium.
 *
 * A password costs 64 MiB and some 50 ms for the time that it is looked at; `pwhash_gate` lets two be looked at at once, so that many who
 * sign in
 * make a queue and not a process without memory.
 * Threads: any, after hash_setup; the gate is shared by all. */
#include "data/credential.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "data/hash.h"

#define SECRET_BYTES    32
#define SECRET_TEXT_MAX 64
#define PWHASH_AT_ONCE  2

/* Of a password that nobody knows: an unknown name is checked against this one, which costs as much. */
static const char nobodys_password[] = "$argon2id$v=19$m=65536,t=2,p=1$yvjmMdjtmR3sBW2jz9e/Vg$cMMerwpB1JGWhOYm19DX2AGqMFkF+YdiThDaYyNWgTw";

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t left;
	unsigned inside;
} pwhash_gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

static void gate_enter(void)
{
	pthread_mutex_lock(&pwhash_gate.mutex);
	while (pwhash_gate.inside >= PWHASH_AT_ONCE)
		pthread_cond_wait(&pwhash_gate.left, &pwhash_gate.mutex);
	pwhash_gate.inside++;
	pthread_mutex_unlock(&pwhash_gate.mutex);
}

static void gate_leave(void)
{
	pthread_mutex_lock(&pwhash_gate.mutex);
	pwhash_gate.inside--;
	pthread_cond_signal(&pwhash_gate.left);
	pthread_mutex_unlock(&pwhash_gate.mutex);
}

char *secret_make(const void *ctx, const char *prefix)
{
	unsigned char bytes[SECRET_BYTES];
	char text[SECRET_TEXT_MAX], *secret;

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2base64(text, sizeof(text), bytes, sizeof(bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	secret = mem_printf(ctx, "%s%s", prefix, text);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(text, sizeof(text));
	return secret;
}

char *secret_hash(const void *ctx, const char *secret)
{
	char hash[HASH_HEX_SIZE];

	hash_sha256_hex(secret, strlen(secret), hash);
	return mem_strdup(ctx, hash);
}

int password_hash(const void *ctx, const char *password, char **ret, struct err *err)
{
	char hash[crypto_pwhash_STRBYTES];
	int r;

	if (strlen(password) < PASSWORD_MIN || strlen(password) > PASSWORD_MAX)
		return err_set(err, ERR_INVALID, "a password has %d to %d bytes", PASSWORD_MIN, PASSWORD_MAX);
	gate_enter();
	r = crypto_pwhash_str(hash, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE);
	gate_leave();
	if (r != 0)
		return err_set(err, ERR_FAILED, "there is not enough memory to keep a password safely");
	*ret = mem_strdup(ctx, hash);
	return 0;
}

bool password_fits(const char *hash, const char *password)
{
	size_t length = strlen(password);
	bool fits;

	if (length > PASSWORD_MAX)
		return false;
	gate_enter();
	fits = crypto_pwhash_str_verify(hash ? hash : nobodys_password, password, length) == 0;
	gate_leave();
	return fits && hash;
}
