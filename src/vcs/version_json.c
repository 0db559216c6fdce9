/* A version as JSON. Every member is always there (vcs.h): what does not exist is null, never missing. Pure; any thread. */
#include "base/clock.h"
#include "vcs/vcs.h"

static void put_text(json_t *object, const char *key, const char *text)
{
	if (text)
		json_put_str(object, key, text);
	else
		json_object_set_new(object, key, json_null());
}

static void put_time(json_t *object, const char *key, int64_t wall_ms)
{
	char *text = clock_format(NULL, wall_ms);

	json_put_str(object, key, text);
	talloc_free(text);
}

static json_t *person_json(const struct vcs_person *person)
{
	json_t *object = json_object();

	json_put_str(object, "name", person->name ? person->name : "");
	json_put_str(object, "email", person->email ? person->email : "");
	return object;
}

static json_t *parsed_json(const struct version *version)
{
	json_t *object = json_object(), *parts = json_array();

	json_put_str(object, "text", version->text);
	for (unsigned i = 0; i < version->part_count; i++)
		json_array_append_new(parts, json_integer((json_int_t)version->parts[i]));
	json_object_set_new(object, "parts", parts);
	put_text(object, "pre", version->pre);
	put_text(object, "build", version->build);
	return object;
}

static json_t *tagger_json(const struct vcs_person *tagger)
{
	json_t *object;

	if (!tagger->name)
		return json_null();
	object = person_json(tagger);
	put_time(object, "date", tagger->wall_ms);
	return object;
}

static json_t *changes_json(const struct vcs_version *version)
{
	json_t *object, *names;
	size_t shown = 0;

	if (version->cut)
		return json_null();
	object = json_object();
	names = json_array();
	for (; version->changed[shown]; shown++) {
		json_t *holder = json_object();

		json_put_str(holder, "name", version->changed[shown]); /* a path may be no UTF-8 */
		json_array_append(names, json_object_get(holder, "name"));
		json_decref(holder);
	}
	json_put_int(object, "count", (int64_t)version->changed_count);
	json_object_set_new(object, "names", names);
	json_put_int(object, "more", (int64_t)(version->changed_count - shown));
	return object;
}

static json_t *predecessor_json(const struct vcs_version *version)
{
	json_t *object;

	if (!version->predecessor)
		return json_null();
	object = json_object();
	json_put_str(object, "name", version->predecessor);
	json_put_str(object, "sha", version->predecessor_sha);
	return object;
}

static json_t *distance_json(const struct vcs_version *version)
{
	json_t *object;

	if (!version->has_distance)
		return json_null();
	object = json_object();
	json_put_int(object, "ahead", (int64_t)version->ahead);
	json_put_int(object, "behind", (int64_t)version->behind);
	return object;
}

json_t *vcs_version_json(const struct vcs_version *version)
{
	json_t *object = json_object();

	json_put_str(object, "name", version->name);
	json_put_str(object, "kind", vcs_kind_name(version->kind));
	put_text(object, "ref", version->ref);
	json_put_str(object, "versionKind", version_kind_name(version->version.kind));
	json_object_set_new(object, "version", parsed_json(&version->version));
	json_put_str(object, "sha", version->sha);
	json_object_set_new(object, "author", person_json(&version->author));
	put_time(object, "date", version->author.wall_ms);
	put_time(object, "committedAt", version->committer.wall_ms);
	json_put_str(object, "subject", version->subject);
	put_text(object, "tagMessage", version->tag_message);
	json_object_set_new(object, "tagger", tagger_json(&version->tagger));
	json_object_set_new(object, "predecessor", predecessor_json(version));
	json_object_set_new(object, "filesChanged", changes_json(version));
	json_object_set_new(object, "distance", distance_json(version));
	return object;
}
