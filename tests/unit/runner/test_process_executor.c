/* The process executor against workers of every kind of bad behaviour: garbage, nothing, too much, too late, twice, forks that linger.
 * The workers are forked from this program. */
#include "checks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "data/json.h"
#include "runner/process_executor.h"

static const char *const names[] = { "good", "garbage", "half-line", "huge", "many", "silent", "nothing", "crash", "twice", "error",
	"odd-error", "stubborn", "stderr", "sleeps", "env", "logs", "serves", NULL };
static struct driver fakes[ARRAY_SIZE(names)];
static const struct driver *list[ARRAY_SIZE(names)];
static const struct catalogue catalogue = { .drivers = list };
static bool with_spawner;

static void say(const char *text)
{
	(void)!write(STDOUT_FILENO, text, strlen(text));
}

static void say_much(const char *piece, size_t total)
{
	size_t size = strlen(piece);

	for (size_t sent = 0; sent < total; sent += size)
		if (write(STDOUT_FILENO, piece, size) != (ssize_t)size)
			return;
}

/* Sleeps until it is killed. */
static void sleep_on(void)
{
	for (;;)
		(void)pause();
}

/* A word that nobody asked for. */
static void speak_unasked(int signal)
{
	(void)signal;
	say("{\"log\":{\"level\":\"info\",\"message\":\"by the way\"}}\n");
	_exit(0);
}

/* A worker as the real ones: request after request, until its input ends. What it is to do stands in the request. */
static int serve(FILE *input)
{
	size_t room = 0, served = 0;
	char *request = NULL, line[96];
	ssize_t n;

	(void)signal(SIGUSR1, speak_unasked);
	while ((n = getline(&request, &room, input)) > 0) {
		if (strstr(request, "\"garbage\""))
			say("rubbish\n");
		else if (strstr(request, "\"crash\""))
			(void)kill(getpid(), SIGSEGV);
		else if (strstr(request, "\"hang\""))
			sleep_on();
		else if (strstr(request, "\"twice\""))
			say("{\"result\":{}}\n{\"result\":{}}\n");
		else if (strstr(request, "\"words\""))
			(void)!write(STDERR_FILENO, "in passing\n", 11);
		(void)snprintf(line, sizeof(line), "{\"result\":{\"pid\":%d,\"served\":%zu,\"size\":%zd}}\n", (int)getpid(), ++served, n);
		if (!strstr(request, "\"garbage\"") && !strstr(request, "\"twice\""))
			say(line);
	}
	free(request);
	return 0;
}

