/* Errors: codes and names, context in front, the cause kept whole, control characters made visible. */
#include "cmocka_base.h"

#include <errno.h>

static void set_and_context(void **state)
{
	struct err error = ERR_INIT;

	error.line = 7;
	assert_int_equal(err_set(&error, ERR_NOT_FOUND, "no service '%s'", "web"), -ERR_NOT_FOUND);
	assert_string_equal(error.text, "no service 'web'");
	assert_int_equal(error.line, 0);
	assert_int_equal(err_in(&error, "component '%s'", "api"), -ERR_NOT_FOUND);
	assert_string_equal(error.text, "component 'api': no service 'web'");
	assert_int_equal(err_as(&error, ERR_UNREACHABLE), -ERR_UNREACHABLE);
	assert_int_equal(error.code, ERR_UNREACHABLE);
	assert_string_equal(error.text, "component 'api': no service 'web'");
	assert_false(error.advised);
	assert_int_equal(err_advised(&error), -ERR_UNREACHABLE);
	(void)err_in(&error, "more");
	assert_true(error.advised);
	(void)err_set(&error, ERR_IO, "another");
	assert_false(error.advised);
}

static void own_text_as_argument(void **state)
{
	struct err error = ERR_INIT;

	(void)err_set(&error, ERR_IO, "cause");
	(void)err_set(&error, ERR_FAILED, "wrapped: %s", error.text);
	assert_string_equal(error.text, "wrapped: cause");
}

static void errno_codes(void **state)
{
	struct err error = ERR_INIT;

	assert_int_equal(err_errno(&error, ENOSPC, "file"), -ERR_NO_SPACE);
	assert_int_equal(err_errno(&error, EDQUOT, "file"), -ERR_NO_SPACE);
	assert_int_equal(err_errno(&error, EROFS, "file"), -ERR_IO);
	assert_int_equal(err_errno(&error, EACCES, "file"), -ERR_IO);
	assert_int_equal(err_errno(&error, ENOENT, "file '%s'", "x"), -ERR_NOT_FOUND);
	assert_string_equal(error.text, "file 'x': No such file or directory");
}

static void control_characters(void **state)
{
	struct err error = ERR_INIT;

	(void)err_set(&error, ERR_INVALID, "a\nb\x1b[1m\x7f");
	assert_string_equal(error.text, "a\\x0ab\\x1b[1m\\x7f");
	(void)err_in(&error, "c\td");
	assert_string_equal(error.text, "c\\x09d: a\\x0ab\\x1b[1m\\x7f");
}

static void long_context_is_cut(void **state)
{
	struct err error = ERR_INIT;
	char long_text[6000];

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = 0;
	(void)err_set(&error, ERR_IO, "the cause");
	(void)err_in(&error, "%s", long_text);
	assert_int_equal(strlen(error.text), ERR_TEXT_MAX - 1);
	assert_non_null(strstr(error.text, "x...: the cause"));
	(void)err_in(&error, "more");
	assert_int_equal(strlen(error.text), ERR_TEXT_MAX - 1);
	assert_non_null(strstr(error.text, ": the cause"));
}

static void long_cause_is_cut_between_characters(void **state)
{
	struct err error = ERR_INIT;
	char long_text[3001] = "";

	for (size_t i = 0; i < 3000; i += 3)
		memcpy(long_text + i, "\xe2\x82\xac", 3);
	(void)err_set(&error, ERR_IO, "%s", long_text);
	assert_true(strlen(error.text) < ERR_TEXT_MAX);
	assert_int_equal((strlen(error.text) - 3) % 3, 0);
	(void)err_errno(&error, EIO, "%s", long_text);
	assert_non_null(strstr(error.text, "...: Input/output error"));
}

static void context_without_cause(void **state)
{
	struct err error = ERR_INIT;

	assert_int_equal(err_in(&error, "x"), -ERR_INTERNAL);
}

static void table(void **state)
{
	assert_string_equal(err_info(ERR_NOT_FOUND)->name, "not-found");
	assert_int_equal(err_info(ERR_NOT_FOUND)->http_status, 404);
	assert_int_equal(err_info(ERR_CONFLICT)->exit_code, 4);
	assert_string_equal(err_info((enum err_code)9999)->name, "internal");
	assert_string_equal(err_info((enum err_code) - 1)->name, "internal");
	assert_int_equal(err_from_name("needs-person"), ERR_NEEDS_PERSON);
	assert_int_equal(err_from_name("gibberish"), ERR_INTERNAL);
	assert_int_equal(err_from_name("none"), ERR_INTERNAL);
	for (int code = 1; code < ERR_COUNT; code++) {
		assert_int_equal(err_from_name(err_info((enum err_code)code)->name), code);
		assert_true(*err_info((enum err_code)code)->hint);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_and_context),
		cmocka_unit_test(own_text_as_argument),
		cmocka_unit_test(errno_codes),
		cmocka_unit_test(control_characters),
		cmocka_unit_test(long_context_is_cut),
		cmocka_unit_test(long_cause_is_cut_between_characters),
		cmocka_unit_test(context_without_cause),
		cmocka_unit_test(table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
