/* The compatibility rules of compat.h but for the schema's, which stand in compat_schema.c. Each rule looks at the facts that it needs and
 * says nothing
 * without them: silence is not a pass. Pure; any thread. */
#include "core/compat.h"

#include "base/text.h"
#include "core/compat_rules.h"
#include "core/migrating.h"
#include "core/version.h"
#include "data/json.h"

json_t *compat_details(json_t *facts, const char *component)
{
	json_t *one = json_object_get(facts, component), *details = json_object_get(one, "details");

	return json_is_object(details) ? details : one;
}

bool compat_returns(const struct compat_input *input, const char *component)
{
	return json_is_true(json_object_get(input->returning, component));
}

/* The names of both sides, each once, in the order of the target and then of what is live. */
json_t *compat_components(const void *ctx, const struct compat_input *input)
{
	json_t *names = json_keep(ctx, json_object()), *value;
	const char *name;

	json_object_foreach(input->target, name, value)
		json_object_set_new(names, name, json_true());
	json_object_foreach(input->live, name, value)
		json_object_set_new(names, name, json_true());
	return names;
}

/* Versions as migrations and schemas have them ("12", "20260102_add_email", "1.2.3"): runs of digits as numbers, the rest by bytes. */
static int compare_natural(const char *a, const char *b)
{
	while (*a && *b) {
		size_t digits_a = strspn(a, "0123456789"), digits_b = strspn(b, "0123456789");
		int order;

		if (!digits_a || !digits_b) {
			if (*a != *b)
				return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
			a++;
			b++;
			continue;
		}
		for (; digits_a > 1 && *a == '0'; digits_a--)
			a++;
		for (; digits_b > 1 && *b == '0'; digits_b--)
			b++;
		if (digits_a != digits_b)
			return digits_a < digits_b ? -1 : 1;
		order = memcmp(a, b, digits_a);
		if (order)
			return order;
		a += digits_a;
		b += digits_b;
	}
	return (*a != 0) - (*b != 0);
}

/* migration_reversible */

static char *names_text(const void *ctx, json_t *names)
{
	char *text = mem_strdup(ctx, "");
	json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
		text = mem_appendf(text, "%s%s", i ? ", " : "", json_string_value(name));
	return text;
}

static char *names_are(const void *ctx, json_t *names)
{
	return mem_appendf(names_text(ctx, names), json_array_size(names) == 1 ? " is" : " are");
}

/* The plan takes the schema back with the user's tool. */
static void check_migrating(json_t *way, const char *component, struct findings *findings)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *back = json_object_get(way, "back"), *irreversible = json_object_get(way, "irreversible"),
	       *open = json_object_get(way, "open"), *item;
	const char *to = json_str(way, "to", "");
	size_t i;

	json_array_foreach(irreversible, i, item) {
		json_t *evidence = json_pack("{s:O, s:s}", "migration", item, "target", to);

		findings_add(findings, "migration_reversible", false, SEVERITY_ERROR, component, evidence,
			"migration %s cannot go backwards, and has to, so that the schema serves the older code again; nothing is known that leads back",
			json_string_value(item));
		json_decref(evidence);
	}
	if (json_array_size(irreversible) == 0)
		findings_add(findings, "migration_reversible", false, SEVERITY_WARNING, component, way,
			"goes back by %s (%s) to %s; what stands in the columns and tables that they added is lost (it stays in the snapshot of the run)",
			text_count(tmp, json_array_size(back), "migration"), names_text(tmp, back), *to ? to : "before the first");
	if (json_array_size(open))
		findings_add(findings, "migration_fenced", false, SEVERITY_WARNING, component, way,
			"%s not stopped while the schema goes back, and may fail on it, or write what is lost", names_are(tmp, open));
	else if (json_array_size(json_object_get(way, "fenced")) == 0)
		findings_add(findings, "migration_fenced", false, SEVERITY_WARNING, component, way,
			"no service `needs` this database, so nothing is stopped while its schema goes back: an application that runs may fail on it, or "
			"migrate it forward again");
	else
		findings_add(findings, "migration_fenced", true, SEVERITY_INFO, component, way, "%s stopped while the schema goes back",
			names_are(tmp, json_object_get(way, "fenced")));
}

