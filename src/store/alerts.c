/* The table `alerts`: see alerts.h. Whether an alert says something new is asked in the transaction that appends its entry, so that two
 * senders of the same one cannot both be first. */
#include "store/alerts.h"

#include "base/clock.h"
#include "store/internal.h"

#define ALERT_COLUMNS "hook, fingerprint, environment, firing, labels, annotations, url, started_ms, ended_ms, changed_ms, seq"

static int entry_time(const struct entry *entry, const char *member, int64_t missing, int64_t *ret, struct err *err)
{
	const char *text = json_str(entry->data, member, NULL);
	int r = 0;

	*ret = missing;
	if (text)
		r = clock_parse(text, ret, err);
	return r < 0 ? err_in(err, "%s: data.%s", entry->kind, member) : 0;
}

int fold_signal_alert(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	json_t *labels = json_object_get(entry->data, "labels"), *annotations = json_object_get(entry->data, "annotations");
	const char *hook, *fingerprint, *status;
	char *labels_text, *annotations_text;
	int64_t started_ms, ended_ms;
	bool firing;
	int r;

	r = entry_need(entry, "hook", &hook, err);
	if (r == 0)
		r = entry_need(entry, "fingerprint", &fingerprint, err);
	if (r == 0)
		r = entry_need(entry, "status", &status, err);
	if (r < 0)
		return r;
	firing = !strcmp(status, "firing");
	if (!firing && strcmp(status, "resolved") != 0)
		return err_set(err, ERR_INVALID, "%s: data.status is firing or resolved, not '%s'", entry->kind, status);
	r = entry_time(entry, "startsAt", entry->wall_ms, &started_ms, err);
	if (r == 0)
		r = entry_time(entry, "endsAt", entry->wall_ms, &ended_ms, err);
	if (r < 0)
		return r;
	labels_text = json_is_object(labels) ? json_dumps(labels, JSON_COMPACT) : mem_check(strdup("{}"));
	annotations_text = json_is_object(annotations) ? json_dumps(annotations, JSON_COMPACT) : mem_check(strdup("{}"));
	r = sql_do(handle->store.sql, err,
		"INSERT INTO alerts (" ALERT_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
		" ON CONFLICT (hook, fingerprint, started_ms) DO UPDATE SET environment = $3, firing = $4, labels = $5, annotations = $6, url = $7,"
		" ended_ms = $9, changed_ms = $10, seq = $11",
		SQL_T(hook), SQL_T(fingerprint), SQL_T(entry->environment), SQL_I(firing), SQL_T(labels_text), SQL_T(annotations_text),
		SQL_T(json_str(entry->data, "url", NULL)), SQL_I(started_ms), firing ? SQL_N : SQL_I(ended_ms), SQL_I(entry->wall_ms),
		SQL_I(entry->seq));
	free(labels_text);
	free(annotations_text);
	return r;
}

static int read_alert(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	struct alert_row *row = ret;
	int r;

	*row = (struct alert_row){
		.alert = { .hook = mem_strdup(ctx, columns[0].text),
			.fingerprint = mem_strdup(ctx, columns[1].text),
			.environment = mem_strdup(ctx, columns[2].text),
			.firing = columns[3].integer != 0,
			.url = mem_strdup(ctx, columns[6].text),
			.started_ms = columns[7].integer,
			.ended_ms = columns[8].type == SQL_INT ? columns[8].integer : 0 },
		.changed_ms = columns[9].integer,
		.seq = columns[10].integer,
	};
	r = column_json(ctx, &columns[4], &row->alert.labels, err);
	return r == 0 ? column_json(ctx, &columns[5], &row->alert.annotations, err) : r;
}

/* Is it new? Fills in when it began, where that was not told. */
static int is_new(struct store *store, const void *ctx, struct alert *alert, int64_t now_ms, bool *ret, struct err *err)
{
	struct alert_row known = { 0 };
	struct single single = { .ctx = ctx, .ret = &known, .read = read_alert };
	bool told = alert->started_ms != 0;
	int r;

	if (told)
		r = sql_each(store->sql, err, single_row, &single,
			"SELECT " ALERT_COLUMNS " FROM alerts WHERE hook = $1 AND fingerprint = $2 AND started_ms = $3", SQL_T(alert->hook),
			SQL_T(alert->fingerprint), SQL_I(alert->started_ms));
	else
		r = sql_each(store->sql, err, single_row, &single,
			"SELECT " ALERT_COLUMNS
			" FROM alerts WHERE hook = $1 AND fingerprint = $2 AND firing = 1 ORDER BY started_ms DESC LIMIT 1",
			SQL_T(alert->hook), SQL_T(alert->fingerprint));
	if (r < 0)
		return r;
	if (!told)
		alert->started_ms = single.found ? known.alert.started_ms : now_ms;
	/* The end of one that nobody has heard of: with a beginning it was missed, and is told now; without one it says nothing. */
	*ret = single.found ? known.alert.firing && !alert->firing : alert->firing || told;
	return 0;
}

static int take_one(struct store *store, const void *ctx, struct alert *alert, const char *actor, size_t *new, struct err *err)
{
	struct entry entry = { .kind = ENTRY_SIGNAL_ALERT, .environment = alert->environment, .actor = actor, .wall_ms = clock_wall_ms() };
	bool fresh;
	int r;

	r = is_new(store, ctx, alert, entry.wall_ms, &fresh, err);
	if (r < 0 || !fresh)
		return r;
	entry.data = json_keep(ctx, alert_json(ctx, alert));
	(*new)++;
	return store_add(store, ctx, NULL, &entry, 1, err);
}

int store_alerts_take(struct store *store, const void *ctx, struct alert *alerts, size_t count, const char *actor, size_t *ret_new,
	struct err *err)
{
	size_t new = 0;
	int r;

	r = store_begin(store, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = take_one(store, ctx, &alerts[i], actor, &new, err);
	if (r == 0 && new > 0)
		r = store_commit(store, err);
	if (r < 0 || new == 0)
		store_undo(store);
	if (r == 0)
		*ret_new = new;
	return r;
}

int store_alerts(struct store *store, const void *ctx, const char *environment, bool firing_only, struct page page, struct alert_row **ret,
	size_t *ret_count, struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct alert_row), .read = read_alert };
	int r;

	r = sql_each(store->sql, err, gather_row, &rows,
		"SELECT " ALERT_COLUMNS
		" FROM alerts WHERE ($1 = '' OR environment = $1) AND firing >= $2 AND seq < $3 ORDER BY seq DESC LIMIT $4",
		SQL_T(environment ? environment : ""), SQL_I(firing_only), SQL_I(page.before_seq ? page.before_seq : INT64_MAX),
		SQL_I(page.limit ? (int64_t)page.limit : INT64_MAX));
	if (r < 0)
		return r;
	*ret = (struct alert_row *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}
