/* Text as people write it. All functions are pure. Numbers are read by hand instead of by strtod: the result must not
 * depend on the locale, and "inf", "0x1" or blanks are not numbers here. */
#include "base/text.h"

#define YEARS_10_MS (10 * 366 * INT64_C(86400000))

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
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

static const struct {
	const char *name;
	int64_t ms;
} duration_units[] = { { "d", 86400000 }, { "h", 3600000 }, { "ms", 1 }, { "m", 60000 }, { "s", 1000 } };

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
		total += whole * unit + (billionths * unit + 500000000) / 1000000000; /* at most 8.7e16: fits */
		last_unit = unit;
	} while (*at);
	if (total > YEARS_10_MS)
		return err_set(err, ERR_INVALID, "duration '%s' is longer than 10 years", text);
	*ret_ms = total;
	return 0;
}

char *text_format_duration(const void *ctx, int64_t ms)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 } };
	char *text = mem_strdup(ctx, ms < 0 ? "-" : "");
	uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;

	if (left < 1000)
		return mem_appendf(text, "%llums", (unsigned long long)left);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (left >= (uint64_t)units[i].ms)
			text = mem_appendf(text, "%llu%s", (unsigned long long)(left / (uint64_t)units[i].ms), units[i].name);
		left %= (uint64_t)units[i].ms;
	}
	if (left > 0) {
		char fraction[8];
		size_t n;

		(void)snprintf(fraction, sizeof(fraction), ".%03d", (int)(left % 1000));
		for (n = strlen(fraction); n > 1 && fraction[n - 1] == '0'; n--)
			fraction[n - 1] = 0;
		text = mem_appendf(text, "%d%ss", (int)(left / 1000), n > 1 ? fraction : "");
	}
	return text;
}

int text_parse_percent(const char *text, double *ret, struct err *err)
{
	int64_t whole, billionths;
	const char *at = text;
	double value;

	if (!parse_decimal(&at, &whole, &billionths) || (*at && strcmp(at, "%") != 0))
		return err_set(err, ERR_INVALID, "'%s' is not a percentage such as 1%% or 0.01", text);
	value = (double)whole + (double)billionths / 1e9;
	if (*at)
		value /= 100;
	else if (value > 1)
		return err_set(err, ERR_INVALID, "'%s' is above 1, which means 100%%; write '%s%%' if that is what is meant", text, text);
	*ret = value;
	return 0;
}

char *text_count(const void *ctx, uint64_t count, const char *noun)
{
	return mem_printf(ctx, "%llu %s%s", (unsigned long long)count, noun, count == 1 ? "" : "s");
}

char *text_format_size(const void *ctx, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	uint64_t unit = 1, tenths;
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(units) && bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	if (i == 0)
		return mem_printf(ctx, "%llu B", (unsigned long long)bytes);
	tenths = bytes / unit * 10 + (bytes % unit / (unit / 1024) * 10 + 512) / 1024;
	if (tenths >= 10240 && i + 1 < ARRAY_SIZE(units)) { /* 1023.97 KiB rounds to 1 MiB */
		tenths = 10;
		i++;
	}
	if (tenths % 10 == 0 || tenths >= 1000)
		return mem_printf(ctx, "%llu %s", (unsigned long long)(tenths / 10 + (tenths % 10 >= 5)), units[i]);
	return mem_printf(ctx, "%llu.%llu %s", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10), units[i]);
}

int text_parse_int(const char *text, int64_t min, int64_t max, int64_t *ret, struct err *err)
{
	bool negative = *text == '-';
	const char *at = text + (*text == '-' || *text == '+');
	__int128 value = 0;

	if (!is_digit(*at))
		return err_set(err, ERR_INVALID, "'%s' is not a whole number", text);
	for (; is_digit(*at); at++)
		if (value <= INT64_MAX) /* beyond, it is out of any range already */
			value = value * 10 + (*at - '0');
	if (*at)
		return err_set(err, ERR_INVALID, "'%s' is not a whole number", text);
	if (negative)
		value = -value;
	if (value < min || value > max)
		return err_set(err, ERR_INVALID, "%s is not between %lld and %lld", text, (long long)min, (long long)max);
	*ret = (int64_t)value;
	return 0;
}

static const char hex_digits[] = "0123456789abcdef";

char *text_hex(const void *ctx, const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	char *text = mem_array(ctx, char, size * 2 + 1);

	for (size_t i = 0; i < size; i++) {
		text[i * 2] = hex_digits[from[i] >> 4];
		text[i * 2 + 1] = hex_digits[from[i] & 15];
	}
	return text;
}

/* Of a digit that has been checked. */
static unsigned hex_value(char c)
{
	return (unsigned)(is_digit(c) ? c - '0' : lower(c) - 'a' + 10);
}

int text_unhex(const char *hex, void *ret_bytes, size_t size, struct err *err)
{
	uint8_t *to = ret_bytes;

	if (strlen(hex) != size * 2)
		return err_set(err, ERR_INVALID, "%zu hexadecimal digits expected, not %zu", size * 2, strlen(hex));
	if (strspn(hex, "0123456789abcdefABCDEF") != size * 2)
		return err_set(err, ERR_INVALID, "'%s' is not a hexadecimal number", hex);
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)(hex_value(hex[i * 2]) << 4 | hex_value(hex[i * 2 + 1]));
	return 0;
}

