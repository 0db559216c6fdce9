/* Kept contents of configuration files (files_kept.h). Names in the folder are numbers, so no path of a configuration ever becomes a
 * path in a snapshot. No state; any thread. */
#include "drivers/files_kept.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"

#define FILES_MAX 10000u
#define INDEX_MAX ((size_t)8 << 20)

static int by_path(const void *a, const void *b)
{
	return strcmp((*(const struct config_file *const *)a)->path, (*(const struct config_file *const *)b)->path);
}

/* The order of the configuration plays no part, and neither do modes: the version says what a program reads. */
static char *version_of(const void *ctx, const struct config_files *files)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	const struct config_file **sorted = mem_array(work, const struct config_file *, files->count + 1);
	char *text = mem_strdup(work, ""), sum[HASH_HEX_SIZE];
	bool any = false;

	for (size_t i = 0; i < files->count; i++)
		sorted[i] = &files->list[i];
	qsort(sorted, files->count, sizeof(*sorted), by_path);
	for (size_t i = 0; i < files->count; i++) {
		any = any || sorted[i]->present;
		text = mem_appendf(text, "%zu:%s=%s\n", strlen(sorted[i]->path), sorted[i]->path,
			sorted[i]->present ? sorted[i]->sum : "absent");
	}
	hash_blake2b_hex(text, strlen(text), sum);
	return any ? mem_printf(ctx, "cfg-%.12s", sum) : mem_strdup(ctx, "");
}

