/* The simulated journal: entries in memory, with a chain, claims, and every way to fail that a database has: not done and said so, done
 * but said otherwise, slow, away for a while; and the process
 * may die before or after each operation. */
#include "sim.h"

#include <string.h>

#include "base/id.h"

static struct actor *actor_of(struct journal *journal)
{
	return ((struct sim_journal *)journal)->actor;
}

static int dead(struct err *err)
{
	return err_set(err, ERR_CANCELLED, "this process is dead");
}

/* What happens on the way to the store: time passes, and worse. */
static int way_in(struct actor *actor, struct err *err)
{
	struct world *world = actor->world;
	struct rng *rng = &world->rng;

	if (actor->crashed)
		return dead(err);
	world->operations++;
	if (world->stalls_left > 0 && rng_chance(rng, world->mood.stall)) {
		world->stalls_left--;
		world->tally.stalls++;
		world_freeze(actor, rng_range(rng, 1000, 60000));
	} else {
		world_sleep(actor, world->now_ms + (rng_chance(rng, world->mood.slow) ? rng_range(rng, 100, 6000) : rng_range(rng, 0, 1)));
	}
	if (actor->crashed || world_dies(actor))
		return dead(err);
	if (world->now_ms >= world->outage_from_ms && world->now_ms < world->outage_to_ms)
		return err_set(err, ERR_STORE, "the store is away");
	if (world->faults_left > 0 && rng_chance(rng, world->mood.store)) {
		world->faults_left--;
		world->tally.faults++;
		return err_set(err, ERR_STORE, "the store failed before");
	}
	return 0;
}

/* It is done; does the caller hear of it? */
static int way_out(struct actor *actor, struct err *err)
{
	struct world *world = actor->world;

	if (world_dies(actor))
		return dead(err);
	if (world->stalls_left > 0 && rng_chance(&world->rng, world->mood.stall)) {
		world->stalls_left--;
		world->tally.stalls++;
		world_freeze(actor, rng_range(&world->rng, 1000, 60000));
	}
	if (world->faults_left > 0 && rng_chance(&world->rng, world->mood.store)) {
		world->faults_left--;
		world->tally.faults++;
		return err_set(err, ERR_STORE, "the store failed after");
	}
	return 0;
}

static void add_entry(struct world *world, const void *ctx, struct entry *entry)
{
	struct entry *kept;

	if (world->entry_count == world->entry_room) {
		world->entry_room = world->entry_room ? 2 * world->entry_room : 64;
		world->entries = mem_resize(world->ctx, world->entries, struct entry, world->entry_room);
	}
	kept = &world->entries[world->entry_count++];
	*kept = (struct entry){
		.seq = (int64_t)world->entry_count,
		.id = entry->id ? mem_strdup(world->ctx, entry->id) : mem_printf(world->ctx, "ent-%zu", world->entry_count),
		.wall_ms = entry->wall_ms ? entry->wall_ms : world->now_ms + world->wall_offset_ms,
		.kind = mem_strdup(world->ctx, entry->kind),
		.environment = mem_strdup(world->ctx, entry->environment),
		.run = mem_strdup(world->ctx, entry->run),
		.actor = mem_strdup(world->ctx, entry->actor),
		.data = json_keep(world->ctx, json_deep_copy(entry->data)),
		.previous = world->entry_count > 1 ? world->entries[world->entry_count - 2].hash : ENTRY_FIRST_PREVIOUS,
	};
	entry_seal(world->ctx, kept);
	if (world->trace) {
		_cleanup_talloc_ char *text = json_canonical(NULL, kept->data);

		world_tell(world, "#%lld %s %s %.300s", (long long)kept->seq, kept->run ? kept->run : "", kept->kind, text);
	}
	check_append(world, kept);
	*entry = *kept;
}

/* All that stands in the journal has reached the disk. */
static void reach_disk(struct world *world)
{
	world->settled = world->entry_count;
}

/* Somebody was told so. */
static void acknowledge(struct world *world)
{
	for (; world->told < world->settled; world->told++)
		json_object_set_new(world->acknowledged, world->entries[world->told].id, json_string(world->entries[world->told].hash));
}

static int add_all(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count, bool soon,
	struct err *err)
{
	struct actor *actor = actor_of(journal);
	struct world *world = actor->world;
	int r;

	r = way_in(actor, err);
	if (r < 0)
		return r;
	if (fence && fence->token != world->claim.token)
		return err_set(err, ERR_CONFLICT, "the claim is lost");
	for (size_t i = 0; i < count; i++)
		add_entry(world, ctx, &entries[i]);
	if (!soon)
		reach_disk(world);
	r = way_out(actor, err);
	if (r == 0 && !soon)
		acknowledge(world);
	return r;
}

static int sim_journal_append(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
	struct err *err)
{
	return add_all(journal, ctx, fence, entries, count, false, err);
}

static int sim_journal_append_soon(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
	struct err *err)
{
	return add_all(journal, ctx, fence, entries, count, true, err);
}

static int sim_journal_settle(struct journal *journal, struct err *err)
{
	struct actor *actor = actor_of(journal);
	int r;

	r = way_in(actor, err);
	if (r < 0)
		return r;
	reach_disk(actor->world);
	r = way_out(actor, err);
	if (r == 0)
		acknowledge(actor->world);
	return r;
}

