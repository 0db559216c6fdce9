/* Private to vcs/: the history as numbers. Every commit is read once, in one walk; distances and containment are then sums over the
 * arrays. */
#ifndef VCS_HISTORY_H
#define VCS_HISTORY_H

#include "vcs/git.h"

#define HISTORY_NONE UINT32_MAX

struct history_node {
	git_oid oid;
	int64_t time_s;                 /* of the committer */
	uint32_t parents, parent_count; /* in history->parents */
	bool cut;                       /* a shallow clone lacks its parents */
};

struct history {
	struct vcs *vcs;
	struct history_node *nodes;
	uint32_t *parents;
	uint32_t node_count, node_room, parent_count, parent_room;
	uint32_t *slots; /* hash table: index + 1; 0 is free */
	uint32_t slot_mask;
};

struct history *history_new(const void *ctx, struct vcs *vcs);
/* Reads the commit and all its ancestors that are not there yet. */
must_check int history_add(struct history *history, const git_oid *oid, uint32_t *ret, struct err *err);
uint32_t history_find(const struct history *history, const git_oid *oid); /* HISTORY_NONE */

/* For each node whether it is `from` or an ancestor of it. In ctx. */
bool *history_ancestors(const void *ctx, const struct history *history, uint32_t from);
struct history_distance {
	size_t ahead, behind;
};
/* Distances of many commits from one, 64 at a time: time and memory grow with the commits, not with the tags. ret: `count` of them. */
void history_distances(const struct history *history, uint32_t from, const uint32_t *targets, size_t count, struct history_distance *ret);
/* The newest `limit` ancestors of `from` (itself first), none before its children. Returns how many. */
size_t history_newest(const struct history *history, uint32_t from, size_t limit, uint32_t *ret);

#endif
