/* The invariants. Those about single acts are checked when they happen, the others when the world has come to rest. */
#include "sim.h"

#include <string.h>

#include "base/text.h"

static const struct entry *find_entry(const struct world *world, const char *run, const char *kind, const char *member, const char *value)
{
	for (size_t i = world->entry_count; i-- > 0;) {
		const struct entry *entry = &world->entries[i];

		if (entry->run && !strcmp(entry->run, run) && !strcmp(entry->kind, kind) &&
			(!member || !strcmp(json_str(entry->data, member, ""), value)))
			return entry;
	}
	return NULL;
}

static void check_single_holder(struct world *world, const struct actor *actor, const struct sim_work *work)
{
	if (world->claim.token != actor->token)
		world_violated(world, "at most one holder acts on an environment",
			"actor %d acts on %s with token %lld, but %lld is current", actor->number, work->target->subject,
			(long long)actor->token, (long long)world->claim.token);
}

static void check_no_blind_redo(struct world *world, const struct sim_work *work)
{
	_cleanup_talloc_ char *attempts = mem_strdup(NULL, work->key);
	char *last = strrchr(attempts, '/');
	const char *key;
	json_t *value;

	if (last)
		last[1] = '\0';
	json_object_foreach(world->doubtful, key, value) {
		if (text_starts_with(key, attempts))
			world_violated(world, "nothing is redone blindly", "%s begins, and nobody knows what %s did", work->key, key);
	}
}

/* Who has cancelled wants nothing new to be begun; what was begun before may be settled. */
static void check_cancelled(struct world *world, const struct sim_work *work, const struct entry *begun)
{
	const struct entry *cancelled = find_entry(world, work->run->id, ENTRY_RUN_CANCEL, NULL, NULL);

	if (cancelled && cancelled->seq < begun->seq && strstr(work->key, "/apply/"))
		world_violated(world, "nothing is begun after a cancellation", "%s", work->key);
}

void check_begin(struct world *world, const struct actor *actor, const struct sim_work *work)
{
	const struct entry *begun = find_entry(world, work->run->id, ENTRY_STEP_BEGUN, "key", work->key);

	if (!find_entry(world, work->run->id, ENTRY_SNAPSHOT_TAKEN, NULL, NULL))
		world_violated(world, "snapshot before apply", "%s", work->key);
	if (!begun)
		world_violated(world, "intent before effect", "%s", work->key);
	else
		check_cancelled(world, work, begun);
	check_single_holder(world, actor, work);
	check_no_blind_redo(world, work);
}

void check_effect(struct world *world, const struct actor *actor, const struct sim_work *work)
{
	int64_t times = json_int(world->effects, work->key, 0) + 1;

	json_put_int(world->effects, work->key, times);
	work->run->effects++;
	if (times > 1)
		world_violated(world, "no effect twice for one attempt", "%s: %lld times", work->key, (long long)times);
	check_single_holder(world, actor, work);
}

/* An answer settles what was in doubt. */
void check_append(struct world *world, const struct entry *entry)
{
	const char *key;
	json_t *value;
	void *next;

	if (strcmp(entry->kind, ENTRY_RUN_ANSWERED) != 0)
		return;
	_cleanup_talloc_ char *step = mem_printf(NULL, "%s/%s/", entry->run, json_str(entry->data, "step", ""));
	json_object_foreach_safe(world->doubtful, next, key, value) {
		if (text_starts_with(key, step))
			json_object_del(world->doubtful, key);
	}
}

void check_live_is_replay(struct world *world, const struct sim_run *run, const struct run *live)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct run *replay = sim_fold(world, ctx, run);
	char *one, *other;

	if (!replay || run_status_ended(live->status) < run_status_ended(replay->status))
		return; /* somebody else has ended it since */
	if (run_status_ended(live->status)) {
		one = json_canonical(ctx, json_keep(ctx, run_json(live, NULL, 0)));
		other = json_canonical(ctx, json_keep(ctx, run_json(replay, NULL, 0)));
		if (strcmp(one, other) != 0)
			world_violated(world, "what a runner believes is what the journal says", "%s\n%s", one, other);
	}
}

static void check_chain(struct world *world)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *previous = ENTRY_FIRST_PREVIOUS;

	for (size_t i = 0; i < world->entry_count; i++) {
		struct entry entry = world->entries[i];

		entry_seal(ctx, &entry);
		if (strcmp(entry.previous, previous) != 0 || strcmp(entry.hash, world->entries[i].hash) != 0 || entry.seq != (int64_t)i + 1)
			world_violated(world, "the chain verifies", "entry %zu", i + 1);
		previous = world->entries[i].hash;
	}
}

