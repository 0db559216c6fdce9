/* Secrets in JSON trees; see redact.h. A reference is an object with exactly one member, named env, file or credential, whose value is a
 * string.
 * Something else of that look (a configuration map with the single key "file") is visited too, which does no harm: a value too many is
 * scrubbed.
 * No state of its own; any thread. */
#include "data/redact.h"

#include "base/fs.h"
#include "base/log.h"
#include "data/json.h"

#define SECRET_SIZE_MAX 65536

static json_t *redact_string(const json_t *value)
{
	_cleanup_talloc_ char *text = secret_redact(NULL, json_string_value(value));
	json_t *made = json_string(text);

	return made ? made : json_string("[secret]"); /* a cut through a character: not UTF-8 any more */
}

static json_t *redact_object(const json_t *value, unsigned plain_keys)
{
	json_t *made = json_object(), *member;
	const char *key;

	json_object_foreach((json_t *)value, key, member) {
		_cleanup_talloc_ char *clean = plain_keys > 0 ? NULL : secret_redact(NULL, key);
		json_t *copy = json_redact(member, plain_keys > 0 ? plain_keys - 1 : 0);

		if (json_object_set_new(made, clean ? clean : key, copy) < 0)
			(void)json_object_set_new(made, "[secret]", json_redact(member, 0));
	}
	return made;
}

json_t *json_redact(const json_t *value, unsigned plain_keys)
{
	json_t *made, *element;
	size_t i;

	if (json_is_string(value))
		return redact_string(value);
	if (json_is_object(value))
		return redact_object(value, plain_keys);
	if (!json_is_array(value))
		return json_incref((json_t *)value);
	made = json_array();
	json_array_foreach((json_t *)value, i, element)
		(void)json_array_append_new(made, json_redact(element, plain_keys > 0 ? plain_keys - 1 : 0));
	return made;
}

void json_visit_secrets(const json_t *value, void (*visit)(void *user, const char *kind, const char *name), void *user)
{
	static const char *const kinds[] = { "env", "file", "credential" };
	const char *key, *name;
	json_t *member;
	size_t i;

	if (json_is_array(value)) {
		json_array_foreach((json_t *)value, i, member)
			json_visit_secrets(member, visit, user);
		return;
	}
	for (i = 0; json_object_size(value) == 1 && i < ARRAY_SIZE(kinds); i++) {
		name = json_str((json_t *)value, kinds[i], NULL);
		if (name)
			visit(user, kinds[i], name);
	}
	json_object_foreach((json_t *)value, key, member)
		json_visit_secrets(member, visit, user);
}

static void register_secret(void *user, const char *kind, const char *name)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char *dir = user, *value;
	char *text, *end;
	size_t size;
	struct err ignored = ERR_INIT;

	if (strcmp(kind, "env") == 0) {
		value = getenv(name);
		if (value)
			secret_add(value);
		return;
	}
	if (strcmp(kind, "credential") == 0)
		dir = getenv("CREDENTIALS_DIRECTORY");
	if (!dir || fs_read(ctx, fs_join(ctx, dir, name), SECRET_SIZE_MAX, &text, &size, &ignored) < 0)
		return;
	end = text + strlen(text);
	if (end > text && end[-1] == '\n')
		*--end = 0;
	if (end > text && end[-1] == '\r')
		*--end = 0;
	secret_add(text);
}

void json_register_secrets(const json_t *value, const char *dir)
{
	json_visit_secrets(value, register_secret, (void *)dir);
}
