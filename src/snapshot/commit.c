/* The commit of a snapshot (store.h): {format, id, project, metadata, manifest, sealed, key, files, bytes, newFiles, newBytes, mac}. The keyed sum goes over the canonical text of all the others; its key comes
 * from the data key of the snapshot, or, unsealed, from the key that names content, which then lies beside it in clear: that shows damage and mistakes, not an attacker. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>

#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"
#include "snapshot/store.h"

#define COMMIT_MAX   ((size_t)64 << 10)
#define METADATA_MAX ((size_t)1 << 20)
#define FORMAT       1

void commit_bind(const char *id, const char *project, struct object_id *ret)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, sizeof(ret->bytes));
	crypto_generichash_update(&state, (const uint8_t *)id, strlen(id) + 1);
	crypto_generichash_update(&state, (const uint8_t *)project, strlen(project) + 1);
	crypto_generichash_final(&state, ret->bytes, sizeof(ret->bytes));
}

bool commit_exists(const char *folder)
{
	_cleanup_talloc_ char *path = fs_join(NULL, folder, "commit");

	return fs_exists(path);
}

static int mac_of(struct snapshot_store *store, const struct commit *commit, const struct seal_key *data_key, const json_t *without,
	char ret[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_talloc_ char *text = json_canonical(NULL, without);
	uint8_t key[SEAL_KEY_SIZE], mac[HASH_SIZE];
	const uint8_t *names;
	int r = 0;

	if (commit->sealed && !data_key)
		r = seal_find_key(store->seal, commit->key, &data_key, err);
	if (r == 0 && !commit->sealed)
		r = seal_names_key(store->seal, false, &names, err);
	if (r < 0)
		return r;
	seal_derive(commit->sealed ? data_key->bytes : names, "unship snapshot commit", key);
	crypto_generichash(mac, sizeof(mac), (const uint8_t *)text, strlen(text), key, sizeof(key));
	sodium_bin2hex(ret, HASH_HEX_SIZE, mac, sizeof(mac));
	sodium_memzero(key, sizeof(key));
	return 0;
}

int commit_write(struct snapshot_store *store, const void *ctx, const struct commit *commit, const struct seal_key *key, char **ret,
	struct err *err)
{
	json_t *content = json_keep(ctx, json_object());
	char mac[HASH_HEX_SIZE], id[SEAL_ID_SIZE * 2 + 1];
	int r;

	json_put_int(content, "format", FORMAT);
	json_put_str(content, "id", commit->id);
	json_put_str(content, "project", commit->project);
	json_put_str(content, "metadata", commit->metadata);
	json_put_str(content, "manifest", commit->manifest);
	json_put_flag(content, "sealed", commit->sealed);
	if (commit->sealed)
		json_put_str(content, "key", sodium_bin2hex(id, sizeof(id), commit->key, SEAL_ID_SIZE));
	json_put_int(content, "files", commit->summary.files);
	json_put_int(content, "bytes", commit->summary.bytes);
	json_put_int(content, "newFiles", commit->summary.new_files);
	json_put_int(content, "newBytes", commit->summary.new_bytes);
	r = mac_of(store, commit, key, content, mac, err);
	if (r < 0)
		return r;
	json_put_str(content, "mac", mac);
	*ret = json_pretty(ctx, content);
	return 0;
}

static bool take_text(const json_t *content, const char *key, char *ret, size_t size)
{
	const char *text = json_str(content, key, NULL);

	if (!text || strlen(text) >= size)
		return false;
	memcpy(ret, text, strlen(text) + 1);
	return true;
}

static int parse(const void *ctx, const char *text, size_t size, json_t **ret_content, struct commit *ret, struct err *err)
{
	char key[SEAL_ID_SIZE * 2 + 1];
	json_t *content;
	int r = json_parse(ctx, text, size, COMMIT_MAX, &content, err);

	if (r < 0)
		return err_as(err, ERR_CORRUPT);
	if (json_int(content, "format", 0) > FORMAT)
		return err_set(err, ERR_NEWER, "it has format %lld", (long long)json_int(content, "format", 0));
	if (strcmp(json_pretty(ctx, content), text) != 0) /* the same members may be spelled in many ways; only one is ours */
		return err_set(err, ERR_CORRUPT, "it was changed after it was written");
	*ret = (struct commit){ .sealed = json_flag(content, "sealed", false) };
	ret->summary = (struct snapshot_summary){ .files = json_int(content, "files", 0),
		.bytes = json_int(content, "bytes", 0),
		.new_files = json_int(content, "newFiles", 0),
		.new_bytes = json_int(content, "newBytes", 0),
		.sealed = ret->sealed };
	if (json_int(content, "format", 0) != FORMAT || !take_text(content, "id", ret->id, sizeof(ret->id)) ||
		!take_text(content, "project", ret->project, sizeof(ret->project)) ||
		!take_text(content, "metadata", ret->metadata, sizeof(ret->metadata)) ||
		!take_text(content, "manifest", ret->manifest, sizeof(ret->manifest)) || strlen(ret->manifest) != HASH_HEX_SIZE - 1)
		return err_set(err, ERR_CORRUPT, "it is damaged");
	if (ret->sealed && (!take_text(content, "key", key, sizeof(key)) || text_unhex(key, ret->key, SEAL_ID_SIZE, err) < 0))
		return err_set(err, ERR_CORRUPT, "it is damaged");
	memcpy(ret->summary.manifest, ret->manifest, sizeof(ret->summary.manifest));
	*ret_content = content;
	return 0;
}

