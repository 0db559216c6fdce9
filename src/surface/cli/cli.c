/* The command line's main: parse, open the workspace, confirm, call the operation, render. One exit code for each way that it can end. */
#include "surface/cli/cli.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "surface/cli/remote.h"

static volatile sig_atomic_t interrupted_count;

static void on_interrupt(int signal)
{
	(void)signal;
	if (++interrupted_count > 2) /* the third time people mean it: the journal makes leaving safe */
		_exit(130);
}

static bool was_interrupted(void *user)
{
	(void)user;
	return interrupted_count > 0;
}

static void look_at_terminal(struct cli *cli)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize size;

	cli->tty_in = isatty(0);
	cli->tty_out = isatty(1);
	cli->tty_err = isatty(2);
	cli->colour = cli->tty_out && cli->tty_err && !(no_colour && *no_colour) && !(term && !strcmp(term, "dumb"));
	cli->width = ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

/* Who acts: the person behind the terminal, also through sudo. */
static const char *who(const void *ctx)
{
	const char *given = getenv("UNSHIP_ACTOR"), *behind = getenv("SUDO_USER");
	const struct passwd *user = getpwuid(getuid());
	char host[256] = "localhost";

	if (given && *given)
		return text_printable(ctx, given, strlen(given), false);
	gethostname(host, sizeof(host) - 1);
	return mem_printf(ctx, "%s@%s", behind && *behind ? behind : user ? user->pw_name : "unknown", host);
}

static void tell(void *user, const char *message)
{
	const struct cli *cli = user;

	if (cli->tty_err)
		say(cli, "%s", styled(cli, "dim", message));
}

/* Those with --confirm show a plan first, by confirm_rollback. */
static bool shows_plan(const struct cli *cli)
{
	return cli->command->extra && strstr(cli->command->extra, "confirm");
}

/* The last word before the first change: the plan was shown; the name typed, or --yes, or --confirm=NAME. */
static int typed_name(struct cli *cli, const char *name, const char *what, struct err *err)
{
	bool named = shows_plan(cli);
	char *answer;
	int r;

	/* A name that does not fit is a mistake, whatever else was said. */
	if (cli->confirm && strcmp(cli->confirm, name) != 0)
		return err_set(err, ERR_USAGE, "--confirm=%s does not name '%s': nothing was changed", cli->confirm, name);
	if (cli->yes || cli->confirm)
		return 0;
	r = ask(cli, mem_printf(cli->ctx, "%s Type %s to go on: ", what, styled(cli, "bold", name)),
		named ? mem_printf(cli->ctx, "--yes or --confirm=%s", name) : "--yes", &answer, err);
	cli->declined = r == -ERR_CANCELLED;
	if (r < 0)
		return r;
	if (strcmp(answer, name) != 0) {
		cli->declined = true;
		return err_set(err, ERR_CANCELLED, "'%s' was typed, not '%s'", answer, name);
	}
	return 0;
}

static int confirm_rollback(void *user, json_t *plan, struct err *err)
{
	struct cli *cli = user;
	int r;

	if (!cli->json && !cli->quiet)
		render_plan(cli, plan, NULL);
	fflush(stdout);
	r = typed_name(cli, json_str(plan, "environment", ""), "This changes the environment.", err);
	if (r < 0)
		return r;
	cli->live = live_start(cli);
	return 0;
}

/* Commands that change much and have no plan to show. */
static int confirm_plain(struct cli *cli, struct err *err)
{
	const char *extra = cli->command->extra;

	if (!extra || !strstr(extra, "yes") || shows_plan(cli) || json_flag(cli->input, "dryRun", false))
		return 0;
	return typed_name(cli, "yes", mem_printf(cli->ctx, "This is a change: unship %s.", command_usage(cli->ctx, cli->command->pattern)),
		err);
}

