/* yaml.c and yaml_scalar.c: the tree, the places, and every refusal with its place and words. */
#include "checks.h"

#include "data/doc.h"
#include "data/json.h"

static struct doc *parse(const void *ctx, const char *text)
{
	struct err err = ERR_INIT;
	struct doc *doc = NULL;

	if (doc_parse_yaml(ctx, "f.yaml", text, strlen(text), &doc, &err) < 0)
		fail_msg("%s", err.text);
	return doc;
}

static void same(const char *yaml, const char *json)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_string_equal(json_canonical(ctx, doc_root(parse(ctx, yaml))), json);
}

static void refused_size(const char *yaml, size_t size, enum err_code code, unsigned line, unsigned column, const char *words)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	struct doc *doc = NULL;
	char place[40];

	if (doc_parse_yaml(ctx, "f.yaml", yaml, size, &doc, &err) != -(int)code)
		fail_msg("'%.60s': not refused as it should be: %s", yaml, err.text);
	assert_null(doc);
	(void)snprintf(place, sizeof(place), "f.yaml:%u:%u: ", line, column);
	if (strncmp(err.text, place, strlen(place)) != 0 || !strstr(err.text, words))
		fail_msg("'%s' is not '%s... %s'", err.text, place, words);
	assert_int_equal(err.line, line);
	assert_int_equal(err.column, column);
}

static void refused(const char *yaml, unsigned line, unsigned column, const char *words)
{
	refused_size(yaml, strlen(yaml), ERR_INVALID, line, column, words);
}

static void plain_scalars(void **state)
{
	same("[null, Null, NULL, ~, ]", "[null,null,null,null]");
	same("a:\nb: ~", "{\"a\":null,\"b\":null}");
	same("[true, True, TRUE, false, False, FALSE]", "[true,true,true,false,false,false]");
	same("[yes, no, on, off, Yes, y, n, tRue, nUll]", "[\"yes\",\"no\",\"on\",\"off\",\"Yes\",\"y\",\"n\",\"tRue\",\"nUll\"]");
	same("[0, 12, -12, +12, 0123, 0x1F, 0o17, -0]", "[0,12,-12,12,123,31,15,0]");
	same("[9223372036854775807, -9223372036854775808, 0x7fffffffffffffff]",
		"[9223372036854775807,-9223372036854775808,9223372036854775807]");
	same("[1.5, .5, 1., +1.5, -2.5e-3, 1e3, 1E+2, -.5]", "[1.5,0.5,1,1.5,-0.0025,1000,100,-0.5]");
	same("[1.5.2, 1_000, 12:30, 2026-01-01, 0b11, 0xZZ, 0o8, -0x1, ., -, +, e3, 1e, .e3, inf, nan, 1.5 ms]",
		"[\"1.5.2\",\"1_000\",\"12:30\",\"2026-01-01\",\"0b11\",\"0xZZ\",\"0o8\",\"-0x1\","
		"\".\",\"-\",\"+\",\"e3\",\"1e\",\".e3\",\"inf\",\"nan\",\"1.5 ms\"]");
	same("['1', \"true\", 'null', \"\", '~', '<<']", "[\"1\",\"true\",\"null\",\"\",\"~\",\"<<\"]");
	same("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}");
	same("1: a\ntrue: b\n~: c\n'': d", "{\"\":\"d\",\"1\":\"a\",\"true\":\"b\",\"~\":\"c\"}");
	same("\xef\xbb\xbf"
	     "a: 1",
		"{\"a\":1}");
	same("%YAML 1.2\n---\na: 1\n...\n", "{\"a\":1}");
	same("a: 1\r\nb: 2\r\n", "{\"a\":1,\"b\":2}");
	same("\"\\u00e9\\U0001F600\\x41\"",
		"\"\xc3\xa9\xf0\x9f\x98\x80"
		"A\"");
}

static void numbers_too_large(void **state)
{
	refused("a: 9223372036854775808", 1, 4, "too large");
	refused("a: -9223372036854775809", 1, 4, "too large");
	refused("a: 0x8000000000000000", 1, 4, "too large");
	refused("a: 1e999", 1, 4, "too large");
	refused("a: .inf", 1, 4, "infinity");
	refused("a: -.Inf", 1, 4, "infinity");
	refused("a: .NaN", 1, 4, "not-a-number");
}

static void tags(void **state)
{
	same("[!!str 1, !!int 1, !!float 1, !!bool true, !!null ~, ! 1, !!str ]", "[\"1\",1,1,true,null,\"1\",\"\"]");
	same("!!map {a: !!seq [1]}", "{\"a\":[1]}");
	refused("a: !!int x", 1, 4, "not of the type");
	refused("a: !!seq {}", 1, 4, "not of the type");
	refused("a: !!binary aGk=", 1, 4, "not supported");
	refused("a: !ruby/object:Gem x", 1, 4, "not supported");
	refused("!!int a: 1", 1, 1, "a key is always a string");
	refused("a: !e!x 1", 1, 4, "unknown tag");
}

