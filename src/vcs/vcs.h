/* Git repositories, read only: which versions there are (V1), what a commit holds (V2), its files. Nothing is fetched, and nothing is
 * written into a repository or its work tree.
 *
 * A folder inside of a work tree, a bare repository and a linked work tree are all fine. libgit2 is loaded when the first repository is
 * opened. An open repository belongs to one thread. Whatever comes from the repository (names, subjects, paths) is the text of strangers:
 * it may hold any byte but 0, and is to be made printable before it reaches a terminal. */
#ifndef VCS_VCS_H
#define VCS_VCS_H

#include "core/version.h"
#include "data/json.h"

#define VCS_SHA_SIZE    41 /* 40 hex digits and 0 */
#define VCS_REF_MAX     256
#define VCS_COMMITS_MAX 5000000u /* commits that are walked */
#define VCS_TAGS_MAX    200000u  /* tags and branches that are looked at */
#define VCS_LISTED_MAX  1000     /* versions of each kind in one list */
#define VCS_ENTRIES_MAX 1000000u /* files and folders in the tree of a commit */

struct vcs; /* talloc; closed with its context */

struct vcs_info {
	const char *path; /* the work tree, or the repository itself when it is bare */
	bool bare;
	bool shallow;         /* a clone with a cut-off history: distances count what is there */
	const char *head_ref; /* "refs/heads/main"; NULL when the head is detached */
	const char *head_sha; /* NULL when there is no commit yet */
};

/* The repository of a folder: its own or that of the nearest folder above. ERR_NOT_FOUND: there is none. ERR_FORBIDDEN: it belongs to
 * another user, and Git has not been told to trust it. ERR_UNSUPPORTED: a form that libgit2 cannot read (SHA-256). ERR_CORRUPT: damaged. */
must_check int vcs_open(const void *ctx, const char *dir, struct vcs **ret, struct err *err);
/* The repository at this very place (bare or not): the folders above are not searched. */
must_check int vcs_open_at(const void *ctx, const char *dir, struct vcs **ret, struct err *err);
const struct vcs_info *vcs_info(const struct vcs *vcs);

/* What may name a commit from outside: 1 to VCS_REF_MAX of letters, digits and . _ / + - @ ~ ^, the first a letter, a digit, '_' or '@';
 * without "..", "//" and "@{". ERR_INVALID. So it can be given to a program as an argument, too, without being taken for an option. */
must_check int vcs_ref_check(const char *ref, struct err *err);
/* The commit that a tag, a branch, a (shortened) SHA or HEAD leads to. ERR_INVALID: not in the grammar, or it leads to something else;
 * ERR_NOT_FOUND; ERR_AMBIGUOUS: a short SHA of several. */
must_check int vcs_resolve(struct vcs *vcs, const char *ref, char ret_sha[VCS_SHA_SIZE], struct err *err);

/* Plain names only, as a release is asked for: tags, branches, commit ids; no expressions such as HEAD~1, nothing that begins with a
 * dash. ERR_INVALID. */
must_check int vcs_name_check(const char *name, struct err *err);
/* A tag, a branch, a branch of origin or a commit id (7 digits at least), in this order; `prefix` is tried in front of it first (may be
 * NULL). ERR_INVALID, ERR_NOT_FOUND, ERR_AMBIGUOUS. */
must_check int vcs_resolve_name(struct vcs *vcs, const char *prefix, const char *name, char ret_sha[VCS_SHA_SIZE], struct err *err);

enum vcs_kind { VCS_TAG, VCS_BRANCH, VCS_COMMIT };
#define VCS_KINDS_ALL ((1u << VCS_TAG) | (1u << VCS_BRANCH) | (1u << VCS_COMMIT))
const char *vcs_kind_name(enum vcs_kind kind); /* "tag", "branch", "commit" */

struct vcs_person {
	const char *name, *email;
	int64_t wall_ms;
};

