/* Arguments: argv into a command, the operation's input as JSON, and the common options.
 *
 * Whether an option takes a value must be known before the command is (options may stand anywhere): so all operations together are asked; that no name is a switch in one operation and takes a value in
 * another is checked by a test. Then the words that are left choose the command. */
#include <string.h>

#include "base/text.h"
#include "surface/cli/cli.h"

#define WORDS_MAX 32

struct common_option {
	const char *name, *letter;
	size_t offset;
	bool value;
};

static const struct common_option common_options[] = {
	{ "--dir", "-C", offsetof(struct cli, dir), true },         { "--server", NULL, offsetof(struct cli, server), true },
	{ "--json", NULL, offsetof(struct cli, json), false },      { "--quiet", "-q", offsetof(struct cli, quiet), false },
	{ "--yes", "-y", offsetof(struct cli, yes), false },        { "--no-input", NULL, offsetof(struct cli, no_input), false },
	{ "--confirm", NULL, offsetof(struct cli, confirm), true }, { "--output", "-o", offsetof(struct cli, output), true },
	{ "--watch", "-w", offsetof(struct cli, watch), false },    { "--interactive", "-i", offsetof(struct cli, interactive), false },
	{ "--help", "-h", offsetof(struct cli, help), false },      { "--verbose", "-v", offsetof(struct cli, verbose), false },
};

struct given {
	const char *name;  /* "git-sha", without dashes */
	const char *value; /* NULL: a switch */
	bool negated;
	bool used;
};

struct parsed {
	const char *words[WORDS_MAX + 1];
	size_t word_count;
	struct given *options;
	size_t option_count;
};

static char *kebab(const void *ctx, const char *name)
{
	char *text = mem_strdup(ctx, "");

	for (; *name; name++) {
		if (*name >= 'A' && *name <= 'Z')
			text = mem_appendf(text, "-%c", *name - 'A' + 'a');
		else
			text = mem_appendf(text, "%c", *name == '_' ? '-' : *name);
	}
	return text;
}

static char *field_option(const void *ctx, const struct field *field)
{
	char *name = field_name(ctx, field);

	return kebab(ctx, name);
}

char *args_option_name(const void *ctx, const struct field *field)
{
	return mem_printf(ctx, "--%s", field_option(ctx, field));
}

static const struct common_option *find_common(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(common_options); i++)
		if (!strcmp(text, common_options[i].name) || (common_options[i].letter && !strcmp(text, common_options[i].letter)))
			return &common_options[i];
	return NULL;
}

/* 1: takes a value, 0: a switch, -1: no operation knows it. */
static int takes_value(const void *ctx, const char *name)
{
	for (const struct operation *const *operation = operations; *operation; operation++)
		for (const struct field *field = (*operation)->fields; field->member; field++)
			if (!strcmp(field_option(ctx, field), name))
				return field->type != FIELD_TYPE_BOOL;
	return -1;
}

static void set_common(struct cli *cli, const struct common_option *option, const char *value)
{
	char *place = (char *)cli + option->offset;

	if (option->value)
		*(const char **)(void *)place = value;
	else
		*(bool *)(void *)place = true;
}

