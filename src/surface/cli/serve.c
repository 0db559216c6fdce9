/* `unship serve`: the HTTP server, until it is told to stop. It says where it listens on standard output, so that whoever started it can wait for that line; with --json as {"url": ...}.
 *
 * The one-time administrator token is only made when somebody looks on at a terminal, and only shown there: what is written into a file or a service's log stays there. */

#include "base/log.h"
#include "surface/cli/cli.h"
#include "surface/http/server.h"

static void bound(void *user, const char *url, const char *token)
{
	const struct cli *cli = user;

	if (cli->json) {
		json_t *line = json_make(cli->ctx, "{s:s}", "url", url);
		char *text = json_dumps(line, JSON_COMPACT);

		printf("%s\n", text);
		free(text);
	} else {
		printf("listening on %s\n", url);
	}
	fflush(stdout);
	if (token)
		fprintf(stderr,
			"\nNobody administers this server yet. This token does, for one hour, and is not shown again:\n\n    %s\n\n"
			"Make yourself known with it: unship login %s, then unship people add NAME --grant '*=admin'.\n"
			"Without it: " SERVER_FIRST_ADMINISTRATOR ".\n\n",
			token, url);
}

int serve_run(struct cli *cli, struct err *err)
{
	struct server_options options = {
		.listen = cli->listen,
		.dir = cli->dir ? cli->dir : ".",
		.terminal = cli->tty_err && !cli->json,
		.bound = bound,
		.user = cli,
	};

	log_setup(cli->verbose ? LOG_DEBUG : LOG_INFO, cli->json ? LOG_JSON : LOG_TEXT, 2);
	return server_run(cli->catalogue, &options, err);
}
