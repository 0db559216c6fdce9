/* Keys (seal.h). A file of a key has a plain check sum besides the seal, so that damage and a wrong secret can be told apart. It is made whole under another name and linked to its own: of two processes that
 * make the same one, the second takes what the first made. Keys are wiped when the ring goes.
 * Threads: a mutex guards the list of data keys that were unwrapped; its members never move. */
#include "snapshot/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"

#define MAGIC       "unshkey1"
#define MAGIC_SIZE  8
#define NONCE_SIZE  crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE    crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SUM_SIZE    16
#define PLAIN_SIZE  (SEAL_KEY_SIZE + SUM_SIZE)
#define SALT        "salt"
#define CLEAR       "names-clear"
#define SEALED      "names-sealed"
#define ID_TEXT     (SEAL_ID_SIZE * 2)
#define VERSION_MAX 1000000
#define HOW_TO_MAKE "make one with `head -c 32 /dev/urandom | base64`"

/* As it stands in a file; all members are bytes, so there is no padding. */
struct wrapped {
	uint8_t magic[MAGIC_SIZE];
	uint8_t version[4]; /* of the master key, the lowest byte first */
	uint8_t id[SEAL_ID_SIZE];
	uint8_t nonce[NONCE_SIZE];
	uint8_t sealed[SEAL_KEY_SIZE + TAG_SIZE];
	uint8_t sum[SUM_SIZE]; /* BLAKE2b of what stands before */
};

struct master {
	int version;
	uint8_t key[SEAL_KEY_SIZE];
};

struct found_key {
	struct seal_key key;
	struct found_key *next;
};

struct seal {
	char *folder;
	struct snapshot_keys given; /* the secrets as text, until there is a salt and beyond */
	struct master *masters;     /* as many as given.count; filled when there is a salt */
	bool has_salt, has_names[2];
	uint8_t salt[SEAL_KEY_SIZE], names[2][SEAL_KEY_SIZE]; /* [0] clear, [1] sealed */
	pthread_mutex_t mutex;
	struct found_key *found;
};

static const uint8_t no_id[SEAL_ID_SIZE];

static int destroy(struct seal *seal)
{
	for (struct found_key *found = seal->found; found; found = found->next)
		sodium_memzero(&found->key, sizeof(found->key));
	for (size_t i = 0; i < seal->given.count; i++) {
		char *secret = (char *)(uintptr_t)seal->given.list[i].secret; /* our own copy */

		sodium_memzero(secret, strlen(secret));
		sodium_memzero(&seal->masters[i], sizeof(seal->masters[i]));
	}
	sodium_memzero(seal->names, sizeof(seal->names));
	(void)pthread_mutex_destroy(&seal->mutex);
	return 0;
}

static void sum_of(const void *bytes, size_t size, uint8_t ret[SUM_SIZE])
{
	crypto_generichash(ret, SUM_SIZE, bytes, size, NULL, 0);
}

/* Keyed with the salt, so that the same secret gives other keys in another store. */
static void derive_masters(struct seal *seal)
{
	for (size_t i = 0; i < seal->given.count; i++) {
		const struct snapshot_key *given = &seal->given.list[i];
		crypto_generichash_state state;
		char label[64];
		int length = snprintf(label, sizeof(label), "unship snapshot master key %d", given->version) + 1;

		crypto_generichash_init(&state, seal->salt, sizeof(seal->salt), SEAL_KEY_SIZE);
		crypto_generichash_update(&state, (const uint8_t *)label, (size_t)length);
		crypto_generichash_update(&state, (const uint8_t *)given->secret, strlen(given->secret));
		crypto_generichash_final(&state, seal->masters[i].key, SEAL_KEY_SIZE);
		seal->masters[i].version = given->version;
		sodium_memzero(&state, sizeof(state));
	}
}

void seal_derive(const uint8_t key[SEAL_KEY_SIZE], const char *purpose, uint8_t ret[SEAL_KEY_SIZE])
{
	crypto_generichash(ret, SEAL_KEY_SIZE, (const uint8_t *)purpose, strlen(purpose), key, SEAL_KEY_SIZE);
}

