/* `unship plan ENV -i`: the questions that stand before a plan, asked one after the other at a terminal; then the plan that `unship plan`
 * would make with the same answers as options, and the command that runs it. What was given as an option is not asked. Nothing is changed
 * but, when wanted, a file written. */
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "surface/cli/cli.h"

#define CANDIDATES_SHOWN 20
#define TRIES_MAX        5

static const char *get(const json_t *object, const char *key)
{
	return json_str(object, key, "");
}

/* Asks until `take` accepts the answer, a few times. An empty answer is the default: `take` is given "". */
static int ask_until(struct cli *cli, const char *question, const char *instead,
	int (*take)(struct cli *cli, json_t *data, const char *answer, struct err *err), json_t *data, struct err *err)
{
	for (int tries = 1;; tries++) {
		char *answer;
		int r;

		r = ask(cli, question, instead, &answer, err);
		if (r < 0)
			return r;
		r = take(cli, data, answer, err);
		if (r == 0 || tries == TRIES_MAX)
			return r;
		say(cli, "%s", err->text);
		*err = ERR_INIT;
	}
}

static size_t default_candidate(json_t *candidates)
{
	json_t *candidate;
	size_t index;

	json_array_foreach(candidates, index, candidate)
		if (json_flag(candidate, "lastStable", false))
			return index;
	return 0;
}

static void show_candidates(struct cli *cli, json_t *candidates)
{
	static const char *const header[] = { "", "", "version", "deployment", "recorded", "why" };
	size_t count = MIN(json_array_size(candidates), (size_t)CANDIDATES_SHOWN), index;
	const char **cells = mem_array(cli->ctx, const char *, count *ARRAY_SIZE(header) + 1);
	json_t *candidate;

	json_array_foreach(candidates, index, candidate) {
		const char **row = cells + index * ARRAY_SIZE(header);
		bool eligible = json_flag(candidate, "eligible", false);

		if (index == count)
			break;
		row[0] = mem_printf(cli->ctx, "%zu", index + 1);
		row[1] = mark_text(cli, json_flag(candidate, "lastStable", false) ? MARK_OK : eligible ? MARK_NONE : MARK_FAIL);
		row[2] = get(candidate, "version");
		row[3] = get(candidate, "id");
		row[4] = get(candidate, "recordedAt");
		row[5] = get(candidate, "why");
	}
	out_table(cli, header, cells, ARRAY_SIZE(header), count);
	if (json_array_size(candidates) > count)
		out(cli, "and %zu more: `unship deployments %s`; any of them may be given by its id", json_array_size(candidates) - count,
			get(cli->input, "environment"));
	fflush(stdout);
}

/* A number of the list, a version in it, or an id, which the planning looks up. */
static int take_target(struct cli *cli, json_t *candidates, const char *answer, struct err *err)
{
	struct err ignored = ERR_INIT;
	json_t *candidate = NULL;
	int64_t number;
	size_t index;

	if (!*answer) {
		candidate = json_array_get(candidates, default_candidate(candidates));
	} else if (text_parse_int(answer, 1, CANDIDATES_SHOWN, &number, &ignored) == 0 && (size_t)number <= json_array_size(candidates)) {
		candidate = json_array_get(candidates, (size_t)number - 1);
	} else {
		json_array_foreach(candidates, index, candidate)
			if (!strcmp(get(candidate, "version"), answer) || text_starts_with(get(candidate, "id"), answer))
				break;
		if (index == json_array_size(candidates))
			return err_set(err, ERR_USAGE, "'%s' is none of these: give a number, a version or the beginning of an id", answer);
	}
	json_put_str(cli->input, "to", get(candidate, "id"));
	return 0;
}

static int ask_target(struct cli *cli, json_t *candidates, struct err *err)
{
	size_t chosen = default_candidate(candidates);

	show_candidates(cli, candidates);
	return ask_until(cli, mem_printf(cli->ctx, "Return to which? [%zu] ", chosen + 1), "--to", take_target, candidates, err);
}

/* Names or numbers, separated by commas or blanks. `names`: all components, in order. */
static int take_components(struct cli *cli, json_t *names, const char *answer, struct err *err)
{
	json_t *chosen = json_keep(cli->ctx, json_array());
	char *copy = mem_strdup(cli->ctx, answer), **parts;

	for (char *at = copy; *at; at++)
		if (*at == ',' || *at == '\t')
			*at = ' ';
	parts = text_split(cli->ctx, copy, ' ');
	if (!*parts || !strcmp(*parts, "all"))
		return 0;
	for (; *parts; parts++) {
		struct err ignored = ERR_INIT;
		json_t *name = NULL;
		int64_t number;
		size_t index;

		if (text_parse_int(*parts, 1, (int64_t)json_array_size(names), &number, &ignored) == 0) {
			json_array_append(chosen, json_array_get(names, (size_t)number - 1));
			continue;
		}
		json_array_foreach(names, index, name)
			if (!strcmp(json_string_value(name), *parts))
				break;
		if (index == json_array_size(names))
			return err_set(err, ERR_USAGE, "there is no component '%s'", *parts);
		json_array_append(chosen, name);
	}
	json_object_set(cli->input, "target", chosen);
	return 0;
}

static int ask_components(struct cli *cli, const struct environment *environment, struct err *err)
{
	json_t *names = json_keep(cli->ctx, json_array());
	char *text = mem_strdup(cli->ctx, "");

	for (size_t i = 0; i < environment->component_count; i++) {
		json_array_append_new(names, json_string(environment->components[i].name));
		text = mem_appendf(text, "%s%zu %s", i ? ", " : "", i + 1, environment->components[i].name);
	}
	out(cli, "Components: %s", text);
	fflush(stdout);
	return ask_until(cli, "Take back which? [all] ", "--target", take_components, names, err);
}

