/* `unship init`: writes a commented unship.yaml from what is found here. Nothing is asked and nothing is overwritten.
 *
 * What was found (init_look.c) goes through the table `writers`: a kind with a driver that this program has becomes a component; every
 * other becomes a comment that says so. Before the file is written it is read as `unship config check` would read it: what init writes is
 * valid. A further kind is a row of `writers`, and a place in init_look.c where it is found. */
#include "surface/cli/init.h"

#include <limits.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "core/project.h"
#include "data/doc.h"
#include "data/out.h"
#include "surface/cli/cli.h"

#define ENVIRONMENT "production"
#define IGNORED     STATE_DIR "/"

struct writing {
	struct cli *cli;
	const char *dir;
	json_t *found;
	json_t *names; /* components that were written: {name: driver} */
	struct out text;
	const char *releases; /* component and root of the release layout; NULL: there is none */
	const char *root;
	const char *port; /* where it probably answers; for the examples */
	bool processes;   /* components that unship starts were written */
	char *example;    /* line to follow the comment that is being written; NULL */
	bool supervised;  /* something else than unship starts the processes here */
};

static const char *get(const json_t *object, const char *key)
{
	return json_str(object, key, "");
}

/* A scalar of YAML: bare when nothing could be read into it, else in quotes as in JSON. */
static char *scalar(const void *ctx, const char *text)
{
	static const char harmless[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
	struct out quoted;

	if (((*text >= 'a' && *text <= 'z') || *text == '/' || (*text == '.' && text[1])) && text[strspn(text, harmless)] == '\0' &&
		strcmp(text, "null") != 0 && strcmp(text, "true") != 0 && strcmp(text, "false") != 0 &&
		strpbrk(text, "abcdefghijklmnopqrstuvwxyz"))
		return mem_strdup(ctx, text);
	out_start(&quoted, ctx);
	out_char(&quoted, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			out_char(&quoted, '\\');
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			out_printf(&quoted, "\\x%02x", (unsigned)*text);
		else
			out_char(&quoted, *text);
	}
	out_char(&quoted, '"');
	return quoted.text;
}

static char *list_text(const void *ctx, const json_t *list)
{
	char *text = mem_strdup(ctx, "[");
	json_t *item;
	size_t index;

	json_array_foreach(list, index, item)
		text = mem_appendf(text, "%s%s", index ? ", " : "", scalar(ctx, json_string_value(item)));
	return mem_append(text, "]");
}

/* A name that no component has yet, made from any text. */
static const char *new_name(struct writing *w, const char *from, const char *otherwise, const char *driver)
{
	char *name = mem_strdup(w->cli->ctx, from), *unique;

	for (char *at = name; *at; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || *at == '-' || *at == '_'))
			*at = '-';
	if (!text_is_name(name) || !strpbrk(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		name = mem_strdup(w->cli->ctx, otherwise);
	unique = name;
	for (int i = 2; json_object_get(w->names, unique); i++)
		unique = mem_printf(w->cli->ctx, "%s-%d", name, i);
	json_object_set_new(w->names, unique, json_string(driver));
	return unique;
}

static bool has_kind(const struct writing *w, const char *kind)
{
	json_t *item;
	size_t index;

	json_array_foreach(w->found, index, item)
		if (!strcmp(get(item, "kind"), kind))
			return true;
	return false;
}

/* The writers: each makes one component of what was found, or says in *why why not. */

static const char *write_releases(struct writing *w, json_t *item, const char **why)
{
	const char *tag = NULL, *name;
	json_t *other;
	size_t index;

	(void)why;
	json_array_foreach(w->found, index, other)
		if (!strcmp(get(other, "kind"), "git"))
			tag = get(other, "tag");
	if (!tag) {
		*why = "there is no Git repository that releases could be made from";
		return NULL;
	}
	name = new_name(w, "app", "app", "git-release");
	out_printf(&w->text,
		"      %s:\n        driver: git-release        ## releases/, shared/ and the link current; made from commits of this repository\n"
		"        root: %s\n",
		name, scalar(w->cli->ctx, get(item, "path")));
	if (*tag == 'v')
		out_text(&w->text, "        refPrefix: v               ## version 1.4.2 is the tag v1.4.2\n");
	out_text(&w->text, "        critical: true\n        # shared: [data]           ## paths that outlive releases\n");
	w->releases = w->releases ? w->releases : name;
	w->root = w->root ? w->root : get(item, "path");
	return name;
}

/* A folder for releases that is not there yet: what stands in one that is there may be anything. */
static const char *free_folder(struct writing *w)
{
	static const char *const names[] = { "deploy", "rollout", "unship-releases" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!fs_exists(fs_join(w->cli->ctx, w->dir, names[i])))
			return names[i];
	return NULL;
}

/* A plain repository: releases are made from its commits, into a folder of their own. */
static const char *write_git(struct writing *w, json_t *item, const char **why)
{
	const char *tag = json_str(item, "tag", NULL), *root = free_folder(w), *path = get(item, "path"), *name;
	size_t length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		length--;
	if (has_kind(w, "releases"))
		*why = "versions of what is released there: `unship versions` lists them";
	else if (!json_flag(item, "commits", false))
		*why = "releases are made from commits, and there is none yet";
	else if (w->supervised)
		*why = "something else seems to deploy it; for releases of unship's own: driver git-release with repo and root";
	else if (strlen(w->dir) != length || strncmp(path, w->dir, length) != 0)
		*why = "it begins above this folder; for releases from it: driver git-release with repo, subdir and root";
	else if (!root)
		*why = "no free folder for releases was found; give `root` for the driver git-release";
	if (*why)
		return NULL;
	name = new_name(w, "code", "code", "git-release");
	out_printf(&w->text,
		"      %s:\n        driver: git-release        ## releases/, shared/ and the link current, made from commits of this repository\n"
		"        root: %s               ## made by the first deployment (a plan with a deployment step); keep it out of Git\n",
		name, root);
	if (tag && *tag == 'v')
		out_text(&w->text, "        refPrefix: v               ## version 1.4.2 is the tag v1.4.2\n");
	out_text(&w->text, "        # shared: [data]           ## paths that outlive releases\n");
	w->releases = name;
	w->root = root;
	return name;
}

static const char *process_dir(struct writing *w)
{
	return !w->releases ? NULL : !strcmp(w->root, ".") ? "current" : mem_printf(w->cli->ctx, "%s/current", w->root);
}

/* What a process uses, of what was written before it. */
static const char *process_needs(struct writing *w)
{
	json_t *needs = json_keep(w->cli->ctx, json_array()), *driver;
	const char *name;

	json_object_foreach(w->names, name, driver) {
		const char *text = json_string_value(driver);

		if (!strcmp(text, "git-release") || !strcmp(text, "files") || !strcmp(text, "sqlite"))
			json_array_append_new(needs, json_string(name));
	}
	return json_array_size(needs) ? list_text(w->cli->ctx, needs) : NULL;
}

/* Why no component is made of a process that was found; NULL: one is. */
static const char *process_objection(struct writing *w, json_t *item)
{
	if (!strcmp(get(item, "kind"), "npm") && has_kind(w, "procfile"))
		return "the Procfile says what runs";
	if (w->supervised)
		return "something else seems to start it; the driver process is for what unship shall supervise itself";
	return json_object_get(item, "argv") ? NULL : "it needs a shell; give argv for the driver process";
}

static const char *write_process(struct writing *w, json_t *item, const char **why)
{
	const char *name = json_str(item, "reserved", NULL), *dir = process_dir(w), *needs = process_needs(w);

	*why = process_objection(w, item);
	if (*why)
		return NULL;
	out_printf(&w->text, "      %s:\n        driver: process            ## unship starts and stops it\n        argv: %s\n", name,
		list_text(w->cli->ctx, json_object_get(item, "argv")));
	if (dir)
		out_printf(&w->text, "        dir: %s\n", scalar(w->cli->ctx, dir));
	if (needs)
		out_printf(&w->text, "        needs: %s\n", needs);
	out_printf(&w->text,
		"        # critical: true           ## it comes first, and a deployment without it is no target\n"
		"        # ready: {type: http, url: \"http://127.0.0.1:%s/health\"}   ## how to tell that it is ready\n",
		w->port);
	return name;
}

/* What may be a program: an example, when nothing says what runs. */
static const char *write_program(struct writing *w, json_t *item, const char **why)
{
	const char *dir = process_dir(w), *needs = process_needs(w);
	json_t *argv = json_object_get(item, "argv");

	if (w->supervised)
		*why = "something else seems to start it";
	else if (!argv)
		*why = "make would stand between the process and its signals: give what it starts as argv of the driver process";
	else if (w->processes)
		*why = "the processes above seem to be what runs";
	else
		*why = "if this is what runs, the next line makes it a component";
	if (!w->supervised && argv && !w->processes)
		w->example = mem_printf(w->cli->ctx, "      # web: {driver: process, argv: %s%s%s%s%s}\n", list_text(w->cli->ctx, argv),
			dir ? ", dir: " : "", dir ? dir : "", needs ? ", needs: " : "", needs ? needs : "");
	return NULL;
}

static const char *write_sqlite(struct writing *w, json_t *item, const char **why)
{
	const char *path = get(item, "path"), *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	const char *name = new_name(w, mem_strndup(w->cli->ctx, file, strcspn(file, ".")), "db", "sqlite");

	(void)why;
	out_printf(&w->text,
		"      %s:\n        driver: sqlite             ## kept as it is by a rollback, unless --no-preserve-data is given\n"
		"        path: %s\n",
		name, scalar(w->cli->ctx, path));
	return name;
}

/* All configuration files are one component: they are taken back together. */
static const char *write_config(struct writing *w, json_t *item, const char **why)
{
	json_t *paths, *other;
	const char *name, *driver;
	size_t index;

	(void)why;
	(void)item;
	json_object_foreach(w->names, name, paths) {
		driver = json_string_value(paths);
		if (!strcmp(driver, "files"))
			return name;
	}
	paths = json_keep(w->cli->ctx, json_array());
	json_array_foreach(w->found, index, other)
		if (!strcmp(get(other, "kind"), "config"))
			json_array_append(paths, json_object_get(other, "path"));
	name = new_name(w, "config", "config", "files");
	out_printf(&w->text,
		"      %s:\n        driver: files              ## recorded with their content: .deployments/ is as secret as they are\n"
		"        paths: %s\n",
		name, list_text(w->cli->ctx, paths));
	return name;
}

static const struct writer {
	const char *kind, *driver; /* the driver that it needs; NULL: there is none for it */
	const char *(*write)(struct writing *w, json_t *item, const char **why);
} writers[] = {
	{ "releases", "git-release", write_releases },
	{ "git", "git-release", write_git },
	{ "procfile", "process", write_process },
	{ "npm", "process", write_process },
	{ "sqlite", "sqlite", write_sqlite },
	{ "config", "files", write_config },
	{ "program", "process", write_program },
};

static const struct writer *find_writer(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
		if (!strcmp(writers[i].kind, kind))
			return &writers[i];
	return NULL;
}

static void write_item(struct writing *w, json_t *item)
{
	const struct writer *writer = find_writer(get(item, "kind"));
	const char *why = NULL, *name = NULL;

	w->example = NULL;
	if (!writer || !catalogue_driver(w->cli->catalogue, writer->driver))
		why = "found, but this unship has no driver for it yet";
	else
		name = writer->write(w, item, &why);
	if (name) {
		json_put_str(item, "component", name);
		json_put_str(item, "driver", writer->driver);
		w->processes |= !strcmp(writer->driver, "process");
		return;
	}
	json_put_str(item, "why", why);
	out_printf(&w->text, "      ## %s (%s): %s\n", text_printable(w->cli->ctx, get(item, "path"), strlen(get(item, "path")), false),
		text_printable(w->cli->ctx, get(item, "note"), strlen(get(item, "note")), false), why);
	if (w->example)
		out_text(&w->text, w->example);
}

/* Names of processes are those that people gave them: other components step back. */
static void reserve_names(struct writing *w)
{
	json_t *item;
	size_t index;

	json_array_foreach(w->found, index, item) {
		const char *kind = get(item, "kind");

		if ((!strcmp(kind, "procfile") || !strcmp(kind, "npm")) && !process_objection(w, item) &&
			catalogue_driver(w->cli->catalogue, "process"))
			json_put_str(item, "reserved", new_name(w, json_str(item, "name", "web"), "web", "process"));
	}
}

/* What was looked for and is not there, with an example of each. */
static void write_missing(struct writing *w)
{
	const char *dir = process_dir(w), *needs = process_needs(w);

	if (!w->releases && !has_kind(w, "git"))
		out_text(&w->text,
			"      ## No Git repository was found: code that is released from one would be\n"
			"      # code: {driver: git-release, root: deploy}\n");
	if (!w->processes && !has_kind(w, "program") && !w->supervised)
		out_printf(&w->text,
			"      ## No process was found (Procfile, start script of package.json): one that unship starts and stops would be\n"
			"      # web: {driver: process, argv: [./server, --port, \"%s\"]%s%s%s%s}\n",
			w->port, dir ? ", dir: " : "", dir ? dir : "", needs ? ", needs: " : "", needs ? needs : "");
	if (!has_kind(w, "sqlite"))
		out_text(&w->text, "      ## No SQLite database was found:\n      # db: {driver: sqlite, path: state/app.db}\n");
	if (!has_kind(w, "config"))
		out_text(&w->text,
			"      ## No configuration was found (.env, config/*.yaml):\n      # config: {driver: files, paths: [.env]}\n");
}

static void write_probes(struct writing *w)
{
	json_t *driver;
	const char *name, *first = NULL;

	out_text(&w->text, "\n    ## How to tell that it is healthy; a rollback ends with these. `unship probes` lists what there is.\n");
	json_object_foreach(w->names, name, driver) {
		if (strcmp(json_string_value(driver), "process") != 0 || !catalogue_probe(w->cli->catalogue, "process"))
			continue;
		if (!first)
			out_text(&w->text, "    probes:\n");
		first = name;
		out_printf(&w->text, "      %s-runs: {type: process, pidFile: " STATE_DIR "/run/" ENVIRONMENT "-%s.json, component: %s}\n",
			name, name, name);
	}
	if (first)
		out_text(&w->text, "      ## That it runs says little: ask it over HTTP as well, at its port.\n");
	out_printf(&w->text, "%s      # answers: {type: http, url: \"http://127.0.0.1:%s/health\", timeout: 2s}\n",
		first ? "" : "    # probes:\n", w->port);
}

/* The port for the examples: of the configuration, or the last number in a command that can be one. */
static void find_port(struct writing *w)
{
	struct err ignored = ERR_INIT;
	json_t *item, *word;
	size_t index, at;
	int64_t port;

	w->port = "8080";
	json_array_foreach(w->found, index, item) {
		json_array_foreach(json_object_get(item, "argv"), at, word)
			if (text_parse_int(json_string_value(word), 80, 65535, &port, &ignored) == 0)
				w->port = json_string_value(word);
		w->port = json_str(item, "port", w->port);
	}
}

static void write_head(struct writing *w)
{
	const char *slash = strrchr(w->dir, '/');
	char *name = mem_strdup(w->cli->ctx, slash && slash[1] ? slash + 1 : "project");

	for (char *at = name; *at; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || *at == '-' || *at == '_' ||
			    *at == '.'))
			*at = '-';
	out_printf(&w->text,
		"## What can be taken back here, and how. Written by `unship init` from what it found; it is yours to edit.\n"
		"## `unship config check` says what is wrong in it, `unship drivers NAME` which members a component may have.\n"
		"## Secrets stand here as references only: {file: PATH} or {env: NAME}.\n"
		"## Lines with ## explain; those with # are examples: take the # and the blank behind it away to use one.\n"
		"project: %s\n\n"
		"environments:\n"
		"  " ENVIRONMENT ":\n"
		"    # protected: true              ## force and emergency then need special permissions\n"
		"    components:                    ## everything in this environment that has a version\n",
		scalar(w->cli->ctx, text_is_name(name) ? name : "project"));
}

static void write_tail(struct writing *w)
{
	if (catalogue_driver(w->cli->catalogue, "flags"))
		out_printf(&w->text,
			"      %s:\n        driver: flags              ## unship's own feature flags: `unship flags " ENVIRONMENT
			" list`\n",
			new_name(w, "flags", "flags", "flags"));
	write_probes(w);
	out_text(&w->text,
		"\n"
		"    ## Who is told, and of what. `unship channels` lists what there is.\n"
		"    # notify:\n"
		"    #   - {channel: webhook, recipients: [\"https://example.com/hook\"], on: [start, completed, failed]}\n"
		"\n"
		"    # objectives: {rollback: 60s, health: 2m}\n"
		"\n"
		"# snapshots: {keep: 20}            ## what is captured before each rollback\n");
}

/* What init writes is valid, or it is a fault of init and nothing is written. */
static int check_written(struct writing *w, struct err *err)
{
	struct problems *problems;
	struct doc *doc;
	int r;

	r = doc_parse_yaml(w->cli->ctx, PROJECT_FILE, w->text.text, w->text.length, &doc, err);
	if (r == 0) {
		problems = problems_new(w->cli->ctx, doc);
		project_read(w->cli->ctx, doc, w->cli->catalogue, NULL, NULL, problems);
		r = problems_result(problems, err);
	}
	if (r < 0) {
		err_as(err, ERR_INTERNAL);
		return err_in(err, "what would be written is not valid");
	}
	return 0;
}

/* The state must not be committed. A .gitignore that there is gets one more line. */
static int ignore_state(struct writing *w, bool *ret_added, struct err *err)
{
	char *path = fs_join(w->cli->ctx, w->dir, ".gitignore"), *text, **lines;
	size_t size;
	int r;

	*ret_added = false;
	if (!fs_exists(path))
		return 0;
	r = fs_read(w->cli->ctx, path, 1u << 20, &text, &size, err);
	if (r < 0)
		return err_in(err, "adding " IGNORED " to .gitignore");
	for (lines = text_split(w->cli->ctx, text, '\n'); *lines; lines++)
		if (!strcmp(*lines, IGNORED) || !strcmp(*lines, STATE_DIR) || !strcmp(*lines, "/" IGNORED) ||
			!strcmp(*lines, "/" STATE_DIR))
			return 0;
	text = mem_printf(w->cli->ctx, "%s%s%s\n", text, size && text[size - 1] != '\n' ? "\n" : "", IGNORED);
	r = fs_write_atomic(path, text, strlen(text), 0644, err);
	if (r < 0)
		return err_in(err, "adding " IGNORED " to .gitignore");
	*ret_added = true;
	return 0;
}

static const char *next_version(struct writing *w)
{
	json_t *item;
	size_t index;

	json_array_foreach(w->found, index, item)
		if (json_object_get(item, "tag"))
			return *get(item, "tag") == 'v' ? get(item, "tag") + 1 : get(item, "tag");
	return "1.0.0";
}

static void print_result(struct writing *w, const char *file, bool ignored)
{
	struct cli *cli = w->cli;
	char *record = mem_printf(cli->ctx, "unship record " ENVIRONMENT " --version %s", next_version(w));
	size_t count = json_array_size(w->found), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 4 + 1);
	static const char *const header[] = { "", "found", "what", "becomes" };
	json_t *item;

	if (cli->json) {
		printf("%s\n",
			json_pretty(cli->ctx,
				json_make(cli->ctx, "{s:s, s:O, s:b, s:[s, s]}", "file", file, "found", w->found, "gitignore", ignored,
					"next", "unship config check", record)));
		return;
	}
	json_array_foreach(w->found, index, item) {
		const char **row = cells + index * 4;

		row[0] = mark_text(cli, json_object_get(item, "component") ? MARK_OK : MARK_NONE);
		row[1] = text_printable(cli->ctx, get(item, "path"), strlen(get(item, "path")), false);
		row[2] = text_printable(cli->ctx, get(item, "note"), strlen(get(item, "note")), false);
		row[3] = json_object_get(item, "component")
			? mem_printf(cli->ctx, "component %s (%s)", get(item, "component"), get(item, "driver"))
			: mem_printf(cli->ctx, "a comment: %s", get(item, "why"));
	}
	if (count)
		out_table(cli, header, cells, 4, count);
	else
		out(cli, "Nothing was found here that unship knows; the file has examples to begin with.");
	out(cli, "\nWritten: %s%s", file, ignored ? ", and " IGNORED " added to .gitignore" : "");
	out(cli, "Next, after a look into it:\n  unship config check\n  %s", record);
}

