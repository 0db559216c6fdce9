/* Text as people write it. All functions are pure. Numbers are read by hand instead of by strtod: the result must not
 * depend on the locale, and "inf", "0x1" or blanks are not numbers here. */
#include "base/text.h"

#include <math.h>

#define YEARS_10_MS (10 * 366 * INT64_C(86400000))

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A decimal number as whole part and fraction of 1e9. Advances; false when there is none or it is huge. */
static bool parse_decimal(const char **at, int64_t *ret_whole, int64_t *ret_billionths)
{
	int64_t whole = 0, billionths = 0, scale = 100000000;
	const char *p = *at;

	if (!is_digit(*p))
		return false;
	for (; is_digit(*p); p++) {
		whole = whole * 10 + (*p - '0');
		if (whole > INT64_C(1000000000000))
			return false;
	}
	if (*p == '.') {
		p++;
		if (!is_digit(*p))
			return false;
		for (; is_digit(*p); p++, scale /= 10)
			billionths += (*p - '0') * scale;
	}
	*at = p;
	*ret_whole = whole;
	*ret_billionths = billionths;
	return true;
}

static const struct { const char *name; int64_t ms; } duration_units[] = { { "d", 86400000 }, { "h", 3600000 }, { "ms", 1 }, { "m", 60000 }, { "s", 1000 } };

static int64_t parse_unit(const char **at)
{
	for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++)
		if (text_starts_with(*at, duration_units[i].name)) {
			*at += strlen(duration_units[i].name);
			return duration_units[i].ms;
		}
	return 0;
}

int text_parse_duration(const char *text, int64_t *ret_ms, struct err *err)
{
	int64_t total = 0, last_unit = INT64_MAX, whole, billionths, unit;
	const char *at = text;

	do {
		if (!parse_decimal(&at, &whole, &billionths))
			return err_set(err, ERR_INVALID, "'%s' is not a duration such as 30s, 5m or 1h30m", text);
		/* A bare number means seconds, but only alone: in "1h30" it is not clear what 30 is. */
		unit = *at == 0 && last_unit == INT64_MAX ? 1000 : parse_unit(&at);
		if (unit == 0 || unit >= last_unit)
			return err_set(err, ERR_INVALID, "'%s' is not a duration such as 30s, 5m or 1h30m", text);
		if (whole > YEARS_10_MS / unit)
			return err_set(err, ERR_INVALID, "duration '%s' is longer than 10 years", text);
		total += whole * unit + (billionths * (unit / 1000) + (billionths * (unit % 1000) + 500000) / 1000 / 1000 * 1000) / 1000000;
		if (unit < 1000)
			total += 0;
		last_unit = unit;
	} while (*at);
	if (total > YEARS_10_MS)
		return err_set(err, ERR_INVALID, "duration '%s' is longer than 10 years", text);
	*ret_ms = total;
	return 0;
}
