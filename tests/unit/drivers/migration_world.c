/* The world of a test of migrations on a server; see migration_world.h. */
#include "migration_world.h"

#include "base/clock.h"
#include "base/fs.h"
#include "data/json.h"
#include "worker_call.h"

#define TIME_MS 90000
#define ENV_MAX 8

struct world *world_make(const struct driver *driver, const char *password)
{
	struct world *world = mem_zero(NULL, struct world);

	*world = (struct world){ .driver = driver, .password = password };
	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-migration-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	return world;
}

void world_remove(struct world *world)
{
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(world->folder, &err), 0);
	/* What was said would be in the run's log. */
	assert_null(strstr(worker_log(), world->password));
	worker_log_clear();
	talloc_free(world);
}

char *in(struct world *world, const char *path)
{
	return fs_join(world, world->folder, path);
}

void put(struct world *world, const char *path, const char *text)
{
	char *whole = in(world, path), *folder = mem_strdup(world, whole);

	*strrchr(folder, '/') = 0;
	assert_int_equal(fs_mkdirs(folder, 0755, &world->err), 0);
	assert_int_equal(fs_write_atomic(whole, text, strlen(text), 0644, &world->err), 0);
}

void must_run(struct world *world, const char *const *argv, const char *dir, const char *const *more)
{
	const char *env[ENV_MAX + 3] = { mem_printf(world, "PATH=%s", getenv("PATH")), "HOME=/tmp" };
	struct proc_spec spec = { .argv = argv, .env = env, .dir = dir, .deadline_ms = clock_mono_ms() + TIME_MS };
	struct proc_result result;
	struct err error = ERR_INIT;

	for (size_t i = 0; more && more[i]; i++) {
		assert_true(i < ENV_MAX);
		env[i + 2] = more[i];
	}
	assert_ok(proc_run_ok(world, &spec, &result, &error));
}

struct driver_call *make(struct world *world, const char *migrations, const char *version)
{
	char *config = mem_printf(world, "{%s, 'migrations': %s}", world->place, migrations);
	struct driver_call *call = worker_call(world, world->driver->fields, world->driver->params_size, world->folder, config);

	call->target = version ? json_make(call, "{s:s}", "migration", version) : NULL;
	call->snapshot_dir = in(world, "snapshot");
	call->run_id = "run-1";
	call->deadline_ms = clock_mono_ms() + TIME_MS;
	world->err = ERR_INIT;
	return call;
}

const char *fact(struct world *world, const char *migrations, const char *member)
{
	struct driver_call *call = make(world, migrations, NULL);
	json_t *value;

	call->snapshot_dir = NULL;
	if (world->driver->observe(call, &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
	value = json_object_get(world->seen.details, member);
	return value ? json_canonical(world, value) : "";
}

void capture(struct world *world, const char *migrations)
{
	if (world->driver->capture(make(world, migrations, NULL), &world->err) < 0)
		fail_msg("%s", world->err.text);
}

void undo(struct world *world, const char *migrations)
{
	if (world->driver->undo(make(world, migrations, NULL), &world->err) < 0)
		fail_msg("%s", world->err.text);
}

int go(struct world *world, const char *migrations, const char *version)
{
	return world->driver->apply(make(world, migrations, version), json_keep(world, json_object()), &world->err);
}

void must_go(struct world *world, const char *migrations, const char *version)
{
	if (go(world, migrations, version) < 0)
		fail_msg("%s\n%s", world->err.text, worker_log());
	if (world->driver->observe(make(world, migrations, version), &world->seen, &world->err) < 0)
		fail_msg("%s", world->err.text);
	assert_int_equal(world->seen.at_target, 1);
}

const char *blocking(struct world *world, const char *migrations, const char *version)
{
	struct findings *findings = findings_new(world);

	if (world->driver->check(make(world, migrations, version), findings, &world->err) < 0)
		fail_msg("%s", world->err.text);
	for (size_t i = 0; i < findings->count; i++)
		if (!findings->list[i].passed)
			return mem_printf(world, "%s: %s", findings->list[i].name, findings->list[i].message);
	return "";
}
