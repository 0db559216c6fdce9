/* process: a shell script as the service. It says in a file which release it was started from. */
#include "contract.h"

#include <ctype.h>
#include <signal.h>

static void setup(struct world *world)
{
	put(world, "releases/1/version", "one");
	put(world, "releases/2/version", "two");
	put(world, "service.sh", "cat current/version > running; trap 'rm -f running; exit 0' TERM; while :; do sleep 0.02; done");
	world->config = json_make(world->ctx, "{s:[s, s], s:s, s:s, s:s, s:{s:s, s:[s, s, s]}}", "argv", "sh",
		mem_printf(world->ctx, "%s/service.sh", world->dir), "release", "current", "pidFile", "run/app.json", "grace", "5s",
		"ready", "type", "exec", "argv", "test", "-s", "running");
	world->targets[0] = json_make(world->ctx, "{s:s}", "version", "1");
	world->targets[1] = json_make(world->ctx, "{s:s}", "version", "2");
}

static void before(struct world *world, int i)
{
	struct err err = ERR_INIT;

	assert_int_equal(fs_symlink_atomic(i == 0 ? "releases/1" : "releases/2", fs_join(world->ctx, world->dir, "current"), &err), 0);
}

/* All services that run: a service leads its session, which tells it from the copy that its shell is for a moment when it forks. */
static size_t find(struct world *world, pid_t *ret, size_t max)
{
	const char *script = mem_printf(world->ctx, "%s/service.sh", world->dir);
	struct err err = ERR_INIT;
	size_t count = 0, size;
	char **names, *text;

	assert_int_equal(fs_list(world->ctx, "/proc", &names, &err), 0);
	for (; *names; names++) {
		pid_t pid = (pid_t)strtol(*names, NULL, 10);

		if (!isdigit((unsigned char)**names) ||
			fs_read(world->ctx, mem_printf(world->ctx, "/proc/%s/cmdline", *names), 65536, &text, &size, &err) < 0)
			continue;
		if (size < 4 || strcmp(text, "sh") != 0 || strcmp(text + 3, script) != 0 || getsid(pid) != pid || proc_start_time(pid) == 0)
			continue;
		if (count < max)
			ret[count] = pid;
		count++;
	}
	return count;
}

static const char *look(struct world *world)
{
	pid_t pid;
	size_t count = find(world, &pid, 1);

	return count == 0 ? "nothing" : count == 1 ? get(world, "running") : "more than one";
}

/* Never two at once, whatever was killed and when. */
static void always(struct world *world)
{
	assert_true(find(world, NULL, 0) <= 1);
}

static void spoil(struct world *world)
{
	put(world, "run/app.json", "{\"pid\": 1, ");
}

static void teardown(struct world *world)
{
	pid_t pids[64];
	size_t count = find(world, pids, 64);

	for (size_t i = 0; i < MIN(count, (size_t)64); i++) {
		uint64_t started = proc_start_time(pids[i]);

		(void)kill(pids[i], SIGKILL);
		(void)proc_wait_gone(pids[i], started, clock_mono_ms() + 5000);
	}
}

static const char *const kill_apply[] = { "process.signalled", "process.stopped", "process.intent", "process.spawned", "process.recorded",
	NULL };

const struct contract contract_process = {
	.driver = "process",
	.expect = { "one", "two" },
	.kill_apply = kill_apply,
	.kill_undo = kill_apply,
	.setup = setup,
	.teardown = teardown,
	.before = before,
	.look = look,
	.spoil = spoil,
	.always = always,
};