static int act(const char *name)
{
	if (strcmp(name, "good") == 0)
		say("{\"log\":{\"level\":\"warn\",\"message\":\"careful\",\"details\":{\"a\":1}}}\n"
		    "{\"progress\":0.25,\"message\":\"some\"}\n{\"result\":{\"version\":\"1\"}}\n");
	else if (strcmp(name, "garbage") == 0)
		say("Traceback (most recent call last):\n  oh no\n");
	else if (strcmp(name, "half-line") == 0)
		say("{\"result\":{\"version\":");
	else if (strcmp(name, "huge") == 0)
		say_much("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 1u << 30);
	else if (strcmp(name, "many") == 0)
		say_much("{\"log\":{\"level\":\"info\",\"message\":\"the same again and again and again and again and again\"}}\n",
			1u << 26);
	else if (strcmp(name, "silent") == 0)
		sleep_on();
	else if (strcmp(name, "crash") == 0)
		(void)kill(getpid(), SIGSEGV);
	else if (strcmp(name, "twice") == 0)
		say("{\"result\":{\"version\":\"1\"}}\n{\"result\":{\"version\":\"2\"}}\n");
	else if (strcmp(name, "error") == 0)
		say("{\"error\":{\"code\":\"not-found\",\"message\":\"gone\",\"retryable\":false}}\n");
	else if (strcmp(name, "odd-error") == 0)
		say("{\"error\":{\"code\":\"kaputt\",\"message\":\"x\",\"retryable\":true}}\n");
	else if (strcmp(name, "stubborn") == 0) {
		(void)signal(SIGTERM, SIG_IGN);
		sleep_on();
	} else if (strcmp(name, "stderr") == 0) {
		(void)!write(STDERR_FILENO, "a hint for people\n", 18);
		return 1;
	} else if (strcmp(name, "sleeps") == 0) {
		(void)usleep(300000);
		say("{\"result\":{}}\n");
	} else if (strcmp(name, "logs") == 0) {
		for (int i = 0; i < 3000; i++)
			say("{\"log\":{\"level\":\"info\",\"message\":\"m\"}}\n");
		say("{\"result\":{}}\n");
	} else if (strcmp(name, "env") == 0) {
		char line[256];

		(void)snprintf(line, sizeof(line), "{\"result\":{\"named\":\"%s\",\"other\":\"%s\",\"path\":%s}}\n",
			getenv("UNSHIP_TEST_A") ? getenv("UNSHIP_TEST_A") : "", getenv("UNSHIP_TEST_B") ? getenv("UNSHIP_TEST_B") : "",
			getenv("PATH") ? "true" : "false");
		say(line);
	}
	return 0;
}

/* These end without a word, or in the middle of one. */
static bool gives_up(const char *name)
{
	return strcmp(name, "nothing") == 0 || strcmp(name, "half-line") == 0;
}

static int worker_main(int argc, char **argv)
{
	const char *name = argc == 3 ? argv[2] : "";
	size_t room = 0;
	char *request = NULL;
	int code = 0;

	if (strcmp(name, "serves") == 0)
		return serve(stdin);
	while (code == 0 && getline(&request, &room, stdin) > 0) {
		code = act(name);
		if (gives_up(name))
			break;
	}
	free(request);
	return code;
}

struct world {
	void *ctx;
	struct executor *executor;
	struct err err;
	char heard[4096];
};

static int begin(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	world->ctx = world;
	world->err = ERR_INIT;
	if (process_executor_new(world, &catalogue, &world->executor, &world->err) < 0)
		return -1;
	*state = world;
	return 0;
}

static int end(void **state)
{
	(void)talloc_free(*state);
	return 0;
}

static struct work work_for(struct world *world, const char *name, int64_t limit_ms)
{
	return (struct work){ .kind = WORKER_DRIVER,
		.name = name,
		.deadline_ms = clock_mono_ms() + limit_ms,
		.request = json_make(world->ctx, "{s:s, s:i, s:{}, s:s}", "verb", "observe", "protocol", 1, "component", "projectDir",
			"/tmp") };
}

static struct work_result call(struct world *world, const char *name, int64_t limit_ms)
{
	struct work work = work_for(world, name, limit_ms);
	struct work_result result;
	int r = executor_call(world->executor, world->ctx, &work, &result, &world->err);

	assert_int_equal(r, result.result ? 0 : -(int)result.err.code);
	return result;
}

/* A message in the kept logs, or NULL. */
static json_t *logged(const struct work_result *result, const char *message)
{
	json_t *entry;
	size_t i;

	json_array_foreach(result->logs, i, entry)
		if (strstr(json_str(entry, "message", ""), message))
			return entry;
	return NULL;
}

static void hear_log(void *user, uint64_t id, enum log_level level, const char *message)
{
	struct world *world = user;

	(void)id;
	(void)snprintf(world->heard, sizeof(world->heard), "%s %s", log_level_name(level), message);
}

static void hear_progress(void *user, uint64_t id, double share, const char *message)
{
	struct world *world = user;
	size_t used = strlen(world->heard);

	(void)id;
	(void)snprintf(world->heard + used, sizeof(world->heard) - used, ", %.2f %s", share, message);
}

static void test_good(void **state)
{
	struct world *world = *state;
	struct work_result result;

	world->executor->on_log = hear_log;
	world->executor->on_progress = hear_progress;
	world->executor->user = world;
	result = call(world, "good", 10000);
	assert_string_equal(json_str(result.result, "version", ""), "1");
	assert_true(result.answered);
	assert_string_equal(world->heard, "warn careful, 0.25 some");
	assert_string_equal(json_str(logged(&result, "careful"), "level", ""), "warn");
	assert_non_null(json_str(logged(&result, "careful"), "at", NULL));
}

static void test_not_the_protocol(void **state)
{
	struct world *world = *state;
	struct work_result result = call(world, "garbage", 10000);

	assert_int_equal(result.err.code, ERR_DRIVER);
	assert_string_equal(result.err.text, "printed something that is not the protocol: 'Traceback (most recent call last):'");
	assert_false(result.answered);
	assert_true(result.retryable);
	assert_non_null(strstr(json_str(json_object_get(logged(&result, "last output"), "details"), "stdout", ""), "oh no"));

	result = call(world, "half-line", 10000);
	assert_int_equal(result.err.code, ERR_DRIVER);
	assert_non_null(strstr(result.err.text, "not the protocol"));
	result = call(world, "twice", 10000);
	assert_int_equal(result.err.code, ERR_DRIVER);
	assert_non_null(strstr(result.err.text, "answered twice"));
	assert_false(result.answered);
}

/* A gigabyte is neither kept nor waited for. */
static void test_too_much(void **state)
{
	struct world *world = *state;
	struct work_result result = call(world, "huge", 60000);
	json_t *details = json_object_get(logged(&result, "last output"), "details");

	assert_int_equal(result.err.code, ERR_DRIVER);
	assert_non_null(strstr(result.err.text, "not the protocol: '0123456789abcdef"));
	assert_in_range(strlen(json_str(details, "stdout", "")), 1000, 20000);
	result = call(world, "many", 60000);
	assert_int_equal(result.err.code, ERR_DRIVER);
	assert_non_null(strstr(result.err.text, "printed more than"));
	result = call(world, "logs", 60000);
	assert_non_null(result.result);
	assert_in_range(json_array_size(result.logs), 900, 1001);
	assert_non_null(logged(&result, "2000 more log entries"));
}

static void test_no_answer(void **state)
{
	struct world *world = *state;
	struct work_result result = call(world, "nothing", 10000);

	assert_int_equal(result.err.code, ERR_DRIVER);
	assert_string_equal(result.err.text, "ended with exit code 0 without an answer");
	result = call(world, "crash", 10000);
	assert_string_equal(result.err.text, "ended by signal SEGV without an answer");
	result = call(world, "stderr", 10000);
	assert_int_equal(result.err.code, ERR_DRIVER);
	assert_string_equal(json_str(json_object_get(logged(&result, "last output"), "details"), "stderr", ""), "a hint for people\n");
}

static void test_own_errors(void **state)
{
	struct world *world = *state;
	struct work_result result = call(world, "error", 10000);

	assert_int_equal(result.err.code, ERR_NOT_FOUND);
	assert_string_equal(result.err.text, "gone");
	assert_true(result.answered);
	assert_false(result.retryable);
	result = call(world, "odd-error", 10000);
	assert_int_equal(result.err.code, ERR_DRIVER);
	assert_true(result.retryable);
}

static void test_deadline(void **state)
{
	struct world *world = *state;
	struct work_result result = call(world, "silent", 200);

	assert_int_equal(result.err.code, ERR_TIMEOUT);
	assert_true(result.retryable);
	assert_false(result.answered);
	result = call(world, "stubborn",
		1500); /* time enough to begin to ignore SIGTERM, also on a busy machine: SIGKILL comes 2 s later */
	assert_int_equal(result.err.code, ERR_TIMEOUT);
	assert_true(result.duration_ms > 2000);
}

/* A call of "serves" that says `what`, about the component `name`. */
static struct work_result ask(struct world *world, const char *name, const char *what, int64_t limit_ms)
{
	struct work work = work_for(world, "serves", limit_ms);
	struct work_result result;

	json_put_str(work.request, "name", name);
	json_put_str(work.request, "verb", what);
	assert_int_equal(executor_call_all(world->executor, world->ctx, &work, 1, &result, &world->err), 0);
	return result;
}

static int64_t pid_of(const struct work_result *result)
{
	assert_non_null(result->result);
	return json_int(result->result, "pid", 0);
}

/* One worker serves what is asked about one thing; another thing has its own. */
static void test_one_for_several(void **state)
{
	struct world *world = *state;
	struct work_result first = ask(world, "api", "observe", 10000), second = ask(world, "api", "apply", 10000);
	struct work_result other = ask(world, "web", "observe", 10000), words = ask(world, "api", "words", 10000);
	struct work work = work_for(world, "serves", 10000);
	struct work_result configured;

	assert_int_equal(pid_of(&first), pid_of(&second));
	assert_int_equal(json_int(second.result, "served", 0), 2);
	assert_int_not_equal(pid_of(&first), pid_of(&other));
	assert_int_equal(pid_of(&first), pid_of(&words));
	assert_string_equal(json_str(json_object_get(logged(&words, "standard error"), "details"), "stderr", ""), "in passing\n");
	assert_null(logged(&second, ""));
	/* The same name with another configuration, which may hold other secrets, is another thing. */
	json_put_str(work.request, "name", "api");
	(void)json_object_set_new(work.request, "component", json_pack("{s:{s:s}}", "token", "env", "UNSHIP_TEST_A"));
	assert_int_equal(executor_call(world->executor, world->ctx, &work, &configured, &world->err), 0);
	assert_int_not_equal(pid_of(&configured), pid_of(&first));
}

/* Two requests about one thing at the same time have two workers. */
static void test_not_shared_at_work(void **state)
{
	struct world *world = *state;
	struct work works[] = { work_for(world, "serves", 10000), work_for(world, "serves", 10000) };
	struct work_result results[2];

	assert_int_equal(executor_call_all(world->executor, world->ctx, works, 2, results, &world->err), 0);
	assert_int_not_equal(pid_of(&results[0]), pid_of(&results[1]));
}

/* What a worker does wrong at its second request ends it as at its first, and it is not asked again. */
static void test_second_request_goes_wrong(void **state)
{
	static const struct {
		const char *what, *says;
		enum err_code code;
	} cases[] = {
		{ "garbage", "not the protocol: 'rubbish'", ERR_DRIVER },
		{ "twice", "answered twice", ERR_DRIVER },
		{ "crash", "ended by signal SEGV without an answer", ERR_DRIVER },
		{ "hang", "no answer after", ERR_TIMEOUT },
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct work_result first = ask(world, "api", "observe", 10000), wrong, next;
		int64_t pid = pid_of(&first);

		wrong = ask(world, "api", cases[i].what, strcmp(cases[i].what, "hang") == 0 ? 100 : 10000);
		assert_null(wrong.result);
		assert_int_equal(wrong.err.code, cases[i].code);
		assert_non_null(strstr(wrong.err.text, cases[i].says));
		assert_false(wrong.answered);
		assert_int_equal(proc_start_time((pid_t)pid), 0);
		next = ask(world, "api", "observe", 10000);
		assert_int_not_equal(pid_of(&next), pid);
		assert_int_equal(json_int(next.result, "served", 0), 1);
	}
}

/* Threads that are left of it, a dead first one among them: a sanitizer has one of its own, which holds the pipes open until it is gone too. */
static size_t threads_of(pid_t pid)
{
	_cleanup_talloc_ char **threads = NULL;
	struct err error = ERR_INIT;
	size_t count = 0;

	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if (fs_list(NULL, path, &threads, &error) < 0)
		return 0;
	while (threads[count])
		count++;
	return count;
}

static bool is_gone(json_t *result)
{
	pid_t pid = (pid_t)json_int(result, "pid", 0);

	assert_true(pid > 1);
	for (int64_t limit = clock_mono_ms() + 5000; clock_mono_ms() < limit; (void)usleep(1000))
		if (proc_start_time(pid) == 0 && threads_of(pid) <= 1)
			return true;
	return false;
}

/* One that died, or spoke, between two requests is not used for the second: that gets a new one, and loses nothing. */
static void test_ended_between_requests(void **state)
{
	static const int signals[] = { SIGKILL, SIGUSR1 };
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct work_result first = ask(world, "api", "observe", 10000), next;

		assert_int_equal(kill((pid_t)pid_of(&first), signals[i]), 0);
		assert_true(is_gone(first.result));
		next = ask(world, "api", "observe", 10000);
		assert_int_not_equal(pid_of(&next), pid_of(&first));
		assert_null(logged(&next, "by the way"));
	}
}

