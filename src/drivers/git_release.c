/* git-release: a directory per release, exported from a commit, and one link that says which is in use.
 *
 *     root/releases/1.5.2-3f2a9c1b7d04/      the tree of the commit, with the shared paths linked into it
 *     root/releases/1.5.2-3f2a9c1b7d04.json  what it is: version as it was asked for, commit
 *     root/shared/                           what outlives releases
 *     root/current -> releases/1.5.2-3f2a9c1b7d04
 *
 * Safe at every point: a release is made in releases/.tmp-..., flushed, its json written, then renamed; only a whole one has its name.
 * The switch is one rename. What an interrupted
 * export left is removed by the next. root/.unship.lock is held while something is changed.
 *
 * A branch moves. Which commit a version stood for is kept when a deployment is recorded (capture writes release.json), and that commit
 * is what a later rollback returns to. */
#include "drivers/list.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/release.h"
#include "drivers/room.h"
#include "drivers/sandbox.h"
#include "vcs/vcs.h"

#define CAPTURED       "release.json"
#define LOCK_PAUSE_MS  20
#define NAME_MAX_BYTES 100
#define SIZE_LIMIT_MS  1000 /* the size of a release is a guess: nobody waits long for it */

struct release_params {
	const char *repo, *root, *ref_prefix, *subdir;
	int64_t keep;
	const char **shared;
};

static const struct field release_fields[] = {
	FIELD_SOURCE(struct release_params, repo, DEFAULT("."), "git repository, relative to the project; a bare one is as good"),
	FIELD_DIR(struct release_params, root, REQUIRED, "directory that holds releases/, shared/ and the link current"),
	FIELD_STR(struct release_params, ref_prefix, OPTIONAL, "put in front of a version to make the name of its tag, such as v"),
	FIELD_PATH(struct release_params, subdir, OPTIONAL, "only this directory of the repository"),
	FIELD_INT(struct release_params, keep, DEFAULT("5"), 1, 1000, "how many releases are kept"),
	FIELD_LIST(struct release_params, shared, OPTIONAL, "paths inside of each release that are links to shared/"),
	FIELD_END,
};

/* What stands there. */
struct present {
	const char *link;       /* target of `current` as written; NULL: there is no link */
	bool broken;            /* it leads to nothing */
	struct release release; /* when there is a link that leads somewhere */
};

/* Where to go. */
struct wanted {
	const char *version;
	char commit[VCS_SHA_SIZE]; /* "": not known: only a release that is there can be it */
	const char *name;          /* of the release directory */
	struct err why;            /* why the commit is not known */
};

static const struct release_params *params(const struct driver_call *call)
{
	return call->params;
}

static const char *root_path(struct driver_call *call, const char *path)
{
	const char *root = fs_join(call->ctx, call->project_dir, params(call)->root);

	return path ? fs_join(call->ctx, root, path) : root;
}

static int check_params(struct driver_call *call, struct err *err)
{
	const struct release_params *p = params(call);

	if (p->subdir && !fs_is_inside(p->subdir))
		return err_set(err, ERR_INVALID, "subdir: '%s' is not a path inside of the repository", p->subdir);
	for (const char **path = p->shared; path && *path; path++)
		if (!fs_is_inside(*path) || text_starts_with(*path, "./"))
			return err_set(err, ERR_INVALID, "shared: '%s' is not a path inside of a release", *path);
	return 0;
}

