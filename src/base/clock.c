/* Clocks and their written forms. Calendar arithmetic is left to gmtime_r and timegm (both know no time zone but UTC).
 * No state; any thread. */
#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t clock, int64_t per_second)
{
	struct timespec now;

	assert_always(clock_gettime(clock, &now) == 0);
	return now.tv_sec * per_second + now.tv_nsec / (1000000000 / per_second);
}

int64_t clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME, 1000);
}

int64_t clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000);
}

int64_t clock_mono_us(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000000);
}

void clock_sleep_ms(int64_t ms)
{
	struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	if (ms > 0)
		(void)nanosleep(&pause, NULL);
}

char *clock_format(const void *ctx, int64_t wall_ms)
{
	int64_t ms = wall_ms % 1000;
	time_t seconds;
	struct tm tm = { 0 };

	if (ms < 0)
		ms += 1000;
	seconds = (time_t)((wall_ms - ms) / 1000);
	assert_always(gmtime_r(&seconds, &tm) != NULL);
	return mem_printf(ctx, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		tm.tm_sec, (int)ms);
}

/* Exactly `count` digits; advances. -1 when there are none. */
static int digits(const char **at, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return -1;
		value = value * 10 + (**at - '0');
	}
	return value;
}

static bool skip(const char **at, const char *any_of)
{
	if (**at == 0 || !strchr(any_of, **at))
		return false;
	(*at)++;
	return true;
}

static bool parse_date(const char **at, struct tm *tm)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, month, day;
	bool leap;

	if ((year = digits(at, 4)) < 0 || !skip(at, "-") || (month = digits(at, 2)) < 0 || !skip(at, "-") || (day = digits(at, 2)) < 0)
		return false;
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (month < 1 || month > 12 || day < 1 || day > days[month - 1] + (month == 2 && leap))
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return true;
}

/* Time of day with its fraction, cut to milliseconds. A leap second (:60) is read as the second that follows. */
static bool parse_time(const char **at, struct tm *tm, int *ret_ms)
{
	int scale = 100;

	*ret_ms = 0;
	if ((tm->tm_hour = digits(at, 2)) < 0 || !skip(at, ":") || (tm->tm_min = digits(at, 2)) < 0 || !skip(at, ":") ||
		(tm->tm_sec = digits(at, 2)) < 0)
		return false;
	if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
		return false;
	if (!skip(at, "."))
		return true;
	if (**at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++, scale /= 10)
		*ret_ms += (**at - '0') * scale;
	return true;
}

static bool parse_offset(const char **at, int *ret_minutes)
{
	int sign, hours, minutes;

	*ret_minutes = 0;
	if (skip(at, "Zz"))
		return true;
	sign = **at == '-' ? -1 : 1;
	if (!skip(at, "+-") || (hours = digits(at, 2)) < 0 || !skip(at, ":") || (minutes = digits(at, 2)) < 0 || hours > 23 || minutes > 59)
		return false;
	*ret_minutes = sign * (hours * 60 + minutes);
	return true;
}

int clock_parse(const char *text, int64_t *ret_wall_ms, struct err *err)
{
	struct tm tm = { 0 };
	const char *at = text;
	int ms, offset_minutes;

	if (!parse_date(&at, &tm) || !skip(&at, "Tt ") || !parse_time(&at, &tm, &ms) || !parse_offset(&at, &offset_minutes) || *at)
		return err_set(err, ERR_INVALID, "'%s' is not a time such as 2026-11-21T04:53:33Z", text);
	*ret_wall_ms = ((int64_t)timegm(&tm) - offset_minutes * 60) * 1000 + ms;
	return 0;
}

char *clock_format_age(const void *ctx, int64_t wall_ms, int64_t now_ms)
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
	bool future = wall_ms > now_ms;
	int64_t seconds = (future ? wall_ms - now_ms : now_ms - wall_ms) / 1000;
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(units) && seconds < units[i].seconds)
		i++;
	return mem_printf(ctx, future ? "in %lld %s" : "%lld %s ago", (long long)(seconds / units[i].seconds), units[i].unit);
}
