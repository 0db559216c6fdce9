/* Copies of components for rehearsals (docs/drill.md): what drivers need to make one.
 *
 * The copy has a project folder of its own, sandbox_dir. A path of the configuration that leads into the project leads to the same place of that folder, so that components which share files (a release and the service that
 * runs it) still do; one that leads elsewhere is mapped below "outside/". */
#ifndef DRIVERS_SANDBOX_H
#define DRIVERS_SANDBOX_H

#include "core/driver.h"

/* Where a path of the configuration leads in the copy: relative to sandbox_dir. */
char *sandbox_path(struct driver_call *call, const char *path);
/* Does it lead to the same relative path there? */
bool sandbox_keeps_path(struct driver_call *call, const char *path);
/* The component's configuration for the copy to begin with: as written, with the paths that `paths` (NULL-terminated; may be NULL) names mapped, and without the members `without`. */
json_t *sandbox_config(struct driver_call *call, const char *const *paths, const char *const *without);
/* Files of the project that the copy is to go on using, by the members that name them: their paths become absolute. */
void sandbox_keep_files(struct driver_call *call, json_t *config, const char *const *members);
/* Then the user's own members replace those; *ret_config is kept. */
void sandbox_override(struct driver_call *call, json_t *config);
/* Copies a file, link or folder of the project to its place in the copy; what is there already stays. Links that lead out of it are left out. Nothing to copy: success. */
must_check int sandbox_copy(struct driver_call *call, const char *path, struct err *err);
/* The folder of a member `migrations` is copied, and named in the configuration; `dir` NULL: there is none. */
must_check int sandbox_migrations(struct driver_call *call, const char *dir, json_t *config, struct err *err);
/* Does `sandbox:` give one of these members? Then it says where a copy stands, which is used as it is: nothing is copied there, and nothing removed. */
bool sandbox_stands_elsewhere(struct driver_call *call, const char *const *members);
/* The name of the copy among others, from its folder: "drl_01jd..."; users write it as ${sandbox.name}. */
char *sandbox_name(struct driver_call *call);
/* Of a database on a server the copy stands on the same server, as NAME_ and the name of the copy. ERR_UNSUPPORTED: that is longer than a name may be. */
must_check int sandbox_database_name(struct driver_call *call, const char *database, char **ret, struct err *err);
/* Fills it: what the driver captures of the real one is what it returns to in the copy. `copy`: params that lead to the copy. */
must_check int sandbox_database_fill(struct driver_call *call, const struct driver *driver, const void *copy, struct err *err);
/* Removes it: a return to there being none. */
must_check int sandbox_database_drop(struct driver_call *call, const struct driver *driver, const void *copy, struct err *err);
/* A call as it will be made in the copy, by a driver with these params. */
struct driver_call sandbox_call(const struct driver_call *call, const void *params);

#endif
