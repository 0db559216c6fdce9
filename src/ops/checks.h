/* Safety checks: everything that speaks against a rollback, found before its first change (docs/checks.md). A table says what is asked; all that asks somebody else (drivers,
 * probes, the file system) is asked at once, each within its own time, and a check whose time is over is a finding of its own. Nothing here changes anything. */
#ifndef OPS_CHECKS_H
#define OPS_CHECKS_H

#include "ops/planning.h"

/* A check. To add one: a row in checks.c, and its paragraph in docs/checks.md (a test compares them). */
struct check {
	const char *name;       /* of its finding */
	const char *asks;       /* what it asks, as a question */
	enum severity severity; /* what it weighs when it has no answer within its time */
	int64_t limit_ms; /* how long it may take; 0: it judges what is known already; -1: as long as the environment's checkTimeout */
	bool of_target; /* there must be a target: not asked of a saved plan, but for drivers, about steps that name what they are to reach */
	bool of_readiness; /* what it says belongs into a judgement that is made long before the rollback */
	void (*judge)(struct checks *checks, struct planning *planning);
};
extern const struct check checks_table[]; /* ends with name NULL */

/* Begins to ask what does not depend on a target: the disk, the machine, what the environment needs from outside, whether a run is unfinished. `probes`: also the probes.
 * Freed with op->ctx. */
must_check int checks_begin(struct op *op, struct environment *environment, bool probes, struct checks **ret, struct err *err);
/* Judges plans (generated, or saved) against what was observed, all of them at once; waits for what was begun. `observed` was told to each of them.
 * Fills planning->findings, the heaviest first. */
must_check int checks_judge(struct checks *checks, struct planning *const *plannings, size_t count, const struct planning_input *input,
	struct err *err);

/* Does it speak against this very target, so that another may do? */
bool check_blocks_target(const struct finding *finding);
/* Does it belong into a judgement that is made long before? A run that goes on now does not. */
bool check_is_lasting(const struct finding *finding);

/* What a machine has left: of /proc/meminfo, /proc/loadavg, and how many processors. Pure, for tests. */
struct headroom {
	uint64_t memory_bytes, available_bytes;
	double load; /* runnable tasks, mean of the last minute */
	unsigned processors;
};
void check_capacity(const struct headroom *headroom, size_t starts, struct findings *findings);
must_check int headroom_read(const void *ctx, const char *meminfo, const char *loadavg, struct headroom *ret, struct err *err);
/* Is there room for the snapshot (as large as the last one) and for what drivers say that they write on the same file system? Pure. */
struct room {
	const char *folder;
	uint64_t free_bytes, snapshot_bytes;
	int64_t device; /* of the folder's file system */
};
void check_room(const struct room *room, struct findings *findings);

#endif
