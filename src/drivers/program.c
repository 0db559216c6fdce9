/* Programs of the user's; see program.h. No state; the driver's thread. */
#include "drivers/program.h"

#include "base/text.h"

#define LOG_LINES 200

void program_log(struct driver_call *call, enum log_level level, const char *text, size_t size)
{
	char **lines = text_split(call->ctx, text_printable(call->ctx, text, size, true), '\n');
	size_t count = 0, from;

	while (lines[count])
		count++;
	from = count > LOG_LINES ? count - LOG_LINES : 0;
	if (from > 0)
		call_log(call, level, "[%zu lines left out]", from);
	for (size_t i = from; i < count; i++)
		call_log(call, level, "%s", lines[i]);
}

const char *program_last_line(const void *ctx, const char *text, size_t size)
{
	char **lines = text_split(ctx, text_printable(ctx, text, size, true), '\n');
	const char *last = "";

	for (; *lines; lines++)
		last = *lines;
	return last;
}

int program_run_ok(struct driver_call *call, const struct proc_spec *spec, struct proc_result *ret, struct err *err)
{
	const char *name = spec->argv[0], *said;
	int r;

	call_log(call, LOG_INFO, "running %s", name);
	r = proc_run(call->ctx, spec, ret, err);
	if (r < 0)
		return r;
	program_log(call, LOG_INFO, ret->output, ret->output_size);
	program_log(call, ret->exit_code == 0 ? LOG_INFO : LOG_ERROR, ret->errors, ret->errors_size);
	if (ret->timed_out)
		return err_set(err, ERR_TIMEOUT, "'%s' was not done in time and was ended", name);
	if (ret->exit_code == 0)
		return 0;
	said = program_last_line(call->ctx, ret->errors, ret->errors_size);
	if (!*said)
		said = program_last_line(call->ctx, ret->output, ret->output_size);
	if (ret->signal)
		return err_set(err, ERR_FAILED, "'%s' was ended by signal %d%s%s", name, ret->signal, *said ? ": " : "", said);
	return err_set(err, ERR_FAILED, "'%s': exit code %d%s%s", name, ret->exit_code, *said ? ": " : "", said);
}
