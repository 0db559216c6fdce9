/* Speaks to a worker as the runner does: a forked child runs host_main, gets lines on its standard input and answers on its standard
 * output. For tests of drivers. */
#ifndef TESTS_DRIVERS_WORKER_H
#define TESTS_DRIVERS_WORKER_H

#include "checks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "data/json.h"
#include "drivers/host.h"

struct worker {
	void *ctx; /* everything of one test */
	const struct catalogue *catalogue;
	const char *kind, *name;
	char *dir;     /* temporary project */
	char *said;    /* all that the last worker printed */
	json_t *logs;  /* its log lines: ["info switching", ...] */
	int exit_code; /* -1: killed */
};

/* Takes the bytes to a new worker and its answers back. */
static inline void worker_talk(struct worker *w, const char *bytes, size_t size)
{
	int in[2], out[2];
	char buffer[65536];
	size_t sent = 0;
	int status;
	pid_t pid;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *argv[] = { "worker", (char *)w->kind, (char *)w->name, NULL };

		(void)dup2(in[0], STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		for (int i = 0; i < 2; i++) {
			(void)close(in[i]);
			(void)close(out[i]);
		}
		status = host_main(w->catalogue, 3, argv);
		(void)fflush(NULL);
		_exit(status);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	(void)signal(SIGPIPE, SIG_IGN);
	w->said = mem_strdup(w->ctx, "");
	for (;;) {
		struct pollfd waits[2] = { { .fd = out[0], .events = POLLIN }, { .fd = in[1], .events = POLLOUT } };
		ssize_t n;

		assert_true(poll(waits, 2, 60000) > 0);
		if (waits[1].revents && in[1] >= 0) {
			n = write(in[1], bytes + sent, MIN(size - sent, (size_t)4096));
			sent += n > 0 ? (size_t)n : size - sent;
			if (sent >= size) {
				(void)close(in[1]);
				in[1] = -1;
			}
		}
		if (!waits[0].revents)
			continue;
		n = read(out[0], buffer, sizeof(buffer) - 1);
		if (n <= 0)
			break;
		buffer[n] = 0;
		w->said = mem_append(w->said, buffer);
	}
	if (in[1] >= 0)
		(void)close(in[1]);
	(void)close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	w->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One request; the answer is {"result":...} or {"error":...}, or NULL when there was none. Log lines go to w->logs. */
static inline json_t *worker_ask(struct worker *w, json_t *request)
{
	char *line = mem_append(json_canonical(w->ctx, request), "\n"), *rest, *part;
	json_t *answer = NULL, *said;
	struct err err = ERR_INIT;

	worker_talk(w, line, strlen(line));
	w->logs = json_keep(w->ctx, json_array());
	rest = mem_strdup(w->ctx, w->said);
	while ((part = strsep(&rest, "\n"))) {
		json_t *log;

		if (!*part)
			continue;
		assert_int_equal(json_parse(w->ctx, part, strlen(part), HOST_ANSWER_MAX, &said, &err), 0);
		log = json_object_get(said, "log");
		if (log)
			(void)json_array_append_new(w->logs, json_string(json_str(log, "message", "")));
		else if (!json_object_get(said, "progress")) {
			assert_null(answer);
			answer = said;
		}
	}
	return answer;
}

/* A request for a driver; `more` (may be NULL) holds members such as target, snapshotDir. */
static inline json_t *worker_request(struct worker *w, const char *verb, json_t *component, json_t *more)
{
	json_t *request = json_make(w->ctx, "{s:s, s:i, s:O, s:s, s:s, s:s, s:s, s:i}", "verb", verb, "protocol", 1, "component", component,
		"name", "app", "environment", "test", "projectDir", w->dir, "stateDir", fs_join(w->ctx, w->dir, ".deployments"),
		"deadlineMs", 20000);

	if (more)
		(void)json_object_update(request, more);
	return request;
}

static inline json_t *worker_result(struct worker *w, const char *verb, json_t *component, json_t *more)
{
	json_t *answer = worker_ask(w, worker_request(w, verb, component, more)), *result = json_object_get(answer, "result");

	if (!result)
		print_error("%s answered: %s\n", verb, w->said);
	assert_non_null(result);
	return result;
}

/* The error's message; fails when there was none or its code is another. */
static inline const char *worker_error(struct worker *w, const char *verb, json_t *component, json_t *more, const char *code)
{
	json_t *answer = worker_ask(w, worker_request(w, verb, component, more)), *error = json_object_get(answer, "error");

	if (!error)
		print_error("%s answered: %s\n", verb, w->said);
	assert_non_null(error);
	assert_string_equal(json_str(error, "code", ""), code);
	return json_str(error, "message", "");
}

static inline bool worker_logged(const struct worker *w, const char *part)
{
	json_t *message;
	size_t i;

	json_array_foreach(w->logs, i, message)
		if (strstr(json_string_value(message), part))
			return true;
	return false;
}

static inline void worker_begin(struct worker *w, const struct catalogue *catalogue, const char *kind, const char *name)
{
	const char *top = getenv("TMPDIR");

	*w = (struct worker){ .ctx = mem_context(NULL), .catalogue = catalogue, .kind = kind, .name = name };
	w->dir = mem_printf(w->ctx, "%s/unship-test-XXXXXX", top ? top : "/tmp");
	assert_non_null(mkdtemp(w->dir));
}

static inline void worker_end(struct worker *w)
{
	struct err err = ERR_INIT;

	assert_int_equal(fs_remove_tree(w->dir, &err), 0);
	(void)talloc_free(w->ctx);
}

#endif
