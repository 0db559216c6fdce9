/* Copies for rehearsals: what each driver copies, where it stands, that the real thing is only read, and that what runs of a copy is ended. */
#include "worker.h"

#include <sqlite3.h>
#include <unistd.h>

#include "base/proc.h"
#include "drivers/list.h"
#include "drivers/release.h"
#include "drivers/sandbox.h"
#include "gitrepo.h"
#include "store/store.h"

static const struct driver *const drivers[] = { &driver_command, &driver_files, &driver_flags, &driver_git_release, &driver_process,
	&driver_sqlite, NULL };
static const struct catalogue catalogue = { .drivers = drivers };

static void begin(struct worker *w)
{
	worker_begin(w, &catalogue, "driver", "files");
}

static char *copy_dir(struct worker *w)
{
	return fs_join(w->ctx, w->dir, ".deployments/drill/drl-1");
}

static json_t *where(struct worker *w, json_t *overrides)
{
	json_t *more = json_make(w->ctx, "{s:s, s:s}", "sandboxDir", copy_dir(w), "store",
		mem_printf(w->ctx, "sqlite:%s/.deployments/unship.db", w->dir));

	json_put(more, "overrides", overrides);
	return more;
}

/* Configuration of the copy. */
static json_t *copied(struct worker *w, const char *driver, json_t *config, json_t *overrides)
{
	json_t *result;

	w->name = driver;
	result = json_object_get(worker_result(w, "sandbox", config, where(w, overrides)), "config");
	assert_true(json_is_object(result));
	return result;
}

static void test_paths(void **state)
{
	static const struct {
		const char *path, *there;
		bool keeps;
	} table[] = {
		{ "deploy", "deploy", true },
		{ "./deploy/./current/", "deploy/current", true },
		{ "a/../b", "b", true },
		{ ".", ".", true },
		{ "/srv/shop/state/app.db", "state/app.db", false },
		{ "/srv/shop", ".", false },
		{ "/srv/shopping/x", "outside/srv/shopping/x", false },
		{ "../other/x", "outside/srv/other/x", false },
		{ "/etc/app.conf", "outside/etc/app.conf", false },
		{ "../../../../etc", "outside/etc", false },
	};
	void *ctx = mem_context(NULL);
	struct driver_call call = { .ctx = ctx, .project_dir = "/srv/shop" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_string_equal(sandbox_path(&call, table[i].path), table[i].there);
		assert_int_equal(sandbox_keeps_path(&call, table[i].path), table[i].keeps);
	}
	talloc_free(ctx);
}

static void test_files(void **state)
{
	struct worker w;
	json_t *config;

	(void)state;
	begin(&w);
	put_file(w.ctx, w.dir, "config/app.env", "A=1\n");
	config = copied(&w, "files", json_make(w.ctx, "{s:[s, s], s:s}", "paths", "config/app.env", "absent.json", "driver", "files"),
		NULL);
	assert_string_equal(get_file(w.ctx, copy_dir(&w), "config/app.env"), "A=1\n");
	assert_false(fs_exists(fs_join(w.ctx, copy_dir(&w), "absent.json")));
	assert_int_equal(json_array_size(json_object_get(config, "paths")), 2);
	/* What was kept of a file knows it by its path. */
	assert_non_null(
		strstr(worker_error(&w, "sandbox", json_make(w.ctx, "{s:[s]}", "paths", "/etc/hostname"), where(&w, NULL), "unsupported"),
			"/etc/hostname"));
	worker_result(&w, "unsandbox", json_make(w.ctx, "{s:[s]}", "paths", "config/app.env"), where(&w, NULL));
	worker_end(&w);
}

