/* Who may do what: principals, roles, permissions. Pure; nothing here knows how somebody proved who they are.
 *
 * A principal holds grants: a role in one environment or in all. A role is a set of permissions (the table in access.c; docs/server.md shows it). A grant may add single permissions that no
 * role but admin has (force, emergency). What a token was given narrows its principal further, never widens it.
 * No principal at all (NULL) means the command line on the project's own store: whoever can write that file can do everything that unship can, so nothing is refused there. */
#ifndef CORE_ACCESS_H
#define CORE_ACCESS_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

enum permission {
	PERMIT_VIEW,       /* read everything but secrets */
	PERMIT_PLAN,       /* plan and dry-run */
	PERMIT_EXECUTE,    /* record deployments; roll back, resume, cancel, undo, restore */
	PERMIT_APPROVE,    /* approve or reject what somebody else asked for */
	PERMIT_FORCE,      /* override findings that block */
	PERMIT_EMERGENCY,  /* emergency rollback; break-glass */
	PERMIT_FLAGS,      /* change flags */
	PERMIT_ADMINISTER, /* principals, tokens, keys, configuration */
	PERMISSION_COUNT
};
const char *permission_name(enum permission permission); /* "view", "plan", ... */
must_check int permission_parse(const char *text, enum permission *ret, struct err *err);

typedef unsigned permissions; /* a set: bit 1u << enum permission */
#define PERMISSION_BIT(permission) (1u << (permission))
#define PERMISSIONS_ALL            (PERMISSION_BIT(PERMISSION_COUNT) - 1)

enum role { ROLE_VIEWER, ROLE_OPERATOR, ROLE_APPROVER, ROLE_ADMIN, ROLE_COUNT };
const char *role_name(enum role role);
must_check int role_parse(const char *text, enum role *ret, struct err *err);
permissions role_permissions(enum role role);

struct grant {
	const char *environment; /* "*": every environment */
	enum role role;
	permissions extra; /* beside those of the role */
};

enum principal_kind { PRINCIPAL_PERSON, PRINCIPAL_SERVICE };

struct principal {
	const char *id;   /* "prn-..." */
	const char *name; /* "ana": unique; the actor of entries */
	enum principal_kind kind;
	struct grant *grants;
	size_t grant_count;
	permissions narrowed_to;        /* of the token by which they came; PERMISSIONS_ALL for a session */
	const char **only_environments; /* of the token; NULL: all that the grants allow */
	const char *credential;         /* id of the token or session; for the audit trail and to revoke */
	int64_t authenticated_ms;       /* wall: when they last proved who they are (fresh authentication); 0: a token */
};

/* May they, there? environment NULL: in at least one environment; "*": in all of them. principal NULL: yes. */
bool access_permits(const struct principal *principal, enum permission permission, const char *environment);
/* What they may there; for the web admin and `whoami`. */
permissions access_permissions(const struct principal *principal, const char *environment);
/* ERR_FORBIDDEN "ana may not execute anything in 'production': it needs the permission 'execute' (role operator)". Never says more than the principal may know. */
must_check int access_check(const struct principal *principal, enum permission permission, const char *environment, struct err *err);
json_t *permissions_json(permissions set);                     /* new reference: ["view", "plan"] */
json_t *grants_json(const struct grant *grants, size_t count); /* new reference: [{environment, role, permissions}] */
must_check int grants_read(const void *ctx, json_t *array, struct grant **ret, size_t *ret_count, struct err *err);
/* A list of names; NULL is the empty set. */
must_check int permissions_read(json_t *array, permissions *ret, struct err *err);
/* "production=operator", "*=viewer", "production=operator+force": as people write it. */
must_check int grant_parse(const void *ctx, const char *text, struct grant *ret, struct err *err);

#endif
