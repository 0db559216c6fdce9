/* The worker's side of the protocol (docs/driver-protocol.md): reads requests from stdin, runs the verb, writes log, progress and result
 * lines. The same for
 * drivers, probes and channels; runs as a proc_entry in a forked child. */
#ifndef DRIVERS_HOST_H
#define DRIVERS_HOST_H

#include "core/driver.h"

#define HOST_REQUEST_MAX (4u << 20) /* bytes of a request line */
#define HOST_ANSWER_MAX  (1u << 20) /* bytes of an answer line: more is refused by the reader */

/* argv: {"worker", "driver"|"probe"|"channel", NAME}. Reads one request per line until the end of its input (a request after another is
 * served too); returns the
 * exit code: 0 also when requests were answered with errors, 1 when its input or output failed, 2 for wrong arguments. While it runs,
 * whatever is printed to standard output by others
 * (a library) goes to standard error. */
int host_main(const struct catalogue *catalogue, int argc, char **argv);

/* For a driver that works on behalf of a component: asks another built-in driver (`kind` "driver") or a probe ("probe") in this process. `request` as in the protocol, without what the host knows of this call (places, run, time
 * that is left). *ret is kept in call->ctx. ERR_UNSUPPORTED when it is not built in: programs are not started from here. */
must_check int host_ask(struct driver_call *call, const char *kind, const char *name, json_t *request, json_t **ret, struct err *err);

#endif
