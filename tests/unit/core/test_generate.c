/* generate.c and parts.c: what goes back, in which order, what stays, and what binds a plan to what was seen. */
#include "given.h"

#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "core/drain.h"
#include "core/generate.h"
#include "core/graph.h"
#include "core/steptype.h"
#include "data/hash.h"

/* Drivers of these tests are named like their kinds. */
static enum driver_kind kind_of(void *user, const char *driver)
{
	struct err err = ERR_INIT;
	enum driver_kind kind;

	assert_int_equal(driver_kind_parse(driver, &kind, &err), 0);
	return kind;
}

struct scene {
	void *ctx;
	struct environment environment;
	struct deployment target;
	struct generate_input input;
	struct generated generated;
};

static const char **names_of(const void *ctx, json_t *list)
{
	const char **names = mem_array(ctx, const char *, json_array_size(list) + 1);

	for (size_t i = 0; i < json_array_size(list); i++)
		names[i] = json_string_value(json_array_get(list, i));
	return names;
}

/* components: {name: {driver, critical, needs}}; probes: {name: component}; observed and target: {name: {version, state, details}}. */
static void set_up(struct scene *scene, void *ctx, const char *text)
{
	json_t *root = given(ctx, text), *value;
	const char *name;

	*scene = (struct scene){ .ctx = ctx };
	scene->environment.name = "production";
	scene->environment.components = mem_array(ctx, struct component, json_object_size(json_object_get(root, "components")));
	json_object_foreach(json_object_get(root, "components"), name, value)
		scene->environment.components[scene->environment.component_count++] = (struct component){ .name = name,
			.driver = json_str(value, "driver", ""),
			.critical = json_flag(value, "critical", false),
			.needs = names_of(ctx, json_object_get(value, "needs")),
			.config = value };
	scene->environment.probes = mem_array(ctx, struct probe_config, json_object_size(json_object_get(root, "probes")));
	json_object_foreach(json_object_get(root, "probes"), name, value)
		scene->environment.probes[scene->environment.probe_count++] = (struct probe_config){ .name = name,
			.type = "http",
			.component = json_string_value(value) };
	scene->target = (struct deployment){ .id = "dep-1",
		.environment = "production",
		.version = "1.0.0",
		.components = json_object_get(root, "target") };
	scene->input = (struct generate_input){ .environment = &scene->environment,
		.target = &scene->target,
		.present_id = "dep-2",
		.observed = json_object_get(root, "observed"),
		.kind_of = kind_of,
		.preserve_data = json_flag(root, "preserveData", true) };
	if (json_object_get(root, "only"))
		scene->input.only = names_of(ctx, json_object_get(root, "only"));
}

static void generate(struct scene *scene)
{
	struct err err = ERR_INIT;

	if (plan_generate(scene->ctx, &scene->input, &scene->generated, &err) < 0)
		fail_msg("%s", err.text);
}

/* "a; b after a; c after a b" */
static char *shape(const struct scene *scene)
{
	const struct plan *plan = scene->generated.plan;
	char *text = mem_strdup(scene->ctx, "");

	for (size_t i = 0; i < plan->step_count; i++) {
		text = mem_appendf(text, "%s%s", i ? "; " : "", plan->steps[i].id);
		for (size_t k = 0; k < plan->steps[i].need_count; k++)
			text = mem_appendf(text, "%s%s", k ? " " : " after ", plan->steps[plan->steps[i].needs[k]].id);
	}
	return text;
}

static const struct difference *difference(const struct scene *scene, const char *component)
{
	for (size_t i = 0; i < scene->generated.difference_count; i++)
		if (strcmp(scene->generated.differences[i].component, component) == 0)
			return &scene->generated.differences[i];
	fail_msg("no difference of %s", component);
	return NULL;
}

static void expect_left(const struct scene *scene, const char *sentence)
{
	for (const char **left = scene->generated.not_reverted; *left; left++)
		if (strcmp(*left, sentence) == 0)
			return;
	for (const char **left = scene->generated.not_reverted; *left; left++)
		print_message("  %s\n", *left);
	fail_msg("nobody says '%s'", sentence);
}

