/* `unship init` in folders of many kinds: what it writes is valid, says what was found, and overwrites nothing. */
#include "checks.h"
#include <string.h>

#include "base/fs.h"
#include "core/project.h"
#include "data/doc.h"
#include "surface/cli/cli.h"
#include "surface/cli/init.h"

struct world {
	char *dir;
	struct cli cli;
};

struct path_params {
	const char *path, *root, *ref_prefix;
	const char **argv, **paths;
	const char *dir;
};
/* Drivers with the members that the built-in ones have; the built-in ones themselves stand above this room. */
static const struct field release_fields[] = { FIELD_PATH(struct path_params, root, REQUIRED, "root"),
	FIELD_STR(struct path_params, ref_prefix, OPTIONAL, "prefix"), FIELD_END };
static const struct field process_fields[] = { FIELD_LIST(struct path_params, argv, REQUIRED, "argv"),
	FIELD_PATH(struct path_params, dir, OPTIONAL, "dir"), FIELD_END };
static const struct field sqlite_fields[] = { FIELD_PATH(struct path_params, path, REQUIRED, "path"), FIELD_END };
static const struct field files_fields[] = { FIELD_LIST(struct path_params, paths, REQUIRED, "paths"), FIELD_END };
static const struct field no_fields[] = { FIELD_END };
static const struct driver release = { .name = "git-release", .fields = release_fields, .params_size = sizeof(struct path_params) };
static const struct driver process = { .name = "process", .fields = process_fields, .params_size = sizeof(struct path_params) };
static const struct driver sqlite = { .name = "sqlite", .fields = sqlite_fields, .params_size = sizeof(struct path_params) };
static const struct driver files_driver = { .name = "files", .fields = files_fields, .params_size = sizeof(struct path_params) };
static const struct driver flags = { .name = "flags", .fields = no_fields, .params_size = sizeof(struct path_params) };
static const struct driver *const drivers[] = { &release, &process, &sqlite, &files_driver, &flags, NULL };
static const struct probe *const no_probes[] = { NULL };
static const struct channel *const no_channels[] = { NULL };
static const struct catalogue catalogue = { .drivers = drivers, .probes = no_probes, .channels = no_channels };

