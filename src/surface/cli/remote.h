/* The command line over a server: the same commands, carried out by `unship serve` elsewhere. What is asked for goes by the table of operations to its method and path; answers and problems come back as the
 * answers and errors that the operation has here, so that what is shown, --json and exit codes are the same. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "net/http.h"
#include "surface/cli/cli.h"

struct remote {
	struct cli *cli;
	const char *url;   /* "https://deploy.example.com", without a slash at the end */
	const char *token; /* NULL: none is known */
	bool signing_in;   /* no token is meant to be known: a refusal is about what was given, and said in the server's words */
	bool heedless;     /* do not end requests because of Ctrl-C: it was heard already */
};

/* --server (or the word of `login`) or UNSHIP_SERVER, unless -C says that the project in a directory is meant; NULL: none. */
must_check int remote_server(const struct cli *cli, const char **ret, struct err *err);
/* Checks the address (https; plain http for loopback only) and finds the token (login.c). Sends nothing yet. */
must_check int remote_open(struct cli *cli, const char *server, struct remote **ret, struct err *err);

struct remote_request {
	const char *method, *path;  /* "/api/v1/..." */
	json_t *body;               /* NULL: none */
	const char *const *headers; /* besides those that every request has; NULL: none */
	bool once; /* doing it twice is not the same as once, and no key protects it: not repeated when the connection is lost */
};
/* Sends one request. Repeats it, a few times, when the connection was lost on the way or the server is busy: a POST has an Idempotency-Key, and is never done twice. *ret: the answer; with an error the members of the
 * problem that are not about the problem itself; NULL when there are none. `ret_response` may be NULL. */
must_check int remote_ask(struct remote *remote, const struct remote_request *request, json_t **ret, struct http_response *ret_response,
	struct err *err);
/* What answers and is no answer of an operation, as an error. *ret as above. */
must_check int remote_problem(struct remote *remote, const struct http_response *response, const char *path, json_t **ret, struct err *err);
must_check int remote_call(struct remote *remote, const struct operation *operation, json_t *input, json_t **ret, struct err *err);

/* Rests so long; Ctrl-C ends it. */
void remote_pause(const struct remote *remote, int64_t ms);

/* remote_run.c */
/* The command as it was given: files of the caller are sent along, a plan is shown and confirmed before it is carried out, a run is followed to its end. */
must_check int remote_run(struct remote *remote, const struct operation *operation, json_t **ret, struct err *err);
/* Follows a run in the server's events until it ended, waits, or nobody carries it out. ERR_CANCELLED: Ctrl-C, the run goes on. */
must_check int remote_follow(struct remote *remote, const char *run_id, struct err *err);
char *remote_option(const struct remote *remote); /* " --server URL" when the commands that are named to the user need it; else "" */

/* login.c */
/* The token for this server: UNSHIP_TOKEN_FILE, UNSHIP_TOKEN, or what `unship login` kept. *ret NULL: none. */
must_check int login_token(const struct cli *cli, const char *url, const char **ret, struct err *err);

#endif
