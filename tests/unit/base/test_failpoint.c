/* Crash points. The file under test is compiled in with the option on, since an ordinary build leaves it out. */
#ifndef UNSHIP_FAILPOINTS
#define UNSHIP_FAILPOINTS
#endif
#include "base/failpoint.h"

#include "cmocka_base.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/failpoint.c" /* NOLINT(bugprone-suspicious-include): the library may have it compiled out */

/* A child passes "a", "b", "a", "b", ... and exits with the number of passes if it lives. Returns its wait status. */
static int pass_points(const char *setting, int times)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)unsetenv("UNSHIP_FAILPOINT");
		if (setting)
			(void)setenv("UNSHIP_FAILPOINT", setting, 1);
		for (int i = 0; i < times; i++)
			FAILPOINT(i % 2 ? "b" : "a");
		_exit(times);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_killed(int status, bool killed)
{
	assert_int_equal(WIFSIGNALED(status), killed);
	if (killed)
		assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void named_point_kills(void **state)
{
	assert_killed(pass_points(NULL, 10), false);
	assert_killed(pass_points("", 10), false);
	assert_killed(pass_points("c", 10), false);
	assert_killed(pass_points("a", 1), true);
	assert_killed(pass_points("b", 1), false);
	assert_killed(pass_points("b", 2), true);
}

static void nth_pass_kills(void **state)
{
	assert_killed(pass_points("a:3", 4), false);
	assert_killed(pass_points("a:3", 5), true);
	assert_killed(pass_points("a:0", 1), true);
}

/* A forked driver takes the program down with it: here a process that waits for ever stands for the program. */
static void program_dies_first(void **state)
{
	int status = 0;
	char text[32];
	pid_t program = fork(), driver;

	if (program == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	(void)snprintf(text, sizeof(text), "%d", (int)program);
	driver = fork();
	if (driver == 0) {
		(void)setenv("UNSHIP_FAILPOINT", "x", 1);
		(void)setenv("UNSHIP_FAILPOINT_PID", text, 1);
		FAILPOINT("x");
		_exit(0);
	}
	assert_int_equal(waitpid(driver, &status, 0), driver);
	assert_killed(status, true);
	assert_int_equal(waitpid(program, &status, 0), program);
	assert_killed(status, true);
}

static void passes_are_listed(void **state)
{
	char path[] = "/tmp/unship-failpoint-XXXXXX", setting[64], text[64] = "";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	(void)snprintf(setting, sizeof(setting), "list:%s", path);
	assert_killed(pass_points(setting, 3), false);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 6);
	assert_string_equal(text, "a\nb\na\n");
	(void)close(fd);
	(void)unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(named_point_kills), cmocka_unit_test(nth_pass_kills),
		cmocka_unit_test(program_dies_first), cmocka_unit_test(passes_are_listed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
