/* postgres: a PostgreSQL database.
 *
 *   target {snapshotId}, or a deployment's kept copy (source_dir)   the whole content
 *   target {tables: {NAME: BACKUP}}                                 the rows of these tables; BACKUP names one of `sources`
 *   target {migration: VERSION}                                     the schema goes back with the user's tool (migration.h); rows stay
 *
 * A capture is a folder with database.dump (pg_dump's custom format), tables.json and rows/ (drivers/database.h) and postgres.json, or with a file "absent" when there was no database. postgres_copy.c captures and compares,
 * postgres_restore.c restores in one transaction, postgres_switch.c by way of a second database, postgres_ledger.c writes down what is lost; facts are postgres_facts.c's, the programs postgres_dump.c's.
 *
 * Version: the migration version and the schema's fingerprint, "m20260102-3fa9c01b". It says nothing about rows; whether a target is reached is found by comparing checksums of all tables. One thread. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/list.h"
#include "drivers/postgres_restore.h"
#include "drivers/sandbox.h"

#define COUNT_LIMIT_MS 500 /* rows are counted for people; large databases need not wait for it */

struct postgres_params {
	json_t *dsn, *password;
	const char *host, *database, *user;
	int64_t port;
	bool keep_at_record;
	const char **schemas, **irreversible;
	const char *restore;
	int64_t lock_timeout_ms, statement_timeout_ms;
	struct migration_params migrations;
};

/* clang-format off */
static const struct field postgres_fields[] = {
	FIELD_SECRET(struct postgres_params, dsn,                  OPTIONAL,                "address of the database, as libpq reads it: postgres://USER:PASSWORD@HOST:PORT/DATABASE or host=... dbname=..."),
	FIELD_STR   (struct postgres_params, host,                 OPTIONAL,                "host, address, or folder of a unix socket; wins over dsn, as do the next four"),
	FIELD_INT   (struct postgres_params, port,                 OPTIONAL, 1, 65535,      "port"),
	FIELD_STR   (struct postgres_params, database,             OPTIONAL,                "name of the database"),
	FIELD_STR   (struct postgres_params, user,                 OPTIONAL,                "user; owner of the tables, or a superuser"),
	FIELD_SECRET(struct postgres_params, password,             OPTIONAL,                "password"),
	FIELD_LIST  (struct postgres_params, schemas,              OPTIONAL,                "schemas that are rolled back (default: all but the system's)"),
	FIELD_BOOL  (struct postgres_params, keep_at_record,       DEFAULT("true"),         "keep a copy of the whole database with every recorded deployment"),
	FIELD_CHOICE(struct postgres_params, restore,              DEFAULT("transaction"), "transaction|switch", "how the whole is restored: into the same database in one transaction, or into a second one that takes its name"),
	FIELD_LIST  (struct postgres_params, irreversible,         OPTIONAL,                "migration versions that cannot go backwards"),
	FIELD_MS    (struct postgres_params, lock_timeout_ms,      DEFAULT("30s"),          "how long to wait for others who use the tables"),
	FIELD_MS    (struct postgres_params, statement_timeout_ms, OPTIONAL,                "longest time of a single statement (default: the time that the step has)"),
	FIELD_GROUP (struct postgres_params, migrations,           OPTIONAL, migration_fields, "how its schema is migrated, so that it can go backwards"),
	FIELD_END
};
/* clang-format on */

static int begin(struct driver_call *call, struct postgres *ret, struct err *err)
{
	const struct postgres_params *params = call->params;
	struct pg_place place = { .host = params->host, .database = params->database, .user = params->user, .port = params->port };
	char *database;
	int r = 0;

	if (!params->dsn && !params->database)
		return err_set(err, ERR_INVALID, "'dsn' or 'database' must be given");
	if (params->dsn)
		r = call_secret(call, params->dsn, &place.dsn, err);
	if (r == 0 && params->password)
		r = call_secret(call, params->password, &place.password, err);
	place.deadline_ms = call->deadline_ms;
	place.lock_ms = params->lock_timeout_ms;
	place.statement_ms = params->statement_timeout_ms;
	if (r == 0)
		r = pg_database_name(call->ctx, &place, &database, err);
	if (r < 0)
		return r;
	place.database = database;
	*ret = (struct postgres){ .call = call, .place = place, .database = database, .schemas = (const char *const *)params->schemas };
	ret->scope = postgres_scope(call->ctx, ret->schemas);
	return 0;
}

