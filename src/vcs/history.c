/* The history as numbers (history.h). Commits are read as raw objects: of each only the parents and the committer's time are wanted, and
 * that is a third of the work of a whole commit. The walk keeps a list of its own instead of recursing: a history is deeper than any
 * stack. */
#include "vcs/history.h"

#include <string.h>

#define FIRST_ROOM 1024u

struct history *history_new(const void *ctx, struct vcs *vcs)
{
	struct history *history = mem_zero(ctx, struct history);

	history->vcs = vcs;
	history->slot_mask = 4 * FIRST_ROOM - 1;
	history->slots = mem_array(history, uint32_t, history->slot_mask + 1);
	return history;
}

/* A SHA is as good as random: its first bytes are the hash. */
static uint32_t *find_slot(const struct history *history, const git_oid *oid)
{
	uint32_t at;

	memcpy(&at, oid->id, sizeof(at));
	for (at &= history->slot_mask; history->slots[at]; at = (at + 1) & history->slot_mask)
		if (!memcmp(&history->nodes[history->slots[at] - 1].oid, oid, sizeof(*oid)))
			break;
	return &history->slots[at];
}

uint32_t history_find(const struct history *history, const git_oid *oid)
{
	return *find_slot(history, oid) - 1; /* 0 - 1 is HISTORY_NONE */
}

static void grow_slots(struct history *history)
{
	talloc_free(history->slots);
	history->slot_mask = history->slot_mask * 2 + 1;
	history->slots = mem_array(history, uint32_t, history->slot_mask + 1);
	for (uint32_t i = 0; i < history->node_count; i++)
		*find_slot(history, &history->nodes[i].oid) = i + 1;
}

/* The index of a commit, which is given a place when it has none. */
static uint32_t place(struct history *history, const git_oid *oid)
{
	uint32_t *slot = find_slot(history, oid);

	if (*slot)
		return *slot - 1;
	if (history->node_count == history->node_room) {
		history->node_room = MAX(history->node_room * 2, FIRST_ROOM);
		history->nodes = mem_resize(history, history->nodes, struct history_node, history->node_room);
	}
	history->nodes[history->node_count] = (struct history_node){ .oid = *oid };
	*slot = ++history->node_count;
	if (history->node_count * 2 > history->slot_mask)
		grow_slots(history);
	return history->node_count - 1;
}

static void add_parent(struct history *history, uint32_t node, uint32_t parent)
{
	if (history->parent_count == history->parent_room) {
		history->parent_room = MAX(history->parent_room * 2, FIRST_ROOM);
		history->parents = mem_resize(history, history->parents, uint32_t, history->parent_room);
	}
	history->parents[history->parent_count++] = parent;
	history->nodes[node].parent_count++;
}

/* The next line of a commit's header; NULL at its end. */
static const char *header_line(const char **at, const char *end, size_t *ret_length)
{
	const char *line = *at, *newline;

	newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
	if (!newline || newline == line)
		return NULL;
	*ret_length = (size_t)(newline - line);
	*at = newline + 1;
	return line;
}

/* "committer Ana <ana@example.com> 1763701200 +0100" */
static int64_t committer_time(const char *line, size_t length)
{
	const char *mark = memrchr(line, '>', length), *end = line + length;
	int64_t time = 0;

	for (mark = mark ? mark + 1 : end; mark < end && *mark == ' '; mark++)
		;
	for (; mark < end && *mark >= '0' && *mark <= '9' && time < INT64_MAX / 100000; mark++)
		time = time * 10 + (*mark - '0');
	return git_time_within(time);
}

static int parse_commit(struct history *history, uint32_t node, const char *text, size_t size, struct err *err)
{
	const char *at = text, *line;
	size_t length;

	history->nodes[node].parents = history->parent_count;
	history->nodes[node].cut = vcs_is_cut(history->vcs, &history->nodes[node].oid);
	while ((line = header_line(&at, text + size, &length))) {
		if (length == 7 + VCS_SHA_SIZE - 1 && !memcmp(line, "parent ", 7)) {
			git_oid oid;

			if (history->vcs->git->oid_fromstrn(&oid, line + 7, VCS_SHA_SIZE - 1) < 0)
				return err_set(err, ERR_CORRUPT, "a commit has a parent that is no SHA");
			if (!history->nodes[node].cut)
				add_parent(history, node, place(history, &oid));
		} else if (length > 10 && !memcmp(line, "committer ", 10)) {
			history->nodes[node].time_s = committer_time(line, length);
		}
	}
	return 0;
}

static int read_commit(struct history *history, uint32_t node, struct err *err)
{
	const struct git *git = history->vcs->git;
	git_odb_object *object = NULL;
	git_oid oid = history->nodes[node].oid;
	char sha[VCS_SHA_SIZE];
	int r = git->odb_read(&object, history->vcs->odb, &oid);

	git->oid_tostr(sha, sizeof(sha), &oid);
	if (r < 0) {
		r = vcs_error(history->vcs, r, err, "commit %s of the history cannot be read", sha);
		return err->code == ERR_NOT_FOUND ? err_as(err, ERR_CORRUPT) : r;
	}
	if (git->odb_object_type(object) != GIT_OBJECT_COMMIT)
		r = err_set(err, ERR_CORRUPT, "%s stands in the history and is no commit", sha);
	else
		r = parse_commit(history, node, git->odb_object_data(object), git->odb_object_size(object), err);
	git->odb_object_free(object);
	return r;
}

