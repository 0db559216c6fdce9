/* template.c: expansion with types kept, syntax errors with their offset, limits, no second expansion. */
#include "checks.h"

#include "data/json.h"
#include "data/template.h"

static json_t *from_object(void *user, const char *name)
{
	return json_object_get(user, name);
}

static const char *const known[] = { "context.environment", "context.trigger", NULL };

static int expand(const void *ctx, const char *text, json_t **ret, struct err *err)
{
	json_t *names = json_make(ctx, "{s:s, s:i, s:f, s:b, s:n, s:[i,i], s:s, s:s}", "context.environment", "production", "n", 30, "x",
		0.5, "on", 1, "nothing", "steps.a-b.list_1", 1, 2, "inner", "${n}", "empty", "");
	json_t *value;

	if (json_parse(ctx, text, strlen(text), 1 << 20, &value, err) < 0)
		fail_msg("%s", err->text);
	return template_expand(ctx, value, from_object, names, known, ret, err);
}

static void same(const char *text, const char *result)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	json_t *value;

	if (expand(ctx, text, &value, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	assert_string_equal(json_canonical(ctx, value), result);
}

static void refused(const char *text, const char *message)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	json_t *value = NULL;

	assert_int_equal(expand(ctx, text, &value, &err), -ERR_INVALID);
	assert_null(value);
	if (!strstr(err.text, message))
		fail_msg("'%s' has no '%s'", err.text, message);
}

static void expansion(void **state)
{
	same("\"${n}\"", "30");
	same("\"${on}\"", "true");
	same("\"${nothing}\"", "null");
	same("\"${steps.a-b.list_1}\"", "[1,2]");
	same("\"to ${context.environment}!\"", "\"to production!\"");
	same("\"${n}${x}${on}\"", "\"300.5true\"");
	same("\"${n}s\"", "\"30s\"");
	same("\"${empty}${empty}\"", "\"\"");
	same("{\"${n}\":[\"${n}\",{\"a\":\"-${n}-\"}],\"b\":1}", "{\"${n}\":[30,{\"a\":\"-30-\"}],\"b\":1}");
	same("\"$${n}\"", "\"${n}\"");
	same("\"$$${n}\"", "\"$${n}\"");
	same("\"a $ b $$ c $n $\"", "\"a $ b $$ c $n $\"");
	same("\"$${ ${n} $${}\"", "\"${ 30 ${}\"");
	same("\"${inner}\"", "\"${n}\""); /* what comes in is not read again */
	same("\"x${inner}\"", "\"x${n}\"");
	same("[1,null,true,1.5,\"\xc3\xa9\"]", "[1,null,true,1.5,\"\xc3\xa9\"]");
}

static void errors(void **state)
{
	refused("{\"a\":[\"x ${n\"]}", "a[0]: the ${ at offset 2 is not closed");
	refused("\"ab${}\"", "empty ${} at offset 2");
	refused("\"${ n }\"", "at offset 0 stands no name");
	refused("\"${a.}\"", "stands no name");
	refused("\"${.a}\"", "stands no name");
	refused("\"${1a}\"", "stands no name");
	refused("\"${a.1}\"", "stands no name");
	refused("\"${a b}\"", "stands no name");
	refused("\"${a${n}}\"", "stands no name");
	refused("\"${a()}\"", "stands no name");
	refused("{\"p\":\"${context.enviroment}\"}", "p: unknown name 'context.enviroment' (did you mean 'context.environment'?)");
	refused("\"x${nothing}\"", "'nothing' is null, which cannot stand inside of other text");
	refused("\"x${steps.a-b.list_1}\"", "is a list, which");
}

static json_t *megabyte(void *user, const char *name)
{
	return user;
}

static void results_are_limited(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text = mem_array(ctx, char, TEMPLATE_RESULT_MAX / 2);
	json_t *half, *value, *list, *ret = NULL;
	struct err err = ERR_INIT;

	memset(text, 'x', TEMPLATE_RESULT_MAX / 2 - 100);
	half = json_make(ctx, "s", text);
	value = json_make(ctx, "[s,s]", "${a}", "y${a}");
	assert_int_equal(template_expand(ctx, value, megabyte, half, NULL, &ret, &err), 0);
	value = json_make(ctx, "[s,s,s]", "${a}", "y${a}", "${a}");
	assert_int_equal(template_expand(ctx, value, megabyte, half, NULL, &ret, &err), -ERR_TOO_LARGE);
	assert_non_null(strstr(err.text, "[2]: the expanded templates are larger"));
	value = json_make(ctx, "s", "y${a}${a}${a}");
	assert_int_equal(template_expand(ctx, value, megabyte, half, NULL, &ret, &err), -ERR_TOO_LARGE);
	list = json_make(ctx, "[]");
	for (size_t i = 0; i < TEMPLATE_RESULT_MAX / 8; i++)
		assert_int_equal(json_array_append_new(list, json_integer(1)), 0);
	value = json_make(ctx, "s", "${a}");
	assert_int_equal(template_expand(ctx, value, megabyte, list, NULL, &ret, &err), -ERR_TOO_LARGE);
}

struct seen {
	char *text;
	size_t stop_at, count;
};

static int see(void *user, const char *path, const char *name)
{
	struct seen *seen = user;

	seen->text = mem_appendf(seen->text, "%s=%s;", path, name);
	return ++seen->count == seen->stop_at ? 7 : 0;
}

static void names(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct seen seen = { .text = mem_strdup(ctx, "") };
	struct err err = ERR_INIT;
	json_t *value = json_make(ctx, "{s:s, s:[s,s], s:{s:s}}", "a", "${x} and ${y.z}", "b", "none", "$${no}", "c", "d.e", "${w}");

	assert_int_equal(template_names(value, see, &seen, &err), 0);
	assert_string_equal(seen.text, "a=x;a=y.z;c[\"d.e\"]=w;");
	seen = (struct seen){ .text = mem_strdup(ctx, ""), .stop_at = 2 };
	assert_int_equal(template_names(value, see, &seen, &err), 7);
	assert_int_equal(seen.count, 2);
	value = json_make(ctx, "{s:[s]}", "a", "${x");
	assert_int_equal(template_names(value, see, &seen, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "a[0]: the ${ at offset 0"));
	assert_true(template_has("a${"));
	assert_false(template_has("a$ {"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expansion),
		cmocka_unit_test(errors),
		cmocka_unit_test(results_are_limited),
		cmocka_unit_test(names),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