static int check_mac(struct snapshot_store *store, const struct commit *commit, json_t *content, struct err *err)
{
	char mac[HASH_HEX_SIZE], given[HASH_HEX_SIZE];
	int r;

	if (!take_text(content, "mac", given, sizeof(given)))
		return err_set(err, ERR_CORRUPT, "it is damaged");
	(void)json_object_del(content, "mac");
	r = mac_of(store, commit, NULL, content, mac, err);
	if (r == 0 && !hash_hex_is(mac, given))
		r = err_set(err, ERR_CORRUPT, "it was changed after it was written");
	return r;
}

static int check_binding(const struct snapshot_store *store, const char *folder, const char *id, const struct commit *commit,
	struct err *err)
{
	_cleanup_talloc_ char *path = fs_join(NULL, folder, "metadata.json"), *text = NULL;
	char sum[HASH_HEX_SIZE];
	size_t size;
	int r;

	if (strcmp(commit->project, store->project) != 0) {
		err_set(err, ERR_REFUSED, "it is of another project, '%s'; this one is '%s'", commit->project, store->project);
		return err_advised(err);
	}
	if (strcmp(commit->id, id) != 0)
		return err_set(err, ERR_CORRUPT, "its commit is that of '%s'", commit->id);
	r = fs_read(NULL, path, METADATA_MAX, &text, &size, err);
	if (r < 0)
		return err_as(err, ERR_CORRUPT);
	hash_blake2b_hex(text, size, sum);
	return strcmp(sum, commit->metadata) == 0 ? 0 : err_set(err, ERR_CORRUPT, "metadata.json was changed");
}

