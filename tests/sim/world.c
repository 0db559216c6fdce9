/* Time and who runs in it. One baton: whoever holds it decides what happens next (an effect of a worker, an event, another incarnation's
 * turn), in order of virtual time. */
#include "sim.h"

#include <stdarg.h>
#include <string.h>

#include "runner/runner.h"

#define OPERATIONS_MAX 60000
#define TIME_MAX_MS    (12 * 3600 * 1000)

/* splitmix64: https://prng.di.unimi.it/splitmix64.c describes it; written anew. */
uint64_t rng_next(struct rng *rng)
{
	uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

int64_t rng_range(struct rng *rng, int64_t low, int64_t high)
{
	return low + (int64_t)(rng_next(rng) % (uint64_t)(high - low + 1));
}

bool rng_chance(struct rng *rng, int per_mille)
{
	return rng_range(rng, 0, 999) < per_mille;
}

void world_tell(struct world *world, const char *format, ...)
{
	va_list arguments;

	if (!world->trace)
		return;
	va_start(arguments, format);
	_cleanup_talloc_ char *text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	printf("%9lld.%03lld  %s\n", (long long)(world->now_ms / 1000), (long long)(world->now_ms % 1000), text);
}

void world_violated(struct world *world, const char *invariant, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	_cleanup_talloc_ char *text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	if (!world->failed || world->trace)
		printf("seed %llu: VIOLATED: %s: %s\n", (unsigned long long)world->seed, invariant, text);
	world->failed = true;
}

bool world_dies(struct actor *actor)
{
	struct world *world = actor->world;

	if (actor->crashed)
		return true;
	if (world->crashes_left <= 0 || !rng_chance(&world->rng, world->mood.crash))
		return false;
	world->crashes_left--;
	world_crash(actor);
	return true;
}

/* Everybody dies with the machine that the store is on. */
static void lose_power(struct world *world)
{
	world->tally.losses++;
	sim_lose_unsettled(world);
	for (size_t i = 0; i < world->actor_count; i++)
		if (world->actors[i]->alive)
			world_crash(world->actors[i]);
}

void world_crash(struct actor *actor)
{
	if (actor->crashed)
		return;
	world_tell(actor->world, "actor %d DIES", actor->number);
	actor->world->tally.crashes++;
	actor->crashed = true;
	sim_kill_works(actor);
	if (actor->world->settled < actor->world->entry_count && rng_chance(&actor->world->power, 400))
		lose_power(actor->world);
}

/* ---- incarnations ---- */

static void dispatch(struct world *world, struct actor *self);

static bool is_dead(void *user)
{
	return ((struct actor *)user)->crashed;
}

static int seal(void *user, const struct run *run, json_t *details, struct err *err)
{
	struct actor *actor = user;

	if (rng_chance(&actor->world->rng, actor->world->mood.driver / 40))
		return err_set(err, ERR_NO_SPACE, "the disk is full");
	json_put_int(details, "files", 1);
	return 0;
}

/* What unship does when a runner has returned: nothing when the run has ended, a person when it waits, another attempt otherwise. */
static void follow_up(struct actor *actor, int r, const struct err *err)
{
	struct world *world = actor->world;
	struct sim_run *sim = actor->run;
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct run *run;

	world_tell(world, "actor %d returns %d %s", actor->number, r, r < 0 ? err->text : "");
	if (r < 0 && !actor->crashed && r != -ERR_CONFLICT && r != -ERR_STORE)
		world_violated(world, "a runner fails only when its claim or the store does", "%s", err->text);
	run = sim_fold(world, ctx, sim);
	if (!run || world->failed)
		return;
	if (run_status_ended(run->status)) {
		sim->over = true;
		sim->start_ms = sim->contend_ms = sim->answer_ms = SIM_NEVER;
	} else if (run->status == RUN_WAITING) {
		if (sim->answer_ms == SIM_NEVER)
			sim->answer_ms = world->now_ms + rng_range(&world->rng, 0, 60000);
	} else {
		for (size_t i = 0; i < world->actor_count; i++)
			if (world->actors[i] != actor && world->actors[i]->alive && !world->actors[i]->crashed &&
				world->actors[i]->run == sim)
				return;
		sim->start_ms = MIN(sim->start_ms, world->now_ms + rng_range(&world->rng, 0, 10000));
	}
}

static void *live(void *user)
{
	struct actor *actor = user;
	struct world *world = actor->world;
	struct runner runner = {
		.journal = &actor->journal.base,
		.executor = &actor->executor.base,
		.environment = &world->environment,
		.places = { .project_dir = "/p", .state_dir = "/p/s", .store = "sim", .open_root = "/s" },
		.actor = "sim",
		.seal = seal,
		.interrupted = is_dead,
		.user = actor,
	};
	struct err err = ERR_INIT;
	void *ctx = mem_context(NULL);
	struct run *run = NULL;
	int r;

	sem_wait(&actor->turn);
	r = runner_run(&runner, ctx, actor->run->id, &run, &err);
	if (r == 0)
		check_live_is_replay(world, actor->run, run);
	for (size_t i = 0; i < actor->work_count && !actor->crashed; i++)
		if (actor->works[i].end_ms > world->now_ms && !actor->works[i].stopped && !actor->works[i].told)
			world_violated(world, "a runner leaves no worker behind", "%s of %s", actor->works[i].verb, actor->works[i].step);
	talloc_free(ctx);
	actor->alive = false;
	actor->work_count = 0;
	follow_up(actor, r, &err);
	dispatch(world, NULL);
	return NULL;
}

static void start_actor(struct world *world, struct sim_run *run)
{
	struct actor *actor;
	pthread_attr_t attributes;

	if (world->actor_count >= SIM_ACTORS_MAX) {
		world_violated(world, "every run ends or waits for a person", "%d incarnations were not enough", SIM_ACTORS_MAX);
		return;
	}
	actor = mem_zero(world->ctx, struct actor);
	actor->world = world;
	actor->run = run;
	actor->number = (int)world->actor_count;
	actor->remote = rng_chance(&world->rng, 400);
	actor->journal = (struct sim_journal){ .base = { .ops = &sim_journal_ops }, .actor = actor };
	actor->executor = (struct sim_executor){ .base = { .ops = &sim_executor_ops }, .actor = actor };
	actor->alive = true;
	actor->wake_ms = world->now_ms;
	world->actors[world->actor_count++] = actor;
	world_tell(world, "actor %d takes up %s", actor->number, run->id);
	sem_init(&actor->turn, 0, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 512 * 1024);
	assert_always(pthread_create(&actor->thread, &attributes, live, actor) == 0);
	pthread_attr_destroy(&attributes);
}

/* ---- people and other events ---- */

static bool is_there(const struct run_step *step, const struct target *target)
{
	const struct run_step *goal = step->undo_attempts ? step->previous : step;

	return !strcmp(target->version, goal ? step_goal(goal->step) : target->start);
}

/* A person looks and answers truthfully. */
static void answer(struct world *world, struct sim_run *sim)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct run *run = sim_fold(world, ctx, sim);
	struct rng *rng = &world->rng;

	sim->answer_ms = SIM_NEVER;
	if (!run || run->status != RUN_WAITING)
		return;
	for (size_t i = 0; i < run->plan->step_count; i++) {
		struct run_step *step = &run->steps[i];
		const char *word = "approve";

		if (step->wait_for == WAIT_NOTHING)
			continue;
		if (step->wait_for == WAIT_UNKNOWN) {
			word = is_there(step, world_target(world, step->subject)) ? "done" : (rng_chance(rng, 500) ? "retry" : "restore");
			if (step->undo_attempts && strcmp(word, "done") != 0 && rng_chance(rng, 200))
				word = "reject";
		} else if (rng_chance(rng, 200)) {
			word = "reject";
		}
		world->tally.asked++;
		sim->asked++;
		sim_append(world, sim, ENTRY_RUN_ANSWERED, json_pack("{s:s, s:s}", "step", step->step->id, "answer", word));
	}
	sim->start_ms = world->now_ms + rng_range(rng, 0, 2000);
}

