/* Wrappers of talloc and the cleanup attributes; an assertion that fails ends the process. */
#include "cmocka_base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static void strings(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text = mem_printf(ctx, "%d-%s", 7, "a");

	assert_string_equal(text, "7-a");
	text = mem_append(text, "b");
	text = mem_appendf(text, "%03d", 5);
	assert_string_equal(text, "7-ab005");
	assert_ptr_equal(talloc_parent(text), ctx);
	assert_string_equal(mem_append(mem_strndup(ctx, "abcdef", 2), "!"), "ab!");
	assert_null(mem_strdup(ctx, NULL));
	assert_null(mem_strndup(ctx, NULL, 3));
	text = mem_append(NULL, "from nothing");
	assert_string_equal(text, "from nothing");
	(void)talloc_free(text);
}

static void arrays(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	int *numbers = mem_array(ctx, int, 4);

	assert_int_equal(numbers[3], 0);
	numbers[3] = 9;
	numbers = mem_resize(ctx, numbers, int, 1000);
	assert_int_equal(numbers[3], 9);
	assert_memory_equal(mem_dup(ctx, "abc", 3), "abc", 3);
	assert_non_null(mem_dup(ctx, NULL, 0));
	assert_non_null(mem_array(ctx, int, 0));
}

static void cleanups(void **state)
{
	int kept, dropped, taken;

	{
		_cleanup_close_ int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY);
		_cleanup_free_ char *text = malloc(10);
		_cleanup_fclose_ FILE *file = fopen("/dev/null", "r");

		assert_non_null(text);
		assert_non_null(file);
		dropped = a;
		taken = b;
		kept = take_fd(b);
		assert_int_equal(b, -1);
		errno = 77;
	}
	assert_int_equal(errno, 77);
	assert_int_equal(fcntl(dropped, F_GETFD), -1);
	assert_int_equal(kept, taken);
	assert_true(fcntl(kept, F_GETFD) >= 0);
	(void)close(kept);
}

static int status_of(void (*run)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(null, STDERR_FILENO);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void hold(void)
{
	assert_always(1 + 1 == 2);
}
static void break_it(void)
{
	assert_always(1 + 1 == 3);
}
static void no_memory(void)
{
	(void)mem_check(NULL);
}

static void broken_invariants_abort(void **state)
{
	assert_int_equal(status_of(hold), 0);
	assert_true(WIFSIGNALED(status_of(break_it)));
	assert_int_equal(WTERMSIG(status_of(break_it)), SIGABRT);
	assert_int_equal(WTERMSIG(status_of(no_memory)), SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(strings), cmocka_unit_test(arrays), cmocka_unit_test(cleanups),
		cmocka_unit_test(broken_invariants_abort) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
