/* What every test of store/ includes: cmocka with the headers that it wants before it, a temporary folder per test, entries in one line,
 * and the tables as text for comparing. */
#ifndef TESTS_STORE_TEST_H
#define TESTS_STORE_TEST_H

#include "checks.h"
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "data/hash.h"
#include "data/json.h"
#include "store/store.h"

#define assert_has(text, part) \
	do { \
		if (!strstr((text), (part))) \
			fail_msg("'%s' lacks '%s'", (text), (part)); \
	} while (0)

/* *state is a talloc context whose name is the path of an empty folder. */
static int unused_arg folder_setup(void **state)
{
	const char *base = getenv("TMPDIR");
	char *path = mem_printf(NULL, "%s/unship-test-XXXXXX", base ? base : "/tmp");

	json_setup();
	hash_setup();
	if (!mkdtemp(path))
		return -1;
	*state = path;
	return 0;
}

static int unused_arg folder_teardown(void **state)
{
	struct err error = ERR_INIT;
	int r = fs_remove_tree(*state, &error);

	(void)talloc_free(*state);
	return r;
}

static unused_arg struct store *open_store(const char *folder)
{
	struct err error = ERR_INIT;
	struct store *store = NULL;

	assert_ok(store_open(folder, fs_join(folder, folder, "unship.db"), NULL, folder, &store, &error));
	return store;
}

/* An entry from a format as in json_pack, ended by the caller's values. */
#define entry_make(ctx, kind_, environment_, run_, ...) \
	(struct entry) \
	{ \
		.kind = (kind_), .environment = (environment_), .run = (run_), .actor = "ana", .data = json_make(ctx, __VA_ARGS__) \
	}

static unused_arg int append(struct store *store, const char *kind, const char *environment, const char *run, json_t *data, struct err *err)
{
	struct entry entry = { .kind = kind, .environment = environment, .run = run, .actor = "ana", .data = data };

	return store_append(store, store, &entry, err);
}

static unused_arg int record(struct store *store, const char *environment, const char *id, const char *version, const char *health,
	struct err *err)
{
	struct entry entries[2] = {
		entry_make(store, ENTRY_DEPLOYMENT_RECORDED, environment, NULL, "{s:{s:s, s:s, s:{s:{s:s}}}}", "deployment", "id", id,
			"version", version, "components", "api", "version", version),
	};

	if (health)
		entries[1] = entry_make(store, ENTRY_DEPLOYMENT_HEALTH, environment, NULL, "{s:s, s:s, s:s}", "deployment", id, "health",
			health, "source", "test");
	return store_append_all(store, store, NULL, entries, health ? 2 : 1, err);
}

static unused_arg int request(struct store *store, const char *environment, const char *run, const char *from, const char *to,
	struct err *err)
{
	return append(store, ENTRY_RUN_REQUESTED, environment, run,
		json_make(store, "{s:{s:s}, s:s?, s:s?, s:s}", "plan", "id", "plan-1", "from", from, "to", to, "reason", "errors"), err);
}

static unused_arg int end_run(struct store *store, const char *environment, const char *run, const char *status, struct err *err)
{
	return append(store, ENTRY_RUN_ENDED, environment, run, json_make(store, "{s:s, s:b}", "status", status, "changed", 1), err);
}

static int dump_row(void *user, const struct sql_value *columns, size_t count, unused_arg struct err *err)
{
	char **text = user;

	for (size_t i = 0; i < count; i++) {
		if (columns[i].type == SQL_INT)
			*text = mem_appendf(*text, "%lld|", (long long)columns[i].integer);
		else if (columns[i].type == SQL_TEXT)
			*text = mem_appendf(*text, "%s|", columns[i].text);
		else
			*text = mem_append(*text, "-|");
	}
	*text = mem_append(*text, "\n");
	return 0;
}

/* All projections as text. */
static unused_arg char *dump(struct store *store, const void *ctx)
{
	static const char *const queries[] = {
		"SELECT * FROM environments ORDER BY name",
		"SELECT * FROM deployments ORDER BY id",
		"SELECT * FROM runs ORDER BY id",
		"SELECT * FROM flags ORDER BY environment, flag_key",
		"SELECT * FROM feature_rollbacks ORDER BY id",
		"SELECT * FROM notifications ORDER BY id",
		"SELECT * FROM snapshots ORDER BY id",
		"SELECT * FROM principals ORDER BY id",
		"SELECT * FROM tokens ORDER BY id",
		"SELECT * FROM sessions ORDER BY id",
		"SELECT * FROM logins ORDER BY id",
		"SELECT * FROM approvals ORDER BY id",
		"SELECT * FROM approval_entries ORDER BY seq",
		"SELECT * FROM breakglasses ORDER BY id",
		"SELECT * FROM alerts ORDER BY hook, fingerprint, started_ms",
	};
	struct err error = ERR_INIT;
	char *text = mem_strdup(ctx, "");

	for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
		text = mem_appendf(text, "%s\n", queries[i]);
		assert_ok(store->sql->ops->run(store->sql, queries[i], NULL, 0, dump_row, &text, &error));
	}
	return text;
}

/* The chain verifies, and the tables are those that the journal gives. */
static unused_arg int64_t assert_consistent(struct store *store)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	int64_t count = 0, head_seq = 0;
	char head[65], *before;

	assert_ok(store_verify(store, &count, head, &error));
	assert_ok(store_head(store, &head_seq, &error));
	assert_int_equal(count, head_seq);
	before = dump(store, ctx);
	assert_ok(store_rebuild(store, &error));
	assert_string_equal(dump(store, ctx), before);
	return count;
}

static unused_arg int run_sql(struct store *store, const char *text, struct err *err)
{
	return store->sql->ops->run(store->sql, text, NULL, 0, NULL, NULL, err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

#endif
