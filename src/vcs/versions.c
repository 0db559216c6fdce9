/* The versions of a repository (V1). All tags and branches are looked at, because their order needs all; only those that are listed are
 * looked into (author, changes, distance).
 *
 *   gather  every tag and branch with its commit             cheap: a commit per name
 *   load    the history of all of them                      one walk, each commit once
 *   choose  order, branch filter, limit
 *   fill    author, subject, changes of the listed ones; distances of all at once */
#include <string.h>

#include "base/text.h"
#include "vcs/history.h"

#define LIMIT_DEFAULT 50
#define NAMES_DEFAULT 20
#define NAMES_MAX     10000
#define SHORT_SHA     12

/* A version before it is looked into. */
struct candidate {
	enum vcs_kind kind;
	char *name, *ref;
	git_oid commit, tag; /* tag: the annotated tag; the commit itself when there is none */
	struct version version;
	uint32_t node;
	int64_t time_s;
	unsigned group; /* tags: rank of their kind of version */
};

struct listing {
	const void *ctx; /* of the result */
	void *tmp;
	struct vcs *vcs;
	const struct vcs_query *query;
	size_t limit, names_max;
	struct history *history;
	struct candidate *tags, *branches;
	size_t tag_count, branch_count;
	uint32_t present; /* node; HISTORY_NONE: there is no present commit */
	struct vcs_versions *ret;
};

const char *vcs_kind_name(enum vcs_kind kind)
{
	static const char *const names[] = { "tag", "branch", "commit" };

	assert_always((size_t)kind < ARRAY_SIZE(names));
	return names[kind];
}

static void skip(struct listing *listing, const char *name, const char *reason)
{
	struct vcs_versions *ret = listing->ret;

	ret->skipped = mem_resize(listing->ctx, ret->skipped, struct vcs_skipped, ret->skipped_count + 1);
	ret->skipped[ret->skipped_count++] = (struct vcs_skipped){ mem_strdup(listing->ctx, name), mem_strdup(listing->ctx, reason) };
}

/* Any name is some version; one that is too long or not text is shown as far as it can be. */
static struct version parse_name(const void *ctx, const char *name)
{
	struct err ignored = ERR_INIT;
	struct version version;

	if (version_parse(ctx, name, &version, &ignored) < 0)
		version = (struct version){ .kind = VERSION_OTHER, .text = text_printable(ctx, name, strlen(name), false) };
	return version;
}

static void add_candidate(struct listing *listing, enum vcs_kind kind, const char *name, const char *ref, const git_oid *commit,
	const git_oid *tag)
{
	struct candidate **list = kind == VCS_TAG ? &listing->tags : &listing->branches;
	size_t *count = kind == VCS_TAG ? &listing->tag_count : &listing->branch_count;

	if ((*count & (*count - 1)) == 0) /* a power of two: double the room */
		*list = mem_resize(listing->tmp, *list, struct candidate, MAX(*count * 2, (size_t)1));
	(*list)[(*count)++] = (struct candidate){
		.kind = kind,
		.name = mem_strdup(listing->tmp, name),
		.ref = mem_strdup(listing->tmp, ref),
		.commit = *commit,
		.tag = *tag,
		.version = parse_name(listing->tmp, name),
	};
}

static int gather_one(struct listing *listing, git_reference *reference, enum vcs_kind kind, const char *name, struct err *err)
{
	const struct git *git = listing->vcs->git;
	const git_oid *oid = git->reference_target(reference);
	git_object *object = NULL, *commit = NULL;
	int r;

	if (!oid) /* symbolic, such as refs/remotes/origin/HEAD: another name of what is listed anyway */
		return 0;
	r = git->object_lookup(&object, listing->vcs->repository, oid, GIT_OBJECT_ANY);
	if (r == GIT_ENOTFOUND) {
		skip(listing, name, "what it leads to is not in the repository");
		return 0;
	}
	if (r < 0)
		return vcs_error(listing->vcs, r, err, "%s '%s' cannot be read", vcs_kind_name(kind), name);
	r = git->object_peel(&commit, object, GIT_OBJECT_COMMIT);
	if (r == 0)
		add_candidate(listing, kind, name, git->reference_name(reference), git->object_id(commit), git->object_id(object));
	else
		skip(listing, name,
			r == GIT_ENOTFOUND ? "what it leads to is not in the repository" : "leads to something that is not a commit");
	git->object_free(commit);
	git->object_free(object);
	return 0;
}

