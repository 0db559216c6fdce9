/* src/surface/cli/args.c: the tables that it reads fit together, and argv becomes the right command with the right input. */
#include "checks.h"

#include <string.h>

#include "base/text.h"
#include "surface/cli/cli.h"

#define WORDS(...) ((char *[]){ "unship", __VA_ARGS__, NULL })

static int count(char **argv)
{
	int words = 0;

	while (argv[words])
		words++;
	return words;
}

struct parsing {
	struct cli cli;
	struct err err;
	int code; /* what args_parse returned */
};

static struct parsing parse(void **state, char **argv)
{
	struct parsing parsing = { .cli = { .ctx = *state }, .err = ERR_INIT };

	parsing.code = args_parse(&parsing.cli, count(argv), argv, &parsing.err);
	return parsing;
}

static void refused(void **state, char **argv, const char *message)
{
	struct parsing parsing = parse(state, argv);

	assert_int_equal(parsing.code, -ERR_USAGE);
	if (!strstr(parsing.err.text, message))
		fail_msg("'%s' does not say '%s'", parsing.err.text, message);
}

static int setup(void **state)
{
	*state = mem_context(NULL);
	return 0;
}

static int teardown(void **state)
{
	talloc_free(*state);
	return 0;
}

/* Options are read before the command is known: no name may be a switch in one operation and take a value in another. */
static void test_switch_or_value(void **state)
{
	for (const struct operation *const *a = operations; *a; a++)
		for (const struct operation *const *b = a; *b; b++)
			for (const struct field *one = (*a)->fields; one->member; one++)
				for (const struct field *other = (*b)->fields; other->member; other++)
					if (!strcmp(args_option_name(*state, one), args_option_name(*state, other)) &&
						(one->type == FIELD_TYPE_BOOL) != (other->type == FIELD_TYPE_BOOL))
						fail_msg("%s is a switch in one of %s and %s, and takes a value in the other",
							args_option_name(*state, one), (*a)->name, (*b)->name);
}

/* Nor may an operation's option hide behind a common one, which is taken first. */
static void test_no_common_name(void **state)
{
	static const char *const common[] = { "--dir", "--server", "--ca", "--listen", "--json", "--quiet", "--yes", "--no-input",
		"--confirm", "--output", "--watch", "--interactive", "--help", "--verbose" };

	for (const struct operation *const *operation = operations; *operation; operation++)
		for (const struct field *field = (*operation)->fields; field->member; field++)
			for (size_t i = 0; i < ARRAY_SIZE(common); i++)
				if (!strcmp(args_option_name(*state, field), common[i]))
					fail_msg("%s of %s can never be given: it is a common option", common[i], (*operation)->name);
}

/* Every command's operation exists, every placeholder is one of its fields, and what is required can be given. */
static void test_commands_fit(void **state)
{
	for (const struct command *command = commands; command->pattern; command++) {
		const struct operation *operation = command->operation ? operation_find(command->operation) : NULL;

		assert_true(!command->operation || operation);
		assert_true(operation || command->run);
		assert_true(operation || command->summary);
		for (char **parts = text_split(*state, command->pattern, ' '); operation && *parts; parts++) {
			char *name = mem_strdup(*state, *parts);
			bool found = (*parts)[0] != '{';

			name[strcspn(name, "?}")] = '\0';
			for (const struct field *field = operation->fields; field->member && !found; field++)
				found = !strcmp(field_name(*state, field), name + 1);
			if (!found)
				fail_msg("'%s': %s has no field %s", command->pattern, command->operation, *parts);
		}
	}
}

/* A path that an operation can do without is sent to a server by what stands in it; what takes that is a field of the table, and no option. */
static void test_contents_of_paths(void **state)
{
	size_t found = 0;

	for (const struct operation *const *operation = operations; *operation; operation++)
		for (const struct field *field = (*operation)->fields; field->member; field++) {
			if (field->content && !field_content((*operation)->fields, field))
				fail_msg("%s: %s names no field for its content", (*operation)->name, field->member);
			found += field->content != NULL;
		}
	assert_true(found >= 4);
	refused(state, WORDS("rollback", "production", "--plan-document", "x"), "has no option '--plan-document'");
}

