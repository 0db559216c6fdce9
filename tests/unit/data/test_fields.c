/* fields.c and fields_tell.c: every type read and refused, defaults, groups, templates, secrets that are never shown. */
#include "checks.h"

#include "data/fields.h"
#include "data/json.h"

struct retry {
	int64_t max_attempts;
	int64_t delay_ms;
	const char *kind;
};

struct all {
	const char *service, *name_of, *env_file, *mode;
	int64_t count, timeout_ms, size_bytes;
	double factor, share;
	bool on;
	const char **argv;
	json_t *labels, *anything, *token;
	struct retry retry;
	int untouched;
};

static const struct field retry_fields[] = { FIELD_INT(struct retry, max_attempts, DEFAULT("3"), 1, 10, "how often"),
	FIELD_MS(struct retry, delay_ms, OPTIONAL, "pause"), FIELD_STR(struct retry, kind, REQUIRED, "which"), FIELD_END };

static const struct field all_fields[] = { FIELD_STR(struct all, service, REQUIRED, "the service"),
	FIELD_NAME(struct all, name_of, OPTIONAL, "a name"), FIELD_PATH(struct all, env_file, DEFAULT(".env"), "a file"),
	FIELD_CHOICE(struct all, mode, DEFAULT("fast"), "fast|slow|none", "the mode"),
	FIELD_INT(struct all, count, OPTIONAL, 0, 5, "a count"), FIELD_MS(struct all, timeout_ms, DEFAULT("1m30s"), "a limit"),
	FIELD_INT(struct all, size_bytes, OPTIONAL, 0, 0, "a size"), FIELD_REAL(struct all, factor, DEFAULT("1.5"), 1, 10, "a factor"),
	FIELD_SHARE(struct all, share, DEFAULT("5%"), "a share"), FIELD_BOOL(struct all, on, DEFAULT("true"), "a switch | toggle"),
	FIELD_LIST(struct all, argv, OPTIONAL, "a list"), FIELD_MAP(struct all, labels, OPTIONAL, "a map"),
	FIELD_JSON(struct all, anything, OPTIONAL, "any"), FIELD_SECRET(struct all, token, OPTIONAL, "a token"),
	FIELD_GROUP(struct all, retry, OPTIONAL, retry_fields, "retries"), FIELD_END };

static struct problems *read_with(const void *ctx, const char *yaml, bool templates, const char *const *ignore, struct all *ret)
{
	struct err err = ERR_INIT;
	struct problems *problems;
	struct doc *doc;

	if (doc_parse_yaml(ctx, "f", yaml, strlen(yaml), &doc, &err) < 0)
		fail_msg("%s", err.text);
	problems = problems_new(ctx, doc);
	fields_parse(ctx, all_fields, doc_root(doc), "", ignore, templates, ret, problems);
	return problems;
}

/* Exactly one problem, at this place, with these words. */
static void refused(const char *yaml, unsigned line, unsigned column, const char *words)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *text = mem_printf(ctx, "service: s\n%s", yaml);
	struct problems *problems;
	struct all all;

	problems = read_with(ctx, text, false, NULL, &all);
	if (problems->count != 1)
		fail_msg("%s: %zu problems\n%s", yaml, problems->count, problems_text(ctx, problems));
	if (problems->list[0].line != line || problems->list[0].column != column || !strstr(problems->list[0].text, words))
		fail_msg("%u:%u: %s", problems->list[0].line, problems->list[0].column, problems->list[0].text);
}

static void all_types(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct all all = { .untouched = 42 };
	struct problems *problems = read_with(ctx,
		"service: 12\nnameOf: api.v1\nenvFile: a/b\nmode: slow\ncount: 5\ntimeout: 90\nsize: -7\nfactor: 2\nshare: 1%\non: false\n"
		"argv: [a, 1, true, '']\nlabels: {x: 1}\nanything: [1]\ntoken: {env: TOKEN}\nretry: {maxAttempts: 7, delay: 1.5, kind: k}\n",
		false, NULL, &all);

	if (problems->count > 0)
		fail_msg("%s", problems_text(ctx, problems));
	assert_string_equal(all.service, "12");
	assert_string_equal(all.name_of, "api.v1");
	assert_string_equal(all.env_file, "a/b");
	assert_string_equal(all.mode, "slow");
	assert_int_equal(all.count, 5);
	assert_int_equal(all.timeout_ms, 90000);
	assert_int_equal(all.size_bytes, -7);
	assert_true(all.factor == 2.0);
	assert_true(all.share == 0.01);
	assert_false(all.on);
	assert_string_equal(all.argv[1], "1");
	assert_string_equal(all.argv[2], "true");
	assert_string_equal(all.argv[3], "");
	assert_null(all.argv[4]);
	assert_int_equal(json_int(all.labels, "x", 0), 1);
	assert_true(json_is_array(all.anything));
	assert_string_equal(json_str(all.token, "env", ""), "TOKEN");
	assert_int_equal(all.retry.max_attempts, 7);
	assert_int_equal(all.retry.delay_ms, 1500);
	assert_string_equal(all.retry.kind, "k");
	assert_int_equal(all.untouched, 42);
}

