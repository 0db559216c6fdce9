/* process: real processes, started, found again, restarted, ended; interrupted starts; pids that belong to others. */
#include "worker.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/proc.h"
#include "drivers/list.h"
#include "drivers/release.h"
#include "drivers/service.h"

static const struct driver *const drivers[] = { &driver_process, NULL };
static const struct catalogue catalogue = { .drivers = drivers };

static char *path(struct worker *w, const char *name)
{
	return fs_join(w->ctx, w->dir, name);
}

/* A service that runs until it is told to end; what it was started from is a link. */
static json_t *config(struct worker *w, const char *script)
{
	return json_make(w->ctx, "{s:[s, s, s], s:s, s:s, s:s, s:{s:s, s:[s, s, s]}}", "argv", "sh", "-c", script, "release", "current",
		"pidFile", "run/app.json", "grace", "300ms", "ready", "type", "exec", "argv", "test", "-e", "up");
}

#define SCRIPT "echo started; touch up; trap 'rm -f up; exit 0' TERM; while :; do sleep 0.05; done"

static void release(struct worker *w, const char *version)
{
	struct release made = { .version = version, .created_ms = 1 };
	struct err err = ERR_INIT;
	char *dir = mem_printf(w->ctx, "%s/releases/%s-x", w->dir, version);

	assert_int_equal(fs_mkdirs(dir, 0755, &err), 0);
	assert_int_equal(release_write(dir, &made, &err), 0);
	assert_int_equal(fs_symlink_atomic(mem_printf(w->ctx, "releases/%s-x", version), path(w, "current"), &err), 0);
}

static json_t *action(struct worker *w, const char *what)
{
	return json_make(w->ctx, "{s:{s:s}}", "target", "action", what);
}

static json_t *version(struct worker *w, const char *which)
{
	return json_make(w->ctx, "{s:{s:s}}", "target", "version", which);
}

static pid_t pid_of(struct worker *w, json_t *c)
{
	return (pid_t)json_int(json_object_get(worker_result(w, "observe", c, NULL), "details"), "pid", 0);
}

static void begin(struct worker *w)
{
	worker_begin(w, &catalogue, "driver", "process");
	release(w, "1.0");
}

static void test_start_and_stop(void **state)
{
	struct worker w;
	json_t *c, *seen;
	pid_t pid;

	(void)state;
	begin(&w);
	c = config(&w, SCRIPT);
	seen = worker_result(&w, "observe", c, action(&w, "stop"));
	assert_string_equal(json_str(seen, "state", ""), "stopped");
	assert_string_equal(json_str(seen, "version", "?"), "");
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_result(&w, "apply", c, action(&w, "start"));
	seen = worker_result(&w, "observe", c, action(&w, "start"));
	assert_string_equal(json_str(seen, "state", ""), "running");
	assert_string_equal(json_str(seen, "version", ""), "1.0");
	assert_true(json_is_true(json_object_get(seen, "healthy")));
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	pid = pid_of(&w, c);
	assert_true(pid > 1 && proc_start_time(pid) > 0);
	worker_result(&w, "apply", c, action(&w, "start")); /* it runs: nothing happens */
	assert_int_equal(pid_of(&w, c), pid);
	worker_result(&w, "apply", c, action(&w, "stop"));
	assert_true(proc_start_time(pid) == 0);
	assert_false(fs_exists(path(&w, "up"))); /* it was asked, not killed */
	worker_result(&w, "apply", c, action(&w, "stop"));
	worker_end(&w);
}

static void test_versions(void **state)
{
	struct worker w;
	json_t *c, *seen;
	pid_t pid;

	(void)state;
	begin(&w);
	c = config(&w, SCRIPT);
	worker_result(&w, "apply", c, version(&w, "1.0"));
	pid = pid_of(&w, c);
	release(&w, "2.0"); /* the code was switched; the process still runs the old one */
	seen = worker_result(&w, "observe", c, version(&w, "2.0"));
	assert_string_equal(json_str(seen, "version", ""), "1.0");
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	worker_result(&w, "apply", c, version(&w, "2.0"));
	assert_int_not_equal(pid_of(&w, c), pid);
	seen = worker_result(&w, "observe", c, version(&w, "2.0"));
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	pid = pid_of(&w, c);
	assert_non_null(strstr(worker_error(&w, "apply", c, version(&w, "9.9"), "failed"), "nothing was stopped"));
	assert_int_equal(pid_of(&w, c), pid);
	worker_result(&w, "apply", c, action(&w, "stop"));
	worker_end(&w);
}

static json_t *restart(struct worker *w, const char *key, const char *step)
{
	json_t *more = json_make(w->ctx, "{s:{s:s}, s:s, s:{s:s}}", "target", "action", "restart", "runId", "run-1", "step", "id", step);

	if (key)
		(void)json_object_set_new(more, "idempotencyKey", json_string(key));
	return more;
}