static int gather(struct listing *listing, struct err *err)
{
	static const struct {
		const char *prefix;
		enum vcs_kind kind;
	} places[] = { { "refs/tags/", VCS_TAG }, { "refs/heads/", VCS_BRANCH }, { "refs/remotes/", VCS_BRANCH } };
	const struct git *git = listing->vcs->git;
	git_reference_iterator *iterator = NULL;
	git_reference *reference;
	int r = git->reference_iterator_new(&iterator, listing->vcs->repository);

	if (r < 0)
		return vcs_error(listing->vcs, r, err, "tags and branches cannot be listed");
	r = 0;
	while (r == 0 && git->reference_next(&reference, iterator) == 0) {
		const char *name = git->reference_name(reference);

		for (size_t i = 0; i < ARRAY_SIZE(places) && r == 0; i++)
			if (text_starts_with(name, places[i].prefix) && (listing->query->kinds & (1u << places[i].kind)))
				r = gather_one(listing, reference, places[i].kind, name + strlen(places[i].prefix), err);
		git->reference_free(reference);
		if (r == 0 && listing->tag_count + listing->branch_count > VCS_TAGS_MAX)
			r = err_set(err, ERR_TOO_LARGE, "there are more than %u tags and branches", VCS_TAGS_MAX);
	}
	git->reference_iterator_free(iterator);
	return r;
}

static int load(struct listing *listing, struct candidate *list, size_t count, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = history_add(listing->history, &list[i].commit, &list[i].node, err);
		if (r < 0)
			return err_in(err, "%s '%s'", vcs_kind_name(list[i].kind), list[i].name);
		list[i].time_s = listing->history->nodes[list[i].node].time_s;
	}
	return 0;
}

