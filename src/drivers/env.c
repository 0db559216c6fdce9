/* Environments for child programs; see env.h. No state; the driver's thread. */
#include "drivers/env.h"

#include <ctype.h>

#include "base/fs.h"
#include "data/json.h"

#define ENV_FILE_MAX (1u << 20)

void env_put(struct env *env, const char *name, const char *value)
{
	size_t length = strlen(name), at = 0;

	while (at < env->count && !(strncmp(env->list[at], name, length) == 0 && env->list[at][length] == '='))
		at++;
	if (at == env->count) {
		env->list = mem_resize(env->ctx, env->list, const char *, env->count + 2);
		env->list[++env->count] = NULL;
	}
	env->list[at] = mem_printf(env->ctx, "%s=%s", name, value);
}

struct env *env_new(const void *ctx)
{
	static const char *const kept[] = { "PATH", "HOME", "LANG", "TZ", "TMPDIR" };
	struct env *env = mem_zero(ctx, struct env);

	env->ctx = env;
	env->list = mem_array(env, const char *, 1);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (getenv(kept[i]))
			env_put(env, kept[i], getenv(kept[i]));
	return env;
}

static bool is_variable(const char *name)
{
	if (!isalpha((unsigned char)*name) && *name != '_')
		return false;
	while (*name && (isalnum((unsigned char)*name) || *name == '_'))
		name++;
	return !*name;
}

int env_put_map(struct env *env, struct driver_call *call, json_t *map, struct err *err)
{
	const char *name, *value;
	json_t *member;
	int r;

	json_object_foreach(map, name, member) {
		if (!is_variable(name))
			return err_set(err, ERR_INVALID, "env: '%s' cannot be the name of a variable", name);
		value = json_scalar_text(env->ctx, member);
		if (!value && !json_is_object(member))
			return err_set(err, ERR_INVALID, "env: %s must be a text, a number, a boolean or a secret reference", name);
		r = value ? 0 : call_secret(call, member, &value, err);
		if (r < 0)
			return err_in(err, "env: %s", name);
		env_put(env, name, value);
	}
	return 0;
}

/* The value in place; NULL when its quotes do not end or something follows them. */
static char *unquote(char *value)
{
	char quote = *value, *from = value + 1, *to = value;

	if (quote != '"' && quote != '\'') {
		char *comment = strstr(value, " #");

		if (comment)
			*comment = 0;
		for (to = value + strlen(value); to > value && isspace((unsigned char)to[-1]); to--)
			to[-1] = 0;
		return value;
	}
	while (*from && *from != quote) {
		if (quote == '"' && *from == '\\' && from[1] && strchr("n\"\\$", from[1])) {
			from++;
			*to++ = *from == 'n' ? '\n' : *from;
			from++;
		} else {
			*to++ = *from++;
		}
	}
	if (*from != quote)
		return NULL;
	from++;
	while (isspace((unsigned char)*from))
		from++;
	if (*from && *from != '#')
		return NULL;
	*to = 0;
	return value;
}

int env_put_file(struct env *env, const char *path, struct err *err)
{
	char *text, *rest, *line, *value;
	size_t size;
	int r, number = 0;

	r = fs_read(env->ctx, path, ENV_FILE_MAX, &text, &size, err);
	if (r < 0)
		return r;
	if (memchr(text, 0, size))
		return err_set(err, ERR_INVALID, "%s: holds a 0 byte", path);
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		number++;
		while (isspace((unsigned char)*line))
			line++;
		if (!*line || *line == '#')
			continue;
		if (strncmp(line, "export ", 7) == 0)
			line += 7;
		value = strchr(line, '=');
		if (value) {
			*value++ = 0;
			value = unquote(value);
		}
		if (!value || !is_variable(line))
			return err_set(err, ERR_INVALID, "%s:%d: not of the form NAME=value", path, number);
		env_put(env, line, value);
	}
	return 0;
}
