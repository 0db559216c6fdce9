/* The difference between what two commits hold. Pure; any thread. */
#include <string.h>

#include "vcs/vcs.h"

static json_t *by_path(json_t *list)
{
	json_t *map = json_object(), *item;
	size_t index;

	json_array_foreach(list, index, item)
		json_object_set(map, json_str(item, "path", ""), item);
	return map;
}

/* The names of `a` that `b` lacks. NULL when one of them is not known. */
static json_t *lacking(json_t *a, json_t *b)
{
	json_t *names, *seen, *name;
	size_t index;

	if (!json_is_array(a) || !json_is_array(b))
		return NULL;
	names = json_array();
	seen = json_object();
	json_array_foreach(b, index, name)
		json_object_set_new(seen, json_string_value(name), json_true());
	json_array_foreach(a, index, name)
		if (!json_object_get(seen, json_string_value(name)))
			json_array_append(names, name);
	json_decref(seen);
	return names;
}

static json_t *changed_item(json_t *from, json_t *to)
{
	json_t *item = json_object();
	json_t *appeared = lacking(json_object_get(to, "keys"), json_object_get(from, "keys"));
	json_t *vanished = lacking(json_object_get(from, "keys"), json_object_get(to, "keys"));

	json_put_str(item, "path", json_str(to, "path", ""));
	json_object_set(item, "from", from);
	json_object_set(item, "to", to);
	if (appeared)
		json_object_set_new(item, "keysAppeared", appeared);
	if (vanished)
		json_object_set_new(item, "keysVanished", vanished);
	return item;
}

static json_t *list_difference(json_t *from, json_t *to)
{
	json_t *difference = json_object(), *appeared = json_array(), *vanished = json_array(), *changed = json_array();
	json_t *before = by_path(from), *after = by_path(to), *item, *other;
	size_t index;

	json_array_foreach(to, index, item) {
		other = json_object_get(before, json_str(item, "path", ""));
		if (!other)
			json_array_append(appeared, item);
		else if (strcmp(json_str(other, "hash", ""), json_str(item, "hash", "")) != 0)
			json_array_append_new(changed, changed_item(other, item));
	}
	json_array_foreach(from, index, item)
		if (!json_object_get(after, json_str(item, "path", "")))
			json_array_append(vanished, item);
	json_object_set_new(difference, "appeared", appeared);
	json_object_set_new(difference, "vanished", vanished);
	json_object_set_new(difference, "changed", changed);
	json_decref(before);
	json_decref(after);
	return difference;
}

json_t *vcs_metadata_difference(json_t *from, json_t *to)
{
	static const char *const lists[] = { "manifests", "lockFiles", "migrations", "config", "contracts" };
	json_t *difference = json_object();

	json_put_str(difference, "from", json_str(from, "sha", ""));
	json_put_str(difference, "to", json_str(to, "sha", ""));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		json_object_set_new(difference, lists[i], list_difference(json_object_get(from, lists[i]), json_object_get(to, lists[i])));
	return difference;
}