static void test_options_of_commands_that_are_no_operations(void **state)
{
	struct parsing parsing = parse(state, WORDS("login", "https://deploy.example.com", "--name", "ana"));

	assert_int_equal(parsing.code, 0);
	assert_string_equal(json_str(parsing.cli.input, "url", ""), "https://deploy.example.com");
	assert_string_equal(json_str(parsing.cli.input, "name", ""), "ana");
	refused(state, WORDS("whoami", "--name", "ana"), "has no option '--name'");
	refused(state, WORDS("serve", "--server", "https://deploy.example.com"), "works here");
}

/* And every operation has a command: there is nothing that the API can do and the command line cannot. */
static void test_operations_reached(void **state)
{
	(void)state;
	for (const struct operation *const *operation = operations; *operation; operation++) {
		bool found = false;

		for (const struct command *command = commands; command->pattern && !found; command++)
			found = command->operation && !strcmp(command->operation, (*operation)->name);
		if (!found)
			fail_msg("no command for %s", (*operation)->name);
	}
}

static void test_words_and_options_anywhere(void **state)
{
	char **forms[] = {
		WORDS("rollback", "production", "--reason", "it broke", "--dry-run"),
		WORDS("--dry-run", "--reason=it broke", "rollback", "production"),
		WORDS("rollback", "--reason", "it broke", "-n", "production"),
		WORDS("-n", "--reason", "it broke", "--", "rollback", "production"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct parsing parsing = parse(state, forms[i]);

		assert_int_equal(parsing.code, 0);
		assert_string_equal(parsing.cli.command->operation, "rollbacks.create");
		assert_string_equal(json_str(parsing.cli.input, "environment", ""), "production");
		assert_string_equal(json_str(parsing.cli.input, "reason", ""), "it broke");
		assert_true(json_flag(parsing.cli.input, "dryRun", false));
	}
}

/* What looks like an option is a value where a value is wanted, and a word after "--". */
static void test_values_that_look_like_options(void **state)
{
	struct parsing parsing = parse(state, WORDS("rollback", "production", "--reason", "--dry-run"));

	assert_int_equal(parsing.code, 0);
	assert_string_equal(json_str(parsing.cli.input, "reason", ""), "--dry-run");
	assert_false(json_flag(parsing.cli.input, "dryRun", false));

	parsing = parse(state, WORDS("rollback", "production", "--reason", "--json"));
	assert_false(parsing.cli.json);
	parsing = parse(state, WORDS("rollback", "production", "--reason=--json=x"));
	assert_string_equal(json_str(parsing.cli.input, "reason", ""), "--json=x");
	assert_false(parsing.cli.json);

	parsing = parse(state, WORDS("health", "--", "--json"));
	assert_int_equal(parsing.code, 0);
	assert_string_equal(json_str(parsing.cli.input, "environment", ""), "--json");
	assert_false(parsing.cli.json);

	parsing = parse(state, WORDS("health", "-"));
	assert_string_equal(json_str(parsing.cli.input, "environment", ""), "-");

	parsing = parse(state, WORDS("rollback", "production", "--reason="));
	assert_int_equal(parsing.code, 0);
	assert_string_equal(json_str(parsing.cli.input, "reason", "none"), "");
}

static void test_literals_win(void **state)
{
	struct parsing parsing = parse(state, WORDS("deployments", "show", "dep-1"));

	assert_string_equal(parsing.cli.command->operation, "deployments.show");
	assert_string_equal(json_str(parsing.cli.input, "id", ""), "dep-1");
	parsing = parse(state, WORDS("deployments", "production"));
	assert_string_equal(parsing.cli.command->operation, "deployments.list");
	parsing = parse(state, WORDS("plan", "check", "file.yaml"));
	assert_string_equal(parsing.cli.command->operation, "plans.check");
	parsing = parse(state, WORDS("status"));
	assert_string_equal(parsing.cli.command->pattern, "status {id?}");
	assert_null(json_object_get(parsing.cli.input, "id"));
}

static void test_lists_maps_negation(void **state)
{
	struct parsing parsing = parse(state, WORDS("rollback", "production", "--target", "api", "--target=web", "--no-preserve-data"));

	assert_int_equal(parsing.code, 0);
	assert_int_equal(json_array_size(json_object_get(parsing.cli.input, "target")), 2);
	assert_false(json_flag(parsing.cli.input, "preserveData", true));

	parsing = parse(state, WORDS("record", "production", "--version", "1.0.0", "--component", "api=sha256:a=b", "--component", "web="));
	assert_int_equal(parsing.code, 0);
	assert_string_equal(json_str(json_object_get(parsing.cli.input, "component"), "api", ""), "sha256:a=b");
	assert_string_equal(json_str(json_object_get(parsing.cli.input, "component"), "web", "none"), "");
	refused(state, WORDS("record", "production", "--version", "1", "--component", "=x"), "wants NAME=VALUE");
}

static void test_mistakes(void **state)
{
	refused(state, WORDS("rolback"), "did you mean 'rollback'?");
	refused(state, WORDS("rollback"), "unship rollback ENVIRONMENT");
	refused(state, WORDS("rollback", "production", "--raeson", "x"), "did you mean '--reason'?");
	refused(state, WORDS("rollback", "production", "--no-reason"), "unknown option '--no-reason'");
	refused(state, WORDS("rollback", "production", "--reason"), "needs a value");
	refused(state, WORDS("rollback", "production", "--reason", "a", "--reason", "b"), "given twice");
	refused(state, WORDS("-C", "a", "-C", "b", "status"), "given twice");
	refused(state, WORDS("status", "--json=yes"), "takes no value");
	refused(state, WORDS("status", "--limit", "5"), "has no option '--limit'");
	refused(state, WORDS("status", "--output", "x"), "has no option '--output'");
	refused(state, WORDS("record", "production"), "option '--version' is missing");
	refused(state, WORDS("--version", "1.0.0"), "");
	refused(state, WORDS("-"), "unknown command '-'");
	refused(state, WORDS("--="), "unknown option");
}

static void test_numbers(void **state)
{
	char *bad[] = { "", "x", "5x", "1e3", " 5", "99999999999999999999", "0x10" };
	struct parsing parsing = parse(state, WORDS("runs", "--limit", "-5"));

	assert_int_equal(parsing.code, 0); /* the range is the operation's to check */
	assert_int_equal(json_int(parsing.cli.input, "limit", 0), -5);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		parsing = parse(state, WORDS("runs", "--limit", bad[i]));
		assert_true(parsing.code < 0);
		assert_non_null(strstr(parsing.err.text, "--limit"));
	}
}

