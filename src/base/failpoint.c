/* Crash points for tests; see failpoint.h. UNSHIP_FAILPOINT=NAME[:N] is read at the first pass and then only an atomic
 * load is paid. When a forked driver meets the point, the program that started it has to die with it (UNSHIP_FAILPOINT_PID), for a
 * power failure does not spare the parent either; the parent goes first, so that it cannot act on the child's death.
 * Threads: any. The number of passes is counted per process. */
#include "base/failpoint.h"

#include "base/macros.h"

#ifdef UNSHIP_FAILPOINTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char wanted[128]; /* empty: no point is armed */
static long wanted_pass = 1;
static atomic_long passes;

static void read_environment(void)
{
	const char *value = getenv("UNSHIP_FAILPOINT"), *colon;
	size_t length;

	if (!value || !*value)
		return;
	colon = strchr(value, ':');
	length = colon ? (size_t)(colon - value) : strlen(value);
	if (length >= sizeof(wanted))
		return;
	memcpy(wanted, value, length);
	wanted[length] = 0;
	if (colon)
		wanted_pass = strtol(colon + 1, NULL, 10);
	if (wanted_pass < 1)
		wanted_pass = 1;
}

void failpoint_hit(const char *name)
{
	const char *program;
	pid_t pid;

	(void)pthread_once(&once, read_environment);
	if (!wanted[0] || strcmp(wanted, name) != 0 || atomic_fetch_add(&passes, 1) + 1 != wanted_pass)
		return;
	program = getenv("UNSHIP_FAILPOINT_PID");
	pid = program ? (pid_t)strtol(program, NULL, 10) : 0;
	if (pid > 1 && pid != getpid())
		(void)kill(pid, SIGKILL);
	(void)kill(getpid(), SIGKILL);
}

#endif
