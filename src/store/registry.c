/* The registry file: deployment-registry.json, for tools that know only it (docs/reference/registry-file.md).
 *
 * It is made anew from the tables after every transaction that changed what it shows, while the write lock is held, so that two
 * processes cannot
 * put an older content over a newer one. The row registry_file says up to which entry it was written and what the file looked like
 * then: when
 * neither has changed there is nothing to do, which costs one query and one stat.
 *
 * A file that cannot be read is never overwritten. What others wrote into it is taken over first: deployments that are not known
 * become entries, rollbacks
 * that are not known and members that are not ours are kept. Threads: as the store. */
#include "store/internal.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "data/doc.h"

#define NEWEST         1000 /* deployments and rollbacks per environment that the file shows */
#define FORMAT_VERSION "1.0.0"

struct written {
	int64_t changed_seq, written_seq, mtime_ns, size;
};

static int written_row(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	*(struct written *)user = (struct written){ columns[0].integer, columns[1].integer, columns[2].integer, columns[3].integer };
	return 0;
}

static int read_written(struct store *store, struct written *ret, struct err *err)
{
	*ret = (struct written){ 0 };
	return store->sql->ops->run(store->sql, "SELECT changed_seq, written_seq, mtime_ns, size_bytes FROM registry_file WHERE id = 1",
		NULL, 0, written_row, ret, err);
}

/* mtime and size; untouched when there is no file. */
static int look_at_file(const char *path, int64_t *ret_mtime_ns, int64_t *ret_size, struct err *err)
{
	struct stat stat_buf;

	if (stat(path, &stat_buf) < 0)
		return errno == ENOENT ? 0 : err_errno(err, errno, "registry file '%s'", path);
	*ret_mtime_ns = stat_buf.st_mtim.tv_sec * 1000000000LL + stat_buf.st_mtim.tv_nsec;
	*ret_size = stat_buf.st_size;
	return 0;
}

static int is_in_step(struct store *store, bool *ret, struct err *err)
{
	struct written written;
	int64_t mtime_ns = 0, size = 0;
	int r;

	r = read_written(store, &written, err);
	if (r == 0)
		r = look_at_file(store->registry_path, &mtime_ns, &size, err);
	if (r < 0)
		return r;
	*ret = mtime_ns != 0 && written.changed_seq <= written.written_seq && mtime_ns == written.mtime_ns && size == written.size;
	return 0;
}

/* What stands there now; NULL when there is no file. */
static int read_file(struct store *store, const void *ctx, json_t **ret, char **ret_text, struct err *err)
{
	const char *path = store->registry_path;
	size_t size;
	char *text;
	int r;

	*ret = NULL;
	*ret_text = NULL;
	r = fs_read(ctx, path, DOC_SIZE_MAX, &text, &size, err);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = registry_read(ctx, text, size, ret, err);
	if (r < 0)
		return err_in(err, "registry file '%s' cannot be used and was left as it is; mend it, or move it aside and it is made anew",
			path);
	*ret_text = text;
	return 0;
}

/* Components of a foreign deployment: as they are, or made of the list of services, which all had its version. */
static json_t *foreign_components(const json_t *deployment)
{
	const json_t *services = json_object_get(deployment, "services"), *components = json_object_get(deployment, "components");
	const char *version = json_str(deployment, "version", ""), *name;
	json_t *result = json_object(), *one;
	size_t index;

	json_array_foreach(services, index, one)
		json_object_set_new(result, json_string_value(one), json_pack("{s:s}", "version", version));
	if (json_is_object(components))
		json_object_foreach((json_t *)components, name, one)
			json_object_set_new(result, name, json_is_string(one) ? json_pack("{s:O}", "version", one) : json_incref(one));
	return result;
}

static struct entry import_entry(const void *ctx, const json_t *deployment)
{
	const char *status = json_str(deployment, "status", "success");
	json_t *data = json_object();

	json_put_str(data, "id", json_str(deployment, "id", NULL));
	json_put_str(data, "version", json_str(deployment, "version", NULL));
	json_put_str(data, "gitSha", json_str(deployment, "gitSha", NULL));
	json_put_str(data, "timestamp", json_str(deployment, "timestamp", NULL));
	json_put_str(data, "status", strcmp(status, "success") != 0 ? status : "succeeded");
	json_put_str(data, "health", json_str(deployment, "health", NULL));
	json_object_set_new(data, "components", foreign_components(deployment));
	json_put_flag(data, "imported", true);
	json_put_str(data, "recordedBy", "registry file");
	return (struct entry){
		.kind = ENTRY_DEPLOYMENT_RECORDED,
		.environment = json_str(deployment, "environment", NULL),
		.actor = "unship",
		.data = json_keep(ctx, json_pack("{s:o}", "deployment", data)),
	};
}

