/* Claims: leases, tokens, fences, and holders that are known to be dead. */
#include <signal.h>
#include <sys/wait.h>

#include "store_test.h"

static int claim(struct store *store, int64_t lease_ms, struct claim *ret, struct err *err)
{
	return store->journal.ops->claim(&store->journal, store, "run:run-1", lease_ms, ret, err);
}

static int renew(struct store *store, struct claim *claimed, struct err *err)
{
	return store->journal.ops->renew(&store->journal, claimed, err);
}

static int release(struct store *store, struct claim *claimed, struct err *err)
{
	return store->journal.ops->release(&store->journal, claimed, err);
}

static int append_fenced(struct store *store, const struct claim *fence, struct err *err)
{
	struct entry entry = { .kind = "note" };

	return store_append_all(store, store, fence, &entry, 1, err);
}

static void one_holder_at_a_time(void **state)
{
	struct store *first = open_store(*state), *second = open_store(*state);
	struct err error = ERR_INIT;
	struct claim mine, theirs;
	int64_t before = clock_mono_ms();
	const char *holder = "";

	assert_ok(store_holder(second, second, "run:run-1", &holder, &error));
	assert_null(holder);
	assert_ok(claim(first, 60000, &mine, &error));
	assert_ok(store_holder(second, second, "run:run-1", &holder, &error));
	assert_has(holder, "process ");
	assert_true(mine.token > 0);
	assert_string_equal(mine.name, "run:run-1");
	assert_true(mine.safe_until_ms >= before + 45000 && mine.safe_until_ms <= clock_mono_ms() + 45000);
	assert_fails(claim(second, 60000, &theirs, &error), ERR_CONFLICT);
	assert_has(error.text, "run:run-1 is held by process ");
	assert_has(error.text, "for another ");
	assert_ok(append_fenced(first, &mine, &error));
	assert_ok(renew(first, &mine, &error));
	assert_ok(release(first, &mine, &error));
	assert_ok(store_holder(second, second, "run:run-1", &holder, &error));
	assert_null(holder);
	assert_int_equal(mine.token, 0);
	assert_fails(append_fenced(first, &mine, &error), ERR_CONFLICT);
	assert_ok(claim(second, 60000, &theirs, &error));
	assert_int_equal(theirs.token, 2);
	assert_int_equal(assert_consistent(first), 1);
}

static void an_expired_lease_is_taken_over_and_fenced_off(void **state)
{
	struct store *first = open_store(*state), *second = open_store(*state);
	struct err error = ERR_INIT;
	struct claim mine, theirs, old;
	const char *holder = "";

	assert_ok(claim(first, 60000, &mine, &error));
	old = mine;
	assert_ok(run_sql(first, "UPDATE claims SET expires_ms = 1", &error));
	assert_ok(store_holder(second, second, "run:run-1", &holder, &error));
	assert_null(holder);
	assert_ok(append_fenced(first, &mine, &error)); /* late, but nobody has taken it over */
	assert_ok(claim(second, 60000, &theirs, &error));
	assert_true(theirs.token > mine.token);
	assert_fails(append_fenced(first, &mine, &error), ERR_CONFLICT);
	assert_has(error.text, "the claim on run:run-1 was lost");
	assert_fails(renew(first, &mine, &error), ERR_CONFLICT);
	assert_ok(release(first, &mine, &error)); /* lost is no error, and does not touch the other's */
	assert_ok(append_fenced(second, &theirs, &error));
	assert_ok(release(second, &theirs, &error));
	assert_fails(append_fenced(first, &old, &error), ERR_CONFLICT);
}

static void a_dead_process_holds_nothing(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct claim mine;
	int pipes[2], status;
	char ready = 0;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct store *own;
		struct claim theirs;

		if (store_open(NULL, fs_join(*state, *state, "unship.db"), NULL, NULL, &own, &error) < 0 ||
			claim(own, 3600000, &theirs, &error) < 0)
			_exit(9);
		(void)!write(pipes[1], "r", 1);
		(void)pause();
		_exit(0);
	}
	assert_int_equal(read(pipes[0], &ready, 1), 1);
	assert_fails(claim(store, 60000, &mine, &error), ERR_CONFLICT); /* it lives */
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_ok(claim(store, 60000, &mine, &error));
	assert_int_equal(mine.token, 2);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

/* The same process id means nothing on another host, after another boot or in another pid namespace. */
static void elsewhere_only_the_lease_counts(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct claim mine;

	assert_ok(claim(store, 60000, &mine, &error));
	assert_ok(run_sql(store, "UPDATE claims SET holder = 'elsewhere/boot.1/999999/5/1'", &error));
	assert_fails(claim(store, 60000, &mine, &error), ERR_CONFLICT);
	assert_has(error.text, "process 999999 on elsewhere");
	assert_ok(run_sql(store, "UPDATE claims SET holder = 'of another form'", &error));
	assert_fails(claim(store, 60000, &mine, &error), ERR_CONFLICT);
	assert_has(error.text, "of another form");
}

static int expires_row(void *user, const struct sql_value *columns, size_t count, struct err *err)
{
	*(int64_t *)user = columns[0].integer;
	return 0;
}

static void a_clock_set_back_does_not_hold_forever(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct claim mine;
	int64_t expires = 0;

	assert_ok(claim(store, 5000, &mine, &error));
	assert_ok(run_sql(store, "UPDATE claims SET expires_ms = expires_ms + 864000000, holder = 'elsewhere/boot.1/1/5/1'", &error));
	assert_fails(claim(store, 5000, &mine, &error), ERR_CONFLICT);
	assert_has(error.text, "for another 5 s");
	assert_ok(store->sql->ops->run(store->sql, "SELECT expires_ms FROM claims", NULL, 0, expires_row, &expires, &error));
	assert_true(expires <= clock_wall_ms() + 5000);
}

static void strange_leases_are_refused(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct claim mine;

	assert_fails(claim(store, 0, &mine, &error), ERR_INVALID);
	assert_fails(claim(store, INT64_MAX, &mine, &error), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_holder_at_a_time),
		TEST(an_expired_lease_is_taken_over_and_fenced_off),
		TEST(a_dead_process_holds_nothing),
		TEST(elsewhere_only_the_lease_counts),
		TEST(a_clock_set_back_does_not_hold_forever),
		TEST(strange_leases_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
