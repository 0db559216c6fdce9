/* What hooks mean (hook.h): Alertmanager's webhook version "4", generic bodies by their mapping, GitHub's deployment_status.
 *
 * Everything in a body is somebody else's text: lengths and numbers are limited here, so that what becomes an entry is small, and texts
 * that are too long are cut rather than refused, because a sender would not send the other alerts of the same body again. Pure; any
 * thread. How hooks stand in the project file: hook_config.c. */
#include "core/hook.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"

#define POINTER_MAX 1024
#define KEY_MAX     128
#define VALUE_MAX   2048
#define URL_MAX     2048
#define AHEAD_MS    (5 * 60 * 1000) /* how far the clock of a sender may be ahead */

/* --- JSON pointers (RFC 6901) ------------------------------------------------------------------------------------- */

int pointer_check(const char *pointer, struct err *err)
{
	if (strlen(pointer) > POINTER_MAX)
		return err_set(err, ERR_INVALID, "a JSON pointer of more than %d bytes", POINTER_MAX);
	if (*pointer && *pointer != '/')
		return err_set(err, ERR_INVALID, "'%s' is no JSON pointer: it begins with '/', as /alert/id", pointer);
	for (const char *at = pointer; (at = strchr(at, '~')); at++)
		if (at[1] != '0' && at[1] != '1')
			return err_set(err, ERR_INVALID, "'%s' is no JSON pointer: '~' is written ~0 and '/' in a name ~1", pointer);
	return 0;
}

/* One part, less its escapes; *at moves behind it. */
static char *next_part(const void *ctx, const char **at)
{
	size_t length = strcspn(*at, "/");
	char *part = mem_strndup(ctx, *at, length), *to = part;

	for (const char *from = part; *from; from++) {
		if (*from == '~' && (from[1] == '0' || from[1] == '1'))
			*to++ = *++from == '0' ? '~' : '/';
		else
			*to++ = *from;
	}
	*to = 0;
	*at += length;
	return part;
}

static json_t *element(json_t *array, const char *part)
{
	struct err ignored = ERR_INIT;
	int64_t index;

	if (strspn(part, "0123456789") != strlen(part) || (part[0] == '0' && part[1]) ||
		text_parse_int(part, 0, INT32_MAX, &index, &ignored) < 0)
		return NULL;
	return json_array_get(array, (size_t)index);
}

json_t *pointer_get(json_t *value, const char *pointer)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	const char *at = pointer;

	while (value && *at == '/') {
		const char *part;

		at++;
		part = next_part(tmp, &at);
		value = json_is_array(value) ? element(value, part) : json_object_get(value, part);
	}
	return *at ? NULL : value;
}

/* --- signatures --------------------------------------------------------------------------------------------------- */

bool hook_signature_fits(const char *secret, const char *timestamp, const void *body, size_t size, const char *header)
{
	_cleanup_talloc_ char *content = NULL;
	char sum[HASH_HEX_SIZE];
	size_t before = timestamp ? strlen(timestamp) + 1 : 0;

	if (!*secret) /* anybody could sign with nothing */
		return false;
	if (timestamp) {
		content = mem_array(NULL, char, before + size + 1);
		memcpy(content, timestamp, before - 1);
		content[before - 1] = '.';
		memcpy(content + before, body, size);
	}
	hash_hmac_sha256_hex(secret, strlen(secret), content ? content : body, before + size, sum);
	return hash_hex_is(sum, text_starts_with(header, "sha256=") ? header + strlen("sha256=") : header);
}

int hook_time_check(const struct hook_config *hook, const char *timestamp, int64_t now_ms, struct err *err)
{
	struct err ignored = ERR_INIT;
	int64_t seconds;

	if (text_parse_int(timestamp, 0, INT32_MAX * INT64_C(1000), &seconds, &ignored) < 0)
		return err_set(err, ERR_UNAUTHENTICATED, "the header %s must be seconds since 1970", hook->timestamp_header);
	if (seconds * 1000 < now_ms - hook->tolerance_ms || seconds * 1000 > now_ms + hook->tolerance_ms)
		return err_set(err, ERR_UNAUTHENTICATED, "the time in %s is too far from now", hook->timestamp_header);
	return 0;
}

/* --- what bodies hold --------------------------------------------------------------------------------------------- */

