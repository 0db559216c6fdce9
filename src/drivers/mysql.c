/* mysql: a database of a MariaDB or MySQL server.
 *
 *   target {snapshotId}, or a deployment's kept copy (source_dir)   the whole database
 *   target {tables: {NAME: BACKUP}}                                 these tables; BACKUP names one of `sources`
 *   target {migration: VERSION}                                     the schema goes back with the user's tool (migration.h); rows stay
 *
 * Copies are mysql_copy.c's, restores mysql_restore.c's, the exchange of tables mysql_switch.c's. All speak to the server through one connection at a time; no program is started but a migration tool.
 *
 * Version: the migration version and the schema's fingerprint, "m20260102-3fa9c01b". It says nothing about rows; whether a target is reached is found by comparing definitions and row lists. One thread. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "drivers/list.h"
#include "drivers/migration.h"
#include "drivers/mysql_restore.h"
#include "drivers/mysql_switch.h"
#include "drivers/sandbox.h"

#include <ctype.h>

#define COUNT_LIMIT_MS 500 /* rows are counted for people; large databases need not wait for it */
#define DEFAULT_PORT   3306
#define DEFAULT_SOCKET "/run/mysqld/mysqld.sock"

struct mysql_params {
	json_t *url;
	const char *host;
	int64_t port;
	const char *socket;
	const char *database;
	const char *user;
	json_t *password;
	const char *tls;
	const char *tls_ca;
	int64_t connect_timeout_ms;
	bool keep_at_record;
	const char **irreversible;
	struct migration_params migrations;
};

/* clang-format off */
static const struct field mysql_fields[] = {
	FIELD_SECRET(struct mysql_params, url,                OPTIONAL,                 "where it is, as mysql://user:password@host:port/database (?socket=/path for a socket); instead of the parameters below, but for the name of the database"),
	FIELD_STR   (struct mysql_params, host,               OPTIONAL,                 "name or address of the server; without it the socket is used"),
	FIELD_INT   (struct mysql_params, port,               DEFAULT("3306"), 1, 65535, "its port"),
	FIELD_PATH  (struct mysql_params, socket,             DEFAULT(DEFAULT_SOCKET),  "unix socket of the server, when no host is given"),
	FIELD_STR   (struct mysql_params, database,           OPTIONAL,                 "name of the database; required without url, and wins over its"),
	FIELD_STR   (struct mysql_params, user,               OPTIONAL,                 "user of the database; the user who runs unship without it"),
	FIELD_SECRET(struct mysql_params, password,           OPTIONAL,                 "its password"),
	FIELD_CHOICE(struct mysql_params, tls,                DEFAULT("off"), "off|on|verified", "whether the connection is encrypted; `verified` also checks the server's certificate"),
	FIELD_FILE  (struct mysql_params, tls_ca,             OPTIONAL,                 "certificates that the server's is checked with, when they are not those of the system"),
	FIELD_MS    (struct mysql_params, connect_timeout_ms, DEFAULT("10s"),           "how long to wait for a connection"),
	FIELD_BOOL  (struct mysql_params, keep_at_record,     DEFAULT("true"),          "keep a copy of the whole database with every recorded deployment"),
	FIELD_LIST  (struct mysql_params, irreversible,       OPTIONAL,                 "migration versions that cannot go backwards"),
	FIELD_GROUP (struct mysql_params, migrations,         OPTIONAL, migration_fields, "how its schema is migrated, so that it can go backwards"),
	FIELD_END
};
/* clang-format on */

/* ---- where it is ---- */

