/* The probes that are built in. A new one is a file and a line in list.c. */
#ifndef PROBES_LIST_H
#define PROBES_LIST_H

#include "core/driver.h"

extern const struct probe *const probe_list[]; /* ends with NULL */

extern const struct probe probe_http, probe_tcp, probe_process, probe_exec;

#endif
