/* Copies for rehearsals (sandbox.h). Paths are compared as text, after "." and ".." are taken out of them. Threads: the process has one. */
#include "drivers/sandbox.h"

#include <errno.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/database.h"

#define NAME_MAX_BYTES 63 /* of a database; PostgreSQL's */
#define DEPTH_MAX      64
#define OUTSIDE        "outside"

/* Absolute, without "." and "..". */
static char *plain(const void *ctx, const char *path)
{
	char **parts = text_split(ctx, path, '/'), **kept = mem_array(ctx, char *, strlen(path) + 1), *whole = mem_strdup(ctx, "");
	size_t count = 0;

	for (; *parts; parts++) {
		if (!strcmp(*parts, ".."))
			count -= count > 0;
		else if (strcmp(*parts, ".") != 0)
			kept[count++] = *parts;
	}
	for (size_t i = 0; i < count; i++)
		whole = mem_appendf(whole, "/%s", kept[i]);
	return whole;
}

char *sandbox_path(struct driver_call *call, const char *path)
{
	char *whole = plain(call->ctx, fs_join(call->ctx, call->project_dir, path)), *project = plain(call->ctx, call->project_dir);
	size_t length = strlen(project);

	if (strncmp(whole, project, length) != 0 || (whole[length] && whole[length] != '/'))
		return mem_printf(call->ctx, OUTSIDE "%s", whole);
	return mem_strdup(call->ctx, whole[length] ? whole + length + 1 : ".");
}

bool sandbox_keeps_path(struct driver_call *call, const char *path)
{
	return *path != '/' && strncmp(sandbox_path(call, path), OUTSIDE "/", strlen(OUTSIDE "/")) != 0;
}

json_t *sandbox_config(struct driver_call *call, const char *const *paths, const char *const *without)
{
	json_t *config = json_keep(call->ctx, json_copy(call->component));

	(void)json_object_del(config, "sandbox");
	for (; without && *without; without++)
		(void)json_object_del(config, *without);
	for (; paths && *paths; paths++) {
		const char *path = json_str(config, *paths, NULL);

		if (path)
			json_put_str(config, *paths, sandbox_path(call, path));
	}
	return config;
}

void sandbox_keep_files(struct driver_call *call, json_t *config, const char *const *members)
{
	for (; *members; members++) {
		const char *path = json_str(config, *members, NULL);

		if (path)
			json_put_str(config, *members, fs_join(call->ctx, call->project_dir, path));
	}
}

void sandbox_override(struct driver_call *call, json_t *config)
{
	const char *name;
	json_t *value;

	json_object_foreach(call->overrides, name, value)
		json_put(config, name, value);
}

struct driver_call sandbox_call(const struct driver_call *call, const void *params)
{
	struct driver_call there = *call;

	there.project_dir = call->sandbox_dir;
	there.state_dir = fs_join(call->ctx, call->sandbox_dir, ".deployments");
	there.store = fs_join(call->ctx, there.state_dir, "unship.db");
	there.params = params;
	return there;
}

/* ---- copying ---- */

/* `depth`: how many folders of the tree are above the link. One that leads out of the tree would lead out of the copy, to the real thing. */
static int copy_link(struct driver_call *call, const char *from, const char *to, int depth, struct err *err)
{
	char target[4096], **parts;
	ssize_t n = readlink(from, target, sizeof(target) - 1);

	if (n < 0)
		return err_errno(err, errno, "%s", from);
	target[n] = '\0';
	for (parts = text_split(call->ctx, target, '/'); *parts && depth >= 0; parts++)
		depth += !strcmp(*parts, "..") ? -1 : strcmp(*parts, ".") != 0;
	if (depth < 0 || *target == '/') {
		call_log(call, LOG_WARN, "%s leads to %s, which is not part of the copy: left out", from, target);
		return 0;
	}
	return fs_symlink_atomic(target, to, err);
}

