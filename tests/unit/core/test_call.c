/* call.c: requests, member by member, and what observations mean. */
#include "life.h"

#include "core/call.h"
#include "core/drain.h"

static struct component components[] = { { .name = "api", .driver = "git-release" }, { .name = "db", .driver = "sqlite" } };
static struct environment environment = { .name = "production", .components = components, .component_count = 2 };
static const struct call_places places = { .project_dir = "/p", .state_dir = "/p/.d", .store = "sqlite:/x", .open_root = "/open" };

static json_t *request(struct life *life, const char *step, enum verb verb)
{
	struct err err = ERR_INIT;
	struct work work;

	if (call_build(life->ctx, life->run, run_step(life->run, step), verb, &environment, &places, 5000, &work, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(work.deadline_ms, 5000 + json_int(work.request, "deadlineMs", 0));
	return work.request;
}

static void expect_member(json_t *request, const char *path, const char *value)
{
	struct doc *doc = doc_wrap(NULL, "request", request);
	const char *is = json_string_value(doc_get(doc, path));

	if (!value)
		assert_null(doc_get(doc, path));
	else
		assert_string_equal(is ? is : "(nothing)", value);
	talloc_free(doc);
}

static struct life given_life(void)
{
	struct life life = life_begin("restore",
		"["
		"{id: a, type: deployment, timeout: 30, parameters: {service: api, version: '${context.metadata.ticket}', environment: '${context.environment}', deploymentId: dep-1}},"
		"{id: d, type: data, parameters: {database: db, tables: {users: dep-7, carts: run-9}}},"
		"{id: c, type: deployment, parameters: {service: api, version: '${steps.a.outputs.version}', environment: production}},"
		"{id: f, type: feature-flag, parameters: {flagKey: new-api, targetState: false}},"
		"{id: x, type: command, parameters: {argv: [clear, all], undo: [fill]}}]");

	components[0].config = given(life.ctx, "{driver: git-release, path: /srv}");
	return life;
}

static void a_capture(void **state)
{
	struct life life = given_life();
	json_t *r = request(&life, "a", VERB_CAPTURE);

	expect_member(r, "verb", "capture");
	expect_member(r, "name", "api");
	expect_member(r, "component.name", "api");
	expect_member(r, "component.path", "/srv");
	expect_member(r, "snapshotDir", "/open/run-1/state/component-api");
	expect_member(r, "idempotencyKey", "run-1/a/capture/1");
	expect_member(r, "sourceDir", NULL);
	expect_member(request(&life, "d", VERB_CAPTURE), "snapshotDir", "/open/run-1/database/component-db");
	expect_member(request(&life, "f", VERB_CAPTURE), "snapshotDir", "/open/run-1/state/flag-new-api");
	life_end(&life);
}

static void an_apply(void **state)
{
	struct life life = given_life();
	json_t *r;

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	r = request(&life, "a", VERB_APPLY);
	expect_member(r, "verb", "apply");
	expect_member(r, "target.version", "T1");
	expect_member(r, "target.environment", "production");
	expect_member(r, "step.type", "deployment");
	expect_member(r, "sourceDir", "/open/dep-1/state/component-api");
	expect_member(r, "observed.version", "v1");
	expect_member(r, "idempotencyKey", "run-1/a/apply/1");
	expect_member(r, "runId", "run-1");
	assert_int_equal(json_int(r, "deadlineMs", 0), 30000);
	r = request(&life, "a", VERB_OBSERVE);
	expect_member(r, "verb", "observe");
	expect_member(r, "target.version", "T1");
	expect_member(r, "idempotencyKey", NULL);
	r = request(&life, "d", VERB_APPLY);
	expect_member(r, "sources[\"dep-7\"]", "/open/dep-7/state/component-db");
	expect_member(r, "sources[\"run-9\"]", "/open/run-9/database/component-db");
	r = request(&life, "f", VERB_APPLY);
	expect_member(r, "name", "flag new-api");
	expect_member(r, "component.driver", "flags");
	expect_member(r, "component.flagKey", NULL);
	r = request(&life, "x", VERB_APPLY);
	expect_member(r, "component.driver", "command");
	expect_member(r, "component.argv[0]", "clear");
	expect_member(r, "target.argv[1]", "all");
	life_end(&life);
}

static void outputs_of_earlier_steps(void **state)
{
	struct life life = given_life();
	struct err err = ERR_INIT;
	struct work work;

	life_ready(&life);
	/* Not there yet: a capture goes without, an apply cannot. */
	expect_member(request(&life, "c", VERB_CAPTURE), "target.version", NULL);
	assert_int_equal(call_build(life.ctx, life.run, run_step(life.run, "c"), VERB_APPLY, &environment, &places, 0, &work, &err),
		-ERR_INVALID);
	assert_non_null(strstr(err.text, "steps.a.outputs.version"));
	life_begun(&life, "a", "apply", 1);
	life_step(&life, ENTRY_STEP_ENDED, "a", "apply", 1, ", outcome: done, outputs: {version: v7}");
	expect_member(request(&life, "c", VERB_APPLY), "target.version", "v7");
	life_end(&life);
}

static void an_undo(void **state)
{
	struct life life = given_life();
	json_t *r;

	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	life_step(&life, ENTRY_STEP_ENDED, "a", "apply", 1, ", outcome: done, outputs: {version: v7}");
	life_done(&life, "c");
	life_add(&life, ENTRY_RUN_CANCEL, "{}");
	/* The second on its subject goes back to the target of the first. */
	life_begun(&life, "c", "undo", 1);
	r = request(&life, "c", VERB_UNDO);
	expect_member(r, "verb", "apply");
	expect_member(r, "target.version", "T1");
	expect_member(r, "sourceDir", "/open/dep-1/state/component-api");
	expect_member(r, "idempotencyKey", "run-1/c/undo/1");
	expect_member(request(&life, "c", VERB_OBSERVE), "target.version", "T1");
	life_ended(&life, "c", "undo", 1, "done");
	/* The first to what was captured. */
	life_begun(&life, "a", "undo", 1);
	r = request(&life, "a", VERB_UNDO);
	expect_member(r, "verb", "undo");
	expect_member(r, "snapshotDir", "/open/run-1/state/component-api");
	r = request(&life, "a", VERB_OBSERVE);
	expect_member(r, "target", NULL);
	expect_member(r, "snapshotDir", "/open/run-1/state/component-api");
	life_end(&life);
}

static void a_step_that_undoes_a_former_run(void **state)
{
	struct life life = life_begin("restore",
		"["
		"{id: u, type: undo, parameters: {run: run-0, step: a, subject: component api, parameters: {service: api, version: v2}}},"
		"{id: v, type: undo, parameters: {run: run-0, step: d, subject: component db, parameters: {database: db}}},"
		"{id: w, type: undo, parameters: {run: run-0, step: x, subject: step x, parameters: {argv: [clear], undo: [fill]}}}]");
	json_t *r;

	components[0].config = NULL;
	r = request(&life, "u", VERB_CAPTURE);
	expect_member(r, "verb", "capture");
	expect_member(r, "snapshotDir", "/open/run-1/state/component-api");
	life_ready(&life);
	life_begun(&life, "u", "apply", 1);
	r = request(&life, "u", VERB_APPLY);
	expect_member(r, "verb", "undo");
	expect_member(r, "component.driver", "git-release");
	expect_member(r, "snapshotDir", "/open/run-0/state/component-api");
	r = request(&life, "u", VERB_OBSERVE);
	expect_member(r, "target", NULL);
	expect_member(r, "snapshotDir", "/open/run-0/state/component-api");
	expect_member(request(&life, "v", VERB_APPLY), "snapshotDir", "/open/run-0/database/component-db");
	r = request(&life, "w", VERB_APPLY);
	expect_member(r, "component.driver", "command");
	expect_member(r, "component.undo[0]", "fill");
	life_ended(&life, "u", "apply", 1, "failed");
	life_begun(&life, "u", "undo", 1);
	expect_member(request(&life, "u", VERB_UNDO), "snapshotDir", "/open/run-1/state/component-api");
	life_end(&life);
}

/* Work in flight is a side of its component: captured and undone by itself, by a driver that is given what it needs of the environment. */
static void a_side_of_a_component(void **state)
{
	struct life life = life_begin("restore",
		"["
		"{id: a, type: service, timeout: 30, parameters: {service: api, action: drain}},"
		"{id: b, type: service, parameters: {service: api, action: stop}},"
		"{id: c, type: service, parameters: {service: api, action: requeue}},"
		"{id: d, type: service, parameters: {service: api, action: resume}},"
		"{id: u, type: undo, parameters: {run: run-0, step: x, subject: requeue api, parameters: {service: api, action: requeue}}}]");
	struct drain_config drain = { .requeue = { .queues = (const char *[]){ "db", NULL } } };
	json_t *r;

	components[0].config = given(life.ctx, "{driver: process, path: /srv, drain: {pause: [halt]}}");
	components[0].drain = &drain;
	r = request(&life, "a", VERB_CAPTURE);
	expect_member(r, "name", "api");
	expect_member(r, "snapshotDir", "/open/run-1/state/drain-api");
	expect_member(request(&life, "b", VERB_CAPTURE), "snapshotDir", "/open/run-1/state/component-api");
	life_ready(&life);
	life_begun(&life, "a", "apply", 1);
	r = request(&life, "a", VERB_APPLY);
	expect_member(r, "target.action", "drain");
	expect_member(r, "component.driver", "drain");
	expect_member(r, "component.side", "drain");
	expect_member(r, "component.drain.pause[0]", "halt");
	expect_member(r, "component.service.name", "api");
	expect_member(r, "component.service.path", "/srv");
	expect_member(r, "component.queues.db.name", "db");
	r = request(&life, "c", VERB_APPLY);
	expect_member(r, "component.side", "requeue");
	r = request(&life, "u", VERB_APPLY);
	expect_member(r, "verb", "undo");
	expect_member(r, "component.driver", "drain");
	expect_member(r, "component.side", "requeue");
	expect_member(r, "snapshotDir", "/open/run-0/state/requeue-api");
	/* Undoing the resumption drains it. */
	life_ended(&life, "a", "apply", 1, "done");
	life_done(&life, "d");
	life_add(&life, ENTRY_RUN_CANCEL, "{}");
	life_begun(&life, "d", "undo", 1);
	r = request(&life, "d", VERB_UNDO);
	expect_member(r, "verb", "apply");
	expect_member(r, "target.action", "drain");
	components[0].drain = NULL;
	life_end(&life);
}

static void at_goal(void **state)
{
	struct life life = given_life();
	struct run_step *a = run_step(life.run, "a");
	json_t *target = given(life.ctx, "{version: v2}"), *vague = given(life.ctx, "{action: stop}");
	struct observed seen = { .version = "v2", .state = "running", .at_target = -1 };

	assert_int_equal(call_at_goal(a, target, &seen), 1);
	seen.version = "v1";
	assert_int_equal(call_at_goal(a, target, &seen), 0);
	seen.at_target = 1; /* the driver's word */
	assert_int_equal(call_at_goal(a, target, &seen), 1);
	seen.at_target = -1;
	assert_int_equal(call_at_goal(a, vague, &seen), -1);
	assert_int_equal(call_at_goal(a, NULL, &seen), -1); /* nothing was captured */
	life_capture(&life, "a", "v1");
	assert_int_equal(call_at_goal(a, NULL, &seen), 1);
	seen.state = "stopped";
	assert_int_equal(call_at_goal(a, NULL, &seen), 0);
	seen.version = NULL;
	assert_int_equal(call_at_goal(a, target, &seen), -1);
	life_end(&life);
}

static void observations(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	struct observed seen;

	assert_int_equal(call_read_observation(ctx,
				 given(ctx, "{version: v1, state: null, healthy: true, atTarget: false, details: {a: 1}}"), &seen, &err),
		0);
	assert_string_equal(seen.version, "v1");
	assert_null(seen.state);
	assert_int_equal(seen.healthy, 1);
	assert_int_equal(seen.at_target, 0);
	assert_int_equal(json_int(seen.details, "a", 0), 1);
	assert_int_equal(call_read_observation(ctx, given(ctx, "{atTarget: null, healthy: perhaps}"), &seen, &err), 0);
	assert_int_equal(seen.at_target, -1);
	assert_int_equal(seen.healthy, -1);
	assert_int_equal(call_read_observation(ctx, given(ctx, "[v1]"), &seen, &err), -ERR_DRIVER);
	assert_int_equal(call_read_observation(ctx, given(ctx, "{version: [v1]}"), &seen, &err), -ERR_DRIVER);
}

static void probes_and_components(void **state)
{
	struct probe_config probe = { .name = "p", .type = "http", .component = "api", .timeout_ms = 4000 };
	struct life life = given_life();
	struct err err = ERR_INIT;
	struct work work;

	probe.config = given(life.ctx, "{url: u}");
	assert_int_equal(call_probe(life.ctx, &environment, &probe, "run-1", &places, 1000, 3000, &work, &err), 0);
	assert_int_equal(work.kind, WORKER_PROBE);
	assert_string_equal(work.name, "http");
	assert_int_equal(work.deadline_ms, 3000); /* the step's time is shorter than the probe's */
	expect_member(work.request, "verb", "probe");
	expect_member(work.request, "config.url", "u");
	expect_member(work.request, "component.name", "api");
	assert_int_equal(call_component(life.ctx, &environment, &components[0], "check", given(life.ctx, "{version: v3}"), "/src", NULL,
				 &places, 0, 9000, &work, &err),
		0);
	expect_member(work.request, "verb", "check");
	expect_member(work.request, "target.version", "v3");
	expect_member(work.request, "sourceDir", "/src");
	assert_string_equal(work.name, "git-release");
	life_end(&life);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_capture),
		cmocka_unit_test(an_apply),
		cmocka_unit_test(outputs_of_earlier_steps),
		cmocka_unit_test(an_undo),
		cmocka_unit_test(a_step_that_undoes_a_former_run),
		cmocka_unit_test(a_side_of_a_component),
		cmocka_unit_test(at_goal),
		cmocka_unit_test(observations),
		cmocka_unit_test(probes_and_components),
	};

	return cmocka_run_group_tests(tests, life_setup, NULL);
}
