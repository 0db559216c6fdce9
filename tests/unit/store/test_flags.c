/* Flags: states, groups, history, restoring. */
#include "store_test.h"

static void set(struct store *store, const char *key, const char *group, const char *state)
{
	struct err error = ERR_INIT;

	assert_ok(store_flag_set(store, "production", key, group, state, "ana", "test", NULL, &error));
}

static void assert_state(struct store *store, const char *key, const char *state)
{
	struct err error = ERR_INIT;
	struct flag_row row;

	assert_ok(store_flag(store, store, "production", key, &row, &error));
	assert_string_equal(row.state, state);
}

static int64_t head_of(struct store *store)
{
	struct err error = ERR_INIT;
	int64_t seq = 0;

	assert_ok(store_head(store, &seq, &error));
	return seq;
}

static void states_are_set_and_kept(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct flag_row row, *rows;
	size_t count;

	assert_fails(store_flag(store, *state, "production", "checkout", &row, &error), ERR_NOT_FOUND);
	set(store, "checkout", "phase-4", "true");
	assert_ok(store_flag(store, *state, "production", "checkout", &row, &error));
	assert_string_equal(row.group, "phase-4");
	assert_string_equal(row.changed_by, "ana");
	assert_string_equal(row.reason, "test");
	set(store, "checkout", NULL, "true"); /* unchanged: no entry */
	assert_int_equal(head_of(store), 1);
	set(store, "checkout", NULL, "blue");
	assert_ok(store_flag(store, *state, "production", "checkout", &row, &error));
	assert_string_equal(row.state, "blue");
	assert_string_equal(row.group, "phase-4");
	set(store, "checkout", "phase-5", "blue");
	assert_ok(store_flags(store, *state, "production", "phase-5", &rows, &count, &error));
	assert_int_equal(count, 1);
	assert_ok(store_flags(store, *state, "staging", NULL, &rows, &count, &error));
	assert_int_equal(count, 0);
	assert_fails(store_flag_set(store, "production", "a b", NULL, "true", "ana", NULL, NULL, &error), ERR_INVALID);
	assert_fails(store_flag_set(store, "production", "a", NULL, "", "ana", NULL, NULL, &error), ERR_INVALID);
	assert_int_equal(assert_consistent(store), 3);
}

static void a_group_is_disabled_in_one_transaction(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	size_t count;

	set(store, "a", "g", "true");
	set(store, "b", "g", "variant-2");
	set(store, "c", "g", "false");
	set(store, "d", "other", "true");
	assert_ok(store_flags_disable_group(store, "production", "g", "ana", "emergency", &count, &error));
	assert_int_equal(count, 2);
	assert_state(store, "a", "false");
	assert_state(store, "b", "false");
	assert_state(store, "d", "true");
	assert_ok(store_flags_disable_group(store, "production", "g", "ana", "emergency", &count, &error));
	assert_int_equal(count, 0);
	assert_fails(store_flags_disable_group(store, "production", "none", "ana", NULL, &count, &error), ERR_NOT_FOUND);
	assert_int_equal(assert_consistent(store), 6);
}

static void changes_are_listed_and_taken_back(void **state)
{
	struct store *store = open_store(*state);
	struct err error = ERR_INIT;
	struct flag_change *changes;
	struct entry_filter filter = { .kind = ENTRY_FLAG_RESTORED };
	struct entry *entries;
	size_t count;

	set(store, "a", NULL, "true");
	set(store, "a", NULL, "false");
	assert_ok(store_flag_history(store, *state, "production", 0, &changes, &count, &error));
	assert_int_equal(count, 2);
	assert_string_equal(changes[0].feature_name, "a");
	assert_string_equal(changes[0].previous_state, "true");
	assert_string_equal(changes[0].new_state, "false");
	assert_string_equal(changes[0].rolled_back_by, "ana");
	assert_int_equal(changes[0].restored_ms, 0);
	assert_string_equal(changes[1].previous_state, "");
	assert_ok(store_flag_restore(store, "production", changes[0].id, "bo", "fixed", &error));
	assert_state(store, "a", "true");
	assert_fails(store_flag_restore(store, "production", changes[0].id, "bo", NULL, &error), ERR_CONFLICT);
	assert_fails(store_flag_restore(store, "production", changes[1].id, "bo", NULL, &error), ERR_INVALID);
	assert_fails(store_flag_restore(store, "staging", changes[0].id, "bo", NULL, &error), ERR_NOT_FOUND);
	assert_fails(store_flag_restore(store, "production", "nothing", "bo", NULL, &error), ERR_NOT_FOUND);
	assert_ok(store_flag_history(store, *state, "production", 1, &changes, &count, &error));
	assert_int_equal(count, 1);
	assert_true(changes[0].restored_ms > 0);
	assert_ok(store_read(store, *state, &filter, &entries, &count, &error));
	assert_int_equal(count, 1);
	assert_string_equal(json_str(entries[0].data, "previous", ""), "false");
	assert_string_equal(entries[0].actor, "bo");
	assert_consistent(store);
}

