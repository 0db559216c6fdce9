/* Schema migrations, backwards; see migration.h. The tools are in migration_tools.c.
 *
 * Going back is a loop that believes only the database: what is applied is read, the newest is taken back by the tool, what is applied is read again. So it can be killed between two and goes on. Within one, either script and
 * note are one transaction, or the tool notes by itself that it is half done, or we do: the note is written before the program starts, and one that still speaks of the newest migration when somebody looks again means
 * that it cannot be told how far the script got. */
#include "drivers/migration.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/migration_tools.h"
#include "drivers/program.h"

#define DRY_RUN_MS 60000

/* clang-format off */
const struct field migration_fields[] = {
	FIELD_CHOICE (struct migration_params, tool,       REQUIRED, "dbmate|sqitch|liquibase|golang-migrate|sql", "what the migrations are made with"),
	FIELD_DIR    (struct migration_params, dir,        OPTIONAL, "where its scripts are, relative to the project; each tool has its usual place"),
	FIELD_STR    (struct migration_params, changelog,  OPTIONAL, "liquibase: the file that the changelog begins with, as it is given to liquibase, relative to `dir`"),
	FIELD_PROGRAM(struct migration_params, program,    OPTIONAL, "how the tool is started, when not by its usual name"),
	FIELD_STR    (struct migration_params, table,      OPTIONAL, "where the tool notes what is applied, when not in its usual table"),
	FIELD_CHOICE (struct migration_params, back,       DEFAULT("needed"), "needed|always|never",
		"when a rollback that preserves the data takes migrations back: when the schema does not serve the older code, whenever the target had fewer, or not at all"),
	FIELD_MS     (struct migration_params, timeout_ms, DEFAULT("10m"), "time limit of each start of the tool; the step's own limit holds as well"),
	FIELD_END
};
/* clang-format on */

/* What is applied and what leads back, of one folder. */
struct state {
	struct migration_scripts scripts;
	struct migration_applied *list;
	size_t count;
	const char *table;
	const char *half; /* NULL: all is well */
};

static const char *newest(const struct state *state)
{
	return state->count ? state->list[state->count - 1].version : "";
}

/* How many are applied up to and with it; -1: it is not. */
static ssize_t position(const struct state *state, const char *version)
{
	if (!*version)
		return 0;
	for (size_t i = state->count; i > 0; i--)
		if (strcmp(state->list[i - 1].version, version) == 0)
			return (ssize_t)i;
	return -1;
}

/* ---- the note of what was begun ---- */

static char *note_path(struct driver_call *call)
{
	_cleanup_talloc_ char *about = mem_printf(NULL, "%s\n%s", call->environment, call->name);
	char sum[HASH_HEX_SIZE];

	hash_blake2b_hex(about, strlen(about), sum);
	return mem_printf(call->ctx, "%s/run/migration-%.16s.json", call->state_dir, sum);
}

static int write_note(const struct migration_site *site, const char *version, const char *to, struct err *err)
{
	struct driver_call *call = site->call;
	char *path = note_path(call),
	     *text = json_pretty(call->ctx,
		     json_make(call->ctx, "{s:s, s:s, s:s, s:s, s:s*}", "environment", call->environment, "component", call->name,
			     "takingBack", version, "to", to, "run", call->run_id));
	int r = fs_mkdirs(fs_join(call->ctx, call->state_dir, "run"), 0700, err);

	return r < 0 ? r : fs_write_atomic(path, text, strlen(text), 0600, err);
}

int migration_forget(struct driver_call *call, struct err *err)
{
	return fs_remove_tree(note_path(call), err);
}

static int read_note(const struct migration_site *site, struct state *state, struct err *err)
{
	struct driver_call *call = site->call;
	char *path = note_path(call), *text;
	const char *version;
	json_t *note;
	size_t size;
	bool stands;
	int r;

	if (!fs_exists(path))
		return 0;
	r = fs_read(call->ctx, path, 65536, &text, &size, err);
	if (r == 0)
		r = json_parse(call->ctx, text, size, 65536, &note, err);
	if (r < 0)
		return err_in(err, "%s", path);
	version = json_str(note, "takingBack", "");
	/* One start of the program for all: it may have ended anywhere. */
	stands = site->tool->whole ? strcmp(json_str(note, "to", ""), newest(state)) != 0 : strcmp(version, newest(state)) == 0;
	if (stands)
		state->half = mem_printf(call->ctx,
			"taking back migration %s was begun%s%s and its end is not known: look how far it got, put it right, and remove %s",
			version, json_str(note, "run", NULL) ? " by " : "", json_str(note, "run", ""), path);
	return 0;
}

/* ---- what is there ---- */