/* At most `max` bytes, cut between characters; never a control character but the line feed. NULL stays NULL. */
static const char *cut(const void *ctx, const char *text, size_t max)
{
	size_t length;

	if (!text)
		return NULL;
	length = strlen(text);
	if (length > max) {
		length = max;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	return text_printable(ctx, text, length, true);
}

/* As text, in ctx; NULL: nothing is there, or no text, number or boolean. */
static char *text_at(const void *ctx, json_t *value, const char *pointer)
{
	json_t *found = pointer ? pointer_get(value, pointer) : NULL;

	return found ? json_scalar_text(ctx, found) : NULL;
}

static const char *scalar_at(const void *ctx, json_t *value, const char *pointer, size_t max)
{
	_cleanup_talloc_ char *text = text_at(NULL, value, pointer);

	return text && *text ? cut(ctx, text, max) : NULL;
}

/* Names and texts; what is no text, number or boolean is left out. New reference. */
static json_t *texts(json_t *object)
{
	json_t *made = json_object(), *value;
	const char *key;

	json_object_foreach(object, key, value) {
		_cleanup_talloc_ char *text = json_scalar_text(NULL, value);

		if (json_object_size(made) == HOOK_LABELS_MAX)
			break;
		if (text && *key)
			json_put_str(made, cut(text, key, KEY_MAX), cut(text, text, VALUE_MAX));
	}
	return made;
}

/* RFC 3339, or a number of seconds or milliseconds since 1970. 0: no time, or one before 1970 (Go's zero time stands for "not yet"). */
static int64_t time_of(json_t *value)
{
	struct err ignored = ERR_INIT;
	int64_t ms = 0;

	if (json_is_integer(value)) {
		ms = json_integer_value(value);
		if (ms > INT64_MAX / 1000)
			return 0;
		ms = ms < INT64_C(100000000000) ? ms * 1000 : ms;
	} else if (json_is_string(value) && clock_parse(json_string_value(value), &ms, &ignored) < 0) {
		return 0;
	}
	return MAX(ms, 0);
}

static bool is_listed(const char *const *list, const char *text)
{
	for (; list && text && *list; list++)
		if (strcasecmp(*list, text) == 0)
			return true;
	return false;
}

/* What a name in a body means here: by `environments` of the hook, else an environment of that name; NULL: neither. */
static const char *environment_of(const struct hook_config *hook, const char *const *environments, const char *name)
{
	const char *mapped = name ? json_str(hook->environments, name, name) : NULL;

	for (; mapped && *environments; environments++)
		if (strcmp(*environments, mapped) == 0)
			return *environments;
	return NULL;
}

static const char *alert_environment(const struct hook_config *hook, const char *const *environments, const struct alert *alert,
	const char *named)
{
	const char *label = hook->environment_label ? json_str(alert->labels, hook->environment_label, NULL) : NULL;
	const char *found = environment_of(hook, environments, named ? named : label);

	return found ? found : environment_of(hook, environments, hook->environment);
}

/* --- alerts ------------------------------------------------------------------------------------------------------- */

/* The bytes that an alert is known by: what was sent, when it is short and plain; else its hash. */
static const char *fingerprint_of(const void *ctx, const char *text)
{
	char sum[HASH_HEX_SIZE];

	if (strlen(text) <= KEY_MAX)
		return cut(ctx, text, KEY_MAX);
	hash_sha256_hex(text, strlen(text), sum);
	return mem_strdup(ctx, sum);
}

/* Without a fingerprint the labels are what an alert is. */
static const char *fingerprint_by_labels(const void *ctx, json_t *labels)
{
	_cleanup_talloc_ char *text = json_canonical(NULL, labels);
	char sum[HASH_HEX_SIZE];

	hash_sha256_hex(text, strlen(text), sum);
	return mem_strndup(ctx, sum, 16);
}

/* 1: an alert; 0: of another status. */
static int read_prometheus(const void *ctx, const struct hook_config *hook, const char *const *environments, json_t *object,
	struct alert *ret, struct err *err)
{
	const char *status = json_str(object, "status", ""), *fingerprint = json_str(object, "fingerprint", "");
	bool firing = strcmp(status, "firing") == 0;

	if (!json_is_object(object))
		return err_set(err, ERR_INVALID, "an object is wanted");
	if (!firing && strcmp(status, "resolved") != 0)
		return 0;
	*ret = (struct alert){ .hook = hook->name,
		.firing = firing,
		.labels = json_keep(ctx, texts(json_object_get(object, "labels"))),
		.annotations = json_keep(ctx, texts(json_object_get(object, "annotations"))),
		.url = cut(ctx, json_str(object, "generatorURL", NULL), URL_MAX),
		.started_ms = time_of(json_object_get(object, "startsAt")),
		.ended_ms = firing ? 0 : time_of(json_object_get(object, "endsAt")) };
	ret->fingerprint = *fingerprint ? fingerprint_of(ctx, fingerprint) : fingerprint_by_labels(ctx, ret->labels);
	ret->environment = alert_environment(hook, environments, ret, NULL);
	return 1;
}

static int read_mapped(const void *ctx, const struct hook_config *hook, const char *const *environments, json_t *object, struct alert *ret,
	struct err *err)
{
	const struct hook_mapping *mapping = &hook->mapping;
	_cleanup_talloc_ char *fingerprint = text_at(NULL, object, mapping->fingerprint);
	const char *status = scalar_at(ctx, object, mapping->status, KEY_MAX);
	bool firing = !mapping->status || is_listed(mapping->firing, status);
	const struct {
		const char *pointer, *name;
		bool annotation;
	} more[] = { { mapping->name, "alertname", false }, { mapping->severity, "severity", false }, { mapping->summary, "summary", true },
		{ mapping->description, "description", true } };

	if (!fingerprint || !*fingerprint)
		return err_set(err, ERR_INVALID, "there is nothing at %s, which tells one alert from another", mapping->fingerprint);
	if (!firing && !is_listed(mapping->resolved, status))
		return 0;
	*ret = (struct alert){ .hook = hook->name,
		.fingerprint = fingerprint_of(ctx, fingerprint),
		.firing = firing,
		.labels = json_keep(ctx, texts(mapping->labels ? pointer_get(object, mapping->labels) : NULL)),
		.annotations = json_keep(ctx, texts(mapping->annotations ? pointer_get(object, mapping->annotations) : NULL)),
		.url = scalar_at(ctx, object, mapping->url, URL_MAX),
		.started_ms = mapping->starts_at ? time_of(pointer_get(object, mapping->starts_at)) : 0,
		.ended_ms = mapping->ends_at && !firing ? time_of(pointer_get(object, mapping->ends_at)) : 0 };
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		json_put_str(more[i].annotation ? ret->annotations : ret->labels, more[i].name,
			scalar_at(ctx, object, more[i].pointer, VALUE_MAX));
	ret->environment = alert_environment(hook, environments, ret, scalar_at(ctx, object, mapping->environment, KEY_MAX));
	return 1;
}

int hook_alerts(const void *ctx, const struct hook_config *hook, const char *const *environments, json_t *body, struct alert **ret,
	size_t *ret_count, struct err *err)
{
	const struct hook_mapping *mapping = &hook->mapping;
	bool prometheus = hook->type == HOOK_ALERTMANAGER;
	json_t *list = prometheus ? json_object_get(body, "alerts") : mapping->each ? pointer_get(body, mapping->each) : NULL, *object;
	int64_t truncated = prometheus ? MAX(json_int(body, "truncatedAlerts", 0), 0) : 0;
	struct alert *alerts;
	size_t count = 0, index;
	int r;

	if (prometheus && strcmp(json_str(body, "version", ""), "4") != 0)
		return err_set(err, ERR_INVALID, "this is no webhook of Alertmanager: its version is not \"4\"");
	if ((prometheus || mapping->each) && !json_is_array(list))
		return err_set(err, ERR_INVALID, "there is no list at %s", prometheus ? "/alerts" : mapping->each);
	if (json_array_size(list) > HOOK_ALERTS_MAX)
		return err_set(err, ERR_TOO_LARGE, "%zu alerts in one body; at most %d are read", json_array_size(list), HOOK_ALERTS_MAX);
	if (!list)
		list = json_keep(ctx, json_pack("[O]", body));
	alerts = mem_array(ctx, struct alert, json_array_size(list) + 1);
	json_array_foreach(list, index, object) {
		r = prometheus ? read_prometheus(ctx, hook, environments, object, &alerts[count], err)
			       : read_mapped(ctx, hook, environments, object, &alerts[count], err);
		if (r < 0)
			return err_in(err, "alert %zu", index + 1);
		if (r > 0)
			alerts[count++].truncated = truncated;
	}
	*ret = alerts;
	*ret_count = count;
	return 0;
}

json_t *alert_json(const void *ctx, const struct alert *alert)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:O, s:O}", "hook", alert->hook, "fingerprint", alert->fingerprint, "status",
		alert->firing ? "firing" : "resolved", "labels", alert->labels, "annotations", alert->annotations);

	if (alert->started_ms)
		json_put_str(object, "startsAt", clock_format(ctx, alert->started_ms));
	if (alert->ended_ms)
		json_put_str(object, "endsAt", clock_format(ctx, alert->ended_ms));
	json_put_str(object, "url", alert->url);
	if (alert->truncated)
		json_put_int(object, "truncatedAlerts", alert->truncated);
	return object;
}

