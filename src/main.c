/* unship: the one place that names concrete drivers, probes and channels, and wires them to the surfaces.
 *
 * First of all the spawner is forked, while the process is small and has one thread: workers are forked from it (base/proc.h). Only then is anything else opened. */
#include <stdlib.h>

#include "base/log.h"
#include "base/proc.h"
#include "channels/list.h"
#include "data/hash.h"
#include "data/json.h"
#include "drivers/host.h"
#include "drivers/list.h"
#include "net/http.h"
#include "probes/list.h"
#include "surface/cli/cli.h"

static const struct catalogue catalogue = { .drivers = driver_list, .probes = probe_list, .channels = channel_list };

static int worker_main(int argc, char **argv)
{
	return host_main(&catalogue, argc, argv);
}

int main(int argc, char **argv)
{
	static const struct proc_entry entries[] = { { "worker", worker_main, http_preload } };
	struct err err = ERR_INIT;
	int code;

#ifdef UNSHIP_FAILPOINTS
	char pid[32];

	/* A failpoint in a worker takes the whole program down, as a power loss would. */
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("UNSHIP_FAILPOINT_PID", pid, 1);
#endif
	json_setup();
	hash_setup();
	proc_entries(entries, ARRAY_SIZE(entries));
	if (spawner_start(&err) < 0) {
		fprintf(stderr, "unship: %s\n", err.text);
		return err_info(err.code)->exit_code;
	}
	code = cli_main(&catalogue, argc, argv);
	spawner_stop();
	return code;
}