static int look(struct driver_call *call, struct present *ret, struct err *err)
{
	const char *current = root_path(call, "current");
	char target[4096];
	ssize_t n = readlink(current, target, sizeof(target) - 1);
	struct err why = ERR_INIT;
	int r;

	*ret = (struct present){ .link = NULL };
	if (n < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (n < 0 && errno == EINVAL)
		return err_set(err, ERR_INVALID, "%s is not a symbolic link: move it away, it was not made by this driver", current);
	if (n < 0)
		return err_errno(err, errno, "%s", current);
	target[n] = 0;
	ret->link = mem_strdup(call->ctx, target);
	r = release_read(call->ctx, current, &ret->release, &why);
	ret->broken = r == -ERR_NOT_FOUND;
	if (r < 0 && !ret->broken) {
		*err = why;
		return r;
	}
	return 0;
}

/* The name of the directory: readable, and different for different commits. */
static const char *release_name(struct driver_call *call, const char *version, const char *commit)
{
	char *name = mem_strndup(call->ctx, version, NAME_MAX_BYTES);

	for (char *at = name; *at; at++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-", *at))
			*at = '_';
	if (*name == '.')
		*name = '_';
	if (params(call)->subdir) { /* another part of the same commit is another release */
		name = mem_appendf(name, "-%.40s", params(call)->subdir);
		for (char *at = name; *at; at++)
			if (*at == '/')
				*at = '_';
	}
	if (text_starts_with(commit, name) && strlen(name) >= 7)
		return mem_printf(call->ctx, "%.12s", commit); /* the version is the commit's own id */
	return mem_printf(call->ctx, "%s-%.12s", name, commit);
}

/* The commit that capture kept with the deployment, when it is of this version. */
static bool kept_commit(struct driver_call *call, const char *version, char ret[VCS_SHA_SIZE])
{
	struct err ignored = ERR_INIT;
	const char *commit;
	json_t *kept;
	size_t size;
	char *text;

	if (!call->source_dir || fs_read(call->ctx, fs_join(call->ctx, call->source_dir, CAPTURED), 65536, &text, &size, &ignored) < 0 ||
		json_parse(call->ctx, text, size, 65536, &kept, &ignored) < 0)
		return false;
	commit = json_str(kept, "commit", "");
	if (strcmp(json_str(kept, "version", ""), version) != 0 || strlen(commit) != VCS_SHA_SIZE - 1)
		return false;
	memcpy(ret, commit, VCS_SHA_SIZE);
	return true;
}

/* A release that is there and was made for this version: the newest. */
static bool find_release(struct driver_call *call, const char *version, const char *commit, struct release *ret)
{
	struct err ignored = ERR_INIT;
	bool found = false;
	char **names;

	if (fs_list(call->ctx, root_path(call, "releases"), &names, &ignored) < 0)
		return false;
	for (; *names; names++) {
		const char *path = root_path(call, mem_printf(call->ctx, "releases/%s", *names));
		struct release release;

		if (**names == '.' || !fs_is_dir(path) || !fs_exists(mem_printf(call->ctx, "%s.json", path)) ||
			release_read(call->ctx, path, &release, &ignored) < 0)
			continue;
		if (commit ? !release.commit || strcmp(release.commit, commit) != 0 : strcmp(release.version, version) != 0)
			continue;
		if (!found || release.created_ms > ret->created_ms)
			*ret = release;
		found = true;
	}
	return found;
}

static int want(struct driver_call *call, struct wanted *ret, struct err *err)
{
	const struct release_params *p = params(call);
	struct vcs *repository;
	struct release there;
	int r;

	*ret = (struct wanted){ .version = json_str(call->target, "version", NULL), .why = ERR_INIT };
	if (!ret->version || !*ret->version)
		return err_set(err, ERR_INVALID, "target: 'version' is missing");
	r = vcs_name_check(ret->version, err);
	if (r < 0)
		return r;
	if (!kept_commit(call, ret->version, ret->commit)) {
		r = vcs_open_at(call->ctx, fs_join(call->ctx, call->project_dir, p->repo), &repository, &ret->why);
		if (r == 0)
			r = vcs_resolve_name(repository, p->ref_prefix, ret->version, ret->commit, &ret->why);
		if (r < 0)
			ret->commit[0] = 0;
	}
	if (!ret->commit[0] && find_release(call, ret->version, NULL, &there) && there.commit && strlen(there.commit) == VCS_SHA_SIZE - 1)
		memcpy(ret->commit, there.commit, VCS_SHA_SIZE); /* the tag is gone, but not what was made of it */
	if (ret->commit[0])
		ret->name = release_name(call, ret->version, ret->commit);
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_there(const struct driver_call *call, const struct wanted *wanted, const struct present *present)
{
	if (!present->link || present->broken || !wanted->commit[0])
		return false;
	return same_text(present->release.commit, wanted->commit) && same_text(present->release.version, wanted->version) &&
		same_text(present->release.subdir, params(call)->subdir);
}

/* What capture wrote: {"link","version","commit"}; link null: there was none. */
static int read_captured(struct driver_call *call, json_t **ret, struct err *err)
{
	char *text;
	size_t size;
	int r;

	r = fs_read(call->ctx, fs_join(call->ctx, call->snapshot_dir, CAPTURED), 65536, &text, &size, err);
	if (r == 0)
		r = json_parse(call->ctx, text, size, 65536, ret, err);
	return r < 0 ? err_in(err, "captured release") : 0;
}

static int release_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	struct err why = ERR_INIT;
	struct present present;
	struct wanted wanted;
	json_t *captured;
	int r;

	r = check_params(call, err);
	if (r == 0)
		r = look(call, &present, err);
	if (r == 0 && call->target)
		r = want(call, &wanted, err);
	if (r < 0)
		return r;
	*ret = (struct observation){ .version = "",
		.state = "absent",
		.healthy = -1,
		.at_target = -1,
		.details = json_keep(call->ctx, json_object()) };
	if (present.link) {
		json_put_str(ret->details, "release", present.link);
		ret->state = present.broken ? "broken" : "present";
	}
	if (present.link && !present.broken) {
		ret->version = present.release.version;
		json_put_str(ret->details, "commit", present.release.commit);
	}
	if (call->target)
		ret->at_target = wanted.commit[0] ? is_there(call, &wanted, &present) : -1;
	else if (call->snapshot_dir && read_captured(call, &captured, &why) == 0)
		ret->at_target = same_text(json_str(captured, "link", NULL), present.link) && !(present.link && present.broken);
	return 0;
}

static int release_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	const struct release_params *p = params(call);
	struct vcs *repository;
	char commit[VCS_SHA_SIZE];
	struct present present;
	struct release there;
	struct wanted wanted;
	struct err why = ERR_INIT;
	json_t *evidence;
	int r;

	r = check_params(call, err);
	if (r == 0)
		r = want(call, &wanted, err);
	if (r < 0)
		return r;
	r = look(call, &present, &why);
	findings_add(ret, "release_root", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
		r < 0 ? why.text : "the link 'current' can be switched");
	if (!wanted.commit[0]) {
		findings_add(ret, "artefact_available", false, SEVERITY_ERROR, call->name, NULL, "%s", wanted.why.text);
		return 0;
	}
	evidence = json_make(call->ctx, "{s:s}", "commit", wanted.commit);
	if (find_release(call, wanted.version, wanted.commit, &there)) {
		findings_add(ret, "artefact_available", true, SEVERITY_ERROR, call->name, evidence, "release '%s' is there", there.name);
		return 0;
	}
	r = vcs_open_at(call->ctx, fs_join(call->ctx, call->project_dir, p->repo), &repository, &why);
	if (r == 0)
		r = vcs_resolve_name(repository, NULL, wanted.commit, commit, &why);
	findings_add(ret, "artefact_available", r == 0, SEVERITY_ERROR, call->name, evidence, "%s",
		r < 0 ? why.text : mem_printf(call->ctx, "'%s' is commit %.12s", wanted.version, wanted.commit));
	/* It has to be written out: about as much as what is there now, which is known without reading the repository. */
	if (r == 0 && present.link)
		room_check(call, root_path(call, NULL), room_of_tree(root_path(call, "current/"), clock_mono_ms() + SIZE_LIMIT_MS), ret);
	return 0;
}

static int release_capture(struct driver_call *call, struct err *err)
{
	char *path = fs_join(call->ctx, call->snapshot_dir, CAPTURED), *text;
	json_t *captured = json_keep(call->ctx, json_object());
	struct present present;
	int r;

	if (fs_exists(path))
		return 0;
	r = look(call, &present, err);
	if (r < 0)
		return r;
	if (present.link && present.broken)
		return err_set(err, ERR_FAILED, "'current' leads to %s, which is gone: there is nothing to return to", present.link);
	json_put_str(captured, "link", present.link);
	if (present.link) {
		json_put_str(captured, "version", present.release.version);
		json_put_str(captured, "commit", present.release.commit);
	}
	text = json_pretty(call->ctx, captured);
	return fs_write_atomic(path, text, strlen(text), 0600, err);
}

/* ---- changes; all with the lock held ---- */

static int take_lock(struct driver_call *call, int *ret_fd, struct err *err)
{
	const char *path = root_path(call, ".unship.lock");
	_cleanup_close_ int fd = -1;
	int r;

	r = fs_mkdirs_durable(root_path(call, "releases"), 0755, err);
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno(err, errno, "%s", path);
		if (clock_mono_ms() >= call->deadline_ms)
			return err_set(err, ERR_TIMEOUT, "%s: another release is being made", path);
		(void)poll(NULL, 0, LOCK_PAUSE_MS);
	}
	*ret_fd = take_fd(fd);
	return 0;
}