static void aliases(void **state)
{
	same("a: &x [1, {b: 2}]\nc: *x\nd: *x", "{\"a\":[1,{\"b\":2}],\"c\":[1,{\"b\":2}],\"d\":[1,{\"b\":2}]}");
	same("[&x 1, *x, &x 2, *x]", "[1,1,2,2]");
	refused("a: *nope", 1, 4, "unknown alias '*nope'");
	refused("a: *later\nb: &later 1", 1, 4, "unknown alias");
	refused("a: &x\n  b: *x", 2, 6, "inside of the value");
	refused("&x [[*x]]", 1, 6, "inside of the value");
	refused("*x : 1", 1, 1, "an alias cannot be a key");
	refused("&x a: 1", 1, 1, "a key cannot have an anchor");
}

static void copies_are_not_shared(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct doc *doc = parse(ctx, "a: &x {k: 1}\nb: *x");

	json_put_int(doc_get(doc, "b"), "k", 2);
	assert_int_equal(json_int(doc_get(doc, "a"), "k", 0), 1);
}

static void merge_keys(void **state)
{
	same("base: &b {x: 1, y: 2}\nd: {<<: *b, y: 3}", "{\"base\":{\"x\":1,\"y\":2},\"d\":{\"x\":1,\"y\":3}}");
	same("d: {y: 3, <<: {x: 1, y: 2}}", "{\"d\":{\"x\":1,\"y\":3}}");
	same("[&a {x: 1}, &b {x: 2, y: 2}, {<<: [*a, *b], z: 3}]", "[{\"x\":1},{\"x\":2,\"y\":2},{\"x\":1,\"y\":2,\"z\":3}]");
	same("{'<<': 1}", "{\"<<\":1}");
	refused("a: {<<: 1}", 1, 5, "merges mappings");
	refused("a: {<<: [1]}", 1, 5, "merges mappings");
	refused("a: {<<: {}, <<: {}}", 1, 13, "a second time");
}

static void structure_errors(void **state)
{
	refused("a: 1\nb: 2\na: 3", 3, 1, "the key 'a' stands here a second time");
	refused("a: 1\n'a': 3", 2, 1, "a second time");
	refused("a: 1\n---\nb: 2\n", 2, 1, "a second document");
	refused("a:\n\tb: 1", 2, 1, "a tab in the indentation");
	refused("a:\n  b: 1\n\tc: 2", 3, 1, "tab");
	refused("a: [1, 2\nb: 3", 2, 2, "is missing");
	refused("a: \"x\nb: 3\n", 3, 1, "never closed");
	refused("a: b: c", 1, 5, "put the value in quotes");
	refused("a: 1\n b: 2", 2, 3, "check the indentation");
	refused("a: @x", 1, 4, "put it in quotes");
	refused("a: \"\\q\"", 1, 5, "single quotes");
	refused("{{x}}: 1", 1, 1, "cannot be a key");
	refused("a: {{x}}", 1, 5, "needs quotes");
	refused("? [a]\n: 1", 1, 3, "cannot be a key");
	refused(": 1", 1, 1, "a key is expected");
	refused("{: 1}", 1, 2, "a value is expected");
	refused("? \n: 1", 1, 2, "a key is missing");
	refused("a: \"x\\0y\"", 1, 4, "0 byte");
	refused("\"k\\0\": 1", 1, 1, "0 byte");
	refused("", 1, 1, "empty");
	refused("  \n\n", 1, 1, "empty");
	refused("# only a comment\n", 1, 1, "empty");
	refused("---\n", 2, 1, "empty");
}

static void encodings(void **state)
{
	refused("a: \xc3\xa9\nb: x\xff", 2, 5, "byte 0xff is not UTF-8");
	refused("\xc3\xa9: \xed\xa0\x80", 1, 4, "not UTF-8");
	refused("a: \xc3", 1, 4, "not UTF-8");
	refused_size("\xff\xfe"
		     "a\0:\0",
		6, ERR_INVALID, 1, 1, "UTF-16");
	refused_size("\xfe\xff\0a", 4, ERR_INVALID, 1, 1, "UTF-16");
	refused_size("a\0:\0 \0", 6, ERR_INVALID, 1, 1, "UTF-16");
	refused("a: 1\nb: \x01", 2, 4, "control character");
}

static char *repeat(const void *ctx, const char *text, size_t count)
{
	size_t length = strlen(text);
	char *all = mem_array(ctx, char, length *count + 1);

	for (size_t i = 0; i < count; i++)
		memcpy(all + i * length, text, length);
	return all;
}