static int by_date(const struct candidate *a, const struct candidate *b)
{
	if (a->time_s != b->time_s)
		return a->time_s > b->time_s ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int compare_tags(const void *one, const void *other)
{
	const struct candidate *a = one, *b = other;
	int order;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	if (version_compare(&a->version, &b->version, &order) && order)
		return -order;
	return by_date(a, b);
}

static int compare_branches(const void *one, const void *other)
{
	const struct candidate *a = one, *b = other;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	return by_date(a, b);
}

/* Kinds of version cannot be compared with each other. The kind whose newest commit is the newest comes first: a project that went over to
 * calendar versions sees those. */
static void group_tags(struct candidate *tags, size_t count)
{
	int64_t newest[VERSION_OTHER + 1];

	for (size_t i = 0; i < ARRAY_SIZE(newest); i++)
		newest[i] = INT64_MIN;
	for (size_t i = 0; i < count; i++)
		newest[tags[i].version.kind] = MAX(newest[tags[i].version.kind], tags[i].time_s);
	for (size_t i = 0; i < count; i++) {
		enum version_kind kind = tags[i].version.kind;

		tags[i].group = 0;
		for (size_t j = 0; j < ARRAY_SIZE(newest); j++)
			tags[i].group += newest[j] > newest[kind] || (newest[j] == newest[kind] && j < (size_t)kind);
	}
}

static struct vcs_person person_of(const void *ctx, const git_signature *signature)
{
	if (!signature)
		return (struct vcs_person){ 0 };
	return (struct vcs_person){
		.name = mem_strdup(ctx, signature->name),
		.email = mem_strdup(ctx, signature->email),
		.wall_ms = 1000 * git_time_within(signature->when.time),
	};
}

static int tree_of(struct listing *listing, const git_oid *oid, git_tree **ret, struct err *err)
{
	const struct git *git = listing->vcs->git;
	git_commit *commit = NULL;
	int r = git->commit_lookup(&commit, listing->vcs->repository, oid);

	if (r == 0)
		r = git->commit_tree(ret, commit);
	git->commit_free(commit);
	return r < 0 ? vcs_error(listing->vcs, r, err, "the files of commit %s cannot be read", vcs_sha(listing->tmp, listing->vcs, oid))
		     : 0;
}

/* Files that differ from the predecessor; without one, all files. Only trees are compared: no content is read. */
static int fill_changes(struct listing *listing, struct vcs_version *version, const git_oid *commit, const git_oid *predecessor,
	struct err *err)
{
	const struct git *git = listing->vcs->git;
	git_diff_options options = GIT_DIFF_OPTIONS_INIT;
	git_tree *old = NULL, *new = NULL;
	git_diff *diff = NULL;
	size_t shown;
	int r = 0;

	options.flags = GIT_DIFF_SKIP_BINARY_CHECK | GIT_DIFF_INCLUDE_TYPECHANGE;
	if (predecessor)
		r = tree_of(listing, predecessor, &old, err);
	if (r == 0)
		r = tree_of(listing, commit, &new, err);
	if (r == 0) {
		r = git->diff_tree_to_tree(&diff, listing->vcs->repository, old, new, &options);
		if (r < 0)
			r = vcs_error(listing->vcs, r, err, "the changes of '%s' cannot be told", version->name);
	}
	if (r == 0) {
		version->changed_count = git->diff_num_deltas(diff);
		shown = MIN(version->changed_count, listing->names_max);
		version->changed = mem_array(listing->ctx, const char *, shown + 1);
		for (size_t i = 0; i < shown; i++) {
			const git_diff_delta *delta = git->diff_get_delta(diff, i);

			version->changed[i] = mem_strdup(listing->ctx, delta->new_file.path ? delta->new_file.path : delta->old_file.path);
		}
	}
	git->diff_free(diff);
	git->tree_free(old);
	git->tree_free(new);
	return r;
}

static int fill_tag(struct listing *listing, struct vcs_version *version, const git_oid *oid, struct err *err)
{
	const struct git *git = listing->vcs->git;
	git_object *object = NULL;
	int r = git->object_lookup(&object, listing->vcs->repository, oid, GIT_OBJECT_ANY);

	if (r < 0)
		return vcs_error(listing->vcs, r, err, "tag '%s' cannot be read", version->name);
	if (git->object_type(object) == GIT_OBJECT_TAG) {
		const char *message = git->tag_message((git_tag *)(void *)object);

		version->tag_message = mem_strdup(listing->ctx, message ? message : "");
		version->tagger = person_of(listing->ctx, git->tag_tagger((git_tag *)(void *)object));
	}
	git->object_free(object);
	return 0;
}

static int fill_commit(struct listing *listing, struct vcs_version *version, const git_oid *oid, struct err *err)
{
	const struct git *git = listing->vcs->git;
	git_commit *commit = NULL;
	const char *subject;
	int r = git->commit_lookup(&commit, listing->vcs->repository, oid);

	if (r < 0)
		return vcs_error(listing->vcs, r, err, "commit %s cannot be read", version->sha);
	version->author = person_of(listing->ctx, git->commit_author(commit));
	version->committer = person_of(listing->ctx, git->commit_committer(commit));
	subject = git->commit_summary(commit);
	version->subject = mem_strdup(listing->ctx, subject ? subject : "");
	git->commit_free(commit);
	return 0;
}

/* `next` is the tag that follows in the order; NULL: none (or no tag: then the first parent counts). */
static int list_one(struct listing *listing, const struct candidate *candidate, const struct candidate *next, struct err *err)
{
	struct vcs_versions *ret = listing->ret;
	const struct history_node *node = &listing->history->nodes[candidate->node];
	struct vcs_version version = { .kind = candidate->kind };
	const git_oid *predecessor = NULL;
	int r;

	version.name = mem_strdup(listing->ctx, candidate->name);
	version.ref = mem_strdup(listing->ctx, candidate->ref);
	version.sha = vcs_sha(listing->ctx, listing->vcs, &candidate->commit);
	version.version = candidate->kind == VCS_COMMIT ? parse_name(listing->ctx, version.sha) : parse_name(listing->ctx, candidate->name);
	if (candidate->kind == VCS_TAG && next && next->group == candidate->group) {
		predecessor = &next->commit;
		version.predecessor = mem_strdup(listing->ctx, next->name);
	} else if (candidate->kind != VCS_TAG && node->parent_count) {
		predecessor = &listing->history->nodes[listing->history->parents[node->parents]].oid;
		version.predecessor = mem_strndup(listing->ctx, vcs_sha(listing->tmp, listing->vcs, predecessor), SHORT_SHA);
	}
	version.predecessor_sha = predecessor ? vcs_sha(listing->ctx, listing->vcs, predecessor) : NULL;
	version.cut = !predecessor && node->cut;
	r = fill_commit(listing, &version, &candidate->commit, err);
	if (r == 0 && candidate->kind == VCS_TAG)
		r = fill_tag(listing, &version, &candidate->tag, err);
	if (r == 0 && !version.cut)
		r = fill_changes(listing, &version, &candidate->commit, predecessor, err);
	if (r < 0)
		return r;
	ret->list = mem_resize(listing->ctx, ret->list, struct vcs_version, ret->count + 1);
	ret->list[ret->count++] = version;
	return 0;
}

static int list_tags(struct listing *listing, const bool *contained, struct err *err)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < listing->tag_count; i++)
		if (!contained || contained[listing->tags[i].node])
			listing->tags[kept++] = listing->tags[i];
	if (!kept)
		return 0;
	group_tags(listing->tags, kept);
	qsort(listing->tags, kept, sizeof(*listing->tags), compare_tags);
	for (size_t i = 0; i < MIN(kept, listing->limit) && r == 0; i++)
		r = list_one(listing, &listing->tags[i], i + 1 < kept ? &listing->tags[i + 1] : NULL, err);
	return r;
}