/* Sockets and devices are not copied: nobody would be at the other end. */
static int copy_any(struct driver_call *call, const char *from, const char *to, int depth, struct err *err)
{
	struct stat st;
	char **names;
	int r;

	if (lstat(from, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(err, errno, "%s", from);
	if (fs_exists(to) && !S_ISDIR(st.st_mode))
		return 0;
	if (depth > DEPTH_MAX)
		return err_set(err, ERR_TOO_LARGE, "%s: folders are nested more than %d deep", from, DEPTH_MAX);
	if (S_ISLNK(st.st_mode))
		return copy_link(call, from, to, depth - 1, err);
	if (S_ISREG(st.st_mode))
		return fs_copy(from, to, false, err);
	if (!S_ISDIR(st.st_mode))
		return 0;
	r = fs_mkdirs(to, (st.st_mode & 07777) | 0700, err);
	if (r == 0)
		r = fs_list(call->ctx, from, &names, err);
	for (; r == 0 && *names; names++)
		r = copy_any(call, fs_join(call->ctx, from, *names), fs_join(call->ctx, to, *names), depth + 1, err);
	return r;
}

int sandbox_copy(struct driver_call *call, const char *path, struct err *err)
{
	char *from = fs_join(call->ctx, call->project_dir, path), *to = fs_join(call->ctx, call->sandbox_dir, sandbox_path(call, path)),
	     *parent = mem_strdup(call->ctx, to);
	int r;

	*strrchr(parent, '/') = '\0';
	r = fs_mkdirs(parent, 0700, err);
	if (r == 0)
		r = copy_any(call, from, to, 0, err);
	FAILPOINT("sandbox.copied");
	return r < 0 ? err_in(err, "copying %s", path) : 0;
}

int sandbox_migrations(struct driver_call *call, const char *dir, json_t *config, struct err *err)
{
	json_t *migrations = dir ? json_keep(call->ctx, json_copy(json_object_get(config, "migrations"))) : NULL;

	if (!migrations)
		return 0;
	json_put_str(migrations, "dir", sandbox_path(call, dir));
	json_put(config, "migrations", migrations);
	return sandbox_copy(call, dir, err);
}

/* ---- databases on servers ---- */

bool sandbox_stands_elsewhere(struct driver_call *call, const char *const *members)
{
	for (; *members; members++)
		if (json_object_get(call->overrides, *members))
			return true;
	return false;
}

char *sandbox_name(struct driver_call *call)
{
	const char *slash = strrchr(call->sandbox_dir, '/');
	char *name = mem_strdup(call->ctx, slash ? slash + 1 : call->sandbox_dir);

	for (char *at = name; *at; at++)
		if (*at == '-' || *at == '.')
			*at = '_';
	return name;
}

int sandbox_database_name(struct driver_call *call, const char *database, char **ret, struct err *err)
{
	char *name = mem_printf(call->ctx, "%s_%s", database, sandbox_name(call));

	if (strlen(name) > NAME_MAX_BYTES)
		return err_set(err, ERR_UNSUPPORTED, "the name of the database is too long for a copy beside it: at most %d characters",
			NAME_MAX_BYTES - (int)strlen(sandbox_name(call)) - 1);
	*ret = name;
	return 0;
}

/* The server and the secrets are those of the project; only the database and the folders are others. */
static struct driver_call database_call(struct driver_call *call, const void *params, const char *folder)
{
	struct driver_call there = *call;

	there.params = params;
	there.target = NULL;
	there.source_dir = NULL;
	there.ledger_dir = NULL;
	there.run_id = sandbox_name(call);
	there.state_dir = fs_join(call->ctx, call->sandbox_dir, ".deployments");
	there.snapshot_dir = mem_printf(call->ctx, "%s/%s/%s", there.state_dir, folder, call->name);
	return there;
}

int sandbox_database_fill(struct driver_call *call, const struct driver *driver, const void *copy, struct err *err)
{
	struct driver_call from = database_call(call, call->params, "clones"), to = database_call(call, copy, "clones");
	int r;

	r = fs_mkdirs(from.snapshot_dir, 0700, err);
	if (r == 0)
		r = driver->capture(&from, err);
	return r < 0 ? r : driver->undo(&to, err);
}

int sandbox_database_drop(struct driver_call *call, const struct driver *driver, const void *copy, struct err *err)
{
	struct driver_call to = database_call(call, copy, "gone");
	int r;

	r = database_capture_begin(&to, "none", true, err);
	return r < 0 ? r : driver->undo(&to, err);
}
