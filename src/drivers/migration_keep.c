/* Keeps the folder of the migrations with a capture (migration.h): what a tool reads, within limits, and nothing that may hold secrets. The driver's thread. */
#include "base/fs.h"
#include "base/text.h"
#include "drivers/migration_tools.h"

#define FILES_MAX 10000
#define BYTES_MAX (64u << 20)
#define DEPTH_MAX 16

const char *migration_live_dir(const struct migration_site *site)
{
	return fs_join(site->call->ctx, site->call->project_dir, site->params->dir ? site->params->dir : site->tool->dir);
}

struct copying {
	struct driver_call *call;
	size_t files, bytes;
};

static bool is_script_file(const char *name)
{
	static const char *const endings[] = { ".sql", ".plan", ".conf", ".xml", ".yaml", ".yml", ".json", ".csv", ".xsd" };

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (text_ends_with(name, endings[i]))
			return true;
	return false;
}

static int copy_file(struct copying *copying, const char *from, const char *to, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	size_t size;
	char *bytes;
	int r;

	r = fs_read(tmp, from, MIGRATION_SCRIPT_MAX, &bytes, &size, err);
	if (r < 0)
		return r;
	copying->bytes += size;
	if (++copying->files > FILES_MAX || copying->bytes > BYTES_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %d files or %s: that is no folder of migrations; set migrations.dir",
			FILES_MAX, text_format_size(tmp, BYTES_MAX));
	return fs_write_atomic(to, bytes, size, 0600, err);
}

static int copy_tree(struct copying *copying, const char *from, const char *to, int depth, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	char **names;
	int r = 0;

	if (depth == 0)
		return err_set(err, ERR_TOO_LARGE, "%s: more than %d folders within each other", from, DEPTH_MAX);
	r = fs_list(tmp, from, &names, err);
	for (; r == 0 && *names; names++) {
		char *one = fs_join(tmp, from, *names), *copy = fs_join(tmp, to, *names);
		struct stat st;

		if (**names == '.' || strcmp(*names, "node_modules") == 0 || lstat(one, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			r = copy_tree(copying, one, copy, depth - 1, err);
		else if (is_script_file(*names) && !fs_is_dir(one)) {
			r = fs_mkdirs(to, 0700, err);
			if (r == 0)
				r = copy_file(copying, one, copy, err);
		}
	}
	return r;
}

int migration_capture(struct driver_call *call, const struct migration_params *params, struct err *err)
{
	char *kept = fs_join(call->ctx, call->snapshot_dir, MIGRATION_KEPT);
	struct copying copying = { .call = call };
	struct migration_site site;
	const char *dir;
	int r;

	if (!params->tool)
		return 0;
	r = migration_site(call, params, NULL, &site, err);
	if (r == 0)
		r = fs_remove_tree(kept, err);
	if (r < 0)
		return r;
	dir = migration_live_dir(&site);
	if (!fs_is_dir(dir)) {
		call_log(call, LOG_WARN, "there is no folder of migrations %s: none are kept", dir);
		return 0;
	}
	r = fs_mkdirs(kept, 0700, err);
	if (r == 0)
		r = copy_tree(&copying, dir, kept, DEPTH_MAX, err);
	return r < 0 ? err_in(err, "migrations") : 0;
}
