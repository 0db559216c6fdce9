/* The worker's side of the protocol: reads requests from stdin, runs the verb, writes log, progress and result lines. The same for drivers, probes and channels; runs as a proc_entry in a forked child. */
#ifndef DRIVERS_HOST_H
#define DRIVERS_HOST_H

#include "core/driver.h"

/* argv: {"worker", "driver"|"probe"|"channel", NAME}. Reads one request per line until the end of its input (a request after another is served too); returns the exit code. */
int host_main(const struct catalogue *catalogue, int argc, char **argv);

#endif
