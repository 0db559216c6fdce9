/* The project file (project.h, docs/reference/project-file.md). Everything that can be wrong is told at once, each with its place.
 *
 * A component, a probe and a notify rule have members of their own (driver, needs, ...) and those of what stands behind them (a driver's
 * configuration): both
 * tables are joined for reading, so that an unknown key is compared with all that could be meant. Pure; any thread. */
#include "core/project.h"

#include "base/text.h"
#include "core/access.h"
#include "core/drain.h"
#include "core/graph.h"
#include "data/json.h"

#define PROBE_EVERY_MIN_MS 100
#define TIME_MAX_MS        (24.0 * 3600 * 1000)

struct project_file {
	const char *project, *store;
	json_t *environments;
	struct snapshots_file {
		int64_t keep, keep_within_ms, deployments, every_ms;
		json_t *seal, *copy;
		struct verify_file {
			int64_t every_ms;
			double share;
		} verify;
	} snapshots;
	struct server_file {
		const char *listen, *certificate, *key, *public_url;
		const char **hosts, **origins;
		int64_t workers, connections, connections_per_address;
		json_t *oidc, *dependencies, *hooks, *sinks;
	} server;
};
/* clang-format off */
static const struct field server_fields[] = {
	FIELD_STR(struct server_file, listen, DEFAULT("127.0.0.1:8321"), "address and port; another address than loopback needs a certificate"),
	FIELD_PATH(struct server_file, certificate, OPTIONAL, "PEM file of the certificate and those that lead to its root"),
	FIELD_PATH(struct server_file, key, OPTIONAL, "PEM file of its key"),
	FIELD_STR(struct server_file, public_url, OPTIONAL, "how browsers reach it, when that is another address: https://unship.example.com"),
	FIELD_LIST(struct server_file, hosts, OPTIONAL, "names that clients may use for this server, beside addresses and localhost"),
	FIELD_LIST(struct server_file, origins, OPTIONAL, "web origins whose pages may ask for flags and events: https://shop.example"),
	FIELD_INT(struct server_file, workers, DEFAULT("4"), 1, 256, "threads for what may block"),
	FIELD_INT(struct server_file, connections, OPTIONAL, 1, 1000000, "at most so many connections; as many as the system allows when missing, up to 20000"),
	FIELD_INT(struct server_file, connections_per_address, OPTIONAL, 1, 1000000, "at most so many of one address; 256 when missing, on loopback all"),
	FIELD_MAP(struct server_file, oidc, OPTIONAL, "sign-in by OpenID Connect"),
	FIELD_MAP(struct server_file, dependencies, OPTIONAL, "what /api/health looks at beside the server: probes by name"),
	FIELD_MAP(struct server_file, hooks, OPTIONAL, "webhooks that are listened to, by name"),
	FIELD_JSON(struct server_file, sinks, OPTIONAL, "where events are sent to: a list"),
	FIELD_END
};
static const struct field verify_fields[] = {
	FIELD_MS(struct verify_file, every_ms, DEFAULT("24h"), "how often `unship serve` reads some of what is kept again; 0: never"),
	FIELD_SHARE(struct verify_file, share, DEFAULT("10%"), "how much of it each time"),
	FIELD_END
};
static const struct field snapshots_fields[] = {
	FIELD_INT(struct snapshots_file, keep, DEFAULT("20"), 1, 1000000, "how many snapshots of each environment are kept; older ones are pruned"),
	FIELD_MS(struct snapshots_file, keep_within_ms, DEFAULT("0"), "snapshots that are younger are kept however many they are"),
	FIELD_INT(struct snapshots_file, deployments, DEFAULT("100"), 1, 1000000,
		"of how many deployments of each environment the content is kept; last stable and present ones always"),
	FIELD_MS(struct snapshots_file, every_ms, DEFAULT("0"), "how often `unship serve` takes one in advance; 0: never"),
	FIELD_GROUP(struct snapshots_file, verify, OPTIONAL, verify_fields, "reading again what is kept"),
	FIELD_MAP(struct snapshots_file, seal, OPTIONAL, "encryption of snapshots at rest"),
	FIELD_MAP(struct snapshots_file, copy, OPTIONAL, "an S3-compatible store where what is sealed is kept as well"),
	FIELD_END
};
static const struct field project_fields[] = {
	FIELD_NAME(struct project_file, project, REQUIRED, "name of the project"),
	FIELD_MAP(struct project_file, environments, REQUIRED, "environments by name"),
	FIELD_GROUP(struct project_file, snapshots, OPTIONAL, snapshots_fields, "snapshots taken before each run"),
	FIELD_STR(struct project_file, store, DEFAULT("sqlite"), "sqlite, or the address of a PostgreSQL database"),
	FIELD_GROUP(struct project_file, server, OPTIONAL, server_fields, "what `unship serve` listens to and trusts"),
	FIELD_END
};
/* clang-format on */
struct seal_file {
	json_t *key, *previous;
	int64_t version;
};
/* clang-format off */
static const struct field copy_fields[] = {
	FIELD_STR(struct copy_config, url, REQUIRED, "address of the store: https://s3.eu-central-1.amazonaws.com"),
	FIELD_NAME(struct copy_config, bucket, REQUIRED, "bucket, which is there already"),
	FIELD_NAME(struct copy_config, region, DEFAULT("us-east-1"), "region that requests are signed for"),
	FIELD_NAME(struct copy_config, prefix, OPTIONAL, "what all keys begin with; the project's name when missing"),
	FIELD_SECRET(struct copy_config, access_key, REQUIRED, "access key"),
	FIELD_SECRET(struct copy_config, secret_key, REQUIRED, "its secret"),
	FIELD_FILE(struct copy_config, ca_file, OPTIONAL, "authorities (PEM) instead of the system's"),
	FIELD_MS(struct copy_config, every_ms, DEFAULT("0"), "how often `unship serve` copies; 0: never"),
	FIELD_END
};
static const struct field seal_fields[] = {
	FIELD_SECRET(struct seal_file, key, REQUIRED, "key that snapshots are encrypted with: at least 32 characters"),
	FIELD_INT(struct seal_file, version, DEFAULT("1"), 1, 1000000, "its number; a new key gets a higher one"),
	FIELD_MAP(struct seal_file, previous, OPTIONAL, "former keys by their numbers, until `unship snapshots rotate` is done"),
	FIELD_END
};
/* clang-format on */

