/* Who somebody is to a server: `unship login`, `logout`, `whoami`, and the token that a request is sent with.
 *
 * A token never is an option's value: it would stand in the list of processes and in the shell's history. It comes from UNSHIP_TOKEN_FILE or UNSHIP_TOKEN (pipelines), or from the file that login keeps: servers.json in
 * $XDG_CONFIG_HOME/unship, {"https://HOST": {"token", "tokenId"}}, for its owner only; one that others can read is refused. Login asks without showing what is typed, or takes the first line of standard input, and
 * keeps nothing that the server did not accept. With --name it signs in by password, makes a token of its own, and signs out again: the password is kept nowhere, and logout revokes that token. Main thread only. */
#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "surface/cli/remote.h"

#define KEPT_MAX     ((size_t)1 << 20)
#define TOKEN_MAX    512
#define EXPIRES      "30d"
#define SESSION_PATH "/api/v1/session"

struct login_params {
	const char *name, *expires;
};

const struct field login_fields[] = {
	FIELD_STR(struct login_params, name, OPTIONAL, "sign in by name and password, and make a token; else a token is asked for"),
	FIELD_STR(struct login_params, expires, DEFAULT(EXPIRES), "how long a token that is made holds"),
	FIELD_END,
};

/* --- what is kept ------------------------------------------------------------------------------------------------------------ */

static const char *kept_dir(const void *ctx)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	const struct passwd *user;

	if (config && *config == '/')
		return mem_printf(ctx, "%s/unship", config);
	user = home && *home ? NULL : getpwuid(getuid());
	return mem_printf(ctx, "%s/.config/unship", user ? user->pw_dir : home && *home ? home : "/");
}

static char *kept_path(const void *ctx)
{
	return mem_printf(ctx, "%s/servers.json", kept_dir(ctx));
}

