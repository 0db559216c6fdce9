/* Environments of the programs that drivers start: a few variables that every program may know, then those of an env file, of the
 * configuration, and the driver's own. */
#ifndef DRIVERS_ENV_H
#define DRIVERS_ENV_H

#include "core/driver.h"

struct env {
	void *ctx;
	const char **list; /* "NAME=value", NULL-terminated: what proc_spec wants */
	size_t count;
};

/* PATH, HOME, LANG, TZ and TMPDIR of ours. */
struct env *env_new(const void *ctx);
/* Adds or replaces. */
void env_put(struct env *env, const char *name, const char *value);
/* Members of an object: text, numbers, booleans, or secret references, which are resolved now. NULL: nothing. */
must_check int env_put_map(struct env *env, struct driver_call *call, json_t *map, struct err *err);
/* A file of NAME=value lines: blank lines and # comments are skipped, "export " before a name too; a value in '...' is taken as it is,
 * in "..." with \n, \", \\ and \$. Nothing is expanded.
 * ERR_INVALID with the line. */
must_check int env_put_file(struct env *env, const char *path, struct err *err);

#endif