struct environment_file {
	bool protected;
	json_t *components, *probes, *triggers, *notify, *objectives, *approvals;
	int64_t check_timeout_ms;
	struct readiness_file {
		int64_t every_ms, targets;
	} readiness;
};
#define APPROVABLE (PERMISSION_BIT(PERMIT_EXECUTE) | PERMISSION_BIT(PERMIT_FORCE) | PERMISSION_BIT(PERMIT_EMERGENCY))
struct approvals_file {
	int64_t required, expires_ms;
	const char **subjects;
};
/* clang-format off */
static const struct field approvals_fields[] = {
	FIELD_INT(struct approvals_file, required, DEFAULT("0"), 0, 20, "how many other people must agree"),
	FIELD_ANY_(struct approvals_file, expires_ms, MS, NULL, 60000, 30 * TIME_MAX_MS, NULL,
		"how long a request waits, and how long its approval holds", DEFAULT("1h")),
	/* By hand: the name is a word of C. */
	{ "for", FIELD_TYPE_LIST, offsetof(struct approvals_file, subjects), OPTIONAL, NULL, 0, 0, NULL,
		"permissions that need it; execute, force and emergency when missing" },
	FIELD_END
};
static const struct field objectives_fields[] = {
	FIELD_MS(struct objectives, rollback_ms, DEFAULT("60s"), "a whole rollback"),
	FIELD_MS(struct objectives, flags_off_ms, DEFAULT("10s"), "flags of a group switched off"),
	FIELD_MS(struct objectives, notify_ms, DEFAULT("10s"), "people told"),
	FIELD_MS(struct objectives, health_ms, DEFAULT("2m"), "health verified"),
	FIELD_MS(struct objectives, stable_ms, DEFAULT("15m"), "stable again"),
	FIELD_END
};
static const struct field readiness_fields[] = {
	FIELD_ANY_(struct readiness_file, every_ms, MS, NULL, 0, TIME_MAX_MS, NULL, "how often `unship serve` looks; 0: never", DEFAULT("10m")),
	FIELD_INT(struct readiness_file, targets, DEFAULT("5"), 1, 50, "how many deployments it looks at, newest first"),
	FIELD_END
};
static const struct field environment_fields[] = {
	FIELD_BOOL(struct environment_file, protected, DEFAULT("false"), "force and emergency need special permissions here"),
	FIELD_MAP(struct environment_file, components, REQUIRED, "everything in this environment that has a version"),
	FIELD_MAP(struct environment_file, probes, OPTIONAL, "health probes by name"),
	FIELD_MAP(struct environment_file, triggers, OPTIONAL, "rules that lead to a rollback, an approval or an alert"),
	FIELD_JSON(struct environment_file, notify, OPTIONAL, "who is told of what: a list of rules"),
	FIELD_MAP(struct environment_file, objectives, OPTIONAL, "time limits that every rollback is measured against"),
	FIELD_MAP(struct environment_file, approvals, OPTIONAL, "how many other people must agree before this environment is changed"),
	FIELD_ANY_(struct environment_file, check_timeout_ms, MS, NULL, 100, 3600000, NULL, "how long a driver may take to check whether it can go to a target", DEFAULT("30s")),
	FIELD_GROUP(struct environment_file, readiness, OPTIONAL, readiness_fields, "whether it could be rolled back is looked at continuously"),
	FIELD_END
};
/* clang-format on */

