/* The difference: see difference.h.
 *
 * Where it comes from: versions, flags, keys, types and columns from what was generated (core/generate.h, whose differences are bound by the plan hash); commits, files and contracts from the repositories,
 * which follow from the commits; rows from what was observed, which go on changing and are bound by nothing; values that differ from what the driver of the configuration found when it checked, by name only.
 *
 * Threads: that of the op; repositories are read in a thread that can be given up (base/aside.h). */
#include "ops/difference.h"

#include <string.h>

#include "base/aside.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/text.h"
#include "ops/checks.h"
#include "vcs/vcs.h"

#define CODE_LIMIT_MS  5000
#define COMMITS_LISTED 20
#define FILES_LISTED   50
#define ITEMS_LISTED   200
#define NAMED_MAX      5

/* ---- code ------------------------------------------------------------------------------------------------------------------- */

/* All its own: it may outlive the request (aside.h). */
struct code_job {
	struct code_part {
		char *component, *repository, *from, *to;
	} * parts;
	size_t count;
	json_t *found; /* component -> {"between", "metadata"} or {"unknown"} */
};

static int read_part(struct code_job *job, const struct code_part *part, json_t *found, struct err *err)
{
	json_t *between, *from, *to;
	struct vcs *vcs;
	int r;

	r = vcs_open_at(job, part->repository, &vcs, err);
	if (r == 0)
		r = vcs_between(job, vcs, part->from, part->to, COMMITS_LISTED, FILES_LISTED, &between, err);
	if (r == 0)
		r = vcs_metadata(job, vcs, part->from, &from, err);
	if (r == 0)
		r = vcs_metadata(job, vcs, part->to, &to, err);
	if (r < 0)
		return r;
	json_put(found, "between", between);
	json_object_set_new(found, "metadata", vcs_metadata_difference(from, to));
	return 0;
}

static void read_code(void *user)
{
	struct code_job *job = user;

	for (size_t i = 0; i < job->count; i++) {
		json_t *found = json_object();
		struct err err = ERR_INIT;

		if (read_part(job, &job->parts[i], found, &err) < 0)
			json_put_str(found, "unknown", err.text);
		json_object_set_new(job->found, job->parts[i].component, found);
	}
}

static json_t *details(json_t *components, const char *name)
{
	return json_object_get(json_object_get(components, name), "details");
}

static int code_free(struct planning *planning)
{
	if (planning->code)
		(void)talloc_free(aside_end(planning->code, 0));
	return 0;
}

void difference_begin(struct op *op, struct planning *planning)
{
	struct code_job *job = mem_zero(NULL, struct code_job);

	(void)code_free(planning);
	planning->code = NULL;
	talloc_set_destructor(planning, code_free);
	job->found = json_keep(job, json_object());
	for (size_t i = 0; i < planning->generated.difference_count; i++) {
		const struct difference *difference = &planning->generated.differences[i];
		const struct component *component = environment_component(planning->environment, difference->component);
		const char *from = json_str(details(planning->observed, difference->component), "commit", NULL),
			   *to = json_str(details(planning->target->components, difference->component), "commit", NULL),
			   *repository = json_str(component->config, "repo", NULL);

		/* Whichever driver it is: one that tells commits, of a repository that is named. */
		if (!from || !to || !repository || !strcmp(from, to))
			continue;
		job->parts = mem_resize(job, job->parts, struct code_part, job->count + 1);
		job->parts[job->count++] = (struct code_part){ .component = mem_strdup(job, difference->component),
			.repository = fs_join(job, op->workspace->dir, repository),
			.from = mem_strdup(job, from),
			.to = mem_strdup(job, to) };
	}
	if (job->count)
		planning->code = aside_begin(read_code, job);
	else
		(void)talloc_free(job);
}

static json_t *await_code(struct op *op, struct planning *planning)
{
	struct code_job *job;

	if (!planning->code)
		return NULL;
	job = aside_end(planning->code, clock_mono_ms() + CODE_LIMIT_MS);
	planning->code = NULL;
	if (!job)
		return json_make(op->ctx, "{}"); /* its time is over */
	(void)talloc_steal(op->ctx, job);
	return job->found;
}

/* ---- lists and sentences ----------------------------------------------------------------------------------------------------- */

struct telling {
	struct op *op;
	struct planning *planning;
	json_t *code, *config, *flags, *schema, *data, *contracts;
	json_t *change, *stay, *lose;
};

static void tell(json_t *list, const char *format, ...) printf_like(2, 3);
static void tell(json_t *list, const char *format, ...)
{
	_cleanup_talloc_ char *text = NULL, *clean = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	/* Subjects of commits, names of keys: words of strangers. */
	clean = text_printable(NULL, text, strlen(text), false);
	json_array_append_new(list, json_string(clean));
}

