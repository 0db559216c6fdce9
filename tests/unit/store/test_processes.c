/* Several processes on one store, and processes that are killed while they append. */
#include <signal.h>
#include <sys/wait.h>

#include "store_test.h"

#define EACH  500
#define KILLS 12

static int append_many(const char *folder, int count)
{
	struct err err = ERR_INIT;
	struct store *store;

	if (store_open(NULL, fs_join(folder, folder, "unship.db"), NULL, NULL, &store, &err) < 0)
		return 1;
	for (int i = 0; i < count; i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct entry entry = entry_make(ctx, ENTRY_FLAG_SET, "production", NULL, "{s:s, s:s}", "flag",
			mem_printf(ctx, "flag-%d", i % 20), "state", i % 2 ? "true" : "false");

		if (store_append(store, ctx, &entry, &err) < 0) {
			(void)fprintf(stderr, "%s\n", err.text);
			return 2;
		}
	}
	(void)talloc_free(store);
	return 0;
}

/* Both also create the store. */
static void two_processes_make_one_chain(void **state)
{
	pid_t children[2];

	for (int i = 0; i < 2; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0)
			_exit(append_many(*state, EACH));
	}
	for (int i = 0; i < 2; i++) {
		int status = 0;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	assert_int_equal(assert_consistent(open_store(*state)), 2 * EACH);
}

/* Appends without end, and tells the seq of each acknowledged entry. */
static void append_until_killed(const char *folder, int out)
{
	struct err err = ERR_INIT;
	struct store *store;

	if (store_open(NULL, fs_join(folder, folder, "unship.db"), fs_join(folder, folder, "deployment-registry.json"), NULL, &store,
		    &err) < 0)
		_exit(1);
	for (;;) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		const char *id = id_new(ctx, "dep");
		struct entry entries[2] = {
			entry_make(ctx, ENTRY_DEPLOYMENT_RECORDED, "production", NULL, "{s:{s:s, s:s}}", "deployment", "id", id, "version",
				"1"),
			entry_make(ctx, ENTRY_DEPLOYMENT_HEALTH, "production", NULL, "{s:s, s:s}", "deployment", id, "health", "passing"),
		};

		if (store_append_all(store, ctx, NULL, entries, 2, &err) < 0)
			_exit(1);
		if (write(out, &entries[1].seq, sizeof(entries[1].seq)) != (ssize_t)sizeof(entries[1].seq))
			_exit(1);
	}
}

/* One round: the last seq that was acknowledged before the end. */
static int64_t kill_after(const char *folder, int acknowledgements)
{
	int pipes[2], status = 0;
	int64_t seq = 0, last = 0;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		append_until_killed(folder, pipes[1]);
	(void)close(pipes[1]);
	for (int i = 0; i < acknowledgements; i++) {
		assert_int_equal(read(pipes[0], &seq, sizeof(seq)), sizeof(seq));
		last = seq;
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	while (read(pipes[0], &seq, sizeof(seq)) == (ssize_t)sizeof(seq))
		last = seq;
	(void)close(pipes[0]);
	return last;
}

/* The child races on while the parent kills it: the moment is a different one each time. */
static void acknowledged_entries_survive_kill_9(void **state)
{
	for (int i = 0; i < KILLS; i++) {
		int64_t acknowledged = kill_after(*state, 1 + i * 7 % 23), head = 0;
		struct err error = ERR_INIT;
		struct store *store = NULL;
		json_t *registry = NULL;
		char *text = NULL;
		size_t size = 0;

		assert_ok(store_open(*state, fs_join(*state, *state, "unship.db"), fs_join(*state, *state, "deployment-registry.json"),
			NULL, &store, &error));
		assert_ok(store_head(store, &head, &error));
		assert_true(head >= acknowledged);
		assert_int_equal(head % 2, 0); /* all or none */
		assert_int_equal(assert_consistent(store), head);
		/* The file is caught up with at the latest when the store is opened. */
		assert_ok(fs_read(*state, store->registry_path, 10000000, &text, &size, &error));
		assert_ok(registry_read(*state, text, size, &registry, &error));
		assert_int_equal(json_array_size(json_object_get(registry, "deployments")), MIN(head / 2, 1000));
		(void)talloc_free(store);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_processes_make_one_chain),
		TEST(acknowledged_entries_survive_kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
