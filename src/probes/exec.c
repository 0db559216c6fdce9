/* exec probe: runs a program by the convention of monitoring plugins, so that any check_* of the user works: exit 0 well, 1 warning, 2
 * critical, 3 unknown; the first line of its output is the
 * message, performance data stands after '|'. The program is named with its arguments, never through a shell, and ends with its whole
 * process group at the time limit. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "data/json.h"
#include "probes/limit.h"
#include "probes/list.h"
#include "probes/perfdata.h"

#define OUTPUT_MAX 65536

struct exec_params {
	const char **argv;
	const char *dir;
	int64_t warn_above_ms;
};

/* clang-format off */
static const struct field exec_fields[] = {
	FIELD_PROGRAM(struct exec_params, argv,       REQUIRED, "program and its arguments; exit 0 well, 1 warning, 2 critical, 3 unknown"),
	FIELD_DIR (struct exec_params, dir,           OPTIONAL, "working directory, relative to the project (default: the project)"),
	FIELD_MS  (struct exec_params, warn_above_ms, OPTIONAL, "slower than this is a warning"),
	FIELD_END
};
/* clang-format on */

static void judge(struct driver_call *call, const struct proc_result *result, struct probe_result *ret)
{
	static const struct {
		enum probe_status status;
		const char *word;
	} meanings[] = { { PROBE_PASS, "well" }, { PROBE_WARN, "warning" }, { PROBE_FAIL, "critical" }, { PROBE_FAIL, "unknown" } };
	size_t code = (size_t)result->exit_code;
	struct plugin_output output, errors;

	plugin_output_read(call->ctx, result->output, result->output_size, &output);
	plugin_output_read(call->ctx, result->errors, result->errors_size, &errors);
	ret->details = json_keep(call->ctx, json_object());
	json_put_int(ret->details, "exitCode", result->exit_code);
	json_put_str(ret->details, "longText", output.long_text);
	if (json_array_size(output.perfdata) > 0)
		json_put(ret->details, "perfdata", output.perfdata);
	if (result->timed_out)
		probe_say(call, ret, PROBE_FAIL, "no result within %lld ms: ended", (long long)result->duration_ms);
	else if (result->signal)
		probe_say(call, ret, PROBE_FAIL, "ended by signal %d", result->signal);
	else if (code >= ARRAY_SIZE(meanings))
		probe_say(call, ret, PROBE_FAIL, "exit code %d is none of 0 to 3: %s", result->exit_code,
			*output.message ? output.message : errors.message);
	else if (*output.message || !*errors.message)
		probe_say(call, ret, meanings[code].status, "%s", *output.message ? output.message : meanings[code].word);
	else
		probe_say(call, ret, meanings[code].status, "%s", errors.message);
}

static int exec_run(struct driver_call *call, struct probe_result *ret, struct err *err)
{
	const struct exec_params *params = call->params;
	struct proc_result result;
	struct proc_spec spec = {
		.argv = params->argv,
		.dir = params->dir ? fs_join(call->ctx, call->project_dir, params->dir) : call->project_dir,
		.deadline_ms = clock_mono_ms() + probe_time_left(call),
		.grace_ms = 50,
		.output_max = OUTPUT_MAX,
	};
	int r;

	if (strchr(params->argv[0], '/')) { /* relative to the project, as every path of the project file */
		size_t count = 0;

		while (params->argv[count])
			count++;
		const char **argv = mem_dup(call->ctx, params->argv, (count + 1) * sizeof(*argv));

		argv[0] = fs_join(call->ctx, call->project_dir, argv[0]);
		spec.argv = argv;
	}
	r = proc_run(call->ctx, &spec, &result, err);
	if (r < 0)
		return r;
	judge(call, &result, ret);
	probe_took(call, ret, result.duration_ms, params->warn_above_ms);
	return 0;
}

const struct probe probe_exec = {
	.name = "exec",
	.summary = "a program by the convention of monitoring plugins (check_*)",
	.fields = exec_fields,
	.params_size = sizeof(struct exec_params),
	.run = exec_run,
};
