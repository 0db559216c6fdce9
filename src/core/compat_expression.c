/* Reads the expressions of CHECK constraints and defaults, in the spelling of each engine's catalogue, as far as they are a conjunction of comparisons between a column (or its length) and constants:
 * `price >= 0 AND state IN ('new', 'paid')`. Anything else is not read at all. Pure; any thread. */
#include "core/compat_expression.h"

#include <stdlib.h>
#include <strings.h>

#include "base/text.h"

#define TOKENS_MAX 400

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_NUMBER, TOKEN_STRING, TOKEN_SIGN };

struct token {
	enum token_kind kind;
	char *text;  /* without quotes; names without quotes in lower case */
	bool quoted; /* a name that is no keyword */
};

struct tokens {
	const void *ctx;
	enum compat_engine engine;
	struct token list[TOKENS_MAX + 1];
	size_t count, at;
};

/* ---- tokens ---- */

/* Of what stands between quotes, with them; a doubled one does not end it. 0: it has no end. */
static size_t quoted_length(const char *text, char end)
{
	for (size_t i = 1; text[i]; i++) {
		if (text[i] != end)
			continue;
		if (text[i + 1] != end)
			return i + 1;
		i++;
	}
	return 0;
}

static char *unquote(const void *ctx, const char *text, size_t length)
{
	char *result = mem_strndup(ctx, text + 1, length - 2), *to = result, end = text[length - 1];

	for (const char *from = result; *from; from++) {
		*to++ = *from;
		from += *from == end && from[1] == end;
	}
	*to = 0;
	return result;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80;
}

static size_t sign_length(const char *text)
{
	static const char *const signs[] = { "::", ">=", "<=", "<>", "!=", "==", "||" };

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (text_starts_with(text, signs[i]))
			return 2;
	return 1;
}

/* The character that ends what is quoted here; 0: nothing is. Brackets quote names in SQLite; in PostgreSQL they are arrays. */
static char quote_end(enum compat_engine engine, char c)
{
	if (c == '[')
		return engine == ENGINE_SQLITE ? ']' : 0;
	return c == '\'' || c == '"' || c == '`' ? c : 0;
}

/* The length of the token at `text`; 0: it cannot be read. */
static size_t read_token(const struct tokens *tokens, const char *text, struct token *ret)
{
	char end = quote_end(tokens->engine, *text);
	size_t length = 0;

	*ret = (struct token){ .kind = TOKEN_SIGN };
	if (end) {
		length = quoted_length(text, end);
		if (length == 0 || memchr(text, '\\', length))
			return 0;
		*ret = (struct token){ .kind = end == '\'' ? TOKEN_STRING : TOKEN_NAME,
			.text = unquote(tokens->ctx, text, length),
			.quoted = true };
		return length;
	}
	if (*text >= '0' && *text <= '9') {
		length = strspn(text, "0123456789.");
		ret->kind = TOKEN_NUMBER;
	} else if (is_word(*text)) {
		while (is_word(text[length]))
			length++;
		ret->kind = TOKEN_NAME;
	} else {
		length = sign_length(text);
	}
	ret->text = mem_strndup(tokens->ctx, text, length);
	for (char *c = ret->text; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
	return length;
}

static bool read_tokens(const void *ctx, enum compat_engine engine, const char *text, struct tokens *ret)
{
	ret->ctx = ctx;
	ret->engine = engine;
	ret->count = ret->at = 0;
	for (text += strspn(text, " \t\r\n"); *text; text += strspn(text, " \t\r\n")) {
		size_t length = ret->count < TOKENS_MAX ? read_token(ret, text, &ret->list[ret->count]) : 0;

		if (length == 0)
			return false;
		ret->count++;
		text += length;
	}
	ret->list[ret->count] = (struct token){ .kind = TOKEN_END, .text = mem_strdup(ctx, "") };
	return true;
}

/* The next token, when it is this keyword or sign. */
static bool take(struct tokens *tokens, const char *text)
{
	const struct token *token = &tokens->list[tokens->at];

	if ((token->kind != TOKEN_NAME && token->kind != TOKEN_SIGN) || token->quoted || strcmp(token->text, text) != 0)
		return false;
	tokens->at++;
	return true;
}

/* ---- reading ---- */

/* ::numeric(10,2), ::character varying, ::text[]. *ret: the first word of the type. False: none that can be read. */
static bool take_cast(struct tokens *tokens, const char **ret)
{
	static const char *const more[] = { "varying", "precision", "without", "with", "time", "zone" };

	*ret = NULL;
	while (take(tokens, "::")) {
		if (tokens->list[tokens->at].kind != TOKEN_NAME)
			return false;
		*ret = tokens->list[tokens->at++].text;
		for (size_t i = 0; i < ARRAY_SIZE(more); i++)
			if (take(tokens, more[i]))
				i = SIZE_MAX; /* from the beginning */
		if (take(tokens, "(")) {
			while (tokens->at < tokens->count && !take(tokens, ")"))
				tokens->at++;
		}
		if (take(tokens, "[") && !take(tokens, "]"))
			return false;
	}
	return true;
}

static bool is_one_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(text, *list))
			return true;
	return false;
}

