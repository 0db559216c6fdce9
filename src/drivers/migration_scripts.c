/* Reads folders of migrations: which scripts lead back, and which say, or show, that nothing does. Each tool's form is read as its documentation describes it; nothing is executed.
 *
 * A script is looked at roughly, as text without its comments and literals: whether it does anything, whether all that it does is to raise an error, whether it ends transactions by itself. One thread per call. */
#include <ctype.h>

#include "base/fs.h"
#include "base/text.h"
#include "drivers/migration_tools.h"

#define NO_SCRIPT "there is no down script"

const char *migration_number(const char *version)
{
	while (*version == '0' && version[1])
		version++;
	return version;
}

int migration_compare_numbers(const char *a, const char *b)
{
	size_t digits_a, digits_b;

	a = migration_number(a);
	b = migration_number(b);
	digits_a = strspn(a, "0123456789");
	digits_b = strspn(b, "0123456789");
	if (digits_a != digits_b)
		return digits_a < digits_b ? -1 : 1;
	return strcmp(a, b);
}

struct migration_script *migration_script(const struct migration_scripts *scripts, const char *key)
{
	for (size_t i = 0; i < scripts->count; i++)
		if (strcmp(scripts->list[i].key, key) == 0)
			return &scripts->list[i];
	return NULL;
}

/* ---- SQL, looked at roughly ---- */

