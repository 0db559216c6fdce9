/* What everything above sql.h relies on. */
#include "contract_store.h"

static int call(struct sql *sql, const char *statement, struct err *err)
{
	return sql->ops->run(sql, statement, NULL, 0, NULL, NULL, err);
}

static void make_table(struct sql *sql)
{
	struct err error = ERR_INIT;

	assert_ok(call(sql, "CREATE TABLE things (id BIGINT PRIMARY KEY, name TEXT UNIQUE, size DOUBLE PRECISION)", &error));
}

static int insert(struct sql *sql, int64_t id, const char *name, struct err *err)
{
	struct sql_value values[] = { SQL_R(1.5), SQL_T(name), SQL_I(id) };

	/* Numbered placeholders, in another order than the columns. */
	return sql->ops->run(sql, "INSERT INTO things (id, name, size) VALUES ($3, $2, $1)", values, 3, NULL, NULL, err);
}

static int count_row(void *user, const struct sql_value *columns, size_t count, struct err *err)
{
	assert_int_equal(count, 1);
	assert_int_equal(columns[0].type, SQL_INT);
	*(int64_t *)user = columns[0].integer;
	return 0;
}

static int64_t rows(struct sql *sql)
{
	struct err error = ERR_INIT;
	int64_t count = -1;

	assert_ok(sql->ops->run(sql, "SELECT COUNT(*) FROM things", NULL, 0, count_row, &count, &error));
	return count;
}

struct seen {
	int rows;
	int stop_at, stop_with;
};

static int value_row(void *user, const struct sql_value *columns, size_t count, struct err *err)
{
	struct seen *seen = user;

	assert_int_equal(count, 4);
	assert_int_equal(columns[0].type, SQL_INT);
	assert_true(columns[0].integer == INT64_MAX);
	assert_int_equal(columns[1].type, SQL_TEXT);
	assert_string_equal(columns[1].text, "\xc3\xa4 'quoted'");
	assert_int_equal(columns[2].type, SQL_REAL);
	assert_true(columns[2].real == 1.5);
	assert_int_equal(columns[3].type, SQL_NULL);
	seen->rows++;
	return 0;
}

static void values_come_back_as_they_went_in(unused_arg const void *ctx, struct sql *sql)
{
	struct sql_value large = SQL_I(INT64_MAX);
	struct err error = ERR_INIT;
	struct seen seen = { 0 };

	make_table(sql);
	assert_ok(insert(sql, INT64_MAX, "\xc3\xa4 'quoted'", &error));
	assert_int_equal(sql->ops->changes(sql), 1);
	assert_ok(sql->ops->run(sql, "SELECT id, name, size, NULL FROM things WHERE id = $1 AND $1 = id", &large, 1, value_row, &seen,
		&error));
	assert_int_equal(seen.rows, 1);
	assert_int_equal(SQL_T(NULL).type, SQL_NULL);
}

static void rollback_takes_back_and_commit_keeps(unused_arg const void *ctx, struct sql *sql)
{
	struct err error = ERR_INIT;

	make_table(sql);
	assert_ok(sql->ops->begin(sql, &error));
	assert_ok(insert(sql, 1, "a", &error));
	sql->ops->rollback(sql);
	assert_int_equal(rows(sql), 0);
	sql->ops->rollback(sql); /* without a transaction: nothing */
	assert_ok(sql->ops->begin(sql, &error));
	assert_ok(insert(sql, 1, "a", &error));
	assert_ok(sql->ops->commit(sql, &error));
	sql->ops->rollback(sql);
	assert_int_equal(rows(sql), 1);
}

static void a_violated_unique_constraint_is_a_conflict(unused_arg const void *ctx, struct sql *sql)
{
	struct err error = ERR_INIT;

	make_table(sql);
	assert_ok(insert(sql, 1, "a", &error));
	assert_fails(insert(sql, 1, "b", &error), ERR_CONFLICT);
	assert_fails(insert(sql, 2, "a", &error), ERR_CONFLICT);
	assert_ok(insert(sql, 2, "b", &error));
	assert_int_equal(rows(sql), 2);
}

static void a_wrong_statement_is_an_error(unused_arg const void *ctx, struct sql *sql)
{
	struct err error = ERR_INIT;

	assert_fails(call(sql, "SELECT * FROM nothing", &error), ERR_STORE);
	assert_true(strstr(error.text, "nothing") != NULL);
	assert_fails(call(sql, "NO STATEMENT", &error), ERR_STORE);
	make_table(sql);
	assert_int_equal(rows(sql), 0);
}

