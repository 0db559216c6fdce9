/* What compat_checks.c needs to know of an expression: the comparisons that it is a conjunction of. Pure; any thread. */
#ifndef CORE_COMPAT_EXPRESSION_H
#define CORE_COMPAT_EXPRESSION_H

#include "core/compat_rules.h"

#define CHECK_ATOMS_MAX 64

/* A constant, or the bound of a comparison. */
struct check_value {
	const char *text;
	bool is_number;
	long double number;
};

enum check_comparison { IS_LESS, IS_LESS_EQUAL, IS_GREATER, IS_GREATER_EQUAL, IS_EQUAL, IS_NOT_EQUAL, IS_IN, IS_NOT_NULL };

/* `operand` is a column, or "char_length(COLUMN)" and its like. */
struct check_atom {
	const char *operand, *column;
	enum check_comparison is;
	struct check_value *values;
	size_t value_count;
};

struct check_atoms {
	struct check_atom list[CHECK_ATOMS_MAX];
	size_t count;
};

/* Adds the comparisons of an expression. False: it is something else, or there are too many; nothing is added then. */
bool check_read(const void *ctx, enum compat_engine engine, const char *text, struct check_atoms *atoms);
/* Adds that the column equals a constant. False: the text is something else. */
bool check_read_constant(const void *ctx, enum compat_engine engine, const char *text, const char *column, struct check_atoms *atoms);
/* NULL: there are too many. */
struct check_atom *check_add_atom(struct check_atoms *atoms, const struct check_atom *atom);
bool check_same_name(enum compat_engine engine, const char *a, const char *b);
/* Does the text of an expression name the column? True as well when it cannot be read. */
bool check_names(const void *ctx, enum compat_engine engine, const char *text, const char *column);

#endif
