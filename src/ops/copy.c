/* A copy of the snapshot store in an S3-compatible one, so that a lost disk is not the end. Only what is sealed leaves the machine, as it stands on the disk: the other side learns sizes and times, nothing else.
 *
 * Objects are named by their content and never change, so what is there is not sent again; data keys are wrapped anew by a rotation, so those are sent each time. The commit of a snapshot goes last: what is there without one
 * is an interrupted copy, and the next one completes it. Nothing is ever removed over there. Fetching takes the same order; what is on the disk already stays as it is. */
#include "ops/answers.h"
#include "ops/content.h"
#include "ops/resources.h"

#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/redact.h"
#include "net/s3.h"

#define FILE_MAX   ((size_t)512 << 20) /* a manifest of a million files */
#define REQUEST_MS 120000
#define SALT       "snapshot-store/keys/salt"

/* What belongs to the store beside the snapshots' own folders; in this order it is sent. */
static const char *const content_roots[] = { "snapshot-store/sealed", "snapshot-store/keys" };
static const char *const snapshot_files_first[] = { "metadata.json", "manifest" };

struct copy_params {
	bool dry_run;
};

static const struct field copy_fields[] = {
	FIELD_BOOL(struct copy_params, dry_run, DEFAULT("false"), "only say what would be sent or fetched"), FIELD_END
};

struct copying {
	struct op *op;
	struct snapshot_store *store;
	struct s3 *s3;
	const char *prefix; /* ends with '/' or is empty */
	json_t *there;      /* keys without prefix: true */
	bool dry_run;
	int64_t files, bytes, known, skipped;
};

static int read_secret(struct op *op, json_t *reference, const char *what, const char **ret, struct err *err)
{
	int r = json_read_secret(op->ctx, reference, op->workspace->dir, ret, err);

	return r < 0 ? err_in(err, "snapshots.copy.%s", what) : 0;
}

static int note_there(void *user, const char *key, unused_arg struct err *err)
{
	struct copying *copying = user;

	json_object_set_new(copying->there, key + strlen(copying->prefix), json_true());
	return 0;
}

static int begin(struct op *op, const struct copy_params *p, struct copying *ret, struct err *err)
{
	struct s3_options options = { .timeout_ms = REQUEST_MS };
	const struct copy_config *config;
	int r;

	*ret = (struct copying){ .op = op, .there = json_keep(op->ctx, json_object()), .dry_run = p->dry_run };
	r = workspace_store(op->workspace, err);
	if (r < 0)
		return r;
	config = &op->workspace->project->snapshots.copy;
	if (!config->url)
		return err_set(err, ERR_INVALID, "there is no snapshots.copy in the project file that says where to");
	r = content_store(op->workspace, &ret->store, err);
	if (r < 0)
		return r;
	if (!snapshot_store_sealed(ret->store))
		return err_set(err, ERR_REFUSED,
			"snapshots that are not sealed do not leave this machine: give them a key in snapshots.seal");
	options.url = config->url;
	options.bucket = config->bucket;
	options.region = config->region;
	options.ca_file = config->ca_file ? fs_join(op->ctx, op->workspace->dir, config->ca_file) : NULL;
	r = read_secret(op, config->access_key, "accessKey", &options.access_key, err);
	if (r == 0)
		r = read_secret(op, config->secret_key, "secretKey", &options.secret_key, err);
	if (r < 0)
		return r;
	ret->prefix = config->prefix && *config->prefix ? mem_printf(op->ctx, "%s/", config->prefix) : "";
	ret->s3 = s3_new(op->ctx, &options);
	return s3_list(ret->s3, ret->prefix, note_there, ret, err);
}

static bool is_interrupted(const struct op *op)
{
	return op->interrupted && op->interrupted(op->user);
}

static int send_file(struct copying *copying, const char *path, bool always, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct op *op = copying->op;
	char *text;
	size_t size;
	int r;

	if (is_interrupted(op))
		return err_set(err, ERR_CANCELLED, "interrupted; what was sent stays, and the next copy goes on");
	if (!always && json_object_get(copying->there, path)) {
		copying->known++;
		return 0;
	}
	r = fs_read(tmp, fs_join(tmp, op->workspace->places.state_dir, path), FILE_MAX, &text, &size, err);
	if (r == -ERR_NOT_FOUND) /* pruned meanwhile */
		return 0;
	if (r == 0 && !copying->dry_run)
		r = s3_put(copying->s3, mem_printf(tmp, "%s%s", copying->prefix, path), text, size, err);
	if (r < 0)
		return r;
	FAILPOINT("copy.sent");
	copying->files++;
	copying->bytes += (int64_t)size;
	return 0;
}