static int take_preserve(struct cli *cli, json_t *unused, const char *answer, struct err *err)
{
	(void)unused;
	if (!*answer || !strcasecmp(answer, "y") || !strcasecmp(answer, "yes"))
		json_put_flag(cli->input, "preserveData", true);
	else if (!strcasecmp(answer, "n") || !strcasecmp(answer, "no"))
		json_put_flag(cli->input, "preserveData", false);
	else
		return err_set(err, ERR_USAGE, "answer y or n");
	return 0;
}

/* A word as a shell reads it back. */
static char *shell_word(const void *ctx, const char *text)
{
	static const char harmless[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/+@:,=";
	char *quoted;

	if (*text && text[strspn(text, harmless)] == '\0')
		return mem_strdup(ctx, text);
	quoted = mem_strdup(ctx, "'");
	for (; *text; text++)
		quoted = *text == '\'' ? mem_append(quoted, "'\\''") : mem_appendf(quoted, "%c", *text);
	return mem_append(quoted, "'");
}

/* The command that runs exactly this: bound by the hash, it is refused when something has changed since. */
static char *command_line(struct cli *cli, const json_t *answer, const char *file)
{
	char *line = mem_printf(cli->ctx, "unship rollback %s", shell_word(cli->ctx, get(answer, "environment")));
	json_t *target;
	size_t index;

	if (file)
		line = mem_appendf(line, " --plan %s", shell_word(cli->ctx, file));
	else
		line = mem_appendf(line, " --to %s", shell_word(cli->ctx, get(json_object_get(answer, "target"), "deploymentId")));
	json_array_foreach(json_object_get(cli->input, "target"), index, target)
		if (!file)
			line = mem_appendf(line, " --target %s", shell_word(cli->ctx, json_string_value(target)));
	if (!json_flag(cli->input, "preserveData", true))
		line = mem_append(line, " --no-preserve-data");
	if (json_flag(cli->input, "immediate", false))
		line = mem_append(line, " --immediate");
	return mem_appendf(line, " --plan-hash %s --reason '...'", get(answer, "planHash"));
}

static int save(struct cli *cli, const json_t *answer, const char *file, struct err *err)
{
	char *text = mem_append(json_pretty(cli->ctx, json_object_get(answer, "plan")), "\n");
	int r;

	r = fs_write_atomic(file, text, strlen(text), 0644, err);
	return r < 0 ? err_in(err, "saving the plan") : 0;
}

static int offer_to_save(struct cli *cli, const json_t *answer, struct err *err)
{
	const char *file = cli->output;
	char *given;
	int r = 0;

	if (!file) {
		r = ask(cli, "Save the plan to which file? [do not save] ", "--output", &given, err);
		if (r < 0)
			return r;
		file = *given ? given : NULL;
		if (file && fs_exists(file))
			return err_set(err, ERR_USAGE, "'%s' exists already; -o %s replaces it", file, shell_word(cli->ctx, file));
	}
	if (file)
		r = save(cli, answer, file, err);
	if (r < 0)
		return r;
	out(cli, "%s\n  %s",
		file ? mem_printf(cli->ctx, "Saved to %s. This runs it:", file) : "This runs it:", command_line(cli, answer, file));
	return 0;
}

static int show(struct cli *cli, json_t *answer)
{
	const char *output = cli->output;

	json_object_del(answer, "candidates"); /* they were shown before the first question */
	cli->output = NULL;                    /* saved below, once */
	render_plan(cli, answer, NULL);
	cli->output = output;
	fflush(stdout);
	return json_array_size(json_object_get(json_object_get(answer, "plan"), "steps")) > 0;
}

int plan_interactive(struct cli *cli, json_t **ret, struct err *err)
{
	const struct operation *create = operation_find("plans.create");
	const char *name = get(cli->input, "environment");
	struct environment *environment;
	json_t *answer = NULL, *candidates;
	int r;

	if (cli->no_input || cli->json || !cli->tty_in || !cli->tty_err)
		return err_set(err, ERR_USAGE,
			"planning interactively needs a terminal: give --to, --target and --no-preserve-data instead");
	r = workspace_environment(cli->op.workspace, name, &environment, err);
	if (r == 0 && !json_object_get(cli->input, "to")) {
		/* The candidates come with every plan, and with the error that none of them will do: then a person may know better. */
		r = operation_call(&cli->op, create, json_keep(cli->ctx, json_pack("{s:s}", "environment", name)), &answer, err);
		candidates = json_object_get(answer, "candidates");
		if (r < 0 && json_array_size(candidates) == 0)
			return r;
		if (r < 0)
			say(cli, "%s", err->text);
		*err = ERR_INIT;
		r = ask_target(cli, candidates, err);
	}
	if (r == 0 && !json_object_get(cli->input, "target"))
		r = ask_components(cli, environment, err);
	if (r == 0 && !json_object_get(cli->input, "preserveData"))
		r = ask_until(cli, "Keep the data of the databases as it is? [Y/n] ", "--preserve-data", take_preserve, NULL, err);
	if (r == 0)
		r = operation_call(&cli->op, create, cli->input, &answer, err);
	if (r == 0 && show(cli, answer))
		r = offer_to_save(cli, answer, err);
	*ret = NULL; /* all has been shown */
	return r;
}
