/* `unship mcp`: the MCP server on standard streams, one message per line.
 *
 * The main thread reads and answers what needs no work; each call of a tool has a thread and a workspace of its own, so that a
 * cancellation or a ping is heard while a call works. A run that a call
 * begins is carried out by a process of its own (`unship resume`, detached) and followed in the journal: it outlives the client, who may
 * leave at any time, and whoever stops waiting stops nothing.
 * Nothing but messages reaches standard output: descriptor 1 is given to the log, and messages go to a copy of the former one.
 * Threads: `lock` guards the writing; `calls` belongs to the main thread; a call is its thread's until `finished`. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/text.h"
#include "surface/cli/cli.h"
#include "surface/mcp/mcp.h"

#define CALLS_MAX     16 /* at once; more are not read before one has ended */
#define READ_SIZE     65536
#define LOOK_EVERY_MS 100  /* for calls that have ended */
#define IDLE_LOOK_MS  1000 /* for a signal that came just before poll */

extern char **environ;

struct call {
	struct call *next;
	struct stdio *stdio;
	void *ctx;
	char *id;        /* its JSON text */
	const char *dir; /* of the project that it works on */
	json_t *message;
	struct mcp_session session; /* a copy: this call's */
	pthread_t thread;
	atomic_bool abandoned, finished;
};

struct stdio {
	struct cli *cli;
	const char *actor;
	const char *root; /* of -C: nothing outside of it, and of `home`, is opened */
	const char *home; /* project that the server was started in; NULL: the root holds several */
	int out;
	pthread_mutex_t lock;
	atomic_bool broken; /* nobody reads our answers any more */
	struct mcp_session session;
	struct call *calls;
	size_t call_count;
	char *buffer; /* what was read and is no whole line yet */
	size_t used, size;
	bool skipping; /* the rest of a line that is too long */
};

static void send_message(struct stdio *stdio, json_t *message)
{
	_cleanup_talloc_ char *text = mem_append(mcp_text(NULL, message), "\n");
	struct err err = ERR_INIT;

	pthread_mutex_lock(&stdio->lock);
	if (!atomic_load(&stdio->broken) && fs_write_all(stdio->out, text, strlen(text), &err) < 0)
		atomic_store(&stdio->broken, true);
	pthread_mutex_unlock(&stdio->lock);
}

static bool is_abandoned(void *user)
{
	const struct call *call = user;

	return atomic_load(&call->abandoned) || atomic_load(&call->stdio->broken);
}

static void notify(void *user, json_t *notification)
{
	struct call *call = user;

	if (!is_abandoned(call))
		send_message(call->stdio, notification);
}

static bool is_within(const char *path, const char *root)
{
	size_t length = strlen(root);

	return root[length - 1] == '/' ? text_starts_with(path, root)
				       : text_starts_with(path, root) && (path[length] == '/' || path[length] == '\0');
}

static bool is_allowed(const struct stdio *stdio, const char *path)
{
	return is_within(path, stdio->root) || (stdio->home && !strcmp(path, stdio->home));
}

/* Opens the project that a call means. Links are resolved before anything is compared; a project file above the root is not used. */
static int open_project(void *user, struct op *op, const char *path, struct err *err)
{
	struct call *call = user;
	const struct stdio *stdio = call->stdio;
	_cleanup_free_ char *real = NULL;
	int r;

	if (!path && !stdio->home)
		return err_set(err, ERR_INVALID, "this server was started for the projects in %s: say which one, by projectPath",
			stdio->root);
	if (path && *path != '/')
		return err_set(err, ERR_INVALID, "projectPath must be an absolute path");
	real = path ? realpath(path, NULL) : mem_check(strdup(stdio->home));
	if (!real || !is_allowed(stdio, real))
		return err_set(err, ERR_FORBIDDEN, "projectPath '%s' is not a directory that this server was started for: %s", path,
			stdio->root);
	r = workspace_open(op->ctx, real, op->catalogue, &op->workspace, err);
	if (r == 0 && !is_allowed(stdio, op->workspace->dir))
		return err_set(err, ERR_NOT_FOUND, "there is no project in '%s'", path ? path : real);
	if (r == 0)
		call->dir = op->workspace->dir;
	return r;
}

