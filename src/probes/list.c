/* The probes that are built in, in the order in which they are listed. */
#include "probes/list.h"

const struct probe *const probe_list[] = { &probe_http, &probe_tcp, &probe_process, &probe_exec, NULL };
