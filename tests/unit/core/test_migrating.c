/* migrating.c, and what the plan and the compatibility rules make of it: how far a schema goes back, when it has to, who is stopped meanwhile, and what cannot be taken back. */
#include "given.h"

#include "core/compat.h"
#include "core/generate.h"
#include "core/migrating.h"

/* Drivers of these tests are named like their kinds. */
static enum driver_kind kind_of(void *user, const char *driver)
{
	struct err err = ERR_INIT;
	enum driver_kind kind;

	assert_int_equal(driver_kind_parse(driver, &kind, &err), 0);
	return kind;
}

struct scene {
	struct component components[4];
	struct environment environment;
	struct deployment target;
	json_t *root, *migrating;
	struct generated generated;
	struct findings *findings;
};

static const char *const nothing[] = { NULL }, *const api_needs[] = { "code", "db", NULL }, *const worker_needs[] = { "api", NULL };

/* c renamed a column that the older code uses: its schema has to go back. */
#define LIVE \
	"schema: {tables: {users: {columns: {full_name: {type: TEXT}}}}}, migration: c, migrations: [a, b, c], downMigrations: {a: h1, b: h2, c: h3}"
#define TARGET "schema: {tables: {users: {columns: {name: {type: TEXT}}}}}, migration: a, migrations: [a]"

static void plan(void *ctx, struct scene *scene, const char *live, const char *target, const char *settings, const char *present)
{
	struct generate_input input = { .environment = &scene->environment,
		.target = &scene->target,
		.present_id = "dep-2",
		.kind_of = kind_of,
		.preserve_data = true };
	struct compat_input facts = { .preserve_data = true };
	struct err err = ERR_INIT;

	scene->root = given(ctx,
		mem_printf(ctx,
			"config: {migrations: {%s}}\nobserved: {code: {version: '2'}, api: {version: '2', state: running}, worker: {version: '2', state: running}, "
			"db: {version: x, details: {%s}}}\n"
			"target: {code: {version: '1'}, api: {version: '1', state: running}, worker: {version: '1', state: running}, db: {version: y, details: {%s}}}\n"
			"present: {db: {details: {%s}}}\n",
			settings, live, target, present));
	scene->components[0] =
		(struct component){ .name = "code", .driver = "code", .needs = (const char **)nothing, .config = scene->root };
	scene->components[1] = (struct component){ .name = "db",
		.driver = "data",
		.needs = (const char **)nothing,
		.config = json_object_get(scene->root, "config") };
	if (!scene->components[2].name)
		scene->components[2] =
			(struct component){ .name = "api", .driver = "service", .needs = (const char **)api_needs, .config = scene->root };
	scene->components[3] =
		(struct component){ .name = "worker", .driver = "service", .needs = (const char **)worker_needs, .config = scene->root };
	scene->environment = (struct environment){ .name = "production", .components = scene->components, .component_count = 4 };
	scene->target = (struct deployment){ .id = "dep-1",
		.environment = "production",
		.version = "1.0.0",
		.components = json_object_get(scene->root, "target") };
	input.observed = json_object_get(scene->root, "observed");
	input.present = json_object_get(scene->root, "present");
	if (plan_generate(ctx, &input, &scene->generated, &err) < 0)
		fail_msg("%s", err.text);
	scene->migrating = json_keep(ctx, plan_migrating(&scene->environment, scene->generated.plan, input.observed, kind_of, NULL));
	facts.live = input.observed;
	facts.target = scene->target.components;
	facts.migrating = scene->migrating;
	scene->findings = findings_new(ctx);
	compat_check(&facts, scene->findings);
}

static const char *steps(void *ctx, const struct scene *scene)
{
	char *text = mem_strdup(ctx, "");

	for (size_t i = 0; i < scene->generated.plan->step_count; i++)
		text = mem_appendf(text, "%s%s", i ? " " : "", scene->generated.plan->steps[i].id);
	return text;
}