static void test_rest(void **state)
{
	struct world *world = *state;
	struct work_result first = ask(world, "api", "observe", 10000), next;

	world->executor->ops->rest(world->executor);
	next = ask(world, "api", "observe", 10000);
	assert_int_not_equal(pid_of(&next), pid_of(&first));
	assert_true(is_gone(first.result));
}

/* More than a pipe takes at once. */
static void test_large_request(void **state)
{
	struct world *world = *state;
	struct work work = work_for(world, "serves", 20000);
	struct work_result result;
	char *text = mem_array(world->ctx, char, (1u << 20) + 1);

	memset(text, 'x', 1u << 20);
	for (int i = 1; i <= 2; i++) {
		json_put_str(work.request, "reason", text);
		assert_int_equal(executor_call(world->executor, world->ctx, &work, &result, &world->err), 0);
		assert_true(json_int(result.result, "size", 0) > 1 << 20);
		assert_int_equal(json_int(result.result, "served", 0), i);
	}
}

static void test_stop(void **state)
{
	struct world *world = *state;
	const struct executor_ops *ops = world->executor->ops;
	struct work one = work_for(world, "silent", 60000), other = work_for(world, "sleeps", 60000);
	struct work_result result;

	one.id = 7;
	other.id = 8;
	assert_int_equal(ops->start(world->executor, &one, &world->err), 0);
	assert_int_equal(ops->start(world->executor, &other, &world->err), 0);
	assert_int_equal(ops->wait(world->executor, world->ctx, ops->mono_ms(world->executor) + 20, &result, &world->err), 0);
	ops->stop(world->executor, 7);
	ops->stop(world->executor, 99); /* nobody */
	assert_int_equal(ops->wait(world->executor, world->ctx, clock_mono_ms() + 10000, &result, &world->err), 1);
	assert_int_equal(result.id, 7);
	assert_int_equal(result.err.code, ERR_CANCELLED);
	assert_int_equal(ops->wait(world->executor, world->ctx, clock_mono_ms() + 10000, &result, &world->err), 1);
	assert_int_equal(result.id, 8);
	assert_non_null(result.result);
}

