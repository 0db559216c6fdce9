/* `server.oidc` of the project file, and the way from claims to grants (oidc.h). Pure; any thread. */
#include "core/oidc.h"

#include <string.h>

#include "base/text.h"
#include "core/hook.h"
#include "data/fields.h"
#include "data/json.h"

struct oidc_file {
	const char *issuer, *client_id, *groups_claim, *name_claim;
	json_t *client_secret, *grants;
	const char **scopes;
};

struct grant_file {
	const char *environment, *role;
	const char **permissions;
};

/* clang-format off */
static const struct field oidc_fields[] = {
	FIELD_STR(struct oidc_file, issuer, REQUIRED, "the provider, exactly as it calls itself: https://login.example.com/realms/team"),
	FIELD_STR(struct oidc_file, client_id, REQUIRED, "what the provider calls unship"),
	FIELD_SECRET(struct oidc_file, client_secret, REQUIRED, "what unship proves itself to the provider with"),
	FIELD_LIST(struct oidc_file, scopes, OPTIONAL, "what the provider is asked for; openid, profile, email and groups when missing"),
	FIELD_STR(struct oidc_file, groups_claim, DEFAULT("groups"), "claim with the groups of a person: a name, or a JSON pointer such as /realm_access/roles"),
	FIELD_STR(struct oidc_file, name_claim, OPTIONAL, "claim with what a person is called; preferred_username, then email, then sub when missing"),
	FIELD_MAP(struct oidc_file, grants, REQUIRED, "what the members of each group may: GROUP: a list of environment, role, permissions"),
	FIELD_END
};

static const struct field grant_fields[] = {
	FIELD_STR(struct grant_file, environment, REQUIRED, "name, or * for all"),
	FIELD_CHOICE(struct grant_file, role, REQUIRED, "viewer|operator|approver|admin", "what they may there"),
	FIELD_LIST(struct grant_file, permissions, OPTIONAL, "beside those of the role: force, emergency"),
	FIELD_END
};
/* clang-format on */

static const char *usual_scopes[] = { "openid", "profile", "email", "groups", NULL };

struct reading {
	const void *ctx;
	void *tmp;
	const char *const *environments;
	struct problems *problems;
};

/* --- the file ------------------------------------------------------------------------------------------------------ */

const char *oidc_address_trouble(const char *url)
{
	static const char *const local[] = { "localhost", "127.0.0.1", "[::1]" };
	bool secure = text_starts_with(url, "https://");
	const char *host = secure ? url + 8 : text_starts_with(url, "http://") ? url + 7 : NULL;
	size_t length = host ? strcspn(host, "/?#") : 0;

	for (const char *c = url; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '\\')
			return "it contains a blank, a control character or a backslash";
	if (!length)
		return "it begins with https:// and a name";
	if (memchr(host, '@', length))
		return "no user or password stands in it";
	for (size_t i = 0; !secure && i < ARRAY_SIZE(local); i++) {
		size_t size = strlen(local[i]);

		secure = length >= size && !strncmp(host, local[i], size) && (length == size || host[size] == ':');
	}
	return secure ? NULL : "http:// is for this machine alone; elsewhere it begins with https://";
}

static void check_issuer(struct reading *reading, const char *issuer)
{
	const char *trouble = issuer ? oidc_address_trouble(issuer) : NULL;

	if (!trouble && issuer && strpbrk(issuer, "?#"))
		trouble = "it has neither query nor fragment";
	if (trouble)
		problems_add(reading->problems, ERR_INVALID, "server.oidc.issuer", "'%s' is no issuer: %s", issuer, trouble);
}

static void check_scopes(struct reading *reading, const char **scopes)
{
	bool openid = false;

	for (size_t i = 0; scopes[i]; i++) {
		bool valid = scopes[i][0] != '\0';

		for (const char *c = scopes[i]; *c; c++)
			valid &= *c > ' ' && *c < 0x7f && *c != '"' && *c != '\\';
		if (!valid)
			problems_add(reading->problems, ERR_INVALID, doc_path_index(reading->tmp, "server.oidc.scopes", i),
				"this is no scope");
		openid |= !strcmp(scopes[i], "openid");
	}
	if (!openid)
		problems_add(reading->problems, ERR_INVALID, "server.oidc.scopes", "'openid' must be among them");
}

static void check_claim(struct reading *reading, const char *member, const char *claim)
{
	struct err err = ERR_INIT;

	if (claim && claim[0] == '/' && pointer_check(claim, &err) < 0)
		problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, "server.oidc", member), "%s", err.text);
	else if (claim && !*claim)
		problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, "server.oidc", member), "a claim has a name");
}

