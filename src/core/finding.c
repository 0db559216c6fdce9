/* Findings: a growing list in one talloc tree. Pure; one thread per list. */
#include "core/finding.h"

#include "data/json.h"

static const char *const severity_names[] = { "info", "warning", "error" };

const char *severity_name(enum severity severity)
{
	assert_always((size_t)severity < ARRAY_SIZE(severity_names));
	return severity_names[severity];
}

/* What a newer driver calls "critical" must not weigh less than an error. */
static enum severity severity_read(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(severity_names); i++)
		if (strcmp(severity_names[i], name) == 0)
			return (enum severity)i;
	return SEVERITY_ERROR;
}

struct findings *findings_new(const void *ctx)
{
	return mem_zero(ctx, struct findings);
}

void findings_add(struct findings *findings, const char *name, bool passed, enum severity severity, const char *component, json_t *evidence,
	const char *format, ...)
{
	struct finding *finding;
	va_list arguments;

	if (findings->count == findings->room) {
		findings->room = MAX(findings->room * 2, (size_t)16);
		findings->list = mem_resize(findings, findings->list, struct finding, findings->room);
	}
	finding = &findings->list[findings->count++];
	*finding = (struct finding){
		.name = mem_strdup(findings, name),
		.passed = passed,
		.severity = severity,
		.component = mem_strdup(findings, component),
		.evidence = evidence ? json_keep(findings, json_incref(evidence)) : NULL,
	};
	va_start(arguments, format);
	finding->message = mem_vprintf(findings, format, arguments);
	va_end(arguments);
}

size_t findings_blocking(const struct findings *findings)
{
	size_t count = 0;

	for (size_t i = 0; i < findings->count; i++)
		count += !findings->list[i].passed && findings->list[i].severity == SEVERITY_ERROR;
	return count;
}

static int weight(const struct finding *finding)
{
	return finding->passed ? -1 : (int)finding->severity;
}

void findings_sort(struct findings *findings)
{
	struct finding *sorted = mem_array(findings, struct finding, findings->room);
	size_t count = 0;

	for (int wanted = SEVERITY_ERROR; wanted >= -1; wanted--)
		for (size_t i = 0; i < findings->count; i++)
			if (weight(&findings->list[i]) == wanted)
				sorted[count++] = findings->list[i];
	(void)talloc_free(findings->list);
	findings->list = sorted;
}

json_t *findings_blocking_names(const struct findings *findings)
{
	json_t *names = json_array(), *seen = json_object();

	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];

		if (finding->passed || finding->severity != SEVERITY_ERROR || json_object_get(seen, finding->name))
			continue;
		json_object_set_new(seen, finding->name, json_true());
		json_array_append_new(names, json_string(finding->name));
	}
	json_decref(seen);
	return names;
}

json_t *findings_json(const struct findings *findings)
{
	json_t *array = json_array();

	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];
		json_t *object = json_object();

		json_put_str(object, "name", finding->name);
		json_put_flag(object, "passed", finding->passed);
		json_put_str(object, "severity", severity_name(finding->severity));
		json_put_str(object, "component", finding->component);
		json_put_str(object, "message", finding->message);
		json_put(object, "evidence", finding->evidence);
		json_array_append_new(array, object);
	}
	return array;
}

int findings_read(struct findings *findings, const char *component, json_t *array, struct err *err)
{
	json_t *object, *evidence;
	size_t i;

	if (!json_is_array(array))
		return err_set(err, ERR_DRIVER, "findings are not a list");
	json_array_foreach(array, i, object) {
		const char *name = json_str(object, "name", NULL), *message = json_str(object, "message", NULL);

		if (!name || !*name || !message || !json_is_boolean(json_object_get(object, "passed")))
			return err_set(err, ERR_DRIVER, "finding %zu lacks a name, a message or whether it has passed", i + 1);
		evidence = json_object_get(object, "evidence");
		if (evidence && !json_is_object(evidence) && !json_is_null(evidence))
			return err_set(err, ERR_DRIVER, "finding %zu ('%s'): its evidence is not an object", i + 1, name);
		findings_add(findings, name, json_flag(object, "passed", false), severity_read(json_str(object, "severity", "error")),
			component, json_is_object(evidence) ? evidence : NULL, "%s", message);
	}
	return 0;
}
