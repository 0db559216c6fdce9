/* Help: made from the table of commands and the operations' fields, so that it cannot say anything else than what is there. */
#include <string.h>

#include "base/text.h"
#include "surface/cli/cli.h"

static const char *summary_of(const struct command *command)
{
	return command->summary ? command->summary : operation_find(command->operation)->summary;
}

/* "{environment}" as "ENVIRONMENT", "{id?}" as "[ID]". */
char *command_usage(const void *ctx, const char *pattern)
{
	char **parts = text_split(ctx, pattern, ' ');
	char *usage = mem_strdup(ctx, "");

	for (; *parts; parts++) {
		size_t length = strlen(*parts);
		bool optional = length > 2 && (*parts)[length - 2] == '?';
		char *word;

		if ((*parts)[0] != '{') {
			usage = mem_appendf(usage, "%s%s", *usage ? " " : "", *parts);
			continue;
		}
		word = mem_strndup(ctx, *parts + 1, length - 2 - optional);
		for (char *c = word; *c; c++)
			if (*c >= 'a' && *c <= 'z')
				*c = (char)(*c - 'a' + 'A');
		usage = mem_appendf(usage, optional ? "%s[%s]" : "%s%s", *usage ? " " : "", word);
	}
	return usage;
}

static bool in_pattern(const void *ctx, const char *pattern, const char *name)
{
	return strstr(pattern, mem_printf(ctx, "{%s}", name)) || strstr(pattern, mem_printf(ctx, "{%s?}", name));
}

static void print_fields(struct cli *cli, FILE *out, const struct command *command)
{
	for (const struct field *fields = command_fields(command), *field = fields; field->member; field++) {
		char *name = args_option_name(cli->ctx, field);
		char *value = mem_strdup(cli->ctx, "");

		if (in_pattern(cli->ctx, command->pattern, field_name(cli->ctx, field)) || field_is_content(fields, field))
			continue;
		if (field->type == FIELD_TYPE_BOOL && field->fallback && !strcmp(field->fallback, "true"))
			name = mem_printf(cli->ctx, "--no-%s", name + 2);
		else if (field->type == FIELD_TYPE_CHOICE)
			value = mem_printf(cli->ctx, " %s", field->choices);
		else if (field->type == FIELD_TYPE_MAP)
			value = mem_strdup(cli->ctx, " NAME=VALUE");
		else if (field->type != FIELD_TYPE_BOOL && field->type != FIELD_TYPE_PASSWORD)
			value = mem_strdup(cli->ctx, field->type == FIELD_TYPE_INT ? " N" : " TEXT");
		fprintf(out, "  %-32s %s%s\n", mem_printf(cli->ctx, "%s%s", name, value),
			field->type == FIELD_TYPE_BOOL && text_starts_with(name, "--no-") ? "do not: " : "",
			mem_printf(cli->ctx, "%s%s", field->help, field->required ? " (required)" : ""));
	}
}

static void print_one(struct cli *cli, FILE *out, bool another)
{
	const struct command *command = cli->command;
	const char *extra = command->extra ? command->extra : "";

	fprintf(out, "%sunship %s\n  %s\n\n", another ? "\n" : "", command_usage(cli->ctx, command->pattern), summary_of(command));
	print_fields(cli, out, command);
	if (strstr(extra, "yes"))
		fprintf(out, "  %-32s %s\n", "-y, --yes", "do not ask");
	if (strstr(extra, "confirm"))
		fprintf(out, "  %-32s %s\n", "--confirm NAME", "the environment's name, instead of typing it");
	if (strstr(extra, "listen"))
		fprintf(out, "  %-32s %s\n", "--listen ADDRESS:PORT", "where to listen; of the project file when missing");
	if (strstr(extra, "output"))
		fprintf(out, "  %-32s %s\n", "-o, --output FILE", "write the result to a file");
	if (strstr(extra, "interactive"))
		fprintf(out, "  %-32s %s\n", "-i, --interactive", "choose target and components step by step");
	if (strstr(extra, "watch"))
		fprintf(out, "  %-32s %s\n", "-w, --watch", "follow until it has ended");
	fprintf(out, "  %-32s %s\n", "--json", "one JSON document on stdout, nothing else");
	fprintf(out, "  %-32s %s\n", "-C, --dir DIR", "project directory instead of this one");
	if (command->operation || strstr(extra, "server")) {
		fprintf(out, "  %-32s %s\n", "--server URL", "the server that carries it out (UNSHIP_SERVER)");
		fprintf(out, "  %-32s %s\n", "--ca FILE", "authorities for its certificate instead of the system's (UNSHIP_CA)");
	}
}