/* `unship resume RUN`, in a process that outlives this one. */
static int hand_over(void *user, const char *environment, const char *run_id, struct err *err)
{
	const struct call *call = user;
	const char *argv[] = { "/proc/self/exe", "-C", call->dir, "resume", run_id, "--quiet", NULL };
	struct proc_spec spec = { .argv = argv, .detach = true };
	size_t count = 0, kept = 0;
	const char **env;
	struct proc proc;
	int r;

	(void)environment;
	while (environ[count])
		count++;
	env = mem_array(call->ctx, const char *, count + 2);
	for (size_t i = 0; i < count; i++)
		if (!text_starts_with(environ[i], "UNSHIP_ACTOR="))
			env[kept++] = environ[i];
	env[kept] = mem_printf(call->ctx, "UNSHIP_ACTOR=%s", call->stdio->actor);
	spec.env = env;
	spec.output_path = mem_printf(call->ctx, "%s/" STATE_DIR "/mcp.log", call->dir);
	r = proc_start(&spec, &proc, err);
	if (r < 0)
		return err_in(err, "no process could be started to carry it out");
	proc_close(&proc);
	return 0;
}

static struct op make_op(struct stdio *stdio, void *ctx, struct call *call)
{
	return (struct op){ .ctx = ctx, .catalogue = stdio->cli->catalogue, .actor = stdio->actor, .hand_over = hand_over, .user = call };
}

static void *call_main(void *user)
{
	struct call *call = user;
	struct op op = make_op(call->stdio, call->ctx, call);
	json_t *answer = mcp_handle(&call->session, &op, call->message);

	if (!is_abandoned(call) && answer)
		send_message(call->stdio, answer);
	atomic_store(&call->finished, true);
	return NULL;
}

static void reap(struct stdio *stdio, bool wait)
{
	struct call **at = &stdio->calls;

	while (*at) {
		struct call *call = *at;

		if (!wait && !atomic_load(&call->finished)) {
			at = &call->next;
			continue;
		}
		pthread_join(call->thread, NULL);
		*at = call->next;
		stdio->call_count--;
		talloc_free(call->ctx);
	}
}

static struct call *find_call(struct stdio *stdio, json_t *id)
{
	_cleanup_talloc_ char *text = json_is_string(id) || json_is_integer(id) ? json_canonical(NULL, id) : NULL;

	for (struct call *call = stdio->calls; text && call; call = call->next)
		if (!strcmp(call->id, text) && !atomic_load(&call->finished))
			return call;
	return NULL;
}

static void abandon(struct call *call)
{
	atomic_store(&call->abandoned, true);
	log_event(LOG_INFO, "nobody waits for this call any more; a run that it began goes on", "request", call->id, NULL);
}

static void start_call(struct stdio *stdio, void *ctx, json_t *message)
{
	struct call *call = mem_zero(ctx, struct call);
	int error;

	call->stdio = stdio;
	call->ctx = ctx;
	call->id = json_canonical(ctx, json_object_get(message, "id"));
	call->message = message;
	call->session = stdio->session;
	call->session.user = call;
	error = pthread_create(&call->thread, NULL, call_main, call);
	assert_always(error == 0);
	call->next = stdio->calls;
	stdio->calls = call;
	stdio->call_count++;
}

/* Keeps ctx when the message became a call. */
static void take_message(struct stdio *stdio, void *ctx, json_t *message)
{
	struct call *same = mcp_is_request(message) ? find_call(stdio, json_object_get(message, "id")) : NULL;
	const char *method = mcp_method(message);
	struct op op = make_op(stdio, ctx, NULL);
	json_t *answer;

	if (same) {
		send_message(stdio,
			mcp_error(ctx, message, MCP_INVALID_REQUEST, "Invalid request: a request with this id is being worked on"));
	} else if (mcp_is_call(message)) {
		start_call(stdio, ctx, message);
		return;
	} else if (method && !strcmp(method, "notifications/cancelled")) {
		struct call *call = find_call(stdio, json_object_get(json_object_get(message, "params"), "requestId"));

		if (call)
			abandon(call);
	} else {
		answer = mcp_handle(&stdio->session, &op, message);
		if (answer)
			send_message(stdio, answer);
	}
	talloc_free(ctx);
}

static void take_line(struct stdio *stdio, const char *line, size_t length)
{
	void *ctx;
	json_t *message, *answer;

	if (length > 0 && line[length - 1] == '\r')
		length--;
	if (length == 0)
		return;
	ctx = mem_context(NULL);
	if (mcp_read(ctx, line, length, &message, &answer) == 0) {
		take_message(stdio, ctx, message);
		return;
	}
	send_message(stdio, answer);
	talloc_free(ctx);
}

