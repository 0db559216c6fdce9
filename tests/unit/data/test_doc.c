/* doc.c and json_read.c: places in JSON, paths, loading by file name. */
#include "checks.h"

#include "data/doc.h"
#include "data/json.h"

static struct doc *parse(const void *ctx, const char *text)
{
	struct err err = ERR_INIT;
	struct doc *doc = NULL;

	if (doc_parse_json(ctx, "f.json", text, strlen(text), &doc, &err) < 0)
		fail_msg("%s", err.text);
	return doc;
}

static void place(const struct doc *doc, const char *path, unsigned line, unsigned column)
{
	unsigned l = 0, c = 0;

	assert_true(doc_place(doc, path, &l, &c));
	if (l != line || c != column)
		fail_msg("%s: %u:%u, not %u:%u", path, l, c, line, column);
}

static void json_places(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct doc *doc = parse(ctx,
		"\n  {\"a\": [1, \"]}\\\"\", {}, [ ], {\"b\" :\ttrue}],\n"
		"\t\"\xc3\xa9\xf0\x9f\x98\x80\": null, \"c.d\": 1.50, \"\\u0065\":{\"x\":-1e2}}\n");

	place(doc, "", 2, 3);
	place(doc, "a", 2, 4);
	place(doc, "a[0]", 2, 10);
	place(doc, "a[1]", 2, 13);
	place(doc, "a[2]", 2, 21);
	place(doc, "a[3]", 2, 25);
	place(doc, "a[4]", 2, 30);
	place(doc, "a[4].b", 2, 31);
	place(doc, "[\"\xc3\xa9\xf0\x9f\x98\x80\"]", 3, 2);
	place(doc, "[\"c.d\"]", 3, 14);
	place(doc, "e.x", 3, 37);
	place(doc, "e.y.z", 3, 27);
	place(doc, "a[9].q", 2, 4);
	assert_string_equal(doc_written(doc, "[\"c.d\"]"), "1.50");
	assert_string_equal(doc_written(doc, "e.x"), "-1e2");
	assert_null(doc_written(doc, "a[0]"));
}

static void json_errors(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *words;
	} cases[] = {
		{ "{\"a\":1,\n \"a\":2}", 2, 2, "duplicate object key" },
		{ "{\"a\":1,}", 1, 8, "not valid JSON" },
		{ "[1 2]", 1, 4, "not valid JSON" },
		{ "{\n\"a\": tru\n}", 2, 6, "not valid JSON" },
		{ " \n", 1, 1, "empty" },
		{ "[\n\"\xc3\xa9\xff\"]", 2, 3, "byte 0xff" },
		{ "[1]\n[2]", 2, 1, "not valid JSON" },
		{ "\xff\xfe[\0", 1, 1, "UTF-16" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct err err = ERR_INIT;
		struct doc *doc = NULL;

		assert_int_equal(doc_parse_json(ctx, "f.json", cases[i].text, strlen(cases[i].text), &doc, &err), -ERR_INVALID);
		if (err.line != cases[i].line || err.column != cases[i].column || !strstr(err.text, cases[i].words))
			fail_msg("case %zu: %u:%u: %s", i, err.line, err.column, err.text);
	}
}

static void json_limits(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	struct doc *doc = NULL;
	char *text = mem_array(ctx, char, 3000000);

	memset(text, '[', 1000);
	assert_int_equal(doc_parse_json(ctx, "f", text, 1000, &doc, &err), -ERR_TOO_LARGE);
	assert_string_equal(err.text, "f:1:65: nested more than 64 levels deep");
	memset(text, ',', 3000000);
	assert_int_equal(doc_parse_json(ctx, "f", text, 3000000, &doc, &err), -ERR_TOO_LARGE);
	text[0] = '{';
	text[1] = '"';
	memset(text + 2, 'k', DOC_KEY_MAX + 1);
	memcpy(text + 2 + DOC_KEY_MAX + 1, "\":1}", 4);
	assert_int_equal(doc_parse_json(ctx, "f", text, 2 + DOC_KEY_MAX + 1 + 4, &doc, &err), -ERR_TOO_LARGE);
	assert_non_null(strstr(err.text, "f:1:2: a key of more than 1024 bytes"));
}

