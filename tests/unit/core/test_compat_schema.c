/* compat_schema.c and its parts: every rule with what passes it and what does not, per engine, and the witness. */
#include "compat_given.h"

static struct findings *tables(void *ctx, const char *engine, const char *live, const char *target)
{
	return check(ctx,
		mem_printf(ctx,
			"live: {db: {engine: '%s', schema: {tables: {%s}}}}\ntarget: {db: {engine: '%s', schema: {tables: {%s}}}}\nreturning: [code]\n",
			engine, live, engine, target));
}

/* Columns of one table of a database whose data stays. */
static struct findings *columns(void *ctx, const char *engine, const char *live, const char *target)
{
	return tables(ctx, engine, mem_printf(ctx, "users: {columns: {%s}}", live), mem_printf(ctx, "users: {columns: {%s}}", target));
}

static const char *rule_of(const struct finding *finding)
{
	return finding->passed ? "" : json_str(finding->evidence, "rule", "?");
}

/* The rules that had something to say, with commas, in their order; "" when it passed. */
static char *rules_of(void *ctx, const struct findings *findings)
{
	char *text = mem_strdup(ctx, "");

	for (size_t i = 0; i < count_of(findings, "schema_compatibility"); i++)
		text = mem_appendf(text, "%s%s", i ? "," : "", rule_of(find(findings, "schema_compatibility", i)));
	return text;
}

static enum compat_verdict verdict(void *ctx, const char *engine, const char *live, const char *target)
{
	return compat_schema_verdict(given(ctx, mem_printf(ctx, "{engine: '%s', schema: {tables: {%s}}}", engine, live)),
		given(ctx, mem_printf(ctx, "{engine: '%s', schema: {tables: {%s}}}", engine, target)));
}

static void expect_rules(void *ctx, const struct findings *findings, const char *rules, const char *live, const char *target)
{
	char *said = rules_of(ctx, findings);

	if (strcmp(said, rules) != 0)
		fail_msg("%s against %s: '%s' instead of '%s'", live, target, said, rules);
}