/* An outcome that is lost leaves its call in doubt, where that cannot be observed. */
static void doubt(struct world *world, const struct entry *entry)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *id = json_str(entry->data, "step", "");

	if (strcmp(entry->kind, ENTRY_STEP_ENDED) != 0)
		return;
	for (size_t i = 0; i < world->run_count; i++) {
		struct run *run = strcmp(world->runs[i].id, entry->run) != 0 ? NULL : sim_fold(world, ctx, &world->runs[i]);
		struct run_step *step = run ? run_step(run, id) : NULL;
		struct target *target = step && step->subject ? world_target(world, step->subject) : NULL;
		const char *verb = json_str(entry->data, "verb", "");

		if (target && !target->observable && strcmp(verb, "capture") != 0)
			json_object_set_new(world->doubtful,
				mem_printf(ctx, "%s/%s/%s/%lld", entry->run, id, verb, (long long)json_int(entry->data, "attempt", 0)),
				json_true());
	}
}

void sim_lose_unsettled(struct world *world)
{
	world_tell(world, "the power is lost, and entries from #%zu on", world->settled + 1);
	for (size_t i = world->settled; i < world->entry_count; i++)
		doubt(world, &world->entries[i]);
	world->entry_count = world->settled;
}

static int sim_journal_read(struct journal *journal, const void *ctx, const struct entry_filter *filter, struct entry **ret,
	size_t *ret_count, struct err *err)
{
	struct actor *actor = actor_of(journal);
	struct world *world = actor->world;
	struct entry *list;
	size_t count = 0;
	int r;

	r = way_in(actor, err);
	if (r < 0)
		return r;
	list = mem_array(ctx, struct entry, world->entry_count + 1);
	for (size_t i = (size_t)filter->after_seq; i < world->entry_count; i++)
		if (!filter->run || (world->entries[i].run && !strcmp(world->entries[i].run, filter->run)))
			list[count++] = world->entries[i];
	if (world_dies(actor))
		return dead(err);
	*ret = list;
	*ret_count = count;
	return 0;
}

static int sim_journal_claim(struct journal *journal, const void *ctx, const char *name, int64_t lease_ms, struct claim *ret,
	struct err *err)
{
	struct actor *actor = actor_of(journal), *holder;
	struct world *world = actor->world;
	int64_t begun_ms = world->now_ms;
	int r;

	r = way_in(actor, err);
	if (r < 0)
		return r;
	holder = world->claim.holder;
	if (holder && holder != actor && world->claim.expires_ms > world->now_ms && !(holder->crashed && !holder->remote))
		return err_set(err, ERR_CONFLICT, "held by actor %d", holder->number);
	world->claim.name = mem_strdup(world->ctx, name);
	world->claim.token++;
	world->claim.holder = actor;
	world->claim.expires_ms = world->now_ms + lease_ms;
	actor->token = world->claim.token;
	sim_doubt_others(world, actor);
	world_tell(world, "actor %d claims with token %lld", actor->number, (long long)actor->token);
	*ret = (struct claim){ .name = mem_strdup(ctx, name),
		.holder = mem_printf(ctx, "actor %d", actor->number),
		.token = actor->token,
		.lease_ms = lease_ms,
		.safe_until_ms = begun_ms + lease_ms * 3 / 4 };
	return way_out(actor, err);
}

static int sim_journal_renew(struct journal *journal, struct claim *claim, struct err *err)
{
	struct actor *actor = actor_of(journal);
	struct world *world = actor->world;
	int64_t begun_ms = world->now_ms;
	int r;

	r = way_in(actor, err);
	if (r < 0)
		return r;
	if (claim->token != world->claim.token) {
		world->tally.lost_claims++;
		world_tell(world, "actor %d has lost its claim", actor->number);
		return err_set(err, ERR_CONFLICT, "the claim is lost");
	}
	world->claim.expires_ms = world->now_ms + claim->lease_ms;
	r = way_out(actor, err);
	if (r == 0)
		claim->safe_until_ms = begun_ms + claim->lease_ms * 3 / 4;
	return r;
}

static int sim_journal_release(struct journal *journal, struct claim *claim, struct err *err)
{
	struct actor *actor = actor_of(journal);
	struct world *world = actor->world;
	int r;

	r = way_in(actor, err);
	if (r < 0)
		return r;
	if (claim->token == world->claim.token) {
		world->claim.holder = NULL;
		world->claim.expires_ms = 0;
	}
	return way_out(actor, err);
}

const struct journal_ops sim_journal_ops = {
	.append = sim_journal_append,
	.append_soon = sim_journal_append_soon,
	.settle = sim_journal_settle,
	.read = sim_journal_read,
	.claim = sim_journal_claim,
	.renew = sim_journal_renew,
	.release = sim_journal_release,
};

void sim_append(struct world *world, const struct sim_run *run, const char *kind, json_t *data)
{
	struct entry entry = { .kind = kind,
		.environment = "production",
		.run = run->id,
		.actor = "ana",
		.data = json_keep(world->ctx, data) };

	add_entry(world, world->ctx, &entry);
	reach_disk(world);
	acknowledge(world);
}

struct run *sim_fold(struct world *world, const void *ctx, const struct sim_run *run)
{
	struct entry *list = mem_array(ctx, struct entry, world->entry_count + 1);
	struct err err = ERR_INIT;
	struct run *folded = NULL;
	size_t count = 0;

	for (size_t i = 0; i < world->entry_count; i++)
		if (world->entries[i].run && !strcmp(world->entries[i].run, run->id))
			list[count++] = world->entries[i];
	if (run_fold(ctx, list, count, &folded, &err) < 0) {
		world_violated(world, "every prefix of the journal can be folded", "%s", err.text);
		return NULL;
	}
	return folded;
}