static void defaults(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct all all;
	struct problems *problems;

	memset(&all, 0xaa, sizeof(all));
	problems = read_with(ctx, "service: s\ncount:\nargv: one\n", false, NULL, &all);
	assert_int_equal(problems->count, 0);
	assert_string_equal(all.env_file, ".env");
	assert_string_equal(all.mode, "fast");
	assert_int_equal(all.timeout_ms, 90000);
	assert_true(all.factor == 1.5);
	assert_true(all.share == 0.05);
	assert_true(all.on);
	assert_int_equal(all.count, 0);
	assert_string_equal(all.argv[0], "one");
	assert_null(all.argv[1]);
	assert_null(all.name_of);
	assert_null(all.labels);
	assert_null(all.token);
	assert_int_equal(all.retry.max_attempts, 3);
	assert_null(all.retry.kind); /* not missed: the group is absent */
}

static void nothing_given(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems = problems_new(ctx, NULL);
	struct all all;

	fields_parse(ctx, all_fields, NULL, "components.api", NULL, false, &all, problems);
	assert_int_equal(problems->count, 1);
	assert_string_equal(problems->list[0].path, "components.api.service");
	assert_string_equal(problems->list[0].text, "'service' is required: the service");
	assert_string_equal(all.mode, "fast");
}

static void wrong_values(void **state)
{
	refused("nameOf: ../x", 2, 1, "'nameOf' must be a name");
	refused("envFile: ''", 2, 1, "it is empty");
	refused("mode: slw", 2, 1, "'mode' must be one of fast, slow, none, not 'slw' (did you mean 'slow'?)");
	refused("count: 6", 2, 1, "'count' must be between 0 and 5, not 6");
	refused("count: '5'", 2, 1, "must be a whole number, not '5'");
	refused("count: 1.5", 2, 1, "must be a whole number, not '1.5'");
	refused("count: [1]", 2, 1, "must be a whole number, not a list");
	refused("timeout: soon", 2, 1, "must be a duration like 30s");
	refused("timeout: -1", 2, 1, "must be a duration");
	refused("timeout: 11y", 2, 1, "must be a duration");
	refused("factor: 0.5", 2, 1, "between 1 and 10, not '0.5'");
	refused("factor: x", 2, 1, "must be a number");
	refused("share: 150%", 2, 1, "between 0% and 100%");
	refused("share: 1.5", 2, 1, "between 0% and 100%");
	refused("on: yes", 2, 1, "must be true or false, not 'yes'");
	refused("argv: [a, {b: c}]", 2, 11, "'argv[1]' must be a list of strings, not a mapping");
	refused("argv: [a, ]\nnameOf: [x]", 3, 1, "'nameOf' must be a name, not a list");
	refused("labels: x", 2, 1, "must be a mapping, not a string");
	refused("retry: x", 2, 1, "must be a mapping");
	refused("retry: {maxAttempts: 2}", 2, 1, "'kind' is required");
	refused("retry: {kind: k, maxAttempts: 11}", 2, 18, "between 1 and 10");
	refused("servce: x", 2, 1, "unknown key 'servce' (did you mean 'service'?)");
	refused("timeout_ms: 3", 2, 1, "unknown key 'timeout_ms'");
	refused("retry: {kind: k, zzzzzzzzz: 1}", 2, 18, "unknown key 'zzzzzzzzz'; known here: maxAttempts, delay, kind");
}

