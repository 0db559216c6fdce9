/* The well-known configuration files of a project, and what was observed of it, beside what the drivers captured. */
#ifndef SNAPSHOT_PROJECT_FILES_H
#define SNAPSHOT_PROJECT_FILES_H

#include "base/err.h"
#include "data/json.h"

/* Writes state/{environment}-state.json and copies .env, .env.{environment}, config/{environment}.json, compose and project files into config/ of `folder`. Safe to repeat. */
must_check int snapshot_add_project(const char *folder, const char *environment, const char *project_dir, json_t *observed,
	struct err *err);

#endif
