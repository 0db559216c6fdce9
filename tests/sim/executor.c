/* The simulated workers and what they do to the targets: honest ones, ones that hang, fail, lie, die in the middle or are never heard of
 * again. A worker acts at one moment of its life (effect_ms), and is heard of
 * at another (end_ms). */
#include "sim.h"

#include <string.h>

static struct actor *actor_of(struct executor *executor)
{
	return ((struct sim_executor *)executor)->actor;
}

static bool verb_is(const struct sim_work *work, const char *verb)
{
	return !strcmp(work->verb, verb);
}

static bool changes(const struct sim_work *work)
{
	return verb_is(work, "apply") || verb_is(work, "undo");
}

/* ---- what a worker will do ---- */

enum fate { HONEST, HANGS, HANGS_AFTER, FAILS, FAILS_FOR_GOOD, LIES, DIES_BEFORE, DIES_AFTER };

static enum fate draw_fate(struct world *world, const struct sim_work *work)
{
	struct rng *rng = &world->rng;

	if (work->target && work->target->lies && verb_is(work, "apply") && rng_chance(rng, 500)) {
		work->target->lies = false;
		return LIES;
	}
	if (!rng_chance(rng, changes(work) || verb_is(work, "capture") ? world->mood.driver : world->mood.observe))
		return HONEST;
	switch (rng_range(rng, 0, 6)) {
	case 0:
		return HANGS;
	case 1:
		return HANGS_AFTER;
	case 2:
		return rng_chance(rng, 300) ? FAILS_FOR_GOOD : FAILS;
	case 3:
	case 4:
		return DIES_BEFORE;
	default:
		return DIES_AFTER;
	}
}

static void plan_work(struct world *world, struct sim_work *work, int64_t deadline_ms)
{
	int64_t takes_ms = rng_chance(&world->rng, 100) ? rng_range(&world->rng, 100, 8000) : rng_range(&world->rng, 1, 40);
	enum fate fate = draw_fate(world, work);

	work->end_ms = MIN(world->now_ms + takes_ms, deadline_ms);
	work->effect_ms = world->now_ms + rng_range(&world->rng, 0, MAX(work->end_ms - world->now_ms - 1, 0)) + 1;
	work->ok = work->answered = fate == HONEST || fate == LIES;
	work->retryable = true;
	work->code = ERR_DRIVER;
	if (changes(work) && !work->goal) { /* cannot be undone */
		work->ok = work->retryable = false;
		work->answered = true;
		work->code = ERR_UNSUPPORTED;
		work->effect_ms = SIM_NEVER;
		return;
	}
	if (verb_is(work, "observe") && !work->target->observable && rng_chance(&world->rng, 500) && fate == HONEST) {
		work->ok = false;
		work->code = ERR_UNSUPPORTED;
	}
	if (fate == HANGS || fate == HANGS_AFTER) {
		work->end_ms = deadline_ms;
		work->code = ERR_TIMEOUT;
	}
	if (fate == FAILS || fate == FAILS_FOR_GOOD) {
		work->answered = true;
		work->retryable = fate == FAILS;
	}
	if (fate == LIES || fate == HANGS || fate == FAILS || fate == FAILS_FOR_GOOD || fate == DIES_BEFORE)
		work->effect_ms = SIM_NEVER;
	work->twice = rng_chance(&world->rng, 5);
	if (world->trace && fate != HONEST)
		world_tell(world, "  its fate: %d", (int)fate);
}

/* What the request leads to, read as a driver would read it. */
static void read_request(struct world *world, struct sim_work *work, json_t *request)
{
	json_t *target = json_object_get(request, "target"), *step = json_object_get(request, "step");
	const char *dir = json_str(request, "snapshotDir", NULL), *version;

	work->step = mem_strdup(world->ctx, json_str(step, "id", ""));
	work->snapshot_dir = mem_strdup(world->ctx, dir);
	work->key = mem_strdup(world->ctx, json_str(request, "idempotencyKey", ""));
	work->has_target = target != NULL;
	if (verb_is(work, "undo") && work->target) {
		work->goal = work->target->undoable ? json_str(world->snapshots, dir, NULL) : NULL;
		if (work->target->undoable && !work->goal)
			world_violated(world, "snapshot before apply", "undo of %s finds nothing captured in %s", work->target->subject,
				dir);
	} else if (verb_is(work, "observe") && !target) {
		work->goal = json_str(world->snapshots, dir, NULL);
	} else if (target) {
		version = json_str(target, "version", json_str(target, "targetState", work->step));
		work->goal = mem_strdup(world->ctx, version);
	}
}

