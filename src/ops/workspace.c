/* Workspace: finding the project, opening its parts when they are first needed, and the two questions that every operation asks of reality: what runs where
 * (observe) and is it healthy (probe). Both ask all workers at once, each in its own process with its own time limit.
 *
 * Threads: a workspace belongs to one thread. */
#include "ops/workspace.h"

#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "ops/operation.h"
#include "ops/permit.h"

#define OBSERVE_TIMEOUT_MS 30000

static int find_project_file(const void *ctx, const char *start, const char **ret_dir, const char **ret_file, struct err *err)
{
	static const char *const names[] = { PROJECT_FILE, "unship.json" };
	_cleanup_free_ char *real = realpath(start, NULL);
	char *dir;

	if (!real)
		return err_set(err, ERR_NOT_FOUND, "directory '%s' does not exist", start);
	dir = mem_strdup(ctx, real);
	for (;;) {
		char *slash;

		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			char *path = fs_join(ctx, dir, names[i]);

			if (fs_exists(path)) {
				*ret_dir = dir;
				*ret_file = path;
				return 0;
			}
		}
		slash = strrchr(dir, '/');
		if (!slash || !strcmp(dir, "/"))
			return err_set(err, ERR_NOT_FOUND, "there is no " PROJECT_FILE " in %s or above it; `unship init` writes one",
				real);
		slash[slash == dir ? 1 : 0] = '\0';
	}
}

int workspace_open(const void *ctx, const char *dir, const struct catalogue *catalogue, struct workspace **ret, struct err *err)
{
	struct workspace *workspace = mem_zero(ctx, struct workspace);
	int r;

	r = find_project_file(workspace, dir, &workspace->dir, &workspace->file, err);
	if (r < 0) {
		talloc_free(workspace);
		return r;
	}
	workspace->catalogue = catalogue;
	workspace->places.project_dir = workspace->dir;
	workspace->places.state_dir = fs_join(workspace, workspace->dir, STATE_DIR);
	workspace->places.open_root = fs_join(workspace, workspace->places.state_dir, "open");
	workspace->places.store = fs_join(workspace, workspace->places.state_dir, "unship.db");
	r = process_executor_new(workspace, catalogue, &workspace->executor, err);
	if (r < 0) {
		talloc_free(workspace);
		return r;
	}
	*ret = workspace;
	return 0;
}

static bool external_driver_exists(void *user, const char *driver)
{
	return process_executor_external(user, driver);
}

int workspace_project(struct workspace *workspace, struct err *err)
{
	struct doc *doc;
	int r;

	if (!workspace->project) {
		r = doc_load(workspace, workspace->file, &doc, err);
		if (r < 0)
			return r;
		workspace->problems = problems_new(workspace, doc);
		workspace->project = project_read(workspace, doc, workspace->catalogue, external_driver_exists, workspace->executor,
			workspace->problems);
	}
	return problems_result(workspace->problems, err);
}

int workspace_store(struct workspace *workspace, struct err *err)
{
	struct err why = ERR_INIT;
	const char *registry;
	int r;

	if (workspace->store)
		return 0;
	r = workspace_project(workspace, err);
	if (r < 0)
		return r;
	if (strcmp(workspace->project->store, "sqlite") != 0)
		return err_set(err, ERR_UNSUPPORTED, "store '%s': this unship keeps its state in SQLite only; write `store: sqlite`",
			workspace->project->store);
	r = fs_mkdirs_durable(workspace->places.state_dir, 0700, &why);
	if (r < 0)
		return err_set(err, why.code == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_STORE, "state directory: %s", why.text);
	registry = fs_join(workspace, workspace->places.state_dir, "deployment-registry.json");
	r = store_open(workspace, workspace->places.store, registry, workspace->dir, &workspace->store, err);
	if (r == 0) {
		workspace->store->committed = workspace->committed;
		workspace->store->committed_user = workspace->committed_user;
	}
	return r;
}

int workspace_environment(struct workspace *workspace, const char *name, struct environment **ret, struct err *err)
{
	int r;

	r = workspace_project(workspace, err);
	if (r < 0)
		return r;
	r = project_find_environment(workspace->project, name, ret, err);
	if (r < 0)
		return r;
	return workspace_store(workspace, err);
}

int workspace_describe(struct workspace *workspace, const char *driver, json_t **ret, struct err *err)
{
	struct work work = { .kind = WORKER_DRIVER, .name = driver };
	struct work_result result;
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	int r;

	if (!workspace->described)
		workspace->described = json_keep(workspace, json_object());
	*ret = json_object_get(workspace->described, driver);
	if (*ret)
		return 0;
	work.request = json_make(ctx, "{s:s, s:i}", "verb", "describe", "protocol", DRIVER_PROTOCOL_VERSION);
	work.deadline_ms = clock_mono_ms() + OBSERVE_TIMEOUT_MS;
	r = executor_call(workspace->executor, ctx, &work, &result, err);
	if (r < 0)
		return err_in(err, "driver '%s'", driver);
	json_put(workspace->described, driver, result.result);
	*ret = json_object_get(workspace->described, driver);
	return 0;
}

