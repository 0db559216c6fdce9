/* Words for people: marks, colours, tables, questions. Whatever comes from outside (versions, messages, names) goes through text_printable and secret_redact before it reaches a terminal. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <termios.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "surface/cli/cli.h"

const char *mark_text(const struct cli *cli, enum mark mark)
{
	static const char *const plain[] = { "ok  ", "warn", "FAIL", "... ", "wait", "    " };
	static const char *const coloured[] = { "\033[32m✓\033[0m", "\033[33m!\033[0m", "\033[31m✗\033[0m", "\033[36m▸\033[0m",
		"\033[33m◦\033[0m", "\033[2m·\033[0m" };

	return cli->colour ? coloured[mark] : plain[mark];
}

char *styled(const struct cli *cli, const char *style, const char *text)
{
	static const struct {
		const char *name, *code;
	} styles[] = {
		{ "bold", "1" },
		{ "dim", "2" },
		{ "red", "31" },
		{ "green", "32" },
		{ "yellow", "33" },
		{ "cyan", "36" },
	};

	for (size_t i = 0; cli->colour && i < ARRAY_SIZE(styles); i++)
		if (!strcmp(styles[i].name, style))
			return mem_printf(cli->ctx, "\033[%sm%s\033[0m", styles[i].code, text);
	return mem_strdup(cli->ctx, text);
}

/* Our own colour codes stay; every other control character is shown as \xNN. */
static char *harmless(const struct cli *cli, const char *text)
{
	char *clean = mem_strdup(cli->ctx, ""), *redacted = secret_redact(cli->ctx, text);
	const char *rest = redacted;

	for (;;) {
		const char *escape = cli->colour ? strstr(rest, "\033[") : NULL;
		size_t length = escape ? (size_t)(escape - rest) : strlen(rest);
		const char *end;

		clean = mem_append(clean, text_printable(cli->ctx, rest, length, true));
		if (!escape)
			return clean;
		end = escape + 2 + strspn(escape + 2, "0123456789;");
		if (*end != 'm') {
			clean = mem_append(clean, "\\x1b");
			rest = escape + 1;
			continue;
		}
		clean = mem_append(clean, mem_strndup(cli->ctx, escape, (size_t)(end + 1 - escape)));
		rest = end + 1;
	}
}

void say(const struct cli *cli, const char *format, ...)
{
	va_list arguments;
	char *text;

	if (cli->quiet || cli->json)
		return;
	va_start(arguments, format);
	text = mem_vprintf(cli->ctx, format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s\n", harmless(cli, text));
}

void out(const struct cli *cli, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = mem_vprintf(cli->ctx, format, arguments);
	va_end(arguments);
	printf("%s\n", harmless(cli, text));
}

/* Waits for a line, or for Ctrl-C: also for one that was typed before the wait began, which a plain read would sleep through. */
static int wait_for_line(const struct cli *cli, struct err *err)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };
	sigset_t ours, before;
	bool interrupted;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ours, &before);
	interrupted = cli->op.interrupted(cli->op.user) || ppoll(&input, 1, NULL, &before) < 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return interrupted ? err_set(err, ERR_CANCELLED, "no answer") : 0;
}

int ask(const struct cli *cli, const char *question, const char *instead, char **ret, struct err *err)
{
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int r;

	if (cli->no_input || cli->json || !cli->tty_in || !cli->tty_err)
		return err_set(err, ERR_USAGE, "there is no terminal to ask at: give %s", instead);
	fprintf(stderr, "%s", question);
	fflush(stderr);
	r = wait_for_line(cli, err);
	if (r < 0)
		return r;
	length = getline(&line, &capacity, stdin);
	if (length < 0)
		return err_set(err, ERR_CANCELLED, "no answer");
	while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r' || line[length - 1] == ' '))
		line[--length] = '\0';
	*ret = mem_strdup(cli->ctx, line);
	return 0;
}

static int read_line(char **ret, const void *ctx, struct err *err)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length = getline(&line, &capacity, stdin);

	if (length < 0) {
		free(line);
		err_set(err, ERR_CANCELLED, "no answer: nothing was changed");
		return err_advised(err);
	}
	while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
		line[--length] = '\0';
	*ret = mem_strdup(ctx, line);
	explicit_bzero(line, capacity);
	free(line);
	return 0;
}

static int ask_unseen(const struct cli *cli, const char *question, char **ret, struct err *err)
{
	struct termios before, unseen;
	int r;

	if (tcgetattr(0, &before) < 0)
		return err_errno(err, errno, "the terminal");
	unseen = before;
	unseen.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(0, TCSAFLUSH, &unseen) < 0)
		return err_errno(err, errno, "the terminal");
	/* Asked only now: whoever answers at once is not seen either. */
	fprintf(stderr, "%s", question);
	fflush(stderr);
	r = wait_for_line(cli, err);
	if (r == 0)
		r = read_line(ret, cli->ctx, err);
	(void)tcsetattr(0, TCSAFLUSH, &before);
	fprintf(stderr, "\n");
	return r;
}

int ask_secret(const struct cli *cli, const char *question, bool twice, char **ret, struct err *err)
{
	char *again;
	int r;

	if (!cli->tty_in || !cli->tty_err) {
		r = read_line(ret, cli->ctx, err);
		return r < 0
			? err_set(err, ERR_USAGE,
				  "nothing was given: a password or token is typed at the terminal, or is the first line of standard input")
			: 0;
	}
	if (cli->no_input)
		return err_set(err, ERR_USAGE, "a password is asked for: leave --no-input away, or give it on standard input");
	r = ask_unseen(cli, question, ret, err);
	if (r < 0 || !twice)
		return r;
	r = ask_unseen(cli, "once more: ", &again, err);
	if (r == 0 && strcmp(*ret, again) != 0)
		return err_set(err, ERR_USAGE, "the two are not the same: nothing was changed");
	return r;
}

/* Columns on a terminal that a UTF-8 text takes, near enough: code points, escapes not counted. */
static size_t columns_of(const char *text)
{
	size_t columns = 0;

	for (; *text; text++) {
		if (*text == '\033') {
			while (*text && *text != 'm')
				text++;
			if (!*text)
				break;
			continue;
		}
		columns += ((unsigned char)*text & 0xc0) != 0x80;
	}
	return columns;
}

static char *padded(const struct cli *cli, const char *text, size_t width)
{
	size_t columns = columns_of(text);

	return mem_printf(cli->ctx, "%s%*s", text, columns < width ? (int)(width - columns) : 0, "");
}

void out_table(const struct cli *cli, const char *const *header, const char *const *cells, size_t columns, size_t rows)
{
	size_t *widths = mem_array(cli->ctx, size_t, columns);
	char *line = mem_strdup(cli->ctx, "");

	for (size_t column = 0; column < columns; column++) {
		widths[column] = columns_of(header[column]);
		for (size_t row = 0; row < rows; row++)
			widths[column] = MAX(widths[column],
				columns_of(cells[row * columns + column] ? cells[row * columns + column] : ""));
	}
	for (size_t column = 0; column < columns; column++)
		line = mem_append(line, column + 1 < columns ? padded(cli, header[column], widths[column] + 2) : header[column]);
	out(cli, "%s", styled(cli, "dim", line));
	for (size_t row = 0; row < rows; row++) {
		line = mem_strdup(cli->ctx, "");
		for (size_t column = 0; column < columns; column++) {
			const char *cell = cells[row * columns + column] ? cells[row * columns + column] : "";

			line = mem_append(line, column + 1 < columns ? padded(cli, cell, widths[column] + 2) : cell);
		}
		out(cli, "%s", line);
	}
}
