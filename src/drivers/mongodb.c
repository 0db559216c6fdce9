/* mongodb: a database of a MongoDB server, through the programs that are made for it.
 *
 *   target {snapshotId}, or a deployment's kept copy (source_dir)   the whole database
 *   target {tables: {NAME: BACKUP}}                                 these collections; BACKUP names one of `sources`
 *
 * mongodump writes a copy (one compressed archive), mongorestore --drop plays it back, mongosh says what stands there: the names of the collections, how many documents they hold, and the server's own sum over each (dbHash). Without mongosh
 * all that can be done is done, and what cannot be told is said.
 *
 * A capture is a folder with "archive.gz" and "mongodb.json": {"format", "database", "sum", "size", "version", "collections": {NAME: {"documents", "sum"}}}; the last two are missing when there was no mongosh.
 *
 * The address, which may hold a password, reaches the programs by a file that only the user can read, or the environment, never by argv. One thread. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/database.h"
#include "drivers/env.h"
#include "drivers/list.h"
#include "drivers/program.h"

#include <errno.h>
#include <fcntl.h>

#define ARCHIVE    "archive.gz"
#define INDEX      "mongodb.json"
#define FORMAT     1
#define INDEX_MAX  (16u << 20)
#define ANSWER_MAX (16u << 20)
#define SPARE_MS   500

struct mongodb_params {
	json_t *uri;
	const char *database;
	bool keep_at_record;
	const char **dump, **restore, **shell;
};

/* clang-format off */
static const struct field mongodb_fields[] = {
	FIELD_SECRET (struct mongodb_params, uri,            REQUIRED,              "where it is, as mongodb://user:password@host:port/"),
	FIELD_STR    (struct mongodb_params, database,       REQUIRED,              "name of the database"),
	FIELD_BOOL   (struct mongodb_params, keep_at_record, DEFAULT("true"),       "keep a copy of the whole database with every recorded deployment"),
	FIELD_PROGRAM(struct mongodb_params, dump,           DEFAULT("mongodump"),    "program that copies, with its first arguments"),
	FIELD_PROGRAM(struct mongodb_params, restore,        DEFAULT("mongorestore"), "program that restores"),
	FIELD_PROGRAM(struct mongodb_params, shell,          DEFAULT("mongosh"),      "program that tells what stands there"),
	FIELD_END
};
/* clang-format on */

/* Collections that a view or the server itself makes are no content of their own. Names to drop come first: those that the copy does not have. */
static const char script[] =
	"const here = connect(process.env.UNSHIP_MONGODB_URI).getSiblingDB(process.env.UNSHIP_MONGODB_DATABASE);"
	"for (const name of JSON.parse(process.env.UNSHIP_MONGODB_DROP)) here.getCollection(name).drop();"
	"const infos = here.getCollectionInfos({type: {$ne: 'view'}}).filter((one) => !one.name.startsWith('system.'));"
	"let sums = {}; try { sums = here.runCommand({dbHash: 1}).collections || {}; } catch (error) { sums = {}; }"
	"const collections = {};"
	"for (const one of infos) { collections[one.name] = {documents: Number(here.getCollection(one.name).countDocuments({}))};"
	" if (sums[one.name]) collections[one.name].sum = String(sums[one.name]); }"
	"print(JSON.stringify({version: here.version(), collections}));";

/* ---- programs ---- */

static const char **argv_of(struct driver_call *call, const char **program, const char *const *more)
{
	size_t count = 0, extra = 0;
	const char **argv;

	while (program[count])
		count++;
	while (more[extra])
		extra++;
	argv = mem_array(call->ctx, const char *, count + extra + 1);
	memcpy(argv, program, count * sizeof(*argv));
	memcpy(argv + count, more, extra * sizeof(*argv));
	return argv;
}

static struct proc_spec spec_of(struct driver_call *call, const char *const *argv, struct env *env)
{
	return (struct proc_spec){ .argv = argv,
		.env = env->list,
		.dir = call->project_dir,
		.deadline_ms = call->deadline_ms - SPARE_MS,
		.output_max = ANSWER_MAX };
}

static int remove_file(char *path)
{
	(void)unlink(path);
	return 0;
}

