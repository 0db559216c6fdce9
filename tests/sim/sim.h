/* The simulated world: a journal, machines that run unship, workers, targets, people, and two clocks, all in one process and in virtual
 * time. See README.md.
 *
 * Every incarnation of the runner is a thread, but only the one that holds the baton runs; it hands it on when its operation takes time.
 * So the order of events is decided by the seed alone. */
#ifndef SIM_H
#define SIM_H

#include <pthread.h>
#include <semaphore.h>

#include "core/executor.h"
#include "core/journal.h"
#include "core/run.h"
#include "data/json.h"

#define SIM_NEVER       INT64_MAX
#define SIM_ACTORS_MAX  200
#define SIM_TARGETS_MAX 24
#define SIM_RUNS_MAX    2
#define SIM_WORKS_MAX   64

struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *rng);
int64_t rng_range(struct rng *rng, int64_t low, int64_t high); /* both included */
bool rng_chance(struct rng *rng, int per_mille);

/* What can be changed: holds a version. */
struct target {
	const char *subject;
	const char *start, *version;
	bool observable; /* otherwise its driver cannot say what is there */
	bool undoable;
	bool tells;             /* observe says atTarget itself */
	bool captures_silently; /* capture does not say what it saw */
	bool lies;              /* once: says done, did nothing. Only observable ones: nobody could find the others out */
};

struct sim_run {
	const char *id;
	json_t *plan;
	struct target *targets[SIM_TARGETS_MAX];
	size_t target_count;
	bool mismatch;                                      /* expected says something else than what is there */
	int64_t start_ms, contend_ms, cancel_ms, answer_ms; /* what happens next, and when */
	int64_t healthy_ms;                                 /* probes pass from then on */
	int effects;
	bool over;
	int asked;
};

struct sim_work {
	uint64_t id;
	enum worker_kind kind;
	char verb[16];
	struct sim_run *run;
	struct target *target;
	const char *key, *step, *goal, *snapshot_dir;
	bool has_target;
	int64_t effect_ms, end_ms;
	bool ok, answered, retryable, stopped;
	bool twice;   /* will answer a second time */
	bool told;    /* has answered, and only says it again: it is no worker any more */
	bool doubted; /* somebody else took over while it was under way */
	enum err_code code;
};

struct actor;
struct sim_journal {
	struct journal base;
	struct actor *actor;
};
struct sim_executor {
	struct executor base;
	struct actor *actor;
};

/* One incarnation of a runner. */
struct actor {
	struct world *world;
	int number;
	struct sim_run *run;
	struct sim_journal journal;
	struct sim_executor executor;
	pthread_t thread;
	sem_t turn;
	bool alive, crashed;
	bool remote; /* on another host: its death is not noticed, its lease has to run out */
	int64_t wake_ms;
	int64_t token;
	struct sim_work works[SIM_WORKS_MAX];
	size_t work_count;
};

/* How bad this world is; drawn from the seed. Rates in 1/1000 per operation. */
struct mood {
	int crash, store, stall, slow, driver, observe, jump;
};

struct world {
	void *ctx;
	uint64_t seed;
	bool trace, failed;
	struct rng rng, power; /* losses of power are drawn apart */
	struct mood mood;
	int crashes_left, faults_left, stalls_left, jumps_left;
	int64_t now_ms, wall_offset_ms, jump_ms;
	int64_t outage_from_ms, outage_to_ms;
	int64_t operations;
	sem_t over;
	struct actor *actors[SIM_ACTORS_MAX];
	size_t actor_count;
	struct entry *entries;
	size_t entry_count, entry_room;
	size_t settled, told; /* how many entries have reached the disk, and how many of those somebody knows of */
	json_t *acknowledged; /* entry id -> hash */
	json_t *snapshots;    /* directory -> version */
	json_t *effects;      /* key -> how often */
	json_t *doubtful;     /* keys of attempts on what cannot be observed that ended without a word */
	struct {
		const char *name;
		int64_t token, expires_ms;
		struct actor *holder;
	} claim;
	struct environment environment;
	struct target targets[SIM_TARGETS_MAX];
	size_t target_count;
	struct sim_run runs[SIM_RUNS_MAX];
	size_t run_count;
	struct {
		unsigned completed, restored, failed, refused, crashes, asked, cancelled, faults, stalls, lost_claims, losses;
	} tally;
};

/* world.c */
void world_make(struct world *world, uint64_t seed, bool trace);
void world_run(struct world *world);
void world_free(struct world *world);
/* Lets time pass for an actor until `until_ms`; others may run meanwhile. */
void world_sleep(struct actor *actor, int64_t until_ms);
void world_crash(struct actor *actor);
/* The whole machine of an actor stands still, workers too. */
void world_freeze(struct actor *actor, int64_t ms);
void world_tell(struct world *world, const char *format, ...) printf_like(2, 3);
void world_violated(struct world *world, const char *invariant, const char *format, ...) printf_like(3, 4);
/* True once per operation in which the process dies. */
bool world_dies(struct actor *actor);

/* plans.c */
void plan_world(struct world *world);
struct target *world_target(struct world *world, const char *subject);
/* The version that a step takes its target to. */
const char *step_goal(const struct step *step);

/* journal.c */
extern const struct journal_ops sim_journal_ops;
/* What has not reached the disk is gone. */
void sim_lose_unsettled(struct world *world);
/* Appends for people, without a claim and without faults. */
void sim_append(struct world *world, const struct sim_run *run, const char *kind, json_t *data);
struct run *sim_fold(struct world *world, const void *ctx, const struct sim_run *run);

/* executor.c */
extern const struct executor_ops sim_executor_ops;
/* Does what is due: the earliest effect of all, when it is not later than `until_ms`. */
bool sim_effect(struct world *world, int64_t until_ms);
int64_t sim_next_effect(const struct world *world);
void sim_kill_works(struct actor *actor);
void sim_doubt_others(struct world *world, const struct actor *successor);

/* checks.c: the invariants. Each has a name that is printed when it is violated. */
void check_begin(struct world *world, const struct actor *actor, const struct sim_work *work);
void check_effect(struct world *world, const struct actor *actor, const struct sim_work *work);
void check_append(struct world *world, const struct entry *entry);
void check_live_is_replay(struct world *world, const struct sim_run *run, const struct run *live);
void check_end(struct world *world);

#endif
