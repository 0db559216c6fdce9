/* Names of driver kinds, and look-ups in the catalogue. The words that drivers say to the run's log (call_log and its like) belong to the
 * worker's
 * side: drivers/host.c. Pure; any thread. */
#include "core/driver.h"

#include "base/text.h"

static const char *const kind_names[] = { "flags", "service", "code", "config", "data", "cache", "traffic", "command", NULL };

const char *driver_kind_name(enum driver_kind kind)
{
	assert_always((size_t)kind < ARRAY_SIZE(kind_names) - 1);
	return kind_names[kind];
}

int driver_kind_parse(const char *text, enum driver_kind *ret, struct err *err)
{
	const char *nearest;

	for (size_t i = 0; kind_names[i]; i++)
		if (strcmp(kind_names[i], text) == 0) {
			*ret = (enum driver_kind)i;
			return 0;
		}
	nearest = text_nearest(text, kind_names);
	if (nearest)
		return err_set(err, ERR_INVALID, "'%s' is no kind of driver; did you mean '%s'?", text, nearest);
	return err_set(err, ERR_INVALID, "'%s' is no kind of driver (flags, service, code, config, data, cache, traffic, command)", text);
}

bool driver_undoes(const struct driver *driver, const json_t *config)
{
	if (!driver->undo)
		return false;
	for (const struct field *field = driver->fields; field && field->member; field++)
		if (!strcmp(field->member, "undo"))
			return json_array_size(json_object_get(config, "undo")) > 0 || json_is_string(json_object_get(config, "undo"));
	return true;
}

const struct driver *catalogue_driver(const struct catalogue *catalogue, const char *name)
{
	for (const struct driver *const *at = catalogue->drivers; at && *at; at++)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	return NULL;
}

const struct probe *catalogue_probe(const struct catalogue *catalogue, const char *name)
{
	for (const struct probe *const *at = catalogue->probes; at && *at; at++)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	return NULL;
}

const struct channel *catalogue_channel(const struct catalogue *catalogue, const char *name)
{
	for (const struct channel *const *at = catalogue->channels; at && *at; at++)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	return NULL;
}