/* The address in a file that goes with its context; what a kill leaves is removed by the next call for this component. */
static int write_config(struct driver_call *call, const void *ctx, const char *uri, char **ret, struct err *err)
{
	char *dir = fs_join(ctx, call->state_dir, "run"),
	     *path = mem_printf(ctx, "%s/mongodb-%s-%s.yaml", dir, call->environment, call->name);
	_cleanup_close_ int fd = -1;
	char *text;
	int r = fs_mkdirs(dir, 0700, err);

	if (r == 0)
		r = fs_remove_tree(path, err);
	if (r < 0)
		return r;
	text = mem_printf(ctx, "uri: %s\n", json_canonical(ctx, json_keep(ctx, json_string(uri)))); /* a JSON string is one of YAML */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	talloc_set_destructor(path, remove_file);
	r = fs_write_all(fd, text, strlen(text), err);
	*ret = path;
	return r;
}

/* mongodump or mongorestore. `more` begins with a place for --config. */
static int run_tool(struct driver_call *call, const char **program, const char **more, struct err *err)
{
	const struct mongodb_params *params = call->params;
	_cleanup_talloc_ void *work = mem_context(NULL);
	struct proc_result result;
	struct proc_spec spec;
	const char *uri;
	char *config;
	int r;

	r = call_secret(call, params->uri, &uri, err);
	if (r == 0)
		r = write_config(call, work, uri, &config, err);
	if (r < 0)
		return r;
	more[0] = mem_printf(call->ctx, "--config=%s", config);
	spec = spec_of(call, argv_of(call, program, more), env_new(call->ctx));
	return program_run_ok(call, &spec, &result, err);
}

/* What stands there: {"version", "collections"}, after the collections `drop` (array) are gone. ERR_UNSUPPORTED without mongosh. */
static int ask_shell(struct driver_call *call, json_t *drop, json_t **ret, struct err *err)
{
	static const char *const more[] = { "--nodb", "--norc", "--quiet", "--eval", script, NULL };
	const struct mongodb_params *params = call->params;
	struct env *env = env_new(call->ctx);
	struct proc_result result;
	struct proc_spec spec;
	const char *uri, *answer;
	int r;

	r = call_secret(call, params->uri, &uri, err);
	if (r < 0)
		return r;
	env_put(env, "UNSHIP_MONGODB_URI", uri);
	env_put(env, "UNSHIP_MONGODB_DATABASE", params->database);
	env_put(env, "UNSHIP_MONGODB_DROP", json_canonical(call->ctx, drop));
	spec = spec_of(call, argv_of(call, params->shell, more), env);
	r = proc_run_ok(call->ctx, &spec, &result, err);
	if (r == -ERR_NOT_FOUND) {
		(void)err_set(err, ERR_UNSUPPORTED, "what stands in the database cannot be told: %s is not there", params->shell[0]);
		return err_advised(err);
	}
	if (r < 0)
		return r;
	answer = strchr(result.output, '{');
	r = answer ? json_parse(call->ctx, answer, strlen(answer), ANSWER_MAX, ret, err) : err_set(err, ERR_DRIVER, "it printed no answer");
	if (r == 0 && !json_is_object(json_object_get(*ret, "collections")))
		r = err_set(err, ERR_DRIVER, "its answer names no collections");
	return r < 0 ? err_in(err, "%s", params->shell[0]) : 0;
}

static int look(struct driver_call *call, json_t **ret, struct err *err)
{
	return ask_shell(call, json_keep(call->ctx, json_array()), ret, err);
}

/* ---- copies ---- */

/* Its index, the archive proven to be what was written. */
static int read_copy(struct driver_call *call, const char *dir, json_t **ret, char **ret_archive, struct err *err)
{
	char *path, *text, *archive = fs_join(call->ctx, dir, ARCHIVE), sum[HASH_HEX_SIZE];
	json_t *index;
	size_t size;
	int r;

	r = database_find_copy(call->ctx, dir, INDEX, &path, err);
	if (r == 0)
		r = fs_read(call->ctx, path, INDEX_MAX, &text, &size, err);
	if (r < 0)
		return r;
	r = json_parse(call->ctx, text, size, INDEX_MAX, &index, err);
	if (r < 0) {
		(void)err_as(err, ERR_CORRUPT);
		return err_in(err, "%s", path);
	}
	if (json_int(index, "format", 0) > FORMAT)
		return err_set(err, ERR_NEWER, "%s: written by a newer unship", path);
	r = hash_blake2b_file(archive, sum, NULL, err);
	if (r < 0)
		return r;
	if (!hash_hex_is(sum, json_str(index, "sum", "")))
		return err_set(err, ERR_CORRUPT, "%s: not as it was written", archive);
	*ret = index;
	*ret_archive = archive;
	return 0;
}

static int make_durable(const char *partial, const char *archive, const char *dir, struct err *err)
{
	_cleanup_close_ int fd = open(partial, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fchmod(fd, 0600) < 0 || fsync(fd) < 0 || rename(partial, archive) < 0)
		return err_errno(err, errno, "%s", partial);
	return fs_sync_dir(dir, err);
}

