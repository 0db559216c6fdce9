/* What a commit holds (V2): its tree is walked, every path is asked by the table `rules` what it is, and of the few files that say
 * something their content is read. Nothing is written to disk. */
#include <string.h>

#include "base/text.h"
#include "vcs/content.h"
#include "vcs/git.h"

#define DEPTH_MAX     128
#define LIST_MAX      20000u /* files in one list */
#define PROBLEMS_KEPT 200u

struct reading {
	struct vcs *vcs;
	json_t *lists; /* the result */
	unsigned entries;
};

/* A file of one list. */
struct rule {
	const char *list;
	bool (*is)(const char *path, const char *name);
	const char *members[2]; /* what the content says; null until it does. None: the content is not read */
	/* *ret_is (true before): false when the content shows that it does not belong into the list after all. */
	int (*describe)(const void *ctx, const char *path, const char *text, size_t size, json_t *item, bool *ret_is, struct err *err);
};

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

/* Whether the path stands below that folder, at the top or within another folder: below("services/api/db/migrations/1.sql",
 * "db/migrations/"). */
static const char *below(const char *path, const char *folder)
{
	for (const char *at = path; (at = strstr(at, folder)); at++)
		if (at == path || at[-1] == '/')
			return at + strlen(folder);
	return NULL;
}

static bool is_manifest(const char *path, const char *name)
{
	static const char *const names[] = { "package.json", "composer.json", "pyproject.toml", "VERSION", "VERSION.txt", "version.txt",
		NULL };

	return is_one_of(name, names);
}

static bool is_lock_file(const char *path, const char *name)
{
	static const char *const names[] = { "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock",
		"bun.lockb", "poetry.lock", "Pipfile.lock", "uv.lock", "composer.lock", "Gemfile.lock", "Cargo.lock", "go.sum", "mix.lock",
		NULL };

	return is_one_of(name, names);
}

static bool is_migration(const char *path, const char *name)
{
	if (below(path, "db/migrations/") || below(path, "db/migrate/") || below(path, "prisma/migrations/"))
		return true;
	if (below(path, "alembic/versions/"))
		return text_ends_with(name, ".py");
	return below(path, "migrations/") && text_ends_with(name, ".sql");
}

static bool is_config(const char *path, const char *name)
{
	static const char *const samples[] = { ".env.example", ".env.sample", ".env.template", ".env.dist", NULL };
	const char *rest = below(path, "config/");

	if (is_one_of(name, samples))
		return true;
	return rest && !strchr(rest, '/') &&
		(text_ends_with(name, ".json") || text_ends_with(name, ".yaml") || text_ends_with(name, ".yml"));
}

static bool is_contract(const char *path, const char *name)
{
	return text_ends_with(name, ".json") && !text_ends_with(name, ".dbg.json") && (below(path, "artifacts/") || below(path, "out/"));
}

static int describe_manifest(const void *ctx, const char *path, const char *text, size_t size, json_t *item, bool *ret_is, struct err *err)
{
	const char *name = NULL, *version = NULL;
	int r = content_manifest(ctx, path, text, size, &name, &version, err);

	json_put_str(item, "name", name);
	json_put_str(item, "version", version);
	return r;
}

static int describe_config(const void *ctx, const char *path, const char *text, size_t size, json_t *item, bool *ret_is, struct err *err)
{
	json_t *keys = NULL;
	int r = content_keys(path, text, size, &keys, err);

	if (r == 0)
		json_object_set_new(item, "keys", keys);
	return r;
}

static int describe_contract(const void *ctx, const char *path, const char *text, size_t size, json_t *item, bool *ret_is, struct err *err)
{
	const char *name, *hash;

	content_contract(ctx, path, text, size, &name, &hash);
	json_put_str(item, "name", name);
	json_put_str(item, "abiHash", hash);
	*ret_is = hash != NULL;
	return 0;
}

static const struct rule rules[] = {
	{ "manifests", is_manifest, { "name", "version" }, describe_manifest },
	{ "lockFiles", is_lock_file, { NULL }, NULL },
	{ "migrations", is_migration, { NULL }, NULL },
	{ "config", is_config, { "keys" }, describe_config },
	{ "contracts", is_contract, { "name", "abiHash" }, describe_contract },
};

static void add_problem(struct reading *reading, const char *path, const char *message)
{
	json_t *problems = json_object_get(reading->lists, "problems"), *problem;

	if (json_array_size(problems) == PROBLEMS_KEPT)
		return;
	problem = json_object();
	json_put_str(problem, "path", path);
	json_put_str(problem, "message", message);
	json_array_append_new(problems, problem);
}

