/* Compatibility of CHECK constraints: does everything that passed the target's checks pass the live ones?
 *
 * Expressions are read as far as they are a conjunction of comparisons between a column (or its length) and constants: `price >= 0 AND state IN ('new', 'paid')`, in the spelling of each engine's
 * catalogue. Such a comparison is implied by one that is as strict or stricter, by the type, or by the default of a column that the older code does not write. Anything else passes only where the target
 * had the very same expression. NULL passes every comparison, as SQL says. Pure; any thread. */
#include "core/compat_expression.h"
#include "data/json.h"

/* ---- implication ---- */

static bool same_value(const struct check_value *a, const struct check_value *b)
{
	return a->is_number && b->is_number ? a->number == b->number : a->is_number == b->is_number && !strcmp(a->text, b->text);
}

static bool is_among(const struct check_value *value, const struct check_atom *atom)
{
	for (size_t i = 0; i < atom->value_count; i++)
		if (same_value(value, &atom->values[i]))
			return true;
	return false;
}

/* Does a known value pass? Texts are only ever the same or unknown: how they compare is the collation's business. */
static bool passes(const struct check_value *value, const struct check_atom *atom)
{
	const struct check_value *bound = atom->values;

	if (atom->is == IS_NOT_NULL)
		return true;
	if (atom->is == IS_IN || atom->is == IS_EQUAL)
		return is_among(value, atom);
	if (!value->is_number || !bound->is_number)
		return (atom->is == IS_LESS_EQUAL || atom->is == IS_GREATER_EQUAL) && same_value(value, bound);
	switch (atom->is) {
	case IS_LESS:
		return value->number < bound->number;
	case IS_LESS_EQUAL:
		return value->number <= bound->number;
	case IS_GREATER:
		return value->number > bound->number;
	case IS_GREATER_EQUAL:
		return value->number >= bound->number;
	default:
		return value->number != bound->number;
	}
}

/* Does every value that passes `given` pass `wanted`? */
static bool implies(const struct check_atom *given, const struct check_atom *wanted)
{
	const struct check_value *bound = given->values;
	bool open = given->is == IS_LESS || given->is == IS_GREATER;

	if (given->is == wanted->is && given->value_count == 1 && wanted->value_count == 1 && same_value(bound, wanted->values))
		return true;
	switch (given->is) {
	case IS_EQUAL:
	case IS_IN:
		for (size_t i = 0; i < given->value_count; i++)
			if (!passes(&given->values[i], wanted))
				return false;
		return true;
	case IS_LESS:
	case IS_LESS_EQUAL:
	case IS_GREATER:
	case IS_GREATER_EQUAL:
		break;
	default:
		return false;
	}
	if (!bound->is_number || wanted->value_count != 1 || !wanted->values->is_number)
		return false;
	if (wanted->is == IS_NOT_EQUAL)
		return given->is == IS_LESS || given->is == IS_LESS_EQUAL
			? wanted->values->number > bound->number || (open && wanted->values->number == bound->number)
			: wanted->values->number < bound->number || (open && wanted->values->number == bound->number);
	if ((given->is == IS_LESS || given->is == IS_LESS_EQUAL) != (wanted->is == IS_LESS || wanted->is == IS_LESS_EQUAL))
		return false;
	if (wanted->is == IS_EQUAL || wanted->is == IS_IN || wanted->is == IS_NOT_NULL)
		return false;
	/* An open end passes its own bound: x < 5 passes x < 5 and x <= 5. */
	return passes(bound, wanted) || (open && bound->number == wanted->values->number);
}

/* ---- of a table ---- */

/* What the values of a table are known to pass: its checks, lengths of its types, and defaults of columns that are not written. */
struct known {
	const struct schema_pair *pair;
	json_t *table;
	struct check_atoms atoms;
};

static void know_checks(struct known *known)
{
	json_t *text;
	const char *name;

	json_object_foreach(json_object_get(known->table, "checks"), name, text)
		if (json_is_string(text))
			(void)check_read(known->pair->ctx, known->pair->engine, json_string_value(text), &known->atoms);
}

static void know_lengths(struct known *known)
{
	json_t *column;
	const char *name;

	json_object_foreach(json_object_get(known->table, "columns"), name, column) {
		long characters = compat_type_characters(known->pair->engine, column);
		struct check_value *value = mem_zero(known->pair->ctx, struct check_value);

		*value = (struct check_value){ .text = "", .is_number = true, .number = characters };
		if (characters > 0)
			(void)check_add_atom(&known->atoms,
				&(struct check_atom){ .operand = mem_printf(known->pair->ctx, "char_length(%s)", name),
					.column = name,
					.is = IS_LESS_EQUAL,
					.values = value,
					.value_count = 1 });
	}
}

