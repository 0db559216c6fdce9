/* The command line: a projection of the table of operations. A command is a pattern of words and an operation; its options are the operation's fields in kebab-case. Results go to stdout, words to
 * stderr; --json gives one document and nothing else. Exit codes are those of base/errors.def. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "ops/operation.h"

/* `record` did what it was asked for, and the deployment before can no longer be returned to: no failure, and nothing that a pipeline should pass over. Beside the codes of base/errors.def. */
#define EXIT_UNREACHABLE 7

struct cli {
	void *ctx;
	const struct catalogue *catalogue;
	/* options that every command takes */
	const char *dir, *server, *ca, *confirm, *output, *listen;
	bool json, quiet, yes, no_input, watch, interactive, help, verbose;
	bool tty_in, tty_out, tty_err, colour; /* terminals, as they are */
	unsigned width;
	struct op op;
	struct remote *remote; /* the server that carries the command out; NULL: the project in a directory */
	struct live *live;     /* live view of a run; NULL when none */
	const struct command *command;
	json_t *input;    /* what was given, for the operation; with `help`: {"topic"} */
	json_t *answer;   /* of a command that is shown before it may fail (status --watch): printed once, at the end */
	bool steps_shown; /* the live view has left every step on the screen */
	char *summary;    /* to be said in place of the text of the error, which was shown already; NULL */
	bool warned;      /* the answer's warnings were shown */
	bool declined;    /* a person said no, or nothing: no change was begun */
};

struct command {
	const char *pattern;   /* "deployments show {id}"; {name?}: may be left out; {name} is a field of the operation */
	const char *operation; /* NULL: `run` does it */
	const char *summary;   /* NULL: the operation's */
	const char *extra;     /* options of cli that mean something here: "yes confirm watch"; --server and --ca do for every operation */
	int (*run)(struct cli *cli, struct err *err);                           /* instead of the operation */
	void (*render)(struct cli *cli, json_t *answer, const struct err *err); /* for people; NULL: pretty JSON */
	const struct field *fields;                                             /* of a command that is no operation; NULL: none */
};
/* The fields whose values may be given: those of the operation, or of the command itself. Never NULL. */
const struct field *command_fields(const struct command *command);

extern const struct command commands[]; /* ends with pattern NULL */

int cli_main(const struct catalogue *catalogue, int argc, char **argv);

/* args.c: splits argv into the command, its input and the common options. ERR_USAGE names the nearest word. cli->command is set as far as it could be found (for help). */
must_check int args_parse(struct cli *cli, int argc, char **argv, struct err *err);
char *args_option_name(const void *ctx, const struct field *field); /* "--git-sha" */
char *command_usage(const void *ctx, const char *pattern);          /* "deployments show ID" */

/* help.c */
/* Of cli->command; of all forms of the topic in cli->input; of all. As a document with --json. ERR_USAGE: there is no such topic. */
must_check int help_print(struct cli *cli, struct err *err);
int help_run(struct cli *cli, struct err *err);
int version_run(struct cli *cli, struct err *err);
/* completion.c, init.c, interactive.c */
int completion_run(struct cli *cli, struct err *err);
int init_run(struct cli *cli, struct err *err);
int plan_interactive(struct cli *cli, json_t **ret, struct err *err);

/* terminal.c: words and marks for people. Text from outside is made printable here. */
enum mark { MARK_OK, MARK_WARN, MARK_FAIL, MARK_BUSY, MARK_WAIT, MARK_NONE };
const char *mark_text(const struct cli *cli, enum mark mark);
char *styled(const struct cli *cli, const char *style, const char *text);   /* style: "bold", "dim", "red", "green", "yellow" */
void say(const struct cli *cli, const char *format, ...) printf_like(2, 3); /* a line to stderr, unless quiet or --json */
void out(const struct cli *cli, const char *format, ...) printf_like(2, 3); /* a line to stdout, secrets scrubbed, printable */
/* Asks one line at the terminal. ERR_USAGE when there is no terminal or --no-input; says what option to give instead. */
must_check int ask(const struct cli *cli, const char *question, const char *instead, char **ret, struct err *err);
/* Asks without showing what is typed, twice when `twice`; without a terminal the first line of standard input is taken. */
must_check int ask_secret(const struct cli *cli, const char *question, bool twice, char **ret, struct err *err);
/* A table with aligned columns: rows of `columns` strings; NULL cells are empty; the last column is not padded. */
void out_table(const struct cli *cli, const char *const *header, const char *const *cells, size_t columns, size_t rows);

