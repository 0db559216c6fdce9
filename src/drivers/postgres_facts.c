/* Facts about a PostgreSQL database, by its own catalogue (postgres_facts.h). What is large is put together by the server, as JSON; rows stream by as key and hash.
 * The session has an empty search path (net/postgres.h), so types and expressions name their schema. What belongs to an extension is no fact of the database's own. */
#include "drivers/postgres_facts.h"

#include "base/clock.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/database.h"

#define SCHEMA_MAX      (64u << 20)
#define ROW_MAX         (256u << 20)
#define COUNTED_AT_MOST "100000" /* rows of a table that are counted; of larger ones the estimate is told */

#define NAME_OF(alias) "CASE WHEN n.nspname = 'public' THEN " alias "::text ELSE n.nspname || '.' || " alias " END"
#define OWN(catalogue, oid) \
	"NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '" catalogue "'::regclass AND x.objid = " oid " AND x.deptype = 'e')"

char *postgres_scope(const void *ctx, const char *const *schemas)
{
	char *text;

	if (!schemas || !*schemas)
		return mem_strdup(ctx, "(n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')");
	text = mem_strdup(ctx, "n.nspname IN (");
	for (size_t i = 0; schemas[i]; i++)
		text = mem_appendf(text, "%s%s", i ? ", " : "", pg_quote_text(ctx, schemas[i]));
	return mem_append(text, ")");
}

/* ---- schema ---- */

#define RELATIONS \
	"WITH rel AS (SELECT c.oid, c.relkind, " NAME_OF( \
		"c.relname") " AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace" \
			     " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND %s AND " OWN("pg_class", "c.oid") ")"
#define COLUMNS \
	"(SELECT jsonb_object_agg(a.attname, jsonb_build_object('type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull," \
	" 'primaryKey', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = rel.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))," \
	" 'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END)" \
	" || CASE WHEN a.attgenerated <> '' THEN '{\"generated\": true}'::jsonb ELSE '{}' END" \
	" || CASE a.attidentity WHEN 'a' THEN '{\"identity\": \"always\"}'::jsonb WHEN 'd' THEN '{\"identity\": true}' ELSE '{}' END" \
	" || CASE WHEN a.attcollation <> t.typcollation THEN (SELECT jsonb_build_object('collation', l.collname) FROM pg_collation l" \
	" WHERE l.oid = a.attcollation) ELSE '{}' END" \
	" || CASE WHEN t.typtype = 'e' THEN jsonb_build_object('values', (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)" \
	" FROM pg_enum e WHERE e.enumtypid = t.oid)) ELSE '{}' END)" \
	" FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum" \
	" WHERE a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped)"
#define NAMES_OF(numbers, relation) \
	"(SELECT jsonb_agg(a.attname ORDER BY part.i) FROM unnest(" numbers ") WITH ORDINALITY part(number, i)" \
	" JOIN pg_attribute a ON a.attrelid = " relation " AND a.attnum = part.number)"
#define UNIQUES \
	"(SELECT jsonb_agg(" NAMES_OF("i.indkey[0:i.indnkeyatts - 1]", \
		"rel.oid") " ORDER BY i.indexrelid::regclass::text) FROM pg_index i WHERE i.indrelid = rel.oid AND i.indisunique AND NOT i.indisprimary" \
			   " AND i.indpred IS NULL AND i.indexprs IS NULL)"
#define CHECKS \
	"(SELECT jsonb_object_agg(k.conname, pg_get_expr(k.conbin, k.conrelid)) FROM pg_constraint k WHERE k.conrelid = rel.oid AND k.contype = 'c')"
#define FOREIGN_KEYS \
	"(SELECT jsonb_agg(jsonb_build_object('columns', " NAMES_OF("k.conkey", "k.conrelid") ", 'table', " NAME_OF( \
		"f.relname") ", 'references', " NAMES_OF("k.confkey", \
		"k.confrelid") ", 'onDelete', CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT'" \
			       " ELSE 'NO ACTION' END, 'onUpdate', CASE k.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT'" \
			       " WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END) ORDER BY k.conname) FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace n ON n.oid = f.relnamespace" \
			       " WHERE k.conrelid = rel.oid AND k.contype = 'f')"
#define INDEXES \
	"(SELECT jsonb_object_agg(c.relname, jsonb_build_object('unique', i.indisunique, 'columns', (SELECT jsonb_agg(pg_get_indexdef(i.indexrelid, k, true)" \
	" ORDER BY k) FROM generate_series(1, i.indnkeyatts) k)) || CASE WHEN to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' THEN '{\"nullsNotDistinct\": true}'::jsonb ELSE '{}' END" \
	" || CASE WHEN i.indpred IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('where', pg_get_expr(i.indpred, i.indrelid)) END) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = rel.oid)"