static void numbers_that_were_text(void **state)
{
	refused("nameOf: 1.10", 2, 1, "'nameOf' is text, but 1.10 without quotes reads as 1.1; write \"1.10\"");
	refused("argv: [0123]", 2, 8, "is text, but 0123 without quotes reads as 123; write \"0123\"");
	refused("nameOf: 1e7", 2, 1, "reads as 10000000");
	refused("argv: [True]", 2, 8, "reads as true");
	refused("argv: [1, [x]]", 2, 11, "not a list");
}

static void secrets(void **state)
{
	static const char *const bad[] = {
		"token: hunter2",
		"token: 4711",
		"token: [hunter2]",
		"token: {file: hunter2, env: X}",
		"token: {vault: hunter2}",
		"token: {}",
		"token: {env: hunter2-x}",
		"token: {env: ''}",
		"token: {file: [hunter2]}",
		"token: {credential: ../hunter2}",
	};

	refused("token: hunter2", 2, 1, "a secret is written as a reference, {file: ...} or {env: ...}, never as a value");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct all all;
		struct problems *problems = read_with(ctx, mem_printf(ctx, "service: s\n%s", bad[i]), false, NULL, &all);
		char *text = problems_text(ctx, problems);

		assert_int_equal(problems->count, 1);
		assert_null(all.token);
		if (strstr(text, "hunter2") || strstr(text, "4711"))
			fail_msg("%s", text);
	}
}

static void long_values_are_not_shown(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct all all;
	struct problems *problems = read_with(ctx,
		"service: s\non: a-token-that-is-longer-than-forty-characters\ncount: a-token-that-is-longer-than-forty-characters\n"
		"mode: a-token-that-is-longer-than-forty-characters\nshare: a-token-that-is-longer-than-forty-characters\n"
		"nameOf: ../a-token-that-is-longer-than-forty-characters\ntimeout: a-token-that-is-longer-than-forty-characters\n",
		false, NULL, &all);

	assert_int_equal(problems->count, 6);
	assert_null(strstr(problems_text(ctx, problems), "a-token"));
}

static void templates_wait(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct all all;
	const char *yaml = "service: ${a}\ncount: ${a}\ntimeout: ${a}\nmode: ${a}\nargv: [x, 'y${a}']\nlabels: {k: ['${a}']}\n"
			   "on: ${a}\nretry: ${a}\n"
			   "token: {file: '${a}'}\nfactor: nonsense\n";
	struct problems *problems = read_with(ctx, yaml, true, NULL, &all);

	assert_int_equal(problems->count, 1); /* only the nonsense */
	assert_string_equal(problems->list[0].path, "factor");
	assert_null(all.service);
	assert_null(all.argv);
	assert_null(all.labels);
	assert_null(all.mode);
	assert_null(all.token);
	assert_int_equal(all.timeout_ms, 0);
	assert_false(all.on);
	problems = read_with(ctx, yaml, false, NULL, &all);
	assert_string_equal(all.service, "${a}");
	assert_true(problems->count >= 5);
}

static void ignored_keys(void **state)
{
	static const char *const ignore[] = { "driver", "needs", NULL };
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct all all;
	struct problems *problems = read_with(ctx, "service: s\ndriver: x\nneeds: []\nneds: 1\n", false, ignore, &all);

	assert_int_equal(problems->count, 1);
	assert_string_equal(problems->list[0].text, "unknown key 'neds' (did you mean 'needs'?)");
}

static void many_mistakes(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *yaml = mem_strdup(ctx, "service: s\n");
	struct problems *problems;
	struct all all;

	for (int i = 0; i < 500; i++)
		yaml = mem_appendf(yaml, "key%d: 1\n", i);
	problems = read_with(ctx, yaml, false, NULL, &all);
	assert_int_equal(problems->count, PROBLEMS_MAX);
	assert_int_equal(problems->more, 400);
}

