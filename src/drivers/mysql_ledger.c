/* The loss ledger of a restore (drivers/database.h): the tables that were put aside are compared with the row lists of the copy, and the rows that are not in it are read once more, whole. One thread. */
#include "base/failpoint.h"
#include "drivers/mysql_restore.h"

/* Rows that are to be written down: by key, sorted, as the comparison tells them. */
struct pick {
	const char *key;
	int64_t times;
	enum row_change change;
};
struct picking {
	struct ledger *ledger;
	const char *table;
	void *ctx;
	struct pick *list;
	size_t count, room;
	/* While the rows are read: */
	struct row_sum *sum;
	json_t *columns; /* names, in the order of the values */
};

static int pick(void *user, enum row_change change, const char *key, int64_t times, struct err *err)
{
	struct picking *picking = user;

	if (change == ROW_REMOVED || picking->count >= LEDGER_ROWS_MAX || !ledger_keeps(picking->ledger, picking->table))
		return ledger_add(picking->ledger, picking->table, change, key, times, NULL, err);
	if (picking->count == picking->room) {
		picking->room = MAX(2 * picking->room, (size_t)64);
		picking->list = mem_resize(picking->ctx, picking->list, struct pick, picking->room);
	}
	picking->list[picking->count++] = (struct pick){ .key = mem_strdup(picking->ctx, key), .times = times, .change = change };
	return 0;
}

static int pick_order(const void *key, const void *item)
{
	return strcmp(key, ((const struct pick *)item)->key);
}

/* Equal rows of a table without primary key come one after the other: the first one stands for all. */
static int write_row(void *user, const struct mysqldb_value *values, size_t count, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct picking *picking = user;
	const char *key, *hash;
	struct pick *found;
	json_t *row, *name;
	size_t i;

	row_sum_of(picking->sum, values, &key, &hash);
	found = bsearch(key, picking->list, picking->count, sizeof(*picking->list), pick_order);
	if (!found || found->times == 0)
		return 0;
	row = json_keep(work, json_object());
	json_array_foreach(picking->columns, i, name)
		(void)json_object_set_new(row, json_string_value(name), mysql_value_json(&values[i]));
	i = (size_t)found->times;
	found->times = 0;
	return ledger_add(picking->ledger, picking->table, found->change, key, (int64_t)i, row, err);
}

static int write_rows(struct mysqldb *db, const struct mysql_source *source, json_t *key, struct picking *picking, struct err *err)
{
	json_t *missing, *more, *name;
	struct mysql_source wide = *source;
	size_t i;
	int r;

	missing = mysql_columns_missing(picking->ctx, source->columns, json_object_get(source->table, "columns"));
	more = mysql_columns_missing(picking->ctx, json_object_get(source->table, "columns"), source->columns);
	wide.columns = json_keep(picking->ctx, json_copy(source->columns));
	json_array_foreach(more, i, name)
		(void)json_array_append(wide.columns, name);
	picking->columns = wide.columns;
	r = row_sum_new(picking->ctx, source->columns, key, missing, &picking->sum, err);
	return r < 0 ? r : mysql_rows_read(db, &wide, write_row, picking, err);
}

/* `then`: the table in the copy, with `dir` where its row list stands; NULL: it was not there. `now`: in the catalogue of what was put aside; NULL: it is not there. */
static int write_table(struct mysqldb *db, struct ledger *ledger, const char *name, json_t *then, const char *dir, const char *schema,
	json_t *now, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct picking picking = { .ledger = ledger, .table = name, .ctx = work };
	const struct mysql_source source = { .schema = schema,
		.name = name,
		.table = now,
		.columns = json_object_get(then ? then : now, "columns") };
	json_t *key = json_object_get(then ? then : now, "key");
	char checksum[HASH_HEX_SIZE];
	int64_t rows;
	int r = 0;

	if (now)
		r = mysql_rows_list(db, &source, key, ledger_scratch(ledger), &rows, checksum, err);
	if (r == 0)
		r = row_lists_compare(then ? dir : "", now ? ledger_scratch(ledger) : "", name, pick, &picking, err);
	if (r == 0 && picking.count > 0)
		r = write_rows(db, &source, key, &picking, err);
	return r < 0 ? err_in(err, "table '%s'", name) : 0;
}

int mysql_write_ledger(struct mysqldb *db, const struct mysql_wanted *wanted, const char *old, json_t *there, json_t **ret_total,
	struct err *err)
{
	_cleanup_(ledger_abort) struct ledger *ledger = NULL;
	json_t *kept = wanted->index ? json_object_get(wanted->index, "tables") : NULL, *now = json_object_get(there, "tables"), *table;
	const char *name;
	int r;

	r = ledger_open(db->call, wanted->since, &ledger, err);
	for (size_t i = 0; r == 0 && i < wanted->count; i++) {
		const struct mysql_wanted_table *one = &wanted->tables[i];

		r = write_table(db, ledger, one->name, one->entry, one->dir, old, json_object_get(now, one->name), err);
	}
	if (wanted->whole)
		json_object_foreach(now, name, table)
			if (r == 0 && !json_object_get(kept, name) && strcmp(name, "unship_restore") != 0)
				r = write_table(db, ledger, name, NULL, NULL, old, table, err);
	FAILPOINT("mysql.ledger_gathered");
	return r < 0 ? r : ledger_close(&ledger, ret_total, err);
}
