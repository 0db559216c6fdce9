/* The project file unship.yaml: environments, their components, probes, triggers, who is told, objectives. Pure: it is handed a document.
 * The field tables of this file are the reference (docs/reference/project-file.md is made from them). */
#ifndef CORE_PROJECT_H
#define CORE_PROJECT_H

#include "core/driver.h"
#include "core/hook.h"
#include "core/oidc.h"
#include "core/sink.h"
#include "data/problems.h"

struct drain_config; /* core/drain.h */

struct component {
	const char *name, *driver;
	bool critical;
	const char **needs;         /* names of components that it uses; NULL-terminated, never NULL */
	json_t *config;             /* the whole object as written (borrowed from the document), without secrets' values */
	const char *path;           /* place in the document: environments.production.components.api */
	struct drain_config *drain; /* how work in flight ends; NULL: nothing is said of it */
};

struct probe_config {
	const char *name, *type, *component; /* component may be NULL */
	int64_t every_ms, timeout_ms;        /* defaults 30 s, 5 s */
	bool external; /* looks at what the environment needs and does not contain: asked before a rollback, which it blocks when it fails, and not by its last step */
	json_t *config;
};

struct notify_rule {
	const char *channel;
	const char **recipients, **on; /* events: start, progress, completed, failed, emergency, status */
	json_t *config;
};

/* How many other people must approve what changes this environment: `approvals: {required: 2, expires: 1h, for: [force, execute]}`. */
struct approval_rule {
	int64_t required;     /* distinct people beside the one who asks; 0: none, but one for `force` in a protected environment */
	int64_t expires_ms;   /* how long a request waits, and how long its approval holds; default 1 h */
	unsigned permissions; /* set (core/access.h): what needs it; default execute, force, emergency when `required` is given */
};

struct objectives {
	int64_t rollback_ms, flags_off_ms, notify_ms, health_ms, stable_ms;
}; /* defaults 60s, 10s, 10s, 2m, 15m */

struct environment {
	const char *name;
	bool protected;
	struct component *components;
	size_t component_count;
	struct probe_config *probes;
	size_t probe_count;
	struct notify_rule *notify;
	size_t notify_count;
	json_t *triggers; /* object or NULL; read by watch/ */
	struct objectives objectives;
	struct approval_rule approvals; /* environments.NAME.approvals */
	int64_t check_timeout_ms;       /* how long a driver may take to check whether it can go to a target; default 30 s */
	/* `readiness: {every: 10m, keep: 5}`: how often `unship serve` looks whether it could be rolled back (0: never), and how many deployments it looks at. */
	struct {
		int64_t every_ms, targets;
	} readiness;
};

/* `server:` of the project file: what `unship serve` listens to and trusts. Nested parts are checked here by the tables of those who use them. */
struct server_config {
	const char *listen;                /* default "127.0.0.1:8321" */
	const char *certificate, *key;     /* PEM files; both or none */
	const char **hosts;                /* names that a Host header may hold beside the address itself; NULL */
	const char **origins;              /* web origins that may ask for flags and events from a browser; NULL */
	int64_t workers;                   /* threads for what may block; default 4 */
	int64_t connections;               /* at most; 0: the server's own limit */
	int64_t connections_per_address;   /* the same for one address */
	const char *public_url;            /* how browsers reach it: scheme, name, port; NULL: as it is bound */
	struct oidc_config *oidc;          /* core/oidc.h; NULL: nobody signs in by OpenID Connect */
	struct probe_config *dependencies; /* of /api/health: {database: {type: tcp, ...}, redis: ..., stripe: ...} */
	size_t dependency_count;
	struct hook_config *hooks; /* core/hook.h */
	size_t hook_count;
	struct sink_config *sinks; /* core/sink.h */
	size_t sink_count;
};

/* `snapshots.copy`: where else what is sealed is kept. */
struct copy_config {
	const char *url; /* NULL: nowhere else */
	const char *bucket, *region, *prefix, *ca_file;
	json_t *access_key, *secret_key; /* secret references */
	int64_t every_ms;                /* `unship serve` copies so often; 0: never */
};

/* `snapshots:` of the project file. */
struct snapshots_config {
	int64_t keep;           /* how many of each environment stay; default 20 */
	int64_t keep_within_ms; /* and all that are younger; 0: none for that */
	int64_t deployments;    /* of how many deployments of each environment the kept content stays; default 100 */
	int64_t every_ms;       /* `unship serve` takes one of each environment in advance; 0: never */
	int64_t verify_ms;      /* and verifies a share of what is there; default 24 h; 0: never */
	double verify_share;    /* default 10 % */
	struct seal_key {       /* master keys by version; the first seals; count 0: not sealed */
		int64_t version;
		json_t *key; /* secret reference */
	} * keys;
	size_t key_count;
	struct copy_config copy;
};

struct project {
	const char *name;
	struct environment *environments;
	size_t environment_count;
	struct snapshots_config snapshots;
	const char *store; /* "sqlite" or postgres://... */
	struct server_config server;
	const struct doc *doc;
};

/* Members of a component that do not belong to its driver. */
extern const struct field project_component_fields[];

/* Reads and checks everything: unknown keys with the nearest known one, `needs` that name no component, cycles in `needs`, unknown drivers, probes and
 * channels (a driver that is not in the catalogue is looked up by `external`, which returns the field table's JSON of
 * unship-driver-NAME or NULL; may be NULL: then unknown drivers are accepted unchecked), probes of unknown components,
 * parameters of each driver by its table. Every problem goes to `problems`; the project is returned as far as it could be read (never NULL). */
struct project *project_read(const void *ctx, const struct doc *doc, const struct catalogue *catalogue,
	bool (*external)(void *user, const char *driver), void *user, struct problems *problems);

/* Names of all environments, NULL-terminated, in ctx. */
const char **project_environment_names(const void *ctx, const struct project *project);
struct environment *project_environment(const struct project *project, const char *name); /* NULL when there is none */
/* The same with an error that lists what there is and names the nearest. */
must_check int project_find_environment(const struct project *project, const char *name, struct environment **ret, struct err *err);
struct component *environment_component(const struct environment *environment, const char *name); /* NULL */

#endif
