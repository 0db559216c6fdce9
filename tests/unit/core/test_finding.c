/* finding.c: the list, what blocks, and what drivers answer. driver.c: names and look-ups. */
#include "given.h"

#include "core/driver.h"

static void adding(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = findings_new(ctx);
	char name[] = "disk_space";
	json_t *evidence = json_pack("{s:i}", "free", 3), *json;

	findings_add(findings, name, false, SEVERITY_ERROR, "api", evidence, "%d MiB are free", 3);
	json_decref(evidence);
	name[0] = 'X';
	findings_add(findings, "target_exists", true, SEVERITY_ERROR, NULL, NULL, "it is there");
	findings_add(findings, "version_jump", false, SEVERITY_WARNING, NULL, NULL, "far");
	assert_int_equal(findings->count, 3);
	assert_int_equal(findings_blocking(findings), 1);
	assert_string_equal(findings->list[0].name, "disk_space");
	json = json_keep(ctx, findings_json(findings));
	assert_string_equal(json_canonical(ctx, json_array_get(json, 0)),
		"{\"component\":\"api\",\"evidence\":{\"free\":3},\"message\":\"3 MiB are free\",\"name\":\"disk_space\",\"passed\":false,\"severity\":\"error\"}");
	assert_string_equal(json_canonical(ctx, json_array_get(json, 1)),
		"{\"message\":\"it is there\",\"name\":\"target_exists\",\"passed\":true,\"severity\":\"error\"}");
}

static void many(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = findings_new(ctx);

	for (int i = 0; i < 1000; i++)
		findings_add(findings, "check", i % 2, SEVERITY_ERROR, NULL, NULL, "number %d", i);
	assert_int_equal(findings->count, 1000);
	assert_int_equal(findings_blocking(findings), 500);
	assert_string_equal(findings->list[999].message, "number 999");
}

static int read_text(void *ctx, struct findings *findings, const char *yaml)
{
	struct err err = ERR_INIT;

	return findings_read(findings, "db", given(ctx, yaml), &err);
}

static void reading(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = findings_new(ctx);

	assert_int_equal(read_text(ctx, findings,
				 "[{name: a, passed: true, severity: info, message: fine}, {name: b, passed: false, message: bad},"
				 " {name: c, passed: false, severity: apocalyptic, message: worse, evidence: {x: 1}}]"),
		0);
	assert_int_equal(findings->count, 3);
	assert_int_equal(findings->list[0].severity, SEVERITY_INFO);
	assert_int_equal(findings->list[1].severity, SEVERITY_ERROR);
	assert_int_equal(findings->list[2].severity, SEVERITY_ERROR);
	assert_string_equal(findings->list[2].component, "db");
	assert_int_equal(json_int(findings->list[2].evidence, "x", 0), 1);
	assert_int_equal(read_text(ctx, findings, "[]"), 0);
	assert_int_equal(read_text(ctx, findings, "{}"), -ERR_DRIVER);
	assert_int_equal(read_text(ctx, findings, "[1]"), -ERR_DRIVER);
	assert_int_equal(read_text(ctx, findings, "[{passed: true, message: x}]"), -ERR_DRIVER);
	assert_int_equal(read_text(ctx, findings, "[{name: x, passed: 1, message: x}]"), -ERR_DRIVER);
	assert_int_equal(read_text(ctx, findings, "[{name: x, passed: true}]"), -ERR_DRIVER);
	assert_int_equal(read_text(ctx, findings, "[{name: x, passed: true, message: x, evidence: [1]}]"), -ERR_DRIVER);
}

static void no_answer(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;

	assert_int_equal(findings_read(findings_new(ctx), "db", NULL, &err), -ERR_DRIVER);
}

static void kinds(void **state)
{
	struct err err = ERR_INIT;
	enum driver_kind kind;

	for (int i = DRIVER_FLAGS; i <= DRIVER_COMMAND; i++) {
		assert_int_equal(driver_kind_parse(driver_kind_name((enum driver_kind)i), &kind, &err), 0);
		assert_int_equal(kind, i);
	}
	assert_int_equal(driver_kind_parse("confg", &kind, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "'config'"));
	assert_int_equal(driver_kind_parse("", &kind, &err), -ERR_INVALID);
}

static void catalogue(void **state)
{
	static const struct driver files = { .name = "files" }, flags = { .name = "flags" };
	static const struct probe http = { .name = "http" };
	static const struct driver *const drivers[] = { &files, &flags, NULL };
	static const struct probe *const probes[] = { &http, NULL };
	const struct catalogue some = { .drivers = drivers, .probes = probes };

	assert_ptr_equal(catalogue_driver(&some, "flags"), &flags);
	assert_null(catalogue_driver(&some, "flag"));
	assert_ptr_equal(catalogue_probe(&some, "http"), &http);
	assert_null(catalogue_channel(&some, "http"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adding),
		cmocka_unit_test(many),
		cmocka_unit_test(reading),
		cmocka_unit_test(no_answer),
		cmocka_unit_test(kinds),
		cmocka_unit_test(catalogue),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
