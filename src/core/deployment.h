/* A deployment: what ran in an environment from a moment on; a version for every component, and the evidence of its health. V4, V5. */
#ifndef CORE_DEPLOYMENT_H
#define CORE_DEPLOYMENT_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

enum health { HEALTH_UNKNOWN, HEALTH_PASSING, HEALTH_FAILING };
const char *health_name(enum health health); /* "unknown", "passing", "failing" */
must_check int health_parse(const char *text, enum health *ret, struct err *err);

enum deployment_status { DEPLOYMENT_SUCCEEDED, DEPLOYMENT_FAILED, DEPLOYMENT_ROLLED_BACK };
const char *deployment_status_name(enum deployment_status status); /* "succeeded", "failed", "rolled-back" */

struct deployment {
	const char *id, *environment, *version, *git_sha; /* git_sha may be NULL */
	int64_t seq;                                      /* of the journal entry that recorded it: the lineage, never the clock */
	int64_t wall_ms;                                  /* when it was recorded */
	const char *recorded_by;
	json_t *components;         /* {"api": {"version","state","details"}}: what observe said when it was recorded */
	const char *migration;      /* database migration version; NULL */
	const char *config_version; /* NULL */
	enum health health;         /* the latest evidence */
	int64_t passing, failing;   /* how many health results of each kind */
	int64_t health_ms;          /* when the latest evidence came; 0: none */
	bool rollback_target;       /* marked by a person as a target */
	enum deployment_status status;
	const char *quarantine;  /* the reason; NULL: not quarantined */
	const char *rollback_of; /* run that led to it, when a rollback recorded it; NULL */
};

json_t *deployment_json(const struct deployment *deployment); /* new reference; camelCase, as in the API */

/* Which deployment to return to. Given all deployments of one environment (any order), the present one and facts about each candidate, orders them from best to worst.
 * Order: eligible before not; passing evidence before unknown; newest lineage first. Not eligible: the present one, failed, quarantined, failing evidence,
 * artefacts gone, incompatible. A deployment that a rollback recorded (rollback_of) stands for the content that it returned to (that of the newest
 * older deployment with the same versions): it shares that one's quarantine, and when either is the present one the other is no candidate. "Position minus one" plays no part. */
struct candidate {
	const struct deployment *deployment;
	bool eligible;
	bool last_stable;   /* the first eligible one with passing evidence */
	const char *reason; /* one sentence for people: why it stands where it stands */
};
/* `blocked`: for each deployment the reason why it cannot be reached (artefact gone, incompatible), or NULL; may be NULL as a whole. Array of `count` in ctx. */
struct candidate *candidates_rank(const void *ctx, const struct deployment *const *deployments, size_t count, const char *present_id,
	const char *const *blocked);

#endif
