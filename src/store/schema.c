/* The tables, as a list of numbered migrations. To change the schema add a migration at the end; never edit one that was released.
 * All migrations that a store lacks are one transaction.
 *
 * Text for every database: BIGINT, TEXT, DOUBLE PRECISION; booleans are 0 and 1; times are milliseconds since 1970; JSON is TEXT.
 * `entries`, `head`, `claims`, `registry_file`, `credentials`, `requests` and `sinks` are kept; everything else is made from the entries and is listed in projections.c. */
#include "store/internal.h"

#include "base/clock.h"

static const char *const migration_1[] = {
	"CREATE TABLE entries (seq BIGINT PRIMARY KEY, id TEXT NOT NULL, wall_ms BIGINT NOT NULL, kind TEXT NOT NULL, environment TEXT, run TEXT,"
	" actor TEXT, data TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)",
	"CREATE INDEX entries_run ON entries (run, seq) WHERE run IS NOT NULL",
	/* None for environments: it would cost every append a page, and who asks for one asks for its newest entries. */
	"CREATE TABLE head (id BIGINT PRIMARY KEY CHECK (id = 1), seq BIGINT NOT NULL, hash TEXT NOT NULL)",
	"INSERT INTO head (id, seq, hash) VALUES (1, 0, '" ENTRY_FIRST_PREVIOUS "')",
	"CREATE TABLE claims (name TEXT NOT NULL PRIMARY KEY, holder TEXT, token BIGINT NOT NULL, lease_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL)",
	"CREATE TABLE registry_file (id BIGINT PRIMARY KEY CHECK (id = 1), changed_seq BIGINT NOT NULL, written_seq BIGINT NOT NULL,"
	" mtime_ns BIGINT NOT NULL, size_bytes BIGINT NOT NULL)",
	"INSERT INTO registry_file (id, changed_seq, written_seq, mtime_ns, size_bytes) VALUES (1, 0, 0, 0, 0)",

	"CREATE TABLE environments (name TEXT NOT NULL PRIMARY KEY, present_deployment TEXT)",
	"CREATE TABLE deployments (id TEXT NOT NULL PRIMARY KEY, environment TEXT NOT NULL, version TEXT NOT NULL, git_sha TEXT, seq BIGINT NOT NULL,"
	" wall_ms BIGINT NOT NULL, recorded_by TEXT, components TEXT NOT NULL, migration TEXT, config_version TEXT,"
	" health TEXT NOT NULL CHECK (health IN ('unknown', 'passing', 'failing')), passing BIGINT NOT NULL, failing BIGINT NOT NULL,"
	" health_ms BIGINT NOT NULL, rollback_target BIGINT NOT NULL,"
	" status TEXT NOT NULL CHECK (status IN ('succeeded', 'failed', 'rolled-back')), quarantine TEXT, rollback_of TEXT)",
	"CREATE INDEX deployments_lineage ON deployments (environment, seq)",
	"CREATE INDEX deployments_stable ON deployments (environment, status, health, quarantine, seq DESC)",

	"CREATE TABLE runs (id TEXT NOT NULL PRIMARY KEY, environment TEXT NOT NULL, status TEXT NOT NULL, plan_id TEXT, from_deployment TEXT,"
	" to_deployment TEXT, reason TEXT, actor TEXT, message TEXT, undo_of TEXT, seq BIGINT NOT NULL, requested_ms BIGINT NOT NULL,"
	" started_ms BIGINT, ended_ms BIGINT, changed BIGINT NOT NULL, ended TEXT)",
	"CREATE UNIQUE INDEX runs_unfinished ON runs (environment) WHERE ended_ms IS NULL",
	"CREATE INDEX runs_lineage ON runs (environment, seq)",
	"CREATE INDEX runs_seq ON runs (seq)",

	"CREATE TABLE flags (environment TEXT NOT NULL, flag_key TEXT NOT NULL, flag_group TEXT, state TEXT NOT NULL, changed_ms BIGINT NOT NULL,"
	" changed_by TEXT, reason TEXT, PRIMARY KEY (environment, flag_key))",
	"CREATE TABLE feature_rollbacks (id TEXT NOT NULL PRIMARY KEY, environment TEXT NOT NULL, feature_name TEXT NOT NULL,"
	" rolled_back_at BIGINT NOT NULL, previous_state TEXT NOT NULL, new_state TEXT NOT NULL, reason TEXT, rolled_back_by TEXT NOT NULL,"
	" restored_at BIGINT, seq BIGINT NOT NULL)",
	"CREATE INDEX feature_rollbacks_lineage ON feature_rollbacks (environment, seq)",

	"CREATE TABLE notifications (id TEXT NOT NULL PRIMARY KEY, run TEXT, environment TEXT, event TEXT NOT NULL, channel TEXT NOT NULL,"
	" message TEXT NOT NULL, recipients TEXT NOT NULL, details TEXT, pending TEXT NOT NULL, waiting BIGINT NOT NULL, attempts BIGINT NOT NULL,"
	" queued_ms BIGINT NOT NULL, not_before_ms BIGINT NOT NULL, seq BIGINT NOT NULL)",
	"CREATE INDEX notifications_waiting ON notifications (seq) WHERE waiting > 0",

	"CREATE TABLE snapshots (id TEXT NOT NULL PRIMARY KEY, environment TEXT, run TEXT, manifest TEXT, taken_ms BIGINT NOT NULL,"
	" files BIGINT NOT NULL, bytes BIGINT NOT NULL, verified_ms BIGINT NOT NULL, ok BIGINT NOT NULL, pruned BIGINT NOT NULL, seq BIGINT NOT NULL)",
	NULL,
};

