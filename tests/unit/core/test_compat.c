/* compat.c: every rule with what passes it and what does not, and the witness. */
#include "compat_given.h"

static struct findings *migration(void *ctx, const char *live, const char *target, bool preserve)
{
	return check(ctx,
		mem_printf(ctx, "live: {db: {%s}}\ntarget: {db: {%s}}\npreserveData: %s\nreturning: [db]\n", live, target,
			preserve ? "true" : "false"));
}

static void migrations(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char live[] = "migration: 20260301_c, irreversible: [20260101_a, 20260201_b, 20260401_d]";
	struct findings *findings = migration(ctx, live, "migration: 20260101_a", false);

	assert_int_equal(count_of(findings, "migration_reversible"), 1);
	expect_failed(findings, "migration_reversible", SEVERITY_ERROR, "20260201_b cannot go backwards");
	assert_string_equal(json_canonical(ctx, find(findings, "migration_reversible", 0)->evidence),
		"{\"live\":\"20260301_c\",\"migration\":\"20260201_b\",\"target\":\"20260101_a\"}");
	expect_passed(migration(ctx, live, "migration: 20260101_a", true), "migration_reversible");
	expect_passed(migration(ctx, live, "migration: 20260201_b", false), "migration_reversible");
	expect_passed(migration(ctx, live, "migration: 20260301_c", false), "migration_reversible");
	/* Numbers count as numbers: 9 is before 10. */
	expect_failed(migration(ctx, "migration: '11', irreversible: ['10']", "migration: '9'", false), "migration_reversible",
		SEVERITY_ERROR, "10");
	expect_passed(migration(ctx, "migration: '11', irreversible: ['9']", "migration: '10'", false), "migration_reversible");
	/* Before the first migration there was none. */
	expect_failed(migration(ctx, "migration: '2', irreversible: ['1']", "migration: ''", false), "migration_reversible", SEVERITY_ERROR,
		"1 cannot");
	assert_int_equal(count_of(migration(ctx, "migration: '2', irreversible: ['1']", "x: 1", false), "migration_reversible"), 0);
}

static void jumps(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = check(ctx, "{from: 3.0.0, to: 1.9.0, live: {}, target: {}}\n");

	expect_failed(findings, "version_jump", SEVERITY_WARNING, "skips a whole major line");
	assert_string_equal(json_canonical(ctx, find(findings, "version_jump", 0)->evidence), "{\"from\":\"3.0.0\",\"to\":\"1.9.0\"}");
	expect_passed(check(ctx, "{from: 2.0.0, to: 1.9.0, live: {}, target: {}}\n"), "version_jump");
	expect_passed(check(ctx, "{from: 1.9.1, to: 1.0.0, live: {}, target: {}}\n"), "version_jump");
	assert_int_equal(count_of(check(ctx, "{from: deadbee, to: 1.0.0, live: {}, target: {}}\n"), "version_jump"), 0);
	assert_int_equal(count_of(check(ctx, "{to: 1.0.0, live: {}, target: {}}\n"), "version_jump"), 0);
}

static void configuration(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char facts[] = "live: {config: {configKeys: {A: string, B: string, N: number}}}\n"
				    "target: {config: {configKeys: {A: string, B: number, C: string}}}\n";
	struct findings *findings = check(ctx, mem_printf(ctx, "%sreturning: [code]\n", facts));

	assert_int_equal(count_of(findings, "config_compatibility"), 2);
	expect_failed(findings, "config_compatibility", SEVERITY_ERROR, "key C is gone");
	expect_failed(findings, "config_compatibility", SEVERITY_WARNING, "key B is of another type");
	assert_string_equal(json_canonical(ctx, find(findings, "config_compatibility", 0)->evidence),
		"{\"key\":\"B\",\"live\":\"string\",\"target\":\"number\"}");
	expect_passed(check(ctx, mem_printf(ctx, "%sreturning: [code, config]\n", facts)), "config_compatibility");
	expect_passed(
		check(ctx, "live: {c: {configKeys: {A: string, B: string}}}\ntarget: {c: {configKeys: {A: string}}}\nreturning: [code]\n"),
		"config_compatibility");
	/* An empty object that was filled is still there; one that became something else is not. */
	expect_passed(
		check(ctx, "live: {c: {configKeys: {log.level: string}}}\ntarget: {c: {configKeys: {log: object}}}\nreturning: [code]\n"),
		"config_compatibility");
	expect_failed(check(ctx, "live: {c: {configKeys: {logs: string}}}\ntarget: {c: {configKeys: {log: object}}}\nreturning: [code]\n"),
		"config_compatibility", SEVERITY_ERROR, "key log is gone");
	assert_int_equal(count_of(check(ctx, "live: {c: {}}\ntarget: {c: {configKeys: {A: string}}}\n"), "config_compatibility"), 0);
}