static const char *word_or(const char *text, const char *none)
{
	return text && *text ? text : none;
}

/* "a, b, c and 4 more" */
static char *names_text(const void *ctx, json_t *names)
{
	char *text = mem_strdup(ctx, "");
	size_t count = json_array_size(names);

	for (size_t i = 0; i < MIN(count, (size_t)NAMED_MAX); i++)
		text = mem_appendf(text, "%s%s", i ? ", " : "", json_string_value(json_array_get(names, i)));
	return count > NAMED_MAX ? mem_appendf(text, " and %zu more", count - NAMED_MAX) : text;
}

static json_t *section(const struct difference *difference)
{
	return json_pack("{s:s, s:b}", "component", difference->component, "returns", difference->changes);
}

static void add_contracts(struct telling *t, const char *component, json_t *metadata)
{
	static const struct {
		const char *list, *change, *path;
	} kinds[] = { { "appeared", "added", NULL }, { "vanished", "removed", NULL }, { "changed", "changed", NULL } };
	json_t *contracts = json_object_get(metadata, "contracts"), *item;
	size_t index;

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		json_array_foreach(json_object_get(contracts, kinds[k].list), index, item) {
			json_t *to = json_object_get(item, "to"), *from = json_object_get(item, "from"), *one;

			one = json_pack("{s:s, s:s}", "component", component, "change", kinds[k].change);
			json_put_str(one, "path", json_str(item, "path", ""));
			json_put_str(one, "name", json_str(to ? to : item, "name", NULL));
			json_put_str(one, "fromAbi", json_str(from, "abiHash", NULL));
			json_put_str(one, "toAbi", json_str(to, "abiHash", NULL));
			json_array_append_new(t->contracts, one);
			tell(t->change, "%s: contract %s is %s in the code; what is deployed of it elsewhere stays as it is", component,
				json_str(item, "path", ""), kinds[k].change);
		}
}

static void add_commits(struct telling *t, json_t *item, const struct difference *difference, json_t *found)
{
	json_t *between = json_object_get(found, "between"), *removed = json_object_get(between, "removed"),
	       *added = json_object_get(between, "added"), *newest = json_array_get(json_object_get(removed, "commits"), 0);
	int64_t out = json_int(removed, "count", 0), in = json_int(added, "count", 0);

	json_put_str(item, "fromCommit", json_str(between, "from", NULL));
	json_put_str(item, "toCommit", json_str(between, "to", NULL));
	json_put(item, "removed", removed);
	json_put(item, "added", added);
	json_put(item, "files", json_object_get(between, "files"));
	if (!difference->changes)
		return;
	if (out)
		tell(t->change, "%s: %s %s taken out, the newest \"%s\"%s%s", difference->component,
			text_count(t->op->ctx, (uint64_t)out, "commit"), out == 1 ? "is" : "are", json_str(newest, "subject", ""),
			json_object_get(newest, "author") ? " by " : "", json_str(newest, "author", ""));
	if (in)
		tell(t->change, "%s: %s of another line %s back", difference->component, text_count(t->op->ctx, (uint64_t)in, "commit"),
			in == 1 ? "comes" : "come");
	add_contracts(t, difference->component, json_object_get(found, "metadata"));
}

static void add_code(struct telling *t, const struct difference *difference, json_t *found_all)
{
	json_t *found = json_object_get(found_all, difference->component), *item = section(difference);

	json_put_str(item, "from", difference->from);
	json_put_str(item, "to", difference->to);
	if (json_object_get(found, "between"))
		add_commits(t, item, difference, found);
	else if (difference->changes)
		json_put_str(item, "unknown",
			json_str(found, "unknown",
				found_all ? "the repository had no answer in its time"
					  : "no repository is known that tells the commits of both"));
	json_array_append_new(t->code, item);
}

/* What the driver found when it checked: names of keys whose values differ. NULL: it did not compare. */
static json_t *values_that_differ(const struct planning *planning, const char *component)
{
	for (size_t i = 0; planning->findings && i < planning->findings->count; i++) {
		const struct finding *finding = &planning->findings->list[i];

		if (!strcmp(finding->name, FINDING_CONFIG_DIFFERENCE) && finding->component && !strcmp(finding->component, component))
			return json_object_get(finding->evidence, "changed");
	}
	return NULL;
}

