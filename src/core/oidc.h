/* Sign-in by OpenID Connect: what the project file says of it (`server.oidc`), and what the claims of a person become here. Pure. How it is done: surface/http/oidc.h. */
#ifndef CORE_OIDC_H
#define CORE_OIDC_H

#include "core/access.h"
#include "data/problems.h"

/* Who is in the group is granted this. */
struct oidc_rule {
	const char *group;
	struct grant *grants;
	size_t grant_count;
};

struct oidc_config {
	const char *issuer; /* exactly as the provider calls itself */
	const char *client_id;
	json_t *client_secret;                 /* reference */
	const char **scopes;                   /* "openid" among them */
	const char *groups_claim, *name_claim; /* a name, or a JSON pointer; name_claim NULL: preferred_username, email, sub */
	struct oidc_rule *rules;
	size_t rule_count;
};

/* Reads `server.oidc`. `environments`: names, NULL-terminated. NULL when `object` is. */
struct oidc_config *oidc_read(const void *ctx, json_t *object, const char *const *environments, struct problems *problems);
/* Why nothing secret may be sent there: it is neither https nor on this machine; NULL: it may. */
const char *oidc_address_trouble(const char *url);

/* "groups", or "/realm_access/roles". NULL: there is none. */
json_t *oidc_claim(json_t *claims, const char *name);
/* What the person is called; never NULL (claims have a `sub`). */
const char *oidc_name(const struct oidc_config *config, json_t *claims);
/* The grants of all groups that they are in, each once, in the order of the file. `groups`: a text or a list of texts; may be NULL. */
void oidc_grants(const void *ctx, const struct oidc_config *config, const json_t *groups, struct grant **ret, size_t *ret_count);

#endif
