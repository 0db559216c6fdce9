/* Types of columns, compared by what they hold: a family, a size, and how the engine treats what does not fit. Pure; any thread.
 *
 * PostgreSQL and MySQL (strict mode) refuse a value that is too large for its column, and round one that is merely too exact. PostgreSQL also refuses to compare families with each other, so there a change
 * of family is narrower even where every value could be stored. SQLite stores what it is given, after converting it to the column's affinity where that loses nothing; only STRICT tables refuse. */
#include "core/compat_rules.h"

#include "base/text.h"
#include "data/json.h"

enum family {
	FAMILY_OTHER,
	FAMILY_BOOLEAN,
	FAMILY_INTEGER,
	FAMILY_REAL,
	FAMILY_DECIMAL,
	FAMILY_DATE,
	FAMILY_TIME,
	FAMILY_TIMESTAMP,
	FAMILY_TEXT,
	FAMILY_BYTES,
	FAMILY_ENUM,
	FAMILY_SET,
	FAMILY_JSON,
};

struct type {
	enum family family;
	long size;  /* bytes of an integer or real, length of a text, digits of a decimal; 0: no limit */
	long scale; /* of a decimal: digits after the point; of a time: digits of a second */
	bool is_unsigned, fixed, in_bytes, zoned, array;
	char text[128]; /* as declared, in upper case, blanks made one */
	char name[128]; /* the same without what stands in brackets */
};

#define ZONED    1u
#define FIXED    2u
#define IN_BYTES 4u
#define ONLY_PG  8u
#define ONLY_MY  16u
#define NOT_MY   32u

/* clang-format off */
static const struct {
	const char *name;
	enum family family;
	long size;
	unsigned flags;
} known_types[] = {
	{ "BOOL", FAMILY_BOOLEAN, 1, NOT_MY }, { "BOOLEAN", FAMILY_BOOLEAN, 1, NOT_MY }, { "BOOL", FAMILY_INTEGER, 1, ONLY_MY }, { "BOOLEAN", FAMILY_INTEGER, 1, ONLY_MY },
	{ "TINYINT", FAMILY_INTEGER, 1, 0 }, { "SMALLINT", FAMILY_INTEGER, 2, 0 }, { "INT2", FAMILY_INTEGER, 2, 0 }, { "SMALLSERIAL", FAMILY_INTEGER, 2, 0 },
	{ "MEDIUMINT", FAMILY_INTEGER, 3, 0 }, { "INT", FAMILY_INTEGER, 4, 0 }, { "INTEGER", FAMILY_INTEGER, 4, 0 }, { "INT4", FAMILY_INTEGER, 4, 0 },
	{ "SERIAL", FAMILY_INTEGER, 4, 0 }, { "BIGINT", FAMILY_INTEGER, 8, 0 }, { "INT8", FAMILY_INTEGER, 8, 0 }, { "BIGSERIAL", FAMILY_INTEGER, 8, 0 },
	{ "REAL", FAMILY_REAL, 4, NOT_MY }, { "REAL", FAMILY_REAL, 8, ONLY_MY }, { "FLOAT4", FAMILY_REAL, 4, 0 }, { "FLOAT", FAMILY_REAL, 8, NOT_MY }, { "FLOAT", FAMILY_REAL, 4, ONLY_MY },
	{ "FLOAT8", FAMILY_REAL, 8, 0 }, { "DOUBLE", FAMILY_REAL, 8, 0 }, { "DOUBLE PRECISION", FAMILY_REAL, 8, 0 },
	{ "NUMERIC", FAMILY_DECIMAL, 0, 0 }, { "DECIMAL", FAMILY_DECIMAL, 0, 0 },
	{ "DATE", FAMILY_DATE, 0, 0 }, { "TIME", FAMILY_TIME, 0, 0 }, { "TIME WITHOUT TIME ZONE", FAMILY_TIME, 0, 0 }, { "TIME WITH TIME ZONE", FAMILY_TIME, 0, ZONED },
	{ "TIMETZ", FAMILY_TIME, 0, ZONED }, { "DATETIME", FAMILY_TIMESTAMP, 0, 0 }, { "TIMESTAMP", FAMILY_TIMESTAMP, 0, NOT_MY }, { "TIMESTAMP", FAMILY_TIMESTAMP, 0, ONLY_MY | ZONED },
	{ "TIMESTAMPTZ", FAMILY_TIMESTAMP, 0, ZONED }, { "TIMESTAMP WITH TIME ZONE", FAMILY_TIMESTAMP, 0, ZONED }, { "TIMESTAMP WITHOUT TIME ZONE", FAMILY_TIMESTAMP, 0, 0 },
	{ "TEXT", FAMILY_TEXT, 0, NOT_MY }, { "TEXT", FAMILY_TEXT, 65535, ONLY_MY | IN_BYTES }, { "CLOB", FAMILY_TEXT, 0, 0 }, { "VARCHAR", FAMILY_TEXT, 0, 0 },
	{ "CHARACTER VARYING", FAMILY_TEXT, 0, 0 }, { "NVARCHAR", FAMILY_TEXT, 0, 0 }, { "STRING", FAMILY_TEXT, 0, 0 }, { "TINYTEXT", FAMILY_TEXT, 255, IN_BYTES },
	{ "MEDIUMTEXT", FAMILY_TEXT, 16777215, IN_BYTES }, { "LONGTEXT", FAMILY_TEXT, 0, 0 }, { "CHAR", FAMILY_TEXT, 1, FIXED }, { "CHARACTER", FAMILY_TEXT, 1, FIXED },
	{ "NCHAR", FAMILY_TEXT, 1, FIXED }, { "BPCHAR", FAMILY_TEXT, 0, FIXED },
	{ "BLOB", FAMILY_BYTES, 0, NOT_MY }, { "BLOB", FAMILY_BYTES, 65535, ONLY_MY }, { "BYTEA", FAMILY_BYTES, 0, 0 }, { "BINARY", FAMILY_BYTES, 1, FIXED },
	{ "VARBINARY", FAMILY_BYTES, 0, 0 }, { "TINYBLOB", FAMILY_BYTES, 255, 0 }, { "MEDIUMBLOB", FAMILY_BYTES, 16777215, 0 }, { "LONGBLOB", FAMILY_BYTES, 0, 0 },
	{ "ENUM", FAMILY_ENUM, 0, 0 }, { "SET", FAMILY_SET, 0, 0 }, { "JSON", FAMILY_JSON, 0, 0 }, { "JSONB", FAMILY_JSON, 0, ONLY_PG },
};
/* clang-format on */

