#include "repository.h"

#include <string.h>

#include "base/clock.h"
#include "base/proc.h"

int world_setup(void **state)
{
	const char *base = getenv("TMPDIR");
	struct world *world = mem_zero(NULL, struct world);

	world->root = mem_printf(world, "%s/unship-vcs-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(world->root))
		return -1;
	world->dir = mem_printf(world, "%s/repo", world->root);
	if (mkdir(world->dir, 0755) < 0)
		return -1;
	git(world, "init", "-q", "-b", "main");
	*state = world;
	return 0;
}

int world_teardown(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	int r = fs_remove_tree(world->root, &error);

	(void)talloc_free(world);
	return r;
}

char *git_in(struct world *world, const char *dir, const char *input, const char *const *argv)
{
	char *date = mem_printf(world, "%d +0200", 1750000000 + 60 * world->clock);
	const char *env[] = {
		mem_printf(world, "PATH=%s", getenv("PATH")),
		mem_printf(world, "HOME=%s", world->root),
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ana Ćosić",
		"GIT_AUTHOR_EMAIL=ana@example.com",
		"GIT_COMMITTER_NAME=Bot",
		"GIT_COMMITTER_EMAIL=bot@example.com",
		mem_printf(world, "GIT_AUTHOR_DATE=%s", date),
		mem_printf(world, "GIT_COMMITTER_DATE=%s", date),
		NULL,
	};
	struct proc_spec spec = { .argv = argv, .env = env, .dir = dir, .input = input, .input_size = input ? strlen(input) : 0 };
	struct proc_result result;
	struct err error = ERR_INIT;

	spec.deadline_ms = clock_mono_ms() + 120000;
	assert_ok(proc_run_ok(world, &spec, &result, &error));
	if (result.output_size && result.output[result.output_size - 1] == '\n')
		result.output[result.output_size - 1] = '\0';
	return result.output;
}

void put_file(struct world *world, const char *path, const char *text)
{
	char *whole = fs_join(world, world->dir, path), *slash;
	char *folder = mem_strdup(world, whole);
	struct err error = ERR_INIT;

	slash = strrchr(folder, '/');
	*slash = '\0';
	assert_ok(fs_mkdirs(folder, 0755, &error));
	assert_ok(fs_write_atomic(whole, text, strlen(text), 0644, &error));
}

char *commit_file(struct world *world, const char *path, const char *text, const char *message)
{
	world->clock++;
	put_file(world, path, text);
	git(world, "add", "-A");
	git(world, "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", message);
	return git(world, "rev-parse", "HEAD");
}