static size_t left_count(const struct scene *scene)
{
	size_t count = 0;

	while (scene->generated.not_reverted[count])
		count++;
	return count;
}

static const char shop[] =
	"components:\n"
	"  api: {driver: service, needs: [code, config, db, flags]}\n"
	"  code: {driver: code}\n"
	"  config: {driver: config}\n"
	"  db: {driver: data}\n"
	"  flags: {driver: flags}\n"
	"  redis: {driver: cache}\n"
	"  router: {driver: traffic}\n"
	"probes: {api-http: api}\n"
	"observed:\n"
	"  api: {version: 2.0.0, state: running}\n"
	"  code: {version: 2.0.0}\n"
	"  config: {version: c2, details: {configKeys: {A: string, B: string}}}\n"
	"  db: {version: '2', details: {schema: {tables: {users: {columns: {id: {type: INTEGER}, email: {type: TEXT}}}}}}}\n"
	"  flags: {version: f2, details: {flags: {new-api: true, same: false, newer: true}}}\n"
	"  router: {version: green}\n"
	"target:\n"
	"  api: {version: 1.0.0, state: running}\n"
	"  code: {version: 1.0.0}\n"
	"  config: {version: c1, details: {configKeys: {A: string}}}\n"
	"  db: {version: '1', details: {schema: {tables: {users: {columns: {id: {type: INTEGER}}}}}}}\n"
	"  flags: {version: f1, details: {flags: {new-api: false, same: false, gone: blue}}}\n"
	"  router: {version: blue}\n";

static void whole(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	set_up(&scene, ctx, shop);
	generate(&scene);
	assert_string_equal(shape(&scene),
		"flag-new-api; flag-gone; stop-api after flag-new-api flag-gone; release-code after stop-api; restore-config after release-code; "
		"clear-redis after restore-config; start-api after clear-redis; shift-router after start-api; verify after shift-router");
	assert_true(scene.generated.plan->graph);
	assert_int_equal(scene.generated.plan->on_failure, ON_FAILURE_RESTORE);
	assert_string_equal(scene.generated.plan->id, "rollback-production-to-dep-1");
	expect_left(&scene, "db: its data is preserved and stays as it is (now 2, with the target 1).");
	expect_left(&scene, "flags: flag 'newer' is newer than the target and stays as it is.");
	assert_int_equal(left_count(&scene), 2);
}

static const char *parameters(const struct scene *scene, const char *id)
{
	const struct step *step = plan_step(scene->generated.plan, id);

	assert_non_null(step);
	return json_canonical(scene->ctx, step->parameters);
}

static void step_parameters(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	set_up(&scene, ctx, shop);
	scene.input.preserve_data = false;
	generate(&scene);
	assert_string_equal(parameters(&scene, "release-code"),
		"{\"deploymentId\":\"dep-1\",\"environment\":\"production\",\"service\":\"code\",\"version\":\"1.0.0\"}");
	assert_string_equal(parameters(&scene, "restore-config"),
		"{\"configVersion\":\"c1\",\"deploymentId\":\"dep-1\",\"service\":\"config\"}");
	assert_string_equal(parameters(&scene, "restore-db"), "{\"database\":\"db\",\"snapshotId\":\"dep-1\"}");
	assert_string_equal(parameters(&scene, "stop-api"), "{\"action\":\"stop\",\"service\":\"api\"}");
	assert_string_equal(parameters(&scene, "start-api"), "{\"action\":\"start\",\"service\":\"api\",\"version\":\"1.0.0\"}");
	assert_string_equal(parameters(&scene, "flag-new-api"), "{\"flagKey\":\"new-api\",\"targetState\":false}");
	assert_string_equal(parameters(&scene, "flag-gone"), "{\"flagKey\":\"gone\",\"targetState\":\"blue\"}");
	assert_string_equal(parameters(&scene, "clear-redis"), "{\"service\":\"redis\"}");
	assert_string_equal(parameters(&scene, "shift-router"), "{\"service\":\"router\",\"to\":\"blue\"}");
	assert_string_equal(parameters(&scene, "verify"),
		"{\"components\":[\"api\",\"code\",\"config\",\"db\",\"flags\",\"redis\",\"router\"]}");
	for (size_t i = 0; i < scene.generated.plan->step_count; i++)
		assert_non_null(step_type(scene.generated.plan->steps[i].type));
}

