/* entry.c: what is hashed, and that every member counts. */
#include "given.h"

#include "core/entry.h"
#include "data/hash.h"

static struct entry some_entry(const void *ctx)
{
	return (struct entry){ .seq = 7,
		.id = "ent-1",
		.wall_ms = 1763700813120,
		.kind = ENTRY_RUN_CANCEL,
		.run = "run-1",
		.actor = "ana",
		.data = given(ctx, "{b: 2, a: 'x'}"),
		.previous = ENTRY_FIRST_PREVIOUS };
}

static void canonical_form(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = some_entry(ctx);

	/* Absent members are left out; keys are sorted; the hash is not part of it. */
	entry.hash = "not hashed";
	assert_string_equal(entry_canonical(ctx, &entry),
		"{\"actor\":\"ana\",\"at\":\"2025-11-21T04:53:33.120Z\",\"data\":{\"a\":\"x\",\"b\":2},\"id\":\"ent-1\",\"kind\":\"run.cancel\",\"previous\":"
		"\"" ENTRY_FIRST_PREVIOUS "\",\"run\":\"run-1\",\"seq\":7}");
}

static void every_member_counts(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entries[8];
	char hash[HASH_HEX_SIZE];
	char *text;

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		entries[i] = some_entry(ctx);
	entries[1].seq = 8;
	entries[2].id = "ent-2";
	entries[3].wall_ms++;
	entries[4].kind = ENTRY_RUN_ANSWERED;
	entries[5].environment = "production";
	entries[6].data = given(ctx, "{b: 3, a: 'x'}");
	entries[7].previous = "1000000000000000000000000000000000000000000000000000000000000000";
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		entry_seal(ctx, &entries[i]);
		assert_int_equal(strlen(entries[i].hash), 64);
		for (size_t n = 0; n < i; n++)
			assert_string_not_equal(entries[n].hash, entries[i].hash);
	}
	text = entry_canonical(ctx, &entries[0]);
	hash_sha256_hex(text, strlen(text), hash);
	assert_string_equal(entries[0].hash, hash);
}

/* Whoever has the exported form can verify it: without its hash, it is what was hashed. */
static void shown_form_is_hashed_form(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = some_entry(ctx);
	json_t *shown;

	entry_seal(ctx, &entry);
	shown = json_keep(ctx, entry_json(&entry));
	assert_string_equal(json_str(shown, "hash", ""), entry.hash);
	json_object_del(shown, "hash");
	assert_string_equal(json_canonical(ctx, shown), entry_canonical(ctx, &entry));
}

/* And whoever reads it back has the entry again. */
static void read_back(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = some_entry(ctx), back;
	struct err err = ERR_INIT;
	json_t *shown;

	entry_seal(ctx, &entry);
	shown = json_keep(ctx, entry_json(&entry));
	assert_int_equal(entry_from_json(ctx, shown, &back, &err), 0);
	assert_string_equal(entry_canonical(ctx, &back), entry_canonical(ctx, &entry));
	assert_string_equal(back.hash, entry.hash);
	assert_null(back.environment);
	for (size_t i = 0; i < 4; i++) {
		json_t *less = json_keep(ctx, json_copy(shown));

		json_object_del(less, ((const char *[]){ "seq", "at", "kind", "data" })[i]);
		assert_int_equal(entry_from_json(ctx, less, &back, &err), -ERR_INVALID);
	}
	json_put_str(shown, "at", "yesterday");
	assert_true(entry_from_json(ctx, shown, &back, &err) < 0);
	assert_true(entry_from_json(ctx, NULL, &back, &err) < 0);
}

static int setup(void **state)
{
	json_setup();
	hash_setup();
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_form),
		cmocka_unit_test(every_member_counts),
		cmocka_unit_test(shown_form_is_hashed_form),
		cmocka_unit_test(read_back),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