struct component_file {
	const char *driver;
	bool critical;
	const char **needs;
	struct drain_config drain;
	json_t *sandbox;
};
/* clang-format off */
const struct field project_component_fields[] = {
	FIELD_NAME(struct component_file, driver, REQUIRED, "what stands behind the component"),
	FIELD_BOOL(struct component_file, critical, DEFAULT("false"), "comes first wherever its needs allow"),
	FIELD_LIST(struct component_file, needs, OPTIONAL, "components that this one uses"),
	FIELD_GROUP(struct component_file, drain, OPTIONAL, drain_fields, "how work in flight ends before the service is stopped"),
	FIELD_MAP(struct component_file, sandbox, OPTIONAL, "members that are others in the copy in which a rollback is rehearsed"),
	FIELD_END
};
/* clang-format on */

struct probe_file {
	const char *type, *component;
	int64_t every_ms, timeout_ms;
	bool external;
	json_t *sandbox;
};
/* clang-format off */
static const struct field probe_fields[] = {
	FIELD_NAME(struct probe_file, type, REQUIRED, "kind of probe"),
	FIELD_ANY_(struct probe_file, every_ms, MS, NULL, PROBE_EVERY_MIN_MS, TIME_MAX_MS, NULL, "time between two runs", DEFAULT("30s")),
	FIELD_ANY_(struct probe_file, timeout_ms, MS, NULL, 1, TIME_MAX_MS, NULL, "limit of one run", DEFAULT("5s")),
	FIELD_NAME(struct probe_file, component, OPTIONAL, "component whose health it tells"),
	FIELD_BOOL(struct probe_file, external, DEFAULT("false"), "it looks at what the environment needs from outside: asked before a rollback, which it blocks when it fails"),
	FIELD_MAP(struct probe_file, sandbox, OPTIONAL, "members that are others when a rollback is rehearsed; without it the probe is left out there"),
	FIELD_END
};
/* clang-format on */

struct notify_file {
	const char *channel;
	const char **recipients, **on;
};
/* clang-format off */
static const struct field notify_fields[] = {
	FIELD_NAME(struct notify_file, channel, REQUIRED, "the way to tell them"),
	FIELD_LIST(struct notify_file, recipients, REQUIRED, "addresses in the channel's own form"),
	FIELD_LIST(struct notify_file, on, OPTIONAL,
		"events: start, progress, completed, failed, approval, emergency, readiness, status; all but progress and status when missing"),
	FIELD_END
};
/* clang-format on */

struct reading {
	struct project *project;
	const struct catalogue *catalogue;
	bool (*external)(void *user, const char *driver);
	void *user;
	struct problems *problems;
	void *tmp; /* ends with the reading */
};

static void unknown(struct reading *reading, const char *path, const char *what, const char *name, const char *const *known)
{
	const char *nearest = text_nearest(name, known);

	problems_add(reading->problems, ERR_INVALID, path, "unknown %s '%s'%s%s%s", what, name, nearest ? "; did you mean '" : "",
		nearest ? nearest : "", nearest ? "'?" : "");
}

static size_t fields_count(const struct field *fields)
{
	size_t count = 0;

	while (fields && fields[count].member)
		count++;
	return count;
}

/* Reads `object` by two tables at once: `own` into `ret_own`, and those of what stands behind it, which are only checked here. Without the
 * second table
 * (it is not known) other keys are left alone. */
static void read_joined(struct reading *reading, const struct field *own, size_t own_size, const struct field *behind, size_t behind_size,
	bool known, json_t *object, const char *path, void *ret_own)
{
	size_t own_count = fields_count(own), behind_count = fields_count(behind), offset = (own_size + 15) & ~(size_t)15;
	struct field *joined = mem_array(reading->tmp, struct field, own_count + behind_count + 1);
	char *params = mem_array(reading->tmp, char, offset + behind_size);
	json_t *mine = json_keep(reading->tmp, json_object());

	memcpy(joined, own, own_count * sizeof(*joined));
	for (size_t i = 0; i < behind_count; i++) {
		joined[own_count + i] = behind[i];
		joined[own_count + i].offset += offset;
	}
	for (size_t i = 0; i < own_count && !known; i++) {
		char *name = field_name(reading->tmp, &own[i]);

		json_put(mine, name, json_object_get(object, name));
	}
	fields_parse(reading->project, joined, known || !json_is_object(object) ? object : mine, path, NULL, false, params,
		reading->problems);
	memcpy(ret_own, params, own_size);
}

static const char **no_names(const void *ctx)
{
	return mem_array(ctx, const char *, 1);
}

static bool check_name(struct reading *reading, const char *path, const char *what, const char *name)
{
	if (text_is_name(name))
		return true;
	problems_add(reading->problems, ERR_INVALID, path, "'%s' is not a name for %s: letters, digits, '.', '_' and '-', at most 128",
		name, what);
	return false;
}

static void check_duplicates(struct reading *reading, const char *path, const char *const *list)
{
	json_t *seen = json_keep(reading->tmp, json_object());

	for (size_t i = 0; list[i]; i++) {
		if (json_object_get(seen, list[i]))
			problems_add(reading->problems, ERR_INVALID, doc_path_index(reading->tmp, path, i), "'%s' stands here twice",
				list[i]);
		json_object_set_new(seen, list[i], json_true());
	}
}

