/* The tools that take migrations back, one row each: where they note what is applied, how their program is told to go back. What is done with them stands in migration.c.
 *
 * What is applied is read by the driver's own connection, because that is what the database itself says, and costs no start of a program. Programs get the address without the password where they take it as an argument,
 * and the password by their environment. One thread per call. */
#include "drivers/migration_tools.h"

#include <ctype.h>

#include "base/fs.h"
#include "base/text.h"

/* ---- engines ---- */

static char *sqlite_exists(const void *ctx, const char *schema, const char *table, const char *stated)
{
	return mem_printf(ctx, "SELECT name FROM pragma_table_list WHERE schema = '%s' AND name = '%s' COLLATE NOCASE",
		*schema ? schema : "main", table);
}

static char *postgres_exists(const void *ctx, const char *schema, const char *table, const char *stated)
{
	return mem_printf(ctx, "SELECT 1 WHERE to_regclass('%s') IS NOT NULL", stated);
}

static char *mysql_exists(const void *ctx, const char *schema, const char *table, const char *stated)
{
	return mem_printf(ctx,
		"SELECT table_name FROM information_schema.tables WHERE table_schema = coalesce(nullif('%s', ''), database()) AND table_name = '%s'",
		schema, table);
}

static char *joined_bars(const void *ctx, const char *a, const char *text, const char *b)
{
	return mem_printf(ctx, "%s || '%s' || %s", a, text, b);
}

static char *joined_concat(const void *ctx, const char *a, const char *text, const char *b)
{
	return mem_printf(ctx, "concat(%s, '%s', %s)", a, text, b);
}

/* clang-format off */
static const struct migration_engine engines[] = {
	{ .name = "sqlite",   .quote = '"', .transactional = true,  .exists = sqlite_exists,   .joined = joined_bars },
	{ .name = "postgres", .quote = '"', .schema = "public", .transactional = true,  .exists = postgres_exists, .joined = joined_bars },
	{ .name = "mysql",    .quote = '`', .transactional = false, .exists = mysql_exists,    .joined = joined_concat },
};
/* clang-format on */

static bool is_engine(const struct migration_site *site, const char *name)
{
	return strcmp(site->engine->name, name) == 0;
}

static bool is_table_name(const char *name)
{
	for (const char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && *at != '_' && *at != '.')
			return false;
	return *name != 0;
}

/* A name that the user gave is meant as it is written; the tools write their own without quotes. */
static char *stated(const struct migration_site *site, const char *name)
{
	char quote = site->engine->quote;

	return site->params->table ? mem_printf(site->call->ctx, "%c%s%c", quote, name, quote) : mem_strdup(site->call->ctx, name);
}

int migration_table(const struct migration_site *site, const char *name, const char **ret, bool *ret_there, struct err *err)
{
	const void *ctx = site->call->ctx;
	const char *dot = strchr(name, '.'), *table = dot ? dot + 1 : name;
	const char *schema = dot ? mem_strndup(ctx, name, (size_t)(dot - name)) : site->engine->schema ? site->engine->schema : "";
	char **rows;
	int r;

	*ret = *schema ? mem_printf(ctx, "%s.%s", stated(site, schema), stated(site, table)) : stated(site, table);
	r = site->database->query(site->database->data, ctx, site->engine->exists(ctx, schema, table, *ret), &rows, err);
	if (r == 0)
		*ret_there = rows[0] != NULL;
	return r;
}

/* ---- what is applied ---- */

static int ask(const struct migration_site *site, const char *sql, char ***ret, size_t *ret_count, struct err *err)
{
	int r = site->database->query(site->database->data, site->call->ctx, sql, ret, err);

	*ret_count = 0;
	while (r == 0 && (*ret)[*ret_count])
		(*ret_count)++;
	return r;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(((const struct migration_applied *)a)->version, ((const struct migration_applied *)b)->version);
}