/* The end of what begins at `at`: a comment, a literal, a quoted name, a dollar-quoted body. NULL: nothing of that begins there. */
static const char *skip_quoted(const char *at, bool *ret_comment)
{
	const char *end = NULL;

	*ret_comment = (at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*');
	if (at[0] == '-' && at[1] == '-')
		return at + strcspn(at, "\n");
	if (at[0] == '/' && at[1] == '*') {
		end = strstr(at + 2, "*/");
		return end ? end + 2 : at + strlen(at);
	}
	if (*at == '\'' || *at == '"' || *at == '`') {
		end = strchr(at + 1, *at);
		return end ? end + 1 : at + strlen(at);
	}
	if (*at == '$') {
		const char *tag = at + 1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
		_cleanup_talloc_ char *mark = NULL;

		if (*tag != '$')
			return NULL;
		mark = mem_strndup(NULL, at, (size_t)(tag + 1 - at));
		end = strstr(tag + 1, mark);
		return end ? end + strlen(mark) : at + strlen(at);
	}
	return NULL;
}

/* Statements in lower case, blanks made one; comments are left out, literals made ''. `ret_comments`: what the comments say, in lower case. */
static char **sql_statements(const void *ctx, const char *text, char **ret_comments)
{
	char *plain = mem_array(ctx, char, strlen(text) + 1), *comments = mem_array(ctx, char, strlen(text) + 1);
	size_t length = 0, said = 0;
	bool comment;

	for (const char *at = text; *at;) {
		const char *end = skip_quoted(at, &comment);

		if (end && comment)
			for (; at < end; at++)
				comments[said++] = (char)tolower((unsigned char)*at);
		if (end) {
			at = end;
			if (length && plain[length - 1] != ' ')
				plain[length++] = ' ';
			continue;
		}
		if (!isspace((unsigned char)*at))
			plain[length++] = (char)tolower((unsigned char)*at);
		else if (length && plain[length - 1] != ' ')
			plain[length++] = ' ';
		at++;
	}
	plain[length] = 0;
	comments[said] = 0;
	*ret_comments = comments;
	return text_split(ctx, plain, ';');
}

static bool starts_with_word(const char *statement, const char *word)
{
	size_t length = strlen(word);

	return strncmp(statement, word, length) == 0 && !isalnum((unsigned char)statement[length]) && statement[length] != '_';
}

static bool is_transaction(const char *statement)
{
	static const char *const words[] = { "begin", "start transaction", "commit", "rollback" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (starts_with_word(statement, words[i]))
			return true;
	return false;
}

static char *lower(const void *ctx, const char *text)
{
	char *result = mem_strdup(ctx, text);

	for (char *at = result; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	return result;
}

/* A script that does nothing but raise an error. */
static bool only_raises(const void *ctx, const char *statement, const char *whole)
{
	char *text = lower(ctx, whole);

	if (starts_with_word(statement, "signal sqlstate") || text_starts_with(statement, "select raise"))
		return true;
	return starts_with_word(statement, "do") && strstr(text, "raise exception") && !strstr(text, "if ");
}

/* Why this script does not lead back; NULL when it does, as far as can be seen. `own_transactions`: may it begin and commit by itself? */
static const char *judge(const void *ctx, const char *down, bool own_transactions)
{
	static const char *const marks[] = { "irreversible", "not reversible", "cannot be reversed", "cannot be undone" };
	char *comments, **statements = sql_statements(ctx, down, &comments);
	const char *only = NULL;
	size_t working = 0;

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (strstr(comments, marks[i]))
			return mem_printf(ctx, "its down script says that it is %s", marks[i]);
	for (; *statements; statements++) {
		if (is_transaction(*statements) && !own_transactions)
			return "its down script begins or ends transactions by itself; leave that out, it is run in one";
		if (is_transaction(*statements))
			continue;
		only = *statements;
		working++;
	}
	if (!working)
		return "its down script does nothing";
	return working == 1 && only_raises(ctx, only, down) ? "its down script only raises an error" : NULL;
}

/* ---- lists ---- */

static struct migration_script *add_script(const struct migration_site *site, struct migration_scripts *scripts, const char *key)
{
	struct migration_script *script = migration_script(scripts, key);

	if (script)
		return script;
	if ((scripts->count & (scripts->count + 1)) == 0)
		scripts->list = mem_resize(site->call->ctx, scripts->list, struct migration_script, (scripts->count + 1) * 2);
	script = &scripts->list[scripts->count++];
	*script = (struct migration_script){ .key = key, .irreversible = NO_SCRIPT, .atomic = site->engine->transactional };
	return script;
}

static void set_down(const struct migration_site *site, struct migration_script *script, const char *down, bool own_transactions)
{
	script->down = down;
	script->irreversible = judge(site->call->ctx, down, own_transactions);
	hash_blake2b_hex(down, strlen(down), script->hash);
}

static int read_text(const struct migration_site *site, const char *path, char **ret, struct err *err)
{
	size_t size;
	int r = fs_read(site->call->ctx, path, MIGRATION_SCRIPT_MAX, ret, &size, err);

	return r == 0 && strlen(*ret) != size ? err_set(err, ERR_INVALID, "%s: holds a 0 byte", path) : r;
}

/* Names of a folder; none when it is not there. */
static int list_names(const struct migration_site *site, const char *dir, char ***ret, struct err *err)
{
	if (!fs_is_dir(dir)) {
		*ret = mem_array(site->call->ctx, char *, 1);
		return 0;
	}
	return fs_list(site->call->ctx, dir, ret, err);
}

/* ---- dbmate: VERSION_name.sql with "-- migrate:up" and "-- migrate:down" ---- */

/* The rest of a line "-- migrate:down [options]"; NULL: it is another one. */
static const char *directive(const char *line, const char *word)
{
	if (!text_starts_with(line, "--"))
		return NULL;
	line += 2 + strspn(line + 2, " \t");
	if (!text_starts_with(line, word))
		return NULL;
	line += strlen(word);
	return *line && !isspace((unsigned char)*line) ? NULL : line;
}

static const char *dbmate_down(const struct migration_site *site, char *text, bool *ret_transaction)
{
	char *line, *down = NULL;

	*ret_transaction = true;
	while ((line = strsep(&text, "\n"))) {
		const char *options = directive(line, "migrate:down");

		if (options && !down) {
			*ret_transaction = !strstr(options, "transaction:false");
			down = mem_strdup(site->call->ctx, "");
		} else if (down && directive(line, "migrate:up")) {
			break;
		} else if (down) {
			down = mem_appendf(down, "%s\n", line);
		}
	}
	return down;
}

int migration_read_dbmate(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err)
{
	char **names, *text;
	int r;

	*ret = (struct migration_scripts){ .dir = dir };
	r = list_names(site, dir, &names, err);
	for (; r == 0 && *names; names++) {
		size_t digits = strspn(*names, "0123456789");
		struct migration_script *script;
		bool transaction;
		const char *down;

		if (!digits || !text_ends_with(*names, ".sql"))
			continue;
		r = read_text(site, fs_join(site->call->ctx, dir, *names), &text, err);
		if (r < 0)
			break;
		down = dbmate_down(site, text, &transaction);
		script = add_script(site, ret, mem_strndup(site->call->ctx, *names, digits));
		script->atomic &= transaction;
		if (down)
			set_down(site, script, down, !transaction);
	}
	return r;
}

/* ---- NNN_name.up.sql and NNN_name.down.sql, or NNN_name.sql in the folders up/ and down/ ---- */

static int read_numbered(const struct migration_site *site, const char *dir, const char *ending, bool down, struct migration_scripts *ret,
	struct err *err)
{
	bool own_transactions = site->tool->program != NULL;
	char **names, *text;
	int r;

	r = list_names(site, dir, &names, err);
	for (; r == 0 && *names; names++) {
		size_t digits = strspn(*names, "0123456789");
		struct migration_script *script;

		if (!digits || !text_ends_with(*names, ending))
			continue;
		script = add_script(site, ret, migration_number(mem_strndup(site->call->ctx, *names, digits)));
		if (!down)
			continue;
		r = read_text(site, fs_join(site->call->ctx, dir, *names), &text, err);
		if (r == 0)
			set_down(site, script, text, own_transactions);
	}
	return r;
}

static int by_number(const void *a, const void *b)
{
	return migration_compare_numbers(((const struct migration_script *)a)->key, ((const struct migration_script *)b)->key);
}

int migration_read_numbered(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err)
{
	int r;

	*ret = (struct migration_scripts){ .dir = dir };
	r = read_numbered(site, dir, ".up.sql", false, ret, err);
	if (r == 0)
		r = read_numbered(site, dir, ".down.sql", true, ret, err);
	if (r == 0)
		r = read_numbered(site, fs_join(site->call->ctx, dir, "up"), ".sql", false, ret, err);
	if (r == 0)
		r = read_numbered(site, fs_join(site->call->ctx, dir, "down"), ".sql", true, ret, err);
	if (r == 0 && ret->count)
		qsort(ret->list, ret->count, sizeof(*ret->list), by_number);
	return r;
}

/* ---- sqitch: sqitch.conf, sqitch.plan, revert/NAME.sql ---- */

/* The folder that the plan and the scripts stand in: core.top_dir of sqitch.conf. */
static int sqitch_top(const void *ctx, const char *dir, char **ret, struct err *err)
{
	char *path = fs_join(ctx, dir, "sqitch.conf"), *text, *line;
	int r;

	*ret = mem_strdup(ctx, dir);
	if (!fs_exists(path))
		return 0;
	r = fs_read(ctx, path, MIGRATION_SCRIPT_MAX, &text, NULL, err);
	while (r == 0 && (line = strsep(&text, "\n"))) {
		line += strspn(line, " \t");
		if (!text_starts_with(line, "top_dir"))
			continue;
		line += strlen("top_dir");
		line += strspn(line, " \t=");
		line[strcspn(line, " \t\r#;")] = 0;
		*ret = fs_join(ctx, dir, line);
	}
	return r;
}

static int sqitch_plan(const void *ctx, const char *dir, char **ret_top, char **ret_text, struct err *err)
{
	char *path;
	int r = sqitch_top(ctx, dir, ret_top, err);

	*ret_text = NULL;
	if (r < 0)
		return r;
	path = fs_join(ctx, *ret_top, "sqitch.plan");
	return fs_exists(path) ? fs_read(ctx, path, MIGRATION_SCRIPT_MAX, ret_text, NULL, err) : 0;
}

int migration_sqitch_project(const void *ctx, const char *dir, const char **ret, struct err *err)
{
	char *top, *text, *line;
	int r = sqitch_plan(ctx, dir, &top, &text, err);

	*ret = "";
	while (r == 0 && (line = strsep(&text, "\n")))
		if (text_starts_with(line, "%project=")) {
			line[strcspn(line, " \t\r")] = 0;
			*ret = line + strlen("%project=");
		}
	return r;
}

/* The tags that stand after a change and before it was reworked give its scripts their names, NAME@TAG; the one that is there counts. */
static char *sqitch_file(const void *ctx, const char *top, const char *name, char **lines, size_t from)
{
	bool reworked = false;
	size_t length = strlen(name), end = from;

	for (; lines[end] && !reworked; end++)
		reworked = strncmp(lines[end], name, length) == 0 && (lines[end][length] == ' ' || !lines[end][length]);
	for (size_t i = from; reworked && i < end; i++)
		if (*lines[i] == '@') {
			char *path = mem_printf(ctx, "%s/revert/%s%.*s.sql", top, name, (int)strcspn(lines[i], " \t"), lines[i]);

			if (fs_exists(path))
				return path;
		}
	return mem_printf(ctx, "%s/revert/%s.sql", top, name);
}

/* Keys are "NAME", and for the second change of that name "NAME#2". */
int migration_read_sqitch(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err)
{
	const void *ctx = site->call->ctx;
	char *top, *text, **lines;
	int r;

	*ret = (struct migration_scripts){ .dir = dir };
	r = sqitch_plan(ctx, dir, &top, &text, err);
	if (r < 0 || !text)
		return r;
	lines = text_split(ctx, text, '\n');
	for (size_t i = 0; r == 0 && lines[i]; i++) {
		char *name = mem_strndup(ctx, lines[i], strcspn(lines[i], " \t")), *key = name, *path, *down;
		struct migration_script *script;

		if (!*name || strchr("%@#", *name) || strstr(name, ".."))
			continue;
		for (int again = 2; migration_script(ret, key); again++)
			key = mem_printf(ctx, "%s#%d", name, again);
		script = add_script(site, ret, key);
		script->atomic = false; /* psql ends before sqitch notes that it did */
		path = sqitch_file(ctx, top, name, lines, i + 1);
		if (!fs_exists(path))
			continue;
		r = read_text(site, path, &down, err);
		if (r == 0)
			set_down(site, script, down, true);
	}
	return r;
}

/* ---- liquibase: what formatted SQL says; of other changelogs the program is asked ---- */

/* Takes one "--changeset author:id" to the next. */
struct changesets {
	const struct migration_site *site;
	struct migration_scripts *scripts;
	const char *key;
	char *down;
	bool in_comment;
};

static void end_changeset(struct changesets *sets)
{
	struct migration_script *script;

	if (sets->key) {
		script = add_script(sets->site, sets->scripts, sets->key);
		script->atomic = false;
		script->irreversible = "its changeset has no rollback";
		if (sets->down) {
			char *text = sets->down;

			script->down = text;
			script->irreversible = NULL;
			/* "empty" and "not required" say that there is nothing to take back. */
			if (!text_starts_with(text, "empty") && !text_starts_with(text, "not required"))
				set_down(sets->site, script, text, true);
			hash_blake2b_hex(text, strlen(text), script->hash);
		}
	}
	sets->key = NULL;
	sets->down = NULL;
	sets->in_comment = false;
}

static void add_rollback(struct changesets *sets, const char *line)
{
	if (!sets->down)
		sets->down = mem_strdup(sets->site->call->ctx, "");
	sets->down = mem_appendf(sets->down, "%s\n", line + strspn(line, " \t"));
}

static void read_line(struct changesets *sets, const char *line)
{
	const char *rest = directive(line, "changeset"), *id;

	if (rest) {
		end_changeset(sets);
		id = rest + strspn(rest, " \t");
		sets->key = mem_strndup(sets->site->call->ctx, id, strcspn(id, " \t\r"));
	} else if (sets->in_comment) {
		if (strstr(line, "*/"))
			sets->in_comment = false;
		else
			add_rollback(sets, line);
	} else if ((rest = directive(line, "rollback"))) {
		add_rollback(sets, rest);
	} else if (text_starts_with(line, "/*")) {
		rest = line + 2 + strspn(line + 2, " \t");
		sets->in_comment = text_starts_with(rest, "liquibase rollback");
	}
}

static int read_changelogs(const struct migration_site *site, const char *dir, int depth, struct migration_scripts *ret, struct err *err)
{
	struct changesets sets = { .site = site, .scripts = ret };
	char **names, *text, *line;
	int r;

	r = list_names(site, dir, &names, err);
	for (; r == 0 && *names; names++) {
		char *path = fs_join(site->call->ctx, dir, *names);

		if (**names == '.' || strcmp(*names, "node_modules") == 0)
			continue;
		if (fs_is_dir(path)) {
			r = depth > 0 ? read_changelogs(site, path, depth - 1, ret, err) : 0;
			continue;
		}
		if (!text_ends_with(*names, ".sql"))
			continue;
		r = read_text(site, path, &text, err);
		if (r < 0 || !text_starts_with(text, "--") ||
			!directive(mem_strndup(site->call->ctx, text, strcspn(text, "\n")), "liquibase"))
			continue;
		while ((line = strsep(&text, "\n")))
			read_line(&sets, line);
		end_changeset(&sets);
	}
	return r;
}

int migration_read_liquibase(const struct migration_site *site, const char *dir, struct migration_scripts *ret, struct err *err)
{
	*ret = (struct migration_scripts){ .dir = dir };
	return read_changelogs(site, dir, 8, ret, err);
}