/* `*ret` NULL: there is no such database. */
static int connect_if_there(struct postgres *p, struct pg **ret, struct err *err)
{
	struct err why = ERR_INIT;
	int r = postgres_connect(p, ret, &why);

	if (r < 0 && r != -ERR_NOT_FOUND)
		*err = why;
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* ---- observe ---- */

/* `pg` NULL: there is no database. */
static int is_as_captured(struct postgres *p, struct pg *pg, const char *dir, int *ret, struct err *err)
{
	*ret = 0;
	if (database_was_absent(p->call->ctx, dir)) {
		*ret = !pg;
		return 0;
	}
	if (!pg || !fs_exists(fs_join(p->call->ctx, dir, POSTGRES_COPY)))
		return 0;
	return postgres_is_as_captured(p, pg, dir, ret, err);
}

static int at_migration(struct postgres *p, const char *version, int *ret, struct err *err)
{
	const struct postgres_params *params = p->call->params;
	struct migration_database database;
	int r = postgres_migration_database(p, &database, err);

	if (r == 0)
		r = migration_is_at(p->call, &params->migrations, &database, version, err);
	*ret = r > 0;
	return MIN(r, 0);
}

static int at_target(struct postgres *p, struct pg *pg, int *ret, struct err *err)
{
	struct driver_call *call = p->call;
	struct database_goal goal;
	struct err why = ERR_INIT;
	int r;

	*ret = -1;
	if (!call->target)
		return call->snapshot_dir && fs_exists(call->snapshot_dir) ? is_as_captured(p, pg, call->snapshot_dir, ret, err) : 0;
	r = database_read_goal(call, POSTGRES_COPY, &goal, &why);
	if (r == -ERR_NOT_FOUND) {
		*ret = 0;
		return 0;
	}
	if (r < 0) {
		*err = why;
		return r;
	}
	if (goal.dir)
		return is_as_captured(p, pg, goal.dir, ret, err);
	*ret = 0;
	if (goal.migration)
		return at_migration(p, goal.migration, ret, err);
	return pg ? postgres_tables_are_as_captured(p, pg, false, &goal, ret, err) : 0;
}

static int describe(struct postgres *p, struct pg *pg, struct observation *ret, struct err *err)
{
	const struct postgres_params *params = p->call->params;
	json_t *schema, *counts, *irreversible = json_keep(p->call->ctx, json_array());
	char *migration, fingerprint[HASH_HEX_SIZE];
	struct migration_database database;
	int r;

	r = postgres_schema(p->call->ctx, pg, p->scope, &schema, err);
	if (r == 0)
		r = postgres_fingerprint(p->call->ctx, pg, p->scope, schema, fingerprint, err);
	if (r == 0)
		r = postgres_migration(p->call->ctx, pg, p->scope, &migration, err);
	if (r == 0)
		r = postgres_row_counts(p->call->ctx, pg, p->scope, clock_mono_ms() + COUNT_LIMIT_MS, &counts, err);
	if (r < 0)
		return r;
	for (const char **version = params->irreversible; version && *version; version++)
		(void)json_array_append_new(irreversible, json_string(*version));
	ret->state = "present";
	ret->details = json_make(p->call->ctx, "{s:O, s:s}", "schema", schema, "engine", "postgres");
	json_put_str(ret->details, "engineVersion",
		mem_printf(p->call->ctx, "%d.%d", pg_server_version(pg) / 10000, pg_server_version(pg) % 10000));
	json_put_str(ret->details, "migration", migration);
	json_put(ret->details, "rowCounts", counts);
	r = postgres_migration_database(p, &database, err);
	if (r == 0)
		r = migration_observe(p->call, &params->migrations, &database, ret->details, err);
	if (r < 0)
		return r;
	ret->version = mem_printf(p->call->ctx, "m%s-%.8s", json_str(ret->details, "migration", ""), fingerprint);
	/* Those that the configuration names and those that have no way back. */
	(void)json_array_extend(irreversible, json_object_get(ret->details, "irreversible"));
	if (json_array_size(irreversible) > 0)
		json_put(ret->details, "irreversible", irreversible);
	return 0;
}

static int postgres_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	_cleanup_(pg_close) struct pg *pg = NULL;
	struct observation seen = { .version = "", .state = "absent", .healthy = -1 };
	struct postgres p;
	int r;

	r = begin(call, &p, err);
	if (r == 0)
		r = connect_if_there(&p, &pg, err);
	if (r == 0 && pg)
		r = postgres_begin_reading(pg, err);
	if (r == 0)
		r = at_target(&p, pg, &seen.at_target, err);
	if (r == 0 && pg)
		r = describe(&p, pg, &seen, err);
	if (r == 0)
		*ret = seen;
	return r;
}