int history_add(struct history *history, const git_oid *oid, uint32_t *ret, struct err *err)
{
	uint32_t next = history->node_count;
	int r;

	*ret = place(history, oid);
	/* New commits are placed at the end: the array itself is the list of what is still to be read. */
	for (; next < history->node_count; next++) {
		if (next >= VCS_COMMITS_MAX)
			return err_set(err, ERR_TOO_LARGE, "the history has more than %u commits", VCS_COMMITS_MAX);
		r = read_commit(history, next, err);
		if (r < 0)
			return r;
	}
	return 0;
}

bool *history_ancestors(const void *ctx, const struct history *history, uint32_t from)
{
	bool *in = mem_array(ctx, bool, history->node_count + 1);
	uint32_t *stack = mem_array(NULL, uint32_t, history->node_count + 1), depth = 0;

	in[from] = true;
	stack[depth++] = from;
	while (depth) {
		const struct history_node *node = &history->nodes[stack[--depth]];

		for (uint32_t i = 0; i < node->parent_count; i++) {
			uint32_t parent = history->parents[node->parents + i];

			if (in[parent])
				continue;
			in[parent] = true;
			stack[depth++] = parent;
		}
	}
	talloc_free(stack);
	return in;
}

/* Children before parents (Kahn). A history has no cycles: that would need a SHA that contains itself. */
static uint32_t *topological(const void *ctx, const struct history *history)
{
	uint32_t *children = mem_array(ctx, uint32_t, history->node_count + 1), *order = mem_array(ctx, uint32_t, history->node_count + 1);
	uint32_t count = 0;

	for (uint32_t i = 0; i < history->parent_count; i++)
		children[history->parents[i]]++;
	for (uint32_t i = 0; i < history->node_count; i++)
		if (!children[i])
			order[count++] = i;
	for (uint32_t next = 0; next < count; next++) {
		const struct history_node *node = &history->nodes[order[next]];

		for (uint32_t i = 0; i < node->parent_count; i++) {
			uint32_t parent = history->parents[node->parents + i];

			if (!--children[parent])
				order[count++] = parent;
		}
	}
	assert_always(count == history->node_count);
	return order;
}

void history_distances(const struct history *history, uint32_t from, const uint32_t *targets, size_t count, struct history_distance *ret)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const uint32_t *order = topological(ctx, history);
	const bool *in_from = history_ancestors(ctx, history, from);
	uint64_t *masks = mem_array(ctx, uint64_t, history->node_count + 1);
	size_t from_count = 0;

	for (uint32_t i = 0; i < history->node_count; i++)
		from_count += in_from[i];
	for (size_t first = 0; first < count; first += 64) {
		size_t width = MIN(count - first, (size_t)64);

		memset(masks, 0, history->node_count * sizeof(*masks));
		for (size_t i = 0; i < width; i++) {
			masks[targets[first + i]] |= (uint64_t)1 << i;
			ret[first + i] = (struct history_distance){ .behind = from_count };
		}
		for (uint32_t i = 0; i < history->node_count; i++) {
			const struct history_node *node = &history->nodes[order[i]];
			uint64_t mask = masks[order[i]];

			for (uint32_t j = 0; mask && j < node->parent_count; j++)
				masks[history->parents[node->parents + j]] |= mask;
			for (; mask; mask &= mask - 1) {
				struct history_distance *distance = &ret[first + (size_t)__builtin_ctzll(mask)];

				if (in_from[order[i]])
					distance->behind--;
				else
					distance->ahead++;
			}
		}
	}
}

size_t history_newest(const struct history *history, uint32_t from, size_t limit, uint32_t *ret)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const bool *in = history_ancestors(ctx, history, from);
	uint32_t *children = mem_array(ctx, uint32_t, history->node_count + 1), *ready = mem_array(ctx, uint32_t, history->node_count + 1);
	size_t ready_count = 0, count = 0;

	for (uint32_t i = 0; i < history->node_count; i++)
		for (uint32_t j = 0; in[i] && j < history->nodes[i].parent_count; j++)
			children[history->parents[history->nodes[i].parents + j]]++;
	ready[ready_count++] = from;
	while (ready_count && count < limit) {
		const struct history_node *node;
		size_t best = 0;

		for (size_t i = 1; i < ready_count; i++)
			if (history->nodes[ready[i]].time_s > history->nodes[ready[best]].time_s)
				best = i;
		ret[count++] = ready[best];
		node = &history->nodes[ready[best]];
		ready[best] = ready[--ready_count];
		for (uint32_t i = 0; i < node->parent_count; i++)
			if (!--children[history->parents[node->parents + i]])
				ready[ready_count++] = history->parents[node->parents + i];
	}
	return count;
}