static int sim_start(struct executor *executor, const struct work *work, struct err *err)
{
	struct actor *actor = actor_of(executor);
	struct world *world = actor->world;
	struct sim_work *mine;
	const char *name;

	if (actor->crashed || world_dies(actor))
		return err_set(err, ERR_CANCELLED, "this process is dead");
	if (rng_chance(&world->rng, world->mood.driver / 20))
		return err_set(err, ERR_IO, "no process could be started");
	assert_always(actor->work_count < SIM_WORKS_MAX);
	mine = &actor->works[actor->work_count];
	*mine = (struct sim_work){ .id = work->id, .kind = work->kind, .run = actor->run };
	snprintf(mine->verb, sizeof(mine->verb), "%s", json_str(work->request, "verb", ""));
	name = json_str(work->request, "name", "");
	if (work->kind == WORKER_DRIVER) {
		_cleanup_talloc_ char *subject = strchr(name, ' ') ? mem_strdup(NULL, name) : mem_printf(NULL, "component %s", name);

		mine->target = world_target(world, subject);
		assert_always(mine->target);
		read_request(world, mine, work->request);
	}
	world_tell(world, "actor %d starts %s of %s (%s) -> %s", actor->number, mine->verb, name, mine->key ? mine->key : "",
		mine->goal ? mine->goal : "");
	plan_work(world, mine, work->deadline_ms);
	actor->work_count++;
	if (changes(mine))
		check_begin(world, actor, mine);
	return 0;
}

/* ---- effects ---- */

static void act(struct world *world, struct actor *actor, struct sim_work *work)
{
	work->effect_ms = SIM_NEVER;
	if (verb_is(work, "capture"))
		json_object_set_new(world->snapshots, work->snapshot_dir, json_string(work->target->version));
	if (!changes(work))
		return;
	world_tell(world, "%s: %s -> %s (%s by actor %d)", work->target->subject, work->target->version, work->goal, work->key,
		actor->number);
	check_effect(world, actor, work);
	work->target->version = work->goal;
}

int64_t sim_next_effect(const struct world *world)
{
	int64_t next_ms = SIM_NEVER;

	for (size_t i = 0; i < world->actor_count; i++)
		for (size_t n = 0; n < world->actors[i]->work_count; n++)
			next_ms = MIN(next_ms, world->actors[i]->works[n].effect_ms);
	return next_ms;
}

bool sim_effect(struct world *world, int64_t until_ms)
{
	int64_t next_ms = sim_next_effect(world);

	if (next_ms == SIM_NEVER || next_ms > until_ms)
		return false;
	world->now_ms = MAX(world->now_ms, next_ms);
	for (size_t i = 0; i < world->actor_count; i++)
		for (size_t n = 0; n < world->actors[i]->work_count; n++)
			if (world->actors[i]->works[n].effect_ms == next_ms) {
				act(world, world->actors[i], &world->actors[i]->works[n]);
				return true;
			}
	return false;
}

/* A process dies with its workers, at any point of theirs: with the effect or without. */
void sim_kill_works(struct actor *actor)
{
	struct world *world = actor->world;

	for (size_t i = 0; i < actor->work_count; i++) {
		struct sim_work *work = &actor->works[i];
		bool holds = world->claim.token == actor->token;

		if (work->effect_ms != SIM_NEVER && holds && rng_chance(&world->rng, 400))
			act(world, actor, work);
		if (changes(work) && !work->target->observable)
			json_object_set_new(world->doubtful, work->key, json_true());
	}
	actor->work_count = 0;
}

/* Somebody else takes over: what the calls still in flight do, nobody will ever say. In doubt once: an answer settles it for good. */
void sim_doubt_others(struct world *world, const struct actor *successor)
{
	for (size_t i = 0; i < world->actor_count; i++) {
		struct actor *actor = world->actors[i];

		for (size_t n = 0; actor != successor && n < actor->work_count; n++) {
			struct sim_work *work = &actor->works[n];

			if (changes(work) && !work->told && !work->doubted && !work->target->observable)
				json_object_set_new(world->doubtful, work->key, json_true());
			work->doubted = true;
		}
	}
}

/* ---- results ---- */

static json_t *observation(struct world *world, const void *ctx, const struct sim_work *work)
{
	const struct target *target = work->target;
	json_t *seen = json_make(ctx, "{}");

	if (!target->observable)
		return seen;
	json_put_str(seen, "version", target->version);
	json_put_str(seen, "state", "running");
	/* Only versions that are called so in the target are compared by the runner itself. */
	if (work->goal && (target->tells || strncmp(target->subject, "component ", 10) != 0 || !work->has_target))
		json_put_flag(seen, "atTarget", !strcmp(target->version, work->goal));
	return seen;
}