/* ---- check ---- */

static void check_programs(struct postgres *p, struct pg *pg, struct findings *ret)
{
	static const char *const programs[] = { "pg_dump", "pg_restore" };
	int server = pg_server_version(pg) / 10000, version = 0;

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		struct err why = ERR_INIT;
		int r = postgres_program_version(p->call, programs[i], &version, &why);

		if (r < 0)
			findings_add(ret, "database_programs", false, SEVERITY_ERROR, p->call->name, NULL, "%s", why.text);
		else
			findings_add(ret, "database_programs", version >= server, SEVERITY_ERROR, p->call->name, NULL,
				"%s is version %d, the server %d", programs[i], version, server);
	}
}

/* Whoever restores must own what it replaces. */
static void check_rights(struct postgres *p, struct pg *pg, struct findings *ret)
{
	struct err why = ERR_INIT;
	int64_t foreign;
	int r;

	r = pg_integer(pg,
		mem_printf(p->call->ctx,
			"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND %s"
			" AND NOT pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid"
			" AND x.deptype = 'e')",
			p->scope),
		"looking at owners", &foreign, &why);
	findings_add(ret, "database_rights", r == 0 && foreign == 0, SEVERITY_ERROR, p->call->name, NULL, "%s",
		r < 0                 ? why.text
			: foreign > 0 ? mem_printf(p->call->ctx, "%s belong to somebody else: restore as their owner or as a superuser",
						text_count(p->call->ctx, (uint64_t)foreign, "object"))
				      : "the user owns what is to be replaced");
}

static void check_roles(struct postgres *p, struct pg *pg, json_t *note, struct findings *ret)
{
	_cleanup_talloc_ void *ctx = mem_context(p->call->ctx);
	char *missing = mem_strdup(ctx, "");
	json_t *role;
	size_t i;

	json_array_foreach(json_object_get(note, "roles"), i, role) {
		struct err ignored = ERR_INIT;
		int64_t there = 0;

		if (pg_integer(pg,
			    mem_printf(ctx, "SELECT count(*) FROM pg_roles WHERE rolname = %s",
				    pg_quote_text(ctx, json_string_value(role))),
			    "looking for roles", &there, &ignored) == 0 &&
			!there)
			missing = mem_appendf(missing, "%s%s", *missing ? ", " : "", json_string_value(role));
	}
	findings_add(ret, "database_roles", !*missing, SEVERITY_ERROR, p->call->name, NULL, "%s%s",
		*missing ? "these roles own or may use something in the copy and are missing: " : "the roles of the copy are there",
		missing);
}

static int check_copy(struct postgres *p, struct pg *pg, const char *dir, bool whole, struct findings *ret, struct err *err)
{
	const struct postgres_params *params = p->call->params;
	struct postgres_toc toc;
	json_t *note;
	char *copy;
	int r;

	r = database_find_copy(p->call->ctx, dir, POSTGRES_COPY, &copy, err);
	if (r == 0)
		r = postgres_read_toc(p->call, copy, &toc, err);
	if (r == 0)
		r = postgres_read_note(p, dir, &note, err);
	if (r < 0 || !pg)
		return r;
	if (toc.server_version / 10000 > pg_server_version(pg) / 10000)
		return err_set(err, ERR_REFUSED, "the copy was made from PostgreSQL %d, the server is %d", toc.server_version / 10000,
			pg_server_version(pg) / 10000);
	if (whole && strcmp(params->restore, "transaction") == 0 && json_int(note, "largeObjects", 0) > 0)
		return err_set(err, ERR_UNSUPPORTED, "the copy holds large objects, which only `restore: switch` brings back");
	if (whole)
		check_roles(p, pg, note, ret);
	return 0;
}