static int read_state(const struct migration_site *site, const char *dir, struct state *ret, struct err *err)
{
	const struct migration_tool *tool = site->tool;
	bool there;
	int r;

	*ret = (struct state){ 0 };
	r = tool->read(site, dir, &ret->scripts, err);
	if (r == 0)
		r = migration_table(site, site->params->table ? site->params->table : tool->table, &ret->table, &there, err);
	if (r == 0 && there)
		r = tool->applied(site, &ret->scripts, ret->table, &ret->list, &ret->count, err);
	if (r == 0 && there && tool->half)
		r = tool->half(site, ret->table, &ret->half, err);
	if (r == 0 && !ret->half)
		r = read_note(site, ret, err);
	return r < 0 ? err_in(err, "migrations") : 0;
}

/* Why this one cannot be taken back; NULL: it can, or only the tool can tell. */
static const char *obstacle(const struct migration_site *site, const struct state *state, const struct migration_applied *applied)
{
	const struct migration_script *script = migration_script(&state->scripts, applied->script);

	if (script)
		return script->irreversible;
	/* Changelogs of other forms than SQL: the tool reads them. */
	return applied->file && site->tool->dry_run && fs_is_inside(applied->file) &&
			fs_exists(fs_join(site->call->ctx, state->scripts.dir, applied->file)) && !text_ends_with(applied->file, ".sql")
		? NULL
		: "there is no script of it";
}

/* Of what leads back; NULL: nothing does. */
static const char *down_hash(const struct migration_site *site, const struct state *state, const struct migration_applied *applied)
{
	const struct migration_script *script = migration_script(&state->scripts, applied->script);
	char *sum = mem_array(site->call->ctx, char, HASH_HEX_SIZE);
	struct err ignored = ERR_INIT;

	if (obstacle(site, state, applied))
		return NULL;
	if (script)
		return script->hash;
	return hash_blake2b_file(fs_join(site->call->ctx, state->scripts.dir, applied->file), sum, NULL, &ignored) == 0 ? sum : NULL;
}

int migration_observe(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	json_t *details, struct err *err)
{
	json_t *all = json_keep(call->ctx, json_array()), *irreversible = json_keep(call->ctx, json_array()),
	       *hashes = json_keep(call->ctx, json_object());
	struct migration_site site;
	struct state state;
	int r;

	if (!params->tool)
		return 0;
	r = migration_site(call, params, database, &site, err);
	if (r == 0)
		r = read_state(&site, migration_live_dir(&site), &state, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < state.count; i++) {
		const char *version = state.list[i].version, *hash = down_hash(&site, &state, &state.list[i]);

		(void)json_array_append_new(all, json_string(version));
		if (hash)
			json_put_str(hashes, version, hash);
		else
			(void)json_array_append_new(irreversible, json_string(version));
	}
	json_put_str(details, "migration", newest(&state));
	json_put(details, "migrations", all);
	json_put(details, "downMigrations", hashes);
	if (json_array_size(irreversible))
		json_put(details, "irreversible", irreversible);
	json_put_str(details, "migrationState", state.half);
	return 0;
}

int migration_is_at(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	const char *version, struct err *err)
{
	struct migration_site site;
	struct state state;
	int r;

	if (!params->tool)
		return err_set(err, ERR_INVALID, "no tool for migrations is configured");
	r = migration_site(call, params, database, &site, err);
	if (r == 0)
		r = read_state(&site, migration_live_dir(&site), &state, err);
	return r < 0 ? r : !state.half && strcmp(newest(&state), version) == 0;
}

/* ---- which scripts ---- */

/* NULL: everything newer than the first `keep` can be taken back with these scripts. */
static const char *why_not(const struct migration_site *site, const struct state *state, size_t keep)
{
	json_t *planned = json_object_get(site->call->target, "downMigrations");

	for (size_t i = state->count; i > keep; i--) {
		const struct migration_applied *applied = &state->list[i - 1];
		const char *reason = obstacle(site, state, applied), *hash = json_str(planned, applied->version, NULL);

		if (reason)
			return mem_printf(site->call->ctx, "migration %s cannot go back: %s", applied->version, reason);
		if (hash && strcmp(hash, down_hash(site, state, applied)) != 0)
			return mem_printf(site->call->ctx, "the down script of migration %s is not the one that the plan was made with",
				applied->version);
	}
	return NULL;
}

/* The first folder whose scripts lead back to the version. Reasons of the last one that is there. */
static int find_scripts(const struct migration_site *site, const char *const *dirs, const char *version, struct state *ret,
	const char **why, struct err *err)
{
	ssize_t keep;
	int r;

	*why = "no scripts are kept";
	for (; *dirs; dirs++) {
		if (!fs_is_dir(*dirs))
			continue;
		r = read_state(site, *dirs, ret, err);
		if (r < 0)
			return r;
		keep = position(ret, version);
		*why = keep < 0 ? mem_printf(site->call->ctx, "migration %s is not applied, and unship only goes backwards", version)
				: why_not(site, ret, (size_t)keep);
		if (!*why)
			return 0;
	}
	return 0;
}