static void paths(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct doc *doc = parse(ctx, "{\"a\":{\"b-c\":[10,[20]]},\"x.y\":1,\"q\\\"\\\\\":2,\"\":3,\"3\":4}");
	static const char *const keys[] = { "x.y", "q\"\\", "", "3", "a" };

	assert_string_equal(doc_path(ctx, "", "a"), "a");
	assert_string_equal(doc_path(ctx, "steps[3]", "timeout"), "steps[3].timeout");
	assert_string_equal(doc_path(ctx, "a", "b.c"), "a[\"b.c\"]");
	assert_string_equal(doc_path(ctx, "", "q\"\\"), "[\"q\\\"\\\\\"]");
	assert_string_equal(doc_path_index(ctx, "steps", 3), "steps[3]");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		assert_ptr_equal(doc_get(doc, doc_path(ctx, "", keys[i])), json_object_get(doc_root(doc), keys[i]));
	assert_ptr_equal(doc_get(doc, ""), doc_root(doc));
	assert_int_equal(json_integer_value(doc_get(doc, "a.b-c[1][0]")), 20);
	assert_null(doc_get(doc, "a.b-c[2]"));
	assert_null(doc_get(doc, "a..b-c"));
	assert_null(doc_get(doc, "a."));
	assert_null(doc_get(doc, ".a"));
	assert_null(doc_get(doc, "a["));
	assert_null(doc_get(doc, "a[\"b"));
	assert_null(doc_get(doc, "a[\"b\\"));
	assert_null(doc_get(doc, "a[99999999999999999999]"));
	assert_null(doc_get(doc, "a.b-c[0"));
}

/* A large plan: places are found for each of its values. */
static void large_plan(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text = mem_array(ctx, char, 4000000), *at = text;
	struct doc *doc;

	at += snprintf(at, 20, "{\"steps\":[\n");
	for (int i = 0; i < 10000; i++) {
		at += snprintf(at, 20, "{");
		for (int k = 0; k < 10; k++)
			at += snprintf(at, 40, "%s\"member%d\":%d", k ? "," : "", k, i);
		at += snprintf(at, 20, "}%s\n", i < 9999 ? "," : "");
	}
	at += snprintf(at, 20, "]}");
	doc = parse(ctx, text);
	for (unsigned i = 0; i < 10000; i += 7) {
		_cleanup_talloc_ char *path = mem_printf(NULL, "steps[%u].member0", i);

		place(doc, path, i + 2, 2);
	}
	assert_true(talloc_total_size(doc) < 8u << 20);
}

static void write_file(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static void load_by_name(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char dir[] = "/tmp/unship-test-doc-XXXXXX";
	struct err err = ERR_INIT;
	struct doc *doc;
	char *json, *yaml;

	assert_non_null(mkdtemp(dir));
	json = mem_printf(ctx, "%s/a.json", dir);
	yaml = mem_printf(ctx, "%s/a.yaml", dir);
	write_file(json, "{\"a\": yes}");
	write_file(yaml, "a: yes\n");
	assert_int_equal(doc_load(ctx, json, &doc, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "a.json:1:7: not valid JSON"));
	assert_int_equal(doc_load(ctx, yaml, &doc, &err), 0);
	assert_string_equal(json_str(doc_root(doc), "a", ""), "yes");
	assert_string_equal(doc_name(doc), yaml);
	unlink(json);
	unlink(yaml);
	assert_int_equal(doc_load(ctx, yaml, &doc, &err), -ERR_NOT_FOUND);
	assert_int_equal(rmdir(dir), 0);
}

static void wrapped(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *root = json_make(ctx, "{s:i}", "a", 1);
	struct doc *doc = doc_wrap(ctx, "made", root);
	unsigned line, column;

	assert_false(doc_place(doc, "a", &line, &column));
	assert_null(doc_written(doc, "a"));
	assert_int_equal(json_integer_value(doc_get(doc, "a")), 1);
	talloc_free(doc);
	assert_int_equal(json_int(root, "a", 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_places),
		cmocka_unit_test(json_errors),
		cmocka_unit_test(json_limits),
		cmocka_unit_test(paths),
		cmocka_unit_test(large_plan),
		cmocka_unit_test(load_by_name),
		cmocka_unit_test(wrapped),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
