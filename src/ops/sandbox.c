/* Making and removing the copy of an environment (sandbox.h).
 *
 * Drivers copy what they know how to copy, all at once, each in its own process; the real things are only read. A driver that makes no copy takes part when the component's `sandbox:` says where one stands; otherwise the
 * component is left out, and the rehearsal says so. The note stands on the disk before the first copy is made, so that an interrupted copy can always be ended: drivers find again what they made by the folder alone.
 * Threads: as the workspace. */
#include "ops/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/template.h"
#include "ops/content.h"

#define NOTE            "drill.json"
#define NOTE_MAX        (4u << 20)
#define COPY_TIMEOUT_MS (30 * 60 * 1000)
#define END_TIMEOUT_MS  (5 * 60 * 1000)

static char *drill_root(const void *ctx, const struct workspace *workspace)
{
	return fs_join(ctx, workspace->places.state_dir, "drill");
}

static char *sandbox_dir(const void *ctx, const struct workspace *workspace, const char *id)
{
	return mem_printf(ctx, "%s/drill/%s", workspace->places.state_dir, id);
}

int sandbox_lock(struct op *op, int *ret_fd, struct err *err)
{
	char *root = drill_root(op->ctx, op->workspace), *path = fs_join(op->ctx, root, "lock");
	_cleanup_close_ int fd = -1;
	int r;

	r = fs_mkdirs_durable(root, 0700, err);
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? err_set(err, ERR_CONFLICT, "another rehearsal of this project is going on")
					    : err_errno(err, errno, "%s", path);
	*ret_fd = take_fd(fd);
	return 0;
}

/* ---- drivers ---- */

static bool driver_has(struct workspace *workspace, const char *driver, const char *verb)
{
	const struct driver *built_in = catalogue_driver(workspace->catalogue, driver);
	struct err ignored = ERR_INIT;
	json_t *described, *name;
	size_t index;

	if (built_in)
		return !strcmp(verb, "sandbox") ? built_in->sandbox != NULL : built_in->unsandbox != NULL;
	if (workspace_describe(workspace, driver, &described, &ignored) < 0)
		return false;
	json_array_foreach(json_object_get(described, "verbs"), index, name)
		if (json_is_string(name) && !strcmp(json_string_value(name), verb))
			return true;
	return false;
}

static json_t *look_up(void *user, const char *name)
{
	return json_object_get(user, name);
}

/* What the `sandbox:` of a component or probe says, with ${sandbox.dir} and ${sandbox.name} put in; NULL: it has none. */
static int read_overrides(const void *ctx, json_t *config, const char *dir, json_t **ret, struct err *err)
{
	static const char *const known[] = { "sandbox.dir", "sandbox.name", NULL };
	json_t *overrides = json_object_get(config, "sandbox");
	char *name = mem_strdup(ctx, strrchr(dir, '/') + 1);

	*ret = NULL;
	if (!json_is_object(overrides))
		return 0;
	for (char *at = name; *at; at++)
		if (*at == '-')
			*at = '_';
	return template_expand(ctx, overrides, look_up, json_make(ctx, "{s:s, s:s}", "sandbox.dir", dir, "sandbox.name", name), known, ret,
		err);
}

static json_t *merged(const void *ctx, json_t *config, json_t *overrides)
{
	json_t *all = json_keep(ctx, json_copy(config));

	(void)json_object_update(all, overrides);
	return all;
}

static int sandbox_work(struct op *op, const struct environment *environment, const struct component *component, const char *verb,
	const char *dir, json_t *overrides, int64_t timeout_ms, struct work *ret, struct err *err)
{
	int r;

	r = call_component(op->ctx, environment, component, verb, NULL, NULL, NULL, &op->workspace->places, clock_mono_ms(), timeout_ms,
		ret, err);
	if (r < 0)
		return err_in(err, "component '%s'", component->name);
	json_put_str(ret->request, "sandboxDir", dir);
	json_put(ret->request, "overrides", overrides);
	json_put_str(ret->request, "actor", op->actor);
	return 0;
}

