/* frames.c: the events that clients share: their text, what is kept, what goes, and who wants which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/log.h"
#include "data/json.h"
#include "surface/http/frames.h"

static struct frame *made(int64_t seq, const char *kind, const char *environment)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = {
		.seq = seq,
		.id = "ent-1",
		.wall_ms = 1000,
		.kind = kind,
		.environment = environment,
		.data = json_make(ctx, "{s:s}", "text", "two\nlines"),
		.previous = "p",
		.hash = "h",
	};

	return frame_make(NULL, &entry);
}

static void text(void **state)
{
	struct frame *frame = made(7, "run.started", "production");

	assert_string_equal(frame->text,
		"id: 7\nevent: run.started\ndata: {\"seq\":7,\"id\":\"ent-1\",\"at\":\"1970-01-01T00:00:01.000Z\",\"kind\":\"run.started\","
		"\"environment\":\"production\",\"data\":{\"text\":\"two\\nlines\"},\"previous\":\"p\",\"hash\":\"h\"}\n\n");
	assert_int_equal(frame->size, strlen(frame->text));
	talloc_free(frame);
}

static void secrets(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = { .seq = 1, .kind = "refused", .data = json_make(ctx, "{s:s}", "message", "the password is hunter2hunter2") };
	struct frame *frame;

	secret_add("hunter2hunter2");
	frame = frame_make(ctx, &entry);
	assert_null(strstr(frame->text, "hunter2"));
	assert_non_null(strstr(frame->text, "[secret]"));
	secret_forget_all();
}

static void positions(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct frames *frames = frames_new(ctx, 1 << 20, 40);
	const struct frame *frame;

	assert_int_equal(frames_get(frames, 41, &frame), FRAME_LATER);
	assert_int_equal(frames_get(frames, 40, &frame), FRAME_AWAY);
	frames_add(frames, made(41, "a.b", NULL));
	assert_int_equal(frames_head(frames), 41);
	assert_int_equal(frames_get(frames, 41, &frame), FRAME_HERE);
	assert_int_equal(frame->seq, 41);
	assert_int_equal(frames_get(frames, 40, &frame), FRAME_AWAY); /* of the same block: loading must not disturb what is there */
	for (int64_t seq = 33; seq <= 41; seq++)
		frames_add(frames, made(seq, "a.b", NULL));
	assert_int_equal(frames_get(frames, 33, &frame), FRAME_HERE);
	assert_int_equal(frames_head(frames), 41);
	assert_int_equal(frames_block_first(1), 1);
	assert_int_equal(frames_block_first(32), 1);
	assert_int_equal(frames_block_first(33), 33);
}

static size_t here(struct frames *frames, int64_t from, int64_t to)
{
	const struct frame *frame;
	size_t count = 0;

	for (int64_t seq = from; seq <= to; seq++)
		count += frames_get(frames, seq, &frame) == FRAME_HERE;
	return count;
}

static void bounded(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct frames *frames = frames_new(ctx, 64 << 10, 0);
	const struct frame *frame;
	int64_t seq;

	for (seq = 1; seq <= 10000; seq++) {
		frames_add(frames, made(seq, "step.ended", "production"));
		assert_true(frames_bytes(frames) <= 64 << 10);
		assert_int_equal(frames_get(frames, 1 + (seq - 1) / 2 * 2, &frame), FRAME_HERE);
	}
	assert_int_equal(here(frames, 10000 - (10000 % FRAMES_BLOCK) + 1, 10000), 10000 % FRAMES_BLOCK);
	assert_int_equal(frames_get(frames, 1, &frame), FRAME_AWAY);
	/* An old block that is loaded again pushes out what was read least lately, never the newest. */
	for (seq = 1; seq <= FRAMES_BLOCK; seq++)
		frames_add(frames, made(seq, "step.ended", "production"));
	assert_int_equal(here(frames, 1, FRAMES_BLOCK), FRAMES_BLOCK);
	assert_int_equal(frames_get(frames, 10000, &frame), FRAME_HERE);
	assert_int_equal(frames_head(frames), 10000);
	assert_true(frames_bytes(frames) <= 64 << 10);
}

static void kept_by_use(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct frames *frames = frames_new(ctx, 64 << 10, 0);
	const struct frame *frame;

	for (int64_t seq = 1; seq <= 10000; seq++) {
		frames_add(frames, made(seq, "step.ended", "production"));
		assert_int_equal(frames_get(frames, 5, &frame), seq < 5 ? FRAME_LATER : FRAME_HERE);
	}
}

static void one_too_large(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct frames *frames = frames_new(ctx, 10, 0);
	const struct frame *frame;

	frames_add(frames, made(1, "a.b", NULL));
	assert_int_equal(frames_get(frames, 1, &frame), FRAME_HERE);
	frames_add(frames, made(100, "a.b", NULL));
	assert_int_equal(frames_get(frames, 1, &frame), FRAME_AWAY);
	assert_int_equal(frames_get(frames, 100, &frame), FRAME_HERE);
}

static void filters(void **state)
{
	static const char *const kinds[] = { "run.*", "flag.set", NULL };
	const struct frame_filter all = { 0 }, some = { .kinds = kinds }, there = { .environment = "staging" };

	assert_true(frame_filter_matches(&all, "run.ended", NULL));
	assert_true(frame_filter_matches(&some, "run.ended", "production"));
	assert_true(frame_filter_matches(&some, "flag.set", NULL));
	assert_false(frame_filter_matches(&some, "flag.settled", NULL));
	assert_false(frame_filter_matches(&some, "runs.ended", NULL));
	assert_false(frame_filter_matches(&some, "run", NULL));
	assert_true(frame_filter_matches(&there, "run.ended", "staging"));
	assert_false(frame_filter_matches(&there, "run.ended", "production"));
	assert_false(frame_filter_matches(&there, "run.ended", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
		cmocka_unit_test(secrets),
		cmocka_unit_test(positions),
		cmocka_unit_test(bounded),
		cmocka_unit_test(kept_by_use),
		cmocka_unit_test(one_too_large),
		cmocka_unit_test(filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