static int dump_to(struct driver_call *call, const char *dir, struct err *err)
{
	const struct mongodb_params *params = call->params;
	char *archive = fs_join(call->ctx, dir, ARCHIVE), *partial = mem_printf(call->ctx, "%s.partial", archive);
	const char *more[] = { "", mem_printf(call->ctx, "--db=%s", params->database), mem_printf(call->ctx, "--archive=%s", partial),
		"--gzip", NULL };
	int r = fs_remove_tree(partial, err);

	if (r == 0)
		r = run_tool(call, params->dump, more, err);
	FAILPOINT("mongodb.dumped");
	return r < 0 ? r : make_durable(partial, archive, dir, err);
}

static int mongodb_capture(struct driver_call *call, struct err *err)
{
	const struct mongodb_params *params = call->params;
	const char *dir = call->snapshot_dir, *text;
	char *archive = fs_join(call->ctx, dir, ARCHIVE), sum[HASH_HEX_SIZE];
	json_t *index, *seen = NULL;
	struct err why = ERR_INIT;
	uint64_t size;
	int r;

	if (!call->run_id && !params->keep_at_record) /* outside of a run: a deployment is being recorded */
		return 0;
	r = database_capture_begin(call, INDEX, false, err);
	if (r == 0 && look(call, &seen, &why) == -ERR_UNSUPPORTED)
		call_log(call, LOG_WARN, "%s", why.text);
	else if (r == 0 && !seen) {
		*err = why;
		r = -(int)why.code;
	}
	if (r == 0)
		r = dump_to(call, dir, err);
	if (r == 0)
		r = hash_blake2b_file(archive, sum, &size, err);
	if (r < 0)
		return r;
	index = json_make(call->ctx, "{s:i, s:s, s:s}", "format", FORMAT, "database", params->database, "sum", sum);
	json_put_int(index, "size", (int64_t)size);
	json_put(index, "version", json_object_get(seen, "version"));
	json_put(index, "collections", json_object_get(seen, "collections"));
	text = json_pretty(call->ctx, index);
	return fs_write_atomic(fs_join(call->ctx, dir, INDEX), text, strlen(text), 0600, err);
}

/* ---- observe ---- */

/* 1, 0, or -1 where only the number of documents is known and agrees. */
static int same_collection(json_t *kept, json_t *now)
{
	const char *then = json_str(kept, "sum", NULL), *sum = json_str(now, "sum", NULL);

	if (!kept || !now || json_int(kept, "documents", -1) != json_int(now, "documents", -2))
		return 0;
	return then && sum ? strcmp(then, sum) == 0 : -1;
}

static int compare_whole(json_t *kept, json_t *now)
{
	const char *name;
	json_t *one;
	int all = 1;

	if (!kept)
		return -1;
	if (json_object_size(kept) != json_object_size(now))
		return 0;
	json_object_foreach(kept, name, one) {
		int same = same_collection(one, json_object_get(now, name));

		if (same == 0)
			return 0;
		all = same < 0 ? -1 : all;
	}
	return all;
}

static int compare_named(struct driver_call *call, const struct database_goal *goal, json_t *now, int *ret, struct err *err)
{
	*ret = 1;
	for (size_t i = 0; *ret != 0 && i < goal->table_count; i++) {
		json_t *index, *kept;
		char *archive;
		int same, r = read_copy(call, goal->tables[i].dir, &index, &archive, err);

		if (r < 0)
			return r;
		kept = json_object_get(index, "collections");
		same = kept ? same_collection(json_object_get(kept, goal->tables[i].name), json_object_get(now, goal->tables[i].name)) : -1;
		*ret = same == 1 ? *ret : same;
	}
	return 0;
}

static int at_target(struct driver_call *call, json_t *now, int *ret, struct err *err)
{
	struct database_goal goal = { .dir = call->snapshot_dir };
	struct err why = ERR_INIT;
	json_t *index;
	char *archive;
	int r = 0;

	*ret = -1;
	if (!call->target && (!call->snapshot_dir || !fs_exists(call->snapshot_dir)))
		return 0;
	if (call->target)
		r = database_read_goal(call, INDEX, &goal, &why);
	if (r == 0 && !goal.dir)
		return compare_named(call, &goal, now, ret, err);
	if (r == 0)
		r = read_copy(call, goal.dir, &index, &archive, &why);
	if (r == -ERR_NOT_FOUND) {
		*ret = 0;
		return 0;
	}
	if (r < 0) {
		*err = why;
		return r;
	}
	*ret = compare_whole(json_object_get(index, "collections"), now);
	return 0;
}