/* ---- making it ---- */

static void leave_out(struct sandbox *sandbox, const char *kind, const char *name, const char *why)
{
	(void)json_array_append_new(sandbox->left_out, json_pack("{s:s, s:s}", kind, name, "why", why));
}

static int write_note(struct op *op, struct sandbox *sandbox, json_t *note, struct err *err)
{
	json_t *components = json_array();
	char *text;
	int r;

	for (size_t i = 0; i < sandbox->environment->component_count; i++) {
		const struct component *component = &sandbox->environment->components[i];
		json_t *overrides;

		r = read_overrides(op->ctx, component->config, sandbox->dir, &overrides, err);
		if (r < 0) {
			json_decref(components);
			return err_in(err, "component '%s': sandbox", component->name);
		}
		(void)json_array_append_new(components,
			json_pack("{s:s, s:s, s:O, s:O*}", "name", component->name, "driver", component->driver, "config",
				component->config, "overrides", overrides));
	}
	json_put_str(note, "environment", sandbox->environment->name);
	(void)json_object_set_new(note, "components", components);
	text = json_pretty(op->ctx, note);
	r = fs_mkdirs_durable(sandbox->dir, 0700, err);
	return r < 0 ? r : fs_write_atomic(fs_join(op->ctx, sandbox->dir, NOTE), text, strlen(text), 0600, err);
}

/* Asks the drivers; {name: configuration of the copy}. */
static int copy_components(struct op *op, struct sandbox *sandbox, json_t *configs, struct err *err)
{
	const struct environment *environment = sandbox->environment;
	struct work *works = mem_array(op->ctx, struct work, environment->component_count + 1);
	const char **names = mem_array(op->ctx, const char *, environment->component_count + 1);
	struct work_result *results = mem_array(op->ctx, struct work_result, environment->component_count + 1);
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < environment->component_count; i++) {
		const struct component *component = &environment->components[i];
		json_t *overrides;

		r = read_overrides(op->ctx, component->config, sandbox->dir, &overrides, err);
		if (r == 0 && driver_has(op->workspace, component->driver, "sandbox")) {
			r = sandbox_work(op, environment, component, "sandbox", sandbox->dir, overrides, COPY_TIMEOUT_MS, &works[count],
				err);
			works[count].id = count;
			names[count++] = component->name;
		} else if (r == 0 && overrides) {
			json_put(configs, component->name, merged(op->ctx, component->config, overrides));
		} else if (r == 0) {
			leave_out(sandbox, "component", component->name,
				mem_printf(op->ctx,
					"the driver '%s' makes no copy, and the component has no `sandbox:` that says where one stands",
					component->driver));
		}
	}
	if (r == 0)
		r = executor_call_all(op->workspace->executor, op->ctx, works, count, results, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		json_t *config = json_object_get(results[i].result, "config");

		if (json_is_object(config)) {
			json_put(configs, names[i], config);
		} else if (!results[i].result && results[i].answered && results[i].err.code == ERR_UNSUPPORTED) {
			leave_out(sandbox, "component", names[i], results[i].err.text);
		} else {
			*err = results[i].err;
			if (results[i].result)
				(void)err_set(err, ERR_DRIVER, "the driver answered without a configuration");
			r = err_in(err, "copying component '%s'", names[i]);
		}
	}
	return r;
}

/* A reference to a secret in a file means the file of the project. */
static void keep_secrets(json_t *value, const char *dir)
{
	const char *file = json_object_size(value) == 1 ? json_str(value, "file", NULL) : NULL, *key;
	json_t *item;
	size_t index;

	if (file && *file != '/') {
		_cleanup_talloc_ char *whole = fs_join(NULL, dir, file);

		json_put_str(value, "file", whole);
		return;
	}
	json_object_foreach(value, key, item)
		keep_secrets(item, dir);
	json_array_foreach(value, index, item)
		keep_secrets(item, dir);
}