/* web (now 5, then 4) needs `need` of api (now `live`, then 1.0.0). */
static struct findings *dependency(void *ctx, const char *need, const char *live, const char *then, const char *returning)
{
	return check(ctx,
		mem_printf(ctx,
			"live: {web: {version: '5', needs: {api: '%s'}}, api: {version: '%s'}}\n"
			"target: {web: {version: '4', needs: {api: '>=0.1.0'}}, api: {version: '%s'}}\nreturning: [%s]\n",
			need, live, then, returning));
}

static void dependencies(void **state)
{
	/* clang-format off */
	static const struct {
		const char *need, *live, *then, *returning;
		int outcome; /* 1 passes, 0 fails, -1 cannot be told, 2: says nothing */
	} cases[] = {
		{ ">=2.0.0", "2.1.0", "1.9.0", "api", 0 }, { ">=1.9.0", "2.1.0", "1.9.0", "api", 1 }, { "2.0.0", "2.1.0", "1.9.0", "api", 0 },
		{ ">1.9.0", "2.1.0", "1.9.0", "api", 0 }, { "=2.1.0", "2.1.0", "1.9.0", "api", 0 }, { "=1.9.0", "2.1.0", "1.9.0", "api", 1 },
		{ ">= 10", "12", "9", "api", 0 }, { ">=9", "12", "10", "api", 1 }, { ">=20260201_x", "20260301_y", "20260101_z", "api", 0 },
		{ ">=2.0.0", "2.1.0", "1.9.0", "web, api", 1 }, /* the older web is content with less */
		{ ">=2.0.0", "1.0.0", "1.9.0", "other", 2 },     /* was so before */
		{ ">=deadbee", "deadbef", "deadbea", "api", -1 }, { "=deadbee", "deadbef", "deadbea", "api", 0 }, { "deadbea", "deadbef", "deadbea", "api", 1 },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct findings *findings = dependency(ctx, cases[i].need, cases[i].live, cases[i].then, cases[i].returning);
		const struct finding *finding = find(findings, "service_dependencies", 0);
		int outcome = !finding ? 2 : finding->passed ? 1 : finding->severity == SEVERITY_ERROR ? 0 : -1;

		if (outcome != cases[i].outcome)
			fail_msg("case %zu: %s (%d)", i, finding ? finding->message : "nothing", outcome);
	}
}

static void dependency_witness(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = dependency(ctx, ">=2.0.0", "2.1.0", "1.9.0", "api");

	assert_string_equal(find(findings, "service_dependencies", 0)->component, "web");
	assert_string_equal(json_canonical(ctx, find(findings, "service_dependencies", 0)->evidence),
		"{\"component\":\"web\",\"needs\":\"api\",\"version\":\"1.9.0\",\"wanted\":\">=2.0.0\"}");
	/* The older one may need more of what stays than is there. */
	findings = check(ctx,
		"live: {web: {version: '5', details: {}}, api: {version: 1.0.0, details: {}}}\n"
		"target: {web: {version: '4', details: {needs: {api: '>=2.0.0'}}}, api: {version: 2.0.0, details: {}}}\nreturning: [web]\n");
	expect_failed(findings, "service_dependencies", SEVERITY_ERROR, "needs api >=2.0.0, but would find 1.0.0");
}

