/* Completion scripts for bash, zsh and fish: written from the tables of commands and operations. The scripts complete words and options; they call nothing while they complete. */
#include <string.h>

#include "base/text.h"
#include "surface/cli/cli.h"

/* First words, without repetition, separated by blanks. */
static char *first_words(struct cli *cli)
{
	char *words = mem_strdup(cli->ctx, ""), *last = mem_strdup(cli->ctx, "");

	for (const struct command *command = commands; command->pattern; command++) {
		char *word = text_split(cli->ctx, command->pattern, ' ')[0];

		if (strcmp(word, last) != 0)
			words = mem_appendf(words, "%s%s", *words ? " " : "", word);
		last = word;
	}
	return words;
}

static char *add_once(const void *ctx, char *words, const char *word)
{
	if (strstr(mem_printf(ctx, " %s ", words), mem_printf(ctx, " %s ", word)))
		return words;
	return mem_appendf(words, "%s%s", *words ? " " : "", word);
}

/* A switch that is on unless it is switched off is written --no-NAME. */
static char *field_option_name(const void *ctx, const struct field *field)
{
	char *name = args_option_name(ctx, field);

	return field->type == FIELD_TYPE_BOOL && field->fallback && !strcmp(field->fallback, "true") ? mem_printf(ctx, "--no-%s", name + 2)
												     : name;
}

/* What may follow the first word: literals of the patterns and all options of their operations. */
static char *followers(struct cli *cli, const char *first)
{
	char *words = mem_strdup(cli->ctx, "");

	for (const struct command *command = commands; command->pattern; command++) {
		char **parts = text_split(cli->ctx, command->pattern, ' ');

		if (strcmp(parts[0], first) != 0)
			continue;
		for (parts++; *parts; parts++)
			if ((*parts)[0] != '{')
				words = add_once(cli->ctx, words, *parts);
		for (const struct field *fields = command_fields(command), *field = fields; field->member; field++)
			if (!field_is_content(fields, field))
				words = add_once(cli->ctx, words, field_option_name(cli->ctx, field));
	}
	if (!strcmp(first, "completion"))
		words = mem_append(words, "bash zsh fish");
	if (!strcmp(first, "help"))
		words = mem_append(words, first_words(cli));
	return mem_append(words, " --json --dir --server --quiet --yes --help");
}

static char *bash_script(struct cli *cli, const char *prologue)
{
	char **words = text_split(cli->ctx, first_words(cli), ' '), *script;

	script = mem_printf(cli->ctx,
		"%s_unship()\n{\n\tlocal current=\"${COMP_WORDS[COMP_CWORD]}\"\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
		"\t\tCOMPREPLY=($(compgen -W \"%s\" -- \"$current\"))\n\t\treturn\n\tfi\n\tlocal words=\n\tcase \"${COMP_WORDS[1]}\" in\n",
		prologue, first_words(cli));
	for (; *words; words++)
		script = mem_appendf(script, "\t%s) words=\"%s\" ;;\n", *words, followers(cli, *words));
	return mem_append(script,
		"\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\ncomplete -o default -F _unship unship\n");
}

static char *fish_script(struct cli *cli)
{
	char **words = text_split(cli->ctx, first_words(cli), ' '), *script = mem_strdup(cli->ctx, "");

	for (; *words; words++) {
		char **next = text_split(cli->ctx, followers(cli, *words), ' ');

		script = mem_appendf(script, "complete -c unship -n __fish_use_subcommand -f -a %s\n", *words);
		for (; *next; next++)
			if (text_starts_with(*next, "--"))
				script = mem_appendf(script, "complete -c unship -n '__fish_seen_subcommand_from %s' -l %s\n", *words,
					*next + 2);
			else
				script = mem_appendf(script, "complete -c unship -n '__fish_seen_subcommand_from %s' -f -a %s\n", *words,
					*next);
	}
	return script;
}

int completion_run(struct cli *cli, struct err *err)
{
	const char *shell = json_str(cli->input, "shell", ""), *script;

	if (!strcmp(shell, "bash"))
		script = bash_script(cli, "");
	else if (!strcmp(shell, "zsh"))
		script = bash_script(cli, "autoload -U +X bashcompinit && bashcompinit\n");
	else if (!strcmp(shell, "fish"))
		script = fish_script(cli);
	else
		return err_set(err, ERR_USAGE, "'%s' is not among the shells that are known: bash, zsh, fish", shell);
	if (cli->json)
		cli->answer = json_make(cli->ctx, "{s:s, s:s}", "shell", shell, "script", script);
	else
		fputs(script, stdout);
	return 0;
}