/* What is bound to the wrapped key: everything before the nonce. */
static void wrap(const struct master *master, const uint8_t id[SEAL_ID_SIZE], const uint8_t key[SEAL_KEY_SIZE], struct wrapped *ret)
{
	uint32_t version = (uint32_t)master->version;

	memcpy(ret->magic, MAGIC, MAGIC_SIZE);
	for (size_t i = 0; i < sizeof(ret->version); i++)
		ret->version[i] = (uint8_t)(version >> (8 * i));
	memcpy(ret->id, id, SEAL_ID_SIZE);
	randombytes_buf(ret->nonce, sizeof(ret->nonce));
	crypto_aead_xchacha20poly1305_ietf_encrypt(ret->sealed, NULL, key, SEAL_KEY_SIZE, (const uint8_t *)ret,
		offsetof(struct wrapped, nonce), NULL, ret->nonce, master->key);
	sum_of(ret, offsetof(struct wrapped, sum), ret->sum);
}

static int version_of(const struct wrapped *wrapped)
{
	return (int)((uint32_t)wrapped->version[0] | (uint32_t)wrapped->version[1] << 8 | (uint32_t)wrapped->version[2] << 16 |
		(uint32_t)wrapped->version[3] << 24);
}

static const struct master *find_master(const struct seal *seal, int version)
{
	for (size_t i = 0; i < seal->given.count; i++)
		if (seal->masters[i].version == version)
			return &seal->masters[i];
	return NULL;
}

static int unwrap(const struct seal *seal, const struct wrapped *wrapped, uint8_t ret[SEAL_KEY_SIZE], struct err *err)
{
	const struct master *master = find_master(seal, version_of(wrapped));

	if (seal->given.count == 0) {
		err_set(err, ERR_FORBIDDEN,
			"the content is sealed, and no key was given: name the key that it was sealed with in snapshots.seal");
		return err_advised(err);
	}
	if (!master) {
		err_set(err, ERR_FORBIDDEN,
			"version %d of the sealing key is needed and was not given: keep it listed until the keys were rotated",
			version_of(wrapped));
		return err_advised(err);
	}
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(ret, NULL, NULL, wrapped->sealed, sizeof(wrapped->sealed), (const uint8_t *)wrapped,
		    offsetof(struct wrapped, nonce), wrapped->nonce, master->key) != 0) {
		err_set(err, ERR_FORBIDDEN,
			"the secret that was given as version %d of the sealing key is not the one that was used: give that one",
			master->version);
		return err_advised(err);
	}
	return 0;
}

/* ERR_NOT_FOUND, or ERR_CORRUPT. */
static int read_exactly(const char *folder, const char *name, void *ret, size_t size, struct err *err)
{
	_cleanup_talloc_ char *path = fs_join(NULL, folder, name), *bytes = NULL;
	size_t length;
	int r = fs_read(NULL, path, 4096, &bytes, &length, err);

	if (r < 0)
		return r == -ERR_TOO_LARGE ? err_as(err, ERR_CORRUPT) : r;
	if (length == size)
		memcpy(ret, bytes, size);
	sodium_memzero(bytes, length);
	return length == size ? 0 : err_set(err, ERR_CORRUPT, "%s: it is not a key, or was cut off", path);
}

static int read_plain(const struct seal *seal, const char *name, uint8_t ret[SEAL_KEY_SIZE], struct err *err)
{
	uint8_t bytes[PLAIN_SIZE], sum[SUM_SIZE];
	int r = read_exactly(seal->folder, name, bytes, sizeof(bytes), err);

	if (r < 0)
		return r;
	sum_of(bytes, SEAL_KEY_SIZE, sum);
	if (memcmp(sum, bytes + SEAL_KEY_SIZE, SUM_SIZE) != 0)
		return err_set(err, ERR_CORRUPT, "%s/%s: it is damaged", seal->folder, name);
	memcpy(ret, bytes, SEAL_KEY_SIZE);
	return 0;
}

static int read_wrapped(const struct seal *seal, const char *name, const uint8_t id[SEAL_ID_SIZE], struct wrapped *ret, struct err *err)
{
	uint8_t sum[SUM_SIZE];
	int r = read_exactly(seal->folder, name, ret, sizeof(*ret), err);

	if (r < 0)
		return r;
	sum_of(ret, offsetof(struct wrapped, sum), sum);
	if (memcmp(ret->magic, MAGIC, MAGIC_SIZE) != 0 || memcmp(sum, ret->sum, SUM_SIZE) != 0 || memcmp(ret->id, id, SEAL_ID_SIZE) != 0)
		return err_set(err, ERR_CORRUPT, "%s/%s: it is damaged, or another key under this name", seal->folder, name);
	return 0;
}