char *text_base64(const void *ctx, const void *bytes, size_t size)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *from = bytes;
	char *text = mem_array(ctx, char, (size + 2) / 3 * 4 + 1), *to = text;

	for (size_t i = 0; i < size; i += 3) {
		size_t left = MIN(size - i, (size_t)3);
		uint32_t group = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) | (left > 2 ? from[i + 2] : 0);

		*to++ = alphabet[group >> 18];
		*to++ = alphabet[group >> 12 & 63];
		*to++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
		*to++ = left > 2 ? alphabet[group & 63] : '=';
	}
	return text;
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

char *text_url_encode(const void *ctx, const char *text)
{
	char *result = mem_array(ctx, char, strlen(text) * 3 + 1), *to = result;

	for (; *text; text++) {
		if (is_alnum(*text) || strchr("-._~", *text)) {
			*to++ = *text;
		} else {
			*to++ = '%';
			*to++ = "0123456789ABCDEF"[(uint8_t)*text >> 4];
			*to++ = "0123456789ABCDEF"[(uint8_t)*text & 15];
		}
	}
	return result;
}

/* Length of the UTF-8 character at `at`, 0 when there is no valid one. */
static size_t utf8_next(const uint8_t *at, size_t left, uint32_t *ret_code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = at[0] < 0x80 ? 1 : (at[0] & 0xe0) == 0xc0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : (at[0] & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t code;

	if (length == 0 || length > left)
		return 0;
	code = length == 1 ? at[0] : at[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return length;
}

bool text_is_utf8(const char *text, size_t length)
{
	const uint8_t *at = (const uint8_t *)text, *end = at + length;
	uint32_t code;

	for (size_t n; at < end; at += n)
		if ((n = utf8_next(at, (size_t)(end - at), &code)) == 0)
			return false;
	return true;
}

/* Also the C1 controls, which terminals obey, and what turns a line around or breaks it elsewhere (bidirectional and line separators). */
static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

char *text_printable(const void *ctx, const char *text, size_t length, bool multiline)
{
	const uint8_t *at = (const uint8_t *)text, *end = at + length;
	char *result = mem_array(ctx, char, length * 4 + 1), *to = result;

	while (at < end) {
		uint32_t code = 0;
		size_t n = utf8_next(at, (size_t)(end - at), &code);

		if (n > 0 && (!is_control(code) || (multiline && (code == '\n' || code == '\t')))) {
			memcpy(to, at, n);
			to += n;
			at += n;
			continue;
		}
		for (n = MAX(n, (size_t)1); n > 0; n--, at++) {
			*to++ = '\\';
			*to++ = 'x';
			*to++ = hex_digits[*at >> 4];
			*to++ = hex_digits[*at & 15];
		}
	}
	return mem_resize(ctx, result, char, (size_t)(to - result) + 1);
}

#define NEAREST_MAX 128

/* Optimal string alignment: insertion, deletion, substitution and the swap of two neighbours cost 1 each; case costs nothing. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t rows[3][NEAREST_MAX + 1]; /* row i is kept at i % 3: a swap looks back two rows */

	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t cost = lower(a[i - 1]) != lower(b[j - 1]);

			row[j] = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + cost);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
				row[j] = MIN(row[j], above2[j - 2] + 1);
		}
	}
	return rows[a_length % 3][b_length];
}

const char *text_nearest(const char *word, const char *const *candidates)
{
	size_t length = strlen(word), best = length < 3 ? 1 : 1 + length / 4;
	const char *nearest = NULL;

	if (length == 0 || length > NEAREST_MAX)
		return NULL;
	best++; /* only less than the best so far counts: the first of equals wins */
	for (; *candidates; candidates++) {
		size_t candidate_length = strlen(*candidates), distance;

		if (candidate_length > NEAREST_MAX)
			continue;
		distance = edit_distance(word, length, *candidates, candidate_length);
		/* A distance as long as the words means that they share nothing. */
		if (distance < best && distance < MAX(length, candidate_length)) {
			best = distance;
			nearest = *candidates;
		}
	}
	return nearest;
}

bool text_starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *text, const char *suffix)
{
	size_t length = strlen(text), suffix_length = strlen(suffix);

	return length >= suffix_length && memcmp(text + length - suffix_length, suffix, suffix_length) == 0;
}

bool text_glob(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;

	/* Only the last star is ever reconsidered, which is enough, and keeps the time below pattern times text. */
	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			retry = text;
		} else if (*pattern == '?' || *pattern == *text) {
			bool any = *pattern++ == '?';

			text++;
			while (any && ((uint8_t)*text & 0xc0) == 0x80) /* ? is one character, not one byte */
				text++;
		} else if (star) {
			pattern = star + 1;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == 0;
}

bool text_is_name(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > 128 || !is_alnum(text[0]) || strstr(text, ".."))
		return false;
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr("._-", *text))
			return false;
	return true;
}

char **text_split(const void *ctx, const char *text, char separator)
{
	char **parts = mem_array(ctx, char *, 1);
	size_t count = 0;

	for (const char *end;; text = end + 1) {
		const char *from = text, *to;

		end = text;
		while (*end && *end != separator)
			end++;
		to = end;
		while (from < to && strchr(" \t\r\n", *from))
			from++;
		while (to > from && strchr(" \t\r\n", to[-1]))
			to--;
		if (to > from) {
			parts = mem_resize(ctx, parts, char *, count + 2);
			parts[count++] = mem_strndup(parts, from, (size_t)(to - from));
			parts[count] = NULL;
		}
		if (!*end)
			return parts;
	}
}