static void add_config(struct telling *t, const struct difference *difference)
{
	json_t *item = section(difference), *keys = json_array(), *values = values_that_differ(t->planning, difference->component), *one,
	       *back = json_keep(t->op->ctx, json_array()), *away = json_keep(t->op->ctx, json_array());
	size_t index, count = 0;
	bool differs = difference->from && difference->to && strcmp(difference->from, difference->to) != 0;

	json_array_foreach(difference->items, index, one) {
		json_t *from = json_object_get(one, "from"), *to = json_object_get(one, "to");
		const char *change = json_is_null(from) ? "added" : json_is_null(to) ? "removed" : "type", *key = json_str(one, "name", "");

		if (json_is_null(from))
			json_array_append_new(back, json_string(key));
		if (json_is_null(to))
			json_array_append_new(away, json_string(key));
		if (count++ < ITEMS_LISTED)
			json_array_append_new(keys,
				json_pack("{s:s, s:s, s:O, s:O}", "key", key, "change", change, "from", from, "to", to));
	}
	json_array_foreach(values, index, one)
		if (count++ < ITEMS_LISTED)
			json_array_append_new(keys, json_pack("{s:O, s:s}", "key", one, "change", "value"));
	json_put_flag(item, "differs", differs);
	json_put_flag(item, "valuesCompared", values != NULL);
	json_put_int(item, "more", (int64_t)(count - json_array_size(keys)));
	json_object_set_new(item, "keys", keys);
	json_array_append_new(t->config, item);
	if (!difference->changes)
		return;
	if (json_array_size(back))
		tell(t->change, "%s: keys that come back: %s", difference->component, names_text(t->op->ctx, back));
	if (json_array_size(away))
		tell(t->change, "%s: keys that go: %s", difference->component, names_text(t->op->ctx, away));
	if (json_array_size(values))
		tell(t->change, "%s: keys with other values: %s", difference->component, names_text(t->op->ctx, values));
}

static void add_flags(struct telling *t, const struct difference *difference)
{
	json_t *one;
	size_t index;

	json_array_foreach(difference->items, index, one) {
		json_t *from = json_object_get(one, "from"), *to = json_object_get(one, "to"), *item;
		bool returns = difference->changes && !json_is_null(to);

		item = json_pack("{s:s, s:s, s:O, s:O, s:b}", "component", difference->component, "flag", json_str(one, "name", ""), "from",
			from, "to", to, "returns", returns);
		json_array_append_new(t->flags, item);
		if (returns)
			tell(t->change, "flag %s: %s -> %s", json_str(one, "name", ""),
				word_or(json_scalar_text(t->op->ctx, from), "(nothing)"),
				word_or(json_scalar_text(t->op->ctx, to), "(nothing)"));
	}
}

static void add_schema(struct telling *t, const struct difference *difference)
{
	json_t *item = section(difference), *changes = json_array(), *one, *names = json_keep(t->op->ctx, json_array());
	size_t index, count = 0;

	json_array_foreach(difference->items, index, one) {
		json_t *from = json_object_get(one, "from"), *to = json_object_get(one, "to");
		const char *change = json_is_null(from) ? "added" : json_is_null(to) ? "removed" : "changed";

		json_array_append(names, json_object_get(one, "name"));
		if (count++ < ITEMS_LISTED)
			json_array_append_new(changes,
				json_pack("{s:s, s:s, s:O, s:O}", "name", json_str(one, "name", ""), "change", change, "from", from, "to",
					to));
	}
	json_put_int(item, "more", (int64_t)(count - json_array_size(changes)));
	json_object_set_new(item, "changes", changes);
	json_array_append_new(t->schema, item);
	if (count)
		tell(difference->changes ? t->change : t->stay,
			difference->changes ? "%s: the schema goes back: %s"
					    : "%s: the schema stays as it is now, other than with the target: %s",
			difference->component, names_text(t->op->ctx, names));
}

static void add_rows(struct telling *t, const struct difference *difference)
{
	json_t *now = json_object_get(details(t->planning->observed, difference->component), "rowCounts"),
	       *then = json_object_get(details(t->planning->target->components, difference->component), "rowCounts"), *count,
	       *item = section(difference), *tables = json_array();
	const char *table;
	int64_t more = 0;

	json_object_foreach(now, table, count) {
		int64_t rows = json_integer_value(count), recorded = json_int(then, table, -1);
		json_t *one;

		if (json_array_size(tables) >= ITEMS_LISTED) {
			more++;
			continue;
		}
		one = json_pack("{s:s, s:I}", "table", table, "rows", (json_int_t)rows);
		if (recorded >= 0)
			json_put_int(one, "recordedRows", recorded);
		json_array_append_new(tables, one);
		if (difference->changes && recorded >= 0 && rows != recorded)
			tell(t->lose, "%s: table %s has %lld rows now and had %lld when the target was recorded", difference->component,
				table, (long long)rows, (long long)recorded);
		else if (difference->changes && recorded < 0)
			tell(t->lose, "%s: table %s with %lld rows is newer than the target", difference->component, table,
				(long long)rows);
	}
	json_put_int(item, "more", more);
	json_object_set_new(item, "tables", tables);
	json_put_str(item, "recordedAt", clock_format(t->op->ctx, t->planning->target->wall_ms));
	json_array_append_new(t->data, item);
	if (!difference->changes)
		return;
	tell(t->change, "%s: the data goes back to %s", difference->component, clock_format(t->op->ctx, t->planning->target->wall_ms));
	tell(t->lose, "%s: whatever was written since %s (%s); the snapshot of the run keeps it", difference->component,
		clock_format(t->op->ctx, t->planning->target->wall_ms),
		clock_format_age(t->op->ctx, t->planning->target->wall_ms, clock_wall_ms()));
}