/* The lines that are whole. What is too long is answered once and passed over up to its end. */
static void take_lines(struct stdio *stdio)
{
	char *end;

	while (stdio->call_count < CALLS_MAX && (end = memchr(stdio->buffer, '\n', stdio->used))) {
		size_t length = (size_t)(end - stdio->buffer);

		if (!stdio->skipping)
			take_line(stdio, stdio->buffer, length);
		stdio->skipping = false;
		stdio->used -= length + 1;
		memmove(stdio->buffer, end + 1, stdio->used);
	}
	if (memchr(stdio->buffer, '\n', stdio->used) || stdio->used <= MCP_MESSAGE_MAX)
		return;
	if (!stdio->skipping) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);

		send_message(stdio,
			mcp_error(ctx, NULL, MCP_PARSE_ERROR,
				mem_printf(ctx, "Parse error: a line of more than %u bytes", MCP_MESSAGE_MAX)));
	}
	stdio->skipping = true;
	stdio->used = 0;
}

static bool is_over(const struct stdio *stdio)
{
	return atomic_load(&stdio->broken) || stdio->cli->op.interrupted(stdio->cli->op.user);
}

/* False: the input has ended. */
static bool read_some(struct stdio *stdio, struct err *err)
{
	ssize_t n;

	if (stdio->used + READ_SIZE > stdio->size) {
		stdio->size = MAX(stdio->size * 2, stdio->used + READ_SIZE);
		stdio->buffer = mem_resize(stdio->cli->ctx, stdio->buffer, char, stdio->size);
	}
	n = read(STDIN_FILENO, stdio->buffer + stdio->used, READ_SIZE);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		err_errno(err, errno, "standard input");
	if (n > 0)
		stdio->used += (size_t)n;
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

static int serve(struct stdio *stdio, struct err *err)
{
	bool open = true;

	while (!is_over(stdio) && (open || stdio->calls)) {
		bool busy = stdio->call_count >= CALLS_MAX;
		struct pollfd wait = { .fd = open && !busy ? STDIN_FILENO : -1, .events = POLLIN };
		int ready = poll(&wait, 1, stdio->calls ? LOOK_EVERY_MS : IDLE_LOOK_MS);

		reap(stdio, false);
		if (ready > 0)
			open = read_some(stdio, err);
		take_lines(stdio);
		if (!open && stdio->used > 0 && stdio->call_count < CALLS_MAX && !stdio->skipping) {
			take_line(stdio, stdio->buffer, stdio->used); /* the last one, without an end */
			stdio->used = 0;
		}
	}
	for (struct call *call = stdio->calls; call; call = call->next)
		abandon(call);
	reap(stdio, true);
	return err->code ? -(int)err->code : 0;
}

/* The root is what -C says. A project there, or above it as for every command, is the one that is meant when a call names none. */
static int find_places(struct stdio *stdio, struct err *err)
{
	struct cli *cli = stdio->cli;
	_cleanup_free_ char *real = realpath(cli->dir ? cli->dir : ".", NULL);
	struct err none = ERR_INIT;
	struct workspace *workspace;
	int r;

	if (!real)
		return err_errno(err, errno, "directory '%s'", cli->dir ? cli->dir : ".");
	stdio->root = mem_strdup(cli->ctx, real);
	r = workspace_open(cli->ctx, real, cli->catalogue, &workspace, &none);
	if (r < 0 && r != -ERR_NOT_FOUND) {
		*err = none;
		return r;
	}
	if (r < 0)
		return 0;
	stdio->home = mem_strdup(cli->ctx, workspace->dir);
	talloc_free(workspace);
	return 0;
}

int mcp_run(struct cli *cli, struct err *err)
{
	struct stdio stdio = { .cli = cli, .out = -1 };
	int r;

	if (cli->tty_in)
		return err_set(err, ERR_USAGE,
			"this command is started by an assistant and speaks JSON on standard streams; docs/mcp.md shows how to set it up");
	stdio.actor = mem_printf(cli->ctx, "%s via mcp", cli->op.actor);
	stdio.session = (struct mcp_session){ .local = true, .project = open_project, .notify = notify, .abandoned = is_abandoned };
	stdio.buffer = mem_array(cli->ctx, char, 1);
	r = find_places(&stdio, err);
	if (r < 0)
		return r;
	fflush(stdout);
	stdio.out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (stdio.out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return err_errno(err, errno, "standard output");
	pthread_mutex_init(&stdio.lock, NULL);
	r = serve(&stdio, err);
	pthread_mutex_destroy(&stdio.lock);
	close(stdio.out);
	return r;
}