static void test_too_many_words(void **state)
{
	char *argv[64] = { "unship" };

	for (size_t i = 1; i < ARRAY_SIZE(argv) - 1; i++)
		argv[i] = "help";
	refused(state, argv, "too many words");
}

static void test_help_and_version(void **state)
{
	struct parsing parsing = parse(state, WORDS("rollback", "--help"));

	assert_int_equal(parsing.code, 0);
	assert_true(parsing.cli.help);
	assert_string_equal(parsing.cli.command->pattern, "rollback {environment}");
	parsing = parse(state, WORDS("flags", "-h"));
	assert_int_equal(parsing.code, 0);
	assert_string_equal(json_str(parsing.cli.input, "topic", ""), "flags");
	parsing = parse(state, (char *[]){ "unship", NULL });
	assert_true(parsing.code == 0 && parsing.cli.help);
	parsing = parse(state, (char *[]){ NULL }); /* started without even a name */
	assert_true(parsing.code == 0 && parsing.cli.help);
	refused(state, WORDS("rolback", "--help"), "did you mean 'rollback'?");
	parsing = parse(state, WORDS("-C", "/tmp", "--json", "--version"));
	assert_int_equal(parsing.code, 0);
	assert_string_equal(parsing.cli.command->pattern, "version");
}

/* The answer to a wrong command is a document as well, wherever --json stands. */
static void test_json_before_the_mistake_or_after(void **state)
{
	struct parsing parsing = parse(state, WORDS("status", "--bogus", "--json"));

	assert_true(parsing.code < 0 && parsing.cli.json);
	parsing = parse(state, WORDS("--json", "rolback"));
	assert_true(parsing.code < 0 && parsing.cli.json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_switch_or_value, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_common_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commands_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_operations_reached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contents_of_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_options_of_commands_that_are_no_operations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_words_and_options_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_that_look_like_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_literals_win, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists_maps_negation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_help_and_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json_before_the_mistake_or_after, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
