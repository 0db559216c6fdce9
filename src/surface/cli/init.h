/* Private to `unship init`: what was found in a folder. */
#ifndef CLI_INIT_H
#define CLI_INIT_H

#include "data/json.h"

/* Looks at a folder; changes nothing, starts nothing. In ctx: a list of {"kind", "path" (relative, or absolute outside), "note" (for
 * people), ...}, sorted by kind in the order in which they are written, then by path:
 *   releases    a folder with releases/ and a link `current`
 *   git         a repository; "commits": it has some; "tag" is its newest version, when there is one
 *   compose     a Docker Compose file; "services"
 *   docker      a Dockerfile
 *   kubernetes  a configuration of kubectl; "context" when one is chosen
 *   systemd     a unit file *.service
 *   vercel, wrangler
 *   procfile    one line of a Procfile; "name", "argv" (absent when a shell is needed)
 *   npm         the start script of package.json; "argv"
 *   sqlite      a database file
 *   program     what may be a program, by its name ("argv"), or a target of a Makefile that starts one (no "argv")
 *   config      an environment or configuration file; "port" when PORT is set in it
 * What cannot be read is passed over: init is a help, not a check. */
json_t *init_look(const void *ctx, const char *dir);

#endif