static void cancel(struct world *world, struct sim_run *sim)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct run *run = sim_fold(world, ctx, sim);

	sim->cancel_ms = SIM_NEVER;
	if (!run || run_status_ended(run->status))
		return;
	world->tally.cancelled++;
	sim_append(world, sim, ENTRY_RUN_CANCEL, json_pack("{s:s}", "reason", "changed my mind"));
	sim->answer_ms = SIM_NEVER;
	sim->start_ms = MIN(sim->start_ms, world->now_ms + rng_range(&world->rng, 0, 2000));
}

static int64_t next_event(const struct world *world)
{
	int64_t next_ms = world->jump_ms;

	for (size_t i = 0; i < world->run_count; i++) {
		const struct sim_run *run = &world->runs[i];

		next_ms = MIN(next_ms, MIN(MIN(run->start_ms, run->contend_ms), MIN(run->cancel_ms, run->answer_ms)));
	}
	return next_ms;
}

static void happen(struct world *world)
{
	for (size_t i = 0; i < world->run_count; i++) {
		struct sim_run *run = &world->runs[i];

		if (run->cancel_ms <= world->now_ms) {
			cancel(world, run);
			return;
		}
		if (run->answer_ms <= world->now_ms) {
			answer(world, run);
			return;
		}
		if (run->start_ms <= world->now_ms || run->contend_ms <= world->now_ms) {
			if (run->contend_ms <= world->now_ms)
				run->contend_ms = world->jumps_left > 0 ? world->now_ms + rng_range(&world->rng, 1000, 60000) : SIM_NEVER;
			else
				run->start_ms = SIM_NEVER;
			if (!run->over)
				start_actor(world, run);
			return;
		}
	}
	if (world->jump_ms <= world->now_ms) {
		world->wall_offset_ms += rng_range(&world->rng, -7200000, 7200000);
		world->jump_ms = --world->jumps_left > 0 ? world->now_ms + rng_range(&world->rng, 1, 60000) : SIM_NEVER;
		world_tell(world, "the clock jumps");
	}
}

