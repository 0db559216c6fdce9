/* Runs both contracts on every implementation. A new one is one line in `implementations`. */
#include "contract_store.h"

#include "base/log.h"

static int open_file(const void *ctx, const char *folder, struct sql **ret, struct err *err)
{
	return sqlite_open(ctx, fs_join(folder, folder, "store.db"), ret, err);
}

static int open_memory(const void *ctx, unused_arg const char *folder, struct sql **ret, struct err *err)
{
	return sqlite_open(ctx, ":memory:", ret, err);
}

/* A wrapper that never fails must not be noticed. */
static int open_faulty(const void *ctx, const char *folder, struct sql **ret, struct err *err)
{
	struct sql *inner;
	int r;

	r = open_file(ctx, folder, &inner, err);
	if (r < 0)
		return r;
	*ret = faulty_wrap(ctx, inner, 0, ERR_STORE, false);
	return 0;
}

static const struct implementation implementations[] = {
	{ "sqlite file", open_file },
	{ "sqlite memory", open_memory },
	{ "faulty", open_faulty },
};

struct one {
	const struct implementation *implementation;
	const struct contract_test *test;
};

static void run_one(void **state)
{
	const struct one *one = *state;
	const char *base = getenv("TMPDIR");
	char *folder = mem_printf(NULL, "%s/unship-contract-XXXXXX", base ? base : "/tmp");
	struct err error = ERR_INIT;
	struct store *store;
	struct sql *sql = NULL;

	assert_non_null(mkdtemp(folder));
	assert_ok(one->implementation->open(folder, folder, &sql, &error));
	if (one->test->run) {
		one->test->run(folder, sql);
		sql->ops->close(sql);
	} else {
		assert_ok(store_open_sql(folder, sql, NULL, NULL, &store, &error));
		one->test->run_journal(folder, &store->journal);
		(void)talloc_free(store);
	}
	assert_ok(fs_remove_tree(folder, &error));
	(void)talloc_free(folder);
}

static size_t add(const void *ctx, const struct implementation *implementation, const struct contract_test *list, struct CMUnitTest *tests,
	size_t count)
{
	for (; list->name; list++) {
		struct one *one = mem_zero(ctx, struct one);

		*one = (struct one){ implementation, list };
		tests[count++] = (struct CMUnitTest){
			.name = mem_printf(ctx, "%s: %s", implementation->name, list->name),
			.test_func = run_one,
			.initial_state = one,
		};
	}
	return count;
}

int main(void)
{
	struct CMUnitTest tests[128] = { 0 };
	void *ctx = mem_context(NULL);
	size_t count = 0;
	int failed;

	json_setup();
	hash_setup();
	log_setup(LOG_WARN, LOG_TEXT, STDERR_FILENO);
	for (size_t i = 0; i < ARRAY_SIZE(implementations); i++) {
		count = add(ctx, &implementations[i], sql_contract, tests, count);
		count = add(ctx, &implementations[i], journal_contract, tests, count);
	}
	failed = _cmocka_run_group_tests("store", tests, count, NULL, NULL);
	(void)talloc_free(ctx);
	return failed;
}