static int read_one(const void *ctx, const char *root, struct config_file *file, struct err *err)
{
	char *path = fs_join(ctx, root, file->path);
	struct stat st;
	int r;

	if (stat(path, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return err_errno(err, errno, "%s", file->path);
	}
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: not a file", file->path);
	r = fs_read(ctx, path, FILES_SIZE_MAX, &file->text, &file->size, err);
	if (r == -ERR_NOT_FOUND) /* removed just now */
		return 0;
	if (r < 0)
		return r;
	file->present = true;
	file->mode = st.st_mode & 07777;
	hash_blake2b_hex(file->text, file->size, file->sum);
	return 0;
}

int files_read(const void *ctx, const char *root, const char *const *paths, struct config_files *ret, struct err *err)
{
	struct config_files files = { 0 };
	size_t count = 0;

	while (paths[count])
		count++;
	files.list = mem_array(ctx, struct config_file, count + 1);
	for (; files.count < count; files.count++) {
		struct config_file *file = &files.list[files.count];
		int r;

		if (files_find(&files, paths[files.count]))
			return err_set(err, ERR_INVALID, "paths: '%s' stands twice", paths[files.count]);
		file->path = mem_strdup(ctx, paths[files.count]);
		r = read_one(ctx, root, file, err);
		if (r < 0)
			return r;
	}
	files.version = version_of(ctx, &files);
	*ret = files;
	return 0;
}

static int write_kept(const char *path, const struct config_file *file, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	r = fs_write_all(fd, file->text, file->size, err);
	if (r < 0)
		return err_in(err, "%s", path);
	return fdatasync(fd) < 0 ? err_errno(err, errno, "%s", path) : 0;
}

static json_t *index_json(const struct config_files *files)
{
	json_t *list = json_array(), *index = json_object();

	for (size_t i = 0; i < files->count; i++) {
		const struct config_file *file = &files->list[i];
		json_t *item = json_object();
		char text[32];

		json_put_str(item, "path", file->path);
		json_put_flag(item, "present", file->present);
		if (file->present) {
			snprintf(text, sizeof(text), "%zu", i);
			json_put_str(item, "name", text);
			json_put_int(item, "size", (int64_t)file->size);
			snprintf(text, sizeof(text), "%04o", (unsigned)file->mode);
			json_put_str(item, "mode", text);
			json_put_str(item, "blake2b", file->sum);
		}
		(void)json_array_append_new(list, item);
	}
	json_put_int(index, "format", 1);
	json_put_str(index, "version", files->version);
	(void)json_object_set_new(index, "files", list);
	return index;
}

int files_keep(const char *dir, const struct config_files *files, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *folder = fs_join(ctx, dir, "files"), *index = fs_join(ctx, dir, "index.json"), *text;
	int r;

	/* The index goes first and comes last: what it names is always whole. */
	r = fs_remove_tree(index, err);
	if (r == 0)
		r = fs_remove_tree(folder, err);
	if (r == 0)
		r = fs_mkdirs(folder, 0700, err);
	for (size_t i = 0; r == 0 && i < files->count; i++)
		if (files->list[i].present)
			r = write_kept(mem_printf(ctx, "%s/%zu", folder, i), &files->list[i], err);
	if (r == 0)
		r = fs_sync_dir(folder, err);
	if (r < 0)
		return r;
	text = json_pretty(ctx, json_keep(ctx, index_json(files)));
	return fs_write_atomic(index, text, strlen(text), 0600, err);
}

static int parse_file(const void *ctx, const json_t *item, struct config_file *ret, struct err *err)
{
	const char *mode = json_str(item, "mode", "0600"), *sum = json_str(item, "blake2b", "");

	ret->path = mem_strdup(ctx, json_str(item, "path", NULL));
	ret->present = json_flag(item, "present", false);
	if (!ret->path)
		return err_set(err, ERR_CORRUPT, "a file without a path");
	if (!ret->present)
		return 0;
	ret->name = mem_strdup(ctx, json_str(item, "name", ""));
	ret->size = (size_t)json_int(item, "size", 0);
	ret->mode = (mode_t)strtoul(mode, NULL, 8) & 07777;
	if (!*ret->name || strlen(ret->name) > 9 || ret->name[strspn(ret->name, "0123456789")] || strlen(sum) != HASH_HEX_SIZE - 1)
		return err_set(err, ERR_CORRUPT, "%s: its entry is damaged", ret->path);
	memcpy(ret->sum, sum, HASH_HEX_SIZE);
	return 0;
}

int files_kept(const void *ctx, const char *dir, struct config_files *ret, struct err *err)
{
	struct config_files files = { 0 };
	char *path = fs_join(ctx, dir, "index.json"), *text;
	json_t *index, *list, *item;
	size_t size, i;
	int r;

	r = fs_read(ctx, path, INDEX_MAX, &text, &size, err);
	if (r == -ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "no configuration is kept in %s", dir);
	if (r == 0)
		r = json_parse(ctx, text, size, INDEX_MAX, &index, err);
	if (r < 0) {
		(void)err_in(err, "%s", path);
		return err->code == ERR_IO ? -ERR_IO : err_as(err, ERR_CORRUPT);
	}
	list = json_object_get(index, "files");
	if (json_int(index, "format", 0) > 1)
		return err_set(err, ERR_NEWER, "%s was written by a newer unship", path);
	if (json_int(index, "format", 0) != 1 || !json_is_array(list) || json_array_size(list) > FILES_MAX)
		return err_set(err, ERR_CORRUPT, "%s: not an index of kept files", path);
	files.list = mem_array(ctx, struct config_file, json_array_size(list) + 1);
	json_array_foreach(list, i, item) {
		r = parse_file(ctx, item, &files.list[i], err);
		if (r < 0)
			return err_in(err, "%s", path);
	}
	files.count = json_array_size(list);
	files.version = mem_strdup(ctx, json_str(index, "version", ""));
	*ret = files;
	return 0;
}

int files_load(const void *ctx, const char *dir, struct config_file *file, struct err *err)
{
	char *path = mem_printf(ctx, "%s/files/%s", dir, file->name), sum[HASH_HEX_SIZE];
	int r;

	r = fs_read(ctx, path, FILES_SIZE_MAX, &file->text, &file->size, err);
	if (r == -ERR_NOT_FOUND)
		return err_as(err, ERR_CORRUPT);
	if (r < 0)
		return r;
	hash_blake2b_hex(file->text, file->size, sum);
	if (strcmp(sum, file->sum) != 0)
		return err_set(err, ERR_CORRUPT, "%s: the kept content of %s is damaged", path, file->path);
	return 0;
}

struct config_file *files_find(const struct config_files *files, const char *path)
{
	for (size_t i = 0; i < files->count; i++)
		if (strcmp(files->list[i].path, path) == 0)
			return &files->list[i];
	return NULL;
}