static void check_acknowledged(struct world *world)
{
	json_t *ids = json_keep(world->ctx, json_object()), *hash;
	const char *id;

	for (size_t i = 0; i < world->entry_count; i++) {
		if (json_object_get(ids, world->entries[i].id))
			world_violated(world, "no entry twice", "%s", world->entries[i].id);
		json_put_str(ids, world->entries[i].id, world->entries[i].hash);
	}
	json_object_foreach(world->acknowledged, id, hash) {
		if (strcmp(json_str(ids, id, ""), json_string_value(hash)) != 0)
			world_violated(world, "no acknowledged entry lost", "%s", id);
	}
}

static void check_restored(struct world *world, const struct sim_run *sim)
{
	for (size_t i = 0; i < sim->target_count; i++)
		if (strcmp(sim->targets[i]->version, sim->targets[i]->start) != 0)
			world_violated(world, "a restored run leaves everything as it was", "%s: %s is at %s, not at %s", sim->id,
				sim->targets[i]->subject, sim->targets[i]->version, sim->targets[i]->start);
}

static void check_completed(struct world *world, const struct run *run)
{
	for (size_t i = run->plan->step_count; i-- > 0;) {
		const struct run_step *step = &run->steps[run->order[i]];
		const struct target *target = step->subject ? world_target(world, step->subject) : NULL;
		bool last = target != NULL;

		for (size_t n = 0; n < run->plan->step_count; n++)
			last &= run->steps[n].previous != step;
		if (last && strcmp(target->version, step_goal(step->step)) != 0)
			world_violated(world, "a completed run has everything at its goal", "%s: %s is at %s, not at %s", run->id,
				target->subject, target->version, step_goal(step->step));
	}
}

/* A cancellation that came while the end was being written is too late. */
static bool cancelled_too_late(const struct world *world, const struct run *run)
{
	const struct entry *cancelled = find_entry(world, run->id, ENTRY_RUN_CANCEL, NULL, NULL);
	const struct entry *last = find_entry(world, run->id, ENTRY_STEP_ENDED, NULL, NULL);

	return cancelled && (!last || last->seq < cancelled->seq);
}

static void check_failed(struct world *world, const struct run *run)
{
	bool stands = false, undo_failed = false;

	for (size_t i = 0; i < run->plan->step_count; i++) {
		stands |= run->steps[i].touched && run->steps[i].status != STEP_UNDONE;
		undo_failed |= run->steps[i].status == STEP_UNDO_FAILED;
	}
	if (!stands || (run->restoring && !undo_failed && !cancelled_too_late(world, run)))
		world_violated(world, "failed is said only when something is not restored", "%s", run->id);
}

static void check_refused(struct world *world, const struct sim_run *sim)
{
	if (sim->effects)
		world_violated(world, "a refused run changed nothing", "%s had %d effects", sim->id, sim->effects);
	check_restored(world, sim);
}

static void check_run(struct world *world, const struct sim_run *sim)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct run *run = sim_fold(world, ctx, sim); /* applies entry after entry: every prefix is folded */

	if (!run)
		return;
	if (!run_status_ended(run->status))
		world_violated(world, "every run ends or waits for a person", "%s is %s, and nothing more happens", run->id,
			run_status_name(run->status));
	if (sim->mismatch && run->status == RUN_COMPLETED && run->expected && json_object_size(run->expected))
		world_violated(world, "a plan is bound to the state it was made for", "%s", run->id);
	world->tally.completed += run->status == RUN_COMPLETED;
	world->tally.restored += run->status == RUN_RESTORED;
	world->tally.failed += run->status == RUN_FAILED;
	world->tally.refused += run->status == RUN_REFUSED;
	if (run->status == RUN_COMPLETED)
		check_completed(world, run);
	else if (run->status == RUN_RESTORED)
		check_restored(world, sim);
	else if (run->status == RUN_FAILED)
		check_failed(world, run);
	else if (run->status == RUN_REFUSED)
		check_refused(world, sim);
}

void check_end(struct world *world)
{
	check_chain(world);
	check_acknowledged(world);
	for (size_t i = 0; i < world->run_count; i++)
		check_run(world, &world->runs[i]);
}