static const char *kept_in(struct driver_call *call, const char *dir)
{
	return dir ? fs_join(call->ctx, dir, MIGRATION_KEPT) : "";
}

/* ---- starting the program ---- */

static int make_command(const struct migration_site *site, const char *dir, const struct migration_applied *previous, size_t count,
	struct proc_spec *ret, struct err *err)
{
	const struct migration_params *params = site->params;
	struct driver_call *call = site->call;
	struct env *env = env_new(call->ctx);
	size_t given = 0;
	const char **argv;
	int r;

	while (params->program && params->program[given])
		given++;
	argv = mem_array(call->ctx, const char *, given + MIGRATION_ARGV_MAX);
	for (size_t i = 0; i < given; i++)
		argv[i] = params->program[i];
	if (!given)
		argv[given++] = site->tool->program;
	if (strchr(argv[0], '/')) /* its working directory is the folder of the scripts */
		argv[0] = fs_join(call->ctx, call->project_dir, argv[0]);
	r = site->tool->back(site, dir, previous, count, argv + given, env, err);
	if (r < 0)
		return r;
	*ret = (struct proc_spec){ .argv = argv, .env = env->list, .dir = dir, .deadline_ms = call->deadline_ms };
	if (params->timeout_ms > 0)
		ret->deadline_ms = MIN(ret->deadline_ms, clock_mono_ms() + params->timeout_ms);
	return 0;
}

/* Is it in PATH, or where it was said to be? */
static bool has_program(const struct migration_site *site, const char **ret)
{
	const struct migration_params *params = site->params;
	char **folders;

	*ret = params->program && params->program[0] ? params->program[0] : site->tool->program;
	if (!*ret)
		return true;
	if (strchr(*ret, '/'))
		return access(fs_join(site->call->ctx, site->call->project_dir, *ret), X_OK) == 0;
	for (folders = text_split(site->call->ctx, getenv("PATH") ? getenv("PATH") : "", ':'); *folders; folders++)
		if (access(fs_join(site->call->ctx, *folders, *ret), X_OK) == 0)
			return true;
	return false;
}

/* ---- check ---- */

static const char *dry_run(const struct migration_site *site, const struct state *state, size_t keep)
{
	struct proc_spec spec;
	struct proc_result result;
	struct err why = ERR_INIT;
	const char **argv;
	size_t word = 0;

	if (make_command(site, state->scripts.dir, keep ? &state->list[keep - 1] : NULL, state->count - keep, &spec, &why) < 0)
		return mem_strdup(site->call->ctx, why.text);
	for (const char *const *at = spec.argv; at[word + 1] && !text_starts_with(at[word + 1], "--"); word++)
		continue;
	argv = (const char **)mem_dup(site->call->ctx, spec.argv, (word + 3) * sizeof(*argv));
	argv[word] = site->tool->dry_run;
	spec.argv = argv;
	spec.deadline_ms = MIN(spec.deadline_ms, clock_mono_ms() + DRY_RUN_MS);
	return proc_run_ok(site->call->ctx, &spec, &result, &why) < 0 ? mem_strdup(site->call->ctx, why.text) : NULL;
}

static void check_way(const struct migration_site *site, const char *version, struct findings *findings)
{
	struct driver_call *call = site->call;
	const char *dirs[] = { migration_live_dir(site), kept_in(call, call->source_dir), NULL }, *why;
	struct err problem = ERR_INIT;
	json_t *planned = json_object_get(call->target, "downMigrations");
	struct state state;
	ssize_t keep;

	if (read_state(site, dirs[0], &state, &problem) < 0) {
		findings_add(findings, "migration_state", false, SEVERITY_ERROR, call->name, NULL, "%s", problem.text);
		return;
	}
	keep = position(&state, version);
	findings_add(findings, "migration_state", !state.half && keep >= 0, SEVERITY_ERROR, call->name, NULL, "%s",
		state.half         ? state.half
			: keep < 0 ? mem_printf(call->ctx, "migration %s is not applied: unship only goes backwards", version)
				   : "what is applied is known, and nothing is half done");
	if (state.half || keep < 0)
		return;
	/* What was kept with a deployment and is too large to be laid out for a check is known by its sums, which the plan holds. */
	if (find_scripts(site, dirs, version, &state, &why, &problem) < 0)
		why = problem.text;
	if (why && call->source_kept && planned && json_object_size(planned) >= state.count - (size_t)keep)
		why = NULL;
	else if (!why && site->tool->dry_run && (size_t)keep < state.count)
		why = dry_run(site, &state, (size_t)keep);
	findings_add(findings, "migration_reversible", !why, SEVERITY_ERROR, call->name, NULL, "%s",
		why ? why : "every migration in between has a script that leads back");
}

