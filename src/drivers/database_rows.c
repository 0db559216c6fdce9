/* Row lists of tables (database.h): written in any order, sorted, compared. Lines are gathered in memory; when a portion is full it is sorted and goes to an unnamed file beside the list, and the portions are merged at the
 * end. The files have no name from the moment they are made, so a kill leaves nothing. One thread per list. */
#include "drivers/database.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/text.h"

#ifdef UNSHIP_FAILPOINTS
#define PORTION_BYTES 4096 /* so that a small table is sorted in several portions */
#define PORTIONS_MAX  4
#else
#define PORTION_BYTES (32u << 20)
#define PORTIONS_MAX  64
#endif

struct row_list {
	char *path, *folder; /* path NULL: only the checksum is wanted */
	char *bytes;         /* lines "KEY TAB HASH", each with its 0 */
	size_t size, room, count, line_room;
	uint32_t *lines; /* where they begin */
	FILE *portions[PORTIONS_MAX];
	size_t portion_count;
};

static int close_portions(struct row_list *list)
{
	for (size_t i = 0; i < list->portion_count; i++)
		if (list->portions[i])
			(void)fclose(list->portions[i]);
	list->portion_count = 0;
	return 0;
}

int row_list_open(const void *ctx, const char *dir, const char *table, struct row_list **ret, struct err *err)
{
	struct row_list *list = mem_zero(ctx, struct row_list);
	int r;

	talloc_set_destructor(list, close_portions);
	list->folder = dir ? fs_join(list, dir, "rows") : mem_strdup(list, getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	list->path = dir ? fs_join(list, list->folder, database_file_name(list, table)) : NULL;
	r = dir ? fs_mkdirs(list->folder, 0700, err) : 0;
	if (r < 0) {
		(void)talloc_free(list);
		return r;
	}
	*ret = list;
	return 0;
}

void row_list_abort(struct row_list **list)
{
	(void)talloc_free(*list);
	*list = NULL;
}

/* Keys hold nothing below a blank, so the order of whole lines is that of the keys. */
static int line_order(const void *a, const void *b, void *bytes)
{
	return strcmp((char *)bytes + *(const uint32_t *)a, (char *)bytes + *(const uint32_t *)b);
}

static FILE *unnamed_file(const char *folder, struct err *err)
{
	_cleanup_talloc_ char *path = mem_printf(NULL, "%s/.portion-XXXXXX", folder);
	_cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
	FILE *file;

	if (fd < 0) {
		(void)err_errno(err, errno, "%s", folder);
		return NULL;
	}
	(void)unlink(path);
	file = fdopen(fd, "w+");
	if (!file) {
		(void)err_errno(err, errno, "%s", folder);
		return NULL;
	}
	(void)take_fd(fd);
	return file;
}

/* Reads one list line by line. */
struct reader {
	FILE *file;
	char *line; /* without its line break; NULL at the end */
	size_t room;
	char *key, *hash; /* in line */
};

static int next_line(struct reader *reader, struct err *err)
{
	ssize_t length = reader->file ? getline(&reader->line, &reader->room, reader->file) : -1;
	char *tab;

	if (length < 0) {
		bool failed = reader->file && ferror(reader->file);

		free(reader->line);
		reader->line = reader->key = reader->hash = NULL;
		return failed ? err_errno(err, errno, "row list") : 0;
	}
	if (length > 0 && reader->line[length - 1] == '\n')
		reader->line[length - 1] = 0;
	tab = strrchr(reader->line, '\t');
	if (!tab)
		return err_set(err, ERR_CORRUPT, "row list: a line without hash");
	*tab = 0;
	reader->key = reader->line;
	reader->hash = tab + 1;
	return 0;
}

static void close_reader(struct reader *reader)
{
	free(reader->line);
	if (reader->file)
		(void)fclose(reader->file);
}

/* Writes lines that come in order; equal keys without a hash are counted. */
struct writer {
	FILE *file;              /* NULL: only summed up */
	struct hash_stream *sum; /* of the finished list, which has counts in place of empty hashes; NULL: a portion */
	char *key, *hash;
	size_t key_room;
	int64_t times, rows;
};

static int put_line(struct writer *writer, const char *text, struct err *err)
{
	const char *const parts[] = { writer->key, "\t", text, "\n" };

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (writer->sum)
			hash_add(writer->sum, parts[i], strlen(parts[i]));
		if (writer->file && fputs(parts[i], writer->file) < 0)
			return err_errno(err, errno, "row list");
	}
	return 0;
}

static int flush_line(struct writer *writer, struct err *err)
{
	char number[32];
	int r = 0;

	if (writer->times == 0)
		return 0;
	writer->rows += writer->times;
	if (*writer->hash) {
		r = put_line(writer, writer->hash, err);
	} else if (writer->sum) {
		(void)snprintf(number, sizeof(number), "%lld", (long long)writer->times);
		r = put_line(writer, number, err);
	}
	for (int64_t i = 0; r == 0 && !writer->sum && !*writer->hash && i < writer->times; i++)
		r = put_line(writer, "", err);
	writer->times = 0;
	return r;
}