/* The field is there for every version; what is NULL does not exist. */
struct vcs_version {
	enum vcs_kind kind;
	const char *name;       /* "v1.4.2", "main", "origin/main", first 12 digits of a commit */
	const char *ref;        /* "refs/tags/v1.4.2"; NULL for a commit */
	struct version version; /* of the name (a commit: of its SHA); VERSION_OTHER when it is none */
	const char *sha;        /* of the commit */
	struct vcs_person author, committer;
	const char *subject;      /* "" when the message is empty */
	const char *tag_message;  /* NULL: no annotated tag */
	struct vcs_person tagger; /* name NULL: no annotated tag */
	/* Changes are told against the predecessor: for a tag the next lower one of its kind of version (for others the next older one),
	 * for a branch and a commit the first parent. NULL: there is none, and every file counts as changed; or, where `cut`, a shallow
	 * clone does not have it, and changes are not known. A renamed file counts as one that went and one that came. */
	const char *predecessor, *predecessor_sha;
	bool cut;
	size_t changed_count;
	const char **changed; /* the first `names` paths, sorted; NULL-terminated; NULL when cut */
	bool has_distance;    /* false: there is no present commit */
	size_t ahead, behind; /* commits here that the present commit lacks, and the other way round */
};

struct vcs_query {
	unsigned kinds;     /* bits (1u << VCS_TAG)...; 0: all */
	const char *from;   /* the present commit, by ref; NULL: HEAD */
	const char *branch; /* only tags that it contains, and its commits; NULL: all tags, and the commits of HEAD */
	size_t limit;       /* of each kind; 0: 50 */
	size_t names;       /* paths listed of the changes of a version; 0: 20 */
};

struct vcs_skipped {
	const char *name, *reason;
};

/* Order: tags, branches, commits. Tags: kinds of version in the order of their newest commits; within a kind the highest precedence first,
 * those without precedence by date; ties by date, then name. Branches: that of HEAD first, then by date. Commits: newest first, none
 * before its children. */
struct vcs_versions {
	struct vcs_version *list;
	size_t count;
	const char *from_sha;        /* NULL: there is no present commit */
	struct vcs_skipped *skipped; /* tags that lead to no commit */
	size_t skipped_count;
};

must_check int vcs_versions(const void *ctx, struct vcs *vcs, const struct vcs_query *query, struct vcs_versions *ret, struct err *err);
/* {"name", "kind", "ref", "versionKind", "version": {"text","parts","pre","build"}, "sha", "author": {"name","email"}, "date",
 * "committedAt", "subject", "tagMessage", "tagger", "predecessor": {"name","sha"}, "filesChanged": {"count","names","more"}, "distance":
 * {"ahead","behind"}}: all members, always; null where the thing does not exist. `date` is the author's. New reference. */
json_t *vcs_version_json(const struct vcs_version *version);

/* What the tree of a commit holds, read without checking it out; kept in ctx:
 *   {"sha", "manifests": [{"path","name","version"}], "lockFiles": [{"path","hash"}], "migrations": [{"path","hash"}],
 *    "config": [{"path","hash","keys"}], "contracts": [{"path","hash","name","abiHash"}], "problems": [{"path","message"}]}
 * Sorted by path. `hash` is Git's own of the content; `keys` the top-level names (never values), null when they cannot be told; `abiHash`
 * SHA-256 of the canonical ABI. A file that cannot be read as what it should be is a problem, not an error. Folders node_modules and
 * vendor are passed over. */
must_check int vcs_metadata(const void *ctx, struct vcs *vcs, const char *ref, json_t **ret, struct err *err);
/* What is otherwise in `to` than in `from` (both from vcs_metadata): {"from","to", and for each list {"appeared": [...], "vanished":
 * [...], "changed": [{"path","from","to"}]}}; a changed configuration file also tells "keysAppeared" and "keysVanished". New reference. */
json_t *vcs_metadata_difference(json_t *from, json_t *to);

/* What lies between two commits (refs as in vcs_resolve), as whoever goes from the one to the other sees it; kept in ctx:
 *   {"from","to": SHAs, "removed": {"count", "commits": [{"sha","subject","author","date"}], "more"}, "added": {the same},
 *    "files": {"count","names","more"}}
 * "removed": commits that `from` has and `to` has not, newest first; "added": the other way round. At most `commits` and `names` are listed, and VCS_BETWEEN_MAX counted. */
#define VCS_BETWEEN_MAX 100000u
must_check int vcs_between(const void *ctx, struct vcs *vcs, const char *from, const char *to, size_t commits, size_t names, json_t **ret,
	struct err *err);

/* Writes the tree of a commit (40 digits), or its folder `subdir` (may be NULL), into `dir`, which must not exist. Durable at return.
 * Refuses submodules, Git LFS pointers, names that are none,
 * links that lead outside. *ret_files: how many were written. `tick` is called now and then with that number; may be NULL. */
must_check int vcs_export(struct vcs *vcs, const char *sha, const char *subdir, const char *dir, size_t *ret_files,
	void (*tick)(void *user, size_t files), void *user, struct err *err);

#endif