static void *wake_soon(void *executor)
{
	(void)usleep(50000);
	process_executor_wake(executor);
	return NULL;
}

static void test_wake(void **state)
{
	struct world *world = *state;
	int64_t from = clock_mono_ms();
	struct work_result result;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wake_soon, world->executor), 0);
	assert_int_equal(world->executor->ops->wait(world->executor, world->ctx, from + 20000, &result, &world->err), 0);
	assert_in_range(clock_mono_ms() - from, 40, 10000);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_many_at_once(void **state)
{
	struct world *world = *state;
	struct work works[40];
	struct work_result results[40];
	int64_t from = clock_mono_ms();

	for (size_t i = 0; i < 40; i++)
		works[i] = work_for(world, i == 5 ? "error" : i == 6 ? "no-such-driver" : i < 20 ? "sleeps" : "good", 30000);
	assert_int_equal(executor_call_all(world->executor, world->ctx, works, 40, results, &world->err), 0);
	for (size_t i = 0; i < 40; i++) {
		assert_int_equal(results[i].id, i);
		assert_true(i == 5 || i == 6 || results[i].result != NULL);
	}
	assert_int_equal(results[5].err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(results[6].err.text, "unship-driver-no-such-driver"));
	assert_true(clock_mono_ms() - from < 18 * 300); /* at once, and not one after another */
	assert_int_equal(executor_call_all(world->executor, world->ctx, works, 0, results, &world->err), 0);
}

