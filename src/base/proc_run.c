/* A child from start to end: proc_run and proc_run_ok.
 *
 * One poll loop over its output, its errors and its end, until the end or the deadline. Of each stream the first and the last half of what is
 * allowed are kept, the last half as a ring, so memory stays bounded whatever a child writes. After the leader's end only
 * what was in the pipes at that moment is read: a descendant that fled the group may hold them open for ever.
 * Threads: any; all state is on the stack and in the caller's context. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/proc.h"
#include "base/text.h"

#define OUTPUT_MAX_DEFAULT (1024 * 1024)
#define GRACE_DEFAULT_MS   2000
#define AFTER_KILL_MS      5000 /* for a process that cannot be killed: hung in the kernel */
#define READ_SIZE          65536
#define TAIL_LINES         3
#define TAIL_BYTES         600

struct capture {
	char *data;
	size_t room, max;
	uint64_t total; /* bytes that came */
};

static void capture_add(const void *ctx, struct capture *capture, const char *bytes, size_t size)
{
	size_t half = capture->max / 2, ring = capture->max - half;

	if (capture->total + size > capture->room && capture->room < capture->max) {
		capture->room = MIN(MAX(capture->room * 2, (size_t)capture->total + size), capture->max);
		capture->data = mem_resize(ctx, capture->data, char, capture->room);
	}
	while (size > 0) {
		size_t at = capture->total < half ? (size_t)capture->total : half + (size_t)((capture->total - half) % ring);
		size_t n = MIN(size, (capture->total < half ? half : capture->max) - at);

		memcpy(capture->data + at, bytes, n);
		capture->total += n;
		bytes += n;
		size -= n;
	}
}

/* Head, a line that says how much is missing, tail. */
static char *capture_take(const void *ctx, struct capture *capture, size_t *ret_size)
{
	size_t half = capture->max / 2, turn;
	char *text, *marker;

	if (capture->total <= capture->max) {
		*ret_size = (size_t)capture->total;
		text = mem_array(ctx, char, *ret_size + 1);
		if (*ret_size > 0)
			memcpy(text, capture->data, *ret_size);
		return text;
	}
	turn = half + (size_t)((capture->total - half) % (capture->max - half)); /* where the oldest byte of the ring stands */
	marker = mem_printf(ctx, "\n[... %llu bytes left out ...]\n", (unsigned long long)(capture->total - capture->max));
	*ret_size = capture->max + strlen(marker);
	text = mem_array(ctx, char, *ret_size + 1);
	memcpy(text, capture->data, half);
	memcpy(text + half, marker, strlen(marker));
	memcpy(text + half + strlen(marker), capture->data + turn, capture->max - turn);
	memcpy(text + *ret_size - (turn - half), capture->data + half, turn - half);
	(void)talloc_free(marker);
	return text;
}

struct runner {
	void *ctx; /* freed at the end; the result is copied out */
	const struct proc_spec *spec;
	struct proc proc;
	struct capture captures[2];
	struct proc_result result;
	int64_t next_ms; /* the next escalation; 0: none */
	int stage;       /* 0 runs, 1 asked to end, 2 killed */
};

/* Reads at most `limit` bytes; closes the descriptor at the end of the stream. */
static void read_stream(struct runner *run, int i, size_t limit)
{
	int *fd = i == 0 ? &run->proc.out : &run->proc.err;
	struct capture *capture = &run->captures[i];
	char buffer[READ_SIZE];
	ssize_t n = read(*fd, buffer, MIN(sizeof(buffer), limit));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		cleanup_close(fd);
		return;
	}
	if (run->spec->kill_on_overflow && capture->total + (size_t)n > capture->max) {
		capture_add(run->ctx, capture, buffer, (size_t)(capture->max - capture->total));
		if (!run->result.overflowed)
			proc_kill(&run->proc, SIGKILL);
		run->result.overflowed = true;
		return;
	}
	capture_add(run->ctx, capture, buffer, (size_t)n);
	if (capture->total > capture->max)
		run->result.overflowed = true;
}

static void drain_stream(struct runner *run, int i)
{
	int *fd = i == 0 ? &run->proc.out : &run->proc.err, left = 0;

	if (*fd < 0 || ioctl(*fd, FIONREAD, &left) < 0)
		return;
	while (left > 0 && *fd >= 0) {
		read_stream(run, i, (size_t)left);
		left -= READ_SIZE;
	}
}