/* ---- the baton ---- */

static struct actor *next_actor(const struct world *world)
{
	struct actor *next = NULL;

	for (size_t i = 0; i < world->actor_count; i++)
		if (world->actors[i]->alive && (!next || world->actors[i]->wake_ms < next->wake_ms))
			next = world->actors[i];
	return next;
}

static void check_bounds(struct world *world)
{
	if (!world->failed && (world->operations > OPERATIONS_MAX || world->now_ms > TIME_MAX_MS))
		world_violated(world, "every run ends or waits for a person", "not after %lld operations and %lld s",
			(long long)world->operations, (long long)(world->now_ms / 1000));
	for (size_t i = 0; world->failed && i < world->actor_count; i++)
		world->actors[i]->crashed = true;
}

static void dispatch(struct world *world, struct actor *self)
{
	for (;;) {
		struct actor *actor = next_actor(world);
		int64_t event_ms = world->failed ? SIM_NEVER : next_event(world);
		int64_t actor_ms = actor ? actor->wake_ms : SIM_NEVER;

		check_bounds(world);
		if (!actor && (world->failed || event_ms == SIM_NEVER)) {
			sem_post(&world->over);
			return;
		}
		if (!world->failed && sim_effect(world, MIN(event_ms, actor_ms)))
			continue;
		if (event_ms <= actor_ms) {
			world->now_ms = MAX(world->now_ms, event_ms);
			happen(world);
			continue;
		}
		world->now_ms = MAX(world->now_ms, actor_ms);
		if (actor == self)
			return;
		sem_post(&actor->turn);
		if (self)
			sem_wait(&self->turn);
		return;
	}
}

void world_sleep(struct actor *actor, int64_t until_ms)
{
	actor->wake_ms = MAX(until_ms, actor->world->now_ms);
	dispatch(actor->world, actor);
}

void world_freeze(struct actor *actor, int64_t ms)
{
	int64_t now_ms = actor->world->now_ms;

	world_tell(actor->world, "actor %d freezes for %lld ms", actor->number, (long long)ms);
	for (size_t i = 0; i < actor->work_count; i++) {
		struct sim_work *work = &actor->works[i];

		if (work->effect_ms != SIM_NEVER)
			work->effect_ms = MAX(work->effect_ms, now_ms + 1) + ms;
		work->end_ms = MAX(work->end_ms, now_ms + 1) + ms;
	}
	world_sleep(actor, now_ms + ms);
}

/* ---- a whole world ---- */

static void draw_mood(struct world *world)
{
	struct rng *rng = &world->rng;
	static const int crash[] = { 0, 5, 30 }, store[] = { 0, 0, 10, 60 }, stall[] = { 0, 0, 5, 20 }, slow[] = { 0, 20 };
	static const int driver[] = { 0, 60, 250 }, observe[] = { 0, 50, 250 };

	world->mood = (struct mood){ .crash = crash[rng_range(rng, 0, 2)],
		.store = store[rng_range(rng, 0, 3)],
		.stall = stall[rng_range(rng, 0, 3)],
		.slow = slow[rng_range(rng, 0, 1)],
		.driver = driver[rng_range(rng, 0, 2)],
		.observe = observe[rng_range(rng, 0, 2)] };
	world->crashes_left = (int)rng_range(rng, 0, 8);
	world->faults_left = (int)rng_range(rng, 0, 20);
	world->stalls_left = (int)rng_range(rng, 0, 4);
	world->jumps_left = rng_chance(rng, 300) ? (int)rng_range(rng, 1, 4) : 0;
	world->jump_ms = world->jumps_left ? rng_range(rng, 0, 20000) : SIM_NEVER;
	world->outage_from_ms = world->outage_to_ms = SIM_NEVER;
	if (rng_chance(rng, 100)) {
		world->outage_from_ms = rng_range(rng, 0, 20000);
		world->outage_to_ms = world->outage_from_ms + rng_range(rng, 1000, 60000);
	}
}

void world_make(struct world *world, uint64_t seed, bool trace)
{
	*world = (struct world){ .ctx = mem_context(NULL),
		.seed = seed,
		.trace = trace,
		.rng = { .state = seed * 0x2545f4914f6cdd1du + 1 },
		.power = { .state = seed * 0x9e3779b97f4a7c15u + 2 } };
	world->wall_offset_ms = 1800000000000;
	world->acknowledged = json_keep(world->ctx, json_object());
	world->snapshots = json_keep(world->ctx, json_object());
	world->effects = json_keep(world->ctx, json_object());
	world->doubtful = json_keep(world->ctx, json_object());
	sem_init(&world->over, 0, 0);
	draw_mood(world);
	plan_world(world);
}

void world_run(struct world *world)
{
	dispatch(world, NULL);
	sem_wait(&world->over);
	for (size_t i = 0; i < world->actor_count; i++) {
		pthread_join(world->actors[i]->thread, NULL);
		sem_destroy(&world->actors[i]->turn);
	}
	if (!world->failed)
		check_end(world);
}

void world_free(struct world *world)
{
	sem_destroy(&world->over);
	talloc_free(world->ctx);
}
