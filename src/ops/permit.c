/* Who may what, asked in one place. See permit.h.
 * Somebody who may not see an environment learns nothing of it, not even by trying ids: what they may not see is not there, in the same
 * words, and a beginning that fits several things fits none.
 * Threads: as the op. */
#include "ops/permit.h"

#include <string.h>

#include "base/clock.h"

/* The refusal is written before it is told: what cannot be audited is an error of its own. */
int op_refused(struct op *op, const char *environment, struct err *err)
{
	struct entry entry = { .kind = ENTRY_REFUSED, .actor = op->actor };
	struct err append_err = ERR_INIT;
	int r = -(int)err->code;
	uint64_t count = 1;

	if (op->refusal_due && !op->refusal_due(op->user, environment, err, &count))
		return r;
	if (!op->workspace || workspace_store(op->workspace, &append_err) < 0)
		return op->workspace ? (*err = append_err, err_in(err, "the refusal could not be recorded")) : r;
	if (environment && project_environment(op->workspace->project, environment))
		entry.environment = environment;
	entry.data = json_make(op->ctx, "{s:s, s:s, s:s}", "operation", op->operation ? op->operation->name : "", "code",
		err_info(err->code)->name, "message", err->text);
	json_put_str(entry.data, "origin", op->origin);
	if (count > 1)
		json_put_int(entry.data, "count", (int64_t)count);
	if (op->principal) {
		json_put_str(entry.data, "principal", op->principal->id);
		json_put_str(entry.data, "credential", op->principal->credential);
	}
	if (store_append(op->workspace->store, op->ctx, &entry, &append_err) < 0) {
		*err = append_err;
		return err_in(err, "the refusal could not be recorded");
	}
	return r;
}

static bool changes(const struct operation *operation)
{
	return strcmp(operation->method, "GET") != 0;
}

/* A session may be old and its browser unattended: before what reaches far its owner proves again who they are. */
static int check_fresh(const struct op *op, struct err *err)
{
	int64_t age_ms, at_ms = op->principal ? op->principal->authenticated_ms : 0;

	if (!at_ms || !changes(op->operation))
		return 0;
	if (!op->forced && !op->operation->fresh && op->permission != PERMIT_ADMINISTER && op->permission != PERMIT_EMERGENCY)
		return 0;
	age_ms = clock_wall_ms() - at_ms;
	if (age_ms >= 0 && age_ms <= FRESH_MS)
		return 0;
	return err_set(err, ERR_UNAUTHENTICATED, "prove again who you are: for %s the password must have been given in the last %d minutes",
		op->forced ? "--force" : op->operation->name, FRESH_MS / 60000);
}

static bool has_field(const struct operation *operation, const char *name)
{
	for (const struct field *field = operation->fields; field && field->member; field++)
		if (!strcmp(field->member, name))
			return true;
	return false;
}

enum permission operation_least_permission(const struct operation *operation)
{
	return operation->permission == PERMIT_EXECUTE && has_field(operation, "dry_run") ? PERMIT_PLAN : operation->permission;
}

int op_permit_call(struct op *op, const struct operation *operation, json_t *input, struct err *err)
{
	const char *environment = has_field(operation, "environment") ? json_str(input, "environment", NULL) : NULL;
	bool dry_run = json_flag(input, "dryRun", false);
	int r;

	op->operation = operation;
	op->input = input;
	op->permission = dry_run ? operation_least_permission(operation) : operation->permission;
	op->forced = has_field(operation, "force") && json_flag(input, "force", false) && !dry_run;
	if (!op->principal)
		return 0;
	if (operation->everywhere) {
		r = access_check(op->principal, op->permission, "*", err);
		if (r < 0)
			return op_refused(op, NULL, err);
	} else {
		r = op_permit(op, op->permission, environment, err);
		if (r < 0)
			return r;
	}
	r = check_fresh(op, err);
	if (r < 0)
		return op_refused(op, environment, err);
	/* The list of environments that an unknown name would be answered with is not for everybody. */
	if (environment && op->workspace && !op_sees_all(op) && workspace_project(op->workspace, err) == 0 &&
		!project_environment(op->workspace->project, environment))
		return err_set(err, ERR_NOT_FOUND, "there is no environment '%s'", environment);
	return 0;
}

