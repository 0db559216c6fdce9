/* problems.c: places, texts, the limit. */
#include "checks.h"

#include "data/json.h"
#include "data/problems.h"

static void with_places(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	struct problems *problems;
	struct doc *doc;
	json_t *list;

	assert_int_equal(doc_parse_yaml(ctx, "unship.yaml", "a: 1\nb:\n  c: 2\n", 15, &doc, &err), 0);
	problems = problems_new(ctx, doc);
	assert_int_equal(problems_result(problems, &err), 0);
	problems_add(problems, ERR_REFUSED, "b.c", "bad\x1b[1m %d", 7);
	assert_int_equal(problems_result(problems, &err), -ERR_REFUSED);
	assert_string_equal(err.text, "unship.yaml:3:3: bad\\x1b[1m 7");
	assert_int_equal(err.line, 3);
	assert_int_equal(err.column, 3);
	problems_add(problems, ERR_INVALID, "a", "worse");
	assert_int_equal(problems_result(problems, &err), -ERR_REFUSED);
	assert_string_equal(err.text, "unship.yaml:3:3: bad\\x1b[1m 7 (and 1 more problem)");
	assert_string_equal(problems_text(ctx, problems), "unship.yaml:3:3: b.c: bad\\x1b[1m 7\nunship.yaml:1:1: a: worse\n");
	list = json_keep(ctx, problems_json(problems));
	assert_string_equal(json_canonical(ctx, json_array_get(list, 1)),
		"{\"code\":\"invalid\",\"column\":1,\"line\":1,\"message\":\"worse\",\"path\":\"a\"}");
}

static void without_document(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems = problems_new(ctx, NULL);
	struct err err = ERR_INIT;

	problems_add(problems, ERR_INVALID, "steps[1]", "bad");
	assert_int_equal(problems_result(problems, &err), -ERR_INVALID);
	assert_string_equal(err.text, "steps[1]: bad");
	assert_string_equal(problems_text(ctx, problems), "steps[1]: bad\n");
}

static void limited(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems = problems_new(ctx, NULL);
	struct err err = ERR_INIT;

	for (int i = 0; i < 150; i++)
		problems_add(problems, ERR_INVALID, "", "problem %d", i);
	assert_int_equal(problems->count, PROBLEMS_MAX);
	assert_int_equal(problems->more, 50);
	assert_int_equal(problems_result(problems, &err), -ERR_INVALID);
	assert_string_equal(err.text, "problem 0 (and 149 more problems)");
	assert_non_null(strstr(problems_text(ctx, problems), "problem 99\nand 50 more\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(with_places), cmocka_unit_test(without_document), cmocka_unit_test(limited) };

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