static const char *parameters(void *ctx, const struct scene *scene, const char *id)
{
	for (size_t i = 0; i < scene->generated.plan->step_count; i++)
		if (strcmp(scene->generated.plan->steps[i].id, id) == 0)
			return json_canonical(ctx, scene->generated.plan->steps[i].parameters);
	return "";
}

static const struct finding *finding(const struct scene *scene, const char *name)
{
	for (size_t i = 0; i < scene->findings->count; i++)
		if (strcmp(scene->findings->list[i].name, name) == 0)
			return &scene->findings->list[i];
	fail_msg("no finding %s", name);
	return NULL;
}

static bool has_finding(const struct scene *scene, const char *name)
{
	for (size_t i = 0; i < scene->findings->count; i++)
		if (strcmp(scene->findings->list[i].name, name) == 0)
			return true;
	return false;
}

static void ways(void **state)
{
	static const struct {
		const char *live, *target;
		enum migration_way way;
		const char *between;
	} cases[] = {
		{ "{migration: c, migrations: [a, b, c]}", "{migration: a}", MIGRATION_BACK, "[\"c\",\"b\"]" },
		{ "{migration: c, migrations: [a, b, c]}", "{migration: ''}", MIGRATION_BACK, "[\"c\",\"b\",\"a\"]" },
		{ "{migration: c, migrations: [a, b, c]}", "{migration: c}", MIGRATION_SAME, "[]" },
		{ "{migration: c, migrations: [a, b, c]}", "{migration: d}", MIGRATION_APART, "[]" },
		{ "{migration: '', migrations: []}", "{migration: a}", MIGRATION_APART, "[]" },
		/* Nobody said what comes after what. */
		{ "{migration: '3'}", "{migration: '1'}", MIGRATION_UNKNOWN, "[]" },
		{ "{migrations: [a]}", "{migration: a}", MIGRATION_UNKNOWN, "[]" },
		{ "{migration: c, migrations: [a, b, c]}", "{}", MIGRATION_UNKNOWN, NULL },
	};
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *live = given(ctx, cases[i].live), *target = given(ctx, cases[i].target);

		assert_int_equal(migration_way(live, target), cases[i].way);
		if (cases[i].between && cases[i].way != MIGRATION_UNKNOWN)
			assert_string_equal(
				json_canonical(ctx, json_keep(ctx, migrations_between(live, json_str(target, "migration", "")))),
				cases[i].between);
	}
}

static void goes_back_when_the_code_cannot_live_with_it(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene = { 0 };

	plan(ctx, &scene, LIVE, TARGET, "tool: dbmate", "migration: c");
	assert_string_equal(steps(ctx, &scene), "stop-worker stop-api release-code migrate-db start-api start-worker");
	assert_string_equal(parameters(ctx, &scene, "migrate-db"),
		"{\"database\":\"db\",\"downMigrations\":{\"b\":\"h2\",\"c\":\"h3\"},\"migrateTo\":\"a\"}");
	assert_string_equal(json_canonical(ctx, scene.migrating),
		"{\"db\":{\"back\":[\"c\",\"b\"],\"fenced\":[\"api\",\"worker\"],\"irreversible\":[],\"open\":[],\"to\":\"a\"}}");
	assert_false(finding(&scene, "migration_reversible")->passed);
	assert_int_equal(finding(&scene, "migration_reversible")->severity, SEVERITY_WARNING);
	assert_non_null(strstr(finding(&scene, "migration_reversible")->message, "goes back by 2 migrations (c, b) to a"));
	assert_true(finding(&scene, "migration_fenced")->passed);
	assert_false(has_finding(&scene, "schema_compatibility"));
}

