/* Planning: everything before the first change. What runs now, where to return to, what would change, what speaks against it. */
#ifndef OPS_PLANNING_H
#define OPS_PLANNING_H

#include "core/compat.h"
#include "core/generate.h"
#include "ops/operation.h"

#define PLAN_DOCUMENT_HELP "the plan itself, or {\"file\": its name, \"text\": YAML or JSON}"

/* Findings that the result of the run tells in its own words. */
#define FINDING_QUARANTINE_AFTER "quarantine_after"
#define FINDING_UNDO_POSSIBLE    "undo_possible"

struct planning_input {
	const char *environment;
	const char *to;        /* deployment id or its beginning; NULL: the best candidate */
	const char **targets;  /* only these components; NULL: all */
	const char *plan_file; /* a saved plan instead of a generated one; NULL */
	json_t *plan_document; /* the same by its content (document.h); NULL */
	bool preserve_data;
};

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
};

/* ERR_NOT_FOUND when there is no candidate: the reasons of all are in the message. Findings are not judged here. */
must_check int planning_make(struct op *op, const struct planning_input *input, struct planning **ret, struct err *err);
/* The answer of plans.create and the part of rollbacks.create that is shown before the confirmation; kept in op->ctx. */
json_t *planning_json(struct op *op, const struct planning *planning);
/* Adds a finding for each step that nothing takes back when it or a later one fails. */
void planning_check_undo(struct op *op, const struct environment *environment, const struct plan *plan, struct findings *findings);
/* What speaks against being on that deployment, as warnings: its quarantine, and its evidence. */
void planning_warn_of_deployment(const struct deployment *deployment, struct findings *findings);
/* Candidates as JSON, best first; new reference. */
json_t *planning_candidates_json(const struct planning *planning);

#endif