static int by_number(const void *a, const void *b)
{
	return migration_compare_numbers(((const struct migration_applied *)a)->version, ((const struct migration_applied *)b)->version);
}

/* One row each, in a column `version`. */
static int applied_rows(const struct migration_site *site, const char *table, int (*order)(const void *, const void *),
	struct migration_applied **ret, size_t *ret_count, struct err *err)
{
	char **rows;
	int r = ask(site, mem_printf(site->call->ctx, "SELECT version FROM %s", table), &rows, ret_count, err);

	if (r < 0)
		return r;
	*ret = mem_array(site->call->ctx, struct migration_applied, *ret_count + 1);
	for (size_t i = 0; i < *ret_count; i++)
		(*ret)[i] = (struct migration_applied){ .version = rows[i], .key = rows[i], .script = rows[i] };
	qsort(*ret, *ret_count, sizeof(**ret), order);
	return 0;
}

static int dbmate_applied(const struct migration_site *site, const struct migration_scripts *scripts, const char *table,
	struct migration_applied **ret, size_t *ret_count, struct err *err)
{
	return applied_rows(site, table, by_bytes, ret, ret_count, err);
}

static int sql_applied(const struct migration_site *site, const struct migration_scripts *scripts, const char *table,
	struct migration_applied **ret, size_t *ret_count, struct err *err)
{
	int r = applied_rows(site, table, by_number, ret, ret_count, err);

	for (size_t i = 0; r == 0 && i < *ret_count; i++)
		(*ret)[i].script = migration_number((*ret)[i].version);
	return r;
}

/* The table has one row, the newest; before it everything that the folder has. */
static int golang_applied(const struct migration_site *site, const struct migration_scripts *scripts, const char *table,
	struct migration_applied **ret, size_t *ret_count, struct err *err)
{
	char **rows;
	size_t count;
	int r = ask(site, mem_printf(site->call->ctx, "SELECT version FROM %s", table), &rows, &count, err);

	if (r < 0)
		return r;
	*ret = mem_array(site->call->ctx, struct migration_applied, scripts->count + 2);
	*ret_count = 0;
	if (count == 0 || rows[0][0] == '-') /* -1: everything was taken back */
		return 0;
	for (size_t i = 0; i < scripts->count && migration_compare_numbers(scripts->list[i].key, rows[0]) < 0; i++)
		(*ret)[(*ret_count)++].version = scripts->list[i].key;
	(*ret)[(*ret_count)++].version = rows[0];
	for (size_t i = 0; i < *ret_count; i++)
		(*ret)[i].script = (*ret)[i].key = (*ret)[i].version;
	return 0;
}

static char *literal(const void *ctx, const char *text)
{
	char *result = mem_strdup(ctx, "'");

	for (; *text; text++)
		result = mem_appendf(result, *text == '\'' ? "'%c" : "%c", *text);
	return mem_append(result, "'");
}

/* A change that was reworked is there a second time under the same name: "users", then "users:1a2b3c4d" with the beginning of its id. */
static int sqitch_applied(const struct migration_site *site, const struct migration_scripts *scripts, const char *table,
	struct migration_applied **ret, size_t *ret_count, struct err *err)
{
	const void *ctx = site->call->ctx;
	const char *project, *where = "";
	char **rows;
	int r = migration_sqitch_project(ctx, scripts->dir, &project, err);

	if (r == 0 && *project)
		where = mem_printf(ctx, " WHERE project = %s", literal(ctx, project));
	if (r == 0)
		r = ask(site,
			mem_printf(ctx, "SELECT %s FROM %s%s ORDER BY committed_at, planned_at",
				site->engine->joined(ctx, "change_id", " ", "change"), table, where),
			&rows, ret_count, err);
	if (r < 0)
		return r;
	*ret = mem_array(ctx, struct migration_applied, *ret_count + 1);
	for (size_t i = 0; i < *ret_count; i++) {
		const char *blank = strchr(rows[i], ' '), *name = blank ? blank + 1 : rows[i];
		int again = 1;

		for (size_t k = 0; k < i; k++)
			again += strcmp(strchr(rows[k], ' ') + 1, name) == 0;
		(*ret)[i] = (struct migration_applied){
			.version = again == 1 ? name : mem_printf(ctx, "%s:%.8s", name, rows[i]),
			.script = again == 1 ? name : mem_printf(ctx, "%s#%d", name, again),
			.key = mem_strndup(ctx, rows[i], strcspn(rows[i], " ")),
		};
	}
	return 0;
}

