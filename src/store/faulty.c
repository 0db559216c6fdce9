/* A connection that fails one call of another connection, so that tests can go through every place where a store may fail.
 * Counted are begin, run and commit, from 1. Threads: as the inner connection. */
#include "store/sql.h"

struct faulty {
	struct sql sql; /* first */
	struct sql *inner;
	unsigned nth, calls;
	enum err_code code;
	bool after;
};

static struct faulty *faulty_of(struct sql *sql)
{
	return (struct faulty *)sql;
}

static bool is_due(struct faulty *faulty)
{
	return ++faulty->calls == faulty->nth;
}

static int injected(const struct faulty *faulty, const char *where, struct err *err)
{
	return err_set(err, faulty->code, "injected failure of call %u (%s)", faulty->nth, where);
}

static int faulty_begin(struct sql *sql, struct err *err)
{
	struct faulty *faulty = faulty_of(sql);

	if (is_due(faulty))
		return injected(faulty, "begin", err);
	return faulty->inner->ops->begin(faulty->inner, err);
}

static int faulty_commit(struct sql *sql, struct err *err)
{
	struct faulty *faulty = faulty_of(sql);
	int r;

	if (!is_due(faulty))
		return faulty->inner->ops->commit(faulty->inner, err);
	if (faulty->after) {
		r = faulty->inner->ops->commit(faulty->inner, err);
		if (r < 0)
			return r;
	}
	return injected(faulty, faulty->after ? "after commit" : "before commit", err);
}

static void faulty_rollback(struct sql *sql)
{
	faulty_of(sql)->inner->ops->rollback(faulty_of(sql)->inner);
}

static int faulty_run(struct sql *sql, const char *statement, const struct sql_value *parameters, size_t count, sql_row row, void *user,
	struct err *err)
{
	struct faulty *faulty = faulty_of(sql);

	if (is_due(faulty))
		return injected(faulty, statement, err);
	return faulty->inner->ops->run(faulty->inner, statement, parameters, count, row, user, err);
}

static int64_t faulty_changes(struct sql *sql)
{
	return faulty_of(sql)->inner->ops->changes(faulty_of(sql)->inner);
}

static void faulty_close(struct sql *sql)
{
	(void)talloc_free(faulty_of(sql));
}

static const struct sql_ops faulty_ops = {
	.name = "faulty",
	.begin = faulty_begin,
	.commit = faulty_commit,
	.rollback = faulty_rollback,
	.run = faulty_run,
	.changes = faulty_changes,
	.close = faulty_close,
};

struct sql *faulty_wrap(const void *ctx, struct sql *inner, unsigned nth, enum err_code code, bool after)
{
	struct faulty *faulty = mem_zero(ctx, struct faulty);

	faulty->sql.ops = &faulty_ops;
	faulty->inner = talloc_steal(faulty, inner);
	faulty->nth = nth;
	faulty->code = code;
	faulty->after = after;
	return &faulty->sql;
}

unsigned faulty_calls(const struct sql *sql)
{
	return ((const struct faulty *)sql)->calls;
}