static void check_goal(struct postgres *p, struct pg *pg, struct findings *ret)
{
	struct err why = ERR_INIT;
	struct database_goal goal;
	int r;

	r = database_read_goal(p->call, POSTGRES_COPY, &goal, &why);
	if (r == 0 && goal.dir && !database_was_absent(p->call->ctx, goal.dir))
		r = check_copy(p, pg, goal.dir, true, ret, &why);
	for (size_t i = 0; r == 0 && i < goal.table_count; i++)
		r = check_copy(p, pg, goal.tables[i].dir, false, ret, &why);
	findings_add(ret, "target_content", r == 0, SEVERITY_ERROR, p->call->name, NULL, "%s",
		r == 0 ? "the copy to restore from is there and can be read" : why.text);
}

/* Whoever is connected waits while a transaction restores, and is disconnected by a switch. */
static void check_others(struct postgres *p, struct pg *pg, struct findings *ret)
{
	const struct postgres_params *params = p->call->params;
	bool switches = strcmp(params->restore, "switch") == 0;
	struct err why = ERR_INIT;
	int64_t others, may_make;
	int r;

	r = pg_integer(pg, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
		"counting connections", &others, &why);
	if (r == 0)
		findings_add(ret, "database_connections", others == 0, SEVERITY_INFO, p->call->name, NULL, "%s to the database %s",
			text_count(p->call->ctx, (uint64_t)others, "other connection"),
			switches ? "will be ended" : "will wait while it is restored");
	if (r == 0 && switches) {
		r = pg_integer(pg, "SELECT (rolsuper OR rolcreatedb)::int FROM pg_roles WHERE rolname = current_user", "looking at rights",
			&may_make, &why);
		if (r == 0 && !may_make)
			findings_add(ret, "database_rights", false, SEVERITY_ERROR, p->call->name, NULL,
				"`restore: switch` needs the right to make databases (CREATEDB)");
	}
	if (r < 0)
		findings_add(ret, "database_connections", false, SEVERITY_WARNING, p->call->name, NULL, "%s", why.text);
}

/* A copy is made before anything is changed. */
static void check_space(struct postgres *p, struct pg *pg, struct findings *ret)
{
	struct err ignored = ERR_INIT;
	uint64_t available;
	int64_t size;

	if (fs_is_dir(p->call->state_dir) && fs_free_bytes(p->call->state_dir, &available, &ignored) == 0 &&
		pg_integer(pg, "SELECT pg_database_size(current_database())", "measuring the database", &size, &ignored) == 0)
		findings_add(ret, "disk_space", available >= (uint64_t)size, SEVERITY_WARNING, p->call->name, NULL,
			"%s: a copy of the database takes up to %s, %s are free", p->call->state_dir,
			text_format_size(p->call->ctx, (uint64_t)size), text_format_size(p->call->ctx, available));
}

static int postgres_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	const char *migration = json_str(call->target, "migration", NULL);
	const struct postgres_params *params = call->params;
	_cleanup_(pg_close) struct pg *pg = NULL;
	struct migration_database database;
	struct err why = ERR_INIT;
	struct postgres p;
	int r;

	r = begin(call, &p, err);
	if (r < 0)
		return r;
	r = connect_if_there(&p, &pg, &why);
	findings_add(ret, "database_reachable", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
		r < 0        ? why.text
			: pg ? "the server answers"
			     : "the server answers, and the database is not there");
	if (r < 0)
		return 0;
	if (pg) {
		check_programs(&p, pg, ret);
		check_space(&p, pg, ret);
	}
	if (migration) {
		r = postgres_migration_database(&p, &database, err);
		return r < 0 ? r : migration_check(call, &params->migrations, &database, migration, ret, err);
	}
	if (!database_is_to_restore(call))
		return 0;
	if (pg) {
		check_rights(&p, pg, ret);
		check_others(&p, pg, ret);
	}
	check_goal(&p, pg, ret);
	return 0;
}

/* ---- apply, capture, undo ---- */

