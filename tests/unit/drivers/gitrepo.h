/* A git repository for tests, made with the git program, without anybody's own configuration. */
#ifndef TESTS_DRIVERS_GITREPO_H
#define TESTS_DRIVERS_GITREPO_H

#include <stdarg.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"

/* Runs git in `dir`; arguments end with NULL. Its standard output without the line break. */
static inline char *git(const void *ctx, const char *dir, ...)
{
	const char *argv[32] = { "git" };
	const char *env[] = { mem_printf(ctx, "PATH=%s", getenv("PATH")), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.com", "GIT_COMMITTER_NAME=Ana",
		"GIT_COMMITTER_EMAIL=ana@example.com", NULL };
	struct proc_spec spec = { .argv = argv, .env = env, .dir = dir, .deadline_ms = clock_mono_ms() + 60000 };
	struct proc_result result;
	struct err err = ERR_INIT;
	va_list arguments;
	size_t count = 1;

	va_start(arguments, dir);
	while ((argv[count] = va_arg(arguments, const char *)))
		count++;
	va_end(arguments);
	if (proc_run_ok(ctx, &spec, &result, &err) < 0)
		fail_msg("git: %s", err.text);
	result.output[strcspn(result.output, "\n")] = 0;
	return result.output;
}

static inline void put_file(const void *ctx, const char *dir, const char *name, const char *text)
{
	char *path = fs_join(ctx, dir, name), *parent = mem_strdup(ctx, path);
	struct err err = ERR_INIT;

	*strrchr(parent, '/') = 0;
	assert_int_equal(fs_mkdirs(parent, 0755, &err), 0);
	assert_int_equal(fs_write_atomic(path, text, strlen(text), 0644, &err), 0);
}

static inline char *get_file(const void *ctx, const char *dir, const char *name)
{
	struct err err = ERR_INIT;
	char *text;

	if (fs_read(ctx, fs_join(ctx, dir, name), 1 << 20, &text, NULL, &err) < 0)
		return NULL;
	return text;
}

/* Commits all that stands in `dir` and tags it. */
static inline char *git_commit_tag(const void *ctx, const char *dir, const char *tag)
{
	git(ctx, dir, "add", "-A", NULL);
	git(ctx, dir, "commit", "-q", "--allow-empty", "-m", tag, NULL);
	git(ctx, dir, "tag", "-a", "-m", tag, tag, NULL);
	return git(ctx, dir, "rev-parse", "HEAD", NULL);
}

#endif