/* Asks the content. A file that cannot be read is a problem and stays in its list. False: it does not belong there. */
static bool describe(struct reading *reading, const struct rule *rule, const char *path, const git_oid *oid, json_t *item)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const struct git *git = reading->vcs->git;
	struct err err = ERR_INIT;
	git_blob *blob = NULL;
	bool is = true;
	int r = git->blob_lookup(&blob, reading->vcs->repository, oid);

	for (size_t i = 0; i < ARRAY_SIZE(rule->members) && rule->members[i]; i++)
		json_object_set_new(item, rule->members[i], json_null());
	if (r < 0)
		r = vcs_error(reading->vcs, r, &err, "its content is not here"); /* a partial clone */
	else if (git->blob_rawsize(blob) > CONTENT_MAX)
		r = err_set(&err, ERR_TOO_LARGE, "it is larger than %s", text_format_size(ctx, CONTENT_MAX));
	if (r == 0) {
		size_t size = (size_t)git->blob_rawsize(blob);
		char *text = mem_array(ctx, char, size + 1);

		if (size)
			memcpy(text, git->blob_rawcontent(blob), size);
		r = rule->describe(ctx, path, text, size, item, &is, &err);
	}
	git->blob_free(blob);
	if (r < 0)
		add_problem(reading, path, err.text);
	return is;
}

static int take_file(struct reading *reading, const char *path, const char *name, const git_oid *oid, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		json_t *list = json_object_get(reading->lists, rules[i].list), *item;
		char sha[VCS_SHA_SIZE];

		if (!rules[i].is(path, name))
			continue;
		if (json_array_size(list) == LIST_MAX)
			return err_set(err, ERR_TOO_LARGE, "there are more than %u files for '%s'", LIST_MAX, rules[i].list);
		item = json_object();
		json_put_str(item, "path", path);
		json_put_str(item, "hash", reading->vcs->git->oid_tostr(sha, sizeof(sha), oid));
		if (!rules[i].describe || describe(reading, &rules[i], path, oid, item))
			json_array_append(list, item);
		json_decref(item);
		return 0;
	}
	return 0;
}

static int walk(struct reading *reading, const git_oid *oid, const char *prefix, unsigned depth, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const struct git *git = reading->vcs->git;
	git_tree *tree = NULL;
	size_t count;
	int r = git->tree_lookup(&tree, reading->vcs->repository, oid);

	if (r < 0)
		return vcs_error(reading->vcs, r, err, "folder '%s' cannot be read", prefix);
	count = git->tree_entrycount(tree);
	for (size_t i = 0; i < count && r == 0; i++) {
		const git_tree_entry *entry = git->tree_entry_byindex(tree, i);
		const char *name = git->tree_entry_name(entry), *path = mem_printf(ctx, "%s%s", prefix, name);
		git_filemode_t mode = git->tree_entry_filemode(entry);

		if (++reading->entries > VCS_ENTRIES_MAX)
			r = err_set(err, ERR_TOO_LARGE, "it has more than %u files", VCS_ENTRIES_MAX);
		else if (mode == GIT_FILEMODE_BLOB || mode == GIT_FILEMODE_BLOB_EXECUTABLE)
			r = take_file(reading, path, name, git->tree_entry_id(entry), err);
		else if (mode == GIT_FILEMODE_TREE && depth == DEPTH_MAX)
			r = err_set(err, ERR_TOO_LARGE, "folders are nested more than %d deep", DEPTH_MAX);
		else if (mode == GIT_FILEMODE_TREE && strcmp(name, "node_modules") != 0 && strcmp(name, "vendor") != 0)
			r = walk(reading, git->tree_entry_id(entry), mem_printf(ctx, "%s/", path), depth + 1, err);
	}
	git->tree_free(tree);
	return r;
}

int vcs_metadata(const void *ctx, struct vcs *vcs, const char *ref, json_t **ret, struct err *err)
{
	struct reading reading = { .vcs = vcs, .lists = json_keep(ctx, json_object()) };
	const struct git *git = vcs->git;
	git_object *tree = NULL, *commit = NULL;
	char sha[VCS_SHA_SIZE];
	git_oid oid;
	int r;

	r = vcs_ref_check(ref, err);
	if (r == 0)
		r = vcs_commit_of(vcs, ref, &oid, err);
	if (r < 0)
		return r;
	json_put_str(reading.lists, "sha", git->oid_tostr(sha, sizeof(sha), &oid));
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		json_object_set_new(reading.lists, rules[i].list, json_array());
	json_object_set_new(reading.lists, "problems", json_array());
	r = git->object_lookup(&commit, vcs->repository, &oid, GIT_OBJECT_COMMIT);
	if (r == 0)
		r = git->object_peel(&tree, commit, GIT_OBJECT_TREE);
	if (r < 0)
		r = vcs_error(vcs, r, err, "its files cannot be read");
	else
		r = walk(&reading, git->object_id(tree), "", 0, err);
	git->object_free(tree);
	git->object_free(commit);
	if (r < 0)
		return err_in(err, "commit %s", sha);
	*ret = reading.lists;
	return 0;
}
