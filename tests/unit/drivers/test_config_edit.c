/* Single items of configuration files: the value changes, and not one other byte. */
#include "checks.h"

#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/config_edit.h"

struct row {
	enum config_format format;
	const char *before, *key;
	const char *value; /* JSON; NULL: remove */
	const char *after; /* NULL: refused */
};

static json_t *value_of(const void *ctx, const char *text)
{
	return text ? json_keep(ctx, json_loads(text, JSON_DECODE_ANY, NULL)) : NULL;
}

static void run(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		const struct row *row = &rows[i];
		json_t *value = value_of(ctx, row->value), *now;
		struct err err = ERR_INIT;
		char *after, *again;
		int r = config_set(ctx, row->format, row->before, row->key, value, &after, &err);

		if (row->after ? r < 0 : r >= 0)
			fail_msg("row %zu, %s: %s", i, row->key, r < 0 ? err.text : after);
		if (!row->after)
			continue;
		if (strcmp(after, row->after) != 0)
			fail_msg("row %zu, %s:\n<<%s>>\ninstead of\n<<%s>>", i, row->key, after, row->after);
		/* what was set is there, and setting it again changes nothing */
		assert_int_equal(config_get(ctx, row->format, after, row->key, &now, &err), 0);
		assert_true(value && !json_is_null(value) ? now != NULL : now == NULL);
		assert_int_equal(config_set(ctx, row->format, after, row->key, value, &again, &err), 0);
		assert_string_equal(again, after);
	}
}

static void test_env(void **state)
{
	static const struct row rows[] = {
		{ CONFIG_ENV, "# head\nA=1\n\nB=2 # note\n# tail\n", "B", "\"3\"", "# head\nA=1\n\nB=3 # note\n# tail\n" },
		{ CONFIG_ENV, "A=1\n", "A", "2", "A=2\n" },
		{ CONFIG_ENV, "A=1\n", "A", "true", "A=true\n" },
		{ CONFIG_ENV, "A=1", "B", "\"2\"", "A=1\nB=2\n" },
		{ CONFIG_ENV, "", "B", "\"2\"", "B=2\n" },
		{ CONFIG_ENV, "A='x'\n", "A", "\"y z\"", "A='y z'\n" },
		{ CONFIG_ENV, "A=\"x\" # n\n", "A", "\"y\"", "A=\"y\" # n\n" },
		{ CONFIG_ENV, "A=\"x\"\n", "A", "\"q\\\"$b\\\\\"", "A=\"q\\\"\\$b\\\\\"\n" },
		{ CONFIG_ENV, "A='x'\n", "A", "\"it's\"", "A=\"it's\"\n" },
		{ CONFIG_ENV, "A=x\n", "A", "\"two words\"", "A='two words'\n" },
		{ CONFIG_ENV, "A=x\n", "A", "\"a#b\"", "A='a#b'\n" },
		{ CONFIG_ENV, "A=x\n", "A", "\"$HOME\"", "A='$HOME'\n" },
		{ CONFIG_ENV, "A=x\n", "A", "\"l1\\nl2\"", "A=\"l1\\nl2\"\n" },
		{ CONFIG_ENV, "A=x\n", "A", "\"\"", "A=\n" },
		{ CONFIG_ENV, "A=\nB=1\n", "A", "\"v\"", "A=v\nB=1\n" },
		{ CONFIG_ENV, "export A=1\nexport B=2\n", "C", "\"3\"", "export A=1\nexport B=2\nexport C=3\n" },
		{ CONFIG_ENV, "  export  A = 1\n", "A", "\"2\"", "  export  A = 2\n" },
		{ CONFIG_ENV, "A=1\r\nB=2\r\n", "A", "\"5\"", "A=5\r\nB=2\r\n" },
		{ CONFIG_ENV, "A=1\r\nB=2\r\n", "C", "\"5\"", "A=1\r\nB=2\r\nC=5\r\n" },
		{ CONFIG_ENV, "A=1\nB=2\nA=3\n", "A", "\"4\"", "A=1\nB=2\nA=4\n" },
		{ CONFIG_ENV, "A=1\nB=2\nA=3\n", "A", NULL, "B=2\n" },
		{ CONFIG_ENV, "A=1\nB=2\n", "B", "null", "A=1\n" },
		{ CONFIG_ENV, "A=1\n", "B", NULL, "A=1\n" },
		{ CONFIG_ENV, "P=\"l1\nA=no\nl3\"\nA=1\n", "A", "\"2\"", "P=\"l1\nA=no\nl3\"\nA=2\n" },
		{ CONFIG_ENV, "P=\"l1\nl2\"\nA=1\n", "P", "\"x\"", "P=\"x\"\nA=1\n" },
		{ CONFIG_ENV, "not a line\nA=1\n", "A", "\"2\"", "not a line\nA=2\n" },
		{ CONFIG_ENV, "A='open\nB=1\n", "B", "\"2\"", "A='open\nB=2\n" },
		{ CONFIG_ENV, "A=1\n", "A B", "\"2\"", NULL },
		{ CONFIG_ENV, "A=1\n", "1A", "\"2\"", NULL },
		{ CONFIG_ENV, "A=1\n", "A", "{}", NULL },
	};

	run(rows, ARRAY_SIZE(rows));
}