/* What interrupted exports left. */
static int remove_unfinished(struct driver_call *call, struct err *err)
{
	const char *releases = root_path(call, "releases");
	char **names;
	int r;

	r = fs_list(call->ctx, releases, &names, err);
	for (; r == 0 && *names; names++)
		if (text_starts_with(*names, ".tmp-"))
			r = fs_remove_tree(fs_join(call->ctx, releases, *names), err);
	return r;
}

/* One shared path: a relative link, so that the root can be moved. What the commit has at this place gives way. */
static int link_shared(struct driver_call *call, const char *release, const char *path, struct err *err)
{
	char *at = fs_join(call->ctx, release, path), *target = mem_strdup(call->ctx, "../../"), *parent = mem_strdup(call->ctx, at);
	const char *shared = root_path(call, mem_printf(call->ctx, "shared/%s", path));
	char *shared_parent = mem_strdup(call->ctx, shared);
	int r;

	*strrchr(parent, '/') = 0;
	*strrchr(shared_parent, '/') = 0;
	for (const char *c = path; *c; c++)
		if (*c == '/')
			target = mem_append(target, "../");
	target = mem_appendf(target, "shared/%s", path);
	r = fs_mkdirs_durable(shared_parent, 0755, err);
	if (r == 0)
		r = fs_mkdirs_durable(parent, 0755, err);
	if (r == 0)
		r = fs_remove_tree(at, err);
	if (r == 0)
		r = fs_symlink_atomic(target, at, err);
	if (r < 0)
		return err_in(err, "shared path '%s'", path);
	if (!fs_exists(shared))
		call_log(call, LOG_WARN, "shared path '%s' does not exist yet: the release links to nothing there", path);
	return 0;
}