/* --- deployments -------------------------------------------------------------------------------------------------- */

static bool is_meant(const struct hook_mapping *mapping, json_t *body)
{
	const char *pointer;
	json_t *wanted;

	json_object_foreach(mapping->when, pointer, wanted) {
		_cleanup_talloc_ char *there = text_at(NULL, body, pointer), *text = json_scalar_text(NULL, wanted);

		if (!there || !text || strcmp(there, text) != 0)
			return false;
	}
	return true;
}

static int find_environment(const void *ctx, const struct hook_config *hook, const char *const *environments, const char *named,
	struct hook_record *ret, const char **ret_why)
{
	ret->environment = environment_of(hook, environments, named ? named : hook->environment);
	if (ret->environment)
		return 1;
	*ret_why = named ? mem_printf(ctx, "there is no environment '%s' here, and `environments` of the hook does not map it", named)
			 : "the body names no environment";
	return 0;
}

static int record_mapped(const void *ctx, const struct hook_config *hook, const char *const *environments, json_t *body,
	struct hook_record *ret, const char **ret_why, struct err *err)
{
	const struct hook_mapping *mapping = &hook->mapping;
	const char *name;
	json_t *pointer;

	if (!is_meant(mapping, body)) {
		*ret_why = "it is not what `when` of the hook asks for";
		return 0;
	}
	*ret = (struct hook_record){ .version = scalar_at(ctx, body, mapping->version, KEY_MAX),
		.git_sha = scalar_at(ctx, body, mapping->git_sha, KEY_MAX) };
	if (!ret->version)
		return err_set(err, ERR_INVALID, "there is no version at %s", mapping->version);
	json_object_foreach(mapping->components, name, pointer) {
		const char *version = scalar_at(ctx, body, json_string_value(pointer), KEY_MAX);

		if (!version)
			continue;
		if (!ret->components)
			ret->components = json_keep(ctx, json_object());
		json_put_str(ret->components, name, version);
	}
	return find_environment(ctx, hook, environments, scalar_at(ctx, body, mapping->environment, KEY_MAX), ret, ret_why);
}

