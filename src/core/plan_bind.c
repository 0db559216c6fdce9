/* A plan against an environment: is everything there that it names, and can it do what the plan asks? What a template will fill in is left
 * alone here;
 * it is checked again when it is known. Pure; any thread. */
#include "core/plan.h"

#include "base/text.h"
#include "core/drain.h"
#include "core/steptype.h"
#include "data/json.h"
#include "data/template.h"

struct binding {
	const struct environment *environment;
	const struct catalogue *catalogue;
	struct problems *problems;
	const char **components, **probes; /* names, NULL-terminated */
	void *tmp;
};

static char *parameter_path(struct binding *binding, const struct step *step, const char *parameter)
{
	return doc_path(binding->tmp, doc_path(binding->tmp, step->path, "parameters"), parameter);
}

static void unknown_name(struct binding *binding, const char *path, const char *what, const char *name, const char *const *known)
{
	const char *nearest = text_nearest(name, known);

	problems_add(binding->problems, ERR_NOT_FOUND, path, "environment '%s' has no %s '%s'%s%s%s", binding->environment->name, what,
		name, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* The text of a parameter that is there and holds no template. */
static const char *plain_parameter(const struct step *step, const char *name)
{
	const char *value = name ? json_str(step->parameters, name, NULL) : NULL;

	return value && !template_has(value) ? value : NULL;
}

/* What is to be done about work in flight has to be said in the project file. */
static void bind_side(struct binding *binding, const struct step *step, const struct step_type *type, const struct component *component,
	const char *path)
{
	const char *side = type->side ? type->side(step->parameters) : NULL;

	if (!side)
		return;
	if (!component->drain)
		problems_add(binding->problems, ERR_INVALID, path, "component '%s' has no `drain`", component->name);
	else if (strcmp(side, "requeue") == 0 && !drain_requeues(component->drain))
		problems_add(binding->problems, ERR_INVALID, path, "component '%s' has no `drain.requeue`", component->name);
}

static void bind_component(struct binding *binding, const struct step *step, const struct step_type *type)
{
	const char *name = plain_parameter(step, type->component_param), *path;
	const struct component *component;
	const struct driver *driver;

	if (!name)
		return;
	path = parameter_path(binding, step, type->component_param);
	component = environment_component(binding->environment, name);
	if (!component) {
		unknown_name(binding, path, "component", name, binding->components);
		return;
	}
	bind_side(binding, step, type, component, path);
	/* A driver of somebody else's tells its kind only when it runs. */
	driver = component->driver ? catalogue_driver(binding->catalogue, component->driver) : NULL;
	if (driver && type->kinds && !(type->kinds & (1u << driver->kind)))
		problems_add(binding->problems, ERR_UNSUPPORTED, path, "component '%s' (driver %s, kind %s) cannot do a %s step", name,
			driver->name, driver_kind_name(driver->kind), type->name);
}

static void bind_names(struct binding *binding, const struct step *step, const char *parameter, const char *what, const char *const *known)
{
	json_t *list = json_object_get(step->parameters, parameter), *item;
	size_t count = json_is_string(list) ? 1 : json_array_size(list);

	for (size_t i = 0; i < count; i++) {
		const char *name;
		bool found = false;

		item = json_is_string(list) ? list : json_array_get(list, i);
		name = json_string_value(item);
		if (!name || template_has(name))
			continue;
		for (const char *const *at = known; *at && !found; at++)
			found = strcmp(*at, name) == 0;
		if (!found)
			unknown_name(binding, doc_path_index(binding->tmp, parameter_path(binding, step, parameter), i), what, name, known);
	}
}

static void bind_recipient(struct binding *binding, const struct step *step, const struct channel *channel, const char *recipient,
	size_t position)
{
	struct err err = ERR_INIT;

	if (!recipient || template_has(recipient) || channel->check_recipient(recipient, &err) == 0)
		return;
	problems_add(binding->problems, err.code, doc_path_index(binding->tmp, parameter_path(binding, step, "recipients"), position), "%s",
		err.text);
}

static void bind_notification(struct binding *binding, const struct step *step)
{
	const char *name = plain_parameter(step, "channel"), **names, *nearest;
	json_t *recipients = json_object_get(step->parameters, "recipients"), *recipient;
	const struct channel *channel;
	size_t count = 0, i;

	if (!name)
		return;
	channel = catalogue_channel(binding->catalogue, name);
	if (!channel) {
		while (binding->catalogue->channels && binding->catalogue->channels[count])
			count++;
		names = mem_array(binding->tmp, const char *, count + 1);
		for (i = 0; i < count; i++)
			names[i] = binding->catalogue->channels[i]->name;
		nearest = text_nearest(name, names);
		problems_add(binding->problems, ERR_UNSUPPORTED, parameter_path(binding, step, "channel"), "unknown channel '%s'%s%s%s",
			name, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : " (see `unship channels`)");
		return;
	}
	if (!channel->check_recipient)
		return;
	if (json_is_string(recipients))
		bind_recipient(binding, step, channel, json_string_value(recipients), 0);
	json_array_foreach(recipients, i, recipient)
		bind_recipient(binding, step, channel, json_string_value(recipient), i);
}

static void bind_undo(struct binding *binding, const struct step *step)
{
	const char *name = step_component(step);

	if (name && !environment_component(binding->environment, name))
		unknown_name(binding, parameter_path(binding, step, "subject"), "component", name, binding->components);
}

static void bind_step(struct binding *binding, const struct step *step)
{
	const struct step_type *type = step_type(step->type);
	const char *environment = plain_parameter(step, "environment");

	if (!type)
		return;
	if (type == step_type("deployment") && environment && strcmp(environment, binding->environment->name) != 0)
		problems_add(binding->problems, ERR_INVALID, parameter_path(binding, step, "environment"),
			"this step is for environment '%s', but the plan is for '%s'; write ${context.environment}", environment,
			binding->environment->name);
	switch (type->doer) {
	case STEP_BY_COMPONENT:
		bind_component(binding, step, type);
		break;
	case STEP_BY_DRIVER:
		if (!catalogue_driver(binding->catalogue, type->driver))
			problems_add(binding->problems, ERR_UNSUPPORTED, step->path,
				"a %s step needs driver '%s', which this program does not have", type->name, type->driver);
		break;
	case STEP_NOTIFIES:
		bind_notification(binding, step);
		break;
	case STEP_PROBES:
		bind_names(binding, step, "components", "component", binding->components);
		bind_names(binding, step, "probes", "probe", binding->probes);
		break;
	case STEP_UNDOES:
		bind_undo(binding, step);
		break;
	case STEP_WAITS:
		break;
	}
}

void plan_bind(const struct plan *plan, const struct environment *environment, const struct catalogue *catalogue, struct problems *problems)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct binding binding = { .environment = environment, .catalogue = catalogue, .problems = problems, .tmp = tmp };

	binding.components = mem_array(tmp, const char *, environment->component_count + 1);
	for (size_t i = 0; i < environment->component_count; i++)
		binding.components[i] = environment->components[i].name;
	binding.probes = mem_array(tmp, const char *, environment->probe_count + 1);
	for (size_t i = 0; i < environment->probe_count; i++)
		binding.probes[i] = environment->probes[i].name;
	for (size_t i = 0; i < plan->step_count; i++)
		bind_step(&binding, &plan->steps[i]);
}