/* Decodes %XX in place of a copy. */
static char *decoded(const void *ctx, const char *text, size_t size)
{
	char *result = mem_strndup(ctx, text, size), *to = result;
	struct err ignored = ERR_INIT;

	for (const char *from = result; *from; from++) {
		unsigned char byte;
		char *pair = *from == '%' && from[1] && from[2] ? mem_strndup(ctx, from + 1, 2) : NULL;

		if (pair && text_unhex(pair, &byte, 1, &ignored) == 0 && byte) {
			*to++ = (char)byte;
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = 0;
	return result;
}

static int read_address(const void *ctx, const char *address, struct mysqldb_place *place, struct err *err)
{
	const char *end = address[0] == '[' ? strchr(address, ']') : NULL, *colon = strchr(end ? end : address, ':');

	if (colon && text_parse_int(colon + 1, 1, 65535, &place->port, err) < 0)
		return err_set(err, ERR_INVALID, "url: the port is no number from 1 to 65535");
	if (end)
		place->host = mem_strndup(ctx, address + 1, (size_t)(end - address) - 1);
	else
		place->host = decoded(ctx, address, colon ? (size_t)(colon - address) : strlen(address));
	return 0;
}

/* mysql://user:password@host:port/database?socket=/path. Nothing of it is ever shown. */
static int read_url(const void *ctx, const char *url, struct mysqldb_place *place, struct err *err)
{
	const char *scheme = strstr(url, "://"), *rest = scheme ? scheme + 3 : NULL;
	size_t authority = rest ? strcspn(rest, "/?") : 0, path;
	const char *at = rest ? memrchr(rest, '@', authority) : NULL;
	int r = 0;

	if (!rest || (strncmp(url, "mysql:", 6) != 0 && strncmp(url, "mariadb:", 8) != 0))
		return err_set(err, ERR_INVALID, "url: not of the form mysql://user:password@host:port/database");
	if (at) {
		size_t user = strcspn(rest, ":@");

		place->user = decoded(ctx, rest, user);
		if (rest[user] == ':')
			place->password = decoded(ctx, rest + user + 1, (size_t)(at - rest) - user - 1);
		authority -= (size_t)(at + 1 - rest);
		rest = at + 1;
	}
	if (authority > 0)
		r = read_address(ctx, mem_strndup(ctx, rest, authority), place, err);
	rest += authority;
	path = *rest == '/' ? strcspn(rest + 1, "?") : 0;
	if (path)
		place->database = decoded(ctx, rest + 1, path);
	rest = strstr(rest, "socket=");
	if (r == 0 && rest) {
		place->socket = decoded(ctx, rest + 7, strcspn(rest + 7, "&"));
		place->host = NULL;
	}
	return r;
}

static int find_place(struct driver_call *call, struct mysqldb_place *ret, struct err *err)
{
	const struct mysql_params *params = call->params;
	struct mysqldb_place place = { .host = params->host,
		.port = params->port,
		.socket = params->socket,
		.database = params->database,
		.user = params->user,
		.tls = params->tls,
		.connect_ms = params->connect_timeout_ms };
	const char *url;
	int r = 0;

	if (params->tls_ca)
		place.tls_ca = fs_join(call->ctx, call->project_dir, params->tls_ca);
	if (params->url) {
		r = call_secret(call, params->url, &url, err);
		if (r == 0)
			r = read_url(call->ctx, url, &place, err);
		if (params->database)
			place.database = params->database;
	}
	if (r == 0 && params->password)
		r = call_secret(call, params->password, &place.password, err);
	if (r == 0 && (!place.database || !*place.database))
		r = err_set(err, ERR_INVALID, "database: the name of the database is missing");
	if (r == 0 && !place.host && *place.socket != '/')
		place.socket = fs_join(call->ctx, call->project_dir, place.socket);
	if (r == 0)
		*ret = place;
	return r;
}

static int connect_to(struct driver_call *call, struct mysqldb **ret, struct err *err)
{
	struct mysqldb_place place;
	int r = find_place(call, &place, err);

	return r < 0 ? r : mysqldb_open(call, &place, ret, err);
}

/* ---- migrations ---- */

static int select_database(struct mysqldb *db, struct err *err)
{
	_cleanup_talloc_ char *statement = mem_printf(NULL, "USE %s", mysqldb_name(db, db->database));

	return mysqldb_run(db, statement, db->database, err);
}

/* A connection for each question, so that none is open while a tool is at work. A database that is not there has no rows. */
static int migration_query(void *data, const void *ctx, const char *sql, char ***ret, struct err *err)
{
	_cleanup_(mysqldb_close) struct mysqldb *db = NULL;
	struct mysqldb_rows rows = { 0 };
	struct err why = ERR_INIT;
	char **list;
	int r;

	r = connect_to(data, &db, err);
	if (r < 0)
		return r;
	r = select_database(db, &why);
	if (r == 0)
		r = mysqldb_select(db, ctx, sql, &rows, &why);
	if (r < 0 && why.code != ERR_NOT_FOUND) {
		*err = why;
		return r;
	}
	list = mem_array(ctx, char *, rows.count + 1);
	for (size_t i = 0; i < rows.count; i++)
		list[i] = rows.list[i][0] ? rows.list[i][0] : mem_strdup(ctx, "");
	*ret = list;
	return 0;
}

/* The session is as the server's own settings make it for the script. Statements that define something commit by themselves in these engines. */
static int migration_execute(void *data, const char *script, const char *note, struct err *err)
{
	_cleanup_(mysqldb_close) struct mysqldb *db = NULL;
	int r;

	r = connect_to(data, &db, err);
	if (r == 0)
		r = select_database(db, err);
	if (r == 0)
		r = mysqldb_run(db,
			"SET SESSION sql_mode = @@GLOBAL.sql_mode, SESSION time_zone = @@GLOBAL.time_zone, SESSION autocommit = 0",
			"the session", err);
	if (r == 0)
		r = mysqldb_script(db, script, "the script", err);
	if (r == 0)
		r = mysqldb_run(db, note, "noting that it ran", err);
	return r < 0 ? r : mysqldb_run(db, "COMMIT", "noting that it ran", err); /* closing takes back what was not committed */
}

static int migration_place(struct driver_call *call, struct migration_database *ret, struct err *err)
{
	struct mysqldb_place place;
	int r = find_place(call, &place, err);

	if (r == 0)
		*ret = (struct migration_database){ .engine = "mysql",
			.host = place.host ? place.host : place.socket,
			.port = (int)place.port,
			.user = place.user,
			.name = place.database,
			.password = place.password,
			.ssl_mode = place.tls,
			.ssl_ca = place.tls_ca,
			.query = migration_query,
			.execute = migration_execute,
			.data = call };
	return r;
}

/* ---- observe ---- */

static int at_migration(struct driver_call *call, const char *version, int *ret, struct err *err)
{
	const struct mysql_params *params = call->params;
	struct migration_database database;
	int r = migration_place(call, &database, err);

	if (r == 0)
		r = migration_is_at(call, &params->migrations, &database, version, err);
	if (r < 0)
		return r;
	*ret = r;
	return 0;
}

static int at_target(struct driver_call *call, struct mysqldb *db, int *ret, struct err *err)
{
	struct database_goal goal = { .dir = call->snapshot_dir };
	struct mysql_wanted wanted;
	struct err why = ERR_INIT;
	int r = 0;

	*ret = -1;
	if (!call->target && (!call->snapshot_dir || !fs_exists(call->snapshot_dir)))
		return 0;
	if (call->target)
		r = database_read_goal(call, MYSQL_COPY_FILE, &goal, &why);
	if (r == 0 && goal.migration)
		return at_migration(call, goal.migration, ret, err);
	if (r == 0)
		r = mysql_wanted_read(call, &goal, &wanted, &why);
	if (r == -ERR_NOT_FOUND) {
		*ret = 0;
		return 0;
	}
	if (r < 0) {
		*err = why;
		return r;
	}
	return mysql_is_as_wanted(db, &wanted, ret, err);
}

static int describe_live(struct driver_call *call, struct mysqldb *db, struct observation *ret, struct err *err)
{
	const struct mysql_params *params = call->params;
	json_t *schema, *counts, *irreversible = json_keep(call->ctx, json_array());
	struct migration_database database;
	char *migration, *text, fingerprint[HASH_HEX_SIZE];
	int r;

	r = mysql_facts_schema(db, call->ctx, db->database, &schema, err);
	if (r == 0)
		r = mysql_facts_migration(db, call->ctx, schema, &migration, err);
	if (r == 0)
		r = mysql_facts_row_counts(db, call->ctx, schema, clock_mono_ms() + COUNT_LIMIT_MS, &counts, err);
	if (r == 0)
		r = migration_place(call, &database, err);
	if (r < 0)
		return r;
	text = json_canonical(call->ctx, schema);
	hash_blake2b_hex(text, strlen(text), fingerprint);
	for (const char **version = params->irreversible; version && *version; version++)
		(void)json_array_append_new(irreversible, json_string(*version));
	ret->state = "present";
	ret->details = json_make(call->ctx, "{s:O, s:s, s:s, s:s}", "schema", schema, "engine", "mysql", "engineVersion", db->version,
		"server", mysqldb_flavor(db));
	json_put_str(ret->details, "migration", migration);
	json_put(ret->details, "rowCounts", counts);
	if (json_array_size(irreversible) > 0)
		json_put(ret->details, "irreversible", irreversible);
	r = migration_observe(call, &params->migrations, &database, ret->details, err);
	ret->version = mem_printf(call->ctx, "m%s-%.8s", json_str(ret->details, "migration", ""), fingerprint);
	return r;
}

/* What an interrupted restore left is told: the next one goes on with it. */
static int tell_unfinished(struct mysqldb *db, struct observation *ret, struct err *err)
{
	struct mysql_switch change;
	enum mysql_stage stage;
	int r;

	mysql_switch_init(db, &change);
	r = mysql_switch_find(&change, &stage, err);
	if (r == 0 && (stage == MYSQL_STAGE_READY || stage == MYSQL_STAGE_SWITCHED))
		ret->state = "restoring";
	return r;
}

static int mysql_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	_cleanup_(mysqldb_close) struct mysqldb *db = NULL;
	int r, there = -1;
	bool present = false;

	r = connect_to(call, &db, err);
	if (r == 0)
		r = at_target(call, db, &there, err);
	if (r == 0)
		r = mysql_facts_exists(db, db->database, &present, err);
	if (r < 0)
		return r;
	*ret = (struct observation){ .version = "", .state = "absent", .healthy = -1, .at_target = there };
	if (present)
		r = describe_live(call, db, ret, err);
	return r < 0 ? r : tell_unfinished(db, ret, err);
}

/* ---- check ---- */

static int check_copies(struct driver_call *call, struct mysqldb *db, const struct mysql_wanted *wanted, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < wanted->count; i++) {
		char *path;

		r = mysql_copy_fits(db, wanted->tables[i].index, err);
		if (r == 0)
			r = mysql_copy_table(call->ctx, wanted->tables[i].dir, wanted->tables[i].index, wanted->tables[i].name, &path, err);
	}
	return r;
}

