/* Manifests (manifest.h). Reading trusts nothing: every path is relative and below a folder that was named before it, so nothing can be laid out elsewhere or through a link; the number of objects follows
 * from the size; order and spelling are those that writing gives. Names are decoded where they stand. */
#include "snapshot/manifest.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>

#include "base/text.h"

#define FORMAT  1
#define ID_TEXT ((size_t)OBJECT_ID_SIZE * 2)

size_t manifest_object_count(bool sealed, uint64_t size)
{
	if (size == 0)
		return 0;
	return sealed ? (size_t)((size + OBJECT_SEGMENT - 1) / OBJECT_SEGMENT) : 1;
}

size_t manifest_segment_size(const struct manifest_item *item, size_t segment)
{
	return (size_t)MIN(item->size - (uint64_t)segment * OBJECT_SEGMENT, OBJECT_SEGMENT);
}

bool manifest_is_path(const char *path)
{
	unsigned depth = 0;

	if (strlen(path) > MANIFEST_PATH_MAX)
		return false;
	for (;;) {
		size_t length = strcspn(path, "/");

		if (length == 0 || length > NAME_MAX || (path[0] == '.' && (length == 1 || (length == 2 && path[1] == '.'))) ||
			++depth > MANIFEST_DEPTH_MAX)
			return false;
		if (!path[length])
			return true;
		path += length + 1;
	}
}

int manifest_order(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (*a == '/' ? 1 : *a ? (uint8_t)*a + 1 : 0) - (*b == '/' ? 1 : *b ? (uint8_t)*b + 1 : 0);
}

static bool is_below(const char *path, const char *folder, size_t length)
{
	return strncmp(path, folder, length) == 0 && (!path[length] || path[length] == '/');
}