static int import_unknown(struct store *store, const void *ctx, const json_t *file, struct err *err)
{
	const json_t *list = json_object_get(file, "deployments"), *one;
	struct entry *entries = mem_array(ctx, struct entry, json_array_size(list) + 1);
	size_t index, count = 0;

	json_array_foreach(list, index, one) {
		bool known;
		int r;

		r = deployment_exists(handle_of(store), json_str(one, "id", ""), &known, err);
		if (r < 0)
			return r;
		if (!known)
			entries[count++] = import_entry(ctx, one);
	}
	return count > 0 ? store_add(store, ctx, NULL, entries, count, err) : 0;
}

static int environment_row(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	json_array_append_new(user, json_string(columns[0].text));
	return 0;
}

/* Each environment that has deployments or runs. */
static int list_environments(struct store *store, const void *ctx, json_t **ret, struct err *err)
{
	*ret = json_keep(ctx, json_array());
	return store->sql->ops->run(store->sql, "SELECT name FROM environments ORDER BY name", NULL, 0, environment_row, *ret, err);
}

static json_t *deployment_line(const void *ctx, const struct deployment *deployment)
{
	json_t *services = json_array(), *components = json_object(), *line = json_object(), *component;
	const char *name;

	json_object_foreach(deployment->components, name, component) {
		json_array_append_new(services, json_string(name));
		json_object_set_new(components, name, json_object());
		json_put_str(json_object_get(components, name), "version", json_str(component, "version", NULL));
	}
	json_put_str(line, "id", deployment->id);
	json_put_str(line, "environment", deployment->environment);
	json_put_str(line, "version", deployment->version);
	json_put_str(line, "timestamp", clock_format(ctx, deployment->wall_ms));
	if (deployment->git_sha)
		json_put_str(line, "gitSha", deployment->git_sha);
	else
		json_object_set_new(line, "gitSha", json_null());
	json_put_str(line, "status", deployment->status == DEPLOYMENT_SUCCEEDED ? "success" : deployment_status_name(deployment->status));
	json_put_str(line, "health", health_name(deployment->health));
	json_object_set_new(line, "services", services);
	json_object_set_new(line, "components", components);
	return line;
}

static json_t *rollback_line(const void *ctx, const struct run_row *run)
{
	json_t *line = json_object();

	json_put_str(line, "rollbackId", run->id);
	json_put_str(line, "fromDeploymentId", run->from ? run->from : "");
	json_put_str(line, "toDeploymentId", run->to ? run->to : "");
	json_put_str(line, "reason", run->reason ? run->reason : "");
	json_put_str(line, "timestamp", clock_format(ctx, run->requested_ms));
	json_put_flag(line, "success", !strcmp(run->status, "completed"));
	return line;
}

/* Members that another tool gave the line of the same id are kept. */
static json_t *over_former(json_t *former, json_t *line)
{
	json_t *result;

	if (!former)
		return line;
	result = json_copy(former);
	json_object_update(result, line);
	json_decref(line);
	return result;
}

static json_t *lines_by_id(const void *ctx, const json_t *list, const char *member)
{
	json_t *result = json_keep(ctx, json_object()), *one;
	size_t index;

	json_array_foreach(list, index, one)
		json_object_set(result, json_str(one, member, ""), one);
	return result;
}

static int add_deployments(struct store *store, const void *ctx, const json_t *environments, size_t most, const json_t *former, json_t *ret,
	struct err *err)
{
	json_t *known = lines_by_id(ctx, former, "id"), *environment;
	size_t index;

	json_array_foreach(environments, index, environment) {
		struct deployment **list;
		size_t count;
		int r;

		r = store_deployments(store, ctx, json_string_value(environment), most, &list, &count, err);
		if (r < 0)
			return r;
		while (count-- > 0)
			json_array_append_new(ret, over_former(json_object_get(known, list[count]->id), deployment_line(ctx, list[count])));
	}
	return 0;
}

static int id_known_row(void *user, unused_arg const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	*(bool *)user = true;
	return 1;
}

/* Those of a former store or another tool, before ours. */
static int keep_foreign_rollbacks(struct store *store, const json_t *former, json_t *ret, struct err *err)
{
	json_t *one;
	size_t index;

	json_array_foreach(former, index, one) {
		bool known = false;
		int r;

		r = sql_each(store->sql, err, id_known_row, &known, "SELECT 1 FROM runs WHERE id = $1",
			SQL_T(json_str(one, "rollbackId", "")));
		if (r < 0)
			return r;
		if (!known)
			json_array_append(ret, one);
	}
	return 0;
}