static int write_line(struct writer *writer, const char *key, const char *hash, struct err *err)
{
	int r;

	if (writer->times > 0 && strcmp(writer->key, key) == 0) {
		if (*hash || *writer->hash)
			return err_set(err, ERR_DRIVER, "two rows of the table have the same key %.100s", key);
		writer->times++;
		return 0;
	}
	r = flush_line(writer, err);
	if (r < 0)
		return r;
	(void)talloc_free(writer->key);
	(void)talloc_free(writer->hash);
	writer->key = mem_strdup(NULL, key);
	writer->hash = mem_strdup(NULL, hash);
	writer->times = 1;
	return 0;
}

static int end_writing(struct writer *writer, struct err *err)
{
	int r = flush_line(writer, err);

	(void)talloc_free(writer->key);
	(void)talloc_free(writer->hash);
	if (r == 0 && writer->file && fflush(writer->file) != 0)
		r = err_errno(err, errno, "row list");
	return r;
}

static void sort_memory(struct row_list *list)
{
	if (list->count)
		qsort_r(list->lines, list->count, sizeof(*list->lines), line_order, list->bytes);
}

static int write_memory(struct row_list *list, struct writer *writer, struct err *err)
{
	int r = 0;

	sort_memory(list);
	for (size_t i = 0; r == 0 && i < list->count; i++) {
		char *line = list->bytes + list->lines[i], *tab = strrchr(line, '\t');

		*tab = 0;
		r = write_line(writer, line, tab + 1, err);
	}
	list->count = list->size = 0;
	return r;
}

static size_t least(const struct reader *readers, size_t count)
{
	size_t found = count;

	for (size_t i = 0; i < count; i++)
		if (readers[i].line && (found == count || strcmp(readers[i].key, readers[found].key) < 0))
			found = i;
	return found;
}

/* All portions into the writer; they are gone then. */
static int merge_portions(struct row_list *list, struct writer *writer, struct err *err)
{
	struct reader readers[PORTIONS_MAX] = { 0 };
	size_t i, count = list->portion_count;
	int r = 0;

	for (i = 0; i < count; i++) {
		readers[i].file = take_pointer(list->portions[i]);
		rewind(readers[i].file);
		if (r == 0)
			r = next_line(&readers[i], err);
	}
	list->portion_count = 0;
	while (r == 0 && (i = least(readers, count)) < count) {
		r = write_line(writer, readers[i].key, readers[i].hash, err);
		if (r == 0)
			r = next_line(&readers[i], err);
	}
	for (i = 0; i < count; i++)
		close_reader(&readers[i]);
	return r;
}

static int spill(struct row_list *list, struct err *err)
{
	struct writer writer = { .file = unnamed_file(list->folder, err) };
	int r;

	if (!writer.file)
		return -(int)err->code;
	r = write_memory(list, &writer, err);
	if (end_writing(&writer, err) < 0 && r == 0)
		r = -(int)err->code;
	list->portions[list->portion_count++] = writer.file;
	if (r < 0 || list->portion_count < PORTIONS_MAX)
		return r;
	writer = (struct writer){ .file = unnamed_file(list->folder, err) };
	if (!writer.file)
		return -(int)err->code;
	r = merge_portions(list, &writer, err);
	if (end_writing(&writer, err) < 0 && r == 0)
		r = -(int)err->code;
	list->portions[list->portion_count++] = writer.file;
	return r;
}

static void make_room(struct row_list *list, size_t size)
{
	if (size > list->room) {
		list->room = MIN(MAX(2 * size, (size_t)4096), (size_t)PORTION_BYTES);
		list->bytes = mem_resize(list, list->bytes, char, list->room);
	}
	if (list->count == list->line_room) {
		list->line_room = MAX(2 * list->line_room, (size_t)64);
		list->lines = mem_resize(list, list->lines, uint32_t, list->line_room);
	}
}

int row_list_add(struct row_list *list, const char *key, const char *hash, struct err *err)
{
	size_t key_size = strlen(key), hash_size = hash ? strlen(hash) : 0;
	char *line;
	int r = 0;

	for (const char *c = key; *c; c++)
		if ((unsigned char)*c < ' ')
			return err_set(err, ERR_INVALID, "the key of a row holds a control character");
	if (key_size + hash_size + 2 > PORTION_BYTES)
		return err_set(err, ERR_TOO_LARGE, "the key of a row is longer than %u bytes", PORTION_BYTES);
	if (list->size + key_size + hash_size + 2 > PORTION_BYTES)
		r = spill(list, err);
	if (r < 0)
		return r;
	make_room(list, list->size + key_size + hash_size + 2);
	line = list->bytes + list->size;
	list->lines[list->count++] = (uint32_t)list->size;
	memcpy(line, key, key_size);
	line[key_size] = '\t';
	if (hash)
		memcpy(line + key_size + 1, hash, hash_size);
	line[key_size + 1 + hash_size] = 0;
	list->size += key_size + hash_size + 2;
	return 0;
}

