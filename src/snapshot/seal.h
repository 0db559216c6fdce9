/* The keys of the snapshot store, in snapshot-store/keys/:
 *
 *     salt          32 random bytes, a check sum. Not secret.
 *     names-clear   the key that names unsealed content: in clear, for there is no secret to wrap it by
 *     names-sealed  the key that names sealed content, wrapped
 *     {32 digits}   a data key, wrapped: one per sealed snapshot
 *
 * A master key is the secret of a person, keyed with the salt and its version (BLAKE2b). It wraps (XChaCha20-Poly1305) and does nothing else; so rotation writes these small files anew, and no content.
 * Threads: seal_find_key any; everything else the thread of the store. */
#ifndef SNAPSHOT_SEAL_H
#define SNAPSHOT_SEAL_H

#include "snapshot/snapshot_store.h"

#define SEAL_KEY_SIZE   32
#define SEAL_ID_SIZE    16
#define SEAL_SECRET_MIN 32

struct seal;

struct seal_key {
	uint8_t id[SEAL_ID_SIZE];
	uint8_t bytes[SEAL_KEY_SIZE];
};

/* Reads what is in `folder`, makes nothing. keys may be NULL: then only what is in clear can be read. ERR_INVALID: a secret is too short; ERR_FORBIDDEN: it is another one, or its version is not given. */
must_check int seal_open(const void *ctx, const char *folder, const struct snapshot_keys *keys, struct seal **ret, struct err *err);
bool seal_has_keys(const struct seal *seal);
/* Makes what the first snapshot needs: salt and the key of names. Safe to repeat, also by several processes at once. */
must_check int seal_prepare(struct seal *seal, struct err *err);
/* The key that names content; ERR_CORRUPT when it is missing, ERR_FORBIDDEN when it is sealed and no key was given. */
must_check int seal_names_key(struct seal *seal, bool sealed, const uint8_t **ret, struct err *err);
/* A new data key, on disk but not flushed. */
must_check int seal_new_key(struct seal *seal, struct seal_key *ret, struct err *err);
/* A data key by its id; it stays as long as the ring. ERR_CORRUPT: it is missing or damaged; ERR_FORBIDDEN: the master key is. */
must_check int seal_find_key(struct seal *seal, const uint8_t id[SEAL_ID_SIZE], const struct seal_key **ret, struct err *err);
/* A key for another purpose ("commit"), from one that is at hand. */
void seal_derive(const uint8_t key[SEAL_KEY_SIZE], const char *purpose, uint8_t ret[SEAL_KEY_SIZE]);
/* Wraps what is wrapped by another version than the current one. */
must_check int seal_rotate(struct seal *seal, int64_t *ret, struct err *err);
/* Removes the data keys for which `needed` says no. */
must_check int seal_sweep(struct seal *seal, bool (*needed)(void *user, const uint8_t id[SEAL_ID_SIZE]), void *user, struct err *err);

#endif