static void limits(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	struct doc *doc = NULL;
	char *text;

	text = mem_printf(ctx, "%s%s", repeat(ctx, "[", 64), repeat(ctx, "]", 64));
	same(text, text);
	text = repeat(ctx, "[", 100000);
	refused_size(text, strlen(text), ERR_TOO_LARGE, 1, 65, "64 levels");
	text = mem_printf(ctx, "%s: 1", repeat(ctx, "k", DOC_KEY_MAX + 1)); /* libyaml itself ends simple keys at 1024 characters */
	assert_true(doc_parse_yaml(ctx, "f", text, strlen(text), &doc, &err) < 0);
	text = mem_printf(ctx, "? %s\n: 1", repeat(ctx, "k", DOC_KEY_MAX + 1));
	refused_size(text, strlen(text), ERR_TOO_LARGE, 1, 3, "a key of more than");
	text = repeat(ctx, "#", DOC_SIZE_MAX + 1);
	refused_size(text, strlen(text), ERR_TOO_LARGE, 1, 1, "at most 16777216");
	text = mem_printf(ctx, "[%s1]", repeat(ctx, "1,", DOC_NODES_MAX));
	assert_int_equal(doc_parse_yaml(ctx, "f", text, strlen(text), &doc, &err), -ERR_TOO_LARGE);
}

static void bombs(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text = mem_strdup(ctx, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");

	for (int i = 1; i < 20; i++)
		text = mem_appendf(text, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1,
			i - 1, i - 1, i - 1, i - 1, i - 1);
	refused_size(text, strlen(text), ERR_TOO_LARGE, 6, 14, "stand for more than");

	/* few values, much text: 1 MB, a hundred times */
	text = mem_printf(ctx, "a: &a '%s'\nb: [%s]", repeat(ctx, "x", 1000000), repeat(ctx, "*a,", 100));
	refused_size(text, strlen(text), ERR_TOO_LARGE, 2, 41, "stand for more than");

	/* each alias one level deeper */
	text = mem_strdup(ctx, "a0: &a0 [x]\n");
	for (int i = 1; i < 80; i++)
		text = mem_appendf(text, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	refused_size(text, strlen(text), ERR_TOO_LARGE, 64, 12, "levels deep");

	/* merges of merges */
	text = mem_strdup(ctx, "m0: &m0 {a: 1}\n");
	for (int i = 1; i < 40; i++)
		text = mem_appendf(text, "m%d: &m%d {<<: *m%d, k%d: *m%d}\n", i, i, i - 1, i, i - 1);
	refused_size(text, strlen(text), ERR_TOO_LARGE, 17, 16, "stand for more than");
}

static void place(const struct doc *doc, const char *path, unsigned line, unsigned column)
{
	unsigned l = 0, c = 0;

	assert_true(doc_place(doc, path, &l, &c));
	if (l != line || c != column)
		fail_msg("%s: %u:%u, not %u:%u", path, l, c, line, column);
}

static void places(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct doc *doc = parse(ctx,
		"# head\nsteps:\n  - id: a\n    parameters: {\xc3\xa9: 1, b: [x, y]}\n"
		"  - &s\n    id: b\n\"a.b\": &m {v: 1.10}\nm: {<<: *m, n: *s}\n");

	place(doc, "", 2, 1);
	place(doc, "steps", 2, 1);
	place(doc, "steps[0]", 3, 5);
	place(doc, "steps[0].id", 3, 5);
	place(doc, "steps[0].parameters", 4, 5);
	place(doc, "steps[0].parameters[\"\xc3\xa9\"]", 4, 18);
	place(doc, "steps[0].parameters.b", 4, 24);
	place(doc, "steps[0].parameters.b[1]", 4, 31);
	place(doc, "steps[1].id", 6, 5);
	place(doc, "[\"a.b\"].v", 7, 12);
	place(doc, "m.v", 8, 5);     /* the << */
	place(doc, "m.n.id", 8, 13); /* the alias' key */
	place(doc, "steps[0].nothing.here", 3, 5);
	assert_string_equal(doc_written(doc, "[\"a.b\"].v"), "1.10");
	assert_string_equal(doc_written(doc, "m.v"), "1.10");
	assert_null(doc_written(doc, "m"));
	assert_null(doc_written(doc, "nothing"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_scalars),
		cmocka_unit_test(numbers_too_large),
		cmocka_unit_test(tags),
		cmocka_unit_test(aliases),
		cmocka_unit_test(copies_are_not_shared),
		cmocka_unit_test(merge_keys),
		cmocka_unit_test(structure_errors),
		cmocka_unit_test(encodings),
		cmocka_unit_test(limits),
		cmocka_unit_test(bombs),
		cmocka_unit_test(places),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
