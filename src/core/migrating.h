/* Schema migrations in plans: when a rollback that preserves the data takes the schema back, how far, and what that means. Pure. The tools are the drivers' (drivers/migration.h); what is known here are the facts that they
 * observe: "migration", "migrations", "irreversible", "downMigrations" (compat.h). */
#ifndef CORE_MIGRATING_H
#define CORE_MIGRATING_H

#include "core/driver.h"
#include "core/plan.h"
#include "core/project.h"

enum migration_way {
	MIGRATION_UNKNOWN, /* one side's migrations are not known */
	MIGRATION_SAME,
	MIGRATION_BACK,  /* the target's is applied, and newer ones are */
	MIGRATION_APART, /* the target's is not applied: nothing leads there backwards */
};

/* From the details observed now to those of the target. */
enum migration_way migration_way(json_t *live, json_t *target);
/* Names of what is taken back to reach `to`, newest first; new reference. */
json_t *migrations_between(json_t *live, const char *to);
/* Does the component's `migrations` group ask for going back here (its member `back`: needed, always, never)? False where no tool is configured. */
bool migration_wanted(const struct component *component, json_t *live, json_t *target);

/* The scripts that lead back to `to`: {migration: sum}, for the plan's step; new reference. Those that were recorded with the deployment that runs now (`recorded`: its details; NULL: not known) count before those of the folder.
 * *ret_kept: some are only in what was kept then. */
json_t *migration_scripts(json_t *live, json_t *recorded, const char *to, bool *ret_kept);

/* What the plan takes back: component -> {"to", "back": [names, newest first], "irreversible": [names], "fenced": [services that the plan keeps stopped meanwhile, or that are stopped], "open": [those that need it and run on]}.
 * New reference. */
json_t *plan_migrating(const struct environment *environment, const struct plan *plan, json_t *observed,
	enum driver_kind (*kind_of)(void *user, const char *driver), void *user);

#endif