static json_t *component_json(struct sandbox *sandbox, const struct component *component, json_t *configs, const char *project_dir)
{
	json_t *config = json_deep_copy(json_object_get(configs, component->name)), *needs = json_array();

	for (const char **need = component->needs; *need; need++)
		if (json_object_get(configs, *need))
			(void)json_array_append_new(needs, json_string(*need));
	/* Work in flight is that of the real thing, unless the copy has some of its own. */
	if (!json_object_get(json_object_get(component->config, "sandbox"), "drain"))
		(void)json_object_del(config, "drain");
	(void)json_object_del(config, "name");
	(void)json_object_del(config, "sandbox");
	json_put_str(config, "driver", component->driver);
	(void)json_object_set_new(config, "needs", needs);
	keep_secrets(config, project_dir);
	(void)json_array_append_new(sandbox->rehearsed, json_string(component->name));
	return config;
}

/* A probe looks at the real thing unless it says where else to look. */
static int probes_json(struct op *op, struct sandbox *sandbox, json_t *configs, json_t *probes, struct err *err)
{
	for (size_t i = 0; i < sandbox->environment->probe_count; i++) {
		const struct probe_config *probe = &sandbox->environment->probes[i];
		json_t *overrides, *config;
		int r;

		r = read_overrides(op->ctx, probe->config, sandbox->dir, &overrides, err);
		if (r < 0)
			return err_in(err, "probe '%s': sandbox", probe->name);
		if (!overrides) {
			leave_out(sandbox, "probe", probe->name,
				"it looks at the real thing: its `sandbox:` says where to look in a rehearsal");
			continue;
		}
		if (probe->component && !json_object_get(configs, probe->component)) {
			leave_out(sandbox, "probe", probe->name, mem_printf(op->ctx, "'%s' is left out", probe->component));
			continue;
		}
		config = json_deep_copy(merged(op->ctx, probe->config, overrides));
		(void)json_object_del(config, "sandbox");
		keep_secrets(config, op->workspace->dir);
		(void)json_object_set_new(probes, probe->name, config);
	}
	return 0;
}

static int write_project(struct op *op, struct sandbox *sandbox, json_t *configs, struct err *err)
{
	const struct environment *environment = sandbox->environment;
	json_t *components = json_keep(op->ctx, json_object()), *probes = json_keep(op->ctx, json_object()), *made;
	json_t *written = json_object_get(json_object_get(doc_root(op->workspace->project->doc), "environments"), environment->name);
	char *text;
	int r;

	for (size_t i = 0; i < environment->component_count; i++)
		if (json_object_get(configs, environment->components[i].name))
			(void)json_object_set_new(components, environment->components[i].name,
				component_json(sandbox, &environment->components[i], configs, op->workspace->dir));
	r = probes_json(op, sandbox, configs, probes, err);
	if (r < 0)
		return r;
	if (!json_object_size(components))
		return err_set(err, ERR_UNSUPPORTED, "no component of '%s' can be rehearsed", environment->name);
	made = json_make(op->ctx, "{s:s, s:{s:{s:O, s:O, s:O*}}}", "project", op->workspace->project->name, "environments",
		environment->name, "components", components, "probes", probes, "objectives", json_object_get(written, "objectives"));
	text = json_pretty(op->ctx, made);
	return fs_write_atomic(fs_join(op->ctx, sandbox->dir, "unship.json"), text, strlen(text), 0600, err);
}