static void policies(void **state)
{
	static const char same[] = "schema: {tables: {}}, migration: c, migrations: [a, b, c], downMigrations: {a: h1, b: h2, c: h3}";
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene = { 0 };

	plan(ctx, &scene, same, "schema: {tables: {}}, migration: a", "tool: dbmate", "x: 1");
	assert_string_equal(parameters(ctx, &scene, "migrate-db"), "");
	plan(ctx, &scene, same, "schema: {tables: {}}, migration: a", "tool: dbmate, back: always", "x: 1");
	assert_string_not_equal(parameters(ctx, &scene, "migrate-db"), "");
	plan(ctx, &scene, LIVE, TARGET, "tool: dbmate, back: never", "x: 1");
	assert_string_equal(parameters(ctx, &scene, "migrate-db"), "");
	assert_int_equal(finding(&scene, "schema_compatibility")->severity, SEVERITY_ERROR);
	/* No tool, nothing to go back with. */
	plan(ctx, &scene, LIVE, TARGET, "dir: x", "x: 1");
	assert_string_equal(parameters(ctx, &scene, "migrate-db"), "");
	/* Not applied here: nothing leads there backwards, and the schema's own rule speaks. */
	plan(ctx, &scene, LIVE, "schema: {tables: {users: {columns: {name: {type: TEXT}}}}}, migration: other", "tool: dbmate", "x: 1");
	assert_string_equal(parameters(ctx, &scene, "migrate-db"), "");
	assert_non_null(strstr(scene.generated.not_reverted[0], "migration other of the target is not applied now"));
}

static void recorded_scripts_count_first(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene = { 0 };

	/* The folder lost one since, and has another one changed. */
	plan(ctx, &scene,
		"schema: {tables: {users: {columns: {full_name: {type: TEXT}}}}}, migration: c, migrations: [a, b, c], downMigrations: {a: h1, b: other}, "
		"irreversible: [c]",
		TARGET, "tool: dbmate", "downMigrations: {a: h1, b: h2, c: h3}");
	assert_string_equal(parameters(ctx, &scene, "migrate-db"),
		"{\"database\":\"db\",\"deploymentId\":\"dep-2\",\"downMigrations\":{\"b\":\"h2\",\"c\":\"h3\"},\"migrateTo\":\"a\"}");
}

static void irreversible(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene = { 0 };

	plan(ctx, &scene,
		"schema: {tables: {users: {columns: {full_name: {type: TEXT}}}}}, migration: c, migrations: [a, b, c], downMigrations: {a: h1, c: h3}, "
		"irreversible: [b]",
		TARGET, "tool: dbmate", "x: 1");
	assert_false(finding(&scene, "migration_reversible")->passed);
	assert_int_equal(finding(&scene, "migration_reversible")->severity, SEVERITY_ERROR);
	assert_non_null(strstr(finding(&scene, "migration_reversible")->message, "migration b cannot go backwards"));
}

static void fences(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene = { .components = { [2] = { .name = "api", .driver = "service", .needs = (const char **)nothing } } };

	plan(ctx, &scene, LIVE, TARGET, "tool: dbmate", "x: 1");
	assert_false(finding(&scene, "migration_fenced")->passed);
	assert_int_equal(finding(&scene, "migration_fenced")->severity, SEVERITY_WARNING);
	assert_non_null(strstr(finding(&scene, "migration_fenced")->message, "no service `needs` this database"));
}

/* A migration without a way back does not stand against a copy, which needs none. */
static void restored_whole(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct compat_input facts = { .live = given(ctx,
					      "db: {migration: b, migrations: [a, b], downMigrations: {a: h1}, irreversible: [b]}"),
		.target = given(ctx, "db: {migration: a}"),
		.returning = given(ctx, "db: true") };
	struct scene scene = { .findings = findings_new(ctx) };

	compat_check(&facts, scene.findings);
	assert_int_equal(finding(&scene, "migration_reversible")->severity, SEVERITY_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ways),
		cmocka_unit_test(goes_back_when_the_code_cannot_live_with_it),
		cmocka_unit_test(policies),
		cmocka_unit_test(recorded_scripts_count_first),
		cmocka_unit_test(irreversible),
		cmocka_unit_test(fences),
		cmocka_unit_test(restored_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
