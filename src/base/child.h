/* Private to base/: what proc.c, spawner.c and child.c share. Others use proc.h. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include "base/proc.h"

/* All that a child needs, with every decision already taken. Descriptors are borrowed. */
struct child_spec {
	const char *path; /* the program; NULL when an entry */
	const struct proc_entry *entry;
	char *const *argv, *const *env;
	int in, out, err; /* become 0, 1 and 2 */
	int dir;          /* folder to start in */
	int report;       /* an errno (int) is written here when the program could not be started; closed without a byte when it runs */
	bool detach;
	bool warm; /* an entry: its hook is called first */
};

/* How a child ended, as the spawner writes it on the status descriptor. */
struct child_status {
	int exit_code; /* -1 when ended by a signal */
	int signal;
};

/* Forks and starts; returns the pid or -errno. *ret_pidfd is -1 when detached. */
pid_t child_start(const struct child_spec *spec, int *ret_pidfd);
/* 1: ended, its group killed, reaped, status filled. 0: still runs. -errno: not a child of ours. */
int child_reap(pid_t pid, struct child_status *ret);
const struct proc_entry *child_find_entry(const char *name);

/* True in the process that called spawner_start, until spawner_stop. */
bool spawner_is_running(void);
/* child_start by way of the spawner. `status` (-1 when detached) is written when the child has ended. */
must_check int spawner_request(const struct child_spec *spec, int status, pid_t *ret_pid, int *ret_pidfd, struct err *err);

#endif