/* In the order in which they were applied, where that was observed; else in that of their names. */
static bool lies_between(json_t *live, const char *migration, const char *now, const char *then)
{
	json_t *names, *name;
	bool among = false;
	size_t i;

	if (!json_is_array(json_object_get(live, "migrations")))
		return compare_natural(migration, then) > 0 && compare_natural(migration, now) <= 0;
	names = migrations_between(live, then);
	json_array_foreach(names, i, name)
		among = among || strcmp(json_string_value(name), migration) == 0;
	json_decref(names);
	return among;
}

static void check_migration(const struct compat_input *input, const char *component, struct findings *findings)
{
	json_t *live = compat_details(input->live, component), *target = compat_details(input->target, component), *item;
	const char *now = json_str(live, "migration", NULL), *then = json_str(target, "migration", NULL);
	json_t *way = json_object_get(input->migrating, component);
	/* Known by the tool's scripts: none leads back, which a copy does not need. Declared by the user: whatever made them say so. */
	bool known = json_is_object(json_object_get(live, "downMigrations"));
	bool data_returns = !input->preserve_data && compat_returns(input, component);
	size_t witnesses = 0, i;

	if (way) {
		check_migrating(way, component, findings);
		return;
	}
	if (!now || !then)
		return;
	json_array_foreach(json_object_get(live, "irreversible"), i, item) {
		const char *migration = json_string_value(item);
		json_t *evidence;

		if (!data_returns || !migration || !lies_between(live, migration, now, then))
			continue;
		evidence = json_pack("{s:s, s:s, s:s}", "migration", migration, "live", now, "target", then);
		findings_add(findings, "migration_reversible", false, known ? SEVERITY_WARNING : SEVERITY_ERROR, component, evidence,
			"migration %s cannot go backwards, and lies between %s (now) and %s (the target)%s", migration, now,
			*then ? then : "none",
			known ? ": the copy that is restored needs no way back, but what was written since is lost" : "");
		json_decref(evidence);
		witnesses++;
	}
	if (!witnesses)
		findings_add(findings, "migration_reversible", true, SEVERITY_INFO, component, NULL, "%s",
			!data_returns                    ? "the data stays, so no migration goes backwards"
				: strcmp(now, then) == 0 ? "no migration lies between"
							 : "every migration in between can go backwards");
}

/* version_jump */

static void check_jump(const struct compat_input *input, struct findings *findings)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct version from, to;
	struct err err = ERR_INIT;
	json_t *evidence;
	bool jump;

	if (!input->from_version || !input->to_version || version_parse(tmp, input->from_version, &from, &err) < 0 ||
		version_parse(tmp, input->to_version, &to, &err) < 0)
		return;
	if (from.kind != VERSION_SEMVER || to.kind != VERSION_SEMVER)
		return;
	jump = version_skips_major(&from, &to);
	evidence = json_pack("{s:s, s:s}", "from", from.text, "to", to.text);
	findings_add(findings, "version_jump", !jump, jump ? SEVERITY_WARNING : SEVERITY_INFO, NULL, evidence,
		jump ? "from %s to %s skips a whole major line" : "no major line lies between %s and %s", from.text, to.text);
	json_decref(evidence);
}

/* config_compatibility */

/* An object that was empty has a key of its own only until something is in it. */
static bool is_filled(json_t *live, const char *key, json_t *type)
{
	size_t length = strlen(key);
	const char *name;
	json_t *value;

	if (!json_is_string(type) || strcmp(json_string_value(type), "object") != 0)
		return false;
	json_object_foreach(live, name, value)
		if (strncmp(name, key, length) == 0 && (name[length] == '.' || name[length] == '['))
			return true;
	return false;
}

