/* process probe: the process that a pid file names runs. Two forms of pid file are read: the one that the process driver writes, JSON
 * with pid and start time, which together are
 * the identity of a process; and a plain number, where a name can be asked for in addition, because pids are given out anew. */
#include <ctype.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/text.h"
#include "data/json.h"
#include "probes/limit.h"
#include "probes/list.h"

#define PID_FILE_MAX 65536

struct process_params {
	const char *pid_file, *name;
};

/* clang-format off */
static const struct field process_fields[] = {
	FIELD_PATH(struct process_params, pid_file, REQUIRED, "pid file, relative to the project: plain, or as the process driver writes it"),
	FIELD_STR (struct process_params, name,     OPTIONAL, "name that the process must have (as in /proc/PID/comm)"),
	FIELD_END
};
/* clang-format on */

/* 0 as *ret_start: the file does not say. */
static int read_pid(struct driver_call *call, const char *text, size_t size, int64_t *ret_pid, uint64_t *ret_start, struct err *err)
{
	json_t *state;
	int r;

	while (size > 0 && isspace((unsigned char)text[size - 1]))
		size--;
	*ret_start = 0;
	if (*text != '{') {
		r = text_parse_int(mem_strndup(call->ctx, text, size), 1, INT32_MAX, ret_pid, err);
		return r < 0 ? err_set(err, ERR_INVALID, "it holds no pid") : 0;
	}
	r = json_parse(call->ctx, text, size, PID_FILE_MAX, &state, err);
	if (r < 0)
		return r;
	*ret_pid = json_int(state, "pid", 0);
	*ret_start = (uint64_t)json_int(state, "startTime", 0);
	if (*ret_pid < 1 || *ret_pid > INT32_MAX)
		return err_set(err, ERR_INVALID, "it holds no pid");
	return 0;
}

static void judge(struct driver_call *call, pid_t pid, uint64_t expected, struct probe_result *ret)
{
	const struct process_params *params = call->params;
	uint64_t start = proc_start_time(pid);
	struct err ignored = ERR_INIT;
	char *name = NULL;

	ret->details = json_keep(call->ctx, json_object());
	json_put_int(ret->details, "pid", pid);
	if (start == 0) {
		probe_say(call, ret, PROBE_FAIL, "process %d does not run", (int)pid);
		return;
	}
	if (expected != 0 && start != expected) {
		probe_say(call, ret, PROBE_FAIL, "the process is gone; its pid %d was given to another one", (int)pid);
		return;
	}
	if (params->name) {
		if (fs_read(call->ctx, mem_printf(call->ctx, "/proc/%d/comm", (int)pid), 4096, &name, NULL, &ignored) < 0) {
			probe_say(call, ret, PROBE_FAIL, "process %d has just ended", (int)pid);
			return;
		}
		name[strcspn(name, "\n")] = 0;
		if (strncmp(name, params->name, 15) != 0) { /* the kernel keeps 15 bytes */
			probe_say(call, ret, PROBE_FAIL, "process %d is '%s', not '%s'", (int)pid, name, params->name);
			return;
		}
	}
	probe_say(call, ret, PROBE_PASS, "process %d runs", (int)pid);
}

static int process_run(struct driver_call *call, struct probe_result *ret, struct err *err)
{
	const struct process_params *params = call->params;
	char *path = fs_join(call->ctx, call->project_dir, params->pid_file), *text;
	uint64_t start = 0;
	size_t size;
	int64_t pid = 0;
	int r;

	r = fs_read(call->ctx, path, PID_FILE_MAX, &text, &size, err);
	if (r == -ERR_NOT_FOUND) {
		probe_say(call, ret, PROBE_FAIL, "there is no pid file %s: it was not started", params->pid_file);
		return 0;
	}
	if (r == 0) {
		r = read_pid(call, text, size, &pid, &start, err);
		if (r < 0)
			(void)err_in(err, "%s", params->pid_file);
	}
	if (r < 0) {
		probe_say_err(call, ret, err);
		return 0;
	}
	judge(call, (pid_t)pid, start, ret);
	return 0;
}

const struct probe probe_process = {
	.name = "process",
	.summary = "the process that a pid file names runs",
	.fields = process_fields,
	.params_size = sizeof(struct process_params),
	.run = process_run,
};
