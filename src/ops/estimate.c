/* Estimates: see estimate.h. Runs are comparable when they have the same steps by id and type, as generated plans for the same components have. */
#include "ops/estimate.h"

#include <stdlib.h>
#include <string.h>

#include "core/run.h"
#include "data/json.h"

struct estimates {
	json_t *runs;     /* run -> {"like": signature, "ms": requested, "types": {step: type}} */
	json_t *took;     /* signature -> [ms] of completed runs */
	json_t *steps;    /* type -> [ms] of steps that were done */
	json_t *captures; /* [ms]: from the request to the snapshot */
};

struct estimates *estimates_new(const void *ctx)
{
	struct estimates *estimates = mem_zero(ctx, struct estimates);

	estimates->runs = json_keep(estimates, json_object());
	estimates->took = json_keep(estimates, json_object());
	estimates->steps = json_keep(estimates, json_object());
	estimates->captures = json_keep(estimates, json_array());
	return estimates;
}

const char *estimate_basis_name(enum estimate_basis basis)
{
	static const char *const names[] = { "none", "steps", "runs" };

	return names[basis];
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *signature(const void *ctx, char **steps, size_t count)
{
	char *text = mem_strdup(ctx, "");

	if (count)
		qsort(steps, count, sizeof(*steps), compare_text);
	for (size_t i = 0; i < count; i++)
		text = mem_appendf(text, "%s\n", steps[i]);
	return text;
}

static char *signature_of_plan(const void *ctx, const struct plan *plan)
{
	char **steps = mem_array(ctx, char *, plan->step_count + 1);

	for (size_t i = 0; i < plan->step_count; i++)
		steps[i] = mem_printf(steps, "%s %s", plan->steps[i].type, plan->steps[i].id);
	return signature(ctx, steps, plan->step_count);
}

static void put_time(json_t *by_name, const char *name, int64_t ms)
{
	json_t *list = json_object_get(by_name, name);

	if (!list) {
		list = json_array();
		json_object_set_new(by_name, name, list);
	}
	json_array_append_new(list, json_integer(ms));
}

static void learn_request(struct estimates *estimates, const struct entry *entry)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *steps = json_object_get(json_object_get(entry->data, "plan"), "steps"), *step, *types;
	char **texts = mem_array(tmp, char *, json_array_size(steps) + 1);
	size_t index;

	if (json_str(entry->data, "undoOf", NULL))
		return;
	types = json_object();
	json_array_foreach(steps, index, step) {
		texts[index] = mem_printf(tmp, "%s %s", json_str(step, "type", ""), json_str(step, "id", ""));
		json_put_str(types, json_str(step, "id", ""), json_str(step, "type", ""));
	}
	json_object_set_new(estimates->runs, entry->run,
		json_pack("{s:s, s:I, s:o}", "like", signature(tmp, texts, json_array_size(steps)), "ms", (json_int_t)entry->wall_ms,
			"types", types));
}

void estimates_learn(struct estimates *estimates, const struct entry *entry)
{
	json_t *run = entry->run ? json_object_get(estimates->runs, entry->run) : NULL;
	int64_t since_ms = MAX(entry->wall_ms - json_int(run, "ms", entry->wall_ms), (int64_t)0);
	const char *type;

	if (!strcmp(entry->kind, ENTRY_RUN_REQUESTED) && entry->run) {
		learn_request(estimates, entry);
	} else if (!run) {
		return;
	} else if (!strcmp(entry->kind, ENTRY_SNAPSHOT_TAKEN)) {
		json_array_append_new(estimates->captures, json_integer(since_ms));
	} else if (!strcmp(entry->kind, ENTRY_STEP_ENDED)) {
		type = json_str(json_object_get(run, "types"), json_str(entry->data, "step", ""), NULL);
		if (type && !strcmp(json_str(entry->data, "verb", ""), "apply") && !strcmp(json_str(entry->data, "outcome", ""), "done"))
			put_time(estimates->steps, type, json_int(entry->data, "durationMs", 0));
	} else if (!strcmp(entry->kind, ENTRY_RUN_ENDED)) {
		if (!strcmp(json_str(entry->data, "status", ""), run_status_name(RUN_COMPLETED)))
			put_time(estimates->took, json_str(run, "like", ""), since_ms);
	}
}

static int compare_time(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* False: there are none. */
static bool measure(json_t *list, int64_t *ret_median, int64_t *ret_worst)
{
	size_t count = json_array_size(list);
	_cleanup_talloc_ int64_t *times = mem_array(NULL, int64_t, count + 1);

	if (!count)
		return false;
	for (size_t i = 0; i < count; i++)
		times[i] = json_integer_value(json_array_get(list, i));
	qsort(times, count, sizeof(*times), compare_time);
	*ret_median = count % 2 ? times[count / 2] : (times[count / 2 - 1] + times[count / 2]) / 2;
	*ret_worst = times[count - 1];
	return true;
}

/* The end of the longest chain of steps that wait for each other. */
static int64_t longest_chain(const struct plan *plan, const int64_t *took)
{
	_cleanup_talloc_ int64_t *ends = mem_array(NULL, int64_t, plan->step_count + 1);
	int64_t longest = 0;
	bool moved = true;

	/* Most steps stand behind those that they need: one round, and one that finds nothing more. There are no circles. */
	while (moved) {
		moved = false;
		for (size_t i = 0; i < plan->step_count; i++) {
			int64_t begins = 0;

			for (size_t k = 0; k < plan->steps[i].need_count; k++)
				begins = MAX(begins, ends[plan->steps[i].needs[k]]);
			moved = moved || begins + took[i] != ends[i];
			ends[i] = begins + took[i];
			longest = MAX(longest, ends[i]);
		}
	}
	return longest;
}

static struct estimate of_steps(const struct estimates *estimates, const struct plan *plan)
{
	_cleanup_talloc_ int64_t *median = mem_array(NULL, int64_t, plan->step_count + 1);
	_cleanup_talloc_ int64_t *worst = mem_array(NULL, int64_t, plan->step_count + 1);
	int64_t capture = 0, capture_worst = 0;

	for (size_t i = 0; i < plan->step_count; i++)
		if (!measure(json_object_get(estimates->steps, plan->steps[i].type), &median[i], &worst[i]))
			return (struct estimate){ .missing = plan->steps[i].type };
	(void)measure(estimates->captures, &capture, &capture_worst);
	return (struct estimate){ .basis = ESTIMATE_STEPS,
		.median_ms = capture + longest_chain(plan, median),
		.worst_ms = capture_worst + longest_chain(plan, worst) };
}

struct estimate estimate_plan(const struct estimates *estimates, const struct plan *plan)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct estimate estimate = { .basis = ESTIMATE_RUNS };
	json_t *took;

	if (!plan->step_count)
		return (struct estimate){ 0 };
	took = json_object_get(estimates->took, signature_of_plan(tmp, plan));
	if (!measure(took, &estimate.median_ms, &estimate.worst_ms))
		return of_steps(estimates, plan);
	estimate.runs = json_array_size(took);
	return estimate;
}