int postgres_schema(const void *ctx, struct pg *pg, const char *scope, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *query, *text;
	int r;

	query = mem_printf(work,
		RELATIONS
		"SELECT jsonb_build_object('tables', coalesce(jsonb_object_agg(rel.name, jsonb_build_object('columns', coalesce(" COLUMNS
		", '{}')) || jsonb_strip_nulls(jsonb_build_object('unique', " UNIQUES ", 'checks', " CHECKS ", 'foreignKeys', " FOREIGN_KEYS
		", 'indexes', " INDEXES ", 'view', CASE WHEN rel.relkind IN ('v', 'm') THEN true END))), '{}')) FROM rel",
		scope);
	r = pg_text(pg, work, query, "reading the schema", &text, err);
	if (r == 0)
		r = json_parse(ctx, text, strlen(text), SCHEMA_MAX, ret, err);
	return r < 0 ? err_in(err, "schema") : 0;
}

/* Without expressions of check constraints: PostgreSQL writes some of them in another way after they were restored once. */
static json_t *without_expressions(const void *ctx, json_t *schema)
{
	json_t *copy = json_keep(ctx, json_deep_copy(schema)), *table, *checks, *expression;
	const char *name, *check;

	json_object_foreach(json_object_get(copy, "tables"), name, table) {
		checks = json_object_get(table, "checks");
		json_object_foreach(checks, check, expression)
			(void)json_object_set_new(checks, check, json_null());
	}
	return copy;
}

#define FUNCTIONS \
	"(SELECT jsonb_object_agg(n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'," \
	" concat(md5(p.prosrc), pg_get_function_result(p.oid), p.prokind, p.provolatile))" \
	" FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE %s AND " OWN("pg_proc", "p.oid") ")"
#define TRIGGERS \
	"(SELECT jsonb_object_agg(n.nspname || '.' || c.relname || '.' || t.tgname, concat(t.tgfoid::regproc, t.tgtype, t.tgenabled))" \
	" FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND %s)"
#define TYPES \
	"(SELECT jsonb_object_agg(n.nspname || '.' || t.typname, concat(t.typtype, (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)" \
	" FROM pg_enum e WHERE e.enumtypid = t.oid))) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid" \
	" WHERE t.typtype IN ('e', 'd', 'r', 'c') AND (c.oid IS NULL OR c.relkind = 'c') AND %s AND " OWN("pg_type", "t.oid") ")"
#define SEQUENCES \
	"(SELECT jsonb_object_agg(n.nspname || '.' || c.relname, concat(s.seqstart, ' ', s.seqincrement)) FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid" \
	" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE %s AND " OWN("pg_class", "c.oid") ")"
#define POLICIES \
	"(SELECT jsonb_object_agg(n.nspname || '.' || c.relname || '.' || p.polname, concat(p.polcmd, p.polpermissive)) FROM pg_policy p" \
	" JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE %s)"

