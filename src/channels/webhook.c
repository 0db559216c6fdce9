/* webhook: a POST of JSON to each recipient, which is a URL. The message's id goes along as Idempotency-Key, because a message is
 * delivered at least once; with a
 * secret the body is signed (X-Unship-Signature: sha256=HMAC-SHA256 of the body in hex), so that the receiver knows who speaks.
 *
 * Loopback and private addresses are for URLs that stand in the rule itself; a URL that comes with a plan may name public ones only,
 * unless the rule says `local: true`. Link-local and metadata
 * addresses never (net/address.h). Messages name the origin of a URL only: its path is often the secret. */
#include "base/clock.h"
#include "base/text.h"
#include "channels/list.h"
#include "data/hash.h"
#include "data/json.h"
#include "net/http.h"

#define WEBHOOK_TIMEOUT_MS 10000

struct webhook_params {
	json_t *secret;
	bool local;
};

/* clang-format off */
static const struct field webhook_fields[] = {
	FIELD_SECRET(struct webhook_params, secret, OPTIONAL, "signs each body with HMAC-SHA256"),
	FIELD_BOOL  (struct webhook_params, local,  OPTIONAL, "recipients that a plan names may be loopback and private addresses too"),
	FIELD_END,
};
/* clang-format on */

/* Without its path: what may be shown. */
static char *origin(const void *ctx, const char *url)
{
	const char *host = strstr(url, "://"), *end, *at;

	if (!host)
		return mem_strdup(ctx, "the URL");
	host += 3;
	end = host + strcspn(host, "/?#");
	at = memrchr(host, '@', (size_t)(end - host));
	return mem_printf(ctx, "%.*s%.*s", (int)(host - url), url, (int)(end - (at ? at + 1 : host)), at ? at + 1 : host);
}

static int webhook_check_recipient(const char *recipient, struct err *err)
{
	const char *rest = text_starts_with(recipient, "https://") ? recipient + 8
		: text_starts_with(recipient, "http://")           ? recipient + 7
								   : NULL;

	if (!rest)
		return err_set(err, ERR_INVALID, "a recipient of a webhook is a URL: it must begin with https:// or http://");
	if (!*rest || strchr("/?#", *rest))
		return err_set(err, ERR_INVALID, "the URL names no host");
	for (const char *c = rest; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return err_set(err, ERR_INVALID, "the URL contains a blank or a control character");
	return 0;
}

static int signature(struct driver_call *call, const char *body, const char **ret, struct err *err)
{
	const struct webhook_params *params = call->params;
	char sum[HASH_HEX_SIZE];
	const char *secret;
	int r;

	r = call_secret(call, params->secret, &secret, err);
	if (r < 0)
		return r;
	hash_hmac_sha256_hex(secret, strlen(secret), body, strlen(body), sum);
	*ret = mem_printf(call->ctx, "X-Unship-Signature: sha256=%s", sum);
	return 0;
}

/* Is it one of the rule's own recipients? */
static bool is_configured(const struct driver_call *call, const char *recipient)
{
	json_t *own = json_object_get(call->component, "recipients"), *item;
	size_t i;

	if (json_is_string(own))
		return strcmp(json_string_value(own), recipient) == 0;
	json_array_foreach(own, i, item) {
		if (json_is_string(item) && strcmp(json_string_value(item), recipient) == 0)
			return true;
	}
	return false;
}

/* What may go better later is ERR_UNREACHABLE; ERR_INVALID is final. */
static int judge(struct driver_call *call, const char *recipient, int status, struct err *err)
{
	if (status >= 200 && status < 300)
		return 0;
	if (status == 408 || status == 425 || status == 429 || status >= 500)
		return err_set(err, ERR_UNREACHABLE, "%s answered %d", origin(call->ctx, recipient), status);
	if (status >= 300 && status < 400)
		return err_set(err, ERR_INVALID, "%s answered %d: redirects are not followed", origin(call->ctx, recipient), status);
	return err_set(err, ERR_INVALID, "%s answered %d: it does not take the message", origin(call->ctx, recipient), status);
}

static int webhook_deliver(struct driver_call *call, const struct message *message, const char *recipient, struct err *err)
{
	const struct webhook_params *params = call->params;
	const char *headers[4] = { "Content-Type: application/json", mem_printf(call->ctx, "Idempotency-Key: \"%s\"", message->id), NULL,
		NULL };
	json_t *content = json_keep(call->ctx, json_object());
	struct http_request request = { .url = recipient, .headers = headers, .local_ok = params->local || is_configured(call, recipient) };
	struct http_response response;
	const char *signed_header;
	int r;

	r = webhook_check_recipient(recipient, err);
	if (r < 0)
		return r;
	json_put_str(content, "id", message->id);
	json_put_str(content, "event", message->event);
	json_put_str(content, "text", message->text);
	json_put_str(content, "environment", message->environment);
	json_put_str(content, "runId", message->run_id);
	json_put(content, "details", message->details);
	json_put_str(content, "timestamp", clock_format(call->ctx, message->wall_ms));
	request.body = json_canonical(call->ctx, content);
	request.body_size = strlen(request.body);
	request.timeout_ms = MIN(WEBHOOK_TIMEOUT_MS, MAX(call->deadline_ms - clock_mono_ms(), 1));
	if (params->secret) {
		r = signature(call, request.body, &signed_header, err);
		if (r < 0)
			return r;
		headers[2] = signed_header;
	}
	r = http_request(call->ctx, &request, &response, err);
	if (r < 0)
		return r;
	return judge(call, recipient, response.status, err);
}

const struct channel channel_webhook = {
	.name = "webhook",
	.summary = "POST of JSON; recipients are URLs",
	.fields = webhook_fields,
	.params_size = sizeof(struct webhook_params),
	.check_recipient = webhook_check_recipient,
	.deliver = webhook_deliver,
};
