/* What belongs to every snapshot of a run beside what the drivers captured (project_files.h). Follows no link out of the project. No state; any thread. */
#include "snapshot/project_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"

/* Copies a file, or a link as a link. Files that are not there and what leads out of the project are left alone. */
static int copy_one(const void *ctx, const char *project_dir, const char *name, const char *to, struct err *err)
{
	char *from = fs_join(ctx, project_dir, name), *slash = strrchr(name, '/'), *inside, *real, *real_project;
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;
	int r;

	if (slash) { /* a folder of the project that is a link to somewhere else is not the project's */
		inside = realpath(fs_join(ctx, project_dir, mem_strndup(ctx, name, (size_t)(slash - name))), NULL);
		real = mem_strdup(ctx, inside);
		free(inside);
		inside = realpath(project_dir, NULL);
		real_project = mem_strdup(ctx, inside);
		free(inside);
		if (!real || !real_project || !text_starts_with(real, mem_printf(ctx, "%s/", real_project)))
			return 0;
	}
	if (lstat(from, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(err, errno, "%s", from);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return 0;
	r = fs_remove_tree(to, err);
	if (r == 0 && S_ISREG(st.st_mode))
		return fs_copy(from, to, false, err);
	if (r < 0)
		return r;
	n = readlink(from, target, sizeof(target) - 1);
	if (n < 0)
		return err_errno(err, errno, "%s", from);
	target[n] = 0;
	return symlink(target, to) < 0 ? err_errno(err, errno, "%s", to) : 0;
}

int snapshot_add_project(const char *folder, const char *environment, const char *project_dir, json_t *observed, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *names[] = { ".env", mem_printf(ctx, ".env.%s", environment), mem_printf(ctx, "config/%s.json", environment),
		mem_printf(ctx, "config/%s.yaml", environment), "docker-compose.yml", "compose.yaml", "unship.yaml" };
	char *state, *text;
	size_t i;
	int r;

	if (!text_is_name(environment))
		return err_set(err, ERR_INVALID, "'%s' is not the name of an environment", environment);
	r = fs_mkdirs(mem_printf(ctx, "%s/config/config", folder), 0700, err);
	for (i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
		r = copy_one(ctx, project_dir, names[i], mem_printf(ctx, "%s/config/%s", folder, names[i]), err);
	if (r < 0)
		return r;
	state = mem_printf(ctx, "%s/state/%s-state.json", folder, environment);
	text = json_pretty(ctx, observed);
	r = fs_remove_tree(state, err);
	if (r == 0) {
		_cleanup_close_ int fd = open(state, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

		r = fd < 0 ? err_errno(err, errno, "%s", state) : fs_write_all(fd, text, strlen(text), err);
	}
	return r;
}
