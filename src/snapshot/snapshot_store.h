/* The snapshot store: what was captured, kept once, sealed, found again.
 *
 *     .deployments/rollback-snapshots/{id}/   of a run (run-...) or taken in advance (snap-...)
 *         metadata.json                        in clear: {rollbackId, timestamp, environment, fromDeploymentId, toDeploymentId, preserveData}
 *         config/ state/ database/ ...         the names of everything: hard links to objects (sealed ones when there is a key)
 *         manifest                             every file, link and folder with mode, size, sum and object; sealed like them
 *         commit                               written last: hash of the manifest and of metadata.json, id, project, and a keyed sum over these. Without it there is no snapshot.
 *     .deployments/recorded/{id}/              the same for what was kept with a deployment (dep-...)
 *     .deployments/snapshot-store/objects/     content by its keyed BLAKE2b, as it is
 *     .deployments/snapshot-store/sealed/      the same under a key
 *     .deployments/snapshot-store/keys/        data keys, each wrapped by a version of the master key
 *     .deployments/snapshot-store/cache/       what is known of files that were read before; may be removed at any time
 *     .deployments/open/{id}/                  in clear, for the drivers, while a run needs it
 *
 * Sealed, an object is zstd in a libsodium secretstream under the data key of the snapshot that stored it first; files of more than 4 MiB are cut into segments, which the manifest lists. Unsealed (no key), an object is the file itself, so the
 * names can be read as they are. Content that is there is not stored again, and a file whose size, mtime, ctime and inode are as the cache knows them is not read again.
 *
 * Write order: objects, manifest and names, (all flushed) commit, (flushed). Readers need the commit; what an interruption left is removed by snapshot_sweep.
 * Threads: a store belongs to one thread and starts its own while it reads and writes content. Processes: taking and opening hold the store shared, sweeping alone. */
#ifndef SNAPSHOT_SNAPSHOT_STORE_H
#define SNAPSHOT_SNAPSHOT_STORE_H

#include "base/err.h"
#include "base/mem.h"
#include "data/json.h"

/* Master keys. What a person gives is at least 32 characters (`head -c 32 /dev/urandom | base64`); the key is derived from it and the store's salt. The current version seals, the others open. */
struct snapshot_key {
	int version;
	const char *secret;
};
struct snapshot_keys {
	int current;
	const struct snapshot_key *list;
	size_t count;
};

struct snapshot_store_options {
	const char *state_dir;            /* absolute .deployments/ */
	const char *project;              /* bound into every manifest: a snapshot of another project is refused */
	const struct snapshot_keys *keys; /* NULL: unsealed */
	int threads;                      /* that read and write content; 0: one per processor, at most 4 */
};

struct snapshot_store;
/* Makes nothing on disk but at the first snapshot. ERR_INVALID: a secret is too short; ERR_FORBIDDEN: it is another one than was used, or a version that is needed was not given. */
must_check int snapshot_store_open(const void *ctx, const struct snapshot_store_options *options, struct snapshot_store **ret,
	struct err *err);
bool snapshot_store_sealed(const struct snapshot_store *store);

struct snapshot_metadata {
	const char *id, *environment, *from, *to;
	int64_t wall_ms;
	bool preserve_data;
};
struct snapshot_summary {
	int64_t files, bytes;           /* of the content */
	int64_t new_files, new_bytes;   /* of what was not there before; bytes as stored */
	int64_t read_files, read_bytes; /* of what had to be read, because the cache did not know it; of snapshot_seal alone */
	char manifest[65];              /* BLAKE2b-256 of the manifest in clear */
	bool sealed;
};

/* Where the drivers write: .deployments/open/{id}/ with config/, state/ and database/ in it. Safe to repeat. ERR_INVALID for a bad id. */
must_check int snapshot_begin(struct snapshot_store *store, const struct snapshot_metadata *metadata, struct err *err);
/* Notes that the folder or file `from` belongs into it as `as` ("state/component-uploads/tree"): read when it is sealed, from where it stands. Kept in open/{id}. */
must_check int snapshot_add_tree(struct snapshot_store *store, const char *id, const char *as, const char *from, struct err *err);
/* Takes what is in open/{id}, and what was added, into the store; commits. Safe to repeat at any point of death: what is committed is only verified (by its commit). open/{id} stays. */
must_check int snapshot_seal(struct snapshot_store *store, const char *id, struct snapshot_summary *ret, struct err *err);
/* Lays the content out in clear below open/{id}/, all of it (path NULL) or one folder or file ("state/component-api"), verified; nothing when it is there already from this start of the machine.
 * *ret (may be NULL): the absolute path. ERR_NOT_FOUND, ERR_CORRUPT, ERR_REFUSED (of another project), ERR_FORBIDDEN (its key is missing). */
must_check int snapshot_open(struct snapshot_store *store, const void *ctx, const char *id, const char *path, char **ret, struct err *err);
/* Removes open/{id}. */
must_check int snapshot_close(struct snapshot_store *store, const char *id, struct err *err);

/* Makes the names of a snapshot anew, for one that was fetched from a copy. ERR_CORRUPT when objects are missing. */
must_check int snapshot_name(struct snapshot_store *store, const char *id, struct err *err);

/* All of it: every object read, opened and compared; or a share of the objects (0..1), another one each time. ERR_CORRUPT names the first that is not as it was; *ret_problems: [{path, problem}], in ctx. */
must_check int snapshot_verify(struct snapshot_store *store, const void *ctx, const char *id, double share, struct snapshot_summary *ret,
	json_t **ret_problems, struct err *err);
/* {metadata members} */
must_check int snapshot_read_metadata(struct snapshot_store *store, const void *ctx, const char *id, json_t **ret, struct err *err);
/* [{path, type: file|link|folder, mode, size, target}] below `path` (NULL: all), sorted. */
must_check int snapshot_files(struct snapshot_store *store, const void *ctx, const char *id, const char *path, json_t **ret,
	struct err *err);
/* Files and bytes below `path`; files 0: nothing is there. Reads the manifest alone. */
must_check int snapshot_measure(struct snapshot_store *store, const char *id, const char *path, struct snapshot_summary *ret,
	struct err *err);
/* Lays the content (or one path of it) out in clear at `to`, which must not exist: whole or not at all, verified, durable. */
must_check int snapshot_export(struct snapshot_store *store, const char *id, const char *path, const char *to, struct err *err);
/* Ids of committed snapshots, sorted; of runs and those in advance, or of deployments. */
must_check int snapshot_list(struct snapshot_store *store, const void *ctx, bool deployments, char ***ret, struct err *err);
/* The commit goes first: nothing is ever half a snapshot. Objects go with the next sweep. */
must_check int snapshot_remove(struct snapshot_store *store, const char *id, struct err *err);

struct snapshot_sweep_result {
	int64_t objects, bytes; /* removed */
};
/* Removes objects and data keys that no committed snapshot needs, names without commit, and open/ folders of ids for which `in_use` (may be NULL) says no. */
must_check int snapshot_sweep(struct snapshot_store *store, bool (*in_use)(void *user, const char *id), void *user,
	struct snapshot_sweep_result *ret, struct err *err);
/* Wraps every data key by the current master key; no content is rewritten. Safe to repeat. *ret: how many were wrapped anew. */
must_check int snapshot_rotate(struct snapshot_store *store, int64_t *ret, struct err *err);

#endif
