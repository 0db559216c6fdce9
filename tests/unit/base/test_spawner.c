/* The spawner: threads at the same time, and what is left when the program or the spawner dies. */
#include "cmocka_base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/proc.h"
#include "proc_entries.h"

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SOON      (clock_mono_ms() + 20000)

static int start(void **state)
{
	struct err error = ERR_INIT;

	return spawner_start(&error);
}

static int stop(void **state)
{
	spawner_stop();
	return 0;
}

/* The first line of a child's output: "pid start-time" of what it left behind. */
static void read_identity(int fd, pid_t *ret_pid, uint64_t *ret_start)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char line[64] = "";
	long long began = 0;

	assert_int_equal(poll(&wait, 1, 20000), 1);
	assert_true(read(fd, line, sizeof(line) - 1) > 0);
	assert_int_equal(sscanf(line, "%d %lld", ret_pid, &began), 2);
	*ret_start = (uint64_t)began;
}

/* The parent of a started child is the spawner. */
static pid_t parent_of(pid_t pid)
{
	_cleanup_talloc_ char *text = NULL;
	char path[64];
	struct err error = ERR_INIT;
	int parent = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	assert_ok(fs_read(NULL, path, 4096, &text, NULL, &error));
	assert_int_equal(sscanf(strrchr(text, ')'), ") %*c %d", &parent), 1);
	return parent;
}

#define RUNS 25

static void *run_many(void *argument)
{
	const char *name = argument;

	for (int i = 0; i < RUNS; i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		char *text = mem_printf(ctx, "%s-%d", name, i);
		struct proc_spec spec = { .argv = ARGV("both", text, "errors", i % 2 ? "5" : "0"), .entry = true, .deadline_ms = SOON };
		struct proc_spec program = { .argv = ARGV("cat"), .input = text, .input_size = strlen(text), .deadline_ms = SOON };
		struct err error = ERR_INIT;
		struct proc_result result = { 0 };

		if (proc_run(ctx, &spec, &result, &error) < 0 || strcmp(result.output, text) != 0 || strcmp(result.errors, "errors") != 0 ||
			result.exit_code != (i % 2 ? 5 : 0)) {
			print_error("%s: exit %d, signal %d, lost %d, timed out %d: %s\n", text, result.exit_code, result.signal,
				result.lost, result.timed_out, error.text);
			return argument;
		}
		if (i % 5 == 0 &&
			(proc_run(ctx, &program, &result, &error) < 0 || strcmp(result.output, text) != 0 || result.exit_code != 0))
			return argument;
	}
	return NULL;
}

static void eight_threads(void **state)
{
	static char names[8][8];
	pthread_t threads[8];
	void *failed;

	for (size_t i = 0; i < 8; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "t%d", (int)i);
		assert_int_equal(pthread_create(&threads[i], NULL, run_many, names[i]), 0);
	}
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

static void *start_one(void *argument)
{
	struct proc_spec spec = { .argv = ARGV("wait"), .entry = true };
	struct err error = ERR_INIT;

	return proc_start(&spec, argument, &error) < 0 ? argument : NULL;
}

