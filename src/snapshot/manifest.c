/* manifest.json: a tree as JSON, and back.
 *     {"format": 1, "algorithm": "blake2b-256", "files": [
 *         {"type": "file", "path": "config/app.json", "size": 12, "mode": "0644", "blake2b": "…64 hex digits…"},
 *         {"type": "link", "path": "state/current", "target": "releases/7"},
 *         {"type": "folder", "path": "state", "mode": "0700"}]}
 * A path or target that is not UTF-8 stands as hex digits in "pathHex" or "targetHex". Paths are only compared, never opened; they are
 * checked all the same. Pure; any thread. */
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "snapshot/tree.h"

#define MANIFEST_MAX ((size_t)512 << 20)

static const char *const type_names[] = { [TREE_FILE] = "file", [TREE_LINK] = "link", [TREE_FOLDER] = "folder" };

static void put_bytes(json_t *object, const char *key, const char *hex_key, const char *bytes)
{
	_cleanup_talloc_ char *hex = NULL;

	if (text_is_utf8(bytes, strlen(bytes))) {
		json_put_str(object, key, bytes);
	} else {
		hex = text_hex(NULL, bytes, strlen(bytes));
		json_put_str(object, hex_key, hex);
	}
}

static int take_bytes(const void *ctx, const json_t *object, const char *key, const char *hex_key, char **ret, struct err *err)
{
	const char *text = json_str(object, key, NULL), *hex = json_str(object, hex_key, NULL);
	size_t size;
	int r;

	if (text) {
		*ret = mem_strdup(ctx, text);
		return 0;
	}
	if (!hex || strlen(hex) % 2 != 0)
		return err_set(err, ERR_CORRUPT, "an item without %s", key);
	size = strlen(hex) / 2;
	*ret = mem_array(ctx, char, size + 1);
	r = text_unhex(hex, *ret, size, err);
	return r < 0 ? err_as(err, ERR_CORRUPT) : 0;
}

char *tree_manifest(const void *ctx, const struct tree *tree)
{
	json_t *files = json_array(), *root = json_object();
	char *text;
	size_t i;

	for (i = 0; i < tree->count; i++) {
		const struct tree_item *item = &tree->items[i];
		json_t *object = json_object();
		char mode[16];

		json_put_str(object, "type", type_names[item->type]);
		put_bytes(object, "path", "pathHex", item->path);
		if (item->type == TREE_LINK)
			put_bytes(object, "target", "targetHex", item->target);
		if (item->type != TREE_LINK) {
			snprintf(mode, sizeof(mode), "%04o", (unsigned)item->mode);
			json_put_str(object, "mode", mode);
		}
		if (item->type == TREE_FILE) {
			json_put_int(object, "size", (int64_t)item->size);
			json_put_str(object, "blake2b", item->sum);
		}
		(void)json_array_append_new(files, object);
	}
	json_put_int(root, "format", 1);
	json_put_str(root, "algorithm", "blake2b-256");
	(void)json_object_set_new(root, "files", files);
	text = json_pretty(ctx, root);
	json_decref(root);
	return text;
}

static int parse_item(struct tree *tree, const json_t *object, struct tree_item *item, struct err *err)
{
	const char *type = json_str(object, "type", ""), *mode = json_str(object, "mode", ""), *sum = json_str(object, "blake2b", "");
	char *end;
	int r;

	r = take_bytes(tree, object, "path", "pathHex", &item->path, err);
	if (r < 0)
		return r;
	if (!fs_is_inside(item->path))
		return err_set(err, ERR_CORRUPT, "the path '%s' leads outside", item->path);
	for (item->type = TREE_FILE; item->type <= TREE_FOLDER; item->type++)
		if (strcmp(type, type_names[item->type]) == 0)
			break;
	if (item->type > TREE_FOLDER)
		return err_set(err, ERR_CORRUPT, "%s: unknown type '%s'", item->path, type);
	if (item->type == TREE_LINK)
		return take_bytes(tree, object, "target", "targetHex", &item->target, err);
	item->mode = (mode_t)strtoul(mode, &end, 8);
	if (!*mode || *end || item->mode > 07777)
		return err_set(err, ERR_CORRUPT, "%s: mode '%s'", item->path, mode);
	if (item->type == TREE_FOLDER)
		return 0;
	if (strlen(sum) != HASH_HEX_SIZE - 1 || json_int(object, "size", -1) < 0)
		return err_set(err, ERR_CORRUPT, "%s: no sum or size", item->path);
	memcpy(item->sum, sum, HASH_HEX_SIZE);
	item->size = (uint64_t)json_int(object, "size", 0);
	tree->files++;
	tree->bytes += item->size;
	return 0;
}

int tree_parse(const void *ctx, const char *text, size_t size, struct tree **ret, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct tree *tree = mem_zero(work, struct tree);
	json_t *root, *files, *object;
	size_t i;
	int r;

	r = json_parse(work, text, size, MANIFEST_MAX, &root, err);
	if (r < 0)
		return err_as(err, ERR_CORRUPT);
	if (json_int(root, "format", 0) > 1)
		return err_set(err, ERR_NEWER, "the manifest has format %lld", (long long)json_int(root, "format", 0));
	files = json_object_get(root, "files");
	if (json_int(root, "format", 0) != 1 || !json_is_array(files) || strcmp(json_str(root, "algorithm", ""), "blake2b-256") != 0)
		return err_set(err, ERR_CORRUPT, "not a manifest");
	if (json_array_size(files) > TREE_FILES_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %u files", TREE_FILES_MAX);
	tree->items = mem_array(tree, struct tree_item, json_array_size(files));
	json_array_foreach(files, i, object) {
		r = parse_item(tree, object, &tree->items[i], err);
		if (r < 0)
			return r;
		if (i > 0 && strcmp(tree->items[i - 1].path, tree->items[i].path) >= 0)
			return err_set(err, ERR_CORRUPT, "'%s' stands twice or in the wrong place", tree->items[i].path);
	}
	tree->count = json_array_size(files);
	*ret = talloc_steal(ctx, tree);
	return 0;
}