static void differences(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;
	const struct difference *one;

	set_up(&scene, ctx, shop);
	generate(&scene);
	assert_int_equal(scene.generated.difference_count, 7);
	one = difference(&scene, "api");
	assert_string_equal(one->kind, "service");
	assert_string_equal(one->from, "2.0.0 (running)");
	assert_string_equal(one->to, "1.0.0 (running)");
	assert_true(one->changes);
	one = difference(&scene, "db");
	assert_false(one->changes);
	assert_string_equal(one->note, "stays: data is preserved");
	assert_string_equal(json_canonical(ctx, one->items), "[{\"from\":\"TEXT\",\"name\":\"users.email\",\"to\":null}]");
	one = difference(&scene, "flags");
	assert_string_equal(json_canonical(ctx, one->items),
		"[{\"from\":true,\"name\":\"new-api\",\"to\":false},"
		"{\"from\":null,\"name\":\"gone\",\"to\":\"blue\"},{\"from\":true,\"name\":\"newer\",\"to\":null}]");
	assert_string_equal(json_canonical(ctx, difference(&scene, "config")->items), "[{\"from\":\"string\",\"name\":\"B\",\"to\":null}]");
}

static void with_data(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	set_up(&scene, ctx,
		"preserveData: false\ncomponents: {db: {driver: data}, api: {driver: service, needs: [db]}}\n"
		"observed: {db: {version: '1'}, api: {version: 1.0.0, state: running}}\n"
		"target: {db: {version: '1'}, api: {version: 1.0.0, state: running}}\n");
	generate(&scene);
	/* The version is the same, the rows need not be. */
	assert_string_equal(shape(&scene), "stop-api; restore-db after stop-api; start-api after restore-db");
	assert_string_equal(difference(&scene, "api")->note, "restart: needs db");
	assert_true(difference(&scene, "api")->changes);
	assert_int_equal(left_count(&scene), 0);
}

static void nothing_to_do(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	set_up(&scene, ctx,
		"components: {api: {driver: service, needs: [code]}, code: {driver: code}, c: {driver: cache}, f: {driver: flags}}\n"
		"probes: {p: api}\n"
		"observed: {api: {version: 1.0.0, state: running}, code: {version: 1.0.0}, f: {version: x, details: {flags: {a: true}}}}\n"
		"target: {api: {version: 1.0.0, state: running}, code: {version: 1.0.0}, f: {version: y, details: {flags: {a: true}}}}\n");
	generate(&scene);
	assert_int_equal(scene.generated.plan->step_count, 0);
	assert_int_equal(json_array_size(json_object_get(scene.generated.document, "steps")), 0);
	for (size_t i = 0; i < scene.generated.difference_count; i++)
		assert_false(scene.generated.differences[i].changes);
}

/* Needed through another component; a service that needs nothing of what goes back is left alone. */
static void restarts(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	set_up(&scene, ctx,
		"components:\n"
		"  web: {driver: service, needs: [api]}\n"
		"  api: {driver: service, needs: [lib]}\n"
		"  lib: {driver: code}\n"
		"  mail: {driver: service}\n"
		"observed: {web: {version: 1.0.0, state: running}, api: {version: 1.0.0, state: running}, lib: {version: 2.0.0}, mail: {version: 1.0.0, state: running}}\n"
		"target: {web: {version: 1.0.0, state: running}, api: {version: 1.0.0, state: running}, lib: {version: 1.0.0}, mail: {version: 1.0.0, state: running}}\n");
	generate(&scene);
	assert_string_equal(shape(&scene),
		"stop-web; stop-api after stop-web; release-lib after stop-api; start-api after release-lib; start-web after start-api");
	assert_false(difference(&scene, "mail")->changes);
}

