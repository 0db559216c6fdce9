/* Looking behind the project file (config_look.h). The field tables say what a path or a program must be (EXPECTS_ of data/fields.h); for drivers in
 * PATH their own `describe` says which members a component may have. Nothing is changed. Any thread; as the workspace. */
#include "ops/config_look.h"

#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "data/template.h"

struct looking {
	struct workspace *workspace;
	struct problems *errors, *warnings;
	void *tmp;
};

static void look_at_path(struct looking *looking, const struct field *field, const char *value, const char *path)
{
	const char *whole = fs_join(looking->tmp, looking->workspace->dir, value);
	const char *what = field->expects == EXPECTS_FILE ? "file" : "directory";

	if (access(whole, F_OK) != 0) {
		if (field->expects == EXPECTS_SOURCE)
			problems_add(looking->errors, ERR_NOT_FOUND, path, "%s '%s' does not exist", what, value);
		else
			problems_add(looking->warnings, ERR_NOT_FOUND, path, "%s '%s' does not exist (yet)", what, value);
	} else if (fs_is_dir(whole) != (field->expects != EXPECTS_FILE)) {
		problems_add(looking->errors, ERR_INVALID, path, "'%s' is not a %s", value, what);
	}
}

static bool is_program(const char *path)
{
	struct stat info;

	return access(path, X_OK) == 0 && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* As it is started: a name with a slash from the working directory, else from the absolute folders of PATH. */
static void look_at_program(struct looking *looking, const char *name, const char *dir, const char *path)
{
	const char *base = fs_join(looking->tmp, looking->workspace->dir, dir), *search = getenv("PATH");
	char **folders;

	if (strchr(name, '/')) {
		/* Where the folder is still to come, so is the program: that was said of the folder. */
		if (fs_is_dir(base) && !is_program(fs_join(looking->tmp, base, name)))
			problems_add(looking->warnings, ERR_NOT_FOUND, path, "program '%s' is not there, or cannot be run", name);
		return;
	}
	folders = text_split(looking->tmp, search ? search : "/usr/local/bin:/usr/bin:/bin", ':');
	for (; *folders; folders++)
		if (**folders == '/' && is_program(fs_join(looking->tmp, *folders, name)))
			return;
	problems_add(looking->warnings, ERR_NOT_FOUND, path, "program '%s' is not in PATH on this machine", name);
}

static void look_at_value(struct looking *looking, const struct field *field, json_t *value, const char *dir, const char *path)
{
	const char *text = json_string_value(value);

	if (!text || !*text || template_has(text))
		return;
	if (field->expects == EXPECTS_PROGRAM)
		look_at_program(looking, text, dir, path);
	else
		look_at_path(looking, field, text, path);
}

/* One object by its table. `dir`: where programs start. */
static void look_at_object(struct looking *looking, const struct field *fields, json_t *object, const char *dir, const char *base)
{
	dir = json_str(object, "dir", dir);
	for (const struct field *field = fields; field && field->member; field++) {
		char *name = field_name(looking->tmp, field), *path = doc_path(looking->tmp, base, name);
		json_t *value = json_object_get(object, name);
		size_t count = field->expects == EXPECTS_PROGRAM ? MIN(json_array_size(value), (size_t)1) : json_array_size(value);

		if (field->type == FIELD_TYPE_GROUP)
			look_at_object(looking, field->sub, value, dir, path);
		if (field->expects == EXPECTS_NOTHING)
			continue;
		look_at_value(looking, field, value, dir, path);
		for (size_t i = 0; i < count; i++)
			look_at_value(looking, field, json_array_get(value, i), dir, doc_path_index(looking->tmp, path, i));
	}
}

/* A driver in PATH: its describe in place of a table. */

static json_t *described_field(json_t *fields, const char *name)
{
	json_t *field;
	size_t index;

	json_array_foreach(fields, index, field)
		if (!strcmp(json_str(field, "name", ""), name))
			return field;
	return NULL;
}

static void unknown_key(struct looking *looking, const struct component *component, json_t *fields, const char *key)
{
	const char **names = mem_array(looking->tmp, const char *, json_array_size(fields) + 16), *nearest;
	size_t count = 0, index;
	json_t *field;

	json_array_foreach(fields, index, field)
		names[count++] = json_str(field, "name", "");
	for (const struct field *own = project_component_fields; own->member; own++)
		names[count++] = field_name(looking->tmp, own);
	nearest = text_nearest(key, names);
	problems_add(looking->errors, ERR_INVALID, doc_path(looking->tmp, component->path, key), "driver '%s' has no parameter '%s'%s%s%s",
		component->driver, key, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static void check_choice(struct looking *looking, const struct component *component, const char *key, json_t *value, json_t *choices)
{
	char *list = mem_strdup(looking->tmp, ""), *text = json_scalar_text(looking->tmp, value);
	json_t *choice;
	size_t index;

	if (!json_array_size(choices) || (text && template_has(text)))
		return;
	json_array_foreach(choices, index, choice) {
		if (text && !strcmp(text, json_is_string(choice) ? json_string_value(choice) : ""))
			return;
		list = mem_appendf(list, "%s%s", index ? ", " : "", json_is_string(choice) ? json_string_value(choice) : "");
	}
	problems_add(looking->errors, ERR_INVALID, doc_path(looking->tmp, component->path, key), "must be one of %s", list);
}

static bool is_own(struct looking *looking, const char *key)
{
	for (const struct field *own = project_component_fields; own->member; own++)
		if (!strcmp(field_name(looking->tmp, own), key))
			return true;
	return false;
}

static void look_at_external(struct looking *looking, const struct component *component)
{
	char *driver_path = doc_path(looking->tmp, component->path, "driver");
	struct err err = ERR_INIT;
	json_t *described, *fields, *field, *value;
	const char *key;
	size_t index;

	if (workspace_describe(looking->workspace, component->driver, &described, &err) < 0) {
		problems_add(looking->errors, ERR_INVALID, driver_path, "unship-driver-%s could not describe itself: %s", component->driver,
			err.text);
		return;
	}
	fields = json_object_get(described, "fields");
	if (!json_is_array(fields)) {
		problems_add(looking->warnings, ERR_DRIVER, driver_path,
			"unship-driver-%s does not say which parameters it has: they are not checked", component->driver);
		return;
	}
	json_object_foreach(component->config, key, value) {
		if (is_own(looking, key))
			continue;
		field = described_field(fields, key);
		if (field)
			check_choice(looking, component, key, value, json_object_get(field, "choices"));
		else
			unknown_key(looking, component, fields, key);
	}
	json_array_foreach(fields, index, field) {
		key = json_str(field, "name", "");
		if (json_flag(field, "required", false) && !json_object_get(component->config, key))
			problems_add(looking->errors, ERR_INVALID, component->path, "'%s' is missing: %s", key,
				json_str(field, "help", ""));
	}
}

void config_look(struct workspace *workspace, struct problems *errors, struct problems *warnings)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct looking looking = { workspace, errors, warnings, tmp };

	for (size_t i = 0; i < workspace->project->environment_count; i++) {
		const struct environment *environment = &workspace->project->environments[i];
		char *probes = doc_path(tmp, doc_path(tmp, "environments", environment->name), "probes");

		for (size_t k = 0; k < environment->component_count; k++) {
			const struct component *component = &environment->components[k];
			const struct driver *driver = catalogue_driver(workspace->catalogue, component->driver);

			if (driver)
				look_at_object(&looking, driver->fields, component->config, ".", component->path);
			else if (process_executor_external(workspace->executor, component->driver))
				look_at_external(&looking, component);
		}
		for (size_t k = 0; k < environment->probe_count; k++) {
			const struct probe_config *config = &environment->probes[k];
			const struct probe *probe = catalogue_probe(workspace->catalogue, config->type);

			if (probe)
				look_at_object(&looking, probe->fields, config->config, ".", doc_path(tmp, probes, config->name));
		}
	}
	if (!workspace->project->snapshots.key_count)
		problems_add(warnings, ERR_INVALID, "snapshots", "snapshots are not encrypted: there is no key in snapshots.seal");
}
