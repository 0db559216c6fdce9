/* Plans: generate one from the difference between now and a target, check a file, write a runbook. None of them changes anything in the environment. */
#include "ops/answers.h"
#include "ops/document.h"
#include "ops/permit.h"
#include "ops/planning.h"
#include "ops/resources.h"

#include "base/fs.h"

struct plans_params {
	const char *environment, *to, *file;
	const char **target;
	json_t *plan_document;
	bool preserve_data, immediate;
};

static const struct field create_fields[] = { FIELD_NAME(struct plans_params, environment, REQUIRED, "environment to plan for"),
	FIELD_STR(struct plans_params, to, OPTIONAL, "deployment to return to, by id or version; the last stable one when not given"),
	FIELD_LIST(struct plans_params, target, OPTIONAL, "only these components"),
	FIELD_BOOL(struct plans_params, preserve_data, DEFAULT("true"), "keep the databases as they are"),
	FIELD_BOOL(struct plans_params, immediate, DEFAULT("false"), "stop services at once, without letting them end what they work on"),
	FIELD_END };

static const struct field file_fields[] = { FIELD_PATH_OR(struct plans_params, file, OPTIONAL, plan_document, "plan file, YAML or JSON"),
	FIELD_MAP(struct plans_params, plan_document, OPTIONAL, PLAN_DOCUMENT_HELP),
	FIELD_NAME(struct plans_params, environment, OPTIONAL, "check it against this environment as well"), FIELD_END };

static const struct field runbook_fields[] = { FIELD_PATH_OR(struct plans_params, file, OPTIONAL, plan_document, "plan file, YAML or JSON"),
	FIELD_MAP(struct plans_params, plan_document, OPTIONAL, PLAN_DOCUMENT_HELP),
	FIELD_NAME(struct plans_params, environment, OPTIONAL, "environment that it is for; may be left out when there is only one"),
	FIELD_END };

static int plans_create(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct plans_params *p = params;
	struct planning_input input = { .environment = p->environment,
		.to = p->to,
		.targets = p->target,
		.preserve_data = p->preserve_data,
		.immediate = p->immediate };
	struct planning *planning = NULL;
	int r;

	r = planning_make(op, &input, &planning, err);
	if (r < 0) {
		if (planning && planning->candidates)
			*ret = planning_without_target(op, planning);
		return r;
	}
	*ret = planning_json(op, planning);
	return 0;
}

static int read_plan(struct op *op, const struct plans_params *p, struct plan **ret_plan, struct environment **ret_environment,
	struct problems **ret_problems, const char **ret_name, struct err *err)
{
	struct doc *doc;
	int r;

	*ret_environment = NULL;
	r = document_read(op->ctx, p->file, p->plan_document, "plan", &doc, err);
	if (r < 0)
		return r;
	*ret_name = doc_name(doc);
	*ret_problems = problems_new(op->ctx, doc);
	*ret_plan = plan_read(op->ctx, doc, *ret_problems);
	if (!p->environment)
		return 0;
	if (!op->workspace)
		return err_set(err, ERR_NOT_FOUND, "checking against environment '%s' needs a project: there is no " PROJECT_FILE " here",
			p->environment);
	r = workspace_project(op->workspace, err);
	if (r == 0)
		r = project_find_environment(op->workspace->project, p->environment, ret_environment, err);
	if (r == 0)
		plan_bind(*ret_plan, *ret_environment, op->workspace->catalogue, *ret_problems);
	return r;
}

static int plans_check(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct plans_params *p = params;
	struct environment *environment;
	struct problems *problems;
	const char *name;
	struct plan *plan;
	int r;

	r = read_plan(op, p, &plan, &environment, &problems, &name, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:b, s:s*, s:I, s:o}", "file", name, "valid", problems->count == 0, "id", plan->id, "steps",
		(json_int_t)plan->step_count, "problems", problems_json(problems));
	return problems_result(problems, err);
}

/* A runbook says what to look at, so it is for one environment: the one that is named, or the only one. */
static int only_environment(struct op *op, const char **ret, struct err *err)
{
	const struct project *project;
	char *names;
	int r;

	r = workspace_project(op->workspace, err);
	if (r < 0)
		return r;
	project = op->workspace->project;
	if (project->environment_count == 1) {
		*ret = project->environments[0].name;
		return op_permit(op, op->permission, *ret, err);
	}
	names = mem_strdup(op->ctx, "");
	for (size_t i = 0; i < project->environment_count; i++)
		if (op_sees(op, project->environments[i].name))
			names = mem_appendf(names, "%s%s", *names ? ", " : "", project->environments[i].name);
	return err_set(err, ERR_USAGE, "a runbook is for one environment: give --environment, one of %s", names);
}

static int plans_runbook(struct op *op, const void *params, json_t **ret, struct err *err)
{
	struct plans_params p = *(const struct plans_params *)params;
	struct environment *environment;
	struct problems *problems;
	const char *name;
	struct plan *plan;
	int r = 0;

	if (!p.environment)
		r = only_environment(op, &p.environment, err);
	if (r == 0)
		r = read_plan(op, &p, &plan, &environment, &problems, &name, err);
	if (r == 0)
		r = problems_result(problems, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:s, s:s}", "id", plan->id, "markdown", plan_runbook(op->ctx, plan, environment));
	return 0;
}

OPERATION(op_plans_create, "plans.create", "POST", "/environments/{environment}/plans", PERMIT_PLAN,
	"generate the plan of a rollback: what would change, and what speaks against it", create_fields, struct plans_params, plans_create,
	.idempotent = true, .answer = planning_shape);
OPERATION(op_plans_check, "plans.check", "POST", "/plans/check", PERMIT_PLAN, "check a plan file", file_fields, struct plans_params,
	plans_check, .anywhere = true, .idempotent = true, .answer = plan_check_shape);
OPERATION(op_plans_runbook, "plans.runbook", "POST", "/plans/runbook", PERMIT_VIEW, "a readable runbook of a plan file", runbook_fields,
	struct plans_params, plans_runbook, .idempotent = true, .answer = runbook_shape);