/* One column 'n' that has one type now and had another. */
static void types(void **state)
{
	/* clang-format off */
	static const struct {
		const char *engine, *live, *target, *rules;
	} cases[] = {
		/* An engine that has no rules of its own. */
		{ "", "INTEGER", "INTEGER", "" }, { "", "varchar ( 100 )", "VARCHAR(100)", "" }, { "", "INT(11)", "integer", "" }, { "", "geometry", "GEOMETRY", "" },
		{ "", "INTEGER", "TEXT", "type_narrower" }, { "", "VARCHAR(50)", "VARCHAR(100)", "type_narrower" }, { "", "VARCHAR(50)", "TEXT", "type_narrower" },
		{ "", "SMALLINT", "BIGINT", "type_narrower" }, { "", "BOOLEAN", "INTEGER", "type_narrower" }, { "", "INTEGER", "REAL", "type_narrower" },
		{ "", "REAL", "DOUBLE PRECISION", "type_narrower" }, { "", "DECIMAL(10,2)", "DECIMAL(12,2)", "type_narrower" }, { "", "DECIMAL(10,2)", "DECIMAL(10,4)", "type_changed" },
		{ "", "DECIMAL(12,4)", "DECIMAL(12,2)", "type_narrower" }, { "", "TIMESTAMP", "TEXT", "type_narrower" }, { "", "VARCHAR(100)", "VARCHAR(50)", "type_wider" },
		{ "", "TEXT", "VARCHAR(50)", "type_wider" }, { "", "TEXT", "INTEGER", "type_changed" }, { "", "BIGINT", "INTEGER", "type_wider" },
		{ "", "DECIMAL(14,4)", "DECIMAL(12,2)", "type_wider" }, { "", "geometry", "geography", "type_changed" },
		/* PostgreSQL: families are not compared with each other. */
		{ "postgres", "character varying(50)", "character varying(20)", "type_wider" }, { "postgres", "character varying(20)", "text", "type_narrower" }, { "postgres", "text", "integer", "type_narrower" },
		{ "postgres", "numeric(7,2)", "numeric(5,2)", "type_wider" }, { "postgres", "numeric(5,1)", "numeric(5,2)", "type_changed" }, { "postgres", "numeric(4,1)", "numeric(5,2)", "type_narrower" },
		{ "postgres", "numeric", "numeric(5,2)", "type_wider" }, { "postgres", "numeric(5,2)", "numeric", "type_narrower" }, { "postgres", "bigint", "integer", "type_wider" },
		{ "postgres", "numeric", "integer", "type_changed" }, { "postgres", "double precision", "bigint", "type_changed" }, { "postgres", "double precision", "numeric", "type_narrower" },
		{ "postgres", "timestamp with time zone", "timestamp without time zone", "type_changed" }, { "postgres", "timestamp(0) without time zone", "timestamp without time zone", "type_changed" },
		{ "postgres", "date", "timestamp without time zone", "type_changed" }, { "postgres", "time without time zone", "date", "type_narrower" }, { "postgres", "character(3)", "character varying(3)", "type_changed" },
		{ "postgres", "jsonb", "json", "type_changed" }, { "postgres", "json", "jsonb", "type_narrower" }, { "postgres", "integer[]", "integer", "type_narrower" }, { "postgres", "uuid", "text", "type_narrower" },
		{ "postgres", "citext", "citext", "" }, { "postgres", "citext", "text", "type_narrower" },
		/* MySQL in strict mode: a sign costs a bit, texts are counted in bytes or characters. */
		{ "mysql", "int(10) unsigned", "int(11)", "type_narrower" }, { "mysql", "int(11)", "int(10) unsigned", "type_narrower" }, { "mysql", "bigint(20)", "int(10) unsigned", "type_wider" },
		{ "mysql", "bigint(20) unsigned", "int(10) unsigned", "type_wider" }, { "mysql", "tinytext", "varchar(63)", "type_wider" }, { "mysql", "tinytext", "varchar(64)", "type_narrower" },
		{ "mysql", "varchar(255)", "tinytext", "type_wider" }, { "mysql", "text", "mediumtext", "type_narrower" }, { "mysql", "longtext", "text", "type_wider" }, { "mysql", "varchar(20)", "int(11)", "type_changed" },
		{ "mysql", "varchar(5)", "int(11)", "type_narrower" }, { "mysql", "datetime", "timestamp", "type_changed" }, { "mysql", "timestamp", "datetime", "type_narrower" }, { "mysql", "date", "datetime", "type_changed" },
		{ "mysql", "enum('a','b')", "enum('a')", "type_narrower" }, { "mysql", "bit(4)", "bit(8)", "type_narrower" }, { "mysql", "decimal(10,0)", "decimal", "" }, { "mysql", "blob", "text", "type_changed" },
		{ "mysql", "text", "blob", "type_narrower" }, { "mysql", "boolean", "tinyint(1)", "" }, { "mysql", "decimal(12,2) unsigned", "decimal(10,2)", "type_narrower" },
		/* SQLite: a column takes everything, converted to its affinity. */
		{ "sqlite", "VARCHAR(5)", "VARCHAR(50)", "" }, { "sqlite", "TEXT", "VARCHAR(50)", "" }, { "sqlite", "SMALLINT", "BIGINT", "" }, { "sqlite", "INTEGER", "TEXT", "type_changed" },
		{ "sqlite", "DATETIME", "DECIMAL(10,2)", "" }, { "sqlite", "REAL", "INTEGER", "type_changed" }, { "sqlite", "", "BLOB", "" },
		/* Of two engines the stricter reading. */
		{ "oracle", "VARCHAR(5)", "VARCHAR(50)", "type_narrower" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		const char *live = mem_printf(ctx, "n: {type: \"%s\"}", cases[i].live);
		const char *target = mem_printf(ctx, "n: {type: \"%s\"}", cases[i].target);

		expect_rules(ctx, columns(ctx, cases[i].engine, live, target), cases[i].rules, live, target);
	}
}

static void columns_and_defaults(void **state)
{
	/* clang-format off */
	static const struct {
		const char *engine, *live, *target, *rules;
	} cases[] = {
		{ "", "id: {type: INT}, email: {type: TEXT}", "id: {type: INT}", "column_new" },
		{ "", "id: {type: INT}, n: {type: TEXT, notNull: true, default: \"''\"}", "id: {type: INT}", "column_new" },
		{ "", "id: {type: INT}, n: {type: INT, notNull: true, identity: true}", "id: {type: INT}", "column_new" },
		{ "", "id: {type: INT, notNull: true}, n: {type: INT, notNull: true, generated: true}", "id: {type: INT, notNull: true}", "column_new" },
		{ "", "id: {type: INT}, n: {type: INT, notNull: true, generated: true}", "id: {type: INT}", "column_required" },
		{ "", "id: {type: INT}, n: {type: TEXT, notNull: true, default: null}", "id: {type: INT}", "column_required" },
		{ "mysql", "id: {type: int}, n: {type: \"enum('a')\", notNull: true}", "id: {type: int}", "column_new" },
		{ "", "id: {type: INT}", "id: {type: INT}, email: {type: TEXT}", "column_missing" },
		{ "", "n: {type: TEXT, notNull: true}", "n: {type: TEXT}", "not_null" },
		{ "", "n: {type: TEXT, notNull: true, default: x}", "n: {type: TEXT}", "not_null,default_changed" },
		{ "", "n: {type: INT, notNull: true}", "n: {type: INT, primaryKey: true}", "default_dropped,unique_dropped,primary_key" },
		{ "", "n: {type: TEXT}", "n: {type: TEXT, notNull: true}", "nullable" },
		{ "", "n: {type: TEXT, notNull: true}", "n: {type: TEXT, notNull: true, default: x}", "default_dropped" },
		{ "", "n: {type: TEXT}", "n: {type: TEXT, default: x}", "default_changed" },
		{ "", "n: {type: TEXT, default: y}", "n: {type: TEXT, default: x}", "default_changed" },
		{ "postgres", "n: {type: text, default: \"'a'::text\"}", "n: {type: character varying(5), default: \"'a'::character varying\"}", "type_wider" },
		{ "postgres", "n: {type: text, default: \"'b'::text\"}", "n: {type: text, default: \"'a'::text\"}", "default_changed" },
		{ "postgres", "n: {type: integer, notNull: true, identity: true}", "n: {type: integer, notNull: true, default: \"nextval('s'::regclass)\"}", "" },
		{ "postgres", "n: {type: integer, notNull: true, identity: always}", "n: {type: integer, notNull: true, default: \"nextval('s'::regclass)\"}", "computed" },
		{ "postgres", "n: {type: integer, notNull: true, identity: true}", "n: {type: integer, notNull: true, identity: always}", "" },
		{ "postgres", "n: {type: integer, generated: true}", "n: {type: integer}", "computed" },
		{ "postgres", "n: {type: integer}", "n: {type: integer, generated: true}", "computed_no_longer" },
		{ "sqlite", "n: {type: INT, primaryKey: true}", "n: {type: INTEGER, primaryKey: true, identity: true}", "default_dropped" },
		{ "sqlite", "n: {type: INTEGER, primaryKey: true, identity: true}", "n: {type: TEXT, primaryKey: true}", "type_narrower" },
		{ "sqlite", "Name: {type: TEXT}", "name: {type: TEXT}", "" }, { "mysql", "Name: {type: text}", "name: {type: text}", "" },
		{ "postgres", "Name: {type: text}", "name: {type: text}", "column_missing,column_new" },
		{ "sqlite", "n: {type: TEXT, collation: NOCASE}", "n: {type: TEXT}", "collation_changed" },
		{ "mysql", "n: {type: text, collation: utf8mb4_bin}", "n: {type: text, collation: utf8mb4_general_ci}", "collation_changed" },
		{ "mysql", "n: {type: text, collation: utf8mb4_bin}", "n: {type: text, collation: latin1_bin}", "collation_changed" },
		{ "mysql", "n: {type: text, collation: latin1_bin}", "n: {type: text, collation: utf8mb4_bin}", "type_narrower" },
		{ "mysql", "n: {type: varchar(20), collation: latin1_bin}", "n: {type: int(11)}", "type_changed" },
		{ "postgres", "n: {type: mood, values: [a]}", "n: {type: mood, values: [a, b]}", "values_removed" },
		{ "postgres", "n: {type: mood, values: [a, b, c]}", "n: {type: mood, values: [a, b]}", "values_added" },
		{ "postgres", "n: {type: mood, values: [b, a]}", "n: {type: mood, values: [a, b]}", "type_changed" },
		{ "postgres", "n: {type: text}", "n: {type: mood, values: [a, b]}", "type_changed" },
		{ "postgres", "n: {type: mood, values: [a, b]}", "n: {type: text}", "type_narrower" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);

		expect_rules(ctx, columns(ctx, cases[i].engine, cases[i].live, cases[i].target), cases[i].rules, cases[i].live,
			cases[i].target);
	}
}

/* What stands beside the columns of a table with id (the key), a (must be there, with a default) and b. `columns`: more of the live ones. */
static struct findings *keys(void *ctx, const char *engine, const char *more, const char *live, const char *target)
{
	static const char all[] = "id: {type: int, notNull: true, primaryKey: true}, a: {type: int, notNull: true}, b: {type: int}";

	return tables(ctx, engine,
		mem_printf(ctx, "t: {columns: {%s%s%s}%s%s}, p: {columns: {id: {type: int}}}", all, *more ? ", " : "", more,
			*live ? ", " : "", live),
		mem_printf(ctx, "t: {columns: {%s}%s%s}, p: {columns: {id: {type: int}}}", all, *target ? ", " : "", target));
}

static void keys_and_indexes(void **state)
{
	/* clang-format off */
	static const struct {
		const char *engine, *more, *live, *target, *rules;
	} cases[] = {
		{ "", "", "unique: [[a]]", "unique: [[a]]", "" },
		{ "", "", "unique: [[a]], indexes: {t_a: {columns: [a], unique: true}}", "indexes: {t_a: {columns: [a], unique: true}}", "" },
		{ "", "", "unique: [[a]]", "", "unique_new" }, { "", "", "indexes: {t_a: {columns: [a], unique: true}}", "", "unique_new" },
		{ "", "", "unique: [[a, b]]", "unique: [[a]]", "unique_dropped" }, { "mysql", "", "", "unique: [[a]]", "unique_dropped" },
		{ "", "", "unique: [[a], [a, b]]", "unique: [[a]]", "" }, { "", "", "unique: [[a]]", "unique: [[a, b]]", "unique_new,unique_dropped" },
		{ "", "", "unique: [[id, a]]", "", "" },
		{ "", "n: {type: int}", "unique: [[n], [a, n]]", "", "column_new" }, { "", "n: {type: int, default: '1'}", "unique: [[n]]", "", "column_new,unique_new" },
		{ "", "n: {type: int, notNull: true, identity: true}", "unique: [[n]]", "", "column_new" },
		{ "postgres", "n: {type: integer}", "indexes: {i: {columns: [n], unique: true, nullsNotDistinct: true}}", "", "column_new,unique_new" },
		{ "", "", "indexes: {i: {columns: [a], unique: true, where: b > 0}}", "", "unique_new" },
		{ "", "", "indexes: {i: {columns: [a], unique: true, where: b > 0}}", "unique: [[a]]", "unique_dropped" },
		{ "", "", "unique: [[a]]", "indexes: {i: {columns: [a], unique: true, where: b > 0}}", "unique_new" },
		{ "", "", "indexes: {i: {columns: [lower(a)], unique: true}}", "", "unique_new" },
		{ "", "", "indexes: {i: {columns: [lower(a)], unique: true}}", "indexes: {j: {columns: [lower(a)], unique: true}}", "" },
		{ "", "", "", "indexes: {i: {columns: [a, b]}}", "index_dropped" }, { "", "", "indexes: {j: {columns: [a, b, id]}}", "indexes: {i: {columns: [a, b]}}", "" },
		{ "", "", "unique: [[a]]", "unique: [[a]], indexes: {i: {columns: [a]}}", "" }, { "", "", "indexes: {i: {columns: [a]}}", "", "" },
		{ "", "", "foreignKeys: [{columns: [a], table: p, references: [id]}]", "", "foreign_key_new" },
		{ "", "n: {type: int}", "foreignKeys: [{columns: [n], table: p, references: [id]}]", "", "column_new,referenced" },
		{ "", "n: {type: int}", "foreignKeys: [{columns: [n], table: p, references: [id], onDelete: CASCADE}]", "", "column_new" },
		{ "", "n: {type: int, notNull: true, default: '1'}", "foreignKeys: [{columns: [n], table: p, references: [id]}]", "", "column_new,foreign_key_new" },
		{ "", "", "", "foreignKeys: [{columns: [a], table: p, references: [id]}]", "foreign_key_dropped" },
		{ "", "", "foreignKeys: [{columns: [b], table: p, references: [id], onDelete: RESTRICT}]", "foreignKeys: [{columns: [b], table: p, references: [id], onDelete: CASCADE}]", "delete_refused" },
		{ "", "", "foreignKeys: [{columns: [b], table: p, references: [id], onDelete: RESTRICT}]", "foreignKeys: [{columns: [b], table: p, references: [id], onDelete: NO ACTION}]", "" },
		{ "", "", "foreignKeys: [{columns: [b], table: p, references: [id], onDelete: SET NULL}]", "foreignKeys: [{columns: [b], table: p, references: [id], onDelete: CASCADE}]", "delete_changed" },
		{ "", "", "foreignKeys: [{columns: [a], table: p, references: [id], onDelete: SET NULL}]", "foreignKeys: [{columns: [a], table: p, references: [id], onDelete: CASCADE}]", "delete_refused" },
		{ "", "", "foreignKeys: [{columns: [b], table: p, references: [id], onDelete: CASCADE, onUpdate: CASCADE}]", "foreignKeys: [{columns: [b], table: p, references: [id], onDelete: CASCADE, onUpdate: RESTRICT}]", "delete_changed" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);

		expect_rules(ctx, keys(ctx, cases[i].engine, cases[i].more, cases[i].live, cases[i].target), cases[i].rules, cases[i].live,
			cases[i].target);
	}
}

static void checks(void **state)
{
	/* clang-format off */
	static const struct {
		const char *engine, *more, *live, *target, *rules;
	} cases[] = {
		{ "", "", "a > 0", "a > 0", "" }, { "", "", "a  >  0", "(a > 0)", "" }, { "", "", "a > 0", "", "check_new" }, { "", "", "", "a > 0", "check_dropped" },
		{ "", "", "a >= 0", "a > 0", "check_dropped" }, { "", "", "a > 0", "a >= 0", "check_new" }, { "", "", "a > -1", "a >= 0 AND a < 10", "check_dropped" },
		{ "", "", "a BETWEEN 0 AND 10", "a >= 2 AND 9 >= 3", "check_new,check_dropped" }, { "", "", "a BETWEEN 0 AND 10", "a IN (1, 2, 10)", "check_dropped" },
		{ "", "", "a IN (1, 2)", "a = 1", "check_dropped" }, { "", "", "a IN (1, 2)", "a IN (1, 2, 3)", "check_new" }, { "", "", "a <> 3", "a < 3", "check_dropped" },
		{ "", "", "a <> 3", "a <= 3", "check_new,check_dropped" }, { "", "", "a > 0 OR b > 0", "a > 0 OR b > 0", "" }, { "", "", "a > 0 OR b > 0", "a > 0", "check_new,check_dropped" },
		{ "", "", "a IS NOT NULL", "", "" }, { "", "", "b IS NOT NULL", "", "check_new" }, { "", "", "b > 'x'", "b > 'y'", "check_new,check_dropped" }, { "", "", "b IN ('x')", "b = 'x'", "" },
		{ "", "", "a > '5'", "a > 5", "check_new,check_dropped" }, { "", "", "a = b", "a = b AND a > 0", "check_new,check_dropped" }, { "", "", "a > 1e3", "a > 1e3", "" },
		{ "", "n: {type: int}", "n > 0", "", "column_new" }, { "", "n: {type: int}", "n IS NOT NULL", "", "column_new,check_new" }, { "", "n: {type: int, default: '5'}", "n > 0 AND n IS NOT NULL", "", "column_new" },
		{ "", "n: {type: int, default: '0'}", "n > 0", "", "column_new,check_new" },
		{ "postgres", "", "((a >= 0) AND (a <= 10))", "(a = ANY (ARRAY[1, 2]))", "check_dropped" }, { "postgres", "", "(a > '-5'::integer)", "(a >= 0)", "check_dropped" },
		{ "postgres", "", "((b)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[]))", "((b)::text = 'x'::text)", "check_dropped" },
		{ "postgres", "v: {type: character varying(5)}", "length((v)::text) <= 20", "", "column_new" }, { "postgres", "", "(length((b)::text) >= 1)", "(length((b)::text) > 3)", "check_dropped" },
		{ "mysql", "", "`a` between 0 and 10", "`a` in (1,2)", "check_dropped" }, { "mysql", "", "octet_length(`b`) <= 5", "char_length(`b`) <= 5", "check_new,check_dropped" },
		{ "sqlite", "", "[a] >= 0", "\"A\" > 0", "check_dropped" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		char *live = json_dumps(json_keep(ctx, json_string(cases[i].live)), JSON_ENCODE_ANY);
		char *target = json_dumps(json_keep(ctx, json_string(cases[i].target)), JSON_ENCODE_ANY);

		expect_rules(ctx,
			keys(ctx, cases[i].engine, cases[i].more, *cases[i].live ? mem_printf(ctx, "checks: {c: %s}", live) : "",
				*cases[i].target ? mem_printf(ctx, "checks: {c: %s}", target) : ""),
			cases[i].rules, cases[i].live, cases[i].target);
		free(live);
		free(target);
	}
}

/* A length that the type already bounds, and defaults that a constraint would refuse. */
static void implied_and_bound(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char was[] = "t: {columns: {v: {type: varchar(5), default: \"'a'\"}}}";

	expect_rules(ctx,
		tables(ctx, "mysql", "t: {columns: {v: {type: varchar(5), default: \"'a'\"}}, checks: {c: char_length(v) <= 5}}", was), "",
		"a bound that the type has", "");
	expect_rules(ctx,
		tables(ctx, "mysql", "t: {columns: {v: {type: varchar(5), default: \"'a'\"}}, checks: {c: char_length(v) <= 4}}", was),
		"check_new", "a bound within that of the type", "");
	expect_rules(ctx,
		tables(ctx, "", "t: {columns: {n: {type: int, default: '2'}}, unique: [[n]]}",
			"t: {columns: {n: {type: int, default: '1'}}, unique: [[n]]}"),
		"default_refused", "unique", "");
	expect_rules(ctx,
		tables(ctx, "", "t: {columns: {n: {type: int, default: '2'}}, checks: {c: n < 2}}",
			"t: {columns: {n: {type: int, default: '1'}}, checks: {c: n < 2}}"),
		"default_refused", "check", "");
	expect_rules(ctx,
		tables(ctx, "", "t: {columns: {n: {type: int}}, checks: {c: n IS NOT NULL}}",
			"t: {columns: {n: {type: int, default: '1'}}, checks: {c: n IS NOT NULL}}"),
		"default_refused", "check of what is left out", "");
	expect_rules(ctx,
		tables(ctx, "", "t: {columns: {n: {type: int, default: '0'}}, checks: {c: n < 2}}",
			"t: {columns: {n: {type: int, default: '1'}}, checks: {c: n < 2}}"),
		"default_changed", "check that it passes", "");
}

static void tables_and_views(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = tables(ctx, "postgres",
		"users: {columns: {id: {type: integer}}}, more: {columns: {n: {type: text, notNull: true}}}",
		"users: {columns: {id: {type: text}}}, old: {columns: {m: {type: text}}}");

	expect_rules(ctx, findings, "type_narrower,table_missing,table_new", "users", "old");
	expect_failed(findings, "schema_compatibility", SEVERITY_ERROR, "old: the table is gone");
	assert_string_equal(json_canonical(ctx, find(findings, "schema_compatibility", 0)->evidence),
		"{\"column\":\"id\",\"live\":\"integer\",\"rule\":\"type_narrower\",\"table\":\"users\",\"target\":\"text\"}");
	assert_string_equal(find(findings, "schema_compatibility", 0)->component, "db");
	assert_int_equal(findings_blocking(findings), 2);
	/* Renamed ones are named. */
	findings = tables(ctx, "postgres", "people: {columns: {id: {type: integer}, more: {type: text}}}",
		"users: {columns: {id: {type: integer}}}");
	expect_failed(findings, "schema_compatibility", SEVERITY_ERROR, "it looks renamed to 'people'");
	findings = columns(ctx, "postgres", "id: {type: integer}, mail: {type: text}", "id: {type: integer}, email: {type: text}");
	expect_failed(findings, "schema_compatibility", SEVERITY_ERROR,
		"users.email: the column is gone, and the older code uses it; it looks renamed to 'mail'");
	findings = columns(ctx, "postgres", "a: {type: text}, b: {type: text}", "c: {type: text}");
	assert_null(strstr(find(findings, "schema_compatibility", 0)->message, "renamed"));
	/* Views */
	expect_rules(ctx,
		tables(ctx, "postgres", "v: {view: true, columns: {id: {type: integer}}}",
			"v: {columns: {id: {type: integer, notNull: true}}, unique: [[id]]}"),
		"became_view", "view", "table");
	expect_rules(ctx,
		tables(ctx, "postgres", "v: {columns: {id: {type: integer, notNull: true}}}",
			"v: {view: true, columns: {id: {type: integer}}}"),
		"became_table", "table", "view");
	expect_rules(ctx,
		tables(ctx, "postgres", "v: {view: true, columns: {id: {type: integer}, n: {type: text}}}",
			"v: {view: true, columns: {id: {type: integer}, m: {type: date}}}"),
		"column_missing", "view", "view");
	/* STRICT tables of SQLite refuse what does not fit. */
	expect_rules(ctx, tables(ctx, "sqlite", "t: {strict: true, columns: {n: {type: INTEGER}}}", "t: {columns: {n: {type: BIGINT}}}"),
		"strict", "strict", "not");
	expect_rules(ctx, tables(ctx, "sqlite", "t: {strict: true, columns: {n: {type: INTEGER}}}", "t: {columns: {n: {type: TEXT}}}"),
		"strict,type_narrower", "strict", "not");
	expect_rules(ctx, tables(ctx, "sqlite", "t: {strict: true, columns: {n: {type: ANY}}}", "t: {columns: {n: {type: TEXT}}}"),
		"strict,type_changed", "any", "text");
	expect_rules(ctx, tables(ctx, "sqlite", "T: {columns: {n: {type: TEXT}}}", "t: {columns: {n: {type: TEXT}}}"), "", "T", "t");
	/* A new table that refers to a known one. */
	expect_rules(ctx,
		tables(ctx, "",
			"p: {columns: {id: {type: int}}}, c: {columns: {p: {type: int}}, foreignKeys: [{columns: [p], table: p, references: [id]}]}",
			"p: {columns: {id: {type: int}}}"),
		"table_new,referenced", "child", "");
}

static void verdicts(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char one[] = "t: {columns: {id: {type: int}}}";

	assert_int_equal(verdict(ctx, "mysql", one, one), COMPAT_FITS);
	assert_int_equal(
		verdict(ctx, "mysql", "t: {columns: {id: {type: int}}}", "t: {columns: {id: {type: int}}, indexes: {i: {columns: [id]}}}"),
		COMPAT_FITS);
	assert_int_equal(verdict(ctx, "mysql", "t: {columns: {id: {type: int}, n: {type: int}}}", one), COMPAT_LOSSY);
	assert_int_equal(verdict(ctx, "mysql", "t: {columns: {id: {type: bigint}}}", one), COMPAT_LOSSY);
	assert_int_equal(verdict(ctx, "mysql", "t: {columns: {id: {type: smallint}}}", one), COMPAT_REFUSED);
	assert_int_equal(compat_schema_verdict(given(ctx, "{engine: mysql}"), given(ctx, "{schema: {tables: {}}}")), COMPAT_UNKNOWN);
	assert_int_equal(compat_schema_verdict(NULL, NULL), COMPAT_UNKNOWN);
}

static void with_data(void **state)
{
	static const char facts[] = "live: {db: {schema: {tables: {users: {columns: {}}}}}}\n"
				    "target: {db: {schema: {tables: {users: {columns: {id: {type: TEXT}}}}}}}\n";
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = check(ctx, mem_printf(ctx, "%spreserveData: false\nreturning: [db]\n", facts));

	expect_failed(findings, "schema_compatibility", SEVERITY_WARNING, "newer than the target are lost");
	assert_int_equal(findings_blocking(findings), 0);
	/* The data would go back, but this component is not among those that do. */
	findings = check(ctx, mem_printf(ctx, "%spreserveData: false\nreturning: [code]\n", facts));
	expect_failed(findings, "schema_compatibility", SEVERITY_ERROR, "gone");
}

static void unknown(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = check(ctx, "live: {db: {schema: {tables: {}}}}\ntarget: {db: {}}\nreturning: [code]\n");

	expect_failed(findings, "schema_known", SEVERITY_INFO, "was not recorded");
	assert_string_equal(find(findings, "schema_known", 0)->component, "db");
	assert_int_equal(count_of(findings, "schema_compatibility"), 0);
	findings = check(ctx, "live: {}\ntarget: {db: {schema: {tables: {}}}}\nreturning: [code]\n");
	expect_failed(findings, "schema_known", SEVERITY_INFO, "could not be observed");
	findings = check(ctx, "live: {}\ntarget: {}\n");
	expect_failed(findings, "schema_known", SEVERITY_INFO, "no database schema is known");
	assert_int_equal(findings->count, 1);
}

static void whole_observations(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = check(ctx,
		"live: {db: {version: '3', details: {schema: {tables: {}}}}}\n"
		"target: {db: {version: '2', details: {schema: {tables: {t: {columns: {}}}}}}}\nreturning: [code]\n");

	expect_failed(findings, "schema_compatibility", SEVERITY_ERROR, "t: the table is gone");
}

/* Facts come from drivers, also of other people: whatever they are, nothing breaks. */
static void malformed(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char *const texts[] = { "t: 3", "t: [1]", "t: {columns: 3, unique: 4, checks: 5, foreignKeys: 6, indexes: 7}",
		("t: {columns: {a: 3, b: {type: 4}}, unique: [1, [2], [null], []], checks: {c: 3, d: '(((', e: \"a = 'x\", f: 'a IN (', g: '::'}, "
		 "foreignKeys: [1, {}, {columns: [1], table: 3}], indexes: {i: 3, j: {columns: 3, unique: true}, k: {columns: [3]}}}"),
		"t: {columns: {a: {type: 'x((((('}, b: {type: ')('}, c: {type: '', values: 3}, d: {type: 'VARCHAR(99999999999999999999999)'}}}",
		"t: {columns: {a: {type: INT, default: 3, identity: 4, generated: 5, collation: 6}}, view: 1, strict: 1}" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t j = 0; j < ARRAY_SIZE(texts); j++)
			for (const char *const *engine = (const char *const[]){ "", "sqlite", "postgres", "mysql", NULL }; *engine;
				engine++)
				(void)tables(ctx, *engine, texts[i], texts[j]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types),
		cmocka_unit_test(columns_and_defaults),
		cmocka_unit_test(keys_and_indexes),
		cmocka_unit_test(checks),
		cmocka_unit_test(implied_and_bound),
		cmocka_unit_test(tables_and_views),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(with_data),
		cmocka_unit_test(unknown),
		cmocka_unit_test(whole_observations),
		cmocka_unit_test(malformed),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