static void tell_files(void *user, size_t files)
{
	call_progress(user, -1, "%zu files", files);
}

/* Exports into a temporary directory and gives it its name when it is whole. */
static int make_release(struct driver_call *call, const struct wanted *wanted, struct err *err)
{
	const struct release_params *p = params(call);
	struct release release = { .version = wanted->version,
		.commit = wanted->commit,
		.subdir = p->subdir,
		.created_ms = clock_wall_ms() };
	const char *temporary = root_path(call, mem_printf(call->ctx, "releases/.tmp-%s", wanted->name));
	const char *final = root_path(call, mem_printf(call->ctx, "releases/%s", wanted->name));
	struct vcs *repository;
	size_t files;
	int r;

	r = vcs_open_at(call->ctx, fs_join(call->ctx, call->project_dir, p->repo), &repository, err);
	if (r == 0)
		r = vcs_export(repository, wanted->commit, p->subdir, temporary, &files, tell_files, call, err);
	FAILPOINT("git_release.exported");
	for (const char **path = p->shared; r == 0 && path && *path; path++)
		r = link_shared(call, temporary, *path, err);
	if (r == 0)
		r = release_write(final, &release, err);
	FAILPOINT("git_release.described");
	if (r == 0 && rename(temporary, final) < 0)
		r = err_errno(err, errno, "%s", final);
	if (r == 0)
		r = fs_sync_dir(root_path(call, "releases"), err);
	if (r < 0) {
		struct err why = ERR_INIT;

		if (fs_remove_tree(temporary, &why) < 0)
			call_log(call, LOG_WARN, "what was exported so far could not be removed: %s", why.text);
		return r;
	}
	FAILPOINT("git_release.renamed");
	call_log(call, LOG_INFO, "exported %zu files of commit %.12s", files, wanted->commit);
	return 0;
}

static int compare_newest_first(const void *a, const void *b)
{
	const struct release *one = a, *other = b;

	if (one->created_ms != other->created_ms)
		return one->created_ms < other->created_ms ? 1 : -1;
	return strcmp(other->name, one->name);
}