static size_t check_config_keys(json_t *live, json_t *target, const char *component, struct findings *findings)
{
	const char *key;
	json_t *type, *evidence;
	size_t witnesses = 0;

	json_object_foreach(target, key, type) {
		json_t *now = json_object_get(live, key);

		if ((now && json_equal(now, type)) || is_filled(live, key, type))
			continue;
		if (!now) {
			evidence = json_pack("{s:s, s:O}", "key", key, "target", type);
			findings_add(findings, "config_compatibility", false, SEVERITY_ERROR, component, evidence,
				"key %s is gone, and the code of the target had it; take the configuration back as well", key);
		} else {
			evidence = json_pack("{s:s, s:O, s:O}", "key", key, "live", now, "target", type);
			findings_add(findings, "config_compatibility", false, SEVERITY_WARNING, component, evidence,
				"key %s is of another type now than the code of the target had it", key);
		}
		json_decref(evidence);
		witnesses++;
	}
	return witnesses;
}

static void check_config(const struct compat_input *input, const char *component, struct findings *findings)
{
	json_t *live = json_object_get(compat_details(input->live, component), "configKeys");
	json_t *target = json_object_get(compat_details(input->target, component), "configKeys");

	if (!json_is_object(live) || !json_is_object(target))
		return;
	if (compat_returns(input, component))
		findings_add(findings, "config_compatibility", true, SEVERITY_INFO, component, NULL,
			"the configuration goes back together with the code");
	else if (check_config_keys(live, target, component, findings) == 0)
		findings_add(findings, "config_compatibility", true, SEVERITY_INFO, component, NULL,
			"the configuration stays, and has every key of the target with its type");
}

/* service_dependencies: after the rollback a component has the facts of the target when it returns, those of now when it stays. */

static json_t *facts_after(const struct compat_input *input, const char *component)
{
	return compat_returns(input, component) ? input->target : input->live;
}

static const char *version_after(const struct compat_input *input, const char *component)
{
	json_t *facts = facts_after(input, component);
	const char *version = json_str(compat_details(facts, component), "version", NULL);

	return version ? version : json_str(json_object_get(facts, component), "version", NULL);
}

/* -1, 0, 1 in *ret; false when the two cannot be ordered. */
static bool compare_versions(const char *a, const char *b, int *ret)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct version one = { .kind = VERSION_OTHER }, other = one;
	struct err err = ERR_INIT;

	*ret = 0;
	if (strcmp(a, b) == 0)
		return true;
	if (version_parse(tmp, a, &one, &err) == 0 && version_parse(tmp, b, &other, &err) == 0 && version_compare(&one, &other, ret))
		return true;
	/* "3" against "12", "20260102_x" against "20260301_y", "v2" against "v10": numbers first. SHAs have no order. */
	if (one.kind == VERSION_SHA || other.kind == VERSION_SHA)
		return false;
	a += *a == 'v';
	b += *b == 'v';
	if (!strspn(a, "0123456789") || !strspn(b, "0123456789"))
		return false;
	*ret = compare_natural(a, b);
	return true;
}

enum answer { ANSWER_NO, ANSWER_YES, ANSWER_UNKNOWN };

static enum answer satisfies(const char *version, const char *need)
{
	bool equal = false, more = false;
	int order;

	if (need[0] == '>') {
		more = true;
		equal = need[1] == '=';
		need += 1 + equal;
	} else if (need[0] == '=') {
		equal = true;
		need++;
	} else {
		more = equal = true;
	}
	while (*need == ' ')
		need++;
	if (!compare_versions(version, need, &order))
		return equal && !more ? ANSWER_NO : ANSWER_UNKNOWN;
	return (equal && order == 0) || (more && order > 0) ? ANSWER_YES : ANSWER_NO;
}

/* Adds to `ret` the components that need `component` after the rollback, and those that need these. */
static void add_dependents(const struct compat_input *input, json_t *names, const char *component, json_t *ret)
{
	const char *name;
	json_t *value;

	json_object_foreach(names, name, value) {
		json_t *needs = json_object_get(compat_details(facts_after(input, name), name), "needs");

		if (!json_object_get(needs, component) || json_object_get(ret, name))
			continue;
		json_object_set_new(ret, name, json_true());
		add_dependents(input, names, name, ret);
	}
}