int sandbox_make(struct op *op, const struct environment *environment, const char *id, json_t *note, struct sandbox **ret, struct err *err)
{
	struct sandbox *sandbox = mem_zero(op->ctx, struct sandbox);
	json_t *configs = json_keep(op->ctx, json_object());
	struct environment *copy;
	int r;

	*sandbox = (struct sandbox){ .id = id, .dir = sandbox_dir(op->ctx, op->workspace, id), .environment = environment, .op = *op };
	sandbox->rehearsed = json_keep(op->ctx, json_array());
	sandbox->left_out = json_keep(op->ctx, json_array());
	/* The copy is its own world: nobody is asked or told there, and nobody else carries its runs out. */
	sandbox->op.workspace = NULL;
	sandbox->op.principal = NULL;
	sandbox->op.hand_over = NULL;
	sandbox->op.refusal_due = NULL;
	sandbox->op.watch = NULL;
	sandbox->op.confirm = NULL;
	sandbox->op.approval = NULL;
	sandbox->op.breakglass = NULL;
	*ret = sandbox;
	r = write_note(op, sandbox, note, err);
	if (r < 0)
		return r;
	FAILPOINT("drill.noted");
	r = copy_components(op, sandbox, configs, err);
	if (r == 0)
		r = write_project(op, sandbox, configs, err);
	if (r < 0)
		return r;
	FAILPOINT("drill.copied");
	r = workspace_open(op->ctx, sandbox->dir, op->catalogue, &sandbox->op.workspace, err);
	if (r == 0)
		r = workspace_environment(sandbox->op.workspace, environment->name, &copy, err);
	return r < 0 ? err_in(err, "the project of the copy") : 0;
}

/* ---- deployments ---- */

static int adopt_content(struct op *op, struct sandbox *sandbox, const struct deployment *deployment, const char *component,
	struct err *err)
{
	char *path = call_content_path(op->ctx, deployment->id, component);
	char *to = mem_printf(op->ctx, "%s/.deployments/adopted/%s/%s", sandbox->dir, deployment->id, component);
	struct snapshot_store *from, *copy;
	struct snapshot_summary size = { 0 };
	struct err none = ERR_INIT;
	int r;

	r = content_store(op->workspace, &from, err);
	if (r == 0)
		r = content_store(sandbox->op.workspace, &copy, err);
	if (r < 0)
		return r;
	r = snapshot_measure(from, deployment->id, path, &size, &none);
	if (r == -ERR_NOT_FOUND || (r == 0 && size.files == 0))
		return 0;
	if (r < 0) {
		*err = none;
		return err_in(err, "what was kept with %s", deployment->id);
	}
	r = fs_mkdirs(mem_printf(op->ctx, "%s/.deployments/adopted/%s", sandbox->dir, deployment->id), 0700, err);
	if (r == 0)
		r = snapshot_export(from, deployment->id, path, to, err);
	return r < 0 ? r : snapshot_add_tree(copy, deployment->id, path, to, err);
}

/* What the entry that recorded it told, less the components that are left out. */
static json_t *recorded_data(struct op *op, struct sandbox *sandbox, const struct deployment *deployment)
{
	json_t *components = json_object(), *name, *data = json_keep(op->ctx, json_object());
	size_t index;

	json_array_foreach(sandbox->rehearsed, index, name)
		json_put(components, json_string_value(name), json_object_get(deployment->components, json_string_value(name)));
	json_put_str(data, "id", deployment->id);
	json_put_str(data, "version", deployment->version);
	json_put_str(data, "gitSha", deployment->git_sha);
	(void)json_object_set_new(data, "components", components);
	json_put_str(data, "migration", deployment->migration);
	json_put_str(data, "configVersion", deployment->config_version);
	json_put_str(data, "recordedBy", deployment->recorded_by);
	json_put_str(data, "status", deployment_status_name(DEPLOYMENT_SUCCEEDED));
	return json_make(op->ctx, "{s:O}", "deployment", data);
}

int sandbox_adopt(struct op *op, struct sandbox *sandbox, const struct deployment *deployment, struct err *err)
{
	struct snapshot_metadata metadata = { .id = deployment->id,
		.environment = deployment->environment,
		.wall_ms = deployment->wall_ms };
	struct entry entry = { .kind = ENTRY_DEPLOYMENT_RECORDED, .environment = deployment->environment, .actor = op->actor };
	size_t index;
	json_t *name;
	int r;

	r = content_begin(&sandbox->op, &metadata, err);
	json_array_foreach(sandbox->rehearsed, index, name)
		if (r == 0)
			r = adopt_content(op, sandbox, deployment, json_string_value(name), err);
	if (r == 0)
		r = content_keep(&sandbox->op, deployment->id, err);
	if (r < 0)
		return err_in(err, "deployment %s", deployment->id);
	entry.data = recorded_data(op, sandbox, deployment);
	return store_append(sandbox->op.workspace->store, op->ctx, &entry, err);
}