/* Access: principals and what they prove themselves with, approvals, break-glass. */
static const char *const migration_access[] = {
	"CREATE TABLE credentials (id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('password', 'token', 'session')),"
	" principal TEXT NOT NULL, hash TEXT NOT NULL, seen_ms BIGINT NOT NULL, authenticated_ms BIGINT NOT NULL)",
	"CREATE UNIQUE INDEX credentials_hash ON credentials (kind, hash)",

	"CREATE TABLE principals (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('person', 'service')),"
	" subject TEXT, grants TEXT NOT NULL, password BIGINT NOT NULL, admin BIGINT NOT NULL, added_ms BIGINT NOT NULL, removed_ms BIGINT)",
	"CREATE UNIQUE INDEX principals_name ON principals (name) WHERE removed_ms IS NULL",
	"CREATE UNIQUE INDEX principals_subject ON principals (subject) WHERE removed_ms IS NULL AND subject IS NOT NULL",
	"CREATE TABLE tokens (id TEXT NOT NULL PRIMARY KEY, principal TEXT NOT NULL, name TEXT NOT NULL, permissions TEXT NOT NULL,"
	" environments TEXT, created_ms BIGINT NOT NULL, created_by TEXT, expires_ms BIGINT NOT NULL, revoked_ms BIGINT, seq BIGINT NOT NULL)",
	"CREATE INDEX tokens_principal ON tokens (principal)",
	"CREATE TABLE sessions (id TEXT NOT NULL PRIMARY KEY, principal TEXT NOT NULL, origin TEXT, agent TEXT, method TEXT NOT NULL,"
	" begun_ms BIGINT NOT NULL, ended_ms BIGINT, seq BIGINT NOT NULL)",
	"CREATE INDEX sessions_principal ON sessions (principal)",
	"CREATE TABLE logins (id TEXT NOT NULL PRIMARY KEY, failures BIGINT NOT NULL, last_ms BIGINT NOT NULL, until_ms BIGINT NOT NULL,"
	" noted BIGINT NOT NULL)",

	"CREATE TABLE approvals (id TEXT NOT NULL PRIMARY KEY, environment TEXT, is_open BIGINT NOT NULL, seq BIGINT NOT NULL)",
	"CREATE INDEX approvals_seq ON approvals (is_open, seq)",
	"CREATE TABLE approval_entries (seq BIGINT PRIMARY KEY, approval TEXT NOT NULL)",
	"CREATE INDEX approval_entries_approval ON approval_entries (approval, seq)",
	"CREATE TABLE breakglasses (id TEXT NOT NULL PRIMARY KEY, principal TEXT NOT NULL, name TEXT, environment TEXT NOT NULL, reason TEXT,"
	" opened_ms BIGINT NOT NULL, until_ms BIGINT NOT NULL, closed_ms BIGINT, reviewer TEXT, reviewed_ms BIGINT, note TEXT, seq BIGINT NOT NULL)",
	"CREATE INDEX breakglasses_principal ON breakglasses (principal, seq)",
	NULL,
};

