/* Afterwards: the history of runs with its sums, the audit trail and its proof, what people were told. */
#include "ops/answers.h"
#include "ops/resources.h"

#include <string.h>

#include "base/clock.h"
#include "ops/page.h"
#include "ops/permit.h"

struct history_params {
	const char *environment, *kind, *run, *actor, *cursor;
	int64_t limit;
};

static const struct field history_fields[] = { FIELD_NAME(struct history_params, environment, OPTIONAL, "only this environment"),
	FIELD_INT(struct history_params, limit, DEFAULT("50"), 1, 100000, "how many runs, newest first"),
	FIELD_CURSOR(struct history_params, cursor), FIELD_END };

static const struct field search_fields[] = { FIELD_NAME(struct history_params, environment, OPTIONAL, "only this environment"),
	FIELD_STR(struct history_params, kind, OPTIONAL, "only entries of this kind: run.requested, step.*"),
	FIELD_STR(struct history_params, run, OPTIONAL, "only entries of this run"),
	FIELD_INT(struct history_params, limit, DEFAULT("100"), 1, 100000, "how many, newest first"),
	FIELD_CURSOR(struct history_params, cursor), FIELD_END };

static const struct field no_fields[] = { FIELD_END };

static int compare_ms(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int history_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct history_params *p = params;
	struct run_row *rows;
	int64_t *durations, completed = 0, restored = 0, failed = 0;
	size_t count, ended = 0;
	struct page page;
	json_t *list;
	bool more;
	int r;

	r = page_read(p->cursor, p->limit, &page, err);
	if (r == 0)
		r = op_runs(op, p->environment, page, &rows, &count, err);
	if (r < 0)
		return r;
	count = page_cut(&page, count, &more);
	list = json_keep(op->ctx, json_array());
	durations = mem_array(op->ctx, int64_t, count + 1);
	for (size_t i = 0; i < count; i++) {
		json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "id", rows[i].id, "environment", rows[i].environment, "status",
			rows[i].status, "requestedAt", clock_format(op->ctx, rows[i].requested_ms));

		json_put_str(item, "from", rows[i].from);
		json_put_str(item, "to", rows[i].to);
		json_put_str(item, "reason", rows[i].reason);
		json_put_str(item, "actor", rows[i].actor);
		json_put_str(item, "message", rows[i].message);
		if (rows[i].ended_ms) {
			durations[ended++] = rows[i].ended_ms - rows[i].requested_ms;
			json_put_int(item, "durationMs", rows[i].ended_ms - rows[i].requested_ms);
		}
		completed += !strcmp(rows[i].status, "completed");
		restored += !strcmp(rows[i].status, "restored");
		failed += !strcmp(rows[i].status, "failed");
		json_array_append_new(list, item);
	}
	qsort(durations, ended, sizeof(*durations), compare_ms);
	*ret = json_make(op->ctx, "{s:O, s:{s:I, s:I, s:I, s:I}}", "runs", list, "summary", "runs", (json_int_t)count, "completed",
		(json_int_t)completed, "restored", (json_int_t)restored, "failed", (json_int_t)failed);
	page_next(*ret, more, more ? rows[count - 1].seq : 0);
	if (ended) {
		json_t *summary = json_object_get(*ret, "summary");

		json_put_int(summary, "medianMs", durations[ended / 2]);
		json_put_int(summary, "longestMs", durations[ended - 1]);
	}
	return 0;
}

static int audit_verify(struct op *op, const void *params, json_t **ret, struct err *err)
{
	char head[65];
	int64_t count;
	int r;

	(void)params;
	r = workspace_store(op->workspace, err);
	if (r == 0)
		r = store_verify(op->workspace->store, &count, head, err);
	if (r < 0)
		return r;
	*ret = json_make(op->ctx, "{s:b, s:I, s:s}", "intact", 1, "entries", (json_int_t)count, "head", head);
	return 0;
}

/* A page of entries, told as `member`. */
static int entries_page(struct op *op, const struct history_params *p, const char *kind, const char *member, json_t **ret, struct err *err)
{
	struct entry_filter filter = { .environment = p->environment, .kind = kind, .run = p->run, .newest_first = true };
	struct entry *entries;
	struct page page;
	size_t count;
	bool more;
	int r;

	r = page_read(p->cursor, p->limit, &page, err);
	if (r < 0)
		return r;
	filter.limit = page.limit;
	filter.before_seq = page.before_seq;
	r = op_entries(op, &filter, &entries, &count, err);
	if (r < 0)
		return r;
	count = page_cut(&page, count, &more);
	*ret = json_make(op->ctx, "{s:o}", member, entries_json(entries, count));
	page_next(*ret, more, more ? entries[count - 1].seq : 0);
	return 0;
}

static int audit_search(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct history_params *p = params;

	return entries_page(op, p, p->kind, "entries", ret, err);
}

static int notifications_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	return entries_page(op, params, "notification.*", "notifications", ret, err);
}

OPERATION(op_history_list, "history.list", "GET", "/history", PERMIT_VIEW, "runs with their sums", history_fields, struct history_params,
	history_list, .answer = history_shape);
OPERATION(op_audit_verify, "audit.verify", "POST", "/audit/verify", PERMIT_VIEW, "recompute the hash chain of the journal", no_fields,
	struct history_params, audit_verify, .everywhere = true, .idempotent = true, .answer = audit_proof_shape);
OPERATION(op_audit_search, "audit.search", "GET", "/audit", PERMIT_VIEW, "entries of the journal, newest first", search_fields,
	struct history_params, audit_search, .answer = entries_shape);
OPERATION(op_notifications_list, "notifications.list", "GET", "/notifications", PERMIT_VIEW, "who was told what", history_fields,
	struct history_params, notifications_list, .answer = notifications_shape);
