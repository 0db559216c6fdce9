/* What all probes share (limit.h). Pure but for the clock. */
#include "probes/limit.h"

#include "base/clock.h"
#include "base/text.h"
#include "data/json.h"

#define MESSAGE_MAX 1000

int64_t probe_time_left(const struct driver_call *call)
{
	int64_t left = call->deadline_ms - clock_mono_ms();

	return MAX(left - MIN(left / 10, (int64_t)100), (int64_t)1);
}

void probe_say(struct driver_call *call, struct probe_result *ret, enum probe_status status, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = mem_vprintf(call->ctx, format, arguments);
	va_end(arguments);
	ret->status = status;
	ret->message = text_printable(call->ctx, text, MIN(strlen(text), (size_t)MESSAGE_MAX), false);
}

void probe_say_err(struct driver_call *call, struct probe_result *ret, const struct err *err)
{
	probe_say(call, ret, PROBE_FAIL, "%s", err->text);
}

void probe_took(struct driver_call *call, struct probe_result *ret, int64_t took_ms, int64_t warn_above_ms)
{
	if (!ret->details)
		ret->details = json_keep(call->ctx, json_object());
	json_put_int(ret->details, "latencyMs", took_ms);
	if (ret->status == PROBE_PASS && warn_above_ms > 0 && took_ms > warn_above_ms)
		probe_say(call, ret, PROBE_WARN, "%s; slower than %s", ret->message, text_format_duration(call->ctx, warn_above_ms));
}