/* Definitions of flags stand beside their states. */
static const char *const migration_flag_definitions[] = {
	"ALTER TABLE flags ADD COLUMN definition TEXT",
	NULL,
};

/* Idempotency keys (idempotency.h). */
static const char *const migration_requests[] = {
	"CREATE TABLE requests (id TEXT NOT NULL PRIMARY KEY, hash TEXT NOT NULL, status BIGINT NOT NULL, type TEXT, answer TEXT, location TEXT,"
	" holder TEXT, first_seq BIGINT, last_seq BIGINT, expires_ms BIGINT NOT NULL)",
	"CREATE INDEX requests_expire ON requests (expires_ms)",
	NULL,
};

/* What monitoring said (alerts.h), and how far those have got that are told (sinks.h). */
static const char *const migration_signals[] = {
	"CREATE TABLE alerts (hook TEXT NOT NULL, fingerprint TEXT NOT NULL, environment TEXT, firing BIGINT NOT NULL, labels TEXT NOT NULL,"
	" annotations TEXT NOT NULL, url TEXT, started_ms BIGINT NOT NULL, ended_ms BIGINT, changed_ms BIGINT NOT NULL, seq BIGINT NOT NULL,"
	" PRIMARY KEY (hook, fingerprint, started_ms))",
	"CREATE INDEX alerts_newest ON alerts (seq)",
	"CREATE TABLE sinks (name TEXT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, moved_ms BIGINT NOT NULL)",
	NULL,
};

/* The first has number 1. */
static const char *const *const migrations[] = {
	migration_1,
	migration_access,
	migration_flag_definitions,
	migration_requests,
	migration_signals,
};

int schema_newest(void)
{
	return (int)ARRAY_SIZE(migrations);
}

static int read_version(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	*(int64_t *)user = columns[0].type == SQL_INT ? columns[0].integer : 0;
	return 0;
}

static int schema_version(struct sql *sql, int64_t *ret, struct err *err)
{
	*ret = 0;
	return sql->ops->run(sql, "SELECT MAX(version) FROM schema_version", NULL, 0, read_version, ret, err);
}

static int refuse_newer(int64_t version, struct err *err)
{
	if (version <= schema_newest())
		return 0;
	return err_set(err, ERR_NEWER, "the store has schema %lld; this unship knows schemas up to %d and has left it untouched",
		(long long)version, schema_newest());
}

static int apply_migrations(struct sql *sql, struct err *err)
{
	int64_t version;
	int r;

	r = sql->ops->run(sql, "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied_ms BIGINT NOT NULL)", NULL,
		0, NULL, NULL, err);
	/* Read under the write lock: another process may have migrated meanwhile. */
	if (r == 0)
		r = schema_version(sql, &version, err);
	if (r == 0)
		r = refuse_newer(version, err);
	for (; r == 0 && version < schema_newest(); version++) {
		for (const char *const *statement = migrations[version]; r == 0 && *statement; statement++)
			r = sql->ops->run(sql, *statement, NULL, 0, NULL, NULL, err);
		if (r == 0)
			r = sql_do(sql, err, "INSERT INTO schema_version (version, applied_ms) VALUES ($1, $2)", SQL_I(version + 1),
				SQL_I(clock_wall_ms()));
		if (r < 0)
			return err_in(err, "schema migration %lld", (long long)version + 1);
	}
	return r;
}

int schema_migrate(struct sql *sql, struct err *err)
{
	struct err unread = ERR_INIT;
	int64_t version = 0;
	int r;

	/* A store without the table fails here; so does a broken one, which then fails again below, in the open. */
	r = schema_version(sql, &version, &unread);
	if (r == 0 && version >= schema_newest())
		return refuse_newer(version, err);
	if (r < 0 && unread.code != ERR_STORE) {
		*err = unread;
		return r;
	}
	r = sql->ops->begin(sql, err);
	if (r < 0)
		return r;
	r = apply_migrations(sql, err);
	if (r == 0)
		r = sql->ops->commit(sql, err);
	if (r < 0)
		sql->ops->rollback(sql);
	return r;
}
