/* Health: runs the probes of an environment now; on request the result is kept as evidence for the deployment that runs there. */
#include "ops/answers.h"
#include "ops/resources.h"

#include "base/text.h"

struct health_params {
	const char *environment;
	bool record;
};

static const struct field health_fields[] = { FIELD_NAME(struct health_params, environment, REQUIRED, "environment whose probes are run"),
	FIELD_BOOL(struct health_params, record, DEFAULT("true"), "keep the result as evidence for the deployment that runs there"),
	FIELD_END };

static int record_evidence(struct op *op, const char *environment, const char *health, json_t *probes, json_t *answer, struct err *err)
{
	struct deployment present;
	struct entry entry = { .kind = ENTRY_DEPLOYMENT_HEALTH, .environment = environment, .actor = op->actor };
	struct err none = ERR_INIT;
	int r;

	r = store_present(op->workspace->store, op->ctx, environment, &present, &none);
	if (r == -ERR_NOT_FOUND)
		return 0; /* nothing is recorded yet: there is nobody to be evidence for */
	if (r < 0) {
		*err = none;
		return r;
	}
	json_put_str(answer, "deployment", present.id);
	entry.data = json_make(op->ctx, "{s:s, s:s, s:s, s:O}", "deployment", present.id, "health", health, "source", "probes", "probes",
		probes);
	return store_append(op->workspace->store, op->ctx, &entry, err);
}

static int health_check(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct health_params *p = params;
	struct environment *environment;
	json_t *probes;
	size_t failed;
	const char *health;
	int r;

	r = workspace_environment(op->workspace, p->environment, &environment, err);
	if (r < 0)
		return r;
	r = workspace_probe(op, environment, &probes, &failed, err);
	if (r < 0)
		return r;
	health = environment->probe_count == 0 ? "unknown" : failed ? "failing" : "passing";
	*ret = json_make(op->ctx, "{s:s, s:s, s:b, s:O}", "environment", environment->name, "health", health, "healthy", failed == 0,
		"probes", probes);
	if (p->record && environment->probe_count) {
		r = record_evidence(op, environment->name, health, probes, *ret, err);
		if (r < 0)
			return err_in(err, "keeping the evidence");
	}
	if (failed)
		return err_set(err, ERR_FAILED, "%zu of %s failed in '%s'", failed, text_count(op->ctx, environment->probe_count, "probe"),
			environment->name);
	return 0;
}

OPERATION(op_health_check, "health.check", "POST", "/environments/{environment}/health", PERMIT_VIEW,
	"run the probes of an environment now", health_fields, struct health_params, health_check, .answer = health_shape);
