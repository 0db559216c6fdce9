/* graph.c: order, cycles, reachability; random graphs against slow but plain answers. */
#include "given.h"

#include <stdlib.h>
#include <time.h>

#include "core/graph.h"

static void stable_order(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct graph *graph = graph_new(ctx, 6);
	static const size_t expected[] = { 1, 2, 0, 3, 5, 4 };
	size_t *order, *cycle, count;

	graph_need(graph, 0, 2);
	graph_need(graph, 0, 2); /* twice does no harm */
	graph_need(graph, 4, 5);
	graph_need(graph, 3, 0);
	assert_true(graph_order(ctx, graph, &order, &cycle, &count));
	assert_memory_equal(order, expected, sizeof(expected));
}

static void no_nodes(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	size_t *order, *cycle, count;

	assert_true(graph_order(ctx, graph_new(ctx, 0), &order, &cycle, &count));
}

static void cycles(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct graph *graph = graph_new(ctx, 5);
	static const size_t expected[] = { 1, 3, 2, 1 };
	size_t *order, *cycle, count;

	/* 0 and 4 hang on the circle, but are not in it. */
	graph_need(graph, 0, 1);
	graph_need(graph, 1, 4);
	graph_need(graph, 1, 3);
	graph_need(graph, 3, 2);
	graph_need(graph, 2, 1);
	assert_false(graph_order(ctx, graph, &order, &cycle, &count));
	assert_int_equal(count, 4);
	assert_memory_equal(cycle, expected, sizeof(expected));

	graph = graph_new(ctx, 1);
	graph_need(graph, 0, 0);
	assert_false(graph_order(ctx, graph, &order, &cycle, &count));
	assert_int_equal(count, 2);
}

static void reaching(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct graph *graph = graph_new(ctx, 4);

	graph_need(graph, 0, 1);
	graph_need(graph, 1, 2);
	assert_true(graph_reaches(graph, 0, 2));
	assert_true(graph_reaches(graph, 0, 1));
	assert_false(graph_reaches(graph, 2, 0));
	assert_false(graph_reaches(graph, 0, 3));
	assert_false(graph_reaches(graph, 0, 0));
	graph_need(graph, 2, 0);
	assert_true(graph_reaches(graph, 0, 0));
}

static bool needs(const struct graph *graph, size_t node, size_t other)
{
	for (size_t i = 0; i < graph->need_count[node]; i++)
		if (graph->needs[node][i] == other)
			return true;
	return false;
}

static void check_order(const struct graph *graph, const size_t *order, uint64_t seed)
{
	bool done[16] = { false };

	for (size_t i = 0; i < graph->count; i++) {
		/* Ready, and the lowest of those that are. */
		for (size_t node = 0; node <= order[i]; node++) {
			bool ready = !done[node];

			for (size_t k = 0; k < graph->need_count[node]; k++)
				ready = ready && done[graph->needs[node][k]];
			if (ready != (node == order[i]))
				fail_msg("seed %llu: place %zu is taken by node %zu", (unsigned long long)seed, i, order[i]);
		}
		done[order[i]] = true;
	}
}

static void random_graphs(void **state)
{
	const char *given = getenv("UNSHIP_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL), random = seed;
	int with_cycle = 0;

	print_message("seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 2000; round++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		size_t count = 1 + random_next(&random) % 16, edges = random_next(&random) % 20, *order, *cycle, length;
		struct graph *graph = graph_new(ctx, count);
		bool path[16][16] = { { false } };

		for (size_t i = 0; i < edges; i++)
			graph_need(graph, random_next(&random) % count, random_next(&random) % count);
		for (size_t a = 0; a < count; a++)
			for (size_t b = 0; b < count; b++)
				path[a][b] = needs(graph, a, b);
		for (size_t via = 0; via < count; via++)
			for (size_t a = 0; a < count; a++)
				for (size_t b = 0; b < count; b++)
					path[a][b] |= path[a][via] && path[via][b];
		for (size_t a = 0; a < count; a++)
			for (size_t b = 0; b < count; b++)
				if (graph_reaches(graph, a, b) != path[a][b])
					fail_msg("seed %llu round %d: %zu reaches %zu", (unsigned long long)seed, round, a, b);
		if (graph_order(ctx, graph, &order, &cycle, &length)) {
			check_order(graph, order, seed);
			continue;
		}
		with_cycle++;
		assert_true(length >= 2);
		assert_int_equal(cycle[0], cycle[length - 1]);
		for (size_t i = 0; i + 1 < length; i++)
			if (!needs(graph, cycle[i], cycle[i + 1]))
				fail_msg("seed %llu round %d: no edge in the cycle", (unsigned long long)seed, round);
	}
	assert_true(with_cycle > 0 && with_cycle < 2000);
}

/* 200,000 nodes in a chain: neither the stack nor the clock may notice. */
static void large(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct graph *graph = graph_new(ctx, 200000);
	size_t *order, *cycle, count;

	for (size_t i = 0; i + 1 < graph->count; i++)
		graph_need(graph, i, i + 1);
	assert_true(graph_order(ctx, graph, &order, &cycle, &count));
	assert_int_equal(order[0], graph->count - 1);
	assert_true(graph_reaches(graph, 0, graph->count - 1));
	graph_need(graph, graph->count - 1, 0);
	assert_false(graph_order(ctx, graph, &order, &cycle, &count));
	assert_int_equal(count, graph->count + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stable_order),
		cmocka_unit_test(no_nodes),
		cmocka_unit_test(cycles),
		cmocka_unit_test(reaching),
		cmocka_unit_test(random_graphs),
		cmocka_unit_test(large),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