static void names(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char *const members[][2] = {
		{ "timeout_ms", "timeout" },
		{ "size_bytes", "size" },
		{ "env_file", "envFile" },
		{ "max_size_bytes", "maxSize" },
		{ "argv", "argv" },
		{ "_ms", "_ms" },
		{ "sha_256", "sha_256" },
		{ "a_b_c", "aBC" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		assert_string_equal(field_name(ctx, &(struct field){ .member = members[i][0] }), members[i][1]);
}

static void told(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *schema = json_keep(ctx, fields_schema(all_fields)), *list = json_keep(ctx, fields_json(all_fields));
	struct doc *doc = doc_wrap(ctx, "schema", schema), *told_doc = doc_wrap(ctx, "list", list);

	assert_string_equal(json_canonical(ctx, doc_get(doc, "required")), "[\"service\"]");
	assert_true(json_is_false(doc_get(doc, "additionalProperties")));
	assert_string_equal(json_canonical(ctx, doc_get(doc, "properties.count")),
		"{\"description\":\"a count\",\"maximum\":5,\"minimum\":0,\"type\":\"integer\"}");
	assert_string_equal(json_canonical(ctx, doc_get(doc, "properties.mode")),
		"{\"default\":\"fast\",\"description\":\"the mode\",\"enum\":[\"fast\",\"slow\",\"none\"]}");
	assert_string_equal(json_canonical(ctx, doc_get(doc, "properties.retry.required")), "[\"kind\"]");
	assert_int_equal(json_integer_value(doc_get(doc, "properties.retry.properties.maxAttempts.default")), 3);
	assert_int_equal(json_array_size(doc_get(doc, "properties.token.oneOf")), 4);
	assert_string_equal(json_canonical(ctx, doc_get(told_doc, "[3]")),
		"{\"choices\":[\"fast\",\"slow\",\"none\"],\"default\":\"fast\",\"help\":\"the mode\",\"name\":\"mode\",\"required\":false,"
		"\"type\":\"a choice\"}");
	assert_int_equal(json_array_size(doc_get(told_doc, "[14].fields")), 3);
	assert_string_equal(fields_markdown(ctx, retry_fields),
		"| `maxAttempts` | a whole number | 3 | how often |\n| `delay` | a duration |  | pause |\n| `kind` | a string | required | which |\n");
	assert_non_null(strstr(fields_markdown(ctx, all_fields), "| `retry.kind` |"));
	assert_non_null(strstr(fields_markdown(ctx, all_fields), "| fast\\|slow\\|none | fast |"));
}

struct login {
	const char *name, *password;
};
static const struct field login_fields[] = { FIELD_STR(struct login, name, REQUIRED, "a name"),
	FIELD_PASSWORD(struct login, password, REQUIRED, "a password"), FIELD_END };

/* A password is text as it was given, nothing of it is shown when it is wrong, and the schema says that it is only ever written. */
static void passwords(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *good = json_make(ctx, "{s:s, s:s}", "name", "ana", "password", " ${secret} "), *schema;
	json_t *wrong = json_make(ctx, "{s:s, s:i}", "name", "ana", "password", 1234567);
	struct problems *problems = problems_new(ctx, NULL), *found = problems_new(ctx, NULL);
	struct login login;

	fields_parse(ctx, login_fields, good, "", NULL, false, &login, problems);
	assert_int_equal(problems->count, 0);
	assert_string_equal(login.password, " ${secret} ");
	fields_parse(ctx, login_fields, wrong, "", NULL, false, &login, found);
	assert_int_equal(found->count, 1);
	assert_null(strstr(found->list[0].text, "1234567"));
	schema = json_keep(ctx, fields_schema(login_fields));
	assert_true(json_flag(json_object_get(json_object_get(schema, "properties"), "password"), "writeOnly", false));
}

struct with_file {
	const char *file, *other;
	json_t *text;
};

static void contents_of_paths(void **state)
{
	static const struct field fields[] = { FIELD_PATH_OR(struct with_file, file, OPTIONAL, text, "a file"),
		FIELD_PATH(struct with_file, other, OPTIONAL, "another"), FIELD_MAP(struct with_file, text, OPTIONAL, "its content"),
		FIELD_END };

	(void)state;
	assert_ptr_equal(field_content(fields, &fields[0]), &fields[2]);
	assert_null(field_content(fields, &fields[1]));
	assert_null(field_content(fields, &fields[2]));
	assert_false(field_is_content(fields, &fields[0]));
	assert_false(field_is_content(fields, &fields[1]));
	assert_true(field_is_content(fields, &fields[2]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_types),
		cmocka_unit_test(defaults),
		cmocka_unit_test(nothing_given),
		cmocka_unit_test(wrong_values),
		cmocka_unit_test(numbers_that_were_text),
		cmocka_unit_test(secrets),
		cmocka_unit_test(long_values_are_not_shown),
		cmocka_unit_test(templates_wait),
		cmocka_unit_test(ignored_keys),
		cmocka_unit_test(many_mistakes),
		cmocka_unit_test(names),
		cmocka_unit_test(told),
		cmocka_unit_test(passwords),
		cmocka_unit_test(contents_of_paths),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
