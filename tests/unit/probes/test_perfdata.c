/* Output of monitoring plugins. */
#include "checks.h"

#include "data/json.h"
#include "probes/perfdata.h"

static char *read_all(void *ctx, const char *text, struct plugin_output *ret)
{
	plugin_output_read(ctx, text, strlen(text), ret);
	return json_canonical(ctx, ret->perfdata);
}

static void test_one_line(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct plugin_output output;

	assert_string_equal(read_all(ctx, "PING OK - Packet loss = 0%, RTA = 0.80 ms | percent_packet_loss=0, rta=0.80\n", &output),
		"[{\"label\":\"percent_packet_loss\",\"value\":0},{\"label\":\"rta\",\"value\":0.8}]");
	assert_string_equal(output.message, "PING OK - Packet loss = 0%, RTA = 0.80 ms");
	assert_int_equal(output.malformed, 0);
}

static void test_items(void **state)
{
	static const struct {
		const char *text, *perfdata;
	} rows[] = {
		{ "OK", "[]" },
		{ "", "[]" },
		{ "OK|", "[]" },
		{ "OK | time=0.012s", "[{\"label\":\"time\",\"unit\":\"s\",\"value\":0.012}]" },
		{ "OK|time=0.012s;0.5;1;0;10",
			"[{\"crit\":\"1\",\"label\":\"time\",\"max\":10,\"min\":0,\"unit\":\"s\",\"value\":0.012,\"warn\":\"0.5\"}]" },
		{ "OK|/=2643MB;5948;5958;0;5968 /boot=68MB;88",
			"[{\"crit\":\"5958\",\"label\":\"/\",\"max\":5968,\"min\":0,\"unit\":\"MB\",\"value\":2643,\"warn\":\"5948\"},"
			"{\"label\":\"/boot\",\"unit\":\"MB\",\"value\":68,\"warn\":\"88\"}]" },
		{ "OK|'C: used'=5%;;;0", "[{\"label\":\"C: used\",\"min\":0,\"unit\":\"%\",\"value\":5}]" },
		{ "OK|'it''s'=1c", "[{\"label\":\"it's\",\"unit\":\"c\",\"value\":1}]" },
		{ "OK|'a=b'=-1.5", "[{\"label\":\"a=b\",\"value\":-1.5}]" },
		{ "OK|a=10;@10:20;~:3;", "[{\"crit\":\"~:3\",\"label\":\"a\",\"value\":10,\"warn\":\"@10:20\"}]" },
		{ "OK|a=U", "[{\"label\":\"a\",\"value\":null}]" },
		{ "OK|a=1e-05s", "[{\"label\":\"a\",\"unit\":\"s\",\"value\":0.00001}]" },
		{ "OK|a=1  b=2\tc=3", "[{\"label\":\"a\",\"value\":1},{\"label\":\"b\",\"value\":2},{\"label\":\"c\",\"value\":3}]" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct plugin_output output;

		assert_string_equal(read_all(ctx, rows[i].text, &output), rows[i].perfdata);
		assert_int_equal(output.malformed, 0);
	}
}

static void test_malformed(void **state)
{
	static const char *const rows[] = { "OK|a", "OK|=1", "OK|a=", "OK|a=x", "OK|'a=1", "OK|''=1", "OK|a'b=1", "OK|a=U5", "OK|a=1e999" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		_cleanup_talloc_ char *text = mem_printf(NULL, "%s good=1", rows[i]);
		struct plugin_output output;

		assert_string_equal(read_all(ctx, rows[i], &output), "[]");
		if (output.malformed == 0)
			fail_msg("'%s' was taken", rows[i]);
		if (i != 4) /* an open quote swallows what follows */
			assert_string_equal(read_all(ctx, text, &output), "[{\"label\":\"good\",\"value\":1}]");
	}
}

static void test_many_lines(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct plugin_output output;
	char *perfdata;

	perfdata = read_all(ctx, "DISK OK | /=1MB\nfirst detail\nsecond detail | /boot=2MB\n/home=3MB\n/var=4MB\n", &output);
	assert_string_equal(output.message, "DISK OK");
	assert_string_equal(output.long_text, "first detail\nsecond detail");
	assert_string_equal(perfdata,
		"[{\"label\":\"/\",\"unit\":\"MB\",\"value\":1},{\"label\":\"/boot\",\"unit\":\"MB\",\"value\":2},"
		"{\"label\":\"/home\",\"unit\":\"MB\",\"value\":3},{\"label\":\"/var\",\"unit\":\"MB\",\"value\":4}]");
}

static void test_garbage(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char bytes[] = "\x1b[31mred\xff | a=1\0b=2\x01";
	struct plugin_output output;
	_cleanup_talloc_ char *many = mem_strdup(NULL, "OK|");

	plugin_output_read(ctx, bytes, sizeof(bytes) - 1, &output);
	assert_string_equal(output.message, "\\x1b[31mred\\xff");
	for (int i = 0; i < PERFDATA_ITEMS_MAX + 10; i++)
		many = mem_appendf(many, "l%d=1 ", i);
	(void)read_all(ctx, many, &output);
	assert_int_equal(json_array_size(output.perfdata), PERFDATA_ITEMS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_many_lines),
		cmocka_unit_test(test_garbage),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