static int liquibase_applied(const struct migration_site *site, const struct migration_scripts *scripts, const char *table,
	struct migration_applied **ret, size_t *ret_count, struct err *err)
{
	const void *ctx = site->call->ctx;
	const char *name = site->engine->joined(ctx, site->engine->joined(ctx, "filename", "::", "author"), ":", "id");
	char **rows;
	int r = ask(site, mem_printf(ctx, "SELECT %s FROM %s ORDER BY dateexecuted, orderexecuted", name, table), &rows, ret_count, err);

	if (r < 0)
		return r;
	*ret = mem_array(ctx, struct migration_applied, *ret_count + 1);
	for (size_t i = 0; i < *ret_count; i++) {
		char *parts = strstr(rows[i], "::"), *version = parts ? parts + 2 : rows[i];

		if (parts)
			*parts = 0;
		(*ret)[i] =
			(struct migration_applied){ .version = version, .key = version, .script = version, .file = parts ? rows[i] : NULL };
	}
	return 0;
}

/* ---- what is half done ---- */

static int golang_half(const struct migration_site *site, const char *table, const char **ret, struct err *err)
{
	char **rows;
	size_t count;
	int r = ask(site, mem_printf(site->call->ctx, "SELECT version FROM %s WHERE dirty", table), &rows, &count, err);

	*ret = r == 0 && count
		? mem_printf(site->call->ctx,
			  "golang-migrate has noted that a migration to or from %s was interrupted (dirty): look how far it got, "
			  "put it right, and tell it with `migrate force VERSION`",
			  rows[0])
		: NULL;
	return r;
}

static int liquibase_half(const struct migration_site *site, const char *table, const char **ret, struct err *err)
{
	const char *lock = "DATABASECHANGELOGLOCK";
	char **rows;
	size_t count;
	bool there;
	int r = migration_table(site, lock, &lock, &there, err);

	*ret = NULL;
	if (r < 0 || !there)
		return r;
	r = ask(site,
		mem_printf(site->call->ctx, "SELECT coalesce(lockedby, 'somebody') FROM %s WHERE locked%s", lock,
			is_engine(site, "postgres") ? "" : " = 1"),
		&rows, &count, err);
	if (r == 0 && count)
		*ret = mem_printf(site->call->ctx,
			"liquibase's lock is held by %s: another one is at work, or one was ended in the middle; when none is, look how far it got, "
			"put it right, and run `liquibase release-locks`",
			rows[0]);
	return r;
}

/* ---- going back ---- */

static const char *encoded_path(const void *ctx, const char *path)
{
	char **parts = text_split(ctx, path, '/'), *result = mem_strdup(ctx, "");

	for (; *parts; parts++)
		result = mem_appendf(result, "/%s", text_url_encode(ctx, *parts));
	return result;
}

static bool is_socket(const struct migration_database *database)
{
	return database->host && *database->host == '/';
}

static bool is_local(const struct migration_database *database)
{
	const char *host = database->host;

	return !host || *host == '/' || strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || text_starts_with(host, "127.");
}