/* Does a grant name all of these? `where`: of a global one only, or of one for the database beside too. Rights that come by a role are not seen here. */
static bool is_granted(struct mysqldb *db, struct mysqldb_rows *grants, const char *const *rights, size_t count, const char *beside)
{
	for (size_t i = 0; i < grants->count; i++) {
		const char *grant = grants->list[i][0], *on = strstr(grant, " ON ");
		bool here = on &&
			(text_starts_with(on + 4, "*.*") || (beside && (strstr(on, "unship") || strstr(on, mysqldb_name(db, beside)))));
		size_t found = 0;

		for (size_t k = 0; here && k < count; k++)
			found += memmem(grant, (size_t)(on - grant), rights[k], strlen(rights[k])) != NULL;
		if (here && (found == count || text_starts_with(grant, "GRANT ALL PRIVILEGES")))
			return true;
	}
	return false;
}

/* The first view, routine, trigger or event that must be made again in the name of somebody else. NULL: none. */
static int foreign_definer(struct driver_call *call, struct mysqldb *db, const struct mysql_wanted *wanted, const char **ret,
	struct err *err)
{
	json_t *programs, *live = NULL, *program;
	const char *at;
	char *me, *mine;
	bool there;
	size_t i;
	int r;

	*ret = NULL;
	r = mysqldb_text(db, call->ctx, "SELECT CURRENT_USER()", &me, err);
	if (r == 0)
		r = mysql_facts_exists(db, db->database, &there, err);
	if (r == 0 && there)
		r = mysql_facts_programs(db, call->ctx, db->database, &live, err);
	if (r < 0)
		return r;
	at = strrchr(me, '@');
	mine = mem_printf(call->ctx, "DEFINER=%s@%s", mysqldb_name(call->ctx, mem_strndup(call->ctx, me, (size_t)(at - me))),
		mysqldb_name(call->ctx, at + 1));
	programs = wanted->index ? json_object_get(wanted->index, "programs") : live;
	json_array_foreach(programs, i, program) {
		bool trigger = strcmp(json_str(program, "kind", ""), "trigger") == 0;
		const char *create = json_str(program, "create", "");

		if ((trigger || !mysql_programs_have(live, program)) && strstr(create, "DEFINER=") && !strstr(create, mine) && !*ret)
			*ret = mem_printf(call->ctx, "%s '%s'", json_str(program, "kind", ""), json_str(program, "name", ""));
	}
	return 0;
}

