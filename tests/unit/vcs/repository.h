/* Real repositories for tests, made with the git program, which sees no configuration of the user. */
#ifndef TESTS_VCS_REPOSITORY_H
#define TESTS_VCS_REPOSITORY_H

#include "checks.h"

#include "base/fs.h"
#include "vcs/vcs.h"

/* *state: struct world, an empty repository in dir. */
struct world {
	char *root, *dir;
	int clock; /* every commit is a minute later */
};
int world_setup(void **state);
int world_teardown(void **state);

/* Runs git in world->dir (or `dir`); fails the test when git fails. The output without its last newline belongs to the world. */
char *git_in(struct world *world, const char *dir, const char *input, const char *const *argv);
#define git(world, ...) git_in(world, (world)->dir, NULL, (const char *const[]){ "git", __VA_ARGS__, NULL })
void put_file(struct world *world, const char *path, const char *text);
/* Writes the file, adds all, commits; returns the SHA. */
char *commit_file(struct world *world, const char *path, const char *text, const char *message);

#endif
