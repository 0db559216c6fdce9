/* plan.c, plan_bind.c, runbook.c, steptype.c: what loads, what is told about what does not, and the way back to a file. */
#include "given.h"

#include "base/text.h"
#include "core/graph.h"
#include "core/plan.h"
#include "core/steptype.h"

static struct plan *read_doc(const void *ctx, const struct doc *doc, struct problems **ret)
{
	*ret = problems_new(ctx, doc);
	return plan_read(ctx, doc, *ret);
}

static struct plan *read_text(const void *ctx, const char *text, struct problems **ret)
{
	return read_doc(ctx, given_yaml(ctx, text), ret);
}

static struct plan *load(const void *ctx, const char *name)
{
	char *path = mem_printf(ctx, "%s/plans/%s", TEST_DATA, name);
	struct problems *problems;
	struct err err = ERR_INIT;
	struct plan *plan;
	struct doc *doc;

	if (doc_load(ctx, path, &doc, &err) < 0)
		fail_msg("%s", err.text);
	plan = read_doc(ctx, doc, &problems);
	expect_no_problem(problems);
	return plan;
}

static char *written(const void *ctx, const struct plan *plan)
{
	return json_canonical(ctx, json_keep(ctx, plan_json(plan)));
}

/* The plans of the source document, in both forms: the same plan, and it comes back the same. */
static void examples(void **state)
{
	static const char *const names[] = { "initial-separation-rollback", "user-profile-feature-rollback" };
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct plan *json = load(ctx, mem_printf(ctx, "%s.json", names[i])),
			    *yaml = load(ctx, mem_printf(ctx, "%s.yaml", names[i])), *again;
		struct problems *problems;

		assert_string_equal(written(ctx, json), written(ctx, yaml));
		again = read_doc(ctx, doc_wrap(ctx, "again", json_keep(ctx, plan_json(json))), &problems);
		expect_no_problem(problems);
		assert_string_equal(written(ctx, again), written(ctx, json));
	}
}

static void example_in_detail(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct plan *plan = load(ctx, "initial-separation-rollback.yaml");
	struct step *step;

	assert_string_equal(plan->id, "initial-separation-rollback");
	assert_string_equal(plan->phase, "initial-separation");
	assert_null(plan->dependencies[0]);
	assert_int_equal(plan->estimated_ms, 15 * 60000);
	assert_int_equal(plan->on_failure, ON_FAILURE_RESTORE);
	assert_int_equal(plan->step_count, 5);
	assert_false(plan->graph);
	step = plan_step(plan, "revert-frontend-deployment");
	assert_non_null(step);
	assert_string_equal(step->path, "steps[2]");
	assert_string_equal(step->name, "Revert Frontend Deployment");
	assert_int_equal(step->timeout_ms, 300000);
	assert_int_equal(step->max_attempts, 3);
	assert_true(step->backoff_multiplier > 1.49 && step->backoff_multiplier < 1.51);
	assert_int_equal(step->need_count, 1);
	assert_int_equal(step->needs[0], 1);
	assert_string_equal(json_str(step->parameters, "environment", ""), "${context.environment}");
	assert_int_equal(plan->steps[0].need_count, 0);
	assert_int_equal(plan->steps[0].max_attempts, 1);
	assert_null(plan_step(plan, "other"));
}

