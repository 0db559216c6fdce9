/* Time. Waiting and limits use the monotonic clock; wall time is for people and records. Nothing in core/ reads a clock: time is handed in. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/err.h"
#include "base/mem.h"

int64_t clock_wall_ms(void); /* milliseconds since 1970-01-01T00:00:00Z */
int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC, milliseconds */
int64_t clock_mono_us(void); /* the same in microseconds, for measuring */

/* Rests at most so long; a signal ends it early. Negative: not at all. */
void clock_sleep_ms(int64_t ms);

/* "2026-11-21T04:53:33.120Z" (RFC 3339, UTC, always milliseconds). */
char *clock_format(const void *ctx, int64_t wall_ms);
/* RFC 3339 with any offset, with or without fraction. */
must_check int clock_parse(const char *text, int64_t *ret_wall_ms, struct err *err);
/* "12 s ago", "3 min ago", "2 h ago", "5 d ago", "in 4 min". */
char *clock_format_age(const void *ctx, int64_t wall_ms, int64_t now_ms);

#endif
