/* Rows into structs: shared by the queries of this folder. Threads: as the store that they read. */
#include "store/internal.h"

#include "data/doc.h"

int gather_row(void *user, const struct sql_value *columns, unused_arg size_t count, struct err *err)
{
	struct gather *gather = user;
	size_t room = gather->rows ? talloc_get_size(gather->rows) / gather->size : 0;
	int r;

	if (gather->count == room)
		gather->rows = mem_resize(gather->ctx, gather->rows, char, gather->size *MAX(2 * room, (size_t)8));
	memset(gather->rows + gather->count * gather->size, 0, gather->size);
	r = gather->read(gather->ctx, columns, gather->rows + gather->count * gather->size, err);
	if (r < 0)
		return r;
	gather->count++;
	return 0;
}

int single_row(void *user, const struct sql_value *columns, unused_arg size_t count, struct err *err)
{
	struct single *single = user;
	int r;

	r = single->read(single->ctx, columns, single->ret, err);
	if (r < 0)
		return r;
	single->found = true;
	return 1;
}

int column_json(const void *ctx, const struct sql_value *column, json_t **ret, struct err *err)
{
	int r;

	if (column->type != SQL_TEXT) {
		*ret = NULL;
		return 0;
	}
	r = json_parse(ctx, column->text, strlen(column->text), DOC_SIZE_MAX, ret, err);
	if (r < 0) {
		(void)err_as(err, ERR_CORRUPT);
		return err_in(err, "JSON in the store");
	}
	return 0;
}

struct ids {
	const void *ctx;
	char *list[4];
	size_t count;
};

static int ids_row(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	struct ids *ids = user;

	if (ids->count < ARRAY_SIZE(ids->list))
		ids->list[ids->count++] = mem_strdup(ids->ctx, columns[0].text);
	return 0;
}

static int ids_beginning(struct store *store, const char *statement, const char *begin, struct ids *ids, struct err *err)
{
	/* DEL is behind every character of an id. */
	_cleanup_talloc_ char *end = mem_printf(NULL, "%s\x7f", begin);

	return sql_each(store->sql, err, ids_row, ids, statement, SQL_T(begin), SQL_T(end));
}

int resolve_id(struct store *store, const void *ctx, const char *statement, const char *what, const char *prefix, const char *given,
	const char **ret, struct err *err)
{
	struct ids ids = { .ctx = ctx };
	const char *begin = given;
	int r;

	if (!given || !given[0])
		return err_set(err, ERR_INVALID, "the id of a %s is missing", what);
	r = ids_beginning(store, statement, begin, &ids, err);
	if (r == 0 && ids.count == 0) {
		begin = mem_printf(ctx, "%s-%s", prefix, given);
		r = ids_beginning(store, statement, begin, &ids, err);
	}
	if (r < 0)
		return r;
	if (ids.count == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", what, given);
	/* In order, so a whole id stands before those that it is a beginning of. */
	if (ids.count > 1 && strcmp(ids.list[0], begin) != 0)
		return err_set(err, ERR_AMBIGUOUS, "'%s' is the beginning of several: %s, %s%s%s", given, ids.list[0], ids.list[1],
			ids.count > 2 ? ", " : "",
			ids.count > 3           ? "..."
				: ids.count > 2 ? ids.list[2]
						: "");
	*ret = ids.list[0];
	return 0;
}
