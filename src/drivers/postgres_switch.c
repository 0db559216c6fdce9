/* Whole PostgreSQL databases: making, removing, and the restore by way of a second one (postgres_restore.h).
 *
 * Switching: a database NAME_unship_new is made like the old one and filled by pg_restore while the old one is in use. Then the tables of the old one are locked against writers, what is lost goes to the ledger, nobody may connect to it any
 * more, the connections to it are ended, and one transaction renames both: old to NAME_unship_old, new to NAME. The old one is removed. Killed before the renaming, the next call opens the old one again and removes the new one; killed after
 * it, the next call removes the old one. While it goes on a lock says so, for others would take its work for something left. One thread. */
#include "drivers/postgres_restore.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "data/json.h"

#define LOCK_SPACE     7238117 /* of the advisory lock, with a hash of the name of the database */
#define SUFFIX_NEW     "_unship_new"
#define SUFFIX_OLD     "_unship_old"
#define NAME_MAX_BYTES 63

static char *quoted_name(struct postgres *p, const char *suffix)
{
	return pg_quote(p->call->ctx, mem_printf(p->call->ctx, "%s%s", p->database, suffix));
}

static int is_there(struct postgres *p, struct pg *beside, const char *suffix, bool *ret, struct err *err)
{
	int64_t count;
	int r = pg_integer(beside,
		mem_printf(p->call->ctx, "SELECT count(*) FROM pg_database WHERE datname = %s",
			pg_quote_text(p->call->ctx, mem_printf(p->call->ctx, "%s%s", p->database, suffix))),
		"looking for databases", &count, err);

	if (r == 0)
		*ret = count > 0;
	return r;
}

static int drop(struct postgres *p, struct pg *beside, const char *suffix, struct err *err)
{
	return pg_run(beside, mem_printf(p->call->ctx, "DROP DATABASE IF EXISTS %s WITH (FORCE)", quoted_name(p, suffix)),
		"removing the database", err);
}

/* Encoding, collation and owner are those of the other; a template with rows of its own would be in the way. */
static int make_database(struct postgres *p, struct pg *beside, const char *name, const char *like, struct err *err)
{
	char *options;
	int r = 0;

	options = mem_strdup(p->call->ctx, "");
	if (like)
		r = pg_text(beside, p->call->ctx,
			mem_printf(p->call->ctx,
				"SELECT format(' ENCODING %%L LC_COLLATE %%L LC_CTYPE %%L OWNER %%I%%s CONNECTION LIMIT %%s', pg_encoding_to_char(d.encoding), d.datcollate,"
				" d.datctype, r.rolname, CASE WHEN t.spcname <> 'pg_default' THEN format(' TABLESPACE %%I', t.spcname) END, d.datconnlimit) FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba JOIN pg_tablespace t ON t.oid = d.dattablespace"
				" WHERE d.datname = %s",
				pg_quote_text(p->call->ctx, like)),
			"reading the database's properties", &options, err);
	if (r == 0)
		r = pg_run(beside,
			mem_printf(p->call->ctx, "CREATE DATABASE %s TEMPLATE template0%s", pg_quote(p->call->ctx, name), options),
			"making the database", err);
	return r;
}

/* Settings (ALTER DATABASE ... SET) and privileges of the old database. */
static int copy_properties(struct postgres *p, struct pg *beside, struct err *err)
{
	const char *old = pg_quote_text(p->call->ctx, p->database), *fresh = quoted_name(p, SUFFIX_NEW);
	struct pg_rows rows;
	int r;

	r = pg_select(beside, p->call->ctx,
		mem_printf(p->call->ctx,
			"SELECT format('ALTER DATABASE %%s SET %%I = %%s', $1::text, split_part(c, '=', 1), CASE WHEN split_part(c, '=', 1) IN ('search_path', 'temp_tablespaces',"
			" 'session_preload_libraries', 'local_preload_libraries') THEN substr(c, strpos(c, '=') + 1) ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END)"
			" FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c WHERE s.setrole = 0 AND d.datname = %s"
			" UNION ALL SELECT format('REVOKE ALL ON DATABASE %%s FROM PUBLIC', $1::text) FROM pg_database d WHERE d.datname = %s AND d.datacl IS NOT NULL"
			" UNION ALL SELECT format('GRANT %%s ON DATABASE %%s TO %%s%%s', a.privilege_type, $1::text, coalesce(quote_ident(r.rolname), 'PUBLIC'),"
			" CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee"
			" WHERE d.datname = %s",
			old, old, old),
		&fresh, 1, "reading the database's properties", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++)
		r = pg_run(beside, rows.list[i][0], "setting the database's properties", err);
	return r;
}

