/* Snapshots: sealing, finding every kind of change, links, interruption. */
#include <fcntl.h>
#include "checks.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/fs.h"
#include "snapshot/snapshot.h"
#include "snapshot/tree.h"

struct world {
	char folder[40];
	char *root, *project, *snapshot;
};

static const struct folder_metadata metadata = { .run_id = "run-1",
	.environment = "production",
	.from = "dep-2",
	.to = "dep-1",
	.wall_ms = 1795236813120,
	.preserve_data = true };

static void put(struct world *world, const char *path, const char *text)
{
	_cleanup_talloc_ char *whole = fs_join(NULL, world->folder, path);
	_cleanup_talloc_ char *folder = mem_strndup(NULL, whole, (size_t)(strrchr(whole, '/') - whole));
	struct err err = ERR_INIT;

	assert_int_equal(fs_mkdirs(folder, 0755, &err), 0);
	assert_int_equal(fs_write_atomic(whole, text, strlen(text), 0644, &err), 0);
}

static char *in(struct world *world, const char *path)
{
	return mem_printf(world, "%s/%s", world->snapshot, path);
}

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-snapshot-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	world->root = fs_join(world, world->folder, "project/.deployments/rollback-snapshots");
	world->project = fs_join(world, world->folder, "project");
	world->snapshot = fs_join(world, world->root, "run-1");
	put(world, "project/.env.production", "A=1\n");
	put(world, "project/config/production.json", "{}\n");
	put(world, "project/docker-compose.yml", "services: {}\n");
	put(world, "project/unrelated.txt", "x\n");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(world->folder, &err), 0);
	talloc_free(world);
	return 0;
}

static void seal(struct world *world, struct folder_summary *ret)
{
	json_t *observed = json_pack("{s:{s:s}}", "api", "version", "1.2.3");
	struct err err = ERR_INIT;

	assert_int_equal(folder_begin(world->root, &metadata, &err), 0);
	assert_int_equal(folder_add_project(world->root, "run-1", "production", world->project, observed, &err), 0);
	json_decref(observed);
	put(world, "project/.deployments/rollback-snapshots/run-1/state/component-api/old", "content");
	put(world, "project/.deployments/rollback-snapshots/run-1/database/component-db/empty", "");
	if (folder_seal(world->root, "run-1", ret, &err) < 0)
		fail_msg("%s", err.text);
}

static int verify(struct world *world, struct folder_summary *ret, json_t **ret_problems, struct err *err)
{
	*err = ERR_INIT;
	return folder_verify(world, world->root, "run-1", ret, ret_problems, err);
}

static void test_layout(void **state)
{
	static const char *const files[] = { "metadata.json", "manifest.json", "config/.env.production", "config/config/production.json",
		"config/docker-compose.yml", "state/production-state.json", "state/component-api/old", "database/component-db/empty" };
	struct world *world = *state;
	struct folder_summary sealed, verified;
	struct err err = ERR_INIT;
	json_t *problems, *content;
	char **names;

	seal(world, &sealed);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (!fs_exists(in(world, files[i])))
			fail_msg("%s is missing", files[i]);
	assert_false(fs_exists(in(world, "config/unrelated.txt")));
	assert_int_equal(sealed.files, 7);
	assert_int_equal(strlen(sealed.manifest), 64);
	assert_int_equal(verify(world, &verified, &problems, &err), 0);
	assert_memory_equal(&sealed, &verified, sizeof(sealed));
	assert_int_equal(json_array_size(problems), 0);

	assert_int_equal(folder_read_metadata(world, world->root, "run-1", &content, &err), 0);
	assert_string_equal(json_str(content, "rollbackId", ""), "run-1");
	assert_string_equal(json_str(content, "timestamp", ""), "2026-11-21T04:53:33.120Z");
	assert_string_equal(json_str(content, "environment", ""), "production");
	assert_string_equal(json_str(content, "fromDeploymentId", ""), "dep-2");
	assert_string_equal(json_str(content, "toDeploymentId", ""), "dep-1");
	assert_true(json_flag(content, "preserveData", false));

	/* nothing is left beside it */
	assert_int_equal(fs_list(world, world->root, &names, &err), 0);
	assert_string_equal(names[0], "run-1");
	assert_null(names[1]);
}