/* SCHEME://USER[:PASSWORD]@HOST[:PORT]/NAME[?QUERY] */
static char *make_url(const struct migration_site *site, const char *scheme, bool with_password, const char *socket_member)
{
	const struct migration_database *db = site->database;
	const void *ctx = site->call->ctx;
	char *url = mem_printf(ctx, "%s://", scheme), mark = '?';
	/* libpq takes what it gets; the drivers of these tools insist on encryption, which a server on the same machine rarely has. */
	const char *ssl_mode = db->ssl_mode || !is_local(db) ? db->ssl_mode : "disable";

	if (db->user)
		url = mem_append(url, text_url_encode(ctx, db->user));
	if (with_password && db->password)
		url = mem_appendf(url, ":%s", text_url_encode(ctx, db->password));
	if (db->user || (with_password && db->password))
		url = mem_append(url, "@");
	if (!is_socket(db))
		url = mem_append(url, db->host ? (strchr(db->host, ':') ? mem_printf(ctx, "[%s]", db->host) : db->host) : "localhost");
	if (!is_socket(db) && db->port)
		url = mem_appendf(url, ":%d", db->port);
	url = mem_appendf(url, "/%s", text_url_encode(ctx, db->name ? db->name : ""));
	if (is_socket(db)) {
		url = mem_appendf(url, "?%s=%s", socket_member, text_url_encode(ctx, db->host));
		mark = '&';
		if (db->port && is_engine(site, "postgres"))
			url = mem_appendf(url, "&port=%d", db->port);
	}
	if (ssl_mode && is_engine(site, "postgres"))
		url = mem_appendf(url, "%csslmode=%s", mark, text_url_encode(ctx, ssl_mode));
	return url;
}

/* The tls parameter of Go's driver for MySQL, after `mark`; "" when nothing is encrypted. */
static char *go_tls(const struct migration_site *site, char mark)
{
	const char *mode = is_engine(site, "mysql") && site->database->ssl_mode ? site->database->ssl_mode : "off";

	return strcmp(mode, "off") == 0
		? mem_strdup(site->call->ctx, "")
		: mem_printf(site->call->ctx, "%ctls=%s", mark, strcmp(mode, "verified") == 0 ? "true" : "skip-verify");
}

/* The same for those of Java, whose parameter of the mode is like libpq's for PostgreSQL. */
static char *java_tls(const struct migration_site *site, char mark)
{
	const struct migration_database *db = site->database;
	const void *ctx = site->call->ctx;
	bool mysql = is_engine(site, "mysql");
	char *text = mem_strdup(ctx, "");

	if (mysql && db->ssl_mode && strcmp(db->ssl_mode, "off") != 0)
		text = mem_appendf(text, "%csslMode=%s", mark, strcmp(db->ssl_mode, "verified") == 0 ? "verify-full" : "trust");
	if (db->ssl_ca && (*text || !mysql))
		text = mem_appendf(text, "%c%s=%s", *text ? '&' : mark, mysql ? "serverSslCert" : "sslrootcert",
			text_url_encode(ctx, db->ssl_ca));
	return text;
}

/* Where libpq and what is made after it, and Go's own library, find the certificates. */
static void put_ca(const struct migration_site *site, struct env *env)
{
	if (site->database->ssl_ca)
		env_put(env, is_engine(site, "mysql") ? "SSL_CERT_FILE" : "PGSSLROOTCERT", site->database->ssl_ca);
}

static const char **say(const char **argv, const char *word)
{
	*argv++ = word;
	*argv = NULL;
	return argv;
}

static int dbmate_back(const struct migration_site *site, const char *dir, const struct migration_applied *previous, size_t count,
	const char **argv, struct env *env, struct err *err)
{
	const void *ctx = site->call->ctx;
	char *url;

	if (is_engine(site, "sqlite"))
		url = mem_printf(ctx, "sqlite:%s", encoded_path(ctx, site->database->path));
	else
		url = make_url(site, site->engine->name, true, is_engine(site, "mysql") ? "socket" : "host");
	env_put(env, "DATABASE_URL", mem_append(url, go_tls(site, strchr(url, '?') ? '&' : '?')));
	put_ca(site, env);
	env_put(env, "DBMATE_MIGRATIONS_DIR", dir);
	env_put(env, "DBMATE_MIGRATIONS_TABLE", site->params->table ? site->params->table : site->tool->table);
	env_put(env, "DBMATE_NO_DUMP_SCHEMA", "true");
	say(argv, "rollback");
	return 0;
}

