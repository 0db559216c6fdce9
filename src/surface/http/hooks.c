/* Webhooks that are listened to (hooks.h). What a body means is said by core/hook.c; here: who may send it, whether it came before, and
 * what is done with it: alerts become entries, a deployment is recorded by the operation deployments.record.
 *
 * Who may send: a hook with a secret takes bodies that are signed with it, from anybody; one with a principal takes the tokens of that
 * principal alone, who needs no more than `view` (and `execute` for one that records). So a token that was made for reading cannot raise
 * an alert, and the one that monitoring holds cannot roll back.
 *
 * What came before: a signed request could be caught and sent again. So what makes it the one that it is (its signature where a time is
 * signed too, the body of GitHub's, which tells times and ids; the id of its delivery) is kept in the table `requests` for longer than it
 * would be taken, in the way of idempotency keys: an effect that is there is not made again, one that is not can be tried again.
 *
 * Threads: those of the pool. */
#include "surface/http/hooks.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "core/hook.h"
#include "data/hash.h"
#include "data/json.h"
#include "data/redact.h"
#include "store/alerts.h"
#include "store/idempotency.h"
#include "surface/http/inner.h"

#define EVENT_HEADER "X-GitHub-Event"
#define KEYS_MAX     2

struct incoming {
	struct exchange *x;
	const struct hook_config *hook;
	const char *actor;
	const char *keys[KEYS_MAX]; /* rows of `requests`; NULL: none */
	size_t begun;               /* of them */
};

/* --- who sends ---------------------------------------------------------------------------------------------------- */

static int unsigned_request(const struct hook_config *hook, struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED, "the signature in %s is missing or does not fit", hook->signature_header);
}

static int check_signature(struct incoming *in, struct err *err)
{
	const struct hook_config *hook = in->hook;
	struct exchange *x = in->x;
	const char *header = exchange_header(x, hook->signature_header), *timestamp = NULL, *secret;
	int r;

	if (hook->timestamp_header) {
		timestamp = exchange_header(x, hook->timestamp_header);
		if (!timestamp)
			return err_set(err, ERR_UNAUTHENTICATED, "the header %s is missing", hook->timestamp_header);
	}
	if (!header)
		return unsigned_request(hook, err);
	r = json_read_secret(x->ctx, hook->secret, x->server->dir, &secret, err);
	if (r < 0) {
		/* Which file or variable it is, is not for whoever asks. */
		err_in(err, "hook '%s'", hook->name);
		log_err(LOG_ERROR, err);
		return err_set(err, ERR_FAILED, "the secret of this hook cannot be read; the server's log says why");
	}
	if (!hook_signature_fits(secret, timestamp, x->body, x->body_size, header))
		return unsigned_request(hook, err);
	if (timestamp)
		r = hook_time_check(hook, timestamp, clock_wall_ms(), err);
	if (r == 0)
		in->actor = mem_printf(x->ctx, "hook:%s", hook->name);
	return r;
}

static int check_principal(struct incoming *in, struct err *err)
{
	const struct principal *principal = in->x->principal;
	enum permission permission = in->hook->action == HOOK_RECORD ? PERMIT_EXECUTE : PERMIT_VIEW;

	if (!principal)
		return err_set(err, ERR_UNAUTHENTICATED, "send the header Authorization: Bearer TOKEN, with a token of '%s'",
			in->hook->principal);
	if (strcmp(principal->name, in->hook->principal) != 0)
		return err_set(err, ERR_FORBIDDEN, "%s may not send to the hook '%s'", principal->name, in->hook->name);
	in->actor = principal->name;
	return access_check(principal, permission, in->hook->environment, err);
}

static int check_sender(struct incoming *in, struct err *err)
{
	int r = in->hook->secret ? check_signature(in, err) : check_principal(in, err);

	if (r < 0)
		refusal_write(INNER(in->x), in->x->workspace, err);
	return r;
}

/* --- did it come before? ------------------------------------------------------------------------------------------ */

static void add_key(struct incoming *in, size_t *count, const char *what, const void *bytes, size_t size)
{
	char sum[HASH_HEX_SIZE], id[HASH_HEX_SIZE];
	const char *text;

	hash_sha256_hex(bytes, size, sum);
	text = mem_printf(in->x->ctx, "hook\n%s\n%s\n%s", in->hook->name, what, sum);
	hash_sha256_hex(text, strlen(text), id);
	in->keys[(*count)++] = mem_strdup(in->x->ctx, id);
}