/* With the spawner a child does not depend on the thread that asked for it. */
static void a_child_survives_its_thread(void **state)
{
	struct proc_result result;
	struct proc proc;
	pthread_t thread;
	void *failed;

	assert_int_equal(pthread_create(&thread, NULL, start_one, &proc), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	(void)poll(&(struct pollfd){ .fd = proc.status_fd, .events = POLLIN }, 1, 50);
	assert_int_equal(proc_poll(&proc, &result), 0);
	proc_close(&proc);
}

static void dead_spawner_is_noticed(void **state)
{
	struct proc_spec spec = { .argv = ARGV("family"), .entry = true };
	struct err error = ERR_INIT;
	struct proc_result result = { 0 };
	uint64_t start_leader, start_left;
	pid_t leader, left, spawner;
	struct proc proc;

	assert_ok(proc_start(&spec, &proc, &error));
	leader = proc.pid;
	start_leader = proc_start_time(leader);
	read_identity(proc.out, &left, &start_left);
	spawner = parent_of(leader);
	assert_true(spawner > 1 && spawner != getpid());
	assert_int_equal(kill(spawner, SIGKILL), 0);
	assert_int_equal(poll(&(struct pollfd){ .fd = proc.status_fd, .events = POLLIN }, 1, 20000), 1);
	assert_int_equal(proc_poll(&proc, &result), 1);
	assert_true(result.lost);
	assert_int_equal(result.exit_code, -1);
	proc_close(&proc);
	assert_true(proc_wait_gone(leader, start_leader, SOON));
	assert_true(proc_wait_gone(left, start_left, SOON)); /* not only the leader: its group */
	assert_fails(proc_start(&spec, &proc, &error), ERR_FAILED);
	assert_non_null(strstr(error.text, "the spawner has died"));
	assert_fails(proc_run_ok(NULL, &spec, &result, &error), ERR_FAILED);
}

static void lost_children_of_proc_run(void **state)
{
	struct proc_spec finder = { .argv = ARGV("wait"), .entry = true };
	struct err error = ERR_INIT;
	struct proc_result result;
	struct proc proc;
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	pid_t spawner, killer;
	int r;

	assert_ok(proc_start(&finder, &proc, &error));
	spawner = parent_of(proc.pid);
	killer = fork(); /* kills the spawner once it has a second child, which is ours */
	if (killer == 0) {
		char path[64], list[256];

		(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)spawner, (int)spawner);
		for (;;) {
			int fd = open(path, O_RDONLY);
			ssize_t n = read(fd, list, sizeof(list) - 1);
			int spaces = 0;

			(void)close(fd);
			for (ssize_t i = 0; i < n; i++)
				spaces += list[i] == ' ';
			if (spaces >= 2 || n < 0)
				break;
			(void)poll(NULL, 0, 1);
		}
		_exit(kill(spawner, SIGKILL) != 0);
	}
	r = proc_run_ok(ctx, &finder, &result, &error); /* the answer of the spawner may or may not have arrived */
	assert_true(r == -ERR_DRIVER || r == -ERR_FAILED);
	assert_non_null(strstr(error.text, "died"));
	(void)kill(killer, SIGKILL);
	assert_int_equal(waitpid(killer, NULL, 0), killer);
	proc_close(&proc);
}

static void stopping_kills_all(void **state)
{
	struct proc_spec spec = { .argv = ARGV("family"), .entry = true };
	struct err error = ERR_INIT;
	struct proc_result result = { 0 };
	uint64_t start_leader, start_left;
	pid_t leader, left, spawner;
	struct proc proc;

	assert_ok(proc_start(&spec, &proc, &error));
	leader = proc.pid;
	start_leader = proc_start_time(leader);
	spawner = parent_of(leader);
	read_identity(proc.out, &left, &start_left);
	spawner_stop();
	assert_int_equal(kill(spawner, 0), -1); /* waited for */
	assert_false(proc_alive(leader, start_leader));
	assert_true(proc_wait_gone(left, start_left, SOON));
	assert_int_equal(proc_poll(&proc, &result), 1); /* the end was still reported */
	assert_false(result.lost);
	assert_int_equal(result.signal, SIGKILL);
	proc_close(&proc);
	assert_ok(spawner_start(&error)); /* and can be started again */
	assert_ok(proc_start(&spec, &proc, &error));
	proc_close(&proc);
}

/* A program with a spawner and a child that has left another one behind; tells who they are, then waits to be killed. */
__attribute__((noreturn)) static void program(int out, bool with_spawner)
{
	struct proc_spec spec = { .argv = ARGV("family"), .entry = true };
	struct err error = ERR_INIT;
	uint64_t start_left;
	char text[256];
	struct proc proc;
	pid_t left;

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if ((with_spawner && spawner_start(&error) < 0) || proc_start(&spec, &proc, &error) < 0)
		_exit(1);
	read_identity(proc.out, &left, &start_left);
	(void)snprintf(text, sizeof(text), "%d %llu %d %llu %d %llu\n", (int)proc.pid, (unsigned long long)proc_start_time(proc.pid),
		(int)left, (unsigned long long)start_left, (int)parent_of(proc.pid),
		(unsigned long long)proc_start_time(parent_of(proc.pid)));
	(void)!write(out, text, strlen(text));
	wait_for_ever();
}