int commit_read(struct snapshot_store *store, const char *id, struct commit *ret, bool *ret_checked, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *folder, *text;
	json_t *content;
	size_t size;
	int r = store_folder(store, ctx, id, &folder, err);

	if (r < 0)
		return r;
	r = fs_read(ctx, fs_join(ctx, folder, "commit"), COMMIT_MAX, &text, &size, err);
	if (r == -ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND,
			fs_exists(folder) ? "snapshot '%s' was never finished, and is not to be used" : "there is no snapshot '%s'", id);
	if (r == -ERR_TOO_LARGE || r == -ERR_INVALID) /* no commit that was ever written */
		(void)err_as(err, ERR_CORRUPT);
	if (r < 0)
		return err_in(err, "snapshot '%s'", id);
	r = parse(ctx, text, size, &content, ret, err);
	if (r == 0) {
		bool checked = !ret_checked || !ret->sealed || seal_has_keys(store->seal);

		if (ret_checked)
			*ret_checked = checked;
		r = checked ? check_mac(store, ret, content, err) : 0;
	}
	if (r < 0)
		return err_in(err, "snapshot '%s': commit", id);
	r = check_binding(store, folder, id, ret, err);
	return r < 0 ? err_in(err, "snapshot '%s'", id) : 0;
}

static int read_text(struct snapshot_store *store, const void *ctx, const struct commit *commit, int fd, char **ret, size_t *ret_size,
	struct err *err)
{
	struct object_header header;
	struct object_work *work;
	_cleanup_talloc_ uint8_t *packed = NULL;
	struct object_id bind;
	int r = object_read_header(fd, &header, err);

	if (r < 0)
		return r;
	if (header.size > MANIFEST_SIZE_MAX)
		return err_set(err, ERR_CORRUPT, "its header is damaged");
	if (memcmp(header.key, commit->key, SEAL_ID_SIZE) != 0)
		return err_set(err, ERR_CORRUPT, "it is sealed with another key than its snapshot");
	*ret = mem_resize(ctx, NULL, char, header.size + 1);
	packed = mem_resize(NULL, NULL, uint8_t, header.size + 1);
	commit_bind(commit->id, commit->project, &bind);
	r = workers_own(store->workers, &work, err);
	if (r == 0)
		r = object_read(work, store->seal, &header, OBJECT_MANIFEST, &bind, fd, packed, (uint8_t *)*ret, err);
	if (r < 0)
		return r;
	(*ret)[header.size] = 0;
	*ret_size = header.size;
	return 0;
}

static int read_manifest(struct snapshot_store *store, const void *ctx, const char *path, const struct commit *commit,
	struct manifest **ret, struct err *err)
{
	_cleanup_close_ int fd = -1;
	char *text, sum[HASH_HEX_SIZE];
	size_t size;
	int r;

	if (commit->sealed) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		r = fd < 0 ? err_errno(err, errno, "%s", path) : read_text(store, ctx, commit, fd, &text, &size, err);
	} else {
		r = fs_read(ctx, path, MANIFEST_SIZE_MAX, &text, &size, err);
	}
	if (r == -ERR_NOT_FOUND)
		return err_set(err, ERR_CORRUPT, "it is missing");
	if (r == -ERR_TOO_LARGE || r == -ERR_INVALID)
		return err_as(err, ERR_CORRUPT);
	if (r < 0)
		return r;
	hash_blake2b_hex(text, size, sum);
	if (strcmp(sum, commit->manifest) != 0)
		return err_set(err, ERR_CORRUPT, "it is not the one that was committed");
	r = manifest_parse(ctx, text, size, ret, err);
	if (r == 0 &&
		(strcmp((*ret)->project, commit->project) != 0 || strcmp((*ret)->snapshot, commit->id) != 0 ||
			(*ret)->sealed != commit->sealed))
		r = err_set(err, ERR_CORRUPT, "it belongs to another snapshot");
	return r;
}

int commit_read_manifest(struct snapshot_store *store, const void *ctx, const char *id, struct commit *ret_commit, struct manifest **ret,
	struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *folder;
	int r = commit_read(store, id, ret_commit, NULL, err);

	if (r == 0)
		r = store_folder(store, work, id, &folder, err);
	if (r < 0)
		return r;
	r = read_manifest(store, ctx, fs_join(work, folder, "manifest"), ret_commit, ret, err);
	return r < 0 ? err_in(err, "snapshot '%s': manifest", id) : 0;
}