/* That a column is its default, when that is a constant. */
static void know_default(struct known *known, const char *name, json_t *column)
{
	const char *text = json_str(column, "default", NULL);

	if (text && !json_object_get(column, "generated"))
		(void)check_read_constant(known->pair->ctx, known->pair->engine, text, name, &known->atoms);
}

static void know_defaults(struct known *known)
{
	json_t *column;
	const char *name;

	json_object_foreach(json_object_get(known->pair->live, "columns"), name, column)
		if (!schema_column(known->pair, known->pair->target, name, NULL))
			know_default(known, name, column);
}

static bool same_operand(const struct known *known, const char *a, const char *b)
{
	return check_same_name(known->pair->engine, a, b);
}

static bool must_be_there(const struct known *known, const char *name)
{
	json_t *column = schema_column(known->pair, known->table, name, NULL);

	if (json_flag(column, "notNull", false))
		return true;
	for (size_t i = 0; i < known->atoms.count; i++) {
		const struct check_atom *atom = &known->atoms.list[i];

		if (same_operand(known, atom->operand, name) && (atom->is == IS_NOT_NULL || (!column && atom->is == IS_EQUAL)))
			return true;
	}
	return false;
}

static bool is_implied(const struct known *known, const struct check_atom *wanted)
{
	bool plain = wanted->operand == wanted->column;

	if (wanted->is == IS_NOT_NULL)
		return plain && must_be_there(known, wanted->column);
	if (known->table == known->pair->target && schema_stays_null(known->pair, wanted->column))
		return true;
	for (size_t i = 0; i < known->atoms.count; i++)
		if (same_operand(known, known->atoms.list[i].operand, wanted->operand) && implies(&known->atoms.list[i], wanted))
			return true;
	return false;
}

static bool is_known(const struct known *known, const char *text)
{
	struct check_atoms *wanted = mem_zero(known->pair->ctx, struct check_atoms);
	const char *name;
	json_t *other;

	json_object_foreach(json_object_get(known->table, "checks"), name, other)
		if (json_is_string(other) && !strcmp(json_string_value(other), text))
			return true;
	if (!check_read(known->pair->ctx, known->pair->engine, text, wanted))
		return false;
	for (size_t i = 0; i < wanted->count; i++)
		if (!is_implied(known, &wanted->list[i]))
			return false;
	return true;
}

/* Says `rule` of each check of `table` that the other side does not imply. */
static void compare(struct schema_pair *pair, json_t *table, json_t *other, enum schema_rule rule)
{
	struct known *known = mem_zero(pair->ctx, struct known);
	bool live = table == pair->live;
	json_t *text;
	const char *name;

	if (json_object_size(json_object_get(table, "checks")) == 0)
		return;
	known->pair = pair;
	known->table = other;
	know_checks(known);
	know_lengths(known);
	if (live)
		know_defaults(known);
	json_object_foreach(json_object_get(table, "checks"), name, text)
		if (json_is_string(text) && !is_known(known, json_string_value(text)))
			schema_say(pair, rule, live ? text : NULL, live ? NULL : text, NULL);
}

void schema_check_checks(struct schema_pair *pair)
{
	compare(pair, pair->live, pair->target, RULE_CHECK_NEW);
	compare(pair, pair->target, pair->live, RULE_CHECK_DROPPED);
}

bool schema_in_check(const struct schema_pair *pair, const char *column)
{
	const char *name;
	json_t *text;

	json_object_foreach(json_object_get(pair->live, "checks"), name, text)
		if (json_is_string(text) && check_names(pair->ctx, pair->engine, json_string_value(text), column))
			return true;
	return false;
}

bool schema_default_fails(const struct schema_pair *pair, const char *column)
{
	struct known *known = mem_zero(pair->ctx, struct known);
	json_t *text, *facts = schema_column(pair, pair->live, column, NULL);
	bool left_empty = !json_str(facts, "default", NULL);
	const char *name;

	known->pair = pair;
	know_default(known, column, facts);
	json_object_foreach(json_object_get(pair->live, "checks"), name, text) {
		struct check_atoms *wanted = mem_zero(pair->ctx, struct check_atoms);

		if (!json_is_string(text) || !check_names(pair->ctx, pair->engine, json_string_value(text), column))
			continue;
		if (!check_read(pair->ctx, pair->engine, json_string_value(text), wanted))
			return true;
		for (size_t i = 0; i < wanted->count; i++)
			if (same_operand(known, wanted->list[i].column, column) &&
				(left_empty ? wanted->list[i].is == IS_NOT_NULL : !is_implied(known, &wanted->list[i])))
				return true;
	}
	return false;
}
