/* Versions: parsing and precedence (version.h says which forms there are).
 *
 * Numbers of a version may have any length (SemVer sets no limit), so precedence is decided on the digits as written, never on an integer
 * that could
 * overflow; `parts` saturates and is for display only. Pure; any thread. */
#include "core/version.h"

#include "base/text.h"

#define VERSION_LENGTH_MAX 256
#define PARTS_MAX          4

/* A piece of the text that was parsed. */
struct span {
	const char *at;
	size_t length;
};

/* Parts, pre-release and build as they stand in the text, before it is known what kind of version it is. */
struct shape {
	struct span parts[PARTS_MAX];
	unsigned part_count;
	struct span pre, build; /* length 0: none */
	bool zeros;             /* a number with a leading zero, in the parts or the pre-release */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_identifier_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static bool span_is_number(struct span span)
{
	for (size_t i = 0; i < span.length; i++)
		if (!is_digit(span.at[i]))
			return false;
	return span.length > 0;
}

static int sign(int64_t value)
{
	return value < 0 ? -1 : value > 0 ? 1 : 0;
}

static struct span span_without_zeros(struct span span)
{
	for (; span.length > 1 && *span.at == '0'; span.length--)
		span.at++;
	return span;
}

static int compare_numbers(struct span a, struct span b)
{
	a = span_without_zeros(a);
	b = span_without_zeros(b);
	if (a.length != b.length)
		return a.length < b.length ? -1 : 1;
	return sign(memcmp(a.at, b.at, a.length));
}

static int compare_texts(struct span a, struct span b)
{
	int order = memcmp(a.at, b.at, MIN(a.length, b.length));

	return order ? sign(order) : sign((int64_t)a.length - (int64_t)b.length);
}

static uint64_t span_number(struct span span)
{
	uint64_t value = 0;

	for (size_t i = 0; i < span.length; i++) {
		uint64_t digit = (uint64_t)(span.at[i] - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return UINT64_MAX;
		value = value * 10 + digit;
	}
	return value;
}

/* The next of the identifiers that dots separate; false after the last. */
static bool next_identifier(struct span *rest, struct span *ret)
{
	const char *dot;

	if (!rest->at)
		return false;
	dot = memchr(rest->at, '.', rest->length);
	*ret = (struct span){ rest->at, dot ? (size_t)(dot - rest->at) : rest->length };
	if (dot)
		*rest = (struct span){ dot + 1, rest->length - ret->length - 1 };
	else
		*rest = (struct span){ NULL, 0 };
	return true;
}

/* Identifiers of [0-9A-Za-z-], none empty. Advances *at behind them. */
static bool read_identifiers(const char **at, struct span *ret, bool *zeros)
{
	struct span rest, one;
	const char *start = *at;

	while (is_identifier_char(**at) || **at == '.')
		++*at;
	*ret = (struct span){ start, (size_t)(*at - start) };
	rest = *ret;
	while (next_identifier(&rest, &one)) {
		if (one.length == 0)
			return false;
		if (zeros && one.length > 1 && *one.at == '0' && span_is_number(one))
			*zeros = true;
	}
	return true;
}

/* One to four numbers with dots, then -pre, then +build. False: not of this shape. */
static bool read_shape(const char *text, struct shape *ret)
{
	const char *at = text;

	*ret = (struct shape){ 0 };
	if (*at == 'v')
		at++;
	for (;;) {
		const char *start = at;

		while (is_digit(*at))
			at++;
		if (at == start || ret->part_count == PARTS_MAX)
			return false;
		if (*start == '0' && at - start > 1)
			ret->zeros = true;
		ret->parts[ret->part_count++] = (struct span){ start, (size_t)(at - start) };
		if (*at != '.')
			break;
		at++;
	}
	if (*at == '-') {
		at++;
		if (!read_identifiers(&at, &ret->pre, &ret->zeros))
			return false;
	}
	if (*at == '+') {
		at++;
		if (!read_identifiers(&at, &ret->build, NULL))
			return false;
	}
	return *at == 0;
}

static bool shape_is_semver(const struct shape *shape)
{
	return shape->part_count == 3 && !shape->zeros;
}

static bool shape_is_calendar(const struct shape *shape)
{
	uint64_t year, month;

	if (shape->part_count < 2)
		return false;
	year = span_number(shape->parts[0]);
	month = span_number(shape->parts[1]);
	if (*shape->parts[0].at == '0')
		return false;
	return (year >= 2000 && year <= 2099) || (year >= 15 && year <= 99 && month >= 1 && month <= 12);
}

static bool is_sha(const char *text)
{
	size_t length = strlen(text), letters = 0;

	if (length < 7 || length > 40)
		return false;
	for (size_t i = 0; i < length; i++) {
		bool letter = (text[i] >= 'a' && text[i] <= 'f') || (text[i] >= 'A' && text[i] <= 'F');

		if (!letter && !is_digit(text[i]))
			return false;
		letters += letter;
	}
	return letters > 0 || length == 40;
}

static int check_text(const char *text, struct err *err)
{
	size_t length = strnlen(text, VERSION_LENGTH_MAX + 1);

	if (length == 0)
		return err_set(err, ERR_INVALID, "a version must not be empty");
	if (length > VERSION_LENGTH_MAX)
		return err_set(err, ERR_INVALID, "a version has at most %d bytes", VERSION_LENGTH_MAX);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return err_set(err, ERR_INVALID, "version '%s' has a control character", text);
	if (!text_is_utf8(text, length))
		return err_set(err, ERR_INVALID, "version '%s' is not UTF-8", text);
	return 0;
}

int version_parse(const void *ctx, const char *text, struct version *ret, struct err *err)
{
	struct version version = { .kind = VERSION_OTHER };
	struct shape shape;
	int r;

	r = check_text(text, err);
	if (r < 0)
		return r;
	if (read_shape(text, &shape)) {
		/* A year of four digits is hardly ever a major version; one of two digits often is (Debian 12, Ubuntu 24.04, Chrome 99). */
		if (shape_is_calendar(&shape) && span_number(shape.parts[0]) >= 2000)
			version.kind = VERSION_CALENDAR;
		else if (shape_is_semver(&shape))
			version.kind = VERSION_SEMVER;
		else if (shape_is_calendar(&shape))
			version.kind = VERSION_CALENDAR;
	}
	if (version.kind == VERSION_OTHER && is_sha(text))
		version.kind = VERSION_SHA;
	version.text = mem_strdup(ctx, text);
	if (version.kind == VERSION_SEMVER || version.kind == VERSION_CALENDAR) {
		version.part_count = shape.part_count;
		for (unsigned i = 0; i < shape.part_count; i++)
			version.parts[i] = span_number(shape.parts[i]);
		if (shape.pre.length > 0)
			version.pre = mem_strndup(ctx, shape.pre.at, shape.pre.length);
		if (shape.build.length > 0)
			version.build = mem_strndup(ctx, shape.build.at, shape.build.length);
	}
	*ret = version;
	return 0;
}

/* SemVer 2.0.0, 11.3 and 11.4: with a pre-release lower than without; identifiers from the left, numbers below texts, fewer fields below
 * more. */
static int compare_pre(const char *a, const char *b)
{
	struct span rest_a = { a, a ? strlen(a) : 0 }, rest_b = { b, b ? strlen(b) : 0 }, one_a, one_b;

	if (!a || !b)
		return sign((a ? 0 : 1) - (b ? 0 : 1));
	for (;;) {
		bool more_a = next_identifier(&rest_a, &one_a), more_b = next_identifier(&rest_b, &one_b);
		bool number_a, number_b;
		int order;

		if (!more_a || !more_b)
			return sign(more_a - more_b);
		number_a = span_is_number(one_a);
		number_b = span_is_number(one_b);
		if (number_a != number_b)
			return number_a ? -1 : 1;
		order = number_a ? compare_numbers(one_a, one_b) : compare_texts(one_a, one_b);
		if (order)
			return order;
	}
}

bool version_compare(const struct version *a, const struct version *b, int *ret)
{
	struct shape shape_a, shape_b;
	int order = 0;

	if (a->kind != b->kind || (a->kind != VERSION_SEMVER && a->kind != VERSION_CALENDAR))
		return false;
	assert_always(read_shape(a->text, &shape_a) && read_shape(b->text, &shape_b));
	for (unsigned i = 0; i < PARTS_MAX && !order; i++) {
		/* A part that is not written counts as 0: 2026.11 is 2026.11.0. */
		struct span part_a = i < shape_a.part_count ? shape_a.parts[i] : (struct span){ "0", 1 };
		struct span part_b = i < shape_b.part_count ? shape_b.parts[i] : (struct span){ "0", 1 };

		if (i == 0 && a->kind == VERSION_CALENDAR) {
			/* 26.4 and 2026.4 mean one year. */
			uint64_t year_a = a->parts[0] < 100 ? a->parts[0] + 2000 : a->parts[0];
			uint64_t year_b = b->parts[0] < 100 ? b->parts[0] + 2000 : b->parts[0];

			order = (year_a > year_b) - (year_a < year_b);
		} else {
			order = compare_numbers(part_a, part_b);
		}
	}
	*ret = order ? order : compare_pre(a->pre, b->pre);
	return true;
}

static bool is_far(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) > 1;
}

bool version_skips_major(const struct version *from, const struct version *to)
{
	if (from->kind != VERSION_SEMVER || to->kind != VERSION_SEMVER)
		return false;
	return is_far(from->parts[0], to->parts[0]) || (!from->parts[0] && !to->parts[0] && is_far(from->parts[1], to->parts[1]));
}

const char *version_kind_name(enum version_kind kind)
{
	static const char *const names[] = { "semver", "calendar", "sha", "other" };

	assert_always((size_t)kind < ARRAY_SIZE(names));
	return names[kind];
}
