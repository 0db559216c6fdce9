/* Children, started directly and by the spawner: the same cases run twice. What only concerns the spawner is in test_spawner.c. */
#include "cmocka_base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/proc.h"
#include "proc_entries.h"

#define IN(name)  fs_join(*state, *state, name)
#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SOON      (clock_mono_ms() + 20000) /* a bound for what must happen, never waited for */

static struct proc_result run(void *ctx, const char *const *argv)
{
	struct proc_spec spec = { .argv = argv, .entry = true, .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;

	assert_ok(proc_run(ctx, &spec, &result, &error));
	assert_false(result.timed_out || result.lost);
	return result;
}

static void exit_codes(void **state)
{
	struct proc_spec spec = { .argv = ARGV("true"), .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;

	assert_int_equal(run(*state, ARGV("exit", "0")).exit_code, 0);
	assert_int_equal(run(*state, ARGV("exit", "255")).exit_code, 255);
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_int_equal(result.exit_code, 0);
	spec.argv = ARGV("false");
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_int_equal(result.exit_code, 1);
	assert_int_equal(result.signal, 0);
}

static void signals(void **state)
{
	struct proc_result result = run(*state, ARGV("signal", "9"));

	assert_int_equal(result.exit_code, -1);
	assert_int_equal(result.signal, SIGKILL);
	assert_int_equal(run(*state, ARGV("signal", "15")).signal, SIGTERM);
	assert_int_equal(run(*state, ARGV("signal", "13")).signal, SIGPIPE); /* ignored here perhaps, never in the child */
}

static void input_and_output(void **state)
{
	struct proc_spec spec = { .argv = ARGV("cat"), .entry = true, .input = "some\0input", .input_size = 10, .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;

	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_int_equal(result.output_size, 10);
	assert_memory_equal(result.output, "some\0input", 11);
	spec.entry = false; /* cat of the system */
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_memory_equal(result.output, "some\0input", 11);
	spec.input = NULL; /* /dev/null: ends at once */
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_int_equal(result.output_size, 0);
	assert_string_equal(result.output, "");
	result = run(*state, ARGV("both", "to-out", "to-err"));
	assert_string_equal(result.output, "to-out");
	assert_string_equal(result.errors, "to-err");
	assert_int_equal(talloc_parent(result.output) == *state, 1);
}

/* More than any pipe holds, to a child that does not read: neither blocks nor signals. */
static void input_that_is_not_read(void **state)
{
	size_t size = 3 << 20;
	char *input = mem_array(*state, char, size);
	struct proc_spec spec = { .argv = ARGV("exit", "7"), .entry = true, .input = input, .input_size = size, .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;

	memset(input, 'i', size);
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_int_equal(result.exit_code, 7);
	spec.argv = ARGV("cat");
	spec.output_max = size;
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_int_equal(result.output_size, size);
	assert_memory_equal(result.output, input, size);
}

static void what_a_child_gets(void **state)
{
	struct proc_spec spec = { .argv = ARGV("state"), .entry = true, .env = ARGV("A=1", "B=2"), .dir = *state, .deadline_ms = SOON };
	sigset_t blocked, before;
	struct err error = ERR_INIT;
	struct proc_result result;
	char resolved[4096];
	int extra = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */

	(void)signal(SIGUSR1, SIG_IGN);
	(void)sigemptyset(&blocked);
	(void)sigaddset(&blocked, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &blocked, &before);
	assert_ok(proc_run(*state, &spec, &result, &error));
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)signal(SIGUSR1, SIG_DFL);
	(void)close(extra);
	assert_non_null(realpath(*state, resolved));
	assert_string_equal(result.output,
		mem_printf(*state, "dir=%s env=A=1,B=2, group=own blocked=0 ignored=0 open=3 death=9 name=state\n", resolved));
}

static void clean_environment(void **state)
{
	struct proc_spec spec = { .argv = ARGV("env"), .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;

	(void)setenv("LEAKED_TOKEN", "x", 1);
	(void)setenv("LANG", "C", 1);
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_null(strstr(result.output, "LEAKED_TOKEN"));
	assert_non_null(strstr(result.output, "PATH="));
	assert_non_null(strstr(result.output, "LANG=C\n"));
}

static void put_script(const char *path, const char *text, mode_t mode)
{
	struct err error = ERR_INIT;

	assert_ok(fs_write_atomic(path, text, strlen(text), mode, &error));
}

static void programs_that_cannot_start(void **state)
{
	struct proc_spec spec = { .argv = ARGV("no-such-program-anywhere"), .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc proc;

	assert_fails(proc_start(&spec, &proc, &error), ERR_NOT_FOUND);
	assert_string_equal(error.text, "program 'no-such-program-anywhere' is not in PATH");
	spec.argv = ARGV("");
	assert_fails(proc_start(&spec, &proc, &error), ERR_NOT_FOUND);
	spec.argv = ARGV("./absent");
	assert_fails(proc_start(&spec, &proc, &error), ERR_NOT_FOUND);
	put_script(IN("closed"), "#!/bin/cat\n", 0644);
	spec.argv = ARGV(IN("closed"));
	assert_fails(proc_start(&spec, &proc, &error), ERR_IO);
	assert_non_null(strstr(error.text, "Permission denied"));
	put_script(IN("orphan"), "#!/no/such/interpreter\n", 0755);
	spec.argv = ARGV(IN("orphan"));
	assert_fails(proc_start(&spec, &proc, &error), ERR_NOT_FOUND);
	put_script(IN("nothing"), "just text\n", 0755);
	spec.argv = ARGV(IN("nothing"));
	assert_fails(proc_start(&spec, &proc, &error), ERR_INVALID);
	spec.argv = ARGV("true");
	spec.dir = IN("absent-folder");
	assert_fails(proc_start(&spec, &proc, &error), ERR_NOT_FOUND);
	spec.dir = NULL;
	spec.entry = true;
	spec.argv = ARGV("no-such-entry");
	assert_fails(proc_start(&spec, &proc, &error), ERR_NOT_FOUND);
	spec.detach = true;
	spec.entry = false;
	spec.argv = ARGV("./absent");
	assert_fails(proc_start(&spec, &proc, &error), ERR_NOT_FOUND);
}

static void search_in_path(void **state)
{
	struct proc_spec spec = { .argv = ARGV("tool"), .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;
	char *path = mem_printf(*state, "PATH=relative:%s:%s", IN("one"), IN("two"));

	assert_ok(fs_mkdirs(IN("one/tool"), 0755, &error)); /* a folder of that name is no program */
	assert_ok(fs_mkdirs(IN("two"), 0755, &error));
	put_script(IN("two/tool"), "#!/bin/cat\nfound\n", 0755);
	spec.env = (const char *const[]){ path, NULL };
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_string_equal(result.output, "#!/bin/cat\nfound\n");
	spec.env = NULL;
	spec.dir = IN("two");
	spec.argv = ARGV("./tool"); /* relative to the child's folder */
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_int_equal(result.exit_code, 0);
}

static void deadline_is_firm(void **state)
{
	struct proc_spec spec = { .argv = ARGV("stubborn"), .entry = true, .deadline_ms = clock_mono_ms() + 150, .grace_ms = 50 };
	struct err error = ERR_INIT;
	struct proc_result result;

	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_true(result.timed_out);
	assert_int_equal(result.signal, SIGKILL); /* it ignores SIGTERM */
	assert_string_equal(result.output, "ready\nasked to end\n");
	assert_true(clock_mono_ms() >= spec.deadline_ms + spec.grace_ms);
	spec.argv = ARGV("wait");
	spec.deadline_ms = clock_mono_ms() + 50;
	spec.grace_ms = 10000;
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_true(result.timed_out);
	assert_int_equal(result.signal, SIGTERM);  /* without using up its grace */
	spec.deadline_ms = clock_mono_ms() - 1000; /* already passed */
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_true(result.timed_out);
}

static void output_is_bounded(void **state)
{
	struct proc_spec spec = { .argv = ARGV("flood", "1000000000"),
		.entry = true,
		.output_max = 1000,
		.deadline_ms = clock_mono_ms() + 120000 };
	struct rusage before, after;
	struct err error = ERR_INIT;
	struct proc_result result;

	(void)getrusage(RUSAGE_SELF, &before);
	assert_ok(proc_run(*state, &spec, &result, &error));
	(void)getrusage(RUSAGE_SELF, &after);
	assert_true(result.overflowed);
	assert_int_equal(result.exit_code, 0);
	assert_memory_equal(result.output, "000000000\n000000001\n", 20);
	assert_non_null(strstr(result.output, "\n[... 999999000 bytes left out ...]\n"));
	assert_string_equal(result.output + result.output_size - 20, "099999998\n099999999\n");
	assert_memory_equal(result.output + result.output_size - 500, "099999950\n", 10);
	assert_true(after.ru_maxrss - before.ru_maxrss < 8 * 1024); /* KiB */
}

static void output_of_every_size(void **state)
{
	struct err error = ERR_INIT;
	struct proc_result result;

	for (size_t max = 97; max <= 303; max += 103)
		for (int size = 10; size <= 700; size += 230) {
			struct proc_spec spec = { .argv = ARGV("flood", mem_printf(*state, "%d", size)),
				.entry = true,
				.output_max = max,
				.deadline_ms = SOON };
			size_t half = max / 2;
			char *whole = mem_strdup(*state, "");

			for (int i = 0; i < size / 10; i++)
				whole = mem_appendf(whole, "%09d\n", i);
			assert_ok(proc_run(*state, &spec, &result, &error));
			assert_int_equal(result.overflowed, (size_t)size > max);
			if ((size_t)size > max)
				whole = mem_printf(*state, "%.*s\n[... %zu bytes left out ...]\n%s", (int)half, whole, (size_t)size - max,
					whole + (size_t)size - (max - half));
			assert_string_equal(result.output, whole);
		}
}

static void overflow_can_kill(void **state)
{
	struct proc_spec spec = { .argv = ARGV("flood", "-1"),
		.entry = true,
		.output_max = 1000,
		.kill_on_overflow = true,
		.deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;

	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_true(result.overflowed);
	assert_false(result.timed_out);
	assert_int_equal(result.signal, SIGKILL);
	assert_int_equal(result.output_size, 1000);
	assert_fails(proc_run_ok(*state, &spec, &result, &error), ERR_DRIVER);
	assert_non_null(strstr(error.text, "wrote more than 1000 B"));
}

/* "pid start-time" as the lingering entries print it. */
static void read_identity(const char *text, pid_t *ret_pid, uint64_t *ret_start)
{
	long long start = 0;

	assert_int_equal(sscanf(text, "%d %lld", ret_pid, &start), 2);
	*ret_start = (uint64_t)start;
	assert_true(start > 0);
}

static void what_lingers_is_killed(void **state)
{
	struct proc_result result = run(*state, ARGV("linger"));
	uint64_t start;
	pid_t pid;

	assert_int_equal(result.exit_code, 3);
	read_identity(result.output, &pid, &start);
	assert_true(proc_wait_gone(pid, start, SOON));
}

static void what_fled_cannot_hold_us(void **state)
{
	struct proc_result result = run(*state, ARGV("flee"));
	uint64_t start;
	pid_t pid;

	assert_int_equal(result.exit_code, 3);
	read_identity(result.output, &pid, &start);
	assert_true(proc_alive(pid, start)); /* it left the group and holds our pipes open: we came back all the same */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(proc_wait_gone(pid, start, SOON));
}

static void wait_readable(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&wait, 1, 20000), 1);
}

static void handles(void **state)
{
	struct proc_spec spec = { .argv = ARGV("cat"), .entry = true, .want_input = true };
	struct proc_result result = { 0 };
	struct err error = ERR_INIT;
	char buffer[16] = "";
	struct proc proc;

	assert_ok(proc_start(&spec, &proc, &error));
	assert_true(proc.pid > 1 && proc.pidfd >= 0 && proc.in >= 0);
	assert_int_equal(getpgid(proc.pid), proc.pid);
	assert_int_equal(proc_poll(&proc, &result), 0);
	assert_int_equal(write(proc.in, "ping", 4), 4);
	wait_readable(proc.out);
	assert_int_equal(read(proc.out, buffer, sizeof(buffer)), 4);
	assert_string_equal(buffer, "ping");
	assert_int_equal(read(proc.out, buffer, sizeof(buffer)), -1); /* does not block */
	assert_int_equal(errno, EAGAIN);
	cleanup_close(&proc.in);
	wait_readable(proc.status_fd >= 0 ? proc.status_fd : proc.pidfd);
	assert_int_equal(proc_poll(&proc, &result), 1);
	assert_int_equal(result.exit_code, 0);
	assert_int_equal(proc.pid, 0);
	assert_int_equal(proc_poll(&proc, &result), 1);
	proc_kill(&proc, SIGKILL); /* hits nobody */
	proc_close(&proc);
	assert_int_equal(proc.out, -1);
}

static void closing_kills(void **state)
{
	struct proc_spec spec = { .argv = ARGV("stubborn"), .entry = true, .want_input = true };
	struct err error = ERR_INIT;
	struct proc proc, never = { 0 };
	uint64_t start;
	pid_t pid;

	assert_ok(proc_start(&spec, &proc, &error));
	pid = proc.pid;
	start = proc_start_time(pid);
	assert_true(proc_alive(pid, start));
	wait_readable(proc.out);
	proc_kill(&proc, SIGTERM); /* it does not mind */
	proc_close(&proc);
	assert_false(proc_alive(pid, start));
	proc_close(&never);
	assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0); /* an untouched handle closes nothing */
}

/* A write to a child that is gone gives EPIPE and no signal. */
static void writing_to_the_dead(void **state)
{
	struct proc_spec spec = { .argv = ARGV("exit", "0"), .entry = true, .want_input = true };
	struct err error = ERR_INIT;
	struct proc proc;

	assert_ok(proc_start(&spec, &proc, &error));
	wait_readable(proc.status_fd >= 0 ? proc.status_fd : proc.pidfd);
	assert_int_equal(write(proc.in, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	proc_close(&proc);
}

static void detached_lives_on(void **state)
{
	struct proc_spec spec = { .argv = ARGV("service"), .entry = true, .detach = true, .output_path = IN("log") };
	struct err error = ERR_INIT;
	char *text = NULL;
	struct proc proc;
	uint64_t start;

	assert_ok(proc_start(&spec, &proc, &error));
	start = proc_start_time(proc.pid);
	assert_true(proc_alive(proc.pid, start));
	assert_int_equal(proc.pidfd, -1);
	assert_int_equal(getsid(proc.pid), proc.pid);
	assert_int_equal(getpgid(proc.pid), proc.pid);
	{
		pid_t pid = proc.pid;
		struct proc_result result;

		assert_int_equal(proc_poll(&proc, &result), 0);
		assert_false(proc_wait_gone(pid, start, clock_mono_ms() + 20)); /* the deadline holds */
		proc_close(&proc);
		assert_true(proc_alive(pid, start));
		for (int64_t limit = SOON; clock_mono_ms() < limit && (!text || !strstr(text, "\n")); (void)poll(NULL, 0, 2))
			assert_ok(fs_read(*state, IN("log"), 1000, &text, NULL, &error));
		assert_string_equal(text, "out err death=0\n");
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_true(proc_wait_gone(pid, start, SOON));
		assert_false(proc_alive(pid, start));
	}
}

static void output_goes_to_a_file(void **state)
{
	struct proc_spec spec = { .argv = ARGV("both", "A", "B"), .entry = true, .output_path = IN("log"), .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;
	char *text;

	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_ok(proc_run(*state, &spec, &result, &error));
	assert_string_equal(result.output, "");
	assert_ok(fs_read(*state, IN("log"), 100, &text, NULL, &error));
	assert_string_equal(text, "ABAB");
	spec.output_path = IN("absent/log");
	assert_fails(proc_run(*state, &spec, &result, &error), ERR_NOT_FOUND);
}

static void run_ok_explains(void **state)
{
	struct proc_spec spec = { .argv = ARGV("both", "said", "one\n\ntwo\nthree\x1b\nfour\n", "4"), .entry = true, .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;

	assert_fails(proc_run_ok(*state, &spec, &result, &error), ERR_DRIVER);
	assert_string_equal(error.text, "'both': exit code 4: two | three\\x1b | four");
	spec.argv = ARGV("both", "only out", "", "4");
	assert_fails(proc_run_ok(*state, &spec, &result, &error), ERR_DRIVER);
	assert_string_equal(error.text, "'both': exit code 4: only out");
	spec.argv = ARGV("signal", "9");
	assert_fails(proc_run_ok(*state, &spec, &result, &error), ERR_DRIVER);
	assert_string_equal(error.text, "'signal': ended by signal KILL");
	spec.argv = ARGV("wait");
	spec.deadline_ms = clock_mono_ms() + 30;
	assert_fails(proc_run_ok(*state, &spec, &result, &error), ERR_TIMEOUT);
	spec.argv = ARGV("exit", "0");
	spec.deadline_ms = SOON;
	assert_ok(proc_run_ok(*state, &spec, &result, &error));
}

/* An entry can itself start children: directly, since the spawner is not its own. */
static void children_of_entries(void **state)
{
	struct proc_result result = run(*state, ARGV("nested"));

	assert_string_equal(result.output, "from below");
	assert_int_equal(result.exit_code, 0);
}

static void identity(void **state)
{
	int status;
	pid_t pid;

	assert_true(proc_start_time(getpid()) > 0);
	assert_int_equal(proc_start_time(-1), 0);
	assert_true(proc_alive(getpid(), proc_start_time(getpid())));
	assert_false(proc_alive(getpid(), proc_start_time(getpid()) + 1));
	assert_false(proc_alive(getpid(), 0));
	pid = fork();
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	assert_int_equal(proc_start_time(pid), 0); /* a zombie is dead */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(proc_wait_gone(pid, 12345, SOON));
}

static void too_many_arguments(void **state)
{
	char *big = mem_array(*state, char, 4 << 20);
	struct proc_spec spec = { .argv = ARGV("true", big), .deadline_ms = SOON };
	struct err error = ERR_INIT;
	struct proc_result result;

	memset(big, 'x', (4 << 20) - 1);
	assert_fails(proc_run(*state, &spec, &result, &error), ERR_TOO_LARGE);
	big[100000] = 0; /* but this fits */
	assert_ok(proc_run(*state, &spec, &result, &error));
}

#define TEST(name) \
	{ \
#name, name, folder_setup, folder_teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(exit_codes),
		TEST(signals),
		TEST(input_and_output),
		TEST(input_that_is_not_read),
		TEST(what_a_child_gets),
		TEST(clean_environment),
		TEST(programs_that_cannot_start),
		TEST(search_in_path),
		TEST(deadline_is_firm),
		TEST(output_is_bounded),
		TEST(output_of_every_size),
		TEST(overflow_can_kill),
		TEST(what_lingers_is_killed),
		TEST(what_fled_cannot_hold_us),
		TEST(handles),
		TEST(closing_kills),
		TEST(writing_to_the_dead),
		TEST(detached_lives_on),
		TEST(output_goes_to_a_file),
		TEST(run_ok_explains),
		TEST(children_of_entries),
		TEST(identity),
		TEST(too_many_arguments),
	};
	struct err error = ERR_INIT;
	int failed;

	proc_entries(test_entries, ARRAY_SIZE(test_entries));
	failed = cmocka_run_group_tests_name("direct", tests, NULL, NULL);
	if (spawner_start(&error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	failed += cmocka_run_group_tests_name("spawner", tests, NULL, NULL);
	spawner_stop();
	return failed;
}