/* What a restore needs beyond the rights of an application: databases of its own beside the one that is restored, and the right to make what others own. */
static void check_rights(struct driver_call *call, struct mysqldb *db, const struct mysql_wanted *wanted, struct findings *ret)
{
	static const char *const tables[] = { "CREATE", "DROP", "ALTER", "INSERT", "SELECT" };
	static const char *const names[] = { "SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER" };
	struct mysqldb_rows grants = { 0 };
	struct mysql_switch change;
	struct err why = ERR_INIT;
	const char *foreign = NULL;
	bool may, any = false;
	int r;

	mysql_switch_init(db, &change);
	r = mysqldb_select(db, call->ctx, "SHOW GRANTS FOR CURRENT_USER", &grants, &why);
	if (r == 0 && wanted)
		r = foreign_definer(call, db, wanted, &foreign, &why);
	if (r < 0) {
		findings_add(ret, "database_rights", false, SEVERITY_WARNING, call->name, NULL, "%s", why.text);
		return;
	}
	may = is_granted(db, &grants, tables, ARRAY_SIZE(tables), change.fresh);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		any = any || is_granted(db, &grants, &names[i], 1, NULL);
	if (!may)
		findings_add(ret, "database_rights", false, SEVERITY_WARNING, call->name, NULL,
			"no right is seen that lets this user make and fill the database %s", change.fresh);
	else if (foreign && !any)
		findings_add(ret, "database_rights", false, SEVERITY_WARNING, call->name, NULL,
			"%s is another user's, and no right is seen that lets this user make it again in that name (SET USER)", foreign);
	else
		findings_add(ret, "database_rights", true, SEVERITY_WARNING, call->name, NULL,
			"the user has the rights that a restore needs");
}