static void test_environment(void **state)
{
	struct world *world = *state;
	struct work work = work_for(world, "env", 10000);
	struct work_result result;

	assert_int_equal(setenv("UNSHIP_TEST_A", "mine", 1), 0);
	assert_int_equal(setenv("UNSHIP_TEST_B", "another's", 1), 0);
	(void)json_object_set_new(work.request, "component", json_pack("{s:[{s:s}]}", "tokens", "env", "UNSHIP_TEST_A"));
	assert_int_equal(executor_call(world->executor, world->ctx, &work, &result, &world->err), 0);
	assert_string_equal(json_str(result.result, "named", ""), "mine");
	assert_string_equal(json_str(result.result, "other", "?"), "");
	assert_true(json_flag(result.result, "path", false));
}

static void write_program(const char *dir, const char *name, const char *text)
{
	_cleanup_talloc_ char *path = fs_join(NULL, dir, name);
	struct err err = ERR_INIT;

	assert_int_equal(fs_write_atomic(path, text, strlen(text), 0755, &err), 0);
}

/* A driver of the user's own, in PATH; a secret that it resolved itself and prints is scrubbed. */
static void test_external(void **state)
{
	struct world *world = *state;
	char *dir = mem_printf(world->ctx, "%s/unship-test-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp"),
	     *path = mem_strdup(world->ctx, getenv("PATH"));
	struct work work = work_for(world, "mine", 10000);
	struct work_result result;

	assert_non_null(mkdtemp(dir));
	write_program(dir, "unship-driver-mine",
		"#!/bin/sh\nread -r line\nprintf '{\"log\":{\"level\":\"info\",\"message\":\"%s\"}}\\n' \"$UNSHIP_TEST_A\"\n"
		"printf '{\"result\":{\"version\":\"x-%s\"}}\\n' \"$UNSHIP_TEST_A\"\n");
	write_program(dir, "unship-driver-good", "#!/bin/sh\necho rubbish\n");
	assert_false(process_executor_external(world->executor, "mine"));
	assert_int_equal(setenv("PATH", mem_printf(world->ctx, "%s:%s", dir, path), 1), 0);
	assert_true(process_executor_external(world->executor, "mine"));
	assert_false(process_executor_external(world->executor, "../mine"));
	assert_int_equal(setenv("UNSHIP_TEST_A", "the-secret-value", 1), 0);
	(void)json_object_set_new(work.request, "component", json_pack("{s:{s:s}}", "token", "env", "UNSHIP_TEST_A"));
	assert_int_equal(executor_call(world->executor, world->ctx, &work, &result, &world->err), 0);
	assert_string_equal(json_str(result.result, "version", ""), "x-[secret]");
	assert_non_null(logged(&result, "[secret]"));
	assert_string_equal(json_str(call(world, "good", 10000).result, "version", ""), "1"); /* the built-in one wins */
	assert_int_equal(setenv("PATH", path, 1), 0);
	work.name = "../../bin/sh";
	assert_true(executor_call(world->executor, world->ctx, &work, &result, &world->err) < 0);
	assert_int_equal(fs_remove_tree(dir, &world->err), 0);
}

