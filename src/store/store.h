/* The store: the journal and the tables that are folded from it, in one database. Every change is an entry; the entry, its effect on the tables (projections) and its link in the
 * hash chain are one transaction. The tables can be made anew from the journal at any time (store_rebuild), and a test does so.
 *
 * One struct store per thread (it owns a connection). Open it after the spawner has been forked; never use one across a fork. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "core/deployment.h"
#include "core/flag.h"
#include "core/journal.h"
#include "store/sql.h"

struct store {
	struct journal journal; /* first: a store is a journal */
	struct sql *sql;
	const char *address;       /* "sqlite:/path/unship.db" */
	const char *registry_path; /* deployment-registry.json to be kept in step; NULL: none */
	const char *project_dir;
	/* Told after every transaction that was committed over this connection, on its thread; took_us: from its beginning. Set by whoever opened it; NULL: nobody. */
	void (*committed)(void *user, int64_t took_us);
	void *committed_user;
	const char *request; /* row of `requests` in which appended entries are noted (store/idempotency.h); NULL: none */
	const char *
		registry_trouble; /* why the registry file is not in step with the journal since the last change or the opening; NULL: it is */
};

/* Opens or creates. `address`: "sqlite:PATH" or a path. Migrates an older schema forward in one transaction; a newer one is ERR_NEWER and untouched. Registry file beside the database is kept in step when `registry_path`. */
must_check int store_open(const void *ctx, const char *address, const char *registry_path, const char *project_dir, struct store **ret,
	struct err *err);
/* The same over a connection (tests, faulty). */
must_check int store_open_sql(const void *ctx, struct sql *sql, const char *registry_path, const char *project_dir, struct store **ret,
	struct err *err);

/* Short ways to the journal. */
must_check int store_append(struct store *store, const void *ctx, struct entry *entry, struct err *err);
must_check int store_append_all(struct store *store, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
	struct err *err);
must_check int store_read(struct store *store, const void *ctx, const struct entry_filter *filter, struct entry **ret, size_t *ret_count,
	struct err *err);
/* Newest seq; 0 when empty. */
must_check int store_head(struct store *store, int64_t *ret_seq, struct err *err);

/* Recomputes every hash from the first entry; ERR_CORRUPT naming the first seq that does not fit (altered, missing, reordered). Streams. *ret_count: entries verified; ret_head 64 hex digits and 0. */
must_check int store_verify(struct store *store, int64_t *ret_count, char ret_head[65], struct err *err);
/* Empties the projections and folds the journal into them again. */
must_check int store_rebuild(struct store *store, struct err *err);

/* A page of a list that is told newest first: at most `limit` rows (0: all), older than `before_seq` (0: from the newest). */
struct page {
	size_t limit;
	int64_t before_seq;
};

/* Deployments. Ids may be shortened to a unique beginning, after the prefix too ("dep-01jd"); ERR_NOT_FOUND, ERR_AMBIGUOUS. */
must_check int store_deployment(struct store *store, const void *ctx, const char *id, struct deployment *ret, struct err *err);
/* Newest lineage first; limit 0: all. Array of pointers in ctx. */
must_check int store_deployments_page(struct store *store, const void *ctx, const char *environment, struct page page,
	struct deployment ***ret, size_t *ret_count, struct err *err);
must_check static inline int store_deployments(struct store *store, const void *ctx, const char *environment, size_t limit,
	struct deployment ***ret, size_t *ret_count, struct err *err)
{
	return store_deployments_page(store, ctx, environment, (struct page){ .limit = limit }, ret, ret_count, err);
}
/* Last stable by evidence: newest succeeded, passing, not quarantined one that is not `except` (may be NULL). ERR_NOT_FOUND. By index: under 1 ms with 1,000,000 deployments. */
must_check int store_last_stable(struct store *store, const void *ctx, const char *environment, const char *except, struct deployment *ret,
	struct err *err);
/* The one that runs now by the registry: the newest that succeeded, or the one that the last completed rollback returned to. ERR_NOT_FOUND. */
must_check int store_present(struct store *store, const void *ctx, const char *environment, struct deployment *ret, struct err *err);

struct run_row {
	const char *id, *environment, *status, *plan_id, *from, *to, *reason, *actor, *message, *undo_of;
	int64_t seq; /* of the entry that requested it */
	int64_t requested_ms, started_ms, ended_ms;
	bool changed;
	json_t *ended;
};
/* Newest first. environment and status may be NULL. */
must_check int store_runs_page(struct store *store, const void *ctx, const char *environment, const char *status, struct page page,
	struct run_row **ret, size_t *ret_count, struct err *err);
