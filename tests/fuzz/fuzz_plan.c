/* Plans: any document. Each problem has a text and a place; a plan without problems is a graph without cycles and reads back as the same. */
#include "core/graph.h"
#include "core/plan.h"
#include "core/steptype.h"
#include "data/json.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

static void check_graph(void *ctx, const struct plan *plan)
{
	struct graph *graph = graph_new(ctx, plan->step_count);
	size_t *order, *cycle, length;

	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];

		assert_always(step->id && step_type(step->type) && step->timeout_ms > 0 && step->max_attempts >= 1);
		for (size_t n = 0; n < step->need_count; n++) {
			assert_always(step->needs[n] < plan->step_count);
			graph_need(graph, i, step->needs[n]);
		}
	}
	assert_always(graph_order(ctx, graph, &order, &cycle, &length));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems, *none;
	struct err err = ERR_INIT;
	struct plan *plan, *again;
	struct doc *doc;
	json_t *written;

	if (doc_parse_yaml(ctx, "f", (const char *)bytes, size, &doc, &err) < 0)
		return 0;
	problems = problems_new(ctx, doc);
	plan = plan_read(ctx, doc, problems);
	assert_always(plan);
	for (size_t i = 0; i < problems->count; i++)
		assert_always(*problems->list[i].text);
	if (problems->count)
		return 0;
	check_graph(ctx, plan);
	written = json_keep(ctx, plan_json(plan));
	none = problems_new(ctx, NULL);
	again = plan_read(ctx, doc_wrap(ctx, "again", written), none);
	assert_always(none->count == 0);
	assert_always(json_equal(written, json_keep(ctx, plan_json(again))));
	return 0;
}