static int record_github(const void *ctx, const struct hook_config *hook, const char *const *environments, const char *event, json_t *body,
	int64_t now_ms, struct hook_record *ret, const char **ret_why, struct err *err)
{
	json_t *deployment = json_object_get(body, "deployment"), *status = json_object_get(body, "deployment_status");
	const char *repository = json_str(json_object_get(body, "repository"), "full_name", ""), *state;
	int64_t made_ms = time_of(json_object_get(status, "created_at"));

	if (strcmp(event, "deployment_status") != 0) {
		*ret_why = mem_printf(ctx, "events of the kind '%s' mean nothing here", cut(ctx, event, KEY_MAX));
		return 0;
	}
	if (hook->repository && strcasecmp(hook->repository, repository) != 0) {
		*ret_why = "it is about another repository";
		return 0;
	}
	state = json_str(status, "state", "");
	if (!json_is_object(deployment) || !*state)
		return err_set(err, ERR_INVALID, "deployment and deployment_status.state are missing");
	if (strcmp(state, "success") != 0) {
		*ret_why = mem_printf(ctx, "the state '%s' is no deployment that succeeded", cut(ctx, state, KEY_MAX));
		return 0;
	}
	if (made_ms && (made_ms < now_ms - HOOK_REMEMBER_MS || made_ms > now_ms + AHEAD_MS))
		return err_set(err, ERR_INVALID, "deployment_status.created_at is too far from now");
	*ret = (struct hook_record){ .git_sha = scalar_at(ctx, deployment, "/sha", KEY_MAX),
		.version = scalar_at(ctx, deployment, "/ref", KEY_MAX) };
	if (!ret->version)
		ret->version = ret->git_sha;
	if (!ret->version)
		return err_set(err, ERR_INVALID, "deployment.ref and deployment.sha are missing");
	return find_environment(ctx, hook, environments, scalar_at(ctx, deployment, "/environment", KEY_MAX), ret, ret_why);
}

int hook_record(const void *ctx, const struct hook_config *hook, const char *const *environments, const char *event, json_t *body,
	int64_t now_ms, struct hook_record *ret, const char **ret_why, struct err *err)
{
	return hook->type == HOOK_GITHUB ? record_github(ctx, hook, environments, event ? event : "", body, now_ms, ret, ret_why, err)
					 : record_mapped(ctx, hook, environments, body, ret, ret_why, err);
}