/* A server on this host says where its data is; the folder may be closed to us. */
static void check_space(struct driver_call *call, struct mysqldb *db, const struct mysql_wanted *wanted, struct findings *ret)
{
	const struct mysql_params *params = call->params;
	struct err ignored = ERR_INIT;
	uint64_t available, needed = 0;
	char *folder;

	for (size_t i = 0; i < wanted->count; i++)
		needed += 2 * (uint64_t)json_int(wanted->tables[i].entry, "size", 0);
	if (params->host || mysqldb_text(db, call->ctx, "SELECT @@datadir", &folder, &ignored) < 0 ||
		fs_free_bytes(folder, &available, &ignored) < 0)
		return;
	findings_add(ret, "disk_space", available >= needed, SEVERITY_ERROR, call->name, NULL, "%s: %s are needed, %s are free", folder,
		text_format_size(call->ctx, needed), text_format_size(call->ctx, available));
}

static void check_goal(struct driver_call *call, struct mysqldb *db, const struct database_goal *goal, struct findings *ret)
{
	struct mysql_wanted wanted;
	struct err why = ERR_INIT;
	int r;

	r = mysql_wanted_read(call, goal, &wanted, &why);
	if (r == 0)
		r = check_copies(call, db, &wanted, &why);
	findings_add(ret, "target_content", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
		r == 0 ? "the copy to restore from is sound" : why.text);
	if (r < 0)
		return;
	check_space(call, db, &wanted, ret);
	check_rights(call, db, &wanted, ret);
}

