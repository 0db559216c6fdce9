/* Replaced by snapshot_store.h. Snapshots: what was captured before a run, in .deployments/rollback-snapshots/{runId}/ (row B3):
 *
 *     metadata.json    {rollbackId, timestamp, environment, fromDeploymentId, toDeploymentId, preserveData}
 * config/          copies of the configuration: .env.{environment}, config/{environment}.json, docker-compose.yml, and what files
 *     components hold
 * state/           {environment}-state.json: what was observed of each component; flags; and one directory per subject
 *     ("component-api/") that the drivers' capture filled
 *     database/        the same for data components
 *     manifest.json    every file with size, mode and BLAKE2b-256; written last
 * A snapshot without a manifest is not a snapshot (it was interrupted) and is never restored from. Write order: content, fsync,
 * manifest, fsync, directories.
 * The directory of subject S is subject_dir(): database/S for data components, state/S otherwise. Sealing and deduplication come
 * beneath this interface. */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include "core/call.h"
#include "data/json.h"

struct folder_metadata {
	const char *run_id, *environment, *from, *to;
	int64_t wall_ms;
	bool preserve_data;
};
struct folder_summary {
	int64_t files, bytes;
	char manifest[65]; /* BLAKE2b of manifest.json */
};

/* Creates the directory with metadata.json; safe to repeat. */
must_check int folder_begin(const char *root, const struct folder_metadata *metadata, struct err *err);
/* Writes state/{environment}-state.json and copies well-known configuration files of the project into config/. */
must_check int folder_add_project(const char *root, const char *run_id, const char *environment, const char *project_dir,
	json_t *observed, struct err *err);
/* Sums up, writes the manifest, makes all durable. Reads everything back once. Safe to repeat. */
must_check int folder_seal(const char *root, const char *run_id, struct folder_summary *ret, struct err *err);
/* Every file present with its sum, none added; ERR_CORRUPT names the first file that is not. *ret_problems: all of them (array, in
 * ctx). */
must_check int folder_verify(const void *ctx, const char *root, const char *run_id, struct folder_summary *ret, json_t **ret_problems,
	struct err *err);
must_check int folder_read_metadata(const void *ctx, const char *root, const char *run_id, json_t **ret, struct err *err);
must_check int folder_remove(const char *root, const char *run_id, struct err *err);
/* Ids that are there, sorted; sealed or not. */
must_check int folder_list(const void *ctx, const char *root, char ***ret, struct err *err);
/* Copies everything to `to` (must not exist), in clear, verified. */
must_check int folder_export(const char *root, const char *run_id, const char *to, struct err *err);

#endif