size_t manifest_below(const struct manifest *manifest, const char *path, size_t *ret_first)
{
	size_t low = 0, high = manifest->count, length = path ? strlen(path) : 0, count = 0;

	*ret_first = 0;
	if (!path)
		return manifest->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (manifest_order(manifest->items[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + count < manifest->count && is_below(manifest->items[low + count].path, path, length))
		count++;
	*ret_first = low;
	return count;
}

struct output {
	char *text;
	size_t size, room;
};

static char *reserve(struct output *output, size_t more)
{
	if (output->room - output->size < more) {
		output->room = MAX(output->room * 2, output->size + more);
		output->text = mem_resize(talloc_parent(output->text), output->text, char, output->room);
	}
	return output->text + output->size;
}

static void put_text(struct output *output, const char *text)
{
	size_t length = strlen(text);

	memcpy(reserve(output, length), text, length);
	output->size += length;
}

static bool is_escaped(uint8_t byte)
{
	return byte <= ' ' || byte == '\\' || byte == 0x7f;
}

static void put_name(struct output *output, const char *name)
{
	static const char digits[] = "0123456789abcdef";
	char *start = reserve(output, strlen(name) * 4), *to = start;

	for (; *name; name++) {
		uint8_t byte = (uint8_t)*name;

		if (!is_escaped(byte)) {
			*to++ = *name;
			continue;
		}
		*to++ = '\\';
		*to++ = 'x';
		*to++ = digits[byte >> 4];
		*to++ = digits[byte & 15];
	}
	output->size += (size_t)(to - start);
}

static void put_format(struct output *output, const char *format, ...) printf_like(2, 3);
static void put_format(struct output *output, const char *format, ...)
{
	char text[96];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put_text(output, text);
}

static void put_objects(struct output *output, const struct manifest_item *item)
{
	if (item->object_count == 0)
		put_text(output, " -");
	for (size_t i = 0; i < item->object_count; i++) {
		char *to = reserve(output, ID_TEXT + 2);

		*to = i ? ',' : ' ';
		sodium_bin2hex(to + 1, ID_TEXT + 1, item->objects[i].bytes, OBJECT_ID_SIZE);
		output->size += ID_TEXT + 1;
	}
}

char *manifest_write(const void *ctx, const struct manifest *manifest, size_t *ret_size)
{
	struct output output = { .text = mem_array(ctx, char, 1024), .room = 1024 };

	put_format(&output, "unship manifest %d\nproject ", FORMAT);
	put_name(&output, manifest->project);
	put_text(&output, "\nsnapshot ");
	put_name(&output, manifest->snapshot);
	put_format(&output, "\ncontent %s\nitems %zu %lld %lld\n", manifest->sealed ? "sealed 4194304" : "clear 0", manifest->count,
		(long long)manifest->files, (long long)manifest->bytes);
	for (size_t i = 0; i < manifest->count; i++) {
		const struct manifest_item *item = &manifest->items[i];

		if (item->type == MANIFEST_FOLDER)
			put_format(&output, "d %04o ", item->mode);
		else if (item->type == MANIFEST_FILE)
			put_format(&output, "f %04o %llu ", item->mode, (unsigned long long)item->size);
		else
			put_text(&output, "l ");
		put_name(&output, item->path);
		if (item->type == MANIFEST_FILE)
			put_objects(&output, item);
		if (item->type == MANIFEST_LINK) {
			put_text(&output, " ");
			put_name(&output, item->target);
		}
		put_text(&output, "\n");
	}
	put_text(&output, "end\n");
	*reserve(&output, 1) = 0;
	*ret_size = output.size;
	return output.text;
}

_Static_assert(OBJECT_SEGMENT == 4194304, "as it is written above");

struct input {
	char *at, *end; /* *end is 0 */
	size_t line;
};

/* The next line, its end cut off; NULL when there is none that is whole. */
static char *take_line(struct input *input)
{
	char *start = input->at, *stop = memchr(start, '\n', (size_t)(input->end - start));

	if (!stop)
		return NULL;
	*stop = 0;
	input->at = stop + 1;
	input->line++;
	return strlen(start) == (size_t)(stop - start) ? start : NULL; /* no 0 in it */
}

/* The next word of the line, ending at one blank or the end; NULL when there is none. */
static char *take_word(char **line)
{
	char *start = *line, *stop;

	if (!start || !*start || *start == ' ')
		return NULL;
	stop = strchr(start, ' ');
	*line = stop ? stop + 1 : NULL;
	if (stop)
		*stop = 0;
	return start;
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes in place; false when it is not written as put_name does. */
static bool decode_name(char *name)
{
	char *to = name;

	for (; *name; name++) {
		int high, low;

		if (*name != '\\') {
			if (is_escaped((uint8_t)*name))
				return false;
			*to++ = *name;
			continue;
		}
		if (name[1] != 'x')
			return false;
		high = digit_of(name[2]);
		low = high < 0 ? -1 : digit_of(name[3]);
		if (low < 0 || (high == 0 && low == 0) || !is_escaped((uint8_t)(high * 16 + low)))
			return false;
		*to++ = (char)(high * 16 + low);
		name += 3;
	}
	*to = 0;
	return true;
}

static bool parse_number(const char *word, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!word || !*word || (word[0] == '0' && word[1]))
		return false;
	for (; *word; word++) {
		if (*word < '0' || *word > '9' || value > max / 10)
			return false;
		value = value * 10 + (uint64_t)(*word - '0');
	}
	*ret = value;
	return value <= max;
}

static bool parse_mode(const char *word, unsigned *ret)
{
	if (!word || strlen(word) != 4 || strspn(word, "01234567") != 4)
		return false;
	*ret = (unsigned)strtoul(word, NULL, 8);
	return true;
}

static bool parse_objects(const struct manifest *manifest, struct manifest_item *item, const char *word)
{
	size_t count = manifest_object_count(manifest->sealed, item->size);

	if (!word || count == 0)
		return word && strcmp(word, "-") == 0;
	if (strlen(word) != count * (ID_TEXT + 1) - 1)
		return false;
	item->objects = mem_array(manifest, struct object_id, count);
	item->object_count = count;
	for (size_t i = 0; i < count; i++, word += ID_TEXT + 1) {
		if (strspn(word, "0123456789abcdef") < ID_TEXT || (word[ID_TEXT] && word[ID_TEXT] != ',') ||
			sodium_hex2bin(item->objects[i].bytes, OBJECT_ID_SIZE, word, ID_TEXT, NULL, NULL, NULL) != 0)
			return false;
	}
	return true;
}

/* "KEY VALUE"; the value decoded. */
static char *take_member(struct input *input, const char *key)
{
	char *line = take_line(input), *word = line ? take_word(&line) : NULL;

	return word && line && strcmp(word, key) == 0 && *line && decode_name(line) ? line : NULL;
}

static int parse_head(struct input *input, struct manifest *manifest, struct err *err)
{
	char *line = take_line(input), *content, *word;
	uint64_t format, count, files, bytes;

	if (!line || !text_starts_with(line, "unship manifest ") || !parse_number(line + strlen("unship manifest "), 1000, &format))
		return err_set(err, ERR_CORRUPT, "it is not a manifest");
	if (format > FORMAT)
		return err_set(err, ERR_NEWER, "it has format %d", (int)format);
	manifest->project = take_member(input, "project");
	manifest->snapshot = manifest->project ? take_member(input, "snapshot") : NULL;
	content = manifest->snapshot ? take_line(input) : NULL;
	if (format != FORMAT || !content)
		return err_set(err, ERR_CORRUPT, "its head is damaged");
	manifest->sealed = strcmp(content, "content sealed 4194304") == 0;
	line = take_line(input);
	word = line ? take_word(&line) : NULL;
	if ((!manifest->sealed && strcmp(content, "content clear 0") != 0) || !word || strcmp(word, "items") != 0 ||
		!parse_number(take_word(&line), SIZE_MAX / 2, &count) || !parse_number(take_word(&line), INT64_MAX, &files) ||
		!parse_number(take_word(&line), INT64_MAX, &bytes) || line)
		return err_set(err, ERR_CORRUPT, "its head is damaged");
	if (count > MANIFEST_ITEMS_MAX)
		return err_set(err, ERR_TOO_LARGE, "it has more than %u items", MANIFEST_ITEMS_MAX);
	if (count > (uint64_t)(input->end - input->at)) /* before there is memory for them */
		return err_set(err, ERR_CORRUPT, "items are missing");
	manifest->count = (size_t)count;
	manifest->files = (int64_t)files;
	manifest->bytes = (int64_t)bytes;
	return 0;
}

static bool parse_item(const struct manifest *manifest, char *line, struct manifest_item *item)
{
	const char *type = take_word(&line), *objects = NULL;
	char *path, *target = NULL;

	if (!type || !type[0] || type[1])
		return false;
	item->type = type[0] == 'd' ? MANIFEST_FOLDER : type[0] == 'f' ? MANIFEST_FILE : MANIFEST_LINK;
	if (item->type == MANIFEST_LINK && type[0] != 'l')
		return false;
	if (item->type != MANIFEST_LINK && !parse_mode(take_word(&line), &item->mode))
		return false;
	if (item->type == MANIFEST_FILE && !parse_number(take_word(&line), MANIFEST_FILE_MAX, &item->size))
		return false;
	path = take_word(&line);
	if (item->type == MANIFEST_FILE)
		objects = take_word(&line);
	if (item->type == MANIFEST_LINK)
		target = take_word(&line);
	if (!path || line || !decode_name(path))
		return false;
	item->path = path;
	item->target = target;
	if (item->type == MANIFEST_LINK && (!target || !decode_name(target) || strlen(target) > MANIFEST_PATH_MAX))
		return false;
	return item->type != MANIFEST_FILE || parse_objects(manifest, item, objects);
}

/* The folders above the item that comes next. */
struct above {
	const char *paths[MANIFEST_DEPTH_MAX];
	unsigned depth;
};

/* Is the folder that holds it one that was named? */
static bool has_parent(struct above *above, const char *path)
{
	const char *slash = strrchr(path, '/');

	while (above->depth > 0) {
		const char *folder = above->paths[above->depth - 1];

		if (slash && strlen(folder) == (size_t)(slash - path) && is_below(path, folder, strlen(folder)))
			return true;
		above->depth--;
	}
	return !slash;
}

static int parse_items(struct input *input, struct manifest *manifest, struct err *err)
{
	struct above above = { .depth = 0 };
	int64_t files = 0;
	uint64_t bytes = 0;

	manifest->items = mem_array(manifest, struct manifest_item, manifest->count);
	for (size_t i = 0; i < manifest->count; i++) {
		struct manifest_item *item = &manifest->items[i];
		char *line = take_line(input);

		if (!line || !parse_item(manifest, line, item))
			return err_set(err, ERR_CORRUPT, "line %zu is damaged", input->line);
		if (!manifest_is_path(item->path))
			return err_set(err, ERR_CORRUPT, "line %zu: the path '%s' leads outside, or is too long or too deep", input->line,
				item->path);
		if (i > 0 && manifest_order(item[-1].path, item->path) >= 0)
			return err_set(err, ERR_CORRUPT, "line %zu: '%s' stands twice or in the wrong place", input->line, item->path);
		if (!has_parent(&above, item->path))
			return err_set(err, ERR_CORRUPT, "line %zu: '%s' is in no folder of the snapshot", input->line, item->path);
		if (item->type == MANIFEST_FOLDER && above.depth < MANIFEST_DEPTH_MAX)
			above.paths[above.depth++] = item->path;
		files += item->type == MANIFEST_FILE;
		bytes += item->size;
	}
	if (files != manifest->files || bytes != (uint64_t)manifest->bytes)
		return err_set(err, ERR_CORRUPT, "its head says other numbers than its items");
	return 0;
}

int manifest_parse(const void *ctx, char *text, size_t size, struct manifest **ret, struct err *err)
{
	_cleanup_talloc_ struct manifest *manifest = mem_zero(ctx, struct manifest);
	struct input input = { .at = text, .end = text + size };
	const char *line;
	int r;

	if (size > MANIFEST_SIZE_MAX)
		return err_set(err, ERR_TOO_LARGE, "it is larger than %zu bytes", MANIFEST_SIZE_MAX);
	r = parse_head(&input, manifest, err);
	if (r == 0)
		r = parse_items(&input, manifest, err);
	if (r < 0)
		return r;
	line = take_line(&input);
	if (!line || strcmp(line, "end") != 0 || input.at != input.end)
		return err_set(err, ERR_CORRUPT, "its end is missing, or something follows it");
	*ret = take_pointer(manifest);
	return 0;
}