static void subjects(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct plan *plan = read_text(ctx,
		"id: p\n"
		"steps:\n"
		"  - {id: a, type: deployment, parameters: {service: api, version: 1.0.0, environment: production}}\n"
		"  - {id: b, type: feature-flag, parameters: {flagKey: new-api, targetState: true}}\n"
		"  - {id: c, type: data, parameters: {database: db, snapshotId: s1}}\n"
		"  - {id: d, type: command, parameters: {argv: [make, clean]}}\n"
		"  - {id: e, type: notification, parameters: {recipients: [x], channel: in-app, message: hello}}\n"
		"  - {id: f, type: health}\n"
		"  - {id: g, type: approval}\n"
		"  - {id: h, type: undo, parameters: {run: run-1, step: x}}\n"
		"  - {id: i, type: undo, parameters: {run: run-1, step: x, subject: component web}}\n"
		"  - {id: j, type: cache, parameters: {service: redis, pattern: 'user:*', extra: 1}}\n",
		&problems);
	static const char *const expected[] = { "component api", "flag new-api", "component db", "step d", NULL, NULL, NULL, "step h",
		"component web", "component redis" };
	static const char *const components[] = { "api", NULL, "db", NULL, NULL, NULL, NULL, NULL, "web", "redis" };

	expect_no_problem(problems);
	for (size_t i = 0; i < plan->step_count; i++) {
		char *subject = step_subject(ctx, &plan->steps[i]);
		const char *component = step_component(&plan->steps[i]);

		if (!expected[i])
			assert_null(subject);
		else
			assert_string_equal(subject, expected[i]);
		if (!components[i])
			assert_null(component);
		else
			assert_string_equal(component, components[i]);
	}
	assert_string_equal(json_canonical(ctx, json_keep(ctx, step_type("cache")->target(plan->steps[9].parameters))),
		"{\"extra\":1,\"pattern\":\"user:*\"}");
	assert_string_equal(json_canonical(ctx, json_keep(ctx, step_type("data")->target(plan->steps[2].parameters))),
		"{\"snapshotId\":\"s1\",\"version\":\"s1\"}");
	assert_string_equal(json_canonical(ctx, json_keep(ctx, step_type("feature-flag")->target(plan->steps[1].parameters))),
		"{\"flagKey\":\"new-api\",\"targetState\":true}");
}

/* One step; the text is the rest of it. */
static struct problems *one_step(const void *ctx, const char *rest)
{
	struct problems *problems;

	(void)read_text(ctx, mem_printf(ctx, "id: p\nsteps:\n  - {id: a, %s}\n", rest), &problems);
	return problems;
}

