/* What a commit holds, read from its tree while something else is checked out; and the difference between two. */
#include "repository.h"

#include <string.h>

static json_t *metadata(struct world *world, const char *ref)
{
	struct err error = ERR_INIT;
	struct vcs *vcs;
	json_t *found;

	assert_ok(vcs_open(world, world->dir, &vcs, &error));
	assert_ok(vcs_metadata(world, vcs, ref, &found, &error));
	return found;
}

/* The paths of a list, separated by blanks. */
static char *paths(struct world *world, json_t *list)
{
	char *text = mem_strdup(world, "");
	json_t *item;
	size_t index;

	json_array_foreach(list, index, item)
		text = mem_appendf(text, "%s%s", index ? " " : "", json_str(item, "path", "?"));
	return text;
}

static json_t *first(json_t *object, const char *list)
{
	return json_array_get(json_object_get(object, list), 0);
}

static void make_first(struct world *world)
{
	put_file(world, "package.json", "{\"name\": \"shop\", \"version\": \"1.4.2\"}");
	put_file(world, "node_modules/x/package.json", "{\"version\": \"9\"}");
	put_file(world, "services/api/pyproject.toml", "[build-system]\nversion = \"0\"\n[project]\nname = \"api\"\nversion = \"2.0\"\n");
	put_file(world, "VERSION", "\n1.4.2\n");
	put_file(world, "package-lock.json", "{}");
	put_file(world, "db/migrations/001_init.sql", "create table a(b);");
	put_file(world, "src/migrations/readme.md", "no");
	put_file(world, "src/migrations/7.sql", "select 1;");
	put_file(world, "prisma/migrations/1/migration.sql", "select 1;");
	put_file(world, "alembic/versions/ab.py", "pass");
	put_file(world, ".env.example", "# a comment\nexport DB_URL=postgres://x\nPORT=1\n");
	put_file(world, "config/app.yaml", "port: 1\nname: shop\n");
	put_file(world, "config/sub/no.yaml", "a: 1\n");
	put_file(world, "artifacts/contracts/Token.sol/Token.json", "{\"contractName\": \"Token\", \"abi\": [{\"type\": \"function\"}]}");
	put_file(world, "out/app.json", "{\"no\": \"contract\"}");
}

static void finds_what_is_there(void **state)
{
	struct world *world = *state;
	json_t *found;
	char *sha;

	make_first(world);
	sha = commit_file(world, "a", "1", "one");
	git(world, "rm", "-q", "-r", ".");
	commit_file(world, "a", "2", "nothing is left of it in the work tree");
	found = metadata(world, "HEAD~1");
	assert_string_equal(json_str(found, "sha", ""), sha);
	assert_string_equal(paths(world, json_object_get(found, "manifests")), "VERSION package.json services/api/pyproject.toml");
	assert_string_equal(json_str(first(found, "manifests"), "version", ""), "1.4.2");
	assert_string_equal(json_str(json_array_get(json_object_get(found, "manifests"), 1), "name", ""), "shop");
	assert_string_equal(json_str(json_array_get(json_object_get(found, "manifests"), 2), "version", ""), "2.0");
	assert_string_equal(paths(world, json_object_get(found, "lockFiles")), "package-lock.json");
	assert_string_equal(json_str(first(found, "lockFiles"), "hash", ""),
		"9e26dfeeb6e641a33dae4961196235bdb965b21b"); /* git hash-object of {} */
	assert_string_equal(paths(world, json_object_get(found, "migrations")),
		"alembic/versions/ab.py db/migrations/001_init.sql prisma/migrations/1/migration.sql src/migrations/7.sql");
	assert_string_equal(paths(world, json_object_get(found, "config")), ".env.example config/app.yaml");
	assert_string_equal(json_canonical(world, json_object_get(first(found, "config"), "keys")), "[\"DB_URL\",\"PORT\"]");
	assert_string_equal(paths(world, json_object_get(found, "contracts")), "artifacts/contracts/Token.sol/Token.json");
	assert_string_equal(json_str(first(found, "contracts"), "name", ""), "Token");
	assert_int_equal(json_array_size(json_object_get(found, "problems")), 0);
	assert_int_equal(json_array_size(json_object_get(metadata(world, "HEAD"), "manifests")), 0);
}

static void tells_the_difference(void **state)
{
	struct world *world = *state;
	json_t *difference, *config, *changed;

	make_first(world);
	commit_file(world, "a", "1", "one");
	put_file(world, "db/migrations/002_more.sql", "alter table a add c;");
	put_file(world, ".env.example", "PORT=1\nREDIS_URL=x\n");
	git(world, "rm", "-q", "config/app.yaml");
	commit_file(world, "package.json", "{\"name\": \"shop\", \"version\": \"1.5.0\"}", "two");
	difference = json_keep(world, vcs_metadata_difference(metadata(world, "HEAD~1"), metadata(world, "HEAD")));
	assert_string_equal(paths(world, json_object_get(json_object_get(difference, "migrations"), "appeared")),
		"db/migrations/002_more.sql");
	config = json_object_get(difference, "config");
	assert_string_equal(paths(world, json_object_get(config, "vanished")), "config/app.yaml");
	changed = first(config, "changed");
	assert_string_equal(json_str(changed, "path", ""), ".env.example");
	assert_string_equal(json_canonical(world, json_object_get(changed, "keysAppeared")), "[\"REDIS_URL\"]");
	assert_string_equal(json_canonical(world, json_object_get(changed, "keysVanished")), "[\"DB_URL\"]");
	changed = first(json_object_get(difference, "manifests"), "changed");
	assert_string_equal(json_str(json_object_get(changed, "from"), "version", ""), "1.4.2");
	assert_string_equal(json_str(json_object_get(changed, "to"), "version", ""), "1.5.0");
	assert_int_equal(json_array_size(json_object_get(json_object_get(difference, "lockFiles"), "changed")), 0);
}

/* One bad file is told and hides nothing else. */
static void goes_on_after_bad_files(void **state)
{
	struct world *world = *state;
	json_t *found;

	put_file(world, "config/broken.yaml", "a: [1\n");
	put_file(world, "config/good.json", "{\"a\": 1}");
	put_file(world, "pyproject.toml", "\xff\xfe");
	assert_int_equal(symlink("/etc/passwd", fs_join(world, world->dir, "VERSION")), 0);
	commit_file(world, "package.json", "{\"version\": ", "one");
	found = metadata(world, "HEAD");
	assert_string_equal(paths(world, json_object_get(found, "problems")), "config/broken.yaml package.json pyproject.toml");
	assert_string_equal(paths(world, json_object_get(found, "config")), "config/broken.yaml config/good.json");
	assert_true(json_is_null(json_object_get(first(found, "config"), "keys")));
	assert_string_equal(paths(world, json_object_get(found, "manifests")), "package.json pyproject.toml"); /* a link is not followed */
	assert_true(json_is_null(json_object_get(first(found, "manifests"), "version")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_what_is_there, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(tells_the_difference, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(goes_on_after_bad_files, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
