/* The outbox: who is still to be told what. Queued with the entry that is told of, in the same transaction; recipients leave the list
 * when they were reached
 * or given up. Threads: as the store. */
#include "store/internal.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MOST_MS  300000

int fold_notification_queued(struct handle *handle, unused_arg const void *ctx, const struct entry *entry, struct err *err)
{
	json_t *recipients = json_object_get(entry->data, "recipients"), *details = json_object_get(entry->data, "details"), *recipient;
	const char *id, *event, *channel;
	char *list, *more;
	size_t index;
	int r;

	r = entry_need(entry, "notification", &id, err);
	if (r == 0)
		r = entry_need(entry, "event", &event, err);
	if (r == 0)
		r = entry_need(entry, "channel", &channel, err);
	if (r == 0 && !json_is_array(recipients))
		return err_set(err, ERR_INVALID, "%s: data.recipients is no list", entry->kind);
	json_array_foreach(recipients, index, recipient)
		if (r == 0 && !json_is_string(recipient))
			return err_set(err, ERR_INVALID, "%s: data.recipients[%zu] is no text", entry->kind, index);
	if (r < 0)
		return r;
	list = json_dumps(recipients, JSON_COMPACT);
	more = json_is_object(details) || json_is_array(details) ? json_dumps(details, JSON_COMPACT) : NULL;
	/* Queued again under the same id: it is the same message, told once. */
	r = sql_do(handle->store.sql, err,
		"INSERT INTO notifications (id, run, environment, event, channel, message, recipients, details, pending, waiting, attempts, queued_ms,"
		" not_before_ms, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7, $9, 0, $10, 0, $11) ON CONFLICT (id) DO NOTHING",
		SQL_T(id), SQL_T(entry->run), SQL_T(entry->environment), SQL_T(event), SQL_T(channel),
		SQL_T(json_str(entry->data, "message", "")), SQL_T(list), SQL_T(more), SQL_I((int64_t)json_array_size(recipients)),
		SQL_I(entry->wall_ms), SQL_I(entry->seq));
	free(list);
	free(more);
	return r;
}

static int read_pending(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	return column_json(ctx, &columns[0], ret, err);
}

/* Whether it was in the list; once per delivery, because a person may be named twice. */
static void take_out(json_t *pending, const char *recipient)
{
	json_t *one;
	size_t index;

	json_array_foreach(pending, index, one) {
		if (strcmp(json_string_value(one), recipient) != 0)
			continue;
		json_array_remove(pending, index);
		return;
	}
}

static int settle(struct handle *handle, const void *ctx, const struct entry *entry, bool settled, struct err *err)
{
	json_t *pending = NULL;
	struct single single = { .ctx = ctx, .ret = &pending, .read = read_pending };
	int64_t attempt = MAX(json_int(entry->data, "attempt", 1), 1), not_before = 0;
	const char *id, *recipient;
	char *list;
	int r;

	r = entry_need(entry, "notification", &id, err);
	if (r == 0)
		r = entry_need(entry, "recipient", &recipient, err);
	if (r == 0)
		r = sql_each(handle->store.sql, err, single_row, &single, "SELECT pending FROM notifications WHERE id = $1", SQL_T(id));
	if (r < 0)
		return r;
	if (!single.found)
		return err_set(err, ERR_INVALID, "%s: there is no notification '%s'", entry->kind, id);
	if (settled)
		take_out(pending, recipient);
	else
		not_before = entry->wall_ms + MIN((int64_t)BACKOFF_FIRST_MS << MIN(attempt - 1, 20), BACKOFF_MOST_MS);
	list = json_dumps(pending, JSON_COMPACT);
	r = sql_do(handle->store.sql, err,
		"UPDATE notifications SET pending = $2, waiting = $3, attempts = CASE WHEN attempts < $4 THEN $4 ELSE attempts END,"
		" not_before_ms = CASE WHEN $5 > not_before_ms THEN $5 ELSE not_before_ms END WHERE id = $1",
		SQL_T(id), SQL_T(list), SQL_I((int64_t)json_array_size(pending)), SQL_I(attempt), SQL_I(not_before));
	free(list);
	return r;
}

int fold_notification_delivered(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	return settle(handle, ctx, entry, true, err);
}

int fold_notification_failed(struct handle *handle, const void *ctx, const struct entry *entry, struct err *err)
{
	return settle(handle, ctx, entry, json_flag(entry->data, "final", false), err);
}

static int read_notification(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	struct notification *notification = ret;
	int r;

	*notification = (struct notification){
		.id = mem_strdup(ctx, columns[0].text),
		.run = mem_strdup(ctx, columns[1].text),
		.environment = mem_strdup(ctx, columns[2].text),
		.event = mem_strdup(ctx, columns[3].text),
		.channel = mem_strdup(ctx, columns[4].text),
		.message = mem_strdup(ctx, columns[5].text),
		.attempts = (int)columns[9].integer,
		.queued_ms = columns[10].integer,
		.not_before_ms = columns[11].integer,
	};
	r = column_json(ctx, &columns[6], &notification->recipients, err);
	if (r == 0)
		r = column_json(ctx, &columns[7], &notification->details, err);
	if (r == 0)
		r = column_json(ctx, &columns[8], &notification->pending, err);
	return r < 0 ? err_in(err, "notification %s", notification->id) : 0;
}

int store_notifications_pending(struct store *store, const void *ctx, int64_t now_ms, size_t limit, struct notification **ret,
	size_t *ret_count, struct err *err)
{
	struct gather rows = { .ctx = ctx, .size = sizeof(struct notification), .read = read_notification };
	int r;

	r = sql_each(store->sql, err, gather_row, &rows,
		"SELECT id, run, environment, event, channel, message, recipients, details, pending, attempts, queued_ms, not_before_ms"
		" FROM notifications WHERE waiting > 0 AND not_before_ms <= $1 ORDER BY seq LIMIT $2",
		SQL_I(now_ms), SQL_I(limit ? (int64_t)limit : INT64_MAX));
	if (r < 0)
		return r;
	*ret = (struct notification *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}
