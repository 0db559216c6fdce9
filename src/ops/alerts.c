/* Alerts: what monitoring said through the hooks (docs/hooks.md). They are shown here; nothing is decided by them. */
#include "ops/resources.h"

#include <stdlib.h>

#include "base/clock.h"
#include "ops/page.h"
#include "ops/permit.h"
#include "store/alerts.h"

struct alerts_params {
	const char *environment, *status, *cursor;
	int64_t limit;
};

static const struct field list_fields[] = { FIELD_NAME(struct alerts_params, environment, OPTIONAL, "only this environment"),
	FIELD_CHOICE(struct alerts_params, status, DEFAULT("all"), "all|firing", "all, or only those that fire now"),
	FIELD_INT(struct alerts_params, limit, DEFAULT("100"), 1, 10000, "how many, the last that changed first"),
	FIELD_CURSOR(struct alerts_params, cursor), FIELD_END };

/* clang-format off */
static const struct shape alert_shape[] = {
	SHAPE_STR("hook", ALWAYS, "hook that it came by"),
	SHAPE_STR("fingerprint", ALWAYS, "what tells it from other alerts of the hook"),
	SHAPE_CHOICE("status", ALWAYS, "firing|resolved", "does it fire now?"),
	SHAPE_STR("environment", SOMETIMES, "that it is about"),
	SHAPE_ANY("labels", ALWAYS, "names and texts"),
	SHAPE_ANY("annotations", ALWAYS, "names and texts"),
	SHAPE_TIME("startsAt", ALWAYS, "since when"),
	SHAPE_TIME("endsAt", SOMETIMES, "until when"),
	SHAPE_STR("url", SOMETIMES, "where people find more"),
	SHAPE_TIME("changedAt", ALWAYS, "when its newest entry was written"),
	SHAPE_INT("entry", ALWAYS, "number of its newest entry in the journal"),
	SHAPE_END
};
static const struct shape list_shape[] = {
	SHAPE_LIST("alerts", ALWAYS, alert_shape, "the last that changed first"),
	SHAPE_INT("firing", ALWAYS, "how many of them fire"),
	SHAPE_NEXT,
	SHAPE_END
};
/* clang-format on */

static int compare(const void *a, const void *b)
{
	const struct alert_row *x = a, *y = b;

	return (x->seq < y->seq) - (x->seq > y->seq);
}

/* Of every environment that may be seen. */
static int find_seen(struct op *op, bool firing, struct page page, struct alert_row **ret, size_t *ret_count, struct err *err)
{
	const struct project *project = op->workspace->project;
	struct alert_row *all = NULL, *rows;
	size_t count = 0, more;
	int r;

	for (size_t i = 0; i < project->environment_count; i++) {
		if (!op_sees(op, project->environments[i].name))
			continue;
		r = store_alerts(op->workspace->store, op->ctx, project->environments[i].name, firing, page, &rows, &more, err);
		if (r < 0)
			return r;
		all = mem_resize(op->ctx, all, struct alert_row, count + more + 1);
		for (size_t k = 0; k < more; k++)
			all[count++] = rows[k];
	}
	if (count)
		qsort(all, count, sizeof(*all), compare);
	*ret = all;
	*ret_count = MIN(count, page.limit);
	return 0;
}

static json_t *row_json(struct op *op, const struct alert_row *row)
{
	json_t *object = alert_json(op->ctx, &row->alert);

	json_put_str(object, "environment", row->alert.environment);
	json_put_str(object, "changedAt", clock_format(op->ctx, row->changed_ms));
	json_put_int(object, "entry", row->seq);
	return object;
}

static int alerts_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct alerts_params *p = params;
	bool firing_only = strcmp(p->status, "firing") == 0, more;
	json_t *list = json_keep(op->ctx, json_array());
	struct alert_row *rows;
	struct page page;
	int64_t firing = 0;
	size_t count;
	int r;

	r = page_read(p->cursor, p->limit, &page, err);
	if (r == 0)
		r = workspace_store(op->workspace, err);
	if (r < 0)
		return r;
	if (p->environment || op_sees_all(op))
		r = store_alerts(op->workspace->store, op->ctx, p->environment, firing_only, page, &rows, &count, err);
	else
		r = find_seen(op, firing_only, page, &rows, &count, err);
	if (r < 0)
		return r;
	count = page_cut(&page, count, &more);
	for (size_t i = 0; i < count; i++) {
		firing += rows[i].alert.firing;
		json_array_append_new(list, row_json(op, &rows[i]));
	}
	*ret = json_make(op->ctx, "{s:O, s:I}", "alerts", list, "firing", (json_int_t)firing);
	page_next(*ret, more, more ? rows[count - 1].seq : 0);
	return 0;
}

OPERATION(op_alerts_list, "alerts.list", "GET", "/alerts", PERMIT_VIEW, "what monitoring said: alerts that fire, and those that did",
	list_fields, struct alerts_params, alerts_list, .answer = list_shape);