static int read_kept(const void *ctx, json_t **ret, struct err *err)
{
	const char *path = kept_path(ctx);
	struct stat status;
	char *text;
	size_t size;
	int r;

	*ret = json_keep(ctx, json_object());
	if (stat(path, &status) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(err, errno, "%s", path);
	if (status.st_uid != geteuid() || (status.st_mode & 077))
		return err_set(err, ERR_REFUSED,
			"%s holds tokens, and is not yours alone: `chmod 600 %s`, and make new tokens if others may have read it", path,
			path);
	r = fs_read(ctx, path, KEPT_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(ctx, text, size, KEPT_MAX, ret, err);
	if (r == 0 && !json_is_object(*ret))
		r = err_set(err, ERR_INVALID, "not an object");
	return r < 0 ? err_in(err, "%s", path) : 0;
}

static int write_kept(const void *ctx, json_t *kept, struct err *err)
{
	const char *text = mem_append(json_pretty(ctx, kept), "\n");
	int r;

	r = fs_mkdirs(kept_dir(ctx), 0700, err);
	return r < 0 ? r : fs_write_atomic(kept_path(ctx), text, strlen(text), 0600, err);
}

/* What may stand in a header, and nothing else. */
static int check_token(const void *ctx, const char *given, const char *where, const char **ret, struct err *err)
{
	char *token = mem_strdup(ctx, given + strspn(given, " \t\r\n"));
	size_t length = strcspn(token, " \t\r\n");

	if (token[length + strspn(token + length, " \t\r\n")])
		return err_set(err, ERR_INVALID, "%s: a token is one word", where);
	token[length] = '\0';
	if (!length || length > TOKEN_MAX)
		return err_set(err, ERR_INVALID, "%s: there is no token", where);
	for (const char *c = token; *c; c++)
		if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
			return err_set(err, ERR_INVALID, "%s: this is no token", where);
	secret_add(token);
	*ret = token;
	return 0;
}

int login_token(const struct cli *cli, const char *url, const char **ret, struct err *err)
{
	const char *file = getenv("UNSHIP_TOKEN_FILE"), *token = getenv("UNSHIP_TOKEN");
	json_t *kept;
	char *text;
	int r;

	*ret = NULL;
	if (file && *file && token && *token)
		return err_set(err, ERR_USAGE, "both UNSHIP_TOKEN_FILE and UNSHIP_TOKEN are set: which token is meant?");
	if (token && *token)
		return check_token(cli->ctx, token, "UNSHIP_TOKEN", ret, err);
	if (file && *file) {
		r = fs_read(cli->ctx, file, KEPT_MAX, &text, NULL, err);
		return r < 0 ? err_in(err, "UNSHIP_TOKEN_FILE") : check_token(cli->ctx, text, file, ret, err);
	}
	r = read_kept(cli->ctx, &kept, err);
	if (r < 0)
		return r;
	token = json_str(json_object_get(kept, url), "token", NULL);
	return token ? check_token(cli->ctx, token, kept_path(cli->ctx), ret, err) : 0;
}

/* --- login ------------------------------------------------------------------------------------------------------------------- */

static int which_server(struct cli *cli, struct err *err)
{
	const char *server;
	int r;

	r = remote_server(cli, &server, err);
	if (r < 0)
		return r;
	if (!server)
		return err_set(err, ERR_USAGE, "which server? `unship %s --server https://HOST`, or set UNSHIP_SERVER",
			text_split(cli->ctx, cli->command->pattern, ' ')[0]);
	return remote_open(cli, server, &cli->remote, err);
}

static const char *token_name(const void *ctx)
{
	const struct passwd *user = getpwuid(getuid());
	char host[256] = "localhost";

	gethostname(host, sizeof(host) - 1);
	return mem_printf(ctx, "login of %s@%s", user ? user->pw_name : "unknown", host);
}

/* By password: a session, a token made in it, the end of the session. */
static int make_token(struct cli *cli, const char *name, const char **ret_token, const char **ret_id, struct err *err)
{
	struct remote_request sign_in = { .method = "POST", .path = SESSION_PATH, .once = true };
	struct remote_request create = { .method = "POST", .path = "/api/v1/tokens" },
			      sign_out = { .method = "DELETE", .path = SESSION_PATH };
	const char *headers[3] = { NULL }, *cookie;
	struct http_response response;
	struct err left = ERR_INIT;
	json_t *answer;
	char *password;
	int r;

	r = ask_secret(cli, mem_printf(cli->ctx, "Password of %s at %s: ", name, cli->remote->url), false, &password, err);
	if (r < 0)
		return r;
	secret_add(password);
	sign_in.body = json_make(cli->ctx, "{s:s, s:s}", "name", name, "password", password);
	cli->remote->signing_in = true;
	r = remote_ask(cli->remote, &sign_in, &answer, &response, err);
	cli->remote->signing_in = false;
	if (r < 0)
		return r == -ERR_UNAUTHENTICATED ? err_advised(err) : r;
	cookie = http_response_header(&response, "Set-Cookie");
	if (!cookie)
		return err_set(err, ERR_UNREACHABLE, "%s: what answers is no unship server: it begins no session", cli->remote->url);
	cookie = mem_strndup(cli->ctx, cookie, strcspn(cookie, ";"));
	secret_add(strchr(cookie, '=') ? strchr(cookie, '=') + 1 : cookie);
	headers[0] = mem_printf(cli->ctx, "Cookie: %s", cookie);
	headers[1] = mem_printf(cli->ctx, "X-CSRF-Token: %s", json_str(answer, "csrf", ""));
	create.headers = sign_out.headers = headers;
	create.body = json_make(cli->ctx, "{s:s, s:s}", "name", token_name(cli->ctx), "expires", json_str(cli->input, "expires", EXPIRES));
	r = remote_ask(cli->remote, &create, &answer, NULL, err);
	if (r == 0) {
		*ret_id = json_str(answer, "id", NULL);
		r = check_token(cli->ctx, json_str(answer, "token", ""), cli->remote->url, ret_token, err);
	}
	if (remote_ask(cli->remote, &sign_out, &answer, NULL, &left) < 0)
		say(cli, "the session that was begun for this could not be ended, and ends by itself: %s", left.text);
	return r < 0 ? err_in(err, "making a token") : 0;
}

static int get_session(struct remote *remote, json_t **ret, struct err *err)
{
	struct remote_request request = { .method = "GET", .path = SESSION_PATH };
	int r;

	r = remote_ask(remote, &request, ret, NULL, err);
	if (r == 0 && !json_object_get(*ret, "principal"))
		r = err_set(err, ERR_UNREACHABLE, "%s: what answers is no unship server", remote->url);
	if (r == 0)
		json_put_str(*ret, "server", remote->url);
	return r;
}

static void print_session(struct cli *cli, json_t *session)
{
	json_t *granted, *principal = json_object_get(session, "principal");
	const char *environment;

	out(cli, "%s (%s) at %s", styled(cli, "bold", json_str(principal, "name", "")), json_str(principal, "kind", ""),
		json_str(session, "server", ""));
	json_object_foreach(json_object_get(session, "environments"), environment, granted) {
		char *words = mem_strdup(cli->ctx, "");
		json_t *permission;
		size_t index;

		json_array_foreach(granted, index, permission)
			words = mem_appendf(words, "%s%s", index ? ", " : "", json_string_value(permission));
		out(cli, "  %-16s %s", environment, words);
	}
}

static void tell(struct cli *cli, json_t *session)
{
	if (cli->json)
		cli->answer = session;
	else
		print_session(cli, session);
}

int login_run(struct cli *cli, struct err *err)
{
	const char *name = json_str(cli->input, "name", NULL), *token = NULL, *id = NULL;
	json_t *session, *kept, *entry;
	char *given;
	int r;

	r = which_server(cli, err);
	if (r < 0)
		return r;
	cli->remote->token = NULL; /* whoever they were before: they say who they are now */
	r = read_kept(cli->ctx, &kept, err);
	if (r < 0)
		return r;
	if (name) {
		r = make_token(cli, name, &token, &id, err);
	} else {
		r = ask_secret(cli, mem_printf(cli->ctx, "Token for %s: ", cli->remote->url), false, &given, err);
		if (r == 0)
			r = check_token(cli->ctx, given, "what was given", &token, err);
	}
	if (r < 0)
		return r;
	cli->remote->token = token;
	r = get_session(cli->remote, &session, err);
	if (r < 0)
		return r;
	entry = json_make(cli->ctx, "{s:s, s:s*}", "token", token, "tokenId", id);
	json_put(kept, cli->remote->url, entry);
	r = write_kept(cli->ctx, kept, err);
	if (r < 0)
		return r;
	tell(cli, session);
	say(cli, "kept in %s; `--server %s` or UNSHIP_SERVER gives commands to it", kept_path(cli->ctx), cli->remote->url);
	if (getenv("UNSHIP_TOKEN") || getenv("UNSHIP_TOKEN_FILE"))
		say(cli, "UNSHIP_TOKEN or UNSHIP_TOKEN_FILE is set, and goes before it");
	return 0;
}

int logout_run(struct cli *cli, struct err *err)
{
	struct remote_request revoke = { .method = "POST" };
	struct err not_revoked = ERR_INIT;
	json_t *kept, *entry, *ignored;
	const char *id;
	bool revoked = false;
	int r;

	r = which_server(cli, err);
	if (r == 0)
		r = read_kept(cli->ctx, &kept, err);
	if (r < 0)
		return r;
	entry = json_object_get(kept, cli->remote->url);
	if (!entry)
		return err_set(err, ERR_NOT_FOUND, "no token is kept for %s", cli->remote->url);
	id = json_str(entry, "tokenId", NULL);
	if (id) {
		cli->remote->token = json_str(entry, "token", NULL);
		revoke.path = mem_printf(cli->ctx, "/api/v1/tokens/%s/revoke", text_url_encode(cli->ctx, id));
		revoke.body = json_make(cli->ctx, "{s:s}", "reason", "logout");
		revoked = remote_ask(cli->remote, &revoke, &ignored, NULL, &not_revoked) == 0;
	}
	json_object_del(kept, cli->remote->url);
	r = write_kept(cli->ctx, kept, err);
	if (r < 0)
		return r;
	if (cli->json)
		cli->answer = json_make(cli->ctx, "{s:s, s:b}", "server", cli->remote->url, "revoked", revoked);
	else
		out(cli, "the token for %s is forgotten%s", cli->remote->url, revoked ? " and revoked" : "");
	if (!revoked)
		say(cli, "%s%sit holds until it expires or is revoked there: `unship tokens list`, `unship tokens revoke ID`",
			not_revoked.text, id ? "; " : "");
	return 0;
}

int whoami_run(struct cli *cli, struct err *err)
{
	const char *server;
	json_t *session;
	int r;

	r = remote_server(cli, &server, err);
	if (r < 0)
		return r;
	if (!server) {
		if (cli->json)
			cli->answer = json_make(cli->ctx, "{s:{s:s}, s:s}", "principal", "name", cli->op.actor, "by", "local");
		else
			out(cli, "%s, on the project's own store: whoever can write it may do everything",
				styled(cli, "bold", cli->op.actor));
		return 0;
	}
	r = remote_open(cli, server, &cli->remote, err);
	if (r == 0)
		r = get_session(cli->remote, &session, err);
	if (r == 0)
		tell(cli, session);
	return r;
}