must_check static inline int store_runs(struct store *store, const void *ctx, const char *environment, const char *status, size_t limit,
	struct run_row **ret, size_t *ret_count, struct err *err)
{
	return store_runs_page(store, ctx, environment, status, (struct page){ .limit = limit }, ret, ret_count, err);
}
/* By id or its unique beginning. */
must_check int store_run(struct store *store, const void *ctx, const char *id, struct run_row *ret, struct err *err);
/* The unfinished run of an environment; ERR_NOT_FOUND. Two unfinished runs of one environment cannot be: run.requested is refused with ERR_CONFLICT naming the other (P8). */
must_check int store_unfinished_run(struct store *store, const void *ctx, const char *environment, struct run_row *ret, struct err *err);

/* Who holds a claim (runner_claim_name): a lease that runs on, of a holder that is not known to be dead (same host and boot, process gone). *ret_holder: who, in
 * words ("process 123 on web1"), in ctx; NULL: nobody. Reads only. */
must_check int store_holder(struct store *store, const void *ctx, const char *name, const char **ret_holder, struct err *err);

struct flag_row {
	const char *key, *group, *state;
	int64_t changed_ms;
	const char *changed_by, *reason;
	json_t *definition; /* core/flag.h; NULL: it was set and never defined */
};                          /* state: "true", "false" or a variant */
must_check int store_flags(struct store *store, const void *ctx, const char *environment, const char *group, struct flag_row **ret,
	size_t *ret_count, struct err *err);
must_check int store_flag(struct store *store, const void *ctx, const char *environment, const char *key, struct flag_row *ret,
	struct err *err);
/* Appends flag.set and reads back. group NULL keeps the present one. An unchanged state appends nothing. `run` and fields may be NULL. */
must_check int store_flag_set(struct store *store, const char *environment, const char *key, const char *group, const char *state,
	const char *actor, const char *reason, const char *run, struct err *err);
/* Appends flag.defined. A new flag is off; one that is there keeps its state, and its group when the definition names none. The same definition again appends nothing.
 * ERR_CONFLICT: it stands at a variant that the new definition lacks. */
must_check int store_flag_define(struct store *store, const char *environment, const struct flag *flag, const char *actor,
	const char *reason, struct err *err);
/* State and definition go; the history stays. ERR_NOT_FOUND. */
must_check int store_flag_remove(struct store *store, const char *environment, const char *key, const char *actor, const char *reason,
	struct err *err);
/* The flag of a row, read from its definition or made up (flag_plain), and how it stands. */
must_check int store_flag_read(const void *ctx, const struct flag_row *row, struct flag **ret, struct flag_state *ret_state,
	struct err *err);
/* All flags of a group to "false" in one transaction; *ret_count changed. */
must_check int store_flags_disable_group(struct store *store, const char *environment, const char *group, const char *actor,
	const char *reason, size_t *ret_count, struct err *err);
/* S4's feature_rollbacks. Newest first. */
struct flag_change {
	const char *id, *feature_name, *previous_state, *new_state, *reason, *rolled_back_by;
	int64_t seq; /* of the entry that changed it */
	int64_t rolled_back_ms, restored_ms;
};
must_check int store_flag_history_page(struct store *store, const void *ctx, const char *environment, struct page page,
	struct flag_change **ret, size_t *ret_count, struct err *err);
must_check static inline int store_flag_history(struct store *store, const void *ctx, const char *environment, size_t limit,
	struct flag_change **ret, size_t *ret_count, struct err *err)
{
	return store_flag_history_page(store, ctx, environment, (struct page){ .limit = limit }, ret, ret_count, err);
}
/* Puts the flag back to the state before change `id`. */
must_check int store_flag_restore(struct store *store, const char *environment, const char *id, const char *actor, const char *reason,
	struct err *err);

struct notification {
	const char *id, *run, *environment, *event, *channel, *message;
	json_t *recipients, *details, *pending;
	int attempts;
	int64_t queued_ms, not_before_ms;
};
/* Outbox: those with recipients that are neither delivered nor given up. */
must_check int store_notifications_pending(struct store *store, const void *ctx, int64_t now_ms, size_t limit, struct notification **ret,
	size_t *ret_count, struct err *err);

struct snapshot_row {
	const char *id, *environment, *run, *manifest;
	int64_t taken_ms, files, bytes, verified_ms;
	bool ok, pruned;
};
must_check int store_snapshots(struct store *store, const void *ctx, const char *environment, struct snapshot_row **ret, size_t *ret_count,
	struct err *err);

/* deployment-registry.json of document S2 (docs/reference/registry-file.md): written whole, atomically, from the tables, after each entry that changes them; {"version","projectPath"?,"deployments":[{id, environment, version, timestamp,
 * gitSha, status: success|failed|rolled-back, health, services:[..], components}], "rollbacks":[{rollbackId, fromDeploymentId, toDeploymentId, reason, timestamp, success}]}. A file that cannot be read is never overwritten (V6):
 * ERR_CORRUPT names it. Deployments found in it that the store does not know (another tool wrote them) are imported as deployment.recorded. */
must_check int registry_sync(struct store *store, struct err *err);
/* Parses and checks; for fuzzing and import. */
must_check int registry_read(const void *ctx, const char *text, size_t size, json_t **ret, struct err *err);

#endif
