/* Ids: the format, the order within a process, no twins across threads and forks. */
#include "cmocka_base.h"

#include <pthread.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/id.h"

static void known_values(void **state)
{
	static const uint8_t zeros[10], ones[10] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 },
					last[10] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 33 };
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_string_equal(id_from(ctx, "run", 0, zeros), "run-00000000000000000000000000");
	assert_string_equal(id_from(ctx, "run", 0, last), "run-00000000000000000000000011");
	assert_string_equal(id_from(ctx, "a-b", 281474976710655, ones), "a-b-7zzzzzzzzzzzzzzzzzzzzzzzzz");
	/* The example of the ULID specification: 01ARZ3NDEKTSV4RRFFQ69G5FAV is 1469922850259 ms. */
	assert_memory_equal(id_from(ctx, "run", 1469922850259, zeros), "run-01arz3ndek", 14);
}

static void time_comes_back(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	int64_t ms;

	assert_ok(id_time("run-01arz3ndektsv4rrffq69g5fav", &ms, &error));
	assert_int_equal(ms, 1469922850259);
	assert_ok(id_time(id_new(ctx, "dep"), &ms, &error));
	assert_in_range(ms, clock_wall_ms() - 60000, clock_wall_ms() + 60000);
	ms = 5;
	assert_fails(id_time("01arz3ndektsv4rrffq69g5fav", &ms, &error), ERR_INVALID);
	assert_fails(id_time("-01arz3ndektsv4rrffq69g5fav", &ms, &error), ERR_INVALID);
	assert_fails(id_time("run-01arz3ndektsv4rrffq69g5fa", &ms, &error), ERR_INVALID);
	assert_fails(id_time("run-81arz3ndektsv4rrffq69g5fav", &ms, &error), ERR_INVALID);
	assert_fails(id_time("run-01arz3ndektsv4rrffq69g5fau", &ms, &error), ERR_INVALID);
	assert_fails(id_time("", &ms, &error), ERR_INVALID);
	assert_int_equal(ms, 5);
}

static void order_in_one_process(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *previous = id_new(ctx, "run");

	for (int i = 0; i < 5000; i++) {
		char *next = id_new(ctx, "run");

		assert_true(strcmp(previous, next) < 0);
		previous = next;
	}
}

#define PER_THREAD 500

static void *make_many(void *argument)
{
	char **ids = argument;

	for (int i = 0; i < PER_THREAD; i++)
		ids[i] = id_new(NULL, "run");
	return NULL;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void no_twins_across_threads(void **state)
{
	static char *ids[4 * PER_THREAD];
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_many, ids + i * PER_THREAD), 0);
	for (size_t i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	qsort(ids, ARRAY_SIZE(ids), sizeof(*ids), compare);
	for (size_t i = 1; i < ARRAY_SIZE(ids); i++)
		assert_string_not_equal(ids[i - 1], ids[i]);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		(void)talloc_free(ids[i]);
}

/* A forked child must not count up from its parent's last number. */
static void no_twins_across_forks(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char theirs[64] = "", *before = id_new(ctx, "run"), *ours;
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		char *id = id_new(NULL, "run");

		_exit(write(ends[1], id, strlen(id)) < 0);
	}
	ours = id_new(ctx, "run");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(read(ends[0], theirs, sizeof(theirs) - 1) > 0);
	assert_string_not_equal(ours, theirs);
	/* 70 of the 80 random bits: counting up would leave them as they were. */
	assert_true(strncmp(before + 14, theirs + 14, 14) != 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_values), cmocka_unit_test(time_comes_back),
		cmocka_unit_test(order_in_one_process), cmocka_unit_test(no_twins_across_forks),
		cmocka_unit_test(no_twins_across_threads) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