static void test_json(void **state)
{
	static const struct row rows[] = {
		{ CONFIG_JSON, "{\"a\": 1,  \"b\" : 2}\n", "a", "3", "{\"a\": 3,  \"b\" : 2}\n" },
		{ CONFIG_JSON, "{\n\t\"b\": {\n\t\t\"c\": \"x\"\n\t},\n\t\"a\": 1.50\n}\n", "b.c", "\"y\"",
			"{\n\t\"b\": {\n\t\t\"c\": \"y\"\n\t},\n\t\"a\": 1.50\n}\n" },
		{ CONFIG_JSON, "{\n  \"a\": 1\n}\n", "b", "\"x\"", "{\n  \"a\": 1,\n  \"b\": \"x\"\n}\n" },
		{ CONFIG_JSON, "{\n  \"a\": 1\n}\n", "b.c", "2", "{\n  \"a\": 1,\n  \"b\": {\n    \"c\": 2\n  }\n}\n" },
		{ CONFIG_JSON, "{\n\t\"a\": 1\n}\n", "b", "{\"c\": [1, 2]}",
			"{\n\t\"a\": 1,\n\t\"b\": {\n\t\t\"c\": [\n\t\t\t1,\n\t\t\t2\n\t\t]\n\t}\n}\n" },
		{ CONFIG_JSON, "{\n  \"a\": {}\n}\n", "a.b", "1", "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n" },
		{ CONFIG_JSON, "{\"a\":1}", "b", "2", "{\"a\":1,\"b\":2}" },
		{ CONFIG_JSON, "{\"a\": 1}", "b", "2", "{\"a\": 1, \"b\": 2}" },
		{ CONFIG_JSON, "{ \"a\": 1, \"b\": 2 }", "c", "3", "{ \"a\": 1, \"b\": 2, \"c\": 3 }" },
		{ CONFIG_JSON, "{}", "a", "1", "{\"a\":1}" },
		{ CONFIG_JSON, "", "a.b", "1", "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n" },
		{ CONFIG_JSON, "{\"a\": 1, \"b\": 2, \"c\": 3}", "a", NULL, "{\"b\": 2, \"c\": 3}" },
		{ CONFIG_JSON, "{\"a\": 1, \"b\": 2, \"c\": 3}", "b", NULL, "{\"a\": 1, \"c\": 3}" },
		{ CONFIG_JSON, "{\"a\": 1, \"b\": 2, \"c\": 3}", "c", NULL, "{\"a\": 1, \"b\": 2}" },
		{ CONFIG_JSON, "{\n  \"a\": 1,\n  \"b\": 2\n}\n", "b", NULL, "{\n  \"a\": 1\n}\n" },
		{ CONFIG_JSON, "{\n  \"a\": 1\n}\n", "a", NULL, "{}\n" },
		{ CONFIG_JSON, "{\"a\": [1, {\"b\": 2}, 3]}", "a[1].b", "7", "{\"a\": [1, {\"b\": 7}, 3]}" },
		{ CONFIG_JSON, "{\"a\": [1, 2, 3]}", "a[1]", NULL, NULL },
		{ CONFIG_JSON, "{\"a\": [1]}", "a[4]", "1", NULL },
		{ CONFIG_JSON, "{\"a.b\": 1, \"a\": {\"c\": 2}}", "a.b", "3", "{\"a.b\": 3, \"a\": {\"c\": 2}}" },
		{ CONFIG_JSON, "{\"a.b\": 1, \"a\": {\"c\": 2}}", "[\"a.b\"]", "3", "{\"a.b\": 3, \"a\": {\"c\": 2}}" },
		{ CONFIG_JSON, "{\"\\u0061\": \"{,]\\\"\", \"b\": 1}", "a", "\"}\"", "{\"\\u0061\": \"}\", \"b\": 1}" },
		{ CONFIG_JSON, "{\"a\": 0.1}", "a", "0.3", "{\"a\": 0.3}" },
		{ CONFIG_JSON, "{\"k\": \"\xc3\xa4\xe2\x82\xac\", \"b\": 1}", "b", "\"\xc3\xb6\"",
			"{\"k\": \"\xc3\xa4\xe2\x82\xac\", \"b\": \"\xc3\xb6\"}" },
		{ CONFIG_JSON, "\xef\xbb\xbf{\"a\": 1}", "a", "2", "\xef\xbb\xbf{\"a\": 2}" },
		{ CONFIG_JSON, "{\r\n  \"a\": 1\r\n}\r\n", "b", "2", "{\r\n  \"a\": 1,\r\n  \"b\": 2\r\n}\r\n" },
		{ CONFIG_JSON, "{\"a\": 1}", "a.b", "2", NULL },
		{ CONFIG_JSON, "{\"a\": 1, \"a\": 2}", "a", "3", NULL },
		{ CONFIG_JSON, "{\"a\": 1} // note", "a", "3", NULL },
		{ CONFIG_JSON, "[1, 2]", "[0]", "3", "[3, 2]" },
		{ CONFIG_JSON, "[1, 2]", "a", "3", NULL },
		{ CONFIG_JSON, "{}", "a..b", "3", NULL },
		{ CONFIG_JSON, "{}", "a[x]", "3", NULL },
		{ CONFIG_JSON, "{}", "", "3", NULL },
	};

	run(rows, ARRAY_SIZE(rows));
}

