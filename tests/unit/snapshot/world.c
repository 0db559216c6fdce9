/* What the tests of the snapshot store share (world.h). */
#include "world.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/time.h>

#include "base/fs.h"
#include "data/hash.h"
#include "tree.h"

static const struct snapshot_key both[] = { { 1, SECRET_1 }, { 2, SECRET_2 } };
const struct snapshot_keys keys_1 = { 1, both, 1 }, keys_2 = { 2, both + 1, 1 }, keys_both = { 2, both, 2 };

void world_reopen(struct world *world, const struct snapshot_keys *keys)
{
	const struct snapshot_store_options options = { .state_dir = world->state, .project = "shop", .keys = keys, .threads = 3 };

	talloc_free(world->store);
	world->keys = keys;
	if (snapshot_store_open(world, &options, &world->store, &world->error) < 0)
		fail_msg("%s", world->error.text);
}

static int set_up(void **state, const struct snapshot_keys *keys)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "%.20s/unship-store-XXXXXX",
		getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 20 ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(world->folder));
	world->state = fs_join(world, world->folder, ".deployments");
	world->source = fs_join(world, world->folder, "source");
	world_reopen(world, keys);
	assert_false(fs_exists(world->state));
	*state = world;
	return 0;
}

int world_set_up(void **state)
{
	return set_up(state, NULL);
}

int world_set_up_sealed(void **state)
{
	return set_up(state, &keys_1);
}

int world_tear_down(void **state)
{
	struct world *world = *state;

	assert_int_equal(fs_remove_tree(world->folder, &world->error), 0);
	talloc_free(world);
	return 0;
}

char *at(struct world *world, const char *format, ...)
{
	va_list arguments;
	char *path;

	va_start(arguments, format);
	path = mem_vprintf(world, format, arguments);
	va_end(arguments);
	return fs_join(world, world->folder, path);
}

void put(const char *path, const void *bytes, size_t size, mode_t mode)
{
	_cleanup_talloc_ char *folder = mem_strndup(NULL, path, (size_t)(strrchr(path, '/') - path));
	struct err error = ERR_INIT;
	int fd;

	assert_ok(fs_mkdirs(folder, 0755, &error));
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_ok(fs_write_all(fd, bytes, size, &error));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text), 0644);
}

uint8_t *content(const void *ctx, size_t size, unsigned seed)
{
	uint8_t *bytes = mem_array(ctx, uint8_t, size + 1);
	uint32_t state = seed * 2654435761u + 1;

	for (size_t i = 0; i < size; i++) {
		state = state * 1664525u + 1013904223u;
		bytes[i] = seed % 2 ? (uint8_t)(state >> 24) : (uint8_t)("abcdefgh"[(state >> 29) & 7]);
	}
	return bytes;
}

int begin(struct world *world, const char *id)
{
	const struct snapshot_metadata metadata = { .id = id,
		.environment = "production",
		.from = "dep-2",
		.to = "dep-1",
		.wall_ms = 1795236813120,
		.preserve_data = true };

	return snapshot_begin(world->store, &metadata, &world->error);
}

void fill(struct world *world, const char *id)
{
	const char *open = mem_printf(world, ".deployments/open/%s", id);
	struct err error = ERR_INIT;
	size_t large = ((size_t)9 << 20) + 5;

	if (begin(world, id) < 0)
		fail_msg("%s", world->error.text);
	put_text(at(world, "%s/config/.env.production", open), "A=1\n");
	put_text(at(world, "%s/config/config/production.json", open), "{}\n");
	put_text(at(world, "%s/config/config-more", open), "sorts between folder and content\n");
	put(at(world, "%s/state/empty", open), "", 0, 0640);
	put(at(world, "%s/state/closed", open), "x", 1, 0000);
	put(at(world, "%s/state/run", open), "#!\n", 3, 0755);
	put_text(at(world, "%s/state/\xff \"\n\\\x01", open), "odd");
	assert_int_equal(symlink("../config/\xfe x", at(world, "%s/state/link", open)), 0);
	assert_int_equal(mkdir(at(world, "%s/state/read-only", open), 0700), 0);
	put_text(at(world, "%s/state/read-only/inside", open), "x");
	assert_int_equal(chmod(at(world, "%s/state/read-only", open), 0500), 0);
	put(at(world, "%s/database/component-db/dump", open), content(world, large, 2), large, 0600);
	put(at(world, "%s/database/component-db/random", open), content(world, 300000, 3), 300000, 0600);
	put(at(world, "source/uploads/a"), content(world, 5000, 5), 5000, 0644);
	put_text(at(world, "source/uploads/deep/er/b"), "b");
	assert_ok(snapshot_add_tree(world->store, id, "state/component-uploads/tree", at(world, "source/uploads"), &error));
}

void take(struct world *world, const char *id, struct snapshot_summary *ret)
{
	struct snapshot_summary ignored;

	if (snapshot_seal(world->store, id, ret ? ret : &ignored, &world->error) < 0)
		fail_msg("%s", world->error.text);
}

struct text {
	char *text;
};

static void note(void *user, const char *path, const char *what)
{
	static const char *const own[] = { ".metadata", ".opened", ".sources", "metadata.json" };
	struct text *text = user;

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (strcmp(path, own[i]) == 0)
			return;
	text->text = mem_appendf(text->text, "%s %s; ", path, what);
}

char *differences(struct world *world, const char *a, const char *b)
{
	struct text text = { mem_strdup(world, "") };
	struct err error = ERR_INIT;
	struct tree *x, *y;

	assert_ok(tree_read(world, a, NULL, false, &x, &error));
	assert_ok(tree_read(world, b, NULL, false, &y, &error));
	tree_compare(x, y, note, &text);
	return text.text;
}