int migration_check(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	const char *version, struct findings *findings, struct err *err)
{
	struct migration_site site;
	const char *program;
	bool there;
	int r;

	if (!params->tool)
		return err_set(err, ERR_INVALID, "no tool for migrations is configured");
	r = migration_site(call, params, database, &site, err);
	if (r < 0)
		return r;
	there = has_program(&site, &program);
	if (program)
		findings_add(findings, "migration_tool", there, SEVERITY_ERROR, call->name, NULL,
			there ? "%s is there" : "there is no program '%s': install it, or say where it is with migrations.program",
			program);
	if (there)
		check_way(&site, version, findings);
	return 0;
}

/* ---- going back ---- */

/* By the driver's own connection: the script, and the note that it ran, in one transaction. */
static int run_script(const struct migration_site *site, const struct state *state, const struct migration_applied *last, struct err *err)
{
	const struct migration_script *script = migration_script(&state->scripts, last->script);

	for (const char *at = last->version; *at; at++)
		if (*at < ' ' || strchr("'\\", *at))
			return err_set(err, ERR_INVALID, "version '%s' holds characters that versions do not have", last->version);
	call_log(site->call, LOG_INFO, "taking back migration %s", last->version);
	return site->database->execute(site->database->data, script->down,
		mem_printf(site->call->ctx, "DELETE FROM %s WHERE version = '%s'", state->table, last->version), err);
}

/* What was done so far, for the outputs of the step. */
struct going {
	const struct migration_site *site;
	const char *version;
	json_t *taken_back;
};

/* One start of the tool, for the newest one, or for all. */
static int go_back(struct going *going, const struct state *state, size_t keep, struct err *err)
{
	const struct migration_site *site = going->site;
	size_t count = site->tool->whole ? state->count - keep : 1;
	const struct migration_applied *last = &state->list[state->count - 1],
				       *previous = state->count > count ? &state->list[state->count - count - 1] : NULL;
	const struct migration_script *script = migration_script(&state->scripts, last->script);
	struct proc_result result = { 0 };
	struct proc_spec spec;
	int r = 0;

	if (site->tool->program)
		r = make_command(site, state->scripts.dir, previous, count, &spec, err);
	if (r == 0 && !(script && script->atomic) && !site->tool->tells_half)
		r = write_note(site, last->version, going->version, err);
	if (r < 0)
		return r;
	FAILPOINT("migration.begun");
	r = site->tool->program ? program_run_ok(site->call, &spec, &result, err) : run_script(site, state, last, err);
	FAILPOINT("migration.went_back");
	if (r < 0)
		return err_in(err, "migration %s", last->version);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(going->taken_back, json_string(state->list[state->count - 1 - i].version));
	return 0;
}

/* 1: it is there; 0: it can be gone back to, *ret says from where. */
static int look(const struct migration_site *site, const char *version, struct state *ret, struct err *err)
{
	struct driver_call *call = site->call;
	const char *dirs[] = { kept_in(call, call->snapshot_dir), kept_in(call, call->source_dir), NULL }, *why;
	int r;

	/* What is applied can be read without any scripts. */
	r = read_state(site, migration_live_dir(site), ret, err);
	if (r == 0 && ret->half)
		r = err_set(err, ERR_REFUSED, "%s", ret->half);
	if (r < 0 || strcmp(newest(ret), version) == 0)
		return r < 0 ? r : 1;
	r = find_scripts(site, dirs, version, ret, &why, err);
	return r == 0 && why ? err_set(err, ERR_REFUSED, "%s", why) : r;
}

int migration_go(struct driver_call *call, const struct migration_params *params, const struct migration_database *database,
	const char *version, json_t *ret_outputs, struct err *err)
{
	struct going going = { .version = version, .taken_back = json_keep(call->ctx, json_array()) };
	struct migration_site site;
	struct state state;
	size_t before = SIZE_MAX;
	int r, there;

	if (!params->tool)
		return err_set(err, ERR_INVALID, "no tool for migrations is configured");
	r = migration_site(call, params, database, &site, err);
	if (r < 0)
		return r;
	going.site = &site;
	while ((there = look(&site, version, &state, err)) == 0) {
		if (state.count >= before)
			return err_set(err, ERR_FAILED, "%s ended well, but migration %s is still applied", site.tool->name,
				newest(&state));
		before = state.count;
		call_progress(call, -1, "taking back migration %s", newest(&state));
		r = go_back(&going, &state, (size_t)position(&state, version), err);
		if (r < 0)
			return r;
	}
	if (there < 0)
		return there;
	json_put(ret_outputs, "takenBack", going.taken_back);
	return migration_forget(call, err);
}
