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

/* What may follow the first word: literals of the patterns and all options of their operations. */
static char *followers(struct cli *cli, const char *first)
{
	char *words = mem_strdup(cli->ctx, "");

	for (const struct command *command = commands; command->pattern; command++) {
		char **parts = text_split(cli->ctx, command->pattern, ' ');
		const struct operation *operation = command->operation ? operation_find(command->operation) : NULL;

		if (strcmp(parts[0], first) != 0)
			continue;
		for (parts++; *parts; parts++)
			if ((*parts)[0] != '{')
				words = add_once(cli->ctx, words, *parts);
		for (const struct field *field = operation ? operation->fields : NULL; field && field->member; field++)
			words = add_once(cli->ctx, words, args_option_name(cli->ctx, field));
	}
	return mem_append(words, " --json --dir --quiet --yes --help");
}

static void print_bash(struct cli *cli, const char *prologue)
{
	char **words = text_split(cli->ctx, first_words(cli), ' ');

	printf("%s_unship()\n{\n\tlocal current=\"${COMP_WORDS[COMP_CWORD]}\"\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -W \"%s\" -- \"$current\")\n\t\treturn\n\tfi\n\tlocal words=\n\tcase \"${COMP_WORDS[1]}\" in\n",
		prologue, first_words(cli));
	for (; *words; words++)
		printf("\t%s) words=\"%s\" ;;\n", *words, followers(cli, *words));
	printf("\tesac\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n}\ncomplete -o default -F _unship unship\n");
}

static void print_fish(struct cli *cli)
{
	char **words = text_split(cli->ctx, first_words(cli), ' ');

	for (; *words; words++) {
		char **next = text_split(cli->ctx, followers(cli, *words), ' ');

		printf("complete -c unship -n __fish_use_subcommand -f -a %s\n", *words);
		for (; *next; next++)
			if (text_starts_with(*next, "--"))
				printf("complete -c unship -n '__fish_seen_subcommand_from %s' -l %s\n", *words, *next + 2);
			else
				printf("complete -c unship -n '__fish_seen_subcommand_from %s' -f -a %s\n", *words, *next);
	}
}

int completion_run(struct cli *cli, struct err *err)
{
	const char *shell = json_str(cli->input, "shell", "");

	if (!strcmp(shell, "bash"))
		print_bash(cli, "");
	else if (!strcmp(shell, "zsh"))
		print_bash(cli, "autoload -U +X bashcompinit && bashcompinit\n");
	else if (!strcmp(shell, "fish"))
		print_fish(cli);
	else
		return err_set(err, ERR_USAGE, "'%s' is not among the shells that are known: bash, zsh, fish", shell);
	return 0;
}
