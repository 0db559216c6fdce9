/* Looking around for `unship init` (init.h). The tree is walked a few folders deep, links are not followed, and folders of dependencies
 * are passed over. Pure reading; any thread. */
#include "surface/cli/init.h"

#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "data/doc.h"
#include "vcs/vcs.h"

#define DEPTH_MAX   4
#define ENTRIES_MAX 20000
#define FILE_MAX    (1u << 20)
#define PER_KIND    20

/* In this order they are written: what a process needs comes before it. */
static const char *const kinds[] = { "releases", "git", "compose", "docker", "kubernetes", "systemd", "vercel", "wrangler", "sqlite",
	"config", "procfile", "npm", "program", NULL };

struct look {
	const void *ctx;
	void *tmp;
	const char *dir;
	json_t *found;
	unsigned entries;
};

static json_t *add(struct look *look, const char *kind, const char *path, const char *note)
{
	json_t *item = json_object();

	json_put_str(item, "kind", kind);
	json_put_str(item, "path", path);
	json_put_str(item, "note", note);
	json_array_append_new(look->found, item);
	return item;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

static char *whole(struct look *look, const char *path)
{
	return fs_join(look->tmp, look->dir, path);
}

static char *read_text(struct look *look, const char *path)
{
	struct err ignored = ERR_INIT;
	char *text;
	size_t size;

	if (fs_read(look->tmp, whole(look, path), FILE_MAX, &text, &size, &ignored) < 0 || !text_is_utf8(text, size) ||
		strlen(text) != size)
		return NULL;
	return text;
}

static json_t *read_document(struct look *look, const char *path)
{
	struct err ignored = ERR_INIT;
	struct doc *doc;

	return doc_load(look->tmp, whole(look, path), &doc, &ignored) < 0 ? NULL : doc_root(doc);
}

static void found_compose(struct look *look, const char *path)
{
	json_t *services = json_array(), *listed = json_object_get(read_document(look, path), "services"), *item, *value;
	char *note = mem_strdup(look->tmp, "");
	const char *name;

	json_object_foreach(listed, name, value) {
		json_array_append_new(services, json_string(name));
		note = mem_appendf(note, "%s%s", *note ? ", " : "", name);
	}
	item = add(look, "compose", path, *note ? mem_printf(look->tmp, "services %s", note) : "no services could be read");
	json_object_set_new(item, "services", services);
}

/* argv without a shell: blanks separate, nothing has a meaning. NULL when the command counts on a shell. */
static json_t *split_command(struct look *look, const char *command)
{
	char **words = text_split(look->tmp, command, ' ');
	json_t *argv;

	if (!*words || command[strcspn(command, "$`\"'\\|&;<>()*?[]{}~#\t\n")] != '\0' || strchr(*words, '='))
		return NULL;
	argv = json_array();
	for (; *words; words++)
		json_array_append_new(argv, json_string(*words));
	return argv;
}

static void found_procfile(struct look *look, const char *path)
{
	char *text = read_text(look, path), **lines;

	for (lines = text ? text_split(look->tmp, text, '\n') : NULL; lines && *lines; lines++) {
		char *colon = strchr(*lines, ':'), *name, *command;
		json_t *item;

		if (**lines == '#' || !colon || colon == *lines)
			continue;
		name = mem_strndup(look->tmp, *lines, (size_t)(colon - *lines));
		command = colon + 1 + strspn(colon + 1, " \t");
		if (!text_is_name(name))
			continue;
		item = add(look, "procfile", path, mem_printf(look->tmp, "%s: %s", name, command));
		json_put_str(item, "name", name);
		json_object_set_new(item, "argv", split_command(look, command));
	}
}

static void found_npm(struct look *look, const char *path)
{
	json_t *package = read_document(look, path);
	const char *start = json_str(json_object_get(package, "scripts"), "start", NULL);
	json_t *item, *argv;

	if (!start)
		return;
	item = add(look, "npm", path, mem_printf(look->tmp, "start script: %s", start));
	/* npm stands between the process and its signals: the command itself is better, where it needs no shell. */
	argv = split_command(look, start);
	json_object_set_new(item, "argv", argv ? argv : json_pack("[s, s]", "npm", "start"));
}

static bool is_sqlite(struct look *look, const char *path)
{
	static const char magic[] = "SQLite format 3";
	_cleanup_close_ int fd = open(whole(look, path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char start[sizeof(magic)];

	return fd >= 0 && read(fd, start, sizeof(start)) == (ssize_t)sizeof(start) && !memcmp(start, magic, sizeof(magic));
}

static bool is_config(const char *path, const char *name)
{
	static const char *const samples[] = { ".env.example", ".env.sample", ".env.template", ".env.dist", ".envrc", NULL };
	static const char *const endings[] = { ".json", ".yaml", ".yml" };
	bool folder = text_starts_with(path, "config/") && !strchr(path + 7, '/');
	bool named = !strchr(path, '/') &&
		(text_starts_with(name, "config.") || text_starts_with(name, "settings.") || text_starts_with(name, "appsettings."));

	if (text_starts_with(name, ".env"))
		return (name[4] == '\0' || name[4] == '.') && !is_one_of(name, samples);
	for (size_t i = 0; i < ARRAY_SIZE(endings) && (folder || named); i++)
		if (text_ends_with(name, endings[i]))
			return true;
	return false;
}

/* PORT=8080 in a file of environment variables: where the service is probably to be found. */
static const char *port_of(struct look *look, const char *path)
{
	char *text = read_text(look, path), **lines;
	struct err ignored = ERR_INIT;
	int64_t port;

	for (lines = text ? text_split(look->tmp, text, '\n') : NULL; lines && *lines; lines++)
		if (text_starts_with(*lines, "PORT=") && text_parse_int(*lines + 5, 1, 65535, &port, &ignored) == 0)
			return *lines + 5;
	return NULL;
}

/* Files that are often what runs. Whether they are, only people know: they become examples. */
static void found_program(struct look *look, const char *name)
{
	static const struct {
		const char *name, *with;
	} programs[] = { { "app.py", "python3" }, { "main.py", "python3" }, { "server.py", "python3" }, { "service.py", "python3" },
		{ "server.js", "node" }, { "app.js", "node" }, { "index.js", "node" }, { "server.rb", "ruby" } };

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (!strcmp(programs[i].name, name))
			json_object_set_new(add(look, "program", name, "a program, by its name"), "argv",
				json_pack("[s, s]", programs[i].with, name));
}

/* Targets that start something. make itself would stand between the process and its signals. */
static void found_makefile(struct look *look, const char *path)
{
	static const char *const targets[] = { "run:", "start:", "serve:", NULL };
	char *text = read_text(look, path), **lines;

	for (lines = text ? text_split(look->tmp, text, '\n') : NULL; lines && *lines; lines++)
		for (const char *const *target = targets; *target; target++)
			if (text_starts_with(*lines, *target) && (*lines)[strlen(*target)] != '=')
				add(look, "program", path, mem_printf(look->tmp, "target %.*s", (int)strlen(*target) - 1, *target));
}

static void found_file(struct look *look, const char *path, const char *name, bool top)
{
	static const char *const compose[] = { "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml", NULL };

	if (top && is_one_of(name, compose))
		found_compose(look, path);
	else if (top && !strcmp(name, "vercel.json"))
		add(look, "vercel", path, "a project on Vercel");
	else if (top && (!strcmp(name, "wrangler.toml") || !strcmp(name, "wrangler.json") || !strcmp(name, "wrangler.jsonc")))
		add(look, "wrangler", path, "a project on Cloudflare");
	else if (top && !strcmp(name, "Procfile"))
		found_procfile(look, path);
	else if (top && !strcmp(name, "package.json"))
		found_npm(look, path);
	else if (top && !strcmp(name, "Dockerfile"))
		add(look, "docker", path, "an image is built here");
	else if (top && !strcmp(name, "Makefile"))
		found_makefile(look, path);
	else if (text_ends_with(name, ".service"))
		add(look, "systemd", path, "a systemd unit");
	else if ((text_ends_with(name, ".db") || text_ends_with(name, ".sqlite") || text_ends_with(name, ".sqlite3")) &&
		is_sqlite(look, path))
		add(look, "sqlite", path, "an SQLite database");
	else if (is_config(path, name))
		json_put_str(add(look, "config", path, text_starts_with(name, ".env") ? "environment variables" : "configuration"), "port",
			text_starts_with(name, ".env") ? port_of(look, path) : NULL);
	else if (top)
		found_program(look, name);
}

static bool is_release_layout(struct look *look, const char *path)
{
	struct stat link;

	return fs_is_dir(whole(look, mem_printf(look->tmp, "%s/releases", path))) &&
		lstat(whole(look, mem_printf(look->tmp, "%s/current", path)), &link) == 0 && S_ISLNK(link.st_mode);
}

static void walk(struct look *look, const char *path, unsigned depth)
{
	static const char *const passed_over[] = { "node_modules", "vendor", "venv", "target", "build", "dist", "releases", "coverage",
		NULL };
	struct err ignored = ERR_INIT;
	char **names;

	if (is_release_layout(look, path))
		add(look, "releases", path, "releases/ and the link current");
	if (fs_list(look->tmp, whole(look, path), &names, &ignored) < 0)
		return;
	for (; *names && look->entries < ENTRIES_MAX; names++, look->entries++) {
		char *inner = depth ? mem_printf(look->tmp, "%s/%s", path, *names) : *names;
		struct stat info;

		if (!text_is_utf8(inner, strlen(inner)) || lstat(whole(look, inner), &info) < 0)
			continue;
		if (S_ISREG(info.st_mode))
			found_file(look, inner, *names, depth == 0);
		else if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX && **names != '.' && !is_one_of(*names, passed_over))
			walk(look, inner, depth + 1);
	}
}

static void look_at_git(struct look *look)
{
	struct vcs_query query = { .kinds = 1u << VCS_TAG, .limit = 1 };
	struct err ignored = ERR_INIT;
	struct vcs_versions versions;
	struct vcs *vcs;
	json_t *item;

	if (vcs_open(look->tmp, look->dir, &vcs, &ignored) < 0)
		return;
	if (vcs_versions(look->tmp, vcs, &query, &versions, &ignored) < 0 || !versions.count ||
		versions.list[0].version.kind == VERSION_OTHER) {
		item = add(look, "git", vcs_info(vcs)->path,
			vcs_info(vcs)->head_sha ? "a repository without tags that are versions" : "a repository without commits");
		json_put_flag(item, "commits", vcs_info(vcs)->head_sha != NULL);
		return;
	}
	item = add(look, "git", vcs_info(vcs)->path, mem_printf(look->tmp, "a repository; its newest tag is %s", versions.list[0].name));
	json_put_flag(item, "commits", true);
	json_put_str(item, "tag", versions.list[0].name);
}

static void look_at_kubernetes(struct look *look)
{
	const char *given = getenv("KUBECONFIG"), *home = getenv("HOME"), *path, *context;
	json_t *item;

	path = given && *given ? text_split(look->tmp, given, ':')[0] : home ? fs_join(look->tmp, home, ".kube/config") : NULL;
	if (!path || !fs_exists(path))
		return;
	context = json_str(read_document(look, path), "current-context", NULL);
	item = add(look, "kubernetes", path,
		context ? mem_printf(look->tmp, "kubectl speaks to context %s", context) : "a configuration of kubectl");
	json_put_str(item, "context", context);
}

json_t *init_look(const void *ctx, const char *dir)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct look look = { .ctx = ctx, .tmp = tmp, .dir = dir, .found = json_keep(tmp, json_array()) };
	json_t *sorted = json_keep(ctx, json_array()), *item;
	size_t index;

	look_at_git(&look);
	look_at_kubernetes(&look);
	walk(&look, ".", 0);
	for (const char *const *kind = kinds; *kind; kind++) {
		size_t count = 0;

		json_array_foreach(look.found, index, item)
			if (!strcmp(json_str(item, "kind", ""), *kind) && count++ < PER_KIND)
				json_array_append(sorted, item);
	}
	return sorted;
}