static int stop_row(void *user, const struct sql_value *columns, size_t count, struct err *err)
{
	struct seen *seen = user;

	return ++seen->rows == seen->stop_at ? seen->stop_with : 0;
}

static void a_row_may_stop_the_reading(unused_arg const void *ctx, struct sql *sql)
{
	struct seen seen = { .stop_at = 2, .stop_with = 1 };
	struct err error = ERR_INIT;

	make_table(sql);
	for (int i = 0; i < 5; i++)
		assert_ok(insert(sql, i, NULL, &error));
	assert_int_equal(sql->ops->run(sql, "SELECT id FROM things", NULL, 0, stop_row, &seen, &error), 1);
	assert_int_equal(seen.rows, 2);
	seen = (struct seen){ .stop_at = 3, .stop_with = -ERR_CORRUPT };
	assert_int_equal(sql->ops->run(sql, "SELECT id FROM things", NULL, 0, stop_row, &seen, &error), -ERR_CORRUPT);
	/* Nothing is left open. */
	assert_ok(sql->ops->begin(sql, &error));
	assert_ok(insert(sql, 9, NULL, &error));
	assert_ok(sql->ops->commit(sql, &error));
	assert_int_equal(rows(sql), 6);
}

static void updates_and_deletions_are_counted(unused_arg const void *ctx, struct sql *sql)
{
	struct err error = ERR_INIT;

	make_table(sql);
	for (int i = 0; i < 5; i++)
		assert_ok(insert(sql, i, NULL, &error));
	assert_ok(call(sql, "UPDATE things SET size = 2 WHERE id >= 3", &error));
	assert_int_equal(sql->ops->changes(sql), 2);
	assert_ok(call(sql, "UPDATE things SET size = 2 WHERE id = 77", &error));
	assert_int_equal(sql->ops->changes(sql), 0);
	assert_ok(call(sql, "DELETE FROM things WHERE id < 3", &error));
	assert_int_equal(sql->ops->changes(sql), 3);
}

static void partial_unique_indexes_hold(unused_arg const void *ctx, struct sql *sql)
{
	struct err error = ERR_INIT;

	make_table(sql);
	assert_ok(call(sql, "CREATE UNIQUE INDEX one_open ON things (size) WHERE name IS NULL", &error));
	assert_ok(insert(sql, 1, "done", &error));
	assert_ok(insert(sql, 2, NULL, &error));
	assert_fails(insert(sql, 3, NULL, &error), ERR_CONFLICT);
	assert_ok(call(sql, "INSERT INTO things (id, name, size) VALUES (4, 'done', 1) ON CONFLICT (name) DO UPDATE SET size = 7", &error));
	assert_ok(call(sql, "INSERT INTO things (id, name, size) VALUES (4, 'done', 1) ON CONFLICT (name) DO NOTHING", &error));
	assert_int_equal(rows(sql), 2);
}

static void many_different_statements_work(const void *ctx, struct sql *sql)
{
	struct err error = ERR_INIT;

	make_table(sql);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 300; i++) {
			int64_t got = -1;

			assert_ok(sql->ops->run(sql, mem_printf(ctx, "SELECT COUNT(*) + %d FROM things", i), NULL, 0, count_row, &got,
				&error));
			assert_int_equal(got, i);
		}
}

const struct contract_test sql_contract[] = {
	{ "values_come_back_as_they_went_in", values_come_back_as_they_went_in, NULL },
	{ "rollback_takes_back_and_commit_keeps", rollback_takes_back_and_commit_keeps, NULL },
	{ "a_violated_unique_constraint_is_a_conflict", a_violated_unique_constraint_is_a_conflict, NULL },
	{ "a_wrong_statement_is_an_error", a_wrong_statement_is_an_error, NULL },
	{ "a_row_may_stop_the_reading", a_row_may_stop_the_reading, NULL },
	{ "updates_and_deletions_are_counted", updates_and_deletions_are_counted, NULL },
	{ "partial_unique_indexes_hold", partial_unique_indexes_hold, NULL },
	{ "many_different_statements_work", many_different_statements_work, NULL },
	{ NULL, NULL, NULL },
};
