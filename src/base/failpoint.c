/* Crash points for tests; see failpoint.h. UNSHIP_FAILPOINT=NAME[:N] is read at every pass: a worker that is forked from a
 * program that passed points before may be armed when that program was not. list:FILE writes the names into a file instead. When a forked driver meets the point, the program that started it has to die with it (UNSHIP_FAILPOINT_PID), for a
 * power failure does not spare the parent either; the parent goes first, so that it cannot act on the child's death.
 * Threads: any. The number of passes is counted per process. */
#include "base/failpoint.h"

#include "base/macros.h"

#ifdef UNSHIP_FAILPOINTS

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#define LIST "list:"

static atomic_long passes;

/* Is it "NAME" or "NAME:N"? Then N in *ret_pass. */
static bool is_armed(const char *setting, const char *name, long *ret_pass)
{
	size_t length = strlen(name);

	*ret_pass = 1;
	if (!setting || strncmp(setting, name, length) != 0)
		return false;
	if (setting[length] == ':')
		*ret_pass = MAX(strtol(setting + length + 1, NULL, 10), 1);
	return setting[length] == ':' || setting[length] == '\0';
}

/* One write for each, so that the lines of several processes do not mix. */
static void write_down(const char *path, const char *name)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	char line[64];
	int length = snprintf(line, sizeof(line), "%s\n", name);

	assert_always(fd >= 0 && write(fd, line, (size_t)length) == length);
}

void failpoint_hit(const char *name)
{
	const char *setting = getenv("UNSHIP_FAILPOINT"), *program;
	long wanted_pass;
	pid_t pid;

	if (setting && strncmp(setting, LIST, strlen(LIST)) == 0)
		write_down(setting + strlen(LIST), name);
	if (!is_armed(setting, name, &wanted_pass) || atomic_fetch_add(&passes, 1) + 1 != wanted_pass)
		return;
	program = getenv("UNSHIP_FAILPOINT_PID");
	pid = program ? (pid_t)strtol(program, NULL, 10) : 0;
	if (pid > 1 && pid != getpid())
		(void)kill(pid, SIGKILL);
	(void)kill(getpid(), SIGKILL);
}

#endif