int workspace_driver_kind(struct workspace *workspace, const char *driver, enum driver_kind *ret, bool *ret_keeps, struct err *err)
{
	const struct driver *built_in = catalogue_driver(workspace->catalogue, driver);
	json_t *described;
	int r;

	if (built_in) {
		*ret = built_in->kind;
		if (ret_keeps)
			*ret_keeps = built_in->keeps;
		return 0;
	}
	r = workspace_describe(workspace, driver, &described, err);
	if (r < 0)
		return r;
	r = driver_kind_parse(json_str(described, "kind", "code"), ret, err);
	if (r == 0 && ret_keeps)
		*ret_keeps = json_flag(described, "keeps", false);
	return r < 0 ? err_in(err, "driver '%s'", driver) : 0;
}

int workspace_run_id(struct op *op, const char *given, const char **ret, struct err *err)
{
	struct run_row *rows, row = { 0 };
	size_t count;
	int r;

	r = workspace_store(op->workspace, err);
	if (r < 0)
		return r;
	if (given && *given) {
		r = store_run(op->workspace->store, op->ctx, given, &row, err);
		r = op_found(op, r, "run", given, row.environment, err);
		if (r == 0)
			*ret = row.id;
		return r;
	}
	r = op_runs(op, NULL, (struct page){ .limit = 1 }, &rows, &count, err);
	if (r < 0)
		return r;
	if (!count)
		return err_set(err, ERR_NOT_FOUND, "there has been no run yet");
	r = op_permit(op, op->permission, rows[0].environment, err);
	if (r == 0)
		*ret = rows[0].id;
	return r;
}

static bool is_named(const char *const *only, const char *name)
{
	if (!only)
		return true;
	for (; *only; only++)
		if (!strcmp(*only, name))
			return true;
	return false;
}

static json_t *failure_json(const struct err *err)
{
	return json_pack("{s:{s:s, s:s}}", "error", "code", err_info(err->code)->name, "message", err->text);
}

int workspace_observe(struct op *op, const struct environment *environment, const char *const *only, json_t **ret, struct err *err)
{
	struct workspace *workspace = op->workspace;
	struct work *works = mem_array(op->ctx, struct work, environment->component_count + 1);
	const char **names = mem_array(op->ctx, const char *, environment->component_count + 1);
	struct work_result *results;
	json_t *all = json_keep(op->ctx, json_object());
	size_t count = 0;
	int r;

	for (size_t i = 0; i < environment->component_count; i++) {
		const struct component *component = &environment->components[i];

		if (!is_named(only, component->name))
			continue;
		r = call_component(op->ctx, environment, component, "observe", NULL, NULL, NULL, &workspace->places, clock_mono_ms(),
			OBSERVE_TIMEOUT_MS, &works[count], err);
		if (r < 0)
			return err_in(err, "component '%s'", component->name);
		works[count].id = count;
		names[count++] = component->name;
	}
	results = mem_array(op->ctx, struct work_result, count + 1);
	r = executor_call_all(workspace->executor, op->ctx, works, count, results, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		struct observed observed;
		struct err why = results[i].err;

		if (results[i].result && call_read_observation(op->ctx, results[i].result, &observed, &why) == 0)
			json_put(all, names[i], observed.whole);
		else
			json_object_set_new(all, names[i], failure_json(&why));
	}
	*ret = all;
	return 0;
}

static json_t *probe_answer(const struct probe_config *probe, const struct work_result *result, size_t *failed)
{
	json_t *answer = json_pack("{s:s, s:s}", "name", probe->name, "type", probe->type);
	const char *status = json_str(result->result, "status", "fail");

	json_put_str(answer, "component", probe->component);
	json_put_str(answer, "status", status);
	json_put_str(answer, "message", result->result ? json_str(result->result, "message", "") : result->err.text);
	json_put(answer, "details", result->result ? json_object_get(result->result, "details") : NULL);
	json_put_int(answer, "durationMs", result->duration_ms);
	*failed += !strcmp(status, "fail");
	return answer;
}

int workspace_probe(struct op *op, const struct environment *environment, json_t **ret, size_t *ret_failed, struct err *err)
{
	struct work *works = mem_array(op->ctx, struct work, environment->probe_count + 1);
	struct work_result *results = mem_array(op->ctx, struct work_result, environment->probe_count + 1);
	int r;

	for (size_t i = 0; i < environment->probe_count; i++) {
		r = call_probe(op->ctx, environment, &environment->probes[i], NULL, &op->workspace->places, clock_mono_ms(),
			clock_mono_ms() + environment->probes[i].timeout_ms, &works[i], err);
		if (r < 0)
			return err_in(err, "probe '%s'", environment->probes[i].name);
		works[i].id = i;
	}
	r = executor_call_all(op->workspace->executor, op->ctx, works, environment->probe_count, results, err);
	if (r < 0)
		return r;
	*ret = json_keep(op->ctx, json_array());
	*ret_failed = 0;
	for (size_t i = 0; i < environment->probe_count; i++)
		json_array_append_new(*ret, probe_answer(&environment->probes[i], &results[i], ret_failed));
	return 0;
}
