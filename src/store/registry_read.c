/* Reading deployment-registry.json, which other tools write too: everything is checked before anything is believed. Pure; any thread. */
#include "store/internal.h"

#include "base/clock.h"
#include "base/text.h"
#include "data/doc.h"

static int bad(const struct doc *doc, const char *path, struct err *err, const char *what)
{
	unsigned line = 0, column = 0;

	(void)doc_place(doc, path, &line, &column);
	(void)err_set(err, ERR_CORRUPT, "%s:%u:%u: %s: %s", doc_name(doc), line, column, path[0] ? path : "the whole", what);
	err->line = line;
	err->column = column;
	return -ERR_CORRUPT;
}

static int text_member(const struct doc *doc, const char *path, const json_t *object, const char *member, bool needed, const char **ret,
	struct err *err)
{
	const json_t *value = json_object_get(object, member);

	*ret = NULL;
	if (!needed && (!value || json_is_null(value)))
		return 0;
	if (!value)
		return bad(doc, path, err, mem_printf(doc, "'%s' is missing", member));
	if (!json_is_string(value) || (needed && !json_string_value(value)[0]))
		return bad(doc, doc_path(doc, path, member), err, "a text belongs here");
	*ret = json_string_value(value);
	return 0;
}

static bool is_among(const char *text, const char *const *list)
{
	while (*list && strcmp(*list, text) != 0)
		list++;
	return *list != NULL;
}

static int check_choice(const struct doc *doc, const char *path, const json_t *object, const char *member, const char *const *choices,
	struct err *err)
{
	const char *text;
	int r;

	r = text_member(doc, path, object, member, false, &text, err);
	if (r == 0 && text && !is_among(text, choices))
		return bad(doc, doc_path(doc, path, member), err, mem_printf(doc, "'%s' is not known here", text));
	return r;
}

static int check_parts(const struct doc *doc, const char *path, const json_t *object, struct err *err)
{
	const json_t *services = json_object_get(object, "services"), *components = json_object_get(object, "components");
	const json_t *one;
	const char *name;
	size_t index;

	if (services && !json_is_array(services) && !json_is_null(services))
		return bad(doc, doc_path(doc, path, "services"), err, "a list belongs here");
	json_array_foreach(services, index, one)
		if (!json_is_string(one))
			return bad(doc, doc_path_index(doc, doc_path(doc, path, "services"), index), err, "a text belongs here");
	if (components && !json_is_object(components) && !json_is_null(components))
		return bad(doc, doc_path(doc, path, "components"), err, "an object belongs here");
	if (json_is_object(components))
		json_object_foreach((json_t *)components, name, one)
			if (!json_is_object(one) && !json_is_string(one))
				return bad(doc, doc_path(doc, doc_path(doc, path, "components"), name), err,
					"an object or a version belongs here");
	return 0;
}

static int check_time(const struct doc *doc, const char *path, const json_t *object, struct err *err)
{
	struct err why = ERR_INIT;
	const char *text;
	int64_t wall_ms;
	int r;

	r = text_member(doc, path, object, "timestamp", false, &text, err);
	if (r == 0 && text && clock_parse(text, &wall_ms, &why) < 0)
		return bad(doc, doc_path(doc, path, "timestamp"), err, "this is no time as in 2026-11-21T04:53:33Z");
	return r;
}

static int check_deployment(const struct doc *doc, const char *path, const json_t *object, json_t *seen, struct err *err)
{
	static const char *const statuses[] = { "success", "failed", "rolled-back", NULL };
	static const char *const healths[] = { "passing", "failing", "unknown", NULL };
	const char *id, *environment, *text;
	int r;

	if (!json_is_object(object))
		return bad(doc, path, err, "an object belongs here");
	r = text_member(doc, path, object, "id", true, &id, err);
	if (r == 0)
		r = text_member(doc, path, object, "environment", true, &environment, err);
	if (r == 0)
		r = text_member(doc, path, object, "version", true, &text, err);
	if (r == 0)
		r = text_member(doc, path, object, "gitSha", false, &text, err);
	if (r == 0)
		r = check_choice(doc, path, object, "status", statuses, err);
	if (r == 0)
		r = check_choice(doc, path, object, "health", healths, err);
	if (r == 0)
		r = check_time(doc, path, object, err);
	if (r == 0)
		r = check_parts(doc, path, object, err);
	if (r < 0)
		return r;
	if (!text_is_name(id))
		return bad(doc, doc_path(doc, path, "id"), err, "an id has letters, digits, '.', '_', '-' only");
	if (!text_is_name(environment))
		return bad(doc, doc_path(doc, path, "environment"), err, "a name has letters, digits, '.', '_', '-' only");
	if (json_object_get(seen, id))
		return bad(doc, doc_path(doc, path, "id"), err, "this id stands here twice");
	json_object_set_new(seen, id, json_true());
	return 0;
}

static int check_rollback(const struct doc *doc, const char *path, const json_t *object, struct err *err)
{
	const char *text;
	int r;

	if (!json_is_object(object))
		return bad(doc, path, err, "an object belongs here");
	r = text_member(doc, path, object, "rollbackId", true, &text, err);
	if (r == 0)
		r = text_member(doc, path, object, "fromDeploymentId", false, &text, err);
	if (r == 0)
		r = text_member(doc, path, object, "toDeploymentId", false, &text, err);
	if (r == 0)
		r = text_member(doc, path, object, "reason", false, &text, err);
	return r < 0 ? r : check_time(doc, path, object, err);
}

static int check_registry(const struct doc *doc, struct err *err)
{
	json_t *root = doc_root(doc), *deployments, *rollbacks, *one, *seen;
	size_t index;
	int r = 0;

	if (!json_is_object(root))
		return bad(doc, "", err, "an object belongs here");
	deployments = json_object_get(root, "deployments");
	rollbacks = json_object_get(root, "rollbacks");
	if (!json_is_array(deployments))
		return bad(doc, deployments ? "deployments" : "", err, "the list 'deployments' is missing");
	if (rollbacks && !json_is_array(rollbacks))
		return bad(doc, "rollbacks", err, "a list belongs here");
	seen = json_keep(doc, json_object());
	json_array_foreach(deployments, index, one)
		if (r == 0)
			r = check_deployment(doc, doc_path_index(doc, "deployments", index), one, seen, err);
	json_array_foreach(rollbacks, index, one)
		if (r == 0)
			r = check_rollback(doc, doc_path_index(doc, "rollbacks", index), one, err);
	return r;
}

int registry_read(const void *ctx, const char *text, size_t size, json_t **ret, struct err *err)
{
	struct doc *doc;
	int r;

	r = doc_parse_json(ctx, "deployment-registry.json", text, size, &doc, err);
	if (r < 0)
		return err->code == ERR_INVALID ? err_as(err, ERR_CORRUPT) : r;
	r = check_registry(doc, err);
	if (r < 0) {
		(void)talloc_free(doc);
		return r;
	}
	*ret = doc_root(doc);
	return 0;
}