static char upper(char c)
{
	return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

/* In upper case (but for what is quoted), blanks made one and taken from around brackets and commas; `brackets`: with what stands in them. */
static void normalize(const char *from, bool brackets, char *to, size_t size)
{
	size_t length = 0;
	bool inside = false, quoted = false;

	for (const char *at = from; *at && length + 1 < size; at++) {
		quoted ^= *at == '\'';
		if (!quoted && *at == '(')
			inside = true;
		if (brackets || !inside) {
			bool drop = *at == ' ' && !quoted && (length == 0 || strchr(" (,", to[length - 1]));

			if (!quoted && (*at == ')' || *at == '(' || *at == ',') && length > 0 && to[length - 1] == ' ' && brackets)
				length--;
			if (!drop)
				to[length++] = quoted ? *at : upper(*at);
		}
		if (!quoted && *at == ')')
			inside = false;
	}
	while (length > 0 && to[length - 1] == ' ')
		length--;
	to[length] = 0;
}

/* Takes a word off the end of a name: "INT UNSIGNED" -> "INT". */
static bool take_word(char *name, const char *word)
{
	size_t length = strlen(name), size = strlen(word);

	if (length < size || strcmp(name + length - size, word) != 0)
		return false;
	name[length - size] = 0;
	for (length -= size; length > 0 && name[length - 1] == ' '; length--)
		name[length - 1] = 0;
	return true;
}

static void read_brackets(const char *text, enum compat_engine engine, struct type *type)
{
	const char *bracket = strchr(text, '('), *comma = bracket ? strchr(bracket, ',') : NULL;
	long first = bracket ? MIN(MAX(strtol(bracket + 1, NULL, 10), 0L), 1000000000L) : -1;

	switch (type->family) {
	case FAMILY_TEXT:
	case FAMILY_BYTES:
		if (first >= 0) {
			type->size = first;
			type->in_bytes = false;
		}
		break;
	case FAMILY_DECIMAL:
		if (engine == ENGINE_MYSQL)
			type->size = 10;
		if (first >= 0)
			type->size = first;
		type->scale = comma ? MIN(MAX(strtol(comma + 1, NULL, 10), 0L), 1000000L) : 0;
		break;
	case FAMILY_TIME:
	case FAMILY_TIMESTAMP:
		type->scale = first >= 0 ? first : engine == ENGINE_MYSQL ? 0 : 6;
		break;
	default: /* an integer's INT(11) is only about display */
		break;
	}
}

static void read_type(const char *text, enum compat_engine engine, struct type *ret)
{
	*ret = (struct type){ .family = FAMILY_OTHER };
	normalize(text, true, ret->text, sizeof(ret->text));
	normalize(text, false, ret->name, sizeof(ret->name));
	while (take_word(ret->name, "[]"))
		ret->array = true;
	if (take_word(ret->name, "ZEROFILL"))
		ret->is_unsigned = true;
	if (take_word(ret->name, "UNSIGNED"))
		ret->is_unsigned = true;
	for (size_t i = 0; i < ARRAY_SIZE(known_types); i++) {
		unsigned flags = known_types[i].flags;

		if (strcmp(known_types[i].name, ret->name) != 0 || ((flags & ONLY_MY) && engine != ENGINE_MYSQL) ||
			((flags & NOT_MY) && engine == ENGINE_MYSQL) || ((flags & ONLY_PG) && engine == ENGINE_MYSQL))
			continue;
		ret->family = known_types[i].family;
		ret->size = known_types[i].size;
		ret->zoned = (flags & ZONED) != 0;
		ret->fixed = (flags & FIXED) != 0;
		ret->in_bytes = (flags & IN_BYTES) != 0;
	}
	read_brackets(text, engine, ret);
}

/* ---- within a family, and between numbers ---- */

static long integer_bits(const struct type *type)
{
	return type->size * 8 - !type->is_unsigned;
}

/* Digits before the point that any of its values has at most: 2^10 is a little more than 10^3. LONG_MAX: no limit. */
static long whole_digits(const struct type *type)
{
	switch (type->family) {
	case FAMILY_BOOLEAN:
		return 1;
	case FAMILY_INTEGER:
		return integer_bits(type) * 301 / 1000 + 1;
	case FAMILY_DECIMAL:
		return type->size ? MAX(type->size - type->scale, 0L) : 131072;
	case FAMILY_REAL:
		return type->size <= 4 ? 38 : 308;
	default:
		return 0;
	}
}

static enum compat_fit fit_integer(const struct type *live, const struct type *target)
{
	if (live->is_unsigned && !target->is_unsigned)
		return FIT_NARROWER;
	if (integer_bits(live) < integer_bits(target))
		return FIT_NARROWER;
	return live->is_unsigned == target->is_unsigned && live->size == target->size ? FIT_SAME : FIT_WIDER;
}

/* Fewer digits after the point: what is more exact is rounded, and may need one more digit before it (9.99 -> 10.0). */
static enum compat_fit fit_decimal(const struct type *live, const struct type *target)
{
	long now = whole_digits(live), then = whole_digits(target);

	if (live->is_unsigned && !target->is_unsigned)
		return FIT_NARROWER;
	if (live->size == target->size && live->scale == target->scale)
		return live->is_unsigned == target->is_unsigned ? FIT_SAME : FIT_WIDER;
	if (live->size == 0)
		return FIT_WIDER;
	if (target->size == 0 || now < then)
		return FIT_NARROWER;
	if (live->scale >= target->scale)
		return FIT_WIDER;
	return now > then ? FIT_CONVERTS : FIT_NARROWER;
}

static bool is_number(const struct type *type)
{
	return type->family == FAMILY_INTEGER || type->family == FAMILY_REAL || type->family == FAMILY_DECIMAL;
}

static enum compat_fit fit_real(const struct type *live, const struct type *target)
{
	if (live->size < target->size)
		return FIT_NARROWER;
	return live->size > target->size || strcmp(live->text, target->text) != 0 ? FIT_CONVERTS : FIT_SAME;
}

static enum compat_fit fit_same_family(const struct type *live, const struct type *target)
{
	switch (live->family) {
	case FAMILY_INTEGER:
		return fit_integer(live, target);
	case FAMILY_DECIMAL:
		return fit_decimal(live, target);
	default:
		return fit_real(live, target);
	}
}

static enum compat_fit fit_number(const struct type *live, const struct type *target)
{
	if (live->is_unsigned && !target->is_unsigned)
		return FIT_NARROWER;
	if (live->family == target->family)
		return fit_same_family(live, target);
	switch (live->family) {
	case FAMILY_INTEGER: /* takes no fractions, and of a decimal without them only what surely fits */
		return target->family == FAMILY_DECIMAL && target->size > 0 && target->scale == 0 &&
				whole_digits(target) < whole_digits(live)
			? FIT_WIDER
			: FIT_NARROWER;
	case FAMILY_REAL:
		return whole_digits(target) <= whole_digits(live) ? FIT_CONVERTS : FIT_NARROWER;
	default:
		if (live->size == 0)
			return FIT_CONVERTS;
		return target->family == FAMILY_INTEGER && whole_digits(live) >= whole_digits(target) ? FIT_CONVERTS : FIT_NARROWER;
	}
}

/* What surely fits into both is counted in characters of up to four bytes. */
static bool text_is_shorter(const struct type *live, const struct type *target)
{
	if (live->size == 0)
		return false;
	if (target->size == 0)
		return true;
	if (live->in_bytes == target->in_bytes)
		return live->size < target->size;
	return live->in_bytes ? live->size / 4 < target->size : live->size < target->size;
}

static enum compat_fit fit_text(const struct type *live, const struct type *target)
{
	if (text_is_shorter(live, target))
		return FIT_NARROWER;
	if (live->fixed != target->fixed)
		return FIT_CONVERTS;
	if (live->size == target->size && live->in_bytes == target->in_bytes)
		return FIT_SAME;
	return live->fixed ? FIT_CONVERTS : FIT_WIDER; /* a longer CHAR is filled up with more blanks */
}

static enum compat_fit fit_time(enum compat_engine engine, const struct type *live, const struct type *target)
{
	if (live->zoned != target->zoned) /* MySQL's TIMESTAMP ends in 2038, its DATETIME does not */
		return engine == ENGINE_MYSQL && live->zoned ? FIT_NARROWER : FIT_CONVERTS;
	if (live->scale == target->scale)
		return FIT_SAME;
	return live->scale > target->scale ? FIT_WIDER : FIT_CONVERTS;
}

static enum compat_fit fit_family(enum compat_engine engine, const struct type *live, const struct type *target)
{
	switch (live->family) {
	case FAMILY_TEXT:
	case FAMILY_BYTES:
		return fit_text(live, target);
	case FAMILY_TIME:
	case FAMILY_TIMESTAMP:
		return fit_time(engine, live, target);
	case FAMILY_JSON: /* json cannot be compared or searched as jsonb can */
		if (!strcmp(live->name, target->name))
			return FIT_SAME;
		return strcmp(live->name, "JSONB") ? FIT_NARROWER : FIT_CONVERTS;
	case FAMILY_OTHER:
		return !strcmp(live->text, target->text) ? FIT_SAME : engine == ENGINE_ANY ? FIT_CONVERTS : FIT_NARROWER;
	default:
		return FIT_SAME; /* values of enumerations and sets are compared by themselves */
	}
}

/* ---- between families ---- */

/* Characters that any value needs when it is written as text; 0: no limit. */
static long written_length(const struct type *type)
{
	switch (type->family) {
	case FAMILY_BOOLEAN:
		return 5;
	case FAMILY_INTEGER:
		return whole_digits(type) + !type->is_unsigned;
	case FAMILY_DECIMAL:
		return type->size ? type->size + 3 : 0;
	case FAMILY_REAL:
		return 24;
	case FAMILY_DATE:
		return 10;
	case FAMILY_TIME:
		return 20;
	case FAMILY_TIMESTAMP:
		return 32;
	case FAMILY_TEXT:
	case FAMILY_BYTES:
		return type->size * (type->family == FAMILY_TEXT && !type->in_bytes ? 4 : 1);
	case FAMILY_ENUM:
	case FAMILY_SET:
		return 255;
	default:
		return 0;
	}
}

static enum compat_fit fit_written(const struct type *live, const struct type *target)
{
	long needed = written_length(target);

	return live->size == 0 || (needed > 0 && live->size >= needed) ? FIT_CONVERTS : FIT_NARROWER;
}

/* PostgreSQL converts on the way in between few families, and compares hardly any. */
static enum compat_fit cross_postgres(const struct type *live, const struct type *target)
{
	if ((live->family == FAMILY_TIMESTAMP && target->family == FAMILY_DATE) ||
		(live->family == FAMILY_DATE && target->family == FAMILY_TIMESTAMP))
		return FIT_CONVERTS;
	return FIT_NARROWER;
}

static enum compat_fit cross_mysql(const struct type *live, const struct type *target)
{
	/* Texts are compared with numbers as decimals, and 1e300 is none. */
	if ((live->family == FAMILY_TEXT || live->family == FAMILY_BYTES) && target->family == FAMILY_REAL)
		return FIT_NARROWER;
	if (live->family == FAMILY_TEXT)
		return target->family == FAMILY_BYTES ? FIT_NARROWER : fit_written(live, target);
	if (live->family == FAMILY_BYTES)
		return fit_written(live, target);
	if (live->family == FAMILY_TIMESTAMP && target->family == FAMILY_DATE)
		return live->zoned ? FIT_NARROWER : FIT_CONVERTS;
	if (live->family == FAMILY_DATE && target->family == FAMILY_TIMESTAMP)
		return FIT_CONVERTS;
	if (live->family == FAMILY_SET && target->family == FAMILY_ENUM)
		return FIT_CONVERTS;
	return FIT_NARROWER;
}

static enum compat_fit cross_any(const struct type *live, const struct type *target)
{
	if (live->family == FAMILY_OTHER || target->family == FAMILY_OTHER)
		return FIT_CONVERTS;
	if (live->family == FAMILY_TEXT || live->family == FAMILY_BYTES)
		return fit_written(live, target);
	return target->family == FAMILY_BOOLEAN && is_number(live) ? FIT_CONVERTS : FIT_NARROWER;
}

/* ---- SQLite ---- */

enum affinity { AFFINITY_BLOB, AFFINITY_TEXT, AFFINITY_NUMERIC, AFFINITY_INTEGER, AFFINITY_REAL };

/* "Datatypes In SQLite", section 3.1: the first of these that occurs in the name. */
static enum affinity affinity_of(const char *name)
{
	if (strstr(name, "INT"))
		return AFFINITY_INTEGER;
	if (strstr(name, "CHAR") || strstr(name, "CLOB") || strstr(name, "TEXT"))
		return AFFINITY_TEXT;
	if (!*name || strstr(name, "BLOB"))
		return AFFINITY_BLOB;
	return strstr(name, "REAL") || strstr(name, "FLOA") || strstr(name, "DOUB") ? AFFINITY_REAL : AFFINITY_NUMERIC;
}

static enum compat_fit fit_sqlite(const struct type *live, const struct type *target, bool strict)
{
	enum affinity now = affinity_of(live->text), then = affinity_of(target->text);

	if (strict && !strcmp(live->text, "ANY"))
		return strcmp(target->text, "ANY") ? FIT_CONVERTS : FIT_SAME;
	if (now == then)
		return FIT_SAME;
	if (!strict)
		return FIT_CONVERTS;
	switch (now) {
	case AFFINITY_TEXT: /* takes numbers as what they are written as */
		return then == AFFINITY_BLOB ? FIT_NARROWER : FIT_CONVERTS;
	case AFFINITY_REAL:
		return then == AFFINITY_INTEGER ? FIT_CONVERTS : FIT_NARROWER;
	default:
		return FIT_NARROWER;
	}
}

/* Types that a user of the database made are known by their values. */
static void name_enum(json_t *column, struct type *type)
{
	if (type->family == FAMILY_OTHER && json_is_array(json_object_get(column, "values")))
		type->family = FAMILY_ENUM;
}

enum compat_fit compat_type_fit(enum compat_engine engine, json_t *live, json_t *target, bool strict)
{
	const char *now = json_str(live, "type", NULL), *then = json_str(target, "type", NULL);
	struct type one, other;
	bool by_values;

	if (!now || !then)
		return FIT_SAME;
	read_type(now, engine, &one);
	read_type(then, engine, &other);
	if (engine == ENGINE_SQLITE)
		return fit_sqlite(&one, &other, strict);
	by_values = json_is_array(json_object_get(live, "values")) && json_is_array(json_object_get(target, "values"));
	name_enum(live, &one);
	name_enum(target, &other);
	if (one.array != other.array)
		return engine == ENGINE_ANY ? FIT_CONVERTS : FIT_NARROWER;
	if (is_number(&one) && is_number(&other))
		return fit_number(&one, &other);
	if (one.family == other.family)
		return (one.family != FAMILY_ENUM && one.family != FAMILY_SET) || by_values || !strcmp(one.text, other.text)
			? fit_family(engine, &one, &other)
			: FIT_NARROWER;
	if (one.family == FAMILY_SET && !by_values)
		return FIT_NARROWER;
	if (engine == ENGINE_POSTGRES && one.family == FAMILY_TEXT && other.family == FAMILY_ENUM)
		return fit_written(&one, &other);
	return engine == ENGINE_POSTGRES ? cross_postgres(&one, &other)
		: engine == ENGINE_MYSQL ? cross_mysql(&one, &other)
					 : cross_any(&one, &other);
}

long compat_type_characters(enum compat_engine engine, json_t *column)
{
	const char *text = json_str(column, "type", NULL);
	struct type type;

	if (!text || engine == ENGINE_SQLITE)
		return 0;
	read_type(text, engine, &type);
	return type.family == FAMILY_TEXT && !type.array ? type.size : 0;
}
