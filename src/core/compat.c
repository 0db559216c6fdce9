/* The compatibility rules of compat.h but for the schema's, which stand in compat_schema.c. Each rule looks at the facts that it needs and
 * says nothing
 * without them: silence is not a pass. Pure; any thread. */
#include "core/compat.h"

#include "base/text.h"
#include "core/compat_rules.h"
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

static void check_migration(const struct compat_input *input, const char *component, struct findings *findings)
{
	json_t *live = compat_details(input->live, component), *target = compat_details(input->target, component), *item;
	const char *now = json_str(live, "migration", NULL), *then = json_str(target, "migration", NULL);
	bool data_returns = !input->preserve_data && compat_returns(input, component);
	size_t witnesses = 0, i;

	if (!now || !then)
		return;
	json_array_foreach(json_object_get(live, "irreversible"), i, item) {
		const char *migration = json_string_value(item);
		json_t *evidence;

		if (!data_returns || !migration || compare_natural(migration, then) <= 0 || compare_natural(migration, now) > 0)
			continue;
		evidence = json_pack("{s:s, s:s, s:s}", "migration", migration, "live", now, "target", then);
		findings_add(findings, "migration_reversible", false, SEVERITY_ERROR, component, evidence,
			"migration %s cannot go backwards, and lies between %s (now) and %s (the target)", migration, now,
			*then ? then : "none");
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

static size_t check_config_keys(json_t *live, json_t *target, const char *component, struct findings *findings)
{
	const char *key;
	json_t *type, *evidence;
	size_t witnesses = 0;

	json_object_foreach(target, key, type) {
		json_t *now = json_object_get(live, key);

		if (now && json_equal(now, type))
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

static void check_need(const struct compat_input *input, const char *component, const char *other, const char *need,
	struct findings *findings)
{
	const char *version = version_after(input, other);
	json_t *evidence;

	/* Whatever stands between two components that stay was so before. */
	if (!need || !version || (!compat_returns(input, component) && !compat_returns(input, other)))
		return;
	evidence = json_pack("{s:s, s:s, s:s, s:s}", "component", component, "needs", other, "wanted", need, "version", version);
	switch (satisfies(version, need)) {
	case ANSWER_YES:
		findings_add(findings, "service_dependencies", true, SEVERITY_INFO, component, evidence, "needs %s %s, and will find %s",
			other, need, version);
		break;
	case ANSWER_NO:
		findings_add(findings, "service_dependencies", false, SEVERITY_ERROR, component, evidence,
			"needs %s %s, but would find %s after the rollback", other, need, version);
		break;
	case ANSWER_UNKNOWN:
		findings_add(findings, "service_dependencies", false, SEVERITY_INFO, component, evidence,
			"needs %s %s and would find %s; these two cannot be ordered", other, need, version);
		break;
	}
	json_decref(evidence);
}

static void check_dependencies(const struct compat_input *input, const char *component, struct findings *findings)
{
	json_t *needs = json_object_get(compat_details(facts_after(input, component), component), "needs"), *need;
	const char *other;

	json_object_foreach(needs, other, need)
		check_need(input, component, other, json_string_value(need), findings);
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
		check_dependencies(input, name, findings);
	json_object_foreach(names, name, value)
		check_flags(input, name, findings);
}
