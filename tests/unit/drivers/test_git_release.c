/* git-release on real repositories: going to versions, the names of versions, what is refused, what is kept. */
#include "worker.h"

#include "drivers/list.h"
#include "gitrepo.h"

static const struct driver *const drivers[] = { &driver_git_release, NULL };
static const struct catalogue catalogue = { .drivers = drivers };

struct world {
	struct worker w;
	char *repo, *root;
	char *one, *two; /* commits */
};

static void begin(struct world *world)
{
	void *ctx;

	worker_begin(&world->w, &catalogue, "driver", "git-release");
	ctx = world->w.ctx;
	world->repo = fs_join(ctx, world->w.dir, "repo");
	world->root = fs_join(ctx, world->w.dir, "site");
	put_file(ctx, world->repo, "app.sh", "echo 1");
	put_file(ctx, world->repo, "lib/deep/data.txt", "one");
	put_file(ctx, world->repo, "log/from-git", "x");
	git(ctx, world->repo, "init", "-q", "-b", "main", NULL);
	assert_int_equal(chmod(fs_join(ctx, world->repo, "app.sh"), 0755), 0);
	assert_int_equal(symlink("deep/data.txt", fs_join(ctx, world->repo, "lib/link")), 0);
	world->one = git_commit_tag(ctx, world->repo, "v1.0.0");
	put_file(ctx, world->repo, "app.sh", "echo 2");
	world->two = git_commit_tag(ctx, world->repo, "v2.0.0");
}

static json_t *config(struct world *world)
{
	return json_make(world->w.ctx, "{s:s, s:s, s:s, s:[s], s:i}", "repo", "repo", "root", "site", "refPrefix", "v", "shared", "log",
		"keep", 2);
}

static json_t *to(struct world *world, const char *version)
{
	return json_make(world->w.ctx, "{s:{s:s}}", "target", "version", version);
}

static json_t *go(struct world *world, const char *version)
{
	return json_object_get(worker_result(&world->w, "apply", config(world), to(world, version)), "outputs");
}