static void print_all(struct cli *cli, FILE *out)
{
	fprintf(out, "unship takes a bad release back, safely.\n\nUsage: unship COMMAND [OPTIONS]\n\n");
	for (const struct command *command = commands; command->pattern; command++)
		fprintf(out, "  %-40s %s\n", command_usage(cli->ctx, command->pattern), summary_of(command));
	fprintf(out,
		"\nEverywhere: --json, -C DIR, --server URL, -q, --no-input, --help. At three in the morning: `unship rollback ENV --reason ...` shows what it would do and asks.\n");
	fprintf(out,
		"Exit codes: 0 done; 1 failed, system restored; 2 invalid input; 3 refused; 4 conflict; 5 failed and NOT restored, a person is needed;\n"
		"6 store or server unreachable; 130 interrupted.\n");
}

static json_t *command_json(struct cli *cli, const struct command *command)
{
	const struct operation *operation = command->operation ? operation_find(command->operation) : NULL;
	json_t *options = json_array();

	for (const struct field *fields = command_fields(command), *field = fields; field->member; field++)
		if (!in_pattern(cli->ctx, command->pattern, field_name(cli->ctx, field)) && !field_is_content(fields, field))
			json_array_append_new(options,
				json_pack("{s:s, s:s, s:s, s:b}", "name", args_option_name(cli->ctx, field), "type",
					field_type_name(field->type), "help", field->help, "required", field->required));
	return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:o}", "usage", command_usage(cli->ctx, command->pattern), "summary",
		summary_of(command), "operation", command->operation, "method", operation ? operation->method : NULL, "path",
		operation ? operation->path : NULL, "options", options);
}

int help_print(struct cli *cli, struct err *err)
{
	const char *topic = json_str(cli->input, "topic", NULL);
	const struct command *only = cli->command && strcmp(cli->command->pattern, "help {topic?}") != 0 ? cli->command : NULL;
	json_t *list = json_keep(cli->ctx, json_array());
	size_t found = 0;

	if (!only && !topic && !cli->json) {
		print_all(cli, stdout);
		return 0;
	}
	for (const struct command *command = commands; command->pattern; command++) {
		if (only ? command != only : topic && strcmp(text_split(cli->ctx, command->pattern, ' ')[0], topic) != 0)
			continue;
		cli->command = command;
		if (cli->json)
			json_array_append_new(list, command_json(cli, command));
		else
			print_one(cli, stdout, found > 0);
		found++;
	}
	if (!found) {
		const char *names[128], *nearest;
		size_t count = 0;

		for (const struct command *command = commands; command->pattern && count < ARRAY_SIZE(names) - 1; command++)
			names[count++] = text_split(cli->ctx, command->pattern, ' ')[0];
		names[count] = NULL;
		nearest = text_nearest(topic, names);
		return err_set(err, ERR_USAGE, "there is no command '%s'%s%s%s", topic, nearest ? "; did you mean '" : "",
			nearest ? nearest : "", nearest ? "'?" : "");
	}
	if (cli->json)
		printf("%s\n", json_pretty(cli->ctx, json_make(cli->ctx, "{s:O}", "commands", list)));
	return 0;
}

int help_run(struct cli *cli, struct err *err)
{
	return help_print(cli, err);
}

int version_run(struct cli *cli, struct err *err)
{
	(void)err;
	if (cli->json)
		printf("{\"version\": \"%s\"}\n", UNSHIP_VERSION);
	else
		printf("unship %s\n", UNSHIP_VERSION);
	return 0;
}