void sandbox_close(struct sandbox *sandbox)
{
	if (!sandbox || !sandbox->op.workspace)
		return;
	content_release(sandbox->op.workspace);
	(void)talloc_free(sandbox->op.workspace);
	sandbox->op.workspace = NULL;
}

/* ---- removing it ---- */

int sandbox_list(struct op *op, const void *ctx, char ***ret, struct err *err)
{
	char *root = drill_root(op->ctx, op->workspace), **names;
	size_t count = 0;
	int r;

	*ret = mem_array(ctx, char *, 1);
	if (!fs_is_dir(root))
		return 0;
	r = fs_list(ctx, root, &names, err);
	if (r < 0)
		return r;
	*ret = names;
	for (size_t i = 0; names[i]; i++)
		if (text_starts_with(names[i], "drl-") && text_is_name(names[i]))
			names[count++] = names[i];
	names[count] = NULL;
	return 0;
}

int sandbox_note(struct op *op, const char *id, json_t **ret, struct err *err)
{
	char *path = mem_printf(op->ctx, "%s/" NOTE, sandbox_dir(op->ctx, op->workspace, id)), *text;
	size_t size;
	int r;

	*ret = NULL;
	if (!fs_exists(path))
		return 0;
	r = fs_read(op->ctx, path, NOTE_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(op->ctx, text, size, NOTE_MAX, ret, err);
	return r < 0 ? err_in(err, "%s", path) : 0;
}

/* Each driver ends what it made, found again by the folder; all are asked, and the first that could not is told. */
static int end_components(struct op *op, const char *dir, json_t *note, struct err *err)
{
	json_t *components = json_object_get(note, "components"), *item;
	size_t size = json_array_size(components) + 1, count = 0, index;
	struct work *works = mem_array(op->ctx, struct work, size);
	struct work_result *results = mem_array(op->ctx, struct work_result, size);
	int r = 0;

	json_array_foreach(components, index, item) {
		struct component component = { .name = json_str(item, "name", ""), .driver = json_str(item, "driver", "") };
		struct environment environment = { .name = json_str(note, "environment", ""),
			.components = &component,
			.component_count = 1 };

		component.config = json_object_get(item, "config");
		if (!driver_has(op->workspace, component.driver, "unsandbox"))
			continue;
		r = sandbox_work(op, &environment, &component, "unsandbox", dir, json_object_get(item, "overrides"), END_TIMEOUT_MS,
			&works[count], err);
		if (r < 0)
			return r;
		works[count].id = count;
		count++;
	}
	r = executor_call_all(op->workspace->executor, op->ctx, works, count, results, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (results[i].result)
			continue;
		*err = results[i].err;
		r = err_in(err, "removing the copy of '%s'", json_str(works[i].request, "name", ""));
	}
	return r;
}

int sandbox_end(struct op *op, const char *id, struct err *err)
{
	char *dir = sandbox_dir(op->ctx, op->workspace, id), **names;
	json_t *note;
	int r;

	if (!fs_is_dir(dir))
		return 0;
	r = sandbox_note(op, id, &note, err);
	if (r == 0 && note)
		r = end_components(op, dir, note, err);
	if (r < 0)
		return r;
	FAILPOINT("drill.ended");
	r = fs_list(op->ctx, dir, &names, err);
	for (; r == 0 && *names; names++)
		if (strcmp(*names, NOTE) != 0)
			r = fs_remove_tree(fs_join(op->ctx, dir, *names), err);
	FAILPOINT("drill.emptied");
	return r;
}

int sandbox_forget(struct op *op, const char *id, struct err *err)
{
	return fs_remove_tree(sandbox_dir(op->ctx, op->workspace, id), err);
}
