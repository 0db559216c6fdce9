/* Directed graphs over small integers: order, cycles, reachability. For steps and for components. Linear time. */
#ifndef CORE_GRAPH_H
#define CORE_GRAPH_H

#include "base/err.h"
#include "base/mem.h"

struct graph {
	size_t count;   /* nodes 0..count-1 */
	size_t **needs; /* per node: the nodes that come before it */
	size_t *need_count;
};

struct graph *graph_new(const void *ctx, size_t count);
void graph_need(struct graph *graph, size_t node, size_t needed); /* duplicates do no harm */
/* Topological order, stable: among ready nodes the lowest index first. True, or false when there is a cycle, then *ret_cycle holds its
 * nodes in order: each needs the next
 * one (first one repeated at the end). Both belong to ctx. */
bool graph_order(const void *ctx, const struct graph *graph, size_t **ret_order, size_t **ret_cycle, size_t *ret_cycle_count);
/* True when `node` needs `other` directly or through others. */
bool graph_reaches(const struct graph *graph, size_t node, size_t other);

#endif