/* Whole or not at all; what is there is kept unless `replace`. 1: it was there. */
static int put(const struct seal *seal, const char *name, const void *bytes, size_t size, bool replace, bool sync, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char random[SEAL_ID_SIZE], *beside, *path = fs_join(ctx, seal->folder, name);
	_cleanup_close_ int fd = -1;
	int r, error;

	randombytes_buf(random, sizeof(random));
	beside = mem_printf(ctx, "%s/.%s", seal->folder, text_hex(ctx, random, sizeof(random)));
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "%s", beside);
	r = fs_write_all(fd, bytes, size, err);
	if (r == 0 && sync && fsync(fd) < 0)
		r = err_errno(err, errno, "cannot flush");
	if (r == 0 && renameat2(AT_FDCWD, beside, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) < 0)
		r = errno == EEXIST ? 1 : err_errno(err, errno, "cannot rename");
	error = errno;
	if (r != 0)
		(void)unlink(beside);
	errno = error;
	if (r < 0)
		return err_in(err, "%s", path);
	return r == 0 && sync ? fs_sync_dir(seal->folder, err) : r;
}

static int load_salt(struct seal *seal, struct err *err)
{
	int r = read_plain(seal, SALT, seal->salt, err);

	if (r < 0)
		return r;
	seal->has_salt = true;
	derive_masters(seal);
	return 0;
}

static int load_names(struct seal *seal, bool sealed, struct err *err)
{
	struct wrapped wrapped;
	int r;

	if (!sealed)
		r = read_plain(seal, CLEAR, seal->names[0], err);
	else
		r = read_wrapped(seal, SEALED, no_id, &wrapped, err);
	if (r == 0 && sealed)
		r = unwrap(seal, &wrapped, seal->names[1], err);
	seal->has_names[sealed] = r == 0;
	return r;
}

static int take_keys(struct seal *seal, const struct snapshot_keys *keys, struct err *err)
{
	struct snapshot_key *list = mem_array(seal, struct snapshot_key, keys->count);
	bool current = false;

	seal->masters = mem_array(seal, struct master, keys->count);
	seal->given = (struct snapshot_keys){ .current = keys->current, .list = list };
	for (size_t i = 0; i < keys->count; i++) {
		const struct snapshot_key *key = &keys->list[i];

		if (key->version < 1 || key->version > VERSION_MAX)
			return err_set(err, ERR_INVALID, "a sealing key has version %d: versions are 1 to %d", key->version, VERSION_MAX);
		for (size_t j = 0; j < i; j++)
			if (list[j].version == key->version)
				return err_set(err, ERR_INVALID, "version %d of the sealing key is given twice", key->version);
		if (!key->secret || strlen(key->secret) < SEAL_SECRET_MIN) {
			err_set(err, ERR_INVALID, "version %d of the sealing key has fewer than %d characters: " HOW_TO_MAKE, key->version,
				SEAL_SECRET_MIN);
			return err_advised(err);
		}
		list[seal->given.count++] = (struct snapshot_key){ key->version, mem_strdup(list, key->secret) };
		current = current || key->version == keys->current;
	}
	return current ? 0 : err_set(err, ERR_INVALID, "the current sealing key, version %d, was not given", keys->current);
}

int seal_open(const void *ctx, const char *folder, const struct snapshot_keys *keys, struct seal **ret, struct err *err)
{
	_cleanup_talloc_ struct seal *seal = mem_zero(ctx, struct seal);
	struct err missing = ERR_INIT;
	int r;

	seal->folder = mem_strdup(seal, folder);
	assert_always(pthread_mutex_init(&seal->mutex, NULL) == 0);
	talloc_set_destructor(seal, destroy);
	r = keys ? take_keys(seal, keys, err) : 0;
	if (r < 0)
		return r;
	r = load_salt(seal, &missing);
	if (r == 0 && keys)
		r = load_names(seal, true, &missing);
	if (r < 0 && r != -ERR_NOT_FOUND) {
		*err = missing;
		return r;
	}
	*ret = take_pointer(seal);
	return 0;
}

bool seal_has_keys(const struct seal *seal)
{
	return seal->given.count > 0;
}

