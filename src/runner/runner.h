/* The runner carries a run out: claims it, folds its entries, asks the engine, makes the calls, commits what came of them, until the run has ended or waits for a person.
 *
 * One thread per run: runner_run returns when the run ended or waits. What it does is safe at any point of death: see core/engine.h. While it works it renews its claim at a third of the lease; a lost claim
 * stops it at once without writing (somebody else has taken over): ERR_CONFLICT.
 * When the store fails after an effect, the runner reads the journal again before it goes on; when it stays unreachable for `store_patience_ms` it returns ERR_STORE and leaves the run for `resume`.
 * New entries by others (cancel, answers) are looked for at every step's end and at least every 500 ms.
 *
 * What is claimed is the environment, not the run ("environment:production"): so two runs can never act on one environment, whatever else goes wrong. When the lease cannot be renewed in time, calls in
 * flight are ended before it is over. While calls are in flight the runner waits in the executor; it never sleeps elsewhere but for a store that fails. */
#ifndef RUNNER_RUNNER_H
#define RUNNER_RUNNER_H

#include "core/engine.h"
#include "core/executor.h"
#include "core/journal.h"

struct runner {
	struct journal *journal;
	struct executor *executor;
	const struct environment *environment;
	struct call_places places;
	const char *actor; /* who runs it */
	const char *
		boot; /* which start of the machine this is; NULL: not known. A run that is taken up after another one looks again at the services that it started */
	int64_t lease_ms;          /* default 15 s */
	int64_t store_patience_ms; /* default 30 s */
	/* Takes what was captured into the snapshot store, durably; fills details for snapshot.taken ({files, bytes, manifest}). On a thread of its own: it may take long, and touches no journal. */
	int (*seal)(void *user, const struct run *run, json_t *details, struct err *err);
	/* Before a call is made: completes its request with what only the registry knows (where the content of a version is kept). 1: what it reads must be laid out first, 0: all is there. May be NULL. */
	int (*resolve)(void *user, const struct run *run, json_t *request, struct err *err);
	/* Lays out what the request reads (sourceDir, sources, snapshotDir). On a thread of its own, as seal. NULL only when resolve is. */
	int (*lay_out)(void *user, json_t *request, struct err *err);
	/* Entries that belong to the end of the run (what it means for deployments, who is told): appended in the same transaction as run.ended, after it. `ended` is that entry. *ret in ctx. May be NULL. */
	int (*accompany)(void *user, const void *ctx, const struct run *run, const struct entry *ended, struct entry **ret,
		size_t *ret_count, struct err *err);
	/* Told after every change of the run, with the entry that made it (NULL for progress), for live display; may be NULL. */
	void (*watch)(void *user, const struct run *run, const struct entry *entry, const struct run_step *step, double share,
		const char *message);
	/* True: stop as soon as possible, leave the run for resume (Ctrl-C); may be NULL. Returns ERR_CANCELLED. */
	bool (*interrupted)(void *user);
	void *user;
};

/* Name of the claim for an environment. */
char *runner_claim_name(const void *ctx, const char *environment);
/* 0: the run ended or waits; its status in *ret (ctx owns the run). */
must_check int runner_run(struct runner *runner, const void *ctx, const char *run_id, struct run **ret, struct err *err);

#endif