/* At the deadline: ask, then kill, then give up. False to give up. */
static bool escalate(struct runner *run, int64_t now_ms)
{
	if (run->next_ms == 0 || now_ms < run->next_ms)
		return true;
	switch (run->stage++) {
	case 0:
		run->result.timed_out = true;
		run->next_ms = now_ms + (run->spec->grace_ms > 0 ? run->spec->grace_ms : GRACE_DEFAULT_MS);
		proc_kill(&run->proc, SIGTERM);
		return true;
	case 1:
		run->next_ms = now_ms + AFTER_KILL_MS;
		proc_kill(&run->proc, SIGKILL);
		return true;
	default:
		run->result.lost = true;
		run->result.exit_code = -1;
		return false;
	}
}

static void run_to_end(struct runner *run)
{
	for (;;) {
		struct pollfd waits[3] = {
			{ .fd = run->proc.out, .events = POLLIN },
			{ .fd = run->proc.err, .events = POLLIN },
			{ .fd = run->proc.status_fd >= 0 ? run->proc.status_fd : run->proc.pidfd, .events = POLLIN },
		};
		int64_t now_ms = clock_mono_ms();
		int wait_ms;

		if (!escalate(run, now_ms))
			return;
		wait_ms = run->next_ms == 0 ? -1 : (int)MIN(MAX(run->next_ms - now_ms, (int64_t)0), (int64_t)INT_MAX);
		if (poll(waits, 3, wait_ms) <= 0)
			continue;
		for (int i = 0; i < 2; i++)
			if (waits[i].revents)
				read_stream(run, i, READ_SIZE);
		if (waits[2].revents && proc_poll(&run->proc, &run->result)) {
			drain_stream(run, 0);
			drain_stream(run, 1);
			return;
		}
	}
}

int proc_run(const void *ctx, const struct proc_spec *spec, struct proc_result *ret, struct err *err)
{
	_cleanup_talloc_ void *own = mem_context(NULL);
	size_t max = MAX(spec->output_max > 0 ? spec->output_max : OUTPUT_MAX_DEFAULT, (size_t)2);
	struct runner run = { .ctx = own, .spec = spec, .next_ms = spec->deadline_ms, .captures = { { .max = max }, { .max = max } } };
	int64_t started_us = clock_mono_us();
	int r;

	assert_always(!spec->detach);
	r = proc_start(spec, &run.proc, err);
	if (r < 0)
		return r;
	cleanup_close(&run.proc.in); /* nobody here would write to it */
	run_to_end(&run);
	proc_close(&run.proc);
	run.result.output = capture_take(ctx, &run.captures[0], &run.result.output_size);
	run.result.errors = capture_take(ctx, &run.captures[1], &run.result.errors_size);
	run.result.duration_ms = (clock_mono_us() - started_us) / 1000;
	*ret = run.result;
	return 0;
}

/* The last lines that say something, on one line: "first | second". */
static char *tail(const void *ctx, const char *text, size_t size)
{
	const char *at = size > TAIL_BYTES ? text + size - TAIL_BYTES : text;
	char **lines, *joined = mem_strdup(ctx, "");
	size_t count = 0;

	while (at > text && at < text + size && ((uint8_t)*at & 0xc0) == 0x80) /* not from the middle of a character */
		at++;
	lines = text_split(ctx, text_printable(ctx, at, (size_t)(text + size - at), true), '\n');
	while (lines[count])
		count++;
	for (size_t i = count > TAIL_LINES ? count - TAIL_LINES : 0; i < count; i++)
		joined = mem_appendf(joined, "%s%s", *joined ? " | " : "", lines[i]);
	return joined;
}

int proc_run_ok(const void *ctx, const struct proc_spec *spec, struct proc_result *ret, struct err *err)
{
	_cleanup_talloc_ void *own = mem_context(NULL);
	enum err_code code = ERR_DRIVER;
	char *what, *said;
	int r;

	r = proc_run(ctx, spec, ret, err);
	if (r < 0)
		return r;
	if (ret->exit_code == 0 && !ret->timed_out)
		return 0;
	if (ret->timed_out) {
		code = ERR_TIMEOUT;
		what = mem_printf(own, "not done after %s", text_format_duration(own, ret->duration_ms));
	} else if (ret->overflowed && spec->kill_on_overflow) {
		what = mem_printf(own, "wrote more than %s",
			text_format_size(own, spec->output_max > 0 ? spec->output_max : OUTPUT_MAX_DEFAULT));
	} else if (ret->lost) {
		what = mem_strdup(own, "how it ended is not known, for the spawner died");
	} else if (ret->signal) {
		what = mem_printf(own, "ended by signal %s", sigabbrev_np(ret->signal) ? sigabbrev_np(ret->signal) : "?");
	} else {
		what = mem_printf(own, "exit code %d", ret->exit_code);
	}
	said = tail(own, ret->errors, ret->errors_size);
	if (!*said)
		said = tail(own, ret->output, ret->output_size);
	return err_set(err, code, "'%s': %s%s%s", spec->argv[0], what, *said ? ": " : "", said);
}