/* The name goes first: half a release must never be found under it. */
static int discard(struct driver_call *call, const struct release *release, struct err *err)
{
	const char *gone = root_path(call, mem_printf(call->ctx, "releases/.tmp-gone-%s", release->name));

	if (rename(release->path, gone) < 0)
		return err_errno(err, errno, "cannot rename");
	FAILPOINT("git_release.pruned");
	if (unlink(mem_printf(call->ctx, "%s.json", release->path)) < 0)
		return err_errno(err, errno, "cannot remove its description");
	return fs_remove_tree(gone, err);
}

/* Removes the oldest releases beyond `keep`, but never one of `spared` (names, NULL-terminated). Failing is no reason to fail the step:
 * it is logged. */
static void prune(struct driver_call *call, const char *const *spared)
{
	const char *releases = root_path(call, "releases");
	struct release *list = mem_array(call->ctx, struct release, 1);
	struct err err = ERR_INIT;
	size_t count = 0;
	char **names;
	int r;

	if (fs_list(call->ctx, releases, &names, &err) < 0)
		return;
	for (; *names; names++) {
		const char *path = fs_join(call->ctx, releases, *names);

		/* Without a description it is not ours. */
		if (**names == '.' || !fs_is_dir(path) || !fs_exists(mem_printf(call->ctx, "%s.json", path)))
			continue;
		list = mem_resize(call->ctx, list, struct release, count + 1);
		count += release_read(call->ctx, path, &list[count], &err) == 0;
	}
	qsort(list, count, sizeof(*list), compare_newest_first);
	for (size_t i = (size_t)params(call)->keep; i < count; i++) {
		bool spare = false;

		for (size_t k = 0; spared[k]; k++)
			spare = spare || strcmp(spared[k], list[i].name) == 0;
		if (spare)
			continue;
		r = discard(call, &list[i], &err);
		call_log(call, r < 0 ? LOG_WARN : LOG_INFO,
			r < 0 ? "release '%s' could not be removed: %s" : "removed the old release '%s'%s", list[i].name,
			r < 0 ? err.text : "");
	}
}

static const char *last_part(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "";
}

static int switch_to(struct driver_call *call, const char *name, struct err *err)
{
	int r = fs_symlink_atomic(mem_printf(call->ctx, "releases/%s", name), root_path(call, "current"), err);

	if (r < 0)
		return r;
	FAILPOINT("git_release.switched");
	call_log(call, LOG_INFO, "current -> releases/%s", name);
	return 0;
}

static int release_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	_cleanup_close_ int lock = -1;
	struct err ignored = ERR_INIT;
	struct present present;
	struct wanted wanted;
	json_t *captured = NULL;
	const char *spared[4] = { NULL }, *path;
	int r;

	r = check_params(call, err);
	if (r == 0)
		r = want(call, &wanted, err);
	if (r == 0)
		r = take_lock(call, &lock, err);
	if (r == 0)
		r = look(call, &present, err);
	if (r < 0)
		return r;
	if (!wanted.commit[0]) {
		*err = wanted.why;
		return -(int)err->code;
	}
	if (!is_there(call, &wanted, &present)) {
		r = remove_unfinished(call, err);
		if (r < 0)
			return r;
		/* One that is there is whole: its description was written before it got its name. */
		path = root_path(call, mem_printf(call->ctx, "releases/%s", wanted.name));
		if (!fs_exists(path))
			r = make_release(call, &wanted, err);
		else if (!fs_exists(mem_printf(call->ctx, "%s.json", path)))
			r = err_set(err, ERR_CONFLICT, "%s is in the way: it was not made by this driver", path);
		if (r == 0)
			r = switch_to(call, wanted.name, err);
		if (r < 0)
			return r;
	}
	if (call->snapshot_dir && read_captured(call, &captured, &ignored) < 0)
		captured = NULL;
	spared[0] = wanted.name;
	spared[1] = last_part(present.link);
	spared[2] = last_part(json_str(captured, "link", NULL));
	prune(call, spared);
	json_put_str(ret_outputs, "version", wanted.version);
	json_put_str(ret_outputs, "previousVersion",
		captured                                  ? json_str(captured, "version", "")
			: present.link && !present.broken ? present.release.version
							  : "");
	json_put_str(ret_outputs, "path", root_path(call, mem_printf(call->ctx, "releases/%s", wanted.name)));
	return 0;
}