/* Drained from the front to the back before anything stops, taken from their hands once all have stopped, resumed once all have started; at once, nothing of it but the second. */
static void work_in_flight(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct drain_config drain = { .limit_ms = 90000 },
			    requeues = { .limit_ms = 1000, .requeue = { .queues = (const char *[]){ "jobs", NULL } } };
	struct scene scene;

	set_up(&scene, ctx,
		"components:\n"
		"  web: {driver: service, needs: [api]}\n"
		"  api: {driver: service, needs: [lib]}\n"
		"  lib: {driver: code}\n"
		"  mail: {driver: service}\n"
		"observed: {web: {version: 1.0.0, state: running}, api: {version: 1.0.0, state: running}, lib: {version: 2.0.0}, mail: {version: 1.0.0, state: running}}\n"
		"target: {web: {version: 1.0.0, state: running}, api: {version: 1.0.0, state: running}, lib: {version: 1.0.0}, mail: {version: 1.0.0, state: running}}\n");
	environment_component(&scene.environment, "web")->drain = &drain;
	environment_component(&scene.environment, "api")->drain = &requeues;
	environment_component(&scene.environment, "mail")->drain = &drain;
	generate(&scene);
	assert_string_equal(shape(&scene),
		"drain-web; drain-api after drain-web; stop-web after drain-api; stop-api after stop-web; requeue-api after stop-api; release-lib after requeue-api; "
		"start-api after release-lib; start-web after start-api; resume-api after start-web; resume-web after resume-api");
	assert_int_equal(plan_step(scene.generated.plan, "drain-web")->timeout_ms, 90000 + DRAIN_REST_MS);
	assert_int_equal(plan_step(scene.generated.plan, "resume-web")->timeout_ms, 90000 + DRAIN_REST_MS);
	assert_string_equal(step_subject(ctx, plan_step(scene.generated.plan, "drain-web")), "drain web");
	assert_string_equal(step_subject(ctx, plan_step(scene.generated.plan, "resume-web")), "drain web");
	assert_string_equal(step_subject(ctx, plan_step(scene.generated.plan, "requeue-api")), "requeue api");
	assert_string_equal(step_subject(ctx, plan_step(scene.generated.plan, "stop-api")), "component api");
	assert_int_equal(left_count(&scene), 0);
	scene.input.immediate = true;
	generate(&scene);
	assert_string_equal(shape(&scene),
		"stop-web; stop-api after stop-web; requeue-api after stop-api; release-lib after requeue-api; start-api after release-lib; start-web after start-api");
	expect_left(&scene, "Warning: web is stopped at once: what it works on is cut off.");
	expect_left(&scene, "Warning: api is stopped at once: what it works on is cut off, and put back to be done again.");
	assert_int_equal(left_count(&scene), 2);
}

static void stopped_services(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	/* Died: it is started. Not wanted then and not running now: left alone. Not running now, but then: no stop. */
	set_up(&scene, ctx,
		"components: {died: {driver: service}, unwanted: {driver: service, needs: [code]}, down: {driver: service, needs: [code]}, code: {driver: code}}\n"
		"observed: {died: {version: 1.0.0, state: stopped}, unwanted: {version: 2.0.0, state: stopped}, down: {version: '', state: stopped}, code: {version: 2.0.0}}\n"
		"target: {died: {version: 1.0.0, state: running}, unwanted: {version: 1.0.0, state: stopped}, down: {version: 1.0.0, state: running}, code: {version: 1.0.0}}\n");
	generate(&scene);
	assert_string_equal(shape(&scene), "release-code; start-died after release-code; start-down after release-code");
	assert_string_equal(difference(&scene, "died")->note, "start: it is stopped, and ran with the target");
	assert_string_equal(difference(&scene, "down")->from, "nothing (stopped)");
	assert_false(difference(&scene, "unwanted")->changes);
	/* Recorded while it was stopped, running now: stopped and started again, and what is shown is how it ends. */
	set_up(&scene, ctx,
		"components: {api: {driver: service}, mail: {driver: service}}\n"
		"observed: {api: {version: 2.0.0, state: running}, mail: {version: 1.0.0, state: running}}\n"
		"target: {api: {version: 1.0.0, state: stopped}, mail: {version: 1.0.0, state: stopped}}\n");
	generate(&scene);
	assert_string_equal(shape(&scene), "stop-api; start-api after stop-api");
	assert_string_equal(difference(&scene, "api")->to, "1.0.0 (running)");
	assert_string_equal(difference(&scene, "api")->note, "restart");
	assert_string_equal(difference(&scene, "mail")->to, "1.0.0 (running)");
}

