/* What the sqlite driver says of a schema: keys, checks, references, indexes, computed columns, views, kinds of tables. */
#include "checks.h"

#include "data/json.h"
#include "drivers/sqlite_facts.h"

/* The facts of table t, in canonical form, without its columns unless `columns`. */
static char *facts_of(void *ctx, const char *text, bool columns)
{
	struct err err = ERR_INIT;
	json_t *schema, *table;
	char *problem = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &problem) != SQLITE_OK)
		fail_msg("%s: %s", text, problem);
	if (facts_schema(ctx, db, &schema, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	table = json_object_get(json_object_get(schema, "tables"), "t");
	assert_non_null(table);
	if (!columns)
		(void)json_object_del(table, "columns");
	return json_canonical(ctx, columns ? json_object_get(table, "columns") : table);
}

static void tables(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text, *facts;
	} cases[] = {
		{ "CREATE TABLE t (a)", "{}" },
		{ "CREATE TABLE t (a INTEGER) STRICT", "{\"strict\":true}" },
		{ "CREATE TABLE t (a PRIMARY KEY) WITHOUT ROWID", "{\"withoutRowid\":true}" },
		{ "CREATE TABLE t (a UNIQUE, b, c, UNIQUE (b, c))", "{\"unique\":[[\"a\"],[\"b\",\"c\"]]}" },
		{ "CREATE TABLE t (a PRIMARY KEY, b); CREATE INDEX i ON t (b, a); CREATE UNIQUE INDEX u ON t (b)",
			"{\"indexes\":{\"i\":{\"columns\":[\"b\",\"a\"],\"unique\":false},\"u\":{\"columns\":[\"b\"],\"unique\":true}}}" },
		{ "CREATE TABLE t (a, b); CREATE UNIQUE INDEX u ON t (a) WHERE b > 0",
			"{\"indexes\":{\"u\":{\"columns\":[\"a\"],\"unique\":true,\"where\":\"ON t (a) WHERE b > 0\"}}}" },
		{ "CREATE TABLE t (a); CREATE UNIQUE INDEX u ON t (lower(a))",
			"{\"indexes\":{\"u\":{\"columns\":[\"(expression COLLATE BINARY)\"],\"unique\":true,\"where\":\"ON t (lower(a))\"}}}" },
		{ "CREATE TABLE t (a); CREATE UNIQUE INDEX u ON t (a COLLATE NOCASE)", "{\"indexes\":{\"u\":{\"columns\":[\"(a COLLATE NOCASE)\"],\"unique\":true}}}" },
		{ "CREATE TABLE p (x, y, PRIMARY KEY (x, y)); CREATE TABLE t (a, b, c REFERENCES p (x), FOREIGN KEY (a, b) REFERENCES p ON DELETE CASCADE ON UPDATE SET NULL)",
			"{\"foreignKeys\":[{\"columns\":[\"a\",\"b\"],\"onDelete\":\"CASCADE\",\"onUpdate\":\"SET NULL\",\"references\":[],\"table\":\"p\"},"
			"{\"columns\":[\"c\"],\"onDelete\":\"NO ACTION\",\"onUpdate\":\"NO ACTION\",\"references\":[\"x\"],\"table\":\"p\"}]}" },
		{ "CREATE TABLE t (a CHECK (a > 0), b CONSTRAINT small CHECK (b < (1 + 2)), CONSTRAINT \"odd name\" CHECK (a <> ')'))",
			"{\"checks\":{\"\\\"odd name\\\"\":\"a <> ')'\",\"check_1\":\"a > 0\",\"small\":\"b < (1 + 2)\"}}" },
		{ "CREATE TABLE t (a /* CHECK (no) */, b DEFAULT 'CHECK (no)', \"check\" TEXT, -- CHECK (no)\n c CHECK(c IN ('x', 'it''s')))", "{\"checks\":{\"check_1\":\"c IN ('x', 'it''s')\"}}" },
		{ "CREATE TABLE p (a); CREATE VIEW t AS SELECT a FROM p", "{\"view\":true}" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);

		assert_string_equal(facts_of(ctx, cases[i].text, false), cases[i].facts);
	}
}

static void columns(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text, *facts;
	} cases[] = {
		{ "CREATE TABLE t (id INTEGER PRIMARY KEY)", "{\"id\":{\"default\":null,\"identity\":true,\"notNull\":false,\"primaryKey\":true,\"type\":\"INTEGER\"}}" },
		/* Not the row's own number: another type, or a table without such numbers. */
		{ "CREATE TABLE t (id INT PRIMARY KEY)", "{\"id\":{\"default\":null,\"notNull\":false,\"primaryKey\":true,\"type\":\"INT\"}}" },
		{ "CREATE TABLE t (id INTEGER PRIMARY KEY) WITHOUT ROWID", "{\"id\":{\"default\":null,\"notNull\":true,\"primaryKey\":true,\"type\":\"INTEGER\"}}" },
		{ "CREATE TABLE t (a TEXT COLLATE nocase NOT NULL DEFAULT 'x')", "{\"a\":{\"collation\":\"NOCASE\",\"default\":\"'x'\",\"notNull\":true,\"primaryKey\":false,\"type\":\"TEXT\"}}" },
		{ "CREATE TABLE t (a INT AS (1) STORED, b INT AS (2), c)",
			"{\"a\":{\"default\":null,\"generated\":true,\"notNull\":false,\"primaryKey\":false,\"type\":\"INT\"},"
			"\"b\":{\"default\":null,\"generated\":true,\"notNull\":false,\"primaryKey\":false,\"type\":\"INT\"},\"c\":{\"default\":null,\"notNull\":false,\"primaryKey\":false,\"type\":\"\"}}" },
		{ "CREATE TABLE p (a INT NOT NULL); CREATE VIEW t AS SELECT a FROM p", "{\"a\":{\"default\":null,\"notNull\":false,\"primaryKey\":false,\"type\":\"INT\"}}" },
		/* A view of what is gone. */
		{ "CREATE VIEW t AS SELECT a FROM nowhere", "{}" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);

		assert_string_equal(facts_of(ctx, cases[i].text, true), cases[i].facts);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(columns),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
