/* Log lines in both forms, and that no secret and no control character gets through. */
#include "cmocka_base.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"

static int ends[2];

static int setup(void **state)
{
	return pipe(ends);
}

static int teardown(void **state)
{
	secret_forget_all();
	log_setup(LOG_INFO, LOG_TEXT, STDERR_FILENO);
	(void)close(ends[0]);
	return close(ends[1]);
}

/* What was logged since the last call; the time in front is checked and cut off. */
static char *logged(char *buffer, size_t size)
{
	struct err error = ERR_INIT;
	int64_t ms;
	ssize_t n;

	assert_int_equal(write(ends[1], "", 1), 1); /* so that there is something to read */
	n = read(ends[0], buffer, size - 1);
	assert_true(n > 0);
	buffer[n] = 0;
	if (buffer[0] == 0)
		return buffer;
	if (buffer[0] == '{') {
		assert_memory_equal(buffer, "{\"time\":\"", 9);
		return buffer + 9 + 24;
	}
	buffer[24] = 0;
	assert_ok(clock_parse(buffer, &ms, &error));
	return buffer + 25;
}

static void text_form(void **state)
{
	char buffer[4096];

	log_setup(LOG_INFO, LOG_TEXT, ends[1]);
	log_event(LOG_WARN, "lease lost", "run", "run-01jd", "holder", "web 2", "reason", NULL, "empty", "", "quote", "a\"b\\", NULL);
	assert_string_equal(logged(buffer, sizeof(buffer)),
		"warn  lease lost run=run-01jd holder=\"web 2\" reason=- empty=\"\" quote=\"a\\\"b\\\\\"\n");
	log_event(LOG_ERROR, "forged\n2026 info fine", "k", "a\x1b[2J", NULL);
	assert_string_equal(logged(buffer, sizeof(buffer)), "error forged\\x0a2026 info fine k=a\\x1b[2J\n");
}

static void json_form(void **state)
{
	char buffer[4096];

	log_setup(LOG_INFO, LOG_JSON, ends[1]);
	log_event(LOG_INFO, "a \"quoted\"\nline", "key", "tab\t\\", "none", NULL, "bad", "\xff\x01", NULL);
	assert_string_equal(logged(buffer, sizeof(buffer)),
		"\",\"level\":\"info\",\"message\":\"a \\\"quoted\\\"\\nline\",\"key\":\"tab\\t\\\\\",\"none\":null,\"bad\":\"\\\\xff\\\\x01\"}\n");
}

static void levels(void **state)
{
	enum log_level level = LOG_INFO;
	struct err error = ERR_INIT;
	char buffer[4096];

	log_setup(LOG_WARN, LOG_TEXT, ends[1]);
	log_event(LOG_INFO, "not this", NULL);
	assert_string_equal(logged(buffer, sizeof(buffer)), "");
	log_event(LOG_ERROR, "this", NULL);
	assert_string_equal(logged(buffer, sizeof(buffer)), "error this\n");
	log_setup(LOG_NONE, LOG_TEXT, ends[1]);
	log_event(LOG_ERROR, "nothing at all", NULL);
	log_event(LOG_NONE, "nothing at all", NULL);
	assert_string_equal(logged(buffer, sizeof(buffer)), "");
	assert_int_equal(log_level(), LOG_NONE);
	assert_ok(log_level_parse("debug", &level, &error));
	assert_int_equal(level, LOG_DEBUG);
	assert_fails(log_level_parse("loud", &level, &error), ERR_INVALID);
	assert_string_equal(log_level_name(LOG_WARN), "warn");
	assert_string_equal(log_level_name((enum log_level)99), "none");
}

static void errors(void **state)
{
	struct err error = ERR_INIT;
	char buffer[4096];

	log_setup(LOG_INFO, LOG_TEXT, ends[1]);
	(void)err_set(&error, ERR_CONFLICT, "held by web2");
	log_err(LOG_ERROR, &error);
	assert_string_equal(logged(buffer, sizeof(buffer)),
		"error held by web2 code=conflict hint=\"`unship status` shows the other run; when nobody carries it out any more, `unship resume` goes on "
		"with it and `unship cancel` takes it back\"\n");
	error.line = 3;
	error.column = 14;
	log_err(LOG_ERROR, &error);
	assert_non_null(strstr(logged(buffer, sizeof(buffer)), " at=3:14 "));
}

static void secrets_are_scrubbed(void **state)
{
	char buffer[4096], *line;

	secret_add("s3cr\"et\nvalue");
	for (int form = LOG_TEXT; form <= LOG_JSON; form++) {
		log_setup(LOG_INFO, (enum log_form)form, ends[1]);
		log_event(LOG_INFO, "dsn is s3cr\"et\nvalue!", "s3cr\"et\nvalue", "x s3cr\"et\nvalue y", NULL);
		line = logged(buffer, sizeof(buffer));
		assert_null(strstr(line, "s3cr"));
		assert_non_null(strstr(line, "dsn is [secret]!"));
		assert_non_null(strstr(line, "x [secret] y"));
	}
}

#define LINES 200

static void *write_lines(void *argument)
{
	for (int i = 0; i < LINES; i++)
		log_event(LOG_INFO, argument, "n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL);
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	static char names[4][8] = { "one", "two", "three", "four" };
	pthread_t threads[4];
	char line[512];
	int lines = 0, fd;
	FILE *file;

	log_setup(LOG_INFO, LOG_TEXT, ends[1]);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	fd = dup(ends[0]);
	file = fdopen(fd, "r");
	assert_non_null(file);
	while (lines < 4 * LINES && fgets(line, sizeof(line), file)) {
		bool whole = false;

		for (size_t i = 0; i < 4; i++) {
			char wanted[128];

			(void)snprintf(wanted, sizeof(wanted), " info  %s n=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", names[i]);
			whole = whole || strcmp(line + 24, wanted) == 0;
		}
		assert_true(whole);
		lines++;
	}
	assert_int_equal(lines, 4 * LINES);
	for (size_t i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	(void)fclose(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(text_form), TEST(json_form), TEST(levels), TEST(errors), TEST(secrets_are_scrubbed),
		TEST(lines_of_threads_do_not_mix) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