/* Components */

static const struct driver *find_driver(struct reading *reading, const char *name, const char *path)
{
	const struct driver *driver = reading->catalogue ? catalogue_driver(reading->catalogue, name) : NULL;
	const char **names;
	size_t count = 0;

	if (driver || !reading->catalogue || !reading->external || reading->external(reading->user, name))
		return driver;
	while (reading->catalogue->drivers && reading->catalogue->drivers[count])
		count++;
	names = mem_array(reading->tmp, const char *, count + 1);
	for (size_t i = 0; i < count; i++)
		names[i] = reading->catalogue->drivers[i]->name;
	unknown(reading, doc_path(reading->tmp, path, "driver"), "driver", name, names);
	return NULL;
}

/* What stands in `sandbox:` is checked as it will be used, in place of the members that it replaces. ${sandbox.dir} is known only in a rehearsal. */
static void check_sandbox(struct reading *reading, const struct field *own, const struct field *behind, size_t behind_size, json_t *object,
	const char *base)
{
	json_t *sandbox = json_object_get(object, "sandbox"), *merged;
	char *params = mem_array(reading->tmp, char, behind_size + 1);

	if (!json_is_object(sandbox))
		return;
	merged = json_keep(reading->tmp, json_copy(object));
	json_object_update(merged, sandbox);
	for (; own->member; own++)
		json_object_del(merged, field_name(reading->tmp, own));
	fields_parse(reading->tmp, behind, merged, doc_path(reading->tmp, base, "sandbox"), NULL, true, params, reading->problems);
}

static void read_component(struct reading *reading, struct component *component, const char *name, json_t *object, const char *base)
{
	const char *driver_name = json_str(object, "driver", NULL);
	const struct driver *driver = NULL;
	size_t problems = reading->problems->count;
	struct component_file file;

	*component = (struct component){ .name = mem_strdup(reading->project, name),
		.path = doc_path(reading->project, base, name),
		.config = object };
	check_name(reading, component->path, "a component", name);
	if (driver_name)
		driver = find_driver(reading, driver_name, component->path);
	read_joined(reading, project_component_fields, sizeof(file), driver ? driver->fields : NULL, driver ? driver->params_size : 0,
		driver != NULL, object, component->path, &file);
	if (driver && reading->problems->count == problems)
		check_sandbox(reading, project_component_fields, driver->fields, driver->params_size, object, component->path);
	component->driver = file.driver ? file.driver : "";
	component->critical = file.critical;
	component->needs = file.needs ? file.needs : no_names(reading->project);
	if (json_is_object(json_object_get(object, "drain")))
		component->drain = mem_dup(reading->project, &file.drain, sizeof(file.drain));
}

static const char **component_names(struct reading *reading, const struct environment *environment)
{
	const char **names = mem_array(reading->tmp, const char *, environment->component_count + 1);

	for (size_t i = 0; i < environment->component_count; i++)
		names[i] = environment->components[i].name;
	return names;
}

static void check_needs(struct reading *reading, const struct environment *environment, const char *path)
{
	const char **names = component_names(reading, environment);
	struct graph *graph = graph_new(reading->tmp, environment->component_count);
	json_t *index = json_keep(reading->tmp, json_object());
	size_t *order, *cycle, cycle_count;
	char *text;

	for (size_t i = 0; i < environment->component_count; i++)
		json_object_set_new(index, names[i], json_integer((json_int_t)i));
	for (size_t i = 0; i < environment->component_count; i++) {
		const struct component *component = &environment->components[i];
		char *needs = doc_path(reading->tmp, component->path, "needs");

		check_duplicates(reading, needs, component->needs);
		for (size_t k = 0; component->needs[k]; k++) {
			json_t *position = json_object_get(index, component->needs[k]);

			if (position)
				graph_need(graph, i, (size_t)json_integer_value(position));
			else if (reading->problems->count < PROBLEMS_MAX)
				unknown(reading, doc_path_index(reading->tmp, needs, k), "component", component->needs[k], names);
		}
	}
	if (graph_order(reading->tmp, graph, &order, &cycle, &cycle_count))
		return;
	text = mem_strdup(reading->tmp, names[cycle[0]]);
	for (size_t i = 1; i < cycle_count; i++)
		text = mem_appendf(text, " -> %s", names[cycle[i]]);
	problems_add(reading->problems, ERR_INVALID, path, "components need each other in a circle: %s", text);
}

static void read_components(struct reading *reading, struct environment *environment, json_t *components, const char *base)
{
	char *path = doc_path(reading->tmp, base, "components");
	const char *name;
	json_t *object;

	environment->components = mem_array(reading->project, struct component, json_object_size(components));
	json_object_foreach(components, name, object)
		read_component(reading, &environment->components[environment->component_count++], name, object, path);
	check_needs(reading, environment, path);
}

/* Probes */