static void test_apply(void **state)
{
	struct world world;
	struct stat st;
	json_t *outputs, *seen;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	seen = worker_result(&world.w, "observe", config(&world), NULL);
	assert_string_equal(json_str(seen, "version", "?"), "");
	assert_string_equal(json_str(seen, "state", "?"), "absent");
	outputs = go(&world, "1.0.0");
	assert_string_equal(json_str(outputs, "previousVersion", "?"), "");
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 1");
	assert_string_equal(get_file(ctx, world.root, "current/lib/link"), "one");
	assert_int_equal(stat(fs_join(ctx, world.root, "current/app.sh"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	put_file(ctx, world.root, "shared/log/kept", "shared"); /* what the commit has there gave way */
	assert_string_equal(get_file(ctx, world.root, "current/log/kept"), "shared");
	assert_null(get_file(ctx, world.root, "current/log/from-git"));
	outputs = go(&world, "2.0.0");
	assert_string_equal(json_str(outputs, "previousVersion", "?"), "1.0.0");
	seen = worker_result(&world.w, "observe", config(&world), to(&world, "2.0.0"));
	assert_string_equal(json_str(seen, "version", "?"), "2.0.0");
	assert_string_equal(json_str(json_object_get(seen, "details"), "commit", "?"), world.two);
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	seen = worker_result(&world.w, "observe", config(&world), to(&world, "1.0.0"));
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	assert_string_equal(get_file(ctx, world.root, "current/log/kept"), "shared");
	worker_end(&world.w);
}

static void test_names_of_versions(void **state)
{
	static const char *const bad[] = { "--upload-pack=x", "-v", "a..b", "HEAD~1", "x^{}", "a b", "v1:app.sh", "../x", "@{0}", "a\nb",
		".hidden", "x.lock" };
	struct world world;
	char shorter[12];
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		worker_error(&world.w, "apply", config(&world), to(&world, bad[i]), "invalid");
	worker_error(&world.w, "apply", config(&world), to(&world, "9.9.9"), "not-found");
	assert_false(fs_exists(fs_join(ctx, world.root, "current")));
	go(&world, "v1.0.0"); /* the whole name of the tag is understood too */
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 1");
	(void)snprintf(shorter, sizeof(shorter), "%.11s", world.two);
	go(&world, shorter);
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 2");
	git(ctx, world.repo, "branch", "feature/x", world.one, NULL);
	go(&world, "feature/x");
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 1");
	assert_string_equal(json_str(worker_result(&world.w, "observe", config(&world), NULL), "version", "?"), "feature/x");
	worker_end(&world.w);
}

/* A branch moves on; the deployment that was recorded keeps its commit. */
static void test_moved_branch(void **state)
{
	struct world world;
	json_t *seen, *kept;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	git(ctx, world.repo, "branch", "live", world.one, NULL);
	go(&world, "live");
	kept = json_make(ctx, "{s:s}", "snapshotDir", fs_join(ctx, world.w.dir, "recorded"));
	worker_result(&world.w, "capture", config(&world), kept);
	git(ctx, world.repo, "branch", "-f", "live", world.two, NULL);
	seen = worker_result(&world.w, "observe", config(&world), to(&world, "live"));
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	go(&world, "live");
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 2");
	kept = json_make(ctx, "{s:{s:s}, s:s}", "target", "version", "live", "sourceDir", fs_join(ctx, world.w.dir, "recorded"));
	worker_result(&world.w, "apply", config(&world), kept);
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 1");
	seen = worker_result(&world.w, "observe", config(&world), kept);
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_end(&world.w);
}

static void test_capture_and_undo(void **state)
{
	struct world world;
	json_t *dir, *seen;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	dir = json_make(ctx, "{s:s}", "snapshotDir", fs_join(ctx, world.w.dir, "snap0"));
	worker_result(&world.w, "capture", config(&world), dir);
	go(&world, "1.0.0");
	worker_result(&world.w, "undo", config(&world), dir); /* there was nothing */
	assert_false(fs_exists(fs_join(ctx, world.root, "current")));
	worker_result(&world.w, "undo", config(&world), dir);
	go(&world, "1.0.0");
	dir = json_make(ctx, "{s:s}", "snapshotDir", fs_join(ctx, world.w.dir, "snap1"));
	worker_result(&world.w, "capture", config(&world), dir);
	go(&world, "2.0.0");
	worker_result(&world.w, "capture", config(&world), dir); /* repeated: what was saved first stands */
	seen = worker_result(&world.w, "observe", config(&world), dir);
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	worker_result(&world.w, "undo", config(&world), dir);
	seen = worker_result(&world.w, "observe", config(&world), dir);
	assert_string_equal(json_str(seen, "version", "?"), "1.0.0");
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_error(&world.w, "undo", config(&world), json_make(ctx, "{s:s}", "snapshotDir", fs_join(ctx, world.w.dir, "none")),
		"not-found");
	worker_end(&world.w);
}

static size_t count_releases(struct world *world)
{
	struct err err = ERR_INIT;
	size_t count = 0;
	char **names;

	assert_int_equal(fs_list(world->w.ctx, fs_join(world->w.ctx, world->root, "releases"), &names, &err), 0);
	for (; *names; names++)
		count += fs_is_dir(mem_printf(world->w.ctx, "%s/releases/%s", world->root, *names));
	return count;
}

static void test_pruning(void **state)
{
	struct world world;
	json_t *dir;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	for (int i = 3; i <= 6; i++) {
		put_file(ctx, world.repo, "app.sh", mem_printf(ctx, "echo %d", i));
		git_commit_tag(ctx, world.repo, mem_printf(ctx, "v%d.0.0", i));
	}
	go(&world, "1.0.0");
	dir = json_make(ctx, "{s:s}", "snapshotDir", fs_join(ctx, world.w.dir, "snap"));
	worker_result(&world.w, "capture", config(&world), dir);
	for (int i = 2; i <= 6; i++)
		worker_result(&world.w, "apply", config(&world),
			json_make(ctx, "{s:{s:s}, s:s}", "target", "version", mem_printf(ctx, "%d.0.0", i), "snapshotDir",
				fs_join(ctx, world.w.dir, "snap")));
	assert_int_equal(count_releases(&world), 3); /* the newest two, and the captured one */
	worker_result(&world.w, "undo", config(&world), dir);
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 1");
	/* One that was pruned is made again. */
	go(&world, "3.0.0");
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 3");
	worker_end(&world.w);
}

static void test_check(void **state)
{
	struct world world;
	json_t *result, *finding;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	result = worker_result(&world.w, "check", config(&world), to(&world, "1.0.0"));
	finding = json_array_get(json_object_get(result, "findings"), 1);
	assert_string_equal(json_str(finding, "name", ""), "artefact_available");
	assert_true(json_flag(finding, "passed", false));
	assert_string_equal(json_str(json_object_get(finding, "evidence"), "commit", ""), world.one);
	result = worker_result(&world.w, "check", config(&world), to(&world, "7.0.0"));
	assert_false(json_flag(json_array_get(json_object_get(result, "findings"), 1), "passed", true));
	/* The tag is gone, the release is there. */
	go(&world, "1.0.0");
	git(ctx, world.repo, "tag", "-d", "v1.0.0", NULL);
	go(&world, "2.0.0");
	result = worker_result(&world.w, "check", config(&world), to(&world, "1.0.0"));
	assert_true(json_flag(json_array_get(json_object_get(result, "findings"), 1), "passed", false));
	go(&world, "1.0.0");
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 1");
	worker_end(&world.w);
}

static void test_unusual_repositories(void **state)
{
	struct world world;
	const char *message;
	json_t *bare, *other;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	git(ctx, world.w.dir, "clone", "-q", "--bare", "repo", "bare.git", NULL);
	bare = json_make(ctx, "{s:s, s:s, s:s}", "repo", "bare.git", "root", "b", "refPrefix", "v");
	worker_result(&world.w, "apply", bare, to(&world, "2.0.0"));
	assert_string_equal(get_file(ctx, world.w.dir, "b/current/app.sh"), "echo 2");
	git(ctx, world.repo, "checkout", "-q", "--detach", world.one, NULL); /* where HEAD is does not matter */
	go(&world, "2.0.0");
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 2");
	other = json_make(ctx, "{s:s, s:s}", "repo", "site", "root", "c");
	message = worker_error(&world.w, "apply", other, to(&world, "1.0.0"), "not-found");
	assert_non_null(strstr(message, "no Git repository"));
	git(ctx, world.w.dir, "init", "-q", "empty", NULL);
	message = worker_error(&world.w, "apply", json_make(ctx, "{s:s, s:s}", "repo", "empty", "root", "d"), to(&world, "1.0.0"),
		"not-found");
	assert_non_null(strstr(message, "no commits"));
	put_file(ctx, world.w.dir, "e/current/x", "a directory of somebody else");
	message = worker_error(&world.w, "apply", json_make(ctx, "{s:s, s:s}", "repo", "repo", "root", "e"), to(&world, "v1.0.0"),
		"invalid");
	assert_non_null(strstr(message, "not a symbolic link"));
	assert_true(fs_exists(fs_join(ctx, world.w.dir, "e/current/x")));
	worker_end(&world.w);
}

static void commit_and_expect(struct world *world, const char *tag, const char *code, const char *says)
{
	git_commit_tag(world->w.ctx, world->repo, tag);
	assert_non_null(strstr(worker_error(&world->w, "apply", config(world), to(world, tag), code), says));
	assert_false(fs_exists(fs_join(world->w.ctx, world->root, "current")));
	assert_int_equal(count_releases(world), 0);
}

static void test_what_is_refused(void **state)
{
	struct world world;
	char *link;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	link = fs_join(ctx, world.repo, "bad");
	assert_int_equal(symlink("/etc/passwd", link), 0);
	commit_and_expect(&world, "absolute", "refused", "leads outside");
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("lib/../../outside", link), 0);
	commit_and_expect(&world, "upwards", "refused", "leads outside");
	assert_int_equal(unlink(link), 0);
	/* Inside by its text, outside through another link. */
	assert_int_equal(symlink(".", fs_join(ctx, world.repo, "lib/deep/here")), 0);
	assert_int_equal(symlink("lib/deep/here/../../../../site", link), 0);
	commit_and_expect(&world, "by-another", "refused", "lead");
	assert_int_equal(unlink(link), 0);
	assert_int_equal(unlink(fs_join(ctx, world.repo, "lib/deep/here")), 0);
	put_file(ctx, world.repo, "big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n");
	commit_and_expect(&world, "lfs", "unsupported", "Git LFS");
	assert_int_equal(unlink(fs_join(ctx, world.repo, "big.bin")), 0);
	git(ctx, world.repo, "add", "-A", NULL);
	git(ctx, world.repo, "update-index", "--add", "--cacheinfo", mem_printf(ctx, "160000,%s,sub", world.one), NULL);
	git(ctx, world.repo, "commit", "-q", "-m", "sub", NULL);
	git(ctx, world.repo, "tag", "sub", NULL);
	assert_non_null(strstr(worker_error(&world.w, "apply", config(&world), to(&world, "sub"), "unsupported"), "submodule"));
	worker_error(&world.w, "observe", json_make(ctx, "{s:s, s:[s]}", "root", "x", "shared", "../x"), NULL, "invalid");
	worker_end(&world.w);
}

static void test_subdir(void **state)
{
	struct world world;
	json_t *part;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	part = json_make(ctx, "{s:s, s:s, s:s}", "repo", "repo", "root", "site", "subdir", "lib/deep");
	worker_result(&world.w, "apply", part, to(&world, "v1.0.0"));
	assert_string_equal(get_file(ctx, world.root, "current/data.txt"), "one");
	(void)json_object_set_new(part, "subdir", json_string("nowhere"));
	assert_non_null(strstr(worker_error(&world.w, "apply", part, to(&world, "v1.0.0"), "not-found"), "nowhere"));
	(void)json_object_set_new(part, "subdir", json_string("app.sh"));
	worker_error(&world.w, "apply", part, to(&world, "v1.0.0"), "invalid");
	worker_end(&world.w);
}

/* What an interrupted export left is removed, and a release without its name is not used. */
static void test_leftovers(void **state)
{
	struct world world;
	void *ctx;

	(void)state;
	begin(&world);
	ctx = world.w.ctx;
	put_file(ctx, world.root, "releases/.tmp-1.0.0-x/half", "half");
	put_file(ctx, world.root, mem_printf(ctx, "releases/.tmp-1.0.0-%.12s/app.sh", world.one), "half");
	go(&world, "1.0.0");
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 1");
	assert_int_equal(count_releases(&world), 1);
	put_file(ctx, world.root, mem_printf(ctx, "releases/2.0.0-%.12s/app.sh", world.two), "not ours");
	worker_error(&world.w, "apply", config(&world), to(&world, "2.0.0"), "conflict");
	assert_string_equal(get_file(ctx, world.root, "current/app.sh"), "echo 1");
	worker_end(&world.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply),
		cmocka_unit_test(test_names_of_versions),
		cmocka_unit_test(test_moved_branch),
		cmocka_unit_test(test_capture_and_undo),
		cmocka_unit_test(test_pruning),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_unusual_repositories),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_subdir),
		cmocka_unit_test(test_leftovers),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
