/* What a restore of a PostgreSQL database takes away (database.h), and the look afterwards whether everything is as it was captured. Both run in the restoring transaction, which holds all writers off. One thread. */
#include "drivers/postgres_restore.h"

#include "base/failpoint.h"
#include "data/json.h"

#define BATCH_KEYED   500   /* found by their key */
#define BATCH_KEYLESS 20000 /* each batch reads the table once */

struct noting {
	struct postgres *p;
	struct pg *pg;
	struct ledger *ledger;
	const char *name;
	const struct postgres_table *table; /* NULL: it is gone */
	void *batch;
	const char **keys;
	enum row_change *changes;
	int64_t *times;
	size_t count;
	json_t *rows; /* of the batch, by key */
};

static int take_row(void *user, const char *key, json_t *row, struct err *err)
{
	struct noting *noting = user;

	(void)err;
	json_put(noting->rows, key, row);
	return 0;
}

static int flush(struct noting *noting, struct err *err)
{
	int r = 0;

	if (noting->count == 0)
		return 0;
	noting->rows = json_make(noting->batch, "{}");
	if (noting->table && ledger_keeps(noting->ledger, noting->name))
		r = postgres_find_rows(noting->batch, noting->pg, noting->table, noting->keys, noting->count, take_row, noting, err);
	for (size_t i = 0; r == 0 && i < noting->count; i++)
		r = ledger_add(noting->ledger, noting->name, noting->changes[i], noting->keys[i], noting->times[i],
			noting->changes[i] == ROW_REMOVED ? NULL : json_object_get(noting->rows, noting->keys[i]), err);
	(void)talloc_free(noting->batch);
	noting->batch = mem_context(noting->p->call->ctx);
	noting->count = 0;
	return r;
}

static int note_change(void *user, enum row_change change, const char *key, int64_t times, struct err *err)
{
	struct noting *noting = user;

	noting->keys[noting->count] = mem_strdup(noting->batch, key);
	noting->changes[noting->count] = change;
	noting->times[noting->count++] = times;
	return noting->count == (noting->table && noting->table->key ? BATCH_KEYED : BATCH_KEYLESS) ? flush(noting, err) : 0;
}

static int note_table(struct noting *noting, const char *then, const char *now, const char *name, const struct postgres_table *table,
	struct err *err)
{
	int r;

	noting->name = name;
	noting->table = table;
	r = row_lists_compare(then, now, name, note_change, noting, err);
	return r < 0 ? r : flush(noting, err);
}

static void begin_noting(struct postgres *p, struct pg *pg, struct ledger *ledger, struct noting *ret)
{
	*ret = (struct noting){ .p = p, .pg = pg, .ledger = ledger };
	ret->batch = mem_context(p->call->ctx);
	ret->keys = mem_array(p->call->ctx, const char *, BATCH_KEYLESS);
	ret->changes = mem_array(p->call->ctx, enum row_change, BATCH_KEYLESS);
	ret->times = mem_array(p->call->ctx, int64_t, BATCH_KEYLESS);
}

/* `wanted` NULL: all tables against one capture; else the named ones, each against its own. */
int postgres_write_ledger(struct postgres *p, struct pg *pg, const char *dir, const struct database_goal *wanted,
	const struct postgres_tables *tables, json_t **ret_lost, struct err *err)
{
	_cleanup_(ledger_abort) struct ledger *ledger = NULL;
	const char *since, *name;
	struct noting noting;
	json_t *then, *ignored;
	char checksum[HASH_HEX_SIZE];
	int64_t rows;
	int r;

	r = database_read_facts(p->call->ctx, dir, &then, &since, err);
	if (r == 0)
		r = ledger_open(p->call, since, &ledger, err);
	if (r < 0)
		return r;
	begin_noting(p, pg, ledger, &noting);
	for (size_t i = 0; r == 0 && i < tables->count; i++) {
		const struct postgres_table *table = &tables->list[i];
		const char *from = wanted ? NULL : dir;

		for (size_t k = 0; wanted && k < wanted->table_count; k++)
			if (strcmp(wanted->tables[k].name, table->name) == 0)
				from = wanted->tables[k].dir;
		if (!from)
			continue;
		r = postgres_list_rows(p->call->ctx, pg, table, ledger_scratch(ledger), &rows, checksum, err);
		if (r == 0)
			r = note_table(&noting, from, ledger_scratch(ledger), table->name, table, err);
	}
	if (!wanted)
		json_object_foreach(then, name, ignored)
			if (r == 0 && !postgres_find_table(tables, name))
				r = note_table(&noting, dir, ledger_scratch(ledger), name, NULL, err);
	if (r == 0)
		r = ledger_close(&ledger, ret_lost, err);
	FAILPOINT("postgres.ledger_written");
	return r;
}

/* ---- afterwards ---- */

static int first_difference(struct findings *findings, struct err *err)
{
	return err_set(err, ERR_FAILED, "after the restore %s%s: nothing was changed", findings->list[0].message,
		findings->count > 1 ? ", and more differs" : "");
}

int postgres_verify(struct postgres *p, struct pg *pg, const char *dir, struct err *err)
{
	struct findings *findings = findings_new(p->call->ctx);
	char fingerprint[HASH_HEX_SIZE];
	struct postgres_tables tables;
	json_t *then, *now, *note, *schema;
	int64_t invalid;
	int r;

	r = postgres_tables(p->call->ctx, pg, p->scope, &tables, err);
	if (r == 0)
		r = postgres_list_all(p->call, pg, &tables, NULL, &now, err);
	if (r == 0)
		r = database_read_facts(p->call->ctx, dir, &then, NULL, err);
	if (r == 0)
		r = postgres_read_note(p, dir, &note, err);
	if (r == 0)
		r = postgres_schema(p->call->ctx, pg, p->scope, &schema, err);
	if (r == 0)
		r = postgres_fingerprint(p->call->ctx, pg, p->scope, schema, fingerprint, err);
	if (r == 0)
		r = pg_integer(pg,
			mem_printf(p->call->ctx,
				"SELECT count(*) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE NOT k.convalidated AND %s",
				p->scope),
			"looking at constraints", &invalid, err);
	if (r < 0)
		return r;
	if (database_compare_facts(then, now, NULL, p->call->name, findings) > 0)
		return first_difference(findings, err);
	if (strcmp(fingerprint, json_str(note, "fingerprint", "")) != 0)
		return err_set(err, ERR_FAILED, "after the restore the schema is not as it was captured: nothing was changed");
	if (invalid > (int64_t)json_array_size(json_object_get(note, "notValid")))
		return err_set(err, ERR_FAILED, "after the restore constraints are not valid: nothing was changed");
	return 0;
}