static int close_for_others(struct postgres *p, struct pg *beside, const char *suffix, bool closed, struct err *err)
{
	return pg_run(beside,
		mem_printf(p->call->ctx, "ALTER DATABASE %s ALLOW_CONNECTIONS %s", quoted_name(p, suffix), closed ? "false" : "true"),
		closed ? "closing the database" : "opening the database", err);
}

/* One switch, making or removal of a database at a time; it ends with the connection. */
static int lock_name(struct postgres *p, struct pg *beside, struct err *err)
{
	int r = pg_run(beside,
		mem_printf(p->call->ctx, "SELECT pg_advisory_lock(%d, hashtext(%s))", LOCK_SPACE, pg_quote_text(p->call->ctx, p->database)),
		"waiting for another restore", err);

	return r == -ERR_TIMEOUT ? err_as(err, ERR_CONFLICT) : r;
}

/* With the lock. */
static int clean_up(struct postgres *p, struct pg *beside, struct err *err)
{
	bool here, fresh, old;
	int r;

	r = is_there(p, beside, "", &here, err);
	if (r == 0)
		r = is_there(p, beside, SUFFIX_NEW, &fresh, err);
	if (r == 0)
		r = is_there(p, beside, SUFFIX_OLD, &old, err);
	if (r < 0)
		return r;
	if (fresh) {
		call_log(p->call, LOG_INFO, "removing %s%s, left by an interrupted restore", p->database, SUFFIX_NEW);
		r = drop(p, beside, SUFFIX_NEW, err);
		if (r == 0 && here)
			r = close_for_others(p, beside, "", false, err);
	}
	if (r == 0 && old && here) {
		call_log(p->call, LOG_INFO, "removing %s%s, left by an interrupted restore", p->database, SUFFIX_OLD);
		r = drop(p, beside, SUFFIX_OLD, err);
	}
	return r;
}

int postgres_clean_up(struct postgres *p, struct err *err)
{
	_cleanup_(pg_close) struct pg *beside = NULL;
	int r = postgres_connect_beside(p, &beside, err);

	if (r == 0)
		r = lock_name(p, beside, err);
	return r < 0 ? r : clean_up(p, beside, err);
}

/* Making and removing a database goes on in the server when who asked for it was killed: the lock is free when it is over. */
int postgres_make_missing(struct postgres *p, struct err *err)
{
	_cleanup_(pg_close) struct pg *beside = NULL;
	bool there = false;
	int r = postgres_connect_beside(p, &beside, err);

	if (r == 0)
		r = lock_name(p, beside, err);
	if (r == 0)
		r = is_there(p, beside, "", &there, err);
	if (r == 0 && !there)
		r = make_database(p, beside, p->database, NULL, err);
	FAILPOINT("postgres.database_made");
	return r;
}

int postgres_restore_absence(struct postgres *p, struct err *err)
{
	_cleanup_(pg_close) struct pg *beside = NULL;
	int r = postgres_connect_beside(p, &beside, err);

	if (r == 0)
		r = lock_name(p, beside, err);
	if (r == 0)
		r = clean_up(p, beside, err);
	if (r == 0)
		r = drop(p, beside, "", err);
	FAILPOINT("postgres.removed");
	return r;
}

static int fill(struct postgres *p, struct pg *beside, const char *dir, struct err *err)
{
	_cleanup_(pg_close) struct pg *pg = NULL;
	struct postgres fresh = *p;
	struct postgres_toc toc;
	char *copy, *lines;
	int r;

	fresh.database = fresh.place.database = mem_printf(p->call->ctx, "%s%s", p->database, SUFFIX_NEW);
	r = database_find_copy(p->call->ctx, dir, POSTGRES_COPY, &copy, err);
	if (r == 0)
		r = postgres_read_toc(p->call, copy, &toc, err);
	if (r == 0 && toc.server_version / 10000 > pg_server_version(beside) / 10000)
		r = err_set(err, ERR_REFUSED, "the copy was made from PostgreSQL %d, the server is %d", toc.server_version / 10000,
			pg_server_version(beside) / 10000);
	if (r == 0)
		r = make_database(p, beside, fresh.database, p->database, err);
	if (r == 0)
		r = postgres_connect(&fresh, &pg, err);
	if (r == 0)
		r = postgres_choose_lines(&fresh, pg, &toc, &lines, err);
	if (r == 0)
		r = postgres_restore_into(p->call, &fresh.place, copy, lines, err);
	if (r == 0)
		r = postgres_verify(&fresh, pg, dir, err);
	if (r == 0)
		r = pg_run(pg, "ANALYZE", "collecting statistics", err);
	FAILPOINT("postgres.copy_made");
	return r < 0 ? r : copy_properties(p, beside, err);
}

