/* Output of monitoring plugins: the first line up to '|' is the message; after '|' comes performance data, which may go on in later
 * lines.
 * Form: https://www.monitoring-plugins.org/doc/guidelines.html, "Plugin Output for Nagios" and "Performance data". */
#ifndef PROBES_PERFDATA_H
#define PROBES_PERFDATA_H

#include <jansson.h>

#include "base/mem.h"

struct plugin_output {
	const char *message;   /* first line, without its performance data; "" when there is none */
	const char *long_text; /* the other lines, without performance data; NULL when there are none */
	json_t *perfdata; /* [{"label","value","unit","warn","crit","min","max"}]: what is missing is absent, value "U" is null; kept in the context */
	size_t malformed; /* items that could not be read and were left out */
};

#define PERFDATA_ITEMS_MAX 1000

/* Reads anything: bytes that are not UTF-8 and control characters become \xNN. */
void plugin_output_read(const void *ctx, const char *text, size_t size, struct plugin_output *ret);

#endif