static int write_all(struct row_list *list, const char *partial, int64_t *ret_rows, char ret_checksum[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_fclose_ FILE *file = partial ? fopen(partial, "we") : NULL;
	struct writer writer = { .file = file, .sum = hash_begin(list) };
	int r;

	if (partial && !file)
		return err_errno(err, errno, "%s", partial);
	if (list->portion_count == 0) {
		r = write_memory(list, &writer, err);
	} else {
		r = spill(list, err);
		if (r == 0)
			r = merge_portions(list, &writer, err);
	}
	if (end_writing(&writer, err) < 0 && r == 0)
		r = -(int)err->code;
	if (r == 0 && file && (fchmod(fileno(file), 0600) < 0 || fsync(fileno(file)) < 0))
		r = err_errno(err, errno, "%s", partial);
	*ret_rows = writer.rows;
	hash_end(writer.sum, ret_checksum);
	return r;
}

int row_list_close(struct row_list *list, int64_t *ret_rows, char ret_checksum[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_(row_list_abort) struct row_list *mine = list;
	char *partial = list->path ? mem_printf(list, "%s/.partial", list->folder) : NULL, checksum[HASH_HEX_SIZE];
	int64_t rows = 0;
	int r;

	r = write_all(mine, partial, &rows, checksum, err);
	if (r == 0 && partial && rename(partial, list->path) < 0)
		r = err_errno(err, errno, "%s", list->path);
	if (r < 0 && partial)
		(void)unlink(partial);
	if (r < 0)
		return r;
	*ret_rows = rows;
	memcpy(ret_checksum, checksum, sizeof(checksum));
	return 0;
}

/* ---- comparing ---- */

static int open_reader(const char *dir, const char *table, struct reader *ret, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *path = mem_printf(ctx, "%s/rows/%s", dir, database_file_name(ctx, table));

	*ret = (struct reader){ .file = fopen(path, "re") };
	if (!ret->file)
		return errno == ENOENT ? 0 : err_errno(err, errno, "%s", path);
	return next_line(ret, err);
}

/* How many rows a line stands for: the number in place of a hash, for a table without primary key. */
static int count_of(const struct reader *reader, int64_t *ret, struct err *err)
{
	*ret = 1;
	return *reader->key == '[' ? 0 : text_parse_int(reader->hash, 1, INT64_MAX, ret, err);
}

static int tell_equal_keys(const struct reader *then, const struct reader *now, row_change_handler handler, void *user, struct err *err)
{
	int64_t before, after;
	int r;

	if (strcmp(then->hash, now->hash) == 0)
		return 0;
	if (*now->key == '[')
		return handler(user, ROW_CHANGED, now->key, 1, err);
	r = count_of(then, &before, err);
	if (r == 0)
		r = count_of(now, &after, err);
	if (r < 0)
		return r;
	return after > before ? handler(user, ROW_ADDED, now->key, after - before, err)
			      : handler(user, ROW_REMOVED, now->key, before - after, err);
}

static int tell_one(const struct reader *reader, enum row_change change, row_change_handler handler, void *user, struct err *err)
{
	int64_t times;
	int r = count_of(reader, &times, err);

	return r < 0 ? r : handler(user, change, reader->key, times, err);
}

static int step_both(struct reader *then, struct reader *now, row_change_handler handler, void *user, struct err *err)
{
	int order = !then->line ? 1 : !now->line ? -1 : strcmp(then->key, now->key);
	int r;

	if (order == 0)
		r = tell_equal_keys(then, now, handler, user, err);
	else
		r = order < 0 ? tell_one(then, ROW_REMOVED, handler, user, err) : tell_one(now, ROW_ADDED, handler, user, err);
	if (r == 0 && order <= 0)
		r = next_line(then, err);
	return r == 0 && order >= 0 ? next_line(now, err) : r;
}

int row_lists_compare(const char *dir_then, const char *dir_now, const char *table, row_change_handler handler, void *user, struct err *err)
{
	_cleanup_(close_reader) struct reader then = { 0 }, now = { 0 };
	int r;

	r = open_reader(dir_then, table, &then, err);
	if (r == 0)
		r = open_reader(dir_now, table, &now, err);
	while (r == 0 && (then.line || now.line))
		r = step_both(&then, &now, handler, user, err);
	return r < 0 ? err_in(err, "table '%s'", table) : 0;
}