/* A restart happens once per attempt, however often it is repeated, and is recognised afterwards by its step. */
static void test_restart(void **state)
{
	struct worker w;
	json_t *c, *seen;
	pid_t first, second;

	(void)state;
	begin(&w);
	c = config(&w, SCRIPT);
	worker_result(&w, "apply", c, action(&w, "start"));
	first = pid_of(&w, c);
	seen = worker_result(&w, "observe", c, restart(&w, NULL, "a"));
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	worker_result(&w, "apply", c, restart(&w, "run-1/a/1", "a"));
	second = pid_of(&w, c);
	assert_int_not_equal(first, second);
	worker_result(&w, "apply", c, restart(&w, "run-1/a/1", "a"));
	assert_int_equal(pid_of(&w, c), second);
	seen = worker_result(&w, "observe", c, restart(&w, NULL, "a"));
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	seen = worker_result(&w, "observe", c, restart(&w, NULL, "b"));
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	worker_result(&w, "apply", c, restart(&w, "run-1/b/1", "b"));
	assert_int_not_equal(pid_of(&w, c), second);
	worker_result(&w, "apply", c, action(&w, "stop"));
	worker_end(&w);
}

static void test_stubborn(void **state)
{
	struct worker w;
	json_t *c;
	pid_t pid;

	(void)state;
	begin(&w);
	c = config(&w, "trap '' TERM; touch up; while :; do sleep 0.05; done");
	worker_result(&w, "apply", c, action(&w, "start"));
	pid = pid_of(&w, c);
	worker_result(&w, "apply", c, action(&w, "stop"));
	assert_true(worker_logged(&w, "was killed"));
	assert_true(proc_start_time(pid) == 0);
	worker_end(&w);
}

static pid_t read_pid(struct worker *w, const char *file)
{
	struct err err = ERR_INIT;
	char *text;

	assert_int_equal(fs_read(w->ctx, path(w, file), 64, &text, NULL, &err), 0);
	return (pid_t)strtol(text, NULL, 10);
}

/* What left the process group, and outlives its master, ends with the service all the same. */
static void test_escaped_worker(void **state)
{
	struct worker w;
	json_t *c;
	pid_t worker;

	(void)state;
	begin(&w);
	c = config(&w, "setsid sh -c 'echo $$ > worker; touch up; while :; do sleep 0.05; done' & wait");
	worker_result(&w, "apply", c, action(&w, "start"));
	worker = read_pid(&w, "worker");
	assert_true(proc_start_time(worker) > 0);
	worker_result(&w, "apply", c, action(&w, "stop"));
	assert_true(proc_start_time(worker) == 0);
	worker_end(&w);
}

static void test_failing_start(void **state)
{
	struct worker w;
	const char *message;
	json_t *c;
	pid_t pid;

	(void)state;
	begin(&w);
	message = worker_error(&w, "apply", config(&w, "echo port is taken; exit 7"), action(&w, "start"), "failed");
	assert_non_null(strstr(message, "ended before it was ready"));
	assert_non_null(strstr(message, "port is taken"));
	assert_string_equal(json_str(worker_result(&w, "observe", config(&w, SCRIPT), NULL), "state", ""), "stopped");
	worker_error(&w, "apply", json_make(w.ctx, "{s:[s], s:s}", "argv", "no-such-program", "release", "current"), action(&w, "start"),
		"not-found");
	/* Never ready: the attempt fails, the process is still known, and the next attempt does not start a second one. */
	c = config(&w, "while :; do sleep 0.05; done");
	(void)json_object_set_new(c, "readyTimeout", json_string("300ms"));
	worker_error(&w, "apply", c, action(&w, "start"), "timeout");
	pid = pid_of(&w, c);
	assert_true(pid > 1);
	worker_error(&w, "apply", c, action(&w, "start"), "timeout");
	assert_int_equal(pid_of(&w, c), pid);
	worker_result(&w, "apply", c, action(&w, "stop"));
	/* Without a ready check it must outlive a moment. */
	c = json_make(w.ctx, "{s:[s], s:s}", "argv", "false", "release", "current");
	assert_non_null(strstr(worker_error(&w, "apply", c, action(&w, "start"), "failed"), "right after its start"));
	worker_end(&w);
}