int op_permit(struct op *op, enum permission permission, const char *environment, struct err *err)
{
	int r;

	r = access_check(op->principal, permission, environment, err);
	if (r == 0 && op->forced)
		r = access_check(op->principal, PERMIT_FORCE, environment, err);
	return r < 0 ? op_refused(op, environment, err) : 0;
}

bool op_sees(const struct op *op, const char *environment)
{
	return access_permits(op->principal, PERMIT_VIEW, environment ? environment : "*");
}

bool op_sees_all(const struct op *op)
{
	return op_sees(op, "*");
}

int op_found(struct op *op, int r, const char *what, const char *given, const char *environment, struct err *err)
{
	bool hidden = r == -ERR_AMBIGUOUS ? !op_sees_all(op) : r == 0 && !op_sees(op, environment);

	if (hidden) {
		err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", what, given);
		return op_refused(op, r == 0 ? environment : NULL, err);
	}
	return r < 0 ? r : op_permit(op, op->permission, environment, err);
}

/* --- lists ------------------------------------------------------------------------------------------------------------------- */

/* Rows of every environment that may be seen, newest first: those of each, together, sorted and cut. */
struct seen {
	size_t size, count;
	char *rows;
};

static void seen_add(const void *ctx, struct seen *seen, const void *rows, size_t count)
{
	seen->rows = mem_resize(ctx, seen->rows, char, (seen->count + count + 1) * seen->size);
	memcpy(seen->rows + seen->count * seen->size, rows, count * seen->size);
	seen->count += count;
}

static int newer_run(const void *a, const void *b)
{
	const struct run_row *x = a, *y = b;

	return (x->seq < y->seq) - (x->seq > y->seq);
}

static int newer_entry(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->seq < y->seq) - (x->seq > y->seq);
}

static void seen_sort(struct seen *seen, size_t limit, int (*compare)(const void *a, const void *b))
{
	if (seen->count)
		qsort(seen->rows, seen->count, seen->size, compare);
	if (limit)
		seen->count = MIN(seen->count, limit);
}

int op_runs(struct op *op, const char *environment, struct page page, struct run_row **ret, size_t *ret_count, struct err *err)
{
	struct seen seen = { .size = sizeof(struct run_row) };
	struct workspace *workspace = op->workspace;
	int r;

	r = workspace_store(workspace, err);
	if (r < 0)
		return r;
	if (environment || op_sees_all(op))
		return store_runs_page(workspace->store, op->ctx, environment, NULL, page, ret, ret_count, err);
	for (size_t i = 0; i < workspace->project->environment_count; i++) {
		struct run_row *rows;
		size_t count;

		if (!op_sees(op, workspace->project->environments[i].name))
			continue;
		r = store_runs_page(workspace->store, op->ctx, workspace->project->environments[i].name, NULL, page, &rows, &count, err);
		if (r < 0)
			return r;
		if (count)
			seen_add(op->ctx, &seen, rows, count);
	}
	seen_sort(&seen, page.limit, newer_run);
	*ret = (struct run_row *)(void *)seen.rows;
	*ret_count = seen.count;
	return 0;
}

int op_entries(struct op *op, const struct entry_filter *filter, struct entry **ret, size_t *ret_count, struct err *err)
{
	struct seen seen = { .size = sizeof(struct entry) };
	struct workspace *workspace = op->workspace;
	int r;

	r = workspace_store(workspace, err);
	if (r < 0)
		return r;
	if (filter->environment || op_sees_all(op))
		return store_read(workspace->store, op->ctx, filter, ret, ret_count, err);
	for (size_t i = 0; i < workspace->project->environment_count; i++) {
		struct entry_filter one = *filter;
		struct entry *rows;
		size_t count;

		one.environment = workspace->project->environments[i].name;
		if (!op_sees(op, one.environment))
			continue;
		r = store_read(workspace->store, op->ctx, &one, &rows, &count, err);
		if (r < 0)
			return r;
		if (count)
			seen_add(op->ctx, &seen, rows, count);
	}
	seen_sort(&seen, filter->limit, newer_entry);
	*ret = (struct entry *)(void *)seen.rows;
	*ret_count = seen.count;
	return 0;
}

const char *op_person(const struct op *op)
{
	return op->principal ? op->principal->id : mem_printf(op->ctx, LOCAL_PERSON "%s", op->actor);
}