static int ask_reason(struct cli *cli, struct err *err)
{
	char *reason;
	int r;

	if (strcmp(cli->command->operation, "rollbacks.create") != 0 || json_flag(cli->input, "dryRun", false) ||
		json_str(cli->input, "reason", NULL))
		return 0;
	r = ask(cli, "Reason (kept in the audit trail): ", "--reason", &reason, err);
	cli->declined = r == -ERR_CANCELLED;
	if (r == 0)
		json_put_str(cli->input, "reason", reason);
	return r;
}

/* A password is no option's value, or it would stand in the list of processes and in the shell's history. */
static int ask_passwords(struct cli *cli, const struct operation *operation, struct err *err)
{
	for (const struct field *field = operation->fields; field && field->member; field++) {
		const char *name = field_name(cli->ctx, field);
		char *password;
		int r;

		if (field->type != FIELD_TYPE_PASSWORD || !json_is_true(json_object_get(cli->input, name)))
			continue;
		r = ask_secret(cli, mem_printf(cli->ctx, "%s: ", name), true, &password, err);
		if (r < 0)
			return r;
		json_put_str(cli->input, name, password);
	}
	return 0;
}

/* What to do about an error: the table's hint, more to the point where the command line knows more; NULL: the message says it already. */
static const char *hint_for(const struct cli *cli, const struct err *err)
{
	if (cli->declined)
		return "nothing was changed";
	if (err->advised || strstr(err->text, "`unship ")) /* the message says it already */
		return NULL;
	if (err->code == ERR_USAGE && cli->command)
		return mem_printf(cli->ctx, "see `unship help %s`", text_split(cli->ctx, cli->command->pattern, ' ')[0]);
	return err_info(err->code)->hint;
}

static void finish(struct cli *cli, json_t *answer, const struct err *err, bool failed)
{
	const char *hint = failed ? hint_for(cli, err) : NULL;

	if (cli->json) {
		json_t *document = answer ? json_copy(answer) : json_object();

		if (failed && json_is_object(document))
			json_object_set_new(document, "error",
				json_pack("{s:s, s:s, s:s*}", "code", err_info(err->code)->name, "message", err->text, "hint", hint));
		printf("%s\n", secret_redact(cli->ctx, json_pretty(cli->ctx, document)));
		json_decref(document);
		return;
	}
	if (failed && json_object_get(answer, "errors"))
		print_errors(cli, json_object_get(answer, "errors"));
	else if (answer && cli->command && cli->command->render)
		cli->command->render(cli, answer, failed ? err : NULL);
	else if (answer)
		render_json(cli, answer, failed ? err : NULL);
	fflush(stdout);
	if (!cli->warned)
		print_warnings(cli, answer);
	if (failed) {
		char *text = secret_redact(cli->ctx, cli->summary ? cli->summary : err->text);

		fprintf(stderr, "%s %s\n", styled(cli, "red", "unship:"), text_printable(cli->ctx, text, strlen(text), false));
		if (hint && (!answer || !json_object_get(answer, "next")))
			fprintf(stderr, "%s\n", styled(cli, "dim", mem_printf(cli->ctx, "        %s", hint)));
	}
}

/* --output: the plan or the runbook of the answer, whole or not at all. */
static int write_output(struct cli *cli, json_t *answer, struct err *err)
{
	json_t *plan = json_object_get(answer, "plan");
	const char *text = plan ? mem_append(json_pretty(cli->ctx, plan), "\n") : json_str(answer, "markdown", NULL);
	int r;

	if (!text)
		return 0;
	r = fs_write_atomic(cli->output, text, strlen(text), 0644, err);
	if (r < 0)
		return err_in(err, "--output %s", cli->output);
	if (plan)
		say(cli, "written to %s; `unship rollback %s --plan %s --reason ...` runs it", cli->output,
			json_str(answer, "environment", "ENV"), cli->output);
	else
		say(cli, "written to %s", cli->output);
	return 0;
}

