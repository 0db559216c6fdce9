/* Server-sent events: the same stream in pieces of every size gives the same events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/sse.h"

struct seen {
	void *ctx;
	char *text; /* "id|kind|data;" for each */
	int enough_after, count;
};

static int take(void *user, const struct sse_event *event)
{
	struct seen *seen = user;

	seen->text = mem_appendf(seen->text, "%s|%s|%s;", event->id ? event->id : "-", event->kind, event->data ? event->data : "(none)");
	return ++seen->count == seen->enough_after;
}

static const char stream[] = "\xef\xbb\xbf: from entry 8 on\nretry: 1482\nid: 7\n\n"
			     "id: 8\nevent: run.started\ndata: {\"a\":1}\n\n"
			     "data:first\r\ndata: second\r\ndata\r\n\r\n"
			     "nonsense: x\rdata:  two blanks\r\r"
			     "event: lost\n\n"
			     "data: not complete\n";
static const char expected[] = "7|message|(none);8|run.started|{\"a\":1};8|message|first\nsecond\n;8|message| two blanks;8|lost|(none);";

static void test_pieces_of_every_size(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(stream); piece++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct seen seen = { .ctx = ctx, .text = mem_strdup(ctx, "") };
		struct sse *sse = sse_new(ctx, take, &seen);
		struct err err = ERR_INIT;

		for (size_t at = 0; at < sizeof(stream) - 1; at += piece)
			assert_int_equal(sse_feed(sse, stream + at, MIN(piece, sizeof(stream) - 1 - at), &err), 0);
		assert_string_equal(seen.text, expected);
		assert_int_equal(sse_retry_ms(sse, 5), 1482);
	}
}

static void test_enough(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct seen seen = { .ctx = ctx, .text = mem_strdup(ctx, ""), .enough_after = 2 };
	struct sse *sse = sse_new(ctx, take, &seen);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(sse_feed(sse, stream, sizeof(stream) - 1, &err), 1);
	assert_int_equal(seen.count, 2);
}

static void test_restart_forgets_half_an_event_and_keeps_the_id(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct seen seen = { .ctx = ctx, .text = mem_strdup(ctx, "") };
	struct sse *sse = sse_new(ctx, take, &seen);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(sse_retry_ms(sse, 5), 5);
	assert_int_equal(sse_feed(sse, "id: 3\ndata: a\n\nevent: x\ndata: hal", 33, &err), 0);
	sse_restart(sse);
	assert_int_equal(sse_feed(sse, "data: b\n\n", 9, &err), 0);
	assert_string_equal(seen.text, "3|message|a;3|message|b;");
}

static void test_too_large(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct seen seen = { .ctx = ctx, .text = mem_strdup(ctx, "") };
	struct sse *sse = sse_new(ctx, take, &seen);
	struct err err = ERR_INIT;
	size_t size = (size_t)1 << 20;
	char *much = mem_array(ctx, char, size);
	int r = 0;

	(void)state;
	memset(much, 'x', size);
	for (size_t fed = 0; fed <= SSE_EVENT_MAX && r == 0; fed += size)
		r = sse_feed(sse, much, size, &err);
	assert_int_equal(r, -ERR_TOO_LARGE);
	sse_restart(sse);
	r = 0;
	for (size_t fed = 0; fed <= SSE_EVENT_MAX && r == 0; fed += size) {
		assert_int_equal(sse_feed(sse, "data:", 5, &err), 0);
		r = sse_feed(sse, much, size - 1, &err);
		if (r == 0)
			r = sse_feed(sse, "\n", 1, &err);
	}
	assert_int_equal(r, -ERR_TOO_LARGE);
	assert_int_equal(seen.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_of_every_size),
		cmocka_unit_test(test_enough),
		cmocka_unit_test(test_restart_forgets_half_an_event_and_keeps_the_id),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
