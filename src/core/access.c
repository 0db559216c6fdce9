/* Who may do what, as tables: names of permissions, roles as sets of them; and the questions that are asked of a principal. To add a
 * role: a row in `roles`. To add a permission: a member of
 * the enum, a name and words here, and the roles that have it.
 * Pure; any thread. */
#include "core/access.h"

#include <string.h>

#include "base/text.h"
#include "data/json.h"

#define GRANTS_MAX 1000

static const char *const permission_names[] = {
	[PERMIT_VIEW] = "view",
	[PERMIT_PLAN] = "plan",
	[PERMIT_EXECUTE] = "execute",
	[PERMIT_APPROVE] = "approve",
	[PERMIT_FORCE] = "force",
	[PERMIT_EMERGENCY] = "emergency",
	[PERMIT_FLAGS] = "flags",
	[PERMIT_ADMINISTER] = "administer",
};
_Static_assert(ARRAY_SIZE(permission_names) == PERMISSION_COUNT, "every permission has a name");

/* After "ana may not". */
static const char *const permission_words[] = {
	[PERMIT_VIEW] = "view anything",
	[PERMIT_PLAN] = "make plans",
	[PERMIT_EXECUTE] = "execute anything",
	[PERMIT_APPROVE] = "approve",
	[PERMIT_FORCE] = "override a refusal",
	[PERMIT_EMERGENCY] = "begin an emergency",
	[PERMIT_FLAGS] = "change flags",
	[PERMIT_ADMINISTER] = "administer",
};
_Static_assert(ARRAY_SIZE(permission_words) == PERMISSION_COUNT, "every permission has its words");

#define BIT(name) PERMISSION_BIT(PERMIT_##name)

/* From least to most: the first that has a permission is the one that a refusal names. */
static const struct {
	const char *name;
	permissions set;
} roles[] = {
	[ROLE_VIEWER] = { "viewer", BIT(VIEW) },
	[ROLE_OPERATOR] = { "operator", BIT(VIEW) | BIT(PLAN) | BIT(EXECUTE) | BIT(FLAGS) },
	[ROLE_APPROVER] = { "approver", BIT(VIEW) | BIT(PLAN) | BIT(APPROVE) },
	[ROLE_ADMIN] = { "admin", PERMISSIONS_ALL },
};
_Static_assert(ARRAY_SIZE(roles) == ROLE_COUNT, "every role has a row");

/* What a grant may add to its role. */
#define EXTRA_PERMISSIONS (BIT(FORCE) | BIT(EMERGENCY))

const char *permission_name(enum permission permission)
{
	assert_always((size_t)permission < ARRAY_SIZE(permission_names));
	return permission_names[permission];
}

int permission_parse(const char *text, enum permission *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(permission_names); i++)
		if (!strcmp(permission_names[i], text)) {
			*ret = (enum permission)i;
			return 0;
		}
	return err_set(err, ERR_INVALID, "'%s' is no permission: view, plan, execute, approve, force, emergency, flags or administer",
		text);
}

const char *role_name(enum role role)
{
	assert_always((size_t)role < ARRAY_SIZE(roles));
	return roles[role].name;
}

int role_parse(const char *text, enum role *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (!strcmp(roles[i].name, text)) {
			*ret = (enum role)i;
			return 0;
		}
	return err_set(err, ERR_INVALID, "'%s' is no role: viewer, operator, approver or admin", text);
}

permissions role_permissions(enum role role)
{
	assert_always((size_t)role < ARRAY_SIZE(roles));
	return roles[role].set;
}

/* Does a place that was granted cover one that is asked for? NULL asks for any. */
static bool covers(const char *granted, const char *environment)
{
	return !environment || !strcmp(granted, "*") || !strcmp(granted, environment);
}

/* The environments of a token. With `environment` NULL: do the grant's place and one of the token's have an environment in common? */
static bool is_let_through(const struct principal *principal, const char *granted, const char *environment)
{
	if (!principal->only_environments)
		return true;
	for (const char **only = principal->only_environments; *only; only++)
		if (environment ? covers(*only, environment) : covers(*only, granted) || covers(granted, *only))
			return true;
	return false;
}

permissions access_permissions(const struct principal *principal, const char *environment)
{
	permissions set = 0;

	if (!principal)
		return PERMISSIONS_ALL;
	for (size_t i = 0; i < principal->grant_count; i++) {
		const struct grant *grant = &principal->grants[i];

		if (covers(grant->environment, environment) && is_let_through(principal, grant->environment, environment))
			set |= role_permissions(grant->role) | grant->extra;
	}
	return set & principal->narrowed_to;
}

bool access_permits(const struct principal *principal, enum permission permission, const char *environment)
{
	return (access_permissions(principal, environment) & PERMISSION_BIT(permission)) != 0;
}