static const struct probe *find_probe(struct reading *reading, const char *name, const char *path)
{
	const struct probe *probe = reading->catalogue ? catalogue_probe(reading->catalogue, name) : NULL;
	const char **names;
	size_t count = 0;

	if (probe || !reading->catalogue)
		return probe;
	while (reading->catalogue->probes && reading->catalogue->probes[count])
		count++;
	names = mem_array(reading->tmp, const char *, count + 1);
	for (size_t i = 0; i < count; i++)
		names[i] = reading->catalogue->probes[i]->name;
	unknown(reading, doc_path(reading->tmp, path, "type"), "type of probe", name, names);
	return NULL;
}

static void read_probe(struct reading *reading, const struct environment *environment, struct probe_config *probe, const char *name,
	json_t *object, const char *base)
{
	char *path = doc_path(reading->tmp, base, name);
	const char *type = json_str(object, "type", NULL);
	const struct probe *behind = type ? find_probe(reading, type, path) : NULL;
	size_t problems = reading->problems->count;
	struct probe_file file;

	check_name(reading, path, "a probe", name);
	read_joined(reading, probe_fields, sizeof(file), behind ? behind->fields : NULL, behind ? behind->params_size : 0, behind != NULL,
		object, path, &file);
	if (behind && reading->problems->count == problems)
		check_sandbox(reading, probe_fields, behind->fields, behind->params_size, object, path);
	*probe = (struct probe_config){
		.name = mem_strdup(reading->project, name),
		.type = file.type ? file.type : "",
		.component = file.component,
		.every_ms = file.every_ms,
		.timeout_ms = file.timeout_ms,
		.external = file.external,
		.config = object,
	};
	if (file.component && !environment_component(environment, file.component))
		unknown(reading, doc_path(reading->tmp, path, "component"), "component", file.component,
			component_names(reading, environment));
}

static void read_probes(struct reading *reading, struct environment *environment, json_t *probes, const char *base)
{
	char *path = doc_path(reading->tmp, base, "probes");
	const char *name;
	json_t *object;

	environment->probes = mem_array(reading->project, struct probe_config, json_object_size(probes));
	json_object_foreach(probes, name, object)
		read_probe(reading, environment, &environment->probes[environment->probe_count++], name, object, path);
}

/* Work in flight */

static void read_drains(struct reading *reading, const struct environment *environment)
{
	for (size_t i = 0; i < environment->component_count; i++) {
		const struct component *component = &environment->components[i];
		char *path = doc_path(reading->tmp, doc_path(reading->tmp, component->path, "drain"), "idle");
		struct probe_config *probe;

		if (!component->drain)
			continue;
		if (component->drain->idle.probe) {
			probe = mem_zero(reading->project, struct probe_config);
			read_probe(reading, environment, probe, "probe", component->drain->idle.probe, path);
			component->drain->probe = probe;
		}
		drain_check(environment, component, reading->catalogue, reading->problems);
	}
}

/* Who is told */

static const struct channel *find_channel(struct reading *reading, const char *name, const char *path)
{
	const struct channel *channel = reading->catalogue ? catalogue_channel(reading->catalogue, name) : NULL;
	const char **names;
	size_t count = 0;

	if (channel || !reading->catalogue)
		return channel;
	while (reading->catalogue->channels && reading->catalogue->channels[count])
		count++;
	names = mem_array(reading->tmp, const char *, count + 1);
	for (size_t i = 0; i < count; i++)
		names[i] = reading->catalogue->channels[i]->name;
	unknown(reading, doc_path(reading->tmp, path, "channel"), "channel", name, names);
	return NULL;
}

static void check_rule(struct reading *reading, const struct notify_rule *rule, const struct channel *channel, const char *path)
{
	static const char *const events[] = { "start", "progress", "completed", "failed", "approval", "emergency", "readiness", "status",
		NULL };
	char *recipients = doc_path(reading->tmp, path, "recipients"), *on = doc_path(reading->tmp, path, "on");

	for (size_t i = 0; channel && channel->check_recipient && rule->recipients[i]; i++) {
		struct err err = ERR_INIT;

		if (channel->check_recipient(rule->recipients[i], &err) < 0)
			problems_add(reading->problems, err.code, doc_path_index(reading->tmp, recipients, i), "%s", err.text);
	}
	check_duplicates(reading, recipients, rule->recipients);
	check_duplicates(reading, on, rule->on);
	for (size_t i = 0; rule->on[i]; i++) {
		bool found = false;

		for (const char *const *event = events; *event; event++)
			found |= strcmp(*event, rule->on[i]) == 0;
		if (!found)
			unknown(reading, doc_path_index(reading->tmp, on, i), "event", rule->on[i], events);
	}
}