static json_t *answer(struct world *world, const void *ctx, const struct sim_work *work)
{
	bool well = work->run->healthy_ms <= world->now_ms;

	if (work->kind == WORKER_PROBE)
		return json_make(ctx, "{s:s, s:s}", "status", well ? (world->now_ms % 2 ? "pass" : "warn") : "fail", "message", "as it is");
	if (verb_is(work, "observe"))
		return observation(world, ctx, work);
	if (verb_is(work, "capture"))
		return work->target->captures_silently ? json_make(ctx, "{}")
						       : json_make(ctx, "{s:s, s:s}", "version", work->target->version, "state", "running");
	return json_make(ctx, "{s:{s:s}}", "outputs", "version", work->goal);
}

static void fill_result(struct actor *actor, const void *ctx, const struct sim_work *work, struct work_result *ret)
{
	struct world *world = actor->world;

	*ret = (struct work_result){ .id = work->id,
		.err = ERR_INIT,
		.retryable = work->retryable,
		.answered = work->answered,
		.duration_ms = 1 };
	if (work->ok)
		ret->result = answer(world, ctx, work);
	else
		err_set(&ret->err, work->code, "as fate would have it");
	ret->logs = json_make(ctx, "[]");
	world_tell(world, "result of %s %s: %s", work->verb, work->target ? work->target->subject : "",
		work->ok ? "ok" : err_info(work->code)->name);
	/* Who has lost its claim learns nothing new: its successor was in doubt from the beginning, and may have been told since. */
	if (changes(work) && !work->answered && !work->target->observable && world->claim.token == actor->token)
		json_object_set_new(world->doubtful, work->key, json_true());
}

static bool take_ended(struct actor *actor, const void *ctx, struct work_result *ret)
{
	struct world *world = actor->world;

	for (size_t i = 0; i < actor->work_count; i++) {
		struct sim_work *work = &actor->works[i];

		if (work->end_ms > world->now_ms)
			continue;
		fill_result(actor, ctx, work, ret);
		if (work->twice) {
			work->twice = false;
			work->told = true;
			work->effect_ms = SIM_NEVER;
		} else {
			*work = actor->works[--actor->work_count];
		}
		return true;
	}
	return false;
}

static int64_t next_end(const struct actor *actor, int64_t until_ms)
{
	for (size_t i = 0; i < actor->work_count; i++)
		until_ms = MIN(until_ms, actor->works[i].end_ms);
	return until_ms;
}

static int sim_wait(struct executor *executor, const void *ctx, int64_t until_ms, struct work_result *ret, struct err *err)
{
	struct actor *actor = actor_of(executor);
	struct world *world = actor->world;

	world->operations++;
	if (world->stalls_left > 0 && !actor->crashed && rng_chance(&world->rng, world->mood.stall)) {
		world->stalls_left--;
		world->tally.stalls++;
		world_freeze(actor, rng_range(&world->rng, 1000, 60000));
	}
	for (;;) {
		if (actor->crashed || world_dies(actor))
			return err_set(err, ERR_CANCELLED, "this process is dead");
		if (take_ended(actor, ctx, ret))
			return 1;
		if (world->now_ms >= until_ms)
			return 0;
		world_sleep(actor, next_end(actor, until_ms));
	}
}

static void sim_stop(struct executor *executor, uint64_t id)
{
	struct actor *actor = actor_of(executor);
	struct world *world = actor->world;
	bool late = world->claim.token != actor->token;

	for (size_t i = 0; i < actor->work_count; i++) {
		struct sim_work *work = &actor->works[i];

		if (actor->crashed || work->id != id || work->end_ms <= world->now_ms)
			continue;
		/* A machine that was suspended ends its workers before they run again: see README.md. */
		work->end_ms = MIN(work->end_ms, world->now_ms + (late ? 0 : rng_range(&world->rng, 0, 300)));
		if (work->effect_ms > work->end_ms || late)
			work->effect_ms = SIM_NEVER;
		work->ok = work->answered = false;
		work->stopped = true;
		work->code = ERR_CANCELLED;
	}
}

static int64_t sim_wall(struct executor *executor)
{
	return actor_of(executor)->world->now_ms + actor_of(executor)->world->wall_offset_ms;
}

static int64_t sim_mono(struct executor *executor)
{
	return actor_of(executor)->world->now_ms;
}

const struct executor_ops sim_executor_ops = { .start = sim_start,
	.wait = sim_wait,
	.stop = sim_stop,
	.wall_ms = sim_wall,
	.mono_ms = sim_mono };