static int mongodb_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	char *text, hash[HASH_HEX_SIZE];
	json_t *seen, *now, *names, *counts, *one;
	const char *name;
	int r, there;

	r = look(call, &seen, err);
	if (r < 0)
		return r;
	now = json_object_get(seen, "collections");
	r = at_target(call, now, &there, err);
	if (r < 0)
		return r;
	counts = json_make(call->ctx, "{}");
	names = json_make(call->ctx, "{}");
	json_object_foreach(now, name, one) {
		json_put_int(counts, name, json_int(one, "documents", 0));
		json_put_flag(names, name, true);
	}
	text = json_canonical(call->ctx, names);
	hash_blake2b_hex(text, strlen(text), hash);
	*ret = (struct observation){ .version = json_object_size(now) ? mem_printf(call->ctx, "c%zu-%.8s", json_object_size(now), hash)
								      : "",
		.state = json_object_size(now) ? "present" : "absent",
		.healthy = -1,
		.at_target = there,
		.details = json_make(call->ctx, "{s:s, s:s, s:O}", "engine", "mongodb", "engineVersion", json_str(seen, "version", ""),
			"rowCounts", counts) };
	return 0;
}

/* ---- check ---- */

static void check_program(struct driver_call *call, const char *program, struct findings *ret)
{
	const char *path = strchr(program, '/') ? "" : getenv("PATH");
	char **folders = text_split(call->ctx, path ? path : "", ':');
	bool there = strchr(program, '/') && access(fs_join(call->ctx, call->project_dir, program), X_OK) == 0;

	for (; !there && *folders; folders++)
		there = access(mem_printf(call->ctx, "%s/%s", *folders, program), X_OK) == 0;
	findings_add(ret, "database_program", there, SEVERITY_ERROR, call->name, NULL, "%s %s", program,
		there ? "is there" : "is not in PATH");
}

/* "7.0.2" -> 700: dumps of one line fit all servers of it and of newer ones. */
static unsigned line_of(const char *version)
{
	unsigned long major = strtoul(version, NULL, 10);
	const char *dot = strchr(version, '.');

	return (unsigned)(MIN(major, 999ul) * 100 + (dot ? MIN(strtoul(dot + 1, NULL, 10), 99ul) : 0));
}

static int check_copy(struct driver_call *call, const char *dir, const char *collection, const char *server, struct err *err)
{
	json_t *index, *kept;
	const char *version;
	char *archive;
	int r = read_copy(call, dir, &index, &archive, err);

	if (r < 0)
		return r;
	version = json_str(index, "version", "");
	if (*version && *server && line_of(version) > line_of(server))
		return err_set(err, ERR_REFUSED, "the copy is of MongoDB %s and the server is older: %s", version, server);
	kept = json_object_get(index, "collections");
	if (collection && kept && !json_object_get(kept, collection))
		return err_set(err, ERR_NOT_FOUND, "collection '%s': it is not in the backup", collection);
	return 0;
}

static int check_copies(struct driver_call *call, const struct database_goal *goal, const char *server, struct err *err)
{
	int r = goal->dir ? check_copy(call, goal->dir, NULL, server, err) : 0;

	for (size_t i = 0; r == 0 && i < goal->table_count; i++)
		r = check_copy(call, goal->tables[i].dir, goal->tables[i].name, server, err);
	return r;
}

static int mongodb_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	const struct mongodb_params *params = call->params;
	const char *server = "";
	struct database_goal goal;
	struct err why = ERR_INIT;
	json_t *seen;
	int r = look(call, &seen, &why);

	(void)err;
	if (r == 0)
		server = json_str(seen, "version", "");
	findings_add(ret, "database_reachable", r == 0, r == -ERR_UNSUPPORTED ? SEVERITY_WARNING : SEVERITY_ERROR, call->name, NULL, "%s%s",
		r == 0 ? "the server answers: MongoDB " : why.text, server);
	check_program(call, params->dump[0], ret);
	if (!database_is_to_restore(call))
		return 0;
	check_program(call, params->restore[0], ret);
	if (call->source_kept && !call->source_dir && !json_object_get(call->target, "tables"))
		return 0;
	r = database_read_goal(call, INDEX, &goal, &why);
	if (r == 0 && goal.migration)
		r = err_set(&why, ERR_UNSUPPORTED, "a MongoDB database has no migrations that unship could take back");
	if (r == 0)
		r = check_copies(call, &goal, server, &why);
	findings_add(ret, "target_content", r == 0, SEVERITY_ERROR, call->name, NULL, "%s",
		r == 0 ? "the copy to restore from is sound" : why.text);
	return 0;
}