/* Back to no link at all. */
static int remove_link(struct driver_call *call, struct err *err)
{
	const char *current = root_path(call, "current");

	if (unlink(current) < 0 && errno != ENOENT)
		return err_errno(err, errno, "%s", current);
	FAILPOINT("git_release.unlinked");
	return fs_sync_dir(root_path(call, NULL), err);
}

static int release_undo(struct driver_call *call, struct err *err)
{
	_cleanup_close_ int lock = -1;
	const char *link, *name, *commit;
	struct wanted wanted = { .why = ERR_INIT };
	struct present present;
	json_t *captured;
	int r;

	r = check_params(call, err);
	if (r == 0)
		r = read_captured(call, &captured, err);
	if (r == 0)
		r = take_lock(call, &lock, err);
	if (r == 0)
		r = look(call, &present, err);
	if (r < 0)
		return r;
	link = json_str(captured, "link", NULL);
	if (!link)
		return present.link ? remove_link(call, err) : 0;
	if (same_text(link, present.link) && !present.broken)
		return 0;
	name = last_part(link);
	commit = json_str(captured, "commit", "");
	if (!fs_is_dir(root_path(call, link)) && strlen(commit) == VCS_SHA_SIZE - 1 && text_starts_with(link, "releases/")) {
		/* It was removed meanwhile: made again, under the same name. */
		wanted.version = json_str(captured, "version", name);
		wanted.name = name;
		memcpy(wanted.commit, commit, VCS_SHA_SIZE);
		r = remove_unfinished(call, err);
		if (r == 0)
			r = make_release(call, &wanted, err);
		if (r < 0)
			return r;
	}
	if (!fs_is_dir(root_path(call, link)))
		return err_set(err, ERR_NOT_FOUND, "%s is gone", link);
	r = fs_symlink_atomic(link, root_path(call, "current"), err);
	if (r < 0)
		return r;
	FAILPOINT("git_release.undone");
	call_log(call, LOG_INFO, "current -> %s", link);
	return 0;
}

/* The release that is in use, made again in the root of the copy under the same name; the repository is the same, it is only read. */
static int make_copy(struct driver_call *there, const struct release *release, struct err *err)
{
	struct wanted wanted = { .version = release->version, .name = release->name, .why = ERR_INIT };
	_cleanup_close_ int lock = -1;
	int r;

	if (!release->commit || strlen(release->commit) != VCS_SHA_SIZE - 1)
		return err_set(err, ERR_UNSUPPORTED, "the release '%s' that is in use was not made from a commit", release->name);
	memcpy(wanted.commit, release->commit, VCS_SHA_SIZE);
	r = take_lock(there, &lock, err);
	if (r == 0)
		r = make_release(there, &wanted, err);
	return r < 0 ? r : switch_to(there, wanted.name, err);
}

static int release_sandbox(struct driver_call *call, json_t **ret_config, struct err *err)
{
	static const char *const paths[] = { "root", NULL };
	struct release_params copy = *params(call);
	struct driver_call there = sandbox_call(call, &copy);
	struct present present;
	int r;

	copy.repo = fs_join(call->ctx, call->project_dir, copy.repo);
	copy.root = sandbox_path(call, copy.root);
	r = check_params(call, err);
	if (r == 0)
		r = look(call, &present, err);
	for (const char **path = copy.shared; r == 0 && path && *path; path++)
		r = sandbox_copy(call, fs_join(call->ctx, params(call)->root, mem_printf(call->ctx, "shared/%s", *path)), err);
	if (r == 0 && present.link && present.broken)
		return err_set(err, ERR_FAILED, "'current' leads to %s, which is gone", present.link);
	if (r == 0 && present.link) {
		copy.subdir = present.release.subdir;
		r = make_copy(&there, &present.release, err);
	}
	*ret_config = sandbox_config(call, paths, NULL);
	json_put_str(*ret_config, "repo", copy.repo);
	sandbox_override(call, *ret_config);
	return r;
}

const struct driver driver_git_release = {
	.name = "git-release",
	.summary = "a release directory per version, exported from a Git repository, and a link that is switched",
	.kind = DRIVER_CODE,
	.fields = release_fields,
	.params_size = sizeof(struct release_params),
	.keeps = true,
	.observe = release_observe,
	.apply = release_apply,
	.check = release_check,
	.capture = release_capture,
	.undo = release_undo,
	.sandbox = release_sandbox,
};