/* unship died between starting the process and writing the pid file: the process is found by its token, and no second one is started. */
static void test_interrupted_start(void **state)
{
	const char *argv[] = { "sh", "-c", SCRIPT, NULL }, *env[] = { "PATH=/usr/bin:/bin", "UNSHIP_SERVICE=abc123", NULL };
	struct proc_spec spec = { .argv = argv, .env = env, .detach = true };
	struct err err = ERR_INIT;
	struct worker w;
	struct proc proc;
	json_t *c, *seen;
	char *boot, *intent;
	size_t size;

	(void)state;
	begin(&w);
	spec.dir = w.dir;
	c = config(&w, SCRIPT);
	assert_int_equal(fs_read(w.ctx, "/proc/sys/kernel/random/boot_id", 100, &boot, &size, &err), 0);
	boot[strcspn(boot, "\n")] = 0;
	intent = json_canonical(w.ctx, json_make(w.ctx, "{s:s, s:s, s:s}", "token", "abc123", "bootId", boot, "version", "0.9"));
	assert_int_equal(fs_mkdirs(path(&w, "run"), 0755, &err), 0);
	assert_int_equal(fs_write_atomic(path(&w, "run/app.json.intent"), intent, strlen(intent), 0600, &err), 0);
	/* Died before the fork: nothing runs. */
	assert_string_equal(json_str(worker_result(&w, "observe", c, NULL), "state", ""), "stopped");
	/* Died after it. */
	assert_int_equal(proc_start(&spec, &proc, &err), 0);
	seen = worker_result(&w, "observe", c, action(&w, "start"));
	assert_string_equal(json_str(seen, "state", ""), "running");
	assert_string_equal(json_str(seen, "version", ""), "0.9");
	assert_int_equal(pid_of(&w, c), proc.pid);
	worker_result(&w, "apply", c, action(&w, "start"));
	assert_true(worker_logged(&w, "interrupted start"));
	assert_int_equal(pid_of(&w, c), proc.pid);
	assert_false(fs_exists(path(&w, "run/app.json.intent")));
	worker_result(&w, "apply", c, action(&w, "stop"));
	assert_true(proc_start_time(proc.pid) == 0);
	proc_close(&proc);
	worker_end(&w);
}

/* The pid in the file belongs to somebody else now. */
static void test_reused_pid(void **state)
{
	const char *argv[] = { "sleep", "100", NULL };
	struct proc_spec spec = { .argv = argv };
	struct err err = ERR_INIT;
	struct worker w;
	struct proc other;
	char *boot, *file;
	size_t size;
	json_t *c;

	(void)state;
	begin(&w);
	c = config(&w, SCRIPT);
	assert_int_equal(proc_start(&spec, &other, &err), 0);
	assert_int_equal(fs_read(w.ctx, "/proc/sys/kernel/random/boot_id", 100, &boot, &size, &err), 0);
	boot[strcspn(boot, "\n")] = 0;
	assert_int_equal(fs_mkdirs(path(&w, "run"), 0755, &err), 0);
	for (int i = 0; i < 2; i++) { /* another start time; another boot */
		file = json_canonical(w.ctx,
			json_make(w.ctx, "{s:i, s:I, s:s, s:s, s:s}", "pid", (int)other.pid, "startTime",
				(json_int_t)proc_start_time(other.pid) - !i, "bootId", i ? "other" : boot, "token", "zzz", "version",
				"1.0"));
		assert_int_equal(fs_write_atomic(path(&w, "run/app.json"), file, strlen(file), 0600, &err), 0);
		assert_string_equal(json_str(worker_result(&w, "observe", c, NULL), "state", ""), "stopped");
		worker_result(&w, "apply", c, action(&w, "stop"));
		assert_true(proc_start_time(other.pid) > 0);
	}
	/* A pid file that cannot be read is no licence to start another. */
	assert_int_equal(fs_write_atomic(path(&w, "run/app.json"), "{\"pid\":", 7, 0600, &err), 0);
	worker_error(&w, "apply", c, action(&w, "start"), "invalid");
	proc_close(&other);
	worker_end(&w);
}

static void test_capture_and_undo(void **state)
{
	struct worker w;
	json_t *c, *up, *down, *seen;
	pid_t pid;

	(void)state;
	begin(&w);
	c = config(&w, SCRIPT);
	up = json_make(w.ctx, "{s:s}", "snapshotDir", path(&w, "snap-up"));
	down = json_make(w.ctx, "{s:s}", "snapshotDir", path(&w, "snap-down"));
	worker_result(&w, "capture", c, down);
	worker_result(&w, "apply", c, action(&w, "start"));
	worker_result(&w, "capture", c, up);
	pid = pid_of(&w, c);
	worker_result(&w, "undo", c, up); /* it is as it was */
	assert_int_equal(pid_of(&w, c), pid);
	worker_result(&w, "apply", c, action(&w, "stop"));
	seen = worker_result(&w, "observe", c, up);
	assert_true(json_is_false(json_object_get(seen, "atTarget")));
	worker_result(&w, "undo", c, up);
	seen = worker_result(&w, "observe", c, up);
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	assert_string_equal(json_str(seen, "version", ""), "1.0");
	worker_result(&w, "undo", c, down);
	seen = worker_result(&w, "observe", c, down);
	assert_string_equal(json_str(seen, "state", ""), "stopped");
	assert_true(json_is_true(json_object_get(seen, "atTarget")));
	worker_end(&w);
}