/* Tables that the server knows to be damaged, and what an interrupted restore left. */
static void check_live(struct driver_call *call, struct mysqldb *db, struct findings *ret)
{
	struct observation seen = { .state = "present" };
	struct err why = ERR_INIT;
	bool there = false;
	json_t *live;
	int r;

	r = mysql_facts_exists(db, db->database, &there, &why);
	if (r == 0 && there)
		r = mysql_facts_catalogue(db, call->ctx, db->database, &live, &why);
	if (r == 0)
		r = tell_unfinished(db, &seen, &why);
	/* A damaged database is a reason to restore, not against it. */
	findings_add(ret, "data_integrity", r == 0, database_is_to_restore(call) && r == -ERR_CORRUPT ? SEVERITY_WARNING : SEVERITY_ERROR,
		call->name, NULL, "%s",
		r < 0                                          ? why.text
			: strcmp(seen.state, "restoring") == 0 ? "a restore was interrupted; the next one goes on with it, or takes it back"
							       : "the database can be read");
}

static int mysql_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	_cleanup_(mysqldb_close) struct mysqldb *db = NULL;
	const struct mysql_params *params = call->params;
	const char *migration = json_str(call->target, "migration", NULL);
	struct database_goal goal;
	struct migration_database database;
	struct err why = ERR_INIT;
	int r = connect_to(call, &db, &why);

	findings_add(ret, "database_reachable", r == 0, SEVERITY_ERROR, call->name, NULL, "%s%s",
		r == 0 ? "the server answers: " : why.text, r == 0 ? mem_printf(call->ctx, "%s %s", mysqldb_flavor(db), db->version) : "");
	if (r < 0)
		return 0;
	check_live(call, db, ret);
	if (migration) {
		r = migration_place(call, &database, err);
		return r < 0 ? r : migration_check(call, &params->migrations, &database, migration, ret, err);
	}
	if (!database_is_to_restore(call))
		return 0;
	if (call->source_kept && !call->source_dir && !json_object_get(call->target, "tables")) {
		check_rights(call, db, NULL, ret);
		return 0;
	}
	r = database_read_goal(call, MYSQL_COPY_FILE, &goal, &why);
	if (r < 0)
		findings_add(ret, "target_content", false, SEVERITY_ERROR, call->name, NULL, "%s", why.text);
	else
		check_goal(call, db, &goal, ret);
	return 0;
}

/* ---- apply, capture, undo ---- */

static int restore_goal(struct driver_call *call, const struct database_goal *goal, json_t **ret_lost, struct err *err)
{
	_cleanup_(mysqldb_close) struct mysqldb *db = NULL;
	struct mysql_wanted wanted;
	int r;

	r = mysql_wanted_read(call, goal, &wanted, err);
	if (r == 0)
		r = connect_to(call, &db, err);
	return r < 0 ? r : mysql_restore(db, &wanted, ret_lost, err);
}

static int mysql_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	const struct mysql_params *params = call->params;
	struct migration_database database;
	struct database_goal goal;
	json_t *lost = NULL;
	int r;

	r = database_read_goal(call, MYSQL_COPY_FILE, &goal, err);
	if (r < 0)
		return r;
	if (goal.migration) {
		r = migration_place(call, &database, err);
		return r < 0 ? r : migration_go(call, &params->migrations, &database, goal.migration, ret_outputs, err);
	}
	r = restore_goal(call, &goal, &lost, err);
	json_put(ret_outputs, "lost", lost);
	return r == 0 && goal.dir ? migration_forget(call, err) : r;
}

static int mysql_capture(struct driver_call *call, struct err *err)
{
	_cleanup_(mysqldb_close) struct mysqldb *db = NULL;
	const struct mysql_params *params = call->params;
	int r;

	r = migration_capture(call, &params->migrations, err);
	if (r < 0 || (!call->run_id && !params->keep_at_record)) /* outside of a run: a deployment is being recorded */
		return r;
	r = connect_to(call, &db, err);
	return r < 0 ? r : mysql_copy_out(db, err);
}

static int mysql_undo(struct driver_call *call, struct err *err)
{
	const struct database_goal goal = { .dir = call->snapshot_dir };
	json_t *lost = NULL;
	int r = restore_goal(call, &goal, &lost, err);

	return r < 0 ? r : migration_forget(call, err);
}

/* ---- rehearsals ---- */