int postgres_fingerprint(const void *ctx, struct pg *pg, const char *scope, json_t *schema, char ret[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(ctx);
	char *text, *whole;
	json_t *others;
	int r;

	r = pg_text(pg, work,
		mem_printf(work,
			"SELECT jsonb_strip_nulls(jsonb_build_object('functions', " FUNCTIONS ", 'triggers', " TRIGGERS ", 'types', " TYPES
			", 'sequences', " SEQUENCES ", 'policies', " POLICIES "))",
			scope, scope, scope, scope, scope),
		"reading the schema", &text, err);
	if (r == 0)
		r = json_parse(work, text, strlen(text), SCHEMA_MAX, &others, err);
	if (r < 0)
		return err_in(err, "schema");
	whole = mem_append(json_canonical(work, without_expressions(work, schema)), json_canonical(work, others));
	hash_blake2b_hex(whole, strlen(whole), ret);
	return 0;
}

/* Where tools note what they have applied: the table, a column that it must have, and how the newest is read ("%s": the table). */
int postgres_migration(const void *ctx, struct pg *pg, const char *scope, char **ret, struct err *err)
{
	static const struct {
		const char *table, *column, *query;
	} tools[] = {
		{ "schema_migrations", "version", "SELECT max(version) FROM %s" },
		{ "databasechangelog", "orderexecuted", "SELECT id FROM %s ORDER BY orderexecuted DESC LIMIT 1" },
		{ "changes", "change_id", "SELECT change FROM %s ORDER BY committed_at DESC LIMIT 1" },
		{ "flyway_schema_history", "installed_rank",
			"SELECT version FROM %s WHERE success AND version IS NOT NULL ORDER BY installed_rank DESC LIMIT 1" },
		{ "alembic_version", "version_num", "SELECT max(version_num) FROM %s" },
	};
	_cleanup_talloc_ void *work = mem_context(NULL);
	char *table, *version = mem_strdup(work, "");
	int r = 0;

	for (size_t i = 0; r == 0 && !*version && i < ARRAY_SIZE(tools); i++) {
		r = pg_text(pg, work,
			mem_printf(work,
				"SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
				" JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relname = '%s' AND a.attname = '%s' AND c.relkind IN ('r', 'p')"
				" AND (%s OR n.nspname = 'sqitch') ORDER BY n.nspname <> 'public', n.nspname LIMIT 1",
				tools[i].table, tools[i].column, scope),
			"looking for migrations", &table, err);
		if (r == 0 && *table) {
			char **part = text_split(work, tools[i].query, '%');

			r = pg_text(pg, work, mem_printf(work, "%s %s%s", part[0], table, part[1] + 1), "reading the migration", &version,
				err);
		}
	}
	if (r == 0)
		*ret = mem_strdup(ctx, *version ? version : "0");
	return r;
}

int postgres_row_counts(const void *ctx, struct pg *pg, const char *scope, int64_t until_ms, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *counts = json_make(ctx, "{}");
	struct pg_rows rows;
	int r;

	r = pg_select(pg, work,
		mem_printf(work,
			"SELECT " NAME_OF(
				"c.relname") ", quote_ident(n.nspname) || '.' || quote_ident(c.relname), greatest(c.reltuples, 0)::bigint,"
					     " (c.reltuples > " COUNTED_AT_MOST " OR pg_relation_size(c.oid) > 100 * " COUNTED_AT_MOST
					     "), c.reltuples >= 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
					     " WHERE c.relkind = 'r' AND %s AND " OWN("pg_class", "c.oid") " ORDER BY 1",
			scope),
		NULL, 0, "counting rows", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		char **row = rows.list[i];
		struct err ignored = ERR_INIT;
		int64_t count;

		if (*row[3] == 't' || clock_mono_ms() >= until_ms) {
			if (*row[4] == 't' && text_parse_int(row[2], 0, INT64_MAX, &count, &ignored) == 0)
				json_put_int(counts, row[0], count);
			continue;
		}
		r = pg_integer(pg, mem_printf(work, "SELECT count(*) FROM ONLY %s", row[1]), "counting rows", &count, err);
		if (r == 0)
			json_put_int(counts, row[0], count);
	}
	if (r == 0)
		*ret = counts;
	return r;
}

/* ---- rows ---- */

#define KEY_OF(what, separator) \
	"(SELECT string_agg(" what ", '" separator \
	"' ORDER BY k.i) FROM pg_index x, unnest(x.indkey) WITH ORDINALITY k(number, i), pg_attribute a" \
	" WHERE x.indrelid = c.oid AND x.indisprimary AND a.attrelid = c.oid AND a.attnum = k.number)"

/* Integers as they are, everything else as its text, which leads back to the value whatever the type is. Numerics of a row become text too: JSON readers would round them. */
int postgres_tables(const void *ctx, struct pg *pg, const char *scope, struct postgres_tables *ret, struct err *err)
{
	struct pg_rows rows;
	int r;

	r = pg_select(pg, ctx,
		mem_printf(ctx,
			"SELECT " NAME_OF(
				"c.relname") ", n.nspname, c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname),"
					     " " KEY_OF("CASE WHEN a.atttypid IN (20, 21, 23) THEN format('unship_row.%%I', a.attname)"
							" ELSE format('unship_row.%%I::text', a.attname) END",
						     ", ") ","
							   " " KEY_OF(
								   "format('unship_row.%%I = (e.v->>%%s)::%%s', a.attname, k.i - 1, format_type(a.atttypid, a.atttypmod))",
								   " AND ") ","
									    " (SELECT format('jsonb_object(ARRAY[%%s]::text[], ARRAY[%%s]::text[])', string_agg(quote_literal(a.attname), ', ' ORDER BY a.attnum),"
									    " string_agg(format('unship_row.%%I::text', a.attname), ', ' ORDER BY a.attnum)) FROM pg_attribute a WHERE a.attrelid = c.oid"
									    " AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 1700)"
									    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND %s AND " OWN(
										    "pg_class", "c.oid") " ORDER BY n.nspname, c.relname",
			scope),
		NULL, 0, "reading the tables", &rows, err);
	if (r < 0)
		return r;
	*ret = (struct postgres_tables){ .list = mem_array(ctx, struct postgres_table, MAX(rows.count, (size_t)1)), .count = rows.count };
	for (size_t i = 0; i < rows.count; i++) {
		char **row = rows.list[i];

		ret->list[i] = (struct postgres_table){ .name = row[0], .schema = row[1], .bare = row[2], .sql = row[3], .match = row[5] };
		ret->list[i].key = row[4] ? mem_printf(ctx, "jsonb_build_array(%s)::text", row[4]) : NULL;
		ret->list[i].row = row[6] && !strstr(row[6], "ARRAY[]") ? mem_printf(ctx, "to_jsonb(unship_row) || %s", row[6])
									: "to_jsonb(unship_row)";
	}
	return 0;
}