static void test_again(void **state)
{
	struct world *world = *state;
	struct folder_summary first, second;
	struct err err = ERR_INIT;

	assert_int_equal(folder_begin(world->root, &metadata, &err), 0);
	assert_int_equal(folder_begin(world->root, &metadata, &err), 0);
	seal(world, &first);
	assert_int_equal(folder_seal(world->root, "run-1", &second, &err), 0);
	assert_memory_equal(&first, &second, sizeof(first));
	put(world, "project/.deployments/rollback-snapshots/run-1/state/component-api/old", "CONTENT");
	assert_int_equal(folder_seal(world->root, "run-1", &second, &err), -ERR_CORRUPT);
}

static void expect_problem(struct world *world, const char *path, const char *what)
{
	struct folder_summary summary;
	struct err err = ERR_INIT;
	json_t *problems;

	assert_int_equal(verify(world, &summary, &problems, &err), -ERR_CORRUPT);
	if (!strstr(err.text, path) || !strstr(err.text, what))
		fail_msg("'%s' does not name %s %s", err.text, path, what);
	assert_int_equal(json_array_size(problems), 1);
	assert_string_equal(json_str(json_array_get(problems, 0), "path", ""), path);
}

static void test_changes_are_found(void **state)
{
	struct world *world = *state;
	struct folder_summary summary;
	struct err err = ERR_INIT;
	json_t *problems;
	_cleanup_close_ int fd = -1;
	char *old = in(world, "state/component-api/old"), *aside = mem_printf(world, "%s/aside", world->folder);

	seal(world, &summary);
	fd = open(old, O_WRONLY);
	assert_int_equal(pwrite(fd, "k", 1, 0), 1); /* same size, same time by the second */
	expect_problem(world, "state/component-api/old", "another content");
	assert_int_equal(pwrite(fd, "c", 1, 0), 1);
	assert_int_equal(ftruncate(fd, 3), 0);
	expect_problem(world, "state/component-api/old", "another size");
	assert_int_equal(pwrite(fd, "tent", 4, 3), 4);
	assert_int_equal(verify(world, &summary, &problems, &err), 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	expect_problem(world, "state/component-api/old", "another mode");
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(rename(old, aside), 0);
	expect_problem(world, "state/component-api/old", "is missing");
	assert_int_equal(symlink(aside, old), 0);
	expect_problem(world, "state/component-api/old", "another type");
	assert_int_equal(rename(aside, old), 0);
	put(world, "project/.deployments/rollback-snapshots/run-1/state/component-api/more", "");
	expect_problem(world, "state/component-api/more", "was added");
	assert_int_equal(unlink(in(world, "state/component-api/more")), 0);
	assert_int_equal(mkdir(in(world, "state/more"), 0700), 0);
	expect_problem(world, "state/more", "was added");
	assert_int_equal(rmdir(in(world, "state/more")), 0);
	assert_int_equal(verify(world, &summary, &problems, &err), 0);
	assert_int_equal(unlink(old), 0);
	assert_int_equal(unlink(in(world, "metadata.json")), 0);
	assert_int_equal(verify(world, &summary, &problems, &err), -ERR_CORRUPT);
	assert_int_equal(json_array_size(problems), 2);
}

static void test_links(void **state)
{
	struct world *world = *state;
	struct folder_summary summary;
	struct err err = ERR_INIT;
	json_t *problems;
	char target[64] = "";

	assert_int_equal(unlink(mem_printf(world, "%s/.env.production", world->project)), 0);
	assert_int_equal(symlink("/etc/passwd", mem_printf(world, "%s/.env.production", world->project)), 0);
	assert_int_equal(rename(mem_printf(world, "%s/config", world->project), mem_printf(world, "%s/elsewhere", world->folder)), 0);
	assert_int_equal(symlink("../elsewhere", mem_printf(world, "%s/config", world->project)), 0);
	seal(world, &summary);
	assert_true(readlink(in(world, "config/.env.production"), target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/etc/passwd");
	assert_false(fs_exists(in(world, "config/config/production.json")));
	assert_int_equal(unlink(in(world, "config/.env.production")), 0);
	assert_int_equal(symlink("/etc/shadow", in(world, "config/.env.production")), 0);
	expect_problem(world, "config/.env.production", "points elsewhere");
	assert_int_equal(unlink(in(world, "config/.env.production")), 0);
	assert_int_equal(symlink("/etc/passwd", in(world, "config/.env.production")), 0);
	assert_int_equal(verify(world, &summary, &problems, &err), 0);
}

static void test_unsealed(void **state)
{
	struct world *world = *state;
	struct folder_summary summary;
	struct err err = ERR_INIT;
	json_t *problems;
	char **names;

	assert_int_equal(folder_list(world, world->root, &names, &err), 0);
	assert_null(names[0]);
	assert_int_equal(folder_seal(world->root, "run-1", &summary, &err), -ERR_NOT_FOUND);
	assert_int_equal(folder_begin(world->root, &metadata, &err), 0);
	assert_int_equal(verify(world, &summary, &problems, &err), -ERR_CORRUPT);
	assert_non_null(strstr(err.text, "interrupted"));
	assert_int_equal(folder_list(world, world->root, &names, &err), 0);
	assert_string_equal(names[0], "run-1");
	assert_null(names[1]);
}

static void test_manifest_is_not_trusted(void **state)
{
	static const char *const bad[] = {
		"", "[]", "{}", "{\"format\":1,\"algorithm\":\"md5\",\"files\":[]}",
		"{\"format\":1,\"algorithm\":\"blake2b-256\",\"files\":[{\"type\":\"folder\",\"path\":\"../x\",\"mode\":\"0700\"}]}",
		"{\"format\":1,\"algorithm\":\"blake2b-256\",\"files\":[{\"type\":\"folder\",\"path\":\"/x\",\"mode\":\"0700\"}]}",
		"{\"format\":1,\"algorithm\":\"blake2b-256\",\"files\":[{\"type\":\"device\",\"path\":\"x\",\"mode\":\"0700\"}]}",
		"{\"format\":1,\"algorithm\":\"blake2b-256\",\"files\":[{\"type\":\"file\",\"path\":\"x\",\"mode\":\"0700\",\"size\":1,\"blake2b\":\"00\"}]}",
		"{\"format\":1,\"algorithm\":\"blake2b-256\",\"files\":[{\"type\":\"folder\",\"path\":\"x\",\"mode\":\"rwx\"}]}",
		"{\"format\":1,\"algorithm\":\"blake2b-256\",\"files\":[{\"type\":\"folder\",\"path\":\"x\",\"mode\":\"0700\"},{\"type\":\"folder\",\"path\":\"x\",\"mode\":\"0700\"}]}"
	};
	struct world *world = *state;
	struct folder_summary summary;
	struct err err = ERR_INIT;
	json_t *problems;

	seal(world, &summary);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put(world, "project/.deployments/rollback-snapshots/run-1/manifest.json", bad[i]);
		if (verify(world, &summary, &problems, &err) != -ERR_CORRUPT)
			fail_msg("%s: %s", bad[i], err.text);
	}
	put(world, "project/.deployments/rollback-snapshots/run-1/manifest.json", "{\"format\":2}");
	assert_int_equal(verify(world, &summary, &problems, &err), -ERR_NEWER);
}

static void test_bad_ids(void **state)
{
	static const char *const bad[] = { "", "..", "../run-1", "a/b", ".hidden", "run-1/../run-1" };
	struct world *world = *state;
	struct folder_summary summary;
	struct err err = ERR_INIT;
	json_t *value;

	seal(world, &summary);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct folder_metadata wrong = metadata;

		wrong.run_id = bad[i];
		assert_int_equal(folder_begin(world->root, &wrong, &err), -ERR_INVALID);
		assert_int_equal(folder_seal(world->root, bad[i], &summary, &err), -ERR_INVALID);
		assert_int_equal(folder_verify(world, world->root, bad[i], &summary, &value, &err), -ERR_INVALID);
		assert_int_equal(folder_read_metadata(world, world->root, bad[i], &value, &err), -ERR_INVALID);
		assert_int_equal(folder_remove(world->root, bad[i], &err), -ERR_INVALID);
		assert_int_equal(folder_export(world->root, bad[i], mem_printf(world, "%s/out", world->folder), &err), -ERR_INVALID);
	}
	assert_int_equal(folder_read_metadata(world, world->root, "run-2", &value, &err), -ERR_NOT_FOUND);
	assert_true(fs_exists(in(world, "manifest.json")));
}

static void test_special_files_are_refused(void **state)
{
	struct world *world = *state;
	struct folder_summary summary;
	struct err err = ERR_INIT;

	assert_int_equal(folder_begin(world->root, &metadata, &err), 0);
	assert_int_equal(mkfifo(in(world, "state/pipe"), 0600), 0);
	assert_int_equal(folder_seal(world->root, "run-1", &summary, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "state/pipe"));
	assert_false(fs_exists(in(world, "manifest.json")));
}

static void test_names_of_any_bytes(void **state)
{
	struct world *world = *state;
	struct folder_summary summary;
	struct err err = ERR_INIT;
	json_t *problems;

	assert_int_equal(folder_begin(world->root, &metadata, &err), 0);
	put(world, "project/.deployments/rollback-snapshots/run-1/state/\xff\"\n\\", "x");
	assert_int_equal(symlink("\xfe", in(world, "state/link")), 0);
	assert_int_equal(folder_seal(world->root, "run-1", &summary, &err), 0);
	assert_int_equal(verify(world, &summary, &problems, &err), 0);
	assert_int_equal(unlink(in(world, "state/\xff\"\n\\")), 0);
	assert_int_equal(verify(world, &summary, &problems, &err), -ERR_CORRUPT);
}

static void test_export_and_remove(void **state)
{
	struct world *world = *state;
	struct folder_summary summary, exported;
	struct err err = ERR_INIT;
	char *out = fs_join(world, world->folder, "out");
	json_t *problems;

	seal(world, &summary);
	assert_int_equal(symlink("nowhere", in(world, "state/late")), 0);
	assert_int_equal(folder_export(world->root, "run-1", out, &err), -ERR_CORRUPT);
	assert_false(fs_exists(out));
	assert_false(fs_exists(mem_printf(world, "%s.partial", out)));
	assert_int_equal(unlink(in(world, "state/late")), 0);
	assert_int_equal(folder_export(world->root, "run-1", out, &err), 0);
	assert_int_equal(folder_verify(world, world->folder, "out", &exported, &problems, &err), 0);
	assert_memory_equal(&summary, &exported, sizeof(summary));
	assert_int_equal(folder_export(world->root, "run-1", out, &err), -ERR_INVALID);
	assert_int_equal(folder_remove(world->root, "run-1", &err), 0);
	assert_false(fs_exists(world->snapshot));
	assert_int_equal(folder_remove(world->root, "run-1", &err), 0);
	assert_true(fs_exists(out));
}

static void test_many_files(void **state)
{
	struct world *world = *state;
	struct folder_summary summary;
	struct err err = ERR_INIT;
	json_t *problems;

	assert_int_equal(folder_begin(world->root, &metadata, &err), 0);
	for (int i = 0; i < 300; i++) {
		_cleanup_talloc_ char *path = mem_printf(NULL, "%s/state/%d", world->snapshot, i);
		_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT, 0600);

		assert_int_equal(fs_write_all(fd, path, strlen(path), &err), 0);
	}
	assert_int_equal(folder_seal(world->root, "run-1", &summary, &err), 0);
	assert_int_equal(summary.files, 301);
	assert_int_equal(verify(world, &summary, &problems, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes_are_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unsealed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_manifest_is_not_trusted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_ids, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_special_files_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_of_any_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_export_and_remove, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_files, set_up, tear_down),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