/* shop needs web, web needs api, and a circle beside: what fails takes with it whatever needs it, however far. */
static void dependents(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char graph[] =
		"live: {shop: {version: '1', details: {needs: {web: '>=1'}}}, web: {version: '5', details: {needs: {api: '>=2.0.0', shop: '>=1'}}}, "
		"api: {version: 2.1.0}, other: {version: '1', details: {needs: {nobody: '1', shop: '1'}}}}\n"
		"target: {api: {version: '%s', details: {needs: {nobody: '1'}}}}\nreturning: [api]\n";
	struct findings *findings = check(ctx, mem_printf(ctx, graph, "1.9.0"));

	expect_failed(findings, "service_dependencies", SEVERITY_ERROR,
		"needs api >=2.0.0, but would find 1.9.0 after the rollback; so do not work either: shop, other");
	expect_failed(findings, "service_dependencies", SEVERITY_INFO, "needs nobody 1, and no version of that is known");
	assert_int_equal(count_of(findings, "service_dependencies"), 2);
	for (size_t i = 0; i < 2; i++)
		if (find(findings, "service_dependencies", i)->severity == SEVERITY_ERROR)
			assert_string_equal(
				json_canonical(ctx, json_object_get(find(findings, "service_dependencies", i)->evidence, "affects")),
				"[\"shop\",\"other\"]");
	expect_failed(check(ctx, mem_printf(ctx, graph, "")), "service_dependencies", SEVERITY_ERROR, "would find none");
}

static void flags(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct findings *findings = check(ctx,
		"live: {f: {flags: {a: true, new: true}}}\ntarget: {f: {flags: {a: false, gone: true}}}\nreturning: [f]\n");

	assert_int_equal(count_of(findings, "flag_compatibility"), 2);
	expect_failed(findings, "flag_compatibility", SEVERITY_INFO, "new is newer");
	expect_failed(findings, "flag_compatibility", SEVERITY_WARNING, "gone is gone");
	assert_string_equal(json_canonical(ctx, find(findings, "flag_compatibility", 1)->evidence), "{\"flag\":\"gone\",\"target\":true}");
	expect_passed(check(ctx, "live: {f: {flags: {a: true}}}\ntarget: {f: {flags: {a: false}}}\n"), "flag_compatibility");
	assert_int_equal(count_of(check(ctx, "live: {f: {flags: {a: true}}}\ntarget: {f: {}}\n"), "flag_compatibility"), 0);
}

/* Facts come from drivers, also of other people: whatever they are, nothing breaks. */
static void malformed(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct compat_input nothing = { 0 };
	struct findings *findings = findings_new(ctx);

	compat_check(&nothing, findings);
	assert_int_equal(findings_blocking(findings), 0);
	(void)check(ctx, "{from: '', to: '', live: [], target: 3}\n");
	(void)check(ctx,
		"live: {a: 3, b: {schema: {tables: [1]}, migration: 3, irreversible: x, configKeys: [], flags: 3, needs: []}}\n"
		"target: {a: [], b: {schema: {tables: {t: 3, u: {columns: {c: 3, d: {type: 4}, e: {type: 'VARCHAR('}}}}}, migration: 4, needs: {a: 3}}}\n");
	(void)check(ctx,
		"live: {b: {schema: {tables: {u: {columns: {e: {type: 'x((((('}, c: {type: ')('}}}}}}}\n"
		"target: {b: {schema: {tables: {u: {columns: {e: {type: 'VARCHAR(99999999999999999999999)'}, c: {type: ''}}}}}}}\nreturning: [x]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(migrations),
		cmocka_unit_test(jumps),
		cmocka_unit_test(configuration),
		cmocka_unit_test(dependencies),
		cmocka_unit_test(dependency_witness),
		cmocka_unit_test(dependents),
		cmocka_unit_test(flags),
		cmocka_unit_test(malformed),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