static int restore_from(struct postgres *p, const char *dir, json_t **ret_lost, struct err *err)
{
	const struct postgres_params *params = p->call->params;

	if (database_was_absent(p->call->ctx, dir))
		return postgres_restore_absence(p, err);
	return strcmp(params->restore, "switch") == 0 ? postgres_restore_switch(p, dir, ret_lost, err)
						      : postgres_restore_whole(p, dir, ret_lost, err);
}

static int migrate(struct postgres *p, const char *version, json_t *ret_outputs, struct err *err)
{
	const struct postgres_params *params = p->call->params;
	struct migration_database database;
	int r = postgres_migration_database(p, &database, err);

	return r < 0 ? r : migration_go(p->call, &params->migrations, &database, version, ret_outputs, err);
}

static int postgres_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	struct database_goal goal;
	json_t *lost = NULL;
	struct postgres p;
	int r;

	r = begin(call, &p, err);
	if (r == 0)
		r = database_read_goal(call, POSTGRES_COPY, &goal, err);
	if (r < 0)
		return r;
	if (goal.migration)
		return migrate(&p, goal.migration, ret_outputs, err);
	r = goal.dir ? restore_from(&p, goal.dir, &lost, err) : postgres_restore_tables(&p, &goal, &lost, err);
	if (r == 0)
		json_put(ret_outputs, "lost", lost);
	return r;
}

static int capture(struct driver_call *call, struct err *err)
{
	const struct postgres_params *params = call->params;
	struct postgres p;
	int r;

	r = migration_capture(call, &params->migrations, err);
	if (r < 0)
		return r;
	if (!call->run_id && !params->keep_at_record) /* outside of a run: a deployment is being recorded */
		return 0;
	r = begin(call, &p, err);
	return r < 0 ? r : postgres_capture(&p, err);
}

static int postgres_undo(struct driver_call *call, struct err *err)
{
	json_t *lost = NULL;
	struct postgres p;
	int r = begin(call, &p, err);

	if (r == 0)
		r = restore_from(&p, call->snapshot_dir, &lost, err);
	return r < 0 ? r : migration_forget(call, err);
}

static const char *const address_members[] = { "dsn", "host", "port", "database", NULL };

/* Params that lead to the copy: the name of the database wins over what the address says. */
static int params_of_copy(struct driver_call *call, struct postgres_params *ret, struct err *err)
{
	struct postgres p;
	char *name;
	int r;

	*ret = *(const struct postgres_params *)call->params;
	r = begin(call, &p, err);
	if (r == 0)
		r = sandbox_database_name(call, p.database, &name, err);
	if (r < 0)
		return r;
	ret->database = name;
	ret->restore = "transaction";
	return 0;
}

static int postgres_sandbox(struct driver_call *call, json_t **ret_config, struct err *err)
{
	struct postgres_params copy = *(const struct postgres_params *)call->params;
	int r = 0;

	*ret_config = sandbox_config(call, NULL, NULL);
	if (!sandbox_stands_elsewhere(call, address_members)) {
		r = params_of_copy(call, &copy, err);
		if (r == 0)
			r = sandbox_database_fill(call, &driver_postgres, &copy, err);
		if (r == 0)
			json_put_str(*ret_config, "database", copy.database);
	}
	if (r == 0)
		r = sandbox_migrations(call, copy.migrations.dir, *ret_config, err);
	sandbox_override(call, *ret_config);
	return r;
}

static int postgres_unsandbox(struct driver_call *call, struct err *err)
{
	struct postgres_params copy;
	int r;

	if (sandbox_stands_elsewhere(call, address_members))
		return 0;
	r = params_of_copy(call, &copy, err);
	return r < 0 ? r : sandbox_database_drop(call, &driver_postgres, &copy, err);
}

const struct driver driver_postgres = {
	.name = "postgres",
	.summary = "a PostgreSQL database: the whole, or named tables",
	.kind = DRIVER_DATA,
	.fields = postgres_fields,
	.params_size = sizeof(struct postgres_params),
	.keeps = true,
	.observe = postgres_observe,
	.check = postgres_check,
	.apply = postgres_apply,
	.capture = capture,
	.undo = postgres_undo,
	.sandbox = postgres_sandbox,
	.unsandbox = postgres_unsandbox,
};