static void missing_parameters(void **state)
{
	/* clang-format off */
	static const struct {
		const char *step, *path, *words;
	} cases[] = {
		{ "type: notification, parameters: {channel: email, message: x}", "steps[0].parameters", "recipients" },
		{ "type: notification, parameters: {recipients: [], channel: email, message: x}", "steps[0].parameters.recipients", "" },
		{ "type: notification, parameters: {recipients: [''], channel: email, message: x}", "steps[0].parameters.recipients", "empty" },
		{ "type: notification, parameters: {recipients: [a], message: x}", "steps[0].parameters", "channel" },
		{ "type: notification, parameters: {recipients: [a], channel: email}", "steps[0].parameters", "message" },
		{ "type: notification, parameters: {recipients: [a], channel: email, message: ''}", "steps[0].parameters.message", "empty" },
		{ "type: data, parameters: {snapshotId: s}", "steps[0].parameters", "database" },
		{ "type: data, parameters: {database: db}", "steps[0].parameters", "either snapshotId or tables" },
		{ "type: data, parameters: {database: db, tables: {}}", "steps[0].parameters.tables", "empty" },
		{ "type: data, parameters: {database: db, tables: {users: 3}}", "steps[0].parameters.tables.users", "name of a backup" },
		{ "type: configuration, parameters: {service: c}", "steps[0].parameters", "either configVersion or configItems" },
		{ "type: configuration, parameters: {configVersion: c}", "steps[0].parameters", "service" },
		{ "type: feature-flag, parameters: {targetState: false}", "steps[0].parameters", "flagKey" },
		{ "type: feature-flag, parameters: {flagKey: x}", "steps[0].parameters", "targetState" },
		{ "type: deployment, parameters: {version: 1.0.0, environment: e}", "steps[0].parameters", "service" },
		{ "type: deployment, parameters: {service: s, environment: e}", "steps[0].parameters", "version" },
		{ "type: deployment, parameters: {service: s, version: 1.0.0}", "steps[0].parameters", "environment" },
		{ "type: service, parameters: {service: s, action: explode}", "steps[0].parameters.action", "stop" },
		{ "type: contract, parameters: {service: s}", "steps[0].parameters", "version" },
		{ "type: traffic, parameters: {service: s}", "steps[0].parameters", "to" },
		{ "type: cache, parameters: {pattern: x}", "steps[0].parameters", "service" },
		{ "type: command, parameters: {argv: []}", "steps[0].parameters.argv", "" },
		{ "type: command, parameters: {argv: [x], undo: []}", "steps[0].parameters.undo", "empty" },
		{ "type: undo, parameters: {run: r}", "steps[0].parameters", "step" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct problems *problems = one_step(ctx, cases[i].step);
		bool found = false;

		/* A missing field is told at its object or at itself. */
		for (size_t k = 0; k < problems->count; k++)
			found |= text_starts_with(problems->list[k].path, cases[i].path) &&
				(strstr(problems->list[k].text, cases[i].words) || strstr(problems->list[k].path, cases[i].words));
		if (!found || problems->count != 1)
			fail_msg("%s: wanted one problem at %s that says '%s', found:\n%s", cases[i].step, cases[i].path, cases[i].words,
				problems_text(problems, problems));
		assert_int_equal(problems->list[0].line, 3);
	}
}

/* All at once, not one by one; also when there are no parameters at all. */
static void all_missing(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems = one_step(ctx, "type: notification");

	assert_int_equal(problems->count, 3);
	expect_problem(problems, "steps[0].parameters.recipients", "required");
	expect_problem(problems, "steps[0].parameters.channel", "required");
	expect_problem(problems, "steps[0].parameters.message", "required");
}

static void step_problems(void **state)
{
	/* clang-format off */
	static const struct {
		const char *step, *path, *words;
	} cases[] = {
		{ "type: deploy-ment", "steps[0].type", "did you mean 'deployment'" },
		{ "type: xyzzy", "steps[0].type", "unknown step type 'xyzzy'" },
		{ "type: health, timeout: 0", "steps[0].timeout", "" },
		{ "type: health, timeout: 25h", "steps[0].timeout", "" },
		{ "type: health, timeout: -1", "steps[0].timeout", "" },
		{ "type: health, timeout: soon", "steps[0].timeout", "" },
		{ "type: health, timout: 3", "steps[0].timout", "timeout" },
		{ "type: health, parameters: {component: [a]}", "steps[0].parameters.component", "components" },
		{ "type: health, parameters: 3", "steps[0].parameters", "" },
		{ "type: health, retryPolicy: {maxAttempts: 0}", "steps[0].retryPolicy.maxAttempts", "" },
		{ "type: health, retryPolicy: {maxAttempts: 101}", "steps[0].retryPolicy.maxAttempts", "" },
		{ "type: health, retryPolicy: {backoffMultiplier: 0.5}", "steps[0].retryPolicy.backoffMultiplier", "" },
		{ "type: health, needs: [b]", "steps[0].needs[0]", "needs 'b', which is no step" },
		{ "type: health, needs: [a]", "steps[0].needs", "a -> a" },
		{ "type: feature-flag, parameters: {flagKey: '${context.environment}', targetState: true}", "steps[0].parameters.flagKey", "must be written out" },
		{ "type: service, parameters: {service: 'x${context.environment}', action: stop}", "steps[0].parameters.service", "must be written out" },
		{ "type: approval, parameters: {message: '${context.environment'}", "steps[0].parameters", "" },
		{ "type: approval, parameters: {message: '${}'}", "steps[0].parameters", "" },
		{ "type: approval, parameters: {message: '${context.enviroment}'}", "steps[0].parameters.message", "did you mean 'context.environment'" },
		{ "type: approval, parameters: {message: '${secrets.key}'}", "steps[0].parameters.message", "unknown name" },
		{ "type: approval, parameters: {message: '${context.metadata}'}", "steps[0].parameters.message", "context.metadata" },
		{ "type: approval, parameters: {message: '${steps.b.outputs.version}'}", "steps[0].parameters.message", "no step 'b'" },
		{ "type: approval, parameters: {message: '${steps.a.outputs.version}'}", "steps[0].parameters.message", "no output 'version'" },
		{ "type: notification, parameters: {recipients: [x], channel: c, message: m, details: {deep: [1, {er: '${nope}'}]}}",
			"steps[0].parameters.details.deep[1].er", "unknown name" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct problems *problems = one_step(ctx, cases[i].step);

		if (!has_problem(problems, cases[i].path, cases[i].words) || problems->count != 1)
			fail_msg("%s: wanted one problem at %s that says '%s', found:\n%s", cases[i].step, cases[i].path, cases[i].words,
				problems_text(problems, problems));
	}
}

static void accepted(void **state)
{
	/* clang-format off */
	static const char *const cases[] = {
		"type: health, timeout: 0.5", "type: health, timeout: 24h", "type: health, timeout: 1m30s", "type: health, needs: []",
		"type: approval, parameters: {message: '${context.metadata.ticket.id} $${literal} ${context.triggeredBy}'}",
		"type: feature-flag, parameters: {flagKey: k, targetState: variant-b}", "type: feature-flag, parameters: {flagKey: k, targetState: '${context.metadata.s}'}",
		"type: traffic, parameters: {service: s, to: blue, weight: 20}", "type: contract, parameters: {service: s, version: '0xabc', gas: 1}",
		"type: deployment, parameters: {service: s, version: '1.0', environment: e, deploymentId: dep-1}", "type: health, parameters: {}",
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct problems *problems = one_step(ctx, cases[i]);

		if (problems->count)
			fail_msg("%s:\n%s", cases[i], problems_text(problems, problems));
	}
}

static void head_problems(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text, *path, *words;
	} cases[] = {
		{ "steps: [{id: a, type: health}]\n", "id", "" },
		{ "id: p\n", "steps", "" },
		{ "id: p\nsteps: []\n", "steps", "at least one" },
		{ "id: p\nsteps: {a: 1}\n", "steps", "list" },
		{ "id: p\nsteps: [3]\n", "steps[0]", "" },
		{ "id: p\nonFailure: explode\nsteps: [{id: a, type: health}]\n", "onFailure", "restore" },
		{ "id: p\nonfailure: stop\nsteps: [{id: a, type: health}]\n", "onfailure", "onFailure" },
		{ "id: p\ndependencies: [p]\nsteps: [{id: a, type: health}]\n", "dependencies[0]", "itself" },
		{ "id: p\ndependencies: ['a b']\nsteps: [{id: a, type: health}]\n", "dependencies[0]", "not the id" },
		{ "id: p\nestimatedDuration: -1\nsteps: [{id: a, type: health}]\n", "estimatedDuration", "" },
		{ "id: p\nestimatedDuration: [1]\nsteps: [{id: a, type: health}]\n", "estimatedDuration", "minutes" },
		{ "id: p\nestimatedDuration: soon\nsteps: [{id: a, type: health}]\n", "estimatedDuration", "" },
		{ "id: p\nsteps: [{id: a, type: health}, {id: a, type: health}]\n", "steps[1].id", "steps[0] has it already" },
		{ "id: p\nsteps: [{type: health}]\n", "steps[0].id", "" },
		{ "id: ../p\nsteps: [{id: a, type: health}]\n", "id", "" },
		{ "[1, 2]\n", "", "" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct problems *problems;
		bool found;

		assert_non_null(read_text(ctx, cases[i].text, &problems));
		found = has_problem(problems, cases[i].path, cases[i].words);
		/* A missing member may be told at the object that lacks it. */
		for (size_t k = 0; k < problems->count; k++)
			found |= strstr(problems->list[k].text, cases[i].path) != NULL;
		if (!found)
			fail_msg("%swanted a problem at %s that says '%s', found:\n%s", cases[i].text, cases[i].path, cases[i].words,
				problems_text(problems, problems));
	}
}

static int64_t estimate(const void *ctx, const char *value)
{
	struct problems *problems;
	struct plan *plan = read_text(ctx, mem_printf(ctx, "id: p\nestimatedDuration: %s\nsteps: [{id: a, type: health}]\n", value),
		&problems);

	expect_no_problem(problems);
	return plan->estimated_ms;
}

static void estimates(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	assert_int_equal(estimate(ctx, "15"), 900000);
	assert_int_equal(estimate(ctx, "'15'"), 900000);
	assert_int_equal(estimate(ctx, "0.5"), 30000);
	assert_int_equal(estimate(ctx, "15m"), 900000);
	assert_int_equal(estimate(ctx, "90s"), 90000);
	assert_int_equal(estimate(ctx, "0"), 0);
}

static void graph(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct plan *plan = read_text(ctx,
			    "id: p\nonFailure: continue\ndependencies: [before]\nestimatedDuration: 90s\n"
			    "steps:\n"
			    "  - {id: d, type: health, needs: [b, c, b], timeout: 250ms, retryPolicy: {maxAttempts: 2}}\n"
			    "  - {id: b, type: deployment, needs: a, parameters: {service: s, version: 1.0.0, environment: e}}\n"
			    "  - {id: c, type: approval, parameters: {message: '${steps.a.outputs.stdout}'}, needs: [b]}\n"
			    "  - {id: a, type: command, parameters: {argv: ['true']}}\n",
			    &problems),
		    *again;

	expect_no_problem(problems);
	assert_true(plan->graph);
	assert_int_equal(plan->steps[0].need_count, 2);
	assert_int_equal(plan->steps[1].needs[0], 3);
	assert_int_equal(plan->steps[3].need_count, 0);
	again = read_doc(ctx, doc_wrap(ctx, "again", json_keep(ctx, plan_json(plan))), &problems);
	expect_no_problem(problems);
	assert_true(again->graph);
	assert_string_equal(written(ctx, again), written(ctx, plan));
	assert_int_equal(again->estimated_ms, 90000);
	assert_int_equal(again->on_failure, ON_FAILURE_CONTINUE);
	assert_string_equal(again->dependencies[0], "before");
	assert_int_equal(again->steps[0].timeout_ms, 250);
	assert_int_equal(again->steps[0].max_attempts, 2);
}

/* A graph whose steps all start at once is still a graph when it is written and read again. */
static void graph_of_roots(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct plan *plan = read_text(ctx, "id: p\nsteps: [{id: a, type: health, needs: []}, {id: b, type: health}]\n", &problems);

	expect_no_problem(problems);
	assert_true(plan->graph);
	assert_int_equal(plan->steps[1].need_count, 0);
	plan = read_doc(ctx, doc_wrap(ctx, "again", json_keep(ctx, plan_json(plan))), &problems);
	assert_true(plan->graph);
	assert_int_equal(plan->steps[1].need_count, 0);
}

static void order_problems(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;

	(void)read_text(ctx,
		"id: p\nsteps:\n  - {id: a, type: health, needs: [c]}\n  - {id: b, type: health, needs: [a]}\n"
		"  - {id: c, type: health, needs: [b]}\n  - {id: d, type: health, needs: [a]}\n",
		&problems);
	expect_problem(problems, "steps[0].needs", "a -> c -> b -> a");
	assert_int_equal(problems->count, 1);
	assert_int_equal(problems->list[0].line, 3);

	(void)read_text(ctx, "id: p\nsteps:\n  - {id: first, type: health, needs: [secnd]}\n  - {id: second, type: health}\n", &problems);
	expect_problem(problems, "steps[0].needs[0]", "did you mean 'second'");

	/* In sequence: a later step's output. In a graph: a step that is not ordered before. */
	(void)read_text(ctx,
		"id: p\nsteps:\n  - {id: a, type: approval, parameters: {message: '${steps.b.outputs.stdout}'}}\n"
		"  - {id: b, type: command, parameters: {argv: [x]}}\n",
		&problems);
	expect_problem(problems, "steps[0].parameters.message", "does not come before");
	(void)read_text(ctx,
		"id: p\nsteps:\n  - {id: a, type: command, parameters: {argv: [x]}}\n"
		"  - {id: b, needs: [], type: approval, parameters: {message: '${steps.a.outputs.stdout}'}}\n",
		&problems);
	expect_problem(problems, "steps[1].parameters.message", "add it to needs");
	(void)read_text(ctx,
		"id: p\nsteps:\n  - {id: a, type: command, parameters: {argv: [x]}}\n"
		"  - {id: b, type: command, parameters: {argv: ['${steps.b.outputs.stdout}']}}\n",
		&problems);
	expect_problem(problems, "steps[1].parameters.argv[0]", "does not come before");
}

/* References in random graphs, against graph_reaches; more targets than one batch holds. */
static void references(void **state)
{
	uint64_t random = 7;

	for (int round = 0; round < 20; round++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		json_t *steps = json_array(), *root = json_keep(ctx, json_pack("{s:s, s:o}", "id", "p", "steps", steps));
		const size_t count = 150;
		struct graph *needs = graph_new(ctx, count);
		size_t *targets = mem_array(ctx, size_t, count), wrong = 0;
		struct problems *problems;

		for (size_t i = 0; i < count; i++) {
			json_t *list = json_array();

			for (unsigned k = random_next(&random) % 3; k > 0 && i > 0; k--) {
				size_t need = random_next(&random) % i;

				graph_need(needs, i, need);
				json_array_append_new(list, json_sprintf("s%zu", need));
			}
			targets[i] = random_next(&random) % count;
			json_array_append_new(steps,
				json_pack("{s:o, s:s, s:o, s:{s:[o]}}", "id", json_sprintf("s%zu", i), "type", "command", "needs", list,
					"parameters", "argv", json_sprintf("${steps.s%zu.outputs.stdout}", targets[i])));
		}
		(void)read_doc(ctx, doc_wrap(ctx, "random", root), &problems);
		for (size_t i = 0; i < count; i++) {
			char *path = mem_printf(ctx, "steps[%zu].parameters.argv[0]", i);
			bool reaches = graph_reaches(needs, i, targets[i]);

			wrong += !reaches;
			if (wrong <= PROBLEMS_MAX && has_problem(problems, path, "") && reaches)
				fail_msg("round %d: step %zu", round, i);
		}
		assert_int_equal(problems->count + problems->more, wrong);
	}
}

static void limits(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *steps = json_array(), *root = json_keep(ctx, json_pack("{s:s, s:o}", "id", "p", "steps", steps));
	struct problems *problems;
	struct plan *plan;

	/* The most that is allowed, with a template in each that names the step before. */
	for (int i = 0; i < PLAN_STEPS_MAX; i++)
		json_array_append_new(steps,
			json_pack("{s:o, s:s, s:{s:[s, o]}}", "id", json_sprintf("s%d", i), "type", "command", "parameters", "argv", "echo",
				i ? json_sprintf("${steps.s%d.outputs.stdout}", i - 1) : json_string("first")));
	plan = read_doc(ctx, doc_wrap(ctx, "long", root), &problems);
	expect_no_problem(problems);
	assert_int_equal(plan->step_count, PLAN_STEPS_MAX);
	json_array_append_new(steps, json_pack("{s:s, s:s}", "id", "more", "type", "health"));
	(void)read_doc(ctx, doc_wrap(ctx, "long", root), &problems);
	assert_int_equal(problems->count, 1);
	assert_int_equal(problems->list[0].code, ERR_TOO_LARGE);
}

/* Binding */

static const struct driver driver_code = { .name = "git-release", .kind = DRIVER_CODE },
			   driver_data = { .name = "sqlite", .kind = DRIVER_DATA },
			   driver_flags = { .name = "flags", .kind = DRIVER_FLAGS };
static const struct driver *const drivers[] = { &driver_code, &driver_data, &driver_flags, NULL };

static int only_urls(const char *recipient, struct err *err)
{
	return text_starts_with(recipient, "https://") ? 0 : err_set(err, ERR_INVALID, "'%s' is no URL", recipient);
}

static const struct channel channel_webhook = { .name = "webhook", .check_recipient = only_urls }, channel_in_app = { .name = "in-app" };
static const struct channel *const channels[] = { &channel_webhook, &channel_in_app, NULL };
static const struct catalogue catalogue = { .drivers = drivers, .channels = channels };

static const char *no_needs[] = { NULL }, *needs_db[] = { "db", NULL };
static struct component components[] = {
	{ .name = "api", .driver = "git-release", .needs = needs_db },
	{ .name = "db", .driver = "sqlite", .needs = no_needs },
	{ .name = "other", .driver = "of-somebody", .needs = no_needs },
};
static struct probe_config probes[] = { { .name = "api-http", .type = "http", .component = "api" } };
static const struct environment environment = { .name = "production",
	.components = components,
	.component_count = 3,
	.probes = probes,
	.probe_count = 1 };

static void binding(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct plan *plan = read_text(ctx,
		"id: p\n"
		"steps:\n"
		"  - {id: a, type: deployment, parameters: {service: apj, version: 1.0.0, environment: production}}\n"
		"  - {id: b, type: deployment, parameters: {service: db, version: 1.0.0, environment: '${context.environment}'}}\n"
		"  - {id: c, type: deployment, parameters: {service: api, version: 1.0.0, environment: staging}}\n"
		"  - {id: d, type: deployment, parameters: {service: other, version: 1.0.0, environment: production}}\n"
		"  - {id: e, type: command, parameters: {argv: [x]}}\n"
		"  - {id: f, type: notification, parameters: {recipients: ['https://x', ops, '${context.triggeredBy}'], channel: webhook, message: m}}\n"
		"  - {id: g, type: notification, parameters: {recipients: [x], channel: webhok, message: m}}\n"
		"  - {id: h, type: health, parameters: {components: [api, dB], probes: [api-htp]}}\n"
		"  - {id: i, type: feature-flag, parameters: {flagKey: k, targetState: false}}\n"
		"  - {id: j, type: undo, parameters: {run: r, step: s, subject: component gone}}\n"
		"  - {id: k, type: notification, parameters: {recipients: [anybody], channel: in-app, message: m}}\n",
		&problems);

	expect_no_problem(problems);
	plan_bind(plan, &environment, &catalogue, problems);
	expect_problem(problems, "steps[0].parameters.service", "did you mean 'api'");
	expect_problem(problems, "steps[1].parameters.service", "kind data) cannot do a deployment");
	expect_problem(problems, "steps[2].parameters.environment", "this step is for environment 'staging'");
	expect_problem(problems, "steps[4]", "needs driver 'command'");
	expect_problem(problems, "steps[5].parameters.recipients[1]", "'ops' is no URL");
	expect_problem(problems, "steps[6].parameters.channel", "did you mean 'webhook'");
	expect_problem(problems, "steps[7].parameters.components[1]", "no component 'dB'");
	expect_problem(problems, "steps[7].parameters.probes[0]", "did you mean 'api-http'");
	expect_problem(problems, "steps[9].parameters.subject", "no component 'gone'");
	assert_int_equal(problems->count, 9);
}

static void runbook(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct plan *plan = read_text(ctx,
		"id: p\nname: Take *it* back\nonFailure: stop\n"
		"steps:\n"
		"  - {id: late, name: Late, type: health, needs: [early], timeout: 90}\n"
		"  - {id: early, name: Early, type: deployment, parameters: {service: api, version: '1.0`0', environment: production}, retryPolicy: {maxAttempts: 4}}\n"
		"  - {id: odd, type: command, parameters: {argv: [purge]}}\n",
		&problems);
	char *book;

	expect_no_problem(problems);
	book = plan_runbook(ctx, plan, &environment);
	assert_non_null(strstr(book, "# Take \\*it\\* back\n"));
	assert_non_null(strstr(book, "the run stops and leaves things as they stand"));
	assert_true(strstr(book, "Early") < strstr(book, "Late"));
	assert_non_null(strstr(book, "Takes component `api` to version `` 1.0`0 `` in environment `production`."));
	assert_non_null(strstr(book, "- Limit: 5m per attempt, 4 attempts\n"));
	assert_non_null(strstr(book, "- Limit: 1m30s per attempt\n"));
	assert_non_null(strstr(book, "- After: `early`\n"));
	assert_non_null(strstr(book, "component api is put back as it was captured"));
	assert_non_null(strstr(book, "nothing undoes it"));
	assert_non_null(strstr(book, "probe `api-http`; `db`, which it needs"));
}

/* Every type has what the rest of the program relies on. */
static void table_of_types(void **state)
{
	for (const struct step_type *const *at = step_types; *at; at++) {
		const struct step_type *type = *at;
		bool acts = type->doer == STEP_BY_COMPONENT || type->doer == STEP_BY_DRIVER || type->doer == STEP_UNDOES;

		assert_ptr_equal(step_type(type->name), type);
		assert_true(text_is_name(type->name));
		assert_non_null(type->fields);
		assert_non_null(type->outputs);
		assert_int_equal(type->target != NULL, acts);
		assert_int_equal(type->component_param != NULL, type->doer == STEP_BY_COMPONENT);
		assert_int_equal(type->driver != NULL, type->doer == STEP_BY_DRIVER);
	}
	assert_null(step_type("deploy"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(example_in_detail),
		cmocka_unit_test(subjects),
		cmocka_unit_test(missing_parameters),
		cmocka_unit_test(all_missing),
		cmocka_unit_test(step_problems),
		cmocka_unit_test(accepted),
		cmocka_unit_test(head_problems),
		cmocka_unit_test(estimates),
		cmocka_unit_test(graph),
		cmocka_unit_test(graph_of_roots),
		cmocka_unit_test(order_problems),
		cmocka_unit_test(references),
		cmocka_unit_test(limits),
		cmocka_unit_test(binding),
		cmocka_unit_test(runbook),
		cmocka_unit_test(table_of_types),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