/* render_*.c */
void print_warnings(struct cli *cli, json_t *answer);                        /* to stderr: "warnings" of the answer */
void print_sentences(struct cli *cli, const char *title, json_t *sentences); /* with a title, unless there are none */
void print_errors(struct cli *cli, json_t *errors);                          /* to stderr: "errors" of an input that is not valid */
void print_problems(struct cli *cli, json_t *answer);                        /* to stderr: "problems" of a file */
void render_json(struct cli *cli, json_t *answer, const struct err *err);
void render_plan(struct cli *cli, json_t *answer, const struct err *err);
void render_plan_check(struct cli *cli, json_t *answer, const struct err *err);
void render_runbook(struct cli *cli, json_t *answer, const struct err *err);
void render_run(struct cli *cli, json_t *answer, const struct err *err);
void render_runs(struct cli *cli, json_t *answer, const struct err *err);
void render_deployments(struct cli *cli, json_t *answer, const struct err *err);
void render_deployment(struct cli *cli, json_t *answer, const struct err *err);
void render_readiness(struct cli *cli, json_t *answer, const struct err *err);
void render_health(struct cli *cli, json_t *answer, const struct err *err);
void render_flags(struct cli *cli, json_t *answer, const struct err *err);
void render_flag(struct cli *cli, json_t *answer, const struct err *err);
void render_flag_history(struct cli *cli, json_t *answer, const struct err *err);
void render_snapshots(struct cli *cli, json_t *answer, const struct err *err);
void render_snapshot(struct cli *cli, json_t *answer, const struct err *err);
void render_snapshot_taken(struct cli *cli, json_t *answer, const struct err *err);
void render_copied(struct cli *cli, json_t *answer, const struct err *err);
void render_rotated(struct cli *cli, json_t *answer, const struct err *err);
void render_drill(struct cli *cli, json_t *answer, const struct err *err);
void render_drills(struct cli *cli, json_t *answer, const struct err *err);
void render_drills_cleaned(struct cli *cli, json_t *answer, const struct err *err);
void render_history(struct cli *cli, json_t *answer, const struct err *err);
void render_audit(struct cli *cli, json_t *answer, const struct err *err);
void render_entries(struct cli *cli, json_t *answer, const struct err *err);
void render_alerts(struct cli *cli, json_t *answer, const struct err *err);
void render_config(struct cli *cli, json_t *answer, const struct err *err);
void render_catalogue(struct cli *cli, json_t *answer, const struct err *err);
void render_versions(struct cli *cli, json_t *answer, const struct err *err);
void render_people(struct cli *cli, json_t *answer, const struct err *err);
void render_person(struct cli *cli, json_t *answer, const struct err *err);
void render_token(struct cli *cli, json_t *answer, const struct err *err);
void render_tokens(struct cli *cli, json_t *answer, const struct err *err);
void render_sessions(struct cli *cli, json_t *answer, const struct err *err);
void render_approvals(struct cli *cli, json_t *answer, const struct err *err);
void render_approval(struct cli *cli, json_t *answer, const struct err *err);
void render_breakglass(struct cli *cli, json_t *answer, const struct err *err);
void render_breakglasses(struct cli *cli, json_t *answer, const struct err *err);
void render_pruned(struct cli *cli, json_t *answer, const struct err *err);

/* live.c: the steps of a run while it runs: one line each at a terminal, redrawn by a thread of its own ten times a second; plain lines elsewhere. */
struct live *live_start(struct cli *cli);
void live_watch(void *user, const struct run *run, const struct entry *entry, const struct run_step *step, double share,
	const char *message);      /* user: struct cli */
void live_stop(struct live *live); /* draws for the last time; NULL is allowed */

/* login.c */
extern const struct field login_fields[];
int login_run(struct cli *cli, struct err *err);
int logout_run(struct cli *cli, struct err *err);
int whoami_run(struct cli *cli, struct err *err);

/* serve.c, mcp.c */
int serve_run(struct cli *cli, struct err *err);
int mcp_run(struct cli *cli, struct err *err);

/* watch.c: `status --watch`: follows a run that another process carries out. */
int status_run(struct cli *cli, struct err *err);

#endif
