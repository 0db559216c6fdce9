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
	{ "--dir", "-C", offsetof(struct cli, dir), true },
	{ "--server", NULL, offsetof(struct cli, server), true },
	{ "--ca", NULL, offsetof(struct cli, ca), true },
	{ "--json", NULL, offsetof(struct cli, json), false },
	{ "--quiet", "-q", offsetof(struct cli, quiet), false },
	{ "--yes", "-y", offsetof(struct cli, yes), false },
	{ "--no-input", NULL, offsetof(struct cli, no_input), false },
	{ "--confirm", NULL, offsetof(struct cli, confirm), true },
	{ "--output", "-o", offsetof(struct cli, output), true },
	{ "--listen", NULL, offsetof(struct cli, listen), true },
	{ "--watch", "-w", offsetof(struct cli, watch), false },
	{ "--interactive", "-i", offsetof(struct cli, interactive), false },
	{ "--help", "-h", offsetof(struct cli, help), false },
	{ "--verbose", "-v", offsetof(struct cli, verbose), false },
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
	for (const struct command *command = commands; command->pattern; command++)
		for (const struct field *field = command_fields(command); field->member; field++)
			if (!strcmp(field_option(ctx, field), name))
				return field->type != FIELD_TYPE_BOOL && field->type != FIELD_TYPE_PASSWORD;
	return -1;
}

static int set_common(struct cli *cli, const struct common_option *option, const char *value, struct err *err)
{
	char *place = (char *)cli + option->offset;

	if (!option->value)
		*(bool *)(void *)place = true;
	else if (*(const char **)(void *)place)
		return err_set(err, ERR_USAGE, "option '%s' is given twice", option->name);
	else
		*(const char **)(void *)place = value;
	return 0;
}

static int unknown_option(const void *ctx, const char *name, struct err *err)
{
	const char *names[512];
	const char *nearest;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(common_options); i++)
		names[count++] = common_options[i].name + 2;
	for (const struct command *command = commands; command->pattern; command++)
		for (const struct field *field = command_fields(command); field->member && count < ARRAY_SIZE(names) - 1; field++)
			names[count++] = field_option(ctx, field);
	names[count] = NULL;
	nearest = text_nearest(name, names);
	return err_set(err, ERR_USAGE, "unknown option '--%s'%s%s%s", name, nearest ? "; did you mean '--" : "", nearest ? nearest : "",
		nearest ? "'?" : "");
}

/* The words of a command line while they are read. */
struct words {
	int argc;
	char **argv;
	int index;
};

/* What belongs to the option: after its "=", or the next word when it wants one. */
static int take_value(struct words *words, const char *option, const char *after_equals, bool wants, const char **ret, struct err *err)
{
	*ret = after_equals;
	if (!wants && after_equals)
		return err_set(err, ERR_USAGE, "option '%s' takes no value", option);
	if (!wants || after_equals)
		return 0;
	if (words->index + 1 >= words->argc)
		return err_set(err, ERR_USAGE, "option '%s' needs a value", option);
	*ret = words->argv[++words->index];
	return 0;
}

/* --name, --no-name or -n of some operation. 1: it takes a value, 0: a switch. */
static int name_option(struct cli *cli, const char *text, struct given *given, struct err *err)
{
	int wants;

	if (!strcmp(text, "-n")) {
		given->name = "dry-run";
		return 0;
	}
	if (!text_starts_with(text, "--"))
		return err_set(err, ERR_USAGE, "unknown option '%s'", text);
	given->name = text + 2;
	wants = takes_value(cli->ctx, given->name);
	if (wants < 0 && text_starts_with(given->name, "no-")) {
		given->name += 3;
		given->negated = true;
		wants = takes_value(cli->ctx, given->name) == 0 ? 0 : -1;
	}
	return wants < 0 ? unknown_option(cli->ctx, text + 2, err) : wants;
}

/* One option at words->index. */
static int take_option(struct cli *cli, struct parsed *parsed, struct words *words, struct err *err)
{
	char *text = mem_strdup(cli->ctx, words->argv[words->index]), *equals = strchr(text, '=');
	const struct common_option *common;
	struct given given = { 0 };
	const char *value;
	int r;

	if (equals)
		*equals = '\0';
	common = find_common(text);
	if (common) {
		r = take_value(words, text, equals ? equals + 1 : NULL, common->value, &value, err);
		return r < 0 ? r : set_common(cli, common, value, err);
	}
	r = name_option(cli, text, &given, err);
	if (r < 0)
		return r;
	r = take_value(words, text, equals ? equals + 1 : NULL, r, &given.value, err);
	if (r < 0)
		return r;
	parsed->options = mem_resize(cli->ctx, parsed->options, struct given, parsed->option_count + 1);
	parsed->options[parsed->option_count++] = given;
	return 0;
}

