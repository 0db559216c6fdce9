/* Planning: everything before the first change. What runs now, where to return to, what would change, what speaks against it. */
#ifndef OPS_PLANNING_H
#define OPS_PLANNING_H

#include "core/compat.h"
#include "core/generate.h"
#include "ops/operation.h"

#define PLAN_DOCUMENT_HELP "the plan itself, or {\"file\": its name, \"text\": YAML or JSON}"

/* Findings that the result of the run tells in its own words. */
#define FINDING_QUARANTINE_AFTER  "quarantine_after"
#define FINDING_UNDO_POSSIBLE     "undo_possible"
/* What a driver of a configuration tells of values, by the names of their keys: evidence {"changed": [..]} (docs/driver-protocol.md). */
#define FINDING_CONFIG_DIFFERENCE "config_difference"

struct planning_input {
	const char *environment;
	const char *to;        /* deployment id or its beginning; NULL: the best candidate */
	const char **targets;  /* only these components; NULL: all */
	const char *plan_file; /* a saved plan instead of a generated one; NULL */
	json_t *plan_document; /* the same by its content (document.h); NULL */
	bool preserve_data;
	bool target_only; /* only what is about the target itself is asked: no probes */
	bool immediate;   /* services are stopped without being drained */
};

struct checks;
struct aside;

struct planning {
	struct environment *environment;
	struct deployment **deployments; /* newest first */
	size_t deployment_count;
	struct candidate *candidates;        /* best first, as many as deployments */
	struct deployment *present, *target; /* present NULL: nothing recorded; target NULL: a saved plan */
	json_t *observed;
	struct generated generated; /* plan with no steps: nothing to do */
	struct findings *findings;
	const char *hash;
	json_t *expected;
	json_t *saved_plan; /* the document of plan_file or plan_document as it was read; NULL for a generated plan */
	bool preserve_data;
	json_t *difference;    /* ops/difference.h; NULL for a saved plan */
	struct checks *checks; /* ops/checks.h: what was asked of the environment, once for all candidates */
	struct aside *code;    /* what Git tells, being read; NULL */
	json_t *problems;      /* of a saved plan that cannot be read: all of them; NULL */
};

/* ERR_NOT_FOUND when there is no candidate: the reasons of all are in the message. Findings are not judged here. */
must_check int planning_make(struct op *op, const struct planning_input *input, struct planning **ret, struct err *err);
/* The same in parts, for many targets: everything of the environment but a target, with what is `observed` (NULL: it is observed), then a plan for one target, not checked yet (checks_judge)
 * and without its difference. */
must_check int planning_look_around(struct op *op, const struct planning_input *input, json_t *observed, struct planning **ret,
	struct err *err);
must_check int planning_for(struct op *op, const struct planning *around, const struct planning_input *input, struct deployment *target,
	struct planning **ret, struct err *err);
/* The kind of a driver, for the interfaces of core/; `workspace`: struct workspace. */
enum driver_kind planning_kind_of(void *workspace, const char *driver);
/* The first finding that blocks, in a sentence; NULL: none. In ctx. */
char *planning_first_blocking(const void *ctx, const struct findings *findings);
/* The answer of plans.create and the part of rollbacks.create that is shown before the confirmation; kept in op->ctx. */
json_t *planning_json(struct op *op, const struct planning *planning);
/* The part of it that is known when none can be returned to: what runs, and why not to each. In op->ctx. */
json_t *planning_without_target(struct op *op, const struct planning *planning);
/* Adds a finding for each step that nothing takes back when it or a later one fails. */
void planning_check_undo(struct op *op, const struct environment *environment, const struct plan *plan, struct findings *findings);
/* What speaks against being on that deployment, as warnings: its quarantine, and its evidence. */
void planning_warn_of_deployment(const struct deployment *deployment, struct findings *findings);

#endif