static void test_yaml(void **state)
{
	static const struct row rows[] = {
		{ CONFIG_YAML, "# head\na: 1 # one\nb:   two\n", "a", "2", "# head\na: 2 # one\nb:   two\n" },
		{ CONFIG_YAML, "a: 1\nb: 'x'  # q\n", "b", "\"it's\"", "a: 1\nb: 'it''s'  # q\n" },
		{ CONFIG_YAML, "b: \"x\"\n", "b", "\"y\"", "b: \"y\"\n" },
		{ CONFIG_YAML, "b: x\n", "b", "\"8080\"", "b: \"8080\"\n" },
		{ CONFIG_YAML, "b: x\n", "b", "\"true\"", "b: \"true\"\n" },
		{ CONFIG_YAML, "b: x\n", "b", "\"yes\"", "b: \"yes\"\n" },
		{ CONFIG_YAML, "b: x\n", "b", "\"a: b # c\"", "b: \"a: b # c\"\n" },
		{ CONFIG_YAML, "b: x\n", "b", "\"two words\"", "b: two words\n" },
		{ CONFIG_YAML, "b: x\n", "b", "\"l1\\nl2\"", "b: \"l1\\nl2\"\n" },
		{ CONFIG_YAML, "b: x\n", "b", "\"\"", "b: \"\"\n" },
		{ CONFIG_YAML, "b: x\n", "b", "false", "b: false\n" },
		{ CONFIG_YAML, "b: x\n", "b", "[1, \"a\"]", "b: [1,\"a\"]\n" },
		{ CONFIG_YAML, "b:\nc: 1\n", "b", "5", "b: 5\nc: 1\n" },
		{ CONFIG_YAML, "b: # note\nc: 1\n", "c", "5", "b: # note\nc: 5\n" },
		{ CONFIG_YAML, "s:\n    p: 1\n    # in\n    q: [a, b]\n# after\nt: 1\n", "s.p", "9",
			"s:\n    p: 9\n    # in\n    q: [a, b]\n# after\nt: 1\n" },
		{ CONFIG_YAML, "s:\n    p: 1\n    q: [a, b] # list\n# after\nt: 1\n", "s.r", "\"x\"",
			"s:\n    p: 1\n    q: [a, b] # list\n    r: x\n# after\nt: 1\n" },
		{ CONFIG_YAML, "a: 1\n", "b.c", "2", "a: 1\nb:\n  c: 2\n" },
		{ CONFIG_YAML, "a: 1", "b", "2", "a: 1\nb: 2" },
		{ CONFIG_YAML, "a: 1\nb: 2\nc: 3\n", "b", NULL, "a: 1\nc: 3\n" },
		{ CONFIG_YAML, "a: 1\nb:\n  x: 1\n  y: 2\nc: 3\n", "b", NULL, "a: 1\nc: 3\n" },
		{ CONFIG_YAML, "b:\n  x: 1\nc: 3\n", "b.x", NULL, "b:\n  {}\nc: 3\n" },
		{ CONFIG_YAML, "a: 1\n", "a", NULL, "{}\n" },
		{ CONFIG_YAML, "a: {x: 1, y: 2}\n", "a.x", "5", "a: {x: 5, y: 2}\n" },
		{ CONFIG_YAML, "a: {x: 1, y: 2}\n", "a.z", "\"v, w\"", "a: {x: 1, y: 2, z: \"v, w\"}\n" },
		{ CONFIG_YAML, "a: {}\n", "a.z", "1", "a: {z: 1}\n" },
		{ CONFIG_YAML, "a: {x: 1, y: 2}\n", "a.x", NULL, "a: {y: 2}\n" },
		{ CONFIG_YAML, "a: {x: 1, y: 2}\n", "a.y", NULL, "a: {x: 1}\n" },
		{ CONFIG_YAML, "a: {x: 1}\n", "a.x", NULL, "a: {}\n" },
		{ CONFIG_YAML, "l:\n  - n: 1\n    m: 2\n  - n: 3\n", "l[0].m", "5", "l:\n  - n: 1\n    m: 5\n  - n: 3\n" },
		{ CONFIG_YAML, "l:\n  - n: 1\n    m: 2\n  - n: 3\n", "l[1].o", "5", "l:\n  - n: 1\n    m: 2\n  - n: 3\n    o: 5\n" },
		{ CONFIG_YAML, "l: [1, 2, 3]\n", "l[1]", NULL, NULL },
		{ CONFIG_YAML, "t: |\n  l1\n  l2\n\nu: 1\n", "u", "2", "t: |\n  l1\n  l2\n\nu: 2\n" },
		{ CONFIG_YAML, "t: |\n  l1\n  l2\n\nu: 1\n", "t", "\"x\"", "t: x\n\nu: 1\n" },
		{ CONFIG_YAML, "u: 1\nt: |\n  l1\n", "v", "2", "u: 1\nt: |\n  l1\nv: 2\n" },
		{ CONFIG_YAML, "k: \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\nb: 1 # \xc3\xa4\n", "b", "2",
			"k: \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\nb: 2 # \xc3\xa4\n" },
		{ CONFIG_YAML,
			"\xef\xbb\xbf"
			"a: 1\nb: 2\n",
			"b", "3",
			"\xef\xbb\xbf"
			"a: 1\nb: 3\n" },
		{ CONFIG_YAML, "a: 1\r\nb: 2\r\n", "b", "3", "a: 1\r\nb: 3\r\n" },
		{ CONFIG_YAML, "a: 1\r\nb: 2\r\n", "c", "3", "a: 1\r\nb: 2\r\nc: 3\r\n" },
		{ CONFIG_YAML, "---\na: 1\n...\n", "b", "3", "---\na: 1\nb: 3\n...\n" },
		{ CONFIG_YAML, "# only a note\n", "a.b", "1", "# only a note\na:\n  b: 1\n" },
		{ CONFIG_YAML, "", "a", "1", "a: 1\n" },
		/* anchors, aliases, merges */
		{ CONFIG_YAML, "d: &d 1\ne: *d\nf: 2\n", "e", "3", "d: &d 1\ne: 3\nf: 2\n" },
		{ CONFIG_YAML, "d: &d 1\ne: *d\nf: 2\n", "f", "3", "d: &d 1\ne: *d\nf: 3\n" },
		{ CONFIG_YAML, "d: &d 1\ne: *d\n", "f", "3", "d: &d 1\ne: *d\nf: 3\n" },
		{ CONFIG_YAML, "d: &d 1\ne: *d\n", "d", "3", NULL },
		{ CONFIG_YAML, "d: &d {x: 1}\ne: *d\n", "e.x", "3", NULL },
		{ CONFIG_YAML, "d: &d\n  x: 1\ne: *d\n", "d.x", "3", NULL },
		{ CONFIG_YAML, "d: &d\n  x: 1\ne:\n  <<: *d\n  y: 2\n", "e.y", "3", "d: &d\n  x: 1\ne:\n  <<: *d\n  y: 3\n" },
		{ CONFIG_YAML, "d: &d\n  x: 1\ne:\n  <<: *d\n  y: 2\n", "e.x", "3", "d: &d\n  x: 1\ne:\n  <<: *d\n  y: 2\n  x: 3\n" },
		{ CONFIG_YAML, "d: &d\n  x: 1\ne:\n  <<: *d\n  y: 2\n", "e.x", NULL, NULL },
		/* refused */
		{ CONFIG_YAML, "a:\n  b: 1\n", "a", "3", NULL },
		{ CONFIG_YAML, "a:\n  - 1\n  - 2\n", "a[0]", NULL, NULL },
		{ CONFIG_YAML, "a: 1\n", "a.b", "3", NULL },
		{ CONFIG_YAML, "a: 1\na: 2\n", "a", "3", NULL },
		{ CONFIG_YAML, "a: [1\n", "a", "3", NULL },
		{ CONFIG_YAML, "a: 1\n---\nb: 2\n", "a", "3", NULL },
		{ CONFIG_YAML, "- 1\n", "a", "3", NULL },
	};

	run(rows, ARRAY_SIZE(rows));
}

