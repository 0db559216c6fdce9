/* Hooks: webhooks that are listened to. What the project file says of them (`server.hooks`), and what their bodies mean. Pure: bodies,
 * headers and the time are handed in; who may send them is decided by the server, with hook_signature_fits where a secret is shared.
 *
 * A hook's body becomes alerts (an entry signal.alert each) or one deployment to record. docs/hooks.md tells it for users. */
#ifndef CORE_HOOK_H
#define CORE_HOOK_H

#include "data/problems.h"

enum hook_type { HOOK_ALERTMANAGER, HOOK_GENERIC, HOOK_GITHUB };
enum hook_action { HOOK_ALERT, HOOK_RECORD };

/* Where things stand in the body of a generic hook: JSON pointers (RFC 6901); NULL: nowhere. */
struct hook_mapping {
	const char *each; /* the list of alerts; all other pointers are then relative to its elements */
	const char *fingerprint, *name, *status, *severity, *summary, *description, *url, *starts_at, *ends_at, *environment;
	const char *labels, *annotations; /* objects of texts */
	const char **firing, **resolved;  /* what `status` says then */
	const char *version, *git_sha;    /* of a deployment */
	json_t *components;               /* NAME: pointer to its version */
	json_t *when;                     /* pointer: value; other bodies are ignored */
};

struct hook_config {
	const char *name;
	enum hook_type type;
	enum hook_action action;
	json_t *secret;                /* reference; the body is signed with it. NULL: `principal` */
	const char *principal;         /* whose token is to be sent; NULL: `secret` */
	const char *environment;       /* that everything is about unless the body says otherwise; NULL */
	const char *environment_label; /* alerts: the label that names the environment; NULL */
	json_t *environments;          /* name in the body: name here; NULL */
	const char *repository;        /* GitHub: OWNER/NAME, the only one that is heard; NULL: all */
	const char *signature_header, *timestamp_header, *delivery_header; /* timestamp_header NULL: what is signed has no time */
	int64_t tolerance_ms;                                              /* how old a signed time may be */
	struct hook_mapping mapping;
};

/* Reads `server.hooks`. `environments`: names, NULL-terminated. Never NULL. */
struct hook_config *hooks_read(const void *ctx, json_t *hooks, const char *const *environments, struct problems *problems,
	size_t *ret_count);
const struct hook_config *hook_find(const struct hook_config *hooks, size_t count, const char *name); /* NULL */
const char *hook_type_name(enum hook_type type);

/* The value that a pointer names, or NULL. RFC 6901: "" is the whole, "/a/0/b~1c". */
json_t *pointer_get(json_t *value, const char *pointer);
must_check int pointer_check(const char *pointer, struct err *err);

/* Is `header` ("sha256=" and 64 hex digits, or the digits alone) the HMAC-SHA256 of the body? With a time that of "TIME.BODY". In constant
 * time. */
bool hook_signature_fits(const char *secret, const char *timestamp, const void *body, size_t size, const char *header);
/* ERR_UNAUTHENTICATED when the time (seconds since 1970) is further from now than the hook tolerates. */
must_check int hook_time_check(const struct hook_config *hook, const char *timestamp, int64_t now_ms, struct err *err);

struct alert {
	const char *hook, *fingerprint;
	const char *environment; /* NULL: none that is known here */
	bool firing;
	json_t *labels, *annotations; /* objects of texts, never NULL */
	const char *url;              /* of whoever raised it; NULL */
	int64_t started_ms, ended_ms; /* wall; 0: not told */
	int64_t truncated;            /* how many more there were that were not sent; 0 */
};

#define HOOK_ALERTS_MAX 1000
#define HOOK_LABELS_MAX 64

/* Alerts of a body of Alertmanager's (version "4") or of a generic one by its mapping. What has a status that is neither firing nor
 * resolved is left out. ERR_INVALID for a body that is no such thing. */
must_check int hook_alerts(const void *ctx, const struct hook_config *hook, const char *const *environments, json_t *body,
	struct alert **ret, size_t *ret_count, struct err *err);
json_t *alert_json(const void *ctx, const struct alert *alert); /* data of signal.alert; new reference */

struct hook_record {
	const char *environment, *version, *git_sha; /* git_sha may be NULL */
	json_t *components;                          /* NAME: version; NULL */
};
/* What a body says was deployed. 1: *ret is filled; 0: nothing to record, *ret_why says why. `event`: of GitHub's header; NULL for others.
 * ERR_INVALID for a body that is no such thing, or too old. */
must_check int hook_record(const void *ctx, const struct hook_config *hook, const char *const *environments, const char *event,
	json_t *body, int64_t now_ms, struct hook_record *ret, const char **ret_why, struct err *err);

/* A body that is signed without a time may come again for so long before it is forgotten that it came; older ones are refused where they
 * tell their time. */
#define HOOK_REMEMBER_MS ((int64_t)30 * 24 * 3600 * 1000)

#endif