/* libpq reads the rest of the address from the environment, for psql as well. */
static int sqitch_back(const struct migration_site *site, const char *dir, const struct migration_applied *previous, size_t count,
	const char **argv, struct env *env, struct err *err)
{
	const struct migration_database *db = site->database;
	const void *ctx = site->call->ctx;

	env_put(env, "PGHOST", db->host ? db->host : "localhost");
	if (db->port)
		env_put(env, "PGPORT", mem_printf(ctx, "%d", db->port));
	if (db->user)
		env_put(env, "PGUSER", db->user);
	if (db->password)
		env_put(env, "PGPASSWORD", db->password);
	if (db->ssl_mode)
		env_put(env, "PGSSLMODE", db->ssl_mode);
	put_ca(site, env);
	/* Who reverted, in sqitch's own log. */
	env_put(env, "SQITCH_FULLNAME", "unship");
	env_put(env, "SQITCH_EMAIL", "unship@localhost");
	argv = say(argv, "revert");
	argv = say(argv, "--target");
	argv = say(argv, mem_printf(ctx, "db:pg:%s", text_url_encode(ctx, db->name ? db->name : "")));
	if (previous) {
		argv = say(argv, "--to");
		argv = say(argv, previous->key);
	}
	say(argv, "-y");
	return 0;
}

static int liquibase_back(const struct migration_site *site, const char *dir, const struct migration_applied *previous, size_t count,
	const char **argv, struct env *env, struct err *err)
{
	const struct migration_database *db = site->database;
	const void *ctx = site->call->ctx;
	struct migration_database open = *db;
	struct migration_site without = *site;
	char *url;

	if (is_socket(db))
		return err_set(err, ERR_INVALID,
			"liquibase reaches databases by TCP only: give the database a host instead of the socket %s", db->host);
	/* User and password are members of their own. */
	open.user = NULL;
	without.database = &open;
	url = is_engine(site, "sqlite")
		? mem_printf(ctx, "jdbc:sqlite:%s", db->path)
		: mem_printf(ctx, "jdbc:%s", make_url(&without, is_engine(site, "mysql") ? "mariadb" : "postgresql", false, "host"));
	env_put(env, "LIQUIBASE_COMMAND_URL", mem_append(url, java_tls(site, strchr(url, '?') ? '&' : '?')));
	if (db->user)
		env_put(env, "LIQUIBASE_COMMAND_USERNAME", db->user);
	if (db->password)
		env_put(env, "LIQUIBASE_COMMAND_PASSWORD", db->password);
	if (site->params->table)
		env_put(env, "LIQUIBASE_DATABASE_CHANGELOG_TABLE_NAME", site->params->table);
	if (getenv("JAVA_HOME"))
		env_put(env, "JAVA_HOME", getenv("JAVA_HOME"));
	env_put(env, "LIQUIBASE_SEARCH_PATH", dir);
	env_put(env, "LIQUIBASE_COMMAND_CHANGELOG_FILE", site->params->changelog);
	env_put(env, "LIQUIBASE_SHOW_BANNER", "false");
	env_put(env, "LIQUIBASE_ANALYTICS_ENABLED", "false");
	argv = say(argv, "rollback-count");
	say(argv, mem_printf(ctx, "--count=%zu", count));
	return 0;
}