static void test_no_value_in_messages(void **state)
{
	static const struct {
		enum config_format format;
		const char *text;
	} rows[] = { { CONFIG_JSON, "{\"a\": \"s3cret\" s3cret}" }, { CONFIG_YAML, "a: [s3cret\nb: s3cret: s3cret\n" },
		{ CONFIG_JSON, "s3cret" }, { CONFIG_YAML, "a: !s3cret s3cret\n" }, { CONFIG_JSON, "{\"a\": {\"b\": 1}, \"s\": s3cret}" },
		{ CONFIG_YAML, "a:\n  x: s3cret\n" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct err err = ERR_INIT;
		char *after;

		if (config_set(ctx, rows[i].format, rows[i].text, "a", value_of(ctx, "1"), &after, &err) >= 0)
			fail_msg("row %zu was taken: %s", i, after);
		if (strstr(err.text, "s3cret"))
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void test_keys(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *keys = json_keep(ctx, json_object());
	struct err err = ERR_INIT;

	assert_int_equal(config_keys(CONFIG_ENV, "A=1\nexport B='x'\n", "", keys, &err), 0);
	assert_int_equal(config_keys(CONFIG_JSON, "{\"s\": {\"p\": 1, \"q\": 1.5, \"o\": {}}, \"l\": [1], \"t\": true, \"n\": null}",
				 "j:", keys, &err),
		0);
	assert_int_equal(config_keys(CONFIG_YAML, "a:\n  b.c: x\n", "y:", keys, &err), 0);
	assert_string_equal(json_canonical(ctx, keys),
		"{\"A\":\"string\",\"B\":\"string\",\"j:l\":\"list\",\"j:n\":\"null\",\"j:s.o\":\"object\",\"j:s.p\":\"integer\","
		"\"j:s.q\":\"number\",\"j:t\":\"boolean\",\"y:a[\\\"b.c\\\"]\":\"string\"}");
	assert_int_equal(config_keys(CONFIG_JSON, "{", "", keys, &err), -ERR_INVALID);
}

static void test_formats(void **state)
{
	assert_int_equal(config_format(".env"), CONFIG_ENV);
	assert_int_equal(config_format("deploy/.env.production"), CONFIG_ENV);
	assert_int_equal(config_format("app.env"), CONFIG_ENV);
	assert_int_equal(config_format("a.d/app.json"), CONFIG_JSON);
	assert_int_equal(config_format("app.yml"), CONFIG_YAML);
	assert_int_equal(config_format(".env.json"), CONFIG_JSON);
	assert_int_equal(config_format("nginx.conf"), CONFIG_OPAQUE);
	assert_int_equal(config_format("json"), CONFIG_OPAQUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_no_value_in_messages),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_formats),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