static void sql(struct worker *w, const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(fs_join(w->ctx, w->dir, path), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_sqlite(void **state)
{
	struct worker w;
	json_t *config, *seen;

	(void)state;
	begin(&w);
	put_file(w.ctx, w.dir, "migrations/1.sql", "SELECT 1;\n");
	sql(&w, "app.db", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('one')");
	config = copied(&w, "sqlite",
		json_make(w.ctx, "{s:s, s:{s:s, s:s}}", "path", fs_join(w.ctx, w.dir, "app.db"), "migrations", "tool", "sql", "dir",
			"migrations"),
		NULL);
	assert_string_equal(json_str(config, "path", ""), "app.db");
	assert_string_equal(get_file(w.ctx, copy_dir(&w), "migrations/1.sql"), "SELECT 1;\n");
	sql(&w, ".deployments/drill/drl-1/app.db", "DELETE FROM notes");
	seen = json_object_get(worker_result(&w, "observe", json_make(w.ctx, "{s:s}", "path", "app.db"), NULL), "details");
	assert_int_equal(json_int(json_object_get(seen, "rowCounts"), "notes", -1), 1);
	/* No database: none there. */
	config = copied(&w, "sqlite", json_make(w.ctx, "{s:s}", "path", "none.db"), NULL);
	assert_false(fs_exists(fs_join(w.ctx, copy_dir(&w), "none.db")));
	worker_end(&w);
}

static void test_flags(void **state)
{
	struct err error = ERR_INIT;
	struct store *store;
	struct worker w;
	struct flag_row row;

	(void)state;
	begin(&w);
	assert_ok(fs_mkdirs(fs_join(w.ctx, w.dir, ".deployments"), 0700, &error));
	assert_ok(store_open(w.ctx, fs_join(w.ctx, w.dir, ".deployments/unship.db"), NULL, w.dir, &store, &error));
	assert_ok(store_flag_set(store, "test", "new-cart", "beta", "true", "ana", "try", NULL, &error));
	assert_ok(store_flag_set(store, "test", "other", "gamma", "true", "ana", "try", NULL, &error));
	(void)copied(&w, "flags", json_make(w.ctx, "{s:s}", "group", "beta"), NULL);
	(void)talloc_free(store);
	assert_ok(store_open(w.ctx, fs_join(w.ctx, copy_dir(&w), ".deployments/unship.db"), NULL, w.dir, &store, &error));
	assert_ok(store_flag(store, w.ctx, "test", "new-cart", &row, &error));
	assert_string_equal(row.state, "true");
	assert_string_equal(row.group, "beta");
	assert_fails(store_flag(store, w.ctx, "test", "other", &row, &error), ERR_NOT_FOUND);
	(void)talloc_free(store);
	worker_end(&w);
}

/* The release in use under its own name, shared folders as copies, links out of them left out. */
static void test_release(void **state)
{
	json_t *config, *seen, *more;
	struct err error = ERR_INIT;
	struct worker w;

	(void)state;
	begin(&w);
	w.name = "git-release";
	git(w.ctx, w.dir, "init", "-q", "-b", "main", NULL);
	put_file(w.ctx, w.dir, "app.txt", "one");
	git_commit_tag(w.ctx, w.dir, "v1");
	put_file(w.ctx, w.dir, "deploy/shared/uploads/a.txt", "mine");
	assert_ok(fs_symlink_atomic("/etc", fs_join(w.ctx, w.dir, "deploy/shared/uploads/out"), &error));
	assert_ok(fs_symlink_atomic("a.txt", fs_join(w.ctx, w.dir, "deploy/shared/uploads/in"), &error));
	config = json_make(w.ctx, "{s:s, s:[s]}", "root", "deploy", "shared", "uploads");
	worker_result(&w, "apply", config, json_make(w.ctx, "{s:{s:s}}", "target", "version", "v1"));
	more = copied(&w, "git-release", config, NULL);
	assert_string_equal(json_str(more, "root", ""), "deploy");
	assert_int_equal(*json_str(more, "repo", ""), '/');
	assert_string_equal(get_file(w.ctx, copy_dir(&w), "deploy/current/app.txt"), "one");
	put_file(w.ctx, copy_dir(&w), "deploy/current/uploads/a.txt", "theirs");
	assert_string_equal(get_file(w.ctx, w.dir, "deploy/shared/uploads/a.txt"), "mine");
	assert_false(fs_exists(fs_join(w.ctx, copy_dir(&w), "deploy/shared/uploads/out")));
	assert_string_equal(get_file(w.ctx, copy_dir(&w), "deploy/shared/uploads/in"), "theirs");
	seen = worker_result(&w, "observe", more, json_make(w.ctx, "{s:s}", "projectDir", copy_dir(&w)));
	assert_string_equal(json_str(seen, "version", ""), "v1");
	worker_end(&w);
}

/* A service runs in the copy only as the user says; nothing that may lead to the real one is taken over; unsandbox ends it, and only it. */
static void test_process(void **state)
{
	static const char script[] = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
	struct release made = { .version = "1.0", .created_ms = 1 };
	json_t *config, *there, *overrides, *seen, *start, *in_copy;
	struct err error = ERR_INIT;
	struct worker w;
	pid_t real, copy;

	(void)state;
	begin(&w);
	w.name = "process";
	assert_ok(fs_mkdirs(fs_join(w.ctx, w.dir, "app"), 0755, &error));
	assert_ok(release_write(fs_join(w.ctx, w.dir, "app"), &made, &error));
	config = json_make(w.ctx, "{s:[s, s, s], s:s, s:{s:s}, s:{s:s, s:[s]}, s:s}", "argv", "sh", "-c", script, "dir", "app", "env",
		"DATABASE", "the real one", "ready", "type", "exec", "argv", "true", "pidFile", "run/app.json");
	assert_non_null(strstr(worker_error(&w, "sandbox", config, where(&w, NULL), "unsupported"), "`sandbox:`"));
	overrides = json_make(w.ctx, "{s:{s:s}}", "env", "DATABASE", "a copy");
	there = copied(&w, "process", config, overrides);
	assert_string_equal(json_str(json_object_get(there, "env"), "DATABASE", ""), "a copy");
	assert_null(json_object_get(there, "ready"));
	assert_null(json_object_get(there, "pidFile"));
	assert_string_equal(json_str(there, "dir", ""), "app");
	start = json_make(w.ctx, "{s:{s:s}}", "target", "action", "start");
	worker_result(&w, "apply", config, start);
	assert_ok(fs_mkdirs(fs_join(w.ctx, copy_dir(&w), "app"), 0755, &error));
	assert_ok(release_write(fs_join(w.ctx, copy_dir(&w), "app"), &made, &error));
	in_copy = json_make(w.ctx, "{s:s, s:s}", "projectDir", copy_dir(&w), "stateDir", fs_join(w.ctx, copy_dir(&w), ".deployments"));
	(void)json_object_update(start, in_copy);
	worker_result(&w, "apply", there, start);
	seen = worker_result(&w, "observe", there, in_copy);
	copy = (pid_t)json_int(json_object_get(seen, "details"), "pid", 0);
	seen = worker_result(&w, "observe", config, NULL);
	real = (pid_t)json_int(json_object_get(seen, "details"), "pid", 0);
	assert_true(copy > 1 && real > 1 && copy != real);
	worker_result(&w, "unsandbox", config, where(&w, overrides));
	assert_true(proc_start_time(copy) == 0);
	assert_true(proc_start_time(real) > 0);
	worker_result(&w, "unsandbox", config, where(&w, overrides)); /* once more: nothing is left to do */
	worker_result(&w, "apply", config, json_make(w.ctx, "{s:{s:s}}", "target", "action", "stop"));
	worker_end(&w);
}

/* A driver without the verb says so; a request without the folder is refused. */
static void test_protocol(void **state)
{
	struct worker w;

	(void)state;
	begin(&w);
	w.name = "command";
	(void)worker_error(&w, "sandbox", json_make(w.ctx, "{s:[s]}", "argv", "true"), where(&w, NULL), "unsupported");
	w.name = "files";
	(void)worker_error(&w, "sandbox", json_make(w.ctx, "{s:[s]}", "paths", "x"), NULL, "invalid");
	worker_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_sqlite),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_protocol),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