static int unknown_option(const void *ctx, const char *name, struct err *err)
{
	const char *names[512];
	const char *nearest;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(common_options); i++)
		names[count++] = common_options[i].name + 2;
	for (const struct operation *const *operation = operations; *operation; operation++)
		for (const struct field *field = (*operation)->fields; field->member && count < ARRAY_SIZE(names) - 1; field++)
			names[count++] = field_option(ctx, field);
	names[count] = NULL;
	nearest = text_nearest(name, names);
	return err_set(err, ERR_USAGE, "unknown option '--%s'%s%s%s", name, nearest ? "; did you mean '--" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* One option at argv[*index]. */
static int take_option(struct cli *cli, struct parsed *parsed, int argc, char **argv, int *index, struct err *err)
{
	char *text = mem_strdup(cli->ctx, argv[*index]), *equals = strchr(text, '=');
	const struct common_option *common;
	struct given given = { 0 };
	int wants;

	if (equals)
		*equals = '\0';
	if (!strcmp(text, "-n")) {
		given.name = "dry-run";
		wants = 0;
	} else {
		common = find_common(text);
		if (common) {
			if (common->value && !equals && *index + 1 >= argc)
				return err_set(err, ERR_USAGE, "option '%s' needs a value", text);
			if (!common->value && equals)
				return err_set(err, ERR_USAGE, "option '%s' takes no value", text);
			set_common(cli, common, equals ? equals + 1 : common->value ? argv[++*index] : NULL);
			return 0;
		}
		if (!text_starts_with(text, "--"))
			return err_set(err, ERR_USAGE, "unknown option '%s'", text);
		given.name = text + 2;
		wants = takes_value(cli->ctx, given.name);
		if (wants < 0 && text_starts_with(given.name, "no-")) {
			given.name += 3;
			given.negated = true;
			wants = takes_value(cli->ctx, given.name) == 0 ? 0 : -1;
		}
		if (wants < 0)
			return unknown_option(cli->ctx, text + 2, err);
	}
	if (wants && !equals && *index + 1 >= argc)
		return err_set(err, ERR_USAGE, "option '--%s' needs a value", given.name);
	if (!wants && equals)
		return err_set(err, ERR_USAGE, "option '--%s' takes no value", given.name);
	given.value = wants ? (equals ? equals + 1 : argv[++*index]) : NULL;
	parsed->options = mem_resize(cli->ctx, parsed->options, struct given, parsed->option_count + 1);
	parsed->options[parsed->option_count++] = given;
	return 0;
}

static int split(struct cli *cli, struct parsed *parsed, int argc, char **argv, struct err *err)
{
	bool words_only = false;
	int r;

	for (int i = 1; i < argc; i++) {
		if (!words_only && !strcmp(argv[i], "--")) {
			words_only = true;
			continue;
		}
		if (!words_only && argv[i][0] == '-' && argv[i][1]) {
			r = take_option(cli, parsed, argc, argv, &i, err);
			if (r < 0)
				return r;
			continue;
		}
		if (parsed->word_count == WORDS_MAX)
			return err_set(err, ERR_USAGE, "too many words");
		parsed->words[parsed->word_count++] = argv[i];
	}
	return 0;
}

/* How well the words fit a pattern: -1 not at all, else a score in which literals weigh most; *ret_complete: nothing is missing. Fills `input` when given. */
static int match(const void *ctx, const char *pattern, const struct parsed *parsed, json_t *input, bool *ret_complete)
{
	char **parts = text_split(ctx, pattern, ' ');
	size_t word = 0;
	int score = 0;

	*ret_complete = true;
	for (; *parts; parts++) {
		size_t length = strlen(*parts);
		bool optional;
		char *name;

		if ((*parts)[0] != '{') {
			if (word >= parsed->word_count || strcmp(*parts, parsed->words[word]) != 0)
				return -1;
			score += 10;
			word++;
			continue;
		}
		optional = (*parts)[length - 2] == '?';
		if (word >= parsed->word_count) {
			*ret_complete = *ret_complete && optional;
			continue;
		}
		name = mem_strndup(ctx, *parts + 1, length - 2 - optional);
		if (input)
			json_put_str(input, name, parsed->words[word]);
		score++;
		word++;
	}
	return word == parsed->word_count ? score : -1;
}

static int no_command(struct cli *cli, const struct parsed *parsed, struct err *err)
{
	const char *names[128], *nearest;
	size_t count = 0;

	for (const struct command *command = commands; command->pattern && count < ARRAY_SIZE(names) - 1; command++)
		names[count++] = text_split(cli->ctx, command->pattern, ' ')[0];
	names[count] = NULL;
	for (size_t i = 0; i < count; i++)
		if (!strcmp(names[i], parsed->words[0]))
			return err_set(err, ERR_USAGE, "'%s' is used otherwise: see `unship help %s`", parsed->words[0], parsed->words[0]);
	nearest = text_nearest(parsed->words[0], names);
	return err_set(err, ERR_USAGE, "unknown command '%s'%s%s%s", parsed->words[0], nearest ? "; did you mean '" : "", nearest ? nearest : "",
		nearest ? "'?" : "");
}

static int choose_command(struct cli *cli, const struct parsed *parsed, struct err *err)
{
	bool complete = true, best_complete = true;
	int best = -1;

	for (const struct command *command = commands; command->pattern; command++) {
		int score = match(cli->ctx, command->pattern, parsed, NULL, &complete);

		if (score > best) {
			best = score;
			best_complete = complete;
			cli->command = command;
		}
	}
	if (best < 0)
		return cli->help ? 0 : no_command(cli, parsed, err);
	if (!best_complete && !cli->help)
		return err_set(err, ERR_USAGE, "something is missing: unship %s", cli->command->pattern);
	match(cli->ctx, cli->command->pattern, parsed, cli->input, &complete);
	return 0;
}

static const struct field *find_field(const void *ctx, const struct operation *operation, const char *option)
{
	for (const struct field *field = operation->fields; field->member; field++)
		if (!strcmp(field_option(ctx, field), option))
			return field;
	return NULL;
}

static int give(struct cli *cli, const struct field *field, const struct given *given, struct err *err)
{
	const char *name = field_name(cli->ctx, field), *equals;
	json_t *present = json_object_get(cli->input, name);

	switch (field->type) {
	case FIELD_TYPE_BOOL:
		json_put_flag(cli->input, name, !given->negated);
		return 0;
	case FIELD_TYPE_INT: {
		int64_t number;
		int r = text_parse_int(given->value, INT64_MIN, INT64_MAX, &number, err);

		if (r < 0)
			return err_in(err, "option '--%s'", given->name);
		json_put_int(cli->input, name, number);
		return 0;
	}
	case FIELD_TYPE_LIST:
		if (!present) {
			present = json_array();
			json_object_set_new(cli->input, name, present);
		}
		json_array_append_new(present, json_string(given->value));
		return 0;
	case FIELD_TYPE_MAP:
		equals = strchr(given->value, '=');
		if (!equals || equals == given->value)
			return err_set(err, ERR_USAGE, "option '--%s' wants NAME=VALUE", given->name);
		if (!present) {
			present = json_object();
			json_object_set_new(cli->input, name, present);
		}
		json_put_str(present, mem_strndup(cli->ctx, given->value, (size_t)(equals - given->value)), equals + 1);
		return 0;
	default:
		if (present)
			return err_set(err, ERR_USAGE, "option '--%s' is given twice", given->name);
		json_put_str(cli->input, name, given->value);
		return 0;
	}
}

int args_parse(struct cli *cli, int argc, char **argv, struct err *err)
{
	struct parsed parsed = { 0 };
	const struct operation *operation;
	int r;

	cli->input = json_keep(cli->ctx, json_object());
	r = split(cli, &parsed, argc, argv, err);
	if (r < 0)
		return r;
	if (parsed.word_count == 0) {
		cli->help = true;
		return 0;
	}
	r = choose_command(cli, &parsed, err);
	if (r < 0 || cli->help)
		return r;
	operation = cli->command->operation ? operation_find(cli->command->operation) : NULL;
	for (size_t i = 0; i < parsed.option_count; i++) {
		const struct field *field = operation ? find_field(cli->ctx, operation, parsed.options[i].name) : NULL;

		if (!field)
			return err_set(err, ERR_USAGE, "`unship %s` has no option '--%s'", cli->command->pattern, parsed.options[i].name);
		r = give(cli, field, &parsed.options[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}
