/* shape.c: what the schema says, and what the check finds, with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data/json.h"
#include "data/shape.h"

static const struct shape inner_shape[] = {
	SHAPE_STR("name", ALWAYS, "its name"),
	SHAPE_INT("count", SOMETIMES, "how many"),
	SHAPE_END,
};
static const struct shape outer_shape[] = {
	SHAPE_STR("text", ALWAYS, "a text"),
	SHAPE_TIME("at", SOMETIMES, "when"),
	SHAPE_REAL("share", SOMETIMES, "a number"),
	SHAPE_BOOL("ok", SOMETIMES, "yes or no"),
	SHAPE_CHOICE("kind", SOMETIMES, "one|two|twofold", "a kind"),
	SHAPE_STRINGS("words", SOMETIMES, "words"),
	SHAPE_OBJECT("one", SOMETIMES, inner_shape, "an object"),
	SHAPE_LIST("many", SOMETIMES, inner_shape, "objects"),
	SHAPE_MAP("named", SOMETIMES, inner_shape, "objects by name"),
	SHAPE_MAP("free", SOMETIMES, NULL, "anything by name"),
	SHAPE_ANY("any", SOMETIMES, "anything"),
	SHAPE_END,
};

static void check(const char *text, const char *wanted)
{
	void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
	int r;

	assert_non_null(value);
	r = shape_check(outer_shape, value, &err);
	if (wanted) {
		assert_int_equal(r, -ERR_INTERNAL);
		if (!strstr(err.text, wanted))
			fail_msg("%s: '%s' does not say '%s'", text, err.text, wanted);
	} else if (r < 0) {
		fail_msg("%s: %s", text, err.text);
	}
	json_decref(value);
	talloc_free(ctx);
}

static void fits(void **state)
{
	(void)state;
	check("{\"text\": \"\"}", NULL);
	check("{\"text\": \"a\", \"at\": \"2026-11-21T04:53:33.120Z\", \"share\": 1, \"ok\": false, \"kind\": \"twofold\", \"words\": [\"a\"]}",
		NULL);
	check("{\"text\": \"a\", \"one\": {\"name\": \"b\"}, \"many\": [{\"name\": \"c\", \"count\": 3}], \"named\": {\"x\": {\"name\": \"d\"}}}",
		NULL);
	check("{\"text\": \"a\", \"free\": {\"x\": [1]}, \"any\": [null]}", NULL);
	check("{\"text\": \"a\", \"at\": null, \"one\": null}", NULL);
}

static void does_not_fit(void **state)
{
	(void)state;
	check("{}", "text: missing");
	check("{\"text\": null}", "text: missing");
	check("[]", "a list, not an object");
	check("{\"text\": 1}", "text: an integer, not a string");
	check("{\"text\": \"a\", \"more\": 1}", "more: the shape does not name it");
	check("{\"text\": \"a\", \"at\": \"yesterday\"}", "at: 'yesterday' is no time");
	check("{\"text\": \"a\", \"share\": \"1\"}", "share: a string, not a number");
	check("{\"text\": \"a\", \"ok\": 1}", "ok: an integer, not a boolean");
	check("{\"text\": \"a\", \"kind\": \"tw\"}", "kind: 'tw' is none of one|two|twofold");
	check("{\"text\": \"a\", \"kind\": \"\"}", "kind: '' is none of");
	check("{\"text\": \"a\", \"words\": \"a\"}", "words: a string, not a list");
	check("{\"text\": \"a\", \"words\": [1]}", "words[0]: an integer, not a string");
	check("{\"text\": \"a\", \"one\": {}}", "one.name: missing");
	check("{\"text\": \"a\", \"many\": [{\"name\": \"b\"}, {\"name\": \"c\", \"count\": 1.5}]}",
		"many[1].count: a number, not an integer");
	check("{\"text\": \"a\", \"many\": [null]}", "many[0]: null, not an object");
	check("{\"text\": \"a\", \"named\": {\"x\": {\"y\": 1}}}", "named.x.y: the shape does not name it");
	check("{\"text\": \"a\", \"free\": []}", "free: a list, not an object");
}

static void no_value(void **state)
{
	static const struct shape nothing[] = { SHAPE_END }, something[] = { SHAPE_STR("a", ALWAYS, "a"), SHAPE_END };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(shape_check(nothing, NULL, &err), 0);
	assert_int_equal(shape_check(something, NULL, &err), -ERR_INTERNAL);
}

static void a_list_as_a_whole(void **state)
{
	static const struct shape list[] = { SHAPE_LIST("", ALWAYS, inner_shape, "all of them"), SHAPE_END };
	void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(shape_check(list, json_make(ctx, "[{s:s}]", "name", "a"), &err), 0);
	assert_int_equal(shape_check(list, json_make(ctx, "{s:s}", "name", "a"), &err), -ERR_INTERNAL);
	assert_int_equal(shape_check(list, json_make(ctx, "[{s:i}]", "name", 1), &err), -ERR_INTERNAL);
	assert_non_null(strstr(err.text, "[0].name: an integer, not a string"));
	assert_int_equal(shape_check(list, NULL, &err), -ERR_INTERNAL);
	assert_string_equal(json_str(json_keep(ctx, shape_schema(list)), "type", ""), "array");
	talloc_free(ctx);
}

static void schema(void **state)
{
	void *ctx = mem_context(NULL);
	json_t *made = json_keep(ctx, shape_schema(outer_shape)), *properties = json_object_get(made, "properties");

	(void)state;
	assert_string_equal(json_canonical(ctx, json_object_get(made, "required")), "[\"text\"]");
	assert_string_equal(json_canonical(ctx, json_object_get(made, "additionalProperties")), "false");
	assert_string_equal(json_canonical(ctx, json_object_get(properties, "at")),
		"{\"description\":\"when\",\"format\":\"date-time\",\"type\":[\"string\",\"null\"]}");
	assert_string_equal(json_canonical(ctx, json_object_get(properties, "kind")),
		"{\"description\":\"a kind\",\"enum\":[\"one\",\"two\",\"twofold\",null],\"type\":[\"string\",\"null\"]}");
	assert_string_equal(json_canonical(ctx, json_object_get(properties, "many")),
		"{\"description\":\"objects\",\"items\":{\"additionalProperties\":false,\"properties\":{\"count\":{\"description\":\"how many\","
		"\"format\":\"int64\",\"type\":[\"integer\",\"null\"]},\"name\":{\"description\":\"its name\",\"type\":\"string\"}},\"required\":[\"name\"],"
		"\"type\":\"object\"},\"type\":[\"array\",\"null\"]}");
	assert_string_equal(json_canonical(ctx, json_object_get(properties, "free")),
		"{\"additionalProperties\":true,\"description\":\"anything by name\",\"type\":[\"object\",\"null\"]}");
	assert_string_equal(json_canonical(ctx, json_object_get(properties, "any")), "{\"description\":\"anything\"}");
	talloc_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fits),
		cmocka_unit_test(does_not_fit),
		cmocka_unit_test(no_value),
		cmocka_unit_test(a_list_as_a_whole),
		cmocka_unit_test(schema),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
