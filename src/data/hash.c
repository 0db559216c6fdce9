/* Hashes on libsodium. Files are read in blocks, so a file of any size costs the same memory.
 * Threads: any, after hash_setup. */
#include "data/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#define BLOCK_SIZE (256u << 10)

_Static_assert(crypto_hash_sha256_BYTES == HASH_SIZE, "SHA-256 has 32 bytes");
_Static_assert(crypto_generichash_BYTES == HASH_SIZE, "BLAKE2b-256 has 32 bytes");

void hash_setup(void)
{
	assert_always(sodium_init() >= 0);
}

void hash_sha256(const void *bytes, size_t size, unsigned char ret[HASH_SIZE])
{
	crypto_hash_sha256(ret, bytes, size);
}

void hash_sha256_hex(const void *bytes, size_t size, char ret[HASH_HEX_SIZE])
{
	unsigned char sum[HASH_SIZE];

	crypto_hash_sha256(sum, bytes, size);
	sodium_bin2hex(ret, HASH_HEX_SIZE, sum, sizeof(sum));
}

void hash_blake2b_hex(const void *bytes, size_t size, char ret[HASH_HEX_SIZE])
{
	unsigned char sum[HASH_SIZE];

	crypto_generichash(sum, sizeof(sum), bytes, size, NULL, 0);
	sodium_bin2hex(ret, HASH_HEX_SIZE, sum, sizeof(sum));
}

void hash_hmac_sha256_hex(const void *key, size_t key_size, const void *bytes, size_t size, char ret[HASH_HEX_SIZE])
{
	unsigned char sum[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state state;

	_Static_assert(crypto_auth_hmacsha256_BYTES == HASH_SIZE, "HMAC-SHA256 has 32 bytes");
	crypto_auth_hmacsha256_init(&state, key, key_size);
	crypto_auth_hmacsha256_update(&state, bytes, size);
	crypto_auth_hmacsha256_final(&state, sum);
	sodium_bin2hex(ret, HASH_HEX_SIZE, sum, sizeof(sum));
}

bool hash_hex_is(const char hash[HASH_HEX_SIZE], const char *given)
{
	return strlen(given) == HASH_HEX_SIZE - 1 && sodium_memcmp(hash, given, HASH_HEX_SIZE - 1) == 0;
}

/* The state wants to stand on a boundary of 64 bytes, which talloc does not promise. */
#define STATE_BOUNDARY 64
struct hash_stream {
	unsigned char room[sizeof(crypto_generichash_state) + STATE_BOUNDARY];
};

static crypto_generichash_state *state_of(struct hash_stream *stream)
{
	uintptr_t start = (uintptr_t)stream->room;

	return (crypto_generichash_state *)((start + STATE_BOUNDARY - 1) / STATE_BOUNDARY * STATE_BOUNDARY);
}

struct hash_stream *hash_begin(const void *ctx)
{
	struct hash_stream *stream = mem_zero(ctx, struct hash_stream);

	crypto_generichash_init(state_of(stream), NULL, 0, HASH_SIZE);
	return stream;
}

void hash_add(struct hash_stream *stream, const void *bytes, size_t size)
{
	crypto_generichash_update(state_of(stream), bytes, size);
}

void hash_end(struct hash_stream *stream, char ret[HASH_HEX_SIZE])
{
	unsigned char sum[HASH_SIZE];

	crypto_generichash_final(state_of(stream), sum, sizeof(sum));
	sodium_bin2hex(ret, HASH_HEX_SIZE, sum, sizeof(sum));
	(void)talloc_free(stream);
}

static int open_regular(const char *path, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		return err_set(err, ERR_INVALID, "%s: a symbolic link, not a regular file", path);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	if (fstat(fd, &st) < 0)
		return err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: not a regular file", path);
	*ret_fd = take_fd(fd);
	return 0;
}

int hash_blake2b_file(const char *path, char ret[HASH_HEX_SIZE], uint64_t *ret_size, struct err *err)
{
	_cleanup_talloc_ unsigned char *block = NULL;
	_cleanup_close_ int fd = -1;
	crypto_generichash_state state;
	unsigned char sum[HASH_SIZE];
	uint64_t total = 0;
	ssize_t n;
	int r;

	r = open_regular(path, &fd, err);
	if (r < 0)
		return r;
	block = mem_array(NULL, unsigned char, BLOCK_SIZE);
	crypto_generichash_init(&state, NULL, 0, sizeof(sum));
	for (;;) {
		n = read(fd, block, BLOCK_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "%s: reading", path);
		if (n == 0)
			break;
		crypto_generichash_update(&state, block, (unsigned long long)n);
		total += (uint64_t)n;
	}
	crypto_generichash_final(&state, sum, sizeof(sum));
	sodium_bin2hex(ret, HASH_HEX_SIZE, sum, sizeof(sum));
	if (ret_size)
		*ret_size = total;
	return 0;
}