static void verified(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;
	json_t *touched = json_make(ctx, "{s:b}", "code", 1), *names;

	set_up(&scene, ctx,
		"components: {web: {driver: service, needs: [api]}, api: {driver: service, needs: [code]}, code: {driver: code}, mail: {driver: service}}\n"
		"probes: {p: web}\nobserved: {}\ntarget: {}\n");
	names = json_keep(ctx, plan_verified(scene.input.environment, touched));
	assert_string_equal(json_canonical(ctx, names), "[\"web\",\"api\",\"code\"]");
	assert_null(plan_verified(scene.input.environment, json_make(ctx, "{s:b}", "mail", 1)));
}

static void critical_first(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	/* auth is critical and needs store, which therefore counts as critical. report needs auth: it must stop before auth can. */
	set_up(&scene, ctx,
		"components:\n"
		"  blog: {driver: service}\n"
		"  report: {driver: service, needs: [auth]}\n"
		"  auth: {driver: service, critical: true, needs: [store]}\n"
		"  store: {driver: service}\n"
		"observed: {blog: {version: '2'}, report: {version: '2'}, auth: {version: '2'}, store: {version: '2'}}\n"
		"target: {blog: {version: '1'}, report: {version: '1'}, auth: {version: '1'}, store: {version: '1'}}\n");
	generate(&scene);
	assert_string_equal(shape(&scene),
		"stop-report; stop-auth after stop-report; stop-store after stop-auth; stop-blog after stop-store; "
		"start-store after stop-blog; start-auth after start-store; start-blog after start-auth; start-report after start-auth");
}

static void partial(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;
	struct err err = ERR_INIT;
	static const char *unknown[] = { "cod", NULL };

	set_up(&scene, ctx,
		"only: [code]\n"
		"components: {api: {driver: service, needs: [code]}, code: {driver: code}, config: {driver: config, needs: [code]}, far: {driver: code}}\n"
		"observed: {api: {version: '2', state: running}, code: {version: '2'}, config: {version: '1'}, far: {version: '1'}}\n"
		"target: {api: {version: '1', state: running}, code: {version: '1'}, config: {version: '1'}, far: {version: '1'}}\n");
	generate(&scene);
	assert_string_equal(shape(&scene), "release-code");
	expect_left(&scene, "api: stays at 2 (the target had 1), because it is not among the components to take back.");
	expect_left(&scene,
		"Warning: api needs code, which is taken back, but stays as it is itself; it may not run with the older one, and is not restarted.");
	expect_left(&scene,
		"Warning: config needs code, which is taken back, but stays as it is itself; it may not run with the older one.");
	assert_int_equal(left_count(&scene), 3);
	assert_string_equal(difference(&scene, "far")->note, "stays: not among the targets");

	scene.input.only = unknown;
	assert_int_equal(plan_generate(ctx, &scene.input, &scene.generated, &err), -ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "did you mean 'code'"));
}

static void unrecorded(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	set_up(&scene, ctx,
		"components: {new: {driver: code}, empty: {driver: code}, blind: {driver: code}}\n"
		"observed: {new: {version: '2'}, empty: {version: '2'}, blind: {error: {code: timeout, message: slow}}}\n"
		"target: {empty: {version: ''}, blind: {version: '1'}, removed: {version: '1'}}\n");
	generate(&scene);
	assert_string_equal(shape(&scene), "release-blind");
	expect_left(&scene, "new: stays as it is, because it was not recorded with the target deployment.");
	expect_left(&scene, "empty: stays at 2, because nothing was there when the target was recorded.");
	expect_left(&scene, "removed: was recorded with the target, but is no longer in the project file; it is not brought back.");
	assert_string_equal(difference(&scene, "blind")->note, "what is there now could not be observed");
	assert_null(difference(&scene, "blind")->from);
	assert_null(difference(&scene, "new")->to);
	/* What was not seen cannot be bound. */
	assert_string_equal(json_canonical(ctx, json_keep(ctx, plan_expected(scene.generated.plan, scene.input.observed))), "{}");
}

