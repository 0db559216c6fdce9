/* Opening a store, and the short ways to its journal. Threads: one store per thread. */
#include "store/internal.h"

#include <errno.h>
#include <libgen.h>

#include "base/fs.h"
#include "base/text.h"

static int handle_free(struct handle *handle)
{
	if (handle->store.sql)
		handle->store.sql->ops->close(handle->store.sql);
	handle->store.sql = NULL;
	return 0;
}

static int open_over(const void *ctx, struct sql *sql, const char *address, const char *registry_path, const char *project_dir,
	struct store **ret, struct err *err)
{
	struct handle *handle;
	int r;

	r = schema_migrate(sql, err);
	if (r < 0) {
		sql->ops->close(sql);
		return r;
	}
	handle = mem_zero(ctx, struct handle);
	handle->store.journal.ops = &store_journal_ops;
	handle->store.sql = talloc_steal(handle, sql);
	handle->store.address = mem_strdup(handle, address);
	handle->store.registry_path = mem_strdup(handle, registry_path);
	handle->store.project_dir = mem_strdup(handle, project_dir);
	handle->holder = claim_holder(handle);
	talloc_set_destructor(handle, handle_free);
	registry_catch_up(handle);
	*ret = &handle->store;
	return 0;
}

int store_open_sql(const void *ctx, struct sql *sql, const char *registry_path, const char *project_dir, struct store **ret,
	struct err *err)
{
	return open_over(ctx, sql, sql->ops->name, registry_path, project_dir, ret, err);
}

static int make_directory(const void *ctx, const char *path, struct err *err)
{
	const char *directory = dirname(mem_strdup(ctx, path));

	if (fs_is_dir(directory))
		return 0;
	return fs_mkdirs_durable(directory, 0700, err);
}

int store_open(const void *ctx, const char *address, const char *registry_path, const char *project_dir, struct store **ret,
	struct err *err)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	const char *path = address;
	struct sql *sql;
	int r = 0;

	if (text_starts_with(address, "sqlite:"))
		path = address + strlen("sqlite:");
	else if (strstr(address, "://"))
		return err_set(err, ERR_UNSUPPORTED, "store '%s': only SQLite is known: sqlite:PATH", address);
	if (!path[0])
		return err_set(err, ERR_INVALID, "store '%s': the path is missing", address);
	if (strcmp(path, ":memory:") != 0)
		r = make_directory(scratch, path, err);
	if (r == 0)
		r = sqlite_open(ctx, path, &sql, err);
	if (r < 0)
		return r;
	r = open_over(ctx, sql, mem_printf(scratch, "sqlite:%s", path), registry_path, project_dir, ret, err);
	return r < 0 ? err_in(err, "opening '%s'", path) : 0;
}

int store_append(struct store *store, const void *ctx, struct entry *entry, struct err *err)
{
	return store->journal.ops->append(&store->journal, ctx, NULL, entry, 1, err);
}

int store_append_all(struct store *store, const void *ctx, const struct claim *fence, struct entry *entries, size_t count, struct err *err)
{
	return store->journal.ops->append(&store->journal, ctx, fence, entries, count, err);
}

int store_read(struct store *store, const void *ctx, const struct entry_filter *filter, struct entry **ret, size_t *ret_count,
	struct err *err)
{
	return store->journal.ops->read(&store->journal, ctx, filter, ret, ret_count, err);
}