/* "; web and what needs it do not work then either". Also kept in the evidence. */
static char *tell_dependents(const void *ctx, const struct compat_input *input, json_t *names, const char *component, json_t *evidence)
{
	json_t *dependents = json_keep(ctx, json_object()), *list = json_array(), *value;
	char *text = mem_strdup(ctx, "");
	const char *name;

	add_dependents(input, names, component, dependents);
	json_object_del(dependents, component);
	json_object_foreach(dependents, name, value) {
		text = mem_appendf(text, "%s%s", *text ? ", " : "; so do not work either: ", name);
		json_array_append_new(list, json_string(name));
	}
	if (json_array_size(list) > 0)
		json_put(evidence, "affects", list);
	json_decref(list);
	return text;
}

static void check_need(const struct compat_input *input, json_t *names, const char *component, const char *other, const char *need,
	struct findings *findings)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	const char *version = version_after(input, other);
	enum answer answer = !version ? ANSWER_UNKNOWN : *version ? satisfies(version, need) : ANSWER_NO;
	json_t *evidence = json_keep(tmp,
		json_pack("{s:s, s:s, s:s, s:s}", "component", component, "needs", other, "wanted", need, "version",
			version ? version : ""));

	if (answer == ANSWER_YES)
		findings_add(findings, "service_dependencies", true, SEVERITY_INFO, component, evidence, "needs %s %s, and will find %s",
			other, need, version);
	else if (answer == ANSWER_NO)
		findings_add(findings, "service_dependencies", false, SEVERITY_ERROR, component, evidence,
			"needs %s %s, but would find %s after the rollback%s", other, need, *version ? version : "none",
			tell_dependents(findings, input, names, component, evidence));
	else if (version)
		findings_add(findings, "service_dependencies", false, SEVERITY_INFO, component, evidence,
			"needs %s %s and would find %s; these two cannot be ordered", other, need, version);
	else
		findings_add(findings, "service_dependencies", false, SEVERITY_INFO, component, evidence,
			"needs %s %s, and no version of that is known", other, need);
}

static void check_dependencies(const struct compat_input *input, json_t *names, const char *component, struct findings *findings)
{
	json_t *needs = json_object_get(compat_details(facts_after(input, component), component), "needs"), *need;
	const char *other;

	/* Whatever stands between two components that stay was so before. */
	json_object_foreach(needs, other, need)
		if (json_is_string(need) && (compat_returns(input, component) || compat_returns(input, other)))
			check_need(input, names, component, other, json_string_value(need), findings);
}

/* flag_compatibility */

static void check_flags(const struct compat_input *input, const char *component, struct findings *findings)
{
	json_t *live = json_object_get(compat_details(input->live, component), "flags");
	json_t *target = json_object_get(compat_details(input->target, component), "flags"), *state, *evidence;
	const char *flag;
	size_t witnesses = 0;

	if (!json_is_object(live) || !json_is_object(target))
		return;
	json_object_foreach(live, flag, state) {
		if (json_object_get(target, flag))
			continue;
		evidence = json_pack("{s:s, s:O}", "flag", flag, "live", state);
		findings_add(findings, "flag_compatibility", false, SEVERITY_INFO, component, evidence,
			"flag %s is newer than the target: its code does not ask for it", flag);
		json_decref(evidence);
		witnesses++;
	}
	json_object_foreach(target, flag, state) {
		if (json_object_get(live, flag))
			continue;
		evidence = json_pack("{s:s, s:O}", "flag", flag, "target", state);
		findings_add(findings, "flag_compatibility", false, SEVERITY_WARNING, component, evidence,
			"flag %s is gone, and the code of the target may ask for it", flag);
		json_decref(evidence);
		witnesses++;
	}
	if (!witnesses)
		findings_add(findings, "flag_compatibility", true, SEVERITY_INFO, component, NULL, "the target knew the same flags");
}

void compat_check(const struct compat_input *input, struct findings *findings)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *names = compat_components(tmp, input), *value;
	const char *name;

	compat_check_schemas(input, names, findings);
	json_object_foreach(names, name, value)
		check_migration(input, name, findings);
	check_jump(input, findings);
	json_object_foreach(names, name, value)
		check_config(input, name, findings);
	json_object_foreach(names, name, value)
		check_dependencies(input, names, name, findings);
	json_object_foreach(names, name, value)
		check_flags(input, name, findings);
}
