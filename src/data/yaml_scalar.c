/* Plain scalars: the core schema of YAML 1.2, matched by hand because the rules are three lines long and exact. Also the translation of
 * libyaml's errors, which speak to people who write parsers, into sentences for people who write files.
 * strtod is used in the C locale: the program never sets LC_NUMERIC.
 * Threads: any; no state. */
#include "data/yaml_scalar.h"

#include <errno.h>
#include <math.h>

#include "base/text.h"

#define TOO_LARGE "the number is too large for 64 bits; if it is text, put it in quotes"

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static const char *const null_words[] = { "", "~", "null", "Null", "NULL", NULL };
static const char *const true_words[] = { "true", "True", "TRUE", NULL };
static const char *const false_words[] = { "false", "False", "FALSE", NULL };
static const char *const infinite_words[] = { ".inf", ".Inf", ".INF", NULL };
static const char *const nan_words[] = { ".nan", ".NaN", ".NAN", NULL };

static size_t digits(const char *text, const char *allowed)
{
	return strspn(text, allowed);
}

/* 10, 8 or 16 for the form of an integer, 0 for anything else. *ret_digits: where they start. */
static int integer_base(const char *text, const char **ret_digits)
{
	const char *p = text;
	size_t n;

	if (p[0] == '0' && (p[1] == 'o' || p[1] == 'x')) {
		n = digits(p + 2, p[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF");
		*ret_digits = p + 2;
		return n > 0 && !p[2 + n] ? (p[1] == 'o' ? 8 : 16) : 0;
	}
	if (*p == '-' || *p == '+')
		p++;
	n = digits(p, "0123456789");
	*ret_digits = text;
	return n > 0 && !p[n] ? 10 : 0;
}

/* [-+]? ( \.[0-9]+ | [0-9]+ ( \.[0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_real(const char *p)
{
	size_t whole, fraction = 0;

	if (*p == '-' || *p == '+')
		p++;
	whole = digits(p, "0123456789");
	p += whole;
	if (*p == '.') {
		fraction = digits(p + 1, "0123456789");
		p += 1 + fraction;
	}
	if (whole == 0 && fraction == 0)
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '-' || *p == '+')
			p++;
		whole = digits(p, "0123456789");
		return whole > 0 && !p[whole];
	}
	return !*p;
}

static json_t *number(const char *text, const char **ret_problem)
{
	const char *unsigned_text = text + (*text == '-' || *text == '+');
	const char *from = text;
	int base = integer_base(text, &from);
	long long whole;
	double real;

	*ret_problem = NULL;
	if (base > 0) {
		errno = 0;
		whole = strtoll(from, NULL, base);
		if (errno == 0)
			return json_integer(whole);
		*ret_problem = TOO_LARGE;
	} else if (is_real(text)) {
		real = strtod(text, NULL);
		if (isfinite(real))
			return json_real(real);
		*ret_problem = TOO_LARGE;
	} else if (one_of(unsigned_text, infinite_words) || one_of(text, nan_words)) {
		*ret_problem = "infinity and not-a-number are no values here; if it is text, put it in quotes";
	}
	return NULL;
}

json_t *yaml_plain(const char *text, size_t length, const char **ret_problem)
{
	json_t *value;

	*ret_problem = NULL;
	if (one_of(text, null_words))
		return json_null();
	if (one_of(text, true_words))
		return json_true();
	if (one_of(text, false_words))
		return json_false();
	value = number(text, ret_problem);
	if (value || *ret_problem)
		return value;
	return json_stringn(text, length);
}

/* True when the blanks that a line (counted from 0) starts with contain a tab. */
static bool indented_by_tab(const char *text, size_t size, size_t line)
{
	const char *p = text, *end = text + size;

	for (; line > 0 && p; line--) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (p)
			p++;
	}
	for (; p && p < end && (*p == ' ' || *p == '\t'); p++)
		if (*p == '\t')
			return true;
	return false;
}

struct phrase {
	const char *problem, *words;
};

static const struct phrase phrases[] = {
	{ "mapping values are not allowed", "a ':' where no key can be; check the indentation, or put the value in quotes" },
	{ "did not find expected key", "a key is expected here; check the indentation of this line and of the one above" },
	{ "could not find expected ':'", "this line has no ':' after its key" },
	{ "did not find expected '-' indicator", "this line does not fit into the list above; check its indentation" },
	{ "did not find expected ',' or ']'", "a ',' or the ']' of the list is missing" },
	{ "did not find expected ',' or '}'", "a ',' or the '}' of the mapping is missing" },
	{ "found unexpected end of stream", "the quote is never closed" },
	{ "found unexpected document indicator", "the quote is not closed before the end of the document" },
	{ "found unknown escape character",
		"unknown escape after '\\' in double quotes; in single quotes a backslash is just a backslash" },
	{ "block sequence entries are not allowed", "a '-' where no list item can be; put it on a line of its own" },
	{ "block mapping keys are not allowed", "a key where none can be; put it on a line of its own" },
	{ "did not find expected <document start>", "text where no value can be; check the indentation of this line" },
	{ "did not find expected node content", "a value is expected here" },
	{ "found a tab character", "a tab in the indentation; YAML wants blanks" },
	{ "found undefined tag handle", "unknown tag; if the text begins with '!', put it in quotes" },
	{ "found duplicate %YAML directive", "two %YAML lines" },
	{ "found incompatible YAML document", "this version of YAML is not known; leave the %YAML line out" },
	{ "control characters are not allowed", "a control character; write it as an escape in double quotes" },
};

char *yaml_explain(const void *ctx, const yaml_parser_t *parser, const char *text, size_t size)
{
	const char *problem = parser->problem ? parser->problem : "not valid YAML";

	if (strstr(problem, "cannot start any token")) {
		if (indented_by_tab(text, size, parser->problem_mark.line))
			return mem_strdup(ctx, "a tab in the indentation; YAML wants blanks");
		return mem_strdup(ctx, "a value cannot begin with this character; put it in quotes");
	}
	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
		if (strstr(problem, phrases[i].problem))
			return mem_strdup(ctx, phrases[i].words);
	if (parser->context)
		return mem_printf(ctx, "not valid YAML: %s (%s)", problem, parser->context);
	return mem_printf(ctx, "not valid YAML: %s", problem);
}