static void read_rule(struct reading *reading, struct notify_rule *rule, json_t *object, const char *path)
{
	static const char *const default_on[] = { "start", "completed", "failed", "approval", "emergency", "readiness", NULL };
	const char *name = json_str(object, "channel", NULL);
	const struct channel *channel = name ? find_channel(reading, name, path) : NULL;
	struct notify_file file;

	read_joined(reading, notify_fields, sizeof(file), channel ? channel->fields : NULL, channel ? channel->params_size : 0,
		channel != NULL, object, path, &file);
	*rule = (struct notify_rule){
		.channel = file.channel ? file.channel : "",
		.recipients = file.recipients ? file.recipients : no_names(reading->project),
		.on = json_object_get(object, "on") && file.on ? file.on : mem_dup(reading->project, default_on, sizeof(default_on)),
		.config = object,
	};
	check_rule(reading, rule, channel, path);
}

static void read_notify(struct reading *reading, struct environment *environment, json_t *notify, const char *base)
{
	char *path = doc_path(reading->tmp, base, "notify");
	json_t *object;
	size_t i;

	if (notify && !json_is_array(notify)) {
		problems_add(reading->problems, ERR_INVALID, path,
			"expected a list of rules such as {channel: webhook, recipients: [...], on: [failed]}");
		return;
	}
	environment->notify = mem_array(reading->project, struct notify_rule, json_array_size(notify));
	json_array_foreach(notify, i, object)
		read_rule(reading, &environment->notify[environment->notify_count++], object, doc_path_index(reading->tmp, path, i));
}

/* Triggers are read by what watches them; here only what can hardly be meant is told: no object, an unknown action, a key that is nearly a
 * known one. */
static void check_trigger(struct reading *reading, const char *name, json_t *object, const char *base)
{
	static const char *const keys[] = { "signal", "query", "source", "component", "above", "below", "change", "for", "every", "window",
		"test", "baseline", "cooldown", "action", "description", NULL };
	static const char *const actions[] = { "rollback", "approve", "alert", NULL };
	char *path = doc_path(reading->tmp, base, name);
	const char *key, *action, *nearest;
	json_t *value;
	bool known;

	check_name(reading, path, "a trigger", name);
	if (!json_is_object(object)) {
		problems_add(reading->problems, ERR_INVALID, path,
			"expected a rule such as {signal: error_rate, above: 1%%, for: 5m, action: alert}");
		return;
	}
	json_object_foreach(object, key, value) {
		known = false;
		for (const char *const *at = keys; *at && !known; at++)
			known = strcmp(*at, key) == 0;
		nearest = known ? NULL : text_nearest(key, keys);
		if (nearest)
			problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, path, key),
				"unknown key '%s'; did you mean '%s'?", key, nearest);
	}
	value = json_object_get(object, "action");
	action = json_string_value(value);
	known = !value;
	for (const char *const *at = actions; *at && action && !known; at++)
		known = strcmp(*at, action) == 0;
	if (!known)
		problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, path, "action"),
			"the action of a trigger is rollback, approve or alert");
}

static void read_triggers(struct reading *reading, struct environment *environment, json_t *triggers, const char *base)
{
	char *path = doc_path(reading->tmp, base, "triggers");
	const char *name;
	json_t *object;

	environment->triggers = triggers;
	json_object_foreach(triggers, name, object)
		check_trigger(reading, name, object, path);
}

/* The name of one objective is flags_off; as flagsOff, like every other name of two words, it is read too. */
static void read_objectives(struct reading *reading, struct environment *environment, json_t *objectives, const char *base)
{
	char *path = doc_path(reading->tmp, base, "objectives");
	json_t *named = json_keep(reading->tmp, objectives ? json_copy(objectives) : json_object()),
	       *flags_off = json_object_get(named, "flags_off");

	if (flags_off && json_object_get(named, "flagsOff"))
		problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, path, "flagsOff"),
			"flagsOff and flags_off are the same; write one of them");
	if (flags_off) {
		json_put(named, "flagsOff", flags_off);
		(void)json_object_del(named, "flags_off");
	}
	fields_parse(reading->project, objectives_fields, named, path, NULL, false, &environment->objectives, reading->problems);
}

static void read_approvals(struct reading *reading, struct environment *environment, json_t *approvals, const char *base)
{
	static const char *const usual[] = { "execute", "force", "emergency", NULL };
	char *path = doc_path(reading->tmp, base, "approvals");
	struct approval_rule *rule = &environment->approvals;
	struct approvals_file file;
	const char *const *names;

	fields_parse(reading->project, approvals_fields, approvals, path, NULL, false, &file, reading->problems);
	rule->required = file.required;
	rule->expires_ms = file.expires_ms;
	names = file.subjects && *file.subjects ? file.subjects : file.required ? usual : NULL;
	for (size_t i = 0; names && names[i]; i++) {
		enum permission permission = PERMIT_EXECUTE;
		struct err err = ERR_INIT;

		if (permission_parse(names[i], &permission, &err) == 0 && !(PERMISSION_BIT(permission) & APPROVABLE))
			err_set(&err, ERR_INVALID, "nothing that needs the permission '%s' waits for approval: execute, force or emergency",
				names[i]);
		if (err.code)
			problems_add(reading->problems, err.code, doc_path_index(reading->tmp, doc_path(reading->tmp, path, "for"), i),
				"%s", err.text);
		else
			rule->permissions |= PERMISSION_BIT(permission);
	}
}