static int send_folder(struct copying *copying, const char *path, bool always, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	char *folder = fs_join(tmp, copying->op->workspace->places.state_dir, path), **names;
	int r;

	if (!fs_is_dir(folder))
		return 0;
	r = fs_list(tmp, folder, &names, err);
	for (; r == 0 && *names; names++) {
		char *below = fs_join(tmp, path, *names);

		if (fs_is_dir(fs_join(tmp, folder, *names)))
			r = send_folder(copying, below, always, err);
		else
			r = send_file(copying, below, always, err);
	}
	return r;
}

static char *snapshot_folder(const void *ctx, const char *id)
{
	return mem_printf(ctx, "%s/%s", text_starts_with(id, "dep-") ? "recorded" : "rollback-snapshots", id);
}

/* The snapshots that are sealed, of runs and deployments, are sent file by file; `last`: their commits alone. */
static int send_snapshots(struct copying *copying, bool last, struct err *err)
{
	for (int deployments = 0; deployments < 2; deployments++) {
		_cleanup_talloc_ void *tmp = mem_context(NULL);
		char **ids;
		int r = snapshot_list(copying->store, tmp, deployments, &ids, err);

		for (; r == 0 && *ids; ids++) {
			struct snapshot_summary summary = { 0 };
			char *folder = snapshot_folder(tmp, *ids);

			r = snapshot_measure(copying->store, *ids, NULL, &summary, err);
			if (r < 0)
				return err_in(err, "snapshot %s", *ids);
			if (!summary.sealed) {
				copying->skipped += last;
				continue;
			}
			for (size_t i = 0; r == 0 && !last && i < ARRAY_SIZE(snapshot_files_first); i++)
				r = send_file(copying, fs_join(tmp, folder, snapshot_files_first[i]), false, err);
			if (r == 0 && last)
				r = send_file(copying, fs_join(tmp, folder, "commit"), false, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static json_t *answer_json(const struct copying *copying)
{
	return json_make(copying->op->ctx, "{s:I, s:I, s:I, s:I, s:b}", "files", (json_int_t)copying->files, "bytes",
		(json_int_t)copying->bytes, "there", (json_int_t)copying->known, "unsealed", (json_int_t)copying->skipped, "dryRun",
		copying->dry_run);
}

static int note_in_journal(struct copying *copying, const char *kind, struct err *err)
{
	struct entry entry = { .kind = kind, .actor = copying->op->actor };

	if (copying->dry_run)
		return 0;
	entry.data = json_make(copying->op->ctx, "{s:I, s:I}", "files", (json_int_t)copying->files, "bytes", (json_int_t)copying->bytes);
	return store_append(copying->op->workspace->store, copying->op->ctx, &entry, err);
}

static int snapshots_copy(struct op *op, const void *params, json_t **ret, struct err *err)
{
	struct copying copying;
	int r;

	r = begin(op, params, &copying, err);
	/* Data keys are few and are wrapped anew in place; objects never change. */
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(content_roots); i++)
		r = send_folder(&copying, content_roots[i], strstr(content_roots[i], "keys") != NULL, err);
	if (r == 0)
		r = send_snapshots(&copying, false, err);
	if (r == 0)
		r = send_snapshots(&copying, true, err);
	if (r == 0)
		r = note_in_journal(&copying, ENTRY_SNAPSHOTS_COPIED, err);
	if (r == 0)
		*ret = answer_json(&copying);
	return r;
}

/* ---- fetching ---- */

/* Only what a copy writes, wherever the bucket's keys say that it belongs. */
static bool is_ours(const char *path)
{
	const char *name = strrchr(path, '/');
	bool known = name && (!strcmp(name, "/commit") || !strcmp(name, "/manifest") || !strcmp(name, "/metadata.json"));

	if (!fs_is_inside(path))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(content_roots); i++)
		if (text_starts_with(path, content_roots[i]) && path[strlen(content_roots[i])] == '/')
			return true;
	return known && (text_starts_with(path, "recorded/") || text_starts_with(path, "rollback-snapshots/"));
}

static int fetch_file(struct copying *copying, const char *path, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	char *to = fs_join(tmp, copying->op->workspace->places.state_dir, path), *text;
	size_t size;
	int r = 0;

	if (is_interrupted(copying->op))
		return err_set(err, ERR_CANCELLED, "interrupted; what was fetched stays, and the next fetch goes on");
	if (!is_ours(path))
		return 0;
	if (fs_exists(to)) {
		copying->known++;
		return 0;
	}
	if (!copying->dry_run) {
		r = s3_get(copying->s3, tmp, mem_printf(tmp, "%s%s", copying->prefix, path), FILE_MAX, &text, &size, err);
		if (r == 0)
			r = fs_mkdirs_durable(mem_strndup(tmp, to, (size_t)(strrchr(to, '/') - to)), 0700, err);
		if (r == 0)
			r = fs_write_atomic(to, text, size, 0400, err);
		if (r < 0)
			return r;
		FAILPOINT("copy.fetched");
		copying->bytes += (int64_t)size;
	}
	copying->files++;
	return 0;
}

/* Names are links, which no copy carries. */
static int name_all(struct copying *copying, struct err *err)
{
	int r = 0;

	for (int deployments = 0; r == 0 && deployments < 2; deployments++) {
		char **ids;

		r = snapshot_list(copying->store, copying->op->ctx, deployments, &ids, err);
		for (; r == 0 && *ids; ids++)
			r = snapshot_name(copying->store, *ids, err);
	}
	return r;
}

/* Snapshots that the journal does not know, because it was lost with the disk, are there from now on. */
static int adopt(struct copying *copying, struct err *err)
{
	struct op *op = copying->op;
	struct snapshot_row *rows;
	json_t *known = json_keep(op->ctx, json_object());
	size_t count;
	char **ids;
	int r;

	r = store_snapshots(op->workspace->store, op->ctx, NULL, &rows, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (!rows[i].pruned)
			json_object_set_new(known, rows[i].id, json_true());
	if (r == 0)
		r = snapshot_list(copying->store, op->ctx, false, &ids, err);
	for (; r == 0 && *ids; ids++) {
		struct entry entry = { .kind = ENTRY_SNAPSHOT_TAKEN, .actor = op->actor };
		struct snapshot_summary summary;
		json_t *metadata;

		if (json_object_get(known, *ids))
			continue;
		r = snapshot_read_metadata(copying->store, op->ctx, *ids, &metadata, err);
		if (r == 0)
			r = snapshot_measure(copying->store, *ids, NULL, &summary, err);
		if (r < 0)
			return err_in(err, "snapshot %s", *ids);
		entry.environment = json_str(metadata, "environment", NULL);
		entry.data = json_make(op->ctx, "{s:s, s:b}", "snapshot", *ids, "fetched", 1);
		content_describe(&summary, entry.data);
		r = store_append(op->workspace->store, op->ctx, &entry, err);
	}
	return r;
}

/* Objects are sealed by keys that were made with the salt of their store: two stores cannot be mixed. */
static int check_same_store(struct copying *copying, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	char *path = fs_join(tmp, copying->op->workspace->places.state_dir, SALT), *here, *there;
	size_t here_size, there_size;
	int r;

	if (!json_object_get(copying->there, SALT))
		return err_set(err, ERR_NOT_FOUND, "there is no copy of a snapshot store under '%s' in that bucket", copying->prefix);
	if (!fs_exists(path))
		return 0;
	r = fs_read(tmp, path, FILE_MAX, &here, &here_size, err);
	if (r == 0)
		r = s3_get(copying->s3, tmp, mem_printf(tmp, "%s" SALT, copying->prefix), FILE_MAX, &there, &there_size, err);
	if (r < 0 || (here_size == there_size && memcmp(here, there, here_size) == 0))
		return r;
	return err_set(err, ERR_REFUSED,
		"the copy is of another snapshot store than the one that is here; fetch into a project whose %s/snapshot-store is not there yet",
		copying->op->workspace->places.state_dir);
}

static int snapshots_fetch(struct op *op, const void *params, json_t **ret, struct err *err)
{
	struct copying copying;
	const char *path;
	json_t *value;
	int r;

	r = begin(op, params, &copying, err);
	if (r == 0)
		r = check_same_store(&copying, err);
	for (int last = 0; last < 2; last++)
		json_object_foreach(copying.there, path, value)
			if (r == 0 && text_ends_with(path, "/commit") == last)
				r = fetch_file(&copying, path, err);
	if (r == 0) /* with the keys that have just come */
		r = content_reopen(op->workspace, &copying.store, err);
	if (r == 0 && !copying.dry_run)
		r = name_all(&copying, err);
	if (r == 0 && !copying.dry_run)
		r = adopt(&copying, err);
	if (r == 0)
		r = note_in_journal(&copying, ENTRY_SNAPSHOTS_FETCHED, err);
	if (r == 0)
		*ret = answer_json(&copying);
	return r;
}

OPERATION(op_snapshots_copy, "snapshots.copy", "POST", "/snapshots/copy", PERMIT_ADMINISTER,
	"copy what is sealed to the S3-compatible store of the project file", copy_fields, struct copy_params, snapshots_copy,
	.everywhere = true, .idempotent = true, .answer = copied_shape);
OPERATION(op_snapshots_fetch, "snapshots.fetch", "POST", "/snapshots/fetch", PERMIT_ADMINISTER,
	"fetch from there what is not here any more", copy_fields, struct copy_params, snapshots_fetch, .everywhere = true,
	.idempotent = true, .answer = copied_shape);