static int open_workspace(struct cli *cli, const struct operation *operation, struct err *err)
{
	const char *server;
	int r;

	r = remote_server(cli, &server, err);
	if (r < 0)
		return r;
	if (server)
		return remote_open(cli, server, &cli->remote, err);
	r = workspace_open(cli->ctx, cli->dir ? cli->dir : ".", cli->catalogue, &cli->op.workspace, err);
	if (r == -ERR_NOT_FOUND && operation && operation->anywhere && fs_exists(cli->dir ? cli->dir : "."))
		return 0;
	return r;
}

static int run_operation(struct cli *cli, json_t **ret, struct err *err)
{
	const struct operation *operation = operation_find(cli->command->operation);
	int r;

	assert_always(operation);
	r = open_workspace(cli, operation, err);
	if (r == 0)
		r = ask_reason(cli, err);
	if (r == 0)
		r = confirm_plain(cli, err);
	if (r == 0)
		r = ask_passwords(cli, operation, err);
	if (r < 0)
		return r;
	if (cli->command->run)
		return cli->command->run(cli, err);
	if (cli->interactive && cli->remote)
		return err_set(err, ERR_USAGE, "-i asks about the project in a directory: leave it away, or --server");
	if (cli->interactive && !strcmp(operation->name, "plans.create"))
		return plan_interactive(cli, ret, err);
	if (cli->command->render == render_run && !shows_plan(cli))
		cli->live = live_start(cli);
	if (cli->remote)
		r = remote_run(cli->remote, operation, ret, err);
	else
		r = operation_call(&cli->op, operation, cli->input, ret, err);
	live_stop(cli->live);
	cli->live = NULL;
	if (r == 0 && cli->output)
		r = write_output(cli, *ret, err);
	return r;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_interrupt };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* The request was made and nothing was done: `unship rollback ... && next` must not go on. The vote of an approval is done when it is
 * given, however many others are missing; what came of the last one is in its result. */
static bool waits_for_approval(json_t *answer)
{
	return !strcmp(json_str(answer, "waitsFor", ""), "approval");
}

int cli_main(const struct catalogue *catalogue, int argc, char **argv)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct cli *cli = mem_zero(ctx, struct cli);
	struct err err = ERR_INIT;
	json_t *answer = NULL;
	int r;

	cli->ctx = ctx;
	cli->catalogue = catalogue;
	look_at_terminal(cli);
	catch_signals();
	r = args_parse(cli, argc, argv, &err);
	if (cli->json)
		cli->colour = false;
	log_setup(cli->verbose ? LOG_DEBUG : LOG_WARN, cli->json ? LOG_JSON : LOG_TEXT, 2);
	if (r == 0 && cli->help) {
		r = help_print(cli, &err);
		if (r == 0)
			return 0;
	}
	cli->op = (struct op){ .ctx = ctx,
		.catalogue = catalogue,
		.actor = who(ctx),
		.watch = live_watch,
		.tell = tell,
		.confirm = confirm_rollback,
		.interrupted = was_interrupted,
		.user = cli };
	if (r == 0)
		r = cli->command->operation ? run_operation(cli, &answer, &err) : cli->command->run(cli, &err);
	if (!answer)
		answer = cli->answer;
	if (r < 0 || answer)
		finish(cli, answer, &err, r < 0);
	fflush(stdout);
	if (ferror(stdout) && r == 0) {
		fprintf(stderr, "unship: the result could not be written: %s\n", strerror(errno));
		return err_info(ERR_IO)->exit_code;
	}
	if (r == 0 && waits_for_approval(answer))
		return err_info(ERR_REFUSED)->exit_code;
	if (r == 0 && json_object_get(answer, "unreachable") && !json_flag(json_object_get(answer, "unreachable"), "allowed", false))
		return EXIT_UNREACHABLE;
	return r < 0 ? err_info(err.code)->exit_code : 0;
}
