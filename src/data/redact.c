/* Secrets in JSON trees; see redact.h. A reference is an object with exactly one member, named env, file or credential, whose value is a
 * string.
 * Something else of that look (a configuration map with the single key "file") is visited too, which does no harm: a value too many is
 * scrubbed.
 * No state of its own; any thread. */
#include "data/redact.h"

#include "base/clock.h"
#include "base/proc.h"
#include "base/fs.h"
#include "base/log.h"
#include "data/json.h"

#define COMMAND_LIMIT_MS 10000
#define SECRET_SIZE_MAX  65536

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

static int read_secret_file(const void *ctx, const char *path, const char **ret, struct err *err)
{
	size_t size;
	char *text;
	int r;

	r = fs_read(ctx, path, SECRET_SIZE_MAX, &text, &size, err);
	if (r < 0)
		return r;
	if (memchr(text, 0, size))
		return err_set(err, ERR_INVALID, "%s holds a 0 byte", path);
	if (size > 0 && text[size - 1] == '\n')
		text[--size] = 0;
	if (size > 0 && text[size - 1] == '\r')
		text[--size] = 0;
	*ret = text;
	return 0;
}

/* The first line of what a program prints; what it says on its standard error is not shown, for nobody knows what stands there. */
static int read_secret_command(const void *ctx, const json_t *command, const char *dir, const char **ret, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	const char **argv = mem_array(tmp, const char *, json_array_size(command) + 1);
	struct proc_spec spec = { .argv = argv,
		.dir = dir,
		.deadline_ms = clock_mono_ms() + COMMAND_LIMIT_MS,
		.output_max = SECRET_SIZE_MAX,
		.kill_on_overflow = true };
	struct proc_result result;
	int r;

	for (size_t i = 0; i < json_array_size(command); i++)
		argv[i] = json_string_value(json_array_get(command, i));
	r = proc_run(tmp, &spec, &result, err);
	if (r < 0)
		return r;
	if (result.timed_out)
		return err_set(err, ERR_TIMEOUT, "%s gave no answer within %d s", argv[0], COMMAND_LIMIT_MS / 1000);
	if (result.exit_code != 0 || result.overflowed)
		return err_set(err, ERR_DRIVER, "%s ended with exit code %d", argv[0], result.exit_code);
	*ret = mem_strndup(ctx, result.output, strcspn(result.output, "\r\n"));
	return **ret ? 0 : err_set(err, ERR_DRIVER, "%s printed nothing", argv[0]);
}

int json_read_secret(const void *ctx, const json_t *reference, const char *dir, const char **ret, struct err *err)
{
	const char *file = json_str(reference, "file", NULL), *env = json_str(reference, "env", NULL);
	const char *credential = json_str(reference, "credential", NULL), *credentials;
	int r = 0;

	json_t *command = json_object_get(reference, "command");

	if (json_object_size(reference) != 1 || (!file && !env && !credential && !json_is_array(command)))
		return err_set(err, ERR_INVALID,
			"a secret is a reference: {file: PATH}, {env: NAME}, {credential: NAME} or {command: [PROGRAM, ...]}");
	if (command) {
		r = read_secret_command(ctx, command, dir, ret, err);
	} else if (file) {
		r = read_secret_file(ctx, fs_join(ctx, dir, file), ret, err);
	} else if (env) {
		*ret = getenv(env);
		if (!*ret)
			r = err_set(err, ERR_NOT_FOUND, "environment variable %s is not set", env);
		else
			*ret = mem_strdup(ctx, *ret);
	} else {
		credentials = getenv("CREDENTIALS_DIRECTORY");
		if (!credentials)
			r = err_set(err, ERR_NOT_FOUND,
				"credential '%s': CREDENTIALS_DIRECTORY is not set (systemd sets it for a unit with LoadCredential=)",
				credential);
		else if (!fs_is_inside(credential) || strchr(credential, '/'))
			r = err_set(err, ERR_INVALID, "'%s' is not the name of a credential", credential);
		else
			r = read_secret_file(ctx, fs_join(ctx, credentials, credential), ret, err);
	}
	if (r < 0)
		return err_in(err, "secret");
	secret_add(*ret);
	return 0;
}
