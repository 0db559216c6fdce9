/* What the files of this folder share. Not for others. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <string.h>

#include "data/json.h"
#include "store/store.h"

struct handle {
	struct store store;    /* first */
	char *holder;          /* this handle as a holder of claims */
	bool registry_changed; /* by the transaction that is open */
	int64_t begun_us;      /* when it was */
};

static inline struct handle *handle_of(struct store *store)
{
	return (struct handle *)store;
}

/* Statements: sql_do(sql, err, "UPDATE ... $1", SQL_T(x)); sql_each also gets the rows. At least one value. */
#define sql_do(sql, err, statement, ...) \
	(sql)->ops->run(sql, statement, (const struct sql_value[]){ __VA_ARGS__ }, ARRAY_SIZE(((struct sql_value[]){ __VA_ARGS__ })), \
		NULL, NULL, err)
#define sql_each(sql, err, row, user, statement, ...) \
	(sql)->ops->run(sql, statement, (const struct sql_value[]){ __VA_ARGS__ }, ARRAY_SIZE(((struct sql_value[]){ __VA_ARGS__ })), row, \
		user, err)

/* Rows gathered into one array of `size` bytes each, grown in ctx; `read` fills one. */
struct gather {
	const void *ctx;
	size_t size, count;
	char *rows;
	int (*read)(const void *ctx, const struct sql_value *columns, void *ret, struct err *err);
};
int gather_row(void *user, const struct sql_value *columns, size_t count, struct err *err);
/* For queries of one row: ERR_NOT_FOUND is the caller's to say; *found tells. */
struct single {
	const void *ctx;
	void *ret;
	bool found;
	int (*read)(const void *ctx, const struct sql_value *columns, void *ret, struct err *err);
};
int single_row(void *user, const struct sql_value *columns, size_t count, struct err *err);
/* JSON text of a column, NULL when the column is. What stands in the store was checked when it was written: a failure is ERR_CORRUPT. */
must_check int column_json(const void *ctx, const struct sql_value *column, json_t **ret, struct err *err);

/* An id from its beginning, with or without `prefix` ("dep"). `statement` selects ids with $1 <= id < $2, at most 4, ordered. */
must_check int resolve_id(struct store *store, const void *ctx, const char *statement, const char *what, const char *prefix,
	const char *given, const char **ret, struct err *err);

/* schema.c: creates or migrates; ERR_NEWER. */
must_check int schema_migrate(struct sql *sql, struct err *err);
int schema_newest(void);

/* journal.c: one transaction around several appends and the reads that they depend on. After a failure: store_undo, always. */
must_check int store_begin(struct store *store, struct err *err);
must_check int store_add(struct store *store, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
	struct err *err);
must_check int store_commit(struct store *store, struct err *err);
void store_undo(struct store *store);
/* See sql_ops.defer. */
void store_defer(struct store *store, bool on);
extern const struct journal_ops store_journal_ops;
/* Rows of `entries` for gather. */
#define ENTRY_COLUMNS "seq, id, wall_ms, kind, environment, run, actor, data, previous, hash"
int read_entry(const void *ctx, const struct sql_value *columns, void *ret, struct err *err);

/* idempotency.c: notes the entries of a request in its row, in their transaction. */
must_check int request_note(struct store *store, const struct entry *entries, size_t count, struct err *err);

/* projections.c: folds one entry into the tables, inside the open transaction. ERR_INVALID or ERR_CONFLICT: this entry cannot be. */
typedef int (*fold)(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
must_check int projections_fold(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
must_check int projections_empty(struct handle *handle, struct err *err);

int fold_deployment_recorded(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_deployment_health(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_deployment_status(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_deployment_quarantine(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_deployment_release(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_deployment_mark(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_run_requested(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_run_started(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_run_waiting(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_run_answered(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_run_cancel(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_run_ended(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_step_begun(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_flag_set(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_flag_restored(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_flag_defined(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_flag_removed(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_snapshot_taken(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_snapshot_verified(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_snapshot_pruned(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_notification_queued(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_notification_delivered(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_notification_failed(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_principal_added(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_principal_changed(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_principal_removed(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_token_created(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_token_revoked(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_session_begun(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_session_ended(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_login_refused(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_approval(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_breakglass_opened(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_breakglass_closed(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_breakglass_reviewed(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
int fold_signal_alert(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err);
/* A text member that a fold cannot do without: ERR_INVALID names kind and member. */
must_check int entry_need(const struct entry *entry, const char *member, const char **ret, struct err *err);

/* deployments.c */
extern const char last_stable_statement[]; /* $1 environment, $2 id that it is not: a test looks at its plan */
/* `to` becomes what runs in the environment, if it is known. */
must_check int deployments_set_present(struct handle *handle, const char *environment, const char *to, struct err *err);
must_check int deployment_exists(struct handle *handle, const char *id, bool *ret, struct err *err);

/* claims.c */
char *claim_holder(const void *ctx);
/* True only when it is certain. */
bool claim_holder_dead(const void *ctx, const char *ours, const char *theirs);
must_check int claim_check(struct handle *handle, const struct claim *claim, struct err *err);
int journal_claim(struct journal *journal, const void *ctx, const char *name, int64_t lease_ms, struct claim *ret, struct err *err);
int journal_renew(struct journal *journal, struct claim *claim, struct err *err);
int journal_release(struct journal *journal, struct claim *claim, struct err *err);

/* registry.c: registry_sync after a commit; trouble is kept in registry_trouble: the journal is what counts. */
void registry_follow(struct handle *handle);
/* At open: makes a missing file, and follows up when a former process died between its commit and the file, or somebody else wrote it. */
void registry_catch_up(struct handle *handle);

#endif
