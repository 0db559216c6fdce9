/* Work in flight (drain.h): the fields of `drain`, its names against the environment, and the request for the driver, which sees nothing
 * but what it is given. Pure; any thread. */
#include "core/drain.h"

#include "base/text.h"
#include "data/json.h"

/* clang-format off */
static const struct field idle_fields[] = {
	FIELD_MAP(struct drain_idle, probe, OPTIONAL, "a probe that passes when it is idle: type and parameters"),
	FIELD_PROGRAM(struct drain_idle, argv, OPTIONAL, "program that tells: exit code 0 idle, 1 not yet; a number in its last line is how much is left"),
	FIELD_END
};
static const struct field requeue_fields[] = {
	FIELD_LIST(struct drain_requeue, queues, OPTIONAL, "components with queues: what was taken from them and not finished is put back"),
	FIELD_PROGRAM(struct drain_requeue, argv, OPTIONAL, "program that puts back what is left; it must be safe to repeat"),
	FIELD_END
};
const struct field drain_fields[] = {
	FIELD_PROGRAM(struct drain_config, pause, OPTIONAL, "program that lets it take no new work; it must be safe to repeat"),
	FIELD_GROUP(struct drain_config, idle, OPTIONAL, idle_fields, "how to tell that nothing is in work"),
	FIELD_ANY_(struct drain_config, every_ms, MS, NULL, 10, 3600000, NULL, "time between two looks at it", DEFAULT("1s")),
	FIELD_ANY_(struct drain_config, limit_ms, MS, NULL, 1, 12 * 3600000.0, NULL, "how long is waited for it to be idle", DEFAULT("60s")),
	FIELD_CHOICE(struct drain_config, on_limit, DEFAULT("fail"), "fail|continue", "what happens when it is not idle by then"),
	FIELD_GROUP(struct drain_config, requeue, OPTIONAL, requeue_fields, "once it is stopped: how what it had in its hands goes back"),
	FIELD_PROGRAM(struct drain_config, resume, OPTIONAL, "program that lets it take work again; it must be safe to repeat"),
	FIELD_DIR(struct drain_config, dir, DEFAULT("."), "working directory of these programs, relative to the project"),
	FIELD_MAP(struct drain_config, env, OPTIONAL, "environment variables of these programs: text, or secret references"),
	FIELD_END
};
/* clang-format on */

static bool is_given(const char **list)
{
	return list && list[0];
}

bool drain_requeues(const struct drain_config *drain)
{
	return is_given(drain->requeue.queues) || is_given(drain->requeue.argv);
}

static void unknown(struct problems *problems, const char *path, const char *what, const char *name, const char *const *known)
{
	const char *nearest = text_nearest(name, known);

	problems_add(problems, ERR_INVALID, path, "unknown %s '%s'%s%s%s", what, name, nearest ? "; did you mean '" : "",
		nearest ? nearest : "", nearest ? "'?" : "");
}

static bool has_queues(const struct catalogue *catalogue, const struct component *component)
{
	const struct driver *driver = catalogue ? catalogue_driver(catalogue, component->driver) : NULL;

	for (const struct field *field = driver ? driver->fields : NULL; field && field->member; field++)
		if (strcmp(field->member, DRAIN_QUEUES_FIELD) == 0)
			return json_object_size(json_object_get(component->config, DRAIN_QUEUES_FIELD)) > 0;
	return !catalogue;
}

static void check_queues(const struct environment *environment, const struct drain_config *drain, const struct catalogue *catalogue,
	const char *path, struct problems *problems)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	const char **names = mem_array(tmp, const char *, environment->component_count + 1), **queues = drain->requeue.queues;
	char *list = doc_path(tmp, doc_path(tmp, path, "requeue"), "queues");

	for (size_t i = 0; i < environment->component_count; i++)
		names[i] = environment->components[i].name;
	for (size_t i = 0; queues && queues[i]; i++) {
		const struct component *queue = environment_component(environment, queues[i]);

		if (!queue)
			unknown(problems, doc_path_index(tmp, list, i), "component", queues[i], names);
		else if (!has_queues(catalogue, queue))
			problems_add(problems, ERR_INVALID, doc_path_index(tmp, list, i), "component '%s' has no `queues`", queues[i]);
	}
}

void drain_check(const struct environment *environment, const struct component *component, const struct catalogue *catalogue,
	struct problems *problems)
{
	_cleanup_talloc_ char *path = doc_path(NULL, component->path, "drain");
	const struct driver *driver = catalogue ? catalogue_driver(catalogue, component->driver) : NULL;

	if (driver && driver->kind != DRIVER_SERVICE && driver->kind != DRIVER_COMMAND)
		problems_add(problems, ERR_INVALID, path, "only a service has work in flight; driver '%s' is of kind %s", driver->name,
			driver_kind_name(driver->kind));
	if (component->drain->idle.probe && is_given(component->drain->idle.argv))
		problems_add(problems, ERR_INVALID, path, "idle: either `probe` or `argv`, not both");
	check_queues(environment, component->drain, catalogue, path, problems);
}

static json_t *component_json(const struct component *component)
{
	json_t *object = component->config ? json_copy(component->config) : json_object();

	json_put_str(object, "name", component->name);
	json_put_str(object, "driver", component->driver);
	return object;
}

json_t *drain_driver_config(const void *ctx, const struct environment *environment, const struct component *component, const char *side)
{
	json_t *config = json_keep(ctx, json_object()), *queues = json_object();
	const struct drain_config *drain = component->drain;
	const struct probe_config *probe = drain ? drain->probe : NULL;
	const struct component *other;

	json_put_str(config, "side", side);
	json_put(config, "drain", json_object_get(component->config, "drain"));
	json_object_set_new(config, "service", component_json(component));
	if (probe) {
		json_t *object = json_pack("{s:s, s:s, s:I, s:O}", "name", probe->name, "type", probe->type, "timeoutMs",
			(json_int_t)probe->timeout_ms, "config", probe->config);

		other = probe->component ? environment_component(environment, probe->component) : NULL;
		if (other)
			json_object_set_new(object, "component", component_json(other));
		json_object_set_new(config, "probe", object);
	}
	for (const char **name = drain ? drain->requeue.queues : NULL; name && *name; name++) {
		other = environment_component(environment, *name);
		if (other)
			json_object_set_new(queues, *name, component_json(other));
	}
	json_put(config, "queues", queues);
	json_decref(queues);
	return config;
}
