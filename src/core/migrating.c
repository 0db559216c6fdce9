/* Migrations in plans; see migrating.h. Pure; any thread. */
#include "core/migrating.h"

#include "base/text.h"
#include "core/compat.h"
#include "core/steptype.h"
#include "data/json.h"

/* ---- how far ---- */

/* How many are applied up to and with it; -1: it is not among them. */
static int place_of(json_t *applied, const char *migration)
{
	if (!*migration)
		return 0;
	for (size_t i = json_array_size(applied); i > 0; i--) {
		const char *one = json_string_value(json_array_get(applied, i - 1));

		if (one && strcmp(one, migration) == 0)
			return (int)i;
	}
	return -1;
}

enum migration_way migration_way(json_t *live, json_t *target)
{
	const char *now = json_str(live, "migration", NULL), *then = json_str(target, "migration", NULL);

	/* Without the list of what is applied nobody said what comes after what. */
	if (!now || !then || !json_is_array(json_object_get(live, "migrations")))
		return MIGRATION_UNKNOWN;
	if (strcmp(now, then) == 0)
		return MIGRATION_SAME;
	return place_of(json_object_get(live, "migrations"), then) >= 0 ? MIGRATION_BACK : MIGRATION_APART;
}

json_t *migrations_between(json_t *live, const char *to)
{
	json_t *applied = json_object_get(live, "migrations"), *names = json_array();
	int keep = place_of(applied, to);

	for (int i = (int)json_array_size(applied); keep >= 0 && i > keep; i--)
		(void)json_array_append(names, json_array_get(applied, (size_t)i - 1));
	return names;
}

bool migration_wanted(const struct component *component, json_t *live, json_t *target)
{
	json_t *migrations = json_object_get(component->config, "migrations");
	const char *back = json_str(migrations, "back", "needed");

	if (!json_str(migrations, "tool", NULL) || strcmp(back, "never") == 0)
		return false;
	return strcmp(back, "always") == 0 || compat_schema_verdict(live, target) == COMPAT_REFUSED;
}

json_t *migration_scripts(json_t *live, json_t *recorded, const char *to, bool *ret_kept)
{
	json_t *here = json_object_get(live, "downMigrations"), *kept = json_object_get(recorded, "downMigrations"),
	       *scripts = json_object(), *name;
	json_t *names = migrations_between(live, to);
	size_t i;

	*ret_kept = false;
	json_array_foreach(names, i, name) {
		const char *migration = json_string_value(name), *now = json_str(here, migration, NULL),
			   *then = json_str(kept, migration, NULL);

		if (then && (!now || strcmp(now, then) != 0))
			*ret_kept = true;
		json_put_str(scripts, migration, then ? then : now);
	}
	json_decref(names);
	return scripts;
}

/* ---- what a plan takes back ---- */

static bool needs(const struct environment *environment, const char *component, const char *other, size_t depth)
{
	const struct component *one = environment_component(environment, component);

	for (const char **need = one ? one->needs : NULL; need && *need; need++)
		if (strcmp(*need, other) == 0 || (depth && needs(environment, *need, other, depth - 1)))
			return true;
	return false;
}

static bool is_stopped(const struct plan *plan, json_t *observed, const char *service)
{
	for (size_t i = 0; i < plan->step_count; i++)
		if (strcmp(plan->steps[i].type, "service") == 0 &&
			strcmp(json_str(plan->steps[i].parameters, "service", ""), service) == 0 &&
			strcmp(json_str(plan->steps[i].parameters, "action", ""), "stop") == 0)
			return true;
	return strcmp(json_str(json_object_get(observed, service), "state", ""), "stopped") == 0;
}

/* Those that the plan knows no script for. */
static json_t *irreversible_ones(json_t *back, json_t *scripts)
{
	json_t *irreversible = json_array(), *name;
	size_t i;

	json_array_foreach(back, i, name)
		if (!json_object_get(scripts, json_string_value(name)))
			(void)json_array_append(irreversible, name);
	return irreversible;
}

json_t *plan_migrating(const struct environment *environment, const struct plan *plan, json_t *observed,
	enum driver_kind (*kind_of)(void *user, const char *driver), void *user)
{
	json_t *all = json_object();

	for (size_t i = 0; i < plan->step_count; i++) {
		const char *to = json_str(plan->steps[i].parameters, "migrateTo", NULL), *name = step_component(&plan->steps[i]);
		json_t *details = name ? json_object_get(json_object_get(observed, name), "details") : NULL, *one, *fenced, *open, *back;

		if (!to || !name || strcmp(plan->steps[i].type, "data") != 0)
			continue;
		one = json_object();
		fenced = json_array();
		open = json_array();
		back = migrations_between(details, to);
		for (size_t k = 0; k < environment->component_count; k++) {
			const char *other = environment->components[k].name;

			if (kind_of(user, environment->components[k].driver) == DRIVER_SERVICE &&
				needs(environment, other, name, environment->component_count))
				(void)json_array_append_new(is_stopped(plan, observed, other) ? fenced : open, json_string(other));
		}
		json_put_str(one, "to", to);
		(void)json_object_set_new(one, "irreversible",
			irreversible_ones(back, json_object_get(plan->steps[i].parameters, "downMigrations")));
		(void)json_object_set_new(one, "back", back);
		(void)json_object_set_new(one, "fenced", fenced);
		(void)json_object_set_new(one, "open", open);
		(void)json_object_set_new(all, name, one);
	}
	return all;
}
