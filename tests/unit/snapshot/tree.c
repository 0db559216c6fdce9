/* Reading and comparing folders (tree.h). Everything is opened relative to the folder above it and without following links, so that a
 * link that is swapped in meanwhile leads nowhere.
 * Threads: any. */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>

#include "base/fs.h"
#include "base/text.h"

#define BLOCK_SIZE (256u << 10)

struct reading {
	struct tree *tree;
	const char *skip;
	size_t room;
	uint8_t *block;
};

static struct tree_item *add(struct reading *reading)
{
	struct tree *tree = reading->tree;

	if (tree->count == reading->room) {
		reading->room = MAX(reading->room * 2, (size_t)64);
		tree->items = mem_resize(tree, tree->items, struct tree_item, reading->room);
	}
	tree->items[tree->count] = (struct tree_item){ 0 };
	return &tree->items[tree->count++];
}

static int read_file(struct reading *reading, int fd, struct tree_item *item, struct err *err)
{
	crypto_generichash_state state;
	uint8_t sum[HASH_SIZE];
	ssize_t n;

	crypto_generichash_init(&state, NULL, 0, sizeof(sum));
	while ((n = read(fd, reading->block, BLOCK_SIZE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "%s", item->path);
		crypto_generichash_update(&state, reading->block, (unsigned long long)n);
		item->size += (uint64_t)n;
	}
	crypto_generichash_final(&state, sum, sizeof(sum));
	sodium_bin2hex(item->sum, sizeof(item->sum), sum, sizeof(sum));
	reading->tree->files++;
	reading->tree->bytes += item->size;
	return 0;
}

static int read_link(struct reading *reading, int folder, const char *name, struct tree_item *item, struct err *err)
{
	char target[4096];
	ssize_t n = readlinkat(folder, name, target, sizeof(target));

	if (n < 0)
		return err_errno(err, errno, "%s", item->path);
	if (n == sizeof(target))
		return err_set(err, ERR_TOO_LARGE, "%s: its target is too long", item->path);
	item->target = mem_strndup(reading->tree, target, (size_t)n);
	return 0;
}

static int read_folder(struct reading *reading, int fd, const char *path, unsigned depth, struct err *err);

static int read_item(struct reading *reading, int folder, const char *above, const char *name, unsigned depth, struct err *err)
{
	char *path = *above ? mem_printf(reading->tree, "%s/%s", above, name) : mem_strdup(reading->tree, name);
	_cleanup_close_ int fd = -1;
	struct tree_item *item;
	struct stat st;

	if (reading->tree->count >= TREE_FILES_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %u files", TREE_FILES_MAX);
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: neither a file nor a folder nor a symbolic link", path);
	item = add(reading);
	item->path = path;
	if (S_ISLNK(st.st_mode)) {
		item->type = TREE_LINK;
		return read_link(reading, folder, name, item, err);
	}
	fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "%s", path);
	item->mode = st.st_mode & 07777;
	if (S_ISREG(st.st_mode))
		return read_file(reading, fd, item, err);
	item->type = TREE_FOLDER;
	return read_folder(reading, fd, path, depth + 1, err);
}

static int read_folder(struct reading *reading, int fd, const char *path, unsigned depth, struct err *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), r = 0;
	struct dirent *entry;
	DIR *list;

	if (depth > TREE_DEPTH_MAX) {
		if (copy >= 0)
			close(copy);
		return err_set(err, ERR_TOO_LARGE, "%s: more than %d folders deep", path, TREE_DEPTH_MAX);
	}
	list = copy < 0 ? NULL : fdopendir(copy);
	if (!list) {
		r = err_errno(err, errno, "%s", path);
		if (copy >= 0)
			close(copy);
		return r;
	}
	errno = 0;
	while (r == 0 && (entry = readdir(list))) {
		const char *name = entry->d_name;
		bool dots = name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));

		if (!dots && !(depth == 0 && reading->skip && strcmp(name, reading->skip) == 0))
			r = read_item(reading, fd, path, name, depth, err);
		errno = 0;
	}
	if (r == 0 && errno != 0)
		r = err_errno(err, errno, "%s", path);
	closedir(list);
	return r;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct tree_item *)a)->path, ((const struct tree_item *)b)->path);
}

int tree_read(const void *ctx, const char *root, const char *skip, bool sync, struct tree **ret, struct err *err)
{
	struct reading reading = { .tree = mem_zero(ctx, struct tree), .skip = skip };
	_cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return err_errno(err, errno, "%s", root);
	reading.block = mem_array(NULL, uint8_t, BLOCK_SIZE);
	r = read_folder(&reading, fd, "", 0, err);
	talloc_free(reading.block);
	if (r < 0) {
		talloc_free(reading.tree);
		return r;
	}
	if (sync && syncfs(fd) < 0)
		return err_errno(err, errno, "%s: flushing", root);
	if (reading.tree->count > 1)
		qsort(reading.tree->items, reading.tree->count, sizeof(*reading.tree->items), by_path);
	*ret = reading.tree;
	return 0;
}

/* A file may have been swapped for a link: types come first, then what they hold. */
static const char *difference_of(const struct tree_item *expected, const struct tree_item *now)
{
	if (expected->type != now->type)
		return "is of another type";
	if (expected->type == TREE_LINK)
		return strcmp(expected->target, now->target) == 0 ? NULL : "points elsewhere";
	if (expected->mode != now->mode)
		return "has another mode";
	if (expected->type == TREE_FOLDER)
		return NULL;
	if (expected->size != now->size)
		return "has another size";
	return strcmp(expected->sum, now->sum) == 0 ? NULL : "has another content";
}

void tree_compare(const struct tree *expected, const struct tree *now, tree_difference difference, void *user)
{
	size_t a = 0, b = 0;

	while (a < expected->count || b < now->count) {
		int order = a == expected->count ? 1 : b == now->count ? -1 : strcmp(expected->items[a].path, now->items[b].path);

		if (order < 0) {
			difference(user, expected->items[a++].path, "is missing");
		} else if (order > 0) {
			difference(user, now->items[b++].path, "was added");
		} else {
			const char *what = difference_of(&expected->items[a], &now->items[b]);

			if (what)
				difference(user, now->items[b].path, what);
			a++;
			b++;
		}
	}
}