static int split(struct cli *cli, struct parsed *parsed, int argc, char **argv, struct err *err)
{
	struct words words = { .argc = argc, .argv = argv };
	bool words_only = false;
	int r;

	for (words.index = 1; words.index < argc; words.index++) {
		const char *word = argv[words.index];

		if (!words_only && !strcmp(word, "--")) {
			words_only = true;
			continue;
		}
		if (!words_only && word[0] == '-' && word[1]) {
			r = take_option(cli, parsed, &words, err);
			if (r < 0)
				return r;
			continue;
		}
		if (parsed->word_count == WORDS_MAX)
			return err_set(err, ERR_USAGE, "too many words");
		parsed->words[parsed->word_count++] = word;
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

/* The forms of a command, for a message: "audit verify, audit search". */
static char *forms_of(const void *ctx, const char *first)
{
	char *forms = mem_strdup(ctx, "");

	for (const struct command *command = commands; command->pattern; command++)
		if (!strcmp(text_split(ctx, command->pattern, ' ')[0], first))
			forms = mem_appendf(forms, "%s`unship %s`", *forms ? ", " : "", command_usage(ctx, command->pattern));
	return forms;
}

/* The words fit no pattern. Names the nearest: of the first words, or of the literals that follow a right first word. */
static int no_command(const void *ctx, const struct parsed *parsed, struct err *err)
{
	const char *first = parsed->words[0], *firsts[128], *others[128], *nearest;
	size_t first_count = 0, other_count = 0;
	bool known = false;

	for (const struct command *command = commands; command->pattern && first_count < ARRAY_SIZE(firsts) - 1; command++) {
		char **parts = text_split(ctx, command->pattern, ' ');

		firsts[first_count++] = parts[0];
		if (strcmp(parts[0], first) != 0)
			continue;
		known = true;
		for (parts++; *parts && other_count < ARRAY_SIZE(others) - 1; parts++)
			if ((*parts)[0] != '{')
				others[other_count++] = *parts;
	}
	firsts[first_count] = others[other_count] = NULL;
	if (!known) {
		nearest = text_nearest(first, firsts);
		return err_set(err, ERR_USAGE, "unknown command '%s'%s%s%s", first, nearest ? "; did you mean '" : "",
			nearest ? nearest : "", nearest ? "'?" : "");
	}
	for (size_t i = 1; i < parsed->word_count; i++) {
		nearest = text_nearest(parsed->words[i], others);
		if (nearest && strcmp(nearest, parsed->words[i]) != 0)
			return err_set(err, ERR_USAGE, "'%s' is not known here; did you mean '%s'? There is %s", parsed->words[i], nearest,
				forms_of(ctx, first));
	}
	return err_set(err, ERR_USAGE, "'%s' is used as %s", first, forms_of(ctx, first));
}

/* Help was asked for: of one form when the words choose one, else of all forms of the first word. */
static int choose_help(struct cli *cli, const struct parsed *parsed, struct err *err)
{
	size_t forms = 0;

	for (const struct command *command = commands; command->pattern; command++)
		forms += !strcmp(text_split(cli->ctx, command->pattern, ' ')[0], parsed->words[0]);
	if (!forms)
		return no_command(cli->ctx, parsed, err);
	if (!cli->command || (parsed->word_count == 1 && forms > 1)) {
		cli->command = NULL;
		json_put_str(cli->input, "topic", parsed->words[0]);
	}
	return 0;
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
	if (cli->help)
		return choose_help(cli, parsed, err);
	if (best < 0)
		return no_command(cli->ctx, parsed, err);
	if (!best_complete)
		return err_set(err, ERR_USAGE, "something is missing: unship %s", command_usage(cli->ctx, cli->command->pattern));
	match(cli->ctx, cli->command->pattern, parsed, cli->input, &complete);
	return 0;
}

/* What stands in a file is no option: the file is. */
static const struct field *find_field(const void *ctx, const struct command *command, const char *option)
{
	for (const struct field *fields = command_fields(command), *field = fields; field->member; field++)
		if (!field_is_content(fields, field) && !strcmp(field_option(ctx, field), option))
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
	case FIELD_TYPE_PASSWORD: /* a switch: cli.c asks for it, so that it stands in no list of processes and no history */
		json_put_flag(cli->input, name, true);
		return 0;
	case FIELD_TYPE_INT: {
		int64_t number;
		int r = text_parse_int(given->value, INT64_MIN, INT64_MAX, &number, err);

		if (r < 0)
			return err_in(err, "option '--%s'", given->name);
		if (present)
			return err_set(err, ERR_USAGE, "option '--%s' is given twice", given->name);
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

/* Common options that mean something only to some commands: nothing that was written is passed over in silence. */
static int check_common(const struct cli *cli, struct err *err)
{
	const char *extra = cli->command->extra ? cli->command->extra : "";
	const struct {
		const char *name;
		bool given;
	} some[] = {
		{ "watch", cli->watch },
		{ "interactive", cli->interactive },
		{ "output", cli->output },
		{ "listen", cli->listen },
		{ "confirm", cli->confirm },
	};

	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		if (some[i].given && !strstr(extra, some[i].name))
			return err_set(err, ERR_USAGE, "`unship %s` has no option '--%s'", command_usage(cli->ctx, cli->command->pattern),
				some[i].name);
	if ((cli->server || cli->ca) && !cli->command->operation && !strstr(extra, "server"))
		return err_set(err, ERR_USAGE, "`unship %s` works here, not on a server: leave --server and --ca away",
			command_usage(cli->ctx, cli->command->pattern));
	return 0;
}

/* In the words of the command line, before anything is opened. */
static int check_required(const struct cli *cli, const struct operation *operation, struct err *err)
{
	for (const struct field *field = operation->fields; field->member; field++)
		if (field->required && !json_object_get(cli->input, field_name(cli->ctx, field)))
			return err_set(err, ERR_USAGE, "option '%s' is missing: %s", args_option_name(cli->ctx, field), field->help);
	return 0;
}

/* `unship --version` and `-V`, as everywhere else; with a command `--version` is an option of that command. */
static bool asks_version(struct cli *cli, int argc, char **argv)
{
	bool asked = false, json = false;

	for (int i = 1; i < argc; i++) {
		const struct common_option *common = find_common(argv[i]);

		if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "-V"))
			asked = true;
		else if (!common)
			return false;
		json = json || !strcmp(argv[i], "--json");
		i += common && common->value;
	}
	if (asked)
		cli->json = json;
	return asked;
}

static int take_options(struct cli *cli, const struct parsed *parsed, struct err *err)
{
	for (size_t i = 0; i < parsed->option_count; i++) {
		const struct field *field = find_field(cli->ctx, cli->command, parsed->options[i].name);
		int r;

		if (!field)
			return err_set(err, ERR_USAGE, "`unship %s` has no option '--%s'", command_usage(cli->ctx, cli->command->pattern),
				parsed->options[i].name);
		r = give(cli, field, &parsed->options[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse(struct cli *cli, int argc, char **argv, struct err *err)
{
	char *version[] = { argv[0], (char[]){ "version" }, NULL };
	struct parsed parsed = { 0 };
	const struct operation *operation;
	int r;

	cli->input = json_keep(cli->ctx, json_object());
	if (asks_version(cli, argc, argv)) {
		argc = 2;
		argv = version;
	}
	r = split(cli, &parsed, argc, argv, err);
	if (r < 0)
		return r;
	if (parsed.word_count == 0) {
		if (parsed.option_count)
			return err_set(err, ERR_USAGE, "option '--%s' needs a command before it", parsed.options[0].name);
		cli->help = true;
		return 0;
	}
	r = choose_command(cli, &parsed, err);
	if (r < 0 || cli->help)
		return r;
	operation = cli->command->operation ? operation_find(cli->command->operation) : NULL;
	r = take_options(cli, &parsed, err);
	if (r == 0)
		r = check_common(cli, err);
	if (r == 0 && operation)
		r = check_required(cli, operation, err);
	return r;
}

int args_parse(struct cli *cli, int argc, char **argv, struct err *err)
{
	int r;

	r = parse(cli, argc, argv, err);
	for (int i = 1; r < 0 && i < argc && strcmp(argv[i], "--") != 0; i++)
		cli->json = cli->json || !strcmp(argv[i], "--json"); /* it may stand after the mistake: the error is a document then, too */
	return r;
}
