/* tcp probe: a connection can be made. Nothing is sent; the connection is closed at once. The address stands in the user's own
 * configuration, so loopback and private ones are fine. */
#include "base/clock.h"
#include "base/text.h"
#include "net/address.h"
#include "probes/limit.h"
#include "probes/list.h"

struct tcp_params {
	const char *host, *address;
	int64_t port, warn_above_ms;
};

/* clang-format off */
static const struct field tcp_fields[] = {
	FIELD_STR(struct tcp_params, host,          OPTIONAL, "name or address to connect to (default: 127.0.0.1)"),
	FIELD_INT(struct tcp_params, port,          OPTIONAL, 1, 65535, "port to connect to"),
	FIELD_STR(struct tcp_params, address,       OPTIONAL, "HOST:PORT or [IPv6]:PORT in place of host and port"),
	FIELD_MS (struct tcp_params, warn_above_ms, OPTIONAL, "slower than this is a warning"),
	FIELD_END
};
/* clang-format on */

static int take_address(struct driver_call *call, const struct tcp_params *params, const char **ret_host, int64_t *ret_port,
	struct err *err)
{
	const char *colon, *start, *end;

	if (!params->address) {
		if (params->port == 0)
			return err_set(err, ERR_INVALID, "'port' or 'address' must be given");
		*ret_host = params->host ? params->host : "127.0.0.1";
		*ret_port = params->port;
		return 0;
	}
	if (params->host || params->port)
		return err_set(err, ERR_INVALID, "'address' stands for 'host' and 'port': give one or the other");
	colon = strrchr(params->address, ':');
	start = params->address;
	end = colon;
	if (colon && *start == '[' && colon > start && colon[-1] == ']') {
		start++;
		end--;
	} else if (colon && memchr(start, ':', (size_t)(colon - start))) {
		colon = NULL; /* an IPv6 address without brackets: which colon is it? */
	}
	if (!colon || end == start)
		return err_set(err, ERR_INVALID, "address '%s' is not of the form HOST:PORT", params->address);
	*ret_host = mem_strndup(call->ctx, start, (size_t)(end - start));
	if (text_parse_int(colon + 1, 1, 65535, ret_port, err) < 0)
		return err_in(err, "address '%s'", params->address);
	return 0;
}

static int tcp_run(struct driver_call *call, struct probe_result *ret, struct err *err)
{
	const struct tcp_params *params = call->params;
	int64_t port = 0, started_us = clock_mono_us(), took_ms;
	_cleanup_close_ int fd = -1;
	const char *host = NULL;
	int r;

	r = take_address(call, params, &host, &port, err);
	if (r < 0)
		return r;
	r = address_connect(host, (unsigned)port, true, probe_time_left(call), &fd, err);
	if (r < 0) {
		probe_say_err(call, ret, err);
		return 0;
	}
	took_ms = (clock_mono_us() - started_us + 500) / 1000;
	probe_say(call, ret, PROBE_PASS, "%s:%lld accepts connections", host, (long long)port);
	probe_took(call, ret, took_ms, params->warn_above_ms);
	return 0;
}

const struct probe probe_tcp = {
	.name = "tcp",
	.summary = "a TCP port accepts connections",
	.fields = tcp_fields,
	.params_size = sizeof(struct tcp_params),
	.run = tcp_run,
};
