/* What a restore of an SQLite database takes away, and the facts of its tables (database.h). The copy holds all rows of its moment, so no row lists are kept with it: both sides are listed when they are compared. One thread. */
#include "base/text.h"
#include "data/json.h"
#include "drivers/database.h"
#include "drivers/sqlite_facts.h"
#include "drivers/sqlite_restore.h"

#define BATCH 20000 /* changed rows that are read at once; each batch reads the table once */

/* The key as JSON: what JSON cannot hold is written as text. NULL: no primary key that no two rows share. */
static int key_of(const void *ctx, sqlite3 *connection, const char *database, const char *table, char **ret, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	char *key = NULL;
	bool whole = true, lone = true;
	int r;

	r = facts_prepare(connection,
		mem_printf(ctx, "SELECT name, type, \"notnull\" FROM pragma_table_info(%s, %s) WHERE pk > 0 ORDER BY pk",
			facts_quote_text(ctx, table), facts_quote_text(ctx, database)),
		&statement, err);
	while (r >= 0 && (r = facts_step(connection, statement, err)) > 0) {
		const char *name = facts_quote(ctx, facts_column(statement, 0));

		lone = !key;
		whole = whole && (sqlite3_column_int(statement, 2) || strcasecmp(facts_column(statement, 1), "INTEGER") == 0);
		key = mem_appendf(key ? key : mem_strdup(ctx, "json_array("),
			"%sCASE typeof(%s) WHEN 'blob' THEN 'x' || hex(%s) WHEN 'real' THEN printf('%%!.17g', %s) ELSE %s END",
			lone ? "" : ", ", name, name, name, name);
	}
	*ret = key && whole ? mem_append(key, ")") : NULL;
	return r;
}