/* Its address is an argument, which everybody on the machine can read. libpq's successors take the password from the environment. */
static int golang_back(const struct migration_site *site, const char *dir, const struct migration_applied *previous, size_t count,
	const char **argv, struct env *env, struct err *err)
{
	const struct migration_database *db = site->database;
	const void *ctx = site->call->ctx;
	const char *url;

	if (db->password && is_engine(site, "mysql"))
		return err_set(err, ERR_INVALID,
			"golang-migrate takes the address of a MySQL database as an argument, with the password in it, where everybody could read it: "
			"use a user who needs none, or tool `sql`");
	if (is_engine(site, "sqlite"))
		url = mem_printf(ctx, "sqlite3://%s", encoded_path(ctx, db->path));
	else if (is_engine(site, "mysql"))
		url = mem_printf(ctx, "mysql://%s@%s(%s%s)/%s", db->user ? db->user : "", is_socket(db) ? "unix" : "tcp",
			db->host ? db->host : "localhost", db->port && !is_socket(db) ? mem_printf(ctx, ":%d", db->port) : "", db->name);
	else
		url = make_url(site, "postgres", false, "host");
	url = mem_printf(ctx, "%s%s", url, go_tls(site, strchr(url, '?') ? '&' : '?'));
	put_ca(site, env);
	if (db->password)
		env_put(env, "PGPASSWORD", db->password);
	if (site->params->table)
		url = mem_printf(ctx, "%s%cx-migrations-table=%s", url, strchr(url, '?') ? '&' : '?', site->params->table);
	for (const char *const *word = (const char *const[]){ "-path", dir, "-database", url, "down", NULL }; *word; word++)
		argv = say(argv, *word);
	say(argv, mem_printf(ctx, "%zu", count));
	return 0;
}

/* ---- the table ---- */

static const struct migration_tool tools[] = {
	{
		.name = "dbmate",
		.program = "dbmate",
		.table = "schema_migrations",
		.dir = "db/migrations",
		.read = migration_read_dbmate,
		.applied = dbmate_applied,
		.back = dbmate_back,
	},
	{
		.name = "sqitch",
		.program = "sqitch",
		.table = "sqitch.changes",
		.dir = ".",
		.engines = "postgres",
		.read = migration_read_sqitch,
		.applied = sqitch_applied,
		.back = sqitch_back,
	},
	{
		.name = "liquibase",
		.program = "liquibase",
		.table = "DATABASECHANGELOG",
		.dir = ".",
		.whole = true,
		.needs_changelog = true,
		.read = migration_read_liquibase,
		.applied = liquibase_applied,
		.back = liquibase_back,
		.half = liquibase_half,
		.dry_run = "rollback-count-sql",
	},
	{
		.name = "golang-migrate",
		.program = "migrate",
		.table = "schema_migrations",
		.dir = "migrations",
		.tells_half = true,
		.read = migration_read_numbered,
		.applied = golang_applied,
		.back = golang_back,
		.half = golang_half,
	},
	{
		.name = "sql",
		.table = "unship_migrations",
		.dir = "migrations",
		.read = migration_read_numbered,
		.applied = sql_applied,
	},
};

const struct migration_tool *migration_tool(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
		if (strcmp(tools[i].name, name) == 0)
			return &tools[i];
	return NULL;
}

int migration_site(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	struct migration_site *ret, struct err *err)
{
	struct migration_site site = { .call = call, .params = params, .database = database, .tool = migration_tool(params->tool) };

	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		if (database && strcmp(engines[i].name, database->engine) == 0)
			site.engine = &engines[i];
	assert_always(site.tool && (site.engine || !database));
	if (database && site.tool->engines && strcmp(site.tool->engines, database->engine) != 0)
		return err_set(err, ERR_INVALID,
			"migrations: %s notes what is applied outside of a database of this kind (%s), where it is not captured with it; use another tool",
			site.tool->name, database->engine);
	if (site.tool->needs_changelog && !params->changelog)
		return err_set(err, ERR_INVALID, "migrations: %s needs `changelog`, the file that its changelog begins with",
			site.tool->name);
	if (params->table && !is_table_name(params->table))
		return err_set(err, ERR_INVALID, "migrations: table '%s' is not a name of letters, digits, _ and .", params->table);
	*ret = site;
	return 0;
}