static struct flag *flag_from(void *ctx, const char *key, const char *text)
{
	struct problems *problems = problems_new(ctx, NULL);
	struct err error = ERR_INIT;
	struct doc *doc = NULL;
	struct flag *flag;

	assert_ok(doc_parse_yaml(ctx, "f", text, strlen(text), &doc, &error));
	flag = flag_read(ctx, key, doc, problems);
	assert_ok(problems_result(problems, &error));
	return flag;
}

static void definitions_stand_beside_states(void **state)
{
	struct store *store = open_store(*state);
	struct flag *search = flag_from(*state, "search",
		"type: string\ngroup: g\nvariants: {a: x, b: y}\ndefaultVariant: a\noffVariant: b\nrules: [{share: {a: 50, b: 50}}]");
	struct flag *smaller = flag_from(*state, "search", "type: string\nvariants: {b: y}\ndefaultVariant: b\noffVariant: b");
	struct flag_state parsed;
	struct err error = ERR_INIT;
	struct flag_row row;
	struct flag *flag;
	size_t count;

	assert_ok(store_flag_define(store, "production", search, "ana", "why", &error));
	assert_ok(store_flag(store, *state, "production", "search", &row, &error));
	assert_string_equal(row.state, "false");
	assert_string_equal(row.group, "g");
	assert_ok(store_flag_read(*state, &row, &flag, &parsed, &error));
	assert_int_equal(parsed.standing, FLAG_OFF);
	assert_int_equal(flag->rule_count, 1);
	assert_ok(store_flag_define(store, "production", search, "ana", "why", &error)); /* unchanged: no entry */
	assert_int_equal(head_of(store), 1);
	assert_fails(store_flag_set(store, "production", "search", NULL, "c", "ana", NULL, NULL, &error), ERR_INVALID);
	set(store, "search", "h", "a");
	assert_fails(store_flag_define(store, "production", smaller, "ana", NULL, &error), ERR_CONFLICT);
	assert_ok(store_flag(store, *state, "production", "search", &row, &error));
	assert_ok(store_flag_read(*state, &row, &flag, &parsed, &error));
	assert_int_equal(parsed.standing, FLAG_PINNED);
	assert_string_equal(flag->group, "h");
	assert_ok(store_flags_disable_group(store, "production", "h", "ana", NULL, &count, &error));
	assert_int_equal(count, 1);
	assert_ok(store_flag_define(store, "production", smaller, "ana", NULL, &error));
	assert_ok(store_flag(store, *state, "production", "search", &row, &error));
	assert_string_equal(row.group, "h"); /* the new definition names none */
	assert_int_equal(assert_consistent(store), 4);
}

static void a_removed_flag_keeps_its_history(void **state)
{
	struct store *store = open_store(*state);
	struct flag *two = flag_from(*state, "two", "type: number\nvariants: {one: 1, two: 2}\ndefaultVariant: two\noffVariant: one");
	struct flag *one = flag_from(*state, "two", "type: number\nvariants: {one: 1}\ndefaultVariant: one\noffVariant: one");
	struct err error = ERR_INIT;
	struct flag_change *changes;
	struct flag_row row;
	size_t count;

	assert_fails(store_flag_remove(store, "production", "two", "ana", NULL, &error), ERR_NOT_FOUND);
	assert_ok(store_flag_define(store, "production", two, "ana", NULL, &error));
	set(store, "two", NULL, "two");
	set(store, "two", NULL, "true");
	assert_ok(store_flag_define(store, "production", one, "ana", NULL, &error));
	assert_ok(store_flag_history(store, *state, "production", 0, &changes, &count, &error));
	assert_int_equal(count, 2);
	/* The state before is none of the present definition. */
	assert_fails(store_flag_restore(store, "production", changes[0].id, "ana", NULL, &error), ERR_INVALID);
	assert_ok(store_flag_restore(store, "production", changes[1].id, "ana", NULL, &error));
	assert_state(store, "two", "false");
	assert_ok(store_flag_remove(store, "production", "two", "ana", "done", &error));
	assert_fails(store_flag(store, *state, "production", "two", &row, &error), ERR_NOT_FOUND);
	assert_fails(store_flag_restore(store, "production", changes[0].id, "ana", NULL, &error), ERR_CONFLICT);
	assert_ok(store_flag_history(store, *state, "production", 0, &changes, &count, &error));
	assert_int_equal(count, 2);
	set(store, "two", NULL, "blue"); /* a flag of that name without a definition */
	assert_ok(store_flag(store, *state, "production", "two", &row, &error));
	assert_null(row.definition);
	assert_int_equal(assert_consistent(store), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(states_are_set_and_kept),
		TEST(a_group_is_disabled_in_one_transaction),
		TEST(changes_are_listed_and_taken_back),
		TEST(definitions_stand_beside_states),
		TEST(a_removed_flag_keeps_its_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