/* What was changed by hand is in no deployment. */
static void add_drift(struct telling *t, const struct difference *difference)
{
	const struct deployment *present = t->planning->present;
	const char *recorded = present ? json_str(json_object_get(present->components, difference->component), "version", NULL) : NULL,
		   *now = json_str(json_object_get(t->planning->observed, difference->component), "version", NULL);

	/* Where nothing is, nothing can be lost. */
	if (difference->changes && recorded && now && *now && strcmp(recorded, now) != 0 && strcmp(difference->kind, "data") != 0)
		tell(t->lose, "%s: what was changed since %s was recorded (it is %s, not %s); the snapshot of the run keeps it",
			difference->component, present->version, now, word_or(recorded, "nothing"));
}

static void add_other(struct telling *t, const struct difference *difference)
{
	bool cache = !strcmp(difference->kind, "cache"), service = !strcmp(difference->kind, "service");

	if (!difference->changes)
		return;
	if (cache)
		tell(t->lose, "%s: what is cached", difference->component);
	if (service)
		tell(t->lose, "%s: what it holds in memory, when it is stopped", difference->component);
	if (!cache && difference->note && (!difference->from || !difference->to || !strcmp(difference->from, difference->to)))
		tell(t->change, "%s: %s", difference->component, difference->note);
	else if (cache)
		tell(t->change, "%s: is cleared", difference->component);
}

static void add_one(struct telling *t, const struct difference *difference, json_t *code)
{
	/* Versions of services and data say little beside what follows. */
	if (difference->changes && difference->from && difference->to && strcmp(difference->from, difference->to) != 0 &&
		strcmp(difference->kind, "flags") != 0)
		tell(t->change, "%s: %s -> %s", difference->component, difference->from, difference->to);
	if (!strcmp(difference->kind, driver_kind_name(DRIVER_CODE))) {
		add_code(t, difference, code);
	} else if (!strcmp(difference->kind, driver_kind_name(DRIVER_CONFIG))) {
		add_config(t, difference);
	} else if (!strcmp(difference->kind, driver_kind_name(DRIVER_FLAGS))) {
		add_flags(t, difference);
	} else if (!strcmp(difference->kind, driver_kind_name(DRIVER_DATA))) {
		add_schema(t, difference);
		add_rows(t, difference);
	} else {
		add_other(t, difference);
	}
	add_drift(t, difference);
}

/* ---- together ------------------------------------------------------------------------------------------------------------------ */

static int put_snapshot(struct telling *t, json_t *whole, struct err *err)
{
	struct snapshot_row *rows;
	size_t count;
	int r;

	r = store_snapshots(t->op->workspace->store, t->op->ctx, t->planning->environment->name, &rows, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (rows[i].pruned)
			continue;
		json_object_set_new(whole, "newestSnapshot",
			json_pack("{s:s, s:s, s:I}", "id", rows[i].id, "takenAt", clock_format(t->op->ctx, rows[i].taken_ms), "ageMs",
				(json_int_t)MAX(clock_wall_ms() - rows[i].taken_ms, (int64_t)0)));
		break;
	}
	return r;
}

static json_t *list(const void *ctx)
{
	return json_keep(ctx, json_array());
}

int difference_make(struct op *op, struct planning *planning, json_t **ret, struct err *err)
{
	const void *ctx = op->ctx;
	struct telling t = { op, planning, list(ctx), list(ctx), list(ctx), list(ctx), list(ctx), list(ctx), list(ctx), list(ctx),
		list(ctx) };
	json_t *code, *whole;

	*ret = NULL;
	if (!planning->target)
		return 0;
	code = await_code(op, planning);
	for (size_t i = 0; i < planning->generated.difference_count; i++)
		add_one(&t, &planning->generated.differences[i], code);
	for (const char **sentence = planning->generated.not_reverted; *sentence; sentence++)
		tell(t.stay, "%s", *sentence);
	whole = json_make(ctx, "{s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:O}", "willChange", t.change, "notReverted", t.stay, "willBeLost",
		t.lose, "code", t.code, "config", t.config, "flags", t.flags, "schema", t.schema, "data", t.data, "contracts", t.contracts);
	*ret = whole;
	return put_snapshot(&t, whole, err);
}