static void check_environment(struct reading *reading, const char *path, const char *name)
{
	const char *nearest;

	if (!strcmp(name, "*"))
		return;
	for (const char *const *at = reading->environments; *at; at++)
		if (!strcmp(*at, name))
			return;
	nearest = text_nearest(name, reading->environments);
	problems_add(reading->problems, ERR_NOT_FOUND, doc_path(reading->tmp, path, "environment"), "there is no environment '%s'%s%s%s",
		name, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static bool read_grant(struct reading *reading, json_t *object, const char *path, struct grant *ret)
{
	size_t before = reading->problems->count, count;
	json_t *alone = json_keep(reading->tmp, json_pack("[O]", object));
	struct grant_file file = { 0 };
	struct err err = ERR_INIT;
	struct grant *grants;

	if (!json_is_object(object))
		problems_add(reading->problems, ERR_INVALID, path, "expected an object with environment and role");
	else
		fields_parse(reading->tmp, grant_fields, object, path, NULL, false, &file, reading->problems);
	if (file.environment)
		check_environment(reading, path, file.environment);
	if (reading->problems->count != before)
		return false;
	if (grants_read(reading->ctx, alone, &grants, &count, &err) < 0) {
		problems_add(reading->problems, ERR_INVALID, path, "%s", err.text);
		return false;
	}
	*ret = grants[0];
	return true;
}

static void read_rule(struct reading *reading, const char *group, json_t *list, struct oidc_rule *ret)
{
	char *path = doc_path(reading->tmp, "server.oidc.grants", group);
	json_t *item;
	size_t i;

	ret->group = mem_strdup(reading->ctx, group);
	if (!json_is_array(list) || !json_array_size(list)) {
		problems_add(reading->problems, ERR_INVALID, path, "expected a list of objects with environment and role");
		return;
	}
	ret->grants = mem_array(reading->ctx, struct grant, json_array_size(list));
	json_array_foreach(list, i, item)
		if (read_grant(reading, item, doc_path_index(reading->tmp, path, i), &ret->grants[ret->grant_count]))
			ret->grant_count++;
}

struct oidc_config *oidc_read(const void *ctx, json_t *object, const char *const *environments, struct problems *problems)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct reading reading = { ctx, tmp, environments, problems };
	struct oidc_config *config;
	struct oidc_file file;
	const char *group;
	json_t *list;

	if (!object)
		return NULL;
	config = mem_zero(ctx, struct oidc_config);
	fields_parse(config, oidc_fields, object, "server.oidc", NULL, false, &file, problems);
	*config = (struct oidc_config){
		.issuer = file.issuer,
		.client_id = file.client_id,
		.client_secret = file.client_secret,
		.scopes = file.scopes ? file.scopes : usual_scopes,
		.groups_claim = file.groups_claim,
		.name_claim = file.name_claim,
		.rules = mem_array(config, struct oidc_rule, json_object_size(file.grants) + 1),
	};
	check_issuer(&reading, config->issuer);
	check_scopes(&reading, config->scopes);
	check_claim(&reading, "groupsClaim", config->groups_claim);
	check_claim(&reading, "nameClaim", config->name_claim);
	if (file.grants && !json_object_size(file.grants))
		problems_add(problems, ERR_INVALID, "server.oidc.grants", "without a group that is granted something nobody can sign in");
	json_object_foreach(file.grants, group, list)
		read_rule(&reading, group, list, &config->rules[config->rule_count++]);
	return config;
}

/* --- claims -------------------------------------------------------------------------------------------------------- */

json_t *oidc_claim(json_t *claims, const char *name)
{
	return name[0] == '/' ? pointer_get(claims, name) : json_object_get(claims, name);
}

static const char *text_of(json_t *value)
{
	const char *text = json_string_value(value);

	return text && *text && strlen(text) == json_string_length(value) ? text : NULL;
}

const char *oidc_name(const struct oidc_config *config, json_t *claims)
{
	static const char *const usual[] = { "preferred_username", "email" };
	const char *name = config->name_claim ? text_of(oidc_claim(claims, config->name_claim)) : NULL;

	for (size_t i = 0; !config->name_claim && !name && i < ARRAY_SIZE(usual); i++)
		name = text_of(json_object_get(claims, usual[i]));
	return name ? name : json_str(claims, "sub", "");
}

static bool is_member(const json_t *groups, const char *group)
{
	const json_t *item;
	size_t i;

	if (json_is_string(groups))
		return !strcmp(json_string_value(groups), group) && strlen(group) == json_string_length(groups);
	json_array_foreach(groups, i, item)
		if (json_is_string(item) && is_member(item, group))
			return true;
	return false;
}

static bool has_grant(const struct grant *grants, size_t count, const struct grant *grant)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(grants[i].environment, grant->environment) && grants[i].role == grant->role && grants[i].extra == grant->extra)
			return true;
	return false;
}

void oidc_grants(const void *ctx, const struct oidc_config *config, const json_t *groups, struct grant **ret, size_t *ret_count)
{
	struct grant *grants = NULL;
	size_t count = 0;

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct oidc_rule *rule = &config->rules[i];

		for (size_t k = 0; k < rule->grant_count && is_member(groups, rule->group); k++) {
			if (has_grant(grants, count, &rule->grants[k]))
				continue;
			grants = mem_resize(ctx, grants, struct grant, count + 1);
			grants[count++] = rule->grants[k];
		}
	}
	*ret = grants;
	*ret_count = count;
}