/* The whole */

static void read_environment(struct reading *reading, struct environment *environment, const char *name, json_t *object)
{
	char *path = doc_path(reading->tmp, "environments", name);
	struct environment_file file;

	*environment = (struct environment){ .name = mem_strdup(reading->project, name) };
	check_name(reading, path, "an environment", name);
	fields_parse(reading->project, environment_fields, object, path, NULL, false, &file, reading->problems);
	environment->protected = file.protected;
	environment->check_timeout_ms = file.check_timeout_ms;
	environment->readiness.every_ms = file.readiness.every_ms;
	environment->readiness.targets = file.readiness.targets;
	read_objectives(reading, environment, file.objectives, path);
	read_components(reading, environment, file.components, path);
	read_probes(reading, environment, file.probes, path);
	read_drains(reading, environment);
	read_triggers(reading, environment, file.triggers, path);
	read_notify(reading, environment, file.notify, path);
	read_approvals(reading, environment, file.approvals, path);
}

/* What the server's health endpoint looks at: probes without a component. */
static void read_dependencies(struct reading *reading, struct server_config *server, json_t *dependencies)
{
	static const struct environment none;
	const char *name;
	json_t *object;

	server->dependencies = mem_array(reading->project, struct probe_config, json_object_size(dependencies));
	json_object_foreach(dependencies, name, object)
		read_probe(reading, &none, &server->dependencies[server->dependency_count++], name, object, "server.dependencies");
}

/* The address of a whole host: cookies and routes stand at its root. Its name is one that clients may use. */
static void read_public_url(struct reading *reading, struct server_config *server, const char *url)
{
	const char *trouble = oidc_address_trouble(url), *host = strstr(url, "://");
	size_t count = 0;

	if (!trouble && host[3 + strcspn(host + 3, "/?#")] != '\0')
		trouble = "nothing follows the name and the port";
	if (trouble) {
		problems_add(reading->problems, ERR_INVALID, "server.publicUrl", "'%s' is no address of a server: %s", url, trouble);
		return;
	}
	server->public_url = url;
	host += 3;
	while (server->hosts && server->hosts[count])
		count++;
	server->hosts = mem_resize(reading->project, server->hosts, const char *, count + 2);
	server->hosts[count] = mem_strndup(reading->project, host, host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":"));
	server->hosts[count + 1] = NULL;
}

static void read_server(struct reading *reading, const struct server_file *file)
{
	struct server_config *server = &reading->project->server;

	*server = (struct server_config){
		.listen = file->listen,
		.certificate = file->certificate,
		.key = file->key,
		.hosts = file->hosts,
		.origins = file->origins,
		.workers = file->workers ? file->workers : 4,
		.connections = file->connections,
		.connections_per_address = file->connections_per_address,
	};
	if (file->public_url)
		read_public_url(reading, server, file->public_url);
	if (!file->certificate != !file->key)
		problems_add(reading->problems, ERR_INVALID, file->key ? "server.key" : "server.certificate",
			"a certificate and its key belong together; only one of them is named");
	read_dependencies(reading, server, file->dependencies);
}

static void check_store(struct reading *reading, const char *store)
{
	const char *address = text_starts_with(store, "postgres://") ? store + strlen("postgres://")
		: text_starts_with(store, "postgresql://")           ? store + strlen("postgresql://")
								     : NULL;
	const char *user, *password;

	if (strcmp(store, "sqlite") == 0)
		return;
	if (!address || !*address) {
		/* Only up to the first colon: behind it there may be a password. */
		problems_add(reading->problems, ERR_INVALID, "store", "'%.*s' is no store: sqlite, or postgres://HOST/DATABASE",
			(int)strcspn(store, ":"), store);
		return;
	}
	/* USER:PASSWORD@HOST, and the same as a parameter. */
	user = memchr(address, '@', strcspn(address, "/?"));
	password = user ? memchr(address, ':', (size_t)(user - address)) : NULL;
	if (password || strstr(address, "password="))
		problems_add(reading->problems, ERR_INVALID, "store",
			"a password must not stand in the project file: use PGPASSFILE or PGPASSWORD, or a pg_service file");
}

static const struct field previous_fields[] = {
	{ "key", FIELD_TYPE_SECRET, offsetof(struct seal_file, key), REQUIRED, NULL, 0, 0, NULL, "a former key" }, FIELD_END
};