static int list_branches(struct listing *listing, struct err *err)
{
	const char *head = listing->vcs->info.head_ref;
	int r = 0;

	if (!listing->branch_count)
		return 0;
	for (size_t i = 0; i < listing->branch_count; i++)
		listing->branches[i].group = !head || strcmp(listing->branches[i].ref, head) != 0;
	qsort(listing->branches, listing->branch_count, sizeof(*listing->branches), compare_branches);
	for (size_t i = 0; i < MIN(listing->branch_count, listing->limit) && r == 0; i++)
		r = list_one(listing, &listing->branches[i], NULL, err);
	return r;
}

static int list_commits(struct listing *listing, uint32_t start, struct err *err)
{
	uint32_t *newest = mem_array(listing->tmp, uint32_t, listing->limit);
	size_t count = history_newest(listing->history, start, listing->limit, newest);
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		struct candidate candidate = { .kind = VCS_COMMIT, .commit = listing->history->nodes[newest[i]].oid, .node = newest[i] };

		candidate.name = mem_strndup(listing->tmp, vcs_sha(listing->tmp, listing->vcs, &candidate.commit), SHORT_SHA);
		r = list_one(listing, &candidate, NULL, err);
	}
	return r;
}

static void fill_distances(struct listing *listing)
{
	struct vcs_versions *ret = listing->ret;
	uint32_t *targets = mem_array(listing->tmp, uint32_t, ret->count + 1);
	struct history_distance *distances = mem_array(listing->tmp, struct history_distance, ret->count + 1);

	if (listing->present == HISTORY_NONE)
		return;
	for (size_t i = 0; i < ret->count; i++) {
		git_oid oid;

		assert_always(listing->vcs->git->oid_fromstrn(&oid, ret->list[i].sha, VCS_SHA_SIZE - 1) == 0);
		targets[i] = history_find(listing->history, &oid);
	}
	history_distances(listing->history, listing->present, targets, ret->count, distances);
	for (size_t i = 0; i < ret->count; i++) {
		ret->list[i].has_distance = true;
		ret->list[i].ahead = distances[i].ahead;
		ret->list[i].behind = distances[i].behind;
	}
}

/* A ref from outside as a node; HISTORY_NONE when it is NULL and there is no HEAD to stand in. */
static int start_at(struct listing *listing, const char *ref, uint32_t *ret, struct err *err)
{
	git_oid oid;
	int r = 0;

	*ret = HISTORY_NONE;
	if (!ref && !listing->vcs->info.head_sha)
		return 0;
	if (ref)
		r = vcs_ref_check(ref, err);
	if (r == 0)
		r = vcs_commit_of(listing->vcs, ref ? ref : listing->vcs->info.head_sha, &oid, err);
	if (r == 0)
		r = history_add(listing->history, &oid, ret, err);
	return r;
}

static int make(struct listing *listing, struct err *err)
{
	const struct vcs_query *query = listing->query;
	const bool *contained = NULL;
	uint32_t start;
	int r;

	r = start_at(listing, query->from, &listing->present, err);
	if (r == 0)
		r = start_at(listing, query->branch, &start, err);
	if (r == 0)
		r = gather(listing, err);
	if (r == 0)
		r = load(listing, listing->tags, listing->tag_count, err);
	if (r == 0)
		r = load(listing, listing->branches, listing->branch_count, err);
	if (r < 0)
		return r;
	if (listing->present != HISTORY_NONE)
		listing->ret->from_sha = vcs_sha(listing->ctx, listing->vcs, &listing->history->nodes[listing->present].oid);
	if (query->branch)
		contained = history_ancestors(listing->tmp, listing->history, start);
	r = list_tags(listing, contained, err);
	if (r == 0)
		r = list_branches(listing, err);
	if (r == 0 && start != HISTORY_NONE && (query->kinds & (1u << VCS_COMMIT)))
		r = list_commits(listing, start, err);
	if (r == 0)
		fill_distances(listing);
	return r;
}

int vcs_versions(const void *ctx, struct vcs *vcs, const struct vcs_query *query, struct vcs_versions *ret, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct vcs_query asked = *query;
	struct vcs_versions found = { 0 };
	struct listing listing = { .ctx = ctx, .tmp = tmp, .vcs = vcs, .query = &asked, .ret = &found };
	int r;

	if (!asked.kinds)
		asked.kinds = VCS_KINDS_ALL;
	listing.limit = query->limit ? MIN(query->limit, (size_t)VCS_LISTED_MAX) : LIMIT_DEFAULT;
	listing.names_max = query->names ? MIN(query->names, (size_t)NAMES_MAX) : NAMES_DEFAULT;
	listing.history = history_new(tmp, vcs);
	r = make(&listing, err);
	if (r < 0)
		return err_in(err, "versions of %s", vcs->info.path);
	*ret = found;
	return 0;
}
