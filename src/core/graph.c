/* Directed graphs: order by Kahn's algorithm with a heap of ready nodes (so that the order is stable), cycles by walking what is left over.
 * Memory and time are linear in nodes and edges, but for the heap's logarithm. Pure; any thread. */
#include "core/graph.h"

struct graph *graph_new(const void *ctx, size_t count)
{
	struct graph *graph = mem_zero(ctx, struct graph);

	graph->count = count;
	graph->needs = mem_array(graph, size_t *, count);
	graph->need_count = mem_array(graph, size_t, count);
	return graph;
}

void graph_need(struct graph *graph, size_t node, size_t needed)
{
	size_t count;

	assert_always(node < graph->count && needed < graph->count);
	count = graph->need_count[node];
	/* Grows at every power of two, so that n edges cost n and not n squared. */
	if ((count & (count - 1)) == 0)
		graph->needs[node] = mem_resize(graph, graph->needs[node], size_t, count ? count * 2 : 1);
	graph->needs[node][count] = needed;
	graph->need_count[node] = count + 1;
}

/* A binary heap, smallest index first. */
struct heap {
	size_t *items, count;
};

static void heap_push(struct heap *heap, size_t item)
{
	size_t at = heap->count++;

	for (; at > 0 && heap->items[(at - 1) / 2] > item; at = (at - 1) / 2)
		heap->items[at] = heap->items[(at - 1) / 2];
	heap->items[at] = item;
}

static size_t heap_pop(struct heap *heap)
{
	size_t top = heap->items[0], last = heap->items[--heap->count], at = 0;

	for (;;) {
		size_t child = at * 2 + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count && heap->items[child + 1] < heap->items[child])
			child++;
		if (heap->items[child] >= last)
			break;
		heap->items[at] = heap->items[child];
		at = child;
	}
	heap->items[at] = last;
	return top;
}

/* The edges the other way round: dependents[start[n] .. start[n + 1]] need node n. */
static size_t *graph_dependents(const void *ctx, const struct graph *graph, size_t **ret_start)
{
	size_t *start = mem_array(ctx, size_t, graph->count + 2), *dependents;

	/* Counted two places ahead: filling then moves start[n + 1] from the beginning of n's range to its end. */
	for (size_t node = 0; node < graph->count; node++)
		for (size_t i = 0; i < graph->need_count[node]; i++)
			start[graph->needs[node][i] + 2]++;
	for (size_t node = 1; node < graph->count + 2; node++)
		start[node] += start[node - 1];
	dependents = mem_array(ctx, size_t, start[graph->count + 1] + 1);
	for (size_t node = 0; node < graph->count; node++)
		for (size_t i = 0; i < graph->need_count[node]; i++)
			dependents[start[graph->needs[node][i] + 1]++] = node;
	*ret_start = start;
	return dependents;
}

/* Among nodes that were not ordered each needs another such node: following them must come back to one seen before. */
static void find_cycle(const void *ctx, const struct graph *graph, const bool *ordered, size_t **ret_cycle, size_t *ret_count)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	size_t *seen_at = mem_array(tmp, size_t, graph->count), *path = mem_array(tmp, size_t, graph->count + 1);
	size_t node = 0, length = 0, first;

	while (ordered[node])
		node++;
	while (!seen_at[node]) {
		path[length++] = node;
		seen_at[node] = length;
		for (size_t i = 0; i < graph->need_count[node]; i++)
			if (!ordered[graph->needs[node][i]]) {
				node = graph->needs[node][i];
				break;
			}
	}
	first = seen_at[node] - 1;
	path[length++] = node;
	*ret_count = length - first;
	*ret_cycle = mem_dup(ctx, path + first, *ret_count * sizeof(*path));
}

bool graph_order(const void *ctx, const struct graph *graph, size_t **ret_order, size_t **ret_cycle, size_t *ret_cycle_count)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	size_t *order = mem_array(tmp, size_t, graph->count), *waiting = mem_array(tmp, size_t, graph->count);
	struct heap heap = { .items = mem_array(tmp, size_t, graph->count) };
	bool *ordered = mem_array(tmp, bool, graph->count);
	size_t *start, *dependents = graph_dependents(tmp, graph, &start), count = 0;

	for (size_t node = 0; node < graph->count; node++) {
		waiting[node] = graph->need_count[node];
		if (!waiting[node])
			heap_push(&heap, node);
	}
	while (heap.count > 0) {
		size_t node = heap_pop(&heap);

		order[count++] = node;
		ordered[node] = true;
		for (size_t i = start[node]; i < start[node + 1]; i++)
			if (--waiting[dependents[i]] == 0)
				heap_push(&heap, dependents[i]);
	}
	if (count < graph->count) {
		find_cycle(ctx, graph, ordered, ret_cycle, ret_cycle_count);
		return false;
	}
	*ret_order = talloc_steal(ctx, order);
	return true;
}

bool graph_reaches(const struct graph *graph, size_t node, size_t other)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	bool *seen = mem_array(tmp, bool, graph->count);
	size_t *stack = mem_array(tmp, size_t, graph->count), depth = 0;

	stack[depth++] = node;
	while (depth > 0) {
		size_t at = stack[--depth];

		for (size_t i = 0; i < graph->need_count[at]; i++) {
			size_t needed = graph->needs[at][i];

			if (needed == other)
				return true;
			if (!seen[needed]) {
				seen[needed] = true;
				stack[depth++] = needed;
			}
		}
	}
	return false;
}
