/* sim [--seeds N] [--from S] [--seed S]: lives through worlds and looks for one in which an invariant does not hold. --seed replays one
 * world with a trace.
 * UNSHIP_SIM_SEEDS is the number of worlds when --seeds is not given. */
#include "sim.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "data/hash.h"

struct totals {
	unsigned long long completed, restored, failed, refused, crashes, losses, asked, cancelled, faults, stalls, lost_claims, entries,
		violated;
};

static void live_through(uint64_t seed, bool trace, struct totals *totals)
{
	struct world world;

	world_make(&world, seed, trace);
	world_run(&world);
	totals->completed += world.tally.completed;
	totals->restored += world.tally.restored;
	totals->failed += world.tally.failed;
	totals->refused += world.tally.refused;
	totals->crashes += world.tally.crashes;
	totals->losses += world.tally.losses;
	totals->asked += world.tally.asked;
	totals->cancelled += world.tally.cancelled;
	totals->faults += world.tally.faults;
	totals->stalls += world.tally.stalls;
	totals->lost_claims += world.tally.lost_claims;
	totals->entries += world.entry_count;
	totals->violated += world.failed;
	world_free(&world);
}

static int64_t number(const char *text)
{
	struct err err = ERR_INIT;
	int64_t value = 0;

	if (!text || text_parse_int(text, 0, INT64_MAX, &value, &err) < 0) {
		fprintf(stderr, "usage: sim [--seeds N] [--from SEED] [--seed SEED]\n");
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	int64_t seeds = 10000, from = 1, begun_ms = clock_mono_ms();
	struct totals totals = { 0 };
	bool trace = false;

	json_setup();
	hash_setup();
	if (getenv("UNSHIP_SIM_SEEDS"))
		seeds = number(getenv("UNSHIP_SIM_SEEDS"));
	for (int i = 1; i < argc; i += 2) {
		int64_t value = number(argv[i + 1]);

		if (!strcmp(argv[i], "--seeds")) {
			seeds = value;
		} else if (!strcmp(argv[i], "--from")) {
			from = value;
		} else if (!strcmp(argv[i], "--seed")) {
			from = value;
			seeds = 1;
			trace = true;
		} else {
			(void)number(NULL);
		}
	}
	for (int64_t seed = from; seed < from + seeds && totals.violated < 20; seed++)
		live_through((uint64_t)seed, trace, &totals);
	printf("%lld worlds in %.1f s: %llu completed, %llu restored, %llu failed, %llu refused; %llu crashes, %llu of them with the power, %llu store faults, %llu stalls, "
	       "%llu claims lost, %llu cancellations, %llu answers, %llu entries\n",
		(long long)seeds, (double)(clock_mono_ms() - begun_ms) / 1000.0, totals.completed, totals.restored, totals.failed,
		totals.refused, totals.crashes, totals.losses, totals.faults, totals.stalls, totals.lost_claims, totals.cancelled,
		totals.asked, totals.entries);
	if (totals.violated)
		printf("%llu worlds in which an invariant does not hold; replay one with --seed\n", totals.violated);
	return totals.violated ? 1 : 0;
}