/* ---- apply, undo ---- */

/* `collections`: names, NULL-terminated; NULL: all. */
static int restore_from(struct driver_call *call, const char *archive, const char *const *collections, struct err *err)
{
	const struct mongodb_params *params = call->params;
	size_t count = 0;
	const char **more;
	int r;

	while (collections && collections[count])
		count++;
	more = mem_array(call->ctx, const char *, count + 6);
	more[0] = "";
	more[1] = mem_printf(call->ctx, "--archive=%s", archive);
	more[2] = "--gzip";
	more[3] = "--drop";
	for (size_t i = 0; i < count; i++)
		more[4 + i] = mem_printf(call->ctx, "--nsInclude=%s.%s", params->database, collections[i]);
	if (count == 0)
		more[4] = mem_printf(call->ctx, "--nsInclude=%s.*", params->database);
	r = run_tool(call, params->restore, more, err);
	FAILPOINT("mongodb.restored");
	return r;
}

/* mongorestore leaves alone what is not in the archive. */
static int drop_others(struct driver_call *call, json_t *kept, struct err *err)
{
	json_t *seen, *drop = json_keep(call->ctx, json_array()), *one;
	struct err why = ERR_INIT;
	const char *name;
	int r = look(call, &seen, &why);

	if (r == -ERR_UNSUPPORTED || (r == 0 && !kept)) {
		call_log(call, LOG_WARN, "collections that were made since the copy stay: %s",
			r < 0 ? why.text : "the copy does not name those that it has");
		return 0;
	}
	if (r < 0) {
		*err = why;
		return r;
	}
	json_object_foreach(json_object_get(seen, "collections"), name, one)
		if (!json_object_get(kept, name))
			(void)json_array_append_new(drop, json_string(name));
	return json_array_size(drop) == 0 ? 0 : ask_shell(call, drop, &seen, err);
}

static int restore_whole(struct driver_call *call, const char *dir, struct err *err)
{
	json_t *index;
	char *archive;
	int r = read_copy(call, dir, &index, &archive, err);

	if (r == 0)
		r = restore_from(call, archive, NULL, err);
	return r < 0 ? r : drop_others(call, json_object_get(index, "collections"), err);
}

/* One start of mongorestore for all collections that come from the same backup. */
static int restore_named(struct driver_call *call, const struct database_goal *goal, struct err *err)
{
	int r = check_copies(call, goal, "", err);

	for (size_t i = 0; r == 0 && i < goal->table_count; i++) {
		const char **names = mem_array(call->ctx, const char *, goal->table_count + 1);
		size_t first = 0, count = 0;

		while (strcmp(goal->tables[first].dir, goal->tables[i].dir) != 0)
			first++;
		for (size_t k = i; first == i && k < goal->table_count; k++)
			if (strcmp(goal->tables[k].dir, goal->tables[i].dir) == 0)
				names[count++] = goal->tables[k].name;
		if (count > 0)
			r = restore_from(call, fs_join(call->ctx, goal->tables[i].dir, ARCHIVE), names, err);
	}
	return r;
}

static int mongodb_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	struct database_goal goal;
	json_t *seen;
	struct err ignored = ERR_INIT;
	int r, there = -1;

	r = database_read_goal(call, INDEX, &goal, err);
	if (r < 0)
		return r;
	if (goal.migration)
		return err_set(err, ERR_UNSUPPORTED, "a MongoDB database has no migrations that unship could take back");
	if (look(call, &seen, &ignored) == 0) {
		json_put(ret_outputs, "before", json_object_get(seen, "collections"));
		r = at_target(call, json_object_get(seen, "collections"), &there, err);
		if (r < 0 || there == 1)
			return r;
	}
	return goal.dir ? restore_whole(call, goal.dir, err) : restore_named(call, &goal, err);
}

static int mongodb_undo(struct driver_call *call, struct err *err)
{
	return restore_whole(call, call->snapshot_dir, err);
}

const struct driver driver_mongodb = {
	.name = "mongodb",
	.summary = "a MongoDB database: the whole, or named collections",
	.kind = DRIVER_DATA,
	.fields = mongodb_fields,
	.params_size = sizeof(struct mongodb_params),
	.keeps = true,
	.observe = mongodb_observe,
	.check = mongodb_check,
	.apply = mongodb_apply,
	.capture = mongodb_capture,
	.undo = mongodb_undo,
};