const struct postgres_table *postgres_find_table(const struct postgres_tables *tables, const char *name)
{
	for (size_t i = 0; i < tables->count; i++)
		if (strcmp(tables->list[i].name, name) == 0)
			return &tables->list[i];
	return NULL;
}

/* The row as PostgreSQL writes it, with all columns in their order. */
#define ROW_HASH "encode(sha256(convert_to(unship_row::text, 'UTF8')), 'hex')"

static int add_row(void *user, char **cells, size_t count, struct err *err)
{
	return row_list_add(user, cells[0], count > 1 ? cells[1] : NULL, err);
}

int postgres_list_rows(const void *ctx, struct pg *pg, const struct postgres_table *table, const char *dir, int64_t *ret_rows,
	char ret_checksum[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_(row_list_abort) struct row_list *list = NULL;
	_cleanup_talloc_ char *query = NULL;
	int r;

	query = mem_printf(NULL, "COPY (SELECT %s%s" ROW_HASH " FROM ONLY %s AS unship_row) TO STDOUT", table->key ? table->key : "",
		table->key ? ", " : "", table->sql);
	r = row_list_open(ctx, dir, table->name, &list, err);
	if (r == 0)
		r = pg_copy_out(pg, query, "reading its rows", add_row, list, err);
	if (r == 0)
		r = row_list_close(take_pointer(list), ret_rows, ret_checksum, err);
	return r < 0 ? err_in(err, "table '%s'", table->name) : 0;
}

int postgres_list_all(struct driver_call *call, struct pg *pg, const struct postgres_tables *tables, const char *dir, json_t **ret,
	struct err *err)
{
	json_t *facts = json_make(call->ctx, "{}");
	int r = 0;

	for (size_t i = 0; r == 0 && i < tables->count; i++) {
		char checksum[HASH_HEX_SIZE];
		int64_t rows;

		r = postgres_list_rows(call->ctx, pg, &tables->list[i], dir, &rows, checksum, err);
		if (r == 0)
			database_put_facts(facts, tables->list[i].name, rows, checksum);
	}
	if (r == 0)
		*ret = facts;
	return r;
}

/* A list of texts as a JSON array; keys are JSON themselves where there is a primary key. */
static char *keys_json(const void *ctx, const struct postgres_table *table, const char *const *keys, size_t count)
{
	char *text = mem_strdup(ctx, "[");

	for (size_t i = 0; i < count; i++)
		text = mem_appendf(text, table->key ? "%s%s" : "%s\"%s\"", i ? "," : "", keys[i]);
	return mem_append(text, "]");
}

int postgres_find_rows(const void *ctx, struct pg *pg, const struct postgres_table *table, const char *const *keys, size_t count,
	postgres_row_handler handler, void *user, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(ctx);
	const char *parameters[] = { keys_json(work, table, keys, count) };
	struct pg_rows rows;
	char *query;
	int r;

	if (table->key)
		query = mem_printf(work,
			"SELECT %s, (%s)::text FROM jsonb_array_elements($1::jsonb) AS e(v) JOIN ONLY %s AS unship_row ON %s", table->key,
			table->row, table->sql, table->match);
	else
		query = mem_printf(work,
			"SELECT DISTINCT k, r FROM (SELECT " ROW_HASH " AS k, (%s)::text AS r FROM ONLY %s AS unship_row) AS unship_rows"
			" WHERE k IN (SELECT jsonb_array_elements_text($1::jsonb))",
			table->row, table->sql);
	r = pg_select(pg, work, query, parameters, 1, "reading changed rows", &rows, err);
	for (size_t i = 0; r == 0 && i < rows.count; i++) {
		json_t *row;

		r = json_parse(work, rows.list[i][1], strlen(rows.list[i][1]), ROW_MAX, &row, err);
		if (r == 0)
			r = handler(user, rows.list[i][0], row, err);
	}
	return r < 0 ? err_in(err, "table '%s'", table->name) : 0;
}