static const char *const address_members[] = { "url", "host", "port", "socket", "database", NULL };

/* Params that lead to the copy. */
static int params_of_copy(struct driver_call *call, struct mysql_params *ret, struct err *err)
{
	struct mysqldb_place place;
	char *name;
	int r;

	*ret = *(const struct mysql_params *)call->params;
	r = find_place(call, &place, err);
	if (r == 0)
		r = sandbox_database_name(call, place.database, &name, err);
	if (r < 0)
		return r;
	ret->database = name;
	return 0;
}

/* Does the text of a program say NAME. or `NAME`. anywhere? Letters are compared as the server may: without their case. */
static bool names_database(const char *text, const char *name)
{
	size_t size = strlen(name);

	for (const char *at = strcasestr(text, name); at; at = strcasestr(at + 1, name)) {
		bool quoted = at > text && at[-1] == '`' && at[size] == '`';
		char before = at > text ? at[-1] : ' ';

		if (quoted ? at[size + 1] == '.' : at[size] == '.' && !isalnum((unsigned char)before) && !strchr("_$.", before))
			return true;
	}
	return false;
}

/* What a view, routine, trigger or event says with the name of a database, it would do to the real one, from the copy as well. */
static int find_programs_that_lead_out(struct driver_call *call, struct err *err)
{
	_cleanup_(mysqldb_close) struct mysqldb *db = NULL;
	json_t *programs = NULL, *program;
	struct mysqldb_rows names = { 0 };
	bool there = false;
	size_t index;
	int r;

	r = connect_to(call, &db, err);
	if (r == 0)
		r = mysql_facts_exists(db, db->database, &there, err);
	if (r == 0 && there)
		r = mysql_facts_programs(db, call->ctx, db->database, &programs, err);
	if (r == 0)
		r = mysqldb_select(db, call->ctx,
			"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ('information_schema', 'performance_schema', 'sys')",
			&names, err);
	json_array_foreach(programs, index, program)
		for (size_t i = 0; r == 0 && i < names.count; i++)
			if (names_database(json_str(program, "create", ""), names.list[i][0]))
				r = err_set(err, ERR_UNSUPPORTED,
					"%s '%s' names the database '%s': in a copy it would work on the real one. `sandbox:` of the component can say where a copy stands",
					json_str(program, "kind", ""), json_str(program, "name", ""), names.list[i][0]);
	return r;
}

static int mysql_sandbox(struct driver_call *call, json_t **ret_config, struct err *err)
{
	struct mysql_params copy = *(const struct mysql_params *)call->params;
	static const char *const files[] = { "socket", "tlsCa", NULL };
	int r = 0;

	*ret_config = sandbox_config(call, NULL, NULL);
	sandbox_keep_files(call, *ret_config, files);
	if (!sandbox_stands_elsewhere(call, address_members)) {
		r = find_programs_that_lead_out(call, err);
		if (r == 0)
			r = params_of_copy(call, &copy, err);
		if (r == 0)
			r = sandbox_database_fill(call, &driver_mysql, &copy, err);
		if (r == 0)
			json_put_str(*ret_config, "database", copy.database);
	}
	if (r == 0)
		r = sandbox_migrations(call, copy.migrations.dir, *ret_config, err);
	sandbox_override(call, *ret_config);
	return r;
}

static int mysql_unsandbox(struct driver_call *call, struct err *err)
{
	struct mysql_params copy;
	int r;

	if (sandbox_stands_elsewhere(call, address_members))
		return 0;
	r = params_of_copy(call, &copy, err);
	return r < 0 ? r : sandbox_database_drop(call, &driver_mysql, &copy, err);
}

const struct driver driver_mysql = {
	.name = "mysql",
	.summary = "a MariaDB or MySQL database: the whole, or named tables",
	.kind = DRIVER_DATA,
	.fields = mysql_fields,
	.params_size = sizeof(struct mysql_params),
	.keeps = true,
	.observe = mysql_observe,
	.check = mysql_check,
	.apply = mysql_apply,
	.capture = mysql_capture,
	.undo = mysql_undo,
	.sandbox = mysql_sandbox,
	.unsandbox = mysql_unsandbox,
};