int init_run(struct cli *cli, struct err *err)
{
	_cleanup_free_ char *dir = realpath(cli->dir ? cli->dir : ".", NULL);
	struct writing w = { .cli = cli, .dir = dir, .names = json_keep(cli->ctx, json_object()) };
	static const char *const names[] = { PROJECT_FILE, "unship.json" };
	const char *file;
	bool ignored;
	json_t *item;
	size_t index;
	int r;

	if (!dir)
		return err_set(err, ERR_NOT_FOUND, "directory '%s' does not exist", cli->dir ? cli->dir : ".");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (fs_exists(fs_join(cli->ctx, dir, names[i])))
			return err_set(err, ERR_USAGE,
				"%s exists already in %s and is left as it is: edit it and run `unship config check`, "
				"or move it aside and run `unship init` again",
				names[i], dir);
	w.found = init_look(cli->ctx, dir);
	out_start(&w.text, cli->ctx);
	write_head(&w);
	find_port(&w);
	w.supervised = has_kind(&w, "compose") || has_kind(&w, "systemd") || has_kind(&w, "vercel") || has_kind(&w, "wrangler");
	reserve_names(&w);
	json_array_foreach(w.found, index, item)
		write_item(&w, item);
	write_missing(&w);
	write_tail(&w);
	r = check_written(&w, err);
	if (r < 0)
		return r;
	file = fs_join(cli->ctx, dir, PROJECT_FILE);
	r = fs_write_atomic(file, w.text.text, w.text.length, 0644, err);
	if (r == 0)
		r = ignore_state(&w, &ignored, err);
	if (r < 0)
		return r;
	print_result(&w, file, ignored);
	return 0;
}