static int make_plain(struct seal *seal, const char *name, struct err *err)
{
	uint8_t bytes[PLAIN_SIZE];
	int r;

	randombytes_buf(bytes, SEAL_KEY_SIZE);
	sum_of(bytes, SEAL_KEY_SIZE, bytes + SEAL_KEY_SIZE);
	r = put(seal, name, bytes, sizeof(bytes), false, true, err);
	sodium_memzero(bytes, sizeof(bytes));
	return MIN(r, 0);
}

static int make_names(struct seal *seal, bool sealed, struct err *err)
{
	uint8_t key[SEAL_KEY_SIZE];
	struct wrapped wrapped;
	int r;

	if (!sealed)
		return make_plain(seal, CLEAR, err);
	randombytes_buf(key, sizeof(key));
	wrap(find_master(seal, seal->given.current), no_id, key, &wrapped);
	sodium_memzero(key, sizeof(key));
	r = put(seal, SEALED, &wrapped, sizeof(wrapped), false, true, err);
	return MIN(r, 0);
}

static int load(struct seal *seal, const char *name, struct err *err)
{
	return strcmp(name, SALT) == 0 ? load_salt(seal, err) : load_names(seal, strcmp(name, SEALED) == 0, err);
}

/* Made when it is missing, unless data keys are there: without it nothing that they sealed could be found, and a new one would not be it. Data keys are made after it; so where another process was faster, it
 * is there by the time that a data key is seen. */
static int load_or_make(struct seal *seal, const char *name, struct err *err)
{
	_cleanup_talloc_ char **names = NULL;
	struct err missing = ERR_INIT;
	bool used = false;
	int r = load(seal, name, &missing);

	if (r != -ERR_NOT_FOUND) {
		if (r < 0)
			*err = missing;
		return r;
	}
	r = fs_list(NULL, seal->folder, &names, err);
	for (size_t i = 0; r == 0 && names[i]; i++)
		used = used || strlen(names[i]) == ID_TEXT;
	if (r == 0 && used && strcmp(name, CLEAR) != 0) {
		r = load(seal, name, err);
		return r == -ERR_NOT_FOUND ? err_set(err, ERR_CORRUPT, "%s/%s is missing, though content was sealed", seal->folder, name)
					   : r;
	}
	if (r == 0)
		r = strcmp(name, SALT) == 0 ? make_plain(seal, SALT, err) : make_names(seal, strcmp(name, SEALED) == 0, err);
	return r == 0 ? load(seal, name, err) : r;
}

int seal_prepare(struct seal *seal, struct err *err)
{
	bool sealed = seal_has_keys(seal);
	int r = 0;

	if (!seal->has_salt) {
		r = fs_mkdirs_durable(seal->folder, 0700, err);
		if (r == 0)
			r = load_or_make(seal, SALT, err);
	}
	return r < 0 || seal->has_names[sealed] ? r : load_or_make(seal, sealed ? SEALED : CLEAR, err);
}

int seal_names_key(struct seal *seal, bool sealed, const uint8_t **ret, struct err *err)
{
	int r = seal->has_salt ? 0 : load_salt(seal, err);

	if (r == 0 && !seal->has_names[sealed])
		r = load_names(seal, sealed, err);
	if (r == -ERR_NOT_FOUND)
		return err_as(err, ERR_CORRUPT);
	*ret = seal->names[sealed];
	return r;
}

static void remember(struct seal *seal, const struct seal_key *key, const struct seal_key **ret)
{
	struct found_key *found = mem_zero(seal, struct found_key);

	found->key = *key;
	found->next = seal->found;
	seal->found = found;
	*ret = &found->key;
}

int seal_new_key(struct seal *seal, struct seal_key *ret, struct err *err)
{
	struct wrapped wrapped;
	char name[ID_TEXT + 1];
	int r;

	assert_always(seal->has_salt && seal_has_keys(seal));
	randombytes_buf(ret, sizeof(*ret));
	wrap(find_master(seal, seal->given.current), ret->id, ret->bytes, &wrapped);
	r = put(seal, sodium_bin2hex(name, sizeof(name), ret->id, SEAL_ID_SIZE), &wrapped, sizeof(wrapped), false, false, err);
	assert_always(r <= 0); /* two random ids were equal */
	return r;
}