/* Casts that change nothing about a comparison. */
static bool is_plain_cast(const char *type)
{
	static const char *const plain[] = { "text", "character", "varchar", "bpchar", "numeric", NULL };

	return !type || is_one_of(type, plain);
}

static bool read_value(struct tokens *tokens, struct check_value *ret)
{
	static const char *const numeric[] = { "integer", "bigint", "smallint", "numeric", "real", "double", NULL };
	const struct token *token;
	bool minus, in_brackets = take(tokens, "(");
	const char *cast;
	char *end;

	minus = take(tokens, "-");
	token = &tokens->list[tokens->at];
	if (token->kind != TOKEN_NUMBER && (token->kind != TOKEN_STRING || minus))
		return false;
	tokens->at++;
	if (!take_cast(tokens, &cast) || (in_brackets && !take(tokens, ")")))
		return false;
	*ret = (struct check_value){ .text = minus ? mem_printf(tokens->ctx, "-%s", token->text) : token->text };
	if (in_brackets && !cast && !take_cast(tokens, &cast))
		return false;
	/* PostgreSQL writes a negative number as '-5'::integer. */
	ret->is_number = token->kind == TOKEN_NUMBER || (cast && is_one_of(cast, numeric));
	ret->number = ret->is_number ? strtold(ret->text, &end) : 0;
	return !ret->is_number || *end == 0;
}

/* A column, or the length of one. */
static bool read_operand(struct tokens *tokens, struct check_atom *ret)
{
	static const char *const keywords[] = { "not", "null", "case", "exists", "select", "array", "true", "false", NULL };
	static const char *const characters[] = { "length", "char_length", "character_length", NULL };
	const struct token *token = &tokens->list[tokens->at];
	const char *cast;

	if (take(tokens, "(")) {
		if (!read_operand(tokens, ret) || !take(tokens, ")"))
			return false;
	} else {
		if (token->kind != TOKEN_NAME || (!token->quoted && is_one_of(token->text, keywords)))
			return false;
		tokens->at++;
		if (!token->quoted && is_one_of(token->text, characters) && take(tokens, "(")) {
			/* Of bytes in MySQL, but for the two others. */
			const char *unit = tokens->engine == ENGINE_MYSQL && *token->text == 'l' ? "octet_length" : "char_length";

			if (!read_operand(tokens, ret) || ret->operand != ret->column || !take(tokens, ")"))
				return false;
			ret->operand = mem_printf(tokens->ctx, "%s(%s)", unit, ret->column);
		} else {
			ret->operand = ret->column = token->text;
		}
	}
	return take_cast(tokens, &cast) && is_plain_cast(cast);
}

static bool add_value(struct tokens *tokens, struct check_atom *atom)
{
	struct check_value value;

	if (!read_value(tokens, &value))
		return false;
	atom->values = mem_resize(tokens->ctx, atom->values, struct check_value, atom->value_count + 1);
	atom->values[atom->value_count++] = value;
	return true;
}

static bool read_list(struct tokens *tokens, struct check_atom *atom, const char *end)
{
	do
		if (!add_value(tokens, atom))
			return false;
	while (take(tokens, ","));
	return take(tokens, end);
}

/* = ANY (ARRAY['a'::text, 'b'::text]), with more brackets and casts around. */
static bool read_any(struct tokens *tokens, struct check_atom *atom)
{
	size_t brackets = 0;
	const char *cast;

	while (take(tokens, "("))
		brackets++;
	if (brackets == 0 || !take(tokens, "array") || !take(tokens, "[") || !read_list(tokens, atom, "]"))
		return false;
	for (; brackets > 0; brackets--)
		if (!take_cast(tokens, &cast) || !take(tokens, ")"))
			return false;
	atom->is = IS_IN;
	return true;
}