static int list_rows(const void *ctx, sqlite3 *connection, const char *database, const char *table, const char *dir, int64_t *ret_rows,
	char ret_checksum[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	_cleanup_(row_list_abort) struct row_list *list = NULL;
	_cleanup_talloc_ void *work = mem_context(ctx);
	char *key, hash[HASH_HEX_SIZE];
	int r;

	r = key_of(work, connection, database, table, &key, err);
	if (r == 0)
		r = row_list_open(ctx, dir, table, &list, err);
	if (r == 0)
		r = facts_prepare(connection,
			mem_printf(work, "SELECT %s, * FROM %s.%s", key ? key : "NULL", database, facts_quote(work, table)), &statement,
			err);
	while (r >= 0 && (r = facts_step(connection, statement, err)) > 0) {
		facts_row_hash(statement, 1, hash);
		r = key ? row_list_add(list, facts_column(statement, 0), hash, err) : row_list_add(list, hash, NULL, err);
	}
	if (r == 0)
		r = row_list_close(take_pointer(list), ret_rows, ret_checksum, err);
	return r < 0 ? err_in(err, "table '%s'", table) : 0;
}

/* Rows of all tables of a database; lists in `dir` (NULL: facts only). */
static int list_all(const void *ctx, sqlite3 *connection, const char *dir, json_t **ret, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	json_t *facts = json_make(ctx, "{}");
	int r;

	r = facts_prepare(connection, FACTS_TABLES, &statement, err);
	while (r >= 0 && (r = facts_step(connection, statement, err)) > 0) {
		char checksum[HASH_HEX_SIZE];
		int64_t rows;

		r = list_rows(ctx, connection, "main", facts_column(statement, 0), dir, &rows, checksum, err);
		if (r == 0)
			database_put_facts(facts, facts_column(statement, 0), rows, checksum);
	}
	if (r == 0)
		*ret = facts;
	return r;
}

int sqlite_write_facts(struct driver_call *call, const char *copy, const char *dir, struct err *err)
{
	_cleanup_(sqlite_close) sqlite3 *connection = NULL;
	json_t *facts;
	int r = sqlite_open_copy(call, copy, &connection, err);

	if (r == 0)
		r = list_all(call->ctx, connection, NULL, &facts, err);
	return r < 0 ? r : database_write_facts(dir, facts, err);
}

/* ---- changes ---- */

struct noting {
	void *ctx;
	sqlite3 *live;
	struct ledger *ledger;
	const char *table;
	char *key;    /* of the table as it is now; NULL: none */
	json_t *keys; /* of the batch: {KEY: {"change", "times"}} */
};

static json_t *value_of(sqlite3_stmt *statement, int i)
{
	char *text;
	json_t *value;

	switch (sqlite3_column_type(statement, i)) {
	case SQLITE_INTEGER:
		return json_integer(sqlite3_column_int64(statement, i));
	case SQLITE_FLOAT:
		value = json_real(sqlite3_column_double(statement, i));
		return value ? value : json_string(facts_column(statement, i)); /* an infinity */
	case SQLITE_NULL:
		return json_null();
	case SQLITE_BLOB:
		text = text_hex(NULL, sqlite3_column_blob(statement, i), (size_t)sqlite3_column_bytes(statement, i));
		value = json_sprintf("x%s", text);
		(void)talloc_free(text);
		return value;
	default:
		text = text_printable(NULL, facts_column(statement, i), strlen(facts_column(statement, i)), true);
		value = json_string(
			text_is_utf8(facts_column(statement, i), strlen(facts_column(statement, i))) ? facts_column(statement, i) : text);
		(void)talloc_free(text);
		return value;
	}
}

static int note_row(struct noting *noting, const char *key, json_t *row, struct err *err)
{
	json_t *what = json_object_get(noting->keys, key);
	int r;

	if (!what)
		return 0;
	r = ledger_add(noting->ledger, noting->table, (enum row_change)json_int(what, "change", 0), key, json_int(what, "times", 1), row,
		err);
	(void)json_object_del(noting->keys, key);
	return r;
}

/* Rows that are there now, in one walk over the table. */
static int note_present(struct noting *noting, struct err *err)
{
	_cleanup_(facts_finalize) sqlite3_stmt *statement = NULL;
	int r;

	r = facts_prepare(noting->live,
		mem_printf(noting->ctx, "SELECT %s, * FROM main.%s", noting->key ? noting->key : "NULL",
			facts_quote(noting->ctx, noting->table)),
		&statement, err);
	while (r >= 0 && json_object_size(noting->keys) > 0 && (r = facts_step(noting->live, statement, err)) > 0) {
		char hash[HASH_HEX_SIZE];
		const char *key = hash;
		json_t *row;

		if (noting->key)
			key = facts_column(statement, 0);
		else
			facts_row_hash(statement, 1, hash);
		if (!json_object_get(noting->keys, key))
			continue;
		row = json_object();
		for (int i = 1; i < sqlite3_column_count(statement); i++)
			(void)json_object_set_new(row, sqlite3_column_name(statement, i), value_of(statement, i));
		r = note_row(noting, key, row, err);
		json_decref(row);
	}
	return MIN(r, 0);
}

static int flush(struct noting *noting, struct err *err)
{
	const char *key;
	json_t *what;
	void *next;
	int r = 0;

	if (json_object_size(noting->keys) > 0 && ledger_keeps(noting->ledger, noting->table))
		r = note_present(noting, err);
	json_object_foreach_safe(noting->keys, next, key, what) /* those that are only counted */
		if (r == 0)
			r = note_row(noting, key, NULL, err);
	(void)json_object_clear(noting->keys);
	return r;
}

static int note_change(void *user, enum row_change change, const char *key, int64_t times, struct err *err)
{
	struct noting *noting = user;

	if (change == ROW_REMOVED)
		return ledger_add(noting->ledger, noting->table, change, key, times, NULL, err);
	(void)json_object_set_new(noting->keys, key, json_pack("{s:i, s:I}", "change", (int)change, "times", (json_int_t)times));
	return json_object_size(noting->keys) < BATCH ? 0 : flush(noting, err);
}

static int note_table(struct noting *noting, const char *then, const char *now, const char *table, struct err *err)
{
	int r;

	noting->table = table;
	r = key_of(noting->ctx, noting->live, "main", table, &noting->key, err);
	if (r == 0)
		r = row_lists_compare(then, now, table, note_change, noting, err);
	return r < 0 ? r : flush(noting, err);
}

/* `from` is the copy, `live` in a transaction of its own or the caller's. The caller closes the ledger when nobody can write any more. */
int sqlite_note_losses(struct driver_call *call, sqlite3 *from, sqlite3 *live, const char *dir, struct ledger **ret, struct err *err)
{
	_cleanup_(ledger_abort) struct ledger *ledger = NULL;
	struct noting noting = { .ctx = call->ctx, .live = live, .keys = json_make(call->ctx, "{}") };
	json_t *then, *now, *ignored;
	struct err unknown = ERR_INIT;
	const char *since = "", *table;
	char *before, *after;
	int r;

	(void)(database_read_facts(call->ctx, dir, &ignored, &since, &unknown) < 0); /* copies that are older than facts have none */
	r = ledger_open(call, since, &ledger, err);
	if (r < 0)
		return r;
	noting.ledger = ledger;
	before = mem_printf(call->ctx, "%s/then", ledger_scratch(ledger));
	after = mem_printf(call->ctx, "%s/now", ledger_scratch(ledger));
	r = list_all(call->ctx, from, before, &then, err);
	if (r == 0)
		r = list_all(call->ctx, live, after, &now, err);
	if (r < 0)
		return r;
	json_object_foreach(now, table, ignored)
		if (r == 0)
			r = note_table(&noting, before, after, table, err);
	json_object_foreach(then, table, ignored)
		if (r == 0 && !json_object_get(now, table))
			r = note_table(&noting, before, after, table, err);
	if (r == 0)
		*ret = take_pointer(ledger);
	return r;
}

/* Named tables, each against the database that it comes from, which is attached. */
int sqlite_note_tables(struct driver_call *call, sqlite3 *live, const struct sqlite_table *tables, const char *const *attached,
	size_t count, json_t **ret_lost, struct err *err)
{
	_cleanup_(ledger_abort) struct ledger *ledger = NULL;
	struct noting noting = { .ctx = call->ctx, .live = live, .keys = json_make(call->ctx, "{}") };
	char *before, *after, checksum[HASH_HEX_SIZE];
	int64_t rows, there;
	int r;

	r = ledger_open(call, "", &ledger, err);
	if (r < 0)
		return r;
	noting.ledger = ledger;
	before = mem_printf(call->ctx, "%s/then", ledger_scratch(ledger));
	after = mem_printf(call->ctx, "%s/now", ledger_scratch(ledger));
	for (size_t i = 0; r == 0 && i < count; i++) {
		const char *const places[] = { attached[i], "main" }, *dirs[] = { before, after };

		for (size_t k = 0; r == 0 && k < ARRAY_SIZE(places); k++) {
			r = facts_integer(live,
				mem_printf(call->ctx,
					"SELECT count(*) FROM %s.sqlite_master WHERE type = 'table' AND name = %s COLLATE NOCASE",
					places[k], facts_quote_text(call->ctx, tables[i].name)),
				&there, err);
			if (r == 0 && there)
				r = list_rows(call->ctx, live, places[k], tables[i].name, dirs[k], &rows, checksum, err);
		}
		if (r == 0)
			r = note_table(&noting, before, after, tables[i].name, err);
	}
	return r < 0 ? r : ledger_close(&ledger, ret_lost, err);
}