static int find_key(struct seal *seal, const uint8_t id[SEAL_ID_SIZE], const struct seal_key **ret, struct err *err)
{
	struct wrapped wrapped;
	char name[ID_TEXT + 1];
	struct seal_key key;
	int r;

	for (const struct found_key *found = seal->found; found; found = found->next) {
		if (memcmp(found->key.id, id, SEAL_ID_SIZE) == 0) {
			*ret = &found->key;
			return 0;
		}
	}
	sodium_bin2hex(name, sizeof(name), id, SEAL_ID_SIZE);
	r = seal->has_salt ? 0 : load_salt(seal, err);
	if (r == 0)
		r = read_wrapped(seal, name, id, &wrapped, err);
	if (r == -ERR_NOT_FOUND)
		return err_set(err, ERR_CORRUPT, "the data key %s is missing", name);
	if (r == 0)
		r = unwrap(seal, &wrapped, key.bytes, err);
	if (r < 0)
		return r;
	memcpy(key.id, id, SEAL_ID_SIZE);
	remember(seal, &key, ret);
	sodium_memzero(&key, sizeof(key));
	return 0;
}

int seal_find_key(struct seal *seal, const uint8_t id[SEAL_ID_SIZE], const struct seal_key **ret, struct err *err)
{
	int r;

	(void)pthread_mutex_lock(&seal->mutex);
	r = find_key(seal, id, ret, err);
	(void)pthread_mutex_unlock(&seal->mutex);
	return r;
}

static bool is_key_name(const char *name, uint8_t ret_id[SEAL_ID_SIZE])
{
	struct err ignored = ERR_INIT;

	if (strcmp(name, SEALED) == 0) {
		memcpy(ret_id, no_id, SEAL_ID_SIZE);
		return true;
	}
	return strlen(name) == ID_TEXT && text_unhex(name, ret_id, SEAL_ID_SIZE, &ignored) == 0;
}

static int rotate_one(struct seal *seal, const char *name, const uint8_t id[SEAL_ID_SIZE], int64_t *ret, struct err *err)
{
	uint8_t key[SEAL_KEY_SIZE];
	struct wrapped wrapped;
	int r = read_wrapped(seal, name, id, &wrapped, err);

	if (r < 0 || version_of(&wrapped) == seal->given.current)
		return r;
	r = unwrap(seal, &wrapped, key, err);
	if (r < 0)
		return err_in(err, "%s", name);
	wrap(find_master(seal, seal->given.current), id, key, &wrapped);
	sodium_memzero(key, sizeof(key));
	r = put(seal, name, &wrapped, sizeof(wrapped), true, true, err);
	*ret += r == 0;
	FAILPOINT("snapshot.key_wrapped");
	return r;
}

int seal_rotate(struct seal *seal, int64_t *ret, struct err *err)
{
	_cleanup_talloc_ char **names = NULL;
	uint8_t id[SEAL_ID_SIZE];
	int r;

	*ret = 0;
	if (!seal_has_keys(seal))
		return err_set(err, ERR_INVALID, "no sealing key was given: there is nothing to rotate to");
	if (!fs_exists(seal->folder))
		return 0;
	r = fs_list(NULL, seal->folder, &names, err);
	for (size_t i = 0; r == 0 && names[i]; i++)
		if (is_key_name(names[i], id))
			r = rotate_one(seal, names[i], id, ret, err);
	return r;
}

int seal_sweep(struct seal *seal, bool (*needed)(void *user, const uint8_t id[SEAL_ID_SIZE]), void *user, struct err *err)
{
	_cleanup_talloc_ char **names = NULL;
	uint8_t id[SEAL_ID_SIZE];
	int r;

	if (!fs_exists(seal->folder))
		return 0;
	r = fs_list(NULL, seal->folder, &names, err);
	for (size_t i = 0; r == 0 && names[i]; i++) {
		_cleanup_talloc_ char *path = fs_join(NULL, seal->folder, names[i]);
		bool is_key = is_key_name(names[i], id), unfinished = names[i][0] == '.';

		if (!unfinished && (!is_key || strcmp(names[i], SEALED) == 0 || needed(user, id)))
			continue;
		if (unlink(path) < 0 && errno != ENOENT)
			r = err_errno(err, errno, "%s", path);
		FAILPOINT("snapshot.swept_key");
	}
	return r;
}
