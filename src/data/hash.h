/* Hashes, on libsodium: SHA-256 for the journal and plan hashes, BLAKE2b-256 (generichash) for snapshot content. */
#ifndef DATA_HASH_H
#define DATA_HASH_H

#include "base/err.h"
#include "base/mem.h"

#define HASH_SIZE     32
#define HASH_HEX_SIZE 65

/* Call once at start. */
void hash_setup(void);
void hash_sha256(const void *bytes, size_t size, unsigned char ret[HASH_SIZE]);
void hash_sha256_hex(const void *bytes, size_t size, char ret[HASH_HEX_SIZE]);
void hash_blake2b_hex(const void *bytes, size_t size, char ret[HASH_HEX_SIZE]);
/* HMAC-SHA256 (RFC 2104) with a key of any length. */
void hash_hmac_sha256_hex(const void *key, size_t key_size, const void *bytes, size_t size, char ret[HASH_HEX_SIZE]);
/* Are these the same 64 digits? The time that it takes says nothing about where they differ. `given` may be anything. */
bool hash_hex_is(const char hash[HASH_HEX_SIZE], const char *given);
/* BLAKE2b-256 over bytes that come in portions. hash_end frees the stream. */
struct hash_stream;
struct hash_stream *hash_begin(const void *ctx);
void hash_add(struct hash_stream *stream, const void *bytes, size_t size);
void hash_end(struct hash_stream *stream, char ret[HASH_HEX_SIZE]);
/* A whole regular file, streamed; a symbolic link or anything else that is not a regular file is ERR_INVALID. ret_size may be NULL. */
must_check int hash_blake2b_file(const char *path, char ret[HASH_HEX_SIZE], uint64_t *ret_size, struct err *err);

#endif