static void verification(void **state)
{
	static const struct {
		const char *probes;
		bool verifies;
	} cases[] = { { "{}", false }, { "{p: other}", false }, { "{p: code}", true }, { "{p: }", true } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct scene scene;

		set_up(&scene, ctx,
			mem_printf(ctx,
				"components: {code: {driver: code}, other: {driver: code}}\nprobes: %s\n"
				"observed: {code: {version: '2'}, other: {version: '1'}}\ntarget: {code: {version: '1'}, other: {version: '1'}}\n",
				cases[i].probes));
		generate(&scene);
		assert_string_equal(shape(&scene), cases[i].verifies ? "release-code; verify after release-code" : "release-code");
	}
}

/* One flag in two components gets one step; states and names that no step can have are told. */
static void odd_flags(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;

	set_up(&scene, ctx,
		"components: {one: {driver: flags}, two: {driver: flags}}\n"
		"observed: {one: {version: x, details: {flags: {a: true, b: true, 'c d': true}}}, two: {version: x, details: {flags: {a: true}}}}\n"
		"target: {one: {version: y, details: {flags: {a: false, b: {rollout: 3}, 'c d': false}}}, two: {version: y, details: {flags: {a: false}}}}\n");
	generate(&scene);
	assert_string_equal(shape(&scene), "flag-a");
	assert_int_equal(left_count(&scene), 2);
	expect_left(&scene, "one: flag 'b' cannot be set back: its name or recorded state is not one that a step can have.");
}

static void long_names(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;
	char name[129];

	memset(name, 'a', 128);
	name[128] = 0;
	set_up(&scene, ctx,
		mem_printf(ctx, "components: {%s: {driver: code}}\nobserved: {%s: {version: '2'}}\ntarget: {%s: {version: '1'}}\n", name,
			name, name));
	scene.environment.name = name;
	generate(&scene);
	assert_int_equal(scene.generated.plan->step_count, 1);
	assert_true(text_is_name(scene.generated.plan->steps[0].id));
}

static void circle(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;
	struct err err = ERR_INIT;

	set_up(&scene, ctx, "components: {a: {driver: code, needs: [b]}, b: {driver: code, needs: [a]}}\nobserved: {}\ntarget: {}\n");
	assert_int_equal(plan_generate(ctx, &scene.input, &scene.generated, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "a -> b -> a"));
}

static void hashes(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;
	const struct plan *plan;
	json_t *observed;
	char *hash;

	set_up(&scene, ctx, shop);
	generate(&scene);
	plan = scene.generated.plan;
	observed = json_keep(ctx, json_deep_copy(scene.input.observed));
	hash = plan_hash(ctx, plan, "production", observed);
	assert_int_equal(strlen(hash), 64);
	assert_string_equal(plan_hash(ctx, plan, "production", scene.input.observed), hash);
	assert_string_not_equal(plan_hash(ctx, plan, "staging", observed), hash);
	/* db is not touched (data is preserved): what happens there does not matter. Nor do details. */
	json_object_set_new(json_object_get(observed, "db"), "version", json_string("3"));
	json_object_set_new(json_object_get(observed, "code"), "details", json_pack("{s:i}", "size", 3));
	assert_string_equal(plan_hash(ctx, plan, "production", observed), hash);
	json_object_set_new(json_object_get(observed, "api"), "state", json_string("stopped"));
	assert_string_not_equal(plan_hash(ctx, plan, "production", observed), hash);
	json_object_set_new(json_object_get(observed, "api"), "state", json_string("running"));
	assert_string_equal(plan_hash(ctx, plan, "production", observed), hash);
	json_object_set_new(json_object_get(observed, "code"), "version", json_string("2.0.1"));
	assert_string_not_equal(plan_hash(ctx, plan, "production", observed), hash);
	scene.generated.plan->steps[0].timeout_ms++;
	assert_string_not_equal(plan_hash(ctx, plan, "production", scene.input.observed), hash);
	assert_string_equal(json_canonical(ctx, json_keep(ctx, plan_expected(plan, scene.input.observed))),
		"{\"api\":{\"state\":\"running\",\"version\":\"2.0.0\"},\"code\":{\"version\":\"2.0.0\"},\"config\":{\"version\":\"c2\"},"
		"\"flag new-api\":{\"version\":\"true\"},\"router\":{\"version\":\"green\"}}");
}