static void test_environment(void **state)
{
	struct err err = ERR_INIT;
	struct worker w;
	char *text;
	json_t *c;

	(void)state;
	begin(&w);
	text = "# settings\n\nexport A=1 # one\nB=\"two words\\n\"\nC='$A'\n";
	assert_int_equal(fs_write_atomic(path(&w, "app.env"), text, strlen(text), 0600, &err), 0);
	c = config(&w, "printf '%s|%s|%s|%s' \"$A\" \"$B\" \"$C\" \"$D\" > seen; " SCRIPT);
	(void)json_object_set_new(c, "envFile", json_string("app.env"));
	(void)json_object_set_new(c, "env", json_pack("{s:i, s:s}", "D", 4, "A", "over"));
	worker_result(&w, "apply", c, action(&w, "start"));
	assert_int_equal(fs_read(w.ctx, path(&w, "seen"), 100, &text, NULL, &err), 0);
	assert_string_equal(text, "over|two words\n|$A|4");
	worker_result(&w, "apply", c, action(&w, "stop"));
	assert_int_equal(fs_write_atomic(path(&w, "app.env"), "A=1\nnot a line\n", 15, 0600, &err), 0);
	assert_non_null(strstr(worker_error(&w, "apply", c, action(&w, "start"), "invalid"), "app.env:2"));
	worker_end(&w);
}

static int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	(void)close(fd);
	return ntohs(address.sin_port);
}

/* Ready by connection and by HTTP, on a real server. */
static void test_ready_on_the_network(void **state)
{
	struct worker w;
	json_t *c, *ready;
	int port = free_port();

	(void)state;
	begin(&w);
	c = config(&w, "");
	(void)json_object_set_new(c, "argv",
		json_pack("[s, s, s, s, s, s]", "python3", "-m", "http.server", "--bind", "127.0.0.1", mem_printf(w.ctx, "%d", port)));
	(void)json_object_set_new(c, "ready", json_pack("{s:s, s:i}", "type", "tcp", "port", port));
	worker_result(&w, "apply", c, action(&w, "start"));
	assert_true(json_is_true(json_object_get(worker_result(&w, "observe", c, NULL), "healthy")));
	ready = json_pack("{s:s, s:s}", "type", "http", "url", mem_printf(w.ctx, "http://127.0.0.1:%d/releases/", port));
	(void)json_object_set_new(c, "ready", ready);
	worker_result(&w, "apply", c, action(&w, "restart"));
	assert_true(json_is_true(json_object_get(worker_result(&w, "observe", c, NULL), "healthy")));
	json_put_str(ready, "url", mem_printf(w.ctx, "http://127.0.0.1:%d/not-there", port));
	(void)json_object_set_new(c, "readyTimeout", json_string("3s"));
	assert_non_null(strstr(worker_error(&w, "apply", c, action(&w, "start"), "timeout"), "status 404"));
	assert_true(json_is_false(json_object_get(worker_result(&w, "observe", c, action(&w, "start")), "atTarget")));
	worker_result(&w, "apply", c, action(&w, "stop"));
	assert_true(json_is_false(json_object_get(worker_result(&w, "observe", c, NULL), "healthy")));
	worker_end(&w);
}

static void test_bad_configuration(void **state)
{
	struct worker w;
	json_t *c;

	(void)state;
	begin(&w);
	c = config(&w, SCRIPT);
	(void)json_object_set_new(c, "stopSignal", json_string("NOPE"));
	worker_error(&w, "observe", c, NULL, "invalid");
	worker_error(&w, "observe", json_make(w.ctx, "{s:s, s:{s:s}}", "argv", "x", "ready", "type", "http"), NULL, "invalid");
	worker_error(&w, "apply", config(&w, SCRIPT), action(&w, "explode"), "invalid");
	assert_int_equal(service_signal("SIGHUP"), SIGHUP);
	assert_int_equal(service_signal("int"), SIGINT);
	assert_int_equal(service_signal("9"), 0);
	worker_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_and_stop),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_stubborn),
		cmocka_unit_test(test_escaped_worker),
		cmocka_unit_test(test_failing_start),
		cmocka_unit_test(test_interrupted_start),
		cmocka_unit_test(test_reused_pid),
		cmocka_unit_test(test_capture_and_undo),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_ready_on_the_network),
		cmocka_unit_test(test_bad_configuration),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
