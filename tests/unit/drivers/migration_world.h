/* The world of a test of migrations on a server: a project in a temporary folder, and a database that the test made. Fills in the calls of a database driver that go back, and fails the test when they do. */
#ifndef TESTS_DRIVERS_MIGRATION_WORLD_H
#define TESTS_DRIVERS_MIGRATION_WORLD_H

#include "checks.h"

#include "base/proc.h"
#include "core/driver.h"

#define DBMATE    SOURCE_ROOT "/node_modules/.bin/dbmate"
#define LIQUIBASE SOURCE_ROOT "/node_modules/liquibase/dist/liquibase/liquibase"

struct world {
	char folder[48];
	const struct driver *driver;
	const char *name;     /* of the database */
	const char *place;    /* members of the configuration that lead to it */
	const char *password; /* which must never be said */
	struct err err;
	struct observation seen;
};

struct world *world_make(const struct driver *driver, const char *password);
void world_remove(struct world *world); /* Was the password said anywhere? */
char *in(struct world *world, const char *path);
void put(struct world *world, const char *path, const char *text);
/* A program of the test's, with the environment `more` (NULL-terminated) beside PATH and HOME. */
void must_run(struct world *world, const char *const *argv, const char *dir, const char *const *more);

/* `migrations`: the group of the configuration, in single quotes. */
struct driver_call *make(struct world *world, const char *migrations, const char *version);
/* A member of what is observed, as JSON; "" without. */
const char *fact(struct world *world, const char *migrations, const char *member);
void capture(struct world *world, const char *migrations);
void undo(struct world *world, const char *migrations);
int go(struct world *world, const char *migrations, const char *version);
void must_go(struct world *world, const char *migrations, const char *version); /* and is there then */
/* The first finding that did not pass, "NAME: message"; "" when all did. */
const char *blocking(struct world *world, const char *migrations, const char *version);

#endif