static size_t find_keys(struct incoming *in)
{
	const struct hook_config *hook = in->hook;
	const char *delivery = hook->delivery_header ? exchange_header(in->x, hook->delivery_header) : NULL;
	size_t count = 0;

	if (hook->type == HOOK_GITHUB)
		add_key(in, &count, "body", in->x->body, in->x->body_size);
	else if (hook->secret && hook->timestamp_header) {
		const char *text = mem_printf(in->x->ctx, "%s.", exchange_header(in->x, hook->timestamp_header));
		char *whole = mem_array(in->x->ctx, char, strlen(text) + in->x->body_size + 1);

		/* What was signed; not the header, which could be written in other ways. */
		memcpy(whole, text, strlen(text));
		memcpy(whole + strlen(text), in->x->body, in->x->body_size);
		add_key(in, &count, "signed", whole, strlen(text) + in->x->body_size);
	}
	if (delivery && *delivery)
		add_key(in, &count, "delivery", delivery, strlen(delivery));
	return count;
}

/* 0: it is new; 1: it came before. */
static int begin(struct incoming *in, struct err *err)
{
	struct store *store = in->x->workspace->store;
	size_t count = find_keys(in);
	int64_t until_ms = clock_wall_ms() + HOOK_REMEMBER_MS;

	for (size_t i = 0; i < count; i++) {
		struct request_row row;
		bool mine = false;
		int r;

		r = store_request_begin(store, in->x->ctx, in->keys[i], in->hook->name, until_ms, &row, &mine, err);
		if (r < 0)
			return r;
		if (!mine && row.running) {
			in->x->status = 409;
			return err_set(err, ERR_CONFLICT, "the same delivery is being worked on");
		}
		if (!mine)
			return 1;
		in->begun++;
		store->request = in->keys[i];
	}
	return 0;
}

/* done: it is answered for good. Otherwise the sender may send it again. */
static void end(struct incoming *in, bool done)
{
	struct store *store = in->x->workspace->store;
	struct err err = ERR_INIT;

	store->request = NULL;
	for (size_t i = 0; i < in->begun; i++) {
		if (store_request_end(store, in->keys[i], done ? 200 : 0, "application/json", NULL, NULL, &err) == 0)
			continue;
		err_in(&err, "what was done for the hook '%s' could not be noted", in->hook->name);
		log_err(LOG_ERROR, &err);
	}
}

/* --- what is done ------------------------------------------------------------------------------------------------- */

static int take_alerts(struct incoming *in, const char *const *environments, json_t *body, struct err *err)
{
	struct exchange *x = in->x;
	struct alert *alerts;
	size_t count, new = 0;
	int r;

	r = hook_alerts(x->ctx, in->hook, environments, body, &alerts, &count, err);
	if (r == 0 && count > 0)
		r = store_alerts_take(x->workspace->store, x->ctx, alerts, count, in->actor, &new, err);
	if (r < 0)
		return r;
	exchange_answer_json(x, 200,
		json_make(x->ctx, "{s:s, s:I, s:I}", "result", count ? "taken" : "ignored", "alerts", (json_int_t) new, "known",
			(json_int_t)(count - new)));
	return 0;
}

static void answer_ignored(struct exchange *x, const char *why)
{
	exchange_answer_json(x, 202, json_make(x->ctx, "{s:s, s:s}", "result", "ignored", "reason", why));
}

/* A signature proves that the project's own configuration let the sender do this, and this only. */
static struct principal *hook_principal(struct incoming *in, const char *environment)
{
	struct principal *principal = mem_zero(in->x->ctx, struct principal);

	*principal = (struct principal){ .id = in->actor,
		.name = in->actor,
		.kind = PRINCIPAL_SERVICE,
		.grants = mem_zero(in->x->ctx, struct grant),
		.grant_count = 1,
		.narrowed_to = PERMISSION_BIT(PERMIT_VIEW) | PERMISSION_BIT(PERMIT_EXECUTE) };
	principal->grants[0] = (struct grant){ .environment = environment, .role = ROLE_OPERATOR };
	return principal;
}

static int record(struct incoming *in, const char *const *environments, json_t *body, struct err *err)
{
	struct exchange *x = in->x;
	struct hook_record found;
	const char *why = "";
	json_t *input, *answer;
	struct op op = exchange_op(x);
	int r;

	r = hook_record(x->ctx, in->hook, environments, exchange_header(x, EVENT_HEADER), body, clock_wall_ms(), &found, &why, err);
	if (r < 0)
		return r;
	if (r == 0) {
		answer_ignored(x, why);
		return 0;
	}
	op.actor = in->actor;
	if (in->hook->secret)
		op.principal = hook_principal(in, found.environment);
	input = json_make(x->ctx, "{s:s, s:s}", "environment", found.environment, "version", found.version);
	json_put_str(input, "gitSha", found.git_sha);
	json_put(input, "component", found.components);
	r = operation_call(&op, operation_find("deployments.record"), input, &answer, err);
	if (r < 0)
		return r;
	exchange_answer_json(x, 200, json_make(x->ctx, "{s:s, s:s}", "result", "recorded", "deployment", json_str(answer, "id", "")));
	return 0;
}

