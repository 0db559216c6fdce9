/* Random plans and the targets that they are about. */
#include "sim.h"

#include <string.h>

#include "core/steptype.h"

struct target *world_target(struct world *world, const char *subject)
{
	for (size_t i = 0; i < world->target_count; i++)
		if (!strcmp(world->targets[i].subject, subject))
			return &world->targets[i];
	return NULL;
}

const char *step_goal(const struct step *step)
{
	const char *goal = json_str(step->parameters, "version", NULL);

	if (!goal)
		goal = json_str(step->parameters, "targetState", NULL);
	return goal ? goal : step->id; /* a command: done */
}

static void add_target(struct world *world, struct sim_run *run, const char *subject, const char *start, bool command)
{
	struct target *target = world_target(world, subject);

	if (target)
		return;
	assert_always(world->target_count < SIM_TARGETS_MAX);
	target = &world->targets[world->target_count++];
	*target = (struct target){ .subject = mem_strdup(world->ctx, subject), .start = start, .version = start };
	target->observable = !rng_chance(&world->rng, command ? 500 : 60);
	target->undoable = !rng_chance(&world->rng, command ? 250 : 20);
	target->tells = command || rng_chance(&world->rng, 500);
	target->captures_silently = rng_chance(&world->rng, 200);
	target->lies = target->observable && world->mood.driver && rng_chance(&world->rng, 150);
	run->targets[run->target_count++] = target;
}

static json_t *random_step(struct world *world, struct sim_run *run, const char *prefix, int index)
{
	struct rng *rng = &world->rng;
	int64_t kind = rng_range(rng, 0, 99), which = rng_range(rng, 0, 2);
	const char *id = mem_printf(world->ctx, "%ss%d", prefix, index), *name, *subject, *version;
	json_t *step = json_object(), *parameters = json_object();

	json_put_str(step, "id", id);
	name = mem_printf(world->ctx, "%sc%d", prefix, (int)which);
	version = mem_printf(world->ctx, "v%d", (int)rng_range(rng, 1, 4));
	if (kind < 55) {
		json_put_str(step, "type", "deployment");
		json_put_str(parameters, "service", name);
		json_put_str(parameters, "version", version);
		json_put_str(parameters, "environment", "production");
		subject = mem_printf(world->ctx, "component %s", name);
		add_target(world, run, subject, "v0", false);
	} else if (kind < 72) {
		json_put_str(step, "type", "feature-flag");
		json_put_str(parameters, "flagKey", name);
		json_put_str(parameters, "targetState", "false");
		subject = mem_printf(world->ctx, "flag %s", name);
		add_target(world, run, subject, "true", false);
	} else if (kind < 84) {
		json_put_str(step, "type", "command");
		json_object_set_new(parameters, "argv", json_pack("[s]", "true"));
		subject = mem_printf(world->ctx, "step %s", id);
		add_target(world, run, subject, "undone", true);
	} else {
		json_put_str(step, "type", kind < 92 ? "health" : (kind < 96 ? "notification" : "approval"));
		if (kind >= 92 && kind < 96) {
			json_object_set_new(parameters, "recipients", json_pack("[s]", "ops"));
			json_put_str(parameters, "channel", "in-app");
			json_put_str(parameters, "message", "step ${context.environment}");
		}
	}
	json_object_set_new(step, "parameters", parameters);
	json_put_int(step, "timeout", rng_range(rng, 5, 40));
	if (rng_chance(rng, 500))
		json_object_set_new(step, "retryPolicy",
			json_pack("{s:I, s:f}", "maxAttempts", (json_int_t)rng_range(rng, 2, 4), "backoffMultiplier", 2.0));
	return step;
}

static json_t *random_plan(struct world *world, struct sim_run *run, const char *prefix)
{
	static const char *const policies[] = { "restore", "restore", "restore", "stop", "continue" };
	int count = (int)rng_range(&world->rng, 1, 8);
	bool graph = rng_chance(&world->rng, 500);
	json_t *steps = json_array();

	for (int i = 0; i < count; i++) {
		json_t *step = random_step(world, run, prefix, i), *needs = json_array();

		for (int n = 0; graph && n < i; n++)
			if (rng_chance(&world->rng, 300))
				json_array_append_new(needs, json_sprintf("%ss%d", prefix, n));
		if (graph && (i > 0 || count == 1))
			json_object_set(step, "needs", needs);
		json_decref(needs);
		json_array_append_new(steps, step);
	}
	return json_keep(world->ctx,
		json_pack("{s:s, s:s, s:s, s:o}", "id", "sim", "name", "Simulated", "onFailure",
			policies[rng_range(&world->rng, 0, (int64_t)ARRAY_SIZE(policies) - 1)], "steps", steps));
}

static json_t *expected_of(struct world *world, const struct sim_run *run)
{
	json_t *expected = json_object();

	for (size_t i = 0; i < run->target_count; i++) {
		const struct target *target = run->targets[i];

		if (strncmp(target->subject, "component ", 10) != 0 || (!target->observable && target->captures_silently))
			continue;
		json_object_set_new(expected, target->subject + 10, json_pack("{s:s}", "version", run->mismatch ? "v9" : target->version));
	}
	return expected;
}

static void make_environment(struct world *world)
{
	struct environment *environment = &world->environment;

	environment->name = "production";
	environment->component_count = 6;
	environment->components = mem_array(world->ctx, struct component, 6);
	for (size_t i = 0; i < 6; i++)
		environment->components[i] = (struct component){ .name = mem_printf(world->ctx, "%sc%d", i < 3 ? "" : "b", (int)(i % 3)),
			.driver = "sim",
			.config = json_make(world->ctx, "{s:s}", "driver", "sim") };
	environment->probe_count = (size_t)rng_range(&world->rng, 0, 3);
	environment->probes = mem_array(world->ctx, struct probe_config, 3);
	for (size_t i = 0; i < 3; i++)
		environment->probes[i] = (struct probe_config){ .name = mem_printf(world->ctx, "p%d", (int)i),
			.type = "http",
			.timeout_ms = 2000,
			.component = i == 1 ? "c0" : NULL,
			.config = json_make(world->ctx, "{}") };
}

void plan_world(struct world *world)
{
	struct rng *rng = &world->rng;

	make_environment(world);
	world->run_count = rng_chance(rng, 150) ? 2 : 1;
	for (size_t i = 0; i < world->run_count; i++) {
		struct sim_run *run = &world->runs[i];

		run->id = i ? "run-b" : "run-a";
		run->plan = random_plan(world, run, i ? "b" : "");
		run->mismatch = rng_chance(rng, 30);
		run->healthy_ms = rng_chance(rng, 120) ? SIM_NEVER : rng_range(rng, 0, 20000);
		run->start_ms = rng_range(rng, 0, i ? 20000 : 10);
		run->contend_ms = rng_chance(rng, 300) ? rng_range(rng, 0, 40000) : SIM_NEVER;
		run->cancel_ms = rng_chance(rng, 200) ? rng_range(rng, 0, 30000) : SIM_NEVER;
		run->answer_ms = SIM_NEVER;
		sim_append(world, run, ENTRY_RUN_REQUESTED,
			json_pack("{s:O, s:o, s:s, s:{s:s, s:s, s:s, s:{}}}", "plan", run->plan, "expected", expected_of(world, run),
				"reason", "test", "context", "environment", "production", "trigger", "manual", "triggeredBy", "ana",
				"metadata"));
	}
}