static void kill_program(bool whole_group)
{
	int ends[2], pids[3], status;
	unsigned long long starts[3];
	char text[256] = "";
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		program(ends[1], true);
	assert_int_equal(poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, 20000), 1);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_int_equal(sscanf(text, "%d %llu %d %llu %d %llu", &pids[0], &starts[0], &pids[1], &starts[1], &pids[2], &starts[2]), 6);
	for (size_t i = 0; i < 3; i++)
		assert_true(proc_alive(pids[i], starts[i]));
	assert_int_equal(kill(whole_group ? -pid : pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (size_t i = 0; i < 3; i++) /* child, what it left behind, spawner */
		assert_true(proc_wait_gone(pids[i], starts[i], SOON));
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void killed_program_takes_all_along(void **state)
{
	kill_program(false);
}

static void killed_group_takes_all_along(void **state)
{
	kill_program(true);
}

/* Nothing that is sent to the program's terminal group ends the spawner before the program does. */
static void signals_do_not_end_the_spawner(void **state)
{
	static const int sent[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM };
	struct proc_spec spec = { .argv = ARGV("wait"), .entry = true };
	struct err error = ERR_INIT;
	struct proc_result result;
	struct proc proc;
	pid_t spawner;

	assert_ok(proc_start(&spec, &proc, &error));
	spawner = parent_of(proc.pid);
	assert_int_equal(getpgid(spawner), spawner);
	for (size_t i = 0; i < ARRAY_SIZE(sent); i++)
		assert_int_equal(kill(spawner, sent[i]), 0);
	spec.argv = ARGV("exit", "4");
	spec.deadline_ms = SOON;
	assert_ok(proc_run(NULL, &spec, &result, &error));
	assert_int_equal(result.exit_code, 4);
	(void)talloc_free(result.output);
	(void)talloc_free(result.errors);
	proc_close(&proc);
}

/* It closes what belonged to a child after it has told of its end: what is open settles at `most` or below. */
static size_t settle_open(const char *path, size_t most)
{
	size_t count = SIZE_MAX;

	for (int64_t limit = SOON; clock_mono_ms() < limit && count > most; (void)poll(NULL, 0, 1)) {
		_cleanup_talloc_ char **names = NULL;
		struct err error = ERR_INIT;

		assert_ok(fs_list(NULL, path, &names, &error));
		for (count = 0; names[count]; count++)
			;
	}
	return count;
}

/* A thousand children leave neither descriptors nor zombies, in us or in the spawner. */
static void nothing_leaks(void **state)
{
	struct proc_spec spec = { .argv = ARGV("exit", "0"), .entry = true }, witness = { .argv = ARGV("wait"), .entry = true };
	char path[64];
	_cleanup_talloc_ char *children = NULL;
	struct err error = ERR_INIT;
	int before = count_open();
	struct proc proc;
	pid_t spawner;

	for (int i = 0; i < 300; i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct proc_result result;

		spec.argv = i % 3 ? ARGV("exit", "0") : ARGV("./absent");
		spec.entry = i % 3;
		spec.detach = i % 7 == 0 && !(i % 3);
		if (spec.detach)
			assert_fails(proc_start(&spec, &proc, &error), ERR_NOT_FOUND);
		else if (spec.entry)
			assert_ok(proc_run(ctx, &spec, &result, &error));
		else
			assert_fails(proc_run(ctx, &spec, &result, &error), ERR_NOT_FOUND);
	}
	assert_int_equal(count_open(), before);
	assert_ok(proc_start(&witness, &proc, &error));
	spawner = parent_of(proc.pid);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)spawner);
	assert_in_range(settle_open(path, 7), 6, 7); /* three streams, socket, /dev/null, signals, and the witness's status */
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)spawner, (int)spawner);
	assert_ok(fs_read(NULL, path, 4096, &children, NULL, &error));
	assert_int_equal(atoi(children), proc.pid);
	assert_null(strchr(children, ' ') && strchr(children, ' ')[1] ? children : NULL);
	proc_close(&proc);
	assert_int_equal(count_open(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_program_takes_all_along),
		cmocka_unit_test(killed_group_takes_all_along),
		TEST(dead_spawner_is_noticed),
		TEST(lost_children_of_proc_run),
		TEST(stopping_kills_all),
		TEST(signals_do_not_end_the_spawner),
		TEST(nothing_leaks),
		TEST(a_child_survives_its_thread),
		TEST(eight_threads),
	};

	proc_entries(test_entries, ARRAY_SIZE(test_entries));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
