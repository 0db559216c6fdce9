/* The file beside a release directory; see release.h. No state; any thread. */
#include "drivers/release.h"

#include <errno.h>

#include "base/fs.h"
#include "data/json.h"

#define RELEASE_FILE_MAX 65536

int release_read(const void *ctx, const char *path, struct release *ret, struct err *err)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	struct err why = ERR_INIT;
	json_t *file;
	size_t size;
	char *text;
	int r;

	if (!real)
		return err_errno(err, errno, "%s", path);
	*ret = (struct release){ .path = mem_strdup(ctx, real) };
	ret->name = ret->version = strrchr(ret->path, '/') + 1;
	r = fs_read(ctx, mem_printf(ctx, "%s.json", real), RELEASE_FILE_MAX, &text, &size, &why);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = json_parse(ctx, text, size, RELEASE_FILE_MAX, &file, &why);
	if (r < 0) {
		*err = why;
		return err_in(err, "release '%s'", ret->name);
	}
	ret->version = json_str(file, "version", ret->name);
	ret->commit = json_str(file, "commit", NULL);
	ret->subdir = json_str(file, "subdir", NULL);
	ret->created_ms = json_int(file, "createdMs", 0);
	return 0;
}

int release_write(const char *path, const struct release *release, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *file = json_keep(ctx, json_object());
	char *text;

	json_put_str(file, "version", release->version);
	json_put_str(file, "commit", release->commit);
	json_put_str(file, "subdir", release->subdir);
	json_put_int(file, "createdMs", release->created_ms);
	text = mem_append(json_pretty(ctx, file), "\n");
	return fs_write_atomic(mem_printf(ctx, "%s.json", path), text, strlen(text), 0644, err);
}