/* An external driver is awaited to its end, and what it leaves behind goes with it. */
static void test_external_lingers(void **state)
{
	struct world *world = *state;
	char *dir = mem_printf(world->ctx, "%s/unship-test-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp"),
	     *path = mem_strdup(world->ctx, getenv("PATH"));
	struct work_result result;

	assert_non_null(mkdtemp(dir));
	write_program(dir, "unship-driver-forks", "#!/bin/sh\nsleep 1000 &\necho \"{\\\"result\\\":{\\\"pid\\\":$!}}\"\n");
	write_program(dir, "unship-driver-lingers", "#!/bin/sh\nsleep 1000 &\necho \"{\\\"result\\\":{\\\"pid\\\":$!}}\"\nwait\n");
	write_program(dir, "unship-driver-after", "#!/bin/sh\necho '{\"result\":{}}'\nexit 3\n");
	assert_int_equal(setenv("PATH", mem_printf(world->ctx, "%s:%s", dir, path), 1), 0);
	result = call(world, "forks", 10000); /* ends, its child stays with our pipe in its hands */
	assert_non_null(result.result);
	assert_true(result.duration_ms < 9000); /* it is not waited for until the deadline */
	assert_true(is_gone(result.result));
	result = call(world, "lingers", 10000); /* answers and stays */
	assert_non_null(result.result);
	assert_non_null(logged(&result, "did not end after its answer"));
	assert_true(is_gone(result.result));
	result = call(world, "after", 10000);
	assert_non_null(result.result);
	assert_non_null(logged(&result, "exit code 3 after its answer"));
	assert_int_equal(setenv("PATH", path, 1), 0);
	assert_int_equal(fs_remove_tree(dir, &world->err), 0);
}

static void test_freed_while_working(void **state)
{
	struct world *world = *state;
	struct work work = work_for(world, "silent", 60000);

	(void)ask(world, "api", "observe", 10000); /* one more that waits */
	assert_int_equal(world->executor->ops->start(world->executor, &work, &world->err), 0);
	(void)talloc_free(world->executor);
	if (!with_spawner) {
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, not even as a zombie */
		assert_int_equal(errno, ECHILD);
	}
	assert_int_equal(process_executor_new(world, &catalogue, &world->executor, &world->err), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	static const struct proc_entry entry = { "worker", worker_main };
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_not_the_protocol),
		TEST(test_too_much),
		TEST(test_no_answer),
		TEST(test_own_errors),
		TEST(test_deadline),
		TEST(test_one_for_several),
		TEST(test_not_shared_at_work),
		TEST(test_second_request_goes_wrong),
		TEST(test_ended_between_requests),
		TEST(test_rest),
		TEST(test_large_request),
		TEST(test_stop),
		TEST(test_wake),
		TEST(test_many_at_once),
		TEST(test_environment),
		TEST(test_external),
		TEST(test_external_lingers),
		TEST(test_freed_while_working),
	};

	struct err err = ERR_INIT;
	int failed;

	json_setup();
	proc_entries(&entry, 1);
	for (size_t i = 0; names[i]; i++) {
		fakes[i].name = names[i];
		list[i] = &fakes[i];
	}
	failed = cmocka_run_group_tests_name("forked directly", tests, NULL, NULL);
	if (spawner_start(&err) < 0)
		return 1;
	with_spawner = true;
	failed += cmocka_run_group_tests_name("forked by the spawner", tests, NULL, NULL);
	spawner_stop();
	return failed;
}
