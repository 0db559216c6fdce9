/* The pure parts of checks and readiness: room, headroom, what is news; and that docs/checks.md has every check. */
#include "checks.h"

#include <string.h>

#include "base/fs.h"
#include "data/json.h"
#include "ops/checks.h"
#include "ops/readiness.h"

static void driver_says(struct findings *findings, void *ctx, int64_t device, int64_t needed)
{
	findings_add(findings, "disk_space", true, SEVERITY_ERROR, "api",
		json_make(ctx, "{s:I, s:I}", "device", (json_int_t)device, "neededBytes", (json_int_t)needed), "x");
}

static bool has_room(struct findings *findings, uint64_t free_bytes, uint64_t snapshot_bytes)
{
	struct room room = { .folder = "/x", .free_bytes = free_bytes, .snapshot_bytes = snapshot_bytes, .device = 7 };

	check_room(&room, findings);
	assert_string_equal(findings->list[findings->count - 1].name, "disk_space");
	return findings->list[findings->count - 1].passed;
}

static void room_is_for_snapshot_and_release(unused_arg void **state)
{
	const uint64_t mib = 1 << 20;
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_true(has_room(findings_new(ctx), 64 * mib, 0));
	assert_false(has_room(findings_new(ctx), 64 * mib, 1));
	{
		struct findings *findings = findings_new(ctx);

		driver_says(findings, ctx, 7, (int64_t)(100 * mib));
		driver_says(findings, ctx, 7, (int64_t)(50 * mib));
		driver_says(findings, ctx, 8, (int64_t)(900 * mib)); /* on another file system */
		assert_false(has_room(findings, 213 * mib, 0));
		assert_int_equal(json_int(findings->list[findings->count - 1].evidence, "releaseBytes", 0), 150 * mib);
		findings->count--;
		assert_true(has_room(findings, 214 * mib, 0));
	}
}

static void capacity_warns(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct headroom headroom = { .memory_bytes = 8ull << 30, .available_bytes = 4ull << 30, .load = 1, .processors = 2 };
	struct findings *findings = findings_new(ctx);

	check_capacity(&headroom, 2, findings);
	assert_true(findings->list[0].passed);
	headroom.load = 8.5;
	check_capacity(&headroom, 2, findings);
	assert_false(findings->list[1].passed);
	headroom.load = 0;
	headroom.available_bytes = 300 << 20;
	check_capacity(&headroom, 2, findings);
	assert_false(findings->list[2].passed);
	assert_int_equal(findings->list[2].severity, SEVERITY_WARNING);
	assert_int_equal(findings_blocking(findings), 0);
}

static void headroom_is_read(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct headroom headroom;
	struct err error = ERR_INIT;

	assert_ok(headroom_read(ctx, "MemTotal:       1000 kB\nMemFree: 5 kB\nMemAvailable:    200 kB\n", "0.52 0.58 0.59 1/389 1234\n",
		&headroom, &error));
	assert_int_equal(headroom.memory_bytes, 1024000);
	assert_int_equal(headroom.available_bytes, 204800);
	assert_true(headroom.load > 0.51 && headroom.load < 0.53);
	assert_int_equal(headroom_read(ctx, "nothing\n", "0.5", &headroom, &error), -ERR_UNSUPPORTED);
}

static void findings_are_sorted(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = findings_new(ctx);
	static const char *const wanted[] = { "b", "e", "c", "a", "d" };
	json_t *names;

	findings_sort(findings);
	findings_add(findings, "a", false, SEVERITY_INFO, NULL, NULL, "x");
	findings_add(findings, "b", false, SEVERITY_ERROR, NULL, NULL, "x");
	findings_add(findings, "c", false, SEVERITY_WARNING, NULL, NULL, "x");
	findings_add(findings, "d", true, SEVERITY_ERROR, NULL, NULL, "x");
	findings_add(findings, "e", false, SEVERITY_ERROR, NULL, NULL, "x");
	findings_sort(findings);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_string_equal(findings->list[i].name, wanted[i]);
	findings_add(findings, "b", false, SEVERITY_ERROR, "again", NULL, "x"); /* the list grows on */
	names = json_keep(ctx, findings_blocking_names(findings));
	assert_int_equal(json_array_size(names), 2);
	assert_string_equal(json_string_value(json_array_get(names, 0)), "b");
}

static json_t *kept(void *ctx, int first, int second)
{
	json_t *answer = json_make(ctx, "{s:i, s:[]}", "ready", (first == 1) + (second == 1), "targets");
	const int states[] = { first, second };

	for (int i = 0; i < 2; i++)
		if (states[i] >= 0)
			json_array_append_new(json_object_get(answer, "targets"),
				json_pack("{s:s, s:s, s:b}", "deploymentId", i ? "dep-2" : "dep-1", "version", "1", "ready", states[i]));
	return json_keep(ctx, readiness_summary(answer));
}

static void news(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_true(readiness_is_news(NULL, kept(ctx, 1, -1)));              /* the first way back */
	assert_false(readiness_is_news(NULL, kept(ctx, -1, -1)));            /* there never was one */
	assert_false(readiness_is_news(kept(ctx, 1, -1), kept(ctx, 1, -1))); /* the same */
	assert_false(readiness_is_news(kept(ctx, 1, -1), kept(ctx, 1, 1)));  /* one more */
	assert_true(readiness_is_news(kept(ctx, 1, 1), kept(ctx, 1, 0)));    /* one less */
	assert_true(readiness_is_news(kept(ctx, 1, 0), kept(ctx, 1, 1)));    /* back again */
	assert_true(readiness_is_news(kept(ctx, 1, -1), kept(ctx, 0, -1)));  /* the last is gone */
	assert_false(readiness_is_news(kept(ctx, 1, 1), kept(ctx, 1, -1)));  /* too old to be looked at */
}

static void every_check_is_documented(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err error = ERR_INIT;
	char *text;

	assert_ok(fs_read(ctx, DOCS "/checks.md", 1 << 20, &text, NULL, &error));
	for (const struct check *check = checks_table; check->name; check++) {
		if (!strstr(text, mem_printf(ctx, "### `%s`", check->name)))
			fail_msg("docs/checks.md has no '### `%s`'", check->name);
		assert_true(check->asks && check->asks[strlen(check->asks) - 1] == '?');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(room_is_for_snapshot_and_release),
		cmocka_unit_test(capacity_warns),
		cmocka_unit_test(headroom_is_read),
		cmocka_unit_test(findings_are_sorted),
		cmocka_unit_test(news),
		cmocka_unit_test(every_check_is_documented),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