static int setup(void **state)
{
	const char *base = getenv("TMPDIR");
	struct world *world = mem_zero(NULL, struct world);

	json_setup();
	setenv("HOME", "/nonexistent", 1);
	unsetenv("KUBECONFIG");
	world->dir = mem_printf(world, "%s/unship-init-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(world->dir))
		return -1;
	world->cli = (struct cli){ .ctx = world, .catalogue = &catalogue, .dir = world->dir, .quiet = true, .width = 80 };
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;
	int r = fs_remove_tree(world->dir, &error);

	(void)talloc_free(world);
	return r;
}

static void put(struct world *world, const char *path, const char *bytes, size_t size)
{
	char *whole = fs_join(world, world->dir, path), *folder = mem_strdup(world, whole);
	struct err error = ERR_INIT;

	*strrchr(folder, '/') = '\0';
	assert_int_equal(fs_mkdirs(folder, 0755, &error), 0);
	assert_int_equal(fs_write_atomic(whole, bytes, size, 0644, &error), 0);
}
#define put_text(world, path, text) put(world, path, text, strlen(text))

static char *get_text(struct world *world, const char *path)
{
	struct err error = ERR_INIT;
	char *text;

	assert_int_equal(fs_read(world, fs_join(world, world->dir, path), 1u << 20, &text, NULL, &error), 0);
	return text;
}

/* Runs init, and reads what it wrote as `config check` does. */
static struct environment *initialised(struct world *world)
{
	struct err error = ERR_INIT;
	struct problems *problems;
	struct project *project;
	struct doc *doc;

	if (init_run(&world->cli, &error) < 0)
		fail_msg("%s", error.text);
	if (doc_load(world, fs_join(world, world->dir, "unship.yaml"), &doc, &error) < 0)
		fail_msg("%s", error.text);
	problems = problems_new(world, doc);
	project = project_read(world, doc, &catalogue, NULL, NULL, problems);
	if (problems->count)
		fail_msg("%s", problems_text(world, problems));
	return project_environment(project, "production");
}

static void writes_a_valid_file_from_nothing(void **state)
{
	struct world *world = *state;
	struct environment *environment = initialised(world);

	assert_non_null(environment);
	assert_non_null(environment_component(environment, "flags"));
}

static void makes_components_of_what_it_knows(void **state)
{
	struct world *world = *state;
	struct environment *environment;
	struct component *component;

	put_text(world, "Procfile", "# processes\nweb: node server.js --port 80\nworker: FOO=1 ./work | tee log\n");
	put_text(world, "package.json", "{\"scripts\": {\"start\": \"node server.js\"}}");
	put_text(world, ".env", "A=1\n");
	put_text(world, ".env.example", "A=\n");
	put_text(world, "config/app.yaml", "a: 1\n");
	put(world, "data/web.db", "SQLite format 3\0and more", 24);
	put_text(world, "data/no.db", "something else");
	environment = initialised(world);
	component = environment_component(environment, "web");
	assert_string_equal(component->driver, "process");
	assert_string_equal(json_canonical(world, json_object_get(component->config, "argv")),
		"[\"node\",\"server.js\",\"--port\",\"80\"]");
	component = environment_component(environment, "web-2"); /* a name is taken once */
	assert_string_equal(json_str(component->config, "path", ""), "data/web.db");
	component = environment_component(environment, "config");
	assert_string_equal(json_canonical(world, json_object_get(component->config, "paths")), "[\".env\",\"config/app.yaml\"]");
	assert_int_equal(environment->component_count, 4);
	assert_non_null(strstr(get_text(world, "unship.yaml"), "# Procfile (worker: FOO=1 ./work | tee log): it needs a shell"));
}

static void says_what_has_no_driver(void **state)
{
	struct world *world = *state;
	struct environment *environment;
	char *text;

	put_text(world, "compose.yaml", "services:\n  api: {image: a}\n  db: {image: b}\n");
	put_text(world, "deploy/api.service", "[Unit]\n");
	put_text(world, "vercel.json", "{}");
	put_text(world, "wrangler.toml", "");
	put_text(world, "package.json", "{\"scripts\": {\"start\": \"node server.js\"}}");
	environment = initialised(world);
	text = get_text(world, "unship.yaml");
	assert_non_null(strstr(text, "# compose.yaml (services api, db): found, but this unship has no driver for it yet\n"));
	assert_non_null(strstr(text, "# deploy/api.service"));
	assert_non_null(strstr(text, "# vercel.json"));
	assert_non_null(strstr(text, "# wrangler.toml"));
	/* What something else starts is not started a second time. */
	assert_null(environment_component(environment, "web"));
	assert_int_equal(environment->component_count, 1);
}

static void takes_odd_names(void **state)
{
	static const char *const names[] = { "a \"b\"\\.db", "#x: y.db", "\n.db", "null.sqlite", "-.db", "\xff.db" };
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		put(world, names[i], "SQLite format 3\0", 16);
	put_text(world, "compose.yaml", "services: [1\n");
	put_text(world, "package.json", "{");
	put_text(world, "Procfile", "\xff");
	assert_int_equal(initialised(world)->component_count, ARRAY_SIZE(names) - 1 + 1); /* less what is not UTF-8, and flags */
}

static void overwrites_nothing(void **state)
{
	struct world *world = *state;
	struct err error = ERR_INIT;

	put_text(world, "unship.yaml", "mine");
	assert_int_equal(init_run(&world->cli, &error), -ERR_USAGE);
	assert_non_null(strstr(error.text, "exists already"));
	assert_string_equal(get_text(world, "unship.yaml"), "mine");
}

static void keeps_the_state_out_of_git(void **state)
{
	struct world *world = *state;

	put_text(world, ".gitignore", "node_modules");
	initialised(world);
	assert_string_equal(get_text(world, ".gitignore"), "node_modules\n.deployments/\n");
	assert_int_equal(unlink(fs_join(world, world->dir, "unship.yaml")), 0);
	initialised(world);
	assert_string_equal(get_text(world, ".gitignore"), "node_modules\n.deployments/\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_a_valid_file_from_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(makes_components_of_what_it_knows, setup, teardown),
		cmocka_unit_test_setup_teardown(says_what_has_no_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_odd_names, setup, teardown),
		cmocka_unit_test_setup_teardown(overwrites_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_the_state_out_of_git, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