static void touched(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct scene scene;
	const char **names;

	set_up(&scene, ctx, shop);
	generate(&scene);
	names = plan_components(ctx, scene.generated.plan);
	assert_string_equal(names[0], "api");
	assert_string_equal(names[1], "code");
	assert_string_equal(names[2], "config");
	assert_string_equal(names[3], "redis");
	assert_string_equal(names[4], "router");
	assert_null(names[5]);
}

/* Random environments: the promises of generate.h, asked of the graph. */

#define PARTS_MAX 9

struct world {
	bool critical[PARTS_MAX], needs[PARTS_MAX][PARTS_MAX]; /* needs: closed over paths */
	enum driver_kind kind[PARTS_MAX];
	size_t count;
};

static char *random_world(void *ctx, struct world *world, uint64_t *random)
{
	static const char *const kinds[] = { "service", "service", "code", "config", "data", "cache", "traffic", "command" };
	char *components = mem_strdup(ctx, ""), *observed = mem_strdup(ctx, ""), *target = mem_strdup(ctx, "");

	memset(world, 0, sizeof(*world));
	world->count = 1 + random_next(random) % PARTS_MAX;
	for (size_t i = 0; i < world->count; i++) {
		const char *kind = kinds[random_next(random) % ARRAY_SIZE(kinds)];
		char *needs = mem_strdup(ctx, "");

		world->kind[i] = kind_of(NULL, kind);
		world->critical[i] = random_next(random) % 4 == 0;
		/* Needs point backwards or forwards in the file, but along one hidden order: no circles. */
		for (size_t k = 0; k < world->count; k++)
			if (i * 7 % 11 > k * 7 % 11 && random_next(random) % 3 == 0) {
				world->needs[i][k] = true;
				needs = mem_appendf(needs, "%sc%zu", *needs ? ", " : "", k);
			}
		components = mem_appendf(components, "  c%zu: {driver: %s, critical: %s, needs: [%s]}\n", i, kind,
			world->critical[i] ? "true" : "false", needs);
		observed = mem_appendf(observed, "  c%zu: {version: '%u', state: running}\n", i, random_next(random) % 2);
		target = mem_appendf(target, "  c%zu: {version: '0', state: running}\n", i);
	}
	for (size_t via = 0; via < world->count; via++)
		for (size_t a = 0; a < world->count; a++)
			for (size_t b = 0; b < world->count; b++)
				world->needs[a][b] |= world->needs[a][via] && world->needs[via][b];
	return mem_printf(ctx, "preserveData: %s\ncomponents:\n%sobserved:\n%starget:\n%sprobes: {p: c0}\n",
		random_next(random) % 2 ? "true" : "false", components, observed, target);
}

/* 0 for steps of no component: verify. */
static int phase_of(const struct step *step)
{
	static const char *const verbs[] = { "flag-", "stop-", "release-", NULL, NULL, "clear-", "start-", "shift-", "verify" };

	if (text_starts_with(step->id, "restore-"))
		return strcmp(step->type, "configuration") == 0 ? 3 : 4;
	for (int i = 0; i < (int)ARRAY_SIZE(verbs); i++)
		if (verbs[i] && text_starts_with(step->id, verbs[i]))
			return i;
	fail_msg("step %s", step->id);
	return -1;
}

static size_t component_of(const struct step *step)
{
	return (size_t)strtoul(strrchr(step->id, 'c') + 1, NULL, 10);
}

