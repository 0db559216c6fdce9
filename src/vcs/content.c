/* Reading manifests, configuration and compiled contracts out of a commit. Only what is asked for is read: of TOML the two lines that name
 * a version, of configuration the names and never the values. Pure; any thread. */
#include "vcs/content.h"

#include <string.h>

#include "base/text.h"
#include "data/doc.h"
#include "data/hash.h"

#define KEYS_MAX 10000u

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* name = "value" or 'value'; NULL: another line. */
static char *toml_value(const void *ctx, const char *line, const char *name)
{
	size_t length = strlen(name);
	const char *end;
	char quote;

	if (strncmp(line, name, length) != 0)
		return NULL;
	line += length;
	line += strspn(line, " \t");
	if (*line++ != '=')
		return NULL;
	line += strspn(line, " \t");
	quote = *line++;
	if (quote != '"' && quote != '\'')
		return NULL;
	end = strchr(line, quote);
	return end ? mem_strndup(ctx, line, (size_t)(end - line)) : NULL;
}

static void read_pyproject(const void *ctx, const char *text, const char **ret_name, const char **ret_version)
{
	char **lines = text_split(ctx, text, '\n');
	bool inside = false;

	for (; *lines; lines++) {
		char *name, *version;

		if (**lines == '[') {
			inside = text_starts_with(*lines, "[project]") || text_starts_with(*lines, "[tool.poetry]");
			continue;
		}
		if (!inside)
			continue;
		name = toml_value(ctx, *lines, "name");
		version = toml_value(ctx, *lines, "version");
		*ret_name = name && !*ret_name ? name : *ret_name;
		*ret_version = version && !*ret_version ? version : *ret_version;
	}
}

int content_manifest(const void *ctx, const char *path, const char *text, size_t size, const char **ret_name, const char **ret_version,
	struct err *err)
{
	json_t *root;
	char **lines;
	int r;

	*ret_name = *ret_version = NULL;
	if (text_ends_with(path, ".json")) {
		r = json_parse(ctx, text, size, CONTENT_MAX, &root, err);
		if (r < 0)
			return r;
		*ret_name = json_str(root, "name", NULL);
		*ret_version = json_str(root, "version", NULL);
		return 0;
	}
	if (!text_is_utf8(text, size) || strlen(text) != size)
		return err_set(err, ERR_INVALID, "this is not text");
	if (text_ends_with(path, ".toml")) {
		read_pyproject(ctx, text, ret_name, ret_version);
		return 0;
	}
	lines = text_split(ctx, text, '\n');
	if (lines[0] && strlen(lines[0]) > 256)
		return err_set(err, ERR_INVALID, "its first line is longer than a version");
	*ret_version = lines[0];
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *sorted_keys(const void *ctx, json_t *object)
{
	const char **names = mem_array(ctx, const char *, json_object_size(object) + 1);
	json_t *keys = json_array(), *value;
	const char *name;
	size_t count = 0;

	json_object_foreach(object, name, value)
		names[count++] = name;
	qsort(names, count, sizeof(*names), compare_texts);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(keys, json_string(names[i]));
	return keys;
}

/* KEY=value, export KEY=value; comments and anything else are passed over. */
static int read_env(const void *ctx, const char *text, size_t size, json_t *object, struct err *err)
{
	char **lines;

	if (!text_is_utf8(text, size) || strlen(text) != size)
		return err_set(err, ERR_INVALID, "this is not text");
	lines = text_split(ctx, text, '\n');
	for (; *lines; lines++) {
		const char *line = text_starts_with(*lines, "export ") ? *lines + 7 : *lines;
		size_t length = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.");

		if (length == 0 || line[length + strspn(line + length, " \t")] != '=')
			continue;
		if (json_object_size(object) == KEYS_MAX)
			return err_set(err, ERR_TOO_LARGE, "it has more than %u names", KEYS_MAX);
		json_object_set_new(object, mem_strndup(ctx, line, length), json_true());
	}
	return 0;
}

int content_keys(const char *path, const char *text, size_t size, json_t **ret, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *name = last_part(path);
	json_t *root;
	struct doc *doc;
	int r;

	if (text_ends_with(name, ".json"))
		r = doc_parse_json(ctx, path, text, size, &doc, err);
	else if (text_ends_with(name, ".yaml") || text_ends_with(name, ".yml"))
		r = doc_parse_yaml(ctx, path, text, size, &doc, err);
	else {
		root = json_keep(ctx, json_object());
		r = read_env(ctx, text, size, root, err);
		if (r == 0)
			*ret = sorted_keys(ctx, root);
		return r;
	}
	if (r < 0)
		return r;
	root = doc_root(doc);
	if (!json_is_object(root))
		return err_set(err, ERR_INVALID, "there are no names at its top");
	if (json_object_size(root) > KEYS_MAX)
		return err_set(err, ERR_TOO_LARGE, "it has more than %u names", KEYS_MAX);
	*ret = sorted_keys(ctx, root);
	return 0;
}

void content_contract(const void *ctx, const char *path, const char *text, size_t size, const char **ret_name, const char **ret_hash)
{
	const char *file = last_part(path), *name;
	char hash[HASH_HEX_SIZE], *canonical;
	struct err ignored = ERR_INIT;
	json_t *root, *abi;

	*ret_name = *ret_hash = NULL;
	if (json_parse(ctx, text, size, CONTENT_MAX, &root, &ignored) < 0)
		return;
	abi = json_object_get(root, "abi");
	if (!json_is_array(abi))
		return;
	canonical = json_canonical(ctx, abi);
	hash_sha256_hex(canonical, strlen(canonical), hash);
	name = json_str(root, "contractName", NULL);
	*ret_name = name ? name : mem_strndup(ctx, file, strlen(file) - strlen(".json"));
	*ret_hash = mem_strdup(ctx, hash);
}
