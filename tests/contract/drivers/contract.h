/* The contract of drivers, as a table entry per driver: how to make its world, two targets in it, how to look at it without the driver.
 * The suite in contract.c is the same for all.
 * To join: a file world_NAME.c with one struct contract, its name in the list in worlds.c and in meson.build. */
#ifndef TESTS_CONTRACT_DRIVERS_H
#define TESTS_CONTRACT_DRIVERS_H

#include "checks.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "core/driver.h"
#include "data/json.h"

struct contract;

struct world {
	void *ctx; /* everything of this world */
	const struct contract *contract;
	char *dir;          /* temporary project directory */
	char *name;         /* of the component or subject; setup may change it */
	json_t *config;     /* the component's configuration; set by setup */
	json_t *targets[2]; /* "target" of the requests; set by setup */
	json_t *extra[2];   /* other members of a request that goes to a target (sourceDir, ...); NULL: none */
	json_t *impossible; /* a target that cannot be reached; NULL: there is none */
	const char *store;  /* address of the store; NULL */
	void *own;          /* of the world's own file */
};

struct contract {
	const char *driver;
	bool external;                 /* a program in PATH */
	const char *expect[2];         /* what look says at each target */
	const char *const *kill_apply; /* crash points that an apply passes, NULL-terminated; NULL: none */
	const char *const *kill_undo;
	const char *const *kill_capture;
	int moments; /* killed by time so often, evenly over the length of a call; 0: as often as is usual */
	void (*setup)(struct world *world);
	void (*teardown)(struct world *world); /* ends what runs; the directory is removed afterwards. May be NULL */
	/* What others do before a call that goes to target i (code is switched before a service restarts). May be NULL. */
	void (*before)(struct world *world, int i);
	/* What is really there, found without the driver. */
	const char *(*look)(struct world *world);
	/* Makes what is there unreadable or not the driver's own. May be NULL. */
	void (*spoil)(struct world *world);
	/* Asserts what must hold at any moment, also after a kill. May be NULL. */
	void (*always)(struct world *world);
};

extern const struct contract *const contracts[]; /* worlds.c; ends with NULL */

/* Helpers for worlds. */
void put(struct world *world, const char *name, const char *text);
const char *get(struct world *world, const char *name); /* "" when it is not there */
void run_program(struct world *world, ...);             /* argv in the world's directory; fails the test when it fails */
/* The driver's own capture of what is there, as when a deployment is recorded; `dir` is relative to the world. */
void capture(struct world *world, const char *dir);

#endif
