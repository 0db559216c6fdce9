/* What the runner relies on, whoever implements the journal. */
#include "contract_store.h"

static int append(struct journal *journal, const void *ctx, const struct claim *fence, const char *kind, const char *run, struct err *err)
{
	struct entry entry = { .kind = kind, .run = run, .environment = "production", .actor = "ana" };

	return journal->ops->append(journal, ctx, fence, &entry, 1, err);
}

static size_t count_of(struct journal *journal, const void *ctx, struct entry_filter filter, struct entry **ret)
{
	struct err error = ERR_INIT;
	size_t count = 0;

	assert_ok(journal->ops->read(journal, ctx, &filter, ret, &count, &error));
	return count;
}

static void entries_are_numbered_linked_and_sealed(const void *ctx, struct journal *journal)
{
	struct err error = ERR_INIT;
	struct entry written[3] = { { .kind = "a", .data = json_make(ctx, "{s:i}", "n", 1) }, { .kind = "b" }, { .kind = "c" } }, *read,
		     sealed;

	assert_ok(journal->ops->append(journal, ctx, NULL, written, 2, &error));
	assert_ok(journal->ops->append(journal, ctx, NULL, &written[2], 1, &error));
	assert_int_equal(count_of(journal, ctx, (struct entry_filter){ 0 }, &read), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(read[i].seq, (int64_t)i + 1);
		assert_int_equal(written[i].seq, (int64_t)i + 1);
		assert_string_equal(read[i].id, written[i].id);
		assert_string_equal(read[i].previous, i ? read[i - 1].hash : ENTRY_FIRST_PREVIOUS);
		assert_true(json_is_object(read[i].data));
		assert_true(read[i].wall_ms > 0);
		sealed = read[i];
		entry_seal(ctx, &sealed);
		assert_string_equal(sealed.hash, read[i].hash);
	}
	assert_int_equal(json_int(read[0].data, "n", 0), 1);
}

static void an_append_is_all_or_none(const void *ctx, struct journal *journal)
{
	struct err error = ERR_INIT;
	struct entry entries[2] = { { .kind = "a" }, { .kind = "b", .data = json_keep(ctx, json_array()) } }, *read;

	assert_fails(journal->ops->append(journal, ctx, NULL, entries, 2, &error), ERR_INVALID);
	assert_int_equal(count_of(journal, ctx, (struct entry_filter){ 0 }, &read), 0);
	assert_ok(journal->ops->append(journal, ctx, NULL, entries, 0, &error));
	assert_int_equal(count_of(journal, ctx, (struct entry_filter){ 0 }, &read), 0);
}

static void filters_hold(const void *ctx, struct journal *journal)
{
	struct err error = ERR_INIT;
	struct entry *read;

	for (int i = 0; i < 3; i++) {
		assert_ok(append(journal, ctx, NULL, "note.x", "run-1", &error));
		assert_ok(append(journal, ctx, NULL, "note.y", "run-2", &error));
	}
	assert_int_equal(count_of(journal, ctx, (struct entry_filter){ .run = "run-1" }, &read), 3);
	assert_int_equal(count_of(journal, ctx, (struct entry_filter){ .run = "run-1", .after_seq = 1 }, &read), 2);
	assert_int_equal(read[0].seq, 3);
	assert_int_equal(count_of(journal, ctx, (struct entry_filter){ .kind = "note.*" }, &read), 6);
	assert_int_equal(count_of(journal, ctx, (struct entry_filter){ .kind = "note.y", .limit = 2, .newest_first = true }, &read), 2);
	assert_int_equal(read[0].seq, 6);
	assert_int_equal(count_of(journal, ctx, (struct entry_filter){ .environment = "staging" }, &read), 0);
}

static void a_claim_excludes_and_fences(const void *ctx, struct journal *journal)
{
	struct err error = ERR_INIT;
	struct claim first, second, old;

	assert_ok(journal->ops->claim(journal, ctx, "run:1", 60000, &first, &error));
	assert_true(first.token > 0);
	assert_true(first.lease_ms == 60000);
	assert_fails(journal->ops->claim(journal, ctx, "run:1", 60000, &second, &error), ERR_CONFLICT);
	assert_ok(journal->ops->claim(journal, ctx, "run:2", 60000, &second, &error)); /* another name */
	assert_ok(append(journal, ctx, &first, "note", NULL, &error));
	assert_ok(journal->ops->renew(journal, &first, &error));
	old = first;
	assert_ok(journal->ops->release(journal, &first, &error));
	assert_int_equal(first.token, 0);
	assert_ok(journal->ops->release(journal, &first, &error));
	assert_fails(append(journal, ctx, &old, "note", NULL, &error), ERR_CONFLICT);
	assert_fails(journal->ops->renew(journal, &old, &error), ERR_CONFLICT);
	assert_ok(journal->ops->claim(journal, ctx, "run:1", 60000, &first, &error));
	assert_true(first.token > old.token);
	assert_fails(append(journal, ctx, &old, "note", NULL, &error), ERR_CONFLICT);
	assert_ok(append(journal, ctx, &first, "note", NULL, &error));
}

/* The lease is so short that it ends; the wait is for the clock itself. */
static void a_lease_ends(const void *ctx, struct journal *journal)
{
	struct err error = ERR_INIT;
	struct claim first, second;
	int64_t began_ms = clock_wall_ms();

	assert_ok(journal->ops->claim(journal, ctx, "run:1", 20, &first, &error));
	assert_true(first.safe_until_ms < clock_mono_ms() + 20);
	while (clock_wall_ms() < began_ms + 60)
		(void)usleep(1000);
	assert_ok(journal->ops->claim(journal, ctx, "run:1", 60000, &second, &error));
	assert_true(second.token > first.token);
	assert_fails(append(journal, ctx, &first, "note", NULL, &error), ERR_CONFLICT);
	assert_fails(journal->ops->renew(journal, &first, &error), ERR_CONFLICT);
}

static void an_environment_has_one_unfinished_run(const void *ctx, struct journal *journal)
{
	struct err error = ERR_INIT;

	assert_ok(append(journal, ctx, NULL, ENTRY_RUN_REQUESTED, "run-1", &error));
	assert_fails(append(journal, ctx, NULL, ENTRY_RUN_REQUESTED, "run-2", &error), ERR_CONFLICT);
}

const struct contract_test journal_contract[] = {
	{ "entries_are_numbered_linked_and_sealed", NULL, entries_are_numbered_linked_and_sealed },
	{ "an_append_is_all_or_none", NULL, an_append_is_all_or_none },
	{ "filters_hold", NULL, filters_hold },
	{ "a_claim_excludes_and_fences", NULL, a_claim_excludes_and_fences },
	{ "a_lease_ends", NULL, a_lease_ends },
	{ "an_environment_has_one_unfinished_run", NULL, an_environment_has_one_unfinished_run },
	{ NULL, NULL, NULL },
};