static void check_world(const struct scene *scene, const struct world *world, const char *text)
{
	const struct plan *plan = scene->generated.plan;
	struct graph *graph = graph_new(scene->ctx, plan->step_count);

	for (size_t i = 0; i < plan->step_count; i++)
		for (size_t k = 0; k < plan->steps[i].need_count; k++) {
			/* The file can be read from top to bottom. */
			if (plan->steps[i].needs[k] >= i)
				fail_msg("%s\nstep %s stands before what it needs", text, plan->steps[i].id);
			graph_need(graph, i, plan->steps[i].needs[k]);
		}
	for (size_t a = 0; a < plan->step_count; a++)
		for (size_t b = 0; b < plan->step_count; b++) {
			int phase_a = phase_of(&plan->steps[a]), phase_b = phase_of(&plan->steps[b]);
			bool after = graph_reaches(graph, a, b);
			size_t one, other;

			if ((phase_a > phase_b && !after) || (phase_a < phase_b && after))
				fail_msg("%s\n%s against %s", text, plan->steps[a].id, plan->steps[b].id);
			if (phase_a != phase_b || a == b)
				continue;
			one = component_of(&plan->steps[a]);
			other = component_of(&plan->steps[b]);
			if (phase_a == 1 ? world->needs[other][one] && !after : world->needs[one][other] && !after)
				fail_msg("%s\n%s is not after %s", text, plan->steps[a].id, plan->steps[b].id);
		}
}

/* Property 11: what comes before a critical step in its phase is critical, or has to come before it (or before another critical one of the phase). */
static void check_critical(const struct scene *scene, const struct world *world, const char *text)
{
	const struct plan *plan = scene->generated.plan;
	bool critical[PARTS_MAX];

	for (size_t i = 0; i < world->count; i++) {
		critical[i] = world->critical[i];
		for (size_t k = 0; k < world->count; k++)
			critical[i] |= world->critical[k] && world->needs[k][i];
	}
	for (size_t a = 0; a < plan->step_count; a++)
		for (size_t b = 0; b < plan->step_count; b++) {
			int phase = phase_of(&plan->steps[a]);
			bool needed = false;
			size_t one, other;

			if (phase != phase_of(&plan->steps[b]) || phase == 8 || a >= b)
				continue;
			one = component_of(&plan->steps[a]);
			other = component_of(&plan->steps[b]);
			if (critical[one] || !critical[other])
				continue;
			for (size_t k = 0; k < plan->step_count; k++) {
				size_t third = phase_of(&plan->steps[k]) == phase ? component_of(&plan->steps[k]) : one;

				needed |= critical[third] && (phase == 1 ? world->needs[one][third] : world->needs[third][one]);
			}
			if (!needed)
				fail_msg("%s\n%s comes before the critical %s", text, plan->steps[a].id, plan->steps[b].id);
		}
}

static void random_worlds(void **state)
{
	const char *given = getenv("UNSHIP_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL), random = seed;

	print_message("seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 400; round++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct world world;
		struct scene scene;
		char *text = random_world(ctx, &world, &random);

		set_up(&scene, ctx, text);
		generate(&scene);
		check_world(&scene, &world, text);
		check_critical(&scene, &world, text);
		/* A service runs on when nothing of it changes, and stops and starts otherwise. */
		for (size_t i = 0; i < world.count; i++) {
			bool changes = scene.generated.differences[i].changes;
			bool stops = plan_step(scene.generated.plan, mem_printf(ctx, "stop-c%zu", i)) != NULL;
			bool starts = plan_step(scene.generated.plan, mem_printf(ctx, "start-c%zu", i)) != NULL;

			if (world.kind[i] == DRIVER_SERVICE ? stops != changes || starts != changes : stops || starts)
				fail_msg("seed %llu\n%s\nc%zu", (unsigned long long)seed, text, i);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(step_parameters),
		cmocka_unit_test(differences),
		cmocka_unit_test(with_data),
		cmocka_unit_test(nothing_to_do),
		cmocka_unit_test(restarts),
		cmocka_unit_test(work_in_flight),
		cmocka_unit_test(stopped_services),
		cmocka_unit_test(verified),
		cmocka_unit_test(critical_first),
		cmocka_unit_test(partial),
		cmocka_unit_test(unrecorded),
		cmocka_unit_test(verification),
		cmocka_unit_test(odd_flags),
		cmocka_unit_test(long_names),
		cmocka_unit_test(circle),
		cmocka_unit_test(hashes),
		cmocka_unit_test(touched),
		cmocka_unit_test(random_worlds),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