static bool read_sign(struct tokens *tokens, enum check_comparison *ret)
{
	static const struct {
		const char *sign;
		enum check_comparison is;
	} signs[] = {
		{ "<", IS_LESS },
		{ "<=", IS_LESS_EQUAL },
		{ ">", IS_GREATER },
		{ ">=", IS_GREATER_EQUAL },
		{ "=", IS_EQUAL },
		{ "==", IS_EQUAL },
		{ "<>", IS_NOT_EQUAL },
		{ "!=", IS_NOT_EQUAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (take(tokens, signs[i].sign)) {
			*ret = signs[i].is;
			return true;
		}
	return false;
}

struct check_atom *check_add_atom(struct check_atoms *atoms, const struct check_atom *atom)
{
	if (atoms->count == CHECK_ATOMS_MAX)
		return NULL;
	atoms->list[atoms->count] = *atom;
	return &atoms->list[atoms->count++];
}

static bool read_between(struct tokens *tokens, struct check_atom *atom, struct check_atoms *atoms)
{
	struct check_atom upper = *atom;

	atom->is = IS_GREATER_EQUAL;
	upper.is = IS_LESS_EQUAL;
	return add_value(tokens, atom) && take(tokens, "and") && add_value(tokens, &upper) && check_add_atom(atoms, atom) &&
		check_add_atom(atoms, &upper);
}

static bool read_comparison(struct tokens *tokens, struct check_atoms *atoms)
{
	struct check_atom atom = { 0 };

	if (!read_operand(tokens, &atom))
		return false;
	if (take(tokens, "is")) {
		atom.is = IS_NOT_NULL;
		return take(tokens, "not") && take(tokens, "null") && check_add_atom(atoms, &atom);
	}
	if (take(tokens, "between"))
		return read_between(tokens, &atom, atoms);
	if (take(tokens, "in")) {
		atom.is = IS_IN;
		return take(tokens, "(") && read_list(tokens, &atom, ")") && check_add_atom(atoms, &atom);
	}
	if (!read_sign(tokens, &atom.is))
		return false;
	if (atom.is == IS_EQUAL && take(tokens, "any"))
		return read_any(tokens, &atom) && check_add_atom(atoms, &atom);
	return add_value(tokens, &atom) && check_add_atom(atoms, &atom);
}

static bool read_conjunction(struct tokens *tokens, struct check_atoms *atoms, unsigned depth);

static bool read_term(struct tokens *tokens, struct check_atoms *atoms, unsigned depth)
{
	size_t at = tokens->at, count = atoms->count;

	if (depth < 32 && take(tokens, "(") && read_conjunction(tokens, atoms, depth + 1) && take(tokens, ")"))
		return true;
	/* The bracket was about an operand, or there was none. */
	tokens->at = at;
	atoms->count = count;
	return read_comparison(tokens, atoms);
}

static bool read_conjunction(struct tokens *tokens, struct check_atoms *atoms, unsigned depth)
{
	do
		if (!read_term(tokens, atoms, depth))
			return false;
	while (take(tokens, "and"));
	return true;
}

bool check_read(const void *ctx, enum compat_engine engine, const char *text, struct check_atoms *atoms)
{
	struct tokens *tokens = mem_zero(ctx, struct tokens);
	size_t count = atoms->count;
	bool is_check;

	if (!read_tokens(ctx, engine, text, tokens))
		return false;
	is_check = take(tokens, "check");
	if (read_conjunction(tokens, atoms, 0)) {
		if (is_check && take(tokens, "not"))
			(void)take(tokens, "valid");
		if (tokens->at == tokens->count)
			return true;
	}
	atoms->count = count;
	return false;
}

bool check_read_constant(const void *ctx, enum compat_engine engine, const char *text, const char *column, struct check_atoms *atoms)
{
	struct tokens *tokens = mem_zero(ctx, struct tokens);
	struct check_atom atom = { .operand = column, .column = column, .is = IS_EQUAL };

	return read_tokens(ctx, engine, text, tokens) && add_value(tokens, &atom) && tokens->at == tokens->count &&
		check_add_atom(atoms, &atom);
}

bool check_same_name(enum compat_engine engine, const char *a, const char *b)
{
	return engine == ENGINE_POSTGRES ? strcmp(a, b) == 0 : strcasecmp(a, b) == 0;
}

bool check_names(const void *ctx, enum compat_engine engine, const char *text, const char *column)
{
	struct tokens *tokens = mem_zero(ctx, struct tokens);

	if (!read_tokens(ctx, engine, text, tokens))
		return true;
	for (size_t i = 0; i < tokens->count; i++)
		if (tokens->list[i].kind == TOKEN_NAME && check_same_name(engine, tokens->list[i].text, column))
			return true;
	return false;
}
