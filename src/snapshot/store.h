/* What the files of this room share: where things stand, locks, and what was committed. Private to this room. */
#ifndef SNAPSHOT_STORE_H
#define SNAPSHOT_STORE_H

#include "data/hash.h"
#include "snapshot/manifest.h"
#include "snapshot/workers.h"

struct snapshot_store {
	const char *state_dir, *project;
	const char *base; /* state_dir/snapshot-store */
	const char *open; /* state_dir/open */
	int content[2];   /* folders of the objects, opened when needed: [0] objects/, [1] sealed/ */
	struct seal *seal;
	struct workers *workers;
};

/* What the file "commit" says. */
struct commit {
	char id[160], project[160];
	char metadata[HASH_HEX_SIZE], manifest[HASH_HEX_SIZE]; /* of metadata.json as it stands, of the manifest in clear */
	bool sealed;
	uint8_t key[SEAL_ID_SIZE]; /* when sealed */
	struct snapshot_summary summary;
};

/* The folder of a snapshot, whether or not it is there: recorded/{id} for dep-..., else rollback-snapshots/{id}. ERR_INVALID. */
must_check int store_folder(const struct snapshot_store *store, const void *ctx, const char *id, char **ret, struct err *err);
/* .deployments/open/{id} */
char *store_open_folder(const struct snapshot_store *store, const void *ctx, const char *id);
/* The folder that holds objects, opened once; ERR_NOT_FOUND before the first snapshot. */
must_check int store_content(struct snapshot_store *store, bool sealed, int *ret, struct err *err);
/* Folders, salt and keys, for the first snapshot. */
must_check int store_prepare(struct snapshot_store *store, struct err *err);

/* Shared by those who take and open, alone for the sweep; waits for 60 seconds, then ERR_CONFLICT. The lock is the descriptor. */
must_check int store_lock(const struct snapshot_store *store, bool alone, int *ret_fd, struct err *err);
/* The same for one folder below open/, which exists. */
must_check int store_lock_folder(const char *path, int *ret_fd, struct err *err);

/* *ret: there is a commit. */
bool commit_exists(const char *folder);
/* Reads and checks everything that needs no content: the commit's keyed sum, the id, the project, metadata.json. Without the master key of a sealed one the sum cannot be checked: then ERR_FORBIDDEN, unless
 * `ret_checked` is given, which tells. ERR_NOT_FOUND when there is none. */
must_check int commit_read(struct snapshot_store *store, const char *id, struct commit *ret, bool *ret_checked, struct err *err);
/* The text of a commit, with its keyed sum; `key` is the data key, NULL when unsealed. */
must_check int commit_write(struct snapshot_store *store, const void *ctx, const struct commit *commit, const struct seal_key *key,
	char **ret, struct err *err);
/* What a manifest is bound to: id and project. */
void commit_bind(const char *id, const char *project, struct object_id *ret);
/* The manifest of what was committed, in ctx. */
must_check int commit_read_manifest(struct snapshot_store *store, const void *ctx, const char *id, struct commit *ret_commit,
	struct manifest **ret, struct err *err);

#endif