static int add_rollbacks(struct store *store, const void *ctx, const json_t *environments, size_t most, const json_t *former, json_t *ret,
	struct err *err)
{
	json_t *known = lines_by_id(ctx, former, "rollbackId"), *environment;
	size_t index;
	int r;

	r = keep_foreign_rollbacks(store, former, ret, err);
	if (r < 0)
		return r;
	json_array_foreach(environments, index, environment) {
		struct run_row *runs;
		size_t count;

		r = store_runs(store, ctx, json_string_value(environment), NULL, most, &runs, &count, err);
		if (r < 0)
			return r;
		/* A refused run changed nothing: it was no rollback. */
		while (count-- > 0)
			if (runs[count].ended_ms && strcmp(runs[count].status, "refused") != 0)
				json_array_append_new(ret,
					over_former(json_object_get(known, runs[count].id), rollback_line(ctx, &runs[count])));
	}
	return 0;
}

static int make_text(struct store *store, const void *ctx, json_t *file, size_t most, char **ret, struct err *err)
{
	json_t *root = json_keep(ctx, file ? json_copy(file) : json_object()), *environments;
	json_t *deployments = json_keep(ctx, json_array()), *rollbacks = json_keep(ctx, json_array());
	int r;

	r = list_environments(store, ctx, &environments, err);
	if (r == 0)
		r = add_deployments(store, ctx, environments, most, json_object_get(file, "deployments"), deployments, err);
	if (r == 0)
		r = add_rollbacks(store, ctx, environments, most, json_object_get(file, "rollbacks"), rollbacks, err);
	if (r < 0)
		return r;
	if (!json_object_get(root, "version"))
		json_put_str(root, "version", FORMAT_VERSION);
	if (!json_object_get(root, "projectPath"))
		json_put_str(root, "projectPath", store->project_dir);
	json_put(root, "deployments", deployments);
	json_put(root, "rollbacks", rollbacks);
	*ret = mem_append(json_pretty(ctx, root), "\n");
	return 0;
}

static int note_written(struct store *store, struct err *err)
{
	int64_t mtime_ns = 0, size = 0;
	int r;

	r = look_at_file(store->registry_path, &mtime_ns, &size, err);
	if (r < 0)
		return r;
	return sql_do(store->sql, err,
		"UPDATE registry_file SET written_seq = (SELECT seq FROM head WHERE head.id = 1), mtime_ns = $1, size_bytes = $2 WHERE id = 1",
		SQL_I(mtime_ns), SQL_I(size));
}

static int sync_locked(struct store *store, const void *ctx, struct err *err)
{
	char *before, *after = NULL;
	size_t most = NEWEST;
	json_t *file;
	int r;

	r = read_file(store, ctx, &file, &before, err);
	if (r == 0 && file)
		r = import_unknown(store, ctx, file, err);
	/* Hundreds of environments: fewer of each, so that the file stays one that is read again. */
	do {
		if (r == 0)
			r = make_text(store, ctx, file, most, &after, err);
		most /= 2;
	} while (r == 0 && strlen(after) > DOC_SIZE_MAX && most > 0);
	if (r == 0 && strlen(after) > DOC_SIZE_MAX)
		r = err_set(err, ERR_TOO_LARGE, "registry file '%s' would have more than %u bytes", store->registry_path, DOC_SIZE_MAX);
	if (r == 0 && (!before || strcmp(before, after) != 0))
		r = fs_write_atomic(store->registry_path, after, strlen(after), 0600, err);
	return r < 0 ? r : note_written(store, err);
}

int registry_sync(struct store *store, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	bool in_step = false;
	int r;

	if (!store->registry_path)
		return 0;
	r = is_in_step(store, &in_step, err);
	if (r < 0 || in_step)
		return r;
	r = store_begin(store, err);
	if (r == 0)
		r = sync_locked(store, ctx, err);
	/* Not store_commit: the file is what is being written here. */
	if (r == 0)
		r = store->sql->ops->commit(store->sql, err);
	if (r < 0)
		store_undo(store);
	return r;
}

static void follow(struct handle *handle)
{
	struct store *store = &handle->store;
	struct err err = ERR_INIT;
	char *text = NULL;

	if (registry_sync(store, &err) < 0)
		text = mem_strdup(handle, err.text);
	(void)talloc_free((void *)(uintptr_t)store->registry_trouble);
	store->registry_trouble = text;
}

void registry_follow(struct handle *handle)
{
	if (handle->store.registry_path)
		follow(handle);
}

void registry_catch_up(struct handle *handle)
{
	if (handle->store.registry_path)
		follow(handle);
}