static int carry_out(struct incoming *in, struct err *err)
{
	struct exchange *x = in->x;
	const char **environments = project_environment_names(x->ctx, x->server->project);
	json_t *body;
	int r;

	r = exchange_body_json(x, &body, err);
	if (r < 0)
		return r;
	r = begin(in, err);
	if (r > 0)
		exchange_answer_json(x, 200, json_make(x->ctx, "{s:s}", "result", "duplicate"));
	else if (r == 0)
		r = in->hook->action == HOOK_RECORD ? record(in, environments, body, err) : take_alerts(in, environments, body, err);
	/* What cannot be read cannot be read the next time either. */
	end(in, r >= 0 || err->code == ERR_INVALID || err->code == ERR_TOO_LARGE);
	return MIN(r, 0);
}

static bool is_ping(const struct incoming *in)
{
	const char *event = in->hook->type == HOOK_GITHUB ? exchange_header(in->x, EVENT_HEADER) : NULL;

	return event && !strcmp(event, "ping");
}

static int receive(struct exchange *x, const struct hook_config *hook, struct err *err)
{
	struct incoming in = { .x = x, .hook = hook };
	int r;

	x->no_etag = true;
	r = workspace_store(x->workspace, err);
	if (r == 0)
		r = check_sender(&in, err);
	if (r < 0)
		return r;
	if (is_ping(&in)) {
		exchange_answer_json(x, 200, json_make(x->ctx, "{s:s}", "result", "pong"));
		return 0;
	}
	return carry_out(&in, err);
}

static int post_webhook(struct exchange *x, struct err *err)
{
	const struct server_config *config = x->server->config;
	const char *name = exchange_param(x, "name");
	const struct hook_config *hook = hook_find(config->hooks, config->hook_count, name);

	if (!hook)
		return err_set(err, ERR_NOT_FOUND, "there is no hook '%s'; hooks stand in the project file, at server.hooks",
			text_is_name(name) ? name : "");
	return receive(x, hook, err);
}

/* The one that is called so, else the only one of its type. */
static const struct hook_config *alertmanager_hook(const struct server_config *config)
{
	const struct hook_config *found = hook_find(config->hooks, config->hook_count, hook_type_name(HOOK_ALERTMANAGER));

	if (found)
		return found->type == HOOK_ALERTMANAGER ? found : NULL;
	for (size_t i = 0; i < config->hook_count; i++) {
		if (config->hooks[i].type != HOOK_ALERTMANAGER)
			continue;
		if (found)
			return NULL;
		found = &config->hooks[i];
	}
	return found;
}

static int post_alertmanager(struct exchange *x, struct err *err)
{
	const struct hook_config *hook = alertmanager_hook(x->server->config);

	if (!hook)
		return err_set(err, ERR_NOT_FOUND,
			"there is not one hook of the type alertmanager in server.hooks: its address is /api/v1/hooks/webhook/NAME");
	return receive(x, hook, err);
}

/* clang-format off */
static const struct shape hook_shape[] = {
	SHAPE_CHOICE("result", ALWAYS, "taken|recorded|ignored|duplicate|pong", "what became of it"),
	SHAPE_INT("alerts", SOMETIMES, "how many alerts said something new"),
	SHAPE_INT("known", SOMETIMES, "how many said nothing new"),
	SHAPE_STR("deployment", SOMETIMES, "id of the deployment that was recorded"),
	SHAPE_STR("reason", SOMETIMES, "why it was ignored"),
	SHAPE_END
};

const struct route hook_routes[] = {
	{ "POST", "/api/v1/hooks/alertmanager", ROUTE_WORK, ACCESS_PUBLIC, PERMIT_VIEW, post_alertmanager,
		.summary = "webhook of Alertmanager: alerts", .answer = hook_shape },
	{ "POST", "/api/v1/hooks/webhook/{name}", ROUTE_WORK, ACCESS_PUBLIC, PERMIT_VIEW, post_webhook,
		.summary = "webhook of the project file: alerts, or a deployment", .answer = hook_shape },
	{ NULL },
};
/* clang-format on */
