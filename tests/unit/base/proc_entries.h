/* What the children of test_proc.c and test_spawner.c do. Entries, because a forked function can do things exactly. */
#ifndef TESTS_PROC_ENTRIES_H
#define TESTS_PROC_ENTRIES_H

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/proc.h"

__attribute__((noreturn)) static void wait_for_ever(void)
{
	for (;;)
		(void)pause();
}

static int entry_exit(int argc, char **argv)
{
	return atoi(argv[1]);
}

static int entry_signal(int argc, char **argv)
{
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)raise(atoi(argv[1]));
	return 99;
}

static int entry_cat(int argc, char **argv)
{
	char buffer[4096];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0)
		if (write(STDOUT_FILENO, buffer, (size_t)n) != n)
			return 1;
	return 0;
}

static int entry_both(int argc, char **argv)
{
	if (write(STDOUT_FILENO, argv[1], strlen(argv[1])) < 0 || write(STDERR_FILENO, argv[2], strlen(argv[2])) < 0)
		return 99;
	return argc > 3 ? atoi(argv[3]) : 0;
}

static int count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int count = -1; /* the listing itself */

	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	(void)closedir(dir);
	return count;
}

static int entry_state(int argc, char **argv)
{
	int blocked = 0, ignored = 0, death = 0;
	struct sigaction action;
	char dir[4096], name[17] = "";
	sigset_t mask;

	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < 32; i++) {
		blocked += sigismember(&mask, i) == 1;
		ignored += sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
	}
	(void)prctl(PR_GET_PDEATHSIG, &death);
	(void)prctl(PR_GET_NAME, name);
	printf("dir=%s env=", getcwd(dir, sizeof(dir)));
	for (char **variable = environ; *variable; variable++)
		if (strncmp(*variable, "UNSHIP_FAILPOINT", 16) != 0)
			printf("%s,", *variable);
	printf(" group=%s blocked=%d ignored=%d open=%d death=%d name=%s\n", getpgrp() == getpid() ? "own" : "other", blocked, ignored,
		count_open(), death, name);
	return 0;
}

static void asked_to_end(int signal)
{
	(void)!write(STDOUT_FILENO, "asked to end\n", 13);
}

static int entry_stubborn(int argc, char **argv)
{
	(void)signal(SIGTERM, asked_to_end);
	(void)!write(STDOUT_FILENO, "ready\n", 6);
	wait_for_ever();
}

static int entry_wait(int argc, char **argv)
{
	wait_for_ever();
}

/* Numbered lines of ten bytes: so many bytes in all, or without end. */
static int entry_flood(int argc, char **argv)
{
	long long lines = atoll(argv[1]) / 10;
	bool endless = atoll(argv[1]) < 0;
	static char buffer[1 << 16];

	(void)setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	for (long long i = 0; endless || i < lines; i++) {
		char line[11] = "000000000\n";
		long long left = i;

		for (int digit = 8; left > 0 && digit >= 0; digit--, left /= 10)
			line[digit] = (char)('0' + left % 10);
		if (fwrite(line, 1, 10, stdout) != 10)
			return 1;
	}
	return fflush(stdout) != 0;
}

/* Leaves a child behind, which ignores SIGTERM and holds the pipes; prints who it is. */
static int leave_behind(bool flee)
{
	int ends[2];
	char byte;
	pid_t pid;

	if (pipe(ends) < 0)
		return 99;
	pid = fork();
	if (pid == 0) {
		(void)signal(SIGTERM, SIG_IGN);
		if (flee)
			(void)setsid();
		(void)!write(ends[1], "x", 1);
		wait_for_ever();
	}
	if (read(ends[0], &byte, 1) != 1)
		return 99;
	printf("%d %llu\n", (int)pid, (unsigned long long)proc_start_time(pid));
	(void)fflush(stdout);
	return 3;
}

static int entry_linger(int argc, char **argv)
{
	return leave_behind(false);
}

static int entry_flee(int argc, char **argv)
{
	return leave_behind(true);
}

/* Leaves a child behind and stays itself. */
static int entry_family(int argc, char **argv)
{
	(void)leave_behind(false);
	wait_for_ever();
}

static int entry_service(int argc, char **argv)
{
	int death = -1;

	(void)prctl(PR_GET_PDEATHSIG, &death);
	(void)dprintf(STDOUT_FILENO, "out ");
	(void)dprintf(STDERR_FILENO, "err death=%d\n", death);
	wait_for_ever();
}

static int entry_nested(int argc, char **argv)
{
	const char *const below[] = { "both", "from below", "", NULL };
	struct proc_spec spec = { .argv = below, .entry = true };
	struct err error = ERR_INIT;
	struct proc_result result;

	if (proc_run(NULL, &spec, &result, &error) < 0)
		return 1;
	printf("%s", result.output);
	(void)talloc_free(result.output);
	(void)talloc_free(result.errors);
	return 0;
}

static const struct proc_entry test_entries[] = {
	{ "exit", entry_exit },
	{ "signal", entry_signal },
	{ "cat", entry_cat },
	{ "both", entry_both },
	{ "state", entry_state },
	{ "stubborn", entry_stubborn },
	{ "wait", entry_wait },
	{ "flood", entry_flood },
	{ "linger", entry_linger },
	{ "flee", entry_flee },
	{ "family", entry_family },
	{ "service", entry_service },
	{ "nested", entry_nested },
};

#endif
