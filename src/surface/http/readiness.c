/* Readiness, continuously: see readiness.h. A look costs as much as a plan. Threads: see chores.h. */
#include "surface/http/readiness.h"

#include <string.h>

#include "base/log.h"
#include "data/json.h"
#include "ops/readiness.h"
#include "surface/http/metrics.h"

#define FIRST_MS  30000 /* after the start */
#define FAILED_MS 60000 /* after a look that could not be made */

static int64_t first_ms(const struct environment *environment)
{
	return environment->readiness.every_ms ? MIN(environment->readiness.every_ms, (int64_t)FIRST_MS) : CHORE_NEVER;
}

static bool may_change_it(const struct entry *entry)
{
	static const char *const kinds[] = { ENTRY_DEPLOYMENT_RECORDED, ENTRY_DEPLOYMENT_HEALTH, ENTRY_DEPLOYMENT_QUARANTINE,
		ENTRY_DEPLOYMENT_RELEASE };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(entry->kind, kinds[i]))
			return true;
	return false;
}

static int look(struct op *op, struct server *server, struct environment *environment, int64_t *ret_ms, struct err *err)
{
	json_t *answer;
	bool news;
	int r;

	if (!environment->readiness.every_ms)
		return 0;
	*ret_ms = environment->readiness.every_ms;
	r = readiness_look(op, environment, (size_t)environment->readiness.targets, &answer, err);
	if (r == 0)
		r = readiness_keep(op, environment, answer, &news, err);
	if (r < 0)
		return r;
	metrics_readiness(server, environment->name, answer);
	if (news)
		log_event(json_int(answer, "ready", 0) ? LOG_INFO : LOG_WARN, "readiness changed", "environment", environment->name, "best",
			json_str(json_object_get(answer, "best"), "version", NULL), NULL);
	return 0;
}

const struct chore chore_readiness = {
	.name = "looking at readiness",
	.lane = CHORES_QUICK,
	.retry_ms = FAILED_MS,
	.between_runs = true,
	.first_ms = first_ms,
	.wakes = may_change_it,
	.work = look,
};