/* All but the one that holds the locks. */
static int end_connections(struct postgres *p, struct pg *old, struct pg *beside, struct err *err)
{
	int64_t ended, pid;
	int r = pg_integer(old, "SELECT pg_backend_pid()", "ending connections", &pid, err);

	if (r == 0)
		r = close_for_others(p, beside, "", true, err);
	if (r == 0)
		r = pg_integer(beside,
			mem_printf(p->call->ctx,
				"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s AND pid <> %lld",
				pg_quote_text(p->call->ctx, p->database), (long long)pid),
			"ending connections", &ended, err);
	if (r == 0)
		call_log(p->call, LOG_INFO, "%s to the database ended", text_count(p->call->ctx, (uint64_t)ended, "connection"));
	FAILPOINT("postgres.closed");
	return r;
}

/* Sessions that were ended may take a moment to go; renaming waits for that by itself, some seconds. */
static int rename_both(struct postgres *p, struct pg *beside, struct err *err)
{
	int r = pg_run(beside, "BEGIN", "switching", err);

	if (r == 0)
		r = pg_run(beside,
			mem_printf(p->call->ctx, "ALTER DATABASE %s RENAME TO %s", quoted_name(p, ""), quoted_name(p, SUFFIX_OLD)),
			"switching", err);
	if (r == 0)
		r = pg_run(beside,
			mem_printf(p->call->ctx, "ALTER DATABASE %s RENAME TO %s", quoted_name(p, SUFFIX_NEW), quoted_name(p, "")),
			"switching", err);
	if (r == 0)
		r = pg_run(beside, "COMMIT", "switching", err);
	FAILPOINT("postgres.switched");
	return r;
}

static int hand_over(struct postgres *p, struct pg **old, struct pg *beside, const char *dir, json_t **ret_lost, struct err *err)
{
	struct postgres_tables tables;
	int r;

	r = pg_run(*old, "BEGIN", "holding off those who write", err);
	if (r == 0)
		r = postgres_lock_tables(p, *old, "EXCLUSIVE", err);
	if (r == 0)
		r = postgres_tables(p->call->ctx, *old, p->scope, &tables, err);
	if (r == 0)
		r = postgres_write_ledger(p, *old, dir, NULL, &tables, ret_lost, err);
	if (r == 0)
		r = end_connections(p, *old, beside, err);
	pg_close(old);
	if (r == 0)
		r = rename_both(p, beside, err);
	return r < 0 ? r : drop(p, beside, SUFFIX_OLD, err);
}

static int restore_beside(struct postgres *p, struct pg *beside, const char *dir, json_t **ret_lost, bool *ret_missing, struct err *err)
{
	_cleanup_(pg_close) struct pg *old = NULL;
	struct err why = ERR_INIT;
	int r, same;

	r = clean_up(p, beside, err);
	if (r < 0)
		return r;
	r = postgres_connect(p, &old, &why);
	*ret_missing = r == -ERR_NOT_FOUND;
	if (r < 0) {
		*err = why;
		return r;
	}
	r = postgres_is_as_captured(p, old, dir, &same, err);
	if (r < 0 || same)
		return r;
	r = fill(p, beside, dir, err);
	return r < 0 ? r : hand_over(p, &old, beside, dir, ret_lost, err);
}

int postgres_restore_switch(struct postgres *p, const char *dir, json_t **ret_lost, struct err *err)
{
	_cleanup_(pg_close) struct pg *beside = NULL;
	struct err why = ERR_INIT;
	bool missing = false;
	int r;

	if (strlen(p->database) + strlen(SUFFIX_NEW) > NAME_MAX_BYTES)
		return err_set(err, ERR_UNSUPPORTED, "the name of the database is too long for `restore: switch`");
	r = postgres_connect_beside(p, &beside, err);
	if (r == 0)
		r = lock_name(p, beside, err);
	if (r < 0)
		return r;
	r = restore_beside(p, beside, dir, ret_lost, &missing, err);
	if (missing) {
		pg_close(&beside); /* and with it the lock */
		return postgres_restore_whole(p, dir, ret_lost, err);
	}
	if (r < 0) { /* an open database, and nothing beside it */
		pg_close(&beside);
		if (postgres_clean_up(p, &why) < 0)
			call_log(p->call, LOG_ERROR, "what the restore made could not be removed: %s", why.text);
	}
	return r;
}