static void read_seal(struct reading *reading, struct snapshots_config *snapshots, json_t *seal)
{
	struct seal_file file, former;
	const char *number;
	json_t *key;

	fields_parse(reading->project, seal_fields, seal, "snapshots.seal", NULL, false, &file, reading->problems);
	snapshots->keys = mem_array(reading->project, struct seal_key, 1 + json_object_size(file.previous));
	snapshots->keys[snapshots->key_count++] = (struct seal_key){ .version = file.version, .key = file.key };
	json_object_foreach(file.previous, number, key) {
		char *path = doc_path(reading->tmp, "snapshots.seal.previous", number), *end;
		int64_t version = strtoll(number, &end, 10);

		fields_parse(reading->project, previous_fields, json_keep(reading->project, json_pack("{s:O}", "key", key)), path, NULL,
			false, &former, reading->problems);
		if (*end || version < 1 || version >= file.version)
			problems_add(reading->problems, ERR_INVALID, path,
				"a former key has a number from 1 to %lld, that of the present one less one", (long long)file.version - 1);
		snapshots->keys[snapshots->key_count++] = (struct seal_key){ .version = version, .key = former.key };
	}
}

static void read_snapshots(struct reading *reading, const struct snapshots_file *file)
{
	struct snapshots_config *snapshots = &reading->project->snapshots;

	*snapshots = (struct snapshots_config){
		.keep = file->keep,
		.keep_within_ms = file->keep_within_ms,
		.deployments = file->deployments,
		.every_ms = file->every_ms,
		.verify_ms = file->verify.every_ms,
		.verify_share = file->verify.share,
	};
	if (file->seal)
		read_seal(reading, snapshots, file->seal);
	if (!file->copy)
		return;
	fields_parse(reading->project, copy_fields, file->copy, "snapshots.copy", NULL, false, &snapshots->copy, reading->problems);
	if (!snapshots->copy.prefix)
		snapshots->copy.prefix = reading->project->name;
	if (snapshots->copy.url && !text_starts_with(snapshots->copy.url, "https://") && !text_starts_with(snapshots->copy.url, "http://"))
		problems_add(reading->problems, ERR_INVALID, "snapshots.copy.url", "'%s' is no address: https://HOST", snapshots->copy.url);
	if (!file->seal)
		problems_add(reading->problems, ERR_INVALID, "snapshots.copy",
			"only sealed snapshots leave this machine: give them a key in snapshots.seal");
}

static void read_environments(struct reading *reading, json_t *environments)
{
	struct project *project = reading->project;
	const char *name;
	json_t *object;

	project->environments = mem_array(project, struct environment, json_object_size(environments));
	json_object_foreach(environments, name, object)
		read_environment(reading, &project->environments[project->environment_count++], name, object);
	if (environments && project->environment_count == 0)
		problems_add(reading->problems, ERR_INVALID, "environments", "a project needs at least one environment");
}

struct project *project_read(const void *ctx, const struct doc *doc, const struct catalogue *catalogue,
	bool (*external)(void *user, const char *driver), void *user, struct problems *problems)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct project *project = mem_zero(ctx, struct project);
	struct reading reading = { project, catalogue, external, user, problems, tmp };
	struct project_file file;
	const char **names;

	fields_parse(project, project_fields, doc_root(doc), "", NULL, false, &file, problems);
	project->name = file.project ? file.project : "";
	project->store = file.store ? file.store : "sqlite";
	project->doc = doc;
	check_store(&reading, project->store);
	read_server(&reading, &file.server);
	read_snapshots(&reading, &file.snapshots);
	read_environments(&reading, file.environments);
	names = project_environment_names(tmp, project);
	project->server.oidc = oidc_read(project, file.server.oidc, names, problems);
	project->server.hooks = hooks_read(project, file.server.hooks, names, problems, &project->server.hook_count);
	project->server.sinks = sinks_read(project, file.server.sinks, names, problems, &project->server.sink_count);
	return project;
}

const char **project_environment_names(const void *ctx, const struct project *project)
{
	const char **names = mem_array(ctx, const char *, project->environment_count + 1);

	for (size_t i = 0; i < project->environment_count; i++)
		names[i] = project->environments[i].name;
	return names;
}

struct environment *project_environment(const struct project *project, const char *name)
{
	for (size_t i = 0; i < project->environment_count; i++)
		if (strcmp(project->environments[i].name, name) == 0)
			return &project->environments[i];
	return NULL;
}

int project_find_environment(const struct project *project, const char *name, struct environment **ret, struct err *err)
{
	_cleanup_talloc_ void *tmp = NULL;
	struct environment *environment = project_environment(project, name);
	const char **names, *nearest;
	char *list;

	if (environment) {
		*ret = environment;
		return 0;
	}
	tmp = mem_context(NULL);
	names = project_environment_names(tmp, project);
	list = mem_strdup(tmp, "");
	for (size_t i = 0; i < project->environment_count; i++)
		list = mem_appendf(list, "%s%s", i ? ", " : "", names[i]);
	nearest = text_nearest(name, names);
	return err_set(err, ERR_NOT_FOUND, "there is no environment '%s'%s%s%s; there %s %s", name, nearest ? "; did you mean '" : "",
		nearest ? nearest : "", nearest ? "'?" : "", project->environment_count == 1 ? "is" : "are", *list ? list : "none");
}

struct component *environment_component(const struct environment *environment, const char *name)
{
	for (size_t i = 0; i < environment->component_count; i++)
		if (strcmp(environment->components[i].name, name) == 0)
			return &environment->components[i];
	return NULL;
}
