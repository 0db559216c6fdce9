/* The project file and what there is to write into it: drivers, probes, channels with their parameters. */
#include "ops/answers.h"
#include "ops/resources.h"

#include <string.h>

#include "base/text.h"
#include "ops/config_look.h"

struct config_params {
	const char *name;
};

static const struct field no_fields[] = { FIELD_END };
static const struct field name_fields[] = { FIELD_STR(struct config_params, name, OPTIONAL, "only this one"), FIELD_END };

static void add_problems(const void *ctx, json_t *list, const struct problems *problems, const char *severity)
{
	json_t *more = json_keep(ctx, problems_json(problems)), *problem;
	size_t index;

	json_array_foreach(more, index, problem) {
		json_put_str(problem, "severity", severity);
		json_array_append(list, problem);
	}
}

static int config_check(struct op *op, const void *params, json_t **ret, struct err *err)
{
	struct workspace *workspace = op->workspace;
	struct problems *looked, *warnings;
	struct err first = ERR_INIT;
	json_t *environments, *problems;
	int r;

	(void)params;
	r = workspace_project(workspace, &first);
	if (r < 0 && !workspace->project) {
		*err = first;
		return r;
	}
	looked = problems_new(op->ctx, workspace->project->doc);
	warnings = problems_new(op->ctx, workspace->project->doc);
	config_look(workspace, looked, warnings);
	problems = json_array();
	add_problems(op->ctx, problems, workspace->problems, "error");
	add_problems(op->ctx, problems, looked, "error");
	add_problems(op->ctx, problems, warnings, "warning");
	environments = json_array();
	for (size_t i = 0; i < workspace->project->environment_count; i++) {
		const struct environment *environment = &workspace->project->environments[i];

		json_array_append_new(environments,
			json_pack("{s:s, s:I, s:I}", "name", environment->name, "components", (json_int_t)environment->component_count,
				"probes", (json_int_t)environment->probe_count));
	}
	*ret = json_make(op->ctx, "{s:s, s:b, s:s*, s:o, s:o}", "file", workspace->file, "valid", r == 0 && looked->count == 0, "project",
		workspace->project->name, "environments", environments, "problems", problems);
	if (r < 0)
		*err = first;
	return r < 0 ? r : problems_result(looked, err);
}

static json_t *row(const char *name, const char *summary, const struct field *fields)
{
	return json_pack("{s:s, s:s, s:o}", "name", name, "summary", summary, "fields", fields_json(fields));
}

/* All of a kind, or only the one that is asked for; takes over `list`. */
static int listed(struct op *op, const struct config_params *p, const char *what, json_t *list, json_t **ret, struct err *err)
{
	const char **names = mem_array(op->ctx, const char *, json_array_size(list) + 1), *nearest;
	size_t index;
	json_t *item;

	json_keep(op->ctx, list);
	*ret = list;
	if (!p->name)
		return 0;
	json_array_foreach(list, index, item) {
		names[index] = json_str(item, "name", "");
		if (!strcmp(names[index], p->name)) {
			*ret = json_make(op->ctx, "[O]", item);
			return 0;
		}
	}
	*ret = NULL;
	nearest = text_nearest(p->name, names);
	return err_set(err, ERR_NOT_FOUND, "there is no %s '%s'%s%s%s", what, p->name, nearest ? "; did you mean '" : "",
		nearest ? nearest : "", nearest ? "'?" : "");
}

static int drivers_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct config_params *p = params;
	json_t *list = json_array();

	for (const struct driver *const *driver = op->catalogue->drivers; *driver; driver++) {
		json_t *item = row((*driver)->name, (*driver)->summary, (*driver)->fields);

		json_put_str(item, "kind", driver_kind_name((*driver)->kind));
		json_array_append_new(list, item);
	}
	return listed(op, p, "driver", list, ret, err);
}

static int probes_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct config_params *p = params;
	json_t *list = json_array();

	for (const struct probe *const *probe = op->catalogue->probes; *probe; probe++)
		json_array_append_new(list, row((*probe)->name, (*probe)->summary, (*probe)->fields));
	return listed(op, p, "probe", list, ret, err);
}

static int channels_list(struct op *op, const void *params, json_t **ret, struct err *err)
{
	const struct config_params *p = params;
	json_t *list = json_array();

	for (const struct channel *const *channel = op->catalogue->channels; *channel; channel++)
		json_array_append_new(list, row((*channel)->name, (*channel)->summary, (*channel)->fields));
	return listed(op, p, "channel", list, ret, err);
}

OPERATION(op_config_check, "config.check", "POST", "/config/check", PERMIT_VIEW, "check the project file", no_fields, struct config_params,
	config_check, .everywhere = true, .idempotent = true, .answer = config_check_shape);
OPERATION(op_drivers_list, "drivers.list", "GET", "/drivers", PERMIT_VIEW, "drivers and their parameters", name_fields,
	struct config_params, drivers_list, .anywhere = true, .answer = catalogue_shape);
OPERATION(op_probes_list, "probes.list", "GET", "/probes", PERMIT_VIEW, "probes and their parameters", name_fields, struct config_params,
	probes_list, .anywhere = true, .answer = catalogue_shape);
OPERATION(op_channels_list, "channels.list", "GET", "/channels", PERMIT_VIEW, "channels and their parameters", name_fields,
	struct config_params, channels_list, .anywhere = true, .answer = catalogue_shape);