static const char *least_role(enum permission permission)
{
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (roles[i].set & PERMISSION_BIT(permission))
			return roles[i].name;
	return role_name(ROLE_ADMIN);
}

int access_check(const struct principal *principal, enum permission permission, const char *environment, struct err *err)
{
	_cleanup_talloc_ char *where = NULL;

	if (access_permits(principal, permission, environment))
		return 0;
	if (environment && !strcmp(environment, "*"))
		where = mem_strdup(NULL, " in all environments");
	else
		where = environment ? mem_printf(NULL, " in '%s'", environment) : mem_strdup(NULL, "");
	return err_set(err, ERR_FORBIDDEN, "%s may not %s%s: it needs the permission '%s' (role %s)", principal->name,
		permission_words[permission], where, permission_name(permission), least_role(permission));
}

json_t *permissions_json(permissions set)
{
	json_t *array = json_array();

	for (size_t i = 0; i < PERMISSION_COUNT; i++)
		if (set & (1u << i))
			json_array_append_new(array, json_string(permission_names[i]));
	return array;
}

int permissions_read(json_t *array, permissions *ret, struct err *err)
{
	permissions set = 0;
	json_t *item;
	size_t i;

	if (array && !json_is_array(array))
		return err_set(err, ERR_INVALID, "permissions: a list of names is expected");
	json_array_foreach(array, i, item) {
		enum permission permission = PERMIT_VIEW;
		int r;

		if (!json_is_string(item))
			return err_set(err, ERR_INVALID, "permissions: a list of names is expected");
		r = permission_parse(json_string_value(item), &permission, err);
		if (r < 0)
			return r;
		set |= PERMISSION_BIT(permission);
	}
	*ret = set;
	return 0;
}

json_t *grants_json(const struct grant *grants, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array,
			json_pack("{s:s, s:s, s:o}", "environment", grants[i].environment, "role", role_name(grants[i].role), "permissions",
				permissions_json(grants[i].extra)));
	return array;
}

static int check_grant(const struct grant *grant, struct err *err)
{
	if (strcmp(grant->environment, "*") != 0 && !text_is_name(grant->environment))
		return err_set(err, ERR_INVALID, "'%s' is no name of an environment, and not '*' for all", grant->environment);
	if (grant->extra & ~EXTRA_PERMISSIONS)
		return err_set(err, ERR_INVALID, "a grant adds 'force' or 'emergency' to its role; for everything else choose the role");
	return 0;
}

static int read_grant(const void *ctx, json_t *item, struct grant *ret, struct err *err)
{
	const char *environment = json_str(item, "environment", NULL), *role = json_str(item, "role", NULL);
	struct grant grant = { 0 };
	int r;

	if (!environment || !role)
		return err_set(err, ERR_INVALID, "a grant has an environment and a role");
	grant.environment = mem_strdup(ctx, environment);
	r = role_parse(role, &grant.role, err);
	if (r == 0)
		r = permissions_read(json_object_get(item, "permissions"), &grant.extra, err);
	if (r == 0)
		r = check_grant(&grant, err);
	if (r == 0)
		*ret = grant;
	return r;
}

int grants_read(const void *ctx, json_t *array, struct grant **ret, size_t *ret_count, struct err *err)
{
	struct grant *grants = mem_array(ctx, struct grant, json_array_size(array) + 1);
	json_t *item;
	size_t i;
	int r = 0;

	if (!json_is_array(array) || json_array_size(array) > GRANTS_MAX)
		r = err_set(err, ERR_INVALID, "grants: a list of at most %d is expected", GRANTS_MAX);
	json_array_foreach(array, i, item)
		if (r == 0)
			r = read_grant(grants, item, &grants[i], err);
	if (r < 0) {
		talloc_free(grants);
		return err_in(err, "grants");
	}
	*ret = grants;
	*ret_count = json_array_size(array);
	return 0;
}

int grant_parse(const void *ctx, const char *text, struct grant *ret, struct err *err)
{
	const char *equals = strchr(text, '=');
	struct grant grant = { 0 };
	char **words;
	int r;

	if (!equals)
		return err_set(err, ERR_INVALID,
			"'%s' is no grant: ENVIRONMENT=ROLE, as production=operator, *=viewer, production=operator+force", text);
	grant.environment = mem_strndup(ctx, text, (size_t)(equals - text));
	words = text_split(ctx, equals + 1, '+');
	r = role_parse(words[0] ? words[0] : "", &grant.role, err);
	for (size_t i = 1; r == 0 && words[i]; i++) {
		enum permission permission = PERMIT_VIEW;

		r = permission_parse(words[i], &permission, err);
		grant.extra |= PERMISSION_BIT(permission);
	}
	if (r == 0)
		r = check_grant(&grant, err);
	if (r < 0)
		return err_in(err, "grant '%s'", text);
	*ret = grant;
	return 0;
}
